"""Tasks of two event loops, in two processes, wait for one event and then take turns under one mutex.

usage: python examples/async_tasks.py [TASKS]          (in each process; default 50)

Each task reads a counter in shared memory, lets others run, and writes it back: without the mutex, updates would be
lost. The mutex belongs to the task that acquired it, so it keeps out the other tasks of the same thread too. One more
thread sleeps for the tasks that wait (for each 127 of them).
"""

import asyncio
import ctypes
import subprocess
import sys
import threading

import namedmap
from namedmap.win32 import (
    FILE_MAP_WRITE,
    INVALID_HANDLE_VALUE,
    PAGE_READWRITE,
    CreateFileMapping,
    MapViewOfFile,
)


def counter() -> ctypes.c_int64:
    """A number in shared memory, made or found; it is held until the process ends."""
    hMap = CreateFileMapping(INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, 8, "Turns")
    address = None if hMap is None else MapViewOfFile(hMap, FILE_MAP_WRITE, 0, 0, 0)
    if address is None:
        raise namedmap.errors.last(by_name=True)
    return ctypes.c_int64.from_address(address)


async def take_a_turn(number: ctypes.c_int64, ready: namedmap.Semaphore, go: namedmap.Event) -> None:
    ready.release()
    await go.wait_async()
    async with namedmap.Mutex("Turns.mutex"):
        value = number.value
        await asyncio.sleep(0)  # the others run
        number.value = value + 1


async def take_turns(tasks: int, starter: bool) -> None:
    number, ready, go = counter(), namedmap.Semaphore("Turns.ready", 0), namedmap.Event("Turns.go")
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(take_a_turn(number, ready, go))
        if starter:
            for _ in range(2 * tasks):  # in both processes
                await ready.acquire_async()
            go.set()
    # In one piece, since another process says the same.
    print(f"{tasks} tasks took their turns, in {threading.active_count()} threads\n", end="", flush=True)


def main(tasks: int, role: str) -> int:
    if role == "other":
        asyncio.run(take_turns(tasks, False))
        return 0
    number = counter()
    with subprocess.Popen([sys.executable, __file__, str(tasks), "other"]):
        asyncio.run(take_turns(tasks, True))
    print(f"{number.value} of {2 * tasks} turns were counted")
    return 0 if number.value == 2 * tasks else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50, sys.argv[2] if len(sys.argv) > 2 else "starter"))
