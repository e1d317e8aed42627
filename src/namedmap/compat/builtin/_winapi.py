"""CPython's `_winapi`, which is kernel32 with exceptions: handles and addresses are ints, failures an OSError."""

from collections.abc import Iterable
from typing import Any

from namedmap import constants as _c
from namedmap import errors as _errors
from namedmap import types as _types
from namedmap._platform import functions as _functions
from namedmap.compat.windll import WinError as _WinError

_NAMES = (
    "ERROR_ACCESS_DENIED ERROR_ALREADY_EXISTS ERROR_INVALID_HANDLE EVENT_ALL_ACCESS EVENT_MODIFY_STATE "
    "FILE_MAP_ALL_ACCESS FILE_MAP_COPY FILE_MAP_EXECUTE FILE_MAP_READ FILE_MAP_WRITE GENERIC_READ GENERIC_WRITE "
    "INFINITE INVALID_HANDLE_VALUE MUTEX_ALL_ACCESS OPEN_EXISTING PAGE_EXECUTE PAGE_EXECUTE_READ "
    "PAGE_EXECUTE_READWRITE PAGE_NOACCESS PAGE_READONLY PAGE_READWRITE PAGE_WRITECOPY SEC_COMMIT SEC_RESERVE "
    "SYNCHRONIZE WAIT_ABANDONED_0 WAIT_OBJECT_0 WAIT_TIMEOUT DUPLICATE_CLOSE_SOURCE DUPLICATE_SAME_ACCESS"
)
globals().update({name: int(vars(_c)[name]) for name in _NAMES.split()})
NULL = 0


def _checked(result: Any) -> Any:
    if result is None or result is False or result == int(_c.WAIT_FAILED):
        raise _WinError()
    return result


def GetLastError() -> int:
    return _functions.GetLastError()


def CloseHandle(handle: int, /) -> None:
    _checked(_functions.CloseHandle(handle))


def GetCurrentProcess() -> int:
    return _functions.GetCurrentProcess()


def OpenProcess(desired_access: int, inherit_handle: bool, process_id: int, /) -> int:
    return int(_checked(_functions.OpenProcess(desired_access, inherit_handle, process_id)))


def DuplicateHandle(
    source_process_handle: int,
    source_handle: int,
    target_process_handle: int,
    desired_access: int,
    inherit_handle: bool,
    options: int = 0,
    /,
) -> int:
    made = _types.HANDLE()
    _checked(
        _functions.DuplicateHandle(
            source_process_handle, source_handle, target_process_handle, made, desired_access, inherit_handle, options
        )
    )
    return made.value or 0


# -- sections ----------------------------------------------------------------------------------------------------------


def CreateFileMapping(
    file_handle: int, security_attributes: int, protect: int, max_size_high: int, max_size_low: int, name: str | None, /
) -> int:
    """Create or open a section: GetLastError() is ERROR_ALREADY_EXISTS then. Attributes there can be none."""
    if security_attributes:
        raise _errors.of(int(_c.ERROR_NOT_SUPPORTED), "_winapi takes no security attributes here: pass NULL")
    made = _functions.CreateFileMapping(file_handle, None, protect, max_size_high, max_size_low, name)
    return int(_checked(made))


def OpenFileMapping(desired_access: int, inherit_handle: bool, name: str, /) -> int:
    return int(_checked(_functions.OpenFileMapping(desired_access, inherit_handle, name)))


def MapViewOfFile(
    file_map: int, desired_access: int, file_offset_high: int, file_offset_low: int, number_bytes: int, /
) -> int:
    view = _functions.MapViewOfFile(file_map, desired_access, file_offset_high, file_offset_low, number_bytes)
    return int(_checked(view))


def UnmapViewOfFile(address: int, /) -> None:
    _checked(_functions.UnmapViewOfFile(address))


def VirtualQuerySize(address: int, /) -> int:
    """How many bytes from an address on are of one kind: of a view, its size in whole pages."""
    found = _types.MEMORY_BASIC_INFORMATION()
    _checked(_functions.VirtualQuery(address, found, 48) or None)
    return int(found.RegionSize)


# -- mutexes and events ------------------------------------------------------------------------------------------------


def CreateMutexW(security_attributes: int, initial_owner: bool, name: str | None) -> int:
    return int(_checked(_functions.CreateMutex(None, initial_owner, name)))


def OpenMutexW(desired_access: int, inherit_handle: bool, name: str) -> int:
    return int(_checked(_functions.OpenMutex(desired_access, inherit_handle, name)))


def ReleaseMutex(mutex: int) -> None:
    _checked(_functions.ReleaseMutex(mutex))


def CreateEventW(security_attributes: int, manual_reset: bool, initial_state: bool, name: str | None) -> int:
    return int(_checked(_functions.CreateEvent(None, manual_reset, initial_state, name)))


def OpenEventW(desired_access: int, inherit_handle: bool, name: str) -> int:
    return int(_checked(_functions.OpenEvent(desired_access, inherit_handle, name)))


def SetEvent(event: int) -> None:
    _checked(_functions.SetEvent(event))


def ResetEvent(event: int) -> None:
    _checked(_functions.ResetEvent(event))


def WaitForSingleObject(handle: int, milliseconds: int, /) -> int:
    return int(_checked(_functions.WaitForSingleObject(handle, milliseconds)))


def WaitForMultipleObjects(handle_seq: Iterable[int], wait_flag: bool, milliseconds: int = int(_c.INFINITE), /) -> int:
    handles = list(handle_seq)
    return int(_checked(_functions.WaitForMultipleObjects(len(handles), handles, wait_flag, milliseconds)))
