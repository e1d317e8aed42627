"""The others who may use an object: a mode as of files, a group, or a security descriptor.

mode       the bits of a file mode; 0o660 lets the group in, 0o666 everybody. It is granted exactly as it stands, so
           what shared memory cannot grant is refused: writing or executing without reading, and an owner who may not
           read
group      the group of these bits, by name or number, to which the caller must belong; alone it stands for mode 0o660.
           Without it, that of the process
security   a security descriptor in SDDL, in the place of both

By default an object is for its user alone. Only a name that begins with Global\\ can be found by other users.

Windows grants by access lists: there `mode` can only be 0o600, no group can be given, and `security` says all else.
Permissions that cannot be had are refused (Error, ERROR_NOT_SUPPORTED).
"""

from typing import TypedDict

from namedmap import errors
from namedmap._contract import NOBODY_ELSE, Permissions
from namedmap.constants import ERROR_INVALID_PARAMETER


class Sharing(TypedDict, total=False):
    """The keyword arguments of whatever creates an object."""

    mode: int | None
    group: str | int | None
    security: str | None


def permissions(mode: int | None = None, group: str | int | None = None, security: str | None = None) -> Permissions:
    """For a platform. Raises BadValueError for what cannot be, TypeError for `security` beside another."""
    if mode is None and group is None:
        return NOBODY_ELSE if security is None else Permissions(descriptor=security)
    if security is not None:
        raise TypeError("say who may use it by mode and group or by security, not by both")
    mode = 0o660 if mode is None else mode
    _check(mode)
    return Permissions(mode, group)


def _check(mode: int) -> None:
    """Refuse a mode that memory cannot have: a user who may write to it, or execute it, can read it."""
    if not isinstance(mode, int):
        raise TypeError(f"mode must be an int such as 0o660, not {type(mode).__name__}")
    for shift, who in ((6, "its owner"), (3, "the group"), (0, "others")):
        rights = mode >> shift & 7
        if mode & ~0o777 or ((rights or shift == 6) and not rights & 4):
            reason = f"{who} could not read it" if 0 <= mode <= 0o777 else "it has bits beyond 0o777"
            raise errors.BadValueError(
                int(ERROR_INVALID_PARAMETER), f"mode {mode:#o} cannot be had, since {reason}: use one such as 0o660"
            )
