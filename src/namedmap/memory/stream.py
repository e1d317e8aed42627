"""A view as a binary file."""

import errno
import io
import operator
import os
from typing import TYPE_CHECKING, Any

from namedmap import constants as c
from namedmap import errors

if TYPE_CHECKING:
    from namedmap.memory.view import View


class ViewStream(io.RawIOBase):
    """Reads and writes the bytes of a view; it ends where the view ends, and cannot grow. Wrap it in io.BufferedRandom,
    or that in io.TextIOWrapper. Closing it leaves the view as it is."""

    def __init__(self, view: "View") -> None:
        super().__init__()
        self._view = view
        self._at = 0

    def readable(self) -> bool:
        self._check()
        return True

    def writable(self) -> bool:
        self._check()
        return not self._view.buf.readonly

    def seekable(self) -> bool:
        self._check()
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer as far as there are bytes; returns how many."""
        self._check()
        with memoryview(buffer).cast("B") as target:
            count = min(len(target), max(len(self._view) - self._at, 0))
            target[:count] = self._view.read(min(self._at, len(self._view)), count)
        self._at += count
        return count

    def write(self, data: Any, /) -> int:
        """Store what fits; returns how many bytes. Raises OSError at the end of the view."""
        if not self.writable():
            raise io.UnsupportedOperation("the view is read-only")
        with memoryview(data).cast("B") as source:
            count = min(len(source), max(len(self._view) - self._at, 0))
            if len(source) and not count:
                raise OSError(errno.ENOSPC, f"the view ends here: it has {len(self._view):,} bytes and cannot grow")
            if count:
                self._view.write(self._at, source[:count])
        self._at += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a byte; beyond the end nothing can be read or written."""
        self._check()
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._view)}.get(whence)
        if base is None:
            raise ValueError(f"whence is 0, 1 or 2, not {whence}")
        target = base + operator.index(offset)
        if target < 0:
            # An OSError as well, as of files: zipfile looks for the end of an archive in this way.
            raise errors.BadValueError(int(c.ERROR_INVALID_PARAMETER), f"there is no byte {target:,} in a view")
        self._at = target
        return target

    def tell(self) -> int:
        self._check()
        return self._at

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
