"""The compiled core as tests see it: what it has, and whether it does what is asked or leaves it to the Python code."""

from typing import Any

from calls.kernel import compiled

#: The reason of a test that needs the core and finds none.
NONE_HERE = "there is no compiled core here (namedmap doctor tells why)"


def held() -> list[Any]:
    """The holds that have not hatched."""
    return [] if compiled.core is None else list(compiled.core.holds())


def mapped() -> list[Any]:
    """The views that the address space does not know yet."""
    return [] if compiled.core is None else list(compiled.core.views())
