"""Mutexes, semaphores, events and waits: short calls, threads to order about, who sleeps."""

import ctypes
import functools
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from calls import had, loose
from calls.kernel import libc
from child import WATCHDOG, Child, eventually
from namedmap import nt, win32

#: Longer than anything that has to come: a wait that takes so long has hung. In milliseconds.
LONG = int(WATCHDOG * 1000)
#: How long those who must not be woken are given to show that they are, in milliseconds.
SHORT = 250
EVERYONE = "D:(A;;GA;;;WD)"
INHERITABLE = win32.SECURITY_ATTRIBUTES(bInheritHandle=True)

TAKEN, ABANDONED, TIMEOUT = "OBJECT+0", "ABANDONED+0", "TIMEOUT"


# -- objects -----------------------------------------------------------------------------------------------------------


def mutex(owned: bool = False, name: str | None = None, security: str | None = None) -> int:
    return had(win32.CreateMutex(_attributes(security), owned, name))


def semaphore(initial: int, maximum: int, name: str | None = None, security: str | None = None) -> int:
    return had(win32.CreateSemaphore(_attributes(security), initial, maximum, name))


def event(manual: bool, signaled: bool, name: str | None = None, security: str | None = None) -> int:
    return had(win32.CreateEvent(_attributes(security), manual, signaled, name))


def auto(signaled: bool = False, name: str | None = None) -> int:
    """An auto-reset event."""
    return event(False, signaled, name)


def manual(signaled: bool = False, name: str | None = None) -> int:
    """A manual-reset event."""
    return event(True, signaled, name)


def _attributes(security: str | None) -> win32.SECURITY_ATTRIBUTES | None:
    return None if security is None else win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=security)


class SyncKind(NamedTuple):
    """A kind of object, and what can be done with it."""

    name: str
    noun: str
    create: Callable[..., int | None]  # attributes, name
    create_ex: Callable[[str | None, int, int], int | None]  # name, flags, access
    open: Callable[[int, bool, str | None], int | None]
    signal: Callable[[int], bool]
    modify: int  # the right that `signal` needs
    everything: int
    text: str  # of `create`, for children

    def make(self, name: str | None = None) -> int:
        return had(self.create(None, name))


MUTEX = SyncKind(
    "Mutant",
    "mutex",
    lambda attributes, name: win32.CreateMutex(attributes, False, name),
    lambda name, flags, access: win32.CreateMutexEx(None, name, flags, access),
    win32.OpenMutex,
    win32.ReleaseMutex,
    0,
    int(win32.MUTEX_ALL_ACCESS),
    "win32.CreateMutex(None, False, {!r})",
)
SEMAPHORE = SyncKind(
    "Semaphore",
    "semaphore",
    lambda attributes, name: win32.CreateSemaphore(attributes, 0, 5, name),
    lambda name, flags, access: win32.CreateSemaphoreEx(None, 0, 5, name, flags, access),
    win32.OpenSemaphore,
    lambda handle: win32.ReleaseSemaphore(handle, 1, None),
    int(win32.SEMAPHORE_MODIFY_STATE),
    int(win32.SEMAPHORE_ALL_ACCESS),
    "win32.CreateSemaphore(None, 0, 5, {!r})",
)
EVENT = SyncKind(
    "Event",
    "event",
    lambda attributes, name: win32.CreateEvent(attributes, False, False, name),
    lambda name, flags, access: win32.CreateEventEx(None, name, flags, access),
    win32.OpenEvent,
    win32.SetEvent,
    int(win32.EVENT_MODIFY_STATE),
    int(win32.EVENT_ALL_ACCESS),
    "win32.CreateEvent(None, False, False, {!r})",
)
SYNC_KINDS = (MUTEX, SEMAPHORE, EVENT)
each_sync_kind = pytest.mark.parametrize("kind", SYNC_KINDS, ids=lambda kind: kind.noun)


def query_mutex(handle: int) -> tuple[int, int, int]:
    """(count, owned by this thread, abandoned)."""
    info = nt.MUTANT_BASIC_INFORMATION()
    assert nt.NtQueryMutant(handle, 0, info, ctypes.sizeof(info), None) == 0
    return info.CurrentCount, info.OwnedByCaller, info.AbandonedState


def query_semaphore(handle: int) -> tuple[int, int]:
    """(count, maximum)."""
    info = nt.SEMAPHORE_BASIC_INFORMATION()
    assert nt.NtQuerySemaphore(handle, 0, info, ctypes.sizeof(info), None) == 0
    return info.CurrentCount, info.MaximumCount


def query_event(handle: int) -> tuple[int, int]:
    """(0 manual or 1 auto, state)."""
    info = nt.EVENT_BASIC_INFORMATION()
    assert nt.NtQueryEvent(handle, 0, info, ctypes.sizeof(info), None) == 0
    return info.EventType, info.EventState


# -- waits -------------------------------------------------------------------------------------------------------------


def outcome(result: int) -> str:
    """The result of a wait in words: OBJECT+i, ABANDONED+i, TIMEOUT, FAILED and the error."""
    if result == win32.WAIT_FAILED:
        return f"FAILED {win32.GetLastError()}"
    if result == win32.WAIT_TIMEOUT:
        return TIMEOUT
    return f"ABANDONED+{result - 0x80}" if result >= 0x80 else f"OBJECT+{result}"


def wait(handle: int | None, milliseconds: int = 0) -> str:
    return outcome(loose.WaitForSingleObject(handle, milliseconds))


def wait_any(handles: Sequence[int | None], milliseconds: int = 0) -> str:
    return outcome(loose.WaitForMultipleObjects(len(handles), handles, False, milliseconds))


def wait_all(handles: Sequence[int | None], milliseconds: int = 0) -> str:
    return outcome(loose.WaitForMultipleObjects(len(handles), handles, True, milliseconds))


def sigwait(first: int | None, second: int | None, milliseconds: int = 0) -> str:
    return outcome(loose.SignalObjectAndWait(first, second, milliseconds, False))


# -- threads and processes that wait -----------------------------------------------------------------------------------


class Helper:
    """A thread that does what it is told, so that it can own things, wait, and end."""

    def __init__(self) -> None:
        self._orders: queue.Queue[Callable[[], object] | None] = queue.Queue()
        self._results: queue.Queue[object] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            try:
                result = order()
            except BaseException as error:
                result = error
            self._results.put(result)

    def start(self, call: Callable[..., object], *arguments: object) -> None:
        self._orders.put(lambda: call(*arguments))

    def result(self) -> Any:
        """The result of the call that was started; fails if it hangs."""
        found = self._results.get(timeout=WATCHDOG)
        assert not isinstance(found, BaseException), found
        return found

    def do(self, call: Callable[..., object], *arguments: object) -> Any:
        self.start(call, *arguments)
        return self.result()

    @property
    def pending(self) -> bool:
        return self._results.empty()

    def end(self) -> None:
        """End the thread; when this returns it has ended."""
        self._orders.put(None)
        self._thread.join(WATCHDOG)
        assert not self._thread.is_alive()

    @property
    def place(self) -> str:
        return f"/proc/self/task/{self._thread.native_id}"


Helpers = Callable[[int], list[Helper]]


def is_asleep(waiter: Helper | Child) -> bool:
    """Whether a thread, or a child's first thread, sleeps in a wait for objects: on a futex that processes share.

    Where the kernel does not tell, it is given the time to fall asleep.
    """
    if not os.path.exists("/proc/self/syscall"):
        time.sleep(0.3)
        return True
    place = waiter.place if isinstance(waiter, Helper) else f"/proc/{waiter.pid}/task/{waiter.pid}"
    with suppress(FileNotFoundError, ProcessLookupError), open(f"{place}/syscall", encoding="ascii") as file:
        words = file.read().split()
        if words[0] == str(libc.SYS_FUTEX_WAITV):
            return True
        return words[0] == str(libc.SYS_FUTEX) and int(words[2], 16) == libc.FUTEX_WAIT
    return False


def asleep(*waiters: Helper | Child) -> None:
    """Return when all of them have been seen asleep."""
    for waiter in waiters:
        eventually(functools.partial(is_asleep, waiter), "a thread's sleep")


def in_child(waiting: Child, name: str, kind: SyncKind, milliseconds: int = LONG) -> None:
    """Let a child open an object and wait for it."""
    waiting.run(f"w = win32.Open{kind.noun.title()}({kind.everything}, False, {name!r})")
    waiting.start("value", f"win32.WaitForSingleObject(w, {milliseconds})")


def waiters(helpers: Helpers, number: int, call: Callable[..., object], *arguments: object) -> list[Helper]:
    """Threads that have been seen asleep in a call."""
    made = helpers(number)
    for thread in made:
        thread.start(call, *arguments)
    asleep(*made)
    return made


def exactly(threads: list[Helper], number: int) -> None:
    """So many have been released, and the others stay where they are."""

    def finished() -> int:
        return sum(not thread.pending for thread in threads)

    eventually(lambda: finished() >= number, f"the release of {number}")
    time.sleep(SHORT / 1000)
    assert finished() == number


def taken_by(threads: list[Helper]) -> list[str]:
    """The results of all."""
    return [thread.result() for thread in threads]
