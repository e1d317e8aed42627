"""The control page: the last 4096 bytes of an object file. Its layout is an ABI, listed byte by byte in docs/design.md.

It is always read with pread, never through a mapping, so that no truncated or hostile file can raise SIGBUS here; it is
believed only after `parse` has checked every length in it against the size of the file.
"""

import functools
import os
import struct
from binascii import crc32
from enum import IntEnum
from typing import Any

from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.linux.libc import PAGE
from namedmap._kernel.linux.protection import NOACCESS, TABLE
from namedmap._kernel.names.names import MAXIMUM_LENGTH

MAGIC = b"NAMEDMAP"
VERSION = 3
CONTROL_SIZE = 4096
STATE_OFFSET = 128  # state words of mutex, semaphore and event: bytes 128-255 of the page
TEXT_OFFSET = 256

_HEADER = struct.Struct("<8sIIIIIIQQQQQIIQQIIQ")
_CRC_OFFSET = _HEADER.size
_STATE = struct.Struct("<i4xii")  # count, maximum, flags; the other words start as 0, see `dispatcher`
#: The page up to TEXT_OFFSET: header and checksum, padded to STATE_OFFSET, and the state.
_HEAD = struct.Struct(f"<{_HEADER.size}sI12xi4xii112x")

_TEXT_PLACE = struct.Struct("<QII")  # of the header: text offset, lengths of name and path
_TEXT_PLACE_OFFSET = 64

#: In bytes. A name is cut to MAXIMUM_LENGTH UTF-16 units, each of which takes 3 bytes at most; a path ends at PATH_MAX.
LONGEST_NAME, LONGEST_PATH = 3 * MAXIMUM_LENGTH, 4096

FLAG_FILE_BACKED = 1
FLAG_RESERVE = 2


class Kind(IntEnum):
    """The kinds of object that share the namespace."""

    SECTION = 1
    MUTANT = 2
    SEMAPHORE = 3
    EVENT = 4

    @property
    def noun(self) -> str:
        """The word for it in errors."""
        return "mutex" if self is Kind.MUTANT else self.name.lower()


_KINDS = {int(kind): kind for kind in Kind}


class Control:
    """The content of a control page. Sizes in bytes."""

    kind: Kind
    name: str
    flags: int
    protection: int  # PAGE_* of a section
    attributes: int  # SEC_* of a section, as NtQuerySection reports them
    size: int  # of a section
    requested: int  # the size that was asked for, before rounding to pages
    data_length: int  # of the data area at offset 0 of this file; 0 when the data is another file's
    bitmap_length: int  # of the commit bitmap behind the data; SEC_RESERVE only
    backing_path = ""
    backing_device = 0
    backing_inode = 0
    creator_uid = 0
    creator_pid = 0
    created = 0  # nanoseconds since the epoch
    state = (0, 0, 0)  # count, maximum, flags: as it was when the page was made or read
    page_at = 0  # offset of the page in its file
    backing_fd = -1  # of this process only: the creator's descriptor of the backing file
    owner: object = None  # of this process only: who owns the mutex that is being made

    # By hand, as dataclasses and what they import would be a tenth of the start of a program.
    def __init__(
        self, kind: Kind, name: str = "", flags: int = 0, protection: int = 0, attributes: int = 0,
        size: int = 0, requested: int = 0, data_length: int = 0, bitmap_length: int = 0, **others: Any
    ) -> None:  # fmt: skip
        self.kind, self.name, self.flags = kind, name, flags
        self.protection, self.attributes, self.size, self.requested = protection, attributes, size, requested
        self.data_length, self.bitmap_length = data_length, bitmap_length
        if others:
            vars(self).update(others)

    def but(self, **changes: object) -> "Control":
        """A copy with other values in some fields."""
        copy = Control.__new__(Control)
        vars(copy).update(vars(self), **changes)
        return copy

    def __str__(self) -> str:
        """How errors call the object."""
        kind = self.kind.noun
        return f"{kind} {self.name!r}" if self.name else f"an unnamed {kind}"

    def build(self) -> tuple[int, bytes, int]:
        """(offset in the file, bytes to write there, size of the file); what is not written is zero."""
        text = self.name.encode("utf-8", "surrogatepass")
        name_length, path_length = len(text), 0
        if self.backing_path:
            text += self.backing_path.encode("utf-8", "surrogateescape")
            path_length = len(text) - name_length
        start = page_at = self.data_length + self.bitmap_length
        text_at = page_at + TEXT_OFFSET
        inline = TEXT_OFFSET + len(text) <= CONTROL_SIZE
        if not inline:
            text_at, page_at = start, start + -(-len(text) // CONTROL_SIZE) * CONTROL_SIZE
        self.page_at = page_at
        header = _HEADER.pack(
            MAGIC, VERSION, self.kind, self.flags, self.protection, self.attributes, self.creator_uid,
            self.size, self.requested, self.data_length, self.bitmap_length, text_at,
            name_length, path_length, self.backing_device, self.backing_inode, self.creator_pid, 0, self.created,
        )  # fmt: skip
        head = _HEAD.pack(header, crc32(header), *self.state)
        if inline:
            return page_at, head + text, page_at + CONTROL_SIZE
        return start, text.ljust(page_at - start, b"\0") + head, page_at + CONTROL_SIZE


def parse(fd: int, file_size: int, what: object) -> Control:
    """Read and check the control page of an object file; `what` names it in errors.

    The result is shared between callers: it must not be changed.
    """
    page = os.pread(fd, CONTROL_SIZE, file_size - CONTROL_SIZE) if file_size >= CONTROL_SIZE else b""
    if len(page) < CONTROL_SIZE or page[:8] != MAGIC:
        raise corrupt(what, "it has no control page")
    version = int.from_bytes(page[8:12], "little")
    if version != VERSION:
        raise KernelError(
            NTSTATUS.STATUS_REVISION_MISMATCH,
            f"{what} has format version {version}, this namedmap reads {VERSION}: use one release on both sides",
        )
    text_at, name_length, path_length = _TEXT_PLACE.unpack_from(page, _TEXT_PLACE_OFFSET)
    start, length = text_at - (file_size - CONTROL_SIZE), name_length + path_length
    if text_at + length > file_size:
        raise corrupt(what, "its name and path lie outside of the file")
    # The file may have holes: a text of any length costs whoever made it nothing, and whoever reads it memory.
    if name_length > LONGEST_NAME or path_length > LONGEST_PATH:
        raise corrupt(what, f"its name or path is longer ({length:,} bytes) than names and paths can be")
    text = page[start : start + length] if start >= 0 else os.pread(fd, length, text_at)
    try:
        # The cache keeps only what a page has room for, so that long names of others do not fill memory.
        decoded = decode if length <= CONTROL_SIZE else decode.__wrapped__
        return decoded(page[:TEXT_OFFSET], text, file_size)
    except ValueError as error:
        raise corrupt(what, str(error)) from None


@functools.lru_cache(maxsize=256)
def decode(head: bytes, text: bytes, file_size: int) -> Control:
    """The checked content of a page, decoded once however often it is opened; ValueError says what is wrong."""
    header = head[: _HEADER.size]
    if crc32(header) != int.from_bytes(head[_CRC_OFFSET : _CRC_OFFSET + 4], "little"):
        raise ValueError("the checksum of its control page is wrong")
    (_, _, kind, flags, protection, attributes, uid, size, requested, data, bitmap, _, name_length, _,
     device, inode, pid, _, created) = _HEADER.unpack(header)  # fmt: skip
    if (
        kind not in _KINDS
        or data + bitmap + CONTROL_SIZE > file_size
        or (kind == Kind.SECTION and not _is_section(flags, protection, size, requested, data, bitmap))
    ):
        raise ValueError("what its control page says does not fit together")
    return Control(
        kind=_KINDS[kind], name=text[:name_length].decode("utf-8", "surrogatepass"), flags=flags,
        protection=protection, attributes=attributes, size=size, requested=requested,
        data_length=data, bitmap_length=bitmap,
        backing_path=text[name_length:].decode("utf-8", "surrogateescape"), backing_device=device,
        backing_inode=inode, creator_uid=uid, creator_pid=pid, created=created,
        state=_STATE.unpack_from(head, STATE_OFFSET), page_at=file_size - CONTROL_SIZE,
    )  # fmt: skip


def _is_section(flags: int, protect: int, size: int, requested: int, data: int, bitmap: int) -> bool:
    """Whether sizes (in bytes) and protection are possible for a section."""
    if protect not in TABLE or protect == NOACCESS or not 0 < requested <= size:
        return False
    if flags & FLAG_FILE_BACKED:
        return data == 0 and not flags & FLAG_RESERVE
    return size == data and (not flags & FLAG_RESERVE or bitmap * 8 * PAGE >= data)


def corrupt(what: object, reason: str) -> KernelError:
    return KernelError(
        NTSTATUS.STATUS_FILE_CORRUPT,
        f"{what} is in use but is no valid object file: {reason}. End the programs that hold it, or remove the file",
    )
