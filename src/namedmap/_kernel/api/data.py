"""What the Python classes need of sections beyond Win32: exact sizes, and descriptors of their bytes."""

import os

from namedmap._kernel.handles import table
from namedmap._kernel.section import MAP_WRITE, Section


def section_size(handle: int) -> int:
    """The size in bytes that was asked for; views of it are a multiple of the page size."""
    with table.reference(handle, Section) as reference:
        section = reference.object
        section.refresh()
        return section.control.requested or section.size


def open_data(handle: int) -> int:
    """A new descriptor of the section's bytes, which begin at 0: to be mapped, or read; the caller closes it.

    It is open for writing if the handle may write. It does not keep the object alive, nor its name.
    """
    with table.reference(handle, Section) as reference:
        section = reference.object
        mode = os.O_RDWR if reference.access & MAP_WRITE and section.writable else os.O_RDONLY
        return os.open(f"/proc/self/fd/{section.data_fd}", mode | os.O_CLOEXEC)
