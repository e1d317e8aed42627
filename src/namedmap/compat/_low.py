"""Memory below 2 GiB, for calls whose result a program takes for a C int: of any other address it would get a half.

A program that declares no restype gets an int of 32 bits, as on Windows, where it works as long as the addresses are
low. Here they are not, unless one asks for them.
"""

from collections.abc import Callable

from namedmap._platform import functions
from namedmap.constants import ERROR_INVALID_ADDRESS, ERROR_NOT_ENOUGH_MEMORY, MEM_RELEASE, MEM_RESERVE

_GRANULARITY = 0x10000
#: Above programs that are not loaded at random, and their heap; views of 256 MiB still end below 2 GiB.
_FIRST, _LAST = 0x2000_0000, 0x7000_0000
_LONGEST_STEP = 0x100_0000

_next = _FIRST


def map_view(section: int, access: int, high: int, low: int, size: int) -> int | None:
    """MapViewOfFile."""
    return _placed(lambda base: functions.MapViewOfFileEx(section, access, high, low, size, base))


def map_view_at(section: int, access: int, high: int, low: int, size: int, base: int) -> int | None:
    """MapViewOfFileEx."""
    if base:
        return functions.MapViewOfFileEx(section, access, high, low, size, base)
    return map_view(section, access, high, low, size)


def allocate(address: int, size: int, kind: int, protect: int) -> int | None:
    """VirtualAlloc."""
    if address:
        return functions.VirtualAlloc(address, size, kind, protect)
    return _placed(lambda base: functions.VirtualAlloc(base, size, kind | int(MEM_RESERVE), protect))


def free(address: int) -> bool:
    """Free what `allocate` has given."""
    return functions.VirtualFree(address, 0, int(MEM_RELEASE))


def _placed(call: Callable[[int], int | None]) -> int | None:
    """The result of a call with the first address that is free; places are tried upwards, then from the start."""
    global _next
    for start, end in ((_next, _LAST), (_FIRST, _next)):
        base, step = start, _GRANULARITY
        while base < end:
            found = call(base)
            if found is not None:
                _next = base + _GRANULARITY
                return found
            if functions.GetLastError() != ERROR_INVALID_ADDRESS:
                return None
            base, step = base + step, min(step * 2, _LONGEST_STEP)
    functions.SetLastError(int(ERROR_NOT_ENOUGH_MEMORY))
    return None
