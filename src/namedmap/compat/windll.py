"""The Windows side of ctypes: `WinDLL`, `windll`, `WinError`, `get_last_error` and the rest; for 64-bit programs.

The libraries are ours: kernel32 with the functions of `namedmap.win32` and what else programs with named maps ask for
(memory, texts, time), and a little of advapi32, user32, shell32, winmm and ntdll. All other libraries and functions of
Windows itself can be declared; a call fails, with a warning. Other libraries cannot be loaded, other functions are an
AttributeError. msvcrt is the C library, but for a few of its functions.

    kernel32 = WinDLL("kernel32", use_last_error=True)
    kernel32.OpenFileMappingW.restype = wintypes.HANDLE

`install` puts all of it into ctypes, for the process. On Windows these are the real ones of ctypes.
"""

import builtins
import contextlib
import ctypes
import functools
import importlib
import re
from collections.abc import Iterator
from ctypes import wintypes
from typing import TYPE_CHECKING, Any

from namedmap import errors
from namedmap._platform import functions, native
from namedmap.compat import _declarations, _wide
from namedmap.compat._foreign import WINFUNCTYPE, ForeignFunction, get_last_error, set_last_error
from namedmap.constants import FORMAT_MESSAGE_FROM_SYSTEM

__all__ = [
    "HRESULT",
    "WINFUNCTYPE",
    "FormatError",
    "GetLastError",
    "OleDLL",
    "WinDLL",
    "WinError",
    "get_last_error",
    "install",
    "oledll",
    "set_last_error",
    "windll",
]

#: The C library by its names on Windows.
_C_LIBRARY = re.compile(r"msvcrt|msvcr\d+|ucrtbase|vcruntime\d+|api-ms-win-crt-.*")
#: The loaders that ctypes has everywhere; the first is for functions of C.
_loaders: list[Any] = [value for value in vars(ctypes).values() if isinstance(value, ctypes.LibraryLoader)]
if TYPE_CHECKING:
    _NativeLibrary = object
    _Int32 = object
else:
    _NativeLibrary, _Int32 = _loaders[0]._dlltype, ctypes.c_int32


def _stem(name: object) -> str:
    """The name of a library as programs write it: with or without directory and .dll, in any case."""
    return re.split(r"[\\/]", str(name).lower())[-1].removesuffix(".dll")


def is_known(name: object) -> bool:
    """Whether a library of this name is here."""
    return _declarations.is_library(_stem(name)) or _C_LIBRARY.fullmatch(_stem(name)) is not None


class WinDLL:
    """A library of Windows; its functions are its attributes. Source: ctypes.

    Each loading has function objects of its own. With `use_last_error` they keep their last error where
    `get_last_error` finds it, undisturbed by other calls.
    """

    _result: Any = ctypes.c_int

    def __new__(cls, name: str, *arguments: Any, **options: Any) -> Any:
        """The library. Raises FileNotFoundError (ERROR_MOD_NOT_FOUND) for one that is not here."""
        if not is_known(name):
            raise _missing(name)
        if not _declarations.is_library(_stem(name)):
            return _load_c_library()
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
        function = ForeignFunction(name, found, self._keeps_error)
        function.restype = self._result
        return function


class HRESULT(_Int32):
    """The type of results that are an OSError if they are negative. Source: ctypes."""

    @staticmethod
    def _check_retval_(result: Any) -> int:
        code: int = result.value
        if code < 0:
            raise WinError(code)
        return code


class OleDLL(WinDLL):
    """A library whose functions return HRESULT, unless a program says otherwise. Source: ctypes."""

    _result = HRESULT


class _CLibrary(_NativeLibrary):
    """The C library by a name that it has on Windows; a few functions are ours."""

    def __getitem__(self, name: Any) -> Any:
        if name in _declarations.C_LIBRARY:
            return ForeignFunction(name, _declarations.C_LIBRARY[name])
        native: Any = super()
        return native.__getitem__(name)


def _load_c_library() -> Any:
    load: Any = _CLibrary
    return load(None)


def _missing(name: object) -> Exception:
    error = errors.NotFoundError(126, f"Could not find module '{name}' (or one of its dependencies)")
    error.filename = str(name)
    return error


#: The libraries as attributes, each loaded once.
windll: Any = ctypes.LibraryLoader(WinDLL)
oledll: Any = ctypes.LibraryLoader(OleDLL)


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
    for all who ask for them from now on; so does wide text in structures. ctypes.c_long stays what it is.
    """
    if native:
        return
    ours: dict[str, Any] = {
        "WinDLL": WinDLL,
        "windll": windll,
        "OleDLL": OleDLL,
        "oledll": oledll,
        "HRESULT": HRESULT,
        "WinError": WinError,
        "FormatError": FormatError,
        "GetLastError": GetLastError,
        "get_last_error": get_last_error,
        "set_last_error": set_last_error,
        "WINFUNCTYPE": WINFUNCTYPE,
        "Structure": _wide.Structure,
        "LittleEndianStructure": _wide.Structure,
        "Union": _wide.Union,
        "LittleEndianUnion": _wide.Union,
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
        # A path of Linux leads to a file.
        known = name is not None and is_known(name) and ("/" not in str(name) or str(name).lower().endswith(".dll"))
        return WinDLL(name, *arguments, **options) if known else native.__new__(cls)

    return type(native.__name__, (native,), {"__new__": new, "__doc__": native.__doc__})


def _resize_types() -> None:
    """Define wintypes once more, while a long has 32 bits."""
    with types_are(c_long=ctypes.c_int32, c_ulong=ctypes.c_uint32):
        importlib.reload(wintypes)


@contextlib.contextmanager
def types_are(**ours: Any) -> Iterator[None]:
    """For a moment ctypes has these."""
    names = vars(ctypes)
    kept = {name: names[name] for name in ours}
    names.update(ours)
    try:
        yield
    finally:
        names.update(kept)


if native:
    globals().update({name: vars(ctypes)[name] for name in __all__ if name != "install"})
