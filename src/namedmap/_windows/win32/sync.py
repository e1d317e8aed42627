"""Mutexes, semaphores and events, and waiting."""

import ctypes
from collections.abc import Sequence

from namedmap._convention.call import AnyHandle, Out, boolean, dword, handle, invalid
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._windows import dll, waiting
from namedmap._windows.win32.passing import Refused, done, made, object_name, place, secured, win32
from namedmap._windows.win32.sections import Attributes
from namedmap.constants import MAXIMUM_WAIT_OBJECTS, WAIT_FAILED
from namedmap.types import LONG

_FAILED = int(WAIT_FAILED)

#: Handles for WaitForMultipleObjects: a list, or a ctypes array of HANDLE.
Handles = Sequence[AnyHandle] | ctypes.Array[ctypes.c_void_p]


# -- create and open ---------------------------------------------------------------------------------------------------
# A name that exists is opened, with the last error ERROR_ALREADY_EXISTS; its state is its own.


@win32(None)
def CreateMutex(lpMutexAttributes: Attributes, bInitialOwner: bool, lpName: str | None) -> int:
    """Create a mutex, or open the one of this name; a handle or None. Source: CreateMutexW (synchapi.h)."""
    with secured(lpMutexAttributes) as attributes:
        return made(dll.CreateMutexW, attributes, boolean(bInitialOwner), object_name(lpName))


@win32(None)
def CreateMutexEx(lpMutexAttributes: Attributes, lpName: str | None, dwFlags: int, dwDesiredAccess: int) -> int:
    """CreateMutex with flags (CREATE_MUTEX_INITIAL_OWNER) and the access of the handle.

    Source: CreateMutexExW (synchapi.h).
    """
    with secured(lpMutexAttributes) as attributes:
        return made(dll.CreateMutexExW, attributes, object_name(lpName), dword(dwFlags), dword(dwDesiredAccess))


@win32(None)
def OpenMutex(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the mutex of this name; None on failure. Source: OpenMutexW (synchapi.h)."""
    return made(dll.OpenMutexW, dword(dwDesiredAccess), boolean(bInheritHandle), object_name(lpName))


@win32(None)
def CreateSemaphore(
    lpSemaphoreAttributes: Attributes, lInitialCount: int, lMaximumCount: int, lpName: str | None
) -> int:
    """Create a semaphore, or open the one of this name; a handle or None. Source: CreateSemaphoreW (winbase.h)."""
    counts = _long(lInitialCount), _long(lMaximumCount)
    with secured(lpSemaphoreAttributes) as attributes:
        return made(dll.CreateSemaphoreW, attributes, *counts, object_name(lpName))


@win32(None)
def CreateSemaphoreEx(
    lpSemaphoreAttributes: Attributes,
    lInitialCount: int,
    lMaximumCount: int,
    lpName: str | None,
    dwFlags: int,
    dwDesiredAccess: int,
) -> int:
    """CreateSemaphore with the access of the handle; `dwFlags` must be 0. Source: CreateSemaphoreExW (winbase.h)."""
    counts, options = (_long(lInitialCount), _long(lMaximumCount)), (dword(dwFlags), dword(dwDesiredAccess))
    with secured(lpSemaphoreAttributes) as attributes:
        return made(dll.CreateSemaphoreExW, attributes, *counts, object_name(lpName), *options)


def _long(value: int) -> int:
    return ctypes.c_int32(dword(value)).value


@win32(None)
def OpenSemaphore(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the semaphore of this name; None on failure. Source: OpenSemaphoreW (synchapi.h)."""
    return made(dll.OpenSemaphoreW, dword(dwDesiredAccess), boolean(bInheritHandle), object_name(lpName))


@win32(None)
def CreateEvent(lpEventAttributes: Attributes, bManualReset: bool, bInitialState: bool, lpName: str | None) -> int:
    """Create an event, or open the one of this name; a handle or None. Source: CreateEventW (synchapi.h)."""
    with secured(lpEventAttributes) as attributes:
        return made(dll.CreateEventW, attributes, boolean(bManualReset), boolean(bInitialState), object_name(lpName))


@win32(None)
def CreateEventEx(lpEventAttributes: Attributes, lpName: str | None, dwFlags: int, dwDesiredAccess: int) -> int:
    """CreateEvent with flags (CREATE_EVENT_MANUAL_RESET, CREATE_EVENT_INITIAL_SET) and the access of the handle.

    Source: CreateEventExW (synchapi.h).
    """
    with secured(lpEventAttributes) as attributes:
        return made(dll.CreateEventExW, attributes, object_name(lpName), dword(dwFlags), dword(dwDesiredAccess))


@win32(None)
def OpenEvent(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the event of this name; None on failure. Source: OpenEventW (synchapi.h)."""
    return made(dll.OpenEventW, dword(dwDesiredAccess), boolean(bInheritHandle), object_name(lpName))


# -- change ------------------------------------------------------------------------------------------------------------


@win32(False)
def ReleaseMutex(hMutex: AnyHandle) -> bool:
    """Give up one ownership of a mutex. Source: ReleaseMutex (synchapi.h)."""
    return done(dll.ReleaseMutex, handle(hMutex))


@win32(False)
def ReleaseSemaphore(hSemaphore: AnyHandle, lReleaseCount: int, lpPreviousCount: Out) -> bool:
    """Add to the count of a semaphore; `lpPreviousCount` (LONG, or None) receives the count before.

    Source: ReleaseSemaphore (synchapi.h).
    """
    number = _long(lReleaseCount)
    previous = place(lpPreviousCount, LONG, "lpPreviousCount", required=False)
    return done(dll.ReleaseSemaphore, handle(hSemaphore), number, previous)


@win32(False)
def SetEvent(hEvent: AnyHandle) -> bool:
    """Set an event: a manual-reset one releases all who wait, an auto-reset one exactly one, now or later.

    Source: SetEvent (synchapi.h).
    """
    return done(dll.SetEvent, handle(hEvent))


@win32(False)
def ResetEvent(hEvent: AnyHandle) -> bool:
    """Reset an event. Source: ResetEvent (synchapi.h)."""
    return done(dll.ResetEvent, handle(hEvent))


@win32(False)
def PulseEvent(hEvent: AnyHandle) -> bool:
    """Release those who wait at this moment (manual-reset: all, auto-reset: one), and reset the event.

    Source: PulseEvent (winbase.h), which says whom it misses.
    """
    return done(dll.PulseEvent, handle(hEvent))


# -- wait --------------------------------------------------------------------------------------------------------------


def _result(answer: waiting.Answer) -> int:
    result, code = answer
    if result == _FAILED:
        raise Refused(code)
    return result


@win32(_FAILED)
def WaitForSingleObject(hHandle: AnyHandle, dwMilliseconds: int) -> int:
    """Wait for an object, for so many milliseconds or INFINITE, and take it; Ctrl-C ends the wait of the main thread.

    Returns WAIT_OBJECT_0, WAIT_ABANDONED, WAIT_TIMEOUT or WAIT_FAILED. Source: WaitForSingleObject (synchapi.h).
    """
    return _result(waiting.wait([handle(hHandle)], dword(dwMilliseconds)))


@win32(_FAILED)
def WaitForSingleObjectEx(hHandle: AnyHandle, dwMilliseconds: int, bAlertable: bool) -> int:
    """WaitForSingleObject, which an asynchronous procedure call ends if the wait is alertable: WAIT_IO_COMPLETION.

    Source: WaitForSingleObjectEx (synchapi.h).
    """
    return _result(waiting.wait([handle(hHandle)], dword(dwMilliseconds), alertable=boolean(bAlertable)))


@win32(_FAILED)
def WaitForMultipleObjects(nCount: int, lpHandles: Handles, bWaitAll: bool, dwMilliseconds: int) -> int:
    """Wait for any or for all of up to 64 objects, and take it or them; Ctrl-C ends the wait of the main thread.

    Returns WAIT_OBJECT_0 or WAIT_ABANDONED_0 plus the lowest index of those that were there, WAIT_TIMEOUT or
    WAIT_FAILED. Source: WaitForMultipleObjects (synchapi.h).
    """
    return _wait_for_several(nCount, lpHandles, bWaitAll, dwMilliseconds, False)


@win32(_FAILED)
def WaitForMultipleObjectsEx(
    nCount: int, lpHandles: Handles, bWaitAll: bool, dwMilliseconds: int, bAlertable: bool
) -> int:
    """WaitForMultipleObjects; see WaitForSingleObjectEx. Source: WaitForMultipleObjectsEx (synchapi.h)."""
    return _wait_for_several(nCount, lpHandles, bWaitAll, dwMilliseconds, bAlertable)


def _wait_for_several(count: int, handles: Handles, every: bool, milliseconds: int, alertable: bool) -> int:
    number, time = dword(count), dword(milliseconds)
    if not 1 <= number <= MAXIMUM_WAIT_OBJECTS:
        raise invalid(f"a wait is for 1 to {MAXIMUM_WAIT_OBJECTS} objects, not {number}")
    values = [handle(each) for each in _first(handles, number)]
    if number == 1 and values[0] < 0:
        raise KernelError(NTSTATUS.STATUS_INVALID_HANDLE, f"no pseudo handle ({values[0]}) in a wait for several")
    return _result(waiting.wait(values, time, every=boolean(every), alertable=boolean(alertable)))


def _first(handles: Handles, count: int) -> list[AnyHandle]:
    """So many handles of a list or array."""
    try:
        present = 0 if handles is None else len(handles)
        if present >= count:
            return [handles[index] for index in range(count)]
    except (ValueError, NotImplementedError) as error:  # a memoryview that was released, or has two dimensions
        raise KernelError(NTSTATUS.STATUS_ACCESS_VIOLATION, f"lpHandles is no list of handles: {error}") from None
    raise invalid(f"lpHandles has {present} handles, nCount says {count}")


@win32(_FAILED)
def SignalObjectAndWait(
    hObjectToSignal: AnyHandle, hObjectToWaitOn: AnyHandle, dwMilliseconds: int, bAlertable: bool
) -> int:
    """Release a mutex or semaphore, or set an event, and wait for another object.

    Returns as WaitForSingleObject. Source: SignalObjectAndWait (synchapi.h).
    """
    first, second, time = handle(hObjectToSignal), handle(hObjectToWaitOn), dword(dwMilliseconds)
    return _result(waiting.signal_and_wait(first, second, time, alertable=boolean(bAlertable)))
