"""Share modes and the mark of mapped files, as locks on the data file itself.

Windows keeps, per open file, what each opener does with it (its access) and what it lets others do (its share mode).
Here the kernel keeps both, in OFD locks on single bytes far past any data, so that they hold between processes and end
with the opener however it dies. All are shared locks; a byte says only that somebody holds it:

    SHARE_GUARD    held while the others are taken and looked at
    ACCESS         3 bytes: somebody reads, writes, may delete the file
    DENY           3 bytes: somebody does not let others read, write, delete it
    MAPPED         a section or a view stands on the file: it must not shrink or go
    MAPPED_WRITE   a writable one: later openers must share writing

An opener takes the guard, takes its own bytes, looks whether others hold bytes that conflict with them, and gives its
own back if so. Two openers that may only read hold the guard together (a descriptor without write access cannot lock
exclusively) and can refuse each other; see `_must_retry`. The rules are those of Wine's server, which pass the tests
that were made on Windows.

Everybody who may read a file can hold these bytes, and so keep its owner from writing, cutting or deleting it through
namedmap, as on Windows, where the right to read includes opening without sharing. Counting only those who may write was
considered: a lock does not tell whose it is, and the mark of a reader is what keeps that reader from SIGBUS.

Where locks cannot be had there are no share modes: on filesystems that refuse them, and for a file that its user may
write but not read (the kernel gives shared locks to readers only; others' share modes are respected then).
"""

import contextlib
import errno
import fcntl
import os
import random
import time
from collections.abc import Iterator

from namedmap._convention.status import NTSTATUS, KernelError, ignored
from namedmap._kernel.linux import locks, procfs
from namedmap.constants import FileAccess, FileShare, Generic

SHARE_GUARD = (1 << 62) + 0x1000
ACCESS = SHARE_GUARD + 1
DENY = SHARE_GUARD + 4
MAPPED = SHARE_GUARD + 7
MAPPED_WRITE = SHARE_GUARD + 8

_READ, _WRITE, _DELETE = (int(share) for share in FileShare)
_READING = int(FileAccess.FILE_READ_DATA | FileAccess.FILE_EXECUTE)
_WRITING = int(FileAccess.FILE_WRITE_DATA | FileAccess.FILE_APPEND_DATA)
_DELETING = int(Generic.DELETE)

#: The runs of neighbouring bytes for a set of the three kinds: one system call each.
_RUNS = ((), ((0, 1),), ((1, 1),), ((0, 2),), ((2, 1),), ((0, 1), (2, 1)), ((1, 2),), ((0, 3),))

#: The answers of a file that cannot be locked: the filesystem has no locks, or the descriptor may not be read.
_UNLOCKABLE = (errno.ENOLCK, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EOVERFLOW)

_ATTEMPTS = 20
_VERBS = ("reading", "writing", "deleting")


def kinds(access: int) -> int:
    """The meaning of an access mask for sharing, in the bits of FILE_SHARE_*; 0 for attributes and the like."""
    return (
        (_READ if access & _READING else 0)
        | (_WRITE if access & _WRITING else 0)
        | (_DELETE if access & _DELETING else 0)
    )


def claim(fd: int, what: str, access: int, share: int, *, overwrite: bool = False) -> None:
    """Hold this access and share mode for as long as the description of `fd` lives, or raise the violation.

    With `overwrite` the file is emptied in the same step, under the guard, so that no section can be made in between;
    emptying counts as writing, though only for this moment.
    """
    wanted = kinds(access)
    if not wanted and share & _WRITE and not overwrite:
        return
    # An opener that neither reads, writes nor deletes does not restrict others either.
    denied = ~share & 7 if wanted else 0
    conflict = ACCESS
    for _ in range(_ATTEMPTS):
        with guarded(fd, what) as exclusive:
            found = _take(fd, wanted, denied) or _conflict(fd, wanted, share, overwrite)
            if found is None:
                if overwrite:
                    os.ftruncate(fd, 0)
                return
            _release(fd)
            conflict = found
            final = exclusive or not _must_retry(fd, wanted, share)
        if final:
            break
        time.sleep(random.uniform(0.0001, 0.001))
    raise _violation(fd, what, conflict, share)


def mark_mapped(fd: int, writable: bool) -> None:
    """Mark the file as mapped while the description of `fd` lives. Look at the file's size after this, not before."""
    what = f"file {_name(fd)!r}"
    with guarded(fd, what), _where_lockable():
        if not locks.try_lock(fd, MAPPED, 2 if writable else 1):
            raise KernelError(
                NTSTATUS.STATUS_LOCK_NOT_GRANTED,
                f"{what} is locked against mappings by {procfs.describe_holders(fd, MAPPED)}",
            )


def is_mapped(fd: int) -> bool:
    """Whether a section or view that somebody else's description holds stands on the file."""
    with _where_lockable():
        return locks.held_elsewhere(fd, MAPPED, 2)
    return False


def user(fd: int) -> int | None:
    """A byte by which somebody else has the file open or mapped, if anybody has."""
    with _where_lockable():
        for byte in range(ACCESS, MAPPED_WRITE + 1):
            if locks.held_elsewhere(fd, byte):
                return byte
    return None


@contextlib.contextmanager
def guarded(fd: int, what: str) -> Iterator[bool]:
    """Hold the share guard, exclusively where the descriptor allows it; yields whether it is exclusive."""
    exclusive = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    held = False
    with _where_lockable():
        locks.take_guard(fd, what, SHARE_GUARD, exclusive=exclusive)
        held = True
    try:
        yield exclusive
    finally:
        if held:
            locks.drop_guard(fd, SHARE_GUARD)


@contextlib.contextmanager
def _where_lockable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _UNLOCKABLE:
            raise


def _take(fd: int, wanted: int, denied: int) -> int | None:
    """Take the own bytes. The first byte that somebody has locked exclusively (nobody should), or None."""
    with _where_lockable():
        for base, bits in ((ACCESS, wanted), (DENY, denied)):
            for start, length in _RUNS[bits]:
                if not locks.try_lock(fd, base + start, length):
                    return base + start
    return None


def _release(fd: int) -> None:
    with _where_lockable():
        locks.unlock(fd, ACCESS, 6)


def _conflict(fd: int, wanted: int, share: int, overwrite: bool) -> int | None:
    """The first byte, in Windows' order of checks, that somebody else holds and that stands in the way."""
    with _where_lockable():
        wanted |= _WRITE if overwrite else 0
        for start, length in _RUNS[wanted]:
            if locks.held_elsewhere(fd, DENY + start, length):
                return DENY + start
        if not share & _WRITE and locks.held_elsewhere(fd, MAPPED_WRITE):
            return MAPPED_WRITE
        if overwrite and is_mapped(fd):
            return MAPPED
        for start, length in _RUNS[~share & 7 if wanted else 0]:
            if locks.held_elsewhere(fd, ACCESS + start, length):
                return ACCESS + start
    return None


def _must_retry(fd: int, wanted: int, share: int) -> bool:
    """Whether a conflict may have been with an opener that has not decided yet.

    Holders of a shared guard see each other's bytes; if each gave way the file would be refused to both. While somebody
    else is under the guard the conflict is not final. Nor is it if it has gone by the time nobody is.
    """
    with _where_lockable():
        return locks.held_elsewhere(fd, SHARE_GUARD) or _conflict(fd, wanted, share, False) is None
    return False


def _violation(fd: int, what: str, byte: int, share: int) -> KernelError:
    if byte == MAPPED:
        return KernelError(
            NTSTATUS.STATUS_USER_MAPPED_FILE,
            f"{what} cannot be emptied while it is mapped by {holder(fd, MAPPED)}: close its sections and views first",
        )
    if byte == MAPPED_WRITE:
        reason = "it is mapped for writing, which FILE_SHARE_WRITE must allow here,"
    elif byte >= DENY:
        reason = f"{_VERBS[byte - DENY]} is not shared (FILE_SHARE_*)"
    else:
        reason = f"it is open for {_VERBS[byte - ACCESS]}, which the share mode asked for, {share:#x}, does not allow,"
    return KernelError(
        NTSTATUS.STATUS_SHARING_VIOLATION,
        f"{what} is in use: {reason} by {holder(fd, byte)}. Close the other handle, or share more",
    )


#: When the holder of a byte was looked for, by device, inode and byte, and what was found.
_searched: dict[tuple[int, int, int], tuple[float, str]] = {}
_REMEMBERED = 64


def holder(fd: int, byte: int) -> str:
    """The holder of a byte, for messages.

    Finding another process means reading what all processes have open. A program that tries again and again until a
    file is free must not pay for that each time: once a second is enough.
    """
    info, now = os.fstat(fd), time.monotonic()
    if procfs.holds("self", info.st_ino, byte):
        return "this process"
    key = (info.st_dev, info.st_ino, byte)
    when, found = _searched.get(key, (float("-inf"), ""))
    if now - when < 1:
        return found
    found = procfs.describe_holders(fd, byte)
    if found == procfs.UNSEEN and info.st_mode & 0o044:
        found += ", as everybody can who may read the file: chmod keeps others from it, os.replace takes its name away"
    if len(_searched) >= _REMEMBERED:
        _searched.clear()
    _searched[key] = time.monotonic(), found
    return found


def _name(fd: int) -> str:
    with ignored(OSError):
        return os.readlink(f"/proc/self/fd/{fd}")
    return f"descriptor {fd}"
