"""multiprocessing on Windows: what is passed to a new process arrives; memory needs no name for that."""

import multiprocessing
from multiprocessing.context import SpawnContext

import pytest

import namedmap
from namedmap import Event, FileMapping, Mutex, Semaphore

ROUNDS = 200


@pytest.fixture
def context() -> SpawnContext:
    return multiprocessing.get_context("spawn")


def count(mapping: FileMapping, mutex: Mutex, done: Semaphore, go: Event) -> None:
    """Read, and write back, the first bytes of the memory again and again, under the mutex."""
    with mapping, mapping.view() as view:
        go.wait()
        for _ in range(ROUNDS):
            with mutex:
                view[:4] = (int.from_bytes(view[:4], "little") + 1).to_bytes(4, "little")
    done.release()


@pytest.mark.parametrize("named", [False, True])
def test_memory_and_primitives(named: bool, context: SpawnContext) -> None:
    """Two processes count in memory that was passed to them, under a mutex that was, and lose nothing."""
    with namedmap.create("counted" if named else None, 4096) as mapping, mapping.view() as view:
        primitives = Mutex("counting"), Semaphore("counted out", 0), Event("counting begins")
        processes = [context.Process(target=count, args=(mapping, *primitives)) for _ in range(2)]
        for process in processes:
            process.start()
        primitives[2].set()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0]
        assert int.from_bytes(view[:4], "little") == 2 * ROUNDS
        assert primitives[1].value == 2
        for each in primitives:
            each.close()


def add_one(mapping: FileMapping) -> int:
    with mapping, mapping.view() as view:
        view[0] += 1
        return int(view[0])


def test_a_pool(context: SpawnContext) -> None:
    """Unnamed memory goes through the queue of a pool's tasks, each time as a handle of its own."""
    with namedmap.create(None, 4096) as mapping:
        with context.Pool(1) as pool:
            assert pool.map(add_one, [mapping] * 5, chunksize=1) == [1, 2, 3, 4, 5]
            pool.close()
            pool.join()
        with mapping.view() as view:
            assert view[0] == 5


def take(mutex: Mutex) -> None:
    """Take the mutex, and end with it."""
    mutex.acquire()


def test_a_mutex_of_a_process_that_has_ended(context: SpawnContext) -> None:
    """A process that ends with a mutex that was passed to it abandons it."""
    mutex = Mutex("taken")
    process = context.Process(target=take, args=(mutex,))
    process.start()
    process.join()
    assert process.exitcode == 0
    with pytest.warns(namedmap.AbandonedMutexWarning):
        mutex.acquire()
    mutex.release()
    mutex.close()
