"""Views: a range of a file mapping as memory.

The memory of a view stays mapped as long as anybody can see it: the view, or a memoryview, array, structure or stream
that was made from it. Closing the view or the mapping takes it from nobody, and raises no BufferError.

Where the memory can vanish under its users (a file that another program cuts off, a sparse file on a disk that is full,
reserved pages), the methods of View copy with care: they raise PageError. A program that goes through `buf`, arrays,
overlays and memoryviews touches the memory itself; a page that is gone is then SIGBUS (on Windows an access violation),
which ends the process.
"""

import ctypes
import operator
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self, SupportsIndex, TypeVar

from namedmap import constants as c
from namedmap import errors
from namedmap._contract import MappedMemory, SectionHandle
from namedmap._failure import Failure
from namedmap._platform import memory
from namedmap.access import Access
from namedmap.access import parse as parse_access
from namedmap.memory.longs import warn_of_longs
from namedmap.memory.stream import ViewStream
from namedmap.memory.window import Window

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from namedmap.memory.mapping import FileMapping

#: Bytes that are looked at at a time, in a search or comparison.
_WINDOW = 1 << 20

#: The base of all types of ctypes.
_CData: Any = ctypes.c_int.__mro__[-2]

Layout = TypeVar("Layout", bound="ctypes.Structure | ctypes.Union | ctypes.Array[Any] | ctypes._SimpleCData[Any]")


class View(Window):
    """A range of a file mapping. Made by FileMapping.view; len(), indexing and slicing as of a bytearray."""

    def __init__(self, mapping: "FileMapping", section: SectionHandle, access: Access, offset: int, size: int) -> None:
        """Use FileMapping.view."""
        self._mapping, self._access, self._offset, self._size = mapping, access, offset, size
        try:
            self._memory: MappedMemory | None = section.map(access, offset, size)
        except Failure as failure:
            raise errors.translate(failure) from None
        self._address = self._memory.address
        self._careful = mapping.may_vanish
        if self._careful:
            self._reader = memory.reader(self._address)
        self._look_at(None if self._careful else self._memory)

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def buf(self) -> memoryview:
        """The memory itself; read-only if the view is. It outlives the view."""
        mapped = self._memory
        if mapped is None:
            raise self._is_closed()
        if self._buf is None:
            self._buf = mapped.buffer()
        return self._buf

    @property
    def address(self) -> int:
        """Where the first byte lies in this process."""
        if self._memory is None:
            raise self._is_closed()
        return self._address

    @property
    def size(self) -> int:
        """In bytes."""
        return self._size

    @property
    def offset(self) -> int:
        """Where it begins in its mapping, in bytes."""
        return self._offset

    @property
    def access(self) -> str:
        """ "read", "write", "copy", …"""
        return self._access.word

    @property
    def mapping(self) -> "FileMapping":
        return self._mapping

    @property
    def closed(self) -> bool:
        return self._memory is None

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self._size:,} bytes at offset {self._offset:,}, {self.access}"
        return f"<namedmap.View of {self._mapping!r}: {state}>"

    def _is_closed(self) -> ValueError:
        return ValueError("this View is closed")

    def _is_read_only(self) -> errors.ReadOnlyError:
        return errors.ReadOnlyError(int(c.ERROR_ACCESS_DENIED), f'{self!r} is read-only: ask for access="write"')

    # -- bytes --------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._size

    _buf: memoryview | None = None
    _reader: Callable[[int, int], bytes] | None = None

    def _get(self, key: "SupportsIndex | slice") -> int | bytes:
        """An int, or the bytes of a slice."""
        if not isinstance(key, slice):
            return self.read(self._index(key), 1)[0]
        if self._memory is None:
            raise self._is_closed()
        start, stop, step = key.indices(self._size)
        where = range(start, stop, step)
        if not where:
            return b""
        low, high = sorted((where[0], where[-1]))
        return self.read(low, high + 1 - low)[::step]

    def _set(self, key: "SupportsIndex | slice", value: Any) -> None:
        """Store an int, or bytes of the same length as the slice."""
        if self._memory is None:
            raise self._is_closed()
        if not self._careful:
            self._store(key, value)
        elif not isinstance(key, slice):
            self.write(self._index(key), bytes((value,)))
        else:
            self._write_slice(range(*key.indices(self._size)), _as_bytes(value))

    def _store(self, key: "SupportsIndex | slice", value: Any) -> None:
        stored = self.buf
        if stored.readonly:
            raise self._is_read_only()
        if isinstance(key, slice):
            stored[key] = _as_bytes(value)
        else:
            stored[operator.index(key)] = value  # a tuple is an index of memoryviews with more dimensions

    def _write_slice(self, where: range, data: bytes | memoryview) -> None:
        if len(data) != len(where):
            raise ValueError(f"{len(data)} bytes do not fit into a slice of {len(where)}: a view keeps its size")
        if where.step == 1:
            self.write(where.start, data)
        else:
            for at, byte in zip(where, data, strict=True):
                self.write(at, bytes((byte,)))

    def _index(self, key: SupportsIndex) -> int:
        index = operator.index(key)
        if not -self._size <= index < self._size:
            raise IndexError(f"index {index} is outside of a view of {self._size:,} bytes")
        return index % self._size

    def __iter__(self) -> Iterator[int]:
        for _, piece in self._pieces(0, self._size):
            yield from piece

    def __contains__(self, wanted: Any) -> bool:
        """Whether a number, or some bytes, are in it."""
        return self.find(bytes((wanted,)) if isinstance(wanted, SupportsIndex) else wanted) >= 0

    def __eq__(self, other: object) -> bool:
        """Whether the bytes are the same as those of another view or bytes-like object."""
        if isinstance(other, View):
            return self is other or (self._size == other._size and all(map(operator.eq, self._all(), other._all())))
        try:
            theirs = memoryview(_as_bytes(other))
        except TypeError:
            return NotImplemented
        return len(theirs) == self._size and all(
            piece == theirs[at : at + len(piece)] for at, piece in self._pieces(0, self._size)
        )

    def _all(self) -> Iterator[bytes]:
        return (piece for _, piece in self._pieces(0, self._size))

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        for at in range(start, stop, _WINDOW):
            yield at, self.read(at, min(_WINDOW, stop - at))

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """Copy `size` bytes (None: the rest) from `offset` on. Raises BadValueError beyond the end, PageError."""
        at, length = self._range(offset, size)
        mapped = self._memory
        if mapped is None:  # which stays mapped as long as we have it, whoever closes the view now
            raise self._is_closed()
        if not self._careful:
            return self.buf[at : at + length].tobytes()
        try:
            if self._reader is not None:
                return self._reader(at, length)
            return memory.read(self._address + at, length)
        except Failure as failure:
            raise errors.translate(failure) from None

    def write(self, offset: int, data: Any) -> int:
        """Store bytes at an offset; returns how many. Raises BadValueError if they do not fit, PageError."""
        content = _as_bytes(data)
        at, length = self._range(offset, len(content))
        if not self._access.writable:
            raise self._is_read_only()
        if not self._careful:
            self.buf[at : at + length] = content
        else:
            with errors.translated():
                memory.write(self._address + at, bytes(content))
        return length

    def _range(self, offset: int, size: int | None) -> tuple[int, int]:
        if self._memory is None:
            raise self._is_closed()
        at = operator.index(offset)
        length = self._size - at if size is None else operator.index(size)
        if at < 0 or length < 0 or length > self._size - at:
            raise errors.BadValueError(
                int(c.ERROR_INVALID_PARAMETER),
                f"{length:,} bytes at offset {at:,} do not lie in a view of {self._size:,} bytes",
            )
        return at, length

    def find(self, wanted: Any, start: int | None = 0, end: int | None = None) -> int:
        """The first place of some bytes in [start:end], or -1."""
        sought = bytes(_as_bytes(wanted))
        first, beyond, _ = slice(start, end).indices(self._size)
        if start is not None and start > self._size:  # not even nothing is there
            return -1
        for at in range(first, max(beyond - len(sought), first - 1) + 1, _WINDOW):
            found = self.read(at, min(_WINDOW + max(len(sought) - 1, 0), beyond - at)).find(sought)
            if found >= 0:
                return at + found
        return -1

    def rfind(self, wanted: Any, start: int | None = 0, end: int | None = None) -> int:
        """The last place of some bytes in [start:end], or -1."""
        sought = bytes(_as_bytes(wanted))
        first, beyond, _ = slice(start, end).indices(self._size)
        if start is not None and start > self._size:
            return -1
        last = beyond - len(sought)
        while last >= first:
            at = max(last - _WINDOW + 1, first)
            found = self.read(at, last + len(sought) - at).rfind(sought)
            if found >= 0:
                return at + found
            last = at - 1
        return -1

    # -- shapes -------------------------------------------------------------------------------------------------------

    def unpack(self, layout: str, offset: int = 0) -> tuple[Any, ...]:
        """Values in the format of `struct`, copied from an offset."""
        return struct.unpack(layout, self.read(offset, struct.calcsize(layout)))

    def pack(self, layout: str, offset: int, *values: Any) -> None:
        """Store values in the format of `struct` at an offset."""
        self.write(offset, struct.pack(layout, *values))

    def overlay(self, layout: type[Layout], offset: int = 0) -> Layout:
        """A ctypes structure, union, array or number that lies on the memory; it keeps the memory.

        On a read-only view it is read-only in effect: what is stored into it stays in this process, and its page does
        not follow the others' changes any more. (On Windows the mapping has to be open for that.) Raises TypeError for
        a layout with Python objects. RuntimeWarning for one with c_long or c_ulong, which programs for Windows see with
        4 bytes.
        """
        if not isinstance(layout, type) or not issubclass(layout, _CData):
            raise TypeError(f"a layout is a type of ctypes, not {layout!r:.100}")
        at, length = self._range(offset, ctypes.sizeof(layout))
        if _has_objects(layout):
            raise TypeError(f"{layout.__name__} has Python objects, which other processes cannot use")
        warn_of_longs(layout)
        kind: Any = layout
        found: Layout = kind.from_buffer(
            self.buf[at : at + length] if self._access.writable else self._copied(at, length)
        )
        return found

    def _copied(self, offset: int, size: int) -> memoryview:
        with errors.translated():
            return memory.copy(self._address + offset, size).buffer()

    def array(self, dtype: "DTypeLike" = "u1", shape: Any = None, offset: int = 0, order: str = "C") -> "NDArray[Any]":
        """A NumPy array on the memory: `shape` items from `offset` on (None: as many as fit); it keeps the memory.

        Read-only if the view is. Raises BadValueError if it does not fit. Needs NumPy.
        """
        import numpy

        kind = numpy.dtype(dtype)
        if kind.hasobject:
            raise TypeError(f"{kind} has Python objects, which other processes cannot use")
        at, room = self._range(offset, None)
        if shape is None:
            shape = room // kind.itemsize if kind.itemsize else 0
        needed = kind.itemsize * int(numpy.prod(shape, dtype=object))
        self._range(at, needed)
        make: Any = numpy.ndarray
        # NumPy asks the object below a memoryview whether it may write; below an array it asks the memoryview.
        below = numpy.frombuffer(self.buf, "u1")
        found: NDArray[Any] = make(shape, kind, below, at, order=order)
        return found

    def stream(self) -> ViewStream:
        """A binary file over the memory, for io.BufferedRandom and the like; its end is the view's."""
        if self._memory is None:
            raise self._is_closed()
        return ViewStream(self)

    def __buffer__(self, flags: int, /) -> memoryview:
        return self.buf

    # -- pages --------------------------------------------------------------------------------------------------------

    def flush(self, offset: int = 0, size: int | None = None, *, durable: bool = False) -> None:
        """Have what was changed written to the file; `durable`: wait until the disk has it, and the file's length."""
        address, length = self._pages(offset, size)
        with errors.translated():
            if length:
                memory.flush(address, length)
            if durable:
                memory.write_through(self._address)

    def prefetch(self, offset: int = 0, size: int | None = None) -> None:
        """Have the kernel read pages ahead; returns at once."""
        self.advise("willneed", offset, size)

    def advise(self, advice: str, offset: int = 0, size: int | None = None) -> None:
        """Say how the memory will be used: "normal", "random", "sequential", "willneed", "dontneed".

        Raises BadValueError for what the system does not know: Windows knows "willneed" alone.
        """
        if advice not in memory.ADVICE:
            raise errors.BadValueError(
                int(c.ERROR_INVALID_PARAMETER), f"{advice!r} is no advice: use one of {', '.join(memory.ADVICE)}"
            )
        address, length = self._pages(offset, size)
        if self._access.word.startswith("copy") and advice == "dontneed":
            raise errors.BadValueError(
                int(c.ERROR_INVALID_PARAMETER), "what was written to a copy would be lost: it has no other place"
            )
        with errors.translated():
            memory.advise(address, length, advice)

    def lock(self, offset: int = 0, size: int | None = None) -> None:
        """Keep pages in memory. Raises Error beyond the limit of locked memory (RLIMIT_MEMLOCK)."""
        with errors.translated():
            memory.lock(*self._pages(offset, size))

    def unlock(self, offset: int = 0, size: int | None = None) -> None:
        """Let locked pages go again."""
        with errors.translated():
            memory.unlock(*self._pages(offset, size))

    def protect(self, access: str, offset: int = 0, size: int | None = None) -> None:
        """Change what may be done with pages of the view; touching them otherwise is a signal.

        `access` as for views. The methods of this view raise PageError from now on; `buf` and arrays keep believing
        what they knew.
        """
        wanted = parse_access(access)
        with errors.translated():
            memory.protect(*self._pages(offset, size), wanted)
        # With care from now on, and not from the file, which does not know of pages that are private.
        self._careful, self._reader = True, None
        self._look_at(None)

    def commit(self, offset: int = 0, size: int | None = None) -> None:
        """Give reserved pages their space, for all processes. Raises Error if there is none."""
        with errors.translated():
            memory.commit(*self._pages(offset, size), self._access)

    def residency(self, offset: int = 0, size: int | None = None) -> bytes:
        """A byte for each page of the range: 1 if it is in memory, 0 if not. Raises Error on Windows, which tells none.
        """
        address, length = self._pages(offset, size)
        with errors.translated():
            return memory.resident(address, length) if length else b""

    def _pages(self, offset: int, size: int | None) -> tuple[int, int]:
        at, length = self._range(offset, size)
        return self._address + at, length

    # -- close --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the memory, which stays for arrays and memoryviews that were made from it."""
        self._memory = self._buf = None
        self._look_at(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        """The same memory in another process of this machine; see FileMapping."""
        if self._memory is None:
            raise self._is_closed()
        return _view_again, (self._mapping, self._offset, self._size, self.access)


def _view_again(mapping: "FileMapping", offset: int, size: int, access: str) -> View:
    # Perhaps nobody else knows the mapping that came with it: it goes with the view, without a warning.
    mapping.came_with_view = True
    return mapping.view(offset, size, access)


def _has_objects(layout: Any) -> bool:
    """Whether a type of ctypes is an address of a Python object, or has one in it."""
    kinds = [field[1] for each in layout.__mro__ for field in vars(each).get("_fields_", ())]
    if issubclass(layout, ctypes.Array):
        kinds.append(layout._type_)
    return issubclass(layout, ctypes.py_object) or any(map(_has_objects, kinds))


def _as_bytes(data: Any) -> bytes | memoryview:
    """Bytes-like data as flat bytes."""
    if type(data) is bytes:
        return data
    if isinstance(data, View):
        return data.read()
    flat = memoryview(data)
    return flat.cast("B") if flat.c_contiguous and flat.nbytes else flat.tobytes()
