"""The life of a kernel object: handles and references keep it.

A kernel object lives by two counts, as in NT. *Handles* keep its name; *references* (every handle, every mapped view,
every call in progress) keep its memory. When the last handle of all processes goes, the name goes, at once; when the
last reference of this process goes, its descriptors are closed.
"""

from typing import ClassVar, Self

from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.linux.natives import RLock
from namedmap._kernel.objects.waitable import Waitable

#: Guards handles, handle and reference counts, and the registry. Held for microseconds (but across a fork, see
#: `processes`), never while a guard is waited for. Reentrant, because a signal handler may close handles in the
#: middle of any call of its thread.
lock = RLock()


class KernelObject(Waitable):
    """State common to everything that a handle can refer to."""

    type_name: ClassVar[str]
    #: The meaning of GENERIC_READ, GENERIC_WRITE, GENERIC_EXECUTE and GENERIC_ALL for this type.
    generic: ClassVar[tuple[int, int, int, int]]

    # A new object comes with its creator's handle: HandleTable.insert takes it over, or the creator calls drop_handle.
    handle_count = 1
    _references = 1

    @property
    def references(self) -> int:
        return self._references

    @property
    def valid_access(self) -> int:
        """The access bits that exist for this type; the others are dropped without an error."""
        return self.generic[3] | 0x1F0000

    def retain(self) -> Self:
        """Add a reference: a view, or a call in progress."""
        with lock:
            self._references += 1
        return self

    def release(self) -> None:
        with lock:
            self._references -= 1
            last = not self._references
        if last:
            self._free()

    def add_handle(self) -> None:
        with lock:
            self.handle_count += 1
            self._references += 1

    def counted(self, *, first: bool = False) -> Self:
        """Add a handle count, for HandleTable.insert to take over.

        Without a handle, unless this is to be the first, it has ended: another thread has closed the one that was
        looked up, and took the name away.
        """
        with lock:
            if not self.handle_count and not first:
                raise KernelError(
                    NTSTATUS.STATUS_INVALID_HANDLE, f"the handle to {self} was closed by another thread meanwhile"
                )
            self.add_handle()
        return self

    def drop_handle(self) -> None:
        with lock:
            self.handle_count -= 1
            last = not self.handle_count
        if last:
            self._last_handle()
        self.release()

    def total_handles(self) -> int:
        """Handles in all processes, as far as they can be counted."""
        return self.handle_count

    @property
    def native_name(self) -> str:
        return ""

    def _last_handle(self) -> None:
        """The last handle of this process has gone."""

    def retire(self) -> None:
        """The process ends: take away now what must not outlive its handles. The handles stay usable."""

    def _free(self) -> None:
        """The last reference has gone: close descriptors."""

    @classmethod
    def map_access(cls, access: int) -> int:
        """Generic rights turned into the type's own; MAXIMUM_ALLOWED into all."""
        if access < 0x02000000:  # no generic bit, the common case
            return access
        read, write, execute, everything = cls.generic
        granted = access & 0x01FFFFFF
        for bit, meaning in ((0x80000000, read), (0x40000000, write), (0x20000000, execute), (0x12000000, everything)):
            if access & bit:
                granted |= meaning
        return granted
