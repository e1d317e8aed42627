"""pywin32's `win32process`, as far as a program asks for itself, or whether another one still runs."""

import typing as _typing

from namedmap import types as _types
from namedmap.compat._system import exit_code as _exit_code
from namedmap.compat.pywin32 import _calls
from namedmap.compat.pywin32.pywintypes import PyHANDLE as _PyHANDLE
from namedmap.compat.pywin32.pywintypes import error as error
from namedmap.compat.pywin32.win32api import GetCurrentProcess as GetCurrentProcess
from namedmap.compat.pywin32.win32api import GetCurrentProcessId as GetCurrentProcessId

STILL_ACTIVE = 259

if _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> int: ...


def GetExitCodeProcess(handle: _calls.AnyHandle, /) -> int:
    """STILL_ACTIVE, or 0 once the process has ended: with which status, only its parent is told on Linux."""
    code = _types.DWORD()
    _calls.check(_exit_code(_PyHANDLE.number(handle), code), "GetExitCodeProcess")
    return code.value
