"""Reads and writes of this process's own memory that survive pages that fault.

They go page by page, because whether an access faults is decided page by page.
"""

import ctypes
from collections.abc import Iterator

import host
from host import Fault

__all__ = ["PAGE", "Fault", "read", "write"]

PAGE = 4096


def read(address: int, count: int) -> bytes:
    """The `count` bytes at `address`. Raises Fault."""
    buffer = ctypes.create_string_buffer(count)
    _transfer(ctypes.addressof(buffer), address, count, store=False)
    return buffer.raw


def write(address: int, content: bytes) -> None:
    """Store `content` at `address`. Raises Fault; the bytes before the one that faults are stored then."""
    buffer = ctypes.create_string_buffer(content, len(content))
    _transfer(ctypes.addressof(buffer), address, len(content), store=True)


def _transfer(local: int, remote: int, count: int, *, store: bool) -> None:
    done = 0
    for start, length in _pieces(remote, count):
        try:
            host.move(local + done, start, length, store=store)
        except Fault as fault:
            raise Fault(fault.kind, done + fault.index) from None
        done += length


def _pieces(address: int, count: int) -> Iterator[tuple[int, int]]:
    end = address + count
    while address < end:
        length = min(PAGE - address % PAGE, end - address)
        yield address & 0xFFFFFFFFFFFFFFFF, length
        address += length
