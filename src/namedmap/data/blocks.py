"""Blocks that describe themselves: an object in shared memory, with a header in front that says what it is.

    block = namedmap.publish("prices", array)      block.value lies in shared memory
    block = namedmap.attach("prices")              the same memory, in any process, read-only

Bytes, NumPy arrays, Arrow tables and record batches, pandas and polars frames. An attached object is not copied (pandas
and polars copy what their own layout asks for), and nothing is ever unpickled. The layout, little endian:

    offset  size  what
         0     8  magic, "NMBLOCK\\0"; stored last, so that nobody sees half of a block
         8     2  version, 1
        10     2  kind: 1 bytes, 2 array, 3 table, 4 record batch, 5 pandas, 6 polars
        12     4  CRC-32 of the bytes from 8 to the data, without these four
        16     8  length of the data, in bytes
        24     8  offset of the data, a multiple of 64
        32     4  length of the description
        36     4  zero
        40        the description, JSON: of an array {"dtype", "shape", "order"}

Data of the kinds 3 to 6 is an Arrow IPC stream. A program that may write to a block can make the data say anything;
what the header says is checked before it is believed, and of Arrow data the sizes of buffers. Offsets inside of Arrow
columns are not: call `value.validate(full=True)` on tables of somebody whom you do not trust, before anything else.
Frames are checked to the end when they are attached. Subclasses of arrays come back as arrays.

Readers see what the publisher stores at once, and half of it too. A program that changes a block takes turns with them:

    with namedmap.Mutex("prices.mutex"):
        block.value[0] = 1.5
"""

import contextlib
import json
import struct
import zlib
from typing import Any, NamedTuple, Self, Unpack

from namedmap import constants as c
from namedmap.data.formats import FORMATS, Format, format_of
from namedmap.errors import BlockError
from namedmap.memory import mapping as mappings
from namedmap.memory.mapping import FileMapping
from namedmap.memory.view import View
from namedmap.permissions import Sharing

_MAGIC, _VERSION, _ALIGNMENT = b"NMBLOCK\0", 1, 64
_HEADER = struct.Struct("<8sHHIQQII")
_LONGEST_DESCRIPTION = 1 << 24


class _Header(NamedTuple):
    kind: int
    length: int
    offset: int
    description: Any


class Block:
    """An object in shared memory. Made by publish and attach."""

    def __init__(self, mapping: FileMapping, view: View, format: Format, value: Any) -> None:
        """Use publish or attach."""
        self._mapping, self._view, self._format, self._value = mapping, view, format, value

    @property
    def value(self) -> Any:
        """The object: it lies on the memory and keeps it, also when the block is closed."""
        return self._value

    @property
    def name(self) -> str | None:
        """The name that others attach by."""
        return self._mapping.name

    @property
    def kind(self) -> str:
        """ "bytes", "array", "table", "batch", "pandas" or "polars"."""
        return self._format.name

    @property
    def size(self) -> int:
        """Of the memory, with the header, in bytes."""
        return self._view.size

    @property
    def created(self) -> bool:
        """Whether it was published here, rather than attached."""
        return self._mapping.created

    @property
    def closed(self) -> bool:
        return self._mapping.closed

    def close(self) -> None:
        """Let go of the name, which ends with the last one; `value` stays."""
        self._view.close()
        self._mapping.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.kind}, {self.size:,} bytes"
        return f"<namedmap.Block {self.name!r}: {state}>"

    def __reduce__(self) -> tuple[object, ...]:
        """The same memory in another process of this machine."""
        return _attached, (self._mapping, self._view.access)


def publish(name: str | None, value: Any, **who: Unpack[Sharing]) -> Block:
    """Copy an object into shared memory of this name. Raises ExistsError; TypeError for what cannot be shared.

    `block.value` is the copy: bytes as a writable memoryview, an array writable. For the others who may use it see
    namedmap.permissions (`mode`, `group`, `security`). A program that changes it while others read needs a Mutex with
    them.

    >>> with publish("example.block", b"abc") as block:
    ...     block.kind, block.created, bytes(block.value)
    ('bytes', True, b'abc')
    """
    format = format_of(value)
    value = format.prepare(value)
    length, description = format.measure(value)
    text = json.dumps(description).encode()
    offset = -(-(_HEADER.size + len(text)) // _ALIGNMENT) * _ALIGNMENT
    with contextlib.ExitStack() as undo:
        mapping = undo.enter_context(mappings.create(name, offset + max(length, 1), **who))
        view = undo.enter_context(mapping.view())
        stored = format.store(value, view.buf[offset : offset + length], description)
        header = _HEADER.pack(_MAGIC, _VERSION, format.code, 0, length, offset, len(text), 0)
        whole = header + text + bytes(offset - len(header) - len(text))
        view[8:offset] = whole[8:12] + _checksum(whole).to_bytes(4, "little") + whole[16:]
        view[:8] = _MAGIC
        undo.pop_all()
    return Block(mapping, view, format, stored)


def attach(name: str, access: str = "read") -> Block:
    """The object in the block of this name, without a copy. Raises NotFoundError, BlockError.

    With the access "write" bytes and arrays can be changed, with "copy" in this process only.

    >>> with publish("example.block", b"abc"), attach("example.block") as block, attach("example.block", "copy") as own:
    ...     own.value[0] = 65
    ...     bytes(block.value), block.value.readonly, bytes(own.value)
    (b'abc', True, b'Abc')
    """
    return _attached(mappings.open(name, access), access)


def _attached(mapping: FileMapping, access: str) -> Block:
    """The block in a mapping, which is closed if there is none; also what unpickling calls."""
    with contextlib.ExitStack() as undo:
        undo.enter_context(mapping)
        view = undo.enter_context(mapping.view(access=access))
        header = _read_header(mapping, view)
        format = FORMATS[header.kind]
        with _doubted(mapping):
            value = format.load(view.buf[header.offset : header.offset + header.length], header.description)
        undo.pop_all()
    return Block(mapping, view, format, value)


def _read_header(mapping: FileMapping, view: View) -> _Header:
    """The content of the header, if it can be true."""
    if view.size < _HEADER.size:
        raise _error(mapping, "it is too small for a header")
    # The magic first, since it is stored last; each byte once, since others may write to it while it is judged.
    raw = view.read(0, 8) + view.read(8, _HEADER.size - 8)
    magic, version, kind, checksum, length, offset, text_length, _ = _HEADER.unpack(raw)
    if magic != _MAGIC:
        unfinished = "it is not published to the end yet: try again when its publisher is done"
        raise _error(mapping, unfinished if magic == bytes(8) else "it was not made by publish: use namedmap.open")
    if version != _VERSION:
        raise _error(mapping, f"its version is {version}; this namedmap reads {_VERSION}: use the same version")
    if not _HEADER.size + text_length <= offset <= view.size or length > view.size - offset:
        raise _error(mapping, f"its header speaks of {length:,} bytes at {offset:,}, and it has {view.size:,}")
    if text_length > _LONGEST_DESCRIPTION or offset > _HEADER.size + text_length + _ALIGNMENT or offset % _ALIGNMENT:
        raise _error(mapping, "its header has no sense")
    rest = view.read(_HEADER.size, offset - _HEADER.size)
    if _checksum(raw + rest) != checksum:
        raise _error(mapping, "the checksum of its header is wrong: somebody wrote over it, so publish it again")
    if kind not in FORMATS:
        raise _error(mapping, f"it has an unknown kind, {kind}")
    with _doubted(mapping):
        return _Header(kind, length, offset, json.loads(rest[:text_length].decode()))


def _checksum(header: bytes) -> int:
    """Of all of a header but the magic and the checksum itself."""
    return zlib.crc32(header[16:], zlib.crc32(header[8:12]))


@contextlib.contextmanager
def _doubted(mapping: FileMapping) -> Any:
    """Errors of whoever interprets what the block says are the block's."""
    try:
        yield
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        raise _error(mapping, f"it says what cannot be: {error.with_traceback(None)}") from None


def _error(mapping: FileMapping, why: str) -> BlockError:
    return BlockError(int(c.ERROR_FILE_CORRUPT), f"{mapping!r} is no block that can be attached: {why}")
