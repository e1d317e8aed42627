"""What the suite runs against. Another platform is another line here, with what it lacks."""

from typing import NamedTuple

from classes.capabilities import EVERYTHING, Capability


class Implementation(NamedTuple):
    """An implementation of the contract, and how the suite uses it."""

    name: str
    checked: bool  # behind the border of `checking`, which holds every call against the contract
    has: frozenset[Capability]


LINUX = Implementation("linux", False, EVERYTHING)
LINUX_CHECKED = Implementation("linux-checked", True, EVERYTHING)

IMPLEMENTATIONS = (LINUX, LINUX_CHECKED)
