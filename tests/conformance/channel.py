"""The other end of a driver process: start it, give it commands, end or kill it."""

import contextlib
import queue
import subprocess
import sys
import threading
from pathlib import Path

import host

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
        self._over = False
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=not inherit,
            # A driver that leads takes the processes that its scripts start along when it is killed.
            **host.popen(leader=leader),
        )
        #: Lines of results, and None after the last. Not every system can wait for a pipe for a limited time.
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        # The thread that reads is the one that closes: another would wait for the read, on Windows.
        with self._process.stdout as results:
            for line in results:
                if line.endswith(b"\n"):
                    self._lines.put(line)
        self._lines.put(None)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, command: str, seconds: float | None = None) -> str:
        """The result of one command; DriverGone when none comes, or none in time."""
        if self._over:
            raise DriverGone(f"exit={self._process.returncode}")
        self._tell(command)
        return self._line(seconds)

    def _tell(self, line: str) -> None:
        channel = self._process.stdin
        assert channel is not None
        # A driver that has died leaves no answer, which is found when one is read. Windows calls its pipe invalid.
        with contextlib.suppress(OSError):
            channel.write(line.encode("utf-8", "surrogatepass") + b"\n")
            channel.flush()

    def _line(self, seconds: float | None) -> str:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise DriverGone("HUNG: no answer in time") from None
        if line is None:
            raise DriverGone(f"exit={self.end()}")
        answer = line.removesuffix(b"\n").decode("utf-8", "surrogatepass")
        if answer.startswith(GONE):
            raise DriverGone(answer.removeprefix(GONE))
        return answer

    def end(self) -> int:
        """Close the channel and wait; the exit status, `host.KILLED` for one that had to be killed."""
        if not self._over:
            self._close()
            host.wait(self._process, _END_SECONDS)
        return self.kill()

    def kill(self) -> int:
        """Kill what still runs and wait; the exit status, `host.KILLED` for one that was killed."""
        if not self._over:
            host.kill(self._process, leader=self._leader)
            self._over = True
            self._close()
            self._process.wait()
        return self._process.returncode

    def _close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()


class Keeper(Driver):
    """A driver that runs scripts: one after the other, each in a new process of it, or only one where none can fork."""

    def __init__(self) -> None:
        super().__init__("--keep", leader=True)

    def begin(self, directory: Path, root: Path) -> None:
        """Start a script; what is asked from now on is asked of its process."""
        self._tell(f"{SCRIPT}\t{directory}\t{root}")

    def finish(self) -> str:
        """End the script's process; `exit=N`, or that it hangs."""
        try:
            return self.ask(END, _END_SECONDS)
        except DriverGone as gone:
            return str(gone)
