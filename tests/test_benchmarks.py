"""The benchmarks: a run of small files, the page that it writes, and the pictures that are drawn from tables."""

import importlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
PAGE = ROOT / "docs" / "benchmarks.md"
WATCHDOG = 120
#: A picture of a page is not to take longer than the page. Bytes.
LARGE = 200_000

_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]*)\)")


def run(*arguments: object) -> str:
    """The output of a run of the benchmark."""
    command = [sys.executable, str(BENCHMARKS / "run.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=WATCHDOG).stdout


def titles(page: str) -> list[str]:
    return re.findall(r"^### (.*)", page, re.MULTILINE)


class Modules:
    """Those of the benchmark, which are no package."""

    def __init__(self) -> None:
        self.page: Any = importlib.import_module("page")
        self.plots: Any = importlib.import_module("plots")
        self.report: Any = importlib.import_module("report")
        self.rounds: Any = importlib.import_module("rounds")

    def table(self, title: str, medians: dict[str, float], **more: Any) -> Any:
        """A table with three rounds for each row."""
        rows = [self.rounds.Series(name, [each, each * 1.1, each * 0.9]) for name, each in medians.items()]
        return self.report.Table(title, "Of nothing.", rows, [("first", rows[0])], **more)


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Modules:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return Modules()


class TestRun:
    def test_small_files(self, tmp_path: Path) -> None:
        """A run of files alone measures all of its tables, judges them, and writes a page with its pictures."""
        pytest.importorskip("matplotlib")
        page = tmp_path / "measured.md"
        said = run("--quick", "--only", "files", "--largest", 1, "--directory", tmp_path, "--write", page)
        text = page.read_text("utf-8")
        assert "Copying 1 MiB, in the page cache" in titles(text)
        assert [title for title in titles(text) if title.startswith(("Searching", "sha256", "blake2b"))]
        for title in titles(text):
            assert title in said
        assert re.search(r"^\| Big files \| \d+ \| \d+ \|$", text, re.MULTILINE)
        assert re.search(r"^\| namedmap \|", text, re.MULTILINE)
        assert text.count("; this run: ") >= len(titles(text))
        for _, file in _PICTURE.findall(text):
            assert (tmp_path / file).stat().st_size > 1000
        assert sorted(path.name for path in tmp_path.iterdir()) == ["measured", "measured.md"]

    def test_copies_in_pairs(self, tmp_path: Path) -> None:
        """Copies beside cp and shutil.copyfile have a line for each kind and size, and leave no file."""
        words = ("--sizes", "4K,1M", "--rounds", "3", "--directory", tmp_path)
        command = [sys.executable, str(BENCHMARKS / "copies.py"), *map(str, words)]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=WATCHDOG).stdout
        found = re.findall(r"^(\w+) +(\d \w+) ", said, re.MULTILINE)
        sizes = ["4 KiB", "1 MiB"]
        expected = [(kind, size) for kind in ("dense", "cold", "tmpfs") for size in sizes] + [("sparse", "1 MiB")]
        assert sorted(found) == sorted(expected)
        assert list(tmp_path.iterdir()) == []

    def test_absent_tools_are_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A tool that the machine lacks has no row; the page says that it is not installed."""
        monkeypatch.setenv("PATH", "/nonexistent")
        page = tmp_path / "measured.md"
        run("--quick", "--only", "files", "--largest", 1, "--directory", tmp_path, "--write", page)
        text = page.read_text("utf-8")
        assert "| rsync | not installed |" in text
        assert re.search(r"Not installed on this machine, and so without rows: .*`cp`", text)
        assert not re.search(r"^\| cp --reflink", text, re.MULTILINE)

    def test_no_room(self, tmp_path: Path, modules: Modules, monkeypatch: pytest.MonkeyPatch) -> None:
        """A size for which the disk has no room is left out, and the reason is kept for the page."""
        files: Any = importlib.import_module("files")
        monkeypatch.setattr(modules.report, "omitted", [])
        effort = files.Effort((1 << 60,), 1 << 60, rounds=3, seconds=0.1)
        assert list(files.search(tmp_path, effort)) == []
        assert "has room for" in modules.report.omitted[0]


class TestPictures:
    def test_all_kinds(self, tmp_path: Path, modules: Modules) -> None:
        """Pictures are drawn from tables that nobody measured: rates by size, rows, targets."""
        pytest.importorskip("matplotlib")
        target = modules.report.Target
        sizes = [
            modules.table(f"Copying {n} MiB, x", {"namedmap": 1.0 * n, "cp": 2.0 * n}, picture="copying", size=n << 20)
            for n in (1, 64)
        ]
        wide = modules.table("wide", {"namedmap": 0.5, "others": 5000.0, "floor: x": 0.1}, picture="waiting")
        none = modules.table("nothing", {"namedmap": 0.0, "others": 0.0}, picture="fighting")
        wide.targets = [target("target: at most 2x", 2, 4.0), target("aim: at least 3x", 3, 9.0, least=True)]
        none.targets = [target("target: at most 0.5 %", 0.5, 0.0, " %")]
        part = modules.page.Part("files", "Of nothing", [], [*sizes, wide, none])
        found = list(modules.plots.draw(part, tmp_path / "page", tmp_path / "page.md"))
        names = ["copying", "waiting", "fighting", "targets-files"]
        assert [picture.file for picture in found] == [f"page/{name}.svg" for name in names]
        for picture in found:
            assert ElementTree.parse(tmp_path / picture.file).getroot().tag.endswith("svg")
        assert set(names) <= set(modules.plots.NAMES)

    def test_same_tables_same_picture(self, tmp_path: Path, modules: Modules) -> None:
        """The same numbers give the same file, so that a page changes only with its numbers."""
        pytest.importorskip("matplotlib")
        part = modules.page.Part("files", "x", [], [modules.table("one", {"namedmap": 1.0}, picture="reading")])
        texts = []
        for name in ("a", "b"):
            list(modules.plots.draw(part, tmp_path / name, tmp_path / "page.md"))
            texts.append((tmp_path / name / "reading.svg").read_text("utf-8"))
        assert texts[0] == texts[1]


class TestPage:
    def test_missed_targets_are_told(self, modules: Modules) -> None:
        """The page counts what was reached and names what was missed, with its reason, from the tables alone."""
        target = modules.report.Target
        table = modules.table("one", {"namedmap": 1.0})
        table.targets = [target("target: good", 2, 1.0, why="not told"), target("target: bad", 2, 4.0, why="It is so.")]
        text = modules.page.document([], "Here.", ["this: no room."], [modules.page.Part("x", "All", [], [table])])
        assert "| All | 1 | 1 |" in text
        assert "- *one*; target: bad: 4.00x" in text
        assert "Why: It is so." in text
        assert "not told" not in text
        assert "- this: no room." in text

    def test_published_pictures(self) -> None:
        """docs/benchmarks.md refers only to pictures that exist, and each says in words what it shows."""
        for words, file in _PICTURE.findall(PAGE.read_text("utf-8")):
            path = PAGE.parent / file
            assert words
            assert path.stat().st_size < LARGE
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
