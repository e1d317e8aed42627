"""Reads and writes of this process's own memory that survive pages that fault.

`process_vm_readv` and `process_vm_writev` on oneself obey the protection of each page as the processor does, but report
a fault as an error instead of raising a signal that would end the process. They go page by page, because the kernel
decides page by page whether an access faults.
"""

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from ctypes import c_int, c_size_t, c_ssize_t, c_ulong, c_void_p
from pathlib import Path

PAGE = 4096


class _Iovec(ctypes.Structure):
    _fields_ = (("iov_base", c_void_p), ("iov_len", c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)
for _function in (_libc.process_vm_readv, _libc.process_vm_writev):
    _function.argtypes = (c_int, ctypes.POINTER(_Iovec), c_ulong, ctypes.POINTER(_Iovec), c_ulong, c_ulong)
    _function.restype = c_ssize_t


def read(address: int, count: int) -> bytes:
    """The `count` bytes at `address`, or those before the first that faults."""
    buffer = ctypes.create_string_buffer(count)
    done = _transfer(_libc.process_vm_readv, ctypes.addressof(buffer), address, count)
    return buffer.raw[:done]


def write(address: int, content: bytes) -> int:
    """Store `content` at `address`; how many bytes were stored before the first that faults."""
    buffer = ctypes.create_string_buffer(content, len(content))
    return _transfer(_libc.process_vm_writev, ctypes.addressof(buffer), address, len(content))


def _transfer(function: Callable[..., int], local: int, remote: int, count: int) -> int:
    done = 0
    for start, length in _pieces(remote, count):
        here, there = _Iovec(local + done, length), _Iovec(start, length)
        moved = function(os.getpid(), ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
        if moved < 0 and ctypes.get_errno() not in (errno.EFAULT, errno.ENOMEM):
            code = ctypes.get_errno()
            raise OSError(code, f"the memory of this process cannot be examined: {os.strerror(code)}")
        done += max(moved, 0)
        if moved != length:
            break
    return done


def _pieces(address: int, count: int) -> Iterator[tuple[int, int]]:
    end = address + count
    while address < end:
        length = min(PAGE - address % PAGE, end - address)
        yield address & 0xFFFFFFFFFFFFFFFF, length
        address += length


def allows(address: int, *, store: bool) -> bool:
    """Whether the kernel's own table of mappings grants this access at `address`."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights = line.split(maxsplit=2)[:2]
        first, last = (int(bound, 16) for bound in span.split("-"))
        if first <= address < last:
            return rights[1 if store else 0] in "rw"
    return False
