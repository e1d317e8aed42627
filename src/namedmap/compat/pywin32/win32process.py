"""pywin32's `win32process`, as far as a program asks for itself, or whether and how another one ended."""

import datetime as _datetime
import typing as _typing

from namedmap import types as _types
from namedmap._platform import functions as _functions
from namedmap.compat.pywin32 import _calls
from namedmap.compat.pywin32.pywintypes import PyHANDLE as _PyHANDLE
from namedmap.compat.pywin32.pywintypes import error as error
from namedmap.compat.pywin32.win32api import GetCurrentProcess as GetCurrentProcess
from namedmap.compat.pywin32.win32api import GetCurrentProcessId as GetCurrentProcessId
from namedmap.compat.pywin32.win32api import TerminateProcess as TerminateProcess
from namedmap.constants import STILL_ACTIVE as STILL_ACTIVE

if _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> int: ...


def GetExitCodeProcess(handle: _calls.AnyHandle, /) -> int:
    """STILL_ACTIVE, or how the process has ended: its status, or the number of the signal that ended it."""
    code = _types.DWORD()
    _calls.check(_functions.GetExitCodeProcess(_PyHANDLE.number(handle), code), "GetExitCodeProcess")
    return code.value


def GetProcessTimes(handle: _calls.AnyHandle, /) -> dict[str, _typing.Any]:
    """When a process began and ended, in UTC; and its time in the kernel and outside, in units of 100 ns."""
    times = [_types.LARGE_INTEGER() for _ in range(4)]
    _calls.check(_functions.GetProcessTimes(_PyHANDLE.number(handle), *times), "GetProcessTimes")
    created, ended, kernel, user = (time.value for time in times)
    return {"CreationTime": _moment(created), "ExitTime": _moment(ended), "KernelTime": kernel, "UserTime": user}


def _moment(units: int) -> _datetime.datetime:
    start = _datetime.datetime(1601, 1, 1, tzinfo=_datetime.UTC)
    return start + _datetime.timedelta(microseconds=units // 10)
