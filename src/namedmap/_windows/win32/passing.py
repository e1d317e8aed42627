"""The work of a Win32 function beside calling Windows: it hands over the last error, and says what failed with what.

The last error is that of the convention, of this thread and these functions alone: Windows gets it before each call and
leaves it there afterwards, as if no other code called Windows in between. So a function that succeeds changes it only
where Windows does.
"""

import contextlib
import ctypes
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from namedmap._convention import call
from namedmap._convention.call import Out, last_error, set_last_error, target
from namedmap._convention.status import NTSTATUS, KernelError, from_winerror
from namedmap._windows import calling, security
from namedmap._windows.dll import Foreign

Params = ParamSpec("Params")
Result = TypeVar("Result")
Failure = TypeVar("Failure")

#: Characters of a text argument that a failure shows.
_SHOWN = 100


class Refused(Exception):
    """Windows has refused a call, with this last error."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def win32(failure: Failure) -> Callable[[Callable[Params, Result]], Callable[Params, Result | Failure]]:
    """Make a function a Win32 function that returns `failure`, and whose FormatMessage shows its arguments."""

    def decorate(function: Callable[Params, Result]) -> Callable[Params, Result | Failure]:
        names = function.__code__.co_varnames

        @functools.wraps(function)
        def told(*args: Params.args, **kwargs: Params.kwargs) -> Result:
            try:
                return function(*args, **kwargs)
            except Refused as refused:
                code = refused.code
            given = dict(zip(names, args, strict=False)) | kwargs
            raise from_winerror(code, f"called with {', '.join(filter(None, map(_shown, given, given.values())))}")

        return call.win32(failure)(told)

    return decorate


def _shown(name: str, value: object) -> str:
    """An argument for people; nothing for what points to memory."""
    if isinstance(value, os.PathLike):
        value = os.fsdecode(value)
    if isinstance(value, str):
        return f"{name} {value if len(value) <= _SHOWN else value[:_SHOWN] + '…'!r}"
    if isinstance(value, bool) or value is None:
        return f"{name} {value}"
    if isinstance(value, int):
        return f"{name} {value:#x}" if value > 9 else f"{name} {value}"
    return ""


def answer(function: Foreign, *arguments: Any) -> tuple[Any, int]:
    """The result of a call, and the last error as it is now."""
    result, code = calling.ask(function, *arguments, before=last_error.code)
    if code != last_error.code:
        set_last_error(code)
    return result, code


def done(function: Foreign, *arguments: Any) -> bool:
    """True, from a function that returns a BOOL."""
    result, code = answer(function, *arguments)
    if not result:
        raise Refused(code)
    return True


def made(function: Foreign, *arguments: Any) -> int:
    """The handle, address or size from a function that returns 0 or NULL for a failure."""
    result, code = answer(function, *arguments)
    if not result:
        raise Refused(code)
    return int(result)


def status(function: Foreign, *arguments: Any) -> int:
    """The status that a native call returned, by its name if it is a known one."""
    try:
        value: int = function(*arguments)
    except OSError as error:
        raise KernelError(NTSTATUS.STATUS_ACCESS_VIOLATION, f"an argument is no usable address: {error}") from None
    return NTSTATUS(value) if value in NTSTATUS._value2member_map_ else value


def place(out: Out, kind: type[Any] | tuple[type[Any], ...], what: str, *, required: bool = True) -> Any:
    """An out-argument as a pointer for Windows; None for NULL, where that is allowed."""
    found = target(out, kind, what, required=required)
    return None if found is None else ctypes.byref(found)


@contextlib.contextmanager
def secured(attributes: Any) -> Iterator[Any]:
    """The argument that points to SECURITY_ATTRIBUTES as a pointer for Windows, for the length of the with-block."""
    with security.attributes(call.security(attributes)) as found:
        yield None if found is None else ctypes.byref(found)


def object_name(value: str | None, what: str = "lpName") -> str | None:
    """The name of an object, of which C would see only what comes before a NUL."""
    text = call.optional_text(value, what)
    if text is not None and "\0" in text:
        raise KernelError(NTSTATUS.STATUS_OBJECT_NAME_INVALID, f"object name {text!r} has a NUL in it")
    return text
