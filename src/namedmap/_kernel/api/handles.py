"""Handle functions, processes, and the last error."""

import contextlib
import os

from namedmap._kernel import processes
from namedmap._kernel.api.call import Out, boolean, dword, handle, last_error, set_last_error, target, win32
from namedmap._kernel.files import File
from namedmap._kernel.handles import CURRENT_PROCESS, CURRENT_THREAD, FLAG_INHERIT, Handle, table
from namedmap._kernel.processes import Process, Thread
from namedmap._kernel.status import NTSTATUS, KernelError
from namedmap.types import DWORD, HANDLE

_CLOSE_SOURCE, _SAME_ACCESS = 1, 2


def GetLastError() -> int:
    """The last-error code of this thread."""
    return last_error.code


def SetLastError(dwErrCode: int) -> None:
    """Set the last-error code of this thread."""
    set_last_error(dword(dwErrCode))


def GetCurrentProcess() -> int:
    """The pseudo handle of this process, -1."""
    return CURRENT_PROCESS


def GetCurrentThread() -> int:
    """The pseudo handle of the calling thread, -2."""
    return CURRENT_THREAD


def GetCurrentProcessId() -> int:
    """The id of this process. From this call on other processes of the user can duplicate handles into it."""
    processes.open_inbox()
    return os.getpid()


@win32(None)
def OpenProcess(dwDesiredAccess: int, bInheritHandle: bool, dwProcessId: int) -> int:
    """A handle to a process, to duplicate handles into it.

    Returns the handle, or None: ERROR_INVALID_PARAMETER if there is no such process. Source: OpenProcess (Win32).
    """
    access = Process.map_access(dword(dwDesiredAccess))
    return table.insert(Process(dword(dwProcessId)), access, inherit=boolean(bInheritHandle))


@win32(False)
def CloseHandle(hObject: int) -> bool:
    """Close a handle; the last one to an object takes its name away.

    Returns True, or False: ERROR_INVALID_HANDLE for a value that is no open handle, or is protected from closing.
    Source: CloseHandle (Win32).
    """
    table.close(handle(hObject))
    return True


@win32(False)
def DuplicateHandle(
    hSourceProcessHandle: int,
    hSourceHandle: int,
    hTargetProcessHandle: int,
    lpTargetHandle: Out,
    dwDesiredAccess: int,
    bInheritHandle: bool,
    dwOptions: int,
) -> bool:
    """Make another handle to an object, in this process or in one from OpenProcess.

    `lpTargetHandle` (HANDLE) receives the value in the target process. The source must be this process. Returns True,
    or False: ERROR_INVALID_HANDLE, ERROR_ACCESS_DENIED (the target takes no handles), ERROR_NOT_SUPPORTED (another source
    process). DUPLICATE_CLOSE_SOURCE closes the source even then. Source: DuplicateHandle (Win32).
    """
    options = dword(dwOptions)
    out = target(lpTargetHandle, HANDLE, "lpTargetHandle", required=False)
    source = handle(hSourceHandle)
    if not _is_this_process(handle(hSourceProcessHandle)):
        raise KernelError(NTSTATUS.STATUS_NOT_SUPPORTED, "handles can be given to another process, not taken from one")
    try:
        value = _duplicate(
            source,
            handle(hTargetProcessHandle),
            dword(dwDesiredAccess),
            boolean(bInheritHandle),
            bool(options & _SAME_ACCESS),
        )
    finally:
        if options & _CLOSE_SOURCE:
            # A source that cannot be closed (protected, or no handle) does not make the call fail.
            with contextlib.suppress(KernelError):
                table.close(source)
    if out is not None:
        out.value = value
    return True


def _duplicate(source: int, to: int, access: int, inherit: bool, same_access: bool) -> int:
    entry = _entry(source)
    granted = entry.access if same_access else entry.object.map_access(access)
    if isinstance(entry.object, File) and granted & ~entry.access:
        raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, "a duplicate of a file handle cannot have more access than it")
    if _is_this_process(to):
        if source not in (CURRENT_PROCESS, CURRENT_THREAD):
            entry.object.add_handle()
        return table.insert(entry.object, granted, inherit=inherit)
    with table.reference(to, Process) as process:
        return processes.send(Handle(entry.object, granted, FLAG_INHERIT if inherit else 0), process.object)


def _entry(source: int) -> Handle:
    """The table entry; a real object for a pseudo handle."""
    if source == CURRENT_PROCESS:
        return Handle(Process(os.getpid()), Process.generic[3])
    if source == CURRENT_THREAD:
        return Handle(Thread(), Thread.generic[3])
    return table.get(source)


def _is_this_process(value: int) -> bool:
    if value == CURRENT_PROCESS:
        return True
    with table.reference(value, Process) as process:
        return process.object.pid == os.getpid()


@win32(False)
def GetHandleInformation(hObject: int, lpdwFlags: Out) -> bool:
    """Store HANDLE_FLAG_INHERIT and HANDLE_FLAG_PROTECT_FROM_CLOSE of a handle in a DWORD.

    Source: GetHandleInformation (Win32).
    """
    value = handle(hObject)
    flags = 0 if value in (CURRENT_PROCESS, CURRENT_THREAD) else table.get(value).flags
    target(lpdwFlags, DWORD, "lpdwFlags").value = flags
    return True


@win32(False)
def SetHandleInformation(hObject: int, dwMask: int, dwFlags: int) -> bool:
    """Set the flags of a handle that `dwMask` names. Source: SetHandleInformation (Win32)."""
    mask, flags, value = dword(dwMask), dword(dwFlags), handle(hObject)
    if value in (CURRENT_PROCESS, CURRENT_THREAD):
        raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, "a pseudo handle has no flags")
    table.set_flags(value, mask & 3, flags)
    return True


@win32(False)
def CompareObjectHandles(hFirstObjectHandle: int, hSecondObjectHandle: int) -> bool:
    """Whether two handles refer to the same object. Source: CompareObjectHandles (Win32)."""
    first, second = handle(hFirstObjectHandle), handle(hSecondObjectHandle)
    if first == second and first in (CURRENT_PROCESS, CURRENT_THREAD):
        return True
    one, two = table.get(first).object, table.get(second).object
    if isinstance(one, Process) and isinstance(two, Process):
        return one.pid == two.pid
    return one is two
