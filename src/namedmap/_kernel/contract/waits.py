"""Waiting for the Python classes. See `namedmap._contract.Waits`."""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

from namedmap._kernel.dispatch import waiting
from namedmap._kernel.objects.kernelobject import KernelObject
from namedmap._kernel.objects.owners import Owner, ended, thread
from namedmap._kernel.objects.table import Handle
from namedmap._kernel.objects.waitable import ABANDONED, Waitable
from namedmap._kernel.status import NTSTATUS, KernelError

_SYNCHRONIZE = 0x100000


class _Pending(waiting.Wait):
    """A wait that does not block a thread."""

    def __init__(self, objects: Sequence[Waitable], owner: Owner, *, every: bool = False) -> None:
        super().__init__(objects, owner, every=every)
        self._lined = True


@contextlib.contextmanager
def _referenced(handles: Sequence[Any], *, every: bool) -> Iterator[list[KernelObject]]:
    """The objects of handles that may be waited for, kept alive for the length of a with-block."""
    with contextlib.ExitStack() as references:
        found = [references.enter_context(handle.reference(_SYNCHRONIZE)).object for handle in handles]
        if every and len(set(found)) < len(found):
            raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_MIX, "the same object is there twice in a wait for all")
        yield found


def wait(handles: Sequence[Any], owner: Owner, seconds: float | None, *, every: bool = False) -> int | None:
    with _referenced(handles, every=every) as objects:
        return waiting.wait(objects, owner, math.inf if seconds is None else seconds, every=every)


def wait_longer(handle: Any, owner: Owner, seconds: float | None) -> int | None:
    waited: Handle[KernelObject] = handle
    with waited.reference(_SYNCHRONIZE) as reference:
        objects = (reference.object,)
        result = waiting.glance(objects, owner)
        if result is not None:
            return result
        return waiting.sleep(objects, owner, math.inf if seconds is None else time.monotonic() + seconds)


@contextlib.contextmanager
def begin(handles: Sequence[Any], owner: Owner, *, every: bool = False) -> Iterator[_Pending]:
    with _referenced(handles, every=every) as objects, _Pending(objects, owner, every=every) as pending:
        yield pending


__all__ = ["ABANDONED", "begin", "ended", "thread", "wait", "wait_longer"]
