"""The open file description of an object, through which it is held and locked.

A forked child has its parent's descriptions, whose locks are the parent's: the objects are *borrowed*, until it has put
descriptions of its own in their place (`settle`). With os.fork that is before the call returns (see `processes`), with
a fork in C at the first use (see `lineage`), and where it fails, at each use again.
"""

import os
from typing import ClassVar

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, require_ours
from namedmap._kernel.linux import descriptors, locks, reopening
from namedmap._kernel.linux.lineage import look, ours
from namedmap._kernel.linux.natives import RLock
from namedmap._kernel.names import objectfile
from namedmap._kernel.names.controlpage import Control, Kind
from namedmap._kernel.names.objectfile import ObjectFile
from namedmap._kernel.objects.kernelobject import KernelObject, lock

#: Where this process's handles are counted in the LIVENESS locks; a forked child has another slot.
slot = locks.new_slot()


class Guard:
    """Holds the guard of an object for the length of a with-block."""

    __slots__ = ("held",)

    def __init__(self, held: "Described") -> None:
        self.held = held

    def __enter__(self) -> None:
        if not ours[0]:
            look()
        held = self.held
        if held.borrowed:
            held.settle()
        held.mutex.acquire()
        try:
            try:
                held.call(held.fd, locks.SET, locks.GUARD_ON)
            except BlockingIOError:
                locks.take_guard(held.fd, held)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        held = self.held
        try:
            held.call(held.fd, locks.SET, locks.GUARD_OFF)
        except OSError as error:
            require_ours(error)
            held.require_descriptor()
            raise
        finally:
            held.mutex.release()


class Described(KernelObject):
    """An object with a file, which is locked."""

    kind: ClassVar[Kind]

    #: In a forked child: the description, and so its locks, are still the parent's.
    borrowed = False

    def __init__(self, file: ObjectFile, page: Control) -> None:
        self.fd, self.path, self.key, self.writable = file.fd, file.path, file.key, file.writable
        self.name, self.made, self.control = file.name, file.made, page
        #: fcntl, for `fd`.
        self.call = file.call
        self.slot = slot
        self.mutex = RLock()

    def __str__(self) -> str:
        """How errors call this object."""
        return objectfile.describe(type(self), self.name)

    def guard(self) -> "Guard":
        """Hold the object's guard exclusively, against other threads and other processes. For a with-statement."""
        return Guard(self)  # made when needed: one that the object kept would make it wait for the garbage collector

    def unlock(self, start: int, length: int = 1) -> None:
        """Drop locks, which are gone already if other code has closed the descriptor."""
        try:
            locks.unlock(self.fd, start, length)
        except KernelError:
            return  # other code has closed the descriptor, and the locks went with it

    def descriptor_lost(self) -> None:
        """Other code has closed the descriptor, and the number is another's."""
        self.fd = locks.GONE

    def require_descriptor(self) -> None:
        """Raise the error that says so if other code has closed the descriptor."""
        if not locks.intact(self.fd):
            raise descriptors.lost(self, self.fd)

    def reopen(self, *, share: bool = False) -> locks.Anchored | locks.Compared:
        """A new description of the object's file, which the caller closes; without /proc and with `share`, the same."""
        self.require_descriptor()
        again = reopening.reopen_or_share if share else reopening.reopen
        try:
            return locks.kept(again(self.fd, self._mode))
        except OSError as error:
            raise from_oserror(error, f"{self} cannot be opened again through /proc/self/fd") from None

    def way(self) -> tuple[str, int]:
        """Path and flags for os.open of the object's file anew."""
        return reopening.way(self.fd, self._mode)

    @property
    def _mode(self) -> int:
        return os.O_RDWR if self.writable else os.O_RDONLY

    def settle(self, own: int | None = None, patience: float | None = None) -> None:
        """In a forked child: put a description of its own, with its liveness lock, in the place of the inherited one.

        The parent's stays as it is: closing the child's descriptor of it unlocks nothing. `own` is one that the parent
        has prepared; without it, the parent can have let go of its handle before this child took a liveness lock.
        """
        fresh = self.reopen() if own is None else own
        try:
            if own is None and self.handle_count:
                locks.try_lock(fresh, slot, self.handle_count)
                self._require_liveness(fresh, patience)
            with lock:
                self.require_descriptor()
                locks.unlock(fresh, slot + self.handle_count, 0)
                if self.handle_count:
                    locks.try_lock(fresh, slot, self.handle_count)
                os.dup2(fresh, self.fd, inheritable=False)
                self.slot, self.borrowed = slot, False
        finally:
            os.close(fresh)
        self.settled()

    def settled(self) -> None:
        """The description has changed."""

    def _require_liveness(self, fresh: int, patience: float | None) -> None:
        """Raise an error if the object had ended before this description took its liveness lock."""
        if self.path is None:
            return
        # A process that ends an object looks for liveness locks and unlinks the file in one hold of the guard.
        if not locks.wait_for(fresh, patience=patience, exclusive=False):
            raise locks.stuck(fresh, self)
        if not os.fstat(fresh).st_nlink and not locks.object_is_alive(fresh):
            raise KernelError(
                NTSTATUS.STATUS_INVALID_HANDLE,
                f"{self} has ended: this process was forked by other means than os.fork, and its parent closed the "
                "last handle before this process used one. Open it in the child, or fork with os.fork",
            )
        locks.drop_guard(fresh)
