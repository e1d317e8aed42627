"""Drops that come at a bad moment: they wait for the end of a fork, or of a create or open of their thread.

The garbage collector, a signal handler or the end of another thread's locals may drop the last handle to an object at
any instant. The module decides for each drop whether it can be done now.
"""

import contextlib
import functools
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import ParamSpec, TypeVar

from namedmap._kernel.names import objectfile

Params = ParamSpec("Params")
Result = TypeVar("Result")

#: For each thread that creates or opens an object, what to do at the end of that; for None, while this process forks,
#: what to do when it has. Mostly empty: then nothing has to wait.
waiting: dict[int | None, list[Callable[[], None]]] = {}
_due: deque[Callable[[], None]] = deque()


def begin_fork() -> None:
    """From here on the descriptors stay as they are, and so do their locks; with `lock` held."""
    waiting[None] = []


def forking() -> bool:
    """Whether drops wait for the end of a fork."""
    return None in waiting


def end_fork(*, discard: bool = False) -> None:
    """All that was postponed is due now; with `lock` held. A forked child, which counts anew, need not do it."""
    calls = waiting.pop(None, [])
    if not discard:
        _due.extend(calls)
        return
    me = get_ident()
    for thread in [each for each in waiting if each != me]:  # which the child does not have
        del waiting[thread]


def call_postponed() -> None:
    """Do what was postponed; without `lock`."""
    while _due:
        _due.popleft()()


def postponed(call: Callable[[], None]) -> bool:
    """Whether the call has to wait for the end of a fork; with `lock` held.

    The garbage collector, a signal handler or the end of another thread's locals may drop an object in the middle of a
    fork. In the child, which has the parent's descriptors until then, that would drop the parent's locks.
    """
    calls = waiting.get(None)
    if calls is None:
        calls = waiting.get(get_ident())
    if calls is None:
        return False
    calls.append(call)
    return True


def undisturbed(function: Callable[Params, Result]) -> Callable[Params, Result]:
    """Postpone what the garbage collector or a signal handler drops in this thread to the end of the function.

    A thread that creates or opens an object holds its file's guard before it counts as a holder: a finalizer that drops
    the last handle to the same object there would wait for the guard that its own thread holds, and take the object
    away between its being found and its being counted.

    At the end no object file of the thread is in flight: an exception of a signal handler that comes as a with-block of
    one ends would leave its guard locked, and other processes without the name.
    """

    @functools.wraps(function)
    def call(*args: Params.args, **kwargs: Params.kwargs) -> Result:
        me = get_ident()
        if me in waiting:
            return function(*args, **kwargs)
        calls: list[Callable[[], None]] = []
        waiting[me] = calls
        try:
            return function(*args, **kwargs)
        finally:
            del waiting[me]
            try:
                if objectfile.in_flight:
                    objectfile.close_own()
            finally:
                if calls:
                    _call_all(calls)

    return call


def _call_all(calls: list[Callable[[], None]]) -> None:
    with contextlib.ExitStack() as each:  # all of them are called, whatever one of them raises
        for call in reversed(calls):
            each.callback(call)
