"""Memory that a program passes: by an argument that tells its size, or by an address that may be anything.

On Windows ctypes turns a touch of memory that is not there into an OSError; so do the functions here, where Linux would
end the process. The room of an argument is not exceeded.
"""

import ctypes
import mmap

from namedmap import errors
from namedmap._failure import Failure
from namedmap._platform import memory
from namedmap.winerror import WinError

_PAGE = mmap.PAGESIZE


class Place(int):
    """An address; `room` bytes are there, if the argument tells, and wide text there has units of `unit` bytes."""

    room: int | None = None
    unit = 4

    def check(self, size: int) -> None:
        """Raise ArgumentError for more bytes than the argument has, OSError if there are none of an address."""
        if self.room is None:
            probe(self, size)
        elif size > self.room:
            raise ctypes.ArgumentError(f"{size:,} bytes at an argument that has {self.room:,}")

    def load(self, size: int) -> bytes:
        """So many bytes. Raises as `check` does."""
        self.check(size)
        return read(self, size) if self.room is None else ctypes.string_at(self, size)

    def text(self, unit: int) -> bytes:
        """The text up to the first NUL, in units of so many bytes; an array may end without one."""
        if self.room is None:
            return until_nul(self, unit)
        content = ctypes.string_at(self, self.room // unit * unit)
        end = _nul(content, unit)
        return content if end < 0 else content[:end]

    def store(self, content: bytes) -> None:
        """Raises as `check` does; then nothing is stored."""
        if self.room is None:
            try:
                memory.write(self, content)
            except Failure:
                raise _violation("writing", self) from None
        else:
            self.check(len(content))
            ctypes.memmove(self, content, len(content))


def read(where: int, size: int) -> bytes:
    """The bytes at an address. Raises OSError if they are not there."""
    try:
        return memory.read(where, size)
    except Failure:
        raise _violation("reading", where) from None


def until_nul(where: int, unit: int) -> bytes:
    """The units at an address before the first that is 0. Raises OSError."""
    content = b""
    while (end := _nul(content, unit)) < 0:
        here = where + len(content)
        content += read(here, _PAGE - here % _PAGE)
    return content[:end]


def _nul(content: bytes, unit: int) -> int:
    end = content.find(bytes(unit))
    while end >= 0 and end % unit:
        end = content.find(bytes(unit), end + 1)
    return end


def probe(where: int, size: int) -> None:
    """Raise OSError unless there is memory from the address on: its first and last byte."""
    if size > _PAGE:
        read(where, 1)
    if size:
        read(where + size - 1, 1) if size > _PAGE else read(where, size)


def _violation(what: str, where: int) -> errors.Error:
    return errors.of(int(WinError.ERROR_NOACCESS), f"exception: access violation {what} {where:#018x}")
