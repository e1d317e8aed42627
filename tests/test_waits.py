"""wait_any and wait_all: index, order, atomicity, limits, abandoned mutexes, other processes.

And the ends of waits in asyncio (see test_asyncio_waits): loops that are closed, programs that end, Ctrl-C.
"""

import asyncio
import contextlib
import gc
import os
import signal
import time
import warnings
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any

import pytest

import namedmap
from calls.kernel import owners
from calls.sync import Helpers, asleep, exactly, waiters
from child import WATCHDOG, Spawn, eventually
from namedmap import (
    AbandonedMutexWarning,
    Event,
    Mutex,
    Semaphore,
    wait_all,
    wait_all_async,
    wait_any,
    wait_any_async,
    win32,
)
from test_asyncio_waits import begun, run
from test_primitives import PRIMITIVES, Class, abandon, each_class, gone, make, raised, run_python
from test_primitives import tidy as tidy

NAME = "waits"
MOST = 64
each_wait = pytest.mark.parametrize("wait", [wait_any, wait_all])


def auto(signaled: bool = False) -> Event:
    return Event(manual=False, signaled=signaled)


class TestAny:
    def test_the_first_that_is_there(self) -> None:
        """Its index; the others are left alone."""
        events = [auto(index in (2, 4)) for index in range(6)]
        assert wait_any(events) == 2
        assert [event.is_set() for event in events] == [False] * 4 + [True, False]
        assert [wait_any(events, 0), wait_any(events, 0)] == [4, None]

    def test_every_kind(self, helpers: Helpers) -> None:
        """Mutexes are owned by the thread, semaphores counted down, automatic events cleared, manual ones not."""
        mutex, semaphore, automatic, manual = Mutex(), Semaphore(None, 1), auto(True), Event(signaled=True)
        (other,) = helpers(1)
        assert wait_any([mutex, semaphore, automatic, manual]) == 0
        assert mutex.owned()
        objects = [semaphore, mutex, automatic, manual]
        assert [other.do(wait_any, objects, 0) for _ in range(4)] == [0, 2, 3, 3]
        mutex.release()
        assert (semaphore.value, automatic.is_set(), manual.is_set()) == (0, False, True)

    def test_times(self) -> None:
        """0 only looks; a time that passes gives None, not earlier."""
        events = [auto(), Event()]
        assert wait_any(events, 0) is None
        before = time.monotonic()
        assert wait_any(events, 0.05) is None
        assert time.monotonic() - before >= 0.05

    def test_duplicates(self) -> None:
        """The same object more than once, or two objects of one name: the first index."""
        event, again = Event(NAME, manual=False, signaled=True), Event(NAME)
        assert wait_any([auto(), event, event, again], 0) == 1
        assert wait_any([event] * MOST, 0) is None
        again.set()
        assert wait_any([again, event], 0) == 0

    def test_in_another_process(self, spawn: Spawn) -> None:
        child = spawn()
        events = [Event(f"{NAME}{index}", manual=False) for index in range(3)]
        child.run(f"import namedmap\nevents = [namedmap.Event.open(f'{NAME}{{index}}') for index in range(3)]")
        for index in (2, 0, 1):
            child.start("value", "namedmap.wait_any(events)")
            asleep(child)
            events[index].set()
            assert child.finish() == index


class TestAll:
    def test_takes_all(self, helpers: Helpers) -> None:
        """Of every kind, at once."""
        mutex, semaphore, automatic, manual = Mutex(), Semaphore(None, 2), auto(True), Event(signaled=True)
        (other,) = helpers(1)
        assert other.do(wait_all, [mutex, semaphore, automatic, manual])
        assert (mutex.locked(), semaphore.value, automatic.is_set(), manual.is_set()) == (True, 1, False, True)
        other.do(mutex.release)

    def test_times(self) -> None:
        """A time that passes gives False, not earlier."""
        before = time.monotonic()
        assert wait_all([auto(True), auto()], 0.05) is False
        assert time.monotonic() - before >= 0.05

    def test_duplicates_are_refused(self) -> None:
        """The same object twice, or twice by name, is a ValueError, and takes nothing."""
        event, again, other = Event(NAME, manual=False, signaled=True), Event(NAME), auto(True)
        for objects in ([event, event], [other, event, again], [event, other, event]):
            with pytest.raises(ValueError, match="twice"):
                wait_all(objects)
        assert (event.is_set(), other.is_set()) == (True, True)


class TestArguments:
    @each_wait
    def test_one_to_64(self, wait: Callable[..., object]) -> None:
        """No objects, or more than 64, are a ValueError, before anything else."""
        events = [auto(True) for _ in range(MOST + 1)]
        for objects in ([], events):
            with pytest.raises(ValueError, match="64"):
                wait(objects, 0)
        assert all(event.is_set() for event in events)
        assert wait(events[:MOST], 0) in (0, True)
        assert wait(events[-1:], 0) in (0, True)

    @each_wait
    @pytest.mark.parametrize("timeout", [-1, float("nan"), -float("inf"), "1", []])
    def test_times_that_cannot_be(self, wait: Callable[..., object], timeout: object) -> None:
        """They are refused, and nothing is taken."""
        event = auto(True)
        expected = TypeError if isinstance(timeout, str | list) else ValueError
        assert raised(lambda: wait([event], timeout)) is expected
        assert event.is_set()

    @each_wait
    @pytest.mark.parametrize("timeout", [None, 0, 0.0, 1e9, 1e300, float("inf")])
    def test_what_is_there_is_had_at_any_time(self, wait: Callable[..., object], timeout: float | None) -> None:
        assert wait([auto(True)], timeout) is not None

    @each_wait
    @pytest.mark.parametrize("collection", [list, tuple, iter, dict.fromkeys, set])
    def test_any_collection(self, wait: Callable[..., object], collection: Callable[..., Iterable[Event]]) -> None:
        """Any iterable is good enough."""
        event = auto(True)
        assert wait(collection([event]), 0) in (0, True)
        assert not event.is_set()

    @each_wait
    def test_a_list_that_changes(self, wait: Callable[..., object], helpers: Helpers) -> None:
        """The objects are those of the beginning."""
        mutex, event = abandon(), auto()
        objects: list[object] = [event, mutex] if wait is wait_all else [event]

        def patiently() -> object:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = wait(objects)
            if mutex.owned():
                mutex.release()
            return found

        (thread,) = waiters(helpers, 1, patiently)
        objects.clear()
        event.set()
        assert thread.result() in (0, True)
        assert mutex.abandoned == (wait is wait_all)

    @each_wait
    @pytest.mark.parametrize("objects", [None, 1, [1], [None], ["name"], "name"])
    def test_other_things(self, wait: Callable[..., object], objects: object) -> None:
        """Are no objects."""
        assert raised(lambda: wait(objects, 0)) in (TypeError, AttributeError)

    @each_wait
    @each_class
    def test_a_closed_one(self, wait: Callable[..., object], cls: Class) -> None:
        """A ValueError; the others are not taken."""
        closed, event = cls(), auto(True)
        closed.close()
        for objects in ([closed], [event, closed]):
            with pytest.raises(ValueError, match="closed"):
                wait(objects, 0)
        assert event.is_set()

    @each_wait
    def test_each_kind_alone(self, wait: Callable[..., object]) -> None:
        for cls in PRIMITIVES:
            assert wait([make(cls)], 0) in (0, True)

    @each_wait
    def test_one_without_the_right_to_wait(self, wait: Callable[..., object]) -> None:
        """A handle that has no SYNCHRONIZE is a PermissionError."""
        event, weak, this, new = Event(signaled=True), Event(signaled=True), win32.GetCurrentProcess(), win32.HANDLE()
        rights, close_source = win32.EVENT_MODIFY_STATE, win32.DUPLICATE_CLOSE_SOURCE
        assert win32.DuplicateHandle(this, weak.handle, this, new, rights, False, close_source)
        assert new.value == weak.handle
        with pytest.raises(PermissionError):
            wait([event, weak], 0)

    @each_wait
    def test_what_cannot_be_waited_for(self, wait: Callable[..., object]) -> None:
        """A mapping, or something else altogether, is a TypeError that names what can be."""
        with namedmap.create(None, 10) as mapping:
            for other in (mapping, "x", 5):
                with pytest.raises(TypeError, match="Mutex, Semaphore and Event"):
                    wait([Event(), other], 0)


class TestAbandoned:
    def test_any(self) -> None:
        """The index is told, the mutex is owned, the warning comes once."""
        mutex = abandon()
        with pytest.warns(AbandonedMutexWarning) as caught:
            assert wait_any([auto(), mutex, auto(True)]) == 1
        assert (len(caught), mutex.abandoned, mutex.owned()) == (1, True, True)
        assert wait_any([mutex]) == 0
        assert not mutex.abandoned
        mutex.release()
        mutex.release()

    def test_all(self) -> None:
        """Which of them it was, Windows does not tell: each mutex says that it may be."""
        mutex, sound, semaphore = abandon(), Mutex(), Semaphore()
        with pytest.warns(AbandonedMutexWarning) as caught:
            assert wait_all([sound, semaphore, mutex], 0)
        assert len(caught) == 2
        assert (mutex.abandoned, sound.abandoned) == (True, True)
        assert wait_all([sound, mutex], 0)
        assert (mutex.abandoned, sound.abandoned) == (False, False)
        for each in (mutex, sound):
            each.release()
            each.release()
        assert semaphore.value == 0

    def test_the_unsuccessful_are_not_told(self) -> None:
        """A wait that takes nothing leaves the news to the next."""
        mutex = abandon()
        assert not wait_all([mutex, auto()], 0.05)
        assert wait_any([auto(True), mutex], 0) == 0
        assert not mutex.abandoned
        with pytest.warns(AbandonedMutexWarning):
            assert wait_any([mutex], 0) == 0
        mutex.release()

    def test_as_an_error(self) -> None:
        """Where the warning is an error the whole wait has failed: no mutex of it is owned."""
        mutex, before, after = abandon(), Mutex(), Mutex()
        with warnings.catch_warnings():
            warnings.simplefilter("error", AbandonedMutexWarning)
            with pytest.raises(AbandonedMutexWarning):
                wait_all([before, mutex, after], 0)
        assert [each.locked() for each in (before, mutex, after)] == [False] * 3


class TestOthers:

    def test_any_and_all_together(self, helpers: Helpers) -> None:
        """A waiter for all does not keep waiters for any from what is there."""
        first, second = auto(), auto()
        (both,) = waiters(helpers, 1, wait_all, [first, second])
        (either,) = waiters(helpers, 1, wait_any, [first, second])
        first.set()
        assert either.result() == 0
        exactly([both], 0)
        first.set()
        second.set()
        assert both.result()


class TestWarningsOfTasks:
    def test_points_at_the_caller(self) -> None:
        """At the line of the task that acquired it, whichever way."""

        async def main() -> None:
            calls: list[Callable[[Mutex], Awaitable[object]]] = [
                lambda mutex: mutex.acquire_async(),
                lambda mutex: wait_any_async([mutex]),
                lambda mutex: wait_all_async([mutex], WATCHDOG),
            ]
            for call in calls:
                mutex = abandon()
                with pytest.warns(AbandonedMutexWarning) as caught:
                    await call(mutex)
                assert [each.filename for each in caught] == [__file__]
                mutex.release()
            mutex = abandon()
            with pytest.warns(AbandonedMutexWarning) as caught:
                async with mutex:
                    pass
            assert [each.filename for each in caught] == [__file__]

        run(main())

    def test_as_an_error(self) -> None:
        """Where the warning is an error the acquisition has failed: the mutex is free again."""

        async def main() -> None:
            mutex = abandon()
            with warnings.catch_warnings():
                warnings.simplefilter("error", AbandonedMutexWarning)
                with pytest.raises(AbandonedMutexWarning):
                    await mutex.acquire_async()
            assert not mutex.locked()

        run(main())


class TestEndsOfLoops:
    @pytest.fixture(autouse=True)
    def _quiet(self, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        """asyncio logs tasks that are destroyed; here they are meant to be."""
        with caplog.at_level("CRITICAL", "asyncio"):
            yield

    @staticmethod
    def _leave_waiting(wait: Callable[[], Coroutine[Any, Any, object]]) -> "weakref.ref[asyncio.Task[object]]":
        """Close a loop in which a task waits."""
        loop = asyncio.new_event_loop()
        task: asyncio.Task[object] = loop.create_task(wait())
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        return weakref.ref(task)

    def test_a_loop_closed_while_a_task_waits(self, helpers: Helpers) -> None:
        """Nothing is lost: what is set then goes to others, once the task was collected or at once."""
        event = auto()
        left = self._leave_waiting(event.wait_async)
        time.sleep(0.3)  # the helper thread tells the closed loop
        eventually(lambda: gc.collect() >= 0 and left() is None, "the end of the task")
        (thread,) = waiters(helpers, 1, event.wait)
        event.set()
        assert thread.result()
        self._leave_waiting(event.wait_async)
        event.set()
        assert event.wait(WATCHDOG)

    def test_a_loop_closed_while_a_task_owns(self) -> None:
        """A task that never ends keeps its mutex; other tasks and threads are not let in."""
        mutex = Mutex()

        async def own() -> None:
            async with mutex:
                await asyncio.sleep(WATCHDOG)

        left = self._leave_waiting(own)
        assert not mutex.acquire(0.05)
        task = left()
        assert task is not None
        owners.ended(task)  # so that nothing is left of this test
        coroutine = task.get_coro()
        assert coroutine is not None
        with pytest.raises(namedmap.NotOwnerError):
            coroutine.close()
        with pytest.warns(AbandonedMutexWarning):
            assert mutex.acquire(0)
        mutex.release()

    def test_the_next_loop_waits_as_ever(self) -> None:
        """The helper thread survives closed loops."""
        event = Event()
        for _ in range(5):
            self._leave_waiting(event.wait_async)

        async def main() -> None:
            (waiting,) = await begun(event.wait_async())
            await asyncio.sleep(0.3)
            event.set()
            assert await waiting

        run(main())
        gc.collect()

    @pytest.mark.parametrize("end", ["cancel", "set", "close"])
    def test_nothing_is_kept_alive(self, end: str) -> None:
        """Neither the loop nor the object of a wait that is over: the object goes with its last reference."""

        def once() -> "weakref.ref[object]":
            event, loop = Event(NAME), asyncio.new_event_loop()
            task = loop.create_task(event.wait_async())
            loop.run_until_complete(asyncio.sleep(0.01))
            if end == "set":
                event.set()
            elif end == "cancel":
                task.cancel()
            if end != "close":
                with contextlib.suppress(asyncio.CancelledError):
                    loop.run_until_complete(task)
            loop.close()
            return weakref.ref(loop)

        loop = once()
        eventually(lambda: gc.collect() >= 0 and loop() is None, "the end of the loop")
        eventually(lambda: gone(Event), "the end of the event")

    def test_collected_in_the_middle_of_calls(self) -> None:
        """The collector may end waits at any moment, in any thread, without holding anybody up."""
        result = run_python(
            """
            import asyncio, gc, logging, time, namedmap
            logging.disable(logging.CRITICAL)
            gc.set_threshold(1, 1, 1)
            event = namedmap.Event()

            async def wait():
                await event.wait_async()

            end = time.monotonic() + 1
            while time.monotonic() < end:
                loop = asyncio.new_event_loop()
                tasks = [loop.create_task(wait()) for _ in range(5)]
                loop.run_until_complete(asyncio.sleep(0))
                loop.close()
            print("done")
            """
        )
        assert result.stdout == "done\n", result.stderr

    def test_collected_in_the_middle_of_a_registration(self) -> None:
        """The same where it is hardest: in the thread that has the helper's lock."""
        result = run_python(
            """
            import namedmap
            from calls.kernel import Line, notifier
            held = namedmap.Event().waited().object
            helper, line = notifier.Notifier(), Line(held)
            helper.add(line, held)
            with helper._lock:
                line.end()
                line.end()
            print(helper.load)
            """
        )
        assert result.stdout == "0\n", result.stderr

    def test_no_thread_for_the_helper(self) -> None:
        """The wait says so; the next one tries again."""
        result = run_python(
            """
            import asyncio, threading, namedmap
            event, start = namedmap.Event(), threading.Thread.start
            def failing(thread):
                threading.Thread.start = start
                raise RuntimeError("can't start new thread")

            async def main():
                threading.Thread.start = failing
                try:
                    await event.wait_async()
                except RuntimeError as error:
                    print(error)
                task = asyncio.ensure_future(event.wait_async())
                await asyncio.sleep(0.05)
                event.set()
                print(await task)

            asyncio.run(main())
            """
        )
        assert result.stdout == "can't start new thread\nTrue\n", result.stderr

    def test_a_loop_that_cannot_be_told(self) -> None:
        """Its waits end by its own timers; other loops' go on as ever."""

        class Deaf(asyncio.SelectorEventLoop):
            def call_soon_threadsafe(self, *_: object, **__: object) -> Any:
                raise AttributeError("this loop has lost its pipe")

        event, other = Event(), Event()
        loop = Deaf()
        task = loop.create_task(event.wait_async(0.1))
        loop.run_until_complete(asyncio.sleep(0.01))
        event.set()
        event.clear()
        loop.run_until_complete(task)
        loop.close()

        async def main() -> None:
            (waiting,) = await begun(other.wait_async())
            other.set()
            assert await waiting

        run(main())

    def test_a_fork_while_the_helper_works(self) -> None:
        """The child, which has no helper, may end its parent's waits."""
        result = run_python(
            """
            import asyncio, os, signal, threading, time, warnings, namedmap
            from calls.kernel import notifier
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads
            inside, prepared = threading.Event(), notifier.Notifier._prepared
            def slow(self):
                with self._lock:
                    inside.set()
                    time.sleep(0.2)
                    return prepared(self)
            notifier.Notifier._prepared = slow

            async def main():
                event = namedmap.Event()
                tasks = [asyncio.ensure_future(event.wait_async()) for _ in range(2)]
                await asyncio.sleep(0.01)
                event.set()
                event.clear()
                while not inside.is_set():
                    time.sleep(0.001)
                pid = os.fork()
                if not pid:
                    signal.alarm(30)
                    tasks[0].cancel()
                    await asyncio.gather(*tasks[:1], return_exceptions=True)
                    os._exit(7)
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
                for task in tasks:
                    task.cancel()

            asyncio.run(main())
            """
        )
        assert result.stdout == "7\n", result.stderr

    def test_a_program_that_ends_while_tasks_wait(self) -> None:
        """asyncio.run cancels them; nothing is said."""
        result = run_python(
            """
            import asyncio
            from namedmap import Event  # loaded here: in the loop it would be a slow callback to development mode

            async def main():
                event = Event()
                tasks = [asyncio.ensure_future(event.wait_async()) for _ in range(5)]
                await asyncio.sleep(0.01)
                raise SystemExit(7)

            asyncio.run(main())
            """,
            "-X", "dev", "-W", "error",
        )  # fmt: skip
        assert (result.returncode, result.stdout, result.stderr) == (7, "", "")

    @pytest.mark.parametrize("loop", ["asyncio.new_event_loop", "__import__('uvloop').new_event_loop"])
    def test_ctrl_c(self, loop: str, spawn: Spawn) -> None:
        """Reaches a program whose tasks all wait; their blocks are left, their mutexes released."""
        if "uvloop" in loop:
            pytest.importorskip("uvloop", reason="uvloop is not installed")
        mutex, never = Mutex(NAME), Event("never")
        child = spawn(
            f"""
            import asyncio, namedmap
            async def main():
                async with namedmap.Mutex.open({NAME!r}):
                    say("waiting")
                    await namedmap.Event.open("never").wait_async()
            try:
                with asyncio.Runner(loop_factory={loop}) as runner:
                    runner.run(main())
            except KeyboardInterrupt:
                say("interrupted")
            """
        )
        assert child.line() == "waiting"
        time.sleep(0.05)
        os.kill(child.pid, signal.SIGINT)
        assert child.line() == "interrupted"
        assert child.wait() == 0
        assert mutex.acquire(0)
        assert not mutex.abandoned
        mutex.release()
        never.close()
