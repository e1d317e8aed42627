"""Calls of `win32` and `nt` that must succeed, and errors of those that must not; objects seen from outside; raw locks.

Calls for one sort of object are in the modules of this package: `memory`, `sync`, `files`, `bigfiles`.
"""

import contextlib
import ctypes
import fcntl
import os
import struct
import types
from collections.abc import Callable, Iterator
from ctypes import c_int, c_size_t, c_ssize_t, c_ulong, c_void_p
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from calls.kernel import locks, namespace, parse
from namedmap import nt, win32

if TYPE_CHECKING:
    from pathlib import Path

#: The modules without their types, for arguments that a type checker would refuse.
loose: Any = win32
loose_nt: Any = nt

PAGE = 4096


Function = TypeVar("Function", bound=Callable[..., object])


def as_system_call(function: Function) -> Function:
    """A function of a test as one of the standard library: what it raises is a failed system call.

    An exception of another module's function in the middle of a call is taken for a signal handler's, and passes.
    """
    plain: Any = function
    known = plain.__globals__ | {"__name__": os.__name__}
    made: Any = types.FunctionType(plain.__code__, known, plain.__name__, plain.__defaults__, plain.__closure__)
    return cast(Function, made)


def message() -> str:
    """The whole story of the last failure."""
    text = win32.FormatMessage(win32.FORMAT_MESSAGE_FROM_SYSTEM, None, win32.GetLastError(), 0)
    assert isinstance(text, str)
    return text


def had(handle: int | None) -> int:
    """A handle that must be had."""
    assert handle, message()
    return handle


def failed(result: object) -> int:
    """The error of a call that must have failed."""
    assert not result
    return win32.GetLastError()


def section(
    size: int = PAGE,
    protect: int = win32.PAGE_READWRITE,
    name: str | None = None,
    *,
    file: int = win32.INVALID_HANDLE_VALUE,
    security: str | None = None,
) -> int:
    """A handle to a section that must be had."""
    attributes = None if security is None else win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=security)
    made = win32.CreateFileMapping(file, attributes, protect, size >> 32, size & 0xFFFFFFFF, name)
    assert made, message()
    return made


def create(name: str | None, size: int = PAGE, protect: int = win32.PAGE_READWRITE, security: str | None = None) -> int:
    """The same, name first."""
    return section(size, protect, name, security=security)


def open_section(name: str, access: int = win32.FILE_MAP_ALL_ACCESS) -> int:
    """An existing section that must be had."""
    return had(win32.OpenFileMapping(access, False, name))


def error_of_open(name: str, access: int = win32.FILE_MAP_ALL_ACCESS) -> int:
    """The error of an open that must fail."""
    return failed(win32.OpenFileMapping(access, False, name))


def error_of_create(name: str | None, size: int = PAGE, protect: int = win32.PAGE_READWRITE) -> int:
    """The error of a creation that must fail."""
    return failed(win32.CreateFileMapping(-1, None, protect, size >> 32, size & 0xFFFFFFFF, name))


def view(
    handle: int, access: int = win32.FILE_MAP_WRITE, offset: int = 0, length: int = 0, base: int | None = None
) -> int:
    """The address of a view that must be had."""
    found = win32.MapViewOfFileEx(handle, access, offset >> 32, offset & 0xFFFFFFFF, length, base)
    assert found, message()
    return found


def close(*handles: int) -> None:
    for handle in handles:
        assert win32.CloseHandle(handle), message()


def unmap(*addresses: int) -> None:
    for address in addresses:
        assert win32.UnmapViewOfFile(address), message()


def duplicate(handle: int, access: int = 0, options: int = win32.DUPLICATE_SAME_ACCESS, inherit: bool = False) -> int:
    """A duplicate in this process that must be had."""
    made = win32.HANDLE()
    this = win32.GetCurrentProcess()
    assert win32.DuplicateHandle(this, handle, this, made, access, inherit, options), message()
    assert made.value is not None
    return made.value


# -- memory, without risking a fault ----------------------------------------------------------------------------------


class _Iovec(ctypes.Structure):
    _fields_ = (("iov_base", c_void_p), ("iov_len", c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)
for _function in (_libc.process_vm_readv, _libc.process_vm_writev):
    _function.argtypes = (c_int, ctypes.POINTER(_Iovec), c_ulong, ctypes.POINTER(_Iovec), c_ulong, c_ulong)
    _function.restype = c_ssize_t


def peek(address: int, count: int = 1) -> bytes | None:
    """Bytes of this process's memory; None where a load would fault."""
    buffer = ctypes.create_string_buffer(count)
    here, there = _Iovec(ctypes.addressof(buffer), count), _Iovec(address, count)
    moved = _libc.process_vm_readv(os.getpid(), ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return buffer.raw if moved == count else None


def load(address: int, count: int) -> bytes:
    """Bytes of this process's memory that must be there."""
    found = peek(address, count)
    assert found is not None
    return found


def poke(address: int, content: bytes) -> bool:
    """Store bytes in this process's memory; False where a store would fault."""
    buffer = ctypes.create_string_buffer(content, len(content))
    here, there = _Iovec(ctypes.addressof(buffer), len(content)), _Iovec(address, len(content))
    moved: int = _libc.process_vm_writev(os.getpid(), ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return moved == len(content)


# -- what the kernel says of a handle ----------------------------------------------------------------------------------


class Basic(NamedTuple):
    """The answer of NtQueryObject about a handle."""

    access: int
    handles: int


def basic(handle: int) -> Basic:
    info = nt.OBJECT_BASIC_INFORMATION()
    assert nt.NtQueryObject(handle, 0, info, ctypes.sizeof(info), None) == 0
    return Basic(info.GrantedAccess, info.HandleCount)


def handle_count(handle: int) -> int:
    """How many handles an object has, in all processes."""
    return basic(handle).handles


def object_text(handle: int, what: int) -> str:
    """Name (1) or type (2) of an object."""
    buffer = (ctypes.c_ubyte * 0x11000)()
    assert nt.NtQueryObject(handle, what, buffer, ctypes.sizeof(buffer), None) == 0
    text = nt.UNICODE_STRING.from_buffer(buffer)
    return ctypes.string_at(text.Buffer, text.Length).decode("utf-16-le", "surrogatepass") if text.Buffer else ""


# -- objects from outside ----------------------------------------------------------------------------------------------


def object_path(name: str) -> "Path":
    """Where the file of an object is."""
    from pathlib import Path  # which takes children as long to import as half of the package

    return Path(namespace.current().path(parse(name)))


def object_files() -> list[str]:
    """All object files of the suite's root, of any user."""
    root = os.environ["NAMEDMAP_ROOT"]
    return sorted(os.path.join(path, name) for path, _, files in os.walk(root) for name in files)


def own_descriptors() -> list[str]:
    """The targets of the descriptors of object files that this process has."""
    found = []
    root = os.environ.get("NAMEDMAP_ROOT") or "/dev/shm"
    for entry in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue
        if path.startswith(("/memfd:namedmap", root + "/namedmap")):
            found.append(path)
    return found


def sweep() -> int:
    return namespace.current().sweep()


def valid_file(name: str, size: int = PAGE) -> bytearray:
    """The bytes of the object file of a live section."""
    section = create(name, size)
    content = bytearray(object_path(name).read_bytes())
    close(section)
    return content


# -- locks of somebody who does not keep to the rules ------------------------------------------------------------------


@contextlib.contextmanager
def raw_lock(path: "Path", start: int, *, exclusive: bool = True) -> Iterator[int]:
    """Hold a lock byte of a file through a description of our own; yields the descriptor."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, 1, 0))
        yield fd
    finally:
        os.close(fd)


def alive(path: "Path") -> "contextlib.AbstractContextManager[int]":
    """Make a file look like a live object: somebody holds life on it."""
    return raw_lock(path, locks.LIVENESS, exclusive=False)
