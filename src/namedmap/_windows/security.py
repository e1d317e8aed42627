"""Security descriptors for new objects: from their string form (SDDL), or where the caller has one in memory.

Source: ConvertStringSecurityDescriptorToSecurityDescriptor, SECURITY_ATTRIBUTES (Win32).
"""

import contextlib
import ctypes
from collections.abc import Iterator

from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._windows import calling, dll
from namedmap.types import SECURITY_ATTRIBUTES

_REVISION = 1


@contextlib.contextmanager
def descriptor(given: str | int | None) -> Iterator[int | None]:
    """The address of a descriptor, which lives as long as the with-block; None for None, and an address as it is."""
    if not isinstance(given, str):
        yield given
        return
    made = _parse(given)
    try:
        yield made.value
    finally:
        dll.LocalFree(made)


def _parse(sddl: str) -> ctypes.c_void_p:
    if "\0" in sddl:
        raise _invalid(sddl, "it has a NUL in it")
    made = ctypes.c_void_p()
    parse = dll.ConvertStringSecurityDescriptorToSecurityDescriptorW
    done, code = calling.ask(parse, sddl, _REVISION, ctypes.byref(made), None)
    if not done:
        raise _invalid(sddl, (calling.text_of(code) or f"error {code}").rstrip("."))
    return made


def _invalid(sddl: str, reason: str) -> KernelError:
    return KernelError(NTSTATUS.STATUS_INVALID_SECURITY_DESCR, f"security descriptor {sddl!r}: {reason}")


@contextlib.contextmanager
def attributes(given: SECURITY_ATTRIBUTES | None) -> Iterator[SECURITY_ATTRIBUTES | None]:
    """The structure for a call, with its descriptor as Windows wants it, for the length of the with-block."""
    if given is None:
        yield None
        return
    with descriptor(given.lpSecurityDescriptor) as where:
        yield SECURITY_ATTRIBUTES(given.nLength, where, given.bInheritHandle)
