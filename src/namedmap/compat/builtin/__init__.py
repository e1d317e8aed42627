"""Stand-ins for modules that are part of Python on Windows only, in the parts that deal with our objects.

_winapi    files, sections, mutexes, events, waits
msvcrt     handles of descriptors, keys that are pressed

They are found by the modules of programs that are told that this is Windows, and by nobody else: the standard library
and others take their presence for Windows itself. On Windows there are the real ones.
"""

import importlib
from typing import Any

from namedmap._platform import native

NAMES = ("_winapi", "msvcrt")


def module(name: str) -> Any:
    """The module of one of these names: Python's own, or what stands in for it."""
    return importlib.import_module(name if native else f"{__name__}.{name}")
