"""The benchmarks: runs of small files and of few rounds, the page that they write, and pictures drawn from tables."""

import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import namedmap

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
PAGE = ROOT / "docs" / "benchmarks.md"
WATCHDOG = 120
#: A picture of a page is not to take longer than the page. Bytes.
LARGE = 200_000

_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]*)\)")


def run(*arguments: object) -> str:
    """The output of a run of the benchmark."""
    return program("run.py", *arguments)


def program(name: str, *arguments: object, **environment: str) -> str:
    """The output of a program of the benchmark."""
    command = [sys.executable, str(BENCHMARKS / name), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=WATCHDOG, env=os.environ | {"COLUMNS": "80"} | environment
    )
    assert not done.returncode, done.stderr + done.stdout
    return done.stdout


def can_trace() -> bool:
    """Whether there is a strace, and it may trace."""
    command = ["strace", "-o", os.devnull, "true"]
    return (
        shutil.which("strace") is not None
        and subprocess.run(command, capture_output=True, timeout=WATCHDOG).returncode == 0
    )


def titles(page: str) -> list[str]:
    """The titles of the tables."""
    return re.findall(r"^### (.*)", page[: page.index("\n## What is missed")], re.MULTILINE)


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
        assert "median ms (processor)" in text
        assert text.rindex("\n## ") == text.index("\n## What is missed, and why")
        assert re.search(r"^\| namedmap \|", text, re.MULTILINE)
        assert text.count("; this run: ") >= len(titles(text))
        for _, file in _PICTURE.findall(text):
            assert (tmp_path / file).stat().st_size > 1000
        assert sorted(path.name for path in tmp_path.iterdir()) == ["measured", "measured.md"]

    def test_copies_in_pairs(self, tmp_path: Path) -> None:
        """Copies beside cp and shutil.copyfile have a line for each kind and size, and leave no file."""
        said = program("copies.py", "--sizes", "4K,1M", "--rounds", 3, "--directory", tmp_path)
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


#: Tables with rows for both modes, of the fewest rounds; one of them alone, if there is one mode.
FEW_ROUNDS = """
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    import contention, idling, library, modes, parts, report, tables, waittables

    root = Path(sys.argv[2])
    efforts = parts.QUICK.within(1)
    alone = {}
    with modes.opened(root) as both:
        print(report.as_text(waittables.lock_pair(root, both, efforts.waiting, alone)))
        if both[1:]:
            print(report.as_text(tables.create(root, both, efforts.tables.usual)))
            print(report.as_text(library.open_existing(both, "4 KiB", 4096, efforts.tables.usual)))
            print(report.as_text(library.slices(both, "64 B", 64, efforts.tables.usual)))
            print(report.as_text(next(waittables.ping_pong(both, efforts.waiting))))
            print(report.as_text(contention.contention(root, both, alone, rounds=1, seconds=0.05, longest=1)))
            print(report.as_text(idling.crowd(both, 1)))
"""


class TestModes:
    @pytest.fixture(scope="class")
    @staticmethod
    def few_rounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The program, which multiprocessing has to find again."""
        path = tmp_path_factory.mktemp("program") / "few_rounds.py"
        path.write_text(FEW_ROUNDS, encoding="utf-8")
        return path

    @pytest.fixture
    @staticmethod
    def memory() -> Iterator[Path]:
        """A directory in memory, whose files have positions as far up as locks need."""
        with tempfile.TemporaryDirectory(prefix="namedmap-tests-", dir="/dev/shm") as path:
            yield Path(path)

    def test_rows_of_both_modes(self, few_rounds: Path, memory: Path) -> None:
        """Each table has rows with the compiled core, where there is one, and without it, and judges both."""
        pytest.importorskip("posix_ipc")
        said = program(str(few_rounds), BENCHMARKS, memory, NAMEDMAP_ROOT=str(memory))
        tables = [table for table in said.split("\n\n") if "median" in table]
        assert len(tables) == (7 if namedmap.native else 1)
        for table in tables:
            for mode in ["with the core"] * namedmap.native + ["without the core"]:
                assert re.search(rf"^  namedmap.*, {mode}  |^  read, View, {mode}  ", table, re.MULTILINE), table
                assert re.search(rf"^  target: .*, {mode}.*; this run: ", table, re.MULTILINE), table
        assert ("the rows with the compiled core" in said) is not namedmap.native

    def test_core_turned_off(self, few_rounds: Path, memory: Path) -> None:
        """With NAMEDMAP_NATIVE=0 in the environment there are no rows with the core, and that is told."""
        pytest.importorskip("posix_ipc")
        said = program(str(few_rounds), BENCHMARKS, memory, NAMEDMAP_ROOT=str(memory), NAMEDMAP_NATIVE="0")
        assert "namedmap.Mutex, without the core" in said
        assert "namedmap.Mutex, with the core" not in said
        assert "which NAMEDMAP_NATIVE=0 turns off" in said

    def test_objects_of_the_modes_are_apart(
        self, modules: Modules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Processes of one mode do not meet the objects of the other, and the environment is as before afterwards."""
        monkeypatch.delenv("NAMEDMAP_NATIVE", raising=False)
        both = importlib.import_module("modes").modes(tmp_path)
        before = dict(os.environ)
        roots = []
        for mode in both:
            with mode.chosen():
                roots.append(os.environ["NAMEDMAP_ROOT"])
        assert len(set(roots)) == 2
        assert dict(os.environ) == before

    @pytest.mark.skipif(not can_trace(), reason="there is no strace here that may trace")
    def test_floor_is_what_namedmap_does(self) -> None:
        """The floor makes the system calls that namedmap makes, with the compiled core and without it."""
        said = run("--check-floor")
        assert len(re.findall("^without the core, .*: the same, ", said, re.MULTILINE)) == 7
        assert len(re.findall("^with the core, .*: the same, ", said, re.MULTILINE)) == 7 * namedmap.native
        assert "DIFFERENT" not in said


class TestProcessorTime:
    def test_who_is_counted(self, modules: Modules, monkeypatch: pytest.MonkeyPatch) -> None:
        """The time of the named processes is counted, and that of multiprocessing's tracker unless told otherwise."""
        processor: Any = importlib.import_module("processor")
        times = {1: iter([10.0, 11.0] * 2), 2: iter([20.0, 22.0] * 2), 3: iter([30.0, 34.0])}
        monkeypatch.setattr(processor, "_tracker", lambda: 3)
        monkeypatch.setattr(processor, "_settle", lambda tracker: None)
        monkeypatch.setattr(processor, "used_by", lambda process: next(times[process]))
        monkeypatch.setattr(processor.time, "process_time", lambda: 0.0)
        monkeypatch.setattr(processor, "_of_children", lambda: 0.0)
        assert processor.Stopwatch([1, 2]).stop() == 7.0
        assert processor.Stopwatch([1, 2], tracked=False).stop() == 3.0

    def test_processes_that_have_ended(self, modules: Modules) -> None:
        """A process that is no more has used nothing since; nobody fails for its sake."""
        processor: Any = importlib.import_module("processor")
        with subprocess.Popen(["true"]) as process:
            pass
        assert processor.used_by(process.pid) == 0.0

    def test_descendants(self, modules: Modules) -> None:
        """The children of children are descendants too."""
        processor: Any = importlib.import_module("processor")
        with subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            child = int(process.stdout.readline())
            try:
                assert {process.pid, child} <= set(processor.descendants())
            finally:
                os.kill(child, signal.SIGKILL)


class TestTables:
    def test_processor_time_decides(self, modules: Modules) -> None:
        """A row is judged in processor time where that is known, unless the clock is asked for."""
        table = modules.table("one", {"namedmap": 6.0, "peer": 2.0})
        table.judge("namedmap", "peer", 2.0)
        for row, processor in zip(table.rows, (1.0, 2.0), strict=True):
            row.processor = [processor] * 3
        table.judge("namedmap", "peer", 2.0)
        table.judge("namedmap", "peer", 2.0, clock=True)
        table.judge("namedmap", "peer", 2.0, faster=True)
        table.judge("namedmap", "nobody", 2.0)
        reached = [(target.reached, target.good) for target in table.targets]
        assert reached == [(3.0, False), (0.5, True), (3.0, False), (2.0, True)]
        assert ["by the clock" in target.text for target in table.targets] == [True, False, True, False]

    def test_rates(self, modules: Modules) -> None:
        """Of rates, more is better: so many times the peer's at least."""
        table = modules.table("one", {"namedmap": 6.0, "peer": 2.0}, unit="/s")
        table.judge("namedmap", "peer", 1.0)
        table.judge("peer", "namedmap", 1.0)
        assert [target.good for target in table.targets] == [True, False]

    def test_processor_time_in_parentheses(self, modules: Modules) -> None:
        """Processor time stands in parentheses behind the clock's, the ratios' too."""
        table = modules.table("one", {"first": 6.0, "second": 3.0})
        table.rows[0].processor, table.rows[1].processor = [5.0] * 3, [1.0] * 3
        head, first, second = table.cells()
        assert head[1::2] == ["median µs (processor)", "× first (processor)"]
        assert first[1::2] == ["6.00 (5.00)", "1.00 (1.00)"]
        assert second[1::2] == ["3.00 (1.00)", "0.50 (0.20)"]


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
        wide.targets = [target("target: at most 2x", 2, 4.0), target("target: at least 3x", 3, 9.0, least=True)]
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
        """The page counts what was reached; at its end it names what was missed, by modes, and each reason once."""
        target = modules.report.Target
        table = modules.table("one", {"namedmap": 1.0})
        table.targets = [
            target("target: good", 2, 1.0, why="not told"),
            target("target: bad", 2, 4.0, why="It is so.", mode="with the core"),
            target("target: worse", 2, 5.0, why="It is so.", mode="with the core"),
            target("target: worst", 2, 6.0, mode="without the core"),
        ]
        text = modules.page.document([], "Here.", ["this: no room."], [modules.page.Part("x", "All", [], [table])])
        assert "| All | 1 | 3 |" in text
        end = text[text.index("## What is missed, and why") :]
        with_it, without_it = end.split("### Without the core")
        assert with_it.endswith(
            "### With the core\n\nIt is so.\n\n- *one*; target: bad: 4.00x\n- *one*; target: worse: 5.00x\n\n"
        )
        assert without_it == "\n\nThe reason is not known.\n\n- *one*; target: worst: 6.00x\n"
        assert "not told" not in text
        assert "- this: no room." in text

    def test_nothing_missed(self, modules: Modules) -> None:
        """A page of a run that has missed nothing says so."""
        part = modules.page.Part("x", "All", [], [modules.table("one", {"namedmap": 1.0})])
        assert modules.page.document([], "Here.", [], [part]).endswith("This run has missed nothing.\n")

    def test_published_pictures(self) -> None:
        """docs/benchmarks.md refers only to pictures that exist, and each says in words what it shows."""
        for words, file in _PICTURE.findall(PAGE.read_text("utf-8")):
            path = PAGE.parent / file
            assert words
            assert path.stat().st_size < LARGE
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
