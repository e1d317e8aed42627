"""Sleeping for others: one thread that sleeps on the words of many lines, and has a line looked at that has changed.

Neither an event loop nor a greenlet can sleep on a futex. One thread serves as many lines as `futex.sleep` can take; it
is started with the first line, and then stays. Lines that come while it sleeps reach it because it sleeps on a word of
its own too, the bell.

Where threads are greenlets (gevent, eventlet) the notifier is a greenlet of the thread whose greenlets wait. It looks
at the words often at first, and less often the longer it is in vain; and it ends when nobody waits, since programs wait
for their last greenlet.
"""

import _thread
import ctypes
import functools
import threading
import time
from collections.abc import Callable

from namedmap._convention.status import KernelError, ignored
from namedmap._kernel.dispatch.dispatcher import BRIEF, Dispatcher
from namedmap._kernel.dispatch.line import SLICE, Line, LineForAll, slice_after
from namedmap._kernel.linux import futex, natives
from namedmap._kernel.linux.natives import RLock
from namedmap._kernel.objects.waitable import Entry

_FOREVER = 3600.0
#: How long a greenlet sleeps between looks, in seconds.
_SHORTEST_GLANCE, _LONGEST_GLANCE = 0.001, 0.05


class Notifier:
    """One thread and the lines that it sleeps for."""

    def __init__(self) -> None:
        # No object is made with it held: the garbage collector may end a wait of another object at any allocation, and
        # that object's mutex may be held by a thread that waits for this lock. So the lines are changed without it.
        self._lock = RLock()
        self._lines: dict[Line, Dispatcher] = {}
        self._bell = ctypes.c_uint32()
        self._runs = False

    @property
    def load(self) -> int:
        """Words that it sleeps on, beside its own."""
        return len(self._lines)

    def add(self, line: Line, held: Dispatcher) -> None:
        """Sleep for a line too, until it is removed."""
        line.watch, line.end = self._ring, functools.partial(self._remove, line)
        self._lines[line] = held
        with self._lock:
            runs, self._runs = self._runs, True
        if not runs:
            try:
                self._start()
            except BaseException:
                self._runs = False
                self._lines.pop(line, None)
                raise
        self._ring()

    def _remove(self, line: Line) -> None:
        known = self._lines.pop(line, None)
        if known is not None and line.place is not None:
            # Else the thread would sleep on, and could be woken in the place of somebody who waits.
            self._ring()

    def _start(self) -> None:
        threading.Thread(target=self._run, name="namedmap-notifier", daemon=True).start()

    def _ring(self) -> None:
        futex.change(ctypes.addressof(self._bell), 1)

    def _run(self) -> None:
        while True:
            self._sleep()

    def _sleep(self) -> None:
        """Sleep once, then have the lines look that have to."""
        rung = self._bell.value
        lines = self._prepared()
        # Only the words: what a line refers to must not be kept alive by a thread that sleeps.
        words = [(ctypes.addressof(self._bell), rung), *(line.place for line in lines if line.place is not None)]
        until = min((line.due for line in lines), default=time.monotonic() + _FOREVER)
        seen = [(id(line), line.place) for line in lines]
        del lines
        early = True
        with ignored(OSError):  # one of the files was truncated; whoever looks finds that out
            early = futex.sleep(words, max(until - time.monotonic(), 0))
        self._look(dict(seen), early)

    def _prepared(self) -> list[Line]:
        lines = []
        for line, held in self._lines.copy().items():
            # An object that another thread keeps locked must not hold up the others.
            if held.mutex.acquire(timeout=BRIEF):
                try:
                    with ignored(KernelError, OSError):  # the next attempt finds out
                        line.prepare()
                finally:
                    held.mutex.release()
            lines.append(line)
        return lines

    def _look(self, seen: "dict[int, tuple[int, int] | None]", early: bool) -> None:
        found = self._lines.copy()
        # A line that is nearly due is looked at now, so that there is one waking for many lines.
        soon = time.monotonic() + (0 if early else SLICE)
        for line, held in found.items():
            place = seen.get(id(line))
            changed = early and place is not None and futex.has_changed(place)
            if (changed or line.due <= soon) and held.mutex.acquire(timeout=BRIEF):
                try:
                    line.look(changed=changed)
                    _drop_empty(line, held)
                finally:
                    held.mutex.release()


class GreenNotifier(Notifier):
    """One greenlet and the lines of its thread."""

    def __init__(self) -> None:
        super().__init__()
        self._rung = natives.Bell()

    def _start(self) -> None:
        # Thread.start would wait for the greenlet to begin, with an object's mutex held.
        _thread.start_new_thread(self._run, ())

    def _ring(self) -> None:
        self._rung.ring()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._lines:
                    self._runs = False
                    return
            self._sleep()

    def _sleep(self) -> None:
        lines = self._prepared()
        now = time.monotonic()
        glance = min(slice_after(now - line.since, _SHORTEST_GLANCE, _LONGEST_GLANCE) for line in lines)
        seen = {id(line): line.place for line in lines}
        del lines
        self._rung.wait(glance)
        self._look(seen, True)


_native: list[Notifier] = []
#: By the thread whose greenlets they serve.
_green: dict[int, Notifier] = {}


def _with_room() -> Notifier:
    """A notifier that can serve one more line. Two threads may make one each: that does no harm."""
    if natives.threads_are_greenlets():
        return _green.setdefault(threading.get_native_id(), GreenNotifier())
    for notifier in _native.copy():
        if notifier.load + 1 < futex.MOST:
            return notifier
    made = Notifier()
    _native.append(made)
    return made


def join(held: Dispatcher, entry: Entry, call: Callable[[], object], *, every: bool) -> None:
    """Have `call` called, from any thread, when an entry whose attempt has failed may succeed. `leave` follows."""
    with held.mutex:
        line = held.line_for_all if every else held.line
        if line is None:
            line = LineForAll(held) if every else Line(held)
            _with_room().add(line, held)
            if isinstance(line, LineForAll):
                held.line_for_all = line
            else:
                held.line = line
            held.arm()
        line.join(entry, call)


def leave(held: Dispatcher, entry: Entry, *, every: bool) -> None:
    """The entry's wait is over. Without effect if it is in no line."""
    with held.mutex:
        line = held.line_for_all if every else held.line
        if line is not None:
            line.remove(entry)
            _drop_empty(line, held)


def _drop_empty(line: Line, held: Dispatcher) -> None:
    if line:
        return
    if held.line is line:
        held.line = None
    elif held.line_for_all is line:
        held.line_for_all = None
    held.arm()
    line.end()


def forked() -> None:
    """In a forked child: the threads stayed in the parent; the objects forget their lines themselves."""
    _native.clear()
    _green.clear()
