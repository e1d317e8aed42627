"""Crews of processes that are killed while they wait for objects and own them: how they are started, killed, watched.

The parent of a crew has no handle of its own. Parent and workers share a board, memory apart from all that is tested.
There the workers say what they are doing, one 8-byte store at a time: a killed one has said a thing, or has not.
"""

import ctypes
import faulthandler
import mmap
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from calls.kernel import COUNT, PERMITS, Dispatcher, table
from namedmap import nt, win32

#: How long a crew may go without any progress, in seconds: a watchdog.
STUCK = 60.0
#: The pause of a worker between looks at the board, in seconds, where it does not wait for an object.
PAUSE = 0.001
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_libc: Any = ctypes.CDLL(None)


class Violation(Exception):
    """A promise was broken."""


def demand(condition: object, what: str) -> None:
    if not condition:
        raise Violation(what)


def succeeded(result: object, what: str) -> None:
    """A call that must not fail."""
    if not result:
        error = win32.GetLastError()
        text = win32.FormatMessage(win32.FORMAT_MESSAGE_FROM_SYSTEM, None, error, 0)
        raise Violation(f"{what} failed: error {error}, {text}")


def handle(value: int | None, what: str) -> int:
    """A handle that must be had."""
    succeeded(value, what)
    assert value is not None
    return value


def waited(result: int, what: str) -> int:
    """The result of a wait, which must not have failed."""
    succeeded(result != win32.WAIT_FAILED, f"the wait for {what}")
    return result


# -- shared memory ----------------------------------------------------------------------------------------------------


def board(words: int) -> memoryview:
    """Words of 8 bytes, all 0, that this process and its future children share."""
    return memoryview(mmap.mmap(-1, 8 * words)).cast("Q")


@contextmanager
def view(name: str, words: int) -> Iterator[memoryview]:
    """The same in a section, made or opened; the view is given up at the end."""
    size = 8 * words
    section = handle(win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, size, name), f"section {name}")
    base = handle(win32.MapViewOfFile(section, win32.FILE_MAP_WRITE, 0, 0, 0), f"view of {name}")
    memory = memoryview((ctypes.c_uint64 * words).from_address(base)).cast("B").cast("Q")
    try:
        yield memory
    finally:
        memory.release()
        win32.UnmapViewOfFile(base)
        win32.CloseHandle(section)


# -- objects ----------------------------------------------------------------------------------------------------------


def mutex(name: str) -> int:
    return handle(win32.CreateMutex(None, False, name), f"mutex {name}")


def semaphore(name: str, initial: int, maximum: int) -> int:
    return handle(win32.CreateSemaphore(None, initial, maximum, name), f"semaphore {name}")


def auto_event(name: str, signaled: bool) -> int:
    return handle(win32.CreateEvent(None, False, signaled, name), f"event {name}")


def count_of(value: int) -> int:
    """The count of a semaphore."""
    information = nt.SEMAPHORE_BASIC_INFORMATION()
    status = nt.NtQuerySemaphore(value, 0, information, ctypes.sizeof(information), None)
    demand(status == 0, f"NtQuerySemaphore: {status & 0xFFFFFFFF:#x}")
    return int(information.CurrentCount)


def is_set(value: int) -> bool:
    information = nt.EVENT_BASIC_INFORMATION()
    status = nt.NtQueryEvent(value, 0, information, ctypes.sizeof(information), None)
    demand(status == 0, f"NtQueryEvent: {status & 0xFFFFFFFF:#x}")
    return bool(information.EventState)


def queued(value: int) -> int:
    """Threads, of all processes, that wait for a semaphore or auto-reset event; 0 if not all of them wait in vain."""
    held = table.get(value).object
    assert isinstance(held, Dispatcher)
    with held.guard():
        return 0 if held.words[COUNT] > 0 or held.words[PERMITS] > 0 else held.waiters()


def run_threads(*works: Callable[[], None]) -> None:
    """Run them side by side; the first failure ends the process."""
    threads = [threading.Thread(target=_or_die, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


_report: Path | None = None


def complain(text: str) -> None:
    assert _report is not None
    with open(_report, "a", encoding="utf-8") as file:
        file.write(text.rstrip("\n") + "\n")


def _or_die(work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException:
        complain(traceback.format_exc())
        os._exit(1)


# -- processes --------------------------------------------------------------------------------------------------------


class Crew:
    """Workers, by process id. Their complaints end the run."""

    def __init__(self, report: Path, seed: int) -> None:
        global _report
        _report = report
        report.touch()
        self.random = random.Random(seed)
        self.running: dict[int, str] = {}
        self.kills = self.started = 0
        self._progress: object = None
        self._progress_at = time.monotonic()
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(self, label: str, work: Callable[[], None]) -> int:
        """Fork a worker; it is expected to end by itself, with everything closed, or to be killed."""
        sys.stdout.flush()
        seed, parent = self.random.random(), os.getpid()
        pid = os.fork()
        if not pid:
            self._work(work, seed, parent)
        self.running[pid] = label
        self.started += 1
        return pid

    def _work(self, work: Callable[[], None], seed: float, parent: int) -> NoReturn:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        random.seed(seed)
        assert _report is not None
        faulthandler.register(signal.SIGUSR1, file=open(_report, "a", encoding="utf-8"), all_threads=True)  # noqa: SIM115 - until the process ends
        _or_die(work)
        _or_die(table.retire_all)
        os._exit(0)

    def kill(self, pid: int) -> bool:
        """SIGKILL a worker; when this returns it is gone, with all its locks. False if it had ended by itself."""
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status)
        self._judge(pid, status, expected=-signal.SIGKILL if killed else 0)
        self.kills += killed
        return killed

    def stop(self, pid: int) -> None:
        """SIGSTOP a worker, and wait until it has stopped."""
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)

    def reap(self) -> list[int]:
        """Collect whoever has ended by itself."""
        ended = []
        for pid in list(self.running):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                ended.append(pid)
                self._judge(pid, status, expected=0)
        return ended

    def _judge(self, pid: int, status: int, *, expected: int) -> None:
        label = self.running.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        if code != expected:
            complain(f"{label} ended with {code}")

    def watch(self, progress: object) -> None:
        """To be called again and again: raises if a worker has complained, or if nothing changes any more."""
        assert _report is not None
        demand(not _report.stat().st_size, "a worker complains")
        now = time.monotonic()
        if progress != self._progress:
            self._progress, self._progress_at = progress, now
        elif now - self._progress_at > STUCK:
            for pid in self.running:
                os.kill(pid, signal.SIGUSR1)
            time.sleep(1)
            raise Violation(f"nothing has happened for {STUCK:g} s (progress {progress})")

    def until(self, condition: Callable[[], bool], progress: Callable[[], object], step: float = PAUSE) -> None:
        """Wait for something that the workers do."""
        while not condition():
            self.watch(progress())
            time.sleep(step)

    def finish(self, progress: Callable[[], object]) -> None:
        """Wait until all have ended by themselves."""
        self.until(lambda: not (self.reap(), self.running)[1], progress)
        self.watch(None)

    def run(self, label: str, work: Callable[[], None]) -> None:
        """Let a worker do something, alone or beside the others, and wait for its end."""
        pid = self.start(label, work)
        self.until(lambda: pid in self.reap() or pid not in self.running, lambda: None)
        self.watch(None)

    def dismiss(self) -> None:
        """Kill and collect whoever is left."""
        for pid in list(self.running):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self.running.clear()
