"""The standard library's `multiprocessing.shared_memory`, with the lifetime that Windows gives it, on every platform.

A block lives as long as anybody has it open, in whatever process, and ends with the last of them however he ends.
Nobody has to call unlink, which does nothing, as on Windows; no process is started to watch over blocks. Its size is
what was asked for, for everybody.
"""

import contextlib
import operator
import secrets
import struct
import types
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from namedmap import mappings
from namedmap.compat.mmap import mmap

__all__ = ["ShareableList", "SharedMemory"]

# The names that the standard library's users (and tests) reach for.
_USE_POSIX = False
_SHM_NAME_PREFIX = "psm_"


def _make_filename() -> str:
    """A name for a new block."""
    return _SHM_NAME_PREFIX + secrets.token_hex(4)


class SharedMemory:
    """A block of shared memory: create a new one, or attach to one by its name."""

    _name: str | None = None
    _mmap: mmap | None = None
    _buf: memoryview | None = None
    _size = 0

    def __init__(self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool = True) -> None:
        """Create a block of `size` bytes (without a name: under a new one), or attach to one. `track` has no effect."""
        size = operator.index(size)
        if size < 0:
            raise ValueError("'size' must be a positive integer")
        if create and not size:
            raise ValueError("'size' must be a positive number different from zero")
        if name is None and not create:
            raise ValueError("'name' can only be None if create=True")
        if name is not None and "\0" in name:
            raise ValueError("a name has no null character")
        if name is None or create:
            self._name, memory = self._create(name, size)
        else:
            # Of the size that it has, whatever was asked for.
            self._name, memory = name, mmap(-1, 0, tagname=_tag(name))
        self._mmap, self._size, self._buf = memory, len(memory), memoryview(memory)

    def _create(self, name: str | None, size: int) -> tuple[str, mmap]:
        while True:
            chosen = _make_filename() if name is None else name
            try:
                # Held meanwhile, so that the map joins the new block.
                with mappings.create(_tag(chosen), size):
                    return chosen, mmap(-1, size, tagname=_tag(chosen))
            except FileExistsError:
                if name is not None:
                    raise

    def __del__(self) -> None:
        with contextlib.suppress(BufferError, OSError):
            self.close()

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.name, False, self.size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, size={self.size})"

    @property
    def buf(self) -> memoryview | None:
        """The memory; None after close."""
        return self._buf

    @property
    def name(self) -> str:
        """What others attach by."""
        return (self._name or "").removeprefix("/")

    @property
    def size(self) -> int:
        """In bytes, as asked for when it was created."""
        return self._size

    def close(self) -> None:
        """Let go of the block; the last one ends it. Raises BufferError while anybody uses a view of `buf`."""
        if self._buf is not None:
            self._buf.release()
            self._buf = None
        if self._mmap is not None:
            self._mmap.close()
            self._mmap = None

    def unlink(self) -> None:
        """Nothing: the block ends with the last who has it open."""


def _tag(name: str) -> str:
    return name.removeprefix("/")


# -- lists -------------------------------------------------------------------------------------------------------------

_ALIGNMENT = 8
#: The codes that say how an item comes back.
_PLAIN, _STR, _BYTES, _NONE = range(4)
_FORMATS = {int: "q", float: "d", bool: "xxxxxxx?", type(None): "xxxxxx?x"}

Item = int | float | bool | str | bytes | None


class ShareableList:
    """A list of fixed length in shared memory, of int (64 bits), float, bool, str, bytes and None.

    An item may be replaced by one of any of these types; a str or bytes must fit into the room that it had. The layout
    is that of the standard library, plus the exact length of each str and bytes at the end: so NULs at the end of an
    item stay, which are lost there (cpython#106939), and room is reckoned in bytes, not characters (cpython#145261).

        8 bytes           the number of items, N
        8 * (N + 1)       where each item begins in the data, and where the data ends
        …                 the data, each item at a multiple of 8
        8 * N             the struct format of each item
        N                 how each item comes back: 0 as it is, 1 str, 2 bytes, 3 None
        8 * N             the length of each str and bytes
    """

    shm: SharedMemory

    def __init__(self, sequence: Iterable[Item] | None = None, *, name: str | None = None) -> None:
        """A new list of these items, or the one in the block of this name."""
        if name is not None and sequence is None:
            self.shm = SharedMemory(name)
            self._list_len = len(self)
            self._allocated_offsets: list[int] = list(self._read(f"{self._list_len + 1}q", 8))
            return
        items = list(sequence or ())
        offsets = [0]
        for item in items:
            offsets.append(offsets[-1] + struct.calcsize(_format(item)))
        self._list_len, self._allocated_offsets = len(items), offsets
        self.shm = SharedMemory(name, create=True, size=self._at_lengths + 8 * len(items))
        self._write(f"{len(items) + 2}q", 0, len(items), *offsets)
        for position, item in enumerate(items):
            self._store(position, item, _format(item))

    # -- where what lies ----------------------------------------------------------------------------------------------

    @property
    def _offset_data_start(self) -> int:
        return 8 * (self._list_len + 2)

    @property
    def _offset_packing_formats(self) -> int:
        end: int = self._allocated_offsets[-1]
        return self._offset_data_start + end

    @property
    def _offset_back_transform_codes(self) -> int:
        return self._offset_packing_formats + 8 * self._list_len

    @property
    def _at_lengths(self) -> int:
        return self._offset_back_transform_codes + self._list_len

    def _read(self, layout: str, offset: int) -> tuple[Any, ...]:
        return struct.unpack_from(layout, self._memory, offset)

    def _write(self, layout: str, offset: int, *values: Any) -> None:
        # Packed before it is stored: pack_into would leave half of a value that it refuses.
        packed = struct.pack(layout, *values)
        self._memory[offset : offset + len(packed)] = packed

    @property
    def _memory(self) -> memoryview:
        if self.shm.buf is None:
            raise ValueError("the memory of this list is closed")
        return self.shm.buf

    # -- items --------------------------------------------------------------------------------------------------------

    def _index(self, position: int, what: str) -> int:
        index = operator.index(position)
        index += self._list_len if index < 0 else 0
        if not 0 <= index < self._list_len:
            raise IndexError(f"{what} out of range")
        return index

    def _get_packing_format(self, position: int) -> str:
        """The struct format of an item."""
        index = self._index(position, "index")
        raw: bytes = self._read("8s", self._offset_packing_formats + 8 * index)[0]
        return raw.rstrip(b"\0").decode()

    def __getitem__(self, position: int) -> Item:
        index = self._index(position, "index")
        layout = self._get_packing_format(index)
        (value,) = self._read(layout, self._offset_data_start + self._allocated_offsets[index])
        (code,) = self._read("b", self._offset_back_transform_codes + index)
        if code in (_STR, _BYTES):
            (length,) = self._read("q", self._at_lengths + 8 * index)
            value = value[: max(length, 0)]
        found: Item = None if code == _NONE else value.decode() if code == _STR else value
        return found

    def __setitem__(self, position: int, value: Item) -> None:
        index = self._index(position, "assignment index")
        layout = _format(value)
        if isinstance(value, str | bytes):
            room = self._allocated_offsets[index + 1] - self._allocated_offsets[index]
            if len(_encoded(value)) > room:
                raise ValueError(f"bytes/str item exceeds available storage of {room} bytes")
            layout = f"{room}s"
        self._store(index, value, layout)

    def _store(self, index: int, value: Item, layout: str) -> None:
        encoded = _encoded(value) if isinstance(value, str | bytes) else value
        code = _STR if isinstance(value, str) else _BYTES if isinstance(value, bytes) else _PLAIN
        # First, because this one may refuse the value.
        self._write(layout, self._offset_data_start + self._allocated_offsets[index], encoded)
        self._write("8s", self._offset_packing_formats + 8 * index, layout.encode())
        self._write("b", self._offset_back_transform_codes + index, _NONE if value is None else code)
        self._write("q", self._at_lengths + 8 * index, len(encoded) if isinstance(encoded, bytes) else 0)

    def __iter__(self) -> Iterator[Item]:
        return (self[index] for index in range(self._list_len))

    def __len__(self) -> int:
        length: int = self._read("q", 0)[0]
        return length

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)}, name={self.shm.name!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), name=self.shm.name), ()

    @property
    def format(self) -> str:
        """The struct format of all items."""
        return "".join(self._get_packing_format(index) for index in range(self._list_len))

    def count(self, value: object) -> int:
        """How many items equal the value."""
        return sum(value == each for each in self)

    def index(self, value: object) -> int:
        """The first place of an item that equals the value. Raises ValueError."""
        for position, each in enumerate(self):
            if value == each:
                return position
        raise ValueError(f"{value!r} not in this container")

    __class_getitem__: Any = classmethod(types.GenericAlias)


def _encoded(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _format(value: Item) -> str:
    """The struct format of an item, with room for more in that of a str or bytes."""
    if isinstance(value, str | bytes):
        # As in the standard library, by characters; but never less than the bytes need.
        units = max(len(value) // _ALIGNMENT + 1, -(-len(_encoded(value)) // _ALIGNMENT))
        layout = f"{_ALIGNMENT * units}s"
    else:
        found = _FORMATS.get(type(value))
        if found is None:
            raise KeyError(type(value))
        layout = found
    if len(layout) > 8:
        raise ValueError("a str or bytes item has less than 10,000,000 bytes")
    return layout
