"""The standard library's `mmap`, with the tag names of Windows on every platform.

    mmap(fileno, length, flags=MAP_SHARED, prot=..., access=ACCESS_DEFAULT, offset=0)      as on Unix
    mmap(fileno, length, tagname=None, access=ACCESS_DEFAULT, offset=0)                    as on Windows

The third argument tells which: an int is flags, a string a tag name. A map with a tag name is shared with all that give
the same name, as on Windows: it begins with the first and ends with the last of them, however they end; a file of -1
or 0 is none. A program that asks for more than a map of this name has gets PermissionError; for length 0, all of it.

On Windows it is the standard library's class itself, which has the second form only. Elsewhere:

Other rules of Windows: memory without a name can be resized; a map of a file cannot shrink it while other maps of this
process stand on it; a map with a tag name keeps its size (on Windows only while others have the name). Maps of the file
in other processes are not seen: locks that show them would stand in the way of the program's own.
"""

import contextlib
import mmap as _standard
import operator
import os
from collections.abc import Iterator
from mmap import ACCESS_COPY, ACCESS_DEFAULT, ACCESS_READ, ACCESS_WRITE
from typing import Any, Self

from namedmap import access as words
from namedmap import constants as c
from namedmap import errors
from namedmap._contract import SectionHandle
from namedmap._finalizer import finalizer
from namedmap._platform import files, native, sections

_WORDS = {ACCESS_READ: "read", ACCESS_WRITE: "write", ACCESS_COPY: "copy", ACCESS_DEFAULT: "write"}


def __getattr__(name: str) -> Any:
    """Everything else is the standard library's: constants, and what it gains in later versions."""
    return getattr(_standard, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [name for name in dir(_standard) if not name.startswith("_")]

#: The files that maps of this process stand on (device, inode), by the id of the map.
_files: dict[int, tuple[int, int]] = {}


class mmap(_standard.mmap):
    """A mapped file or shared memory; the standard library's class, with `tagname`."""

    _section: SectionHandle | None = None
    _sized_by_file = True

    def __new__(cls, fileno: int, length: int, *arguments: Any, **options: Any) -> Self:
        """Map `length` bytes of a file from `offset` on (0: the rest), or memory: without a name, or of a tag name."""
        if "tagname" in options or (arguments and not hasattr(arguments[0], "__index__")):
            tagname, access, offset = _as_on_windows(*arguments, **options)
            # There descriptor 0 is no file either.
            fileno = operator.index(fileno) or -1
            if tagname is not None:
                return cls._tagged(fileno, operator.index(length), tagname, access, offset)
            arguments, options = (), {"access": access, "offset": offset}
        if fileno == -1 and not arguments and _is_plain(**options) and operator.index(length) > 0:
            with contextlib.suppress(OSError):  # no descriptor is left: then memory that keeps its size
                return cls._anonymous(length, **options)
        made = super().__new__(cls, fileno, length, *arguments, **options)
        if fileno != -1:
            made._stands_on(fileno)
        return made

    @classmethod
    def _anonymous(cls, length: int, **options: Any) -> Self:
        """Memory of a file without a name, so that it can grow. (Shared memory without a file cannot, on Linux.)"""
        fd = os.memfd_create("namedmap", os.MFD_CLOEXEC)
        try:
            # It takes no memory until it is used: a program may ask for far more than it will.
            os.ftruncate(fd, length)
            return super().__new__(cls, fd, length, **options)
        finally:
            os.close(fd)

    @classmethod
    def _tagged(cls, fileno: int, length: int, tagname: str, access: int, offset: int) -> Self:
        wanted = words.parse(_WORDS[access])
        section = _join(fileno, length + offset if length else 0, tagname, wanted)
        try:
            with errors.translated():
                size = section.size()
            if length + offset > size or (not length and offset >= size):
                raise errors.of(
                    int(c.ERROR_ACCESS_DENIED),
                    f"the map {tagname!r} has {size:,} bytes: {length:,} at offset {offset:,} are more than that",
                )
            _allow(section, wanted)
            made = cls._view(section, length or size - offset, access, offset)
        except BaseException:
            section.close()
            raise
        made._section, made._sized_by_file = section, fileno != -1
        return made

    @classmethod
    def _view(cls, section: SectionHandle, length: int, access: int, offset: int) -> Self:
        with errors.translated():
            fd = section.open_data()
        try:
            made = super().__new__(cls, fd, length, access=access, offset=offset)
            made._stands_on(fd)
            return made
        finally:
            os.close(fd)

    def _stands_on(self, fileno: int) -> None:
        info = os.fstat(fileno)
        _files[id(self)] = info.st_dev, info.st_ino

    def close(self) -> None:
        """Unmap; the last one to close a tag name takes it away. Raises BufferError while buffers of it are in use."""
        super().close()
        self._let_go()

    def _let_go(self) -> None:
        _files.pop(id(self), None)
        section, self._section = self._section, None
        if section is not None:
            section.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    @finalizer
    def __del__(self) -> None:
        self._let_go()

    # The inherited methods go through __getitem__, and would make ints of them.

    def __iter__(self) -> Iterator[Any]:
        """Each byte as a bytes object, as of the standard library's class."""
        at = 0
        while at < len(self):
            yield self[at : at + 1]
            at += 1

    def __reversed__(self) -> Iterator[Any]:
        return (self[at : at + 1] for at in range(len(self) - 1, -1, -1))

    def __repr__(self) -> str:
        _, _, rest = super().__repr__().partition(" ")
        name = "mmap.mmap" if type(self) is mmap else f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{name} {rest}"

    def size(self) -> int:
        """The size of the file, or of the memory."""
        return super().size() if self._sized_by_file else len(self)

    def resize(self, newsize: int) -> None:
        """Make map and file longer or shorter; OSError for a tag name, 0, or less while other maps are of the file."""
        present = len(self)
        if self._section is not None:
            raise errors.of(
                int(c.ERROR_USER_MAPPED_FILE), "a map with a tag name keeps its size: others may have it mapped"
            )
        if not newsize:
            # Else the file would be empty, and the map that is there a trap.
            raise errors.of(int(c.ERROR_FILE_INVALID), "nothing can be mapped of an empty file")
        if newsize < present and list(_files.values()).count(_files.get(id(self), (0, 0))) > 1:
            raise errors.of(int(c.ERROR_USER_MAPPED_FILE), "other maps of this file would lose its end")
        super().resize(newsize)


def _is_plain(*, access: int = ACCESS_DEFAULT, offset: int = 0, **others: Any) -> bool:
    """Whether memory without a name is to be shared and writable, as it is unless one asks for something else."""
    return access in (ACCESS_DEFAULT, ACCESS_WRITE) and not offset and not others


def _as_on_windows(
    tagname: str | None = None, access: int = ACCESS_DEFAULT, offset: int = 0, *rest: Any, **unknown: Any
) -> tuple[str | None, int, int]:
    if rest or unknown:
        raise TypeError(f"mmap with a tag name takes fileno, length, tagname, access and offset, not {rest or unknown}")
    if tagname is not None and not isinstance(tagname, str):
        raise TypeError(f"tagname is a str or None, not {type(tagname).__name__}")
    if access not in _WORDS:
        raise ValueError("mmap invalid access parameter.")
    offset = operator.index(offset)
    if offset < 0:
        raise OverflowError("memory mapped offset must be positive")
    return tagname or None, access, offset


def _join(fileno: int, size: int, tagname: str, wanted: words.Access) -> SectionHandle:
    """A handle to the map of this name, new or there."""
    if size < 0:
        raise OverflowError("memory mapped length must be positive")
    if fileno == -1:
        with errors.translated():
            # Only a map that is there has a size.
            return sections.create(tagname, size, wanted)[0] if size else sections.open(tagname, wanted)
    os.fstat(fileno)  # OSError with EBADF, as the standard library's, for what is no descriptor
    with errors.translated():
        file = files.of_descriptor(fileno, wanted)
        try:
            return file.create_section(tagname, size, wanted)[0]
        finally:
            file.close()


def _allow(section: SectionHandle, wanted: words.Access) -> None:
    """Raise what Windows answers to a view that the section does not allow; its file would."""
    with errors.translated():
        section.map(wanted, 0, 1)


if native:
    globals()["mmap"] = _standard.mmap
