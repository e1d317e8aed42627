"""Windows file mappings, named shared memory and their handles, with the same meaning on Linux.

win32       the functions by their Win32 names: CreateFileMapping, MapViewOfFile, ...
nt          the native calls: NtCreateSection, ...
constants   PAGE_READWRITE and the others
types       DWORD, SYSTEM_INFO and the others
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
