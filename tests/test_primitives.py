"""Mutex, Semaphore and Event as Python objects: made, opened, used, closed, dropped, sent to other processes."""

import concurrent.futures
import copy
import functools
import gc
import os
import pickle
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import namedmap
from calls import close, create, handle_count, load, object_files, unmap, view
from calls.kernel import named, owners, table
from calls.sync import Helpers, asleep, exactly, waiters
from child import WATCHDOG, Spawn, forked
from namedmap import AbandonedMutexWarning, Event, Mutex, Semaphore, win32
from namedmap.synchronization.primitives import Primitive

NAME = "primitives"
PRIMITIVES = (Mutex, Semaphore, Event)
Class = type[Mutex] | type[Semaphore] | type[Event]
each_class = pytest.mark.parametrize("cls", PRIMITIVES)
#: Past what a type checker lets through.
loose: Any = namedmap


@pytest.fixture(autouse=True)
def tidy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Objects that nobody refers to any more have closed their handles; a failed test's are closed."""
    failed = request.session.testsfailed
    before = set(table.by_value)  # of another module's test, which had no such rule
    yield
    if table.by_value:
        gc.collect()
    kept = [value for value in table.by_value if value not in before]
    if kept:
        for each in gc.get_objects():
            if issubclass(type(each), Primitive):
                each.close()
        for value in list(table.by_value):
            win32.CloseHandle(value)
        if request.session.testsfailed == failed:
            pytest.fail(f"handles were kept: {kept}")
    # Mutexes that were closed unreleased while others had them stay until their owner ends.
    owners.ended(owners.thread.owner)
    assert not named.holders


def gone(cls: Class, name: str = NAME) -> bool:
    try:
        cls.open(name).close()
    except FileNotFoundError:
        return True
    return False


def raised(call: Callable[[], object]) -> type[Exception] | None:
    """The exception of a call, if it raises one."""
    try:
        call()
    except Exception as error:
        return type(error)
    return None


def make(cls: Class) -> Mutex | Semaphore | Event:
    """An unnamed object that can be taken."""
    return Event(signaled=True) if cls is Event else cls()


def take(held: object, timeout: float | None = 0) -> bool:
    assert isinstance(held, Mutex | Semaphore | Event)
    return held.wait(timeout) if isinstance(held, Event) else held.acquire(timeout)


def abandon(name: str | None = None) -> Mutex:
    """A mutex whose owner has ended."""
    made = Mutex(name)
    thread = threading.Thread(target=made.acquire)
    thread.start()
    thread.join()
    return made


class TestVerbs:
    @each_class
    def test_create_open_and_open_or_create(self, cls: Class) -> None:
        """`created` says which it was; the constructor is open_or_create."""
        assert gone(cls)
        first = cls.create(NAME)
        others = [cls.open(NAME), cls.open_or_create(NAME), cls(NAME)]
        assert first.created
        assert not any(other.created for other in others)
        assert {other.name for other in (first, *others)} == {NAME}
        assert handle_count(first.handle) == 4
        for each in (first, *others):
            each.close()
        for verb in (cls, cls.open_or_create):
            again = verb(NAME)
            assert again.created
            again.close()

    @each_class
    def test_names_are_optional(self, cls: Class) -> None:
        """None, the default, makes an object of one's own."""
        objects = [cls(), cls.create(), cls.open_or_create(), cls(None), cls.create(None)]
        assert all(each.name is None and each.created for each in objects)
        assert len({each.handle for each in objects}) == len(objects)
        assert object_files() == []

    @each_class
    def test_the_empty_name_is_an_error(self, cls: Class) -> None:
        """A name that is missing by mistake turns no lock off."""
        for make in (cls, cls.create, cls.open_or_create, cls.open):
            with pytest.raises(ValueError, match="empty"):
                make("")

    @each_class
    def test_one_name_space_with_win32(self, cls: Class) -> None:
        """The handle and the name work in namedmap.win32, Local\\ being where names without a prefix are."""
        made = cls.create(f"Local\\{NAME}")
        opener = getattr(win32, f"Open{cls.__name__}")
        handle = opener(win32.SYNCHRONIZE, False, NAME)
        assert handle
        assert win32.CloseHandle(handle)
        assert win32.WaitForSingleObject(made.handle, 0) in (win32.WAIT_OBJECT_0, win32.WAIT_TIMEOUT)

    def test_the_first_decides(self) -> None:
        """Later ones keep the values, the kind of event and the owner of the first."""
        semaphore, event, mutex = Semaphore("s", 1, 2), Event("e", manual=False, signaled=True), Mutex("m")
        assert (Semaphore("s", 5, 9).value, Semaphore("s", 5, 9).maximum) == (1, 2)
        assert not Event("e", manual=True).manual
        assert Event("e").is_set()
        assert not Mutex("m").locked()
        for each in (semaphore, event, mutex):
            each.close()

    def test_defaults(self) -> None:
        """A semaphore of 1 without a bound, a manual-reset event that is clear, a mutex that is free."""
        assert (Semaphore().value, Semaphore().maximum) == (1, 2**31 - 1)
        assert (Event().manual, Event().is_set()) == (True, False)
        assert not Mutex().locked()
        assert (Semaphore.create(value=0).value, Semaphore.create(value=7, maximum=7).maximum) == (0, 7)

    def test_an_owned_mutex(self, helpers: Helpers) -> None:
        """`owned` gives it to the creating thread, once."""
        (other,) = helpers(1)
        made = Mutex.create(NAME, owned=True)
        assert (made.owned(), made.locked()) == (True, True)
        assert not other.do(made.acquire, 0)
        made.release()
        assert raised(made.release) is namedmap.NotOwnerError
        with pytest.raises(FileExistsError):
            Mutex.create(NAME, owned=True)
        assert not made.locked()

    def test_between_processes(self, spawn: Spawn) -> None:
        """Another process opens what this one made, and the last to close it takes it away."""
        child = spawn()
        made = [cls.create(f"{NAME}{cls.__name__}") for cls in PRIMITIVES]
        child.run("import namedmap")
        for cls in PRIMITIVES:
            child.run(f"{cls.__name__} = namedmap.{cls.__name__}.open({NAME + cls.__name__!r})")
            assert not child.value(f"{cls.__name__}.created")
        for each in made:
            each.close()
        assert [gone(cls, NAME + cls.__name__) for cls in PRIMITIVES] == [False] * 3
        child.run("for each in (Mutex, Semaphore, Event): each.close()")
        assert [gone(cls, NAME + cls.__name__) for cls in PRIMITIVES] == [True] * 3

    @pytest.mark.parametrize("name", [5, b"name", 1.5, ["name"]])
    @each_class
    def test_names_are_text(self, cls: Any, name: object) -> None:
        for verb in (cls, cls.create, cls.open, cls.open_or_create):
            assert raised(functools.partial(verb, name)) is TypeError


class TestMutex:
    def test_acquire_and_release(self, helpers: Helpers) -> None:
        """It keeps others out until it was released as often as it was acquired."""
        mutex = Mutex()
        (other,) = helpers(1)
        assert [mutex.acquire(), mutex.acquire(0), mutex.acquire(0.5)] == [True] * 3
        for _ in range(3):
            assert not other.do(mutex.acquire, 0)
            assert (mutex.owned(), mutex.locked()) == (True, True)
            assert (other.do(mutex.owned), other.do(mutex.locked)) == (False, True)
            mutex.release()
        assert (mutex.owned(), mutex.locked()) == (False, False)
        assert other.do(mutex.acquire, 0)
        other.do(mutex.release)

    def test_with(self, helpers: Helpers) -> None:
        """The block owns it, gives the mutex itself, and releases it however it ends."""
        mutex = Mutex(NAME)
        (other,) = helpers(1)
        with mutex as same, mutex:
            assert same is mutex
            assert not other.do(mutex.acquire, 0)
        with pytest.raises(KeyError), mutex:
            raise KeyError
        assert not mutex.locked()
        assert not mutex.closed

    def test_a_time_that_passes_is_a_result(self, helpers: Helpers) -> None:
        """False, not before the time is over; nothing has changed."""
        mutex = Mutex()
        (other,) = helpers(1)
        other.do(mutex.acquire)
        before = time.monotonic()
        assert not mutex.acquire(0.05)
        assert time.monotonic() - before >= 0.05
        assert not mutex.owned()
        other.do(mutex.release)

    def test_only_the_owner_releases(self, helpers: Helpers, spawn: Spawn) -> None:
        """Another thread or process gets a RuntimeError, and so does everybody when nobody owns it."""
        mutex = Mutex(NAME)
        (other,) = helpers(1)
        child = spawn()
        child.run(f"import namedmap\nmutex = namedmap.Mutex.open({NAME!r})")
        mutex.acquire()
        assert other.do(raised, mutex.release) is namedmap.NotOwnerError
        child.run(
            """
            try: mutex.release()
            except RuntimeError as error: assert error.winerror == 288
            else: raise AssertionError
            """
        )
        assert not child.value("mutex.acquire(0)")
        mutex.release()
        assert other.do(raised, mutex.release) is namedmap.NotOwnerError
        assert child.value("mutex.acquire(0) and mutex.owned()")
        assert (mutex.acquire(0), mutex.locked(), mutex.owned()) == (False, True, False)
        child.run("mutex.release()")

    def test_two_objects_of_one_mutex(self) -> None:
        """Ownership is the mutex's: any of them releases it."""
        first, second = Mutex(NAME), Mutex(NAME)
        with first:
            assert second.owned()
            assert second.acquire(0)
            second.release()
        assert not second.locked()

    def test_closing_does_not_release(self, helpers: Helpers) -> None:
        """As on Windows: the owner keeps it, and finds it again, until it ends."""
        (owner,) = helpers(1)
        mutex, other = Mutex(NAME), Mutex(NAME)
        owner.do(other.acquire)
        other.close()
        assert not mutex.acquire(0)
        again = Mutex(NAME)
        owner.do(again.release)
        assert mutex.acquire(0)


class TestAbandoned:
    def test_it_is_acquired_and_reported(self) -> None:
        """By a warning of its own category that names it, and by `abandoned`."""
        mutex = abandon(NAME)
        assert not mutex.locked()
        with pytest.warns(AbandonedMutexWarning, match=NAME) as caught:
            assert mutex.acquire(0)
        assert len(caught) == 1
        assert issubclass(AbandonedMutexWarning, RuntimeWarning)
        assert mutex.abandoned
        assert mutex.owned()
        mutex.release()
        assert mutex.abandoned  # until the next time

    def test_it_is_reported_once(self, helpers: Helpers) -> None:
        """The next owner finds an ordinary mutex; recursion is not reported either."""
        mutex = abandon()
        (other,) = helpers(1)
        with pytest.warns(AbandonedMutexWarning):
            mutex.acquire()
        assert mutex.acquire()
        assert not mutex.abandoned
        mutex.release()
        mutex.release()
        assert mutex.acquire()
        assert not mutex.abandoned
        mutex.release()
        assert other.do(mutex.acquire)
        other.do(mutex.release)

    def test_only_to_the_object_that_acquired_it(self) -> None:
        """`abandoned` is of the acquisition, so of the object it went through."""
        mutex = abandon(NAME)
        other = Mutex(NAME)
        with pytest.warns(AbandonedMutexWarning):
            other.acquire()
        assert (mutex.abandoned, other.abandoned) == (False, True)
        other.release()

    @pytest.mark.parametrize(
        "statement",
        ["mutex.acquire()", "mutex.acquire(5)", "mutex.__enter__()", "wait_any([mutex])", "wait_all([mutex], 5)"],
    )
    def test_the_warning_points_at_the_caller(self, statement: str) -> None:
        """At the line that acquired it, whichever way."""
        names = {"mutex": abandon(), "wait_any": namedmap.wait_any, "wait_all": namedmap.wait_all}
        with pytest.warns(AbandonedMutexWarning) as caught:
            exec(compile(f"\n\n{statement}", "<the caller>", "exec"), names)
        assert [(each.filename, each.lineno) for each in caught] == [("<the caller>", 3)]

    def test_with_points_at_the_caller(self) -> None:
        mutex = abandon()
        with pytest.warns(AbandonedMutexWarning) as caught, mutex:
            pass
        assert [each.filename for each in caught] == [__file__]

    def test_a_waiter_is_told(self, helpers: Helpers) -> None:
        """The thread that was asleep when the owner ended."""
        owner, waiter = helpers(2)
        mutex = Mutex()
        owner.do(mutex.acquire)

        def wait() -> bool:
            with pytest.warns(AbandonedMutexWarning):
                return mutex.acquire() and mutex.abandoned

        waiter.start(wait)
        asleep(waiter)
        owner.end()
        assert waiter.result()
        waiter.do(mutex.release)

    @pytest.mark.leaves_dead_files
    def test_by_a_killed_process(self, spawn: Spawn) -> None:
        child = spawn()
        mutex = Mutex(NAME)
        child.run(f"import namedmap\nmutex = namedmap.Mutex({NAME!r}); mutex.acquire(); mutex.acquire()")
        assert not mutex.acquire(0)
        child.kill()
        with pytest.warns(AbandonedMutexWarning):
            assert mutex.acquire(WATCHDOG)
        mutex.release()
        assert raised(mutex.release) is namedmap.NotOwnerError

    def test_as_an_error(self) -> None:
        """Where the warning is made an error the acquisition has failed: the mutex is free again."""
        for acquire in (Mutex.acquire, Mutex.__enter__, lambda mutex: namedmap.wait_any([mutex])):
            mutex = abandon()
            with warnings.catch_warnings():
                warnings.simplefilter("error", AbandonedMutexWarning)
                with pytest.raises(AbandonedMutexWarning):
                    acquire(mutex)
            assert mutex.abandoned
            assert not mutex.locked()
            assert mutex.acquire(0)
            mutex.release()

    def test_never_silently(self) -> None:
        """By default the warning is printed."""
        script = """
            import threading, namedmap
            mutex = namedmap.Mutex()
            thread = threading.Thread(target=mutex.acquire)
            thread.start(); thread.join()
            mutex.acquire()
            """
        result = run_python(script)
        assert result.returncode == 0
        assert "AbandonedMutexWarning: <namedmap.Mutex unnamed> was abandoned" in result.stderr
        assert "mutex.acquire()" in result.stderr or "<string>:6" in result.stderr


class TestSemaphore:
    def test_acquire_and_release(self, helpers: Helpers) -> None:
        """The value goes down and up; anybody may release; release tells what it was."""
        semaphore = Semaphore(None, 2, 5)
        (other,) = helpers(1)
        assert [semaphore.acquire(), semaphore.acquire(0), semaphore.acquire(0)] == [True, True, False]
        assert (semaphore.value, semaphore.maximum) == (0, 5)
        assert [semaphore.release(), other.do(semaphore.release, 3), semaphore.value] == [0, 1, 4]

    def test_with(self) -> None:
        """The block takes 1 and gives it back however it ends."""
        semaphore = Semaphore(None, 2)
        with semaphore as same, semaphore:
            assert same is semaphore
            assert semaphore.value == 0
        with pytest.raises(KeyError), semaphore:
            raise KeyError
        assert semaphore.value == 2

    @pytest.mark.parametrize("count", [0, -1, -(2**31), -(2**40)])
    def test_nothing_less_than_one_is_released(self, count: int) -> None:
        semaphore = Semaphore()
        assert raised(lambda: semaphore.release(count)) is ValueError
        assert semaphore.value == 1

    @pytest.mark.parametrize("count", [1.5, 1.0, "1", None])
    def test_counts_are_whole_numbers(self, count: object) -> None:
        """Anything else is a TypeError, and releases nobody."""
        semaphore: Any = Semaphore(None, 0, 5)
        assert raised(lambda: semaphore.release(count)) is TypeError
        assert semaphore.value == 0

    @pytest.mark.parametrize(("value", "maximum"), [(1.5, 3), ("1", 3), (1, "3"), (1, 2.5)])
    def test_values_are_whole_numbers(self, value: object, maximum: object) -> None:
        assert raised(lambda: loose.Semaphore(None, value, maximum)) is TypeError

    def test_is_read_only(self) -> None:
        """Value, maximum and the rest are told, not set."""
        for held, names in ((Semaphore(), ("value", "maximum")), (Event(), ("manual", "name", "created", "handle"))):
            for name in names:
                with pytest.raises(AttributeError):
                    setattr(held, name, 1)


class TestEvent:
    def test_a_manual_one_lets_all_pass(self, helpers: Helpers) -> None:
        """Those who wait and those who come, until it is cleared."""
        event = Event()
        threads = waiters(helpers, 3, event.wait)
        event.set()
        assert [thread.result() for thread in threads] == [True] * 3
        assert [event.wait(), event.wait(0), event.is_set()] == [True] * 3
        event.clear()
        assert [event.wait(0), event.is_set()] == [False] * 2

    def test_is_set_takes_nothing(self) -> None:
        for manual in (False, True):
            event = Event(manual=manual, signaled=True)
            assert [event.is_set() for _ in range(3)] == [True] * 3
            assert event.wait(0)
            assert event.is_set() == manual

    def test_a_pulse(self, helpers: Helpers) -> None:
        """Releases who waits, and leaves the event clear; nobody who comes later passes."""
        for manual in (True, False):
            event = Event(manual=manual)
            (thread,) = waiters(helpers, 1, event.wait)
            event.pulse()
            assert thread.result()
            event.pulse()
            assert not event.wait(0)

    def test_with_closes_it(self) -> None:
        """The block gives the event itself; at its end, however it ends, it is closed."""
        with Event.create(NAME) as event:
            event.set()
            assert not gone(Event)
        assert event.closed
        assert gone(Event)
        with pytest.raises(KeyError), Event(NAME) as event:
            raise KeyError
        assert event.closed

    def test_a_time_that_passes_is_a_result(self) -> None:
        for manual in (True, False):
            before = time.monotonic()
            assert not Event(manual=manual).wait(0.05)
            assert time.monotonic() - before >= 0.05


TIMED: tuple[tuple[str, Callable[[], Callable[[Any], bool]]], ...] = (
    ("mutex", lambda: Mutex().acquire),
    ("semaphore", lambda: Semaphore().acquire),
    ("manual event", lambda: Event(signaled=True).wait),
    ("automatic event", lambda: Event(manual=False, signaled=True).wait),
)


class TestTimeouts:
    @pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), -float("inf"), "1", [], 1j])
    @pytest.mark.parametrize("kind", TIMED, ids=lambda kind: kind[0])
    def test_times_that_cannot_be(self, kind: tuple[str, Callable[[], Callable[[Any], bool]]], timeout: object) -> None:
        """They are refused even if there is nothing to wait for, and take nothing."""
        wait = kind[1]()
        expected = ValueError if isinstance(timeout, int | float) else TypeError
        assert raised(lambda: wait(timeout)) is expected
        assert wait(0)

    @pytest.mark.parametrize("timeout", [None, 0, 0.0, -0.0, 1e-9, 1, 1e9, 1e300, float("inf")])
    @pytest.mark.parametrize("kind", TIMED, ids=lambda kind: kind[0])
    def test_what_is_there_is_had_at_any_time(
        self, kind: tuple[str, Callable[[], Callable[[Any], bool]]], timeout: float | None
    ) -> None:
        assert kind[1]()(timeout)

    @pytest.mark.parametrize("timeout", [None, 1e9, 1e300, float("inf")])
    def test_long_ones_wait(self, helpers: Helpers, timeout: float | None) -> None:
        """A time beyond what clocks can count to is for ever."""
        event = Event()
        (thread,) = waiters(helpers, 1, event.wait, timeout)
        event.set()
        assert thread.result()


class TestClosed:
    def test_everything_is_a_value_error(self) -> None:
        """As with a closed file: no call works, but close and what does not need the object."""
        mutex, semaphore, event = Mutex(), Semaphore(), Event(NAME)
        for each in (mutex, semaphore, event):
            each.close()
            each.close()
            assert each.closed
        calls: list[Callable[[], object]] = [
            mutex.acquire, lambda: mutex.acquire(0), mutex.release, mutex.locked, mutex.owned, mutex.__enter__,
            semaphore.acquire, semaphore.release, lambda: semaphore.value, lambda: semaphore.maximum,
            semaphore.__enter__, event.set, event.clear, event.pulse, event.is_set, event.wait, lambda: event.wait(0),
            lambda: event.manual, lambda: mutex.handle, lambda: namedmap.wait_any([event]),
            lambda: namedmap.wait_all([Event(), mutex], 0),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(ValueError, match="closed"):
                call()
        assert (event.name, event.created, "closed" in repr(event)) == (NAME, True, True)

    def test_during_a_wait(self, helpers: Helpers) -> None:
        """The waiters go on waiting, and get what comes, as on Windows."""
        event, other = Event(NAME), Event(NAME)
        (thread,) = waiters(helpers, 1, event.wait)
        event.close()
        other.set()
        assert thread.result()

    def test_closing_leaves_others_alone(self) -> None:
        """Two objects of one name are two handles."""
        first, second = Event(NAME), Event(NAME)
        first.close()
        second.set()
        assert second.wait(0)

    @each_class
    def test_by_many_threads_at_once(self, cls: Class, helpers: Helpers) -> None:
        """The handle is closed once: nobody else's, that got its number, goes with it."""
        threads = helpers(4)
        for _ in range(50):
            held = cls()
            for thread in threads:
                thread.start(held.close)
            others = [cls() for _ in range(4)]
            for thread in threads:
                thread.result()
            assert len({each.handle for each in others}) == 4
            assert all(win32.GetHandleInformation(each.handle, win32.DWORD()) for each in others)


class TestDropping:
    @each_class
    def test_the_last_reference_closes(self, cls: Class) -> None:
        """Without a warning; the object goes at once."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            held: object = cls(NAME)
            assert not gone(cls)
            del held
            assert gone(cls)
        assert not table.by_value

    @each_class
    def test_in_a_cycle(self, cls: Any) -> None:
        """The garbage collector does it."""
        held = cls(NAME)
        held.me = held
        del held
        gc.collect()
        assert gone(cls)

    @each_class
    def test_one_that_was_never_made(self, cls: Class) -> None:
        """Neither a refused argument nor a missing object leaves anything to complain about."""
        assert raised(lambda: cls("a\\b")) is namedmap.BadValueError
        assert raised(lambda: cls.open("nowhere")) is namedmap.NotFoundError
        cls.__new__(cls).close()
        assert not table.by_value

    @each_class
    def test_at_the_end_of_a_program(self, cls: Class) -> None:
        """A program that closes nothing, in development mode, says nothing and leaves nothing."""
        result = run_python(
            f"""
            import namedmap, sys
            kept = namedmap.{cls.__name__}({NAME!r})
            sys.kept = [kept]; sys.kept.append(sys.kept)
            """,
            "-X", "dev", "-W", "error",
        )  # fmt: skip
        assert (result.returncode, result.stderr) == (0, "")
        assert object_files() == []

    def test_an_owner_that_drops_it(self, helpers: Helpers) -> None:
        """`with Mutex(name):` keeps others out to the end of the block, though nobody keeps the object."""
        mutex = Mutex(NAME)
        (other,) = helpers(1)
        with Mutex(NAME):
            assert not other.do(mutex.acquire, 0)
        assert other.do(mutex.acquire, 0)
        other.do(mutex.release)


class TestAsPythonObjects:
    @each_class
    def test_repr(self, cls: Class) -> None:
        """Says class, name and whether it is closed."""
        unnamed, named = cls(), cls(NAME)
        assert repr(unnamed) == f"<namedmap.{cls.__name__} unnamed>"
        assert repr(named) == f"<namedmap.{cls.__name__} {NAME!r}>"
        named.close()
        assert repr(named) == f"<namedmap.{cls.__name__} {NAME!r} closed>"

    def test_subclasses(self) -> None:
        """All verbs make the subclass, which may have attributes and a constructor of its own."""

        class Lock(Mutex):
            def __init__(self, name: str | None = None) -> None:
                super().__init__(name)
                self.acquired = 0

            def acquire(self, timeout: float | None = None) -> bool:
                self.acquired += 1
                return super().acquire(timeout)

        lock = Lock(NAME)
        with lock:
            assert lock.acquired == 1
        assert lock.created
        others = [Lock.open(NAME), Lock.open_or_create(NAME), Lock.create()]
        assert [type(each) for each in others] == [Lock] * 3
        assert "Lock" in repr(lock)
        assert namedmap.wait_any([lock], 0) == 0
        lock.release()

    @each_class
    def test_identity(self, cls: Class) -> None:
        """Two objects are two, though the same thing is behind them; they may be keys."""
        first, second = cls(NAME), cls(NAME)
        assert first != second
        assert len({first, second, first}) == 2

    @each_class
    def test_copies(self, cls: Class) -> None:
        """A copy is another handle to the same object; of an unnamed one there is none."""
        held = cls(NAME)
        for other in (copy.copy(held), copy.deepcopy([held])[0]):
            assert type(other) is cls
            assert (other.name, other.created, other.handle != held.handle) == (NAME, False, True)
        assert raised(lambda: copy.copy(cls())) is TypeError


class TestPickle:
    @each_class
    def test_by_name(self, cls: Class) -> None:
        """By every protocol; what comes back is another handle to the same object."""
        held = cls.create(NAME)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            other = pickle.loads(pickle.dumps(held, protocol))
            assert type(other) is cls
            assert (other.name, other.created) == (NAME, False)
            assert other.handle != held.handle
        take(held)
        assert handle_count(held.handle) == 2  # the last copy and this
        if isinstance(held, Mutex):
            held.release()

    @each_class
    def test_the_object_must_be_alive(self, cls: Class) -> None:
        """Otherwise there is nothing to open."""
        held = cls.create(NAME)
        data = pickle.dumps(held)
        held.close()
        assert raised(lambda: pickle.loads(data)) is namedmap.NotFoundError

    @each_class
    def test_an_unnamed_one_cannot_be_sent(self, cls: Class) -> None:
        """And the error says what to do."""
        with pytest.raises(TypeError, match="give it a name"):
            pickle.dumps(cls())

    def test_a_subclass_comes_back_as_itself(self) -> None:
        held = Named(NAME)
        other = pickle.loads(pickle.dumps(held))
        assert type(other) is Named


class Named(Semaphore):
    """A subclass that can be found by pickle."""


PROGRAM = """
    import concurrent.futures, multiprocessing, sys, namedmap

    def count(mutex, event, semaphore, results):
        assert event.wait(60)
        with mutex:
            results.put(semaphore.release())

    def lock(mutex):
        with mutex:
            return mutex.name

    def fail(name):
        namedmap.Event.open(name)

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        mutex, event = namedmap.Mutex.create("p.mutex"), namedmap.Event.create("p.event")
        semaphore, results = namedmap.Semaphore.create("p.semaphore", 0), context.Queue()
        mutex.acquire()
        children = [context.Process(target=count, args=(mutex, event, semaphore, results)) for _ in range(2)]
        for child in children:
            child.start()
        event.set()
        mutex.release()
        assert sorted(results.get(timeout=60) for _ in children) == [0, 1]
        for child in children:
            child.join(60)
            assert child.exitcode == 0, child.exitcode
        assert semaphore.value == 2 and mutex.acquire(0) and not mutex.abandoned
        mutex.release()
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            assert pool.submit(lock, mutex).result(60) == "p.mutex"
            try:
                pool.submit(fail, "nowhere").result(60)
            except FileNotFoundError as error:
                assert isinstance(error, namedmap.Error) and error.winerror == 2, error
            else:
                raise AssertionError
            if sys.argv[1] != "fork":
                try:
                    context.Process(target=lock, args=(namedmap.Mutex(),)).start()
                except TypeError as error:
                    assert "name" in str(error)
                else:
                    raise AssertionError
        print("done")
    """


class TestMultiprocessing:
    @pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
    def test_named_objects_as_arguments(self, method: str, directory: Path) -> None:
        """To processes, and to the workers of an executor, which send errors back as they are."""
        (directory / "program.py").write_text(textwrap.dedent(PROGRAM))
        result = subprocess.run(
            [sys.executable, "program.py", method],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, text=True, timeout=4 * WATCHDOG, check=False,
        )  # fmt: skip
        assert (result.stdout, result.returncode) == ("done\n", 0), result.stderr
        assert "Error" not in result.stderr


class TestFork:
    def test_unnamed_objects_are_shared(self) -> None:
        """A child uses what its parent made, and the other way round."""
        event, done, semaphore = Event(), Event(manual=False), Semaphore(None, 0)

        def child() -> None:
            assert event.wait(WATCHDOG)
            assert semaphore.release(2) == 0
            done.set()

        with forked(child):
            event.set()
            assert done.wait(WATCHDOG)
        assert semaphore.value == 2

    def test_ownership_stays_with_the_parent(self) -> None:
        """The child does not own what the parent owns, and cannot release it; its end abandons nothing."""
        mutex = Mutex()

        def child() -> None:
            assert (mutex.owned(), mutex.locked()) == (False, True)
            assert raised(mutex.release) is namedmap.NotOwnerError
            assert not mutex.acquire(0)

        with mutex, forked(child):
            assert mutex.owned()
        with forked(lambda: None):
            pass
        assert mutex.acquire(0)
        assert not mutex.abandoned
        mutex.release()

    def test_a_child_can_own(self) -> None:
        """And abandon: its parent is told."""
        mutex, taken = Mutex(), Event()

        def child() -> None:
            assert mutex.acquire(0)
            taken.set()

        with forked(child):
            assert taken.wait(WATCHDOG)
        with pytest.warns(AbandonedMutexWarning):
            assert mutex.acquire(WATCHDOG)
        mutex.release()

    def test_closing_in_the_child(self) -> None:
        """Is the child's affair; so is dropping."""
        event = Event(NAME)

        def child() -> None:
            event.close()
            assert event.closed
            assert not gone(Event)

        with forked(child):
            pass
        assert not event.closed
        event.set()
        assert Event.open(NAME).wait(0)

    def test_in_a_thread_while_others_wait(self, helpers: Helpers) -> None:
        """A fork in the middle of waits: the child's objects work, the parent's waiters go on waiting."""
        event, mutex, semaphore = Event(manual=False), Mutex(), Semaphore(None, 0)
        threads = waiters(helpers, 2, event.wait) + waiters(helpers, 2, semaphore.acquire)

        def child() -> None:
            with mutex:
                event.set()
                semaphore.release()

        with forked(child):
            pass
        exactly(threads, 2)
        event.set()
        semaphore.release()
        assert all(thread.result() for thread in threads)
        assert (event.is_set(), semaphore.value, mutex.locked()) == (False, 0, False)


WORKER = """
    import threading, namedmap, ctypes
    mutex, go = namedmap.Mutex.open("tp.mutex"), namedmap.Event.open("tp.go")
    number = ctypes.c_int64.from_address(view(open_("tp.number")))

    def work():
        go.wait()
        for _ in range(100):
            with mutex:
                number.value += 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads: thread.start()
    say("ready")
    for thread in threads: thread.join()
    """


class TestThreadsAndProcesses:
    def test_a_counter(self, spawn: Spawn) -> None:
        """Three processes with three threads each lose no update under one mutex."""
        section = create("tp.number")
        address = view(section)
        mutex, go = Mutex("tp.mutex"), Event("tp.go")
        children = [spawn(WORKER) for _ in range(3)]
        assert [child.line() for child in children] == ["ready"] * 3
        go.set()
        assert [child.wait() for child in children] == [0] * 3
        assert int.from_bytes(load(address, 8), "little") == 900
        assert not mutex.locked()
        unmap(address)
        close(section)

    def test_a_thread_pool(self) -> None:
        """A semaphore bounds how many workers are inside; the mutex belongs to the worker."""
        semaphore, mutex = Semaphore(None, 2), Mutex()
        inside, most = 0, 0

        def work(_: int) -> None:
            nonlocal inside, most
            with semaphore:
                with mutex:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.001)
                with mutex:
                    inside -= 1

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(work, range(60)))
        assert (inside, semaphore.value, mutex.locked()) == (0, 2, False)
        assert most <= 2

    def test_a_queue_of_events(self) -> None:
        """An automatic event that is set by one thread passes as often as another waited for it."""
        there, back = Event(manual=False), Event(manual=False)
        seen: queue.Queue[int] = queue.Queue()

        def answer() -> None:
            for number in range(200):
                assert there.wait(WATCHDOG)
                seen.put(number)
                back.set()

        thread = threading.Thread(target=answer)
        thread.start()
        for number in range(200):
            there.set()
            assert back.wait(WATCHDOG)
            assert seen.get_nowait() == number
        thread.join()

    def test_ctrl_c_reaches_who_waits(self, spawn: Spawn) -> None:
        """A KeyboardInterrupt ends the wait, takes nothing, and leaves the object usable."""
        event = Event(NAME, manual=False)
        child = spawn(
            f"""
            import namedmap
            event = namedmap.Event.open({NAME!r})
            say("ready")
            try:
                event.wait()
            except KeyboardInterrupt:
                say("interrupted")
            hear()
            say(event.wait(0))
            """
        )
        assert child.line() == "ready"
        asleep(child)
        os.kill(child.pid, signal.SIGINT)
        assert child.line() == "interrupted"
        event.set()
        child.send("")
        assert child.line() == "True"
        assert child.wait() == 0


def run_python(script: str, *flags: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(script)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=WATCHDOG, check=False,
    )  # fmt: skip
