"""CPython's `msvcrt`: the handle of a descriptor, and keys that are pressed in the terminal."""

import contextlib as _contextlib
import fcntl as _fcntl
import os as _os
import select as _select
import sys as _sys
import termios as _termios
import tty as _tty
from collections.abc import Iterator as _Iterator

from namedmap import errors as _errors
from namedmap._platform import files as _files
from namedmap._platform import functions as _functions
from namedmap.access import parse as _parse

LK_UNLCK, LK_LOCK, LK_NBLCK, LK_RLCK, LK_NBRLCK = range(5)

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
