"""Structures with `c_long` and `c_ulong`, which have 8 bytes on Linux and 4 on Windows.

Laid over memory that a program for Windows fills, such a structure shows wrong values: each field behind one of them
lies elsewhere. Nobody can know who fills memory, so it is said once for each structure, as a warning.

In ctypes of Linux `c_int64` and `c_size_t` are the very same types as `c_long` and `c_ulong`. Which was meant only
the source of the structure tells. It is looked at once, if there is such a field; without a source nothing is said.
"""

import ctypes
import re
import sys
import warnings
import weakref
from collections.abc import Iterator
from ctypes import wintypes
from typing import Any

_LONGS = (ctypes.c_long, ctypes.c_ulong)
#: Types that have 8 bytes on 64-bit Windows as well.
_WIDE = {"LARGE_INTEGER", "ULARGE_INTEGER", "_LARGE_INTEGER", "_ULARGE_INTEGER", "LPARAM", "WPARAM"}
_judged: "weakref.WeakSet[type]" = weakref.WeakSet()


def layouts_with_longs(layout: Any) -> Iterator[Any]:
    """The structures within a layout, itself included, with fields that may have 4 bytes on Windows."""
    if issubclass(layout, ctypes.Array):
        yield from layouts_with_longs(layout._type_)
    elif issubclass(layout, ctypes.Structure | ctypes.Union) and ctypes.sizeof(ctypes.c_long) != 4:
        for cls in layout.__mro__:
            kinds = [_element(kind) for _, kind, *_ in vars(cls).get("_fields_", ())]
            if any(kind in _LONGS for kind in kinds):
                yield cls
            for kind in kinds:
                yield from layouts_with_longs(kind)


def _element(kind: Any) -> Any:
    while issubclass(kind, ctypes.Array):
        kind = kind._type_
    return kind


def warn_of_longs(layout: type, stacklevel: int = 3) -> None:
    """Warn, once, that a layout has such fields."""
    if layout in _judged:
        return
    _judged.add(layout)
    found = {name: None for cls in layouts_with_longs(layout) for name in _longs_in_source(cls)}
    if found:
        names = " and ".join(found)
        warnings.warn(
            f"{layout.__name__} has fields of {names}: 8 bytes here, 4 on Windows, so that what a program for Windows "
            "has written lies elsewhere. Use c_int32 and c_uint32; or run the program with `python -m namedmap run "
            "--windows`, and --own PACKAGE for an installed package",
            RuntimeWarning,
            stacklevel=stacklevel,
        )


def _longs_in_source(cls: type) -> list[str]:
    """The types of such fields as the source of a structure has them."""
    import inspect  # which takes longer than a small module of ours, at every start, for the few such structures

    try:
        source = inspect.getsource(cls)
    except (OSError, TypeError):
        return []
    # As they are now: namedmap.compat gives those of wintypes their sizes on Windows, and to programs that are told of
    # it the others.
    resized = {name for name, kind in vars(wintypes).items() if kind in _LONGS} - _WIDE
    names = "|".join(sorted({"c_long", "c_ulong", *resized}))
    found = dict.fromkeys(re.findall(rf"\b((?:\w+\.)*)({names})\b", source))
    module = sys.modules.get(cls.__module__)
    return [name for prefix, name in found if _resolved(module, f"{prefix}{name}") in _LONGS]


def _resolved(module: object, dotted: str) -> object:
    """The object that a name stands for in a module; a long if it cannot be found there."""
    for name in dotted.split("."):
        module = getattr(module, name, _LONGS[0])
    return module
