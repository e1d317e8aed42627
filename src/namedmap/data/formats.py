"""How objects lie in blocks: bytes, NumPy arrays, and what Arrow can carry."""

import ctypes
import math
import re
import sys
from typing import Any, ClassVar

from namedmap import errors
from namedmap._platform import memory

#: The types that NumPy itself writes as strings, without objects ("O") and what has a memory of its own ("T").
_PLAIN_TYPE = re.compile(r"[<>|][biufcSUV][0-9]{1,10}|[<>][mM]8(\[[0-9]{0,10}[A-Za-z]{1,2}\])?")
_MOST_DIMENSIONS = 64
#: From so many bytes on they are stored through the file.
_MANY = 1 << 20
#: The first pyarrow that unpickles nothing on its own account (CVE-2023-47248).
_ARROW = (14, 0, 1)


class Format:
    """A kind of object: how much room it takes, how it is stored, how it comes back."""

    code: ClassVar[int]
    name: ClassVar[str]

    def fits(self, value: Any) -> bool:
        """Whether an object is of this kind."""
        raise NotImplementedError

    def prepare(self, value: Any) -> Any:
        """The form of it that is measured and stored. Raises TypeError for a value that cannot be shared."""
        return value

    def measure(self, value: Any) -> tuple[int, Any]:
        """The bytes that it takes, and its description for JSON."""
        raise NotImplementedError

    def store(self, value: Any, room: memoryview, description: Any) -> Any:
        """Copy it into the room; returns what lies there."""
        raise NotImplementedError

    def load(self, data: memoryview, description: Any) -> Any:
        """The object that lies there, whose bytes a stranger may have chosen."""
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
            _fill(room, view.cast("B") if view.c_contiguous and view.nbytes else memoryview(view.tobytes()))
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
        masks = sys.modules.get("numpy.ma")
        if masks is not None and isinstance(value, masks.MaskedArray):
            raise TypeError("a masked array cannot be shared with its mask: publish its data and its mask")
        if not _can_be_described(dtype):
            raise TypeError(f"an array of {dtype} cannot be shared: publish a view of it with a type of NumPy's own")
        order = "F" if value.ndim > 1 and value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        return math.prod(shape) * dtype.itemsize, {"dtype": _described(dtype), "shape": list(shape), "order": order}

    def store(self, value: Any, room: memoryview, description: Any) -> Any:
        import numpy

        array = self.load(room, description)
        if value.nbytes >= _MANY and value.flags.forc:
            flat: Any = numpy.asarray(value).ravel("K").view("u1")
            _fill(room, memoryview(flat))
        else:
            array[...] = value
        return array

    def load(self, data: memoryview, description: Any) -> Any:
        import numpy

        shape, order = description["shape"], description["order"]
        if type(shape) is not list or len(shape) > _MOST_DIMENSIONS or order not in ("C", "F"):
            raise ValueError("no array has this shape and order")
        if not all(type(n) is int and 0 <= n < 1 << 63 for n in shape):
            raise ValueError("no array has a shape of these numbers")
        dtype = _dtype(description["dtype"])
        if dtype.hasobject:
            raise ValueError(f"{dtype} has Python objects")
        if math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"an array of {shape} times {dtype} does not have {len(data):,} bytes")
        # Not on `data` itself: of a memoryview NumPy keeps what lies below, and would let a reader make it writable.
        below = numpy.frombuffer(data, "u1")
        make: Any = numpy.ndarray
        array = make(tuple(shape), dtype, below if len(data) else None, order=order)
        if data.readonly:
            array.flags.writeable = False
        return array


def _fill(room: memoryview, content: memoryview) -> None:
    """Copy bytes into a room of their size, in shared memory that is new."""
    if len(content) < _MANY:
        room[:] = content
        return
    with errors.translated():
        memory.fill(ctypes.addressof(ctypes.c_char.from_buffer(room)), content)


def _can_be_described(dtype: Any) -> bool:
    """Whether it comes back the same: types of other packages are described as bytes of no meaning."""
    try:
        return bool(_dtype(_described(dtype)) == dtype)
    except (TypeError, ValueError):
        return False


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
    """The type that was described. NumPy gets strings in the form of its own only, and refuses what cannot be."""
    import numpy

    if isinstance(description, str):
        if not _PLAIN_TYPE.fullmatch(description):
            raise ValueError(f"{description[:40]!r} is no type that can be shared")
        return numpy.dtype(description)
    if isinstance(description, list):
        base, shape = description
        return numpy.dtype((_dtype(base), tuple(shape)))
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
        sink = _arrow().MockOutputStream()
        self._write(value, sink)
        return sink.size(), None

    def store(self, value: Any, room: memoryview, description: Any) -> Any:
        pyarrow = _arrow()
        with pyarrow.FixedSizeBufferWriter(pyarrow.py_buffer(room)) as sink:
            self._write(value, sink)
        return self._converted(self._read(room))

    def load(self, data: memoryview, description: Any) -> Any:
        found = self._read(data)
        # The sizes of buffers. To look at what is in them takes as long as they are: see the docstring of blocks.
        found.validate()
        return self._converted(found)

    def _write(self, value: Any, sink: Any) -> None:
        from pyarrow import ipc

        with ipc.new_stream(sink, value.schema) as writer:
            writer.write(value)

    def _read(self, data: memoryview) -> Any:
        pyarrow = _arrow()
        from pyarrow import ipc

        return ipc.open_stream(pyarrow.py_buffer(data)).read_all()

    def _converted(self, table: Any) -> Any:
        """The object that a table stands for."""
        return table


class Batch(Table):
    """An Arrow record batch."""

    code, name = 4, "batch"

    def fits(self, value: Any) -> bool:
        arrow = sys.modules.get("pyarrow")
        return arrow is not None and isinstance(value, arrow.RecordBatch)

    def _read(self, data: memoryview) -> Any:
        pyarrow = _arrow()
        from pyarrow import ipc

        # Not through a table, which forgets a batch without rows.
        first, *more = ipc.open_stream(pyarrow.py_buffer(data))
        if more:
            raise ValueError("there is more than one record batch")
        return first


class _Frame(Table):
    """A frame that is converted to Arrow and back, of which a name is the package."""

    def fits(self, value: Any) -> bool:
        package = sys.modules.get(self.name)
        return package is not None and isinstance(value, package.DataFrame)

    def prepare(self, value: Any) -> Any:
        raise NotImplementedError

    def load(self, data: memoryview, description: Any) -> Any:
        found = self._read(data)
        # Conversion looks at everything, and trusts it: what is wrong in it would end the process.
        found.validate(full=True)
        return self._converted(found)


class Pandas(_Frame):
    """A pandas frame, through Arrow."""

    code, name = 5, "pandas"

    def prepare(self, value: Any) -> Any:
        pyarrow = _arrow()
        try:
            return pyarrow.Table.from_pandas(value)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError) as error:
            raise TypeError(f"a frame that Arrow cannot carry cannot be shared: {error}") from None

    def _converted(self, table: Any) -> Any:
        return table.to_pandas()


class Polars(_Frame):
    """A polars frame, through Arrow."""

    code, name = 6, "polars"

    def prepare(self, value: Any) -> Any:
        import polars

        # Arrow would get the objects' addresses.
        objects = [name for name, dtype in value.schema.items() if _has_objects(dtype, polars.Object)]
        if objects:
            raise TypeError(f"the columns {objects} have Python objects, which cannot be shared with other processes")
        _arrow()
        return value.to_arrow()

    def _converted(self, table: Any) -> Any:
        import polars

        try:
            return polars.from_arrow(table)
        except polars.exceptions.PanicException as error:  # not an Exception
            raise ValueError(f"polars cannot read it: {error}") from None


def _has_objects(dtype: Any, objects: Any) -> bool:
    """Whether a type of polars is of Python objects, or of something that has them."""
    below = [each.dtype for each in getattr(dtype, "fields", ())]
    inner = getattr(dtype, "inner", None)
    return dtype == objects or any(_has_objects(each, objects) for each in [*below, *([inner] if inner else [])])


def _arrow() -> Any:
    """pyarrow, if it unpickles nothing. Raises ImportError."""
    try:
        import pyarrow
    except ImportError:
        raise ImportError("tables and frames need pyarrow: pip install namedmap[arrow]", name="pyarrow") from None
    version = tuple(int(each) for each in re.findall(r"[0-9]+", pyarrow.__version__)[:3])
    if version < _ARROW:
        raise ImportError(
            f"pyarrow {pyarrow.__version__} may unpickle what it reads: install {'.'.join(map(str, _ARROW))} or newer",
            name="pyarrow",
        )
    return pyarrow


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
