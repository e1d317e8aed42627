"""Opening what others have named: looked at first, opened when it is known to be what it should be.

To open a file is to act: a terminal becomes that of a daemon, a device rewinds its tape, a FIFO lets a writer go on. A
path that stands in a control page, or that a message brings, may lead to any of them. O_PATH finds a file without
opening it, and /proc/self/fd then opens the very file that was looked at. Source: open(2).
"""

import errno
import os

from namedmap._convention.status import require_ours

#: O_NONBLOCK: opening a FIFO that somebody put in a file's place must not wait for its other end. O_NOCTTY: a terminal
#: there must not become that of a daemon.
UNFOLLOWED = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def look(path: str) -> int:
    """A descriptor that only says what is at a path: for os.fstat and `reopen`."""
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def way(fd: int, mode: int) -> tuple[str, int]:
    """Path and flags with which os.open opens the file of a descriptor anew."""
    return f"/proc/self/fd/{fd}", mode | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


def reopen(fd: int, mode: int) -> int:
    """A new description of the file of a descriptor; `mode` is os.O_RDONLY, os.O_RDWR or os.O_WRONLY."""
    try:
        return os.open(*way(fd, mode))
    except FileNotFoundError as error:
        require_ours(error)
        # Not "no such file", which would be said of a file that is there.
        raise OSError(errno.ENOSYS, "/proc is not mounted, without which no open file can be opened again") from None


def reopen_or_share(fd: int, mode: int) -> int:
    """The same; without /proc, another descriptor of the same description, whose locks it then keeps."""
    try:
        return reopen(fd, mode)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        return os.dup(fd)
