"""Two accounts in shared memory, changed by several processes under a named mutex until an event tells them to stop.

usage: python examples/guarded_block.py

One of the processes is killed in the middle of a transfer, while it holds the mutex. The next owner of the mutex is
told so, and puts the accounts right.
"""

import ctypes
import random
import subprocess
import sys
import time
import warnings

import namedmap

TOTAL = 1000


class ACCOUNTS(ctypes.Structure):
    """Their sum is TOTAL, whenever nobody holds the mutex."""

    _fields_ = [("first", ctypes.c_int64), ("second", ctypes.c_int64), ("transfers", ctypes.c_int64)]


def acquired(mutex: namedmap.Mutex, block: ACCOUNTS) -> None:
    """The first thing to do with the mutex: if its last owner died, put right what it may have left half done."""
    if mutex.abandoned:
        print(f"a process died in a transfer: {TOTAL - block.first - block.second} were on their way", flush=True)
        block.second = TOTAL - block.first


def work(block: ACCOUNTS, mutex: namedmap.Mutex, stop: namedmap.Event) -> None:
    # The event comes first, so it ends the loop even when the mutex is free.
    while namedmap.wait_any([stop, mutex]) == 1:
        acquired(mutex, block)
        amount = random.randint(-block.second, block.first) // 10
        block.first -= amount
        block.second += amount
        block.transfers += 1
        mutex.release()


def die(block: ACCOUNTS, mutex: namedmap.Mutex) -> None:
    with mutex:
        acquired(mutex, block)
        block.first -= 10
        print("half of it is done", flush=True)
        time.sleep(60)


def direct(block: ACCOUNTS, mutex: namedmap.Mutex, stop: namedmap.Event) -> None:
    block.first = TOTAL
    workers = [subprocess.Popen([sys.executable, __file__, "work"]) for _ in range(2)]
    with subprocess.Popen([sys.executable, __file__, "die"], stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        while victim.stdout.readline().strip() != b"half of it is done":
            pass
        victim.kill()
    time.sleep(0.5)
    stop.set()
    for worker in workers:
        worker.wait()
    with mutex:
        acquired(mutex, block)
        print(f"{block.transfers} transfers; {block.first} + {block.second} = {block.first + block.second}")


def main(role: str = "direct") -> None:
    mutex, stop = namedmap.Mutex("Accounts.mutex"), namedmap.Event("Accounts.stop")
    # `acquired` looks at it; otherwise the warning would tell.
    warnings.simplefilter("ignore", namedmap.AbandonedMutexWarning)
    with namedmap.open_or_create("Accounts", ctypes.sizeof(ACCOUNTS)) as mapping:
        block = mapping.view().overlay(ACCOUNTS)
        if role == "work":
            work(block, mutex, stop)
        elif role == "die":
            die(block, mutex)
        else:
            direct(block, mutex, stop)


if __name__ == "__main__":
    main(*sys.argv[1:2])
