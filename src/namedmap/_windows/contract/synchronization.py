"""Mutexes, semaphores and events for the Python classes. See `namedmap._contract.Synchronization`.

On Windows all that a process has of an object is a handle, which here is the object too.
"""

import ctypes
from typing import Any, Self, TypeVar

from namedmap import types as t
from namedmap._contract import NOBODY_ELSE, Owner, Permissions
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._windows import calling, dll
from namedmap._windows.contract import agents, naming
from namedmap._windows.contract.agents import Waited

_ALREADY_EXISTS = 183
#: SYNCHRONIZE, the right to query, and the one to change: what the methods of the classes need.
_MUTEX_ACCESS, _SEMAPHORE_ACCESS, _EVENT_ACCESS = 0x100001, 0x100003, 0x100003
_LIMIT = 1 << 31
_NOTIFICATION_EVENT = 0

Kind = TypeVar("Kind", bound="_Object")
_Query = TypeVar("_Query", bound=ctypes.Structure)


class _Object(Waited):
    """A handle to an object that can be waited for, which is also the object."""

    __slots__ = ()

    @property
    def object(self) -> Self:
        return self

    def take(self, owner: Owner) -> int | None:
        number = self.borrow()
        try:
            return agents.look([number], False)
        finally:
            self.give_back()

    def _with(self, call: Any, *arguments: Any) -> Any:
        """Call a function with the number of the handle."""
        number = self.borrow()
        try:
            return call(number, *arguments)
        finally:
            self.give_back()

    def _ask(self, function: dll.Foreign, info: _Query) -> _Query:
        asked = f"{type(self).__name__} {self.value:#x} cannot be asked"
        self._with(
            lambda number: calling.must_succeed(
                asked, function, number, 0, ctypes.byref(info), ctypes.sizeof(info), None
            )
        )
        return info


# -- mutexes -----------------------------------------------------------------------------------------------------------


class Mutex(_Object):
    """A mutex: of the thread that has taken it, or of the task for which an agent has."""

    __slots__ = ()

    is_mutex = True

    @property
    def owner(self) -> Owner | None:
        if self._state().OwnedByCaller:
            return agents.calling_thread()
        agent = agents.owning(self.identity)
        return None if agent is None else agent.owner

    def is_owned_by(self, owner: Owner) -> bool:
        if owner == agents.calling_thread():
            return bool(self._state().OwnedByCaller)
        agent = agents.owning(self.identity)
        return agent is not None and agent.owner == owner

    def take(self, owner: Owner) -> int | None:
        if owner == agents.calling_thread():
            return super().take(owner)
        with agents.Wait([self], owner, False) as wait:
            return wait.attempt()

    def release_by(self, owner: Owner) -> int:
        agent = agents.owning(self.identity)
        if agent is not None and agent.owner == owner:
            self._with(lambda number: agent.do(lambda each: each.release(self.identity, number)))
            agents.dismiss(agent)
        elif owner == agents.calling_thread():
            self._with(lambda number: calling.must("the mutex is not released", dll.ReleaseMutex, number))
        else:
            raise KernelError(NTSTATUS.STATUS_MUTANT_NOT_OWNED, "the mutex is not this task's, so it cannot release it")
        return 0

    def query(self, owner: Owner) -> tuple[int, bool, bool]:
        state = self._state()
        return state.CurrentCount, self.is_owned_by(owner), bool(state.AbandonedState)

    def _state(self) -> t.MUTANT_BASIC_INFORMATION:
        return self._ask(dll.NtQueryMutant, t.MUTANT_BASIC_INFORMATION())


def create_mutex(
    name: str | None, *, owned: bool = False, permissions: Permissions = NOBODY_ELSE
) -> tuple[Mutex, bool]:
    return _create(Mutex, name, permissions, dll.CreateMutexW, owned)


def open_mutex(name: str) -> Mutex:
    return _open(Mutex, name, dll.OpenMutexW, _MUTEX_ACCESS)


# -- semaphores --------------------------------------------------------------------------------------------------------


class Semaphore(_Object):
    """A counter with a maximum."""

    __slots__ = ()

    def add(self, number: int) -> int:
        before = t.LONG()
        asked = f"the semaphore cannot be released {number} times"
        if number >= _LIMIT:
            raise KernelError(NTSTATUS.STATUS_SEMAPHORE_LIMIT_EXCEEDED, f"{asked}: it would be above its maximum")
        self._with(lambda handle: calling.must(asked, dll.ReleaseSemaphore, handle, number, ctypes.byref(before)))
        return before.value

    def query(self) -> tuple[int, int]:
        info = self._ask(dll.NtQuerySemaphore, t.SEMAPHORE_BASIC_INFORMATION())
        return info.CurrentCount, info.MaximumCount


def create_semaphore(
    name: str | None, value: int, maximum: int, *, permissions: Permissions = NOBODY_ELSE
) -> tuple[Semaphore, bool]:
    if not 0 <= value <= maximum < _LIMIT or not maximum:
        text = (
            f"no semaphore has the value {value} and the maximum {maximum}: 0 <= value <= maximum < 2**31, maximum > 0"
        )
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, text)
    return _create(Semaphore, name, permissions, dll.CreateSemaphoreW, value, maximum)


def open_semaphore(name: str) -> Semaphore:
    return _open(Semaphore, name, dll.OpenSemaphoreW, _SEMAPHORE_ACCESS)


# -- events ------------------------------------------------------------------------------------------------------------


class Event(_Object):
    """A flag, reset by hand or by the waiter that it lets pass."""

    __slots__ = ()

    @property
    def manual(self) -> bool:
        return self.query()[0]

    def set(self) -> None:
        self._with(lambda number: calling.must("the event is not set", dll.SetEvent, number))

    def reset(self) -> None:
        self._with(lambda number: calling.must("the event is not reset", dll.ResetEvent, number))

    def pulse(self) -> None:
        self._with(lambda number: calling.must("the event is not pulsed", dll.PulseEvent, number))

    def query(self) -> tuple[bool, bool]:
        info = self._ask(dll.NtQueryEvent, t.EVENT_BASIC_INFORMATION())
        return info.EventType == _NOTIFICATION_EVENT, bool(info.EventState)


def create_event(
    name: str | None, *, manual: bool, signaled: bool, permissions: Permissions = NOBODY_ELSE
) -> tuple[Event, bool]:
    return _create(Event, name, permissions, dll.CreateEventW, manual, signaled)


def open_event(name: str) -> Event:
    return _open(Event, name, dll.OpenEventW, _EVENT_ACCESS)


# -- create and open ---------------------------------------------------------------------------------------------------


def _create(
    kind: type[Kind], name: str | None, permissions: Permissions, function: dll.Foreign, *values: int
) -> tuple[Kind, bool]:
    checked = naming.of_new(name)
    with naming.attributes(permissions) as attributes:
        number, code = calling.ask(function, attributes, *values, checked)
    if not number:
        asked = f"cannot create {kind.__name__.lower()} {name!r}"
        raise naming.of_kind(calling.failure(asked, code), name)
    return kind(number), code != _ALREADY_EXISTS


def _open(kind: type[Kind], name: str, function: dll.Foreign, access: int) -> Kind:
    number, code = calling.ask(function, access, False, naming.checked(name))
    if not number:
        raise naming.of_kind(calling.failure(f"cannot open {kind.__name__.lower()} {name!r}", code), name)
    return kind(number)


__all__ = ["create_event", "create_mutex", "create_semaphore", "open_event", "open_mutex", "open_semaphore"]
