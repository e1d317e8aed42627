"""An auto-reset event, and who is woken by it."""

import time
from functools import partial

from crews import PAUSE, auto_event, demand, queued, run_threads, succeeded, waited
from crews.scenario import IDS, READY, STOP, TAKEN, Scenario, wait_somehow
from namedmap import win32


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
        self.handshakes = self.scaled(2000 if self.mode == "waiting" else 20_000)
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
            # A waiter that was stopped while it held a guard makes the setter wait: then it is killed a bit later.
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
            self.own[self.BLOCKED] = queued(event)
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
