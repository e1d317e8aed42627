"""How the bytes of a copy get from one descriptor to the other.

    share    the filesystem lets both files have the same blocks
    send     the kernel copies, in this thread: for what is small, and what must grow from its beginning to its end
    spread   threads read and write pieces that stay in the processor's cache: for what is large
    check    read, write, read back, compare, hash
    drain    read to the end: for files that do not know their size, as in /proc and /sys

A process can be killed or a disk fill up at any piece; nothing here cleans up. Ranges are (offset, length).

Why no mapped memory: a mapped source that is cut off, or a mapped sparse target on a full disk, is SIGBUS. And threads
that read(2) and write(2) pieces of a quarter of a megabyte are the faster way: the kernel takes the target's lock for
each write, so that one thread writes while the others read, and the bytes do not leave the cache in between.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from namedmap._failure import require_ours
from namedmap._writing import write_all

from ._libc import fallocate
from .failures import VerifyError
from .reading import PIECE, Piece, Source

#: _IOW(0x94, 9, int). Source: ioctl_ficlone(2).
_FICLONE = 0x40049409
#: FALLOC_FL_KEEP_SIZE.
_KEEP_SIZE = 1
#: What the kernel copies in one call: soon enough for somebody who cancels.
_SENT = 8 << 20
#: What a thread moves at a time.
SPREAD = 256 << 10

Report = Callable[[int], None]
Ranges = Iterator[tuple[int, int]]


class Hash(Protocol):
    """What hashlib makes."""

    def update(self, data: Any, /) -> None: ...


def share(source: Source, target: int) -> bool:
    """Whether the target now has the source's blocks, as a copy that costs nothing until one of them is changed."""
    try:
        fcntl.ioctl(target, _FICLONE, source.fd)
    except OSError as error:  # each filesystem says in its own way that it cannot
        require_ours(error)
        return False
    return True


def allocate(target: int, size: int) -> None:
    """Give a file so much space, and leave its size as it is; without effect on a filesystem that cannot.

    Raises OSError if there is no room. Unlike posix_fallocate(3) it never writes zeros instead. Source: fallocate(2).
    """
    while fallocate is not None and fallocate(target, _KEEP_SIZE, 0, size):
        code = ctypes.get_errno()
        if code in (errno.EOPNOTSUPP, errno.ENOSYS):
            return
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))


def send(source: Source, target: int, ranges: Ranges, report: Report, piece: int | None = None) -> int:
    """Have the kernel copy the ranges, from the first to the last; returns how many bytes. Source: sendfile(2)."""
    moved = 0
    for offset, length in cut(ranges, piece or _SENT):
        os.lseek(target, offset, os.SEEK_SET)
        done = 0
        while done < length:
            count = os.sendfile(target, source.fd, offset + done, length - done)
            if not count:
                raise source.shorter(offset + done)
            done += count
        moved += length
        report(offset + length)
    return moved


def spread(
    source: Source, target: int, ranges: Ranges, report: Report, piece: int | None = None, threads: int = 2
) -> int:
    """Copy the ranges with several threads, of which this is one; returns how many bytes."""
    size = min(piece or SPREAD, source.size)
    waiting = cut(ranges, size)
    lock, failures = threading.Lock(), list[BaseException]()
    moved = furthest = 0

    def work(report: Report) -> None:
        nonlocal moved, furthest
        try:
            view = memoryview(bytearray(size))
            end = 0
            while True:
                with lock:
                    furthest = max(furthest, end)
                    told = furthest
                    offset, length = (0, 0) if failures else next(waiting, (0, 0))
                    moved += length
                report(told)
                if not length:
                    return
                source.fill(view[:length], offset)
                write_all(target, view[:length], offset)
                end = offset + length
        except BaseException as error:  # Ctrl-C, too, has to stop the others
            failures.append(error)

    helpers = [threading.Thread(target=work, args=(_silent,), name="namedmap-copy") for _ in range(threads - 1)]
    try:
        with contextlib.suppress(RuntimeError):  # no more threads for this user: those that there are do all of it
            for helper in helpers:
                helper.start()
        work(report)
    except BaseException as error:  # Ctrl-C between two lines
        failures.append(error)
    for helper in helpers:
        _wait_for(helper, failures)
    if failures:
        raise failures[0]
    return moved


def _wait_for(helper: threading.Thread, failures: list[BaseException]) -> None:
    """Wait for its end, whatever happens: a thread that goes on must not write to a descriptor that is closed."""
    while helper.is_alive():
        try:
            helper.join()
        except BaseException as error:
            failures.append(error)


def check(source: Source, target: int, plan: Iterator[Piece], report: Report, hashed: Hash, done: int) -> int:
    """Write data from `done` on; read all of it back, compare it, and hash everything. Returns how much was written.

    Raises VerifyError.
    """
    back, moved = bytearray(PIECE), 0
    for offset, wanted, is_data in plan:
        if is_data:
            if offset + len(wanted) > done:
                write_all(target, wanted, offset)
                moved += len(wanted)
            _expect(source, target, wanted, offset, back)
        hashed.update(wanted)
        report(offset + len(wanted))
    return moved


def _expect(source: Source, target: int, wanted: memoryview, offset: int, back: bytearray) -> None:
    """Raise VerifyError if the target has other bytes there."""
    count = _read(target, memoryview(back)[: len(wanted)], offset)
    if count < len(wanted) or (back if len(wanted) == PIECE else back[: len(wanted)]) != wanted:
        raise VerifyError(
            f"the copy of {source.path!r} is not what was written, between bytes {offset:,} and "
            f"{offset + len(wanted):,}: the disk or its connection is damaged, or another program wrote to it"
        )


def drain(source: Source, target: int, report: Report, hashed: Hash | None) -> int:
    """Copy until the source has no more; with a hash, read back and compare as well. Returns how many bytes."""
    back, moved = bytearray(0 if hashed is None else PIECE), 0
    while data := os.read(source.fd, SPREAD):
        write_all(target, memoryview(data), moved)
        if hashed is not None:
            _expect(source, target, memoryview(data), moved, back)
            hashed.update(data)
        moved += len(data)
        report(moved)
    return moved


def cut(ranges: Ranges, size: int) -> Ranges:
    """Ranges in pieces of at most `size` bytes."""
    for offset, length in ranges:
        for at in range(0, length, size):
            yield offset + at, min(size, length - at)


def _read(fd: int, view: memoryview, offset: int) -> int:
    done = 0
    while done < len(view):
        count = os.preadv(fd, [view[done:]], offset + done)
        if not count:
            break
        done += count
    return done


def _silent(_: int) -> None:
    """The report of a helper: who asked for the copy is told by his own thread."""
