"""Sleeping on words of shared memory until another process changes them.

The words are in files, so that the kernel finds the sleepers by file and offset, whatever process or container they are
in. A sleep may end early for no reason: callers look again. Source: futex(2), futex_waitv(2).
"""

import ctypes
import errno
import functools
import time
from collections.abc import Callable, Sequence

from namedmap._convention.status import require_ours
from namedmap._kernel.linux import libc

EVERYBODY = 0x7FFFFFFF
#: Words that one thread can sleep on at a time.
MOST = 128

# FUTEX_WAKE_OP does what nothing else here can: it adds to a word atomically. It also compares the old value and wakes
# some more if it is -2048: one waiter is then woken for nothing, once in 2**32 changes.
_ADD, _EQUAL = 1 << 28, 0 << 24
_ADD_ONE = _ADD | _EQUAL | 1 << 12 | 0x800
_CLOCK_MONOTONIC = 1
#: How long a sleep lasts where only one of several words can be watched, in seconds.
_BLIND = 0.005

_can_watch_several = True

Word = tuple[int, int]  # address, value that was seen there


def change(address: int, wake: int) -> None:
    """Add 1 to a word and wake so many of its sleepers."""
    if libc.futex_wake_op(libc.SYS_FUTEX, address, libc.FUTEX_WAKE_OP, wake, 0, address, _ADD_ONE) < 0:
        raise libc.error("futex")


# The same instruction, with other operations: or, and-not; the argument may be the number of a bit.
_OR, _AND_NOT, _SHIFT, _NEVER = 2 << 28, 3 << 28, 8 << 28, 0x800


def set_bits(address: int, bits: int) -> None:
    """Set one bit, or some of the 11 low bits, of a word, atomically."""
    if _operation(address, _OR, bits)() < 0:
        raise libc.error("futex")


def clear_bits(address: int, bits: int) -> None:
    """Clear one bit, or some of the 11 low bits, of a word, atomically."""
    if clearing(address, bits)() < 0:
        raise libc.error("futex")


def clearing(address: int, bits: int) -> Callable[[], int]:
    """A call that clears bits, and in which no signal handler runs; it returns a negative number if it fails."""
    return _operation(address, _AND_NOT, bits)


def _operation(address: int, operation: int, bits: int) -> Callable[[], int]:
    argument = bits << 12 if bits < 1 << 11 else _SHIFT | (bits.bit_length() - 1) << 12
    operation |= argument | _NEVER
    # It wakes one sleeper of the word, on which nobody sleeps.
    return functools.partial(
        libc.futex_wake_op, libc.SYS_FUTEX, address, libc.FUTEX_WAKE_OP, 1, 0, address, operation
    )


def sleep(words: Sequence[Word], seconds: float) -> bool:
    """Sleep until one of the words has not its value any more, or is woken; False if the time has passed.

    A signal ends the sleep too, so that Python can handle it. OSError(EFAULT): the file was truncated.
    """
    if len(words) == 1:
        return _sleep_on_one(*words[0], seconds)
    if not words:
        time.sleep(seconds)
        return False
    if len(words) <= MOST and _can_watch_several:
        return _sleep_on_several(words, seconds)
    return _sleep_on_one(*words[0], min(seconds, _BLIND))


def has_changed(word: Word) -> bool:
    """Whether a word has not its value any more; also if it cannot be looked at."""
    try:
        return _sleep_on_one(*word, 0)
    except OSError as error:
        require_ours(error)
        return True


def _sleep_on_one(address: int, value: int, seconds: float) -> bool:
    limit = _timespec(seconds)
    result = libc.futex_wait(libc.SYS_FUTEX, address, libc.FUTEX_WAIT, value & 0xFFFFFFFF, ctypes.byref(limit))
    return result == 0 or _early("futex")


def _sleep_on_several(words: Sequence[Word], seconds: float) -> bool:
    global _can_watch_several
    waiters = (libc.futex_waiter * len(words))()
    for waiter, (address, value) in zip(waiters, words, strict=True):
        waiter.val, waiter.uaddr, waiter.flags = value & 0xFFFFFFFF, address, libc.FUTEX2_SIZE_U32
    limit = _timespec(time.clock_gettime(_CLOCK_MONOTONIC) + seconds)
    result = libc.futex_waitv(libc.SYS_FUTEX_WAITV, waiters, len(words), 0, ctypes.byref(limit), _CLOCK_MONOTONIC)
    if result < 0 and ctypes.get_errno() in (errno.ENOSYS, errno.EPERM):
        # Before Linux 5.16, or forbidden by a container's filter of system calls.
        _can_watch_several = False
        return sleep(words, seconds)
    return result >= 0 or _early("futex_waitv")


def _early(call: str) -> bool:
    code = ctypes.get_errno()
    if code == errno.ETIMEDOUT:
        return False
    if code in (errno.EAGAIN, errno.EINTR):
        return True
    raise libc.error(call)


def _timespec(seconds: float) -> libc.timespec:
    whole = int(seconds)
    return libc.timespec(whole, int((seconds - whole) * 1e9))
