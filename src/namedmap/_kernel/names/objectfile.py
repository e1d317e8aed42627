"""The file of a named object between being opened and being an object.

Opening never follows a symbolic link, never waits (for a FIFO's other end) and never creates what may exist. Looking
at the file comes after taking its guard, which orders creators, openers and the last closer (`objects`).
"""

import errno
import os
import stat
from threading import get_ident
from typing import ClassVar, Protocol, Self

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap._kernel.linux import descriptors, limits, locks
from namedmap._kernel.names import namespace, succession
from namedmap._kernel.names.controlpage import Kind
from namedmap._kernel.names.names import ObjectName


def close_own() -> None:
    """Close what this thread has in flight: a signal handler's exception has ended the call that should have."""
    thread = get_ident()
    for file in [each for each in list(in_flight) if each.thread == thread]:
        file.close()


class HasKind(Protocol):
    """A class of named objects."""

    kind: ClassVar[Kind]


def describe(cls: type[HasKind], name: ObjectName | None) -> str:
    kind = cls.kind.noun
    return f"{kind} {str(name)!r}" if name else f"an unnamed {kind}"


_READ_WRITE, _READ_ONLY = os.O_RDWR | namespace.OPEN_FLAGS, os.O_RDONLY | namespace.OPEN_FLAGS
# O_EXCL is judged before fs.protected_regular, which refuses O_CREAT on others' files in sticky places.
_NEW = _READ_WRITE | os.O_CREAT | os.O_EXCL

#: Files between being opened and being an object, or closed again: see `processes`, fork.
in_flight: set["ObjectFile"] = set()


class ObjectFile:
    """An open object file, whose guard is held, on its way to becoming an object.

    Closed with the with-block, or by `close`, unless an object took it.
    """

    __slots__ = (
        "call", "cls", "fd", "info", "key", "made", "name", "named", "open", "path", "taken", "thread", "writable",
    )  # fmt: skip

    info: os.stat_result
    key: tuple[int, int]

    def __init__(
        self,
        cls: type[HasKind],
        name: ObjectName | None,
        fd: int,
        path: str | None,
        writable: bool = True,
        made: bool = False,
        exclusive: bool = True,
    ) -> None:
        """Take over a descriptor, take the guard, and look at the file. `named`: it still has its name."""
        self.cls, self.name, self.path, self.writable, self.made = cls, name, path, writable, made
        self.fd: locks.Anchored | locks.Compared
        try:
            os.lseek(fd, locks.ANCHOR, 0)
            self.fd, self.call = locks.anchored(fd), locks.call
        except OSError as error:
            self.fd, self.call = locks.compared(fd, error), locks.compared_call
        self.taken, self.open, self.thread = False, True, get_ident()
        if fd in descriptors.kept:
            descriptors.claim(fd)
        in_flight.add(self)
        try:
            try:
                self.call(self.fd, locks.SET, locks.GUARD_ON if exclusive else locks.GUARD_SHARED)
            except BlockingIOError:
                locks.take_guard(self.fd, self, exclusive=exclusive)
            self.info = info = os.fstat(fd)
            self.key = (info.st_dev, info.st_ino)
            if not stat.S_ISREG(info.st_mode):
                raise not_a_file(path, str(self))
            links = info.st_nlink
            self.named = (writable or not self._is_being_made()) and (
                links == 1 or (links > 1 and self._has_its_name()) or path is None
            )
        except BaseException:
            self.close()
            raise

    def _is_being_made(self) -> bool:
        """Whether it did not have its mode yet when it was opened for reading."""
        return bool(self.info.st_mode & 0o022) and os.access(str(self.path), os.W_OK, effective_ids=True)

    @classmethod
    def held(
        cls, kind: type[HasKind], name: ObjectName, fd: int, path: str, info: os.stat_result, *, made: bool
    ) -> Self:
        """The file of an object that is held already, through a descriptor whose position is the anchor."""
        file = cls.__new__(cls)
        file.cls, file.name, file.path, file.writable, file.made = kind, name, path, True, made
        file.fd, file.call, file.taken, file.open, file.thread = locks.Anchored(fd), locks.call, True, True, get_ident()
        file.info, file.key = info, (info.st_dev, info.st_ino)
        return file

    def __str__(self) -> str:
        return describe(self.cls, self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the guard, and close it unless an object took it; without effect the second time."""
        # An exception of a signal handler may end this after any call: what is done then is not done again.
        if self.open:
            # The lock is dropped by name: a child forked meanwhile may have a copy of the description.
            self.call(self.fd, locks.SET, locks.GUARD_OFF)
            self.open = False
            if not self.taken:
                os.close(self.fd)
        in_flight.discard(self)

    def _has_its_name(self) -> bool:
        """Whether its path still leads to a file that has several: one that somebody has linked may have lost this."""
        try:
            info = os.lstat(str(self.path))
        except OSError as error:
            require_ours(error)
            return False
        return (info.st_dev, info.st_ino) == self.key

    def check_links(self) -> None:
        """Refuse a file, which has several names, that others may write to, who can have written this name into it."""
        if self.info.st_mode & 0o022:
            raise KernelError(
                NTSTATUS.STATUS_FILE_CORRUPT,
                f"{self}: {self.path} has another name (a hard link), which somebody made who may write to it; it may "
                f"be another object. Find it (find {os.path.dirname(str(self.path))} -inum {self.info.st_ino}) and "
                "remove what is not yours",
            )

    @classmethod
    def find(cls, kind: type[HasKind], name: ObjectName, path: str, *, exclusive: bool) -> Self | None:
        """Open an object file that exists, for writing where that is allowed; None if there is none.

        The exclusive guard needs that: a file that may only be read gets the shared one.
        """
        for mode in (_READ_WRITE, _READ_ONLY):
            writable = mode == _READ_WRITE
            try:
                fd = os.open(path, mode)
            except FileNotFoundError as error:
                require_ours(error)
                return None
            except OSError as error:
                if error.errno == errno.EACCES and writable:
                    continue
                what = describe(kind, name)
                if error.errno == errno.EACCES:
                    raise _not_granted(path, what) from None
                if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV):
                    raise not_a_file(path, what) from None
                raise from_oserror(error, f"cannot open {what} ({path})") from None
            return cls(kind, name, fd, path, writable, False, exclusive and writable)
        return None

    @classmethod
    def make(cls, kind: type[HasKind], name: ObjectName, path: str, mode: int) -> Self | None:
        """Make a new object file; None if there is one, or the directory of names was removed and is there again."""
        try:
            fd = os.open(path, _NEW, mode)
        except FileExistsError as error:
            require_ours(error)
            return None
        except FileNotFoundError as error:
            require_ours(error)
            namespace.current().prepare()
            return None
        except OSError as error:
            # There is no space, or no inode: what the dead have left is removed first.
            if error.errno in (errno.ENOSPC, errno.EDQUOT) and namespace.current().sweep():
                return None
            raise limits.not_made(error, path, describe(kind, name)) from None
        return cls(kind, name, fd, path, True, True)


class NotGrantedError(KernelError):
    """Another user has a file there, and this one may not even read it."""


def _not_granted(path: str, what: str) -> KernelError:
    owner = "another user"
    with ignored(OSError):
        owner = f"user {os.lstat(path).st_uid}"
    return NotGrantedError(
        NTSTATUS.STATUS_ACCESS_DENIED,
        f"{what} is {owner}'s, who grants you nothing ({path}); if it is not in use, {owner} or root must remove it",
    )


def not_a_file(path: str | None, what: str) -> KernelError:
    return KernelError(
        NTSTATUS.STATUS_FILE_CORRUPT,
        f"{what}: {path} is in the place of its object file, but is no regular file: find out whose it is, remove it",
    )


def unlink(path: str, key: tuple[int, int]) -> None:
    """Remove an object file, unless somebody has moved it by hand and another object has its path now."""
    if os.lstat(path).st_ino == key[1]:
        os.unlink(path)


# -- files of a name that others have left, see `succession` ----------------------------------------------------------


def stands_behind(file: ObjectFile) -> bool:
    """Whether a living file is a stranger's, and another living one of its chain is to be trusted more."""
    if file.info.st_uid in (0, os.geteuid()):
        return False
    base, _ = succession.place(str(file.path))
    return succession.has_successors(base) and succession.living(base) != file.path


def gives_way(file: ObjectFile, base: str) -> bool:
    """Whether a file that was made here has come too late. It is removed, unless what lives is reached through it."""
    path = str(file.path)
    if (path == base and not succession.has_successors(base)) or not succession.rival(path):
        return False
    if not succession.leads_on(path):
        with ignored(FileNotFoundError):
            unlink(path, file.key)
    succession.pause()
    return True


def around(name: ObjectName, base: str, path: str) -> str:
    """Where to go on instead of a file that may not be read; to be called for its NotGrantedError."""
    if not name.is_global:
        raise
    found, successor = succession.state(path), succession.following(path)
    if found == succession.BUSY:
        succession.pause()
        return path
    if found == succession.DEAD and successor is not None:
        return successor
    other = succession.living(base)
    if other in (None, path):
        raise
    return other


def past_dead(file: ObjectFile) -> str:
    """Make way for a new object; where to go on. A file that cannot be locked exclusively is only made so."""
    path = str(file.path)
    base, _ = succession.place(path)
    try:
        if succession.is_needed(path):
            succession.pause()
            return succession.living(base) or base
        if not file.writable and file.info.st_uid == os.geteuid():
            os.fchmod(file.fd, 0o600)
        else:
            unlink(path, file.key)
    except FileNotFoundError as error:
        require_ours(error)
        return base
    except OSError as error:
        require_ours(error)
        successor = succession.following(path)
        if file.name is not None and file.name.is_global and successor is not None:
            return successor
        failure = from_oserror(error, f"cannot create {file}: user {file.info.st_uid} left {file.path} behind")
        raise KernelError(failure.status, f"{failure.detail}; that user must remove it") from None
    return path
