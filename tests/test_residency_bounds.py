"""Looks at the pages of files as large and as full of holes as a file can be: the work is bounded, and told."""

import os
from pathlib import Path
from typing import Any

import pytest

from calls import forgery, object_path
from calls.kernel import Control, Kind, pagecache
from child.command import call
from namedmap import inspection

PAGE = pagecache.PAGE
LARGEST = (1 << 63) - 1 - (1 << 20)


@pytest.fixture(params=["cachestat", "without"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With cachestat(2), and without it."""
    if request.param == "without":
        monkeypatch.setattr(pagecache, "count", lambda *_: None)


@pytest.mark.usefixtures("asked")
class TestSparse:
    def test_a_hostile_object(self) -> None:
        """A section of nearly 2**63 bytes, all holes, in the name of an object."""
        size = LARGEST // PAGE * PAGE
        page = Control(Kind.SECTION, "sparse", 0, 4, 0x8000000, size, size, size)
        with forgery.alive(object_path("Global\\sparse"), page, 0o600):
            found = inspection.residency("Global\\sparse")
            assert (found.size, found.complete) == (size, True)
            assert inspection.info("Global\\sparse").size == size
            inspection.prefetch("Global\\sparse")

    def test_pages_far_apart(self) -> None:
        """Found, each of them."""
        path = Path(os.environ["NAMEDMAP_ROOT"], "sparse")
        at = [0, 5 << 40, (5 << 40) + 3 * PAGE, 1 << 60]
        with open(path, "wb") as file:
            file.truncate(LARGEST)
            for offset in at:
                os.pwrite(file.fileno(), b"x", offset)
        try:
            found = inspection.residency(path)
            assert [offset for offset, _ in found.runs] == at
            assert (found.resident, found.complete) == (4, True)
        finally:
            path.unlink()


class TestBounds:
    @pytest.fixture
    def scattered(self) -> Any:
        """A file with every other page."""
        path = Path(os.environ["NAMEDMAP_ROOT"], "scattered")
        with open(path, "wb") as file:
            for index in range(0, 2000, 2):
                os.pwrite(file.fileno(), b"x" * PAGE, index * PAGE)
        yield path
        path.unlink()

    @pytest.mark.parametrize(("bound", "value"), [("MOST_RUNS", 10), ("MOST_WORK", 1)])
    def test_at_least(self, scattered: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int) -> None:
        """With too much to look at, what was found is told as a part."""
        whole = inspection.residency(scattered)
        assert (whole.resident, whole.complete) == (1000, True)
        monkeypatch.setattr(pagecache, bound, value)
        monkeypatch.setattr(pagecache, "WINDOW", 64 * PAGE)
        part = inspection.residency(scattered)
        assert not part.complete
        assert part.resident < 1000
        assert "at least" in call("residency", str(scattered)).text
        assert call("residency", str(scattered), "--json").json()[0]["complete"] is False

    def test_the_same_as_page_by_page(self, scattered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """However the file is divided."""
        whole = inspection.residency(scattered).runs
        for window in (PAGE, 64 * PAGE, 512 * PAGE):
            monkeypatch.setattr(pagecache, "WINDOW", window)
            assert inspection.residency(scattered).runs == whole
