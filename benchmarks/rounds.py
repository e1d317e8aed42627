"""Measuring several things side by side, by the clock and by processor time.

Each round measures every subject once, in an order that moves on by one from round to round, so that whatever slows the
machine down meanwhile slows all of them. Ratios are taken within a round, before the median.
"""

import statistics
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from processor import Stopwatch

Some = TypeVar("Some")


class Took(NamedTuple):
    """Seconds by the clock, and of processors."""

    wall: float
    processor: float


@dataclass(frozen=True)
class Subject:
    """Something to measure: `timed(n)` does it n times and returns what that took."""

    name: str
    timed: Callable[[int], Took]


@dataclass
class Series:
    """The samples of one subject, one for each round; in microseconds for one time, unless a table says otherwise.

    `processor` are those of processor time, where that was measured.
    """

    name: str
    samples: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def add(self, took: Took, times: int = 1, unit: float = 1e6) -> None:
        """A sample of so many times, in so many parts of a second."""
        self.samples.append(took.wall / times * unit)
        self.processor.append(took.processor / times * unit)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def processor_median(self) -> float:
        return statistics.median(self.processor)

    @property
    def low(self) -> float:
        return min(self.samples)

    @property
    def high(self) -> float:
        return max(self.samples)

    def ratio(self, base: "Series") -> float:
        """How many times as much as `base` by the clock: the median of the rounds' ratios."""
        return _ratio(self.samples, base.samples)

    def processor_ratio(self, base: "Series") -> float:
        """The same in processor time."""
        return _ratio(self.processor, base.processor)


def _ratio(mine: Sequence[float], base: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(mine, base, strict=True))


def subject(name: str, once: Callable[[], object], others: Collection[int] = (), tracked: bool = True) -> Subject:
    """A subject that is a function of this process; `others` are processes that work for it, beside the tracker."""

    def timed(repeat: int) -> Took:
        once()  # the memory that it needs is in the processor's caches then, wherever it was measured before
        watch = Stopwatch(others, tracked)
        start = time.perf_counter()
        for _ in range(repeat):
            once()
        return Took(time.perf_counter() - start, watch.stop())

    return Subject(name, timed)


def loop(name: str, whole: Callable[[], object], times: int) -> Subject:
    """A subject that is a loop, which does it so many times: what it takes for one of them."""
    all_of_it = subject(name, whole)

    def timed(repeat: int) -> Took:
        wall, processor = all_of_it.timed(repeat)
        return Took(wall / times, processor / times)

    return Subject(name, timed)


def measure(subjects: Sequence[Subject], *, rounds: int, repeat: int, seconds: float) -> dict[str, Series]:
    """Measure in interleaved rounds, but for no longer than about `seconds`; at least three rounds."""
    found = {each.name: Series(each.name) for each in subjects}
    for each in subjects:
        each.timed(1)  # the first time does what is done once: imports, directories
    for each in interleaved(subjects, rounds=rounds, seconds=seconds):
        found[each.name].add(each.timed(repeat), repeat)
    return found


def interleaved(subjects: Sequence[Some], *, rounds: int, seconds: float) -> Iterator[Some]:
    """Each of them once in each round, for no longer than about `seconds`; at least three rounds."""
    deadline = time.monotonic() + seconds
    for turn in range(rounds):
        first = turn % len(subjects)
        yield from [*subjects[first:], *subjects[:first]]
        if time.monotonic() > deadline and turn >= 2:
            break
