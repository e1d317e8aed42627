"""File attributes of Windows, kept the way Samba and Wine keep them.

READONLY is the file's mode: no write bit for anyone. HIDDEN, SYSTEM, ARCHIVE and TEMPORARY, and READONLY for Samba's
sake, stand in the extended attribute user.DOSATTRIB. Two forms of it are read: the text "0x22" of Samba 3 and Wine, and
Samba's NDR blob (versions 3, 4 and 5), which also holds the creation time:

    attrib_hex   text, NUL-terminated, mostly empty; then padding to a multiple of 2
    version      uint16
    version      uint16 again (which arm of the union); then padding to a multiple of 4
    valid_flags  uint32: bit 0 says that the next field counts
    attrib       uint32

A blob that is there is kept and its attribute field changed; otherwise the text is written. A file without the extended
attribute has ARCHIVE, a directory none of these. Offline, not-indexed and the like mean nothing here and are not kept.

Source: librpc/idl/xattr.idl (Samba), "File Attribute Constants" (Win32).
"""

import errno
import os
import re
import stat
import struct

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap.constants import FileAttribute

XATTR = "user.DOSATTRIB"

_READONLY = int(FileAttribute.FILE_ATTRIBUTE_READONLY)
_DIRECTORY = int(FileAttribute.FILE_ATTRIBUTE_DIRECTORY)
ARCHIVE = int(FileAttribute.FILE_ATTRIBUTE_ARCHIVE)
_TEMPORARY = int(FileAttribute.FILE_ATTRIBUTE_TEMPORARY)
_HIDDEN_SYSTEM = int(FileAttribute.FILE_ATTRIBUTE_HIDDEN | FileAttribute.FILE_ATTRIBUTE_SYSTEM)
_KEPT = _READONLY | _HIDDEN_SYSTEM | ARCHIVE | _TEMPORARY

_TEXT = re.compile(rb"0[xX]([0-9a-fA-F]{1,8})\0*")
_VALID_ATTRIB = 1
_NO_XATTR = (errno.EOPNOTSUPP, errno.ENOSYS)


def is_readonly(info: os.stat_result) -> bool:
    """Whether a regular file has the attribute READONLY."""
    return stat.S_ISREG(info.st_mode) and not info.st_mode & 0o222


def get(file: int | str, info: os.stat_result) -> int:
    """The attributes of an open file or a path, as GetFileAttributes reports them."""
    kept = _stored(file, info)
    if stat.S_ISDIR(info.st_mode):
        return kept | _DIRECTORY
    kept = kept & ~_READONLY | (_READONLY if is_readonly(info) else 0)
    return kept or int(FileAttribute.FILE_ATTRIBUTE_NORMAL)


def put(file: int | str, info: os.stat_result, wanted: int, what: str) -> None:
    """Give a file exactly these attributes; bits that cannot be set (DIRECTORY, NORMAL, …) do not count."""
    wanted &= _KEPT
    try:
        value = _value(file)
        # READONLY alone needs no extended attribute: the mode says it.
        if (wanted & ~_READONLY != _default(info)) if value is None else (_parse(value) != wanted):
            _store_writably(file, info, value, wanted, what)
        if stat.S_ISREG(info.st_mode):
            _set_mode(file, info, wanted)
    except OSError as error:
        raise from_oserror(error, f"cannot set the attributes of {what}") from None


def conflicts(existing: int, wanted: int) -> bool:
    """Whether overwriting is refused: what is hidden or a system file must be asked for as such."""
    return bool(existing & _HIDDEN_SYSTEM & ~wanted)


def copy_extended(source: int, target: int) -> None:
    """Copy all extended attributes of the user's but Windows' own; a filesystem without any takes none."""
    for name in _listed(source):
        if name.startswith("user.") and name != XATTR:
            try:
                os.setxattr(target, name, os.getxattr(source, name))
            except OSError as error:
                if error.errno not in _NO_XATTR:
                    raise


def _listed(fd: int) -> list[str]:
    try:
        return os.listxattr(fd)
    except OSError as error:
        require_ours(error)
        return []


def _set_mode(file: int | str, info: os.stat_result, wanted: int) -> None:
    mode = stat.S_IMODE(info.st_mode)
    if wanted & _READONLY:
        os.chmod(file, mode & ~0o222)
    elif is_readonly(info):
        # Writing goes to those who may read, within the umask, and to the owner in any case.
        os.chmod(file, mode | 0o200 | (((mode & 0o444) >> 1) & ~_umask()))


def _umask() -> int:
    # os.umask can only be asked by setting it, for a moment and for all threads.
    with ignored(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022


def _stored(file: int | str, info: os.stat_result) -> int:
    value = _value(file)
    found = None if value is None else _parse(value)
    return _default(info) if found is None else found & _KEPT


def _default(info: os.stat_result) -> int:
    return ARCHIVE if stat.S_ISREG(info.st_mode) else 0


def _value(file: int | str) -> bytes | None:
    try:
        return os.getxattr(file, XATTR)
    except OSError as error:
        require_ours(error)
        # None there, none possible here, or not for us to read: in each case the file has the default.
        return None


def _parse(value: bytes) -> int | None:
    text = _TEXT.fullmatch(value)
    if text:
        return int(text[1], 16)
    place = _field(value)
    return None if place is None else int.from_bytes(value[place : place + 4], "little")


def _field(blob: bytes) -> int | None:
    """Where the attribute field of an NDR blob is; None if this is none that we know."""
    start = blob.find(b"\0") + 1
    start += start & 1
    if start < 2 or len(blob) < start + 2:
        return None
    version = struct.unpack_from("<H", blob, start)[0]
    flags = (start + 4 + 3) & ~3
    if version not in (3, 4, 5) or len(blob) < flags + 8:
        return None
    return flags + 4 if struct.unpack_from("<I", blob, flags)[0] & _VALID_ATTRIB else None


def _store_writably(file: int | str, info: os.stat_result, old: bytes | None, wanted: int, what: str) -> None:
    # The kernel lets only those who may write to a file set a user attribute of it.
    if not is_readonly(info):
        _store(file, info, old, wanted, what)
        return
    mode = stat.S_IMODE(info.st_mode)
    os.chmod(file, mode | 0o200)
    try:
        _store(file, info, old, wanted, what)
    finally:
        os.chmod(file, mode)


def _store(file: int | str, info: os.stat_result, old: bytes | None, wanted: int, what: str) -> None:
    if stat.S_ISDIR(info.st_mode):
        wanted |= _DIRECTORY
    place = None if old is None else _field(old)
    if old is not None and place is not None:
        value = old[:place] + wanted.to_bytes(4, "little") + old[place + 4 :]
    else:
        value = b"0x%x" % wanted
    try:
        os.setxattr(file, XATTR, value)
    except OSError as error:
        # EPERM: neither file nor directory, which have no user attributes anywhere.
        ordinary = stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)
        if error.errno not in _NO_XATTR and (ordinary or error.errno != errno.EPERM):
            raise
        if wanted & _HIDDEN_SYSTEM:
            raise KernelError(
                NTSTATUS.STATUS_NOT_SUPPORTED,
                f"{what} cannot be hidden or a system file: no extended attributes ({XATTR}) are kept there. "
                "Leave these attributes out, or use another filesystem",
            ) from None
