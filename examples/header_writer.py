"""Put a text into a named block that starts with its own size and name, and hold it until Enter.

usage: python examples/header_writer.py [NAME [TEXT]]          (then, elsewhere: python examples/header_reader.py NAME)
"""

import ctypes
import sys

from block import BLOCK_HEADER
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


def main(name: str = "Block", text: str = "Only the name of this block was known.") -> int:
    if len(name.encode()) >= BLOCK_HEADER.szName.size:
        print(f"the header has room for a name of {BLOCK_HEADER.szName.size - 1} bytes", file=sys.stderr)
        return 1
    data = text.encode()
    cbBlock = ctypes.sizeof(BLOCK_HEADER) + len(data)

    hMap = CreateFileMapping(INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, cbBlock, name)
    if hMap is None:
        return failed("CreateFileMapping")
    if GetLastError() == ERROR_ALREADY_EXISTS:
        print(f"{name} exists already", file=sys.stderr)
        CloseHandle(hMap)
        return 1

    pBlock = MapViewOfFile(hMap, FILE_MAP_ALL_ACCESS, 0, 0, 0)
    if pBlock is None:
        status = failed("MapViewOfFile")
        CloseHandle(hMap)
        return status

    header = BLOCK_HEADER.from_address(pBlock)
    ctypes.memmove(pBlock + ctypes.sizeof(BLOCK_HEADER), data, len(data))
    header.szName = name.encode()
    header.cbBlock = cbBlock  # last: a reader that comes too early sees 0
    UnmapViewOfFile(pBlock)

    wait_for_enter(f"{name} is filled, {cbBlock} bytes; press Enter to close it")
    CloseHandle(hMap)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
