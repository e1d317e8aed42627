"""Kill processes at random while they create, open, use and close objects of a few names; look for what goes wrong.

    python tests/soak.py [--seconds N] [--names N] [--workers N]

Workers live for milliseconds and end by SIGKILL, wherever they are, or now and then by themselves. What must hold:

- a name that somebody holds can be opened again, by him and by others, and leads to the same object;
- all who hold a name at the same time hold the same object: the first to see a fresh section writes a random token into
  it, and every holder publishes the token that he sees on a board that all look at;
- a fresh section is all zeros, a view stays what it was, whoever ends or comes after it;
- nobody waits for the dead, and no call fails that should not;
- when all holders have gone the name is free, and one sweep leaves no file.

The last line sums up. Exit status 1 if anything was violated.
"""

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import itertools
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from namedmap import win32
from namedmap._kernel import namespace
from namedmap._kernel.handles import table
from namedmap._kernel.objects import NamedObject

SIZE = 8192
#: A fresh section: token, mark of a started initialisation, then one counter per worker; the last page is a pattern.
TOKEN, STARTED, COUNTERS, PATTERN = 0, 8, 64, 4096
#: A round ends with all workers dead, and a look at what they left; in seconds.
ROUND = 1.5
#: No operation takes so long, in seconds: guards are given up after five.
STUCK = 4.0
WATCHDOG = 60.0
_PF_EXITING = 0x4
_PR_SET_CHILD_SUBREAPER = 36

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
            # Alive after the look, he was so at the look; and what he has published he holds.
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
        """What a holder does; by default he compares identities and opens the name again."""
        token = identity(handle)
        with worker.holding(self, token):
            self.check_reopen(handle)

    def check_reopen(self, handle: int) -> int:
        again = self.reopen()
        demand(again, f"{self.text}: held, but cannot be opened again")
        assert again is not None
        demand(win32.CompareObjectHandles(handle, again), f"{self.text}: held, but the name leads to another object")
        demand(win32.CloseHandle(again), f"{self.text}: CloseHandle")
        return again


def identity(handle: int) -> int:
    """What tells an object from every other one, for kinds without memory: the inode of its file."""
    held = table.get(handle).object
    assert isinstance(held, NamedObject)
    return held.key[1]


def opened(handle: int | None, text: str, *allowed: int) -> int | None:
    """A handle, or None for a failure that is allowed."""
    demand(handle or win32.GetLastError() in allowed, f"{text}: cannot be opened")
    return handle


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
        view = win32.MapViewOfFile(handle, win32.FILE_MAP_ALL_ACCESS, 0, 0, 0)
        demand(view, f"{self.text}: cannot be mapped")
        assert view is not None
        token = self._token(view, fresh)
        worker.board.count(1 if fresh else 0)
        with worker.holding(self, token):
            self._write_and_check(worker, view, token)
            self.check_reopen(handle)
            if random.random() < 0.1:
                worker.fork(lambda: self._in_fork(handle, view, token))
        if random.random() < 0.3:
            # The view keeps the memory, whatever becomes of the name now.
            demand(win32.CloseHandle(handle), f"{self.text}: CloseHandle")
            worker.linger()
            self._check_memory(view, token)
        demand(win32.UnmapViewOfFile(view), f"{self.text}: UnmapViewOfFile")

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
            demand(win32.CloseHandle(handle), f"{self.text}: CloseHandle in a forked child")


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
        demand(win32.CloseHandle(file), f"{path}: CloseHandle")
        return handle

    def reopen(self) -> int | None:
        return win32.OpenFileMapping(win32.FILE_MAP_ALL_ACCESS, False, self.text)

    def use(self, worker: "Worker", handle: int) -> None:
        view = win32.MapViewOfFile(handle, win32.FILE_MAP_ALL_ACCESS, 0, 0, 0)
        demand(view, f"{self.text}: cannot be mapped")
        assert view is not None
        token = ctypes.c_uint64.from_address(view + TOKEN).value
        demand(ctypes.string_at(view + PATTERN, 32) == pattern(token)[:32], f"{self.text}: the file's bytes are wrong")
        with worker.holding(self, token):
            counter = ctypes.c_uint64.from_address(view + COUNTERS + 8 * worker.slot)
            value = counter.value = counter.value + 1
            worker.linger()
            self.check_reopen(handle)
            other = win32.MapViewOfFile(handle, win32.FILE_MAP_READ, 0, 0, 0)
            demand(other, f"{self.text}: cannot be mapped twice")
            assert other is not None
            seen = ctypes.c_uint64.from_address(other + COUNTERS + 8 * worker.slot).value
            demand(seen == value, f"{self.text}: two views differ")
            demand(win32.UnmapViewOfFile(other), f"{self.text}: UnmapViewOfFile")
        demand(win32.UnmapViewOfFile(view), f"{self.text}: UnmapViewOfFile")

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
        super().use(worker, handle)
        if self.kind == "section":
            wrong = win32.OpenSemaphore(win32.SYNCHRONIZE, False, self.text)
        else:
            wrong = win32.OpenFileMapping(win32.FILE_MAP_READ, False, self.text)
        demand(wrong is None and win32.GetLastError() == win32.ERROR_INVALID_HANDLE, f"{self.text}: the wrong kind opens")


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
