"""What crews of processes do with mutexes, semaphores and events while some of them are killed. See `kill_work`."""

import os
import random
import time
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from kill_support import (
    PAUSE,
    Crew,
    auto_event,
    board,
    count_of,
    demand,
    enlisted,
    is_set,
    mutex,
    run_threads,
    semaphore,
    succeeded,
    view,
    waited,
)
from namedmap import win32

TAKEN, ABANDONED, TIMEOUT = int(win32.WAIT_OBJECT_0), int(win32.WAIT_ABANDONED), int(win32.WAIT_TIMEOUT)

#: What a thread says of itself. Killed in an unclear state it may or may not have had what it wanted, or had.
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
    """What a thread does between two steps: nothing, lets others run, or sleeps."""
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


# -- one mutex ---------------------------------------------------------------------------------------------------------


class Counter(Scenario):
    """Threads of many processes increment a plain counter in a shared view, under one mutex.

    Each ownership has an entry in a log: who, whether it was reported as abandoned, and that he was about to leave. So
    the owner after one who was killed knows, without the mutex, what he must have been told. An increment is stored in
    the counter, then counted (DONE): the owner after one who was killed counts a last store that took place.
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
        # Who may be killed at any time has more to do, so that it is killed before its end.
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


# -- semaphores: a ring ------------------------------------------------------------------------------------------------


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
    #: On the board. What the keeper sees (two of the first six: by side):
    PUT, TAKEN_OUT, FREE, USED, WAIT_FREE, WAIT_USED, TICK = range(7)
    #: What the parent wants: a side (1, 2) to rest; so many consumers to end.
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
        # One who was stopped while he held a guard makes all others wait: then there is nothing to see.
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
        self.seen[self.WAIT_FREE], self.seen[self.WAIT_USED] = enlisted(free), enlisted(used)
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


# -- waits for all -----------------------------------------------------------------------------------------------------


class All(Scenario):
    """Processes wait for all of five objects, of all kinds; whoever gets them has them alone.

    The keeper now and then takes the mutex that winners release last. Then nobody is inside, and the other four must be
    there: no wait has taken some of them and not all. What is lost with a killed winner the keeper puts back.
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
            # Who was killed is collected, and has lost all that he had, before that is counted.
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


# -- an auto-reset event -----------------------------------------------------------------------------------------------


class Wakes(Scenario):
    """An auto-reset event wakes exactly as often as it is set.

    First each set is acknowledged before the next. Then, again and again, all waiters block, and the event is set as
    often as there are waiters (or less), without a pause. In the mode "waiting" some waiters are stopped before that,
    and killed after it: their wakes go to others.
    """

    name = "event"
    modes = ("none", "waiting")
    PROCESSES, THREADS = 3, 2
    #: On the board: sets; waiters that the keeper sees; sets that the parent asks for; the keeper's looks; wakes.
    SETS, BLOCKED, ASKED, TICK, WAKES = range(5)

    def run(self) -> str:
        self.own = self.prepare(self.WAKES + IDS)
        self.wakes = self.own[self.WAKES :]
        self.handshakes = self.scaled(2000 if self.mode == "waiting" else 100_000)
        self.begin()
        self._replace()
        self.crew.until(lambda: self.own[self.SETS] == self.handshakes, lambda: self.own[self.SETS], 0.01)
        self._settle()
        demand(sum(self.wakes) == self.handshakes, f"{sum(self.wakes)} wakes for {self.handshakes} sets")
        rounds, sets = self.scaled(10 if self.mode == "waiting" else 150), 0
        for turn in range(rounds):
            sets += self._round(1 + turn % self.PROCESSES if self.mode == "waiting" else 0)
        for pid in self.crew.running.keys() & self.ids:
            self.crew.kill(pid)  # they wait for ever
        self.end()
        return f"{self.own[self.SETS]} sets, {sets} of them in {rounds} rounds without a pause, {sum(self.wakes)} wakes"

    def _replace(self) -> None:
        while len(self.crew.running) <= self.PROCESSES:
            one = len(self.ids) * self.THREADS
            pid = self.crew.start(f"waiter {one}", partial(self._wait, one))
            self.ids[pid] = range(one, one + self.THREADS)

    def _settle(self) -> None:
        """Until all waiters block, and nothing is left for them."""
        expected = self.THREADS * len(self.crew.running.keys() & self.ids)
        tick = self.own[self.TICK]

        def settled() -> bool:
            return self.own[self.TICK] > tick + 2 and self.own[self.BLOCKED] == expected

        self.crew.until(settled, lambda: sum(self.wakes))

    def _round(self, dead: int) -> int:
        self._replace()
        self._settle()
        waiters = sorted(self.crew.running.keys() & self.ids)
        victims = self.crew.random.sample(waiters, min(dead, len(waiters) - 1))
        for pid in victims:
            self.crew.stop(pid)
        lost = self.THREADS * len(victims)
        sets = self.THREADS * len(waiters) if victims else self.crew.random.randint(1, self.THREADS * len(waiters))
        before = sum(self.wakes)
        self.own[self.ASKED] = sets
        if victims:
            # Who was stopped while he held a guard makes the setter wait: then he is killed a bit later.
            for _ in range(500):
                if not self.own[self.ASKED]:
                    break
                time.sleep(PAUSE)
            for pid in victims:
                self.kill(pid)
        self.crew.until(lambda: not self.own[self.ASKED], lambda: None)
        self.crew.until(lambda: sum(self.wakes) >= before + sets - lost, lambda: sum(self.wakes))
        self._settle()
        demand(sum(self.wakes) <= before + sets, f"{sum(self.wakes) - before} wakes for {sets} sets")
        return sets

    # -- workers --

    def keep(self) -> None:
        """The setter."""
        event, answer = auto_event("kills.event", False), auto_event("kills.answer", False)
        self.words[READY] = 1
        while self.own[self.SETS] < self.handshakes:
            self.own[self.SETS] += 1
            result = win32.SignalObjectAndWait(event, answer, win32.INFINITE, False)
            demand(waited(result, "an answer") == TAKEN, "an answer")
        while not self.words[STOP]:
            asked = self.own[self.ASKED]
            for _ in range(asked):
                succeeded(win32.SetEvent(event), "SetEvent")
            if asked:  # else the parent may be asking at this moment
                self.own[self.SETS] += asked
                self.own[self.ASKED] = 0
            self.own[self.BLOCKED] = enlisted(event)
            self.own[self.TICK] += 1
            time.sleep(PAUSE)

    def _wait(self, first: int) -> None:
        event, answer = auto_event("kills.event", False), auto_event("kills.answer", False)
        never = auto_event("kills.never", False)
        run_threads(*(partial(self._count, one, event, answer, never) for one in range(first, first + self.THREADS)))

    def _count(self, one: int, event: int, answer: int, never: int) -> None:
        # In the rounds all have to wait without a break: an event that is set twice while one waits stays set once.
        while True:
            result = wait_somehow(event, never, briefly=lambda: self.own[self.SETS] < self.handshakes)
            demand(result == TAKEN, "an event is reported as abandoned")
            self.wakes[one] += 1
            if self.own[self.SETS] <= self.handshakes:
                succeeded(win32.SetEvent(answer), "SetEvent")


SCENARIOS: dict[str, type[Scenario]] = {kind.name: kind for kind in (Counter, Ring, All, Tokens, Wakes)}
