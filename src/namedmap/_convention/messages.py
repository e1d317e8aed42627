"""FormatMessage: texts for last-error codes, and the whole story of this thread's last failure.

The texts are ours, not Microsoft's.
"""

import ctypes
from collections.abc import Callable

from namedmap._convention.call import Out, dword, invalid, last_error, optional_text, win32
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap.constants import FormatMessageFlag, WinError

_TEXTS = {
    WinError.ERROR_SUCCESS: "The operation succeeded.",
    WinError.ERROR_INVALID_FUNCTION: "This function does not exist here.",
    WinError.ERROR_FILE_NOT_FOUND: "There is no file or object of this name.",
    WinError.ERROR_PATH_NOT_FOUND: "There is no directory or namespace of this name.",
    WinError.ERROR_TOO_MANY_OPEN_FILES: "No more files or objects can be opened.",
    WinError.ERROR_ACCESS_DENIED: "Access is denied.",
    WinError.ERROR_INVALID_HANDLE: "The handle is not valid, or refers to another kind of object.",
    WinError.ERROR_NOT_ENOUGH_MEMORY: "There is not enough memory, or the section is larger than its file may become.",
    WinError.ERROR_INVALID_ACCESS: "The access code is not valid.",
    WinError.ERROR_NOT_SAME_DEVICE: "The file cannot be moved to another filesystem.",
    WinError.ERROR_WRITE_PROTECT: "The filesystem is read-only.",
    WinError.ERROR_BAD_LENGTH: "The buffer has the wrong length.",
    WinError.ERROR_GEN_FAILURE: "The system reported a failure that has no code of its own.",
    WinError.ERROR_SHARING_VIOLATION: "Another handle to the file does not share this access.",
    WinError.ERROR_LOCK_VIOLATION: "Another process keeps the object locked.",
    WinError.ERROR_HANDLE_EOF: "The end of the file was reached.",
    WinError.ERROR_NOT_SUPPORTED: "This is not supported here.",
    WinError.ERROR_FILE_EXISTS: "The file exists.",
    WinError.ERROR_INVALID_PARAMETER: "An argument is not valid.",
    WinError.ERROR_DISK_FULL: "There is not enough space on the disk.",
    WinError.ERROR_CALL_NOT_IMPLEMENTED: "This version of the system has no such function.",
    WinError.ERROR_INSUFFICIENT_BUFFER: "The buffer is too small.",
    WinError.ERROR_INVALID_NAME: "The name is not valid.",
    WinError.ERROR_NEGATIVE_SEEK: "The file pointer cannot be moved before the beginning of the file.",
    WinError.ERROR_DIR_NOT_EMPTY: "The directory is not empty.",
    WinError.ERROR_NOT_LOCKED: "The pages are not locked.",
    WinError.ERROR_BAD_PATHNAME: "The path of the object is not valid.",
    WinError.ERROR_ALREADY_EXISTS: "The file or object exists already.",
    WinError.ERROR_BAD_EXE_FORMAT: "The file cannot be mapped.",
    WinError.ERROR_FILENAME_EXCED_RANGE: "The file name is too long.",
    WinError.ERROR_DIRECTORY: "The path is not that of a directory.",
    WinError.ERROR_NOT_OWNER: "The mutex is not owned by the caller.",
    WinError.ERROR_TOO_MANY_POSTS: "The semaphore cannot count higher.",
    WinError.ERROR_MUTANT_LIMIT_EXCEEDED: "The mutex cannot be acquired more often.",
    WinError.ERROR_MR_MID_NOT_FOUND: "There is no text for this code.",
    WinError.ERROR_INVALID_ADDRESS: "The address is not valid for this, or in use.",
    WinError.ERROR_NOACCESS: "Memory at the address cannot be accessed.",
    WinError.ERROR_SWAPERROR: "Memory of a view is not there.",
    WinError.ERROR_FILE_INVALID: "The file is empty.",
    WinError.ERROR_IO_DEVICE: "The device reported an error.",
    WinError.ERROR_MAPPED_ALIGNMENT: "Offset and base must be multiples of the allocation granularity (64 KiB).",
    WinError.ERROR_USER_MAPPED_FILE: "The file is mapped and cannot become shorter.",
    WinError.ERROR_REQUEST_ABORTED: "The work was stopped because the caller asked for it.",
    WinError.ERROR_REVISION_MISMATCH: "The object was made by an incompatible version.",
    WinError.ERROR_PRIVILEGE_NOT_HELD: "A required privilege is not held.",
    WinError.ERROR_INVALID_SECURITY_DESCR: "The security descriptor is not valid.",
    WinError.ERROR_FILE_CORRUPT: "The file in the place of the object is not an object, or is damaged.",
    WinError.ERROR_NO_SYSTEM_RESOURCES: "The system has too few resources.",
    WinError.ERROR_INVALID_LOCK_RANGE: "A range of a file that is to be locked has no end within 64 bits.",
    WinError.ERROR_WORKING_SET_QUOTA: "Not so much memory may be locked.",
    WinError.ERROR_COMMITMENT_LIMIT: "There is not enough memory for a section of this size.",
    WinError.ERROR_TIMEOUT: "The time for this operation ran out.",
    WinError.ERROR_INVALID_USER_BUFFER: "Memory of the buffer cannot be accessed.",
    WinError.ERROR_CANT_RESOLVE_FILENAME: "Symbolic links lead the path in a circle.",
}


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
    return formatted(dword(dwFlags), lpSource, dword(dwMessageId), lpBuffer, nSize, known_text)


def formatted(
    flags: int, source: str | None, code: int, buffer: Out, size: int, texts: Callable[[int], str | None]
) -> str | int:
    """The answer of FormatMessage; `texts` has the plain text of a code, or None."""
    given = optional_text(source, "lpSource")
    if flags & FormatMessageFlag.FORMAT_MESSAGE_FROM_STRING and given is not None:
        text = given
    elif flags & FormatMessageFlag.FORMAT_MESSAGE_FROM_SYSTEM:
        text = _with_detail(code, texts(code))
    else:
        raise invalid("FormatMessage needs FORMAT_MESSAGE_FROM_SYSTEM, or FORMAT_MESSAGE_FROM_STRING and a text")
    return text if buffer is None else _store(text, buffer, dword(size))


def known_text(code: int) -> str | None:
    """The plain text of a code, as it is on every platform; None if the code is none that namedmap reports."""
    return _TEXTS.get(WinError(code)) if code in WinError._value2member_map_ else None


def _with_detail(code: int, text: str | None) -> str:
    if text is None:
        raise KernelError(
            NTSTATUS.STATUS_NOT_SUPPORTED, f"there is no text for error {code}", WinError.ERROR_MR_MID_NOT_FOUND
        )
    if code == last_error.code and last_error.detail:
        return f"{text} {last_error.detail}"
    return text


def _store(text: str, buffer: Out, size: int) -> int:
    if not isinstance(buffer, ctypes.Array) or getattr(buffer, "_type_", None) is not ctypes.c_wchar:
        raise TypeError(f"lpBuffer must be an array of ctypes.c_wchar, not {type(buffer).__name__}")
    room = min(size or len(buffer), len(buffer))
    if len(text) >= room:
        raise KernelError(
            NTSTATUS.STATUS_BUFFER_TOO_SMALL, f"the text needs {len(text) + 1} characters, lpBuffer has {room}"
        )
    buffer.value = text
    return len(text)
