"""Timeouts of every wait: those that cannot be are refused in words, those that are huge are for ever."""

import asyncio
import decimal
import fractions
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from namedmap import Event, Mutex, Semaphore, wait_all, wait_all_async, wait_any, wait_any_async, win32
from test_primitives import tidy as tidy

Wait = Callable[[Any], object]


def str_of(value: object) -> str:
    return str(value)[:10]


@pytest.fixture(params=["there", "missing"])
def waits(request: pytest.FixtureRequest) -> Iterator[list[Wait]]:
    """Each sort of wait, for what is there and for what is not."""
    there = request.param == "there"
    event, semaphore, mutex = Event(signaled=there), Semaphore(None, 100 if there else 0, 100), Mutex()
    both = [event, semaphore]
    yield [
        event.wait,
        semaphore.acquire,
        mutex.acquire,
        lambda timeout: wait_any(both, timeout),
        lambda timeout: wait_all(both, timeout),
        lambda timeout: asyncio.run(_awaited(event.wait_async, timeout)),
        lambda timeout: asyncio.run(_awaited(semaphore.acquire_async, timeout)),
        lambda timeout: asyncio.run(_awaited(lambda left: wait_any_async(both, left), timeout)),
        lambda timeout: asyncio.run(_awaited(lambda left: wait_all_async(both, left), timeout)),
    ]
    for each in (event, semaphore, mutex):
        each.close()


async def _awaited(wait: Callable[[Any], Any], timeout: Any) -> object:
    found: object = await wait(timeout)
    return found


@pytest.mark.parametrize("timeout", ["1", b"1", [], {}, 1j, object()])
def test_no_numbers(waits: list[Wait], timeout: Any) -> None:
    """A TypeError that says what a timeout is."""
    for wait in waits:
        with pytest.raises(TypeError, match="number of seconds"):
            wait(timeout)


@pytest.mark.parametrize("timeout", [-1, -1e-9, float("nan"), -float("inf"), -(10**400)], ids=str_of)
def test_numbers_that_cannot_be(waits: list[Wait], timeout: Any) -> None:
    """A ValueError that says what a timeout is."""
    for wait in waits:
        with pytest.raises(ValueError, match="number of seconds"):
            wait(timeout)


@pytest.mark.parametrize(
    "timeout", [1e9, 2**63, 1e30, 1e300, 10**400, float("inf"), decimal.Decimal("1e40"), fractions.Fraction(10**9)],
    ids=str_of,
)
def test_huge_ones(timeout: Any) -> None:
    """They are waited for: a wait goes on until the object comes."""
    event, back = Event(manual=False), Event(manual=False)
    waits: list[Wait] = [
        event.wait,
        lambda timeout: wait_any([event], timeout) == 0,
        lambda timeout: wait_all([event], timeout),
        lambda timeout: asyncio.run(_awaited(event.wait_async, timeout)),
        lambda timeout: asyncio.run(_awaited(lambda left: wait_all_async([event], left), timeout)),
    ]
    for wait in waits:

        async def main(wait: Wait = wait) -> object:
            waiting = asyncio.create_task(asyncio.to_thread(wait, timeout))
            assert not await back.wait_async(0.02)
            event.set()
            return await waiting

        assert asyncio.run(main())


@pytest.mark.parametrize("timeout", ["1", None, 1.5, float("nan"), 1e30])
def test_win32_takes_integers(timeout: Any) -> None:
    """A DWORD of milliseconds; any other type is a TypeError."""
    with Event(signaled=True) as event:
        calls: tuple[Callable[[], object], ...] = (
            lambda: win32.WaitForSingleObject(event.handle, timeout),
            lambda: win32.WaitForMultipleObjects(1, [event.handle], False, timeout),
            lambda: win32.SignalObjectAndWait(event.handle, event.handle, timeout, False),
        )
        for call in calls:
            with pytest.raises(TypeError, match="DWORD"):
                call()
