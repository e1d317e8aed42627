"""Processes by handle: ending them, how they ended, their times; and what they say to a debug listener."""

import contextlib
import ctypes
import datetime
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from child import WATCHDOG, Spawn, eventually, plain
from namedmap import Mutex, win32
from namedmap.compat.pywin32 import pywintypes, win32api, win32process

pytestmark = pytest.mark.usefixtures("tidy")

ALL = win32.PROCESS_ALL_ACCESS


@contextlib.contextmanager
def handle_of(pid: int, access: int = ALL) -> Iterator[int]:
    handle = win32.OpenProcess(access, False, pid)
    assert handle
    yield handle
    assert win32.CloseHandle(handle)


def exit_code(handle: int) -> int:
    code = win32.DWORD()
    assert win32.GetExitCodeProcess(handle, code)
    return code.value


@contextlib.contextmanager
def started(script: str) -> Iterator["subprocess.Popen[bytes]"]:
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


class TestExitCodes:
    @pytest.mark.parametrize(
        ("script", "expected"),
        [
            ("import sys; sys.exit(0)", 0),
            ("import sys; sys.exit(7)", 7),
            ("import os; os._exit(255)", 255),
            ("import os; os.kill(os.getpid(), 15)", 15),
        ],
    )
    @pytest.mark.parametrize("reaped", [False, True])
    def test_of_a_child(self, script: str, expected: int, reaped: bool) -> None:
        """Its exit status, or the number of the signal; asking does not take it from who waits for the child."""
        with started(f"input(); {script}") as child, handle_of(child.pid) as handle:
            assert exit_code(handle) == win32.STILL_ACTIVE
            assert win32.WaitForSingleObject(handle, 0) == win32.WAIT_TIMEOUT
            assert child.stdin is not None
            child.stdin.write(b"\n")
            child.stdin.flush()
            assert win32.WaitForSingleObject(handle, win32.INFINITE) == win32.WAIT_OBJECT_0
            if not reaped:
                assert exit_code(handle) == expected
            assert child.wait(WATCHDOG) in (expected, -expected)
            assert exit_code(handle) == expected or not _tells_of_the_reaped()

    def test_of_somebody_elses_child(self, spawn: Spawn) -> None:
        """A process that is not ours, before and after its parent has waited for it."""
        child = spawn()
        child.run("""
            import subprocess
            other = subprocess.Popen([sys.executable, "-c", "input(); raise SystemExit(9)"], stdin=-1)
            """)
        with handle_of(child.value("other.pid")) as handle:
            child.run("other.stdin.write(b'x\\n'); other.stdin.close()")
            assert win32.WaitForSingleObject(handle, win32.INFINITE) == win32.WAIT_OBJECT_0
            assert exit_code(handle) == 9
            assert child.value("other.wait()") == 9
            assert exit_code(handle) == (9 if _tells_of_the_reaped() else 0)

    def test_of_this_process(self) -> None:
        """It runs."""
        assert exit_code(win32.GetCurrentProcess()) == win32.STILL_ACTIVE

    def test_rights_and_arguments(self) -> None:
        """The handle needs one right to query; others, and handles of other kinds, are refused."""
        with handle_of(os.getpid(), win32.SYNCHRONIZE) as handle:
            assert not win32.GetExitCodeProcess(handle, win32.DWORD())
            assert win32.GetLastError() == win32.ERROR_ACCESS_DENIED
            assert not win32.TerminateProcess(handle, 0)
            assert win32.GetLastError() == win32.ERROR_ACCESS_DENIED
        with handle_of(os.getpid(), win32.PROCESS_QUERY_LIMITED_INFORMATION) as handle:
            assert exit_code(handle) == win32.STILL_ACTIVE
            assert not win32.TerminateProcess(handle, 0)
        event = win32.CreateEvent(None, True, False, None)
        for wrong in (event, win32.GetCurrentThread(), 0x123450, None):
            assert not win32.GetExitCodeProcess(wrong, win32.DWORD())
            assert win32.GetLastError() == win32.ERROR_INVALID_HANDLE
        assert not win32.GetExitCodeProcess(win32.GetCurrentProcess(), None)
        assert win32.GetLastError() == win32.ERROR_NOACCESS


def _tells_of_the_reaped() -> bool:
    """Whether the kernel tells how a process has ended when its parent has waited for it: Linux 6.15."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor)) >= (6, 15)


class TestTerminate:
    def test_a_child(self) -> None:
        """It ends with the code that was given; ending it again is refused."""
        with started("input()") as child, handle_of(child.pid) as handle:
            assert win32.TerminateProcess(handle, 1234567)
            assert win32.WaitForSingleObject(handle, win32.INFINITE) == win32.WAIT_OBJECT_0
            assert exit_code(handle) == 1234567
            assert not win32.TerminateProcess(handle, 1)
            assert win32.GetLastError() == win32.ERROR_ACCESS_DENIED
            with handle_of(child.pid) as second:
                assert exit_code(second) == 1234567
            assert child.wait(WATCHDOG) == -signal.SIGKILL
            assert exit_code(handle) == 1234567

    def test_somebody_elses_process(self, spawn: Spawn, second_user: int) -> None:
        """Another user's process cannot be ended; it is told so."""
        child = spawn(uid=second_user)
        child.run(f"h = win32.OpenProcess(win32.PROCESS_TERMINATE, False, {os.getpid()})")
        assert not child.value("win32.TerminateProcess(h, 1)")
        assert child.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED

    def test_this_process(self) -> None:
        """It ends at once, without exit handlers, and leaves no names."""
        script = """
            import atexit, namedmap
            from namedmap import win32
            atexit.register(print, "not said")
            mapping = namedmap.create("terminated", 10)
            win32.TerminateProcess(win32.GetCurrentProcess(), 3)
            print("nor this")
            """
        assert plain(script, status=3) == ""
        assert not win32.OpenFileMapping(win32.FILE_MAP_READ, False, "terminated")


class TestTimes:
    def test_of_this_process(self) -> None:
        """It began before now, has not ended, and uses the processor."""
        times = [win32.FILETIME() for _ in range(4)]
        kernel = user = 0
        deadline = time.monotonic() + WATCHDOG
        while not kernel + user and time.monotonic() < deadline:
            sum(range(1000))
            assert win32.GetProcessTimes(win32.GetCurrentProcess(), *times)
            created, ended, kernel, user = (each.dwHighDateTime << 32 | each.dwLowDateTime for each in times)
        now = time.time_ns() // 100 + 116_444_736_000_000_000
        assert now - 86_400 * 10**7 < created <= now
        assert ended == 0
        assert kernel + user > 0

    def test_of_a_child_that_ended(self) -> None:
        """Its end is when it was first asked for; as LARGE_INTEGERs, and once it was waited for as well."""
        times = [win32.LARGE_INTEGER() for _ in range(4)]
        with started("input()") as child, handle_of(child.pid) as handle:
            assert win32.GetProcessTimes(handle, *times)
            created = times[0].value
            child.kill()
            assert win32.WaitForSingleObject(handle, win32.INFINITE) == win32.WAIT_OBJECT_0
            child.wait(WATCHDOG)
            assert win32.GetProcessTimes(handle, *times)
            ended = times[1].value
            assert times[0].value == created <= ended
            assert win32.GetProcessTimes(handle, *times)
            assert times[1].value == ended

    def test_pywin32(self) -> None:
        """win32process gives dates and numbers; win32api ends processes."""
        with started("input()") as child:
            handle = win32api.OpenProcess(ALL, False, child.pid)
            times = win32process.GetProcessTimes(handle)
            age = datetime.datetime.now(datetime.UTC) - times["CreationTime"]
            assert datetime.timedelta(-1) < age < datetime.timedelta(1)
            assert times["ExitTime"].year == 1601
            assert times["KernelTime"] >= 0 <= times["UserTime"]
            assert win32process.GetExitCodeProcess(handle) == win32process.STILL_ACTIVE
            win32api.TerminateProcess(handle, 42)
            assert child.wait(WATCHDOG) == -signal.SIGKILL
            assert win32process.GetExitCodeProcess(handle) == 42
            with pytest.raises(pywintypes.error, match="TerminateProcess"):
                win32api.TerminateProcess(handle, 1)
            handle.Close()


class Listener:
    """A listener like DebugView: a buffer, and two events."""

    def __init__(self) -> None:
        self.ready = win32.CreateEvent(None, False, False, "DBWIN_BUFFER_READY")
        self.data = win32.CreateEvent(None, False, False, "DBWIN_DATA_READY")
        self.section = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, "DBWIN_BUFFER")
        self.view = win32.MapViewOfFile(self.section, win32.FILE_MAP_READ, 0, 0, 0)

    def hear(self) -> tuple[int, bytes]:
        """The next text, and the process that says it."""
        assert win32.SetEvent(self.ready)
        assert win32.WaitForSingleObject(self.data, int(WATCHDOG * 1000)) == win32.WAIT_OBJECT_0
        content = ctypes.string_at(self.view or 0, 4096)
        return struct.unpack_from("<I", content)[0], content[4:].partition(b"\0")[0]

    def close(self) -> None:
        assert win32.UnmapViewOfFile(self.view)
        for handle in (self.ready, self.data, self.section):
            assert win32.CloseHandle(handle)


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


class TestDebugOutput:
    def test_a_process_says_something(self, listener: Listener, spawn: Spawn) -> None:
        """The listener gets the number of the process, and the text in the encoding of Western Windows."""
        child = spawn()
        for say, heard in (
            ("win32.OutputDebugString('grün')", b"gr\xfcn"),
            ("win32.OutputDebugString(b'gr\\xc3\\xbcn')", "grün".encode()),
            ("ctypes_windll.kernel32.OutputDebugStringW('wide')", b"wide"),
            ("ctypes_windll.kernel32.OutputDebugStringA(b'narrow')", b"narrow"),
            ("ctypes_windll.kernel32.OutputDebugStringA(b'gr\\xc3\\xbcn')", "grün".encode()),
            ("ctypes_windll.kernel32.OutputDebugStringW(ctypes.c_wchar_p('text'))", b"text"),
            ("ctypes_windll.kernel32.OutputDebugStringW('both'.encode('utf-16-le'))", b"both"),
            ("ctypes_windll.kernel32.OutputDebugString('plain')", b"plain"),
            ("ctypes_windll.kernel32.OutputDebugString(b'bytes')", b"bytes"),
            ("ctypes_windll.kernel32.OutputDebugString(ctypes.c_char_p(b'pointer'))", b"pointer"),
            ("win32api.OutputDebugString('pywin32')", b"pywin32"),
        ):
            child.run("from namedmap.compat.windll import windll as ctypes_windll")
            child.run("from namedmap.compat.pywin32 import win32api")
            child.start("run", say)
            assert listener.hear() == (child.pid, heard)
            child.finish()

    def test_a_long_text(self, listener: Listener) -> None:
        """It comes in pieces that each end with a NUL."""
        text = bytes(range(1, 256)) * 40
        speaker = threading.Thread(target=win32.OutputDebugString, args=(text,))
        speaker.start()
        heard = b""
        while len(heard) < len(text):
            pid, piece = listener.hear()
            assert pid == os.getpid()
            assert 0 < len(piece) <= 4091
            heard += piece
        speaker.join(WATCHDOG)
        assert heard == text

    def test_without_a_listener(self) -> None:
        """Nothing happens, and the last error stays; other types are a TypeError."""
        win32.SetLastError(1234)
        win32.OutputDebugString("nobody")
        win32.OutputDebugString(None)
        win32.OutputDebugString("")
        assert win32.GetLastError() == 1234
        wrong: Any = 5
        with pytest.raises(TypeError, match="a str, bytes or None"):
            win32.OutputDebugString(wrong)

    def test_many_speakers(self, listener: Listener, spawn: Spawn) -> None:
        """Each text is heard whole, whoever else speaks."""
        children = [spawn() for _ in range(3)]
        for child in children:
            child.start("run", "for n in range(20): win32.OutputDebugString(f'{os.getpid()} {n} ' + 'x' * 500)")
        heard: dict[int, list[int]] = {child.pid: [] for child in children}
        for _ in range(60):
            pid, text = listener.hear()
            own, number, rest = text.decode().split()
            assert (int(own), rest) == (pid, "x" * 500)
            heard[pid].append(int(number))
        assert list(heard.values()) == [list(range(20))] * 3
        for child in children:
            child.finish()

    def test_a_speaker_that_is_killed(self, listener: Listener, spawn: Spawn) -> None:
        """Its turn goes to the next."""
        child = spawn()
        child.start("run", "win32.OutputDebugString('never heard')")
        mutex = Mutex("DBWinMutex")
        eventually(lambda: not _may_speak(mutex), "a speaker's turn")
        child.kill()
        mutex.close()
        speaker = threading.Thread(target=win32.OutputDebugString, args=("heard",))
        speaker.start()
        assert listener.hear() == (os.getpid(), b"heard")
        speaker.join(WATCHDOG)


def _may_speak(mutex: Mutex) -> bool:
    """Whether nobody has the turn."""
    free = mutex.acquire(timeout=0)
    if free:
        mutex.release()
    return free
