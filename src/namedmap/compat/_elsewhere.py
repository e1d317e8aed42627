"""Functions and libraries of Windows that are not here, but that programs declare beside those that are.

A program may load these libraries, set argtypes and restype of these functions and call them: that fails as functions
of their kind fail, with ERROR_CALL_NOT_IMPLEMENTED, and a RuntimeWarning says so. Of kernel32 and ntdll only functions
that are listed exist, so that a program that asks whether a newer one is there takes its older way; of the other
libraries all that are asked for.
"""

import re
import warnings
from collections.abc import Callable
from typing import Any

from namedmap._platform import functions


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text))


#: System libraries of which nothing is here.
LIBRARIES = _words(
    """
    avrt bcrypt cfgmgr32 comctl32 comdlg32 crypt32 d3d11 d3d9 dbghelp dinput8 dsound dwmapi dxgi gdi32 hid imm32
    iphlpapi mpr msimg32 netapi32 ole32 oleaut32 opengl32 pdh powrprof propsys psapi secur32 setupapi shcore shlwapi
    userenv uxtheme version winhttp wininet winspool ws2_32 wtsapi32 xinput1_3 xinput1_4 xinput9_1_0
    """
)

_LISTED = _words(
    """
    AddDllDirectory AllocConsole AssignProcessToJobObject AttachConsole CancelIo CancelIoEx CancelWaitableTimer
    ConnectNamedPipe CreateDirectory CreateIoCompletionPort CreateJobObject CreateNamedPipe CreatePipe CreateProcess
    CreateRemoteThread CreateSymbolicLink CreateThread CreateToolhelp32Snapshot CreateWaitableTimer
    CreateWaitableTimerEx DeviceIoControl DisconnectNamedPipe EnumProcesses ExitProcess ExitThread
    FillConsoleOutputAttribute FillConsoleOutputCharacter FindClose FindFirstFile FindNextFile
    FlushConsoleInputBuffer FreeConsole FreeLibrary GetComputerName GetConsoleCP GetConsoleCursorInfo
    GetConsoleOutputCP GetConsoleScreenBufferInfo GetDiskFreeSpace GetDiskFreeSpaceEx GetDriveType
    GetEnvironmentVariable GetExitCodeThread GetFileInformationByHandle GetFileTime GetFileType
    GetFinalPathNameByHandle GetLogicalDrives GetLongPathName GetModuleFileName GetModuleHandleEx
    GetNumberOfConsoleInputEvents GetOverlappedResult GetPriorityClass GetProcessAffinityMask GetProcessTimes
    GetShortPathName GetSystemDirectory GetSystemPowerStatus GetSystemTime GetSystemTimes GetTempPath
    GetThreadContext GetThreadPriority GetUserDefaultUILanguage GetVersion GetVersionEx GetVolumeInformation
    GetWindowsDirectory GlobalMemoryStatusEx InitializeCriticalSection  IsWow64Process
    K32EnumProcessModules K32EnumProcesses K32GetModuleBaseName K32GetModuleFileNameEx K32GetProcessImageFileName
    K32GetProcessMemoryInfo LoadLibrary LoadLibraryEx Module32First Module32Next
    MultiByteToWideChar NtCreateEvent NtCreateFile NtDelayExecution NtOpenDirectoryObject NtOpenEvent NtOpenProcess
    NtQueryDirectoryObject NtQueryInformationFile NtQueryInformationProcess NtQuerySystemInformation
    NtQueryTimerResolution NtQueryVirtualMemory NtReadVirtualMemory NtResumeProcess NtSetInformationProcess
    NtSetTimerResolution NtSuspendProcess NtWriteVirtualMemory OpenThread PeekConsoleInput
    PeekNamedPipe Process32First Process32Next ProcessIdToSessionId QueryDosDevice QueryFullProcessImageName
    QueryInformationJobObject RaiseException ReadConsole ReadConsoleInput ReadDirectoryChanges ReadProcessMemory
    ResumeThread RtlAdjustPrivilege RtlGetVersion RtlNtStatusToDosError SetConsoleCP SetConsoleCtrlHandler
    SetConsoleCursorInfo SetConsoleCursorPosition SetConsoleOutputCP SetConsoleScreenBufferSize
    SetConsoleTextAttribute SetConsoleWindowInfo SetDllDirectory SetEnvironmentVariable SetErrorMode SetFileTime
    SetInformationJobObject SetNamedPipeHandleState SetPriorityClass SetProcessAffinityMask SetStdHandle
    SetThreadAffinityMask SetThreadContext SetThreadExecutionState SetThreadPriority SetUnhandledExceptionFilter
    SetWaitableTimer SuspendThread SwitchToThread TerminateThread Thread32First Thread32Next
    TransactNamedPipe VirtualAllocEx VirtualFreeEx VirtualProtectEx VirtualQueryEx
    WTSGetActiveConsoleSessionId WaitNamedPipe WideCharToMultiByte WriteConsole WriteConsoleInput WriteConsoleOutput
    WriteProcessMemory
    """
)
_CLOSED = frozenset({"kernel32", "kernelbase", "ntdll"})
_HRESULTS = frozenset({"dwmapi", "ole32", "oleaut32", "propsys", "shcore", "uxtheme"})
_NAME = re.compile(r"[A-Za-z]\w+")
_ERROR_CALL_NOT_IMPLEMENTED = 120
_STATUS_NOT_IMPLEMENTED, _E_NOTIMPL, _MMSYSERR_ERROR = 0xC0000002, 0x80004001, 1


def has(library: str, name: str) -> bool:
    """Whether Windows has this function, or for libraries of which little is here: whether it may."""
    if library in _CLOSED:
        return name in _LISTED or (name[-1:] in ("A", "W") and name[:-1] in _LISTED)
    return _NAME.fullmatch(name) is not None


def refusing(library: str, name: str) -> Callable[..., int]:
    """A stand-in for the function."""
    failure = _failure(library, name)

    def refuse(*_: Any) -> int:
        text = f"{library}.{name} is not here and fails: namedmap has what deals with named memory, events and waits"
        warnings.warn(text, RuntimeWarning, stacklevel=5)
        functions.SetLastError(_ERROR_CALL_NOT_IMPLEMENTED)
        return failure

    return refuse


def _failure(library: str, name: str) -> int:
    """The result of a call that has failed, which is 0 for most."""
    if library == "ntdll":
        return _STATUS_NOT_IMPLEMENTED
    if library in _HRESULTS or name.startswith("SHGet"):
        return _E_NOTIMPL
    if library == "winmm":
        return _MMSYSERR_ERROR if name[0].islower() else 0
    return _ERROR_CALL_NOT_IMPLEMENTED if library == "advapi32" and name.startswith("Reg") else 0
