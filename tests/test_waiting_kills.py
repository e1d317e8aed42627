"""Promises of mutexes, semaphores and events while processes that wait for them, or own them, are killed.

`programs.kills` does the work, in processes of its own. NAMEDMAP_TEST_SCALE=10 does ten times as much.
"""

import os
import re

from child import program

SCALE = float(os.environ.get("NAMEDMAP_TEST_SCALE", "1"))


def summary(scenario: str, mode: str, seed: int = 1) -> str:
    """The last line of a run without violations."""
    said = program("kills", scenario, mode, "--scale", str(SCALE), "--seed", str(seed))
    assert "no violation" in said
    return said


def number(pattern: str, text: str) -> int:
    """The number before some words of a summary."""
    found = re.search(rf"(\d+) {pattern}", text)
    assert found is not None, text
    return int(found[1])


class TestMutex:
    """8 processes of 2 threads increment a plain counter in a shared view, under one mutex."""

    def test_nobody_is_killed(self) -> None:
        """No increment is lost, and no mutex is reported as abandoned that was released."""
        text = summary("mutex", "none")
        assert number("reported as abandoned", text) == number("killed", text) == 0

    def test_owners_are_killed(self) -> None:
        """Owners that are killed lose nothing but their own last step; each is reported exactly once."""
        text = summary("mutex", "holding")
        assert number("reported as abandoned", text) == number("killed", text)
        assert number("killed", text) * 10 >= number("processes,", text)

    def test_anybody_is_killed(self) -> None:
        """The same for processes that are killed wherever they are: every killed owner is reported."""
        assert number("killed", summary("mutex", "random")) > 0


class TestSemaphores:
    """Producers and consumers with a semaphore for free slots of a ring, and one for used slots."""

    def test_nobody_is_killed(self) -> None:
        """Every item is produced and consumed once."""
        assert number("slots lost", summary("ring", "none")) == 0

    def test_waiters_are_killed(self) -> None:
        """Processes that are killed in a wait take no slot with them, not even one that was released meanwhile."""
        text = summary("ring", "waiting")
        assert number("slots lost", text) == 0
        assert number("killed processes", text) > 0

    def test_anybody_is_killed(self) -> None:
        """A killed process takes at most the slot with it that it had; no slot is given out twice."""
        assert number("killed processes", summary("ring", "random")) > 0


class TestWaitsForAll:
    """8 processes wait for all of five objects: two mutexes, two auto-reset events, a semaphore."""

    def test_nobody_is_killed(self) -> None:
        """One at a time has all, nobody ever has some, and all have their turns."""
        assert number("restored", summary("all", "none")) == 0

    def test_without_mutexes(self) -> None:
        """The same for two events and three semaphores, which nobody owns."""
        assert number("restored", summary("tokens", "none")) == 0

    def test_owners_are_killed(self) -> None:
        """A killed owner had all; both of its mutexes are reported as abandoned, once; the others go on."""
        text = summary("all", "holding")
        assert number("restored", text) == number("killed", text) > 0

    def test_anybody_is_killed(self) -> None:
        """The same for processes that are killed wherever they are."""
        assert number("killed", summary("all", "random")) > 0


class TestEvents:
    """Waiters in several processes, and an auto-reset event."""

    def test_each_set_wakes_one(self) -> None:
        """20,000 sets, each acknowledged, wake exactly as often; n sets at once wake n of those who wait."""
        text = summary("event", "none")
        assert number("sets", text) == number("wakes", text)
        assert number("sets", text) >= 20_000 * SCALE

    def test_killed_waiters_swallow_no_wake(self) -> None:
        """If waiters are killed after as many sets as there are waiters, the others have all been woken."""
        text = summary("event", "waiting")
        assert number("killed", text) > 0
        assert number("wakes", text) <= number("sets", text)
