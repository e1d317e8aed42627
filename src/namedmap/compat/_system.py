"""The rest of what programs ask the system for: texts of errors, time, processes, and windows, of which there are none.

Each does what its Win32 page says, as far as there is something to do here; a failure sets the last error.
"""

import ctypes
import os
import threading
import time
import zlib
from typing import Any

from namedmap._platform import functions
from namedmap.compat import _blocks, _wide, builtin
from namedmap.compat._arguments import from_ansi
from namedmap.compat._memory import Place
from namedmap.constants import (
    ERROR_INSUFFICIENT_BUFFER,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER,
    FORMAT_MESSAGE_FROM_STRING,
    FORMAT_MESSAGE_FROM_SYSTEM,
    INFINITE,
)

_ALLOCATE, _LINES = 0x100, 0xFF
_ERROR_MOD_NOT_FOUND, _ERROR_PROC_NOT_FOUND, _ERROR_INVALID_WINDOW_HANDLE = 126, 127, 1400
_MODULE = 0x400000
_BROADCAST = 0xFFFF
#: 100 ns: the ticks of the performance counter and of FILETIME, which begins in 1601.
_TICK, _FREQUENCY, _EPOCH = 100, 10_000_000, 116_444_736_000_000_000


# -- texts -------------------------------------------------------------------------------------------------------------


def format_message_wide(*arguments: Any) -> int:
    """FormatMessageW: the characters stored, or 0. Source: FormatMessage (Win32)."""
    return _format_message(True, *arguments)


def format_message_narrow(*arguments: Any) -> int:
    """FormatMessageA. Source: FormatMessage (Win32)."""
    return _format_message(False, *arguments)


def _format_message(
    wide: bool, flags: int, source: Place, code: int, language: int, buffer: Place, size: int, inserts: int
) -> int:
    text = functions.FormatMessage(flags & ~_ALLOCATE, _source(wide, flags, source), code, language)
    if not isinstance(text, str):
        return text
    if flags & int(FORMAT_MESSAGE_FROM_SYSTEM) and flags & _LINES != _LINES:
        text += "\r\n"
    if not buffer:
        return _fail(int(ERROR_INVALID_PARAMETER), 0)
    unit = buffer.unit if wide else 1
    content = _encoded(text + "\0", unit)
    if flags & _ALLOCATE:
        block = _blocks.allocate(max(len(content), size * unit))
        ctypes.memmove(block, content, len(content))
        buffer.store(block.to_bytes(8, "little"))
    elif len(content) <= size * unit:
        buffer.store(content)
    else:
        return _fail(int(ERROR_INSUFFICIENT_BUFFER), 0)
    return len(content) // unit - 1


def _encoded(text: str, unit: int) -> bytes:
    """Text with so many bytes a unit."""
    if unit == 1:
        return text.encode("cp1252", "replace")
    return _wide.encoded(text) if unit == 2 else text.encode("utf-32-le", "surrogatepass")


def _source(wide: bool, flags: int, where: Place) -> str | None:
    """The text that lpSource is, if it is one: it may be a module."""
    if not where or not flags & int(FORMAT_MESSAGE_FROM_STRING):
        return None
    if not wide:
        return from_ansi(where.text(1))
    content = where.text(where.unit)
    return _wide.decoded(content) if where.unit == 2 else content.decode("utf-32-le", "surrogatepass")


def _fail(code: int, result: int) -> int:
    functions.SetLastError(code)
    return result


# -- time --------------------------------------------------------------------------------------------------------------


def sleep(milliseconds: int) -> None:
    """Source: Sleep (Win32)."""
    if milliseconds == INFINITE:
        threading.Event().wait()
    time.sleep(milliseconds / 1000)


def sleep_ex(milliseconds: int, alertable: bool) -> int:
    """There are no asynchronous procedure calls here, so it always sleeps to the end. Source: SleepEx (Win32)."""
    sleep(milliseconds)
    return 0


def tick_count() -> int:
    """Milliseconds since the system was started. Source: GetTickCount64 (Win32)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def performance_counter(target: ctypes.c_int64 | None) -> bool:
    """Ticks of 100 ns. Source: QueryPerformanceCounter (Win32)."""
    return _store(target, time.perf_counter_ns() // _TICK)


def performance_frequency(target: ctypes.c_int64 | None) -> bool:
    """Ticks a second. Source: QueryPerformanceFrequency (Win32)."""
    return _store(target, _FREQUENCY)


def system_time(target: ctypes.c_int64 | None) -> None:
    """Ticks since 1601, as a FILETIME. Source: GetSystemTimeAsFileTime (Win32)."""
    _store(target, time.time_ns() // _TICK + _EPOCH)


def _store(target: ctypes.c_int64 | ctypes.c_uint32 | None, value: int) -> bool:
    if target is None:
        return bool(_fail(int(ERROR_INVALID_PARAMETER), 0))
    target.value = value
    return True


def time_period(milliseconds: int) -> int:
    """TIMERR_NOERROR: clocks are always as fine as they get. Source: timeBeginPeriod (Win32)."""
    return 0


# -- process -----------------------------------------------------------------------------------------------------------


def thread_id() -> int:
    """Source: GetCurrentThreadId (Win32)."""
    return threading.get_native_id()


def module_handle(name: str | None) -> int:
    """Something for the program itself and the libraries that are here. Source: GetModuleHandle (Win32)."""
    from namedmap.compat import windll

    known = name is None or windll.is_known(name)
    return _MODULE if known else _fail(_ERROR_MOD_NOT_FOUND, 0)


def procedure_address(module: int, name: int) -> int:
    """NULL: no function here has an address. Source: GetProcAddress (Win32)."""
    return _fail(_ERROR_PROC_NOT_FOUND, 0)


def is_administrator() -> bool:
    """Source: IsUserAnAdmin (Win32)."""
    return os.geteuid() == 0


def std_handle(which: int) -> int:
    """INVALID_HANDLE_VALUE: the standard streams are no handles, and the console no Windows console.

    Source: GetStdHandle (Win32).
    """
    return _fail(int(ERROR_INVALID_HANDLE), -1)


def no_console(*_: Any) -> bool:
    """The answer to all that would change or ask a console. Source: SetConsoleMode (Win32)."""
    return bool(_fail(int(ERROR_INVALID_HANDLE), 0))


def key_hit() -> bool:
    """Source: _kbhit (C)."""
    return bool(builtin.module("msvcrt").kbhit())


def read_key() -> int:
    """EOF at the end of the input. Source: _getch (C)."""
    return int.from_bytes(builtin.module("msvcrt").getch() or b"\xff" * 4, "little")


# -- windows -----------------------------------------------------------------------------------------------------------


def register_message(name: str | None) -> int:
    """A number for the name, the same in all processes. Source: RegisterWindowMessage (Win32)."""
    if not name:
        return _fail(int(ERROR_INVALID_PARAMETER), 0)
    return 0xC000 + zlib.crc32(name.lower().encode()) % 0x3FFF


def nothing(*_: Any) -> int:
    """A call without an effect that anybody could see, as where no debugger is. Source: IsDebuggerPresent (Win32)."""
    return 0


def send_message(window: int, message: int, wide: int, long: int) -> bool:
    """A broadcast succeeds, with nobody to hear it; no other window exists. Source: SendNotifyMessage (Win32)."""
    return window & 0xFFFFFFFF == _BROADCAST or bool(_fail(_ERROR_INVALID_WINDOW_HANDLE, 0))


def find_window(window_class: int, title: int) -> int:
    """NULL, as there are none. Source: FindWindow (Win32)."""
    return _fail(_ERROR_INVALID_WINDOW_HANDLE, 0)


def no_window() -> int:
    """NULL: none is in front. Source: GetForegroundWindow, GetConsoleWindow (Win32)."""
    return 0
