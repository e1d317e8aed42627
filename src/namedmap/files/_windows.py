"""The calls of `_system` on Windows: plain reads and writes. Holes are data, and blocks are shared by nobody.

A file that is open can be neither renamed nor removed, and has one position, which all threads that use its descriptor
move. There are no permissions as of Linux: the attribute "read-only" stands for what nobody may write to.
"""

import ctypes
import errno
import importlib
import io
import os
import secrets
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from namedmap._failure import ignored

from . import _kernel32

# A type checker that runs on Linux knows no more of this module, and of os, than what Linux has.
_msvcrt: Any = importlib.import_module("msvcrt")
_os: dict[str, int] = vars(os)

#: As they are, without an end of line of their own; and not for children.
OPEN = _os["O_BINARY"] | _os["O_NOINHERIT"]
NO_LINK = 0
OPEN_FILES_KEEP_NAMES = True
#: NUL and CON are in every directory, and an exclusive open of them succeeds.
MADE_IS_NEW = False
SEND = "plain"

_PIECE = 256 << 10
#: Where the byte is that is locked: as far as the C library's function reaches. Nobody else reads or writes there,
#: since it is only files that are being made that are locked. Source: _locking (C).
_LOCKED = 0x7FFF_FFFE
#: How the C library says that it is; Wine's says nothing.
_LOCKED_BY_ANOTHER = (errno.EACCES, errno.EDEADLK, 0)
#: How often a rename is tried, and how many seconds apart: virus scanners have a new file open for a moment.
_TRIES, _REST = 20, 0.05

_READONLY, _NORMAL = 0x1, 0x80
#: The attributes that a copy takes over from the source: read-only, hidden, system, archive.
_KEPT = 0x27
#: 1970, in ticks of 100 ns since 1601.
_EPOCH = 116_444_736_000_000_000

#: By descriptor, whose turn it is to move its position. A number that is used again finds a lock, which is as good.
_turns: dict[int, threading.Lock] = {}


def _turn(fd: int) -> threading.Lock:
    return _turns.setdefault(fd, threading.Lock())


# -- bytes -------------------------------------------------------------------------------------------------------------


def read_into(fd: int, buffer: memoryview, offset: int) -> int:
    with _turn(fd), io.FileIO(fd, closefd=False) as file:
        file.seek(offset)
        return file.readinto(buffer) or 0


def write_all(fd: int, content: memoryview | bytes, offset: int) -> None:
    done = 0
    with _turn(fd), memoryview(content) as view:
        os.lseek(fd, offset, os.SEEK_SET)
        while done < len(view):
            count = os.write(fd, view[done:])
            if not count:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done += count


def send(source: int, target: int, offset: int, length: int) -> int:
    with _turn(source):
        os.lseek(source, offset, os.SEEK_SET)
        content = os.read(source, min(length, _PIECE))
    write_all(target, content, offset)
    return len(content)


def share(source: int, target: int) -> bool:
    return False


# -- space -------------------------------------------------------------------------------------------------------------


def allocated(info: os.stat_result) -> int:
    return info.st_size


def data(fd: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    if start < stop:
        yield start, stop


def allocate(fd: int, size: int) -> None:
    """Nothing: the C library would write zeros, once more than is needed."""


def scratch() -> int:
    path = os.path.join(tempfile.gettempdir(), f"namedmap-{secrets.token_hex(8)}")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | OPEN | _os["O_TEMPORARY"])


# -- machine -----------------------------------------------------------------------------------------------------------


def processors() -> int:
    return os.cpu_count() or 1


def expect_sequential(fd: int) -> None:
    """Nothing: it could only have been said when the file was opened."""


# -- names and owners --------------------------------------------------------------------------------------------------


def lock(fd: int) -> None:
    with _turn(fd):
        os.lseek(fd, _LOCKED, os.SEEK_SET)
        try:
            _msvcrt.locking(fd, _msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno not in _LOCKED_BY_ANOTHER:
                raise
            raise BlockingIOError(errno.EACCES, os.strerror(errno.EACCES)) from None


def open_nameless(directory: str, mode: int) -> tuple[int, Callable[[str], None]] | None:
    return None


def replace(source: str, target: str) -> None:
    """Raises PermissionError if another program has either file open, and does not close it within a second."""
    for _ in range(_TRIES):
        with ignored(PermissionError):
            os.replace(source, target)
            return
        time.sleep(_REST)
    os.replace(source, target)


def unlink(path: str) -> None:
    os.chmod(path, stat.S_IREAD | stat.S_IWRITE)
    os.unlink(path)


def settle(directory: str) -> None:
    """Nothing: a directory cannot be opened to be written out; NTFS keeps a journal of names."""


def may_write(path: str) -> bool:
    return os.access(path, os.W_OK)


def is_own(info: os.stat_result) -> bool:
    """A file has an access list; who may not write to it is told so when it is opened."""
    return True


may_date = is_own


def set_mode(fd: int, mode: int) -> None:
    found: Any = os.fstat(fd)
    others = found.st_file_attributes & ~_READONLY
    attributes = others if mode & stat.S_IWRITE else others | _READONLY
    _set_basic(fd, _kernel32.FILE_BASIC_INFO(FileAttributes=attributes or _NORMAL))


def take_after(fd: int, path: str, old: os.stat_result) -> None:
    set_mode(fd, old.st_mode)


def preserve(source: int, info: os.stat_result, target: int) -> None:
    found: Any = info
    # Through the descriptor, so that what it has written does not give the file another time when it is closed.
    _set_basic(
        target,
        _kernel32.FILE_BASIC_INFO(
            LastAccessTime=info.st_atime_ns // 100 + _EPOCH,
            LastWriteTime=info.st_mtime_ns // 100 + _EPOCH,
            FileAttributes=found.st_file_attributes & _KEPT or _NORMAL,
        ),
    )


def _set_basic(fd: int, content: _kernel32.FILE_BASIC_INFO) -> None:
    """Source: SetFileInformationByHandle (Win32)."""
    handle = _msvcrt.get_osfhandle(fd)
    kind, size = _kernel32.FILE_BASIC_INFO_CLASS, ctypes.sizeof(content)
    if not _kernel32.SetFileInformationByHandle(handle, kind, ctypes.byref(content), size):
        failed: Callable[[int], OSError] = vars(ctypes)["WinError"]
        code: int = vars(ctypes)["get_last_error"]()
        raise failed(code)
