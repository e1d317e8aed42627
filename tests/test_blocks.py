"""publish and attach: what comes back, who sees it, and what is not believed."""

import gc
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import namedmap
from child import Child, Spawn
from namedmap import BlockError, attach, publish

numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
arrays = pytest.importorskip("hypothesis.extra.numpy", reason="NumPy is not installed")
NAME = "block"

_SCALARS = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(endianness="?"),
    arrays.floating_dtypes(endianness="?"),
    arrays.complex_number_dtypes(endianness="?"),
    arrays.datetime64_dtypes(endianness="?"),
    arrays.byte_string_dtypes(endianness="?"),
    arrays.unicode_string_dtypes(endianness="?"),
)
#: The header in front of a block, as the docstring of `blocks` has it.
_HEADER = struct.Struct("<8sHHIQQII")
_DTYPES = st.one_of(_SCALARS, arrays.array_dtypes(_SCALARS), arrays.nested_dtypes(_SCALARS))


class TestBytes:
    """Every object that has bytes comes back as a memoryview of them."""

    @given(st.binary(max_size=200))
    def test_round_trip(self, content: bytes) -> None:
        """The publisher's is writable, a reader's is not."""
        with publish(NAME, bytearray(content)) as block, attach(NAME) as other:
            assert bytes(block.value) == bytes(other.value) == content
            assert (block.kind, block.created, other.created) == ("bytes", True, False)
            assert (block.value.readonly, other.value.readonly) == (False, True)

    def test_other_buffers(self) -> None:
        """Of any shape; in order."""
        with publish(NAME, memoryview(b"abcdef")[::2]) as block:
            assert bytes(block.value) == b"ace"


class TestArrays:
    """NumPy arrays of every type and shape."""

    @given(st.data())
    def test_round_trip(self, data: st.DataObject) -> None:
        """Type, shape, order and content come back; the memory is the same."""
        dtype = data.draw(_DTYPES)
        shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
        array = numpy.zeros(shape, dtype)
        array.reshape(-1).view("u1")[:] = 65 if array.nbytes and array.ndim else 0
        array = data.draw(st.sampled_from([array, array.T, array[::-1] if array.ndim else array]))
        with publish(NAME, array) as block, attach(NAME) as other:
            for found in (block.value, other.value):
                assert (found.dtype, found.shape) == (array.dtype, array.shape)
                assert found.tobytes() == array.tobytes()
            assert not other.value.flags.writeable or not other.value.size

    def test_one_memory(self, spawn: Spawn) -> None:
        """Changes of the publisher, readers in other processes see; with access they change it too."""
        with publish(NAME, numpy.arange(12.0).reshape(3, 4)) as block:
            child = spawn(f"""
                import namedmap
                with namedmap.attach({NAME!r}, "write") as block:
                    say(block.value.sum())
                    hear()
                    say(block.value[0, 0])
                    block.value[1, 1] = 50
                    say("done")
                """)
            assert child.line() == "66.0"
            block.value[0, 0] = 7
            child.send("")
            assert child.line() == "7.0"
            assert child.line() == "done"
            assert child.wait() == 0
            assert block.value[1, 1] == 50

    def test_arrays_keep_the_memory(self) -> None:
        """Closing a block, or forgetting it, takes nothing from who has the array."""
        block = publish(NAME, numpy.arange(1000))
        array = block.value[::2]
        block.close()
        del block
        gc.collect()
        assert array.sum() == 249_500
        with pytest.raises(FileNotFoundError):
            attach(NAME)

    def test_a_killed_publisher(self, spawn: Spawn) -> None:
        """Readers keep the data and the name."""
        child = spawn(f"""
            import namedmap, numpy
            block = namedmap.publish({NAME!r}, numpy.arange(1000))
            say("published")
            hear()
            """)
        assert child.line() == "published"
        with attach(NAME) as block:
            child.kill()
            with attach(NAME) as other:
                assert other.value.sum() == block.value.sum() == 499_500

    def test_killed_readers(self, spawn: Spawn) -> None:
        """Take nothing from the publisher, nor from those who come later."""
        with publish(NAME, numpy.arange(1000)) as block:
            for access in ("read", "write"):
                child = spawn(f"""
                    import namedmap
                    block = namedmap.attach({NAME!r}, {access!r})
                    say(block.value.sum())
                    hear()
                    """)
                assert child.line() == "499500"
                child.kill()
            with attach(NAME) as other:
                assert other.value.sum() == block.value.sum() == 499_500
        with pytest.raises(FileNotFoundError):
            attach(NAME)

    def test_a_publisher_that_ends(self, spawn: Spawn) -> None:
        """Its end leaves the array with its readers, and the name with those who have the block open."""
        child = spawn(f"""
            import namedmap, numpy
            with namedmap.publish({NAME!r}, numpy.arange(1000)):
                say("published")
                hear()
            """)
        assert child.line() == "published"
        with attach(NAME) as block:
            array = block.value
            assert child.end() == 0
            with attach(NAME) as other:
                assert other.value.sum() == 499_500
        with pytest.raises(FileNotFoundError):
            attach(NAME)
        assert array.sum() == 499_500

    def test_access(self) -> None:
        """Read-only unless asked; "write" reaches the others, "copy" does not."""
        with publish(NAME, numpy.zeros(4)) as block, attach(NAME) as reader:
            with pytest.raises(ValueError, match="read-only"):
                reader.value[0] = 1
            with attach(NAME, "copy") as copy, attach(NAME, "write") as writer:
                writer.value[0] = 1
                copy.value[1] = 2
                assert (list(copy.value), list(reader.value)) == ([1, 2, 0, 0], [1, 0, 0, 0])
            assert (block.created, writer.created, reader.size) == (True, False, block.size)

    def test_many_readers(self, spawn: Spawn) -> None:
        """Memory is counted once, however many read at the same time: shares of it add up to its size."""
        size, readers = 128 << 20, 4
        room = os.statvfs(os.environ["NAMEDMAP_ROOT"])
        if room.f_bavail * room.f_frsize < 2 * size:
            pytest.skip("less than 256 MiB are free where the objects are")
        with publish(NAME, numpy.broadcast_to(numpy.uint8(1), size)) as block:
            before = self._share(os.getpid(), block.value)
            children = [spawn() for _ in range(readers)]
            for child in children:
                child.run(f"import namedmap; block = namedmap.attach({NAME!r}); array = block.value")
                child.start("value", "int(array[::4096].sum())")
            assert [child.finish() for child in children] == [size // 4096] * readers
            shares = [self._share(child.pid, block.value) for child in children]
            after = self._share(os.getpid(), block.value)
            for child in children:
                child.run("block.close()")
        assert before >= size
        assert max(*shares, after) < size // 2
        assert sum(shares) + after < size * 1.1

    def _share(self, pid: int, array: Any) -> int:
        """The memory of this block that is put down to a process: its PSS, in bytes."""
        found, here = 0, False
        inode = self._inode(array)
        with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
            for line in file:
                if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                    here = line.split()[3:5] == inode
                elif here and line.startswith("Pss:"):
                    found += int(line.split()[1]) << 10
        return found

    def _inode(self, array: Any) -> list[str]:
        """The device and the number of the file that an array of this process lies on, as the kernel writes them."""
        with open("/proc/self/maps", encoding="utf-8") as file:
            for words in map(str.split, file):
                start, end = (int(each, 16) for each in words[0].split("-"))
                if start <= array.ctypes.data < end:
                    return words[3:5]
        raise LookupError("the array is not mapped")

    def test_python_objects(self) -> None:
        """Cannot be shared, nor can what is no data at all; nothing is left."""
        for value in (numpy.array([object()]), numpy.zeros(2, [("a", object)]), object(), "text", 5):
            with pytest.raises(TypeError, match="cannot"):
                publish(NAME, value)

    def test_names_and_pickles(self) -> None:
        """A name is taken once; a block is sent to other processes by its name."""
        with publish(NAME, b"abc") as block:
            with pytest.raises(FileExistsError):
                publish(NAME, b"abc")
            with pickle.loads(pickle.dumps(block)) as again:
                assert bytes(again.value) == b"abc"
        assert "closed" in repr(block)
        with publish(None, numpy.arange(3)) as unnamed:
            assert (unnamed.name, list(unnamed.value)) == (None, [0, 1, 2])


class TestArrow:
    """Tables, record batches and frames."""

    def test_tables(self) -> None:
        """Come back equal, and lie in the block."""
        arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        table = arrow.table({"a": list(range(1000)), "b": [str(each) for each in range(1000)], "c": [None, 1.5] * 500})
        with publish(NAME, table) as block, attach(NAME) as other:
            assert other.value.equals(table)
            assert other.kind == "table"
            start = block._view.address
            places = [buffer.address for buffer in block.value["a"].chunk(0).buffers() if buffer is not None]
            assert all(start <= place < start + block.size for place in places)
        assert other.value["a"][999].as_py() == 999
        batch = table.to_batches()[0]
        with publish(NAME, batch) as block, attach(NAME) as other:
            assert other.value.equals(batch)
        with publish(NAME, batch[:0]), attach(NAME) as other:
            assert other.value.num_rows == 0

    def test_frames(self) -> None:
        """Of pandas and polars."""
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        pandas = pytest.importorskip("pandas", reason="pandas is not installed")
        frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=[5, 6])
        with publish(NAME, frame), attach(NAME) as other:
            assert other.value.equals(frame)
        polars = pytest.importorskip("polars", reason="polars is not installed")
        frame = polars.DataFrame({"a": [1, 2], "b": ["x", "y"]})
        with publish(NAME, frame), attach(NAME) as other:
            assert other.value.equals(frame)


class TestProcesses:
    """A block is an argument like any other, and brings its memory with it."""

    @pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
    @pytest.mark.parametrize("name", [NAME, None])
    def test_ways(self, tmp_path: Path, method: str, name: str | None) -> None:
        """By its name, or by a descriptor: as an argument of a process and of an executor."""
        (tmp_path / "work.py").write_text(
            "def double(block):\n"
            "    with block:\n"
            "        block.value[:] *= 2\n"
            "        return block.name, block.kind, block.created, block.value.sum()\n"
        )
        script = tmp_path / "script.py"
        script.write_text(
            textwrap.dedent(f"""
            import concurrent.futures, multiprocessing, warnings
            import numpy, namedmap, work
            if __name__ == "__main__":
                warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # a fork with threads
                context = multiprocessing.get_context({method!r})
                with namedmap.publish({name!r}, numpy.arange(4.0)) as block:
                    process = context.Process(target=work.double, args=(block,))
                    process.start()
                    process.join()
                    print(process.exitcode, block.value.sum())
                    if block.name is not None:
                        with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
                            print(*pool.submit(work.double, block).result(), block.value.sum())
            """)
        )
        command = [sys.executable, "-X", "dev", "-W", "error", str(script)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        again = [] if name is None else [f"{name} array False 24.0 24.0"]
        assert done.stdout.splitlines() == ["0 12.0", *again]

    def test_a_receiver_that_finds_no_block(self) -> None:
        """Gets the error of attach, and keeps nothing open."""
        with publish(NAME, b"abc") as block:
            sent = pickle.dumps(block)
            block._view[:8] = b"NOBLOCK\0"
            with pytest.raises(BlockError, match="not made by publish"):
                pickle.loads(sent)
        with pytest.raises(FileNotFoundError):
            attach(NAME)

    def test_a_closed_block(self) -> None:
        """Cannot be sent."""
        with publish(NAME, b"abc") as block:
            pass
        with pytest.raises(ValueError, match="closed"):
            pickle.dumps(block)

    def test_exits(self) -> None:
        """An interpreter that ends with blocks and arrays in use ends in peace."""
        script = f"""
            import gc, namedmap, numpy
            block = namedmap.publish({NAME!r}, numpy.arange(1000))
            reader = namedmap.attach({NAME!r})
            kept = [reader.value[5:], numpy.asarray(block.value).view("u1")]
            kept.append(kept)
            block.close()
            reader.close()
            del block, reader
            gc.collect()
            print(kept[0].sum())
            """
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(script)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "499490\n", "")


class TestPublishing:
    """Nobody sees half of a block."""

    def _halfway(self, spawn: Spawn) -> Child:
        """A publisher that has stored the half of its data."""
        child = spawn(f"""
            import namedmap
            from namedmap.data.formats import Bytes
            def store(self, value, room, description):
                room[:500] = value[:500]
                say("half")
                hear()
                return self_store(self, value, room, description)
            self_store, Bytes.store = Bytes.store, store
            with namedmap.publish({NAME!r}, b"x" * 1000):
                say("whole")
                hear()
            """)
        assert child.line() == "half"
        return child

    def test_before_the_end(self, spawn: Spawn) -> None:
        """It is an error that says so; afterwards it is there."""
        child = self._halfway(spawn)
        with pytest.raises(BlockError, match="to the end yet: try again"):
            attach(NAME)
        child.send("")
        assert child.line() == "whole"
        with attach(NAME) as block:
            assert bytes(block.value) == b"x" * 1000
        assert child.end() == 0

    def test_a_publisher_killed_halfway(self, spawn: Spawn) -> None:
        """Leaves nothing: the name is free for another."""
        self._halfway(spawn).kill()
        with pytest.raises(FileNotFoundError):
            attach(NAME)
        with publish(NAME, b"again") as block:
            assert block.created

    def test_a_race(self, spawn: Spawn) -> None:
        """A process that attaches while others publish and close gets whole blocks, or an error that fits."""
        child = spawn(f"""
            import namedmap
            say("begin")
            while True:
                try:
                    with namedmap.publish({NAME!r}, b"x" * 5000):
                        pass
                except namedmap.ExistsError:
                    pass
            """)
        assert child.line() == "begin"
        seen: set[bytes | str] = set()
        for _ in range(2000):
            try:
                with attach(NAME) as block:
                    seen.add(bytes(block.value))
            except FileNotFoundError:
                pass
            except BlockError as error:
                seen.add("yet" if "to the end yet" in error.message else error.message)
        child.kill()
        assert b"x" * 5000 in seen
        assert seen <= {b"x" * 5000, "yet"}
        # Its dead file is taken by the next one of this name.
        publish(NAME, b"").close()

    def test_failures_free_the_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An object that cannot be stored leaves no block."""

        def refuse(*_: object) -> None:
            raise RuntimeError("no")

        with monkeypatch.context() as patch:
            patch.setattr("namedmap.data.formats.Bytes.store", refuse)
            with pytest.raises(RuntimeError, match="no"):
                publish(NAME, b"abc")
        with publish(NAME, b"abc") as block:
            assert block.created


def forge(
    text: bytes,
    data: bytes,
    *,
    kind: int = 2,
    version: int = 1,
    length: int | None = None,
    offset: int | None = None,
    text_length: int | None = None,
) -> bytes:
    """A block with a right checksum that says what it is told to."""
    start = -(-(_HEADER.size + len(text)) // 64) * 64
    claims = (
        len(data) if length is None else length,
        start if offset is None else offset,
        len(text) if text_length is None else text_length,
    )
    header = bytearray(_HEADER.pack(b"NMBLOCK\0", version, kind, 0, *claims, 0) + text)
    header += bytes(start - len(header))
    header[12:16] = zlib.crc32(header[16:], zlib.crc32(header[8:12])).to_bytes(4, "little")
    return bytes(header) + data


class TestDoubt:
    """A block with bytes of a stranger's choice gives an error, never a crash, and is never unpickled."""

    _TEXT: bytes = b'{"dtype": "<i4", "shape": [100], "order": "C"}'

    def _damaged(self, **changes: Any) -> bytes:
        """The bytes of a block whose description says something else, with the right checksum."""
        return forge(json.dumps(json.loads(self._TEXT) | changes).encode(), bytes(400))

    def _attach(self, content: bytes) -> Any:
        with namedmap.create(NAME, len(content)) as mapping, mapping.view() as view:
            view[:] = content
            with attach(NAME) as block:
                return block.value

    @pytest.mark.parametrize(
        "changes",
        [
            {"dtype": "O"},
            {"dtype": "nonsense"},
            {"dtype": "<U999999999999999"},
            {"dtype": {"names": ["a"], "formats": ["O"], "offsets": [0], "itemsize": 8}},
            {"dtype": {"names": ["a"], "formats": ["<i4"], "offsets": [1 << 40], "itemsize": 4}},
            {"dtype": {"names": 5}},
            {"dtype": ["<i4", [1 << 62, 1 << 62]]},
            {"shape": [101]},
            {"shape": [-100]},
            {"shape": [1 << 40, 1 << 40]},
            {"shape": "100"},
            {"shape": [10.0, 10]},
            {"order": "X"},
            {"dtype": None},
        ],
    )
    def test_descriptions(self, changes: dict[str, Any]) -> None:
        """Descriptions that no array can have are refused."""
        with pytest.raises(BlockError, match="cannot be"):
            self._attach(self._damaged(**changes))

    def test_the_harness(self) -> None:
        """An undamaged block that was put together in this way is believed."""
        assert self._attach(self._damaged()).nbytes == 400

    @pytest.mark.parametrize(
        ("claims", "why"),
        [
            ({"version": 2}, "version is 2"),
            ({"kind": 0}, "unknown kind"),
            ({"kind": 1000}, "unknown kind"),
            ({"length": 401}, "speaks of"),
            ({"length": 1 << 63}, "speaks of"),
            ({"length": 396}, "cannot be"),
            ({"offset": 64}, "speaks of"),
            ({"offset": 1 << 63}, "speaks of"),
            ({"offset": 129}, "speaks of|no sense"),
            ({"offset": 0}, "speaks of"),
            ({"offset": 192, "length": 0}, "no sense"),
            ({"offset": 127, "length": 0}, "no sense"),
            ({"text_length": 2**32 - 1}, "speaks of"),
            ({"text_length": 45}, "cannot be"),
            ({"text_length": 20}, "no sense"),
            ({"text_length": 0}, "no sense"),
        ],
    )
    def test_headers(self, claims: dict[str, int], why: str) -> None:
        """Headers that cannot be true are refused, though their checksum is right."""
        with pytest.raises(BlockError, match=why):
            self._attach(forge(self._TEXT, bytes(400), **claims))

    @pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"{", b"[" * 100_000, b"null", b"[]", b'"<i4"', b"{}", b"NaN"])
    def test_texts(self, text: bytes) -> None:
        """A description that is no text, no JSON, or not an array's."""
        with pytest.raises(BlockError, match="cannot be"):
            self._attach(forge(text, bytes(400)))

    def test_every_byte_of_the_header(self) -> None:
        """Has to be what was published, the kind and the padding too."""
        with publish(NAME, numpy.arange(100, dtype="<i4")) as block:
            raw = bytes(block._view.buf)
            for at in range(int.from_bytes(raw[24:32], "little")):
                for change in (0x01, 0x80, 0xFF):
                    block._view[at] = raw[at] ^ change
                    with pytest.raises(BlockError):
                        attach(NAME)
                block._view[at] = raw[at]
            with attach(NAME) as other:
                assert other.value[99] == 99

    @given(st.integers(0, 500), st.binary(min_size=1, max_size=12))
    def test_any_damage(self, at: int, content: bytes) -> None:
        """Of the header is an error; the data are what they are."""
        with publish(NAME, numpy.arange(100, dtype="<i4")) as block:
            before = bytes(block._view.buf[:128])
            block._view.write(at, content)
            if bytes(block._view.buf[:128]) == before:
                with attach(NAME) as other:
                    assert other.value.tobytes() == bytes(block._view.buf[128:])
            else:
                with pytest.raises(BlockError):
                    attach(NAME)

    @given(st.binary(max_size=200), st.binary(max_size=100), st.integers(1, 2))
    def test_any_description(self, text: bytes, data: bytes, kind: int) -> None:
        """With a right checksum is an object of exactly the data, or an error."""
        try:
            found = self._attach(forge(text, data or b"x", kind=kind))
        except BlockError:
            return
        assert found.nbytes == len(data or b"x")

    @given(st.binary(min_size=1, max_size=300))
    def test_any_bytes(self, content: bytes) -> None:
        """Other programs' memory is no block; nor is one that is not written to the end."""
        with pytest.raises(BlockError):
            self._attach(content)
        with pytest.raises(BlockError, match="to the end yet"):
            self._attach(bytes(200))

    def test_nothing_leaks(self) -> None:
        """After errors no descriptor is left."""
        gc.collect()  # of what earlier tests left in cycles
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            with pytest.raises(BlockError):
                self._attach(b"x" * 100)
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) == before
        assert not list(Path(os.environ["NAMEDMAP_ROOT"]).glob("*/block"))
