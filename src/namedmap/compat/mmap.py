"""The standard library's `mmap`, with the tag names of Windows on every platform.

    mmap(fileno, length, flags=MAP_SHARED, prot=..., access=ACCESS_DEFAULT, offset=0)      as on Unix
    mmap(fileno, length, tagname=None, access=ACCESS_DEFAULT, offset=0)                    as on Windows

The third argument tells which: an int is flags, a string a tag name. A map with a tag name is shared with all that give
the same name, as on Windows: it begins with the first and ends with the last of them, however they end; a file of -1
or 0 is none. Who asks for more than a map of this name has gets PermissionError; for length 0, all of it.

Other rules of Windows: a map of a file cannot shrink it while others map it (if they use this module, or namedmap), and
one with a tag name cannot be resized.
"""

import mmap as _standard
import operator
import os
from mmap import ACCESS_COPY, ACCESS_DEFAULT, ACCESS_READ, ACCESS_WRITE
from typing import Any, Self

from namedmap import access as words
from namedmap import constants as c
from namedmap import errors
from namedmap._platform import data as platform
from namedmap._platform import functions

_WORDS = {ACCESS_READ: "read", ACCESS_WRITE: "write", ACCESS_COPY: "copy", ACCESS_DEFAULT: "write"}


def __getattr__(name: str) -> Any:
    """Everything else is the standard library's: constants, and what it gains in later versions."""
    return getattr(_standard, name)


__all__ = [name for name in dir(_standard) if not name.startswith("_")]


class mmap(_standard.mmap):
    """A mapped file or shared memory; the standard library's class, with `tagname`."""

    _handle: int | None = None
    _mark: int | None = None

    def __new__(cls, fileno: int, length: int, *arguments: Any, **options: Any) -> Self:
        """Map `length` bytes of a file from `offset` on (0: the rest), or memory: without a name, or of a tag name."""
        if "tagname" in options or (arguments and not isinstance(arguments[0], int)):
            tagname, access, offset = _as_on_windows(*arguments, **options)
            if tagname is not None:
                return cls._tagged(fileno, operator.index(length), tagname, access, offset)
            arguments, options = (), {"access": access, "offset": offset}
        if fileno == -1 and not arguments and not options and length > 0:
            return cls._anonymous(length)
        made = super().__new__(cls, fileno, length, *arguments, **options)
        if fileno != -1 and options.get("trackfd", True):
            made._mark = platform.mark_mapped(fileno, writable=not memoryview(made).readonly)
        return made

    @classmethod
    def _anonymous(cls, length: int) -> Self:
        """Memory of a file without a name, so that it can grow. (Shared memory without a file cannot, on Linux.)"""
        with errors.translated():
            fd = platform.anonymous_file(length)
        try:
            return super().__new__(cls, fd, length)
        finally:
            os.close(fd)

    @classmethod
    def _tagged(cls, fileno: int, length: int, tagname: str, access: int, offset: int) -> Self:
        wanted = words.parse(_WORDS[access])
        handle = _join(fileno, length + offset if length else 0, tagname, wanted)
        try:
            with errors.translated():
                size = platform.section_size(handle)
            if length + offset > size or (not length and offset >= size):
                raise errors.of(
                    int(c.ERROR_ACCESS_DENIED),
                    f"the map {tagname!r} has {size:,} bytes: {length:,} at offset {offset:,} are more than that",
                )
            with errors.translated():
                fd = platform.open_data(handle)
            try:
                made = super().__new__(cls, fd, length or size - offset, access=access or ACCESS_WRITE, offset=offset)
            finally:
                os.close(fd)
        except BaseException:
            functions.CloseHandle(handle)
            raise
        made._handle = handle
        return made

    def close(self) -> None:
        """Unmap; the last one to close a tag name takes it away. Raises BufferError while buffers of it are in use."""
        super().close()
        self._let_go()

    def _let_go(self) -> None:
        handle, self._handle = self._handle, None
        mark, self._mark = self._mark, None
        if handle is not None:
            functions.CloseHandle(handle)
        if mark is not None:
            os.close(mark)

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._let_go()

    def __repr__(self) -> str:
        _, _, rest = super().__repr__().partition(" ")
        name = "mmap.mmap" if type(self) is mmap else f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{name} {rest}"

    def size(self) -> int:
        """The size of the file, or of the memory."""
        return super().size() if self._handle is None else len(self)

    def resize(self, newsize: int) -> None:
        """Make map and file longer or shorter; OSError for a tag name, 0, or less while others map the file."""
        if self._handle is not None:
            raise errors.of(
                int(c.ERROR_USER_MAPPED_FILE), "a map with a tag name keeps its size: others may have it mapped"
            )
        if not newsize:
            # Else the file would be empty, and the map that is there a trap.
            raise errors.of(int(c.ERROR_FILE_INVALID), "nothing can be mapped of an empty file")
        if self._mark is not None and newsize < len(self) and platform.mapped_by_others(self._mark):
            raise errors.of(int(c.ERROR_USER_MAPPED_FILE), "others map this file, whose end they would lose")
        super().resize(newsize)


def _as_on_windows(
    tagname: str | None = None, access: int = ACCESS_DEFAULT, offset: int = 0, *rest: Any, **unknown: Any
) -> tuple[str | None, int, int]:
    if rest or unknown:
        raise TypeError(f"mmap with a tag name takes fileno, length, tagname, access and offset, not {rest or unknown}")
    if tagname is not None and not isinstance(tagname, str):
        raise TypeError(f"tagname is a str or None, not {type(tagname).__name__}")
    if access not in _WORDS:
        raise ValueError("mmap invalid access parameter.")
    if offset < 0:
        raise OverflowError("memory mapped offset must be positive")
    return tagname or None, access, operator.index(offset)


def _join(fileno: int, size: int, tagname: str, wanted: words.Access) -> int:
    """A handle to the map of this name, new or there."""
    if size < 0:
        raise OverflowError("memory mapped length must be positive")
    if fileno not in (-1, 0):
        with errors.translated():
            file = platform.file_handle(fileno, wanted.file)
    else:
        file = c.INVALID_HANDLE_VALUE
        if not size:  # only a map that is there has a size
            handle = functions.OpenFileMapping(wanted.view, False, tagname)
            return _checked(handle)
    try:
        return _checked(
            functions.CreateFileMapping(file, None, wanted.protection, size >> 32, size & 0xFFFFFFFF, tagname)
        )
    finally:
        if file != c.INVALID_HANDLE_VALUE:
            functions.CloseHandle(file)


def _checked(handle: int | None) -> int:
    if handle is None:
        raise errors.last(by_name=True)
    return handle
