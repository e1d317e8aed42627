"""How objects lie in blocks: bytes, NumPy arrays, and what Arrow can carry."""

import math
import sys
from typing import Any, ClassVar


class Format:
    """A kind of object: how much room it takes, how it is stored, how it comes back."""

    code: ClassVar[int]
    name: ClassVar[str]

    def fits(self, value: Any) -> bool:
        """Whether an object is of this kind."""
        raise NotImplementedError

    def measure(self, value: Any) -> tuple[int, Any]:
        """The bytes that it takes, and its description for JSON."""
        raise NotImplementedError

    def store(self, value: Any, room: memoryview, description: Any) -> Any:
        """Copy it into the room; returns what lies there."""
        raise NotImplementedError

    def load(self, data: memoryview, description: Any) -> Any:
        """The object that lies there, of which a stranger may have written what he liked."""
        raise NotImplementedError


class Bytes(Format):
    """Anything that has bytes, as a memoryview of them."""

    code, name = 1, "bytes"

    def fits(self, value: Any) -> bool:
        try:
            with memoryview(value):
                return True
        except TypeError:
            return False

    def measure(self, value: Any) -> tuple[int, Any]:
        with memoryview(value) as view:
            return view.nbytes, None

    def store(self, value: Any, room: memoryview, description: Any) -> Any:
        with memoryview(value) as view:
            room[:] = view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()
        return room

    def load(self, data: memoryview, description: Any) -> Any:
        return data


class Array(Format):
    """A NumPy array of any shape and type without Python objects."""

    code, name = 2, "array"

    def fits(self, value: Any) -> bool:
        numpy = sys.modules.get("numpy")
        return numpy is not None and isinstance(value, numpy.ndarray | numpy.generic)

    def measure(self, value: Any) -> tuple[int, Any]:
        dtype, shape = value.dtype, value.shape
        if dtype.hasobject:
            raise TypeError(f"an array of {dtype} has Python objects, which other processes cannot use")
        order = "F" if value.ndim > 1 and value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        return math.prod(shape) * dtype.itemsize, {"dtype": _described(dtype), "shape": list(shape), "order": order}

    def store(self, value: Any, room: memoryview, description: Any) -> Any:
        array = self.load(room, description)
        array[...] = value
        return array

    def load(self, data: memoryview, description: Any) -> Any:
        import numpy

        dtype, shape, order = _dtype(description["dtype"]), description["shape"], description["order"]
        if dtype.hasobject or order not in ("C", "F") or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("no such array can lie in memory")
        if math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"an array of {shape} times {dtype} does not have {len(data):,} bytes")
        make: Any = numpy.ndarray
        return make(tuple(shape), dtype, data if len(data) else None, order=order)


def _described(dtype: Any) -> Any:
    """An array type for JSON: a string; or the fields of a structure; or a type and a shape."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [_described(base), list(shape)]
    if dtype.names is None:
        return dtype.str
    fields = [dtype.fields[name] for name in dtype.names]
    titles = [each[2] if len(each) > 2 else None for each in fields]
    return {
        **({"titles": titles} if any(titles) else {}),
        "names": list(dtype.names),
        "formats": [_described(each[0]) for each in fields],
        "offsets": [int(each[1]) for each in fields],
        "itemsize": dtype.itemsize,
    }


def _dtype(description: Any) -> Any:
    """The type that was described. NumPy makes it of strings and numbers only, and refuses what cannot be."""
    import numpy

    if isinstance(description, str):
        return numpy.dtype(description)
    if isinstance(description, list):
        base, shape = description
        return numpy.dtype((_dtype(base), tuple(map(int, shape))))
    formats = [_dtype(each) for each in description["formats"]]
    known = {key: description[key] for key in ("names", "offsets", "itemsize", "titles") if key in description}
    make: Any = numpy.dtype
    return make({**known, "formats": formats})


class Table(Format):
    """An Arrow table, as an IPC stream."""

    code, name = 3, "table"

    def fits(self, value: Any) -> bool:
        arrow = sys.modules.get("pyarrow")
        return arrow is not None and isinstance(value, arrow.Table)

    def measure(self, value: Any) -> tuple[int, Any]:
        import pyarrow

        sink = pyarrow.MockOutputStream()
        self._write(value, sink)
        return sink.size(), None

    def store(self, value: Any, room: memoryview, description: Any) -> Any:
        import pyarrow

        with pyarrow.FixedSizeBufferWriter(pyarrow.py_buffer(room)) as sink:
            self._write(value, sink)
        return self.load(room, None)

    def load(self, data: memoryview, description: Any) -> Any:
        return self._read(data)

    def _write(self, value: Any, sink: Any) -> None:
        from pyarrow import ipc

        with ipc.new_stream(sink, value.schema) as writer:
            writer.write(value)

    def _read(self, data: memoryview) -> Any:
        import pyarrow
        from pyarrow import ipc

        table = ipc.open_stream(pyarrow.py_buffer(data)).read_all()
        # The sizes of buffers. To look at what is in them takes as long as they are: see the docstring of blocks.
        table.validate()
        return table


class Batch(Table):
    """An Arrow record batch."""

    code, name = 4, "batch"

    def fits(self, value: Any) -> bool:
        arrow = sys.modules.get("pyarrow")
        return arrow is not None and isinstance(value, arrow.RecordBatch)

    def load(self, data: memoryview, description: Any) -> Any:
        (batch,) = self._read(data).to_batches() or [None]
        if batch is None:
            import pyarrow
            from pyarrow import ipc

            batch = ipc.open_stream(pyarrow.py_buffer(data)).read_next_batch()
        return batch


class Pandas(Table):
    """A pandas frame, through Arrow."""

    code, name = 5, "pandas"

    def fits(self, value: Any) -> bool:
        pandas = sys.modules.get("pandas")
        return pandas is not None and isinstance(value, pandas.DataFrame)

    def measure(self, value: Any) -> tuple[int, Any]:
        return super().measure(_from_pandas(value))

    def store(self, value: Any, room: memoryview, description: Any) -> Any:
        return super().store(_from_pandas(value), room, None)

    def load(self, data: memoryview, description: Any) -> Any:
        return self._read(data).to_pandas()


class Polars(Table):
    """A polars frame, through Arrow."""

    code, name = 6, "polars"

    def fits(self, value: Any) -> bool:
        polars = sys.modules.get("polars")
        return polars is not None and isinstance(value, polars.DataFrame)

    def measure(self, value: Any) -> tuple[int, Any]:
        return super().measure(value.to_arrow())

    def store(self, value: Any, room: memoryview, description: Any) -> Any:
        return super().store(value.to_arrow(), room, None)

    def load(self, data: memoryview, description: Any) -> Any:
        import polars

        return polars.from_arrow(self._read(data))


def _from_pandas(value: Any) -> Any:
    import pyarrow

    return pyarrow.Table.from_pandas(value)


#: By their codes. In this order they are asked whose an object is: everything that has bytes comes last.
FORMATS: dict[int, Format] = {each.code: each for each in (Array(), Table(), Batch(), Pandas(), Polars(), Bytes())}


def format_of(value: Any) -> Format:
    """The kind of an object. Raises TypeError."""
    for format in FORMATS.values():
        if format.fits(value):
            return format
    raise TypeError(
        f"{type(value).__name__} cannot be shared: use bytes, a NumPy array, an Arrow table or record batch, or a "
        "pandas or polars frame"
    )
