"""The facts that a platform tells of named objects and of files: the border between `inspection` and its sources."""

from typing import NamedTuple


class Facts(NamedTuple):
    """A named object. None is what the platform has no source for, or could not find out."""

    name: str
    kind: str  # section, mutex, semaphore, event; unknown
    status: str  # live, dead, busy, damaged, unreadable
    problem: str | None = None
    size: int | None = None  # of a section, in bytes
    used: int | None = None  # bytes of memory
    owner: int | None = None  # user id
    mode: str | None = None
    creator: int | None = None  # process id
    created: float | None = None  # seconds since 1970
    handles: int = 0  # over all processes
    waiters: int | None = None
    state: dict[str, int | bool] = {}  # noqa: RUF012 -- nobody changes it
    protection: int | None = None  # PAGE_* of a section
    reserved: bool = False
    file: str | None = None  # that a section is made of
    path: str | None = None  # of the object's own file


class Holding(NamedTuple):
    """A process, or a descriptor of one, that holds an object."""

    pid: int
    handles: int
    owner: bool


class Mapped(NamedTuple):
    """Pages of a process that are an object's; addresses, and the offset in the file, in bytes."""

    pid: int
    start: int
    end: int
    permissions: str  # as in proc(5): "rw-s", "r--p"
    offset: int


class Counts(NamedTuple):
    """Pages of a range of a file that are in memory."""

    cached: int
    dirty: int
    writeback: int
