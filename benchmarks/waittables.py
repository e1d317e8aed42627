"""The comparisons of waiting: locks, semaphores and events, alone and between two processes."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import contention
import idling
import lockpeers
import partners
from lockpeers import EVENT, FILELOCK, FLOOR, MUTEX, POSIX_IPC, SEMAPHORE, Peer
from modes import WITH, WITHOUT, Modes
from report import Table, Target, omit
from rounds import Series, Subject, Took, measure, subject

#: An uncontended mutex or semaphore against posix_ipc's.
PAIR = 1.2
#: The mutex: this many times faster than filelock, and at most so many µs.
FASTER, PAIR_TIME = 15.0, 5.0
#: A round trip against posix_ipc's: on one core, on two, on a busy machine.
SAME_CORE, OWN_CORES, BUSY = 1.4, 1.0, 1.5

_WHY_PAIRS = {
    WITHOUT: "A peer changes a word in memory; Python cannot, with others there, and makes one or two system calls.",
}
_WHY_TRIPS = {
    WITH: "A wait and a gift to a waiter take locks of the file, so that a killed waiter is noticed: ten system calls.",
    WITHOUT: "Every change is made by Python code, between two system calls.",
}


@dataclass(frozen=True)
class Effort:
    """How much is measured: rounds; pairs and round trips in a round; seconds at most for a table.

    A fight for a lock lasts `fight` seconds, an idle wait `idle` seconds.
    """

    rounds: int
    pairs: int
    trips: int
    seconds: float
    fights: int
    fight: float
    idles: int
    idle: float


FULL = Effort(rounds=100, pairs=500, trips=100, seconds=12.0, fights=8, fight=0.5, idles=3, idle=5.0)
QUICK = Effort(rounds=15, pairs=200, trips=50, seconds=2.0, fights=3, fight=0.1, idles=1, idle=2.0)


def all_tables(root: Path, modes: Modes, effort: Effort) -> Iterator[Table]:
    """Measure and yield one table after the other."""
    survivors = contention.survivors(root, modes)
    yield lock_pair(root, modes, effort, survivors)
    yield semaphore_pair(root, modes, effort, survivors)
    yield event_pair(root, modes, effort)
    yield from ping_pong(modes, effort)
    yield contention.contention(
        root, modes, survivors, rounds=effort.fights, seconds=effort.fight, longest=effort.seconds
    )
    yield idling.crowd(modes, effort.idles * 3)
    yield idling.idle(root, modes, effort.idles, effort.idle)


def _bases(names: dict[str, str], found: dict[str, Series]) -> list[tuple[str, Series]]:
    return [(label, found[name]) for label, name in names.items() if name in found]


# -- alone -------------------------------------------------------------------------------------------------------------


def pair(stack: contextlib.ExitStack, name: str, peer: Peer, give_first: bool = False) -> Subject:
    """Taking and giving back, by one process."""
    (opened,) = stack.enter_context(lockpeers.opened([peer])).values()
    first, second = (opened.give, opened.take) if give_first else (opened.take, opened.give)

    def once() -> None:
        first()
        second()

    return subject(name, once)


def _pairs(
    modes: Modes, ours: Sequence[Peer], others: Sequence[Peer], effort: Effort, give_first: bool = False
) -> dict[str, Series]:
    with contextlib.ExitStack() as stack:
        subjects = [each for peer in ours for each in modes.subjects(stack, peer.name, pair, peer, give_first)]
        subjects += [pair(stack, peer.name, peer, give_first) for peer in others]
        return measure(subjects, rounds=effort.rounds, repeat=effort.pairs, seconds=effort.seconds)


def lock_pair(root: Path, modes: Modes, effort: Effort, survivors: dict[str, str]) -> Table:
    """acquire + release of a lock that nobody else wants."""
    with contextlib.ExitStack() as stack:
        others = [*lockpeers.locks(root, stack, "pair"), lockpeers.lock_floor(root)]
        found = _pairs(modes, lockpeers.our_locks("pair"), others, effort)
    text = (
        "A lock that other processes can use, acquired and released by one that has it for itself. An owner was killed "
        f"(SIGKILL) in this run: the lock survives that if another process gets it within {contention.PATIENCE:g} s. "
        "The floor is that of the mutex without the core; with it there is no system call."
    )
    more = {contention.SURVIVES: survivors}
    table = Table("acquire + release of a free lock", text, list(found.values()), [], more=more)
    table.picture = "waiting"
    table.bases = _bases({"posix_ipc": POSIX_IPC, "floor": FLOOR}, found)
    for mode in (worker.mode for worker in modes):
        row, why = mode.row(MUTEX), _WHY_PAIRS.get(mode.name, "")
        table.judge(row, POSIX_IPC, PAIR, mode=mode.name, why=why)
        table.judge(row, FILELOCK, FASTER, faster=True, mode=mode.name)
        limit = f"target: {row}: at most {PAIR_TIME:g} µs of processor time"
        table.targets.append(Target(limit, PAIR_TIME, found[row].processor_median, unit=" µs", why=why, mode=mode.name))
    return table


def semaphore_pair(root: Path, modes: Modes, effort: Effort, survivors: dict[str, str]) -> Table:
    """acquire + release of a semaphore that nobody else wants."""
    with contextlib.ExitStack() as stack:
        others = [*lockpeers.semaphores(stack, "pair", 1), lockpeers.guard_floor(root)]
        found = _pairs(modes, lockpeers.our_semaphores("pair", 1), others, effort)
    text = (
        "A semaphore of 1, acquired and released by one process. Semaphores have no owner: what a killed process had "
        "taken stays taken, with namedmap as on Windows and with the peers. The floor is that without the core."
    )
    more = {contention.SURVIVES: survivors}
    table = Table("acquire + release of a semaphore", text, list(found.values()), [], more=more)
    table.bases = _bases({"posix_ipc": POSIX_IPC, "floor": FLOOR}, found)
    for mode in (worker.mode for worker in modes):
        table.judge(mode.row(SEMAPHORE), POSIX_IPC, PAIR, mode=mode.name, why=_WHY_PAIRS.get(mode.name, ""))
    return table


def event_pair(root: Path, modes: Modes, effort: Effort) -> Table:
    """set + wait of an auto-reset event."""
    with contextlib.ExitStack() as stack:
        others = [*lockpeers.signals(stack), lockpeers.guard_floor(root)]
        found = _pairs(modes, lockpeers.our_events("pair"), others, effort, give_first=True)
    text = (
        "An auto-reset event, set and then consumed by a wait of the same thread; with the peers `set`, `wait`, `clear`"
        ", and `release`, `acquire`."
    )
    bases = _bases({"posix_ipc": POSIX_IPC, "floor": FLOOR}, found)
    return Table("set + wait of an auto-reset event", text, list(found.values()), bases)


# -- between two processes ---------------------------------------------------------------------------------------------


def ping_pong(modes: Modes, effort: Effort) -> Iterator[Table]:
    """Round trips between two processes: on one core, with a core for each, and on a busy machine."""
    text = (
        "One round trip: a process signals another one, which waits for that, and waits for its answer. Each direction "
        "has an object of its own. "
    )
    title = "ping-pong between two processes"
    usable = sorted(os.sched_getaffinity(0))
    same = f"{text}Both processes are bound to one core: one can go on only when the other sleeps."
    yield _ping_pong(modes, f"{title}, on one core", same, effort, usable[:1] * 2, (SAME_CORE, False, _WHY_TRIPS))
    if len(usable) > 1:
        own = f"{text}Each process is bound to a core of its own."
        limit = (OWN_CORES, True, _WHY_TRIPS)
        yield _ping_pong(modes, f"{title}, each on its own core", own, effort, usable[:2], limit)
    else:
        omit("ping-pong between two cores, of which this machine has one.")
    busy = f"{text}On each core another process computes without end, with the same priority."
    with contextlib.ExitStack() as stack:
        for core in usable:
            stack.enter_context(partners.partner(partners.compute, core)).answer()
        few = dataclasses.replace(effort, trips=max(effort.trips // 10, 1))
        yield _ping_pong(modes, f"{title}, on a busy machine", busy, few, (), (BUSY, True, _WHY_TRIPS))


def _ping_pong(
    modes: Modes,
    title: str,
    text: str,
    effort: Effort,
    cores: Sequence[int],
    limit: tuple[float, bool, dict[str, str]],
) -> Table:
    """`limit` is that of a round trip, whether the clock decides, and the reasons why it is missed."""
    with contextlib.ExitStack() as stack:
        pings = [*lockpeers.our_events("ping"), *lockpeers.our_semaphores("ping", 0)]
        pongs = [*lockpeers.our_events("pong"), *lockpeers.our_semaphores("pong", 0)]
        subjects = [
            each
            for ping, pong in zip(pings, pongs, strict=True)
            for each in modes.subjects(stack, ping.name, round_trips, ping, pong, cores)
        ]
        others = zip(lockpeers.semaphores(stack, "ping", 0), lockpeers.semaphores(stack, "pong", 0), strict=True)
        subjects += [round_trips(stack, ping.name, ping, pong, cores) for ping, pong in others]
        found = measure(subjects, rounds=effort.rounds, repeat=effort.trips, seconds=effort.seconds)
    table = Table(title, text, list(found.values()), _bases({"posix_ipc": POSIX_IPC}, found), picture="waiting")
    most, clock, why = limit
    for mode in (worker.mode for worker in modes):
        for name in (EVENT, SEMAPHORE):
            table.judge(mode.row(name), POSIX_IPC, most, clock=clock, mode=mode.name, why=why.get(mode.name, ""))
    return table


def round_trips(stack: contextlib.ExitStack, name: str, ping: Peer, pong: Peer, cores: Sequence[int]) -> Subject:
    """Signals to a partner, and its answers. `cores` are this process's and the partner's, if they are to be bound."""
    pairs = stack.enter_context(lockpeers.opened([ping])), stack.enter_context(lockpeers.opened([pong]))
    with _bound(cores[1:]):
        partner = stack.enter_context(partners.partner(partners.echo, ping, pong))
    partner.answer()
    give, take = pairs[0][ping.name].give, pairs[1][pong.name].take

    def once() -> None:
        give()
        take()

    measured = subject(name, once, [partner.pid])

    def timed(repeat: int) -> Took:
        with _bound(cores[:1]):
            return measured.timed(repeat)

    return Subject(name, timed)


@contextlib.contextmanager
def _bound(cores: Sequence[int]) -> Iterator[None]:
    """With this process bound to the cores, if there are any, and those that it starts."""
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
