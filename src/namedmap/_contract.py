"""The operations that a platform owes the Python classes: they take Python values, and raise Failure.

`_platform` chooses the implementation; a type checker holds each implementation against these protocols. The classes
call nothing else. `namedmap.win32` and `namedmap.nt` are another face of the same objects, which reports by return
values, last error and NTSTATUS; neither face is built on the other.

    sections          memory, and files seen as memory, by handles
    files             files to be mapped
    memory            the pages of views, by address
    synchronization   mutexes, semaphores and events, by handles
    waits             waiting for several of them; who owns a mutex

Sizes and offsets are in bytes, times in seconds. An operation that creates returns whether the object is new beside the
handle, so that nobody has to ask the thread afterwards. An operation raises Failure, and TypeError for an argument of
another kind than is declared; nothing else, unless a signal handler has raised it. `tests/classes` holds an
implementation to this.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from os import PathLike
from typing import NamedTuple, Protocol

from namedmap.access import Access

#: The owner of a mutex: a thread, a greenlet, or an asyncio task. It only has to be hashable and comparable.
Owner = object


class Permissions(NamedTuple):
    """The others who may use a new object. All None: the user alone."""

    mode: int | None = None  # the bits of a file mode
    group: str | int | None = None  # to which the group bits belong, by name or number; None: that of the process
    descriptor: str | None = None  # a security descriptor in SDDL, in the place of both


NOBODY_ELSE = Permissions()


# -- handles and what they refer to ------------------------------------------------------------------------------------


class Handle(Protocol):
    """An open handle to an object. Its owner closes it, or the end of the process does."""

    @property
    def value(self) -> int:
        """The number by which the Win32 functions know it."""

    def close(self) -> None:
        """Close it; without effect if it is closed, or protected from closing."""


class Passage(Protocol):
    """The way on which other processes of the user get a section, which it keeps alive while it is open."""

    def intact(self) -> bool:
        """Whether other code has left it open."""

    def sendable(self) -> object:
        """An object to pickle for another process, which gives it to `Sections.receive` while the passage is open.

        Pickled among the arguments of a new process of multiprocessing, it is good for that process, and once.
        """

    def close(self) -> None:
        """Close it, unless other code has done so."""


class MappedMemory(Protocol):
    """The bytes of a view. They stay mapped as long as anybody has this object, or a buffer of it."""

    @property
    def address(self) -> int:
        """Where the first of them lies."""

    def buffer(self) -> memoryview:
        """The bytes; read-only if the view is."""


class SectionHandle(Handle, Protocol):
    """A handle to memory that can be mapped."""

    @property
    def constant_size(self) -> int | None:
        """The size that was asked for; None over a file, which others may extend."""

    @property
    def may_vanish(self) -> bool:
        """Whether a touch of mapped memory can be a fault: over a file, reserved pages, another user's object."""

    def size(self) -> int:
        """The present size, as it was asked for."""

    def extend(self, size: int) -> int:
        """Make a section over a file longer, and the file; returns the present size."""

    def map(self, access: Access, offset: int, size: int) -> MappedMemory:
        """Map a view of bytes that lie within the section, at any offset."""

    def open_data(self) -> int:
        """A new descriptor of the section's bytes, which begin at 0; the caller closes it. It keeps no name alive.

        Fails where memory has no descriptors.
        """

    def hand_over(self) -> Passage:
        """A passage for other processes, which need no name; the caller closes it."""


class FileHandle(Handle, Protocol):
    """A handle to a file that is to be mapped."""

    def size(self) -> int | None:
        """The length of the file; None for a device, which has none."""

    def grow_sparsely(self, size: int) -> None:
        """Make the file longer without giving it space: what is not written takes none, and reads as zeros."""

    def create_section(
        self, name: str | None, size: int, access: Access, *, inheritable: bool = False
    ) -> tuple[SectionHandle, bool]:
        """A section over the file, new or the one of this name. Size 0 is the file's; a shorter file grows."""


class Waitable(Protocol):
    """An object that can be waited for. It refuses once its handle has been closed."""

    def take(self, owner: Owner) -> int | None:
        """Take it if it is there: 0, or ABANDONED for a mutex whose owner ended; None if it is not there."""


class Mutex(Waitable, Protocol):
    """A recursive lock with an owner."""

    @property
    def owner(self) -> Owner | None:
        """The owner, as far as this process knows."""

    def is_owned_by(self, owner: Owner) -> bool:
        """Whether this owner has it."""

    def release_by(self, owner: Owner) -> int:
        """Give up one ownership."""

    def query(self, owner: Owner) -> tuple[int, bool, bool]:
        """(1 if it is free, else 1 minus the times it is owned; whether this owner has it; whether it is abandoned)."""


class Semaphore(Waitable, Protocol):
    """A counter with a maximum."""

    def add(self, number: int) -> int:
        """Release; returns the count before."""

    def query(self) -> tuple[int, int]:
        """(count, maximum)."""


class Event(Waitable, Protocol):
    """A flag. A manual-reset one stays set; an auto-reset one lets a single waiter pass."""

    @property
    def manual(self) -> bool: ...

    def set(self) -> None: ...

    def reset(self) -> None: ...

    def pulse(self) -> None: ...

    def query(self) -> tuple[bool, bool]:
        """(manual-reset, set)."""


class WaitableHandle(Handle, Protocol):
    """A handle to something that can be waited for."""

    @property
    def object(self) -> Waitable: ...


class MutexHandle(WaitableHandle, Protocol):
    """A handle to a mutex."""

    @property
    def object(self) -> Mutex: ...


class SemaphoreHandle(WaitableHandle, Protocol):
    """A handle to a semaphore."""

    @property
    def object(self) -> Semaphore: ...


class EventHandle(WaitableHandle, Protocol):
    """A handle to an event."""

    @property
    def object(self) -> Event: ...


# -- the operations ----------------------------------------------------------------------------------------------------


class Sections(Protocol):
    """Sections by name, and without one."""

    def create(
        self,
        name: str | None,
        size: int,
        access: Access,
        *,
        reserve: bool = False,
        permissions: Permissions = ...,
        inheritable: bool = False,
    ) -> tuple[SectionHandle, bool]:
        """Memory of this name, new or there, and whether it is new. `reserve`: pages are committed one by one."""

    def open(self, name: str, access: Access, *, size: int | None = None, inheritable: bool = False) -> SectionHandle:
        """The section of this name. Fails if it cannot have this size (None: whatever it has).

        Where the system tells openers a rounded size, a size that rounds to it is the handle's.
        """

    def receive(self, sent: object, access: Access) -> SectionHandle:
        """The section of a passage, by what its process has sent."""


class Files(Protocol):
    """Files to be mapped."""

    def open(
        self, path: str | PathLike[str], access: Access, *, create: bool = False, permissions: Permissions = ...
    ) -> tuple[FileHandle, bool]:
        """Open a file, or make it, and whether it was made.

        A str is a path as Win32 takes it; any other path-like object is the system's own, taken as it is.
        """

    def of_descriptor(self, descriptor: int, access: Access) -> FileHandle:
        """A handle to the file of a descriptor, which stays the caller's; byte-range locks end when that is closed."""


class Memory(Protocol):
    """The pages of views, by address. Where a touch would be a signal these fail."""

    @property
    def ADVICE(self) -> Sequence[str]:
        """The advice that the system knows."""

    def read(self, address: int, size: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None: ...

    def fill(self, address: int, content: memoryview) -> None:
        """Store much in new memory of a view, for everybody who sees the section."""

    def reader(self, address: int) -> Callable[[int, int], bytes] | None:
        """A quicker `read` (offset, size) for the view at an address, as long as it is mapped; None without one."""

    def copy(self, address: int, size: int) -> MappedMemory:
        """A copy-on-write view of what a view shows at an address."""

    def flush(self, address: int, size: int) -> None:
        """Have changed pages written to the file."""

    def write_through(self, address: int) -> None:
        """Wait until the disk has what was flushed to the file of a view, and the file's length."""

    def protect(self, address: int, size: int, access: Access) -> None:
        """Change what may be done with the pages."""

    def commit(self, address: int, size: int, access: Access) -> None:
        """Give reserved pages their space, for all processes."""

    def lock(self, address: int, size: int) -> None:
        """Keep pages in memory."""

    def unlock(self, address: int, size: int) -> None:
        """End `lock`."""

    def advise(self, address: int, size: int, advice: str) -> None:
        """Say how the pages will be used."""

    def resident(self, address: int, size: int) -> bytes:
        """A byte for each page: 1 if it is in memory, 0 if not."""

    def is_view(self, address: int) -> bool:
        """Whether a view is mapped at an address."""


class Synchronization(Protocol):
    """Mutexes, semaphores and events by name, and without one; and whether they are new."""

    def create_mutex(
        self, name: str | None, *, owned: bool = False, permissions: Permissions = ...
    ) -> tuple[MutexHandle, bool]: ...

    def open_mutex(self, name: str) -> MutexHandle: ...

    def create_semaphore(
        self, name: str | None, value: int, maximum: int, *, permissions: Permissions = ...
    ) -> tuple[SemaphoreHandle, bool]: ...

    def open_semaphore(self, name: str) -> SemaphoreHandle: ...

    def create_event(
        self, name: str | None, *, manual: bool, signaled: bool, permissions: Permissions = ...
    ) -> tuple[EventHandle, bool]: ...

    def open_event(self, name: str) -> EventHandle: ...


class PendingWait(Protocol):
    """A wait that does not block a thread. Leaving the with-block ends it, and takes nothing.

    Those of a process that wait for one mutex go in the order of their first `when_changed`; a wait that is called and
    leaves without the object has the next one called.
    """

    def attempt(self) -> int | None:
        """Take what is waited for if it is there: the result as of `Waits.wait`; else None."""

    def when_changed(self, call: Callable[[], object]) -> Callable[[], None]:
        """After an attempt that failed: call, from any thread, when another may succeed. Returns what ends the calls.

        The call may come in the middle of a release, and must not block; it may come more than once.
        """


class CallingThread(Protocol):
    """The calling thread, or greenlet where those stand for threads."""

    @property
    def owner(self) -> Owner: ...


class Waits(Protocol):
    """Waiting. A result is 0, or ABANDONED if a mutex was taken whose owner ended; of a wait for any plus the index."""

    @property
    def ABANDONED(self) -> int: ...

    @property
    def thread(self) -> CallingThread: ...

    def wait(
        self, handles: Sequence[WaitableHandle], owner: Owner, seconds: float | None, *, every: bool = False
    ) -> int | None:
        """Wait for any of the objects, or at once for all, so long at most (None: for ever); None: time is over."""

    def wait_longer(self, handle: WaitableHandle, owner: Owner, seconds: float | None) -> int | None:
        """Wait for one object that was not there a moment ago."""

    def begin(
        self, handles: Sequence[WaitableHandle], owner: Owner, *, every: bool = False
    ) -> AbstractContextManager[PendingWait]:
        """Begin a wait that does not block."""

    def ended(self, owner: Owner) -> None:
        """An owner has ended: what it owns is abandoned. (Threads need not be told.)"""
