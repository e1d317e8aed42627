"""Changing bytes of a file in place, so that it can be undone."""

import os
from dataclasses import dataclass
from typing import Any

from namedmap._failure import ignored

from ._system import system
from .failures import ChangedError, bad
from .reading import AnyPath, Source, system_calls


@dataclass(frozen=True, slots=True)
class Patch:
    """Bytes that were changed."""

    #: Of the file, absolute.
    path: str
    offset: int
    #: The bytes that were there, and those that are there now.
    before: bytes
    after: bytes

    def undo(self) -> "Patch":
        """Put `before` back; returns that as a patch. Raises ChangedError if `after` is not there any more."""
        return patch(self.path, self.offset, self.before, expect=self.after)

    def as_dict(self) -> dict[str, Any]:
        """{"path", "offset", "size", "before", "after"}, bytes as hexadecimal digits"""
        return {
            "path": self.path,
            "offset": self.offset,
            "size": len(self.after),
            "before": self.before.hex(),
            "after": self.after.hex(),
        }


def patch(path: AnyPath, offset: int, data: bytes, *, expect: bytes | None = None) -> Patch:
    """Replace bytes of a file by as many others; its size stays. It is on the disk when this returns.

    `expect`: what has to be there, as long as `data`; otherwise ChangedError is raised and nothing changed. If the disk
    is full (holes of a file need space), what was there is put back. Raises BadValueError beyond the end,
    NotFoundError, AccessDeniedError, Error. Another program that writes to the same place meanwhile is not kept out.
    """
    new = bytes(memoryview(data))  # of a number bytes() would make so many zeros
    if expect is not None and len(expect) != len(new):
        raise bad(f"{len(new)} bytes can replace as many only, and {len(expect)} are expected there")
    with Source(path, os.O_RDWR) as source:
        start, _ = source.extent(offset, len(new), whole=True)
        buffer = bytearray(len(new))
        source.fill(memoryview(buffer), start)
        before = bytes(buffer)
        if expect is not None and before != expect:
            raise ChangedError(
                f"{source.path!r} has other bytes at {start:,} than expected: "
                f"{_shown(before)} and not {_shown(bytes(expect))}; nothing was changed"
            )
        with system_calls(f"cannot write {len(new):,} bytes to {source.path!r} at {start:,}"):
            _store(source.fd, new, before, start)
        return Patch(os.path.abspath(source.path), start, before, new)


def _store(fd: int, new: bytes, before: bytes, start: int) -> None:
    try:
        system.write_all(fd, new, start)
        os.fsync(fd)
    except BaseException:
        # The bytes that were written had room, and so have those that were there before. Ctrl-C leaves no half of a
        # patch either.
        with ignored(OSError):
            system.write_all(fd, before, start)
        raise


def _shown(data: bytes) -> str:
    return data[:16].hex(" ") + (" …" if len(data) > 16 else "")
