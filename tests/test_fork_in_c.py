"""A fork that calls no hook of Python, as uWSGI and C libraries do: the child makes what it inherits its own."""

import os
import signal
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from calls import close, create, error_of_open, handle_count, message, object_files, open_section, sweep
from calls.kinds import Kind, each_kind, gone
from child import Child, Spawn, eventually
from namedmap import Mutex, win32

NAME = "in c"

#: `fork`, by the C library with or without the interpreter's lock, or with the one call that a program which embeds
#: Python makes when it knows that it has forked.
WAYS = {
    "PyDLL": "fork = ctypes.PyDLL(None).fork",
    "CDLL": "fork = ctypes.CDLL(None).fork",
    "PyOS_AfterFork_Child": """
        import _imp
        def fork():
            _imp.acquire_lock()  # CPython 3.13 releases it in the child
            pid = ctypes.PyDLL(None).fork()
            if pid: _imp.release_lock()
            else: ctypes.pythonapi.PyOS_AfterFork_Child()
            return pid
        """,
}

Start = Callable[[str], Child]


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def start(request: pytest.FixtureRequest, spawn: Spawn) -> Start:
    """Start a second process whose program has `fork`."""
    way: str = textwrap.dedent(request.param)
    return lambda program: spawn(f"{way}\n{textwrap.dedent(program)}")


class TestMutexes:
    """A mutex that the parent owns is not the child's, whatever the child does."""

    def test_the_child_does_not_own_it(self, start: Start) -> None:
        """It cannot have it, and its end, whichever, takes neither name nor life nor ownership."""
        leave = "os._exit(0)"
        endings = f"x.close(); {leave}", leave, "sys.exit(0)", "del x; sys.exit(0)", "os.kill(os.getpid(), 9)"
        parent = start(f"""
            for ending in {endings}:
                x = namedmap.Mutex("{NAME}")
                x.acquire()
                pid = fork()
                if not pid:
                    say(x.owned(), x.acquire(timeout=0), x.locked())
                    exec(ending)
                os.waitpid(pid, 0)
                say(x.owned())
                hear()
                x.release()
                say(x.owned())
                hear()
                x.close()
            """)
        for ending in endings:
            assert parent.line() == "False False True", ending
            assert parent.line() == "True", ending
            other = Mutex.open(NAME)
            assert not other.acquire(timeout=0), ending
            parent.send("")
            assert parent.line() == "False", ending
            assert other.acquire(timeout=0), ending
            other.release()
            other.close()
            parent.send("")
        assert parent.wait() == 0
        assert object_files() == []

    def test_the_first_use_may_be_any(self, start: Start) -> None:
        """Every call that a child may make first finds that it has forked."""
        uses = {
            "x.release()": "NotOwnerError",
            "x.acquire(timeout=0)": "False",
            "x.owned()": "False",
            "namedmap.wait_any([x], timeout=0)": "None",
            "namedmap.wait_all([x], timeout=0)": "False",
            "namedmap.Mutex.open('in c').acquire(timeout=0)": "False",
            "win32.WaitForSingleObject(x.handle, 0)": "258",
            "win32.ReleaseMutex(x.handle)": "False",
            "x.close()": "None",
            "win32.CloseHandle(x.handle)": "True",
        }
        parent = start(f"""
            x = namedmap.Mutex("{NAME}"); x.acquire()
            for use in {list(uses)}:
                pid = fork()
                if not pid:
                    try: say(eval(use))
                    except Exception as error: say(type(error).__name__)
                    os._exit(0)
                os.waitpid(pid, 0)
                say(x.owned())
                hear()
            """)
        for use, result in uses.items():
            assert (use, parent.line()) == (use, result)
            assert parent.line() == "True", use
            x = Mutex.open(NAME)
            assert not x.acquire(timeout=0), use
            x.close()
            parent.send("")
        assert parent.wait() == 0

    def test_parent_and_child_exclude_each_other(self, start: Start) -> None:
        """A counter in shared memory, changed by parent, children and grandchildren under the mutex, misses nothing."""
        parent = start(f"""
            x, m = namedmap.Mutex("{NAME}"), namedmap.create("{NAME} counter", 8)
            v = m.view()
            def work():
                for _ in range(200):
                    with x:
                        n = int.from_bytes(v[:8], "little"); time.sleep(0); v[:8] = (n + 1).to_bytes(8, "little")
            pids = []
            for _ in range(3):
                pid = fork()
                if not pid:
                    grandchild = fork()
                    work()
                    if grandchild: os.waitpid(grandchild, 0)
                    os._exit(0)
                pids.append(pid)
            work()
            for pid in pids: os.waitpid(pid, 0)
            say(int.from_bytes(v[:8], "little"))
            hear()
            """)
        assert parent.line() == "1400"
        parent.end()
        assert object_files() == []

    def test_a_parent_that_is_killed_abandons_it_to_the_child(self, start: Start) -> None:
        """A mutex that the child has inherited keeps nothing of its parent's ownership once it has been used."""
        parent = start(f"""
            x, e = namedmap.Mutex("{NAME}"), namedmap.Event("{NAME} event")
            x.acquire()
            if not fork():
                e.is_set(); say("ready"); hear()
                import warnings; warnings.simplefilter("ignore")
                say(x.acquire(timeout=30), x.abandoned)
                hear()
                x.release(); x.close(); e.close()
                os._exit(0)
            signal.pause()
            """)
        assert parent.line() == "ready"
        os.kill(parent.pid, signal.SIGKILL)
        os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)
        parent.send("")
        assert parent.line() == "True True"
        parent.send("")
        eventually(lambda: object_files() == [], "the end of the child's objects")

    def test_a_fork_in_a_signal_handler_amid_a_take(self, start: Start) -> None:
        """The handler runs after the call that takes it for the process: one of the two owns it."""
        parent = start("""
            from calls.kernel import table
            x = namedmap.Mutex()
            held = table.get(x.handle).object
            plain = held._seize
            def seize(words):
                held._seize = plain
                result = plain(words)
                global pid
                pid = fork()
                return result
            held._seize = seize
            got = x.acquire(timeout=0)
            if not pid: os._exit(got)
            say(got, x.owned(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            """)
        assert parent.line() == "True True 0"


class TestObjects:
    """Sections, semaphores, events and mutexes alike."""

    @each_kind
    def test_the_end_of_a_child_takes_nothing_from_its_parent(self, start: Start, kind: Kind) -> None:
        """Whether the child closes, exits in one way or the other, or uses nothing at all."""
        endings = "win32.CloseHandle(h); os._exit(0)", "os._exit(0)", "sys.exit(0)"
        parent = start(f"""
            for ending in {endings}:
                h = {kind.text.format(NAME)}
                pid = fork()
                if not pid:
                    exec(ending)
                os.waitpid(pid, 0)
                say("over")
                hear()
                win32.ReleaseMutex(h)  # if it is one: its owner would keep it
                win32.CloseHandle(h)
                say("closed")
                hear()
            """)
        for ending in endings:
            assert parent.line() == "over"
            held = kind.open(NAME)
            assert held, (ending, message())
            close(held)
            parent.send("")
            assert parent.line() == "closed"
            assert gone(kind, NAME), ending
            parent.send("")
        assert parent.wait() == 0
        assert object_files() == []

    @each_kind
    def test_the_childs_handle_is_one_of_its_own(self, start: Start, kind: Kind) -> None:
        """It is counted, and keeps the object when the parent has closed its own."""
        parent = start(f"""
            h = {kind.text.format(NAME)}
            pid = fork()
            if not pid:
                win32.GetHandleInformation(h, win32.DWORD())
                say("child"); hear()
                win32.CloseHandle(h)
                os._exit(0)
            signal.pause()
            """)
        assert parent.line() == "child"
        held = kind.open(NAME)
        assert held
        assert handle_count(held) == 3
        parent.process.kill()
        os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)
        assert handle_count(held) == 2
        close(held)
        held = kind.open(NAME)
        assert held, message()
        close(held)
        parent.send("")
        eventually(lambda: object_files() == [], "the end of the child's object")

    @pytest.mark.parametrize("library", ["PyDLL", "CDLL"])
    def test_what_the_parent_closes_before_the_first_use_is_refused(self, spawn: Spawn, library: str) -> None:
        """The child learns of the object too late, and is told so; another of the name is another object."""
        parent = spawn(f"""
            fork = ctypes.{library}(None).fork
            m, x = namedmap.create("{NAME}", 10), namedmap.Mutex("{NAME} mutex")
            r, w = os.pipe()
            pid = fork()
            if not pid:
                os.close(w); os.read(r, 1)
                for use in (lambda: x.acquire(timeout=0), lambda: m.view(), lambda: x.locked()):
                    try: say("worked", use())
                    except namedmap.Error as error: say(type(error).__name__, "os.fork" in str(error))
                fresh = namedmap.Mutex("{NAME} mutex")
                say(fresh.created, fresh.acquire(timeout=0))
                for each in (m, x, fresh): each.close()
                os._exit(0)
            m.close(); x.close()
            os.close(w)
            os.waitpid(pid, 0)
            """)
        assert parent.line() == "ClosedError True"
        assert parent.line().startswith(("worked", "ClosedError"))  # memory is there without a name
        assert parent.line() == "ClosedError True"
        assert parent.line() == "True True"
        assert parent.wait() == 0
        assert object_files() == []

    @pytest.mark.parametrize("access", ["win32.FILE_MAP_WRITE", "win32.FILE_MAP_READ", "win32.FILE_MAP_COPY"])
    def test_an_inherited_view_keeps_no_handle_of_a_dead_parent(self, start: Start, access: str) -> None:
        """A child keeps a view and no handle; when its parent is killed the name goes, and the view stays as it was."""
        parent = start(f"""
            h = create("{NAME}", 20000); poke(view(h), b"shared")
            v = view(h, {access})
            if {access} == win32.FILE_MAP_COPY: poke(v, b"copied")
            if fork():
                signal.pause()
            win32.CloseHandle(h)
            say("ready")
            hear()
            say(peek(v, 6).decode())
            """)
        assert parent.line() == "ready"
        close(open_section(NAME))
        os.kill(parent.pid, signal.SIGKILL)
        os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
        close(create(NAME))
        parent.send("go on")
        assert parent.line() == ("copied" if "COPY" in access else "shared")

    def test_protections_and_stores_stay_when_views_move(self, start: Start) -> None:
        """Views of a child show the same memory, page by page as protected, before and after its first use."""
        parent = start("""
            h = create(None, 5 * 4096)
            v = view(h)
            for page in range(5): poke(v + page * 4096, bytes([65 + page]))
            old = win32.DWORD()
            assert win32.VirtualProtect(v + 4096, 4096, win32.PAGE_READONLY, old)
            assert win32.VirtualProtect(v + 3 * 4096, 4096, win32.PAGE_WRITECOPY, old)
            poke(v + 3 * 4096, b"d")
            pid = fork()
            if not pid:
                info = win32.MEMORY_BASIC_INFORMATION()
                found = []
                for page in range(5):
                    win32.VirtualQuery(v + page * 4096, info, ctypes.sizeof(info))
                    found.append((peek(v + page * 4096, 1).decode(), info.Protect))
                poke(v, b"Z")
                say(found)
                os._exit(0)
            os.waitpid(pid, 0)
            say(peek(v, 1).decode())
            """)
        assert parent.line() == "[('A', 4), ('B', 2), ('C', 4), ('d', 4), ('E', 4)]"
        assert parent.line() == "Z"

    def test_a_reserved_page_faults_in_the_child_too(self, start: Start) -> None:
        """Pages that are committed work, others do not."""
        parent = start("""
            m = namedmap.create(None, 1 << 20, reserve=True)
            v = m.view(); v.commit(0, 4096); v[:4] = b"data"
            pid = fork()
            if not pid:
                x = namedmap.Event()
                v.commit(8192, 4096); v[8192:8196] = b"more"
                say(v[:4], v[8192:8196])
                os._exit(0)
            os.waitpid(pid, 0)
            say(v[8192:8196])
            """)
        assert parent.line() == "b'data' b'more'"
        assert parent.line() == "b'more'"


class TestWithoutDescriptors:
    """A child that cannot open anything may not use its parent's locks."""

    def test_a_clear_error_until_there_is_room(self, start: Start) -> None:
        """Each use is refused, and says why; when a descriptor is free again, it works."""
        parent = start(f"""
            import resource
            x, s = namedmap.Mutex("{NAME}"), namedmap.Semaphore("{NAME} s", 1)
            x.acquire()
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            taken = []
            try:
                while True: taken.append(os.dup(0))
            except OSError: pass
            pid = fork()
            if not pid:
                for use in (lambda: x.acquire(timeout=0), lambda: s.acquire(timeout=0), lambda: s.release()):
                    try: say("worked", use())
                    except namedmap.Error as error: say(error.winerror, "RLIMIT_NOFILE" in str(error))
                for fd in taken: os.close(fd)
                say(x.acquire(timeout=0), s.acquire(timeout=0))
                os._exit(0)
            for fd in taken: os.close(fd)
            os.waitpid(pid, 0)
            say(x.owned())
            hear()
            """)
        for _ in range(3):
            assert parent.line() == f"{win32.ERROR_TOO_MANY_OPEN_FILES:d} True"
        assert parent.line() == "False True"
        assert parent.line() == "True"
        parent.end()
        assert object_files() == []


class TestFiles:
    """A file object is the same in parent and child, as with os.fork."""

    @pytest.mark.parametrize("ending", ["win32.CloseHandle(f); os._exit(0)", "sys.exit(0)"])
    def test_the_child_takes_nothing_away(self, start: Start, tmp_path: Path, ending: str) -> None:
        """Neither the share mode goes with the child, nor a file that is deleted when its opener closes it."""
        path = tmp_path / "file"
        parent = start(f"""
            f = win32.CreateFile({str(path)!r}, win32.GENERIC_WRITE, 0, None, win32.CREATE_NEW,
                                 win32.FILE_FLAG_DELETE_ON_CLOSE, None)
            pid = fork()
            if not pid:
                {ending}
            os.waitpid(pid, 0)
            say("over"); hear()
            """)
        assert parent.line() == "over"
        assert path.exists()
        refused = win32.CreateFile(str(path), win32.GENERIC_READ, 7, None, win32.OPEN_EXISTING, 0, None)
        assert refused == win32.INVALID_HANDLE_VALUE
        assert win32.GetLastError() == win32.ERROR_SHARING_VIOLATION
        parent.end()
        assert not path.exists()

    def test_a_mapped_file_is_the_childs_too(self, start: Start, tmp_path: Path) -> None:
        """The child's section keeps the file from being cut off when its parent is gone."""
        path = tmp_path / "file"
        path.write_bytes(b"x" * 10000)
        parent = start(f"""
            m = namedmap.map_file({str(path)!r}, access="write"); v = m.view()
            if fork(): signal.pause()
            v[0:5] = b"child"; say(m.size); hear()
            """)
        assert parent.line() == "10000"
        os.kill(parent.pid, signal.SIGKILL)
        os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)
        file = win32.CreateFile(str(path), win32.GENERIC_WRITE, 7, None, win32.OPEN_EXISTING, 0, None)
        assert not win32.SetEndOfFile(file)
        assert win32.GetLastError() == win32.ERROR_USER_MAPPED_FILE
        close(file)
        assert path.read_bytes()[:5] == b"child"


class TestThreads:
    """Other threads of the parent are not in the child; what they had locked is free there."""

    def test_a_fork_amid_the_calls_of_other_threads(self, spawn: Spawn) -> None:
        """Each child can use everything, however the parent's threads were interrupted.

        (Without PyOS_AfterFork_Child the interpreter itself waits for them, for ever.)
        """
        parent = spawn(
            textwrap.dedent(WAYS["PyOS_AfterFork_Child"])
            + textwrap.dedent(f"""
            x, m = namedmap.Mutex("{NAME}"), namedmap.create("{NAME} m", 4096)
            stop = threading.Event()
            def busy(number):
                s = namedmap.Semaphore(f"{NAME} {{number}}", 1)
                while not stop.is_set():
                    with x: pass
                    s.acquire(); s.release()
                    namedmap.create(f"{NAME} c{{number}}", 100).close()
                    m.view().close()
                    time.sleep(0)  # no call of the compiled core gives way
            threads = [threading.Thread(target=busy, args=(n,)) for n in range(2)]
            for each in threads: each.start()
            bad = []
            often = sys.getswitchinterval()
            for _ in range(40):
                # A child that is to give way, before it has said that it has forked, waits for threads that it lacks.
                sys.setswitchinterval(1000)
                time.sleep(2 * often)  # until nobody waits who has not heard of it
                pid = fork()
                if pid: sys.setswitchinterval(often)
                if not pid:
                    signal.alarm({60})
                    m.view()[0] = 1
                    x.locked()
                    e = namedmap.Event("{NAME} e"); e.set(); e.close()
                    m.close()
                    os._exit(0)
                status = os.waitpid(pid, 0)[1]
                if status: bad.append(status)
            stop.set()
            for each in threads: each.join()
            say(bad)
            """)
        )
        assert parent.line() == "[]"
        assert parent.wait() == 0
        sweep()
