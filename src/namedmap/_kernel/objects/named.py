"""Named objects, which are files.

A named object is one small file, and the kernel counts its holders through locks (see `locks`). The algorithms:

create   make the file with O_EXCL, or open the one that is there. Take the guard exclusively. If the file has lost its
         name meanwhile, start again. Made by us: write the object, take the liveness lock. Somebody else holds one: the
         object exists, join it. Nobody does: the file is dead; unlink it and start again, or go on to its successor
         where that is not granted (see `succession`). Drop the guard.
open     open the file, take the guard shared; without a file, or a liveness lock on it, there is no such object.
close    drop the liveness lock; if nobody else has one, take the guard exclusively, look again, and unlink.

A process that dies anywhere in between leaves at worst a file without liveness locks. The guard orders creators,
openers and the last closer: an opener that sees a liveness lock while it holds the guard takes its own before it drops
the guard. A dead file is never built on: somebody may still have a view of it, and views keep the old memory.

One description per process and object: a second open in the same process finds the object in `registry` by device and
inode and adds a handle to it. So the length of a liveness lock is its process's handle count. Locks do not exclude
threads that share a description, hence the mutex that goes with the guard.

Unnamed objects are the same files without a name (memfd), so that they can be inherited and counted alike.
"""

import contextlib
import os
import time
from typing import Any, TypeVar

from namedmap._convention.status import NTSTATUS, KernelError, ignored, require_ours
from namedmap._kernel.linux import compiled, descriptors, limits, locks, procfs
from namedmap._kernel.linux.lineage import look, ours
from namedmap._kernel.linux.natives import RLock
from namedmap._kernel.names import controlpage, names, namespace, objectfile, succession
from namedmap._kernel.names.controlpage import Control, Kind
from namedmap._kernel.names.names import ObjectName
from namedmap._kernel.names.objectfile import NotGrantedError, ObjectFile
from namedmap._kernel.names.security import DEFAULT, Security
from namedmap._kernel.objects.description import Described
from namedmap._kernel.objects.kernelobject import lock
from namedmap._kernel.objects.postponing import postponed, undisturbed, waiting

ATTEMPTS = 1000


class NamedObject(Described):
    """An object in an object file: section, mutant, semaphore or event."""

    #: Whether this process is about to end: its handles keep the name no longer.
    retired = False
    #: A second description, for children: see `processes`.
    passage: descriptors.Descriptor | None = None
    #: Of a file that the object stands on.
    backing_fd: descriptors.Descriptor | int = -1

    @classmethod
    def allocate(cls, fd: int, page: Control, total: int) -> None:
        """Give a new object file its size, in bytes."""
        limits.require(total, page)
        os.posix_fallocate(fd, 0, total)

    def add_handle(self) -> None:
        with lock:
            if self.borrowed:
                self.settle()
            super().add_handle()
            try:
                locks.try_lock(self.fd, self.slot, self.handle_count)
            except KernelError:  # other code has closed the descriptor
                self.handle_count -= 1
                self._references -= 1
                raise

    def drop_handle(self) -> None:
        with lock:
            if waiting and postponed(self.drop_handle):
                return
            # Counted first: a signal handler that closes the other handle here must find the right number.
            self.handle_count -= 1
            left = self.handle_count
            if not left:
                if registry.get(self.key) is self and not self.pinned:
                    del registry[self.key]
            elif not self.borrowed:
                self.unlock(self.slot + left)
        if not left:
            self._last_handle()
        with lock:
            self._references -= 1
            last = not self._references
            if last and registry.get(self.key) is self:
                del registry[self.key]
        if last:
            self._free()

    def forked(self) -> None:
        """In a forked child, which owns nothing and waits for nothing: forget what the parent did."""
        self.mutex = RLock()  # another thread of the parent may have held it

    def recount(self, handles: int, views: int) -> None:
        """In a forked child: count only what the child has, not what other threads of the parent had in hand."""
        self.handle_count, self._references = handles, handles + views
        if not handles:
            forget(self)
            self._last_handle()
        elif not self.borrowed:
            self.unlock(self.slot + handles, 0)
        if not self._references:
            self._free()

    def total_handles(self) -> int:
        return self.handle_count + locks.count_handles(self.fd)

    @property
    def native_name(self) -> str:
        return self.name.native if self.name else ""

    @property
    def pinned(self) -> bool:
        """Whether the object goes on in this process without a handle, to be found again under its name."""
        return False

    def release(self) -> None:
        with lock:
            if waiting and postponed(self.release):
                return
            self._references -= 1
            last = not self._references
            if last and registry.get(self.key) is self:
                del registry[self.key]  # nobody may find it from here on
        if last:
            self._free()

    def close_passage(self) -> None:
        if self.passage is not None:
            self.passage.close()
            self.passage = None

    def retire(self) -> None:
        self.retired = True
        if self.path is not None:
            self._last_handle()

    def _last_handle(self) -> None:
        if self.passage is not None:
            self.close_passage()
        if self.borrowed:
            return
        with self.mutex:
            try:
                path = self.path
                # Somebody may have moved the file by hand, and another object may have its path now.
                if path is not None and self.writable and self._is_last() and os.lstat(path).st_ino == self.key[1]:
                    os.unlink(path)
            except (KernelError, OSError) as error:
                require_ours(error)
                # A stopped or hostile process has the guard, or the directory has gone. The object ends all the same;
                # its file is dead at worst. Or other code has closed the descriptor, and the object has ended with it.
                self._sweep_lost()
            finally:
                try:
                    self._drop_locks()
                except (KernelError, OSError) as error:
                    require_ours(error)
                    if locks.intact(self.fd):
                        raise

    def _drop_locks(self) -> None:
        self.call(self.fd, locks.SET, locks.ALL_OFF)

    def _is_last(self) -> bool:
        """Drop the liveness lock, and see whether anybody else has one; if not, the guard is held exclusively."""
        # Everything from the guard on, exclusively, can be had only if nobody else holds or opens the object. Its
        # creator is often its last holder; the others look first, so that they do not keep openers waiting.
        if self.made:
            try:
                self.call(self.fd, locks.SET, locks.ALL_ON)
                return True
            except BlockingIOError:
                pass
        # First drop, then look: of several that close at once, the last one to drop sees that nobody is left.
        locks.unlock(self.fd, self.slot, 0)
        if locks.object_is_alive(self.fd):
            return False
        # An opener that saw our liveness lock while it held the guard shared may still be taking its own.
        # The exclusive guard is had after it; then its lock is seen here.
        locks.take_guard(self.fd, self)
        return not locks.object_is_alive(self.fd)

    def close_backing(self) -> None:
        """Let go of whatever else than the object file the object stands on."""

    def _free(self) -> None:
        with lock:  # a fork sees the descriptor open and the object here, or neither
            if self.backing_fd >= 0:
                self.close_backing()
            fd = self.fd
            if locks.intact(fd):
                descriptors.kept.pop(fd, None)  # first: the number can be another's as soon as it is closed
                os.close(fd)
            else:
                descriptors.forget(self.fd, self)
                self._sweep_lost()  # a view had kept the description that other code had closed
            holders.discard(self)

    def _sweep_lost(self) -> None:
        """Remove the file if other code has closed the descriptor, and the object has ended with it."""
        if self.path is not None and not locks.intact(self.fd):
            with contextlib.suppress(KernelError):
                namespace.current().remove_if_dead(self.path)


Named = TypeVar("Named", bound=NamedObject)

#: By device and inode: those that are found by their names; and holds of the compiled core, which are not hatched yet.
registry: dict[tuple[int, int], Any] = {}
#: All objects that have a descriptor in this process, named or not, by handles or by views only.
holders: set[NamedObject] = set()


def forget(held: NamedObject) -> None:
    """Do not find this object again; with `lock` held."""
    if registry.get(held.key) is held:
        registry.pop(held.key, None)  # a signal handler that has it last may come in between


def remember(held: NamedObject) -> None:
    """Find this object again under its name, unless another has taken its place."""
    with lock:
        registry.setdefault(held.key, held)


@undisturbed
def create(
    cls: type[Named], name: ObjectName | None, page: Control, security: Security, writing: bool
) -> tuple[Named, bool]:
    """Create the object, or join the one of this name. Returns it with one handle counted, and whether it existed.

    `writing` says whether the handle must allow changes, which another user's object may not grant.
    """
    if not ours[0]:
        look()
    if name is None:
        with ObjectFile(cls, None, namespace.unnamed_file(), None) as unnamed:
            return _initialise(cls, unnamed, page, security), False
    page.name = name.leaf
    space = namespace.current()
    base = path = space.paths.get(name) or space.path(name)
    for _ in range(ATTEMPTS):
        try:
            file = ObjectFile.make(cls, name, path, security.mode) or ObjectFile.find(cls, name, path, exclusive=True)
        except NotGrantedError:
            path = objectfile.around(name, base, path)
            continue
        if file is None:
            path = base
            continue
        try:
            if not file.named:
                path = base
                continue
            if file.made:
                if not name.is_global or not objectfile.gives_way(file, base):
                    return _initialise(cls, file, page, security), False
                path = base
                continue
            if not locks.object_is_alive(file.fd):
                path = objectfile.past_dead(file)
                continue
            if name.is_global and objectfile.stands_behind(file):
                path = succession.living(base) or base
                continue
            found = _join(cls, file)
        finally:
            file.close()
        return _granted(found, writing), True
    raise KernelError(
        NTSTATUS.STATUS_LOCK_NOT_GRANTED, f"{objectfile.describe(cls, name)}: {path} appears and disappears without end"
    )


@undisturbed
def open_existing(cls: type[Named], name: ObjectName, writing: bool) -> Named:
    """Open the object of this name. Returns it with one handle counted."""
    if not ours[0]:
        look()
    space = namespace.current()
    path = space.paths.get(name) or space.path(name)
    found = _opened(cls, name, path)
    if found is None and name.is_global and (successor := succession.living(path)) is not None:
        found = _opened(cls, name, successor)
    if found is None:
        raise _missing(cls, name)
    return found if found.writable or not writing else _granted(found, writing)


def _opened(cls: type[Named], name: ObjectName, path: str) -> Named | None:
    """The living object in this file; None if it is not there, or another file of the name has it."""
    try:
        file = ObjectFile.find(cls, name, path, exclusive=False)
    except NotGrantedError:
        if name.is_global and succession.living(succession.place(path)[0]) != path:
            return None
        raise
    if file is None:
        return None
    try:
        if not file.named or not locks.object_is_alive(file.fd):
            return None
        if name.is_global and objectfile.stands_behind(file):
            return None
        return _join(cls, file)
    finally:
        file.close()


def _granted(found: Named, writing: bool) -> Named:
    if writing and not found.writable:
        found.drop_handle()
        raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, f"{found} may only be read: its owner granted no more")
    return found


def _missing(cls: type[NamedObject], name: ObjectName) -> KernelError:
    return KernelError(
        NTSTATUS.STATUS_OBJECT_NAME_NOT_FOUND,
        f"no {objectfile.describe(cls, name)} exists: nobody holds a handle to it",
    )


def _is_object(name: ObjectName) -> bool:
    """Whether somebody holds an object of this name."""
    with ignored(OSError, KernelError):
        path = namespace.current().path(name)
        try:
            fd = os.open(path, os.O_RDONLY | namespace.OPEN_FLAGS)
        except PermissionError as error:
            require_ours(error)
            return True  # another user's, who lets nobody look
        try:
            return locks.object_is_alive(fd)
        finally:
            os.close(fd)
    return False


names.known.exists = _is_object


def find_case_insensitive(name: ObjectName) -> ObjectName:
    """The name of a live object that differs in case only, else the name itself (OBJ_CASE_INSENSITIVE)."""
    space = namespace.current()
    if os.path.exists(space.path(name)):
        return name
    for path in space.files():
        with ignored(OSError, KernelError):
            fd = os.open(path, os.O_RDONLY | namespace.OPEN_FLAGS)
            try:
                if locks.object_is_alive(fd):
                    leaf = controlpage.parse(fd, os.fstat(fd).st_size, path).name
                    same = ObjectName(name.is_global, leaf)
                    if leaf.upper() == name.leaf.upper() and space.path(same) == succession.place(path)[0]:
                        return same
            finally:
                os.close(fd)
    return name


def _join(cls: type[Named], file: ObjectFile) -> Named:
    """One handle to the live object in this file, whose guard is held."""
    if file.key in registry:
        with lock:
            known = _found(file)
            # A user who may write to an object's file may link it to another name, where this process expects another.
            if known is not None and known.name != file.name:
                raise controlpage.corrupt(file, f"{file.path} is a second name (a hard link) of {known}")
            joined = _joined(cls, file)
            if joined is not None:
                return joined
    if file.info.st_nlink > 1:
        file.check_links()
    page = controlpage.parse(file.fd, file.info.st_size, file)
    if page.kind is not cls.kind:
        raise _wrong_kind(file, page.kind)
    if file.name is not None and page.name != file.name.leaf:
        raise controlpage.corrupt(file, f"its control page says that it is {page.name!r}")
    fresh = cls(file, page)
    with lock:
        # Another thread may have joined meanwhile: openers share the guard.
        try:
            return (_joined(cls, file) if file.key in registry else None) or _hold(fresh, file)
        finally:
            if not file.taken:
                fresh.close_backing()


@undisturbed
def adopt(cls: type[Named], file: ObjectFile, page: Control) -> Named:
    """One handle to an object whose file another process has handed to us, and keeps alive meanwhile."""
    with lock:
        joined = _joined(cls, file)
        if joined is not None:
            return joined
        return _hold(cls(file, page), file)


def _found(file: ObjectFile) -> NamedObject | None:
    """The object in this file, if this process has it; with `lock` held."""
    if file.key in registry and not isinstance(registry[file.key], NamedObject):
        compiled.hatch_holds()  # one of them is this
    return registry.get(file.key)


def _joined(cls: type[Named], file: ObjectFile) -> Named | None:
    """One handle to the object in this file, if this process has it, and other code has not closed its descriptor."""
    known = _found(file)
    if known is None:
        return None
    if not isinstance(known, cls):
        raise _wrong_kind(file, known.kind)
    try:
        known.add_handle()
    except KernelError:
        if locks.intact(known.fd):
            raise
        forget(known)  # its handles are lost; the new one comes with a new descriptor
        return None
    return known


def _hold(fresh: Named, file: ObjectFile) -> Named:
    try:
        fresh.call(fresh.fd, locks.SET, locks.shared(fresh.slot, 1))
    except OSError as error:
        require_ours(error)
        if not locks.try_lock(fresh.fd, fresh.slot):  # raises again, and says why
            raise KernelError(
                NTSTATUS.STATUS_LOCK_NOT_GRANTED,
                f"{fresh} is locked against new holders by {procfs.describe_holders(fresh.fd, fresh.slot)}",
            ) from None
    file.taken = True
    descriptors.kept[fresh.fd] = fresh
    registry[fresh.key] = fresh
    holders.add(fresh)
    return fresh


class NameTakenError(KernelError):
    """The name belongs to an object of another kind."""

    wrong_kind = True


def _wrong_kind(what: object, kind: Kind) -> NameTakenError:
    return NameTakenError(NTSTATUS.STATUS_OBJECT_TYPE_MISMATCH, f"{what}: the name belongs to a {kind.noun}")


def _initialise(cls: type[Named], file: ObjectFile, page: Control, security: Security) -> Named:
    """Write a new object into a file that nobody else can believe in yet: only its guard is held, by us."""
    page.creator_uid, page.creator_pid, page.created = os.getuid(), os.getpid(), time.time_ns()
    offset, content, total = page.build()
    try:
        if security is not DEFAULT or file.info.st_mode & 0o777 != security.mode:
            security.apply(file.fd, file.info.st_mode)
            file.info = os.fstat(file.fd)
        try:
            cls.allocate(file.fd, page, total)
        except (KernelError, OSError) as error:
            require_ours(error)
            # There is no space: what the dead have left is removed first.
            if file.path is None or not namespace.current().sweep():
                raise
            cls.allocate(file.fd, page, total)
        os.pwrite(file.fd, content, offset)
        fresh = cls(file, page)
        with lock:
            return _hold(fresh, file)
    except BaseException:
        if file.path is not None:
            with ignored(OSError):
                os.unlink(file.path)
        raise
