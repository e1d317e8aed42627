"""The compiled core, where there is one: `namedmap._native`, which does the common cases quicker (see `_native.c`).

Without it, or with NAMEDMAP_NATIVE=0 in the environment, the Python code does all of it.
"""

import importlib
import os
from collections.abc import Callable
from typing import Any, Protocol

from namedmap import _contract
from namedmap._kernel.linux import lineage


class Hold(_contract.SectionHandle, Protocol):
    """A handle to memory, which hatches into one of the Python code when more is asked than it can do."""

    def state(self) -> tuple[int, bytes, Any, int, tuple[int, int], bytes, bytes, int, int, int, int, int]:
        """All that it has: see `contract.quick`."""

    def become(self, section: object, handle: object, fd: int, handles: int, /) -> bool:
        """Lead to these from now on, unless descriptor or handle count have changed meanwhile."""


class Mapped(_contract.MappedMemory, Protocol):
    """Mapped memory."""

    def region(self) -> tuple[int, int, int, Any, int]:
        """(base, length, protection, handle of the section, offset into it)"""

    def hand_over(self) -> None:
        """The address space has it from now on."""


class Core(Protocol):
    """The module."""

    Window: type
    State: type
    Latch: type

    def configure(self, *parts: object) -> None:
        """See `contract.quick`."""

    def resume(self, slot: int, number: int, /) -> None:
        """Do things from now on, with these for locks."""

    def pause(self) -> None:
        """Do nothing until `resume`."""

    def create(self, path: bytes, name: Any, text: bytes, granted: int, size: int, protect: int, /) -> Hold | None:
        """New memory."""

    def open(self, path: bytes, name: Any, text: bytes, granted: int, /) -> Hold | None:
        """Memory that is there."""

    def holds(self) -> list[Hold]:
        """All that have not hatched."""

    def views(self) -> list[Mapped]:
        """All that the address space does not know."""

    def quicken(self, *classes: type) -> None:
        """Take over methods of Mutex, Semaphore and Event."""

    def know_thread(self, owner: object, /) -> None:
        """The owner that the calling thread is; None: it ends."""

    def know_threads(self, names: dict[str, object], get_ident: object, /) -> None:
        """The names of the module `threading`, and the function that it has while threads are threads."""

    def exchange(self, address: int, expected: int, new: int, /) -> int:
        """Compare and swap; returns the value before."""

    def set_bits(self, address: int, bits: int, /) -> None:
        """Set bits of a word, atomically."""

    def clear_bits(self, address: int, bits: int, /) -> None:
        """Clear bits of a word, atomically."""


def _load() -> Core | None:
    if os.environ.get("NAMEDMAP_NATIVE") == "0" or not lineage.has_byte:
        return None
    try:
        found: Any = importlib.import_module("namedmap._native")
    except ImportError:  # none was built, or another interpreter of this process has it
        return None
    loaded: Core = found
    return loaded


core = _load()


def _nothing() -> None:
    """The core has nothing."""


#: Make objects of the Python code of all that the core has: of its holds, with `kernelobject.lock` held; and of its
#: views, which the address space then knows. Set by `contract.quick`.
hatch_holds: Callable[[], None] = _nothing
hatch_views: Callable[[], None] = _nothing
#: Before a fork, and after it.
pause: Callable[[], None] = _nothing
resume: Callable[[], None] = _nothing
