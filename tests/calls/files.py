"""Files: short calls."""

import contextlib
import functools
import os
from pathlib import Path

import child
from calls import message, section
from namedmap import win32

Name = str | os.PathLike[str] | os.PathLike[bytes] | None

READ, WRITE = win32.GENERIC_READ, win32.GENERIC_WRITE
BOTH = READ | WRITE
ALL = 7

run = functools.partial(child.run, names="calls calls.files")
start = functools.partial(child.start, names="calls calls.files")
running = functools.partial(child.running, names="calls calls.files")


def open_file(
    path: Name,
    access: int = BOTH,
    share: int = ALL,
    disposition: int = win32.OPEN_EXISTING,
    flags: int = 0,
) -> int:
    return win32.CreateFile(path, access, share, None, disposition, flags, None)


def opened(
    path: Name,
    access: int = BOTH,
    share: int = ALL,
    disposition: int = win32.OPEN_EXISTING,
    flags: int = 0,
) -> int:
    """A handle that must be had."""
    handle = open_file(path, access, share, disposition, flags)
    assert handle != win32.INVALID_HANDLE_VALUE, message()
    return handle


def refused(
    path: Name,
    access: int = BOTH,
    share: int = ALL,
    disposition: int = win32.OPEN_EXISTING,
    flags: int = 0,
) -> int:
    """The error of an open that must fail."""
    assert open_file(path, access, share, disposition, flags) == win32.INVALID_HANDLE_VALUE
    return win32.GetLastError()


def write(handle: int, data: bytes) -> int:
    count = win32.DWORD(0x55)
    assert win32.WriteFile(handle, data, len(data), count), message()
    return count.value


def read(handle: int, length: int) -> bytes:
    data, count = bytearray(length), win32.DWORD(0x55)
    assert win32.ReadFile(handle, data, length, count), message()
    return bytes(data[: count.value])


def seek(handle: int, distance: int, method: int = win32.FILE_BEGIN) -> int:
    position = win32.LARGE_INTEGER()
    assert win32.SetFilePointerEx(handle, distance, position, method), message()
    return position.value


def size(handle: int) -> int:
    found = win32.LARGE_INTEGER()
    assert win32.GetFileSizeEx(handle, found)
    return found.value


def section_of(file: int, protect: int = win32.PAGE_READONLY, length: int = 0) -> int:
    """A section over a file that must be had."""
    return section(length, protect, file=file)


def has_open_handles(path: Path) -> bool:
    """Whether this process has a descriptor of the file."""
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{entry}").removesuffix(" (deleted)") == str(path):
                return True
    return False


def flags_of(path: Path) -> int:
    """The open flags of this process's descriptor of a file."""
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/self/fd/{entry}") == str(path):
                lines = Path(f"/proc/self/fdinfo/{entry}").read_text().splitlines()
                return int(next(line for line in lines if line.startswith("flags:")).split()[1], 8)
    raise AssertionError(f"{path} is not open")
