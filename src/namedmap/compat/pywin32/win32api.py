"""pywin32's `win32api`, as far as it deals with handles, processes, files and error texts."""

import os as _os
import tempfile as _tempfile
import threading as _threading
import time as _time
from collections.abc import Iterable as _Iterable

from namedmap import constants as _c
from namedmap import types as _types
from namedmap._platform import functions as _functions
from namedmap.compat.pywin32 import _calls
from namedmap.compat.pywin32.pywintypes import PyHANDLE as _PyHANDLE
from namedmap.compat.pywin32.pywintypes import error as error

_handle = _PyHANDLE.number


# -- handles and processes ---------------------------------------------------------------------------------------------


def CloseHandle(handle: _calls.AnyHandle, /) -> None:
    """Close a handle. Raises error for what is none."""
    if isinstance(handle, _PyHANDLE):
        handle.Close()
    elif value := _handle(handle):
        _calls.check(_functions.CloseHandle(value), "CloseHandle")


def DuplicateHandle(
    hSourceProcess: _calls.AnyHandle,
    hSource: _calls.AnyHandle,
    hTargetProcessHandle: _calls.AnyHandle,
    desiredAccess: int,
    bInheritHandle: int,
    options: int,
    /,
) -> _PyHANDLE:
    """Another handle to an object. One for another process is a number there: detach it, or it is closed here."""
    source, held, receiver = _handle(hSourceProcess), _handle(hSource), _handle(hTargetProcessHandle)
    made = _types.HANDLE()
    done = _functions.DuplicateHandle(source, held, receiver, made, desiredAccess, bool(bInheritHandle), options)
    _calls.check(done, "DuplicateHandle")
    return _PyHANDLE(made.value)


def GetHandleInformation(Object: _calls.AnyHandle, /) -> int:
    """HANDLE_FLAG_INHERIT and HANDLE_FLAG_PROTECT_FROM_CLOSE of a handle."""
    flags = _types.DWORD()
    _calls.check(_functions.GetHandleInformation(_handle(Object), flags), "GetHandleInformation")
    return flags.value


def SetHandleInformation(Object: _calls.AnyHandle, Mask: int, Flags: int, /) -> None:
    """Set the flags of a handle that `Mask` names."""
    _calls.check(_functions.SetHandleInformation(_handle(Object), Mask, Flags), "SetHandleInformation")


def GetCurrentProcess() -> int:
    return _functions.GetCurrentProcess()


def GetCurrentThread() -> int:
    return _functions.GetCurrentThread()


def GetCurrentProcessId() -> int:
    return _functions.GetCurrentProcessId()


def GetCurrentThreadId() -> int:
    return _threading.get_native_id()


def OpenProcess(reqdAccess: int, bInherit: int, pid: int, /) -> _PyHANDLE:
    """A handle to a process, to wait for its end or to duplicate handles into it."""
    return _calls.owned(_functions.OpenProcess(reqdAccess, bool(bInherit), pid), "OpenProcess")


def TerminateProcess(handle: _calls.AnyHandle, exitCode: int, /) -> None:
    """End a process now. Raises error, with ERROR_ACCESS_DENIED for one that has ended."""
    _calls.check(_functions.TerminateProcess(_handle(handle), exitCode), "TerminateProcess")


def OutputDebugString(msg: str, /) -> None:
    """Give a text to the debug listener, if there is one."""
    _functions.OutputDebugString(msg)


# -- errors ------------------------------------------------------------------------------------------------------------


def GetLastError() -> int:
    """The error of this thread's last call, ERROR_ALREADY_EXISTS after a Create function that opened."""
    return int(_functions.GetLastError())


def SetLastError(errVal: int, /) -> None:
    _functions.SetLastError(errVal)


def FormatMessage(
    flags: int = 0,
    source: str | None = None,
    messageId: int | None = None,
    languageID: int = 0,
    inserts: _Iterable[str] | None = None,
    /,
) -> str:
    """The text for an error code, given alone (0: the last error), or as FormatMessage in Win32 has its arguments."""
    if messageId is None and source is None:
        flags, messageId = int(_c.FORMAT_MESSAGE_FROM_SYSTEM), flags or GetLastError()
    if inserts is not None:
        raise error(int(_c.ERROR_NOT_SUPPORTED), "FormatMessage", "texts take no inserts here")
    text = _functions.FormatMessage(flags, source, messageId or 0, languageID)
    _calls.check(text, "FormatMessage")
    # The system's own texts end their line.
    return f"{text}\r\n" if flags & _c.FORMAT_MESSAGE_FROM_SYSTEM and source is None else str(text)


FormatMessageW = FormatMessage


# -- time and system ---------------------------------------------------------------------------------------------------


def Sleep(time: int, bAlterable: int = 0, /) -> int:
    """Sleep for so many milliseconds."""
    _calls.sleep(time)
    return 0


SleepEx = Sleep


def GetTickCount() -> int:
    """Milliseconds of a clock that begins again after 49.7 days."""
    return int(_time.monotonic() * 1000) & 0xFFFFFFFF


def GetSystemInfo() -> tuple[int, int, int, int, int, int, int, int, tuple[int, int]]:
    """Architecture, page size, lowest and highest address, mask and number of processors, their type, the allocation
    granularity, and the processors' level and revision."""
    info = _types.SYSTEM_INFO()
    _functions.GetSystemInfo(info)
    return (
        info.wProcessorArchitecture,
        info.dwPageSize,
        info.lpMinimumApplicationAddress or 0,
        info.lpMaximumApplicationAddress or 0,
        info.dwActiveProcessorMask,
        info.dwNumberOfProcessors,
        info.dwProcessorType,
        info.dwAllocationGranularity,
        (info.wProcessorLevel, info.wProcessorRevision),
    )


def GetTempPath() -> str:
    """The directory for temporary files, with a separator at its end."""
    return _os.path.join(_tempfile.gettempdir(), "")


# -- files -------------------------------------------------------------------------------------------------------------


def CopyFile(src: str, dest: str, bFailOnExist: int = 0, /) -> None:
    _calls.check(_functions.CopyFile(src, dest, bFailOnExist), "CopyFile")


def DeleteFile(fileName: str, /) -> None:
    _calls.check(_functions.DeleteFile(fileName), "DeleteFile")


def MoveFile(srcName: str, destName: str, /) -> None:
    _calls.check(_functions.MoveFile(srcName, destName), "MoveFile")


def MoveFileEx(srcName: str, destName: str, flag: int, /) -> None:
    _calls.check(_functions.MoveFileEx(srcName, destName, flag), "MoveFileEx")


def GetFileAttributes(pathName: str, /) -> int:
    """The attributes of a file. Raises error if there is none; win32file's returns -1."""
    found = _functions.GetFileAttributes(pathName)
    _calls.check(found != int(_c.INVALID_FILE_ATTRIBUTES), "GetFileAttributes")
    return int(found)


def SetFileAttributes(pathName: str, attrs: int, /) -> None:
    _calls.check(_functions.SetFileAttributes(pathName, attrs), "SetFileAttributes")
