"""Pages of files in memory. Windows tells nobody which those of a file are, so that only `prefetch` is here."""

import os
import stat
from collections.abc import Iterator
from typing import NoReturn

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror
from namedmap._facts import Counts

PAGE = 4096
_READ = 1 << 20
#: O_BINARY, and O_NOINHERIT, which no other system has.
_BINARY = 0x8000 | 0x80


def open_file(path: str) -> tuple[int, int]:
    """A descriptor of a regular file, and its size in bytes; the caller closes it."""
    try:
        fd = os.open(path, os.O_RDONLY | _BINARY)
    except OSError as error:
        raise from_oserror(error, f"cannot open {path!r}") from None
    info = os.fstat(fd)
    if stat.S_ISREG(info.st_mode):
        return fd, info.st_size
    os.close(fd)
    raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"{path!r} is no regular file, so it has no pages in memory")


def may_see(fd: int) -> bool:
    """Whether it makes sense to ask."""
    return True


def _unknown() -> NoReturn:
    raise KernelError(
        NTSTATUS.STATUS_NOT_SUPPORTED, "on Windows no process is told which pages of a file are in memory"
    )


def count(fd: int, offset: int, size: int) -> Counts | None:
    """Pages of a range; Windows does not tell."""
    _unknown()


class Runs:
    """The pages of a file that are in memory; Windows does not tell."""

    found: list[tuple[int, int]]
    complete: bool

    def __init__(self, fd: int, size: int) -> None:
        _unknown()


def prefetch(fd: int, size: int) -> Iterator[int]:
    """Read a file into memory; yields how many bytes are done, so that the caller can stop."""
    done = 0
    while done < size:
        try:
            piece = len(os.read(fd, _READ))
        except OSError as error:
            raise from_oserror(error, "cannot read the file into memory") from None
        done += piece
        yield done
        if not piece:
            return


def evict(fd: int) -> None:
    """Drop a file's pages from memory; Windows lets nobody."""
    raise KernelError(NTSTATUS.STATUS_NOT_SUPPORTED, "on Windows no process can drop the pages of a file from memory")


__all__ = ["PAGE", "Counts", "Runs", "count", "evict", "may_see", "open_file", "prefetch"]
