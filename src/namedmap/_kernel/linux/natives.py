"""The interpreter's own locks and sleep, where gevent or eventlet have put theirs in the place of those ("patching").

Their locks and sleeps let other greenlets of the thread run, which is what a *wait* should do, and what the middle of
an operation must not: a greenlet that is switched away inside it keeps its thread's reentrant locks, and the next
greenlet of the thread passes them. So the locks in this package are the interpreter's own, nobody switches while
holding one, and a wait sleeps by what was patched in (`Bell`).

A program may be patched before or after namedmap is imported; so a caller that wants to know looks each time.
"""

import threading
import time
from _thread import RLock as RLock  # neither of the two replaces this name
from collections.abc import Sequence

from namedmap._kernel.linux import libc

_LIBRARIES = ("gevent", "eventlet")
#: How often a bell looks whether it was rung where only `time` is patched, in seconds.
_GLANCE = 0.005
_LONGEST_POLL = 3600.0


def _native(function: object) -> bool:
    return str(getattr(function, "__module__", None)).partition(".")[0] not in _LIBRARIES


#: The interpreter's own threading.get_ident. While `threading` has another, threads are greenlets.
get_ident = threading.get_ident if _native(threading.get_ident) else None
#: The same for time.sleep.
own_sleep = time.sleep if _native(time.sleep) else None


def threads_are_greenlets() -> bool:
    """Whether what a program takes for threads are greenlets of one thread."""
    return threading.get_ident is not get_ident


def cooperative() -> bool:
    """Whether a wait has to let other greenlets of its thread run."""
    return threading.get_ident is not get_ident or not _native(time.sleep)


def sleep(seconds: float) -> None:
    """Keep this thread from running, with all its greenlets."""
    libc.usleep(int(seconds * 1_000_000))


def poll(descriptors: Sequence[int], seconds: float) -> bool:
    """Wait until a descriptor is readable, so long at most; whether one is. A signal ends it too."""
    polled = (libc.pollfd * len(descriptors))(*(libc.pollfd(each, libc.POLLIN) for each in descriptors))
    return int(libc.poll(polled, len(descriptors), int(min(seconds, _LONGEST_POLL) * 1000))) > 0


class Bell:
    """A bell that a wait in a patched program sleeps on, so that other greenlets run."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Sleep until it is rung, or for so long at most; whether it was rung. It is silent again afterwards."""
        if threads_are_greenlets():
            self._event.wait(seconds)
        else:
            end = time.monotonic() + seconds
            while not self._event.is_set() and time.monotonic() < end:
                time.sleep(_GLANCE)
        rung = self._event.is_set()
        self._event.clear()
        return rung
