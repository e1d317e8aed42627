"""Files for the Python classes. See `namedmap._contract.Files`."""

import os
import stat

from namedmap._contract import Permissions
from namedmap._convention.status import from_oserror
from namedmap._kernel.contract import sections
from namedmap._kernel.contract.sectionhandle import SectionHandle
from namedmap._kernel.files import createfile
from namedmap._kernel.files.file import File
from namedmap._kernel.linux import protection, reopening
from namedmap._kernel.names import security
from namedmap._kernel.objects.table import Handle, table
from namedmap.access import Access
from namedmap.constants import CreationDisposition, FileShare, Generic

_SHARE_ALL = int(FileShare.FILE_SHARE_READ | FileShare.FILE_SHARE_WRITE | FileShare.FILE_SHARE_DELETE)
_OPEN_EXISTING, _OPEN_ALWAYS = int(CreationDisposition.OPEN_EXISTING), int(CreationDisposition.OPEN_ALWAYS)
_GENERIC_WRITE = int(Generic.GENERIC_WRITE)
_UMASK_DECIDES = Permissions()


class FileHandle(Handle[File]):
    """A handle to a file."""

    __slots__ = ()

    def size(self) -> int | None:
        with self.reference() as reference:
            info = os.fstat(reference.object.fd)
            return info.st_size if stat.S_ISREG(info.st_mode) else None

    def grow_sparsely(self, size: int) -> None:
        with self.reference() as reference:
            file = reference.object
            try:
                os.ftruncate(file.fd, size)
            except OSError as error:
                raise from_oserror(error, f"cannot make {file} {size:,} bytes long") from None

    def create_section(
        self, name: str | None, size: int, access: Access, *, inheritable: bool = False
    ) -> tuple[SectionHandle, bool]:
        with self.reference(protection.TABLE[access.protection].file_access) as reference:
            return sections.create_over(reference.object, name, size, access, inheritable)


def open(
    path: str | os.PathLike[str], access: Access, *, create: bool = False, permissions: Permissions = _UMASK_DECIDES
) -> tuple[FileHandle, bool]:
    how = _OPEN_ALWAYS if create else _OPEN_EXISTING
    wanted = None if permissions == _UMASK_DECIDES else security.of(permissions)
    file, granted, existed = createfile.open_file(path, access.file, _SHARE_ALL, how, security=wanted)
    handle = FileHandle(file, granted)
    table.enter(handle)
    return handle, not existed


def of_descriptor(descriptor: int, access: Access) -> FileHandle:
    try:
        mode = os.O_RDWR if access.file & _GENERIC_WRITE else os.O_RDONLY
        own = reopening.reopen(descriptor, mode)
        file = File(own, os.readlink(f"/proc/self/fd/{descriptor}"), lent=descriptor)
        handle = FileHandle(file, File.map_access(access.file))
    except OSError as error:
        raise from_oserror(error, f"descriptor {descriptor} cannot be mapped") from None
    table.enter(handle)
    return handle


__all__ = ["of_descriptor", "open"]
