"""Arguments of foreign functions where a program has declared pointers: what ctypes itself takes, ours take."""

import ctypes
from collections.abc import Callable
from ctypes import wintypes
from pathlib import Path
from typing import Any

import pytest

from namedmap import win32
from namedmap.compat.windll import WinDLL

pytestmark = pytest.mark.usefixtures("tidy")


class _Numbers(ctypes.Structure):
    _fields_ = [("numbers", ctypes.c_int * 16)]


_BYTES = b"A" * 63

#: A value of each shape; made anew for each call.
VALUES: dict[str, Callable[[], Any]] = {
    "c_void_p": lambda: ctypes.cast(ctypes.create_string_buffer(_BYTES), ctypes.c_void_p),
    "c_char_p": lambda: ctypes.c_char_p(_BYTES),
    "c_wchar_p": lambda: ctypes.c_wchar_p("A" * 63),
    "string buffer": lambda: ctypes.create_string_buffer(_BYTES),
    "unicode buffer": lambda: ctypes.create_unicode_buffer("A" * 63),
    "bytes": lambda: _BYTES,
    "byref of a structure": lambda: ctypes.byref(_Numbers()),
    "byref of a buffer": lambda: ctypes.byref(ctypes.create_string_buffer(_BYTES)),
    "byref of a c_char_p": lambda: ctypes.byref(ctypes.c_char_p(_BYTES)),
    "pointer to a structure": lambda: ctypes.pointer(_Numbers()),
    "pointer to characters": lambda: ctypes.cast(ctypes.create_string_buffer(_BYTES), ctypes.POINTER(ctypes.c_char)),
    "pointer to a c_char_p": lambda: ctypes.pointer(ctypes.c_char_p(_BYTES)),
    "array of ints": lambda: (ctypes.c_int * 16)(1),
    "array of strings": lambda: (ctypes.c_char_p * 2)(b"a", b"b"),
    "structure": lambda: _Numbers(),
    "bytearray": lambda: bytearray(64),
    "memoryview": lambda: memoryview(_BYTES),
    "function": lambda: ctypes.CFUNCTYPE(None)(lambda: None),
    "c_ulonglong": lambda: ctypes.c_ulonglong(1),
    "float": lambda: 1.5,
}
KINDS: dict[str, Any] = {
    "c_void_p": ctypes.c_void_p,
    "LPCVOID": wintypes.LPCVOID,
    "c_char_p": ctypes.c_char_p,
    "c_wchar_p": ctypes.c_wchar_p,
    "LPCSTR": wintypes.LPCSTR,
    "LPCWSTR": wintypes.LPCWSTR,
    "POINTER(c_char)": ctypes.POINTER(ctypes.c_char),
    "POINTER(c_ubyte)": ctypes.POINTER(ctypes.c_ubyte),
    "POINTER(c_char_p)": ctypes.POINTER(ctypes.c_char_p),
    "POINTER(Structure)": ctypes.POINTER(_Numbers),
}


def moved(function: Any, kind: Any, value: Any) -> bytes | None:
    """Two bytes that a function of memcpy's kind has copied; None if the argument is refused."""
    function.argtypes, function.restype = [ctypes.c_void_p, kind, ctypes.c_size_t], ctypes.c_void_p
    target = ctypes.create_string_buffer(2)
    try:
        function(target, value, 2)
    except ctypes.ArgumentError:
        return None
    return target.raw


@pytest.mark.parametrize("function", [("kernel32", "RtlMoveMemory"), ("ntdll", "RtlCopyMemory"), ("msvcrt", "memcpy")])
@pytest.mark.parametrize("kind", list(KINDS))
def test_what_ctypes_takes(function: tuple[str, str], kind: str) -> None:
    """For each declared type, values are taken and refused as ctypes does, and the bytes are the same."""
    library, name = function
    ours: Any = WinDLL(library)[name]
    theirs: Any = ctypes.CDLL(None)["memcpy"]
    for shape, make in VALUES.items():
        # The object at the address of a pointer is another one each time.
        value = make()
        assert moved(ours, KINDS[kind], value) == moved(theirs, KINDS[kind], value), shape


class TestFiles:
    """ReadFile and WriteFile with the buffers that programs have."""

    @pytest.mark.parametrize("kind", [None, ctypes.c_void_p, ctypes.c_char_p])
    @pytest.mark.parametrize("make", [ctypes.c_char_p, ctypes.create_string_buffer, bytes])
    def test_write(self, a_dat: Path, kind: Any, make: Callable[[bytes], Any]) -> None:
        """WriteFile takes a c_char_p, a buffer and bytes, whichever pointer is declared."""
        kernel32: Any = WinDLL("kernel32")
        handle = win32.CreateFile(str(a_dat), win32.GENERIC_WRITE, 0, None, win32.OPEN_EXISTING, 0, None)
        if kind is not None:
            out = ctypes.POINTER(wintypes.DWORD)
            kernel32.WriteFile.argtypes = [wintypes.HANDLE, kind, wintypes.DWORD, out, ctypes.c_void_p]
        done = wintypes.DWORD()
        assert kernel32.WriteFile(handle, make(b"abc"), 3, ctypes.byref(done), None)
        win32.CloseHandle(handle)
        assert a_dat.read_bytes() == b"abc3456789"


class TestNames:
    """Names of objects in the strings of ctypes."""

    @pytest.mark.parametrize("kind", [None, ctypes.c_void_p, ctypes.c_wchar_p, wintypes.LPCWSTR])
    @pytest.mark.parametrize("make", [str, ctypes.c_wchar_p, ctypes.create_unicode_buffer])
    def test_wide(self, kind: Any, make: Callable[[str], Any]) -> None:
        """A c_wchar_p and a unicode buffer are names as a str is, whichever pointer is declared."""
        kernel32: Any = WinDLL("kernel32")
        kernel32.CreateMutexW.restype = ctypes.c_void_p
        if kind is not None:
            kernel32.CreateMutexW.argtypes = [ctypes.c_void_p, wintypes.BOOL, kind]
        handle = kernel32.CreateMutexW(None, False, make("pointers"))
        opened = win32.OpenMutex(win32.SYNCHRONIZE, False, "pointers")
        assert handle
        assert opened
        assert win32.CloseHandle(handle)
        assert win32.CloseHandle(opened)

    @pytest.mark.parametrize("kind", [None, ctypes.c_void_p, ctypes.c_char_p])
    @pytest.mark.parametrize("make", [bytes, ctypes.c_char_p, ctypes.create_string_buffer])
    def test_narrow(self, kind: Any, make: Callable[[bytes], Any]) -> None:
        """So are a c_char_p and a string buffer for the functions of narrow text."""
        kernel32: Any = WinDLL("kernel32")
        kernel32.CreateEventA.restype = ctypes.c_void_p
        if kind is not None:
            kernel32.CreateEventA.argtypes = [ctypes.c_void_p, wintypes.BOOL, wintypes.BOOL, kind]
        handle = kernel32.CreateEventA(None, True, False, make(b"pointers"))
        opened = win32.OpenEvent(win32.SYNCHRONIZE, False, "pointers")
        assert handle
        assert opened
        assert win32.CloseHandle(handle)
        assert win32.CloseHandle(opened)


class TestNoRestype:
    """Addresses as the results of functions for which a program has declared none, or a type of 32 bits."""

    @pytest.mark.parametrize("kind", [ctypes.c_int, ctypes.c_uint32, int, lambda value: value])
    def test_views(self, kind: Any) -> None:
        """A view lies below 2 GiB, so that the int is its address; so it is with many of them."""
        kernel32: Any = WinDLL("kernel32")
        section = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 100_000, "low")
        if kind is not ctypes.c_int:
            kernel32.MapViewOfFile.restype = kernel32.MapViewOfFileEx.restype = kind
        found = [kernel32.MapViewOfFile(section, win32.FILE_MAP_WRITE, 0, 0, 0) for _ in range(100)]
        found += [kernel32.MapViewOfFileEx(section, win32.FILE_MAP_WRITE, 0, 0, 0, None) for _ in range(100)]
        assert all(0 < address < 2**31 - 100_000 for address in found)
        ctypes.memset(found[0], 65, 100_000)
        assert ctypes.string_at(found[-1], 100_000) == b"A" * 100_000
        assert all(kernel32.UnmapViewOfFile(address) for address in found)
        assert not kernel32.MapViewOfFile(section, win32.FILE_MAP_WRITE, 0, 1, 0)
        assert kernel32.GetLastError() == win32.ERROR_MAPPED_ALIGNMENT
        assert win32.CloseHandle(section)

    def test_with_one(self) -> None:
        """A program that has declared a pointer gets an address anywhere."""
        kernel32: Any = WinDLL("kernel32")
        kernel32.VirtualAlloc.restype = ctypes.c_void_p
        address = kernel32.VirtualAlloc(None, 4096, 0x3000, 4)
        assert address > 2**32
        assert win32.VirtualFree(address, 0, win32.MEM_RELEASE)

    def test_memory(self) -> None:
        """The same for VirtualAlloc and what allocates blocks, which can be grown and are freed."""
        kernel32: Any = WinDLL("kernel32")
        heap = kernel32.GetProcessHeap()
        blocks = [kernel32.GlobalAlloc(0, 100), kernel32.LocalAlloc(0, 100), kernel32.HeapAlloc(heap, 0, 100)]
        blocks += [kernel32.GlobalReAlloc(blocks.pop(0), 100_000, 0)]
        pages = kernel32.VirtualAlloc(None, 1 << 20, 0x1000, 4)
        for address in (*blocks, pages):
            assert 0 < address < 2**31
            ctypes.memset(address, 66, 100)
            assert ctypes.string_at(address, 3) == b"BBB"
        assert not kernel32.LocalFree(blocks[0])
        assert kernel32.HeapFree(heap, 0, blocks[1])
        assert not kernel32.GlobalFree(blocks[2])
        assert kernel32.VirtualFree(pages, 0, 0x8000)
