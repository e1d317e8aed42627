"""Semaphores: producers and consumers of a ring."""

import random
import time
from collections.abc import Callable
from functools import partial

from crews import PAUSE, auto_event, count_of, demand, mutex, queued, semaphore, succeeded, view, waited
from crews.scenario import ABANDONED, IDLE, LEAVING, OWNING, READY, STOP, TAKEN, WANTING, Scenario, linger, wait_somehow
from namedmap import win32


class Ring(Scenario):
    """Producers and consumers with a semaphore for free slots, one for used slots, and a ring in a shared view.

    Item n goes to slot n % SLOTS, so a slot that is given out twice, or taken twice, shows at once. One who is killed
    takes at most one slot out of circulation; one who is killed in a wait, none. In the mode "waiting" one side pauses
    until all of the other block; some of these are stopped, things go on, and they are killed.
    """

    name = "ring"
    modes = ("none", "waiting", "random")
    SLOTS, SIDES = 24, (("producer", 3), ("consumer", 4))
    RESTING = 5
    #: In the view: the number of items that were ever put in and taken out, and the ring.
    HEAD, TAIL, SLOT = range(3)
    #: On the board. The sights of the keeper (two of the first six: by side):
    PUT, TAKEN_OUT, FREE, USED, WAIT_FREE, WAIT_USED, TICK = range(7)
    #: The wishes of the parent: a side (1, 2) to rest; so many consumers to end.
    PAUSED, CLOSING = 7, 8

    def run(self) -> str:
        self.items = self.scaled(3000)
        rounds = self.scaled(6) if self.mode == "waiting" else 0
        self.seen = self.prepare(9)
        self.sides: dict[int, int] = {}
        self.begin()
        dead = 0
        while self.seen[self.PUT] < self.items or self.seen[self.USED] or self._crew(0):
            self._replace()
            if rounds and self.seen[self.PUT] * (self.scaled(6) + 1) >= self.items * (self.scaled(6) + 1 - rounds):
                dead += self._kill_waiters(rounds % 2)
                rounds -= 1
            if self.unclear + self.owning < self.SLOTS // 2:
                self.kill_some(0.001)
            self.crew.reap()
            self.crew.watch(tuple(self.seen[: self.FREE]))
            time.sleep(PAUSE)
        demand(dead or self.mode != "waiting", "nobody was killed")
        self.seen[self.CLOSING] = len(self._crew(1))
        self.crew.until(lambda: not (self.crew.reap(), self._crew(1))[1], lambda: len(self.crew.running))
        self.end()
        return self._judge()

    def _crew(self, side: int) -> list[int]:
        return [pid for pid in sorted(self.crew.running) if self.sides.get(pid) == side]

    def _replace(self) -> None:
        for side, (label, number) in enumerate(self.SIDES):
            if side == 0 and self.seen[self.PUT] >= self.items:
                continue
            for _ in range(number - len(self._crew(side))):
                one = len(self.ids)
                pid = self.crew.start(f"{label} {one}", partial(self._work, side, one))
                self.ids[pid], self.sides[pid] = range(one, one + 1), side

    def _kill_waiters(self, side: int) -> int:
        """Let all of one side block, stop all but one, let the others go on, kill the stopped; how many."""
        self.seen[self.PAUSED] = 2 - side
        crew = self._crew(side)
        self.crew.until(self._all_rest(1 - side), lambda: tuple(self.seen[: self.FREE]))
        tick = self.seen[self.TICK]
        self.crew.until(
            lambda: (
                self.seen[self.PUT] >= self.items
                or (self.seen[self.TICK] > tick + 1 and self.seen[self.WAIT_FREE + side] == len(crew))
            ),
            lambda: tuple(self.seen[: self.FREE]),
        )
        victims = self.crew.random.sample(crew, len(crew) - 1) if self.seen[self.PUT] < self.items else []
        for pid in victims:
            self.crew.stop(pid)
        before = tuple(self.seen[: self.FREE])
        self.seen[self.PAUSED] = 0
        # A process that was stopped while it held a guard makes all others wait: then there is nothing to see.
        for _ in range(500):
            if tuple(self.seen[: self.FREE]) != before:
                break
            time.sleep(PAUSE)
        return sum([self.kill(pid) for pid in victims])

    def _all_rest(self, side: int) -> Callable[[], bool]:
        def rest() -> bool:
            self.crew.reap()
            return all(self.state[one] == self.RESTING for pid in self._crew(side) for one in self.ids[pid])

        return rest

    def _judge(self) -> str:
        lost = self.SLOTS - self.seen[self.FREE] - self.seen[self.USED]
        least, most = (0, 0) if self.mode != "random" else (self.owning, self.owning + self.unclear)
        demand(self.seen[self.PUT] == self.items, f"{self.seen[self.PUT]} of {self.items} items were produced")
        stuck = self.seen[self.PUT] - self.seen[self.TAKEN_OUT]
        demand(least <= lost <= most, f"{lost} slots are lost, not {least} to {most}")
        demand(0 <= stuck <= most, f"{stuck} items were not consumed; at most {most} could be held back")
        return f"{self.items} items, {lost} slots lost with {self.crew.kills} killed processes"

    # -- workers --

    def keep(self) -> None:
        with view("kills.ring", self.SLOT + self.SLOTS) as memory:
            free, used = self._semaphores()
            held = mutex("kills.head"), mutex("kills.tail")
            self.words[READY] = 1
            posted = 0
            while not self.words[STOP]:
                self._look(memory, free, used)
                if self.seen[self.CLOSING] and not posted:
                    posted = self.seen[self.CLOSING]
                    succeeded(win32.ReleaseSemaphore(used, posted, None), "ReleaseSemaphore")
                time.sleep(PAUSE)
            while self._consume(free, memory) if waited(win32.WaitForSingleObject(used, 0), "used") == TAKEN else False:
                pass
            for one in held:
                demand(win32.WaitForSingleObject(one, 0) in (TAKEN, ABANDONED), "somebody dead owns a mutex")
                succeeded(win32.ReleaseMutex(one), "ReleaseMutex")
            self._look(memory, free, used)

    def _look(self, memory: memoryview, free: int, used: int) -> None:
        self.seen[self.PUT], self.seen[self.TAKEN_OUT] = memory[self.HEAD], memory[self.TAIL]
        self.seen[self.FREE], self.seen[self.USED] = count_of(free), count_of(used)
        self.seen[self.WAIT_FREE], self.seen[self.WAIT_USED] = queued(free), queued(used)
        self.seen[self.TICK] += 1

    def _semaphores(self) -> tuple[int, int]:
        return semaphore("kills.free", self.SLOTS, self.SLOTS), semaphore("kills.used", 0, self.SLOTS)

    def _work(self, side: int, one: int) -> None:
        with view("kills.ring", self.SLOT + self.SLOTS) as memory:
            free, used = self._semaphores()
            lock, never = mutex(("kills.head", "kills.tail")[side]), auto_event("kills.never", False)
            source, target = ((free, used), (used, free))[side]
            while True:
                while self.seen[self.PAUSED] == side + 1:
                    self.state[one] = self.RESTING
                    time.sleep(PAUSE)
                self.state[one] = WANTING
                self._take(source, lock, never)
                self.state[one] = OWNING
                linger()
                more = self._step(side, memory)
                succeeded(win32.ReleaseMutex(lock), "ReleaseMutex")
                self.state[one] = LEAVING
                if more or side == 0:
                    succeeded(win32.ReleaseSemaphore(target if more else source, 1, None), "ReleaseSemaphore")
                self.state[one] = IDLE
                if not more:
                    return

    def _take(self, source: int, lock: int, never: int) -> None:
        """A slot, and the mutex of this side; sometimes both at once."""
        if self.mode != "waiting" and random.random() < 0.3:
            both = win32.WaitForMultipleObjects(2, [source, lock], True, win32.INFINITE)
            result = waited(both, "a slot and the mutex")
        else:
            demand(wait_somehow(source, never) == TAKEN, "a semaphore is reported as abandoned")
            result = waited(win32.WaitForSingleObject(lock, win32.INFINITE), "the mutex")
        demand(result == TAKEN or (result == ABANDONED and self.mode == "random"), f"the wait gave {result:#x}")

    def _step(self, side: int, memory: memoryview) -> bool:
        """Put an item in or take one out; False if there is nothing more to do."""
        if side == 1:
            return not self.seen[self.CLOSING] and self._consume(None, memory)
        head = memory[self.HEAD]
        if head == self.items:
            return False
        demand(head - memory[self.TAIL] < self.SLOTS, f"item {head} is put into a slot that is in use")
        memory[self.SLOT + head % self.SLOTS] = self._item(head)
        memory[self.HEAD] = head + 1
        return True

    def _consume(self, free: int | None, memory: memoryview) -> bool:
        tail = memory[self.TAIL]
        demand(tail < memory[self.HEAD], f"item {tail} is taken, but was not put in")
        found = memory[self.SLOT + tail % self.SLOTS]
        demand(found == self._item(tail), f"item {tail} was overwritten")
        linger()
        memory[self.TAIL] = tail + 1
        if free is not None:
            succeeded(win32.ReleaseSemaphore(free, 1, None), "ReleaseSemaphore")
        return True

    def _item(self, number: int) -> int:
        return (number + 1) * 0x9E3779B97F4A7C15 % 2**64
