"""Print a block of header_writer.py, knowing nothing but its name.

usage: python examples/header_reader.py [NAME]
"""

import ctypes
import sys

from block import BLOCK_HEADER
from console import failed
from namedmap.win32 import (
    FILE_MAP_READ,
    MEMORY_BASIC_INFORMATION,
    CloseHandle,
    MapViewOfFile,
    OpenFileMapping,
    UnmapViewOfFile,
    VirtualQuery,
)


def show(pBlock: int) -> int:
    """Print the block at this address, once its own account of its size is seen to be possible."""
    view = MEMORY_BASIC_INFORMATION()
    VirtualQuery(pBlock, view, ctypes.sizeof(view))
    header = BLOCK_HEADER.from_address(pBlock)
    cbBlock = header.cbBlock  # read once: another process may write to it between a check and its use
    if not ctypes.sizeof(header) <= cbBlock <= view.RegionSize:
        print(f"not a block: it claims {cbBlock} bytes, {view.RegionSize} are mapped", file=sys.stderr)
        return 1
    data = ctypes.string_at(pBlock + ctypes.sizeof(header), cbBlock - ctypes.sizeof(header))
    print(f"name  {header.szName.decode()}")
    print(f"size  {cbBlock} bytes")
    print(f"data  {data.decode()}")
    return 0


def main(name: str = "Block") -> int:
    hMap = OpenFileMapping(FILE_MAP_READ, False, name)
    if hMap is None:
        return failed("OpenFileMapping")

    pBlock = MapViewOfFile(hMap, FILE_MAP_READ, 0, 0, 0)  # 0 bytes: all there is
    if pBlock is None:
        status = failed("MapViewOfFile")
        CloseHandle(hMap)
        return status

    status = show(pBlock)

    UnmapViewOfFile(pBlock)
    CloseHandle(hMap)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
