"""Checksums: any hash of hashlib, of a file or a range of it. Holes are hashed, but not read."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from .failures import bad
from .reading import AnyPath, Meter, Progress, Source, contents, pieces


@dataclass(frozen=True, slots=True)
class Checksum:
    """A hash of the bytes of a file."""

    #: Its name, as it was asked for.
    algorithm: str
    #: As hexadecimal digits.
    digest: str
    #: How many bytes it is of.
    size: int

    def as_dict(self) -> dict[str, Any]:
        """{"algorithm", "digest", "size"}"""
        return asdict(self)


def checksum(
    path: AnyPath,
    algorithm: str = "sha256",
    *,
    offset: int = 0,
    size: int | None = None,
    progress: Progress | None = None,
) -> Checksum:
    """The hash of a file, or of `size` bytes (None: the rest) from `offset` on; `algorithm` as in hashlib.new.

    `progress` is called with (bytes done, bytes in all). Raises BadValueError for a hash that is not there and a range
    that the file has not, NotFoundError, AccessDeniedError, ChangedError if the file became shorter meanwhile.
    """
    hashed = new_hash(algorithm)
    with Source(path) as source:
        start, stop = source.extent(offset, size, whole=True)
        meter = Meter(stop - start, progress)
        for at, data, _ in contents(source, pieces(source, start, stop)):
            hashed.update(data)
            meter(at + len(data) - start)
    meter.end()
    return Checksum(algorithm, str(hashed.hexdigest()), stop - start)


def new_hash(algorithm: str) -> Any:
    """A hash object. Raises BadValueError for one that hashlib has not, or whose digest has no length of its own."""
    try:
        found = hashlib.new(algorithm, usedforsecurity=False)
    except (ValueError, TypeError):
        found = None
    if found is None or not found.digest_size:
        known = ", ".join(sorted(hashlib.algorithms_guaranteed - {"shake_128", "shake_256"}))
        raise bad(f"there is no hash {algorithm!r}: take one of {known}")
    return found
