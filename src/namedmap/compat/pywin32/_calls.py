"""Between pywin32's calls and those of Win32: arguments in, results and exceptions out, constants as C has them."""

import ctypes
import math
import time
from collections.abc import Iterable
from typing import Any, SupportsIndex

from namedmap import constants as c
from namedmap import types
from namedmap.compat.pywin32.pywintypes import PyHANDLE, PySECURITY_ATTRIBUTES, error

#: A handle argument.
AnyHandle = PyHANDLE | SupportsIndex | None
#: A security argument.
Attributes = PySECURITY_ATTRIBUTES | None

_WAIT_FAILED = int(c.WAIT_FAILED)


def handles(values: Iterable[AnyHandle]) -> list[int]:
    """The values of a list of handles. Raises TypeError for what is none."""
    try:
        if hasattr(type(values), "__iter__"):  # a pointer of ctypes has items as well, as many as there is memory
            return [PyHANDLE.number(value) for value in values]
        raise TypeError
    except (TypeError, NotImplementedError):  # the latter of a memoryview of two dimensions
        raise TypeError("the handles must be a list of PyHANDLEs and ints") from None


def attributes(value: Attributes) -> types.SECURITY_ATTRIBUTES | None:
    """Security attributes for a call of Win32."""
    if value is None:
        return None
    if not isinstance(value, PySECURITY_ATTRIBUTES):
        raise TypeError(f"security attributes are a PySECURITY_ATTRIBUTES or None, not {type(value).__name__}")
    descriptor = value.SECURITY_DESCRIPTOR
    text = descriptor.text if descriptor else None
    return types.SECURITY_ATTRIBUTES(lpSecurityDescriptor=text, bInheritHandle=bool(value.bInheritHandle))


def owned(value: int | None, funcname: str) -> PyHANDLE:
    """The handle that a call returned. Raises error for none."""
    if value is None or value == c.INVALID_HANDLE_VALUE:
        raise error.last(funcname)
    return PyHANDLE(value)


def check(succeeded: object, funcname: str) -> None:
    """Raise error for a call that returned False."""
    if not succeeded:
        raise error.last(funcname)


def waited(result: int, funcname: str) -> int:
    """The result of a wait. Raises error if it failed."""
    if result == _WAIT_FAILED:
        raise error.last(funcname)
    return result


def sleep(milliseconds: int) -> None:
    """Sleep for so many milliseconds, or INFINITE."""
    milliseconds &= 0xFFFFFFFF
    end = time.monotonic() + (math.inf if milliseconds == c.INFINITE else milliseconds / 1000)
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 3600))


def signed(value: int) -> int:
    """A constant as a C long, which pywin32 makes of all of them: INFINITE is -1, GENERIC_READ negative."""
    return ctypes.c_int32(value).value


def constants(names: Iterable[str]) -> dict[str, int]:
    """Constants of Win32 by their names."""
    known: dict[str, Any] = vars(c)
    return {name: signed(int(known[name])) for name in names}


def all_names() -> list[str]:
    """The names of all constants that namedmap has."""
    return [name for name, value in vars(c).items() if name.isupper() and isinstance(value, int)]
