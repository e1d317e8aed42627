"""Death is ordinary on Windows too: a process that is ended by TerminateProcess leaves nothing of what it held."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

import namedmap
from child import WATCHDOG, Child, Spawn, eventually
from namedmap import AbandonedMutexWarning, Event, Mutex, NotFoundError, Semaphore, win32

Holding = Callable[[str], Child]


@pytest.fixture
def holding(second: Spawn) -> Holding:
    """Start a process that has something, and waits with it for its end."""

    def start(having: str) -> Child:
        child = second(f"{having}\nsay('has it')\nhear()")
        assert child.line() == "has it"
        return child

    return start


@pytest.mark.parametrize(
    ("made", "opened"),
    [
        ("namedmap.create('gone', 4096)", lambda: namedmap.open("gone")),
        ("namedmap.publish('gone', b'bytes')", lambda: namedmap.attach("gone")),
        ("namedmap.Mutex('gone')", lambda: Mutex.open("gone")),
        ("namedmap.Semaphore('gone', 0)", lambda: Semaphore.open("gone")),
        ("namedmap.Event('gone')", lambda: Event.open("gone")),
    ],
)
def test_the_name_goes_with_its_holder(made: str, opened: Callable[[], Any], holding: Holding) -> None:
    """It is there while the process is, and gone when that was killed."""
    child = holding(f"held = {made}")
    opened().close()
    child.kill()
    eventually(lambda: _is_missing(opened), "the end of the name")


def _is_missing(opened: Callable[[], Any]) -> bool:
    try:
        opened().close()
    except NotFoundError:
        return True
    return False


def test_what_another_has_too_stays(holding: Holding) -> None:
    """The memory of a creator that was killed lives on with those that have opened it."""
    child = holding("held = namedmap.create('kept', 4096); view = held.view(); view[:5] = b'bytes'")
    with namedmap.open("kept"):
        child.kill()
        with namedmap.open("kept") as again, again.view() as view:
            assert bytes(view[:5]) == b"bytes"


def test_a_wait_for_an_abandoned_mutex(holding: Holding) -> None:
    """WaitForSingleObject, begun before its owner was killed, says WAIT_ABANDONED, once."""
    handle = win32.CreateMutex(None, False, "owned")
    assert handle
    child = holding("held = namedmap.Mutex('owned'); held.acquire()")
    assert win32.WaitForSingleObject(handle, 0) == win32.WAIT_TIMEOUT
    killer = threading.Timer(0.1, child.kill)
    killer.start()
    results = [win32.WaitForSingleObject(handle, int(WATCHDOG * 1000)) for _ in range(2)]
    killer.join()
    assert results == [win32.WAIT_ABANDONED, win32.WAIT_OBJECT_0]
    for _ in results:
        assert win32.ReleaseMutex(handle)
    assert win32.CloseHandle(handle)


def test_an_abandoned_mutex_is_told_of(holding: Holding) -> None:
    """The next owner is warned, and `abandoned` says so; the owner after it hears nothing."""
    mutex = Mutex("owned")
    holding("held = namedmap.Mutex('owned'); held.acquire()").kill()
    with pytest.warns(AbandonedMutexWarning):
        assert mutex.acquire(WATCHDOG)
    assert mutex.abandoned
    mutex.release()
    assert mutex.acquire(WATCHDOG)
    assert not mutex.abandoned
    mutex.release()
    mutex.close()


def test_a_permit_of_a_semaphore_is_gone(holding: Holding) -> None:
    """A semaphore belongs to nobody: what a killed process has taken, nobody gives back."""
    semaphore = Semaphore("taken", 2)
    holding("held = namedmap.Semaphore.open('taken'); held.acquire()").kill()
    assert semaphore.value == 1
    semaphore.close()
