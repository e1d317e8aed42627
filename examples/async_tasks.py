"""Tasks of two event loops, in two processes, wait for one event and then take turns under one mutex.

usage: python examples/async_tasks.py [TASKS]          (in each process; default 50)

Each task reads a counter in shared memory, lets others run, and writes it back: without the mutex, updates would be
lost. The mutex belongs to the task that acquired it, so it keeps out the other tasks of the same thread too. On
Linux, one more thread sleeps for the tasks that wait (for each 127 of them); on Windows, each has one while it waits.
"""

import asyncio
import ctypes
import subprocess
import sys
import threading

import namedmap


async def take_a_turn(number: ctypes.c_int64, ready: namedmap.Semaphore, go: namedmap.Event) -> None:
    ready.release()
    await go.wait_async()
    async with namedmap.Mutex("Turns.mutex"):
        value = number.value
        await asyncio.sleep(0)  # the others run
        number.value = value + 1


async def take_turns(number: ctypes.c_int64, tasks: int, starter: bool) -> None:
    ready, go = namedmap.Semaphore("Turns.ready", 0), namedmap.Event("Turns.go")
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
    with namedmap.open_or_create("Turns", 8) as mapping:
        number = mapping.view().overlay(ctypes.c_int64)
        if role == "other":
            asyncio.run(take_turns(number, tasks, False))
            return 0
        with subprocess.Popen([sys.executable, __file__, str(tasks), "other"]):
            asyncio.run(take_turns(number, tasks, True))
        print(f"{number.value} of {2 * tasks} turns were counted")
        return 0 if number.value == 2 * tasks else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50, sys.argv[2] if len(sys.argv) > 2 else "starter"))
