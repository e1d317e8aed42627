"""The public modules: names, parameters, constants, structures and docstrings, as the Windows headers have them."""

import ctypes
import enum
import inspect
import re
import threading
from types import ModuleType

import pytest

import namedmap
from calls import failed
from child import plain
from namedmap import constants, nt, ntstatus, types, win32

pytestmark = pytest.mark.usefixtures("tidy")

# Parameters as on the pages of learn.microsoft.com.
WIN32 = """
CreateFile lpFileName dwDesiredAccess dwShareMode lpSecurityAttributes dwCreationDisposition dwFlagsAndAttributes hTemplateFile
ReadFile hFile lpBuffer nNumberOfBytesToRead lpNumberOfBytesRead lpOverlapped
WriteFile hFile lpBuffer nNumberOfBytesToWrite lpNumberOfBytesWritten lpOverlapped
SetFilePointer hFile lDistanceToMove lpDistanceToMoveHigh dwMoveMethod
SetFilePointerEx hFile liDistanceToMove lpNewFilePointer dwMoveMethod
SetEndOfFile hFile
GetFileSize hFile lpFileSizeHigh
GetFileSizeEx hFile lpFileSize
FlushFileBuffers hFile
LockFile hFile dwFileOffsetLow dwFileOffsetHigh nNumberOfBytesToLockLow nNumberOfBytesToLockHigh
LockFileEx hFile dwFlags dwReserved nNumberOfBytesToLockLow nNumberOfBytesToLockHigh lpOverlapped
UnlockFile hFile dwFileOffsetLow dwFileOffsetHigh nNumberOfBytesToUnlockLow nNumberOfBytesToUnlockHigh
UnlockFileEx hFile dwReserved nNumberOfBytesToUnlockLow nNumberOfBytesToUnlockHigh lpOverlapped
GetFileAttributes lpFileName
SetFileAttributes lpFileName dwFileAttributes
DeleteFile lpFileName
MoveFile lpExistingFileName lpNewFileName
MoveFileEx lpExistingFileName lpNewFileName dwFlags
CopyFile lpExistingFileName lpNewFileName bFailIfExists
CreateFileMapping hFile lpFileMappingAttributes flProtect dwMaximumSizeHigh dwMaximumSizeLow lpName
OpenFileMapping dwDesiredAccess bInheritHandle lpName
MapViewOfFile hFileMappingObject dwDesiredAccess dwFileOffsetHigh dwFileOffsetLow dwNumberOfBytesToMap
MapViewOfFileEx hFileMappingObject dwDesiredAccess dwFileOffsetHigh dwFileOffsetLow dwNumberOfBytesToMap lpBaseAddress
UnmapViewOfFile lpBaseAddress
UnmapViewOfFileEx lpBaseAddress UnmapFlags
FlushViewOfFile lpBaseAddress dwNumberOfBytesToFlush
VirtualQuery lpAddress lpBuffer dwLength
VirtualProtect lpAddress dwSize flNewProtect lpflOldProtect
VirtualAlloc lpAddress dwSize flAllocationType flProtect
VirtualFree lpAddress dwSize dwFreeType
VirtualLock lpAddress dwSize
VirtualUnlock lpAddress dwSize
PrefetchVirtualMemory hProcess NumberOfEntries VirtualAddresses Flags
GetSystemInfo lpSystemInfo
CloseHandle hObject
DuplicateHandle hSourceProcessHandle hSourceHandle hTargetProcessHandle lpTargetHandle dwDesiredAccess bInheritHandle dwOptions
GetHandleInformation hObject lpdwFlags
SetHandleInformation hObject dwMask dwFlags
CompareObjectHandles hFirstObjectHandle hSecondObjectHandle
GetCurrentProcess
GetCurrentThread
GetCurrentProcessId
OpenProcess dwDesiredAccess bInheritHandle dwProcessId
TerminateProcess hProcess uExitCode
GetExitCodeProcess hProcess lpExitCode
GetProcessTimes hProcess lpCreationTime lpExitTime lpKernelTime lpUserTime
OutputDebugString lpOutputString
GetLastError
SetLastError dwErrCode
FormatMessage dwFlags lpSource dwMessageId dwLanguageId lpBuffer nSize Arguments
CreateMutex lpMutexAttributes bInitialOwner lpName
CreateMutexEx lpMutexAttributes lpName dwFlags dwDesiredAccess
OpenMutex dwDesiredAccess bInheritHandle lpName
ReleaseMutex hMutex
CreateSemaphore lpSemaphoreAttributes lInitialCount lMaximumCount lpName
CreateSemaphoreEx lpSemaphoreAttributes lInitialCount lMaximumCount lpName dwFlags dwDesiredAccess
OpenSemaphore dwDesiredAccess bInheritHandle lpName
ReleaseSemaphore hSemaphore lReleaseCount lpPreviousCount
CreateEvent lpEventAttributes bManualReset bInitialState lpName
CreateEventEx lpEventAttributes lpName dwFlags dwDesiredAccess
OpenEvent dwDesiredAccess bInheritHandle lpName
SetEvent hEvent
ResetEvent hEvent
PulseEvent hEvent
WaitForSingleObject hHandle dwMilliseconds
WaitForSingleObjectEx hHandle dwMilliseconds bAlertable
WaitForMultipleObjects nCount lpHandles bWaitAll dwMilliseconds
WaitForMultipleObjectsEx nCount lpHandles bWaitAll dwMilliseconds bAlertable
SignalObjectAndWait hObjectToSignal hObjectToWaitOn dwMilliseconds bAlertable
"""  # noqa: E501 -- a table
NATIVE = """
NtCreateSection SectionHandle DesiredAccess ObjectAttributes MaximumSize SectionPageProtection AllocationAttributes FileHandle
NtOpenSection SectionHandle DesiredAccess ObjectAttributes
NtOpenMutant MutantHandle DesiredAccess ObjectAttributes
NtMapViewOfSection SectionHandle ProcessHandle BaseAddress ZeroBits CommitSize SectionOffset ViewSize InheritDisposition AllocationType Win32Protect
NtUnmapViewOfSection ProcessHandle BaseAddress
NtExtendSection SectionHandle NewSectionSize
NtQuerySection SectionHandle SectionInformationClass SectionInformation SectionInformationLength ReturnLength
NtFlushVirtualMemory ProcessHandle BaseAddress RegionSize IoStatus
NtQueryMutant MutantHandle MutantInformationClass MutantInformation Length ResultLength
NtQuerySemaphore SemaphoreHandle SemaphoreInformationClass SemaphoreInformation Length ReturnLength
NtQueryEvent EventHandle EventInformationClass EventInformation Length ReturnLength
NtQueryObject Handle ObjectInformationClass ObjectInformation Length ReturnLength
NtClose Handle
NtMakeTemporaryObject Handle
NtAreMappedFilesTheSame File1MappedAsAnImage File2MappedAsFile
"""  # noqa: E501 -- a table
#: The Win32 functions that take strings exist in a wide form, too.
WIDE = [
    "CreateFile",
    "GetFileAttributes",
    "SetFileAttributes",
    "DeleteFile",
    "MoveFile",
    "MoveFileEx",
    "CopyFile",
    "CreateFileMapping",
    "OpenFileMapping",
    "CreateMutex",
    "CreateMutexEx",
    "OpenMutex",
    "CreateSemaphore",
    "CreateSemaphoreEx",
    "OpenSemaphore",
    "CreateEvent",
    "CreateEventEx",
    "OpenEvent",
    "FormatMessage",
    "OutputDebugString",
]
#: Values of winnt.h, winbase.h, fileapi.h, memoryapi.h, winerror.h and ntdef.h, from the headers.
CONSTANTS = {
    "GENERIC_READ": 0x80000000, "GENERIC_WRITE": 0x40000000, "GENERIC_EXECUTE": 0x20000000, "GENERIC_ALL": 0x10000000,
    "MAXIMUM_ALLOWED": 0x02000000, "DELETE": 0x10000, "READ_CONTROL": 0x20000, "WRITE_DAC": 0x40000,
    "WRITE_OWNER": 0x80000, "SYNCHRONIZE": 0x100000, "STANDARD_RIGHTS_REQUIRED": 0xF0000,
    "STANDARD_RIGHTS_ALL": 0x1F0000, "FILE_READ_DATA": 1, "FILE_WRITE_DATA": 2, "FILE_APPEND_DATA": 4,
    "FILE_READ_EA": 8, "FILE_WRITE_EA": 16, "FILE_EXECUTE": 32, "FILE_READ_ATTRIBUTES": 128,
    "FILE_WRITE_ATTRIBUTES": 256, "FILE_GENERIC_READ": 0x120089, "FILE_GENERIC_WRITE": 0x120116,
    "FILE_GENERIC_EXECUTE": 0x1200A0, "FILE_ALL_ACCESS": 0x1F01FF,
    "FILE_SHARE_READ": 1, "FILE_SHARE_WRITE": 2, "FILE_SHARE_DELETE": 4,
    "CREATE_NEW": 1, "CREATE_ALWAYS": 2, "OPEN_EXISTING": 3, "OPEN_ALWAYS": 4, "TRUNCATE_EXISTING": 5,
    "FILE_ATTRIBUTE_READONLY": 1, "FILE_ATTRIBUTE_HIDDEN": 2, "FILE_ATTRIBUTE_SYSTEM": 4,
    "FILE_ATTRIBUTE_DIRECTORY": 16, "FILE_ATTRIBUTE_ARCHIVE": 32, "FILE_ATTRIBUTE_DEVICE": 64,
    "FILE_ATTRIBUTE_NORMAL": 128, "FILE_ATTRIBUTE_TEMPORARY": 256, "FILE_ATTRIBUTE_REPARSE_POINT": 1024,
    "INVALID_FILE_ATTRIBUTES": 0xFFFFFFFF, "FILE_FLAG_WRITE_THROUGH": 0x80000000, "FILE_FLAG_OVERLAPPED": 0x40000000,
    "FILE_FLAG_NO_BUFFERING": 0x20000000, "FILE_FLAG_RANDOM_ACCESS": 0x10000000,
    "FILE_FLAG_SEQUENTIAL_SCAN": 0x08000000, "FILE_FLAG_DELETE_ON_CLOSE": 0x04000000,
    "FILE_FLAG_BACKUP_SEMANTICS": 0x02000000, "FILE_FLAG_POSIX_SEMANTICS": 0x01000000,
    "FILE_FLAG_OPEN_REPARSE_POINT": 0x00200000, "FILE_BEGIN": 0, "FILE_CURRENT": 1, "FILE_END": 2,
    "MOVEFILE_REPLACE_EXISTING": 1, "MOVEFILE_COPY_ALLOWED": 2, "MOVEFILE_DELAY_UNTIL_REBOOT": 4,
    "MOVEFILE_WRITE_THROUGH": 8, "MOVEFILE_CREATE_HARDLINK": 16, "MOVEFILE_FAIL_IF_NOT_TRACKABLE": 32,
    "PAGE_NOACCESS": 1, "PAGE_READONLY": 2, "PAGE_READWRITE": 4, "PAGE_WRITECOPY": 8, "PAGE_EXECUTE": 16,
    "PAGE_EXECUTE_READ": 32, "PAGE_EXECUTE_READWRITE": 64, "PAGE_EXECUTE_WRITECOPY": 128, "PAGE_GUARD": 256,
    "PAGE_NOCACHE": 512, "PAGE_WRITECOMBINE": 1024,
    "SEC_FILE": 0x800000, "SEC_IMAGE": 0x1000000, "SEC_PROTECTED_IMAGE": 0x2000000, "SEC_RESERVE": 0x4000000,
    "SEC_COMMIT": 0x8000000, "SEC_NOCACHE": 0x10000000, "SEC_WRITECOMBINE": 0x40000000, "SEC_LARGE_PAGES": 0x80000000,
    "SEC_IMAGE_NO_EXECUTE": 0x11000000, "SEC_BASED": 0x200000, "SEC_NO_CHANGE": 0x400000,
    "SECTION_QUERY": 1, "SECTION_MAP_WRITE": 2, "SECTION_MAP_READ": 4, "SECTION_MAP_EXECUTE": 8,
    "SECTION_EXTEND_SIZE": 16, "SECTION_MAP_EXECUTE_EXPLICIT": 32, "SECTION_ALL_ACCESS": 0xF001F,
    "FILE_MAP_COPY": 1, "FILE_MAP_WRITE": 2, "FILE_MAP_READ": 4, "FILE_MAP_EXECUTE": 32,
    "FILE_MAP_ALL_ACCESS": 0xF001F, "FILE_MAP_LARGE_PAGES": 0x20000000, "FILE_MAP_TARGETS_INVALID": 0x40000000,
    "FILE_MAP_RESERVE": 0x80000000,
    "MEM_COMMIT": 0x1000, "MEM_RESERVE": 0x2000, "MEM_DECOMMIT": 0x4000, "MEM_RELEASE": 0x8000, "MEM_FREE": 0x10000,
    "MEM_PRIVATE": 0x20000, "MEM_MAPPED": 0x40000, "MEM_RESET": 0x80000, "MEM_TOP_DOWN": 0x100000,
    "MEM_WRITE_WATCH": 0x200000, "MEM_PHYSICAL": 0x400000, "MEM_RESET_UNDO": 0x1000000, "MEM_IMAGE": 0x1000000,
    "MEM_LARGE_PAGES": 0x20000000, "MEM_UNMAP_WITH_TRANSIENT_BOOST": 1, "MEM_PRESERVE_PLACEHOLDER": 2,
    "MUTEX_MODIFY_STATE": 1, "SEMAPHORE_MODIFY_STATE": 2, "EVENT_MODIFY_STATE": 2, "MUTEX_ALL_ACCESS": 0x1F0001,
    "SEMAPHORE_ALL_ACCESS": 0x1F0003, "EVENT_ALL_ACCESS": 0x1F0003, "MUTANT_QUERY_STATE": 1,
    "WAIT_OBJECT_0": 0, "WAIT_ABANDONED": 0x80, "WAIT_ABANDONED_0": 0x80, "WAIT_IO_COMPLETION": 0xC0,
    "WAIT_TIMEOUT": 0x102, "WAIT_FAILED": 0xFFFFFFFF, "INFINITE": 0xFFFFFFFF, "MAXIMUM_WAIT_OBJECTS": 64,
    "CREATE_MUTEX_INITIAL_OWNER": 1, "CREATE_EVENT_MANUAL_RESET": 1, "CREATE_EVENT_INITIAL_SET": 2,
    "LOCKFILE_FAIL_IMMEDIATELY": 1, "LOCKFILE_EXCLUSIVE_LOCK": 2, "PROCESS_TERMINATE": 1,
    "PROCESS_DUP_HANDLE": 0x40, "PROCESS_QUERY_INFORMATION": 0x400, "PROCESS_QUERY_LIMITED_INFORMATION": 0x1000,
    "PROCESS_ALL_ACCESS": 0x1FFFFF, "HANDLE_FLAG_INHERIT": 1, "HANDLE_FLAG_PROTECT_FROM_CLOSE": 2,
    "DUPLICATE_CLOSE_SOURCE": 1, "DUPLICATE_SAME_ACCESS": 2,
    "FORMAT_MESSAGE_ALLOCATE_BUFFER": 0x100, "FORMAT_MESSAGE_IGNORE_INSERTS": 0x200,
    "FORMAT_MESSAGE_FROM_STRING": 0x400, "FORMAT_MESSAGE_FROM_HMODULE": 0x800, "FORMAT_MESSAGE_FROM_SYSTEM": 0x1000,
    "FORMAT_MESSAGE_ARGUMENT_ARRAY": 0x2000,
    "OBJ_INHERIT": 2, "OBJ_PERMANENT": 16, "OBJ_EXCLUSIVE": 32, "OBJ_CASE_INSENSITIVE": 64, "OBJ_OPENIF": 128,
    "OBJ_OPENLINK": 256,
    "STILL_ACTIVE": 259,
    "INVALID_HANDLE_VALUE": -1, "INVALID_FILE_SIZE": 0xFFFFFFFF, "INVALID_SET_FILE_POINTER": 0xFFFFFFFF,
    "ERROR_SUCCESS": 0, "ERROR_INVALID_FUNCTION": 1, "ERROR_FILE_NOT_FOUND": 2, "ERROR_PATH_NOT_FOUND": 3,
    "ERROR_TOO_MANY_OPEN_FILES": 4, "ERROR_ACCESS_DENIED": 5, "ERROR_INVALID_HANDLE": 6,
    "ERROR_NOT_ENOUGH_MEMORY": 8, "ERROR_INVALID_ACCESS": 12, "ERROR_NOT_SAME_DEVICE": 17, "ERROR_WRITE_PROTECT": 19,
    "ERROR_BAD_LENGTH": 24, "ERROR_GEN_FAILURE": 31, "ERROR_SHARING_VIOLATION": 32, "ERROR_LOCK_VIOLATION": 33,
    "ERROR_HANDLE_EOF": 38, "ERROR_NOT_SUPPORTED": 50, "ERROR_FILE_EXISTS": 80, "ERROR_INVALID_PARAMETER": 87,
    "ERROR_DISK_FULL": 112, "ERROR_CALL_NOT_IMPLEMENTED": 120, "ERROR_INSUFFICIENT_BUFFER": 122,
    "ERROR_INVALID_NAME": 123, "ERROR_NEGATIVE_SEEK": 131,
    "ERROR_DIR_NOT_EMPTY": 145, "ERROR_NOT_LOCKED": 158, "ERROR_BAD_PATHNAME": 161, "ERROR_ALREADY_EXISTS": 183,
    "ERROR_BAD_EXE_FORMAT": 193, "ERROR_FILENAME_EXCED_RANGE": 206, "ERROR_DIRECTORY": 267, "ERROR_NOT_OWNER": 288,
    "ERROR_MUTANT_LIMIT_EXCEEDED": 587,
    "ERROR_TOO_MANY_POSTS": 298, "ERROR_INVALID_LOCK_RANGE": 307,
    "ERROR_MR_MID_NOT_FOUND": 317, "ERROR_INVALID_ADDRESS": 487, "ERROR_NOACCESS": 998,
    "ERROR_SWAPERROR": 999,
    "ERROR_FILE_INVALID": 1006, "ERROR_IO_DEVICE": 1117, "ERROR_MAPPED_ALIGNMENT": 1132,
    "ERROR_USER_MAPPED_FILE": 1224, "ERROR_REQUEST_ABORTED": 1235, "ERROR_REVISION_MISMATCH": 1306,
    "ERROR_PRIVILEGE_NOT_HELD": 1314,
    "ERROR_INVALID_SECURITY_DESCR": 1338, "ERROR_FILE_CORRUPT": 1392, "ERROR_NO_SYSTEM_RESOURCES": 1450,
    "ERROR_WORKING_SET_QUOTA": 1453, "ERROR_COMMITMENT_LIMIT": 1455, "ERROR_TIMEOUT": 1460,
    "ERROR_INVALID_USER_BUFFER": 1784,
    "ERROR_CANT_RESOLVE_FILENAME": 1921,
}  # fmt: skip
STATUSES = {
    "STATUS_SUCCESS": 0, "STATUS_OBJECT_NAME_EXISTS": 0x40000000, "STATUS_UNSUCCESSFUL": 0xC0000001,
    "STATUS_NOT_IMPLEMENTED": 0xC0000002, "STATUS_INVALID_INFO_CLASS": 0xC0000003,
    "STATUS_INFO_LENGTH_MISMATCH": 0xC0000004, "STATUS_ACCESS_VIOLATION": 0xC0000005,
    "STATUS_INVALID_HANDLE": 0xC0000008, "STATUS_INVALID_PARAMETER": 0xC000000D, "STATUS_NO_SUCH_FILE": 0xC000000F,
    "STATUS_END_OF_FILE": 0xC0000011, "STATUS_NO_MEMORY": 0xC0000017, "STATUS_CONFLICTING_ADDRESSES": 0xC0000018,
    "STATUS_NOT_MAPPED_VIEW": 0xC0000019, "STATUS_UNABLE_TO_FREE_VM": 0xC000001A,
    "STATUS_UNABLE_TO_DELETE_SECTION": 0xC000001B, "STATUS_INVALID_VIEW_SIZE": 0xC000001F,
    "STATUS_INVALID_FILE_FOR_SECTION": 0xC0000020, "STATUS_ALREADY_COMMITTED": 0xC0000021,
    "STATUS_ACCESS_DENIED": 0xC0000022, "STATUS_BUFFER_TOO_SMALL": 0xC0000023,
    "STATUS_OBJECT_TYPE_MISMATCH": 0xC0000024, "STATUS_NOT_COMMITTED": 0xC000002D,
    "STATUS_OBJECT_NAME_INVALID": 0xC0000033, "STATUS_OBJECT_NAME_NOT_FOUND": 0xC0000034,
    "STATUS_OBJECT_NAME_COLLISION": 0xC0000035, "STATUS_OBJECT_PATH_NOT_FOUND": 0xC000003A,
    "STATUS_OBJECT_PATH_SYNTAX_BAD": 0xC000003B, "STATUS_SECTION_TOO_BIG": 0xC0000040,
    "STATUS_SHARING_VIOLATION": 0xC0000043, "STATUS_INVALID_PAGE_PROTECTION": 0xC0000045,
    "STATUS_SECTION_NOT_IMAGE": 0xC0000049, "STATUS_SECTION_PROTECTION": 0xC000004E,
    "STATUS_FILE_LOCK_CONFLICT": 0xC0000054, "STATUS_RANGE_NOT_LOCKED": 0xC000007E,
    "STATUS_INVALID_LOCK_RANGE": 0xC00001A1,
    "STATUS_LOCK_NOT_GRANTED": 0xC0000055, "STATUS_PRIVILEGE_NOT_HELD": 0xC0000061,
    "STATUS_INVALID_SECURITY_DESCR": 0xC0000079, "STATUS_DISK_FULL": 0xC000007F,
    "STATUS_SECTION_NOT_EXTENDED": 0xC0000087, "STATUS_FREE_VM_NOT_AT_BASE": 0xC000009F,
    "STATUS_MEMORY_NOT_ALLOCATED": 0xC00000A0, "STATUS_WORKING_SET_QUOTA": 0xC00000A1,
    "STATUS_NOT_SUPPORTED": 0xC00000BB, "STATUS_NOT_SAME_DEVICE": 0xC00000D4,
    "STATUS_INVALID_PARAMETER_1": 0xC00000EF, "STATUS_INVALID_PARAMETER_4": 0xC00000F2,
    "STATUS_INVALID_PARAMETER_6": 0xC00000F4, "STATUS_INVALID_PARAMETER_8": 0xC00000F6,
    "STATUS_INVALID_PARAMETER_9": 0xC00000F7, "STATUS_FILE_CORRUPT": 0xC0000102,
    "STATUS_MAPPED_FILE_SIZE_ZERO": 0xC000011E, "STATUS_TOO_MANY_OPENED_FILES": 0xC000011F,
    "STATUS_CANNOT_DELETE": 0xC0000121, "STATUS_COMMITMENT_LIMIT": 0xC000012D,
    "STATUS_INVALID_IMAGE_NOT_MZ": 0xC000012F, "STATUS_INVALID_ADDRESS": 0xC0000141,
    "STATUS_MAPPED_ALIGNMENT": 0xC0000220, "STATUS_HANDLE_NOT_CLOSABLE": 0xC0000235,
    "STATUS_USER_MAPPED_FILE": 0xC0000243,
}  # fmt: skip
#: Sizes and offsets on 64-bit Windows.
STRUCTURES = {
    "MEMORY_BASIC_INFORMATION": (48, {"BaseAddress": 0, "AllocationBase": 8, "AllocationProtect": 16, "RegionSize": 24,
                                      "State": 32, "Protect": 36, "Type": 40}),
    "SYSTEM_INFO": (48, {"wProcessorArchitecture": 0, "dwPageSize": 4, "lpMinimumApplicationAddress": 8,
                         "lpMaximumApplicationAddress": 16, "dwActiveProcessorMask": 24, "dwNumberOfProcessors": 32,
                         "dwProcessorType": 36, "dwAllocationGranularity": 40, "wProcessorLevel": 44,
                         "wProcessorRevision": 46}),
    "OVERLAPPED": (32, {"Internal": 0, "InternalHigh": 8, "Offset": 16, "OffsetHigh": 20, "hEvent": 24}),
    "WIN32_MEMORY_RANGE_ENTRY": (16, {"VirtualAddress": 0, "NumberOfBytes": 8}),
    "SECTION_BASIC_INFORMATION": (24, {"BaseAddress": 0, "Attributes": 8, "Size": 16}),
    "UNICODE_STRING": (16, {"Length": 0, "MaximumLength": 2, "Buffer": 8}),
    "OBJECT_BASIC_INFORMATION": (56, {"Attributes": 0, "GrantedAccess": 4, "HandleCount": 8, "PointerCount": 12,
                                      "NameInformationLength": 36, "TypeInformationLength": 40,
                                      "SecurityDescriptorLength": 44, "CreationTime": 48}),
    "IO_STATUS_BLOCK": (16, {"Status": 0, "Information": 8}),
}  # fmt: skip
SIZES = {"BOOL": 4, "DWORD": 4, "LONG": 4, "ULONG": 4, "LARGE_INTEGER": 8, "SIZE_T": 8, "HANDLE": 8, "LPVOID": 8}


def table(text: str) -> list[tuple[str, list[str]]]:
    return [(name, parameters) for name, *parameters in map(str.split, text.strip().splitlines())]


def names(module: ModuleType) -> set[str]:
    listed: list[str] | None = getattr(module, "__all__", None)
    return set(listed) if listed is not None else {name for name in vars(module) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("module", "name", "parameters"), [(win32, *row) for row in table(WIN32)] + [(nt, *row) for row in table(NATIVE)]
)
def test_parameters(module: ModuleType, name: str, parameters: list[str]) -> None:
    """Each function has the parameters of its page, by name, in order; none is keyword-only."""
    signature = inspect.signature(getattr(module, name))
    assert list(signature.parameters) == parameters
    assert all(p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in signature.parameters.values())


def test_every_function_is_in_the_tables() -> None:
    """No function is public that the tables above do not list."""
    for module, text in ((win32, WIN32), (nt, NATIVE)):
        known = {name for name, _ in table(text)}
        functions = {name for name in names(module) if inspect.isfunction(getattr(module, name))}
        aliases = {name + "W" for name in WIDE} | {"Zw" + name[2:] for name in known}
        assert known <= functions
        assert functions - known <= aliases


@pytest.mark.parametrize("name", WIDE)
def test_wide_names(name: str) -> None:
    """The wide name of a function is the function."""
    assert getattr(win32, name + "W") is getattr(win32, name)


@pytest.mark.parametrize("name", [name for name, _ in table(NATIVE)])
def test_zw_names(name: str) -> None:
    """Each native call has its Zw name."""
    assert getattr(nt, "Zw" + name[2:]) is getattr(nt, name)


@pytest.mark.parametrize("module", [namedmap, nt])
def test_all_is_true(module: ModuleType) -> None:
    """`__all__` names what there is, sorted and once each."""
    assert all(hasattr(module, name) for name in module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)


def test_the_module_is_importable_by_star() -> None:
    """`from namedmap.win32 import *` gives functions, constants and types, and nothing private or foreign."""
    space: dict[str, object] = {}
    exec("from namedmap.win32 import *", space)
    found = {name for name in space if not name.startswith("__")}
    assert {name for name, _ in table(WIN32)} <= found
    assert set(CONSTANTS) <= found
    assert {"DWORD", "HANDLE", "MEMORY_BASIC_INFORMATION", "SECURITY_ATTRIBUTES"} <= found
    assert not {name for name in found if name.startswith("_")}
    assert not {name for name in found if isinstance(space[name], ModuleType)}


@pytest.mark.parametrize(("name", "value"), CONSTANTS.items())
def test_constants(name: str, value: int) -> None:
    """Each constant has its value in the Windows headers, and is an int."""
    found = getattr(win32, name)
    assert found == value
    assert isinstance(found, int)


def test_every_constant_is_checked() -> None:
    """No public constant is missing from the table above."""
    found = {name for name in names(constants) if name.isupper() and isinstance(getattr(constants, name), int)}
    assert found - set(CONSTANTS) <= {"SEMAPHORE_QUERY_STATE", "EVENT_QUERY_STATE"}


def test_members_are_module_names() -> None:
    """Each member of an enumeration is a name of the module, as in C."""
    for group in vars(constants).values():
        if isinstance(group, enum.EnumMeta) and group.__module__ == constants.__name__:
            for name in group.__members__:
                assert getattr(win32, name) == group[name]


@pytest.mark.parametrize(("name", "value"), STATUSES.items())
def test_statuses(name: str, value: int) -> None:
    """Each NTSTATUS has its value of ntstatus.h."""
    assert ntstatus.NTSTATUS[name] == value


@pytest.mark.parametrize(("name", "layout"), STRUCTURES.items())
def test_structures(name: str, layout: tuple[int, dict[str, int]]) -> None:
    """Structures have the sizes and offsets of 64-bit Windows, in ctypes of any platform."""
    structure, (size, offsets) = getattr(types, name), layout
    assert ctypes.sizeof(structure) == size
    assert {field: getattr(structure, field).offset for field in offsets} == offsets


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_types(name: str, size: int) -> None:
    """DWORD and LONG have 4 bytes, whatever the platform's long has."""
    assert ctypes.sizeof(getattr(types, name)) == size


@pytest.mark.parametrize(
    ("module", "name"), [(win32, name) for name, _ in table(WIN32)] + [(nt, name) for name, _ in table(NATIVE)]
)
def test_docstrings(module: ModuleType, name: str) -> None:
    """Each public function says in one line what it does, and names its source where there is a page to name."""
    text = inspect.getdoc(getattr(module, name)) or ""
    first = text.split("\n\n")[0].replace("\n", " ")
    assert re.match(r"[A-Z`].*\.( |$)", first)
    if name not in ("GetLastError", "SetLastError", "GetCurrentProcess", "GetCurrentThread", "GetCurrentProcessId"):
        assert re.search(r"Source:\s+\w+|; see MapViewOfFileEx", text) or name == "NtOpenMutant", text


@pytest.mark.parametrize("module", [namedmap, win32, nt, constants, types, ntstatus])
def test_module_docstrings(module: ModuleType) -> None:
    """Each public module and class says what it is."""
    assert module.__doc__
    for name, value in vars(module).items():
        if inspect.isclass(value) and value.__module__ == module.__name__ and issubclass(value, enum.Enum):
            assert value.__doc__, name


def test_annotations() -> None:
    """Each parameter and result is annotated: the package is typed."""
    for module, text in ((win32, WIN32), (nt, NATIVE)):
        for name, _ in table(text):
            signature = inspect.signature(getattr(module, name))
            assert signature.return_annotation is not signature.empty, name
            assert all(p.annotation is not p.empty for p in signature.parameters.values()), name


def test_the_last_error_is_thread_local() -> None:
    """A failure in one thread is not seen in another."""
    win32.SetLastError(77)
    found: list[int] = []

    def work() -> None:
        found.append(win32.GetLastError())
        found.append(failed(win32.CloseHandle(0)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [0, 6]
    assert win32.GetLastError() == 77


def test_importing_has_no_effects() -> None:
    """`import namedmap.win32` opens no descriptor, makes no file, starts no thread and leaves signals alone."""
    output = plain(
        """
        import os, signal, sys, tempfile, threading, ctypes, json, socket, hashlib, random, bisect, dataclasses
        root = tempfile.mkdtemp()
        os.environ["NAMEDMAP_ROOT"] = root
        handlers = [signal.getsignal(n) for n in signal.valid_signals()]
        before, environment = sorted(os.listdir("/proc/self/fd")), dict(os.environ)
        import namedmap.nt, namedmap.win32
        assert sorted(os.listdir("/proc/self/fd")) == before, os.listdir("/proc/self/fd")
        assert os.listdir(root) == []
        assert threading.active_count() == 1
        assert dict(os.environ) == environment
        assert handlers == [signal.getsignal(n) for n in signal.valid_signals()]
        namedmap.win32.CloseHandle(namedmap.win32.CreateFileMapping(-1, None, 4, 0, 1, None))
        assert os.listdir(root) == [], "an unnamed section needs no file"
        os.rmdir(root)
        print("nothing")
        """
    )
    assert output == "nothing\n"


def test_the_version() -> None:
    """The package has a version of three numbers."""
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", namedmap.__version__)
