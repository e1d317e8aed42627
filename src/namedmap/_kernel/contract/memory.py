"""The pages of views for the Python classes. See `namedmap._contract.Memory`."""

import ctypes
import errno
import os
import stat
from collections.abc import Callable

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, require_ours
from namedmap._kernel.linux import libc, protection
from namedmap._kernel.linux.descriptors import Descriptor
from namedmap._kernel.linux.libc import PAGE
from namedmap._kernel.memory import copying, private, views
from namedmap._kernel.memory.dropping import copy_memory as copy
from namedmap._kernel.memory.space import COMMIT, View, space
from namedmap._writing import write_all
from namedmap.access import Access

_ADVICE = {"normal": 0, "random": 1, "sequential": 2, "willneed": 3, "dontneed": 4}
#: The names of the advice to the kernel.
ADVICE = tuple(_ADVICE)


def reader(address: int) -> Callable[[int, int], bytes] | None:
    """A function that reads bytes (from an offset, so many) of the view at an address from its file; None without one.

    It is quicker than `read`. The view has to stay mapped while it is called.
    """
    with space.lock:
        view = space.view(address)
        section, start = view.section, view.offset + address - view.base
    fd = section.backing_fd
    if not isinstance(fd, Descriptor) or protection.TABLE[view.protect].copies:
        return None
    if not stat.S_ISREG(os.fstat(fd.require(section)).st_mode):
        return None

    def read_file(offset: int, size: int) -> bytes:
        if not fd.intact():  # other code has closed it; the memory is still there
            return copying.read(address + offset, size)
        try:
            data = os.pread(fd, size, start + offset)
            while len(data) < size:
                more = os.pread(fd, size - len(data), start + offset + len(data))
                if not more:
                    raise copying.gone(address + offset + len(data))
                data += more
        except OSError as error:
            require_ours(error)
            raise KernelError(NTSTATUS.STATUS_IN_PAGE_ERROR, f"{section} cannot be read: {error.strerror}") from None
        return data

    return read_file


def fill(address: int, content: memoryview) -> None:
    """Store bytes in the view at an address through its section's file, for everybody who sees the section.

    Where pages are new this takes half of the time of a copy: no page is zeroed first, and none has to be faulted in.
    """
    with space.lock:
        view = space.view(address)
        section, start = view.section.retain(), view.offset + address - view.base
    try:
        write_all(section.data_fd, content, start)
    except OSError as error:
        raise from_oserror(error, f"cannot store {len(content):,} bytes in {section}") from None
    finally:
        section.release()


def write_through(address: int) -> None:
    """Wait until the disk has what was flushed to the file of a view, and the file's length."""
    with space.lock:
        section = space.view(address).section.retain()
    try:
        if section.file_backed:
            os.fsync(section.backing_fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a device that keeps nothing back
            raise from_oserror(error, f"cannot write {section} to the disk") from None
    finally:
        section.release()


def is_view(address: int) -> bool:
    """Whether a view is mapped at an address."""
    return isinstance(space.find(address), View)


def flush(address: int, size: int) -> None:
    views.flush(address, size)


def protect(address: int, size: int, access: Access) -> None:
    space.protect(address, size, access.protection)


def commit(address: int, size: int, access: Access) -> None:
    private.allocate(address, size, COMMIT, access.protection)


lock, unlock = views.lock, views.unlock


def read(address: int, size: int) -> bytes:
    try:
        return copying.read(address, size)
    except KernelError:
        space.alarm(address, size, NTSTATUS.STATUS_IN_PAGE_ERROR)
        raise


def write(address: int, data: bytes) -> None:
    try:
        copying.write(address, data)
    except KernelError:
        space.alarm(address, len(data), NTSTATUS.STATUS_IN_PAGE_ERROR)
        raise


def advise(address: int, size: int, advice: str) -> None:
    """Tell the kernel how memory will be used. Source: madvise(2)."""
    start = address // PAGE * PAGE
    if libc.madvise(start, address + size - start, _ADVICE[advice]):
        raise from_oserror(libc.error("madvise"), f"cannot advise {advice!r} for {size:,} bytes of a view")


def resident(address: int, size: int) -> bytes:
    """A byte for each page: 1 if it is in memory, 0 if not. Source: mincore(2)."""
    start = address // PAGE * PAGE
    pages = (ctypes.c_ubyte * -(-(address + size - start) // PAGE))()
    if libc.mincore(start, address + size - start, pages):
        raise from_oserror(libc.error("mincore"), "cannot tell which pages of a view are in memory")
    return bytes(page & 1 for page in pages)


__all__ = [
    "ADVICE",
    "advise",
    "commit",
    "copy",
    "fill",
    "flush",
    "is_view",
    "lock",
    "protect",
    "read",
    "reader",
    "resident",
    "unlock",
    "write",
    "write_through",
]
