"""Which pages of a file are in memory: looked at, read in, and dropped, in windows of bounded size.

mincore(2) tells it page by page, of a mapping that is never touched. cachestat(2), from Linux 6.5 on, counts cached and
dirty pages of a range without one, and so says quickly where there is nothing to look at. Both tell the truth only
to those who own the file or may write to it: to others every page seems to be there, or the call is refused.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap._facts import Counts
from namedmap._kernel.linux import libc
from namedmap._kernel.linux.libc import PAGE

#: Bytes that are looked at in one piece: a vector of 256 KiB.
WINDOW = 1 << 30
#: The work for one file, in looks and thousands of pages (a few seconds), and the runs that are told.
MOST_WORK, MOST_RUNS = 1_000_000, 1_000_000
#: A range with fewer pages than one in so many is looked at in halves, down to so many bytes.
_SPARSE, _SMALL = 8, 64 * PAGE
_READ = 1 << 20
_NOWHERE = 1 << 63


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


class Runs:
    """The parts of a file that are in memory: (offset, size in bytes) in order; neighbours are joined.

    A file may have holes of any size, or pages far apart, which cost whoever made it little. So the work is bounded:
    `complete` tells whether everything was looked at.
    """

    def __init__(self, fd: int, size: int) -> None:
        self._fd, self._size, self._work = fd, size, 0
        self.found: list[tuple[int, int]] = []
        self._pending = [(0, size)] if size else []
        while self._pending and self._work < MOST_WORK and len(self.found) < MOST_RUNS:
            self._look(*self._pending.pop())
        self.complete = not self._pending

    def _look(self, at: int, length: int) -> None:
        self._work += 1
        counted = count(self._fd, at, length)
        if counted is None:
            self._skip_hole(at, length)
        elif counted.cached and (length > WINDOW or (length > _SMALL and counted.cached * _SPARSE < length // PAGE)):
            half = max(length // 2 // PAGE * PAGE, PAGE)
            self._pending += [(at + half, length - half), (at, half)]
        elif counted.cached:
            self._add(at, length)

    def _skip_hole(self, at: int, length: int) -> None:
        """Without cachestat: what holds no data is skipped, and the rest looked at window by window."""
        start, end = _next_data(self._fd, at) // PAGE * PAGE, at + length
        window = min(WINDOW, end - start)
        if window > 0:
            if start + window < end:
                self._pending.append((start + window, end - start - window))
            self._add(start, window)

    def _add(self, at: int, length: int) -> None:
        self._work += length // PAGE // 1000
        for start, end in _runs_in(_resident(self._fd, at, length), at):
            end = min(end, self._size)
            if self.found and sum(self.found[-1]) == start:
                start = self.found.pop()[0]
            self.found.append((start, end - start))


def _next_data(fd: int, offset: int) -> int:
    """Where the next data of a file is, at or after an offset; a place behind all files if there is none."""
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        require_ours(error)
        return _NOWHERE if error.errno == errno.ENXIO else offset


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
        at = min(max(_next_data(fd, at), at), size)  # holes have nothing to be read
        try:
            done = os.preadv(fd, [scratch], at)
        except OSError as error:
            raise from_oserror(error, "cannot read the file into memory") from None
        at += done
        yield at
        if not done:
            return


def evict(fd: int) -> None:
    """Write out what is dirty and drop the file's pages from memory, as far as nobody has them mapped or locked.

    Without effect on tmpfs, whose pages have no other place. Source: posix_fadvise(2).
    """
    with ignored(OSError):  # read-only filesystems have nothing to write
        os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


__all__ = ["PAGE", "Counts", "Runs", "count", "evict", "may_see", "open_file", "prefetch"]
