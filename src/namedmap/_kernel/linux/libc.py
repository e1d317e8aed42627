"""The foreign declarations: C functions and structures of Linux that the standard library does not offer.

Nothing here decides anything. Every function has its argtypes and restype; names are the C library's. Pages of source:
mmap(2), mprotect(2), msync(2), madvise(2), mlock(2), process_vm_readv(2), userfaultfd(2), ioctl_userfaultfd(2),
futex(2).
"""

import ctypes
import os
from ctypes import (
    c_char_p,
    c_int,
    c_long,
    c_short,
    c_size_t,
    c_ssize_t,
    c_ubyte,
    c_uint,
    c_uint32,
    c_uint64,
    c_ulong,
    c_void_p,
)

PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC = 0, 1, 2, 4
MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS = 0x01, 0x02, 0x10, 0x20
MAP_NORESERVE, MAP_FIXED_NOREPLACE = 0x4000, 0x100000
MS_SYNC = 4
MADV_WILLNEED = 3
MADV_DONTFORK = 10
MAP_FAILED = c_void_p(-1).value
#: The size of a page, in bytes.
PAGE = os.sysconf("SC_PAGESIZE")

_libc = ctypes.CDLL(None, use_errno=True)


class iovec(ctypes.Structure):
    # The base may be bytes, or an address.
    _fields_ = (("iov_base", c_char_p), ("iov_len", c_size_t))


mmap = _libc.mmap
mmap.argtypes, mmap.restype = (c_void_p, c_size_t, c_int, c_int, c_int, c_long), c_void_p
munmap = _libc.munmap
munmap.argtypes, munmap.restype = (c_void_p, c_size_t), c_int
mprotect = _libc.mprotect
mprotect.argtypes, mprotect.restype = (c_void_p, c_size_t, c_int), c_int
msync = _libc.msync
msync.argtypes, msync.restype = (c_void_p, c_size_t, c_int), c_int
madvise = _libc.madvise
madvise.argtypes, madvise.restype = (c_void_p, c_size_t, c_int), c_int
mlock = _libc.mlock
mlock.argtypes, mlock.restype = (c_void_p, c_size_t), c_int
munlock = _libc.munlock
munlock.argtypes, munlock.restype = (c_void_p, c_size_t), c_int
mincore = _libc.mincore
mincore.argtypes, mincore.restype = (c_void_p, c_size_t, ctypes.POINTER(c_ubyte)), c_int
process_vm_readv = _libc.process_vm_readv
process_vm_readv.argtypes = (c_int, ctypes.POINTER(iovec), c_ulong, ctypes.POINTER(iovec), c_ulong, c_ulong)
process_vm_readv.restype = c_ssize_t
process_vm_writev = _libc.process_vm_writev
process_vm_writev.argtypes, process_vm_writev.restype = process_vm_readv.argtypes, c_ssize_t
read = _libc.read
read.argtypes, read.restype = (c_int, c_void_p, c_size_t), c_ssize_t
write = _libc.write
write.argtypes, write.restype = (c_int, c_void_p, c_size_t), c_ssize_t
pread = _libc.pread64
pread.argtypes, pread.restype = (c_int, c_void_p, c_size_t, c_long), c_ssize_t
pwrite = _libc.pwrite64
pwrite.argtypes, pwrite.restype = (c_int, c_void_p, c_size_t, c_long), c_ssize_t
renameat2 = _libc.renameat2
renameat2.argtypes, renameat2.restype = (c_int, c_char_p, c_int, c_char_p, ctypes.c_uint), c_int


class pollfd(ctypes.Structure):
    _fields_ = (("fd", c_int), ("events", c_short), ("revents", c_short))


POLLIN = 1
poll = _libc.poll
poll.argtypes, poll.restype = (ctypes.POINTER(pollfd), c_ulong, c_int), c_int
usleep = _libc.usleep
usleep.argtypes, usleep.restype = (c_uint,), c_int
syscall = _libc.syscall
syscall.restype = c_long

SYS_FUTEX = {"x86_64": 202, "i686": 240, "armv7l": 240, "ppc64le": 221, "s390x": 238}.get(os.uname().machine, 98)
SYS_FUTEX_WAITV = 449
FUTEX_WAIT, FUTEX_WAKE_OP = 0, 5
FUTEX2_SIZE_U32 = 2


class timespec(ctypes.Structure):
    _fields_ = (("tv_sec", c_long), ("tv_nsec", c_long))


class futex_waiter(ctypes.Structure):
    """struct futex_waitv, which has the name of its system call."""

    _fields_ = (("val", c_uint64), ("uaddr", c_uint64), ("flags", c_uint32), ("reserved", c_uint32))


# The C library has no function for either call; each use of `syscall` gets argument types of its own.
futex_wait = _libc["syscall"]
futex_wait.argtypes = (c_long, c_void_p, c_int, c_uint, ctypes.POINTER(timespec))
futex_wait.restype = c_long
futex_wake_op = _libc["syscall"]
futex_wake_op.argtypes = (c_long, c_void_p, c_int, c_uint, c_long, c_void_p, c_uint)
futex_wake_op.restype = c_long
futex_waitv = _libc["syscall"]
futex_waitv.argtypes = (c_long, c_void_p, c_uint, c_uint, ctypes.POINTER(timespec), c_int)
futex_waitv.restype = c_long

SYS_CACHESTAT = 451  # cachestat(2)


class cachestat_range(ctypes.Structure):
    _fields_ = (("off", c_uint64), ("len", c_uint64))


class cachestat(ctypes.Structure):
    _fields_ = tuple(
        (name, c_uint64) for name in ("nr_cache", "nr_dirty", "nr_writeback", "nr_evicted", "nr_recently_evicted")
    )


cachestat_ = _libc["syscall"]
cachestat_.argtypes = (c_long, c_int, ctypes.POINTER(cachestat_range), ctypes.POINTER(cachestat), c_uint)
cachestat_.restype = c_long


#: Of Python's own C interface: have a thread raise an exception at its next instruction.
set_asynchronous_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
set_asynchronous_exception.argtypes, set_asynchronous_exception.restype = (c_ulong, ctypes.py_object), c_int


def error(call: str) -> OSError:
    """The OSError for the C call that has just failed in this thread."""
    code = ctypes.get_errno()
    return OSError(code, f"{call}: {os.strerror(code)}")
