"""The compiled core, where there is one: `namedmap._native`, which does the common cases quicker (see `_native.c`).

Without it, or with NAMEDMAP_NATIVE=0 in the environment, the Python code does all of it.
"""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from namedmap import _contract
from namedmap._kernel.linux import lineage


class Hold(_contract.SectionHandle, Protocol):
    """A handle to memory, which hatches into one of the Python code when more is asked than it can do."""

    def state(self) -> tuple[int, bytes, Any, int, tuple[int, int], bytes, bytes, int, int, int, int, int] | None:
        """All that it has: see `contract.quick`. None: it has hatched."""

    def become(self, section: object, handle: object, fd: int, handles: int, /) -> bool:
        """Lead to these from now on, unless it has hatched, or descriptor or handle count have changed, meanwhile."""


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

    def know_threads(self, *names_and_functions: object) -> None:
        """The names of the modules `threading` and `time`, and the functions they have while threads are threads."""

    def exchange(self, address: int, expected: int, new: int, /) -> int:
        """Compare and swap; returns the value before."""

    def set_bits(self, address: int, bits: int, /) -> None:
        """Set bits of a word, atomically."""

    def clear_bits(self, address: int, bits: int, /) -> None:
        """Clear bits of a word, atomically."""


class Absence(NamedTuple):
    """The reason why there is no core, and a remedy."""

    reason: str
    remedy: str


def _load() -> Core | Absence:
    if os.environ.get("NAMEDMAP_NATIVE") == "0":
        return Absence("NAMEDMAP_NATIVE=0 turns it off", "unset NAMEDMAP_NATIVE")
    if not lineage.has_byte:
        return Absence("this kernel clears no page in forked children", "Linux 4.14 and later do")
    try:
        found: Any = importlib.import_module("namedmap._native")
    except ModuleNotFoundError:
        if _without_lock():
            return Absence("this Python has no interpreter lock, which the core needs", "a usual build of Python")
        remedy = "a wheel of this platform; or a C compiler (gcc), and pip install --force-reinstall --no-cache-dir"
        return Absence("none was compiled when namedmap was installed", remedy)
    except ImportError as error:  # of another platform; or another interpreter of this process has it
        return Absence(f"it cannot be loaded ({error})", "install namedmap anew")
    if _is_older(found.__file__):
        return Absence("it was compiled before its source changed", "python hatch_build.py")
    loaded: Core = found
    return loaded


def _is_older(path: str) -> bool:
    """Whether it stands in a source tree, whose Python code may be newer too."""
    source = os.path.join(os.path.dirname(path), "_native.c")
    return os.path.exists(source) and os.stat(source).st_mtime_ns > os.stat(path).st_mtime_ns


def _without_lock() -> bool:
    has_lock: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return not has_lock()


_loaded = _load()
core: Core | None = None if isinstance(_loaded, Absence) else _loaded
absence: Absence | None = _loaded if isinstance(_loaded, Absence) else None


def _nothing() -> None:
    """The core has nothing."""


#: Make objects of the Python code of all that the core has: of its holds, with `kernelobject.lock` held; and of its
#: views, which the address space then knows. Set by `contract.quick`.
hatch_holds: Callable[[], None] = _nothing
hatch_views: Callable[[], None] = _nothing
#: Before a fork, and after it.
pause: Callable[[], None] = _nothing
resume: Callable[[], None] = _nothing
