"""Waits: for one object, for any, for all.

A newcomer takes what is there. Else it is *queued* with each object, and looks, sleeps, and looks again, until it
takes one, the time is over, or an exception (Ctrl-C) ends it; then it leaves the objects that it did not take.

A wait for all objects takes their guards in the order of their files, so that two such waits cannot hold each other up,
and lets go of them if one cannot be had at once. With all of them it looks at all, and takes all or none. It sleeps on
those that were not there. It is not queued anywhere: what is there for some of its objects stays there for others
meanwhile.

No sleep is longer than SLICE. The death of a process drops its locks, but wakes nobody: sleepers look by themselves.
"""

import contextlib
import errno
import time
from collections.abc import Callable, Sequence
from typing import Self

from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.dispatch import notifier
from namedmap._kernel.dispatch.dispatcher import BRIEF, Busy, Dispatcher
from namedmap._kernel.dispatch.line import LONGEST, SLICE, slice_after
from namedmap._kernel.linux import futex, locks, natives
from namedmap._kernel.linux.locks import GUARD_TIMEOUT
from namedmap._kernel.objects.owners import Owner
from namedmap._kernel.objects.waitable import Entry, Waitable

#: The longest sleep if some of the objects cannot be slept on (processes, next to others).
SHORT_SLICE = 0.03

#: So long (in seconds) who comes looks again before going to sleep: much of what is waited for is there within
#: microseconds, and to sleep and be woken takes longer.
MOMENT = 0.0001


class Wait:
    """One wait of one owner. Use in a with-statement; the caller keeps the objects alive."""

    def __init__(self, objects: Sequence[Waitable], owner: Owner, *, every: bool = False) -> None:
        self.owner = owner
        self.every = every
        self.entries = [Entry(held) for held in objects]
        self._missing: list[Entry] = []
        self._began = time.monotonic()
        # Whether it stands in lines, rather than sleep on the objects' words.
        self._lined = False
        # Looking at many objects takes longer: so it is done less often.
        self._slice = SLICE * (1 + len(self.entries) / 32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lined:
            for entry in self.entries:
                if isinstance(entry.held, Dispatcher):
                    notifier.leave(entry.held, entry, every=self.every)
        if not self.every:
            for entry in self.entries:
                # Nobody who locks an object for long can keep a waiter from leaving.
                with contextlib.suppress(KernelError):
                    entry.held.leave(entry)

    def queue(self) -> None:
        """Begin to wait, without looking yet."""
        if not self.every:
            for entry in self.entries:
                entry.held.queue(entry, self.owner)

    def attempt(self) -> int | None:
        """Take what was waited for: the result of the wait, or None."""
        if time.monotonic() - self._began > SLICE:
            for entry in self.entries:
                entry.patient = True
        return self._take_all() if self.every else self._take_any()

    def _take_any(self) -> int | None:
        for index, entry in enumerate(self.entries):
            if self._lined and not entry.held.may_try(entry, self.owner):
                continue
            result = entry.held.attempt(entry, self.owner)
            if result is not None:
                return result + index
        return None

    def _take_all(self) -> int | None:
        ordered = sorted((entry.held for entry in self.entries), key=_order)
        while True:
            try:
                return _run_guarded(self._take_claimed, ordered, GUARD_TIMEOUT)
            except Busy as busy:
                held = busy.held
            # Now, with no other guard in hand, there is time to wait for this one; or to fail.
            held.run_guarded(lambda: None)

    def _take_claimed(self) -> int | None:
        try:
            return self._claim_all()
        except BaseException:
            # A signal handler has raised: nothing stays claimed. (No loop in this try: an exception that comes where a
            # loop jumps back may pass the handlers of its own function in CPython 3.12 and 3.13.)
            self._revert(self.entries)
            raise

    def _claim_all(self) -> int | None:
        claimed: list[Entry] = []
        missing: list[Entry] = []
        for entry in self.entries:
            (claimed if entry.held.claim(entry, self.owner) else missing).append(entry)
        for entry in tuple(missing):
            if entry.held.watch(entry, self.owner):
                missing.remove(entry)
                claimed.append(entry)
        if not missing:
            return self._accept_all()
        self._missing = missing
        for entry in self.entries:
            entry.last = missing == [entry]
        self._revert(claimed)
        return None

    def _revert(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            entry.held.revert()

    def _accept_all(self) -> int:
        worst = 0
        for entry in self.entries:
            worst = max(worst, entry.held.accept(entry, self.owner))
        return worst

    def places(self) -> list[futex.Word | None]:
        """The words to sleep on after an attempt that failed; None for an object that cannot be slept on."""
        return [entry.held.place(entry, every=self.every) for entry in self._awaited()]

    def _awaited(self) -> list[Entry]:
        """The objects whose change would let the wait go on."""
        return self._missing if self.every else self.entries

    def sleep(self, seconds: float) -> None:
        """Until another attempt could succeed, or for so long at most."""
        if natives.cooperative():
            self._let_others_run(seconds)
            return
        places = self.places()
        words = [place for place in places if place is not None]
        if not words:
            self._poll(min(seconds, self._slice))
            return
        waited = time.monotonic() - self._began
        longest = (
            slice_after(waited, self._slice) if len(words) == len(places) else slice_after(waited, SHORT_SLICE, SLICE)
        )
        try:
            futex.sleep(words, min(seconds, longest))
        except OSError as error:
            if error.errno != errno.EFAULT:
                raise
            raise KernelError(
                NTSTATUS.STATUS_FILE_CORRUPT, "somebody has truncated the file of an object that is waited for"
            ) from None

    def when_changed(self, call: Callable[[], object]) -> Callable[[], None]:
        """See `namedmap._contract.PendingWait`."""
        self._lined = True
        for entry in self._awaited():
            if isinstance(entry.held, Dispatcher):
                notifier.join(entry.held, entry, call, every=self.every)
        return self._disarm

    def _disarm(self) -> None:
        for entry in self.entries:
            entry.call = None

    def _let_others_run(self, seconds: float) -> None:
        """`sleep` in a program whose waits have to let greenlets run."""
        bell = natives.Bell()
        end = self.when_changed(bell.ring)
        try:
            blind = not all(isinstance(entry.held, Dispatcher) for entry in self._awaited())
            bell.wait(min(seconds, SHORT_SLICE if blind else LONGEST))
        finally:
            end()

    def _poll(self, seconds: float) -> None:
        found = (entry.held.descriptor() for entry in self._awaited())
        natives.poll([descriptor for descriptor in found if descriptor is not None], seconds)


def _order(held: Waitable) -> tuple[int, int]:
    return held.key if isinstance(held, Dispatcher) else (0, 0)


def _run_guarded(function: Callable[[], int | None], objects: Sequence[Waitable], patience: float) -> int | None:
    """Call a function under the guards of all objects. Busy: the first was there, another was not, for a while."""
    if not objects:
        return function()
    return objects[0].run_guarded(lambda: _run_guarded(function, objects[1:], BRIEF), patience)


def wait(objects: Sequence[Waitable], owner: Owner, seconds: float, *, every: bool = False) -> int | None:
    """Wait for any of the objects, or for all: 0 or ABANDONED (plus index), or None when the time is over."""
    deadline = time.monotonic() + seconds
    if not every:
        result = _take_any(objects, owner)
        if result is None and seconds > 0:
            result = glance(objects, owner)
        if result is not None or seconds <= 0:
            return result
    return sleep(objects, owner, deadline, every=every)


def sleep(objects: Sequence[Waitable], owner: Owner, deadline: float, *, every: bool = False) -> int | None:
    """The part of a wait that may sleep."""
    with Wait(objects, owner, every=every) as waiting:
        return _until(waiting, deadline)


def glance(objects: Sequence[Waitable], owner: Owner) -> int | None:
    """Look again for a moment before going to sleep: 0 or ABANDONED (plus index), or None."""
    now = time.monotonic()
    moment = now if natives.cooperative() else now + MOMENT
    while locks.dear_until <= now < moment:
        now = locks.offer_processor(now)
        for held in objects:
            if held.seems_free():
                result = _take_any(objects, owner)
                if result is not None:
                    return result
    return None


def _take_any(objects: Sequence[Waitable], owner: Owner) -> int | None:
    for index, held in enumerate(objects):
        result = held.take(owner)
        if result is not None:
            return result + index
    return None


def signal_and_wait(signal: Callable[[], object], held: Waitable, owner: Owner, seconds: float) -> int | None:
    """Signal one object and wait for another; whoever sees the signal finds this thread waiting."""
    with Wait([held], owner) as waiting:
        waiting.queue()
        signal()
        return _until(waiting, time.monotonic() + seconds)


def _until(waiting: Wait, deadline: float) -> int | None:
    while True:
        result = waiting.attempt()
        if result is not None:
            return result
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        waiting.sleep(left)
