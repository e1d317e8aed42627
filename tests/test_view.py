"""Views in detail: what may be stored, shapes and their edges, pages, and what outlives what."""

import array
import ctypes
import gc
import os
import struct
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import namedmap
from child import Spawn
from child.users import needs_root, unshared
from namedmap import FileMapping, View
from namedmap.errors import AccessDeniedError, BadValueError, PageError

NAME = "view"
SIZE = 1000
PAGE = os.sysconf("SC_PAGESIZE")
MIB = 1 << 20


def run(text: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """A program of its own, where every warning is an error."""
    command = [sys.executable, "-X", "dev", "-W", "error", *options, "-c", textwrap.dedent(text)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def of_kind(kind: str, directory: Path, size: int) -> FileMapping:
    """A mapping of memory, whose views touch it, or of a file, whose views copy with care."""
    if kind == "memory":
        return namedmap.create(None, size)
    path = directory / "file"
    path.write_bytes(bytes(size))
    return namedmap.map_file(path, access="write")


@pytest.fixture(params=["memory", "file"])
def mapping(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileMapping]:
    """Of memory, and of a file."""
    with of_kind(request.param, tmp_path, SIZE) as made:
        yield made


@pytest.fixture
def view(mapping: FileMapping) -> Iterator[View]:
    with mapping.view() as made:
        yield made


class TestBytes:
    """Reading and storing, beyond what the model in test_view_model.py does."""

    def test_properties(self, mapping: FileMapping) -> None:
        """A view says what it is."""
        with mapping.view(100, 50, "read") as view:
            assert (view.offset, view.size, len(view), view.access) == (100, 50, 50, "read")
            assert view.mapping is mapping
            assert (view.closed, len(view.buf), view.buf.format, view.buf.ndim) == (False, 50, "B", 1)
            assert ctypes.string_at(view.address, 50) == bytes(50)
            assert repr(view) == f"<namedmap.View of {mapping!r}: 50 bytes at offset 100, read>"
        assert view.closed
        assert repr(view) == f"<namedmap.View of {mapping!r}: closed>"

    @pytest.mark.parametrize(
        "value",
        [
            b"0123456789",
            bytearray(b"0123456789"),
            memoryview(b"0123456789"),
            memoryview(b"0-1-2-3-4-5-6-7-8-9-")[::2],
            memoryview(b"9876543210")[::-1],
            array.array("B", b"0123456789"),
            array.array("h", b"0123456789"),
            ctypes.create_string_buffer(b"0123456789", 10),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_what_has_bytes_can_be_stored(self, view: View, value: Any) -> None:
        """By a slice and by `write`; of whatever format, in the order of its items."""
        view[5:15] = value
        assert view[4:16] == b"\0" + b"0123456789" + b"\0"
        assert view.write(500, value) == 10
        assert view.read(500, 10) == b"0123456789"
        view[900:910:1] = value
        view[-1:-11:-1] = value
        assert view[-10:] == b"9876543210"

    def test_numpy_values_can_be_stored(self, view: View) -> None:
        """Arrays of any dtype and shape, as the bytes that they have."""
        numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
        for value in (
            numpy.arange(12, dtype="i1"),
            numpy.arange(3, dtype="<i4"),
            numpy.arange(6, dtype="<u2").reshape(2, 3),
            numpy.asfortranarray(numpy.arange(12, dtype="u1").reshape(3, 4)),
            numpy.arange(24, dtype="u1")[::2],
        ):
            view[:12] = value
            assert view[:12] == value.tobytes()
        view[0] = numpy.uint8(7)
        assert view[numpy.int64(0)] == 7

    def test_views_can_be_stored(self, view: View, mapping: FileMapping) -> None:
        """Those of other mappings, and overlapping parts of the same memory."""
        content = os.urandom(SIZE)
        view[:] = content
        with namedmap.create(None, SIZE) as other, other.view() as copy:
            copy[:] = view
            assert copy == view
            assert copy == content
        with mapping.view(0, 500) as part:
            view[100:600] = part
        assert view[:600] == content[:100] + content[:500]
        view[10:510] = view.buf[:500]
        assert view[10:110] == content[:100]

    @pytest.mark.parametrize("value", ["a" * 10, 10, [1] * 10, None, 1.5])
    def test_what_has_no_bytes(self, view: View, value: Any) -> None:
        """Is a TypeError, and nothing is stored."""
        with pytest.raises(TypeError):
            view[:10] = value
        with pytest.raises(TypeError):
            view.write(0, value)
        assert view == bytes(SIZE)

    @pytest.mark.parametrize("where", [slice(0, 10), slice(0, 20, 2), slice(None, None, -100)])
    @pytest.mark.parametrize("length", [0, 9, 11, 1000])
    def test_a_slice_keeps_its_length(self, view: View, where: slice, length: int) -> None:
        """A view cannot grow or shrink: other lengths are a ValueError, and nothing is stored."""
        with pytest.raises(ValueError, match=r"slice|structures"):
            view[where] = b"x" * length
        assert view == bytes(SIZE)

    @pytest.mark.parametrize("key", [1.0, "0", (0, 1), None, ...])
    def test_other_keys(self, view: View, key: Any) -> None:
        """Only ints and slices are."""
        with pytest.raises(TypeError):
            view[key]
        with pytest.raises(TypeError):
            view[key] = 0

    @pytest.mark.parametrize(
        ("value", "kind"), [(256, ValueError), (-1, ValueError), (1.5, TypeError), ("a", TypeError)]
    )
    def test_bad_bytes(self, view: View, value: Any, kind: type[Exception]) -> None:
        """A byte is an int from 0 to 255."""
        with pytest.raises(kind):
            view[0] = value

    def test_nothing_can_be_deleted(self, view: View) -> None:
        """It is not a list."""
        untyped: Any = view
        with pytest.raises((TypeError, AttributeError)):
            del untyped[0]

    def test_equality(self, view: View, mapping: FileMapping) -> None:
        """With views and what has bytes; of the same length and content. Not hashable, as no bytearray is."""
        view[:5] = b"hello"
        content = b"hello" + bytes(SIZE - 5)
        with mapping.view() as again, mapping.view(0, 5) as part:
            assert view == view == again == content == bytearray(content) == memoryview(content)
            assert view != part
            assert part == b"hello"
            assert part != b"hellO"
            assert part != b"hell"
            assert (part == "hello", part == 5, part == [104]) == (False, False, False)
        with pytest.raises(TypeError, match="unhashable"):
            hash(view)

    def test_iteration(self, view: View) -> None:
        """As of bytes: ints, forwards and backwards, and `in`."""
        view[:3] = b"abc"
        assert list(view)[:4] == [97, 98, 99, 0]
        assert list(reversed(view))[-3:] == [99, 98, 97]
        assert 98 in view
        assert 100 not in view
        assert bytes(view) == view.read()

    def test_a_comparison_of_large_views(self, tmp_path: Path) -> None:
        """Differences beyond the first window are seen; so they are in iteration."""
        size = 2 * MIB + 17
        file, memory = of_kind("file", tmp_path, size), namedmap.create(None, size)
        with file, memory, file.view() as one, memory.view() as two:
            assert one == two
            two[-1] = 1
            assert one != two
            assert one != two.read()
            one[-1] = 1
            assert one == two.buf
            assert sum(one) == 1

    def test_reading_beyond(self, view: View) -> None:
        """Says how many bytes there are; slices end where the view does, as everywhere in Python."""
        for action in (
            lambda: view.read(0, SIZE + 1),
            lambda: view.read(SIZE + 1),
            lambda: view.read(-1),
            lambda: view.read(0, -1),
            lambda: view.write(SIZE - 1, b"xy"),
            lambda: view.write(-1, b"x"),
        ):
            with pytest.raises(BadValueError, match="1,000 bytes"):
                action()
        assert view.read(SIZE) == view[SIZE:] == b""
        assert view.write(SIZE, b"") == 0
        assert view[990:5000] == bytes(10)

    @pytest.mark.parametrize("kind", ["memory", "file"])
    @pytest.mark.parametrize("length", [1, 2, 1000, MIB, MIB + 1])
    def test_searches_at_borders(self, tmp_path: Path, kind: str, length: int) -> None:
        """Matches that begin or end at the border of a window, and such as are longer than one, are found."""
        with of_kind(kind, tmp_path, 3 * MIB + 5) as mapping, mapping.view() as view:
            wanted = b"\1" * length
            for at in {0, MIB - length + 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5 - length} - {-length, 1 - length}:
                if at < 0:
                    continue
                view.write(at, wanted)
                assert view.find(wanted) == view.rfind(wanted) == at
                assert view.find(wanted, at, at + length) == view.rfind(wanted, at, at + length) == at
                assert view.find(wanted, at + 1) == view.rfind(wanted, 0, at + length - 1) == -1
                view.write(at, bytes(length))

    def test_of_several_matches(self, tmp_path: Path) -> None:
        """The first and the last are found, in whatever windows they lie."""
        with of_kind("file", tmp_path, 4 * MIB) as mapping, mapping.view(7) as view:
            places = [5, 6, MIB - 1, MIB, 2 * MIB + 3, 4 * MIB - 9]
            for at in places:
                view.write(at, b"x")
            assert (view.find(b"x"), view.rfind(b"x")) == (places[0], places[-1])
            found, at = [], view.find(b"x")
            while at >= 0:
                found.append(at)
                at = view.find(b"x", at + 1)
            assert found == places
            assert view.rfind(b"x", 7, 4 * MIB - 9) == 2 * MIB + 3

    def test_the_buffer_protocol(self, mapping: FileMapping) -> None:
        """From Python 3.12 on a view is bytes-like itself; read-only if it is."""
        with mapping.view() as view, mapping.view(access="read") as reader:
            if sys.version_info >= (3, 12):
                direct: Any = memoryview
                assert direct(view).nbytes == SIZE
                direct(view)[0] = 5
                assert direct(reader)[0] == 5
                assert direct(reader).readonly
                assert b"".join([view]) == view.read()
            else:
                assert memoryview(view.buf).nbytes == SIZE
                assert reader.buf.readonly


class TestAccess:
    """A view allows what was asked for, and less than the mapping has may be asked for."""

    @pytest.mark.parametrize("word", ["read", "execute"])
    def test_reading_only(self, tmp_path: Path, word: str) -> None:
        """Nothing stores: not an index, not write, pack, a stream, a buffer, an array."""
        file = namedmap.map_file(tmp_path / "own", 100, "write+execute", create=True)
        with file, file.view(access=word) as view:
            actions: list[Callable[[], object]] = [
                lambda: view.__setitem__(0, 1),
                lambda: view.__setitem__(slice(0, 1), b"1"),
                lambda: view.__setitem__(slice(0, 2, 2), b"1"),
                lambda: view.write(0, b"1"),
                lambda: view.pack("i", 0, 1),
                lambda: view.stream().write(b"1"),
                lambda: view.buf.__setitem__(0, 1),
            ]
            for action in actions:
                with pytest.raises((PermissionError, TypeError, OSError)):
                    action()
            assert view.buf.readonly
            assert view == bytes(100)

    @pytest.mark.parametrize("word", ["copy", "copy+execute"])
    def test_a_copy_never_reaches_the_file(self, tmp_path: Path, word: str) -> None:
        """By whatever way it is written: the file, and other views, do not see it; flushing changes nothing."""
        path = tmp_path / "file"
        path.write_bytes(b"x" * 5 * PAGE)
        path.chmod(0o444)
        with namedmap.map_file(path, access=word) as mapping, mapping.view() as own, mapping.view() as other:
            own[0] = 1
            own[PAGE : PAGE + 10] = b"0123456789"
            own.write(2 * PAGE, b"a" * 10)
            own.pack("<q", 3 * PAGE, 7)
            own.stream().write(b"stream")
            own.overlay(ctypes.c_int * 1, 4 * PAGE)[0] = 9
            own.buf[-1] = 0
            own.flush()
            assert other == b"x" * 5 * PAGE
            assert own[:6] == b"stream"
            assert own[2 * PAGE : 2 * PAGE + 10] == b"a" * 10
        assert path.read_bytes() == b"x" * 5 * PAGE

    def test_less_than_the_mapping_has(self, mapping: FileMapping) -> None:
        """A writer gives readers and copies; a reader gives no writers, and a message says so."""
        for word in ("read", "write", "copy"):
            with mapping.view(access=word) as view:
                assert view.access == word
        with pytest.raises((AccessDeniedError, BadValueError)):
            mapping.view(access="execute")
        with namedmap.create(NAME, 100), namedmap.open(NAME, "read") as reader, reader.view() as view:
            with pytest.raises(AccessDeniedError):
                reader.view(access="write")
            with pytest.raises(AccessDeniedError, match='access="write"'):
                view.write(0, b"x")

    @pytest.mark.parametrize(
        ("offset", "size"), [(SIZE, None), (-1, None), (0, 0), (0, SIZE + 1), (999, 2), (2**70, 1)]
    )
    def test_ranges_that_are_not_there(self, mapping: FileMapping, offset: int, size: int | None) -> None:
        """Are refused by a message that names the mapping and what was asked."""
        with pytest.raises(BadValueError, match=r"FileMapping .*1,000 bytes.*offset"):
            mapping.view(offset, size)
        bad: Any = "1"
        with pytest.raises(TypeError):
            mapping.view(bad)


class TestShapes:
    """struct, ctypes and NumPy on the memory."""

    class Point(ctypes.Structure):
        _fields_ = (("x", ctypes.c_int16), ("y", ctypes.c_double))

    class Either(ctypes.Union):
        _fields_ = (("number", ctypes.c_uint32), ("bytes", ctypes.c_ubyte * 4))

    def test_values(self, view: View) -> None:
        """Every format of struct, at any offset; what struct refuses is refused."""
        view.pack(">bHl?4sd", 3, -1, 2, 3, True, b"abcd", 0.5)
        assert view.unpack(">bHl?4sd", 3) == (-1, 2, 3, True, b"abcd", 0.5)
        assert view.unpack("", 5) == ()
        with pytest.raises(struct.error):
            view.unpack("nonsense")
        with pytest.raises(struct.error):
            view.pack("b", 0, 1000)
        for offset in (-1, SIZE - 3):
            with pytest.raises(BadValueError):
                view.unpack("i", offset)
            with pytest.raises(BadValueError):
                view.pack("i", offset, 1)

    def test_overlays(self, view: View, mapping: FileMapping) -> None:
        """Structures, unions, arrays, simple types, at any offset; each sees what others store."""
        point, either = view.overlay(self.Point, 7), view.overlay(self.Either, SIZE - 4)
        numbers = view.overlay(ctypes.c_int * 10, 101)
        point.x, point.y = -3, 1.5
        either.number = 0x04030201
        numbers[9] = 77
        assert view[SIZE - 4 :] == bytes(either.bytes)
        assert struct.pack("<h", -3) == view.read(7, 2)
        assert view.unpack("i", 101 + 36) == (77,)
        with mapping.view(3) as shifted:
            assert shifted.overlay(self.Point, 4).y == 1.5
        for offset in (-1, SIZE - 3):
            with pytest.raises(BadValueError):
                view.overlay(ctypes.c_int * 1, offset)
        with pytest.raises(BadValueError):
            view.overlay(ctypes.c_char * (SIZE + 1))

    def test_read_only_overlays(self, mapping: FileMapping) -> None:
        """A store into the overlay of a reader never reaches the mapping; until then it follows it."""
        with mapping.view() as view, mapping.view(100, access="read") as reader:
            seen = reader.overlay(self.Point, 8)
            view.pack("h", 108, 5)
            assert seen.x == 5
            seen.x = 6
            assert (view.unpack("h", 108), reader.unpack("h", 8)) == ((5,), (5,))

    def test_arrays(self, view: View) -> None:
        """dtype, shape, offset and order are NumPy's; without a shape as many as fit."""
        numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
        assert view.array().shape == (SIZE,)
        assert view.array("<f8").shape == (125,)
        assert view.array("<f8", offset=1).shape == (124,)
        assert view.array("<i4", 5).shape == (5,)
        assert view.array("<i4", ()).shape == ()
        assert view.array("<i4", (0, 7)).shape == (0, 7)
        assert view.array("u1", offset=SIZE).shape == (0,)
        assert view.array("(2,3)<f4", 2).shape == (2, 2, 3)
        records = view.array([("id", "<u2"), ("value", "<f8")], 3, offset=5)
        records["value"] = 2.5
        assert view.unpack("<d", 5 + 2) == (2.5,)
        column = view.array("<i2", (3, 4), order="F")
        column[:] = numpy.arange(12).reshape(3, 4)
        assert column.flags.f_contiguous
        assert view.array("<i2", 12)[1] == 4

    def test_arrays_that_cannot_be(self, view: View) -> None:
        """Too large, negative, beyond the end, or of Python objects: refused, and nothing is mapped for it."""
        pytest.importorskip("numpy", reason="NumPy is not installed")
        for dtype, shape, offset in (
            ("u1", SIZE + 1, 0),
            ("u1", 1, SIZE),
            ("<f8", 125, 1),
            ("u1", (2**40, 2**40), 0),
            ("u1", -1, 0),
            ("u1", (-2, -3), 0),
            ("u1", None, -1),
            ("u1", None, SIZE + 1),
        ):
            with pytest.raises(ValueError, match=r"view of 1,000 bytes|negative"):
                view.array(dtype, shape, offset)
        objects: list[Any] = ["O", [("a", "u1"), ("b", "O")]]
        for dtype in objects:
            with pytest.raises(TypeError, match="Python objects"):
                view.array(dtype, 1)

    def test_arrays_of_readers_and_copies(self, mapping: FileMapping) -> None:
        """Are read-only, and private."""
        pytest.importorskip("numpy", reason="NumPy is not installed")
        with mapping.view() as view, mapping.view(access="read") as reader, mapping.view(access="copy") as copy:
            with pytest.raises(ValueError, match="read-only"):
                reader.array()[0] = 1
            copy.array()[0] = 1
            assert view[0] == 0


class TestLifetimes:
    """Memory stays mapped while anybody can see it, and nobody is asked."""

    def makers(self) -> dict[str, Callable[[View], Any]]:
        return {
            "buf": lambda view: view.buf,
            "slice": lambda view: view.buf[10:20],
            "cast": lambda view: view.buf.cast("i"),
            "overlay": lambda view: view.overlay(ctypes.c_int * 10),
            "field": lambda view: (ctypes.c_int * 2).from_buffer(view.overlay(ctypes.c_int * 10)),
            "view": lambda view: view,
        }

    @pytest.mark.parametrize("maker", ["buf", "slice", "cast", "overlay", "field", "view"])
    def test_what_outlives(self, tmp_path: Path, maker: str) -> None:
        """View and mapping closed and dropped: what was made from the view can be used, and then memory is free."""
        for kind in ("memory", "file"):
            mapping = of_kind(kind, tmp_path, SIZE)
            view = mapping.view()
            made: Any = self.makers()[maker](view)
            address = view.address
            if maker != "view":
                view.close()
            mapping.close()
            del mapping, view
            gc.collect()
            made[1] = 3
            assert made[1] == 3
            assert _is_mapped(address)
            del made
            gc.collect()
            assert not _is_mapped(address)

    def test_arrays_outlive(self, mapping: FileMapping) -> None:
        """Arrays, their slices, and what NumPy makes from buffers."""
        numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
        view = mapping.view()
        address = view.address
        made = [view.array(), view.array("<i4", 5)[2:], numpy.frombuffer(view.buf, "u1"), numpy.asarray(view.buf)]
        view.close()
        mapping.close()
        del view
        gc.collect()
        while made:
            made.pop()[0] = 9
            gc.collect()
            assert _is_mapped(address) == bool(made)

    def test_closing_while_others_use_it(self, mapping: FileMapping) -> None:
        """Threads that use buffers do not mind that views are closed."""
        failed = []
        stop = threading.Event()
        views = [mapping.view() for _ in range(20)]

        def use(buffer: memoryview) -> None:
            while not stop.is_set():
                buffer[5] = 1
                if buffer[5] != 1:
                    failed.append(buffer)

        threads = [threading.Thread(target=use, args=(views[at].buf,)) for at in range(2)]
        for thread in threads:
            thread.start()
        for view in views:
            view.close()
        del views, view
        gc.collect()
        stop.set()
        for thread in threads:
            thread.join()
        assert not failed

    @pytest.mark.parametrize(
        "end",
        [
            "mapping.close(); view.close()",
            "view.close(); mapping.close()",
            "mapping.close(); del view, mapping",
            "mapping.close(); sys.exit()",
            "mapping.close(); cycle = [view, made]; cycle.append(cycle)",
            "mapping.close(); builtins.kept = made; del made",
            "mapping.close(); atexit.register(lambda: made[0].__setitem__(0, 5))",
            "mapping.close(); threading.Thread(target=lambda: (time.sleep(0.05), made[0][0])).start()",
            "atexit.register(mapping.close)",
        ],
    )
    def test_the_end_of_the_interpreter(self, end: str) -> None:
        """Is clean in any order, without a word."""
        done = run(f"""
            import atexit, builtins, ctypes, sys, threading, time, namedmap
            mapping = namedmap.create({NAME!r}, 1000)
            view = mapping.view()
            made = [view.buf, view.buf[5:], view.overlay(ctypes.c_int), view.stream(), view]
            try:
                import numpy
            except ImportError:
                pass
            else:
                made += [view.array(), view.array("f8")[3:]]
            {end}
            """)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_windows_are_let_go(self, mapping: FileMapping) -> None:
        """Breaking off an iteration closes the window."""
        windows = mapping.windows(300, 100)
        first = next(windows)
        assert (first.offset, first.size) == (0, 300)
        second = next(windows)
        assert (first.closed, second.closed, second.offset) == (True, False, 200)
        del windows
        gc.collect()
        assert second.closed


def _is_mapped(address: int) -> bool:
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        low, _, high = line.split()[0].partition("-")
        if int(low, 16) <= address < int(high, 16):
            # Reserved address space of the library is not a mapping of anything.
            return line.split()[1] != "---p"
    return False


class TestPages:
    """Flushing, advice, locks, protection, residency, commitment."""

    @pytest.mark.parametrize("method", ["flush", "prefetch", "lock", "unlock", "residency"])
    def test_ranges(self, view: View, method: str) -> None:
        """Any range within the view is taken, aligned or not; none beyond it is."""
        action = getattr(view, method)
        for arguments in ((), (0,), (1,), (3, 5), (0, SIZE), (SIZE - 1, 1)):
            if method == "unlock":
                view.lock(*arguments)
            action(*arguments)
        for arguments in ((0, SIZE + 1), (-1,), (SIZE + 1,), (500, 501), (0, -1)):
            with pytest.raises(BadValueError, match="1,000 bytes"):
                action(*arguments)

    def test_flushing(self, tmp_path: Path) -> None:
        """Bytes that were stored are in the file; durably too; readers may flush, and memory has nothing to do."""
        path = tmp_path / "file"
        with namedmap.map_file(path, 3 * PAGE, "write", create=True) as mapping, mapping.view(5) as view:
            view[0] = 7
            view.flush(0, 1)
            view.flush(PAGE, durable=True)
            with mapping.view(access="read") as reader:
                reader.flush(durable=True)
        assert path.read_bytes()[5] == 7
        with namedmap.create(None, 10) as memory, memory.view() as view:
            view.flush(durable=True)

    def test_residency(self, tmp_path: Path) -> None:
        """One byte for each page that the range touches; what nobody has touched in a sparse file is not there."""
        mapping = namedmap.map_file(tmp_path / "file", 16 * PAGE, "write", create=True, sparse=True)
        with mapping, mapping.view() as view:
            view[5 * PAGE] = 1
            assert len(view.residency()) == 16
            assert view.residency()[5] == 1
            assert view.residency(5 * PAGE - 1, 2)[1:] == b"\1"
            assert view.residency(0, 0) == b""

    def test_advice(self, view: View) -> None:
        """The words of madvise are taken, others refused with those that there are."""
        for advice in ("normal", "random", "sequential", "willneed", "dontneed"):
            view.advise(advice)
        with pytest.raises(BadValueError, match="willneed"):
            view.advise("wontneed")

    def test_advice_that_loses(self, tmp_path: Path) -> None:
        """Pages that a copy has changed have no other place: "dontneed" is refused; a shared view keeps its bytes."""
        with of_kind("file", tmp_path, SIZE) as mapping:
            with mapping.view() as view:
                view[0] = 1
                view.advise("dontneed")
                assert view[0] == 1
            with mapping.view(access="copy") as copy, pytest.raises(BadValueError, match="lost"):
                copy.advise("dontneed")

    def test_protection(self, view: View) -> None:
        """Pages become read-only and writable again; other words and more than the view may are refused."""
        view.protect("read")
        assert view[0] == 0
        with pytest.raises(PageError):
            view.write(0, b"y")
        view.protect("write")
        view[0] = 1
        with pytest.raises(BadValueError, match="no access"):
            view.protect("rw")

    def test_commitment(self) -> None:
        """Committed pages are there for all views, also those of other openers; the others are a PageError."""
        mapping = namedmap.create(NAME, 64 * PAGE, reserve=True)
        with mapping, namedmap.open(NAME) as other, mapping.view() as view, other.view(PAGE) as seen:
            actions: list[Callable[[], object]] = [
                lambda: view[0],
                lambda: view[:],
                lambda: view.write(0, b"x"),
                lambda: view.find(b"x"),
                lambda: seen.read(3, 1),
            ]
            for action in actions:
                with pytest.raises(PageError, match="not committed"):
                    action()
            view.commit(PAGE + 5, 10)
            view[PAGE] = 7
            assert view.residency(PAGE + 5, 10) == b"\1"
            assert seen[0] == 7
            view.commit()
            assert view[:PAGE] == bytes(PAGE)


class TestVanishing:
    """Memory that goes away under its user is an error, where methods are used."""

    def test_a_file_that_another_process_cuts_off(self, tmp_path: Path, spawn: Spawn) -> None:
        """Every method says so, what is left stays readable, and all is well when the bytes come back."""
        path = tmp_path / "file"
        path.write_bytes(b"x" * 10 * PAGE)
        with namedmap.map_file(path, access="write") as mapping, mapping.view() as view, mapping.view(9 * PAGE) as end:
            child = spawn()
            child.run(f"os.truncate({str(path)!r}, {PAGE})")
            actions: list[Callable[[], object]] = [
                lambda: end[0],
                lambda: end == end.size * b"x",
                lambda: end == bytes(end.size),
                lambda: end.__setitem__(0, 1),
                lambda: end.__setitem__(slice(0, 10, 3), b"1234"),
                lambda: end.stream().write(b"x"),
                lambda: end.stream().readall(),
                lambda: list(end),
                lambda: bytes(list(end)),
                lambda: view[PAGE - 1 : PAGE + 1],
                lambda: view[:: 5 * PAGE],
                lambda: view[:: -5 * PAGE],
                lambda: view.read(),
                lambda: view.write(5 * PAGE, b"y"),
                lambda: view.stream().read(),
                lambda: view.find(b"y"),
                lambda: view.rfind(b"y"),
                lambda: view.pack("i", PAGE - 2, 1),
                lambda: view.unpack("i", PAGE - 2),
                lambda: [window[0] for window in mapping.windows(PAGE)],
            ]
            for action in actions:
                with pytest.raises(PageError, match="cut off"):
                    action()
            assert view[:PAGE] == b"x" * (PAGE - 2) + view[PAGE - 2 : PAGE]
            child.run(f"os.truncate({str(path)!r}, {10 * PAGE})")
            assert end[0] == 0
            end[0] = 5
        assert path.read_bytes()[9 * PAGE] == 5

    def test_raw_memory_is_a_signal(self, tmp_path: Path, spawn: Spawn) -> None:
        """Not promised: a program that goes through `buf` is ended by SIGBUS, as with any mmap."""
        path = tmp_path / "file"
        path.write_bytes(bytes(3 * PAGE))
        child = spawn(f"""
            import namedmap
            buffer = namedmap.map_file({str(path)!r}).view().buf
            os.truncate({str(path)!r}, 1)
            buffer[2 * {PAGE}]
            """)
        assert child.wait() == -7

    @needs_root
    def test_a_full_disk(self, directory: Path, spawn: Spawn) -> None:
        """Under a sparse file: storing is a PageError, what was stored stays; without `sparse` growing fails."""
        child = spawn(
            f"""
            import namedmap
            place = {str(directory)!r}
            import subprocess
            if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place]).returncode:
                say("cannot mount"); raise SystemExit
            with namedmap.map_file(place + "/sparse", 1 << 20, "write", create=True, sparse=True) as mapping:
                with mapping.view() as view:
                    stored = 0
                    try:
                        for stored in range(0, 1 << 20, 4096):
                            view.write(stored, b"x" * 4096)
                    except namedmap.PageError as error:
                        say("PageError", "disk is full" in str(error), 0 < stored <= 65536, view[stored - 1])
            try:
                namedmap.map_file(place + "/solid", 1 << 20, "write", create=True)
            except namedmap.Error as error:
                left = os.path.exists(place + "/solid") and os.stat(place + "/solid").st_size
                say(type(error).__name__, error.winerror == win32.ERROR_DISK_FULL, int(left))
            """,
            wrapper=unshared("-m"),
        )
        first = child.line()
        if first == "cannot mount":
            pytest.skip("no tmpfs can be mounted here")
        assert first == "PageError True True 120"
        assert child.line() == "Error True 0"
        assert child.wait() == 0
