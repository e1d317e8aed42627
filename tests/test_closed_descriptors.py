"""Other code closes descriptors that are not its own; the numbers are given to files of the program.

No call of ours hits those files, no lock seems to have been taken, and the error says what has happened.
"""

import os
import sys
from pathlib import Path

import pytest

from calls import object_files, sweep
from calls.kinds import Kind, each_kind, gone
from child import Child, Spawn, eventually, pypi
from namedmap import win32

NAME = "closed"
INVALID = int(win32.ERROR_INVALID_HANDLE)

#: `take_over(directory)`: close everything, and give the numbers to files, each with ten bytes; `harmed()`: those whose
#: content, length or locks are not as they were, or that are closed.
_OTHERS = """
def take_over(directory):
    global files
    highest = max(map(int, os.listdir("/proc/self/fd")))
    os.closerange(3, 256)
    files = [open(f"{directory}/{number}", "w+b", buffering=0) for number in range(highest)]
    for file in files: file.write(b"0123456789")
def harmed():
    found = []
    for file in files:
        try:
            with open(f"/proc/self/fdinfo/{file.fileno()}") as info: locked = "lock:" in info.read()
            same = os.fstat(file.fileno()).st_ino == os.stat(file.name).st_ino
            if locked or not same or os.pread(file.fileno(), 20, 0) != b"0123456789": found.append(file.fileno())
        except OSError as error: found.append(str(error))
    return found
def outcome(use):
    try: return "worked", use()
    except namedmap.Error as error: return type(error).__name__, "other code" in str(error)
"""


@pytest.fixture
def child(spawn: Spawn, tmp_path: Path) -> Child:
    """A second process that has what is above."""
    made = spawn()
    made.run(_OTHERS)
    made.run(f"directory = {str(tmp_path)!r}")
    return made


REFUSED = ("ClosedError", True)


class TestTheExample:
    def test_a_file_of_the_program_outlives_close(self, spawn: Spawn, tmp_path: Path) -> None:
        """The smallest program that lost its file."""
        child = spawn(f"""
            m = namedmap.create("{NAME}", 10); os.closerange(3, 256); f = open({str(tmp_path / "f")!r}, "w")
            m.close(); f.write("x"); f.flush()
            f.close()
            """)
        assert child.wait() == 0
        assert (tmp_path / "f").read_text() == "x"
        assert object_files() == []


class TestLocks:
    """A lock whose descriptor was replaced never reports success."""

    @pytest.mark.parametrize(
        "use",
        ["acquire(timeout=0)", "acquire()", "release()", "locked()", "__enter__()"],
    )
    @pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "closed"])
    @pytest.mark.parametrize("owned", [True, False], ids=["owned", "free"])
    def test_use_of_a_closed_mutex(self, child: Child, use: str, replaced: bool, owned: bool) -> None:
        """Neither taken, nor released, nor said to be owned."""
        child.run(f"x = namedmap.Mutex('{NAME}')")
        if owned:
            child.run("x.acquire()")
        child.run("take_over(directory)" if replaced else "files = []; os.closerange(3, 256)")
        expected = REFUSED if owned or use != "release()" else ("NotOwnerError", False)
        assert child.value(f"outcome(lambda: x.{use})") == expected
        if owned and use != "release()":
            assert child.value("outcome(lambda: x.owned())") == REFUSED
        child.run("x.close()")
        assert child.value("harmed()") == []

    @pytest.mark.parametrize(
        "use",
        ["acquire(timeout=0)", "acquire()", "release()", "__enter__()"],
    )
    def test_use_of_a_closed_semaphore(self, child: Child, use: str) -> None:
        """Nothing is taken from it or given to it."""
        child.run(f"x = namedmap.Semaphore('{NAME}', 1, 2); take_over(directory)")
        assert child.value(f"outcome(lambda: x.{use})") == REFUSED
        child.run("x.close()")
        assert child.value("harmed()") == []

    @pytest.mark.parametrize("use", ["set()", "clear()", "is_set()", "wait(1)", "pulse()"])
    def test_use_of_a_closed_event(self, child: Child, use: str) -> None:
        """It is neither set nor waited for."""
        child.run(f"x = namedmap.Event('{NAME}', manual=False); x.set(); take_over(directory)")
        assert child.value(f"outcome(lambda: x.{use})") == REFUSED
        child.run("x.close()")
        assert child.value("harmed()") == []

    @pytest.mark.parametrize("use", ["wait_any([e, x], timeout=0)", "wait_all([e, x], timeout=0)"])
    def test_waits_for_several(self, child: Child, use: str) -> None:
        child.run(f"x = namedmap.Mutex('{NAME}'); os.closerange(3, 256); e = namedmap.Event()")
        assert child.value(f"outcome(lambda: namedmap.{use})") == REFUSED
        child.run("x.close(); e.close()")

    def test_the_number_goes_to_another_lock(self, child: Child) -> None:
        """Two mutexes of one process with one number: the first is lost, the second is the second."""
        child.run(f"x = namedmap.Mutex('{NAME}'); n = x.acquire(); os.closerange(3, 256)")
        child.run(f"y, z = namedmap.Mutex('{NAME} y'), namedmap.Mutex('{NAME}')")
        assert child.value("outcome(lambda: x.acquire(timeout=0))") == REFUSED
        assert child.value("outcome(lambda: x.release())") == REFUSED
        assert child.value("y.acquire(timeout=0), z.created, z.acquire(timeout=0)") == (True, True, True)
        child.run("x.close()")
        assert child.value("y.owned(), z.owned()") == (True, True)
        child.run("y.release(); z.release(); y.close(); z.close()")
        assert object_files() == []

    def test_an_object_that_others_hold_can_be_opened_again(self, child: Child, spawn: Spawn) -> None:
        """The handle is lost, not the object."""
        other = spawn()
        other.run(f"x = namedmap.Mutex('{NAME}')")
        child.run(f"x = namedmap.Mutex('{NAME}'); take_over(directory); y = namedmap.Mutex('{NAME}')")
        assert child.value("y.created, y.acquire(timeout=0)") == (False, True)
        assert child.value("outcome(lambda: x.acquire(timeout=0))") == REFUSED
        assert other.value("x.acquire(timeout=0)") is False
        child.run("x.close(); y.release(); y.close()")
        assert child.value("harmed()") == []
        assert other.value("x.acquire(timeout=0)") is True

    def test_on_a_filesystem_with_short_files(self, spawn: Spawn, tmp_path: Path) -> None:
        """Where no file position tells (ext4), device and inode are compared."""
        root = tmp_path / "root"
        root.mkdir(mode=0o700)
        child = spawn(environment={"NAMEDMAP_ROOT": str(root)})
        child.run(_OTHERS)
        child.run(f"x, s = namedmap.Mutex('{NAME}'), namedmap.Semaphore('{NAME} s', 1)")
        assert child.value("x.acquire(timeout=0), x.acquire(), x.release(), x.release(), s.acquire(timeout=0)") == (
            True, True, None, None, True,
        )  # fmt: skip
        child.run(f"take_over({str(tmp_path)!r})")
        for use in ("x.acquire(timeout=0)", "s.release()", "x.locked()"):
            assert child.value(f"outcome(lambda: {use})") == REFUSED
        child.run("x.close(); s.close()")
        assert child.value("harmed()") == []
        child.end()


class TestWin32:
    """The functions fail with ERROR_INVALID_HANDLE, and FormatMessage says why."""

    @pytest.mark.parametrize(
        ("make", "use"),
        [
            ("win32.CreateMutex(None, False, 'closed')", "win32.WaitForSingleObject(h, 0) == win32.WAIT_FAILED"),
            ("win32.CreateMutex(None, True, 'closed')", "not win32.ReleaseMutex(h)"),
            ("win32.CreateEvent(None, True, True, 'closed')", "not win32.SetEvent(h)"),
            ("win32.CreateEvent(None, True, True, 'closed')", "not win32.ResetEvent(h)"),
            ("win32.CreateSemaphore(None, 1, 2, 'closed')", "not win32.ReleaseSemaphore(h, 1, None)"),
            ("create('closed')", "not view(h)"),
            ("create(None)", "not view(h)"),
            ("open_file()", "not win32.WriteFile(h, b'abc', 3, win32.DWORD(), None)"),
            ("open_file()", "not win32.ReadFile(h, bytearray(3), 3, win32.DWORD(), None)"),
            ("open_file()", "not win32.SetEndOfFile(h)"),
            ("open_file()", "not win32.FlushFileBuffers(h)"),
            ("open_file()", "win32.GetFileSize(h, None) == 0xFFFFFFFF"),
            ("open_file()", "not win32.CreateFileMapping(h, None, win32.PAGE_READWRITE, 0, 100, None)"),
            (
                "win32.OpenProcess(win32.SYNCHRONIZE, False, os.getppid())",
                "win32.WaitForSingleObject(h, 0) == 0xFFFFFFFF",
            ),
        ],
    )
    def test_functions_refuse_what_was_closed(self, child: Child, tmp_path: Path, make: str, use: str) -> None:
        """The same holds whatever the handle is to."""
        child.run(f"""
            def open_file(): return win32.CreateFile({str(tmp_path / "mine")!r}, 0xC0000000, 7, None, 4, 0, None)
            h = {make}
            assert h and h != win32.INVALID_HANDLE_VALUE, message()
            take_over(directory)
            """)
        assert child.value(use)
        assert child.value("win32.GetLastError()") == INVALID
        assert "other code in this process has closed" in child.value("message()")
        assert child.value("win32.CloseHandle(h)")
        assert child.value("harmed()") == []

    def test_a_file_that_goes_with_its_handle_is_not_the_programs(self, child: Child, tmp_path: Path) -> None:
        """FILE_FLAG_DELETE_ON_CLOSE deletes its own file or none."""
        child.run(f"""
            h = win32.CreateFile({str(tmp_path / "mine")!r}, win32.GENERIC_WRITE | win32.DELETE, 7, None, 1,
                                 win32.FILE_FLAG_DELETE_ON_CLOSE, None)
            take_over(directory); win32.CloseHandle(h)
            """)
        assert child.value("harmed()") == []
        assert child.value("[file.name for file in files if not os.path.exists(file.name)]") == []


class TestEverythingThatIsKept:
    """Backing files, passages, the list of inheritable handles, the inbox, userfaultfd."""

    def test_sections_over_files(self, child: Child, tmp_path: Path) -> None:
        """Views that are mapped go on; what needs the file is refused."""
        (tmp_path / "data").write_bytes(b"x" * 5000)
        child.run(f"""
            m = namedmap.map_file({str(tmp_path / "data")!r}, access="write"); v = m.view(); v[0]
            take_over(directory)
            """)
        assert child.value("bytes(v[:3]), v.find(b'9')") == (b"xxx", -1)
        for use in ("m.view()", "m.size", "m.extend(9000)", "v.flush(durable=True)"):
            assert child.value(f"outcome(lambda: {use})") == REFUSED
        child.run("v.close(); m.close()")
        assert child.value("harmed()") == []

    def test_reserved_memory(self, child: Child) -> None:
        """Neither a commit nor a fork hits a file of the program."""
        child.run("m = namedmap.create(None, 1 << 20, reserve=True); v = m.view(); v.commit(0, 4096)")
        child.run("take_over(directory)")
        assert child.value("outcome(lambda: v.commit(8192, 4096))") == REFUSED
        child.run("""
            pid = os.fork()
            if not pid:
                bad = harmed()
                v.close(); m.close()
                os._exit(len(bad + harmed()))
            assert os.waitpid(pid, 0)[1] == 0
            v.close(); m.close()
            """)
        assert child.value("harmed()") == []

    def test_inheritable_handles(self, child: Child) -> None:
        """Passages and their list are made anew for what is opened later; the lost ones are left alone."""
        child.run(f"""
            a = create("{NAME} a", inherit=True)
            take_over(directory)
            b = create("{NAME} b", inherit=True)
            """)
        assert child.value("harmed()") == []
        child.run("""
            import subprocess
            text = "import sys; from namedmap.win32 import *; print(GetHandleInformation(int(sys.argv[1]), DWORD()))"
            command = [sys.executable, "-c", text, str(b)]
            found = subprocess.run(command, close_fds=False, capture_output=True, text=True)
            """)
        assert child.value("found.stdout.strip(), found.stderr") == ("True", "")
        child.run("win32.CloseHandle(a); win32.CloseHandle(b)")
        assert child.value("harmed()") == []

    def test_the_inbox(self, child: Child, spawn: Spawn) -> None:
        """After GetCurrentProcessId has been called again, others reach the process again."""
        child.run("pid = win32.GetCurrentProcessId(); take_over(directory)")
        sender = spawn()
        sender.run(f"""
            h = create("{NAME}"); p = win32.OpenProcess(0x1FFFFF, False, {child.pid}); me = win32.GetCurrentProcess()
            def give():
                out = win32.HANDLE()
                return win32.DuplicateHandle(me, h, p, out, 0, False, 2) and out.value
            """)
        assert child.value("win32.GetHandleInformation(0x40000000, win32.DWORD())") is False
        child.run("pid = win32.GetCurrentProcessId()")
        value = sender.value("give()")
        assert value, sender.value("message()")
        assert child.value(f"win32.GetHandleInformation({value}, win32.DWORD())")
        assert child.value("harmed()") == []

    @each_kind
    def test_the_end_of_the_process(self, spawn: Spawn, tmp_path: Path, kind: Kind) -> None:
        """Descriptors that are still open at the end, atexit leaves alone too, and the name goes."""
        child = spawn(f"""{_OTHERS}
import atexit
handle = {kind.text.format(NAME)}
win32.GetCurrentProcessId()
take_over({str(tmp_path)!r})
atexit._run_exitfuncs()
say(harmed())
""")
        assert child.line() == "[]"
        assert child.wait() == 0
        assert gone(kind, NAME)
        sweep()
        assert object_files() == []


class TestForks:
    def test_a_child_whose_parent_has_lost_them(self, child: Child) -> None:
        """Neither hooks nor a fork in C act on the program's files."""
        child.run(f"x, m = namedmap.Mutex('{NAME}'), namedmap.create('{NAME} m', 10); v = m.view()")
        child.run("take_over(directory)")
        for fork in ("os.fork", "ctypes.PyDLL(None).fork"):
            child.run(f"""
                pid = {fork}()
                if not pid:
                    results = [outcome(lambda: x.acquire(timeout=0)), outcome(lambda: m.view())]
                    ok = results == [("ClosedError", True)] * 2 and bytes(v[:3]) == bytes(3) and not harmed()
                    x.close(); m.close(); v.close()
                    os._exit(0 if ok and not harmed() else 1)
                status = os.waitpid(pid, 0)[1]
                """)
            assert child.value("status, harmed()") == (0, [])
        child.run("x.close(); m.close(); v.close()")

    def test_a_daemon(self, spawn: Spawn, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        """python-daemon's DaemonContext forks twice and closes everything that it does not know."""
        place = tmp_path_factory.mktemp("daemon")
        pypi.install(place, "python-daemon==3.1.2")
        report = tmp_path / "report"
        program = spawn(
            f"""
            import daemon
            x = namedmap.Mutex("{NAME}")
            with daemon.DaemonContext(working_directory={str(tmp_path)!r}):
                log = open({str(report)!r} + ".new", "w")
                try: print("worked", x.acquire(timeout=0), file=log)
                except namedmap.Error as error: print(type(error).__name__, "other code" in str(error), file=log)
                x.close()
                y = namedmap.Mutex("{NAME}")
                print(y.acquire(timeout=0), y.owned(), file=log, flush=True)
                y.release(); y.close(); log.close()
                os.rename({str(report)!r} + ".new", {str(report)!r})
            """,
            environment={"PYTHONPATH": os.pathsep.join([str(place), *sys.path])},
        )
        assert program.wait() == 0
        eventually(report.exists, "the daemon's report")
        assert report.read_text().splitlines() == ["ClosedError True", "True True"]
        eventually(lambda: object_files() == [], "the end of the daemon's objects")
