"""The command `namedmap` as a person starts it: in pipes, in the background, in a terminal."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pexpect

from child import WATCHDOG
from namedmap.cli import _app

COMMAND = [sys.executable, "-W", "error", "-m", "namedmap"]


def environment(**more: str) -> dict[str, str]:
    # Unbuffered, Python takes no notice when only a part of what it writes is taken, as by a reader who then goes.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    # A wide terminal, so that no line is folded; colours as a person has them.
    return inherited | {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200", "TERM": "xterm-256color"} | more


class Done:
    """A command that has ended."""

    def __init__(self, status: int, out: bytes, err: bytes) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def complaint(self) -> str:
        """The one line on stderr; no traceback."""
        [line] = self.err.decode().splitlines()
        assert line.startswith("namedmap: ")
        return line.removeprefix("namedmap: ")

    def json(self) -> Any:
        return json.loads(self.out)


def run(*words: str, given: bytes | None = None, status: int = 0, **options: Any) -> Done:
    """Run a command line in pipes; its exit status must be `status`."""
    ran = subprocess.run(
        [*COMMAND, *words],
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        env=environment(),
        timeout=WATCHDOG,
        check=False,
        **options,
    )
    done = Done(ran.returncode, ran.stdout, ran.stderr)
    assert done.status == status, (done.status, done.out, done.err)
    if not status:
        assert not done.err or done.complaint
    return done


def call(*words: str, given: bytes = b"", status: int = 0) -> Done:
    """The same within this process, which takes less time; for what starts no other program."""
    kept = sys.stdin, sys.stdout, sys.stderr, {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    streams = [io.TextIOWrapper(io.BytesIO(content), encoding="utf-8") for content in (given, b"", b"")]
    sys.stdin, sys.stdout, sys.stderr = streams
    try:
        ended = _app.main(list(words))
    finally:
        sys.stdin, sys.stdout, sys.stderr = kept[:3]
        for number, handler in kept[3].items():
            signal.signal(number, handler)
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue() for stream in streams[1:] if isinstance(stream.buffer, io.BytesIO))
    done = Done(ended, out, err)
    assert done.status == status, (done.status, done.out, done.err)
    return done


@contextlib.contextmanager
def background(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A command line that goes on; it is ended by SIGTERM unless it has ended."""
    with subprocess.Popen(
        [*COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=WATCHDOG)


@contextlib.contextmanager
def held(*words: str) -> Iterator[subprocess.Popen[str]]:
    """`namedmap create …`, from when the object is there."""
    with background("create", *words) as process:
        line = heard(process)
        assert "held until Ctrl-C" in line, line
        yield process


def heard(process: subprocess.Popen[str]) -> str:
    """The next line that it says."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


@contextlib.contextmanager
def terminal(*words: str, program: list[str] | None = None) -> Iterator[Any]:
    """A command line in a pseudo-terminal of 40 lines of 200 characters."""
    command, *arguments = program or [*COMMAND, *words]
    child = pexpect.spawn(
        command, arguments, env=environment(), timeout=WATCHDOG, dimensions=(40, 200), encoding="utf-8"
    )
    try:
        yield child
    finally:
        child.close(force=True)


def ended(child: Any) -> tuple[int, str]:
    """Its exit status, and what it has said since it was last asked."""
    child.expect(pexpect.EOF)
    child.wait()
    return (child.exitstatus if child.exitstatus is not None else -child.signalstatus), child.before
