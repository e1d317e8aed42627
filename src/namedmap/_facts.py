"""The facts that a platform tells of a named object: the border between `inspection` and those who look."""

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
