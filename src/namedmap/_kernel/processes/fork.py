"""Handles that cross a process border: fork, inheritance through exec, and DuplicateHandle into another process.

The rule is the same in all three: somebody's lock must keep the object alive at every instant, so a description that
holds a lock of its own is made first and handed over; closing our copy of it does not take the lock from the receiver.

fork      Before it, every object gets a spare description with life on it. The child puts it in the place of the
          inherited one, whose locks are the parent's; the parent closes it. There is no instant at which the child's
          handles hang on the parent's locks. Nor may the parent's locks hang on the child: a mapping keeps the
          description that it was made from, in the child as well. So the parent moves too, to another spare, and the
          old description is left to the views, without a lock.
exec      An object with an inheritable handle keeps a *passage*: a description with a PASSAGE lock whose descriptor is
          not closed by exec. A memfd, found by its name, lists the handles. `subprocess.Popen(close_fds=False)` is
          thus what bInheritHandles=TRUE is on Windows, and on Windows means the same.
duplicate A process that calls GetCurrentProcessId listens on a socket in the user's own directory of names, named by
          pid and start time. The sender connects and puts a locked description into a message; while it is in flight
          the kernel holds it for the receiver, whatever becomes of the sender. The receiver looks into the socket when
          it meets a handle value that it does not know.

A File's description is handed over as it is: file object and file pointer are shared, as on Windows.
"""

import array
import atexit
import contextlib
import dataclasses
import errno
import json
import os
import secrets
import select
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from namedmap._kernel.dispatch.counted import Event, Semaphore
from namedmap._kernel.dispatch.mutant import Mutant
from namedmap._kernel.files.file import File
from namedmap._kernel.linux import locks
from namedmap._kernel.memory.section import Section
from namedmap._kernel.memory.space import View, space
from namedmap._kernel.names import controlpage, namespace, objectfile
from namedmap._kernel.names.names import ObjectName
from namedmap._kernel.names.objectfile import ObjectFile
from namedmap._kernel.objects import kernelobject, named
from namedmap._kernel.objects.kernelobject import KernelObject
from namedmap._kernel.objects.named import NamedObject
from namedmap._kernel.objects.table import FLAG_INHERIT, FOREIGN, LIMIT, Handle, table
from namedmap._kernel.status import NTSTATUS, KernelError, from_oserror

_LIST_NAME = "namedmap-handles"
_KINDS: dict[str, type[NamedObject]] = {cls.type_name: cls for cls in (Section, Mutant, Semaphore, Event)}

Record = dict[str, Any]


class Process(KernelObject):
    """A process that handles can be duplicated into."""

    type_name: ClassVar[str] = "Process"
    generic = (0x20410, 0x20B2A, 0x121001, 0x1FFFFF)

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._fd = os.pidfd_open(pid)
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                raise from_oserror(error, f"cannot open process {pid}") from None
            raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"no process has the id {pid}") from None

    def signaled(self) -> bool:
        """Whether the process has ended."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(0))

    def descriptor(self) -> int:
        return self._fd

    def _free(self) -> None:
        os.close(self._fd)


class Thread(KernelObject):
    """A thread, as far as a handle to it can be held."""

    type_name: ClassVar[str] = "Thread"
    generic = (0x20048, 0x20037, 0x121800, 0x1FFFFF)

    def signaled(self) -> bool:
        """The calling thread has not ended."""
        return False


# -- fork --------------------------------------------------------------------------------------------------------------


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
        kernelobject.begin_fork()
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
        postponed = kernelobject.end_fork()
        self._unlock()
        for call in postponed:
            call()
        self._unblock()

    def in_child(self) -> None:
        global _inbox, _receiving
        named.place, _receiving = self.place, threading.RLock()
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
        kernelobject.end_fork()  # what was postponed is not counted below
        handles = Counter(id(entry.object) for entry in table.entries())
        views = Counter(id(region.section) for region in space if isinstance(region, View))
        for held in self.all:
            held.recount(handles[id(held)], views[id(held)])
        namespace.after_fork()
        self._unlock()
        space.after_fork()
        _list.forget()
        if _inbox is not None:
            _inbox.close()
            _inbox = None
        synchronise_inheritance()
        self._unblock()

    def _unlock(self) -> None:
        self.for_child, self.for_parent, self.all = {}, {}, set()
        kernelobject.lock.release()
        space.lock.release()

    def _unblock(self) -> None:
        if self.blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self.blocked)


def reopen(held: NamedObject, *, locks_at: int, count: int = 1) -> int:
    """A new description of the object's file, with a lock of its own on `count` bytes (maybe none)."""
    mode = os.O_RDWR if held.writable else os.O_RDONLY
    fd = os.open(f"/proc/self/fd/{held.fd}", mode | os.O_CLOEXEC)
    if count:
        locks.try_lock(fd, locks_at, count)
    return fd


# -- handing over ------------------------------------------------------------------------------------------------------


def _describe(entry: Handle[Any], value: int, fd: int, backing: int) -> Record:
    """What a receiver needs to know of a handle, next to its descriptors."""
    held = entry.object
    record: Record = {"handle": value, "access": entry.access, "flags": entry.flags, "type": held.type_name}
    if isinstance(held, NamedObject):
        record |= {"path": held.path, "writable": held.writable, "name": held.name, "fd": fd, "backing": backing}
    elif isinstance(held, File):
        record |= {"path": held.path, "fd": fd}
    elif isinstance(held, Process):
        record |= {"pid": held.pid}
    return record


def _receive(record: Record, fd: int, backing: int) -> KernelObject:
    """The object for a record and its descriptors, which are closed or taken over."""
    cls = _KINDS.get(record["type"])
    if cls is not None:
        return receive_named(cls, record, fd, backing)
    if record["type"] == File.type_name:
        os.set_inheritable(fd, False)
        file: File = File.adopt(fd, record["path"])
        return file
    return Process(record["pid"]) if record["type"] == Process.type_name else Thread()


def receive_named(cls: type[NamedObject], record: Record, fd: int, backing: int) -> NamedObject:
    name = ObjectName(*record["name"]) if record["name"] else None
    held: NamedObject | None = None
    try:
        mode = os.O_RDWR if record["writable"] else os.O_RDONLY
        own = os.open(f"/proc/self/fd/{fd}", mode | os.O_CLOEXEC)
        with ObjectFile(cls, name, own, record["path"], writable=record["writable"]) as file:
            file.lock(exclusive=False)
            page = controlpage.parse(own, file.info.st_size, file)
            if backing >= 0:
                os.set_inheritable(backing, False)
                page = dataclasses.replace(page, backing_fd=backing)
            held = named.adopt(cls, file, page)
        return held
    finally:
        os.close(fd)  # only now: its lock has kept the object alive
        if backing >= 0 and not (isinstance(held, Section) and held.backing_fd == backing):
            os.close(backing)  # not needed: this process had the object already, or it is gone


def receive_section(fd: int, *, writable: bool) -> Section:
    """The section of a descriptor that keeps it alive, which is closed."""
    held = receive_named(Section, {"writable": writable, "name": None, "path": None}, fd, -1)
    if not isinstance(held, Section):
        held.drop_handle()
        raise KernelError(NTSTATUS.STATUS_OBJECT_TYPE_MISMATCH, "the descriptor is not that of a section")
    return held


# -- inheritance through exec ------------------------------------------------------------------------------------------


class _HandleList:
    """The memfd that tells a child which handles it has inherited."""

    def __init__(self) -> None:
        self.fd: int | None = None

    def publish(self, records: Sequence[Record]) -> None:
        if not records:
            self.forget()
            return
        fresh = os.memfd_create(_LIST_NAME, os.MFD_CLOEXEC)
        os.write(fresh, json.dumps(records).encode("utf-8", "surrogateescape"))
        if self.fd is None:
            self.fd = fresh
            os.set_inheritable(fresh, True)
        else:
            # In one step: a child that is started now sees the old list or the new one.
            os.dup2(fresh, self.fd, inheritable=True)
            os.close(fresh)

    def forget(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


_list = _HandleList()


def synchronise_inheritance() -> None:
    """Bring descriptors and handle list in line with the handles' inherit flags."""
    with kernelobject.lock:
        _synchronise()


def _synchronise() -> None:
    inheritable = table.inheritable()
    wanted = {entry.object for entry in inheritable.values()}
    for held in list(named.holders):
        if held in wanted and held.passage is None:
            held.passage = reopen(held, locks_at=locks.PASSAGE)
            os.set_inheritable(held.passage, True)
        elif held not in wanted:
            held.close_passage()
        if isinstance(held, Section) and held.file_backed:
            os.set_inheritable(held.backing_fd, held in wanted)
    records = []
    for value, entry in inheritable.items():
        held_object = entry.object
        fd = backing = -1
        if isinstance(held_object, NamedObject):
            fd = -1 if held_object.passage is None else held_object.passage
            backing = held_object.backing_fd if isinstance(held_object, Section) else -1
        elif isinstance(held_object, File):
            fd = held_object.fd
        records.append(_describe(entry, value, fd, backing))
    for entry in table.entries():
        if isinstance(entry.object, File):
            os.set_inheritable(entry.object.fd, entry.object in wanted)
    _list.publish(records)


def take_inherited() -> None:
    """At start: adopt the handles that a parent left in this process."""
    with contextlib.suppress(OSError):
        for entry in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{entry}").startswith(f"/memfd:{_LIST_NAME} "):
                    _adopt_list(int(entry))


def _adopt_list(fd: int) -> None:
    raw = os.pread(fd, os.fstat(fd).st_size, 0)
    os.close(fd)
    received: dict[int, KernelObject] = {}
    for record in json.loads(raw.decode("utf-8", "surrogateescape")):
        # Several handles to one object come with one descriptor.
        shared = received.get(record.get("fd", -1))
        with contextlib.suppress(KernelError, OSError):
            if shared is not None:
                shared.add_handle()
                held = shared
            else:
                held = _receive(record, record.get("fd", -1), record.get("backing", -1))
                if "fd" in record:
                    received[record["fd"]] = held
            table.adopt(record["handle"], held, record["access"], record["flags"])
    synchronise_inheritance()


# -- DuplicateHandle into another process ------------------------------------------------------------------------------

_inbox: socket.socket | None = None
_receiving = threading.RLock()


def _inbox_path(pid: int) -> str:
    # The start time tells a process from an earlier one with the same id.
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            started = file.read().rpartition(")")[2].split()[19]
    except OSError:
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"no process has the id {pid}") from None
    return f"{namespace.current().local}/{namespace.INBOX_PREFIX}{pid}-{started}"


def _socket(call: Callable[[socket.socket, str], object], path: str) -> socket.socket:
    """A socket after `call` (bind or connect) with an address; the path may be longer than an address can be."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    directory = -1
    try:
        directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        call(made, f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    except BaseException:
        made.close()
        raise
    finally:
        if directory >= 0:
            os.close(directory)
    return made


def open_inbox() -> None:
    """Make this process reachable for handles that others of the user duplicate into it."""
    global _inbox
    if _inbox is None:
        path = _inbox_path(os.getpid())
        inbox = _socket(socket.socket.bind, path)
        inbox.listen(1024)
        _inbox = inbox
        atexit.register(_close_inbox, path, os.getpid())


def _close_inbox(path: str, pid: int) -> None:
    global _inbox
    inbox = _inbox
    if os.getpid() == pid and inbox is not None:
        _inbox = None
        inbox.close()
        with contextlib.suppress(OSError):
            os.unlink(path)


def send(entry: Handle[Any], target: Process) -> int:
    """Duplicate a handle into another process; returns its value there."""
    value = FOREIGN + 4 * secrets.randbelow((LIMIT - FOREIGN) // 4)
    held = entry.object
    descriptors = []
    if isinstance(held, NamedObject):
        # It counts as the receiver's handle already.
        descriptors.append(reopen(held, locks_at=locks.new_place()))
        if isinstance(held, Section) and held.file_backed:
            descriptors.append(os.dup(held.backing_fd))
    elif isinstance(held, File):
        descriptors.append(os.dup(held.fd))
    record = _describe(entry, value, 0 if descriptors else -1, 1 if len(descriptors) > 1 else -1)
    message = json.dumps(record).encode("utf-8", "surrogateescape")
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    try:
        with _socket(socket.socket.connect, _inbox_path(target.pid)) as out:
            out.sendmsg([message], rights)
    except OSError as error:
        raise KernelError(
            NTSTATUS.STATUS_ACCESS_DENIED,
            f"process {target.pid} takes no handles ({error.strerror}): it must be the same user's, use namedmap with "
            "the same NAMEDMAP_ROOT, and have called GetCurrentProcessId() once",
        ) from None
    finally:
        for fd in descriptors:
            os.close(fd)
    return value


def receive() -> None:
    """Adopt all handles that other processes have sent."""
    # One thread at a time: who finds the queue empty must find what another has just taken from it in the table.
    with _receiving:
        while (inbox := _inbox) is not None:
            try:
                message, _ = inbox.accept()
            except BlockingIOError:
                return
            with message:
                try:
                    _accept(message)
                except (KernelError, OSError, ValueError, KeyError, TypeError):
                    # A malformed message, or an object that is gone: the handle stays unknown.
                    continue


def _accept(message: socket.socket) -> None:
    text, ancillary, _, _ = message.recvmsg(1 << 18, socket.CMSG_SPACE(8))
    fds = array.array("i")
    for _, _, raw in ancillary:
        fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
    record = json.loads(text.decode("utf-8", "surrogateescape"))
    held = _receive(record, *(*fds, -1, -1)[:2])
    table.adopt(record["handle"], held, record["access"], record["flags"])
    if record["flags"] & FLAG_INHERIT:
        synchronise_inheritance()


def install() -> None:
    """Called once, when the object manager is imported."""
    hooks = _Fork()
    os.register_at_fork(before=hooks.before, after_in_parent=hooks.in_parent, after_in_child=hooks.in_child)
    table.inheritance_changed = synchronise_inheritance
    table.receive = receive
    take_inherited()
