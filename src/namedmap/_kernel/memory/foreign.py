"""Memory of this process that is not ours, as /proc/self/maps lists it (proc(5))."""

from typing import NamedTuple

from namedmap._kernel.linux import procfs
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
    for pages in procfs.mappings("self"):
        if address < pages.start:
            return MappedPages(previous, min(pages.start, HIGHEST + 1), None, 0)
        if address < pages.end:
            protect = _PROTECT.get(pages.permissions[:3], NOACCESS)
            kind = (_IMAGE if "x" in pages.permissions else MAPPED) if pages.inode else PRIVATE
            return MappedPages(pages.start, min(pages.end, HIGHEST + 1), protect, kind)
        previous = pages.end
    return MappedPages(previous, HIGHEST + 1, None, 0)
