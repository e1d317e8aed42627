"""Stand-ins for pywin32's modules, in the parts that deal with files, sections, mutexes, semaphores and events.

pywintypes     error, HANDLE, OVERLAPPED, SECURITY_ATTRIBUTES
win32event     mutexes, semaphores, events, waits
win32file      files
win32api       handles, processes, error texts
mmapfile       a section and its view, as a file
win32con       constants
winerror       error codes

Arguments, results and exceptions are those of pywin32. What a module does not have is an AttributeError, as of a name
that pywin32 itself does not have: a program sees at once what is missing.
"""

from types import ModuleType


def modules() -> dict[str, ModuleType]:
    """The modules by the names under which programs import them."""
    from namedmap.compat.pywin32 import mmapfile, pywintypes, win32api, win32con, win32event, win32file, winerror

    found = (mmapfile, pywintypes, win32api, win32con, win32event, win32file, winerror)
    return {module.__name__.rpartition(".")[2]: module for module in found}
