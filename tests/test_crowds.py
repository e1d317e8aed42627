"""Some hundred processes that want the same object: nobody fails by mere contention; one holder who stays is named."""

import json
from typing import Any

import pytest

from calls import object_path, raw_lock
from calls.kernel import locks
from child import WATCHDOG, Spawn, forked
from namedmap import Error, Semaphore
from test_primitives import tidy as tidy

NAME = "crowds"
PROCESSES, ROUNDS = 200, 10


@pytest.mark.leaves_dead_files
@pytest.mark.parametrize("made", ["namedmap.Mutex('{}')", "namedmap.Semaphore('{}', 1)"], ids=["mutex", "semaphore"])
def test_hundreds_of_processes(spawn: Spawn, made: str) -> None:
    """Each gets its turns, though all wait for the same guard."""
    parent = spawn(f"""
        held = {made.format(NAME)}
        ready, go = os.pipe()
        for _ in range({PROCESSES}):
            if not os.fork():
                os.close(go)
                os.read(ready, 1)  # until the parent has started all
                for _ in range({ROUNDS}):
                    held.acquire()
                    held.release()
                os._exit(0)
        os.close(ready)
        os.close(go)
        say([os.waitstatus_to_exitcode(os.wait()[1]) for _ in range({PROCESSES})])
        """)
    assert json.loads(parent.line(5 * WATCHDOG)) == [0] * PROCESSES
    assert parent.wait() == 0


class TestWhoHoldsTheGuard:
    def test_holders_who_change(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A waiter that finds another holder each time waits longer than a single holder would be waited for."""
        monkeypatch.setattr(locks, "GUARD_TIMEOUT", 0.1)
        numbers = iter(range(10**6))
        monkeypatch.setattr(locks, "_holder", lambda fd, start: next(numbers))
        tries = [0]

        def fail_often(fd: int, start: int, *, exclusive: bool) -> bool:
            tries[0] += 1
            return tries[0] > 150

        monkeypatch.setattr(locks, "try_guard", fail_often)
        assert locks.wait_for(-1)
        assert tries[0] == 151

    def test_changes_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """They are not believed for ever."""
        monkeypatch.setattr(locks, "GUARD_TIMEOUT", 0.01)
        numbers = iter(range(10**6))
        monkeypatch.setattr(locks, "_holder", lambda fd, start: next(numbers))
        monkeypatch.setattr(locks, "try_guard", lambda fd, start, *, exclusive: False)
        assert not locks.wait_for(-1)

    def test_one_who_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It fails, after the time for one holder."""
        semaphore = Semaphore(NAME, 1)
        monkeypatch.setattr(locks, "GUARD_TIMEOUT", 0.1)
        with raw_lock(object_path(NAME), locks.GUARD), pytest.raises(Error, match="locked"):
            semaphore.acquire()
        assert semaphore.acquire()

    def test_numbers(self, spawn: Spawn) -> None:
        """A process sees who holds the guard of its object; forked children have other numbers than their parent."""
        semaphore, child = Semaphore(NAME, 1), spawn()
        held: Any = semaphore.waited().object
        fd = held.fd
        assert locks._holder(fd, locks.GUARD) is None
        child.run(f"semaphore = namedmap.Semaphore.open({NAME!r}); guard = semaphore.waited().object.guard()")
        child.run("guard.__enter__()")
        seen = locks._holder(fd, locks.GUARD)
        assert seen == locks.GUARD - child.value("locks._number")
        child.run("guard.__exit__()")
        assert locks._holder(fd, locks.GUARD) is None
        assert held.waiters() == 0
        number = locks._number
        with forked(lambda: _differs(number)):
            pass


def _differs(number: int) -> None:
    assert locks._number != number
