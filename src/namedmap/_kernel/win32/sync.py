"""Mutexes, semaphores and events, and waiting."""

import contextlib
import ctypes
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from namedmap._convention.call import AnyHandle, Out, boolean, dword, handle, invalid, target, win32
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.dispatch import counted, waiting
from namedmap._kernel.dispatch.dispatcher import Dispatcher
from namedmap._kernel.dispatch.mutant import Mutant, create_mutant
from namedmap._kernel.objects import owners
from namedmap._kernel.objects.kernelobject import KernelObject
from namedmap._kernel.objects.table import CURRENT_PROCESS, CURRENT_THREAD, denied, table
from namedmap._kernel.win32.handles import reference_any
from namedmap._kernel.win32.sections import Attributes, created, descriptor, known_name, new_name
from namedmap.constants import INFINITE, MAXIMUM_WAIT_OBJECTS, SYNCHRONIZE, WAIT_FAILED, WAIT_TIMEOUT
from namedmap.types import LONG

_SYNCHRONIZE, _TIMEOUT = int(SYNCHRONIZE), int(WAIT_TIMEOUT)
_MODIFY_STATE = 2  # of a semaphore, an event
_OWNED, _MANUAL, _SET = 1, 1, 2

Kind = TypeVar("Kind", Mutant, counted.Semaphore, counted.Event)
#: Handles for WaitForMultipleObjects: a list, or a ctypes array of HANDLE.
Handles = Sequence[AnyHandle] | ctypes.Array[ctypes.c_void_p]


# -- create and open ---------------------------------------------------------------------------------------------------


def _open(cls: type[Kind], access: int, inherit: bool, name: str | None) -> int:
    wanted, inheritable, parsed = cls.map_access(dword(access)), boolean(inherit), known_name(name)
    if not wanted:
        raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, "access 0 was asked for: ask for SYNCHRONIZE or more")
    return table.insert(counted.open_existing(cls, parsed), wanted, inherit=inheritable)


def _flags(value: int, known: int, what: str) -> int:
    flags = dword(value)
    if flags & ~known:
        raise invalid(f"{what} does not know the flags {flags & ~known:#x}")
    return flags


@win32(None)
def CreateMutex(lpMutexAttributes: Attributes, bInitialOwner: bool, lpName: str | None) -> int:
    """Create a mutex, or open the one of this name (last error ERROR_ALREADY_EXISTS, and not owned then).

    Returns a handle or None: ERROR_INVALID_HANDLE if another kind of object has the name. Source: CreateMutex (Win32).
    """
    return _create_mutex(lpMutexAttributes, boolean(bInitialOwner), lpName, Mutant.all_access)


@win32(None)
def CreateMutexEx(lpMutexAttributes: Attributes, lpName: str | None, dwFlags: int, dwDesiredAccess: int) -> int:
    """CreateMutex with flags (CREATE_MUTEX_INITIAL_OWNER) and the access of the handle.

    Returns a handle or None: ERROR_INVALID_PARAMETER for other flags. Source: CreateMutexEx (Win32).
    """
    owned = _flags(dwFlags, _OWNED, "CreateMutexEx")
    return _create_mutex(lpMutexAttributes, bool(owned), lpName, Mutant.map_access(dword(dwDesiredAccess)))


def _create_mutex(attributes: Attributes, owned: bool, name: str | None, access: int) -> int:
    mutant, existed = create_mutant(new_name(name), owned, descriptor(attributes))
    return created(mutant, access, existed, attributes)


@win32(None)
def OpenMutex(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the mutex of this name; None on failure. Source: OpenMutex (Win32)."""
    return _open(Mutant, dwDesiredAccess, bInheritHandle, lpName)


@win32(None)
def CreateSemaphore(
    lpSemaphoreAttributes: Attributes, lInitialCount: int, lMaximumCount: int, lpName: str | None
) -> int:
    """Create a semaphore, or open the one of this name (last error ERROR_ALREADY_EXISTS; the counts are its own).

    Returns a handle or None: ERROR_INVALID_PARAMETER unless 0 <= initial <= maximum and maximum > 0, even if the name
    exists. Source: CreateSemaphore (Win32).
    """
    return _create_semaphore(lpSemaphoreAttributes, lInitialCount, lMaximumCount, lpName, counted.Semaphore.all_access)


@win32(None)
def CreateSemaphoreEx(
    lpSemaphoreAttributes: Attributes,
    lInitialCount: int,
    lMaximumCount: int,
    lpName: str | None,
    dwFlags: int,
    dwDesiredAccess: int,
) -> int:
    """CreateSemaphore with the access of the handle; `dwFlags` must be 0. Source: CreateSemaphoreEx (Win32)."""
    _flags(dwFlags, 0, "CreateSemaphoreEx")
    access = counted.Semaphore.map_access(dword(dwDesiredAccess))
    return _create_semaphore(lpSemaphoreAttributes, lInitialCount, lMaximumCount, lpName, access)


def _create_semaphore(attributes: Attributes, initial: int, maximum: int, name: str | None, access: int) -> int:
    semaphore, existed = counted.create_semaphore(
        new_name(name), _long(initial), _long(maximum), descriptor(attributes)
    )
    return created(semaphore, access, existed, attributes)


def _long(value: int) -> int:
    number = dword(value)
    return number - 2**32 if number >= 2**31 else number


@win32(None)
def OpenSemaphore(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the semaphore of this name; None on failure. Source: OpenSemaphore (Win32)."""
    return _open(counted.Semaphore, dwDesiredAccess, bInheritHandle, lpName)


@win32(None)
def CreateEvent(lpEventAttributes: Attributes, bManualReset: bool, bInitialState: bool, lpName: str | None) -> int:
    """Create an event, or open the one of this name (last error ERROR_ALREADY_EXISTS; type and state are its own).

    Returns a handle or None. Source: CreateEvent (Win32).
    """
    manual, signaled = boolean(bManualReset), boolean(bInitialState)
    return _create_event(lpEventAttributes, manual, signaled, lpName, counted.Event.all_access)


@win32(None)
def CreateEventEx(lpEventAttributes: Attributes, lpName: str | None, dwFlags: int, dwDesiredAccess: int) -> int:
    """CreateEvent with flags (CREATE_EVENT_MANUAL_RESET, CREATE_EVENT_INITIAL_SET) and the access of the handle.

    Returns a handle or None: ERROR_INVALID_PARAMETER for other flags. Source: CreateEventEx (Win32).
    """
    flags = _flags(dwFlags, _MANUAL | _SET, "CreateEventEx")
    access = counted.Event.map_access(dword(dwDesiredAccess))
    return _create_event(lpEventAttributes, bool(flags & _MANUAL), bool(flags & _SET), lpName, access)


def _create_event(attributes: Attributes, manual: bool, signaled: bool, name: str | None, access: int) -> int:
    event, existed = counted.create_event(new_name(name), manual, signaled, descriptor(attributes))
    return created(event, access, existed, attributes)


@win32(None)
def OpenEvent(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the event of this name; None on failure. Source: OpenEvent (Win32)."""
    return _open(counted.Event, dwDesiredAccess, bInheritHandle, lpName)


# -- change ------------------------------------------------------------------------------------------------------------


def _changing(value: AnyHandle, cls: type[Kind], access: int) -> Kind:
    """The object of a handle, without a reference: it knows itself when it has been closed by another thread."""
    number = handle(value)
    if number in (CURRENT_PROCESS, CURRENT_THREAD):
        table.retained(number, cls)  # raises
    entry = table.get(number)
    found = entry.object
    if not isinstance(found, cls):
        raise KernelError(
            NTSTATUS.STATUS_OBJECT_TYPE_MISMATCH,
            f"handle {number:#x} refers to a {found.type_name.lower()}, not to a {cls.__name__.lower()}",
        )
    if access & ~entry.access:
        raise denied(entry.access, access)
    return found


@win32(False)
def ReleaseMutex(hMutex: AnyHandle) -> bool:
    """Give up one ownership of a mutex; needs no access right.

    Returns True, or False: ERROR_NOT_OWNER if the calling thread does not own it, ERROR_INVALID_HANDLE. Source:
    ReleaseMutex (Win32).
    """
    _changing(hMutex, Mutant, 0).release_by(owners.thread.owner)
    return True


@win32(False)
def ReleaseSemaphore(hSemaphore: AnyHandle, lReleaseCount: int, lpPreviousCount: Out) -> bool:
    """Add to the count of a semaphore; `lpPreviousCount` (LONG, or None) receives the count before.

    Returns True, or False: ERROR_TOO_MANY_POSTS if the count would exceed the maximum (it is left alone),
    ERROR_INVALID_PARAMETER for counts below 1, ERROR_ACCESS_DENIED without SEMAPHORE_MODIFY_STATE,
    ERROR_INVALID_HANDLE. Source: ReleaseSemaphore (Win32).
    """
    number = _long(lReleaseCount)
    previous = target(lpPreviousCount, LONG, "lpPreviousCount", required=False)
    if number <= 0:
        raise invalid(f"a semaphore can be released 1 time or more, not {number}")
    count = _changing(hSemaphore, counted.Semaphore, _MODIFY_STATE).add(number)
    if previous is not None:
        previous.value = count
    return True


@win32(False)
def SetEvent(hEvent: AnyHandle) -> bool:
    """Set an event: a manual-reset one releases all who wait, an auto-reset one exactly one, now or later.

    Returns True, or False: ERROR_ACCESS_DENIED without EVENT_MODIFY_STATE, ERROR_INVALID_HANDLE. Source: SetEvent
    (Win32).
    """
    _changing(hEvent, counted.Event, _MODIFY_STATE).set()
    return True


@win32(False)
def ResetEvent(hEvent: AnyHandle) -> bool:
    """Reset an event; waiters that were released stay so. Errors as SetEvent. Source: ResetEvent (Win32)."""
    _changing(hEvent, counted.Event, _MODIFY_STATE).reset()
    return True


@win32(False)
def PulseEvent(hEvent: AnyHandle) -> bool:
    """Release those who wait at this moment (manual-reset: all, auto-reset: one), and reset the event.

    Errors as SetEvent. Source: PulseEvent (Win32).
    """
    _changing(hEvent, counted.Event, _MODIFY_STATE).pulse()
    return True


# -- wait --------------------------------------------------------------------------------------------------------------


def _seconds(milliseconds: int) -> float:
    return math.inf if milliseconds == INFINITE else milliseconds / 1000


def _result(taken: int | None) -> int:
    return _TIMEOUT if taken is None else taken


@win32(int(WAIT_FAILED))
def WaitForSingleObject(hHandle: AnyHandle, dwMilliseconds: int) -> int:
    """Wait for an object, for so many milliseconds or INFINITE, and take it.

    Returns WAIT_OBJECT_0; WAIT_ABANDONED (a mutex whose owner ended: it is owned now); WAIT_TIMEOUT; or WAIT_FAILED:
    ERROR_INVALID_HANDLE, ERROR_ACCESS_DENIED without SYNCHRONIZE, which a section's handle never has. A process is
    there to take when it has ended. Source: WaitForSingleObject (Win32).
    """
    number, milliseconds = handle(hHandle), dword(dwMilliseconds)
    owner = owners.thread.owner
    if number not in (CURRENT_PROCESS, CURRENT_THREAD):
        # The common case: a dispatcher object that is there. No reference is needed to look.
        entry = table.get(number)
        if isinstance(entry.object, Dispatcher):
            if _SYNCHRONIZE & ~entry.access:
                raise denied(entry.access, _SYNCHRONIZE)
            result = entry.object.take(owner)
            if result is None and milliseconds:
                result = waiting.glance([entry.object], owner)
            if result is not None or not milliseconds:
                return _result(result)
    with reference_any(number) as reference:
        reference.require(_SYNCHRONIZE)
        return _result(waiting.wait([reference.object], owner, _seconds(milliseconds)))


def WaitForSingleObjectEx(hHandle: AnyHandle, dwMilliseconds: int, bAlertable: bool) -> int:
    """WaitForSingleObject; there are no asynchronous procedure calls here, so no wait ends for one.

    Source: WaitForSingleObjectEx (Win32).
    """
    boolean(bAlertable)
    return WaitForSingleObject(hHandle, dwMilliseconds)


def _first(handles: Handles, count: int) -> list[AnyHandle]:
    """So many handles of a list or array."""
    try:
        present = 0 if handles is None else len(handles)
        if present >= count:
            return [handles[index] for index in range(count)]
    except (ValueError, NotImplementedError) as error:  # a memoryview that was released, or has two dimensions
        raise KernelError(NTSTATUS.STATUS_ACCESS_VIOLATION, f"lpHandles is no list of handles: {error}") from None
    raise invalid(f"lpHandles has {present} handles, nCount says {count}")


@win32(int(WAIT_FAILED))
def WaitForMultipleObjects(nCount: int, lpHandles: Handles, bWaitAll: bool, dwMilliseconds: int) -> int:
    """Wait for any or for all of up to 64 objects, and take it or them.

    Returns WAIT_OBJECT_0 + the lowest index of those that were there; with WAIT_ABANDONED_0 instead if that is a mutex
    whose owner ended. Waiting for all takes all at once or nothing, and returns WAIT_OBJECT_0 or WAIT_ABANDONED_0.
    WAIT_TIMEOUT; WAIT_FAILED: ERROR_INVALID_PARAMETER (no handle, more than 64, the same object twice in a wait for
    all), and as WaitForSingleObject. Source: WaitForMultipleObjects (Win32).
    """
    count, every, milliseconds = dword(nCount), boolean(bWaitAll), dword(dwMilliseconds)
    if not 1 <= count <= MAXIMUM_WAIT_OBJECTS:
        raise invalid(f"a wait is for 1 to {MAXIMUM_WAIT_OBJECTS} objects, not {count}")
    with contextlib.ExitStack() as references:
        objects: list[KernelObject] = []
        for each in _first(lpHandles, count):
            value = handle(each)
            if value in (CURRENT_PROCESS, CURRENT_THREAD):
                # As in NT, whose wait for several looks values up in the table.
                raise KernelError(NTSTATUS.STATUS_INVALID_HANDLE, f"no pseudo handle ({value}) in a wait for several")
            reference = references.enter_context(reference_any(value))
            reference.require(_SYNCHRONIZE)
            objects.append(reference.object)
        if every and len(set(objects)) < count:
            raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_MIX, "the same object is there twice in a wait for all")
        return _result(waiting.wait(objects, owners.thread.owner, _seconds(milliseconds), every=every))


def WaitForMultipleObjectsEx(
    nCount: int, lpHandles: Handles, bWaitAll: bool, dwMilliseconds: int, bAlertable: bool
) -> int:
    """WaitForMultipleObjects; see WaitForSingleObjectEx. Source: WaitForMultipleObjectsEx (Win32)."""
    boolean(bAlertable)
    return WaitForMultipleObjects(nCount, lpHandles, bWaitAll, dwMilliseconds)


@win32(int(WAIT_FAILED))
def SignalObjectAndWait(
    hObjectToSignal: AnyHandle, hObjectToWaitOn: AnyHandle, dwMilliseconds: int, bAlertable: bool
) -> int:
    """Release a mutex or semaphore, or set an event, and wait for another object.

    A thread that sees the signal finds this one waiting. Returns as WaitForSingleObject; without having signaled or
    waited WAIT_FAILED: ERROR_INVALID_HANDLE (also: an object that cannot be signaled), ERROR_ACCESS_DENIED,
    ERROR_NOT_OWNER, ERROR_TOO_MANY_POSTS. Source: SignalObjectAndWait (Win32).
    """
    milliseconds = dword(dwMilliseconds)
    boolean(bAlertable)
    owner = owners.thread.owner
    with reference_any(handle(hObjectToSignal)) as first, reference_any(handle(hObjectToWaitOn)) as second:
        signal = _signal(first.object, owner)
        first.require(0 if isinstance(first.object, Mutant) else _MODIFY_STATE)
        second.require(_SYNCHRONIZE)
        return _result(waiting.signal_and_wait(signal, second.object, owner, _seconds(milliseconds)))


def _signal(held: KernelObject, owner: owners.Owner) -> Callable[[], object]:
    if isinstance(held, Mutant):
        return lambda: held.release_by(owner)
    if isinstance(held, counted.Semaphore):
        return lambda: held.add(1)
    if isinstance(held, counted.Event):
        return held.set
    raise KernelError(NTSTATUS.STATUS_OBJECT_TYPE_MISMATCH, f"a {held.type_name.lower()} cannot be signaled")
