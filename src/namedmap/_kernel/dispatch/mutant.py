"""Mutexes. `dispatcher` has what they share with semaphores and events, `waiting` has the waits."""

import errno
import functools
import os
from collections.abc import Callable
from typing import ClassVar

from namedmap._convention.status import NTSTATUS, KernelError, require_ours
from namedmap._kernel.dispatch.dispatcher import (
    COUNT,
    OWNER,
    OWNER_PID,
    SEQUENCE,
    WAITING,
    WAITING_ALL,
    Dispatcher,
    Words,
    under_guard,
)
from namedmap._kernel.dispatch.state import ABANDONED_BIT, BUSY, LOCK_FREE, SEAT_MASK, lock_free_for
from namedmap._kernel.linux import futex, locks
from namedmap._kernel.linux.lineage import look, ours
from namedmap._kernel.names.controlpage import Control, Kind
from namedmap._kernel.names.names import ObjectName
from namedmap._kernel.names.objectfile import ObjectFile
from namedmap._kernel.names.security import Security
from namedmap._kernel.objects import kernelobject, named, owners
from namedmap._kernel.objects.owners import Owner
from namedmap._kernel.objects.waitable import ABANDONED, TAKEN, Entry

_DEEPEST = 2**31 - 1


class Mutant(Dispatcher):
    """A mutex, by its native name.

    The process of the owner holds the OWNER lock; the kernel drops it if the process dies. A process that gets the lock
    and finds COUNT owned has taken over an abandoned mutex. Which thread (or task) owns it, and how often, the process
    knows itself. So taking and releasing a mutex is one lock call each, and one store. A thread that fails to take it
    tries again under the guard, because a wait for several objects may have had it for a moment, without keeping it.
    Of a lock-free mutex the word OWNER takes the place of that lock: see `state`.

    A signal handler that uses the mutex runs in the middle of a take or release of its thread, which `mutex` does not
    keep out. Handlers run after calls only; so a call is followed by a look at `turn`, which changes with each take.
    """

    kind: ClassVar[Kind] = Kind.MUTANT
    type_name = "Mutant"
    generic = (0x20001, 0x20000, 0x120000, 0x1F0001)
    all_access = 0x1F0001

    seated = True
    # Of a lock-free one: whether it was abandoned when this process got it.
    _found = TAKEN

    def __init__(self, file: ObjectFile, page: Control) -> None:
        super().__init__(file, page)
        if page.owner is not None:
            if self.lock_free:  # before anybody else can see the object
                words = self.words  # which has it take a seat
                words[OWNER] = self.seat
            self.owner, self.recursion = page.owner, 1
            self.control = page.but(owner=None)

    @classmethod
    def allocate(cls, fd: int, page: Control, total: int) -> None:
        super().allocate(fd, page, total)
        if page.owner is not None and not page.state[2] & LOCK_FREE:
            # Before anybody else can see the object.
            locks.try_lock(fd, locks.OWNER, exclusive=True)

    def seems_free(self) -> bool:
        words = self.glimpse
        return not self.recursion and words is not None and words[COUNT] > 0

    def take(self, owner: Owner) -> int | None:
        if self.quick and self.core_take_for(owner):
            return TAKEN
        if not ours[0]:
            look()
        with self.mutex:
            result = self._try(owner)
            if result is not None or self.recursion:
                return result
        return self._try_again(owner)

    @under_guard
    def _try_again(self, owner: Owner) -> int | None:
        return self._try(owner)

    def _try(self, owner: Owner) -> int | None:
        words = self.quick_words or self.words
        # No call from here on to where the owner is stored: another thread may take it in the core.
        if self.recursion:
            return self._again(owner)
        # The owner comes first: an interrupt right after the lock must not leave it without one.
        turn, self.owner = self.turn, owner
        try:
            result = self._seize(words)
        except BaseException:
            self.revert()
            raise
        if result is None:
            if self.turn == turn:
                self.owner = None
            return None
        if not ours[0]:
            look()  # a signal handler has forked in C: what was locked just now is the parent's
        if self.turn != turn:
            return self._try(owner)
        words[COUNT] = 0
        self.recursion, self._found = 1, TAKEN
        self.turn = turn + 1
        if not self.handle_count:
            self._keep_taken()
        return result

    # -- for the process --

    def _seize(self, words: Words) -> int | None:
        """Get it for this process, or find that it has it: TAKEN, ABANDONED; None if another one has it."""
        if self.lock_free:
            return self._seize_word(words)
        try:
            self.call(self.fd, locks.SET, locks.OWNER_ON)
        except BlockingIOError:
            return None
        return ABANDONED if words[COUNT] < 1 else TAKEN

    def _seize_word(self, words: Words) -> int | None:
        self.require_descriptor()
        core, address = self.core, self.address(OWNER)
        if core is None:
            return self._seize_with_guard(words) if self.depth else None
        value = 0
        while words[OWNER] & SEAT_MASK != self.seat:
            self._found = ABANDONED if value else TAKEN
            before, value = value, core.exchange(address, value, self.seat)
            if value == before or value & SEAT_MASK == self.seat:
                break
            if not self.depth:  # with the guard nobody else takes over what is abandoned, or has taken it by now
                return None
            if value & BUSY:  # of a process that died, since the guard is here
                self.clear_bits(OWNER, BUSY)
                value &= ~BUSY
            if self._is_held(value):
                return None
        words[OWNER_PID] = os.getpid()
        return self._found

    def _seize_with_guard(self, words: Words) -> int | None:
        """The same without the core."""
        self.set_bits(OWNER, BUSY)
        value = words[OWNER]
        if value & SEAT_MASK == self.seat or self._is_held(value):
            self.clear_bits(OWNER, BUSY)
            return self._found if value & SEAT_MASK == self.seat else None
        # The owner may have released it meanwhile, and ended then.
        self._found = ABANDONED if words[OWNER] & ~BUSY else TAKEN
        words[OWNER_PID] = os.getpid()
        words[OWNER] = self.seat
        return self._found

    def _is_held(self, value: int) -> bool:
        """Whether OWNER names a process that runs."""
        seat = value & SEAT_MASK
        return seat == self.seat or (seat > 0 and locks.held_elsewhere(self.fd, locks.SEATS + seat))

    def _unseize(self, *, abandoned: bool = False) -> None:
        """Give it up for this process, and its owner with it: before, an exception of a signal handler may end this."""
        if not self.lock_free:
            self.owner = None
            self.call(self.fd, locks.SET, locks.OWNER_OFF)
            return
        lost = not locks.intact(self.fd)
        words, give_up = self.words, self._way_to_give_up()
        if (abandoned or lost) and words[OWNER] & SEAT_MASK == self.seat:
            self.set_bits(OWNER, ABANDONED_BIT)
        # No function of Python is called from here on, and so no signal handler, which may release it as well; and no
        # other thread, which may have it by now, and is its owner then.
        if not self.recursion:
            self.owner = None
            if words[OWNER] & SEAT_MASK == self.seat:
                give_up()
        if lost:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _way_to_give_up(self) -> Callable[[], object]:
        """The call that clears the seat in OWNER."""
        core, address = self.core, self.address(OWNER)
        if core is None:
            return futex.clearing(address, self.seat)
        return functools.partial(core.clear_bits, address, self.seat)

    def _seems_owned(self) -> bool:
        """Whether some process has it."""
        if self.lock_free:
            return self._is_held(self.words[OWNER])
        return locks.held_elsewhere(self.fd, locks.OWNER)

    # -- for a thread or task --

    def _keep_taken(self) -> None:
        """The last handle was closed during the wait, or is just being closed by another thread."""
        with kernelobject.lock:
            if self._references:
                self._keep()
                named.remember(self)
                return
        # That thread is about to free the object, and waits for `mutex`.
        self.owner, self.recursion = None, 0
        raise self.closed()

    def _again(self, owner: Owner) -> int | None:
        """Take a mutex that this process owns."""
        if self.owner != owner:
            self.settle_old()
            return None if self.recursion else self._try(owner)
        self.require_descriptor()
        if self.recursion == _DEEPEST:
            raise KernelError(NTSTATUS.STATUS_MUTANT_LIMIT_EXCEEDED, f"{self} is owned {_DEEPEST:,} times already")
        self.recursion += 1
        self.words[COUNT] = 1 - self.recursion
        return TAKEN

    def release_by(self, owner: Owner) -> int:
        """Give up one ownership; returns the count before, 1 - (times it was owned)."""
        count = 1 - self.recursion
        if self.quick and self.core_give_for(owner):
            return count
        if not ours[0]:
            look()
        with self.mutex:
            left = self.recursion - 1
            if left < 0 or self.owner != owner:
                raise KernelError(
                    NTSTATUS.STATUS_MUTANT_NOT_OWNED, f"{self} is not owned by the caller, who cannot release it"
                )
            words = self.quick_words or self.words
            words[COUNT] = 1 - left
            self.recursion = left
            if not left:
                try:
                    self._let_go(words)
                except BaseException:
                    if not locks.intact(self.fd):
                        words[COUNT] = 0  # it was lost while it was owned, as if its owner had been killed
                    self.revert()
                    self.require_descriptor()
                    raise
            return -left

    def is_owned_by(self, owner: Owner) -> bool:
        """Whether this thread or task owns it."""
        if not ours[0]:
            look()
        if self.owner is None or self.owner != owner:
            return False
        self.require_descriptor()
        return True

    def abandon(self, owner: Owner) -> None:
        """The owner has ended: COUNT stays owned, for the next one to see."""
        with self.mutex:
            if self.owner == owner:
                self.recursion = 0
                try:
                    self._let_go(self.words, abandoned=True)
                except (KernelError, OSError) as error:
                    require_ours(error)
                    if locks.intact(self.fd):
                        raise

    def _let_go(self, words: Words, *, abandoned: bool = False) -> None:
        try:
            self._unseize(abandoned=abandoned)
        finally:
            self._wake_one(words)
            if words[WAITING_ALL]:
                words[WAITING_ALL] = 0
                self.wake_all_waiters()
            elif self.line_for_all is not None:
                self.line_for_all.changed()
            if self.line is not None:
                self.line.stir()
            if self.kept_by_owner:
                self.kept_by_owner = False
                self.arm()
                self.release()

    def _wake_one(self, words: Words) -> None:
        if words[WAITING]:
            words[WAITING] = 0
            self.wake(1)

    @under_guard
    def query(self, owner: Owner) -> tuple[int, bool, bool]:
        """(count, owned by this owner, abandoned)."""
        if self.recursion:
            return 1 - self.recursion, self.owner == owner, False
        count = self.words[COUNT]
        if self._seems_owned():
            return min(count, 0), False, False
        return 1, False, self.words[OWNER] != 0 if self.lock_free else count < 1

    # -- waiting --

    def attempt(self, entry: Entry, owner: Owner) -> int | None:
        if entry.queued and self._still_owned(entry):
            return None
        return self._attempt(entry, owner)

    @under_guard
    def _attempt(self, entry: Entry, owner: Owner) -> int | None:
        words = self.words
        entry.sequence = words[SEQUENCE]
        words[WAITING] = 1
        entry.queued = True
        result = self._try(owner)
        if result is not None:
            entry.queued = False
        return result

    def _still_owned(self, entry: Entry) -> bool:
        """Whether a queued entry may go on sleeping: a glance that costs less than an attempt."""
        with self.mutex:
            words = self.words
            entry.sequence = words[SEQUENCE]
            if not words[WAITING] or words[COUNT] > 0:
                return False
            return self.recursion > 0 or self._seems_owned()

    def queue(self, entry: Entry, owner: Owner) -> None:
        """Nothing: a mutex that is released stays there until it is taken."""

    def leave(self, entry: Entry) -> None:
        if entry.queued:
            entry.queued = False
            # The wake may have been for this entry.
            self.wake(1)

    def claim(self, entry: Entry, owner: Owner) -> bool:
        self.settle_old()
        words = self.words
        # As in _try: no call from here on to where the owner is stored, and a look at `turn` after each.
        if self.recursion:
            return self.owner == owner
        turn, self.owner = self.turn, owner
        result = self._seize(words)
        if self.turn != turn:
            return self.claim(entry, owner)
        if result is None:
            self.owner = None
        return result is not None

    def accept(self, entry: Entry, owner: Owner) -> int:
        result = self._try(owner)
        if result is None:  # a signal handler has forked, or given the mutex away
            raise KernelError(NTSTATUS.STATUS_LOCK_NOT_GRANTED, f"{self} was lost to others during the call: try again")
        return result

    def revert(self) -> None:
        if not self.recursion and self.owner is not None:
            try:
                self._unseize(abandoned=self._found == ABANDONED)
                # The core looks without the guard: it may have seen this process as the owner, and sleep.
                self._wake_one(self.words)
            except OSError as error:
                require_ours(error)
                self.require_descriptor()
                raise

    def watch(self, entry: Entry, owner: Owner) -> bool:
        self.prepare_to_watch(entry)
        return self.claim(entry, owner)

    # -- what a line asks --

    @property
    def owned_here(self) -> bool:
        return self.recursion > 0

    @property
    def there(self) -> bool:
        return not self.recursion and (self.words[COUNT] > 0 or not self._seems_owned())

    def room(self, *, every: bool) -> int:
        return int(self.there)

    def ready(self, entry: Entry) -> bool:
        return True

    def settle_old(self) -> None:
        """Abandon it for an owner that has ended without telling."""
        if self.recursion and owners.is_over(self.owner):
            self.abandon(self.owner)

    def may_try(self, entry: Entry, owner: Owner) -> bool:
        """Whether an entry of a line may attempt: nobody in the line goes before it, or it has what it wants."""
        with self.mutex:
            return self.line is None or (self.recursion > 0 and self.owner == owner) or self.line.goes_first(entry)

    # -- the end of handles and processes --

    @property
    def pinned(self) -> bool:
        return self.recursion > 0

    def _last_handle(self) -> None:
        with self.mutex:
            self.arm()
            if self.pinned and not locks.intact(self.fd):
                self.owner, self.recursion = None, 0  # the lock went with the descriptor
            if self.pinned:
                self._keep()
        super()._last_handle()
        with self.mutex, kernelobject.lock:
            # Two references: what its owner keeps, and the handle that goes. Nobody else can ever come to it again.
            last = self.kept_by_owner and self._references == 2 and not self.handle_count
            if last and not locks.object_is_alive(self.fd):
                self.owner, self.recursion, self.kept_by_owner = None, 0, False
                named.forget(self)
                self.release()

    def _keep(self) -> None:
        """The owner keeps the object until it lets go, or ends: others may have handles, or wait."""
        if not self.kept_by_owner:
            self.kept_by_owner, self.quick = True, 0
            self.retain()

    def _is_last(self) -> bool:
        # A pinned mutex can be found again, and have a handle, while its last handle goes.
        return super()._is_last() and (self.retired or not self.handle_count)

    def _drop_locks(self) -> None:
        with kernelobject.lock:
            if self.handle_count and not self.retired:
                locks.try_lock(self.fd, self.slot, self.handle_count)
                locks.drop_guard(self.fd)
            elif self.pinned:
                locks.drop_guard(self.fd)
                locks.unlock(self.fd, locks.HANDOVER, 0)
            else:
                named.forget(self)
                super()._drop_locks()

    def forked(self) -> None:
        super().forked()
        self.owner, self.recursion, self.kept_by_owner = None, 0, False
        self.turn += 1  # a take that was interrupted by the fork looks anew


def _abandon_all(owner: Owner) -> None:
    with kernelobject.lock:
        owned = [held for held in named.holders if isinstance(held, Mutant) and held.owner == owner]
    for held in owned:
        held.abandon(owner)


owners.at_end.append(_abandon_all)


def create_mutant(name: ObjectName | None, owned: bool, security: Security) -> tuple[Mutant, bool]:
    """A mutex; the creator of a new one owns it when asked."""
    owner = owners.thread.owner if owned else None
    page = Control(Kind.MUTANT, state=(0 if owned else 1, 1, lock_free_for(security)), owner=owner)
    return named.create(Mutant, name, page, security, writing=True)
