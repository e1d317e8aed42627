"""The C types and structures of the Win32 calls, with Windows' sizes on every platform.

(`ctypes.wintypes` takes DWORD and LONG from the platform's `long`, which has 8 bytes on 64-bit Unix.)
"""

import ctypes
from ctypes import c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint32, c_void_p
from dataclasses import dataclass

BOOL = c_int32
DWORD = c_uint32
LONG = c_int32
ULONG = c_uint32
LARGE_INTEGER = c_int64
SIZE_T = c_size_t
HANDLE = c_void_p
LPVOID = c_void_p
LPDWORD = ctypes.POINTER(DWORD)
LPHANDLE = ctypes.POINTER(HANDLE)


@dataclass
class SECURITY_ATTRIBUTES:
    """Who may use a new object, and whether its handle is inheritable.

    `lpSecurityDescriptor` is None (the owner only) or a security descriptor string, e.g. "D:(A;;GR;;;WD)(A;;GA;;;OW)".
    """

    lpSecurityDescriptor: str | None = None
    bInheritHandle: bool = False


@dataclass
class OBJECT_ATTRIBUTES:
    r"""Name and attributes of an object for the native calls.

    `ObjectName` is relative to the session's directory of names, or absolute (`\BaseNamedObjects\X`).
    """

    ObjectName: str | None = None
    Attributes: int = 0
    RootDirectory: int | None = None
    SecurityDescriptor: str | None = None


class SYSTEM_INFO(ctypes.Structure):
    _fields_ = (
        ("wProcessorArchitecture", c_uint16),
        ("wReserved", c_uint16),
        ("dwPageSize", c_uint32),
        ("lpMinimumApplicationAddress", c_void_p),
        ("lpMaximumApplicationAddress", c_void_p),
        ("dwActiveProcessorMask", c_size_t),
        ("dwNumberOfProcessors", c_uint32),
        ("dwProcessorType", c_uint32),
        ("dwAllocationGranularity", c_uint32),
        ("wProcessorLevel", c_uint16),
        ("wProcessorRevision", c_uint16),
    )


class MEMORY_BASIC_INFORMATION(ctypes.Structure):
    _fields_ = (
        ("BaseAddress", c_void_p),
        ("AllocationBase", c_void_p),
        ("AllocationProtect", c_uint32),
        ("PartitionId", c_uint16),
        ("RegionSize", c_size_t),
        ("State", c_uint32),
        ("Protect", c_uint32),
        ("Type", c_uint32),
    )


class OVERLAPPED(ctypes.Structure):
    """Only `Offset` and `OffsetHigh` are used: the place in the file of one synchronous transfer."""

    _fields_ = (
        ("Internal", c_size_t),
        ("InternalHigh", c_size_t),
        ("Offset", c_uint32),
        ("OffsetHigh", c_uint32),
        ("hEvent", c_void_p),
    )


class WIN32_MEMORY_RANGE_ENTRY(ctypes.Structure):
    _fields_ = (("VirtualAddress", c_void_p), ("NumberOfBytes", c_size_t))


class SECTION_BASIC_INFORMATION(ctypes.Structure):
    _fields_ = (("BaseAddress", c_void_p), ("Attributes", c_uint32), ("Size", c_int64))


class MUTANT_BASIC_INFORMATION(ctypes.Structure):
    """`CurrentCount` is 1 for a free mutex, 0 and below for one that is owned once and more."""

    _fields_ = (("CurrentCount", c_int32), ("OwnedByCaller", c_uint8), ("AbandonedState", c_uint8))


class SEMAPHORE_BASIC_INFORMATION(ctypes.Structure):
    _fields_ = (("CurrentCount", c_uint32), ("MaximumCount", c_uint32))


class EVENT_BASIC_INFORMATION(ctypes.Structure):
    """`EventType` is 0 for a manual-reset event, 1 for an auto-reset one."""

    _fields_ = (("EventType", c_int32), ("EventState", c_int32))


class UNICODE_STRING(ctypes.Structure):
    """`Length` and `MaximumLength` in bytes; `Buffer` is the address of UTF-16 text."""

    _fields_ = (("Length", c_uint16), ("MaximumLength", c_uint16), ("Buffer", c_void_p))


class OBJECT_BASIC_INFORMATION(ctypes.Structure):
    _fields_ = (
        ("Attributes", c_uint32),
        ("GrantedAccess", c_uint32),
        ("HandleCount", c_uint32),
        ("PointerCount", c_uint32),
        ("PagedPoolUsage", c_uint32),
        ("NonPagedPoolUsage", c_uint32),
        ("Reserved", c_uint32 * 3),
        ("NameInformationLength", c_uint32),
        ("TypeInformationLength", c_uint32),
        ("SecurityDescriptorLength", c_uint32),
        ("CreationTime", c_int64),
    )


class IO_STATUS_BLOCK(ctypes.Structure):
    _fields_ = (("Status", c_size_t), ("Information", c_size_t))
