"""Mapping and flushing views: the checks of NtMapViewOfSection and NtFlushVirtualMemory."""

import errno

from . import libc, protection
from .arena import GRANULARITY, HIGHEST
from .handles import denied, table
from .section import PAGE, Section, round_to_page
from .space import View, space
from .status import NTSTATUS, KernelError, from_oserror


def map_view(value: int, offset: int, length: int, protect: int, base: int, *, commit: int = 0, limit: int = 0) -> View:
    """Map a view through a section handle. Judged in turn: handle, alignment, access, range."""
    if base + length > HIGHEST:
        raise KernelError(
            NTSTATUS.STATUS_INVALID_PARAMETER_3, f"{length:,} bytes at base {base:#x} reach beyond user space"
        )
    section, granted = table.retained(value, Section)
    try:
        if base % GRANULARITY or offset % GRANULARITY:
            raise KernelError(
                NTSTATUS.STATUS_MAPPED_ALIGNMENT,
                f"offset {offset:#x} and base {base:#x} must be multiples of the granularity, {GRANULARITY:#x}",
            )
        needed = protection.TABLE[protect].needs
        if needed & ~granted:
            raise denied(granted, needed)
        size = section.check_view(offset, length, protect)
        if commit:
            _commit(section, offset, size, commit)
        return space.map_view(section, offset, size, protect, base, limit)
    except BaseException:
        section.release()
        raise


def _commit(section: Section, offset: int, size: int, commit: int) -> None:
    if commit > round_to_page(size):
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_5, f"{commit:,} bytes to commit are more than the view has")
    if section.reserve:
        section.commit(offset, commit)


def flush(address: int, length: int) -> int:
    """Write changed pages to the file; returns how many bytes of the view the length stands for."""
    view = space.find(address)
    if view is None:
        raise KernelError(NTSTATUS.STATUS_NOT_MAPPED_VIEW, f"address {address:#x} lies in no mapped view")
    start = address // PAGE * PAGE
    end = round_to_page(address + length) if length else view.end
    if end > view.end:
        raise KernelError(
            NTSTATUS.STATUS_NOT_MAPPED_VIEW, f"{length:,} bytes at {address:#x} reach past the end of their view"
        )
    # Private memory has nothing to write; FlushViewOfFile counts that as done.
    if isinstance(view, View) and libc.msync(start, end - start, libc.MS_SYNC):
        error = libc.error("msync")
        if error.errno == errno.ENOMEM:
            raise KernelError(NTSTATUS.STATUS_NOT_MAPPED_VIEW, f"another thread has unmapped the view at {address:#x}")
        raise from_oserror(error, f"cannot write {end - start:,} bytes of a view to its file")
    return length or end - start
