"""The errors of the Python classes: one small tree, each also the builtin that a Python user would catch.

    OSError
      Error                    winerror: the Win32 code; errno: the nearest one
        NotFoundError          FileNotFoundError: open, and there is none of this name
        ExistsError            FileExistsError: create, and there is one of this name
        AccessDeniedError      PermissionError
          ReadOnlyError        TypeError: a store into a view that is read-only
        NotOwnerError          RuntimeError: release of a mutex that the caller does not own
        LimitError             ValueError: a semaphore above its maximum
        WrongKindError         ValueError: the name belongs to another kind of object
        ClosedError            ValueError: the handle was closed underneath
        BadValueError          ValueError: a name, size, count or timeout that cannot be
        BlockError             ValueError: no block of `publish`, or a damaged one
        PageError              OSError: memory of a view is gone: its file was cut off, its disk is full

A closed object raises ValueError, as a closed file does. Timeouts are results, not errors.
"""

import contextlib
import errno
from collections.abc import Iterator

from namedmap._platform import functions, waits
from namedmap.constants import FORMAT_MESSAGE_FROM_SYSTEM, WinError


class Error(OSError):
    """A call that failed. `winerror` is its Win32 code."""

    def __init__(self, winerror: int, message: str) -> None:
        super().__init__(_ERRNO.get(winerror, errno.EIO), message)
        self.winerror = int(winerror)
        self.message = message

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.winerror, self.message)

    def __str__(self) -> str:
        return f"{self.message} [WinError {self.winerror}]"


class NotFoundError(Error, FileNotFoundError):
    """No object has this name."""


class ExistsError(Error, FileExistsError):
    """An object has this name already."""


class AccessDeniedError(Error, PermissionError):
    """The owner of the object, or the handle, does not allow it."""


class ReadOnlyError(AccessDeniedError, TypeError):
    """A store into a view that is read-only; a TypeError, as of a read-only memoryview."""


class NotOwnerError(Error, RuntimeError):
    """The caller does not own the mutex."""


class LimitError(Error, ValueError):
    """The semaphore would be above its maximum; nothing was released."""


class WrongKindError(Error, ValueError):
    """The name belongs to another kind of object."""


class ClosedError(Error, ValueError):
    """The object's handle was closed by another thread, or by its number."""


class BadValueError(Error, ValueError):
    """An argument that cannot be."""


class BlockError(Error, ValueError):
    """There is no block of this name that could be believed: another program's memory, or not written to the end."""


class PageError(Error):
    """Memory of a view is not there: its file was cut off by a program, its disk is full, or it is not committed."""


_ERRNO: dict[int, int] = {
    WinError.ERROR_FILE_NOT_FOUND: errno.ENOENT,
    WinError.ERROR_PATH_NOT_FOUND: errno.EINVAL,
    WinError.ERROR_ACCESS_DENIED: errno.EACCES,
    WinError.ERROR_INVALID_HANDLE: errno.EBADF,
    WinError.ERROR_NOT_ENOUGH_MEMORY: errno.ENOMEM,
    WinError.ERROR_TOO_MANY_OPEN_FILES: errno.EMFILE,
    WinError.ERROR_DISK_FULL: errno.ENOSPC,
    WinError.ERROR_LOCK_VIOLATION: errno.EBUSY,
    WinError.ERROR_INVALID_PARAMETER: errno.EINVAL,
    WinError.ERROR_INVALID_NAME: errno.EINVAL,
    WinError.ERROR_BAD_PATHNAME: errno.EINVAL,
    WinError.ERROR_FILENAME_EXCED_RANGE: errno.ENAMETOOLONG,
    WinError.ERROR_ALREADY_EXISTS: errno.EEXIST,
    WinError.ERROR_NOT_OWNER: errno.EPERM,
    WinError.ERROR_TOO_MANY_POSTS: errno.EOVERFLOW,
    WinError.ERROR_SWAPERROR: errno.EFAULT,
    WinError.ERROR_FILE_INVALID: errno.EINVAL,
    WinError.ERROR_COMMITMENT_LIMIT: errno.ENOSPC,
    WinError.ERROR_SHARING_VIOLATION: errno.EBUSY,
    WinError.ERROR_USER_MAPPED_FILE: errno.EBUSY,
    WinError.ERROR_FILE_EXISTS: errno.EEXIST,
    WinError.ERROR_WRITE_PROTECT: errno.EROFS,
    WinError.ERROR_NOT_SUPPORTED: errno.EOPNOTSUPP,
}

_CLASSES: dict[int, type[Error]] = {
    WinError.ERROR_FILE_NOT_FOUND: NotFoundError,
    WinError.ERROR_PATH_NOT_FOUND: BadValueError,
    WinError.ERROR_ACCESS_DENIED: AccessDeniedError,
    WinError.ERROR_INVALID_HANDLE: ClosedError,
    WinError.ERROR_INVALID_PARAMETER: BadValueError,
    WinError.ERROR_INVALID_NAME: BadValueError,
    WinError.ERROR_BAD_PATHNAME: BadValueError,
    WinError.ERROR_FILENAME_EXCED_RANGE: BadValueError,
    WinError.ERROR_ALREADY_EXISTS: ExistsError,
    WinError.ERROR_NOT_OWNER: NotOwnerError,
    WinError.ERROR_TOO_MANY_POSTS: LimitError,
    WinError.ERROR_SWAPERROR: PageError,
    WinError.ERROR_FILE_INVALID: BadValueError,
    WinError.ERROR_SHARING_VIOLATION: AccessDeniedError,
    WinError.ERROR_FILE_EXISTS: ExistsError,
    WinError.ERROR_WRITE_PROTECT: AccessDeniedError,
}


def of(winerror: int, message: str) -> Error:
    """The error for a Win32 code."""
    return _CLASSES.get(winerror, Error)(winerror, message)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turns what the object manager raises in a with-block into errors of this module."""
    try:
        yield
    except waits.KernelError as error:
        raise of(error.winerror, error.detail) from None


def last(*, by_name: bool = False) -> Error:
    """The error for the last Win32 call of this thread. `by_name`: it was to create or open an object by name."""
    code = functions.GetLastError()
    message = str(functions.FormatMessage(FORMAT_MESSAGE_FROM_SYSTEM, None, code)).strip()
    return WrongKindError(code, message) if by_name and code == WinError.ERROR_INVALID_HANDLE else of(code, message)
