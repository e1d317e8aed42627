r"""Where object files live, and the sweep that removes the dead ones.

`Local\` is a directory of the user's own in the root; `Global\` is files with a prefix directly in the root, which is
root-owned and sticky, so that no user can own the place where others' objects are. The root is /dev/shm, or the
directory that the environment variable NAMEDMAP_ROOT names when the process first uses a name.
"""

import errno
import os
import random
import re
import socket
import stat
import time

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap._kernel.linux import locks, reopening
from namedmap._kernel.names import succession
from namedmap._kernel.names.names import SHORT, ObjectName

DEFAULT_ROOT = "/dev/shm"
#: Sockets for handles on their way to a process; no object's file begins like this (a percent sign and no hex digit).
INBOX_PREFIX = "%inbox-"
GLOBAL_PREFIX = "namedmap.global."
#: The sweep at a process's first use of the namespace stops at whichever comes first: files looked at, seconds spent.
SWEEP_FILES, SWEEP_SECONDS = 256, 0.01
#: Directories that are tried where other users have made one of this user's name.
MOST_STAND_INS = 1000

OPEN_FLAGS = reopening.UNFOLLOWED


def stem(path: str) -> str:
    """The part of an object file's path that stands for the object's name."""
    return os.path.basename(succession.place(path)[0]).removeprefix(GLOBAL_PREFIX)


class Namespace:
    """The two directories of names, as one user sees them."""

    def __init__(self, root: str, uid: int) -> None:
        self.root = root
        self.uid = uid
        self.local = os.path.join(root, f"namedmap-{uid}")
        self._no_local = ""  # why there is no such directory
        #: Those that were asked for.
        self.paths: dict[ObjectName, str] = {}
        self._global = os.path.join(root, GLOBAL_PREFIX)

    def path(self, name: ObjectName) -> str:
        """The path of the file for an object of this name."""
        path = self.paths.get(name)
        if path is None:
            if not name.is_global:
                self.require_local()
            path = self._global + name.file_name() if name.is_global else f"{self.local}/{name.file_name()}"
            if len(self.paths) > 10_000:
                self.paths.clear()
            if len(name.leaf) <= SHORT:
                self.paths[name] = path
        return path

    def prepare(self) -> None:
        """Check the root and make the user's directory; a KernelError tells what is wrong and what to do."""
        try:
            info = os.stat(self.root)
        except OSError as error:
            raise self._unusable(error) from None
        shared = info.st_mode & 0o022
        if not stat.S_ISDIR(info.st_mode) or info.st_uid not in (0, self.uid) or (shared and not info.st_mode & 0o1000):
            raise KernelError(
                NTSTATUS.STATUS_ACCESS_DENIED,
                f"{self.root} cannot hold named objects: it must be a directory that root or you own, and be sticky "
                "(mode 1777) if others may write to it. Set NAMEDMAP_ROOT to one that is",
            )
        self._find_local()

    def require_local(self) -> None:
        """Raise if there is no place for names of this user's own."""
        if self._no_local:
            raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, self._no_local)

    def _find_local(self) -> None:
        """Find or make the user's directory. Without one, global names can still be used.

        Where another user has made one of its name, one with a number behind it stands in, which can be nobody's but
        this user's: a directory cannot be given away. A process that finds no directory at all looks for a stand-in
        before it makes one, since whoever made the other may have removed it again.
        """
        usual, self._no_local = os.path.join(self.root, f"namedmap-{self.uid}"), ""
        stand_ins = [] if os.path.lexists(usual) else self._stand_ins()
        if not stand_ins:
            owner = self._make(usual)
            if owner == self.uid:
                self._settle(usual)
                return
            stand_ins = self._stand_ins()
        for path in stand_ins or (f"{usual}.{number}" for number in range(1, MOST_STAND_INS)):
            if self._make(path) == self.uid:
                self._settle(path)
                return
        self._no_local = f"{usual}, and so many stand-ins that none was tried any more, are other users': remove them"

    def _make(self, path: str) -> int:
        """Make a directory for this user's names unless something is there; whose it is."""
        try:
            os.mkdir(path, 0o700)
        except FileExistsError as error:
            require_ours(error)
        except OSError as error:
            raise self._unusable(error) from None
        return os.lstat(path).st_uid

    def _settle(self, path: str) -> None:
        if path != self.local:
            self.local = path
            self.paths.clear()
        if not self._is_fit(path):
            self._no_local = f"{path} is not a directory of mode 0700: chmod or remove it, or set NAMEDMAP_ROOT"

    def _stand_ins(self) -> list[str]:
        pattern = re.compile(rf"namedmap-{self.uid}\.([0-9]+)")
        found = [(int(match[1]), match[0]) for name in os.listdir(self.root) if (match := pattern.fullmatch(name))]
        return [path for _, name in sorted(found) if self._is_fit(path := os.path.join(self.root, name))]

    def _is_fit(self, path: str) -> bool:
        with ignored(OSError):
            info = os.lstat(path)
            return stat.S_ISDIR(info.st_mode) and info.st_uid == self.uid and not info.st_mode & 0o077
        return False

    def _unusable(self, error: OSError) -> KernelError:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        remedy = f"mount a tmpfs at {self.root}" if missing else f"make room in {self.root} or remount it writable"
        failure = from_oserror(error, f"named objects cannot live in {self.root}")
        failure.args = (f"{failure.detail}; {remedy}, or set NAMEDMAP_ROOT to a writable directory",)
        if missing:
            return KernelError(NTSTATUS.STATUS_OBJECT_PATH_NOT_FOUND, failure.args[0], errno=error.errno)
        return KernelError(failure.status, failure.args[0])

    def files(self) -> list[str]:
        """The paths of all object files in both directories, live and dead."""
        try:
            os.close(os.open(self.root, os.O_PATH | os.O_CLOEXEC))
        except OSError as error:
            require_ours(error)
            if error.errno in (errno.EMFILE, errno.ENFILE):  # else it would seem that there are none
                raise from_oserror(error, f"cannot list the objects in {self.root}") from None
        return [os.path.join(directory, name) for directory, name in self._names()]

    def _names(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        with ignored(OSError):
            if self._is_fit(self.local):  # else it may lead anywhere, and nothing there is ours to remove
                found = [(self.local, name) for name in os.listdir(self.local)]
        with ignored(OSError):
            found += [(self.root, name) for name in os.listdir(self.root) if name.startswith(GLOBAL_PREFIX)]
        return found

    def sweep(self, limit: int | None = None, seconds: float | None = None) -> int:
        """Remove files of objects that nobody holds; returns how many. Without bounds it looks at all."""
        deadline = None if seconds is None else time.monotonic() + seconds
        names = self._names()
        if limit is not None and len(names) > limit:
            # A random sample, so that every dead file is met in the end however many live ones there are.
            names = random.sample(names, limit)
        removed = 0
        for directory, name in names:
            if deadline is not None and time.monotonic() > deadline:
                break
            removed += self.remove_if_dead(os.path.join(directory, name))
        return removed

    def remove_if_dead(self, path: str) -> bool:
        """Remove the file of an object that nobody holds, or the socket of a process that has gone; whether it did."""
        if os.path.basename(path).startswith(INBOX_PREFIX):
            return _remove_inbox_if_dead(path)
        return _remove_if_dead(path, self.uid)


def _remove_if_dead(path: str, uid: int) -> bool:
    fd = -1
    try:
        fd = _open_to_lock(path, uid)
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != uid or not locks.try_lock(fd, locks.GUARD, exclusive=True):
            return False
        if os.fstat(fd).st_nlink and not locks.object_is_alive(fd):
            return succession.remove(path, info.st_size)
    except OSError as error:
        require_ours(error)
        return False
    finally:
        if fd >= 0:
            os.close(fd)
    return False


def _open_to_lock(path: str, uid: int) -> int:
    """Open a file of one's own for writing, which an exclusive lock needs; a dead one is made writable if it is not."""
    try:
        return os.open(path, os.O_RDWR | OPEN_FLAGS)
    except PermissionError as error:
        require_ours(error)
        fd = os.open(path, os.O_RDONLY | OPEN_FLAGS)
    try:
        info = os.fstat(fd)
        if info.st_uid == uid and stat.S_ISREG(info.st_mode) and not locks.object_is_alive(fd):
            os.fchmod(fd, 0o600)
    finally:
        os.close(fd)
    return os.open(path, os.O_RDWR | OPEN_FLAGS)


def _remove_inbox_if_dead(path: str) -> bool:
    # A socket of an inbox's own type would be queued there until its process looks. One of another type is answered
    # EPROTOTYPE as long as the process has the inbox, whether it listens yet or not, and ECONNREFUSED afterwards.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as probe:
        try:
            found = os.lstat(path).st_ino
            directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                probe.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
            finally:
                os.close(directory)
        except ConnectionRefusedError as error:
            require_ours(error)
            # Its process has gone. Another sweeper may be here as well, and be done.
            with ignored(FileNotFoundError):
                if os.lstat(path).st_ino == found:
                    os.unlink(path)
                    return True
        except OSError as error:
            require_ours(error)
            return False
    return False


_current: Namespace | None = None
_swept = False


def fresh_one() -> Namespace:
    """The namespace that the environment names, neither checked nor swept."""
    return Namespace(os.path.abspath(os.environ.get("NAMEDMAP_ROOT") or DEFAULT_ROOT), os.geteuid())


def current() -> Namespace:
    """The namespace of this process; made, checked and swept at first use."""
    global _current, _swept
    uid = os.geteuid()
    if _current is None or _current.uid != uid or not _swept:
        fresh = fresh_one()
        fresh.prepare()
        _current, _swept = fresh, True
        fresh.sweep(SWEEP_FILES, SWEEP_SECONDS)
    return _current


def unnamed_file() -> int:
    """A file without a name; where memfd_create is forbidden, one of the root that has never had any."""
    try:
        return os.memfd_create("namedmap", os.MFD_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            raise from_oserror(error, "memory without a name cannot be had") from None
    try:
        return os.open(fresh_one().root, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise from_oserror(error, "memory without a name cannot be had: memfd_create is forbidden here") from None


def after_fork() -> None:
    """A child sweeps at its own first use: children often end without closing anything (multiprocessing's do)."""
    global _swept
    _swept = False
