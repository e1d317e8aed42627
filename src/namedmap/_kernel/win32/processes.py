"""Functions on processes: their end, how they ended, their times."""

import contextlib
import os
from collections.abc import Iterator
from typing import NoReturn

from namedmap._convention import call
from namedmap._convention.call import AnyHandle, Out, win32
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.objects.table import table
from namedmap._kernel.processes.process import Process
from namedmap._kernel.win32.handles import reference_any
from namedmap.constants import ProcessAccess
from namedmap.types import DWORD, FILETIME, LARGE_INTEGER

_TERMINATE = int(ProcessAccess.PROCESS_TERMINATE)
_QUERY = int(ProcessAccess.PROCESS_QUERY_INFORMATION | ProcessAccess.PROCESS_QUERY_LIMITED_INFORMATION)
#: Units of FILETIME: how many nanoseconds they have, and how many lie between 1601 and 1970.
_UNIT, _EPOCH = 100, 116_444_736_000_000_000


@contextlib.contextmanager
def _process(value: AnyHandle, any_of: int) -> Iterator[Process]:
    """The process of a handle that has one of these rights."""
    with reference_any(call.handle(value)) as reference:
        held = reference.object
        if not isinstance(held, Process):
            raise KernelError(NTSTATUS.STATUS_OBJECT_TYPE_MISMATCH, f"handle {value} is not one to a process")
        if not reference.access & any_of:
            raise KernelError(
                NTSTATUS.STATUS_ACCESS_DENIED,
                f"the handle was opened with access {reference.access:#x}; this needs one of {any_of:#x}",
            )
        yield held


@win32(False)
def TerminateProcess(hProcess: AnyHandle, uExitCode: int) -> bool:
    """End a process now: with SIGKILL, or this one without exit handlers.

    GetExitCodeProcess gives the code to the callers in this process; for all others it ended by a signal. The handle
    needs PROCESS_TERMINATE. Returns False on failure: ERROR_ACCESS_DENIED (also for a process that has ended),
    ERROR_INVALID_HANDLE. Source: TerminateProcess (processthreadsapi.h).
    """
    code = call.dword(uExitCode, "uExitCode")
    with _process(hProcess, _TERMINATE) as process:
        if process.pid == os.getpid():
            _end(code)
        process.terminate(code)
    return True


def _end(code: int) -> NoReturn:
    table.retire_all()
    os._exit(code & 0xFF)


@win32(False)
def GetExitCodeProcess(hProcess: AnyHandle, lpExitCode: Out) -> bool:
    """Store how a process has ended in a DWORD: STILL_ACTIVE (259) if it has not.

    That is its exit status, of 8 bits; the number of the signal that ended it; or the code that this process gave to
    TerminateProcess. Of a process that is no child, and that its parent has waited for, only Linux 6.15 tells; before,
    it is 0. Returns False on failure: ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE. Source: GetExitCodeProcess
    (processthreadsapi.h).
    """
    out = call.target(lpExitCode, DWORD, "lpExitCode")
    with _process(hProcess, _QUERY) as process:
        out.value = process.exit_code()
    return True


@win32(False)
def GetProcessTimes(
    hProcess: AnyHandle, lpCreationTime: Out, lpExitTime: Out, lpKernelTime: Out, lpUserTime: Out
) -> bool:
    """Store when a process began and ended, and its processor time in the kernel and outside, in units of 100 ns.

    Each of them goes to a FILETIME or LARGE_INTEGER. The end is 0 while the process runs; then it is the moment at
    which this handle was first asked for it. Linux counts processor time in ticks of some milliseconds. Returns False
    on failure: ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE. Source: GetProcessTimes (processthreadsapi.h).
    """
    names = ("lpCreationTime", "lpExitTime", "lpKernelTime", "lpUserTime")
    given = (lpCreationTime, lpExitTime, lpKernelTime, lpUserTime)
    outs = [call.target(out, (FILETIME, LARGE_INTEGER), name) for out, name in zip(given, names, strict=True)]
    with _process(hProcess, _QUERY) as process:
        times = process.times()
    ended = times.ended // _UNIT + _EPOCH if times.ended else 0
    values = (times.created // _UNIT + _EPOCH, ended, times.kernel // _UNIT, times.user // _UNIT)
    for out, value in zip(outs, values, strict=True):
        if isinstance(out, FILETIME):
            out.dwLowDateTime, out.dwHighDateTime = value & 0xFFFFFFFF, value >> 32
        else:
            out.value = value
    return True
