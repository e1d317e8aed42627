"""Those of a process who wait for one object without a thread of their own: tasks and greenlets, in order of arrival.

If each of them slept on the object's word, each release would wake them all, and all but one would look in vain. So
they stand in a *line* of the object, and one notifier sleeps for the line (see `notifier`). When the object changes, as
many are *rung* as can go on, from the front: one for a mutex, as many as there are permits for a semaphore. An entry
that was rung attempts to take the object. It leaves the line with it; or, if somebody was quicker, stays at its place.
An entry that was rung and leaves without the object (cancelled, or content with another object) has the next one rung.

Changes come from three sides. This process's own calls stir the line themselves, at once; so what only this process
uses needs nobody who sleeps, and while this process owns a mutex, the notifier need not even watch it. Other processes
change the word. And deaths change nothing, so the line looks now and then: once for all who stand in it.

An entry that was rung and has not come within a slice (its event loop is busy, or was forgotten) is *absent*: the next
one is rung in its place, and nobody lets it go first any more. It keeps its place for when it comes.

A line of those who wait for all of several objects works likewise, but the line cannot know whether others than its own
object are missing. There each change begins a *round*, in which all are rung one after the other until the object has
gone.

Everything here runs with the object's mutex held, and waits for nothing.
"""

import contextlib
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from namedmap._convention.status import KernelError, ignored, require_ours
from namedmap._kernel.objects.waitable import Entry

#: How long a sleep is at first, in seconds, and at most. In between it is a tenth of what was waited already: so a
#: death is noticed a tenth later than it could be, and a long wait costs next to nothing.
SLICE, LONGEST = 0.1, 1.0
_SHARE = 10
#: As many as there are.
EVERYBODY = 1 << 30

Place = tuple[int, int]  # address of a word, value that was seen there


def slice_after(waited: float, shortest: float = SLICE, longest: float = LONGEST) -> float:
    """How long the next sleep of a wait may be that has lasted for so long, in seconds."""
    return max(shortest, min(waited / _SHARE, longest))


class Lined(Protocol):
    """The operations that a line asks of its object, with the object's mutex held."""

    def room(self, *, every: bool) -> int:
        """How many could take it, at a glance."""

    def ready(self, entry: Entry) -> bool:
        """Whether an attempt of a queued entry could succeed, at a glance."""

    def settle_old(self) -> None:
        """Look for what deaths have left."""

    def sequence(self, *, every: bool) -> Place:
        """The word on which those sleep who wait for any, or for all of their objects, and its present value."""

    def expect_wake(self, *, every: bool) -> bool:
        """See to it that the next change is told of; whether that had to be done, so that one has to look again."""

    @property
    def there(self) -> bool:
        """Whether one could take it, at a glance."""

    @property
    def owned_here(self) -> bool:
        """Whether only this process can change it."""


def _nothing() -> None:
    pass


class Line:
    """Those who wait for any of their objects, this one among them."""

    every = False

    def __init__(self, held: Lined) -> None:
        self.held = held
        # By weak references: an exception from a signal handler may have kept a wait from leaving.
        self._entries: OrderedDict[int, weakref.ref[Entry]] = OrderedDict()
        #: The entries that were rung and have neither come nor left, and when.
        self._rung: dict[int, float] = {}
        self._absent: set[int] = set()
        #: The place that the notifier sleeps on; None while it need not.
        self.place: Place | None = None
        self.since = time.monotonic()
        self.due = self.since + SLICE
        #: The calls to the notifier: it has to watch the word from now on; nobody waits any more.
        self.watch: Callable[[], None] = _nothing
        self.end: Callable[[], None] = _nothing

    def __len__(self) -> int:
        return len(self._entries)

    def join(self, entry: Entry, call: Callable[[], object]) -> None:
        """Have `call` called when the entry may go on: after an attempt of it has failed."""
        key = id(entry)
        entry.call = call
        if key not in self._entries:
            entry.joined = self.since = time.monotonic()
            self._entries[key] = weakref.ref(entry)
        returned = self._returned(key)
        if self._missed(entry) or returned:
            self.stir()
        if self.place is None and key not in self._rung and not self.held.owned_here:
            self.watch()

    def _missed(self, entry: Entry) -> bool:
        """Whether something has come between the entry's attempt and now."""
        return self.held.ready(entry)

    def _returned(self, key: int) -> bool:
        """Whether the entry was rung, and now is not any more."""
        self._absent.discard(key)
        return self._rung.pop(key, None) is not None

    def remove(self, entry: Entry) -> None:
        """The entry's wait is over."""
        key = id(entry)
        self._entries.pop(key, None)
        if self._returned(key):
            self.stir()

    def goes_first(self, entry: Entry) -> bool:
        """Whether nobody who is there stands before the entry, or it was rung."""
        key = id(entry)
        if key in self._rung:
            return True
        ahead = next((each for each in self._entries if each not in self._absent), key)
        return ahead == key

    # -- ringing ------------------------------------------------------------------------------------------------------

    def stir(self) -> None:
        """Ring as many as can go on."""
        with ignored(KernelError, OSError):  # a truncated file: the next attempt finds out
            room = self.held.room(every=self.every) - (len(self._rung) - len(self._absent))
            if room > 0:
                self._ring(room)

    def _ring(self, room: int) -> None:
        first = next(iter(self._entries), None)
        if first is not None and self._rang(first):
            room -= 1
        # A list: the garbage collector may end a wait, and so its entry, in the middle.
        for key in list(self._entries) if room else ():
            if self._rang(key):
                room -= 1
                if not room:
                    return

    def _rang(self, key: int) -> bool:
        """Ring an entry; whether it was there to be rung."""
        entry = self._entries[key]() if key in self._entries else None
        if entry is None or entry.call is None or key in self._rung or not self._may_go(entry):
            return False
        self._rung[key] = self.since = time.monotonic()
        with contextlib.suppress(Exception):  # a loop that cannot be told must not silence the others
            entry.call()
        return True

    def _may_go(self, entry: Entry) -> bool:
        return self.held.ready(entry)

    # -- the notifier's part ------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Before a sleep: what to sleep on."""
        if self.held.owned_here:
            self.place = None
        elif self.place is None:
            self._look(changed=True)

    def look(self, *, changed: bool) -> None:
        """After a sleep: the word has changed, or it is time to look."""
        now = time.monotonic()
        self._miss_the_absent(now)
        try:
            if not changed:
                self._look_for_deaths(now)
            self._look(changed)
        except (KernelError, OSError) as error:  # locked, or truncated: the next attempt finds out
            require_ours(error)
            if changed:
                self._ring(EVERYBODY)
        self.due = now + slice_after(now - self.since, 2 * SLICE)

    def _look(self, changed: bool) -> None:
        # First the word, then the mark that somebody waits, then the object.
        self.place = None if self.held.owned_here else self.held.sequence(every=self.every)
        marked = self.place is not None and self.held.expect_wake(every=self.every)
        if changed or marked:
            self._begin()
        self.stir()

    def _begin(self) -> None:
        """The object has changed."""

    def _look_for_deaths(self, now: float) -> None:
        self.held.settle_old()
        for found in self._entries.values():
            entry = found()
            if entry is not None and now - entry.joined > SLICE:
                entry.patient = True

    def _miss_the_absent(self, now: float) -> None:
        for key, found in list(self._entries.items()):
            if found() is None:
                del self._entries[key]
                self._returned(key)
        self._absent |= {key for key, rung in self._rung.items() if now - rung > SLICE}


class LineForAll(Line):
    """Those who wait for all of their objects, and have missed this one."""

    every = True

    def __init__(self, held: Lined) -> None:
        super().__init__(held)
        self._round = 0

    def changed(self) -> None:
        """The object has changed: all may look again."""
        self._begin()
        self.stir()

    def _begin(self) -> None:
        self._round += 1

    def _missed(self, entry: Entry) -> bool:
        missed = self.held.sequence(every=True)[1] != entry.sequence
        entry.looked = self._round - missed
        return missed

    def remove(self, entry: Entry) -> None:
        super().remove(entry)
        # The entry that was told last has cleared the mark that somebody waits, and leaves it so if it has got all.
        with ignored(KernelError, OSError):
            if self._entries and not self.held.owned_here and self.held.expect_wake(every=True):
                self.changed()

    def _may_go(self, entry: Entry) -> bool:
        return entry.looked < self._round

    def _look_for_deaths(self, now: float) -> None:
        self.held.settle_old()
        if self.held.there:
            self._begin()
