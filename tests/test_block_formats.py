"""Blocks: what they carry, what they refuse, and what attaching them must not do to the process."""

import decimal
import gc
import json
import sys
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from child import Spawn
from namedmap import BlockError, attach, create, publish

numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
NAME = "formats"

_CELLS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.one_of(st.none(), st.text(max_size=20)),
        st.one_of(st.none(), st.floats(allow_nan=False)),
        st.one_of(st.none(), st.lists(st.integers(0, 255), max_size=3)),
    ),
    max_size=20,
)


def optional(name: str) -> Any:
    """A package, of which the tests are skipped where it is not there."""
    return pytest.importorskip(name, reason=f"{name} is not installed")


def table(rows: list[tuple[Any, ...]]) -> Any:
    arrow = optional("pyarrow")
    kinds = {"i": arrow.int64(), "s": arrow.string(), "f": arrow.float64(), "l": arrow.list_(arrow.uint8())}
    return arrow.table(
        {name: arrow.array([row[at] for row in rows], kind) for at, (name, kind) in enumerate(kinds.items())}
    )


def described(description: Any, data: bytes) -> bytes:
    """A block of an array with this description, and the right checksum."""
    text = json.dumps(description).encode()
    offset = -(-(40 + len(text)) // 64) * 64
    claims = len(data).to_bytes(8, "little") + offset.to_bytes(8, "little") + len(text).to_bytes(4, "little") + bytes(4)
    rest = claims + text + bytes(offset - 40 - len(text))
    kind = b"\1\0\2\0"
    return b"NMBLOCK\0" + kind + zlib.crc32(rest, zlib.crc32(kind)).to_bytes(4, "little") + rest + data


class TestArrays:
    """An array is what it was, or refused."""

    def test_read_only_for_good(self) -> None:
        """No reader can make its array, or one without items, writable: a store would end the process."""
        for array in (numpy.zeros(4), numpy.zeros((0, 3))):
            with publish(NAME, array) as block, attach(NAME) as reader:
                assert (block.value.flags.writeable, reader.value.flags.writeable) == (True, False)
        with publish(NAME, numpy.zeros(4)), attach(NAME) as reader:
            for found in (reader.value, reader.value[1:], reader.value.view("u1")):
                with pytest.raises(ValueError, match="WRITEABLE"):
                    found.flags.writeable = True

    def test_masked_arrays(self) -> None:
        """Are refused: their mask would be lost."""
        with pytest.raises(TypeError, match="its mask"):
            publish(NAME, numpy.ma.array([1, 2], mask=[0, 1]))

    def test_types_of_other_packages(self) -> None:
        """Are refused: they would come back as bytes of no meaning."""
        tests = pytest.importorskip("numpy._core._rational_tests", reason="this NumPy has no type for tests")
        with pytest.raises(TypeError, match="NumPy's own"):
            publish(NAME, numpy.zeros(2, tests.rational))

    @pytest.mark.skipif(not hasattr(numpy.dtypes, "StringDType"), reason="this NumPy has no strings of any length")
    def test_strings_of_any_length(self) -> None:
        """Are refused: they lie elsewhere."""
        with pytest.raises(TypeError, match="cannot"):
            publish(NAME, numpy.array(["a"], numpy.dtypes.StringDType()))

    @pytest.mark.parametrize("dtype", ["i4,f8", "(2,3)i4", "float", "T16", "|T16", "O8", "i4", "<i4\n", "<\u0661", "("])
    def test_types_in_other_forms(self, dtype: str) -> None:
        """A type that NumPy would make of a text which it would not write is not believed."""
        with create(NAME, 200) as mapping, mapping.view() as view:
            view[:] = described({"dtype": dtype, "shape": [1], "order": "C"}, b"").ljust(200, b"\0")
            with pytest.raises(BlockError, match="no type that can be shared"):
                attach(NAME)

    @pytest.mark.parametrize("shape", [{}, [True], [10**4000] * 3000, [1] * 65, [0, 1 << 70], None])
    def test_shapes(self, shape: Any) -> None:
        """Are judged before they are multiplied."""
        content = described({"dtype": "<i4", "shape": shape, "order": "C"}, bytes(4))
        with create(NAME, len(content)) as mapping, mapping.view() as view:
            view[:] = content
            with pytest.raises(BlockError, match="no array has"):
                attach(NAME)


class TestArrow:
    """Tables, batches and frames come back equal."""

    @given(_CELLS)
    def test_round_trips(self, rows: list[tuple[Any, ...]]) -> None:
        """With what is missing, and without rows."""
        content = table(rows)
        with publish(NAME, content) as block, attach(NAME) as other:
            assert block.value.equals(content)
            assert other.value.equals(content)
        batch = content.to_batches()[0] if rows else content.schema.empty_table().to_batches(max_chunksize=1)
        for each in [batch] if rows else batch:
            with publish(NAME, each), attach(NAME) as other:
                assert other.value.equals(each)

    @given(_CELLS)
    def test_frames(self, rows: list[tuple[Any, ...]]) -> None:
        """Of pandas and polars, too."""
        optional("pandas")
        frames = [table(rows).to_pandas(), optional("polars").from_arrow(table(rows))]
        for frame in frames:
            with publish(NAME, frame) as block, attach(NAME) as other:
                assert block.value.equals(other.value)
                assert list(other.value.columns) == list(frame.columns)
                assert other.value.shape == frame.shape

    def test_other_types(self) -> None:
        """Dictionaries, chunks, structures, decimals, metadata; a sliced batch, one without rows."""
        arrow = optional("pyarrow")
        words = arrow.array(["x", "y", "x"]).dictionary_encode()
        tables = [
            arrow.table({"a": words, "b": arrow.array([decimal.Decimal("1.5")] * 3)}),
            arrow.table({"a": arrow.chunked_array([[1, 2], [3]]), "b": arrow.chunked_array([["a"], ["b", "c"]])}),
            arrow.table({"a": [{"x": [1, 2]}, None]}).replace_schema_metadata({"k": "v"}),
            arrow.table({}),
        ]
        batch = arrow.table({"a": words, "b": [1, 2, 3]}).to_batches()[0]
        for each in [*tables, batch, batch[1:2], batch[:0]]:
            with publish(NAME, each), attach(NAME) as other:
                assert other.value.equals(each)
                assert other.value.schema.metadata == each.schema.metadata

    def test_tables_keep_the_memory(self) -> None:
        """Closing and forgetting the block takes nothing from tables and columns."""
        arrow = optional("pyarrow")
        block = publish(NAME, arrow.table({"a": list(range(1000))}))
        column = block.value["a"]
        block.close()
        del block
        gc.collect()
        assert column.to_pylist() == list(range(1000))

    def test_objects(self) -> None:
        """Columns of Python objects are refused, of which another process would get addresses."""
        optional("pyarrow")
        for package in (optional("pandas"), optional("polars")):
            with pytest.raises(TypeError, match="cannot be shared"):
                publish(NAME, package.DataFrame({"a": [object()]}))

    def test_old_arrow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A pyarrow that unpickles is not used."""
        arrow = optional("pyarrow")
        with publish(NAME, arrow.table({"a": [1]})):
            monkeypatch.setattr(arrow, "__version__", "14.0.0")
            with pytest.raises(ImportError, match="may unpickle"):
                attach(NAME)
            monkeypatch.setattr(arrow, "__version__", "14.0.1")
            attach(NAME).close()

    def test_no_arrow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without it, the error says what to install."""
        arrow = optional("pyarrow")
        with publish(NAME, arrow.table({"a": [1]})):
            monkeypatch.setitem(sys.modules, "pyarrow", None)
            with pytest.raises(ImportError, match=r"namedmap\[arrow\]"):
                attach(NAME)


class TestDamage:
    """Data that somebody wrote over is an error, or is what it is; attaching it never ends the process."""

    _MAKE = """
        import random, struct, namedmap, pyarrow
        plain = pyarrow.table({"s": ["abc"] * 200, "i": range(200), "l": [[1], None] * 100,
                               "d": pyarrow.array(["x", "y"] * 100).dictionary_encode()})
        if kind == "batch":
            plain = plain.to_batches()[0]
        elif kind == "pandas":
            plain = plain.to_pandas()
        elif kind == "polars":
            import polars
            plain = polars.from_arrow(plain)
        block = namedmap.publish("damage", plain)
        before = bytes(block._view.buf)
        start = int.from_bytes(before[24:32], "little")
        def tried():
            try:
                namedmap.attach("damage").close()
            except namedmap.BlockError:
                return "error"
            return "fine"
        """

    @pytest.mark.parametrize("kind", ["pandas", "polars"])
    def test_offsets(self, spawn: Spawn, kind: str) -> None:
        """Of texts, beyond their end, are found before a frame is made."""
        optional("pyarrow")
        optional(kind)
        child = spawn()
        child.run(f"kind = {kind!r}")
        child.run(self._MAKE)
        child.run("""
            for form in ("i", "q"):
                wanted = struct.pack(f"<8{form}", *range(0, 24, 3))
                at = before.find(wanted)
                if at >= 0:
                    step = struct.calcsize(form)
                    block._view.write(at + step, struct.pack(f"<2{form}", 0x7FFFFF00, 0x7FFFFF08))
                    break
            """)
        assert child.value("(at >= 0, tried())") == (True, "error")
        child.run("block.close()")

    @pytest.mark.parametrize("kind", ["table", "batch", "pandas", "polars"])
    def test_any_bytes(self, spawn: Spawn, kind: str) -> None:
        """Of the data, in 400 random ways."""
        optional("pyarrow")
        if kind in ("pandas", "polars"):
            optional(kind)
        child = spawn()
        child.run(f"kind = {kind!r}")
        child.run(self._MAKE)
        child.run("""
            chance, found = random.Random(1), set()
            for _ in range(400):
                block._view[:] = before
                for _ in range(chance.choice((1, 1, 2, 5))):
                    block._view[chance.randrange(start, len(before))] = chance.choice((0, 1, 127, 128, 255))
                found.add(tried())
            block.close()
            """)
        assert child.value("sorted(found)") == ["error", "fine"]
