"""File mapping objects."""

from typing import Any

from namedmap._convention.call import AnyHandle, boolean, dword, handle
from namedmap._windows import dll
from namedmap._windows.win32.passing import made, object_name, secured, win32

#: A SECURITY_ATTRIBUTES, `byref` or `pointer` of one, or None.
Attributes = Any


@win32(None)
def CreateFileMapping(
    hFile: AnyHandle,
    lpFileMappingAttributes: Attributes,
    flProtect: int,
    dwMaximumSizeHigh: int,
    dwMaximumSizeLow: int,
    lpName: str | None,
) -> int:
    """Create a section over a file, or over the paging file (INVALID_HANDLE_VALUE), or open the one of this name.

    `flProtect` is one PAGE_* and any SEC_* flags. The size is in bytes; 0 means the file's size. Returns a handle with
    last error 0, or ERROR_ALREADY_EXISTS for a section that existed; None on failure. Source: CreateFileMappingW
    (memoryapi.h).
    """
    protect, size = dword(flProtect), (dword(dwMaximumSizeHigh), dword(dwMaximumSizeLow))
    with secured(lpFileMappingAttributes) as attributes:
        return made(dll.CreateFileMappingW, handle(hFile), attributes, protect, *size, object_name(lpName))


@win32(None)
def OpenFileMapping(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the section of this name: a handle with the access asked for (FILE_MAP_* or SECTION_*), or None.

    Source: OpenFileMappingW (memoryapi.h).
    """
    return made(dll.OpenFileMappingW, dword(dwDesiredAccess), boolean(bInheritHandle), object_name(lpName))
