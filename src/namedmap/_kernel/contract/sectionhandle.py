"""A handle to a section. See `namedmap._contract.SectionHandle`."""

import os

from namedmap._convention.status import from_oserror
from namedmap._kernel.linux import locks, protection, reopening
from namedmap._kernel.linux.lineage import look, ours
from namedmap._kernel.memory import dropping
from namedmap._kernel.memory.arena import GRANULARITY
from namedmap._kernel.memory.section import MAP_WRITE, Section
from namedmap._kernel.memory.space import space
from namedmap._kernel.objects.table import Handle, denied, table
from namedmap._kernel.processes import handover
from namedmap._mapped import MappedMemory
from namedmap.access import Access


class SectionHandle(Handle[Section]):
    """A handle to a section."""

    __slots__ = ("constant_size", "may_vanish")

    def __init__(self, held: Section, access: int, flags: int = 0, value: int = 0) -> None:
        self.object, self.access, self.flags, self.value = held, access, flags, value
        over_file = held.backing_fd >= 0
        self.constant_size = None if over_file else held.control.requested or held.size
        # A program can cut off the file that the section stands on, or another user the object file; and reserved pages
        # are not there yet.
        foreign = held.path is not None and (held.shared or held.owner != os.geteuid())
        self.may_vanish = over_file or held.reserve or foreign

    def size(self) -> int:
        with self.reference() as reference:
            reference.object.refresh()
            return reference.object.requested

    def extend(self, size: int) -> int:
        with self.reference(MAP_WRITE if size > self.size() else 0) as reference:
            reference.object.extend(size)
            return reference.object.size

    def map(self, access: Access, offset: int, size: int) -> MappedMemory:
        if dropping.dropped:
            dropping.drop()
        if not ours[0]:
            look()
        section, protect, start = self.object, access.protection, offset % GRANULARITY
        with table.lock:
            if table.by_value.get(self.value) is not self:
                table.check(self)  # raises
            section.retain()
        try:
            needed = protection.TABLE[protect].needs
            if needed & ~self.access:
                raise denied(self.access, needed)
            if (
                section.backing_fd >= 0
                or offset + size > section.size
                or (section.protection, protect) not in protection.ALLOWED
            ):
                section.check_view(offset - start, size + start, protect)  # raises, or knows of more
            base = space.map_view(section, offset - start, size + start, protect).base
        except BaseException:
            section.release()
            raise
        return MappedMemory(base, start, size, dropping.drop, writable=access.writable)

    def open_data(self) -> int:
        with self.reference() as reference:
            held = reference.object
            mode = os.O_RDWR if reference.access & MAP_WRITE and held.writable else os.O_RDONLY
            try:
                return reopening.reopen(held.data_fd, mode)
            except OSError as error:
                raise from_oserror(error, f"{held} cannot be opened again through /proc/self/fd") from None

    def hand_over(self) -> handover.Passage:
        with self.reference() as reference:
            return handover.Passage(handover.reopen(reference.object, locks_at=locks.HANDOVER))
