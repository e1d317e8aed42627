"""Stand-ins for pywin32's modules, in the parts that deal with files, sections, mutexes, semaphores and events.

pywintypes     error, HANDLE, OVERLAPPED, SECURITY_ATTRIBUTES
win32event     mutexes, semaphores, events, waits
win32file      files
win32api       handles, processes, error texts
win32process   this process, and whether others run
win32security  security attributes
mmapfile       a section and its view, as a file
win32con       constants
winerror       error codes

Arguments, results and exceptions are those of pywin32. A name that a module does not have is an AttributeError, as is
one that pywin32 itself does not have: a program sees at once what is missing.
"""

import importlib
from types import ModuleType

_NAMES = (
    "mmapfile",
    "pywintypes",
    "win32api",
    "win32con",
    "win32event",
    "win32file",
    "win32process",
    "win32security",
    "winerror",
)


def modules() -> dict[str, ModuleType]:
    """The modules by the names under which programs import them."""
    return {name: importlib.import_module(f"{__name__}.{name}") for name in _NAMES}
