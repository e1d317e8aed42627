"""Measuring several things side by side.

Each round measures every subject once, in an order that moves on by one from round to round, so that whatever slows the
machine down meanwhile slows all of them. Ratios are taken within a round, before the median.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

Some = TypeVar("Some")


@dataclass(frozen=True)
class Subject:
    """Something to measure: `timed(n)` does it n times and returns the seconds that took."""

    name: str
    timed: Callable[[int], float]


@dataclass
class Series:
    """The samples of one subject, one for each round; in microseconds for one time, unless a table says otherwise."""

    name: str
    samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def low(self) -> float:
        return min(self.samples)

    @property
    def high(self) -> float:
        return max(self.samples)

    def ratio(self, base: "Series") -> float:
        """How many times as much as `base`: the median of the rounds' ratios."""
        return statistics.median(mine / its for mine, its in zip(self.samples, base.samples, strict=True))


def subject(name: str, once: Callable[[], None]) -> Subject:
    """A subject that is a function of this process."""

    def timed(repeat: int) -> float:
        start = time.perf_counter()
        for _ in range(repeat):
            once()
        return time.perf_counter() - start

    return Subject(name, timed)


def measure(subjects: Sequence[Subject], *, rounds: int, repeat: int, seconds: float) -> dict[str, Series]:
    """Measure in interleaved rounds, but for no longer than about `seconds`; at least three rounds."""
    found = {each.name: Series(each.name) for each in subjects}
    for each in subjects:
        each.timed(1)  # the first time does what is done once: imports, directories
    for each in interleaved(subjects, rounds=rounds, seconds=seconds):
        found[each.name].samples.append(each.timed(repeat) / repeat * 1e6)
    return found


def interleaved(subjects: Sequence[Some], *, rounds: int, seconds: float) -> Iterator[Some]:
    """Each of them once in each round, for no longer than about `seconds`; at least three rounds."""
    deadline = time.monotonic() + seconds
    for turn in range(rounds):
        first = turn % len(subjects)
        yield from [*subjects[first:], *subjects[:first]]
        if time.monotonic() > deadline and turn >= 2:
            break
