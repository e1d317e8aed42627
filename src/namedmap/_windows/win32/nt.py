"""The native calls, as ntdll offers them.

Source: the Zw/Nt section routines of the Windows driver documentation; NtQueryObject, NtQuerySection (ntdll).
"""

import contextlib
import ctypes
import functools
import os
from collections.abc import Iterator
from typing import Any

from namedmap._convention.call import (
    AnyAddress,
    AnyHandle,
    Out,
    address,
    dword,
    handle,
    int64,
    native,
    size_t,
    target,
)
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._windows import calling, dll, guarded, handles, security
from namedmap._windows.win32.passing import object_name, place, status
from namedmap.types import (
    DWORD,
    HANDLE,
    IO_STATUS_BLOCK,
    LARGE_INTEGER,
    LPVOID,
    OBJECT_ATTRIBUTES,
    SIZE_T,
    UNICODE_STRING,
)

_QUERY_TRAVERSE_CREATE = 0x7  # DIRECTORY_QUERY, DIRECTORY_TRAVERSE, DIRECTORY_CREATE_OBJECT


@native
def NtCreateSection(
    SectionHandle: Out,
    DesiredAccess: int,
    ObjectAttributes: Out,
    MaximumSize: Out,
    SectionPageProtection: int,
    AllocationAttributes: int,
    FileHandle: AnyHandle,
) -> int:
    """Create a section; the handle is stored in `SectionHandle` (HANDLE).

    `MaximumSize` is in bytes: a LARGE_INTEGER, an int, or None. Source: ZwCreateSection.
    """
    out, access = place(SectionHandle, HANDLE, "SectionHandle"), dword(DesiredAccess)
    kind = dword(SectionPageProtection), dword(AllocationAttributes)
    with _named(ObjectAttributes) as attributes:
        return status(dll.NtCreateSection, out, access, attributes, _size(MaximumSize), *kind, handle(FileHandle))


def _size(given: Out) -> Any:
    if given is None:
        return None
    value = given if isinstance(given, int) else target(given, LARGE_INTEGER, "a LARGE_INTEGER")
    return ctypes.byref(LARGE_INTEGER(int64(value)))


@contextlib.contextmanager
def _named(given: Out) -> Iterator[Any]:
    """OBJECT_ATTRIBUTES as Windows wants them, for the length of the with-block; None for None.

    A relative name is one of the session's directory, as it is in Win32.
    """
    found: OBJECT_ATTRIBUTES | None = target(given, OBJECT_ATTRIBUTES, "ObjectAttributes", required=False)
    if found is None:
        yield None
        return
    text = _text(found)
    with security.descriptor(found.SecurityDescriptor) as where:
        passed = OBJECT_ATTRIBUTES.from_buffer_copy(found)  # its name is the very one, which `found` keeps
        passed.SecurityDescriptor = where
        if text and not text.startswith("\\") and not found.RootDirectory:
            passed.RootDirectory = _session_directory()
        yield ctypes.byref(passed)


def _text(attributes: OBJECT_ATTRIBUTES) -> str | None:
    """The text of ObjectName, of which only the address may be known."""
    name = attributes.ObjectName
    if isinstance(name, UNICODE_STRING):
        name = guarded.read(name.Buffer or 0, name.Length).decode("utf-16-le", "surrogatepass")
    return object_name(name, "ObjectName")


@functools.cache
def _session_directory() -> int:
    r"""A handle to the directory in which names of Win32 are, \Sessions\N\BaseNamedObjects, for as long as we live."""
    session = DWORD()
    calling.must("cannot tell the session", dll.ProcessIdToSessionId, os.getpid(), ctypes.byref(session))
    path = rf"\Sessions\{session.value}\BaseNamedObjects" if session.value else r"\BaseNamedObjects"
    found, attributes = dll.HANDLE(), OBJECT_ATTRIBUTES(path)
    opening = dll.NtOpenDirectoryObject, ctypes.byref(found), _QUERY_TRAVERSE_CREATE, ctypes.byref(attributes)
    calling.must_succeed(f"cannot open the directory of names {path}", *opening)
    return found.value


@native
def NtOpenSection(SectionHandle: Out, DesiredAccess: int, ObjectAttributes: Out) -> int:
    """Open a section by name; the handle is stored in `SectionHandle` (HANDLE). Source: ZwOpenSection."""
    return _open(dll.NtOpenSection, place(SectionHandle, HANDLE, "SectionHandle"), DesiredAccess, ObjectAttributes)


@native
def NtOpenMutant(MutantHandle: Out, DesiredAccess: int, ObjectAttributes: Out) -> int:
    """Open a mutex by name; the handle is stored in `MutantHandle` (HANDLE). Source: ntdll."""
    return _open(dll.NtOpenMutant, place(MutantHandle, HANDLE, "MutantHandle"), DesiredAccess, ObjectAttributes)


def _open(function: dll.Foreign, out: Any, access: int, given: Out) -> int:
    with _named(given) as attributes:
        return status(function, out, dword(access), attributes)


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
) -> int:
    """Map a view of a section.

    `BaseAddress` (LPVOID), `SectionOffset` (LARGE_INTEGER or None) and `ViewSize` (SIZE_T, bytes, 0 = the rest) go in
    and out. `CommitSize` bytes of a SEC_RESERVE section are committed. Source: ZwMapViewOfSection.
    """
    return status(
        dll.NtMapViewOfSection,
        handle(SectionHandle),
        handle(ProcessHandle),
        place(BaseAddress, LPVOID, "BaseAddress"),
        size_t(ZeroBits),
        size_t(CommitSize),
        place(SectionOffset, LARGE_INTEGER, "SectionOffset", required=False),
        place(ViewSize, SIZE_T, "ViewSize"),
        dword(InheritDisposition),
        dword(AllocationType),
        dword(Win32Protect),
    )


@native
def NtUnmapViewOfSection(ProcessHandle: AnyHandle, BaseAddress: AnyAddress) -> int:
    """Unmap the view that an address lies in. Source: ZwUnmapViewOfSection."""
    return status(dll.NtUnmapViewOfSection, handle(ProcessHandle), address(BaseAddress))


@native
def NtExtendSection(SectionHandle: AnyHandle, NewSectionSize: Out) -> int:
    """Grow a section over a file, and the file; `NewSectionSize` (LARGE_INTEGER, bytes) goes in and out.

    Source: NtExtendSection (ntdll).
    """
    size = place(NewSectionSize, LARGE_INTEGER, "NewSectionSize")
    return status(dll.NtExtendSection, handle(SectionHandle), size)


@native
def NtFlushVirtualMemory(ProcessHandle: AnyHandle, BaseAddress: Out, RegionSize: Out, IoStatus: Out = None) -> int:
    """Write changed pages of a view to its file.

    `BaseAddress` (LPVOID) and `RegionSize` (SIZE_T, bytes, 0 = to the end of the view) go in and out. Source:
    ZwFlushVirtualMemory.
    """
    region = place(BaseAddress, LPVOID, "BaseAddress"), place(RegionSize, SIZE_T, "RegionSize")
    result = target(IoStatus, IO_STATUS_BLOCK, "IoStatus", required=False) or IO_STATUS_BLOCK()
    return status(dll.NtFlushVirtualMemory, handle(ProcessHandle), *region, ctypes.byref(result))


# -- queries: a class of information, its memory and its length --------------------------------------------------------


@native
def NtQuerySection(
    SectionHandle: AnyHandle,
    SectionInformationClass: int,
    SectionInformation: Out,
    SectionInformationLength: int,
    ReturnLength: Out = None,
) -> int:
    """Query a section: class 0 stores a SECTION_BASIC_INFORMATION; class 1 is for images.

    `ReturnLength` (SIZE_T) receives the bytes stored. Source: NtQuerySection (ntdll).
    """
    length = size_t(SectionInformationLength)
    returned = place(ReturnLength, SIZE_T, "ReturnLength", required=False)
    memory = _memory(SectionInformation, length)
    number = _number(SectionInformationClass)
    return status(dll.NtQuerySection, handle(SectionHandle), number, memory, length, returned)


@native
def NtQueryObject(
    Handle: AnyHandle, ObjectInformationClass: int, ObjectInformation: Out, Length: int, ReturnLength: Out = None
) -> int:
    """Query any object: class 0 OBJECT_BASIC_INFORMATION, 1 its name, 2 its type, as a UNICODE_STRING and its text.

    `ReturnLength` (DWORD) receives the bytes needed. Source: ZwQueryObject.
    """
    return _query(dll.NtQueryObject, Handle, ObjectInformationClass, ObjectInformation, Length, ReturnLength)


@native
def NtQueryMutant(
    MutantHandle: AnyHandle, MutantInformationClass: int, MutantInformation: Out, Length: int, ResultLength: Out = None
) -> int:
    """Query a mutex: class 0 stores a MUTANT_BASIC_INFORMATION; needs MUTANT_QUERY_STATE. Source: ntdll."""
    return _query(dll.NtQueryMutant, MutantHandle, MutantInformationClass, MutantInformation, Length, ResultLength)


@native
def NtQuerySemaphore(
    SemaphoreHandle: AnyHandle,
    SemaphoreInformationClass: int,
    SemaphoreInformation: Out,
    Length: int,
    ReturnLength: Out = None,
) -> int:
    """Query a semaphore: class 0 stores a SEMAPHORE_BASIC_INFORMATION; needs SEMAPHORE_QUERY_STATE. Source: ntdll."""
    asked = SemaphoreInformationClass, SemaphoreInformation, Length, ReturnLength
    return _query(dll.NtQuerySemaphore, SemaphoreHandle, *asked)


@native
def NtQueryEvent(
    EventHandle: AnyHandle, EventInformationClass: int, EventInformation: Out, Length: int, ReturnLength: Out = None
) -> int:
    """Query an event: class 0 stores an EVENT_BASIC_INFORMATION; needs EVENT_QUERY_STATE. Source: ntdll."""
    return _query(dll.NtQueryEvent, EventHandle, EventInformationClass, EventInformation, Length, ReturnLength)


def _query(function: dll.Foreign, value: AnyHandle, wanted: int, information: Out, length: int, returned: Out) -> int:
    room = dword(length)
    out = place(returned, DWORD, "the length", required=False)
    return status(function, handle(value), _number(wanted), _memory(information, room), room, out)


def _number(wanted: int) -> int:
    """A class of information, which C has as a signed number."""
    return ctypes.c_int32(dword(wanted)).value


def _memory(out: Out, length: int) -> Any:
    """A pointer to the ctypes structure or array for so many bytes; what is shorter would be written past its end."""
    memory = target(out, (ctypes.Structure, ctypes.Array), "the buffer")
    present = ctypes.sizeof(memory)
    if length > present:
        raise KernelError(NTSTATUS.STATUS_ACCESS_VIOLATION, f"the buffer has {present} bytes of the {length} promised")
    return ctypes.byref(memory)


# -- handles, addresses ------------------------------------------------------------------------------------------------


@native
def NtClose(Handle: AnyHandle) -> int:
    """Close a handle: STATUS_INVALID_HANDLE, STATUS_HANDLE_NOT_CLOSABLE for a protected one. Source: ZwClose."""
    number = handle(Handle)
    owner, found = handles.owner_of(number), status(dll.NtClose, number)
    if owner is not None and not found:
        owner.was_closed()
    return found


@native
def NtMakeTemporaryObject(Handle: AnyHandle) -> int:
    """Let an object go with its last handle, which all do that are not permanent. Source: ZwMakeTemporaryObject."""
    return status(dll.NtMakeTemporaryObject, handle(Handle))


@native
def NtAreMappedFilesTheSame(File1MappedAsAnImage: AnyAddress, File2MappedAsFile: AnyAddress) -> int:
    """Whether two addresses lie in mappings of the same file: STATUS_NOT_SAME_DEVICE if not. Source: ntdll."""
    return status(dll.NtAreMappedFilesTheSame, address(File1MappedAsAnImage), address(File2MappedAsFile))
