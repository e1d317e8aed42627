"""Processes and threads, as far as handles to them can be held, waited for and asked."""

import errno
import fcntl
import os
import signal
import struct
import time
from typing import ClassVar, NamedTuple, Self

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap._kernel.linux import natives, procfs
from namedmap._kernel.linux.descriptors import Descriptor
from namedmap._kernel.objects.kernelobject import KernelObject
from namedmap.constants import STILL_ACTIVE

#: PIDFD_GET_INFO (Linux 6.15 for this use): the wait status of a process that has been waited for.
_GET_INFO, _INFO, _EXIT = 0xC040FF0B, struct.Struct("Q52xi"), 1 << 3
#: The codes of processes that this one has ended, by process id and start: no signal carries them.
_codes: dict[tuple[int, str], int] = {}


class Times(NamedTuple):
    """When a process began and ended, in nanoseconds since 1970 (0: it runs), and its processor time."""

    created: int
    ended: int
    kernel: int
    user: int


class Process(KernelObject):
    """A process that handles can be duplicated into."""

    type_name: ClassVar[str] = "Process"
    generic = (0x20410, 0x20B2A, 0x121001, 0x1FFFFF)

    def __init__(self, pid: int, started: str | None = None) -> None:
        """`started` is when the process began, where the caller knows it: another one with its id is refused."""
        self.pid = pid
        try:
            self._fd = Descriptor(os.pidfd_open(pid))
        except (OSError, OverflowError) as error:
            require_ours(error)
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                raise from_oserror(error, f"cannot open process {pid}") from None
            raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"no process has the id {pid}") from None
        #: With it, what is known of the process when another one may have its id.
        self.started = self._start()
        self._times: Times | None = None
        if started and started != self.started:
            self._fd.close()
            raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"the process that had the id {pid} has ended")

    def __str__(self) -> str:
        return f"process {self.pid}"

    def retain(self) -> Self:
        """Add a reference, for a call, unless other code has closed the descriptor."""
        self._fd.require(self)
        return super().retain()

    def _start(self) -> str:
        """When it began, which tells it from later processes with its id; "" if that is free, or without /proc."""
        try:
            found = procfs.started(self.pid)
        except OSError as error:
            require_ours(error)
            return ""
        # The start that was read is of the process that the descriptor holds only if that one had its id until then,
        # which it keeps until its parent has waited for it.
        try:
            signal.pidfd_send_signal(self._fd, 0)
        except OSError as error:
            require_ours(error)
            return found if error.errno == errno.EPERM else ""
        return found

    @property
    def is_this(self) -> bool:
        """Whether it is the calling process, and not an earlier one that had its id."""
        return self.pid == os.getpid() and not self.signaled()

    def is_same_as(self, other: "Process") -> bool:
        """Whether another handle means the same process, and not one that has had its id before or after it."""
        if (self.pid, self.started) != (other.pid, other.started):
            return False
        # The kernel counts the start in hundredths of a second, so two short processes may have it in common as well.
        # Of one process no handle says that it lives once another has said that it has ended.
        return self.signaled() <= other.signaled() <= self.signaled()

    def signaled(self) -> bool:
        """Whether the process has ended."""
        self._fd.require(self)
        return natives.poll((self._fd,), 0)

    def descriptor(self) -> int:
        return self._fd.require(self)

    # -- its end ------------------------------------------------------------------------------------------------------

    def terminate(self, code: int) -> None:
        """End the process now, with an exit code for those who ask through this library in this process."""
        if self.signaled():
            raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, f"{self} has ended already")
        key = self.pid, self.started
        known = _codes.get(key)
        # First, so that nobody sees the end without the code.
        _codes[key] = code
        try:
            signal.pidfd_send_signal(self._fd, signal.SIGKILL)
        except OSError as error:
            _codes.pop(key) if known is None else _codes.update({key: known})
            if error.errno == errno.ESRCH:
                raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, f"{self} has ended already") from None
            raise from_oserror(error, f"cannot end {self}") from None

    def exit_code(self) -> int:
        """STILL_ACTIVE, or how the process ended: its status, the number of the signal that ended it, 0 if unknown."""
        if not self.signaled():
            return STILL_ACTIVE
        status = self._wait_status()
        if status is None:
            return _codes.get((self.pid, self.started), 0)
        if os.WIFSIGNALED(status):
            killed = os.WTERMSIG(status)
            return _codes.get((self.pid, self.started), killed) if killed == signal.SIGKILL else killed
        return os.WEXITSTATUS(status)

    def _wait_status(self) -> int | None:
        """The status that a wait for the process gives, from anywhere that has it; the process is not waited for."""
        with ignored(OSError):
            found = os.waitid(os.P_PIDFD, self._fd, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if found is not None:
                return found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status
        with ignored(OSError):  # somebody has waited for it
            mask, status = _INFO.unpack(fcntl.ioctl(self._fd, _GET_INFO, _INFO.pack(_EXIT, 0)))
            if mask & _EXIT:
                return int(status)
        with ignored(OSError, ValueError):  # somebody else's child, which waits to be waited for
            if procfs.started(self.pid) == self.started:
                return procfs.wait_status(self.pid)
        return None

    # -- its times ----------------------------------------------------------------------------------------------------

    def times(self) -> Times:
        """Its times; once it has ended, those that were seen last, and when that was first seen."""
        ended = self.signaled()
        if self._times is not None and self._times.ended:
            return self._times
        with ignored(OSError):
            if procfs.started(self.pid) == self.started:
                kernel, user = procfs.processor_time(self.pid)
                self._times = Times(procfs.boot_time() + _ticks(int(self.started)), 0, _ticks(kernel), _ticks(user))
        if self._times is None:
            raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, f"/proc does not show {self} to this user")
        if ended:
            self._times = self._times._replace(ended=time.time_ns())
        return self._times

    def _free(self) -> None:
        self._fd.close()


def _ticks(number: int) -> int:
    """Ticks of the kernel's clock in nanoseconds."""
    return number * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Thread(KernelObject):
    """A thread, as far as a handle to it can be held."""

    type_name: ClassVar[str] = "Thread"
    generic = (0x20048, 0x20037, 0x121800, 0x1FFFFF)

    def signaled(self) -> bool:
        """The calling thread has not ended."""
        return False
