"""Mapped memory that is unmapped when nobody has it any more; for platforms whose map calls return addresses."""

import ctypes
from collections.abc import Callable
from typing import Any

from namedmap._finalizer import finalizer


class MappedMemory:
    """Bytes of a view. See `namedmap._contract.MappedMemory`."""

    __slots__ = ("__weakref__", "_base", "_drop", "_size", "address", "writable")

    def __init__(self, base: int, start: int, size: int, drop: Callable[[int], None], *, writable: bool) -> None:
        """Take over the view that is mapped at `base`: `size` bytes from `start` on. `drop` unmaps it."""
        self._base, self._size, self._drop = base, size, drop
        self.address, self.writable = base + start, writable

    @finalizer
    def __del__(self) -> None:
        self._drop(self._base)

    def characters(self) -> Any:
        """The bytes as a ctypes array of characters, which keeps the memory."""
        array: Any = (ctypes.c_char * self._size).from_address(self.address)
        array.memory = self
        return array

    def buffer(self) -> memoryview:
        whole = memoryview(self.characters()).cast("B")
        return whole if self.writable else whole.toreadonly()
