"""Who can own a mutex: a thread, or an asyncio task.

A thread is known by its identifier, and its end is noticed by the end of its thread-local storage, which the
interpreter takes down in the thread itself, before anybody can join it. Whatever is registered with `at_end` is called
then. A task stands for itself.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable

from namedmap._finalizer import finalizer

Owner = object

#: Called with the owner that has ended.
at_end: list[Callable[[Owner], None]] = []


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
            ended(self.owner)


class _Thread(threading.local):
    def __init__(self) -> None:
        # Runs in every thread that asks for the first time.
        self.owner = threading.get_ident()
        self.end = _End(self.owner)


#: `thread.owner` is the calling thread, as an owner.
thread = _Thread()


def forked() -> None:
    """In a forked child: the thread that goes on is its own."""
    thread.end.pid = os.getpid()


def ended(owner: Owner) -> None:
    """An owner has ended."""
    for call in at_end:
        with contextlib.suppress(Exception):  # nobody is left to tell; the others are told all the same
            call(owner)
