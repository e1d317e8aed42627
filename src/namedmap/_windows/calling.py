"""Calls of foreign functions, whose failures are KernelErrors.

`ctypes` keeps the last error of a thread apart from what Python's own calls do to it, but any ctypes call of the thread
changes it: a signal handler or finalizer that Python runs right after the foreign call can. So no step of Python lies
between a call and the reading of its error: `map` makes both, in C.
"""

import ctypes
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

from namedmap._convention import messages
from namedmap._convention.status import NTSTATUS, KernelError, from_winerror
from namedmap._windows import dll

# ctypes has these on Windows only, where alone this module is imported.
_get_last_error: Callable[[], int] = vars(ctypes)["get_last_error"]
_set_last_error: Callable[[int], int] = vars(ctypes)["set_last_error"]

_FIRST_ERROR = 0x80000000  # of an NTSTATUS: warnings and errors
_FROM_SYSTEM, _IGNORE_INSERTS = 0x1000, 0x200
_LONGEST_TEXT = 1 << 15  # characters, of FormatMessage


def ask(function: dll.Foreign, *arguments: Any, before: int = 0) -> tuple[Any, int]:
    """Call a function: its result, and the last error that it left, or `before` if it left none."""
    prepared = partial(_set_last_error, ctypes.c_int32(before).value)
    steps: tuple[Callable[[], Any], ...] = prepared, partial(function, *arguments), _get_last_error
    try:
        _, result, code = map(operator.call, steps)
    except OSError as error:  # how ctypes reports a fault: an argument was an address that cannot be accessed
        raise KernelError(NTSTATUS.STATUS_ACCESS_VIOLATION, f"an argument is no usable address: {error}") from None
    return result, code & 0xFFFFFFFF


def must(asked: str, function: dll.Foreign, *arguments: Any) -> Any:
    """The result of a function for which 0 and NULL are failures; `asked` says what was being done: "cannot map X"."""
    result, code = ask(function, *arguments)
    if not result:
        raise failure(asked, code)
    return result


def failure(asked: str, code: int) -> KernelError:
    """The KernelError for a last error, with its text."""
    return from_winerror(code, f"{asked}: {(text_of(code) or f'error {code}').rstrip('.')}")


def must_succeed(asked: str, function: dll.Foreign, *arguments: Any) -> int:
    """Make a native call; returns its status, which is a success, though perhaps one of another kind than 0."""
    status: int = function(*arguments)
    if status >= _FIRST_ERROR:
        raise failure(asked, dll.RtlNtStatusToDosError(status))
    return status


def text_of(code: int) -> str | None:
    """The text of a last error: that which it has on every platform, else that of this system."""
    return messages.known_text(code) or _system_text(code)


def _system_text(code: int) -> str | None:
    room = ctypes.create_unicode_buffer(_LONGEST_TEXT)
    found = dll.FormatMessageW(_FROM_SYSTEM | _IGNORE_INSERTS, None, code, 0, room, len(room), None)
    return room.value.strip() or None if found else None
