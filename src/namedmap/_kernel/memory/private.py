"""VirtualAlloc and VirtualFree: private memory, and committing pages of views.

Source: VirtualAlloc, VirtualFree (Win32), NtAllocateVirtualMemory, NtFreeVirtualMemory.
"""

from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.linux import libc, limits, protection
from namedmap._kernel.linux.libc import PAGE
from namedmap._kernel.memory.arena import GRANULARITY, HIGHEST, failed
from namedmap._kernel.memory.section import SEC_FILE, round_to_page
from namedmap._kernel.memory.space import COMMIT, PRIVATE, RESERVE, Region, Run, View, space

DECOMMIT, RELEASE, RESET, TOP_DOWN, WRITE_WATCH = 0x4000, 0x8000, 0x80000, 0x100000, 0x200000
RESET_UNDO = 0x1000000

_MODIFIERS = protection.NOCACHE | protection.WRITECOMBINE
_ANONYMOUS = libc.MAP_PRIVATE | libc.MAP_ANONYMOUS | libc.MAP_NORESERVE


def allocate(address: int, size: int, kind: int, protect: int) -> int:
    """VirtualAlloc: reserve, commit, or both; returns the base of the pages."""
    if not 0 < size <= HIGHEST or address > HIGHEST:
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_4, f"cannot allocate {size:,} bytes at {address:#x}")
    base = kind & (COMMIT | RESERVE | RESET | RESET_UNDO)
    if kind & ~(COMMIT | RESERVE | RESET | RESET_UNDO | TOP_DOWN | WRITE_WATCH) or not base:
        raise KernelError(
            NTSTATUS.STATUS_INVALID_PARAMETER_5,
            f"allocation type {kind:#x} needs MEM_COMMIT or MEM_RESERVE, and nothing unknown",
        )
    if base & (RESET | RESET_UNDO) and base not in (RESET, RESET_UNDO):
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_5, "MEM_RESET stands alone")
    protection.of(protect)
    if kind & RESERVE or (not address and kind & COMMIT):
        return _reserve(address, size, bool(kind & COMMIT), protect)
    return _commit(address, size, kind, protect & ~_MODIFIERS)


def _reserve(address: int, size: int, commit: bool, protect: int) -> int:
    _refuse_copies(protect)
    base = address // GRANULARITY * GRANULARITY
    if address and not base:
        raise KernelError(NTSTATUS.STATUS_CONFLICTING_ADDRESSES, f"nothing can be reserved at {address:#x}")
    length = round_to_page(address + size) - base if address else round_to_page(size)
    prot = protection.mmu(protect) if commit else libc.PROT_NONE
    if commit:
        limits.require(length, "VirtualAlloc")
    nocache, protect = protect & protection.NOCACHE, protect & ~_MODIFIERS
    space.guarded = space.guarded or bool(protect & protection.GUARD)
    with space.lock:
        found = space.place(length, base, prot, _ANONYMOUS, -1, 0)
        region = Region(found, length, protect, nocache)
        region.runs = [Run(0, length, protect if commit else 0, True)]
        space.insert(region)
    return found


def _commit(address: int, size: int, kind: int, protect: int) -> int:
    start, end = address // PAGE * PAGE, round_to_page(address + size)
    with space.lock:
        region = _region_for_commit(address, end)
        if kind & (RESET | RESET_UNDO):
            return start
        if not isinstance(region, View):
            _commit_private(region, start, end, protect)
            return start
        region.section.retain()
    try:
        _commit_view(region, start, end, protect)
    finally:
        region.section.release()
    return start


def _region_for_commit(address: int, end: int) -> Region:
    region = space.find(address)
    if region is None:
        raise _nothing_at(address)
    if end > region.end:
        raise KernelError(
            NTSTATUS.STATUS_CONFLICTING_ADDRESSES,
            f"{end - address:,} bytes at {address:#x} reach past the reserved region",
        )
    return region


def _nothing_at(address: int) -> KernelError:
    return KernelError(NTSTATUS.STATUS_INVALID_ADDRESS, f"no memory is reserved at {address:#x}")


def _commit_view(view: View, start: int, end: int, protect: int) -> None:
    section = view.section
    if section.attributes & SEC_FILE:
        raise KernelError(
            NTSTATUS.STATUS_ALREADY_COMMITTED, "the pages of a view of a file are committed from the start"
        )
    if not protection.allows(view.protect, protect):
        raise KernelError(
            NTSTATUS.STATUS_INVALID_PAGE_PROTECTION,
            f"a view mapped with protection {view.protect:#x} cannot have pages of {protect:#x}",
        )
    if section.reserve:
        # Without the space's lock: the section's guard may be long in coming, and others map meanwhile.
        section.commit(view.offset + start - view.base, end - start)
    with space.lock:
        if space.find(start) is not view:
            raise _nothing_at(start)  # another thread has unmapped the view
        for run in view.split(start - view.base, end - view.base):
            view.set_protection(run, protect)
        view.merge()


def _refuse_copies(protect: int) -> None:
    if protection.of(protect).copies:
        raise KernelError(NTSTATUS.STATUS_INVALID_PAGE_PROTECTION, "only views can be copy-on-write")


def _commit_private(region: Region, start: int, end: int, protect: int) -> None:
    _refuse_copies(protect)
    limits.require(end - start, "VirtualAlloc")
    space.guarded = space.guarded or bool(protect & protection.GUARD)
    if libc.mprotect(start, end - start, protection.mmu(protect)):
        raise failed(end - start)
    for run in region.split(start - region.base, end - region.base):
        run.protect = protect
    region.merge()


def free(address: int, size: int, kind: int) -> None:
    """VirtualFree: decommit pages, or release a whole allocation."""
    if kind not in (DECOMMIT, RELEASE):
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_4, "free either with MEM_DECOMMIT or with MEM_RELEASE")
    if kind == RELEASE and size:
        raise KernelError(
            NTSTATUS.STATUS_INVALID_PARAMETER, "MEM_RELEASE takes the whole allocation: its size must be 0"
        )
    if address > HIGHEST:
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_2, f"{address:#x} is outside of user space")
    with space.lock:
        region = space.find(address)
        if region is None:
            raise KernelError(NTSTATUS.STATUS_MEMORY_NOT_ALLOCATED, f"no memory is allocated at {address:#x}")
        if region.type != PRIVATE:
            raise KernelError(
                NTSTATUS.STATUS_UNABLE_TO_DELETE_SECTION,
                f"a view is mapped at {address:#x}: end it with UnmapViewOfFile",
            )
        if kind == RELEASE:
            if address // PAGE * PAGE != region.base:
                raise KernelError(
                    NTSTATUS.STATUS_FREE_VM_NOT_AT_BASE, f"{address:#x} is not the base of its allocation"
                )
            space.remove(region)
        else:
            _decommit(region, address, size)


def _decommit(region: Region, address: int, size: int) -> None:
    start, end = address // PAGE * PAGE, round_to_page(address + size)
    if size == 0:
        if start != region.base:
            raise KernelError(NTSTATUS.STATUS_FREE_VM_NOT_AT_BASE, f"{address:#x} is not the base of its allocation")
        end = region.end
    if end > region.end:
        raise KernelError(
            NTSTATUS.STATUS_UNABLE_TO_FREE_VM, f"{size:,} bytes at {address:#x} reach past the allocation"
        )
    # Mapping it anew gives the memory back, and the next commit finds zeros.
    if libc.mmap(start, end - start, libc.PROT_NONE, _ANONYMOUS | libc.MAP_FIXED, -1, 0) == libc.MAP_FAILED:
        raise failed(end - start)
    for run in region.split(start - region.base, end - region.base):
        run.protect = 0
    region.merge()
