"""Second processes without a start, which takes longer than most tests: forks of a Python that has imported the package
and used nothing of it. They are as unrelated to other holders of an object as new programs are.

Each is forked twice; its parent is then whoever adopts orphans (PR_SET_CHILD_SUBREAPER): the process of the tests.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from typing import IO, Any

_LONGEST = 1 << 20  # of an order, in bytes

#: With the codecs that a process needs which may not read Python's directory once it is another user's.
_PROGRAM = """
import ctypes, encodings.ascii, encodings.idna, encodings.utf_16_le, dataclasses, gc, json, subprocess, traceback
import namedmap
from namedmap import nt, win32
from calls.kernel import locks, namespace
from child import forking
namedmap.Error
gc.freeze()  # no end of a process has to look through what was imported for what is garbage
exec(*forking.serve({descriptor}))
"""


# -- in the process that forks ----------------------------------------------------------------------------------------


def serve(descriptor: int) -> tuple[str, dict[str, Any]]:
    """Fork a process for each order; returns in these, with program and names of their main module."""
    with socket.socket(fileno=descriptor) as orders:
        while True:
            text, streams, _, _ = socket.recv_fds(orders, _LONGEST, 3)
            if not text:
                raise SystemExit
            out, into = os.pipe()
            between = os.fork()
            if not between:
                if pid := os.fork():
                    os.write(into, str(pid).encode())
                    os._exit(0)
                for number in (out, into):
                    os.close(number)
                break
            os.waitpid(between, 0)
            orders.send(os.read(out, 20))
            for number in (*streams, out, into):
                os.close(number)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    program, sys.argv, environment, directory = json.loads(text)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    return program, vars(main)


# -- in the test ------------------------------------------------------------------------------------------------------


class Forked:
    """Such a process, with what tests use of a Popen."""

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self._reap(os.WNOHANG)
        return self.returncode

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        delay = 0.0005
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a forked process", timeout)
            time.sleep(delay)
            delay = min(2 * delay, 0.05)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _reap(self, flags: int) -> None:
        try:
            pid, status = os.waitpid(self.pid, flags)
        except ChildProcessError:
            self.returncode = 0  # somebody else has reaped it, as Popen has it
        else:
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)


class Template:
    """The process that forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM.format(descriptor=theirs.fileno())],
                # Pipes, since streams are made for what they are at the start.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                pass_fds=[theirs.fileno()],
            )

    def fork(self, program: str, *arguments: str, environment: dict[str, str]) -> Forked:
        """A process that runs a program, as `python -c` does."""
        order = json.dumps([program, ["-c", *arguments], environment, os.getcwd()]).encode()
        reading, stdin = os.pipe()
        stdout, writing = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._orders, [order], [reading, writing, 2])
                pid = int(self._orders.recv(20))
        finally:
            os.close(reading)
            os.close(writing)
        return Forked(pid, os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb"))

    def close(self) -> None:
        self._orders.close()
        self.process.wait()
