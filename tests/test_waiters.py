"""Those who wait: interrupted, stopped and killed ones, in containers of their own, and what waiting costs them."""

import os
import signal
import time
from collections.abc import Sequence
from typing import ClassVar

import pytest

from calls import close, message, object_path
from calls.kernel import futex, locks
from calls.sync import (
    ABANDONED,
    EVENT,
    LONG,
    MUTEX,
    SEMAPHORE,
    SHORT,
    TAKEN,
    TIMEOUT,
    Helpers,
    SyncKind,
    asleep,
    auto,
    each_sync_kind,
    in_child,
    manual,
    mutex,
    query_semaphore,
    semaphore,
    taken_by,
    wait,
    wait_any,
    waiters,
)
from child import WATCHDOG, Child, Spawn, forked
from child.users import unshared
from namedmap import win32

pytestmark = pytest.mark.usefixtures("tidy")

NAME = "waiters"


class TestSignalsOfTheSystem:
    """Ctrl-C and other signals reach a Python program that waits."""

    CALLS: ClassVar = {
        "one": f"win32.WaitForSingleObject(h, {LONG})",
        "for ever": "win32.WaitForSingleObject(h, win32.INFINITE)",
        "any": "win32.WaitForMultipleObjects(2, [h, quiet], False, win32.INFINITE)",
        "all": "win32.WaitForMultipleObjects(2, [h, quiet], True, win32.INFINITE)",
        "signal and wait": "win32.SignalObjectAndWait(quiet, h, win32.INFINITE, False)",
    }

    @each_sync_kind
    def test_ctrl_c(self, spawn: Spawn, kind: SyncKind) -> None:
        """KeyboardInterrupt; nothing is taken by the wait, then or later, and the next wait works."""
        made = kind.make(NAME)
        if kind is MUTEX:
            assert wait(made) == TAKEN
        child = spawn()
        child.run(f"h = win32.Open{kind.noun.title()}({kind.everything}, False, {NAME!r})")
        child.run("quiet = win32.CreateEvent(None, False, False, None)")
        for call, text in self.CALLS.items():
            child.run(f"""
                def interrupted():
                    try: return {text}
                    except KeyboardInterrupt: return "interrupted"
                """)
            for _ in range(2):
                child.start("value", "interrupted()")
                asleep(child)
                child.process.send_signal(signal.SIGINT)
                assert child.finish() == "interrupted", call
            assert kind.signal(made)
            assert wait(made) == TAKEN, call
        assert kind.signal(made)
        assert child.value("win32.WaitForSingleObject(h, 0)") == win32.WAIT_OBJECT_0

    def test_ctrl_c_ends_no_other_wait(self, spawn: Spawn) -> None:
        """Only the first thread hears of it; the others wait on, and what the process owns it still owns."""
        made = auto(name=NAME)
        owned = mutex(name=f"{NAME}-mutex")
        child = spawn()
        child.run(f"""
            h = win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, {NAME!r})
            m = win32.OpenMutex(win32.MUTEX_ALL_ACCESS, False, "{NAME}-mutex")
            quiet = win32.CreateEvent(None, False, False, None)
            taken = []
            def interrupted():
                t = threading.Thread(target=lambda: taken.append(win32.WaitForSingleObject(h, win32.INFINITE)))
                t.start()
                win32.WaitForSingleObject(m, 0)
                try: win32.WaitForSingleObject(quiet, win32.INFINITE)
                except KeyboardInterrupt: pass
                say("interrupted")
                t.join()
                return taken, win32.ReleaseMutex(m)
            """)
        child.start("value", "interrupted()")
        asleep(child)
        child.process.send_signal(signal.SIGINT)
        assert child.line() == "interrupted"
        assert wait(owned) == TIMEOUT
        assert win32.SetEvent(made)
        assert child.finish() == ([0], True)
        assert wait(owned) == TAKEN

    def test_handlers_run_and_the_wait_goes_on(self, spawn: Spawn) -> None:
        made = manual(name=NAME)
        child = spawn()
        child.run(f"""
            h = win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, {NAME!r})
            signal.signal(signal.SIGUSR1, lambda *_: say("handled"))
            """)
        for call, text in self.CALLS.items():
            child.run(f"quiet = win32.CreateEvent(None, True, {call == 'all'}, None)")
            child.start("value", text)
            asleep(child)
            for _ in range(5):
                child.process.send_signal(signal.SIGUSR1)
                assert child.line() == "handled", call
            assert win32.SetEvent(made)
            assert child.finish() == win32.WAIT_OBJECT_0, call
            assert win32.ResetEvent(made)

    @each_sync_kind
    def test_handlers_may_use_the_object(self, spawn: Spawn, kind: SyncKind) -> None:
        """Whenever they run: also in the middle of a call that has to do with the same object."""
        text = {
            "mutex": ("win32.ReleaseMutex(h)", "win32.WaitForSingleObject(h, 0); win32.ReleaseMutex(h)"),
            "semaphore": ("0", "win32.ReleaseSemaphore(h, 1, None)"),
            "event": ("0", "win32.SetEvent(h)"),
        }[kind.noun]
        child = spawn(f"""
            h = {kind.text.format(NAME)}
            ran = 0
            def handler(*_):
                global ran
                ran += 1
                {text[1]}
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            while ran < 500:
                assert win32.WaitForSingleObject(h, {LONG}) == 0
                {text[0]}
            signal.setitimer(signal.ITIMER_REAL, 0)
            say("done")
            """)
        assert child.line() == "done"
        assert child.wait() == 0

    def test_handlers_that_signal_lose_nothing(self, spawn: Spawn) -> None:
        """A handler releases the semaphore that the call under it is releasing, while threads wait: each gets one."""
        child = spawn(f"""
            s, taken, handled = win32.CreateSemaphore(None, 0, 2**31 - 1, None), [], []
            def take():
                while win32.WaitForSingleObject(s, {LONG}) == 0 and not over:
                    taken.append(1)
            def handler(*_):
                win32.ReleaseSemaphore(s, 1, None)
                handled.append(1)
            over, threads = False, [threading.Thread(target=take) for _ in range(3)]
            for each in threads: each.start()
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
            released = 0
            while len(handled) < 1500:
                win32.ReleaseSemaphore(s, 1, None)
                released += 1
                if not released % 3: time.sleep(0.0002)
            signal.setitimer(signal.ITIMER_REAL, 0)
            deadline = time.monotonic() + {WATCHDOG}
            while len(taken) < released + len(handled) and time.monotonic() < deadline: time.sleep(0.01)
            say(released + len(handled) - len(taken))
            over = True
            win32.ReleaseSemaphore(s, len(threads), None)
            """)
        assert child.line() == "0"
        assert child.wait() == 0

    def test_interrupts_at_any_moment(self, spawn: Spawn) -> None:
        """KeyboardInterrupt in the middle of anything leaves no guard held, and nobody queued who does not wait."""
        made = [auto(name=f"{NAME}-0"), semaphore(0, 1000, f"{NAME}-1"), mutex(name=f"{NAME}-2")]
        child = spawn(f"""
            hs = [win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, "{NAME}-0"),
                  win32.OpenSemaphore(win32.SEMAPHORE_ALL_ACCESS, False, "{NAME}-1"),
                  win32.OpenMutex(win32.MUTEX_ALL_ACCESS, False, "{NAME}-2")]
            times = 0
            class Interrupt(Exception): pass
            def handler(*_):
                raise Interrupt
            signal.signal(signal.SIGALRM, handler)
            def wait_somehow(turn):
                if turn % 3 == 0: win32.WaitForMultipleObjects(2, hs, False, {LONG})
                elif turn % 3 == 1: win32.WaitForMultipleObjects(2, hs, True, {LONG})
                else: win32.WaitForSingleObject(hs[turn % 2], {LONG})
            for turn in range(400):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.00005 * (1 + turn % 40))
                    wait_somehow(turn)
                except Interrupt:
                    times += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            while win32.ReleaseMutex(hs[2]): pass
            say(times); hear()
            """)
        assert child.line() == "400"
        assert [wait(handle) for handle in made] == [TIMEOUT, TIMEOUT, TAKEN]
        assert win32.SetEvent(made[0])
        assert win32.ReleaseSemaphore(made[1], 2, None)
        assert [wait(made[0]), wait(made[1]), wait(made[1])] == [TAKEN] * 3
        child.send("")
        assert child.wait() == 0

    @pytest.mark.parametrize(
        "call",
        [
            "win32.WaitForSingleObject(m, 0)",
            "win32.WaitForMultipleObjects(2, [e, m], False, 0)",
            "win32.WaitForMultipleObjects(2, [m, there], True, 0)",
            "win32.WaitForMultipleObjects(2, [m, e], True, 0)",
            "win32.SignalObjectAndWait(there, m, 0, False)",
        ],
        ids=["one", "any", "all", "all in vain", "signal and wait"],
    )
    def test_interrupts_leave_no_mutex_behind(self, spawn: Spawn, call: str) -> None:
        """A thread that was interrupted while it took or released a mutex owns it, or others can have it."""
        child = spawn(f"""
            import random
            from calls.kernel import parse
            m = win32.CreateMutex(None, False, {NAME!r})
            e, there = win32.CreateEvent(None, False, False, None), win32.CreateEvent(None, True, True, None)
            lock_file = os.open(namespace.current().path(parse({NAME!r})), os.O_RDWR)
            class Interrupt(Exception): pass
            def handler(*_):
                raise Interrupt
            signal.signal(signal.SIGALRM, handler)
            random.seed(1)
            left = []
            for turn in range(500):
                try:
                    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 3e-4))
                    while True:
                        {call}
                        win32.ReleaseMutex(m)
                except Interrupt:
                    pass
                while win32.ReleaseMutex(m): pass
                if locks.held_elsewhere(lock_file, locks.OWNER) or win32.WaitForSingleObject(m, 0) not in (0, 0x80):
                    left.append(turn)
                win32.ReleaseMutex(m)
            say(left)
            """)
        assert child.line() == "[]"
        assert child.wait() == 0


class TestForkingHandlers:
    """A handler that forks in the middle of a call, which both processes then go on with."""

    def test_in_a_release(self, spawn: Spawn) -> None:
        """The child's guard is not the parent's, and is dropped when its call ends."""
        child = spawn(f"""
            from calls.kernel import counted
            s = win32.CreateSemaphore(None, 0, 100, {NAME!r})
            post = counted.Counted.post
            def forking(self, *args, **kwargs):
                counted.Counted.post = post
                global pid
                pid = os.fork()
                return post(self, *args, **kwargs)
            counted.Counted.post = forking
            first = win32.ReleaseSemaphore(s, 1, None)
            if not pid:
                first = win32.ReleaseSemaphore(s, 1, None) and first
                say("child", first)
                signal.pause()
            say("parent", first, win32.ReleaseSemaphore(s, 1, None))
            hear()
            say(win32.ReleaseSemaphore(s, 1, None))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            """)
        assert sorted([child.line(), child.line()]) == ["child True", "parent True True"]
        child.send("")
        assert child.line() == "True"
        assert child.wait() == 0

    def test_in_taking_a_mutex(self, spawn: Spawn) -> None:
        """One of the two owns it."""
        child = spawn("""
            from calls.kernel import table
            m = win32.CreateMutex(None, False, None)
            held = table.get(m).object
            seize = held._seize
            def forking(words):
                result = seize(words)
                held._seize = seize
                global pid
                pid = os.fork()
                return result
            held._seize = forking
            result = win32.WaitForSingleObject(m, 0)
            if not pid:
                os._exit(result)
            say(result, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == win32.WAIT_TIMEOUT & 0xFF)
            """)
        assert child.line() == f"{int(win32.WAIT_OBJECT_0)} True"
        assert child.wait() == 0

    def test_the_thread_that_forked_ends_in_the_child(self, spawn: Spawn) -> None:
        """A mutex that it owns there is abandoned, though its process goes on."""
        child = spawn(f"""
            m = win32.CreateMutex(None, False, None)
            def work():
                assert win32.WaitForSingleObject(m, 0) == 0 and win32.ReleaseMutex(m)
                pid = os.fork()
                if pid:
                    os.waitpid(pid, 0)
                    return
                def other():
                    say(win32.WaitForSingleObject(m, {LONG}))
                    os._exit(0)
                assert win32.WaitForSingleObject(m, 0) == 0
                threading.Thread(target=other).start()
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            """)
        assert child.line() == str(int(win32.WAIT_ABANDONED))
        assert child.wait() == 0


class TestStuckGuards:
    """Somebody keeps the guard of an object (here by a lock, as a stopped process may): only its users feel it."""

    def lock(self, name: str) -> int:
        fd = os.open(object_path(name), os.O_RDWR | os.O_CLOEXEC)
        assert locks.try_lock(fd, locks.GUARD)
        return fd

    def test_in_a_wait_for_all(self, spawn: Spawn) -> None:
        """The other objects of the wait are there for others meanwhile; the wait itself says what is wrong."""
        made = [auto(name=f"{NAME}-{each}") for each in range(3)]
        fd = self.lock(f"{NAME}-1")
        child = spawn()
        child.run(f"hs = [win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, f'{NAME}-{{i}}') for i in range(3)]")
        text = f"(win32.WaitForMultipleObjects(3, hs, True, {LONG}), win32.GetLastError())"
        child.start("value", text)
        begin = time.monotonic()
        while time.monotonic() < begin + locks.GUARD_TIMEOUT + 0.5:
            assert win32.SetEvent(made[0]), message()
            assert wait(made[0]) == TAKEN
            time.sleep(0.05)
        assert child.finish() == (win32.WAIT_FAILED, win32.ERROR_LOCK_VIOLATION)
        os.close(fd)
        child.start("value", text)
        for each in made:
            assert win32.SetEvent(each)
        assert child.finish()[0] == win32.WAIT_OBJECT_0

    def test_leaving_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wait that times out is patient with one object at most, not with each of the eight that it leaves."""
        monkeypatch.setattr(locks, "GUARD_TIMEOUT", 0.25)
        made = [auto(name=f"{NAME}-{each}") for each in range(8)]
        held: list[int] = []
        waits: list[float] = []
        sleep, wait_for = futex.sleep, locks.wait_for

        def sleep_and_lock(words: Sequence[futex.Word], seconds: float) -> bool:
            if not held:
                held.extend(self.lock(f"{NAME}-{each}") for each in range(8))
            return sleep(words, seconds)

        def wait_for_and_tell(fd: int, start: int = locks.GUARD, patience: float | None = None) -> bool:
            waits.append(locks.GUARD_TIMEOUT if patience is None else patience)
            return wait_for(fd, start, patience)

        monkeypatch.setattr(futex, "sleep", sleep_and_lock)
        monkeypatch.setattr(locks, "wait_for", wait_for_and_tell)
        wait_any(made, 50)
        assert waits
        assert sum(waits) < 2 * locks.GUARD_TIMEOUT
        for fd in held:
            os.close(fd)


class TestStoppedAndDeadWaiters:
    """A waiter that does not run, or is no more, takes nothing from the others."""

    @pytest.fixture
    def pair(self, spawn: Spawn) -> list[Child]:
        return [spawn(), spawn()]

    def begin(self, children: list[Child], kind: SyncKind) -> None:
        for child in children:
            in_child(child, NAME, kind)
        asleep(*children)

    @pytest.mark.parametrize("kind", [SEMAPHORE, EVENT], ids=lambda kind: kind.noun)
    def test_a_stopped_waiter(self, pair: list[Child], kind: SyncKind) -> None:
        """One signal reaches the waiter that runs; a second one is the stopped waiter's, until it is killed."""
        made = kind.make(NAME)
        self.begin(pair, kind)
        pair[0].stop()
        assert kind.signal(made)
        assert pair[1].finish() == win32.WAIT_OBJECT_0
        assert kind.signal(made)
        assert wait(made, 20) == TIMEOUT
        pair[0].kill()
        assert wait(made, LONG) == TAKEN
        assert wait(made) == TIMEOUT

    @pytest.mark.parametrize("kind", [SEMAPHORE, EVENT], ids=lambda kind: kind.noun)
    def test_a_waiter_that_goes_on(self, pair: list[Child], kind: SyncKind) -> None:
        """It finds what came for it meanwhile."""
        made = kind.make(NAME)
        self.begin(pair[:1], kind)
        pair[0].stop()
        assert kind.signal(made)
        pair[0].resume()
        assert pair[0].finish() == win32.WAIT_OBJECT_0
        assert wait(made) == TIMEOUT

    def test_a_stopped_waiter_for_a_mutex(self, pair: list[Child]) -> None:
        """The mutex goes to those who run."""
        made = mutex(owned=True, name=NAME)
        self.begin(pair, MUTEX)
        pair[0].stop()
        assert win32.ReleaseMutex(made)
        assert pair[1].finish() == win32.WAIT_OBJECT_0
        assert pair[1].value("win32.ReleaseMutex(w)")
        assert wait(made, LONG) == TAKEN
        assert win32.ReleaseMutex(made)
        pair[0].resume()
        assert pair[0].finish() == win32.WAIT_OBJECT_0

    @each_sync_kind
    def test_a_killed_waiter(self, pair: list[Child], kind: SyncKind) -> None:
        """The next signal is for those who live."""
        made = kind.make(NAME)
        if kind is MUTEX:
            assert wait(made) == TAKEN
        self.begin(pair, kind)
        pair[0].kill()
        assert kind.signal(made)
        assert pair[1].finish() == win32.WAIT_OBJECT_0
        if kind is not MUTEX:
            assert kind.signal(made)
            assert wait(made) == TAKEN

    @pytest.mark.parametrize("kind", [SEMAPHORE, EVENT], ids=lambda kind: kind.noun)
    def test_all_waiters_are_killed(self, pair: list[Child], kind: SyncKind) -> None:
        """An object that is signaled then stays so for the next to come, once."""
        made = kind.make(NAME)
        self.begin(pair, kind)
        for child in pair:
            child.kill()
        assert kind.signal(made)
        assert [wait(made), wait(made)] == [TAKEN, TIMEOUT]

    @pytest.mark.parametrize("kind", [SEMAPHORE, EVENT], ids=lambda kind: kind.noun)
    def test_killed_between_signal_and_awakening(self, pair: list[Child], kind: SyncKind) -> None:
        """Permits that they were given but never took go back, up to the maximum."""
        made = kind.make(NAME)
        self.begin(pair, kind)
        for child in pair:
            child.stop()
        assert kind.signal(made)
        assert kind.signal(made)
        for child in pair:
            child.kill()
        left = 2 if kind is SEMAPHORE else 1
        assert [wait(made) for _ in range(left + 1)] == [TAKEN] * left + [TIMEOUT]

    def test_a_manual_event(self, pair: list[Child]) -> None:
        """A stopped waiter is released by a pulse, too, and finds out later."""
        made = manual(name=NAME)
        self.begin(pair, EVENT)
        pair[0].stop()
        assert win32.PulseEvent(made)
        assert pair[1].finish() == win32.WAIT_OBJECT_0
        pair[0].resume()
        assert pair[0].finish() == win32.WAIT_OBJECT_0

    def test_a_waiter_in_several_queues_is_killed(self, spawn: Spawn) -> None:
        """Those who wait for any of several objects too."""
        made = [auto(name=f"{NAME}-{index}") for index in range(3)]
        child = spawn()
        child.run(f'hs = [win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, "{NAME}-%d" % i) for i in range(3)]')
        child.start("value", f"win32.WaitForMultipleObjects(3, hs, False, {LONG})")
        asleep(child)
        child.stop()
        assert all(win32.SetEvent(handle) for handle in made)
        child.kill()
        assert [wait(handle) for handle in made] == [TAKEN] * 3


class TestForkDuringWaits:
    """A child has none of the threads that wait in its parent, and does not count as one."""

    @pytest.mark.parametrize("kind", [SEMAPHORE, EVENT], ids=lambda kind: kind.noun)
    @pytest.mark.parametrize("child_does", ["nothing", "signal", "wait", "close"])
    def test_the_waits_go_on(self, helpers: Helpers, kind: SyncKind, child_does: str) -> None:
        """Whatever the child does: each signal is for one of the parent's threads, and none is left over."""
        made = kind.make()
        threads = waiters(helpers, 2, wait, made, LONG)

        def body() -> None:
            if child_does == "signal":
                assert kind.signal(made)
            elif child_does == "wait":
                assert wait(made, 30) == TIMEOUT
            elif child_does == "close":
                close(made)

        with forked(body):
            pass
        assert kind.signal(made)
        assert child_does == "signal" or kind.signal(made)
        assert wait(made) == TIMEOUT
        assert taken_by(threads) == [TAKEN] * 2

    def test_a_child_that_lives_on(self, helpers: Helpers) -> None:
        """A signal while nobody waits any more stays, though the child was forked in the middle of a wait."""
        made, go_on = auto(), auto()
        (thread,) = waiters(helpers, 1, wait, made, SHORT)

        def body() -> None:
            assert wait(go_on, LONG) == TAKEN

        with forked(body):
            assert thread.result() == TIMEOUT
            assert win32.SetEvent(made)
            assert [wait(made), wait(made)] == [TAKEN, TIMEOUT]
            assert win32.SetEvent(go_on)


@pytest.mark.leaves_dead_files
class TestContainers:
    """Processes that share the directory of names, but number themselves and their threads alike."""

    PID = ("--pid", "--fork", "--mount-proc", "--kill-child")
    NAMESPACES: ClassVar = {"pid": PID, "user and pid": ("--user", "--map-root-user", *PID)}

    @pytest.fixture(params=NAMESPACES)
    def containers(self, request: pytest.FixtureRequest, spawn: Spawn) -> list[Child]:
        flags = self.NAMESPACES[request.param]
        made = [spawn(wrapper=unshared(*flags)) for _ in range(2)]
        assert [child.value("(os.getpid(), threading.get_native_id())") for child in made] == [(1, 1)] * 2
        return made

    @staticmethod
    def take(child: Child, milliseconds: int = 0) -> int:
        return int(child.value(f"win32.WaitForSingleObject(m, {milliseconds})"))

    def test_exclusion(self, containers: list[Child]) -> None:
        """Equal process and thread numbers are not the same owner."""
        made = mutex(name=NAME)
        for child in containers:
            child.run(f"m = win32.OpenMutex(win32.MUTEX_ALL_ACCESS, False, {NAME!r})")
        assert self.take(containers[0]) == win32.WAIT_OBJECT_0
        assert self.take(containers[1]) == win32.WAIT_TIMEOUT
        assert containers[1].value("win32.ReleaseMutex(m) or win32.GetLastError()") == win32.ERROR_NOT_OWNER
        assert wait(made) == TIMEOUT
        assert containers[0].value("win32.ReleaseMutex(m)")
        assert self.take(containers[1]) == win32.WAIT_OBJECT_0
        assert self.take(containers[0]) == win32.WAIT_TIMEOUT

    def test_abandonment(self, containers: list[Child]) -> None:
        """The end of a container is the end of its owners, for a waiter in another."""
        made = mutex(name=NAME)
        for child in containers:
            child.run(f"m = win32.OpenMutex(win32.MUTEX_ALL_ACCESS, False, {NAME!r})")
        assert self.take(containers[0]) == win32.WAIT_OBJECT_0
        containers[1].start("value", f"win32.WaitForSingleObject(m, {LONG})")
        containers[0].kill()
        assert containers[1].finish() == win32.WAIT_ABANDONED
        assert wait(made) == TIMEOUT
        containers[1].kill()
        assert wait(made, LONG) == ABANDONED

    def test_waking(self, containers: list[Child]) -> None:
        """Signals go from one to the other."""
        ready = auto(name=f"{NAME}-ready")
        made = semaphore(0, 5, NAME)
        for child in containers:
            child.run(f"s = win32.OpenSemaphore(win32.SEMAPHORE_ALL_ACCESS, False, {NAME!r})")
            child.run(f"r = win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, '{NAME}-ready')")
        containers[0].start("value", f"win32.SignalObjectAndWait(r, s, {LONG}, False)")
        assert wait(ready, LONG) == TAKEN
        assert containers[1].value("win32.ReleaseSemaphore(s, 1, None)")
        assert containers[0].finish() == win32.WAIT_OBJECT_0
        assert query_semaphore(made) == (0, 5)
