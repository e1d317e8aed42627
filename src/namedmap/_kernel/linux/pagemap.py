"""Which pages of a private mapping have been copied on write: only the kernel knows.

A private copy is a page that is present or swapped out and belongs to no file. The ioctl PAGEMAP_SCAN (Linux 6.7) finds
the next ones in one call; before, /proc/self/pagemap tells of each page in 8 bytes (bits 63, 62 and 61). Source:
Documentation/admin-guide/mm/pagemap.rst.
"""

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator

from namedmap._convention.status import ignored, require_ours
from namedmap._kernel.linux.libc import PAGE

_PAGEMAP_SCAN = 0xC0606610
_FILE, _PRESENT, _SWAPPED = 1 << 2, 1 << 3, 1 << 4
#: struct pm_scan_arg: size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask,
#: category_anyof_mask, return_mask. struct page_region: start, end, categories.
_ARGUMENT, _REGION = struct.Struct("<12Q"), struct.Struct("<3Q")

#: Of the highest byte of an entry: 1 for a copied page, 0 for others.
_COPIED = bytes(bool(top >> 6) and not top >> 5 & 1 for top in range(256))
_ENTRIES = 1 << 18


def copied_run(address: int, length: int) -> tuple[bool, int]:
    """Whether the page has been copied on write, and for how many bytes (at most length) that stays so."""
    with ignored(OSError), open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        try:
            return _scanned(pagemap.fileno(), address, length)
        except OSError as error:
            require_ours(error)
            return _read(pagemap.fileno(), address, length)
    return False, length


def _scanned(pagemap: int, address: int, length: int) -> tuple[bool, int]:
    found = ctypes.create_string_buffer(_REGION.size)
    argument = _ARGUMENT.pack(
        _ARGUMENT.size, 0, address, address + length, 0, ctypes.addressof(found), 1, 0,
        _FILE, _FILE, _PRESENT | _SWAPPED, _FILE,
    )  # fmt: skip
    if not fcntl.ioctl(pagemap, _PAGEMAP_SCAN, bytearray(argument)):
        return False, length
    start, end, _ = _REGION.unpack(found.raw)
    return (True, end - address) if start == address else (False, start - address)


def _read(pagemap: int, address: int, length: int) -> tuple[bool, int]:
    state, done = None, 0
    for flags in _flags(pagemap, address, length):
        if state is None:
            state = flags[0]
        change = flags.find(1 - state)
        if change >= 0:
            return bool(state), done + change * PAGE
        done += len(flags) * PAGE
    return bool(state), length


def _flags(pagemap: int, address: int, length: int) -> Iterator[bytes]:
    """A byte for each page, 1 for those that were copied; the first piece is small, since most runs are."""
    at, end, entries = address // PAGE, (address + length) // PAGE, 1 << 9
    while at < end and (raw := os.pread(pagemap, min(end - at, entries) * 8, at * 8)):
        yield raw[7::8].translate(_COPIED)
        at += len(raw) // 8
        entries = min(entries * 8, _ENTRIES)
