"""Threads, handlers and processes use a mutex at each place of a call where the interpreter may let them:

    NAMEDMAP_ROOT=… PYTHONPATH=tests python -m programs.interleavings [SCENARIO…]

prints what came out wrong; at the end, at how many places each was tried. CPython lets other threads and signal
handlers run when a Python function begins, and when one of C has returned; a profiler hears of the same moments.
"""

import itertools
import os
import queue
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import namedmap
from calls.kernel import Entry, locks, notifier
from calls.words import BUSY, COUNT, OWNER, SEAT_MASK, SEATS, Words

NAME = "interleavings"
_PACKAGE = str(Path(namedmap.__file__).parent)
_FINALIZERS = ("__del__", "finalize")


class Stop(Exception):
    """Of a signal handler."""


class Others(Words):
    """The state words of the mutex, and the process that changes them."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.fd = os.open(self.path, os.O_RDWR)
        #: A seat that this process has not.
        self.theirs = next(seat for seat in (77, 78) if not locks.held_elsewhere(self.fd, SEATS + seat))

    def sit(self) -> None:
        """Begin to live."""
        assert locks.try_lock(self.fd, SEATS + self.theirs, exclusive=True)

    def end(self) -> None:
        """Die."""
        locks.unlock(self.fd, SEATS + self.theirs)

    @property
    def lives(self) -> bool:
        probe = os.open(f"/proc/self/fd/{self.fd}", os.O_RDWR)
        try:
            return locks.held_elsewhere(probe, SEATS + self.theirs)
        finally:
            os.close(probe)


class Second:
    """Another thread, which does one thing after the other."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], object], queue.SimpleQueue[object]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            call, results = self._calls.get()
            try:
                results.put(call())
            except Exception as error:
                results.put(error)

    def begin(self, call: Callable[[], object]) -> "queue.SimpleQueue[object]":
        results: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._calls.put((call, results))
        return results

    def do(self, call: Callable[[], object]) -> object:
        return self.begin(call).get()


second = Second()


class World:
    """A mutex that the core has been used for, if there is one, and an event that is missing."""

    def __init__(self) -> None:
        self.event = namedmap.Event()
        self.open()
        for _ in range(2):
            self.mutex.acquire(0)
            self.mutex.release()
        self.words = Others()
        #: The result of the other thread, which may have to wait for the end of the call.
        self.other: queue.SimpleQueue[object] | None = None

    def open(self) -> None:
        self.again = self.mutex = namedmap.Mutex(NAME)
        held: Any = self.mutex._held
        self.held, self.entry = held, Entry(held)
        # A call in Python is made of many steps, whether or not the core could do it in one.
        held.core_take_for = held.core_give_for = lambda _: False

    def open_again(self) -> None:
        self.again = namedmap.Mutex(NAME)

    def slowly(self, name: str, *arguments: object) -> object:
        """A method as it is in Python."""
        return getattr(self.mutex, ("_" if namedmap.native else "") + name)(*arguments)

    def take(self) -> object:
        return self.slowly("acquire", 0)

    def own(self) -> None:
        assert self.mutex.acquire(0)

    def wait_for_all(self) -> bool:
        return namedmap.wait_all([self.mutex, self.event], 0)

    def close(self) -> None:
        self.mutex.close()
        self.again.close()
        self.event.close()
        os.close(self.words.fd)


def at_place(number: int, world: World, call: "Step", act: "Step") -> tuple[str, object]:
    """Call, and act at the place of this number: which that was ("": there are not so many), and the result."""
    left, where = number, ""

    def profile(frame: FrameType, event: str, _: Any) -> None:
        nonlocal left, where
        code = frame.f_code
        if where or event not in ("call", "c_return") or not code.co_filename.startswith(_PACKAGE):
            return
        if any(each.f_code.co_name in _FINALIZERS for each in _outward(frame)):
            return
        left -= 1
        if not left:
            where = f"{code.co_filename.removeprefix(_PACKAGE)}:{frame.f_lineno} {code.co_name}, {event}"
            sys.setprofile(None)
            act(world)

    sys.setprofile(profile)
    try:
        result = call(world)
    except Exception as error:
        result = error
    finally:
        sys.setprofile(None)
    return where, result


def _outward(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


# -- what others do ----------------------------------------------------------------------------------------------------


def raise_stop(_: World) -> None:
    raise Stop


def take_in_another_thread(world: World) -> None:
    world.other = second.begin(lambda: world.mutex.acquire(0))
    for _ in range(5):  # it may have to wait for this thread
        if world.other.empty():
            time.sleep(0.001)


def be_taken_over_and_again(world: World) -> None:
    """Another process takes over what is abandoned, for which it needs the guard, and gives it up; then one that has
    got the dead one's seat takes it."""
    if world.words[OWNER] == world.words.theirs and not locks.held_elsewhere(world.words.fd, locks.GUARD):
        world.words.sit()


def give_up_and_end(world: World) -> None:
    """The owner, another process, gives it up and ends."""
    if world.words[OWNER] & SEAT_MASK == world.words.theirs:
        world.words[COUNT] = 1
        world.words[OWNER] &= ~SEAT_MASK
        world.words.end()


def begin_to_wait(world: World) -> None:
    """As a task does."""
    world.other = second.begin(lambda: notifier.join(world.held, world.entry, lambda: None, every=False))
    time.sleep(0.002)


def fork(world: World) -> None:
    """The child lives until it is killed."""

    def begin() -> int:
        pid = os.fork()
        while not pid:
            signal.pause()
        return pid

    world.other = second.begin(begin)
    for _ in range(5):
        if world.other.empty():
            time.sleep(0.001)


# -- what has to be true then ------------------------------------------------------------------------------------------


def is_nobodys(world: World, result: object) -> Iterator[str]:
    """At the end, but for a mark that the next one clears, and anybody can have it."""
    while world.mutex.owned():
        world.mutex.release()
    if world.words[OWNER] & ~BUSY or world.words[COUNT] != 1:
        yield f"OWNER is {world.words[OWNER]}, COUNT {world.words[COUNT]}"
    taken = second.do(lambda: world.mutex.acquire(0)) and second.do(world.mutex.release) is None
    if not taken or world.words[OWNER]:
        yield "it cannot be used any more"


def has_one_owner(world: World, result: object) -> Iterator[str]:
    """The thread that was told so."""
    theirs = world.other.get() if world.other is not None else False
    if isinstance(result, Exception) or isinstance(theirs, Exception):
        yield "there was an error"
    if (result is True) is not world.mutex.owned():
        yield "this thread was told otherwise"
    if theirs is not second.do(world.mutex.owned):
        yield f"the other thread was told {theirs}"
    if theirs is True and second.do(world.mutex.release) is not None:
        yield "the other thread cannot release it"
    yield from is_nobodys(world, result)


def is_the_others(world: World, result: object) -> Iterator[str]:
    """The mutex belongs to the process that had the seat by then."""
    if result is True and world.words.lives:
        yield "it was taken from its owner"


def was_not_abandoned(world: World, result: object) -> Iterator[str]:
    if result is True and world.mutex.abandoned:
        yield "it was said to be abandoned"
    yield from is_nobodys(world, result)


def stays_abandoned(world: World, result: object) -> Iterator[str]:
    """The next one is told, unless this one owns it."""
    if not world.mutex.owned() and (not world.mutex.acquire(0) or not world.mutex.abandoned):
        yield "nobody was told that it was abandoned"
    yield from is_nobodys(world, result)


def the_core_is_off(world: World, result: object) -> Iterator[str]:
    """Each change has to be told to the task."""
    done = world.other is not None and world.other.get()
    if isinstance(result, Exception) or done is not None or world.held.quick:
        yield "the core would change it by itself"
    notifier.leave(world.held, world.entry, every=False)


def the_seat_ends(world: World, result: object) -> Iterator[str]:
    """Without the process, whose forked child has not got it."""
    pid = world.other.get() if world.other is not None else None
    seat = world.held.seat
    world.mutex.release()
    world.mutex.close()
    if result is not True or locks.held_elsewhere(world.words.fd, SEATS + seat):
        yield "the child has the seat"
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    world.open()


def use_it_anew(world: World) -> None:
    """The next take is the first."""
    world.mutex.close()
    world.open()


def nothing(_: World) -> None:
    pass


def leave_it_dead(world: World) -> None:
    """Its owner's process has died."""
    world.words[OWNER], world.words[COUNT] = world.words.theirs, 0


def have_it_owned(world: World) -> None:
    """By a process that lives."""
    leave_it_dead(world)
    world.words.sit()


Step = Callable[[World], object]
#: The steps before, the call, the others' steps in its middle, and the check of what is true then.
SCENARIOS: dict[str, tuple[Step, Step, Step, Callable[[World, object], Iterator[str]]]] = {
    "take, other thread": (nothing, World.take, take_in_another_thread, has_one_owner),
    "release, other thread": (World.own, lambda w: w.slowly("release"), take_in_another_thread, has_one_owner),
    "wait for all, other thread": (nothing, World.wait_for_all, take_in_another_thread, has_one_owner),
    "wait for all that is there, other thread": (
        lambda w: w.event.set(), World.wait_for_all, take_in_another_thread, has_one_owner),
    "take, exception": (nothing, World.take, raise_stop, is_nobodys),
    "release, exception": (World.own, lambda w: w.slowly("release"), raise_stop, is_nobodys),
    "wait for all, exception": (nothing, World.wait_for_all, raise_stop, is_nobodys),
    "take over, exception": (leave_it_dead, World.take, raise_stop, stays_abandoned),
    "wait for all with an abandoned one, exception": (
        leave_it_dead, World.wait_for_all, raise_stop, stays_abandoned),
    "take over, another one does": (leave_it_dead, World.take, be_taken_over_and_again, is_the_others),
    "take, the owner ends": (have_it_owned, World.take, give_up_and_end, was_not_abandoned),
    "first take, a fork": (use_it_anew, World.take, fork, the_seat_ends),
    "open, a task waits": (nothing, World.open_again, begin_to_wait, the_core_is_off),
}  # fmt: skip


def explore(scenario: str) -> int:
    """How many places there were; what came out wrong at one is printed."""
    before, call, act, judge = SCENARIOS[scenario]
    for number in itertools.count(1):
        world = World()
        try:
            before(world)
            where, result = at_place(number, world, call, act)
            for wrong in judge(world, result) if where else ():
                print(f"{scenario}: {where}: {result!r}: {wrong}")
        finally:
            while world.mutex.owned():
                world.mutex.release()
            world.words[OWNER], world.words[COUNT] = 0, 1
            world.close()
        if not where:
            return number - 1
    raise AssertionError


def main() -> None:
    warnings.simplefilter("ignore")
    for scenario in sys.argv[1:] or SCENARIOS:
        print(f"{scenario}: {explore(scenario)} places")


if __name__ == "__main__":
    main()
