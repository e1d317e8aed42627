"""The pages of views for the Python classes. See `namedmap._contract.Memory`."""

import ctypes
from collections.abc import Callable

from namedmap import types as t
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._mapped import MappedMemory
from namedmap._windows import calling, dll, guarded
from namedmap._windows.contract import sections
from namedmap.access import Access

_MEM_COMMIT, _MEM_MAPPED = 0x1000, 0x40000
_FILE_MAP_COPY = 1
_GENERIC_WRITE, _SHARE_ALL, _OPEN_EXISTING = 0x40000000, 7, 3
_THIS_PROCESS = -1
_LONGEST_PATH = 1 << 15

#: The name of the advice to the system.
ADVICE = ("willneed",)

read, write = guarded.read, guarded.write


def reader(address: int) -> Callable[[int, int], bytes] | None:
    return None


def fill(address: int, content: memoryview) -> None:
    array = (ctypes.c_char * len(content)).from_address(address)
    memoryview(array).cast("B")[:] = content


def copy(address: int, size: int) -> MappedMemory:
    """Windows maps a section by a handle, so the one that the view was mapped through has to be open."""
    base = _region(address).AllocationBase or 0
    through, begin = sections.shown.get(base, (None, 0))
    handle = None if through is None else through()
    if handle is None:
        raise _mapping_closed()
    offset = begin + address - base
    start = offset % sections.GRANULARITY
    try:
        number = handle.borrow()
    except KernelError:
        raise _mapping_closed() from None
    try:
        place = (offset - start) >> 32, (offset - start) & 0xFFFFFFFF, size + start
        mapped: int = calling.must("no copy can be mapped", dll.MapViewOfFile, number, _FILE_MAP_COPY, *place)
    finally:
        handle.give_back()
    return MappedMemory(mapped, start, size, sections.drop, writable=True)


def _mapping_closed() -> KernelError:
    return KernelError(
        NTSTATUS.STATUS_NOT_SUPPORTED,
        "on Windows what lies over a read-only view is a view of its own, made through its mapping, which is closed: "
        "keep the mapping open",
    )


def _region(address: int) -> t.MEMORY_BASIC_INFORMATION:
    info = t.MEMORY_BASIC_INFORMATION()
    dll.VirtualQuery(address, ctypes.byref(info), ctypes.sizeof(info))
    return info


def flush(address: int, size: int) -> None:
    calling.must(f"cannot flush {size:,} bytes of a view", dll.FlushViewOfFile, address, size)


def write_through(address: int) -> None:
    """By the path of the view's file: the mapping keeps no handle to it that could be flushed."""
    name = ctypes.create_unicode_buffer(_LONGEST_PATH)
    if not dll.GetMappedFileNameW(_THIS_PROCESS, address, name, len(name)):
        return  # memory, which has no disk
    # Windows tells the path of a device; Wine one of NT, with a drive.
    path = name.value[4:] if name.value.startswith("\\??\\") else f"\\\\?\\GLOBALROOT{name.value}"
    asked = f"cannot write {path!r} to the disk"
    file, code = calling.ask(dll.CreateFileW, path, _GENERIC_WRITE, _SHARE_ALL, None, _OPEN_EXISTING, 0, 0)
    if file == -1:
        raise calling.failure(asked, code)
    try:
        calling.must(asked, dll.FlushFileBuffers, file)
    finally:
        dll.CloseHandle(file)


def protect(address: int, size: int, access: Access) -> None:
    before = t.DWORD()
    asked = f"{size:,} bytes of a view cannot become {access.word!r}"
    calling.must(asked, dll.VirtualProtect, address, size, access.protection, ctypes.byref(before))


def commit(address: int, size: int, access: Access) -> None:
    asked = f"cannot commit {size:,} bytes of a view"
    calling.must(asked, dll.VirtualAlloc, address, size, _MEM_COMMIT, access.protection)


def lock(address: int, size: int) -> None:
    calling.must(f"cannot lock {size:,} bytes of a view", dll.VirtualLock, address, size)


def unlock(address: int, size: int) -> None:
    calling.must(f"cannot unlock {size:,} bytes of a view", dll.VirtualUnlock, address, size)


def advise(address: int, size: int, advice: str) -> None:
    ranges = t.WIN32_MEMORY_RANGE_ENTRY(address, size)
    asked = f"cannot advise {advice!r} for {size:,} bytes of a view"
    calling.must(asked, dll.PrefetchVirtualMemory, _THIS_PROCESS, 1, ctypes.byref(ranges), 0)


def resident(address: int, size: int) -> bytes:
    raise KernelError(
        NTSTATUS.STATUS_NOT_SUPPORTED,
        "on Windows no process is told which pages are in memory, only which are in its own working set",
    )


def is_view(address: int) -> bool:
    region = _region(address)
    return bool(region.Type == _MEM_MAPPED and region.AllocationBase == address)


__all__ = [
    "ADVICE",
    "advise",
    "commit",
    "copy",
    "fill",
    "flush",
    "is_view",
    "lock",
    "protect",
    "read",
    "reader",
    "resident",
    "unlock",
    "write",
    "write_through",
]
