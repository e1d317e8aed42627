"""Functions of Windows libraries as objects that behave as those of ctypes: with argtypes, restype and errcheck.

A declaration says what a function takes and returns on Windows; the program's own argtypes are checks on top of it. The
result is 64 bits wide, extended as its C type demands, and read as what the program says it is. Without a restype that
is a C int, as on Windows, where an address would lose its upper half as well.
"""

import ctypes
import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from namedmap._platform import functions, memory
from namedmap.compat._arguments import Call, Kind, Simple
from namedmap.memory.longs import warn_of_longs

VOID, INT, DWORD, POINTER = "void", "int", "dword", "pointer"

_ByRef: Any = type(ctypes.byref(ctypes.c_int()))
_FIN, _FOUT, _FLCID = 1, 2, 4


class Declaration(NamedTuple):
    """The things behind a name: a function, the C type of its result, and of each argument."""

    function: Callable[..., Any]
    result: str
    arguments: tuple[Kind, ...]
    #: The same with results below 2 GiB, where a program would lose the upper half of an address.
    low: Callable[..., Any] | None = None


class _LastError(threading.local):
    code = 0


#: The result of ctypes.get_last_error: the error of calls through libraries that were loaded with use_last_error.
_private = _LastError()


def get_last_error() -> int:
    """The last error of this thread's calls through libraries that keep it."""
    return _private.code


def set_last_error(error: int) -> int:
    """Set it; returns what it was."""
    before, _private.code = _private.code, int(error)
    return before


class ForeignFunction:
    """A function of a library. Errors in arguments are ctypes.ArgumentError, failures those that it has on Windows."""

    def __init__(self, name: str, declaration: Declaration, keeps_error: bool = False) -> None:
        self.__name__ = name
        self._declaration = declaration
        self._keeps_error = keeps_error
        self._argtypes: tuple[Any, ...] | None = None
        self._restype: Any = ctypes.c_int
        self._errcheck: Any = None

    def __repr__(self) -> str:
        return f"<foreign function {self.__name__!r}>"

    # -- what a program may set ------------------------------------------------------------------------------------

    @property
    def argtypes(self) -> Any:
        """The ctypes types that arguments are checked against; None for any."""
        return self._argtypes

    @argtypes.setter
    def argtypes(self, kinds: Iterable[Any] | None) -> None:
        if kinds is None:
            self._argtypes = None
            return
        wanted = tuple(kinds)
        for index, kind in enumerate(wanted, 1):
            if not hasattr(kind, "from_param"):
                raise TypeError(f"item {index} in _argtypes_ has no from_param method")
        self._argtypes = wanted

    @argtypes.deleter
    def argtypes(self) -> None:
        self._argtypes = None

    @property
    def restype(self) -> Any:
        """The ctypes type of the result, a callable for a C int, or None for no result."""
        return self._restype

    @restype.setter
    def restype(self, kind: Any) -> None:
        if kind is not None and not callable(kind):
            raise TypeError("restype must be a type, a callable, or None")
        self._restype = kind

    @restype.deleter
    def restype(self) -> None:
        self._restype = ctypes.c_int

    @property
    def errcheck(self) -> Any:
        """A function that is called with result, function and arguments; what it returns is the result."""
        return self._errcheck

    @errcheck.setter
    def errcheck(self, check: Any) -> None:
        if check is not None and not callable(check):
            raise TypeError("the errcheck attribute must be callable")
        self._errcheck = check

    @errcheck.deleter
    def errcheck(self) -> None:
        self._errcheck = None

    # -- calls -----------------------------------------------------------------------------------------------------

    def __call__(self, *arguments: Any) -> Any:
        result = self._call(arguments)
        return result if self._errcheck is None else self._errcheck(result, self, arguments)

    def _call(self, arguments: tuple[Any, ...]) -> Any:
        kinds = self._declaration.arguments
        # More than it takes do no harm on 64-bit Windows; fewer would be read from wherever.
        wanted = max(len(kinds), len(self._argtypes or ()))
        if len(arguments) < wanted:
            raise TypeError(f"{self.__name__} takes {wanted} arguments ({len(arguments)} given)")
        call = Call()
        values = []
        for index, argument in enumerate(arguments):
            try:
                checked = self._check(index, argument)
                values.append(kinds[index](checked, call) if index < len(kinds) else None)
            except (TypeError, ValueError, AttributeError, ctypes.ArgumentError) as error:
                raise ctypes.ArgumentError(f"argument {index + 1}: {type(error).__name__}: {error}") from None
        result = self._invoke(values[: len(kinds)])
        call.end()
        return converted(result, self._declaration.result, self._restype)

    def _check(self, index: int, argument: Any) -> Any:
        """The argument as the program's own type for it makes it."""
        if self._argtypes is None or index >= len(self._argtypes):
            return argument
        made = self._argtypes[index].from_param(argument)
        if not isinstance(made, _ByRef):
            return made
        # A number or text that from_param has converted cannot be read again; one whose address it has taken can.
        return made if _is_address(made) else argument

    def _invoke(self, values: list[Any]) -> Any:
        function = self._declaration.function
        if self._declaration.low is not None and not _holds_address(self._restype):
            function = self._declaration.low
        if not self._keeps_error:
            return function(*values)
        # Only a code of the program's own: to set the same again would lose what is known about it.
        if functions.GetLastError() != _private.code:
            functions.SetLastError(_private.code)
        try:
            return function(*values)
        finally:
            _private.code = functions.GetLastError()


_CDATA: Any = ctypes.c_int.__mro__[-2]


def _is_address(made: Any) -> bool:
    """Whether a parameter that ctypes has made is the address of an instance, not the text that a c_char_p leads to."""
    if not isinstance(getattr(made, "_obj", None), _CDATA):
        return False
    try:
        ctypes.cast(made, ctypes.c_void_p)
    except ctypes.ArgumentError:
        return False
    return True


def _holds_address(kind: Any) -> bool:
    """Whether a result of this type has 64 bits; that of a callable is a C int."""
    return kind is None or (hasattr(kind, "from_buffer_copy") and ctypes.sizeof(kind) >= 8)


def converted(result: Any, declared: str, kind: Any) -> Any:
    """The program's form of a result: its 64 bits, as the type that the program has for it."""
    if kind is None:
        return None
    number = int(result or 0)
    if declared != POINTER:
        number = ctypes.c_int32(number).value if declared == INT else number & 0xFFFFFFFF
        # These have 32 bits on Windows.
        kind = {ctypes.c_long: ctypes.c_int32, ctypes.c_ulong: ctypes.c_uint32}.get(kind, kind)
    if not hasattr(kind, "from_buffer_copy"):
        return kind(ctypes.c_int32(number & 0xFFFFFFFF).value)
    if declared == POINTER and hasattr(kind, "contents") and memory.is_view(number):
        warn_of_longs(kind._type_, stacklevel=5)
    value = kind.from_buffer_copy((number & 2**64 - 1).to_bytes(8, "little"))
    if Simple in kind.__bases__:
        value = value.value
    check = getattr(kind, "_check_retval_", None)
    return value if check is None else check(value)


# -- prototypes --------------------------------------------------------------------------------------------------------


class PrototypedFunction(ForeignFunction):
    """A function from a prototype with parameter flags: with names, defaults, and results in place of out-arguments."""

    def __init__(self, function: ForeignFunction, flags: tuple[Any, ...]) -> None:
        super().__init__(function.__name__, function._declaration, function._keeps_error)
        self._flags = [(*flag, *(None, _REQUIRED)[len(flag) - 1 :]) for flag in flags]

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        given, results = self._arrange(list(arguments), named)
        result: Any = self._call(given)
        if self._errcheck is not None:
            result = self._errcheck(result, self, given)
            if result is not given:
                return result
        if not results:
            return result
        found = [each.value if isinstance(each, Simple) else each for each in results]
        return found[0] if len(found) == 1 else tuple(found)

    def _arrange(self, arguments: list[Any], named: dict[str, Any]) -> tuple[tuple[Any, ...], list[Any]]:
        """All arguments, and those of them that are results."""
        given: list[Any] = []
        results = []
        for (flag, name, default), kind in zip(self._flags, self._argtypes or (), strict=True):
            direction = flag & (_FIN | _FOUT) or _FIN
            if direction == _FOUT:
                value = kind._type_()
            elif arguments and not flag & _FLCID:
                value = arguments.pop(0)
            elif name is not None and name in named:
                value = named.pop(name)
            elif default is not _REQUIRED or flag & _FLCID:
                value = 0 if default is _REQUIRED else default
            else:
                raise TypeError(f"required argument '{name}' missing" if name else "not enough arguments")
            if direction == _FIN | _FOUT and not isinstance(value, kind._type_):
                value = kind._type_(value)
            if direction & _FOUT:
                results.append(value)
            given.append(value)
        if arguments or named:
            raise TypeError(f"{self.__name__}: {arguments or list(named)} is more than it takes")
        return tuple(given), results


_REQUIRED: Any = object()


@functools.cache
def WINFUNCTYPE(restype: Any, *argtypes: Any, use_errno: bool = False, use_last_error: bool = False) -> Any:
    """A type of callbacks, and of functions of libraries: called with a name and a library. Source: ctypes."""
    # The calling convention of 64-bit systems is one, so a callback is one of C.
    base: Any = ctypes.CFUNCTYPE(restype, *argtypes, use_errno=use_errno, use_last_error=use_last_error)

    def new(cls: Any, *arguments: Any) -> Any:
        if not (arguments and isinstance(arguments[0], tuple)):
            return base.__new__(cls, *arguments)
        (name, library), *flags = arguments
        function = library[name]
        if not isinstance(function, ForeignFunction):
            return base(*arguments)
        function._keeps_error = function._keeps_error or use_last_error
        made = PrototypedFunction(function, tuple(flags[0])) if flags and flags[0] else function
        made.restype, made.argtypes = restype, argtypes
        return made

    inherited = {"_flags_": base._flags_, "_argtypes_": base._argtypes_, "_restype_": base._restype_}
    return type("WinFunctionType", (base,), {**inherited, "__new__": new})
