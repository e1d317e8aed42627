"""CreateFile's rules: what opens, what is created, what is refused, and with which error.

The order of the checks is that of NTFS, as far as the tests of Wine and ReactOS show it: arguments, path, kind of file,
attributes, share modes, mappings. Source: CreateFile (Win32).
"""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap._kernel.files import attributes, paths, sharemodes
from namedmap._kernel.files.file import File
from namedmap._kernel.names.security import Security
from namedmap.constants import CreationDisposition, FileAccess, FileFlag, FileShare, Generic, WinError

# As ints: operations on members of an enumeration would take half the time of an open, and the complement of a flag has
# only the bits that its class knows.
_READING = int(FileAccess.FILE_READ_DATA | FileAccess.FILE_EXECUTE)
_WRITING = int(FileAccess.FILE_WRITE_DATA | FileAccess.FILE_APPEND_DATA)
_APPEND_DATA = int(FileAccess.FILE_APPEND_DATA)
#: Access that CreateFile asks for in addition to what it is asked for.
_ALWAYS = int(Generic.SYNCHRONIZE | FileAccess.FILE_READ_ATTRIBUTES)
_DELETE, _GENERIC_WRITE = int(Generic.DELETE), int(Generic.GENERIC_WRITE)
_MAXIMUM_ALLOWED = int(Generic.MAXIMUM_ALLOWED)
_SHARE_ALL = int(FileShare.FILE_SHARE_READ | FileShare.FILE_SHARE_WRITE | FileShare.FILE_SHARE_DELETE)
_CREATE_NEW, _CREATE_ALWAYS, _OPEN_EXISTING, _OPEN_ALWAYS, _TRUNCATE_EXISTING = map(int, CreationDisposition)
_BACKUP_SEMANTICS = int(FileFlag.FILE_FLAG_BACKUP_SEMANTICS)
_DELETE_ON_CLOSE = int(FileFlag.FILE_FLAG_DELETE_ON_CLOSE)
_NO_BUFFERING = int(FileFlag.FILE_FLAG_NO_BUFFERING)
_OPEN_REPARSE_POINT = int(FileFlag.FILE_FLAG_OPEN_REPARSE_POINT)
_OVERLAPPED = int(FileFlag.FILE_FLAG_OVERLAPPED)
_RANDOM_ACCESS = int(FileFlag.FILE_FLAG_RANDOM_ACCESS)
_SEQUENTIAL_SCAN = int(FileFlag.FILE_FLAG_SEQUENTIAL_SCAN)
_WRITE_THROUGH = int(FileFlag.FILE_FLAG_WRITE_THROUGH)

#: How often a file may appear and disappear under an open before that is an error.
_ATTEMPTS = 100

_NO_DIRECT = (errno.EINVAL, errno.EOPNOTSUPP)


class _Request(NamedTuple):
    """The arguments of CreateFile, judged."""

    path: paths.Path
    access: int
    share: int
    disposition: int
    flags: int
    template: File | None
    security: Security | None

    @property
    def attributes(self) -> int:
        return self.flags & 0xFFFF

    @property
    def overwrite(self) -> bool:
        return self.disposition in (_CREATE_ALWAYS, _TRUNCATE_EXISTING)

    @property
    def permissions(self) -> int:
        """The mode of a new file, before the umask."""
        if self.security is not None:
            return self.security.mode
        return 0o666 if self.template is None else os.fstat(self.template.fd).st_mode & 0o777

    @property
    def what(self) -> str:
        return f"file {self.path}"


def open_file(
    path: object,
    access: int,
    share: int,
    disposition: int,
    flags: int = 0,
    template: File | None = None,
    security: Security | None = None,
) -> tuple[File, int, bool]:
    """Open or create as CreateFile does. Returns the file, with one handle counted, its access, and if it existed."""
    _check_disposition(access, disposition)
    granted = File.map_access(access) | _ALWAYS
    if flags & _DELETE_ON_CLOSE:
        granted |= _DELETE
    request = _Request(paths.parse(path), granted, share, disposition, flags, template, security)
    _check_request(request, access)
    try:
        file, existed = _open(request)
    except KernelError as error:
        # As much as may be had: without writing it may be.
        if not access & _MAXIMUM_ALLOWED or error.status != NTSTATUS.STATUS_ACCESS_DENIED:
            raise
        granted &= ~_WRITING
        file, existed = _open(request._replace(access=granted))
    return file, granted, existed


def _check_disposition(access: int, disposition: int) -> None:
    if not _CREATE_NEW <= disposition <= _TRUNCATE_EXISTING:
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"{disposition} is no creation disposition (1 to 5)")
    if disposition == _TRUNCATE_EXISTING and not access & _GENERIC_WRITE:
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, "TRUNCATE_EXISTING needs GENERIC_WRITE")


def _check_request(request: _Request, access: int) -> None:
    if request.share & ~_SHARE_ALL:
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"{request.share:#x} is no combination of FILE_SHARE_*")
    if request.flags & _OVERLAPPED:
        raise KernelError(
            NTSTATUS.STATUS_NOT_SUPPORTED,
            f"{request.what}: FILE_FLAG_OVERLAPPED (asynchronous transfers) is not offered. Leave it out; the "
            "OVERLAPPED of ReadFile and WriteFile still says where",
        )
    if request.flags & _NO_BUFFERING and access & _APPEND_DATA:
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, "FILE_FLAG_NO_BUFFERING excludes FILE_APPEND_DATA")


def _open(request: _Request) -> tuple[File, bool]:
    for _ in range(_ATTEMPTS):
        link = bool(request.flags & _OPEN_REPARSE_POINT)
        info = request.path.status(follow=not link)
        if info is None:
            file = _create(request)
        else:
            _check_existing(request, info)
            file = _open_existing(request, info)
        if file is not None:
            return file, info is not None
    raise KernelError(NTSTATUS.STATUS_UNSUCCESSFUL, f"{request.what} appears and disappears without end")


def _create(request: _Request) -> File | None:
    """Make the file; None if there is one by now."""
    if request.disposition in (_OPEN_EXISTING, _TRUNCATE_EXISTING):
        raise request.path.missing()
    if request.path.slash:
        raise request.path.no_directory()
    # O_EXCL does not follow a symbolic link that leads nowhere yet; Windows creates what it leads to.
    path = request.path._replace(name=os.path.realpath(request.path.name))
    path.require_parent()
    mode = _modes(request.access)[0] | os.O_CREAT | os.O_EXCL
    try:
        fd = os.open(path.name, mode | _open_flags(request), request.permissions)
    except FileExistsError as error:
        require_ours(error)
        return None
    except OSError as error:
        raise path.failure(error, "cannot create") from None
    with _closed_on_error(fd):
        _dress(fd, request, path.name)
        sharemodes.claim(fd, request.what, request.access, request.share)
        return _finish(fd, request, _set_flags(fd, request))


def _dress(fd: int, request: _Request, name: str) -> None:
    """Give a new file its owner, mode, attributes and extended attributes; without them it shall not be."""
    try:
        info = os.fstat(fd)
        if request.security is not None:
            request.security.apply(fd, info.st_mode)
        if request.template is not None:
            attributes.copy_extended(request.template.fd, fd)
        attributes.put(fd, os.fstat(fd), _new_attributes(request), request.what)
    except (KernelError, OSError) as error:
        require_ours(error)
        with ignored(OSError):
            os.unlink(name)
        raise


def _new_attributes(request: _Request) -> int:
    return request.attributes | attributes.ARCHIVE


def _check_existing(request: _Request, info: os.stat_result) -> None:
    """Refuse what the kind and the attributes of an existing file do not allow."""
    what, mode = request.what, info.st_mode
    if stat.S_ISDIR(mode):
        _check_directory(request)
        _check_deletable(request)
        return
    if request.path.slash:
        raise request.path.no_directory()
    if request.disposition == _CREATE_NEW:
        raise _exists(what)
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        kind = "FIFO" if stat.S_ISFIFO(mode) else "socket"
        raise KernelError(NTSTATUS.STATUS_NOT_SUPPORTED, f"{what} is a {kind}, neither file, directory nor device")
    deletes = request.flags & _DELETE_ON_CLOSE
    if attributes.is_readonly(info) and (request.access & _WRITING or request.overwrite or deletes):
        raise KernelError(
            NTSTATUS.STATUS_CANNOT_DELETE if deletes else NTSTATUS.STATUS_ACCESS_DENIED,
            f"{what} has the attribute READONLY (no write permission for anyone): it cannot be written to or deleted. "
            "Clear it with SetFileAttributes",
        )
    if request.disposition == _CREATE_ALWAYS and attributes.conflicts(
        attributes.get(request.path.name, info), request.attributes
    ):
        raise KernelError(
            NTSTATUS.STATUS_ACCESS_DENIED,
            f"{what} has the attribute HIDDEN or SYSTEM: it is overwritten only if the call gives the same attributes",
        )
    _check_deletable(request)


def _check_directory(request: _Request) -> None:
    what = f"{request.path} is a directory"
    if not request.flags & _BACKUP_SEMANTICS:
        if request.path.slash:
            raise KernelError(NTSTATUS.STATUS_OBJECT_PATH_NOT_FOUND, f"{what}, not a file")
        raise KernelError(
            NTSTATUS.STATUS_FILE_IS_A_DIRECTORY, f"{what}: FILE_FLAG_BACKUP_SEMANTICS would open it, not create it"
        )
    if request.disposition not in (_OPEN_EXISTING, _OPEN_ALWAYS):
        raise _exists(what)


def _exists(what: str) -> KernelError:
    return KernelError(NTSTATUS.STATUS_OBJECT_NAME_COLLISION, f"{what}: it exists already", WinError.ERROR_FILE_EXISTS)


def _open_existing(request: _Request, info: os.stat_result) -> File | None:
    """Open what is there; None if it is gone or another by now."""
    fd = _open_descriptor(request, info)
    if fd is None:
        return None
    with _closed_on_error(fd):
        opened = os.fstat(fd)
        if (opened.st_dev, opened.st_ino) == (info.st_dev, info.st_ino):
            if stat.S_ISREG(opened.st_mode) or stat.S_ISDIR(opened.st_mode):
                sharemodes.claim(fd, request.what, request.access, request.share, overwrite=request.overwrite)
            # A deleter claims a file before it deletes: one that has a name still, after our claim, is the one there.
            if os.fstat(fd).st_nlink:
                if request.disposition == _CREATE_ALWAYS and stat.S_ISREG(opened.st_mode):
                    attributes.put(fd, os.fstat(fd), _new_attributes(request), request.what)
                return _finish(fd, request, _set_flags(fd, request))
    os.close(fd)
    return None


def _open_descriptor(request: _Request, info: os.stat_result) -> int | None:
    flags = _open_flags(request)
    if stat.S_ISDIR(info.st_mode):
        modes: tuple[int, ...] = (os.O_RDONLY | os.O_DIRECTORY, os.O_PATH | os.O_DIRECTORY)
    elif stat.S_ISLNK(info.st_mode):
        modes = (os.O_PATH | os.O_NOFOLLOW,)
    elif stat.S_ISREG(info.st_mode):
        modes = _modes(request.access, request.overwrite)
    else:
        modes = (_device_mode(request.access),)
    for mode in modes:
        try:
            return os.open(request.path.name, mode | flags)
        except FileNotFoundError as error:
            require_ours(error)
            return None
        except OSError as error:
            failure = request.path.failure(error, "cannot open")
            if error.errno not in (errno.EACCES, errno.EPERM):
                break
    try:
        raise failure
    finally:
        del failure  # else it would be in a cycle with this frame


def _modes(access: int, overwrite: bool = False) -> tuple[int, ...]:
    """The modes to open a file in, best first. Only who may read a file can hold share modes on it."""
    if access & _WRITING or overwrite:
        return (os.O_RDWR,) if access & _READING else (os.O_RDWR, os.O_WRONLY)
    return (os.O_RDONLY,) if access & _READING else (os.O_RDONLY, os.O_PATH)


def _device_mode(access: int) -> int:
    # Exactly what is asked for: opening does something to some devices.
    if access & _WRITING:
        return os.O_RDWR if access & _READING else os.O_WRONLY
    return os.O_RDONLY if access & _READING else os.O_PATH


def _open_flags(request: _Request) -> int:
    # O_NONBLOCK: a FIFO that takes the file's place now must not make us wait for its other end.
    flags = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    if request.access & _WRITING == _APPEND_DATA:
        flags |= os.O_APPEND
    if request.flags & _WRITE_THROUGH:
        flags |= os.O_DSYNC
    return flags


def _set_flags(fd: int, request: _Request) -> bool:
    """Set what can only be set, or only be tried, on an open file; whether its pages must be kept uncached by hand."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if flags & os.O_PATH:
        return False
    flags &= ~os.O_NONBLOCK
    uncached = False
    if request.flags & _NO_BUFFERING:
        try:
            fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT)
            flags |= os.O_DIRECT
        except OSError as error:
            if error.errno not in _NO_DIRECT:
                raise from_oserror(error, f"cannot open {request.path} without buffering") from None
            uncached = True
    fcntl.fcntl(fd, fcntl.F_SETFL, flags)
    with ignored(OSError):  # advice: not everything can be advised
        if request.flags & _SEQUENTIAL_SCAN:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        elif request.flags & _RANDOM_ACCESS:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    return uncached


def _check_deletable(request: _Request) -> None:
    if not request.flags & _DELETE_ON_CLOSE:
        return
    parent = os.path.dirname(os.path.realpath(request.path.name))
    if not os.access(parent, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise KernelError(
            NTSTATUS.STATUS_ACCESS_DENIED, f"{request.what} cannot be deleted: its directory {parent!r} is not writable"
        )


def _finish(fd: int, request: _Request, uncached: bool) -> File:
    deletes = bool(request.flags & _DELETE_ON_CLOSE)
    return File(fd, _absolute(fd, request.path), delete_on_close=deletes, uncached=uncached)


def _absolute(fd: int, path: paths.Path) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError as error:
        require_ours(error)
        return os.path.abspath(path.name)


@contextlib.contextmanager
def _closed_on_error(fd: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(fd)
        raise
