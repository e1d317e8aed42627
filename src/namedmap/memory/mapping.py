"""File mappings: named shared memory, and files seen as memory.

    create(name, size)           must be new
    open(name)                   must exist
    open_or_create(name, size)   `created` tells which it was
    map_file(path)               the bytes of a file

The name lives as long as anybody has a mapping open; nobody has to remove it. The memory lives as long as anybody sees
it, through a mapping, a view, or an array or memoryview that was made from one.
"""

import contextlib
import errno
import operator
import os
import warnings
from collections.abc import Iterator
from typing import Self

from namedmap import access as words
from namedmap import constants as c
from namedmap import errors
from namedmap._contract import NOBODY_ELSE, FileHandle, Permissions, SectionHandle
from namedmap._failure import Failure
from namedmap._finalizer import finalizer
from namedmap._platform import files, sections
from namedmap.memory.handing import Passable
from namedmap.memory.view import View
from namedmap.permissions import permissions


class FileMapping(Passable):
    """A section: memory that any process can map, over the paging file or over a file. Made by the functions here."""

    #: Whether a view that was sent here brought it along: then nobody is bound to close it.
    came_with_view = False

    def __init__(
        self,
        section: SectionHandle,
        name: str | None,
        access: words.Access,
        *,
        created: bool,
        path: str | None = None,
    ) -> None:
        """Take over a handle. Use create, open, open_or_create or map_file."""
        self._section: SectionHandle | None = section
        self._name, self._path, self._access, self._created = name, path, access, created
        self._constant_size = section.constant_size
        #: Whether a touch of the memory can be a signal: then views copy with care.
        self.may_vanish = section.may_vanish

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The name, None for an unnamed one."""
        return self._name

    @property
    def path(self) -> str | None:
        """The file that is mapped; None for memory, and for a mapping that was opened by its name."""
        return self._path

    @property
    def access(self) -> str:
        """The access of the handle: "read", "write", …"""
        return self._access.word

    @property
    def created(self) -> bool:
        """Whether this call made it (of `map_file`: made the file), rather than found it."""
        return self._created

    @property
    def handle(self) -> int:
        """The handle, for the functions of namedmap.win32; closed with this object."""
        return self.opened_section().value

    @property
    def closed(self) -> bool:
        return self._section is None

    @property
    def size(self) -> int:
        """In bytes, as it was asked for by whoever created it; of a file mapping that was extended, the present one.

        On Windows that of memory which was opened is rounded to pages, unless `open` was told the size.
        """
        section = self.opened_section()
        if self._constant_size is not None:
            return self._constant_size
        with errors.translated():
            return section.size()

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.size:,} bytes, {self.access}"
        return f"<namedmap.FileMapping {self._what}, {state}>"

    @property
    def _what(self) -> str:
        return repr(self._name) if self._name else f"of {self._path!r}" if self._path else "unnamed"

    # -- views --------------------------------------------------------------------------------------------------------

    def view(self, offset: int = 0, size: int | None = None, access: str | None = None) -> View:
        """Map `size` bytes from `offset` on (any offset; None: the rest), with the mapping's access or less.

        Raises BadValueError beyond the end, AccessDeniedError for more access than the mapping has.
        """
        wanted = self._access if access is None else words.parse(access)
        section, present = self._section, self._constant_size
        if section is None:
            section = self.opened_section()  # raises
        if present is None:
            present = self.size
        offset = operator.index(offset)
        length = present - offset if size is None else operator.index(size)
        if offset < 0 or length < 1 or length > present - offset:
            raise errors.BadValueError(
                int(c.ERROR_INVALID_PARAMETER),
                f"{self!r} has no {max(length, 0):,} bytes at offset {offset:,} to view",
            )
        return View(self, section, wanted, offset, length)

    def windows(self, size: int, overlap: int = 0, access: str | None = None) -> Iterator[View]:
        """Views of `size` bytes, one after the other (the last may be shorter), each beginning `overlap` bytes before
        the end of the one before. A window is closed when the next one is asked for."""
        if not 0 <= overlap < size:
            raise errors.BadValueError(
                int(c.ERROR_INVALID_PARAMETER), f"windows of {size} bytes cannot overlap by {overlap}"
            )
        offset, whole = 0, self.size
        while offset < whole:
            length = min(size, whole - offset)
            with self.view(offset, length, access) as window:
                yield window
            if offset + length == whole:
                break
            offset += size - overlap

    # -- operations ---------------------------------------------------------------------------------------------------

    def extend(self, size: int) -> int:
        """Make the mapping of a file longer, and the file; views keep their size. Returns the size.

        Raises Error for memory, which cannot grow: reserve the largest size at creation, or create another one.
        """
        section, size = self.opened_section(), operator.index(size)
        if self._path is not None and not self._access.file & int(c.GENERIC_WRITE):
            message = f'{self!r} cannot be extended: map it with access="write"'
            raise errors.of(int(c.ERROR_ACCESS_DENIED), message)
        try:
            return section.extend(size)
        except Failure as failure:
            raise errors.of(failure.winerror, f"{self!r}: {failure.detail}", failure.errno) from None

    def close(self) -> None:
        """Close the handle; without effect the second time. Views stay as they are."""
        self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go()

    def __del__(self) -> None:
        if self._section is not None:
            self._close_dropped()

    @finalizer
    def _close_dropped(self) -> None:
        try:
            if not self.came_with_view:
                # Shown in development mode, as for files.
                warnings.warn(f"unclosed namedmap.FileMapping {self._what}", ResourceWarning, stacklevel=4, source=self)
        finally:
            self.close()

    def __reduce__(self) -> tuple[object, ...]:
        """By name; without one by its passage, on which the receiver gets it if this mapping is still open then."""
        self.opened_section()
        if self._name is not None:
            return _open_again, (self._name, self.access, self._constant_size)
        return _receive, (self._sendable(), self.access, self._path)


def create(
    name: str | None,
    size: int,
    access: str = "write",
    *,
    reserve: bool = False,
    mode: int | None = None,
    group: str | int | None = None,
    security: str | None = None,
    inheritable: bool = False,
) -> FileMapping:
    """Create shared memory of `size` bytes, all zeros. Raises ExistsError if the name is taken.

    The space is allocated now: what does not fit is an error here, not a signal later. With `reserve` it is not: pages
    are to be committed (`View.commit`) before they are used. The others who may use it are told as in
    namedmap.permissions; by default there are none. `inheritable`: children that are started with close_fds=False get
    the handle.
    """
    who = NOBODY_ELSE if mode is group is security is None else permissions(mode, group, security)
    found = _create(name, size, access, reserve, who, inheritable)
    if not found._created:
        found.close()
        raise errors.of(int(c.ERROR_ALREADY_EXISTS), f"file mapping {name!r} exists: open or open_or_create it")
    return found


def open(name: str, access: str = "write", *, size: int | None = None, inheritable: bool = False) -> FileMapping:
    """Open shared memory, or the mapping of a file, by its name. Raises NotFoundError.

    `size`, in bytes, is for who knows it. Windows rounds the size of memory to pages of 4 KiB, and tells openers that
    one; with `size` the mapping has the size that its creator asked for there too. Raises BadValueError if that cannot
    be: on Linux if it is not exactly the mapping's, on Windows if it does not round to the mapping's.
    """
    wanted = words.known.get(access) or words.parse(access)
    if size is not None:
        size = operator.index(size)
    try:
        section = sections.open(name, wanted, size=size, inheritable=inheritable)
    except Failure as failure:
        raise errors.translate(failure) from None
    return FileMapping(section, name, wanted, created=False)


def open_or_create(
    name: str,
    size: int,
    access: str = "write",
    *,
    reserve: bool = False,
    mode: int | None = None,
    group: str | int | None = None,
    security: str | None = None,
    inheritable: bool = False,
) -> FileMapping:
    """Open shared memory of this name, which keeps its own size, or create it; `created` tells which it was."""
    return _create(name, size, access, reserve, permissions(mode, group, security), inheritable)


def map_file(
    path: str | bytes | os.PathLike[str] | os.PathLike[bytes],
    size: int | None = None,
    access: str = "read",
    *,
    create: bool = False,
    sparse: bool = False,
    name: str | None = None,
    mode: int | None = None,
    inheritable: bool = False,
) -> FileMapping:
    """Map a file: all of it, or its first `size` bytes, to which a shorter file grows (with access "write").

    `create`: make the file if there is none; `mode` is the new file's. New space is allocated, unless `sparse`. `name`
    lets others open the mapping by a name. Raises NotFoundError, AccessDeniedError, BadValueError for an empty file.
    """
    wanted = words.parse(access)
    where = os.fsdecode(path)
    if size is not None:
        size = _file_size(where, size)
    file, made = _open_file(where, wanted, create, permissions(mode))
    try:
        if size:
            _prepare(file, where, size, wanted, sparse)
        with errors.translated():
            section, _ = file.create_section(name, size or 0, wanted, inheritable=inheritable)
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                os.unlink(where)
        raise
    finally:
        file.close()
    return FileMapping(section, name, wanted, created=made, path=where)


def _create(
    name: str | None, size: int, access: str, reserve: bool, who: Permissions, inheritable: bool
) -> FileMapping:
    wanted = words.known.get(access) or words.parse(access)
    size = operator.index(size)
    if size < 1:
        raise errors.BadValueError(int(c.ERROR_INVALID_PARAMETER), f"shared memory has 1 byte or more, not {size}")
    try:
        section, created = sections.create(
            name, size, wanted, reserve=reserve, permissions=who, inheritable=inheritable
        )
    except Failure as failure:
        raise errors.translate(failure) from None
    return FileMapping(section, name, wanted, created=created)


class _Path:
    """A path of the system, which is taken as it is: in a str a backslash would be a separator."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return self._path


def _file_size(path: str, size: int) -> int:
    size = operator.index(size)
    if not 0 <= size < 1 << 63:
        raise errors.BadValueError(int(c.ERROR_INVALID_PARAMETER), f"{path!r} cannot have {size:,} bytes")
    return size


def _open_file(path: str, wanted: words.Access, create: bool, who: Permissions) -> tuple[FileHandle, bool]:
    try:
        return files.open(_Path(path), wanted, create=create, permissions=who)
    except Failure as failure:
        if os.path.isdir(path):
            message = f"{path!r} is a directory: only files can be mapped"
            raise errors.of(failure.winerror, message, errno.EISDIR) from None
        if failure.winerror == c.ERROR_PATH_NOT_FOUND and failure.errno is None:
            # Of names this is a value that cannot be; of files a directory that is not there.
            raise errors.NotFoundError(failure.winerror, failure.detail, errno.ENOENT) from None
        raise errors.translate(failure) from None


def _prepare(file: FileHandle, path: str, size: int, wanted: words.Access, sparse: bool) -> None:
    """Make a shorter file as long as it has to be, if it is to be sparse; refuse what could not be done."""
    with errors.translated():
        present = file.size()
        if present is None or size <= present:
            return
        if not wanted.file & int(c.GENERIC_WRITE):
            message = f'{path!r} has {present:,} bytes; only access="write" makes it longer, not {wanted.word!r}'
            raise errors.of(int(c.ERROR_ACCESS_DENIED), message)
        if sparse:
            file.grow_sparsely(size)


def _open_again(name: str, access: str, size: int | None = None) -> FileMapping:
    try:
        return open(name, access, size=size)
    except errors.BadValueError:  # another object has the name by now: a pickle is the name
        return open(name, access)


def _receive(sent: object, access: str, path: str | None) -> FileMapping:
    wanted = words.parse(access)
    with errors.translated():
        section = sections.receive(sent, wanted)
    return FileMapping(section, None, wanted, created=False, path=path)
