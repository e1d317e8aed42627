"""Big files: copied, searched and summed by namedmap.files, by the tools of the system, and as textbooks do it.

    python benchmarks/files.py [--quick] [--only copy|search|checksum] [--directory DIR]

Python's ways are measured within this process, the tools as what they are, processes. Every round removes the target
before the clock starts. The peak of memory is that of a process of its own, which does it once. Nothing is kept.
"""

import argparse
import contextlib
import hashlib
import mmap
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import report
from namedmap import files
from report import Table, Target
from rounds import Series, interleaved

MIB, GIB = 1 << 20, 1 << 30
#: What copying 1 GiB is to reach: so many times as fast as each; and how much slower than cp at any size.
FASTER = {"cp --reflink=never": 1.4, "shutil.copyfile": 1.2, "textbook: b[:] = a[:]": 5.0}
SLOWER = 1.1
#: Bytes of memory that a copy may take at most.
PEAK = 100 * MIB
NAMEDMAP = "namedmap"
NEEDLE = b"needle in the haystack"
PEAK_OF = """
import os, sys
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
print("", os.wait4(pid, 0)[2].ru_maxrss)
"""
WORDS = "GET POST index html error warning window mapping file the and of 200 404 host user agent"


@dataclass(frozen=True)
class Way:
    """One way to do it: a function, or a command, of a source and a target (that searches do without)."""

    name: str
    function: Callable[[str, str], object] | None = None
    command: Sequence[str] = ()

    def once(self, source: str, target: str) -> float:
        """Do it; the seconds that took."""
        start = time.perf_counter()
        if self.function is not None:
            self.function(source, target)
        else:
            command = [part.format(source=source, target=target) for part in self.command]
            # Not to /dev/null: grep sees that, and stops at the first match.
            subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start

    def peak(self, source: str, target: str) -> int:
        """The most memory that a process took to do it once, in bytes."""
        command = [part.format(source=source, target=target) for part in self.command]
        if self.function is not None:
            command = [sys.executable, __file__, "--once", self.name, source, target]
        # A process begins with the peak of the one that started it: a small one stands in between.
        measured = [sys.executable, "-I", "-S", "-c", PEAK_OF, *command]
        found = subprocess.run(measured, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        return int(found.split()[-1]) * 1024


def textbook(source: str, target: str) -> None:
    """The showcase of mapped files: both files whole, one assignment."""
    with open(source, "rb") as one, open(target, "w+b") as other:
        other.truncate(os.path.getsize(source))
        with (
            mmap.mmap(one.fileno(), 0, access=mmap.ACCESS_READ) as a,
            mmap.mmap(other.fileno(), 0) as b,
        ):
            b[:] = a[:]


def searched_by_textbook(source: str, target: str) -> None:
    """mmap.find from one match to the next."""
    with open(source, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        at = memory.find(NEEDLE)
        while at >= 0:
            at = memory.find(NEEDLE, at + 1)


def summed_by_hashlib(source: str, target: str) -> None:
    """hashlib.file_digest."""
    with open(source, "rb") as file:
        hashlib.file_digest(file, "sha256")


COPIES = [
    Way(NAMEDMAP, lambda source, target: files.copy(source, target, reflink=False)),
    Way("shutil.copyfile", shutil.copyfile),
    Way("textbook: b[:] = a[:]", textbook),
    Way("cp --reflink=never", command=("cp", "--reflink=never", "{source}", "{target}")),
    Way("dd bs=1M", command=("dd", "bs=1M", "if={source}", "of={target}")),
    Way("rsync -W", command=("rsync", "-W", "--inplace", "{source}", "{target}")),
]
SEARCHES = [
    Way(f"{NAMEDMAP}: count", lambda source, target: files.count(source, NEEDLE)),
    Way("textbook: mmap.find", searched_by_textbook),
    Way("grep -c", command=("grep", "-c", NEEDLE.decode(), "{source}")),
    Way("rg -c", command=("rg", "-c", NEEDLE.decode(), "{source}")),
]
SUMS = [
    Way(f"{NAMEDMAP}: sha256", lambda source, target: files.checksum(source)),
    Way("hashlib.file_digest: sha256", summed_by_hashlib),
    Way("sha256sum", command=("sha256sum", "{source}")),
    Way(f"{NAMEDMAP}: blake2b", lambda source, target: files.checksum(source, "blake2b")),
    Way("b2sum", command=("b2sum", "{source}")),
]


def present(ways: list[Way]) -> list[Way]:
    """Those that this machine has."""
    return [way for way in ways if way.function is not None or shutil.which(way.command[0])]


# -- tables ------------------------------------------------------------------------------------------------------------


def all_tables(quick: bool, directory: Path | None = None, only: str | None = None) -> Iterator[Table]:
    """Measure in a temporary directory on a disk, and yield one table after the other."""
    with _scratch(directory) as scratch:
        if only in (None, "copy"):
            yield from copies(scratch, quick)
        if only in (None, "search"):
            yield search(scratch, quick)
        if only in (None, "checksum"):
            yield checksum(scratch, quick)


def copies(scratch: Path, quick: bool) -> Iterator[Table]:
    """Copies of several sizes, in the page cache and not, with holes, and in memory."""
    for size in [MIB, 64 * MIB] if quick else [MIB, 16 * MIB, 64 * MIB, GIB, 4 * GIB]:
        yield from _copies(scratch, size, quick, f"{_size(size)}, in the page cache", noise)
    size = 64 * MIB if quick else GIB
    yield from _copies(scratch, size, quick, f"{_size(size)}, not in the page cache", noise, prepare=forget)
    yield from _copies(scratch, size, quick, f"{_size(size)}, of which 1 % is data", holes)
    with _scratch(Path("/dev/shm")) as memory:
        yield from _copies(memory, size, quick, f"{_size(size)}, in tmpfs", noise)


def _copies(
    scratch: Path,
    size: int,
    quick: bool,
    title: str,
    make: Callable[[Path, int], None],
    prepare: Callable[[str], None] | None = None,
) -> Iterator[Table]:
    """The table of one size, if the disk has room for it three times."""
    if shutil.disk_usage(scratch).free < 3 * size:
        print(f"Left out: copying {title}, for which {scratch} has no room.\n")
        return
    source, target = scratch / "source", str(scratch / "target")
    make(source, size)
    ways = present(COPIES)
    found = _measured(ways, str(source), target, size, quick, prepare)
    table = _table(f"Copying {title}", COPY_TEXT, found, ways, str(source), target, size)
    rows = {row.name: row for row in table.rows}
    for name in FASTER if size == GIB and make is noise and not prepare else ():
        if name in rows:
            least = FASTER[name]
            text = f"target: at least {least}x as fast as {name}"
            table.targets.append(Target(text, least, rows[name].ratio(rows[NAMEDMAP]), least=True))
    cp = rows["cp --reflink=never"]
    text = f"target: at most {SLOWER}x the time of cp"
    table.targets.append(Target(text, SLOWER, rows[NAMEDMAP].ratio(cp)))
    taken = float(table.more["peak MiB"][NAMEDMAP].replace(",", ""))
    table.targets.append(Target(f"target: at most {PEAK >> 20} MiB of memory", PEAK >> 20, taken, " MiB"))
    source.unlink()
    yield table


def search(scratch: Path, quick: bool) -> Table:
    """Looking for bytes in a log."""
    size = 64 * MIB if quick else GIB
    source = scratch / "log"
    text(source, size)
    ways = present(SEARCHES)
    found = _measured(ways, str(source), "", size, quick)
    table = _table(
        f"Searching {_size(size)} of text, in the page cache", SEARCH_TEXT, found, ways, str(source), "", size
    )
    _at_least_as_fast(table, ways[0].name, "grep -c")
    source.unlink()
    return table


def checksum(scratch: Path, quick: bool) -> Table:
    """Hashing a file."""
    size = 64 * MIB if quick else GIB
    source = scratch / "source"
    noise(source, size)
    ways = present(SUMS)
    found = _measured(ways, str(source), "", size, quick)
    title = f"Checksums of {_size(size)}, in the page cache"
    table = _table(title, CHECKSUM_TEXT, found, ways, str(source), "", size)
    _at_least_as_fast(table, f"{NAMEDMAP}: sha256", "sha256sum")
    _at_least_as_fast(table, f"{NAMEDMAP}: blake2b", "b2sum")
    source.unlink()
    return table


COPY_TEXT = (
    "To a target that does not exist. `cp`, `dd` and `rsync` are processes of their own, as they are for whoever calls "
    "them; namedmap, `shutil` and the textbook's two mapped files are called in a process that runs. Reflinks are "
    "switched off. The peak of memory is that of a whole process; mapped pages of files count."
)
SEARCH_TEXT = f"How often `{NEEDLE.decode()}` is in a log in which it is twice. `grep` counts lines."
CHECKSUM_TEXT = "namedmap has the hashes of Python's hashlib, and reads ahead with a thread."


def _at_least_as_fast(table: Table, name: str, peer: str) -> None:
    rows = {row.name: row for row in table.rows}
    if peer in rows:
        table.targets.append(
            Target(f"target: {name} at most 1.0x the time of {peer}", 1.0, rows[name].ratio(rows[peer]))
        )


def _measured(
    ways: list[Way],
    source: str,
    target: str,
    size: int,
    quick: bool,
    prepare: Callable[[str], None] | None = None,
) -> list[Series]:
    """Interleaved rounds; in milliseconds."""
    found = {way.name: Series(way.name) for way in ways}
    rounds = 5 if quick else max(7, min(50, 4 * GIB // size))
    for way in interleaved(ways, rounds=rounds, seconds=3.0 if quick else 90.0):
        if target:
            Path(target).unlink(missing_ok=True)
        if prepare is not None:
            prepare(source)
        found[way.name].samples.append(way.once(source, target) * 1e3)
    return list(found.values())


def _table(title: str, text: str, rows: list[Series], ways: list[Way], source: str, target: str, size: int) -> Table:
    rates, peaks = {}, {}
    for row, way in zip(rows, ways, strict=True):
        rates[row.name] = f"{size / row.median / 1e6:.2f}"
        if target:
            Path(target).unlink(missing_ok=True)
        peaks[row.name] = report.number(way.peak(source, target) / MIB)
    if target:
        Path(target).unlink(missing_ok=True)
    more = {"GB/s": rates, "peak MiB": peaks}
    return Table(title, text, rows, [(NAMEDMAP, rows[0])], unit="ms", more=more)


# -- files -------------------------------------------------------------------------------------------------------------


def noise(path: Path, size: int) -> None:
    """Bytes that no filesystem makes smaller."""
    block = os.urandom(MIB)
    with path.open("wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, "little") + block[8:])


def holes(path: Path, size: int) -> None:
    """A file of which every hundredth mebibyte (at least one) is data."""
    with path.open("wb") as file:
        file.truncate(size)
        for number in range(0, size // MIB, 100):
            file.seek(number * MIB)
            file.write(os.urandom(MIB))


def text(path: Path, size: int) -> None:
    """Lines of words, with the needle in the middle and at the end."""
    words = WORDS.split()
    chance = random.Random(1)
    lines = b"".join(" ".join(chance.choices(words, k=12)).encode() + b"\n" for _ in range(20_000))
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(lines)
        for place in (size // 2, size - 100):
            file.seek(place)
            file.write(b"\n" + NEEDLE + b"\n")
        file.truncate(size)


def forget(source: str) -> None:
    """Have the kernel drop the file from the page cache, as far as it wants to."""
    with open(source, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextlib.contextmanager
def _scratch(directory: Path | None) -> Iterator[Path]:
    """A temporary directory; not in /tmp, which is memory on many machines."""
    place = directory or (Path("/var/tmp") if os.access("/var/tmp", os.W_OK) else None)
    found = Path(tempfile.mkdtemp(prefix="namedmap-bench-files-", dir=place))
    try:
        yield found
    finally:
        shutil.rmtree(found, ignore_errors=True)


def _size(size: int) -> str:
    return f"{size // GIB} GiB" if size >= GIB else f"{size // MIB} MiB"


# -- by itself ---------------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure namedmap.files against the tools of the system.")
    parser.add_argument("--quick", action="store_true", help="small files, few rounds")
    parser.add_argument("--only", choices=["copy", "search", "checksum"], help="only the tables of these")
    parser.add_argument("--directory", type=Path, help="where to put the files; otherwise /var/tmp")
    parser.add_argument("--once", nargs=3, metavar=("WAY", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        name, source, target = arguments.once
        next(way for way in COPIES + SEARCHES + SUMS if way.name == name).once(source, target)
        return 0
    for table in all_tables(arguments.quick, arguments.directory, arguments.only):
        print(report.as_text(table), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
