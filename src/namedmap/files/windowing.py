"""A file piece by piece, in memory of the caller's own.

The bytes of a window are a copy: whatever other programs do to the file, looking at them is safe. Windows that are the
file itself, without a copy, come from `namedmap.map_file(path).windows()`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .failures import bad
from .reading import AnyPath, Source


@dataclass(frozen=True, slots=True)
class Window:
    """Some bytes of a file."""

    #: Where it begins in the file.
    offset: int
    #: In bytes.
    size: int
    #: The bytes, read-only.
    buf: memoryview

    def as_dict(self) -> dict[str, Any]:
        """{"offset", "size"}"""
        return {"offset": self.offset, "size": self.size}


def windows(
    path: AnyPath, size: int = 64 << 20, overlap: int = 0, *, offset: int = 0, length: int | None = None
) -> Iterator[Window]:
    """Windows of `size` bytes, one after the other (the last may be shorter), over a file or `length` bytes of it.

    Each begins `overlap` bytes before the end of the one before. An empty file has none. Where nobody has kept anything
    of a window (a slice, an array), its memory is used again for the next one, and its `buf` is released. Raises
    NotFoundError, AccessDeniedError, BadValueError, and ChangedError if the file becomes shorter meanwhile.
    """
    if not 0 <= overlap < size:
        raise bad(f"windows of {size} bytes cannot overlap by {overlap}")
    return _windows(path, size, overlap, offset, length)


def _windows(path: AnyPath, size: int, overlap: int, offset: int, length: int | None) -> Iterator[Window]:
    with Source(path) as source:
        start, stop = source.extent(offset, length)
        memory: bytearray | None = None
        while start < stop:
            count = min(size, stop - start)
            if memory is None or len(memory) != count or not _is_free(memory):
                memory = bytearray(count)
            with memoryview(memory) as whole:
                source.fill(whole, start)
            window = Window(start, count, memoryview(memory).toreadonly())
            yield window
            _release(window.buf)
            start = start + count - overlap if start + count < stop else stop


def _release(buf: memoryview) -> None:
    try:
        buf.release()
    except BufferError:
        return  # an array lies on it, which keeps it


def _is_free(memory: bytearray) -> bool:
    """Whether nobody looks at the memory any more: only then a bytearray lets its length be changed."""
    try:
        memory.append(memory.pop())
    except BufferError:
        return False
    return True
