"""The examples run on Windows as they are, and hold what they say."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def run(program: str, *arguments: str) -> str:
    """The output of an example; it must end well, and complain of nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (done.stderr, done.returncode) == ("", 0), done.stdout
    return done.stdout


def test_the_demo() -> None:
    """All of them in turn, by the demo, whose checks hold."""
    lines = run("demo.py", "--size", "3").splitlines()
    assert not [line for line in lines if "FAILED" in line]
    assert lines[-2].startswith("  All 15 checks hold (")


@pytest.mark.parametrize(
    ("program", "argument", "end"),
    [
        ("bounded_buffer.py", "100", "200 of 200 items came through 8 slots; their sum is 10100"),
        ("async_tasks.py", "20", "40 of 40 turns were counted"),
    ],
)
def test_another_number(program: str, argument: str, end: str) -> None:
    """Those that take a number do as much as they are told."""
    assert run(program, argument).splitlines()[-1] == end
