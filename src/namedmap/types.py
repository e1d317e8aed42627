"""The C types and structures of the Win32 calls, with Windows' sizes on every platform.

(`ctypes.wintypes` takes DWORD and LONG from the platform's `long`, which has 8 bytes on 64-bit Unix.)
"""

import ctypes
import weakref
from ctypes import c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint32, c_void_p
from typing import Any, ClassVar

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


class _Text:
    """A text in memory as C has it: UTF-16, ended by a NUL."""

    #: By address, as long as a structure that points there keeps it: an address from elsewhere is never read.
    known: ClassVar["weakref.WeakValueDictionary[int, _Text]"] = weakref.WeakValueDictionary()

    def __init__(self, text: str) -> None:
        self.units = text.encode("utf-16-le", "surrogatepass")
        self._memory = ctypes.create_string_buffer(self.units + b"\0\0")
        self.address = ctypes.addressof(self._memory)
        _Text.known[self.address] = self

    def first(self, length: int) -> str:
        """The text of so many bytes."""
        return self.units[:length].decode("utf-16-le", "surrogatepass")


def _descriptor(structure: Any) -> Any:
    """The security descriptor as a string; of a pointer that was stored by other means, its address."""
    where = structure._descriptor
    known = _Text.known.get(where) if where else None
    return where if known is None else known.first(len(known.units))


def _set_descriptor(structure: Any, value: Any) -> None:
    if value is not None and not isinstance(value, str | int | c_void_p):
        raise TypeError(f"a security descriptor is a str (SDDL), an address or None, not {type(value).__name__}")
    structure._kept = _Text(value) if isinstance(value, str) else None
    structure._descriptor = value if structure._kept is None else structure._kept.address


class SECURITY_ATTRIBUTES(ctypes.Structure):
    """Those who may use a new object, and whether its handle is inheritable.

    `lpSecurityDescriptor` is None (the owner only) or a security descriptor string, e.g. "D:(A;;GR;;;WD)(A;;GA;;;OW)".
    Source: SECURITY_ATTRIBUTES (Win32).
    """

    _fields_ = (("nLength", c_uint32), ("_descriptor", c_void_p), ("bInheritHandle", c_int32))

    nLength: int
    bInheritHandle: Any

    def __init__(
        self, nLength: int = 0, lpSecurityDescriptor: str | int | None = None, bInheritHandle: bool | int = False
    ) -> None:
        super().__init__(nLength or ctypes.sizeof(type(self)), None, bInheritHandle)
        self.lpSecurityDescriptor = lpSecurityDescriptor

    lpSecurityDescriptor = property(_descriptor, _set_descriptor)


class UNICODE_STRING(ctypes.Structure):
    """`Length` and `MaximumLength` in bytes; `Buffer` is the address of UTF-16 text."""

    _fields_ = (("Length", c_uint16), ("MaximumLength", c_uint16), ("Buffer", c_void_p))


class OBJECT_ATTRIBUTES(ctypes.Structure):
    r"""Name and attributes of an object for the native calls; made as InitializeObjectAttributes makes it.

    `ObjectName` is a str or a UNICODE_STRING, relative to the session's directory of names or absolute
    (`\BaseNamedObjects\X`); `SecurityDescriptor` is as in SECURITY_ATTRIBUTES. Source: OBJECT_ATTRIBUTES (ntdef.h).
    """

    _fields_ = (
        ("Length", c_uint32),
        ("RootDirectory", c_void_p),
        ("_name", ctypes.POINTER(UNICODE_STRING)),
        ("Attributes", c_uint32),
        ("_descriptor", c_void_p),
        ("SecurityQualityOfService", c_void_p),
    )

    Length: int
    RootDirectory: Any
    Attributes: Any

    def __init__(
        self,
        ObjectName: Any = None,
        Attributes: int = 0,
        RootDirectory: int | None = None,
        SecurityDescriptor: str | int | None = None,
    ) -> None:
        super().__init__(ctypes.sizeof(type(self)), RootDirectory, None, Attributes)
        self.ObjectName, self.SecurityDescriptor = ObjectName, SecurityDescriptor

    @property
    def ObjectName(self) -> Any:
        """The text; of a UNICODE_STRING whose text is not known here, that."""
        if not self._name:
            return None
        name: UNICODE_STRING = self._name.contents
        known = _Text.known.get(name.Buffer or 0)
        return name if known is None or name.Length > len(known.units) else known.first(name.Length)

    @ObjectName.setter
    def ObjectName(self, value: Any) -> None:
        if isinstance(value, str):
            self._text = text = _Text(value)
            # Both lengths have 16 bits, so Windows cuts longer names.
            length = min(len(text.units), 0xFFFC)
            value = UNICODE_STRING(length, length + 2, text.address)
        self._name = ctypes.pointer(value) if isinstance(value, UNICODE_STRING) else value

    SecurityDescriptor = property(_descriptor, _set_descriptor)


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


class FILETIME(ctypes.Structure):
    """A time in units of 100 ns, since 1601 if it is a point in time."""

    _fields_ = (("dwLowDateTime", c_uint32), ("dwHighDateTime", c_uint32))


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
