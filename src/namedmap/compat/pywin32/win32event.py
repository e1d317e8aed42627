"""pywin32's `win32event`: mutexes, semaphores, events, and waiting for them. Waitable timers there are none."""

import ctypes as _ctypes
from collections.abc import Iterable as _Iterable

from namedmap import constants as _c
from namedmap._platform import functions as _functions
from namedmap.compat.pywin32 import _calls
from namedmap.compat.pywin32.pywintypes import PyHANDLE as _PyHANDLE
from namedmap.compat.pywin32.pywintypes import error as error

WAIT_OBJECT_0 = int(_c.WAIT_OBJECT_0)
WAIT_ABANDONED = WAIT_ABANDONED_0 = int(_c.WAIT_ABANDONED)
WAIT_IO_COMPLETION = int(_c.WAIT_IO_COMPLETION)
WAIT_TIMEOUT = int(_c.WAIT_TIMEOUT)
WAIT_FAILED = _calls.signed(_c.WAIT_FAILED)
INFINITE = _calls.signed(_c.INFINITE)
MAXIMUM_WAIT_OBJECTS = int(_c.MAXIMUM_WAIT_OBJECTS)
SYNCHRONIZE = int(_c.SYNCHRONIZE)
EVENT_ALL_ACCESS = int(_c.EVENT_ALL_ACCESS)
EVENT_MODIFY_STATE = int(_c.EVENT_MODIFY_STATE)
QS_KEY, QS_MOUSEMOVE, QS_MOUSEBUTTON, QS_POSTMESSAGE = 0x01, 0x02, 0x04, 0x08
QS_TIMER, QS_PAINT, QS_SENDMESSAGE, QS_HOTKEY = 0x10, 0x20, 0x40, 0x80
QS_MOUSE, QS_INPUT, QS_ALLEVENTS, QS_ALLINPUT = 0x06, 0x07, 0xBF, 0xFF

_handle = _PyHANDLE.number


# -- create and open ---------------------------------------------------------------------------------------------------


def CreateMutex(MutexAttributes: _calls.Attributes, InitialOwner: int, Name: str | None, /) -> _PyHANDLE:
    """Create a mutex, or open the one of this name: win32api.GetLastError() is ERROR_ALREADY_EXISTS then."""
    return _calls.owned(
        _functions.CreateMutex(_calls.attributes(MutexAttributes), bool(InitialOwner), Name), "CreateMutex"
    )


def OpenMutex(desiredAccess: int, bInheritHandle: int, name: str, /) -> _PyHANDLE:
    """Open the mutex of this name. Raises error with ERROR_FILE_NOT_FOUND."""
    return _calls.owned(_functions.OpenMutex(desiredAccess, bool(bInheritHandle), name), "OpenMutex")


def CreateSemaphore(
    SemaphoreAttributes: _calls.Attributes, InitialCount: int, MaximumCount: int, SemaphoreName: str | None, /
) -> _PyHANDLE:
    """Create a semaphore, or open the one of this name."""
    given = _calls.attributes(SemaphoreAttributes)
    return _calls.owned(_functions.CreateSemaphore(given, InitialCount, MaximumCount, SemaphoreName), "CreateSemaphore")


def OpenSemaphore(desiredAccess: int, bInheritHandle: int, name: str, /) -> _PyHANDLE:
    """Open the semaphore of this name."""
    return _calls.owned(_functions.OpenSemaphore(desiredAccess, bool(bInheritHandle), name), "OpenSemaphore")


def CreateEvent(
    EventAttributes: _calls.Attributes, bManualReset: int, bInitialState: int, Name: str | None, /
) -> _PyHANDLE:
    """Create an event, or open the one of this name."""
    given = _calls.attributes(EventAttributes)
    return _calls.owned(_functions.CreateEvent(given, bool(bManualReset), bool(bInitialState), Name), "CreateEvent")


def OpenEvent(desiredAccess: int, bInheritHandle: int, name: str, /) -> _PyHANDLE:
    """Open the event of this name."""
    return _calls.owned(_functions.OpenEvent(desiredAccess, bool(bInheritHandle), name), "OpenEvent")


# -- change ------------------------------------------------------------------------------------------------------------


def ReleaseMutex(hMutex: _calls.AnyHandle, /) -> None:
    """Give up one ownership of a mutex. Raises error with ERROR_NOT_OWNER."""
    _calls.check(_functions.ReleaseMutex(_handle(hMutex)), "ReleaseMutex")


def ReleaseSemaphore(hSemaphore: _calls.AnyHandle, lReleaseCount: int, /) -> int:
    """Add to the count of a semaphore; returns what it was. Raises error with ERROR_TOO_MANY_POSTS."""
    before = _ctypes.c_int32()
    _calls.check(_functions.ReleaseSemaphore(_handle(hSemaphore), lReleaseCount, before), "ReleaseSemaphore")
    return before.value


def SetEvent(hEvent: _calls.AnyHandle, /) -> None:
    """Let all pass who wait (manual reset), or one."""
    _calls.check(_functions.SetEvent(_handle(hEvent)), "SetEvent")


def ResetEvent(hEvent: _calls.AnyHandle, /) -> None:
    """Let nobody pass any more."""
    _calls.check(_functions.ResetEvent(_handle(hEvent)), "ResetEvent")


def PulseEvent(hEvent: _calls.AnyHandle, /) -> None:
    """Let pass who waits at this moment."""
    _calls.check(_functions.PulseEvent(_handle(hEvent)), "PulseEvent")


# -- wait --------------------------------------------------------------------------------------------------------------


def WaitForSingleObject(hHandle: _calls.AnyHandle, milliseconds: int, /) -> int:
    """Wait for an object and take it: WAIT_OBJECT_0, WAIT_ABANDONED or WAIT_TIMEOUT."""
    return _calls.waited(_functions.WaitForSingleObject(_handle(hHandle), milliseconds), "WaitForSingleObject")


def WaitForSingleObjectEx(hHandle: _calls.AnyHandle, milliseconds: int, bAlertable: int, /) -> int:
    """WaitForSingleObject; no wait ends for an asynchronous procedure call, which there are none of here."""
    result = _functions.WaitForSingleObjectEx(_handle(hHandle), milliseconds, bool(bAlertable))
    return _calls.waited(result, "WaitForSingleObjectEx")


def WaitForMultipleObjects(handleList: _Iterable[_calls.AnyHandle], bWaitAll: int, milliseconds: int, /) -> int:
    """Wait for any or all of up to 64 objects: WAIT_OBJECT_0 or WAIT_ABANDONED_0 + index, or WAIT_TIMEOUT."""
    found = _calls.handles(handleList)
    result = _functions.WaitForMultipleObjects(len(found), found, bool(bWaitAll), milliseconds)
    return _calls.waited(result, "WaitForMultipleObjects")


def WaitForMultipleObjectsEx(
    handleList: _Iterable[_calls.AnyHandle], bWaitAll: int, milliseconds: int, bAlertable: int, /
) -> int:
    """WaitForMultipleObjects; see WaitForSingleObjectEx."""
    found = _calls.handles(handleList)
    result = _functions.WaitForMultipleObjectsEx(len(found), found, bool(bWaitAll), milliseconds, bool(bAlertable))
    return _calls.waited(result, "WaitForMultipleObjectsEx")


def MsgWaitForMultipleObjects(
    handlelist: _Iterable[_calls.AnyHandle], bWaitAll: int, milliseconds: int, wakeMask: int, /
) -> int:
    """WaitForMultipleObjects: no message ever comes to this process. Without handles, WAIT_TIMEOUT after the time."""
    found = _calls.handles(handlelist)
    if found:
        result = _functions.WaitForMultipleObjects(len(found), found, bool(bWaitAll), milliseconds)
        return _calls.waited(result, "MsgWaitForMultipleObjects")
    _calls.sleep(milliseconds)
    return WAIT_TIMEOUT


def MsgWaitForMultipleObjectsEx(
    handlelist: _Iterable[_calls.AnyHandle], milliseconds: int, wakeMask: int, waitFlags: int, /
) -> int:
    """MsgWaitForMultipleObjects with flags, of which MWMO_WAITALL (1) is known."""
    return MsgWaitForMultipleObjects(handlelist, waitFlags & 1, milliseconds, wakeMask)


def SignalObjectAndWait(
    hObjectToSignal: _calls.AnyHandle, hObjectToWaitOn: _calls.AnyHandle, milliseconds: int, bAlertable: int, /
) -> int:
    """Release or set one object and wait for another; whoever sees the signal finds this thread waiting."""
    first, second = _handle(hObjectToSignal), _handle(hObjectToWaitOn)
    return _calls.waited(
        _functions.SignalObjectAndWait(first, second, milliseconds, bool(bAlertable)), "SignalObjectAndWait"
    )
