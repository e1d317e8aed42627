"""The handle table of this process.

A handle is an object, the access that was granted, and two flags. Its value is a multiple of 4; the lowest free value
is used again first, as in NT. Values at and above FOREIGN were given to this process by another one (`processes`).
"""

import itertools
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Generic, Self, TypeVar

from namedmap._convention.status import NTSTATUS, KernelError, ignored
from namedmap._kernel.linux import compiled
from namedmap._kernel.linux.lineage import look, ours
from namedmap._kernel.objects import kernelobject
from namedmap._kernel.objects.kernelobject import KernelObject

CURRENT_PROCESS = -1
CURRENT_THREAD = -2
FOREIGN = 0x40000000
LIMIT = 1 << 31

FLAG_INHERIT, FLAG_PROTECT = 1, 2

Kernel = TypeVar("Kernel", bound=KernelObject)


class Handle(Generic[Kernel]):
    """An entry of the table; also how its owner uses it, without a look at the table by its value."""

    __slots__ = ("access", "flags", "object", "value")

    def __init__(self, held: Kernel, access: int, flags: int = 0, value: int = 0) -> None:
        self.object, self.access, self.flags, self.value = held, access, flags, value

    def retained(self, access: int = 0) -> Kernel:
        """The object, with a reference that the caller takes over, for a call that needs these rights."""
        if access & ~self.access:
            raise denied(self.access, access)
        if not ours[0]:
            look()
        with table.lock:
            if table.by_value.get(self.value) is not self:
                table.check(self)  # raises
            return self.object.retain()

    def reference(self, access: int = 0) -> "Reference[Kernel]":
        """The object for the length of a with-block, in a call that needs these rights."""
        return Reference(self.retained(access), self.access)

    def close(self) -> None:
        """Close it; without effect if the value is not its own any more, or protected from closing."""
        if not ours[0]:
            look()
        with table.lock:
            if table.by_value.get(self.value) is not self or self.flags & FLAG_PROTECT:
                return
            del table.by_value[self.value]
            if self.value < FOREIGN:
                heappush(table.free, self.value)
        if self.flags & FLAG_INHERIT:
            table.closed(self)
        else:
            self.object.drop_handle()


class Reference(Generic[Kernel]):
    """A handle looked up for one call: the object stays, whatever another thread closes meanwhile."""

    __slots__ = ("access", "object")

    def __init__(self, entry: Kernel, access: int) -> None:
        self.object = entry
        self.access = access

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.object.release()

    def require(self, access: int) -> None:
        """Check rights after other things have been judged."""
        if access & ~self.access:
            raise denied(self.access, access)


def denied(granted: int, needed: int) -> KernelError:
    return KernelError(
        NTSTATUS.STATUS_ACCESS_DENIED, f"the handle was opened with access {granted:#x}; this needs {needed:#x}"
    )


class HandleTable:
    """Values to handles. All methods are safe between threads."""

    def __init__(self) -> None:
        # The objects' lock: a handle and the counts of its object change together.
        self.lock = kernelobject.lock
        self.by_value: dict[int, Handle[Any]] = {}
        #: Values that are free again.
        self.free: list[int] = []
        self._values = itertools.count(4, 4)
        #: Called with an unknown value at or above FOREIGN: delivers what other processes sent. Set by `processes`.
        self.receive: Callable[[], None] = lambda: None
        #: Called after the set of inheritable handles has changed. Set by `processes`.
        self.inheritance_changed: Callable[[], None] = lambda: None

    def enter(self, handle: Handle[Any], *, inherit: bool = False) -> None:
        """Give a new handle its value. It stands for one handle count of its object, which goes with it."""
        if not ours[0]:
            look()
        with self.lock:
            value = heappop(self.free) if self.free else next(self._values)
            if value in self.by_value:
                value = self.reserve()
            handle.value = value
            self.by_value[value] = handle
        if inherit:
            handle.flags = FLAG_INHERIT
            try:
                self.inheritance_changed()
            except BaseException:
                handle.flags = 0
                handle.close()
                raise

    def reserve(self) -> int:
        """A free value, with the lock held."""
        value = heappop(self.free) if self.free else next(self._values)
        while value in self.by_value:  # adopted meanwhile, under a value that another process chose
            value = next(self._values)
        return value

    def give_back(self, value: int) -> None:
        """A reserved value that is not needed, with the lock held."""
        heappush(self.free, value)

    def insert(self, entry: KernelObject, access: int, *, inherit: bool = False) -> int:
        """The value of a new handle for one handle count of the object, which the table takes over."""
        handle = Handle(entry, access)
        self.enter(handle, inherit=inherit)
        return handle.value

    def get(self, value: int) -> Handle[Any]:
        """The entry for a handle value; the two low bits are ignored."""
        # A Win32 handle may come sign-extended or cut to 32 bits; ours are below 2**31 in either form.
        if not ours[0]:
            look()
        value &= ~3
        entry = self.by_value.get(value)
        if entry is None and FOREIGN <= value < LIMIT:
            self.receive()
            entry = self.by_value.get(value)
        if entry is None:
            raise KernelError(
                NTSTATUS.STATUS_INVALID_HANDLE,
                f"{value:#x} is no handle of this process: it was closed, or never opened",
            )
        return entry

    def reference(self, value: int, cls: type[Kernel], access: int = 0) -> Reference[Kernel]:
        """Look up a handle for a call that needs an object of this type and these rights. Use in a with-statement."""
        return self._entry(value, cls).reference(access)

    def retained(self, value: int, cls: type[Kernel]) -> tuple[Kernel, int]:
        """The object and access of a handle, with a reference to the object that the caller takes over."""
        entry = self._entry(value, cls)
        return entry.retained(), entry.access

    def _entry(self, value: int, cls: type[Kernel]) -> Handle[Kernel]:
        entry = self.by_value.get(value)
        return entry if entry is not None and isinstance(entry.object, cls) else self._expected(value, cls)

    def _expected(self, value: int, cls: type[Kernel]) -> Handle[Kernel]:
        if value in (CURRENT_PROCESS, CURRENT_THREAD):
            raise KernelError(
                NTSTATUS.STATUS_OBJECT_TYPE_MISMATCH,
                f"a pseudo handle ({value}) is not one to a {cls.__name__.lower()}",
            )
        entry = self.get(value)
        if not isinstance(entry.object, cls):
            raise KernelError(
                NTSTATUS.STATUS_OBJECT_TYPE_MISMATCH,
                f"handle {value:#x} refers to a {entry.object.type_name.lower()}, not to a {cls.__name__.lower()}",
            )
        return entry

    def check(self, handle: Handle[Any]) -> None:
        """Refuse a handle that was closed since it was looked up; with the lock held."""
        if self.by_value.get(handle.value) is not handle:
            raise KernelError(
                NTSTATUS.STATUS_INVALID_HANDLE,
                f"handle {handle.value:#x} was closed, by its number or by another thread",
            )

    def close(self, value: int) -> None:
        """Close a handle by its value. Pseudo handles close without effect."""
        if value in (CURRENT_PROCESS, CURRENT_THREAD):
            return
        if not ours[0]:
            look()
        entry = self.by_value.get(value) or self.get(value)
        with self.lock:
            self.check(entry)
            if entry.flags & FLAG_PROTECT:
                raise KernelError(
                    NTSTATUS.STATUS_HANDLE_NOT_CLOSABLE, f"handle {value:#x} has HANDLE_FLAG_PROTECT_FROM_CLOSE"
                )
            del self.by_value[entry.value]
            if entry.value < FOREIGN:
                heappush(self.free, entry.value)
        self.closed(entry)

    def closed(self, handle: Handle[Any]) -> None:
        """Drop the handle count of a handle that was taken out."""
        try:
            if handle.flags & FLAG_INHERIT:
                self.inheritance_changed()
        finally:
            handle.object.drop_handle()

    def replace(self, value: int, access: int, *, inherit: bool) -> bool:
        """Make a handle its own duplicate, with other access and flags; False if it cannot be closed or gain access."""
        if not ours[0]:
            look()
        with self.lock:
            entry = self.by_value.get(value & ~3)
            if entry is None or entry.flags & FLAG_PROTECT or access & ~entry.access:
                return False
            entry.access = access
            self.set_flags(value, FLAG_INHERIT, FLAG_INHERIT if inherit else 0)
        return True

    def set_flags(self, value: int, mask: int, flags: int) -> None:
        entry = self.get(value)
        with self.lock:
            self.check(entry)
            before = entry.flags
            entry.flags = (before & ~mask) | (flags & mask)
            if entry.flags != before and (before | entry.flags) & FLAG_INHERIT:
                self.inheritance_changed()

    def inheritable(self) -> dict[int, Handle[Any]]:
        with self.lock:
            return {value: entry for value, entry in self.by_value.items() if entry.flags & FLAG_INHERIT}

    def entries(self) -> list[Handle[Any]]:
        with self.lock:
            compiled.hatch_holds()
            return list(self.by_value.values())

    def adopt(self, value: int, entry: KernelObject, access: int, flags: int) -> None:
        """Enter a handle under a value that another process chose (inheritance, DuplicateHandle)."""
        with self.lock:
            if value in self.by_value:
                raise KernelError(NTSTATUS.STATUS_INVALID_HANDLE, f"{value:#x} is a handle already")
            self.by_value[value] = Handle(entry, access, flags, value)

    def retire_all(self) -> None:
        """At the end of the process: the names go that nobody else has, as if all handles had been closed.

        The handles themselves stay. The globals of a program are finalized after this, and their finalizers close
        handles, and may use them.
        """
        if not ours[0]:
            look()
        for held in {entry.object for entry in self.entries()}:
            with ignored(OSError):  # the others go all the same
                held.retire()


table = HandleTable()
