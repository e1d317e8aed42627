"""What the Python classes need beyond Win32: owners other than threads, and waits that do not block a thread."""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from namedmap._kernel import waiting
from namedmap._kernel.counts import KernelObject
from namedmap._kernel.dispatcher import Dispatcher
from namedmap._kernel.handles import table
from namedmap._kernel.mutant import Mutant
from namedmap._kernel.notifier import watch
from namedmap._kernel.owners import Owner, ended, thread
from namedmap._kernel.status import KernelError
from namedmap._kernel.sync import Event, Semaphore
from namedmap._kernel.waitable import ABANDONED

Kind = TypeVar("Kind", bound=Dispatcher)
_SYNCHRONIZE = 0x100000


def object_of(handle: int, cls: type[Kind]) -> Kind:
    """The object of a handle. It may be used as long as the handle is open; afterwards it refuses."""
    with table.reference(handle, cls) as reference:
        return reference.object


def refers(handle: int, held: Dispatcher) -> bool:
    """Whether a handle is still this object's: its number may have been closed by others, and given to another."""
    try:
        with table.reference(handle, Dispatcher) as reference:
            return reference.object is held
    except KernelError:
        return False


@contextlib.contextmanager
def referenced(handles: Sequence[int]) -> Iterator[list[KernelObject]]:
    """The objects of handles that may be waited for, kept alive for the length of a with-block."""
    with contextlib.ExitStack() as references:
        yield [references.enter_context(table.reference(each, KernelObject, _SYNCHRONIZE)).object for each in handles]


def wait(handles: Sequence[int], owner: Owner, seconds: float | None, *, every: bool = False) -> int | None:
    """See waiting.wait; None: for ever."""
    with referenced(handles) as objects:
        return waiting.wait(objects, owner, math.inf if seconds is None else seconds, every=every)


def sleep(handle: int, owner: Owner, seconds: float | None) -> int | None:
    """The part of a wait for one object that may sleep."""
    with table.reference(handle, KernelObject, _SYNCHRONIZE) as reference:
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        return waiting.sleep((reference.object,), owner, deadline)


Wait = waiting.Wait
glance = waiting.glance

__all__ = [
    "ABANDONED",
    "Dispatcher",
    "Event",
    "KernelError",
    "Mutant",
    "Owner",
    "Semaphore",
    "Wait",
    "ended",
    "glance",
    "object_of",
    "referenced",
    "refers",
    "sleep",
    "thread",
    "wait",
    "watch",
]
