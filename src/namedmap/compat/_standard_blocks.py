"""The standard library's blocks of shared memory, with what they lack on Windows, where they have the right lifetime.

That is the argument `track`, which they have from Python 3.13 on; the size that was asked for, where a pickle tells it
(NT itself knows whole pages only); and that a block which is passed to a new process is kept open on the way.
"""

import multiprocessing.context
from multiprocessing import shared_memory as _standard
from typing import Any

from namedmap import constants as c
from namedmap._platform import functions


class SharedMemory(_standard.SharedMemory):
    """A block of shared memory: create a new one, or attach to one by its name."""

    def __init__(self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool = True) -> None:
        """Create a block of `size` bytes, or attach to one: to its first `size` bytes, or all of its pages.

        `track` has no effect. Raises FileExistsError, FileNotFoundError.
        """
        super().__init__(name, create, size)
        if not create and 0 < size < self.size:
            block: Any = self
            block._buf, block._size = block._buf[:size], size

    def __reduce__(self) -> tuple[Any, ...]:
        """By name; a new process gets a handle along, which keeps the block until it has attached to it."""
        arguments, child = (self.name, False, self.size), multiprocessing.context.get_spawning_popen()
        if self.buf is None or child is None:
            return type(self), arguments
        handle = functions.OpenFileMapping(int(c.FILE_MAP_READ), False, self.name)
        if handle is None:
            return type(self), arguments
        try:
            return _attach_passed, (type(self), arguments, child.duplicate_for_child(handle))
        finally:
            functions.CloseHandle(handle)


def _attach_passed(cls: type[SharedMemory], arguments: tuple[Any, ...], handle: int) -> SharedMemory:
    try:
        return cls(*arguments)
    finally:
        functions.CloseHandle(handle)
