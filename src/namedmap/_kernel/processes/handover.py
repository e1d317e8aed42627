"""Giving objects to another process: descriptions with a lock of their own, and what a receiver makes of them.

Somebody's lock keeps the object alive at every instant: a description that holds a lock of its own is made first and
handed over, and closing our copy of it does not take the lock from the receiver. A File's description is handed over as
it is: file object and file pointer are shared, as on Windows.
"""

import os
import stat
import sys
from typing import Any, TypeAlias

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, require_ours
from namedmap._kernel.dispatch.counted import Event, Semaphore
from namedmap._kernel.dispatch.mutant import Mutant
from namedmap._kernel.files.file import File
from namedmap._kernel.linux import locks, procfs, reopening
from namedmap._kernel.linux.descriptors import Descriptor
from namedmap._kernel.memory.section import Section
from namedmap._kernel.names import controlpage
from namedmap._kernel.names.names import ObjectName
from namedmap._kernel.names.objectfile import ObjectFile
from namedmap._kernel.objects import named
from namedmap._kernel.objects.kernelobject import KernelObject
from namedmap._kernel.objects.named import NamedObject
from namedmap._kernel.objects.postponing import undisturbed
from namedmap._kernel.objects.table import LIMIT, Handle
from namedmap._kernel.processes.process import Process, Thread

KINDS: dict[str, type[NamedObject]] = {cls.type_name: cls for cls in (Section, Mutant, Semaphore, Event)}

Record = dict[str, Any]

#: A descriptor of another process: its id and start, the number, device and inode of the file.
Offer: TypeAlias = tuple[int, str, int, int, int]


def reopen(held: NamedObject, *, locks_at: int, count: int = 1) -> int:
    """A new description of the object's file, with a lock of its own on `count` bytes (maybe none)."""
    fd = held.reopen()
    if count:
        locks.try_lock(fd, locks_at, count)
    return fd


def describe(entry: Handle[Any], value: int, fd: int, backing: int) -> Record:
    """The facts that a receiver needs to know of a handle, next to its descriptors."""
    held = entry.object
    record: Record = {"handle": value, "access": entry.access, "flags": entry.flags, "type": held.type_name}
    if isinstance(held, NamedObject):
        record |= {"path": held.path, "writable": held.writable, "name": held.name, "fd": fd, "backing": backing}
    elif isinstance(held, File):
        record |= {"path": held.path, "fd": fd}
    elif isinstance(held, Process):
        record |= {"pid": held.pid, "started": held.started}
    return record


def judged(record: object, descriptors: int) -> Record:
    """A record of another process, with so many descriptors, judged whole; ValueError if it is no handle of ours."""
    if not isinstance(record, dict) or not _is_handle(record):
        raise ValueError("no handle is described")
    kind = record["type"]
    if kind in KINDS:
        name, path = record.get("name"), record.get("path")
        named_well = name is None or (isinstance(name, list) and [type(each) for each in name] == [bool, str])
        most = 2 if kind == Section.type_name else 1
        good = named_well and (path is None or _is_path(path)) and type(record.get("writable")) is bool
        good = good and 1 <= descriptors <= most
    elif kind == File.type_name:
        good = _is_path(record.get("path")) and descriptors == 1
    elif kind == Process.type_name:
        good = type(record.get("pid")) is int and type(record.get("started")) is str and not descriptors
    else:
        good = kind == Thread.type_name and not descriptors
    if not good:
        raise ValueError(f"no {kind} is described")
    return record


def _is_handle(record: Record) -> bool:
    numbers = [record.get(each) for each in ("handle", "access", "flags")]
    if any(type(each) is not int or not 0 <= each < 1 << 32 for each in numbers):
        return False
    return record["handle"] % 4 == 0 and 0 < record["handle"] < LIMIT and type(record.get("type")) is str


def _is_path(path: object) -> bool:
    return isinstance(path, str) and "\0" not in path


def receive(record: Record, fd: int, backing: int) -> KernelObject:
    """The object for a record and its descriptors, which are closed or taken over."""
    cls = KINDS.get(record["type"])
    if cls is not None:
        return receive_named(cls, record, fd, backing)
    if record["type"] == File.type_name:
        os.set_inheritable(fd, False)
        file: File = File.adopt(fd, record["path"])
        return file
    return Process(record["pid"], record.get("started")) if record["type"] == Process.type_name else Thread()


@undisturbed
def receive_named(cls: type[NamedObject], record: Record, fd: int, backing: int) -> NamedObject:
    name = ObjectName(*record["name"]) if record["name"] else None
    held: NamedObject | None = None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("the descriptor is not that of an object file")
        own = reopening.reopen(fd, os.O_RDWR if record["writable"] else os.O_RDONLY)
        with ObjectFile(cls, name, own, record["path"], record["writable"], False, False) as file:
            page = controlpage.parse(own, file.info.st_size, file)
            if page.kind is not cls.kind:
                raise ValueError("the object is of another kind than was said")
            if backing >= 0:
                if not _is_backing(backing, page):
                    raise ValueError("the second descriptor is not that of the section's file")
                os.set_inheritable(backing, False)
                page = page.but(backing_fd=backing)
            held = named.adopt(cls, file, page)
        return held
    finally:
        os.close(fd)  # only now: its lock has kept the object alive
        if backing >= 0 and not (isinstance(held, Section) and held.backing_fd == backing):
            os.close(backing)  # not needed: this process had the object already, or it is gone


def _is_backing(fd: int, page: controlpage.Control) -> bool:
    info = os.fstat(fd)
    return (info.st_dev, info.st_ino) == (page.backing_device, page.backing_inode)


def receive_section(fd: int, *, writable: bool) -> Section:
    """The section of a descriptor that keeps it alive, which is closed."""
    held = receive_named(Section, {"writable": writable, "name": None, "path": None}, fd, -1)
    if not isinstance(held, Section):
        held.drop_handle()
        raise KernelError(NTSTATUS.STATUS_OBJECT_TYPE_MISMATCH, "the descriptor is not that of a section")
    return held


class Passage:
    """A descriptor that keeps a section alive in whatever process has it."""

    def __init__(self, fd: int) -> None:
        self._descriptor = Descriptor(fd)

    def intact(self) -> bool:
        return self._descriptor.intact()

    def sendable(self) -> object:
        """An object to pickle: a DupFd for a new process of multiprocessing, which inherits it; for others an Offer.

        A DupFd outside of the start of a process would need a thread in the sender, and a key that only its own
        children know.
        """
        context = sys.modules.get("multiprocessing.context")
        if context is not None and context.get_spawning_popen() is not None:
            from multiprocessing.reduction import DupFd

            duplicate: object = DupFd(self._descriptor.fileno())
            return duplicate
        return offer(self._descriptor.fileno())

    def close(self) -> None:
        self._descriptor.close()


def offer(fd: int) -> Offer:
    """How other processes of this user find a descriptor of this one, as long as it is open: it goes into pickles."""
    info = os.fstat(fd)
    try:
        return os.getpid(), procfs.started(os.getpid()), fd, info.st_dev, info.st_ino
    except OSError as error:
        raise from_oserror(error, "memory without a name cannot be sent without /proc: give it a name") from None


def accept(offered: Offer) -> int:
    """A descriptor of what another process has offered, with a lock of its own."""
    pid, started, number, device, inode = offered
    try:
        seen = reopening.look(f"/proc/{pid}/fd/{number}") if procfs.started(pid) == started else -1
    except OSError as error:
        require_ours(error)
        seen = -1
    try:
        info = os.fstat(seen) if seen >= 0 else None
        if info is None or (info.st_dev, info.st_ino) != (device, inode) or not stat.S_ISREG(info.st_mode):
            raise KernelError(
                NTSTATUS.STATUS_OBJECT_NAME_NOT_FOUND,
                f"memory without a name, sent by process {pid}, cannot be had: that process has closed it or ended, or "
                "is another user's or in another container. Keep it open until it has arrived, or give it a name",
            )
        fd = _reopened(seen)
    finally:
        if seen >= 0:
            os.close(seen)
    locks.try_lock(fd, locks.HANDOVER)
    return fd


def _reopened(seen: int) -> int:
    try:
        return reopening.reopen(seen, os.O_RDWR)
    except PermissionError as error:
        require_ours(error)
        return reopening.reopen(seen, os.O_RDONLY)
