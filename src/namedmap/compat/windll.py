"""What ctypes has on Windows only: `WinDLL`, `windll`, `WinError`, `get_last_error` and the rest; for 64-bit programs.

The libraries are ours: kernel32 with the functions of `namedmap.win32` and what else programs with named maps ask for
(memory, texts, time), and a little of advapi32, user32, shell32, winmm and ntdll. A library that is not here cannot be
loaded, a function that is not here is an AttributeError. msvcrt is the C library.

    kernel32 = WinDLL("kernel32", use_last_error=True)
    kernel32.OpenFileMappingW.restype = wintypes.HANDLE

`install` puts all of it into ctypes, for the process.
"""

import builtins
import ctypes
import functools
import importlib
import re
from ctypes import wintypes
from typing import Any

from namedmap import errors
from namedmap._platform import functions
from namedmap.compat import _declarations
from namedmap.compat._foreign import WINFUNCTYPE, ForeignFunction, get_last_error, set_last_error
from namedmap.constants import FORMAT_MESSAGE_FROM_SYSTEM

__all__ = [
    "WINFUNCTYPE",
    "FormatError",
    "GetLastError",
    "WinDLL",
    "WinError",
    "get_last_error",
    "install",
    "set_last_error",
    "windll",
]

#: The C library by its names on Windows.
_C_LIBRARY = re.compile(r"msvcrt|msvcr\d+|ucrtbase|vcruntime\d+|api-ms-win-crt-.*")
#: The loaders that ctypes has everywhere; the first is for functions of C.
_loaders: list[Any] = [value for value in vars(ctypes).values() if isinstance(value, ctypes.LibraryLoader)]
_load_native = _loaders[0]._dlltype


def _stem(name: object) -> str:
    """The name of a library as programs write it: with or without directory and .dll, in any case."""
    return re.split(r"[\\/]", str(name).lower())[-1].removesuffix(".dll")


def is_known(name: object) -> bool:
    """Whether a library of this name is here."""
    return _stem(name) in _declarations.LIBRARIES or _C_LIBRARY.fullmatch(_stem(name)) is not None


class WinDLL:
    """A library of Windows; its functions are its attributes. Source: ctypes.

    Each loading has function objects of its own. With `use_last_error` they keep their last error where
    `get_last_error` finds it, undisturbed by other calls.
    """

    def __new__(cls, name: str, *arguments: Any, **options: Any) -> Any:
        """The library. Raises FileNotFoundError (ERROR_MOD_NOT_FOUND) for one that is not here."""
        if not is_known(name):
            raise _missing(name)
        if _stem(name) not in _declarations.LIBRARIES:
            return _load_native(None)
        return super().__new__(cls)

    def __init__(
        self,
        name: str,
        mode: int = 0,
        handle: int | None = None,
        use_errno: bool = False,
        use_last_error: bool = False,
        winmode: int | None = None,
    ) -> None:
        self._name = name
        self._handle = 0x400000 if handle is None else handle
        self._keeps_error = use_last_error

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r}, handle {self._handle:x} at {id(self):#x}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        function = self[name]
        setattr(self, name, function)
        return function

    def __getitem__(self, name: str) -> ForeignFunction:
        """The function of this name, as a new object. Raises AttributeError."""
        found = _declarations.find(_stem(self._name), name) if isinstance(name, str) else None
        if found is None:
            raise AttributeError(f"function {name!r} not found")
        return ForeignFunction(name, found, self._keeps_error)


def _missing(name: object) -> Exception:
    error = errors.NotFoundError(126, f"Could not find module '{name}' (or one of its dependencies)")
    error.filename = str(name)
    return error


#: The libraries as attributes, each loaded once.
windll: Any = ctypes.LibraryLoader(WinDLL)


def GetLastError() -> int:
    """The last error of this thread."""
    return functions.GetLastError()


def FormatError(code: int | None = None) -> str:
    """The text for a code, by default that of the last error."""
    text = functions.FormatMessage(FORMAT_MESSAGE_FROM_SYSTEM, None, GetLastError() if code is None else code)
    return text if isinstance(text, str) else "<no description>"


def WinError(code: int | None = None, descr: str | None = None) -> errors.Error:
    """An OSError for a code, by default the last error; with `winerror`, and of the class that Python has for it."""
    if code is None:
        code = GetLastError()
    return errors.of(code, FormatError(code).strip() if descr is None else descr)


# -- installation ------------------------------------------------------------------------------------------------------


@functools.cache
def install() -> None:
    """Put it all into ctypes, and WindowsError into builtins; without effect the second time.

    The types of ctypes.wintypes get the sizes that they have on Windows (DWORD and LONG have 8 bytes here otherwise),
    for all who ask for them from now on; ctypes.c_long stays what it is.
    """
    ours: dict[str, Any] = {
        "WinDLL": WinDLL,
        "windll": windll,
        "WinError": WinError,
        "FormatError": FormatError,
        "GetLastError": GetLastError,
        "get_last_error": get_last_error,
        "set_last_error": set_last_error,
        "WINFUNCTYPE": WINFUNCTYPE,
    }
    for name, value in ours.items():
        setattr(ctypes, name, value)
    _teach_loaders()
    _resize_types()
    vars(builtins)["WindowsError"] = OSError


def _teach_loaders() -> None:
    """Let the other loaders know the libraries as well: on 64-bit Windows they all load the same."""
    for loader in _loaders:
        known = _knowing(loader._dlltype)
        setattr(ctypes, known.__name__, known)
        loader._dlltype = known


def _knowing(native: Any) -> Any:
    """A class of ctypes, which also knows the libraries of Windows."""

    def new(cls: Any, name: Any = None, *arguments: Any, **options: Any) -> Any:
        return WinDLL(name, *arguments, **options) if name is not None and is_known(name) else native.__new__(cls)

    return type(native.__name__, (native,), {"__new__": new, "__doc__": native.__doc__})


def _resize_types() -> None:
    """Define wintypes once more, while a long has 32 bits."""
    kept = ctypes.c_long, ctypes.c_ulong
    vars(ctypes).update(c_long=ctypes.c_int32, c_ulong=ctypes.c_uint32)
    try:
        importlib.reload(wintypes)
    finally:
        vars(ctypes).update(c_long=kept[0], c_ulong=kept[1])
