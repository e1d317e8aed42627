"""File mapping objects."""

from typing import Any

from namedmap._convention import call
from namedmap._convention.call import (
    AnyHandle,
    boolean,
    dword,
    handle,
    inherits,
    invalid,
    optional_text,
    set_last_error,
    win32,
)
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.files.file import File
from namedmap._kernel.linux import protection
from namedmap._kernel.memory import section
from namedmap._kernel.memory.section import Section
from namedmap._kernel.names import security
from namedmap._kernel.names.names import ObjectName, parse
from namedmap._kernel.objects.named import NamedObject
from namedmap._kernel.objects.table import table
from namedmap.constants import ERROR_ALREADY_EXISTS, ERROR_SUCCESS

_INVALID_HANDLE_VALUE = -1
_EXISTED, _SUCCESS = int(ERROR_ALREADY_EXISTS), int(ERROR_SUCCESS)
_SEC_MASK = 0xDD800000  # the SEC_* that CreateFileMapping knows; the others make a bad protection
_SEC_COMMIT = 0x08000000

#: A SECURITY_ATTRIBUTES, `byref` or `pointer` of one, or None.
Attributes = Any


def created(held: NamedObject, access: int, existed: bool, attributes: Attributes) -> int:
    """A handle to an object from a Create function, and the last error such a function sets."""
    value = table.insert(held, access, inherit=inherits(call.security(attributes)))
    set_last_error(_EXISTED if existed else _SUCCESS)
    return value


def new_name(name: str | None) -> ObjectName | None:
    """The name for a Create function: none for NULL and for the empty string."""
    text = optional_text(name, "lpName")
    return parse(text) if text else None


def known_name(name: str | None) -> ObjectName:
    """The name for an Open function."""
    text = optional_text(name, "lpName")
    if text is None:
        raise invalid("lpName is NULL: give the name of the object to open")
    if not text:
        raise KernelError(
            NTSTATUS.STATUS_OBJECT_TYPE_MISMATCH, "the empty name is the directory of names, not an object"
        )
    return parse(text)


def descriptor(attributes: Attributes) -> security.Security:
    found = call.security(attributes)
    return security.DEFAULT if found is None else security.parse(found.lpSecurityDescriptor)


@win32(None)
def CreateFileMapping(
    hFile: AnyHandle,
    lpFileMappingAttributes: Attributes,
    flProtect: int,
    dwMaximumSizeHigh: int,
    dwMaximumSizeLow: int,
    lpName: str | None,
) -> int:
    """Create a section over a file, or over the paging file (INVALID_HANDLE_VALUE), or open the one of this name.

    `flProtect` is one PAGE_* and any SEC_* flags. The size is in bytes; 0 means the file's size. A file that is shorter
    grows. Returns a handle with last error 0, or ERROR_ALREADY_EXISTS for a section that existed (size and protection
    are then its own); None on failure: ERROR_INVALID_PARAMETER, ERROR_ACCESS_DENIED, ERROR_FILE_INVALID (empty file),
    ERROR_NOT_ENOUGH_MEMORY (longer than a file that may not grow), ERROR_COMMITMENT_LIMIT, ERROR_DISK_FULL,
    ERROR_INVALID_HANDLE (also: another kind of object has the name). Source: CreateFileMapping (Win32).
    """
    flags, file = dword(flProtect), handle(hFile)
    protect, attributes = flags & ~_SEC_MASK, flags & _SEC_MASK
    size = dword(dwMaximumSizeHigh) << 32 | dword(dwMaximumSizeLow)
    if protect not in protection.SECTION:
        raise invalid(
            f"{protect:#x} is no protection that a section can have: use one of the PAGE_* except PAGE_NOACCESS"
        )
    file = 0 if file == _INVALID_HANDLE_VALUE else file
    if not file and not size:
        raise invalid("a section over the paging file needs a size above 0")
    name, owner = new_name(lpName), descriptor(lpFileMappingAttributes)
    found, existed = create_section(name, size, protect, attributes or _SEC_COMMIT, file, owner)
    return created(found, protection.TABLE[protect].section_access, existed, lpFileMappingAttributes)


def create_section(
    name: ObjectName | None,
    size: int,
    protect: int,
    attributes: int,
    file: int,
    owner: security.Security,
    *,
    writing: bool | None = None,
) -> tuple[Section, bool]:
    """The section for CreateFileMapping and NtCreateSection; `file` is a handle or 0.

    `writing` says whether the handle is to allow changes of a section that exists; by default, if the protection does.
    """
    section.check_arguments(size, protect, attributes, bool(file))
    if not file:
        return section.create(name, size, protect, attributes, None, owner, writing=writing)
    with table.reference(file, File, protection.TABLE[protect].file_access) as reference:
        return section.create(name, size, protect, attributes, reference.object, owner, writing=writing)


@win32(None)
def OpenFileMapping(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the section of this name.

    Returns a handle with the access asked for (FILE_MAP_* or SECTION_*), or None: ERROR_FILE_NOT_FOUND,
    ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE (another kind of object has the name). Source: OpenFileMapping (Win32).
    """
    access, inherit, name = dword(dwDesiredAccess), boolean(bInheritHandle), known_name(lpName)
    granted = Section.map_access(section.access_of(access))
    if not granted:
        raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, "access 0 was asked for: ask for FILE_MAP_READ or more")
    found = section.open_existing(name, writing=bool(granted & section.CHANGES))
    return table.insert(found, granted, inherit=inherit)
