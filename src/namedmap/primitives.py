"""Mutex, Semaphore and Event: shared by name between processes, in the namespace of file mappings.

A mutex belongs to who acquired it: to the *thread* after `acquire` or `with`, to the *asyncio task* after
`acquire_async` or `async with`. It is recursive for its owner, and keeps out everybody else, also other tasks of the
same thread. An owner that ends (a thread, a task, a process, by SIGKILL as well) abandons it: the next one gets it, and
is told by a warning and by `abandoned`, since what the mutex protects may be half changed.
"""

import contextlib
import operator
import warnings
from typing import Self, Unpack

from namedmap import errors, waits
from namedmap._platform import functions
from namedmap._platform import waits as platform
from namedmap.constants import (
    ERROR_ALREADY_EXISTS,
    ERROR_INVALID_NAME,
    EVENT_ALL_ACCESS,
    MUTEX_ALL_ACCESS,
    SEMAPHORE_ALL_ACCESS,
)
from namedmap.sharing import Sharing, attributes

_MOST = 2**31 - 1


class AbandonedMutexWarning(RuntimeWarning):
    """A mutex was acquired whose owner ended without releasing it: what it protects may be half changed."""


class Primitive:
    """A handle, and what the three classes do with it alike."""

    _handle: int | None = None
    _name: str | None = None
    _created = False

    @property
    def name(self) -> str | None:
        """The name, None for an unnamed object."""
        return self._name

    @property
    def created(self) -> bool:
        """Whether this call made the object, rather than found it."""
        return self._created

    @property
    def handle(self) -> int:
        """The handle, for the functions of namedmap.win32; closed with this object."""
        if self._handle is None:
            raise self._is_closed()
        return self._handle

    @property
    def closed(self) -> bool:
        return self._handle is None

    def close(self) -> None:
        """Close the handle; without effect the second time. The last handle of all takes the object away."""
        handle, self._handle = self._handle, None
        held = self._unbind()
        if handle is not None and held is not None and platform.refers(handle, held):
            functions.CloseHandle(handle)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the end of the interpreter everything has been closed
            self.close()

    def __repr__(self) -> str:
        name = "unnamed" if self._name is None else repr(self._name)
        return f"<namedmap.{type(self).__name__} {name}{' closed' if self.closed else ''}>"

    def __reduce__(self) -> tuple[object, ...]:
        """By name: the receiver opens the object, which must exist by then."""
        if self._name is None:
            raise TypeError(f"an unnamed {type(self).__name__} cannot be sent to another process: give it a name")
        return type(self).open, (self._name,)

    def _adopt(self, handle: int | None, name: str | None, *, new: bool = False, opened: bool = False) -> Self:
        """Take over the handle from a Create or Open function; `new`: the object must not have existed."""
        if handle is None:
            if opened and not name:
                raise errors.of(int(ERROR_INVALID_NAME), f"there is no {type(self).__name__.lower()} without a name")
            raise errors.last(by_name=True)
        existed = opened or functions.GetLastError() == ERROR_ALREADY_EXISTS
        if new and existed:
            functions.CloseHandle(handle)
            raise errors.of(
                int(ERROR_ALREADY_EXISTS), f"{type(self).__name__.lower()} {name!r} exists: open or open_or_create it"
            )
        self._handle, self._name, self._created = handle, name or None, not existed
        self._bind(handle)
        return self

    @classmethod
    def open(cls, name: str) -> Self:
        """Open the object of this name. Raises FileNotFoundError."""
        raise NotImplementedError

    def _bind(self, handle: int) -> None:
        raise NotImplementedError

    def _unbind(self) -> platform.Dispatcher | None:
        raise NotImplementedError

    def _is_closed(self) -> ValueError:
        return ValueError(f"this {type(self).__name__} is closed")

    def note(self, result: int) -> None:
        """What a wait that took the object said about it."""

    def give_back(self) -> None:
        """Undo a wait that took the object."""

    def _take(self, held: platform.Dispatcher | None, timeout: float | None) -> bool:
        """Take the object for the calling thread; `held` is its own."""
        if held is None:
            raise self._is_closed()
        if timeout is not None:
            waits.check(timeout)
        owner = platform.thread.owner
        try:
            result = held.take(owner)
            if result is None and timeout != 0:
                result = platform.glance((held,), owner)
                if result is None:
                    result = platform.sleep(self.handle, owner, timeout)
        except platform.KernelError as error:
            raise errors.of(error.winerror, error.detail) from None
        if result is None:
            return False
        if result:
            waits.note([self], result)
        return True


class Mutex(Primitive):
    """A recursive lock between threads, tasks and processes.

    >>> with Mutex("example.mutex") as mutex:
    ...     mutex.owned(), mutex.acquire(timeout=1), mutex.release()
    (True, True, None)
    """

    _held: platform.Mutant | None = None

    #: Whether the last acquisition through this object took over an abandoned mutex.
    abandoned = False

    def __init__(self, name: str | None = None, **who: Unpack[Sharing]) -> None:
        """Open the mutex of this name, or create it; without a name, create one. `who` may use it: namedmap.sharing."""
        self._adopt(functions.CreateMutex(attributes(**who), False, name), name)

    @classmethod
    def create(cls, name: str | None = None, *, owned: bool = False, **who: Unpack[Sharing]) -> Self:
        """Create a mutex, which the calling thread owns if asked. Raises FileExistsError."""
        return cls.__new__(cls)._adopt(functions.CreateMutex(attributes(**who), owned, name), name, new=True)

    @classmethod
    def open(cls, name: str) -> Self:
        """Open the mutex of this name. Raises FileNotFoundError."""
        return cls.__new__(cls)._adopt(functions.OpenMutex(MUTEX_ALL_ACCESS, False, name), name, opened=True)

    @classmethod
    def open_or_create(cls, name: str | None = None, **who: Unpack[Sharing]) -> Self:
        """As the constructor; `created` says which it was."""
        return cls(name, **who)

    def _bind(self, handle: int) -> None:
        self._held = platform.object_of(handle, platform.Mutant)

    def _unbind(self) -> platform.Mutant | None:
        held, self._held = self._held, None
        return held

    def acquire(self, timeout: float | None = None) -> bool:
        """Acquire for the calling thread; wait `timeout` seconds at most (0: only try, None: for ever).

        Returns whether it was acquired. An abandoned mutex is acquired, with an AbandonedMutexWarning.
        """
        self.abandoned = False
        return self._take(self._held, timeout)

    async def acquire_async(self, timeout: float | None = None) -> bool:
        """Acquire for the running asyncio task, without blocking its loop; otherwise as `acquire`."""
        return await waits.wait_any_async([self], timeout) is not None

    def release(self) -> None:
        """Give up one ownership of the calling thread, or of the running task. Raises RuntimeError if neither owns."""
        held = self._held
        if held is None:
            raise self._is_closed()
        owner: platform.Owner = platform.thread.owner
        if held.owner != owner:
            owner = waits.running_task() or owner
        try:
            held.release_by(owner)
        except platform.KernelError as error:
            raise errors.of(error.winerror, error.detail) from None

    def locked(self) -> bool:
        """Whether anybody owns it."""
        return self._query()[0] < 1

    def owned(self) -> bool:
        """Whether the calling thread or the running task owns it."""
        held = self._held
        if held is None:
            raise self._is_closed()
        return held.owner is not None and held.owner in (platform.thread.owner, waits.running_task())

    def _query(self) -> tuple[int, bool, bool]:
        held = self._held
        if held is None:
            raise self._is_closed()
        with errors.translated():
            return held.query(platform.thread.owner)

    def note(self, result: int) -> None:
        self.abandoned = result >= platform.ABANDONED
        if not self.abandoned:
            return
        warnings.warn(
            f"{self!r} was abandoned: its owner ended while it held it; check what it protects",
            AbandonedMutexWarning,
            stacklevel=waits.stack_depth(),
        )

    def give_back(self) -> None:
        self.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        await self.acquire_async()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()


class Semaphore(Primitive):
    """A counter that waits until it is above 0: `acquire` takes 1 from it, `release` adds to it up to its maximum.

    >>> slots = Semaphore("example.slots", value=1, maximum=2)
    >>> slots.acquire(), slots.acquire(timeout=0), slots.release(2)
    (True, False, 0)
    """

    _held: platform.Semaphore | None = None

    def __init__(
        self, name: str | None = None, value: int = 1, maximum: int | None = None, **who: Unpack[Sharing]
    ) -> None:
        """Open the semaphore of this name, which keeps its own values, or create it."""
        most = _MOST if maximum is None else maximum
        self._adopt(functions.CreateSemaphore(attributes(**who), value, most, name), name)

    @classmethod
    def create(
        cls, name: str | None = None, value: int = 1, maximum: int | None = None, **who: Unpack[Sharing]
    ) -> Self:
        """Create a semaphore. Raises FileExistsError; ValueError unless 0 <= value <= maximum and maximum > 0."""
        most = _MOST if maximum is None else maximum
        return cls.__new__(cls)._adopt(functions.CreateSemaphore(attributes(**who), value, most, name), name, new=True)

    @classmethod
    def open(cls, name: str) -> Self:
        """Open the semaphore of this name. Raises FileNotFoundError."""
        return cls.__new__(cls)._adopt(functions.OpenSemaphore(SEMAPHORE_ALL_ACCESS, False, name), name, opened=True)

    @classmethod
    def open_or_create(
        cls, name: str | None = None, value: int = 1, maximum: int | None = None, **who: Unpack[Sharing]
    ) -> Self:
        """As the constructor; `created` says which it was."""
        return cls(name, value, maximum, **who)

    def _bind(self, handle: int) -> None:
        self._held = platform.object_of(handle, platform.Semaphore)

    def _unbind(self) -> platform.Semaphore | None:
        held, self._held = self._held, None
        return held

    def _use(self) -> platform.Semaphore:
        if self._held is None:
            raise self._is_closed()
        return self._held

    def acquire(self, timeout: float | None = None) -> bool:
        """Take 1; wait `timeout` seconds at most (0: only try, None: for ever). Returns whether it was taken."""
        return self._take(self._held, timeout)

    async def acquire_async(self, timeout: float | None = None) -> bool:
        """`acquire`, without blocking the event loop."""
        return await waits.wait_any_async([self], timeout) is not None

    def release(self, count: int = 1) -> int:
        """Add to the value; returns what it was. Raises ValueError above the maximum, or for counts below 1."""
        count = operator.index(count)
        if count < 1:
            raise ValueError(f"a semaphore can be released 1 time or more, not {count}")
        held = self._held
        if held is None:
            raise self._is_closed()
        try:
            return held.add(count)
        except platform.KernelError as error:
            raise errors.of(error.winerror, error.detail) from None

    def give_back(self) -> None:
        self.release()

    @property
    def value(self) -> int:
        """What can be taken at the moment."""
        held = self._use()
        with errors.translated():
            return held.query()[0]

    @property
    def maximum(self) -> int:
        held = self._use()
        with errors.translated():
            return held.query()[1]

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        await self.acquire_async()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()


class Event(Primitive):
    """A flag to wait for. A manual-reset event lets all pass until it is cleared, an auto-reset one a single waiter.

    >>> event = Event("example.event", manual=False)
    >>> event.set()
    >>> event.wait(), event.wait(timeout=0)
    (True, False)
    """

    _held: platform.Event | None = None

    def __init__(
        self, name: str | None = None, *, manual: bool = True, signalled: bool = False, **who: Unpack[Sharing]
    ) -> None:
        """Open the event of this name, which keeps its kind and state, or create it."""
        self._adopt(functions.CreateEvent(attributes(**who), manual, signalled, name), name)

    @classmethod
    def create(
        cls, name: str | None = None, *, manual: bool = True, signalled: bool = False, **who: Unpack[Sharing]
    ) -> Self:
        """Create an event. Raises FileExistsError."""
        return cls.__new__(cls)._adopt(
            functions.CreateEvent(attributes(**who), manual, signalled, name), name, new=True
        )

    @classmethod
    def open(cls, name: str) -> Self:
        """Open the event of this name. Raises FileNotFoundError."""
        return cls.__new__(cls)._adopt(functions.OpenEvent(EVENT_ALL_ACCESS, False, name), name, opened=True)

    @classmethod
    def open_or_create(
        cls, name: str | None = None, *, manual: bool = True, signalled: bool = False, **who: Unpack[Sharing]
    ) -> Self:
        """As the constructor; `created` says which it was."""
        return cls(name, manual=manual, signalled=signalled, **who)

    def _bind(self, handle: int) -> None:
        self._held = platform.object_of(handle, platform.Event)

    def _unbind(self) -> platform.Event | None:
        held, self._held = self._held, None
        return held

    def _use(self) -> platform.Event:
        if self._held is None:
            raise self._is_closed()
        return self._held

    @property
    def manual(self) -> bool:
        """Whether it stays set until it is cleared."""
        return self._use().manual

    def set(self) -> None:
        """Let all pass who wait and come (manual-reset), or exactly one, now or later (auto-reset)."""
        held = self._held
        if held is None:
            raise self._is_closed()
        try:
            held.set()
        except platform.KernelError as error:
            raise errors.of(error.winerror, error.detail) from None

    def clear(self) -> None:
        """Let nobody pass any more; who was let pass goes on."""
        held = self._use()
        with errors.translated():
            held.reset()

    def pulse(self) -> None:
        """Let pass who waits at this moment (manual-reset: all, auto-reset: one), and clear."""
        held = self._use()
        with errors.translated():
            held.pulse()

    def give_back(self) -> None:
        if not self.manual:
            self.set()

    def is_set(self) -> bool:
        """Whether a wait would pass; does not take anything."""
        held = self._use()
        with errors.translated():
            return held.query()[1]

    def wait(self, timeout: float | None = None) -> bool:
        """Wait `timeout` seconds at most (None: for ever) until it is set; an auto-reset event is clear then.

        Returns whether it was set.
        """
        return self._take(self._held, timeout)

    async def wait_async(self, timeout: float | None = None) -> bool:
        """`wait`, without blocking the event loop."""
        return await waits.wait_any_async([self], timeout) is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
