"""The errors of the Python classes: one small tree, each also the builtin that a Python user would catch.

    OSError
      Error                    winerror: the Win32 code; errno: the nearest one
        NotFoundError          FileNotFoundError: open, and there is none of this name
          NotDirectoryError    NotADirectoryError: a part of a path is a file
        ExistsError            FileExistsError: create, and there is one of this name
        AccessDeniedError      PermissionError
          ReadOnlyError        TypeError: a store into a view that is read-only
          IsDirectoryError     IsADirectoryError: the path of a file leads to a directory
        NotOwnerError          RuntimeError: release of a mutex that the caller does not own
        LimitError             ValueError: a semaphore above its maximum
        WrongKindError         ValueError: the name belongs to another kind of object
        ClosedError            ValueError: the handle was closed underneath
        BadValueError          ValueError: a name, size, count or timeout that cannot be
        BlockError             ValueError: no block of `publish`, or a damaged one
        PageError              OSError: memory of a view is gone: its file was cut off, its disk is full

A closed object raises ValueError, as a closed file does. Timeouts are results, not errors. This module imports no
platform: `translated` is the one place where what a platform raises becomes an error of Python.
"""

import errno

from namedmap._failure import Failure, printable, reason, require_ours
from namedmap.winerror import WinError


class Error(OSError):
    """A call that failed. `winerror` is its Win32 code, `errno` the system's number or the nearest one to the code."""

    def __init__(self, winerror: int, message: str, code: int | None = None) -> None:
        self.message = printable(message)
        super().__init__(_ERRNO.get(winerror, errno.EIO) if code is None else code, self.message)
        self.winerror = int(winerror)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.winerror, self.message, self.errno)

    def __str__(self) -> str:
        return f"{self.message} [WinError {self.winerror}]"


class NotFoundError(Error, FileNotFoundError):
    """No object has this name."""


class NotDirectoryError(NotFoundError, NotADirectoryError):
    """A path goes on behind a file."""


class ExistsError(Error, FileExistsError):
    """An object has this name already."""


class AccessDeniedError(Error, PermissionError):
    """The owner of the object, or the handle, does not allow it."""


class ReadOnlyError(AccessDeniedError, TypeError):
    """A store into a view that is read-only; a TypeError, as of a read-only memoryview."""


class IsDirectoryError(AccessDeniedError, IsADirectoryError):
    """There is a directory where a file is needed."""


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

#: The Win32 code for a system call that failed.
_WINERRORS: dict[int, WinError] = {
    errno.ENOENT: WinError.ERROR_FILE_NOT_FOUND,
    errno.ENOTDIR: WinError.ERROR_PATH_NOT_FOUND,
    errno.EACCES: WinError.ERROR_ACCESS_DENIED,
    errno.EPERM: WinError.ERROR_ACCESS_DENIED,
    errno.EISDIR: WinError.ERROR_ACCESS_DENIED,
    errno.ELOOP: WinError.ERROR_CANT_RESOLVE_FILENAME,
    errno.ETXTBSY: WinError.ERROR_SHARING_VIOLATION,
    errno.EMFILE: WinError.ERROR_TOO_MANY_OPEN_FILES,
    errno.ENFILE: WinError.ERROR_TOO_MANY_OPEN_FILES,
    errno.ENOMEM: WinError.ERROR_NOT_ENOUGH_MEMORY,
    errno.ENOSPC: WinError.ERROR_DISK_FULL,
    errno.EDQUOT: WinError.ERROR_DISK_FULL,
    errno.EFBIG: WinError.ERROR_DISK_FULL,
    errno.EROFS: WinError.ERROR_WRITE_PROTECT,
    errno.ENAMETOOLONG: WinError.ERROR_FILENAME_EXCED_RANGE,
    errno.EXDEV: WinError.ERROR_NOT_SAME_DEVICE,
    errno.ENOTEMPTY: WinError.ERROR_DIR_NOT_EMPTY,
    errno.EEXIST: WinError.ERROR_ALREADY_EXISTS,
    errno.EFAULT: WinError.ERROR_NOACCESS,
    errno.EIO: WinError.ERROR_IO_DEVICE,
    errno.EOPNOTSUPP: WinError.ERROR_NOT_SUPPORTED,
    errno.ENOSYS: WinError.ERROR_NOT_SUPPORTED,
    errno.EINVAL: WinError.ERROR_INVALID_PARAMETER,
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


#: Errors that the operating system's number tells better than the Win32 code.
_BY_ERRNO: dict[int, type[Error]] = {
    errno.ENOENT: NotFoundError,
    errno.ENOTDIR: NotDirectoryError,
    errno.EISDIR: IsDirectoryError,
}


def of(winerror: int, message: str, code: int | None = None) -> Error:
    """The error for a Win32 code; `code` is the errno of the system call that failed, if one did."""
    kind = _BY_ERRNO.get(code) if code is not None else None
    return (kind or _CLASSES.get(winerror, Error))(winerror, message, code)


def of_system_call(error: OSError, asked: str) -> Error:
    """The error for a failed system call; `asked` says what was being done, e.g. "cannot open 'a.dat'".

    Raises the error itself if it is not from a system call of ours, but from a signal handler that ran meanwhile.
    """
    require_ours(error)
    code = error.errno or errno.EIO
    return of(_WINERRORS.get(code, WinError.ERROR_GEN_FAILURE), f"{asked}: {reason(error)}", code)


def translate(failure: Failure) -> Error:
    """The error for what a platform has raised."""
    if failure.wrong_kind:
        return WrongKindError(failure.winerror, failure.detail)
    return of(failure.winerror, failure.detail, failure.errno)


class _Translated:
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, raised: BaseException | None, traceback: object) -> None:
        if isinstance(raised, Failure):
            # Without its traceback: from Python 3.12 on an exception that went through a generator's frame, as that of
            # a context manager is, is in a cycle with it, which would keep the callers' variables, and their handles.
            raise translate(raised.with_traceback(None)) from None


_translated = _Translated()


def translated() -> _Translated:
    """Turns what a platform raises in a with-block into errors of this module."""
    return _translated
