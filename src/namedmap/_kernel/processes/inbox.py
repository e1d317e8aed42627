"""DuplicateHandle into another process of the user.

A process that calls GetCurrentProcessId listens on a socket in the user's own directory of names, named by pid and
start time. The sender connects and puts a locked description into a message; while it is in flight the kernel holds it
for the receiver, whatever becomes of the sender. The receiver looks into the socket when it meets a handle value that
it does not know.
"""

import array
import atexit
import contextlib
import errno
import itertools
import json
import os
import random
import socket
from collections.abc import Callable
from typing import Any

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap._kernel.files.file import File
from namedmap._kernel.linux import locks, procfs
from namedmap._kernel.linux.descriptors import Descriptor
from namedmap._kernel.linux.lineage import free
from namedmap._kernel.linux.natives import RLock
from namedmap._kernel.memory.section import Section
from namedmap._kernel.names import namespace
from namedmap._kernel.objects.named import NamedObject
from namedmap._kernel.objects.table import FLAG_INHERIT, FOREIGN, LIMIT, Handle, table
from namedmap._kernel.processes import handover
from namedmap._kernel.processes.handover import reopen
from namedmap._kernel.processes.inheritance import synchronise_inheritance
from namedmap._kernel.processes.process import Process

_inbox: socket.socket | None = None
_descriptor: Descriptor | None = None
#: Senders that have come, and whose message has not: one may have been stopped in between.
_coming: list[socket.socket] = []
_receiving = RLock()

#: Of them. Above that the oldest is given up, whose sender is told so by an error.
_MOST_COMING = 64
_LONGEST_MESSAGE = 1 << 18


def _inbox_path(pid: int, started: str) -> str:
    # The start time tells a process from an earlier one with the same id.
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
    global _inbox, _descriptor
    with _receiving:
        if _lost():
            _shut()
        if _inbox is not None:
            return
        inbox, path = _bound(_inbox_path(os.getpid(), procfs.started(os.getpid())))
        inbox.listen(1024)
        _inbox, _descriptor = inbox, Descriptor(inbox.fileno())
        atexit.register(_close_inbox, path, os.getpid())


def _bound(path: str) -> tuple[socket.socket, str]:
    """An inbox, and where it is."""
    for number in itertools.count():
        try:
            place = f"{path}.{number}" if number else path
            return _socket(socket.socket.bind, place), place
        except OSError as error:
            # Another program had this process's id and start time, and was replaced by exec. A sweep may remove its
            # inbox, and would not know it from one of the same path.
            if error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError


def _connected(target: Process) -> socket.socket:
    path = _inbox_path(target.pid, target.started)
    try:
        return _socket(socket.socket.connect, path)
    except (ConnectionRefusedError, FileNotFoundError) as error:
        require_ours(error)
        directory, plain = os.path.split(path)
        for name in os.listdir(directory):
            if name.startswith(f"{plain}."):
                with ignored(ConnectionRefusedError, FileNotFoundError):
                    return _socket(socket.socket.connect, f"{directory}/{name}")
        raise


def _close_inbox(path: str, pid: int) -> None:
    if os.getpid() == pid and _inbox is not None:
        _shut()
        with ignored(OSError):
            os.unlink(path)


def send(entry: Handle[Any], target: Process) -> int:
    """Duplicate a handle into another process; returns its value there."""
    if target.signaled():
        raise KernelError(
            NTSTATUS.STATUS_ACCESS_DENIED, f"process {target.pid} has ended, and takes no handles any more"
        )
    value = FOREIGN + 4 * random.SystemRandom().randrange((LIMIT - FOREIGN) // 4)
    held = entry.object
    descriptors = []
    if isinstance(held, NamedObject):
        # It counts as the receiver's handle already.
        descriptors.append(reopen(held, locks_at=locks.new_slot()))
        if isinstance(held, Section) and held.file_backed:
            descriptors.append(_duplicate(held.backing_fd, held))
    elif isinstance(held, File):
        descriptors.append(_duplicate(held.fd.require(held), held))
    record = handover.describe(entry, value, 0 if descriptors else -1, 1 if len(descriptors) > 1 else -1)
    message = json.dumps(record).encode("utf-8", "surrogateescape")
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    try:
        with _connected(target) as out:
            out.sendmsg([message], rights)
    except BlockingIOError:
        raise KernelError(
            NTSTATUS.STATUS_ACCESS_DENIED,
            f"process {target.pid} has too many handles on their way to it: it looks at them when it uses one of them",
        ) from None
    except OSError as error:
        require_ours(error)
        raise KernelError(
            NTSTATUS.STATUS_ACCESS_DENIED,
            f"process {target.pid} takes no handles ({error.strerror}): it must be the same user's, use namedmap with "
            "the same NAMEDMAP_ROOT, and have called GetCurrentProcessId() once",
        ) from None
    finally:
        for fd in descriptors:
            os.close(fd)
    return value


def _duplicate(fd: int, what: object) -> int:
    try:
        return os.dup(fd)
    except OSError as error:
        raise from_oserror(error, f"cannot hand over {what}") from None


def receive() -> None:
    """Adopt all handles that other processes have sent."""
    # One thread at a time: one that finds the queue empty must find what another has just taken from it in the table.
    with _receiving:
        _accept()
        for message in list(_coming):
            if _delivered(message):
                _drop(message)
        while len(_coming) > _MOST_COMING:
            _drop(_coming[0])


def _accept() -> None:
    while (inbox := _inbox) is not None and not _lost():
        try:
            message, _ = inbox.accept()
        except BlockingIOError:
            return
        except OSError as error:
            raise from_oserror(error, "cannot receive what other processes have duplicated into this one") from None
        message.setblocking(False)  # its sender may be stopped before it sends
        _coming.append(message)


def _drop(message: socket.socket) -> None:
    with contextlib.suppress(ValueError):  # a signal handler has come in between
        _coming.remove(message)
    message.close()


def _delivered(message: socket.socket) -> bool:
    """Adopt the handle of a sender, if it has come to send it; whether nothing more is to be expected of it."""
    try:
        text, ancillary, _, _ = message.recvmsg(_LONGEST_MESSAGE, socket.CMSG_SPACE(8), socket.MSG_CMSG_CLOEXEC)
    except BlockingIOError:
        return False
    except OSError as error:  # closed meanwhile
        require_ours(error)
        return True
    descriptors = array.array("i")
    for _, _, raw in ancillary:
        descriptors.frombytes(raw[: len(raw) - len(raw) % descriptors.itemsize])
    try:
        # A malformed message, or an object that is gone: the handle stays unknown. (Text that is nested too deeply for
        # the parser is a RecursionError.)
        with ignored(KernelError, OSError, ValueError, RecursionError):
            record = handover.judged(json.loads(text.decode("utf-8", "surrogateescape")), len(descriptors))
            given = list(descriptors)
            descriptors = descriptors[:0]
            _adopt(record, *(*given, -1, -1)[:2])
    finally:
        for fd in descriptors:
            os.close(fd)
    return True


def _adopt(record: handover.Record, fd: int, backing: int) -> None:
    held = handover.receive(record, fd, backing)
    try:
        if record["handle"] < FOREIGN:
            raise ValueError("this process chooses such handles itself")
        table.adopt(record["handle"], held, record["access"], record["flags"])
    except (KernelError, ValueError):
        held.drop_handle()
        raise
    if record["flags"] & FLAG_INHERIT:
        synchronise_inheritance()


def forked() -> None:
    """In a forked child: the socket is the parent's, and another thread of it may have been receiving."""
    free_lock()
    _shut()


def free_lock() -> None:
    """Where the thread that has it does not run any more."""
    free(_receiving)


def _lost() -> bool:
    """Whether other code has closed the socket."""
    return _descriptor is not None and not _descriptor.intact()


def _shut() -> None:
    """Close the socket, if it is still ours, and what has come to it."""
    global _inbox, _descriptor
    inbox, descriptor = _inbox, _descriptor
    _inbox = _descriptor = None
    if inbox is not None and descriptor is not None:
        inbox.detach()
        descriptor.close()
    while _coming:
        _coming.pop().close()
