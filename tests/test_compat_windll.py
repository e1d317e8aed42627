"""ctypes as on Windows: libraries, functions with argtypes and restype, arguments of every shape, results, errors.

Most of it needs no installation: here `wintypes` has the sizes of Linux, which is the harder case.
"""

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from ctypes import POINTER, byref, c_int, c_void_p, wintypes
from pathlib import Path
from typing import Any

import pytest

from calls import object_path
from namedmap import win32
from namedmap.compat import windll as ours
from namedmap.compat._declarations import LIBRARIES

pytestmark = pytest.mark.usefixtures("tidy")

PAGE_READWRITE, ALL_ACCESS = 4, 0xF001F
INVALID = 2**64 - 1
WAIT_TIMEOUT, WAIT_FAILED = 258, 0xFFFFFFFF

WinDLL: Any = ours.WinDLL
# The types of a program on 64-bit Windows under these names; with 4 bytes there, here with 8.
DWORD, LONG, BOOL = ctypes.c_ulong, ctypes.c_long, ctypes.c_long


@pytest.fixture
def kernel32() -> Any:
    """The library with the result types that a careful program sets."""
    library = WinDLL("kernel32", use_last_error=True)
    for name in ("CreateFileMappingW", "OpenFileMappingW", "CreateEventW", "CreateMutexW", "CreateFileW"):
        getattr(library, name).restype = wintypes.HANDLE
    library.MapViewOfFile.restype = wintypes.LPVOID
    return library


@pytest.fixture
def section(kernel32: Any) -> int:
    handle = kernel32.CreateFileMappingW(INVALID, None, PAGE_READWRITE, 0, 8192, "windll-section")
    assert isinstance(handle, int)
    return handle


@pytest.fixture
def view(kernel32: Any, section: int) -> int:
    address = kernel32.MapViewOfFile(section, ALL_ACCESS, 0, 0, 0)
    assert isinstance(address, int)
    return address


class TestLibraries:
    """WinDLL, windll and what can be had of them."""

    @pytest.mark.parametrize("name", ["kernel32", "KERNEL32.DLL", "kernel32.dll", r"C:\Windows\System32\kernel32.dll"])
    def test_names(self, name: str) -> None:
        """A library is found by its name with or without directory and .dll, in any case."""
        assert WinDLL(name).GetCurrentThreadId() == threading.get_native_id()
        assert ours.windll.LoadLibrary(name).GetCurrentThreadId() == threading.get_native_id()

    def test_unknown_libraries(self) -> None:
        """A library that is not here is a FileNotFoundError with the code of Windows."""
        with pytest.raises(FileNotFoundError, match=r"SimConnect\.dll") as raised:
            WinDLL("SimConnect.dll")
        error: Any = raised.value
        assert error.winerror == 126

    def test_function_objects(self) -> None:
        """A function is one object in each library, and another in each loading, so that programs do not meet."""
        first, second = WinDLL("kernel32"), WinDLL("kernel32")
        assert first.CloseHandle is first.CloseHandle
        assert first.CloseHandle is not second.CloseHandle
        assert first["CloseHandle"] is not first.CloseHandle
        assert ours.windll.kernel32 is ours.windll.kernel32
        first.CloseHandle.restype = None
        assert second.CloseHandle.restype is c_int

    @pytest.mark.parametrize("name", ["CreateFileMappingX", "CloseHandleW", "CreateFile2", "__wrapped__"])
    def test_unknown_functions(self, name: str) -> None:
        """A function that is not here is an AttributeError, so that hasattr tells."""
        assert not hasattr(WinDLL("kernel32"), name)

    @pytest.mark.parametrize(
        ("library", "name", "failure"),
        [
            ("kernel32", "ReadProcessMemory", 0),
            ("kernel32", "GetComputerNameW", 0),
            ("user32", "GetSystemMetrics", 0),
            ("gdi32", "GetDC", 0),
            ("ntdll", "NtDelayExecution", 0xC0000002),
            ("shcore", "SetProcessDpiAwareness", 0x80004001),
            ("shell32", "SHGetKnownFolderPath", 0x80004001),
            ("winmm", "waveOutSetVolume", 1),
            ("advapi32", "RegOpenKeyExW", 120),
        ],
    )
    def test_functions_of_windows_that_are_not_here(self, library: str, name: str, failure: int) -> None:
        """They can be declared, and fail in the way of their kind; a warning says so."""
        function = getattr(WinDLL(library), name)
        function.argtypes, function.restype = [wintypes.HANDLE], ctypes.c_uint32
        with pytest.warns(RuntimeWarning, match=f"{library}.{name} is not here"):
            assert function(None) == failure
        assert ours.GetLastError() == 120

    def test_forms(self) -> None:
        """Every function with text has a W and an A form; the bare name takes both kinds."""
        library = WinDLL("kernel32")
        for name in ("CreateFileMapping", "OpenEvent", "CreateMutexEx", "DeleteFile", "FormatMessage"):
            assert all(callable(library[name + form]) for form in ("W", "A", ""))
        event = library.CreateEventA(None, True, False, b"forms")
        assert event
        for opened in (
            library.OpenEventW(win32.EVENT_ALL_ACCESS, False, "forms"),
            library.OpenEvent(win32.EVENT_ALL_ACCESS, False, "forms"),
            library.OpenEvent(win32.EVENT_ALL_ACCESS, False, b"forms"),
        ):
            assert library.CompareObjectHandles(opened, event)

    def test_everything_of_win32_is_there(self) -> None:
        """kernel32 has each function of namedmap.win32."""
        functions = {name for name in vars(win32) if callable(vars(win32)[name]) and not name.startswith("_")}
        types = {name for name in functions if isinstance(vars(win32)[name], type)}
        wide = {name for name in functions if name.endswith("W") and name[:-1] in functions}
        assert functions - types - wide <= set(LIBRARIES["kernel32"])
        assert all(hasattr(WinDLL("kernel32"), name) for name in wide)

    def test_the_c_library(self) -> None:
        """msvcrt is the C library, with native functions."""
        msvcrt = WinDLL("msvcrt.dll")
        target = ctypes.create_string_buffer(6)
        msvcrt.memcpy(target, b"hello", 5)
        assert target.value == b"hello"
        assert (msvcrt.strlen(target), msvcrt.wcslen("four")) == (5, 4)


class TestResults:
    """Results, as restype makes them."""

    def test_handles_are_small(self, section: int) -> None:
        """A handle fits a positive C int, so that a program which sets no restype has it as well."""
        assert 0 < section < 2**31
        assert WinDLL("kernel32").OpenFileMappingW(ALL_ACCESS, False, "windll-section") < 2**31

    def test_addresses_are_whole(self, kernel32: Any, section: int, view: int) -> None:
        """With a pointer type the address of a view comes whole, without restype as the C int that Windows gives."""
        ctypes.memmove(view, b"data", 5)
        assert view > 2**32
        for kind in (wintypes.LPVOID, ctypes.c_size_t, ctypes.c_ulonglong, wintypes.WPARAM):
            kernel32.MapViewOfFile.restype = kind
            assert ctypes.string_at(kernel32.MapViewOfFile(section, ALL_ACCESS, 0, 0, 0)) == b"data"
        del kernel32.MapViewOfFile.restype
        assert -(2**31) <= kernel32.MapViewOfFile(section, ALL_ACCESS, 0, 0, 0) < 2**31

    def test_pointers(self, kernel32: Any, section: int, view: int) -> None:
        """A restype may be a pointer to a structure, a string, or a class of the program's."""

        class Data(ctypes.Structure):
            _fields_ = (("one", ctypes.c_int32), ("other", ctypes.c_int32))

        class Address(c_void_p):
            pass

        ctypes.memmove(view, (ctypes.c_int32 * 2)(7, 8), 8)
        kernel32.MapViewOfFile.restype = POINTER(Data)
        data = kernel32.MapViewOfFile(section, ALL_ACCESS, 0, 0, 0).contents
        assert (data.one, data.other) == (7, 8)
        ctypes.memmove(view, b"text", 5)
        kernel32.MapViewOfFile.restype = ctypes.c_char_p
        assert kernel32.MapViewOfFile(section, ALL_ACCESS, 0, 0, 0) == b"text"
        kernel32.MapViewOfFile.restype = Address
        assert isinstance(kernel32.MapViewOfFile(section, ALL_ACCESS, 0, 0, 0), Address)

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            (c_int, -1),
            (ctypes.c_uint, 0xFFFFFFFF),
            (DWORD, 0xFFFFFFFF),
            (LONG, -1),
            (wintypes.DWORD, 0xFFFFFFFF),
            (ctypes.c_uint64, 0xFFFFFFFF),
            (ctypes.c_bool, True),
            (None, None),
            (lambda code: ("called with", code), ("called with", -1)),
        ],
    )
    def test_a_dword(self, kernel32: Any, kind: Any, expected: object) -> None:
        """WAIT_FAILED is 0xFFFFFFFF as a DWORD, of 4 bytes or of 8, and -1 as an int or a LONG."""
        kernel32.WaitForSingleObject.restype = kind
        assert kernel32.WaitForSingleObject(0x7770, 0) == expected

    @pytest.mark.parametrize("kind", [BOOL, wintypes.BOOL, c_int, ctypes.c_bool, ctypes.c_byte, ctypes.c_int64])
    def test_a_bool(self, kernel32: Any, kind: Any, section: int) -> None:
        """TRUE and FALSE come right whatever their size."""
        kernel32.CloseHandle.restype = kind
        assert kernel32.CloseHandle(section) == 1
        assert kernel32.CloseHandle(section) == 0

    def test_handles_that_are_none(self, kernel32: Any, tmp_path: Path) -> None:
        """NULL is None as a HANDLE, INVALID_HANDLE_VALUE all ones; 0 and -1 without restype."""
        assert kernel32.OpenFileMappingW(ALL_ACCESS, False, "nobody's") is None
        missing = (str(tmp_path / "none"), 0x80000000, 0, None, 3, 0, None)
        assert kernel32.CreateFileW(*missing) == INVALID == wintypes.HANDLE(-1).value
        del kernel32.CreateFileW.restype, kernel32.OpenFileMappingW.restype
        assert kernel32.CreateFileW(*missing) == -1
        assert kernel32.OpenFileMappingW(ALL_ACCESS, False, "nobody's") == 0

    def test_checks(self, kernel32: Any) -> None:
        """errcheck gets result, function and arguments, and what it returns or raises is the outcome."""

        def check(result: Any, function: Any, arguments: tuple[Any, ...]) -> Any:
            if not result:
                raise ours.WinError(ours.get_last_error())
            return result, function.__name__, arguments

        kernel32.OpenMutexW.errcheck = check
        with pytest.raises(FileNotFoundError, match="nobody's"):
            kernel32.OpenMutexW(win32.MUTEX_ALL_ACCESS, False, "nobody's")
        kernel32.CreateMutexW.errcheck = check
        handle, name, arguments = kernel32.CreateMutexW(None, False, None)
        assert (name, arguments) == ("CreateMutexW", (None, False, None))
        assert kernel32.CloseHandle(handle)
        del kernel32.CreateMutexW.errcheck
        assert isinstance(kernel32.CreateMutexW(None, False, None), int)

    def test_a_wrong_setting_is_refused(self, kernel32: Any) -> None:
        """argtypes are types of ctypes, restype and errcheck can be called."""
        with pytest.raises(TypeError, match="from_param"):
            kernel32.CloseHandle.argtypes = (5,)
        with pytest.raises(TypeError, match="restype"):
            kernel32.CloseHandle.restype = 5
        with pytest.raises(TypeError, match="errcheck"):
            kernel32.CloseHandle.errcheck = 5


class TestArguments:
    """Arguments that a program may pass."""

    @pytest.mark.parametrize("wrap", [int, c_void_p, wintypes.HANDLE, ctypes.c_uint32, ctypes.c_int64])
    def test_handles(self, kernel32: Any, wrap: Any, section: int) -> None:
        """A handle may be an int, a HANDLE or another integer of ctypes, with argtypes and without."""
        assert kernel32.GetHandleInformation(wrap(section), byref(DWORD()))
        kernel32.FlushViewOfFile.argtypes = kernel32.CloseHandle.argtypes = [wintypes.HANDLE]
        assert kernel32.CloseHandle(section if wrap is not c_void_p else wrap(section))

    def test_objects_that_stand_for_one(self, kernel32: Any, section: int) -> None:
        """_as_parameter_ and from_param of a program's own classes are honoured."""

        class Owner:
            _as_parameter_ = section

        class Checked:
            @classmethod
            def from_param(cls, value: Any) -> Any:
                return value["handle"]

        assert kernel32.GetHandleInformation(Owner(), byref(DWORD()))
        kernel32.CloseHandle.argtypes = [Checked]
        assert kernel32.CloseHandle({"handle": section})

    def test_the_invalid_handle(self, kernel32: Any) -> None:
        """-1, all ones in 32 and 64 bits, and HANDLE(-1) are the same."""
        for value in (-1, 0xFFFFFFFF, INVALID, wintypes.HANDLE(-1), c_int(-1)):
            assert kernel32.CreateFileMappingW(value, None, PAGE_READWRITE, 0, 1, None)

    def test_text(self, kernel32: Any) -> None:
        """Wide text may be a str, a c_wchar_p, an array of c_wchar, its address; UTF-16 as bytes or 16-bit units."""
        name = "Tëxt-µ"
        assert kernel32.CreateEventW(None, True, False, name)
        array = ctypes.create_unicode_buffer(name)
        units = name.encode("utf-16-le") + b"\0\0"
        for each in (
            ctypes.c_wchar_p(name),
            array,
            byref(array),
            ctypes.addressof(array),
            ctypes.cast(array, ctypes.c_wchar_p),
            units,
            ctypes.create_string_buffer(units),
            (ctypes.c_uint16 * len(units)).from_buffer_copy(units + bytes(len(units))),
        ):
            assert kernel32.OpenEventW(win32.SYNCHRONIZE, False, each), each
        kernel32.OpenEventW.argtypes = [wintypes.DWORD, wintypes.BOOL, wintypes.LPCWSTR]
        for given in (name, array, ctypes.c_wchar_p(name)):
            assert kernel32.OpenEventW(win32.SYNCHRONIZE, False, given)
        with pytest.raises(ctypes.ArgumentError, match="argument 3"):
            kernel32.OpenEventW(win32.SYNCHRONIZE, False, 5)

    def test_narrow_text(self, kernel32: Any) -> None:
        """Narrow text may be bytes, a c_char_p or an array; of UTF-8, or else of code page 1252."""
        assert kernel32.CreateEventA(None, True, False, "näme".encode())
        for each in (
            ctypes.c_char_p("näme".encode()),
            ctypes.create_string_buffer("näme".encode()),
            byref(ctypes.create_string_buffer("näme".encode("cp1252"))),
        ):
            assert kernel32.OpenEventA(win32.SYNCHRONIZE, False, each)

    def test_too_few_and_too_many(self, kernel32: Any, section: int) -> None:
        """A missing argument is a TypeError; one too many does no harm, as on 64-bit Windows."""
        with pytest.raises(TypeError, match=r"MapViewOfFile takes 5 arguments \(2 given\)"):
            kernel32.MapViewOfFile(section, ALL_ACCESS)
        assert kernel32.CloseHandle(section, 0, 0)

    @pytest.mark.parametrize("value", [1.5, [1], object(), {}])
    def test_what_cannot_be_an_argument(self, kernel32: Any, value: Any) -> None:
        """A value that C has nothing for is an ArgumentError that says which."""
        with pytest.raises(ctypes.ArgumentError, match="argument 1"):
            kernel32.CloseHandle(value)

    def test_own_types_are_checked(self, kernel32: Any) -> None:
        """argtypes refuse what they would refuse on Windows."""
        kernel32.CloseHandle.argtypes = [wintypes.HANDLE]
        with pytest.raises(ctypes.ArgumentError, match="argument 1"):
            kernel32.CloseHandle(1.5)
        assert kernel32.CloseHandle.argtypes == (wintypes.HANDLE,)

    def test_several_handles(self, kernel32: Any) -> None:
        """WaitForMultipleObjects takes an array of handles, or a pointer to one."""
        events = [kernel32.CreateEventW(None, True, state, None) for state in (False, True)]
        array = (wintypes.HANDLE * 2)(*events)
        for each in (array, byref(array), ctypes.cast(array, POINTER(wintypes.HANDLE)), ctypes.addressof(array)):
            assert kernel32.WaitForMultipleObjects(2, each, False, 0) == 1
        assert kernel32.WaitForMultipleObjects(2, array, True, 0) == WAIT_TIMEOUT
        assert kernel32.WaitForMultipleObjects(0, array, True, 0) == -1


class TestStoredResults:
    """Results that a call stores where the program says."""

    def test_a_dword_of_eight_bytes(self, kernel32: Any, section: int) -> None:
        """The old upper half of the program's variable is not there any more."""
        for flags in (DWORD(2**64 - 1), DWORD(2**63), ctypes.c_uint32(99), wintypes.DWORD(2**64 - 1)):
            assert kernel32.GetHandleInformation(section, byref(flags))
            assert flags.value == 0
        semaphore = kernel32.CreateSemaphoreW(None, 2, 9, None)
        previous = LONG(-1)
        assert kernel32.ReleaseSemaphore(semaphore, 3, byref(previous))
        assert previous.value == 2

    def test_ways_to_say_where(self, kernel32: Any, section: int) -> None:
        """byref, pointer, an array, an address, and the variable itself if argtypes has a pointer."""
        process = kernel32.GetCurrentProcess()
        for way in ("byref", "pointer", "array", "address", "itself"):
            target: Any = (wintypes.HANDLE * 1)() if way == "array" else wintypes.HANDLE()
            made: Any = {"byref": byref, "pointer": ctypes.pointer, "address": ctypes.addressof}.get(way)
            where = target if made is None else made(target)
            if way == "itself":
                kernel32.DuplicateHandle.argtypes = [
                    *[wintypes.HANDLE] * 3, POINTER(wintypes.HANDLE), wintypes.DWORD, wintypes.BOOL, wintypes.DWORD
                ]  # fmt: skip
            assert kernel32.DuplicateHandle(process, section, process, where, 0, False, 2), way
            value = target[0] if isinstance(target, ctypes.Array) else target.value
            assert kernel32.CompareObjectHandles(value, section), way

    def test_byref_with_an_offset(self, kernel32: Any, section: int) -> None:
        """The offset counts."""
        pair = (ctypes.c_uint32 * 2)(5, 5)
        assert kernel32.GetHandleInformation(section, byref(pair, 4))
        assert list(pair) == [5, 0]

    def test_too_small(self, kernel32: Any, section: int) -> None:
        """A variable that cannot hold the result is refused rather than overrun."""
        with pytest.raises(ctypes.ArgumentError, match="too small"):
            kernel32.GetHandleInformation(section, byref(ctypes.c_uint16()))

    def test_files(self, kernel32: Any, tmp_path: Path) -> None:
        """ReadFile and WriteFile take buffers, counts and an OVERLAPPED of the program's own."""

        class Overlapped(ctypes.Structure):  # as programs write it; with a DWORD of 8 bytes it has another layout
            _fields_ = (
                ("Internal", ctypes.c_void_p),
                ("InternalHigh", ctypes.c_void_p),
                ("Offset", DWORD),
                ("OffsetHigh", DWORD),
                ("hEvent", wintypes.HANDLE),
            )

        file = kernel32.CreateFileW(str(tmp_path / "file"), 0xC0000000, 3, None, 2, 0, None)
        count = DWORD(2**64 - 1)
        assert kernel32.WriteFile(file, b"0123456789", 10, byref(count), None)
        assert count.value == 10
        target, place = ctypes.create_string_buffer(4), Overlapped(Offset=3)
        assert kernel32.ReadFile(file, target, 4, byref(count), byref(place))
        assert (target.raw, count.value, place.InternalHigh) == (b"3456", 4, 4)
        size = ctypes.c_longlong()
        assert kernel32.GetFileSizeEx(file, byref(size))
        assert (size.value, kernel32.GetFileSize(file, None)) == (10, 10)
        assert kernel32.SetFilePointer(file, -4, None, 2) == 6
        assert kernel32.SetFilePointerEx(file, wintypes.LARGE_INTEGER(-3), byref(size), 2)
        assert size.value == 7

    def test_structures_by_name(self, kernel32: Any, view: int) -> None:
        """A structure that DWORDs of 8 bytes have made longer is filled by the names of its fields."""

        class Information(ctypes.Structure):
            _fields_ = (
                ("BaseAddress", c_void_p),
                ("AllocationBase", c_void_p),
                ("AllocationProtect", DWORD),
                ("PartitionId", wintypes.WORD),
                ("RegionSize", ctypes.c_size_t),
                ("State", DWORD),
                ("Protect", DWORD),
                ("Type", DWORD),
            )

        assert ctypes.sizeof(Information) > 48
        found = Information()
        assert kernel32.VirtualQuery(c_void_p(view), byref(found), ctypes.sizeof(found)) == 48
        assert (found.BaseAddress, found.RegionSize, found.Protect) == (view, 8192, PAGE_READWRITE)

    def test_structures_in_memory(self, kernel32: Any, view: int) -> None:
        """A structure of the right size is stored to as it is, whatever its fields are called."""
        found = (ctypes.c_uint64 * 6)()
        assert kernel32.VirtualQuery(view, found, 48) == 48
        assert (found[0], found[3]) == (view, 8192)
        system = win32.SYSTEM_INFO()
        kernel32.GetSystemInfo(byref(system))
        assert system.dwAllocationGranularity == 65536


class SecurityAttributes(ctypes.Structure):
    """As programs write it."""

    _fields_ = (("nLength", DWORD), ("lpSecurityDescriptor", wintypes.LPVOID), ("bInheritHandle", BOOL))


class TestSecurity:
    """SECURITY_ATTRIBUTES of a program's own."""

    @staticmethod
    def attributes(descriptor: int | None = None, inherit: bool = False) -> SecurityAttributes:
        return SecurityAttributes(ctypes.sizeof(SecurityAttributes), descriptor, inherit)

    @pytest.mark.parametrize("way", ["byref", "pointer", "argtypes"])
    def test_inheritance(self, kernel32: Any, way: str) -> None:
        """bInheritHandle makes the handle inheritable."""
        given: Any = self.attributes(inherit=True)
        if way == "argtypes":
            kernel32.CreateMutexW.argtypes = [POINTER(SecurityAttributes), wintypes.BOOL, wintypes.LPCWSTR]
        else:
            given = byref(given) if way == "byref" else ctypes.pointer(given)
        handle, flags = kernel32.CreateMutexW(given, False, None), DWORD()
        assert kernel32.GetHandleInformation(handle, byref(flags))
        assert flags.value == win32.HANDLE_FLAG_INHERIT

    def test_everyone(self, kernel32: Any) -> None:
        """A descriptor with an access list of NULL lets everyone use a global object."""
        advapi32, descriptor = WinDLL("advapi32"), ctypes.create_string_buffer(40)
        assert advapi32.InitializeSecurityDescriptor(byref(descriptor), 1)
        given = self.attributes(ctypes.addressof(descriptor))
        name = r"Global\windll-everyone"
        handle = kernel32.CreateMutexW(byref(given), False, name)
        assert object_path(name).stat().st_mode & 0o777 == 0o600
        kernel32.CloseHandle(handle)
        assert advapi32.SetSecurityDescriptorDacl(byref(descriptor), True, None, False)
        assert kernel32.CreateMutexW(byref(given), False, name)
        assert object_path(name).stat().st_mode & 0o777 == 0o666

    def test_a_string(self, kernel32: Any) -> None:
        """A descriptor of a string does what the string says, and is freed with LocalFree."""
        advapi32, descriptor = WinDLL("advapi32"), c_void_p()
        convert = advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW
        assert convert("D:(A;;GR;;;WD)(A;;GA;;;OW)", 1, byref(descriptor), None)
        name = r"Global\windll-string"
        assert kernel32.CreateMutexW(byref(self.attributes(descriptor.value)), False, name)
        assert object_path(name).stat().st_mode & 0o777 == 0o644
        assert not kernel32.LocalFree(descriptor)

    def test_the_owner(self, kernel32: Any) -> None:
        """The user of a token may own a new object; somebody else may not be made its owner."""
        advapi32 = WinDLL("advapi32", use_last_error=True)
        token, needed = wintypes.HANDLE(), DWORD()
        this = wintypes.HANDLE(-1)
        assert advapi32.OpenProcessToken(this, 8, byref(token))
        assert not advapi32.GetTokenInformation(token, 1, None, 0, byref(needed))
        assert ours.get_last_error() == 122
        user = ctypes.create_string_buffer(needed.value)
        assert advapi32.GetTokenInformation(token, 1, user, needed.value, byref(needed))
        sid = c_void_p.from_buffer(user).value
        descriptor = ctypes.create_string_buffer(40)
        assert advapi32.InitializeSecurityDescriptor(descriptor, 1)
        assert advapi32.SetSecurityDescriptorOwner(descriptor, c_void_p(sid), False)
        attributes = SecurityAttributes(24, ctypes.addressof(descriptor), False)
        assert kernel32.CreateMutexW(byref(attributes), False, "windll-owned")
        user[needed.value - 16] = b"\x07"  # the revision of the SID
        assert not kernel32.CreateMutexW(byref(attributes), False, "windll-other")

    def test_another_is_refused(self, kernel32: Any) -> None:
        """A descriptor that cannot be read is an error, not one that is left out."""
        descriptor = (ctypes.c_ubyte * 40)(1, 0, 4, 0x80)
        assert kernel32.CreateMutexW(byref(self.attributes(ctypes.addressof(descriptor))), False, None) is None
        assert ours.get_last_error() == win32.ERROR_INVALID_SECURITY_DESCR


class TestMemoryOfArguments:
    """A function reads and stores within what the argument has; memory that is not there is an OSError."""

    def test_room(self, kernel32: Any, view: int, tmp_path: Path) -> None:
        """More than an array, structure or number has is refused, and nothing is stored."""
        target, number = ctypes.create_string_buffer(b"same", 4), DWORD(7)
        move, fill = kernel32.RtlMoveMemory, kernel32.RtlFillMemory
        calls: tuple[Any, ...] = (
            lambda: move(target, view, 5),
            lambda: move(byref(target, 2), view, 3),
            lambda: move(view, target, 5),
            lambda: move(view, b"abc", 5),
            lambda: fill(target, 5, 0),
            lambda: move(byref(number), view, 9),
            lambda: WinDLL("msvcrt").memcpy(target, view, 5),
            lambda: WinDLL("msvcrt").wcscpy(target, "ab"),
            lambda: kernel32.WaitForMultipleObjects(2, (c_void_p * 1)(), False, 0),
            lambda: kernel32.GetFileSizeEx(3, byref(c_int())),
            lambda: kernel32.GetFileSizeEx(3, (ctypes.c_uint16 * 2)()),
            lambda: kernel32.VirtualQuery(view, ctypes.create_string_buffer(20), 48),
            lambda: kernel32.CreateMutexW(byref(c_int()), False, None),
            lambda: kernel32.FormatMessageW(0x1200, None, 5, 0, ctypes.create_unicode_buffer(3), 100, None),
            lambda: kernel32.ReadFile(3, target, 5, byref(number), None),
            lambda: kernel32.WriteFile(3, target, 5, byref(number), None),
        )
        for call in calls:
            with pytest.raises(ctypes.ArgumentError, match=r"bytes at an argument|too small"):
                call()
        assert (target.raw, number.value) == (b"same", 7)
        move(byref(target, 2), b"XY", 2)
        assert target.raw == b"saXY"

    @pytest.mark.parametrize("where", [8, 2**47 - 4096, 2**64 - 16])
    def test_addresses(self, kernel32: Any, view: int, where: int) -> None:
        """An address where nothing is does not end the process."""
        calls: tuple[Any, ...] = (
            lambda: kernel32.RtlMoveMemory(c_void_p(where), b"abc", 3),
            lambda: kernel32.RtlMoveMemory(c_void_p(view), c_void_p(where), 3),
            lambda: kernel32.RtlMoveMemory(c_void_p(view), c_void_p(where), 2**40),
            lambda: kernel32.RtlZeroMemory(c_void_p(where), 8),
            lambda: kernel32.RtlCompareMemory(c_void_p(where), c_void_p(view), 8),
            lambda: kernel32.CreateMutexW(c_void_p(where), False, None),
            lambda: kernel32.CreateMutexW(None, False, c_void_p(where)),
            lambda: kernel32.CreateMutexA(None, False, c_void_p(where)),
            lambda: kernel32.GetFileSizeEx(3, c_void_p(where)),
            lambda: kernel32.WaitForMultipleObjects(2, c_void_p(where), False, 0),
            lambda: kernel32.GetSystemInfo(c_void_p(where)),
        )
        for call in calls:
            with pytest.raises(OSError, match="access violation"):
                call()

    def test_read_only_memory(self, kernel32: Any, section: int) -> None:
        """A store into a view for reading is an OSError."""
        reader = kernel32.MapViewOfFile(section, win32.FILE_MAP_READ, 0, 0, 0)
        with pytest.raises(OSError, match="writing"):
            kernel32.RtlMoveMemory(c_void_p(reader), b"abc", 3)

    def test_text_without_an_end(self, kernel32: Any) -> None:
        """An array without a NUL is read to its end, and no farther."""
        made = kernel32.CreateEventW(None, True, False, (ctypes.c_wchar * 3)(*"abc"))
        for opened in (
            kernel32.OpenEventW(win32.EVENT_ALL_ACCESS, False, "abc"),
            kernel32.OpenEventA(win32.EVENT_ALL_ACCESS, False, ctypes.create_string_buffer(b"abc", 3)),
            kernel32.OpenEventW(win32.EVENT_ALL_ACCESS, False, (ctypes.c_uint16 * 3)(*b"abc")),
            kernel32.OpenEventW(win32.EVENT_ALL_ACCESS, False, byref((ctypes.c_wchar * 5)(*"xxabc"), 8)),
        ):
            assert kernel32.CompareObjectHandles(opened, made)

    def test_a_str_as_memory(self, kernel32: Any, view: int) -> None:
        """Moved as memory, text is UTF-16; msvcrt.memcpy does the same."""
        kernel32.RtlMoveMemory(c_void_p(view), "né", 6)
        assert ctypes.string_at(view, 6) == b"n\0\xe9\0\0\0"
        WinDLL("msvcrt").memcpy(c_void_p(view), "ok", 4)
        assert ctypes.string_at(view, 6) == b"o\0k\0\0\0"
        assert WinDLL("msvcrt").wcslen(ctypes.create_unicode_buffer("abc")) == 3


class UnicodeString(ctypes.Structure):
    _fields_ = (("Length", wintypes.USHORT), ("MaximumLength", wintypes.USHORT), ("Buffer", wintypes.LPWSTR))


class ObjectAttributes(ctypes.Structure):
    _fields_ = (
        ("Length", wintypes.ULONG),
        ("RootDirectory", wintypes.HANDLE),
        ("ObjectName", POINTER(UnicodeString)),
        ("Attributes", wintypes.ULONG),
        ("SecurityDescriptor", c_void_p),
        ("SecurityQualityOfService", c_void_p),
    )


class SectionInformation(ctypes.Structure):
    _fields_ = (("Base", c_void_p), ("Attributes", wintypes.ULONG), ("Size", ctypes.c_longlong))


class TestNative:
    """ntdll, with structures of the program's own."""

    @pytest.mark.parametrize("way", ["fields", "RtlInitUnicodeString"])
    def test_a_section(self, way: str) -> None:
        """A section is created, opened, queried, mapped and closed by name."""
        ntdll, name = WinDLL("ntdll"), "windll-native"
        text = UnicodeString(2 * len(name), 2 * len(name) + 2, name)
        if way != "fields":
            text = UnicodeString()
            ntdll.RtlInitUnicodeString(byref(text), name)
            assert (text.Length, text.MaximumLength) == (26, 28)
        attributes = ObjectAttributes(48, None, ctypes.pointer(text), 0x40, None, None)
        made, opened, base, size = wintypes.HANDLE(), wintypes.HANDLE(), c_void_p(), ctypes.c_size_t()
        wanted = ctypes.c_longlong(8192)
        rights = (0xF001F, byref(attributes))
        assert ntdll.NtCreateSection(byref(made), *rights, byref(wanted), 4, 0x8000000, None) == 0
        assert ntdll.NtOpenSection(byref(opened), *rights) == 0
        found = SectionInformation()
        assert ntdll.NtQuerySection(opened, 0, byref(found), 24, None) == 0
        assert found.Size == 8192
        with pytest.raises(ctypes.ArgumentError, match="has 24"):
            ntdll.NtQuerySection(opened, 0, byref(found), 32, None)
        this = wintypes.HANDLE(-1)
        assert ntdll.NtMapViewOfSection(opened, this, byref(base), 0, 0, None, byref(size), 1, 0, 4) == 0
        assert (ctypes.string_at(base, 4), size.value) == (bytes(4), 8192)
        assert ntdll.NtUnmapViewOfSection(this, base) == ntdll.NtClose(opened) == ntdll.ZwClose(made) == 0
        ntdll.NtOpenSection.restype = ctypes.c_uint32
        assert ntdll.NtOpenSection(byref(opened), *rights) == 0xC0000034


class TestErrors:
    """The last error, its text and its exception."""

    def test_kept_apart(self) -> None:
        """With use_last_error the error stays where get_last_error finds it, whatever others do meanwhile."""
        keeping, plain = WinDLL("kernel32", use_last_error=True), WinDLL("kernel32")
        assert not keeping.OpenMutexW(1, False, "nobody's")
        assert not plain.CloseHandle(0x7770)
        assert ours.get_last_error() == win32.ERROR_FILE_NOT_FOUND
        assert ours.GetLastError() == plain.GetLastError() == win32.ERROR_INVALID_HANDLE
        assert keeping.GetLastError() == win32.ERROR_FILE_NOT_FOUND

    def test_set_by_the_program(self) -> None:
        """set_last_error returns what was set before, and a call that succeeds leaves it alone."""
        keeping = WinDLL("kernel32", use_last_error=True)
        ours.set_last_error(77)
        assert keeping.GetCurrentThreadId() == threading.get_native_id()
        assert ours.set_last_error(0) == 77
        assert keeping.CreateMutexW(None, False, "windll-twice")
        assert ours.get_last_error() == 0
        assert keeping.CreateMutexW(None, False, "windll-twice")
        assert ours.get_last_error() == win32.ERROR_ALREADY_EXISTS

    def test_each_thread_has_its_own(self) -> None:
        """A thread does not see the errors of another."""
        keeping, seen = WinDLL("kernel32", use_last_error=True), []
        ours.set_last_error(5)
        thread = threading.Thread(target=lambda: seen.append(ours.get_last_error()))
        thread.start()
        thread.join()
        assert seen == [0]
        assert keeping.GetLastError() == 5

    @pytest.mark.parametrize(
        ("code", "kind"), [(2, FileNotFoundError), (5, PermissionError), (183, FileExistsError), (12345, OSError)]
    )
    def test_exceptions(self, code: int, kind: type[OSError]) -> None:
        """WinError makes the exception that Python has for the code, with winerror."""
        error: Any = ours.WinError(code)
        assert error.winerror == code
        assert isinstance(error, kind)
        assert ours.WinError(code, "our words").args[1] == "our words"

    def test_of_the_last_error(self) -> None:
        """Without a code WinError and FormatError are for the last error, and tell what is known about it."""
        assert not WinDLL("kernel32").OpenFileMappingW(4, False, "nobody's")
        assert "nobody's" in ours.FormatError()
        assert "nobody's" in str(ours.WinError())
        assert ours.FormatError(5) == "Access is denied."
        assert ours.FormatError(54321) == "<no description>"

    def test_texts(self, kernel32: Any) -> None:
        """FormatMessage fills a buffer of the program's, or makes one, with text and a line's end."""
        buffer = ctypes.create_unicode_buffer(256)
        count = kernel32.FormatMessageW(0x1200, None, 5, 0, buffer, len(buffer), None)
        assert (count, buffer.value) == (19, "Access is denied.\r\n")
        narrow = ctypes.create_string_buffer(256)
        assert kernel32.FormatMessageA(0x12FF, None, 5, 0, narrow, len(narrow), None) == 17
        assert narrow.value == b"Access is denied."
        made = ctypes.c_wchar_p()
        assert kernel32.FormatMessageW(0x1300, None, 2, 0, byref(made), 0, None)
        assert (made.value or "").startswith("There is no file")
        assert not kernel32.LocalFree(ctypes.cast(made, c_void_p))
        assert kernel32.FormatMessageW(0x1200, None, 5, 0, buffer, 4, None) == 0
        assert ours.get_last_error() == win32.ERROR_INSUFFICIENT_BUFFER


class TestPrototypes:
    """WINFUNCTYPE: types of callbacks, and functions with named parameters."""

    def test_callbacks(self) -> None:
        """A callback can be given to a function of C."""
        prototype = ours.WINFUNCTYPE(c_int, POINTER(c_int), POINTER(c_int))
        assert prototype is ours.WINFUNCTYPE(c_int, POINTER(c_int), POINTER(c_int))
        numbers = (c_int * 4)(3, 1, 4, 2)
        compare = prototype(lambda one, other: one[0] - other[0])
        WinDLL("msvcrt").qsort(numbers, 4, ctypes.sizeof(c_int), compare)
        assert list(numbers) == [1, 2, 3, 4]

    def test_named_parameters(self) -> None:
        """Parameters have names and defaults."""
        prototype = ours.WINFUNCTYPE(wintypes.HANDLE, wintypes.DWORD, wintypes.BOOL, wintypes.LPCWSTR)
        flags = (1, "access", 0x1F0001), (1, "inherit", False), (1, "name")
        opening = prototype(("OpenMutexW", WinDLL("kernel32")), flags)
        mutex = win32.CreateMutex(None, False, "windll-named")
        assert mutex
        assert win32.CompareObjectHandles(opening(name="windll-named"), mutex)
        assert win32.CompareObjectHandles(opening(0x1F0001, False, "windll-named"), mutex)
        with pytest.raises(TypeError, match="required argument 'name' missing"):
            opening()
        with pytest.raises(TypeError, match="more than it takes"):
            opening(1, False, "windll-named", 5)

    def test_out_parameters(self, section: int) -> None:
        """The stored value is returned; through an errcheck, if there is one."""
        prototype = ours.WINFUNCTYPE(wintypes.BOOL, wintypes.HANDLE, POINTER(wintypes.DWORD), use_last_error=True)
        query = prototype(("GetHandleInformation", WinDLL("kernel32")), ((1, "handle"), (2, "flags")))

        def check(result: Any, function: Any, arguments: Any) -> Any:
            if not result:
                raise ours.WinError(ours.get_last_error())
            return arguments

        query.errcheck = check
        assert query(section) == 0
        with pytest.raises(OSError, match="handle"):
            query(handle=0x7770)

    def test_without_flags(self) -> None:
        """A prototype is also a function's types."""
        function = ours.WINFUNCTYPE(wintypes.DWORD)(("GetCurrentThreadId", WinDLL("kernel32")))
        assert function() == threading.get_native_id()


class TestMemory:
    """Blocks of memory, and moving bytes."""

    def test_moving(self, kernel32: Any, view: int) -> None:
        """RtlMoveMemory takes addresses, buffers, bytes and byref."""
        kernel32.RtlMoveMemory(c_void_p(view), b"bytes", 5)
        target = ctypes.create_string_buffer(8)
        kernel32.RtlCopyMemory(target, view, 5)
        assert target.value == b"bytes"
        number = ctypes.c_int32(7)
        kernel32.RtlMoveMemory.argtypes = [wintypes.LPVOID, wintypes.LPCVOID, ctypes.c_size_t]
        kernel32.RtlMoveMemory(view, byref(number), 4)
        assert ctypes.c_int32.from_address(view).value == 7
        kernel32.RtlZeroMemory(view, 4)
        kernel32.RtlFillMemory(view + 4, 2, 65)
        assert ctypes.string_at(view, 7) == b"\0\0\0\0AA\0"
        assert kernel32.RtlCompareMemory(view, b"\0\0\0\0AB", 6) == 5
        assert WinDLL("ntdll").RtlMoveMemory

    @pytest.mark.parametrize("family", ["Global", "Local"])
    def test_blocks(self, kernel32: Any, family: str) -> None:
        """A block is zero, keeps its contents when it grows, and is gone once it is freed."""
        alloc, free, lock, unlock, size, realloc = (
            getattr(kernel32, family + name) for name in ("Alloc", "Free", "Lock", "Unlock", "Size", "ReAlloc")
        )
        for function in (alloc, lock, realloc):
            function.restype = c_void_p
        block = alloc(0x42, 16)
        assert ctypes.string_at(lock(block), 16) == bytes(16)
        assert not unlock(block)
        kernel32.RtlMoveMemory(lock(block), b"data", 4)
        block = realloc(block, 1000, 0)
        assert (size(block), ctypes.string_at(block, 5)) == (1000, b"data\0")
        assert not free(block)
        assert free(block)
        assert ours.get_last_error() == win32.ERROR_INVALID_HANDLE

    def test_the_heap(self, kernel32: Any) -> None:
        """HeapAlloc and HeapFree belong together."""
        kernel32.HeapAlloc.restype = c_void_p
        block = kernel32.HeapAlloc(kernel32.GetProcessHeap(), 8, 10)
        assert kernel32.HeapFree(kernel32.GetProcessHeap(), 0, c_void_p(block))


class TestSystem:
    """Time, process, windows."""

    def test_time(self, kernel32: Any) -> None:
        """Clocks go forward, and Sleep lasts."""
        frequency, before, after = (ctypes.c_longlong() for _ in range(3))
        assert kernel32.QueryPerformanceFrequency(byref(frequency))
        assert kernel32.QueryPerformanceCounter(byref(before))
        kernel32.GetTickCount64.restype = ctypes.c_ulonglong
        ticks = kernel32.GetTickCount64()
        kernel32.Sleep(20)
        assert kernel32.SleepEx(0, False) == 0
        assert kernel32.QueryPerformanceCounter(byref(after))
        assert (after.value - before.value) / frequency.value >= 0.02
        assert kernel32.GetTickCount64() >= ticks + 19
        assert abs(kernel32.GetTickCount() - ctypes.c_int32(ticks & 0xFFFFFFFF).value) < 60_000
        now = wintypes.FILETIME()
        kernel32.GetSystemTimeAsFileTime(byref(now))
        assert WinDLL("winmm").timeBeginPeriod(1) == 0

    def test_names_of_things(self, kernel32: Any) -> None:
        """Process, thread and modules have ids; a module that is not here has none."""
        assert kernel32.GetCurrentThreadId() == threading.get_native_id()
        assert kernel32.GetModuleHandleW(None)
        assert kernel32.GetModuleHandleA(b"kernel32.dll")
        assert not kernel32.GetModuleHandleW("game.exe")
        assert kernel32.GetProcAddress(kernel32.GetModuleHandleW(None), b"main") == 0
        assert WinDLL("shell32").IsUserAnAdmin() == (os.geteuid() == 0)

    def test_there_are_no_windows(self) -> None:
        """A broadcast has no hearers, a window is not found, a message has one number for all."""
        user32 = WinDLL("user32")
        message = user32.RegisterWindowMessageW("SOME_MESSAGE")
        assert 0xC000 <= message <= 0xFFFF
        assert message == user32.RegisterWindowMessageA(b"some_message")
        assert user32.SendNotifyMessageW(0xFFFF, message, 1, 2)
        assert not user32.PostMessageW(0x1234, message, 0, 0)
        assert not user32.FindWindowW(None, "title")

    def test_there_is_no_console(self, kernel32: Any) -> None:
        """Calls that ask or change a Windows console fail, as with streams that are redirected."""
        kernel32.GetStdHandle.restype = wintypes.HANDLE
        stream = kernel32.GetStdHandle(-11)
        assert stream == INVALID
        assert not kernel32.SetConsoleMode(stream, 7)
        assert not kernel32.GetConsoleMode(stream, byref(DWORD()))
        assert not kernel32.SetConsoleTitleW("title")

    def test_a_wait_can_be_interrupted(self, kernel32: Any) -> None:
        """A signal's handler runs during a wait, and what it raises ends the wait, as with Ctrl-C."""

        class Alarm(Exception):
            pass

        def ring(*_: object) -> None:
            raise Alarm

        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            with pytest.raises(Alarm):
                kernel32.WaitForSingleObject(kernel32.CreateEventW(None, True, False, None), -1)
        finally:
            signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def _no_error_left() -> Iterator[None]:
    yield
    ours.set_last_error(0)
