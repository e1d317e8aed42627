"""Faults on reserved pages, by userfaultfd.

A page of a SEC_RESERVE section faults until some process commits it, and from then on works in every view of every
process. A file of tmpfs with holes has just these two states: a hole, or a page. One thing is missing: touching a hole
fills it. userfaultfd(2) changes that for a range of addresses: registered for missing pages with UFFD_FEATURE_SIGBUS, a
touch of a hole is a fault (SIGBUS in the program, EFAULT in a system call), while a page that fallocate has put there,
in whatever process, is simply mapped. Nobody has to be told of a commit.

Without privileges userfaultfd is restricted to faults from user mode; that is enough, system calls then fail as well.
Where it is missing or forbidden (before Linux 5.11, some containers' seccomp filters) touching a reserved page commits
it instead. VirtualQuery tells the truth in either case.
"""

import ctypes
import fcntl
import os
import struct

from namedmap._convention.status import require_ours
from namedmap._kernel.linux import libc
from namedmap._kernel.linux.descriptors import Descriptor

_SYSCALL = {"x86_64": 323, "aarch64": 282, "riscv64": 282, "ppc64le": 364, "s390x": 355}.get(os.uname().machine)
_USER_MODE_ONLY = 1
_API, _FEATURE_SIGBUS, _FEATURE_MISSING_SHMEM, _MODE_MISSING = 0xAA, 1 << 7, 1 << 5, 1


def _iowr(number: int, size: int) -> int:
    return 3 << 30 | size << 16 | _API << 8 | number


class FaultGuard:
    """This process's userfaultfd, made when first needed."""

    def __init__(self) -> None:
        self._fd: Descriptor | None = None
        self._forbidden = False

    def register(self, address: int, length: int) -> bool:
        """Make touching holes in this range fault; False where the system does not allow it."""
        if self._fd is not None and not self._fd.intact():
            self._fd = None  # what it guarded it guards no more
        if self._fd is None and not self._forbidden:
            self._open()
        if self._fd is None:
            return False
        request = struct.pack("QQQQ", address, length, _MODE_MISSING, 0)
        try:
            fcntl.ioctl(self._fd, _iowr(0x00, 32), request)
        except OSError as error:
            require_ours(error)
            return False
        return True

    def _open(self) -> None:
        self._forbidden = True
        if _SYSCALL is None:
            return
        fd = libc.syscall(ctypes.c_long(_SYSCALL), ctypes.c_int(os.O_CLOEXEC | _USER_MODE_ONLY))
        if fd < 0:
            return
        try:
            fcntl.ioctl(fd, _iowr(0x3F, 24), struct.pack("QQQ", _API, _FEATURE_SIGBUS | _FEATURE_MISSING_SHMEM, 0))
        except OSError as error:
            os.close(fd)
            require_ours(error)
            return
        self._fd, self._forbidden = Descriptor(fd), False

    def after_fork(self) -> None:
        """A child's mappings are not registered, and the inherited descriptor is the parent's."""
        if self._fd is not None:
            self._fd.close()
        self._fd, self._forbidden = None, False


guard = FaultGuard()
