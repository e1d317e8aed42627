"""Waiting in asyncio: without blocking the loop, without a thread per waiter; tasks as owners; cancellation; ends."""

import asyncio
import gc
import random
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import pytest

import namedmap
from calls import close, create, load, unmap, view
from calls.sync import Helpers, asleep, exactly, waiters
from child import WATCHDOG, Spawn, forked
from namedmap import (
    AbandonedMutexWarning,
    Event,
    Mutex,
    Semaphore,
    wait_all_async,
    wait_any,
    wait_any_async,
)
from test_primitives import raised
from test_primitives import tidy as tidy

NAME = "asyncio"
#: Words that one helper thread sleeps on, beside its own.
WORDS = 127
Result = TypeVar("Result")
Wait = Callable[..., Awaitable[object]]
each_wait = pytest.mark.parametrize("wait", [wait_any_async, wait_all_async])


def _uvloop() -> Any:
    return pytest.importorskip("uvloop", reason="uvloop is not installed").new_event_loop()


def _debugging() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


LOOPS = {"asyncio": asyncio.new_event_loop, "debugging": _debugging, "uvloop": _uvloop}

if sys.version_info >= (3, 12):

    def _eager() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    LOOPS["eager"] = _eager


@pytest.fixture(params=LOOPS)
def loops(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Makes event loops of each sort."""
    made: Callable[[], asyncio.AbstractEventLoop] = LOOPS[request.param]
    made().close()  # skips, if at all, before the test begins
    return made


def run(
    main: Coroutine[Any, Any, Result], loops: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
) -> Result:
    """Run a coroutine in a loop of its own; fails if it hangs."""

    async def watched() -> Result:
        async with asyncio.timeout(WATCHDOG):
            return await main

    with asyncio.Runner(loop_factory=loops) as runner:
        return runner.run(watched())


async def begun(*calls: Coroutine[Any, Any, Result]) -> "list[asyncio.Task[Result]]":
    """Tasks that wait: each has looked once, and gone to sleep."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    return tasks


async def cancelled(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(found, asyncio.CancelledError) for found in results)


async def finished(tasks: "Sequence[asyncio.Task[Any]]", number: int) -> None:
    """So many have ended, and the others go on waiting."""
    while sum(task.done() for task in tasks) < number:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.25)
    assert sum(task.done() for task in tasks) == number


def auto(signaled: bool = False) -> Event:
    return Event(manual=False, signaled=signaled)


def notifiers() -> int:
    return sum(thread.name == "namedmap-notifier" for thread in threading.enumerate())


class TestEveryLoop:
    """The same on every sort of event loop."""

    Loops = Callable[[], asyncio.AbstractEventLoop]

    def test_event(self, loops: Loops) -> None:
        """A waiter goes on when the event is set; an automatic one is clear then."""

        async def main() -> None:
            for manual in (True, False):
                event = Event(manual=manual)
                first, second = await begun(event.wait_async(), event.wait_async())
                event.set()
                await finished([first, second], 2 if manual else 1)
                event.set()
                assert all(await asyncio.gather(first, second))
                event.set()
                assert await event.wait_async()
                assert event.is_set() == manual

        run(main(), loops)

    def test_mutex(self, loops: Loops) -> None:
        """One task at a time, which lets others run meanwhile."""
        inside, order = 0, []

        async def work(mutex: Mutex, number: int) -> None:
            nonlocal inside
            async with mutex as same:
                assert same is mutex
                inside += 1
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert inside == 1
                inside -= 1
                order.append(number)

        async def main() -> None:
            mutex = Mutex()
            await asyncio.gather(*[work(mutex, number) for number in range(20)])
            assert not mutex.locked()

        run(main(), loops)
        assert sorted(order) == list(range(20))

    def test_semaphore(self, loops: Loops) -> None:
        """As many tasks at a time as it says."""
        inside, most = 0, 0

        async def work(semaphore: Semaphore) -> None:
            nonlocal inside, most
            async with semaphore as same:
                assert same is semaphore
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        async def main() -> None:
            semaphore = Semaphore(None, 3)
            await asyncio.gather(*[work(semaphore) for _ in range(30)])
            assert semaphore.value == 3

        run(main(), loops)
        assert 1 <= most <= 3

    def test_any_and_all(self, loops: Loops) -> None:
        """The lowest index; everything at once or nothing."""

        async def main() -> None:
            events = [auto() for _ in range(3)]
            either, every = await begun(wait_any_async(events), wait_all_async(events))
            events[1].set()
            assert await either == 1
            for event in events:
                event.set()
            assert await every is True
            assert not any(event.is_set() for event in events)

        run(main(), loops)

    def test_times(self, loops: Loops) -> None:
        """0 only looks; a time that passes gives False or None, not earlier."""

        async def main() -> None:
            event = Event()
            for timeout in (0, 0.05):
                before = time.monotonic()
                assert await event.wait_async(timeout) is False
                assert await Semaphore(None, 0).acquire_async(timeout) is False
                assert await wait_any_async([event], timeout) is None
                assert await wait_all_async([event], timeout) is False
                assert time.monotonic() - before >= 4 * timeout
            event.set()
            for patience in (None, 0, 1e-9, 1e300, float("inf")):
                assert await event.wait_async(patience)

        run(main(), loops)

    def test_cancellation(self, loops: Loops) -> None:
        """Ends the wait, takes nothing, and what came meanwhile goes to another."""

        async def main() -> None:
            event = auto()
            first, second = await begun(event.wait_async(), event.wait_async())
            event.set()
            await cancelled(first)
            assert await second
            assert not event.is_set()
            (last,) = await begun(event.wait_async())
            event.set()
            await cancelled(last)
            assert event.is_set()

        run(main(), loops)

    def test_the_end_of_a_task_abandons(self, loops: Loops) -> None:
        """The mutex that it owned is abandoned; the next owner is told."""

        async def main() -> None:
            mutex = Mutex()

            async def leave() -> None:
                await mutex.acquire_async()
                await asyncio.sleep(0)

            await asyncio.ensure_future(leave())
            with pytest.warns(AbandonedMutexWarning) as caught:
                await mutex.acquire_async()
            assert (len(caught), mutex.abandoned, mutex.owned()) == (1, True, True)
            mutex.release()

        run(main(), loops)


class TestWaits:
    def test_the_loop_goes_on(self) -> None:
        """While a task waits, others run: timers, other tasks, executors."""

        async def main() -> None:
            event = Event()
            (waiting,) = await begun(event.wait_async())
            for _ in range(100):
                await asyncio.sleep(0)
            assert await asyncio.to_thread(lambda: 5) == 5
            assert not waiting.done()
            event.set()
            assert await waiting

        run(main())

    @pytest.mark.parametrize("timeout", [-1, float("nan"), -float("inf"), "1", []])
    def test_times_that_cannot_be(self, timeout: Any) -> None:
        """They are refused, and nothing is taken."""

        async def main() -> None:
            event, mutex, semaphore = auto(True), Mutex(), Semaphore()
            expected = TypeError if isinstance(timeout, str | list) else ValueError
            for call in (
                event.wait_async(timeout),
                mutex.acquire_async(timeout),
                semaphore.acquire_async(timeout),
                wait_any_async([event], timeout),
                wait_all_async([event, mutex], timeout),
            ):
                with pytest.raises(expected):
                    await call
            assert (event.is_set(), mutex.locked(), semaphore.value) == (True, False, 1)

        run(main())

    @each_wait
    def test_arguments(self, wait: Wait) -> None:
        """1 to 64 objects, open ones; for all, no object twice."""

        async def main() -> None:
            event, closed = auto(True), Event()
            closed.close()
            for objects in ([], [event] * 65, [event, closed]):
                with pytest.raises(ValueError, match=r"64|closed"):
                    await wait(objects, 0)
            if wait is wait_all_async:
                with pytest.raises(ValueError, match="twice"):
                    await wait([event, event])
            assert event.is_set()
            assert await wait({event}, 0) in (0, True)

        run(main())

    def test_closed_ones(self) -> None:
        """A ValueError, by every method."""

        async def main() -> None:
            mutex, semaphore, event = Mutex(), Semaphore(), Event()
            for each in (mutex, semaphore, event):
                each.close()
            for call in (mutex.acquire_async, semaphore.acquire_async, event.wait_async, mutex.__aenter__):
                with pytest.raises(ValueError, match="closed"):
                    await call()

        run(main())

    def test_outside_of_asyncio(self) -> None:
        """Without a running task it is a RuntimeError that says so; nothing is taken."""
        event = auto(True)
        with pytest.raises(RuntimeError, match="asyncio task"):
            event.wait_async().send(None)
        assert event.is_set()

    def test_closing_during_a_wait(self) -> None:
        """The waiters go on waiting, and get what comes."""

        async def main() -> None:
            event, other = Event(NAME), Event(NAME)
            (waiting,) = await begun(event.wait_async())
            event.close()
            await asyncio.sleep(0.3)  # longer than any sleep of the helper thread
            other.set()
            assert await waiting

        run(main())

    def test_with_threads(self, helpers: Helpers) -> None:
        """Tasks and threads wait for the same things, each released once."""

        async def main() -> None:
            event, semaphore = auto(), Semaphore(None, 0)
            threads = waiters(helpers, 2, event.wait)
            tasks = await begun(event.wait_async(), semaphore.acquire_async())
            for _ in range(3):
                event.set()
            assert await tasks[0]
            await asyncio.to_thread(exactly, threads, 2)
            await asyncio.to_thread(semaphore.release)
            assert await tasks[1]
            assert all(thread.result() for thread in threads)
            assert not event.is_set()

        run(main())

    def test_with_processes(self, spawn: Spawn) -> None:
        """Ping-pong with a blocking process."""
        child = spawn()
        there, back = Event("there", manual=False), Event("back", manual=False)
        child.run("import namedmap\nthere, back = namedmap.Event.open('there'), namedmap.Event.open('back')")
        child.start("value", "[there.wait() and back.set() for _ in range(20)]")

        async def main() -> None:
            for _ in range(20):
                there.set()
                assert await back.wait_async()

        run(main())
        assert child.finish() == [None] * 20

    def test_between_two_loops(self) -> None:
        """Each in its thread."""
        there, back, mutex = auto(), auto(), Mutex()
        inside: list[int] = []

        async def turns() -> None:
            for _ in range(30):
                async with mutex:
                    inside.append(1)
                    await asyncio.sleep(0)
                    assert len(inside) == 1
                    inside.pop()

        async def player(mine: Event, other: Event) -> None:
            for _ in range(30):
                assert await mine.wait_async()
                other.set()
            await asyncio.gather(turns(), turns())

        thread = threading.Thread(target=lambda: run(player(there, back)))
        thread.start()
        there.set()
        run(player(back, there))
        thread.join(WATCHDOG)
        assert not thread.is_alive()
        assert (mutex.locked(), there.is_set(), back.is_set()) == (False, True, False)


class TestCancellation:
    def test_takes_nothing(self) -> None:
        """Of any kind, in any sort of wait."""

        async def main() -> None:
            event, semaphore, mutex, never = auto(), Semaphore(None, 0), Mutex(), Event()
            with mutex:
                tasks = await begun(
                    event.wait_async(),
                    semaphore.acquire_async(),
                    mutex.acquire_async(),
                    wait_any_async([never, event, semaphore, mutex]),
                    wait_all_async([never, event, semaphore, mutex]),
                )
                await cancelled(*tasks)
            event.set()
            semaphore.release()
            assert (event.is_set(), semaphore.value, mutex.locked()) == (True, 1, False)

        run(main())

    @pytest.mark.parametrize("made", [auto, lambda: Semaphore(None, 0)])
    @pytest.mark.parametrize("pause", [None, 0, 0.001])
    def test_passes_the_signal_on(self, made: Callable[[], Event | Semaphore], pause: float | None) -> None:
        """Whenever it comes after the signal, another waiter gets that, or it stays."""

        async def main() -> None:
            for _ in range(20):
                held = made()
                tasks = await begun(*[wait_any_async([Event(), held]) for _ in range(4)])
                post(held)
                if pause is not None:
                    await asyncio.sleep(pause)
                victims = [task for task in tasks if not task.done()][:2]
                for task in victims:
                    task.cancel()
                others = [task for task in tasks if task not in victims]
                await asyncio.gather(*victims, return_exceptions=True)
                lost = [task for task in victims if not task.cancelled()]
                if not lost:
                    await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
                # One of all has got it, once.
                assert sum(task.done() for task in others) + len(lost) == 1
                await cancelled(*[task for task in others if not task.done()])
                assert not is_there(held)

        run(main())

    def test_to_a_thread(self, helpers: Helpers) -> None:
        """The other waiter may be a thread."""

        async def main() -> None:
            for _ in range(5):
                event = auto()
                (task,) = await begun(event.wait_async())
                (thread,) = waiters(helpers, 1, event.wait)
                event.set()
                await cancelled(task)
                assert await asyncio.to_thread(thread.result)
                assert not event.is_set()

        run(main())

    def test_of_a_mutex(self) -> None:
        """A task that is cancelled when it could have had it leaves it to the next."""

        async def main() -> None:
            for _ in range(20):
                mutex = Mutex()
                await mutex.acquire_async()
                first, second = await begun(taken(mutex), taken(mutex))
                mutex.release()
                await cancelled(first)
                assert await second
                assert not mutex.locked()

        async def taken(mutex: Mutex) -> bool:
            async with mutex:
                return mutex.owned()

        run(main())

    def test_timeouts_of_asyncio(self) -> None:
        """asyncio.timeout and wait_for end a wait as a cancellation does."""

        async def main() -> None:
            event = auto()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await event.wait_async()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(event.wait_async(), 0.02)
            with pytest.raises(ExceptionGroup):
                await group(event)
            event.set()
            assert event.is_set()

        async def group(event: Event) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(event.wait_async())
                tasks.create_task(failing())

        async def failing() -> None:
            raise KeyError

        run(main())

    def test_at_random(self) -> None:
        """Whatever is cancelled when, every unit is taken by one task or still there."""
        generator = random.Random(5)

        async def main() -> None:
            semaphore, released, taken = Semaphore(None, 0), 0, 0
            tasks: set[asyncio.Task[bool]] = set()
            for _ in range(400):
                choice = generator.random()
                if choice < 0.4:
                    tasks.add(asyncio.ensure_future(semaphore.acquire_async()))
                elif choice < 0.6:
                    released += 1
                    semaphore.release()
                elif choice < 0.85 and tasks:
                    generator.choice(sorted(tasks, key=id)).cancel()
                else:
                    await asyncio.sleep(generator.choice([0, 0, 0.001]))
                done = {task for task in tasks if task.done()}
                taken += sum(not task.cancelled() for task in done)
                tasks -= done
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            taken += sum(not task.cancelled() for task in tasks)
            assert semaphore.value + taken == released

        run(main())


class TestHelperThread:
    @pytest.mark.parametrize("number", [WORDS, 300])
    def test_hundreds_of_waiters(self, number: int) -> None:
        """One more thread for each 127 words, not for each waiter; and no more the next time."""

        async def main() -> None:
            for _ in range(2):
                events = [Event() for _ in range(number)]
                before = threading.active_count() - notifiers()
                tasks = await begun(*[event.wait_async() for event in events])
                assert threading.active_count() - before == notifiers() <= -(-number // WORDS) + 1
                for event in reversed(events):
                    event.set()
                assert all(await asyncio.gather(*tasks))

        run(main())

    def test_many_waiters_of_one_event(self) -> None:
        """Each automatic set releases one of them, a manual one all."""

        async def main() -> None:
            event, everybody = auto(), Event()
            tasks = await begun(*[wait_any_async([event, everybody]) for _ in range(200)])
            for _ in range(50):
                event.set()
            await finished(tasks, 50)
            everybody.set()
            results = await asyncio.gather(*tasks)
            assert (results.count(0), results.count(1)) == (50, 150)

        run(main())

    def test_waits_for_64(self) -> None:
        """The largest waits, several at a time, wake for their last object too."""

        async def main() -> None:
            events = [auto() for _ in range(64)]
            tasks = await begun(*[wait_any_async(events) for _ in range(4)])
            for index in (63, 0, 31, 62):
                events[index].set()
            assert sorted([await task or 0 for task in tasks]) == [0, 31, 62, 63]

        run(main())

    def test_after_a_fork(self) -> None:
        """A child has a helper thread of its own."""
        event, back = Event(), Event()

        async def child() -> None:
            (task,) = await begun(event.wait_async())
            back.set()
            assert await task

        async def parent() -> None:
            assert await back.wait_async()
            event.set()

        async def warm_up() -> None:
            assert not await Event().wait_async(0.01)

        run(warm_up())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads
            with forked(lambda: run(child())):
                run(parent())


class TestOwnership:
    def test_recursion(self) -> None:
        """A task takes what it owns again; it is free after as many releases."""

        async def main() -> None:
            mutex = Mutex()
            for _ in range(3):
                assert await mutex.acquire_async(0)
            async with mutex:
                assert mutex.owned()
            assert await wait_any_async([mutex], 0) == 0
            assert await wait_all_async([mutex], 0)
            for _ in range(5):
                assert mutex.locked()
                mutex.release()
            assert not mutex.locked()
            with pytest.raises(RuntimeError):
                mutex.release()

        run(main())

    def test_keeps_everybody_out(self, spawn: Spawn) -> None:
        """Other tasks of the loop, its own thread outside of the task, other threads and processes."""
        child = spawn()
        mutex = Mutex(NAME)
        child.run(f"import namedmap\nmutex = namedmap.Mutex.open({NAME!r})")

        async def attempt() -> bool:
            return await mutex.acquire_async(0) or mutex.owned()

        async def main() -> None:
            async with mutex:
                assert mutex.owned()
                assert not await asyncio.ensure_future(attempt())
                assert not mutex.acquire(0)  # for the thread
                assert not await asyncio.to_thread(mutex.acquire, 0)
                assert not child.value("mutex.acquire(0)")
                seen: list[bool] = []
                asyncio.get_running_loop().call_soon(lambda: seen.append(mutex.owned()))
                await asyncio.sleep(0.01)
                assert seen == [False]
                assert not await asyncio.to_thread(lambda: run(attempt()))
            assert not mutex.locked()

        run(main())

    def test_release_by_another(self) -> None:
        """Another task, a callback or thread is refused with a RuntimeError, and the owner keeps it."""

        async def main() -> None:
            mutex = Mutex()
            await mutex.acquire_async()

            async def release() -> object:
                return raised(mutex.release)

            assert await asyncio.ensure_future(release()) is namedmap.NotOwnerError
            assert await asyncio.to_thread(raised, mutex.release) is namedmap.NotOwnerError
            seen: list[object] = []
            asyncio.get_running_loop().call_soon(lambda: seen.append(raised(mutex.release)))
            await asyncio.sleep(0.01)
            assert seen == [namedmap.NotOwnerError]
            assert mutex.owned()
            mutex.release()

        run(main())

    def test_called_coroutines_are_the_task(self) -> None:
        """A coroutine that a task awaits directly runs as the task."""

        async def helper(mutex: Mutex) -> None:
            async with mutex:
                assert mutex.owned()

        async def main() -> None:
            mutex = Mutex()
            async with mutex:
                await helper(mutex)
                assert mutex.owned()
            assert not mutex.locked()

        run(main())

    def test_whoever_awaits_owns(self) -> None:
        """gather and create_task make tasks; what these acquire is abandoned with their end."""

        async def main() -> None:
            mutex = Mutex()
            assert all(await asyncio.gather(mutex.acquire_async()))
            assert not mutex.owned()
            with pytest.warns(AbandonedMutexWarning):
                assert await mutex.acquire_async()
            mutex.release()
            async with asyncio.timeout(WATCHDOG):
                assert await mutex.acquire_async()
            assert mutex.owned()
            mutex.release()
            assert await asyncio.wait_for(mutex.acquire_async(), WATCHDOG)
            assert mutex.owned() == (sys.version_info >= (3, 12))  # before, wait_for makes a task
            if mutex.owned():
                mutex.release()

        run(main())

    @pytest.mark.parametrize("end", ["return", "raise", "cancel"])
    def test_the_end_of_the_task_abandons(self, end: str) -> None:
        """However it ends, and however often it had acquired it."""

        async def leave(mutex: Mutex) -> None:
            await mutex.acquire_async()
            await mutex.acquire_async()
            if end == "raise":
                raise KeyError
            if end == "cancel":
                await asyncio.sleep(WATCHDOG)

        async def main() -> None:
            mutex = Mutex()
            (owner,) = await begun(leave(mutex))
            if end == "cancel":
                owner.cancel()
            await asyncio.wait([owner])
            with pytest.warns(AbandonedMutexWarning):
                assert await mutex.acquire_async()
            mutex.release()
            assert not mutex.locked()
            assert (owner.cancelled(), not owner.cancelled() and owner.exception() is not None) == (
                end == "cancel",
                end == "raise",
            )

        run(main())

    def test_the_end_of_the_task_wakes(self, helpers: Helpers, spawn: Spawn) -> None:
        """It wakes every kind of waiter for its mutex: a task, a thread, another process."""
        child = spawn()
        child.run("import namedmap, warnings; warnings.simplefilter('ignore')")

        def from_thread(mutex: Mutex) -> bool:
            with pytest.warns(AbandonedMutexWarning):
                mutex.acquire()
            mutex.release()
            return True

        async def own(mutex: Mutex, leave: asyncio.Event) -> None:
            await mutex.acquire_async()
            await leave.wait()

        async def main() -> None:
            mutex = Mutex(NAME)
            child.run(f"mutex = namedmap.Mutex.open({NAME!r})")
            for waiter in ("task", "thread", "process"):
                leave = asyncio.Event()
                (owner,) = await begun(own(mutex, leave))
                if waiter == "task":
                    (waiting,) = await begun(mutex.acquire_async())
                    leave.set()
                    with pytest.warns(AbandonedMutexWarning):
                        assert await waiting
                    with pytest.warns(AbandonedMutexWarning):  # that task has ended, too
                        assert mutex.acquire(0)
                    mutex.release()
                elif waiter == "thread":
                    (thread,) = waiters(helpers, 1, from_thread, mutex)
                    leave.set()
                    assert await asyncio.to_thread(thread.result)
                else:
                    child.start("value", "mutex.acquire() and mutex.abandoned")
                    asleep(child)
                    leave.set()
                    assert await asyncio.to_thread(child.finish)
                    child.run("mutex.release()")
                await owner
            assert not mutex.locked()

        run(main())

    @pytest.mark.filterwarnings("ignore:.*was abandoned:namedmap.AbandonedMutexWarning")
    def test_the_end_of_the_loop_abandons(self) -> None:
        """asyncio.run ends all tasks, the first one and those that it left behind."""
        mine, other = Mutex(), Mutex()

        async def linger() -> None:
            await other.acquire_async()
            await asyncio.sleep(WATCHDOG)

        tasks: list[asyncio.Task[None]] = []

        async def main() -> None:
            tasks.append(asyncio.ensure_future(linger()))
            await mine.acquire_async()
            await asyncio.sleep(0.01)

        asyncio.run(main())
        for mutex in (mine, other):
            assert mutex.acquire(0)
            assert mutex.abandoned
            mutex.release()

    @pytest.mark.leaves_dead_files
    def test_a_killed_process_abandons(self, spawn: Spawn) -> None:
        """A waiting task is told."""
        mutex = Mutex(NAME)
        child = spawn(
            f"""
            import asyncio, namedmap
            async def main():
                async with namedmap.Mutex({NAME!r}):
                    say("owned")
                    await asyncio.sleep(600)
            asyncio.run(main())
            """
        )
        assert child.line() == "owned"

        async def main() -> None:
            (waiting,) = await begun(mutex.acquire_async())
            assert not waiting.done()
            child.kill()
            with pytest.warns(AbandonedMutexWarning):
                assert await waiting

        run(main())

    def test_of_the_thread(self, helpers: Helpers) -> None:
        """A mutex of `acquire` or `with` is the thread's: its tasks wait for it, and it stays after the task."""
        mutex = Mutex()
        (other,) = helpers(1)

        async def main() -> None:
            with mutex:
                assert not await mutex.acquire_async(0.01)
                assert mutex.owned()  # by the thread
            assert mutex.acquire()
            (waiting,) = await begun(mutex.acquire_async())
            mutex.release()  # a task of the thread releases what is the thread's
            assert await waiting
            with pytest.warns(AbandonedMutexWarning):
                assert mutex.acquire()

        run(main())
        assert mutex.owned()
        assert not other.do(mutex.acquire, 0)
        mutex.release()

    def test_of_another_thread(self, helpers: Helpers) -> None:
        """A task waits for it, and gets it when it is released, or its thread ends."""
        mutex = Mutex()
        first, second = helpers(2)

        async def main() -> None:
            first.do(mutex.acquire)
            (waiting,) = await begun(own_for_a_moment())
            assert not waiting.done()
            first.do(mutex.release)
            assert await waiting
            second.do(mutex.acquire)
            (waiting,) = await begun(own_for_a_moment())
            second.end()
            with pytest.warns(AbandonedMutexWarning):
                assert await waiting

        async def own_for_a_moment() -> bool:
            async with mutex:
                return mutex.owned()

        run(main())

    def test_both_at_once(self) -> None:
        """Release gives up the thread's ownership of a mutex of the thread, the task's of one of the task."""

        async def main() -> None:
            of_thread, of_task = Mutex(), Mutex()
            of_thread.acquire()
            await of_task.acquire_async()
            assert (of_thread.owned(), of_task.owned()) == (True, True)
            of_thread.release()
            of_task.release()
            assert (of_thread.locked(), of_task.locked()) == (False, False)

        run(main())

    def test_after_a_fork(self) -> None:
        """A child that is forked in a task owns nothing of the task's."""

        def child() -> None:
            assert raised(mutex.release) is namedmap.NotOwnerError
            assert not mutex.acquire(0)

        mutex = Mutex()

        async def main() -> None:
            async with mutex:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads
                    with forked(child):
                        pass
                assert mutex.owned()

        run(main())
        assert not mutex.locked()

    def test_dropping_the_object(self) -> None:
        """`async with Mutex(name):` keeps others out to the end of the block, though nobody keeps the object."""

        async def main() -> None:
            mutex = Mutex(NAME)
            async with Mutex(NAME):
                gc.collect()
                assert not await asyncio.to_thread(mutex.acquire, 0)
            assert not mutex.locked()

        run(main())

    def test_with_an_event_loop_in_each_process(self, spawn: Spawn) -> None:
        """Tasks of three processes lose no update under one mutex."""
        section = create("aio.number")
        address = view(section)
        mutex, go = Mutex("aio.mutex"), Event("aio.go")
        children = [
            spawn(
                """
                import asyncio, ctypes, namedmap
                number = ctypes.c_int64.from_address(view(open_("aio.number")))
                async def work(mutex, go):
                    await go.wait_async()
                    for _ in range(10):
                        async with mutex:
                            value = number.value
                            await asyncio.sleep(0)
                            number.value = value + 1
                async def main():
                    mutex, go = namedmap.Mutex.open("aio.mutex"), namedmap.Event.open("aio.go")
                    tasks = [asyncio.ensure_future(work(mutex, go)) for _ in range(5)]
                    await asyncio.sleep(0)
                    say("ready")
                    await asyncio.gather(*tasks)
                asyncio.run(main())
                """
            )
            for _ in range(3)
        ]
        assert [child.line() for child in children] == ["ready"] * 3
        go.set()
        assert [child.wait() for child in children] == [0] * 3
        assert int.from_bytes(load(address, 8), "little") == 150
        assert not mutex.locked()
        unmap(address)
        close(section)


def post(held: Event | Semaphore) -> None:
    if isinstance(held, Event):
        held.set()
    else:
        held.release()


def is_there(held: Event | Semaphore) -> bool:
    return wait_any([held], 0) is not None
