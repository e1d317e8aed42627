"""The processor time of waiting: many tasks that want one lock, and waiters for something that does not come."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import contention
import lockpeers
import partners
from lockpeers import EVENT, FILELOCK, MULTIPROCESSING, MUTEX, PORTALOCKER, POSIX_IPC
from modes import Modes
from report import Table, Target
from rounds import Series

#: Percent of a core that an idle waiter may take.
IDLE = 0.5
#: Objects in one wait, and waiting tasks in one program.
MANY_OBJECTS, MANY_TASKS = 64, 100
#: Tasks that want one lock, or wait for one event; how much more processor time than with asyncio.Lock that may take,
#: beside the pairs, and how many percent of a core the tasks together, idle.
CROWD, CROWD_TIMES = 1000, 5.0

_WHY_CROWD = "A task that finds the lock taken waits in Python code; the pairs, which the limit adds, are quick."

#: The locks whose waiters are compared when idle.
_IDLE_LOCKS = (MUTEX, f"{MULTIPROCESSING}.Lock", POSIX_IPC, FILELOCK, PORTALOCKER)


def crowd(modes: Modes, rounds: int) -> Table:
    """Processor time of many tasks that want the same lock."""
    own, other = f"namedmap.Mutex, {CROWD:,} tasks", f"asyncio.Lock, {CROWD:,} tasks"
    pairs = f"namedmap.Mutex, {CROWD:,} pairs without tasks"
    with contextlib.ExitStack() as stack:
        processes = {}
        for mode in (worker.mode for worker in modes):
            for name, way in ((own, partners.mutex_in_tasks), (pairs, partners.pairs)):
                with mode.chosen():
                    processes[mode.row(name)] = stack.enter_context(partners.partner(partners.crowd, way))
        processes[other] = stack.enter_context(partners.partner(partners.crowd, partners.lock_in_tasks))
        for process in processes.values():
            process.answer()
        rows = {name: Series(name) for name in processes}
        for _ in range(rounds):
            for name, process in processes.items():
                process.send(CROWD)
                rows[name].samples.append(process.answer() * 1000)
    text = (
        f"{CROWD:,} tasks of asyncio pass through one lock, each of them across one `sleep(0)`: processor time of the "
        "process, user and system, of all its threads. asyncio.Lock is no lock between processes."
    )
    table = Table(f"{CROWD:,} tasks through one lock", text, list(rows.values()), [], unit="ms of a processor")
    for mode in (worker.mode for worker in modes):
        row = mode.row(own)
        limit = CROWD_TIMES * rows[other].median + rows[mode.row(pairs)].median
        name = f"target: {row}: at most {CROWD_TIMES:g}x {other} and the pairs"
        table.targets.append(Target(name, limit, rows[row].median, unit=" ms", mode=mode.name, why=_WHY_CROWD))
    return table


def idle(root: Path, modes: Modes, rounds: int, seconds: float) -> Table:
    """Processor time of processes that wait for something that does not come."""
    many_tasks = f"namedmap in asyncio, {MANY_TASKS} tasks, an event each"
    event, mutex = lockpeers.our_events("idle")[0], lockpeers.our_locks("idle")[0]
    ours: dict[str, tuple[Callable[[Any, float], float], object]] = {
        EVENT: (partners.wait_for_one, event),
        MUTEX: (partners.wait_for_one, mutex),
        f"namedmap.wait_any, {MANY_OBJECTS} events": (partners.wait_for_any, MANY_OBJECTS),
        f"namedmap.wait_all, {MANY_OBJECTS} events": (partners.wait_for_all, MANY_OBJECTS),
        "namedmap.win32, the end of a process": (partners.wait_for_process, os.getpid()),
        "namedmap in asyncio, a task": (partners.wait_in_tasks, 1),
        many_tasks: (partners.wait_in_tasks, MANY_TASKS),
        f"namedmap in asyncio, {CROWD:,} tasks, one event": (partners.wait_for_the_same, CROWD),
    }
    with contextlib.ExitStack() as stack:
        others = [peer for peer in lockpeers.locks(root, stack, "idle") if peer.name in _IDLE_LOCKS]
        waits = []
        for group in contention.groups(modes, [mutex], others):
            with group.chosen():
                stack.enter_context(partners.partner(partners.keep, group.peers, True)).answer()
            theirs = {peer.name: (partners.wait_for_one, peer) for peer in others}
            mode = group.mode
            waits += [
                (name if mode is None else mode.row(name), group, wait)
                for name, wait in (theirs if mode is None else ours).items()
            ]
        rows = {name: Series(name) for name, _, _ in waits}
        for _ in range(rounds):
            with contextlib.ExitStack() as processes:
                started = {}
                for name, group, (wait, what) in waits:
                    with group.chosen():
                        waiter = partners.partner(partners.idle, wait, what, seconds)
                        started[name] = processes.enter_context(waiter)
                for name, process in started.items():
                    rows[name].samples.append(process.answer())
    text = (
        f"A process that waits {seconds:g} s for an event that nobody sets, a lock that another one keeps, or the end "
        "of a process that goes on: its processor time, user and system, of all its threads, in percent of a core. All "
        "rows wait at the same time."
    )
    table = Table("an idle waiter", text, list(rows.values()), [], unit="% of a core", picture="waiting")
    for mode in (worker.mode for worker in modes):
        for name in ours:
            waiters = MANY_TASKS if name == many_tasks else 1
            limit = f"{mode.row(name)}: at most {IDLE:g} % of a core{' for each of them' if waiters > 1 else ''}"
            reached = rows[mode.row(name)].median / waiters
            table.targets.append(Target(f"target: {limit}", IDLE, reached, unit=" %", mode=mode.name))
    return table
