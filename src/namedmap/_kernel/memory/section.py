"""Sections: memory that can be mapped, backed by the paging file (the object's own file) or by a file on disk.

Source: NtCreateSection, CreateFileMapping (Win32), and the recorded behaviour.
"""

import contextlib
import functools
import os
import stat
from collections.abc import Callable, Iterator
from os import lseek
from typing import ClassVar, Self

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap._kernel.files import sharemodes
from namedmap._kernel.files.file import File
from namedmap._kernel.linux import limits, locks, protection, reopening
from namedmap._kernel.linux.descriptors import Descriptor
from namedmap._kernel.linux.libc import PAGE
from namedmap._kernel.linux.locks import ANCHOR
from namedmap._kernel.memory import backing
from namedmap._kernel.names import controlpage
from namedmap._kernel.names.controlpage import FLAG_FILE_BACKED, FLAG_RESERVE, Control, Kind
from namedmap._kernel.names.names import ObjectName
from namedmap._kernel.names.objectfile import ObjectFile
from namedmap._kernel.names.security import Security
from namedmap._kernel.objects import kernelobject, named
from namedmap._kernel.objects.named import NamedObject

SEC_FILE, SEC_IMAGE, SEC_RESERVE, SEC_COMMIT = 0x00800000, 0x01000000, 0x04000000, 0x08000000
SEC_NOCACHE, SEC_WRITECOMBINE, SEC_LARGE_PAGES, SEC_BASED = 0x10000000, 0x40000000, 0x80000000, 0x00200000
_SEC_VALID = 0xDFE00000 & ~SEC_FILE  # what NtCreateSection accepts at all

_NEVER = protection.NOACCESS | protection.GUARD | protection.NOCACHE | protection.WRITECOMBINE

QUERY, MAP_WRITE, MAP_READ, MAP_EXECUTE, EXTEND = 1, 2, 4, 8, 16
ALL_ACCESS = 0xF001F
#: The rights that another user's section may not grant.
CHANGES = MAP_WRITE | EXTEND
_FILE_MAP_COPY, _FILE_MAP_EXECUTE = 0x1, 0x20

#: The end of user space: no section is larger.
LARGEST = 1 << 47
LARGEST_RESERVE = 8 << 40


@functools.cache
def access_of(access: int) -> int:
    """SECTION_* for FILE_MAP_*, of which most are the same bits."""
    if access == _FILE_MAP_COPY:
        return MAP_READ
    if access & _FILE_MAP_EXECUTE:
        return access & ~_FILE_MAP_EXECUTE | MAP_EXECUTE
    return access


def round_to_page(size: int) -> int:
    return -(-size // PAGE) * PAGE


class Section(NamedObject):
    """A section object."""

    kind: ClassVar[Kind] = Kind.SECTION
    type_name = "Section"
    generic = (0x20005, 0x20002, 0x20008, ALL_ACCESS)

    # -- state -------------------------------------------------------------------------------------------------------

    #: Called in a forked child when the section has a description of its own. Set by `processes`.
    renew_views: ClassVar[Callable[["Section"], None]]

    def __init__(self, file: ObjectFile, page: Control) -> None:
        NamedObject.__init__(self, file, page)
        info, flags = file.info, page.flags
        #: The others who may change its file: the owner, whoever that is, and others if it is shared for writing.
        self.owner, self.shared = info.st_uid, bool(info.st_mode & 0o022)
        self.size, self.protection, self.attributes = page.size, page.protection, page.attributes
        #: The descriptor that views are mapped from.
        self.data_fd: int = self.fd
        self.reserve = bool(flags & FLAG_RESERVE)
        if flags & FLAG_FILE_BACKED:
            given = page.backing_fd
            if given < 0:
                given = backing.open_backing(page, self, file.info)
            self.backing_fd = self.data_fd = Descriptor(given).place()

    @property
    def file_backed(self) -> bool:
        return self.backing_fd >= 0

    @property
    def requested(self) -> int:
        """The size that was asked for; `size` is a multiple of the page size."""
        return self.control.requested or self.size

    # -- create ------------------------------------------------------------------------------------------------------

    @classmethod
    def allocate(cls, fd: int, page: Control, total: int) -> None:
        start = 0
        try:
            if page.flags & FLAG_RESERVE:
                os.ftruncate(fd, total)
                start = page.data_length + page.bitmap_length
            limits.require(total - start, page)
            os.posix_fallocate(fd, start, total - start)
        except OSError as error:
            raise limits.failed(error, fd, total, page) from None

    # -- operations --------------------------------------------------------------------------------------------------

    def retain(self) -> Self:
        """Add a reference, for a view or a call, unless other code has closed a descriptor of the section."""
        try:
            there = lseek(self.fd, 0, 1) == ANCHOR and self.backing_fd < 0
        except OSError as error:
            require_ours(error)
            there = False
        if not there:  # or there is more to look at
            self.require_descriptor()
        with kernelobject.lock:
            self._references += 1
        return self

    def descriptor_lost(self) -> None:
        super().descriptor_lost()
        if self.backing_fd < 0:
            self.data_fd = self.fd

    def require_descriptor(self) -> None:
        super().require_descriptor()
        if isinstance(self.backing_fd, Descriptor):
            self.backing_fd.require(self)

    @contextlib.contextmanager
    def without_locks(self) -> Iterator[int]:
        """A descriptor to map copy-on-write views from.

        A view keeps the description that it was made from, with its locks, in forked children too. Shared views are
        mapped anew there (`settled`); but what has been copied on write would be lost by that.
        """
        if self.file_backed:
            yield self.data_fd
            return
        fresh = self.reopen(share=True)
        try:
            yield fresh
        finally:
            os.close(fresh)

    def settled(self) -> None:
        Section.renew_views(self)

    def check_view(self, offset: int, length: int, protect: int) -> int:
        """The length of a view in bytes, after the checks of NtMapViewOfSection; 0 asks for the rest."""
        if self.backing_fd >= 0:
            self.refresh()
        if (self.protection, protect) not in protection.ALLOWED:
            raise KernelError(
                NTSTATUS.STATUS_SECTION_PROTECTION,
                f"{self} has protection {self.protection:#x}, which has no room for a view of {protect:#x}",
            )
        if offset >= self.size or length > self.size - offset:
            raise KernelError(
                NTSTATUS.STATUS_INVALID_VIEW_SIZE,
                f"{self} has {self.size:,} bytes: a view of {length:,} at offset {offset:,} does not fit",
            )
        return length or self.size - offset

    def commit(self, offset: int, length: int) -> None:
        """Commit pages of a SEC_RESERVE section for every view in every process."""
        first, last = offset // PAGE, -(-(offset + length) // PAGE)
        if not self.writable:
            raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, f"{self} may only be read here")
        limits.require(length, self)
        with self.guard():
            try:
                os.posix_fallocate(self.fd, first * PAGE, (last - first) * PAGE)
            except OSError as error:
                raise limits.failed(error, self.fd, length, self) from None
            start = first // 8
            bits = bytearray(os.pread(self.fd, -(-last // 8) - start, self.control.data_length + start))
            for page in range(first - start * 8, last - start * 8):
                bits[page >> 3] |= 1 << (page & 7)
            os.pwrite(self.fd, bits, self.control.data_length + start)

    def committed_run(self, offset: int, length: int) -> tuple[bool, int]:
        """Whether the page at offset is committed, and for how many bytes (at most length) that stays so."""
        if not self.reserve:
            return True, length
        first, last = offset // PAGE, -(-(offset + length) // PAGE)
        at, size = first // 8, 1 << 6
        state: bool | None = None
        while at * 8 < last:
            # Piece by piece, of which the first is small: the bitmap of a large section has up to 256 MiB.
            raw = os.pread(self.fd, min(-(-last // 8) - at, size), self.control.data_length + at)
            bits, skipped = int.from_bytes(raw, "little"), max(first - at * 8, 0)
            if not raw:  # somebody has cut it off
                break
            if state is None:
                state = bool(bits >> skipped & 1)
            if state:
                bits ^= (1 << len(raw) * 8) - 1
            bits = bits >> skipped << skipped
            if bits:
                change = (bits & -bits).bit_length() - 1
                return state, (min(at * 8 + change, last) - first) * PAGE
            at, size = at + len(raw), min(size * 4, 1 << 18)
        return bool(state), (last - first) * PAGE

    def extend(self, size: int) -> None:
        """Grow a section over a file (NtExtendSection), and the file with it; views that exist keep their length."""
        if not self.file_backed:
            raise KernelError(
                NTSTATUS.STATUS_SECTION_NOT_EXTENDED,
                f"{self} is backed by the paging file and cannot grow: reserve the largest size with "
                "SEC_RESERVE and commit as needed, or create a new section",
            )
        with self.guard():
            self.control = controlpage.parse(self.fd, os.fstat(self.fd).st_size, self)
            if size > self.control.size:
                backing.grow(self.backing_fd, size, self)
                self.control = self.control.but(size=size, requested=size)
                offset, content, _ = self.control.build()
                os.pwrite(self.fd, content, offset)
            self.size = self.control.size

    def refresh(self) -> None:
        """Learn the size that another process may have extended the section to."""
        if self.backing_fd < 0:
            return
        length = os.fstat(self.fd).st_size
        try:
            page = controlpage.parse(self.fd, length, self)
        except KernelError:
            # Read in the middle of an extension. Nobody writes while others share the guard.
            with self.mutex, locks.guarded(self.fd, self, exclusive=False):
                page = controlpage.parse(self.fd, length, self)
        self.control, self.size = page, page.size

    # -- close -------------------------------------------------------------------------------------------------------

    def close_backing(self) -> None:
        if isinstance(self.backing_fd, Descriptor):
            self.backing_fd.close()
            self.backing_fd = -1


def create(
    name: ObjectName | None,
    size: int,
    protect: int,
    attributes: int,
    file: File | None,
    security: Security,
    *,
    writing: bool | None = None,
) -> tuple[Section, bool]:
    """NtCreateSection without the handle: the section, new or of this name, and whether it existed.

    `writing` says whether one that exists has to allow changes; by default, if the protection does.

    The arguments have passed `check_arguments`. As on Windows the file is judged, and grown, before the name.
    """
    page = _file_page(file, size, protect, attributes) if file is not None else _memory_page(size, protect, attributes)
    writing = protection.TABLE[protect].writes if writing is None else writing
    try:
        section, existed = named.create(Section, name, page, security, writing)
    except BaseException:
        _close(page)
        raise
    if existed:
        _close(page)
        section.refresh()
    return section, existed


def open_existing(name: ObjectName, *, writing: bool) -> Section:
    """The section of this name."""
    section = named.open_existing(Section, name, writing)
    if section.backing_fd >= 0:
        section.refresh()
    return section


def _close(page: Control) -> None:
    if page.backing_fd >= 0:
        os.close(page.backing_fd)


@functools.lru_cache(maxsize=256)
def check_arguments(size: int, protect: int, attributes: int, has_file: bool) -> None:
    """The checks that NtCreateSection makes before it looks at the file."""
    _check_attributes(attributes, has_file)
    if protect & _NEVER:
        raise _no_protection(protect)
    if size == 0 and not has_file:
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER_4, "a section over the paging file needs a size above 0")
    if protect not in protection.TABLE:
        raise _no_protection(protect)


def _no_protection(protect: int) -> KernelError:
    return KernelError(
        NTSTATUS.STATUS_INVALID_PAGE_PROTECTION, f"{protect:#x} is no protection that a section can have"
    )


def _check_attributes(attributes: int, has_file: bool) -> None:
    kind = attributes & (SEC_COMMIT | SEC_RESERVE | SEC_IMAGE)
    combined = attributes & SEC_IMAGE and attributes & SEC_WRITECOMBINE
    if attributes & ~_SEC_VALID or combined or kind not in (SEC_COMMIT, SEC_RESERVE, SEC_IMAGE):
        raise KernelError(
            NTSTATUS.STATUS_INVALID_PARAMETER_6,
            f"section attributes {attributes:#x} need exactly one of SEC_COMMIT, SEC_RESERVE and SEC_IMAGE",
        )
    if attributes & SEC_LARGE_PAGES:
        if has_file or not attributes & SEC_COMMIT:
            raise KernelError(
                NTSTATUS.STATUS_INVALID_PARAMETER_6, "SEC_LARGE_PAGES needs SEC_COMMIT and the paging file"
            )
        raise KernelError(
            NTSTATUS.STATUS_PRIVILEGE_NOT_HELD, "SEC_LARGE_PAGES needs a privilege that nobody holds here: leave it out"
        )
    if attributes & SEC_IMAGE and not has_file:
        raise KernelError(NTSTATUS.STATUS_INVALID_FILE_FOR_SECTION, "SEC_IMAGE needs an executable file")


def _memory_page(size: int, protect: int, attributes: int) -> Control:
    length = -(-size // PAGE) * PAGE
    if length >= LARGEST:
        raise KernelError(NTSTATUS.STATUS_SECTION_TOO_BIG, f"no address space holds {size:,} bytes")
    reserve = bool(attributes & SEC_RESERVE)
    if reserve and length >= LARGEST_RESERVE:
        raise KernelError(
            NTSTATUS.STATUS_INSUFFICIENT_RESOURCES, f"{size:,} bytes: no more than 8 TiB can be reserved in one section"
        )
    bitmap = round_to_page(-(-length // PAGE // 8)) if reserve else 0
    flags = FLAG_RESERVE if reserve else 0
    return Control(Kind.SECTION, "", flags, protect, attributes, length, size, length, bitmap)


def _file_page(file: File, size: int, protect: int, attributes: int) -> Control:
    what = f"a section over {file.path!r}"
    info = os.fstat(file.fd)
    if not (stat.S_ISREG(info.st_mode) or stat.S_ISBLK(info.st_mode) or stat.S_ISCHR(info.st_mode)):
        raise KernelError(NTSTATUS.STATUS_INVALID_FILE_FOR_SECTION, f"{what}: only files can be mapped")
    if attributes & SEC_IMAGE:
        _refuse_image(file, what)
    writes = protection.TABLE[protect].writes
    try:
        backing = reopening.reopen(file.fd, os.O_RDWR if writes else os.O_RDONLY)
    except OSError as error:
        raise from_oserror(error, f"{what}: cannot open it again for mapping") from None
    try:
        sharemodes.mark_mapped(backing, writes)  # before looking at the length, which nobody may lessen any more
        length = _file_length(backing, os.fstat(backing), size, writes, what)
        path = os.readlink(f"/proc/self/fd/{backing}")
    except BaseException:
        os.close(backing)
        raise
    kept = attributes & ~(SEC_COMMIT | SEC_RESERVE) | SEC_FILE
    return Control(
        Kind.SECTION, "", FLAG_FILE_BACKED, protect, kept, length, length,
        backing_path=path, backing_device=info.st_dev, backing_inode=info.st_ino, backing_fd=backing,
    )  # fmt: skip


def _file_length(fd: int, info: os.stat_result, size: int, writes: bool, what: str) -> int:
    regular = stat.S_ISREG(info.st_mode)
    present = info.st_size if regular else _device_length(fd)
    if size == 0:
        if present == 0:
            raise KernelError(
                NTSTATUS.STATUS_MAPPED_FILE_SIZE_ZERO, f"{what}: the file is empty and no size was given to grow it to"
            )
        return present
    if size > present and regular:
        if not writes:
            raise KernelError(
                NTSTATUS.STATUS_SECTION_TOO_BIG,
                f"{what} of {size:,} bytes: the file has {present:,}, and only PAGE_READWRITE can grow it",
            )
        backing.grow(fd, size, what)
    return size


def _device_length(fd: int) -> int:
    with ignored(OSError):
        return os.lseek(fd, 0, os.SEEK_END)
    return 0


def _refuse_image(file: File, what: str) -> None:
    head = os.pread(file.fd, 2, 0)
    if not head:
        raise KernelError(NTSTATUS.STATUS_INVALID_FILE_FOR_SECTION, f"{what}: the file is empty")
    if head != b"MZ":
        raise KernelError(NTSTATUS.STATUS_INVALID_IMAGE_NOT_MZ, f"{what}: SEC_IMAGE needs a Windows executable")
    raise KernelError(
        NTSTATUS.STATUS_NOT_SUPPORTED, f"{what}: Windows executables are not laid out here; map it as data"
    )
