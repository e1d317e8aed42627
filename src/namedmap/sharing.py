"""Who else may use an object: a mode as of files, a group, or a security descriptor.

mode       the bits of a file mode; 0o660 lets the group in, 0o666 everybody. Execution is reading
group      the group of these bits, by name or number, to which the caller must belong; alone it stands for mode 0o660.
           Without it, that of the process
security   a security descriptor in SDDL, in the place of both

The default is the user alone. Only a name that begins with Global\\ can be found by other users.
"""

from typing import TypedDict

from namedmap import constants as c
from namedmap import errors
from namedmap._platform import data as platform
from namedmap.types import SECURITY_ATTRIBUTES


class Sharing(TypedDict, total=False):
    """The keyword arguments of whatever creates an object."""

    mode: int | None
    group: str | int | None
    security: str | None


def attributes(
    mode: int | None = None, group: str | int | None = None, security: str | None = None, *, inheritable: bool = False
) -> SECURITY_ATTRIBUTES | None:
    """For the Win32 functions. Raises BadValueError for what cannot be, TypeError for `security` beside another."""
    if mode is not None or group is not None:
        if security is not None:
            raise TypeError("say who may use it by mode and group or by security, not by both")
        security = _descriptor(0o660 if mode is None else mode, group)
    return SECURITY_ATTRIBUTES(security, inheritable) if security is not None or inheritable else None


def _descriptor(mode: int, group: str | int | None) -> str:
    """The access list, with an entry for each class of the mode."""
    if mode & ~0o777 or not mode & 0o600:
        raise errors.BadValueError(int(c.ERROR_INVALID_PARAMETER), f"{mode:#o} is no mode that leaves its owner access")
    with errors.translated():
        members = platform.group_entry(group)
    entries = []
    for shift, who in ((6, "OW"), (3, members), (0, "WD")):
        rights = ("GR" if mode >> shift & 4 else "") + ("GW" if mode >> shift & 2 else "")
        if rights:
            entries.append(f"(A;;{rights};;;{who})")
    return f"D:{''.join(entries)}"
