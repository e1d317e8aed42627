"""Other processes: holders of many live objects, and workers that measure one operation among them.

This file is also the program that they run. A holder prints a line when it holds everything and stays until its input
ends. A worker answers each line `<operation> <times>` with the seconds that took, by the clock and
of processors.
"""

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import rounds
from processor import Stopwatch
from rounds import Took

#: Descriptors that a process needs besides one for each object.
_SPARE = 64

Process = subprocess.Popen[str]


def _wide() -> int:
    """Raise the soft limit of descriptors to the hard one; what may be held then."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - _SPARE


def _hold(prefix: str, count: int, size: int = 65536) -> list[int]:
    """Hold `count` named sections of `size` bytes.

    One has its memory. Many are SEC_RESERVE, which takes a page each: 10,000 then fit into a small /dev/shm.
    """
    from namedmap import win32

    held = []
    protect = win32.PAGE_READWRITE | (win32.SEC_RESERVE if count > 1 else 0)
    for index in range(count):
        section = win32.CreateFileMapping(win32.INVALID_HANDLE_VALUE, None, protect, 0, size, f"{prefix}{index}")
        if section is None:
            text = win32.FormatMessage(win32.FORMAT_MESSAGE_FROM_SYSTEM, None, win32.GetLastError(), 0)
            raise SystemExit(f"object {index} of {count}: {text}")
        held.append(section)
    return held


def _work(mine: int) -> None:
    import peers

    held = _hold("mine", mine)
    cycles = {"create": peers.namedmap_create("fresh", 65536), "open": peers.namedmap_open("present0")}
    print(len(held), flush=True)
    for line in sys.stdin:
        operation, times = line.split()
        print(*rounds.subject(operation, cycles[operation]).timed(int(times)), flush=True)


def _first(name: str) -> None:
    """Time the first named call of a process, which makes the directory and sweeps it."""
    from namedmap import win32

    watch, start = Stopwatch(), time.perf_counter()
    win32.CreateFileMapping(win32.INVALID_HANDLE_VALUE, None, win32.PAGE_READWRITE, 0, 65536, name)
    print(time.perf_counter() - start, watch.stop(), flush=True)


@contextlib.contextmanager
def child(root: Path, *arguments: object) -> Iterator[Process]:
    """A process of this program, which is told to end and waited for."""
    process = subprocess.Popen(
        [sys.executable, __file__, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"NAMEDMAP_ROOT": str(root)},
    )
    with process:
        try:
            yield process
        finally:
            _stream(process.stdin).close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def answer(process: Process, request: str = "") -> str:
    """Send a line, if any, and return the line that comes back."""
    if request:
        stream = _stream(process.stdin)
        stream.write(request + "\n")
        stream.flush()
    line = _stream(process.stdout).readline()
    if not line:
        raise SystemExit("a child process of the benchmark has failed")
    return line.strip()


def took(process: Process, request: str = "") -> Took:
    """The same for an answer that says how long something took."""
    wall, processor = map(float, answer(process, request).split())
    return Took(wall, processor)


def operation(process: Process, name: str, repeat: int) -> Took:
    """The time of a worker for an operation done `repeat` times."""
    return took(process, f"{name} {repeat}")


@contextlib.contextmanager
def holders(root: Path, count: int) -> Iterator[None]:
    """As many processes as the limit of descriptors demands, at least two, holding `count` objects together."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    processes = max(2, -(-count // max(hard - _SPARE, 1)))
    with contextlib.ExitStack() as stack:
        started = []
        for index in range(processes):
            share = count * (index + 1) // processes - count * index // processes
            started.append(stack.enter_context(child(root, "hold", f"crowd{index}-", share)))
        for process in started:
            answer(process)
        yield


def main() -> None:
    _wide()
    command, *arguments = sys.argv[1:]
    if command == "hold":
        prefix, count, *size = arguments
        held = _hold(prefix, int(count), *map(int, size))
        print(len(held), flush=True)
        sys.stdin.read()
    elif command == "work":
        _work(int(arguments[0]))
    else:
        _first(arguments[0])


if __name__ == "__main__":
    main()
