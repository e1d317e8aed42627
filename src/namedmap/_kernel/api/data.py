"""What the Python classes need of sections beyond Win32: exact sizes, descriptors, memory that may vanish."""

import collections
import ctypes
import errno
import fcntl
import grp
import os
import stat
from collections.abc import Callable
from typing import Any

from namedmap._kernel import arena, files, libc, locks, processes, protection
from namedmap._kernel.api.sections import section_access
from namedmap._kernel.files import File
from namedmap._kernel.handles import table
from namedmap._kernel.section import MAP_WRITE, PAGE, Section
from namedmap._kernel.space import space
from namedmap._kernel.status import NTSTATUS, KernelError, from_oserror

#: What the advice to the kernel is called.
ADVICE = {"normal": 0, "random": 1, "sequential": 2, "willneed": 3, "dontneed": 4}

_GENERIC_WRITE = 0x40000000
_can_copy = True


# -- sections ----------------------------------------------------------------------------------------------------------


def section_size(handle: int) -> int:
    """The size in bytes that was asked for; views of it are a multiple of the page size."""
    with table.reference(handle, Section) as reference:
        section = reference.object
        section.refresh()
        return section.control.requested or section.size


def traits(handle: int) -> tuple[int | None, bool]:
    """What stays as it is of a section: its size in bytes, and whether its memory can be gone when it is touched.

    The size, as it was asked for, is None over a file, which others may extend. They may also cut it off; memory can be
    gone if it is reserved, or if its file is another user's.
    """
    section = table.expect(handle, Section)
    if section.backing_fd >= 0:
        return None, True
    foreign = section.path is not None and (section.shared or section.owner != os.geteuid())
    return section.control.requested or section.size, section.reserve or foreign


def extend_section(handle: int, size: int) -> int:
    """Make a section over a file longer, and the file; returns the size."""
    with table.reference(handle, Section, MAP_WRITE if size > section_size(handle) else 0) as reference:
        reference.object.extend(size)
        return reference.object.size


def open_data(handle: int) -> int:
    """A new descriptor of the section's bytes, which begin at 0: to be mapped, or read; the caller closes it.

    It is open for writing if the handle may write. It does not keep the object alive, nor its name.
    """
    with table.reference(handle, Section) as reference:
        section = reference.object
        mode = os.O_RDWR if reference.access & MAP_WRITE and section.writable else os.O_RDONLY
        return os.open(f"/proc/self/fd/{section.data_fd}", mode | os.O_CLOEXEC)


def file_size(handle: int) -> int | None:
    """The length of a file in bytes; None of a device, which has none."""
    with table.reference(handle, File) as reference:
        info = os.fstat(reference.object.fd)
        return info.st_size if stat.S_ISREG(info.st_mode) else None


def grow_sparsely(handle: int, size: int) -> None:
    """Make a file longer without giving it space: what is not written takes none, and reads as zeros."""
    with table.reference(handle, File) as reference:
        file = reference.object
        try:
            os.ftruncate(file.fd, size)
        except OSError as error:
            raise from_oserror(error, f"cannot make {file} {size:,} bytes long") from None


def group_entry(group: str | int | None) -> str:
    """How a group of this machine, by name or number, or that of the process, is called in access lists."""
    try:
        gid = os.getegid() if group is None else grp.getgrnam(group).gr_gid if isinstance(group, str) else int(group)
    except KeyError:
        raise KernelError(
            NTSTATUS.STATUS_INVALID_PARAMETER, f"there is no group {group!r} on this machine: see `getent group`"
        ) from None
    return f"S-1-22-2-{gid}"


# -- files -------------------------------------------------------------------------------------------------------------


def anonymous_file(size: int) -> int:
    """A descriptor of memory of this size, without a name; the caller closes it. Source: memfd_create(2)."""
    fd = os.memfd_create("namedmap", os.MFD_CLOEXEC)
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        os.close(fd)
        raise from_oserror(error, f"there is no room for {size:,} bytes") from None
    return fd


def allocate(fd: int, offset: int, size: int) -> bool:
    """Give a range of a file its space, and leave its size as it is; False on a filesystem that cannot.

    Raises OSError if there is no room. Unlike posix_fallocate(3) it never writes zeros instead. Source: fallocate(2).
    """
    while libc.fallocate(fd, libc.FALLOC_FL_KEEP_SIZE, offset, size):
        code = ctypes.get_errno()
        if code in (errno.EOPNOTSUPP, errno.ENOSYS):
            return False
        if code != errno.EINTR:
            raise libc.error("fallocate")
    return True


def file_handle(fd: int, access: int) -> int:
    """A handle to the file of a descriptor, with GENERIC_* access; the caller closes it."""
    try:
        mode = os.O_RDWR if access & _GENERIC_WRITE else os.O_RDONLY
        own = os.open(f"/proc/self/fd/{fd}", mode | os.O_CLOEXEC | os.O_NONBLOCK)
        return table.insert(File(own, os.readlink(f"/proc/self/fd/{fd}")), File.map_access(access))
    except OSError as error:
        raise from_oserror(error, f"descriptor {fd} cannot be mapped") from None


# -- memory ------------------------------------------------------------------------------------------------------------


def file_reader(address: int) -> Callable[[int, int], bytes] | None:
    """A function that reads bytes (from an offset, so many) of the view at an address from its file; None without one.

    It is quicker than `read_memory`. The view has to stay mapped while it is called.
    """
    with space.lock:
        view = space.view(address)
        section, start = view.section, view.offset + address - view.base
    fd = section.backing_fd
    if fd < 0 or protection.TABLE[view.protect].copies or not stat.S_ISREG(os.fstat(fd).st_mode):
        return None

    def read(offset: int, size: int) -> bytes:
        try:
            data = os.pread(fd, size, start + offset)
            while len(data) < size:
                more = os.pread(fd, size - len(data), start + offset + len(data))
                if not more:
                    raise _gone(address + offset + len(data))
                data += more
        except OSError as error:
            raise KernelError(NTSTATUS.STATUS_IN_PAGE_ERROR, f"{section} cannot be read: {error.strerror}") from None
        return data

    return read


def fill(address: int, content: memoryview) -> None:
    """Store bytes in the view at an address through its section's file, for everybody who sees the section.

    Where pages are new this takes half of the time of a copy: no page is zeroed first, and none has to be faulted in.
    """
    with space.lock:
        view = space.view(address)
        section, start = view.section.retain(), view.offset + address - view.base
    try:
        done = 0
        while done < len(content):
            done += os.pwrite(section.data_fd, content[done:], start + done)
    except OSError as error:
        raise from_oserror(error, f"cannot store {len(content):,} bytes in {section}") from None
    finally:
        section.release()


def read_memory(address: int, size: int) -> bytes:
    """Bytes of this process, or an error where a touch would be a signal. Source: process_vm_readv(2)."""
    target = ctypes.create_string_buffer(size)
    _transfer(libc.process_vm_readv, ctypes.addressof(target), address, size)
    return target.raw


def write_memory(address: int, data: bytes) -> None:
    """Store bytes in memory of this process, or raise an error where a touch would be a signal."""
    _transfer(libc.process_vm_writev, data, address, len(data))


def _transfer(call: Callable[..., int], own: int | bytes, address: int, size: int) -> None:
    global _can_copy
    mine, there = libc.iovec(own, size), libc.iovec(address, size)
    if _can_copy and call(os.getpid(), mine, 1, there, 1, 0) == size:
        return
    start, done = ctypes.c_void_p.from_buffer(mine).value or 0, 0
    while done < size and _can_copy:
        mine, there = libc.iovec(start + done, size - done), libc.iovec(address + done, size - done)
        count = call(os.getpid(), mine, 1, there, 1, 0)
        if count > 0:
            done += count
        elif count == 0 or ctypes.get_errno() == errno.EFAULT:
            raise _gone(address + done)
        elif ctypes.get_errno() in (errno.ENOSYS, errno.EPERM):
            _can_copy = False  # a container's filter of system calls
        else:
            raise from_oserror(libc.error("process_vm_readv"), "cannot copy memory of a view")
    if done < size:
        writing = call is libc.process_vm_writev
        _touch(address + done, size - done, files.MADV_POPULATE_WRITE if writing else files.MADV_POPULATE_READ)
        target, source = (address, start) if writing else (start, address)
        ctypes.memmove(target + done, source + done, size - done)


def _touch(address: int, size: int, how: int) -> None:
    """Have the kernel touch the pages; a moment later they may be gone all the same."""
    start = address // PAGE * PAGE
    if libc.madvise(start, address + size - start, how) and ctypes.get_errno() in (errno.EFAULT, errno.ENOMEM):
        raise _gone(address)


def _gone(address: int) -> KernelError:
    return KernelError(
        NTSTATUS.STATUS_IN_PAGE_ERROR,
        f"the memory at {address:#x} is not there: its file was cut off by another program, its disk is full, its "
        "pages are reserved and not committed, or their protection forbids it",
    )


def copy_view(address: int, size: int) -> tuple[int, int]:
    """A copy-on-write view of what a view shows at an address: where it is mapped, and where in it the bytes begin."""
    with space.lock:
        view = space.view(address)
        offset = view.offset + address - view.base
        start = offset % arena.GRANULARITY
        section = view.section.retain()
        try:
            return space.map_view(section, offset - start, size + start, protection.WRITECOPY).base, start
        except BaseException:
            section.release()
            raise


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


_dropped: collections.deque[int] = collections.deque()


def find_bytes(buffer: bytearray, sought: bytes, start: int, end: int) -> int:
    """As buffer.find, but other threads run meanwhile, and it is faster. Source: memmem(3)."""
    if end - start < len(sought):
        return -1
    first: Any = ctypes.c_char.from_buffer(buffer)
    address = ctypes.addressof(first)
    found = libc.memmem(address + start, end - start, sought, len(sought))
    return -1 if found is None else found - address


def drop_view(address: int) -> None:
    """Unmap a view that nobody has any more: now, or with the next one if this is the middle of something.

    The last reference may go anywhere, by the garbage collector or in a signal handler: while this thread looks for a
    region, or while another one waits for a lock that this one holds.
    """
    _dropped.append(address)
    unmap_dropped()


def unmap_dropped() -> None:
    """Unmap what could not be unmapped when it was dropped."""
    lock: Any = space.lock
    while _dropped and not lock._is_owned() and lock.acquire(blocking=False):
        try:
            space.unmap_view(_dropped.popleft())
        except (IndexError, KernelError):
            continue
        finally:
            lock.release()


def advise(address: int, size: int, advice: str) -> None:
    """Tell the kernel how memory will be used. Source: madvise(2)."""
    start = address // PAGE * PAGE
    if libc.madvise(start, address + size - start, ADVICE[advice]):
        raise from_oserror(libc.error("madvise"), f"cannot advise {advice!r} for {size:,} bytes of a view")


def resident(address: int, size: int) -> bytes:
    """A byte for each page: 1 if it is in memory, 0 if not. Source: mincore(2)."""
    start = address // PAGE * PAGE
    pages = (ctypes.c_ubyte * -(-(address + size - start) // PAGE))()
    if libc.mincore(start, address + size - start, pages):
        raise from_oserror(libc.error("mincore"), "cannot tell which pages of a view are in memory")
    return bytes(page & 1 for page in pages)


# -- other processes ---------------------------------------------------------------------------------------------------


def hand_over(handle: int) -> int:
    """A descriptor that keeps a section alive as long as anybody has it, for another process; the caller closes it."""
    with table.reference(handle, Section) as reference:
        return processes.reopen(reference.object, locks_at=locks.PASSAGE)


def take_over(fd: int, access: int) -> int:
    """A handle, with FILE_MAP_* access, to the section of a descriptor that was handed over, which is closed."""
    writable = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    record = {"writable": writable, "name": None, "path": None}
    granted = Section.map_access(section_access(access))
    return table.insert(processes.receive_named(Section, record, fd, -1), granted)


__all__ = [
    "ADVICE",
    "KernelError",
    "advise",
    "allocate",
    "anonymous_file",
    "copy_view",
    "drop_view",
    "extend_section",
    "file_handle",
    "file_reader",
    "file_size",
    "fill",
    "find_bytes",
    "from_oserror",
    "group_entry",
    "grow_sparsely",
    "hand_over",
    "open_data",
    "read_memory",
    "resident",
    "section_size",
    "take_over",
    "traits",
    "unmap_dropped",
    "write_memory",
    "write_through",
]
