"""The implementations that the suite runs against. Another platform is another line here, with what it lacks."""

import os
from typing import NamedTuple

from classes.capabilities import EVERYTHING, Capability


class Implementation(NamedTuple):
    """An implementation of the contract, and how the suite uses it."""

    name: str
    checked: bool  # behind the border of `checking`, which holds every call against the contract
    has: frozenset[Capability]


LINUX = Implementation("linux", False, EVERYTHING)
LINUX_CHECKED = Implementation("linux-checked", True, EVERYTHING)

#: All other tests use the classes without the border, so that here once, with it, is enough; all with
#: NAMEDMAP_IMPLEMENTATIONS=all.
IMPLEMENTATIONS = (LINUX_CHECKED, LINUX) if os.environ.get("NAMEDMAP_IMPLEMENTATIONS") == "all" else (LINUX_CHECKED,)
