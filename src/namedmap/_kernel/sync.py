"""Mutexes, semaphores and events: their place in the namespace.

States and waiting build on the state words of the control page (sequence, flags, count, maximum), which are set here at
creation.
"""

from typing import ClassVar

from . import locks, objects
from .control import Control, Kind
from .names import ObjectName
from .objects import Named, NamedObject
from .security import Security
from .status import NTSTATUS, KernelError

OWNED = 1  # mutant: flags
MANUAL = 1  # event: flags


class Mutant(NamedObject):
    """A mutex, by its native name."""

    kind: ClassVar[Kind] = Kind.MUTANT
    type_name = "Mutant"
    generic = (0x20001, 0x20000, 0x120000, 0x1F0001)
    all_access = 0x1F0001


class Semaphore(NamedObject):
    """A semaphore."""

    kind: ClassVar[Kind] = Kind.SEMAPHORE
    type_name = "Semaphore"
    generic = (0x20001, 0x20002, 0x120000, 0x1F0003)
    all_access = 0x1F0003


class Event(NamedObject):
    """An event, manual- or auto-reset."""

    kind: ClassVar[Kind] = Kind.EVENT
    type_name = "Event"
    generic = (0x20001, 0x20002, 0x120000, 0x1F0003)
    all_access = 0x1F0003


def create_mutant(name: ObjectName | None, owned: bool, security: Security) -> tuple[Mutant, bool]:
    """A mutex; the creator of a new one owns it when asked."""
    page = Control(Kind.MUTANT, state=(0, OWNED if owned else 0, 0 if owned else 1, 0))
    mutant, existed = objects.create(Mutant, name, page, security, writing=True)
    if owned and not existed:
        # The owner's lock, which the kernel drops when the owner dies.
        locks.try_lock(mutant.fd, locks.OWNER, exclusive=True)
    return mutant, existed


def create_semaphore(name: ObjectName | None, initial: int, maximum: int, security: Security) -> tuple[Semaphore, bool]:
    """A semaphore; counts are judged even when the name exists."""
    if maximum <= 0 or not 0 <= initial <= maximum:
        raise KernelError(
            NTSTATUS.STATUS_INVALID_PARAMETER,
            f"a semaphore needs 0 <= initial <= maximum and a maximum above 0, not {initial} and {maximum}",
        )
    page = Control(Kind.SEMAPHORE, state=(0, 0, initial, maximum))
    return objects.create(Semaphore, name, page, security, writing=True)


def create_event(name: ObjectName | None, manual: bool, signalled: bool, security: Security) -> tuple[Event, bool]:
    """An event."""
    page = Control(Kind.EVENT, state=(0, MANUAL if manual else 0, int(signalled), 0))
    return objects.create(Event, name, page, security, writing=True)


def open_existing(cls: type[Named], name: ObjectName) -> Named:
    """The object of this kind and name; changing its state needs to write to its file."""
    return objects.open_existing(cls, name, writing=True)
