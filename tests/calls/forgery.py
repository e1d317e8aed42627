"""Object files that nobody made by the rules: whatever a control page may say, and locks that make it look alive."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from calls import raw_lock
from calls.kernel import Control, locks


def write(path: Path, page: Control, mode: int = 0o666) -> None:
    """A file with this control page, all of whose other bytes are holes."""
    offset, content, total = page.build()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
    try:
        os.fchmod(fd, mode)
        os.ftruncate(fd, total)
        os.pwrite(fd, content, offset)
    finally:
        os.close(fd)


@contextlib.contextmanager
def alive(path: Path, page: Control, mode: int = 0o666, owner: int = -1) -> Iterator[Path]:
    """The same, held by somebody, of another user if need be; removed at the end."""
    write(path, page, mode)
    try:
        os.chown(path, owner, owner)
        with raw_lock(path, locks.LIVENESS, exclusive=False):
            yield path
    finally:
        path.unlink(missing_ok=True)
