"""Processes with the compiled core and without it use one mutex, or one semaphore, and some of them are killed.

    python -m programs.lock_free mutex|semaphore KILLS

Eight workers, every other one without the core, add to a plain counter in a shared view: under the mutex, or with one
unit of a semaphore of 1. One after the other, KILLS of them are killed wherever they are, and replaced. At the end the
counter must be what the workers have counted themselves, but for the last step of each that was killed.
"""

import os
import random
import signal
import subprocess
import sys
import time
import warnings

import namedmap

WORKERS = 8
NAME = "lock-free"
#: 8 bytes each: the shared counter, then the steps of each worker, as many as there will ever be.
COUNTER, OWN = 0, 8


def work(kind: str, number: int) -> None:
    """Step after step until somebody ends this process."""
    warnings.simplefilter("ignore", namedmap.AbandonedMutexWarning)
    view = namedmap.open(f"{NAME}.memory").view()
    numbers = view.buf.cast("q")
    lock = namedmap.Mutex.open(NAME) if kind == "mutex" else namedmap.Semaphore.open(NAME)
    stop = namedmap.Event.open(f"{NAME}.stop")
    print("ready", flush=True)
    own = OWN // 8 + number
    while not stop.is_set():
        for _ in range(50):
            with lock:
                numbers[own] += 1  # first: a kill in between leaves it one ahead
                numbers[0] += 1


def start(kind: str, number: int) -> "subprocess.Popen[bytes]":
    surroundings = os.environ | {"NAMEDMAP_NATIVE": "01"[number % 2]}
    command = [sys.executable, "-m", "programs.lock_free", kind, "work", str(number)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=surroundings)


def hear(worker: "subprocess.Popen[bytes]") -> None:
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"


def main(kind: str, kills: int) -> None:
    memory = namedmap.create(f"{NAME}.memory", OWN + 8 * (WORKERS + kills))
    numbers = memory.view().buf.cast("q")
    lock = namedmap.Mutex(NAME) if kind == "mutex" else namedmap.Semaphore(NAME, 1, 1)
    stop = namedmap.Event(f"{NAME}.stop")
    workers = [start(kind, number) for number in range(WORKERS)]
    for worker in workers:
        hear(worker)
    killed = 0
    for number in range(WORKERS, WORKERS + kills):
        before = numbers[0]
        while numbers[0] < before + 500:  # the others go on
            assert all(worker.poll() is None for worker in workers)
            time.sleep(0.001)
        time.sleep(random.random() / 1000)
        victim = workers.pop(random.randrange(WORKERS))
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        killed += 1
        if kind == "semaphore":
            lock.acquire(5)  # in vain, if the victim had it: what a killed process has taken stays taken, as on Windows
            lock.release()
        workers.append(start(kind, number))
        hear(workers[-1])
    stop.set()
    for worker in workers:
        assert worker.wait() == 0
    ahead = sum(numbers[1:]) - numbers[0]
    print(f"{numbers[0]} steps, {killed} killed, {ahead} of them between two stores")
    assert 0 <= ahead <= killed
    assert numbers[0] > 0
    print("no violation")


if __name__ == "__main__":
    if sys.argv[2] == "work":
        work(sys.argv[1], int(sys.argv[3]))
    else:
        main(sys.argv[1], int(sys.argv[2]))
