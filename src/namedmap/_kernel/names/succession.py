r"""Files that stand in for a `Global\` name whose own file is dead and cannot be removed.

In the sticky root only root and a file's owner can remove it. So a process that was killed would keep others than its
user from ever using the name. Hence a name has a chain of files: its own, and successors with `~1`, `~2`, ... behind
it, without gaps. The object is the living one of them; all others are dead. A name whose own file is missing has no
chain, so that nobody who creates, opens or misses an object has to list a directory.

create   Where the file is dead, remove it and make it anew; where that is not granted, go on to the next place. A maker
         of a file beside others takes its guard and then looks at all the others (`rival`). If another lives or is in
         the making, the maker leaves the name to it and begins again; its own file stays, empty, where the other is
         reached through it. Only one that is in the making at a later place is waited for, since its maker gives way.
         Each maker makes, then looks; so of two that meet at least one sees the other.
open     Where the file is dead, look for the living one (`living`).
remove   A dead file with a living successor stays, since the successor would be out of reach; an empty file takes its
         place, so that it keeps no memory. A remover holds the guard of the file and then looks, and a maker makes and
         then looks at that guard: again one of them sees the other.

The owner of a dead file can make it look alive again, in front of an honest successor. So of several that live a
process takes one of its own user's or root's, neither of whom cheats it, before the first. A stranger's successor never
comes before a living file.

A file that may not even be read cannot be asked for its locks; /proc/locks tells, which is slow, and is not read in one
step. It is read several times, and believed only while it shows a lock of our own on the directory.
"""

import errno
import os
import random
import stat
import time
from collections.abc import Iterator

from namedmap._convention.status import ignored, require_ours
from namedmap._kernel.linux import locks, procfs, reopening

#: Successors of one name: each is left by another user.
LONGEST = 64
_LOOKS = 3
DEAD, BUSY, ALIVE = "dead", "busy", "alive"


def place(path: str) -> tuple[str, int]:
    """The path of a name's own file, and which of its chain a file is: 0, or the number of a successor."""
    base, mark, number = path.rpartition("~")
    return (base, int(number)) if mark and number.isdecimal() else (path, 0)


def following(path: str) -> str | None:
    """The next place after a file of a chain; None at the end."""
    base, number = place(path)
    return f"{base}~{number + 1}" if number < LONGEST else None


def has_successors(path: str) -> bool:
    """Whether a name has more than its own file."""
    return os.access(f"{path}~1", os.F_OK)


def living(base: str) -> str | None:
    """The file that is the object, of those that stand for a name; None if all are dead."""
    first = None
    for path in _chain(base):
        with ignored(FileNotFoundError):
            if state(path) == ALIVE:
                if os.lstat(path).st_uid in (0, os.geteuid()):
                    return path
                first = first or path
    return first


def rival(own: str) -> bool:
    """Whether a file that was made just now, and whose guard is held, has to give way to another of its chain."""
    base, number = place(own)
    reached = False
    for index, path in enumerate(_chain(base)):
        if path == own:
            reached = True
            continue
        found = state(path)
        if found == BUSY and index > number:
            found = _settled(path)
        if found != DEAD:
            return True
    # Else a predecessor was removed meanwhile: nobody would find what is behind the gap.
    return not reached


def is_needed(path: str) -> bool:
    """Whether something living, or in the making, is reached through a dead file, whose guard is held."""
    base, _ = place(path)
    return has_successors(base) and any(each != path and state(each) != DEAD for each in _chain(base))


def remove(path: str, size: int) -> bool:
    """Remove a dead file, whose guard is held, or what it keeps of memory; whether there was anything."""
    if not is_needed(path):
        os.unlink(path)
        return True
    if size:
        # Not truncated: somebody may still have a view of it. The name is not that of a successor.
        empty = f"{path}~empty-{os.getpid()}"
        os.close(os.open(empty, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        os.rename(empty, path)
    return size > 0


def leads_on(path: str) -> bool:
    """Whether something living, or in the making, lies behind a file."""
    return any(state(each) != DEAD for each in _chain(following(path)))


def pause() -> None:
    """Before another attempt: a file in the making needs a moment."""
    time.sleep(random.uniform(0.0005, 0.002))


def state(path: str) -> str:
    """The state of a file of a chain; one that has gone is dead."""
    try:
        fd = os.open(path, os.O_RDONLY | reopening.UNFOLLOWED)
    except FileNotFoundError as error:
        require_ours(error)
        return DEAD
    except OSError as error:
        require_ours(error)
        return _from_outside(path) if error.errno == errno.EACCES else ALIVE  # something else is in its place
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode) or locks.object_is_alive(fd):
            return ALIVE
        return BUSY if locks.held_elsewhere(fd, locks.GUARD) else DEAD
    finally:
        os.close(fd)


def _chain(first: str | None) -> Iterator[str]:
    path = first
    while path is not None and os.path.lexists(path):
        yield path
        path = following(path)


def _settled(path: str) -> str:
    """The state of a file in the making when its guard is free; BUSY if that lasts longer than a guard should."""
    deadline = time.monotonic() + locks.GUARD_TIMEOUT
    while (found := state(path)) == BUSY and time.monotonic() < deadline:
        pause()
    return found


def _from_outside(path: str) -> str:
    """The state of a file that may not be read, by the list of all locks; ALIVE where that cannot be had."""
    try:
        info = os.lstat(path)
        directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        require_ours(error)
        return DEAD
    except OSError as error:
        require_ours(error)
        return ALIVE
    try:
        own = os.fstat(directory)
        if not locks.try_lock(directory, locks.GUARD):
            return ALIVE
        looks = [list(procfs.locked(((own.st_dev, own.st_ino), (info.st_dev, info.st_ino)))) for _ in range(_LOOKS)]
    except OSError as error:
        require_ours(error)
        return ALIVE
    finally:
        os.close(directory)
    theirs = [[each for key, each in look if key == (info.st_dev, info.st_ino)] for look in looks]
    if any(len(found) == len(look) for found, look in zip(theirs, looks, strict=True)):
        return ALIVE  # our own lock is not among them
    seen = [each for found in theirs for each in found]
    if any(each.last >= locks.HANDOVER for each in seen):
        return ALIVE
    return BUSY if any(each.covers(locks.GUARD) for each in seen) else DEAD
