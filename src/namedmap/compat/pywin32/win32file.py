"""pywin32's `win32file`, as far as it deals with files. Transfers are complete on return, also with an OVERLAPPED."""

import typing as _typing
from typing import Any as _Any

from namedmap import constants as _c
from namedmap import types as _types
from namedmap._platform import functions as _functions
from namedmap.compat import builtin as _builtin
from namedmap.compat.pywin32 import _calls
from namedmap.compat.pywin32.pywintypes import OVERLAPPED as OVERLAPPED
from namedmap.compat.pywin32.pywintypes import PyHANDLE as _PyHANDLE
from namedmap.compat.pywin32.pywintypes import PyOVERLAPPED as _PyOVERLAPPED
from namedmap.compat.pywin32.pywintypes import error as error
from namedmap.compat.pywin32.win32api import CloseHandle as CloseHandle

_GROUPS = (_c.FileShare, _c.CreationDisposition, _c.FileAttribute, _c.FileFlag, _c.MoveMethod, _c.MoveFileFlag)
_OTHERS = (
    "GENERIC_READ",
    "GENERIC_WRITE",
    "GENERIC_EXECUTE",
    "FILE_GENERIC_READ",
    "FILE_GENERIC_WRITE",
    "FILE_ALL_ACCESS",
)

globals().update(_calls.constants([*(name for group in _GROUPS for name in group.__members__), *_OTHERS]))
INVALID_HANDLE_VALUE = _c.INVALID_HANDLE_VALUE
FILE_TYPE_UNKNOWN, FILE_TYPE_DISK, FILE_TYPE_CHAR, FILE_TYPE_PIPE = range(4)

_handle = _PyHANDLE.number

if _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> int: ...


# -- open --------------------------------------------------------------------------------------------------------------


def CreateFile(
    fileName: str,
    desiredAccess: int,
    shareMode: int,
    attributes: _calls.Attributes,
    CreationDisposition: int,
    flagsAndAttributes: int,
    hTemplateFile: _calls.AnyHandle = None,
    /,
) -> _PyHANDLE:
    """Open or create a file."""
    given, template = _calls.attributes(attributes), _handle(hTemplateFile)
    made = _functions.CreateFile(
        fileName, desiredAccess, shareMode, given, CreationDisposition, flagsAndAttributes, template
    )
    return _calls.owned(made, "CreateFile")


def CreateFileW(
    FileName: str,
    DesiredAccess: int,
    ShareMode: int,
    SecurityAttributes: _calls.Attributes,
    CreationDisposition: int,
    FlagsAndAttributes: int,
    TemplateFile: _calls.AnyHandle = None,
    Transaction: None = None,
    MiniVersion: None = None,
    ExtendedParameter: None = None,
) -> _PyHANDLE:
    """CreateFile, with names for its arguments; transactions there are none."""
    if (Transaction, MiniVersion, ExtendedParameter) != (None, None, None):
        raise error(int(_c.ERROR_NOT_SUPPORTED), "CreateFileW", "there are no transactions: leave them None")
    return CreateFile(
        FileName, DesiredAccess, ShareMode, SecurityAttributes, CreationDisposition, FlagsAndAttributes, TemplateFile
    )


# -- read and write ----------------------------------------------------------------------------------------------------


def AllocateReadBuffer(bufSize: int, /) -> memoryview:
    """A buffer to read into."""
    return memoryview(bytearray(bufSize))


def ReadFile(hFile: _calls.AnyHandle, size_or_buffer: _Any, overlapped: _PyOVERLAPPED | None = None, /) -> _Any:
    """Read so many bytes, or as many as a buffer takes: (0, the bytes read), or (0, the buffer) with an OVERLAPPED.

    At the end of the file there are none; with an OVERLAPPED it is an error, ERROR_HANDLE_EOF.
    """
    allocated = isinstance(size_or_buffer, int)
    buffer = AllocateReadBuffer(size_or_buffer) if allocated else size_or_buffer
    length, done = memoryview(buffer).nbytes, _types.DWORD()
    place = _begin(overlapped)
    _calls.check(_functions.ReadFile(_handle(hFile), buffer, length, done, place), "ReadFile")
    _end(overlapped, done.value)
    return 0, bytes(memoryview(buffer).cast("B")[: done.value]) if overlapped is None else buffer


def WriteFile(hFile: _calls.AnyHandle, data: _Any, ol: _PyOVERLAPPED | None = None, /) -> tuple[int, int]:
    """Write bytes: (0, how many were written)."""
    done = _types.DWORD()
    place = _begin(ol)
    _calls.check(_functions.WriteFile(_handle(hFile), data, memoryview(data).nbytes, done, place), "WriteFile")
    _end(ol, done.value)
    return 0, done.value


def _begin(overlapped: _PyOVERLAPPED | None) -> _types.OVERLAPPED | None:
    if overlapped is None:
        return None
    if not isinstance(overlapped, _PyOVERLAPPED):
        raise TypeError(f"overlapped is a PyOVERLAPPED or None, not {type(overlapped).__name__}")
    if overlapped.hEvent:
        _functions.ResetEvent(_handle(overlapped.hEvent))
    return _types.OVERLAPPED(0, 0, overlapped.Offset, overlapped.OffsetHigh)


def _end(overlapped: _PyOVERLAPPED | None, count: int) -> None:
    if overlapped is not None:
        overlapped.Internal, overlapped.InternalHigh = 0, count
        if overlapped.hEvent:
            _functions.SetEvent(_handle(overlapped.hEvent))


def GetOverlappedResult(hFile: _calls.AnyHandle, overlapped: _PyOVERLAPPED, bWait: int, /) -> int:
    """How many bytes the transfer moved."""
    return overlapped.InternalHigh


# -- place and size ----------------------------------------------------------------------------------------------------


def SetFilePointer(handle: _calls.AnyHandle, offset: int, moveMethod: int, /) -> int:
    """Move the file pointer; returns where it is."""
    place = _types.LARGE_INTEGER()
    _calls.check(_functions.SetFilePointerEx(_handle(handle), offset, place, moveMethod), "SetFilePointer")
    return place.value


def SetEndOfFile(hFile: _calls.AnyHandle, /) -> int:
    """Make the file end at the file pointer."""
    _calls.check(_functions.SetEndOfFile(_handle(hFile)), "SetEndOfFile")
    return 1


def GetFileSize(hFile: _calls.AnyHandle, /) -> int:
    """The size of the file in bytes."""
    size = _types.LARGE_INTEGER()
    _calls.check(_functions.GetFileSizeEx(_handle(hFile), size), "GetFileSize")
    return size.value


def FlushFileBuffers(hFile: _calls.AnyHandle, /) -> None:
    """Have the disk take what was written, and wait for that."""
    _calls.check(_functions.FlushFileBuffers(_handle(hFile)), "FlushFileBuffers")


# -- byte-range locks --------------------------------------------------------------------------------------------------


def _get_osfhandle(fd: int, /) -> int:
    """A handle of the file that a descriptor is of; it stays open as long as the process."""
    return int(_builtin.module("msvcrt").get_osfhandle(fd))


def LockFileEx(
    hFile: _calls.AnyHandle,
    dwFlags: int,
    nNumberOfBytesToLockLow: int,
    nNumberOfBytesToLockHigh: int,
    ol: _PyOVERLAPPED,
    /,
) -> None:
    """Lock bytes from the offset of an OVERLAPPED on: shared, or alone with LOCKFILE_EXCLUSIVE_LOCK.

    Raises error with ERROR_LOCK_VIOLATION if LOCKFILE_FAIL_IMMEDIATELY is among the flags; without, it waits.
    """
    low, high = nNumberOfBytesToLockLow, nNumberOfBytesToLockHigh
    locked = _functions.LockFileEx(_handle(hFile), dwFlags, 0, low, high, _begin(ol))
    _calls.check(locked, "LockFileEx")
    _end(ol, 0)


def UnlockFileEx(
    hFile: _calls.AnyHandle, nNumberOfBytesToUnlockLow: int, nNumberOfBytesToUnlockHigh: int, ol: _PyOVERLAPPED, /
) -> None:
    """Unlock a range that was locked. Raises error with ERROR_NOT_LOCKED."""
    low, high = nNumberOfBytesToUnlockLow, nNumberOfBytesToUnlockHigh
    unlocked = _functions.UnlockFileEx(_handle(hFile), 0, low, high, _begin(ol))
    _calls.check(unlocked, "UnlockFileEx")


# -- by name -----------------------------------------------------------------------------------------------------------


def DeleteFile(fileName: str, /) -> None:
    _calls.check(_functions.DeleteFile(fileName), "DeleteFile")


def CopyFile(source: str, to: str, bFailIfExists: int, /) -> None:
    _calls.check(_functions.CopyFile(source, to, bFailIfExists), "CopyFile")


def MoveFile(existingFileName: str, newFileName: str, /) -> None:
    _calls.check(_functions.MoveFile(existingFileName, newFileName), "MoveFile")


def MoveFileEx(existingFileName: str, newFileName: str, flags: int, /) -> None:
    _calls.check(_functions.MoveFileEx(existingFileName, newFileName, flags), "MoveFileEx")


def GetFileAttributes(fileName: str, /) -> int:
    """The attributes of a file; -1 if there is none."""
    return _calls.signed(_functions.GetFileAttributes(fileName))


def SetFileAttributes(filename: str, newAttributes: int, /) -> None:
    _calls.check(_functions.SetFileAttributes(filename, newAttributes), "SetFileAttributes")


def DeleteFileW(FileName: str, Transaction: None = None) -> None:
    DeleteFile(FileName)


def SetFileAttributesW(FileName: str, FileAttributes: int, Transaction: None = None) -> None:
    SetFileAttributes(FileName, FileAttributes)


CopyFileW = CopyFile
MoveFileW = MoveFile
MoveFileExW = MoveFileEx
GetFileAttributesW = GetFileAttributes
