"""The functions of win32 and nt on Windows: arguments, the last error and its sentence, descriptors, faults."""

import ctypes
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msvcrt", reason="for Windows Python: tests/windows/python")

from namedmap import nt, win32
from namedmap._convention.status import KernelError
from windows.insides import calling, dll, guarded

SYSTEM = win32.FORMAT_MESSAGE_FROM_SYSTEM
EVERYBODY, NOBODY = "D:(A;;GA;;;WD)", "D:(D;;GA;;;WD)"
_loose: Any = win32  # for arguments of the wrong type
_native: Any = nt


def message() -> str:
    return str(win32.FormatMessage(SYSTEM, None, win32.GetLastError()))


@pytest.fixture
def event() -> Any:
    handle = win32.CreateEvent(None, True, False, "functions.event")
    assert handle
    yield handle
    assert win32.CloseHandle(handle)


@pytest.fixture
def page() -> Any:
    """A view of one page."""
    section = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, None)
    address = win32.MapViewOfFile(section, win32.FILE_MAP_WRITE, 0, 0, 0)
    assert address
    assert win32.CloseHandle(section)
    yield address
    win32.UnmapViewOfFile(address)


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: _loose.CreateMutex(None, "yes", None), "a BOOL must be a bool or an int, not str"),
        (lambda: _loose.CreateMutex(None, False, b"name"), "lpName must be a str or None, not bytes"),
        (lambda: _loose.CreateMutex(4, False, None), "security attributes must be a SECURITY_ATTRIBUTES"),
        (lambda: _loose.CloseHandle("4"), "a handle must be an int, not str"),
        (lambda: _loose.MapViewOfFile(0, 4.0, 0, 0, 0), "a DWORD argument must be an int, not float"),
        (lambda: _loose.UnmapViewOfFile("0"), "an address must be an int, not str"),
        (lambda: _loose.GetFileSizeEx(0, win32.DWORD()), "lpFileSize must be a .*, or byref of one, not"),
        (lambda: _loose.ReadFile(0, b"fixed", 5, win32.DWORD()), "lpBuffer must be writable, which bytes is not"),
        (lambda: _loose.CreateFile(b"a.dat", 0, 0, None, 3, 0, None), "a path must be a str or os.PathLike, not bytes"),
        (lambda: _loose.VirtualQuery(0, win32.SYSTEM_INFO(), 48), "lpBuffer must be a MEMORY_BASIC_INFORMATION"),
        (lambda: _loose.WaitForMultipleObjects(1, ["x"], False, 0), "a handle must be an int, not str"),
        (lambda: _loose.OutputDebugString(5), "lpOutputString must be a str, bytes or None, not int"),
        (lambda: _native.NtClose("4"), "a handle must be an int, not str"),
        (lambda: nt.NtOpenSection(win32.DWORD(), 4, None), "SectionHandle must be a c_void_p"),
        (lambda: nt.NtOpenSection(win32.HANDLE(), 4, "name"), "ObjectAttributes must be a OBJECT_ATTRIBUTES"),
    ],
)
def test_another_python_type(call: Callable[[], object], text: str) -> None:
    """It is the TypeError that it is on Linux, and leaves the last error."""
    win32.SetLastError(1234)
    with pytest.raises(TypeError, match=text):
        call()
    assert win32.GetLastError() == 1234


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: win32.GetFileSizeEx(4, None), win32.ERROR_NOACCESS),
        (lambda: win32.CreateMutex(None, False, "a\0b"), win32.ERROR_INVALID_NAME),
        (lambda: win32.DeleteFile("a\0b"), win32.ERROR_INVALID_NAME),
        (lambda: win32.DeleteFile(None), win32.ERROR_PATH_NOT_FOUND),
        (lambda: win32.OpenMutex(2**40, False, "x"), win32.ERROR_INVALID_PARAMETER),
        (lambda: win32.VirtualQuery(0, win32.MEMORY_BASIC_INFORMATION(), 47), win32.ERROR_BAD_LENGTH),
        (lambda: win32.WaitForMultipleObjects(65, [4] * 65, False, 0), win32.ERROR_INVALID_PARAMETER),
        (lambda: win32.WaitForMultipleObjects(2, [4], False, 0), win32.ERROR_INVALID_PARAMETER),
        (lambda: win32.WaitForMultipleObjects(1, [-1], False, 0), win32.ERROR_INVALID_HANDLE),
        (lambda: win32.ReadFile(4, bytearray(3), 4, win32.DWORD()), win32.ERROR_INSUFFICIENT_BUFFER),
        (lambda: win32.CreateFile("x", 0, 0, None, 3, win32.FILE_FLAG_OVERLAPPED, None), win32.ERROR_NOT_SUPPORTED),
    ],
)
def test_values_that_no_call_is_made_for(call: Callable[[], object], code: int) -> None:
    """An argument that would lead Windows to other memory or another name is refused with the code of Linux."""
    win32.SetLastError(0)
    assert call() in (None, False, 0, win32.INVALID_HANDLE_VALUE, int(win32.WAIT_FAILED))
    assert win32.GetLastError() == code


def test_a_buffer_for_less_than_its_length() -> None:
    """A query whose length is more than the buffer has is refused, and nothing is written."""
    buffer = ctypes.create_string_buffer(b"\xaa" * 8, 8)
    assert nt.NtQueryObject(-1, 0, buffer, 56) == nt.NTSTATUS.STATUS_ACCESS_VIOLATION
    assert buffer.raw == b"\xaa" * 8


def test_types_of_the_standard_library(event: int) -> None:
    """Out-arguments of ctypes.wintypes are those of namedmap.win32."""
    from ctypes import wintypes

    flags = wintypes.DWORD(77)
    assert win32.GetHandleInformation(event, ctypes.byref(flags))
    assert flags.value == 0


# -- the last error ----------------------------------------------------------------------------------------------------


def test_success_leaves_the_last_error(event: int, page: int) -> None:
    """Calls that succeed leave the last error alone, unless they create something."""
    win32.SetLastError(1234)
    assert win32.SetEvent(event)
    assert win32.WaitForSingleObject(event, 0) == win32.WAIT_OBJECT_0
    assert win32.FlushViewOfFile(page, 0)
    assert win32.GetLastError() == 1234


def test_creating_sets_the_last_error(event: int) -> None:
    """0 for what is new, ERROR_ALREADY_EXISTS for what was there."""
    win32.SetLastError(1234)
    new = win32.CreateEvent(None, True, False, "functions.new")
    assert win32.GetLastError() == 0
    assert win32.CloseHandle(new)
    again = win32.CreateEvent(None, True, False, "functions.event")
    assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
    assert win32.CloseHandle(again)


@pytest.mark.parametrize("value", [0, 1, 0x7FFFFFFF, 0xDEADBEEF, 0xFFFFFFFF])
def test_any_dword_is_a_last_error(value: int, event: int) -> None:
    """It can be set, and a call that succeeds keeps it."""
    win32.SetLastError(value)
    assert win32.SetEvent(event)
    assert win32.GetLastError() == value


def test_other_code_of_the_thread(event: int) -> None:
    """The last error that other ctypes calls and Python itself leave is not that of these functions."""
    kernel32 = vars(ctypes)["WinDLL"]("kernel32", use_last_error=True)
    win32.SetLastError(1234)
    assert not kernel32.CloseHandle(ctypes.c_void_p(0x123450))
    assert not Path("functions.none").exists()
    assert win32.GetLastError() == 1234
    assert not win32.CloseHandle(0)
    assert win32.GetLastError() == win32.ERROR_INVALID_HANDLE


def test_the_last_error_is_the_threads_own() -> None:
    """A new thread begins with 0."""
    assert not win32.CloseHandle(0)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(win32.GetLastError()))
    thread.start()
    thread.join()
    assert found == [0]
    assert win32.GetLastError() == win32.ERROR_INVALID_HANDLE


# -- FormatMessage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: win32.OpenFileMapping(4, False, "functions.none"), ["no file or object", "lpName 'functions.none'"]),
        (lambda: win32.OpenMutex(0x100000, bInheritHandle=True, lpName="x"), ["OpenMutex", "0x100000", "True", "'x'"]),
        (lambda: win32.CloseHandle(0x123450), ["CloseHandle", "hObject 0x123450", "not valid"]),
        (lambda: win32.CreateFile("no/such", 0, 0, None, 3, 0, None), ["CreateFile", "lpFileName 'no/such'"]),
        (lambda: win32.DeleteFile(Path("no/such")), ["DeleteFile", "lpFileName 'no"]),
        (lambda: win32.OpenEvent(1, False, "y" * 500), ["OpenEvent", "'" + "y" * 100 + "…'"]),
    ],
)
def test_a_failure_says_what_was_asked(call: Callable[[], object], parts: list[str]) -> None:
    """The text of the last failure has its meaning, the function, and its arguments by their names."""
    call()
    text = message()
    assert text[0].isupper()
    assert [part for part in parts if part not in text] == []


def test_texts_of_the_system() -> None:
    """A code that namedmap never reports has the text of Windows; one that nobody has is ERROR_MR_MID_NOT_FOUND."""
    text = win32.FormatMessage(SYSTEM, None, 1223)  # ERROR_CANCELLED
    assert isinstance(text, str)
    assert text == text.strip() != ""
    assert win32.FormatMessage(SYSTEM, None, 0x3FFF0000) == 0
    assert win32.GetLastError() == win32.ERROR_MR_MID_NOT_FOUND


def test_details_belong_to_the_last_failure_only() -> None:
    """A code set by hand, and another code, have their plain text."""
    assert not win32.CloseHandle(0x123450)
    assert win32.FormatMessage(SYSTEM, None, win32.ERROR_ACCESS_DENIED) == "Access is denied."
    win32.SetLastError(win32.ERROR_INVALID_HANDLE)
    assert "0x123450" not in message()


# -- security descriptors ----------------------------------------------------------------------------------------------


def opened(attributes: Any) -> int:
    """Create an event with these attributes, open it by its name, and close both: the last error of opening."""
    handle = win32.CreateEvent(attributes, True, False, "functions.secured")
    assert handle, message()
    again = win32.OpenEvent(win32.EVENT_MODIFY_STATE, False, "functions.secured")
    code = 0 if again else win32.GetLastError()
    assert win32.CloseHandle(handle)
    assert not again or win32.CloseHandle(again)
    return code


def test_a_descriptor_as_text() -> None:
    """Windows applies what the text says."""
    assert opened(win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=EVERYBODY)) == 0
    assert opened(ctypes.byref(win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=NOBODY))) == win32.ERROR_ACCESS_DENIED


def test_a_descriptor_in_memory() -> None:
    """An address is passed on as it is, and what lies there stays the caller's."""
    made = win32.LPVOID()
    assert dll.ConvertStringSecurityDescriptorToSecurityDescriptorW(NOBODY, 1, ctypes.byref(made), None)
    attributes = win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=made.value)
    assert [opened(attributes), opened(attributes)] == [win32.ERROR_ACCESS_DENIED] * 2
    assert not dll.LocalFree(made)


def test_a_descriptor_of_a_native_call() -> None:
    """OBJECT_ATTRIBUTES take it as SECURITY_ATTRIBUTES do; the name is one of the session."""
    section, again = win32.HANDLE(), win32.HANDLE()
    size = win32.LARGE_INTEGER(4096)
    named = nt.OBJECT_ATTRIBUTES("functions.native", SecurityDescriptor=NOBODY)
    assert nt.NtCreateSection(section, win32.SECTION_ALL_ACCESS, named, size, 4, win32.SEC_COMMIT, None) == 0
    assert named.SecurityDescriptor == NOBODY
    assert win32.OpenFileMapping(win32.FILE_MAP_READ, False, "functions.native") is None
    assert win32.GetLastError() == win32.ERROR_ACCESS_DENIED
    assert nt.NtOpenSection(again, 4, nt.OBJECT_ATTRIBUTES("functions.native")) == nt.NTSTATUS.STATUS_ACCESS_DENIED
    assert nt.NtClose(section) == 0


def test_a_text_that_is_no_descriptor() -> None:
    """ERROR_INVALID_SECURITY_DESCR, which says what is wrong; nothing is created."""
    for text in ("bad", "D:(A;;GA;;;XX)", "D:(A;;GA;;;WD)\0D:"):
        attributes = win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=text)
        assert win32.CreateMutex(attributes, False, "functions.secured") is None
        assert win32.GetLastError() == win32.ERROR_INVALID_SECURITY_DESCR
        assert repr(text)[1:8] in message()
    assert win32.OpenMutex(win32.SYNCHRONIZE, False, "functions.secured") is None


def test_descriptors_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor that was made of a text is freed after the call, whether it succeeds or not."""
    freed: list[int | None] = []
    real = dll.LocalFree

    def free(memory: win32.LPVOID) -> object:
        freed.append(memory.value)
        return real(memory)

    monkeypatch.setattr(dll, "LocalFree", free)
    attributes = win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=EVERYBODY)
    handle = win32.CreateEvent(attributes, True, False, None)
    assert win32.CloseHandle(handle)
    assert win32.CreateSemaphore(attributes, 3, 2, None) is None
    assert len(freed) == 2
    assert all(freed)


# -- what is not there -------------------------------------------------------------------------------------------------


def test_a_function_that_this_windows_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails with ERROR_CALL_NOT_IMPLEMENTED and STATUS_NOT_IMPLEMENTED, and says which library lacks it."""
    absent: Any = dll._kernel32("NoSuchFunctionAtAll", dll.BOOL, dll.HANDLE)
    assert isinstance(absent, dll.Absent)
    monkeypatch.setattr(dll, "CompareObjectHandles", absent)
    monkeypatch.setattr(dll, "NtExtendSection", absent)
    assert win32.CompareObjectHandles(-1, -1) is False
    assert win32.GetLastError() == win32.ERROR_CALL_NOT_IMPLEMENTED
    assert "CompareObjectHandles: the kernel32 of this Windows has no NoSuchFunctionAtAll" in message()
    assert nt.NtExtendSection(-1, win32.LARGE_INTEGER()) == nt.NTSTATUS.STATUS_NOT_IMPLEMENTED


def test_memory_that_is_not_there(page: int) -> None:
    """Guarded reads and writes of it fail, where a touch would end the process; bytes that are there come through."""
    guarded.write(page + 10, b"guarded")
    assert guarded.read(page, 20) == bytes(10) + b"guarded" + bytes(3)
    assert win32.VirtualProtect(page, 4096, win32.PAGE_READONLY, win32.DWORD())
    with pytest.raises(KernelError, match="is not there"):
        guarded.write(page, b"x")
    assert win32.UnmapViewOfFile(page)
    with pytest.raises(KernelError, match="is not there"):
        guarded.read(page, 1)


def test_an_address_that_is_not_there(tmp_path: Path) -> None:
    """A transfer from or to it fails, and the process goes on."""
    path, count = tmp_path / "a.dat", win32.DWORD()
    path.write_bytes(b"text")
    file = win32.CreateFile(path, win32.GENERIC_READ | win32.GENERIC_WRITE, 0, None, win32.OPEN_EXISTING, 0, None)
    assert not win32.ReadFile(file, 0x10, 4, count)
    assert win32.GetLastError() == win32.ERROR_NOACCESS
    assert not win32.WriteFile(file, 0x10, 4, count)
    assert win32.CloseHandle(file)
    assert path.read_bytes() == b"text"


def test_a_call_that_faults() -> None:
    """A fault within a foreign function is a failure of that call."""
    with pytest.raises(KernelError, match="no usable address") as caught:
        calling.ask(dll.ConvertStringSecurityDescriptorToSecurityDescriptorW, EVERYBODY, 1, 0x10, None)
    assert caught.value.winerror == win32.ERROR_NOACCESS


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_handle_for_overlapped_transfers(tmp_path: Path) -> None:
    """One from elsewhere is read and written as synchronously as any other: the buffer is complete at the return."""
    path, count, place = tmp_path / "a.dat", win32.DWORD(), win32.OVERLAPPED()
    access = win32.GENERIC_READ | win32.GENERIC_WRITE
    file = dll.CreateFileW(str(path), access, 0, None, win32.CREATE_NEW, win32.FILE_FLAG_OVERLAPPED, 0)
    data = bytes(range(256)) * 4096
    assert win32.WriteFile(file, data, len(data), count, place)
    assert count.value == len(data)
    buffer = bytearray(len(data))
    assert win32.ReadFile(file, buffer, len(data), None, place)
    assert buffer == data
    assert win32.CloseHandle(file)


def test_positions_of_all_ones(tmp_path: Path) -> None:
    """Where the lower 32 bits are all ones SetFilePointer and GetFileSize are no failures: the last error is 0."""
    access, high = win32.GENERIC_READ | win32.GENERIC_WRITE, win32.LONG(0)
    file = win32.CreateFile(tmp_path / "a.dat", access, 0, None, win32.CREATE_NEW, 0, None)
    win32.SetLastError(1234)
    assert win32.SetFilePointer(file, -1, high, win32.FILE_BEGIN) == win32.INVALID_SET_FILE_POINTER
    assert win32.GetLastError() == 0
    assert win32.SetFilePointer(4, 0, None, win32.FILE_BEGIN) == win32.INVALID_SET_FILE_POINTER
    assert win32.GetLastError() == win32.ERROR_INVALID_HANDLE
    assert win32.CloseHandle(file)


def test_times_of_a_process() -> None:
    """They go to FILETIME and LARGE_INTEGER alike."""
    created, ended, kernel, user = win32.FILETIME(), win32.LARGE_INTEGER(), win32.LARGE_INTEGER(), win32.FILETIME()
    assert win32.GetProcessTimes(-1, created, ended, kernel, user)
    assert created.dwHighDateTime > 0x01D00000  # after 2014
    assert kernel.value >= 0
