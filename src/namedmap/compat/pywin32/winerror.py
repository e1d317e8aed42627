"""pywin32's `winerror`: the codes that namedmap knows, and those that programs compare with beside them."""

import typing

from namedmap.compat.pywin32 import _calls

NO_ERROR = S_OK = 0
S_FALSE = 1
WAIT_TIMEOUT = 258
ERROR_INVALID_DATA = 13
ERROR_OUTOFMEMORY = 14
ERROR_NO_MORE_FILES = 18
ERROR_NOT_READY = 21
ERROR_BROKEN_PIPE = 109
ERROR_OPEN_FAILED = 110
ERROR_CALL_NOT_IMPLEMENTED = 120
ERROR_SEM_TIMEOUT = 121
ERROR_BUSY = 170
ERROR_SEM_NOT_FOUND = 187
ERROR_PIPE_BUSY = 231
ERROR_MORE_DATA = 234
ERROR_NO_MORE_ITEMS = 259
ERROR_ABANDONED_WAIT_0 = 735
ERROR_OPERATION_ABORTED = 995
ERROR_IO_INCOMPLETE = 996
ERROR_IO_PENDING = 997
ERROR_NOT_FOUND = 1168
ERROR_CANCELLED = 1223

globals().update(_calls.constants(name for name in _calls.all_names() if name.startswith("ERROR_")))

__all__ = [name for name in globals() if name.isupper()]

if typing.TYPE_CHECKING:

    def __getattr__(name: str) -> int: ...
