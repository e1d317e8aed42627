"""Agents: threads that wait, and own mutexes, for asyncio tasks.

A mutex of Windows belongs to a thread, while the tasks of an event loop share one, and have to keep each other out.
And a wait that is given up after it has ended has consumed what it waited for: the event's signal is lost, the mutex
stays with a thread that knows nothing of it (so do waits by `wait_for_handle` of asyncio's proactor). So a task that
waits for what is not there, or has a mutex, has an agent: a thread of its own for as long, out of a pool.

*One thread knows.* An agent's wait, and what it has taken, are changed by its own thread alone: others give it jobs,
which it does between its waits. A wait is cancelled by a job. The agent has either not taken anything yet, and never
will, or it has, and gives it back: so nothing is lost, and nothing is taken in secret.

*The bell.* A job is announced by an APC (a procedure that does nothing), which ends an alertable wait without taking
anything. It waits for the thread where that is not waiting yet, and leaves all 64 places of a wait to the objects; so
it rings in waits for all of them too.

*Ends.* A task that ends with a mutex abandons it: its agent's thread ends, and Windows does the rest. So does that of
a wait for an abandoned mutex that is cancelled, since a release would keep from the next owner what it has to know.
"""

import ctypes
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any, cast

from namedmap._contract import Owner
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._windows import calling, dll, waiting
from namedmap._windows.handles import Handle, borrowed

ABANDONED = 0x80
#: A thread as an owner.
calling_thread = threading.get_ident
_WAIT_FAILED, _INFINITE = 0xFFFFFFFF, 0xFFFFFFFF
_THREAD_SET_CONTEXT = 0x10
#: Agents without work that are kept.
_IDLE = 8
#: The function that an APC calls with 0: it returns at once.
_NOTHING = ctypes.cast(cast(Any, dll.Sleep), ctypes.c_void_p).value


class Waited(Handle):
    """A handle to what can be waited for, as far as agents have to know it."""

    __slots__ = ()

    #: Whether who takes it owns it.
    is_mutex = False


def result_of(code: int, number: int, every: bool) -> int | None:
    """The result of a wait for so many objects, as the contract has it."""
    for base in (0, ABANDONED):
        if base <= code < base + number:
            return base if every else code
    return None


class Wait:
    """A wait for a task. Leaving the with-block ends it."""

    def __init__(self, handles: Sequence[Waited], owner: Owner, every: bool) -> None:
        self.handles, self.owner, self.every = handles, owner, every
        self.numbers: list[int] = []
        self._borrowed = borrowed(handles)
        self._agent: Agent | None = None
        # Of these the agent's thread alone makes something out of None.
        self.taken: int | None = None
        self.error: KernelError | None = None
        self.call: Callable[[], object] | None = None

    def __enter__(self) -> "Wait":
        self.numbers = self._borrowed.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            if self._agent is not None:
                self._agent.waits -= 1
                self._agent.do(lambda agent: agent.cancel(self))
                dismiss(self._agent)
        finally:
            self._borrowed.__exit__(None, None, None)

    def attempt(self) -> int | None:
        if self._agent is None and not _needs_agent(self):
            return look(self.numbers, self.every)
        agent = self._have_agent()
        if self.taken is None and self.error is None and self.call is None:
            agent.do(lambda each: each.look(self))
        if self.error is not None:
            raise self.error
        taken = self.taken
        if taken is not None:  # else the agent may take it now, and what it notes must not be wiped out
            self.taken = None
        return taken

    def when_changed(self, call: Callable[[], object]) -> Callable[[], None]:
        self.call = call
        self._have_agent().post(lambda agent: agent.begin(self))

        def end() -> None:
            if self.call is call:
                self.call = _nobody

        return end

    def _have_agent(self) -> "Agent":
        if self._agent is None:
            self._agent = agent_of(self.owner)
            self._agent.waits += 1
        return self._agent

    def taken_mutexes(self) -> list[Hashable]:
        """The mutexes among what was taken."""
        if self.taken is None:
            return []
        handles = self.handles if self.every else [self.handles[self.taken % ABANDONED]]
        return [each.identity for each in handles if each.is_mutex]


def _nobody() -> None:
    """The call when nobody wants to know."""


def _needs_agent(wait: Wait) -> bool:
    return any(each.is_mutex for each in wait.handles)


def look(numbers: Sequence[int], every: bool) -> int | None:
    """Take what is there, for the calling thread."""
    code, error = waiting.wait(numbers, 0, every=every)
    if code == _WAIT_FAILED:
        raise calling.failure("the wait failed", error)
    return result_of(code, len(numbers), every)


# -- agents ------------------------------------------------------------------------------------------------------------

Job = Callable[["Agent"], None]


class Agent:
    """A thread that waits for a task, and owns mutexes for it. Its methods but `do` and `post` are for its own jobs."""

    def __init__(self) -> None:
        self.owner: Owner | None = None
        #: How many waits of its owner have it: one, unless a task begins a second before the first has ended.
        self.waits = 0
        #: How often it has which mutex.
        self.held: dict[Hashable, int] = {}
        self._jobs: deque[Job] = deque()
        self._wait: Wait | None = None
        self._leaving = False
        self._thread = threading.Thread(target=self._run, name="namedmap agent", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            raise KernelError(NTSTATUS.STATUS_INSUFFICIENT_RESOURCES, "no thread is left to wait for a task") from None
        number = calling.must("an agent", dll.OpenThread, _THREAD_SET_CONTEXT, False, self._thread.native_id)
        self._handle = Handle(number)

    # -- for others ----------------------------------------------------------------------------------------------------

    def post(self, job: Job) -> None:
        """Have a job done, soon."""
        self._jobs.append(job)
        number = self._handle.borrow()
        try:
            dll.QueueUserAPC(_NOTHING, number, 0)
        finally:
            self._handle.give_back()

    def do(self, job: Job) -> None:
        """Have a job done, and wait until it is; raises what it has raised."""
        done, errors = threading.Event(), []

        def told(agent: Agent) -> None:
            try:
                job(agent)
            except KernelError as error:
                errors.append(error)
            finally:
                done.set()

        self.post(told)
        done.wait()
        if errors:
            raise errors.pop()

    # -- its thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._leaving:
            if self._jobs:
                self._jobs.popleft()(self)
            elif self._wait is None:
                dll.SleepEx(_INFINITE, True)
            else:
                self._wait_on(self._wait)
        self._handle.close()

    def _wait_on(self, wait: Wait) -> None:
        array = (dll.HANDLE * len(wait.numbers))(*wait.numbers)
        arguments = len(array), array, wait.every, _INFINITE, True
        code, error = calling.ask(dll.WaitForMultipleObjectsEx, *arguments)
        if code == _WAIT_FAILED:
            wait.error = calling.failure("the wait failed", error)
        else:
            self._take(wait, result_of(code, len(wait.numbers), wait.every))
        if wait.taken is not None or wait.error is not None:
            self._wait = None
            (wait.call or _nobody)()

    def look(self, wait: Wait) -> None:
        """Take what is there at this moment."""
        self._take(wait, look(wait.numbers, wait.every))

    def begin(self, wait: Wait) -> None:
        """Wait, and say so when there is something to be had."""
        if wait.taken is None and wait.error is None:
            self._wait = wait
        else:
            (wait.call or _nobody)()

    def cancel(self, wait: Wait) -> None:
        """End a wait; what it has taken, and nobody has fetched, is given back."""
        if self._wait is wait:
            self._wait = None
        if wait.taken is None:
            return
        mutexes = wait.taken_mutexes()
        self._forget(mutexes)
        if wait.taken >= ABANDONED and not self.held:
            # An object that is no mutex is given back by hand; the end of the thread abandons the others once more.
            for number, handle in zip(wait.numbers, wait.handles, strict=True):
                if wait.every and not handle.is_mutex:
                    waiting.give_back(0, [number], False)
            self._leaving = True
        else:
            waiting.give_back(wait.taken, wait.numbers, wait.every)
        wait.taken = None

    def _take(self, wait: Wait, result: int | None) -> None:
        wait.taken = result
        self._note(wait.taken_mutexes())

    def _note(self, mutexes: Sequence[Hashable]) -> None:
        for mutex in mutexes:
            self.held[mutex] = self.held.get(mutex, 0) + 1
            _owning[mutex] = self

    def _forget(self, mutexes: Sequence[Hashable]) -> None:
        for mutex in mutexes:
            self.held[mutex] -= 1
            if not self.held[mutex]:
                del self.held[mutex], _owning[mutex]

    def release(self, mutex: Hashable, number: int) -> None:
        """Give up one ownership, by the number of a handle."""
        # The next owner may be another agent, which notes that before the call has returned.
        self._forget([mutex])
        try:
            calling.must("the mutex is not released", dll.ReleaseMutex, number)
        except KernelError:
            self._note([mutex])
            raise

    def leave(self) -> None:
        """End; what it owns is abandoned."""
        for mutex in self.held:
            _owning.pop(mutex, None)
        self._leaving = True

    @property
    def left(self) -> bool:
        return self._leaving


_owning: dict[Hashable, Agent] = {}
_agents: dict[Owner, Agent] = {}
_idle: list[Agent] = []


def owning(mutex: Hashable) -> Agent | None:
    """The agent that has a mutex, if one does."""
    return _owning.get(mutex)


def agent_of(owner: Owner) -> Agent:
    """The agent of a task: the one that it has, or a new one."""
    agent = _agents.get(owner)
    if agent is None:
        agent = _agents[owner] = _idle_one() or Agent()
        agent.owner = owner
    return agent


def _idle_one() -> Agent | None:
    with suppress(IndexError):
        return _idle.pop()
    return None


def dismiss(agent: Agent) -> None:
    """Take an agent from its task if it has no mutex for it, and no wait."""
    if agent.held or agent.waits:
        return
    _agents.pop(agent.owner, None)
    agent.owner = None
    if agent.left:
        return
    if len(_idle) < _IDLE:
        _idle.append(agent)
    else:
        agent.post(Agent.leave)


def ended(owner: Owner) -> None:
    """A task has ended: what it owns is abandoned."""
    agent = _agents.pop(owner, None)
    if agent is not None:
        agent.do(Agent.leave)
