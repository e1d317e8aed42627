"""The base of views: items and slices of memory that cannot vanish, without a detour.

The compiled core has the same class. Both leave whatever takes thought to the methods `_get` and `_set` of the view.
"""

from typing import Any, SupportsIndex

from namedmap._contract import MappedMemory
from namedmap._platform import core


class Window:
    """The base class in Python."""

    # Where slices are copied from, and where they are stored to; None where that takes care. To take None for memory,
    # and to be told that it is none, costs nothing where there is memory; a look beforehand does, at each item.
    __slots__ = ("_characters", "_stored")
    _characters: Any
    _stored: Any

    def _look_at(self, memory: MappedMemory | None) -> None:
        """Take items and slices straight from this memory from now on; None: let `_get` and `_set` do it."""
        if memory is None:
            self._characters = self._stored = None
            return
        self._stored = stored = memory.buffer()
        self._characters = stored.obj

    def __getitem__(self, key: "SupportsIndex | slice") -> Any:
        """An int, or the bytes of a slice."""
        try:
            return self._characters[key] if key.__class__ is slice else self._characters[key][0]
        except (TypeError, IndexError):
            return self._get(key)

    def __setitem__(self, key: "SupportsIndex | slice", value: Any) -> None:
        """Store an int, or bytes of the same length as the slice."""
        try:
            self._stored[key] = value
        except (TypeError, ValueError, NotImplementedError):  # perhaps bytes of another format: an array, another view
            self._set(key, value)

    def _get(self, key: "SupportsIndex | slice") -> int | bytes:
        raise NotImplementedError

    def _set(self, key: "SupportsIndex | slice", value: Any) -> None:
        raise NotImplementedError


if core is not None:
    globals()["Window"] = core.Window
