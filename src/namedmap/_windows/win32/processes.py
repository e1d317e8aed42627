"""Functions on processes: their end, how they ended, their times."""

from namedmap._convention.call import AnyHandle, Out, dword, handle
from namedmap._windows import dll
from namedmap._windows.win32.passing import done, place, win32
from namedmap.types import DWORD, FILETIME, LARGE_INTEGER


@win32(False)
def TerminateProcess(hProcess: AnyHandle, uExitCode: int) -> bool:
    """End a process now, with this exit code. Source: TerminateProcess (processthreadsapi.h)."""
    return done(dll.TerminateProcess, handle(hProcess), dword(uExitCode, "uExitCode"))


@win32(False)
def GetExitCodeProcess(hProcess: AnyHandle, lpExitCode: Out) -> bool:
    """Store the exit code of a process in a DWORD: STILL_ACTIVE (259) if it has not ended.

    Source: GetExitCodeProcess (processthreadsapi.h).
    """
    return done(dll.GetExitCodeProcess, handle(hProcess), place(lpExitCode, DWORD, "lpExitCode"))


@win32(False)
def GetProcessTimes(
    hProcess: AnyHandle, lpCreationTime: Out, lpExitTime: Out, lpKernelTime: Out, lpUserTime: Out
) -> bool:
    """Store when a process began and ended, and its processor time in the kernel and outside, in units of 100 ns.

    Each of them goes to a FILETIME or LARGE_INTEGER. Source: GetProcessTimes (processthreadsapi.h).
    """
    times = (FILETIME, LARGE_INTEGER)
    return done(
        dll.GetProcessTimes,
        handle(hProcess),
        place(lpCreationTime, times, "lpCreationTime"),
        place(lpExitTime, times, "lpExitTime"),
        place(lpKernelTime, times, "lpKernelTime"),
        place(lpUserTime, times, "lpUserTime"),
    )
