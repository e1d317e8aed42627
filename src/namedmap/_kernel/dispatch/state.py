"""State words that are changed without the guard: by atomic steps of the compiled core, or of the kernel.

An object whose creator has the core, and which nobody else may write to, is *lock-free* (LOCK_FREE in its flags). Its
common changes are one compare-and-swap each, in `_native.c`. All else is done here, by Python code that keeps the
others away by a bit:

    SLOW   in COUNT of a semaphore or event, its sign: somebody waits, or has the guard
    BUSY   in OWNER of a mutex: somebody without the core has the guard, and is about to take the mutex

While the bit is there, no compare-and-swap succeeds; whoever finds it takes the guard. A process that dies leaves the
bit, and the next one that has the guard clears it.

A mutex belongs to a *seat*: a number from 1 on, for which the owner's process has locked a byte of the file (see
`locks`, SEATS) through the description that its mapping of the words was made from. So the lock lasts as long as the
process has the words, whatever other code does to descriptors; and a mutex whose seat nobody has locked is abandoned. A
forked child does not get that mapping, and takes a seat of its own.
"""

import random
from collections.abc import Callable
from typing import Any

from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.linux import compiled, locks
from namedmap._kernel.names.security import DEFAULT, Security
from namedmap._kernel.objects.owners import Owner

#: In the flags of an object's state, where `counted` has MANUAL.
LOCK_FREE = 2
#: COUNT without SLOW.
MOST = 2**31 - 1
SLOW = 1 << 31
#: In OWNER: its owner ended without releasing it, in a process that goes on.
ABANDONED_BIT, BUSY = 1 << 29, 1 << 30
SEAT_MASK = (1 << 11) - 1


class State:
    """The part of a mutant, semaphore or event that the compiled core knows."""

    #: Where the words lie, while the core may change them by itself.
    quick = 0
    quick_fd = -1
    _mapping: Any = None
    #: Of a mutex: who in this process has it, how often, and a number that changes with each take.
    owner: Owner | None = None
    recursion = 0
    turn = 0
    seat = 0
    #: How many calls of the thread that has `mutex` are under the guard.
    depth = 0
    #: Threads of this process that are counted in WAITERS; and those of them that wait in the core.
    queued = sleepers = 0
    #: Of an event: whether it stays set.
    manual = False

    # Steps of the core; whether they were done. Without it they are not.

    def core_take_for(self, owner: Owner) -> bool:
        """Take a mutex for an owner."""
        return False

    def core_give_for(self, owner: Owner) -> bool:
        """Give up one ownership of a mutex."""
        return False

    def core_take_one(self) -> bool:
        """Take from a count."""
        return False

    def core_give(self, number: int) -> int:
        """Add to a count, or give to those who wait; the count before, or -1."""
        return -1

    def core_set(self) -> bool:
        """Set an event."""
        return False


if compiled.core is not None:
    globals()["State"] = compiled.core.State


def lock_free_for(security: Security) -> int:
    """The flag LOCK_FREE, or 0, for a new object that these users may use."""
    return LOCK_FREE if compiled.core is not None and security is DEFAULT else 0


def take_seat(fd: int, what: object, owner: Callable[[], int]) -> int:
    """Lock the byte of a seat. `owner` reads OWNER: of a process that died with the mutex nobody may have the seat."""
    first = random.randrange(SEAT_MASK)
    for number in range(first, first + SEAT_MASK):
        seat = number % SEAT_MASK + 1
        if locks.try_lock(fd, locks.SEATS + seat, exclusive=True):
            if owner() & SEAT_MASK != seat:
                return seat
            locks.unlock(fd, locks.SEATS + seat)
    raise KernelError(NTSTATUS.STATUS_INSUFFICIENT_RESOURCES, f"{what} is used by {SEAT_MASK:,} processes already")
