"""CPython's `msvcrt`: the handle of a descriptor, and keys that are pressed in the terminal."""

import contextlib as _contextlib
import errno as _errno
import fcntl as _fcntl
import os as _os
import select as _select
import sys as _sys
import termios as _termios
import time as _time
import tty as _tty
from collections.abc import Iterator as _Iterator

from namedmap import constants as _c
from namedmap import errors as _errors
from namedmap._platform import files as _files
from namedmap._platform import functions as _functions
from namedmap.access import parse as _parse

LK_UNLCK, LK_LOCK, LK_NBLCK, LK_RLCK, LK_NBRLCK = range(5)
#: How often LK_LOCK tries, a second apart. Source: _locking (C).
_TRIES = 10

#: The handles that were given out, by descriptor, with the file that it was of: (device, inode).
_handles: dict[int, tuple[tuple[int, int], int]] = {}


def get_osfhandle(fd: int, /) -> int:
    """A handle of the file that a descriptor is of, to be mapped; it stays open as long as the process.

    Raises OSError for what is no file.
    """
    info = _os.fstat(fd)
    file, (known, handle) = (info.st_dev, info.st_ino), _handles.get(fd, ((0, 0), 0))
    if known != file:
        if handle:
            _functions.CloseHandle(handle)
        writable = _os.O_ACCMODE & _fcntl.fcntl(fd, _fcntl.F_GETFL) != _os.O_RDONLY
        with _errors.translated():
            handle = _files.of_descriptor(fd, _parse("write" if writable else "read")).value
        _handles[fd] = file, handle
    return handle


def locking(fd: int, mode: int, nbytes: int, /) -> None:
    """Lock so many bytes of a file from its position on, or unlock them; they end with the descriptor.

    LK_LOCK and LK_RLCK try ten times, a second apart; LK_NBLCK and LK_NBRLCK once. Python's own writing is kept from
    nothing, on Linux. Raises OSError: EACCES, EDEADLOCK after ten times.
    """
    if not LK_UNLCK <= mode <= LK_NBRLCK or nbytes < 0:
        raise OSError(_errno.EINVAL, _os.strerror(_errno.EINVAL))
    position, handle = _os.lseek(fd, 0, _os.SEEK_CUR), get_osfhandle(fd)
    low, high = position & 0xFFFFFFFF, position >> 32
    if mode == LK_UNLCK:
        if not _functions.UnlockFile(handle, low, high, nbytes, 0):
            raise _refusal(_errno.EACCES)
        return
    patient = mode in (LK_LOCK, LK_RLCK)
    tries = _TRIES if patient else 1
    while not _functions.LockFile(handle, low, high, nbytes, 0):
        tries -= 1
        if not tries or _functions.GetLastError() != _c.ERROR_LOCK_VIOLATION:
            raise _refusal(_errno.EDEADLOCK if patient and not tries else _errno.EACCES)
        _time.sleep(1)


def _refusal(code: int) -> OSError:
    """The report of the C library's function for a failed call."""
    reason = _functions.FormatMessage(_c.FORMAT_MESSAGE_FROM_SYSTEM, None, _functions.GetLastError())
    return OSError(code, f"{_os.strerror(code)}: {reason}")


def setmode(fd: int, mode: int, /) -> int:
    """Text and binary are the same here; returns binary (O_BINARY), the mode before."""
    return 0x8000


def heapmin() -> None:
    """There is nothing to give back."""


# -- the terminal ------------------------------------------------------------------------------------------------------


@_contextlib.contextmanager
def _keys() -> _Iterator[int]:
    """Keys as they come, without Enter; of what is no terminal, bytes as they come."""
    fd = _sys.stdin.fileno()
    if not _os.isatty(fd):
        yield fd
        return
    before = _termios.tcgetattr(fd)
    try:
        _tty.setcbreak(fd, _termios.TCSANOW)
        yield fd
    finally:
        _termios.tcsetattr(fd, _termios.TCSANOW, before)


def kbhit() -> bool:
    """Whether a key has been pressed that was not read."""
    with _keys() as fd:
        return bool(_select.select([fd], [], [], 0)[0])


def getch() -> bytes:
    """Wait for a key; b"" at the end of the input."""
    with _keys() as fd:
        key = _os.read(fd, 1)
    return b"\r" if key == b"\n" else key


def getche() -> bytes:
    """getch, and show it."""
    key = getch()
    putch(key)
    return key


def getwch() -> str:
    """Wait for a key, as str."""
    key = getch()
    while key and key[0] >= 0xC0 and len(key) < 2 + (key[0] >= 0xE0) + (key[0] >= 0xF0):
        key += getch()
    return key.decode(errors="replace")


def getwche() -> str:
    """getwch, and show it."""
    key = getwch()
    putwch(key)
    return key


def putch(char: bytes, /) -> None:
    """Show a character."""
    _sys.stdout.buffer.write(char)
    _sys.stdout.flush()


def putwch(unicode_char: str, /) -> None:
    """Show a character."""
    _sys.stdout.write(unicode_char)
    _sys.stdout.flush()
