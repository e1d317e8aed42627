"""Win32 by the names of the Windows headers: files, file mappings, views, handles; mutexes, semaphores, events, waits.

Handles and addresses are ints. A function that fails returns what it returns on Windows (None for NULL) and sets
`GetLastError()`; nothing here raises, but a TypeError for an argument of the wrong Python type. Out-parameters are
ctypes instances or `byref` of one; the types are here too. `FormatMessage(FORMAT_MESSAGE_FROM_SYSTEM, None,
GetLastError())` says in full what went wrong.
"""

from namedmap._platform import functions as _functions
from namedmap.constants import *  # noqa: F403 -- every constant is a name of this module, as in the Windows headers
from namedmap.types import BOOL as BOOL
from namedmap.types import DWORD as DWORD
from namedmap.types import FILETIME as FILETIME
from namedmap.types import HANDLE as HANDLE
from namedmap.types import LARGE_INTEGER as LARGE_INTEGER
from namedmap.types import LONG as LONG
from namedmap.types import LPVOID as LPVOID
from namedmap.types import MEMORY_BASIC_INFORMATION as MEMORY_BASIC_INFORMATION
from namedmap.types import OVERLAPPED as OVERLAPPED
from namedmap.types import SECURITY_ATTRIBUTES as SECURITY_ATTRIBUTES
from namedmap.types import SIZE_T as SIZE_T
from namedmap.types import SYSTEM_INFO as SYSTEM_INFO
from namedmap.types import ULONG as ULONG
from namedmap.types import WIN32_MEMORY_RANGE_ENTRY as WIN32_MEMORY_RANGE_ENTRY

CreateFile = _functions.CreateFile
ReadFile = _functions.ReadFile
WriteFile = _functions.WriteFile
SetFilePointer = _functions.SetFilePointer
SetFilePointerEx = _functions.SetFilePointerEx
SetEndOfFile = _functions.SetEndOfFile
GetFileSize = _functions.GetFileSize
GetFileSizeEx = _functions.GetFileSizeEx
FlushFileBuffers = _functions.FlushFileBuffers
GetFileAttributes = _functions.GetFileAttributes
SetFileAttributes = _functions.SetFileAttributes
DeleteFile = _functions.DeleteFile
MoveFile = _functions.MoveFile
MoveFileEx = _functions.MoveFileEx
CopyFile = _functions.CopyFile
LockFile = _functions.LockFile
LockFileEx = _functions.LockFileEx
UnlockFile = _functions.UnlockFile
UnlockFileEx = _functions.UnlockFileEx
CreateFileMapping = _functions.CreateFileMapping
OpenFileMapping = _functions.OpenFileMapping
CreateMutex = _functions.CreateMutex
CreateMutexEx = _functions.CreateMutexEx
OpenMutex = _functions.OpenMutex
ReleaseMutex = _functions.ReleaseMutex
CreateSemaphore = _functions.CreateSemaphore
CreateSemaphoreEx = _functions.CreateSemaphoreEx
OpenSemaphore = _functions.OpenSemaphore
ReleaseSemaphore = _functions.ReleaseSemaphore
CreateEvent = _functions.CreateEvent
CreateEventEx = _functions.CreateEventEx
OpenEvent = _functions.OpenEvent
SetEvent = _functions.SetEvent
ResetEvent = _functions.ResetEvent
PulseEvent = _functions.PulseEvent
WaitForSingleObject = _functions.WaitForSingleObject
WaitForSingleObjectEx = _functions.WaitForSingleObjectEx
WaitForMultipleObjects = _functions.WaitForMultipleObjects
WaitForMultipleObjectsEx = _functions.WaitForMultipleObjectsEx
SignalObjectAndWait = _functions.SignalObjectAndWait
MapViewOfFile = _functions.MapViewOfFile
MapViewOfFileEx = _functions.MapViewOfFileEx
UnmapViewOfFile = _functions.UnmapViewOfFile
UnmapViewOfFileEx = _functions.UnmapViewOfFileEx
FlushViewOfFile = _functions.FlushViewOfFile
VirtualQuery = _functions.VirtualQuery
VirtualProtect = _functions.VirtualProtect
VirtualAlloc = _functions.VirtualAlloc
VirtualFree = _functions.VirtualFree
VirtualLock = _functions.VirtualLock
VirtualUnlock = _functions.VirtualUnlock
PrefetchVirtualMemory = _functions.PrefetchVirtualMemory
GetSystemInfo = _functions.GetSystemInfo
CloseHandle = _functions.CloseHandle
DuplicateHandle = _functions.DuplicateHandle
GetHandleInformation = _functions.GetHandleInformation
SetHandleInformation = _functions.SetHandleInformation
CompareObjectHandles = _functions.CompareObjectHandles
GetCurrentProcess = _functions.GetCurrentProcess
GetCurrentThread = _functions.GetCurrentThread
GetCurrentProcessId = _functions.GetCurrentProcessId
OpenProcess = _functions.OpenProcess
TerminateProcess = _functions.TerminateProcess
GetExitCodeProcess = _functions.GetExitCodeProcess
GetProcessTimes = _functions.GetProcessTimes
OutputDebugString = _functions.OutputDebugString
GetLastError = _functions.GetLastError
SetLastError = _functions.SetLastError
FormatMessage = _functions.FormatMessage

# Strings are Unicode here: the wide names mean the same.
CreateFileW = _functions.CreateFile
GetFileAttributesW = _functions.GetFileAttributes
SetFileAttributesW = _functions.SetFileAttributes
DeleteFileW = _functions.DeleteFile
MoveFileW = _functions.MoveFile
MoveFileExW = _functions.MoveFileEx
CopyFileW = _functions.CopyFile
CreateFileMappingW = _functions.CreateFileMapping
OpenFileMappingW = _functions.OpenFileMapping
CreateMutexW = _functions.CreateMutex
CreateMutexExW = _functions.CreateMutexEx
OpenMutexW = _functions.OpenMutex
CreateSemaphoreW = _functions.CreateSemaphore
CreateSemaphoreExW = _functions.CreateSemaphoreEx
OpenSemaphoreW = _functions.OpenSemaphore
CreateEventW = _functions.CreateEvent
CreateEventExW = _functions.CreateEventEx
OpenEventW = _functions.OpenEvent
FormatMessageW = _functions.FormatMessage
OutputDebugStringW = _functions.OutputDebugString
