"""The one exception that crosses the border between a platform and the Python classes, and reasons for people."""

import errno

_REMEDIES = {
    errno.EMFILE: "this process has no file descriptor left: close handles, or raise RLIMIT_NOFILE (ulimit -n)",
    errno.ENFILE: "the system has no file descriptor left (fs.file-max)",
    errno.EROFS: "the filesystem is mounted read-only",
    errno.EFBIG: "the size is above this process's file-size limit (RLIMIT_FSIZE, ulimit -f) or the filesystem's",
}


def reason(error: OSError) -> str:
    """Why a system call has failed, with what to do where that can be told."""
    return _REMEDIES.get(error.errno or 0) or error.strerror or str(error)


class Failure(Exception):
    """An operation of the platform has failed.

    `winerror` is the Win32 code. `detail` is a sentence for people: what was asked, what stood in the way, what to do.
    `errno` is the number that the operating system gave, where a system call of it has failed; otherwise None.
    """

    #: Whether the name that was to be created or opened belongs to another kind of object.
    wrong_kind = False

    def __init__(self, winerror: int, detail: str, errno: int | None = None) -> None:
        super().__init__(detail)
        self.winerror = int(winerror)
        self.detail = detail
        self.errno = errno
