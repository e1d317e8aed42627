"""Threads, signal handlers and forks in the middle of things: counts stay right and nothing is lost."""

import pytest

from calls import close, message, object_files
from calls.kinds import KINDS, gone
from calls.memory import run
from child import Spawn
from namedmap import win32

THREADS = """
    import threading

    def together(work, count=8):
        threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
"""


def test_inheritable_handles_of_many_threads() -> None:
    """Threads that open and close inheritable handles leave no descriptor, no name and no failed call behind."""
    output = run(
        THREADS
        + """
    inheritable = win32.SECURITY_ATTRIBUTES(bInheritHandle=True)
    failed = []

    def work(i):
        for n in range(100):
            h = win32.CreateFileMapping(-1, inheritable, win32.PAGE_READWRITE, 0, 4096, f"inherit.{i}.{n}")
            if h is None or not win32.CloseHandle(h):
                failed.append(win32.GetLastError())

    before = len(os.listdir("/proc/self/fd"))
    together(work)
    names = [n for i in range(8) for n in range(100) if win32.OpenFileMapping(4, False, f"inherit.{i}.{n}")]
    print(failed, names, len(os.listdir("/proc/self/fd")) - before)
    """
    )
    assert output == "[] [] 0\n"
    assert object_files() == []


def test_a_create_that_fails_leaves_no_object() -> None:
    """An inheritable handle needs a second descriptor; without one the call fails, and the name does not exist."""
    output = run(
        """
        import resource
        inheritable = win32.SECURITY_ATTRIBUTES(bInheritHandle=True)
        win32.CloseHandle(win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, "warm"))
        highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, highest + 1))
        print(win32.CreateFileMapping(-1, inheritable, win32.PAGE_READWRITE, 0, 4096, "short"), win32.GetLastError())
        print(win32.OpenFileMapping(4, False, "short"), win32.GetLastError())
        """
    )
    assert output == f"None {int(win32.ERROR_TOO_MANY_OPEN_FILES)}\nNone {int(win32.ERROR_FILE_NOT_FOUND)}\n"


def test_commits_of_parent_and_child_that_only_have_the_view() -> None:
    """After the handle was closed and the process forked, both may commit pages: none of the commits is lost."""
    output = run(
        """
        pages = 1000
        size = pages * 4096
        h = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE | win32.SEC_RESERVE, 0, size, "commits")
        p = win32.MapViewOfFile(h, win32.FILE_MAP_ALL_ACCESS, 0, 0, 0)
        win32.CloseHandle(h)
        pid = os.fork()
        for n in range(pages):
            if n % 2 == bool(pid):
                win32.VirtualAlloc(p + n * 4096, 4096, win32.MEM_COMMIT, win32.PAGE_READWRITE)
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        print(query(p).size == size, query(p).state == win32.MEM_COMMIT)
        """
    )
    assert output == "True True\n"


def test_forks_while_other_threads_commit() -> None:
    """A fork and a commit take their locks in one order: neither waits for the other for ever."""
    output = run(
        THREADS
        + """
    h = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE | win32.SEC_RESERVE, 0, 1 << 24, "order")
    p = win32.MapViewOfFile(h, win32.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    done = []

    def work(i):
        if i:
            n = 0
            while not done:
                n = (n + 1) % 4096
                assert win32.VirtualAlloc(p + n * 4096, 4096, win32.MEM_COMMIT, win32.PAGE_READWRITE)
        else:
            for n in range(60):
                pid = os.fork()
                if not pid:
                    os._exit(0)
                os.waitpid(pid, 0)
            done.append(1)

    together(work, 4)
    print("fine")
    """
    )
    assert output == "fine\n"


def test_a_signal_handler_that_closes_handles() -> None:
    """A handler may close handles in the middle of the main program's own closing; the counts stay right."""
    output = run(
        """
        import signal, time
        from calls.kernel import named

        pending = []
        signal.signal(signal.SIGALRM, lambda *_: pending and win32.CloseHandle(pending.pop()))
        for n in range(1500):
            a = win32.CreateMutex(None, False, "handler")
            pending.append(win32.OpenMutex(win32.SYNCHRONIZE, False, "handler"))
            signal.setitimer(signal.ITIMER_REAL, 0.00001 + n % 40 * 0.000005)
            win32.CloseHandle(a)
            while pending:
                time.sleep(0.0001)  # a handler runs between two calls, not in a loop that makes none
            assert not named.holders, n
        print("fine")
        """
    )
    assert output == "fine\n"


def test_stores_while_another_thread_changes_copy_on_write() -> None:
    """The pages are writable before, between and after: a thread that stores into them is not killed."""
    output = run(
        THREADS
        + """
    h = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 65536, None)
    p = win32.MapViewOfFile(h, win32.FILE_MAP_ALL_ACCESS, 0, 0, 0)
    done = []

    def work(i):
        old = win32.DWORD()
        if i:
            while not done:
                ctypes.memset(p + 4096, 1, 8192)
        else:
            for n in range(600):
                protect = win32.PAGE_WRITECOPY if n % 2 else win32.PAGE_READWRITE
                assert win32.VirtualProtect(p, 65536, protect, old)
            done.append(1)

    together(work, 2)
    print("fine")
    """
    )
    assert output == "fine\n"


def test_an_inherit_flag_that_was_duplicated_from_outside(spawn: Spawn) -> None:
    """A handle that another process made inheritable reaches the receiver's own children."""
    receiver = spawn()
    receiver.run("win32.GetCurrentProcessId()")
    section = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, "handed.on")
    process = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, receiver.pid)
    assert section, message()
    assert process, message()
    there = win32.HANDLE()
    this, same = win32.GetCurrentProcess(), win32.DUPLICATE_SAME_ACCESS
    assert win32.DuplicateHandle(this, section, process, there, 0, True, same), message()
    code = f"from namedmap import win32; print(win32.MapViewOfFile({there.value}, 4, 0, 0, 0) is not None)"
    receiver.run(f"assert win32.MapViewOfFile({there.value}, 4, 0, 0, 0)")
    receiver.run(
        "import subprocess, sys; "
        f"output = subprocess.run([sys.executable, '-c', {code!r}], close_fds=False, stdout=-1, text=True).stdout"
    )
    assert receiver.value("output") == "True\n"
    receiver.end()
    close(section, process)
    assert gone(KINDS[0], "handed.on")


@pytest.mark.parametrize(
    "create", ["CreateFileMapping(-1, None, 4, 0, 4096, {0!r})", "CreateMutex(None, False, {0!r})"]
)
def test_creating_what_may_only_be_read(spawn: Spawn, second_user: int, create: str) -> None:
    """A Create that would give write access to another user's read-only object is refused, as the Open is."""
    name = "Global\\read.only"
    readable = win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor="D:(A;;GA;;;OW)(A;;GR;;;WD)")
    held = (
        win32.CreateMutex(readable, False, name)
        if create.startswith("CreateMutex")
        else win32.CreateFileMapping(-1, readable, win32.PAGE_READWRITE, 0, 4096, name)
    )
    assert held, message()
    other = spawn(uid=second_user)
    assert other.value(f"win32.{create.format(name)}") is None
    assert other.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED
    other.end()
    close(held)
