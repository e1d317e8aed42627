"""Mutexes: recursion, ownership, and what becomes of them when their owner ends."""

import os
import threading
import time
from contextlib import suppress
from typing import ClassVar

import pytest

from calls import close, failed, had, message
from calls.kernel import named
from calls.sync import (
    ABANDONED,
    INHERITABLE,
    LONG,
    MUTEX,
    SHORT,
    TAKEN,
    TIMEOUT,
    Helper,
    Helpers,
    asleep,
    auto,
    exactly,
    in_child,
    manual,
    mutex,
    query_mutex,
    sigwait,
    taken_by,
    wait,
    wait_all,
    wait_any,
    waiters,
)
from child import WATCHDOG, Child, Spawn
from namedmap import win32

pytestmark = pytest.mark.usefixtures("tidy")

NAME = "mutexes"


def error_of_release(handle: int) -> int:
    return failed(win32.ReleaseMutex(handle))


def is_waiting(child: Child) -> bool:
    """Whether a child has not answered yet."""
    with suppress(FileNotFoundError), open(f"/proc/{child.pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0] in "SRD"
    return False


class TestMutex:
    """Recursive, owned by a thread."""

    @pytest.mark.parametrize("depth", [1, 2, 7])
    def test_as_many_releases_as_waits(self, helpers: Helpers, depth: int) -> None:
        """The last of them lets others in; one more is an error."""
        made = mutex()
        (other,) = helpers(1)
        assert [wait(made) for _ in range(depth)] == [TAKEN] * depth
        for _ in range(depth):
            assert other.do(wait, made) == TIMEOUT
            assert win32.ReleaseMutex(made)
        assert failed(win32.ReleaseMutex(made)) == win32.ERROR_NOT_OWNER
        assert other.do(wait, made) == TAKEN
        assert other.do(win32.ReleaseMutex, made)

    def test_initial_ownership_counts_once(self, helpers: Helpers) -> None:
        made = mutex(owned=True)
        assert wait(made) == TAKEN
        assert [win32.ReleaseMutex(made) for _ in range(3)] == [True, True, False]

    def test_every_wait_recurses(self) -> None:
        """Wait-any, wait-all and SignalObjectAndWait too."""
        made, there = mutex(), manual(True)
        results = [wait(made), wait_any([made, there]), wait_all([there, made]), sigwait(there, made)]
        assert results == [TAKEN] * 4
        assert query_mutex(made) == (-3, 1, 0)
        assert [win32.ReleaseMutex(made) for _ in range(5)] == [True] * 4 + [False]

    def test_two_handles_are_one_mutex(self) -> None:
        """Ownership is the object's: any handle releases it."""
        first, second = mutex(owned=True, name=NAME), mutex(name=NAME)
        assert wait(second) == TAKEN
        assert [win32.ReleaseMutex(handle) for handle in (first, second)] == [True, True]
        assert failed(win32.ReleaseMutex(first)) == win32.ERROR_NOT_OWNER

    def test_only_the_owner_releases(self, helpers: Helpers, spawn: Spawn) -> None:
        """Another thread or process gets ERROR_NOT_OWNER, and so does everybody when nobody owns it."""
        made = mutex(name=NAME)
        (other,) = helpers(1)
        child = spawn()
        child.run(f"m = win32.OpenMutex(win32.MUTEX_ALL_ACCESS, False, {NAME!r})")
        for owned in (False, True):
            if owned:
                assert wait(made) == TAKEN
            assert other.do(error_of_release, made) == win32.ERROR_NOT_OWNER
            assert child.value("win32.ReleaseMutex(m) or win32.GetLastError()") == win32.ERROR_NOT_OWNER
        assert win32.ReleaseMutex(made)

    def test_a_release_admits_one_waiter(self, helpers: Helpers) -> None:
        """Each of them once, none together with another."""
        made = mutex(owned=True)
        threads = waiters(helpers, 3, wait, made, LONG)
        assert win32.ReleaseMutex(made)
        while threads:
            exactly(threads, 1)
            (owner,) = (thread for thread in threads if not thread.pending)
            assert owner.result() == TAKEN
            threads.remove(owner)
            assert owner.do(win32.ReleaseMutex, made)

    def test_between_processes(self, spawn: Spawn) -> None:
        """A process sleeps until the owner, in another, releases."""
        made = mutex(owned=True, name=NAME)
        child = spawn()
        in_child(child, NAME, MUTEX)
        asleep(child)
        assert win32.ReleaseMutex(made)
        assert child.finish() == win32.WAIT_OBJECT_0
        assert wait(made) == TIMEOUT
        assert child.value("win32.ReleaseMutex(w)")
        assert wait(made) == TAKEN


class TestAbandonment:
    """The owner ends without releasing: the next one is told, once, and owns the mutex."""

    #: The ends of an owner.
    ENDS: ClassVar = {
        "exit": "sys.exit(0)",
        "an uncaught exception": "raise SystemExit(1)",
        "os._exit": "os._exit(0)",
        "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
        "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
        "exec": "os.execv('/bin/true', ['true'])",
        "exec, and living on": "os.execv('/bin/cat', ['cat'])",
        "the end of its thread": "return",
    }

    @pytest.mark.leaves_dead_files
    @pytest.mark.parametrize("inherit", [False, True], ids=["private", "inheritable"])
    @pytest.mark.parametrize("depth", [1, 3])
    @pytest.mark.parametrize("end", ENDS)
    def test_ways_to_end(self, spawn: Spawn, end: str, depth: int, inherit: bool) -> None:
        """However the owner ends, and however often it owns the mutex."""
        made = mutex(name=NAME)
        body = "t = threading.Thread(target=body); t.start(); t.join(); hear()" if "thread" in end else "body()"
        child = spawn(f"""
            m = win32.OpenMutex(win32.MUTEX_ALL_ACCESS, {inherit}, {NAME!r})
            def body():
                for _ in range({depth}): assert win32.WaitForSingleObject(m, 0) == 0
                say("owns"); hear()
                {self.ENDS[end]}
            {body}
            """)
        assert child.line() == "owns"
        assert wait(made) == TIMEOUT
        child.send("go")
        assert wait(made, LONG) == ABANDONED
        assert query_mutex(made) == (0, 1, 0)
        assert wait(made) == TAKEN
        assert [win32.ReleaseMutex(made) for _ in range(3)] == [True, True, False]
        assert wait(made) == TAKEN

    @pytest.mark.leaves_dead_files
    @pytest.mark.parametrize("asleep_before", [False, True])
    def test_several_wait_for_it(self, spawn: Spawn, helpers: Helpers, asleep_before: bool) -> None:
        """One is told; the others, who own it later, are not."""
        made = mutex(name=NAME)
        child = spawn()
        child.run(f"m = win32.CreateMutex(None, False, {NAME!r}); win32.WaitForSingleObject(m, 0)")
        threads = helpers(3)

        def take() -> str:
            result = wait(made, LONG)
            return result if win32.ReleaseMutex(made) else message()

        if asleep_before:
            for thread in threads:
                thread.start(take)
            asleep(*threads)
        child.kill()
        if not asleep_before:
            for thread in threads:
                thread.start(take)
        assert sorted(taken_by(threads)) == [ABANDONED, TAKEN, TAKEN]

    def test_the_end_of_a_thread(self, helpers: Helpers) -> None:
        """Unnamed mutexes, several at once; those that it has released are not abandoned."""
        made = [mutex() for _ in range(5)]
        (owner,) = helpers(1)
        assert [owner.do(wait, each) for each in made] == [TAKEN] * 5
        assert owner.do(win32.ReleaseMutex, made[2])
        owner.end()
        assert [wait(each) for each in made] == [ABANDONED, ABANDONED, TAKEN, ABANDONED, ABANDONED]
        assert all(win32.ReleaseMutex(each) for each in made)
        assert [wait(each) for each in made] == [TAKEN] * 5

    def test_a_waiter_in_the_same_process(self, helpers: Helpers) -> None:
        """It is woken by the end of the thread."""
        made = mutex()
        owner = Helper()
        assert owner.do(wait, made) == TAKEN
        (waiter,) = waiters(helpers, 1, wait, made, LONG)
        owner.end()
        assert waiter.result() == ABANDONED

    def test_a_new_thread_is_not_the_old_one(self) -> None:
        """The system gives identifiers of ended threads to new ones; ownership does not come with them."""
        seen = set()
        for _ in range(20):
            made = mutex()
            owner = Helper()
            assert owner.do(wait, made) == TAKEN
            seen.add(owner.do(threading.get_ident))
            owner.end()
            successor = Helper()
            seen.add(successor.do(threading.get_ident))
            assert successor.do(error_of_release, made) == win32.ERROR_NOT_OWNER
            assert successor.do(wait, made) == ABANDONED
            successor.end()
            assert wait(made) == ABANDONED
        assert len(seen) < 40

    def test_a_thread_that_fails(self) -> None:
        """An exception ends a thread as well as its function's end does."""
        made = mutex()
        hook, threading.excepthook = threading.excepthook, lambda _: None

        def fail() -> None:
            wait(made)
            raise ValueError

        try:
            thread = threading.Thread(target=fail)
            thread.start()
            thread.join(WATCHDOG)
        finally:
            threading.excepthook = hook
        assert wait(made) == ABANDONED

    def test_wait_any_adds_the_index(self, helpers: Helpers) -> None:
        made, nothing = mutex(), manual()
        (owner,) = helpers(1)
        assert owner.do(wait, made) == TAKEN
        owner.end()
        assert wait_any([nothing, nothing, made]) == "ABANDONED+2"
        assert query_mutex(made) == (0, 1, 0)
        assert wait_any([nothing, made]) == "OBJECT+1"

    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_wait_all_says_that_one_was(self, helpers: Helpers, index: int) -> None:
        """Without saying which; all are owned."""
        made = [mutex() for _ in range(3)]
        (owner,) = helpers(1)
        assert owner.do(wait, made[index]) == TAKEN
        owner.end()
        assert wait_all(made) == ABANDONED
        assert wait_all(made) == TAKEN
        assert [query_mutex(each) for each in made] == [(-1, 1, 0)] * 3

    def test_a_wait_that_takes_nothing_does_not_report(self, helpers: Helpers) -> None:
        """A wait-all that times out leaves the abandonment for the next one."""
        made, nothing = mutex(), auto()
        (owner,) = helpers(1)
        assert owner.do(wait, made) == TAKEN
        owner.end()
        assert wait_all([made, nothing]) == TIMEOUT
        assert wait_all([nothing, made], 20) == TIMEOUT
        assert query_mutex(made) == (1, 0, 1)
        assert wait(made) == ABANDONED

    def test_signal_and_wait_reports(self, helpers: Helpers) -> None:
        made, signaled = mutex(), manual()
        (owner,) = helpers(1)
        assert owner.do(wait, made) == TAKEN
        owner.end()
        assert sigwait(signaled, made) == ABANDONED

    def test_closing_a_handle_abandons_nothing(self, spawn: Spawn, helpers: Helpers) -> None:
        """The object lives on through another process; its owner is still a thread here, and releases it when it has
        opened it again."""
        child = spawn()
        made = mutex(owned=True, name=NAME)
        child.run(f"m = win32.OpenMutex(win32.MUTEX_ALL_ACCESS, False, {NAME!r})")
        assert wait(made) == TAKEN
        close(made)
        assert child.value("win32.WaitForSingleObject(m, 50)") == win32.WAIT_TIMEOUT
        again = mutex(name=NAME)
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
        assert query_mutex(again) == (-1, 1, 0)
        (other,) = helpers(1)
        assert other.do(error_of_release, again) == win32.ERROR_NOT_OWNER
        assert [win32.ReleaseMutex(again) for _ in range(3)] == [True, True, False]
        assert child.value("win32.WaitForSingleObject(m, 0)") == win32.WAIT_OBJECT_0

    @pytest.mark.parametrize("name", [None, NAME], ids=["unnamed", "named"])
    def test_closing_what_nobody_else_has(self, name: str | None) -> None:
        """Nothing of it stays, though its owner goes on."""
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            close(mutex(owned=True, name=name))
            assert not named.holders
            assert len(os.listdir("/proc/self/fd")) == before

    def test_a_thread_ends_after_closing(self, spawn: Spawn, helpers: Helpers) -> None:
        """Then it abandons what it owns, without a handle to it."""
        child = spawn()
        owner = Helper()
        made = owner.do(mutex, True, NAME)
        in_child(child, NAME, MUTEX)
        asleep(child)
        close(made)
        time.sleep(SHORT / 1000)
        assert is_waiting(child)
        owner.end()
        assert child.finish() == win32.WAIT_ABANDONED

    def test_closing_while_others_wait(self, helpers: Helpers) -> None:
        """Closing the handle that a thread waits through does not end its wait."""
        made = mutex(owned=True, name=NAME)
        second = mutex(name=NAME)
        (waiter,) = waiters(helpers, 1, wait, made, LONG)
        close(made)
        assert win32.ReleaseMutex(second)
        assert waiter.result() == TAKEN


@pytest.mark.leaves_dead_files
def test_exec_ends_ownership_but_not_the_handle(spawn: Spawn) -> None:
    """An inheritable handle survives exec; the program that was replaced does not, nor does its ownership."""
    made = had(win32.CreateMutex(INHERITABLE, False, NAME))
    code = """if 1:
        from namedmap import win32; import sys
        h = int(sys.argv[1])
        print(win32.ReleaseMutex(h), win32.WaitForSingleObject(h, 0), win32.WaitForSingleObject(h, 0), flush=True)
        sys.stdin.readline()
        """
    child = spawn(
        f"""
        h = int(sys.argv[1])
        assert win32.WaitForSingleObject(h, 0) == 0
        os.execv(sys.executable, [sys.executable, "-c", {code!r}, sys.argv[1]])
        """,
        str(made),
        inherit=True,
    )
    assert child.line() == f"False {int(win32.WAIT_ABANDONED)} 0"
    assert wait(made) == TIMEOUT
    child.send("")
    assert child.wait() == 0
    assert wait(made) == ABANDONED
