"""The comparisons of waiting: locks, semaphores and events, alone and between processes, and what idle waiters cost."""

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lockpeers
import partners
from lockpeers import EVENT, FILELOCK, FLOOR, MULTIPROCESSING, MUTEX, PORTALOCKER, POSIX_IPC, SEMAPHORE, Peer
from report import Table, Target, number, omit
from rounds import Series, Subject, interleaved, measure, subject

#: An uncontended mutex through the Python class: this many times faster than filelock, and at most so many µs.
FASTER, PAIR_TIME = 15.0, 5.0
#: A round trip against posix_ipc's.
ROUND_TRIP = 1.6
#: Percent of a core that an idle waiter may take.
IDLE = 0.5
#: Processes that contend for a lock.
CONTENDERS = 8
#: Seconds after which a lock whose owner was killed counts as lost.
PATIENCE = 2.0
#: Objects in one wait, and waiting tasks in one program.
MANY_OBJECTS, MANY_TASKS = 64, 100
#: Tasks that want one lock, or wait for one event; how much more processor time than with asyncio.Lock that may take,
#: beside the system calls, and how many percent of a core the tasks together, idle.
CROWD, CROWD_TIMES = 1000, 5.0

_WHY_TRIPS = (
    "A semaphore of posix_ipc is a word in memory that the C library counts up and down without a system call. "
    "namedmap's words are changed from Python and under a lock that the kernel drops with its owner, which is two "
    "system calls each time. On a busy machine a process that looks again before it sleeps may lose its time slice "
    "by that."
)

SURVIVES = "survives the death of an owner"
#: The locks whose waiters are compared when idle.
_IDLE_LOCKS = (MUTEX, f"{MULTIPROCESSING}.Lock", POSIX_IPC, FILELOCK, PORTALOCKER)


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


FULL = Effort(rounds=100, pairs=200, trips=100, seconds=15.0, fights=8, fight=0.5, idles=3, idle=5.0)
QUICK = Effort(rounds=15, pairs=50, trips=50, seconds=2.0, fights=3, fight=0.1, idles=1, idle=2.0)


def all_tables(root: Path, quick: bool) -> Iterator[Table]:
    """Measure and yield one table after the other."""
    effort = QUICK if quick else FULL
    survivors = _survivors(root)
    yield lock_pair(root, effort, survivors)
    yield semaphore_pair(root, effort, survivors)
    yield event_pair(root, effort)
    yield from ping_pong(effort)
    yield contention(root, effort, survivors)
    yield crowd(effort)
    yield idle(root, effort)


def _survivors(root: Path) -> dict[str, str]:
    """For each lock and semaphore "yes" or "no": whether another process gets it after its owner was killed.

    All at the same time, since the wait for those that stay taken is the longest part.
    """
    with contextlib.ExitStack() as stack:
        peers = [*lockpeers.locks(root, stack, "killed"), *lockpeers.semaphores(stack, "killed", 1)]
        owners = [stack.enter_context(partners.partner(partners.own, peer)) for peer in peers]
        for owner in owners:
            owner.answer()
            owner.kill()
        heirs = [stack.enter_context(partners.partner(partners.inherit, peer, PATIENCE)) for peer in peers]
        return {peer.name: "yes" if heir.answer() else "no" for peer, heir in zip(peers, heirs, strict=True)}


def _bases(names: dict[str, str], found: dict[str, Series]) -> list[tuple[str, Series]]:
    return [(label, found[name]) for label, name in names.items() if name in found]


def _judge(table: Table, row: str, base: str, limit: float, *, faster: bool = False, why: str = "") -> None:
    """A target of a row against a peer, if that is installed: at most `limit` times its time, or so much faster."""
    found = {each.name: each for each in table.rows}
    if base not in found:
        return
    if faster:
        text = f"target: {row} at least {limit:g}x faster than {base}"
        table.targets.append(Target(text, limit, found[base].ratio(found[row]), least=True, why=why))
    else:
        reached = found[row].ratio(found[base])
        table.targets.append(Target(f"target: {row} at most {limit:g}x {base}", limit, reached, why=why))


def _pairs(peers: Sequence[Peer], effort: Effort, *, give_first: bool = False) -> dict[str, Series]:
    """Taking and giving back, in this process alone."""

    def cycle(first: Callable[[], object], second: Callable[[], object]) -> Callable[[], None]:
        def once() -> None:
            first()
            second()

        return once

    with lockpeers.opened(peers) as pairs:
        subjects = [
            subject(name, cycle(each.give, each.take) if give_first else cycle(each.take, each.give))
            for name, each in pairs.items()
        ]
        return measure(subjects, rounds=effort.rounds, repeat=effort.pairs, seconds=effort.seconds)


def lock_pair(root: Path, effort: Effort, survivors: dict[str, str]) -> Table:
    """acquire + release of a lock that nobody else wants."""
    with contextlib.ExitStack() as stack:
        found = _pairs([*lockpeers.locks(root, stack, "pair"), lockpeers.lock_floor(root)], effort)
    text = (
        "A lock that other processes can use, acquired and released by one that has it for itself. An owner was killed "
        f"(SIGKILL) in this run: the lock survives that if another process gets it within {PATIENCE:g} s."
    )
    table = Table("acquire + release of a free lock", text, list(found.values()), [], more={SURVIVES: survivors})
    table.picture = "waiting"
    table.bases = _bases({MUTEX: MUTEX, "floor": FLOOR}, found)
    _judge(table, MUTEX, FILELOCK, FASTER, faster=True)
    limit = f"target: {MUTEX} at most {PAIR_TIME:g} µs"
    table.targets.append(Target(limit, PAIR_TIME, found[MUTEX].median, unit=" µs"))
    return table


def semaphore_pair(root: Path, effort: Effort, survivors: dict[str, str]) -> Table:
    """acquire + release of a semaphore that nobody else wants."""
    with contextlib.ExitStack() as stack:
        found = _pairs([*lockpeers.semaphores(stack, "pair", 1), lockpeers.guard_floor(root)], effort)
    text = (
        "A semaphore of 1, acquired and released by one process. Semaphores have no owner: what a killed process had "
        "taken stays taken, with namedmap as on Windows and with the peers."
    )
    table = Table("acquire + release of a semaphore", text, list(found.values()), [], more={SURVIVES: survivors})
    table.bases = _bases({SEMAPHORE: SEMAPHORE, "floor": FLOOR}, found)
    return table


def event_pair(root: Path, effort: Effort) -> Table:
    """set + wait of an auto-reset event."""
    with contextlib.ExitStack() as stack:
        found = _pairs([*lockpeers.signals(stack), lockpeers.guard_floor(root)], effort, give_first=True)
    text = (
        "An auto-reset event, set and then consumed by a wait of the same thread; with the peers `set`, `wait`, `clear`"
        ", and `release`, `acquire`."
    )
    bases = _bases({"namedmap.Event": EVENT, "floor": FLOOR}, found)
    return Table("set + wait of an auto-reset event", text, list(found.values()), bases)


def ping_pong(effort: Effort) -> Iterator[Table]:
    """Round trips between two processes: wherever the scheduler puts them, and with a core for each."""
    text = (
        "One round trip: a process signals another one, which waits for that, and waits for its answer. Each direction "
        "has an object of its own. "
    )
    title = "ping-pong between two processes"
    usable = sorted(os.sched_getaffinity(0))
    yield _ping_pong(title, f"{text}The scheduler puts them where it likes.", effort)
    if len(usable) > 1:
        own = f"{text}Each process is bound to a core, so that each signal wakes one."
        with _bound(usable[:1]):
            yield _ping_pong(f"{title}, each on its own core", own, effort, partner_on=usable[1:2])
    else:
        omit("ping-pong between two cores, of which this machine has one.")
    busy = f"{text}On each core another process computes without end, with the same priority."
    with contextlib.ExitStack() as stack:
        for core in usable:
            stack.enter_context(partners.partner(partners.compute, core)).answer()
        few = dataclasses.replace(effort, trips=max(effort.trips // 10, 1))
        yield _ping_pong(f"{title}, on a busy machine", busy, few)


@contextlib.contextmanager
def _bound(cores: Sequence[int]) -> Iterator[None]:
    """With this process bound to the cores, and those that it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _ping_pong(title: str, text: str, effort: Effort, partner_on: Sequence[int] | None = None) -> Table:
    with contextlib.ExitStack() as stack:
        pings = [*lockpeers.events(stack, "ping"), *lockpeers.semaphores(stack, "ping", 0)]
        pongs = [*lockpeers.events(stack, "pong"), *lockpeers.semaphores(stack, "pong", 0)]
        with _bound(partner_on) if partner_on else contextlib.nullcontext():
            subjects = [_round_trips(stack, ping, pong) for ping, pong in zip(pings, pongs, strict=True)]
        found = measure(subjects, rounds=effort.rounds, repeat=effort.trips, seconds=effort.seconds)
    table = Table(title, text, list(found.values()), _bases({"posix_ipc": POSIX_IPC}, found))
    table.picture = "" if partner_on else "waiting"
    for row in (EVENT, SEMAPHORE):
        _judge(table, row, POSIX_IPC, ROUND_TRIP, why=_WHY_TRIPS)
    return table


def _round_trips(stack: contextlib.ExitStack, ping: Peer, pong: Peer) -> Subject:
    stack.enter_context(partners.partner(partners.echo, ping, pong)).answer()
    pairs = stack.enter_context(lockpeers.opened([ping])), stack.enter_context(lockpeers.opened([pong]))
    give, take = pairs[0][ping.name].give, pairs[1][pong.name].take

    def once() -> None:
        give()
        take()

    return subject(ping.name, once)


@dataclass
class _Fights:
    """Results of the fights for one lock: acquisitions per second, of all, and of each process over all fights."""

    total: Series
    seconds: float = 0.0
    each: list[int] = field(default_factory=lambda: [0] * CONTENDERS)

    def add(self, answers: list[tuple[int, float]]) -> None:
        # Until the last one has ended: a lock that is polled is polled some time more.
        took = max(seconds for _, seconds in answers)
        self.total.samples.append(sum(times for times, _ in answers) / took)
        self.seconds += took
        self.each = [before + times for before, (times, _) in zip(self.each, answers, strict=True)]

    def shares(self) -> str:
        return f"{number(min(self.each) / self.seconds)} – {number(max(self.each) / self.seconds)}"


def contention(root: Path, effort: Effort, survivors: dict[str, str]) -> Table:
    """Many processes that want the same lock all the time."""
    counter = root / "counter"
    counter.write_bytes(bytes(partners.COUNTER_SIZE))
    with contextlib.ExitStack() as stack:
        peers = lockpeers.locks(root, stack, "fight")
        processes = [stack.enter_context(partners.partner(partners.contend, peers, counter)) for _ in range(CONTENDERS)]
        for process in processes:
            process.answer()
        fights = {peer.name: _Fights(Series(peer.name)) for peer in peers}
        for peer in interleaved(peers, rounds=effort.fights, seconds=effort.seconds):
            fights[peer.name].add(_fight(processes, peer.name, effort.fight, counter))
    found = {name: each.total for name, each in fights.items()}
    text = (
        f"{CONTENDERS} processes take the lock, add 1 to a number in shared memory and release it, for "
        f"{effort.fight:g} s in each round: acquisitions per second of all together, so more is better. No addition "
        "was lost. Fairness: what the process with the fewest and the one with the most got, over all rounds."
    )
    fairness = {name: each.shares() for name, each in fights.items()}
    title = f"{CONTENDERS} processes contending for one lock"
    bases = _bases({MUTEX: MUTEX}, found)
    more = {"fewest – most of a process /s": fairness, SURVIVES: survivors}
    return Table(title, text, list(found.values()), bases, unit="/s", more=more, picture="fighting")


def _fight(processes: list[partners.Partner], name: str, seconds: float, counter: Path) -> list[tuple[int, float]]:
    before = _count(counter)
    start = time.monotonic() + 0.02
    for process in processes:
        process.send((name, start, seconds))
    answers = [process.answer() for process in processes]
    if sum(times for times, _ in answers) != _count(counter) - before:
        raise SystemExit(f"{name} let two processes in at the same time: additions were lost")
    return answers


def _count(counter: Path) -> int:
    return int.from_bytes(counter.read_bytes()[:8], sys.byteorder)


def crowd(effort: Effort) -> Table:
    """Processor time of many tasks that want the same lock."""
    own, other = f"namedmap.Mutex, {CROWD:,} tasks", f"asyncio.Lock, {CROWD:,} tasks"
    pairs = f"namedmap.Mutex, {CROWD:,} pairs without tasks"
    rows = {name: Series(name) for name in (own, other, pairs)}
    for _ in range(effort.idles * 3):
        for name, way in ((own, partners.mutex_in_tasks), (other, partners.lock_in_tasks), (pairs, partners.pairs)):
            rows[name].samples.append(way(CROWD) * 1000)
    text = (
        f"{CROWD:,} tasks of asyncio pass through one lock, each of them across one `sleep(0)`: processor time of the "
        "process, user and system, of all its threads. asyncio.Lock is no lock between processes."
    )
    table = Table(f"{CROWD:,} tasks through one lock", text, list(rows.values()), [], unit="ms")
    limit = CROWD_TIMES * rows[other].median + rows[pairs].median
    table.targets.append(
        Target(
            f"target: {own} at most {CROWD_TIMES:g}x {other} and the pairs", limit, rows[own].median, unit=" ms"
        )
    )
    return table


def idle(root: Path, effort: Effort) -> Table:
    """Processor time of processes that wait for something that does not come."""
    with contextlib.ExitStack() as stack:
        locks = [peer for peer in lockpeers.locks(root, stack, "idle") if peer.name in _IDLE_LOCKS]
        for pair in stack.enter_context(lockpeers.opened(locks)).values():
            pair.take()
            stack.callback(pair.give)
        event = lockpeers.events(stack, "idle")[0]
        many_tasks = f"namedmap in asyncio, {MANY_TASKS} tasks, an event each"
        waits: dict[str, tuple[Callable[[Any, float], float], object]] = {
            EVENT: (partners.wait_for_one, event),
            f"namedmap.wait_any, {MANY_OBJECTS} events": (partners.wait_for_any, MANY_OBJECTS),
            f"namedmap.wait_all, {MANY_OBJECTS} events": (partners.wait_for_all, MANY_OBJECTS),
            "namedmap.win32, the end of a process": (partners.wait_for_process, os.getpid()),
            "namedmap in asyncio, a task": (partners.wait_in_tasks, 1),
            many_tasks: (partners.wait_in_tasks, MANY_TASKS),
            f"namedmap in asyncio, {CROWD:,} tasks, one event": (partners.wait_for_the_same, CROWD),
        }
        waits |= {peer.name: (partners.wait_for_one, peer) for peer in locks}
        rows = {name: Series(name) for name in waits}
        for _ in range(effort.idles):
            with contextlib.ExitStack() as processes:
                started = {
                    name: processes.enter_context(partners.partner(partners.idle, wait, what, effort.idle))
                    for name, (wait, what) in waits.items()
                }
                for name, process in started.items():
                    rows[name].samples.append(process.answer())
    text = (
        f"A process that waits {effort.idle:g} s for an event that nobody sets, a lock that another one keeps, or the "
        "end of a process that goes on: its processor time, user and system, of all its threads, in percent of a core. "
        "All rows wait at the same time."
    )
    table = Table("an idle waiter", text, list(rows.values()), [], unit="% of a core", picture="waiting")
    for row in [name for name in rows if name.startswith("namedmap")]:
        waiters = MANY_TASKS if row == many_tasks else 1
        limit = f"target: {row}: at most {IDLE:g} % of a core{' for each of them' if waiters > 1 else ''}"
        table.targets.append(Target(limit, IDLE, rows[row].median / waiters, unit=" %"))
    return table
