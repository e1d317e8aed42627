"""Waits for all of several objects."""

import random
import time
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from crews import PAUSE, auto_event, count_of, demand, is_set, mutex, semaphore, succeeded, waited
from crews.scenario import (
    ABANDONED,
    IDLE,
    IDS,
    KILLED,
    LEAVING,
    OWNING,
    READY,
    STOP,
    TAKEN,
    TIMEOUT,
    WANTING,
    Scenario,
    linger,
)
from namedmap import win32


class All(Scenario):
    """Processes wait for all of five objects, of all kinds; whoever gets them has them alone.

    The keeper now and then takes the mutex that winners release last. Then nobody is inside, and the other four must be
    there: no wait has taken some of them and not all. The keeper puts back what is lost with a killed winner.
    """

    name = "all"
    modes: ClassVar[tuple[str, ...]] = ("none", "holding", "random")
    PROCESSES, EACH = 8, 12
    #: On the board: who is inside; the workers are to end; what the keeper had to put back: times, times not all.
    INSIDE, OVER, RESTORED, PARTLY, WINS = range(5)

    def run(self) -> str:
        self.own = self.prepare(self.WINS + IDS)
        self.wins = self.own[self.WINS :]
        self.begin()
        wanted = 0 if self.mode == "none" else self.scaled(8)
        each = self.scaled(self.EACH)
        dooms = 0
        while not self.ids or self.crew.kills < wanted or not self._all_have_won(each):
            while len(self.crew.running) <= self.PROCESSES:
                one, doom = len(self.ids), -1
                if self.mode == "holding" and dooms < wanted and (one % 2 or one >= self.PROCESSES):
                    dooms, doom = dooms + 1, self.crew.random.randrange(3)
                self.ids[self.crew.start(f"worker {one}", partial(self._work, one, doom))] = range(one, one + 1)
            if self.crew.kills < wanted:
                self.kill_some(0.002)
            self.crew.reap()
            self.crew.watch(sum(self.wins))
            time.sleep(PAUSE)
        self.own[self.OVER] = 1
        self.crew.until(lambda: not (self.crew.reap(), self.crew.running.keys() & self.ids)[1], lambda: sum(self.wins))
        self.end()
        return self._judge(each)

    def _all_have_won(self, times: int) -> bool:
        return all(self.wins[one] >= times for pid in self.crew.running.keys() & self.ids for one in self.ids[pid])

    def _judge(self, each: int) -> str:
        restored, partly = self.own[self.RESTORED], self.own[self.PARTLY]
        if self.mode == "holding":
            demand(restored == self.owning == self.crew.kills, f"{restored} losses, {self.owning} killed winners")
        demand(
            self.owning <= restored <= self.owning + self.unclear, f"{restored} losses, {self.owning} + {self.unclear}"
        )
        demand(partly <= self.unclear, f"{partly} times only some of the objects were lost")
        return (
            f"{sum(self.wins)} waits for all, {each} or more by each of {self.PROCESSES} processes, {restored} restored"
        )

    # -- workers --

    def _objects(self) -> tuple[int, ...]:
        """The mutex that is released last stands first."""
        return (
            mutex("kills.first"),
            mutex("kills.second"),
            auto_event("kills.event.1", True),
            auto_event("kills.event.2", True),
            semaphore("kills.semaphore", 1, 1),
        )

    def keep(self) -> None:
        objects = self._objects()
        self.words[READY] = 1
        handled = 0
        while not self.words[STOP]:
            handled = self._audit(objects, handled)
            for _ in range(20):
                if self.words[STOP] or self.words[KILLED] != handled:
                    break
                time.sleep(PAUSE)

    def _audit(self, objects: tuple[int, ...], handled: int) -> int:
        """See that all is there when nobody is inside; the number of kills that explain what was not."""
        first, second, *others = objects
        abandoned = waited(win32.WaitForSingleObject(first, win32.INFINITE), "the first mutex") == ABANDONED
        result = waited(win32.WaitForSingleObject(second, 0), "the second mutex")
        missing = self._missing(*others)
        if result == TIMEOUT or missing or self.own[self.INSIDE]:
            demand(self.mode != "none", f"somebody has some of the objects, not all: {result:#x}, {missing}")
            # A process that was killed is collected, and has lost all that it had, before that is counted.
            while self.words[KILLED] == handled:
                time.sleep(PAUSE)
            if result == TIMEOUT:
                result = waited(win32.WaitForSingleObject(second, win32.INFINITE), "the second mutex")
            missing = self._missing(*others)
            if self.mode == "holding":
                demand(abandoned and result == ABANDONED, "an abandoned mutex was not reported")
            self.own[self.RESTORED] += 1
            self.own[self.PARTLY] += len(missing) < len(others)
            self.own[self.INSIDE] = 0
            for one in missing:
                succeeded(one == others[2] or win32.SetEvent(one), "SetEvent")
                succeeded(one != others[2] or win32.ReleaseSemaphore(one, 1, None), "ReleaseSemaphore")
        elif self.mode != "random":
            demand(not abandoned and result == TAKEN, "a mutex that was released is reported as abandoned")
        handled = self.words[KILLED]
        succeeded(win32.ReleaseMutex(second) and win32.ReleaseMutex(first), "ReleaseMutex")
        return handled

    @staticmethod
    def _missing(event: int, other: int, counted: int) -> list[int]:
        return [one for one in (event, other) if not is_set(one)] + [counted] * (count_of(counted) == 0)

    def _work(self, one: int, doom: int) -> None:
        objects = self._objects()
        while not self.own[self.OVER]:
            self.state[one] = WANTING
            handles = random.sample(objects, len(objects))
            timeout = int(win32.INFINITE) if random.random() < 0.7 else random.randrange(20)
            result = waited(win32.WaitForMultipleObjects(len(handles), handles, True, timeout), "all")
            if result != TIMEOUT:
                self.state[one] = OWNING
                self._inside(one, result, objects, doom)
                self.state[one] = LEAVING
                self._leave(objects)
            self.state[one] = IDLE

    def _inside(self, one: int, result: int, objects: tuple[int, ...], doom: int) -> None:
        demand(result == TAKEN or (result == ABANDONED and self.mode == "random"), f"the wait gave {result:#x}")
        demand(self.own[self.INSIDE] == 0, f"{one} has all the objects, and so has {self.own[self.INSIDE] - 1}")
        self.own[self.INSIDE] = one + 1
        linger()
        demand(len(self._missing(*objects[2:])) == 3, "what a wait for all has taken is there all the same")
        if self.wins[one] == doom:
            self.doom(one)
        self.wins[one] += 1
        demand(self.own[self.INSIDE] == one + 1, f"{one} has all the objects, and so has {self.own[self.INSIDE] - 1}")
        self.own[self.INSIDE] = 0

    def _leave(self, objects: tuple[int, ...]) -> None:
        first, second, event, other, counted = objects
        steps: list[tuple[str, Callable[[], bool]]] = [
            ("ReleaseMutex", partial(win32.ReleaseMutex, second)),
            ("SetEvent", partial(win32.SetEvent, event)),
            ("SetEvent", partial(win32.SetEvent, other)),
            ("ReleaseSemaphore", partial(win32.ReleaseSemaphore, counted, 1, None)),
        ]
        random.shuffle(steps)
        steps.append(("ReleaseMutex", partial(win32.ReleaseMutex, first)))
        for what, step in steps:
            succeeded(step(), what)


class Tokens(All):
    """The same without mutexes, each of which would keep others out by itself; nobody is killed."""

    name = "tokens"
    modes = ("none",)
    EACH = 40

    def _objects(self) -> tuple[int, ...]:
        counted = (semaphore(f"kills.semaphore.{number}", 1, 1) for number in (1, 2, 3))
        return (auto_event("kills.event.1", True), auto_event("kills.event.2", True), *counted)

    def keep(self) -> None:
        objects = self._objects()
        self.words[READY] = 1
        while not self.words[STOP]:
            time.sleep(PAUSE)
        found = [*map(is_set, objects[:2]), *map(count_of, objects[2:])]
        demand(found == [True, True, 1, 1, 1], f"in the end the objects are {found}")

    def _inside(self, one: int, result: int, objects: tuple[int, ...], doom: int) -> None:
        demand(result == TAKEN, f"the wait gave {result:#x}")
        demand(self.own[self.INSIDE] == 0, f"{one} has all the objects, and so has {self.own[self.INSIDE] - 1}")
        self.own[self.INSIDE] = one + 1
        linger()
        found = [*map(is_set, objects[:2]), *map(count_of, objects[2:])]
        demand(found == [False, False, 0, 0, 0], f"after a wait for all the objects are {found}")
        demand(self.own[self.INSIDE] == one + 1, f"{one} has all the objects, and so has {self.own[self.INSIDE] - 1}")
        self.wins[one] += 1
        self.own[self.INSIDE] = 0

    def _leave(self, objects: tuple[int, ...]) -> None:
        for one in random.sample(objects, len(objects)):
            if one in objects[:2]:
                succeeded(win32.SetEvent(one), "SetEvent")
            else:
                succeeded(win32.ReleaseSemaphore(one, 1, None), "ReleaseSemaphore")
