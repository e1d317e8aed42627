"""The implementations that the suite runs against. Another platform is another line here, with what it lacks."""

import ctypes
import os
import sys
from typing import Any, NamedTuple

from classes.capabilities import EVERYTHING, Capability


class Implementation(NamedTuple):
    """An implementation of the contract, and how the suite uses it."""

    name: str
    checked: bool  # behind the border of `checking`, which holds every call against the contract
    has: frozenset[Capability]


def _on_windows() -> frozenset[Capability]:
    """The capabilities of Windows, and of this one: an early one, and Wine, may lack more."""
    has = EVERYTHING - {
        Capability.FORK,
        Capability.EXACT_SIZES,
        Capability.MODES,
        Capability.USERS,
        Capability.CUT_FILES,
        Capability.RESIDENCY,
        Capability.ADVICE,
        Capability.DEVICES,
        Capability.DESCRIPTORS,
    }
    libraries: Any = vars(ctypes)["windll"]
    if hasattr(libraries.ntdll, "wine_get_version"):
        has -= {Capability.STRICT_SDDL}
    return has if hasattr(libraries.ntdll, "NtExtendSection") else has - {Capability.EXTENSION}


if sys.platform == "win32":
    CHECKED = Implementation("windows-checked", True, _on_windows())
else:
    CHECKED = Implementation("linux-checked", True, EVERYTHING)
PLAIN = CHECKED._replace(name=CHECKED.name.removesuffix("-checked"), checked=False)

#: All other tests use the classes without the border, so that here once, with it, is enough; all with
#: NAMEDMAP_IMPLEMENTATIONS=all.
IMPLEMENTATIONS = (CHECKED, PLAIN) if os.environ.get("NAMEDMAP_IMPLEMENTATIONS") == "all" else (CHECKED,)
