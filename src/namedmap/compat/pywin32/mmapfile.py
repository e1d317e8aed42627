"""pywin32's `mmapfile`: a file, or named memory, that is read and written as a file is.

Sizes are those of Windows: memory has whole pages, and a file that is mapped without a size grows to the next one.
"""

import threading as _threading
from typing import Any as _Any

from namedmap import constants as _c
from namedmap import errors as _errors
from namedmap._contract import FileHandle as _FileHandle
from namedmap._failure import Failure as _Failure
from namedmap._finalizer import finalizer as _finalizer
from namedmap._platform import files as _files
from namedmap._platform import sections as _sections
from namedmap.access import parse as _parse
from namedmap.compat.pywin32.pywintypes import error as error
from namedmap.memory.mapping import FileMapping as _FileMapping
from namedmap.memory.view import View as _View

_PAGE = 0x1000
_GRANULARITY = 0x10000
_ACCESS = _parse("write")


class _Section(_FileMapping):
    """A section that is closed without a warning when it is dropped, as all of pywin32's objects are."""

    @_finalizer
    def __del__(self) -> None:
        self.close()


class mmapfile:
    """A section and one view of it, with a position. ValueError outside of the view, and once it is closed.

    PageError where another program has cut off the file, which would end a process on Linux.
    """

    def __init__(
        self,
        File: str | None,
        Name: str | None,
        MaximumSize: int = 0,
        FileOffset: int = 0,
        NumberOfBytesToMap: int | None = None,
    ) -> None:
        """Create a section, or open the one of this name, which keeps its own size; a new file is made if need be.

        `File` is a path, or None or "" for memory. Sizes are in bytes; 0 or None is the file's size, and the rest of
        the section. Raises error; ValueError for an empty file without a size.
        """
        self._file: _FileHandle | None = None
        self._section: _Section | None = None
        self._view: _View | None = None
        self._name, self._position = Name or None, 0
        # Each method is one step for other threads, as it is in pywin32. Again for the same: a signal handler.
        self._lock = _threading.RLock()
        try:
            if File:
                self._file = self._open(File)
            if not self._create(MaximumSize or self._size_of_file()):
                # The section of this name stands on a file of its own, or on none.
                self._file = None
            self._map(FileOffset, NumberOfBytesToMap or 0)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _open(path: str) -> _FileHandle:
        try:
            return _files.open(path, _ACCESS, create=True)[0]
        except _Failure as failure:
            raise error(failure.winerror, "CreateFile", failure.detail) from None

    def _size_of_file(self) -> int:
        if self._file is None:
            return 0
        size = self._file.size()
        if not size:
            raise ValueError("the file is empty: give MaximumSize, the size that it is to have")
        return -(-size // _PAGE) * _PAGE

    def _create(self, size: int) -> bool:
        """Create or open the section; whether it is new."""
        try:
            section, created = (
                _sections.create(self._name, size, _ACCESS)
                if self._file is None
                else self._file.create_section(self._name, size, _ACCESS)
            )
        except _Failure as failure:
            raise error(failure.winerror, "CreateFileMapping", failure.detail) from None
        self._section = _Section(section, self._name, _ACCESS, created=created)
        return created

    def _map(self, offset: int, size: int) -> None:
        if offset % _GRANULARITY:
            code = int(_c.ERROR_MAPPED_ALIGNMENT)
            raise error(code, "MapViewOfFile", f"offset {offset} is not a multiple of {_GRANULARITY:,}")
        section = self._open_section()
        # Memory has whole pages; of a file that ends within one there is only what it has.
        whole = (-(-section.size // _PAGE) * _PAGE, section.size)
        for length in (size,) if size else (max(each - offset, 1) for each in whole):
            try:
                self._view = _View(section, section.opened_section(), _ACCESS, offset, length)
                return
            except _errors.Error as failure:
                refusal = error(failure.winerror, "MapViewOfFile", failure.message)
        try:
            raise refusal
        finally:
            del refusal  # else it would be in a cycle with this frame

    def _open_section(self) -> _Section:
        if self._section is None:
            raise ValueError("this mmapfile is closed")
        return self._section

    def _open_view(self) -> _View:
        if self._view is None:
            raise ValueError("this mmapfile is closed, or a resize of it failed")
        return self._view

    def close(self) -> None:
        """Close view, section and file. The memory stays for memoryviews of it."""
        view, self._view = self._view, None
        section, self._section = self._section, None
        file, self._file = self._file, None
        if view is not None:
            view.close()
        if section is not None:
            section.close()
        if file is not None:
            file.close()

    def resize(self, MaximumSize: int, FileOffset: int = 0, NumberOfBytesToMap: int | None = None) -> None:
        """Make the section and its file longer (0: neither), and map this part of it.

        Memory begins anew, all zeros, unless others have the name: then it keeps its size. Raises error.
        """
        with self._lock:
            section, self._view = self._open_section(), None
            if MaximumSize:
                section.close()
                self._section = None
                self._create(MaximumSize)
            self._map(FileOffset, NumberOfBytesToMap or 0)
            self._position = min(self._position, self.size() - 1)

    # -- position -----------------------------------------------------------------------------------------------------

    def size(self) -> int:
        """The size of the view in bytes."""
        return self._open_view().size

    def tell(self) -> int:
        self._open_view()
        return self._position

    def seek(self, dist: int, how: int = 0, /) -> None:
        """Go to a place: from the start (0), from here (1), or so many bytes before the end (2)."""
        if how not in (0, 1, 2):
            raise ValueError(f"unknown seek type {how}: 0 is from the start, 1 from here, 2 from the end")
        with self._lock:
            size = self.size()
            where = (dist, self._position + dist, size - dist)[how]
            if not 0 <= where < size:
                raise ValueError(f"seek to {where} is out of range: the view has {size:,} bytes")
            self._position = where

    # -- read ---------------------------------------------------------------------------------------------------------

    def read(self, num_bytes: int, /) -> bytes:
        """So many bytes, fewer at the end."""
        if num_bytes < 0:
            raise ValueError(f"{num_bytes} bytes cannot be read")
        with self._lock:
            view = self._open_view()
            found = view.read(self._position, min(num_bytes, view.size - self._position))
            self._position += len(found)
            return found

    def read_byte(self) -> bytes:
        """One byte."""
        found = self.read(1)
        if not found:
            raise ValueError("read byte out of range: this is the end")
        return found

    def readline(self) -> bytes:
        """The bytes up to the next newline, with it; without one, the rest."""
        with self._lock:
            view = self._open_view()
            end = view.find(b"\n", self._position)
            return self.read((end + 1 if end >= 0 else view.size) - self._position)

    # The name in pywin32's documentation.
    read_line = readline

    def find(self, needle: bytes, start: int | None = None, /) -> int:
        """How far behind `start` (None: the present position) the bytes are next found, or -1.

        As in pywin32, the search begins at the present position, whatever `start` is.
        """
        view = self._open_view()
        found = view.find(needle, self._position) if self._position < view.size else -1
        return found if found < 0 else found - (self._position if start is None else start)

    # -- write --------------------------------------------------------------------------------------------------------

    def write(self, data: _Any, /) -> None:
        """Store bytes at the present position."""
        content = bytes(memoryview(data))
        with self._lock:
            view, here = self._open_view(), self._position
            if here + len(content) > view.size:
                raise ValueError(f"data out of range: {len(content):,} bytes at {here:,} of {view.size:,}")
            self._position += view.write(here, content)

    def write_byte(self, char: bytes, /) -> None:
        """Store one byte."""
        self._open_view()
        if not isinstance(char, bytes | bytearray) or len(char) != 1:
            raise TypeError(f"write_byte takes bytes of length 1, not {char!r}")
        self.write(char)

    def move(self, dest: int, src: int, count: int, /) -> None:
        """Copy bytes from one place to another."""
        view = self._open_view()
        if min(dest, src, count) < 0 or max(dest, src) + count > view.size:
            raise ValueError(f"source or destination out of range: the view has {view.size:,} bytes")
        view.write(dest, view.read(src, count))

    def flush(self, offset: int | None = None, size: int | None = None, /) -> int:
        """Have what was changed written to the file; returns 1."""
        view, start, length = self._open_view(), offset or 0, size or 0
        if min(start, length) < 0 or start + length > view.size:
            raise ValueError(f"flush values out of range: the view has {view.size:,} bytes")
        try:
            view.flush(start, length or None)
        except _errors.Error as failure:
            raise error(failure.winerror, "FlushViewOfFile", failure.message) from None
        return 1

    def __buffer__(self, flags: int, /) -> memoryview:
        """The memory itself, for memoryview() from Python 3.12 on."""
        return self._open_view().buf
