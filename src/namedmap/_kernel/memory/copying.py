"""Copying from and to memory that may not be there: an error where a touch would be a signal.

Source: process_vm_readv(2).
"""

import ctypes
import errno
import os
from collections.abc import Callable

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror
from namedmap._kernel.files import file
from namedmap._kernel.linux import libc
from namedmap._kernel.linux.libc import PAGE

_can_copy = True


def read(address: int, size: int) -> bytes:
    """Bytes of this process, or an error where a touch would be a signal. Source: process_vm_readv(2)."""
    target = ctypes.create_string_buffer(size)
    _transfer(libc.process_vm_readv, ctypes.addressof(target), address, size)
    return target.raw


def write(address: int, data: bytes) -> None:
    """Store bytes in memory of this process, or raise an error where a touch would be a signal."""
    _transfer(libc.process_vm_writev, data, address, len(data))


def _transfer(call: Callable[..., int], own: int | bytes, address: int, size: int) -> None:
    global _can_copy
    mine, there = libc.iovec(own, size), libc.iovec(address, size)
    if _can_copy and call(os.getpid(), mine, 1, there, 1, 0) == size:
        return
    start, done = ctypes.c_void_p.from_buffer(mine).value or 0, 0
    while done < size and _can_copy:
        mine, there = libc.iovec(start + done, size - done), libc.iovec(address + done, size - done)
        count = call(os.getpid(), mine, 1, there, 1, 0)
        if count > 0:
            done += count
        elif count == 0 or ctypes.get_errno() == errno.EFAULT:
            raise gone(address + done)
        elif ctypes.get_errno() in (errno.ENOSYS, errno.EPERM):
            _can_copy = False  # a container's filter of system calls
        else:
            raise from_oserror(libc.error("process_vm_readv"), "cannot copy memory of a view")
    if done < size:
        writing = call is libc.process_vm_writev
        _touch(address + done, size - done, file.MADV_POPULATE_WRITE if writing else file.MADV_POPULATE_READ)
        target, source = (address, start) if writing else (start, address)
        ctypes.memmove(target + done, source + done, size - done)


def _touch(address: int, size: int, how: int) -> None:
    """Have the kernel touch the pages; a moment later they may be gone all the same."""
    start = address // PAGE * PAGE
    if libc.madvise(start, address + size - start, how) and ctypes.get_errno() in (errno.EFAULT, errno.ENOMEM):
        raise gone(address)


def gone(address: int) -> KernelError:
    return KernelError(
        NTSTATUS.STATUS_IN_PAGE_ERROR,
        f"the memory at {address:#x} is not there: its file was cut off by another program, its disk is full, its "
        "pages are reserved and not committed, or their protection forbids it",
    )
