r"""Object names: from `Local\X`, `Global\X` and native paths to a scope and a leaf, and on to a file name.

Source: "Kernel object namespaces" (Win32), RtlInitUnicodeString and ObpLookupObjectName (native).
"""

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

from namedmap._convention.call import object_name
from namedmap._convention.status import NTSTATUS, KernelError

#: In UTF-16 units. A UNICODE_STRING counts bytes in 16 bits: Windows cuts longer names to this, without an error.
MAXIMUM_LENGTH = 32766
SESSION = 1
#: In characters. Facts about a name are remembered of short ones only, so that long ones do not fill memory.
SHORT = 256

_LONGEST_FILE_NAME = 200  # of 255, so that the prefix of Global\\ files fits
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")

_PREFIX = re.compile(rf"(?P<global>Global|Session\\0)\\|Local\\|Session\\{SESSION}\\")

_GLOBAL_DIRECTORY = "\\BaseNamedObjects\\"
_LOCAL_DIRECTORY = f"\\Sessions\\{SESSION}\\BaseNamedObjects\\"


class ObjectName(NamedTuple):
    """Where an object is named: the machine-wide directory, or the user's own."""

    is_global: bool
    leaf: str

    def __str__(self) -> str:
        return ("Global\\" if self.is_global else "") + self.leaf

    @property
    def native(self) -> str:
        """The full path that NtQueryObject reports."""
        return (_GLOBAL_DIRECTORY if self.is_global else _LOCAL_DIRECTORY) + self.leaf

    def file_name(self) -> str:
        """The name of the object's file: percent-encoded; hashed where that would not fit into 255 bytes."""
        # A hash begins with "%h", which percent-encoding never produces.
        if _PLAIN.fullmatch(self.leaf):
            return self.leaf
        raw = self.leaf.encode("utf-8", "surrogatepass")
        # One byte more than fits is enough to see that it does not.
        encoded = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in raw[: _LONGEST_FILE_NAME + 1])
        return encoded if len(encoded) <= _LONGEST_FILE_NAME else "%h" + _hash(raw)


def _hash(raw: bytes) -> str:
    import hashlib  # which loads OpenSSL, at every start of a program, for names that few of them have

    return hashlib.sha256(raw).hexdigest()


class _Known:
    """Functions of the objects, which stand above names. Set by `objects`."""

    def __init__(self) -> None:
        #: Whether somebody holds an object of this name.
        self.exists: Callable[[ObjectName], bool] | None = None


known = _Known()


def _cut(name: str) -> str:
    if len(name) * 2 <= MAXIMUM_LENGTH:
        return name
    units = name[:MAXIMUM_LENGTH].encode("utf-16-le", "surrogatepass")
    return units[: MAXIMUM_LENGTH * 2].decode("utf-16-le", "surrogatepass")


def parse(name: str) -> ObjectName:
    r"""A name as the Win32 functions take it: `X`, `Local\X` or `Global\X`."""
    return _parse_short(name) if len(name) <= SHORT else _parse(_cut(name))


def _parse(name: str) -> ObjectName:
    if "\0" in name:
        raise KernelError(NTSTATUS.STATUS_OBJECT_NAME_INVALID, f"object name {name!r} has a NUL in it")
    if "\\" not in name:
        if name in ("Local", "Global", "Session"):
            raise _directory(name)
        return ObjectName(False, name)
    if name.startswith("\\"):
        raise KernelError(
            NTSTATUS.STATUS_OBJECT_PATH_SYNTAX_BAD,
            f"object name {name!r} begins with a backslash: use X, Local\\X or Global\\X",
        )
    is_global, rest = False, name
    while (found := _PREFIX.match(rest)) is not None:
        # From Global\\ on, Local\\ is that of session 0, whose names are the global ones.
        is_global = is_global or found["global"] is not None
        rest = rest[found.end() :]
    return _leaf(name, is_global, rest)


_parse_short = functools.lru_cache(maxsize=1024)(_parse)


def of_new(name: str | None) -> ObjectName | None:
    """The name for an object that the Python classes create; None for one without a name."""
    if name.__class__ is str and 0 < len(name) <= SHORT:
        return _parse_short(name)
    return None if name is None else of_existing(name)


def of_existing(name: str) -> ObjectName:
    """The name of an object that the Python classes open."""
    if name.__class__ is str and 0 < len(name) <= SHORT:
        return _parse_short(name)
    return parse(object_name(name))


def parse_native(name: str, *, ignore_case: bool = False) -> ObjectName:
    r"""A name as the native calls take it: relative to the session's directory, or an absolute path."""
    name = _cut(name)
    if not name.startswith("\\"):
        return parse(name)
    for directory, is_global in ((_GLOBAL_DIRECTORY, True), (_LOCAL_DIRECTORY, False)):
        if name.startswith(directory) or (ignore_case and name.upper().startswith(directory.upper())):
            leaf = name[len(directory) :]
            return parse(leaf) if _PREFIX.match(leaf) else _leaf(name, is_global, leaf)
    raise KernelError(
        NTSTATUS.STATUS_OBJECT_PATH_NOT_FOUND,
        f"object path {name!r}: only {_GLOBAL_DIRECTORY} and {_LOCAL_DIRECTORY} exist here",
    )


def _leaf(name: str, is_global: bool, leaf: str) -> ObjectName:
    if not leaf or leaf.startswith("\\"):
        raise KernelError(NTSTATUS.STATUS_OBJECT_NAME_INVALID, f"object name {name!r} has an empty part")
    if "\\" in leaf:
        first = leaf.partition("\\")[0]
        if known.exists is not None and known.exists(ObjectName(is_global, first)):
            raise KernelError(
                NTSTATUS.STATUS_OBJECT_TYPE_MISMATCH,
                f"object name {name!r}: {first!r} is an object, and no directory with others in it",
            )
        raise KernelError(
            NTSTATUS.STATUS_OBJECT_PATH_NOT_FOUND,
            f"object name {name!r}: only Local\\ and Global\\, written exactly so, may stand before a backslash",
        )
    if leaf in ("Local", "Global", "Session"):
        raise _directory(name)
    return ObjectName(is_global, leaf)


def _directory(name: str) -> KernelError:
    return KernelError(NTSTATUS.STATUS_OBJECT_TYPE_MISMATCH, f"object name {name!r} names a directory, not an object")
