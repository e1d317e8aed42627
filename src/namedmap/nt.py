"""The native calls: the way in which drivers and ntdll name, create and map sections, and query objects.

Every function returns an NTSTATUS as an unsigned int, STATUS_SUCCESS being 0, and also has its Zw name. Names are
relative to the session's directory, or absolute: `\\BaseNamedObjects\\X` is `Global\\X` of Win32.
"""

from namedmap._platform import functions as _functions
from namedmap.ntstatus import NTSTATUS
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

NtCreateSection = _functions.NtCreateSection
NtOpenSection = _functions.NtOpenSection
NtOpenMutant = _functions.NtOpenMutant
NtMapViewOfSection = _functions.NtMapViewOfSection
NtUnmapViewOfSection = _functions.NtUnmapViewOfSection
NtExtendSection = _functions.NtExtendSection
NtQuerySection = _functions.NtQuerySection
NtFlushVirtualMemory = _functions.NtFlushVirtualMemory
NtQueryObject = _functions.NtQueryObject
NtQueryMutant = _functions.NtQueryMutant
NtQuerySemaphore = _functions.NtQuerySemaphore
NtQueryEvent = _functions.NtQueryEvent
NtClose = _functions.NtClose
NtMakeTemporaryObject = _functions.NtMakeTemporaryObject
NtAreMappedFilesTheSame = _functions.NtAreMappedFilesTheSame

ZwCreateSection = _functions.NtCreateSection
ZwOpenSection = _functions.NtOpenSection
ZwOpenMutant = _functions.NtOpenMutant
ZwAreMappedFilesTheSame = _functions.NtAreMappedFilesTheSame
ZwMapViewOfSection = _functions.NtMapViewOfSection
ZwUnmapViewOfSection = _functions.NtUnmapViewOfSection
ZwExtendSection = _functions.NtExtendSection
ZwQuerySection = _functions.NtQuerySection
ZwFlushVirtualMemory = _functions.NtFlushVirtualMemory
ZwQueryObject = _functions.NtQueryObject
ZwQueryMutant = _functions.NtQueryMutant
ZwQuerySemaphore = _functions.NtQuerySemaphore
ZwQueryEvent = _functions.NtQueryEvent
ZwClose = _functions.NtClose
ZwMakeTemporaryObject = _functions.NtMakeTemporaryObject

__all__ = [
    "DWORD",
    "EVENT_BASIC_INFORMATION",
    "HANDLE",
    "IO_STATUS_BLOCK",
    "LARGE_INTEGER",
    "LPVOID",
    "MUTANT_BASIC_INFORMATION",
    "NTSTATUS",
    "OBJECT_ATTRIBUTES",
    "OBJECT_BASIC_INFORMATION",
    "SECTION_BASIC_INFORMATION",
    "SEMAPHORE_BASIC_INFORMATION",
    "SIZE_T",
    "UNICODE_STRING",
    "NtAreMappedFilesTheSame",
    "NtClose",
    "NtCreateSection",
    "NtExtendSection",
    "NtFlushVirtualMemory",
    "NtMakeTemporaryObject",
    "NtMapViewOfSection",
    "NtOpenMutant",
    "NtOpenSection",
    "NtQueryEvent",
    "NtQueryMutant",
    "NtQueryObject",
    "NtQuerySection",
    "NtQuerySemaphore",
    "NtUnmapViewOfSection",
    "ZwAreMappedFilesTheSame",
    "ZwClose",
    "ZwCreateSection",
    "ZwExtendSection",
    "ZwFlushVirtualMemory",
    "ZwMakeTemporaryObject",
    "ZwMapViewOfSection",
    "ZwOpenMutant",
    "ZwOpenSection",
    "ZwQueryEvent",
    "ZwQueryMutant",
    "ZwQueryObject",
    "ZwQuerySection",
    "ZwQuerySemaphore",
    "ZwUnmapViewOfSection",
]
