"""Which pages of a file are in memory: looked at, read in, and dropped, in windows of bounded size.

mincore(2) tells it page by page, of a mapping that is never touched. cachestat(2), from Linux 6.5 on, counts cached and
dirty pages of a range without one, and so says quickly where there is nothing to look at. Both tell the truth only
to those who own the file or may write to it: to others every page seems to be there, or the call is refused.
"""

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from namedmap._kernel.linux import libc
from namedmap._kernel.linux.libc import PAGE
from namedmap._kernel.status import NTSTATUS, KernelError, from_oserror

#: Bytes that are looked at in one piece: a vector of 256 KiB.
WINDOW = 1 << 30
_READ = 1 << 20


class Counts(NamedTuple):
    """Pages of a range."""

    cached: int
    dirty: int
    writeback: int


def open_file(path: str) -> tuple[int, int]:
    """A descriptor of a regular file, and its size in bytes; the caller closes it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise from_oserror(error, f"cannot open {path!r}") from None
    info = os.fstat(fd)
    if stat.S_ISREG(info.st_mode):
        return fd, info.st_size
    os.close(fd)
    raise KernelError(
        NTSTATUS.STATUS_INVALID_PARAMETER, f"{path!r} is no regular file, so it has no pages in the cache"
    )


def may_see(fd: int) -> bool:
    """Whether the kernel tells this process the truth about the file's pages (mincore(2), Linux 5.2)."""
    return os.geteuid() in (0, os.fstat(fd).st_uid) or os.access(f"/proc/self/fd/{fd}", os.W_OK)


def count(fd: int, offset: int, size: int) -> Counts | None:
    """Pages of a range by cachestat(2); None where the kernel does not have it, or does not tell."""
    span, found = libc.cachestat_range(offset, size), libc.cachestat()
    if not size or libc.cachestat_(libc.SYS_CACHESTAT, fd, ctypes.byref(span), ctypes.byref(found), 0):
        return None
    return Counts(found.nr_cache, found.nr_dirty, found.nr_writeback)


def runs(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """(offset, size in bytes) of what is in memory, in order; neighbours are joined."""
    begin = end = 0
    for at in range(0, size, WINDOW):
        length = min(WINDOW, size - at)
        counted = count(fd, at, length)
        if counted is None and not _has_data(fd, at, length):
            continue
        if counted is not None and not counted.cached:
            continue
        for start, stop in _runs_in(_resident(fd, at, length), at):
            if start != end:
                if end > begin:
                    yield begin, min(end, size) - begin
                begin = start
            end = stop
    if end > begin:
        yield begin, min(end, size) - begin


def _has_data(fd: int, offset: int, size: int) -> bool:
    try:
        return os.lseek(fd, offset, os.SEEK_DATA) < offset + size
    except OSError as error:
        return error.errno != errno.ENXIO


def _resident(fd: int, offset: int, size: int) -> bytes:
    """A byte for each page of a range, whose lowest bit says whether it is in memory."""
    address = libc.mmap(None, size, libc.PROT_READ, libc.MAP_SHARED, fd, offset)
    if address == libc.MAP_FAILED:
        raise from_oserror(libc.error("mmap"), "cannot look at the pages of the file")
    try:
        pages = (ctypes.c_ubyte * -(-size // PAGE))()
        if libc.mincore(address, size, pages):
            raise from_oserror(libc.error("mincore"), "cannot tell which pages are in memory")
        return bytes(pages)
    finally:
        libc.munmap(address, size)


def _runs_in(pages: bytes, offset: int) -> Iterator[tuple[int, int]]:
    """(start, end) in bytes of each run of pages that are there."""
    flags = pages.translate(bytes(each & 1 for each in range(256)))
    at = flags.find(1)
    while at >= 0:
        end = flags.find(0, at)
        end = len(flags) if end < 0 else end
        yield offset + at * PAGE, offset + end * PAGE
        at = flags.find(1, end)


def prefetch(fd: int, size: int) -> Iterator[int]:
    """Read a file into memory; yields how many bytes are done, so that the caller can stop."""
    scratch, at = bytearray(_READ), 0
    while at < size:
        try:
            done = os.preadv(fd, [scratch], at)
        except OSError as error:
            raise from_oserror(error, "cannot read the file into memory") from None
        if not done:
            return
        at += done
        yield at


def evict(fd: int) -> None:
    """Write out what is dirty and drop the file's pages from memory, as far as nobody has them mapped or locked.

    Without effect on tmpfs, whose pages have no other place. Source: posix_fadvise(2).
    """
    with contextlib.suppress(OSError):  # read-only filesystems have nothing to write
        os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


__all__ = ["PAGE", "Counts", "count", "evict", "may_see", "open_file", "prefetch", "runs"]
