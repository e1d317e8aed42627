"""The needs of this package from the operating system beyond `os`, as one set of calls with an implementation for each.

    _linux      the kernel's own: positional reads and writes, holes, sendfile, reflinks, files without a name, flock
    _windows    plain reads and writes at a place; a file that is open keeps its name there

`files` can be used without a platform of named objects, so it does not ask `_platform`. It asks the interpreter once,
here, by the import of a module that Python has on one of the two only.
"""

import os
from collections.abc import Callable, Iterator
from typing import Protocol


class System(Protocol):
    """The calls. They raise OSError. Sizes, offsets and lengths are in bytes."""

    @property
    def OPEN(self) -> int:
        """The flags that every opening of a file is to have."""

    @property
    def NO_LINK(self) -> int:
        """The flag that refuses a symbolic link, where there is one."""

    @property
    def OPEN_FILES_KEEP_NAMES(self) -> bool:
        """Whether a file can be neither renamed nor removed while anybody has it open."""

    @property
    def MADE_IS_NEW(self) -> bool:
        """Whether what an exclusive open makes is always a new regular file, and never a device of that name."""

    @property
    def SEND(self) -> str:
        """How `send` copies: "sendfile" or "plain"."""

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def read_into(self, fd: int, buffer: memoryview, offset: int) -> int:
        """Read from an offset on; how many bytes came, 0 at the end. Several threads may use one descriptor."""

    def write_all(self, fd: int, content: memoryview | bytes, offset: int) -> None:
        """Write all of the bytes at an offset."""

    def send(self, source: int, target: int, offset: int, length: int) -> int:
        """Copy bytes to the same place of another file; how many they were, 0 at the end."""

    def share(self, source: int, target: int) -> bool:
        """Whether the target now has the source's blocks, as a copy that costs nothing until one of them is changed."""

    # -- space ---------------------------------------------------------------------------------------------------------

    def allocated(self, info: os.stat_result) -> int:
        """How many bytes of the disk a file takes, as far as that is known; else its size."""

    def data(self, fd: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """[begin, end) of each range in [start, stop) that is no hole."""

    def allocate(self, fd: int, size: int) -> None:
        """Give a file so much space, and leave its size as it is; without effect where the filesystem is not on a disk,
        or cannot.
        """

    def scratch(self) -> int:
        """A new empty file that goes when it is closed."""

    # -- machine -------------------------------------------------------------------------------------------------------

    def processors(self) -> int:
        """How many this process may use."""

    def expect_sequential(self, fd: int) -> None:
        """Say that the file will be read from its beginning to its end."""

    # -- names and owners ----------------------------------------------------------------------------------------------

    def lock(self, fd: int) -> None:
        """Lock a file until its descriptor is closed. Raises BlockingIOError if it is locked."""

    def open_nameless(self, directory: str, mode: int) -> tuple[int, Callable[[str], None]] | None:
        """A new file without a name, and what gives it one; None where there is no such thing."""

    def replace(self, source: str, target: str) -> None:
        """Give a file a name that another may have had."""

    def unlink(self, path: str) -> None:
        """Remove a file, also one that is read-only."""

    def settle(self, directory: str) -> None:
        """Have the disk take the names in a directory."""

    def may_write(self, path: str) -> bool:
        """Whether this user may write to a file."""

    def is_own(self, info: os.stat_result) -> bool:
        """Whether a file is this user's."""

    def may_date(self, info: os.stat_result) -> bool:
        """Whether this user may give a file other times and permissions."""

    def set_mode(self, fd: int, mode: int) -> None:
        """Give a file these permissions, as far as there are such."""

    def take_after(self, fd: int, path: str, old: os.stat_result) -> None:
        """Give a file the permissions of the one at a path, which it is to replace; its owner as well, if allowed."""

    def preserve(self, source: int, info: os.stat_result, target: int) -> None:
        """Give a file the owner, attributes, permissions and times of its source, as far as this user may."""


def _chosen() -> System:
    try:
        from . import _linux
    except ModuleNotFoundError as error:
        if error.name != "fcntl":
            raise
        from . import _windows

        return _windows
    return _linux


system: System = _chosen()
