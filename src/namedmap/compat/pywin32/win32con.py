"""pywin32's `win32con`: the constants that namedmap has, and those that programs use beside them."""

import typing

from namedmap.compat.pywin32 import _calls, _headers

NULL = 0
TRUE, FALSE = 1, 0
MAX_PATH = 260
STANDARD_RIGHTS_READ = STANDARD_RIGHTS_WRITE = STANDARD_RIGHTS_EXECUTE = 0x20000
SPECIFIC_RIGHTS_ALL = 0xFFFF
FILE_ATTRIBUTE_COMPRESSED, FILE_ATTRIBUTE_OFFLINE = 0x800, 0x1000
FILE_TYPE_UNKNOWN, FILE_TYPE_DISK, FILE_TYPE_CHAR, FILE_TYPE_PIPE = range(4)
STATUS_WAIT_0, STATUS_ABANDONED_WAIT_0, STATUS_TIMEOUT = 0, 0x80, 0x102
PROCESS_CREATE_THREAD = 0x2
PROCESS_VM_OPERATION, PROCESS_VM_READ, PROCESS_VM_WRITE = 0x8, 0x10, 0x20
PROCESS_CREATE_PROCESS, PROCESS_SET_QUOTA, PROCESS_SET_INFORMATION = 0x80, 0x100, 0x200
LANG_NEUTRAL = 0

_found = _calls.constants(name for name in _calls.all_names() if not name.startswith("ERROR_"))
# All rights as they were before Windows Vista, as pywin32 has them.
_found["PROCESS_ALL_ACCESS"] = 0x1F0FFF
globals().update(_headers.CONSTANTS)
globals().update(_found)

__all__ = [name for name in globals() if name.isupper()]

if typing.TYPE_CHECKING:

    def __getattr__(name: str) -> int: ...
