"""Views and mappings as memory: bytes, ranges, shapes, pages; files; blocks."""

import ctypes
import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

import namedmap
from classes.capabilities import Capability, needs
from classes.conftest import Keep, Second
from namedmap import FileMapping, View

NAME = "classes.views"
SIZE = 200_000
PATTERN = bytes(range(256)) * 782


@pytest.fixture(params=["memory", "file", "reserved"])
def mapping(request: pytest.FixtureRequest, tmp_path: Path, keep: Keep) -> FileMapping:
    """200,000 bytes that can be written, wherever they are: views of files and reserved memory copy with care."""
    if request.param == "file":
        (tmp_path / "file").write_bytes(bytes(SIZE))
        found: FileMapping = keep(namedmap.map_file(tmp_path / "file", access="write"))
    else:
        found = keep(namedmap.create(NAME, SIZE, reserve=request.param == "reserved"))
        if request.param == "reserved":
            found.view().commit()
    return found


@pytest.fixture
def view(mapping: FileMapping, keep: Keep) -> View:
    """All of it, with a pattern."""
    found: View = keep(mapping.view())
    if mapping.may_vanish and mapping.path is None:
        found.commit()  # again: Wine protects no pages that were committed through another view
    found[:] = PATTERN[:SIZE]
    return found


class TestRanges:
    @pytest.mark.parametrize("offset", [0, 1, 4096, 65535, 65536, 65537, 199_999])
    @pytest.mark.parametrize("size", [1, 255, None])
    def test_any_offset(self, offset: int, size: int | None, mapping: FileMapping, view: View) -> None:
        """A view begins at any byte; None is the rest."""
        size = min(SIZE - offset, SIZE if size is None else size)
        with mapping.view(offset, size) as part:
            assert (part.offset, part.size, len(part), part.mapping) == (offset, size, size, mapping)
            assert part[:] == PATTERN[offset : offset + size]

    @pytest.mark.parametrize(("offset", "size"), [(0, SIZE + 1), (SIZE, None), (SIZE, 1), (-1, 1), (5, 0), (5, -1)])
    def test_what_is_not_there(self, offset: int, size: int | None, mapping: FileMapping) -> None:
        """BadValueError beyond the ends, and for nothing."""
        with pytest.raises(namedmap.BadValueError, match="to view"):
            mapping.view(offset, size)

    @pytest.mark.parametrize(("offset", "size"), [("0", 1), (1.0, 1), (0, "1"), (None, 1), (0, b"")])
    def test_what_is_no_number(self, offset: Any, size: Any, mapping: FileMapping) -> None:
        with pytest.raises(TypeError):
            mapping.view(offset, size)

    def test_windows(self, mapping: FileMapping, view: View) -> None:
        """One after the other, overlapping by so many bytes, the last one shorter; each is closed with the next."""
        found = [(each.offset, each.size, each) for each in mapping.windows(90_000, 1000)]
        assert [each[:2] for each in found] == [(0, 90_000), (89_000, 90_000), (178_000, 22_000)]
        assert all(each.closed for _, _, each in found)
        for size, overlap in ((0, 0), (10, 10), (10, -1), (-5, 0)):
            with pytest.raises(namedmap.BadValueError, match="overlap"):
                next(mapping.windows(size, overlap))


class TestBytes:
    @pytest.mark.parametrize(
        "key", [slice(None), slice(5, 10), slice(-5, None), slice(10, 5), slice(0, 100, 7), slice(50, 0, -3)]
    )
    def test_slices(self, key: slice, view: View) -> None:
        """As of a bytearray of the same size, which does not change."""
        model = bytearray(PATTERN[:SIZE])
        assert view[key] == bytes(model[key])
        data = bytes(len(model[key]))
        view[key] = data
        model[key] = data
        assert view[:] == bytes(model)
        with pytest.raises(ValueError):  # noqa: PT011
            view[key] = bytes(len(model[key]) + 1)

    def test_items(self, view: View) -> None:
        """Numbers, from both ends; IndexError beyond."""
        view[0], view[-1] = 7, 9
        assert (view[0], view[-1], view[SIZE - 1]) == (7, 9, 9)
        for index in (SIZE, -SIZE - 1, 1 << 70):
            with pytest.raises(IndexError):
                assert view[index]
        for value in (256, -1):
            with pytest.raises(ValueError):  # noqa: PT011
                view[0] = value

    def test_read_and_write(self, view: View) -> None:
        assert view.write(10, b"abc") == 3
        assert (view.read(10, 3), len(view.read()), view.read(SIZE, 0)) == (b"abc", SIZE, b"")
        for offset, size in ((SIZE, 1), (-1, 1), (0, SIZE + 1), (0, -1)):
            with pytest.raises(namedmap.BadValueError):
                view.read(offset, size)
        with pytest.raises(namedmap.BadValueError):
            view.write(SIZE - 1, b"ab")

    @pytest.mark.parametrize("data", [b"ab", bytearray(b"ab"), memoryview(b"ab"), (ctypes.c_char * 2)(b"a", b"b")])
    def test_any_bytes(self, data: Any, view: View) -> None:
        """Every object with a buffer can be stored, and looked for."""
        assert view.write(1000, data) == 2
        view[2000:2002] = data
        assert view[2000:2002] == b"ab"
        assert view.find(data, 1000) == 1000

    def test_search(self, view: View) -> None:
        """First and last place, `in`, iteration, equality."""
        assert (view.find(b"\x05\x06"), view.find(b"\x05\x06", 6), view.find(b"none")) == (5, 261, -1)
        assert (view.rfind(b"\x05\x06"), view.rfind(b"none")) == (PATTERN[:SIZE].rfind(b"\x05\x06"), -1)
        assert 5 in view
        assert b"\x05\x06" in view
        assert b"none" not in view
        assert bytes(iter(view)) == PATTERN[:SIZE]
        assert view == PATTERN[:SIZE]
        assert view != PATTERN[: SIZE - 1]

    def test_a_memoryview(self, view: View) -> None:
        """The memory itself, which outlives the view."""
        memory = view.buf
        view.close()
        memory[0] = 99
        assert (memory[0], len(memory)) == (99, SIZE)

    def test_closed(self, view: View) -> None:
        """Everything raises ValueError, closing twice does nothing."""
        view.close()
        view.close()
        assert view.closed
        uses: list[Any] = [
            lambda: view[0], lambda: view[:], lambda: view.read(), lambda: view.buf, lambda: view.address,
            lambda: view.write(0, b"x"), lambda: view.flush(), lambda: view.find(b"x"), lambda: view.stream(),
            lambda: view.overlay(ctypes.c_int), lambda: view.unpack("B"), lambda: pickle.dumps(view),
        ]  # fmt: skip
        for use in uses:
            with pytest.raises(ValueError, match="closed"):
                use()


class TestShapes:
    def test_struct(self, view: View) -> None:
        """Values in the formats of struct, within the view."""
        view.pack("<IH", 100, 7, 8)
        assert view.unpack("<IH", 100) == (7, 8)
        with pytest.raises(namedmap.BadValueError):
            view.unpack("<Q", SIZE - 1)
        with pytest.raises(struct.error):
            view.unpack("no format")

    def test_overlay(self, view: View) -> None:
        """A ctypes structure on the memory."""
        pair = view.overlay(ctypes.c_uint32 * 2, 8)
        pair[0] = 0x01020304
        assert view[8:12] == struct.pack("@I", 0x01020304)
        with pytest.raises(namedmap.BadValueError):
            view.overlay(ctypes.c_uint32, SIZE - 3)
        with pytest.raises(TypeError, match="Python objects"):
            view.overlay(ctypes.py_object)

    def test_an_overlay_of_a_read_only_view(self, mapping: FileMapping, view: View, keep: Keep) -> None:
        """Values that are stored into it stay in it."""
        number = keep(mapping.view(access="read")).overlay(ctypes.c_uint32, 5)
        before = number.value
        number.value += 1
        assert view.unpack("=I", 5) == (before,)

    def test_array(self, mapping: FileMapping, view: View, keep: Keep) -> None:
        """A NumPy array on the memory."""
        numpy = pytest.importorskip("numpy")
        array = view.array("<u2", (10, 10), 100)
        array[:] = 7
        assert view.unpack("<2H", 100) == (7, 7)
        assert len(view.array(numpy.float64, offset=4)) == (SIZE - 4) // 8
        assert not keep(mapping.view(access="read")).array().flags.writeable
        with pytest.raises(namedmap.BadValueError):
            view.array("u1", SIZE + 1)
        with pytest.raises(TypeError, match="Python objects"):
            view.array(object)

    def test_stream(self, view: View) -> None:
        """A binary file, which ends where the view ends."""
        with io.BufferedRandom(view.stream()) as file:
            file.write(b"head")
            file.seek(-4, os.SEEK_END)
            assert file.write(b"tail") == 4
            file.flush()
            assert (file.tell(), file.read()) == (SIZE, b"")
        assert (view[:4], view[-4:]) == (b"head", b"tail")

    def test_pickled(self, mapping: FileMapping, view: View, second: Second) -> None:
        """A view of a named mapping goes to another process, which sees the same memory."""
        if mapping.name is None:
            return
        child = second()
        child.run(f"import pickle; held = pickle.loads({pickle.dumps(mapping.view(1000, 10))!r})")
        assert child.value("held[:]") == PATTERN[1000:1010]
        child.run("held[0] = 200; held.close(); held.mapping.close()")
        assert view[1000] == 200


class TestPages:
    def test_flush(self, view: View) -> None:
        """Any range, also nothing; to the disk if asked."""
        view.flush()
        view.flush(5, 10)
        view.flush(SIZE, 0)
        view.flush(durable=True)
        with pytest.raises(namedmap.BadValueError):
            view.flush(SIZE, 1)

    @needs(Capability.ADVICE)
    @pytest.mark.parametrize("advice", ["normal", "random", "sequential", "willneed", "dontneed"])
    def test_advice(self, advice: str, view: View) -> None:
        """It changes no byte."""
        view.advise(advice)
        view.advise(advice, 5000, 10)
        assert view[:] == PATTERN[:SIZE]

    def test_prefetch(self, view: View) -> None:
        """It is advice; other words are refused."""
        view.prefetch()
        with pytest.raises(namedmap.BadValueError, match="no advice"):
            view.advise("nonsense")

    def test_lock(self, view: View) -> None:
        """Pages are locked and unlocked."""
        view.lock(0, 4096)
        view.unlock(0, 4096)

    @needs(Capability.RESIDENCY)
    def test_residency(self, view: View) -> None:
        """A byte for each page."""
        found = view.residency()
        assert set(found) <= {0, 1}
        assert len(view.residency(0, 1)) == 1
        assert view.residency(SIZE, 0) == b""

    def test_protect(self, view: View) -> None:
        """The methods raise PageError, from then on; `protect` gives it back."""
        view.protect("read", 0, 65536)
        with pytest.raises(namedmap.PageError):
            view.write(0, b"x")
        assert view.read(0, 3) == PATTERN[:3]
        view.protect("write", 0, 65536)
        view.write(0, b"x")

    def test_reserved_pages(self, keep: Keep) -> None:
        """They are not there until they are committed; for others too then."""
        mapping = keep(namedmap.create(NAME, 1 << 20, reserve=True))
        view, other = keep(mapping.view()), keep(mapping.view())
        view.commit(0, 4096)
        view.write(0, b"abc")
        assert other.read(0, 3) == b"abc"


class TestFiles:
    def test_made(self, tmp_path: Path, keep: Keep) -> None:
        """With a size, if there is none; `created` tells of the file."""
        path = tmp_path / "new"
        with pytest.raises(namedmap.NotFoundError):
            namedmap.map_file(path)
        with namedmap.map_file(path, 5000, "write", create=True) as mapping:
            assert (mapping.created, mapping.size, mapping.path) == (True, 5000, str(path))
        with namedmap.map_file(path, create=True) as mapping:
            assert (mapping.created, mapping.size) == (False, 5000)

    @pytest.mark.parametrize("kind", [str, os.fsencode, Path], ids=["str", "bytes", "Path"])
    def test_paths(self, kind: Any, tmp_path: Path) -> None:
        """A path is text, bytes or a Path."""
        (tmp_path / "ünï").write_bytes(b"content")
        with namedmap.map_file(kind(str(tmp_path / "ünï"))) as mapping:
            assert mapping.view()[:] == b"content"

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        """A directory, a place behind a file, an empty file: each its own error."""
        (tmp_path / "empty").touch()
        with pytest.raises(IsADirectoryError):
            namedmap.map_file(tmp_path)
        with pytest.raises(NotADirectoryError):
            namedmap.map_file(tmp_path / "empty" / "x")
        with pytest.raises(namedmap.BadValueError):
            namedmap.map_file(tmp_path / "empty")
        with pytest.raises(FileNotFoundError):
            namedmap.map_file(tmp_path / "missing" / "x", 10, "write", create=True)

    @pytest.mark.parametrize("sparse", [False, pytest.param(True, marks=needs(Capability.SPARSE))])
    def test_grow(self, sparse: bool, tmp_path: Path) -> None:
        """To the size that is asked for, with zeros."""
        path = tmp_path / "file"
        path.write_bytes(b"content")
        with namedmap.map_file(path, 5000, "write", sparse=sparse) as mapping, mapping.view() as view:
            assert (mapping.size, view[:8], path.stat().st_size) == (5000, b"content\0", 5000)
            view[4999] = 1
        assert path.read_bytes()[-1] == 1

    @needs(Capability.EXTENSION)
    def test_extend(self, tmp_path: Path) -> None:
        """A mapping grows later, and its file; views keep their size."""
        path = tmp_path / "file"
        path.write_bytes(bytes(5000))
        with namedmap.map_file(path, access="write") as mapping, mapping.view() as view:
            assert mapping.extend(10_000) == 10_000
            assert (mapping.size, len(view), path.stat().st_size) == (10_000, 5000, 10_000)
            mapping.view(9_999)[0] = 1
        assert path.read_bytes()[-1] == 1

    def test_memory_keeps_its_size(self, keep: Keep) -> None:
        with pytest.raises(namedmap.Error, match=NAME):
            keep(namedmap.create(NAME, 100)).extend(1 << 20)

    def test_what_is_stored_is_in_the_file(self, tmp_path: Path, second: Second) -> None:
        """And with others who have it mapped."""
        path = tmp_path / "file"
        path.write_bytes(bytes(10_000))
        child = second()
        child.run(f"held = namedmap.map_file({str(path)!r}); view = held.view()")
        with namedmap.map_file(path, access="write") as mapping, mapping.view() as view:
            view[5000:5003] = b"abc"
            assert child.value("view[5000:5003]") == b"abc"
        assert path.read_bytes()[5000:5003] == b"abc"
        child.run("view.close(), held.close()")

    @needs(Capability.CUT_FILES)
    def test_a_file_that_is_cut_off(self, tmp_path: Path) -> None:
        """The methods of a view raise PageError for what is gone, and go on with what is there."""
        path = tmp_path / "file"
        path.write_bytes(PATTERN[:20_000])
        with namedmap.map_file(path, access="write") as mapping, mapping.view() as view:
            os.truncate(path, 4096)
            assert view.read(0, 100) == PATTERN[:100]
            for use in (lambda: view.read(), lambda: view[19_999], lambda: view.write(10_000, b"x")):
                with pytest.raises(namedmap.PageError):
                    use()

    @needs(Capability.DEVICES)
    def test_a_device(self) -> None:
        """It has no size, so one is asked for."""
        with namedmap.map_file("/dev/zero", 4096) as mapping:
            assert mapping.view()[:] == bytes(4096)


class TestSizes:
    @pytest.mark.parametrize("size", [0, -1, -(2**70)])
    def test_that_cannot_be(self, size: int) -> None:
        for make in (namedmap.create, namedmap.open_or_create):
            with pytest.raises(namedmap.BadValueError):
                make(NAME, size)

    @pytest.mark.parametrize("size", ["1", 1.0, None, b"1"])
    def test_of_another_type(self, size: Any) -> None:
        with pytest.raises(TypeError):
            namedmap.create(NAME, size)

    @pytest.mark.parametrize("size", [1 << 60, 1 << 64, 1 << 80])
    def test_more_than_there_is(self, size: int) -> None:
        """An error now, not a signal later; the name stays free."""
        with pytest.raises(namedmap.Error):
            namedmap.create(NAME, size)
        with pytest.raises(namedmap.NotFoundError):
            namedmap.open(NAME)


class TestBlocks:
    @pytest.mark.parametrize("value", [b"abc", bytearray(b"abc"), b"x" * (1 << 21)], ids=["small", "array", "large"])
    def test_bytes(self, value: Any, second: Second, keep: Keep) -> None:
        """Bytes that one process publishes another attaches, read-only unless it asks."""
        block = keep(namedmap.publish(NAME, value))
        assert (block.kind, block.created, block.name) == ("bytes", True, NAME)
        child = second()
        child.run(f"held = attach({NAME!r})")
        assert child.value("bytes(held.value[:3]), held.value.readonly, held.created") == (
            bytes(value[:3]),
            True,
            False,
        )
        block.value[0] = 65
        assert child.value("held.value[0]") == 65
        child.run("held.close()")

    def test_an_array(self, second: Second, keep: Keep) -> None:
        """An array is shared, with its shape and type."""
        numpy = pytest.importorskip("numpy")
        block = keep(namedmap.publish(NAME, numpy.arange(12.0).reshape(3, 4)))
        child = second()
        child.run(f"held = attach({NAME!r}, 'write'); held.value[2, 3] = -1")
        assert block.value[2, 3] == -1
        assert child.value("held.value.shape, str(held.value.dtype)") == ((3, 4), "float64")
        child.run("held.close()")

    def test_what_is_no_block(self, keep: Keep) -> None:
        """BlockError for another's memory, or half a block."""
        keep(namedmap.create(NAME, 4096))
        with pytest.raises(namedmap.BlockError, match="publish"):
            namedmap.attach(NAME)
