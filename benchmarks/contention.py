"""Processes that want the same lock all the time, and locks whose owners are killed."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lockpeers
import partners
import processor
from lockpeers import MUTEX, POSIX_IPC, SEMAPHORE, Peer
from modes import WITH, WITHOUT, Mode, Modes
from partners import Partner
from report import Table, number
from rounds import Series, interleaved

#: Processes that contend for a lock.
CONTENDERS = 8
#: As often as with posix_ipc, at least.
AS_OFTEN = 1.0
#: Seconds after which a lock whose owner was killed counts as lost.
PATIENCE = 2.0
SURVIVES = "survives the death of an owner"

_WHY_SEMAPHORE = {
    WITH: "A unit that is given back goes to a waiter that sleeps, as on Windows, by locks that the core takes.",
    WITHOUT: "A unit that is given back goes to a waiter that sleeps, as on Windows; Python code does all of it.",
}
_WHY_MUTEX = {WITHOUT: "Each change is a system call or two, and Python code."}


@dataclass(frozen=True)
class Group:
    """Peers whose processes are of a mode of namedmap's, or are those of other packages."""

    mode: Mode | None
    peers: Sequence[Peer]

    def row(self, peer: Peer) -> str:
        return peer.name if self.mode is None else self.mode.row(peer.name)

    def chosen(self) -> contextlib.AbstractContextManager[None]:
        """Processes that are started meanwhile are of it."""
        return contextlib.nullcontext() if self.mode is None else self.mode.chosen()


def groups(modes: Modes, ours: Sequence[Peer], others: Sequence[Peer]) -> Iterator[Group]:
    """One for each mode, and the others."""
    for worker in modes:
        yield Group(worker.mode, ours)
    yield Group(None, others)


def survivors(root: Path, modes: Modes) -> dict[str, str]:
    """For each lock and semaphore "yes" or "no": whether another process gets it after its owner was killed.

    All at the same time, since the wait for those that stay taken is the longest part.
    """
    ours = [*lockpeers.our_locks("killed"), *lockpeers.our_semaphores("killed", 1)]
    found = {}
    with contextlib.ExitStack() as stack:
        others = [*lockpeers.locks(root, stack, "killed"), *lockpeers.semaphores(stack, "killed", 1)]
        heirs = []
        for group in groups(modes, ours, others):
            with group.chosen():
                stack.enter_context(partners.partner(partners.keep, group.peers)).answer()
                owners = [stack.enter_context(partners.partner(partners.own, peer)) for peer in group.peers]
                for owner in owners:
                    owner.answer()
                    owner.kill()
                heirs += [
                    (group.row(peer), stack.enter_context(partners.partner(partners.inherit, peer, PATIENCE)))
                    for peer in group.peers
                ]
        for row, heir in heirs:
            # A semaphore of posix_ipc serves as a lock and as a semaphore; it has one row, and one fate.
            found[row] = "yes" if heir.answer() else "no"
    return found


@dataclass
class _Fights:
    """Results of the fights for one lock: acquisitions per second, of all, and of each process over all fights."""

    row: str
    peer: str
    crew: Sequence[Partner]
    total: Series = field(init=False)
    seconds: float = 0.0
    processor: float = 0.0
    each: list[int] = field(default_factory=lambda: [0] * CONTENDERS)

    def __post_init__(self) -> None:
        self.total = Series(self.row)

    def fight(self, seconds: float, counter: Path) -> None:
        """For so many seconds; SystemExit if an addition was lost."""
        before, used = _count(counter), self._used()
        start = time.monotonic() + 0.02
        for process in self.crew:
            process.send((self.peer, start, seconds))
        answers = [process.answer() for process in self.crew]
        if sum(times for times, _ in answers) != _count(counter) - before:
            raise SystemExit(f"{self.row} let two processes in at the same time: additions were lost")
        # Until the last one has ended: a lock that is polled is polled some time more.
        took = max(seconds for _, seconds in answers)
        self.total.samples.append(sum(times for times, _ in answers) / took)
        self.seconds += took
        self.processor += self._used() - used
        self.each = [before + times for before, (times, _) in zip(self.each, answers, strict=True)]

    def _used(self) -> float:
        return sum(processor.used_by(process.pid) for process in self.crew)

    def shares(self) -> str:
        return f"{number(min(self.each) / self.seconds)} – {number(max(self.each) / self.seconds)}"

    def cost(self) -> str:
        return number(self.processor / max(sum(self.each), 1) * 1e6)


def contention(
    root: Path, modes: Modes, survivors: dict[str, str], *, rounds: int, seconds: float, longest: float
) -> Table:
    """Many processes that want the same lock all the time: fights of so many seconds."""
    counter = root / "counter"
    counter.write_bytes(bytes(partners.COUNTER_SIZE))
    ours = [*lockpeers.our_locks("fight"), lockpeers.our_semaphores("fight", 1)[0]]
    with contextlib.ExitStack() as stack:
        fights = []
        for group in groups(modes, ours, lockpeers.locks(root, stack, "fight")):
            with group.chosen():
                crew = [
                    stack.enter_context(partners.partner(partners.contend, group.peers, counter))
                    for _ in range(CONTENDERS)
                ]
            for process in crew:
                process.answer()
            fights += [_Fights(group.row(peer), peer.name, crew) for peer in group.peers]
        for each in interleaved(fights, rounds=rounds, seconds=longest):
            each.fight(seconds, counter)
    text = (
        f"{CONTENDERS} processes take the lock, or a semaphore of 1, add 1 to a number in shared memory and give it "
        f"back, for {seconds:g} s in each round: acquisitions per second of all together, so more is better. No "
        "addition was lost. Fairness: what the process with the fewest and the one with the most got, over all rounds. "
        "The processor time is that of all of them for one acquisition."
    )
    found = {each.row: each.total for each in fights}
    bases = [("posix_ipc", found[POSIX_IPC])] if POSIX_IPC in found else []
    more = {
        "processor µs": {each.row: each.cost() for each in fights},
        "fewest – most of a process /s": {each.row: each.shares() for each in fights},
        SURVIVES: survivors,
    }
    title = f"{CONTENDERS} processes contending for one lock"
    table = Table(title, text, list(found.values()), bases, unit="/s", more=more, picture="fighting")
    for mode in (worker.mode for worker in modes):
        for name, why in ((MUTEX, _WHY_MUTEX), (SEMAPHORE, _WHY_SEMAPHORE)):
            table.judge(mode.row(name), POSIX_IPC, AS_OFTEN, mode=mode.name, why=why.get(mode.name, ""))
    return table


def _count(counter: Path) -> int:
    return int.from_bytes(counter.read_bytes()[:8], sys.byteorder)
