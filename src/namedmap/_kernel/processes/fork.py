"""What must happen around os.fork.

Before it, every object gets a spare description with life on it. The child puts it in the place of the inherited one,
whose locks are the parent's; the parent closes it. There is no instant at which the child's handles hang on the
parent's locks. Nor may the parent's locks hang on the child: a mapping keeps the description that it was made from, in
the child as well. So the parent moves too, to another spare, and the old description is left to the views, without a
lock.
"""

import contextlib
import os
import signal
from collections import Counter

from namedmap._kernel.linux import locks
from namedmap._kernel.memory.section import Section
from namedmap._kernel.memory.space import View, space
from namedmap._kernel.names import namespace, objectfile
from namedmap._kernel.objects import kernelobject, named, postponing
from namedmap._kernel.objects.named import NamedObject
from namedmap._kernel.objects.table import table
from namedmap._kernel.processes import inbox
from namedmap._kernel.processes.handover import reopen
from namedmap._kernel.processes.inheritance import handles, synchronise_inheritance, take_inherited


class _Fork:
    """What must happen around os.fork; the locks stay taken from before until after it, in parent and child."""

    def __init__(self) -> None:
        self.for_child: dict[NamedObject, int] = {}
        self.for_parent: dict[NamedObject, int] = {}
        self.all: set[NamedObject] = set()
        self.place = 0
        self.blocked: set[int] | None = None

    def before(self) -> None:
        # An exception out of a signal handler would leave this half done.
        self.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        # In this order, as everywhere: a commit takes a reference to its section with the space locked.
        space.lock.acquire()
        kernelobject.lock.acquire()
        postponing.begin_fork()
        self.place = locks.new_place()
        self.all = set(named.holders)
        for held in self.all:
            with contextlib.suppress(OSError):
                self.for_child[held] = reopen(held, locks_at=self.place, count=held.handle_count)
            if isinstance(held, Section) and held.mutex.acquire(blocking=False):
                try:
                    self.for_parent[held] = reopen(held, locks_at=held.life, count=held.handle_count)
                except OSError:
                    held.mutex.release()

    def in_parent(self) -> None:
        for spare in self.for_child.values():
            os.close(spare)
        for held, spare in self.for_parent.items():
            locks.unlock(held.fd, locks.GUARD, 0)
            os.dup2(spare, held.fd, inheritable=False)
            os.close(spare)
            held.mutex.release()
        postponed = postponing.end_fork()
        self._unlock()
        for call in postponed:
            call()
        self._unblock()

    def in_child(self) -> None:
        named.place = self.place
        for spare in self.for_parent.values():
            os.close(spare)
        for held in self.all:
            own = self.for_child.get(held)
            if own is None:
                held.borrowed = True
            else:
                os.dup2(own, held.fd, inheritable=False)
                os.close(own)
                held.life = self.place
            held.forked()
            held.close_passage()
        for file in objectfile.in_flight:
            # Other threads' work, which they go on with in the parent; here it would only keep their locks.
            if not file.taken:
                os.close(file.fd)
        objectfile.in_flight.clear()
        postponing.end_fork()  # what was postponed is not counted below
        counted = Counter(id(entry.object) for entry in table.entries())
        views = Counter(id(region.section) for region in space if isinstance(region, View))
        for held in self.all:
            held.recount(counted[id(held)], views[id(held)])
        namespace.after_fork()
        self._unlock()
        space.after_fork()
        handles.forget()
        inbox.forked()
        synchronise_inheritance()
        self._unblock()

    def _unlock(self) -> None:
        self.for_child, self.for_parent, self.all = {}, {}, set()
        kernelobject.lock.release()
        space.lock.release()

    def _unblock(self) -> None:
        if self.blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self.blocked)


def install() -> None:
    """Called once, when the object manager is imported."""
    hooks = _Fork()
    os.register_at_fork(before=hooks.before, after_in_parent=hooks.in_parent, after_in_child=hooks.in_child)
    table.inheritance_changed = synchronise_inheritance
    table.receive = inbox.receive
    take_inherited()
