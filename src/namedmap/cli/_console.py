"""Other programs on Windows: a console tells all programs in it of Ctrl-C and Ctrl-Break by itself."""

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

from namedmap.cli import _app

#: Only Ctrl-C ends a sleep; of Ctrl-Break and a closed window Python hears between two. In seconds.
_NAP = 0.5


def run(words: list[str]) -> int:
    """Run a program to its end; returns its exit code."""
    if sys.stdout is not None:
        sys.stdout.flush()
    # Found as a shell finds it: CreateProcess alone knows no programs but .exe.
    found = shutil.which(words[0]) or words[0]
    with _deaf():
        try:
            program = subprocess.Popen([found, *words[1:]])
        except OSError as error:
            _app.refuse_to_run(words[0], error)
        code = program.wait()
    # The same 32 bits, in the form in which Python takes them for its own exit code.
    return code - (1 << 32) if code >= 1 << 31 else code


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """For a while, what the console tells is the other program's to answer, which it is told of as well."""
    told = [signal.Signals[name] for name in ("SIGINT", "SIGBREAK")]
    before = [signal.signal(number, lambda *_: None) for number in told]
    try:
        yield
    finally:
        for number, handler in zip(told, before, strict=True):
            signal.signal(number, handler)


def hold() -> NoReturn:
    """Sleep until Ctrl-C, Ctrl-Break or the end of the console ends the program."""
    while True:
        time.sleep(_NAP)


def quoted(words: list[str]) -> str:
    """Words as a command line."""
    return subprocess.list2cmdline(words)
