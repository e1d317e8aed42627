"""Sections, views and memory: short calls, and what VirtualQuery says."""

import ctypes
import functools
from typing import NamedTuple

import child
from calls import close, message
from namedmap import nt, win32

GRANULARITY = 0x10000

READ, WRITE, COPY, EXECUTE, ALL = (
    win32.FILE_MAP_READ,
    win32.FILE_MAP_WRITE,
    win32.FILE_MAP_COPY,
    win32.FILE_MAP_EXECUTE,
    win32.FILE_MAP_ALL_ACCESS,
)
SUCCESS, OBJECT_NAME_EXISTS = 0, 0x40000000

run = functools.partial(child.run, names="calls calls.memory")


def exists(name: str) -> bool:
    """Whether a section of this name can be opened."""
    found = win32.OpenFileMapping(READ, False, name)
    if found is None:
        assert win32.GetLastError() == win32.ERROR_FILE_NOT_FOUND, message()
        return False
    close(found)
    return True


class Pages(NamedTuple):
    """The answer of VirtualQuery."""

    base: int
    allocation_base: int
    allocation_protect: int
    size: int
    state: int
    protect: int
    type: int


def query(address: int) -> Pages:
    info = win32.MEMORY_BASIC_INFORMATION()
    assert win32.VirtualQuery(address, info, ctypes.sizeof(info)) == 48, message()
    return Pages(
        info.BaseAddress or 0,
        info.AllocationBase or 0,
        info.AllocationProtect,
        info.RegionSize,
        info.State,
        info.Protect,
        info.Type,
    )


def protect(address: int, length: int, protection: int) -> int:
    """Change a protection; the old one."""
    old = win32.DWORD(0xDEAD)
    assert win32.VirtualProtect(address, length, protection, old), message()
    return old.value


def section_basic(handle: int) -> tuple[int, int]:
    """(attributes, size) of a section, as NtQuerySection gives them."""
    info = nt.SECTION_BASIC_INFORMATION()
    assert nt.NtQuerySection(handle, 0, info, ctypes.sizeof(info), None) == SUCCESS
    return info.Attributes, info.Size
