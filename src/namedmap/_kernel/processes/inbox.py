"""DuplicateHandle into another process of the user.

A process that calls GetCurrentProcessId listens on a socket in the user's own directory of names, named by pid and
start time. The sender connects and puts a locked description into a message; while it is in flight the kernel holds it
for the receiver, whatever becomes of the sender. The receiver looks into the socket when it meets a handle value that
it does not know.
"""

import array
import atexit
import contextlib
import json
import os
import secrets
import socket
from collections.abc import Callable
from typing import Any

from namedmap._kernel.files.file import File
from namedmap._kernel.linux import locks, procfs
from namedmap._kernel.linux.natives import RLock
from namedmap._kernel.memory.section import Section
from namedmap._kernel.names import namespace
from namedmap._kernel.objects.named import NamedObject
from namedmap._kernel.objects.table import FLAG_INHERIT, FOREIGN, LIMIT, Handle, table
from namedmap._kernel.processes import handover
from namedmap._kernel.processes.handover import reopen
from namedmap._kernel.processes.inheritance import synchronise_inheritance
from namedmap._kernel.processes.process import Process
from namedmap._kernel.status import NTSTATUS, KernelError

_inbox: socket.socket | None = None
_receiving = RLock()


def _inbox_path(pid: int) -> str:
    # The start time tells a process from an earlier one with the same id.
    try:
        started = procfs.started(pid)
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
    record = handover.describe(entry, value, 0 if descriptors else -1, 1 if len(descriptors) > 1 else -1)
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
    held = handover.receive(record, *(*fds, -1, -1)[:2])
    table.adopt(record["handle"], held, record["access"], record["flags"])
    if record["flags"] & FLAG_INHERIT:
        synchronise_inheritance()


def forked() -> None:
    """In a forked child: the socket is the parent's, and another thread of it may have been receiving."""
    global _inbox, _receiving
    _receiving = RLock()
    if _inbox is not None:
        _inbox.close()
        _inbox = None
