"""The functions of ntdll for sections, and what they take: OBJECT_ATTRIBUTES and UNICODE_STRING in memory."""

import ctypes
import functools
import struct
from typing import Any

from namedmap import types as t
from namedmap._platform import functions as f
from namedmap.compat import _descriptors, _memory, _wide
from namedmap.compat._arguments import Call, Kind, address, dword, handle, out, place, wide
from namedmap.compat._foreign import DWORD, VOID, Declaration
from namedmap.compat._memory import Place

#: Where their members are on 64-bit Windows; with a ULONG of 8 bytes as well.
_ATTRIBUTES, _STRING = struct.Struct("8xQQI4xQ"), struct.Struct("HH4xQ")
_handle_out, _pointer_out, _large_out = out(t.HANDLE), out(t.LPVOID), out(t.LARGE_INTEGER)
_size_out, _dword_out = out(t.SIZE_T), out(t.DWORD)


def _attributes(value: Any, call: Call) -> t.OBJECT_ATTRIBUTES | None:
    """A pointer to OBJECT_ATTRIBUTES."""
    where = place(value, call)
    if not where:
        return None
    root, name, flags, descriptor = _ATTRIBUTES.unpack(where.load(_ATTRIBUTES.size))
    return t.OBJECT_ATTRIBUTES(_string_at(name), flags, root or None, _descriptors.text_of(descriptor))


def _string_at(where: int) -> str | None:
    """The text of a UNICODE_STRING."""
    if not where:
        return None
    length, _, buffer = _STRING.unpack(_memory.read(where, _STRING.size))
    text = _wide.decoded(_memory.read(buffer, length))
    # A name has no NULs: this is a c_wchar_p of Linux, of which the program has reckoned two bytes a character.
    return _memory.read(buffer, 2 * length).decode("utf-32-le", "replace") if text[1:2] == "\0" else text


@functools.cache
def _kept(text: str) -> Any:
    return ctypes.create_string_buffer(_wide.encoded(text) + b"\0\0")


def _initialize_string(target: Place, text: str | None) -> None:
    """RtlInitUnicodeString; the text is a copy, which stays. Source: RtlInitUnicodeString (Wdm)."""
    size = 0 if text is None else len(_wide.encoded(text))
    where = 0 if text is None else ctypes.addressof(_kept(text))
    target.store(_STRING.pack(size, size + 2 if where else 0, where))


def _query(function: Any, number: int, kind: int, target: Place, length: int, done: Any) -> int:
    """A query of this handle; what it stores goes to memory that has room for it."""
    if not target:
        return int(function(number, kind, None, length, done))
    target.check(length)
    return int(function(number, kind, (ctypes.c_char * length).from_address(target), length, done))


def _querying(function: Any, done: Kind) -> Declaration:
    return Declaration(functools.partial(_query, function), DWORD, (handle, dword, place, dword, done))


def _declared(function: Any, *arguments: Kind) -> Declaration:
    return Declaration(function, DWORD, arguments)


_NATIVE = {
    "CreateSection": _declared(f.NtCreateSection, _handle_out, dword, _attributes, _large_out, dword, dword, handle),
    "OpenSection": _declared(f.NtOpenSection, _handle_out, dword, _attributes),
    "OpenMutant": _declared(f.NtOpenMutant, _handle_out, dword, _attributes),
    "MapViewOfSection": _declared(
        f.NtMapViewOfSection,
        *(handle, handle, _pointer_out, address, address, _large_out, _size_out, dword, dword, dword),
    ),
    "UnmapViewOfSection": _declared(f.NtUnmapViewOfSection, handle, address),
    "ExtendSection": _declared(f.NtExtendSection, handle, _large_out),
    "QuerySection": _querying(f.NtQuerySection, _size_out),
    "QueryObject": _querying(f.NtQueryObject, _dword_out),
    "QueryMutant": _querying(f.NtQueryMutant, _dword_out),
    "QuerySemaphore": _querying(f.NtQuerySemaphore, _dword_out),
    "QueryEvent": _querying(f.NtQueryEvent, _dword_out),
    "Close": _declared(f.NtClose, handle),
    "MakeTemporaryObject": _declared(f.NtMakeTemporaryObject, handle),
}

DECLARATIONS = {prefix + name: each for name, each in _NATIVE.items() for prefix in ("Nt", "Zw")} | {
    "RtlInitUnicodeString": Declaration(_initialize_string, VOID, (place, wide))
}
