"""The replayer's host where processes fork: Linux.

`process_vm_readv` and `process_vm_writev` on oneself obey the protection of each page as the processor does, but report
a fault as an error instead of raising a signal that would end the process.
"""

import contextlib
import ctypes
import errno
import os
import select
import shutil
import signal
import subprocess
from ctypes import c_int, c_size_t, c_ssize_t, c_ulong, c_void_p
from pathlib import Path
from typing import Any

from faults import Fault

from namedmap import win32

LASTS = True
JOBS = min(os.cpu_count() or 1, 4)
KILLED = -signal.SIGKILL
ROOT = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


def popen(*, leader: bool) -> dict[str, Any]:
    return {"start_new_session": leader}


def wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    ended = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.poll(seconds * 1000)
    finally:
        os.close(ended)


def kill(process: subprocess.Popen[bytes], *, leader: bool) -> None:
    # Not yet waited for, so neither its pid nor its group can belong to anyone else.
    with contextlib.suppress(ProcessLookupError):
        if leader:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.kill(process.pid, signal.SIGKILL)


def remove(directory: str) -> None:
    shutil.rmtree(directory)


def sleeps(thread: int) -> bool | None:
    try:
        stat = Path(f"/proc/self/task/{thread}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[0] == "S"


class _Iovec(ctypes.Structure):
    _fields_ = (("iov_base", c_void_p), ("iov_len", c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)
for _function in (_libc.process_vm_readv, _libc.process_vm_writev):
    _function.argtypes = (c_int, ctypes.POINTER(_Iovec), c_ulong, ctypes.POINTER(_Iovec), c_ulong, c_ulong)
    _function.restype = c_ssize_t


def move(local: int, remote: int, count: int, *, store: bool) -> None:
    function = _libc.process_vm_writev if store else _libc.process_vm_readv
    here, there = _Iovec(local, count), _Iovec(remote, count)
    moved = function(os.getpid(), ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    if moved < 0 and ctypes.get_errno() not in (errno.EFAULT, errno.ENOMEM):
        code = ctypes.get_errno()
        raise OSError(code, f"the memory of this process cannot be examined: {os.strerror(code)}")
    moved = max(moved, 0)
    if moved != count:
        raise Fault(_kind(remote + moved, store), moved)


def _kind(address: int, store: bool) -> str:
    info = win32.MEMORY_BASIC_INFORMATION()
    known = win32.VirtualQuery(address, info, ctypes.sizeof(info))
    if known and info.Protect & win32.PAGE_GUARD:
        return "GUARD"
    # Where the page is there and its protection allows the access, the file behind it ends before it.
    return "INPAGE" if known and info.State == win32.MEM_COMMIT and allows(address, store=store) else "AV"


def allows(address: int, *, store: bool) -> bool:
    """Whether the kernel's own table of mappings grants this access at `address`."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights = line.split(maxsplit=2)[:2]
        first, last = (int(bound, 16) for bound in span.split("-"))
        if first <= address < last:
            return rights[1 if store else 0] in "rw"
    return False
