"""When the limits of memory are looked at: for large sections each time, for small ones now and then."""

from collections.abc import Iterator

import pytest

from calls.kernel import KernelError, limits

MIB = 1 << 20


class Machine:
    """A machine with so much free memory, which counts how often it is asked."""

    def __init__(self, free: int) -> None:
        self.free, self.looks = free, 0

    def limits(self) -> Iterator[tuple[int, int, str]]:
        self.looks += 1
        yield 1 << 50, 1 << 49, "the machine has no more"
        yield 1 << 40, self.free, "raise the limit"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(1 << 39)
    monkeypatch.setattr(limits, "limits", found.limits)
    monkeypatch.setattr(limits, "_committed", 0)
    monkeypatch.setattr(limits, "_credit", 0)
    return found


def committed_between_looks(machine: Machine) -> int:
    """How many MiB are committed, one by one, from one look to the next."""
    while not machine.looks:
        limits.require(MIB, "a section")
    before, count = machine.looks, 0
    while machine.looks == before:
        limits.require(MIB, "a section")
        count += 1
    return count


@pytest.mark.parametrize(("free", "expected"), [(1 << 39, 64), (4 << 30, 16), (1 << 30, 4), (10 << 20, 1)])
def test_a_part_of_what_is_free(machine: Machine, free: int, expected: int) -> None:
    """A 256th, within bounds; the tightest limit counts."""
    machine.free = free
    assert committed_between_looks(machine) == expected


def test_the_large_are_looked_at_each_time(machine: Machine) -> None:
    """No earlier look counts: the process may have been moved into a smaller cgroup since."""
    for count in range(1, 4):
        limits.require(4 * MIB, "a section")
        assert machine.looks == count
    machine.free = 4 * MIB - 1
    with pytest.raises(KernelError, match="needs 4,194,304 bytes, but only 4,194,303 of"):
        limits.require(4 * MIB, "a section")
