"""Semaphores and events. `dispatcher` has what they share with mutexes, `waiting` has the waits."""

from typing import ClassVar

from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.dispatch.dispatcher import (
    BRIEF,
    COUNT,
    GENERATION,
    MAXIMUM,
    PERMITS,
    PULSED,
    SEQUENCE,
    WAITING,
    WAITING_ALL,
    Dispatcher,
    under_guard,
)
from namedmap._kernel.dispatch.state import MOST, SLOW, lock_free_for
from namedmap._kernel.linux import locks
from namedmap._kernel.linux.futex import EVERYBODY
from namedmap._kernel.names.controlpage import Control, Kind
from namedmap._kernel.names.names import ObjectName
from namedmap._kernel.names.objectfile import ObjectFile
from namedmap._kernel.names.security import Security
from namedmap._kernel.objects import named
from namedmap._kernel.objects.named import Named
from namedmap._kernel.objects.owners import Owner
from namedmap._kernel.objects.waitable import TAKEN, Entry

MANUAL = 1  # event: flags


class Counted(Dispatcher):
    """An object that is there COUNT times, to be taken once by each waiter: a semaphore, an auto-reset event."""

    def seems_free(self) -> bool:
        words = self.glimpse
        return words is not None and words[COUNT] & MOST > 0

    def keep_away(self) -> None:
        self.set_bits(COUNT, SLOW)

    def let_come(self) -> None:
        words = self.quick_words
        if words is not None and not words[WAITING] and not words[WAITING_ALL] and words[PERMITS] < 1:
            words[COUNT] &= MOST

    def take(self, owner: Owner) -> int | None:
        if self.quick and self.core_take_one():
            return TAKEN
        words = self.glimpse
        if words is None:
            return self._take()
        there = words[COUNT] & MOST > 0
        if self.manual:
            return TAKEN if there else None
        return self._take() if there or words[PERMITS] > 0 else None

    @under_guard
    def _take(self) -> int | None:
        words = self.quick_words or self.words
        if words[PERMITS] > 0:
            self._settle()
        return self._take_one()

    def _take_one(self) -> int | None:
        words, mark = self.quick_words or self.words, self.mark
        # From here on no call, and so no signal handler that uses the object too.
        count = words[COUNT] & MOST
        if count < 1:
            return None
        if not self.manual:
            words[COUNT] = count - 1 - mark
        return TAKEN

    def _settle(self) -> None:
        """Permits of waiters who are gone are there for everybody."""
        words = self.quick_words or self.words
        if words[PERMITS] < 1:
            return
        waiters = self.waiters(words[PERMITS])
        mark = self.mark
        # From here on no call, as above.
        permits = words[PERMITS]
        if permits > waiters and self.pairs is not None:
            count, most = (words[COUNT] & MOST) + permits - waiters, words[MAXIMUM]
            self.pairs[0] = (count if count < most else most) | mark | waiters << 32

    def post(self, number: int, *, keep: bool = True) -> int:
        """Give so many to those who wait, and keep the rest, up to MAXIMUM; with the guard held.

        Returns how many to wake, without the guard: a woken waiter takes it first.
        """
        words, mark = self.quick_words or self.words, self.mark
        granted = waiters = 0
        if words[WAITING]:
            waiters = self.waiters(words[PERMITS] + number)
            if not waiters:
                words[WAITING] = 0
        # From here on no call, as above.
        count, permits, most = words[COUNT] & MOST, words[PERMITS], words[MAXIMUM]
        if permits > waiters:
            count, permits = count + permits - waiters, waiters
        if waiters > permits:
            granted = number if number < waiters - permits else waiters - permits
        if keep:
            count += number - granted
        if self.pairs is not None:
            self.pairs[0] = (count if count < most else most) | mark | (permits + granted) << 32
        if granted:
            self._next_generation()
        if words[WAITING_ALL]:
            self._tell_all_waiters()
        return granted

    def _next_generation(self) -> None:
        words = self.words
        words[GENERATION] = (words[GENERATION] + 1) & 0x7FFFFFFF

    def _tell_all_waiters(self) -> None:
        words = self.words
        if words[WAITING_ALL] and words[COUNT] & MOST > 0:
            words[WAITING_ALL] = 0
            self.wake_all_waiters()

    # -- waiting --

    @under_guard
    def queue(self, entry: Entry, owner: Owner) -> None:
        self._queue(entry)

    def _queue(self, entry: Entry) -> None:
        entry.queued = True
        if not self.manual:
            self.count_in(entry)
        words = self.words
        entry.sequence, entry.generation = words[SEQUENCE], words[GENERATION]
        words[WAITING] = 1

    def attempt(self, entry: Entry, owner: Owner) -> int | None:
        if entry.queued and self._still_nothing(entry):
            return None
        return self._attempt(entry)

    @under_guard
    def _attempt(self, entry: Entry) -> int | None:
        words = self.words
        if not entry.queued:
            self._queue(entry)
        entry.sequence = words[SEQUENCE]
        if self.manual:
            if words[COUNT] & MOST > 0 or words[GENERATION] != entry.generation:
                return TAKEN
            words[WAITING] = 1
            return None
        self._settle()
        permits = words[PERMITS]
        # Permits are for those who were there when they were given; unless those do not come for them.
        if permits > 0 and (entry.patient or entry.generation != words[GENERATION]):
            words[PERMITS] = permits - 1
        elif self._take_one() is None:
            words[WAITING] = 1
            return None
        self.count_out(entry)
        entry.queued = False
        return TAKEN

    def _still_nothing(self, entry: Entry) -> bool:
        """Whether a queued entry may go on sleeping: a glance that costs less than an attempt."""
        with self.mutex:
            words = self.words
            entry.sequence = words[SEQUENCE]
            if not words[WAITING] or words[COUNT] & MOST > 0:
                return False
            return words[GENERATION] == entry.generation if self.manual else words[PERMITS] < 1

    def leave(self, entry: Entry) -> None:
        if entry.counted:
            with self.mutex:
                self.count_out(entry)
            # A waiter that cannot have the guard leaves the rest to the others' next look.
            if self.run_guarded(self._leave_rest, BRIEF):
                # The wake may have been for this entry.
                self._tell(1)

    def _leave_rest(self) -> bool:
        """Whether there is something for others, which this entry might have taken."""
        self._settle()
        words = self.words
        if words[PERMITS] > 0:
            self._next_generation()
        self._tell_all_waiters()
        return words[PERMITS] > 0 or words[COUNT] & MOST > 0

    def _tell(self, number: int) -> None:
        """Wake so many of those who wait for any of their objects; the guard is not held."""
        line = self.line
        if line is None:
            self.wake(number)
            return
        with self.mutex:
            line.stir()
            if self.manual or self.queued > len(line) or locks.count_waiters(self.fd, 1):
                # One more: the line's notifier may be among those who sleep.
                self.wake(min(number + 1, EVERYBODY))

    def claim(self, entry: Entry, owner: Owner) -> bool:
        self._settle()
        words = self.words
        missed = entry.last and words[GENERATION] != entry.generation
        there = words[COUNT] & MOST > 0
        entry.pulsed = not there and missed and (self.manual or words[PULSED] > 0)
        return there or entry.pulsed

    def accept(self, entry: Entry, owner: Owner) -> int:
        if entry.pulsed:
            self.words[PULSED] = 0
        else:
            self._take_one()
        return TAKEN

    def watch(self, entry: Entry, owner: Owner) -> bool:
        self.prepare_to_watch(entry)
        return False

    # -- what a line asks --

    @property
    def there(self) -> bool:
        return self.words[COUNT] & MOST > 0

    def room(self, *, every: bool) -> int:
        if self.manual:
            return EVERYBODY
        return 1 if every else (self.words[COUNT] & MOST) + self.words[PERMITS]

    def ready(self, entry: Entry) -> bool:
        words = self.words
        if words[COUNT] & MOST > 0:
            return True
        given = entry.generation != words[GENERATION]
        return given if self.manual else words[PERMITS] > 0 and (given or entry.patient)

    def settle_old(self) -> None:
        if self.words[PERMITS] > 0:
            self.run_guarded(self._settle, BRIEF)


class Semaphore(Counted):
    """A semaphore."""

    kind: ClassVar[Kind] = Kind.SEMAPHORE
    type_name = "Semaphore"
    generic = (0x20001, 0x20002, 0x120000, 0x1F0003)
    all_access = 0x1F0003

    def add(self, number: int) -> int:
        """Release; returns the count before."""
        if self.quick and (before := self.core_give(number)) >= 0:
            return before
        count, wake = self._add(number)
        if wake:
            self._tell(wake)
        return count

    @under_guard
    def _add(self, number: int) -> tuple[int, int]:
        words = self.quick_words or self.words
        count, maximum = words[COUNT] & MOST, words[MAXIMUM]
        if number > maximum - count:
            raise KernelError(
                NTSTATUS.STATUS_SEMAPHORE_LIMIT_EXCEEDED,
                f"{self} has {count:,} of {maximum:,}: {number:,} more would be too many, nothing was released",
            )
        return count, self.post(number)

    @under_guard
    def query(self) -> tuple[int, int]:
        """(count, maximum)."""
        self._settle()
        return self.words[COUNT] & MOST, self.words[MAXIMUM]


class Event(Counted):
    """An event. An auto-reset one is a count of at most one; a manual-reset one is there for all who come."""

    kind: ClassVar[Kind] = Kind.EVENT
    type_name = "Event"
    generic = (0x20001, 0x20002, 0x120000, 0x1F0003)
    all_access = 0x1F0003

    def __init__(self, file: ObjectFile, page: Control) -> None:
        super().__init__(file, page)
        self.manual = bool(page.state[2] & MANUAL)

    def set(self) -> None:
        """Release all who wait and stay set; or release one, and be set only if nobody waits."""
        if self.quick and self.core_set():
            return
        wake = self._set()
        if wake:
            self._tell(wake)

    @under_guard
    def _set(self) -> int:
        if not self.manual:
            return self.post(1)
        self.words[COUNT] = 1 - self.mark
        wake = self._release_everybody()
        self._tell_all_waiters()
        return wake

    @under_guard
    def reset(self) -> None:
        """There is nothing to take any more; those who were released stay so."""
        self._settle()
        self.words[COUNT] = -self.mark

    def pulse(self) -> None:
        """Release those who wait now (all, or one), and be reset."""
        wake = self._pulse()
        if wake:
            self._tell(wake)

    @under_guard
    def _pulse(self) -> int:
        words = self.words
        wake = self._release_everybody() if self.manual else self.post(1, keep=False)
        self.words[COUNT] = -self.mark
        if words[WAITING_ALL] and (self.manual or not wake):
            # A sleeper that lacks only this one of all finds out when it looks.
            self._next_generation()
            words[PULSED] = 1
            words[WAITING_ALL] = 0
            self.wake_all_waiters()
        return wake

    def _release_everybody(self) -> int:
        words = self.words
        if words[WAITING] or words[WAITING_ALL]:
            self._next_generation()
        if not words[WAITING]:
            return 0
        words[WAITING] = 0
        return EVERYBODY

    @under_guard
    def query(self) -> tuple[bool, bool]:
        """(manual-reset, signaled)."""
        self._settle()
        return self.manual, self.words[COUNT] & MOST > 0


def create_semaphore(name: ObjectName | None, initial: int, maximum: int, security: Security) -> tuple[Semaphore, bool]:
    """A semaphore; counts are judged even when the name exists."""
    if not 0 < maximum <= MOST or not 0 <= initial <= maximum:
        raise KernelError(
            NTSTATUS.STATUS_INVALID_PARAMETER,
            f"a semaphore needs a maximum from 1 to {MOST:,} and a count from 0 to it, not {maximum} and {initial}",
        )
    page = Control(Kind.SEMAPHORE, state=(initial, maximum, lock_free_for(security)))
    return named.create(Semaphore, name, page, security, writing=True)


def create_event(name: ObjectName | None, manual: bool, signaled: bool, security: Security) -> tuple[Event, bool]:
    """An event."""
    page = Control(Kind.EVENT, state=(int(signaled), 1, (MANUAL if manual else 0) | lock_free_for(security)))
    return named.create(Event, name, page, security, writing=True)


def open_existing(cls: type[Named], name: ObjectName) -> Named:
    """The object of this kind and name; changing its state needs to write to its file."""
    return named.open_existing(cls, name, writing=True)
