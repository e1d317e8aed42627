"""Programs that a program starts with its own interpreter: they get the same stand-ins.

`subprocess.Popen` is told to start `launching/launch.py` with what the new program needs in front of its own words, if
these begin with `sys.executable`. A program that is started through a shell, or by os.exec and os.spawn, is left alone.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from namedmap.compat import _disguise

_PACKAGE = Path(__file__).parent.parent
_LAUNCHER = str(_PACKAGE / "compat" / "launching" / "launch.py")
#: Arguments that Popen takes on Windows only. They have no effect here.
_WINDOWS_ONLY = {"startupinfo": None, "creationflags": 0}


#: Whether what this process starts has the stand-ins.
followed = False


def follow() -> None:
    """Let what this process starts have the stand-ins from now on; without effect the second time."""
    global followed
    if not followed:
        followed = True
        popen: Any = subprocess.Popen
        popen.__init__ = _following(popen.__init__)


def _following(start: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(start)
    def __init__(self: Any, args: Any, *rest: Any, **options: Any) -> None:
        if _disguise.installed:
            options.update((name, default) for name, default in _WINDOWS_ONLY.items() if name in options)
        # By position: bufsize, executable, stdin, stdout, stderr, preexec_fn, close_fds, shell.
        if not options.get("shell") and not any(rest[7:8]):
            if not isinstance(args, Sequence | os.PathLike):
                args = list(args)  # an iterator, too: here once for all, since nobody can read it a second time
            args = launched(args, options.get("executable") or next(iter(rest[1:2]), None))
        start(self, args, *rest, **options)

    return __init__


def launched(args: Any, executable: Any = None) -> Any:
    """The words of a command that starts a program with this interpreter, with ours in between; others as they are.

    `executable` is what is started, if it is not the first of the words.
    """
    words = [args] if isinstance(args, str | bytes | os.PathLike) else list(args)
    if not words or not _is_python(os.fsdecode(executable or words[0])):
        return args
    texts = [os.fsdecode(word) for word in words]
    at = _program_at(texts)
    if at is None:
        return args
    own = [word for package in sorted(_disguise.own_packages) for word in ("--own", package)]
    given = [*(["--windows"] if _disguise.installed else []), *own, "--child"]
    flags, program = _separated(texts[at:])
    return [*texts[:at], *flags, _LAUNCHER, str(_PACKAGE.parent), *given, *program]


def _is_python(word: str) -> bool:
    if not sys.executable or word == sys.executable:
        return bool(sys.executable)
    return word == os.path.basename(sys.executable) and shutil.which(word) == sys.executable


def _program_at(words: Sequence[str]) -> int | None:
    """Where the program stands among the words of Python's command line: a script, -m or -c. None without one."""
    at = 1
    while at < len(words):
        word = words[at]
        if not word.startswith("-"):
            return at
        if word == "--check-hash-based-pycs":
            at += 2
            continue
        if word == "-" or word.startswith("--"):
            return None
        option = next((each for each in word[1:] if each in "cmWXhV?"), "")
        if option in ("c", "m"):
            return at
        if option and option not in "WX":
            return None
        at += 2 if option and word.endswith(option) else 1
    return None


def _separated(words: list[str]) -> tuple[list[str], list[str]]:
    """The flags that stand in one word with -m or -c (-um); and these and what they take as words of their own."""
    first = words[0]
    if not first.startswith("-"):
        return [], words
    at = min(first.find(letter) for letter in "cm" if letter in first)
    flags = [first[:at]] if at > 1 else []
    return flags, [f"-{first[at]}", *filter(None, [first[at + 1 :]]), *words[1:]]
