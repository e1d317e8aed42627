"""How the bytes of a copy get from one descriptor to the other.

    send     the kernel copies, in this thread, from the beginning to the end (on Windows by plain reads and writes)
    spread   threads read and write pieces that stay in the processor's cache: for who asks for threads
    check    read, write, read back, compare, hash
    drain    read to the end: for files that do not know their size, as in /proc and /sys

A process can be killed or a disk fill up at any piece; nothing here cleans up. Ranges are (offset, length).

Why no mapped memory: a mapped source that is cut off, or a mapped sparse target on a full disk, is SIGBUS. And the
kernel's own copy is the faster way. Threads take pieces of a quarter of a megabyte: the kernel takes the target's lock
for each write, so that one thread writes while the others read, and the bytes do not leave the cache in between.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ._system import system
from .failures import VerifyError
from .reading import PIECE, Piece, Source

#: The bytes that the kernel copies in one call: soon enough for somebody who cancels.
_SENT = 8 << 20
#: The bytes that a thread moves at a time.
SPREAD = 256 << 10

Report = Callable[[int], None]
Ranges = Iterator[tuple[int, int]]


class Hash(Protocol):
    """A hash of hashlib."""

    def update(self, data: Any, /) -> None: ...


def send(source: Source, target: int, ranges: Ranges, report: Report, piece: int | None = None) -> int:
    """Have the kernel copy the ranges, from the first to the last; returns how many bytes."""
    piece, moved = piece or _SENT, 0
    for offset, length in ranges:
        moved += length
        end = offset + length
        while offset < end:
            count = system.send(source.fd, target, offset, min(piece, end - offset))
            if not count:
                raise source.shorter(offset)
            offset += count
            report(offset)
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
                system.write_all(target, view[:length], offset)
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
                system.write_all(target, wanted, offset)
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
        system.write_all(target, data, moved)
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
        count = system.read_into(fd, view[done:], offset + done)
        if not count:
            break
        done += count
    return done


def _silent(_: int) -> None:
    """The report of a helper: the caller of the copy is told by its own thread."""
