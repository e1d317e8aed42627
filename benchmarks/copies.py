"""Copies in pairs: python benchmarks/copies.py [--sizes 4K,1M,…] [--kinds dense,cold,…] [--rounds N] [--directory DIR]

namedmap.files.copy beside `cp` and shutil.copyfile, of many sizes: dense, not in the page cache (cold), with holes
(sparse), in memory (tmpfs). Each round copies by every way, and the ratios are taken within a round. The processor time
is that of this process and of those it started: on a machine that others use, it lies less than the clock. Nothing is
written but what is printed.
"""

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from files import (
    GIB,
    KIB,
    MIB,
    SLOWER,
    forget,
    has_room,
    holes,
    in_words,
    noise,
    place,
    settle,
    temporary,
    timed,
    times,
)
from rounds import Series, Took
from ways import COPIES, COPYFILE, CP, NAMEDMAP, Way

SIZES = (4 * KIB, 64 * KIB, MIB, 16 * MIB, 64 * MIB, 512 * MIB, 4 * GIB)
#: After so many seconds a line has had its rounds, be they as few as there are ways.
_SECONDS = 120.0


@dataclass(frozen=True)
class Kind:
    """A kind of source: what makes it, whether it is in memory, and from which size on it can be told from dense."""

    name: str
    make: Callable[[Path, int], None] = noise
    directory: Path | None = None
    forgotten: bool = False
    least: int = 0


KINDS = {
    kind.name: kind
    for kind in (
        Kind("dense"),
        Kind("cold", forgotten=True),
        Kind("sparse", holes, least=MIB),
        Kind("tmpfs", directory=Path("/dev/shm")),
    )
}


def main() -> None:
    arguments = _arguments()
    # A plain kill then unwinds, and removes gigabytes.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    ways = [way for way in COPIES if way.name in (NAMEDMAP, CP, COPYFILE) and way.present]
    print("medians in ms; then namedmap's time in that of the others, by the clock and (processor)")
    print(f"{'':16}" + "".join(f"{way.name.split()[0]:>20}" for way in ways) + f"{'x cp':>16}{'x copyfile':>16}")
    for kind in (KINDS[name] for name in arguments.kinds.split(",")):
        for size in (_bytes(word) for word in arguments.sizes.split(",")):
            if size < kind.least:
                continue
            with temporary(kind.directory or arguments.directory) as directory:
                if has_room(directory, f"{kind.name} {in_words(size)}", size):
                    print(_line(kind, size, measured(directory, kind, size, ways, arguments.rounds)), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure namedmap.files.copy beside cp and shutil.copyfile.")
    parser.add_argument("--sizes", default=",".join(str(size) for size in SIZES), help="such as 4K,1M,4G")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--directory", type=Path, default=place(), metavar="DIR", help="where the files are put")
    return parser.parse_args()


def _bytes(word: str) -> int:
    return int(word.rstrip("KMG")) * {"K": KIB, "M": MIB, "G": GIB}.get(word[-1], 1)


def measured(directory: Path, kind: Kind, size: int, ways: list[Way], rounds: int) -> list[Series]:
    """The times of all ways, in rounds of any order: the one before a copy leaves its traces in caches and queues."""
    # The kernel has to forget a source before each copy.
    often = 1 if kind.forgotten else times(size)
    source, targets = directory / "source", [directory / f"target-{number}" for number in range(often)]
    kind.make(source, size)
    settle(source)
    found = {way.name: Series(way.name) for way in ways}
    for way in ways:  # the first time does what is done once
        _once(way, source, targets[:1], kind)
    deadline = time.monotonic() + _SECONDS
    chance = random.Random(size)
    for turn in range(rounds):
        if time.monotonic() > deadline and turn >= len(ways):
            break
        for way in chance.sample(ways, len(ways)):
            found[way.name].add(_once(way, source, targets, kind), often, 1e3)
    return list(found.values())


def _once(way: Way, source: Path, targets: list[Path], kind: Kind) -> Took:
    if kind.forgotten:
        forget(str(source))
    taken = timed(way, source, targets)
    for target in targets:
        target.unlink()
    if len(targets) == 1:  # what a large copy leaves to be written or freed is not for the next one to wait for
        os.sync()
    return taken


def _line(kind: Kind, size: int, found: list[Series]) -> str:
    mine, *peers = found
    medians = "".join(f"{each.median:11.3f}{f'({each.processor_median:.3f})':>9}" for each in (mine, *peers))
    ratios = "".join(
        f"{mine.ratio(each):9.2f}{f'({mine.processor_ratio(each):.2f})':>7}"
        for each in sorted(peers, key=lambda each: each.name != CP)
    )
    worst = max((mine.ratio(each) for each in peers), default=0.0)
    return f"{kind.name:7}{in_words(size):>9}{medians}{ratios}{'  over' if worst > SLOWER else ''}"


if __name__ == "__main__":
    main()
