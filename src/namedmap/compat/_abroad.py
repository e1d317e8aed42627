"""Names of the standard library, and of the environment, that only Windows has: for programs that are told of it.

Each function takes the real module and gives the names that a program finds in it beside, or in the place of, its own.
Most of what they stand for is nothing here: a window to hide, a console to leave. A name that has a counterpart does
that.
"""

import contextlib
import ctypes
import errno
import gc
import getpass
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from namedmap import constants as c
from namedmap import errors

_ERROR_NO_ASSOCIATION = 1155


# -- asyncio, signal, subprocess ---------------------------------------------------------------------------------------


def asyncio_names(module: ModuleType) -> dict[str, Any]:
    """The policies of Windows stand for the default one, and its loops for the one that there is."""
    names: dict[str, Any] = {"ProactorEventLoop": vars(module)["SelectorEventLoop"]}
    default = vars(module).get("DefaultEventLoopPolicy")
    if default is not None:
        selector = type("WindowsSelectorEventLoopPolicy", (default,), {"__module__": "asyncio"})
        names |= {"WindowsProactorEventLoopPolicy": default, "WindowsSelectorEventLoopPolicy": selector}
    return names


def signal_names(module: ModuleType) -> dict[str, Any]:
    """The events of a console are the signals that Linux has for them: to interrupt, and to end."""
    end = signal.SIGTERM
    return {"CTRL_C_EVENT": signal.SIGINT, "CTRL_BREAK_EVENT": end, "SIGBREAK": end}


class STARTUPINFO:
    """How a window of a new process is shown. Of no effect here. Source: subprocess."""

    def __init__(
        self,
        *,
        dwFlags: int = 0,
        hStdInput: Any = None,
        hStdOutput: Any = None,
        hStdError: Any = None,
        wShowWindow: int = 0,
        lpAttributeList: dict[str, Any] | None = None,
    ) -> None:
        self.dwFlags = dwFlags
        self.hStdInput, self.hStdOutput, self.hStdError = hStdInput, hStdOutput, hStdError
        self.wShowWindow = wShowWindow
        self.lpAttributeList = {"handle_list": [], **(lpAttributeList or {})}

    def copy(self) -> "STARTUPINFO":
        return STARTUPINFO(**vars(self))


_CREATION = {
    "ABOVE_NORMAL_PRIORITY_CLASS": 0x8000,
    "BELOW_NORMAL_PRIORITY_CLASS": 0x4000,
    "CREATE_BREAKAWAY_FROM_JOB": 0x1000000,
    "CREATE_DEFAULT_ERROR_MODE": 0x4000000,
    "CREATE_NEW_CONSOLE": 0x10,
    "CREATE_NEW_PROCESS_GROUP": 0x200,
    "CREATE_NO_WINDOW": 0x8000000,
    "DETACHED_PROCESS": 0x8,
    "HIGH_PRIORITY_CLASS": 0x80,
    "IDLE_PRIORITY_CLASS": 0x40,
    "NORMAL_PRIORITY_CLASS": 0x20,
    "REALTIME_PRIORITY_CLASS": 0x100,
    "STARTF_USESHOWWINDOW": 1,
    "STARTF_USESTDHANDLES": 0x100,
    "STD_INPUT_HANDLE": -10,
    "STD_OUTPUT_HANDLE": -11,
    "STD_ERROR_HANDLE": -12,
    "SW_HIDE": 0,
}


def subprocess_names(module: ModuleType) -> dict[str, Any]:
    """Names of subprocess for arguments of Popen, which takes them (see `_children`)."""
    return {"STARTUPINFO": STARTUPINFO, **_CREATION}


# -- os ----------------------------------------------------------------------------------------------------------------


def os_names(module: ModuleType) -> dict[str, Any]:
    names: dict[str, Any] = {"name": "nt", "environ": _environment(), "startfile": startfile}
    names |= {"add_dll_directory": _DLLDirectory, "getlogin": getpass.getuser}
    names |= dict.fromkeys(("O_BINARY", "O_NOINHERIT", "O_RANDOM", "O_SEQUENTIAL", "O_SHORT_LIVED", "O_TEXT"), 0)
    names["getenv"] = names["environ"].get
    return names


def _environment() -> Any:
    """The variables of this process, found in any case, as on Windows."""
    real: Any = os.environ

    base = type(real)

    def found(self: Any, key: str) -> Any:
        try:
            return base.__getitem__(self, key)
        except KeyError:
            if not isinstance(key, str) or key.upper() == key:
                raise
        return base.__getitem__(self, key.upper())

    anycase = type(base.__name__, (base,), {"__getitem__": found})
    made = anycase({}, real.encodekey, real.decodekey, real.encodevalue, real.decodevalue)
    made._data = real._data  # the very same
    return made


class _DLLDirectory:
    """The result of os.add_dll_directory: there are no DLLs to be found."""

    def __init__(self, path: Any) -> None:
        self.path = os.fspath(path)

    def close(self) -> None:
        """Nothing."""

    def __enter__(self) -> "_DLLDirectory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def startfile(filepath: Any, operation: str = "open", arguments: str = "", cwd: Any = None, show_cmd: int = 1) -> None:
    """Open a file with the program that the desktop has for it, by xdg-open. Source: os.startfile.

    Raises FileNotFoundError; OSError (ERROR_NO_ASSOCIATION) where there is no desktop.
    """
    path = os.fsdecode(filepath)
    if "://" not in path and not os.path.exists(os.path.join(os.fspath(cwd or ""), path)):
        raise errors.of(int(c.ERROR_FILE_NOT_FOUND), f"{path!r} does not exist", errno.ENOENT)
    opener = shutil.which("xdg-open")
    if opener is None:
        raise errors.of(_ERROR_NO_ASSOCIATION, f"nothing here opens {path!r}: install xdg-utils")
    started = subprocess.Popen([opener, path], cwd=cwd, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=started.wait, daemon=True).start()


# -- the environment ---------------------------------------------------------------------------------------------------


def set_environment() -> None:
    """Give the process the variables that every user of Windows has, unless it has them; directories are made."""
    home = os.path.expanduser("~")
    temporary = tempfile.gettempdir()
    computer = platform.node().partition(".")[0].upper()
    places = {
        "APPDATA": os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"),
        "LOCALAPPDATA": os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share"),
    }
    for name, value in {
        **places,
        "USERPROFILE": home,
        "HOMEDRIVE": "",
        "HOMEPATH": home,
        "TEMP": temporary,
        "TMP": temporary,
        "COMPUTERNAME": computer,
        "USERDOMAIN": computer,
        "USERNAME": _user(),
        "NUMBER_OF_PROCESSORS": str(os.cpu_count() or 1),
        "PROCESSOR_ARCHITECTURE": "AMD64",
    }.items():
        os.environ.setdefault(name, value)
    for name in places:
        with contextlib.suppress(OSError):
            Path(os.environ[name]).mkdir(mode=0o700, parents=True, exist_ok=True)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return str(os.getuid())


# -- OSError.winerror --------------------------------------------------------------------------------------------------

_SOCKETS = 10_000
#: The code of Windows for what a call of Linux reports.
_CODES = {
    errno.EPERM: 5,
    errno.ENOENT: 2,
    errno.EINTR: 995,
    errno.EIO: 1117,
    errno.ENOEXEC: 193,
    errno.EBADF: 6,
    errno.ECHILD: 128,
    errno.ENOMEM: 8,
    errno.EACCES: 5,
    errno.EFAULT: 998,
    errno.EBUSY: 170,
    errno.EEXIST: 183,
    errno.EXDEV: 17,
    errno.ENODEV: 55,
    errno.ENOTDIR: 267,
    errno.EISDIR: 5,
    errno.EINVAL: 87,
    errno.EMFILE: 4,
    errno.ENOSPC: 112,
    errno.ESPIPE: 132,
    errno.EROFS: 19,
    errno.EMLINK: 1142,
    errno.EPIPE: 109,
    errno.EDEADLK: 1131,
    errno.ENAMETOOLONG: 206,
    errno.ENOSYS: 120,
    errno.ENOTEMPTY: 145,
    errno.ELOOP: 1921,
    errno.EAGAIN: _SOCKETS + 35,
    errno.EINPROGRESS: _SOCKETS + 36,
    errno.EALREADY: _SOCKETS + 37,
    errno.ENOTSOCK: _SOCKETS + 38,
    errno.EDESTADDRREQ: _SOCKETS + 39,
    errno.EMSGSIZE: _SOCKETS + 40,
    errno.EOPNOTSUPP: _SOCKETS + 45,
    errno.EAFNOSUPPORT: _SOCKETS + 47,
    errno.EADDRINUSE: _SOCKETS + 48,
    errno.EADDRNOTAVAIL: _SOCKETS + 49,
    errno.ENETDOWN: _SOCKETS + 50,
    errno.ENETUNREACH: _SOCKETS + 51,
    errno.ENETRESET: _SOCKETS + 52,
    errno.ECONNABORTED: _SOCKETS + 53,
    errno.ECONNRESET: _SOCKETS + 54,
    errno.ENOBUFS: _SOCKETS + 55,
    errno.EISCONN: _SOCKETS + 56,
    errno.ENOTCONN: _SOCKETS + 57,
    errno.ETIMEDOUT: _SOCKETS + 60,
    errno.ECONNREFUSED: _SOCKETS + 61,
    errno.EHOSTUNREACH: _SOCKETS + 65,
}


class _Code:
    """OSError.winerror of an error that the system has raised; those of namedmap have their own."""

    def __get__(self, error: OSError | None, cls: type[OSError] | None = None) -> Any:
        if error is None:
            return self
        return None if error.errno is None else _CODES.get(error.errno, 31)


def give_errors_codes() -> None:
    """Let every OSError have `winerror`, where that can be had.

    CPython lets nobody add to a class of its own but through the dictionary behind the proxy. The garbage collector
    knows that one; PyType_Modified makes the interpreter forget what it has looked up.
    """
    with contextlib.suppress(Exception):  # another interpreter, or a later one that has found a better way
        for attributes in gc.get_referents(vars(OSError)):
            if isinstance(attributes, dict) and "__init__" in attributes:
                attributes["winerror"] = _Code()
                ctypes.pythonapi.PyType_Modified(ctypes.py_object(OSError))
                return
