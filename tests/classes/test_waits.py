"""Waits: taking, in time or not; for one, any or all; in threads, in asyncio tasks, between processes."""

import asyncio
import threading
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import namedmap
from child import WATCHDOG
from classes.conftest import Keep, Second
from classes.each import each_waitable
from classes.kinds import WAITABLE, Kind, give, ready, take
from namedmap import AbandonedMutexWarning, Event, Mutex, Semaphore

NAME = "classes.waits"


def run(body: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """A coroutine in an event loop of its own, with a watchdog."""
    return asyncio.run(asyncio.wait_for(body(), 2 * WATCHDOG))


async def any_async(objects: Any, timeout: float | None = None) -> int | None:
    return await namedmap.wait_any_async(objects, timeout)


def wait_any_in_a_task(objects: Any, timeout: float | None = None) -> Any:
    return run(lambda: namedmap.wait_any_async(objects, timeout))


def wait_all_in_a_task(objects: Any, timeout: float | None = None) -> Any:
    return run(lambda: namedmap.wait_all_async(objects, timeout))


each_any = pytest.mark.parametrize("wait", [namedmap.wait_any, wait_any_in_a_task], ids=["thread", "task"])
each_all = pytest.mark.parametrize("wait", [namedmap.wait_all, wait_all_in_a_task], ids=["thread", "task"])
each_wait = pytest.mark.parametrize(
    "wait",
    [namedmap.wait_any, wait_any_in_a_task, namedmap.wait_all, wait_all_in_a_task],
    ids=["any", "any_async", "all", "all_async"],
)


async def take_async(held: Any, timeout: float | None = None) -> bool:
    return bool(await (held.wait_async(timeout) if isinstance(held, Event) else held.acquire_async(timeout)))


def elsewhere(second: Second, kind: Kind) -> Any:
    """A second process that has the object of NAME as `held`, and takes and gives it."""
    child = second()
    child.run(f"held = kind({kind.name!r}).open({NAME!r})")
    return child


def named(kind: Kind, keep: Keep) -> Any:
    """One object, with NAME, that can be taken once."""
    return keep(Event(NAME, manual=False, signaled=True) if kind.type is Event else kind.type(NAME))


class TestTaking:
    @each_waitable
    def test_once(self, kind: Kind, thread: ThreadPoolExecutor, keep: Keep) -> None:
        """An object that is there is had at once, by one; then it is not there, for this long or that."""
        held = keep(ready(kind))
        assert take(held)
        for timeout in (0, 0.01, 0.0):
            assert not thread.submit(take, held, timeout).result()
        give(held)
        assert thread.submit(take, held).result()

    @each_waitable
    def test_wakes(self, kind: Kind, thread: ThreadPoolExecutor, keep: Keep) -> None:
        """A waiter gets it when it is there, with or without an end to its patience."""
        for timeout in (None, WATCHDOG):
            held = keep(ready(kind))
            assert take(held)
            waiting = thread.submit(take, held, timeout)
            give(held)
            assert waiting.result(2 * WATCHDOG)

    @each_waitable
    def test_wakes_another_process(self, kind: Kind, second: Second, keep: Keep) -> None:
        """In either direction."""
        held, child = named(kind, keep), elsewhere(second, kind)
        assert take(held)
        assert not child.value("kinds.take(held)")
        child.start("value", "kinds.take(held, 60)")
        give(held)
        assert child.finish()
        assert not take(held)
        child.start("run", "time.sleep(0.05); kinds.give(held)")
        assert take(held, WATCHDOG)
        child.finish()
        if kind.type is Mutex:
            give(held)

    @each_waitable
    def test_in_a_task(self, kind: Kind, keep: Keep) -> None:
        """An event loop is not blocked meanwhile."""
        held = keep(ready(kind))

        async def body() -> list[bool]:
            found = [await take_async(held, 0)]
            other = asyncio.create_task(take_async(held, WATCHDOG))
            await asyncio.sleep(0.01)
            found.append(other.done())
            give(held)
            return [*found, await other]

        assert run(body) == [True, False, True]

    @each_waitable
    def test_in_a_task_of_another_process(self, kind: Kind, second: Second, keep: Keep) -> None:
        """Which is woken as a thread is."""
        held, child = named(kind, keep), elsewhere(second, kind)
        assert take(held)
        method = "wait_async" if kind.type is Event else "acquire_async"
        child.run(f"import asyncio\nasync def wait(): return await held.{method}(60)")
        child.start("value", "asyncio.run(wait())")
        give(held)
        assert child.finish()

    @each_waitable
    def test_cancelled(self, kind: Kind, keep: Keep) -> None:
        """A task that is cancelled while it waits takes nothing."""
        held = keep(ready(kind))
        assert take(held)

        async def body() -> None:
            waiting = asyncio.create_task(take_async(held))
            await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        run(body)
        give(held)
        assert take(held)
        give(held)

    @pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), float("-inf")])
    @each_waitable
    def test_times_that_cannot_be(self, kind: Kind, timeout: float, keep: Keep) -> None:
        held = keep(ready(kind))
        with pytest.raises(ValueError, match="timeout"):
            take(held, timeout)
        with pytest.raises(ValueError, match="timeout"):
            run(lambda: take_async(held, timeout))
        assert take(held)

    @pytest.mark.parametrize("timeout", ["1", b"1", [1], object])
    @each_waitable
    def test_what_is_no_time(self, kind: Kind, timeout: Any, keep: Keep) -> None:
        held = keep(ready(kind))
        with pytest.raises(TypeError):
            take(held, timeout)
        assert take(held)

    @pytest.mark.parametrize("timeout", [0, 0.0, 1e-9, 1e9, 1e300, float("inf"), None, True, 10**15])
    @each_waitable
    def test_what_is_there_is_had_at_any_time(self, kind: Kind, timeout: float | None, keep: Keep) -> None:
        assert take(keep(ready(kind)), timeout)

    @each_waitable
    def test_closed(self, kind: Kind) -> None:
        """ValueError."""
        held = ready(kind)
        held.close()
        for use in (lambda: take(held), lambda: give(held), lambda: run(lambda: take_async(held))):
            with pytest.raises(ValueError, match="closed"):
                use()


class TestMutex:
    def test_is_recursive(self, thread: ThreadPoolExecutor, keep: Keep) -> None:
        """For its owner; others get it when it was released as often."""
        mutex = keep(Mutex())
        assert [mutex.acquire(), mutex.acquire(0), mutex.acquire(1)] == [True] * 3
        for _ in range(3):
            assert (mutex.owned(), mutex.locked()) == (True, True)
            assert thread.submit(lambda: (mutex.owned(), mutex.locked(), mutex.acquire(0))).result() == (
                False,
                True,
                False,
            )
            mutex.release()
        assert (mutex.owned(), mutex.locked()) == (False, False)

    def test_is_released_by_its_owner(self, thread: ThreadPoolExecutor, second: Second, keep: Keep) -> None:
        """NotOwnerError, a RuntimeError, for everybody else, and for all when nobody owns it."""
        mutex = keep(Mutex(NAME))
        child = second()
        child.run(f"held = Mutex.open({NAME!r})")
        with pytest.raises(namedmap.NotOwnerError) as caught:
            mutex.release()
        assert isinstance(caught.value, RuntimeError)
        with mutex:
            assert isinstance(thread.submit(mutex.release).exception(), namedmap.NotOwnerError)
            assert child.value("raised(held.release)") == "NotOwnerError"
        assert child.value("held.acquire(0), held.owned()") == (True, True)
        assert (mutex.locked(), mutex.owned(), mutex.acquire(0)) == (True, False, False)
        child.run("held.release()")

    def test_belongs_to_a_task(self, keep: Keep) -> None:
        """Another task of the same thread has to wait, and the thread too."""
        mutex = keep(Mutex())

        async def body() -> list[Any]:
            async with mutex:
                other = asyncio.create_task(mutex.acquire_async(0))
                return [await other, mutex.owned(), mutex.acquire(0), await mutex.acquire_async(), mutex.release()]

        assert run(body) == [False, True, False, True, None]
        assert not mutex.locked()

    def test_created_owned(self, thread: ThreadPoolExecutor, keep: Keep) -> None:
        """The creator may own it from the beginning."""
        mutex = keep(Mutex.create(NAME, owned=True))
        assert mutex.owned()
        assert not thread.submit(mutex.acquire, 0).result()
        mutex.release()
        assert thread.submit(mutex.acquire, 0).result()

    def test_any_object_of_it_will_do(self, keep: Keep) -> None:
        """The ownership is the mutex's, not the object's."""
        first, second = keep(Mutex(NAME)), keep(Mutex(NAME))
        with first:
            assert second.owned()
            second.release()
            assert not first.locked()
            second.acquire()


class TestAbandoned:
    def abandoned(self, keep: Keep) -> Mutex:
        """A mutex whose owner, a thread, has ended."""
        mutex: Mutex = keep(Mutex(NAME))
        thread = threading.Thread(target=mutex.acquire)
        thread.start()
        thread.join()
        return mutex

    @pytest.mark.parametrize("wait", [namedmap.wait_any, namedmap.wait_all, wait_any_in_a_task, wait_all_in_a_task])
    def test_is_had_with_a_warning(self, wait: Callable[..., Any], keep: Keep) -> None:
        """Which names it; by every kind of wait; once."""
        mutex = self.abandoned(keep)
        with pytest.warns(AbandonedMutexWarning, match=NAME):
            assert wait([mutex], 5) is not None
        assert mutex.abandoned

    def test_is_reported_once(self, keep: Keep) -> None:
        mutex = self.abandoned(keep)
        with pytest.warns(AbandonedMutexWarning):
            assert mutex.acquire()
        mutex.release()
        assert mutex.acquire()
        assert not mutex.abandoned
        mutex.release()

    @pytest.mark.leaves_dead_files
    def test_by_a_process_that_is_killed(self, second: Second, keep: Keep) -> None:
        """One that waits meanwhile gets it too."""
        mutex = keep(Mutex(NAME))
        child = second()
        child.run(f"held = Mutex.open({NAME!r}); held.acquire()")
        assert not mutex.acquire(0)
        child.kill()
        with pytest.warns(AbandonedMutexWarning):
            assert mutex.acquire(WATCHDOG)
        mutex.release()

    def test_by_a_task_that_ends(self, keep: Keep) -> None:
        mutex = keep(Mutex())

        async def body() -> None:
            await asyncio.create_task(mutex.acquire_async())

        run(body)
        with pytest.warns(AbandonedMutexWarning):
            assert mutex.acquire(WATCHDOG)
        mutex.release()

    def test_as_an_error_gives_it_back(self, keep: Keep) -> None:
        """Where warnings are errors the wait has failed, and took nothing."""
        mutex = self.abandoned(keep)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(AbandonedMutexWarning):
                mutex.acquire()
        assert not mutex.locked()


class TestSemaphore:
    def test_counts(self, thread: ThreadPoolExecutor, keep: Keep) -> None:
        """It is taken as often as its value says; a release says what it was."""
        semaphore = keep(Semaphore(value=2, maximum=3))
        assert [semaphore.acquire(0) for _ in range(3)] == [True, True, False]
        assert (semaphore.release(), semaphore.release(2), semaphore.value) == (0, 1, 3)

    def test_has_a_limit(self, keep: Keep) -> None:
        """LimitError, a ValueError, above its maximum; nothing is released then."""
        semaphore = keep(Semaphore(value=2, maximum=3))
        for count in (2, 3, 2**31 - 1, 2**31, 2**70):
            with pytest.raises(ValueError):  # noqa: PT011
                semaphore.release(count)
        with pytest.raises(namedmap.LimitError):
            semaphore.release(2)
        assert semaphore.value == 2

    @pytest.mark.parametrize(("value", "maximum"), [(-1, 1), (2, 1), (0, 0), (0, -1), (0, 2**31), (2**70, 2**71)])
    def test_values_that_cannot_be(self, value: int, maximum: int) -> None:
        with pytest.raises(ValueError):  # noqa: PT011
            Semaphore(value=value, maximum=maximum)

    @pytest.mark.parametrize("count", [0, -1, -(2**70)])
    def test_releases_that_cannot_be(self, count: int, keep: Keep) -> None:
        with pytest.raises(ValueError, match="1 time or more"):
            keep(Semaphore()).release(count)

    def test_defaults(self, keep: Keep) -> None:
        """One, and as many as there can be."""
        semaphore = keep(Semaphore())
        assert (semaphore.value, semaphore.maximum) == (1, 2**31 - 1)


class TestEvent:
    def test_that_is_reset_by_hand(self, thread: ThreadPoolExecutor, keep: Keep) -> None:
        """It lets all pass until it is cleared."""
        event = keep(Event())
        assert (event.manual, event.is_set(), event.wait(0)) == (True, False, False)
        event.set()
        assert [event.wait(0), event.wait(), thread.submit(event.wait).result(), event.is_set()] == [True] * 4
        event.clear()
        assert (event.is_set(), event.wait(0)) == (False, False)

    def test_that_resets_itself(self, keep: Keep) -> None:
        """It lets one pass, however often it was set."""
        event = keep(Event(manual=False))
        event.set()
        event.set()
        assert [event.wait(0), event.wait(0), event.is_set()] == [True, False, False]

    def test_pulse(self, keep: Keep) -> None:
        """A later waiter is not let pass."""
        for manual in (True, False):
            event = keep(Event(manual=manual))
            event.pulse()
            assert (event.is_set(), event.wait(0)) == (False, False)

    def test_of_another_process(self, second: Second, keep: Keep) -> None:
        event, child = keep(Event(NAME)), second()
        child.run(f"held = Event.open({NAME!r}); held.set()")
        assert (event.wait(0), event.is_set()) == (True, True)
        event.clear()
        assert not child.value("held.is_set()")


class TestAny:
    @each_any
    def test_the_first_that_is_there(self, wait: Callable[..., Any], keep: Keep) -> None:
        """Its index; no other is taken. None when the time is over."""
        objects = [keep(Event()), keep(Semaphore()), keep(Semaphore()), keep(Mutex())]
        assert wait(objects) == 1
        assert wait(objects, 0) == 2
        assert (objects[1].value, objects[2].value) == (0, 0)
        assert wait([objects[0]], 0.01) is None

    @each_any
    @pytest.mark.parametrize("index", [0, 1, 63])
    def test_of_64(self, wait: Callable[..., Any], index: int, keep: Keep) -> None:
        """Any of them ends the wait."""
        objects = [keep(Event(manual=False)) for _ in range(64)]
        timer = threading.Timer(0.02, objects[index].set)
        timer.start()
        assert wait(objects, WATCHDOG) == index
        timer.join()

    @each_any
    def test_of_another_process(self, wait: Callable[..., Any], second: Second, keep: Keep) -> None:
        """Another process makes the objects be there."""
        objects = [keep(kind.type(f"{NAME}.{kind.name}")) for kind in WAITABLE]
        child = second()
        for kind in WAITABLE:
            child.run(f"{kind.name} = kind({kind.name!r}).open({NAME + '.' + kind.name!r})")
        child.run("mutex.acquire(), semaphore.acquire()")
        assert wait(objects, 0) is None
        child.start("run", "time.sleep(0.05); semaphore.release()")
        assert wait(objects, WATCHDOG) == 1
        child.finish()
        child.run("mutex.release()")


class TestAll:
    @each_all
    def test_takes_all_or_nothing(self, wait: Callable[..., Any], keep: Keep) -> None:
        """At the same time; False when the time is over."""
        event, semaphore, mutex = keep(Event(manual=False)), keep(Semaphore()), keep(Mutex())
        assert wait([mutex, semaphore, event], 0.01) is False
        assert (semaphore.value, mutex.locked()) == (1, False)
        event.set()
        with warnings.catch_warnings():  # a task that ends abandons the mutex
            warnings.simplefilter("ignore")
            assert wait([semaphore, event, mutex]) is True
        assert (semaphore.value, event.is_set()) == (0, False)

    @each_all
    def test_wakes_with_the_last(self, wait: Callable[..., Any], keep: Keep) -> None:
        events = [keep(Event(manual=False)) for _ in range(3)]
        timers = [threading.Timer(0.01 * at, event.set) for at, event in enumerate(events)]
        for each in timers:
            each.start()
        assert wait(events, WATCHDOG) is True
        for each in timers:
            each.join()
        assert not any(event.is_set() for event in events)

    @each_all
    def test_the_same_twice(self, wait: Callable[..., Any], keep: Keep) -> None:
        """A ValueError: it could never be had twice at once."""
        keep(Semaphore(NAME, 5))
        with pytest.raises(ValueError, match="twice"):
            wait([keep(Semaphore(NAME)), keep(Semaphore(NAME))])


class TestArguments:
    @each_wait
    def test_one_to_64(self, wait: Callable[..., Any], keep: Keep) -> None:
        for objects in ([], [keep(Event())] * 65):
            with pytest.raises(ValueError, match="1 to 64"):
                wait(objects, 0)

    @each_wait
    @pytest.mark.parametrize("wrong", [None, 5, "text", object, threading.Lock()], ids=lambda each: type(each).__name__)
    def test_other_things(self, wait: Callable[..., Any], wrong: object, keep: Keep) -> None:
        """Only what can be waited for is."""
        with pytest.raises(TypeError):
            wait([keep(Event()), wrong], 0)

    @each_wait
    def test_times_that_cannot_be(self, wait: Callable[..., Any], keep: Keep) -> None:
        for timeout in (-1, float("nan")):
            with pytest.raises(ValueError, match="timeout"):
                wait([keep(Event(signaled=True))], timeout)

    @each_wait
    def test_a_closed_one(self, wait: Callable[..., Any], keep: Keep) -> None:
        """ValueError; nothing is taken."""
        semaphore, closed = keep(Semaphore()), Semaphore()
        closed.close()
        with pytest.raises(ValueError, match="closed"):
            wait([semaphore, closed], 0)
        assert semaphore.value == 1

    @each_wait
    @pytest.mark.parametrize("collection", [list, tuple, iter, lambda found: dict.fromkeys(found).keys()])
    def test_any_collection(self, wait: Callable[..., Any], collection: Callable[..., Any], keep: Keep) -> None:
        """A list, a tuple, an iterator, keys."""
        assert wait(collection([keep(Event(signaled=True))]), 0) is not None

    def test_outside_of_a_task(self, keep: Keep) -> None:
        """The async forms need one, and say so."""
        event = keep(Event(signaled=True))
        waiting = event.wait_async()
        with pytest.raises(RuntimeError, match="asyncio"):
            waiting.send(None)
