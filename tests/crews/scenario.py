"""Crews of processes use objects while some of them are killed: the part that all scenarios share. See `kills`."""

import os
import random
import time
from collections.abc import Callable
from typing import ClassVar

from crews import Crew, board, demand, waited
from namedmap import win32

TAKEN, ABANDONED, TIMEOUT = int(win32.WAIT_OBJECT_0), int(win32.WAIT_ABANDONED), int(win32.WAIT_TIMEOUT)

#: The states that a thread tells of itself. Killed in an unclear state it may or may not have had what it wanted, or
#: had.
IDLE, WANTING, OWNING, LEAVING, DOOMED = range(5)
UNCLEAR = (WANTING, LEAVING)
#: The first words of every board: the run is over; the objects are there; processes that were killed and collected.
STOP, READY, KILLED, FIRST = range(4)
#: Threads of one run, ever.
IDS = 4096


class Scenario:
    """The parent's side of a scenario, and what its workers do."""

    name: ClassVar[str]
    #: When workers may be killed: "none"; "holding" or "waiting", if they do that and nothing else; "random".
    modes: ClassVar[tuple[str, ...]]

    def __init__(self, crew: Crew, scale: float, mode: str) -> None:
        self.crew, self.scale, self.mode = crew, scale, mode
        self.words = board(1)
        self.state = self.words
        #: Threads that were killed in an unclear state, and while they owned something.
        self.unclear = self.owning = 0
        self.ids: dict[int, range] = {}

    def run(self) -> str:
        """Returns what was done, for the summary; raises if anything was violated."""
        raise NotImplementedError

    def keep(self) -> None:
        """A worker that nobody kills: it keeps the objects, and looks after them until STOP."""
        raise NotImplementedError

    def prepare(self, words: int) -> memoryview:
        """Make the board; returns so many words of it for what is the scenario's own."""
        self.words = board(FIRST + IDS + words)
        self.state = self.words[FIRST : FIRST + IDS]
        return self.words[FIRST + IDS :]

    def begin(self) -> None:
        """Start the keeper."""
        self.crew.start("keeper", self.keep)
        self.crew.until(lambda: bool(self.words[READY]), lambda: None)

    def end(self) -> None:
        """Let the keeper end."""
        self.words[STOP] = 1
        self.crew.finish(lambda: None)

    def scaled(self, number: int) -> int:
        return max(1, round(number * self.scale))

    def kill(self, pid: int) -> bool:
        """Kill a worker, and count what its threads were doing."""
        ids = self.ids[pid]
        if not self.crew.kill(pid):
            return False
        self.unclear += sum(self.state[one] in UNCLEAR for one in ids)
        self.owning += sum(self.state[one] in (OWNING, DOOMED) for one in ids)
        self.words[KILLED] += 1
        return True

    def kill_some(self, chance: float) -> list[int]:
        """Kill those who say that they own something and wait to be killed; or anybody, by chance."""
        found = []
        for pid in sorted(self.crew.running.keys() & self.ids.keys()):
            doomed = any(self.state[one] == DOOMED for one in self.ids[pid])
            by_chance = self.mode == "random" and self.crew.random.random() < chance
            if (doomed or by_chance) and self.kill(pid):
                found.append(pid)
        return found

    def doom(self, one: int) -> None:
        """Say that this thread owns something, and wait to be killed."""
        self.state[one] = DOOMED
        while True:
            time.sleep(1)


def linger() -> None:
    """Between two steps: do nothing, let others run, or sleep."""
    choice = random.random()
    if choice < 0.3:
        os.sched_yield()
    elif choice < 0.5:
        time.sleep(random.uniform(0, 0.0005))


def wait_somehow(held: int, never: int, *, briefly: Callable[[], bool] = lambda: True) -> int:
    """Wait until an object is taken, in one of several ways: TAKEN or ABANDONED.

    One way is to wait briefly, again and again, as long as that is allowed: in between nobody waits.
    """
    choice = random.random()
    if choice < 0.6:
        return waited(win32.WaitForSingleObject(held, win32.INFINITE), "an object")
    if choice < 0.8:
        result = waited(win32.WaitForMultipleObjects(2, [never, held], False, win32.INFINITE), "either of two")
        demand(result in (TAKEN + 1, ABANDONED + 1), f"a wait for two gave {result:#x}")
        return result - 1
    while briefly():
        result = waited(win32.WaitForSingleObject(held, random.randrange(20)), "an object, not for long")
        if result != TIMEOUT:
            return result
    return waited(win32.WaitForSingleObject(held, win32.INFINITE), "an object")
