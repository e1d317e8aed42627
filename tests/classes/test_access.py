"""Access: what the words allow, of mappings in memory and of files, and of the views of both."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import namedmap
from classes.conftest import Keep, Second
from namedmap import FileMapping

NAME = "classes.access"
SIZE = 100_000
WORDS = ("read", "write", "copy", "execute", "write+execute", "copy+execute")
STORES = {word: word.startswith(("write", "copy")) for word in WORDS}
#: Access that a handle lets its views have: a copy needs to read only, others what they do.
ALLOWS = {
    "read": {"read", "copy"},
    "write": {"read", "write", "copy"},
    "copy": {"read", "copy"},
    "execute": {"read", "copy", "execute", "copy+execute"},
    "write+execute": set(WORDS),
    "copy+execute": {"read", "copy", "execute", "copy+execute"},
}
PAIRS = list(itertools.product(WORDS, WORDS))


@pytest.fixture(params=["memory", "file"])
def kind_of_mapping(request: pytest.FixtureRequest) -> str:
    """The memory or file behind the mapping."""
    kind: str = request.param
    return kind


@pytest.fixture
def mapped(kind_of_mapping: str, tmp_path: Path, keep: Keep) -> Callable[[str], FileMapping]:
    """Makes a mapping with an access, under NAME if it can be executed by whoever opens it."""

    def make(access: str) -> FileMapping:
        if kind_of_mapping == "memory":
            made: FileMapping = keep(namedmap.create(NAME, SIZE, access))
            return made
        path = tmp_path / "file"
        path.write_bytes(bytes(SIZE))
        made = keep(namedmap.map_file(path, access=access, name=NAME))
        return made

    return make


class TestWords:
    @pytest.mark.parametrize("word", WORDS)
    def test_they_come_back(self, word: str, mapped: Any) -> None:
        """A mapping says its access, its views have the same, and say so."""
        mapping = mapped(word)
        with mapping.view() as view:
            assert (mapping.access, view.access) == (word, word)

    @pytest.mark.parametrize("word", WORDS)
    def test_stores(self, word: str, mapped: Any) -> None:
        """A program that may only read gets ReadOnlyError, a PermissionError and TypeError, for every way to store."""
        with mapped(word).view() as view:
            assert view.buf.readonly != STORES[word]
            if STORES[word]:
                view[0], view[1:3] = 1, b"23"
                view.write(3, b"4")
                assert view[:4] == b"\x01234"
                return
            with pytest.raises(namedmap.ReadOnlyError) as caught:
                view[0] = 1
            assert isinstance(caught.value, PermissionError)
            assert isinstance(caught.value, TypeError)
            with pytest.raises(namedmap.ReadOnlyError):
                view.write(0, b"1")
            with pytest.raises(namedmap.ReadOnlyError):
                view.pack("B", 0, 1)
            assert not any(view.buf)

    @pytest.mark.parametrize(("have", "want"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
    def test_views_have_the_same_or_less(self, have: str, want: str, mapped: Any) -> None:
        """AccessDeniedError for more."""
        mapping = mapped(have)
        if want in ALLOWS[have]:
            with mapping.view(access=want) as view:
                assert (view.access, view[0]) == (want, 0)
        else:
            with pytest.raises(namedmap.AccessDeniedError):
                mapping.view(access=want)

    @pytest.mark.parametrize("word", ["read+copy", "READ+COPY", "copy + read", "Copy"])
    def test_reading_goes_along(self, word: str, mapped: Any) -> None:
        """Order, case and the word "read" beside another make no difference."""
        with mapped("write").view(access=word) as view:
            assert view.access == "copy"

    @pytest.mark.parametrize("word", ["", "rw", "write+copy", "read,write", "all", "+", None.__class__.__name__])
    def test_other_words(self, word: str, mapped: Any) -> None:
        """They are refused, with the words that there are."""
        with pytest.raises(namedmap.BadValueError, match="no access"):
            mapped(word)

    @pytest.mark.parametrize("word", [5, b"read", 1.5, ("read",)])
    def test_other_things(self, word: Any, mapped: Any) -> None:
        """A value that is no text is refused as well."""
        with pytest.raises((TypeError, namedmap.BadValueError)):
            mapped(word)


class TestOpening:
    @pytest.mark.parametrize("word", WORDS)
    def test_memory_that_can_be_written(self, word: str, keep: Keep) -> None:
        """An opener asks for as much as it allows."""
        keep(namedmap.create(NAME, SIZE, "write+execute"))
        with namedmap.open(NAME, word) as found, found.view() as view:
            assert (found.access, view.access) == (word, word)

    def test_a_reader_keeps_the_writers(self, keep: Keep) -> None:
        """The access is the handle's: others have their own, to the same memory."""
        writer = keep(namedmap.create(NAME, SIZE)).view()
        reader = keep(namedmap.open(NAME, "read")).view()
        writer[5] = 7
        assert reader[5] == 7
        with pytest.raises(namedmap.ReadOnlyError):
            reader[5] = 8

    def test_in_a_second_process(self, second: Second, keep: Keep) -> None:
        """It is kept from storing as well."""
        keep(namedmap.create(NAME, SIZE))
        child = second()
        child.run(f"held = namedmap.open({NAME!r}, 'read'); view = held.view()")
        assert child.value("raised(view.write, 0, b'x')") == "ReadOnlyError"
        assert child.value("raised(held.view, 0, 1, 'write')") == "AccessDeniedError"
        child.run("view.close(), held.close()")


class TestCopies:
    def test_are_nobody_elses(self, mapped: Any, second: Second) -> None:
        """Bytes that are written to a copy stay in it; what others write shows until it is written to."""
        mapping = mapped("write")
        shared, copy, other = mapping.view(), mapping.view(access="copy"), mapping.view(access="copy")
        shared[0] = 1
        copy[1] = 2
        assert (shared[:2], copy[:2], other[:2]) == (b"\1\0", b"\1\2", b"\1\0")
        child = second()
        child.run(f"held = namedmap.open({NAME!r}, 'read'); found = held.view()[:2]; held.close()")
        assert child.value("found") == b"\1\0"

    def test_never_reach_the_file(self, tmp_path: Path) -> None:
        """Which may be read-only to its user."""
        (tmp_path / "file").write_bytes(b"0123456789")
        (tmp_path / "file").chmod(0o400)
        with namedmap.map_file(tmp_path / "file", access="copy") as mapping, mapping.view() as view:
            view[:5] = b"abcde"
            view.flush()
            assert view[:] == b"abcde56789"
        assert (tmp_path / "file").read_bytes() == b"0123456789"


class TestFiles:
    @pytest.mark.parametrize("word", ["read", "copy", "execute"])
    def test_what_only_reads_makes_no_file_longer(self, word: str, tmp_path: Path) -> None:
        """AccessDeniedError, which says what would."""
        (tmp_path / "file").write_bytes(b"0123456789")
        with pytest.raises(namedmap.AccessDeniedError, match="write"):
            namedmap.map_file(tmp_path / "file", 20, word)
        with namedmap.map_file(tmp_path / "file", access=word) as mapping, pytest.raises(namedmap.AccessDeniedError):
            mapping.extend(20)
        assert (tmp_path / "file").stat().st_size == 10
