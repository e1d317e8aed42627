"""The pages in docs/: their sessions are true, their programs compile, and the reference has every public name."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import namedmap

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
WATCHDOG = 120

_FENCE = re.compile(r"^```(\w*)")
_IMPORT = re.compile(r"^(?:>>>|\.\.\.) +(?:import|from) +(.*)")
#: Packages that are used if they are there.
_OPTIONAL = {"numpy", "pandas", "polars", "pyarrow"}


class Block(NamedTuple):
    """A fenced block: its language, the section (##) of the page that it stands in, its first line, its text."""

    language: str
    section: int
    line: int
    lines: list[str]


def label(path: Path) -> str:
    return str(path.relative_to(DOCS))


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    current: Block | None = None
    section = 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines()):
        fence = _FENCE.match(line)
        if current is not None and fence is None:
            current.lines.append(line)
        elif current is not None:
            current = None
        elif fence is not None:
            current = Block(fence[1], section, number + 1, [])
            found.append(current)
        elif line.startswith("## "):
            section += 1
    return found


def missing(block: Block) -> set[str]:
    """Packages that a session imports, and that are not installed."""
    named = {word for match in map(_IMPORT.match, block.lines) if match for word in re.findall(r"\w+", match[1])}
    return {name for name in named & _OPTIONAL if importlib.util.find_spec(name) is None}


def session(chosen: list[Block]) -> str:
    """The sessions alone, on the lines on which they stand in the page."""
    text: list[str] = []
    for block in chosen:
        text += [""] * (block.line - len(text)) + block.lines
    return "\n".join([*text, "", ""])


SESSIONS = [page for page in PAGES if any(block.language == "pycon" for block in blocks(page))]
PROGRAMS = [
    pytest.param(block, id=f"{label(page)}:{block.line}")
    for page in PAGES
    for block in blocks(page)
    if block.language == "python"
]


@pytest.mark.parametrize("page", SESSIONS, ids=label)
def test_sessions_are_true(page: Path, directory: Path) -> None:
    """The sessions of a page happen as shown, in one interpreter, from its top to its end. A section that needs a
    package that is not there is left out, and the rest must hold without it."""
    sessions = [block for block in blocks(page) if block.language == "pycon"]
    lacking = {block.section: missing(block) for block in sessions if missing(block)}
    script = directory / page.name
    script.write_text(session([block for block in sessions if block.section not in lacking]), encoding="utf-8")
    work = directory / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "doctest", "-o", "ELLIPSIS", str(script)],
        cwd=work,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        check=False,
        # The example files of a page lie in a directory of its own.
        env={**os.environ, "TMPDIR": str(work)},
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    if lacking:
        pytest.skip(f"the other sections hold; not installed: {', '.join(sorted(set().union(*lacking.values())))}")


@pytest.mark.parametrize("block", PROGRAMS)
def test_programs_compile(block: Block) -> None:
    """A program that is shown, rather than run, is Python at least."""
    ast.parse("\n".join(block.lines))


def test_the_reference_is_complete() -> None:
    """Every public name of the package stands in the reference."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    named = set(re.findall(r"^::: namedmap\.(?:\w+\.)?(\w+)$", text, re.MULTILINE))
    # A module that is given as a whole brings its classes.
    errors = {name for name in namedmap.__all__ if getattr(namedmap, name).__class__ is type and "Error" in name}
    assert "::: namedmap.errors\n" in text
    assert set(namedmap.__all__) - {"__version__"} - errors - named == set()


def test_every_page_is_in_the_navigation() -> None:
    """mkdocs.yml leads to each page, once."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"[\w/-]+\.md\b", text.partition("\nnav:")[2])
    assert sorted(listed) == sorted(map(label, PAGES))
