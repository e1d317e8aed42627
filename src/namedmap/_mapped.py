"""Mapped memory that is unmapped when nobody has it any more; for platforms whose map calls return addresses."""

import ctypes
import functools
import sys
from collections.abc import Callable
from typing import Any

#: The type of so many characters. The table is quicker than that of ctypes.
_characters: Callable[[int], Any] = functools.lru_cache(maxsize=64)(ctypes.c_char.__mul__)


class MappedMemory:
    """Bytes of a view. See `namedmap._contract.MappedMemory`."""

    __slots__ = ("__weakref__", "_base", "_drop", "_size", "address", "writable")

    def __init__(self, base: int, start: int, size: int, drop: Callable[[int], None], *, writable: bool) -> None:
        """Take over the view that is mapped at `base`: `size` bytes from `start` on. `drop` unmaps it."""
        self._base, self._size, self._drop = base, size, drop
        self.address, self.writable = base + start, writable

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # This is `finalizer` without another call.
        try:
            self._drop(self._base)
        except Exception:
            if not is_finalizing():
                raise

    def buffer(self) -> memoryview:
        """The bytes; its `obj` is a ctypes array of characters, which keeps the memory."""
        array = _characters(self._size).from_address(self.address)
        array.memory = self
        whole = memoryview(array).cast("B")
        return whole if self.writable else whole.toreadonly()
