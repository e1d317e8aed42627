"""The one exception that crosses the border between a platform and the Python classes, reasons for people, and whose
exception it is that comes out of a system call.
"""

import errno
import sys
from types import TracebackType

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


# -- whose exception it is ---------------------------------------------------------------------------------------------


def is_ours(error: BaseException) -> bool:
    """Whether an exception comes from a call that this package has made, directly or in the standard library.

    Signal handlers run in the middle of any call of the main thread, and so do finalizers. Their exceptions belong to
    the program, of whatever class they are, and their functions stand in the traceback.
    """
    trace = error.__traceback__
    while trace is not None:
        package, _, module = trace.tb_frame.f_globals.get("__name__", "").partition(".")
        if package == "namedmap":
            if not module.startswith(("_", "files.")):
                return False
        elif package not in sys.stdlib_module_names or package == "__main__":
            return False
        trace = trace.tb_next
    return True


def require_ours(error: BaseException) -> None:
    """For code that catches a failure and goes on: raises it again if no call of this package has raised it."""
    if not is_ours(error):
        try:
            raise error
        finally:
            del error  # else it would be in a cycle with this frame


class ignored:
    """Like contextlib.suppress, but an exception that a signal handler raises meanwhile passes."""

    def __init__(self, *kinds: type[Exception]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return error is not None and isinstance(error, self._kinds) and is_ours(error)
