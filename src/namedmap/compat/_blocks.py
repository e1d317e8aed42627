"""Memory that a program allocates and frees: GlobalAlloc, LocalAlloc, HeapAlloc and their like.

A handle is the address of its memory, also for movable blocks, and a lock is for nothing: nothing moves.
"""

import ctypes
from typing import Any

from namedmap._platform import functions
from namedmap.compat import _low
from namedmap.compat._memory import Place
from namedmap.constants import (
    ERROR_INVALID_HANDLE,
    ERROR_NOT_ENOUGH_MEMORY,
    MEM_COMMIT,
    MEM_RESERVE,
    PAGE_READWRITE,
)

_HEAP = 0x10000
_blocks: dict[int, Any] = {}
#: Those of them that lie below 2 GiB.
_low_blocks: set[int] = set()
#: Notes on blocks: the text that a security descriptor was made of.
_notes: dict[int, str] = {}


def allocate(size: int, *, low: bool = False) -> int:
    """The address of new memory, all zeros; 0 and ERROR_NOT_ENOUGH_MEMORY if there is not so much."""
    try:
        block = _low_block(max(size, 1)) if low else (ctypes.c_char * max(size, 1))()
    except (MemoryError, OverflowError, ValueError):
        functions.SetLastError(int(ERROR_NOT_ENOUGH_MEMORY))
        return 0
    where = ctypes.addressof(block)
    _blocks[where] = block
    return where


def _low_block(size: int) -> Any:
    where = _low.allocate(0, size, int(MEM_COMMIT | MEM_RESERVE), int(PAGE_READWRITE))
    if where is None:
        raise MemoryError
    _low_blocks.add(where)
    return (ctypes.c_char * size).from_address(where)


def note(where: int, text: str) -> None:
    """Remember a text for as long as a block is there."""
    _notes[where] = text


def noted(where: int) -> str | None:
    return _notes.get(where)


def forget(where: int) -> None:
    _notes.pop(where, None)


def _known(where: int) -> bool:
    if where not in _blocks:
        functions.SetLastError(int(ERROR_INVALID_HANDLE))
    return where in _blocks


def alloc(flags: int, size: int) -> int:
    """GlobalAlloc, LocalAlloc: the handle, which is the address. Source: GlobalAlloc (Win32)."""
    return allocate(size)


def alloc_low(flags: int, size: int) -> int:
    """The same below 2 GiB."""
    return allocate(size, low=True)


def realloc(where: int, size: int, flags: int) -> int:
    """GlobalReAlloc: the block is another one afterwards. Source: GlobalReAlloc (Win32)."""
    if not _known(where):
        return 0
    target = allocate(size, low=where in _low_blocks)
    if target:
        ctypes.memmove(target, where, min(size, ctypes.sizeof(_blocks[where])))
        free(where)
    return target


def free(where: int) -> int:
    """GlobalFree, LocalFree: NULL, or what was passed if it is no block. Source: GlobalFree (Win32)."""
    if not where:
        return 0
    if not _known(where):
        return where
    forget(where)
    del _blocks[where]
    if where in _low_blocks:
        _low_blocks.discard(where)
        _low.free(where)
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


def heap_alloc_low(heap: int, flags: int, size: int) -> int:
    return allocate(size, low=True)


def heap_free(heap: int, flags: int, where: int) -> bool:
    return not free(where)


# -- bytes -------------------------------------------------------------------------------------------------------------


def move(target: Place, source: Place, size: int) -> int:
    """RtlMoveMemory, RtlCopyMemory; also memory that overlaps. Source: RtlMoveMemory (Win32)."""
    target.store(source.load(size))
    return target


def fill(target: Place, size: int, value: int) -> None:
    """Source: RtlFillMemory (Win32)."""
    target.check(size)
    target.store(bytes([value & 0xFF]) * size)


def clear(target: Place, size: int) -> None:
    """Source: RtlZeroMemory (Win32)."""
    fill(target, size, 0)


def compare(one: Place, other: Place, size: int) -> int:
    """How many bytes are alike, from the first on. Source: RtlCompareMemory (Win32)."""
    pairs = zip(one.load(size), other.load(size), strict=True)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), size)


# -- the C library -----------------------------------------------------------------------------------------------------


def set_all(target: Place, value: int, size: int) -> int:
    """Source: memset (C)."""
    fill(target, size, value)
    return target


def units(text: Place) -> int:
    """How many units a wide text has, of whichever width. Source: wcslen (C)."""
    return len(text.text(text.unit)) // text.unit


def copy_units(target: Place, source: Place) -> int:
    """Copy a wide text with its NUL, each unit to the target's width. Source: wcscpy (C)."""
    content = source.text(source.unit)
    if source.unit != target.unit:
        text = content.decode(_CODECS[source.unit], "surrogatepass")
        content = text.encode(_CODECS[target.unit], "surrogatepass")
    target.store(content + bytes(target.unit))
    return target


_CODECS = {2: "utf-16-le", 4: "utf-32-le"}
