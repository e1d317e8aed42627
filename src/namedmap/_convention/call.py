"""Between a Win32 or native call and the object manager: arguments in, last error and return value out.

Every function of the contract is a plain Python function that raises KernelError, wrapped by `win32` or `native`, which
alone know what a failure looks like from outside. A wrong Python type raises TypeError, as everywhere in Python; any
value of the right type is at worst a failed call.
"""

import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

from namedmap._convention.status import NTSTATUS, KernelError, is_ours, translated
from namedmap.types import SECURITY_ATTRIBUTES

Params = ParamSpec("Params")
Result = TypeVar("Result")
Failure = TypeVar("Failure")

#: A ctypes instance, or `byref`/`pointer` of one: where a call stores a result. None where Win32 allows NULL.
Out = Any


class _LastError(threading.local):
    code = 0
    detail = ""


#: A handle argument: its value, a HANDLE that a call stored one in, or None for NULL.
AnyHandle = int | ctypes.c_void_p | None
#: An address argument, likewise.
AnyAddress = int | ctypes.c_void_p | None

last_error = _LastError()


def set_last_error(code: int, detail: str = "") -> None:
    last_error.code = code
    last_error.detail = detail


def win32(failure: Failure) -> Callable[[Callable[Params, Result]], Callable[Params, Result | Failure]]:
    """Make a function of the object manager a Win32 function that returns `failure` and sets the last error."""

    def decorate(function: Callable[Params, Result]) -> Callable[Params, Result | Failure]:
        @functools.wraps(function)
        def call(*args: Params.args, **kwargs: Params.kwargs) -> Result | Failure:
            # The error is in no variable of this frame but `error`, which Python deletes: one that stayed would be in
            # a cycle with this frame, and keep its callers' variables until the garbage collector runs.
            try:
                return function(*args, **kwargs)
            except KernelError as error:
                set_last_error(error.winerror, f"{function.__name__}: {error.detail}")
            except (OSError, MemoryError) as error:
                if not is_ours(error):
                    raise
                _report(function.__name__, error)
            return failure

        return call

    return decorate


def native(function: Callable[Params, int | None]) -> Callable[Params, int]:
    """Make a function of the object manager a native call that returns an NTSTATUS; None is STATUS_SUCCESS."""

    @functools.wraps(function)
    def call(*args: Params.args, **kwargs: Params.kwargs) -> int:
        try:
            return function(*args, **kwargs) or NTSTATUS.STATUS_SUCCESS
        except KernelError as error:
            return error.status
        except (OSError, MemoryError) as error:
            if not is_ours(error):
                raise
            return translated(error).status

    return call


def _report(name: str, error: OSError | MemoryError) -> None:
    known = translated(error)
    set_last_error(known.winerror, f"{name}: {known.detail}")


def invalid(detail: str) -> KernelError:
    return KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, detail)


def _integer(value: object, low: int, high: int, what: str) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    if not low <= value <= high:
        raise invalid(f"{what} {value} does not fit into {high.bit_length()} bits")
    return int(value)


# No argument is asked for its hash, as a cache of results would do: a writable memoryview has none, and says so by
# ValueError. Most arguments are plain numbers, which pass at the first look.


def dword(value: object, what: str = "a DWORD argument") -> int:
    """An unsigned 32-bit argument; -1 is 0xFFFFFFFF, as in C."""
    if type(value) is int and 0 <= value <= 0xFFFFFFFF:
        return value
    return _integer(value, -(2**31), 0xFFFFFFFF, what) & 0xFFFFFFFF


def size_t(value: object, what: str = "a size") -> int:
    """An unsigned 64-bit argument; -1 is 2**64-1, as in C."""
    if type(value) is int and 0 <= value <= 0xFFFFFFFFFFFFFFFF:
        return value
    return _integer(value, -(2**63), 2**64 - 1, what) & 0xFFFFFFFFFFFFFFFF


def int64(value: object, what: str = "an offset") -> int:
    """A signed 64-bit argument."""
    if isinstance(value, ctypes.c_int64):
        return int(value.value)
    number = _integer(value, -(2**63), 2**64 - 1, what)
    return number - 2**64 if number >= 2**63 else number


def address(value: object) -> int:
    """A pointer argument: None, an int, or a ctypes pointer."""
    if value is None:
        return 0
    if isinstance(value, ctypes.c_void_p):
        return value.value or 0
    return size_t(value, "an address")


def handle(value: object) -> int:
    """A handle argument, sign-extended as the pseudo handles are; None is NULL."""
    if type(value) is int and -2 <= value < 2**31:
        return value
    if value is None:
        return 0
    if isinstance(value, ctypes.c_void_p):
        value = value.value or 0
    number = _integer(value, -(2**63), 2**64 - 1, "a handle")
    if number >= 2**63:
        number -= 2**64
    return number - 2**32 if 2**31 <= number < 2**32 else number


def boolean(value: object) -> bool:
    """A BOOL argument."""
    if value is False or value is True:
        return value
    if not isinstance(value, int):
        raise TypeError(f"a BOOL must be a bool or an int, not {type(value).__name__}")
    return bool(value)


def object_name(value: object) -> str:
    """The name of an object that the Python classes create or open."""
    if not isinstance(value, str):
        raise TypeError(f"the name of an object is a str, not {type(value).__name__}")
    if not value:
        raise KernelError(
            NTSTATUS.STATUS_OBJECT_NAME_INVALID,
            "the name of an object is empty: give it a name, or create it with None for one without a name",
        )
    return value


def optional_text(value: object, what: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{what} must be a str or None, not {type(value).__name__}")
    return value


def target(out: Out, kind: type[Any] | tuple[type[Any], ...], what: str, *, required: bool = True) -> Any:
    """The ctypes instance behind an out-argument; None where NULL was passed and is allowed."""
    if out is None:
        if required:
            raise KernelError(NTSTATUS.STATUS_ACCESS_VIOLATION, f"{what} is NULL")
        return None
    found = getattr(out, "_obj", None)  # ctypes.byref
    if found is None:
        try:
            found = getattr(out, "contents", out)  # ctypes.pointer
        except ValueError:  # a NULL pointer
            return target(None, kind, what, required=required)
    if not isinstance(found, kind):
        names = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
        raise TypeError(f"{what} must be a {names}, or byref of one, not {type(out).__name__}")
    return found


def security(attributes: Any) -> SECURITY_ATTRIBUTES | None:
    """The structure behind a pointer to SECURITY_ATTRIBUTES, or None."""
    found: SECURITY_ATTRIBUTES | None = target(attributes, SECURITY_ATTRIBUTES, "security attributes", required=False)
    return found


def inherits(attributes: SECURITY_ATTRIBUTES | None) -> bool:
    """bInheritHandle."""
    return attributes is not None and bool(attributes.bInheritHandle)


class Memory(NamedTuple):
    """Memory for a transfer. `owner` keeps it where it is as long as this lives."""

    address: int
    owner: object = None


def buffer(value: Any, length: int, what: str, *, writable: bool) -> Memory:
    """The memory behind a data argument: an address, a ctypes object, or anything with the buffer protocol."""
    if value is None or isinstance(value, int | ctypes.c_void_p):
        return Memory(address(value))
    value = getattr(value, "_obj", value)  # ctypes.byref
    if isinstance(value, bytes) and not writable:
        _require_room(len(value), length, what)
        return Memory(ctypes.cast(ctypes.c_char_p(value), ctypes.c_void_p).value or 0, value)
    try:
        view = memoryview(value)
    except TypeError:
        raise TypeError(f"{what} must be a buffer, a ctypes object or an address, not {type(value).__name__}") from None
    except (ValueError, BufferError) as error:  # a buffer that was released or closed
        raise KernelError(NTSTATUS.STATUS_ACCESS_VIOLATION, f"{what} is no memory any more: {error}") from None
    if writable and view.readonly:
        raise TypeError(f"{what} must be writable, which {type(value).__name__} is not")
    _require_room(view.nbytes, length, what)
    if view.readonly or not view.c_contiguous:
        return buffer(view.tobytes(), length, what, writable=writable)
    owner = (ctypes.c_char * view.nbytes).from_buffer(view)
    return Memory(ctypes.addressof(owner), owner)


def _require_room(present: int, length: int, what: str) -> None:
    if present < length:
        raise KernelError(NTSTATUS.STATUS_BUFFER_TOO_SMALL, f"{what} has {present} bytes; the call is for {length}")
