"""The comparisons of big files: copied, searched and summed, by namedmap.files, by Python, by the tools of the system.

Every round removes the target before the clock starts. The peak of memory is that of a process of its own, which does
it once. Nothing is kept.
"""

import contextlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import machine
from namedmap import inspection
from processor import Stopwatch
from report import Table, Target, number, omit
from rounds import Series, Took, interleaved
from ways import COPIES, COPYFILE, CP, NAMEDMAP, NEEDLE, SEARCHES, SUMS, TEXTBOOK, Way

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
#: Targets for copying 1 GiB: so many times as fast as each; and how much slower a copy may be at any size.
FASTER = {CP: 1.4, COPYFILE: 1.2, TEXTBOOK: 5.0}
#: That is, than the faster of cp and shutil.copyfile.
SLOWER = 1.05
#: Small copies are done so often in a round that together they have so many bytes, but not more often than that.
_BYTES, _TIMES = 16 * MIB, 30
#: Bytes of memory that a copy may take at most.
PEAK = 100 * MIB
#: Of a file that is to come from the disk, this share may be in memory.
WARM = 0.01
WORDS = "GET POST index html error warning window mapping file the and of 200 404 host user agent"


@dataclass(frozen=True)
class Effort:
    """Sizes of the copies, in bytes; the size of the other files; rounds, and seconds at most for a table."""

    sizes: Sequence[int]
    other: int
    rounds: int
    seconds: float

    def within(self, largest: int) -> "Effort":
        """The same without files above a size."""
        sizes = [size for size in self.sizes if size <= largest]
        return replace(self, sizes=sizes, other=min(self.other, largest))


FULL = Effort((4 * KIB, 64 * KIB, MIB, 16 * MIB, 64 * MIB, GIB, 4 * GIB), GIB, rounds=40, seconds=12.0)
QUICK = Effort((4 * KIB, MIB, 64 * MIB), 64 * MIB, rounds=5, seconds=2.0)


def all_tables(effort: Effort, directory: Path | None = None, largest: int | None = None) -> Iterator[Table]:
    """Measure in a temporary directory on a disk, and yield one table after the other. `largest` is in bytes."""
    if largest is not None:
        effort = effort.within(largest)
    with temporary(directory or place()) as scratch:
        yield from copies(scratch, effort)
        yield from search(scratch, effort)
        yield from checksum(scratch, effort)


def place() -> Path:
    """Where files are put unless told otherwise: not in /tmp, which is memory on many machines."""
    return Path("/var/tmp") if os.access("/var/tmp", os.W_OK) else Path(tempfile.gettempdir())


# -- copying -----------------------------------------------------------------------------------------------------------

_CACHED = "The source was just written, so that it is in memory: what is compared is the copying itself, not the disk."
_COLD = (
    "Before each copy the kernel was told to forget the source (`posix_fadvise`), so that it has to come from the "
    "disk. The disk of a virtual machine may be in the memory of its host."
)
_HOLES = (
    "Of each hundred pieces of 64 KiB of the source one is data, all else are holes. Programs that keep them copy a "
    "hundredth; the others write zeros, as their space on the disk shows. GB/s are of the whole size."
)
_TMPFS = "Source and target are in /dev/shm, that is, in memory."

_SUM = "namedmap has the hashes of Python's hashlib, and reads ahead with a thread."

_WHY_FASTER = (
    "Nearly all of the time is the kernel's, which takes pages for the target and copies into them, for all ways."
)
_WHY_SMALL = "Python code that looks at source and target takes longer than the copying of so few bytes."
_WHY_LARGE = (
    "Above the kernel's limit of pages that are not written yet (`dirty_ratio`) the disk decides, not the program."
)
_WHY_GREP = "`grep` skips ahead by the length of the pattern; `bytes.find` looks at more, on as many cores as are free."
_WHY_SUM = "The hash is that of hashlib and takes nearly all of the time; two runs of it differ by as much."


@dataclass(frozen=True)
class _Case:
    """A kind of copy: its title behind the size, what to say of it, what makes the source and readies it."""

    title: str
    text: str
    make: Callable[[Path, int], None]
    prepare: Callable[[str], None] | None = None
    space: bool = False
    picture: str = "elsewhere"


def copies(scratch: Path, effort: Effort) -> Iterator[Table]:
    """Copies of several sizes, in the page cache and not, with holes, and in memory."""
    cached = _Case("in the page cache", _CACHED, noise, picture="copying")
    for size in effort.sizes:
        yield from _copies(scratch, size, effort, cached)
    # The kinds beside it get half of the time.
    effort = replace(effort, seconds=effort.seconds / 2)
    if _can_be_forgotten(scratch):
        yield from _copies(scratch, effort.other, effort, _Case("not in the page cache", _COLD, noise, prepare=forget))
    yield from _copies(scratch, effort.other, effort, _Case("of which 1 % is data", _HOLES, holes, space=True))
    with temporary(Path("/dev/shm")) as memory:
        yield from _copies(memory, effort.other, effort, _Case("in tmpfs", _TMPFS, noise))


def _copies(scratch: Path, size: int, effort: Effort, case: _Case) -> Iterator[Table]:
    """The table of one size."""
    title = f"Copying {in_words(size)}, {case.title}"
    if not has_room(scratch, title, size):
        return
    source, target = scratch / "source", scratch / "target"
    case.make(source, size)
    settle(source)
    targets = [target, *(scratch / f"target-{number}" for number in range(1, times(size) if not case.prepare else 1))]
    table = _table(title, case.text, COPIES, source, targets, effort, case.prepare)
    table.picture, table.size = case.picture, size
    if case.space:
        table.more["on the disk MiB"] = _space(source, target)
    source.unlink()
    at_this_size = size == GIB and case.picture == "copying"
    _judge_copy(table, at_this_size=at_this_size, clock=case.prepare is not None)
    yield table


def _judge_copy(table: Table, *, at_this_size: bool, clock: bool) -> None:
    """`clock`: the disk takes part, which has no processor time."""
    rows = {row.name: row for row in table.rows}
    for name, least in FASTER.items() if at_this_size else ():
        reached = rows[name].ratio(rows[NAMEDMAP])
        table.targets.append(
            Target(f"target: at least {least}x as fast as {name}, by the clock", least, reached, "x", True, _WHY_FASTER)
        )
    others = [name for name in (CP, COPYFILE) if name in rows]
    reached = max((rows[NAMEDMAP].ratio if clock else rows[NAMEDMAP].processor_ratio)(rows[name]) for name in others)
    how = "by the clock" if clock else "in processor time"
    text = f"target: at most {SLOWER}x the time of the faster of {' and '.join(others)}, {how}"
    table.targets.append(
        Target(text, SLOWER, reached, why=_WHY_SMALL if table.size <= MIB else _WHY_LARGE if table.size > GIB else "")
    )
    taken = float(table.more["peak MiB"][NAMEDMAP].replace(",", ""))
    table.targets.append(Target(f"target: at most {PEAK >> 20} MiB of memory", PEAK >> 20, taken, " MiB"))


def _space(source: Path, target: Path) -> dict[str, str]:
    """The space on the disk that each way's copy takes."""
    found = {}
    for way in COPIES:
        if way.present:
            target.unlink(missing_ok=True)
            way.once(str(source), str(target))
            found[way.name] = number(target.stat().st_blocks * 512 / MIB)
    target.unlink()
    return found


# -- searching and summing ---------------------------------------------------------------------------------------------


def search(scratch: Path, effort: Effort) -> Iterator[Table]:
    """Looking for bytes in a log."""
    title = f"Searching {in_words(effort.other)} of text, in the page cache"
    if not has_room(scratch, title, effort.other):
        return
    source = scratch / "log"
    log(source, effort.other)
    settle(source)
    text = (
        f"How often `{NEEDLE.decode()}` is in a log in which it is twice. `grep` and `rg` count lines. The textbook's "
        "program has the whole file mapped and calls `find` from one match to the next."
    )
    table = _table(title, text, SEARCHES, source, [], effort)
    table.picture = "reading"
    table.judge(f"{NAMEDMAP}: count", "grep -c", 1.0, clock=True, why=_WHY_GREP)
    source.unlink()
    yield table


def checksum(scratch: Path, effort: Effort) -> Iterator[Table]:
    """Hashing a file."""
    # Hashing takes as long as the file is; less of it says as much.
    size = max(effort.other // 4, MIB)
    title = f" of {in_words(size)}, in the page cache"
    if not has_room(scratch, f"Checksums{title}", size):
        return
    source = scratch / "source"
    noise(source, size)
    settle(source)
    effort = replace(effort, seconds=effort.seconds / 2)
    for algorithm, ways in SUMS.items():
        table = _table(f"{algorithm}{title}", _SUM, ways, source, [], effort)
        table.picture = "reading"
        table.judge(ways[0].name, ways[-1].name, 1.0, clock=True, why=_WHY_SUM)
        yield table
    source.unlink()


# -- measuring ---------------------------------------------------------------------------------------------------------


def _table(
    title: str,
    text: str,
    ways: Sequence[Way],
    source: Path,
    targets: Sequence[Path],
    effort: Effort,
    prepare: Callable[[str], None] | None = None,
) -> Table:
    """Interleaved rounds, in milliseconds; then once more for the memory that it takes."""
    here = [way for way in ways if way.present]
    found = {way.name: Series(way.name) for way in here}
    for way in interleaved(here, rounds=effort.rounds, seconds=effort.seconds):
        for target in targets:
            target.unlink(missing_ok=True)
        if prepare is not None:
            prepare(str(source))
        found[way.name].add(timed(way, source, targets), max(len(targets), 1), 1e3)
    rows, size = list(found.values()), source.stat().st_size
    rates = {row.name: f"{size / row.median / 1e6:.2f}" for row in rows}
    peaks = {}
    for way in here:
        for target in targets:
            target.unlink(missing_ok=True)
        peaks[way.name] = number(way.peak(str(source), str(targets[0] if targets else "")) / MIB)
    for target in targets:
        target.unlink(missing_ok=True)
    peers = [(row.name.split()[0], row) for row in rows if row.name in (CP, "grep -c", "sha256sum", "b2sum")]
    return Table(title, text, rows, [(NAMEDMAP, rows[0]), *peers], unit="ms", more={"GB/s": rates, "peak MiB": peaks})


def times(size: int) -> int:
    """How often a copy of a size is done in a round."""
    return max(1, min(_BYTES // size, _TIMES))


def timed(way: Way, source: Path, targets: Sequence[Path]) -> Took:
    """Do it for each of the targets, none of which exists; without one, once."""
    watch, start = Stopwatch(), time.perf_counter()
    for target in map(str, targets) if targets else [""]:
        way.once(str(source), target)
    return Took(time.perf_counter() - start, watch.stop())


def has_room(scratch: Path, title: str, size: int) -> bool:
    """Whether the disk has room for source and target, and the memory for both and the textbook's third copy."""
    free, available = shutil.disk_usage(scratch).free, machine.available()
    if free < 2 * size + 16 * MIB:
        omit(f"{title}: {scratch.parent} has room for {free >> 20:,} MiB, and it takes twice the size.")
    elif available < 4 * size:
        omit(f"{title}: {available >> 20:,} MiB of memory are available, and it takes four times the size.")
    else:
        return True
    return False


def _can_be_forgotten(scratch: Path) -> bool:
    """Whether the kernel drops a file from the page cache when told so: not in tmpfs, which is nothing else."""
    probe = scratch / "probe"
    noise(probe, MIB)
    settle(probe)
    forget(str(probe))
    found = inspection.residency(str(probe))
    probe.unlink()
    good = found.resident <= found.pages * WARM
    if not good:
        omit(f"Copying what is not in the page cache: files in {scratch.parent} stay in it.")
    return good


# -- files -------------------------------------------------------------------------------------------------------------


def noise(path: Path, size: int) -> None:
    """Bytes that no filesystem makes smaller."""
    block = os.urandom(MIB)
    with path.open("wb") as file:
        for at in range(0, size, MIB):
            file.write((at.to_bytes(8, "little") + block[8:])[: size - at])


def holes(path: Path, size: int) -> None:
    """A file of which one piece of 64 KiB in a hundred (at least one) is data."""
    piece = os.urandom(1 << 16)
    with path.open("wb") as file:
        file.truncate(size)
        for at in range(0, size, 100 * len(piece)):
            file.seek(at)
            file.write(piece)


def log(path: Path, size: int) -> None:
    """Lines of words, with the needle in the middle and at the end."""
    words = WORDS.split()
    chance = random.Random(1)
    lines = b"".join(" ".join(chance.choices(words, k=12)).encode() + b"\n" for _ in range(20_000))
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(lines)
        for at in (size // 2, size - 100):
            file.seek(at)
            file.write(b"\n" + NEEDLE + b"\n")
        file.truncate(size)


def settle(source: Path) -> None:
    """Have the file written to the disk, which the kernel would else do in the middle of the rounds."""
    with source.open("rb") as file:
        os.fsync(file.fileno())


def forget(source: str) -> None:
    """Have the kernel drop the file from the page cache, as far as it wants to."""
    with open(source, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextlib.contextmanager
def temporary(directory: Path) -> Iterator[Path]:
    """A directory for files, which goes with them."""
    found = Path(tempfile.mkdtemp(prefix="namedmap-bench-files-", dir=directory))
    try:
        yield found
    finally:
        shutil.rmtree(found, ignore_errors=True)


def in_words(size: int) -> str:
    """A size as people write it."""
    unit, name = next((unit, name) for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")) if size >= unit)
    return f"{size // unit} {name}"
