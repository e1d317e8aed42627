"""Waiting: who gets what when, wait-any and wait-all, limits, timeouts, SignalObjectAndWait."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from calls import close, create, failed, had, message
from calls.files import opened
from calls.kernel import futex, waiting
from calls.sync import (
    ABANDONED,
    EVENT,
    LONG,
    MUTEX,
    SEMAPHORE,
    TAKEN,
    TIMEOUT,
    Helpers,
    SyncKind,
    asleep,
    auto,
    each_sync_kind,
    event,
    exactly,
    in_child,
    manual,
    mutex,
    outcome,
    query_event,
    query_mutex,
    query_semaphore,
    semaphore,
    sigwait,
    taken_by,
    wait,
    wait_all,
    wait_any,
    waiters,
)
from child import WATCHDOG, Spawn
from namedmap import win32

pytestmark = pytest.mark.usefixtures("tidy")

NAME = "waiting"
GARBAGE = 0xDEADBEE0
#: How children signal.
SIGNALS = {"mutex": "ReleaseMutex(h)", "semaphore": "ReleaseSemaphore(h, 1, None)", "event": "SetEvent(h)"}


@pytest.fixture(autouse=True)
def sound_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiter looks only when it is woken here, not now and then by itself: a wake-up that was lost is missed."""
    monkeypatch.setattr(waiting, "SLICE", 3600.0)


class TestEvent:
    """Manual reset and auto reset."""

    def test_auto_is_taken_once(self) -> None:
        made = auto()
        assert wait(made) == TIMEOUT
        assert win32.SetEvent(made)
        assert win32.SetEvent(made)
        assert [wait(made), wait(made)] == [TAKEN, TIMEOUT]

    def test_manual_stays(self) -> None:
        """A manual-reset event stays set until it is reset."""
        made = manual()
        assert win32.SetEvent(made)
        assert [wait(made), wait(made)] == [TAKEN, TAKEN]
        assert win32.ResetEvent(made)
        assert wait(made) == TIMEOUT

    @pytest.mark.parametrize("type_", [auto, manual])
    def test_reset_is_not_counted(self, type_: Callable[[bool], int]) -> None:
        made = type_(True)
        assert win32.ResetEvent(made)
        assert win32.ResetEvent(made)
        assert query_event(made)[1] == 0
        assert wait(made) == TIMEOUT

    @pytest.mark.parametrize("number", [1, 2, 4])
    def test_each_set_releases_exactly_one(self, helpers: Helpers, number: int) -> None:
        made = auto()
        threads = waiters(helpers, 5, wait, made, LONG)
        for released in range(1, number + 1):
            assert win32.SetEvent(made)
            exactly(threads, released)
        for _ in range(5 - number):
            assert win32.SetEvent(made)
        assert taken_by(threads) == [TAKEN] * 5
        assert query_event(made) == (1, 0)

    @pytest.mark.parametrize("repeat", range(10))
    def test_quick_sets_are_not_lost(self, helpers: Helpers, repeat: int) -> None:
        """As many sets as there are waiters, without a pause: each releases one, and nothing is left over."""
        made = auto()
        threads = waiters(helpers, 6, wait, made, LONG)
        for _ in range(6):
            assert win32.SetEvent(made)
        assert wait(made) == TIMEOUT
        assert taken_by(threads) == [TAKEN] * 6
        assert query_event(made) == (1, 0)

    def test_a_set_goes_to_who_waits(self, helpers: Helpers) -> None:
        """A newcomer between the set and the waiter's awakening does not get it; nor does a reset take it back."""
        made = auto()
        for _ in range(20):
            (waiter,) = waiters(helpers, 1, wait, made, LONG)
            assert win32.SetEvent(made)
            assert wait(made) == TIMEOUT
            assert win32.ResetEvent(made)
            assert waiter.result() == TAKEN

    def test_manual_releases_all(self, helpers: Helpers) -> None:
        made = manual()
        threads = waiters(helpers, 5, wait, made, LONG)
        assert win32.SetEvent(made)
        assert taken_by(threads) == [TAKEN] * 5
        assert query_event(made) == (0, 1)

    @pytest.mark.parametrize("repeat", range(10))
    def test_set_and_reset_release_all_who_wait(self, helpers: Helpers, repeat: int) -> None:
        """However short the event was set."""
        made = manual()
        threads = waiters(helpers, 5, wait, made, LONG)
        assert win32.SetEvent(made)
        assert win32.ResetEvent(made)
        assert taken_by(threads) == [TAKEN] * 5
        assert wait(made) == TIMEOUT

    @pytest.mark.parametrize("type_", [auto, manual])
    @pytest.mark.parametrize("signaled", [False, True])
    def test_a_pulse_without_waiters(self, type_: Callable[[bool], int], signaled: bool) -> None:
        """It leaves the event not set."""
        made = type_(signaled)
        assert win32.PulseEvent(made)
        assert query_event(made)[1] == 0
        assert wait(made, 20) == TIMEOUT

    def test_a_pulse_of_a_manual_event(self, helpers: Helpers) -> None:
        """All who wait at that moment, nobody later."""
        made = manual()
        threads = waiters(helpers, 4, wait, made, LONG)
        assert win32.PulseEvent(made)
        assert wait(made) == TIMEOUT
        assert taken_by(threads) == [TAKEN] * 4

    def test_a_pulse_of_an_auto_event(self, helpers: Helpers) -> None:
        """One of those who wait."""
        made = auto()
        threads = waiters(helpers, 3, wait, made, LONG)
        assert win32.PulseEvent(made)
        exactly(threads, 1)
        assert win32.PulseEvent(made)
        assert win32.PulseEvent(made)
        assert taken_by(threads) == [TAKEN] * 3

    @pytest.mark.parametrize("kind", [SEMAPHORE, EVENT], ids=lambda kind: kind.noun)
    def test_between_processes(self, spawn: Spawn, helpers: Helpers, kind: SyncKind) -> None:
        """Threads here and processes elsewhere wait for one object: each signal is for one of them."""
        made = kind.make(NAME)
        children = [spawn(), spawn()]
        for child in children:
            in_child(child, NAME, kind)
        asleep(*children)
        threads = waiters(helpers, 2, wait, made, LONG)
        assert [kind.signal(made) for _ in range(4)] == [True] * 4
        assert wait(made) == TIMEOUT
        assert [child.finish() for child in children] == [win32.WAIT_OBJECT_0] * 2
        assert taken_by(threads) == [TAKEN] * 2
        assert wait(made) == TIMEOUT


class TestSemaphore:
    """A count to be taken."""

    def test_the_count_is_taken_one_by_one(self) -> None:
        made = semaphore(3, 5)
        assert [wait(made) for _ in range(4)] == [TAKEN] * 3 + [TIMEOUT]
        assert win32.ReleaseSemaphore(made, 2, None)
        assert [wait(made) for _ in range(3)] == [TAKEN] * 2 + [TIMEOUT]

    @pytest.mark.parametrize("number", [1, 3, 5])
    def test_a_release_wakes_so_many(self, helpers: Helpers, number: int) -> None:
        made = semaphore(0, 10)
        threads = waiters(helpers, 5, wait, made, LONG)
        assert win32.ReleaseSemaphore(made, number, None)
        exactly(threads, number)
        if number < 5:
            assert win32.ReleaseSemaphore(made, 5 - number, None)
        assert taken_by(threads) == [TAKEN] * 5
        assert query_semaphore(made) == (0, 10)

    def test_what_is_over_stays(self, helpers: Helpers) -> None:
        made = semaphore(0, 10)
        threads = waiters(helpers, 2, wait, made, LONG)
        assert win32.ReleaseSemaphore(made, 5, None)
        assert taken_by(threads) == [TAKEN] * 2
        assert query_semaphore(made) == (3, 10)

    @pytest.mark.parametrize("repeat", range(5))
    def test_quick_releases_are_not_lost(self, helpers: Helpers, repeat: int) -> None:
        """Each goes to a waiter at once: the count before is always 0, and a maximum of 1 is no hindrance."""
        made, previous = semaphore(0, 1), win32.LONG(9)
        threads = waiters(helpers, 5, wait, made, LONG)
        for _ in range(5):
            assert win32.ReleaseSemaphore(made, 1, previous), message()
            assert previous.value == 0
        assert taken_by(threads) == [TAKEN] * 5
        assert query_semaphore(made) == (0, 1)

    def test_overflow_with_waiters(self, helpers: Helpers) -> None:
        """Judged before anyone is released: nobody is."""
        made = semaphore(0, 2)
        threads = waiters(helpers, 3, wait, made, LONG)
        assert failed(win32.ReleaseSemaphore(made, 3, None)) == win32.ERROR_TOO_MANY_POSTS
        exactly(threads, 0)
        assert win32.ReleaseSemaphore(made, 2, None)
        assert win32.ReleaseSemaphore(made, 1, None)
        assert taken_by(threads) == [TAKEN] * 3


class TestContention:
    """Threads and processes pass one object around, and each wakes the next."""

    @each_sync_kind
    @pytest.mark.parametrize("call", ["one", "any", "all"])
    def test_nobody_is_forgotten(self, helpers: Helpers, spawn: Spawn, kind: SyncKind, call: str) -> None:
        """However they wait: a sleeper is woken when it is its turn."""
        made, other = kind.make(NAME), event(False, call == "all", f"{NAME}-other")
        if kind is not MUTEX:
            assert kind.signal(made)
        rounds = 150

        def work() -> int:
            for _ in range(rounds):
                if call == "all":
                    assert wait_all([other, made], LONG) == TAKEN
                    assert win32.SetEvent(other)
                else:
                    assert (wait(made, LONG) if call == "one" else wait_any([made, other], LONG)) == TAKEN
                assert kind.signal(made)
            return rounds

        children = [spawn(), spawn()]
        for child in children:
            child.run(f"""
                from calls.kernel import waiting
                waiting.SLICE = 3600.0
                h = win32.Open{kind.noun.title()}({kind.everything}, False, {NAME!r})
                other = win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, "{NAME}-other")
                def work():
                    for _ in range({rounds}):
                        if {call!r} == "one":
                            assert win32.WaitForSingleObject(h, {LONG}) == 0
                        else:
                            assert win32.WaitForMultipleObjects(2, [h, other], {call == "all"}, {LONG}) == 0
                        if {call!r} == "all":
                            assert win32.SetEvent(other)
                        assert win32.{SIGNALS[kind.noun]}
                    return {rounds}
                """)
            child.start("value", "work()")
        threads = helpers(3)
        for thread in threads:
            thread.start(work)
        assert [thread.result() for thread in threads] == [rounds] * 3
        assert [child.finish() for child in children] == [rounds] * 2
        assert wait(made) == TAKEN


class TestWaitAny:
    """WaitForMultipleObjects, bWaitAll FALSE."""

    def test_the_lowest_index_comes_first(self) -> None:
        """Only that object is taken."""
        first, second, third = auto(True), mutex(), semaphore(2, 2)
        handles = [first, second, third]
        assert [wait_any(handles) for _ in range(2)] == ["OBJECT+0", "OBJECT+1"]
        assert wait_any([first, third]) == "OBJECT+1"
        assert wait_any(handles) == "OBJECT+1"
        assert query_semaphore(third) == (1, 2)
        assert query_mutex(second) == (-1, 1, 0)

    def test_nothing_is_taken_but_the_one(self) -> None:
        events = [auto(True) for _ in range(4)]
        assert [wait_any(events) for _ in range(5)] == ["OBJECT+0", "OBJECT+1", "OBJECT+2", "OBJECT+3", TIMEOUT]

    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_any_of_them_wakes(self, helpers: Helpers, index: int) -> None:
        made = [auto(), semaphore(0, 1), mutex(owned=True)]
        (waiter,) = waiters(helpers, 1, wait_any, made, LONG)
        signals: list[Callable[[], bool]] = [
            lambda: win32.SetEvent(made[0]),
            lambda: win32.ReleaseSemaphore(made[1], 1, None),
            lambda: win32.ReleaseMutex(made[2]),
        ]
        assert signals[index]()
        assert waiter.result() == f"OBJECT+{index}"
        assert [query_event(made[0])[1], query_semaphore(made[1])[0]] == [0, 0]

    def test_what_is_not_taken_is_for_others(self, helpers: Helpers) -> None:
        """Two objects are signaled for one waiter of both: one remains, and is not lost."""
        for _ in range(20):
            made = [auto(), auto()]
            (waiter,) = waiters(helpers, 1, wait_any, made, LONG)
            assert win32.SetEvent(made[1])
            assert win32.SetEvent(made[0])
            taken = int(waiter.result()[-1])
            assert wait(made[taken]) == TIMEOUT
            assert wait(made[1 - taken]) == TAKEN

    def test_a_signal_passes_on_from_one_who_took_another(self, helpers: Helpers) -> None:
        """Both wait for the second event, one also for the first, which comes at the same time: both are released."""
        for _ in range(20):
            first, second = auto(), auto()
            (both,) = waiters(helpers, 1, wait_any, [first, second], LONG)
            (one,) = waiters(helpers, 1, wait, second, LONG)
            assert win32.SetEvent(second)
            assert win32.SetEvent(first)
            assert win32.SetEvent(second)
            assert one.result() == TAKEN
            assert both.result() in ("OBJECT+0", "OBJECT+1")

    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_where_one_word_at_a_time_can_be_watched(
        self, helpers: Helpers, index: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before Linux 5.16, or where a container forbids futex_waitv, a waiter looks by itself."""
        monkeypatch.setattr(futex, "_can_watch_several", False)
        made = [auto() for _ in range(3)]
        (waiter,) = waiters(helpers, 1, wait_any, made, LONG)
        assert win32.SetEvent(made[index])
        assert waiter.result() == f"OBJECT+{index}"

    def test_timing_out_takes_nothing(self) -> None:
        made, owned_elsewhere = semaphore(0, 1), auto()
        assert wait_any([made, owned_elsewhere], 30) == TIMEOUT
        assert win32.ReleaseSemaphore(made, 1, None)
        assert win32.SetEvent(owned_elsewhere)
        assert [wait(made), wait(owned_elsewhere)] == [TAKEN, TAKEN]


class TestWaitAll:
    """WaitForMultipleObjects, bWaitAll TRUE."""

    def test_everything_at_once(self) -> None:
        """Events are reset, counts go down, mutexes are owned; a manual event stays."""
        made = [auto(True), manual(True), semaphore(2, 2), mutex()]
        assert wait_all(made) == TAKEN
        states = [query_event(made[0]), query_event(made[1]), query_semaphore(made[2]), query_mutex(made[3])]
        assert states == [(1, 0), (0, 1), (1, 2), (0, 1, 0)]

    @pytest.mark.parametrize("milliseconds", [0, 30])
    @pytest.mark.parametrize("missing", [0, 1, 2, 3])
    def test_or_nothing(self, helpers: Helpers, missing: int, milliseconds: int) -> None:
        """Whatever it is that is not there, the others stay as they were."""
        made = [auto(missing != 0), semaphore(int(missing != 1), 1), manual(missing != 2), mutex()]
        (other,) = helpers(1)
        if missing == 3:
            assert other.do(wait, made[3]) == TAKEN
        assert wait_all(made, milliseconds) == TIMEOUT
        there = [other.do(wait, handle) for handle in made]
        assert there == [TAKEN if index != missing or index == 3 else TIMEOUT for index in range(4)]

    def test_the_last_one_wakes(self, helpers: Helpers) -> None:
        """In whatever order they come."""
        made = [auto(), semaphore(0, 5), mutex(owned=True), manual()]
        signals: list[Callable[[], bool]] = [
            lambda: win32.SetEvent(made[3]),
            lambda: win32.ReleaseMutex(made[2]),
            lambda: win32.SetEvent(made[0]),
            lambda: win32.ReleaseSemaphore(made[1], 1, None),
        ]
        (waiter,) = waiters(helpers, 1, wait_all, made, LONG)
        for call in signals:
            asleep(waiter)
            assert waiter.pending
            assert call()
        assert waiter.result() == TAKEN
        assert [query_event(made[0]), query_semaphore(made[1])] == [(1, 0), (0, 5)]
        assert wait(made[2]) == TIMEOUT

    @pytest.mark.parametrize("kind", [MUTEX, SEMAPHORE, EVENT], ids=lambda kind: kind.noun)
    def test_others_take_meanwhile_what_is_there(self, helpers: Helpers, kind: SyncKind) -> None:
        """Waiting for A and B, A being there, keeps nobody from A."""
        first, second = kind.make(), auto()
        if kind is not MUTEX:
            assert kind.signal(first)
        (waiter,) = waiters(helpers, 1, wait_all, [first, second], LONG)
        assert wait(first) == TAKEN
        assert win32.SetEvent(second)
        time.sleep(0.05)
        assert waiter.pending
        assert query_event(second) == (1, 1)
        assert kind.signal(first)
        assert waiter.result() == TAKEN
        assert query_event(second) == (1, 0)

    def test_a_sleeper_for_one_comes_before(self, helpers: Helpers) -> None:
        """A signal for an object that a thread waits for alone is that thread's, a wait-all or not."""
        first, second = auto(), auto()
        (every,) = waiters(helpers, 1, wait_all, [first, second], LONG)
        (one,) = waiters(helpers, 1, wait, first, LONG)
        assert win32.SetEvent(first)
        assert one.result() == TAKEN
        assert win32.SetEvent(second)
        assert every.pending
        assert win32.SetEvent(first)
        assert every.result() == TAKEN

    @pytest.mark.parametrize("kind", [MUTEX, SEMAPHORE, EVENT], ids=lambda kind: kind.noun)
    def test_opposite_orders(self, helpers: Helpers, spawn: Spawn, kind: SyncKind) -> None:
        """Threads and a process that take the same objects in different orders do not stop each other for ever."""
        made = [kind.make(f"{NAME}-{index}") for index in range(3)]
        if kind is not MUTEX:
            assert all(kind.signal(handle) for handle in made)
        threads, rounds = helpers(2), 100

        def work(handles: list[int]) -> int:
            for _ in range(rounds):
                assert wait_all(handles, LONG) == TAKEN
                assert all(kind.signal(handle) for handle in reversed(handles))
            return rounds

        child = spawn()
        child.run(f"""
            from calls.kernel import waiting
            waiting.SLICE = 3600.0
            hs = [win32.Open{kind.noun.title()}({kind.everything}, False, "{NAME}-%d" % i) for i in (1, 0, 2)]
            def work():
                for _ in range({rounds}):
                    assert win32.WaitForMultipleObjects(3, hs, True, {LONG}) == 0
                    for h in hs: assert win32.{SIGNALS[kind.noun]}
                return {rounds}
            """)
        child.start("value", "work()")
        for thread, handles in zip(threads, (made, made[::-1]), strict=True):
            thread.start(work, handles)
        assert [*(thread.result() for thread in threads), child.finish()] == [rounds] * 3
        assert wait_all(made) == TAKEN

    @pytest.mark.parametrize("type_", [auto, manual])
    def test_a_pulse_of_the_last_one(self, helpers: Helpers, type_: Callable[[], int]) -> None:
        """All the others are there when the last one is pulsed: the wait is over."""
        pulsed, there = type_(), auto()
        (waiter,) = waiters(helpers, 1, wait_all, [pulsed, there], LONG)
        assert win32.SetEvent(there)
        asleep(waiter)
        assert win32.PulseEvent(pulsed)
        assert waiter.result() == TAKEN

    def test_owning_one_of_them_already(self, helpers: Helpers) -> None:
        """Its own mutex does not stand in the way of a wait-all, and is owned once more."""
        made, later = mutex(owned=True), auto()
        assert wait_all([made, later]) == TIMEOUT
        assert query_mutex(made) == (0, 1, 0)
        assert win32.SetEvent(later)
        assert wait_all([later, made]) == TAKEN
        assert query_mutex(made) == (-1, 1, 0)

    def test_dead_waiters_hold_nothing(self, spawn: Spawn) -> None:
        """Processes are killed while they wait for all: the objects stay free."""
        made = [mutex(name=f"{NAME}-0"), auto(True, f"{NAME}-1"), semaphore(1, 1, f"{NAME}-2"), auto(name=f"{NAME}-3")]
        child = spawn()
        child.run(f"""
            hs = [win32.OpenMutex(win32.MUTEX_ALL_ACCESS, False, "{NAME}-0"),
                  win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, "{NAME}-1"),
                  win32.OpenSemaphore(win32.SEMAPHORE_ALL_ACCESS, False, "{NAME}-2"),
                  win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, "{NAME}-3")]
            """)
        child.start("value", f"win32.WaitForMultipleObjects(4, hs, True, {LONG})")
        asleep(child)
        child.kill()
        assert wait_all(made[:3]) == TAKEN
        assert wait(made[3]) == TIMEOUT


class TestManyHandles:
    """The limit of 64, the same object several times, handles that are none."""

    @pytest.mark.parametrize("function", [wait_any, wait_all])
    @pytest.mark.parametrize("number", [0, 65, 200])
    def test_too_few_and_too_many(self, function: Callable[[list[int]], str], number: int) -> None:
        made = manual(True)
        assert function([made] * number) == "FAILED 87"

    @pytest.mark.parametrize("function", [wait_any, wait_all])
    def test_sixty_four(self, helpers: Helpers, function: Callable[..., str]) -> None:
        """64 objects are the most, and they work."""
        made = [auto() for _ in range(64)]
        (waiter,) = waiters(helpers, 1, function, made, LONG)
        for handle in made[:63] if function is wait_all else []:
            assert win32.SetEvent(handle)
        assert waiter.pending
        assert win32.SetEvent(made[63])
        assert waiter.result() == (TAKEN if function is wait_all else "OBJECT+63")
        assert not any(query_event(handle)[1] for handle in made)

    def test_duplicates(self) -> None:
        """Fine when waiting for any; ERROR_INVALID_PARAMETER when waiting for all, through whichever handles."""
        made = mutex(name=NAME)
        again, other = mutex(name=NAME), manual(True)
        assert wait_any([made, made, other]) == TAKEN
        for handles in ([made, made], [other, made, again], [made, other, made]):
            assert wait_all(handles) == "FAILED 87"
        assert query_mutex(made) == (0, 1, 0)

    def test_one_wait_takes_once_from_duplicates(self, helpers: Helpers) -> None:
        """A waiter that names an object twice takes it once, and the next signal is for another."""
        made = semaphore(0, 5)
        (waiter,) = waiters(helpers, 1, wait_any, [made, made, made], LONG)
        assert win32.ReleaseSemaphore(made, 2, None)
        assert waiter.result() in ("OBJECT+0", "OBJECT+1", "OBJECT+2")
        assert query_semaphore(made) == (1, 5)

    @pytest.mark.parametrize("function", [wait_any, wait_all])
    @pytest.mark.parametrize("bad", [None, 0, GARBAGE])
    def test_a_bad_handle_among_good_ones(self, function: Callable[..., str], bad: int | None) -> None:
        """The whole wait fails, and takes nothing."""
        made = auto(True)
        assert function([made, bad]) == "FAILED 6"
        assert function([bad, made]) == "FAILED 6"
        assert function([made, create(None)]) == "FAILED 5"
        assert wait(made) == TAKEN

    @pytest.mark.parametrize("every", [False, True])
    def test_arrays_of_handles(self, every: bool) -> None:
        """A ctypes array and a list, of which nCount handles count."""
        made = manual(True)
        array = (win32.HANDLE * 3)(made, auto(True), None)
        assert outcome(win32.WaitForMultipleObjects(2, array, every, 0)) == TAKEN
        assert outcome(win32.WaitForMultipleObjects(1, [made, GARBAGE], every, 0)) == TAKEN
        assert outcome(win32.WaitForMultipleObjects(3, [made], every, 0)) == "FAILED 87"

    def test_the_functions_with_alertable(self) -> None:
        """No wait ends for the sake of it."""
        made = semaphore(2, 2)
        for alertable in (False, True):
            assert outcome(win32.WaitForSingleObjectEx(made, 0, alertable)) == TAKEN
            assert outcome(win32.WaitForSingleObjectEx(auto(), 20, alertable)) == TIMEOUT
            for every in (False, True):
                assert outcome(win32.WaitForMultipleObjectsEx(1, [manual(True)], every, 0, alertable)) == TAKEN
                assert outcome(win32.WaitForMultipleObjectsEx(1, [auto()], every, 20, alertable)) == TIMEOUT


class TestTimeouts:
    """0, finite, INFINITE."""

    @pytest.mark.parametrize("milliseconds", [1, 20, 150, 350])
    @pytest.mark.parametrize("function", [wait, wait_any, wait_all])
    def test_not_before_its_time(self, function: Callable[..., str], milliseconds: int) -> None:
        made = auto()
        before = time.monotonic()
        assert function(made if function is wait else [made, auto()], milliseconds) == TIMEOUT
        assert time.monotonic() - before >= milliseconds / 1000

    @pytest.mark.parametrize("milliseconds", [win32.INFINITE, -1, 0xFFFFFFFE, 0x7FFFFFFF, 0x80000000])
    def test_what_comes_ends_it(self, helpers: Helpers, milliseconds: int) -> None:
        """INFINITE, also as -1, and periods of weeks."""
        made = auto()
        for function, argument in ((wait, made), (wait_any, [made]), (wait_all, [made])):
            (waiter,) = waiters(helpers, 1, function, argument, milliseconds)
            assert win32.SetEvent(made)
            assert waiter.result() == TAKEN

    def test_longer_than_a_sleep(self, helpers: Helpers) -> None:
        """Sleeps are short and many; the wait goes on."""
        made = auto()
        (waiter,) = waiters(helpers, 1, wait, made, win32.INFINITE)
        time.sleep(0.5)
        assert waiter.pending
        assert win32.SetEvent(made)
        assert waiter.result() == TAKEN


class TestSignalAndWait:
    """SignalObjectAndWait."""

    @each_sync_kind
    def test_what_can_be_signaled(self, kind: SyncKind) -> None:
        made, there = kind.make(), manual(True)
        if kind is MUTEX:
            assert wait(made) == TAKEN
        assert sigwait(made, there) == TAKEN
        assert wait(made) == TAKEN

    def test_signal_what_is_waited_for(self) -> None:
        made = auto()
        assert sigwait(made, made) == TAKEN
        assert query_event(made) == (1, 0)

    def test_it_times_out_after_signalling(self) -> None:
        made = auto()
        assert sigwait(made, auto(), 20) == TIMEOUT
        assert wait(made) == TAKEN

    def test_failures(self, tmp_path: Path) -> None:
        """Then it has not waited, and what should have been taken is there."""
        there, full, unowned = auto(True), semaphore(1, 1), mutex()
        file = opened(tmp_path / "a", disposition=win32.OPEN_ALWAYS)
        table = [(full, 298), (unowned, 288), (file, 6), (create(None), 6), (None, 6), (GARBAGE, 6), (-1, 6)]
        for first, error in table:
            assert sigwait(first, there) == f"FAILED {error}"
        assert query_event(there) == (1, 1)

    def test_nothing_to_wait_for(self) -> None:
        """Nothing is signaled either."""
        made = auto()
        for second, error in ((None, 6), (GARBAGE, 6), (create(None), 5)):
            assert sigwait(made, second) == f"FAILED {error}"
        assert query_event(made) == (1, 0)

    def test_nobody_sees_the_signal_before_the_wait(self, helpers: Helpers) -> None:
        """A pulse right after the signal always finds the waiter."""
        for pulsed in (auto(), manual()):
            ready = auto()
            (waiter,) = helpers(1)
            for _ in range(100):
                waiter.start(sigwait, ready, pulsed, LONG)
                assert wait(ready, LONG) == TAKEN
                assert win32.PulseEvent(pulsed)
                assert waiter.result() == TAKEN

    def test_ping_pong(self, spawn: Spawn) -> None:
        """Two processes take turns."""
        ping, pong = auto(name=f"{NAME}-ping"), auto(name=f"{NAME}-pong")
        child = spawn()
        child.run(f"""
            ping, pong = (win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, "{NAME}-" + n) for n in ("ping", "pong"))
            def play():
                assert win32.WaitForSingleObject(ping, {LONG}) == 0
                for _ in range(199):
                    assert win32.SignalObjectAndWait(pong, ping, {LONG}, False) == 0
                return win32.SetEvent(pong)
            """)
        child.start("value", "play()")
        assert [sigwait(ping, pong, LONG) for _ in range(200)] == [TAKEN] * 200
        assert child.finish()


class TestCalls:
    """Rules that hold for every call."""

    def test_success_leaves_the_last_error_alone(self) -> None:
        made, owned, count = auto(), mutex(), semaphore(0, 9)
        calls: tuple[Callable[[], object], ...] = (
            lambda: win32.SetEvent(made),
            lambda: wait(made),
            lambda: wait(made),
            lambda: wait_any([made, owned]),
            lambda: wait_all([made, owned], 5),
            lambda: win32.ReleaseMutex(owned),
            lambda: win32.ReleaseSemaphore(count, 2, None),
            lambda: sigwait(made, count),
            lambda: win32.ResetEvent(made),
            lambda: win32.PulseEvent(made),
        )
        for call in calls:
            win32.SetLastError(7)
            assert call()
            assert win32.GetLastError() == 7

    @each_sync_kind
    @pytest.mark.parametrize("name", [None, NAME])
    def test_closing_the_last_handle_during_a_wait(self, helpers: Helpers, kind: SyncKind, name: str | None) -> None:
        """The wait keeps the object, but not its name, and lasts as long as it was to last."""
        made = kind.make(name)
        if kind is MUTEX:
            assert wait(made) == TAKEN
        (waiter,) = waiters(helpers, 1, wait, made, 500)
        close(made)
        if name and kind is not MUTEX:
            assert failed(kind.open(win32.SYNCHRONIZE, False, name)) == win32.ERROR_FILE_NOT_FOUND
        result = waiter.result()
        assert result == TIMEOUT or (kind is MUTEX and result == ABANDONED)


class TestOtherObjects:
    """Waits for what is no mutex, semaphore or event."""

    def test_a_process(self, spawn: Spawn, helpers: Helpers) -> None:
        """A handle to a process is signaled when the process has ended, and stays so."""
        child, nothing = spawn(), auto()
        process = had(win32.OpenProcess(win32.SYNCHRONIZE, False, child.pid))
        assert wait(process, 20) == TIMEOUT
        assert wait_any([nothing, process]) == TIMEOUT
        (one,) = helpers(1)
        one.start(wait, process, LONG)
        (several,) = helpers(1)
        several.start(wait_any, [nothing, process], LONG)
        time.sleep(0.05)
        assert one.pending
        assert several.pending
        child.process.kill()
        child.process.wait(WATCHDOG)
        assert [one.result(), several.result()] == [TAKEN, "OBJECT+1"]
        assert [wait(process), wait_all([process, manual(True)])] == [TAKEN, TAKEN]

    def test_a_process_and_the_right_to_wait(self, spawn: Spawn) -> None:
        child = spawn()
        assert wait(had(win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, child.pid))) == "FAILED 5"

    def test_this_process_and_thread(self) -> None:
        """They go on as long as somebody can ask."""
        assert [wait(win32.GetCurrentProcess()), wait(win32.GetCurrentThread(), 20)] == [TIMEOUT, TIMEOUT]

    def test_a_file(self, tmp_path: Path) -> None:
        """NT has no reason to wait for a file that is not busy."""
        assert wait(opened(tmp_path / "a", disposition=win32.OPEN_ALWAYS)) == TAKEN
