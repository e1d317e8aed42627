"""FormatMessage: the texts that codes have on every platform, and those of Windows for all others."""

from namedmap._convention.call import Out, dword, win32
from namedmap._convention.messages import formatted
from namedmap._windows import calling


@win32(0)
def FormatMessage(
    dwFlags: int,
    lpSource: str | None,
    dwMessageId: int,
    dwLanguageId: int = 0,
    lpBuffer: Out = None,
    nSize: int = 0,
    Arguments: object = None,
) -> str | int:
    """The text for an error code; with the details of this thread's last failure if the code is its last error.

    FORMAT_MESSAGE_FROM_SYSTEM takes a code of GetLastError; FORMAT_MESSAGE_FROM_STRING takes the text `lpSource` as it
    is, with inserts ignored. Returns the text; or, when `lpBuffer` is an array of ctypes.c_wchar, the characters stored
    in it. On failure 0: ERROR_MR_MID_NOT_FOUND, ERROR_INSUFFICIENT_BUFFER. Source: FormatMessage (Win32).
    """
    dword(dwLanguageId)
    return formatted(dword(dwFlags), lpSource, dword(dwMessageId), lpBuffer, nSize, calling.text_of)


__all__ = ["FormatMessage"]
