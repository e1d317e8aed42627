"""An exception of a signal handler, a TimeoutError, arrives as it is, wherever in a call the handler runs."""

import re

import pytest

import namedmap
from child import program
from programs.handlers import CALLS


@pytest.mark.leaves_dead_files  # a handle whose value did not arrive stays open until the process ends
def test_it_arrives() -> None:
    """No call ignores it, takes it for an answer of the system, reports it as its own failure, or leaves a lock."""
    lines = program("handlers").splitlines()
    places = [re.fullmatch(r"(.+): (\d+) places", line) for line in lines]
    assert [found[1] for found in places if found] == list(CALLS), "\n".join(lines)
    assert all(places), "\n".join(lines)
    in_one_step = {"release and acquire"} if namedmap.native else set()
    assert all(int(found[2]) > 5 or found[1] in in_one_step for found in places if found), lines
