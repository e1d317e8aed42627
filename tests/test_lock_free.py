"""Mutexes, semaphores and events that are changed by compare-and-swap, next to processes that take the guard for it."""

import ctypes
import functools
import inspect
import os
import random
import re
import signal
import threading
import time
from pathlib import Path

import pytest

import namedmap
from calls.core import NONE_HERE
from calls.kernel import locks
from calls.words import ABANDONED, BUSY, COUNT, OWNER, SEATS, SEQUENCE, SLOW, WAITING, Words
from child import Child, Spawn, eventually, forked, program
from namedmap import inspection
from programs.interleavings import SCENARIOS

pytestmark = pytest.mark.skipif(not namedmap.native, reason=NONE_HERE)

NAME = "lock-free.object"
SCALE = float(os.environ.get("NAMEDMAP_TEST_SCALE", "1"))
NOBODY, SOMEBODY = 77, 78

#: With the core, and without.
modes = pytest.mark.parametrize("native", ["1", "0"])


def sit(words: Words, seat: int) -> int:
    """Lock the byte of a seat; the descriptor."""
    fd = os.open(words.path, os.O_RDWR)
    assert locks.try_lock(fd, SEATS + seat, exclusive=True)
    return fd


@pytest.fixture
def other(spawn: Spawn) -> Child:
    """A process without the core."""
    return spawn(environment={"NAMEDMAP_NATIVE": "0"})


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits for somebody to ask for its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def using(spawn: Spawn, native: str) -> Child:
    child = spawn(environment={"NAMEDMAP_NATIVE": native})
    assert child.value("namedmap.native") is (native == "1")
    child.run("import warnings; warnings.simplefilter('ignore', namedmap.AbandonedMutexWarning)")
    return child


class TestWhatDeathsLeave:
    """Whatever a process leaves that dies in the middle of a change, the next one goes on from."""

    @modes
    @pytest.mark.parametrize(
        ("word", "abandoned"),
        [
            (NOBODY, True),  # while it owned it
            (NOBODY | BUSY, True),  # and another, without the core, was looking
            (NOBODY | ABANDONED, True),  # while it gave it up for a thread that had ended
            (ABANDONED, True),  # after that
            (BUSY, False),  # about to take it, without the core
            (BUSY | ABANDONED, True),
            (0, False),
        ],
    )
    def test_a_mutex(self, spawn: Spawn, native: str, word: int, abandoned: bool) -> None:
        """The next one gets it, is told whether an owner had it, and leaves nothing of that behind."""
        made = namedmap.Mutex(NAME)
        Words(NAME)[OWNER] = word
        child = using(spawn, native)
        child.run(f"m = namedmap.Mutex.open({NAME!r})")
        assert child.value("m.acquire(5), m.abandoned, m.acquire(5), m.release(), m.release()") == (
            True, abandoned, True, None, None,
        )  # fmt: skip
        assert child.value("m.acquire(0), m.abandoned, m.release()") == (True, False, None)
        assert made.acquire(5)
        made.release()
        assert Words(NAME)[OWNER] == 0
        made.close()

    @modes
    def test_a_seat_that_is_taken(self, spawn: Spawn, native: str) -> None:
        """Nobody takes a mutex whose owner lives, whatever marks stand beside the seat; its death is noticed."""
        made = namedmap.Mutex(NAME)
        words = Words(NAME)
        child = using(spawn, native)
        child.run(f"m = namedmap.Mutex.open({NAME!r})")
        fd = sit(words, SOMEBODY)
        for word in (SOMEBODY, SOMEBODY | BUSY, SOMEBODY | ABANDONED):
            words[OWNER] = word
            assert child.value("m.acquire(0), m.acquire(0.05), m.locked()") == (False, False, True)
        child.start("value", "m.acquire(60), m.abandoned, m.release()")
        os.close(fd)
        assert child.finish() == (True, True, None)
        made.close()

    @modes
    def test_a_seat_is_not_taken_over(self, spawn: Spawn, native: str) -> None:
        """A newcomer never gets the seat of an owner that died: the mutex would seem to be the newcomer's."""
        made = namedmap.Mutex(NAME)
        words = Words(NAME)
        fds = [sit(words, seat) for seat in range(1, 2048) if seat != NOBODY]
        words[OWNER] = NOBODY
        child = using(spawn, native)
        child.run(f"m = namedmap.Mutex.open({NAME!r})")
        child.run("""
            try: m.acquire(0); said = "no error"
            except OSError as error: said = str(error)
            """)
        assert "2,047 processes" in child.value("said")
        os.close(fds.pop())
        assert child.value("m.acquire(5), m.abandoned, m.release()") == (True, True, None)
        for fd in fds:
            os.close(fd)
        made.close()

    @modes
    @pytest.mark.parametrize("count", [0, 2])
    def test_a_semaphore(self, spawn: Spawn, native: str, count: int) -> None:
        """The mark that somebody has the guard or waits is cleared by the next one, who finds the count beside it."""
        made = namedmap.Semaphore(NAME, count, 5)
        words = Words(NAME)
        words[COUNT], words[WAITING] = SLOW + count, 1
        child = using(spawn, native)
        child.run(f"s = namedmap.Semaphore.open({NAME!r})")
        assert child.value("s.value, s.release(), s.acquire(5), s.value") == (count, count, True, count)
        assert (words[COUNT], words[WAITING]) == (count, 0)
        with pytest.raises(ValueError, match="too many"):
            made.release(6 - count)
        assert made.release() == count
        made.close()

    @modes
    @pytest.mark.parametrize("manual", [False, True])
    def test_an_event(self, spawn: Spawn, native: str, manual: bool) -> None:
        """The same for events of both kinds."""
        made = namedmap.Event(NAME, manual=manual)
        words = Words(NAME)
        words[COUNT], words[WAITING] = SLOW, 1
        child = using(spawn, native)
        child.run(f"e = namedmap.Event.open({NAME!r})")
        assert child.value("e.is_set(), e.wait(0), e.set(), e.is_set(), e.wait(0), e.wait(0)") == (
            False, False, None, True, True, manual,
        )  # fmt: skip
        assert (words[COUNT], words[WAITING]) == (int(manual), 0)
        made.close()


class TestMixed:
    """A process with the core and one without it."""

    def test_a_mutex_goes_to_and_fro(self, other: Child) -> None:
        mutex = namedmap.Mutex(NAME)
        other.run(f"m = namedmap.Mutex.open({NAME!r})")
        for _ in range(20):
            assert mutex.acquire(0)
            assert other.value("m.acquire(0), m.locked(), m.owned()") == (False, True, False)
            mutex.release()
            assert other.value("m.acquire(0), m.acquire(0)") == (True, True)
            assert not mutex.acquire(0)
            assert other.value("m.release(), m.release()") == (None, None)
        mutex.close()

    def test_a_sleeper_is_woken(self, other: Child) -> None:
        """Either way, though one of the two makes no system call where nobody sleeps."""
        mutex, semaphore, event = namedmap.Mutex(NAME), namedmap.Semaphore(NAME + "s", 0), namedmap.Event(NAME + "e")
        other.run(f"n = {NAME!r}; m, s, e = namedmap.Mutex(n), namedmap.Semaphore(n + 's'), namedmap.Event(n + 'e')")
        mutex.acquire()
        other.start("value", "m.acquire(), s.acquire(), e.wait()")
        mutex.release()
        semaphore.release()
        event.set()
        assert other.finish() == (True, True, True)
        other.start("value", "(time.sleep(0.2), m.release(), s.release(), e.clear(), time.sleep(0.2), e.set())[0]")
        assert mutex.acquire(60)
        assert semaphore.acquire(60)
        other.finish()
        assert event.wait(60)
        mutex.release()
        for each in (mutex, semaphore, event):
            each.close()

    @pytest.mark.parametrize("kind", ["mutex", "semaphore"])
    def test_a_crowd_that_is_killed(self, kind: str) -> None:
        """Nobody is ever in the other's way, and no step is lost, whoever is killed wherever."""
        assert "no violation" in program("lock_free", kind, str(int(3 * SCALE)))


@modes
def test_interleavings(native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutex has one owner, who is told so, and what is abandoned stays so, whatever comes in the middle of a call."""
    made = namedmap.Mutex("interleavings")
    monkeypatch.setenv("NAMEDMAP_NATIVE", native)
    lines = program("interleavings").splitlines()
    places = [re.fullmatch(r"(.+): (\d+) places", line) for line in lines]
    assert [found[1] for found in places if found] == list(SCENARIOS), "\n".join(lines)
    assert all(found and int(found[2]) > 5 for found in places), "\n".join(lines)
    made.close()


def test_a_wait_for_all_wakes_who_saw_it(other: Child) -> None:
    """A process that has had the mutex for a moment, and not all, wakes one that sleeps because of that."""
    mutex, missing = namedmap.Mutex(NAME), namedmap.Event()
    words = Words(NAME)
    other.run(f"m, e = namedmap.Mutex({NAME!r}), namedmap.Event()")
    for attempt in (
        lambda: namedmap.wait_all([mutex, missing], 0),
        lambda: other.value("namedmap.wait_all([m, e], 0)"),
    ):
        words[WAITING], before = 1, words[SEQUENCE]
        assert attempt() is False
        assert (words[WAITING], words[SEQUENCE]) == (0, before + 1)
    mutex.close()
    missing.close()


class TestOwners:
    def test_a_fork_takes_no_seat_with_it(self, spawn: Spawn) -> None:
        """An owner that dies is noticed although its forked child lives on, whether Python or C has forked it."""
        mutex = namedmap.Mutex(NAME)
        for fork in ("os.fork()", "ctypes.CDLL(None).fork()"):
            owner = spawn(f"""
                m = namedmap.Mutex({NAME!r})
                m.acquire(0)
                pid = {fork}
                if pid: say(pid)
                signal.pause()
                """)
            pid = int(owner.line())
            owner.kill()
            with pytest.warns(namedmap.AbandonedMutexWarning):
                assert mutex.acquire(60)
            mutex.release()
            os.kill(pid, signal.SIGKILL)
            eventually(functools.partial(has_ended, pid), "the end of the child")
        mutex.close()

    def test_a_child_has_a_seat_of_its_own(self) -> None:
        mutex = namedmap.Mutex(NAME)
        mutex.acquire()

        def child() -> None:
            assert not mutex.owned()
            assert not mutex.acquire(0.05)
            assert mutex.locked()

        with forked(child):
            pass
        assert mutex.owned()
        mutex.release()
        with forked(lambda: mutex.acquire(5)):
            pass
        with pytest.warns(namedmap.AbandonedMutexWarning):
            assert mutex.acquire(5)
        mutex.release()
        mutex.close()

    def test_a_thread_that_ends(self) -> None:
        """A thread that took it without a call of Python code has abandoned it when it ends."""
        mutex = namedmap.Mutex(NAME)
        with mutex:
            pass
        thread = threading.Thread(target=mutex.acquire)
        thread.start()
        thread.join()
        with pytest.warns(namedmap.AbandonedMutexWarning):
            assert mutex.acquire(5)
        mutex.release()
        mutex.close()

    def test_only_its_owner_releases(self) -> None:
        mutex = namedmap.Mutex(NAME)
        mutex.acquire()
        said: list[object] = []

        def work() -> None:
            try:
                mutex.release()
            except namedmap.NotOwnerError as error:
                said.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert len(said) == 1
        mutex.release()
        with pytest.raises(namedmap.NotOwnerError):
            mutex.release()
        mutex.close()

    def test_who_owns_it_is_told(self, spawn: Spawn) -> None:
        """Looking at objects finds the owner, though it has made no system call."""
        child = spawn()
        child.run(f"m = namedmap.Mutex({NAME!r}); m.acquire(); m.release(); m.acquire()")
        found = next(each for each in inspection.objects() if each.name == NAME)
        assert found.state == {"owned": True, "abandoned": False}
        assert [(each.pid, each.owner) for each in found.holders] == [(child.pid, True)]
        child.end()


class TestCalls:
    def test_a_handle_that_is_closed_during_a_wait(self, spawn: Spawn) -> None:
        """The memory stays under the feet of a waiter, which is told."""
        mutex, keeper = namedmap.Mutex(NAME), namedmap.Mutex(NAME)
        holder = spawn(f"m = namedmap.Mutex({NAME!r}); m.acquire(); say('has it'); signal.pause()")
        assert holder.line() == "has it"
        said: list[object] = []

        def wait() -> None:
            try:
                said.append(mutex.acquire(60))
            except (ValueError, OSError) as error:
                said.append(type(error))

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        mutex.close()
        holder.kill()
        for thread in threads:
            thread.join()
        keeper.close()
        assert len(said) == 3

    def test_a_signal_ends_a_wait(self, spawn: Spawn) -> None:
        """Ctrl-C comes while the core sleeps; nothing is taken then, and others are not held up."""
        mutex = namedmap.Mutex(NAME)
        mutex.acquire()
        child = spawn(f"""
            signal.signal(signal.SIGINT, signal.default_int_handler)
            m = namedmap.Mutex({NAME!r})
            for _ in range(20):
                try: say("waiting"); m.acquire(); say("taken")
                except KeyboardInterrupt: pass
                say("interrupted", m.owned())
            hear()
            say(m.acquire(60), m.release())
            """)
        for _ in range(20):
            assert child.line() == "waiting"
            os.kill(child.pid, signal.SIGINT)
            assert child.line() == "interrupted False"
        mutex.release()
        child.send("")
        assert child.line() == "True None"
        assert child.wait() == 0
        mutex.close()

    @pytest.mark.parametrize("wait", ["Semaphore(n, 0).acquire", "Event(n, manual=False).wait"])
    def test_a_signal_ends_a_wait_for_a_count(self, spawn: Spawn, wait: str) -> None:
        """The exception of the handler arrives as it is, and the object is nobody's to wait for any more."""
        child = spawn(f"""
            signal.signal(signal.SIGINT, signal.default_int_handler)
            n = {NAME!r}
            wait = namedmap.{wait}
            wait(0)
            for _ in range(10):
                try: say("waiting"); wait()
                except BaseException as error: say(type(error).__name__)
            wait(0)
            hear()
            """)
        for _ in range(10):
            assert child.line() == "waiting"
            eventually(lambda: Words(NAME)[WAITING] == 1, "a sleeper")
            os.kill(child.pid, signal.SIGINT)
            assert child.line() == "KeyboardInterrupt"
        child.send("")
        assert child.wait() == 0

    @pytest.mark.parametrize("fork", ["os.fork", "ctypes.CDLL(None).fork"])
    @pytest.mark.parametrize("kind", ["Mutex", "Semaphore"])
    def test_a_handler_that_forks(self, spawn: Spawn, kind: str, fork: str) -> None:
        """Parent and child go on waiting; the child has neither the memory of the mutex nor the parent's locks."""
        made = namedmap.Mutex(NAME) if kind == "Mutex" else namedmap.Semaphore(NAME, 1)
        child = spawn(f"""
            made = namedmap.{kind}.open({NAME!r})
            made.acquire(0), made.release(), made.acquire(0), made.release()
            parent, pid = os.getpid(), 0
            def handler(*_):
                global pid
                pid = {fork}()
            signal.signal(signal.SIGUSR1, handler)
            say("ready")
            hear()
            waited = made.acquire(0.09)  # for so long the core waits by itself
            if os.getpid() != parent: os._exit(17 if waited is False else 1)
            say(pid, waited)
            say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            """)
        assert child.line() == "ready"
        assert made.acquire(5)
        child.send("")
        eventually(lambda: Words(NAME)[WAITING] == 1, "a sleeper")
        os.kill(child.pid, signal.SIGUSR1)
        pid, waited = child.line().split()
        assert (pid == "0", waited) == (False, "False")
        assert child.line() == "17"
        assert child.wait() == 0
        made.release()
        made.close()

    @pytest.mark.parametrize("use", ["m.acquire(), m.release()", "s.acquire(), s.release()", "e.set(), e.wait()"])
    def test_handlers_that_use_it(self, spawn: Spawn, use: str) -> None:
        """A handler of signals uses the object in the middle of any call for it: nothing is lost or doubled."""
        child = spawn(f"""
            m, s, e = namedmap.Mutex(), namedmap.Semaphore(None, 1, 1), namedmap.Event(manual=False)
            other = namedmap.Semaphore(None, 1, 2)
            ran = 0
            def handler(*_):
                global ran
                ran += 1
                if {use[0]!r} == "m": m.acquire(), m.release()
                elif {use[0]!r} == "s": s.acquire(0) and s.release()
                else: e.set()
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            while ran < 400:
                {use}
            signal.setitimer(signal.ITIMER_REAL, 0)
            say(m.locked(), s.value)
            """)
        assert child.line() == "False 1"
        assert child.wait() == 0

    def test_a_class_of_ones_own(self) -> None:
        """A subclass with an acquire of its own has it called by a with-statement."""

        class Counted(namedmap.Mutex):
            calls = 0

            def acquire(self, timeout: float | None = None) -> bool:
                self.calls += 1
                return super().acquire(timeout)

        with Counted(NAME) as mutex:
            assert mutex.owned()
        assert mutex.calls == 1
        assert not mutex.locked()
        mutex.close()

    def test_a_wait_that_goes_on_in_python(self) -> None:
        """The Python code waits for the rest of the time, not for all of it again."""
        left: list[float | None] = []

        class Watched(namedmap.Semaphore):
            def _acquire(self, timeout: float | None = None) -> bool:
                left.append(timeout)
                plain: bool = getattr(super(), "_acquire")(timeout)  # noqa: B009 - which only the core gives it
                return plain

        semaphore = Watched(NAME, 1)
        assert semaphore.acquire()
        for timeout in (0.02, 0.15):
            assert not semaphore.acquire(timeout)
            assert left[-1] is not None
            assert left[-1] < timeout
        semaphore.close()

    def test_a_long_wait_is_one_wait(self, spawn: Spawn) -> None:
        """A pulse releases who waits, also at the moment when the core's first sleep is over."""
        event = namedmap.Event(NAME, manual=False)
        child = spawn(f"e = namedmap.Event({NAME!r}); e.wait(0)\nfor _ in range(15): say(e.wait(5))")
        for _ in range(15):
            eventually(lambda: Words(NAME)[WAITING] == 1, "a sleeper")
            time.sleep(0.095 + random.random() / 100)
            event.pulse()
            assert child.line() == "True"
        assert child.wait() == 0
        event.close()

    def test_greenlets_run_meanwhile(self, spawn: Spawn) -> None:
        """Where only `time` is patched, a wait sleeps by that, and another greenlet can give what is waited for."""
        child = spawn("""
            semaphore = namedmap.Semaphore(None, 0)
            semaphore.acquire(0)
            def sleep(seconds): semaphore.release()
            sleep.__module__ = "gevent.hub"
            time.sleep = sleep
            say(semaphore.acquire(20))
            """)
        assert child.line() == "True"
        assert child.wait() == 0

    def test_an_exception_that_a_thread_is_sent(self) -> None:
        """It ends a wait for a count, as it ends one in Python."""
        semaphore, errors = namedmap.Semaphore(NAME, 0), []

        def work() -> None:
            try:
                semaphore.acquire(0)
                semaphore.acquire()
            except InterruptedError as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        eventually(lambda: Words(NAME)[WAITING] == 1, "a sleeper")
        ident = ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(InterruptedError))
        thread.join()
        assert len(errors) == 1
        semaphore.close()

    def test_arguments(self) -> None:
        """The methods in C judge what they are given as those in Python do."""
        mutex, semaphore, event = namedmap.Mutex(NAME), namedmap.Semaphore(None, 1, 2), namedmap.Event()
        for call in (mutex.acquire, semaphore.acquire, event.wait):
            for wrong in (-1, -0.5, float("nan")):
                with pytest.raises(ValueError, match="timeout"):
                    call(wrong)
            with pytest.raises(TypeError, match="timeout"):
                call("1")  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                call(1, 2)  # type: ignore[call-arg]
            with pytest.raises(TypeError):
                call(time=1)  # type: ignore[call-arg]
        assert mutex.acquire(timeout=True)
        assert mutex.acquire(1e300)
        assert semaphore.acquire(10**400)
        for count in (0, -1):
            with pytest.raises(ValueError, match="1 time or more"):
                semaphore.release(count)
        with pytest.raises(namedmap.LimitError):
            semaphore.release(3)
        assert semaphore.release(count=2) == 0
        with pytest.raises(TypeError):
            semaphore.release("1")  # type: ignore[arg-type]
        for each in (mutex, semaphore, event):
            each.close()
            with pytest.raises(ValueError, match="is closed"):
                (each.wait if isinstance(each, namedmap.Event) else each.acquire)()

    def test_deeper_than_a_number_goes(self) -> None:
        """A mutex that is owned as often as can be counted says so."""
        mutex = namedmap.Mutex(NAME)
        mutex.acquire()
        held = mutex._held
        assert held is not None
        held.recursion = 2**31 - 1  # type: ignore[attr-defined]
        with pytest.raises(OSError, match="times already"):
            mutex.acquire()
        held.recursion = 1  # type: ignore[attr-defined]
        mutex.release()
        mutex.close()

    def test_documentation(self) -> None:
        """help() shows for the methods in C what the classes say."""
        assert "Acquire for the calling thread" in str(namedmap.Mutex.acquire.__doc__)
        assert "Let all pass" in str(namedmap.Event.set.__doc__)
        assert str(inspect.signature(namedmap.Semaphore.release)) == "(self, /, count=1)"


def test_eventually_the_mark_goes(other: Child) -> None:
    """After a wait in vain the semaphore is changed without system calls again as soon as somebody has released it."""
    semaphore = namedmap.Semaphore(NAME, 0)
    assert not semaphore.acquire(0.01)
    semaphore.release()
    eventually(lambda: Words(NAME)[COUNT] == 1, "the end of the mark")
    semaphore.close()
