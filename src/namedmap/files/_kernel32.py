"""A function of kernel32 that Python's `os` has no call for, declared. Only on Windows can this be imported."""

import ctypes
from ctypes import wintypes
from typing import Any

_WinDLL: Any = vars(ctypes)["WinDLL"]
_kernel32 = _WinDLL("kernel32", use_last_error=True)

FILE_BASIC_INFO_CLASS = 0


class FILE_BASIC_INFO(ctypes.Structure):
    """Times in ticks of 100 ns since 1601, and attributes; what is 0 stays as it is. Source: winbase.h."""

    _fields_ = (
        ("CreationTime", ctypes.c_int64),
        ("LastAccessTime", ctypes.c_int64),
        ("LastWriteTime", ctypes.c_int64),
        ("ChangeTime", ctypes.c_int64),
        ("FileAttributes", wintypes.DWORD),
    )


SetFileInformationByHandle: Any = _kernel32.SetFileInformationByHandle
SetFileInformationByHandle.argtypes = (wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD)
SetFileInformationByHandle.restype = wintypes.BOOL
