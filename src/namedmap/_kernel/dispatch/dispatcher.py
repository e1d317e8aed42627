"""Dispatcher objects, as NT calls what can be waited for: their state words, and the queue of their waiters.

The state is words in the control page, changed under the object's guard (but see Mutant, and `state`):

    COUNT         mutant: 1 free, 0 and below owned; semaphore, event: what is there to take
    PERMITS       what was given to threads that wait, and that they have not collected yet
    MAXIMUM       of COUNT
    FLAGS         MANUAL of an event
    GENERATION    goes up when permits are given, or all are released who wait for a manual-reset event
    SEQUENCE      goes up when those who wait for any of their objects have to look again; they sleep on it
    WAITING       not 0: somebody may sleep on SEQUENCE
    SEQUENCE_ALL, WAITING_ALL   the same for those who wait for all of their objects
    PULSED        an auto-reset event was pulsed: one of the latter, to whom it was the last one missing, may take that
    OWNER         lock-free mutant: the seat of its owner's process, 0: free
    GIVER         lock-free objects: on which processor (from 1 on) it was released last: the core spins if that runs
    OWNER_PID     lock-free mutant: the process of its owner, for those who look

Windows gives what is set or released to a waiting thread at once: an event that is set twice while two threads wait
releases both. Hence PERMITS: while threads are *queued*, what is posted goes to them. A waiter that is queued later
finds GENERATION as it saw it, and leaves the permits alone, unless nobody (a stopped process) collects them. The kernel
counts the queued, by locks (see `locks`, WAITERS), so that a permit for a thread that was killed is noticed, and is
there for everybody.

A sleeper reads SEQUENCE, then sets WAITING, then looks at the object, then sleeps unless SEQUENCE has changed. The
changer changes the object, then looks at WAITING, then clears it, then adds to SEQUENCE and wakes. So either the
sleeper sees the change, or the changer sees the sleeper. One sleeper is woken for each permit; one that was woken and
goes without taking anything wakes another. Should a process die between its change and the wake, the sleepers find out
by themselves, since sleeps are short (waiting.SLICE).
"""

import ctypes
import functools
import os
import time
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias, TypeVar, TypeVarTuple

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap._finalizer import finalizer
from namedmap._kernel.dispatch.line import Line, LineForAll, Place
from namedmap._kernel.dispatch.state import LOCK_FREE, SLOW, State, take_seat
from namedmap._kernel.linux import compiled, futex, libc, locks
from namedmap._kernel.linux.lineage import look, ours
from namedmap._kernel.names.controlpage import CONTROL_SIZE, STATE_OFFSET, Control
from namedmap._kernel.names.objectfile import ObjectFile
from namedmap._kernel.objects import kernelobject, postponing
from namedmap._kernel.objects.named import NamedObject
from namedmap._kernel.objects.waitable import Entry, Result

COUNT, PERMITS, MAXIMUM, FLAGS, GENERATION, SEQUENCE, WAITING, SEQUENCE_ALL, WAITING_ALL, PULSED = range(10)
OWNER, GIVER, OWNER_PID = range(10, 13)
_WORDS = 14
_MOST_WAITERS = 1 << 30

#: How long a guard is waited for by those who had better do something else, in seconds.
BRIEF = 0.01
_RESPITE = 1.0


Arguments = TypeVarTuple("Arguments")
Some = TypeVar("Some", bound="Dispatcher")


def under_guard(method: Callable[[Some, *Arguments], Result]) -> Callable[[Some, *Arguments], Result]:
    """Make a method run with the guard, against other processes, and with `mutex`, against other threads.

    Written so that an exception from a signal handler, which can come after any call and at the start of any Python
    function (so also of an __exit__), leaves neither behind; and so that a handler may use the object itself.
    """

    change = locks.SET  # the fastest to look up

    @functools.wraps(method)
    def call(self: Some, /, *arguments: *Arguments) -> Result:
        if not ours[0]:
            look()
        with self.mutex:
            if self.quick_words is None:
                self.require_usable()
            self.depth += 1
            try:
                try:
                    self.call(self.fd, change, locks.GUARD_ON)
                except BlockingIOError:
                    self.wait_for_guard()
                if self.mark:
                    self.keep_away()
                return method(self, *arguments)
            finally:
                if not ours[0]:
                    look()  # a signal handler has forked in C: the guard is the parent's
                try:
                    if self.mark and self.depth == 1:
                        self.let_come()  # before it is counted out: a signal handler must not drop the guard
                finally:
                    self.depth = self.depth - 1 if self.depth else 0  # 0: in a child that was forked in the middle
                    if not self.depth:
                        try:
                            self.call(self.fd, change, locks.GUARD_OFF)
                        except OSError as error:
                            require_ours(error)
                            self.require_descriptor()
                            raise

    return call


class Busy(KernelError):
    """The guard of this object could not be had at once."""

    def __init__(self, held: "Dispatcher") -> None:
        super().__init__(NTSTATUS.STATUS_LOCK_NOT_GRANTED, f"{held} is locked")
        self.held = held


class FileWords:
    """State words through system calls: for the file of another user, who could cut it off under a mapping."""

    def __init__(self, held: "Dispatcher", offset: int, width: int = 4) -> None:
        self._held, self.offset, self.width = held, offset, width

    def __len__(self) -> int:
        return _WORDS

    def __getitem__(self, index: int) -> int:
        raw = os.pread(self._held.fd, self.width, self.offset + self.width * index)
        if len(raw) < self.width:
            raise truncated(self._held)
        return int.from_bytes(raw, "little", signed=True)

    def __setitem__(self, index: int, value: int) -> None:
        raw = value.to_bytes(self.width, "little", signed=True)
        self._held.require_descriptor()
        os.pwrite(self._held.fd, raw, self.offset + self.width * index)


Words: TypeAlias = "FileWords | memoryview[int]"


class _State(ctypes.Array[ctypes.c_int32]):
    """The state words in memory; whoever looks at them through a memoryview keeps the mapping."""

    _type_ = ctypes.c_int32
    _length_ = _WORDS
    mapping: "_Mapping"


class _Mapping:
    """Pages in memory, for as long as anybody has words in them."""

    #: Until there are pages: a signal handler may raise before.
    base: Any = libc.MAP_FAILED

    def __init__(self, fd: int, length: int, what: object) -> None:
        self.length = length
        self.base = libc.mmap(None, length, libc.PROT_READ | libc.PROT_WRITE, libc.MAP_SHARED, fd, 0)
        if self.base == libc.MAP_FAILED:
            raise from_oserror(libc.error("mmap"), f"cannot map the state of {what}")

    @finalizer
    def __del__(self) -> None:
        if self.base != libc.MAP_FAILED:
            libc.munmap(self.base, self.length)

    def keep_from_children(self) -> None:
        """Forked children do not get it."""
        libc.madvise(self.base, self.length, libc.MADV_DONTFORK)

    def forget(self) -> None:
        """In a forked child, which did not get it."""
        self.base = libc.MAP_FAILED

    def words(self, offset: int) -> memoryview:
        state = _State.from_address(self.base + offset)
        state.mapping = self
        return memoryview(state).cast("B")


def truncated(what: object) -> KernelError:
    return KernelError(NTSTATUS.STATUS_FILE_CORRUPT, f"{what}: somebody has truncated its object file")


class Dispatcher(State, NamedObject):
    """The base of mutants, semaphores and events."""

    #: Whether changes may come without the guard: see `state`.
    lock_free = False
    #: Of a mutex: without a handle, but kept by its owner, whose release ends more than that.
    kept_by_owner = False
    #: Whether a forked child must not have the mapping of the words.
    seated: ClassVar[bool] = False

    all_access: ClassVar[int]

    def __init__(self, file: ObjectFile, page: Control) -> None:
        super().__init__(file, page)
        self.lock_free = bool(page.state[2] & LOCK_FREE)
        #: The mark in COUNT that keeps changes away which come without the guard; 0 where there are none.
        self.mark = SLOW if self.lock_free and not self.seated else 0
        self._trusted = False
        #: The state words once they were used, as long as the object is usable.
        self.quick_words: Words | None = None
        #: The same, if they may be looked at without `mutex`.
        self.glimpse: memoryview[int] | None = None
        #: The same, two by two: COUNT and PERMITS are changed in one store. With this, nothing is done twice or not at
        #: all if the process is killed in between.
        self.pairs: Words | None = None
        #: How long that thread waits for the guard, in seconds.
        self.patience = locks.GUARD_TIMEOUT
        # Until when the guard is expected to stay locked, because somebody has waited for it in vain.
        self._stuck_until = 0.0
        #: Those of this process who wait without a thread of their own, for any and for all of their objects.
        self.line: Line | None = None
        self.line_for_all: LineForAll | None = None
        # Their entries. One that dies is of a wait that an exception from a signal handler has kept from leaving.
        self._counted: dict[int, weakref.ref[Entry]] = {}

    # -- the words ----------------------------------------------------------------------------------------------------

    @property
    def words(self) -> Words:
        """The state words of a usable object. Use with `mutex` held."""
        return self.quick_words or self._open_words()

    def _open_words(self) -> Words:
        self.require_usable()
        mapping = self._mapping or self._map()
        offset = self.control.page_at + STATE_OFFSET
        if self._trusted:
            view = mapping.words(offset)
            self.quick_words = self.glimpse = view.cast("i")
            self.pairs = view.cast("q")
        else:
            self.quick_words, self.pairs = FileWords(self, offset), FileWords(self, offset, 8)
        self.arm()
        return self.quick_words

    @property
    def core(self) -> compiled.Core | None:
        """The compiled core, where the words can be changed by instructions of the processor."""
        return compiled.core if self.glimpse is not None else None

    def set_bits(self, word: int, bits: int) -> None:
        """Set bits of a word, atomically (see `futex.set_bits`). With `mutex` held."""
        self.words  # noqa: B018 - which maps it
        (self.core or futex).set_bits(self.address(word), bits)

    def clear_bits(self, word: int, bits: int) -> None:
        """Clear bits of a word, atomically. With `mutex` held."""
        (self.core or futex).clear_bits(self.address(word), bits)

    def arm(self) -> None:
        """Let the compiled core change the words by itself, or not: while that needs to be told to nobody."""
        # No call, and so no other thread that does the same, comes in between.
        told = self.line is not None or self.line_for_all is not None or self.kept_by_owner
        able = compiled.core is not None and self.lock_free and self.glimpse is not None
        ready = able and self.handle_count and not told
        self.quick_fd = self.fd
        self.quick = self._mapping.base + self.control.page_at + STATE_OFFSET if ready and self._mapping else 0

    def keep_away(self) -> None:
        """The guard was taken: no change may come without it."""

    def let_come(self) -> None:
        """The guard is about to be dropped: changes may come again, unless somebody waits who has to be told."""

    def _map(self) -> _Mapping:
        # With the lock, because a child that another thread forks in the middle would have the seat's description.
        with kernelobject.lock:
            fd = self.reopen(share=True)
            try:
                return self._map_from(fd)
            finally:
                os.close(fd)

    def _map_from(self, fd: int) -> _Mapping:
        # A mapping keeps the description that it was made from, with its locks, even in forked children: so it is made
        # from one without locks, where that can be had.
        length = self.control.page_at + CONTROL_SIZE
        info = os.fstat(fd)
        if info.st_size < length:
            raise truncated(self)
        # Nobody else can cut it off.
        self._trusted = self.path is None or (info.st_uid == os.geteuid() and not info.st_mode & 0o022)
        mapping, seat = _Mapping(fd, length, self), 0
        if self.lock_free and self.seated:
            mapping.keep_from_children()
            seat = take_seat(fd, self, functools.partial(self._owner_in, fd))
        if self._mapping is None:  # else a signal handler has used the object meanwhile
            self._mapping, self.seat = mapping, seat
        return self._mapping or mapping

    def _owner_in(self, fd: int) -> int:
        raw = os.pread(fd, 4, self.control.page_at + STATE_OFFSET + 4 * OWNER)
        return int.from_bytes(raw, "little")

    def address(self, word: int) -> int:
        """Where a word lies, for sleeping on it; for words that have been used."""
        return self._mapping.base + self.control.page_at + STATE_OFFSET + 4 * word if self._mapping else 0

    def require_usable(self) -> None:
        """With `mutex` held: the descriptor is open, and its locks are this process's own."""
        if not self.references:
            raise self.closed()
        if self.borrowed:
            self.settle()

    def closed(self) -> KernelError:
        """The error when the object has gone during a call."""
        return KernelError(NTSTATUS.STATUS_INVALID_HANDLE, f"{self}: the handle was closed by another thread")

    def wait_for_guard(self) -> None:
        """Take the guard, which somebody else has."""
        patience = self.patience
        if time.monotonic() < self._stuck_until:
            # The threads of this process come one after the other: they need not all be patient.
            patience = min(patience, BRIEF)
        if not locks.wait_for(self.fd, patience=patience):
            if self.patience < locks.GUARD_TIMEOUT:
                raise Busy(self)
            self._stuck_until = time.monotonic() + _RESPITE
            raise locks.stuck(self.fd, self)

    def _free(self) -> None:
        # A look at the object without a reference holds the mutex, and finds no words and no descriptor afterwards.
        with self.mutex:
            self.quick = 0
            self.quick_words = self.glimpse = self.pairs = None
            super()._free()
            self.fd = self.quick_fd = locks.GONE
            self._mapping = None

    def forked(self) -> None:
        super().forked()
        self.queued = self.depth = self.sleepers = 0
        self._counted = {}
        self.line = self.line_for_all = None
        if self._mapping is not None and self.lock_free and self.seated:
            self._mapping.forget()
            self._mapping, self.seat = None, 0
        if self.borrowed or self._mapping is None:
            self.quick_words = self.glimpse = self.pairs = None
        self.quick = 0

    def add_handle(self) -> None:
        super().add_handle()
        self.arm()

    def _last_handle(self) -> None:
        self.arm()
        super()._last_handle()

    def descriptor_lost(self) -> None:
        super().descriptor_lost()
        self.quick, self.quick_fd = 0, locks.GONE

    # -- who waits ----------------------------------------------------------------------------------------------------

    def wake(self, number: int) -> None:
        """Let so many of those who wait for any of their objects look again."""
        with self.mutex:
            if self._mapping:
                # A truncated file has no sleepers.
                with ignored(OSError):
                    futex.change(self.address(SEQUENCE), number)

    def wake_all_waiters(self) -> None:
        """Let everybody who waits for all of their objects look again; with `mutex` held."""
        with ignored(OSError):
            futex.change(self.address(SEQUENCE_ALL), futex.EVERYBODY)
        if self.line_for_all is not None:
            self.line_for_all.changed()

    def count_in(self, entry: Entry) -> None:
        """Count a waiting thread of this process, with `mutex` held."""
        self._counted[id(entry)] = weakref.ref(entry, functools.partial(self._lost, id(entry)))
        entry.counted = True
        self.queued += 1
        locks.try_lock(self.fd, locks.waiters_at(self.slot), self.queued)

    def count_out(self, entry: Entry) -> None:
        if entry.counted:
            entry.counted = False
            self._uncount()
            self._counted.pop(id(entry), None)

    def _uncount(self) -> None:
        if self.queued:  # none after a fork in the middle of a wait
            rest = locks.range_to_unlock(locks.waiters_at(self.slot) + self.queued - 1, locks.SLOT - self.queued)
            # No call, and so no signal handler, comes in between.
            self.queued -= 1
            self.call(self.fd, locks.SET, rest)

    @finalizer
    def _lost(self, key: int, _: object = None) -> None:
        if not ours[0]:
            look()
        with kernelobject.lock:
            if postponing.postponed(functools.partial(self._lost, key)):
                return
        with self.mutex:
            self._counted.pop(key, None)
            while self.queued - self.sleepers > len(self._counted):
                self._uncount()

    def waiters(self, enough: int = _MOST_WAITERS) -> int:
        """All queued threads, of all processes, or `enough` of them."""
        # A stranger may feign any number.
        return min(self.queued + locks.count_waiters(self.fd, enough - self.queued), _MOST_WAITERS)

    def run_guarded(self, function: Callable[[], Result], patience: float = locks.GUARD_TIMEOUT) -> Result:
        with self.mutex:
            before, self.patience = self.patience, patience
            try:
                return self._run_guarded(function)
            finally:
                self.patience = before

    @under_guard
    def _run_guarded(self, function: Callable[[], Result]) -> Result:
        return function()

    def prepare_to_watch(self, entry: Entry) -> None:
        """Prepare a sleep until this object may be there for everybody, with the guard held."""
        words = self.words
        entry.sequence, entry.generation = words[SEQUENCE_ALL], words[GENERATION]
        words[WAITING_ALL] = 1

    def place(self, entry: Entry, *, every: bool) -> tuple[int, int]:
        return self.address(SEQUENCE_ALL if every else SEQUENCE), entry.sequence

    # -- what a line asks (see `line.Lined`), with `mutex` held -------------------------------------------------------

    @property
    def there(self) -> bool:
        raise NotImplementedError

    @property
    def owned_here(self) -> bool:
        return False

    def room(self, *, every: bool) -> int:
        raise NotImplementedError

    def ready(self, entry: Entry) -> bool:
        raise NotImplementedError

    def sequence(self, *, every: bool) -> Place:
        word = SEQUENCE_ALL if every else SEQUENCE
        value = self.words[word]  # which maps it
        return self.address(word), value

    def expect_wake(self, *, every: bool) -> bool:
        mark = WAITING_ALL if every else WAITING
        if self.words[mark]:
            return False
        self.run_guarded(functools.partial(self._mark, mark), BRIEF)
        return True

    def _mark(self, mark: int) -> None:
        self.words[mark] = 1

    def tell_all_waiters(self) -> None:
        """Let those look who wait for all of their objects, if any do: it was released by the core."""
        with self.mutex:
            words = self.quick_words
            if words is not None and words[WAITING_ALL]:
                words[WAITING_ALL] = 0
                self.wake_all_waiters()

    def settle_old(self) -> None:
        """Nothing is left by deaths."""
