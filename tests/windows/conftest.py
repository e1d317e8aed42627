"""Fixtures that the tests share that tests/windows/run starts in Windows Python. On Linux none of them is collected."""

import functools
import sys

import pytest

from child import Spawn

collect_ignore_glob = [] if sys.platform == "win32" else ["test_*.py"]

_PROLOGUE = """\
import sys
sys.stdout.reconfigure(encoding="utf-8", newline="\\n")
import namedmap
def say(*words): print(*words, flush=True)
def hear(): return sys.stdin.readline().rstrip("\\r\\n")
"""


@pytest.fixture
def second(spawn: Spawn) -> Spawn:
    """Start second processes that have namedmap, and lines to say and to hear."""
    return functools.partial(spawn, prologue=_PROLOGUE)
