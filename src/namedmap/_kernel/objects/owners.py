"""The owners of mutexes: a thread, a greenlet where those stand for threads, or an asyncio task.

A thread is known by its identifier, and its end is noticed by the end of its thread-local storage, which the
interpreter takes down in the thread itself, before anybody can join it. Each function that is registered with `at_end`
is called then. A task stands for itself, and so does a greenlet. The greenlets of gevent and eventlet tell of their
end; of a plain one it is noticed when another greenlet of the process wants what it owns (`is_over`).
"""

import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from namedmap._finalizer import finalizer
from namedmap._kernel.linux import compiled, natives

Owner = object

#: Called with the owner that has ended.
at_end: list[Callable[[Owner], None]] = []


def ended(owner: Owner) -> None:
    """An owner has ended."""
    for call in at_end:
        with contextlib.suppress(Exception):  # nobody is left to tell; the others are told all the same
            call(owner)


class _End:
    """Lives as long as its thread."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.pid = os.getpid()

    @finalizer
    def __del__(self) -> None:
        # After a fork the child takes down the parent's other threads; they go on in the parent. At the end of the
        # interpreter the process ends too, and the kernel abandons what it owns.
        if os.getpid() == self.pid and not sys.is_finalizing():
            if compiled.core is not None and threading.get_ident() == self.owner:
                compiled.core.know_thread(None)
            ended(self.owner)


class _Thread(threading.local):
    def __init__(self) -> None:
        # Runs in every thread that asks for the first time.
        self.owner = threading.get_ident()
        self.end = _End(self.owner)
        if compiled.core is not None:
            compiled.core.know_thread(self.owner)


if compiled.core is not None:
    compiled.core.know_threads(vars(threading), natives.get_ident, vars(time), natives.own_sleep)
_thread = _Thread()


class _Caller:
    @property
    def owner(self) -> Owner:
        """The calling thread, or greenlet."""
        return _thread.owner if threading.get_ident is natives.get_ident else _greenlet()


#: `thread.owner` is the calling thread, or greenlet, as an owner.
thread = _Caller()

#: The greenlets that tell of their end.
_greenlets: "weakref.WeakSet[Any]" = weakref.WeakSet()


def _greenlet() -> Owner:
    running: Any = sys.modules["greenlet"].getcurrent()
    if running.parent is None:
        # The greenlet that a thread begins with ends with the thread.
        return _thread.owner
    if running not in _greenlets:
        _greenlets.add(running)
        # gevent and eventlet each have a name for that.
        tell = getattr(running, "rawlink", None) or getattr(running, "link", None)
        if tell is not None:
            tell(ended)
    return running


def is_over(owner: Owner) -> bool:
    """Whether an owner is a greenlet that has ended, and perhaps could not tell."""
    return getattr(owner, "dead", False) is True


def forked() -> None:
    """In a forked child: the thread that goes on is its own."""
    _thread.end.pid = os.getpid()
