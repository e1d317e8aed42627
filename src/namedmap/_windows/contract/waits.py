"""Waiting for the Python classes. See `namedmap._contract.Waits`.

A thread waits itself, so that it owns the mutexes that it takes. For a task an agent does.
"""

import math
import time
from collections.abc import Sequence
from typing import Any

from namedmap._contract import Owner
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._windows import calling, waiting
from namedmap._windows.contract.agents import ABANDONED, Wait, calling_thread, ended, result_of
from namedmap._windows.handles import borrowed

_TIMEOUT, _FAILED, _INFINITE = 0x102, 0xFFFFFFFF, 0xFFFFFFFF
#: Milliseconds of one wait of Windows: what is longer, is several.
_LONGEST = _INFINITE - 1


class _Thread:
    """The calling thread."""

    @property
    def owner(self) -> Owner:
        return calling_thread()


thread = _Thread()


def wait(handles: Sequence[Any], owner: Owner, seconds: float | None, *, every: bool = False) -> int | None:
    if owner != calling_thread():
        with begin(handles, owner, every=every) as pending:  # of a task that waits no time
            return pending.attempt()
    _check(handles, every)
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    with borrowed(handles) as numbers:
        while True:
            left = _milliseconds(deadline)
            code, error = waiting.wait(numbers, left, every=every)
            if code == _FAILED:
                raise calling.failure("the wait failed", error)
            if code != _TIMEOUT or left < _LONGEST:
                return result_of(code, len(numbers), every)


def _milliseconds(deadline: float) -> int:
    if deadline == math.inf:
        return _INFINITE
    return min(max(math.ceil((deadline - time.monotonic()) * 1000), 0), _LONGEST)


def _check(handles: Sequence[Any], every: bool) -> None:
    if every and len({each.identity for each in handles}) < len(handles):
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_MIX, "the same object is there twice in a wait for all")


def wait_longer(handle: Any, owner: Owner, seconds: float | None) -> int | None:
    return wait([handle], owner, seconds)


def begin(handles: Sequence[Any], owner: Owner, *, every: bool = False) -> Wait:
    _check(handles, every)
    return Wait(handles, owner, every)


__all__ = ["ABANDONED", "begin", "ended", "thread", "wait", "wait_longer"]
