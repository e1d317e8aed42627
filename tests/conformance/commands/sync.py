"""Commands on mutexes, semaphores and events, and waiting."""

import ctypes
import re
import struct
from collections.abc import Callable
from typing import Any

from language import ScriptError
from registry import call, command, done
from slots import Slots

from namedmap import nt, win32


def _security(inherit: bool) -> Any:
    return win32.SECURITY_ATTRIBUTES(bInheritHandle=True) if inherit else None


def _opened(slots: Slots, slot: str, function: Callable[..., Any], *args: Any) -> str:
    handle, error = call(function, *args)
    return f"{'OK' if slots.keep_handle(slot, handle) else 'NULL'} {error}"


@command("mutex slot bool text [bool]")
def mutex(slots: Slots, slot: str, owned: bool, name: str | None, inherit: bool = False) -> str:
    return _opened(slots, slot, win32.CreateMutex, _security(inherit), owned, name)


@command("sem slot long long text [bool]")
def sem(slots: Slots, slot: str, initial: int, maximum: int, name: str | None, inherit: bool = False) -> str:
    return _opened(slots, slot, win32.CreateSemaphore, _security(inherit), initial, maximum, name)


@command("event slot bool bool text [bool]")
def event(slots: Slots, slot: str, manual: bool, signaled: bool, name: str | None, inherit: bool = False) -> str:
    return _opened(slots, slot, win32.CreateEvent, _security(inherit), manual, signaled, name)


@command("omutex slot dword bool text")
def omutex(slots: Slots, slot: str, access: int, inherit: bool, name: str | None) -> str:
    return _opened(slots, slot, win32.OpenMutex, access, inherit, name)


@command("osem slot dword bool text")
def osem(slots: Slots, slot: str, access: int, inherit: bool, name: str | None) -> str:
    return _opened(slots, slot, win32.OpenSemaphore, access, inherit, name)


@command("oevent slot dword bool text")
def oevent(slots: Slots, slot: str, access: int, inherit: bool, name: str | None) -> str:
    return _opened(slots, slot, win32.OpenEvent, access, inherit, name)


def _later(name: str) -> Callable[..., Any]:
    """A function that this version of namedmap may lack; its commands say so with `needs`."""
    function: Callable[..., Any] = getattr(win32 if hasattr(win32, name) else nt, name)
    return function


@command("relmutex handle", needs="ReleaseMutex")
def relmutex(slots: Slots, handle: int) -> str:
    return done(_later("ReleaseMutex"), handle)


@command("relsem handle long", needs="ReleaseSemaphore")
def relsem(slots: Slots, handle: int, count: int) -> str:
    previous = win32.LONG()
    ok, error = call(_later("ReleaseSemaphore"), handle, count, previous)
    return f"OK {error} prev={previous.value}" if ok else f"FAIL {error}"


@command("setevent handle", needs="SetEvent")
def setevent(slots: Slots, handle: int) -> str:
    return done(_later("SetEvent"), handle)


@command("resetevent handle", needs="ResetEvent")
def resetevent(slots: Slots, handle: int) -> str:
    return done(_later("ResetEvent"), handle)


@command("pulseevent handle", needs="PulseEvent")
def pulseevent(slots: Slots, handle: int) -> str:
    return done(_later("PulseEvent"), handle)


def _waited(name: str, *args: Any) -> str:
    result, error = call(_later(name), *args)
    if result < 64:
        return f"OBJECT+{result} {error}"
    if 0x80 <= result < 0x80 + 64:
        return f"ABANDONED+{result - 0x80} {error}"
    words = {0xC0: "IO_COMPLETION", 0x102: "TIMEOUT", 0xFFFFFFFF: "FAILED"}
    return f"{words.get(result, hex(result))} {error}"


@command("wait handle dword", needs="WaitForSingleObject")
def wait(slots: Slots, handle: int, timeout: int) -> str:
    return _waited("WaitForSingleObject", handle, timeout)


@command("waitx handle dword bool", needs="WaitForSingleObjectEx")
def waitx(slots: Slots, handle: int, timeout: int, alertable: bool) -> str:
    return _waited("WaitForSingleObjectEx", handle, timeout, alertable)


@command("waitm bool dword word...", needs="WaitForMultipleObjects")
def waitm(slots: Slots, every: bool, timeout: int, *operands: str) -> str:
    handles: list[int] = []
    for operand in operands:
        repeated = re.fullmatch(r"(.+)\*(\d+)", operand)
        name, count = (repeated[1], int(repeated[2])) if repeated else (operand, 1)
        handles += [slots.handle(name)] * count
    return _waited("WaitForMultipleObjects", len(handles), handles, every, timeout)


@command("sigwait handle handle dword", needs="SignalObjectAndWait")
def sigwait(slots: Slots, signal: int, waited: int, timeout: int) -> str:
    return _waited("SignalObjectAndWait", signal, waited, timeout, False)


def _state(name: str, handle: int, layout: str) -> tuple[int, tuple[Any, ...]]:
    info = ctypes.create_string_buffer(8)
    status: int = _later(name)(handle, 0, info, len(info), None)
    return status, struct.unpack_from(layout, info)


@command("qmutex handle", query=True, needs="NtQueryMutant")
def qmutex(slots: Slots, handle: int) -> str:
    status, (count, owned, abandoned) = _state("NtQueryMutant", handle, "<iBB")
    return f"st=0x{status:08X}" if status else f"st=0 count={count} owned={owned} abandoned={abandoned}"


@command("qsem handle", query=True, needs="NtQuerySemaphore")
def qsem(slots: Slots, handle: int) -> str:
    status, (current, maximum) = _state("NtQuerySemaphore", handle, "<ii")
    return f"st=0x{status:08X}" if status else f"st=0 cur={current} max={maximum}"


@command("qevent handle", query=True, needs="NtQueryEvent")
def qevent(slots: Slots, handle: int) -> str:
    status, (kind, state) = _state("NtQueryEvent", handle, "<ii")
    if kind not in (0, 1):
        raise ScriptError(f"NtQueryEvent gave the unknown event type {kind}")
    # NotificationEvent, which is 0, is what Win32 calls a manual-reset event.
    return f"st=0x{status:08X}" if status else f"st=0 manual={kind == 0:d} state={state}"
