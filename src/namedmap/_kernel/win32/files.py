"""Files: CreateFile and the calls on file handles and on paths.

Paths are str, in which both kinds of slash separate, or os.PathLike, taken as they are; see `_kernel.files.paths`.
"""

import ctypes
import os
from typing import Any

from namedmap._convention import call
from namedmap._convention.call import AnyHandle, Out, win32
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.files import createfile, entries
from namedmap._kernel.files.file import File, require_readable, require_writable
from namedmap._kernel.memory.space import space
from namedmap._kernel.names import security
from namedmap._kernel.objects.table import table
from namedmap.constants import (
    INVALID_FILE_SIZE,
    INVALID_HANDLE_VALUE,
    INVALID_SET_FILE_POINTER,
    CreationDisposition,
    FileAccess,
    FileAttribute,
    MoveFileFlag,
    MoveMethod,
    WinError,
)
from namedmap.types import OVERLAPPED

Path = str | os.PathLike[str] | os.PathLike[bytes] | None

# As ints: operations on members of an enumeration cost more than the calls themselves.
_READ_DATA, _WRITE_DATA = int(FileAccess.FILE_READ_DATA), int(FileAccess.FILE_WRITE_DATA)
_WRITING = int(FileAccess.FILE_WRITE_DATA | FileAccess.FILE_APPEND_DATA)
#: Offset and OffsetHigh of an OVERLAPPED that mean the end of the file.
_TO_END = 2**64 - 1


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

    `lpSecurityAttributes` is None or a SECURITY_ATTRIBUTES, whose descriptor is for a file that is created; without one
    the umask decides. `hTemplateFile` is None or a file handle that gives a new file its extended attributes and mode.

    Returns a handle, with the last error 0, or ERROR_ALREADY_EXISTS if CREATE_ALWAYS or OPEN_ALWAYS found the file; or
    INVALID_HANDLE_VALUE: ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND, ERROR_INVALID_NAME, ERROR_ACCESS_DENIED
    (permissions, READONLY, a directory), ERROR_FILE_EXISTS (CREATE_NEW), ERROR_SHARING_VIOLATION,
    ERROR_USER_MAPPED_FILE (overwriting), ERROR_NOT_SUPPORTED (FILE_FLAG_OVERLAPPED; FIFOs and sockets),
    ERROR_INVALID_PARAMETER.

    Source: CreateFileW (fileapi.h).
    """
    access = call.dword(dwDesiredAccess, "dwDesiredAccess")
    share = call.dword(dwShareMode, "dwShareMode")
    disposition = call.dword(dwCreationDisposition, "dwCreationDisposition")
    flags = call.dword(dwFlagsAndAttributes, "dwFlagsAndAttributes")
    attributes = call.security(lpSecurityAttributes)
    inherit = call.inherits(attributes)
    descriptor = None if attributes is None else attributes.lpSecurityDescriptor
    wanted = None if descriptor is None else security.parse(descriptor)
    template = call.handle(hTemplateFile)
    if template:
        with table.reference(template, File) as given:
            opened = createfile.open_file(lpFileName, access, share, disposition, flags, given.object, wanted)
    else:
        opened = createfile.open_file(lpFileName, access, share, disposition, flags, None, wanted)
    file, granted, existed = opened
    value = table.insert(file, granted, inherit=inherit)
    found = existed and disposition in (CreationDisposition.CREATE_ALWAYS, CreationDisposition.OPEN_ALWAYS)
    call.set_last_error(WinError.ERROR_ALREADY_EXISTS if found else WinError.ERROR_SUCCESS)
    return value


@win32(False)
def ReadFile(
    hFile: AnyHandle, lpBuffer: Any, nNumberOfBytesToRead: int, lpNumberOfBytesRead: Out, lpOverlapped: Out = None
) -> bool:
    """Read `nNumberOfBytesToRead` bytes at the file pointer, or at the offset in `lpOverlapped`, and move the pointer.

    `lpBuffer` is a bytearray, writable memoryview or ctypes object of at least that many bytes, or an address.
    `lpNumberOfBytesRead`, a DWORD, gets the bytes read, fewer at the end of the file; 0 if the call fails. It may be
    None if there is an `lpOverlapped`.

    Returns False on failure: ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE, ERROR_NOACCESS (an address that cannot be
    written to), ERROR_INSUFFICIENT_BUFFER (a buffer object that is too small), ERROR_HANDLE_EOF (with `lpOverlapped`
    only; without, the end of the file is 0 bytes and True).

    Source: ReadFile (fileapi.h).
    """
    place = call.target(lpOverlapped, OVERLAPPED, "lpOverlapped", required=False)
    count = _counter(lpNumberOfBytesRead, "lpNumberOfBytesRead", place)
    length = call.dword(nNumberOfBytesToRead, "nNumberOfBytesToRead")
    memory = call.buffer(lpBuffer, length, "lpBuffer", writable=True)
    with table.reference(call.handle(hFile), File, _READ_DATA) as file:
        space.alarm(memory.address, length, NTSTATUS.STATUS_ACCESS_VIOLATION)
        if memory.owner is None:
            require_writable(memory.address, length)
        offset = None if place is None else _offset(place)
        done = file.object.read(memory.address, length, offset)
        if place is not None and length and not done:
            raise KernelError(NTSTATUS.STATUS_END_OF_FILE, f"{file.object} has no bytes at {offset}")
    _report(count, place, done)
    return True


@win32(False)
def WriteFile(
    hFile: AnyHandle, lpBuffer: Any, nNumberOfBytesToWrite: int, lpNumberOfBytesWritten: Out, lpOverlapped: Out = None
) -> bool:
    """Write `nNumberOfBytesToWrite` bytes at the file pointer, or at the offset in `lpOverlapped`; move the pointer.

    `lpBuffer` is a bytes-like or ctypes object of at least that many bytes, or an address. `lpNumberOfBytesWritten`, a
    DWORD, gets the bytes written, also if the call fails later than at the first of them. It may be None if there is an
    `lpOverlapped`; an offset of all ones in that is the end of the file. A handle with FILE_APPEND_DATA but not
    FILE_WRITE_DATA writes at the end only.

    Returns False on failure: ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE, ERROR_INVALID_USER_BUFFER (an address that
    cannot be read), ERROR_INSUFFICIENT_BUFFER (a buffer object that is too small), ERROR_DISK_FULL.

    Source: WriteFile (fileapi.h).
    """
    place = call.target(lpOverlapped, OVERLAPPED, "lpOverlapped", required=False)
    count = _counter(lpNumberOfBytesWritten, "lpNumberOfBytesWritten", place)
    length = call.dword(nNumberOfBytesToWrite, "nNumberOfBytesToWrite")
    memory = call.buffer(lpBuffer, length, "lpBuffer", writable=False)
    with table.reference(call.handle(hFile), File) as file:
        _require_writing(file.access, f"handle {hFile}")
        space.alarm(memory.address, length, NTSTATUS.STATUS_INVALID_USER_BUFFER)
        if memory.owner is None:
            require_readable(memory.address, length)
        append = not file.access & _WRITE_DATA
        if place is not None and _place(place) == _TO_END:
            append = True
        offset = None if place is None or append else _offset(place)
        file.object.write(memory.address, length, lambda done: _report(count, place, done), offset, append=append)
    return True


@win32(INVALID_SET_FILE_POINTER)
def SetFilePointer(hFile: AnyHandle, lDistanceToMove: int, lpDistanceToMoveHigh: Out, dwMoveMethod: int) -> int:
    """Move the file pointer by a signed distance in bytes from FILE_BEGIN, FILE_CURRENT or FILE_END.

    `lpDistanceToMoveHigh`, a LONG or None, holds the upper 32 bits of the distance and gets those of the new position.

    Returns the lower 32 bits of the new position. INVALID_SET_FILE_POINTER is a failure unless the last error is 0:
    ERROR_NEGATIVE_SEEK, ERROR_INVALID_HANDLE, ERROR_INVALID_PARAMETER (the method; or a position above 32 bits while
    `lpDistanceToMoveHigh` is None).

    Source: SetFilePointer (fileapi.h).
    """
    high = call.target(lpDistanceToMoveHigh, ctypes.c_int32, "lpDistanceToMoveHigh", required=False)
    low = call.dword(lDistanceToMove, "lDistanceToMove")
    distance = ctypes.c_int32(low).value if high is None else high.value << 32 | low
    method = _method(dwMoveMethod)
    with table.reference(call.handle(hFile), File) as file:
        position = file.object.seek_target(distance, method)
        if high is None and position > 0xFFFFFFFF:
            raise call.invalid(f"position {position} needs lpDistanceToMoveHigh")
        file.object.seek(position, MoveMethod.FILE_BEGIN)
    if high is not None:
        high.value = position >> 32
    return _low(position)


@win32(False)
def SetFilePointerEx(hFile: AnyHandle, liDistanceToMove: int, lpNewFilePointer: Out, dwMoveMethod: int) -> bool:
    """Move the file pointer by a signed distance in bytes from FILE_BEGIN, FILE_CURRENT or FILE_END.

    `lpNewFilePointer`, a LARGE_INTEGER or None, gets the new position in bytes from the start.

    Returns False on failure: ERROR_NEGATIVE_SEEK, ERROR_INVALID_HANDLE, ERROR_INVALID_PARAMETER (the method, or a
    position that the filesystem does not have).

    Source: SetFilePointerEx (fileapi.h).
    """
    out = call.target(lpNewFilePointer, ctypes.c_int64, "lpNewFilePointer", required=False)
    distance = call.int64(liDistanceToMove, "liDistanceToMove")
    method = _method(dwMoveMethod)
    with table.reference(call.handle(hFile), File) as file:
        position = file.object.seek(distance, method)
    if out is not None:
        out.value = position
    return True


@win32(False)
def SetEndOfFile(hFile: AnyHandle) -> bool:
    """Make the file end at the file pointer; bytes that are added are zero.

    Returns False on failure: ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE, ERROR_USER_MAPPED_FILE (making a file smaller
    that a section or view stands on), ERROR_DISK_FULL.

    Source: SetEndOfFile (fileapi.h).
    """
    with table.reference(call.handle(hFile), File, _WRITE_DATA) as file:
        file.object.set_end()
    return True


@win32(INVALID_FILE_SIZE)
def GetFileSize(hFile: AnyHandle, lpFileSizeHigh: Out) -> int:
    """The lower 32 bits of a file's size in bytes; `lpFileSizeHigh`, a DWORD or None, gets the upper.

    INVALID_FILE_SIZE is a failure unless the last error is 0: ERROR_INVALID_HANDLE.

    Source: GetFileSize (fileapi.h).
    """
    high = call.target(lpFileSizeHigh, ctypes.c_uint32, "lpFileSizeHigh", required=False)
    with table.reference(call.handle(hFile), File) as file:
        size = file.object.size
    if high is not None:
        high.value = size >> 32
    return _low(size)


@win32(False)
def GetFileSizeEx(hFile: AnyHandle, lpFileSize: Out) -> bool:
    """Store a file's size in bytes in `lpFileSize`, a LARGE_INTEGER.

    Returns False on failure: ERROR_INVALID_HANDLE.

    Source: GetFileSizeEx (fileapi.h).
    """
    out = call.target(lpFileSize, ctypes.c_int64, "lpFileSize")
    with table.reference(call.handle(hFile), File) as file:
        out.value = file.object.size
    return True


@win32(False)
def FlushFileBuffers(hFile: AnyHandle) -> bool:
    """Write everything that was written to the file to its disk, and wait for that.

    Returns False on failure: ERROR_ACCESS_DENIED (a handle that may not write), ERROR_INVALID_HANDLE, ERROR_IO_DEVICE.

    Source: FlushFileBuffers (fileapi.h).
    """
    with table.reference(call.handle(hFile), File) as file:
        _require_writing(file.access, f"handle {hFile}")
        file.object.flush()
    return True


@win32(int(FileAttribute.INVALID_FILE_ATTRIBUTES))
def GetFileAttributes(lpFileName: Path) -> int:
    """The attributes of a file or directory: FILE_ATTRIBUTE_*.

    Returns INVALID_FILE_ATTRIBUTES on failure: ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND, ERROR_INVALID_NAME,
    ERROR_ACCESS_DENIED.

    Source: GetFileAttributesW (fileapi.h).
    """
    return entries.get_attributes(lpFileName)


@win32(False)
def SetFileAttributes(lpFileName: Path, dwFileAttributes: int) -> bool:
    """Give a file or directory READONLY, HIDDEN, SYSTEM, ARCHIVE and TEMPORARY as given; NORMAL or 0 is none of them.

    READONLY takes the permission to write from everyone, root included. Bits that are no attributes of their own
    (FILE_ATTRIBUTE_DIRECTORY …) are ignored.

    Returns False on failure: ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND, ERROR_ACCESS_DENIED, ERROR_NOT_SUPPORTED
    (HIDDEN or SYSTEM on a filesystem without extended attributes).

    Source: SetFileAttributesW (fileapi.h).
    """
    entries.set_attributes(lpFileName, call.dword(dwFileAttributes, "dwFileAttributes"))
    return True


@win32(False)
def DeleteFile(lpFileName: Path) -> bool:
    """Delete a file. Its name goes at once; its contents with the last handle.

    Returns False on failure: ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND, ERROR_SHARING_VIOLATION (a handle without
    FILE_SHARE_DELETE), ERROR_ACCESS_DENIED (a directory, READONLY, mapped, or permissions).

    Source: DeleteFileW (fileapi.h).
    """
    entries.delete(lpFileName)
    return True


@win32(False)
def MoveFileEx(lpExistingFileName: Path, lpNewFileName: Path, dwFlags: int) -> bool:
    """Rename a file or directory.

    `dwFlags`: MOVEFILE_REPLACE_EXISTING, MOVEFILE_COPY_ALLOWED (a file, to another filesystem), MOVEFILE_WRITE_THROUGH.

    Returns False on failure: ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND, ERROR_ALREADY_EXISTS, ERROR_SHARING_VIOLATION
    (a handle to the file without FILE_SHARE_DELETE), ERROR_ACCESS_DENIED (the file to replace is open, mapped, READONLY
    or a directory), ERROR_NOT_SAME_DEVICE, ERROR_NOT_SUPPORTED (the other flags), ERROR_INVALID_PARAMETER.

    Source: MoveFileExW (winbase.h).
    """
    entries.move(lpExistingFileName, lpNewFileName, call.dword(dwFlags, "dwFlags"))
    return True


@win32(False)
def MoveFile(lpExistingFileName: Path, lpNewFileName: Path) -> bool:
    """Rename a file or directory; a file also to another filesystem. Never replaces anything.

    Returns False on failure, as MoveFileEx. Source: MoveFileW (winbase.h).
    """
    entries.move(lpExistingFileName, lpNewFileName, MoveFileFlag.MOVEFILE_COPY_ALLOWED)
    return True


@win32(False)
def CopyFile(lpExistingFileName: Path, lpNewFileName: Path, bFailIfExists: int) -> bool:
    """Copy a file with its attributes, extended attributes and time of last write; the last error becomes 0.

    Returns False on failure: ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND, ERROR_FILE_EXISTS (with `bFailIfExists`),
    ERROR_SHARING_VIOLATION (either file, or both are one), ERROR_USER_MAPPED_FILE, ERROR_ACCESS_DENIED (a directory; a
    target that is READONLY, HIDDEN or SYSTEM), ERROR_DISK_FULL. A copy that fails half way is removed.

    Source: CopyFileW (winbase.h).
    """
    entries.copy(lpExistingFileName, lpNewFileName, call.boolean(bFailIfExists))
    call.set_last_error(WinError.ERROR_SUCCESS)
    return True


def _counter(out: Out, what: str, place: OVERLAPPED | None) -> ctypes.c_uint32 | None:
    """The DWORD for the bytes transferred, zero before anything else can fail, as on Windows."""
    count: ctypes.c_uint32 | None = call.target(out, ctypes.c_uint32, what, required=place is None)
    if count is not None:
        count.value = 0
    return count


def _report(count: ctypes.c_uint32 | None, place: OVERLAPPED | None, done: int) -> None:
    if count is not None:
        count.value = done
    if place is not None:
        place.InternalHigh = done


def _place(place: OVERLAPPED) -> int:
    return int(place.OffsetHigh) << 32 | int(place.Offset)


def _offset(place: OVERLAPPED) -> int:
    offset = _place(place)
    if offset >= 2**63:
        raise call.invalid(f"offset {offset:#x} in lpOverlapped is above 2**63")
    return offset


def _require_writing(access: int, what: str) -> None:
    if not access & _WRITING:
        raise KernelError(
            NTSTATUS.STATUS_ACCESS_DENIED,
            f"{what} was opened with access {access:#x}; this needs FILE_WRITE_DATA or FILE_APPEND_DATA",
        )


def _method(value: int) -> int:
    method = call.dword(value, "dwMoveMethod")
    if not MoveMethod.FILE_BEGIN <= method <= MoveMethod.FILE_END:
        raise call.invalid(f"{method} is no FILE_BEGIN, FILE_CURRENT or FILE_END")
    return method


def _low(value: int) -> int:
    """The lower 32 bits; a caller tells all ones from a failure by the last error."""
    low = value & 0xFFFFFFFF
    if low == 0xFFFFFFFF:
        call.set_last_error(WinError.ERROR_SUCCESS)
    return low
