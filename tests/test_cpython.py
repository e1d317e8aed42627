"""The standard library's own tests of Lock, Semaphore, Condition, Event and Barrier, run against namedmap's objects.

The mixins are those of the installed `test._test_multiprocessing`; processes are forked, so that unnamed objects are
shared.
"""

import multiprocessing
import unittest
from typing import Any

import pytest

import cpython_adapter as adapter

mixins = pytest.importorskip("test._test_multiprocessing", reason="this Python has no test package")

_TEXTS = "compares the text of repr(), which belongs to multiprocessing's own classes"
#: What does not apply, with the reason. (Not every Python has them all.)
EXCLUDED = {
    "_TestLock.test_repr_lock": _TEXTS,
    "_TestLock.test_repr_rlock": _TEXTS,
    "_TestSemaphore.test_repr_semaphore": _TEXTS,
    "_TestSemaphore.test_repr_bounded_semaphore": _TEXTS,
}

_forking = multiprocessing.get_context("fork")


class _Objects:
    """What a mixin finds in its test case."""

    TYPE = "processes"
    Process: Any = staticmethod(_forking.Process)
    current_process = staticmethod(multiprocessing.current_process)
    active_children = staticmethod(multiprocessing.active_children)
    Lock, RLock, Semaphore, Event = adapter.Lock, adapter.RLock, adapter.Semaphore, adapter.Event
    BoundedSemaphore = adapter.Semaphore
    Condition = staticmethod(adapter.condition)
    Barrier = staticmethod(adapter.barrier)
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
    result = unittest.TestResult()
    case(method).run(result)
    assert not result.errors + result.failures, "\n".join(text for _, text in result.errors + result.failures)
    if result.skipped:
        pytest.skip(reason=result.skipped[0][1])
