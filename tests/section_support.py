"""What the tests of sections, views and handles share: short calls, and memory looked at without risking a fault."""

import ctypes
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from ctypes import c_int, c_size_t, c_ssize_t, c_ulong, c_void_p
from typing import Any, NamedTuple

import pytest

from namedmap import nt, win32
from namedmap._kernel.memory.space import View, space
from namedmap._kernel.objects import named
from namedmap._kernel.objects.table import table

PAGE, GRANULARITY = 4096, 0x10000

READ, WRITE, COPY, EXECUTE, ALL = (
    win32.FILE_MAP_READ,
    win32.FILE_MAP_WRITE,
    win32.FILE_MAP_COPY,
    win32.FILE_MAP_EXECUTE,
    win32.FILE_MAP_ALL_ACCESS,
)
#: The modules without their types, for arguments that a type checker would refuse.
loose: Any = win32
loose_nt: Any = nt

SUCCESS, OBJECT_NAME_EXISTS = 0, 0x40000000


class _Iovec(ctypes.Structure):
    _fields_ = (("iov_base", c_void_p), ("iov_len", c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)
for _function in (_libc.process_vm_readv, _libc.process_vm_writev):
    _function.argtypes = (c_int, ctypes.POINTER(_Iovec), c_ulong, ctypes.POINTER(_Iovec), c_ulong, c_ulong)
    _function.restype = c_ssize_t


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    """Close what a test leaves open; then nothing of it may be left in this process."""
    yield
    for value in list(table._entries):
        win32.SetHandleInformation(value, win32.HANDLE_FLAG_PROTECT_FROM_CLOSE, 0)
        win32.CloseHandle(value)
    for region in list(space):
        if isinstance(region, View):
            win32.UnmapViewOfFile(region.base)
        else:
            win32.VirtualFree(region.base, 0, win32.MEM_RELEASE)
    assert not list(space)
    assert not named.holders
    assert not named._registry
    assert own_descriptors() == []


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let threads take turns as often as they can: more interleavings, and no waiting for a turn after each call."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def own_descriptors() -> list[str]:
    """What the descriptors of object files that this process has lead to."""
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


def message() -> str:
    text = win32.FormatMessage(win32.FORMAT_MESSAGE_FROM_SYSTEM, None, win32.GetLastError(), 0)
    assert isinstance(text, str)
    return text


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
) -> int:
    """A handle to a section that must be had."""
    made = win32.CreateFileMapping(file, None, protect, size >> 32, size & 0xFFFFFFFF, name)
    assert made, message()
    return made


def reopened(name: str, access: int = ALL) -> int:
    found = win32.OpenFileMapping(access, False, name)
    assert found, message()
    return found


def exists(name: str) -> bool:
    """Whether a section of this name can be opened."""
    found = win32.OpenFileMapping(READ, False, name)
    if found is None:
        assert win32.GetLastError() == win32.ERROR_FILE_NOT_FOUND, message()
        return False
    close(found)
    return True


def view(handle: int, access: int = WRITE, offset: int = 0, length: int = 0, base: int | None = None) -> int:
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


class Pages(NamedTuple):
    """What VirtualQuery says."""

    base: int
    allocation_base: int
    allocation_protect: int
    size: int
    state: int
    protect: int
    type: int


def query(address: int) -> Pages:
    info = win32.MEMORY_BASIC_INFORMATION()
    assert win32.VirtualQuery(address, info, ctypes.sizeof(info)) == 48, message()
    return Pages(
        info.BaseAddress or 0,
        info.AllocationBase or 0,
        info.AllocationProtect,
        info.RegionSize,
        info.State,
        info.Protect,
        info.Type,
    )


def protect(address: int, length: int, protection: int) -> int:
    """Change a protection; the old one."""
    old = win32.DWORD(0xDEAD)
    assert win32.VirtualProtect(address, length, protection, old), message()
    return old.value


def peek(address: int, count: int = 1) -> bytes | None:
    """Bytes of this process's memory; None where a load would fault."""
    buffer = ctypes.create_string_buffer(count)
    here, there = _Iovec(ctypes.addressof(buffer), count), _Iovec(address, count)
    moved = _libc.process_vm_readv(os.getpid(), ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return buffer.raw if moved == count else None


def poke(address: int, content: bytes) -> bool:
    """Store bytes in this process's memory; False where a store would fault."""
    buffer = ctypes.create_string_buffer(content, len(content))
    here, there = _Iovec(ctypes.addressof(buffer), len(content)), _Iovec(address, len(content))
    moved: int = _libc.process_vm_writev(os.getpid(), ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return moved == len(content)


class Basic(NamedTuple):
    """What NtQueryObject says of a handle."""

    access: int
    handles: int


def basic(handle: int) -> Basic:
    info = nt.OBJECT_BASIC_INFORMATION()
    assert nt.NtQueryObject(handle, 0, info, ctypes.sizeof(info), None) == SUCCESS
    return Basic(info.GrantedAccess, info.HandleCount)


def section_basic(handle: int) -> tuple[int, int]:
    """(attributes, size) of a section, as NtQuerySection gives them."""
    info = nt.SECTION_BASIC_INFORMATION()
    assert nt.NtQuerySection(handle, 0, info, ctypes.sizeof(info), None) == SUCCESS
    return info.Attributes, info.Size


def object_text(handle: int, what: int) -> str:
    """Name (1) or type (2) of an object."""
    buffer = (ctypes.c_ubyte * 0x11000)()
    assert nt.NtQueryObject(handle, what, buffer, ctypes.sizeof(buffer), None) == SUCCESS
    text = nt.UNICODE_STRING.from_buffer(buffer)
    return ctypes.string_at(text.Buffer, text.Length).decode("utf-16-le", "surrogatepass") if text.Buffer else ""


def run(script: str, *arguments: str, timeout: float = 60, **options: Any) -> str:
    """Run a script in a second process that has this module's names; what it prints."""
    prologue = "import os, sys, ctypes\nfrom namedmap import nt, win32\nfrom section_support import *\n"
    return plain(prologue + textwrap.dedent(script), *arguments, timeout=timeout, **options)


def plain(script: str, *arguments: str, timeout: float = 60, status: int = 0, flags: tuple[str, ...] = ()) -> str:
    """Run a script in a second Python; what it prints."""
    here = os.path.dirname(__file__)
    done = subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(script), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([here, *sys.path])},
        check=False,
    )
    assert done.returncode == status
    return done.stdout
