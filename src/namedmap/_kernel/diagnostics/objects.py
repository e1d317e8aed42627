"""Looking at named objects without holding them: their files, who holds and maps them, what the dead have left.

Nothing here joins an object: files are opened for reading, locks are asked about, and /proc tells the rest. So a look
neither keeps an object alive nor sweeps what it was to report. Only what seems dead is judged under its guard, which is
shared for that moment, as by an opener. A look is no snapshot: objects come and go meanwhile.
"""

import errno
import os
import re
import stat
import struct
import time
from collections.abc import Collection, Iterator
from typing import NamedTuple, TypeAlias

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap._facts import Facts, Holding, Mapped
from namedmap._kernel.dispatch.dispatcher import COUNT, FLAGS, MAXIMUM, OWNER, OWNER_PID, PERMITS
from namedmap._kernel.dispatch.state import LOCK_FREE, MOST, SEAT_MASK
from namedmap._kernel.linux import locks, procfs, reopening
from namedmap._kernel.names import controlpage, names, namespace, succession
from namedmap._kernel.names.controlpage import FLAG_FILE_BACKED, FLAG_RESERVE, STATE_OFFSET, Control, Kind

#: Device and inode of a file.
Key: TypeAlias = tuple[int, int]

LIVE, DEAD, BUSY, DAMAGED, CLOSED = "live", "dead", "busy", "damaged", "unreadable"

_WORDS = struct.Struct("<13i")
_MOST_WAITERS = 1 << 20
_DELETED = " (deleted)"
#: How long an empty file may have been made a moment ago, in seconds.
_YOUNG = 5.0


class Found(NamedTuple):
    """The file of an object, as a look found it."""

    path: str
    is_global: bool
    status: str  # LIVE; DEAD: nobody holds it; BUSY: being made or removed; DAMAGED; CLOSED: another user's
    problem: str  # why it is DAMAGED or CLOSED
    info: os.stat_result
    page: Control | None
    words: tuple[int, ...]  # the state of a mutex, semaphore or event
    handles: int  # over all processes
    waiters: int
    owned: bool  # a process has the mutex

    @property
    def key(self) -> Key:
        return self.info.st_dev, self.info.st_ino

    @property
    def mine(self) -> bool:
        return self.info.st_uid == os.geteuid()

    @property
    def name(self) -> str:
        """As the functions take it; from the file's name where the control page cannot be had."""
        leaf = self.page.name if self.page else _decoded(os.path.basename(self.path), self.is_global)
        return ("Global\\" if self.is_global else "") + leaf

    @property
    def data(self) -> Key | None:
        """The file whose bytes a section is."""
        if self.page is None or self.page.kind is not Kind.SECTION:
            return None
        page = self.page
        return (page.backing_device, page.backing_inode) if page.flags & FLAG_FILE_BACKED else self.key


# -- objects -----------------------------------------------------------------------------------------------------------


def look(*, everyone: bool = False) -> list[Found]:
    """The objects of this user, live and dead, and the global ones; of everybody whose directory may be read."""
    space = namespace.fresh_one()
    space.prepare()
    space.require_local()
    paths = [(path, os.path.dirname(path) == space.root) for path in space.files()]
    if everyone:
        paths += [(path, False) for path in _of_others(space)]
    found = [_look_at(path, is_global) for path, is_global in paths if not _is_inbox(path)]
    return sorted(filter(None, found), key=lambda each: (each.is_global, each.name, each.path))


def look_at(name: str) -> Found:
    """The object of this name, live or dead. Raises KernelError if there is no file of it."""
    space, parsed = namespace.fresh_one(), names.parse(name)
    space.prepare()
    path = space.path(parsed)
    if parsed.is_global:
        path = succession.living(path) or path
    found = _look_at(path, parsed.is_global) if parsed.leaf else None
    if found is None:
        raise KernelError(
            NTSTATUS.STATUS_OBJECT_NAME_NOT_FOUND, f"no object {name!r} exists: nobody holds a handle to it"
        )
    return found


def _is_inbox(path: str) -> bool:
    return os.path.basename(path).startswith(namespace.INBOX_PREFIX)


def _of_others(space: namespace.Namespace) -> Iterator[str]:
    with ignored(OSError), os.scandir(space.root) as entries:
        for entry in entries:
            match = re.fullmatch(r"namedmap-(\d+)(\.\d+)?", entry.name)
            if match and int(match[1]) != space.uid and entry.is_dir(follow_symlinks=False):
                with ignored(OSError):
                    yield from (os.path.join(entry.path, name) for name in os.listdir(entry.path))


def _look_at(path: str, is_global: bool) -> Found | None:
    """None if the file has gone."""
    try:
        info = os.lstat(path)
    except OSError as error:
        require_ours(error)
        return None
    if not stat.S_ISREG(info.st_mode):
        return Found(path, is_global, DAMAGED, "it is no regular file", info, None, (), 0, 0, False)
    try:
        fd = os.open(path, os.O_RDONLY | namespace.OPEN_FLAGS)
    except FileNotFoundError as error:
        require_ours(error)
        return None
    except OSError as error:
        require_ours(error)
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise from_oserror(error, f"cannot look at {path}") from None
        return Found(
            path, is_global, CLOSED, f"it is user {info.st_uid}'s: {error.strerror}", info, None, (), 0, 0, False
        )
    try:
        return _describe(fd, path, is_global)
    except OSError as error:
        raise from_oserror(error, f"cannot look at {path}") from None
    finally:
        os.close(fd)


def _describe(fd: int, path: str, is_global: bool) -> Found | None:
    status = LIVE if locks.object_is_alive(fd) else _judge(fd)
    info = os.fstat(fd)
    page: Control | None = None
    words: tuple[int, ...] = ()
    problem = ""
    try:
        page = controlpage.parse(fd, info.st_size, path)
        if names.ObjectName(is_global, page.name).file_name() != namespace.stem(path):
            says, page = page.name, None
            raise controlpage.corrupt(path, f"its control page says that it is {says!r}")
        words = _words(fd, page)
    except KernelError as error:
        problem = error.detail
    if not info.st_nlink:
        return None
    alive = status == LIVE
    if alive and problem:
        status = DAMAGED
    if status == DEAD and not info.st_size and time.time() - info.st_mtime < _YOUNG:
        status = BUSY  # its maker has not come to lock it
    handles = locks.count_handles(fd) if alive else 0
    waiters = locks.count_waiters(fd, _MOST_WAITERS) if alive else 0
    owned = alive and locks.held_elsewhere(fd, _owner_place(words))
    return Found(path, is_global, status, problem, info, page, words, handles, waiters, owned)


def _owner_place(words: tuple[int, ...]) -> int:
    """The byte that the owner of a mutex has locked."""
    if words and words[FLAGS] & LOCK_FREE and words[OWNER] & SEAT_MASK:
        return locks.SEATS + (words[OWNER] & SEAT_MASK)
    return locks.OWNER


def _judge(fd: int) -> str:
    """Of a file without liveness locks: whether it has none under its guard either; else it could be in the making."""
    if not locks.try_lock(fd, locks.GUARD):
        return BUSY
    try:
        return LIVE if locks.object_is_alive(fd) else DEAD
    finally:
        locks.unlock(fd, locks.GUARD)


def _words(fd: int, page: Control) -> tuple[int, ...]:
    raw = os.pread(fd, _WORDS.size, page.page_at + STATE_OFFSET)
    return _WORDS.unpack(raw) if len(raw) == _WORDS.size else (0,) * 13


def _decoded(file_name: str, is_global: bool) -> str:
    text = namespace.stem(file_name) if is_global else file_name
    raw = re.sub(rb"%([0-9A-F]{2})", lambda match: bytes((int(match[1], 16),)), os.fsencode(text))
    return raw.decode("utf-8", "replace")


def state(found: Found) -> dict[str, int | bool]:
    """The state of a mutex, semaphore or event, by the words of its control page; {} for a section."""
    if found.page is None or not found.words or found.page.kind is Kind.SECTION:
        return {}
    count, permits = found.words[COUNT], max(found.words[PERMITS], 0)
    if found.page.kind is Kind.MUTANT:
        left = found.words[OWNER] != 0 if found.words[FLAGS] & LOCK_FREE else count < 1
        return {"owned": found.owned, "abandoned": left and not found.owned}
    if found.words[FLAGS] & LOCK_FREE:
        count &= MOST
    if found.page.kind is Kind.SEMAPHORE:
        return {"value": count, "maximum": found.words[MAXIMUM]}
    return {"set": count > 0 or permits > 0, "manual": bool(found.words[FLAGS] & 1)}


def facts(found: Found) -> Facts:
    """The facts that a file tells of its object."""
    page = found.page
    return Facts(
        name=found.name,
        kind=page.kind.noun if page else "unknown",
        status=found.status,
        problem=found.problem or None,
        size=(page.requested or page.size) if page and page.kind is Kind.SECTION else None,
        used=found.info.st_blocks * 512,
        owner=found.info.st_uid,
        mode=f"{found.info.st_mode & 0o777:04o}",
        creator=page.creator_pid if page else None,
        created=page.created / 1e9 if page else None,
        handles=found.handles,
        waiters=found.waiters if counts_waiters(found) else None,
        state=state(found),
        protection=page.protection or None if page else None,
        reserved=page is not None and bool(page.flags & FLAG_RESERVE),
        file=page.backing_path or None if page else None,
        path=found.path,
    )


def user() -> int:
    """The owner that this process's own objects have."""
    return os.geteuid()


def counts_waiters(found: Found) -> bool:
    """Whether those who wait for it are counted: only where each takes something from the others."""
    if found.page is None or not found.words:
        return False
    return found.page.kind is Kind.SEMAPHORE or (found.page.kind is Kind.EVENT and not found.words[FLAGS] & 1)


def is_alive(found: Found) -> bool:
    """Whether anybody still holds the object that was found there."""
    with ignored(OSError):
        fd = os.open(found.path, os.O_RDONLY | namespace.OPEN_FLAGS)
        try:
            info = os.fstat(fd)
            return (info.st_dev, info.st_ino) == found.key and locks.object_is_alive(fd)
        finally:
            os.close(fd)
    return False


def open_data(found: Found) -> tuple[int, int]:
    """A descriptor of a section's bytes, for reading, and how many there are; the caller closes it."""
    page = found.page
    if found.status == CLOSED:
        raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, f"{found.name!r} cannot be looked at: {found.problem}")
    if page is None or page.kind is not Kind.SECTION:
        raise KernelError(
            NTSTATUS.STATUS_OBJECT_TYPE_MISMATCH, f"{found.name!r} is no shared memory, so it has no pages"
        )
    path = page.backing_path if page.flags & FLAG_FILE_BACKED else found.path
    try:
        seen = reopening.look(path)
        try:
            info = os.fstat(seen)
            if (info.st_dev, info.st_ino) == found.data and stat.S_ISREG(info.st_mode):
                return reopening.reopen(seen, os.O_RDONLY), page.size
        finally:
            os.close(seen)
    except (OSError, ValueError) as error:  # ValueError: a NUL in a path that somebody forged
        failure = error if isinstance(error, OSError) else OSError(errno.EINVAL, str(error))
        raise from_oserror(failure, f"cannot open the memory of {found.name!r} ({path!r})") from None
    raise KernelError(NTSTATUS.STATUS_OBJECT_NAME_NOT_FOUND, f"{path!r} is not the file of {found.name!r} any more")


# -- the dead ----------------------------------------------------------------------------------------------------------


def remove_dead(found: Found) -> bool:
    """Remove the file of an object if nobody holds it, as the sweep does: under its guard, after another look."""
    return namespace.fresh_one().remove_if_dead(found.path)


def remove_dead_inboxes() -> int:
    """Remove the sockets of processes that have gone; returns how many."""
    space = namespace.fresh_one()
    space.prepare()
    return sum(space.remove_if_dead(path) for path in space.files() if _is_inbox(path))


# -- other processes ---------------------------------------------------------------------------------------------------


def holdings(files: Collection[Found]) -> dict[Key, list[Holding]]:
    """The holders of these objects, as far as /proc shows them to this user."""
    wanted = {each.key: _owner_process(each) for each in files}
    bases = {os.path.basename(each.path) for each in files}
    holders: dict[Key, list[Holding]] = {key: [] for key in wanted}
    for pid in procfs.processes():
        for fd in _descriptors(pid, bases):
            with ignored(OSError):
                info = os.stat(f"/proc/{pid}/fd/{fd}")
                key = info.st_dev, info.st_ino
                if key in wanted:
                    holders[key] += _held_through(pid, fd, info.st_ino, wanted[key])
    return holders


def _descriptors(pid: int, bases: set[str]) -> Iterator[str]:
    """The descriptors whose file has one of these names: its directory may have another path over there."""
    for fd in procfs.descriptors(pid):
        with ignored(OSError):
            link = os.readlink(f"/proc/{pid}/fd/{fd}").removesuffix(_DELETED)
            if os.path.basename(link) in bases:
                yield fd


def _owner_process(found: Found) -> int | None:
    """The process that has a lock-free mutex, by its own word."""
    return found.words[OWNER_PID] if found.owned and found.words[FLAGS] & LOCK_FREE else None


def _held_through(pid: int, fd: str, inode: int, owner_process: int | None) -> Iterator[Holding]:
    found = [each for each in procfs.locks(pid, fd) if each.inode == inode]
    handles = sum(max(each.last - max(each.first, locks.LIVENESS) + 1, 0) for each in found)
    owner = pid == owner_process or any(each.covers(locks.OWNER) for each in found)
    if owner or any(each.last >= locks.HANDOVER for each in found):
        yield Holding(pid, handles, owner)


def mapped(files: Collection[Key]) -> dict[Key, list[Mapped]]:
    """The pages of these files in the memory of processes, as far as /proc shows them to this user."""
    views: dict[Key, list[Mapped]] = {key: [] for key in files}
    for pid in procfs.processes():
        with ignored(OSError):
            for each in procfs.mappings(pid):
                found = views.get((each.device, each.inode))
                if found is not None:
                    found.append(Mapped(pid, each.start, each.end, each.permissions, each.offset))
    return views


def views(found: Found) -> list[Mapped]:
    """The views of a section that processes have."""
    return mapped([found.data])[found.data] if found.data else []


command = procfs.command
