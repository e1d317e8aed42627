"""The parts of the page: which tables they have, what is said before them, and the page that is written of them."""

import argparse
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import files
import library
import modes
import plots
import report
import tables
import waittables
import ways
from page import Part, document
from report import Table

#: Each part with its tables, which are measured as they are taken.
Parts = Generator[tuple[Part, Iterable[Table]], None, None]
Root = Callable[[str], AbstractContextManager[Path]]

_FILES = """\
`namedmap.files` against Python's own ways and the tools of the system. `cp`, `dd`, `rsync`, `grep` and the like are
processes of their own, as they are for all who call them; namedmap, `shutil`, `hashlib` and the textbook's
programs are called in a process that runs: for small files, starting the tool is most of its time. Copies are made
to a target that does not exist, with reflinks switched off. The peak of memory is that of a whole process that does
it once, Python itself (some 25 MiB) included; mapped pages of files count."""
_AIMS = """\
For 1 GiB in the page cache a copy is to be at least 1.4 times as fast as `cp`, 1.2 times as fast as
`shutil.copyfile` and 5 times as fast as the textbook's program; at any size no more than 5 % slower than the faster of
`cp` and `shutil.copyfile`; in no more than 100 MiB of memory. Searching and hashing are to be at least as fast as the
GNU tool."""
_SECTIONS = """\
The Win32 functions on named blocks of memory. *Touch* stores one byte. The *floor* is the sequence of system calls that
namedmap makes for the same thing, written out straight-line in Python with all arguments prepared
(`benchmarks/floor.py`). It is what namedmap's rules cost in the kernel; the rest of its time is its Python code.
`benchmarks/run.py --check-floor` compares the two with strace, in both modes. The core has no part in these
functions."""
_ALLOCATED = """\
namedmap allocates the memory of a section when it is created (`posix_fallocate`), so that a store into it cannot end in
SIGBUS. The peers allocate at the first touch of each page. The rows "+ fallocate" make them do the same; the rows
`SEC_RESERVE` make namedmap do without."""
_LIBRARY = """\
The Python classes: named blocks, slices of them, and arrays that other processes are to have."""
_WAITING = """\
Locks and semaphores are used with the defaults of their packages. filelock and portalocker look again every 50 and 250
ms while they wait (portalocker with a limit of 60 s, not 5); the others sleep until they are woken, namedmap after it
has looked again for a moment. The floor of locks, semaphores and events is in `benchmarks/lockpeers.py`."""


@dataclass(frozen=True)
class Efforts:
    """How much is measured in each part."""

    files: files.Effort
    tables: tables.Efforts
    waiting: waittables.Effort

    def within(self, rounds: int) -> "Efforts":
        """The same with no more rounds than that."""
        usual, slow = (replace(each, rounds=min(each.rounds, rounds)) for each in self.tables)
        waiting = {name: min(getattr(self.waiting, name), rounds) for name in ("rounds", "fights", "idles")}
        return Efforts(
            replace(self.files, rounds=min(self.files.rounds, rounds)),
            tables.Efforts(usual, slow),
            replace(self.waiting, **waiting),
        )


FULL = Efforts(files.FULL, tables.FULL, waittables.FULL)
QUICK = Efforts(files.QUICK, tables.QUICK, waittables.QUICK)


def all_parts(root: Path, new_root: Root, arguments: argparse.Namespace) -> Parts:
    """The parts that were asked for."""
    quick, only = arguments.quick, arguments.only
    efforts = QUICK if quick else FULL
    if arguments.rounds is not None:
        efforts = efforts.within(arguments.rounds)
    if only in (None, "files"):
        largest = None if arguments.largest is None else arguments.largest << 20
        yield (
            Part("files", "Big files", [_FILES, _AIMS, *_absent()]),
            files.all_tables(efforts.files, arguments.directory, largest),
        )
    if only == "files":
        return
    with modes.opened(root) as both:
        if only in (None, "sections"):
            sections = tables.all_tables(root, both, new_root, efforts.tables, quick)
            yield Part("sections", "Named sections", [_SECTIONS, _ALLOCATED]), sections
        if only in (None, "library"):
            array = arguments.array or (64 if quick else 1024)
            found = library.all_tables(both, efforts.tables, quick, array)
            yield Part("library", "The Python library", [_LIBRARY]), found
        if only in (None, "waiting"):
            yield Part("waiting", "Waiting", [_WAITING]), waittables.all_tables(root, both, efforts.waiting)


def _absent() -> list[str]:
    found = ways.absent()
    return [f"Not installed on this machine, and so without rows: {', '.join(f'`{each}`' for each in found)}."] * bool(
        found
    )


def write(page: Path, facts: Sequence[tuple[str, str]], circumstances: str, parts: Sequence[Part]) -> None:
    """The page, and its pictures in a directory beside it that has its name."""
    pictures = page.with_suffix("")
    try:
        for part in parts:
            part.pictures += plots.draw(part, pictures, page)
    except ModuleNotFoundError as error:
        report.omit(f"the pictures, which need {error.name}.")
    page.write_text(document(facts, circumstances, report.omitted, parts), encoding="utf-8")
    # Of a run that had more tables than this one.
    shown = {picture.file for part in parts for picture in part.pictures}
    for name in plots.NAMES:
        stale = pictures / f"{name}.svg"
        if stale.relative_to(page.parent).as_posix() not in shown:
            stale.unlink(missing_ok=True)
