"""The meaning of page protections: to sections, to views, and to mmap. One table each; source: MmMakeSectionAccess and
MmCompatibleProtectionMask as documented by the recorded behaviour (matrices A and B).
"""

from typing import NamedTuple

from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.linux import libc

NOACCESS, READONLY, READWRITE, WRITECOPY = 0x01, 0x02, 0x04, 0x08
EXECUTE, EXECUTE_READ, EXECUTE_READWRITE, EXECUTE_WRITECOPY = 0x10, 0x20, 0x40, 0x80
GUARD, NOCACHE, WRITECOMBINE = 0x100, 0x200, 0x400

MAP_WRITE, MAP_READ, MAP_EXECUTE = 0x2, 0x4, 0x8


class Protection(NamedTuple):
    """The properties of one page protection."""

    prot: int  # for mmap
    needs: int  # SECTION_MAP_* of a handle to map a view like this
    file_access: int  # FILE_*_DATA of a file handle to make a section like this
    section_access: int  # of the handle that CreateFileMapping returns
    writes: bool  # to the section itself
    copies: bool  # on write
    executes: bool


_R, _W, _X = libc.PROT_READ, libc.PROT_WRITE, libc.PROT_EXEC
_FILE_READ, _FILE_WRITE, _FILE_EXECUTE = 0x01, 0x02, 0x20

TABLE = {
    NOACCESS: Protection(0, MAP_READ, 0, 0, False, False, False),
    READONLY: Protection(_R, MAP_READ, _FILE_READ, 0xF0005, False, False, False),
    READWRITE: Protection(_R | _W, MAP_WRITE, _FILE_READ | _FILE_WRITE, 0xF0007, True, False, False),
    WRITECOPY: Protection(_R | _W, MAP_READ, _FILE_READ, 0xF0005, False, True, False),
    EXECUTE: Protection(_R | _X, MAP_EXECUTE, _FILE_EXECUTE, 0, False, False, True),
    EXECUTE_READ: Protection(_R | _X, MAP_READ | MAP_EXECUTE, _FILE_READ | _FILE_EXECUTE, 0xF000D, False, False, True),
    EXECUTE_READWRITE: Protection(
        _R | _W | _X, MAP_WRITE | MAP_EXECUTE, _FILE_READ | _FILE_WRITE | _FILE_EXECUTE, 0xF000F, True, False, True
    ),
    EXECUTE_WRITECOPY: Protection(
        _R | _W | _X, MAP_READ | MAP_EXECUTE, _FILE_READ | _FILE_EXECUTE, 0xF000D, False, True, True
    ),
}
#: The protections a section may be created with.
SECTION = frozenset((READONLY, READWRITE, WRITECOPY, EXECUTE_READ, EXECUTE_READWRITE, EXECUTE_WRITECOPY))
#: A copied page of a copy-on-write view reports the protection on the right.
COPIED = {WRITECOPY: READWRITE, EXECUTE_WRITECOPY: EXECUTE_READWRITE}


def of(value: int) -> Protection:
    """The properties of a protection argument, modifiers left aside."""
    found = TABLE.get(value & ~(GUARD | NOCACHE | WRITECOMBINE))
    modifiers = value & (GUARD | NOCACHE | WRITECOMBINE)
    if found is None or modifiers not in (0, GUARD, NOCACHE, WRITECOMBINE) or (modifiers and value & NOACCESS):
        raise KernelError(NTSTATUS.STATUS_INVALID_PAGE_PROTECTION, f"{value:#x} is no page protection")
    return found


def mmu(value: int) -> int:
    """The PROT_* flags for pages of a protection. A guard page cannot be touched at all."""
    return libc.PROT_NONE if value & GUARD else TABLE[value & 0xFF].prot


def _allows(container: int, wanted: int) -> bool:
    outer, inner = TABLE[container], TABLE[wanted]
    if container == NOACCESS:
        return wanted == NOACCESS
    return (outer.executes or not inner.executes) and (outer.writes or not inner.writes)


#: (protection of a section or view, protection that its pages may have)
ALLOWED = frozenset((container, wanted) for container in TABLE for wanted in TABLE if _allows(container, wanted))


def allows(container: int, wanted: int) -> bool:
    """Whether a section or view of one protection may hold pages of the other, modifiers left aside."""
    return (container, wanted & 0xFF) in ALLOWED
