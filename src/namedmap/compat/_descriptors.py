"""Security descriptors as programs make them in memory, and what advapi32 has to make them.

The usual ones are understood: of a string (SDDL), and an absolute one with an owner, and with none or an access list of
NULL, which is for everyone. Any other is refused where it is used, rather than taken for less than it is.
"""

import ctypes
import os
import struct

from namedmap._platform import functions
from namedmap.compat import _blocks, _memory
from namedmap.compat._memory import Place
from namedmap.constants import (
    ERROR_ACCESS_DENIED,
    ERROR_INSUFFICIENT_BUFFER,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER,
)

_REVISION = 1
_DACL_PRESENT = 0x0004
#: Of an absolute descriptor: revision and control are in front, the address of its access list at the end.
_SIZE, _CONTROL, _OWNER, _DACL = 40, 2, 8, 32
#: A user as Samba names one: S-1-22-1-<uid>. The authority stands in six bytes, the highest first.
_SID = struct.Struct("<BB6sII")
_UNIX_USER = (1, 2, (22).to_bytes(6, "big"), 1)
_CURRENT_TOKEN, _TOKEN_USER = -4, 1


def text_of(where: int | None) -> str | None:
    """The string form of a descriptor in memory; None for the default. One that cannot be read gives no valid form."""
    if not where:
        return None
    if (text := _blocks.noted(where)) is not None:
        return text
    revision, control, owner, dacl = struct.unpack("<BxH4xQ16xQ", _memory.read(where, _SIZE))
    if revision != _REVISION:
        return "(no security descriptor)"
    if control & 0x8000 or (control & _DACL_PRESENT and dacl):
        return "(an access list in memory: use ConvertStringSecurityDescriptorToSecurityDescriptor)"
    text = f"O:{_user(owner)}" if owner else ""
    return text + "D:NO_ACCESS_CONTROL" if control & _DACL_PRESENT else text or None


def _user(where: int) -> str:
    """The SID of a user; what is none gives no valid form."""
    *start, uid = _SID.unpack(_memory.read(where, _SID.size))
    return f"S-1-22-1-{uid}" if tuple(start) == _UNIX_USER else "(a SID that is not of a user of Linux)"


def InitializeSecurityDescriptor(where: Place, revision: int) -> bool:
    """An empty descriptor: of the default security. Source: InitializeSecurityDescriptor (Win32)."""
    if not where or revision != _REVISION:
        functions.SetLastError(int(ERROR_INVALID_PARAMETER))
        return False
    where.store(struct.pack("B39x", _REVISION))
    _blocks.forget(where)
    return True


def SetSecurityDescriptorDacl(where: Place, present: bool, dacl: int, defaulted: bool) -> bool:
    """Give a descriptor an access list; NULL is for everyone. Source: SetSecurityDescriptorDacl (Win32)."""
    if not where:
        functions.SetLastError(int(ERROR_INVALID_PARAMETER))
        return False
    where.check(_SIZE)
    control = ctypes.c_uint16.from_address(where + _CONTROL)
    control.value = control.value & ~_DACL_PRESENT | (_DACL_PRESENT if present else 0)
    ctypes.c_void_p.from_address(where + _DACL).value = dacl if present else 0
    return True


def SetSecurityDescriptorOwner(where: Place, owner: int, defaulted: bool) -> bool:
    """Give a descriptor an owner. Source: SetSecurityDescriptorOwner (Win32)."""
    if not where:
        functions.SetLastError(int(ERROR_INVALID_PARAMETER))
        return False
    where.check(_SIZE)
    ctypes.c_void_p.from_address(where + _OWNER).value = owner
    return True


def OpenProcessToken(process: int, access: int, target: ctypes.c_void_p | None) -> bool:
    """A token of this process, which needs no closing. Source: OpenProcessToken (Win32)."""
    if target is None or not functions.CompareObjectHandles(process, functions.GetCurrentProcess()):
        functions.SetLastError(int(ERROR_INVALID_PARAMETER if target is None else ERROR_ACCESS_DENIED))
        return False
    target.value = _CURRENT_TOKEN
    return True


def GetTokenInformation(token: int, kind: int, target: Place, size: int, needed: ctypes.c_uint32 | None) -> bool:
    """The user (TOKEN_USER), the only thing that a token tells here. Source: GetTokenInformation (Win32)."""
    if token != _CURRENT_TOKEN or kind != _TOKEN_USER:
        functions.SetLastError(int(ERROR_INVALID_HANDLE if token != _CURRENT_TOKEN else ERROR_INVALID_PARAMETER))
        return False
    content = _SID.pack(*_UNIX_USER, os.geteuid())
    if needed is not None:
        needed.value = 16 + len(content)
    if not target or size < 16 + len(content):
        functions.SetLastError(int(ERROR_INSUFFICIENT_BUFFER))
        return False
    target.store(struct.pack("QI4x", target + 16, 0) + content)
    return True


def ConvertStringSecurityDescriptorToSecurityDescriptor(
    text: str | None, revision: int, target: ctypes.c_void_p | None, size: ctypes.c_uint32 | None
) -> bool:
    """A descriptor of a string, to be freed with LocalFree; the string is checked where it is used.

    Source: ConvertStringSecurityDescriptorToSecurityDescriptorW (Win32).
    """
    if text is None or target is None or revision != _REVISION:
        functions.SetLastError(int(ERROR_INVALID_PARAMETER))
        return False
    where = _blocks.allocate(_SIZE)
    ctypes.c_uint8.from_address(where).value = _REVISION
    _blocks.note(where, text)
    target.value = where
    if size is not None:
        size.value = _SIZE
    return True
