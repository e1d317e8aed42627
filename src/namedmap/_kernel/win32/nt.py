"""The native section calls, as a driver or ntdll offers them.

Source: the Zw/Nt section routines of the Windows driver documentation; NtQueryObject, NtQuerySection (ntdll).
"""

import ctypes

from namedmap._convention.call import (
    AnyAddress,
    AnyHandle,
    Out,
    address,
    dword,
    handle,
    int64,
    native,
    optional_text,
    size_t,
    target,
)
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.dispatch import counted
from namedmap._kernel.dispatch.mutant import Mutant
from namedmap._kernel.linux import protection
from namedmap._kernel.linux.libc import PAGE
from namedmap._kernel.memory import copying, section, views
from namedmap._kernel.memory.section import Section
from namedmap._kernel.memory.space import View, space
from namedmap._kernel.names import security
from namedmap._kernel.names.names import ObjectName, parse_native
from namedmap._kernel.objects import owners
from namedmap._kernel.objects.named import NameTakenError, find_case_insensitive
from namedmap._kernel.objects.table import table
from namedmap._kernel.win32.handles import is_this_process, reference_any
from namedmap._kernel.win32.sections import create_section
from namedmap.types import (
    DWORD,
    EVENT_BASIC_INFORMATION,
    HANDLE,
    IO_STATUS_BLOCK,
    LARGE_INTEGER,
    LPVOID,
    MUTANT_BASIC_INFORMATION,
    OBJECT_ATTRIBUTES,
    OBJECT_BASIC_INFORMATION,
    SECTION_BASIC_INFORMATION,
    SEMAPHORE_BASIC_INFORMATION,
    SIZE_T,
    UNICODE_STRING,
)

_INHERIT, _PERMANENT, _CASE_INSENSITIVE, _OPENIF = 0x2, 0x10, 0x40, 0x80
_TOP_DOWN, _LARGE_PAGES, _NO_CHANGE, _RESERVE = 0x100000, 0x20000000, 0x400000, 0x2000
_IMAGE_INFORMATION_LENGTH = 64
_MAXIMUM_ALLOWED = 0x02000000
_QUERY_STATE = 1
_LONGEST_STRING = 0xFFFC  # bytes; a UNICODE_STRING counts them, and the NUL behind them, in 16 bits


@native
def NtCreateSection(
    SectionHandle: Out,
    DesiredAccess: int,
    ObjectAttributes: Out,
    MaximumSize: Out,
    SectionPageProtection: int,
    AllocationAttributes: int,
    FileHandle: AnyHandle,
) -> NTSTATUS | None:
    """Create a section; the handle is stored in `SectionHandle` (HANDLE).

    `MaximumSize` is in bytes: a LARGE_INTEGER, an int, or None. An existing name is STATUS_OBJECT_NAME_COLLISION, or
    with OBJ_OPENIF opened: STATUS_OBJECT_NAME_EXISTS. Source: ZwCreateSection.
    """
    out, asked = target(SectionHandle, HANDLE, "SectionHandle"), dword(DesiredAccess)
    access, file = Section.map_access(asked), handle(FileHandle)
    size = 0 if MaximumSize is None else int64(_value(MaximumSize)) & 0xFFFFFFFFFFFFFFFF
    attributes = _structure(ObjectAttributes)
    name, flags = _attributes(attributes)
    owner = security.parse(None if attributes is None else attributes.SecurityDescriptor)
    try:
        found, existed = create_section(
            name,
            size,
            dword(SectionPageProtection),
            dword(AllocationAttributes),
            file,
            owner,
            writing=bool(access & section.CHANGES and not asked & _MAXIMUM_ALLOWED),
        )
    except NameTakenError:
        if name is None or flags & _OPENIF:
            raise
        raise _collision(name) from None
    if existed and name is not None and not flags & _OPENIF:
        found.drop_handle()
        raise _collision(name)
    if existed and not access:
        # As for every open; whoever makes an object gets the handle that was asked for.
        found.drop_handle()
        raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, f"{found} exists, and access 0 was asked for")
    if asked & _MAXIMUM_ALLOWED and not found.writable:
        access &= ~section.CHANGES
    out.value = table.insert(found, access, inherit=bool(flags & _INHERIT))
    return NTSTATUS.STATUS_OBJECT_NAME_EXISTS if existed else None


def _collision(name: ObjectName) -> KernelError:
    return KernelError(NTSTATUS.STATUS_OBJECT_NAME_COLLISION, f"{str(name)!r} exists: OBJ_OPENIF would open a section")


def _value(size: Out) -> Out:
    """The integer, or the LARGE_INTEGER behind byref or pointer."""
    return size if isinstance(size, int) else target(size, LARGE_INTEGER, "a LARGE_INTEGER")


def _structure(attributes: Out) -> OBJECT_ATTRIBUTES | None:
    """The structure behind a pointer to OBJECT_ATTRIBUTES, or None."""
    found: OBJECT_ATTRIBUTES | None = target(attributes, OBJECT_ATTRIBUTES, "ObjectAttributes", required=False)
    return found


def _object_name(attributes: OBJECT_ATTRIBUTES) -> str | None:
    """The text of ObjectName, of which only the address may be known."""
    name = attributes.ObjectName
    if isinstance(name, UNICODE_STRING):
        name = copying.read(name.Buffer or 0, name.Length).decode("utf-16-le", "surrogatepass")
    return optional_text(name, "ObjectName")


def _attributes(attributes: OBJECT_ATTRIBUTES | None) -> tuple[ObjectName | None, int]:
    """The name, if any, and the flags."""
    if attributes is None:
        return None, 0
    text = _object_name(attributes)
    flags = dword(attributes.Attributes)
    if flags & _PERMANENT:
        raise KernelError(NTSTATUS.STATUS_PRIVILEGE_NOT_HELD, "OBJ_PERMANENT needs a privilege that nobody holds here")
    if attributes.RootDirectory:
        raise KernelError(
            NTSTATUS.STATUS_NOT_SUPPORTED, "there are no directory handles: give ObjectName an absolute path"
        )
    if not text:
        return None, flags
    if not flags & _CASE_INSENSITIVE:
        return parse_native(text), flags
    return find_case_insensitive(parse_native(text, ignore_case=True)), flags


def _known(given: Out) -> tuple[ObjectName, int]:
    attributes = _structure(given)
    name, flags = _attributes(attributes)
    if attributes is None:
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, "ObjectAttributes is NULL: there is no name to open")
    if attributes.ObjectName is None:
        raise KernelError(NTSTATUS.STATUS_OBJECT_PATH_SYNTAX_BAD, "ObjectName is NULL: there is no name to open")
    if name is None:
        raise KernelError(NTSTATUS.STATUS_OBJECT_TYPE_MISMATCH, "the empty name is the directory of names")
    return name, flags


@native
def NtOpenSection(SectionHandle: Out, DesiredAccess: int, ObjectAttributes: Out) -> None:
    """Open a section by name; the handle is stored in `SectionHandle` (HANDLE). Source: ZwOpenSection."""
    out, access = target(SectionHandle, HANDLE, "SectionHandle"), Section.map_access(dword(DesiredAccess))
    name, flags = _known(ObjectAttributes)
    if not access:
        raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, "access 0 was asked for")
    found = section.open_existing(name, writing=bool(access & section.CHANGES))
    out.value = table.insert(found, access, inherit=bool(flags & _INHERIT))


@native
def NtOpenMutant(MutantHandle: Out, DesiredAccess: int, ObjectAttributes: Out) -> None:
    """Open a mutex by name; the handle is stored in `MutantHandle` (HANDLE)."""
    out, access = target(MutantHandle, HANDLE, "MutantHandle"), Mutant.map_access(dword(DesiredAccess))
    name, flags = _known(ObjectAttributes)
    if not access:
        raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, "access 0 was asked for")
    out.value = table.insert(counted.open_existing(Mutant, name), access, inherit=bool(flags & _INHERIT))


@native
def NtMapViewOfSection(
    SectionHandle: AnyHandle,
    ProcessHandle: AnyHandle,
    BaseAddress: Out,
    ZeroBits: int,
    CommitSize: int,
    SectionOffset: Out,
    ViewSize: Out,
    InheritDisposition: int,
    AllocationType: int,
    Win32Protect: int,
) -> None:
    """Map a view of a section.

    `BaseAddress` (LPVOID), `SectionOffset` (LARGE_INTEGER or None) and `ViewSize` (SIZE_T, bytes, 0 = the rest) go in
    and out. `CommitSize` bytes of a SEC_RESERVE section are committed. Source: ZwMapViewOfSection.
    """
    base_out, size_out = target(BaseAddress, LPVOID, "BaseAddress"), target(ViewSize, SIZE_T, "ViewSize")
    offset_out = target(SectionOffset, LARGE_INTEGER, "SectionOffset", required=False)
    _check_mapping(dword(InheritDisposition), dword(AllocationType), dword(Win32Protect), size_t(ZeroBits))
    _this_process(ProcessHandle)
    offset = 0 if offset_out is None else offset_out.value & 0xFFFFFFFFFFFFFFFF
    protect, commit = dword(Win32Protect) & 0xFF, size_t(CommitSize)
    base, limit = base_out.value or 0, _highest(size_t(ZeroBits))
    view = views.map_view(handle(SectionHandle), offset, size_out.value, protect, base, commit=commit, limit=limit)
    base_out.value, size_out.value = view.base, view.length


def _check_mapping(inherit: int, kind: int, protect: int, zero_bits: int) -> None:
    if inherit not in (1, 2):
        raise KernelError(
            NTSTATUS.STATUS_INVALID_PARAMETER_8, "InheritDisposition must be ViewShare (1) or ViewUnmap (2)"
        )
    if kind & ~(_TOP_DOWN | _LARGE_PAGES | _NO_CHANGE):
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_9, f"allocation type {kind:#x} is not possible for a view")
    if protect not in protection.TABLE:
        raise KernelError(NTSTATUS.STATUS_INVALID_PAGE_PROTECTION, f"{protect:#x} is no page protection for a view")
    if 21 < zero_bits < 32:
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_4, f"ZeroBits {zero_bits} is above 21")


def _highest(zero_bits: int) -> int:
    """The address below which a view must end: a count of leading zeros of 32 bits, or a mask of the bits allowed."""
    if not zero_bits:
        return 0
    return 1 << (32 - zero_bits) if zero_bits < 32 else 1 << zero_bits.bit_length()


def _this_process(value: AnyHandle) -> None:
    if not is_this_process(handle(value)):
        raise KernelError(NTSTATUS.STATUS_NOT_SUPPORTED, "only this process's address space can be changed (-1)")


@native
def NtUnmapViewOfSection(ProcessHandle: AnyHandle, BaseAddress: AnyAddress) -> None:
    """Unmap the view that an address lies in. Source: ZwUnmapViewOfSection."""
    _this_process(ProcessHandle)
    space.unmap_view(address(BaseAddress))


@native
def NtExtendSection(SectionHandle: AnyHandle, NewSectionSize: Out) -> None:
    """Grow a section over a file, and the file; views that exist keep their length.

    `NewSectionSize` (LARGE_INTEGER, bytes) goes in and out: a smaller size changes nothing and returns the present one.
    STATUS_SECTION_NOT_EXTENDED over the paging file. Source: NtExtendSection (ntdll).
    """
    out = target(NewSectionSize, LARGE_INTEGER, "NewSectionSize")
    with table.reference(handle(SectionHandle), Section, section.EXTEND) as reference:
        reference.object.extend(out.value & 0xFFFFFFFFFFFFFFFF)
        out.value = reference.object.size


@native
def NtQuerySection(
    SectionHandle: AnyHandle,
    SectionInformationClass: int,
    SectionInformation: Out,
    SectionInformationLength: int,
    ReturnLength: Out = None,
) -> None:
    """Query a section: class 0 stores a SECTION_BASIC_INFORMATION; class 1 is for images, which do not exist here.

    `ReturnLength` (SIZE_T) receives the bytes stored. Source: NtQuerySection (ntdll).
    """
    length, wanted = size_t(SectionInformationLength), dword(SectionInformationClass)
    if wanted not in (0, 1):
        raise KernelError(NTSTATUS.STATUS_INVALID_INFO_CLASS, f"there is no section information class {wanted}")
    needed = _IMAGE_INFORMATION_LENGTH if wanted else ctypes.sizeof(SECTION_BASIC_INFORMATION)
    if length < needed:
        raise KernelError(
            NTSTATUS.STATUS_INFO_LENGTH_MISMATCH, f"section information needs {needed} bytes, not {length}"
        )
    with table.reference(handle(SectionHandle), Section, section.QUERY) as reference:
        if wanted:
            raise KernelError(NTSTATUS.STATUS_SECTION_NOT_IMAGE, "the section is not that of an executable image")
        found = reference.object
        found.refresh()
        content = bytes(SECTION_BASIC_INFORMATION(None, found.attributes, found.size))
    _store(SectionInformation, content)
    returned = target(ReturnLength, SIZE_T, "ReturnLength", required=False)
    if returned is not None:
        returned.value = needed


@native
def NtFlushVirtualMemory(ProcessHandle: AnyHandle, BaseAddress: Out, RegionSize: Out, IoStatus: Out = None) -> None:
    """Write changed pages of a view to its file.

    `BaseAddress` (LPVOID) and `RegionSize` (SIZE_T, bytes, 0 = to the end of the view) go in and out. Source:
    ZwFlushVirtualMemory.
    """
    base, length = target(BaseAddress, LPVOID, "BaseAddress"), target(RegionSize, SIZE_T, "RegionSize")
    _this_process(ProcessHandle)
    flushed = views.flush(base.value or 0, length.value)
    base.value, length.value = (base.value or 0) // PAGE * PAGE, flushed
    status = target(IoStatus, IO_STATUS_BLOCK, "IoStatus", required=False)
    if status is not None:
        status.Status, status.Information = 0, flushed


@native
def NtQueryObject(
    Handle: AnyHandle, ObjectInformationClass: int, ObjectInformation: Out, Length: int, ReturnLength: Out = None
) -> None:
    """Query any object: class 0 OBJECT_BASIC_INFORMATION, 1 its name, 2 its type, as a UNICODE_STRING and its text.

    `ObjectInformation` is a writable ctypes object of at least `Length` bytes; `ReturnLength` (DWORD) receives the
    bytes needed. Source: ZwQueryObject.
    """
    length, wanted = dword(Length), dword(ObjectInformationClass)
    with reference_any(handle(Handle)) as reference:
        found = reference.object
        if wanted == 0:
            content = bytes(
                OBJECT_BASIC_INFORMATION(
                    GrantedAccess=reference.access, HandleCount=found.total_handles(), PointerCount=found.references
                )
            )
        elif wanted in (1, 2):
            content = _string(found.native_name if wanted == 1 else found.type_name, ObjectInformation)
        else:
            raise KernelError(NTSTATUS.STATUS_INVALID_INFO_CLASS, f"there is no object information class {wanted}")
    returned = target(ReturnLength, DWORD, "ReturnLength", required=False)
    if returned is not None:
        returned.value = len(content)
    if length < len(content):
        raise KernelError(
            NTSTATUS.STATUS_INFO_LENGTH_MISMATCH, f"object information needs {len(content)} bytes, not {length}"
        )
    _store(ObjectInformation, content)


def _memory(out: Out) -> Out:
    """The ctypes structure or array behind an out-argument of any type."""
    return target(out, (ctypes.Structure, ctypes.Array), "the buffer")


def _store(out: Out, content: bytes) -> None:
    memory = _memory(out)
    if ctypes.sizeof(memory) < len(content):
        raise KernelError(
            NTSTATUS.STATUS_ACCESS_VIOLATION,
            f"the buffer has {ctypes.sizeof(memory)} bytes of the {len(content)} needed",
        )
    ctypes.memmove(ctypes.addressof(memory), content, len(content))


def _string(text: str, buffer: Out) -> bytes:
    """A UNICODE_STRING that points to its text right behind it in the caller's buffer."""
    raw = text.encode("utf-16-le", "surrogatepass")[:_LONGEST_STRING]
    head = ctypes.sizeof(UNICODE_STRING)
    if not raw:
        return bytes(UNICODE_STRING())
    return bytes(UNICODE_STRING(len(raw), len(raw) + 2, ctypes.addressof(_memory(buffer)) + head)) + raw + b"\0\0"


@native
def NtClose(Handle: AnyHandle) -> None:
    """Close a handle: STATUS_INVALID_HANDLE, STATUS_HANDLE_NOT_CLOSABLE for a protected one. Source: ZwClose."""
    table.close(handle(Handle))


@native
def NtQueryMutant(
    MutantHandle: AnyHandle, MutantInformationClass: int, MutantInformation: Out, Length: int, ResultLength: Out = None
) -> None:
    """Query a mutex: class 0 stores a MUTANT_BASIC_INFORMATION; needs MUTANT_QUERY_STATE. Source: ntdll."""
    _require_basic(MutantInformationClass, Length, MUTANT_BASIC_INFORMATION)
    with table.reference(handle(MutantHandle), Mutant, _QUERY_STATE) as reference:
        content = MUTANT_BASIC_INFORMATION(*reference.object.query(owners.thread.owner))
    _answer(MutantInformation, content, ResultLength)


@native
def NtQuerySemaphore(
    SemaphoreHandle: AnyHandle,
    SemaphoreInformationClass: int,
    SemaphoreInformation: Out,
    Length: int,
    ReturnLength: Out = None,
) -> None:
    """Query a semaphore: class 0 stores a SEMAPHORE_BASIC_INFORMATION; needs SEMAPHORE_QUERY_STATE. Source: ntdll."""
    _require_basic(SemaphoreInformationClass, Length, SEMAPHORE_BASIC_INFORMATION)
    with table.reference(handle(SemaphoreHandle), counted.Semaphore, _QUERY_STATE) as reference:
        content = SEMAPHORE_BASIC_INFORMATION(*reference.object.query())
    _answer(SemaphoreInformation, content, ReturnLength)


@native
def NtQueryEvent(
    EventHandle: AnyHandle, EventInformationClass: int, EventInformation: Out, Length: int, ReturnLength: Out = None
) -> None:
    """Query an event: class 0 stores an EVENT_BASIC_INFORMATION; needs EVENT_QUERY_STATE. Source: ntdll."""
    _require_basic(EventInformationClass, Length, EVENT_BASIC_INFORMATION)
    with table.reference(handle(EventHandle), counted.Event, _QUERY_STATE) as reference:
        manual, signaled = reference.object.query()
    _answer(EventInformation, EVENT_BASIC_INFORMATION(int(not manual), int(signaled)), ReturnLength)


def _require_basic(wanted: int, length: int, structure: type[ctypes.Structure]) -> None:
    if dword(wanted):
        raise KernelError(NTSTATUS.STATUS_INVALID_INFO_CLASS, f"there is no information class {wanted}, only 0")
    if dword(length) != ctypes.sizeof(structure):
        raise KernelError(
            NTSTATUS.STATUS_INFO_LENGTH_MISMATCH, f"the information has {ctypes.sizeof(structure)} bytes, not {length}"
        )


def _answer(out: Out, content: ctypes.Structure, length: Out) -> None:
    _store(out, bytes(content))
    returned = target(length, DWORD, "the length", required=False)
    if returned is not None:
        returned.value = ctypes.sizeof(content)


@native
def NtMakeTemporaryObject(Handle: AnyHandle) -> None:
    """Let an object go with its last handle, which all objects here do anyway. Source: ZwMakeTemporaryObject."""
    table.get(handle(Handle))


@native
def NtAreMappedFilesTheSame(File1MappedAsAnImage: AnyAddress, File2MappedAsFile: AnyAddress) -> None:
    """Whether two addresses lie in the same view: STATUS_NOT_SAME_DEVICE if not. Source: ntdll."""
    regions = []
    for value in (File1MappedAsAnImage, File2MappedAsFile):
        region = space.find(address(value))
        if region is None:
            raise KernelError(NTSTATUS.STATUS_INVALID_ADDRESS, f"address {address(value):#x} lies in no view")
        if not isinstance(region, View):
            raise KernelError(
                NTSTATUS.STATUS_CONFLICTING_ADDRESSES, f"address {address(value):#x} lies in private memory"
            )
        regions.append(region)
    if regions[0] is not regions[1]:
        raise KernelError(NTSTATUS.STATUS_NOT_SAME_DEVICE, "the addresses lie in different views")
