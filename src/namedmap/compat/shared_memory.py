"""The standard library's `multiprocessing.shared_memory`, with the lifetime that Windows gives it, on every platform.

A block lives as long as anybody has it open, in whatever process, and ends with the last of them however that one ends.
Nobody has to call unlink, which does nothing, as on Windows; no process is started to watch over blocks. Its size is
what was asked for, for everybody.

On Windows it is a subclass of the standard library's class, which has these lifetimes there. A block that comes pickled
has its size there; one that is attached to by its name alone has whole pages.

So a process that passes on a name keeps the block open until the other has it. (One that passes the block itself as an
argument of a new process need not: it is kept open on the way.)
"""

import contextlib
import itertools
import mmap
import operator
import os
import secrets
import struct
import sys
import types
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Self

from namedmap import constants as c
from namedmap import errors
from namedmap._contract import SectionHandle
from namedmap._finalizer import finalizer
from namedmap._platform import native, sections
from namedmap.access import parse
from namedmap.memory.handing import Passable

__all__ = ["ShareableList", "SharedMemory"]

# The names that the standard library's users (and tests) reach for.
_USE_POSIX = False
_SHM_NAME_PREFIX = "/psm_"
_ACCESS = parse("write")


def _make_filename() -> str:
    """A name for a new block."""
    return _SHM_NAME_PREFIX + secrets.token_hex(4)


class SharedMemory:
    """A block of shared memory: create a new one, or attach to one by its name."""

    _name = ""
    _mmap: "_Memory | None" = None
    _buf: memoryview | None = None
    _size = 0

    def __init__(self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool = True) -> None:
        """Create a block of `size` bytes (without a name: under a new one), or attach to one, which has its own size.

        `track` has no effect. Raises FileExistsError, FileNotFoundError.
        """
        size = operator.index(size)
        if size < 0:
            raise ValueError("'size' must be a positive integer")
        if create and not size:
            raise ValueError("'size' must be a positive number different from zero")
        if name is None and not create:
            raise ValueError("'name' can only be None if create=True")
        if name is None:
            section = self._create_unnamed(size)
        else:
            # As the standard library has it: the slash is no part of the name that is shown.
            self._name = "/" + name
            section = _create(self._name, size) if create else _open(self._name)
        self._mmap = _Memory(section)
        self._size = len(self._mmap)
        self._buf = memoryview(self._mmap)

    def _create_unnamed(self, size: int) -> SectionHandle:
        while True:
            self._name = _make_filename()
            with contextlib.suppress(FileExistsError):
                return _create(self._name, size)

    def __del__(self) -> None:
        """Nothing: name and memory go with the last who uses `buf`, or an array over it. (Subclasses call this.)"""

    def __reduce__(self) -> tuple[object, ...]:
        """By name; on the way to a new process the block is kept open."""
        arguments = (self.name, False, self.size)
        if self._mmap is None or not _starts_process():
            return type(self), arguments
        return _attach_passed, (type(self), arguments, self._mmap._sendable())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, size={self.size})"

    @property
    def buf(self) -> memoryview | None:
        """The memory; None after close."""
        return self._buf

    @property
    def name(self) -> str:
        """The name that others attach by."""
        return self._name.removeprefix("/")

    @property
    def size(self) -> int:
        """In bytes, as asked for when it was created."""
        return self._size

    def close(self) -> None:
        """Let go of the block; the last one ends it. Raises BufferError while a memoryview of `buf` is in use.

        Not for an array that numpy.ndarray made over `buf`, of which nobody can know: its memory stays mapped.
        """
        if self._mmap is None:
            return
        if self._buf is not None:
            self._buf.release()
        if self._mmap.in_use():
            self._buf = memoryview(self._mmap)
            raise BufferError(f"cannot close {self!r}: exported pointers exist, release the memoryviews of it first")
        self._mmap._let_go()
        # Not closed: an array may have it without a buffer, and would be left with an address that is no longer mapped.
        self._buf = self._mmap = None

    def unlink(self) -> None:
        """Nothing: the block ends with the last who has it open."""


class _Memory(Passable, mmap.mmap):
    """The bytes of a section, and the handle to it, which goes with the last buffer."""

    def __new__(cls, section: SectionHandle) -> Self:
        try:
            with errors.translated():
                size, fd = section.size(), section.open_data()
            try:
                made = super().__new__(cls, fd, size)
            finally:
                os.close(fd)
        except BaseException:
            section.close()
            raise
        made._section = section
        return made

    def in_use(self) -> bool:
        """Whether there are buffers of it."""
        try:
            # Nothing tells; but no map is resized while there are any, and none to a size below 0.
            self.resize(-1)
        except BufferError:
            return True
        except (ValueError, TypeError, SystemError):
            pass
        return False

    @finalizer
    def __del__(self) -> None:
        self._let_go()


def _object_name(name: str) -> str:
    """The name of the section. As in shm_open, slashes before it mean nothing."""
    found = name.lstrip("/")
    if not found:
        raise errors.of(int(c.ERROR_INVALID_NAME), f"{name!r} is no name for a block: give it one, or None for any")
    return found


def _create(name: str, size: int) -> SectionHandle:
    with errors.translated():
        section, created = sections.create(_object_name(name), size, _ACCESS)
    if not created:
        section.close()
        raise errors.of(int(c.ERROR_ALREADY_EXISTS), f"block {name.removeprefix('/')!r} exists: attach to it")
    return section


def _open(name: str) -> SectionHandle:
    with errors.translated():
        return sections.open(_object_name(name), _ACCESS)


def _starts_process() -> bool:
    """Whether what is pickled now are the arguments of a new process, which can be given descriptors."""
    context: Any = sys.modules.get("multiprocessing.context")  # who starts one has imported it
    return context is not None and context.get_spawning_popen() is not None


def _attach_passed(cls: type[SharedMemory], arguments: tuple[Any, ...], passage: object) -> SharedMemory:
    """In a new process: attach by name, while the descriptor that came with it keeps the block."""
    fd: int = operator.methodcaller("detach")(passage)
    try:
        return cls(*arguments)
    finally:
        os.close(fd)


if native:
    # Not elsewhere, where programs are spared the standard library's module, and the watching of blocks with it.
    from namedmap.compat import _standard_blocks

    globals()["SharedMemory"] = _standard_blocks.SharedMemory


# -- lists -------------------------------------------------------------------------------------------------------------

_ALIGNMENT = 8
#: The codes that say how an item comes back.
_PLAIN, _STR, _BYTES, _NONE = range(4)
_FORMATS = {int: "q", float: "d", bool: "xxxxxxx?", type(None): "xxxxxx?x"}

Item = int | float | bool | str | bytes | None


class _ItemTypeError(TypeError, KeyError):
    """No item can have this type; for the standard library's class that is a KeyError."""

    def __str__(self) -> str:
        return str(self.args[0])


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
            self._load()
            return
        if sequence is not None and not hasattr(type(sequence), "__iter__"):
            # A pointer of ctypes has items all the same, as many as there is memory.
            raise TypeError(f"a ShareableList is of a list or tuple, not of a {type(sequence).__name__}")
        items = list(() if sequence is None else sequence)
        formats = [_format(item) for item in items]
        offsets = [0]
        for layout in formats:
            offsets.append(offsets[-1] + struct.calcsize(layout))
        self.shm = SharedMemory(name, create=True, size=self._lay_out(offsets))
        self._write(f"{len(items) + 2}q", 0, len(items), *offsets)
        for position, (item, layout) in enumerate(zip(items, formats, strict=True)):
            self._store(position, item, layout)

    def _load(self) -> None:
        """Find out where what lies. Raises ValueError if the block holds no list."""
        size, count = self.shm.size, -1
        if size >= 2 * _ALIGNMENT:
            (count,) = self._read("q", 0)
        if 0 <= count <= size // _ALIGNMENT - 2:
            offsets = list(self._read(f"{count + 1}q", _ALIGNMENT))
            rising = all(low <= high for low, high in itertools.pairwise(offsets))
            if offsets[0] == 0 and rising and self._lay_out(offsets) <= size:
                return
        raise ValueError(f"block {self.shm.name!r} holds no ShareableList")

    def _lay_out(self, offsets: list[int]) -> int:
        """Reckon where what lies; returns the size of it all in bytes."""
        self._list_len, self._allocated_offsets = len(offsets) - 1, offsets
        self._at_data = _ALIGNMENT * (self._list_len + 2)
        self._at_formats = self._at_data + offsets[-1]
        self._at_codes = self._at_formats + _ALIGNMENT * self._list_len
        self._at_lengths = self._at_codes + self._list_len
        return self._at_lengths + _ALIGNMENT * self._list_len

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
        raw: bytes = self._read("8s", self._at_formats + _ALIGNMENT * index)[0]
        return raw.rstrip(b"\0").decode()

    def __getitem__(self, position: int) -> Any:
        index = self._index(position, "index")
        (value,) = self._read(self._get_packing_format(index), self._at_data + self._allocated_offsets[index])
        (code,) = self._read("b", self._at_codes + index)
        if code == _NONE:
            return None
        if code in (_STR, _BYTES):
            (length,) = self._read("q", self._at_lengths + _ALIGNMENT * index)
            value = value[: max(length, 0)]
        return value.decode() if code == _STR else value

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
        self._write(layout, self._at_data + self._allocated_offsets[index], encoded)
        self._write("8s", self._at_formats + _ALIGNMENT * index, layout.encode())
        self._write("b", self._at_codes + index, _NONE if value is None else code)
        length = len(encoded) if isinstance(encoded, bytes) else 0
        self._write("q", self._at_lengths + _ALIGNMENT * index, length)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(self._list_len))

    def __len__(self) -> int:
        length: int = self._read("q", 0)[0]
        return length

    def __repr__(self) -> str:
        items = "closed" if self.shm.buf is None else list(self)
        return f"{type(self).__name__}({items}, name={self.shm.name!r})"

    def __reduce__(self) -> tuple[object, ...]:
        attach = partial(type(self), name=self.shm.name)
        # To a new process the block comes along, which is kept open on the way.
        return (_attach_list, (attach, self.shm)) if _starts_process() else (attach, ())

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


def _attach_list(attach: "partial[ShareableList]", _: SharedMemory) -> ShareableList:
    return attach()


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
            raise _ItemTypeError(
                f"a ShareableList has items of int, float, bool, str, bytes and None, not {type(value).__name__}"
            )
        layout = found
    if len(layout) > _ALIGNMENT:
        raise ValueError("a str or bytes item has less than 10,000,000 bytes")
    return layout
