"""Views against a bytearray that does the same; and streams against io.BytesIO."""

import array
import io
from collections.abc import Callable, Iterator
from functools import partial
from operator import getitem, setitem
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import namedmap
from namedmap import FileMapping, View

SIZE = 2000
#: Far in the file, so that the view does not begin at a multiple of the granularity.
OFFSET = 70_001


@pytest.fixture(params=["memory", "file", "copy"])
def view(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[View]:
    """A view of memory, of a file (which is copied with care), and one whose stores stay here."""
    mapping: FileMapping
    if request.param == "memory":
        mapping = namedmap.create(None, OFFSET + SIZE)
    else:
        path = tmp_path / "file"
        path.write_bytes(bytes(OFFSET + SIZE))
        mapping = namedmap.map_file(path, access="copy" if request.param == "copy" else "write")
    with mapping, mapping.view(OFFSET) as made:
        yield made
    if request.param == "copy":
        assert not any((tmp_path / "file").read_bytes()), "a copy never reaches the file"


_INDEX = st.one_of(st.none(), st.integers(-SIZE - 10, SIZE + 10), st.integers(-10, 10))
_STEP = st.one_of(st.none(), st.integers(-700, 700).filter(bool), st.sampled_from([1, 1, -1]))
_SLICE = st.builds(slice, _INDEX, _INDEX, _STEP)
_FORMS: list[Callable[[bytes], Any]] = [bytes, bytearray, memoryview, lambda data: array.array("b", data)]


def outcome(action: Callable[[], Any]) -> object:
    """The result of an action, or the kind of its error."""
    try:
        return action()
    except (IndexError, ValueError, TypeError) as error:
        return next(kind for kind in (IndexError, ValueError, TypeError) if isinstance(error, kind))


@settings(max_examples=30)
@given(st.data())
def test_as_a_bytearray(view: View, data: st.DataObject) -> None:
    """Every index and slice reads and stores what it does with a bytearray that keeps its size."""
    model = bytearray(view.read())
    for _ in range(8):
        where = data.draw(st.one_of(_SLICE, st.integers(-SIZE - 3, SIZE + 3)))
        if isinstance(where, slice):
            length = len(range(*where.indices(SIZE)))
            content = data.draw(st.binary(min_size=min(length, 40), max_size=min(length, 40)))
            content = (content * (length // max(len(content), 1) + 1))[:length]
            view[where] = data.draw(st.sampled_from(_FORMS))(content)
            model[where] = content
            assert view[where] == model[where] == content
        else:
            # One thing wrong at a time: which of two is told first is the type's own matter.
            value = data.draw(st.integers(-1, 256) if -SIZE <= where < SIZE else st.integers(0, 255))
            # A memoryview looks at the index first, a bytearray at the value.
            expected = outcome(partial(setitem, memoryview(model), where, value))
            assert outcome(partial(setitem, view, where, value)) == expected
            assert outcome(partial(getitem, view, where)) == outcome(partial(getitem, model, where))
    assert view == model
    assert bytes(view.buf) == model
    assert list(view) == list(model)


@settings(max_examples=30)
@given(st.binary(max_size=300), st.binary(max_size=3), _INDEX, _INDEX)
def test_searches(view: View, content: bytes, sought: bytes, start: int | None, end: int | None) -> None:
    """find and rfind give what those of bytes give."""
    view[:] = bytes(SIZE)
    view[1000 : 1000 + len(content)] = content
    model = bytes(view.buf)
    assert view.find(sought, start or 0, end) == model.find(sought, start or 0, end)
    assert view.rfind(sought, start or 0, end) == model.rfind(sought, start or 0, end)


@pytest.mark.parametrize("at", [0, (1 << 20) - 3, (1 << 20) - 1, 1 << 20, (3 << 20) - 5])
def test_searches_across_windows(at: int) -> None:
    """A match may lie across the borders of what is looked at at a time."""
    with namedmap.create(None, 3 << 20) as mapping, mapping.view() as view:
        view[at : at + 5] = b"match"
        assert view.find(b"match") == view.rfind(b"match") == at
        assert view.find(b"match", at + 1) == view.rfind(b"match", 0, at + 4) == -1
        assert view.find(b"match", at, at + 5) == at


@settings(max_examples=30)
@given(st.data())
def test_streams(view: View, data: st.DataObject) -> None:
    """A stream reads, writes and seeks as a file of this size."""
    view[:] = bytes(range(250)) * (SIZE // 250)
    stream, model = view.stream(), io.BytesIO(bytes(view.buf))
    for _ in range(12):
        match data.draw(st.sampled_from(["read", "write", "seek", "all"])):
            case "read":
                count = data.draw(st.integers(0, SIZE + 10))
                assert stream.read(count) == model.read(count)
            case "write":
                content = data.draw(st.binary(max_size=100))
                room = max(SIZE - model.tell(), 0)
                if content and not room:
                    with pytest.raises(OSError, match="cannot grow"):
                        stream.write(content)
                else:
                    assert stream.write(content) == model.write(content[:room])
            case "seek":
                whence = data.draw(st.integers(0, 2))
                offset = data.draw(st.integers(0, SIZE)) - (SIZE if whence == 2 else 0)
                assert stream.seek(offset, whence) == model.seek(offset, whence)
            case "all":
                assert stream.readall() == model.read()
        assert stream.tell() == model.tell()
    assert view == model.getvalue()


def test_streams_in_wrappers() -> None:
    """Buffered and text files work on top of a stream."""
    with namedmap.create(None, 1000) as mapping, mapping.view() as view:
        with io.TextIOWrapper(io.BufferedRandom(view.stream()), encoding="utf-8", newline="\n") as text:
            text.write("first\nsecond\n")
            text.seek(0)
            assert [text.readline(), text.readline()] == ["first\n", "second\n"]
        assert view[:13] == b"first\nsecond\n"
        with mapping.view(access="read") as own, pytest.raises(io.UnsupportedOperation):
            own.stream().write(b"x")
