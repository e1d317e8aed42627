"""The Python library against what people use instead: named blocks, and bytes in and out of them."""

import contextlib
import mmap
import os
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import resource_tracker, shared_memory

import handing
import namedmap
import peers
import readers
from modes import WITHOUT, Modes, cycle
from report import Table, omit
from rounds import Series, Subject, loop, subject
from tables import NAMEDMAP as WIN32
from tables import SHARED, WHY_NAMING, Effort, Efforts, compared, held, shared_block

SIZES = {"4 KiB": 4096, "1 MiB": 1 << 20}
#: The size that the picture shows.
PICTURED = 4096
#: Creating and opening small blocks against multiprocessing.shared_memory, in each mode; where taking the memory is
#: most of it, against the same with fallocate; slices against mmap.
CREATE, OPEN = {True: 0.9, False: 1.6}, {True: 0.9, False: 1.8}
ALLOCATED, SLICES = 1.1, 1.05
SLICE = {"64 B": 64, "4 KiB": 4096}
#: Slices in one time of a loop.
_TIMES = 100
QUICK_READERS = 20
_WHY_SLICES = {
    WITHOUT: "`mmap` is C; the frame of a view's method comes on top of copying, which takes about as long as that.",
}
#: The processor time of the process alone, to see how much is the tracker's.
_UNCOUNTED = f"{SHARED}, the tracker not counted"
_CLASS, _ALLOCATED = "namedmap.FileMapping", f"{SHARED} + fallocate"


def all_tables(modes: Modes, efforts: Efforts, quick: bool, mebibytes: int) -> Iterator[Table]:
    """Measure and yield one table after the other; `mebibytes` is the size of the array that is handed over."""
    resource_tracker.ensure_running()  # before anything is timed
    for words, size in SIZES.items():
        yield create(modes, words, size, efforts.usual)
        yield open_existing(modes, words, size, efforts.usual)
    for words, size in SLICE.items():
        yield slices(modes, words, size, efforts.usual)
    yield from handing.handing(efforts.slow, mebibytes)
    yield from _readers(QUICK_READERS if quick else readers.READERS)


def _why(mode: str) -> str:
    return WHY_NAMING if mode == WITHOUT else ""


# -- named blocks ------------------------------------------------------------------------------------------------------


def created(name: str, size: int) -> Callable[[], None]:
    """Making memory, and all that a life of it is."""

    def once() -> None:
        mapping = namedmap.create(name, size)
        view = mapping.view()
        view[0] = 1
        view.close()
        mapping.close()

    return once


def opened(name: str) -> Callable[[], None]:
    """Opening memory, and all that a handle's life is."""

    def once() -> None:
        mapping = namedmap.open(name)
        view = mapping.view()
        view[0] = 1
        view.close()
        mapping.close()

    return once


def create(modes: Modes, words: str, size: int, effort: Effort) -> Table:
    """Making memory of a size."""
    name = f"bench{os.getpid()}"
    with contextlib.ExitStack() as stack:
        subjects = [
            *modes.subjects(stack, _CLASS, cycle, partial(created, "new", size)),
            *modes.subjects(stack, WIN32, cycle, partial(peers.namedmap_create, "new", size)),
            subject(SHARED, peers.shared_memory_create(name, size)),
            subject(_UNCOUNTED, peers.shared_memory_create(name, size), tracked=False),
            subject(_ALLOCATED, peers.shared_memory_create(name, size, allocate=True)),
        ]
        text = (
            "`namedmap.create`, `view`, one store, both closed; with `SharedMemory` creating, one store, closing and "
            "unlinking, its tracker running already: that process is told of each block, and its processor time "
            "counts. namedmap allocates all of the memory when it creates it."
        )
        bases = {"shared_memory": SHARED, "tracker not counted": _UNCOUNTED, "+ fallocate": _ALLOCATED}
        table = compared(f"FileMapping: create + view + touch + close, {words}", text, subjects, effort, bases)
    small = size == PICTURED
    table.picture = "library" if small else ""
    for mode in (worker.mode for worker in modes):
        base, limit = (SHARED, CREATE[mode.name != WITHOUT]) if small else (_ALLOCATED, ALLOCATED)
        table.judge(mode.row(_CLASS), base, limit, mode=mode.name, why=_why(mode.name))
    return table


def open_existing(modes: Modes, words: str, size: int, effort: Effort) -> Table:
    """Opening memory of a size that another process holds."""
    with contextlib.ExitStack() as stack:
        name = shared_block(stack, size)
        subjects = [
            *modes.subjects(stack, _CLASS, held, partial(opened, "held0"), size),
            *modes.subjects(stack, WIN32, cycle, partial(peers.namedmap_open, "held0")),
            subject(SHARED, peers.shared_memory_open(name)),
            subject(_UNCOUNTED, peers.shared_memory_open(name), tracked=False),
        ]
        text = "`namedmap.open`, `view`, one store, both closed, of memory that another process holds."
        title = f"FileMapping: open + view + touch + close, {words}"
        table = compared(title, text, subjects, effort, {"shared_memory": SHARED, "tracker not counted": _UNCOUNTED})
    table.picture = "library" if size == PICTURED else ""
    for mode in (worker.mode for worker in modes):
        limit = OPEN[mode.name != WITHOUT]
        table.judge(mode.row(_CLASS), SHARED, limit, mode=mode.name, why=_why(mode.name))
    return table


# -- slices ------------------------------------------------------------------------------------------------------------


def reading(stack: contextlib.ExitStack, name: str, size: int) -> Subject:
    """Slices of a view, as bytes."""
    view = _view(stack, size)

    # Each its own loop: a common one would call through a variable, which costs as much as what is measured.
    def read() -> None:
        for at in range(0, size * _TIMES, size):
            view[at : at + size]

    return loop(name, read, _TIMES)


def writing(stack: contextlib.ExitStack, name: str, size: int) -> Subject:
    """Bytes into slices of a view."""
    view, data = _view(stack, size), os.urandom(size)

    def write() -> None:
        for at in range(0, size * _TIMES, size):
            view[at : at + size] = data

    return loop(name, write, _TIMES)


def _view(stack: contextlib.ExitStack, size: int) -> namedmap.View:
    return stack.enter_context(stack.enter_context(namedmap.create(None, size * _TIMES)).view())


def slices(modes: Modes, words: str, size: int, effort: Effort) -> Table:
    """So many bytes into and out of memory, a hundred times each, at places that move on."""
    with contextlib.ExitStack() as stack:
        memory = stack.enter_context(contextlib.closing(mmap.mmap(-1, size * _TIMES)))
        block = shared_memory.SharedMemory(create=True, size=size * _TIMES)
        stack.callback(block.unlink)
        stack.callback(block.close)
        shared = block.buf
        assert shared is not None
        data = os.urandom(size)

        def read_mmap() -> None:
            for at in range(0, size * _TIMES, size):
                memory[at : at + size]

        def read_shared() -> None:
            for at in range(0, size * _TIMES, size):
                bytes(shared[at : at + size])

        def write_mmap() -> None:
            for at in range(0, size * _TIMES, size):
                memory[at : at + size] = data

        def write_shared() -> None:
            for at in range(0, size * _TIMES, size):
                shared[at : at + size] = data

        subjects = [
            *modes.subjects(stack, "read, View", reading, size),
            loop("read, mmap", read_mmap, _TIMES),
            loop("read, shared_memory.buf", read_shared, _TIMES),
            *modes.subjects(stack, "write, View", writing, size),
            loop("write, mmap", write_mmap, _TIMES),
            loop("write, shared_memory.buf", write_shared, _TIMES),
        ]
        text = (
            f"`view[a:b]` as bytes, and `view[a:b] = data`, for slices of {words}; with `mmap` the same, with "
            "`shared_memory` `bytes(buf[a:b])` and `buf[a:b] = data`."
        )
        bases = {"mmap, read": "read, mmap", "mmap, write": "write, mmap"}
        table = compared(f"slices of {words}", text, subjects, effort, bases)
    table.picture = "library"
    for mode in (worker.mode for worker in modes):
        for what in ("read", "write"):
            row, why = mode.row(f"{what}, View"), _WHY_SLICES.get(mode.name, "")
            table.judge(row, f"{what}, mmap", SLICES, mode=mode.name, why=why)
    return table


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
