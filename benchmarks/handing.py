"""Handing an array to four processes: published and attached, against pickled, memory-mapped, and copied by hand."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing import shared_memory
from multiprocessing.pool import Pool
from typing import TYPE_CHECKING, Any

import namedmap
import processor
from processor import Stopwatch
from report import Table, omit
from rounds import Subject, Took
from tables import Effort, compared

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROCESSES = 4
_NAME = "handed"
_PUBLISHED = "namedmap: publish, Block through the pool"
_PICKLED, _JOBLIB = "multiprocessing.Pool, array pickled", "joblib, memory-mapped"

Array = Any


# -- what the processes do: look at both ends, which shows that all of it is there -------------------------------------


def _ends(array: Array) -> float:
    return float(array[0] + array[-1])


def _attached(name: str) -> float:
    with namedmap.attach(name) as block:
        return _ends(block.value)


def _of_block(block: namedmap.Block) -> float:
    with block:
        return _ends(block.value)


def _shared(name: str, length: int) -> float:
    import numpy

    block = shared_memory.SharedMemory(name)
    array: NDArray[Any] = numpy.ndarray((length,), "f8", block.buf)
    found = _ends(array)
    del array
    block.close()
    return found


# -- what is measured --------------------------------------------------------------------------------------------------


def _publish_by_name(pool: Pool, array: Array) -> list[float]:
    with namedmap.publish(_NAME, array):
        return pool.map(_attached, [_NAME] * PROCESSES, 1)


def _publish_and_pickle(pool: Pool, array: Array) -> list[float]:
    with namedmap.publish(_NAME, array) as block:
        return pool.map(_of_block, [block] * PROCESSES, 1)


def _copy_by_hand(pool: Pool, array: Array) -> list[float]:
    import numpy

    block = shared_memory.SharedMemory(create=True, size=array.nbytes)
    try:
        numpy.ndarray(array.shape, array.dtype, block.buf)[:] = array
        return pool.starmap(_shared, [(block.name, len(array))] * PROCESSES, 1)
    finally:
        block.close()
        block.unlink()


def _pickle(pool: Pool, array: Array) -> list[float]:
    return pool.map(_ends, [array] * PROCESSES, 1)


def handing(effort: Effort, mebibytes: int) -> Iterator[Table]:
    """An array of float64 for four processes that are there already."""
    try:
        import numpy
    except ImportError:
        omit("handing an array to processes, which needs numpy.")
        return
    array = numpy.ones(mebibytes << 17)
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(PROCESSES))
        subjects = [
            _subject("namedmap: publish, attach by name", lambda: _publish_by_name(pool, array)),
            _subject(_PUBLISHED, lambda: _publish_and_pickle(pool, array)),
            _subject("multiprocessing.shared_memory, copied by hand", lambda: _copy_by_hand(pool, array)),
            _subject(_PICKLED, lambda: _pickle(pool, array)),
        ]
        subjects += _of_joblib(stack, array)
        block = stack.enter_context(namedmap.publish(f"{_NAME}-before", array))
        subjects.append(
            _subject("namedmap: Block published before", lambda: pool.map(_of_block, [block] * PROCESSES, 1))
        )
        text = (
            f"From an array of {mebibytes:,} MiB to {PROCESSES} results from a pool of {PROCESSES} processes, which is "
            "there already: each looks at the first and the last item. joblib writes the array to a file in /dev/shm "
            "that its processes map, once for an array; `published before` is what each further call costs."
        )
        title = f"an array of {mebibytes:,} MiB to {PROCESSES} processes"
        bases = {"pickled": _PICKLED}
        table = compared(title, text, subjects, effort, bases)
    table.picture = "handing"
    for base in (_PICKLED, _JOBLIB):
        table.judge(_PUBLISHED, base, 1.0, clock=True)
    yield table


def _subject(name: str, once: Callable[[], list[float]]) -> Subject:
    def timed(repeat: int) -> Took:
        watch, start = Stopwatch(processor.descendants()), time.perf_counter()
        for _ in range(repeat):
            if once() != [2.0] * PROCESSES:
                raise ValueError(f"{name}: the array did not arrive")
        return Took(time.perf_counter() - start, watch.stop())

    return Subject(name, timed)


def _of_joblib(stack: contextlib.ExitStack, array: Array) -> list[Subject]:
    try:
        import joblib
        from joblib.externals.loky import get_reusable_executor
    except ImportError:
        return []
    stack.callback(lambda: get_reusable_executor().shutdown())

    def fresh() -> list[float]:
        # joblib keeps the file of an array that it knows: as a new object it is an array that it does not.
        found: list[float] = run(joblib.delayed(_ends)(each) for each in [array[:]] * PROCESSES)
        return found

    run = joblib.Parallel(PROCESSES)
    os.environ.setdefault("LOKY_MAX_CPU_COUNT", str(PROCESSES))
    return [_subject(_JOBLIB, fresh)]
