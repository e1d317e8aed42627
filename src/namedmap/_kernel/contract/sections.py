"""Sections for the Python classes. See `namedmap._contract.Sections`."""

import fcntl
import operator
import os

from namedmap._contract import Permissions
from namedmap._convention.status import NTSTATUS, KernelError, from_oserror
from namedmap._kernel.files.file import File
from namedmap._kernel.linux import locks, protection, reopening
from namedmap._kernel.memory import section, views
from namedmap._kernel.memory.section import MAP_WRITE, SEC_COMMIT, SEC_RESERVE, Section
from namedmap._kernel.names import names, security
from namedmap._kernel.names.names import ObjectName
from namedmap._kernel.objects.table import Handle, table
from namedmap._kernel.processes import handover
from namedmap.access import Access

_NOBODY_ELSE = Permissions()


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

    def map(self, access: Access, offset: int, size: int) -> int:
        return views.map_section(self.retained(), self.access, offset, size, access.protection).base

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


def create(
    name: str | None,
    size: int,
    access: Access,
    *,
    reserve: bool = False,
    permissions: Permissions = _NOBODY_ELSE,
    inheritable: bool = False,
) -> tuple[SectionHandle, bool]:
    kind = SEC_RESERVE if reserve else SEC_COMMIT
    parsed = names.of_new(name)
    wanted = security.DEFAULT if permissions is _NOBODY_ELSE else security.of_object(permissions, parsed)
    return _create(parsed, size, access, kind, None, wanted, inheritable)


def create_over(
    file: File, name: str | None, size: int, access: Access, inheritable: bool
) -> tuple[SectionHandle, bool]:
    """A section over a file, whose handle the caller has checked."""
    return _create(names.of_new(name), size, access, SEC_COMMIT, file, security.DEFAULT, inheritable)


def _create(
    name: ObjectName | None,
    size: int,
    access: Access,
    kind: int,
    file: File | None,
    wanted: security.Security,
    inheritable: bool,
) -> tuple[SectionHandle, bool]:
    protect = access.protection
    section.check_arguments(size, protect, kind, file is not None)
    held, existed = section.create(name, size, protect, kind, file, wanted)
    handle = SectionHandle(held, protection.TABLE[protect].section_access)
    table.enter(handle, inherit=inheritable)
    return handle, not existed


def open(name: str, access: Access, *, size: int | None = None, inheritable: bool = False) -> SectionHandle:
    granted = section.access_of(access.handle)
    held = section.open_existing(names.of_existing(name), writing=bool(granted & section.CHANGES))
    handle = SectionHandle(held, granted)
    table.enter(handle, inherit=inheritable)
    if size is not None:
        _demand_size(handle, name, size)
    return handle


def _demand_size(handle: SectionHandle, name: str, size: int) -> None:
    try:
        present = handle.size()
        if present != size:
            text = (
                f"file mapping {name!r} has {present:,} bytes, not {size:,}: open it without a size to have it as it is"
            )
            raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, text)
    except BaseException:
        handle.close()
        raise


def receive(sent: object, access: Access) -> SectionHandle:
    descriptor: int = handover.accept(sent) if isinstance(sent, tuple) else operator.methodcaller("detach")(sent)
    writable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    held = handover.receive_section(descriptor, writable=writable)
    handle = SectionHandle(held, section.access_of(access.handle))
    table.enter(handle)
    return handle


__all__ = ["create", "open", "receive"]
