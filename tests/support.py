"""What the tests of lifetimes, limits and hostility share: second processes that can be talked to, and raw locks.

A child is a real Python process. It either runs a script of its own, with lines on stdin and stdout, or waits for
statements and expressions to be sent to it: `run` executes, `value` evaluates and brings the result back.
"""

import ast
import contextlib
import ctypes
import fcntl
import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from namedmap import nt, win32
from namedmap._kernel.linux import locks
from namedmap._kernel.names import namespace
from namedmap._kernel.names.names import parse

#: A watchdog for everything that has to come to an end, in seconds. Nothing is asserted about speed.
WATCHDOG = 60.0
NOBODY = 65534

is_root = os.geteuid() == 0
needs_root = pytest.mark.skipif(not is_root, reason="only root can become another user, mount, or set cgroup limits")

#: Imports come before the change of user: another user may not read the directory that Python is installed in. After
#: it the kernel makes a process undumpable, and its /proc/self root's, which a login (an exec) would have undone.
_PROLOGUE = """\
import ctypes, json, os, signal, subprocess, sys, textwrap, threading, time, traceback
import namedmap
from namedmap import nt, win32
from namedmap._kernel.linux import locks
from namedmap._kernel.names import namespace
namedmap.Error, b"".decode("ascii"), "".encode("utf-16-le"), "".encode("idna")
uid = {uid!r}
if uid is not None:
    os.setgroups({groups!r}); os.setgid({gid!r}); os.setuid(uid)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
def say(*words): print(" ".join(map(str, words)) + "\\n", end="", flush=True)  # in one piece
def hear(): return sys.stdin.readline().rstrip("\\n")
def message(): return win32.FormatMessage(win32.FORMAT_MESSAGE_FROM_SYSTEM, None, win32.GetLastError(), 0)
def create(name, size=4096, security=None, inherit=False):
    attributes = win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=security, bInheritHandle=inherit)
    return win32.CreateFileMapping(-1, attributes, win32.PAGE_READWRITE, 0, size, name)
def open_(name, access=win32.FILE_MAP_ALL_ACCESS): return win32.OpenFileMapping(access, False, name)
def view(handle, access=win32.FILE_MAP_WRITE): return win32.MapViewOfFile(handle, access, 0, 0, 0)
def peek(address, length): return ctypes.string_at(address, length)
def poke(address, data): ctypes.memmove(address, data, len(data))
"""

_SERVER = """
def serve(names):
    for line in sys.stdin:
        kind, text = json.loads(line)
        try:
            if kind == "run":
                exec(textwrap.dedent(text), names); answer = ["done", ""]
            else:
                answer = ["value", repr(eval(text, names))]
        except BaseException:
            answer = ["error", traceback.format_exc()]
        say(json.dumps(answer))
serve(globals())
"""


class Child:
    """A second process that runs Python; stdin and stdout carry lines."""

    def __init__(
        self,
        script: str | None = None,
        *arguments: str,
        uid: int | None = None,
        gid: int | None = None,
        groups: tuple[int, ...] = (),
        inherit: bool = False,
        wrapper: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Start it; `wrapper` is a command to run it under, `prepare` runs in it before Python starts."""
        prologue = _PROLOGUE.format(uid=uid, gid=uid if gid is None else gid, groups=list(groups))
        code = prologue + (_SERVER if script is None else textwrap.dedent(script))
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | (environment or {}),
            close_fds=not inherit,
            preexec_fn=prepare,
        )
        self._buffer = b""
        self._serves = script is None
        self._stopped = False

    @property
    def pid(self) -> int:
        return self.process.pid

    # -- lines -----------------------------------------------------------------------------------------------------

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def line(self, timeout: float = WATCHDOG) -> str:
        """The next line that it says; fails if it ends or keeps silent."""
        while b"\n" not in self._buffer:
            chunk = self._read(timeout)
            assert chunk, f"the child ended with {self.process.wait(WATCHDOG)} after {self._buffer!r}"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def _read(self, timeout: float) -> bytes:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                self.kill()
                pytest.fail(f"the child has said nothing for {timeout:g} s")
        return os.read(self.process.stdout.fileno(), 1 << 16)

    # -- statements and expressions --------------------------------------------------------------------------------

    def run(self, code: str) -> None:
        self.start("run", code)
        self.finish()

    def value(self, expression: str) -> Any:
        self.start("value", expression)
        return self.finish()

    def start(self, kind: str, text: str) -> None:
        """Send a statement or expression without waiting for it to end."""
        self.send(json.dumps([kind, text]))

    def finish(self, timeout: float = WATCHDOG) -> Any:
        kind, text = json.loads(self.line(timeout))
        assert kind != "error", text
        return ast.literal_eval(text) if kind == "value" else None

    # -- its end ---------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """SIGSTOP it, and wait until it has stopped."""
        self._stopped = True
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        self._stopped = False
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> int:
        """SIGKILL it, and reap it."""
        self.process.kill()
        return self._end()

    def end(self) -> int:
        """Close its stdin, at which a waiting child exits in the normal way; its exit status."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        return self._end()

    def wait(self) -> int:
        """Wait for its own end."""
        return self._end()

    def dismiss(self) -> None:
        """At the end of a test: who waits for orders ends normally, and closes his handles; others are killed."""
        stream = self.process.stdin
        if self._serves and not self._stopped and self.process.poll() is None and stream is not None:
            with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
                stream.close()
                self.process.wait(WATCHDOG)
        self.kill()

    def _end(self) -> int:
        try:
            status = self.process.wait(WATCHDOG)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(WATCHDOG)
            pytest.fail(f"the child did not end within {WATCHDOG:g} s")
        finally:
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()
        return status


Spawn = Callable[..., Child]


# -- objects ---------------------------------------------------------------------------------------------------------


def message() -> str:
    """The whole story of the last failure."""
    text = win32.FormatMessage(win32.FORMAT_MESSAGE_FROM_SYSTEM, None, win32.GetLastError(), 0)
    assert isinstance(text, str)
    return text


def create(name: str | None, size: int = 4096, protect: int = win32.PAGE_READWRITE, security: str | None = None) -> int:
    """A new section that must be had."""
    attributes = None if security is None else win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=security)
    made = win32.CreateFileMapping(-1, attributes, protect, size >> 32, size & 0xFFFFFFFF, name)
    assert made, message()
    return made


def open_section(name: str, access: int = win32.FILE_MAP_ALL_ACCESS) -> int:
    """An existing section that must be had."""
    found = win32.OpenFileMapping(access, False, name)
    assert found, message()
    return found


def error_of_open(name: str, access: int = win32.FILE_MAP_ALL_ACCESS) -> int:
    """The error of an open that must fail."""
    assert win32.OpenFileMapping(access, False, name) is None
    return win32.GetLastError()


def error_of_create(name: str | None, size: int = 4096, protect: int = win32.PAGE_READWRITE) -> int:
    """The error of a creation that must fail."""
    assert win32.CreateFileMapping(-1, None, protect, size >> 32, size & 0xFFFFFFFF, name) is None
    return win32.GetLastError()


def view(section: int, access: int = win32.FILE_MAP_WRITE, length: int = 0) -> int:
    """A view that must be had."""
    address = win32.MapViewOfFile(section, access, 0, 0, length)
    assert address, message()
    return address


def peek(address: int, length: int) -> bytes:
    return ctypes.string_at(address, length)


def poke(address: int, data: bytes) -> None:
    ctypes.memmove(address, data, len(data))


def close(*handles: int) -> None:
    for handle in handles:
        assert win32.CloseHandle(handle), message()


def unmap(*addresses: int) -> None:
    for address in addresses:
        assert win32.UnmapViewOfFile(address), message()


def object_path(name: str) -> Path:
    """Where the file of an object is."""
    return Path(namespace.current().path(parse(name)))


def object_files() -> list[str]:
    """All object files of the suite's root, of any user."""
    root = os.environ["NAMEDMAP_ROOT"]
    return sorted(os.path.join(path, name) for path, _, files in os.walk(root) for name in files)


def sweep() -> int:
    return namespace.current().sweep()


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that only the kernel can do, such as ending a process that is nobody's child here."""
    deadline = time.monotonic() + WATCHDOG
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {WATCHDOG:g} s"
        time.sleep(0.005)


# -- locks of somebody who does not keep to the rules ----------------------------------------------------------------


@contextlib.contextmanager
def raw_lock(path: Path, start: int, *, exclusive: bool = True) -> Iterator[int]:
    """Hold a lock byte of a file through a description of our own; yields the descriptor."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, 1, 0))
        yield fd
    finally:
        os.close(fd)


def alive(path: Path) -> "contextlib.AbstractContextManager[int]":
    """Make a file look like a live object: somebody holds life on it."""
    return raw_lock(path, locks.LIFE, exclusive=False)


# -- kinds of objects -------------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """How a kind of object is made and opened, here and in children (where it is text)."""

    name: str
    create: Callable[[str], int | None]
    open: Callable[[str], int | None]
    text: str


def _create_section(name: str) -> int | None:
    return win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, name)


KINDS = (
    Kind(
        "section",
        _create_section,
        lambda name: win32.OpenFileMapping(win32.FILE_MAP_READ, False, name),
        "create({!r})",
    ),
    Kind(
        "mutex",
        lambda name: win32.CreateMutex(None, False, name),
        lambda name: win32.OpenMutex(win32.SYNCHRONIZE, False, name),
        "win32.CreateMutex(None, True, {!r})",
    ),
    Kind(
        "event",
        lambda name: win32.CreateEvent(None, True, False, name),
        lambda name: win32.OpenEvent(win32.SYNCHRONIZE, False, name),
        "win32.CreateEvent(None, True, False, {!r})",
    ),
    Kind(
        "semaphore",
        lambda name: win32.CreateSemaphore(None, 1, 2, name),
        lambda name: win32.OpenSemaphore(win32.SYNCHRONIZE, False, name),
        "win32.CreateSemaphore(None, 1, 2, {!r})",
    ),
)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def gone(kind: Kind, name: str) -> bool:
    return kind.open(name) is None and win32.GetLastError() == win32.ERROR_FILE_NOT_FOUND


def handle_count(handle: int) -> int:
    information = nt.OBJECT_BASIC_INFORMATION()
    status = nt.NtQueryObject(handle, 0, information, ctypes.sizeof(information), None)
    assert status == 0
    return int(information.HandleCount)


def valid_file(name: str, size: int = 4096) -> bytearray:
    """The bytes of the object file of a live section."""
    section = create(name, size)
    content = bytearray(object_path(name).read_bytes())
    close(section)
    return content


def known_in(child: Child, handle: int) -> bool:
    """Whether a value is a handle in a child."""
    return bool(child.value(f"win32.GetHandleInformation({handle}, win32.DWORD())"))


def open_file(path: Path, access: int = 0xC0000000) -> int:
    """A file, made if need be, that must be had."""
    file = win32.CreateFile(path, access, 7, None, win32.OPEN_ALWAYS, 0, None)
    assert file != win32.INVALID_HANDLE_VALUE, message()
    return file


def read_here(file: int, length: int) -> bytes:
    """Bytes at the file pointer."""
    data, count = bytearray(length), win32.DWORD()
    assert win32.ReadFile(file, data, length, count), message()
    return bytes(data[: count.value])
