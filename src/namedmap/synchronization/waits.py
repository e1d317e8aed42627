"""Waiting for several objects: any of them, or all at once; in a thread, or in an asyncio task."""

import contextlib
import math
import sys
import time
import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from namedmap import errors
from namedmap._contract import PendingWait, WaitableHandle
from namedmap._platform import waits as platform

if TYPE_CHECKING:
    # Imported by its users: it takes longer than all of this package.
    import asyncio

#: As many objects as Windows allows in one wait.
_MOST = 64
#: More seconds than the age of the world, and few enough to be added to a time.
_EVER = 1e30


class Waitable(Protocol):
    """A Mutex, a Semaphore, an Event."""

    def waited(self) -> WaitableHandle: ...

    def note(self, result: int) -> None: ...

    def give_back(self) -> None: ...


def wait_any(objects: Sequence[Waitable], timeout: float | None = None) -> int | None:
    """Wait until one of the objects is there, and take it: the first in the sequence that is.

    `timeout` is in seconds (0: only look, None: for ever). Returns its index, or None when the time was over. Up to 64
    objects. An abandoned mutex is acquired, with an AbandonedMutexWarning.

    >>> from namedmap import Event, Semaphore
    >>> stop, slots = Event("example.stop"), Semaphore("example.slots", value=1)
    >>> wait_any([stop, slots]), wait_any([stop, slots], timeout=0)
    (1, None)
    """
    objects = _collected(objects)
    return _any(objects, _wait(objects, timeout, every=False))


def wait_all(objects: Sequence[Waitable], timeout: float | None = None) -> bool:
    """Wait until all of the objects are there at the same time, and take them all; until then none is taken.

    Returns False when the time was over. The same object twice is a ValueError.

    >>> from namedmap import Mutex, Semaphore
    >>> mutex, slots = Mutex("example.mutex"), Semaphore("example.slots", value=1)
    >>> wait_all([mutex, slots]), slots.value, mutex.release()
    (True, 0, None)
    """
    objects = _collected(objects)
    return _all(objects, _wait(objects, timeout, every=True))


async def wait_any_async(objects: Sequence[Waitable], timeout: float | None = None) -> int | None:
    """`wait_any` for the running task, which then owns the mutex that was taken. Cancelling takes nothing."""
    objects = _collected(objects)
    return _any(objects, await _wait_async(objects, timeout, every=False))


async def wait_all_async(objects: Sequence[Waitable], timeout: float | None = None) -> bool:
    """`wait_all` for the running task, which then owns the mutexes that were taken. Cancelling takes nothing."""
    objects = _collected(objects)
    return _all(objects, await _wait_async(objects, timeout, every=True))


def _collected(objects: Iterable[Waitable]) -> list[Waitable]:
    """The objects of a wait, once; of what has no end only as many as are too many."""
    if not hasattr(type(objects), "__iter__"):  # a pointer of ctypes has items as well, as many as there is memory
        raise TypeError(f"a wait is for several objects, in a list or tuple, not {type(objects).__name__}")
    found: list[Waitable] = []
    for each in objects:
        found.append(each)
        if len(found) > _MOST:
            break
    if not 1 <= len(found) <= _MOST:
        raise ValueError(f"a wait is for 1 to {_MOST} objects, not {'none' if not found else 'more'}")
    return found


def _any(objects: Sequence[Waitable], result: int | None) -> int | None:
    if result is None:
        return None
    index = result % platform.ABANDONED
    note([objects[index]], result - index)
    return index


def _all(objects: Sequence[Waitable], result: int | None) -> bool:
    if result is None:
        return False
    # Which of them was abandoned, nobody says.
    note(objects, result)
    return True


def note(objects: Sequence[Waitable], result: int) -> None:
    """Tell the objects what the wait that took them has found out: 0, or that one of the mutexes was abandoned."""
    try:
        for each in objects:
            each.note(result)
    except Warning:  # warnings are errors: then the wait has failed, and took nothing
        for each in objects:
            each.give_back()
        raise


def _wait(objects: Sequence[Waitable], timeout: float | None, *, every: bool) -> int | None:
    handles = _handles(objects)
    timeout = seconds(timeout)
    with errors.translated():
        return platform.wait(handles, platform.thread.owner, timeout, every=every)


async def _wait_async(objects: Sequence[Waitable], timeout: float | None, *, every: bool) -> int | None:
    handles = _handles(objects)
    timeout = seconds(timeout)
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    task = running_task()
    if task is None:
        raise RuntimeError("no asyncio task is running: await this in one, or use the method that blocks")
    if timeout == 0:
        with errors.translated():
            return platform.wait(handles, _ended_with(task), 0, every=every)
    with errors.translated(), platform.begin(handles, _ended_with(task), every=every) as pending:
        while True:
            result = pending.attempt()
            left = deadline - time.monotonic()
            if result is not None or left <= 0:
                return result
            await _changed(pending, left)


async def _changed(pending: PendingWait, left: float) -> None:
    """Until another attempt could succeed, or the time is over."""
    from asyncio import get_running_loop

    loop = get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def ring() -> None:
        if not future.done():
            future.set_result(None)

    def ring_from_anywhere() -> None:
        if running_task() is not None and get_running_loop() is loop:
            # In the middle of a task of this loop, which looks for what is ready afterwards.
            ring()
            return
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(ring)

    timer = None if left == math.inf else loop.call_later(left, ring)
    end = pending.when_changed(ring_from_anywhere)
    try:
        await future
    finally:
        end()
        if timer is not None:
            timer.cancel()


def running_task() -> "asyncio.Task[object] | None":
    """The asyncio task that runs in this thread, if any."""
    tasks = sys.modules.get("asyncio.tasks")
    if tasks is None:
        return None
    try:
        task: asyncio.Task[object] | None = tasks.current_task()
    except RuntimeError:  # no event loop runs in this thread
        return None
    return task


_tasks: "weakref.WeakSet[asyncio.Task[object]]" = weakref.WeakSet()


def _ended_with(task: "asyncio.Task[object]") -> "asyncio.Task[object]":
    """The task as an owner: its end abandons what it owns."""
    if task not in _tasks:
        _tasks.add(task)
        task.add_done_callback(platform.ended)
    return task


def seconds(timeout: float | None) -> float | None:
    """The timeout as a float, inf if it is longer than any wait; TypeError or ValueError if it cannot be."""
    if timeout is None:
        return None
    try:
        possible = timeout >= 0
    except TypeError:
        raise TypeError(f"a timeout is a number of seconds, or None, not {type(timeout).__name__}") from None
    if not possible:
        raise ValueError(f"a timeout is a number of seconds from 0 on, or None, not {timeout!r}")
    return float(timeout) if timeout < _EVER else math.inf


def _handles(objects: Sequence[Waitable]) -> list[WaitableHandle]:
    for each in objects:
        if not hasattr(each, "waited"):
            raise TypeError(f"a wait is for Mutex, Semaphore and Event objects, not {type(each).__name__}")
    return [each.waited() for each in objects]


def stack_depth() -> int:
    """The stack level, for warnings.warn in its caller, of the first frame outside of this package."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("namedmap."):
        frame, depth = frame.f_back, depth + 1
    return depth
