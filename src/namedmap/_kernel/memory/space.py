"""The address space: views of sections and private memory, what VirtualQuery says of them and VirtualProtect does.

A region is one allocation: a view, or memory of VirtualAlloc. It keeps its page protections as runs, so that a query
costs no system call, except where only the kernel knows: which pages of a copy-on-write run have been copied
(/proc/self/pagemap) and which pages of a SEC_RESERVE section are committed (the section's bitmap).

A page of a shared view can be made copy-on-write (VirtualProtect with PAGE_WRITECOPY), which mprotect cannot express:
the run is mapped again, privately, at the same place. It goes back the same way, except for pages already copied.
"""

import bisect
import contextlib
import itertools
from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.linux import compiled, libc, protection, userfault
from namedmap._kernel.linux.libc import PAGE
from namedmap._kernel.linux.lineage import free, look, ours
from namedmap._kernel.linux.natives import RLock
from namedmap._kernel.linux.pagemap import copied_run
from namedmap._kernel.linux.protection import COPIED
from namedmap._kernel.memory.arena import HIGHEST, LOWEST, Arena, failed, map_at, round_up
from namedmap._kernel.memory.section import SEC_NOCACHE, Section, round_to_page

COMMIT, RESERVE = 0x1000, 0x2000
PRIVATE, MAPPED = 0x20000, 0x40000


class Run:
    """Pages of a region that are alike: [start, end) in bytes from the region's base."""

    __slots__ = ("end", "private", "protect", "start")

    def __init__(self, start: int, end: int, protect: int, private: bool) -> None:
        self.start = start
        self.end = end
        self.protect = protect  # 0: reserved, not committed (private memory)
        self.private = private  # mapped MAP_PRIVATE: stores are copied


class PageInfo(NamedTuple):
    """The report of VirtualQuery. Addresses and sizes in bytes."""

    base: int
    allocation_base: int
    allocation_protect: int
    size: int
    state: int
    protect: int
    type: int


class Region:
    """One allocation in the address space."""

    type = PRIVATE
    #: PAGE_NOCACHE, which an allocation has from its creation or never, and only reports.
    nocache = 0
    _runs: list[Run] | None = None

    def __init__(self, base: int, length: int, protect: int, nocache: int = 0) -> None:
        self.base = base
        self.length = length  # in bytes, whole pages
        self.protect = protect
        self.nocache = nocache

    @property
    def end(self) -> int:
        return self.base + self.length

    @property
    def runs(self) -> list[Run]:
        """Made when somebody asks, as most regions go before that. At first all pages are alike."""
        found: list[Run] = self._runs or vars(self).setdefault("_runs", [self._first_run()])
        return found

    @runs.setter
    def runs(self, runs: list[Run]) -> None:
        self._runs = runs

    def _first_run(self) -> Run:
        return Run(0, self.length, self.protect, True)

    def split(self, start: int, end: int) -> list[Run]:
        """The runs of exactly [start, end), cut out of longer ones; runs that are not cut stay the same objects."""
        pieces: list[Run] = []
        for run in self.runs:
            cuts = [cut for cut in (start, end) if run.start < cut < run.end]
            if cuts:
                bounds = itertools.pairwise((run.start, *cuts, run.end))
                pieces += [Run(a, b, run.protect, run.private) for a, b in bounds]
            else:
                pieces.append(run)
        self.runs = pieces
        return [run for run in pieces if start <= run.start and run.end <= end]

    def merge(self) -> None:
        """Join neighbours that have become alike."""
        merged: list[Run] = []
        for run in self.runs:
            if merged and (merged[-1].protect, merged[-1].private) == (run.protect, run.private):
                merged[-1].end = run.end
            else:
                merged.append(run)
        self.runs = merged

    def page_state(self, offset: int, run: Run) -> tuple[int, int, int]:
        """(state, protection, bytes for which they hold) at an offset into a run."""
        return (COMMIT, run.protect, run.end - offset) if run.protect else (RESERVE, 0, run.end - offset)

    def query(self, address: int) -> PageInfo:
        offset = (address - self.base) // PAGE * PAGE
        index = bisect.bisect_right(self.runs, offset, key=lambda run: run.start) - 1
        state, protect, size = self.page_state(offset, self.runs[index])
        while offset + size < self.length:
            following = self.runs[bisect.bisect_right(self.runs, offset + size, key=lambda run: run.start) - 1]
            next_state, next_protect, more = self.page_state(offset + size, following)
            if (next_state, next_protect) != (state, protect):
                break
            size += more
        protect |= self.nocache if protect else 0
        return PageInfo(self.base + offset, self.base, self.protect | self.nocache, size, state, protect, self.type)


class View(Region):
    """A mapped view of a section. It holds a reference to the section, not a handle: the memory, not the name."""

    type = MAPPED

    def __init__(self, base: int, length: int, protect: int, section: Section, offset: int) -> None:
        self.base = base
        self.length = -(-length // PAGE) * PAGE
        self.protect = protect
        self.section = section
        self.offset = offset  # into the section, in bytes
        if section.attributes & SEC_NOCACHE:
            self.nocache = protection.NOCACHE

    def _first_run(self) -> Run:
        return Run(0, self.length, self.protect, protection.TABLE[self.protect].copies)

    def page_state(self, offset: int, run: Run) -> tuple[int, int, int]:
        size = run.end - offset
        if self.section.reserve:
            committed, size = self.section.committed_run(self.offset + offset, size)
            if not committed:
                return RESERVE, 0, size
        if not run.private:
            return COMMIT, run.protect, size
        copied, size = copied_run(self.base + offset, size)
        return COMMIT, COPIED.get(run.protect, run.protect) if copied else run.protect, size

    def set_protection(self, run: Run, protect: int) -> None:
        """Change one run, mapping it again where it turns from shared to copy-on-write or back."""
        wanted, prot = protection.TABLE[protect & 0xFF], protection.mmu(protect)
        start, length = self.base + run.start, run.end - run.start
        if wanted.copies and not run.private:
            self._map_again(run.start, run.end, prot, libc.MAP_PRIVATE)
            run.private = True
        pieces = [run]
        if wanted.writes and run.private and not protection.TABLE[self.protect].copies:
            pieces = self._share_uncopied(run, prot)
        if libc.mprotect(start, length, prot):
            raise failed(length)
        for piece in pieces:
            piece.protect = protect

    def _share_uncopied(self, run: Run, prot: int) -> list[Run]:
        """Make the pages of a copy-on-write run the section's again, except those that have been copied."""
        # A store of another thread into a page between the look and the mapping is lost. Making the pages read-only
        # meanwhile would not keep it waiting; it would kill the process.
        start, end = run.start, run.end
        while start < end:
            copied, size = copied_run(self.base + start, end - start)
            if not copied:
                self._map_again(start, start + size, prot, libc.MAP_SHARED)
                for piece in self.split(start, start + size):
                    piece.private = False
            start += size
        return self.split(run.start, end)

    def renew(self) -> None:
        """Map shared pages anew from the section's description, which is another now; stores and protections stay."""
        for run in self.runs:
            if not run.private:
                self._map_again(run.start, run.end, protection.mmu(run.protect), libc.MAP_SHARED)

    def _map_again(self, start: int, end: int, prot: int, kind: int) -> None:
        self.section.require_descriptor()
        if kind == libc.MAP_PRIVATE:
            with self.section.without_locks() as fd:
                self._map_from(fd, start, end, prot, kind)
        else:
            self._map_from(self.section.data_fd, start, end, prot, kind)

    def _map_from(self, fd: int, start: int, end: int, prot: int, kind: int) -> None:
        place = libc.mmap(self.base + start, end - start, prot, kind | libc.MAP_FIXED, fd, self.offset + start)
        if place == libc.MAP_FAILED:
            raise failed(end - start)
        if self.section.reserve:
            userfault.guard.register(self.base + start, end - start)


class AddressSpace:
    """All regions of this process, by address."""

    def __init__(self) -> None:
        #: The lock, for those who need not know of views that the compiled core has.
        self.own_lock = RLock()
        self.arena = Arena()
        #: Whether there ever was a guard page: else nobody need look for one.
        self.guarded = False
        self._bases: list[int] = []
        self._regions: dict[int, Region] = {}

    @property
    def lock(self) -> RLock:
        """Guards the regions. Reentrant, because a signal handler may map and unmap in the middle of any call."""
        if not ours[0]:
            look()
        compiled.hatch_views()
        return self.own_lock

    def free_lock(self) -> None:
        """Where the thread that has it does not run any more."""
        free(self.own_lock)

    def __iter__(self) -> Iterator[Region]:
        compiled.hatch_views()
        return iter(list(self._regions.values()))

    def find(self, address: int) -> Region | None:
        """The region that an address lies in."""
        with self.lock:
            index = bisect.bisect_right(self._bases, address) - 1
            if index < 0:
                return None
            region = self._regions[self._bases[index]]
            return region if address < region.end else None

    def next_base(self, address: int) -> int | None:
        """The base of the first region above an address."""
        with self.lock:
            index = bisect.bisect_right(self._bases, address)
            return self._bases[index] if index < len(self._bases) else None

    def view(self, address: int, status: NTSTATUS = NTSTATUS.STATUS_NOT_MAPPED_VIEW) -> View:
        region = self.find(address)
        if not isinstance(region, View):
            raise KernelError(status, f"address {address:#x} lies in no mapped view: never mapped, or unmapped already")
        return region

    def place(self, length: int, base: int, prot: int, flags: int, fd: int, offset: int, limit: int = 0) -> int:
        """mmap at a base, or at an address of our choice for base 0, below a limit unless 0; the lock is held."""
        if limit and base + length > limit:
            raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_4, f"a view at {base:#x} does not end below {limit:#x}")
        if not base and limit:
            return self.arena.map_below(limit, length, prot, flags, fd, offset)
        if not base:
            return self.arena.map(length, prot, flags, fd, offset)
        if not LOWEST <= base <= HIGHEST - length:
            raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_3, f"base {base:#x} is outside of user space")
        if self.overlaps(base, length) or not map_at(base, length, prot, flags, fd, offset):
            raise KernelError(
                NTSTATUS.STATUS_CONFLICTING_ADDRESSES, f"something lies already in {length:,} bytes at {base:#x}"
            )
        return base

    def overlaps(self, base: int, length: int) -> bool:
        """Whether a region, or the rest of its last 64 KiB, lies in the range."""
        index = bisect.bisect_left(self._bases, base + length) - 1
        return index >= 0 and self._bases[index] + round_up(self._regions[self._bases[index]].length) > base

    def insert(self, region: Region) -> None:
        with self.own_lock:
            # In this order a signal handler in between finds a region only when it is complete.
            self._regions[region.base] = region
            bisect.insort(self._bases, region.base)

    def adopt(self, region: Region) -> None:
        """Insert a region that the compiled core has mapped, unless that was done already; the lock is held."""
        if region.base not in self._regions:
            self.insert(region)

    def remove(self, region: Region) -> None:
        """Forget a region and unmap it; the lock is held."""
        base = region.base
        del self._bases[bisect_left(self._bases, base)]
        del self._regions[base]
        self.arena.unmap(base, region.length)

    def map_view(
        self,
        section: Section,
        offset: int,
        length: int,
        protect: int,
        base: int = 0,
        limit: int = 0,
        source: int | None = None,
    ) -> View:
        """Map a view whose arguments have been checked. It takes over the caller's reference to the section."""
        wanted = protection.TABLE[protect]
        if wanted.copies and source is None:
            with section.without_locks() as source:
                return self.map_view(section, offset, length, protect, base, limit, source)
        kind = libc.MAP_PRIVATE if wanted.copies else libc.MAP_SHARED
        fd = section.data_fd if source is None else source
        with self.lock if base else self.own_lock:
            if base or limit:
                found = self.place(length, base, wanted.prot, kind, fd, offset, limit)
            else:
                found = self.arena.map(length, wanted.prot, kind, fd, offset)
            view = View(found, length, protect, section, offset)
            if section.reserve:
                userfault.guard.register(found, view.length)
            # In this order a signal handler in between finds a region only when it is complete.
            self._regions[found] = view
            insort(self._bases, found)
        return view

    def unmap_view(self, address: int) -> None:
        if not ours[0]:
            look()
        with self.own_lock:
            section = self.take_out(address)
        section.release()

    def take_out(self, address: int) -> Section:
        """Unmap a view; the lock is held. The caller takes over its reference to the section."""
        view = self._regions.get(address)
        if view.__class__ is not View:
            view = self.view(address)
        base = view.base
        del self._bases[bisect_left(self._bases, base)]
        del self._regions[base]
        self.arena.unmap(base, view.length)
        return view.section

    def protect(self, address: int, size: int, protect: int) -> int:
        """VirtualProtect; returns the protection that the first page had."""
        protection.of(protect)
        if size == 0 or address > HIGHEST:
            raise KernelError(
                NTSTATUS.STATUS_INVALID_PARAMETER_3,
                f"the range {address:#x} + {size:,} is empty, or outside of user space",
            )
        start, end = address // PAGE * PAGE, round_to_page(address + size)
        with self.lock:
            region = self.find(address)
            if region is None or end > region.end:
                raise KernelError(
                    NTSTATUS.STATUS_INVALID_ADDRESS,
                    f"{size:,} bytes at {address:#x} are not within one view or allocation",
                )
            old = region.query(start)
            if old.state != COMMIT or old.size < end - start:
                self._check_committed(region, start, end)
            _change(region, start, end, protect)
        return old.protect

    def _check_committed(self, region: Region, start: int, end: int) -> None:
        while start < end:
            info = region.query(start)
            if info.state != COMMIT:
                raise KernelError(
                    NTSTATUS.STATUS_NOT_COMMITTED, f"the page at {info.base:#x} is reserved, not committed"
                )
            start += info.size

    def renew_views(self, section: Section) -> None:
        """In a forked child, for a section over the paging file: its views keep no description of the parent."""
        if not section.file_backed:
            for region in self:
                if isinstance(region, View) and region.section is section:
                    with contextlib.suppress(KernelError):  # no mapping is left: the view stays as it was
                        region.renew()

    def _strike_guard(self, address: int, length: int) -> int | None:
        """The first guard page in a range, which is none from now on: the alarm comes once."""
        if not self.guarded or not length:
            return None
        with self.lock:
            for base in self._bases[max(bisect.bisect_right(self._bases, address) - 1, 0) :]:
                region = self._regions[base]
                if base >= address + length:
                    return None
                for run in region.runs:
                    page = max(base + run.start, address // PAGE * PAGE)
                    if run.protect & protection.GUARD and page < min(base + run.end, address + length):
                        _change(region, page, page + PAGE, run.protect & ~protection.GUARD)
                        return page
        return None

    def alarm(self, address: int, length: int, status: NTSTATUS) -> None:
        """Fail with a status if there is a guard page in a range, which is none from now on."""
        page = self._strike_guard(address, length)
        if page is not None:
            detail = f"the page at {page:#x} was a guard page (PAGE_GUARD), which it is no more"
            raise KernelError(status, detail) from None

    def after_fork(self) -> None:
        """In a child: faults on reserved pages must be asked for anew."""
        userfault.guard.after_fork()
        for region in self:
            if isinstance(region, View) and region.section.reserve:
                userfault.guard.register(region.base, region.length)


def _change(region: Region, start: int, end: int, protect: int) -> None:
    space.guarded = space.guarded or bool(protect & protection.GUARD)
    protect &= ~(protection.NOCACHE | protection.WRITECOMBINE)
    if isinstance(region, View):
        if not protection.allows(region.protect, protect):
            raise KernelError(
                NTSTATUS.STATUS_INVALID_PAGE_PROTECTION,
                f"a view mapped with protection {region.protect:#x} cannot have pages of {protect:#x}",
            )
    elif protection.of(protect).copies:
        raise KernelError(NTSTATUS.STATUS_INVALID_PAGE_PROTECTION, "only views can be copy-on-write")
    for run in region.split(start - region.base, end - region.base):
        if isinstance(region, View):
            region.set_protection(run, protect)
        elif libc.mprotect(region.base + run.start, run.end - run.start, protection.mmu(protect)):
            raise failed(run.end - run.start)
        else:
            run.protect = protect
    region.merge()


space = AddressSpace()
