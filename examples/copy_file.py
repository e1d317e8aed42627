"""Copy a large file through two mappings, window by window, and set the time beside cp and shutil.copyfile.

usage: python examples/copy_file.py [SOURCE] [--write-through] [--size MIB] [--window MIB]

Without SOURCE, the largest file of this Python installation is repeated up to --size (default 256 MiB).
The copies are made in the temporary directory (TMPDIR chooses another) and removed at the end.
"""

import contextlib
import ctypes
import sys
from pathlib import Path

from console import failed
from copy_tools import run
from namedmap.win32 import (
    CREATE_ALWAYS,
    FILE_ATTRIBUTE_NORMAL,
    FILE_FLAG_SEQUENTIAL_SCAN,
    FILE_FLAG_WRITE_THROUGH,
    FILE_MAP_READ,
    FILE_MAP_WRITE,
    FILE_SHARE_READ,
    GENERIC_READ,
    GENERIC_WRITE,
    INVALID_HANDLE_VALUE,
    LARGE_INTEGER,
    OPEN_EXISTING,
    PAGE_READONLY,
    PAGE_READWRITE,
    CloseHandle,
    CreateFile,
    CreateFileMapping,
    FlushFileBuffers,
    FlushViewOfFile,
    GetFileSizeEx,
    MapViewOfFile,
    UnmapViewOfFile,
)


def copy_mapped(source: Path, destination: Path, window: int, write_through: bool) -> int:
    """The port: both files mapped, one memcpy for each window; 0, or 1 after saying which call failed."""
    flags = FILE_FLAG_WRITE_THROUGH if write_through else FILE_ATTRIBUTE_NORMAL
    with contextlib.ExitStack() as done:  # what C reaches by `goto done`: every handle closed, last one first
        hSource = CreateFile(
            source, GENERIC_READ, FILE_SHARE_READ, None, OPEN_EXISTING, FILE_FLAG_SEQUENTIAL_SCAN, None
        )
        if hSource == INVALID_HANDLE_VALUE:
            return failed("CreateFile (source)")
        done.callback(CloseHandle, hSource)

        hDestination = CreateFile(destination, GENERIC_READ | GENERIC_WRITE, 0, None, CREATE_ALWAYS, flags, None)
        if hDestination == INVALID_HANDLE_VALUE:
            return failed("CreateFile (destination)")
        done.callback(CloseHandle, hDestination)

        size = LARGE_INTEGER()
        GetFileSizeEx(hSource, size)

        hSourceMap = CreateFileMapping(hSource, None, PAGE_READONLY, 0, 0, None)
        if hSourceMap is None:
            return failed("CreateFileMapping (source)")
        done.callback(CloseHandle, hSourceMap)

        # The mapping's size is the destination's: the empty file grows to it.
        high, low = divmod(size.value, 1 << 32)
        hDestinationMap = CreateFileMapping(hDestination, None, PAGE_READWRITE, high, low, None)
        if hDestinationMap is None:
            return failed("CreateFileMapping (destination)")
        done.callback(CloseHandle, hDestinationMap)

        for offset in range(0, size.value, window):
            length = min(window, size.value - offset)
            if not copy_window(hSourceMap, hDestinationMap, offset, length, write_through):
                return 1
        if write_through and not FlushFileBuffers(hDestination):
            return failed("FlushFileBuffers")
    return 0


def copy_window(hSourceMap: int, hDestinationMap: int, offset: int, length: int, write_through: bool) -> bool:
    high, low = divmod(offset, 1 << 32)
    pSource = MapViewOfFile(hSourceMap, FILE_MAP_READ, high, low, length)
    if pSource is None:
        failed("MapViewOfFile (source)")
        return False
    pDestination = MapViewOfFile(hDestinationMap, FILE_MAP_WRITE, high, low, length)
    if pDestination is None:
        failed("MapViewOfFile (destination)")
        UnmapViewOfFile(pSource)
        return False

    ctypes.memmove(pDestination, pSource, length)

    # The flag makes WriteFile write through; stores into a view need this call. Without it the kernel
    # writes the pages in its own time, as it does for cp.
    flushed = not write_through or FlushViewOfFile(pDestination, length)
    if not flushed:
        failed("FlushViewOfFile")
    UnmapViewOfFile(pDestination)
    UnmapViewOfFile(pSource)
    return flushed


if __name__ == "__main__":
    sys.exit(run(copy_mapped))
