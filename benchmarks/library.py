"""The Python library against what people use instead: named blocks, and bytes in and out of them."""

import contextlib
import mmap
import os
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker, shared_memory
from pathlib import Path

import crowd
import handing
import namedmap
import readers
from report import Table, Target, omit
from rounds import Series, Subject, subject
from tables import FULL, FULL_SLOW, QUICK, QUICK_SLOW, SHARED, WHY_NAMING, Effort, compared

SIZES = {"4 KiB": 4096, "1 MiB": 1 << 20}
#: The size that the picture shows.
PICTURED = 4096
#: How many times as long as the standard library: named blocks, slices.
BLOCKS, SLICES = 1.2, 1.3
SLICE = 4096
QUICK_READERS = 20
_WHY_SLICES = (
    "`mmap` and `memoryview` are C. A view is a Python class: a call of one of its methods comes on top of the "
    "copying, which takes about as long as that."
)
_NAMEDMAP, _ALLOCATED = "namedmap.FileMapping", f"{SHARED} + fallocate"


def all_tables(root: Path, quick: bool, mebibytes: int) -> Iterator[Table]:
    """Measure and yield one table after the other; `mebibytes` is the size of the array that is handed over."""
    effort = QUICK if quick else FULL
    resource_tracker.ensure_running()  # before anything is timed
    for words, size in SIZES.items():
        yield _create(words, size, effort)
        yield _open(root, words, size, effort)
    yield _slices(effort)
    yield from handing.handing(QUICK_SLOW if quick else FULL_SLOW, mebibytes)
    yield from _readers(QUICK_READERS if quick else readers.READERS)


# -- named blocks ------------------------------------------------------------------------------------------------------


def _created(name: str, size: int) -> Callable[[], None]:
    def cycle() -> None:
        mapping = namedmap.create(name, size)
        view = mapping.view()
        view[0] = 1
        view.close()
        mapping.close()

    return cycle


def _opened(name: str) -> Callable[[], None]:
    def cycle() -> None:
        mapping = namedmap.open(name)
        view = mapping.view()
        view[0] = 1
        view.close()
        mapping.close()

    return cycle


def _create(words: str, size: int, effort: Effort) -> Table:
    import peers

    name = f"bench{os.getpid()}"
    subjects = [
        subject(_NAMEDMAP, _created("new", size)),
        subject("namedmap.win32", peers.namedmap_create("new", size)),
        subject(SHARED, peers.shared_memory_create(name, size)),
        subject(_ALLOCATED, peers.shared_memory_create(name, size, allocate=True)),
    ]
    text = (
        "`namedmap.create`, `view`, one store, both closed; with `SharedMemory` creating, one store, closing and "
        "unlinking, its tracker running already. namedmap allocates all of the memory when it creates it."
    )
    bases = {"shared_memory": SHARED, "+ fallocate": _ALLOCATED}
    table = compared(f"FileMapping: create + view + touch + close, {words}", text, subjects, effort, bases)
    table.picture = "library" if size == PICTURED else ""
    for base in bases.values():
        table.targets.append(_target(table, _NAMEDMAP, base, BLOCKS, WHY_NAMING))
    return table


def _open(root: Path, words: str, size: int, effort: Effort) -> Table:
    import peers

    name = f"bench{os.getpid()}"
    with contextlib.ExitStack() as stack:
        holder = stack.enter_context(crowd.child(root, "hold", "kept", 1, size))
        crowd.answer(holder)
        block = shared_memory.SharedMemory(name, True, size)
        stack.callback(block.unlink)
        stack.callback(block.close)
        subjects = [
            subject(_NAMEDMAP, _opened("kept0")),
            subject("namedmap.win32", peers.namedmap_open("kept0")),
            subject(SHARED, peers.shared_memory_open(name)),
        ]
        text = "`namedmap.open`, `view`, one store, both closed, of memory that another process holds."
        title = f"FileMapping: open + view + touch + close, {words}"
        table = compared(title, text, subjects, effort, {"shared_memory": SHARED})
    table.picture = "library" if size == PICTURED else ""
    table.targets.append(_target(table, _NAMEDMAP, SHARED, BLOCKS, WHY_NAMING))
    return table


def _target(table: Table, row: str, base: str, limit: float, why: str) -> Target:
    found = {each.name: each for each in table.rows}
    return Target(f"target: {row} at most {limit}x {base}", limit, found[row].ratio(found[base]), why=why)


# -- slices ------------------------------------------------------------------------------------------------------------


def _slices(effort: Effort) -> Table:
    """4 KiB into and out of memory, a hundred times each, at places that move on."""
    with contextlib.ExitStack() as stack:
        size = SLICE * 100
        view = stack.enter_context(stack.enter_context(namedmap.create("slices", size)).view())
        memory = stack.enter_context(contextlib.closing(mmap.mmap(-1, size)))
        block = shared_memory.SharedMemory(create=True, size=size)
        stack.callback(block.unlink)
        stack.callback(block.close)
        shared = block.buf
        assert shared is not None
        data, places = os.urandom(SLICE), range(0, size, SLICE)

        # Each its own loop: a common one would call through a variable, which costs as much as what is measured.
        def read_view() -> None:
            for at in places:
                view[at : at + SLICE]

        def read_mmap() -> None:
            for at in places:
                memory[at : at + SLICE]

        def read_shared() -> None:
            for at in places:
                bytes(shared[at : at + SLICE])

        def write_view() -> None:
            for at in places:
                view[at : at + SLICE] = data

        def write_mmap() -> None:
            for at in places:
                memory[at : at + SLICE] = data

        def write_shared() -> None:
            for at in places:
                shared[at : at + SLICE] = data

        loops = (read_view, read_mmap, read_shared, write_view, write_mmap, write_shared)
        names = [f"{what}, {who}" for what in ("read", "write") for who in ("View", "mmap", "shared_memory.buf")]
        subjects = [_one_of(name, loop, len(places)) for name, loop in zip(names, loops, strict=True)]
        text = (
            "`view[a:b]` as bytes, and `view[a:b] = data`, for slices of 4 KiB; with `mmap` the same, with "
            "`shared_memory` `bytes(buf[a:b])` and `buf[a:b] = data`."
        )
        bases = {"mmap, read": "read, mmap", "mmap, write": "write, mmap"}
        table = compared("slices of 4 KiB", text, subjects, effort, bases)
    table.picture = "library"
    for what in ("read", "write"):
        for who in ("mmap", "shared_memory.buf"):
            table.targets.append(_target(table, f"{what}, View", f"{what}, {who}", SLICES, _WHY_SLICES))
    return table


def _one_of(name: str, loop: Callable[[], None], times: int) -> Subject:
    """A loop as a subject: what it takes for one of its times."""
    whole = subject(name, loop)
    return Subject(name, lambda repeat: whole.timed(repeat) / times)


# -- many readers ------------------------------------------------------------------------------------------------------


def _readers(count: int) -> Iterator[Table]:
    """Attaching as the first call of a process; what all processes need before and after the readers look."""
    try:
        import numpy
    except ImportError:
        omit("many readers of an array, which need numpy.")
        return
    with contextlib.ExitStack() as stack:
        groups = {}
        for words, size in readers.SIZES.items():
            block = stack.enter_context(namedmap.publish(words, numpy.ones(size, "u1")))
            block.value.sum()  # the publisher has touched every page as well
            groups[f"an array of {words}"] = stack.enter_context(readers.readers(words, count))
        rows = [Series(name) for name in groups]
        for index in range(count):
            for row in rows:
                row.samples.append(groups[row.name].attach(index))
        memory = {}
        for name, group in groups.items():
            before = group.memory()
            group.touch()
            memory[name] = f"{before:,} → {group.memory():,}"
    text = (
        f"`namedmap.attach` as the first named call of each of {count} processes that know nothing of each "
        "other, one after the other. Memory is the PSS of all readers and the publisher together, before and after "
        "every reader has touched every page of the array: it is there once."
    )
    title = f"{count} readers of one array: attach"
    yield Table(title, text, rows, [("1 MiB", rows[0])], more={"MiB of all processes": memory})
