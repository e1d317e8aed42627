"""Waits of asyncio tasks on Windows: agents lose nothing, own mutexes for their tasks, and are used again."""

import asyncio
import threading
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import namedmap
from child import WATCHDOG, eventually
from namedmap import AbandonedMutexWarning, Event, Mutex, Semaphore

#: As many rounds as show a loss that happens in one of a few.
ROUNDS = 100


def run(body: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(body(), 2 * WATCHDOG))


def agents() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "namedmap agent"]


async def cancelled(task: "asyncio.Task[Any]") -> bool:
    """Cancel a task, and wait for its end; whether it has taken notice."""
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


class TestCancelling:
    @pytest.mark.parametrize("when", ["before", "during", "after"])
    def test_loses_no_signal(self, when: str) -> None:
        """Set before, while or after a wait is cancelled, an auto-reset event is either waited for or still set."""

        async def body() -> int:
            lost = 0
            with Event(manual=False) as event:
                for round in range(ROUNDS):
                    task = asyncio.ensure_future(event.wait_async())
                    await asyncio.sleep(0.001 * (round % 3))
                    if when == "before":
                        event.set()
                    elif when == "during":
                        threading.Thread(target=event.set).start()
                    ended = await cancelled(task)
                    if when == "after":
                        event.set()
                    lost += ended and not event.wait(WATCHDOG)
            return lost

        assert run(body) == 0

    def test_loses_no_permit(self) -> None:
        """Objects that a wait for all had taken when it was cancelled are given back, each as often."""

        async def body() -> None:
            one, other = Semaphore(value=0), Semaphore(value=5)
            for _ in range(ROUNDS):
                task = asyncio.ensure_future(namedmap.wait_all_async([one, other]))
                await asyncio.sleep(0.001)
                one.release()
                if not await cancelled(task):
                    other.release()
                    one.release()
                assert one.acquire(WATCHDOG)
            assert (one.value, other.value) == (0, 5)

        run(body)

    def test_leaves_no_mutex_owned(self) -> None:
        """A mutex that came in the moment of the cancellation is free, or the task's."""

        async def body() -> None:
            mutex = Mutex()
            for _ in range(ROUNDS):
                assert mutex.acquire(WATCHDOG)
                task = asyncio.ensure_future(mutex.acquire_async())
                await asyncio.sleep(0.001)
                mutex.release()
                await cancelled(task)
                with warnings.catch_warnings():  # of a task that had it, and has ended
                    warnings.simplefilter("ignore", AbandonedMutexWarning)
                    assert mutex.acquire(WATCHDOG)
                mutex.release()

        run(body)

    def test_keeps_that_a_mutex_is_abandoned(self) -> None:
        """The next owner is told, though a wait that was cancelled had it for a moment."""

        async def body() -> None:
            mutex = Mutex()
            owner = threading.Thread(target=mutex.acquire)
            owner.start()
            owner.join()
            task = asyncio.ensure_future(_taken_and_dropped(mutex))
            await task
            with pytest.warns(AbandonedMutexWarning):
                assert mutex.acquire(WATCHDOG)
            mutex.release()

        run(body)


async def _taken_and_dropped(mutex: Mutex) -> None:
    """A wait that has taken a mutex, and ends before anybody has fetched it."""
    from namedmap._platform import waits

    task = asyncio.current_task()
    with waits.begin([mutex.waited()], task) as pending:
        ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        pending.when_changed(lambda: loop.call_soon_threadsafe(ready.set))
        await ready.wait()


class TestTimeouts:
    def test_lose_no_signal(self) -> None:
        """Set in the moment in which the time is over, an event was waited for, or is still set."""

        async def body() -> int:
            lost = 0
            with Event(manual=False) as event:
                for round in range(ROUNDS):
                    timer = threading.Timer(0.004 + 0.0002 * (round % 10), event.set)
                    timer.start()
                    had = await event.wait_async(0.005)
                    timer.join()
                    lost += not had and not event.wait(0)
            return lost

        assert run(body) == 0


class TestOwning:
    def test_recursion(self) -> None:
        """A task takes its mutex again, through any object of it, and releases it as often."""

        async def body() -> list[bool]:
            with Mutex("agents.recursion") as first:
                first.release()
                second = Mutex("agents.recursion")
                taken = [await first.acquire_async(), await second.acquire_async(0), second.owned()]
                second.release()
                taken.append(first.owned())
                first.release()
                taken.append(first.owned())
                second.close()
                first.acquire()
                return taken

        assert run(body) == [True, True, True, True, False]

    def test_several_at_once(self) -> None:
        """A task that has one mutex gets others by the same agent."""

        async def body() -> None:
            mutexes = [Mutex() for _ in range(3)]
            await mutexes[0].acquire_async()
            assert await namedmap.wait_all_async(mutexes[1:])
            assert [each.owned() for each in mutexes] == [True] * 3
            for each in mutexes:
                each.release()
            assert not any(each.locked() for each in mutexes)

        run(body)

    def test_many_tasks_take_turns(self) -> None:
        """Each has it alone."""

        async def body() -> int:
            mutex, inside, most = Mutex(), 0, 0

            async def use() -> None:
                nonlocal inside, most
                for _ in range(5):
                    async with mutex:
                        inside += 1
                        most = max(most, inside)
                        await asyncio.sleep(0)
                        inside -= 1

            await asyncio.gather(*(use() for _ in range(20)))
            return most

        assert run(body) == 1


class TestThreads:
    def test_none_for_what_is_there(self) -> None:
        """An event or a semaphore that can be had is taken without an agent."""
        before = len(agents())

        async def body() -> None:
            semaphore, event = Semaphore(value=20), Event(signaled=True)
            for _ in range(20):
                assert await namedmap.wait_any_async([semaphore, event]) == 0
            assert semaphore.value == 0

        run(body)
        assert len(agents()) <= before

    def test_are_used_again(self) -> None:
        """One wait after the other takes one thread, and of many at once a few stay."""

        async def body() -> None:
            for number in (1, 1, 1, 30):
                with Event() as event:
                    tasks = [asyncio.ensure_future(event.wait_async()) for _ in range(number)]
                    await asyncio.sleep(0.01)
                    event.set()
                    assert all(await asyncio.gather(*tasks))

        run(body)
        eventually(lambda: len(agents()) <= 8, "the end of agents without work")
