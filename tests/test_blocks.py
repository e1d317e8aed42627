"""publish and attach: what comes back, who sees it, and what is not believed."""

import gc
import json
import os
import pickle
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
from namedmap import BlockError, attach, publish
from support import Spawn

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
_DTYPES = st.one_of(_SCALARS, arrays.array_dtypes(_SCALARS), arrays.nested_dtypes(_SCALARS))


class TestBytes:
    """Whatever has bytes comes back as a memoryview of them."""

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
        """What the publisher changes, readers in other processes see; with access they change it too."""
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

    def test_many_readers(self) -> None:
        """Memory is counted once, however many read: their own share stays small."""
        script = f"""
            import namedmap
            block = namedmap.attach({NAME!r})
            block.value.sum()
            with open("/proc/self/smaps_rollup") as file:
                print(next(int(line.split()[1]) for line in file if line.startswith("Private_Dirty")))
            """
        command = [sys.executable, "-c", textwrap.dedent(script)]
        with publish(NAME, numpy.ones(64 << 20, "u1")):
            readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
            found = [int(reader.communicate(timeout=60)[0]) for reader in readers]
        assert max(found) < 32 << 10, "KiB"

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


class TestDoubt:
    """A block of which somebody wrote what he liked gives an error, never a crash, and is never unpickled."""

    def _damaged(self, **changes: Any) -> bytes:
        """The bytes of a block whose description says something else, with the right checksum."""
        with publish(NAME, numpy.arange(100, dtype="<i4")) as block:
            raw = bytes(block._view.buf)
        length = int.from_bytes(raw[32:36], "little")
        text = json.dumps(json.loads(raw[40 : 40 + length]) | changes).encode()
        offset = -(-(40 + len(text)) // 64) * 64
        head = raw[16:24] + offset.to_bytes(8, "little") + len(text).to_bytes(4, "little") + bytes(4)
        rest = head + text + bytes(offset - 40 - len(text))
        return raw[:12] + zlib.crc32(rest).to_bytes(4, "little") + rest + raw[-448:][:400]

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
        """What an array cannot be."""
        with pytest.raises(BlockError, match="cannot be"):
            self._attach(self._damaged(**changes))

    def test_the_harness(self) -> None:
        """An undamaged block that was put together in this way is believed."""
        assert self._attach(self._damaged()).nbytes == 400

    @given(st.integers(0, 200), st.binary(min_size=1, max_size=12))
    def test_any_damage(self, at: int, content: bytes) -> None:
        """Is an error, or does not matter: the header's checksum finds what the data does not hold."""
        with publish(NAME, numpy.arange(100, dtype="<i4")) as block:
            block._view.write(at, content)
            try:
                with attach(NAME) as other:
                    assert other.value.shape == (100,)
            except BlockError:
                assert at < 128

    @given(st.binary(min_size=1, max_size=300))
    def test_any_bytes(self, content: bytes) -> None:
        """Other programs' memory is no block; nor is one that is not written to the end."""
        with pytest.raises(BlockError):
            self._attach(content)
        with pytest.raises(BlockError, match="to the end yet"):
            self._attach(bytes(200))

    def test_nothing_leaks(self) -> None:
        """After errors no descriptor is left."""
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            with pytest.raises(BlockError):
                self._attach(b"x" * 100)
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) == before
        assert not list(Path(os.environ["NAMEDMAP_ROOT"]).glob("*/block"))
