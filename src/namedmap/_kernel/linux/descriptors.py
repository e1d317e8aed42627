"""Descriptors that are kept, and programs that close what is not theirs.

`os.closerange`, and libraries that make daemons, close all descriptors of a process. The numbers are then given to
other files, which what was meant for ours would hit: closed, locked, cut off. So a descriptor that is kept knows the
file that it was of, by device and inode, and is compared before anything that could do harm. (Descriptors that are
locked are compared without a system call: see `locks`.) Two that are kept cannot have one number. A descriptor whose
number is given to another was closed behind our back, and its keeper is told.
"""

import os
from typing import Protocol, Self

from namedmap._convention.status import NTSTATUS, KernelError, ignored, require_ours

#: The file position of kept descriptions that are only read and written at offsets: it tells them in less time than
#: device and inode do. No file of the program's is likely to be there, and most filesystems allow it.
POSITION = (1 << 43) + 0x6E6D

#: No descriptor of anybody: every call with it fails (EBADF).
GONE = 2**31 - 1


class Keeper(Protocol):
    """The owner of a kept descriptor."""

    def descriptor_lost(self) -> None:
        """The number is another's now: use it no more."""


#: The keeper of each number.
kept: dict[int, Keeper] = {}


def claim(number: int) -> None:
    """A new descriptor has this number: the keeper that had it before has lost it."""
    before = kept.pop(number, None)
    if before is not None:
        before.descriptor_lost()


def keep(number: int, keeper: Keeper) -> None:
    """Note who keeps a descriptor."""
    claim(number)
    kept[number] = keeper


def forget(number: int, keeper: Keeper) -> None:
    """The keeper is about to close the descriptor, or has found that it is not its own any more."""
    if kept.get(number) is keeper:
        del kept[number]


def lost(what: object, number: int) -> KernelError:
    """The error for something whose descriptor other code has closed."""
    descriptor = "the descriptor" if number == GONE else f"the descriptor {number}"
    return KernelError(
        NTSTATUS.STATUS_INVALID_HANDLE,
        f"{what} cannot be used: other code in this process has closed {descriptor} of it (os.closerange? a library "
        "that makes daemons?). Open it after that, or tell that code which descriptors to keep",
    )


class Descriptor(int):
    """A kept descriptor that knows what file it is of."""

    _identity: tuple[int, int, str] | None
    #: Whether the file position is POSITION.
    placed = False

    def __new__(cls, number: int, info: os.stat_result | None = None) -> Self:
        made = super().__new__(cls, number)
        made._identity = _identity(number, info)
        keep(number, made)
        return made

    def place(self) -> Self:
        """Itself, told by its file position from now on, where it can have that."""
        with ignored(OSError):
            self.placed = os.lseek(self, POSITION, os.SEEK_SET) == POSITION
        return self

    def descriptor_lost(self) -> None:
        self._identity = None

    def fileno(self) -> int:
        """Its number, as files tell it."""
        return int(self)

    def intact(self) -> bool:
        """Whether it is still of the file that it was of."""
        try:
            if self.placed:
                return self._identity is not None and os.lseek(self, 0, os.SEEK_CUR) == POSITION
            return self._identity is not None and _identity(self) == self._identity
        except OSError as error:
            require_ours(error)
            return False

    def require(self, what: object) -> Self:
        """Itself, or the error that says that it was closed; `what` it belongs to."""
        if not self.intact():
            raise lost(what, self)
        return self

    def close(self) -> None:
        """Close it, unless other code has done so."""
        intact = self.intact()
        forget(self, self)
        self._identity = None
        if intact:
            os.close(self)


def _identity(number: int, info: os.stat_result | None = None) -> tuple[int, int, str]:
    info = info or os.fstat(number)
    # Descriptors without a file (userfaultfd, and pidfd before Linux 6.9) have one inode for all; /proc tells its kind.
    kind = ""
    if not info.st_mode & 0o170000:
        with ignored(FileNotFoundError):  # /proc is not mounted
            kind = os.readlink(f"/proc/self/fd/{number}")
    return info.st_dev, info.st_ino, kind
