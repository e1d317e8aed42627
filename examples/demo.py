"""Run the seven examples in processes of their own, say what each shows, and check that it did.

usage: python examples/demo.py [--size MIB]          (of the file that the third example copies; default 256)

The exit status is 0 when every check holds.
"""

import argparse
import contextlib
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from namedmap import __version__, win32

HERE = Path(__file__).parent
WATCHDOG = 120  # seconds after which a step counts as hung
MARGIN = "     "


class Report:
    """The lines that are printed, and how many of the checks held."""

    def __init__(self) -> None:
        self.held = 0
        self.failed = 0

    def title(self, number: int, title: str, explanation: str) -> None:
        print(f"\n  {number}  {title}")
        print(textwrap.indent(textwrap.fill(explanation, 84), MARGIN), flush=True)

    def show(self, text: str) -> None:
        for line in text.splitlines():
            for part in textwrap.wrap(line, 82, subsequent_indent="  ", break_long_words=False):
                print(f"{MARGIN}| {part}", flush=True)

    def check(self, claim: str, holds: bool, seconds: float | None = None) -> None:
        self.held += holds
        self.failed += not holds
        took = "" if seconds is None else f"{seconds * 1000:8.0f} ms"
        print(f"{MARGIN}{'ok    ' if holds else 'FAILED'} {claim:<66}{took}".rstrip(), flush=True)


class Finished:
    """A program that has run to its end: what it printed, how it ended, how long that took."""

    def __init__(self, script: str, *arguments: str) -> None:
        command = [sys.executable, str(HERE / script), *arguments]
        start = time.perf_counter()
        with (
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as process,
            watched(process),
        ):
            self.output, _ = process.communicate()
        self.seconds = time.perf_counter() - start
        self.status = process.returncode


@contextlib.contextmanager
def watched(process: subprocess.Popen[str]) -> Iterator[None]:
    """Kill the process when it seems to hang, and in any case at the end."""
    watchdog = threading.Timer(WATCHDOG, process.kill)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
        process.kill()


@contextlib.contextmanager
def holding(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program that holds something until Enter: entered when it says so, given its Enter at the end."""
    command = [sys.executable, str(HERE / script), *arguments]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
        watched(process),
    ):
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.communicate("\n")


def dump(report: Report) -> None:
    report.title(
        1,
        "A file seen through a view: dump.py",
        "CreateFile, CreateFileMapping, MapViewOfFile; sixteen bytes are read at an address; "
        "then UnmapViewOfFile and CloseHandle, twice.",
    )
    done = Finished("dump.py", sys.executable)
    report.show(f"{sys.executable}\n{done.output}")
    with Path(sys.executable).open("rb") as file:
        expected = file.read(16).hex(" ")
    report.check("the view shows what reading the file shows", done.output.strip() == expected, done.seconds)


def common_data(report: Report) -> None:
    report.title(
        2,
        "Two unrelated processes, one name: common_data_writer.py, common_data_reader.py",
        "The first creates the section ShareMemory over the paging file (that is, in memory) and fills it. "
        "The second finds it by name. The name lasts as long as somebody holds it: no longer, and no shorter.",
    )
    with holding("common_data_writer.py") as writer:
        reader = Finished("common_data_reader.py")
        report.show(reader.output)
        found = reader.output == "This is common data!\n"
        report.check("a second process finds it and reads it", found, reader.seconds)
        other = Finished("common_data_writer.py")
        report.check("a second writer is told that it exists already", "exists already" in other.output, other.seconds)
    report.check("the writer closed its handle and ended", writer.returncode == 0)

    reader = Finished("common_data_reader.py")
    report.show(reader.output)
    report.check("the name went with the last handle", gone(reader), reader.seconds)

    with holding("common_data_writer.py") as writer:
        writer.kill()
        writer.wait()
        reader = Finished("common_data_reader.py")
    killed = writer.returncode != 0
    report.check("the same when the writer is killed", killed and gone(reader), reader.seconds)


def gone(reader: Finished) -> bool:
    """Whether the reader gave up because there is no such name, and not for another reason."""
    return reader.status == 1 and f"failed with {win32.ERROR_FILE_NOT_FOUND}:" in reader.output


def copy(report: Report, size: int) -> None:
    report.title(
        3,
        "A large file copied through two mappings: copy_file.py",
        "A window of the source and the same window of the destination are mapped side by side, one memcpy moves "
        "it, and the next window follows. cp and shutil.copyfile leave the work to the kernel, which is usually "
        "faster: a mapping pays for its page faults.",
    )
    done = Finished("copy_file.py", "--size", str(size))
    report.show(done.output)
    report.check("the copy is identical", done.status == 0 and "contents identical" in done.output, done.seconds)
    left = os.listdir(tempfile.gettempdir())
    report.check("no temporary file is left", left == [])


def header(report: Report) -> None:
    report.title(
        4,
        "A block that tells its own size: header_writer.py, header_reader.py",
        "The block starts with a structure that records its size and name, as a BSTR starts with its length. "
        "The reader is given the name and nothing else.",
    )
    text = "Forty-two bytes that only the writer knew."
    with holding("header_writer.py", "Block", text):
        reader = Finished("header_reader.py", "Block")
        report.show(reader.output)
        whole = f"name  Block\nsize  {64 + len(text)} bytes\ndata  {text}\n"
        report.check("name, size and text came through", reader.output == whole, reader.seconds)
    reader = Finished("header_reader.py", "Block")
    report.check("and it is gone when its writer is", gone(reader), reader.seconds)


def bounded_buffer(report: Report) -> None:
    report.title(
        5,
        "Producers and consumers, as in the textbooks: bounded_buffer.py",
        "Two semaphores count the free and the used slots of a ring, a mutex guards it; two processes fill it, two "
        "empty it, and a fifth waits for the four with WaitForMultipleObjects.",
    )
    done = Finished("bounded_buffer.py")
    report.show(done.output)
    whole = done.status == 0 and done.output.startswith("1000 of 1000 items came through 8 slots;")
    report.check("every item was consumed, and once", whole, done.seconds)


def guarded_block(report: Report) -> None:
    report.title(
        6,
        "A mutex whose owner is killed: guarded_block.py",
        "Two processes move money between two accounts, under a namedmap.Mutex, until an Event is set: each waits for "
        "both with wait_any. A third one takes the mutex and is killed in the middle of a transfer.",
    )
    done = Finished("guarded_block.py")
    report.show(done.output)
    report.check(
        "the next owner of the mutex was told, and nobody else", done.output.count("a process died") == 1, done.seconds
    )
    report.check("the accounts are right in the end", done.output.endswith(" = 1000\n"))


def async_tasks(report: Report) -> None:
    report.title(
        7,
        "A hundred asyncio tasks in two processes: async_tasks.py",
        "The tasks wait for one event, then each changes a shared number in two steps, under one mutex. A wait "
        "does not block its event loop. On Linux one thread sleeps for all of them; on Windows each has one as long as "
        "it waits.",
    )
    done = Finished("async_tasks.py")
    report.show(done.output)
    counted = done.status == 0 and done.output.endswith("100 of 100 turns were counted\n")
    report.check("no update was lost", counted, done.seconds)
    threads = re.findall(r", in (\d+) threads\n", done.output)
    few = 2 if hasattr(os, "fork") else 25  # Windows: eight are kept for the next wait, others may be about to end
    report.check("few threads are left in each process", len(threads) == 2 and max(map(int, threads)) <= few)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=256, metavar="MIB", help="of the file to copy (default 256)")
    size: int = parser.parse_args().size

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    start = time.perf_counter()
    report = Report()
    print(f"\n  namedmap {__version__}: {platform.system()} {platform.release()}, ", end="")
    print(f"Python {platform.python_version()}")
    print("  Every step is a Python process of its own; its time includes the start of Python.", flush=True)
    # A place of the demo's own for the copies, so that they go with it however a step ends.
    with tempfile.TemporaryDirectory(prefix="namedmap-demo-") as scratch:
        os.environ["TMPDIR"] = tempfile.tempdir = scratch
        dump(report)
        common_data(report)
        copy(report, size)
        header(report)
        bounded_buffer(report)
        guarded_block(report)
        async_tasks(report)
    seconds = time.perf_counter() - start
    if report.failed:
        print(f"\n  {report.failed} of {report.held + report.failed} checks FAILED ({seconds:.1f} s)\n")
        return 1
    print(f"\n  All {report.held} checks hold ({seconds:.1f} s).\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\n  interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `make demo | head`; what is still in the buffer has nowhere to go either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
