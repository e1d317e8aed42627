"""Names of files: delete, move, copy, and the attributes of a path.

Deleting and renaming are opens with the access DELETE in Windows, and obey share modes as such. The name of a deleted
file goes at once, whoever has it open (as on NTFS since Windows 10). A symbolic link is deleted and moved itself, and
copied as what it leads to. Source: DeleteFile, MoveFileEx, CopyFile, GetFileAttributes, SetFileAttributes (Win32).
"""

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterator

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap._kernel.files import attributes, paths, sharemodes
from namedmap._kernel.files.createfile import open_file
from namedmap._kernel.files.file import File
from namedmap._kernel.linux import libc
from namedmap._writing import copy_rest
from namedmap.constants import CreationDisposition, FileAttribute, FileFlag, FileShare, Generic, MoveFileFlag, WinError

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_SHARE_ALL = int(FileShare.FILE_SHARE_READ | FileShare.FILE_SHARE_WRITE | FileShare.FILE_SHARE_DELETE)
_MOVE_FLAGS = 0x3F


def get_attributes(name: object) -> int:
    """The attributes of what a path names; a symbolic link has those of its target and REPARSE_POINT."""
    path = paths.parse(name)
    info = path.status(follow=False)
    if info is None:
        raise path.missing()
    extra = 0
    if stat.S_ISLNK(info.st_mode):
        extra = int(FileAttribute.FILE_ATTRIBUTE_REPARSE_POINT)
        info = path.status()
        if info is None:
            return extra | attributes.ARCHIVE
    if path.slash and not stat.S_ISDIR(info.st_mode):
        raise path.no_directory()
    found = attributes.get(path.name, info)
    return (found & ~int(FileAttribute.FILE_ATTRIBUTE_NORMAL) | extra) if extra else found


def set_attributes(name: object, wanted: int) -> None:
    path = paths.parse(name)
    info = path.status()
    if info is None:
        raise path.missing()
    if path.slash and not stat.S_ISDIR(info.st_mode):
        raise path.no_directory()
    attributes.put(path.name, info, wanted, f"file {path}")


def delete(name: object) -> None:
    path = paths.parse(name)
    info = path.status(follow=False)
    if info is None:
        raise path.missing()
    if stat.S_ISDIR(info.st_mode):
        raise KernelError(NTSTATUS.STATUS_FILE_IS_A_DIRECTORY, f"{path} is a directory, which this does not remove")
    if path.slash:
        raise path.no_directory()
    with _claimed(path, info) as fd:
        if attributes.is_readonly(info):
            raise KernelError(
                NTSTATUS.STATUS_CANNOT_DELETE,
                f"file {path} has the attribute READONLY (no write permission for anyone): clear it first",
            )
        _refuse_mapped(fd, path)
        try:
            os.unlink(path.name)
        except FileNotFoundError as error:
            require_ours(error)
            raise path.missing() from None
        except OSError as error:
            raise path.failure(error, "cannot delete") from None


def move(old: object, new: object, flags: int) -> None:
    """Rename a file or directory; across filesystems by copying, if the flags allow it."""
    _check_move_flags(flags)
    source = paths.parse(old)
    info = source.status(follow=False)
    if info is None:
        raise source.missing()
    if source.slash and not stat.S_ISDIR(info.st_mode):
        raise source.no_directory()
    with _claimed(source, info):
        target = paths.parse(new)
        there = target.status(follow=False)
        if target.slash and not stat.S_ISDIR(info.st_mode):
            raise target.no_directory()
        if there is not None and _same_place(source, target):
            return
        replacing = bool(flags & MoveFileFlag.MOVEFILE_REPLACE_EXISTING)
        if there is not None:
            # Other names of the same file are covered by the claim on the source.
            _check_replaceable(target, there, replacing, other=not _same_file(info, there))
        try:
            _rename(source, target, info, there, replacing)
        except OSError as error:
            _move_failed(error, source, target, info, flags)
    if flags & MoveFileFlag.MOVEFILE_WRITE_THROUGH:
        _flush_directory(target)


def copy(old: object, new: object, fail_if_exists: bool) -> None:
    """Copy contents, attributes, extended attributes and the time of the last write. A copy that fails is removed."""
    source, _, _ = open_file(
        old, Generic.GENERIC_READ, _SHARE_ALL, CreationDisposition.OPEN_EXISTING, FileFlag.FILE_FLAG_SEQUENTIAL_SCAN
    )
    with _released(source):
        info = os.fstat(source.fd)
        if not fail_if_exists:
            _refuse_same(source, paths.parse(new), info)
        target, _, _ = open_file(
            new,
            Generic.GENERIC_WRITE,
            FileShare.FILE_SHARE_READ | FileShare.FILE_SHARE_WRITE,
            CreationDisposition.CREATE_NEW if fail_if_exists else CreationDisposition.CREATE_ALWAYS,
            attributes.get(source.fd, info),
            template=source,
        )
        with _released(target):
            try:
                copy_rest(source.fd, target.fd)
                attributes.copy_extended(source.fd, target.fd)
                os.utime(target.fd, ns=(info.st_atime_ns, info.st_mtime_ns))
            except BaseException as error:
                target.unlink()
                if isinstance(error, OSError):
                    raise from_oserror(error, f"cannot copy {source} to {target}") from None
                raise


@contextlib.contextmanager
def _released(file: File) -> Iterator[None]:
    try:
        yield
    finally:
        file.drop_handle()


@contextlib.contextmanager
def _claimed(path: paths.Path, info: os.stat_result) -> Iterator[int | None]:
    """Hold the access DELETE to a file while its name changes. Yields a descriptor, or None where there is none.

    A file that may not be read cannot be claimed; nor need links, FIFOs and devices be, which nobody opens as files.
    """
    fd = None
    try:
        if stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode):
            fd = _descriptor(path, info)
            if fd is not None:
                sharemodes.claim(fd, f"file {path}", Generic.DELETE, _SHARE_ALL)
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def _descriptor(path: paths.Path, info: os.stat_result) -> int | None:
    for mode in (os.O_RDONLY, os.O_WRONLY):
        with ignored(OSError):
            fd = os.open(path.name, mode | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW)
            opened = os.fstat(fd)
            if _same_file(opened, info):
                return fd
            os.close(fd)
    return None


def _refuse_mapped(fd: int | None, path: paths.Path) -> None:
    if fd is not None and sharemodes.is_mapped(fd):
        raise KernelError(
            NTSTATUS.STATUS_CANNOT_DELETE,
            f"file {path} is mapped by {sharemodes.holder(fd, sharemodes.MAPPED)}: close its sections and views first",
        )


def _check_move_flags(flags: int) -> None:
    if flags & ~_MOVE_FLAGS:
        raise KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"{flags:#x} is no combination of MOVEFILE_*")
    if flags & MoveFileFlag.MOVEFILE_DELAY_UNTIL_REBOOT and flags & MoveFileFlag.MOVEFILE_COPY_ALLOWED:
        raise KernelError(
            NTSTATUS.STATUS_INVALID_PARAMETER, "MOVEFILE_COPY_ALLOWED excludes MOVEFILE_DELAY_UNTIL_REBOOT"
        )
    if flags & (MoveFileFlag.MOVEFILE_DELAY_UNTIL_REBOOT | MoveFileFlag.MOVEFILE_CREATE_HARDLINK):
        raise KernelError(
            NTSTATUS.STATUS_NOT_SUPPORTED, "MOVEFILE_DELAY_UNTIL_REBOOT and MOVEFILE_CREATE_HARDLINK are not offered"
        )


def _same_place(first: paths.Path, second: paths.Path) -> bool:
    def place(path: paths.Path) -> tuple[str, str]:
        directory, name = os.path.split(path.name)
        return os.path.realpath(directory or "."), name

    return place(first) == place(second)


def _same_file(first: os.stat_result, second: os.stat_result) -> bool:
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _check_replaceable(target: paths.Path, there: os.stat_result, replacing: bool, other: bool) -> None:
    what = f"file {target}"
    if not replacing:
        raise KernelError(
            NTSTATUS.STATUS_OBJECT_NAME_COLLISION, f"{what} exists already; MOVEFILE_REPLACE_EXISTING would replace it"
        )
    if stat.S_ISDIR(there.st_mode) or attributes.is_readonly(there):
        kind = "a directory" if stat.S_ISDIR(there.st_mode) else "READONLY"
        raise KernelError(NTSTATUS.STATUS_ACCESS_DENIED, f"{target} is {kind}: it cannot be replaced")
    fd = _descriptor(target, there) if other and stat.S_ISREG(there.st_mode) else None
    if fd is not None:
        try:
            byte = sharemodes.user(fd)
            if byte is not None:
                raise KernelError(
                    NTSTATUS.STATUS_ACCESS_DENIED,
                    f"{what} cannot be replaced: {sharemodes.holder(fd, byte)} has it open or mapped",
                )
        finally:
            os.close(fd)


def _rename(
    source: paths.Path, target: paths.Path, info: os.stat_result, there: os.stat_result | None, replacing: bool
) -> None:
    if there is not None and _same_file(info, there):
        os.unlink(source.name)  # two names of one file: rename(2) would leave both
        return
    old, new = os.fsencode(source.name), os.fsencode(target.name)
    if libc.renameat2(_AT_FDCWD, old, _AT_FDCWD, new, 0 if replacing else _RENAME_NOREPLACE) == 0:
        return
    if replacing or ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS):
        raise libc.error("rename")
    # A filesystem that cannot refuse to replace: look, then rename.
    if os.path.lexists(target.name):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(source.name, target.name)


def _move_failed(error: OSError, source: paths.Path, target: paths.Path, info: os.stat_result, flags: int) -> None:
    """Copy instead where that helps and is allowed; otherwise the error of the move."""
    if error.errno != errno.EXDEV or not flags & MoveFileFlag.MOVEFILE_COPY_ALLOWED:
        raise target.failure(error, f"cannot move {source} to") from None
    if not stat.S_ISREG(info.st_mode):
        raise KernelError(
            NTSTATUS.STATUS_ACCESS_DENIED, f"{source} is no plain file and cannot move to another filesystem ({target})"
        )
    import pathlib  # slow to load, and few programs move files to another filesystem

    old, new = pathlib.PurePath(source.name), pathlib.PurePath(target.name)
    try:
        copy(old, new, not flags & MoveFileFlag.MOVEFILE_REPLACE_EXISTING)
    except KernelError as failure:
        if failure.winerror != WinError.ERROR_FILE_EXISTS:
            raise
        raise KernelError(NTSTATUS.STATUS_OBJECT_NAME_COLLISION, failure.detail) from None
    if flags & MoveFileFlag.MOVEFILE_WRITE_THROUGH:
        _fsync(target.name)
    try:
        os.unlink(source.name)
    except OSError as failure_to_delete:
        raise source.failure(failure_to_delete, f"copied to {target}, but cannot delete") from None


def _flush_directory(target: paths.Path) -> None:
    _fsync(os.path.dirname(target.name) or ".")


def _fsync(name: str) -> None:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refuse_same(source: File, target: paths.Path, info: os.stat_result) -> None:
    there = target.status()
    if there is not None and _same_file(there, info):
        raise KernelError(NTSTATUS.STATUS_SHARING_VIOLATION, f"{source} cannot be copied onto itself")
