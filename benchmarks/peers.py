"""The subjects of the measurement: namedmap, and what people use instead. Each function makes a whole cycle."""

import ctypes
import mmap
import os
import sys
from collections.abc import Callable
from multiprocessing import shared_memory
from typing import Any

from namedmap import win32

try:
    import posix_ipc

    HAS_POSIX_IPC = True
except ImportError:
    HAS_POSIX_IPC = False

PAGE_SIZE = 4096
_ACCESS, _PAGES = win32.FILE_MAP_ALL_ACCESS, win32.PAGE_READWRITE

#: Python 3.13 lets SharedMemory do without the resource tracker; earlier ones register every block with it.
UNTRACKED: dict[str, Any] | None = {"track": False} if sys.version_info >= (3, 13) else None

Cycle = Callable[[], None]


def _failed(call: str) -> OSError:
    text = win32.FormatMessage(win32.FORMAT_MESSAGE_FROM_SYSTEM, None, win32.GetLastError(), 0)
    return OSError(f"{call}: {text}")


# -- namedmap ----------------------------------------------------------------------------------------------------------


def _use(section: int | None, touch: int) -> None:
    """Map, store `touch` bytes, unmap, close."""
    view = None if section is None else win32.MapViewOfFile(section, _ACCESS, 0, 0, 0)
    if section is None or view is None:
        raise _failed("CreateFileMapping, OpenFileMapping or MapViewOfFile")
    if touch:
        ctypes.memset(view, 1, touch)
    win32.UnmapViewOfFile(view)
    win32.CloseHandle(section)


def namedmap_create(name: str, size: int, *, touch: int = 1, flags: int = 0) -> Cycle:
    protect = int(_PAGES) | flags

    def cycle() -> None:
        _use(win32.CreateFileMapping(win32.INVALID_HANDLE_VALUE, None, protect, 0, size, name), touch)

    return cycle


def namedmap_reserve(name: str, size: int, *, commit: bool) -> Cycle:
    """SEC_RESERVE: address space and no memory; `commit` makes the first page memory and touches it."""
    protect = int(_PAGES | win32.SEC_RESERVE)

    def cycle() -> None:
        section = win32.CreateFileMapping(win32.INVALID_HANDLE_VALUE, None, protect, 0, size, name)
        view = None if section is None else win32.MapViewOfFile(section, _ACCESS, 0, 0, 0)
        if section is None or view is None:
            raise _failed("CreateFileMapping(SEC_RESERVE) or MapViewOfFile")
        if commit:
            win32.VirtualAlloc(view, PAGE_SIZE, win32.MEM_COMMIT, _PAGES)
            ctypes.memset(view, 1, 1)
        win32.UnmapViewOfFile(view)
        win32.CloseHandle(section)

    return cycle


def namedmap_open(name: str) -> Cycle:
    def cycle() -> None:
        _use(win32.OpenFileMapping(_ACCESS, False, name), 1)

    return cycle


# -- multiprocessing.shared_memory -------------------------------------------------------------------------------------


def _store(memory: memoryview | mmap.mmap, touch: int) -> None:
    if touch == 1:
        memory[0] = 1
    elif touch:
        first = ctypes.c_char.from_buffer(memory)
        ctypes.memset(ctypes.addressof(first), 1, touch)
        del first  # else it would keep the memory from being closed


def shared_memory_create(
    name: str, size: int, *, touch: int = 1, allocate: bool = False, options: dict[str, Any] | None = None
) -> Cycle:
    """`allocate`: with the space taken at creation, as SEC_COMMIT promises."""
    more = options or {}

    def cycle() -> None:
        block = shared_memory.SharedMemory(name, True, size, **more)
        if allocate:
            os.posix_fallocate(vars(block)["_fd"], 0, size)
        assert block.buf is not None
        _store(block.buf, touch)
        block.close()
        block.unlink()

    return cycle


def shared_memory_open(name: str, options: dict[str, Any] | None = None) -> Cycle:
    more = options or {}

    def cycle() -> None:
        block = shared_memory.SharedMemory(name, **more)
        assert block.buf is not None
        block.buf[0] = 1
        block.close()

    return cycle


# -- posix_ipc and mmap ------------------------------------------------------------------------------------------------


def posix_ipc_create(name: str, size: int, *, touch: int = 1, allocate: bool = False) -> Cycle:
    def cycle() -> None:
        block = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, size=size)
        if allocate:
            os.posix_fallocate(block.fd, 0, size)
        memory = mmap.mmap(block.fd, size)
        block.close_fd()
        _store(memory, touch)
        memory.close()
        block.unlink()

    return cycle


def posix_ipc_open(name: str) -> Cycle:
    def cycle() -> None:
        block = posix_ipc.SharedMemory(name)
        memory = mmap.mmap(block.fd, block.size)
        block.close_fd()
        memory[0] = 1
        memory.close()

    return cycle
