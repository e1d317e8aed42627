"""Semaphores and events. `dispatcher` has what they share with mutexes, `waiting` has the waits."""

from typing import ClassVar

from . import objects
from .control import Control, Kind
from .dispatcher import COUNT, GENERATION, MAXIMUM, PULSED, SEQUENCE, TICKETS, WAITING, WAITING_ALL, Dispatcher
from .futex import EVERYBODY
from .names import ObjectName
from .objectfile import ObjectFile
from .objects import Named
from .owners import Owner
from .security import Security
from .status import NTSTATUS, KernelError
from .waitable import TAKEN, Entry

MANUAL = 1  # event: flags


class Counted(Dispatcher):
    """What is there COUNT times, to be taken once by each who waits: a semaphore, an auto-reset event."""

    #: Whether it stays there when it is taken: a manual-reset event.
    manual = False

    def seems_free(self) -> bool:
        with self.mutex:
            words = self.quick_words
            return words is not None and words[COUNT] > 0

    def take(self, owner: Owner) -> int | None:
        with self.mutex:
            words = self.quick_words or self.words
            count = words[COUNT]
            if self.manual:
                return TAKEN if count > 0 else None
            if count < 1 and words[TICKETS] < 1:
                return None
            with self._guard:
                if words[TICKETS] > 0:
                    self._settle()
                count = words[COUNT]
                if count < 1:
                    return None
                words[COUNT] = count - 1
                return TAKEN

    def _take_one(self) -> int | None:
        words = self.words
        if words[COUNT] < 1:
            return None
        if not self.manual:
            words[COUNT] -= 1
        return TAKEN

    def _settle(self) -> int:
        """Tickets of waiters who are gone are there for everybody. Returns the number of waiters, if it matters."""
        words = self.words
        tickets = words[TICKETS]
        if not tickets and not words[WAITING]:
            return 0
        waiters = self.waiters()
        if tickets > waiters:
            words[COUNT] = min(words[COUNT] + tickets - waiters, words[MAXIMUM])
            words[TICKETS] = waiters
        return waiters

    def post(self, number: int, *, keep: bool = True) -> int:
        """Give so many to those who wait, and keep the rest, up to MAXIMUM; with the guard held.

        Returns how many to wake, without the guard: who is woken takes it first.
        """
        words = self.quick_words or self.words
        granted = 0
        if words[WAITING]:
            tickets = words[TICKETS]
            waiters = self._settle()
            granted = max(min(number, waiters - tickets), 0)
            if granted:
                words[TICKETS] = tickets + granted
                self._next_generation()
            elif not waiters:
                words[WAITING] = 0
        if keep and granted < number:
            words[COUNT] = min(words[COUNT] + number - granted, words[MAXIMUM])
        if words[WAITING_ALL]:
            self._tell_all_waiters()
        return granted

    def _next_generation(self) -> None:
        words = self.words
        words[GENERATION] = (words[GENERATION] + 1) & 0x7FFFFFFF

    def _tell_all_waiters(self) -> None:
        words = self.words
        if words[WAITING_ALL] and words[COUNT] > 0:
            words[WAITING_ALL] = 0
            self.wake_all_waiters()

    # -- waiting --

    def enlist(self, entry: Entry, owner: Owner) -> None:
        with self.guard():
            self._enlist(entry)

    def _enlist(self, entry: Entry) -> None:
        entry.enlisted = True
        self.count_in()
        words = self.words
        entry.sequence, entry.generation = words[SEQUENCE], words[GENERATION]
        words[WAITING] = 1

    def attempt(self, entry: Entry, owner: Owner) -> int | None:
        if entry.enlisted and self._still_nothing(entry):
            return None
        with self.guard():
            words = self.words
            if not entry.enlisted:
                self._enlist(entry)
            entry.sequence = words[SEQUENCE]
            self._settle()
            tickets = words[TICKETS]
            # Tickets are for those who were there when they were given; unless those do not come for them.
            if tickets > 0 and (entry.patient or entry.generation != words[GENERATION]):
                words[TICKETS] = tickets - 1
            elif self._take_one() is None:
                words[WAITING] = 1
                return None
            entry.enlisted = False
            self.count_out()
            return TAKEN

    def _still_nothing(self, entry: Entry) -> bool:
        """Whether an enlisted entry may go on sleeping: a glance that costs less than an attempt."""
        with self.mutex:
            words = self.words
            entry.sequence = words[SEQUENCE]
            if not words[WAITING] or words[COUNT] > 0:
                return False
            return words[GENERATION] == entry.generation if self.manual else words[TICKETS] < 1

    def leave(self, entry: Entry) -> None:
        if not entry.enlisted:
            return
        entry.enlisted = False
        with self.mutex:
            self.count_out()
        with self.guard():
            self._settle()
            words = self.words
            left = words[TICKETS] > 0 or words[COUNT] > 0
            if words[TICKETS] > 0:
                self._next_generation()
            self._tell_all_waiters()
            if left:
                # The wake may have been for this entry.
                self.wake(1)

    def claim(self, entry: Entry, owner: Owner) -> bool:
        self._settle()
        words = self.words
        missed = entry.watched and words[GENERATION] != entry.generation
        entry.pulsed = words[COUNT] < 1 and missed and (self.manual or words[PULSED] > 0)
        return words[COUNT] > 0 or entry.pulsed

    def accept(self, entry: Entry, owner: Owner) -> int:
        if entry.pulsed:
            self.words[PULSED] = 0
        else:
            self._take_one()
        return TAKEN

    def watch(self, entry: Entry, owner: Owner) -> bool:
        self.prepare_to_watch(entry)
        return False


class Semaphore(Counted):
    """A semaphore."""

    kind: ClassVar[Kind] = Kind.SEMAPHORE
    type_name = "Semaphore"
    generic = (0x20001, 0x20002, 0x120000, 0x1F0003)
    all_access = 0x1F0003

    def add(self, number: int) -> int:
        """Release; returns the count before."""
        with self.guard():
            words = self.quick_words or self.words
            count, maximum = words[COUNT], words[MAXIMUM]
            if number > maximum - count:
                raise KernelError(
                    NTSTATUS.STATUS_SEMAPHORE_LIMIT_EXCEEDED,
                    f"{self} has {count:,} of {maximum:,}: {number:,} more would be too many, nothing was released",
                )
            wake = self.post(number)
        if wake:
            self.wake(wake)
        return count

    def query(self) -> tuple[int, int]:
        """(count, maximum)."""
        with self.guard():
            self._settle()
            return self.words[COUNT], self.words[MAXIMUM]


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
        with self.guard():
            if self.manual:
                self.words[COUNT] = 1
                wake = self._release_everybody()
                self._tell_all_waiters()
            else:
                wake = self.post(1)
        if wake:
            self.wake(wake)

    def reset(self) -> None:
        """There is nothing to take any more; those who were released stay so."""
        with self.guard():
            self._settle()
            self.words[COUNT] = 0

    def pulse(self) -> None:
        """Release those who wait now (all, or one), and be reset."""
        with self.guard():
            words = self.words
            wake = self._release_everybody() if self.manual else self.post(1, keep=False)
            words[COUNT] = 0
            if words[WAITING_ALL] and not (wake and not self.manual):
                # Whoever sleeps on this as the last one of all finds out when he looks.
                self._next_generation()
                words[PULSED] = 1
                words[WAITING_ALL] = 0
                self.wake_all_waiters()
        if wake:
            self.wake(wake)

    def _release_everybody(self) -> int:
        words = self.words
        if words[WAITING] or words[WAITING_ALL]:
            self._next_generation()
        if not words[WAITING]:
            return 0
        words[WAITING] = 0
        return EVERYBODY

    def query(self) -> tuple[bool, bool]:
        """(manual-reset, signalled)."""
        with self.guard():
            self._settle()
            return self.manual, self.words[COUNT] > 0

    # -- waiting --

    def _enlist(self, entry: Entry) -> None:
        if not self.manual:
            super()._enlist(entry)
            return
        entry.enlisted = True
        words = self.words
        entry.generation = words[GENERATION]
        words[WAITING] = 1

    def attempt(self, entry: Entry, owner: Owner) -> int | None:
        if not self.manual:
            return super().attempt(entry, owner)
        if entry.enlisted and self._still_nothing(entry):
            return None
        with self.guard():
            words = self.words
            if not entry.enlisted:
                self._enlist(entry)
            entry.sequence = words[SEQUENCE]
            if words[COUNT] > 0 or words[GENERATION] != entry.generation:
                return TAKEN
            words[WAITING] = 1
            return None

    def leave(self, entry: Entry) -> None:
        if not self.manual:
            super().leave(entry)


def create_semaphore(name: ObjectName | None, initial: int, maximum: int, security: Security) -> tuple[Semaphore, bool]:
    """A semaphore; counts are judged even when the name exists."""
    if maximum <= 0 or not 0 <= initial <= maximum:
        raise KernelError(
            NTSTATUS.STATUS_INVALID_PARAMETER,
            f"a semaphore needs 0 <= initial <= maximum and a maximum above 0, not {initial} and {maximum}",
        )
    page = Control(Kind.SEMAPHORE, state=(initial, maximum, 0))
    return objects.create(Semaphore, name, page, security, writing=True)


def create_event(name: ObjectName | None, manual: bool, signalled: bool, security: Security) -> tuple[Event, bool]:
    """An event."""
    page = Control(Kind.EVENT, state=(int(signalled), 1, MANUAL if manual else 0))
    return objects.create(Event, name, page, security, writing=True)


def open_existing(cls: type[Named], name: ObjectName) -> Named:
    """The object of this kind and name; changing its state needs to write to its file."""
    return objects.open_existing(cls, name, writing=True)
