"""Mutexes, semaphores and events for the Python classes. See `namedmap._contract.Synchronization`."""

from typing import TypeVar

from namedmap._contract import NOBODY_ELSE, Permissions
from namedmap._kernel.dispatch import counted
from namedmap._kernel.dispatch.counted import Event, Semaphore
from namedmap._kernel.dispatch.dispatcher import Dispatcher
from namedmap._kernel.dispatch.mutant import Mutant, create_mutant
from namedmap._kernel.names import names, security
from namedmap._kernel.objects.table import Handle, table

Kind = TypeVar("Kind", bound=Dispatcher)


def create_mutex(
    name: str | None, *, owned: bool = False, permissions: Permissions = NOBODY_ELSE
) -> tuple[Handle[Mutant], bool]:
    parsed = names.of_new(name)
    held, existed = create_mutant(parsed, owned, security.of_object(permissions, parsed))
    return _entered(held), not existed


def open_mutex(name: str) -> Handle[Mutant]:
    return _entered(counted.open_existing(Mutant, names.of_existing(name)))


def create_semaphore(
    name: str | None, value: int, maximum: int, *, permissions: Permissions = NOBODY_ELSE
) -> tuple[Handle[Semaphore], bool]:
    parsed = names.of_new(name)
    held, existed = counted.create_semaphore(parsed, value, maximum, security.of_object(permissions, parsed))
    return _entered(held), not existed


def open_semaphore(name: str) -> Handle[Semaphore]:
    return _entered(counted.open_existing(Semaphore, names.of_existing(name)))


def create_event(
    name: str | None, *, manual: bool, signaled: bool, permissions: Permissions = NOBODY_ELSE
) -> tuple[Handle[Event], bool]:
    parsed = names.of_new(name)
    held, existed = counted.create_event(parsed, manual, signaled, security.of_object(permissions, parsed))
    return _entered(held), not existed


def open_event(name: str) -> Handle[Event]:
    return _entered(counted.open_existing(Event, names.of_existing(name)))


def _entered(held: Kind) -> Handle[Kind]:
    handle = Handle(held, held.all_access)
    table.enter(handle)
    return handle


__all__ = [
    "create_event",
    "create_mutex",
    "create_semaphore",
    "open_event",
    "open_mutex",
    "open_semaphore",
]
