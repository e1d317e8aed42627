"""Reading and writing memory that may not be there: an error where a touch would end the process.

ctypes makes an OSError of a fault in a foreign function; a plain access through a buffer of Python is not guarded.
"""

import ctypes

from namedmap._convention.status import NTSTATUS, KernelError


def read(address: int, size: int) -> bytes:
    """Bytes of this process, or an error where a touch would be a fault."""
    room = ctypes.create_string_buffer(size)
    _move(ctypes.addressof(room), address, size, address)
    return room.raw


def write(address: int, data: bytes) -> None:
    """Store bytes in memory of this process, or raise an error where a touch would be a fault."""
    # As an object, whose bytes ctypes passes where they are.
    _move(address, data, len(data), address)


def _move(target: int, source: int | bytes, size: int, address: int) -> None:
    try:
        ctypes.memmove(target, source, size)
    except OSError:
        raise gone(address) from None


def gone(address: int) -> KernelError:
    return KernelError(
        NTSTATUS.STATUS_IN_PAGE_ERROR,
        f"the memory at {address:#x} is not there: its pages are reserved and not committed, their protection forbids "
        "this, it was unmapped, or the volume of its file does not answer",
    )
