"""First process: put a string into named shared memory, and hold it until Enter.

usage: python examples/common_data_writer.py          (then, elsewhere: python examples/common_data_reader.py)
"""

import ctypes
import sys

from console import failed, wait_for_enter
from namedmap.win32 import (
    ERROR_ALREADY_EXISTS,
    FILE_MAP_ALL_ACCESS,
    INVALID_HANDLE_VALUE,
    PAGE_READWRITE,
    CloseHandle,
    CreateFileMapping,
    GetLastError,
    MapViewOfFile,
    UnmapViewOfFile,
)

NAME = "ShareMemory"
SIZE = 4096
TEXT = b"This is common data!"


def main() -> int:
    # INVALID_HANDLE_VALUE in place of a file: the section lives over the paging file, which is to say in memory.
    hMap = CreateFileMapping(INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, SIZE, NAME)
    if hMap is None:
        return failed("CreateFileMapping")
    if GetLastError() == ERROR_ALREADY_EXISTS:
        print(f"{NAME} exists already: another writer is running", file=sys.stderr)
        CloseHandle(hMap)
        return 1

    pView = MapViewOfFile(hMap, FILE_MAP_ALL_ACCESS, 0, 0, 0)
    if pView is None:
        status = failed("MapViewOfFile")
        CloseHandle(hMap)
        return status

    ctypes.memmove(pView, TEXT + b"\0", len(TEXT) + 1)  # strcpy
    UnmapViewOfFile(pView)

    wait_for_enter(f"{NAME} is filled; press Enter to close it")
    CloseHandle(hMap)
    return 0


if __name__ == "__main__":
    sys.exit(main())
