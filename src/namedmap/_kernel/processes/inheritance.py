"""Handles that a child inherits through exec.

An object with an inheritable handle keeps a *passage*: a description with a PASSAGE lock whose descriptor is not closed
by exec. A memfd, found by its name, lists the handles. `subprocess.Popen(close_fds=False)` is thus what
bInheritHandles=TRUE is on Windows, and on Windows means the same.
"""

import contextlib
import json
import os
from collections.abc import Sequence

from namedmap._kernel.files.file import File
from namedmap._kernel.linux import locks
from namedmap._kernel.memory.section import Section
from namedmap._kernel.objects import kernelobject, named
from namedmap._kernel.objects.kernelobject import KernelObject
from namedmap._kernel.objects.named import NamedObject
from namedmap._kernel.objects.table import table
from namedmap._kernel.processes.handover import Record, describe, receive, reopen
from namedmap._kernel.status import KernelError

_LIST_NAME = "namedmap-handles"


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


handles = _HandleList()


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
        records.append(describe(entry, value, fd, backing))
    for entry in table.entries():
        if isinstance(entry.object, File):
            os.set_inheritable(entry.object.fd, entry.object in wanted)
    handles.publish(records)


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
                held = receive(record, record.get("fd", -1), record.get("backing", -1))
                if "fd" in record:
                    received[record["fd"]] = held
            table.adopt(record["handle"], held, record["access"], record["flags"])
    synchronise_inheritance()
