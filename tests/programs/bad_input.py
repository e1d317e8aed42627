"""Call every function of win32 and nt with arguments that no sane program passes; print what goes wrong. Run by itself:

    PYTHONPATH=tests python -m programs.bad_input [FUNCTION ...]

Every parameter in turn gets every bad value of its kind, while the others are right; then all get bad ones at random. A
call may fail, and then says why. It may raise TypeError, for a value of a wrong Python type and for nothing else. The
interpreter must not die, and a failed call must not leave anything open.
"""

import contextlib
import ctypes
import enum
import functools
import gc
import inspect
import itertools
import os
import random
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from calls.kernel import View, named, space, table
from namedmap import nt, win32

UNTOUCHED = 0xDEADBEEF
RANDOM_CALLS = 60

#: Integers that no argument can be, or only just.
EXTREME = (-1, -2, -(2**31), -(2**63), 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
OUTSIDE = (2**64, 2**70, -(2**63) - 1, -(2**70), 10**30)
WRONG_TYPES: tuple[Any, ...] = (1.5, object(), [], {}, 2j, b"bytes", "text", int, (1, 2), range(3), Ellipsis)
WRONG_TEXT: tuple[Any, ...] = (1.5, object(), [], 7, b"bytes", bytearray(b"x"))
ODD_TEXT = ("", "\0", "a\0b", "\\", "\\\\", "Global\\", "Local\\", "Global", "a\\b", "x" * 300,
            "x" * 40000, "\ud800", "\udcff", "\U0001f600" * 100, "../x", "/", ".", "..", "%41", "\n")  # fmt: skip


class World:
    """Everything that arguments refer to, made when asked for; a new one for each call, as calls destroy things."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @functools.cached_property
    def path(self) -> Path:
        path = self._directory / "data"
        path.write_bytes(bytes(10000))
        return path

    @functools.cached_property
    def section(self) -> int:
        return self._made(win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 0x30000, None))

    @functools.cached_property
    def reserve(self) -> int:
        protection = win32.PAGE_READWRITE | win32.SEC_RESERVE
        return self._made(win32.CreateFileMapping(-1, None, protection, 0, 0x30000, None))

    @functools.cached_property
    def file(self) -> int:
        return self._made(win32.CreateFile(self.path, 0xC0000000, 7, None, win32.OPEN_EXISTING, 0, None))

    @functools.cached_property
    def mutex(self) -> int:
        return self._made(win32.CreateMutex(None, False, None))

    @functools.cached_property
    def semaphore(self) -> int:
        return self._made(win32.CreateSemaphore(None, 1, 5, None))

    @functools.cached_property
    def event(self) -> int:
        return self._made(win32.CreateEvent(None, True, True, None))

    @functools.cached_property
    def view(self) -> int:
        return self._made(win32.MapViewOfFile(self.section, win32.FILE_MAP_WRITE, 0, 0, 0))

    @functools.cached_property
    def memory(self) -> int:
        return self._made(win32.VirtualAlloc(None, 0x10000, 0x3000, win32.PAGE_READWRITE))

    @functools.cached_property
    def closed(self) -> int:
        """A handle that is none any more."""
        value = self._made(win32.CreateMutex(None, False, None))
        assert win32.CloseHandle(value)
        return value

    @staticmethod
    def _made(value: int | None) -> int:
        assert value
        return value

    def close(self) -> None:
        for value in list(table.by_value):
            win32.SetHandleInformation(value, win32.HANDLE_FLAG_PROTECT_FROM_CLOSE, 0)
            while win32.ReleaseMutex(value):  # an owned mutex would outlive its handle
                pass
            win32.CloseHandle(value)
        with contextlib.suppress(OSError):
            os.chmod(self._directory / "data", 0o600)
        for region in list(space):
            if isinstance(region, View):
                win32.UnmapViewOfFile(region.base)
            else:
                win32.VirtualFree(region.base, 0, win32.MEM_RELEASE)


class Sort(enum.Enum):
    """The sort of a parameter."""

    INTEGER, TIME, HANDLE, HANDLES, ADDRESS, NAME, PATH, ATTRIBUTES, OUT, BUFFER, ANY = range(11)


class Parameter(NamedTuple):
    name: str
    sort: Sort
    right: Callable[[World], Any]


def _number(value: int) -> Callable[[World], Any]:
    return lambda world: value


#: By name of the parameter; what is not here is a number, with its right value below.
SORTS: dict[str, tuple[Sort, Callable[[World], Any]]] = {
    "hFile": (Sort.HANDLE, lambda world: world.file),
    "hFileMappingObject": (Sort.HANDLE, lambda world: world.section),
    "SectionHandle": (Sort.HANDLE, lambda world: world.section),
    "FileHandle": (Sort.HANDLE, lambda world: world.file),
    "Handle": (Sort.HANDLE, lambda world: world.section),
    "hObject": (Sort.HANDLE, lambda world: world.section),
    "hSourceHandle": (Sort.HANDLE, lambda world: world.section),
    "hMutex": (Sort.HANDLE, lambda world: world.mutex),
    "hSemaphore": (Sort.HANDLE, lambda world: world.semaphore),
    "SemaphoreHandle": (Sort.HANDLE, lambda world: world.semaphore),
    "hEvent": (Sort.HANDLE, lambda world: world.event),
    "EventHandle": (Sort.HANDLE, lambda world: world.event),
    "hHandle": (Sort.HANDLE, lambda world: world.event),
    "hObjectToSignal": (Sort.HANDLE, lambda world: world.event),
    "hObjectToWaitOn": (Sort.HANDLE, lambda world: world.event),
    "lpHandles": (Sort.HANDLES, lambda world: [world.event, world.semaphore]),
    "dwMilliseconds": (Sort.TIME, lambda world: 0),
    "hFirstObjectHandle": (Sort.HANDLE, lambda world: world.section),
    "hSecondObjectHandle": (Sort.HANDLE, lambda world: world.section),
    "hSourceProcessHandle": (Sort.HANDLE, lambda world: -1),
    "hTargetProcessHandle": (Sort.HANDLE, lambda world: -1),
    "hProcess": (Sort.HANDLE, lambda world: -1),
    "ProcessHandle": (Sort.HANDLE, lambda world: -1),
    "hTemplateFile": (Sort.HANDLE, lambda world: None),
    "lpBaseAddress": (Sort.ADDRESS, lambda world: world.view),
    "lpAddress": (Sort.ADDRESS, lambda world: world.view),
    "File1MappedAsAnImage": (Sort.ADDRESS, lambda world: world.view),
    "File2MappedAsFile": (Sort.ADDRESS, lambda world: world.view),
    "lpName": (Sort.NAME, lambda world: "bad-input"),
    "lpFileName": (Sort.PATH, lambda world: world.path),
    "lpExistingFileName": (Sort.PATH, lambda world: world.path),
    "lpNewFileName": (Sort.PATH, lambda world: world.path.with_name("other")),
    "lpSecurityAttributes": (Sort.ATTRIBUTES, lambda world: None),
    "lpFileMappingAttributes": (Sort.ATTRIBUTES, lambda world: None),
    "lpMutexAttributes": (Sort.ATTRIBUTES, lambda world: None),
    "lpSemaphoreAttributes": (Sort.ATTRIBUTES, lambda world: None),
    "lpEventAttributes": (Sort.ATTRIBUTES, lambda world: None),
    "ObjectAttributes": (Sort.ATTRIBUTES, lambda world: nt.OBJECT_ATTRIBUTES("bad-input")),
    "lpSource": (Sort.NAME, lambda world: None),
    "Arguments": (Sort.ANY, lambda world: None),
}

OUT: dict[str, Callable[[], Any]] = {
    "lpNumberOfBytesRead": win32.DWORD,
    "lpNumberOfBytesWritten": win32.DWORD,
    "lpOverlapped": win32.OVERLAPPED,
    "lpDistanceToMoveHigh": win32.LONG,
    "lpNewFilePointer": win32.LARGE_INTEGER,
    "lpFileSizeHigh": win32.DWORD,
    "lpExitCode": win32.DWORD,
    **dict.fromkeys(("lpCreationTime", "lpExitTime", "lpKernelTime", "lpUserTime"), win32.FILETIME),
    "lpFileSize": win32.LARGE_INTEGER,
    "lpdwFlags": win32.DWORD,
    "lpTargetHandle": win32.HANDLE,
    "lpflOldProtect": win32.DWORD,
    "lpSystemInfo": win32.SYSTEM_INFO,
    "VirtualAddresses": lambda: (win32.WIN32_MEMORY_RANGE_ENTRY * 2)(),
    "MutantHandle": win32.HANDLE,
    "BaseAddress": win32.LPVOID,
    "SectionOffset": win32.LARGE_INTEGER,
    "ViewSize": win32.SIZE_T,
    "RegionSize": win32.SIZE_T,
    "MaximumSize": lambda: win32.LARGE_INTEGER(4096),
    "NewSectionSize": lambda: win32.LARGE_INTEGER(4096),
    "SectionInformation": lambda: (ctypes.c_char * 256)(),
    "ObjectInformation": lambda: (ctypes.c_char * 256)(),
    "MutantInformation": nt.MUTANT_BASIC_INFORMATION,
    "SemaphoreInformation": nt.SEMAPHORE_BASIC_INFORMATION,
    "EventInformation": nt.EVENT_BASIC_INFORMATION,
    "ResultLength": win32.DWORD,
    "lpPreviousCount": win32.LONG,
    "ReturnLength": win32.SIZE_T,
    "IoStatus": lambda: None,
}

NUMBERS = {
    "flProtect": 4, "dwDesiredAccess": 4, "DesiredAccess": 4, "dwShareMode": 7, "dwCreationDisposition": 3,
    "nNumberOfBytesToRead": 16, "nNumberOfBytesToWrite": 16, "dwMaximumSizeLow": 4096, "dwLength": 48, "dwSize": 4096,
    "flNewProtect": 2, "flAllocationType": 0x3000, "dwFreeType": 0x8000, "NumberOfEntries": 2, "dwFlags": 0x1000,
    "nCount": 2, "lReleaseCount": 1,
    "lInitialCount": 1, "lMaximumCount": 2, "dwFileAttributes": 0x80, "dwOptions": 2, "dwMessageId": 87,
    "SectionPageProtection": 4, "AllocationAttributes": 0x8000000, "InheritDisposition": 1, "Win32Protect": 4,
    "SectionInformationLength": 256, "ObjectInformationLength": 256, "Length": 256, "dwProcessId": os.getpid(),
}  # fmt: skip


def parameters(name: str, function: Callable[..., Any]) -> list[Parameter]:
    return [_parameter(name, parameter) for parameter in inspect.signature(function).parameters]


def _parameter(function: str, name: str) -> Parameter:
    if function in ("NtCreateSection", "NtOpenSection") and name == "SectionHandle":
        return Parameter(name, Sort.OUT, lambda world: win32.HANDLE())
    if function == "NtUnmapViewOfSection" and name == "BaseAddress":
        return Parameter(name, Sort.ADDRESS, lambda world: world.view)
    if function == "NtQueryMutant" and name == "MutantHandle":
        return Parameter(name, Sort.HANDLE, lambda world: world.mutex)
    if function.startswith("NtQuery") and name == "Length" and function != "NtQueryObject":
        return Parameter(name, Sort.INTEGER, _number(8))
    if function in ("CreateMutexEx", "CreateSemaphoreEx", "CreateEventEx") and name == "dwFlags":
        return Parameter(name, Sort.INTEGER, _number(0))
    if function in ("NtQueryObject", "NtQuerySemaphore", "NtQueryEvent") and name == "ReturnLength":
        return Parameter(name, Sort.OUT, lambda world: win32.DWORD())
    if function == "NtCreateSection" and name == "FileHandle":
        return Parameter(name, Sort.HANDLE, lambda world: None)
    if function in ("MapViewOfFileEx", "VirtualAlloc") and name in ("lpBaseAddress", "lpAddress"):
        return Parameter(name, Sort.ADDRESS, lambda world: None)
    if function == "VirtualFree" and name == "lpAddress":
        return Parameter(name, Sort.ADDRESS, lambda world: world.memory)
    if function == "VirtualFree" and name == "dwSize":
        return Parameter(name, Sort.INTEGER, _number(0))
    if function == "NtFlushVirtualMemory" and name == "BaseAddress":
        return Parameter(name, Sort.OUT, lambda world: win32.LPVOID(world.view))
    if function == "CreateFileMapping" and name == "hFile":
        return Parameter(name, Sort.HANDLE, lambda world: -1)
    if function == "MoveFileEx" and name == "dwFlags":
        return Parameter(name, Sort.INTEGER, _number(0))
    if name == "lpBuffer":
        return _buffer(function)
    if name in OUT:
        make = OUT[name]
        return Parameter(name, Sort.OUT, lambda world: make())
    if name in SORTS:
        return Parameter(name, *SORTS[name])
    return Parameter(name, Sort.INTEGER, _number(NUMBERS.get(name, 0)))


def _buffer(function: str) -> Parameter:
    if function == "FormatMessage":
        return Parameter("lpBuffer", Sort.OUT, lambda world: (ctypes.c_wchar * 500)())
    if function == "VirtualQuery":
        return Parameter("lpBuffer", Sort.OUT, lambda world: win32.MEMORY_BASIC_INFORMATION())
    return Parameter("lpBuffer", Sort.BUFFER, lambda world: bytearray(64))


def bad_values(parameter: Parameter, world: World) -> Iterator[tuple[Any, bool]]:
    """Pairs: a value, and whether its Python type is wrong."""
    sort = parameter.sort
    if sort in (Sort.NAME, Sort.PATH):
        yield from ((text, False) for text in ODD_TEXT)
        yield None, False
        yield from ((value, True) for value in WRONG_TEXT)
        return
    if sort is Sort.ATTRIBUTES:
        yield from _bad_attributes()
        return
    if sort is Sort.ANY:
        return
    if sort in (Sort.OUT, Sort.BUFFER):
        yield from _bad_outs(sort)
        return
    if sort is Sort.HANDLES:
        yield from _bad_handles(world)
        return
    if sort is Sort.TIME:
        # Nothing ends a wait without end, except what it is for.
        yield from ((value, False) for value in (*OUTSIDE, 0, 1, 3, True))
        yield from ((value, True) for value in WRONG_TYPES)
        return
    yield from ((value, False) for value in (*EXTREME, *OUTSIDE, 0, 1, 3, True))
    if sort is Sort.HANDLE:
        handles = (world.section, world.reserve, world.file, world.mutex, world.closed)
        yield from ((value, False) for value in (*handles, world.section + 1, 0x40000000, 0x7FFFFFFC, 12344, None))
        yield from ((win32.HANDLE(value), False) for value in (0, world.section, world.closed, 2**64 - 1))
    if sort is Sort.ADDRESS:
        inside = (world.view + 1, world.view + 0x10000, world.view + 0x2FFFF, world.memory + 5)
        outside = (world.view + 0x30000, 4096, 65536, 2**47 - 1, 2**47, 2**47 - 4096)
        yield from ((value, False) for value in (*inside, *outside, None))
        yield from ((ctypes.c_void_p(value), False) for value in (0, world.view, 2**64 - 1))
    yield from ((value, True) for value in WRONG_TYPES)


def _bad_handles(world: World) -> Iterator[tuple[Any, bool]]:
    yield None, False
    for handles in ([], [world.event], [world.event, 0], [world.closed] * 2, [world.section, None], [world.event] * 2):
        yield handles, False
        yield tuple(handles), False
        yield (win32.HANDLE * len(handles))(*handles), False
    yield [2**70, 0], False
    for value in ([1.5, object()], ["text", b"x"], 7, 1.5, object(), int, [[], {}]):
        yield value, True


def _bad_attributes() -> Iterator[tuple[Any, bool]]:
    for sddl in ("", "garbage", "D:", "D:()", "O:XX", "D:(A;;GA;;;WD", "D:(X;;GA;;;WD)", "\0", "D:(A;;ZZ;;;WD)"):
        yield win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=sddl), False
        yield nt.OBJECT_ATTRIBUTES("bad-input", 0, None, sddl), False
    for name in ODD_TEXT:
        yield nt.OBJECT_ATTRIBUTES(name), False
    for flags in (*EXTREME, *OUTSIDE, 0x10, 0x40, 0x80, 0xFFFF):
        yield nt.OBJECT_ATTRIBUTES("bad-input", flags), False
    yield nt.OBJECT_ATTRIBUTES("x", 0, 12344), False
    yield None, False
    for value in (1.5, object(), [], "text", 7, b"x", win32.DWORD()):
        yield value, True


def _bad_outs(sort: Sort) -> Iterator[tuple[Any, bool]]:
    yield None, False
    for kind in (win32.DWORD, win32.HANDLE, win32.LARGE_INTEGER, win32.OVERLAPPED, win32.SYSTEM_INFO):
        yield ctypes.POINTER(kind)(), sort is Sort.OUT
    for value in (1.5, object(), [], "text", {}, 2j, int):
        yield value, True
    if sort is Sort.BUFFER:
        # Addresses at which nothing can be.
        yield from ((value, False) for value in (0, 1, 4095, 2**47, 2**63, 2**64 - 1, -1, *OUTSIDE))
        yield from ((value, False) for value in (bytearray(), bytearray(3)))
    else:
        yield from ((value, True) for value in (b"bytes", ctypes.c_char(b"x"), ctypes.c_double(1)))


class Examiner:
    """Calls, and judges what comes back."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.calls = 0

    def call(self, name: str, function: Callable[..., Any], arguments: list[Any], wrong: bool | None) -> None:
        """`wrong`: whether a type is wrong, so that TypeError must come; None: perhaps, so that it may."""
        self.calls += 1
        win32.SetLastError(UNTOUCHED)
        try:
            result = function(*arguments)
        except TypeError as error:
            if wrong is False:
                self._complain(name, arguments, f"TypeError for right types: {error}")
            return
        except BaseException as error:
            self._complain(name, arguments, f"raises {type(error).__name__}: {error}")
            return
        if wrong:
            self._complain(name, arguments, f"accepts a wrong type and returns {result!r}")
        if name.startswith("Nt"):
            if not isinstance(result, int) or not 0 <= result < 2**32:
                self._complain(name, arguments, f"returns {result!r}, which is no NTSTATUS")
        elif (result is None or result is False) and name not in ("SetLastError", "GetSystemInfo"):
            self._check_error(name, arguments)

    def _check_error(self, name: str, arguments: list[Any]) -> None:
        code = win32.GetLastError()
        if code in (UNTOUCHED, 0) and name != "CompareObjectHandles":
            self._complain(name, arguments, f"fails with last error {code:#x}")
        elif code != UNTOUCHED and not win32.FormatMessage(win32.FORMAT_MESSAGE_FROM_SYSTEM, None, code):
            self._complain(name, arguments, f"fails with {code}, which has no text")

    def _complain(self, name: str, arguments: list[Any], what: str) -> None:
        shown = ", ".join(repr(argument)[:60] for argument in arguments)
        self.complaints.append(f"{name}({shown}): {what}")


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    for module in (win32, nt):
        for name, value in sorted(vars(module).items()):
            # The first would end this process, whose handle is among the arguments; the second gives nothing back and
            # takes any text. The fuzzer of everything calls it.
            if name in ("TerminateProcess", "OutputDebugString"):
                continue
            if inspect.isfunction(value) and not name.startswith("_") and value.__name__ == name:
                yield name, value


def examine(examiner: Examiner, name: str, function: Callable[..., Any], directory: Path) -> None:
    """One function: each parameter with each bad value, then all of them at random."""
    known = parameters(name, function)
    for index, parameter in enumerate(known):
        world = World(directory)
        count = sum(1 for _ in bad_values(parameter, world))
        world.close()
        for number in range(count):
            world = World(directory)
            arguments = [other.right(world) for other in known]
            arguments[index], wrong = next(itertools.islice(bad_values(parameter, world), number, None))
            expected: bool | None = wrong
            if parameter.sort is Sort.ATTRIBUTES and (wrong or arguments[index] is not None):
                expected = wrong if wrong and not isinstance(arguments[index], nt.OBJECT_ATTRIBUTES) else None
            elif parameter.sort in (Sort.OUT, Sort.BUFFER) and wrong:
                expected = None if isinstance(arguments[index], ctypes._Pointer) else True
            examiner.call(name, function, arguments, expected)
            world.close()
    random.seed(name)
    for _ in range(RANDOM_CALLS if known else 1):
        world = World(directory)
        nothing: list[tuple[Any, bool]] = [(None, False)]
        chosen = [random.choice(nothing + list(bad_values(parameter, world)))[0] for parameter in known]
        examiner.call(name, function, chosen, None)
        world.close()


def descriptors() -> dict[str, str]:
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
    return found


def warm_up(directory: Path) -> None:
    """Have what a process opens once and keeps: its inbox, its descriptor for faults on reserved pages."""
    win32.GetCurrentProcessId()
    world = World(directory)
    win32.MapViewOfFile(world.reserve, win32.FILE_MAP_WRITE, 0, 0, 0)
    world.close()
    gc.collect()


def main() -> int:
    # Sizes of gigabytes are asked for: they shall fail at once.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24, 1 << 24))
    examiner = Examiner()
    # Many of the thousands of worlds write their file anew, for which a disk takes a millisecond.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as scratch:
        # Inside of another directory, which "../x" is in.
        directory = Path(scratch, "inner")
        directory.mkdir()
        os.chdir(directory)
        warm_up(directory)
        for name, function in functions():
            if sys.argv[1:] and name not in sys.argv[1:]:
                continue
            print(f"... {name}", flush=True)  # the last one, if the interpreter dies
            before = descriptors()
            examine(examiner, name, function, directory)
            gc.collect()
            left = {fd: link for fd, link in descriptors().items() if fd not in before}
            if left:
                examiner.complaints.append(f"{name} leaves descriptors open: {left}")
            if named.holders or list(space):
                examiner.complaints.append(f"{name} leaves objects or views: {named.holders}, {list(space)}")
    for complaint in examiner.complaints:
        print(complaint)
    print(f"{examiner.calls} calls, {len(examiner.complaints)} complaints")
    return 1 if examiner.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
