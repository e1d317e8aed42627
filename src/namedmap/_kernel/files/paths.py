r"""Paths of files: what a Win32 path means here, and which error a failure on it is.

In a `str` both `\` and `/` separate, as in Windows, a leading `\\?\` is dropped, and `< > " | ? *` are refused. Drives,
`\\server\share` and `\\.\device` do not exist here and are not found. An os.PathLike is a path of this system already
and taken as it is, so every file can be named. Names are bytes to Linux; what is no text in them survives as surrogate
escapes. Upper and lower case differ, as everywhere on Linux.
"""

import errno
import os
import re
import stat
from typing import NamedTuple

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored

_FOREIGN = re.compile(r"[A-Za-z]:([\\/]|$)|\\\\")
_NEVER = re.compile(r'[<>"|?*]')
_VERBATIM = "\\\\?\\"
#: The longest name of one file, in bytes, on every Linux filesystem that matters.
_NAME_MAX = 255


class Path(NamedTuple):
    """A path as the system understands it."""

    name: str
    #: It ended in a separator, so it can only be a directory.
    slash: bool = False

    def __str__(self) -> str:
        return repr(self.name)

    def status(self, *, follow: bool = True) -> os.stat_result | None:
        """The status of the file there; None if nothing is. A missing directory on the way is an error."""
        try:
            return os.stat(self.name, follow_symlinks=follow)
        except OSError as error:
            if error.errno == errno.ENOENT:
                self.require_parent()
                return None
            raise self.failure(error, "cannot look up") from None

    def require_parent(self) -> None:
        parent = os.path.dirname(self.name) or "."
        with ignored(OSError):
            if stat.S_ISDIR(os.stat(parent).st_mode):
                return
        raise KernelError(NTSTATUS.STATUS_OBJECT_PATH_NOT_FOUND, f"{self}: there is no directory {parent!r}")

    def missing(self) -> KernelError:
        return KernelError(NTSTATUS.STATUS_OBJECT_NAME_NOT_FOUND, f"there is no file {self}")

    def no_directory(self) -> KernelError:
        return KernelError(
            NTSTATUS.STATUS_OBJECT_NAME_INVALID, f"{self}: the separator at the end means a directory, which it is not"
        )

    def failure(self, error: OSError, asked: str) -> KernelError:
        """The error of a system call on this path; `asked` is a verb: "cannot open"."""
        translated = from_oserror(error, f"{asked} {self}")
        if error.errno == errno.ENOTDIR:
            detail = f"{translated.detail} (on the way to it)"
            return KernelError(NTSTATUS.STATUS_OBJECT_PATH_NOT_FOUND, detail, errno=error.errno)
        if error.errno == errno.ENAMETOOLONG and any(len(os.fsencode(p)) > _NAME_MAX for p in self.name.split("/")):
            return KernelError(
                NTSTATUS.STATUS_OBJECT_NAME_INVALID, f"{translated.detail}: a name may have {_NAME_MAX} bytes"
            )
        if error.errno == errno.EAGAIN:
            return KernelError(
                NTSTATUS.STATUS_SHARING_VIOLATION, f"{asked} {self}: another program holds a lease on it (F_SETLEASE)"
            )
        return translated


def parse(value: object) -> Path:
    """The path for an argument: str, os.PathLike or None."""
    if value is None:
        raise KernelError(NTSTATUS.STATUS_OBJECT_PATH_NOT_FOUND, "the path is NULL")
    if isinstance(value, str):
        return _checked(_translate(value), value)
    if isinstance(value, os.PathLike):
        name = os.fsdecode(os.fspath(value))
        return _checked(name, name)
    raise TypeError(f"a path must be a str or os.PathLike, not {type(value).__name__}")


def _translate(text: str) -> str:
    rest = text.removeprefix(_VERBATIM)
    if _FOREIGN.match(rest) or (rest != text and rest.upper().startswith(("UNC\\", "UNC/"))):
        raise KernelError(
            NTSTATUS.STATUS_OBJECT_PATH_NOT_FOUND,
            f"{text!r}: there are no drives, servers or \\\\.\\ devices; a path starts at / or the current directory",
        )
    if _NEVER.search(rest):
        raise KernelError(
            NTSTATUS.STATUS_OBJECT_NAME_INVALID,
            f'{text!r}: no Win32 path contains < > " | ? or *. Such a file can be named by a pathlib.Path',
        )
    return rest.replace("\\", "/")


def _checked(name: str, text: str) -> Path:
    if not name:
        raise KernelError(NTSTATUS.STATUS_OBJECT_PATH_NOT_FOUND, "the path is empty")
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        raise KernelError(NTSTATUS.STATUS_OBJECT_NAME_INVALID, f"{text!r} is not Unicode: no path") from None
    if b"\0" in encoded:
        raise KernelError(NTSTATUS.STATUS_OBJECT_NAME_INVALID, f"{text!r} contains NUL: no path")
    return Path(name.rstrip("/") or "/", name.endswith("/"))
