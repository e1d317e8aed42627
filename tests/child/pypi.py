"""Other people's programs, from PyPI: installed for a test into a directory of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from child import Child, Spawn

_UNREACHABLE = re.compile(r"NewConnectionError|ConnectTimeout|ConnectionError|ProxyError|Read timed out|SSLError")


def pip(command: str, *words: str, seconds: float = 300, or_skip: str = "", **environment: str) -> None:
    """Run pip; skips where PyPI cannot be reached, and where `or_skip` says why else it may fail."""
    options = ["--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"]
    full = [sys.executable, "-m", "pip", command, *options, *words]
    try:
        done = subprocess.run(
            full, capture_output=True, text=True, timeout=seconds, check=False, env=os.environ | environment
        )
    except subprocess.TimeoutExpired:
        if not or_skip:
            raise
        pytest.skip(f"{or_skip}: not within {seconds:g} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["?"])[-1]
        if _UNREACHABLE.search(done.stderr):
            pytest.skip(f"PyPI cannot be reached: {last}")
        if or_skip:
            pytest.skip(f"{or_skip}: {last}")
        raise AssertionError(done.stderr)


def install(place: Path, *wanted: str, seconds: float = 300, or_skip: str = "", **environment: str) -> Path:
    """Install what is wanted, as pip takes it, into a directory; `environment` is for what it builds."""
    pip("install", "--no-compile", "--target", str(place), *wanted, seconds=seconds, or_skip=or_skip, **environment)
    return place


def reaching(place: str) -> dict[str, str]:
    """The environment of a child that can import what is installed in a directory, and what tests can."""
    return {"PYTHONPATH": os.pathsep.join([place, *filter(None, sys.path)])}


def run(spawn: Spawn, place: str, *words: str, **environment: str) -> Child:
    """A program that uses what is installed in a directory, started with `python -m namedmap run` and these words."""
    launch = "import os; os.execv(sys.executable, [sys.executable, '-m', 'namedmap', 'run', *sys.argv[1:]])"
    # `Child` sets PYTHONPATH first, so that this one holds.
    child: Child = spawn(launch, *words, environment=reaching(place) | environment)
    return child
