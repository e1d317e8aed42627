"""Commands on handles of any kind."""

import ctypes
import struct

import language
from language import longlong
from registry import call, command, done
from slots import Slots

from namedmap import nt, win32

#: sizeof(OBJECT_BASIC_INFORMATION)
_BASIC_SIZE = 56


@command("close handle")
def close(slots: Slots, handle: int) -> str:
    return done(win32.CloseHandle, handle)


@command("dup slot handle dword bool dword")
def dup(slots: Slots, slot: str, source: int, access: int, inherit: bool, options: int) -> str:
    value, result = duplicate(source, win32.GetCurrentProcess(), access, inherit, options)
    slots.keep_handle(slot, value)
    return result


def duplicate(source: int, process: int, access: int, inherit: bool, options: int) -> tuple[int, str]:
    """DuplicateHandle from this process into `process`: the new handle's value, 0 on failure, and the result line."""
    target = win32.HANDLE()
    ok, error = call(
        win32.DuplicateHandle, win32.GetCurrentProcess(), source, process, target, access, inherit, options
    )
    return (longlong(target.value or 0), f"OK {error}") if ok else (0, f"FAIL {error}")


@command("gethi handle", query=True)
def gethi(slots: Slots, handle: int) -> str:
    flags = win32.DWORD()
    ok, error = call(win32.GetHandleInformation, handle, flags)
    return f"OK {error} flags={flags.value}" if ok else f"FAIL {error}"


@command("sethi handle dword dword")
def sethi(slots: Slots, handle: int, mask: int, flags: int) -> str:
    return done(win32.SetHandleInformation, handle, mask, flags)


@command("samehandle handle handle", query=True)
def samehandle(slots: Slots, first: int, second: int) -> str:
    return f"same={first == second:d}"


@command("sameobj handle handle", query=True)
def sameobj(slots: Slots, first: int, second: int) -> str:
    return f"same={bool(win32.CompareObjectHandles(first, second)):d}"


@command("ntqo handle", query=True)
def ntqo(slots: Slots, handle: int) -> str:
    info = ctypes.create_string_buffer(_BASIC_SIZE)
    status = nt.NtQueryObject(handle, 0, info, len(info), None)
    if status:
        return f"st=0x{status:08X}"
    attributes, access, handles = struct.unpack_from("<III", info)
    return f"st=0x{status:08X} access={access:#x} handles={handles} attr={attributes:#x}"


@command("ntqname handle", query=True)
def ntqname(slots: Slots, handle: int) -> str:
    return _query_text(handle, 1, "name")


@command("ntqtype handle", query=True)
def ntqtype(slots: Slots, handle: int) -> str:
    return _query_text(handle, 2, "type")


def _query_text(handle: int, information_class: int, label: str) -> str:
    # Room for the longest UNICODE_STRING and the structure around it.
    info = ctypes.create_string_buffer(0x10000 + 0x100)
    status = nt.NtQueryObject(handle, information_class, info, len(info), None)
    if status:
        return f"st=0x{status:08X}"
    length, _, text = struct.unpack_from("<HH4xQ", info)
    value = ctypes.string_at(text, length).decode("utf-16-le", "surrogatepass") if length else ""
    return f"st=0x{status:08X} {label}={language.show_text(value)}"
