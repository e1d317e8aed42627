"""Print the first 16 bytes of a file through a view of it.

usage: python examples/dump.py [FILE]          (default: the Python interpreter)
"""

import ctypes
import sys

from console import failed
from namedmap.win32 import (
    FILE_ATTRIBUTE_NORMAL,
    FILE_MAP_READ,
    FILE_SHARE_READ,
    GENERIC_READ,
    INVALID_HANDLE_VALUE,
    LARGE_INTEGER,
    OPEN_EXISTING,
    PAGE_READONLY,
    CloseHandle,
    CreateFile,
    CreateFileMapping,
    GetFileSizeEx,
    MapViewOfFile,
    UnmapViewOfFile,
)


def main(path: str) -> int:
    hFile = CreateFile(path, GENERIC_READ, FILE_SHARE_READ, None, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, None)
    if hFile == INVALID_HANDLE_VALUE:
        return failed("CreateFile")

    hMap = CreateFileMapping(hFile, None, PAGE_READONLY, 0, 0, None)
    if hMap is None:
        status = failed("CreateFileMapping")
        CloseHandle(hFile)
        return status

    pView = MapViewOfFile(hMap, FILE_MAP_READ, 0, 0, 0)
    if pView is None:
        status = failed("MapViewOfFile")
        CloseHandle(hMap)
        CloseHandle(hFile)
        return status

    size = LARGE_INTEGER()
    GetFileSizeEx(hFile, size)
    start = ctypes.string_at(pView, min(16, size.value))
    print(start.hex(" "))

    # Nothing was written, so there is nothing for FlushViewOfFile to do; copy_file.py has a use for it.
    UnmapViewOfFile(pView)
    CloseHandle(hMap)
    CloseHandle(hFile)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else sys.executable))
