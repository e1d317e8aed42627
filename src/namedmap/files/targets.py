"""Where a copy goes, and what becomes of it when it fails.

    InPlace     the file itself, which is emptied first; a copy that fails removes it
    Aside       a file without a name, which replaces the target when it is complete (atomic)
    Part        a file beside the target, which stays when the copy fails, and is taken up by the next one (resume)

A file that can be left over has a name that says so: ".<target>.<which target>.<which source>.namedmap-part" for copies
that can be resumed; ".<target>.<random>.namedmap-copy" of an atomic copy that was killed, on filesystems that have no
files without a name. The process that works on one holds a lock on it, which the kernel drops when that process ends.
"""

import errno
import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from namedmap import errors
from namedmap._failure import ignored, require_ours
from namedmap.winerror import WinError

from ._system import system
from .failures import bad
from .reading import AnyPath, Source, refuse_special, system_calls

_COPY, _PART = ".namedmap-copy", ".namedmap-part"
#: Bytes of the target's name in that of an unfinished file: a name has at most 255.
_HEAD = 100
#: The bytes of an earlier part that are compared with the source before it is gone on with.
_TAIL = 8 << 20


class Target:
    """The file that a copy is written to: `fd`. Bytes up to `done` are there already."""

    #: The name of the target until it is complete; "" if it is written in its place.
    temporary = ""
    #: The file that is there already.
    old: os.stat_result | None = None

    def __init__(self, path: AnyPath, source: Source, *, read: bool, preserve: bool) -> None:
        """`read`: what was written has to be read back; `preserve`: it is to have the source's metadata."""
        given = os.fspath(path)
        if given.endswith((os.sep, os.altsep or os.sep)):
            raise bad(f"{given!r} names a directory: give the path of a file")
        self.source, self.read, self.preserve, self.done, self.fd = source, read, preserve, 0, -1
        self.path, self.asked = given, f"cannot copy {source.path!r} to {given!r}"

    def _look(self) -> None:
        """Learn where the target is, and what is there."""
        # A symbolic link is followed, as a plain open does: what it points to is written or replaced.
        self.path = os.path.realpath(self.path)
        self.directory, self.name = os.path.split(self.path)
        self.old = self._existing()

    def _existing(self) -> os.stat_result | None:
        try:
            info = os.stat(self.path)
        except FileNotFoundError as error:
            require_ours(error)
            return None
        refuse_special(info, self.path)
        if (info.st_dev, info.st_ino) == (self.source.info.st_dev, self.source.info.st_ino):
            raise bad(f"{self.source.path!r} and {self.path!r} are the same file: it cannot be copied onto itself")
        # A rename would replace it all the same: that the directory may be written to is not what its owner meant.
        if not system.may_write(self.path):
            raise PermissionError(errno.EACCES, "the target is read-only: Permission denied")
        return info

    def open(self) -> None:
        """Open or make the file; what was made is removed by `abandon` whenever Ctrl-C comes."""
        raise NotImplementedError

    def written(self) -> int:
        """The bytes that it has now."""
        return os.fstat(self.fd).st_size

    def finish(self, *, durable: bool) -> None:
        """The copy is complete: put it in its place; `durable`: the disk has it, too."""
        if durable:
            os.fsync(self.fd)

    def abandon(self, *, useless: bool = True) -> None:
        """The copy has failed; `useless`: nobody can go on with what there is."""

    def close(self) -> None:
        """Close the file; on some filesystems (NFS) it is only now that a full disk shows."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    @property
    def _mode(self) -> int:
        """Permissions of a new file: the source's, of which the umask takes away."""
        return self.source.info.st_mode & 0o777

    def dress(self) -> None:
        """A target that replaces a file gets its permissions, and its owner and group as far as that is allowed."""
        if self.old is not None:
            system.take_after(self.fd, self.path, self.old)

    def _let_go(self) -> None:
        """Close it where a file that is open can be neither renamed nor removed."""
        if system.OPEN_FILES_KEEP_NAMES:
            self.close()

    def _replace(self) -> None:
        """Give the file its name, which another one may have had."""
        self._let_go()
        try:
            system.replace(self.temporary, self.path)
        except OSError as error:
            require_ours(error)
            if error.errno != errno.EBUSY:
                raise
            message = (
                f"{self.asked}: the target is a mount point, which cannot be replaced; copy without atomic, resume"
            )
            raise errors.of(WinError.ERROR_ACCESS_DENIED, message) from None


class InPlace(Target):
    """The target itself.

    Most targets are new, so the file is made before anybody looks whether there is one: a path that is free needs
    neither to be resolved nor to be asked about.
    """

    #: The descriptor of a file that was made.
    _made: Sequence[int] = ()
    _opened: os.stat_result | None = None

    def open(self) -> None:
        """Open it for writing, and empty it."""
        if not self.path.startswith(os.sep):  # the caller's progress function may change the current directory
            self.path = os.path.join(os.getcwd(), self.path)
        flags = (os.O_RDWR if self.read else os.O_WRONLY) | system.OPEN
        if system.MADE_IS_NEW and self._make(flags):
            return
        self._look()
        # There may have been a symbolic link to no file yet.
        if self.old is None and self._make(flags):
            return
        # Without O_CREAT: fs.protected_regular refuses it for another user's file in a sticky directory.
        self.fd = os.open(self.path, flags)
        info = os.fstat(self.fd)
        if self.preserve and not system.may_date(info):
            message = f"{self.asked}: only its owner may give it other times and permissions; copy without preserve"
            raise errors.of(WinError.ERROR_ACCESS_DENIED, message)
        if self.old is None or (info.st_dev, info.st_ino) != (self.old.st_dev, self.old.st_ino):
            message = f"{self.asked}: another program has just put a file there; do it again if it may be replaced"
            raise errors.of(WinError.ERROR_FILE_EXISTS, message)
        self._opened = info
        os.ftruncate(self.fd, 0)

    def _make(self, flags: int) -> bool:
        """Make the file, if there is none."""
        self._made = made = list[int]()
        try:
            # In one step of the interpreter: Ctrl-C cannot come between the file and the knowledge of it.
            made.extend(map(os.open, [self.path], [flags | os.O_CREAT | os.O_EXCL], [self._mode]))
        except FileExistsError as error:
            require_ours(error)
            return False
        self.fd = made[0]
        return True

    def written(self) -> int:
        """Its size; after this it can be removed even if it is closed."""
        found = os.fstat(self.fd)
        self._opened = self._opened or found
        return found.st_size

    def dress(self) -> None:
        """It keeps its permissions, or was made with them."""

    def abandon(self, *, useless: bool = True) -> None:
        """Remove what there is: half a file looks like a whole one. Other names of it are left with nothing."""
        if self._made and self._opened is None:  # it has not been closed yet
            self.fd = self._made[0]
            self._opened = os.fstat(self.fd)
        if self._opened is not None:
            with ignored(OSError):
                os.ftruncate(self.fd, 0)
            with ignored(OSError):
                if os.path.samestat(self._opened, os.lstat(self.path)):
                    self._let_go()
                    system.unlink(self.path)


class Aside(Target):
    """A file without a name in the directory of the target, or with one where that cannot be."""

    #: Whether its name may be there: said before it is made, for Ctrl-C may come in between.
    named = False

    def open(self) -> None:
        """Make the file."""
        self._look()
        self.temporary = os.path.join(self.directory, f".{_head(self.name)}.{secrets.token_hex(6)}{_COPY}")
        nameless = system.open_nameless(self.directory, self._mode)
        if nameless is not None:
            self.fd, self._give_name = nameless
        else:
            self.named = True
            self.fd = os.open(self.temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | system.OPEN, self._mode)
        system.lock(self.fd)

    def finish(self, *, durable: bool) -> None:
        """Replace the target: an opener gets the old file or the complete new one."""
        super().finish(durable=durable)
        if not self.named:
            self.named = True
            self._give_name(self.temporary)
        self._replace()
        self.named = False
        if durable:
            system.settle(self.directory)

    def abandon(self, *, useless: bool = True) -> None:
        """Nothing is left."""
        if self.named:
            with ignored(OSError):
                self._let_go()
                system.unlink(self.temporary)


class Part(Target):
    """A file beside the target that can be taken up again. Its length is how far the copy was.

    Its name says which source it is of: inode, size and time of the last change. The last bytes of an earlier copy are
    compared with the source before they are believed.
    """

    def open(self) -> None:
        """Take up the part of this source, or begin one; parts of what the source was before are removed."""
        self._look()
        info = self.source.info
        which = hashlib.sha256(os.fsencode(self.name)).hexdigest()[:12]
        state = hashlib.sha256(f"{info.st_ino} {info.st_size} {info.st_mtime_ns}".encode()).hexdigest()[:16]
        kin = f".{_head(self.name)}.{which}."
        self.temporary = os.path.join(self.directory, f"{kin}{state}{_PART}")
        for name in os.listdir(self.directory):
            other = os.path.join(self.directory, name)
            if name.startswith(kin) and name.endswith(_PART) and other != self.temporary:
                _remove_dead(other)
        while self.fd < 0:
            self._open_locked()
        self._believe()

    def _open_locked(self) -> None:
        flags = os.O_RDWR | system.OPEN | system.NO_LINK
        try:
            fd = os.open(self.temporary, flags)
        except FileNotFoundError as error:
            require_ours(error)
            fd = os.open(self.temporary, flags | os.O_CREAT, self._mode | 0o600)
        try:
            system.lock(fd)
            # The process that had the lock may have finished meanwhile: then this file is the target now.
            if os.path.samestat(os.fstat(fd), os.lstat(self.temporary)):
                self.fd, fd = fd, -1
        except FileNotFoundError as error:
            require_ours(error)
        except BlockingIOError:
            message = f"{self.asked}: another copy of it is under way, in {self.temporary!r}; wait for it"
            raise errors.of(WinError.ERROR_SHARING_VIOLATION, message) from None
        finally:
            if fd >= 0:
                os.close(fd)

    def _believe(self) -> None:
        info = os.fstat(self.fd)
        # A second name could be one that another user gave to any file of ours.
        if not system.is_own(info) or not stat.S_ISREG(info.st_mode) or info.st_nlink != 1:
            raise errors.of(WinError.ERROR_ACCESS_DENIED, f"{self.temporary!r} is no part of a copy by us: remove it")
        self.done = info.st_size
        size = min(_TAIL, self.done)
        theirs, ours = bytearray(size), bytearray(size)
        if self.done <= self.source.size:
            self.source.fill(memoryview(theirs), self.done - size)
            if system.read_into(self.fd, memoryview(ours), self.done - size) == size and ours == theirs:
                return
        os.ftruncate(self.fd, 0)
        self.done = 0

    def dress(self) -> None:
        """As above; a new file was made so that it could be opened again, whatever its permissions are to be."""
        super().dress()
        if self.old is None:
            system.set_mode(self.fd, stat.S_IMODE(os.fstat(self.fd).st_mode) & self._mode)

    def finish(self, *, durable: bool) -> None:
        """Replace the target."""
        super().finish(durable=durable)
        self._replace()
        if durable:
            system.settle(self.directory)

    def abandon(self, *, useless: bool = False) -> None:
        """Leave the part to the next copy, if it can do anything with it."""
        if useless:
            with ignored(OSError):
                self._let_go()
                system.unlink(self.temporary)


def leftovers(directory: AnyPath) -> list[Path]:
    """Unfinished files of copies in a directory that no process works on: parts to be resumed, and litter of kills.

    They may be removed. Raises NotFoundError, AccessDeniedError.
    """
    with system_calls(f"cannot look into {os.fspath(directory)!r}"):
        return sorted(Path(path) for path in _dead(os.fspath(directory)))


def _dead(directory: str) -> Iterator[str]:
    for entry in os.scandir(directory):
        if entry.name.startswith(".") and entry.name.endswith((_COPY, _PART)) and entry.is_file(follow_symlinks=False):
            fd = _lock(entry.path)
            if fd is not None:
                os.close(fd)
                yield entry.path


def _remove_dead(path: str) -> None:
    fd = _lock(path)
    if fd is None:
        return
    if system.OPEN_FILES_KEEP_NAMES:
        os.close(fd)
    with ignored(OSError):
        system.unlink(path)
    if not system.OPEN_FILES_KEEP_NAMES:
        os.close(fd)


def _lock(path: str) -> int | None:
    """A descriptor of an unfinished file that nobody works on, locked; None if somebody does."""
    with ignored(OSError):
        fd = os.open(path, os.O_RDONLY | system.OPEN | system.NO_LINK)
        try:
            system.lock(fd)
        except OSError as error:
            os.close(fd)
            require_ours(error)
        else:
            return fd
    return None


def _head(name: str) -> str:
    # A character that is cut in two is none on Windows, where names are text.
    return os.fsencode(name)[:_HEAD].decode(sys.getfilesystemencoding(), "ignore")
