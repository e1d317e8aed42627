"""The time that processors work for processes, with all of their threads, those that have ended included.

The clock lies on a machine that others use: a process waits there for its turn. Processor time lies less. It is that of
all processes that take part: of this one, of those it has started and waited for, of others that are named, and of
multiprocessing's resource tracker, which peers tell of each block that they make.
"""

import contextlib
import fcntl
import os
import resource
import struct
import termios
import time
from collections.abc import Collection
from multiprocessing import resource_tracker
from pathlib import Path

#: Seconds that the tracker has to come to rest.
_PATIENCE = 1.0
_NAP = 0.0001


def used_by(process: int) -> float:
    """The seconds that a running process has used; 0 if it has ended."""
    # The number of the clock is what `clock_getcpuclockid` of the C library makes of a process; Python has none for it.
    with contextlib.suppress(OSError):
        return time.clock_gettime((~process << 3) | 2)
    return 0.0


def descendants() -> list[int]:
    """The processes that this one has started, and those that they have."""
    parents = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(directory.name)] = int(_fields(int(directory.name))[1])
    found = {os.getpid()}
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


class Stopwatch:
    """Started when it is made: the processor time of this process and of others since then.

    The tracker's counts unless told otherwise.
    """

    def __init__(self, others: Collection[int] = (), tracked: bool = True) -> None:
        tracker = _tracker() if tracked else None
        self._others = {*others, tracker} if tracker is not None else {*others}
        _settle(_tracker())
        self._before = sum(map(used_by, self._others)) + _of_children()
        self._started = time.process_time()  # last, as it is first to be read: what lies between is measured

    def stop(self) -> float:
        """The seconds since it was started."""
        own = time.process_time() - self._started
        # The tracker may have been told of more than it has read; its work belongs to who told it.
        _settle(_tracker())
        return own + sum(map(used_by, self._others)) + _of_children() - self._before


def _of_children() -> float:
    """The seconds that children have used that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _tracker() -> int | None:
    """The process of the resource tracker, if this process has started it."""
    found: int | None = getattr(_the_tracker(), "_pid", None)
    return found


def _the_tracker() -> object:
    return getattr(resource_tracker, "_resource_tracker", None)


def _settle(tracker: int | None) -> None:
    """Wait until the tracker has read all that was written to it, and sleeps."""
    pipe = getattr(_the_tracker(), "_fd", None)
    if tracker is None or pipe is None:
        return
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        unread = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
        if not unread and _fields(tracker)[0] == "S":
            return
        time.sleep(_NAP)


def _fields(process: int) -> list[str]:
    """The fields that the kernel has of a process behind its name: its state, its parent, ..."""
    return Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
