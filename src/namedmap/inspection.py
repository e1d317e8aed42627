"""Looking at named objects and at what they depend on, without holding anything.

    objects()        all that are named: kind, size, creator, age, holders; the files of dead ones too
    info(name)       everything about one, with the views that processes have of it
    collect()        remove what dead processes have left
    doctor()         what of this system is amiss, each finding with its remedy
    residency(what)  which pages of a file or of shared memory are in memory; prefetch, evict

Each returns data; `as_dict()` of it is what the command line prints with --json: the fields by their names, sizes in
bytes, times in seconds. A look is no snapshot: objects come and go meanwhile. The objects of other users are seen as
far as /proc shows them.

On Windows names, kinds, states, sizes (rounded to pages) and the number of handles can be had; the rest is None or
empty. Nothing dead is left there, and no process is told which pages of a file are in memory (ERROR_NOT_SUPPORTED).
"""

import bisect
import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from namedmap import constants as c
from namedmap import errors
from namedmap._facts import Facts, Holding, Mapped
from namedmap._platform import objects as looking
from namedmap._platform import pagecache, system

_PROTECTIONS = (
    "READONLY",
    "READWRITE",
    "WRITECOPY",
    "EXECUTE",
    "EXECUTE_READ",
    "EXECUTE_READWRITE",
    "EXECUTE_WRITECOPY",
)


@dataclass(frozen=True, slots=True)
class Data:
    """Data that can be written down as JSON."""

    def as_dict(self) -> dict[str, Any]:
        """The fields by their names; those of the parts likewise."""
        return {each.name: _plain(getattr(self, each.name)) for each in dataclasses.fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, Data):
        return value.as_dict()
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


# -- objects -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Holder(Data):
    """A process that has handles to an object."""

    pid: int
    command: str
    handles: int
    owner: bool  # of the mutex


@dataclass(frozen=True, slots=True)
class MappedView(Data):
    """Pages of a process that show the object's memory. In bytes; `access` as for views, "none" for no access."""

    pid: int
    command: str
    address: int
    size: int
    offset: int
    access: str


@dataclass(frozen=True, slots=True)
class ObjectInfo(Data):
    """A named object. A fact that could not be found out is None."""

    name: str
    kind: str  # section, mutex, semaphore, event; unknown if its control page cannot be read
    status: str  # live; dead: nobody holds it; busy: being made or removed; damaged; unreadable: another user's
    problem: str | None  # why it is damaged or unreadable
    size: int | None  # of a section, in bytes, as it was asked for
    used: int | None  # bytes of memory that its file takes
    owner: int | None  # user id
    mode: str | None  # of its file, as for chmod
    creator: int | None  # process id, as the creator knew it
    created: float | None  # seconds since 1970
    age: float | None  # seconds
    handles: int  # over all processes
    unseen: int  # of them, handles of processes that cannot be seen from here
    waiters: int | None  # threads that wait for a semaphore or an auto-reset event; others are not counted
    holders: tuple[Holder, ...]
    state: dict[str, int | bool]  # mutex: owned, abandoned; semaphore: value, maximum; event: set, manual
    protection: str | None  # of a section: PAGE_READWRITE, …
    reserved: bool  # a section whose pages are committed one by one
    file: str | None  # that a section is made of
    path: str | None  # of the object's own file
    views: tuple[MappedView, ...] | None  # None: not asked for, or not to be found out


def objects(*, everyone: bool = False) -> list[ObjectInfo]:
    """The objects of this user and the global ones, sorted by name; `everyone`: of all users whose may be seen.

    Raises AccessDeniedError, Error if the place of objects is not usable.
    """
    with errors.translated():
        found = looking.look(everyone=everyone)
        holders = looking.holdings(found)
    return [_info(looking.facts(each), holders[each.key], None) for each in found]


def info(name: str) -> ObjectInfo:
    """Everything about one object, also a dead one, with the views of it. Raises NotFoundError, BadValueError."""
    with errors.translated():
        found = looking.look_at(name)
        holders = looking.holdings([found])[found.key]
        views = looking.views(found)
        facts = looking.facts(found)
    return _info(facts, holders, views)


def names() -> list[str]:
    """The names of live objects, without asking who holds them."""
    with errors.translated():
        return [each.name for each in looking.look() if each.status == looking.LIVE]


class Watched:
    """Whether an object is still there, for somebody who does not hold it."""

    def __init__(self, name: str) -> None:
        """Raises NotFoundError."""
        with errors.translated():
            self._found = looking.look_at(name)

    def alive(self) -> bool:
        """Whether anybody holds the very object that was there at first."""
        return looking.is_alive(self._found)


def _info(facts: Facts, holdings: list[Holding], views: list[Mapped] | None) -> ObjectInfo:
    seen = sum(each.handles for each in holdings)
    return ObjectInfo(
        name=facts.name,
        kind=facts.kind,
        status=facts.status,
        problem=facts.problem,
        size=facts.size,
        used=facts.used,
        owner=facts.owner,
        mode=facts.mode,
        creator=facts.creator,
        created=facts.created,
        age=None if facts.created is None else max(time.time() - facts.created, 0.0),
        handles=facts.handles,
        unseen=max(facts.handles - seen, 0),
        waiters=facts.waiters,
        holders=tuple(_holders(holdings)),
        state=facts.state,
        protection=_protection(facts.protection) if facts.protection else None,
        reserved=facts.reserved,
        file=facts.file,
        path=facts.path,
        views=None if views is None else tuple(_view(each) for each in views),
    )


def _protection(value: int) -> str:
    for each in _PROTECTIONS:
        if getattr(c, f"PAGE_{each}") == value:
            return f"PAGE_{each}"
    return f"{value:#x}"


def _holders(holdings: list[Holding]) -> Iterator[Holder]:
    for pid in sorted({each.pid for each in holdings}):
        own = [each for each in holdings if each.pid == pid]
        handles, owner = sum(each.handles for each in own), any(each.owner for each in own)
        yield Holder(pid, looking.command(pid), handles, owner)


def _view(pages: Mapped) -> MappedView:
    allowed = pages.permissions
    words = ["write" if allowed.endswith("s") else "copy"] if "w" in allowed else ["read"] if "r" in allowed else []
    words += ["execute"] if "x" in allowed else []
    access = "+".join(words).removeprefix("read+") or "none"
    size = pages.end - pages.start
    return MappedView(pages.pid, looking.command(pages.pid), pages.start, size, pages.offset, access)


# -- the dead ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leftover(Data):
    """The file of an object that nobody holds."""

    name: str
    kind: str
    used: int  # bytes of memory
    owner: int | None  # user id
    path: str | None
    removed: bool


def collect(*, dry_run: bool = False) -> list[Leftover]:
    """Remove the files that dead processes have left; `dry_run`: only tell. A live object is never removed.

    A file is judged and removed under its guard, as when a process sweeps at its first use of a name. Those of other
    users are listed with `removed` False: they have to do it themselves, or root by rm.
    """
    with errors.translated():
        dead = [each for each in looking.look() if each.status == looking.DEAD]
        left = [(each, not dry_run and looking.remove_dead(each)) for each in dead]
        if not dry_run:
            looking.remove_dead_inboxes()
    # An own one that was not removed has been removed by another meanwhile.
    return [_leftover(each, removed) for each, removed in left if removed or dry_run or not each.mine]


def _leftover(found: looking.Found, removed: bool) -> Leftover:
    facts = looking.facts(found)
    return Leftover(facts.name, facts.kind, facts.used or 0, facts.owner, facts.path, removed)


# -- the system --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding(Data):
    """Something that doctor has looked at. `level`: "ok", "note", "warning", "problem"; no remedy where it is ok."""

    level: str
    what: str
    remedy: str


def doctor() -> list[Finding]:
    """Look at the place of objects, limits, the login manager, the kernel, and what has been left behind."""
    found = [Finding(*each) for each in system.findings()]
    with contextlib.suppress(errors.Error):  # the place is not usable, which is found already
        found += _leftovers(objects())
    return found


def _leftovers(present: list[ObjectInfo]) -> Iterator[Finding]:
    own = looking.user()
    dead = [each for each in present if each.status == "dead"]
    mine = [each for each in dead if each.owner == own]
    if mine:
        used = sum(each.used or 0 for each in mine)
        yield Finding("note", f"{len(mine)} dead objects take {used:,} bytes of memory", "namedmap gc")
    else:
        yield Finding("ok", "the dead have left nothing behind", "")
    for each in dead:
        if each.owner != own:
            text = f"user {each.owner} left {each.path} behind, which takes {each.used or 0:,} bytes of memory"
            yield Finding(
                "warning", text, f"that user: namedmap gc; root: rm {each.path}, when nobody has {each.name!r}"
            )
    for each in present:
        if each.status == "damaged":
            remedy = "end the programs that hold it, or remove the file"
            yield Finding("warning", f"{each.path} is no valid object file: {each.problem}", remedy)


# -- pages in memory ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Residency(Data):
    """Which pages of a file are in memory. Sizes in bytes; a page counts whole, also the last one of the file."""

    source: str
    size: int
    page: int
    pages: int
    resident: int  # pages
    dirty: int | None  # pages that the disk has not yet; None where the kernel cannot tell
    writeback: int | None  # pages on their way to it
    runs: tuple[tuple[int, int], ...]  # (offset, size) of what is in memory
    complete: bool = True  # False: there is too much to look at, so that it is at least what `resident` and `runs` say

    def cells(self, number: int) -> list[float]:
        """The share that is in memory of each of so many equal parts, for a picture."""
        ends = [offset + size for offset, size in self.runs]
        found = []
        for index in range(number):
            start, stop = self.size * index // number, self.size * (index + 1) // number
            there, at = 0, bisect.bisect_right(ends, start)
            while at < len(self.runs) and self.runs[at][0] < stop:
                there += min(ends[at], stop) - max(self.runs[at][0], start)
                at += 1
            found.append(there / (stop - start) if stop > start else 0.0)
        return found


def residency(what: str | os.PathLike[str]) -> Residency:
    """Which pages are in memory, of the file at a path, or of the shared memory of a name.

    A str with a slash in it, or that is the path of a file, is a path. Raises NotFoundError, AccessDeniedError (the
    kernel tells only those who own a file or may write to it), BadValueError (not a regular file).
    """
    with _opened(what) as (fd, size):
        if not pagecache.may_see(fd):
            text = (
                f"{os.fspath(what)!r}: the kernel tells only its owner, and who may write to it, which pages are there"
            )
            raise errors.of(int(c.ERROR_ACCESS_DENIED), text)
        looked = pagecache.Runs(fd, size)
        counts = pagecache.count(fd, 0, size)
    page = pagecache.PAGE
    resident = sum(-(-length // page) for _, length in looked.found)
    runs = tuple(looked.found)
    dirty, writeback = (counts.dirty, counts.writeback) if counts else (0, 0) if not size else (None, None)
    return Residency(os.fspath(what), size, page, -(-size // page), resident, dirty, writeback, runs, looked.complete)


def prefetch(what: str | os.PathLike[str], progress: Callable[[int, int], object] | None = None) -> None:
    """Read all of it into memory; `progress` is called with the bytes that are done, and all."""
    with _opened(what) as (fd, size):
        for done in pagecache.prefetch(fd, size):
            if progress is not None:
                progress(min(done, size), size)


def evict(what: str | os.PathLike[str]) -> None:
    """Have its pages written out and dropped from memory, as far as no process has them mapped.

    Raises Error for memory that has no other place: tmpfs, which named objects live in.
    """
    with _opened(what) as (fd, _):
        kind = system.memory_filesystem(fd)
        if kind is not None:
            text = f"{os.fspath(what)!r} lives in memory ({kind}) and has no other place to go to"
            raise errors.of(int(c.ERROR_NOT_SUPPORTED), text)
        pagecache.evict(fd)


def is_path(what: str | os.PathLike[str]) -> bool:
    """Whether it is the path of a file rather than the name of an object."""
    # A backslash is in names as well; an absolute path of Windows has a drive or a server.
    return not isinstance(what, str) or "/" in what or os.path.isabs(what) or os.path.exists(what)


@contextlib.contextmanager
def _opened(what: str | os.PathLike[str]) -> Iterator[tuple[int, int]]:
    """A descriptor of the bytes, and how many they are."""
    with errors.translated():
        if is_path(what):
            fd, size = pagecache.open_file(os.fspath(what))
        else:
            fd, size = looking.open_data(looking.look_at(os.fspath(what)))
        try:
            yield fd, size
        finally:
            os.close(fd)
