"""The joint between classes, platform and Win32 functions: whose exception it is, what is kept, what is new."""

import ctypes
import gc
import io
import itertools
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import namedmap
from calls import object_path
from calls.kernel import controlpage
from child import plain
from namedmap import errors, files, nt, win32
from namedmap._failure import Failure

NAME = "joint"


@pytest.fixture
def alarm() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Let a function run as the handler of a timer, at short and changing intervals, until the test is over."""
    before = signal.getsignal(signal.SIGALRM)
    spans = itertools.cycle((0.00001, 0.00007, 0.0002, 0.00003, 0.0004))

    def begin(call: Callable[[], object]) -> None:
        def handler(*_: object) -> None:
            call()
            signal.setitimer(signal.ITIMER_REAL, next(spans))

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, next(spans))

    yield begin
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


class TestCreated:
    def test_is_not_changed_by_a_signal_handler(self, alarm: Callable[[Callable[[], object]], None]) -> None:
        """A handler that opens what exists, at any moment, does not make new objects look like old ones."""
        with namedmap.Event(f"{NAME}.there"):
            alarm(lambda: namedmap.Event(f"{NAME}.there").close())
            for number in range(400):
                with namedmap.create(f"{NAME}.{number}", 100) as mapping:
                    assert mapping.created
                for cls in (namedmap.Event, namedmap.Semaphore, namedmap.Mutex):
                    made = cls.create(f"{NAME}.{number}")
                    assert made.created
                    made.close()
            signal.setitimer(signal.ITIMER_REAL, 0)

    def test_of_drop_in_blocks_and_maps(self, alarm: Callable[[Callable[[], object]], None]) -> None:
        """The drop-in modules know it as well."""
        from namedmap.compat.pywin32.mmapfile import mmapfile
        from namedmap.compat.shared_memory import SharedMemory

        with namedmap.Event(f"{NAME}.there"):
            alarm(lambda: namedmap.Event(f"{NAME}.there").close())
            for number in range(200):
                SharedMemory(f"{NAME}.{number}", create=True, size=100).close()
                mmapfile(None, f"{NAME}.{number}", 100).close()
            signal.setitimer(signal.ITIMER_REAL, 0)


class TestHandlersExceptions:
    """An exception of a signal handler belongs to the program, of whatever class it is."""

    @pytest.mark.parametrize("error", [TimeoutError, ConnectionResetError, OSError, MemoryError, FileNotFoundError])
    @pytest.mark.parametrize(
        "wait",
        [
            lambda handle: win32.WaitForSingleObject(handle, win32.INFINITE),
            lambda handle: win32.WaitForMultipleObjects(2, [handle, handle], False, win32.INFINITE),
        ],
    )
    def test_pass_through_a_wait(
        self, error: type[Exception], wait: Callable[[int], int], alarm: Callable[[Callable[[], object]], None]
    ) -> None:
        """They are neither a failed call nor translated."""

        def stop() -> None:
            raise error("of the handler")

        def waited() -> None:
            alarm(stop)
            wait(event.handle)

        with namedmap.Event() as event, pytest.raises(error, match="of the handler"):
            waited()

    @pytest.mark.leaves_dead_files
    def test_pass_through_creating(self) -> None:
        """Wherever a handler's exception comes, it arrives as it is: no call reports it as its own failure.

        A handle whose value the exception keeps from arriving stays open until the process ends, as in C.
        """
        output = plain(
            """
            import itertools, signal
            from namedmap import win32

            class Stop(OSError):
                pass

            def stop(*_):
                raise Stop("of the handler")

            signal.signal(signal.SIGALRM, stop)
            spans, caught = itertools.cycle((0.00001, 0.00007, 0.0002, 0.00003, 0.0004)), 0
            for number in range(300):
                try:
                    signal.setitimer(signal.ITIMER_REAL, next(spans))
                    handle = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, f"joint.{number}")
                    code = win32.GetLastError()
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    assert handle, code
                    win32.CloseHandle(handle)
                except Stop:
                    caught += 1
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            print(caught > 0)
            """
        )
        assert output == "True\n"


class TestFrames:
    """A call that fails keeps nothing alive: neither its callers' variables nor, through them, open handles."""

    def test_a_mapping_of_a_failed_attempt(self) -> None:
        """The last reference to it goes with the frame, and the name is free."""
        gc.disable()
        try:

            def attempt() -> None:
                mapping = namedmap.create(NAME, 10)
                mapping.came_with_view = True  # no warning that it is not closed
                with pytest.raises(namedmap.NotFoundError):
                    namedmap.open("missing")
                win32.OpenFileMapping(win32.FILE_MAP_READ, False, "missing")

            attempt()
            namedmap.create(NAME, 10).close()
        finally:
            gc.enable()

    @pytest.mark.parametrize(
        "fail",
        [
            lambda path: win32.OpenFileMapping(win32.FILE_MAP_READ, False, "missing"),
            lambda path: win32.CreateFileMapping(-1, None, 77, 0, 4096, None),
            lambda path: win32.CreateFile(str(path / "missing"), win32.GENERIC_READ, 7, None, 3, 0, None),
            lambda path: win32.CreateFile(str(path), win32.GENERIC_READ, 7, None, 3, 0, None),
            lambda path: win32.DeleteFile(str(path / "missing")),
            lambda path: win32.MoveFile(str(path / "missing"), str(path / "other")),
            lambda path: win32.WaitForSingleObject(12344, 0),
            lambda path: nt.NtOpenSection(win32.HANDLE(), 4, nt.OBJECT_ATTRIBUTES("missing")),
            lambda path: raises(namedmap.open, "missing"),
            lambda path: raises(namedmap.Mutex.open, "missing"),
            lambda path: raises(namedmap.map_file, path / "missing"),
            lambda path: raises(files.checksum, path / "missing"),
            lambda path: raises(files.copy, path / "missing", path / "other"),
        ],
    )
    def test_no_exception_is_left_to_the_garbage_collector(
        self, fail: Callable[[Path], object], tmp_path: Path
    ) -> None:
        """No failure is in a cycle with the frames that it went through."""
        fail(tmp_path)  # what is loaded at the first call is loaded now
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            fail(tmp_path)
            gc.collect()
            left = [each for each in gc.garbage if isinstance(each, BaseException)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        assert not left


def raises(function: Callable[..., object], *arguments: object) -> None:
    """Call what must fail, and keep nothing of it."""
    try:
        function(*arguments)
    except OSError:
        return
    raise AssertionError("it did not fail")


def _can_be_had(mode: int) -> bool:
    owner, *others = (mode >> shift & 7 for shift in (6, 3, 0))
    return bool(owner & 4) and all(not rights or rights & 4 for rights in others)


class TestModes:
    def test_all_of_them(self) -> None:
        """Each of the 512 modes is granted exactly as it stands, or refused with what cannot be had."""
        for mode in range(0o1000):
            name = f"Global\\{NAME}.{mode:o}"
            if _can_be_had(mode):
                with namedmap.create(name, 10, mode=mode):
                    assert stat.S_IMODE(object_path(name).stat().st_mode) == mode
            else:
                with pytest.raises(namedmap.BadValueError, match=f"{mode:#o} cannot be had"):
                    namedmap.create(name, 10, mode=mode)

    @pytest.mark.parametrize("cls", [namedmap.Mutex, namedmap.Semaphore, namedmap.Event])
    @pytest.mark.parametrize(("mode", "granted"), [(0o606, 0o606), (0o604, 0o604), (0o660, 0o660), (0o244, None)])
    def test_of_what_can_be_waited_for(self, cls: Any, mode: int, granted: int | None) -> None:
        name = f"Global\\{NAME}"
        if granted is None:
            with pytest.raises(ValueError, match="0o244"):
                cls(name, mode=mode)
            return
        made = cls(name, mode=mode)
        assert stat.S_IMODE(object_path(name).stat().st_mode) == granted
        made.close()

    def test_of_a_file_that_is_made(self, tmp_path: Path) -> None:
        """The umask takes nothing of it."""
        before = os.umask(0o077)
        try:
            namedmap.map_file(tmp_path / "new", 10, "write", create=True, mode=0o644).close()
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o644

    def test_one_that_is_no_mode(self) -> None:
        for mode in (-1, 0o1000, 0o100666, 1 << 70):
            with pytest.raises(ValueError, match="mode"):
                namedmap.create(NAME, 10, mode=mode)
        with pytest.raises(TypeError, match="mode"):
            namedmap.create(NAME, 10, mode="rw")  # type: ignore[arg-type]


class TestPageSize:
    def test_the_commit_bitmap_of_large_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With pages of 64 KiB a reserved section of 4 GiB has one page of bits, and openers believe it."""
        monkeypatch.setattr(controlpage, "PAGE", 1 << 16)
        size, reserve = 4 << 30, controlpage.FLAG_RESERVE
        assert controlpage._is_section(reserve, win32.PAGE_READWRITE, size, size, size, 1 << 16)
        assert not controlpage._is_section(reserve, win32.PAGE_READWRITE, 2 * size, 2 * size, 2 * size, 1 << 12)


class TestErrno:
    """The number of a failed system call stays, in files and in mappings."""

    @pytest.mark.parametrize("call", [files.checksum, namedmap.map_file])
    def test_a_path_behind_a_file(self, call: Callable[[Path], object], tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"x")
        with pytest.raises(NotADirectoryError) as caught:
            call(tmp_path / "file" / "x")
        assert isinstance(caught.value, namedmap.Error)
        assert caught.value.winerror == win32.ERROR_PATH_NOT_FOUND

    @pytest.mark.parametrize("call", [files.checksum, namedmap.map_file])
    def test_a_circle_of_links(self, call: Callable[[Path], object], tmp_path: Path) -> None:
        (tmp_path / "one").symlink_to("other")
        (tmp_path / "other").symlink_to("one")
        with pytest.raises(namedmap.Error) as caught:
            call(tmp_path / "one")
        assert caught.value.errno == 40  # ELOOP

    @pytest.mark.parametrize("call", [files.checksum, namedmap.map_file])
    def test_the_path_of_a_directory(self, call: Callable[[Path], object], tmp_path: Path) -> None:
        with pytest.raises(IsADirectoryError) as caught:
            call(tmp_path)
        assert isinstance(caught.value, namedmap.AccessDeniedError)

    def test_pickling_keeps_it(self) -> None:
        """Class, code, number and text come back."""
        import pickle

        error = errors.of(win32.ERROR_PATH_NOT_FOUND, "text", 20)
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.winerror, again.errno, str(again)) == (type(error), 3, 20, str(error))

    def test_a_failure_of_the_platform(self) -> None:
        """One translator: by the system's number where that says more, else by the code."""
        assert type(errors.translate(Failure(5, "x"))) is namedmap.AccessDeniedError
        assert type(errors.translate(Failure(3, "x", 20))) is errors.NotDirectoryError
        taken = Failure(6, "x")
        taken.wrong_kind = True
        assert type(errors.translate(taken)) is namedmap.WrongKindError


class TestNumbers:
    def test_a_handle_number_that_another_has_by_now(self) -> None:
        """Closing a mapping closes its own handle only: not what has its number after somebody closed that."""
        mapping = namedmap.create(NAME, 10)
        number = mapping.handle
        assert win32.CloseHandle(number)
        other = win32.CreateEvent(None, True, True, None)
        assert other == number
        mapping.close()
        assert win32.WaitForSingleObject(other, 0) == win32.WAIT_OBJECT_0
        assert win32.CloseHandle(other)

    def test_one_that_was_closed(self) -> None:
        """Every use of a mapping whose number was closed says so."""
        mapping = namedmap.create(NAME, 10)
        assert win32.CloseHandle(mapping.handle)
        for use in (mapping.view, lambda: mapping.extend(20)):
            with pytest.raises(namedmap.ClosedError):
                use()
        mapping.close()


class TestStructures:
    """SECURITY_ATTRIBUTES and OBJECT_ATTRIBUTES as programs in C use them."""

    @pytest.mark.parametrize("pass_on", [lambda sa: sa, ctypes.byref, ctypes.pointer])
    def test_security_attributes_line_by_line(self, pass_on: Callable[[Any], Any]) -> None:
        sa = win32.SECURITY_ATTRIBUTES()
        sa.nLength = ctypes.sizeof(sa)
        sa.lpSecurityDescriptor = None
        sa.bInheritHandle = True
        assert (sa.nLength, ctypes.sizeof(win32.SECURITY_ATTRIBUTES)) == (24, 24)
        handle, flags = win32.CreateMutex(pass_on(sa), False, NAME), win32.DWORD()
        assert handle
        assert win32.GetHandleInformation(handle, flags)
        assert flags.value == win32.HANDLE_FLAG_INHERIT
        assert win32.CloseHandle(handle)

    @pytest.mark.parametrize("pass_on", [lambda sa: sa, ctypes.byref, ctypes.pointer])
    def test_a_descriptor(self, pass_on: Callable[[Any], Any]) -> None:
        """It is a string, which the structure points to."""
        sa = win32.SECURITY_ATTRIBUTES()
        sa.lpSecurityDescriptor = "D:(A;;GA;;;OW)(A;;GR;;;WD)"
        name = f"Global\\{NAME}"
        handle = win32.CreateFileMapping(-1, pass_on(sa), win32.PAGE_READWRITE, 0, 10, name)
        assert stat.S_IMODE(object_path(name).stat().st_mode) == 0o644
        assert win32.CloseHandle(handle)

    def test_an_address_of_nobody_is_never_read(self) -> None:
        """It stays a number, and a call with it says that this is no descriptor."""
        sa = win32.SECURITY_ATTRIBUTES()
        sa.lpSecurityDescriptor = 0x1234
        assert sa.lpSecurityDescriptor == 0x1234
        with pytest.raises(TypeError, match="SDDL"):
            win32.CreateMutex(sa, False, None)
        with pytest.raises(TypeError, match="SDDL"):
            win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=io.StringIO())  # type: ignore[arg-type]

    @pytest.mark.parametrize("pass_on", [lambda oa: oa, ctypes.byref, ctypes.pointer])
    def test_object_attributes(self, pass_on: Callable[[Any], Any]) -> None:
        """The name is a str, or a UNICODE_STRING that points to text in memory."""
        text = ctypes.create_string_buffer(NAME.encode("utf-16-le"))
        string = nt.UNICODE_STRING(len(NAME) * 2, len(NAME) * 2, ctypes.addressof(text))
        made = win32.HANDLE()
        for name in (NAME, string, ctypes.pointer(string)):
            oa = nt.OBJECT_ATTRIBUTES(name)
            assert oa.Length == ctypes.sizeof(oa) == 48
            size = win32.LARGE_INTEGER(4096)
            with namedmap.create(NAME, 10):
                status = nt.NtOpenSection(made, win32.FILE_MAP_READ, pass_on(oa))
                assert status == 0
                assert win32.CloseHandle(made.value)
            assert nt.NtCreateSection(made, 0xF001F, pass_on(oa), size, win32.PAGE_READWRITE, 0x8000000, None) == 0
            assert win32.CloseHandle(made.value)

    def test_a_name_at_an_address_of_nobody(self) -> None:
        """Memory that is not there is a status, not a signal."""
        oa = nt.OBJECT_ATTRIBUTES(nt.UNICODE_STRING(10, 10, 0x1234))
        assert nt.NtOpenSection(win32.HANDLE(), 4, oa) != 0


class TestOthersNames:
    """Permissions that could have no effect, because nobody else finds the name, are refused with the remedy."""

    @pytest.mark.parametrize("who", [{"mode": 0o660}, {"mode": 0o604}, {"group": 0}, {"security": "D:(A;;GR;;;WD)"}])
    @pytest.mark.parametrize("name", [NAME, f"Local\\{NAME}"])
    def test_a_local_name(self, name: str, who: Any) -> None:
        makers: list[Callable[..., Any]] = [lambda name, **who: namedmap.create(name, 10, **who), namedmap.Mutex]
        makers += [namedmap.Semaphore, namedmap.Event, lambda name, **who: namedmap.publish(name, b"x", **who)]
        for make in makers:
            with pytest.raises(namedmap.BadValueError, match=r"Global\\"):
                make(name, **who)

    @pytest.mark.parametrize("who", [{"mode": 0o600}, {"security": "D:(A;;GA;;;OW)"}, {}])
    def test_the_user_alone(self, who: Any) -> None:
        """A permission that grants others nothing has its effect under any name; and so has any on a name for all."""
        namedmap.create(NAME, 10, **who).close()
        namedmap.create(None, 10, mode=0o666).close()
        namedmap.create(f"Global\\{NAME}", 10, mode=0o666).close()

    def test_of_win32(self) -> None:
        """Programs for Windows give such descriptors for every name, and nothing speaks against it."""
        attributes = win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor="D:(A;;GA;;;WD)")
        handle = win32.CreateFileMapping(-1, attributes, win32.PAGE_READWRITE, 0, 10, NAME)
        assert handle
        assert win32.CloseHandle(handle)
