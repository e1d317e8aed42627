"""The state words of a mutex, semaphore or event, as another process has them: see docs/design.md, section 13."""

import struct
from pathlib import Path

from calls import object_files
from calls.kernel import controlpage

#: Words by their number.
COUNT, SEQUENCE, WAITING, OWNER = 0, 5, 6, 10
#: The seat of an owner, and the marks beside counts and seats.
SEAT_MASK = 2047
SLOW, BUSY, ABANDONED = -(1 << 31), 1 << 30, 1 << 29
#: Where the byte of seat 0 would be.
SEATS = 2**62 - 2**32


class Words:
    """Those of the object of this name."""

    def __init__(self, name: str) -> None:
        self.path = Path(next(path for path in object_files() if path.endswith(name)))

    def __getitem__(self, index: int) -> int:
        with self.path.open("rb") as file:
            file.seek(controlpage.STATE_OFFSET + 4 * index)
            found: int = struct.unpack("i", file.read(4))[0]
            return found

    def __setitem__(self, index: int, value: int) -> None:
        with self.path.open("r+b") as file:
            file.seek(controlpage.STATE_OFFSET + 4 * index)
            file.write(struct.pack("i", value))
