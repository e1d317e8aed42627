"""Handle functions, processes, and the last error."""

import contextlib
import os

from namedmap._convention.call import (
    AnyHandle,
    Out,
    boolean,
    dword,
    handle,
    last_error,
    set_last_error,
    target,
    win32,
)
from namedmap._convention.status import NTSTATUS, KernelError, ignored
from namedmap._kernel.files.file import File
from namedmap._kernel.objects.kernelobject import KernelObject
from namedmap._kernel.objects.table import CURRENT_PROCESS, CURRENT_THREAD, FLAG_INHERIT, Handle, Reference, table
from namedmap._kernel.processes import inbox
from namedmap._kernel.processes.process import Process, Thread
from namedmap.types import DWORD, HANDLE

_CLOSE_SOURCE, _SAME_ACCESS = 1, 2


def GetLastError() -> int:
    """The last-error code of this thread."""
    return last_error.code


@win32(None)
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
    with ignored(OSError, KernelError):  # without a descriptor left it cannot be reached; it has an id
        inbox.open_inbox()
    return os.getpid()


@win32(None)
def OpenProcess(dwDesiredAccess: int, bInheritHandle: bool, dwProcessId: int) -> int:
    """A handle to a process, to duplicate handles into it.

    Returns the handle, or None: ERROR_INVALID_PARAMETER if there is no such process. Source: OpenProcess (Win32).
    """
    access, inherit, pid = Process.map_access(dword(dwDesiredAccess)), boolean(bInheritHandle), dword(dwProcessId)
    return table.insert(Process(pid), access, inherit=inherit)


@win32(False)
def CloseHandle(hObject: AnyHandle) -> bool:
    """Close a handle; the last one to an object takes its name away.

    Returns True, or False: ERROR_INVALID_HANDLE for a value that is no open handle, or is protected from closing.
    Source: CloseHandle (Win32).
    """
    table.close(handle(hObject))
    return True


@win32(False)
def DuplicateHandle(
    hSourceProcessHandle: AnyHandle,
    hSourceHandle: AnyHandle,
    hTargetProcessHandle: AnyHandle,
    lpTargetHandle: Out,
    dwDesiredAccess: int,
    bInheritHandle: bool,
    dwOptions: int,
) -> bool:
    """Make another handle to an object, in this process or in one from OpenProcess.

    `lpTargetHandle` (HANDLE) receives the value in the target process. The source must be this process. Returns True,
    or False: ERROR_INVALID_HANDLE, ERROR_ACCESS_DENIED (the target takes no handles), ERROR_NOT_SUPPORTED (another
    source process). DUPLICATE_CLOSE_SOURCE closes the source even then. Source: DuplicateHandle (Win32).
    """
    options = dword(dwOptions)
    out = target(lpTargetHandle, HANDLE, "lpTargetHandle", required=False)
    source = handle(hSourceHandle)
    if not is_this_process(handle(hSourceProcessHandle)):
        raise KernelError(NTSTATUS.STATUS_NOT_SUPPORTED, "handles can be given to another process, not taken from one")
    to, inherit = handle(hTargetProcessHandle), boolean(bInheritHandle)
    wanted = dword(dwDesiredAccess)
    try:
        with reference_any(source) as reference:
            same = bool(options & _SAME_ACCESS)
            asked = reference.access if same else reference.object.map_access(wanted)
            granted = asked & reference.object.valid_access
            if isinstance(reference.object, File):
                reference.require(granted)
            if not is_this_process(to):
                value = _send(reference.object, granted, inherit, to)
            elif options & _CLOSE_SOURCE and table.replace(source, asked, inherit=inherit):
                options, value = 0, source & ~3
            else:
                counted = reference.object.counted(first=source in (CURRENT_PROCESS, CURRENT_THREAD))
                value = table.insert(counted, granted, inherit=inherit)
    finally:
        if options & _CLOSE_SOURCE:
            # A source that cannot be closed (protected, or no handle) does not make the call fail.
            with contextlib.suppress(KernelError):
                table.close(source)
    if out is not None:
        out.value = value
    return True


def _send(held: KernelObject, granted: int, inherit: bool, to: int) -> int:
    with table.reference(to, Process) as process:
        return inbox.send(Handle(held, granted, FLAG_INHERIT if inherit else 0), process.object)


def reference_any(value: int) -> Reference[KernelObject]:
    """Look up a handle to an object of whatever type; for a pseudo handle, an object made for the purpose."""
    if value not in (CURRENT_PROCESS, CURRENT_THREAD):
        return table.reference(value, KernelObject)
    made = Process(os.getpid()) if value == CURRENT_PROCESS else Thread()
    made.handle_count = 0
    return Reference(made, made.generic[3])


def is_this_process(value: int) -> bool:
    if value == CURRENT_PROCESS:
        return True
    with table.reference(value, Process) as process:
        return process.object.is_this


@win32(False)
def GetHandleInformation(hObject: AnyHandle, lpdwFlags: Out) -> bool:
    """Store HANDLE_FLAG_INHERIT and HANDLE_FLAG_PROTECT_FROM_CLOSE of a handle in a DWORD.

    Source: GetHandleInformation (Win32).
    """
    value = handle(hObject)
    flags = 0 if value in (CURRENT_PROCESS, CURRENT_THREAD) else table.get(value).flags
    target(lpdwFlags, DWORD, "lpdwFlags").value = flags
    return True


@win32(False)
def SetHandleInformation(hObject: AnyHandle, dwMask: int, dwFlags: int) -> bool:
    """Set the flags of a handle that `dwMask` names. Source: SetHandleInformation (Win32)."""
    mask, flags, value = dword(dwMask), dword(dwFlags), handle(hObject)
    if value in (CURRENT_PROCESS, CURRENT_THREAD):
        raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, "a pseudo handle has no flags")
    table.set_flags(value, mask & 3, flags)
    return True


@win32(False)
def CompareObjectHandles(hFirstObjectHandle: AnyHandle, hSecondObjectHandle: AnyHandle) -> bool:
    """Whether two handles refer to the same object. Source: CompareObjectHandles (Win32)."""
    first, second = handle(hFirstObjectHandle), handle(hSecondObjectHandle)
    if first == second and first in (CURRENT_PROCESS, CURRENT_THREAD):
        return True
    one, two = table.get(first).object, table.get(second).object
    if isinstance(one, Process) and isinstance(two, Process):
        return one.is_same_as(two)
    return one is two
