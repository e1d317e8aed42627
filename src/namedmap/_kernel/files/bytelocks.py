"""Byte-range locks of files: LockFile, LockFileEx, and what they keep others from.

A lock belongs to a file object in one process, and ends with it. The kernel keeps it as an OFD lock, so that it ends
however its process does, on bytes far past any data (see `_place`), where the locks are that other programs of Linux
know nothing of: those of fcntl.lockf on the same file neither stand in the way nor are seen.

The description that carries the locks is one of their own, opened for the purpose: one that is duplicated into another
process, or inherited, would be locked by both. For the handle of a descriptor that the program has (msvcrt) it is the
program's own instead, since closing that is what ends the locks.

The kernel knows for each byte only whether a description has it shared or exclusively. Windows keeps each lock for
itself: an exclusive one excludes all others, even of the same file object; a shared one may be laid over anything of
the same object, and each is taken back on its own. So the locks are listed here, and what the kernel has to know of a
stretch is reckoned from the list: its strongest lock.

Source: LockFileEx, UnlockFileEx (Win32); FsRtlFastCheckLockForRead and …ForWrite (Windows Driver Kit) for who may read
and write.
"""

import errno
import fcntl
import itertools
import os
import random
import time
from typing import NamedTuple

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap._kernel.files import sharemodes
from namedmap._kernel.linux import locks, reopening
from namedmap._kernel.linux.descriptors import Descriptor
from namedmap._kernel.linux.natives import RLock

#: All locks of the kernel lie in [_ZONE, _ZONE + _ZONE_SIZE), below the bytes of the share modes.
_ZONE = _ZONE_SIZE = 1 << 61
#: Up to here each byte of a file has a byte of the zone; above, where only tokens are locked, 16 have one.
_EXACT, _COARSE = 1 << 60, 4
_LIMIT = 1 << 64
_LONGEST_PAUSE = 0.05


class Range(NamedTuple):
    """A lock as it was asked for, [start, end), and where the kernel has it, [first, beyond)."""

    start: int
    end: int
    exclusive: bool

    @property
    def first(self) -> int:
        return _place(self.start)

    @property
    def beyond(self) -> int:
        return _place(self.end - 1) + 1 if self.end > self.start else self.first

    def meets(self, start: int, end: int) -> bool:
        # One of no bytes lies between two bytes, and is met by what has both.
        return self.start < end and start < self.end


def _place(offset: int) -> int:
    """The byte of the zone for an offset of 64 bits."""
    return _ZONE + (offset if offset < _EXACT else _EXACT + (offset - _EXACT >> _COARSE))


def wanted(start: int, length: int, *, exclusive: bool) -> Range:
    """The range of so many bytes from an offset on. Both have 64 bits, and so has the end."""
    if start + length > _LIMIT:
        raise KernelError(
            NTSTATUS.STATUS_INVALID_LOCK_RANGE, f"{length:#x} bytes at {start:#x} reach beyond what 64 bits can say"
        )
    return Range(start, start + length, exclusive)


def require_unlocked(fd: int, what: str, own: "ByteLocks | None", start: int, length: int, *, writing: bool) -> None:
    """Refuse to read bytes that others have locked exclusively, or to write any that are locked by others or shared.

    `start` is -1 for the position of the file pointer.
    """
    probe = fd if own is None else own.probe
    try:
        if own is None and not locks.held_elsewhere(probe, _ZONE, _ZONE_SIZE, exclusive=writing):
            return
        begin = os.lseek(fd, 0, os.SEEK_CUR) if start < 0 else start
        range_ = Range(begin, begin + length, writing)
        found = own.shared_at(range_) if own is not None and writing else None
        if found is None and length:
            found = _held(probe, range_)
    except OSError as error:
        require_ours(error)
        return  # no locks are to be had on this filesystem, nor has anybody any
    if found is not None:
        verb = "written" if writing else "read"
        raise KernelError(
            NTSTATUS.STATUS_FILE_LOCK_CONFLICT,
            f"{length:,} bytes at {begin:,} of {what} cannot be {verb}: {sharemodes.holder(fd, found)} has locked some",
        )


def _held(fd: int, range_: Range) -> int | None:
    """A byte of the zone at which another description's lock is in the way of such a one, if there is any."""
    found = locks.first_elsewhere(fd, range_.first, range_.beyond - range_.first, exclusive=range_.exclusive)
    # A lock that begins in the data is one of fcntl.lockf on all of the file.
    return None if found is None or found < _ZONE else max(found, range_.first)


class ByteLocks:
    """The locks of one file object in this process."""

    def __init__(self, fd: int, what: str, lent: int | None = None) -> None:
        """`lent` is a descriptor of the same file whose closing ends the locks; it stays the program's."""
        self._fd, self._what, self._lent = fd, what, lent
        self._mutex = RLock()
        self._held: list[Range] = []
        self._own: Descriptor | None = None
        self._pid = os.getpid()

    # -- operations ---------------------------------------------------------------------------------------------------

    def lock(self, range_: Range, *, wait: bool) -> None:
        """Lock a range, waiting for those that are in the way or not."""
        pause = 0.0005
        while (byte := self._try(range_)) is not None:
            if not wait:
                raise KernelError(
                    NTSTATUS.STATUS_LOCK_NOT_GRANTED,
                    f"{range_.end - range_.start:,} bytes at {range_.start:,} of {self._what} cannot be locked: "
                    f"{sharemodes.holder(self._fd, byte)} has locked some of them",
                )
            # Jitter, so that processes that collided once do not collide again in step.
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def unlock(self, start: int, length: int) -> None:
        """Take back one lock of exactly this range; the exclusive one first, if there are several."""
        with self._mine():
            self._look_anew()
            same = [each for each in self._held if (each.start, each.end) == (start, start + length)]
            if not same:
                raise KernelError(
                    NTSTATUS.STATUS_RANGE_NOT_LOCKED,
                    f"this handle has no lock of {length:,} bytes at {start:,} of {self._what}: unlock the ranges that "
                    "were locked",
                )
            gone = max(same, key=lambda each: each.exclusive)
            self._held.remove(gone)
            self._settle(gone)

    def shared_at(self, range_: Range) -> int | None:
        """Where a shared lock of this object is in the way of a store: nobody may write there, its holders included."""
        with self._mine():
            self._look_anew()
            found = [each for each in self._held if not each.exclusive and each.meets(range_.start, range_.end)]
            return found[0].first if found else None

    @property
    def probe(self) -> int:
        """A descriptor through which the locks of others are seen, and not those of this object."""
        with self._mine():
            self._look_anew()
            return self._fd if not self._held else self._description()

    def close(self) -> None:
        """The file object ends, and the locks with it: a child forked meanwhile may have a copy of the description."""
        with self._mine():
            if self._held:
                with ignored(OSError, KernelError):
                    locks.unlock(self._description(), _ZONE, _ZONE_SIZE)
            self._held.clear()
            self._close_own()

    # -- the list, and the kernel --------------------------------------------------------------------------------------

    def _try(self, range_: Range) -> int | None:
        """Take a lock; else a byte of the zone that is locked already."""
        with self._mine():
            self._look_anew()
            met = [each for each in self._held if each.meets(range_.start, range_.end)]
            if range_.exclusive and met:
                return met[0].first
            fd, writes_only = self._description(), self._mode() == os.O_WRONLY
            if range_.exclusive and self._mode() == os.O_RDONLY:
                raise KernelError(
                    NTSTATUS.STATUS_ACCESS_DENIED,
                    f"{self._what} cannot be locked exclusively: on Linux only who may write to a file can. Open it "
                    "for writing, or lock it shared",
                )
            try:
                for first, beyond in self._stretches(range_, [each for each in met if each.exclusive]):
                    if not locks.try_lock(fd, first, beyond - first, exclusive=range_.exclusive or writes_only):
                        self._settle(range_)
                        return _held(fd, range_) or first
            except OSError as error:
                raise from_oserror(error, f"cannot lock bytes of {self._what}") from None
            self._held.append(range_)
            return None

    @staticmethod
    def _stretches(range_: Range, covers: list[Range]) -> list[tuple[int, int]]:
        """The stretches of a range that no lock covers, as the kernel has it."""
        left, at = [], range_.first
        for cover in sorted(covers):
            if at < cover.first:
                left.append((at, min(cover.first, range_.beyond)))
            at = max(at, cover.beyond)
        return [*left, (at, range_.beyond)] if at < range_.beyond else left

    def _settle(self, range_: Range) -> None:
        """Let the kernel have for a stretch what the list says."""
        met = [each for each in self._held if each.first < range_.beyond and range_.first < each.beyond]
        bounds = {range_.first, range_.beyond, *(bound for each in met for bound in (each.first, each.beyond))}
        cuts = sorted(bound for bound in bounds if range_.first <= bound <= range_.beyond)
        fd, writes_only = self._description(), self._mode() == os.O_WRONLY
        for first, beyond in itertools.pairwise(cuts):
            over = [each.exclusive or writes_only for each in met if each.first <= first and beyond <= each.beyond]
            if not over:
                locks.unlock(fd, first, beyond - first)
            elif not any(over):
                locks.try_lock(fd, first, beyond - first)  # from exclusive to shared, which nobody can prevent

    # -- the description ----------------------------------------------------------------------------------------------

    def _description(self) -> int:
        if self._lent is not None:
            if not self._is_lent(self._lent):
                raise KernelError(
                    NTSTATUS.STATUS_INVALID_HANDLE,
                    f"descriptor {self._lent}, whose handle this is, was closed, and with it {self._what}",
                )
            return self._lent
        if self._own is None:
            self._own = self._opened()
        return self._own.require(self._what)

    def _mode(self) -> int:
        return fcntl.fcntl(self._description(), fcntl.F_GETFL) & os.O_ACCMODE

    def _opened(self) -> Descriptor:
        for mode in (os.O_RDWR, os.O_RDONLY, os.O_WRONLY):
            try:
                return Descriptor(reopening.reopen(self._fd, mode))
            except OSError as error:
                failure = from_oserror(error, f"cannot lock bytes of {self._what}")
                if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ETXTBSY):
                    break
        try:
            raise failure
        finally:
            del failure  # else it would be in a cycle with this frame

    def _close_own(self) -> None:
        own, self._own = self._own, None
        if own is not None:
            own.close()

    def _mine(self) -> RLock:
        """The mutex. A forked child has none of its parent's locks, and another thread may have been here."""
        if self._pid != os.getpid():
            self._pid, self._mutex, self._held = os.getpid(), RLock(), []
            self._close_own()
        return self._mutex

    def _look_anew(self) -> None:
        """Forget the locks of a descriptor that the program has closed."""
        if self._lent is not None and self._held:
            # The number may be another description's, even of the same file: that has none of these locks.
            there = self._is_lent(self._lent)
            self._held = [each for each in self._held if there and _held(self._fd, each._replace(exclusive=True))]

    def _is_lent(self, lent: int) -> bool:
        """Whether a descriptor is of this file, still."""
        with ignored(OSError):
            return os.path.samestat(os.fstat(lent), os.fstat(self._fd))
        return False
