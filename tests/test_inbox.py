"""The inbox of a process, which others duplicate handles into: whatever comes in, and whenever, it goes on working."""

import array
import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from calls import as_system_call, message, sweep
from calls.kernel import inbox as module
from calls.kernel import namespace, procfs
from child import NOBODY, Child, Spawn, known_in
from child.users import needs_root, unshared
from namedmap import win32

UNKNOWN = 0x7FFFFFF0

GIVE = """
def give(pid, handle=None):
    process, out = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, pid), win32.HANDLE()
    handle = handle or win32.CreateMutex(None, False, None)
    done = win32.DuplicateHandle(-1, handle, process, out, 0, False, 2)
    return out.value if done else message()
"""


@pytest.fixture
def inbox() -> Iterator[Path]:
    """This process's own."""
    path = place_of(win32.GetCurrentProcessId())
    yield path
    module._close_inbox(str(path), os.getpid())


def place_of(pid: int) -> Path:
    return Path(namespace.current().local, f"{namespace.INBOX_PREFIX}{pid}-{procfs.started(pid)}")


def sender(inbox: Path) -> socket.socket:
    """Somebody who has connected and not sent anything yet."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.connect(str(inbox))
    return made


def post(inbox: Path, text: bytes, descriptors: Sequence[int] = ()) -> None:
    with sender(inbox) as out:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        out.sendmsg([text], rights)


def look() -> None:
    """Meet an unknown value, at which a process looks into its inbox."""
    assert not win32.CloseHandle(UNKNOWN)
    assert win32.GetLastError() == win32.ERROR_INVALID_HANDLE


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def friend(spawn: Spawn) -> Child:
    """Another process, which gives handles to this one."""
    child = spawn()
    child.run(GIVE)
    return child


def given(friend: Child) -> int:
    value = friend.value(f"give({os.getpid()})")
    assert isinstance(value, int), value
    return value


class TestSlowSenders:
    def test_one_that_has_not_sent_yet(self, inbox: Path, friend: Child) -> None:
        """A sender stopped between connecting and sending holds nobody up, and others' handles come through."""
        with sender(inbox):
            look()
            look()
            assert win32.CloseHandle(given(friend)), message()

    def test_it_sends_in_the_end(self, inbox: Path) -> None:
        """A handle that it sends later arrives as if nothing had been."""
        text = b'{"type": "Thread", "handle": 1073741832, "access": 1, "flags": 0}'
        with sender(inbox) as slow:
            look()
            slow.send(text)
        assert win32.CloseHandle(1073741832), message()

    def test_it_goes_without_a_message(self, inbox: Path) -> None:
        """Its connection takes no descriptor any more."""
        look()
        before = descriptors()
        with sender(inbox):
            look()
        look()
        assert descriptors() == before

    def test_many_that_never_send(self, inbox: Path, friend: Child) -> None:
        """They are given up, the oldest first, before they take all descriptors."""
        look()
        before = descriptors()
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(sender(inbox))
            look()
            assert descriptors() - before <= 300 + 64
            assert win32.CloseHandle(given(friend)), message()
        look()
        assert descriptors() == before


class TestSweeps:
    @pytest.mark.usefixtures("inbox")
    def test_they_leave_nothing_in_the_queue(self, friend: Child) -> None:
        """After 1,100 sweeps by others, which look at the inbox, handles can still be duplicated into the process."""
        friend.run("for _ in range(1100): namespace.current().sweep()")
        assert win32.CloseHandle(given(friend)), message()

    def test_between_bind_and_listen(self) -> None:
        """An inbox that does not listen yet is not a dead one."""
        path = place_of(1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as bound:
            bound.bind(str(path))
            sweep()
            assert path.exists()
        sweep()
        assert not path.exists()

    def test_several_that_meet(self, spawn: Spawn) -> None:
        """Sweepers that find the same dead inboxes at the same time: none fails."""
        local = Path(namespace.current().local)
        children = [spawn() for _ in range(3)]
        for _ in range(5):
            for number in range(100):
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
                    dead.bind(str(local / f"{namespace.INBOX_PREFIX}{number}-1"))
            for child in children:
                child.start("run", "namespace.current().sweep()")
            for child in children:
                child.finish()
        assert not list(local.glob("%inbox-*-1"))

    def test_one_that_another_has_removed_just_now(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The dead inbox goes between the look and the removal."""
        path = place_of(1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
            dead.bind(str(path))
        unlink = os.unlink

        def twice(name: str) -> None:
            unlink(name)
            unlink(name)

        monkeypatch.setattr(os, "unlink", as_system_call(twice))
        assert not namespace.current().remove_if_dead(str(path))


GARBAGE = [
    b"",
    b"{",
    b"[]",
    b"7",
    b"null",
    b'"x"',
    b"\xff",
    b"[" * 100_000,
    b'{"type":' * 20_000,
    b'{"type":"Section"}',
    b'{"type":[1]}',
    b'{"type":"Nothing","handle":1073741828,"access":0,"flags":0}',
    b'{"type":"Thread","handle":"x","access":0,"flags":0}',
    b'{"type":"Thread","handle":8,"access":0,"flags":0}',
    b'{"type":"Thread","handle":1073741829,"access":0,"flags":0}',
    b'{"type":"Thread","handle":1e9,"access":0,"flags":0}',
    b'{"type":"Thread","handle":true,"access":0,"flags":0}',
    b'{"type":"Thread","handle":[],"access":"a","flags":1}',
    b'{"type":"Thread","handle":1073741828,"access":null,"flags":null}',
    b'{"type":"Thread","handle":1073741828,"access":-1,"flags":0}',
    b'{"type":"Thread","handle":99999999999999999999,"access":0,"flags":0}',
    b'{"type":"Process","pid":"1","started":"1","handle":1073741828,"access":1,"flags":1}',
    b'{"type":"Process","pid":-1,"started":"1","handle":1073741828,"access":1,"flags":1}',
    b'{"type":"File","path":7,"handle":1073741828,"access":1,"flags":0}',
    b'{"type":"Section","path":"a\\u0000b","writable":true,"name":null,"handle":1073741828,"access":1,"flags":0}',
    b'{"type":"Mutant","path":null,"writable":true,"name":null,"handle":1073741832,"access":1,"flags":0}',
    b'{"type":"Mutant","path":null,"writable":1,"name":["a","b"],"handle":1073741832,"access":1,"flags":0}',
    b'{"type":"Mutant","path":null,"writable":true,"name":[true],"handle":1073741832,"access":1,"flags":0}',
]


class TestMalformed:
    @pytest.fixture
    def pipe(self) -> Iterator[tuple[int, int]]:
        ends = os.pipe()
        yield ends
        for fd in ends:
            os.close(fd)

    @pytest.mark.parametrize("text", GARBAGE, ids=lambda text: str(text[:50]))
    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_it_leaves_nothing(self, inbox: Path, text: bytes, number: int, pipe: tuple[int, int]) -> None:
        """The handle stays unknown, no exception comes out of the call that met it, and no descriptor stays."""
        look()
        before = descriptors()
        post(inbox, text, pipe[:number])
        look()
        for value in (0x40000004, 0x40000008):
            assert win32.WaitForSingleObject(value, 0) == win32.WAIT_FAILED
            assert not win32.CloseHandle(value)
        assert descriptors() == before

    def test_an_object_of_another_kind(self, inbox: Path) -> None:
        """The descriptor is that of an event, the message says mutex."""
        event = win32.CreateEvent(None, True, False, "of-another-kind")
        path = os.path.join(namespace.current().local, "of-another-kind")
        fd = os.open(path, os.O_RDWR)
        before = descriptors()
        post(
            inbox,
            b'{"type":"Mutant","path":null,"writable":true,"name":null,"handle":1073741832,"access":1,"flags":0}',
            [fd],
        )
        look()
        assert not win32.CloseHandle(1073741832)
        assert descriptors() == before
        os.close(fd)
        win32.CloseHandle(event)

    def test_a_value_that_is_taken(self, inbox: Path) -> None:
        """The handle that has the value stays what it is."""
        text = b'{"type":"%s","handle":1073741832,"access":%d,"flags":0}'
        post(inbox, text % (b"Thread", 1))
        post(inbox, text % (b"Thread", 2))
        look()
        assert win32.CloseHandle(1073741832)
        assert not win32.CloseHandle(1073741832)


class TestWhoIsMeant:
    def test_a_program_that_another_has_replaced(self, spawn: Spawn) -> None:
        """After exec the id and start time are those of the program before, whose inbox nobody looks into."""
        child = spawn(
            """
            if len(sys.argv) == 1:
                win32.GetCurrentProcessId()
                source = open("/proc/self/cmdline").read().split("\\0")[2]
                os.execv(sys.executable, [sys.executable, "-c", source, "again"])
            win32.GetCurrentProcessId()
            say("ready")
            value = int(hear())
            say(bool(win32.CloseHandle(value)))
            hear()
            """,
            forked=False,
        )
        assert child.line() == "ready"
        friend = spawn()
        friend.run(GIVE)
        value = friend.value(f"give({child.pid})")
        assert isinstance(value, int), value
        child.send(str(value))
        assert child.line() == "True"
        child.send("")
        child.wait()
        sweep()

    def test_a_process_that_has_ended(self, spawn: Spawn) -> None:
        """It takes no handles any more, and the error says why."""
        child = spawn()
        child.value("win32.GetCurrentProcessId()")
        process, out = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, child.pid), win32.HANDLE()
        child.end()
        mutex = win32.CreateMutex(None, False, None)
        assert not win32.DuplicateHandle(-1, mutex, process, out, 0, False, 2)
        assert win32.GetLastError() == win32.ERROR_ACCESS_DENIED
        assert "has ended" in message()
        win32.CloseHandle(mutex)
        win32.CloseHandle(process)

    @needs_root
    def test_another_process_with_the_id_of_an_ended_one(self, spawn: Spawn) -> None:
        """The later process gets nothing. (In a pid namespace, where the next id can be chosen.)"""
        child = spawn(
            """
            def start(tag):
                ours, theirs = os.pipe()
                ask, answer = os.pipe()
                pid = os.fork()
                if not pid:
                    os.close(answer)
                    win32.GetCurrentProcessId(); os.write(theirs, b"x")
                    os.read(ask, 1)
                    os._exit(0)
                os.close(ask); os.read(ours, 1)
                return pid, answer
            first, end = start("first")
            process = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, first)
            os.close(end); os.waitpid(first, 0)
            open("/proc/sys/kernel/ns_last_pid", "w").write(str(first - 1))
            second, end = start("second")
            mutex, out = win32.CreateMutex(None, False, None), win32.HANDLE()
            say(first == second, win32.DuplicateHandle(-1, mutex, process, out, 0, False, 2), "ended" in message())
            later = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, second)
            say(win32.CompareObjectHandles(process, later), win32.DuplicateHandle(-1, mutex, later, out, 0, False, 2))
            os.close(end); os.waitpid(second, 0)
            namespace.current().sweep()
            """,
            wrapper=unshared("--pid", "--fork", "--mount-proc"),
        )
        assert child.line() == "True False True"
        assert child.line() == "False True"
        child.wait()
        sweep()


@pytest.mark.usefixtures("inbox")
def test_nobody_else_can_reach_it(spawn: Spawn, second_user: int) -> None:
    """Another user can neither connect to an inbox nor put one there."""
    assert second_user == NOBODY
    stranger = spawn(uid=second_user)
    stranger.run(GIVE)
    assert isinstance(stranger.value(f"give({os.getpid()})"), str)
    assert not known_in(stranger, 0x40000004)
