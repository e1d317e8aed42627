"""Streams of views: a view as a binary file, alone and under the wrappers of the module io."""

import array
import csv
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import namedmap
from namedmap import View
from namedmap.errors import PageError

SIZE = 1000
PAGE = os.sysconf("SC_PAGESIZE")


@pytest.fixture(params=["memory", "file"])
def view(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[View]:
    """A view of memory, and one of a file that begins in the middle of a page."""
    if request.param == "memory":
        mapping = namedmap.create(None, SIZE)
    else:
        mapping = namedmap.map_file(tmp_path / "file", SIZE + 33, "write", create=True)
    with mapping, mapping.view(mapping.size - SIZE) as made:
        yield made


class TestRaw:
    """A full io.RawIOBase."""

    def test_what_it_is(self, view: View) -> None:
        """Readable, seekable, and writable if the view is; not a terminal, and without a descriptor."""
        stream = view.stream()
        assert isinstance(stream, io.RawIOBase)
        assert (stream.readable(), stream.writable(), stream.seekable(), stream.isatty()) == (True, True, True, False)
        assert (stream.tell(), stream.closed) == (0, False)
        with pytest.raises(io.UnsupportedOperation):
            stream.fileno()
        with view.mapping.view(access="read") as reader:
            assert not reader.stream().writable()

    def test_reading(self, view: View) -> None:
        """Bytes up to the end of the view, then nothing."""
        view[:] = bytes(range(250)) * 4
        stream = view.stream()
        assert stream.read(3) == bytes((0, 1, 2))
        target = bytearray(4)
        assert (stream.readinto(target), bytes(target)) == (4, bytes((3, 4, 5, 6)))
        words = array.array("H", [0, 0])
        assert stream.readinto(words) == 4
        assert words.tobytes() == bytes((7, 8, 9, 10))
        assert len(stream.read(5000)) == SIZE - 11
        assert stream.read(1) == stream.readall() == stream.read() == b""
        assert stream.readinto(target) == 0
        assert stream.tell() == SIZE

    def test_writing(self, view: View) -> None:
        """Bytes that fit are stored, and counted; at the end it is an error that says why."""
        stream = view.stream()
        assert stream.write(b"hello") == 5
        assert stream.write(array.array("H", [0x0101])) == 2
        assert stream.write(b"") == 0
        assert stream.seek(-3, os.SEEK_END) == SIZE - 3
        assert stream.write(b"abcde") == 3
        with pytest.raises(OSError, match=r"ends here.*1,000 bytes"):
            stream.write(b"d")
        assert stream.write(b"") == 0
        assert view[:8] == b"hello\1\1\0"
        assert view[-4:] == b"\0abc"
        stream.seek(0)
        stream.writelines([b"1", b"2"])
        assert view[:3] == b"12l"

    def test_seeking(self, view: View) -> None:
        """From the beginning, the place, the end; beyond the end is allowed, before the beginning is not."""
        stream = view.stream()
        assert (stream.seek(5), stream.seek(5, os.SEEK_CUR), stream.seek(-5, os.SEEK_END)) == (5, 10, SIZE - 5)
        assert stream.seek(5000) == stream.tell() == 5000
        assert stream.read(1) == b""
        with pytest.raises(OSError, match="ends here"):
            stream.write(b"x")
        for offset, whence in ((-1, 0), (-5001, 1), (-SIZE - 1, 2), (0, 7)):
            with pytest.raises(ValueError, match=r"no byte|whence"):
                stream.seek(offset, whence)
        untyped: Any = 1.5
        with pytest.raises(TypeError):
            stream.seek(untyped)
        assert stream.tell() == 5000

    def test_truncating(self, view: View) -> None:
        """A view keeps its size."""
        with pytest.raises((io.UnsupportedOperation, OSError)):
            view.stream().truncate(5)
        assert view.size == SIZE

    def test_read_only(self, view: View) -> None:
        """Writing to a reader's stream is what it is for a file opened for reading."""
        with view.mapping.view(access="read") as reader, pytest.raises(io.UnsupportedOperation, match="read-only"):
            reader.stream().write(b"x")

    def test_closing(self, view: View) -> None:
        """A closed stream refuses everything, and leaves the view as it is; so do two streams each other."""
        with view.stream() as stream:
            stream.write(b"abc")
            other = view.stream()
        assert stream.closed
        for action in (stream.read, stream.tell, stream.readable, lambda: stream.seek(0), lambda: stream.write(b"x")):
            with pytest.raises(ValueError, match="closed file"):
                action()
        stream.close()
        assert other.read(3) == view[:3] == b"abc"

    def test_text_cannot_be_written(self, view: View) -> None:
        """It is a binary file."""
        untyped: Any = "text"
        with pytest.raises(TypeError):
            view.stream().write(untyped)
        with pytest.raises(TypeError):
            view.stream().readinto(b"read-only")

    def test_a_file_that_is_cut_off(self, tmp_path: Path) -> None:
        """Is a PageError here too, and the place stays where it was."""
        path = tmp_path / "file"
        path.write_bytes(bytes(3 * PAGE))
        with namedmap.map_file(path, access="write") as mapping, mapping.view() as view:
            stream = view.stream()
            stream.seek(PAGE)
            os.truncate(path, PAGE)
            with pytest.raises(PageError, match="cut off"):
                stream.read(1)
            with pytest.raises(PageError, match="cut off"):
                stream.write(b"x")
            assert stream.tell() == PAGE


class TestWrappers:
    """The wrappers of the standard library for binary files work."""

    def test_buffered(self, view: View) -> None:
        """BufferedRandom: mixed reads, writes and seeks, and peeks."""
        model = io.BytesIO(bytes(SIZE))
        with io.BufferedRandom(view.stream(), buffer_size=64) as file:
            for at, content in ((0, b"hello"), (60, b"x" * 100), (SIZE - 5, b"world"), (3, b"!")):
                assert file.seek(at) == model.seek(at)
                assert file.write(content) == model.write(content)
                assert file.read(7) == model.read(7)
            assert file.seek(0) == model.seek(0)
            assert file.peek(1)[:1] == b"h"
            assert file.read() == model.read()
        assert view == model.getvalue()

    def test_buffered_beyond_the_end(self, view: View) -> None:
        """Data that does not fit is an error, at the latest when it is flushed."""
        file = io.BufferedWriter(view.stream())
        file.write(b"x" * (SIZE + 1))
        with pytest.raises(OSError, match="ends here"):
            file.flush()
        assert view == b"x" * SIZE
        # The close would try again what could not be written.
        with pytest.raises(OSError, match="ends here"):
            file.close()

    def test_reader_and_writer(self, view: View) -> None:
        """BufferedReader and BufferedWriter, with lines."""
        with io.BufferedWriter(view.stream()) as writer:
            writer.write(b"one\ntwo\nthree\n")
        with io.BufferedReader(view.stream()) as reader:
            assert [reader.readline() for _ in range(3)] == [b"one\n", b"two\n", b"three\n"]

    def test_text(self, view: View) -> None:
        """TextIOWrapper, in any encoding, and what takes text files."""
        with io.TextIOWrapper(io.BufferedRandom(view.stream()), encoding="utf-8", newline="") as text:
            csv.writer(text).writerows([["grün", "1"], ["€", "2"]])
            text.flush()
            text.seek(0)
            assert next(csv.reader(text)) == ["grün", "1"]
        assert view[:8] == "grün,1\r".encode()

    def test_archives(self, view: View) -> None:
        """A zip file is written into the memory and read from it."""
        with view.stream() as stream, io.BufferedRandom(stream) as file, zipfile.ZipFile(file, "w") as archive:
            archive.writestr("name", b"content")
        used = view.rfind(b"PK\5\6") + 22
        with view.mapping.view(view.offset, used, "read") as whole, io.BufferedReader(whole.stream()) as packed:
            assert zipfile.ZipFile(packed).read("name") == b"content"

    def test_copying(self, view: View) -> None:
        """shutil.copyfileobj reads it to its end."""
        view[:] = os.urandom(SIZE)
        target = io.BytesIO()
        shutil.copyfileobj(view.stream(), target, 64)
        assert view == target.getvalue()
