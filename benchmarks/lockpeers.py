"""Locks, semaphores and events to measure: namedmap's, and what people use instead.

A peer can be sent to another process, and opened there. Those of other packages are made here, and kept as long as the
stack is open that was passed in; namedmap's are made by the process that opens them first, in its mode.
"""

import contextlib
import fcntl
import functools
import multiprocessing
import multiprocessing.synchronize
import os
import struct
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import namedmap
from floor import ANCHOR
from namedmap import win32

try:
    import posix_ipc

    HAS_POSIX_IPC = True
except ImportError:
    HAS_POSIX_IPC = False

try:
    import filelock

    HAS_FILELOCK = True
except ImportError:
    HAS_FILELOCK = False

try:
    import portalocker

    HAS_PORTALOCKER = True
except ImportError:
    HAS_PORTALOCKER = False

FLOOR = "floor: the same system calls"
WIN32 = "namedmap.win32"
MUTEX, SEMAPHORE, EVENT = "namedmap.Mutex", "namedmap.Semaphore", "namedmap.Event, auto-reset"
MULTIPROCESSING, POSIX_IPC = "multiprocessing", "posix_ipc.Semaphore"
FILELOCK, PORTALOCKER = "filelock.FileLock", "portalocker.Lock"

#: For children that are started anew, so that they share with this process only what they are given.
spawn = multiprocessing.get_context("spawn")

#: portalocker gives up after 5 s unless told otherwise. Seconds.
_PATIENCE = 60.0


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Pair:
    """One object in this process: what takes it, what gives it back, and taking it within so many seconds."""

    take: Callable[[], object]
    give: Callable[[], object]
    attempt: Callable[[float], bool]
    close: Callable[[], object] = _nothing


@dataclass(frozen=True)
class Peer:
    """A row of a table: `opener(what)` is the object in whatever process calls it."""

    name: str
    opener: Callable[[Any], Pair]
    what: Any

    def open(self) -> Pair:
        return self.opener(self.what)


@contextlib.contextmanager
def opened(peers: Sequence[Peer]) -> Iterator[dict[str, Pair]]:
    """All of them in this process, by name."""
    with contextlib.ExitStack() as stack:
        pairs = {}
        for peer in peers:
            pairs[peer.name] = peer.open()
            stack.callback(pairs[peer.name].close)
        yield pairs


# -- namedmap ----------------------------------------------------------------------------------------------------------


def _mutex(name: str) -> Pair:
    # The kill of an owner is on purpose.
    warnings.simplefilter("ignore", namedmap.AbandonedMutexWarning)
    mutex = namedmap.Mutex(name)
    return Pair(mutex.acquire, mutex.release, mutex.acquire, mutex.close)


def _semaphore(what: tuple[str, int]) -> Pair:
    semaphore = namedmap.Semaphore(*what)
    return Pair(semaphore.acquire, semaphore.release, semaphore.acquire, semaphore.close)


def _event(name: str) -> Pair:
    event = namedmap.Event(name, manual=False)
    return Pair(event.wait, event.set, event.wait, event.close)


def _win32(handle: int | None, give: Callable[[], object]) -> Pair:
    if handle is None:
        raise OSError(f"an object of namedmap.win32 could not be opened: error {win32.GetLastError()}")

    def attempt(seconds: float) -> bool:
        return win32.WaitForSingleObject(handle, int(seconds * 1000)) in (win32.WAIT_OBJECT_0, win32.WAIT_ABANDONED)

    take = functools.partial(win32.WaitForSingleObject, handle, win32.INFINITE)
    return Pair(take, give, attempt, functools.partial(win32.CloseHandle, handle))


def _win32_mutex(name: str) -> Pair:
    handle = win32.CreateMutex(None, False, name)
    return _win32(handle, functools.partial(win32.ReleaseMutex, handle))


def _win32_semaphore(what: tuple[str, int]) -> Pair:
    name, value = what
    handle = win32.CreateSemaphore(None, value, 1, name)
    return _win32(handle, functools.partial(win32.ReleaseSemaphore, handle, 1, None))


def _win32_event(name: str) -> Pair:
    handle = win32.CreateEvent(None, False, False, name)
    return _win32(handle, functools.partial(win32.SetEvent, handle))


# -- the bare system calls ---------------------------------------------------------------------------------------------


def _lock_of(kind: int, start: int) -> bytes:
    return struct.pack("hhqqi4x", kind, os.SEEK_CUR, start - ANCHOR, 1, 0)


_SET, _GUARD, _OWNER = fcntl.F_OFD_SETLK, 1 << 62, (1 << 62) + 1
_GUARD_ON, _GUARD_OFF = _lock_of(fcntl.F_WRLCK, _GUARD), _lock_of(fcntl.F_UNLCK, _GUARD)
_OWNER_ON, _OWNER_OFF = _lock_of(fcntl.F_WRLCK, _OWNER), _lock_of(fcntl.F_UNLCK, _OWNER)


def _file(path: str) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.lseek(fd, ANCHOR, os.SEEK_SET)
    return fd


def _owner_floor(path: str) -> Pair:
    """The calls of namedmap's mutex to the kernel: one lock call to take it, one to give it back."""
    fd = _file(path)
    take = functools.partial(fcntl.fcntl, fd, _SET, _OWNER_ON)
    give = functools.partial(fcntl.fcntl, fd, _SET, _OWNER_OFF)
    return Pair(take, give, lambda seconds: _polled(take, seconds), functools.partial(os.close, fd))


def _guard_floor(path: str) -> Pair:
    """The calls of namedmap's semaphores and events to the kernel: each change between two lock calls."""
    fd = _file(path)

    def change() -> None:
        fcntl.fcntl(fd, _SET, _GUARD_ON)
        fcntl.fcntl(fd, _SET, _GUARD_OFF)

    return Pair(change, change, lambda seconds: _polled(change, seconds), functools.partial(os.close, fd))


def _flock(path: str) -> Pair:
    fd = _file(path)
    take, give = functools.partial(fcntl.flock, fd, fcntl.LOCK_EX), functools.partial(fcntl.flock, fd, fcntl.LOCK_UN)
    once = functools.partial(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return Pair(take, give, lambda seconds: _polled(once, seconds), functools.partial(os.close, fd))


def _polled(once: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            once()
            return True
        time.sleep(0.05)
    return False


# -- the peers ---------------------------------------------------------------------------------------------------------


def _multiprocessing(lock: multiprocessing.synchronize.Lock | multiprocessing.synchronize.Semaphore) -> Pair:
    return Pair(lock.acquire, lock.release, lambda seconds: lock.acquire(timeout=seconds))


def _multiprocessing_event(event: multiprocessing.synchronize.Event) -> Pair:
    def take() -> None:
        event.wait()
        event.clear()

    return Pair(take, event.set, event.wait)


def _posix_ipc(name: str) -> Pair:
    semaphore = posix_ipc.Semaphore(name)

    def attempt(seconds: float) -> bool:
        with contextlib.suppress(posix_ipc.BusyError):
            semaphore.acquire(seconds)
            return True
        return False

    return Pair(semaphore.acquire, semaphore.release, attempt, semaphore.close)


def _filelock(path: str) -> Pair:
    lock = filelock.FileLock(path)

    def attempt(seconds: float) -> bool:
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=seconds)
            return True
        return False

    return Pair(lock.acquire, lock.release, attempt)


def _portalocker(path: str) -> Pair:
    lock = portalocker.Lock(path, timeout=_PATIENCE)

    def attempt(seconds: float) -> bool:
        with contextlib.suppress(portalocker.LockException):
            lock.acquire(timeout=seconds)
            return True
        return False

    return Pair(lock.acquire, lock.release, attempt)


def _new_posix_ipc(stack: contextlib.ExitStack, label: str, value: int) -> Peer:
    name = f"/bench-{label}-{os.getpid()}"
    semaphore = posix_ipc.Semaphore(name, posix_ipc.O_CREX, initial_value=value)
    stack.callback(semaphore.close)
    stack.callback(semaphore.unlink)
    return Peer(POSIX_IPC, _posix_ipc, name)


def our_locks(label: str) -> list[Peer]:
    """namedmap's locks, which whoever opens them first makes. `label` keeps the names apart."""
    return [
        Peer(MUTEX, _mutex, f"{label}-mutex"),
        Peer(f"{WIN32} mutex", _win32_mutex, f"{label}-win32-mutex"),
    ]


def locks(root: Path, stack: contextlib.ExitStack, label: str) -> list[Peer]:
    """Locks between processes of other packages, free at first."""
    peers = [Peer(f"{MULTIPROCESSING}.Lock", _multiprocessing, spawn.Lock())]
    if HAS_POSIX_IPC:
        peers.append(_new_posix_ipc(stack, f"{label}-lock", 1))
    if HAS_FILELOCK:
        peers.append(Peer(FILELOCK, _filelock, str(root / f"{label}-filelock")))
    if HAS_PORTALOCKER:
        peers.append(Peer(PORTALOCKER, _portalocker, str(root / f"{label}-portalocker")))
    return [*peers, Peer("fcntl.flock, bare", _flock, str(root / f"{label}-flock"))]


def lock_floor(root: Path) -> Peer:
    return Peer(FLOOR, _owner_floor, str(root / "lock-floor"))


def our_semaphores(label: str, value: int) -> list[Peer]:
    """namedmap's semaphores of a value."""
    return [
        Peer(SEMAPHORE, _semaphore, (f"{label}-semaphore", value)),
        Peer(f"{WIN32} semaphore", _win32_semaphore, (f"{label}-win32-semaphore", value)),
    ]


def semaphores(stack: contextlib.ExitStack, label: str, value: int) -> list[Peer]:
    """Those of other packages."""
    peers = [Peer(f"{MULTIPROCESSING}.Semaphore", _multiprocessing, spawn.Semaphore(value))]
    return [*peers, _new_posix_ipc(stack, f"{label}-semaphore", value)] if HAS_POSIX_IPC else peers


def guard_floor(root: Path) -> Peer:
    return Peer(FLOOR, _guard_floor, str(root / "guard-floor"))


def our_events(label: str) -> list[Peer]:
    """namedmap's auto-reset events, clear."""
    return [
        Peer(EVENT, _event, f"{label}-event"),
        Peer(f"{WIN32} auto-reset event", _win32_event, f"{label}-win32-event"),
    ]


def signals(stack: contextlib.ExitStack) -> list[Peer]:
    """The objects that serve as an auto-reset event elsewhere: set by one, consumed by the wait of another."""
    peers = [Peer("multiprocessing.Event, cleared", _multiprocessing_event, spawn.Event())]
    return [*peers, _new_posix_ipc(stack, "set", 0)] if HAS_POSIX_IPC else peers
