"""Writing all of some bytes, which a single system call need not do."""

import errno
import os


def write_all(fd: int, content: memoryview | bytes, offset: int) -> None:
    """Write all of the bytes at an offset. Raises OSError; ENOSPC where the system takes none and says no more."""
    done = 0
    while done < len(content):
        count = os.pwrite(fd, content[done:], offset + done)
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done += count
