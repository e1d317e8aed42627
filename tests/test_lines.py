"""Tasks stand in a line for an object, and one is woken for each release: order, ends, loops, processes, deaths."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from calls.kernel import Dispatcher, Line
from calls.sync import Helper, Helpers
from child import WATCHDOG, Spawn, eventually, forked
from namedmap import Event, Mutex, Semaphore, wait_all_async, wait_any_async
from test_asyncio_waits import auto, begun, cancelled, run
from test_primitives import tidy as tidy

NAME = "lines"


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts who is rung."""
    rung, ring = [0], Line._rang

    def counting(self: Line, key: int) -> bool:
        found = ring(self, key)
        rung[0] += found
        return found

    monkeypatch.setattr(Line, "_rang", counting)
    return rung


async def turns(mutex: Mutex, order: list[int], number: int) -> None:
    async with mutex:
        order.append(number)
        await asyncio.sleep(0)


class TestOrder:
    def test_a_mutex(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tasks have it in the order in which they came, and each release wakes one."""
        rung, order = counted(monkeypatch), list[int]()

        async def main() -> None:
            mutex = Mutex()
            await asyncio.gather(*[turns(mutex, order, number) for number in range(300)])

        run(main())
        assert order == list(range(300))
        assert rung[0] < 350

    @pytest.mark.parametrize("made", [auto, lambda: Semaphore(None, 0)])
    def test_tickets(self, made: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """An object that is set or released n times releases the first n."""
        rung, order = counted(monkeypatch), list[int]()

        async def main() -> None:
            held = made()

            async def wait(number: int) -> None:
                await wait_any_async([held])
                order.append(number)

            tasks = await begun(*[wait(number) for number in range(100)])
            for _ in range(40):
                held.give_back()
            while len(order) < 40:
                await asyncio.sleep(0)
            await asyncio.sleep(0.3)
            assert order == list(range(40))
            assert rung[0] == 40
            await cancelled(*tasks[40:])

        run(main())

    def test_newcomers(self) -> None:
        """A task that comes when the mutex is free, but promised, stands behind; one that only tries does not."""

        async def main() -> None:
            mutex, order = Mutex(), list[int]()
            await mutex.acquire_async()
            (first,) = await begun(turns(mutex, order, 1))
            mutex.release()
            second = asyncio.ensure_future(turns(mutex, order, 2))
            await asyncio.gather(first, second)
            assert order == [1, 2]

        run(main())

    def test_all_objects(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Waits for all get their turn one after the other, without all of them looking each time."""
        rung = counted(monkeypatch)

        async def main() -> None:
            mutex, semaphore, order = Mutex(), Semaphore(None, 1), list[int]()

            async def work(number: int) -> None:
                await wait_all_async([mutex, semaphore])
                order.append(number)
                await asyncio.sleep(0)
                semaphore.release()
                mutex.release()

            await asyncio.gather(*[work(number) for number in range(100)])
            assert sorted(order) == list(range(100))

        run(main())
        assert rung[0] < 1000  # 100 tasks that all look each time are 5,000

    def test_different_wishes(self) -> None:
        """A wait for all that cannot go on lets those behind it pass."""

        async def main() -> None:
            mutex, never = Mutex(), Event()
            await mutex.acquire_async()
            first, second = await begun(wait_all_async([mutex, never]), wait_all_async([mutex]))
            mutex.release()
            assert await second

            async def rest() -> bool:
                never.set()
                return await first

            with pytest.warns(RuntimeWarning):  # the second has ended, and abandoned it
                assert await rest()

        run(main())


class TestEnds:
    def test_a_chosen_one_passes_it_on(self) -> None:
        """Cancelled or timed out when it had been chosen, or content with another object: the next one is woken."""

        async def main() -> None:
            for end in ("cancel", "other"):
                mutex, other, order = Mutex(), auto(), list[int]()
                await mutex.acquire_async()
                first, second = await begun(wait_any_async([other, mutex]), turns(mutex, order, 2))
                if end == "other":
                    other.set()
                mutex.release()
                if end == "cancel":
                    await cancelled(first)
                else:
                    assert await first == 0
                await second
                assert (order, mutex.locked()) == ([2], False)

        run(main())

    def test_nothing_is_left(self) -> None:
        """When nobody waits an object has no line, however the waits ended."""

        async def main() -> None:
            mutex, event, semaphore = Mutex(), Event(), Semaphore(None, 0)
            every: list[Any] = [mutex, event, semaphore]
            with mutex:
                tasks = await begun(
                    *[wait_any_async(every) for _ in range(5)], *[wait_all_async(every) for _ in range(5)]
                )
                assert await wait_any_async(every, 0.01) is None
                await cancelled(*tasks)
            for each in every:
                held: Dispatcher = each.waited().object
                assert (held.line, held.line_for_all) == (None, None)

        run(main())

    def test_a_loop_that_does_not_run(self) -> None:
        """A task that was chosen there and does not come holds up nobody for long."""
        mutex = Mutex()
        stopped = asyncio.new_event_loop()
        mutex.acquire()
        task = stopped.create_task(mutex.acquire_async())
        stopped.run_until_complete(asyncio.sleep(0.01))

        async def main() -> None:
            waiting = asyncio.ensure_future(turns(mutex, [], 0))
            await asyncio.sleep(0)
            await asyncio.to_thread(lambda: None)
            mutex.release()
            await waiting
            await turns(mutex, [], 1)

        run(main())
        task.cancel()
        stopped.run_until_complete(asyncio.gather(task, return_exceptions=True))
        stopped.close()


class TestCompany:
    def test_loops_in_threads(self) -> None:
        """Tasks of several loops share the lines; nobody is forgotten, and one is inside at a time."""
        mutex, inside = Mutex(), [0]

        async def work() -> None:
            for _ in range(5):
                async with mutex:
                    inside[0] += 1
                    assert inside[0] == 1
                    await asyncio.sleep(0)
                    inside[0] -= 1

        async def main() -> None:
            await asyncio.gather(*[work() for _ in range(20)])

        failures: list[BaseException] = []

        def loop() -> None:
            try:
                run(main())
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=loop) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * WATCHDOG)
        assert not failures
        assert not mutex.locked()

    def test_threads_and_processes(self, spawn: Spawn, helpers: Helpers) -> None:
        """Tasks, threads and a second process take turns; nobody starves or is forgotten."""
        mutex, children = Mutex(NAME), [spawn(), spawn()]
        done = [0]
        for child in children:
            child.run(f"mutex = namedmap.Mutex.open({NAME!r})")
            child.start("run", "for _ in range(50):\n  with mutex: pass")

        def thread() -> None:
            for _ in range(50):
                with mutex:
                    done[0] += 1

        async def work() -> None:
            for _ in range(5):
                async with mutex:
                    done[0] += 1
                    await asyncio.sleep(0)

        async def main() -> None:
            await asyncio.gather(*[work() for _ in range(20)])

        (helper,) = helpers(1)
        helper.start(thread)
        run(main())
        helper.result()
        for child in children:
            child.finish()
        assert done[0] == 150

    @pytest.mark.leaves_dead_files
    def test_a_killed_owner(self, spawn: Spawn) -> None:
        """The line notices, though nobody wakes it; the first one is told that it was abandoned."""
        mutex, child = Mutex(NAME), spawn()
        child.run(f"mutex = namedmap.Mutex.open({NAME!r}); mutex.acquire()")

        async def main() -> None:
            order: list[bool] = []

            async def work() -> None:
                assert await mutex.acquire_async()
                order.append(mutex.abandoned)
                mutex.release()

            tasks = await begun(*[work() for _ in range(20)])
            child.kill()
            with pytest.warns(RuntimeWarning):
                await asyncio.gather(*tasks)
            assert order == [True, *[False] * 19]

        run(main())

    @pytest.mark.leaves_dead_files
    def test_a_killed_waiter(self, spawn: Spawn) -> None:
        """A permit that was given to it goes to a task."""
        semaphore, child = Semaphore(NAME, 0, 5), spawn()
        child.run(f"semaphore = namedmap.Semaphore.open({NAME!r})")
        child.start("run", "semaphore.acquire()")
        held: Any = semaphore.waited().object

        async def main() -> None:
            eventually(lambda: held.waiters() == 1, "the child waits")
            (task,) = await begun(semaphore.acquire_async())
            child.stop()
            semaphore.release()
            child.kill()
            assert await task

        run(main())

    def test_a_child_begins_anew(self) -> None:
        """After a fork it stands in no line of its parent."""
        event = Event(NAME)

        async def child() -> None:
            assert event.waited().object.line is None  # type: ignore[attr-defined]
            assert await event.wait_async()

        async def main() -> None:
            tasks = await begun(*[event.wait_async() for _ in range(3)])
            with forked(lambda: Helper().do(lambda: run(child()))):
                event.set()
            assert all(await asyncio.gather(*tasks))

        run(main())

    def test_idle_tasks_look_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A thousand tasks that wait for one event are one look now and then."""
        looks, look = [0], Line.look

        def looking(self: Line, *, changed: bool) -> None:
            looks[0] += 1
            look(self, changed=changed)

        monkeypatch.setattr(Line, "look", looking)
        rung = counted(monkeypatch)

        async def main() -> None:
            event = Event()
            tasks = await begun(*[event.wait_async() for _ in range(1000)])
            start = time.monotonic()
            await asyncio.sleep(1)
            took = time.monotonic() - start
            assert looks[0] <= 10 * took + 5
            assert rung[0] == 0
            event.set()
            assert all(await asyncio.gather(*tasks))

        run(main())
