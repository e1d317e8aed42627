"""Views of sections, and memory."""

import ctypes
import functools
import os

from namedmap._convention.call import (
    AnyAddress,
    AnyHandle,
    Out,
    address,
    dword,
    handle,
    invalid,
    size_t,
    target,
    win32,
)
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.linux import libc, protection
from namedmap._kernel.linux.libc import PAGE
from namedmap._kernel.memory import arena, private, views
from namedmap._kernel.memory.foreign import MappedPages, foreign_pages
from namedmap._kernel.memory.section import round_to_page
from namedmap._kernel.memory.space import PageInfo, space
from namedmap._kernel.objects.table import CURRENT_PROCESS, table
from namedmap.types import DWORD, MEMORY_BASIC_INFORMATION, SYSTEM_INFO, WIN32_MEMORY_RANGE_ENTRY

_COPY, _WRITE, _READ, _EXECUTE = 0x1, 0x2, 0x4, 0x20
_MODIFIERS = 0xE0000000  # FILE_MAP_RESERVE, FILE_MAP_LARGE_PAGES, FILE_MAP_TARGETS_INVALID


@win32(None)
def MapViewOfFileEx(
    hFileMappingObject: AnyHandle,
    dwDesiredAccess: int,
    dwFileOffsetHigh: int,
    dwFileOffsetLow: int,
    dwNumberOfBytesToMap: int,
    lpBaseAddress: AnyAddress,
) -> int:
    """Map a view of a section at an address, or anywhere (None).

    Offset and base must be multiples of 64 KiB; the length is in bytes, 0 means the rest of the section. Returns the
    address, or None: ERROR_MAPPED_ALIGNMENT, ERROR_ACCESS_DENIED (not granted by the handle, or beyond the section),
    ERROR_INVALID_PARAMETER (not possible with the section's protection), ERROR_INVALID_ADDRESS (base in use),
    ERROR_INVALID_HANDLE, ERROR_NOT_ENOUGH_MEMORY. Source: MapViewOfFileEx (Win32).
    """
    offset = dword(dwFileOffsetHigh) << 32 | dword(dwFileOffsetLow)
    length, base = size_t(dwNumberOfBytesToMap), address(lpBaseAddress)
    protect = _view_protection(dword(dwDesiredAccess))
    return views.map_view(handle(hFileMappingObject), offset, length, protect, base).base


@win32(None)
def MapViewOfFile(
    hFileMappingObject: AnyHandle,
    dwDesiredAccess: int,
    dwFileOffsetHigh: int,
    dwFileOffsetLow: int,
    dwNumberOfBytesToMap: int,
) -> int:
    """Map a view of a section; see MapViewOfFileEx. Source: MapViewOfFile (Win32)."""
    offset = dword(dwFileOffsetHigh) << 32 | dword(dwFileOffsetLow)
    protect = _view_protection(dword(dwDesiredAccess))
    return views.map_view(handle(hFileMappingObject), offset, size_t(dwNumberOfBytesToMap), protect, 0).base


@functools.lru_cache(maxsize=256)
def _view_protection(access: int) -> int:
    """The page protection of a view. FILE_MAP_COPY counts only when it stands alone, but for FILE_MAP_EXECUTE."""
    execute = access & _EXECUTE
    if access & ~_MODIFIERS & ~_EXECUTE == _COPY:
        return protection.EXECUTE_WRITECOPY if execute else protection.WRITECOPY
    if access & _WRITE:
        return protection.EXECUTE_READWRITE if execute else protection.READWRITE
    if access & _READ:
        return protection.EXECUTE_READ if execute else protection.READONLY
    return protection.NOACCESS


@win32(False)
def UnmapViewOfFile(lpBaseAddress: AnyAddress) -> bool:
    """Unmap the view that an address lies in.

    Returns True, or False: ERROR_INVALID_ADDRESS if it lies in none. Source: UnmapViewOfFile (Win32).
    """
    space.unmap_view(address(lpBaseAddress))
    return True


@win32(False)
def UnmapViewOfFileEx(lpBaseAddress: AnyAddress, UnmapFlags: int) -> bool:
    """Unmap a view; the flags that are defined have no effect here. Source: UnmapViewOfFileEx (Win32)."""
    if dword(UnmapFlags) & ~3:
        raise invalid(f"unmap flags {UnmapFlags:#x} have unknown bits")
    space.unmap_view(address(lpBaseAddress))
    return True


@win32(False)
def FlushViewOfFile(lpBaseAddress: AnyAddress, dwNumberOfBytesToFlush: int) -> bool:
    """Write the changed pages of a range to the file, and wait until they are there.

    The length is in bytes, 0 means to the end of the view. Returns True, or False: ERROR_INVALID_ADDRESS outside of a
    view; an error of the disk. Source: FlushViewOfFile (Win32).
    """
    views.flush(address(lpBaseAddress), size_t(dwNumberOfBytesToFlush))
    return True


@win32(0)
def VirtualQuery(lpAddress: AnyAddress, lpBuffer: Out, dwLength: int) -> int:
    """Describe the pages from an address on that are alike, in a MEMORY_BASIC_INFORMATION.

    Returns the bytes stored (48), or 0: ERROR_BAD_LENGTH if `dwLength` is less, ERROR_INVALID_PARAMETER outside of user
    space. Memory that is not ours (Python's heap, libraries) is described from /proc/self/maps. Source: VirtualQuery
    (Win32).
    """
    where, out = address(lpAddress), target(lpBuffer, MEMORY_BASIC_INFORMATION, "lpBuffer")
    if size_t(dwLength) < ctypes.sizeof(MEMORY_BASIC_INFORMATION):
        raise KernelError(
            NTSTATUS.STATUS_INFO_LENGTH_MISMATCH, f"MEMORY_BASIC_INFORMATION needs 48 bytes, not {dwLength}"
        )
    if where > arena.HIGHEST:
        raise invalid(f"{where:#x} is outside of user space")
    with space.lock:
        region = space.find(where)
        info = region.query(where) if region else _foreign(where)
    out.BaseAddress, out.AllocationBase, out.AllocationProtect = (
        info.base,
        info.allocation_base,
        info.allocation_protect,
    )
    out.RegionSize, out.State, out.Protect, out.Type = info.size, info.state, info.protect, info.type
    return ctypes.sizeof(MEMORY_BASIC_INFORMATION)


def _foreign(where: int) -> PageInfo:
    pages: MappedPages = foreign_pages(where)
    start = where // PAGE * PAGE
    following = space.next_base(where)
    end = min(pages.end, following) if following else pages.end
    if pages.protect is None:
        return PageInfo(start, 0, 0, end - start, 0x10000, protection.NOACCESS, 0)
    return PageInfo(start, pages.start, pages.protect, end - start, 0x1000, pages.protect, pages.type)


@win32(False)
def VirtualProtect(lpAddress: AnyAddress, dwSize: int, flNewProtect: int, lpflOldProtect: Out) -> bool:
    """Change the protection of pages within one view or allocation.

    `lpflOldProtect` (DWORD) receives the protection that the first page had. Returns True, or False:
    ERROR_INVALID_PARAMETER (no protection, or more than the view was mapped with), ERROR_INVALID_ADDRESS (not within
    one, or not committed). PAGE_WRITECOPY makes pages of a shared view private once they are written. Source:
    VirtualProtect (Win32).
    """
    out = target(lpflOldProtect, DWORD, "lpflOldProtect")
    out.value = space.protect(address(lpAddress), size_t(dwSize), dword(flNewProtect))
    return True


@win32(None)
def VirtualAlloc(lpAddress: AnyAddress, dwSize: int, flAllocationType: int, flProtect: int) -> int:
    """Reserve or commit memory, or commit pages of a view of a SEC_RESERVE section, for all its views.

    Returns the base of the pages, or None: ERROR_INVALID_PARAMETER, ERROR_INVALID_ADDRESS (in use, or not reserved),
    ERROR_ACCESS_DENIED (view of a file), ERROR_COMMITMENT_LIMIT. Source: VirtualAlloc (Win32).
    """
    return private.allocate(address(lpAddress), size_t(dwSize), dword(flAllocationType), dword(flProtect))


@win32(False)
def VirtualFree(lpAddress: AnyAddress, dwSize: int, dwFreeType: int) -> bool:
    """Decommit pages, or release an allocation of VirtualAlloc. Source: VirtualFree (Win32)."""
    private.free(address(lpAddress), size_t(dwSize), dword(dwFreeType))
    return True


@win32(False)
def VirtualLock(lpAddress: AnyAddress, dwSize: int) -> bool:
    """Keep pages in memory. ERROR_WORKING_SET_QUOTA above RLIMIT_MEMLOCK. Source: VirtualLock (Win32)."""
    views.lock(address(lpAddress), size_t(dwSize))
    return True


@win32(False)
def VirtualUnlock(lpAddress: AnyAddress, dwSize: int) -> bool:
    """End VirtualLock. Source: VirtualUnlock (Win32)."""
    views.unlock(address(lpAddress), size_t(dwSize))
    return True


@win32(False)
def PrefetchVirtualMemory(hProcess: AnyHandle, NumberOfEntries: int, VirtualAddresses: Out, Flags: int) -> bool:
    """Start reading ranges into memory; a hint that never fails for what it cannot do.

    `VirtualAddresses` is an array of WIN32_MEMORY_RANGE_ENTRY. Source: PrefetchVirtualMemory (Win32).
    """
    count = size_t(NumberOfEntries)
    if handle(hProcess) != CURRENT_PROCESS:
        table.get(handle(hProcess))
        raise KernelError(NTSTATUS.STATUS_NOT_SUPPORTED, "only this process's memory can be prefetched")
    if dword(Flags) or not count:
        raise invalid("PrefetchVirtualMemory needs Flags 0 and at least one entry")
    for entry in _ranges(VirtualAddresses, count):
        start = (entry.VirtualAddress or 0) // PAGE * PAGE
        length = round_to_page((entry.VirtualAddress or 0) + entry.NumberOfBytes) - start
        libc.madvise(start, length, libc.MADV_WILLNEED)
    return True


def _ranges(argument: Out, count: int) -> list[WIN32_MEMORY_RANGE_ENTRY]:
    """The entries of an array argument; a pointer can only be trusted to one."""
    if isinstance(argument, ctypes.Array) and issubclass(argument._type_, WIN32_MEMORY_RANGE_ENTRY):
        if len(argument) < count:
            raise invalid(f"VirtualAddresses has {len(argument)} entries, NumberOfEntries says {count}")
        return list(argument[:count])
    first = target(argument, WIN32_MEMORY_RANGE_ENTRY, "VirtualAddresses")
    if count > 1:
        raise invalid("for more than one entry VirtualAddresses must be an array of WIN32_MEMORY_RANGE_ENTRY")
    return [first]


@win32(None)
def GetSystemInfo(lpSystemInfo: Out) -> None:
    """Store page size, granularity (64 KiB) and processors in a SYSTEM_INFO. Source: GetSystemInfo (Win32)."""
    out = target(lpSystemInfo, SYSTEM_INFO, "lpSystemInfo")
    count = os.cpu_count() or 1
    out.dwPageSize, out.dwAllocationGranularity = PAGE, arena.GRANULARITY
    out.lpMinimumApplicationAddress, out.lpMaximumApplicationAddress = arena.LOWEST, arena.HIGHEST
    out.dwNumberOfProcessors, out.dwActiveProcessorMask = count, (1 << min(count, 64)) - 1
    out.wProcessorArchitecture = {"x86_64": 9, "aarch64": 12}.get(os.uname().machine, 0xFFFF)
