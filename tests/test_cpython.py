"""The standard library's own tests of Lock, Semaphore, Condition, Event and Barrier, run against namedmap's objects.

As on Windows, a lock there is a semaphore (anybody may release it), an RLock a mutex. Condition and Barrier are the
standard library's own, built on these. The mixins are those of the installed `test._test_multiprocessing`; processes
are forked, so that unnamed objects are shared.
"""

import ctypes
import multiprocessing
import types
import unittest
from collections.abc import Callable
from multiprocessing import synchronize
from typing import Any

import pytest

import namedmap
from child.stdlib import passes
from namedmap import nt

mixins = pytest.importorskip("test._test_multiprocessing", reason="this Python has no test package")


# -- namedmap's objects with the signatures of multiprocessing.synchronize --------------------------------------------


class Semaphore:
    """multiprocessing.Semaphore over namedmap.Semaphore."""

    maximum: int | None = None

    def __init__(self, value: int = 1) -> None:
        self._held = namedmap.Semaphore(None, value, self.maximum)
        self._semlock = self

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        return self._held.acquire(_seconds(block, timeout))

    def release(self) -> None:
        self._held.release()

    def get_value(self) -> int:
        return self._held.value

    def locked(self) -> bool:
        return self._held.value == 0

    _is_zero = locked

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Lock(Semaphore):
    """multiprocessing.Lock: released once too often is a ValueError."""

    maximum = 1

    def __init__(self) -> None:
        super().__init__(1)


class RLock:
    """multiprocessing.RLock over namedmap.Mutex."""

    def __init__(self) -> None:
        self._held = namedmap.Mutex()
        self._semlock = self

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        return self._held.acquire(_seconds(block, timeout))

    def release(self) -> None:
        self._held.release()

    def locked(self) -> bool:
        return self._held.locked()

    def _is_mine(self) -> bool:
        return self._held.owned()

    def _count(self) -> int:
        """How often the caller, who owns it, has acquired it."""
        state = nt.MUTANT_BASIC_INFORMATION()
        assert nt.NtQueryMutant(self._held.handle, 0, ctypes.byref(state), ctypes.sizeof(state), None) == 0
        return 1 - int(state.CurrentCount)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Event:
    """multiprocessing.Event over namedmap.Event."""

    def __init__(self) -> None:
        self._held = namedmap.Event()
        self.set, self.clear, self.is_set, self.wait = (
            self._held.set,
            self._held.clear,
            self._held.is_set,
            self._held.wait,
        )

    def __repr__(self) -> str:
        return f"<Event at {id(self):#x} {'set' if self.is_set() else 'unset'}>"


def _seconds(block: bool, timeout: float | None) -> float | None:
    return (None if timeout is None else max(timeout, 0)) if block else 0


_context: Any = types.SimpleNamespace(Lock=Lock, RLock=RLock, Semaphore=Semaphore)


def condition(lock: Any = None) -> Any:
    return synchronize.Condition(lock, ctx=_context)


_context.Condition = condition


def barrier(parties: int, action: Callable[[], object] | None = None, timeout: float | None = None) -> Any:
    return synchronize.Barrier(parties, action, timeout, ctx=_context)


# -- the tests ---------------------------------------------------------------------------------------------------------

_TEXTS = "compares the text of repr(), which belongs to multiprocessing's own classes"
#: Tests that do not apply, with the reason. (Not every Python has them all.)
EXCLUDED = {
    "_TestLock.test_repr_lock": _TEXTS,
    "_TestLock.test_repr_rlock": _TEXTS,
    "_TestSemaphore.test_repr_semaphore": _TEXTS,
    "_TestSemaphore.test_repr_bounded_semaphore": _TEXTS,
}

_forking = multiprocessing.get_context("fork")


class _Objects:
    """The objects that a mixin finds in its test case."""

    TYPE = "processes"
    Process: Any = staticmethod(_forking.Process)
    current_process = staticmethod(multiprocessing.current_process)
    active_children = staticmethod(multiprocessing.active_children)
    Lock, RLock, Semaphore, Event = Lock, RLock, Semaphore, Event
    BoundedSemaphore = Semaphore
    Condition = staticmethod(condition)
    Barrier = staticmethod(barrier)
    Value = staticmethod(_forking.Value)
    Array = staticmethod(_forking.Array)
    Pipe = staticmethod(_forking.Pipe)
    Queue = staticmethod(_forking.Queue)


def _cases() -> list[Any]:
    found = []
    for name in ("_TestLock", "_TestSemaphore", "_TestCondition", "_TestEvent", "_TestBarrier"):
        mixin: Any = getattr(mixins, name)
        case = type(name, (_Objects, mixin, unittest.TestCase), {})
        for method in unittest.defaultTestLoader.getTestCaseNames(case):
            found.append(pytest.param(case, method, id=f"{name}.{method}"))
    return found


@pytest.mark.parametrize(("case", "method"), _cases())
def test_of_the_standard_library(case: Any, method: str) -> None:
    """Passes as it does with multiprocessing's own objects."""
    if f"{case.__name__}.{method}" in EXCLUDED:
        pytest.skip(reason=EXCLUDED[f"{case.__name__}.{method}"])
    passes(case(method))
