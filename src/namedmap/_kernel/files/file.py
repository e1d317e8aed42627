"""File objects: reading, writing, positioning, resizing. How they are opened: see `opening`.

A file object is one open file description of the kernel. A description that is inherited or comes through a fork is the
same file object in both processes, with one file pointer, as in Windows. Share modes, and the mark of mapped files, are
locks on it (see `sharing`); what a handle may do is the handle's own access, checked by the caller.

Source: ReadFile, WriteFile, SetFilePointerEx, SetEndOfFile, FlushFileBuffers (Win32).
"""

import ctypes
import errno
import fcntl
import functools
import os
import stat
from collections.abc import Callable
from typing import Self

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap._kernel.files import bytelocks, sharemodes
from namedmap._kernel.files.bytelocks import ByteLocks
from namedmap._kernel.linux import libc
from namedmap._kernel.linux.descriptors import Descriptor
from namedmap._kernel.linux.libc import PAGE
from namedmap._kernel.objects.kernelobject import KernelObject
from namedmap.constants import FileAccess, MoveMethod, WinError

MADV_POPULATE_READ, MADV_POPULATE_WRITE = 22, 23


class File(KernelObject):
    """An open file, directory or device."""

    type_name = "File"
    generic = (
        int(FileAccess.FILE_GENERIC_READ),
        int(FileAccess.FILE_GENERIC_WRITE),
        int(FileAccess.FILE_GENERIC_EXECUTE),
        int(FileAccess.FILE_ALL_ACCESS),
    )

    def __init__(
        self, fd: int, path: str, *, delete_on_close: bool = False, uncached: bool = False, lent: int | None = None
    ) -> None:
        """Take over a descriptor. `uncached`: keep transfers out of the page cache where O_DIRECT is refused.

        `lent` is another one of the same file, which stays the program's, and carries the byte-range locks.
        """
        super().__init__()
        self.path = path
        self.delete_on_close = delete_on_close
        self._lent = lent
        self._locks: ByteLocks | None = None
        self.uncached = uncached
        #: A process that inherits the file object must not delete under those who opened it.
        self._opener = os.getpid()
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        mode = flags & os.O_ACCMODE
        self.readable = mode != os.O_WRONLY and not flags & os.O_PATH
        self.writable = mode != os.O_RDONLY
        info = os.fstat(fd)
        self.fd = Descriptor(fd, info)
        self.is_directory = stat.S_ISDIR(info.st_mode)
        self.is_regular = stat.S_ISREG(info.st_mode)

    @classmethod
    def adopt(cls, fd: int, path: str) -> Self:
        """The file object of a descriptor that another process has handed over."""
        return cls(fd, path)

    def __str__(self) -> str:
        return f"file {self.path!r}"

    def retain(self) -> Self:
        """Add a reference, for a call, unless other code has closed the descriptor: the call would hit another file."""
        self.fd.require(self)
        return super().retain()

    @property
    def native_name(self) -> str:
        return self.path

    @property
    def size(self) -> int:
        """In bytes."""
        if self.is_regular or self.is_directory:
            return 0 if self.is_directory else os.fstat(self.fd).st_size
        try:
            here = os.lseek(self.fd, 0, os.SEEK_CUR)
            end = os.lseek(self.fd, 0, os.SEEK_END)
            os.lseek(self.fd, here, os.SEEK_SET)
        except OSError as error:
            require_ours(error)
            return 0  # a device without positions
        return end

    def seek(self, distance: int, method: int) -> int:
        """Move the file pointer; the new position in bytes from the start."""
        self._require_bytes("seek in")
        target = self.seek_target(distance, method)
        try:
            return os.lseek(self.fd, target, os.SEEK_SET)
        except OSError as error:
            raise from_oserror(error, f"cannot move the pointer of {self} to {target}") from None

    def seek_target(self, distance: int, method: int) -> int:
        """Where a move would lead to."""
        if method == MoveMethod.FILE_BEGIN:
            target = distance
        elif method == MoveMethod.FILE_CURRENT:
            target = os.lseek(self.fd, 0, os.SEEK_CUR) + distance
        elif method == MoveMethod.FILE_END:
            target = self.size + distance
        else:
            raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"{method} is no FILE_BEGIN, FILE_CURRENT or FILE_END")
        if not 0 <= target < 2**63:
            raise KernelError(
                NTSTATUS.STATUS_INVALID_PARAMETER,
                f"the pointer of {self} cannot be {target}: it is before the start of the file, or above 2**63",
                WinError.ERROR_NEGATIVE_SEEK,
            )
        return target

    def read(self, address: int, length: int, offset: int | None = None) -> int:
        """Read into memory, at the file pointer or at an offset; the bytes read, which are fewer only at the end."""
        self._require_bytes("read")
        self._require_unlocked(-1 if offset is None else offset, length, writing=False)
        done = 0
        while done < length:
            if offset is None:
                count = libc.read(self.fd, address + done, length - done)
            else:
                count = libc.pread(self.fd, address + done, length - done, offset + done)
            if count < 0:
                if ctypes.get_errno() == errno.EINTR:
                    continue
                self._undo_read(done, offset)
                raise self._transfer_error("read", length)
            done += count
            if not count or not self.is_regular:
                break
        self._transferred(done, offset)
        return done

    def write(
        self, address: int, length: int, written: Callable[[int], None], offset: int | None, *, append: bool
    ) -> None:
        """Write from memory. `written` is told the bytes written so far after each step, which an error leaves."""
        self._require_bytes("write to")
        if append:
            offset = None
            if not fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_APPEND:
                # A handle of less access than its file was opened with: the kernel cannot do this in one step for us.
                os.lseek(self.fd, 0, os.SEEK_END)
        self._require_unlocked(self.size if append else -1 if offset is None else offset, length, writing=True)
        done = 0
        while done < length:
            if offset is None:
                count = libc.write(self.fd, address + done, length - done)
            else:
                count = libc.pwrite(self.fd, address + done, length - done, offset + done)
            if count < 0:
                if ctypes.get_errno() == errno.EINTR:
                    continue
                raise self._transfer_error("write to", length)
            done += count
            self._transferred(done, offset)
            written(done)

    def set_end(self) -> None:
        """Make the file end at the file pointer. New bytes are zero and their space is allocated."""
        self._require_bytes("resize")
        end = os.lseek(self.fd, 0, os.SEEK_CUR)
        with sharemodes.guarded(self.fd, str(self)):
            size = self.size
            if end < size and sharemodes.is_mapped(self.fd):
                raise KernelError(
                    NTSTATUS.STATUS_USER_MAPPED_FILE,
                    f"{self} cannot shrink from {size} to {end} bytes while it is mapped by "
                    f"{sharemodes.holder(self.fd, sharemodes.MAPPED)}: close its sections and views first",
                )
            self._resize(size, end)

    def flush(self) -> None:
        """Write everything to the disk."""
        try:
            os.fsync(self.fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # devices and the like: nothing is kept back
                raise from_oserror(error, f"cannot flush {self}") from None

    # -- byte-range locks ----------------------------------------------------------------------------------------------

    @property
    def locks(self) -> ByteLocks:
        """The byte-range locks of this file object."""
        if not self.is_regular:
            raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"{self} is no file with bytes that could be locked")
        if self._locks is None:
            self._locks = ByteLocks(self.fd, str(self), self._lent)
        return self._locks

    def _require_unlocked(self, start: int, length: int, *, writing: bool) -> None:
        if self.is_regular:
            bytelocks.require_unlocked(self.fd, str(self), self._locks, start, length, writing=writing)

    def unlink(self) -> None:
        """Remove the file's name, wherever it has moved since, unless it has none or is somebody else's by now."""
        with ignored(OSError):
            path = os.readlink(f"/proc/self/fd/{self.fd}")
            mine, there = os.fstat(self.fd), os.lstat(path)
            if (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino):
                if self.is_directory:
                    os.rmdir(path)
                else:
                    os.unlink(path)

    def retire(self) -> None:
        self._last_handle()

    def _last_handle(self) -> None:
        if self.delete_on_close and self._opener == os.getpid() and self.fd.intact():
            self.unlink()

    def _free(self) -> None:
        if self._locks is not None:
            self._locks.close()
        self.fd.close()

    def _resize(self, size: int, end: int) -> None:
        try:
            if end > size:
                # Space that is only promised would be missed later, by a store into a view: SIGBUS.
                os.posix_fallocate(self.fd, size, end - size)
            else:
                os.ftruncate(self.fd, end)
        except OSError as error:
            if end > size:
                with ignored(OSError):
                    os.ftruncate(self.fd, size)
            raise from_oserror(error, f"cannot make {self} end at {end} instead of {size} bytes") from None

    def _require_bytes(self, verb: str) -> None:
        if self.is_directory:
            raise KernelError(
                NTSTATUS.STATUS_NOT_IMPLEMENTED, f"cannot {verb} {self}: a directory has no bytes to read or write"
            )

    def _undo_read(self, done: int, offset: int | None) -> None:
        # Windows moves nothing when the memory turns out to be bad half way.
        if done and offset is None:
            os.lseek(self.fd, -done, os.SEEK_CUR)

    def _transferred(self, done: int, offset: int | None) -> None:
        with ignored(OSError):  # a device without positions
            if offset is not None:
                os.lseek(self.fd, offset + done, os.SEEK_SET)
            if self.uncached:
                os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def _transfer_error(self, verb: str, length: int) -> KernelError:
        error = libc.error(f"cannot {verb} {self}")
        if error.errno == errno.EFAULT and verb != "read":
            return KernelError(
                NTSTATUS.STATUS_INVALID_USER_BUFFER, f"cannot {verb} {self}: not all of the {length} bytes can be read"
            )
        if error.errno == errno.EINVAL and fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_DIRECT:
            return KernelError(
                NTSTATUS.STATUS_INVALID_PARAMETER,
                f"cannot {verb} {self}: with FILE_FLAG_NO_BUFFERING position, length ({length}) and memory address "
                "must be multiples of the disk's block size; VirtualAlloc gives such memory",
            )
        return from_oserror(error, f"cannot {verb} {self} ({length} bytes)")


def require_writable(address: int, length: int) -> None:
    """Refuse memory that cannot be stored into before anything is read, even at the end of the file, as Windows does.

    Only the first and the last page: touching all of a large buffer for a small file would make all of it resident.
    """
    if not length or (address and not _can_probe()):
        return
    for page in {address & -PAGE, (address + length - 1) & -PAGE}:
        if not address or (libc.madvise(page, PAGE, MADV_POPULATE_WRITE) < 0 and _is_bad_memory()):
            raise KernelError(
                NTSTATUS.STATUS_ACCESS_VIOLATION, f"the {length} bytes at {address:#x} cannot be written to"
            )


def require_readable(address: int, length: int) -> None:
    """Refuse memory that cannot be read before anything is written."""
    start = address & -PAGE
    if not length or (address and not _can_probe()):
        return
    if not address or (libc.madvise(start, address + length - start, MADV_POPULATE_READ) < 0 and _is_bad_memory()):
        raise KernelError(NTSTATUS.STATUS_INVALID_USER_BUFFER, f"the {length} bytes at {address:#x} cannot be read")


def _is_bad_memory() -> bool:
    return ctypes.get_errno() in (errno.EINVAL, errno.ENOMEM, errno.EFAULT)


@functools.cache
def _can_probe() -> bool:
    # Linux 5.14 and later; others answer EINVAL to good memory too.
    page = libc.mmap(None, PAGE, libc.PROT_READ | libc.PROT_WRITE, libc.MAP_PRIVATE | libc.MAP_ANONYMOUS, -1, 0)
    if page == libc.MAP_FAILED:
        return False
    known = bool(libc.madvise(page, PAGE, MADV_POPULATE_WRITE) == 0)
    libc.munmap(page, PAGE)
    return known
