"""Sections for the Python classes. See `namedmap._contract.Sections`."""

import fcntl
import operator
import os

from namedmap import _contract
from namedmap._contract import NOBODY_ELSE, Permissions
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.contract import quick
from namedmap._kernel.contract.sectionhandle import SectionHandle
from namedmap._kernel.files.file import File
from namedmap._kernel.linux import protection
from namedmap._kernel.memory import section
from namedmap._kernel.memory.section import CHANGES, SEC_COMMIT, SEC_RESERVE, Section, access_of
from namedmap._kernel.names import names, security
from namedmap._kernel.objects import named
from namedmap._kernel.objects.table import table
from namedmap._kernel.processes import handover
from namedmap.access import Access


def create(
    name: str | None,
    size: int,
    access: Access,
    *,
    reserve: bool = False,
    permissions: Permissions = NOBODY_ELSE,
    inheritable: bool = False,
) -> tuple[_contract.SectionHandle, bool]:
    if quick.there and permissions is NOBODY_ELSE and name is not None and not reserve and not inheritable:
        hold = quick.create(name, size, access.protection, protection.TABLE[access.protection].section_access)
        if hold is not None:
            return hold, True
    kind, parsed = SEC_RESERVE if reserve else SEC_COMMIT, names.of_new(name)
    wanted = security.DEFAULT if permissions is NOBODY_ELSE else security.of_object(permissions, parsed)
    section.check_arguments(size, access.protection, kind, False)
    held, existed = section.create(parsed, size, access.protection, kind, None, wanted)
    handle = SectionHandle(held, protection.TABLE[access.protection].section_access)
    table.enter(handle, inherit=inheritable)
    return handle, not existed


def create_over(
    file: File, name: str | None, size: int, access: Access, inheritable: bool
) -> tuple[SectionHandle, bool]:
    """A section over a file, whose handle the caller has checked."""
    parsed = names.of_new(name)
    section.check_arguments(size, access.protection, SEC_COMMIT, True)
    held, existed = section.create(parsed, size, access.protection, SEC_COMMIT, file, security.DEFAULT)
    handle = SectionHandle(held, protection.TABLE[access.protection].section_access)
    table.enter(handle, inherit=inheritable)
    return handle, not existed


def open(name: str, access: Access, *, size: int | None = None, inheritable: bool = False) -> _contract.SectionHandle:
    granted = access_of(access.handle)
    if quick.there and size is None and not inheritable:
        hold = quick.open(name, granted)
        if hold is not None:
            return hold
    held = named.open_existing(Section, names.of_existing(name), bool(granted & CHANGES))
    if held.backing_fd >= 0:
        held.refresh()
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
    handle = SectionHandle(held, access_of(access.handle))
    table.enter(handle)
    return handle


__all__ = ["create", "open", "receive"]
