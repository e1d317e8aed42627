"""Views of sections, and memory."""

import ctypes
from typing import Any

from namedmap._convention.call import AnyAddress, AnyHandle, Out, address, dword, handle, invalid, size_t, target
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._windows import dll
from namedmap._windows.win32.passing import answer, done, made, place, win32
from namedmap.types import DWORD, MEMORY_BASIC_INFORMATION, SYSTEM_INFO, WIN32_MEMORY_RANGE_ENTRY


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
    address, or None. Source: MapViewOfFileEx (memoryapi.h).
    """
    section, access = handle(hFileMappingObject), dword(dwDesiredAccess)
    offset, length = (dword(dwFileOffsetHigh), dword(dwFileOffsetLow)), size_t(dwNumberOfBytesToMap)
    return made(dll.MapViewOfFileEx, section, access, *offset, length, address(lpBaseAddress))


@win32(None)
def MapViewOfFile(
    hFileMappingObject: AnyHandle,
    dwDesiredAccess: int,
    dwFileOffsetHigh: int,
    dwFileOffsetLow: int,
    dwNumberOfBytesToMap: int,
) -> int:
    """Map a view of a section; see MapViewOfFileEx. Source: MapViewOfFile (memoryapi.h)."""
    section, access = handle(hFileMappingObject), dword(dwDesiredAccess)
    offset, length = (dword(dwFileOffsetHigh), dword(dwFileOffsetLow)), size_t(dwNumberOfBytesToMap)
    return made(dll.MapViewOfFile, section, access, *offset, length)


@win32(False)
def UnmapViewOfFile(lpBaseAddress: AnyAddress) -> bool:
    """Unmap the view that an address lies in. Source: UnmapViewOfFile (memoryapi.h)."""
    return done(dll.UnmapViewOfFile, address(lpBaseAddress))


@win32(False)
def UnmapViewOfFileEx(lpBaseAddress: AnyAddress, UnmapFlags: int) -> bool:
    """Unmap a view, with MEM_UNMAP_* flags. Source: UnmapViewOfFileEx (memoryapi.h)."""
    return done(dll.UnmapViewOfFileEx, address(lpBaseAddress), dword(UnmapFlags))


@win32(False)
def FlushViewOfFile(lpBaseAddress: AnyAddress, dwNumberOfBytesToFlush: int) -> bool:
    """Have the changed pages of a range written to the file; the length is in bytes, 0 means to the end of the view.

    Source: FlushViewOfFile (memoryapi.h).
    """
    return done(dll.FlushViewOfFile, address(lpBaseAddress), size_t(dwNumberOfBytesToFlush))


@win32(0)
def VirtualQuery(lpAddress: AnyAddress, lpBuffer: Out, dwLength: int) -> int:
    """Describe the pages from an address on that are alike, in a MEMORY_BASIC_INFORMATION.

    Returns the bytes stored (48), or 0. Source: VirtualQuery (memoryapi.h).
    """
    out = place(lpBuffer, MEMORY_BASIC_INFORMATION, "lpBuffer")
    if size_t(dwLength) < ctypes.sizeof(MEMORY_BASIC_INFORMATION):
        raise KernelError(
            NTSTATUS.STATUS_INFO_LENGTH_MISMATCH, f"MEMORY_BASIC_INFORMATION needs 48 bytes, not {dwLength}"
        )
    return made(dll.VirtualQuery, address(lpAddress), out, ctypes.sizeof(MEMORY_BASIC_INFORMATION))


@win32(False)
def VirtualProtect(lpAddress: AnyAddress, dwSize: int, flNewProtect: int, lpflOldProtect: Out) -> bool:
    """Change the protection of pages; `lpflOldProtect` (DWORD) receives the protection that the first page had.

    Source: VirtualProtect (memoryapi.h).
    """
    old = place(lpflOldProtect, DWORD, "lpflOldProtect")
    return done(dll.VirtualProtect, address(lpAddress), size_t(dwSize), dword(flNewProtect), old)


@win32(None)
def VirtualAlloc(lpAddress: AnyAddress, dwSize: int, flAllocationType: int, flProtect: int) -> int:
    """Reserve or commit memory, or commit pages of a view of a SEC_RESERVE section, for all its views.

    Returns the base of the pages, or None. Source: VirtualAlloc (memoryapi.h).
    """
    return made(dll.VirtualAlloc, address(lpAddress), size_t(dwSize), dword(flAllocationType), dword(flProtect))


@win32(False)
def VirtualFree(lpAddress: AnyAddress, dwSize: int, dwFreeType: int) -> bool:
    """Decommit pages, or release an allocation of VirtualAlloc. Source: VirtualFree (memoryapi.h)."""
    return done(dll.VirtualFree, address(lpAddress), size_t(dwSize), dword(dwFreeType))


@win32(False)
def VirtualLock(lpAddress: AnyAddress, dwSize: int) -> bool:
    """Keep pages in memory. Source: VirtualLock (memoryapi.h)."""
    return done(dll.VirtualLock, address(lpAddress), size_t(dwSize))


@win32(False)
def VirtualUnlock(lpAddress: AnyAddress, dwSize: int) -> bool:
    """End VirtualLock. Source: VirtualUnlock (memoryapi.h)."""
    return done(dll.VirtualUnlock, address(lpAddress), size_t(dwSize))


@win32(False)
def PrefetchVirtualMemory(hProcess: AnyHandle, NumberOfEntries: int, VirtualAddresses: Out, Flags: int) -> bool:
    """Start reading ranges into memory.

    `VirtualAddresses` is an array of WIN32_MEMORY_RANGE_ENTRY. Source: PrefetchVirtualMemory (memoryapi.h).
    """
    count = size_t(NumberOfEntries)
    return done(dll.PrefetchVirtualMemory, handle(hProcess), count, _ranges(VirtualAddresses, count), dword(Flags))


def _ranges(argument: Out, count: int) -> Any:
    """A pointer to the entries of an array argument; a pointer can only be trusted to one."""
    if isinstance(argument, ctypes.Array) and issubclass(argument._type_, WIN32_MEMORY_RANGE_ENTRY):
        if len(argument) < count:
            raise invalid(f"VirtualAddresses has {len(argument)} entries, NumberOfEntries says {count}")
        return ctypes.byref(argument)
    first = target(argument, WIN32_MEMORY_RANGE_ENTRY, "VirtualAddresses")
    if count > 1:
        raise invalid("for more than one entry VirtualAddresses must be an array of WIN32_MEMORY_RANGE_ENTRY")
    return ctypes.byref(first)


@win32(None)
def GetSystemInfo(lpSystemInfo: Out) -> None:
    """Store page size, granularity (64 KiB) and processors in a SYSTEM_INFO. Source: GetSystemInfo (sysinfoapi.h)."""
    answer(dll.GetSystemInfo, place(lpSystemInfo, SYSTEM_INFO, "lpSystemInfo"))
