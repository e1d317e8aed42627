"""A user's program that uses everything public, with its types: `typed_program.py METHOD SEED DIRECTORY`.

METHOD is how multiprocessing starts processes, SEED says in which order everything is closed. It prints "done".
"""

import asyncio
import concurrent.futures
import contextlib
import ctypes
import io
import multiprocessing
import os
import random
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, assert_type

import namedmap

Closer = Callable[[], object]


class Point(ctypes.Structure):
    """A structure that an overlay shows."""

    _fields_ = (("x", ctypes.c_int32), ("y", ctypes.c_int32))


# -- memory ------------------------------------------------------------------------------------------------------------


def names(tag: str) -> list[Closer]:
    made = namedmap.create(f"{tag}-map", 70_000)
    assert_type(made, namedmap.FileMapping)
    found, again = namedmap.open(f"{tag}-map", "read"), namedmap.open_or_create(f"{tag}-map", 1)
    assert assert_type(made.created, bool)
    assert not found.created
    assert not again.created
    assert assert_type(found.size, int) == len(again) == 70_000
    assert assert_type(made.name, str | None) == f"{tag}-map"
    assert (assert_type(found.access, str), made.path, made.closed) == ("read", None, False)
    assert assert_type(made.handle, int)
    assert repr(made)
    refused: OSError | None = None
    try:
        namedmap.create(f"{tag}-map", 1)
    except FileExistsError as error:
        refused = error
    assert isinstance(refused, namedmap.ExistsError)
    assert assert_type(refused.winerror, int) == 183
    with contextlib.suppress(namedmap.NotFoundError):
        namedmap.open(f"{tag}-none")
    return [made.close, found.close, again.close]


def files(directory: Path) -> list[Closer]:
    mapping = namedmap.map_file(directory / "file", 200_000, "write", create=True, sparse=True)
    assert assert_type(mapping.extend(300_000), int) == mapping.size == 300_000
    starts = [assert_type(window, namedmap.View).offset for window in mapping.windows(65_536, overlap=1)]
    view = mapping.view(100_000, 50_000)
    view[:5] = b"hello"
    view.flush()
    view.flush(0, 5, durable=True)
    view.prefetch()
    view.advise("sequential")
    assert len(starts) == 5
    assert sum(assert_type(view.residency(0, 4096), bytes)) <= 2
    private = mapping.view(0, 10, "copy")
    private[0] = 1
    return [mapping.close, view.close, private.close]


def views(tag: str) -> list[Closer]:
    mapping = namedmap.open_or_create(f"{tag}-views", 10_000)
    view = mapping.view()
    view[:5] = b"hello"
    view[5] = 33
    view.pack("<I", 8, 7)
    assert assert_type(view.unpack("<I", 8), tuple[Any, ...]) == (7,)
    assert assert_type(view.find(b"lo"), int) == view.rfind(b"lo") == 3
    assert assert_type(view.read(0, 6), bytes) == b"hello!"
    assert assert_type(view.write(0, b"H"), int) == 1
    assert (len(view), view.size, view.offset, view.access, view.closed) == (10_000, 10_000, 0, "write", False)
    assert view.mapping is mapping
    assert assert_type(view.address, int)
    assert view == view.buf
    assert next(iter(view)) == 72
    held: list[Any] = [assert_type(view.buf, memoryview)[10:], view.buf.cast("Q")]
    point = view.overlay(Point, 100)
    assert_type(point, Point)
    point.x = 5
    held += [point, view.overlay(ctypes.c_uint64), *arrays(view)]
    stream = view.stream()
    with io.BufferedRandom(stream) as file:
        file.seek(0)
        assert assert_type(file.read(5), bytes) == b"Hello"
    view.lock(0, 100)
    view.unlock(0, 100)
    view.protect("read", 0, 4096)
    return [mapping.close, view.close, *(held.pop for _ in range(len(held)))]


def arrays(view: namedmap.View) -> list[Any]:
    with contextlib.suppress(ImportError):
        array = view.array("i4", (10, 10), 200)
        array[1] = 4
        return [array, array[1:, ::2]]
    return []


def blocks(tag: str) -> list[Closer]:
    block = namedmap.publish(f"{tag}-block", b"published")
    assert_type(block, namedmap.Block)
    reader, writer = namedmap.attach(f"{tag}-block"), namedmap.attach(f"{tag}-block", "write")
    assert bytes(reader.value) == b"published"
    assert reader.value.readonly
    writer.value[0] = 80
    assert (assert_type(block.kind, str), assert_type(block.name, str | None)) == ("bytes", f"{tag}-block")
    assert block.created
    assert assert_type(block.size, int) >= 9
    assert not reader.closed
    values = [reader.value, block.value]
    unnamed = namedmap.publish(None, bytearray(100))
    return [block.close, reader.close, writer.close, unnamed.close, values.clear]


# -- turns -------------------------------------------------------------------------------------------------------------


def primitives(tag: str) -> list[Closer]:
    mutex, event = namedmap.Mutex(f"{tag}-mutex"), namedmap.Event.create(f"{tag}-event")
    slots = namedmap.Semaphore.open_or_create(f"{tag}-slots", value=2, maximum=3)
    other = namedmap.Mutex.open(f"{tag}-mutex")
    with mutex as held:
        assert_type(held, namedmap.Mutex)
        assert assert_type(mutex.acquire(timeout=0), bool)
        assert mutex.locked()
        assert mutex.owned()
        assert not mutex.abandoned
        mutex.release()
    assert slots.acquire(0)
    assert assert_type(slots.release(), int) == 1
    assert (slots.value, slots.maximum) == (2, 3)
    event.set()
    assert assert_type(event.wait(0), bool)
    assert event.is_set() == event.manual
    event.pulse()
    event.clear()
    assert assert_type(namedmap.wait_any([event, slots], 0), int | None) == 1
    assert assert_type(namedmap.wait_all([mutex, slots], 0), bool)
    other.release()
    with contextlib.suppress(namedmap.NotOwnerError):
        mutex.release()
    with contextlib.suppress(namedmap.LimitError):
        slots.release(100)
    asyncio.run(tasks(mutex, event, slots))
    return [mutex.close, event.close, slots.close, other.close]


async def tasks(mutex: namedmap.Mutex, event: namedmap.Event, slots: namedmap.Semaphore) -> None:
    asyncio.get_running_loop().slow_callback_duration = 10  # a machine that is busy is no fault of the program
    async with mutex:
        assert not await slots.acquire_async(timeout=0.01)
    slots.release(2)
    waiting = asyncio.create_task(event.wait_async())
    await asyncio.sleep(0)
    event.set()
    assert await waiting
    async with slots:
        event.set()
        assert assert_type(await namedmap.wait_any_async([mutex, event]), int | None) == 0
        mutex.release()
        assert assert_type(await namedmap.wait_all_async([mutex, slots], 1), bool)
        mutex.release()


# -- processes ---------------------------------------------------------------------------------------------------------


def add(mapping: namedmap.FileMapping, view: namedmap.View, block: namedmap.Block, mutex: namedmap.Mutex) -> int:
    """The work of the others: count in memory that they were sent."""
    with mapping, view.mapping, block, mutex:
        own = mapping.view()
        own[0] += 1
        view[0] += 1
        return int(own[0]) + len(block.value)


def processes(method: str, tag: str) -> list[Closer]:
    context: Any = multiprocessing.get_context(method)
    mutex = namedmap.Mutex(f"{tag}-turns")
    closers: list[Closer] = [mutex.close]
    for name in (f"{tag}-sent", None):
        mapping = namedmap.create(name, 5000)
        view, block = mapping.view(1, 10), namedmap.publish(name and f"{name}-block", b"abc")
        sent = (mapping, view, block, mutex)
        workers = [context.Process(target=add, args=sent) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
            assert pool.submit(add, *sent).result() == 6
        assert (mapping.view()[0], view[0]) == (3, 3)
        closers += [mapping.close, view.close, block.close]
    return closers


def main(method: str, seed: int, directory: Path) -> None:
    # CPython warns of any fork in a program with threads; the executors' are such.
    warnings.filterwarnings("ignore", "This process", DeprecationWarning)
    tag = f"typed-{os.getpid()}"
    closers = processes(method, tag)
    for part in (names(tag), views(tag), blocks(tag), files(directory), primitives(tag)):
        closers += part
    random.Random(seed).shuffle(closers)
    for close in closers:
        close()
    print("done")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
