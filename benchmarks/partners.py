"""Other processes that wait: one that answers each signal, contenders for a lock, owners to be killed, idle waiters.

Each is a function that runs in a process of its own, with a connection to this one as its first argument.
"""

import asyncio
import contextlib
import mmap
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import namedmap
from lockpeers import Peer, opened, spawn
from namedmap import win32

COUNTER_SIZE = mmap.PAGESIZE
#: Seconds that a process has to end by itself.
_PATIENCE = 10.0


class Partner:
    """A process and the connection to it."""

    def __init__(self, work: Callable[..., None], *arguments: object, daemon: bool = True) -> None:
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_run, args=(work, theirs, *arguments), daemon=daemon)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        found = self._process.pid
        assert found is not None
        return found

    def send(self, request: object) -> None:
        self._connection.send(request)

    def answer(self) -> Any:
        try:
            return self._connection.recv()
        except EOFError:
            raise SystemExit("a child process of the benchmark has failed") from None

    def end(self) -> None:
        """Let it end, which it does when nobody is left who could send it something."""
        self._connection.close()
        self._process.join(_PATIENCE)
        self._process.kill()
        self._process.join()

    def kill(self) -> None:
        """By SIGKILL."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def _run(work: Callable[..., None], connection: Connection, *arguments: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it, and ends this process
    with contextlib.suppress(EOFError):
        work(connection, *arguments)


@contextlib.contextmanager
def partner(work: Callable[..., None], *arguments: object) -> Iterator[Partner]:
    """A process, which is killed at the end."""
    process = Partner(work, *arguments)
    try:
        yield process
    finally:
        process.kill()


# -- ping-pong ---------------------------------------------------------------------------------------------------------


def echo(connection: Connection, ping: Peer, pong: Peer) -> None:
    """Answer each ping with a pong."""
    take, give = ping.open().take, pong.open().give
    connection.send(None)
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    while True:
        take()
        give()


def compute(connection: Connection, core: int) -> None:
    """Keep a core busy."""
    os.sched_setaffinity(0, [core])
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    connection.send(None)
    while True:
        pass


def _end_with_parent(connection: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        connection.recv()
    os._exit(0)


# -- contention --------------------------------------------------------------------------------------------------------


def contend(connection: Connection, peers: Sequence[Peer], counter: Path) -> None:
    """For each (name, start, seconds): add to the counter under that lock; send how often, and the seconds it took."""
    with opened(peers) as pairs, open(counter, "r+b") as file, mmap.mmap(file.fileno(), COUNTER_SIZE) as memory:
        connection.send(None)
        while True:
            name, start, seconds = connection.recv()
            connection.send(_fight(pairs[name].take, pairs[name].give, memory, start, seconds))


def _fight(
    take: Callable[[], object], give: Callable[[], object], memory: mmap.mmap, start: float, seconds: float
) -> tuple[int, float]:
    words = memoryview(memory).cast("q")
    times, now = 0, time.monotonic()
    time.sleep(max(start - now, 0))
    end = start + seconds
    while now < end:
        take()
        words[0] += 1
        give()
        times += 1
        now = time.monotonic()
    words.release()
    return times, now - start


# -- objects that are to stay ------------------------------------------------------------------------------------------


def keep(connection: Connection, peers: Sequence[Peer], taken: bool = False) -> None:
    """Have them open, or taken as well, until killed."""
    with opened(peers) as pairs:
        for pair in pairs.values() if taken else ():
            pair.take()
        connection.send(None)
        connection.recv()


# -- death -------------------------------------------------------------------------------------------------------------


def own(connection: Connection, peer: Peer) -> None:
    """Take it, and keep it until killed."""
    pair = peer.open()
    pair.take()
    connection.send(None)
    connection.recv()


def inherit(connection: Connection, peer: Peer, seconds: float) -> None:
    """Send whether it can be taken within so many seconds."""
    connection.send(peer.open().attempt(seconds))


# -- idle waiters ------------------------------------------------------------------------------------------------------


def idle(connection: Connection, wait: Callable[[Any, float], float], what: object, seconds: float) -> None:
    """Send the processor time that a wait of so many seconds took, in percent of a core."""
    connection.send(wait(what, seconds) / seconds * 100)


def crowd(connection: Connection, way: Callable[[int], float]) -> None:
    """For each number: send the seconds that a way of so many took."""
    connection.send(None)
    while True:
        connection.send(way(connection.recv()))


def wait_for_one(peer: Peer, seconds: float) -> float:
    attempt = peer.open().attempt
    attempt(0.01)
    start = time.process_time()
    attempt(seconds)
    return time.process_time() - start


def wait_for_any(count: int, seconds: float) -> float:
    return _wait_for_events(namedmap.wait_any, count, seconds)


def wait_for_all(count: int, seconds: float) -> float:
    return _wait_for_events(namedmap.wait_all, count, seconds)


def _wait_for_events(wait: Callable[[list[namedmap.Event], float], object], count: int, seconds: float) -> float:
    events = [namedmap.Event(f"{wait.__name__}{index}") for index in range(count)]
    wait(events, 0.01)
    start = time.process_time()
    wait(events, seconds)
    return time.process_time() - start


def wait_for_process(pid: int, seconds: float) -> float:
    process = win32.OpenProcess(win32.SYNCHRONIZE, False, pid)
    if process is None:
        raise OSError(f"process {pid} cannot be waited for: error {win32.GetLastError()}")
    win32.WaitForSingleObject(process, 10)
    start = time.process_time()
    win32.WaitForSingleObject(process, int(seconds * 1000))
    return time.process_time() - start


def mutex_in_tasks(count: int) -> float:
    return _in_tasks(namedmap.Mutex, count)


def lock_in_tasks(count: int) -> float:
    return _in_tasks(asyncio.Lock, count)


def _in_tasks(make: Callable[[], Any], count: int) -> float:
    """The processor time of tasks that each take and give a lock."""

    async def one(lock: Any) -> None:
        async with lock:
            await asyncio.sleep(0)

    async def main() -> None:
        lock = make()
        await asyncio.gather(*[one(lock) for _ in range(count)])

    start = time.process_time()
    asyncio.run(main())
    return time.process_time() - start


def pairs(count: int) -> float:
    mutex = namedmap.Mutex()
    start = time.process_time()
    for _ in range(count):
        mutex.acquire()
        mutex.release()
    return time.process_time() - start


def wait_in_tasks(count: int, seconds: float) -> float:
    return asyncio.run(_wait_in_tasks([namedmap.Event(f"task{index}") for index in range(count)], seconds))


def wait_for_the_same(count: int, seconds: float) -> float:
    return asyncio.run(_wait_in_tasks([namedmap.Event("crowd")] * count, seconds))


async def _wait_in_tasks(events: Sequence[namedmap.Event], seconds: float) -> float:
    tasks = [asyncio.create_task(event.wait_async()) for event in events]
    await asyncio.sleep(0.5)
    start = time.process_time()
    await asyncio.sleep(seconds)
    used = time.process_time() - start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return used
