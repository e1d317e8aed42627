"""Memory that a program allocates and frees: GlobalAlloc, LocalAlloc, HeapAlloc and their like.

A handle is the address of its memory, also for movable blocks, and a lock is for nothing: nothing moves.
"""

import ctypes
from typing import Any

from namedmap._platform import functions
from namedmap.constants import ERROR_INVALID_HANDLE

_HEAP = 0x10000
_blocks: dict[int, Any] = {}


def allocate(size: int) -> int:
    """The address of new memory, all zeros."""
    block = (ctypes.c_char * max(size, 1))()
    where = ctypes.addressof(block)
    _blocks[where] = block
    return where


def exists(where: int) -> bool:
    return where in _blocks


def _known(where: int) -> bool:
    if where not in _blocks:
        functions.SetLastError(int(ERROR_INVALID_HANDLE))
    return where in _blocks


def alloc(flags: int, size: int) -> int:
    """GlobalAlloc, LocalAlloc: the handle, which is the address. Source: GlobalAlloc (Win32)."""
    return allocate(size)


def realloc(where: int, size: int, flags: int) -> int:
    """GlobalReAlloc: the block is another one afterwards. Source: GlobalReAlloc (Win32)."""
    if not _known(where):
        return 0
    target = allocate(size)
    ctypes.memmove(target, where, min(size, ctypes.sizeof(_blocks[where])))
    del _blocks[where]
    return target


def free(where: int) -> int:
    """GlobalFree, LocalFree: NULL, or what was passed if it is no block. Source: GlobalFree (Win32)."""
    if not where:
        return 0
    if not _known(where):
        return where
    del _blocks[where]
    return 0


def lock(where: int) -> int:
    """The address, or NULL. Source: GlobalLock (Win32)."""
    return where if _known(where) else 0


def unlock(where: int) -> bool:
    """False with no error: nobody has it locked any more. Source: GlobalUnlock (Win32)."""
    if _known(where):
        functions.SetLastError(0)
    return False


def size_of(where: int) -> int:
    return ctypes.sizeof(_blocks[where]) if _known(where) else 0


def process_heap() -> int:
    """The one heap. Source: GetProcessHeap (Win32)."""
    return _HEAP


def heap_alloc(heap: int, flags: int, size: int) -> int:
    return allocate(size)


def heap_free(heap: int, flags: int, where: int) -> bool:
    return not free(where)


# -- bytes -------------------------------------------------------------------------------------------------------------


def move(target: int, source: int, size: int) -> int:
    """RtlMoveMemory, RtlCopyMemory; also memory that overlaps. Source: RtlMoveMemory (Win32)."""
    if size:
        ctypes.memmove(target, source, size)
    return target


def fill(target: int, size: int, value: int) -> None:
    """Source: RtlFillMemory (Win32)."""
    if size:
        ctypes.memset(target, value & 0xFF, size)


def clear(target: int, size: int) -> None:
    """Source: RtlZeroMemory (Win32)."""
    fill(target, size, 0)


def compare(one: int, other: int, size: int) -> int:
    """How many bytes are alike, from the first on. Source: RtlCompareMemory (Win32)."""
    pairs = zip(ctypes.string_at(one, size), ctypes.string_at(other, size), strict=True)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), size)
