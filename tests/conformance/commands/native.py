"""Native calls."""

import ctypes
import struct
from collections.abc import Callable
from typing import Any

from language import longlong, number
from registry import command
from slots import Address, Slots

from namedmap import nt, win32

_CURRENT_PROCESS = -1
_CLASSES = {"basic": 0, "image": 1}


def _attributes(name: str | None, flags: int) -> Any:
    return None if name is None and not flags else nt.OBJECT_ATTRIBUTES(ObjectName=name, Attributes=flags)


def _status(status: int) -> str:
    return f"st=0x{status:08X}"


def _failed(status: int) -> bool:
    """NT_ERROR or NT_WARNING; a status below says more about a success."""
    return status >= 0x80000000


def _large(token: str) -> Any:
    return None if token == "NULL" else win32.LARGE_INTEGER(longlong(number(token)))


def _opened(slots: Slots, slot: str, function: Callable[..., int], *args: Any) -> str:
    handle = win32.HANDLE()
    status = function(handle, *args)
    slots.keep_handle(slot, handle.value)
    return _status(status)


@command("ntcs slot dword text dword word dword dword handle")
def ntcs(
    slots: Slots,
    slot: str,
    access: int,
    name: str | None,
    flags: int,
    size: str,
    protection: int,
    attributes: int,
    file: int,
) -> str:
    return _opened(
        slots,
        slot,
        nt.NtCreateSection,
        access,
        _attributes(name, flags),
        _large(size),
        protection,
        attributes,
        file or None,
    )


@command("ntos slot dword text dword")
def ntos(slots: Slots, slot: str, access: int, name: str | None, flags: int) -> str:
    return _opened(slots, slot, nt.NtOpenSection, access, _attributes(name, flags))


@command("ntom slot dword text dword")
def ntom(slots: Slots, slot: str, access: int, name: str | None, flags: int) -> str:
    return _opened(slots, slot, nt.NtOpenMutant, access, _attributes(name, flags))


@command("ntmv slot handle address size size word size dword dword dword")
def ntmv(
    slots: Slots,
    slot: str,
    section: int,
    base: Address,
    zero_bits: int,
    commit: int,
    offset: str,
    size: int,
    disposition: int,
    kind: int,
    protection: int,
) -> str:
    address, start, length = win32.LPVOID(base.value), _large(offset), win32.SIZE_T(size)
    status = nt.NtMapViewOfSection(
        section, _CURRENT_PROCESS, address, zero_bits, commit, start, length, disposition, kind, protection
    )
    if _failed(status):
        slots.keep_view(slot, None)
        return _status(status)
    slots.keep_view(slot, address.value)
    same = f" same={address.value == base.value:d}" if base.value else ""
    return f"{_status(status)} size={length.value:#x} off={start.value if start else 0:#x}{same}"


@command("ntuv address")
def ntuv(slots: Slots, address: Address) -> str:
    return _status(nt.NtUnmapViewOfSection(_CURRENT_PROCESS, address.value))


@command("ntclose handle")
def ntclose(slots: Slots, handle: int) -> str:
    return _status(nt.NtClose(handle))


@command("ntes handle longlong")
def ntes(slots: Slots, section: int, size: int) -> str:
    new_size = win32.LARGE_INTEGER(size)
    status = nt.NtExtendSection(section, new_size)
    return _status(status) if _failed(status) else f"{_status(status)} size={new_size.value:#x}"


@command("ntqs handle word [dword]", query=True)
def ntqs(slots: Slots, section: int, wanted: str, length: int | None = None) -> str:
    information_class = _CLASSES[wanted] if wanted in _CLASSES else number(wanted)
    basic = information_class == _CLASSES["basic"]
    capacity = (24 if basic else 64) if length is None else length
    # At least one whole structure, so that a call that ignores its length overruns nothing.
    info, used = ctypes.create_string_buffer(max(capacity, 64)), win32.SIZE_T()
    status = nt.NtQuerySection(section, information_class, info, capacity, used)
    if _failed(status):
        return _status(status)
    if not basic:
        return f"{_status(status)} len={used.value}"
    base, attributes, size = struct.unpack_from("<QI4xq", info)
    shown = f"{base:#x}" if base else "NULL"
    return f"{_status(status)} len={used.value} base={shown} attr={attributes:#x} size={size:#x}"


@command("ntflush address size", query=True)
def ntflush(slots: Slots, address: Address, length: int) -> str:
    start, count = win32.LPVOID(address.value), win32.SIZE_T(length)
    status = nt.NtFlushVirtualMemory(_CURRENT_PROCESS, start, count, None)
    if _failed(status):
        return _status(status)
    return f"{_status(status)} addr={address.relative(start.value)} size={count.value:#x}"


@command("ntsamefile address address", query=True)
def ntsamefile(slots: Slots, first: Address, second: Address) -> str:
    return _status(nt.NtAreMappedFilesTheSame(first.value, second.value))


@command("ntmaketemp handle")
def ntmaketemp(slots: Slots, handle: int) -> str:
    return _status(nt.NtMakeTemporaryObject(handle))
