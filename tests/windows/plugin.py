"""The part of `tests/conftest.py` on Linux, for tests that run in Windows Python: nothing is left behind.

    python -m pytest -p windows.plugin --confcutdir=tests/classes tests/classes

A test that hangs ends its process after a while. With a worker of pytest-xdist (`-n 1`) that is all that ends: the test
is named, and those after it are run by the next worker.
"""

import faulthandler
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from child import WATCHDOG
from child.fixtures import second_user as second_user
from child.fixtures import spawn as spawn
from namedmap import inspection

#: How long a test may take, in seconds, unless it is marked with `watchdog`: longer than what it waits with itself.
_LIMIT = 5 * WATCHDOG

#: Standard error as it is before a test's output is captured.
_complaints: list[int] = []


def pytest_configure(config: pytest.Config) -> None:
    _complaints.append(os.dup(2))
    config.addinivalue_line("markers", "watchdog(seconds): how long this test may take")
    config.addinivalue_line("markers", "leaves_dead_files: the test kills processes, which leave nothing on Windows")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Write where its threads are, and end this process, when a test hangs."""
    mark = item.get_closest_marker("watchdog")
    faulthandler.dump_traceback_later(mark.args[0] if mark else _LIMIT, exit=True, file=_complaints[0])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session", autouse=True)
def private_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh directory for temporary files, which children inherit. pytest's own stay where they are."""
    tmp_path_factory.getbasetemp()
    with tempfile.TemporaryDirectory(prefix="namedmap-tests-") as name, pytest.MonkeyPatch.context() as patch:
        for variable in ("TEMP", "TMP"):
            patch.setenv(variable, name)
        patch.setattr(tempfile, "tempdir", name)
        yield Path(name)


@pytest.fixture(autouse=True)
def nothing_left(private_place: Path) -> Iterator[None]:
    """Every test leaves no named object and no temporary file. (The objects of a process go a moment after its end.)"""
    before, present = _names(), set(private_place.iterdir())
    yield
    deadline = time.monotonic() + WATCHDOG
    while _names() - before and time.monotonic() < deadline:
        time.sleep(0.01)
    objects, files = _names() - before, sorted(set(private_place.iterdir()) - present)
    assert not objects, f"left behind: objects {objects}"
    assert not files, f"left behind: temporary files {files}"


def _names() -> set[str]:
    """The named objects of programs; those that Wine's own processes come and go with aside."""
    return {each for each in inspection.names() if not each.removeprefix("Global\\").startswith("__wine")}
