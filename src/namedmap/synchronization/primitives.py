"""Mutex, Semaphore and Event: shared by name between processes, in the namespace of file mappings.

A mutex belongs to its acquirer: to the *thread* after `acquire` or `with`, to the *asyncio task* after
`acquire_async` or `async with`. It is recursive for its owner, and keeps out everybody else, also other tasks of the
same thread. An owner that ends (a thread, a task, a process, by SIGKILL as well) abandons it: the next one gets it, and
is told by a warning and by `abandoned`, since what the mutex protects may be half changed.
"""

import operator
import warnings
from collections.abc import Callable
from typing import Self, Unpack

from namedmap import _contract as contract
from namedmap import errors
from namedmap._contract import Owner
from namedmap._failure import Failure
from namedmap._finalizer import finalizer
from namedmap._platform import core, synchronization
from namedmap._platform import waits as platform
from namedmap.constants import ERROR_ALREADY_EXISTS
from namedmap.permissions import Sharing, permissions
from namedmap.synchronization import waits

_MOST = 2**31 - 1


class AbandonedMutexWarning(RuntimeWarning):
    """A mutex was acquired whose owner ended without releasing it: what it protects may be half changed."""


class Latch:
    """The part of an object that the compiled core knows, which takes over the methods that only change state words."""

    _held: contract.Waitable | None = None
    #: Of a mutex: whether the last acquisition through this object took over an abandoned one.
    abandoned = False


if core is not None:
    globals()["Latch"] = core.Latch


class Primitive(Latch):
    """A handle and its object, and what the three classes do with them alike. Each of these says which kind it has."""

    _handle: contract.WaitableHandle | None = None
    _name: str | None = None
    _created = False

    def _adopt(self, handle: contract.WaitableHandle, name: str | None, created: bool) -> Self:
        """Take over a handle, and its object."""
        self._handle, self._held, self._name, self._created = handle, handle.object, name, created
        return self

    @classmethod
    def open(cls, name: str) -> Self:
        """Open the object of this name. Raises FileNotFoundError."""
        raise NotImplementedError

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
        return self.waited().value

    def waited(self) -> contract.WaitableHandle:
        """The handle, as the platform knows it. Raises ValueError once it is closed."""
        if self._handle is None:
            raise self._is_closed()
        return self._handle

    @property
    def closed(self) -> bool:
        return self._handle is None

    def close(self) -> None:
        """Close the handle; without effect the second time. The last handle of all takes the object away."""
        handle, self._handle, self._held = self._handle, None, None
        if handle is not None:
            handle.close()

    @finalizer
    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        name = "unnamed" if self._name is None else repr(self._name)
        return f"<namedmap.{type(self).__name__} {name}{' closed' if self.closed else ''}>"

    def __reduce__(self) -> tuple[object, ...]:
        """By name: the receiver opens the object, which must exist by then."""
        if self._name is None:
            raise TypeError(f"an unnamed {type(self).__name__} cannot be sent to another process: give it a name")
        return type(self).open, (self._name,)

    def _is_closed(self) -> ValueError:
        return ValueError(f"this {type(self).__name__} is closed")

    def _must_be_new(self) -> Self:
        """The result of `create`: this object, unless another was found in its place."""
        if not self._created:
            self.close()
            kind = type(self).__name__.lower()
            raise errors.of(int(ERROR_ALREADY_EXISTS), f"{kind} {self._name!r} exists: open it, or use open_or_create")
        return self

    def note(self, result: int) -> None:
        """Keep what a wait that took the object said about it."""

    def give_back(self) -> None:
        """Undo a wait that took the object."""

    def _take(self, held: contract.Waitable | None, timeout: float | None) -> bool:
        """Take the object for the calling thread; `held` is its own."""
        if held is None:
            raise self._is_closed()
        if timeout is not None:
            timeout = waits.seconds(timeout)
        owner = platform.thread.owner
        try:
            result = held.take(owner)
            if result is None and timeout != 0:
                result = platform.wait_longer(self.waited(), owner, timeout)
        except Failure as failure:
            raise errors.translate(failure) from None
        if result is None:
            return False
        if result:
            waits.note([self], result)
        return True


class _Acquired(Primitive):
    """An object that is acquired and released, by a with-statement too."""

    release: Callable[..., object]

    def acquire(self, timeout: float | None = None) -> bool:
        """Take 1; wait `timeout` seconds at most (0: only try, None: for ever). Returns whether it was taken."""
        return self._take(self._held, timeout)

    async def acquire_async(self, timeout: float | None = None) -> bool:
        """`acquire`, without blocking the event loop; a mutex, for the running asyncio task."""
        return await waits.wait_any_async([self], timeout) is not None

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


class Mutex(_Acquired):
    """A recursive lock between threads, tasks and processes.

    >>> with Mutex("example.mutex") as mutex:
    ...     mutex.owned(), mutex.acquire(timeout=1), mutex.release()
    (True, True, None)
    """

    _handle: contract.MutexHandle | None = None
    _held: contract.Mutex | None

    def __init__(self, name: str | None = None, **who: Unpack[Sharing]) -> None:
        """Open the mutex of this name, or create it; without a name, create one. `who` else may use it: permissions."""
        self._create(name, False, who)

    @classmethod
    def create(cls, name: str | None = None, *, owned: bool = False, **who: Unpack[Sharing]) -> Self:
        """Create a mutex, which the calling thread owns if asked. Raises FileExistsError."""
        return cls.__new__(cls)._create(name, owned, who)._must_be_new()

    @classmethod
    def open(cls, name: str) -> Self:
        """Open the mutex of this name. Raises FileNotFoundError."""
        with errors.translated():
            handle = synchronization.open_mutex(name)
        return cls.__new__(cls)._adopt(handle, name, False)

    @classmethod
    def open_or_create(cls, name: str | None = None, **who: Unpack[Sharing]) -> Self:
        """As the constructor; `created` says which it was."""
        return cls(name, **who)

    def _create(self, name: str | None, owned: bool, who: Sharing) -> Self:
        try:
            handle, created = synchronization.create_mutex(name, owned=owned, permissions=permissions(**who))
        except Failure as failure:
            raise errors.translate(failure) from None
        return self._adopt(handle, name, created)

    def _use(self) -> contract.Mutex:
        if self._held is None:
            raise self._is_closed()
        return self._held

    def acquire(self, timeout: float | None = None) -> bool:
        """Acquire for the calling thread; wait `timeout` seconds at most (0: only try, None: for ever).

        Returns whether it was acquired. An abandoned mutex is acquired, with an AbandonedMutexWarning.
        """
        self.abandoned = False
        return self._take(self._held, timeout)

    def release(self) -> None:
        """Give up one ownership of the calling thread, or of the running task. Raises RuntimeError if neither owns."""
        held = self._held
        if held is None:
            raise self._is_closed()
        owner: Owner = platform.thread.owner
        if held.owner != owner:
            owner = waits.running_task() or owner
        try:
            held.release_by(owner)
        except Failure as failure:
            raise errors.translate(failure) from None

    def locked(self) -> bool:
        """Whether anybody owns it."""
        return self._query()[0] < 1

    def owned(self) -> bool:
        """Whether the calling thread or the running task owns it."""
        held = self._use()
        with errors.translated():
            if held.is_owned_by(platform.thread.owner):
                return True
            task = waits.running_task()
            return task is not None and held.is_owned_by(task)

    def _query(self) -> tuple[int, bool, bool]:
        held = self._use()
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


class Semaphore(_Acquired):
    """A counter that waits until it is above 0: `acquire` takes 1 from it, `release` adds to it up to its maximum.

    >>> slots = Semaphore("example.slots", value=1, maximum=2)
    >>> slots.acquire(), slots.acquire(timeout=0), slots.release(2)
    (True, False, 0)
    """

    _handle: contract.SemaphoreHandle | None = None
    _held: contract.Semaphore | None

    def __init__(
        self, name: str | None = None, value: int = 1, maximum: int | None = None, **who: Unpack[Sharing]
    ) -> None:
        """Open the semaphore of this name, which keeps its own values, or create it."""
        self._create(name, value, maximum, who)

    @classmethod
    def create(
        cls, name: str | None = None, value: int = 1, maximum: int | None = None, **who: Unpack[Sharing]
    ) -> Self:
        """Create a semaphore. Raises FileExistsError; ValueError unless 0 <= value <= maximum and maximum > 0."""
        return cls.__new__(cls)._create(name, value, maximum, who)._must_be_new()

    @classmethod
    def open(cls, name: str) -> Self:
        """Open the semaphore of this name. Raises FileNotFoundError."""
        with errors.translated():
            handle = synchronization.open_semaphore(name)
        return cls.__new__(cls)._adopt(handle, name, False)

    @classmethod
    def open_or_create(
        cls, name: str | None = None, value: int = 1, maximum: int | None = None, **who: Unpack[Sharing]
    ) -> Self:
        """As the constructor; `created` says which it was."""
        return cls(name, value, maximum, **who)

    def _create(self, name: str | None, value: int, maximum: int | None, who: Sharing) -> Self:
        value, most = operator.index(value), _MOST if maximum is None else operator.index(maximum)
        try:
            handle, created = synchronization.create_semaphore(name, value, most, permissions=permissions(**who))
        except Failure as failure:
            raise errors.translate(failure) from None
        return self._adopt(handle, name, created)

    def _use(self) -> contract.Semaphore:
        if self._held is None:
            raise self._is_closed()
        return self._held

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
        except Failure as failure:
            raise errors.translate(failure) from None

    @property
    def value(self) -> int:
        """The units that can be taken at the moment."""
        held = self._use()
        with errors.translated():
            return held.query()[0]

    @property
    def maximum(self) -> int:
        held = self._use()
        with errors.translated():
            return held.query()[1]


class Event(Primitive):
    """A flag to wait for. A manual-reset event lets all pass until it is cleared, an auto-reset one a single waiter.

    >>> event = Event("example.event", manual=False)
    >>> event.set()
    >>> event.wait(), event.wait(timeout=0)
    (True, False)
    """

    _handle: contract.EventHandle | None = None
    _held: contract.Event | None

    def __init__(
        self, name: str | None = None, *, manual: bool = True, signaled: bool = False, **who: Unpack[Sharing]
    ) -> None:
        """Open the event of this name, which keeps its kind and state, or create it."""
        self._create(name, manual, signaled, who)

    @classmethod
    def create(
        cls, name: str | None = None, *, manual: bool = True, signaled: bool = False, **who: Unpack[Sharing]
    ) -> Self:
        """Create an event. Raises FileExistsError."""
        return cls.__new__(cls)._create(name, manual, signaled, who)._must_be_new()

    @classmethod
    def open(cls, name: str) -> Self:
        """Open the event of this name. Raises FileNotFoundError."""
        with errors.translated():
            handle = synchronization.open_event(name)
        return cls.__new__(cls)._adopt(handle, name, False)

    @classmethod
    def open_or_create(
        cls, name: str | None = None, *, manual: bool = True, signaled: bool = False, **who: Unpack[Sharing]
    ) -> Self:
        """As the constructor; `created` says which it was."""
        return cls(name, manual=manual, signaled=signaled, **who)

    def _create(self, name: str | None, manual: bool, signaled: bool, who: Sharing) -> Self:
        try:
            handle, created = synchronization.create_event(
                name, manual=bool(manual), signaled=bool(signaled), permissions=permissions(**who)
            )
        except Failure as failure:
            raise errors.translate(failure) from None
        return self._adopt(handle, name, created)

    def _use(self) -> contract.Event:
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
        except Failure as failure:
            raise errors.translate(failure) from None

    def clear(self) -> None:
        """Let nobody pass any more; waiters that were let pass go on."""
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


if core is not None:
    core.quicken(Mutex, Semaphore, Event)
