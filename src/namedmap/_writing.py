"""Writing all of some bytes, and copying all of a file: what a single system call need not do.

By calls of Linux, for the object manager there and for `files._linux`; `files._windows` has its own.
"""

import errno
import os

#: The bytes that copy_file_range is asked for at a time, and how a filesystem says that it cannot.
_RANGE = 1 << 30
_NO_RANGE_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM)
_CHUNK = 1 << 20


def write_all(fd: int, content: memoryview | bytes, offset: int) -> None:
    """Write all of the bytes at an offset. Raises OSError; ENOSPC where the system takes none and says no more."""
    done = 0
    while done < len(content):
        count = os.pwrite(fd, content[done:], offset + done)
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done += count


def copy_rest(source: int, target: int) -> None:
    """Copy what a descriptor has from where it stands to its end, within the kernel where that can.

    Raises OSError. Source: copy_file_range(2).
    """
    while _copy_range(source, target):
        pass
    # Also where the kernel copies nothing (files of /proc have no size): what can be read is copied.
    at = os.lseek(target, 0, os.SEEK_CUR)
    while data := os.read(source, _CHUNK):
        write_all(target, data, at)
        at += len(data)


def _copy_range(source: int, target: int) -> int:
    try:
        return os.copy_file_range(source, target, _RANGE)
    except OSError as error:
        if error.errno not in _NO_RANGE_COPY:
            raise
        return 0
