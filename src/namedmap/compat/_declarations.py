"""The functions of kernel32 and the other libraries: what each takes and returns, in the order of its Win32 page.

`text` stands for LPCWSTR in the function's W form and for LPCSTR in its A form. A function that Windows does not have
either is not in the library: a program that asks for it gets an AttributeError. For others see `_elsewhere`.
"""

import ctypes
from collections.abc import Callable
from typing import Any

from namedmap import types as t
from namedmap._platform import functions as f
from namedmap.compat import _blocks, _descriptors, _elsewhere, _low, _native, _system
from namedmap.compat._arguments import (
    Kind,
    address,
    boolean,
    dword,
    handle,
    int64,
    narrow,
    narrow_bytes,
    out,
    place,
    security,
    structure,
    text,
    wide,
)
from namedmap.compat._foreign import DWORD, INT, POINTER, VOID, Declaration
from namedmap.compat._memory import Place

_dword_out, _long_out, _int64_out, _handle_out = out(t.DWORD), out(t.LONG), out(t.LARGE_INTEGER), out(t.HANDLE)
_overlapped = structure(t.OVERLAPPED)
_WAIT = (dword, place, boolean, dword)
_MESSAGE = (dword, place, dword, dword, place, dword, address)


def _handles(count: int, where: Place) -> Any:
    if not where or count > 64:
        return None
    where.check(8 * count)
    return (ctypes.c_void_p * count).from_address(where)


def _wait_multiple(count: int, where: Place, every: bool, milliseconds: int) -> int:
    return f.WaitForMultipleObjects(count, _handles(count, where), every, milliseconds)


def _wait_multiple_ex(count: int, where: Place, every: bool, milliseconds: int, alertable: bool) -> int:
    return f.WaitForMultipleObjectsEx(count, _handles(count, where), every, milliseconds, alertable)


def _prefetch(process: int, count: int, where: Place, flags: int) -> bool:
    where.check(count * ctypes.sizeof(t.WIN32_MEMORY_RANGE_ENTRY) if where else 0)
    entries = (t.WIN32_MEMORY_RANGE_ENTRY * count).from_address(where) if where else None
    return f.PrefetchVirtualMemory(process, count, entries, flags)


def _read(file: int, buffer: Place, size: int, done: Any, overlapped: Any) -> bool:
    if buffer:
        buffer.check(size)
    return f.ReadFile(file, int(buffer), size, done, overlapped)


def _write(file: int, buffer: Place, size: int, done: Any, overlapped: Any) -> bool:
    if buffer:
        buffer.check(size)
    return f.WriteFile(file, int(buffer), size, done, overlapped)


def _declared(*rows: tuple[str, Callable[..., Any], str, tuple[Kind, ...]]) -> dict[str, Declaration]:
    return {name: Declaration(function, result, arguments) for name, function, result, arguments in rows}


_RTL = _declared(
    ("RtlMoveMemory", _blocks.move, POINTER, (place, place, address)),
    ("RtlCopyMemory", _blocks.move, POINTER, (place, place, address)),
    ("RtlFillMemory", _blocks.fill, VOID, (place, address, dword)),
    ("RtlZeroMemory", _blocks.clear, VOID, (place, address)),
    ("RtlCompareMemory", _blocks.compare, POINTER, (place, place, address)),
)

_KERNEL32 = _RTL | _declared(
    # files
    ("CreateFile", f.CreateFile, POINTER, (text, dword, dword, security, dword, dword, handle)),
    ("ReadFile", _read, INT, (handle, place, dword, _dword_out, _overlapped)),
    ("WriteFile", _write, INT, (handle, place, dword, _dword_out, _overlapped)),
    ("SetFilePointer", f.SetFilePointer, DWORD, (handle, dword, _long_out, dword)),
    ("SetFilePointerEx", f.SetFilePointerEx, INT, (handle, int64, _int64_out, dword)),
    ("SetEndOfFile", f.SetEndOfFile, INT, (handle,)),
    ("GetFileSize", f.GetFileSize, DWORD, (handle, _dword_out)),
    ("GetFileSizeEx", f.GetFileSizeEx, INT, (handle, _int64_out)),
    ("FlushFileBuffers", f.FlushFileBuffers, INT, (handle,)),
    ("GetFileAttributes", f.GetFileAttributes, DWORD, (text,)),
    ("SetFileAttributes", f.SetFileAttributes, INT, (text, dword)),
    ("DeleteFile", f.DeleteFile, INT, (text,)),
    ("MoveFile", f.MoveFile, INT, (text, text)),
    ("MoveFileEx", f.MoveFileEx, INT, (text, text, dword)),
    ("CopyFile", f.CopyFile, INT, (text, text, boolean)),
    ("LockFile", f.LockFile, INT, (handle, dword, dword, dword, dword)),
    ("LockFileEx", f.LockFileEx, INT, (handle, dword, dword, dword, dword, _overlapped)),
    ("UnlockFile", f.UnlockFile, INT, (handle, dword, dword, dword, dword)),
    ("UnlockFileEx", f.UnlockFileEx, INT, (handle, dword, dword, dword, _overlapped)),
    # sections and views
    ("CreateFileMapping", f.CreateFileMapping, POINTER, (handle, security, dword, dword, dword, text)),
    ("OpenFileMapping", f.OpenFileMapping, POINTER, (dword, boolean, text)),
    ("MapViewOfFile", f.MapViewOfFile, POINTER, (handle, dword, dword, dword, address)),
    ("MapViewOfFileEx", f.MapViewOfFileEx, POINTER, (handle, dword, dword, dword, address, address)),
    ("UnmapViewOfFile", f.UnmapViewOfFile, INT, (address,)),
    ("UnmapViewOfFileEx", f.UnmapViewOfFileEx, INT, (address, dword)),
    ("FlushViewOfFile", f.FlushViewOfFile, INT, (address, address)),
    # memory
    ("VirtualQuery", f.VirtualQuery, POINTER, (address, structure(t.MEMORY_BASIC_INFORMATION), address)),
    ("VirtualProtect", f.VirtualProtect, INT, (address, address, dword, _dword_out)),
    ("VirtualAlloc", f.VirtualAlloc, POINTER, (address, address, dword, dword)),
    ("VirtualFree", f.VirtualFree, INT, (address, address, dword)),
    ("VirtualLock", f.VirtualLock, INT, (address, address)),
    ("VirtualUnlock", f.VirtualUnlock, INT, (address, address)),
    ("PrefetchVirtualMemory", _prefetch, INT, (handle, address, place, dword)),
    ("GetSystemInfo", f.GetSystemInfo, VOID, (structure(t.SYSTEM_INFO),)),
    ("GetNativeSystemInfo", f.GetSystemInfo, VOID, (structure(t.SYSTEM_INFO),)),
    # mutexes, semaphores, events
    ("CreateMutex", f.CreateMutex, POINTER, (security, boolean, text)),
    ("CreateMutexEx", f.CreateMutexEx, POINTER, (security, text, dword, dword)),
    ("OpenMutex", f.OpenMutex, POINTER, (dword, boolean, text)),
    ("ReleaseMutex", f.ReleaseMutex, INT, (handle,)),
    ("CreateSemaphore", f.CreateSemaphore, POINTER, (security, dword, dword, text)),
    ("CreateSemaphoreEx", f.CreateSemaphoreEx, POINTER, (security, dword, dword, text, dword, dword)),
    ("OpenSemaphore", f.OpenSemaphore, POINTER, (dword, boolean, text)),
    ("ReleaseSemaphore", f.ReleaseSemaphore, INT, (handle, dword, _long_out)),
    ("CreateEvent", f.CreateEvent, POINTER, (security, boolean, boolean, text)),
    ("CreateEventEx", f.CreateEventEx, POINTER, (security, text, dword, dword)),
    ("OpenEvent", f.OpenEvent, POINTER, (dword, boolean, text)),
    ("SetEvent", f.SetEvent, INT, (handle,)),
    ("ResetEvent", f.ResetEvent, INT, (handle,)),
    ("PulseEvent", f.PulseEvent, INT, (handle,)),
    # waits
    ("WaitForSingleObject", f.WaitForSingleObject, DWORD, (handle, dword)),
    ("WaitForSingleObjectEx", f.WaitForSingleObjectEx, DWORD, (handle, dword, boolean)),
    ("WaitForMultipleObjects", _wait_multiple, DWORD, _WAIT),
    ("WaitForMultipleObjectsEx", _wait_multiple_ex, DWORD, (*_WAIT, boolean)),
    ("SignalObjectAndWait", f.SignalObjectAndWait, DWORD, (handle, handle, dword, boolean)),
    # handles, processes, the last error
    ("CloseHandle", f.CloseHandle, INT, (handle,)),
    ("DuplicateHandle", f.DuplicateHandle, INT, (handle, handle, handle, _handle_out, dword, boolean, dword)),
    ("GetHandleInformation", f.GetHandleInformation, INT, (handle, _dword_out)),
    ("SetHandleInformation", f.SetHandleInformation, INT, (handle, dword, dword)),
    ("CompareObjectHandles", f.CompareObjectHandles, INT, (handle, handle)),
    ("GetCurrentProcess", f.GetCurrentProcess, POINTER, ()),
    ("GetCurrentThread", f.GetCurrentThread, POINTER, ()),
    ("GetCurrentProcessId", f.GetCurrentProcessId, DWORD, ()),
    ("GetCurrentThreadId", _system.thread_id, DWORD, ()),
    ("OpenProcess", f.OpenProcess, POINTER, (dword, boolean, dword)),
    ("GetExitCodeProcess", f.GetExitCodeProcess, INT, (handle, _dword_out)),
    ("TerminateProcess", f.TerminateProcess, INT, (handle, dword)),
    ("GetProcessTimes", f.GetProcessTimes, INT, (handle, _int64_out, _int64_out, _int64_out, _int64_out)),
    ("IsDebuggerPresent", _system.nothing, INT, ()),
    ("OutputDebugString", f.OutputDebugString, VOID, (text,)),
    # Bytes go to the listener as they are, in whatever encoding.
    ("OutputDebugStringA", f.OutputDebugString, VOID, (narrow_bytes,)),
    ("GetLastError", f.GetLastError, DWORD, ()),
    ("SetLastError", f.SetLastError, VOID, (dword,)),
    ("FormatMessageA", _system.format_message_narrow, DWORD, _MESSAGE),
    ("FormatMessageW", _system.format_message_wide, DWORD, _MESSAGE),
    ("FormatMessage", _system.format_message_wide, DWORD, _MESSAGE),
    ("GetModuleHandle", _system.module_handle, POINTER, (text,)),
    ("GetProcAddress", _system.procedure_address, POINTER, (address, address)),
    # blocks of memory
    ("GlobalAlloc", _blocks.alloc, POINTER, (dword, address)),
    ("GlobalReAlloc", _blocks.realloc, POINTER, (address, address, dword)),
    ("GlobalFree", _blocks.free, POINTER, (address,)),
    ("GlobalLock", _blocks.lock, POINTER, (address,)),
    ("GlobalUnlock", _blocks.unlock, INT, (address,)),
    ("GlobalSize", _blocks.size_of, POINTER, (address,)),
    ("LocalAlloc", _blocks.alloc, POINTER, (dword, address)),
    ("LocalReAlloc", _blocks.realloc, POINTER, (address, address, dword)),
    ("LocalFree", _blocks.free, POINTER, (address,)),
    ("LocalLock", _blocks.lock, POINTER, (address,)),
    ("LocalUnlock", _blocks.unlock, INT, (address,)),
    ("LocalSize", _blocks.size_of, POINTER, (address,)),
    ("GetProcessHeap", _blocks.process_heap, POINTER, ()),
    ("HeapAlloc", _blocks.heap_alloc, POINTER, (address, dword, address)),
    ("HeapFree", _blocks.heap_free, INT, (address, dword, address)),
    # time
    ("Sleep", _system.sleep, VOID, (dword,)),
    ("SleepEx", _system.sleep_ex, DWORD, (dword, boolean)),
    ("GetTickCount", _system.tick_count, DWORD, ()),
    ("GetTickCount64", _system.tick_count, POINTER, ()),
    ("QueryPerformanceCounter", _system.performance_counter, INT, (_int64_out,)),
    ("QueryPerformanceFrequency", _system.performance_frequency, INT, (_int64_out,)),
    ("GetSystemTimeAsFileTime", _system.system_time, VOID, (_int64_out,)),
    # the console
    ("GetStdHandle", _system.std_handle, POINTER, (dword,)),
    ("GetConsoleMode", _system.no_console, INT, (handle, address)),
    ("SetConsoleMode", _system.no_console, INT, (handle, dword)),
    ("SetConsoleTitle", _system.no_console, INT, (text,)),
    ("GetConsoleWindow", _system.no_window, POINTER, ()),
)

#: Functions that return addresses, below 2 GiB.
_LOW: dict[str, Callable[..., Any]] = {
    "MapViewOfFile": _low.map_view,
    "MapViewOfFileEx": _low.map_view_at,
    "VirtualAlloc": _low.allocate,
    "GlobalAlloc": _blocks.alloc_low,
    "LocalAlloc": _blocks.alloc_low,
    "HeapAlloc": _blocks.heap_alloc_low,
}
_KERNEL32 |= {name: _KERNEL32[name]._replace(low=low) for name, low in _LOW.items()}

LIBRARIES: dict[str, dict[str, Declaration]] = {
    "kernel32": _KERNEL32,
    "kernelbase": _KERNEL32,
    "ntdll": _RTL | _native.DECLARATIONS,
    "user32": _declared(
        ("RegisterWindowMessage", _system.register_message, DWORD, (text,)),
        ("SendNotifyMessage", _system.send_message, INT, (address, dword, address, address)),
        ("SendMessage", _system.send_message, POINTER, (address, dword, address, address)),
        ("PostMessage", _system.send_message, INT, (address, dword, address, address)),
        ("FindWindow", _system.find_window, POINTER, (address, address)),
        ("GetForegroundWindow", _system.no_window, POINTER, ()),
    ),
    "advapi32": _declared(
        ("InitializeSecurityDescriptor", _descriptors.InitializeSecurityDescriptor, INT, (place, dword)),
        (
            "SetSecurityDescriptorDacl",
            _descriptors.SetSecurityDescriptorDacl,
            INT,
            (place, boolean, address, boolean),
        ),
        (
            "ConvertStringSecurityDescriptorToSecurityDescriptor",
            _descriptors.ConvertStringSecurityDescriptorToSecurityDescriptor,
            INT,
            (text, dword, _handle_out, _dword_out),
        ),
        ("SetSecurityDescriptorOwner", _descriptors.SetSecurityDescriptorOwner, INT, (place, address, boolean)),
        ("OpenProcessToken", _descriptors.OpenProcessToken, INT, (handle, dword, _handle_out)),
        ("GetTokenInformation", _descriptors.GetTokenInformation, INT, (handle, dword, place, dword, _dword_out)),
    ),
    "shell32": _declared(("IsUserAnAdmin", _system.is_administrator, INT, ())),
    "winmm": _declared(
        ("timeGetTime", _system.tick_count, DWORD, ()),
        ("timeBeginPeriod", _system.time_period, DWORD, (dword,)),
        ("timeEndPeriod", _system.time_period, DWORD, (dword,)),
    ),
}

#: Functions of the C library that are not native: what they take may be text of 16 bits, or lie beyond a buffer.
C_LIBRARY = _declared(
    ("memcpy", _blocks.move, POINTER, (place, place, address)),
    ("memmove", _blocks.move, POINTER, (place, place, address)),
    ("memset", _blocks.set_all, POINTER, (place, dword, address)),
    ("wcslen", _blocks.units, POINTER, (place,)),
    ("wcscpy", _blocks.copy_units, POINTER, (place, place)),
    ("_getch", _system.read_key, INT, ()),
    ("_kbhit", _system.key_hit, INT, ()),
)

#: Functions that have forms with A and W though their text is not read here.
_WITH_FORMS = {"SendNotifyMessage", "SendMessage", "PostMessage", "FindWindow"}


def find(library: str, name: str) -> Declaration | None:
    """The function of this name, with its text of the form that the name asks for; None if there is none."""
    table = LIBRARIES.get(library, {})
    if name in table:
        return table[name]
    found, form = table.get(name[:-1]), {"W": wide, "A": narrow}.get(name[-1:])
    if found is not None and form is not None and (text in found.arguments or name[:-1] in _WITH_FORMS):
        return found._replace(arguments=tuple(form if kind is text else kind for kind in found.arguments))
    if found is None and _elsewhere.has(library, name):
        return Declaration(_elsewhere.refusing(library, name), POINTER, ())
    return None


def is_library(name: str) -> bool:
    """Whether Windows has a library of this name."""
    return name in LIBRARIES or name in _elsewhere.LIBRARIES
