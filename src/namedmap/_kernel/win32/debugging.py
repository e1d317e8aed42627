"""Texts from a program to a listening debugger: OutputDebugString.

A listener (DebugView and its like) makes the section DBWIN_BUFFER, of 4096 bytes, and two auto-reset events. It sets
DBWIN_BUFFER_READY when the buffer may be written to; the speaker, who holds the mutex DBWinMutex, writes the id of its
process and a text that ends with NUL, and sets DBWIN_DATA_READY.
"""

import ctypes
import os
import struct

from namedmap._convention.call import last_error, set_last_error, win32
from namedmap._kernel.win32.handles import CloseHandle
from namedmap._kernel.win32.memory import MapViewOfFile, UnmapViewOfFile
from namedmap._kernel.win32.sections import OpenFileMapping
from namedmap._kernel.win32.sync import CreateMutex, OpenEvent, ReleaseMutex, SetEvent, WaitForSingleObject
from namedmap.constants import EVENT_MODIFY_STATE, FILE_MAP_WRITE, SYNCHRONIZE, WAIT_ABANDONED, WAIT_OBJECT_0

#: How long a listener, or another speaker, is waited for, in milliseconds; then the text is lost, as on Windows.
_PATIENCE = 10_000
#: The bytes that a buffer takes at once beside the process id and the NUL.
_ROOM = 4096 - 4 - 1
_MAPPED, _SIGNAL, _WAIT = int(FILE_MAP_WRITE), int(EVENT_MODIFY_STATE), int(SYNCHRONIZE)
_TAKEN = (int(WAIT_OBJECT_0), int(WAIT_ABANDONED))


@win32(None)
def OutputDebugString(lpOutputString: str | bytes | None) -> None:
    """Give a text to the debug listener of this user, if there is one; one that does not read loses it after 10 s.

    A str goes in the encoding of Western Windows, bytes as they are; a long text goes in pieces. The last error stays.
    Source: OutputDebugString (debugapi.h).
    """
    if not isinstance(lpOutputString, str | bytes | None):
        raise TypeError(f"lpOutputString must be a str, bytes or None, not {type(lpOutputString).__name__}")
    text = lpOutputString.encode("cp1252", "replace") if isinstance(lpOutputString, str) else lpOutputString
    before = last_error.code, last_error.detail
    try:
        if text:
            _say(text.partition(b"\0")[0])
    finally:
        set_last_error(*before)


def _say(text: bytes) -> None:
    section = OpenFileMapping(_MAPPED, False, "DBWIN_BUFFER")
    if section is None:
        return
    ready, data = OpenEvent(_WAIT, False, "DBWIN_BUFFER_READY"), OpenEvent(_SIGNAL, False, "DBWIN_DATA_READY")
    turn = CreateMutex(None, False, "DBWinMutex")
    try:
        if WaitForSingleObject(turn, _PATIENCE) in _TAKEN:
            try:
                view = MapViewOfFile(section, _MAPPED, 0, 0, 4096)
                if view is not None:
                    _write(text, view, ready, data)
                    UnmapViewOfFile(view)
            finally:
                ReleaseMutex(turn)
    finally:
        for handle in (section, ready, data, turn):
            if handle is not None:
                CloseHandle(handle)


def _write(text: bytes, view: int, ready: int | None, data: int | None) -> None:
    for start in range(0, len(text), _ROOM):
        if WaitForSingleObject(ready, _PATIENCE):
            return
        piece = struct.pack("<I", os.getpid()) + text[start : start + _ROOM] + b"\0"
        ctypes.memmove(view, piece, len(piece))
        SetEvent(data)


__all__ = ["OutputDebugString"]
