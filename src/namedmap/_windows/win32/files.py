"""Files: CreateFile and the calls on file handles and on paths.

Paths are str or os.PathLike, as Windows reads them.
"""

import ctypes
import os
from typing import Any

from namedmap._convention import call
from namedmap._convention.call import AnyHandle, Out, boolean, dword, handle, target
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._windows import dll
from namedmap._windows.win32.passing import Refused, answer, done, place, secured, win32
from namedmap.constants import (
    INVALID_FILE_SIZE,
    INVALID_HANDLE_VALUE,
    INVALID_SET_FILE_POINTER,
    FileAttribute,
    FileFlag,
)
from namedmap.types import OVERLAPPED

Path = str | os.PathLike[str] | os.PathLike[bytes] | None

_INVALID_HANDLE = int(INVALID_HANDLE_VALUE)
_INVALID_ATTRIBUTES = int(FileAttribute.INVALID_FILE_ATTRIBUTES)
_OVERLAPPED = int(FileFlag.FILE_FLAG_OVERLAPPED)
_IO_PENDING = 997  # ERROR_IO_PENDING


@win32(INVALID_HANDLE_VALUE)
def CreateFile(
    lpFileName: Path,
    dwDesiredAccess: int,
    dwShareMode: int,
    lpSecurityAttributes: Any,
    dwCreationDisposition: int,
    dwFlagsAndAttributes: int,
    hTemplateFile: AnyHandle,
) -> int:
    """Open or create a file, a directory (FILE_FLAG_BACKUP_SEMANTICS) or a device.

    Returns a handle, or INVALID_HANDLE_VALUE; ERROR_NOT_SUPPORTED for FILE_FLAG_OVERLAPPED, since the transfers here
    are synchronous. Source: CreateFileW (fileapi.h).
    """
    flags = dword(dwFlagsAndAttributes, "dwFlagsAndAttributes")
    if flags & _OVERLAPPED:
        raise KernelError(
            NTSTATUS.STATUS_NOT_SUPPORTED, "transfers are synchronous here: leave FILE_FLAG_OVERLAPPED out"
        )
    with secured(lpSecurityAttributes) as attributes:
        opened, code = answer(
            dll.CreateFileW,
            _path(lpFileName),
            dword(dwDesiredAccess, "dwDesiredAccess"),
            dword(dwShareMode, "dwShareMode"),
            attributes,
            dword(dwCreationDisposition, "dwCreationDisposition"),
            flags,
            handle(hTemplateFile),
        )
    if opened == _INVALID_HANDLE:
        raise Refused(code)
    return int(opened)


@win32(False)
def ReadFile(
    hFile: AnyHandle, lpBuffer: Any, nNumberOfBytesToRead: int, lpNumberOfBytesRead: Out, lpOverlapped: Out = None
) -> bool:
    """Read `nNumberOfBytesToRead` bytes at the file pointer, or at the offset in `lpOverlapped`, and move the pointer.

    `lpBuffer` is a bytearray, writable memoryview or ctypes object of at least that many bytes, or an address.
    `lpNumberOfBytesRead`, a DWORD, gets the bytes read. It may be None if there is an `lpOverlapped`. Returns False on
    failure; ERROR_INSUFFICIENT_BUFFER for a buffer object that is too small. Source: ReadFile (fileapi.h).
    """
    overlapped, count = _transfer(lpOverlapped, lpNumberOfBytesRead, "lpNumberOfBytesRead")
    length = dword(nNumberOfBytesToRead, "nNumberOfBytesToRead")
    memory = call.buffer(lpBuffer, length, "lpBuffer", writable=True)
    return _moved(dll.ReadFile, handle(hFile), memory, length, count, overlapped)


@win32(False)
def WriteFile(
    hFile: AnyHandle, lpBuffer: Any, nNumberOfBytesToWrite: int, lpNumberOfBytesWritten: Out, lpOverlapped: Out = None
) -> bool:
    """Write `nNumberOfBytesToWrite` bytes at the file pointer, or at the offset in `lpOverlapped`; move the pointer.

    `lpBuffer` is a bytes-like or ctypes object of at least that many bytes, or an address. `lpNumberOfBytesWritten`, a
    DWORD, gets the bytes written. It may be None if there is an `lpOverlapped`. Returns False on failure;
    ERROR_INSUFFICIENT_BUFFER for a buffer object that is too small. Source: WriteFile (fileapi.h).
    """
    overlapped, count = _transfer(lpOverlapped, lpNumberOfBytesWritten, "lpNumberOfBytesWritten")
    length = dword(nNumberOfBytesToWrite, "nNumberOfBytesToWrite")
    memory = call.buffer(lpBuffer, length, "lpBuffer", writable=False)
    return _moved(dll.WriteFile, handle(hFile), memory, length, count, overlapped)


def _transfer(overlapped: Out, count: Out, what: str) -> tuple[OVERLAPPED | None, ctypes.c_uint32]:
    """The structures behind the arguments of a transfer; the count is zero before anything else can fail."""
    where: OVERLAPPED | None = target(overlapped, OVERLAPPED, "lpOverlapped", required=False)
    found: ctypes.c_uint32 | None = target(count, ctypes.c_uint32, what, required=where is None)
    if found is None:
        found = ctypes.c_uint32()
    found.value = 0
    return where, found


def _moved(
    function: dll.Foreign,
    file: int,
    memory: call.Memory,
    length: int,
    count: ctypes.c_uint32,
    overlapped: OVERLAPPED | None,
) -> bool:
    where = None if overlapped is None else ctypes.byref(overlapped)
    result, code = answer(function, file, memory.address, length, ctypes.byref(count), where)
    if not result and code == _IO_PENDING and where is not None:
        # A handle from elsewhere, opened with FILE_FLAG_OVERLAPPED: the buffer must stay until the transfer is over.
        return done(dll.GetOverlappedResult, file, where, ctypes.byref(count), True)
    if not result:
        raise Refused(code)
    return True


@win32(INVALID_SET_FILE_POINTER)
def SetFilePointer(hFile: AnyHandle, lDistanceToMove: int, lpDistanceToMoveHigh: Out, dwMoveMethod: int) -> int:
    """Move the file pointer by a signed distance in bytes from FILE_BEGIN, FILE_CURRENT or FILE_END.

    `lpDistanceToMoveHigh`, a LONG or None, holds the upper 32 bits of the distance and gets those of the new position.
    Returns the lower 32 bits of the new position. INVALID_SET_FILE_POINTER is a failure unless the last error is 0.
    Source: SetFilePointer (fileapi.h).
    """
    low = ctypes.c_int32(dword(lDistanceToMove, "lDistanceToMove")).value
    high = place(lpDistanceToMoveHigh, ctypes.c_int32, "lpDistanceToMoveHigh", required=False)
    return _low(dll.SetFilePointer, handle(hFile), low, high, dword(dwMoveMethod, "dwMoveMethod"))


@win32(False)
def SetFilePointerEx(hFile: AnyHandle, liDistanceToMove: int, lpNewFilePointer: Out, dwMoveMethod: int) -> bool:
    """Move the file pointer by a signed distance in bytes from FILE_BEGIN, FILE_CURRENT or FILE_END.

    `lpNewFilePointer`, a LARGE_INTEGER or None, gets the new position in bytes from the start. Source: SetFilePointerEx
    (fileapi.h).
    """
    out = place(lpNewFilePointer, ctypes.c_int64, "lpNewFilePointer", required=False)
    distance = call.int64(liDistanceToMove, "liDistanceToMove")
    return done(dll.SetFilePointerEx, handle(hFile), distance, out, dword(dwMoveMethod, "dwMoveMethod"))


@win32(False)
def SetEndOfFile(hFile: AnyHandle) -> bool:
    """Make the file end at the file pointer. Source: SetEndOfFile (fileapi.h)."""
    return done(dll.SetEndOfFile, handle(hFile))


@win32(INVALID_FILE_SIZE)
def GetFileSize(hFile: AnyHandle, lpFileSizeHigh: Out) -> int:
    """The lower 32 bits of a file's size in bytes; `lpFileSizeHigh`, a DWORD or None, gets the upper.

    INVALID_FILE_SIZE is a failure unless the last error is 0. Source: GetFileSize (fileapi.h).
    """
    high = place(lpFileSizeHigh, ctypes.c_uint32, "lpFileSizeHigh", required=False)
    return _low(dll.GetFileSize, handle(hFile), high)


def _low(function: dll.Foreign, *arguments: Any) -> int:
    """The lower 32 bits of a position; Windows tells all ones from a failure by the last error 0."""
    low, code = answer(function, *arguments)
    if low == int(INVALID_FILE_SIZE) and code:
        raise Refused(code)
    return int(low)


@win32(False)
def GetFileSizeEx(hFile: AnyHandle, lpFileSize: Out) -> bool:
    """Store a file's size in bytes in `lpFileSize`, a LARGE_INTEGER. Source: GetFileSizeEx (fileapi.h)."""
    return done(dll.GetFileSizeEx, handle(hFile), place(lpFileSize, ctypes.c_int64, "lpFileSize"))


@win32(False)
def FlushFileBuffers(hFile: AnyHandle) -> bool:
    """Write everything that was written to the file to its disk. Source: FlushFileBuffers (fileapi.h)."""
    return done(dll.FlushFileBuffers, handle(hFile))


@win32(_INVALID_ATTRIBUTES)
def GetFileAttributes(lpFileName: Path) -> int:
    """The attributes of a file or directory, FILE_ATTRIBUTE_*; or INVALID_FILE_ATTRIBUTES.

    Source: GetFileAttributesW (fileapi.h).
    """
    found, code = answer(dll.GetFileAttributesW, _path(lpFileName))
    if found == _INVALID_ATTRIBUTES:
        raise Refused(code)
    return int(found)


@win32(False)
def SetFileAttributes(lpFileName: Path, dwFileAttributes: int) -> bool:
    """Set the attributes of a file or directory. Source: SetFileAttributesW (fileapi.h)."""
    return done(dll.SetFileAttributesW, _path(lpFileName), dword(dwFileAttributes, "dwFileAttributes"))


@win32(False)
def DeleteFile(lpFileName: Path) -> bool:
    """Delete a file. Source: DeleteFileW (fileapi.h)."""
    return done(dll.DeleteFileW, _path(lpFileName))


@win32(False)
def MoveFileEx(lpExistingFileName: Path, lpNewFileName: Path, dwFlags: int) -> bool:
    """Rename a file or directory; MOVEFILE_* in `dwFlags`. Source: MoveFileExW (winbase.h)."""
    return done(dll.MoveFileExW, _path(lpExistingFileName), _path(lpNewFileName), dword(dwFlags, "dwFlags"))


@win32(False)
def MoveFile(lpExistingFileName: Path, lpNewFileName: Path) -> bool:
    """Rename a file or directory; a file also to another volume. Source: MoveFileW (winbase.h)."""
    return done(dll.MoveFileW, _path(lpExistingFileName), _path(lpNewFileName))


@win32(False)
def CopyFile(lpExistingFileName: Path, lpNewFileName: Path, bFailIfExists: int) -> bool:
    """Copy a file with its attributes and time of last write. Source: CopyFileW (winbase.h)."""
    return done(dll.CopyFileW, _path(lpExistingFileName), _path(lpNewFileName), boolean(bFailIfExists))


def _path(value: object) -> str:
    if value is None:
        raise KernelError(NTSTATUS.STATUS_OBJECT_PATH_NOT_FOUND, "the path is NULL")
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"a path must be a str or os.PathLike, not {type(value).__name__}")
    text = value if isinstance(value, str) else os.fsdecode(os.fspath(value))
    if "\0" in text:
        raise KernelError(NTSTATUS.STATUS_OBJECT_NAME_INVALID, f"{text!r} contains NUL: no path")
    return text
