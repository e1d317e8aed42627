"""The work of the soak's processes on the names that they compete for, and how they check on each other."""

import contextlib
import ctypes
import fcntl
import hashlib
import itertools
import mmap
import os
import random
import signal
import struct
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from calls.kernel import NamedObject, namespace, table
from namedmap import win32

SIZE = 8192
#: A fresh section: token, mark of a started initialisation, then one counter per worker; the last page is a pattern.
TOKEN, STARTED, COUNTERS, PATTERN = 0, 8, 64, 4096
#: An operation that takes so long hangs, in seconds: a watchdog. (A waiter for the dead is refused long before.)
STUCK = 60.0
_PF_EXITING = 0x4

READ_WRITE = win32.GENERIC_READ | win32.GENERIC_WRITE
SHARE_ALL = win32.FILE_SHARE_READ | win32.FILE_SHARE_WRITE | win32.FILE_SHARE_DELETE


class Violation(Exception):
    """A promise was broken."""


def demand(condition: object, what: str) -> None:
    if not condition:
        text = win32.FormatMessage(win32.FORMAT_MESSAGE_FROM_SYSTEM, None, win32.GetLastError(), 0)
        raise Violation(f"{what} (last error {win32.GetLastError()}: {text})")


class Board:
    """Shared memory of our own, apart from what is tested: who holds what. A slot is one 8-byte store."""

    def __init__(self, workers: int, names: int) -> None:
        self.workers, self.names = workers, names
        memory = mmap.mmap(-1, 8 * (workers * (names + 1) + 3))
        self._words = (ctypes.c_uint64 * (len(memory) // 8)).from_buffer(memory)

    def _index(self, worker: int, name: int) -> int:
        return 3 + worker * (self.names + 1) + name

    def publish(self, worker: int, name: int, token: int) -> None:
        self._words[self._index(worker, name)] = token

    def enter(self, worker: int, pid: int) -> None:
        self._words[self._index(worker, self.names)] = pid

    def clear(self, worker: int) -> None:
        for name in range(self.names + 1):
            self.publish(worker, name, 0)

    def count(self, what: int) -> None:
        """Operations, sections made, forks. Not exact: workers race, which is good enough to show that work is done."""
        self._words[what] += 1

    def counted(self, what: int) -> int:
        return self._words[what]

    def check(self, worker: int, name: int, token: int) -> None:
        """Compare with all others who hold the name now; the caller holds it."""
        for other in range(self.workers):
            if other == worker:
                continue
            pid = self._words[self._index(other, self.names)]
            seen = self._words[self._index(other, name)]
            # Alive after the look, the holder was so at the look; and it holds what it has published.
            if seen not in (0, token) and _is_alive(pid) and self._words[self._index(other, name)] == seen:
                raise Violation(f"two objects under one name: we see token {token:#x}, process {pid} sees {seen:#x}")


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] not in "ZX" and not int(fields[6]) & _PF_EXITING


# -- what workers do with a name -------------------------------------------------------------------------------------


class Name:
    """A name that workers compete for, and how they use it."""

    def __init__(self, index: int, text: str, scratch: Path) -> None:
        self.index, self.text = index, text
        self.scratch = scratch

    def acquire(self) -> int | None:
        """A handle: made, or opened; None if there was nothing to open."""
        raise NotImplementedError

    def reopen(self) -> int | None:
        """A second handle, from whoever holds one."""
        raise NotImplementedError

    def use(self, worker: "Worker", handle: int) -> None:
        """The work of a holder until it closes; by default it compares identities and opens the name again."""
        with worker.holding(self, identity(handle)):
            self.check_reopen(handle)
        self.close(handle)

    def check_reopen(self, handle: int) -> None:
        again = self.reopen()
        demand(again, f"{self.text}: held, but cannot be opened again")
        assert again is not None
        demand(win32.CompareObjectHandles(handle, again), f"{self.text}: held, but the name leads to another object")
        self.close(again)

    def close(self, handle: int) -> None:
        demand(win32.CloseHandle(handle), f"{self.text}: cannot be closed")

    def check_free(self) -> None:
        """Nobody is left: the name leads to nothing."""
        free = self.reopen() is None and win32.GetLastError() == win32.ERROR_FILE_NOT_FOUND
        demand(free, f"{self.text}: all holders are dead, but the name is not free")


def identity(handle: int) -> int:
    """The mark that tells an object from every other one, for kinds without memory: the inode of its file."""
    held = table.get(handle).object
    assert isinstance(held, NamedObject)
    return held.key[1]


def opened(handle: int | None, text: str, *allowed: int) -> int | None:
    """A handle, or None for a failure that is allowed."""
    demand(handle or win32.GetLastError() in allowed, f"{text}: cannot be opened")
    return handle


def mapped(handle: int, text: str) -> int:
    view = win32.MapViewOfFile(handle, win32.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    demand(view, f"{text}: cannot be mapped")
    assert view is not None
    return view


def unmap(view: int, text: str) -> None:
    demand(win32.UnmapViewOfFile(view), f"{text}: cannot be unmapped")


def zero(address: int, length: int) -> bool:
    return not any(ctypes.string_at(address, length))


class SectionName(Name):
    """A section over the paging file."""

    def acquire(self) -> int | None:
        if random.random() < 0.3:
            return opened(self.reopen(), self.text, win32.ERROR_FILE_NOT_FOUND)
        self.before = time.monotonic_ns()
        handle = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, SIZE, self.text)
        demand(handle, f"{self.text}: cannot be created")
        self.fresh = win32.GetLastError() == win32.ERROR_SUCCESS
        return handle

    fresh = False
    before = 0

    def reopen(self) -> int | None:
        return win32.OpenFileMapping(win32.FILE_MAP_ALL_ACCESS, False, self.text)

    def use(self, worker: "Worker", handle: int) -> None:
        fresh, self.fresh = self.fresh, False
        view = mapped(handle, self.text)
        token = self._token(view, fresh)
        worker.board.count(1 if fresh else 0)
        with worker.holding(self, token):
            self._write_and_check(worker, view, token)
            self.check_reopen(handle)
            if random.random() < 0.1:
                worker.fork(lambda: self._in_fork(handle, view, token))
        self.close(handle)
        if random.random() < 0.3:
            # The view keeps the memory, whatever becomes of the name now.
            worker.linger()
            self._check_memory(view, token)
        unmap(view, self.text)

    def check_free(self) -> None:
        super().check_free()
        handle = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, SIZE, self.text)
        demand(handle and win32.GetLastError() == win32.ERROR_SUCCESS, f"{self.text}: is not new")
        assert handle is not None
        view = mapped(handle, self.text)
        demand(zero(view, SIZE), f"{self.text}: a fresh section has old bytes in it")
        unmap(view, self.text)
        self.close(handle)

    def _token(self, view: int, fresh: bool) -> int:
        """The token of the section; written by whoever sees none first, with a lock that dies with its holder."""
        word = ctypes.c_uint64.from_address(view + TOKEN)
        with locked(self.scratch / f"{self.text}.lock"):
            if not word.value:
                started = ctypes.c_uint64.from_address(view + STARTED)
                if not started.value:
                    demand(zero(view, SIZE), f"{self.text}: a fresh section has old bytes in it")
                started.value = 1
                token = time.monotonic_ns()
                ctypes.memmove(view + PATTERN, pattern(token), SIZE - PATTERN)
                word.value = token  # last, and in one store: whoever sees it sees the pattern
            elif fresh and word.value < self.before:
                raise Violation(f"{self.text}: a fresh section has an older section's bytes in it")
        return word.value

    def _write_and_check(self, worker: "Worker", view: int, token: int) -> None:
        counter = ctypes.c_uint64.from_address(view + COUNTERS + 8 * worker.slot)
        value = counter.value + 1
        counter.value = value
        worker.linger()
        demand(counter.value == value, f"{self.text}: somebody else has written to our counter")
        self._check_memory(view, token)

    def _check_memory(self, view: int, token: int) -> None:
        seen = ctypes.c_uint64.from_address(view + TOKEN).value
        demand(seen == token, f"{self.text}: the token in a view changed from {token:#x} to {seen:#x}")
        demand(
            ctypes.string_at(view + PATTERN, SIZE - PATTERN) == pattern(token), f"{self.text}: a view lost its pattern"
        )

    def _in_fork(self, handle: int, view: int, token: int) -> None:
        self._check_memory(view, token)
        self.check_reopen(handle)
        if random.random() < 0.5:
            self.close(handle)


def pattern(token: int) -> bytes:
    digest = hashlib.sha256(struct.pack("Q", token)).digest()
    return digest * ((SIZE - PATTERN) // len(digest))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class FileName(Name):
    """A section over one of two files: all holders must agree on which."""

    def acquire(self) -> int | None:
        if random.random() < 0.3:
            return opened(self.reopen(), self.text, win32.ERROR_FILE_NOT_FOUND)
        path = self.scratch / f"{self.text}.{random.choice('ab')}"
        file = win32.CreateFile(path, READ_WRITE, SHARE_ALL, None, win32.OPEN_EXISTING, 0, None)
        demand(file != win32.INVALID_HANDLE_VALUE, f"{path}: cannot be opened")
        handle = win32.CreateFileMapping(file, None, win32.PAGE_READWRITE, 0, 0, self.text)
        demand(handle, f"{self.text}: cannot be created over {path}")
        self.close(file)
        return handle

    def reopen(self) -> int | None:
        return win32.OpenFileMapping(win32.FILE_MAP_ALL_ACCESS, False, self.text)

    def use(self, worker: "Worker", handle: int) -> None:
        view = mapped(handle, self.text)
        token = ctypes.c_uint64.from_address(view + TOKEN).value
        demand(ctypes.string_at(view + PATTERN, 32) == pattern(token)[:32], f"{self.text}: the file's bytes are wrong")
        with worker.holding(self, token):
            counter = ctypes.c_uint64.from_address(view + COUNTERS + 8 * worker.slot)
            value = counter.value = counter.value + 1
            worker.linger()
            self.check_reopen(handle)
            other = mapped(handle, self.text)
            seen = ctypes.c_uint64.from_address(other + COUNTERS + 8 * worker.slot).value
            demand(seen == value, f"{self.text}: two views differ")
            unmap(other, self.text)
        unmap(view, self.text)
        self.close(handle)

    def prepare(self) -> None:
        for token, letter in enumerate("ab", 1):
            content = struct.pack("Q", token).ljust(PATTERN, b"\0") + pattern(token)
            (self.scratch / f"{self.text}.{letter}").write_bytes(content)


class MutexName(Name):
    """A mutex: its name only; so with the next two."""

    def acquire(self) -> int | None:
        if random.random() < 0.3:
            return opened(self.reopen(), self.text, win32.ERROR_FILE_NOT_FOUND)
        handle = win32.CreateMutex(None, random.random() < 0.5, self.text)
        demand(handle, f"{self.text}: cannot be created")
        return handle

    def reopen(self) -> int | None:
        return win32.OpenMutex(win32.SYNCHRONIZE, False, self.text)


class EventName(Name):
    def acquire(self) -> int | None:
        handle = win32.CreateEvent(None, True, False, self.text)
        demand(handle, f"{self.text}: cannot be created")
        return handle

    def reopen(self) -> int | None:
        return win32.OpenEvent(win32.SYNCHRONIZE, False, self.text)


class MixedName(Name):
    """Sections and semaphores compete for one name: the other kind is refused while one is held."""

    kind = ""

    def acquire(self) -> int | None:
        self.kind = random.choice(("section", "semaphore"))
        if self.kind == "section":
            handle = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, SIZE, self.text)
        else:
            handle = win32.CreateSemaphore(None, 1, 2, self.text)
        return opened(handle, self.text, win32.ERROR_INVALID_HANDLE)

    def reopen(self) -> int | None:
        if self.kind == "section":
            return win32.OpenFileMapping(win32.FILE_MAP_READ, False, self.text)
        return win32.OpenSemaphore(win32.SYNCHRONIZE, False, self.text)

    def use(self, worker: "Worker", handle: int) -> None:
        with worker.holding(self, identity(handle)):
            self.check_reopen(handle)
            if self.kind == "section":
                wrong = win32.OpenSemaphore(win32.SYNCHRONIZE, False, self.text)
            else:
                wrong = win32.OpenFileMapping(win32.FILE_MAP_READ, False, self.text)
            refused = wrong is None and win32.GetLastError() == win32.ERROR_INVALID_HANDLE
            demand(refused, f"{self.text}: the wrong kind opens")
        self.close(handle)


KINDS = (SectionName, SectionName, FileName, MutexName, EventName, MixedName)


def make_names(count: int, scratch: Path) -> list[Name]:
    names = []
    for index, cls in zip(range(count), itertools.cycle(KINDS), strict=False):
        prefix = "Global\\" if index % 4 == 3 else ""
        name = cls(index, f"{prefix}soak{index}", scratch)
        name.scratch = scratch
        if isinstance(name, FileName):
            name.prepare()
        names.append(name)
    return names


# -- the processes ---------------------------------------------------------------------------------------------------


class Worker:
    """One process that uses names at random until it is killed, or for a number of operations."""

    def __init__(self, slot: int, board: Board, names: list[Name], report: Path) -> None:
        self.slot, self.board, self.names, self.report = slot, board, names, report

    def run(self, operations: int) -> NoReturn:
        """Never returns: the caller has forked."""
        random.seed(os.urandom(16))
        self.board.enter(self.slot, os.getpid())
        status = 1
        try:
            for _ in range(operations):
                self._operate()
            if random.random() < 0.5:
                table.retire_all()
            status = 0
        except BaseException:
            self.complain(traceback.format_exc())
        os._exit(status)

    def _operate(self) -> None:
        if random.random() < 0.02:
            namespace.current().sweep()
        name = random.choice(self.names)
        start = time.monotonic()
        handle = name.acquire()
        if handle is not None:
            name.use(self, handle)
        demand(time.monotonic() - start < STUCK, f"{name.text}: an operation took more than {STUCK:g} s")
        self.board.count(0)

    @contextlib.contextmanager
    def holding(self, name: Name, token: int) -> Iterator[None]:
        """Tell the others what we hold, and look whether it is what they hold. Only while a handle is open."""
        self.board.publish(self.slot, name.index, token)
        self.board.check(self.slot, name.index, token)
        yield
        self.board.check(self.slot, name.index, token)
        self.board.publish(self.slot, name.index, 0)

    def linger(self) -> None:
        """Let the others run, for a moment or not at all."""
        if random.random() < 0.5:
            time.sleep(random.uniform(0, 0.002))

    def fork(self, work: Callable[[], None]) -> None:
        """A child with all our handles does something; it ends by itself, is killed, or outlives us."""
        self.board.count(2)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                work()
                status = 0
            except BaseException:
                self.complain(traceback.format_exc())
            os._exit(status)
        fate = random.random()
        if fate < 0.3:
            os.kill(pid, signal.SIGKILL)
        if fate < 0.8:
            os.waitpid(pid, 0)

    def complain(self, text: str) -> None:
        with open(self.report, "a", encoding="utf-8") as file:
            file.write(f"process {os.getpid()}: {text}\n")
