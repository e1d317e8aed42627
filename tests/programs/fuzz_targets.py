"""The targets of the fuzzer: every public callable of the package, found by introspection."""

import dataclasses
import enum
import importlib
import inspect
import pkgutil
import struct
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import namedmap
from namedmap.compat.pywin32 import pywintypes
from programs import bad_input
from programs.fuzz_values import MAKERS, Rudeness, World

#: Rooms of the package whose parts are public through other modules; the helpers in `errors` are nobody else's.
_ROOMS = ("cli", "errors", "data", "memory", "synchronization", "files.", "constants", "ntstatus", "winerror")
#: Targets that cannot be called over and over in one process, each with the reason.
EXCLUDED = {
    "namedmap.compat.install": "changes the process for good",
    "namedmap.compat.windll.install": "changes the process for good",
    "namedmap.compat.run.main": "runs a program, and changes the process for good",
    "namedmap.compat.builtin.module": "imports, by a name of NAMES that the package itself gives",
    "namedmap.View": "made by FileMapping.view, with what a platform gives",
    "namedmap.FileMapping": "made by create and the other functions, with what a platform gives",
    "namedmap.Block": "made by publish and attach",
    "namedmap.win32.TerminateProcess": "ends its caller, which is process -1",
    "namedmap.compat.pywin32.win32api.TerminateProcess": "ends its caller, which is process -1",
    "namedmap.compat.pywin32.win32process.TerminateProcess": "ends its caller, which is process -1",
    "namedmap.compat.pywin32.win32api.CloseHandle": "closes what other calls stand on; CloseHandle of win32 is called",
}
#: Methods beside those with a public name.
_SPECIAL = (
    *("__getitem__", "__setitem__", "__contains__", "__eq__", "__len__", "__iter__", "__repr__", "__reduce__"),
    *("__enter__", "__exit__", "__buffer__", "__hash__", "__int__", "__bool__"),
)
#: The exceptions that a call may raise for a bad argument: an error of the package, or one of these.
_PYTHON = (namedmap.Error, TypeError, ValueError, OverflowError, Rudeness)


class Target(NamedTuple):
    """Something that can be called."""

    label: str
    find: Callable[[World], Callable[..., Any]]
    parameters: list[inspect.Parameter]
    native: list[bad_input.Parameter] | None  # of a function of win32 or nt
    allowed: tuple[type[BaseException], ...]


def modules() -> Iterator[types.ModuleType]:
    """The public ones; rooms are public through what the package, or `files`, has of them."""
    yield namedmap
    for found in pkgutil.walk_packages(namedmap.__path__, "namedmap."):
        name = found.name.removeprefix("namedmap.")
        if not any(part.startswith("_") for part in name.split(".")) and not name.startswith(_ROOMS):
            yield importlib.import_module(found.name)


def targets() -> list[Target]:
    """Everything, each once."""
    found: dict[int, Target] = {}
    for module in modules():
        names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
        for name in sorted(names):
            value, label = getattr(module, name), f"{module.__name__}.{name}"
            if _is_ours(value) and label not in EXCLUDED and id(value) not in found:
                found[id(value)] = _of_function(label, value)
    return [*found.values(), *_of_instances()]


def _is_ours(value: Any) -> bool:
    """Whether it is code of the package: of enumerations and results the constructors are the standard library's."""
    if isinstance(value, enum.EnumMeta) or dataclasses.is_dataclass(value) or hasattr(value, "_fields"):
        return False
    return callable(value) and (getattr(value, "__module__", "") or "").startswith("namedmap")


def _of_function(label: str, value: Any) -> Target:
    native = None
    short = label.rpartition(".")[2]
    if label.startswith(("namedmap.win32.", "namedmap.nt.")) and inspect.isfunction(value):
        native = bad_input.parameters(value.__name__, value)
    return Target(label, lambda world: value, _parameters(value), native, _allowed(label, short))


def _of_instances() -> Iterator[Target]:
    for cls in MAKERS:
        for name in dir(cls):
            if name.startswith("_") and name not in _SPECIAL:
                continue
            found = inspect.getattr_static(cls, name)
            home = next(each for each in cls.__mro__ if name in vars(each))
            if not home.__module__.startswith("namedmap"):
                continue
            label = f"{cls.__module__}.{cls.__name__}.{name}"
            if isinstance(found, property):
                yield Target(label, _property(cls, name), [], None, (*_allowed(label, name), AttributeError))
            elif callable(getattr(cls, name)):
                parameters = _parameters(getattr(cls, name))
                skip = inspect.isfunction(found)  # `self` of the function
                yield Target(label, _method(cls, name), parameters[skip:], None, _allowed(label, name))


def _method(cls: type, name: str) -> Callable[[World], Callable[..., Any]]:
    return lambda world: getattr(world.instance(cls), name)


def _property(cls: type, name: str) -> Callable[[World], Callable[..., Any]]:
    """Read it; with an argument, store into it."""

    def find(world: World) -> Callable[..., Any]:
        held = world.instance(cls)
        return lambda *value: setattr(held, name, value[0]) if value else getattr(held, name)

    return find


def _parameters(function: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


def _allowed(label: str, name: str) -> tuple[type[BaseException], ...]:
    """The exceptions that may be raised, by what the documentation says."""
    if label.startswith(("namedmap.win32.", "namedmap.nt.")) and label.rpartition(".")[2][:1].isupper():
        # Structures of ctypes refuse values as well.
        return (TypeError, Rudeness, ValueError) if "_" in name else (TypeError, Rudeness)
    more: tuple[type[BaseException], ...] = ()
    if label.startswith("namedmap.compat."):
        # Drop-in modules raise what those do in whose place they stand.
        more = (OSError, BufferError, pywintypes.error, AttributeError, struct.error, IndexError, MemoryError)
    if name in ("ShareableList", "Sharing") or name.startswith("wait_a"):
        more += (NotImplementedError,)  # a memoryview of two dimensions that is asked for its items
    if name in ("pack", "unpack"):
        more += (struct.error,)
    if name in ("__getitem__", "__setitem__"):
        more += (IndexError,)
    if name.endswith("_async"):
        more += (RuntimeError,)  # no task runs
    if label.startswith("namedmap.files.") or name == "map_file":
        more += (OSError,)  # of the system, for paths
    return (*_PYTHON, *more)
