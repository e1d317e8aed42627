"""Comparing two files. Where both have a hole, nothing is read."""

import itertools
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .failures import bad
from .reading import PIECE, AnyPath, Meter, Progress, Source

#: A window that differs is looked at in pieces of this size, to find the bytes.
_FINE = 16 << 10
_RUNS = re.compile(rb"[^\0]+")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether and where two files differ. Where one is shorter, the rest of the other is a difference."""

    equal: bool
    #: The first byte that differs; None if they are equal.
    first: int | None
    #: (offset, size) of each run of bytes that differ, in order.
    ranges: list[tuple[int, int]]
    #: Of both files, in bytes.
    sizes: tuple[int, int]
    #: Whether `ranges` has all of them: not with `first_only`, nor when there are more than `limit`.
    complete: bool

    def as_dict(self) -> dict[str, Any]:
        """{"equal", "first", "ranges": [{"offset", "size"}, …], "sizes": [a, b], "complete"}"""
        ranges = [{"offset": offset, "size": size} for offset, size in self.ranges]
        return {
            "equal": self.equal,
            "first": self.first,
            "ranges": ranges,
            "sizes": list(self.sizes),
            "complete": self.complete,
        }


def compare(
    a: AnyPath,
    b: AnyPath,
    *,
    first_only: bool = False,
    limit: int = 100_000,
    progress: Progress | None = None,
) -> Comparison:
    """Whether two files are the same, and where they are not.

    first_only  stop at the first byte that differs; `ranges` is empty then
    limit       stop after so many ranges, which memory has to hold; `differences` gives any number of them
    progress    is called with (bytes done, bytes in all)

    Raises NotFoundError, AccessDeniedError, BadValueError, and ChangedError if a file becomes shorter meanwhile.
    """
    if limit < 1:
        raise bad(f"limit must be at least 1, not {limit}")
    with Source(a) as one, Source(b) as other:
        meter = Meter(max(one.size, other.size), progress)
        # Joined runs would look for the end of the first one.
        runs = _runs(one, other, meter) if first_only else _joined(_runs(one, other, meter))
        found = list(itertools.islice(runs, 1 if first_only else limit))
        complete = not first_only and next(runs, None) is None
        sizes = (one.size, other.size)
    meter.end()
    return Comparison(not found, found[0][0] if found else None, [] if first_only else found, sizes, complete)


def differences(a: AnyPath, b: AnyPath) -> Iterator[tuple[int, int]]:
    """(offset, size) of each run of bytes that differ, in order, as they are found."""
    with Source(a) as one, Source(b) as other:
        yield from _joined(_runs(one, other, Meter(0, None)))


def _joined(runs: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Runs that touch each other as one."""
    begin = end = 0
    for offset, size in runs:
        if offset > end or end == begin:
            if end > begin:
                yield begin, end - begin
            begin = offset
        end = offset + size
    if end > begin:
        yield begin, end - begin


def _runs(one: Source, other: Source, meter: Meter) -> Iterator[tuple[int, int]]:
    if (one.info.st_dev, one.info.st_ino) == (other.info.st_dev, other.info.st_ino):
        return
    common = min(one.size, other.size)
    mine, theirs = bytearray(PIECE), bytearray(PIECE)
    with ThreadPoolExecutor(1, "namedmap-compare") as reader:
        for start, stop in _either(one, other, common):
            for offset in range(start, stop, PIECE):
                length = min(PIECE, stop - offset)
                with memoryview(mine) as first, memoryview(theirs) as second:
                    ahead = reader.submit(other.fill, second[:length], offset)
                    one.fill(first[:length], offset)
                    ahead.result()
                # Bytes beyond `length` are those of an earlier piece: they must not be compared.
                if mine != theirs if length == PIECE else mine[:length] != theirs[:length]:
                    yield from _within(mine, theirs, offset, length)
                meter(offset + length)
    if one.size != other.size:
        yield common, max(one.size, other.size) - common


def _either(one: Source, other: Source, stop: int) -> Iterator[tuple[int, int]]:
    """[begin, end) of what is data in at least one of them."""
    mine, theirs = one.data(0, stop), other.data(0, stop)
    heads = [next(mine, None), next(theirs, None)]
    begin = end = 0
    while any(heads):
        turn = min((head[0], index) for index, head in enumerate(heads) if head)[1]
        low, high = heads[turn] or (0, 0)
        heads[turn] = next((mine, theirs)[turn], None)
        if low > end:
            if end > begin:
                yield begin, end
            begin = low
        end = max(end, high)
    if end > begin:
        yield begin, end


def _within(mine: bytearray, theirs: bytearray, offset: int, length: int) -> Iterator[tuple[int, int]]:
    """The runs in two pieces that differ."""
    for at in range(0, length, _FINE):
        size = min(_FINE, length - at)
        one, other = mine[at : at + size], theirs[at : at + size]
        if one != other:
            mixed = int.from_bytes(one, "little") ^ int.from_bytes(other, "little")
            for run in _RUNS.finditer(mixed.to_bytes(size, "little")):
                yield offset + at + run.start(), run.end() - run.start()
