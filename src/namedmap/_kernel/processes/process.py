"""Processes and threads, as far as handles to them can be held and waited for."""

import errno
import os
from typing import ClassVar

from namedmap._kernel.linux import natives
from namedmap._kernel.objects.kernelobject import KernelObject
from namedmap._kernel.status import NTSTATUS, KernelError, from_oserror


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
        return natives.poll((self._fd,), 0)

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
