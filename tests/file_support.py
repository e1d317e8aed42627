"""What the tests of files share: short calls, and real second processes."""

import contextlib
import ctypes
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from namedmap import win32

Name = str | os.PathLike[str] | os.PathLike[bytes] | None

READ, WRITE = win32.GENERIC_READ, win32.GENERIC_WRITE
BOTH = READ | WRITE
ALL = 7
NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user or mount a filesystem")


def open_file(
    path: Name,
    access: int = BOTH,
    share: int = ALL,
    disposition: int = win32.OPEN_EXISTING,
    flags: int = 0,
) -> int:
    return win32.CreateFile(path, access, share, None, disposition, flags, None)


def opened(
    path: Name,
    access: int = BOTH,
    share: int = ALL,
    disposition: int = win32.OPEN_EXISTING,
    flags: int = 0,
) -> int:
    """A handle that must be had."""
    handle = open_file(path, access, share, disposition, flags)
    assert handle != win32.INVALID_HANDLE_VALUE, message()
    return handle


def refused(
    path: Name,
    access: int = BOTH,
    share: int = ALL,
    disposition: int = win32.OPEN_EXISTING,
    flags: int = 0,
) -> int:
    """The error of an open that must fail."""
    assert open_file(path, access, share, disposition, flags) == win32.INVALID_HANDLE_VALUE
    return win32.GetLastError()


def failed(result: object) -> int:
    """The error of a call that must have failed."""
    assert not result
    return win32.GetLastError()


def message() -> str:
    text = win32.FormatMessage(win32.FORMAT_MESSAGE_FROM_SYSTEM, None, win32.GetLastError(), 0)
    assert isinstance(text, str)
    return text


def close(*handles: int) -> None:
    for handle in handles:
        assert win32.CloseHandle(handle)


def write(handle: int, data: bytes) -> int:
    count = win32.DWORD(0x55)
    assert win32.WriteFile(handle, data, len(data), count), message()
    return count.value


def read(handle: int, length: int) -> bytes:
    data, count = bytearray(length), win32.DWORD(0x55)
    assert win32.ReadFile(handle, data, length, count), message()
    return bytes(data[: count.value])


def seek(handle: int, distance: int, method: int = win32.FILE_BEGIN) -> int:
    position = win32.LARGE_INTEGER()
    assert win32.SetFilePointerEx(handle, distance, position, method), message()
    return position.value


def size(handle: int) -> int:
    found = win32.LARGE_INTEGER()
    assert win32.GetFileSizeEx(handle, found)
    return found.value


def section(handle: int, protect: int = win32.PAGE_READONLY, length: int = 0) -> int:
    made = win32.CreateFileMapping(handle, None, protect, 0, length, None)
    assert made, message()
    return made


def has_open_handles(path: Path) -> bool:
    """Whether this process has a descriptor of the file."""
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{entry}").removesuffix(" (deleted)") == str(path):
                return True
    return False


def run(script: str, *arguments: str, uid: int | None = None, timeout: float = 60) -> str:
    """Run a script in a second process, as another user if asked; what it prints."""
    return _finish(start(script, *arguments, uid=uid), timeout)


def start(script: str, *arguments: str, uid: int | None = None, inherit: bool = False) -> "subprocess.Popen[str]":
    # The codec is loaded first: another user may not read the directory that Python is installed in.
    become = "" if uid is None else f"b''.decode('ascii'); os.setgroups([]); os.setgid({uid}); os.setuid({uid})"
    prologue = f"import os, sys; from namedmap import win32; from file_support import *; {become}\n"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    return subprocess.Popen(
        [sys.executable, "-c", prologue + textwrap.dedent(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        close_fds=not inherit,
    )


def flags_of(path: Path) -> int:
    """The open flags of this process's descriptor of a file."""
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/self/fd/{entry}") == str(path):
                lines = Path(f"/proc/self/fdinfo/{entry}").read_text().splitlines()
                return int(next(line for line in lines if line.startswith("flags:")).split()[1], 8)
    raise AssertionError(f"{path} is not open")


def _finish(child: "subprocess.Popen[str]", timeout: float) -> str:
    try:
        output, _ = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise
    assert child.returncode == 0
    return output


@contextlib.contextmanager
def running(script: str, *arguments: str, uid: int | None = None) -> Iterator["subprocess.Popen[str]"]:
    """A second process that has said "ready" and stays until the end of the block."""
    wait = "print('ready', flush=True); sys.stdin.read()"
    child = start(f"{textwrap.dedent(script)}\n{wait}", *arguments, uid=uid)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        child.kill()
        child.communicate()


@contextlib.contextmanager
def public_directory() -> Iterator[Path]:
    """A directory that every user can use, unlike pytest's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o777)
        yield Path(name)


@contextlib.contextmanager
def mounted(kind: str, where: Path, options: str = "") -> Iterator[Path]:
    """A filesystem of this kind for the length of the block; skips where mounting is forbidden (most containers)."""
    where.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", os.fsencode(where), kind.encode(), 0, options.encode()) != 0:
        pytest.skip(f"cannot mount a {kind} here: {os.strerror(ctypes.get_errno())}")
    try:
        yield where
    finally:
        libc.umount2(os.fsencode(where), 2)
