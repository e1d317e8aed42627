"""Runs cases, each in a process of its own with an empty directory and an empty root for object files."""

import os
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from queue import Empty, SimpleQueue

import host
from channel import DriverGone, Keeper
from scoring import Case, Waivers, changes_state, matches, unsupported

NOT_REACHED = "not reached"
_ENDED = "exit=0"


class Verdict(Enum):
    PASSED = "passed"
    FAILED = "failed"
    WAIVED = "waived"
    UNSUPPORTED = "unsupported"


@dataclass
class Outcome:
    """The outcome of one case: a result for each index, and what was wrong with the end of its process."""

    case: Case
    got: list[str]
    unsupported: set[int]
    waivers: dict[int, str]
    ending: str | None = None

    def verdict(self, index: int) -> Verdict:
        if index in self.unsupported:
            return Verdict.UNSUPPORTED
        if matches(self.case.expect[index], self.got[index]):
            return Verdict.PASSED
        return Verdict.WAIVED if index in self.waivers else Verdict.FAILED

    def indices(self, verdict: Verdict) -> list[int]:
        return [index for index in range(len(self.got)) if self.verdict(index) is verdict]

    @property
    def needless(self) -> list[int]:
        """Waivers of results that do not differ, or that do not exist."""
        return sorted(set(self.waivers) - set(self.indices(Verdict.WAIVED)))

    @property
    def clean(self) -> bool:
        return not self.indices(Verdict.FAILED) and self.ending is None


#: There is no order among threads that wait. The recorded one is Windows' own, which a quiet machine shows as well.
_FURTHER_ATTEMPTS = 3


class Runner:
    """`seconds` is how long one command may take before its process counts as hung."""

    def __init__(self, waivers: Waivers, seconds: float) -> None:
        self._waivers = waivers
        self._seconds = seconds
        self._idle: SimpleQueue[Keeper] = SimpleQueue()
        self._stopping = threading.Event()

    def run(self, cases: Iterable[Case], jobs: int) -> Generator[Outcome, None, None]:
        """Run the cases, `jobs` at a time; their outcomes in order."""
        home = os.environ.get("NAMEDMAP_ROOT") or host.ROOT
        with ExitStack() as cleanup:
            work = cleanup.enter_context(_directory(None))
            root = cleanup.enter_context(_directory(home))
            cleanup.callback(self._end_keepers)
            pool = cleanup.enter_context(ThreadPoolExecutor(jobs))
            # Left early, the cases that run stop at their next command, and those that wait never start.
            cleanup.callback(pool.shutdown, cancel_futures=True)
            cleanup.callback(self._stopping.set)
            yield from pool.map(lambda case: self._case(case, work, root), cases)

    def _end_keepers(self) -> None:
        while not self._idle.empty():
            self._idle.get().end()

    def _case(self, case: Case, work: Path, root: Path) -> Outcome:
        """Run a case; one that races its own threads again if it differs, since who is first is up to the machine."""
        outcome = self._attempt(case, work, root)
        for _ in range(_FURTHER_ATTEMPTS):
            if outcome.clean or not any("tasync" in command for command in case.script):
                break
            outcome = self._attempt(case, work, root)
        return outcome

    def _attempt(self, case: Case, work: Path, root: Path) -> Outcome:
        waivers = {index: fact for (name, index), fact in self._waivers.items() if name == case.id}
        outcome = Outcome(case, [NOT_REACHED] * len(case.script), unsupported(case.script, case.expect), waivers)
        with _directory(work) as own_work, _directory(root) as own_root:
            keeper, ending = self._take(), ""
            try:
                keeper.begin(own_work, own_root)
                if self._fill(outcome, keeper):
                    ending = keeper.finish()
                    outcome.ending = None if ending == _ENDED else ending
            finally:
                if ending == _ENDED and host.LASTS:
                    self._idle.put(keeper)
                else:
                    keeper.kill()
        return outcome

    def _take(self) -> Keeper:
        try:
            keeper = self._idle.get_nowait()
        except Empty:
            keeper = Keeper()
        if not host.LASTS:
            # The next script's process starts while this one's runs.
            self._idle.put(Keeper())
        return keeper

    def _fill(self, outcome: Outcome, keeper: Keeper) -> bool:
        """Fill in the results as far as the case goes; whether its process still answers."""
        for index, command in enumerate(outcome.case.script):
            if self._stopping.is_set():
                break
            try:
                outcome.got[index] = keeper.ask(command, self._seconds)
            except DriverGone as gone:
                outcome.got[index] = str(gone)
                return False
            if outcome.verdict(index) is Verdict.FAILED and changes_state(command):
                break
        return True


@contextmanager
def _directory(parent: str | Path | None) -> Iterator[Path]:
    path = tempfile.mkdtemp(prefix="namedmap-replay-", dir=parent)
    try:
        yield Path(path)
    finally:
        host.remove(path)
