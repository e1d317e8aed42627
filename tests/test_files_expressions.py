"""Expressions with matches that are longer than the windows of a search overlap: none is missed in silence."""

import importlib
import json
import re
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import namedmap
from child.command import run
from namedmap import files
from namedmap.files import expressions, searching

ATOMS = st.sampled_from(
    [b"a", b"b", b".", b"[ab]", b"[^a]", rb"\w", rb"\b", b"^", b"$", b"(?=b)", b"(?<!a)", b"(?s:.)"]
)
REPEATS = st.sampled_from([b"", b"", b"*", b"+", b"?", b"{12}", b"{3,40}", b"*?", b"{2,}", b"*+"])
PIECES = st.tuples(ATOMS, REPEATS).filter(lambda pair: not pair[1] or (pair[0][:1] not in b"^$" and pair[0] != rb"\b"))
CHAINS = st.lists(PIECES.map(b"".join), min_size=1, max_size=5).map(b"".join)
SOURCES = st.one_of(CHAINS, st.tuples(CHAINS, CHAINS).map(b"|".join), st.just(b"(?:ab|c)*b"))
TEXTS = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"ab", b"\n", b"c"]), st.integers(1, 60))).map(
    lambda runs: b"".join(piece * count for piece, count in runs)
)


def padded(path: Path, *pieces: bytes) -> Path:
    path.write_bytes(b"".join(pieces))
    return path


class TestNothingIsMissed:
    @given(text=TEXTS, source=SOURCES, overlap=st.sampled_from([1, 8, 20]), ignore_case=st.booleans())
    @example(text=b"c" * 70 + b"a" * 60 + b"b", source=b"a+b", overlap=8, ignore_case=False)
    @example(text=b"c" * 60 + b"a" * 60 + b"b", source=b"a{60}b", overlap=8, ignore_case=True)
    @example(text=b"c" * 63 + b"a" * 60 + b"b", source=b"a+b|a", overlap=8, ignore_case=False)
    @settings(max_examples=200)
    def test_in_small_windows(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        text: bytes,
        source: bytes,
        overlap: int,
        ignore_case: bool,
    ) -> None:
        """The matches are those of finditer over the whole; or the search fails, or says that it may lack some."""
        monkeypatch.setattr(searching, "_WINDOW", 32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pattern = re.compile(source, re.IGNORECASE if ignore_case else 0)
        path = padded(tmp_path / "a", text)
        wanted = [(found.start(), found[0]) for found in pattern.finditer(text)]
        matches = files.search(path, pattern, overlap=overlap)
        try:
            found = [(match.offset, match.bytes) for match in matches]
        except namedmap.BadValueError:
            return
        assert found == wanted or not matches.complete
        counted = files.count(path, pattern, overlap=overlap)
        assert (counted == len(found), counted.complete) == (True, matches.complete)

    def test_one_with_a_longest_match(self, tmp_path: Path) -> None:
        """It is found across the end of a window, however small the overlap is."""
        path = padded(tmp_path / "a", bytes(1 << 20), b"<", b"x" * 100_000, b">", bytes(3 << 20))
        (match,) = matches = files.search(path, re.compile(rb"<x{100000}>"))
        assert (match.offset, len(match.bytes), matches.complete) == (1 << 20, 100_002, True)
        (match,) = files.search(path, re.compile(rb"<(?=x{100000}>)"), overlap=1)
        assert match.offset == 1 << 20

    def test_one_without(self, tmp_path: Path) -> None:
        """The result says that a longer match may have been missed, and up to where it would begin."""
        path = padded(tmp_path / "a", b" " * (1 << 19), b"<", b"x" * (2 << 20), b">", b" " * (1 << 20))
        for pattern, found in ((rb"<x+>", []), (rb"<x+>|<", [1 << 19]), (rb"(?s)<.*>", [])):
            matches = files.search(path, re.compile(pattern))
            assert [match.offset for match in matches] == found
            assert (matches.complete, matches.uncertain_from) == (False, 1 << 20)
            counted = files.count(path, re.compile(pattern))
            assert (counted, counted.complete, counted.uncertain_from) == (len(found), False, 1 << 20)
        (match,) = matches = files.search(path, re.compile(rb"<x+>"), overlap=3 << 20)
        assert (len(match.bytes), matches.complete) == ((2 << 20) + 2, True)

    def test_it_is_said_when_it_is_known(self, tmp_path: Path) -> None:
        """A search that ends before, by its limit, has missed nothing."""
        path = padded(tmp_path / "a", b"<x>", b"x" * (3 << 20))
        matches = files.search(path, re.compile(rb"<x+>"), limit=1)
        assert ([match.offset for match in matches], matches.complete) == ([0], True)

    @pytest.mark.parametrize(
        "source", [rb"error \d+", rb"<[^>\n]*>", rb"\w+@\w+\.com", rb"line.*needle", rb"(?i)NEEDLE\s+\d"]
    )
    def test_usual_ones_miss_nothing(self, source: bytes, tmp_path: Path) -> None:
        """An expression that stops at the end of a word or line is sure of itself in any text that has some."""
        path = padded(tmp_path / "a", b"a line > with 5 words, error 7\n" * 150_000)
        matches = files.search(path, re.compile(source))
        assert sum(1 for _ in matches) == len(re.findall(source, path.read_bytes()))
        assert matches.complete

    def test_bytes_miss_nothing(self, tmp_path: Path) -> None:
        path = padded(tmp_path / "a", b"x" * (3 << 20))
        assert files.count(path, b"x" * (2 << 20)).complete


class TestReach:
    @pytest.mark.parametrize(
        ("source", "fixed", "endless"),
        [
            (rb"", 0, b""),
            (rb"abc", 3, b""),
            (rb"a{2,5}b?", 6, b""),
            (rb"(ab|c){3}", 6, b""),
            (rb"error \d+", 6, b"0123456789"),
            (rb"<x+>", 2, b"x"),
            (rb"(?:ab|c)*", 0, b"abc"),
            (rb"(?i)a*", 0, b"aA"),
            (rb"(?i:[a-c])*", 0, b"abcABC"),
            (rb"a(?=b{9})", 10, b""),
            (rb"(?<!ab)c", 3, b""),
            (rb"(?>a{2,3})b++", 3, b"b"),
            (rb"(x)?(?(1)a|bcd)", 4, b""),
            (rb"a(?!)", 1, b""),
        ],
    )
    def test_bounds(self, source: bytes, fixed: int, endless: bytes) -> None:
        """So much at most without what repeats for ever, and the values of that."""
        found = expressions.reach(re.compile(source))
        assert (found.fixed, found.endless) == (fixed, frozenset(endless))

    @pytest.mark.parametrize("source", [rb"(a)\1", rb"(?s).*", rb"(?sL:.)*", rb"(?L)a*", rb"[\s\S]+"])
    def test_what_cannot_be_told(self, source: bytes) -> None:
        assert len(expressions.reach(re.compile(source)).endless) == 256

    def test_without_the_parser(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its name is private: without it nothing is known."""
        monkeypatch.setattr(importlib, "import_module", lambda name: object())
        assert len(expressions.reach(re.compile(b"never seen before")).endless) == 256


class TestCommand:
    def test_a_warning(self, tmp_path: Path) -> None:
        """One line on stderr, and `complete` in the JSON of --count; --overlap finds it."""
        path = str(padded(tmp_path / "a", b"<", b"x" * (2 << 20), b">", b" " * (1 << 20)))
        done = run("search", path, "--regex", "<x+>", status=1)
        assert "missed" in done.complaint
        assert "--overlap" in done.complaint
        done = run("search", path, "--regex", "<x+>", "--count", "--json", status=1)
        assert (json.loads(done.out)["complete"], "missed" in done.complaint) == (False, True)
        done = run("search", path, "--regex", "<x+>", "--count", "--json", "--overlap", "3M")
        assert (json.loads(done.out)["count"], json.loads(done.out)["complete"], done.err) == (1, True, b"")
