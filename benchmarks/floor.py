"""The floor: exactly the system calls that namedmap makes, straight-line, with everything prepared beforehand.

The time that namedmap takes beyond this is Python code of its own: checking arguments, tables, errors. `run.py
--check-floor` compares both with strace. The constants are the layout that docs/design.md describes.
"""

import binascii
import ctypes
import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SIZE = 65536
CONTROL = 4096

_GUARD = 1 << 62
_PASSAGE, _LIFE = _GUARD + 2, _GUARD + 3
#: A place of our own, below those where namedmap maps its views.
_BASE = 0x1F00_0000_0000
_PROT_READ_WRITE, _MAP_SHARED, _MAP_PRIVATE, _MAP_ANONYMOUS, _MAP_FIXED_NOREPLACE = 3, 1, 2, 0x20, 0x100000
_OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_CREATE = _OPEN | os.O_CREAT | os.O_EXCL


#: The file position of object files, from which locks count.
ANCHOR = (1 << 63) - 1


def _flock(kind: int, start: int, length: int) -> bytes:
    return struct.pack("hhqqi4x", kind, os.SEEK_CUR, start - ANCHOR, length, 0)


_LOCK_GUARD, _SHARE_GUARD = _flock(fcntl.F_WRLCK, _GUARD, 1), _flock(fcntl.F_RDLCK, _GUARD, 1)
_UNLOCK_GUARD = _flock(fcntl.F_UNLCK, _GUARD, 1)
_LIVE = _flock(fcntl.F_RDLCK, _LIFE + (4321 << 20), 1)
_DIE = _flock(fcntl.F_UNLCK, _LIFE + (4321 << 20), 0)
_LOCK_ALL, _UNLOCK_ALL = _flock(fcntl.F_WRLCK, _GUARD, 0), _flock(fcntl.F_UNLCK, _GUARD, 0)
_PROBE = _flock(fcntl.F_WRLCK, _PASSAGE, 0)

_fcntl, _SET, _GET = fcntl.fcntl, fcntl.F_OFD_SETLK, fcntl.F_OFD_GETLK

_libc = ctypes.CDLL(None, use_errno=True)
_mmap, _munmap = _libc.mmap, _libc.munmap
_mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_mmap.restype = ctypes.c_void_p
_munmap.argtypes, _munmap.restype = (ctypes.c_void_p, ctypes.c_size_t), ctypes.c_int


def control_page(name: str) -> bytes:
    """The bytes that a creator writes into the last page of an object file: a section of 64 KiB in memory."""
    header = struct.pack(
        "<8sIIIIIIQQQQQIIQQIIQ",
        *(b"NAMEDMAP", 1, 1, 0, 4, 0x08000000, os.getuid(), SIZE, SIZE, SIZE, 0, SIZE + 256),
        *(len(name), 0, 0, 0, os.getpid(), 0, 0),
    )
    return (header + struct.pack("<I12x", binascii.crc32(header))).ljust(256, b"\0") + name.encode()


def _view(fd: int) -> None:
    os.lseek(fd, 0, os.SEEK_CUR)  # whether other code has closed it
    base = _mmap(_BASE, SIZE, _PROT_READ_WRITE, _MAP_SHARED | _MAP_FIXED_NOREPLACE, fd, 0)
    if base != _BASE:
        raise OSError("the floor's place in the address space is taken")
    ctypes.memset(base, 1, 1)
    _munmap(base, SIZE)


def _nothing(_: object = None) -> None:
    """No call."""


def _drop_asking(fd: int) -> None:
    os.geteuid()
    os.lseek(fd, 0, os.SEEK_CUR)


def _ask() -> None:
    os.getuid()
    os.getpid()


@dataclass(frozen=True)
class Way:
    """The questions to the kernel of one of the ways into namedmap, beside what all ways ask.

    The process asks who it is: before it makes the file, or after it has locked it; before a view; and before the end,
    there together with whether other code has closed the descriptor.
    """

    first: Callable[[], None] = _nothing
    locked: Callable[[], None] = _nothing
    view: Callable[[], object] = _nothing
    end: Callable[[int], None] = _nothing


#: The Win32 functions, in both modes; the Python classes without the core, and with it.
WIN32 = Way(locked=_ask)
CLASSES = Way(locked=_ask, view=os.geteuid)
CORE = Way(first=_ask, view=os.geteuid, end=_drop_asking)


class Floor:
    """Creating or opening, mapping, touching, unmapping and closing, in the directory of names of a root."""

    def __init__(self, root: Path, new: str, existing: str, way: Way = WIN32) -> None:
        directory = root / f"namedmap-{os.geteuid()}"
        self._new, self._existing, self._way = str(directory / new), str(directory / existing), way
        self._page = control_page(new)
        _keep_neighbour()

    def create(self) -> None:
        way = self._way
        os.geteuid()
        way.first()
        fd = os.open(self._new, _CREATE, 0o600)
        os.lseek(fd, ANCHOR, os.SEEK_SET)
        _fcntl(fd, _SET, _LOCK_GUARD)
        os.fstat(fd)
        way.locked()
        os.posix_fallocate(fd, 0, SIZE + CONTROL)
        os.pwrite(fd, self._page, SIZE)
        _fcntl(fd, _SET, _LIVE)
        _fcntl(fd, _SET, _UNLOCK_GUARD)
        way.view()
        _view(fd)
        way.end(fd)
        _fcntl(fd, _SET, _LOCK_ALL)
        os.lstat(self._new)
        os.unlink(self._new)
        _fcntl(fd, _SET, _UNLOCK_ALL)
        os.lseek(fd, 0, os.SEEK_CUR)
        os.close(fd)

    def open(self) -> None:
        way = self._way
        os.geteuid()
        fd = os.open(self._existing, _OPEN)
        os.lseek(fd, ANCHOR, os.SEEK_SET)
        _fcntl(fd, _SET, _SHARE_GUARD)
        os.fstat(fd)
        _fcntl(fd, _GET, _PROBE)
        os.pread(fd, CONTROL, SIZE)
        _fcntl(fd, _SET, _LIVE)
        _fcntl(fd, _SET, _UNLOCK_GUARD)
        way.view()
        _view(fd)
        way.end(fd)
        _fcntl(fd, _SET, _DIE)
        _fcntl(fd, _GET, _PROBE)  # the holder's lock is there: this is not the last handle
        _fcntl(fd, _SET, _UNLOCK_ALL)
        os.lseek(fd, 0, os.SEEK_CUR)
        os.close(fd)


@cache
def _keep_neighbour() -> None:
    """A neighbour that stays, as namedmap has one: the kernel then keeps the page tables between two views."""
    _mmap(_BASE + SIZE, SIZE, 0, _MAP_PRIVATE | _MAP_ANONYMOUS | _MAP_FIXED_NOREPLACE, -1, 0)
