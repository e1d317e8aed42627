"""Sections for the Python classes. See `namedmap._contract.Sections`."""

import ctypes
import os
import secrets
import sys
import weakref
from typing import Any, NamedTuple

from namedmap import types as t
from namedmap._contract import NOBODY_ELSE, Permissions
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._mapped import MappedMemory
from namedmap._windows import calling, dll
from namedmap._windows.contract import naming
from namedmap._windows.handles import Handle
from namedmap.access import Access

_PAGE = 4096
#: Offsets and addresses of views are multiples of this.
GRANULARITY = 0x10000
_SEC_FILE, _SEC_RESERVE, _SEC_COMMIT = 0x800000, 0x4000000, 0x8000000
_ALREADY_EXISTS = 183
_THIS_PROCESS = -1
_SAME_ACCESS = 2  # for DuplicateHandle
_PROCESS_DUP_HANDLE = 0x40
#: Rights of a section handle.
_QUERY, _EXECUTE, _EXTEND, _FILE_MAP_EXECUTE = 0x1, 0x8, 0x10, 0x20
#: FILE_MAP_* for a view, by the protection of its pages.
_VIEWS = {0x02: 0x4, 0x04: 0x6, 0x08: 0x1, 0x20: 0x24, 0x40: 0x26, 0x80: 0x21}

#: Where read-only views are mapped: through which handle, and where in it they begin. See `memory.copy`.
shown: dict[int, tuple["weakref.ref[SectionHandle]", int]] = {}


class SectionHandle(Handle):
    """A handle to a section."""

    __slots__ = ("constant_size", "may_vanish")

    def __init__(self, value: int, size: int | None, *, vanishes: bool) -> None:
        """Take over a handle; the size is None over a file."""
        super().__init__(value)
        self.constant_size, self.may_vanish = size, vanishes

    def size(self) -> int:
        if self.constant_size is not None:
            return self.constant_size
        number = self.borrow()
        try:
            return _look(number)[0]
        finally:
            self.give_back()

    def extend(self, size: int) -> int:
        number = self.borrow()
        try:
            # CreateFileMapping grants no right to extend; a duplicate is judged by the object's descriptor.
            with_right = _duplicate(_THIS_PROCESS, number, _THIS_PROCESS, _QUERY | _EXTEND)
            try:
                present = ctypes.c_int64(size)
                calling.must_succeed("it cannot be extended", dll.NtExtendSection, with_right, ctypes.byref(present))
                return max(_look(number)[0], present.value)
            finally:
                dll.CloseHandle(with_right)
        finally:
            self.give_back()

    def map(self, access: Access, offset: int, size: int) -> MappedMemory:
        start = offset % GRANULARITY
        number = self.borrow()
        try:
            wanted, asked = _VIEWS[access.protection], f"cannot map a view of {size:,} bytes"
            where = *_halves(offset - start), size + start
            base: int = calling.must(asked, dll.MapViewOfFile, number, wanted, *where)
        finally:
            self.give_back()
        if not access.writable:
            shown[base] = weakref.ref(self), offset - start
        return MappedMemory(base, start, size, drop, writable=access.writable)

    def open_data(self) -> int:
        raise KernelError(NTSTATUS.STATUS_NOT_SUPPORTED, "on Windows memory has no file descriptor")

    def hand_over(self) -> "Passage":
        return Passage(self)


def drop(address: int) -> None:
    """Unmap the view that is mapped at an address."""
    shown.pop(address, None)
    dll.UnmapViewOfFile(address)


def _look(number: int) -> tuple[int, int]:
    """Size and attributes of a section."""
    info = t.SECTION_BASIC_INFORMATION()
    ask: tuple[Any, ...] = number, 0, ctypes.byref(info), ctypes.sizeof(info), None
    calling.must_succeed("the section cannot be asked for its size", dll.NtQuerySection, *ask)
    return info.Size, info.Attributes


def _halves(number: int) -> tuple[int, int]:
    return number >> 32, number & 0xFFFFFFFF


def _rights(access: Access) -> int:
    """Rights of a handle, with that to be asked for its size. FILE_MAP_EXECUTE is another bit than what it means."""
    rights = access.handle & ~_FILE_MAP_EXECUTE | _QUERY
    return rights | _EXECUTE if access.handle & _FILE_MAP_EXECUTE else rights


def _rounded(size: int) -> int:
    return -(-size // _PAGE) * _PAGE


# -- create and open ---------------------------------------------------------------------------------------------------


def create(
    name: str | None,
    size: int,
    access: Access,
    *,
    reserve: bool = False,
    permissions: Permissions = NOBODY_ELSE,
    inheritable: bool = False,
) -> tuple[SectionHandle, bool]:
    kind = _SEC_RESERVE if reserve else _SEC_COMMIT
    return create_over(None, name, size, access, kind, permissions, inheritable)


def create_over(
    file: int | None,
    name: str | None,
    size: int,
    access: Access,
    kind: int = _SEC_COMMIT,
    permissions: Permissions = NOBODY_ELSE,
    inheritable: bool = False,
) -> tuple[SectionHandle, bool]:
    """A section over a file, by the number of its handle, or over the paging file (None)."""
    checked = naming.of_new(name)
    if not 0 <= size < 1 << 63:
        raise KernelError(NTSTATUS.STATUS_SECTION_TOO_BIG, f"no section can have {size:,} bytes")
    with naming.attributes(permissions, inheritable) as attributes:
        where = -1 if file is None else file
        arguments = where, attributes, access.protection | kind, *_halves(size), checked
        number, code = calling.ask(dll.CreateFileMappingW, *arguments)
    if not number:
        asked = f"cannot create file mapping {name!r} of {size:,} bytes"
        raise naming.of_kind(calling.failure(asked, code), name)
    return _adopted(number, size if file is None else None), code != _ALREADY_EXISTS


def open(name: str, access: Access, *, size: int | None = None, inheritable: bool = False) -> SectionHandle:
    number, code = calling.ask(dll.OpenFileMappingW, _rights(access), inheritable, naming.checked(name))
    if not number:
        raise naming.of_kind(calling.failure(f"cannot open file mapping {name!r}", code), name)
    handle = _adopted(number, size)
    if size not in (None, handle.constant_size) and size != handle.size():
        present = handle.size()
        handle.close()
        text = f"file mapping {name!r} has {present:,} bytes, to which {size:,} are not rounded"
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, text)
    return handle


def _adopted(number: int, size: int | None) -> SectionHandle:
    """The owner of a new handle. Memory has the size that is said if that rounds to what it has."""
    try:
        present, attributes = _look(number)
    except BaseException:
        dll.CloseHandle(number)
        raise
    over_file = bool(attributes & _SEC_FILE)
    exact = size if size is not None and _rounded(size) == _rounded(present) else present
    return SectionHandle(number, None if over_file else exact, vanishes=bool(attributes & (_SEC_FILE | _SEC_RESERVE)))


# -- to other processes ------------------------------------------------------------------------------------------------


class Sent(NamedTuple):
    """The pickled form: a handle of another process, or of the one that unpickles it (`process` None)."""

    handle: int
    size: int | None
    process: int | None = None
    seal: int = 0
    present: int = 0
    most: int = 0


class Passage:
    """A handle that other processes duplicate, and a seal: a semaphore whose numbers nobody guesses.

    A process that duplicates a handle by its number may be late, and get what has the number by then. The seal is
    closed before the handle. So a process that finds the seal in its place, after having duplicated the handle, has the
    right one.
    """

    def __init__(self, section: SectionHandle) -> None:
        self._size = section.constant_size
        number = section.borrow()
        try:
            self._handle = Handle(_duplicate(_THIS_PROCESS, number, _THIS_PROCESS))
        finally:
            section.give_back()
        self._count, self._maximum = secrets.randbelow(1 << 30), (1 << 30) + secrets.randbelow(1 << 30)
        arguments = None, self._count, self._maximum, None
        try:
            self._seal = Handle(calling.must("cannot seal a passage", dll.CreateSemaphoreW, *arguments))
        except BaseException:
            self._handle.close()
            raise

    def intact(self) -> bool:
        return True

    def sendable(self) -> object:
        """A duplicate that a new process of multiprocessing has; for others what they look for here."""
        context = sys.modules.get("multiprocessing.context")
        child = None if context is None else context.get_spawning_popen()
        if child is not None:
            return Sent(child.duplicate_for_child(self._handle.value), self._size)
        return Sent(self._handle.value, self._size, os.getpid(), self._seal.value, self._count, self._maximum)

    def close(self) -> None:
        self._seal.close()
        self._handle.close()


def receive(sent: object, access: Access) -> SectionHandle:
    if not isinstance(sent, Sent):
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"{sent!r:.60} was not sent by a process of Windows")
    wanted = _rights(access)
    if sent.process is None:
        try:
            return _adopted(_duplicate(_THIS_PROCESS, sent.handle, _THIS_PROCESS, wanted), sent.size)
        finally:
            dll.CloseHandle(sent.handle)
    return _adopted(_fetched(sent, wanted), sent.size)


def _fetched(sent: Sent, wanted: int) -> int:
    process, _ = calling.ask(dll.OpenProcess, _PROCESS_DUP_HANDLE, False, sent.process)
    if not process:
        raise _too_late(sent)
    try:
        number = _duplicate(process, sent.handle, _THIS_PROCESS, wanted)
        if _is_sealed(process, sent):
            return number
        dll.CloseHandle(number)
    except KernelError:
        raise _too_late(sent) from None
    finally:
        dll.CloseHandle(process)
    raise _too_late(sent)


def _is_sealed(process: int, sent: Sent) -> bool:
    seal = _duplicate(process, sent.seal, _THIS_PROCESS)
    try:
        info = t.SEMAPHORE_BASIC_INFORMATION()
        failed = dll.NtQuerySemaphore(seal, 0, ctypes.byref(info), ctypes.sizeof(info), None)
        return not failed and (info.CurrentCount, info.MaximumCount) == (sent.present, sent.most)
    finally:
        dll.CloseHandle(seal)


def _too_late(sent: Sent) -> KernelError:
    return KernelError(
        NTSTATUS.STATUS_OBJECT_NAME_NOT_FOUND,
        f"memory without a name, sent by process {sent.process}, cannot be had: that process has closed it or ended, "
        "or is another user's. Keep it open until it has arrived, or give it a name",
    )


def _duplicate(source: int, number: int, target: int, access: int | None = None) -> int:
    made = t.HANDLE()
    options = _SAME_ACCESS if access is None else 0
    arguments: tuple[Any, ...] = source, number, target, ctypes.byref(made), access or 0, False, options
    calling.must("cannot duplicate the handle", dll.DuplicateHandle, *arguments)
    return made.value or 0


__all__ = ["create", "open", "receive"]
