"""Names and permissions of new and existing objects, as the functions of Windows take them."""

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

from namedmap._contract import Permissions
from namedmap._convention.call import object_name
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._windows import security
from namedmap.types import SECURITY_ATTRIBUTES

_INVALID_HANDLE = 6  # the name belongs to an object of another kind
_USER_ALONE = 0o600


def checked(name: str) -> str:
    """A name that Windows may judge: it ends names at a NUL, and takes an empty one for none."""
    if "\0" in object_name(name):
        raise KernelError(NTSTATUS.STATUS_OBJECT_NAME_INVALID, f"object name {name!r} has a NUL in it")
    return name


def of_new(name: str | None) -> str | None:
    """The name for an object that is created; None for one without a name."""
    return None if name is None else checked(name)


def of_kind(failure: KernelError, name: str | None) -> KernelError:
    """The failure to create or open, which tells whether the name belongs to another kind of object."""
    failure.wrong_kind = name is not None and failure.winerror == _INVALID_HANDLE
    return failure


@contextlib.contextmanager
def attributes(permissions: Permissions, inheritable: bool = False) -> Iterator[Any]:
    """The argument that a new object is created with, for the length of a with-block; None: what Windows gives."""
    descriptor = sddl(permissions)
    if descriptor is None and not inheritable:
        yield None
        return
    given = SECURITY_ATTRIBUTES(lpSecurityDescriptor=descriptor, bInheritHandle=inheritable)
    with security.attributes(given) as native:
        yield None if native is None else ctypes.byref(native)


def sddl(permissions: Permissions) -> str | None:
    """The security descriptor for permissions; None for the default of Windows, by which an object is its user's."""
    mode, group, descriptor = permissions
    if group is not None:
        raise KernelError(
            NTSTATUS.STATUS_NOT_SUPPORTED,
            f"on Windows an object has no group {group!r} as files of Unix have: say by security= who may use it",
        )
    if mode is not None and mode != _USER_ALONE:
        raise KernelError(
            NTSTATUS.STATUS_NOT_SUPPORTED,
            f"on Windows mode {mode:#o} cannot be had: only 0o600, the user alone; say by security= who else may use "
            "it, such as D:(A;;GA;;;WD) for everybody",
        )
    return descriptor
