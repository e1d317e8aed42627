"""The soak, until it has killed some processes; `make soak` runs it for longer."""

import re

from child import program

KILLS = 300


def test_random_kills_break_no_promise() -> None:
    """Processes that are killed at random lose no object, share no name between two, and leave nothing behind."""
    said = program("soak", "--seconds", "300", "--kills", str(KILLS))
    kills = re.search(r"no violation; .* (\d+) kills", said)
    assert kills is not None, said
    assert int(kills[1]) >= KILLS, said
