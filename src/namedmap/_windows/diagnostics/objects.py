r"""Looking at the named objects of the session: \Sessions\N\BaseNamedObjects, and the global ones beside it.

The directory tells names and kinds. The other facts are asked of the object, which is opened for that instant. Windows
tells nobody without a privilege who holds an object, who made it and when, and what it takes; nothing is guessed.
"""

import ctypes
import os
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple, TypeAlias

from namedmap import types as t
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._facts import Facts, Holding, Mapped
from namedmap._windows import calling, dll

LIVE, DEAD = "live", "dead"
#: Kinds of objects by the names that Windows has for their types.
_KINDS = {"Section": "section", "Mutant": "mutex", "Semaphore": "semaphore", "Event": "event"}
_QUERY, _TRAVERSE = 0x1, 0x2  # of a directory; the right to query is 1 of all four kinds, too
_FILE_MAP_READ = 0x4  # alone, the right to query a section would be FILE_MAP_COPY
_ROOM = 0x11000
_SEC_FILE, _SEC_RESERVE = 0x800000, 0x4000000

Key: TypeAlias = tuple[str, str]


class Found(NamedTuple):
    """An object of the directory."""

    name: str  # as the functions take it
    kind: str

    @property
    def key(self) -> Key:
        return self

    @property
    def status(self) -> str:
        return LIVE  # an object without a holder has no name

    @property
    def mine(self) -> bool:
        return True


def user() -> int | None:
    """The owner that this process's own objects have: Windows has no number for one."""
    return None


# -- objects -----------------------------------------------------------------------------------------------------------


def look(*, everyone: bool = False) -> list[Found]:
    """The objects of the session, and the global ones. No user may see more of them than another."""
    session, shared = _directories()
    found = [Found(name, _KINDS[kind]) for name, kind in _entries(session) if kind in _KINDS]
    if shared != session:
        found += [Found(f"Global\\{name}", _KINDS[kind]) for name, kind in _entries(shared) if kind in _KINDS]
    return sorted(found, key=lambda each: (each.name.startswith("Global\\"), each.name))


def look_at(name: str) -> Found:
    """The object of this name."""
    wanted = name.removeprefix("Local\\")
    for each in look():
        if each.name == wanted:
            return each
    raise KernelError(NTSTATUS.STATUS_OBJECT_NAME_NOT_FOUND, f"no object {name!r} exists: nobody holds a handle to it")


def _directories() -> tuple[str, str]:
    """Where the names of this session are, and those of all."""
    session = t.DWORD()
    dll.ProcessIdToSessionId(os.getpid(), ctypes.byref(session))
    shared = "\\BaseNamedObjects"
    return (f"\\Sessions\\{session.value}{shared}" if session.value else shared), shared


def _entries(path: str) -> Iterator[tuple[str, str]]:
    """(name, type) of what is in a directory; nothing if there is none."""
    directory = t.HANDLE()
    arguments = ctypes.byref(directory), _QUERY | _TRAVERSE, ctypes.byref(t.OBJECT_ATTRIBUTES(path))
    if dll.NtOpenDirectoryObject(*arguments):
        return
    try:
        room, context, first = (ctypes.c_ubyte * _ROOM)(), t.ULONG(), True
        # One entry at a time: the answer for several has a form that Wine does not keep to.
        while not dll.NtQueryDirectoryObject(
            directory.value, ctypes.byref(room), _ROOM, True, first, ctypes.byref(context), None
        ):
            first = False
            name, kind = (_text(t.UNICODE_STRING.from_buffer(room, at)) for at in (0, ctypes.sizeof(t.UNICODE_STRING)))
            yield name, kind
    finally:
        dll.CloseHandle(directory.value)


def _text(found: t.UNICODE_STRING) -> str:
    return ctypes.string_at(found.Buffer, found.Length).decode("utf-16-le", "surrogatepass") if found.Buffer else ""


# -- one of them -------------------------------------------------------------------------------------------------------


def facts(found: Found) -> Facts:
    """The facts that an object tells; only name and kind of one that may not be opened, or has gone meanwhile."""
    known = Facts(found.name, found.kind, LIVE)
    opening, ask = _ASKED[found.kind]
    access = _QUERY | _FILE_MAP_READ if found.kind == "section" else _QUERY
    number, code = calling.ask(opening, access, False, found.name)
    if not number:
        return known._replace(problem=calling.failure("it cannot be asked", code).detail)
    try:
        return ask(known._replace(handles=_handle_count(number)), number)
    finally:
        dll.CloseHandle(number)


def _handle_count(number: int) -> int:
    """Handles of all processes, the one that asks aside."""
    info = _queried(dll.NtQueryObject, number, t.OBJECT_BASIC_INFORMATION())
    return max(int(info.HandleCount) - 1, 0)


def _queried(function: dll.Foreign, number: int, info: Any) -> Any:
    """A structure that a query has filled; zeros if it has failed."""
    function(number, 0, ctypes.byref(info), ctypes.sizeof(info), None)
    return info


def _section(known: Facts, number: int) -> Facts:
    info = _queried(dll.NtQuerySection, number, t.SECTION_BASIC_INFORMATION())
    return known._replace(size=info.Size, reserved=bool(info.Attributes & _SEC_RESERVE))


def _mutex(known: Facts, number: int) -> Facts:
    info = _queried(dll.NtQueryMutant, number, t.MUTANT_BASIC_INFORMATION())
    return known._replace(state={"owned": info.CurrentCount < 1, "abandoned": bool(info.AbandonedState)})


def _semaphore(known: Facts, number: int) -> Facts:
    info = _queried(dll.NtQuerySemaphore, number, t.SEMAPHORE_BASIC_INFORMATION())
    return known._replace(state={"value": info.CurrentCount, "maximum": info.MaximumCount})


def _event(known: Facts, number: int) -> Facts:
    info = _queried(dll.NtQueryEvent, number, t.EVENT_BASIC_INFORMATION())
    return known._replace(state={"set": bool(info.EventState), "manual": info.EventType == 0})


_ASKED: dict[str, tuple[dll.Foreign, Callable[[Facts, int], Facts]]] = {
    "section": (dll.OpenFileMappingW, _section),
    "mutex": (dll.OpenMutexW, _mutex),
    "semaphore": (dll.OpenSemaphoreW, _semaphore),
    "event": (dll.OpenEventW, _event),
}


def is_alive(found: Found) -> bool:
    """Whether an object of this name and kind is there. (Another one that was made meanwhile is not told from it.)"""
    return found in look()


def open_data(found: Found) -> tuple[int, int]:
    """A descriptor of a section's bytes: Windows has none."""
    raise KernelError(
        NTSTATUS.STATUS_NOT_SUPPORTED, f"on Windows the memory of {found.name!r} is no file whose pages could be seen"
    )


# -- what there is not -------------------------------------------------------------------------------------------------


def remove_dead(found: Found) -> bool:
    """Nothing: Windows leaves nothing behind."""
    return False


def remove_dead_inboxes() -> int:
    """Nothing: Windows leaves nothing behind."""
    return 0


def holdings(files: Collection[Found]) -> dict[Key, list[Holding]]:
    """The holders of these objects, which Windows does not tell."""
    return {each.key: [] for each in files}


def views(found: Found) -> list[Mapped] | None:
    """Views of other processes, of which Windows does not tell."""
    return None


def command(pid: int) -> str:
    """The command line of a process, which Windows does not tell."""
    return ""
