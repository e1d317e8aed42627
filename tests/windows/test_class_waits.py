"""Ctrl-C in the waits of the classes: KeyboardInterrupt comes through, and nothing is taken."""

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

import namedmap
from child import WATCHDOG
from namedmap import Event, Mutex, Semaphore


def interrupted(use: Callable[[], object]) -> bool:
    """Whether a call that waits ends by KeyboardInterrupt when there is a Ctrl-C."""
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        use()
    except KeyboardInterrupt:
        return True
    finally:
        timer.join()
    return False


@pytest.mark.parametrize("kind", [Event, Semaphore])
def test_a_wait_for_one(kind: type[Any]) -> None:
    """Of a thread that waits for ever, or for a time."""
    held = kind(manual=False) if kind is Event else kind(value=0)
    take, give = (held.wait, held.set) if kind is Event else (held.acquire, held.release)
    assert interrupted(take)
    assert interrupted(lambda: take(WATCHDOG))
    give()
    assert take(0)


def test_a_mutex() -> None:
    """It stays its owner's."""
    mutex, free, taken = Mutex(), threading.Event(), threading.Event()

    def own() -> None:
        with mutex:
            taken.set()
            free.wait(WATCHDOG)

    owner = threading.Thread(target=own)
    owner.start()
    taken.wait(WATCHDOG)
    assert interrupted(mutex.acquire)
    assert not mutex.owned()
    free.set()
    owner.join()
    assert not mutex.locked()


@pytest.mark.parametrize("number", [2, 64])
def test_waits_for_several(number: int) -> None:
    """For any, with room for one more object or without, and for all."""
    events = [Event(manual=False) for _ in range(number)]
    assert interrupted(lambda: namedmap.wait_any(events))
    events[0].set()
    assert interrupted(lambda: namedmap.wait_all(events))
    assert [each.is_set() for each in events] == [True] + [False] * (number - 1)


def test_a_loop() -> None:
    """asyncio ends its tasks, whose waits take nothing."""
    event = Event(manual=False)
    assert interrupted(lambda: asyncio.run(_wait(event)))
    event.set()
    assert event.wait(0)


async def _wait(event: Event) -> None:
    await event.wait_async(WATCHDOG)
