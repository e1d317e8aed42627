"""Memory of this process that is not ours, as /proc/self/maps lists it (proc(5))."""

from typing import NamedTuple

from namedmap._kernel.linux.protection import EXECUTE, EXECUTE_READ, EXECUTE_READWRITE, NOACCESS, READONLY, READWRITE
from namedmap._kernel.memory.arena import HIGHEST
from namedmap._kernel.memory.space import MAPPED, PRIVATE

_IMAGE = 0x1000000
_PROTECT = {
    "r--": READONLY,
    "rw-": READWRITE,
    "-w-": READWRITE,
    "--x": EXECUTE,
    "r-x": EXECUTE_READ,
    "rwx": EXECUTE_READWRITE,
}


class MappedPages(NamedTuple):
    """A mapping, or the gap between two (protect None). [start, end) are addresses."""

    start: int
    end: int
    protect: int | None
    type: int


def foreign_pages(address: int) -> MappedPages:
    """The mapping or gap that an address lies in."""
    previous = 0
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            fields = line.split(maxsplit=5)
            start, end = (int(number, 16) for number in fields[0].split("-"))
            if address < start:
                return MappedPages(previous, min(start, HIGHEST + 1), None, 0)
            if address < end:
                protect = _PROTECT.get(fields[1][:3], NOACCESS)
                backed = int(fields[4]) != 0
                kind = (_IMAGE if "x" in fields[1] else MAPPED) if backed else PRIVATE
                return MappedPages(start, min(end, HIGHEST + 1), protect, kind)
            previous = end
    return MappedPages(previous, HIGHEST + 1, None, 0)
