"""namedmap.compat.pywin32: pywin32's own tests and demo of the modules, and what they leave open."""

import contextlib
import copy
import gc
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import types
import unittest
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import namedmap
from calls import object_files
from child import Spawn, pypi
from namedmap import win32
from namedmap.compat import pywin32

NAME = "compat-pywin32"
MODULES = pywin32.modules()
# As ModuleType, whose attributes are of any type: the names are pywin32's, which has no annotations.
mmapfile, pywintypes, win32api, win32con, win32event, win32file, winerror = (
    MODULES[name] for name in ("mmapfile", "pywintypes", "win32api", "win32con", "win32event", "win32file", "winerror")
)
error: Any = pywintypes.error

#: The release of pywin32 that its tests are taken from. Any version for Windows has them.
_RELEASE = "pywin32==312"
_TIMES = "file times are not among what namedmap deals with"
_PORTS = "completion ports are not among what namedmap deals with"
#: Tests that do not apply, with the reason.
EXCLUDED = {
    "testOtherHandle": "GetProcAddress: there are no libraries of Windows",
    "testMoreFiles": _TIMES,
    "testFileTimes": _TIMES,
    "testFileTimesTimezones": _TIMES,
    "testCompletionPortsMultiple": _PORTS,
    "testCompletionPortsQueued": _PORTS,
    "testCompletionPortsNonQueued": _PORTS,
    "testCompletionPortsNonQueuedBadReference": _PORTS,
}
#: For a child: the modules under their own names.
_INSTALL = "import sys; from namedmap.compat import pywin32; sys.modules.update(pywin32.modules())"


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of pywin32, from PyPI. Its code is Windows', its tests and demos are Python."""
    place = tmp_path_factory.mktemp("pywin32")
    platform = ["--only-binary=:all:", "--platform", "win_amd64", "--python-version", "3.11", "--implementation", "cp"]
    pypi.pip("download", "--no-deps", *platform, "-d", str(place), _RELEASE, or_skip=f"{_RELEASE} cannot be had")
    for wheel in place.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place)
    return place / "win32"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules under their own names, and empty ones for what the tests import and their cases here do not use."""
    for name in ("ntsecuritycon", "pythoncom", "pywin32_testutil", "win32pipe", "win32timezone"):
        empty = types.ModuleType(name)
        vars(empty).update(testmain=None, com_error=Exception)
        monkeypatch.setitem(sys.modules, name, empty)
    for name, module in MODULES.items():
        monkeypatch.setitem(sys.modules, name, module)
    yield
    # The test of overlapped transfers leaves its file.
    Path(win32api.GetTempPath(), "win32filetest.dat").unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def dropped() -> Iterator[None]:
    """Objects that a test has dropped go at its end, also those that an exception that it caught still knows."""
    yield
    gc.collect()


def _load(path: Path, text: str | None = None) -> types.ModuleType:
    """A module that is not importable by its place."""
    spec = importlib.util.spec_from_loader(path.stem, None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    exec(compile(text or path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    return module


class TestOfPywin32:
    """pywin32's own tests and demo of these modules pass."""

    @pytest.mark.parametrize(
        ("file", "case"),
        [
            ("handles.py", "PyHandleTestCase"),
            ("test_exceptions.py", "TestAPISimple"),
            ("test_win32event.py", "TestEvent"),
            ("test_win32event.py", "TestMutex"),
            ("test_win32event.py", "TestWaitFunctions"),
            ("test_win32file.py", "TestReadBuffer"),
            ("test_win32file.py", "TestSimpleOps"),
            ("test_win32file.py", "TestOverlapped"),
        ],
    )
    def test_of_a_module(self, file: str, case: str, release: Path, installed: None) -> None:
        """Each test of the case that deals with our objects."""
        cls = getattr(_load(release / "test" / file), case)
        methods = [name for name in unittest.defaultTestLoader.getTestCaseNames(cls) if name not in EXCLUDED]
        result = unittest.TestResult()
        for method in methods:
            cls(method).run(result)
        assert result.testsRun == len(methods) > 0
        assert not result.errors + result.failures, "\n".join(text for _, text in result.errors + result.failures)

    def test_demo_of_mmapfile(self, release: Path, installed: None) -> None:
        """A named section over a file is written, reopened, resized, seen from an offset (100 MiB, not 10 GiB)."""
        path = release / "Demos" / "mmapfile_demo.py"
        text = path.read_text(encoding="utf-8")
        assert "1024 * 1024 * 1024 * 10" in text
        _load(path, text.replace("1024 * 1024 * 1024 * 10", "1024 * 1024 * 100"))

    def test_demo_of_win32file(self, release: Path, installed: None, capsys: pytest.CaptureFixture[str]) -> None:
        """A file is written and read."""
        _load(release / "Demos" / "win32fileDemo.py").SimpleFileDemo()
        assert capsys.readouterr().out == "Successfully wrote and read a file\n"

    def test_values_of_constants(self, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every constant that pywin32 has as well has the same value there."""
        monkeypatch.syspath_prepend(str(release / "lib"))
        for name in ("win32con", "winerror"):
            theirs = vars(_load(release / "lib" / f"{name}.py"))
            ours = {each: getattr(MODULES[name], each) for each in MODULES[name].__all__}
            assert {each: value for each, value in ours.items() if theirs.get(each, value) != value} == {}
            assert len(ours.keys() & theirs.keys()) > 50


class TestModules:
    def test_by_their_names(self) -> None:
        """Each module is there under the name that programs import, and takes no name of another."""
        assert set(MODULES) == {
            *("mmapfile", "pywintypes", "win32api", "win32con", "win32event", "win32file", "winerror"),
            *("win32process", "win32security"),
        }
        assert {module.error for name, module in MODULES.items() if hasattr(module, "error")} == {error}

    def test_constants_are_plain_numbers(self) -> None:
        """As pywin32's: C longs, of type int."""
        for module in (win32con, winerror):
            assert {type(getattr(module, name)) for name in module.__all__} == {int}
        assert win32event.INFINITE == win32event.WAIT_FAILED == win32file.INVALID_HANDLE_VALUE == -1
        assert win32file.GENERIC_READ == win32con.GENERIC_READ == -(2**31)
        assert winerror.ERROR_ALREADY_EXISTS == 183

    def test_import_star(self) -> None:
        """`import *` brings what pywin32 has, and nothing of ours."""
        for name, module in MODULES.items():
            names: dict[str, object] = {}
            exec(f"from {module.__name__} import *", names)
            names.pop("__builtins__")
            ours = [key for key, value in names.items() if isinstance(value, types.ModuleType) or key[0] == "_"]
            assert names, name
            assert not ours, name

    def test_what_is_missing_is_an_attribute_error(self) -> None:
        """A name that is not there is no silent stand-in."""
        assert not hasattr(win32event, "CreateWaitableTimer")
        assert not hasattr(win32con, "WM_NOTHING")


class TestErrors:
    def test_the_exception(self) -> None:
        """Failures raise error with code, function and text; GetLastError tells the same."""
        with pytest.raises(error) as caught:
            win32event.OpenMutex(win32con.SYNCHRONIZE, False, NAME)
        code, function, text = caught.value.args
        assert (code, function) == (winerror.ERROR_FILE_NOT_FOUND, "OpenMutex")
        assert NAME in text
        assert (caught.value.winerror, caught.value.funcname, caught.value.strerror) == (code, function, text)
        assert win32api.GetLastError() == code
        assert type(code) is int

    def test_every_create_and_open_names_itself(self) -> None:
        """The function that failed is in the exception."""
        bad = "Nowhere\\name"
        calls: dict[str, Any] = {
            "CreateMutex": lambda: win32event.CreateMutex(None, False, bad),
            "CreateSemaphore": lambda: win32event.CreateSemaphore(None, 1, 0, None),
            "CreateEvent": lambda: win32event.CreateEvent(None, False, False, bad),
            "OpenSemaphore": lambda: win32event.OpenSemaphore(win32con.SYNCHRONIZE, False, NAME),
            "OpenEvent": lambda: win32event.OpenEvent(win32con.SYNCHRONIZE, False, NAME),
            "OpenProcess": lambda: win32api.OpenProcess(win32con.PROCESS_ALL_ACCESS, False, 2**22 + 5),
            "CreateFile": lambda: win32file.CreateFile("no/such/file", win32file.GENERIC_READ, 0, None, 3, 0, None),
            "WaitForSingleObject": lambda: win32event.WaitForSingleObject(None, 0),
            "WaitForMultipleObjects": lambda: win32event.WaitForMultipleObjects([], False, 0),
            "CreateFileMapping": lambda: mmapfile.mmapfile(None, NAME),
            "DeleteFile": lambda: win32file.DeleteFile("no/such/file"),
        }
        for name, call in calls.items():
            with pytest.raises(error) as caught:
                call()
            assert caught.value.funcname == name

    def test_format_message(self) -> None:
        """The text for a code, or for the last error."""
        win32api.SetLastError(winerror.ERROR_TOO_MANY_POSTS)
        assert win32api.FormatMessage() == win32api.FormatMessage(winerror.ERROR_TOO_MANY_POSTS)
        assert win32api.FormatMessage(win32con.FORMAT_MESSAGE_FROM_SYSTEM, None, 5, 0, None).startswith(
            "Access is denied"
        )
        with pytest.raises(error, match="317"):
            win32api.FormatMessage(999999)
        with pytest.raises(error, match="inserts"):
            win32api.FormatMessage(win32con.FORMAT_MESSAGE_FROM_STRING, "%1", 0, 0, ["x"])

    def test_of_what_is_no_handle(self) -> None:
        """Wrong types are TypeErrors."""
        for value in ("x", 1.0, object(), 1 << 64):
            with pytest.raises(TypeError):
                win32event.SetEvent(value)
        for values in (None, 4, ["x"]):
            with pytest.raises(TypeError):
                win32event.WaitForMultipleObjects(values, False, 0)
        with pytest.raises(TypeError):
            win32event.CreateMutex(win32.SECURITY_ATTRIBUTES(), False, None)
        with pytest.raises(TypeError):
            win32file.ReadFile(0, 1, object())


class TestHandles:
    def test_drop_closes(self) -> None:
        """A handle that is dropped is closed, and its name goes with the last one."""
        handle = win32event.CreateEvent(None, True, False, NAME)
        assert win32api.GetLastError() == 0
        other = win32event.CreateEvent(None, True, False, NAME)
        assert win32api.GetLastError() == winerror.ERROR_ALREADY_EXISTS
        del handle
        win32event.OpenEvent(win32event.EVENT_ALL_ACCESS, False, NAME).Close()
        del other
        with pytest.raises(error):
            win32event.OpenEvent(win32event.EVENT_ALL_ACCESS, False, NAME)

    def test_detach_gives_away(self) -> None:
        """A detached handle stays open under its number, and the object is empty."""
        handle = win32event.CreateEvent(None, True, True, None)
        value = handle.Detach()
        assert not handle
        assert int(handle) == handle.handle == handle.Detach() == 0
        assert win32event.WaitForSingleObject(value, 0) == win32event.WAIT_OBJECT_0
        win32api.CloseHandle(value)
        with pytest.raises(error):
            win32api.CloseHandle(value)

    def test_is_no_number_and_no_copy(self) -> None:
        """Two objects must not close the same handle, and no arithmetic is done with one."""
        with win32file_handle() as handle:
            assert repr(handle) == f"<PyHANDLE:{int(handle)}>"
            assert isinstance(handle, pywintypes.HANDLEType)
            with pytest.raises(TypeError):
                copy.copy(handle)
            with pytest.raises(TypeError):
                handle + 1

    def test_duplicate(self) -> None:
        """A duplicate is a handle of its own, with the access that was asked for."""
        me = win32api.GetCurrentProcess()
        event = win32event.CreateEvent(None, True, False, None)
        waiter = win32api.DuplicateHandle(me, event, me, win32con.SYNCHRONIZE, False, 0)
        with pytest.raises(error) as caught:
            win32event.SetEvent(waiter)
        assert caught.value.winerror == winerror.ERROR_ACCESS_DENIED
        win32event.SetEvent(event)
        event.Close()
        assert win32event.WaitForSingleObject(waiter, 0) == win32event.WAIT_OBJECT_0

    def test_flags(self) -> None:
        """SECURITY_ATTRIBUTES make inheritable handles, unless one says otherwise."""
        attributes = pywintypes.SECURITY_ATTRIBUTES()
        handle = win32event.CreateEvent(attributes, True, False, None)
        assert win32api.GetHandleInformation(handle) == win32con.HANDLE_FLAG_INHERIT
        win32api.SetHandleInformation(handle, win32con.HANDLE_FLAG_INHERIT, 0)
        assert win32api.GetHandleInformation(handle) == 0
        attributes.bInheritHandle = False
        assert win32api.GetHandleInformation(win32event.CreateEvent(attributes, True, False, None)) == 0

    def test_everyone(self) -> None:
        """A NULL list of rights lets everyone in; others are refused; without one the object is its owner's alone."""
        attributes = pywintypes.SECURITY_ATTRIBUTES()
        own = win32event.CreateMutex(attributes, False, f"Global\\{NAME}.own")
        attributes.SetSecurityDescriptorDacl(True, None, False)
        all_ = win32event.CreateMutex(attributes, False, f"Global\\{NAME}.all")
        modes = {path.rpartition(".")[2]: Path(path).stat().st_mode & 0o777 for path in object_files()}
        assert (modes["own"], modes["all"]) == (0o600, 0o666)
        attributes.SECURITY_DESCRIPTOR = None
        with pytest.raises(AttributeError):
            attributes.SetSecurityDescriptorDacl(True, None, False)
        with pytest.raises(TypeError, match="None"):
            pywintypes.SECURITY_DESCRIPTOR().SetSecurityDescriptorDacl(True, object(), False)
        del own, all_

    def test_a_string(self) -> None:
        """win32security makes a descriptor of a string; one that cannot be understood is refused where it is used."""
        security = MODULES["win32security"]
        attributes = security.SECURITY_ATTRIBUTES()
        convert = security.ConvertStringSecurityDescriptorToSecurityDescriptor
        attributes.SECURITY_DESCRIPTOR = convert("D:(A;;GR;;;WD)(A;;GA;;;OW)", security.SDDL_REVISION_1)
        held = win32event.CreateMutex(attributes, False, f"Global\\{NAME}.string")
        assert [Path(path).stat().st_mode & 0o777 for path in object_files()] == [0o644]
        attributes.SECURITY_DESCRIPTOR = convert("D:(D;;GA;;;WD)", 1)
        with pytest.raises(error):
            win32event.CreateMutex(attributes, False, f"Global\\{NAME}.refused")
        del held

    def test_the_end_of_a_process(self, spawn: Spawn) -> None:
        """win32process tells whether a process runs, with a handle that is no more than to ask."""
        asker = spawn(
            f"""
            {_INSTALL}
            import subprocess, win32api, win32con, win32process
            other = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
            handle = win32api.OpenProcess(win32con.PROCESS_QUERY_INFORMATION, False, other.pid)
            say(win32process.GetExitCodeProcess(handle) == win32process.STILL_ACTIVE)
            other.communicate()
            say(win32process.GetExitCodeProcess(handle), win32process.GetCurrentProcessId() == os.getpid())
            """
        )
        assert [asker.line(), asker.line()] == ["True", "0 True"]
        assert asker.wait() == 0

    def test_leaves_nothing_in_development_mode(self) -> None:
        """Handles that are dropped at the end, closed or not, in a cycle or not, make no noise and no warning."""
        script = f"""{_INSTALL}
import mmapfile, win32event
class Cycle: pass
cycle = Cycle(); cycle.me = cycle
cycle.things = mmapfile.mmapfile(None, {NAME!r}, 100), win32event.CreateEvent(None, True, False, {NAME + "e"!r})
kept = mmapfile.mmapfile(None, {NAME!r}, 100), win32event.CreateMutex(None, True, {NAME + "m"!r})
del cycle
"""
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", script]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (result.returncode, result.stderr) == (0, "")


@contextlib.contextmanager
def win32file_handle() -> Iterator[Any]:
    """A handle to a new file that goes with it."""
    flags = win32file.FILE_ATTRIBUTE_TEMPORARY | win32file.FILE_FLAG_DELETE_ON_CLOSE
    access = win32file.GENERIC_READ | win32file.GENERIC_WRITE
    path = win32api.GetTempPath() + NAME
    handle = win32file.CreateFile(path, access, win32file.FILE_SHARE_READ, None, win32file.CREATE_NEW, flags, None)
    try:
        yield handle
    finally:
        handle.Close()


class TestEvents:
    def test_semaphore(self) -> None:
        """ReleaseSemaphore returns the count before, and raises above the maximum."""
        semaphore = win32event.CreateSemaphore(None, 0, 2, NAME)
        assert win32event.ReleaseSemaphore(semaphore, 2) == 0
        with pytest.raises(error) as caught:
            win32event.ReleaseSemaphore(semaphore, 1)
        assert caught.value.winerror == winerror.ERROR_TOO_MANY_POSTS
        same = win32event.OpenSemaphore(win32con.SYNCHRONIZE, False, NAME)
        assert win32event.WaitForSingleObject(same, win32event.INFINITE) == win32event.WAIT_OBJECT_0
        assert win32event.ReleaseSemaphore(semaphore, 1) == 1

    def test_waits_for_several(self) -> None:
        """The index of the first that is there; all at once; WAIT_TIMEOUT."""
        events = [win32event.CreateEvent(None, False, False, None) for _ in range(3)]
        for wait in (win32event.WaitForMultipleObjects, win32event.MsgWaitForMultipleObjects):
            rest = (0,) if wait is win32event.MsgWaitForMultipleObjects else ()
            assert wait(events, False, 0, *rest) == win32event.WAIT_TIMEOUT
            win32event.SetEvent(events[2])
            assert wait(events, False, 1000, *rest) == win32event.WAIT_OBJECT_0 + 2
            for event in events:
                win32event.SetEvent(event)
            assert wait(tuple(events), True, 1000, *rest) == win32event.WAIT_OBJECT_0
        assert win32event.WaitForMultipleObjectsEx(events, False, 0, True) == win32event.WAIT_TIMEOUT
        assert win32event.WaitForSingleObjectEx(events[0], 0, True) == win32event.WAIT_TIMEOUT
        assert win32event.MsgWaitForMultipleObjectsEx([], 1, win32event.QS_ALLINPUT, 0) == win32event.WAIT_TIMEOUT

    def test_signal_and_wait(self) -> None:
        """One is set, the other taken; success is 0."""
        first = win32event.CreateEvent(None, False, False, None)
        second = win32event.CreateEvent(None, False, True, None)
        assert win32event.SignalObjectAndWait(first, second, 1000, False) == win32event.WAIT_OBJECT_0
        assert win32event.WaitForSingleObject(first, 0) == win32event.WAIT_OBJECT_0
        win32event.PulseEvent(first)
        assert win32event.WaitForSingleObject(first, 0) == win32event.WAIT_TIMEOUT

    def test_another_owner(self) -> None:
        """A mutex that is not owned cannot be released."""
        mutex = win32event.CreateMutex(None, False, None)
        with pytest.raises(error) as caught:
            win32event.ReleaseMutex(mutex)
        assert caught.value.winerror == winerror.ERROR_NOT_OWNER

    def test_one_instance_of_a_program(self, spawn: Spawn) -> None:
        """The mutex that tells a program that it runs already, as programs have it."""
        guard = win32event.CreateMutex(None, False, NAME)
        assert win32api.GetLastError() == 0
        child = spawn()
        child.run(f"{_INSTALL}; import win32api, win32event; from winerror import ERROR_ALREADY_EXISTS")
        child.run(f"guard = win32event.CreateMutex(None, False, {NAME!r})")
        assert child.value("win32api.GetLastError() == ERROR_ALREADY_EXISTS")
        del guard

    @pytest.mark.leaves_dead_files
    def test_an_owner_that_is_killed(self, spawn: Spawn) -> None:
        """The next one gets its mutex, and is told; its process can be waited for."""
        child = spawn()
        child.run(f"{_INSTALL}; import win32event; mutex = win32event.CreateMutex(None, True, {NAME!r})")
        process = win32api.OpenProcess(win32con.SYNCHRONIZE, False, child.pid)
        mutex = win32event.OpenMutex(win32con.SYNCHRONIZE, False, NAME)
        assert win32event.WaitForMultipleObjects([mutex, process], False, 0) == win32event.WAIT_TIMEOUT
        child.kill()
        assert win32event.WaitForSingleObject(mutex, win32event.INFINITE) == win32event.WAIT_ABANDONED
        assert win32event.WaitForSingleObject(process, win32event.INFINITE) == win32event.WAIT_OBJECT_0
        win32event.ReleaseMutex(mutex)

    def test_an_event_of_another_process(self, spawn: Spawn) -> None:
        """A program of namedmap sets what one of pywin32 waits for."""
        child = spawn()
        child.run(f"{_INSTALL}; import win32event; event = win32event.CreateEvent(None, 0, 0, 'Local\\\\{NAME}')")
        child.start("value", "win32event.WaitForSingleObject(event, win32event.INFINITE)")
        namedmap.Event.open(NAME).set()
        assert child.finish() == win32event.WAIT_OBJECT_0

    def test_sleep_and_time(self) -> None:
        """Milliseconds of a clock that goes on."""
        before = win32api.GetTickCount()
        assert win32api.Sleep(2) == 0
        assert (win32api.GetTickCount() - before) & 0xFFFFFFFF >= 2
        assert win32api.GetCurrentThreadId() > 0
        assert win32api.GetSystemInfo()[1] == 4096


class TestFiles:
    def test_pointer_and_size(self) -> None:
        """The pointer goes where it is told, also beyond 4 GiB; the file ends there."""
        with win32file_handle() as handle:
            assert win32file.WriteFile(handle, b"0123456789") == (0, 10)
            assert win32file.SetFilePointer(handle, -3, win32file.FILE_END) == 7
            assert win32file.ReadFile(handle, 100) == (0, b"789")
            assert win32file.ReadFile(handle, 100) == (0, b"")
            assert win32file.SetFilePointer(handle, 5 << 32, win32file.FILE_BEGIN) == 5 << 32
            assert win32file.SetFilePointer(handle, 4, win32file.FILE_BEGIN) == 4
            win32file.SetEndOfFile(handle)
            assert win32file.GetFileSize(handle) == 4
            win32file.FlushFileBuffers(handle)
            with pytest.raises(error) as caught:
                win32file.SetFilePointer(handle, -1, win32file.FILE_BEGIN)
            assert caught.value.winerror == winerror.ERROR_NEGATIVE_SEEK

    def test_buffers(self) -> None:
        """A buffer is filled; what comes back is what was read, or with an OVERLAPPED the buffer."""
        with win32file_handle() as handle:
            event, place = win32event.CreateEvent(None, True, False, None), pywintypes.OVERLAPPED()
            place.hEvent, place.Offset, place.object = event, 4, self
            assert win32file.WriteFile(handle, bytearray(b"hello"), place) == (0, 5)
            assert win32event.WaitForSingleObject(place.hEvent, 0) == win32event.WAIT_OBJECT_0
            assert win32file.GetOverlappedResult(handle, place, True) == 5
            buffer = win32file.AllocateReadBuffer(100)
            assert win32file.ReadFile(handle, buffer, place) == (0, buffer)
            assert win32file.GetOverlappedResult(handle, place, True) == 5
            assert bytes(buffer[:6]) == b"hello\0"
            win32file.SetFilePointer(handle, 0, win32file.FILE_BEGIN)
            assert win32file.ReadFile(handle, bytearray(20)) == (0, b"\0\0\0\0hello")
            place.Offset = 9
            with pytest.raises(error) as caught:
                win32file.ReadFile(handle, buffer, place)
            assert caught.value.winerror == winerror.ERROR_HANDLE_EOF
            with pytest.raises(TypeError):
                win32file.WriteFile(handle, "text")

    def test_share_modes(self) -> None:
        """A file that is not shared is not opened a second time."""
        with win32file_handle(), pytest.raises(error) as caught:
            win32file.CreateFileW(
                FileName=win32api.GetTempPath() + NAME,
                DesiredAccess=win32file.GENERIC_WRITE,
                ShareMode=win32file.FILE_SHARE_READ,
                SecurityAttributes=None,
                CreationDisposition=win32con.OPEN_EXISTING,
                FlagsAndAttributes=win32con.FILE_ATTRIBUTE_NORMAL,
            )
        assert caught.value.winerror == winerror.ERROR_SHARING_VIOLATION

    def test_by_name(self, directory: Path) -> None:
        """Files are copied, moved, marked and deleted."""
        (directory / "a").write_bytes(b"x")
        win32file.CopyFile("a", "b", True)
        with pytest.raises(error):
            win32api.CopyFile("a", "b", 1)
        win32file.MoveFile("b", "c")
        win32api.MoveFileEx("c", "a", win32con.MOVEFILE_REPLACE_EXISTING)
        win32file.SetFileAttributes("a", win32con.FILE_ATTRIBUTE_READONLY)
        assert win32api.GetFileAttributes("a") & win32con.FILE_ATTRIBUTE_READONLY
        with pytest.raises(error):
            win32api.DeleteFile("a")
        win32file.SetFileAttributesW("a", win32con.FILE_ATTRIBUTE_NORMAL)
        win32file.DeleteFileW("a")
        assert win32file.GetFileAttributes("a") == -1
        with pytest.raises(error):
            win32api.GetFileAttributes("a")


class TestMmapfile:
    def test_like_a_file(self) -> None:
        """Bytes are written and read at a position, which stays within the view."""
        memory = mmapfile.mmapfile(None, NAME, 4096)
        memory.write(b"one\ntwo\n\0three")
        assert memory.tell() == 14
        memory.seek(0)
        assert (memory.readline(), memory.read_byte(), memory.read_line()) == (b"one\n", b"t", b"wo\n")
        memory.seek(-4, 1)
        memory.write_byte(b"T")
        memory.seek(4096 - 4, 2)
        assert memory.read(3) == b"Two"
        memory.seek(1, 2)
        assert (memory.tell(), memory.read(10), memory.read(10), memory.tell()) == (4095, b"\0", b"", 4096)
        assert memory.readline() == b""
        memory.seek(4)
        assert len(memory.readline()) == 4
        assert len(memory.readline()) == 4096 - 8
        memory.close()
        memory.close()

    def test_outside_of_the_view(self) -> None:
        """A place outside is a ValueError, and changes nothing."""
        memory = mmapfile.mmapfile(None, None, 4096)
        wrong: list[tuple[str, tuple[Any, ...]]] = [
            ("seek", (4096,)),
            ("seek", (-1,)),
            ("seek", (0, 2)),
            ("seek", (0, 3)),
            ("write", (bytes(4097),)),
            ("move", (4000, 0, 97)),
            ("move", (0, 4000, 97)),
            ("move", (-1, 0, 1)),
            ("flush", (4000, 97)),
            ("read", (-1,)),
        ]
        for name, arguments in wrong:
            with pytest.raises(ValueError, match=r"range|seek type|cannot be read"):
                getattr(memory, name)(*arguments)
        assert memory.tell() == 0
        memory.read(5000)
        with pytest.raises(ValueError, match="read byte"):
            memory.read_byte()
        with pytest.raises(ValueError, match="out of range"):
            memory.write_byte(b"x")
        for text in ("x", b"", b"xy"):
            with pytest.raises(TypeError):
                memory.write_byte(text)
        with pytest.raises(TypeError):
            memory.write("text")
        memory.close()
        for name in ("tell", "size", "read_byte", "readline", "flush"):
            with pytest.raises(ValueError, match="closed"):
                getattr(memory, name)()
        with pytest.raises(ValueError, match="closed"):
            memory.resize(4096)

    def test_find(self) -> None:
        """The distance from the present position, or from a start that is given."""
        memory = mmapfile.mmapfile(None, None, 4096)
        memory.write(b"abc\0abc")
        assert memory.find(b"abc") == -1
        memory.seek(1)
        assert memory.find(b"abc") == 3
        assert memory.find(b"abc", 0) == 4
        assert memory.find(b"c\0a") == 1
        memory.read(4096)
        assert memory.find(b"") == -1

    def test_sizes(self) -> None:
        """A view has whole pages, or the bytes that were asked for; an existing section keeps its size."""
        with namedmap.create(NAME, 70000) as held:
            whole = mmapfile.mmapfile("", NAME, 1)
            assert whole.size() == 73728
            part = mmapfile.mmapfile(File=None, Name=NAME, MaximumSize=1, FileOffset=65536, NumberOfBytesToMap=100)
            assert part.size() == 100
            assert mmapfile.mmapfile(None, NAME, 1, 65536).size() == 73728 - 65536
            part.write(b"here")
            assert held.view(65536, 4)[:] == b"here"
        for offset, size, code in (
            (4096, 0, winerror.ERROR_MAPPED_ALIGNMENT),
            (131072, 0, winerror.ERROR_ACCESS_DENIED),
            (0, 80000, winerror.ERROR_ACCESS_DENIED),
        ):
            with pytest.raises(error) as caught:
                mmapfile.mmapfile(None, NAME, 1, offset, size)
            assert (caught.value.winerror, caught.value.funcname) == (code, "MapViewOfFile")

    def test_file(self, directory: Path) -> None:
        """A file is made, grows to the next page if no size is given, and has what was written."""
        path = directory / "file"
        with pytest.raises(ValueError, match="empty"):
            mmapfile.mmapfile(str(path), None)
        path.write_bytes(b"some text")
        memory = mmapfile.mmapfile(str(path), None)
        assert memory.size() == path.stat().st_size == 4096
        memory.seek(5)
        memory.write(b"TEXT")
        assert memory.flush() == memory.flush(0, 10) == memory.flush(4096) == 1
        memory.close()
        assert path.read_bytes()[:10] == b"some TEXT\0"
        path.unlink()
        odd = mmapfile.mmapfile(str(path), None, 1000)
        assert (odd.size(), path.stat().st_size) == (1000, 1000)

    def test_resize(self, directory: Path) -> None:
        """A file grows; memory begins anew, unless others have its name; the position stays within the view."""
        memory = mmapfile.mmapfile(str(directory / "file"), None, 4096)
        memory.write(b"text")
        memory.resize(131072)
        assert memory.size() == 131072
        memory.resize(0, 65536)
        assert (memory.size(), memory.tell()) == (65536, 4)
        memory.resize(MaximumSize=0, FileOffset=0, NumberOfBytesToMap=2)
        assert (memory.size(), memory.tell(), memory.read(5)) == (2, 1, b"e")
        memory.close()
        memory = mmapfile.mmapfile(None, NAME, 4096)
        memory.write(b"text")
        memory.resize(8192)
        memory.seek(0)
        assert (memory.size(), memory.read(4)) == (8192, bytes(4))
        with namedmap.open(NAME):
            memory.resize(65536)
            assert memory.size() == 8192
            with pytest.raises(error):
                memory.resize(65536, 0, 65536)
            with pytest.raises(ValueError, match="resize"):
                memory.tell()
            memory.resize(0)
            assert memory.size() == 8192

    def test_a_name_that_stands_on_another_file(self, directory: Path) -> None:
        """The section of a name is opened, whatever file is named beside it; that file is let go."""
        first = mmapfile.mmapfile(str(directory / "a"), NAME, 4096)
        second = mmapfile.mmapfile(str(directory / "b"), NAME, 4096)
        win32file.DeleteFile(str(directory / "b"))
        second.write(b"x")
        assert first.read(1) == b"x"

    def test_failures_let_go_of_the_file(self, directory: Path) -> None:
        """A map that cannot be had does not keep its file open, while its exception is looked at."""
        with pytest.raises(error) as caught:
            mmapfile.mmapfile(str(directory / "a"), None, 4096, 4096)
        win32file.DeleteFile(str(directory / "a"))
        assert caught.value.winerror == winerror.ERROR_MAPPED_ALIGNMENT

    def test_threads(self) -> None:
        """Threads that read from one map never get the same bytes."""
        memory = mmapfile.mmapfile(None, None, 65536)
        memory.write(b"".join(number.to_bytes(2, "little") for number in range(32000)))
        memory.seek(0)
        found: list[bytes] = []

        def read() -> None:
            for _ in range(8000):
                found.append(memory.read(2))

        threads = [threading.Thread(target=read) for _ in range(4)]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)
        assert len(set(found)) == len(found) == 32000

    def test_a_file_that_is_cut_off(self, directory: Path) -> None:
        """Reading what another program has cut off is an error, not the end of the process."""
        memory = mmapfile.mmapfile(str(directory / "file"), None, 8192)
        os.truncate(directory / "file", 0)
        with pytest.raises(namedmap.PageError):
            memory.read(8192)

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="the buffer protocol in Python came with 3.12")
    def test_buffer(self) -> None:
        """memoryview() is the memory itself, also after a resize or close."""
        memory = mmapfile.mmapfile(None, NAME, 4096)
        seen = memoryview(memory)
        seen[:4] = b"text"
        assert memory.read(4) == b"text"
        memory.close()
        assert bytes(seen[:4]) == b"text"

    @pytest.mark.leaves_dead_files
    def test_between_processes(self, spawn: Spawn) -> None:
        """Both see one memory, whose name ends with the last of them, also by SIGKILL."""
        child = spawn()
        child.run(f"{_INSTALL}; import mmapfile; memory = mmapfile.mmapfile(None, {NAME!r}, 8192)")
        child.run("memory.write(b'hello')")
        memory = mmapfile.mmapfile(None, NAME, 1)
        assert (memory.size(), memory.read(5)) == (8192, b"hello")
        memory.write(b"answer")
        assert child.value("memory.read(6)") == b"answer"
        child.kill()
        with namedmap.open(NAME) as held:
            assert held.view()[5:11] == b"answer"
        memory.close()
        with pytest.raises(namedmap.NotFoundError):
            namedmap.open(NAME)

    def test_files_are_let_go(self, tmp_path: Path) -> None:
        """A file can be deleted once its map is dropped, unclosed."""
        path = str(tmp_path / "file")
        memory = mmapfile.mmapfile(path, None, 4096)
        with pytest.raises(error):
            win32file.DeleteFile(path)
        del memory
        win32file.DeleteFile(path)
        assert not list(Path(tempfile.gettempdir()).iterdir())
