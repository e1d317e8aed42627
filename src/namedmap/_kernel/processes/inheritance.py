"""Handles that a child inherits through exec.

An object with an inheritable handle keeps a *passage*: a description with a HANDOVER lock whose descriptor exec does
not close. A memfd, found by its name, lists the handles. `subprocess.Popen(close_fds=False)` is thus what
bInheritHandles=TRUE is on Windows, and on Windows means the same.

The list is of the parent, which may have another release of namedmap, and its numbers mean something only as long as
nobody has closed a descriptor in between. So it says its version, and each descriptor's device and inode; it is judged
as a whole before anything is done, and believed as a whole or not at all.
"""

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from namedmap._convention.status import KernelError, from_oserror, ignored
from namedmap._kernel.files.file import File
from namedmap._kernel.linux import locks
from namedmap._kernel.linux.descriptors import Descriptor
from namedmap._kernel.memory.section import Section
from namedmap._kernel.objects import kernelobject, named
from namedmap._kernel.objects.kernelobject import KernelObject
from namedmap._kernel.objects.named import NamedObject
from namedmap._kernel.objects.table import Handle, table
from namedmap._kernel.processes.handover import KINDS, Record, describe, judged, receive, reopen

_LIST_NAME = "namedmap-handles"
_VERSION = 2
_MOST_BYTES = 16 << 20


class _HandleList:
    """The memfd that tells a child which handles it has inherited."""

    def __init__(self) -> None:
        self.fd: Descriptor | None = None

    def publish(self, records: Sequence[Record]) -> None:
        if self.fd is not None and not self.fd.intact():
            self.forget()
        if not records:
            self.forget()
            return
        fresh = self._written(records)
        if self.fd is None:
            os.set_inheritable(fresh, True)
            self.fd = Descriptor(fresh)
        else:
            # In one step: a child that is started now sees the old list or the new one.
            os.dup2(fresh, self.fd, inheritable=True)
            os.close(fresh)
            self.fd = Descriptor(self.fd)

    def _written(self, records: Sequence[Record]) -> int:
        try:
            fresh = os.memfd_create(_LIST_NAME, os.MFD_CLOEXEC)
            text = json.dumps({"version": _VERSION, "handles": records})
            os.write(fresh, text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise from_oserror(error, "cannot list the handles that children inherit") from None
        return fresh

    def forget(self) -> None:
        if self.fd is not None:
            self.fd.close()
            self.fd = None


handles = _HandleList()


def synchronise_inheritance() -> None:
    """Bring descriptors and handle list in line with the handles' inherit flags."""
    with kernelobject.lock:
        _synchronise()


def _synchronise() -> None:
    inheritable = {value: entry for value, entry in table.inheritable().items() if _is_there(entry.object)}
    wanted = {entry.object for entry in inheritable.values()}
    for held in list(named.holders):
        if held.passage is not None and (held not in wanted or not held.passage.intact()):
            held.close_passage()
        if held in wanted and held.passage is None:
            passage = reopen(held, locks_at=locks.HANDOVER)
            os.set_inheritable(passage, True)
            held.passage = Descriptor(passage)
        if isinstance(held, Section) and isinstance(held.backing_fd, Descriptor) and held.backing_fd.intact():
            os.set_inheritable(held.backing_fd, held in wanted)
    for entry in table.entries():
        if isinstance(entry.object, File) and entry.object.fd.intact():
            os.set_inheritable(entry.object.fd, entry.object in wanted)
    handles.publish([_record(entry, value) for value, entry in inheritable.items()])


def _is_there(held: KernelObject) -> bool:
    """Whether other code has left the descriptor alone."""
    return locks.intact(held.fd) if isinstance(held, NamedObject) else not isinstance(held, File) or held.fd.intact()


def _record(entry: Handle[Any], value: int) -> Record:
    held = entry.object
    fd = backing = -1
    if isinstance(held, NamedObject):
        fd = -1 if held.passage is None else held.passage
        backing = held.backing_fd if isinstance(held, Section) else -1
    elif isinstance(held, File):
        fd = held.fd
    return describe(entry, value, fd, backing) | {"files": [_identity(each) for each in (fd, backing)]}


def _identity(fd: int) -> list[int] | None:
    """Device and inode, by which a receiver knows that a number is still of the file that was meant."""
    if fd < 0:
        return None
    with ignored(OSError):
        info = os.fstat(fd)
        return [info.st_dev, info.st_ino]
    return None


def take_inherited() -> None:
    """At start: adopt the handles that a parent left in this process."""
    for fd in list(_lists()):
        try:
            records = _believed(fd)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError, OSError) as error:
            warnings.warn(
                f"the handles that a parent meant this process to inherit are not taken over: their list cannot be "
                f"believed ({type(error).__name__}: {error}). Use one release of namedmap in parent and child",
                RuntimeWarning,
                stacklevel=2,
            )
            continue
        os.close(fd)
        _adopt(records)


def _lists() -> Iterator[int]:
    with ignored(OSError):
        for entry in os.listdir("/proc/self/fd"):
            with ignored(OSError):
                if os.readlink(f"/proc/self/fd/{entry}").startswith(f"/memfd:{_LIST_NAME} "):
                    yield int(entry)


def _believed(fd: int) -> list[Record]:
    """The records of a list, all of which are what this release writes, and whose descriptors are those that it means.

    Raises one of several errors that say what is wrong.
    """
    text = os.pread(fd, min(os.fstat(fd).st_size, _MOST_BYTES), 0).decode("utf-8", "surrogateescape")
    content = json.loads(text)
    if type(content) is not dict or content.get("version") != _VERSION:
        raise ValueError(f"it is not of version {_VERSION}")
    records: list[Record] = content["handles"]
    for record in records:
        _judge(record)
    if len({record["handle"] for record in records}) < len(records):
        raise ValueError("a handle is there twice")
    return records


def _judge(record: Record) -> None:
    kind = record["type"]
    # Of an object's file, and of the file that a section stands on.
    given = [record[each] for each in ("fd", "backing")] if kind in KINDS else []
    if kind == File.type_name:
        given = [record["fd"], -1]
    if any(type(fd) is not int for fd in given):
        raise TypeError(f"{given!r} are no descriptors")
    judged(record, sum(fd >= 0 for fd in given))
    if not given:
        return
    if given[0] < 0:
        raise ValueError(f"a {kind} has no descriptor")
    for fd, known in zip(given, record["files"], strict=True):
        if fd >= 0 and (known is None or _identity(fd) != known):
            raise ValueError(f"descriptor {fd} is not that of {kind} {record['path'] or ''}")


def _adopt(records: Sequence[Record]) -> None:
    received: dict[int, KernelObject] = {}
    for record in records:
        # Several handles to one object come with one descriptor.
        shared = received.get(record.get("fd", -1))
        with ignored(KernelError, OSError):
            if shared is not None:
                shared.add_handle()
                held = shared
            else:
                held = receive(record, record.get("fd", -1), record.get("backing", -1))
                if "fd" in record:
                    received[record["fd"]] = held
            table.adopt(record["handle"], held, record["access"], record["flags"])
    synchronise_inheritance()
