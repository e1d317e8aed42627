"""Handle functions, processes, and the last error."""

import os

from namedmap._convention import call
from namedmap._convention.call import AnyHandle, Out, boolean, dword, handle, last_error, set_last_error
from namedmap._windows import dll, handles
from namedmap._windows.win32.passing import done, made, place, win32
from namedmap.types import DWORD, HANDLE

_CURRENT_PROCESS, _CURRENT_THREAD = -1, -2


def GetLastError() -> int:
    """The last-error code of this thread, as the functions of `namedmap.win32` left it."""
    return last_error.code


@call.win32(None)
def SetLastError(dwErrCode: int) -> None:
    """Set the last-error code of this thread."""
    set_last_error(dword(dwErrCode))


def GetCurrentProcess() -> int:
    """The pseudo handle of this process, -1."""
    return _CURRENT_PROCESS


def GetCurrentThread() -> int:
    """The pseudo handle of the calling thread, -2."""
    return _CURRENT_THREAD


def GetCurrentProcessId() -> int:
    """The id of this process."""
    return os.getpid()


@win32(None)
def OpenProcess(dwDesiredAccess: int, bInheritHandle: bool, dwProcessId: int) -> int:
    """A handle to a process, or None. Source: OpenProcess (processthreadsapi.h)."""
    return made(dll.OpenProcess, dword(dwDesiredAccess), boolean(bInheritHandle), dword(dwProcessId))


@win32(False)
def CloseHandle(hObject: AnyHandle) -> bool:
    """Close a handle; the last one to an object takes its name away. Source: CloseHandle (handleapi.h)."""
    number = handle(hObject)
    owner, closed = handles.owner_of(number), done(dll.CloseHandle, number)
    if owner is not None:
        owner.was_closed()
    return closed


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
    """Make another handle to an object, from and for any process.

    `lpTargetHandle` (HANDLE, or None) receives the value in the target process. Source: DuplicateHandle (handleapi.h).
    """
    return done(
        dll.DuplicateHandle,
        handle(hSourceProcessHandle),
        handle(hSourceHandle),
        handle(hTargetProcessHandle),
        place(lpTargetHandle, HANDLE, "lpTargetHandle", required=False),
        dword(dwDesiredAccess),
        boolean(bInheritHandle),
        dword(dwOptions),
    )


@win32(False)
def GetHandleInformation(hObject: AnyHandle, lpdwFlags: Out) -> bool:
    """Store HANDLE_FLAG_INHERIT and HANDLE_FLAG_PROTECT_FROM_CLOSE of a handle in a DWORD.

    Source: GetHandleInformation (handleapi.h).
    """
    return done(dll.GetHandleInformation, handle(hObject), place(lpdwFlags, DWORD, "lpdwFlags"))


@win32(False)
def SetHandleInformation(hObject: AnyHandle, dwMask: int, dwFlags: int) -> bool:
    """Set the flags of a handle that `dwMask` names. Source: SetHandleInformation (handleapi.h)."""
    return done(dll.SetHandleInformation, handle(hObject), dword(dwMask), dword(dwFlags))


@win32(False)
def CompareObjectHandles(hFirstObjectHandle: AnyHandle, hSecondObjectHandle: AnyHandle) -> bool:
    """Whether two handles refer to the same object; ERROR_CALL_NOT_IMPLEMENTED before Windows 10.

    Source: CompareObjectHandles (handleapi.h).
    """
    return done(dll.CompareObjectHandles, handle(hFirstObjectHandle), handle(hSecondObjectHandle))
