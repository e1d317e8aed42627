"""GetLastError, SetLastError and FormatMessage: what a failure says."""

import ctypes
import re
import threading

import pytest

from calls import PAGE, failed, loose, message, section, view
from namedmap import win32
from namedmap.constants import WinError

pytestmark = pytest.mark.usefixtures("tidy")

SYSTEM, STRING = win32.FORMAT_MESSAGE_FROM_SYSTEM, win32.FORMAT_MESSAGE_FROM_STRING


@pytest.mark.parametrize("code", list(WinError))
def test_every_code_has_a_text(code: WinError) -> None:
    """Each error that can be reported has a text of its own, a sentence."""
    win32.SetLastError(0)
    text = win32.FormatMessage(SYSTEM, None, code)
    assert isinstance(text, str)
    assert re.fullmatch(r"[A-Z].*\.", text)
    others = [win32.FormatMessage(SYSTEM, None, other) for other in WinError if other != code]
    assert text not in others


def test_codes_without_a_text() -> None:
    """ERROR_MR_MID_NOT_FOUND."""
    for code in (9999, 0xFFFFFFFF, 0xC0000005):
        assert failed(win32.FormatMessage(SYSTEM, None, code)) == 317


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: win32.OpenFileMapping(4, False, "messages.none"), ["OpenFileMapping", "messages.none", "nobody"]),
        (lambda: win32.CloseHandle(0x123450), ["CloseHandle", "0x123450", "closed"]),
        (lambda: win32.MapViewOfFile(section(), 4, 0, 1, 0), ["MapViewOfFile", "0x10000"]),
        (lambda: win32.MapViewOfFile(section(), 4, 0, 0, 5000), ["MapViewOfFile", "5,000", "4,096"]),
        (lambda: win32.MapViewOfFile(section(PAGE, 2), 2, 0, 0, 0), ["0xf0005", "0x2"]),
        (lambda: win32.CreateFileMapping(-1, None, 3, 0, 1, None), ["0x3", "PAGE_"]),
        (lambda: win32.CreateFileMapping(-1, None, 4, 0, 0, None), ["size"]),
        (lambda: win32.CreateFileMapping(-1, None, 4, 64, 0, None), ["274,877,9", "memory"]),
        (lambda: win32.CreateFileMapping(-1, None, 4, 0, 1, "\\x"), ["backslash", "Local\\", "Global\\"]),
        (lambda: win32.UnmapViewOfFile(0x1230000), ["0x1230000"]),
        (lambda: win32.VirtualProtect(view(section()), 5000, 2, win32.DWORD()), ["5,000"]),
        (lambda: win32.VirtualAlloc(None, 1, 0, 4), ["MEM_COMMIT", "MEM_RESERVE"]),
        (lambda: win32.CreateSemaphore(None, 3, 2, None), ["3", "2"]),
    ],
)
def test_a_failure_says_what_was_asked_and_what_stood_in_the_way(call: object, parts: list[str]) -> None:
    """The text of the last failure names the call, its arguments and the remedy."""
    assert callable(call)
    failed(call())
    text = message()
    for part in parts:
        assert part in text
    assert len(text) > 40


def test_the_kind_of_object_is_named() -> None:
    """A name that another kind of object has: the message says which."""
    win32.CreateMutex(None, False, "messages.kind")
    failed(win32.OpenFileMapping(4, False, "messages.kind"))
    assert "mutex" in message().lower()


def test_details_belong_to_the_last_failure_only() -> None:
    """Another code, and a code set by hand, have their plain text."""
    failed(win32.CloseHandle(0x4440))
    assert "0x4440" in message()
    plain = win32.FormatMessage(SYSTEM, None, win32.ERROR_ACCESS_DENIED)
    assert plain == "Access is denied."
    win32.SetLastError(win32.ERROR_INVALID_HANDLE)
    assert "0x4440" not in message()


def test_asking_changes_nothing() -> None:
    """FormatMessage leaves the last error and its details."""
    failed(win32.CloseHandle(0x4440))
    assert message() == message()
    assert win32.GetLastError() == 6


def test_the_last_error_is_the_threads_own() -> None:
    """Each thread has its own last error, 0 at its start, and its own details."""
    failed(win32.CloseHandle(0x4440))
    found: list[object] = []

    def work() -> None:
        found.append(win32.GetLastError())
        win32.OpenFileMapping(4, False, "messages.other")
        found.append(message())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0] == 0
    assert "messages.other" in str(found[1])
    assert win32.GetLastError() == 6
    assert "0x4440" in message()


@pytest.mark.parametrize("value", [0, 1, 183, 0xDEADBEEF, 0xFFFFFFFF])
def test_set_last_error(value: int) -> None:
    """Any DWORD can be the last error."""
    assert win32.SetLastError(value) is None
    assert win32.GetLastError() == value


def test_success_leaves_the_last_error() -> None:
    """Calls that succeed leave the last error alone, unless they create something."""
    handle = section(name="messages.success")
    win32.SetLastError(1234)
    address = view(handle)
    other = win32.OpenFileMapping(4, False, "messages.success")
    assert win32.FlushViewOfFile(address, 0)
    assert win32.UnmapViewOfFile(address)
    assert loose.CloseHandle(other)
    assert win32.GetLastError() == 1234


def test_from_string() -> None:
    """FORMAT_MESSAGE_FROM_STRING gives the text as it is."""
    assert win32.FormatMessage(STRING | win32.FORMAT_MESSAGE_IGNORE_INSERTS, "100% %1 text", 0) == "100% %1 text"


def test_into_a_buffer() -> None:
    """With a buffer the characters stored come back; one that is too small is ERROR_INSUFFICIENT_BUFFER."""
    buffer = ctypes.create_unicode_buffer(100)
    count = win32.FormatMessage(SYSTEM, None, win32.ERROR_ACCESS_DENIED, 0, buffer, 100)
    assert (count, buffer.value) == (len("Access is denied."), "Access is denied.")
    for size in (5, count):
        assert failed(loose.FormatMessage(SYSTEM, None, 5, 0, ctypes.create_unicode_buffer(int(size)), size)) == 122
    assert failed(win32.FormatMessage(SYSTEM, None, 5, 0, ctypes.create_unicode_buffer(5), 1000)) == 122
    exact = ctypes.create_unicode_buffer(int(count) + 1)
    assert win32.FormatMessage(SYSTEM, None, win32.ERROR_ACCESS_DENIED, 0, exact, len(exact)) == count


def test_refusals() -> None:
    """No source is ERROR_INVALID_PARAMETER; a buffer of another type raises."""
    assert failed(win32.FormatMessage(0, None, 5)) == 87
    assert failed(win32.FormatMessage(STRING, None, 5)) == 87
    with pytest.raises(TypeError):
        win32.FormatMessage(SYSTEM, None, 5, 0, bytearray(10), 10)
    with pytest.raises(TypeError):
        loose.FormatMessage(SYSTEM, None, "5")
