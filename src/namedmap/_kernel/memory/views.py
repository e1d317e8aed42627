"""Mapping and flushing views: the checks of NtMapViewOfSection and NtFlushVirtualMemory."""

import errno

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror
from namedmap._kernel.linux import libc, protection
from namedmap._kernel.linux.libc import PAGE
from namedmap._kernel.memory.arena import GRANULARITY, HIGHEST
from namedmap._kernel.memory.section import Section, round_to_page
from namedmap._kernel.memory.space import COMMIT, View, space
from namedmap._kernel.objects.table import denied, table


def map_view(value: int, offset: int, length: int, protect: int, base: int, *, commit: int = 0, limit: int = 0) -> View:
    """Map a view through a section handle. Judged in turn: handle, alignment, access, range."""
    if base + length > HIGHEST:
        raise KernelError(
            NTSTATUS.STATUS_INVALID_PARAMETER_3, f"{length:,} bytes at base {base:#x} reach beyond user space"
        )
    section, granted = table.retained(value, Section)
    return map_section(section, granted, offset, length, protect, base, commit=commit, limit=limit)


def map_section(
    section: Section,
    granted: int,
    offset: int,
    length: int,
    protect: int,
    base: int = 0,
    *,
    commit: int = 0,
    limit: int = 0,
) -> View:
    """Map a view of a section through a handle of so much access; takes over the caller's reference."""
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


def lock(address: int, size: int) -> None:
    """VirtualLock."""
    start, length = accessible(address, size)
    if libc.mlock(start, length):
        accessible(start, length)  # another thread may have unmapped them meanwhile
        raise KernelError(
            NTSTATUS.STATUS_WORKING_SET_QUOTA, f"cannot lock {length:,} bytes: raise RLIMIT_MEMLOCK (ulimit -l)"
        )


def unlock(address: int, size: int) -> None:
    """VirtualUnlock."""
    start, length = accessible(address, size)
    if libc.munlock(start, length):
        raise KernelError(NTSTATUS.STATUS_INVALID_ADDRESS, f"another thread has unmapped the pages at {start:#x}")


def accessible(address: int, size: int) -> tuple[int, int]:
    """The committed, accessible pages of a range, as (start, length) in bytes."""
    if size == 0:
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, "the length is 0")
    region = space.find(address)
    start, end = address // PAGE * PAGE, round_to_page(address + size)
    if region is None or end > region.end:
        raise KernelError(
            NTSTATUS.STATUS_INVALID_ADDRESS, f"{size:,} bytes at {address:#x} are not within one view or allocation"
        )
    position = start
    while position < end:
        info = region.query(position)
        if info.state != COMMIT or info.protect & 0xFF == protection.NOACCESS:
            raise KernelError(NTSTATUS.STATUS_ACCESS_VIOLATION, f"the page at {info.base:#x} cannot be accessed")
        position += info.size
    return start, end - start


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
