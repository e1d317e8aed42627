"""The answers of Windows hold in Windows Python; under Wine, apart from what Wine is known to answer itself."""

import ctypes
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

CONFORMANCE = Path(__file__).parent.parent / "conformance"
TOTALS = re.compile(r"unsupported 0\nwaived (\d+)\nhard (\d+)/(\d+) soft (\d+)/(\d+) cases (\d+)/(\d+)\n\Z")
WAIVED = re.compile(r"^(\S+) (\d+) waived: .*\n    expected .*\n    got      (.*)$", re.MULTILINE)

is_wine = hasattr(ctypes.CDLL("ntdll"), "wine_get_version")

#: Each script has a process of its own, and a start takes some tenths of a second, or seconds on a busy machine.
SECONDS = 3600


@pytest.fixture
def waivers(tmp_path: Path) -> Path:
    """The waivers for Wine, or none."""
    if is_wine:
        return CONFORMANCE / "waivers-wine.txt"
    nothing = tmp_path / "waivers.txt"
    nothing.touch()
    return nothing


@pytest.mark.watchdog(SECONDS)
@pytest.mark.parametrize("name", ["cases.jsonl", "cases_multiproc.jsonl", "traces.jsonl"])
def test_recorded_results_hold(name: str, waivers: Path) -> None:
    """The replayer finds no difference; one that is waived is just what the record says of Wine."""
    records = [json.loads(line) for line in (CONFORMANCE / name).read_text("utf-8").splitlines()]
    command: list[str | Path] = [sys.executable, CONFORMANCE / "replay.py", CONFORMANCE / name, "--waivers", waivers]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    assert result.returncode == 0, result.stdout + result.stderr
    totals = TOTALS.search(result.stdout)
    assert totals, result.stdout
    waived, hard, all_hard, soft, all_soft, clean, all_cases = map(int, totals.groups())
    assert (hard, soft, clean, all_cases) == (all_hard, all_soft, all_cases, len(records))
    assert hard > 0
    answers = {record["id"]: record.get("wine") for record in records}
    found = WAIVED.findall(result.stdout)
    assert [answers[case][int(index)] for case, index, _ in found] == [got for _, _, got in found]
    assert len(found) == waived
    # A trace was recorded as it ran, and Wine answers it as Windows does.
    assert not waived or name != "traces.jsonl"
