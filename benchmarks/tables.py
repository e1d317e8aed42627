"""The comparisons: which rows each table has, and what is aimed at."""

import contextlib
import os
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import shared_memory
from pathlib import Path
from typing import NamedTuple

import crowd
import peers
from floor import Floor
from modes import Modes, cycle
from report import Table, Target, omit
from rounds import Subject, Took, measure, subject

SIZE = 65536
LARGE = 64 << 20
CROWD = 10_000

#: The Win32 functions against multiprocessing.shared_memory. They are Python code in both modes.
CREATE, OPEN = 1.6, 1.8
#: Large sections against the peer that allocates them as well.
ALLOCATED = 1.1
#: With CROWD live objects against none.
GROWTH = 2.0

WHY_NAMING = "Frames of Python code between the system calls take longer than the calls, which the floor shows."
_WHY_LARGE = "For nearly all of the time the kernel takes pages and zeroes them, for both."

Root = Callable[[str], contextlib.AbstractContextManager[Path]]


@dataclass(frozen=True)
class Effort:
    """How much is measured: rounds, times in a round, and about how many seconds at most for one table."""

    rounds: int
    repeat: int
    seconds: float


class Efforts(NamedTuple):
    """For things that take microseconds each, and for those that take milliseconds."""

    usual: Effort
    slow: Effort


FULL = Efforts(Effort(200, 50, 15.0), Effort(20, 1, 12.0))
QUICK = Efforts(Effort(15, 20, 2.0), Effort(3, 1, 2.0))


def all_tables(root: Path, modes: Modes, new_root: Root, efforts: Efforts, quick: bool) -> Iterator[Table]:
    """Measure and yield one table after the other."""
    effort, slow = efforts
    yield create(root, modes, effort)
    yield open_existing(root, modes, effort)
    if _has_room(root, f"{CROWD:,} live objects", (1 if quick else 2) * CROWD * peers.PAGE_SIZE + (8 << 20)):
        yield from crowded(new_root, effort, slow, quick)
    if _has_room(root, "the large sections", LARGE + (8 << 20)):
        yield large(slow)


def _has_room(root: Path, what: str, needed: int) -> bool:
    space = os.statvfs(root)
    free = space.f_bavail * space.f_frsize
    if free < needed:
        omit(f"{what}, which need {needed >> 20} MiB in /dev/shm, where {free >> 20} are free.")
    return free >= needed


def compared(title: str, text: str, subjects: list[Subject], effort: Effort, bases: dict[str, str]) -> Table:
    """A table of subjects, with their ratios to some of them."""
    found = measure(subjects, rounds=effort.rounds, repeat=effort.repeat, seconds=effort.seconds)
    return Table(title, text, list(found.values()), [(label, found[name]) for label, name in bases.items()])


NAMEDMAP, SHARED, _POSIX = "namedmap.win32", "multiprocessing.shared_memory", "posix_ipc + mmap"
_BASES = {"shared_memory": SHARED, "floor": "floor: the same system calls"}


def create(root: Path, modes: Modes, effort: Effort) -> Table:
    """create + map + touch + unmap + close: the whole life of a named block."""
    # The floor needs the directory that the first use of a name makes.
    peers.namedmap_create("first", SIZE)()
    with contextlib.ExitStack() as stack:
        makes = {
            NAMEDMAP: partial(peers.namedmap_create, "new", SIZE),
            f"{NAMEDMAP}, SEC_RESERVE, nothing committed": partial(peers.namedmap_reserve, "new", SIZE, commit=False),
            f"{NAMEDMAP}, SEC_RESERVE, one page committed": partial(peers.namedmap_reserve, "new", SIZE, commit=True),
        }
        subjects = [each for name, make in makes.items() for each in modes.subjects(stack, name, cycle, make)]
        table = _created(root, subjects, effort)
    table.picture = "naming"
    for mode in (worker.mode for worker in modes):
        table.judge(mode.row(NAMEDMAP), SHARED, CREATE, mode=mode.name, why=WHY_NAMING)
    return table


def _created(root: Path, ours: list[Subject], effort: Effort) -> Table:
    name = f"bench{os.getpid()}"
    subjects = [
        *ours,
        subject("floor: the same system calls", Floor(root, "floor", "").create),
        subject(SHARED, peers.shared_memory_create(name, SIZE)),
        subject(f"{SHARED} + fallocate", peers.shared_memory_create(name, SIZE, allocate=True)),
    ]
    if peers.UNTRACKED is not None:
        untracked = peers.shared_memory_create(name, SIZE, options=peers.UNTRACKED)
        subjects.append(subject(f"{SHARED}, track=False", untracked))
    if peers.HAS_POSIX_IPC:
        subjects += [
            subject(_POSIX, peers.posix_ipc_create(f"/{name}-ipc", SIZE)),
            subject(f"{_POSIX} + fallocate", peers.posix_ipc_create(f"/{name}-ipc", SIZE, allocate=True)),
        ]
    text = (
        "`CreateFileMapping`, `MapViewOfFile`, one store, `UnmapViewOfFile`, `CloseHandle` of a new name; with the "
        "peers creating, one store, closing and unlinking."
    )
    title = "create + map + touch + unmap + close, 64 KiB"
    return compared(title, text, subjects, effort, _BASES | {"shared_memory + fallocate": f"{SHARED} + fallocate"})


def held(stack: contextlib.ExitStack, name: str, make: Callable[[], Callable[[], object]], size: int) -> Subject:
    """A cycle with the section held0, which another process holds."""
    root = Path(os.environ["NAMEDMAP_ROOT"])
    crowd.answer(stack.enter_context(crowd.child(root, "hold", "held", 1, size)))
    return subject(name, make())


def shared_block(stack: contextlib.ExitStack, size: int) -> str:
    """The name of a block of SharedMemory, which this process holds."""
    name = f"bench{os.getpid()}"
    block = shared_memory.SharedMemory(name, True, size)
    stack.callback(block.unlink)
    stack.callback(block.close)
    return name


def open_existing(root: Path, modes: Modes, effort: Effort) -> Table:
    """open + map + touch + unmap + close of a block that another process holds."""
    with contextlib.ExitStack() as stack:
        make = partial(peers.namedmap_open, "held0")
        name = shared_block(stack, SIZE)
        crowd.answer(stack.enter_context(crowd.child(root, "hold", "held", 1)))
        subjects = [
            *modes.subjects(stack, NAMEDMAP, held, make, SIZE),
            subject("floor: the same system calls", Floor(root, "", "held0").open),
            subject(SHARED, peers.shared_memory_open(name)),
        ]
        if peers.UNTRACKED is not None:
            subjects.append(subject(f"{SHARED}, track=False", peers.shared_memory_open(name, peers.UNTRACKED)))
        if peers.HAS_POSIX_IPC:
            subjects.append(subject(_POSIX, peers.posix_ipc_open(f"/{name}")))
        text = (
            "`OpenFileMapping`, `MapViewOfFile`, one store, `UnmapViewOfFile`, `CloseHandle` of a section that another "
            "process holds; with the peers attaching, one store and closing."
        )
        table = compared("open + map + touch + unmap + close, 64 KiB", text, subjects, effort, _BASES)
    table.picture = "naming"
    for mode in (worker.mode for worker in modes):
        table.judge(mode.row(NAMEDMAP), SHARED, OPEN, mode=mode.name, why=WHY_NAMING)
    return table


def _descriptors() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def crowded(new_root: Root, effort: Effort, slow: Effort, quick: bool) -> Iterator[Table]:
    """The same with many live objects in the namespace, and the first call of a process among them."""
    with contextlib.ExitStack() as stack:
        empty, full = stack.enter_context(new_root("empty")), stack.enter_context(new_root("full"))
        stack.enter_context(crowd.holders(full, CROWD))
        for root in (empty, full):
            crowd.answer(stack.enter_context(crowd.child(root, "hold", "present", 1)))
        places = {"0 live objects": (empty, 0), f"{CROWD:,} live, held by other processes": (full, 0)}
        if not quick and _descriptors() > CROWD + 100:
            own = stack.enter_context(new_root("own-crowd"))
            crowd.answer(stack.enter_context(crowd.child(own, "hold", "present", 1)))
            places[f"{CROWD:,} live, held by the same process"] = (own, CROWD)
        yield from _growth(stack, places, effort)
        yield _first_calls(empty, full, slow)


def _growth(stack: contextlib.ExitStack, places: dict[str, tuple[Path, int]], effort: Effort) -> Iterator[Table]:
    """`places` gives, for each row, the root, and how many objects of it the worker holds itself."""
    alone = next(iter(places))
    workers = {name: stack.enter_context(crowd.child(root, "work", mine)) for name, (root, mine) in places.items()}
    for worker in workers.values():
        crowd.answer(worker)
    for operation in ("create", "open"):
        subjects = []
        for name, worker in workers.items():

            def timed(times: int, worker: crowd.Process = worker, operation: str = operation) -> Took:
                return crowd.operation(worker, operation, times)

            subjects.append(Subject(name, timed))
        text = f"The cycle of the table for *{operation}* above, in a worker process, among so many named sections."
        table = compared(f"{operation}, with {CROWD:,} live objects", text, subjects, effort, {alone: alone})
        ratio = max(row.processor_ratio(table.rows[0]) for row in table.rows[1:])
        table.picture = "naming"
        limit = f"target: at most {GROWTH:g}x the processor time that it takes with none"
        table.targets.append(Target(limit, GROWTH, ratio))
        yield table


def _first_calls(empty: Path, full: Path, slow: Effort) -> Table:
    def first(root: Path) -> Callable[[int], Took]:
        def timed(times: int) -> Took:
            all_of_them = []
            for _ in range(times):
                with crowd.child(root, "first", "fresh") as process:
                    all_of_them.append(crowd.took(process))
            return Took(sum(each.wall for each in all_of_them), sum(each.processor for each in all_of_them))

        return timed

    subjects = [Subject("0 live objects", first(empty)), Subject(f"{CROWD:,} live objects", first(full))]
    text = (
        "`CreateFileMapping` as the first named call of a new process: it checks the directories and sweeps, which "
        "looks at 256 files or for 10 ms at most, and lists the directory."
    )
    return compared("the first named call of a process", text, subjects, slow, {"0 live": "0 live objects"})


def large(effort: Effort) -> Table:
    """Creating 64 MiB, where zeroing memory is nearly everything."""
    name = f"bench{os.getpid()}"
    subjects = [
        subject("namedmap, one byte touched", peers.namedmap_create("large", LARGE)),
        subject("namedmap, all bytes written", peers.namedmap_create("large", LARGE, touch=LARGE)),
        subject("namedmap, SEC_RESERVE, one page committed", peers.namedmap_reserve("large", LARGE, commit=True)),
        subject(f"{SHARED}, one byte touched", peers.shared_memory_create(name, LARGE)),
        subject(f"{SHARED} + fallocate", peers.shared_memory_create(name, LARGE, allocate=True)),
        subject(f"{SHARED}, all bytes written", peers.shared_memory_create(name, LARGE, touch=LARGE)),
    ]
    text = "The same cycle for 64 MiB, where taking and zeroing memory is nearly everything."
    bases = {"+ fallocate": f"{SHARED} + fallocate", "all written": f"{SHARED}, all bytes written"}
    table = compared("create + map + touch + unmap + close, 64 MiB", text, subjects, effort, bases)
    table.judge("namedmap, one byte touched", f"{SHARED} + fallocate", ALLOCATED, why=_WHY_LARGE)
    table.judge("namedmap, all bytes written", f"{SHARED}, all bytes written", ALLOCATED, why=_WHY_LARGE)
    return table
