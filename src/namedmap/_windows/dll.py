"""The foreign declarations: functions of kernel32, ntdll, advapi32 and of the interpreter, in their native spelling.

Nothing here decides anything. Every function has its argument and result types. The functions of kernel32 and advapi32
leave their error where `ctypes.get_last_error` finds it; `calling` reads it there. A function that this Windows does
not export is an `Absent`, which fails when it is called. Source: the Windows headers; winternl.h and the driver kit for
ntdll.
"""

import ctypes
from collections.abc import Callable
from ctypes import c_char_p, c_int32, c_int64, c_size_t, c_ssize_t, c_uint8, c_uint32, c_void_p, c_wchar_p
from typing import Any, TypeAlias

from namedmap._convention.status import NTSTATUS as Status
from namedmap._convention.status import KernelError
from namedmap.winerror import WinError

#: A function of a library.
Foreign: TypeAlias = Callable[..., Any]

BOOL, BOOLEAN, DWORD, LONG, LONGLONG, SIZE_T = c_int32, c_uint8, c_uint32, c_int32, c_int64, c_size_t
NTSTATUS, ULONG = c_uint32, c_uint32
LPVOID, LPCWSTR, LPCSTR = c_void_p, c_wchar_p, c_char_p
HANDLE = c_ssize_t  # signed, as INVALID_HANDLE_VALUE and the pseudo handles are written
VOID = None


class Absent:
    """Stands for a function that this Windows does not export."""

    def __init__(self, library: str, name: str) -> None:
        self._library, self._name = library, name

    def __call__(self, *args: object) -> Any:
        raise KernelError(
            Status.STATUS_NOT_IMPLEMENTED,
            f"the {self._library} of this Windows has no {self._name}",
            WinError.ERROR_CALL_NOT_IMPLEMENTED,
        )


class _Library:
    """A library that is loaded, and in which functions are declared."""

    def __init__(self, name: str, **options: bool) -> None:
        self._name = name
        # ctypes has this class on Windows only, where alone this module is imported.
        self._library = vars(ctypes)["WinDLL"](name, **options)

    def __call__(self, name: str, result: type[Any] | None, *arguments: type[Any]) -> Foreign:
        """A function by its exported name, with its result type and its argument types."""
        try:
            function = self._library[name]  # a function object of this module alone
        except AttributeError:
            return Absent(self._name, name)
        function.restype, function.argtypes = result, arguments
        declared: Foreign = function
        return declared


_kernel32 = _Library("kernel32", use_last_error=True)
_advapi32 = _Library("advapi32", use_last_error=True)
_ntdll = _Library("ntdll")

# -- files -------------------------------------------------------------------------------------------------------------

CreateFileW = _kernel32("CreateFileW", HANDLE, LPCWSTR, DWORD, DWORD, LPVOID, DWORD, DWORD, HANDLE)
ReadFile = _kernel32("ReadFile", BOOL, HANDLE, LPVOID, DWORD, LPVOID, LPVOID)
WriteFile = _kernel32("WriteFile", BOOL, HANDLE, LPVOID, DWORD, LPVOID, LPVOID)
GetOverlappedResult = _kernel32("GetOverlappedResult", BOOL, HANDLE, LPVOID, LPVOID, BOOL)
SetFilePointer = _kernel32("SetFilePointer", DWORD, HANDLE, LONG, LPVOID, DWORD)
SetFilePointerEx = _kernel32("SetFilePointerEx", BOOL, HANDLE, LONGLONG, LPVOID, DWORD)
SetEndOfFile = _kernel32("SetEndOfFile", BOOL, HANDLE)
GetFileSize = _kernel32("GetFileSize", DWORD, HANDLE, LPVOID)
GetFileSizeEx = _kernel32("GetFileSizeEx", BOOL, HANDLE, LPVOID)
GetFileType = _kernel32("GetFileType", DWORD, HANDLE)
FlushFileBuffers = _kernel32("FlushFileBuffers", BOOL, HANDLE)
GetFileAttributesW = _kernel32("GetFileAttributesW", DWORD, LPCWSTR)
SetFileAttributesW = _kernel32("SetFileAttributesW", BOOL, LPCWSTR, DWORD)
DeleteFileW = _kernel32("DeleteFileW", BOOL, LPCWSTR)
MoveFileW = _kernel32("MoveFileW", BOOL, LPCWSTR, LPCWSTR)
MoveFileExW = _kernel32("MoveFileExW", BOOL, LPCWSTR, LPCWSTR, DWORD)
CopyFileW = _kernel32("CopyFileW", BOOL, LPCWSTR, LPCWSTR, BOOL)
LockFile = _kernel32("LockFile", BOOL, HANDLE, DWORD, DWORD, DWORD, DWORD)
LockFileEx = _kernel32("LockFileEx", BOOL, HANDLE, DWORD, DWORD, DWORD, DWORD, LPVOID)
UnlockFile = _kernel32("UnlockFile", BOOL, HANDLE, DWORD, DWORD, DWORD, DWORD)
UnlockFileEx = _kernel32("UnlockFileEx", BOOL, HANDLE, DWORD, DWORD, DWORD, LPVOID)
DeviceIoControl = _kernel32("DeviceIoControl", BOOL, HANDLE, DWORD, LPVOID, DWORD, LPVOID, DWORD, LPVOID, LPVOID)
SetFileInformationByHandle = _kernel32("SetFileInformationByHandle", BOOL, HANDLE, c_int32, LPVOID, DWORD)
GetFileInformationByHandle = _kernel32("GetFileInformationByHandle", BOOL, HANDLE, LPVOID)
GetFileInformationByHandleEx = _kernel32("GetFileInformationByHandleEx", BOOL, HANDLE, c_int32, LPVOID, DWORD)
GetFinalPathNameByHandleW = _kernel32("GetFinalPathNameByHandleW", DWORD, HANDLE, LPVOID, DWORD, DWORD)

# -- sections, views, memory -------------------------------------------------------------------------------------------

CreateFileMappingW = _kernel32("CreateFileMappingW", HANDLE, HANDLE, LPVOID, DWORD, DWORD, DWORD, LPCWSTR)
OpenFileMappingW = _kernel32("OpenFileMappingW", HANDLE, DWORD, BOOL, LPCWSTR)
MapViewOfFile = _kernel32("MapViewOfFile", LPVOID, HANDLE, DWORD, DWORD, DWORD, SIZE_T)
MapViewOfFileEx = _kernel32("MapViewOfFileEx", LPVOID, HANDLE, DWORD, DWORD, DWORD, SIZE_T, LPVOID)
UnmapViewOfFile = _kernel32("UnmapViewOfFile", BOOL, LPVOID)
UnmapViewOfFileEx = _kernel32("UnmapViewOfFileEx", BOOL, LPVOID, ULONG)
FlushViewOfFile = _kernel32("FlushViewOfFile", BOOL, LPVOID, SIZE_T)
VirtualQuery = _kernel32("VirtualQuery", SIZE_T, LPVOID, LPVOID, SIZE_T)
VirtualProtect = _kernel32("VirtualProtect", BOOL, LPVOID, SIZE_T, DWORD, LPVOID)
VirtualAlloc = _kernel32("VirtualAlloc", LPVOID, LPVOID, SIZE_T, DWORD, DWORD)
VirtualFree = _kernel32("VirtualFree", BOOL, LPVOID, SIZE_T, DWORD)
VirtualLock = _kernel32("VirtualLock", BOOL, LPVOID, SIZE_T)
VirtualUnlock = _kernel32("VirtualUnlock", BOOL, LPVOID, SIZE_T)
PrefetchVirtualMemory = _kernel32("PrefetchVirtualMemory", BOOL, HANDLE, SIZE_T, LPVOID, ULONG)
DiscardVirtualMemory = _kernel32("DiscardVirtualMemory", DWORD, LPVOID, SIZE_T)
GetSystemInfo = _kernel32("GetSystemInfo", VOID, LPVOID)
GlobalMemoryStatusEx = _kernel32("GlobalMemoryStatusEx", BOOL, LPVOID)
QueryWorkingSetEx = _kernel32("K32QueryWorkingSetEx", BOOL, HANDLE, LPVOID, DWORD)
GetMappedFileNameW = _kernel32("K32GetMappedFileNameW", DWORD, HANDLE, LPVOID, LPVOID, DWORD)

# -- handles and processes ---------------------------------------------------------------------------------------------

CloseHandle = _kernel32("CloseHandle", BOOL, HANDLE)
DuplicateHandle = _kernel32("DuplicateHandle", BOOL, HANDLE, HANDLE, HANDLE, LPVOID, DWORD, BOOL, DWORD)
GetHandleInformation = _kernel32("GetHandleInformation", BOOL, HANDLE, LPVOID)
SetHandleInformation = _kernel32("SetHandleInformation", BOOL, HANDLE, DWORD, DWORD)
CompareObjectHandles = _Library("kernelbase", use_last_error=True)("CompareObjectHandles", BOOL, HANDLE, HANDLE)
OpenProcess = _kernel32("OpenProcess", HANDLE, DWORD, BOOL, DWORD)
TerminateProcess = _kernel32("TerminateProcess", BOOL, HANDLE, DWORD)
GetExitCodeProcess = _kernel32("GetExitCodeProcess", BOOL, HANDLE, LPVOID)
GetProcessTimes = _kernel32("GetProcessTimes", BOOL, HANDLE, LPVOID, LPVOID, LPVOID, LPVOID)
ProcessIdToSessionId = _kernel32("ProcessIdToSessionId", BOOL, DWORD, LPVOID)
QueryFullProcessImageNameW = _kernel32("QueryFullProcessImageNameW", BOOL, HANDLE, DWORD, LPVOID, LPVOID)

# -- mutexes, semaphores, events, waits --------------------------------------------------------------------------------

CreateMutexW = _kernel32("CreateMutexW", HANDLE, LPVOID, BOOL, LPCWSTR)
CreateMutexExW = _kernel32("CreateMutexExW", HANDLE, LPVOID, LPCWSTR, DWORD, DWORD)
OpenMutexW = _kernel32("OpenMutexW", HANDLE, DWORD, BOOL, LPCWSTR)
ReleaseMutex = _kernel32("ReleaseMutex", BOOL, HANDLE)
CreateSemaphoreW = _kernel32("CreateSemaphoreW", HANDLE, LPVOID, LONG, LONG, LPCWSTR)
CreateSemaphoreExW = _kernel32("CreateSemaphoreExW", HANDLE, LPVOID, LONG, LONG, LPCWSTR, DWORD, DWORD)
OpenSemaphoreW = _kernel32("OpenSemaphoreW", HANDLE, DWORD, BOOL, LPCWSTR)
ReleaseSemaphore = _kernel32("ReleaseSemaphore", BOOL, HANDLE, LONG, LPVOID)
CreateEventW = _kernel32("CreateEventW", HANDLE, LPVOID, BOOL, BOOL, LPCWSTR)
CreateEventExW = _kernel32("CreateEventExW", HANDLE, LPVOID, LPCWSTR, DWORD, DWORD)
OpenEventW = _kernel32("OpenEventW", HANDLE, DWORD, BOOL, LPCWSTR)
SetEvent = _kernel32("SetEvent", BOOL, HANDLE)
ResetEvent = _kernel32("ResetEvent", BOOL, HANDLE)
PulseEvent = _kernel32("PulseEvent", BOOL, HANDLE)
WaitForSingleObjectEx = _kernel32("WaitForSingleObjectEx", DWORD, HANDLE, DWORD, BOOL)
WaitForMultipleObjectsEx = _kernel32("WaitForMultipleObjectsEx", DWORD, DWORD, LPVOID, BOOL, DWORD, BOOL)
SignalObjectAndWait = _kernel32("SignalObjectAndWait", DWORD, HANDLE, HANDLE, DWORD, BOOL)
Sleep = _kernel32("Sleep", VOID, DWORD)
SleepEx = _kernel32("SleepEx", DWORD, DWORD, BOOL)
OpenThread = _kernel32("OpenThread", HANDLE, DWORD, BOOL, DWORD)
QueueUserAPC = _kernel32("QueueUserAPC", DWORD, LPVOID, HANDLE, SIZE_T)

# -- texts and security ------------------------------------------------------------------------------------------------

FormatMessageW = _kernel32("FormatMessageW", DWORD, DWORD, LPVOID, DWORD, DWORD, LPVOID, DWORD, LPVOID)
OutputDebugStringW = _kernel32("OutputDebugStringW", VOID, LPCWSTR)
OutputDebugStringA = _kernel32("OutputDebugStringA", VOID, LPCSTR)
LocalFree = _kernel32("LocalFree", LPVOID, LPVOID)
ConvertStringSecurityDescriptorToSecurityDescriptorW = _advapi32(
    "ConvertStringSecurityDescriptorToSecurityDescriptorW", BOOL, LPCWSTR, DWORD, LPVOID, LPVOID
)
ConvertSidToStringSidW = _advapi32("ConvertSidToStringSidW", BOOL, LPVOID, LPVOID)
LookupAccountNameW = _advapi32("LookupAccountNameW", BOOL, LPCWSTR, LPCWSTR, LPVOID, LPVOID, LPVOID, LPVOID, LPVOID)
OpenProcessToken = _advapi32("OpenProcessToken", BOOL, HANDLE, DWORD, LPVOID)
GetTokenInformation = _advapi32("GetTokenInformation", BOOL, HANDLE, c_int32, LPVOID, DWORD, LPVOID)

# -- native calls ------------------------------------------------------------------------------------------------------

NtCreateSection = _ntdll("NtCreateSection", NTSTATUS, LPVOID, DWORD, LPVOID, LPVOID, ULONG, ULONG, HANDLE)
NtOpenSection = _ntdll("NtOpenSection", NTSTATUS, LPVOID, DWORD, LPVOID)
NtOpenMutant = _ntdll("NtOpenMutant", NTSTATUS, LPVOID, DWORD, LPVOID)
NtMapViewOfSection = _ntdll(
    "NtMapViewOfSection",
    *(NTSTATUS, HANDLE, HANDLE, LPVOID, SIZE_T, SIZE_T, LPVOID, LPVOID, DWORD, ULONG, ULONG),
)
NtUnmapViewOfSection = _ntdll("NtUnmapViewOfSection", NTSTATUS, HANDLE, LPVOID)
NtExtendSection = _ntdll("NtExtendSection", NTSTATUS, HANDLE, LPVOID)
NtQuerySection = _ntdll("NtQuerySection", NTSTATUS, HANDLE, c_int32, LPVOID, SIZE_T, LPVOID)
NtFlushVirtualMemory = _ntdll("NtFlushVirtualMemory", NTSTATUS, HANDLE, LPVOID, LPVOID, LPVOID)
NtQueryObject = _ntdll("NtQueryObject", NTSTATUS, HANDLE, c_int32, LPVOID, ULONG, LPVOID)
NtQueryMutant = _ntdll("NtQueryMutant", NTSTATUS, HANDLE, c_int32, LPVOID, ULONG, LPVOID)
NtQuerySemaphore = _ntdll("NtQuerySemaphore", NTSTATUS, HANDLE, c_int32, LPVOID, ULONG, LPVOID)
NtQueryEvent = _ntdll("NtQueryEvent", NTSTATUS, HANDLE, c_int32, LPVOID, ULONG, LPVOID)
NtClose = _ntdll("NtClose", NTSTATUS, HANDLE)
NtMakeTemporaryObject = _ntdll("NtMakeTemporaryObject", NTSTATUS, HANDLE)
NtAreMappedFilesTheSame = _ntdll("NtAreMappedFilesTheSame", NTSTATUS, LPVOID, LPVOID)
NtOpenDirectoryObject = _ntdll("NtOpenDirectoryObject", NTSTATUS, LPVOID, DWORD, LPVOID)
NtQueryDirectoryObject = _ntdll(
    "NtQueryDirectoryObject", NTSTATUS, HANDLE, LPVOID, ULONG, BOOLEAN, BOOLEAN, LPVOID, LPVOID
)
RtlNtStatusToDosError = _ntdll("RtlNtStatusToDosError", ULONG, NTSTATUS)

# -- the interpreter ---------------------------------------------------------------------------------------------------

#: The event that Python sets at Ctrl-C, which the interpreter owns.
_PyOS_SigintEvent = ctypes.pythonapi._PyOS_SigintEvent
_PyOS_SigintEvent.restype, _PyOS_SigintEvent.argtypes = HANDLE, ()
