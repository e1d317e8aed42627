"""The steps around a fork.

A child has its parent's descriptions, whose locks are the parent's. It puts one of its own in the place of each, with a
liveness lock at a slot of its own (`NamedObject.settle`), maps its views from them, and starts anew whatever a process
has only one of. That is all, and a child of a fork in C does it at its first use (see `lineage`).

os.fork does more, by three hooks. The parent may let go of a handle as soon as it has forked. So before, each object
gets a *spare*, a description with a liveness lock that the child finds and uses, and the parent closes: there is no
instant at which the child's handles hang on the parent's. And other threads may be in the middle of a change: so the
locks of the tables are held from before until after the fork, in parent and child.

Signal handlers run in the middle of the hooks, wherever the program has threads that take the signals. They may use
objects: what is closed is postponed, and what is made without a spare the child settles as after a fork in C. They may
raise: a hook that did so would stay half done, and Python would print the exception and go on, so that Ctrl-C is lost.
Therefore each hook is a generator that waits within a try statement (`_Shield`): a function is entered by a look for
signals, outside of any try. The exception is kept, the hook begins again, which each can, and the last thing that
happens is that the thread which forked is told to raise the exception, in the program.
"""

import contextlib
import ctypes
import functools
import itertools
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator

from namedmap._convention.status import KernelError, ignored
from namedmap._kernel.dispatch import notifier
from namedmap._kernel.linux import compiled, libc, lineage, locks
from namedmap._kernel.linux.lineage import free, ours
from namedmap._kernel.memory.section import Section
from namedmap._kernel.memory.space import View, space
from namedmap._kernel.names import namespace, objectfile
from namedmap._kernel.objects import description, kernelobject, named, owners, postponing
from namedmap._kernel.objects.named import NamedObject
from namedmap._kernel.objects.table import table
from namedmap._kernel.processes import inbox
from namedmap._kernel.processes.inheritance import handles, synchronise_inheritance, take_inherited

#: How long a child waits for the guard of one object that it settles, in seconds; at its use it waits longer.
_BRIEF = 0.01


#: The identifier of no thread. (One that is just being started has 0, from Python 3.13 on.)
_NO_THREAD = 2**64 - 1


class _Late:
    """An exception of a signal handler that waits for the end of the fork."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._pid = 0
        # The arguments of PyThreadState_SetAsyncExc.
        self._thread = ctypes.c_ulong(_NO_THREAD)
        self._class: ctypes.py_object[object] = ctypes.py_object(None)
        #: Makes the thread that has forked raise the exception at its next instruction.
        self.deliver = functools.partial(libc.set_asynchronous_exception, self._thread, self._class)

    def keep(self, error: BaseException) -> None:
        if self._error is None or self._pid != os.getpid():  # of several signals the first
            self._error, self._pid = error, os.getpid()
            # The interpreter takes a class, and raises what it makes.
            self._class.value = type("Late", (BaseException,), {"__new__": lambda _: self._given()})
            self._thread.value = threading.get_ident()

    def _given(self) -> BaseException | None:
        error, self._error = self._error, None
        self._thread.value = _NO_THREAD
        return error

    def leave_to_parent(self) -> None:
        """In a child: what a handler has raised in its parent is the parent's."""
        if self._pid != os.getpid():
            self._given()


class _Shield:
    """Makes a function a hook from which no exception of a signal handler comes; the function must bear repetition."""

    #: Threads that can be in one hook at a time: they wait there for one another.
    _AT_ONCE = 64
    _ATTEMPTS = 100

    def __init__(self, function: Callable[[], None], late: _Late) -> None:
        self._function, self._late = function, late
        waiting = [(self._run(), None) for _ in range(self._AT_ONCE)]
        for each, _ in waiting:
            next(each)
        #: Resumes one of the generators; neither this nor what it consists of is a Python function.
        self.hook = functools.partial(next, itertools.starmap(next, itertools.cycle(waiting)))

    def _run(self) -> Iterator[None]:
        due = 0
        while True:
            try:
                try:
                    # The loop is within the try: a jump back looks for signals too.
                    while True:
                        if not due:
                            due = self._ATTEMPTS
                            yield
                        due -= 1
                        self._function()
                        due = 0
                except GeneratorExit:
                    return
                except BaseException as error:
                    self._late.keep(error)
            except BaseException as error:  # of a second signal
                self._late.keep(error)


class _Fork:
    """The steps around a fork, and what is known of one between the hooks of os.fork."""

    def __init__(self) -> None:
        #: The thread that forks, as long as it has the locks.
        self.thread = 0
        self._locks: Iterator[None] = iter(())
        self._slot = 0
        self._spares: dict[NamedObject, int] = {}
        self._opened: list[int] = []

    def _hold_locks(self) -> Iterator[None]:
        # In this order, as everywhere: a commit takes a reference to its section with the space locked.
        with space.lock, kernelobject.lock:
            self.thread = threading.get_ident()
            try:
                yield
            finally:
                self.thread = 0

    def before(self) -> None:
        if self.thread != threading.get_ident():
            self._locks = self._hold_locks()
            next(self._locks)
        compiled.pause()
        compiled.hatch_holds()
        compiled.hatch_views()
        if not postponing.forking():
            postponing.begin_fork()
            self._slot = locks.new_slot()
        for held in named.holders - self._spares.keys():
            with ignored(KernelError, OSError):  # without one the child settles by itself
                self._prepare(held)

    def _prepare(self, held: NamedObject) -> None:
        held.require_descriptor()
        # Opened and noted in one call: no signal handler comes in between, and nothing is left open for ever.
        self._opened.extend(map(os.open, *zip(held.way(), strict=True)))
        spare = locks.kept(self._opened[-1])
        if held.handle_count:
            locks.try_lock(spare, self._slot, held.handle_count)
        self._spares[held] = spare

    def _close_spares(self) -> None:
        self._spares = {}
        with contextlib.suppress(IndexError):
            # Each is taken from the list and closed in one call, likewise.
            deque(map(os.close, iter(self._opened.pop, None)), maxlen=0)

    def in_parent(self) -> None:
        if self.thread == threading.get_ident():  # else this fork was not prepared, and another thread's is
            self._close_spares()
            postponing.end_fork()
            compiled.resume()
            next(self._locks, None)
        postponing.call_postponed()

    def in_child(self) -> None:
        if not ours[0]:
            lineage.look()
        if self.thread == threading.get_ident():
            next(self._locks, None)

    def take_over(self) -> None:
        """Make the objects of a forked child its own. Called with all signals blocked."""
        prepared = self.thread == threading.get_ident()
        if not prepared:
            self._forget_others()
        free_locks()
        locks.choose_number()
        with space.lock, kernelobject.lock:
            compiled.pause()
            compiled.hatch_holds()
            description.slot = self._slot if prepared else locks.new_slot()
            for held in list(named.holders):
                self._settle(held)
            self._close_spares()
            _drop_unfinished()
            postponing.end_fork(discard=True)  # what was postponed is not counted below
            _recount()
            namespace.after_fork()
        space.after_fork()
        owners.forked()
        notifier.forked()
        handles.forget()
        inbox.forked()
        compiled.resume()
        with contextlib.suppress(KernelError):  # no descriptor is left
            synchronise_inheritance()

    def _forget_others(self) -> None:
        """Another thread of the parent was about to fork: what it had prepared is its own child's."""
        _never_ended.append(self._locks)
        self._locks, self.thread, self._spares = iter(()), 0, {}

    def _settle(self, held: NamedObject) -> None:
        held.borrowed = True
        spare = self._spares.pop(held, None)
        if spare is not None:
            self._opened.remove(spare)
        with ignored(KernelError, OSError):  # it stays borrowed, and is settled when it is used
            held.settle(spare, _BRIEF)
        held.forked()
        held.close_passage()


#: Generators that hold locks of threads which a child does not have. Their end would release them.
_never_ended: list[Iterator[None]] = []


def _drop_unfinished() -> None:
    """Close the files that other threads were opening: they go on in the parent. Here they would keep its locks."""
    for file in objectfile.in_flight:
        if file.open and not file.taken:
            os.close(file.fd)
    objectfile.in_flight.clear()


def _recount() -> None:
    counted = Counter(id(entry.object) for entry in table.entries())
    views = Counter(id(region.section) for region in space if isinstance(region, View))
    for held in list(named.holders):
        held.recount(counted[id(held)], views[id(held)])


def free_locks() -> None:
    """Free the locks that threads have which do not run any more."""
    space.free_lock()
    free(kernelobject.lock)
    for held in list(named.holders):
        free(held.mutex)
    inbox.free_lock()


def _free_locks_at_the_end() -> None:
    free_locks()
    notifier.forked()


def install() -> None:
    """Called once, when the object manager is imported."""
    fork, late = _Fork(), _Late()

    def in_child() -> None:
        late.leave_to_parent()
        fork.in_child()

    before, in_parent, child = (_Shield(step, late).hook for step in (fork.before, fork.in_parent, in_child))
    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=child)
    os.register_at_fork(after_in_parent=late.deliver, after_in_child=late.deliver)
    lineage.take_over, lineage.free_locks = fork.take_over, _free_locks_at_the_end
    Section.renew_views = space.renew_views
    table.inheritance_changed = synchronise_inheritance
    table.receive = inbox.receive
    take_inherited()
