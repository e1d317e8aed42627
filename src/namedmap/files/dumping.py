"""Bytes as hexadecimal digits and text: of a file, of a named object, of a view."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from .failures import bad
from .reading import AnyPath, Source

#: Bytes that are read at a time.
_PIECE = 1 << 16
_TEXT = bytes(byte if 32 <= byte < 127 else ord(".") for byte in range(256))


@dataclass(frozen=True, slots=True)
class DumpLine:
    """One line of a dump; str() of it is the line."""

    #: Of its first byte.
    offset: int
    data: bytes
    #: How many bytes a full line has.
    width: int = 16

    @property
    def hex(self) -> str:
        """Two digits for each byte, with a space between bytes."""
        return self.data.hex(" ")

    @property
    def text(self) -> str:
        """Printable ASCII as it is, a dot for everything else."""
        return self.data.translate(_TEXT).decode("ascii")

    def columns(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Where a byte stands in str() of the line: [start, end) of its digits, and of its character."""
        digits = len(f"{self.offset:08x}") + 2 + 3 * index
        character = len(f"{self.offset:08x}") + 2 + 3 * self.width - 1 + 3 + index
        return (digits, digits + 2), (character, character + 1)

    def as_dict(self) -> dict[str, Any]:
        """{"offset", "hex", "text"}, hex without spaces"""
        return {"offset": self.offset, "hex": self.data.hex(), "text": self.text}

    def __str__(self) -> str:
        return f"{self.offset:08x}  {self.hex:<{self.width * 3 - 1}}  |{self.text}|"


class Readable(Protocol):
    """A View, as far as a dump needs it: this module stands on no platform."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int = 0, size: int | None = None) -> bytes: ...


class Mapped(Protocol):
    """A FileMapping, as far as a dump needs it."""

    @property
    def size(self) -> int: ...

    def view(
        self, offset: int = 0, size: int | None = None, access: str | None = None
    ) -> AbstractContextManager[Readable]: ...


def dump(
    source: AnyPath | Mapped | Readable, *, offset: int = 0, size: int | None = None, width: int = 16
) -> Iterator[DumpLine]:
    """The bytes of a file, a file mapping or a view, line by line: at most `size` bytes from `offset` on.

    Raises BadValueError for an offset beyond the end and a width below 1, NotFoundError, AccessDeniedError, and
    ChangedError (of a mapping: PageError) if the bytes are taken away meanwhile.
    """
    if width < 1:
        raise bad(f"a line has at least 1 byte, not {width}")
    if isinstance(source, str | os.PathLike):
        return _file(source, offset, size, width)
    found: Any = source
    if hasattr(source, "view"):
        return _mapping(found, offset, size, width)
    if hasattr(source, "read"):
        return _view(found, offset, size, width)
    raise TypeError(f"a path, a FileMapping or a View can be dumped, not {type(source).__name__}")


def _file(path: AnyPath, offset: int, size: int | None, width: int) -> Iterator[DumpLine]:
    with Source(path) as source:
        start, stop = source.extent(offset, size)

        def read(at: int, length: int) -> bytes:
            buffer = bytearray(length)
            source.fill(memoryview(buffer), at)
            return bytes(buffer)

        yield from _lines(read, start, stop, width)


def _mapping(mapping: Mapped, offset: int, size: int | None, width: int) -> Iterator[DumpLine]:
    def read(at: int, length: int) -> bytes:
        with mapping.view(at, length, "read") as view:
            return view.read()

    yield from _lines(read, *_extent(mapping.size, offset, size), width)


def _view(view: Readable, offset: int, size: int | None, width: int) -> Iterator[DumpLine]:
    yield from _lines(view.read, *_extent(view.size, offset, size), width)


def _extent(whole: int, offset: int, size: int | None) -> tuple[int, int]:
    if not 0 <= offset <= whole or (size is not None and size < 0):
        raise bad(f"there are no {'' if size is None else size} bytes at offset {offset:,} of {whole:,}")
    return offset, whole if size is None else min(whole, offset + size)


def _lines(read: Callable[[int, int], bytes], start: int, stop: int, width: int) -> Iterator[DumpLine]:
    step = max(_PIECE // width, 1) * width
    for at in range(start, stop, step):
        data = read(at, min(step, stop - at))
        for first in range(0, len(data), width):
            yield DumpLine(at + first, data[first : first + width], width)
