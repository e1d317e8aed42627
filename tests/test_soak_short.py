"""The soak, for a short while; `make soak` runs it for longer."""

import re
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parent / "soak.py"
KILLS = 300


def test_random_kills_break_no_promise() -> None:
    """Processes that are killed at random lose no object, share no name between two, and leave nothing behind."""
    done = subprocess.run(
        [sys.executable, str(SOAK), "--seconds", "300", "--kills", str(KILLS)],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    kills = re.search(r"no violation; .* (\d+) kills", done.stdout)
    assert kills is not None, done.stdout
    assert int(kills[1]) >= KILLS, done.stdout
