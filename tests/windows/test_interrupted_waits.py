"""Ctrl-C ends every wait of the main thread, and what was waited for is still there.

Another thread sends the signal. It cannot see whether the main thread waits already: where the signal comes first, the
exception does too, and the test says less, but nothing else.
"""

import contextlib
import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msvcrt", reason="for Windows Python: tests/windows/python")

from child import WATCHDOG
from namedmap import nt, win32

#: A wait that Ctrl-C does not end is over at some time.
LIMIT = int(WATCHDOG * 1000)
#: Seconds after which the main thread has probably begun to wait.
MOMENT = 0.2


@contextlib.contextmanager
def soon(*calls: Callable[[], object], first: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Another thread makes these calls in a moment, one right after the other; `first` before the with-block."""
    ready = threading.Event()

    def act() -> None:
        first()
        ready.set()
        time.sleep(MOMENT)
        for call in calls:
            call()

    thread = threading.Thread(target=act)
    thread.start()
    try:
        assert ready.wait(WATCHDOG)
        yield
    finally:
        thread.join()


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def events() -> Iterator[list[int]]:
    """64 auto-reset events, none of them set."""
    handles = [int(win32.CreateEvent(None, False, False, None) or 0) for _ in range(64)]
    assert all(handles)
    yield handles
    for handle in handles:
        assert win32.CloseHandle(handle)


WAITS: dict[str, Callable[[list[int]], object]] = {
    "for one": lambda e: win32.WaitForSingleObject(e[0], LIMIT),
    "for one, for ever": lambda e: win32.WaitForSingleObject(e[0], win32.INFINITE),
    "for one, alertably": lambda e: win32.WaitForSingleObjectEx(e[0], LIMIT, True),
    "for any of two": lambda e: win32.WaitForMultipleObjects(2, e, False, LIMIT),
    "for both": lambda e: win32.WaitForMultipleObjects(2, e, True, LIMIT),
    "for any of 64": lambda e: win32.WaitForMultipleObjects(64, e, False, LIMIT),
    "for all of 64, for ever": lambda e: win32.WaitForMultipleObjects(64, e, True, win32.INFINITE),
    "for this process": lambda e: win32.WaitForSingleObject(win32.GetCurrentProcess(), LIMIT),
    "after a signal": lambda e: win32.SignalObjectAndWait(e[1], e[0], LIMIT, False),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_every_wait_ends(wait: Callable[[list[int]], object], events: list[int]) -> None:
    """KeyboardInterrupt comes out of it."""
    with pytest.raises(KeyboardInterrupt), soon(interrupt):
        wait(events)


@pytest.mark.parametrize(("count", "every"), [(1, False), (2, False), (64, False), (2, True)])
def test_a_signal_and_its_event(count: int, every: bool, events: list[int]) -> None:
    """Events that are set right after Ctrl-C are not lost: the wait has not taken them, or gives them back."""
    waited, expected = events[:count], count if every else 1
    with pytest.raises(KeyboardInterrupt), soon(interrupt, *[lambda e=e: win32.SetEvent(e) for e in waited[:expected]]):
        win32.WaitForMultipleObjects(count, waited, every, LIMIT)
    assert [is_set(event) for event in waited].count(True) == expected


def is_set(event: int) -> bool:
    state: Any = ctypes.create_string_buffer(8)
    assert nt.NtQueryEvent(event, 0, state, 8) == 0
    return bool(state.raw[4])


def test_a_signal_and_a_semaphore(events: list[int]) -> None:
    """Its count stays."""
    semaphore = int(win32.CreateSemaphore(None, 0, 5, None) or 0)
    with pytest.raises(KeyboardInterrupt), soon(interrupt, lambda: win32.ReleaseSemaphore(semaphore, 2, None)):
        win32.WaitForMultipleObjects(64, [semaphore, *events[1:]], False, LIMIT)
    before = win32.LONG()
    assert win32.ReleaseSemaphore(semaphore, 1, before)
    assert before.value == 2
    assert win32.CloseHandle(semaphore)


@pytest.mark.parametrize("others", [0, 63])
def test_a_signal_and_a_mutex(others: int, events: list[int]) -> None:
    """The interrupted thread does not own it."""
    mutex = int(win32.CreateMutex(None, False, None) or 0)
    own, leave = lambda: win32.WaitForSingleObject(mutex, 0), lambda: win32.ReleaseMutex(mutex)
    with pytest.raises(KeyboardInterrupt), soon(interrupt, leave, first=own):
        win32.WaitForMultipleObjects(1 + others, [mutex, *events[:others]], False, LIMIT)
    state: Any = nt.MUTANT_BASIC_INFORMATION()
    assert nt.NtQueryMutant(mutex, 0, state, ctypes.sizeof(state)) == 0
    assert (state.CurrentCount, state.OwnedByCaller) == (1, 0)
    assert win32.CloseHandle(mutex)


@pytest.mark.parametrize("others", [0, 63])
def test_a_handler_that_raises_nothing(others: int, events: list[int]) -> None:
    """The wait goes on after it, for what is left of its time."""
    handled = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: handled.set())
    try:
        with soon(interrupt, lambda: handled.wait(WATCHDOG), lambda: win32.SetEvent(events[0])):
            assert win32.WaitForMultipleObjects(1 + others, events, False, LIMIT) == win32.WAIT_OBJECT_0
        with soon(interrupt):
            assert win32.WaitForMultipleObjects(1 + others, events, False, 600) == win32.WAIT_TIMEOUT
    finally:
        signal.signal(signal.SIGINT, before)
    assert handled.is_set()


def test_indices_beside_the_signal(events: list[int]) -> None:
    """The main thread gets the index of the object and of an abandoned mutex as any thread does."""
    win32.SetEvent(events[2])
    assert win32.WaitForMultipleObjects(3, events, False, LIMIT) == win32.WAIT_OBJECT_0 + 2
    mutex = int(win32.CreateMutex(None, False, None) or 0)
    thread = threading.Thread(target=lambda: win32.WaitForSingleObject(mutex, 0))
    thread.start()
    thread.join()
    assert win32.WaitForMultipleObjects(2, [events[0], mutex], False, LIMIT) == win32.WAIT_ABANDONED_0 + 1
    assert win32.ReleaseMutex(mutex)
    assert win32.CloseHandle(mutex)


def test_a_wait_for_a_lock_of_a_file(tmp_path: Path) -> None:
    """LockFileEx ends with KeyboardInterrupt, and else with the lock, once that is free."""
    files = [
        win32.CreateFile(tmp_path / "a.dat", win32.GENERIC_WRITE, 2, None, win32.OPEN_ALWAYS, 0, None) for _ in range(2)
    ]
    assert win32.LockFile(files[0], 0, 0, 10, 0)
    lock, place = win32.LOCKFILE_EXCLUSIVE_LOCK, win32.OVERLAPPED()
    with pytest.raises(KeyboardInterrupt), soon(interrupt):
        win32.LockFileEx(files[1], lock, 0, 10, 0, place)
    with soon(lambda: win32.UnlockFile(files[0], 0, 0, 10, 0)):
        assert win32.LockFileEx(files[1], lock, 0, 10, 0, place)
    assert not win32.LockFile(files[0], 0, 0, 10, 0)
    assert [win32.CloseHandle(file) for file in files] == [True, True]
