"""Byte-range locks of files: LockFile, LockFileEx and what takes them back."""

from namedmap._convention import call
from namedmap._convention.call import AnyHandle, Out, win32
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.files import bytelocks
from namedmap._kernel.files.file import File
from namedmap._kernel.objects.table import table
from namedmap.constants import FileAccess, LockFileFlag
from namedmap.types import OVERLAPPED

_USING = int(FileAccess.FILE_READ_DATA | FileAccess.FILE_WRITE_DATA)
_AT_ONCE, _EXCLUSIVE = int(LockFileFlag.LOCKFILE_FAIL_IMMEDIATELY), int(LockFileFlag.LOCKFILE_EXCLUSIVE_LOCK)


@win32(False)
def LockFile(
    hFile: AnyHandle,
    dwFileOffsetLow: int,
    dwFileOffsetHigh: int,
    nNumberOfBytesToLockLow: int,
    nNumberOfBytesToLockHigh: int,
) -> bool:
    """Lock bytes of a file for this handle alone, without waiting; they need not be in the file.

    ReadFile and WriteFile of others fail there, with ERROR_LOCK_VIOLATION; programs that do not use namedmap, and
    views, are kept from nothing. The lock ends with UnlockFile for the same range, the handle, or the process.

    Returns False on failure: ERROR_LOCK_VIOLATION (somebody has locked some of the bytes, this handle included),
    ERROR_ACCESS_DENIED (a handle that may neither read nor write; a file that this user may not write to),
    ERROR_INVALID_HANDLE, ERROR_INVALID_PARAMETER (a directory or device), ERROR_INVALID_LOCK_RANGE.

    Source: LockFile (fileapi.h).
    """
    start = _wide(dwFileOffsetLow, dwFileOffsetHigh, "the offset")
    length = _wide(nNumberOfBytesToLockLow, nNumberOfBytesToLockHigh, "the number of bytes")
    _lock(hFile, start, length, exclusive=True, wait=False)
    return True


@win32(False)
def LockFileEx(
    hFile: AnyHandle,
    dwFlags: int,
    dwReserved: int,
    nNumberOfBytesToLockLow: int,
    nNumberOfBytesToLockHigh: int,
    lpOverlapped: Out,
) -> bool:
    """Lock bytes of a file from the offset in `lpOverlapped` on: shared, or alone with LOCKFILE_EXCLUSIVE_LOCK.

    It waits for locks that are in the way, unless LOCKFILE_FAIL_IMMEDIATELY is among the flags. Where bytes are locked
    shared, everybody may read and nobody write.

    Returns False on failure, as LockFile; ERROR_NOACCESS without an `lpOverlapped`. Source: LockFileEx (fileapi.h).
    """
    flags = call.dword(dwFlags, "dwFlags")
    length = _wide(nNumberOfBytesToLockLow, nNumberOfBytesToLockHigh, "the number of bytes")
    start = _place(dwReserved, lpOverlapped)
    _lock(hFile, start, length, exclusive=bool(flags & _EXCLUSIVE), wait=not flags & _AT_ONCE)
    return True


@win32(False)
def UnlockFile(
    hFile: AnyHandle,
    dwFileOffsetLow: int,
    dwFileOffsetHigh: int,
    nNumberOfBytesToUnlockLow: int,
    nNumberOfBytesToUnlockHigh: int,
) -> bool:
    """Take back a lock of this handle, of exactly this range.

    Returns False on failure: ERROR_NOT_LOCKED, ERROR_INVALID_HANDLE. Source: UnlockFile (fileapi.h).
    """
    start = _wide(dwFileOffsetLow, dwFileOffsetHigh, "the offset")
    length = _wide(nNumberOfBytesToUnlockLow, nNumberOfBytesToUnlockHigh, "the number of bytes")
    with table.reference(call.handle(hFile), File) as file:
        file.object.locks.unlock(start, length)
    return True


@win32(False)
def UnlockFileEx(
    hFile: AnyHandle,
    dwReserved: int,
    nNumberOfBytesToUnlockLow: int,
    nNumberOfBytesToUnlockHigh: int,
    lpOverlapped: Out,
) -> bool:
    """Take back a lock of this handle, of exactly this range from the offset in `lpOverlapped` on.

    Returns False on failure, as UnlockFile. Source: UnlockFileEx (fileapi.h).
    """
    length = _wide(nNumberOfBytesToUnlockLow, nNumberOfBytesToUnlockHigh, "the number of bytes")
    start = _place(dwReserved, lpOverlapped)
    with table.reference(call.handle(hFile), File) as file:
        file.object.locks.unlock(start, length)
    return True


def _lock(handle: AnyHandle, start: int, length: int, *, exclusive: bool, wait: bool) -> None:
    with table.reference(call.handle(handle), File) as file:
        if not file.access & _USING:
            raise KernelError(
                NTSTATUS.STATUS_ACCESS_DENIED,
                f"handle {handle} was opened with access {file.access:#x}; a lock needs FILE_READ_DATA or "
                "FILE_WRITE_DATA",
            )
        file.object.locks.lock(bytelocks.wanted(start, length, exclusive=exclusive), wait=wait)


def _wide(low: int, high: int, what: str) -> int:
    return call.dword(high, what) << 32 | call.dword(low, what)


def _place(reserved: int, overlapped: Out) -> int:
    if call.dword(reserved, "dwReserved"):
        raise call.invalid(f"dwReserved must be 0, not {reserved}")
    place: OVERLAPPED = call.target(overlapped, OVERLAPPED, "lpOverlapped")
    return int(place.OffsetHigh) << 32 | int(place.Offset)
