"""Whether this process may use its descriptors: not in a forked child that has its parent's, nor blindly at the end.

A forked child shares its parent's descriptions, and so its locks: both would own a mutex, and what the child closes the
parent would lose. A child of os.fork is told by Python's hooks. A fork in C (uWSGI, a library, ctypes) calls none of
them. So each way into the object manager looks at a byte that the kernel clears in every forked child:

    if not ours[0]:
        look()

Reading a byte takes a hundredth of what a lock takes; asking for the process id would take a tenth. The byte is cleared
at the end of the process too. Python then stops all threads but one wherever they are, and what they had locked stays
locked for ever.

Source: madvise(2), MADV_WIPEONFORK (Linux 4.14).
"""

import mmap
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Protocol

from namedmap._convention.status import require_ours
from namedmap._kernel.linux.natives import RLock

_MADV_WIPEONFORK = 18


class _Byte(Protocol):
    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...


class _ByProcessId:
    """A stand-in for the byte on a kernel that clears no pages."""

    def __init__(self) -> None:
        self._pid = 0

    def __getitem__(self, _: int) -> int:
        return self._pid == os.getpid()

    def __setitem__(self, _: int, value: int) -> None:
        self._pid = os.getpid() if value else 0


def _byte() -> _Byte:
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        page.madvise(_MADV_WIPEONFORK)
    except (OSError, ValueError) as error:
        require_ours(error)
        return _ByProcessId()
    return page


#: `ours[0]`: not 0 while nothing stands in the way.
ours = _byte()
ours[0] = 1
#: Whether it is a byte in memory.
has_byte = isinstance(ours, mmap.mmap)


def _nothing() -> None:
    """There are no objects yet."""


#: Makes a forked child's objects its own; can be repeated when an exception has ended it. Set by `processes`.
take_over: Callable[[], None] = _nothing
#: Frees the locks of threads that have been stopped for good. Set by `processes`.
free_locks: Callable[[], None] = _nothing

_pid = os.getpid()
_taking = 0
# One for each process id: the one of the parent may have been taken by a thread that this process does not have.
_turns: dict[int, RLock] = {}


def look() -> None:
    """When the byte is cleared: take over after a fork, free the locks at the end of the interpreter."""
    global _pid, _taking
    pid = os.getpid()
    if pid == _pid:
        if sys.is_finalizing():
            free_locks()
            ours[0] = 1
        return
    with _turns.setdefault(pid, RLock()):
        if ours[0] or _taking == pid:  # the garbage collector closes something in the middle of it
            return
        _taking = pid
        try:
            _undisturbed(take_over)
        finally:
            _taking = 0


def _undisturbed(call: Callable[[], None]) -> None:
    """Call with all signals blocked; those that came are handled at the end, and may raise."""
    global _pid
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        call()
        _pid, ours[0] = os.getpid(), 1
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def expect_the_end() -> None:
    """The interpreter is about to stop the other threads: look each time from now on."""
    ours[0] = 0


def free(lock: Any) -> None:
    """Free a reentrant lock unless this thread has it: its owner does not run any more."""
    if not lock._is_owned():
        lock._at_fork_reinit()
