"""Fixtures of second processes, for every platform."""

from collections.abc import Iterator
from typing import Any

import pytest

from child import NOBODY, Child, Spawn, is_root


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start second processes (`child.Child`); they are ended, or killed, and reaped at the end of the test."""
    started: list[Child] = []

    def start(script: str | None = None, *arguments: str, **options: Any) -> Child:
        child = Child(script, *arguments, **options)
        started.append(child)
        return child

    yield start
    for child in started:
        child.dismiss()


@pytest.fixture
def second_user() -> int:
    """The id of another user, whom children can become."""
    if not is_root:
        pytest.skip("only root can start processes of another user")
    return NOBODY
