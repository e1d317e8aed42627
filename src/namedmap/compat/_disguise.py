"""Windows as a program's own modules see it: other modules `os`, `sys`, `platform`, `ctypes` and `struct` for them.

A program's own modules are the script, what it imports from beside it, and the package that `-m` names. The standard
library and installed packages keep the real modules: they would look for what only Windows has. Told otherwise are the
name of the platform, that a C long has 32 bits and a wchar_t 16, and what these modules have there only (see
`_abroad`); paths and all else are those of Linux. `msvcrt` and `_winapi` can be imported. Modules that are got in
another way than by an import statement (importlib, sys.modules) are the real ones.
"""

import builtins
import ctypes
import functools
import importlib
import importlib.util
import os
import platform
import struct
import sys
import types
from collections.abc import Callable
from ctypes import wintypes
from pathlib import Path
from typing import Any, NamedTuple

from namedmap.compat import _abroad, _wide, builtin, windll


class _Version(NamedTuple):
    """The result of sys.getwindowsversion."""

    major: int = 10
    minor: int = 0
    build: int = 19045
    platform: int = 2
    service_pack: str = ""


#: Names that ctypes has otherwise.
_TYPES: dict[str, Any] = {
    "c_long": ctypes.c_int32,
    "c_ulong": ctypes.c_uint32,
    "c_wchar": _wide.c_wchar,
    "c_wchar_p": _wide.c_wchar_p,
    "create_unicode_buffer": _wide.create_unicode_buffer,
    "wstring_at": _wide.wstring_at,
    "memmove": _wide.memmove,
}


#: Names that ctypes.wintypes has otherwise; all else is the same for everybody, so that programs can pass it on.
_WIDE_TYPES = ("WCHAR", "PWCHAR", "LPWSTR", "LPCWSTR", "LPOLESTR", "LPCOLESTR", "WIN32_FIND_DATAW")
_WIDE_POINTERS = ("PWIN32_FIND_DATAW", "LPWIN32_FIND_DATAW")


def _wintypes() -> dict[str, Any]:
    """Those types of ctypes.wintypes, defined with ours."""
    spec: Any = importlib.util.find_spec("ctypes.wintypes")
    module = importlib.util.module_from_spec(spec)
    with windll.types_are(**_TYPES):
        spec.loader.exec_module(module)
    return {name: vars(module)[name] for name in _WIDE_TYPES + _WIDE_POINTERS}


def _format(layout: Any) -> Any:
    """A format of struct with native sizes as on Windows, where a long has 32 bits."""
    text = layout.decode("latin-1") if isinstance(layout, bytes) else layout
    native = isinstance(text, str) and text[:1] not in ("<", ">", "=", "!")
    return text.translate(_LONGS) if native else layout


_LONGS = str.maketrans("lL", "iI")


class _Struct(struct.Struct):
    def __init__(self, format: Any) -> None:
        super().__init__(_format(format))


def _with_format(function: Callable[..., Any]) -> Callable[..., Any]:
    return functools.wraps(function)(lambda format, *rest, **named: function(_format(format), *rest, **named))


def _uname() -> platform.uname_result:
    return platform.uname_result("Windows", platform.node(), "10", _BUILD, "AMD64")


_BUILD = "10.0.19045"
_WINTYPES = _wintypes()
_FORMATTED = (struct.calcsize, struct.iter_unpack, struct.pack, struct.pack_into, struct.unpack, struct.unpack_from)

#: The names in which modules tell the platform, or a function that makes them of the real module.
_TOLD: dict[str, dict[str, Any] | Callable[[types.ModuleType], dict[str, Any]]] = {
    "asyncio": _abroad.asyncio_names,
    "os": _abroad.os_names,
    "signal": _abroad.signal_names,
    "subprocess": _abroad.subprocess_names,
    "sys": {"platform": "win32", "getwindowsversion": _Version, "winver": "{}.{}".format(*sys.version_info)},
    "platform": {
        "system": lambda: "Windows",
        "release": lambda: "10",
        "version": lambda: _BUILD,
        "machine": lambda: "AMD64",
        "platform": lambda *_, **named: f"Windows-10-{_BUILD}-SP0",
        "uname": _uname,
        "win32_ver": lambda *_, **named: ("10", _BUILD, "SP0", "Multiprocessor Free"),
        "win32_edition": lambda: "Professional",
        "win32_is_iot": lambda: False,
    },
    "struct": {"Struct": _Struct, **{function.__name__: _with_format(function) for function in _FORMATTED}},
}
_INSTALLED = {"site-packages", "dist-packages"}
_STANDARD = os.path.dirname(os.__file__) + os.sep
_OURS = str(Path(__file__).parent.parent) + os.sep

#: Whether the platform is disguised.
installed = False
#: Packages that are the program's own wherever they are.
own_packages: set[str] = set()
#: Whether the main module is the program's own only if it is not an installed one: in a program that another started.
main_may_be_foreign = False


class _Told(types.ModuleType):
    """A module with a few attributes of its own; everything else, also what is set, is the real one's."""

    def __init__(self, module: types.ModuleType, told: dict[str, Any]) -> None:
        super().__init__(module.__name__, module.__doc__)
        vars(self).update(told, _module=module)

    def __getattr__(self, name: str) -> Any:
        real = vars(self)["_module"]
        if name == "__all__" and not hasattr(real, name):
            return [each for each in dir(real) if not each.startswith("_")]
        return getattr(real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(vars(self)["_module"], name, value)

    def __delattr__(self, name: str) -> None:
        delattr(vars(self)["_module"], name)

    def __dir__(self) -> list[str]:
        return dir(vars(self)["_module"])


def install(own_package: str | None = None) -> None:
    """Disguise the platform from now on; `own_package` is the program's own, wherever it is installed."""
    global installed
    if own_package:
        own_packages.add(own_package)
        _is_own.cache_clear()
    if not installed:
        installed = True
        _abroad.set_environment()
        _abroad.give_errors_codes()
        builtins.__import__ = _importer(builtins.__import__)


def _importer(real: Callable[..., types.ModuleType]) -> Callable[..., types.ModuleType]:
    told = {"ctypes.wintypes": _Told(wintypes, _WINTYPES)}
    told["ctypes"] = _Told(ctypes, {**_TYPES, "wintypes": told["ctypes.wintypes"]})

    @functools.wraps(real)
    def import_(
        name: str,
        globals: Any = None,
        locals: Any = None,
        fromlist: Any = (),
        level: int = 0,
    ) -> types.ModuleType:
        if name in builtin.NAMES and globals and _is_own(globals.get("__name__"), globals.get("__file__")):
            found: types.ModuleType = builtin.module(name)
            return found
        module = real(name, globals, locals, fromlist, level)
        known = getattr(module, "__name__", "")
        if level or not globals or (known not in told and known not in _TOLD):
            return module
        if not _is_own(globals.get("__name__"), globals.get("__file__")):
            return module
        if known not in told:
            names = _TOLD[known]
            told[known] = _Told(module, names if isinstance(names, dict) else names(module))
        return told[known]

    return import_


@functools.lru_cache(maxsize=1024)
def _is_own(name: str | None, file: str | None) -> bool:
    """Whether a module is the program's own."""
    if (name or "").partition(".")[0] in own_packages:
        return True
    if name in ("__main__", "__mp_main__") and not (file and main_may_be_foreign):
        return True
    if not file:
        return False
    installed = not _INSTALLED.isdisjoint(Path(file).parts)
    return not installed and not os.path.abspath(file).startswith((_STANDARD, _OURS))
