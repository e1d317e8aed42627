"""Processes and threads, as far as handles to them can be held and waited for."""

import errno
import os
import select
from typing import ClassVar

from namedmap._kernel.linux import procfs
from namedmap._kernel.objects.kernelobject import KernelObject
from namedmap._kernel.status import NTSTATUS, KernelError, from_oserror


class Process(KernelObject):
    """A process that handles can be duplicated into."""

    type_name: ClassVar[str] = "Process"
    generic = (0x20410, 0x20B2A, 0x121001, 0x1FFFFF)

    def __init__(self, pid: int, started: str | None = None) -> None:
        """`started` is when the process began, where the caller knows it: another one with its id is refused."""
        self.pid = pid
        try:
            self._fd = os.pidfd_open(pid)
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                raise from_oserror(error, f"cannot open process {pid}") from None
            raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"no process has the id {pid}") from None
        self.started = self._start()
        if started and started != self.started:
            os.close(self._fd)
            raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"the process that had the id {pid} has ended")

    def _start(self) -> str:
        """When it began, which tells it from later processes with its id; "" if it has ended, or without /proc."""
        try:
            found = procfs.started(self.pid)
        except OSError:
            return ""
        # What was read is of the process that the descriptor holds only if that one had its id until then.
        return "" if self.signaled() else found

    @property
    def is_this(self) -> bool:
        """Whether it is the calling process, and not an earlier one that had its id."""
        return self.pid == os.getpid() and not self.signaled()

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
