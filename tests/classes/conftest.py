"""The parameter of the suite, and what its tests share."""

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from child import Child, Spawn
from classes import checking
from classes.implementations import IMPLEMENTATIONS, Implementation

#: The beginning of second processes: the classes, and nothing of the platform. Another user may not read the directory
#: that Python is installed in, so imports and codecs come first. The kernel makes a process undumpable when it changes
#: its user, and its /proc/self root's, which a login (an exec) would have undone.
PROLOGUE = """\
import ctypes, json, os, signal, sys, threading, time
sys.stdin.reconfigure(encoding="utf-8"); sys.stdout.reconfigure(encoding="utf-8", newline="\\n")
import namedmap
from classes import checking, kinds
from classes.kinds import kind
from namedmap import *
checking.install_if_asked()
uid = {uid!r}
if uid is not None:
    import traceback
    b"".decode("ascii"), "".encode("utf-16-le"), "".encode("idna")
    os.setgroups({groups!r}); os.setgid({gid!r}); os.setuid(uid)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
def say(*words): print(" ".join(map(str, words)) + "\\n", end="", flush=True)
def raised(call, *arguments, **named):
    try: call(*arguments, **named).close()
    except Exception as error: return type(error).__name__
"""

Second = Callable[..., Child]
Keep = Callable[[Any], Any]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(capability, ...): what a platform has to have for this test")


@pytest.fixture(autouse=True, scope="module", params=IMPLEMENTATIONS, ids=lambda each: each.name)
def implementation(request: pytest.FixtureRequest) -> Iterator[Implementation]:
    """The implementation that the classes stand on."""
    chosen: Implementation = request.param
    with checking.checked() if chosen.checked else contextlib.nullcontext():
        yield chosen


@pytest.fixture(autouse=True)
def capable(request: pytest.FixtureRequest, implementation: Implementation) -> None:
    """Skip what this implementation cannot have."""
    for mark in request.node.iter_markers("needs"):
        for capability in mark.args:
            if capability not in implementation.has:
                pytest.skip(f"{implementation.name} lacks {capability.name}: {capability.value}")


@pytest.fixture(autouse=True)
def contract_kept(
    implementation: Implementation, nothing_left: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path | None]:
    """The contract was kept to the end, here and in all second processes, whatever caught a violation."""
    if not implementation.checked:
        yield None
        return
    descriptor, path = tempfile.mkstemp(prefix="violations-")
    os.close(descriptor)
    os.chmod(path, 0o666)
    monkeypatch.setenv(checking.REPORT, path)
    yield Path(path)
    violations = Path(path).read_text("utf-8")
    os.unlink(path)
    assert not violations


@pytest.fixture
def second(contract_kept: None, spawn: Spawn) -> Second:
    """Start second processes, which have the classes, and are checked where this one is."""
    return functools.partial(spawn, prologue=PROLOGUE)


@pytest.fixture
def keep(contract_kept: None) -> Iterator[Keep]:
    """Close what is passed through it at the end of the test."""
    with contextlib.ExitStack() as stack:

        def later(held: Any) -> Any:
            stack.callback(held.close)
            return held

        yield later


@pytest.fixture
def thread(contract_kept: None) -> Iterator[ThreadPoolExecutor]:
    """One other thread, which lives as long as the test."""
    with ThreadPoolExecutor(1) as pool:
        yield pool
