"""Commands on sections, views and memory."""

import ctypes

import language
import memory
from registry import call, command, done
from slots import Address, Slots

from namedmap import win32

_STATES = {0x1000: "COMMIT", 0x2000: "RESERVE", 0x10000: "FREE"}
_TYPES = {0x20000: "PRIVATE", 0x40000: "MAPPED", 0x1000000: "IMAGE"}
_FREE = "OK state=FREE aprot=0x0 prot=0x1 type=0x0 abase=NULL"


def _opened(slots: Slots, slot: str, result: tuple[int | None, str]) -> str:
    handle, error = result
    return f"{'OK' if slots.keep_handle(slot, handle) else 'NULL'} {error}"


@command("cfm slot handle dword dword dword text [bool]")
def cfm(
    slots: Slots, slot: str, file: int, protection: int, high: int, low: int, name: str | None, inherit: bool = False
) -> str:
    attributes = win32.SECURITY_ATTRIBUTES(bInheritHandle=True) if inherit else None
    return _opened(slots, slot, call(win32.CreateFileMapping, file, attributes, protection, high, low, name))


@command("ofm slot dword bool text")
def ofm(slots: Slots, slot: str, access: int, inherit: bool, name: str | None) -> str:
    return _opened(slots, slot, call(win32.OpenFileMapping, access, inherit, name))


@command("mv slot handle dword dword dword size")
def mv(slots: Slots, slot: str, section: int, access: int, high: int, low: int, length: int) -> str:
    address, error = call(win32.MapViewOfFile, section, access, high, low, length)
    return _mapped(slots, slot, address, error)


@command("mvx slot handle dword dword dword size address")
def mvx(slots: Slots, slot: str, section: int, access: int, high: int, low: int, length: int, base: Address) -> str:
    address, error = call(win32.MapViewOfFileEx, section, access, high, low, length, base.value)
    if address and base.value:
        slots.keep_view(slot, address)
        return f"OK {error} same={address == base.value:d}"
    return _mapped(slots, slot, address, error)


def _mapped(slots: Slots, slot: str, address: int | None, error: str) -> str:
    kept = slots.keep_view(slot, address)
    return f"OK {error} align={kept & 0xFFFF:#x}" if kept else f"NULL {error}"


@command("unmap address")
def unmap(slots: Slots, address: Address) -> str:
    return done(win32.UnmapViewOfFile, address.value)


@command("unmapex address dword")
def unmapex(slots: Slots, address: Address, flags: int) -> str:
    return done(win32.UnmapViewOfFileEx, address.value, flags)


@command("flush address size", query=True)
def flush(slots: Slots, address: Address, length: int) -> str:
    return done(win32.FlushViewOfFile, address.value, length)


@command("vq address", query=True)
def vq(slots: Slots, address: Address) -> str:
    info = win32.MEMORY_BASIC_INFORMATION()
    size, error = call(win32.VirtualQuery, address.value, info, ctypes.sizeof(info))
    if not size:
        return f"FAIL {error}"
    if info.State == win32.MEM_FREE:
        return _FREE
    state, kind = _STATES.get(info.State, hex(info.State)), _TYPES.get(info.Type, hex(info.Type))
    return (
        f"OK state={state} aprot={info.AllocationProtect:#x} prot={info.Protect:#x} type={kind}"
        f" base={address.relative(info.BaseAddress)} abase={address.relative(info.AllocationBase)}"
        f" size={info.RegionSize:#x}"
    )


@command("vp address size dword")
def vp(slots: Slots, address: Address, length: int, protection: int) -> str:
    old = win32.DWORD()
    ok, error = call(win32.VirtualProtect, address.value, length, protection, old)
    return f"OK {error} old={old.value:#x}" if ok else f"FAIL {error}"


@command("valloc slot address size dword dword")
def valloc(slots: Slots, slot: str, base: Address, length: int, kind: int, protection: int) -> str:
    address, error = call(win32.VirtualAlloc, base.value, length, kind, protection)
    return f"{'OK' if slots.keep_view(slot, address) else 'NULL'} {error}"


@command("vfree address size dword")
def vfree(slots: Slots, address: Address, length: int, kind: int) -> str:
    return done(win32.VirtualFree, address.value, length, kind)


@command("peek address number", query=True)
def peek(slots: Slots, address: Address, count: int) -> str:
    try:
        return f"OK {language.show_data(memory.read(address.value, count))}"
    except memory.Fault as fault:
        return f"FAULT {fault.kind} read at=+{fault.index:#x}"


@command("poke address data")
def poke(slots: Slots, address: Address, content: bytes) -> str:
    try:
        memory.write(address.value, content)
    except memory.Fault as fault:
        return f"FAULT {fault.kind} write at=+{fault.index:#x}"
    return f"OK n={len(content)}"


@command("sameview address address", query=True)
def sameview(slots: Slots, first: Address, second: Address) -> str:
    return f"same={first.value == second.value:d}"


@command("sysinfo", query=True)
def sysinfo(slots: Slots) -> str:
    info = win32.SYSTEM_INFO()
    win32.GetSystemInfo(info)
    return f"page={info.dwPageSize} gran={info.dwAllocationGranularity}"
