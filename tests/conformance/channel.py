"""The other end of a driver process: start it, give it commands, end or kill it."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_PROGRAM = Path(__file__).with_name("driver.py")

#: How long a driver may take to end once it is told to.
_END_SECONDS = 10.0

#: Words between the replayer and a keeper besides commands and results.
SCRIPT, END, GONE = "script", "end", "\x04"


class DriverGone(Exception):
    """The driver gave no answer: it died (`exit=N`), or it hangs."""


class Driver:
    """A process that runs commands. It ends with its channel, and so with the process that started it."""

    def __init__(self, *options: str, inherit: bool = False, leader: bool = False) -> None:
        self._leader = leader
        self._input = b""
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            close_fds=not inherit,
            # A driver that leads a group takes the processes that its scripts start along when it is killed.
            start_new_session=leader,
        )
        self._ended = os.pidfd_open(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, command: str, seconds: float | None = None) -> str:
        """The result of one command; DriverGone when none comes, or none in time."""
        if self._ended < 0:
            raise DriverGone(f"exit={self._process.returncode}")
        self._tell(command)
        return self._line(None if seconds is None else time.monotonic() + seconds)

    def _tell(self, line: str) -> None:
        channel = self._process.stdin
        assert channel is not None
        # A driver that has died leaves no answer, which is found when one is read.
        with contextlib.suppress(BrokenPipeError):
            channel.write(line.encode("utf-8", "surrogatepass") + b"\n")

    def _line(self, deadline: float | None) -> str:
        results = self._process.stdout
        assert results is not None
        while b"\n" not in self._input:
            remaining = None if deadline is None else max(deadline - time.monotonic(), 0)
            if not _readable(results.fileno(), remaining):
                raise DriverGone("HUNG: no answer in time")
            piece = os.read(results.fileno(), 1 << 16)
            if not piece:
                raise DriverGone(f"exit={self.end()}")
            self._input += piece
        line, _, self._input = self._input.partition(b"\n")
        answer = line.decode("utf-8", "surrogatepass")
        if answer.startswith(GONE):
            raise DriverGone(answer.removeprefix(GONE))
        return answer

    def end(self) -> int:
        """Close the channel and wait; the exit status, negative for a signal."""
        if self._ended >= 0:
            assert self._process.stdin is not None
            self._process.stdin.close()
            _readable(self._ended, _END_SECONDS)
        return self.kill()

    def kill(self) -> int:
        """Kill what still runs and wait; the exit status, negative for a signal."""
        if self._ended >= 0:
            self._signal()
            self._process.wait()
            os.close(self._ended)
            self._ended = -1
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
        return self._process.returncode

    def _signal(self) -> None:
        # Not yet waited for, so neither its pid nor its group can belong to anyone else.
        with contextlib.suppress(ProcessLookupError):
            if self._leader:
                os.killpg(self.pid, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)


class Keeper(Driver):
    """A driver that runs script after script, each in a new process of it."""

    def __init__(self) -> None:
        super().__init__("--keep", leader=True)

    def begin(self, directory: Path, root: Path) -> None:
        """Start a process for a script; what is asked from now on is asked of it."""
        self._tell(f"{SCRIPT}\t{directory}\t{root}")

    def finish(self) -> str:
        """End the script's process; `exit=N`, or that it hangs."""
        try:
            return self.ask(END, _END_SECONDS)
        except DriverGone as gone:
            return str(gone)


def _readable(descriptor: int, seconds: float | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
