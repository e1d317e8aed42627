"""The calls of `_system` on Linux."""

import ctypes
import errno
import fcntl
import functools
import os
import stat
from collections.abc import Callable, Iterator

from namedmap._failure import ignored, require_ours
from namedmap._writing import write_all as write_all

from ._libc import fallocate

#: O_NONBLOCK and O_NOCTTY: what has become a FIFO or a terminal meanwhile neither waits nor does anything.
OPEN = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
NO_LINK = os.O_NOFOLLOW
OPEN_FILES_KEEP_NAMES = False
MADE_IS_NEW = True
SEND = "sendfile"

#: _IOW(0x94, 9, int). Source: ioctl_ficlone(2).
_FICLONE = 0x40049409
#: FALLOC_FL_KEEP_SIZE.
_KEEP_SIZE = 1
#: The unit of st_blocks. Source: stat(2).
_BLOCK = 512
_LIST = "system.posix_acl_access"
#: How a filesystem says that it has no files without a name.
_NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


# -- bytes -------------------------------------------------------------------------------------------------------------


def read_into(fd: int, buffer: memoryview, offset: int) -> int:
    return os.preadv(fd, [buffer], offset)


def send(source: int, target: int, offset: int, length: int) -> int:
    """Source: sendfile(2)."""
    os.lseek(target, offset, os.SEEK_SET)
    return os.sendfile(target, source, offset, length)


def share(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:  # each filesystem says in its own way that it cannot
        require_ours(error)
        return False
    return True


# -- space -------------------------------------------------------------------------------------------------------------


def allocated(info: os.stat_result) -> int:
    return info.st_blocks * _BLOCK


def data(fd: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Source: lseek(2), SEEK_DATA."""
    while start < stop:
        try:
            begin = os.lseek(fd, start, os.SEEK_DATA)
            end = os.lseek(fd, begin, os.SEEK_HOLE)
        except OSError as error:
            require_ours(error)
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return
            begin, end = start, stop  # a filesystem that knows no holes
        if begin >= stop:
            return
        yield begin, min(end, stop)
        start = end


def allocate(fd: int, size: int) -> None:
    """Raises OSError if there is no room. Unlike posix_fallocate(3) it never writes zeros. Source: fallocate(2)."""
    if not os.major(os.fstat(fd).st_dev):  # no disk: tmpfs would fill the pages with zeros first
        return
    while fallocate is not None and fallocate(fd, _KEEP_SIZE, 0, size):
        code = ctypes.get_errno()
        if code in (errno.EOPNOTSUPP, errno.ENOSYS):
            return
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))


def scratch() -> int:
    return os.memfd_create("namedmap-files", os.MFD_CLOEXEC)


# -- machine -----------------------------------------------------------------------------------------------------------


def processors() -> int:
    return len(os.sched_getaffinity(0))


def expect_sequential(fd: int) -> None:
    with ignored(OSError):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)


# -- names and owners --------------------------------------------------------------------------------------------------


def lock(fd: int) -> None:
    """Source: flock(2)."""
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def open_nameless(directory: str, mode: int) -> tuple[int, Callable[[str], None]] | None:
    """Source: open(2), O_TMPFILE."""
    try:
        fd = os.open(directory, os.O_RDWR | os.O_CLOEXEC | os.O_TMPFILE, mode)
    except OSError as error:
        require_ours(error)
        if error.errno not in _NO_NAMELESS:
            raise
        return None
    return fd, functools.partial(_name, fd, directory)


def _name(fd: int, directory: str, path: str) -> None:
    # linkat(2) follows the link in /proc only if asked, which Python does when it is given a directory.
    here = _open_directory(directory)
    try:
        os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=here, follow_symlinks=True)
    finally:
        os.close(here)


def _open_directory(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def replace(source: str, target: str) -> None:
    os.replace(source, target)


def unlink(path: str) -> None:
    os.unlink(path)


def settle(directory: str) -> None:
    fd = _open_directory(directory)
    try:
        os.fsync(fd)
    except OSError as error:
        require_ours(error)
        if error.errno != errno.EINVAL:  # a filesystem that keeps its directories elsewhere
            raise
    finally:
        os.close(fd)


def may_write(path: str) -> bool:
    return os.access(path, os.W_OK, effective_ids=True)


def is_own(info: os.stat_result) -> bool:
    return info.st_uid == os.geteuid()


def may_date(info: os.stat_result) -> bool:
    return os.geteuid() in (0, info.st_uid)


def set_mode(fd: int, mode: int) -> None:
    os.fchmod(fd, mode)


def take_after(fd: int, path: str, old: os.stat_result) -> None:
    mode = stat.S_IMODE(old.st_mode) & 0o777
    try:
        os.fchown(fd, -1, old.st_gid)
    except OSError as error:
        require_ours(error)
        mode &= 0o707  # what its group might do is not for another one
    with ignored(OSError):
        os.fchown(fd, old.st_uid, -1)
    _take_list(fd, path)
    os.fchmod(fd, mode)


def _take_list(fd: int, path: str) -> None:
    """The access control list, and no other: with one, the group's bits are a mask for all it names. acl(5)."""
    try:
        rights = os.getxattr(path, _LIST)
    except OSError as error:
        require_ours(error)
        with ignored(OSError):  # the directory may have given a list; or no file here can have one
            os.removexattr(fd, _LIST)
    else:
        os.setxattr(fd, _LIST, rights)


def preserve(source: int, info: os.stat_result, target: int) -> None:
    mode = stat.S_IMODE(info.st_mode)
    try:
        os.fchown(target, info.st_uid, info.st_gid)
    except PermissionError as error:
        require_ours(error)
        mode &= 0o1777  # set-user-id would be another user's now
    with ignored(OSError):  # a filesystem without attributes
        for name in os.listxattr(source):
            with ignored(OSError):  # an attribute that only the system may set
                os.setxattr(target, name, os.getxattr(source, name))
    os.fchmod(target, mode)
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
