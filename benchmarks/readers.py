"""Two hundred readers of one array: what attaching takes them, and what memory they need together.

This file is also the program that they are forked from: it has imported what they need and no object of ours. Each line
of its input is a name; a reader of it goes step by step, each after a SIGCONT: it attaches and says how many seconds
that took, then it touches every page and says so.
"""

import contextlib
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

READERS = 200
SIZES = {"1 MiB": 1 << 20, "256 MiB": 256 << 20}


# -- the readers -------------------------------------------------------------------------------------------------------


def _say(what: object) -> None:
    os.write(1, f"{what}\n".encode())


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _read(name: str) -> None:
    import namedmap

    _stop()
    start = time.perf_counter()
    block = namedmap.attach(name)
    _say(time.perf_counter() - start)
    _stop()
    _say(block.value.view("u1")[:: os.sysconf("SC_PAGESIZE")].sum())
    signal.pause()


def _serve() -> None:
    # Once for all: namedmap loads what its names stand for when they are first used.
    importlib.import_module("numpy")
    import namedmap

    for name in namedmap.__all__:
        getattr(namedmap, name)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            os.setpgid(0, os.getppid())
            try:
                _read(line.strip())
            finally:
                os._exit(1)
        _say(pid)


# -- and who counts them -----------------------------------------------------------------------------------------------


class Readers:
    """So many readers of a name, at the first stop."""

    def __init__(self, server: "subprocess.Popen[str]", name: str, count: int) -> None:
        self._server = server
        stream = server.stdin
        assert stream is not None
        self.pids = []
        for _ in range(count):
            stream.write(f"{name}\n")
            stream.flush()
            self.pids.append(int(self._line()))

    def _line(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline()

    def _proceed(self, pid: int) -> None:
        while Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "T":
            time.sleep(0.0002)
        os.kill(pid, signal.SIGCONT)

    def attach(self, index: int) -> float:
        """One of them; the microseconds that it took."""
        self._proceed(self.pids[index])
        return float(self._line()) * 1e6

    def touch(self) -> None:
        """All pages, all readers."""
        for pid in self.pids:
            self._proceed(pid)
        for _ in self.pids:
            self._line()

    def memory(self) -> int:
        """Memory of the machine that they and this process take, in MiB: the sum of their PSS."""
        total = 0
        for pid in (*self.pids, os.getpid()):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8")
            total += int(re.findall(r"^Pss: +(\d+) kB", text, re.MULTILINE)[0])
        return total >> 10


@contextlib.contextmanager
def readers(name: str, count: int) -> Iterator[Readers]:
    """They are killed at the end."""
    server = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
    )
    try:
        yield Readers(server, name, count)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.communicate()


if __name__ == "__main__":
    _serve()
