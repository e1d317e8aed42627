"""namedmap.files: windows, checksum, compare, dump and patch."""

import gc
import hashlib
import itertools
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import namedmap
from calls.bigfiles import Segments, build, segments, sparse
from namedmap import files
from namedmap.files import comparing

TIB = 1 << 40
quick = settings(max_examples=60)


class TestWindows:
    @given(
        parts=segments, size=st.integers(2000, 400_000), share=st.floats(0, 1, exclude_max=True), place=st.floats(0, 1)
    )
    @quick
    def test_they_cover_the_range(self, tmp_path: Path, parts: Segments, size: int, share: float, place: float) -> None:
        """One after the other, each beginning `overlap` bytes before the end of the last one, they are the file."""
        content = build(tmp_path / "a", parts)
        overlap, offset = int(min(size * share, size // 2)), int(len(content) * place)
        at = offset
        for window in files.windows(tmp_path / "a", size, overlap, offset=offset):
            assert (window.offset, window.size, window.buf.nbytes) == (at, len(window.buf), window.size)
            assert window.buf == content[at : at + size]
            assert window.buf.readonly
            at += window.size - overlap
        assert at + overlap == len(content) or offset == len(content)

    def test_an_empty_file_has_none(self, tmp_path: Path) -> None:
        """No window, and no error."""
        (tmp_path / "a").touch()
        assert list(files.windows(tmp_path / "a")) == []

    def test_memory_is_used_again_unless_somebody_keeps_it(self, tmp_path: Path) -> None:
        """A window is released when the next one is asked for; a slice of it keeps its bytes."""
        content = build(tmp_path / "a", [(400, False)])
        found = files.windows(tmp_path / "a", 100)
        first = next(found)
        kept = first.buf[:50]
        second = next(found)
        with pytest.raises(ValueError, match="released"):
            bytes(first.buf)
        third = next(found)
        assert (bytes(kept), bytes(third.buf)) == (content[:50], content[200:300])
        assert second.offset == 100

    def test_a_window_of_terabytes(self, tmp_path: Path) -> None:
        """The end of a file of 8 TiB, in windows, costs no more than the windows."""
        path = sparse(tmp_path / "a", 8 * TIB, (8 * TIB - 3, b"end"))
        last = next(files.windows(path, 1 << 20, offset=8 * TIB - 4096))
        assert bytes(last.buf[-4:]) == b"\0end"

    def test_refusals(self, tmp_path: Path) -> None:
        """Windows that do not move on, ranges that are not there, and files that are not there."""
        (tmp_path / "a").write_bytes(b"data")
        for size, overlap in ((0, 0), (4, 4), (4, -1)):
            with pytest.raises(namedmap.BadValueError):
                files.windows(tmp_path / "a", size, overlap)
        with pytest.raises(namedmap.BadValueError, match="beyond the end"):
            list(files.windows(tmp_path / "a", offset=5))
        with pytest.raises(namedmap.NotFoundError):
            list(files.windows(tmp_path / "b"))


class TestChecksum:
    @given(
        parts=segments, name=st.sampled_from(["sha256", "md5", "blake2b"]), low=st.floats(0, 1), high=st.floats(0, 1)
    )
    @quick
    def test_of_any_range(self, tmp_path: Path, parts: Segments, name: str, low: float, high: float) -> None:
        """The hash is hashlib's of the same bytes, holes included."""
        content = build(tmp_path / "a", parts)
        start, stop = sorted((int(low * len(content)), int(high * len(content))))
        found = files.checksum(tmp_path / "a", name, offset=start, size=stop - start)
        assert (found.algorithm, found.size) == (name, stop - start)
        assert found.digest == hashlib.new(name, content[start:stop]).hexdigest()

    def test_shape_and_progress(self, tmp_path: Path) -> None:
        """as_dict() is as documented; progress ends with everything."""
        content = build(tmp_path / "a", [(5 << 20, False)])
        told: list[tuple[int, int]] = []
        found = files.checksum(tmp_path / "a", "sha1", progress=lambda *numbers: told.append(numbers))
        assert found.as_dict() == {"algorithm": "sha1", "digest": hashlib.sha1(content).hexdigest(), "size": 5 << 20}
        assert told[-1] == (5 << 20, 5 << 20)
        assert told == sorted(told)

    def test_a_range_of_terabytes(self, tmp_path: Path) -> None:
        """Any range of a file of 8 TiB."""
        path = sparse(tmp_path / "a", 8 * TIB, (8 * TIB - 3, b"end"))
        digest = hashlib.sha256(bytes(2 << 20) + b"end").hexdigest()
        assert files.checksum(path, offset=8 * TIB - 3 - (2 << 20)).digest == digest

    def test_refusals(self, tmp_path: Path) -> None:
        """Ranges that the file has not, and hashes that are not there or have no length."""
        (tmp_path / "a").write_bytes(b"data")
        with pytest.raises(namedmap.BadValueError, match="4 bytes, not 5"):
            files.checksum(tmp_path / "a", size=5)
        for name in ("sha257", "shake_256", ""):
            with pytest.raises(namedmap.BadValueError, match="sha512"):
                files.checksum(tmp_path / "a", name)


def reference(one: bytes, other: bytes) -> list[tuple[int, int]]:
    """The ranges that differ, byte by byte."""
    pairs = enumerate(itertools.zip_longest(one, other))
    groups = itertools.groupby(pairs, lambda pair: pair[1][0] != pair[1][1])
    runs = [[at for at, _ in group] for differ, group in groups if differ]
    return [(run[0], len(run)) for run in runs]


class TestCompare:
    @given(
        parts=segments,
        changes=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 40_000)), max_size=5),
        length=st.floats(0, 1.2),
        small=st.booleans(),
    )
    @settings(quick, max_examples=30)
    def test_ranges(
        self, tmp_path: Path, parts: Segments, changes: list[tuple[float, int]], length: float, small: bool
    ) -> None:
        """Against a comparison byte by byte: the first byte, all ranges, and the rest of the longer one."""
        content = build(tmp_path / "a", [(min(size, 70_000), hole) for size, hole in parts])
        other = bytearray(content)
        for share, size in changes:
            at = int(share * len(content))
            other[at : at + size] = bytes(byte ^ (1 + at % 3) for byte in other[at : at + size])
        if length > 1:
            other += b"more"
        elif length < 0.5:
            del other[int(length * len(other)) :]
        (tmp_path / "b").write_bytes(other)
        with pytest.MonkeyPatch.context() as patch:
            if small:
                patch.setattr(comparing, "PIECE", 5000)
                patch.setattr(comparing, "_FINE", 64)
            found = files.compare(tmp_path / "a", tmp_path / "b")
            first = files.compare(tmp_path / "a", tmp_path / "b", first_only=True)
        wanted = reference(content, bytes(other))
        assert (found.equal, found.ranges, found.complete) == (not wanted, wanted, True)
        assert found.first == first.first == (wanted[0][0] if wanted else None)
        assert found.sizes == (len(content), len(other))
        assert list(files.differences(tmp_path / "a", tmp_path / "b")) == wanted

    def test_limit(self, tmp_path: Path) -> None:
        """No more ranges than asked for, and it is said that there are more."""
        (tmp_path / "a").write_bytes(b"ab" * 1000)
        (tmp_path / "b").write_bytes(b"ax" * 1000)
        found = files.compare(tmp_path / "a", tmp_path / "b", limit=3)
        assert (found.ranges, found.complete) == ([(1, 1), (3, 1), (5, 1)], False)
        assert files.compare(tmp_path / "a", tmp_path / "b", limit=1000).complete

    def test_terabytes_of_holes(self, tmp_path: Path) -> None:
        """Two files of 8 TiB that differ in three bytes; holes against data of zeros are equal."""
        one = sparse(tmp_path / "a", 8 * TIB, (3 * TIB, bytes(10_000)), (5 * TIB, b"x"))
        other = sparse(tmp_path / "b", 8 * TIB, (5 * TIB, b"y"), (8 * TIB - 2, b"zz"))
        assert files.compare(one, other).ranges == [(5 * TIB, 1), (8 * TIB - 2, 2)]

    def test_one_file_by_two_names(self, tmp_path: Path) -> None:
        """It is equal to itself, without reading."""
        sparse(tmp_path / "a", TIB, (0, b"x"))
        (tmp_path / "b").hardlink_to(tmp_path / "a")
        assert files.compare(tmp_path / "a", tmp_path / "b").equal

    def test_shape_in_json(self, tmp_path: Path) -> None:
        """as_dict() has the documented keys."""
        (tmp_path / "a").write_bytes(b"abc")
        (tmp_path / "b").write_bytes(b"axcd")
        assert json.loads(json.dumps(files.compare(tmp_path / "a", tmp_path / "b").as_dict())) == {
            "equal": False, "first": 1, "ranges": [{"offset": 1, "size": 1}, {"offset": 3, "size": 1}],
            "sizes": [3, 4], "complete": True,
        }  # fmt: skip


class TestDump:
    @given(
        content=st.binary(max_size=300),
        width=st.integers(1, 40),
        place=st.floats(0, 1),
        size=st.none() | st.integers(0, 99),
    )
    @quick
    def test_of_a_file(self, tmp_path: Path, content: bytes, width: int, place: float, size: int | None) -> None:
        """The lines are the bytes of the range, as many in each as its width says."""
        (tmp_path / "a").write_bytes(content)
        offset = int(place * len(content))
        wanted = content[offset:] if size is None else content[offset : offset + size]
        lines = list(files.dump(tmp_path / "a", offset=offset, size=size, width=width))
        assert b"".join(line.data for line in lines) == wanted
        assert [line.offset for line in lines] == list(range(offset, offset + len(wanted), width))
        assert all(bytes.fromhex(line.as_dict()["hex"]) == line.data for line in lines)

    def test_the_line(self, tmp_path: Path) -> None:
        """Offset, digits and text stand below each other, also in the last line."""
        (tmp_path / "a").write_bytes(b"Hello, world\n\0\xff~and so on")
        assert [str(line) for line in files.dump(tmp_path / "a")] == [
            "00000000  48 65 6c 6c 6f 2c 20 77 6f 72 6c 64 0a 00 ff 7e  |Hello, world...~|",
            "00000010  61 6e 64 20 73 6f 20 6f 6e                       |and so on|",
        ]
        (line,) = files.dump(tmp_path / "a", offset=5, size=2)
        assert line.as_dict() == {"offset": 5, "hex": "2c20", "text": ", "}

    def test_of_mappings_and_views(self) -> None:
        """A named object is shown by its mapping, or by a view of a part of it; offsets are those within."""
        with namedmap.create("dumped", 100_000) as mapping, mapping.view() as view:
            view[70_000:70_005] = b"hello"
            (line,) = files.dump(mapping, offset=70_000, size=5)
            assert (line.offset, line.data) == (70_000, b"hello")
            assert b"".join(line.data for line in files.dump(mapping)) == view[:]
            with mapping.view(70_001, 10, "read") as part:
                (line,) = files.dump(part)
                assert (line.offset, line.text) == (0, "ello......")
        gc.collect()

    def test_a_mapped_file_that_is_cut_off(self, tmp_path: Path) -> None:
        """A page that is gone is a PageError, and not the end of the process."""
        build(tmp_path / "a", [(300_000, False)])
        with namedmap.map_file(tmp_path / "a") as mapping, mapping.view() as view:
            os.truncate(tmp_path / "a", 0)
            with pytest.raises(namedmap.PageError):
                list(files.dump(view))

    def test_refusals(self, tmp_path: Path) -> None:
        """Lines without bytes, and offsets beyond the end."""
        (tmp_path / "a").write_bytes(b"data")
        with pytest.raises(namedmap.BadValueError):
            files.dump(tmp_path / "a", width=0)
        with pytest.raises(namedmap.BadValueError, match="beyond the end"):
            list(files.dump(tmp_path / "a", offset=5))
        with namedmap.create(None, 10) as mapping, pytest.raises(namedmap.BadValueError, match="of 10"):
            list(files.dump(mapping, offset=11))


class TestPatch:
    def test_what_was_there_can_be_put_back(self, tmp_path: Path) -> None:
        """A patch tells what was there, and undo() puts it back; the size stays, and the undoing can be undone."""
        path = tmp_path / "a"
        path.write_bytes(b"0123456789")
        done = files.patch(path, 3, b"abc")
        assert path.read_bytes() == b"012abc6789"
        assert (done.path, done.offset, done.before, done.after) == (str(path), 3, b"345", b"abc")
        undone = done.undo()
        assert path.read_bytes() == b"0123456789"
        undone.undo()
        assert path.read_bytes() == b"012abc6789"
        assert json.loads(json.dumps(done.as_dict())) == {
            "path": str(path), "offset": 3, "size": 3, "before": "333435", "after": "616263",
        }  # fmt: skip

    def test_it_can_be_undone_after_a_change_of_directory(self, directory: Path) -> None:
        """A relative path is kept as an absolute one."""
        Path("a").write_bytes(b"data")
        done = files.patch("a", 0, b"D")
        os.chdir("/")
        done.undo()
        assert (directory / "a").read_bytes() == b"data"

    def test_other_bytes_than_expected_stay(self, tmp_path: Path) -> None:
        """With `expect`, and in undo(), what is not as expected is not touched."""
        path = tmp_path / "a"
        path.write_bytes(b"0123456789")
        with pytest.raises(files.ChangedError, match="30 31 and not 78 79; nothing was changed"):
            files.patch(path, 0, b"ab", expect=b"xy")
        done = files.patch(path, 0, b"ab", expect=b"01")
        path.write_bytes(b"aB23456789")
        with pytest.raises(files.ChangedError):
            done.undo()
        assert path.read_bytes() == b"aB23456789"

    def test_refusals(self, tmp_path: Path) -> None:
        """A file does not grow by a patch; other lengths cannot be expected; a directory is no file."""
        path = tmp_path / "a"
        path.write_bytes(b"data")
        for offset, data, expect in ((3, b"ab", None), (-1, b"a", None), (5, b"", None), (0, b"a", b"da")):
            with pytest.raises(namedmap.BadValueError):
                files.patch(path, offset, data, expect=expect)
        with pytest.raises(namedmap.AccessDeniedError):
            files.patch(tmp_path, 0, b"a")
        assert path.read_bytes() == b"data"

    def test_terabytes(self, tmp_path: Path) -> None:
        """A place far out in a sparse file."""
        path = sparse(tmp_path / "a", 8 * TIB)
        assert files.patch(path, 6 * TIB, b"x").before == b"\0"
        assert [match.offset for match in files.search(path, b"x")] == [6 * TIB]
