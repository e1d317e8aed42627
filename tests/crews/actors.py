"""Actors: threads of several processes that call functions of `win32` and `nt` when they are told to, one at a time.

`Stage` has them all. An actor answers with the result and the last error; if it has to wait, it says first that it
sleeps. Processes are forked by a server of their own, so that a new one is there at once, and a dead one is collected.
"""

import ctypes
import json
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, NamedTuple

from calls.kernel import futex
from child import WATCHDOG, Spawn
from namedmap import nt, win32

#: The result of GetLastError if a call has left it alone.
UNTOUCHED = 0xDEAD
BLOCKED, CANCELLED = "blocked", "cancelled"


class Answer(NamedTuple):
    """The answer of a call: its result, the last error, and what it has stored."""

    result: Any
    error: int
    out: tuple[int, ...] = ()


class _Cancelled(BaseException):
    pass


# -- in the process of the actors -------------------------------------------------------------------------------------


class _Thread(threading.local):
    connection: "Connection[Any, Any] | None" = None
    told = False


_thread = _Thread()
_cancelled: set[int] = set()
_sleep = futex.sleep


def _sleep_and_tell(words: Sequence[futex.Word], seconds: float) -> bool:
    """In place of `futex.sleep`: everything that comes before a sleep has been done now."""
    if _thread.connection is not None:
        if not _thread.told:
            _thread.told = True
            _thread.connection.send(BLOCKED)
        if threading.get_ident() in _cancelled:
            _cancelled.discard(threading.get_ident())
            raise _Cancelled
    return _sleep(words, seconds)


def _structure(name: str) -> tuple[Any, Any]:
    """The argument that a query stores into."""
    kind = {"NtQueryMutant": nt.MUTANT_BASIC_INFORMATION, "NtQuerySemaphore": nt.SEMAPHORE_BASIC_INFORMATION}
    return getattr(nt, name), kind.get(name, nt.EVENT_BASIC_INFORMATION)()


def _perform(name: str, arguments: tuple[Any, ...]) -> Answer:
    win32.SetLastError(UNTOUCHED)
    if name.startswith("NtQuery"):
        query, into = _structure(name)
        status = query(arguments[0], 0, into, ctypes.sizeof(into), None)
        fields = tuple(int(getattr(into, field)) for field, *_ in into._fields_ if not field.startswith("_"))
        return Answer(status & 0xFFFFFFFF, UNTOUCHED, fields)
    if name == "ReleaseSemaphore":
        previous = win32.LONG(-77)
        done = win32.ReleaseSemaphore(arguments[0], arguments[1], previous)
        return Answer(done, win32.GetLastError(), (previous.value,))
    if name == "DuplicateHandle":
        made, this = win32.HANDLE(), win32.GetCurrentProcess()
        done = win32.DuplicateHandle(this, arguments[0], this, made, arguments[1], False, 0)
        return Answer(done, win32.GetLastError(), (made.value or 0,))
    result = getattr(win32, name)(*arguments)
    return Answer(result, win32.GetLastError())


def _act(address: str, index: int) -> None:
    with Client(address) as connection:
        _thread.connection = connection
        _cancelled.discard(threading.get_ident())
        connection.send((os.getpid(), index, threading.get_ident()))
        while True:
            name, arguments = connection.recv()
            if name == "end":
                return
            _thread.told = False
            try:
                connection.send(_perform(name, arguments))
            except _Cancelled:
                connection.send(CANCELLED)


class Cast:
    """The actors of this process."""

    def __init__(self, address: str) -> None:
        futex.sleep = _sleep_and_tell
        self.address = address
        self.threads: dict[int, threading.Thread] = {}

    def begin(self, index: int) -> None:
        self.threads[index] = threading.Thread(target=_act, args=(self.address, index), daemon=True)
        self.threads[index].start()

    def join(self, index: int) -> None:
        self.threads.pop(index).join(WATCHDOG)

    def cancel(self, ident: int) -> None:
        _cancelled.add(ident)

    def close(self) -> None:
        futex.sleep = _sleep


def _direct(address: str) -> None:
    """The main thread of a process: begins, joins and cancels actors."""
    cast = Cast(address)
    with Client(address) as connection:
        connection.send((os.getpid(), -1, 0))
        while True:
            order, argument = connection.recv()
            getattr(cast, order)(argument)
            connection.send("done")


def serve_forks() -> None:
    """Fork processes, and kill them, by the lines of stdin. Runs in a process of its own, see `Stage`."""
    while True:
        try:
            order, argument = json.loads(input())
        except EOFError:
            return
        if order == "fork":
            pid = os.fork()
            if not pid:
                with suppress(EOFError, ConnectionError):
                    _direct(argument)
                os._exit(1)
            print(pid, flush=True)
        else:
            os.kill(argument, signal.SIGKILL)
            os.waitpid(argument, 0)
            print("dead", flush=True)


# -- in the test ------------------------------------------------------------------------------------------------------


class Actor:
    """One thread, seen from the test."""

    def __init__(self, process: "Process", index: int) -> None:
        self.process, self.index = process, index
        self.connection, self.ident = process.stage.meet(process.pid, index)

    def __repr__(self) -> str:
        return f"actor {self.index} of process {self.process.number}"

    def send(self, name: str, *arguments: Any) -> None:
        self.connection.send((name, arguments))

    def receive(self) -> Any:
        """An Answer, BLOCKED or CANCELLED."""
        assert self.connection.poll(WATCHDOG), f"{self} does not answer"
        return self.connection.recv()

    def call(self, name: str, *arguments: Any) -> Answer:
        self.send(name, *arguments)
        answer = self.receive()
        assert isinstance(answer, Answer), f"{self}: {name}{arguments} has to wait"
        return answer

    def silent(self) -> bool:
        return not self.connection.poll(0)


class Process:
    """Two actors, seen from the test: number 0 is the process of the test itself."""

    ACTORS = 2

    def __init__(self, stage: "Stage", number: int) -> None:
        self.stage, self.number = stage, number
        self.cast = Cast(stage.address) if number == 0 else None
        self.pid = os.getpid() if self.cast else stage.fork()
        if self.cast is None:
            self.control = stage.meet(self.pid, -1)[0]
        self.actors = [self.begin(index) for index in range(self.ACTORS)]

    def begin(self, index: int) -> Actor:
        self._order("begin", index)
        return Actor(self, index)

    def _order(self, order: str, argument: int) -> None:
        if self.cast is not None:
            getattr(self.cast, order)(argument)
        else:
            self.control.send((order, argument))
            assert self.control.poll(WATCHDOG), f"process {self.number} does not answer"
            assert self.control.recv() == "done"

    def renew(self, actor: Actor) -> Actor:
        """End a thread, with all that goes with it, and begin another in its place."""
        actor.send("end")
        self._order("join", actor.index)
        actor.connection.close()
        self.actors[actor.index] = self.begin(actor.index)
        return self.actors[actor.index]

    def cancel(self, actor: Actor) -> Any:
        """End a wait by an exception, as Ctrl-C would: CANCELLED, or an Answer that was there already."""
        self._order("cancel", actor.ident)
        return actor.receive()

    def kill(self) -> None:
        """SIGKILL; when this returns it is gone."""
        self.stage.kill(self.pid)
        for connection in (self.control, *(actor.connection for actor in self.actors)):
            connection.close()

    def dismiss(self) -> None:
        """End the actors of the test's own process, all of them free."""
        assert self.cast is not None
        for actor in self.actors:
            actor.send("end")
            self._order("join", actor.index)
            actor.connection.close()
        self.cast.close()


class Stage:
    """Where actors meet the test."""

    def __init__(self, spawn: Spawn, address: str) -> None:
        self.address = address
        self.listener = Listener(address)
        self.server = spawn("from crews import actors; actors.serve_forks()")
        self._early: dict[tuple[int, int], tuple[Connection[Any, Any], int]] = {}

    def fork(self) -> int:
        self.server.send(json.dumps(["fork", self.address]))
        return int(self.server.line())

    def kill(self, pid: int) -> None:
        self.server.send(json.dumps(["kill", pid]))
        assert self.server.line() == "dead"

    def meet(self, pid: int, index: int) -> "tuple[Connection[Any, Any], int]":
        """The connection and the identifier of a thread that begins."""
        while (pid, index) not in self._early:
            connection = self.listener.accept()
            who, which, ident = connection.recv()
            self._early[who, which] = (connection, ident)
        return self._early.pop((pid, index))

    def close(self) -> None:
        self.listener.close()
