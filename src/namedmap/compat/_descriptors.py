"""Security descriptors as programs make them in memory, and what advapi32 has to make them.

The usual ones are understood: of a string (SDDL), and an absolute one with an access list of NULL, which is for
everyone. Any other is refused where it is used, rather than taken for less than it is.
"""

import ctypes

from namedmap._platform import functions
from namedmap.compat import _blocks
from namedmap.constants import ERROR_INVALID_PARAMETER

_REVISION = 1
_DACL_PRESENT = 0x0004
#: Of an absolute descriptor: revision and control are in front, the address of its access list at the end.
_SIZE, _CONTROL, _DACL = 40, 2, 32

_texts: dict[int, str] = {}


def text_of(where: int | None) -> str | None:
    """The string form of a descriptor in memory; None for the default. One that cannot be read gives no valid form."""
    if not where:
        return None
    if where in _texts and _blocks.exists(where):
        return _texts[where]
    if ctypes.c_uint8.from_address(where).value != _REVISION:
        return "(no security descriptor)"
    control = ctypes.c_uint16.from_address(where + _CONTROL).value
    if not control & _DACL_PRESENT:
        return None
    if control & 0x8000 or ctypes.c_void_p.from_address(where + _DACL).value:
        return "(an access list in memory: use ConvertStringSecurityDescriptorToSecurityDescriptor)"
    return "D:NO_ACCESS_CONTROL"


def InitializeSecurityDescriptor(where: int, revision: int) -> bool:
    """An empty descriptor: of the default security. Source: InitializeSecurityDescriptor (Win32)."""
    if not where or revision != _REVISION:
        functions.SetLastError(int(ERROR_INVALID_PARAMETER))
        return False
    ctypes.memset(where, 0, _SIZE)
    ctypes.c_uint8.from_address(where).value = _REVISION
    _texts.pop(where, None)
    return True


def SetSecurityDescriptorDacl(where: int, present: bool, dacl: int, defaulted: bool) -> bool:
    """Give a descriptor an access list; NULL is for everyone. Source: SetSecurityDescriptorDacl (Win32)."""
    if not where:
        functions.SetLastError(int(ERROR_INVALID_PARAMETER))
        return False
    control = ctypes.c_uint16.from_address(where + _CONTROL)
    control.value = control.value & ~_DACL_PRESENT | (_DACL_PRESENT if present else 0)
    ctypes.c_void_p.from_address(where + _DACL).value = dacl if present else 0
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
    _texts[where] = text
    target.value = where
    if size is not None:
        size.value = _SIZE
    return True
