"""One mutex: its owners, killed or not, are told apart by a log."""

import random
import time
from functools import partial

from crews import PAUSE, auto_event, demand, mutex, run_threads, succeeded, view, waited
from crews.scenario import (
    ABANDONED,
    IDLE,
    IDS,
    LEAVING,
    OWNING,
    READY,
    STOP,
    TAKEN,
    WANTING,
    Scenario,
    linger,
    wait_somehow,
)
from namedmap import win32


class Counter(Scenario):
    """Threads of many processes increment a plain counter in a shared view, under one mutex.

    Each ownership has an entry in a log: its owner, whether it was reported as abandoned, and that the owner was about
    to leave. So the owner after one that was killed knows, without the mutex, what it must have been told. An increment
    is stored in the counter, then counted (DONE): the owner after one that was killed counts a last store that took
    place.
    """

    name = "mutex"
    modes = ("none", "holding", "random")
    PROCESSES, THREADS, EACH = 8, 2, 50
    ENTRIES = 1 << 17
    LEFT, REPORTED = 1 << 32, 1 << 33

    def run(self) -> str:
        own = self.prepare(1 + IDS + self.ENTRIES)
        self.length, self.done, self.log = own[:1], own[1 : 1 + IDS], own[1 + IDS :]
        self.begin()
        # A worker that may be killed at any time has more to do, so that it is killed before its end.
        self.each = self.EACH * (4 if self.mode == "random" else 1)
        total = self.scaled(40)
        while len(self.ids) < total or len(self.crew.running) > 1:
            while len(self.crew.running) <= self.PROCESSES and len(self.ids) < total:
                self._start(len(self.ids))
            self.kill_some(0.005)
            self.crew.reap()
            self.crew.watch((self.length[0], len(self.ids)))
            time.sleep(PAUSE)
        self.end()
        return self._judge()

    def _start(self, index: int) -> None:
        doomed = self.mode == "holding" and index % 4 == 3
        ids = range(index * self.THREADS, (index + 1) * self.THREADS)
        self.ids[self.crew.start(f"worker {index}", partial(self._work, ids, doomed))] = ids

    def _judge(self) -> str:
        entries = list(self.log[: self.length[0]])
        reported = sum(bool(entry & self.REPORTED) for entry in entries)
        if self.mode == "holding":
            demand(self.crew.kills and self.crew.kills * 10 >= len(self.ids), "too few were killed")
            demand(self.owning == self.crew.kills, f"{self.owning} of {self.crew.kills} were killed as owners")
            demand(reported == self.crew.kills, f"{reported} reports for {self.crew.kills} killed owners")
        demand(
            self.owning <= reported <= self.owning + self.unclear,
            f"{reported} reports for {self.owning} killed owners and {self.unclear} who may have been",
        )
        expected = (len(self.ids) - self.crew.kills) * self.THREADS * self.each
        done = sum(self.done)
        demand(done >= expected, f"{done} increments, those who were not killed have done {expected}")
        return f"{done} increments by {len(self.ids)} processes, {reported} reported as abandoned"

    # -- workers --

    def keep(self) -> None:
        with view("kills.counter", 1) as memory:
            lock = mutex("kills.mutex")
            self.words[READY] = 1
            while not self.words[STOP]:
                time.sleep(PAUSE)
            result = waited(win32.WaitForSingleObject(lock, 0), "a mutex that nobody has")
            self._enter(IDS - 1, result, memory)
            demand(win32.ReleaseMutex(lock), "ReleaseMutex")

    def _work(self, ids: range, doomed: bool) -> None:
        with view("kills.counter", 1) as memory:
            lock, never = mutex("kills.mutex"), auto_event("kills.never", False)
            at = random.randrange(self.each) if doomed else -1
            dooms = (at, *[-1] * (self.THREADS - 1))
            run_threads(
                *(partial(self._count, one, doom, lock, never, memory) for one, doom in zip(ids, dooms, strict=True))
            )

    def _count(self, one: int, doom: int, lock: int, never: int, memory: memoryview) -> None:
        for turn in range(self.each):
            self.state[one] = WANTING
            result = wait_somehow(lock, never)
            entry = self._enter(one, result, memory)
            self.state[one] = OWNING
            self._increment(one, entry, memory, random.randrange(2) if turn == doom else -1)
            self.log[entry] |= self.LEFT
            self.state[one] = LEAVING
            succeeded(win32.ReleaseMutex(lock), "ReleaseMutex")
            self.state[one] = IDLE

    def _enter(self, one: int, result: int, memory: memoryview) -> int:
        """Write down an ownership; the number of its entry."""
        entry = self.length[0]
        before = self.log[entry - 1] if entry else self.LEFT
        demand(result in (TAKEN, ABANDONED), f"the wait gave {result:#x}")
        if not before & self.LEFT:
            demand(result == ABANDONED, "there is a second owner, or the death of an owner was not reported")
            victim = before & 0xFFFFFFFF
            if memory[0] == sum(self.done) + 1:
                self.done[victim] += 1
        elif self.mode != "random":
            demand(result == TAKEN, "a mutex that its owner has released is reported as abandoned")
        demand(memory[0] == sum(self.done), f"the counter is {memory[0]} after {sum(self.done)} increments")
        self.log[entry] = one | (self.REPORTED if result == ABANDONED else 0)
        self.length[0] = entry + 1
        return entry

    def _increment(self, one: int, entry: int, memory: memoryview, doom: int) -> None:
        value = memory[0]
        linger()
        if doom == 0:
            self.doom(one)
        memory[0] = value + 1
        if doom == 1:
            self.doom(one)
        demand(self.length[0] == entry + 1, "there is a second owner")
        demand(memory[0] == value + 1, "somebody else has changed the counter")
        self.done[one] += 1
