"""A program's words for its debugger: OutputDebugString."""

from namedmap._windows import dll
from namedmap._windows.win32.passing import win32


@win32(None)
def OutputDebugString(lpOutputString: str | bytes | None) -> None:
    """Give a text to the debugger or debug listener, if there is one. The last error stays.

    A str is for OutputDebugStringW, bytes are for OutputDebugStringA. Source: OutputDebugStringW (debugapi.h).
    """
    if not isinstance(lpOutputString, str | bytes | None):
        raise TypeError(f"lpOutputString must be a str, bytes or None, not {type(lpOutputString).__name__}")
    if isinstance(lpOutputString, bytes):
        dll.OutputDebugStringA(lpOutputString)
    else:
        dll.OutputDebugStringW(lpOutputString)


__all__ = ["OutputDebugString"]
