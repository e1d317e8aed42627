"""What a signal handler raises, a TimeoutError, arrives as it is, wherever in a call the handler runs."""

import pytest

from child import program
from programs.handlers import CALLS


@pytest.mark.leaves_dead_files  # a handle whose value did not arrive stays open until the process ends
@pytest.mark.parametrize("call", CALLS)
def test_it_arrives(call: str) -> None:
    """No call ignores it, takes it for an answer of the system, or reports it as its own failure."""
    assert program("handlers", call) == "True\n"
