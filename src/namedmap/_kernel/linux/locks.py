"""Byte-range locks of open file descriptions: how the operating system counts who holds an object.

An OFD lock belongs to an open file description, not to a process: it goes when the last descriptor of that description
is closed, however the process ends. (Classic POSIX locks go when the process closes *any* descriptor of the file, which
makes them useless here.) All locks lie far past any data, where no program's own locks are. Source: fcntl(2).

The map of the locks in an object file:

    WAITERS   shared: n bytes for a process with n waiting threads, at its slot
    SEATS     exclusive: one byte for each process that uses a lock-free mutex, see `dispatch.state`
    GUARD     one byte. Exclusive: create, destroy, change state; shared: open
    OWNER     one byte. Exclusive: the process that owns a mutex
    HANDOVER  one byte. Shared: a description on its way to a child, see `processes`
    LIVENESS  everything from here on. Shared: n bytes for a process with n handles, at a slot of the process's own

A process that takes the guard locks some bytes below it as well, in each process another number of them. So
F_OFD_GETLK, which gives the range of a lock but not its owner, tells those who wait for the guard whether its holders
change.

An object exists while anyone holds HANDOVER or LIVENESS. The holders' slots are random and far apart, so that
F_OFD_GETLK can find them one by one: the kernel keeps the handle count over all processes. (/proc/locks would tell as
well, but reading it stops every lock operation of the machine for milliseconds, and it is no snapshot.)

In a data file (one that sections and handles are made of) other bytes carry the share modes: see `sharing`.

Other code may close a kept descriptor and get its number for a file of its own (see `descriptors`). A lock must not go
there, nor seem to have been taken. Therefore a kept description has its file position, which nothing here uses, at the
end of all files (ANCHOR), and the bytes to lock are given relative to it (SEEK_CUR). From the position of any other
file the same distance leads before its start, and the kernel refuses the call (EINVAL): the comparison costs nothing.
Filesystems whose files cannot be so long (ext4) have none of it: there the file is compared by device and inode.
"""

import contextlib
import errno
import fcntl
import functools
import os
import random
import struct
import time
from collections.abc import Callable, Iterator

from namedmap._convention.status import NTSTATUS, KernelError, require_ours
from namedmap._kernel.linux import descriptors, natives, procfs

WAITERS = 1 << 61
GUARD = 1 << 62
OWNER = GUARD + 1
#: Below all that goes with the guard.
SEATS = GUARD - (1 << 32)
HANDOVER = GUARD + 2
LIVENESS = GUARD + 3
SLOT = 1 << 20
# Slots are random numbers of so many bits, in units of SLOT.
_SLOTS = 40
# Those who wait lie below this, the bytes that go with a guard above.
_WAITERS_END = WAITERS + (SLOT << _SLOTS)

#: How long a guard is waited for that one holder keeps, in seconds. An operation holds it for microseconds; a process
#: that was stopped in one, or that holds it on purpose, must not hang the others.
GUARD_TIMEOUT = 5.0
# How often that may begin anew because the holder has changed: a stranger could feign it for ever.
_MOST_CHANGES_OF_PATIENCE = 60
# How often it is looked at who holds it before a holder counts as one that stays.
_LOOKS = 20
# Naps between tries, in seconds: at first, at most, and at most for those who have waited long, lest a crowd keep the
# processors from the holder.
_FIRST_NAP, _NAP, _LONG_NAP = 0.00005, 0.005, 0.025
#: How often the processor is offered to the holder before that.
YIELDS = 20
# An offer that took longer than that (in seconds) was a time slice of others; none is made for so many times as long.
_DEAR, _RESPITE = 0.0005, 10
dear_until = 0.0

_SET, _GET = fcntl.F_OFD_SETLK, fcntl.F_OFD_GETLK
_READ, _WRITE, _UNLOCK = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK
_UNLOCKED = struct.pack("h", _UNLOCK)
_fcntl: Callable[[int, int, bytes], bytes] = fcntl.fcntl
_random = random.SystemRandom()


_FLOCK = struct.Struct("hhqqi4x")  # l_type, l_whence, l_start, l_len (0: to the end), l_pid
#: The file position of kept descriptions; the longest file there can be.
ANCHOR = (1 << 63) - 1


class Anchored(int):
    """A kept descriptor whose file position is ANCHOR."""


class Compared(int):
    """A kept descriptor on a filesystem that has no such position."""

    key: tuple[int, int]


_lseek = os.lseek
#: A descriptor that has its position already. A dictionary is quicker than to make one.
anchored = functools.lru_cache(maxsize=4096)(Anchored)
#: Stands for a descriptor that other code has closed.
GONE = Anchored(descriptors.GONE)


def kept(fd: int) -> Anchored | Compared:
    """A descriptor of an object file, as it has to be called from now on."""
    try:
        _lseek(fd, ANCHOR, 0)
        return anchored(fd)
    except OSError as error:
        return compared(fd, error)


def compared(fd: int, error: OSError) -> Compared:
    """The same, where the position was refused."""
    require_ours(error)
    made = Compared(fd)
    info = os.fstat(fd)
    made.key = info.st_dev, info.st_ino
    return made


def intact(fd: int) -> bool:
    """Whether a kept descriptor is still the one that it was."""
    try:
        if type(fd) is Anchored:
            return _lseek(fd, 0, 1) == ANCHOR
        info = os.fstat(fd)
    except OSError as error:
        require_ours(error)
        return False
    return not isinstance(fd, Compared) or fd.key == (info.st_dev, info.st_ino)


@functools.lru_cache(maxsize=256)
def _flock(kind: int, start: int, length: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)


@functools.lru_cache(maxsize=256)
def _from_anchor(kind: int, start: int, length: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_CUR, start - ANCHOR, length, 0)


_ALIVE, _ALIVE_FROM_ANCHOR = _flock(_WRITE, HANDOVER, 0), _from_anchor(_WRITE, HANDOVER, 0)


def compared_call(fd: int, command: int, flock: bytes) -> bytes:
    """fcntl with a struct flock that counts from ANCHOR, for a descriptor that is not there."""
    if not intact(fd):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    kind, whence, start, length, _ = _FLOCK.unpack(flock)
    if whence == os.SEEK_CUR:
        start += ANCHOR
    done: bytes = _fcntl(fd, command, _flock(kind, start, length))
    return done


def _call(fd: int, command: int, kind: int, start: int, length: int) -> bytes:
    """One call with the lock of any descriptor, kept or not."""
    kept_as = type(fd)
    try:
        if kept_as is Anchored:
            return _fcntl(fd, command, _from_anchor(kind, start, length))
        if kept_as is Compared:
            return compared_call(fd, command, _from_anchor(kind, start, length))
        return _fcntl(fd, command, _flock(kind, start, length))
    except BlockingIOError:
        raise
    except OSError as error:
        require_ours(error)
        if not intact(fd):
            raise descriptors.lost("a named object", fd) from None
        raise


def try_lock(fd: int, start: int, length: int = 1, *, exclusive: bool = False) -> bool:
    """Lock bytes without waiting; False when somebody else's lock is in the way. Converting is atomic."""
    try:
        _call(fd, _SET, _WRITE if exclusive else _READ, start, length)
    except BlockingIOError:
        return False
    return True


def unlock(fd: int, start: int, length: int = 1) -> None:
    _call(fd, _SET, _UNLOCK, start, length)


# The calls of every change of a state, without the detours: call(fd, SET, ...) for an anchored descriptor, and
# compared_call(fd, SET, ...) for another.
SET, call = _SET, _fcntl
#: shared(start, length): a shared lock, for these calls.
shared = functools.partial(_from_anchor, _READ)
# The guard and everything behind it, which can be had only while nobody else has the object; and all that goes with it.
ALL_ON, ALL_OFF = _from_anchor(_WRITE, GUARD, 0), _from_anchor(_UNLOCK, _WAITERS_END, 0)
OWNER_ON, OWNER_OFF = _from_anchor(_WRITE, OWNER, 1), _from_anchor(_UNLOCK, OWNER, 1)


_number = 0
GUARD_ON = GUARD_SHARED = GUARD_OFF = b""


def choose_number() -> None:
    """How many bytes below a guard this process locks with it. A forked child has another number."""
    global _number, GUARD_ON, GUARD_SHARED, GUARD_OFF
    _number = _random.getrandbits(30)
    GUARD_ON, GUARD_SHARED, GUARD_OFF = (_from_anchor(kind, *_guard(GUARD)) for kind in (_WRITE, _READ, _UNLOCK))


def number() -> int:
    """The number that this process has at present."""
    return _number


def _guard(start: int) -> tuple[int, int]:
    """Where the bytes that go with a guard begin, and how many they are."""
    # Below the guard of share modes there is less room.
    number = _number if start == GUARD else _number % 0xF00
    return start - number, number + 1


choose_number()


def try_guard(fd: int, start: int = GUARD, *, exclusive: bool = True) -> bool:
    """Take a guard unless somebody else has it."""
    return try_lock(fd, *_guard(start), exclusive=exclusive)


def drop_guard(fd: int, start: int = GUARD) -> None:
    """Give back a guard."""
    unlock(fd, *_guard(start))


def _holder(fd: int, start: int) -> int | None:
    """A number that changes when somebody else holds a guard than before; None if nobody does."""
    return first_elsewhere(fd, start)


def first_elsewhere(fd: int, start: int, length: int = 1, *, exclusive: bool = True) -> int | None:
    """The first byte of another description's lock that is in the way of such a lock on the bytes; None without one."""
    kind, _, found, _, _ = _FLOCK.unpack(_call(fd, _GET, _WRITE if exclusive else _READ, start, length))
    return None if kind == _UNLOCK else found


def held_elsewhere(fd: int, start: int, length: int = 1, *, exclusive: bool = True) -> bool:
    """Whether another description holds a lock on any of the bytes: any lock, or one that excludes shared ones."""
    return _call(fd, _GET, _WRITE if exclusive else _READ, start, length)[:2] != _UNLOCKED


def object_is_alive(fd: int) -> bool:
    """Whether any other description, in any process, holds the object in this file."""
    try:
        probe = _fcntl(fd, _GET, _ALIVE_FROM_ANCHOR if type(fd) is Anchored else _ALIVE)
    except OSError as error:
        require_ours(error)
        probe = _call(fd, _GET, _WRITE, HANDOVER, 0)  # raises again, and says why
    return probe[:2] != _UNLOCKED


def take_guard(fd: int, what: object, start: int = GUARD, *, exclusive: bool = True) -> None:
    """Take a guard byte, waiting at most GUARD_TIMEOUT; `str(what)` names the object in the error."""
    if not try_guard(fd, start, exclusive=exclusive) and not wait_for(fd, start, exclusive=exclusive):
        raise stuck(fd, what, start)


def wait_for(fd: int, start: int = GUARD, patience: float | None = None, *, exclusive: bool = True) -> bool:
    """Take a guard that somebody else has; False if one holder keeps it for so many seconds, or for GUARD_TIMEOUT."""
    patience = GUARD_TIMEOUT if patience is None else patience
    # Most holders need a few microseconds: give them this processor first.
    now = time.monotonic()
    for _ in range(YIELDS):
        if now < dear_until:
            break
        now = offer_processor(now)
        if try_guard(fd, start, exclusive=exclusive):
            return True
    return _poll(fd, start, patience, exclusive)


def _poll(fd: int, start: int, patience: float, exclusive: bool) -> bool:
    # Only the time spent waiting between tries counts, not the clock: a waiter that was stopped itself, or not
    # scheduled for seconds, has not been patient.
    waited = total = 0.0
    pause, holder, look = _FIRST_NAP, _holder(fd, start), patience / _LOOKS
    while not try_guard(fd, start, exclusive=exclusive):
        if waited > patience:
            return False
        # Jitter, so that processes that collided once do not collide again in step.
        nap = pause * random.uniform(0.5, 1.5)
        natives.sleep(nap)
        waited, total = waited + nap, total + nap
        pause = min(pause * 2, max(_NAP, min(total / 50, _LONG_NAP)))
        if waited < look:
            continue
        before, holder, look = holder, _holder(fd, start), look + patience / _LOOKS
        # Mere contention, in which each gets its turn some time; but a caller without patience does not wait for that.
        if holder != before and patience >= GUARD_TIMEOUT and total < patience * _MOST_CHANGES_OF_PATIENCE:
            waited, look = 0.0, patience / _LOOKS
    return True


def offer_processor(now: float) -> float:
    """Let others run for a moment, who may finish with what the caller needs; not to be done before `dear_until`.

    On a machine whose cores are all busy others run for milliseconds, but a sleeper that is woken runs at once.
    Takes and returns the time of time.monotonic().
    """
    global dear_until
    os.sched_yield()
    after = time.monotonic()
    if after - now > _DEAR:
        dear_until = after + _RESPITE * (after - now)
    return after


def stuck(fd: int, what: object, start: int = GUARD) -> KernelError:
    """The error when somebody keeps a guard."""
    return KernelError(
        NTSTATUS.STATUS_LOCK_NOT_GRANTED,
        f"{what} has been locked for {GUARD_TIMEOUT:g} s by {procfs.describe_holders(fd, start)}; "
        "it may be stopped: continue or end it, then try again",
    )


@contextlib.contextmanager
def guarded(fd: int, what: object, start: int = GUARD, *, exclusive: bool = True) -> Iterator[None]:
    """Hold a guard byte for the length of a with-block."""
    take_guard(fd, what, start, exclusive=exclusive)
    try:
        yield
    finally:
        drop_guard(fd, start)


def new_slot() -> int:
    """A slot in LIVENESS for one holder, with room for SLOT handles."""
    return LIVENESS + _random.getrandbits(_SLOTS) * SLOT


def waiters_at(slot: int) -> int:
    """The slot in WAITERS that goes with a slot in LIVENESS."""
    return WAITERS + (slot - LIVENESS)


def count_handles(fd: int) -> int:
    """The handles that other descriptions hold to the object in this file, over all processes."""
    return _count(fd, LIVENESS, (1 << 63) - 1, 1 << 62)


def count_waiters(fd: int, enough: int) -> int:
    """The threads of other processes that wait for the object in this file, or `enough` of them."""
    return _count(fd, WAITERS, _WAITERS_END, enough)


def range_to_unlock(start: int, length: int) -> bytes:
    """As the constants above."""
    return _from_anchor(_UNLOCK, start, length)


#: The locks that are looked at to count others'. A stranger may have set any number of them; looking at one takes
#: longer the more there are.
_MOST_LOCKS = 2000


def _count(fd: int, first: int, beyond: int, enough: int = 1 << 62) -> int:
    total, ranges, looks = 0, [(first, beyond)], 0
    while ranges and total < enough and looks < _MOST_LOCKS:
        looks += 1
        start, end = ranges.pop()
        kind, _, found, length, _ = _FLOCK.unpack(_call(fd, _GET, _WRITE, start, end - start))
        if kind != _UNLOCK and length:
            total += min(found + length, end) - max(found, start)
            ranges += [(a, b) for a, b in ((start, found), (found + length, end)) if a < b]
    return total
