"""Second process: find the named shared memory of common_data_writer.py and print what it says.

usage: python examples/common_data_reader.py
"""

import ctypes
import sys

from console import failed
from namedmap.win32 import FILE_MAP_READ, CloseHandle, MapViewOfFile, OpenFileMapping, UnmapViewOfFile

NAME = "ShareMemory"


def main() -> int:
    hMap = OpenFileMapping(FILE_MAP_READ, False, NAME)
    if hMap is None:
        return failed("OpenFileMapping")

    pView = MapViewOfFile(hMap, FILE_MAP_READ, 0, 0, 0)
    if pView is None:
        status = failed("MapViewOfFile")
        CloseHandle(hMap)
        return status

    print(ctypes.string_at(pView).decode())

    UnmapViewOfFile(pView)
    CloseHandle(hMap)
    return 0


if __name__ == "__main__":
    sys.exit(main())
