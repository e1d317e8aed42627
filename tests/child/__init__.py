"""Second processes: how they are started, talked to, waited for, forked and killed, and become other users.

A child is a real Python process. It either runs a script of its own, with lines on stdin and stdout, or waits for
statements and expressions to be sent to it: `run` executes, `value` evaluates and brings the result back.
"""

import ast
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from child import forking
from child.reading import reading

#: A watchdog for everything that has to come to an end, in seconds. Nothing is asserted about speed.
WATCHDOG = 60.0
NOBODY = 65534

is_root = hasattr(os, "geteuid") and os.geteuid() == 0

#: Imports come before the change of user: another user may not read the directory that Python is installed in. After
#: it the kernel makes a process undumpable, and its /proc/self root's, which a login (an exec) would have undone.
_PROLOGUE = """\
import ctypes, json, os, signal, sys, threading, time
import namedmap
from namedmap import nt, win32
from calls.kernel import locks, namespace
uid = {uid!r}
if uid is not None:
    import dataclasses, subprocess, traceback
    namedmap.Error, b"".decode("ascii"), "".encode("utf-16-le"), "".encode("idna")
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
                exec(text, names); answer = ["done", ""]
            else:
                answer = ["value", repr(eval(text, names))]
        except BaseException:
            import traceback
            answer = ["error", traceback.format_exc()]
        say(json.dumps(answer))
serve(globals())
"""


#: Forks processes that need no start of their own; None where there is no fork.
template: forking.Template | None = None


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
        forked: bool = True,
        prologue: str = _PROLOGUE,
    ) -> None:
        """Start it; `wrapper` is a command to run it under, `prepare` runs in it before Python starts.

        It is forked where no such option asks for a program of its own, as `forked=False` does.
        `prologue` is what comes before the script, with {uid}, {gid} and {groups} to become.
        """
        prologue = prologue.format(uid=uid, gid=uid if gid is None else gid, groups=list(groups))
        code = prologue + (_SERVER if script is None else textwrap.dedent(script))
        surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | (environment or {})
        self.process: forking.Forked | subprocess.Popen[bytes]
        if template is None or wrapper or environment or prepare or inherit or not forked:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "-c", code, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=surroundings,
                close_fds=not inherit,
                preexec_fn=prepare,
            )
        else:
            self.process = template.fork(code, *arguments, environment=surroundings)
        assert self.process.stdout is not None
        self._read, self._buffer = reading(self.process.stdout), b""
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
            if chunk is None:
                self.kill()
                raise AssertionError(f"the child has said nothing for {timeout:g} s")
            assert chunk, f"the child ended with {self.process.wait(WATCHDOG)} after {self._buffer!r}"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    # -- statements and expressions --------------------------------------------------------------------------------

    def run(self, code: str) -> None:
        self.start("run", code)
        self.finish()

    def value(self, expression: str) -> Any:
        self.start("value", expression)
        return self.finish()

    def start(self, kind: str, text: str) -> None:
        """Send a statement or expression without waiting for it to end."""
        self.send(json.dumps([kind, textwrap.dedent(text)]))

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
        """At the end of a test: a child that waits for orders ends normally, closing its handles; others are killed."""
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
            raise AssertionError(f"the child did not end within {WATCHDOG:g} s") from None
        finally:
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()
        return status


Spawn = Callable[..., Child]
Found = TypeVar("Found")


def eventually(condition: Callable[[], Found | None], what: str) -> Found:
    """Wait for something that only others can do, such as the kernel ending a process; what was found then."""
    deadline = time.monotonic() + WATCHDOG
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {WATCHDOG:g} s"
        time.sleep(0.005)
    return found


def known_in(child: Child, handle: int) -> bool:
    """Whether a value is a handle in a child."""
    return bool(child.value(f"win32.GetHandleInformation({handle}, win32.DWORD())"))


# -- forks -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def forked(body: Callable[[], object]) -> Iterator[int]:
    """A forked child that runs a function and leaves; yields its pid, reaps it, and demands that all went well."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            body()
            status = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    try:
        yield pid
    finally:
        _, status = os.waitpid(pid, 0)
    assert status == 0


# -- scripts without a conversation ----------------------------------------------------------------------------------


def plain(script: str, *arguments: str, status: int = 0, flags: tuple[str, ...] = ()) -> str:
    """Run a script in a second Python, which must end with this status; what it prints."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(script), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        timeout=WATCHDOG,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == status
    return done.stdout


def program(name: str, *arguments: str, flags: tuple[str, ...] = ()) -> str:
    """Run one of `programs` to its end, which must be a good one; what it prints."""
    done = subprocess.run(
        [sys.executable, *flags, "-m", f"programs.{name}", *arguments],
        capture_output=True,
        text=True,
        timeout=20 * WATCHDOG,  # they have watchdogs of their own
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


def run(script: str, *arguments: str, names: str, uid: int | None = None) -> str:
    """Run a script that finds the names of some modules of `calls`, as another user if asked; what it prints."""
    child = start(script, *arguments, names=names, uid=uid)
    try:
        output, _ = child.communicate(timeout=WATCHDOG)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise
    assert child.returncode == 0
    return output


def start(
    script: str, *arguments: str, names: str, uid: int | None = None, inherit: bool = False
) -> "subprocess.Popen[str]":
    """Start such a script, with pipes to it."""
    # The codec is loaded first: another user may not read the directory that Python is installed in.
    become = "" if uid is None else f"b''.decode('ascii'); os.setgroups([]); os.setgid({uid}); os.setuid({uid})"
    imports = "".join(f"from {module} import *\n" for module in names.split())
    prologue = f"import ctypes, os, sys\nfrom namedmap import nt, win32\n{imports}{become}\n"
    return subprocess.Popen(
        [sys.executable, "-c", prologue + textwrap.dedent(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        close_fds=not inherit,
    )


@contextlib.contextmanager
def running(script: str, *arguments: str, names: str, uid: int | None = None) -> Iterator["subprocess.Popen[str]"]:
    """Such a script, from when it has been run to the end of the block."""
    wait = "print('ready', flush=True); sys.stdin.read()"
    child = start(f"{textwrap.dedent(script)}\n{wait}", *arguments, names=names, uid=uid)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        child.kill()
        child.communicate()
