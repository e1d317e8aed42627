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


def printable(text: str) -> str:
    """A text that others may have chosen a part of, without what a terminal would obey: control characters escaped."""
    if not isinstance(text, str) or text.isprintable():  # an exception takes whatever it is given
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class Failure(Exception):
    """An operation of the platform has failed.

    `winerror` is the Win32 code. `detail` is a sentence for people: what was asked, what stood in the way, what to do.
    `errno` is the number that the operating system gave, where a system call of it has failed; otherwise None.
    """

    #: Whether the name that was to be created or opened belongs to another kind of object.
    wrong_kind = False

    def __init__(self, winerror: int, detail: str, errno: int | None = None) -> None:
        # Here, for all: paths, names and command lines of others stand in many of them, and end in terminals and logs.
        self.detail = printable(detail)
        super().__init__(self.detail)
        self.winerror = int(winerror)
        self.errno = errno
