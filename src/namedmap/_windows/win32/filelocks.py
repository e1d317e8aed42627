"""Byte-range locks of files: LockFile, LockFileEx and what takes them back."""

import time

from namedmap._convention.call import AnyHandle, Out, dword, handle
from namedmap._windows import dll, waiting
from namedmap._windows.win32.passing import Refused, answer, done, place, win32
from namedmap.constants import LockFileFlag, WinError
from namedmap.types import OVERLAPPED

_AT_ONCE = int(LockFileFlag.LOCKFILE_FAIL_IMMEDIATELY)
_LOCKED = int(WinError.ERROR_LOCK_VIOLATION)
#: Seconds between two attempts to lock, at first and at last.
_FIRST_PAUSE, _LAST_PAUSE = 0.001, 0.05


@win32(False)
def LockFile(
    hFile: AnyHandle,
    dwFileOffsetLow: int,
    dwFileOffsetHigh: int,
    nNumberOfBytesToLockLow: int,
    nNumberOfBytesToLockHigh: int,
) -> bool:
    """Lock bytes of a file for this handle alone, without waiting. Source: LockFile (fileapi.h)."""
    numbers = (dwFileOffsetLow, dwFileOffsetHigh, nNumberOfBytesToLockLow, nNumberOfBytesToLockHigh)
    return done(dll.LockFile, handle(hFile), *map(dword, numbers))


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

    It waits for locks that are in the way, unless LOCKFILE_FAIL_IMMEDIATELY is among the flags. The main thread does so
    by trying again and again, since Windows ends no such wait for Ctrl-C. Source: LockFileEx (fileapi.h).
    """
    file, flags, reserved = handle(hFile), dword(dwFlags, "dwFlags"), dword(dwReserved, "dwReserved")
    length = dword(nNumberOfBytesToLockLow), dword(nNumberOfBytesToLockHigh)
    where = place(lpOverlapped, OVERLAPPED, "lpOverlapped")
    if flags & _AT_ONCE or not waiting.runs_handlers():
        return done(dll.LockFileEx, file, flags, reserved, *length, where)
    pause = _FIRST_PAUSE
    while True:
        locked, code = answer(dll.LockFileEx, file, flags | _AT_ONCE, reserved, *length, where)
        if locked:
            return True
        if code != _LOCKED:
            raise Refused(code)
        time.sleep(pause)
        pause = min(pause * 2, _LAST_PAUSE)


@win32(False)
def UnlockFile(
    hFile: AnyHandle,
    dwFileOffsetLow: int,
    dwFileOffsetHigh: int,
    nNumberOfBytesToUnlockLow: int,
    nNumberOfBytesToUnlockHigh: int,
) -> bool:
    """Take back a lock of this handle, of exactly this range. Source: UnlockFile (fileapi.h)."""
    numbers = (dwFileOffsetLow, dwFileOffsetHigh, nNumberOfBytesToUnlockLow, nNumberOfBytesToUnlockHigh)
    return done(dll.UnlockFile, handle(hFile), *map(dword, numbers))


@win32(False)
def UnlockFileEx(
    hFile: AnyHandle,
    dwReserved: int,
    nNumberOfBytesToUnlockLow: int,
    nNumberOfBytesToUnlockHigh: int,
    lpOverlapped: Out,
) -> bool:
    """Take back a lock of this handle, of exactly this range from the offset in `lpOverlapped` on.

    Source: UnlockFileEx (fileapi.h).
    """
    length = dword(nNumberOfBytesToUnlockLow), dword(nNumberOfBytesToUnlockHigh)
    where = place(lpOverlapped, OVERLAPPED, "lpOverlapped")
    return done(dll.UnlockFileEx, handle(hFile), dword(dwReserved, "dwReserved"), *length, where)
