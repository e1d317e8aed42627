"""A handle to a section. See `namedmap._contract.SectionHandle`."""

import os

from namedmap._convention.status import from_oserror
from namedmap._kernel.linux import locks, reopening
from namedmap._kernel.memory import dropping
from namedmap._kernel.memory.section import MAP_WRITE, Section
from namedmap._kernel.objects.table import Handle
from namedmap._kernel.processes import handover
from namedmap._mapped import MappedMemory
from namedmap.access import Access


class SectionHandle(Handle[Section]):
    """A handle to a section."""

    __slots__ = ()

    @property
    def constant_size(self) -> int | None:
        held = self.object
        return None if held.backing_fd >= 0 else held.requested

    @property
    def may_vanish(self) -> bool:
        return self.object.may_vanish

    def size(self) -> int:
        with self.reference() as reference:
            reference.object.refresh()
            return reference.object.requested

    def extend(self, size: int) -> int:
        with self.reference(MAP_WRITE if size > self.size() else 0) as reference:
            reference.object.extend(size)
            return reference.object.size

    def map(self, access: Access, offset: int, size: int) -> MappedMemory:
        return dropping.map_memory(self.retained(), self.access, offset, size, access.protection)

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
