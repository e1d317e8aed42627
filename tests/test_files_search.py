"""namedmap.files.search and count, against `re` over the whole content."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import namedmap
from calls.bigfiles import sparse
from namedmap import files
from namedmap.files import searching

TIB = 1 << 40
quick = settings(max_examples=250)
#: Text of few letters, so that there is much to be found, at the borders of windows of 64 bytes, too.
texts = st.lists(st.sampled_from([b"a", b"b", b"ab", b"aab", b"\n", b"B", b"\0" * 70, b"c" * 30]), max_size=60).map(
    b"".join
)
patterns = st.sampled_from(
    [b"a", b"ab", b"aa", b"aba", b"abab", b"B", b"\n", b"\0\0", b"b\0", b"\0a", b"a" * 9, b"nope"]
)
expressions = st.sampled_from(
    [rb"a+b", rb"^a", rb"(?m)^a.", rb"b$", rb"(?m)b$", rb"\Aa", rb"b\Z", rb"\bab", rb"a??", rb"a*", rb"(?<=b)a",
     rb"a(?!b)", rb"(?s).", rb"[^a]", rb"\x00+a", rb"b\x00", rb"(a|ab)(b|)", rb"$", rb"", rb"(?i)b", rb"c{1,7}"]
)  # fmt: skip


def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_WINDOW", 64)


def literal(text: bytes, pattern: bytes, start: int, stop: int, flags: int = 0) -> list[tuple[int, bytes]]:
    return [(found.start(), found[0]) for found in re.compile(re.escape(pattern), flags).finditer(text, start, stop)]


class TestAgainstRe:
    @given(
        text=texts,
        pattern=patterns,
        ignore_case=st.booleans(),
        share=st.floats(0, 1),
        size=st.none() | st.integers(0, 300),
    )
    @quick
    def test_bytes(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        text: bytes,
        pattern: bytes,
        ignore_case: bool,
        share: float,
        size: int | None,
    ) -> None:
        """The same places as in one string, whatever windows they lie across, in any range; and as many."""
        small_windows(monkeypatch)
        path = tmp_path / "a"
        path.write_bytes(text)
        offset = int(len(text) * share)
        stop = len(text) if size is None else min(len(text), offset + size)
        wanted = literal(text, pattern, offset, stop, re.IGNORECASE if ignore_case else 0)
        found = list(files.search(path, pattern, ignore_case=ignore_case, offset=offset, size=size))
        assert [(match.offset, match.bytes) for match in found] == wanted
        assert files.count(path, pattern, ignore_case=ignore_case, offset=offset, size=size) == len(wanted)

    @given(text=texts, source=expressions, share=st.floats(0, 1), overlap=st.sampled_from([8, 20, 64, 500]))
    @example(text=b"", source=rb"$", share=0.0, overlap=8)
    @example(text=b"c" * 64 + b"ab", source=rb"a*", share=0.0, overlap=8)
    @quick
    def test_expressions(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, source: bytes, share: float, overlap: int
    ) -> None:
        """The matches are those of finditer over the whole, anchors and looking around included."""
        small_windows(monkeypatch)
        path, pattern = tmp_path / "a", re.compile(source)
        path.write_bytes(text)
        offset = int(len(text) * share)
        wanted = [(found.start(), found[0]) for found in pattern.finditer(text, offset)]
        if any(len(match) > overlap for _, match in wanted):
            return
        assert [(m.offset, m.bytes) for m in files.search(path, pattern, offset=offset, overlap=overlap)] == wanted
        assert files.count(path, pattern, offset=offset, overlap=overlap) == len(wanted)

    @given(
        places=st.lists(
            st.tuples(st.integers(0, 11), st.integers(0, 4090), st.sampled_from([b"ab", b"a", b"b"])), max_size=8
        ),
        pattern=patterns,
        source=expressions,
    )
    @settings(quick, max_examples=40)
    def test_holes(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        places: list[tuple[int, int, bytes]],
        pattern: bytes,
        source: bytes,
    ) -> None:
        """Holes are zeros: what lies at their borders, at either end, or is zeros itself, is found."""
        small_windows(monkeypatch)
        path = sparse(tmp_path / "a", 12 * 4096, *((page * 4096 + at, data) for page, at, data in places))
        text = path.read_bytes()
        assert files.count(path, pattern) == len(literal(text, pattern, 0, len(text)))
        expression = re.compile(source)
        wanted = [(found.start(), found[0]) for found in expression.finditer(text)]
        if all(len(match) <= 64 for _, match in wanted) and len(wanted) < 1000:
            assert [(m.offset, m.bytes) for m in files.search(path, expression, overlap=64)] == wanted


class TestBig:
    def test_real_windows(self, tmp_path: Path) -> None:
        """In a file of several windows, every match is found: before, on and after each border, too."""
        text = bytearray(random.Random(1).randbytes(9 << 20))
        for border in range(searching._WINDOW, len(text), searching._WINDOW):
            for at in (border - 300, border - 6, border - 1, border, border + 200):
                text[at : at + 6] = b"Needle"
        path = tmp_path / "a"
        path.write_bytes(text)
        wanted = literal(bytes(text), b"Needle", 0, len(text))
        assert [(m.offset, m.bytes) for m in files.search(path, b"Needle")] == wanted
        assert [m.offset for m in files.search(path, re.compile(rb"Ne{2}dle"))] == [at for at, _ in wanted]
        assert [(m.offset, m.bytes) for m in files.search(path, b"NEEDLE", ignore_case=True)] == wanted
        assert files.count(path, b"Needle") == len(wanted) > 10
        assert files.count(path, b"\0") == text.count(b"\0")

    def test_terabytes_of_holes(self, tmp_path: Path) -> None:
        """In 8 TiB that are almost all a hole, what there is is found at once; also what begins or ends with zeros."""
        path = sparse(tmp_path / "a", 8 * TIB, (0, b"needle"), (5 * TIB - 3, b"needle"), (8 * TIB - 6, b"needle"))
        assert [m.offset for m in files.search(path, b"needle")] == [0, 5 * TIB - 3, 8 * TIB - 6]
        assert [m.offset for m in files.search(path, re.compile(rb"\x00n|e\x00"))] == [
            5,
            5 * TIB - 4,
            5 * TIB + 2,
            8 * TIB - 7,
        ]
        assert [m.offset for m in files.search(path, re.compile(rb"\An|e\Z"))] == [0, 8 * TIB - 1]
        assert files.count(path, b"NEEDLE", ignore_case=True, offset=1) == 2
        assert next(files.search(path, b"\0\0")).offset == 6

    def test_limit_and_context(self, tmp_path: Path) -> None:
        """At most `limit` matches; with as much before and after each as there is."""
        path = tmp_path / "a"
        path.write_bytes(b"xab-ab-ab")
        found = list(files.search(path, b"ab", limit=2, context=3))
        assert [(m.offset, m.before, m.after) for m in found] == [(1, b"x", b"-ab"), (4, b"ab-", b"-ab")]
        assert list(files.search(path, b"ab", limit=0)) == []
        (last,) = files.search(path, b"ab", offset=6, context=2)
        assert (last.before, last.bytes, last.after) == (b"b-", b"ab", b"")

    def test_a_search_can_be_dropped(self, tmp_path: Path) -> None:
        """A caller that has seen enough stops asking: the file is closed, no thread goes on."""
        path = sparse(tmp_path / "a", TIB, (0, b"a"))
        found = files.search(path, b"\0\0")
        assert next(found).offset == 1
        del found

    def test_shape_in_json(self, tmp_path: Path) -> None:
        """as_dict() has the documented keys, bytes as hexadecimal digits."""
        (tmp_path / "a").write_bytes(b"\xffab\xfe")
        (match,) = files.search(tmp_path / "a", b"ab", context=9)
        assert json.loads(json.dumps(match.as_dict())) == {
            "offset": 1, "size": 2, "bytes": "6162", "before": "ff", "after": "fe",
        }  # fmt: skip


class TestRefusals:
    def test_a_match_that_is_longer_than_windows_overlap(self, tmp_path: Path) -> None:
        """It is an error that says what to do, and no shorter match; with a larger overlap it is found."""
        path = tmp_path / "a"
        path.write_bytes(b"<" + b"x" * (3 << 20) + b">" + b" " * (3 << 20))
        with pytest.raises(namedmap.BadValueError, match="larger overlap"):
            list(files.search(path, re.compile(rb"<x+")))
        (match,) = files.search(path, re.compile(rb"<x+>"), overlap=4 << 20)
        assert len(match.bytes) == (3 << 20) + 2

    def test_arguments(self, tmp_path: Path) -> None:
        """Patterns that cannot be, negative numbers and ranges beyond the end are refused."""
        path = tmp_path / "a"
        path.write_bytes(b"data")
        text: Any = re.compile("text")
        with pytest.raises(namedmap.BadValueError, match="pattern is empty"):
            files.search(path, b"")
        with pytest.raises(TypeError, match="compile it from bytes"):
            files.count(path, text)
        wrongs: list[dict[str, Any]] = [{"limit": -1}, {"context": -1}, {"offset": 5}, {"offset": -1}, {"size": -1}]
        for wrong in wrongs:
            with pytest.raises(namedmap.BadValueError):
                list(files.search(path, b"a", **wrong))
        with pytest.raises(namedmap.BadValueError):
            files.count(path, re.compile(rb"a"), overlap=0)
        with pytest.raises(namedmap.NotFoundError):
            list(files.search(tmp_path / "none", b"a"))
