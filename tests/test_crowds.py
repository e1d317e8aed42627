"""Some hundred processes that want the same object: nobody fails by mere contention; one holder who stays is named."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from calls import object_path, raw_lock
from calls.kernel import locks
from child import Spawn, forked
from namedmap import Error, Mutex, Semaphore
from test_primitives import tidy as tidy

NAME = "crowds"
PROCESSES, ROUNDS = 200, 10


@pytest.mark.leaves_dead_files
@pytest.mark.parametrize("made", [Mutex, lambda name: Semaphore(name, 1)], ids=["mutex", "semaphore"])
def test_hundreds_of_processes(made: Callable[[str], Any]) -> None:
    """Each gets its turns, though all wait for the same guard."""
    held = made(NAME)
    ready, go = os.pipe()
    children = []
    for _ in range(PROCESSES):
        pid = os.fork()
        if not pid:
            os._exit(_take_turns(held, ready, go))
        children.append(pid)
    os.close(ready)
    os.close(go)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0] * PROCESSES


def _take_turns(held: Any, ready: int, go: int) -> int:
    try:
        os.close(go)
        os.read(ready, 1)  # until the parent has started all
        for _ in range(ROUNDS):
            held.acquire()
            held.release()
    except BaseException as error:
        os.write(2, f"{error}\n".encode())
        return 1
    return 0


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
