"""Security descriptors in their string form (SDDL), turned into owner, group and mode of an object file.

Understood: `O:` and `G:` with a Unix SID; `D:` with allow-entries (`A`) for the owner (OW, CO, or the owner's SID), a
group (a Unix group SID) and everyone (WD, AU, BU). Rights may be GA, GR, GW, GX, the FA/FR/FW/FX and KA/KR/KW forms,
single standard rights, or a number. Local System and Administrators (SY, BA) are root here, who may do everything
anyway. An entry that this cannot express in a mode is refused, never dropped: deny-entries, other SIDs, two groups.

Unix SIDs are those of Samba: S-1-22-1-<uid> is a user, S-1-22-2-<gid> a group. Source: "Security Descriptor String
Format" (Win32).
"""

import grp
import operator
import os
import re
from typing import NamedTuple

from namedmap._contract import Permissions
from namedmap._convention.status import NTSTATUS, KernelError, from_oserror
from namedmap._kernel.names.names import ObjectName

_PARTS = re.compile(
    r"(?:O:(?P<owner>[A-Z0-9-]+?))?(?:G:(?P<group>[A-Z0-9-]+?))?(?:D:(?P<dacl>.*?))?(?:S:.*)?", re.DOTALL
)
_ACE = re.compile(r"\(([^;()]*);([^;()]*);([^;()]*);([^;()]*);([^;()]*);([^;()]*)\)")
_EVERYONE = {"WD", "S-1-1-0", "AU", "S-1-5-11", "BU", "S-1-5-32-545"}
_OWNER = {"OW", "S-1-3-4", "CO", "S-1-3-0"}
_ROOT = {"SY", "S-1-5-18", "BA", "S-1-5-32-544"}
_READ, _WRITE = 4, 2
_NO_ID = 2**32 - 1  # to chown(2): leave it as it is
_RIGHTS = {
    "GA": _READ | _WRITE, "GR": _READ, "GW": _WRITE, "GX": _READ, "FA": _READ | _WRITE, "FR": _READ, "FW": _WRITE,
    "FX": _READ, "KA": _READ | _WRITE, "KR": _READ, "KW": _WRITE, "KX": _READ, "RC": 0, "SD": 0, "WD": 0, "WO": 0,
    "CC": _READ, "DC": _WRITE, "LC": _READ,
}  # fmt: skip
_READ_BITS = 0x90000004  # GENERIC_READ, GENERIC_ALL, SECTION_MAP_READ
_WRITE_BITS = 0x50000002  # GENERIC_WRITE, GENERIC_ALL, SECTION_MAP_WRITE


class Security(NamedTuple):
    """Ownership and mode of an object file; -1 leaves an id as it is."""

    mode: int = 0o600
    uid: int = -1
    gid: int = -1

    def apply(self, fd: int, mode: int) -> None:
        """Give the file its owner, group and mode."""
        try:
            if (self.uid, self.gid) != (-1, -1):
                os.fchown(fd, self.uid, self.gid)
            if mode & 0o777 != self.mode:
                os.fchmod(fd, self.mode)
        except OSError as error:
            raise from_oserror(error, f"cannot set owner {self.uid} and group {self.gid} of an object") from None


DEFAULT = Security()


def of_object(wanted: Permissions, name: ObjectName | None) -> Security:
    """The security of an object that the Python classes create; refused where it could have no effect."""
    found = of(wanted)
    if name is not None and not name.is_global and found.mode & 0o077:
        raise KernelError(
            NTSTATUS.STATUS_INVALID_PARAMETER,
            f"{str(name)!r} cannot be shared with other users, who have names of their own: call it "
            f"'Global\\{name.leaf}', or leave mode, group and security out",
        )
    return found


def of(wanted: Permissions) -> Security:
    """The security for what the Python classes were given."""
    mode, group, sddl = wanted
    if mode is None:
        return parse(sddl)
    gid = os.getegid() if group is None else _group_id(group)
    return Security(mode, -1, gid if mode & 0o070 else -1)


def _group_id(group: str | int) -> int:
    """The number of a group. A number that no group can have would let in the group of this process."""
    try:
        gid = grp.getgrnam(group).gr_gid if isinstance(group, str) else operator.index(group)
        if 0 <= gid < _NO_ID:
            return gid
    except (KeyError, ValueError):  # ValueError: a name with a NUL or a lone surrogate
        pass
    raise KernelError(
        NTSTATUS.STATUS_INVALID_PARAMETER, f"there is no group {group!r} on this machine: see `getent group`"
    )


def parse(sddl: str | None) -> Security:
    """The security for a descriptor string; None is the default, owner only."""
    if sddl is None:
        return DEFAULT
    if not isinstance(sddl, str):
        raise TypeError(f"a security descriptor must be a str (SDDL) or None, not {type(sddl).__name__}")
    parts = _PARTS.fullmatch(sddl.strip())
    if parts is None:
        raise _invalid(sddl, "it is not of the form O:…G:…D:(…)")
    uid = _unix_id(sddl, parts["owner"], "S-1-22-1-", _OWNER | _ROOT)
    gid = _unix_id(sddl, parts["group"], "S-1-22-2-", {"BG", "BU", "DU"})
    if parts["dacl"] is None:
        return Security(0o600, uid, gid)
    return _from_dacl(sddl, parts["dacl"], uid, gid)


def _from_dacl(sddl: str, dacl: str, uid: int, gid: int) -> Security:
    if "NO_ACCESS_CONTROL" in dacl:
        return Security(0o666, uid, gid)
    rights = {"u": 0, "g": 0, "o": 0}
    flags, _, _ = dacl.partition("(")
    if not re.fullmatch(r"(P|AR|AI)*", flags) or _ACE.sub("", dacl[len(flags) :]).strip():
        raise _invalid(sddl, f"{dacl!r} is no list of access entries")
    for kind, _, mask, _, _, sid in _ACE.findall(dacl):
        if kind != "A":
            raise _invalid(sddl, f"entry type {kind!r} cannot be expressed in a file mode: only allow-entries (A) can")
        granted = _mask(sddl, mask)
        if sid in _EVERYONE:
            rights["o"] |= granted
        elif sid in _OWNER or sid == f"S-1-22-1-{uid if uid >= 0 else os.geteuid()}":
            rights["u"] |= granted
        elif sid.startswith("S-1-22-2-"):
            entry_gid = _unix_id(sddl, sid, "S-1-22-2-", set())
            if gid not in (-1, entry_gid):
                raise _invalid(sddl, "it grants rights to more than one group")
            gid = entry_gid
            rights["g"] |= granted
        elif sid not in _ROOT:
            raise _invalid(sddl, f"{sid!r} is not known here: use OW, WD, S-1-22-1-<uid> or S-1-22-2-<gid>")
    # The classes of a mode exclude each other, where access entries add up: everyone includes owner and group.
    group = rights["g"] | rights["o"]
    return Security((rights["u"] | rights["o"]) << 6 | group << 3 | rights["o"], uid, gid)


def _mask(sddl: str, mask: str) -> int:
    if re.fullmatch(r"0[xX][0-9a-fA-F]+|[0-9]+", mask):
        bits = int(mask, 0)
        return (_READ if bits & _READ_BITS else 0) | (_WRITE if bits & _WRITE_BITS else 0)
    words = re.findall("..", mask)
    if len(mask) % 2 or not all(word in _RIGHTS for word in words):
        raise _invalid(sddl, f"rights {mask!r} are not known")
    granted = 0
    for word in words:
        granted |= _RIGHTS[word]
    return granted


def _unix_id(sddl: str, sid: str | None, prefix: str, ignored: set[str]) -> int:
    if sid is None or sid in ignored:
        return -1
    digits = sid.removeprefix(prefix)
    if digits == sid or not (digits.isascii() and digits.isdigit()) or int(digits) >= _NO_ID:
        raise _invalid(sddl, f"{sid!r} cannot own an object here: use {prefix}<id>")
    return int(digits)


def _invalid(sddl: str, reason: str) -> KernelError:
    return KernelError(NTSTATUS.STATUS_INVALID_SECURITY_DESCR, f"security descriptor {sddl!r}: {reason}")
