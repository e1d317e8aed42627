"""Waiting for the Python classes. See `namedmap._contract.Waits`."""

import contextlib
import math
import time
from collections.abc import Sequence
from typing import Any

from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.dispatch import waiting
from namedmap._kernel.objects.kernelobject import KernelObject
from namedmap._kernel.objects.owners import Owner, ended, thread
from namedmap._kernel.objects.table import Handle
from namedmap._kernel.objects.waitable import ABANDONED

_SYNCHRONIZE = 0x100000


class _Pending(waiting.Wait):
    """A wait that does not block a thread."""

    def __init__(self, handles: Sequence[Any], owner: Owner, every: bool) -> None:
        self._references = contextlib.ExitStack()
        try:
            objects = _refer_to(handles, every, self._references)
            super().__init__(objects, owner, every=every)
        except BaseException:
            self._references.close()
            raise
        self._lined = True

    def __exit__(self, *error: object) -> None:
        try:
            super().__exit__(*error)
        finally:
            self._references.close()


def _refer_to(handles: Sequence[Any], every: bool, references: contextlib.ExitStack) -> list[KernelObject]:
    """The objects of handles that may be waited for, kept alive until the references end."""
    found = [references.enter_context(handle.reference(_SYNCHRONIZE)).object for handle in handles]
    if every and len(set(found)) < len(found):
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_MIX, "the same object is there twice in a wait for all")
    return found


def wait(handles: Sequence[Any], owner: Owner, seconds: float | None, *, every: bool = False) -> int | None:
    with contextlib.ExitStack() as references:
        objects = _refer_to(handles, every, references)
        return waiting.wait(objects, owner, math.inf if seconds is None else seconds, every=every)


def wait_longer(handle: Any, owner: Owner, seconds: float | None) -> int | None:
    waited: Handle[KernelObject] = handle
    with waited.reference(_SYNCHRONIZE) as reference:
        objects = (reference.object,)
        result = waiting.glance(objects, owner)
        if result is not None:
            return result
        return waiting.sleep(objects, owner, math.inf if seconds is None else time.monotonic() + seconds)


def begin(handles: Sequence[Any], owner: Owner, *, every: bool = False) -> _Pending:
    return _Pending(handles, owner, every)


__all__ = ["ABANDONED", "begin", "ended", "thread", "wait", "wait_longer"]
