"""The file that a section stands on: growing it, and finding it again by what a control page says of it."""

import errno
import os
import resource
import stat
from collections.abc import Iterator

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored, require_ours
from namedmap._kernel.files import sharemodes
from namedmap._kernel.linux import procfs, protection, reopening
from namedmap._kernel.names.controlpage import Control


def grow(fd: int, size: int, what: object) -> None:
    """Give the file its new size in real space, so that a full disk is an error here and not SIGBUS at a store."""
    before = os.fstat(fd).st_size
    if size <= before:
        return
    try:
        if size >= 1 << 63:
            raise OSError(errno.EFBIG, "File too large")
        os.posix_fallocate(fd, before, size - before)
    except OSError as error:
        if os.fstat(fd).st_size != before:
            os.ftruncate(fd, before)
        # Either the filesystem has no files so large, or this process may not make one.
        if error.errno in (errno.EFBIG, errno.EINVAL) and not 0 <= resource.getrlimit(resource.RLIMIT_FSIZE)[0] < size:
            raise KernelError(
                NTSTATUS.STATUS_SECTION_TOO_BIG, f"{what} cannot grow to {size:,} bytes: {error.strerror}"
            ) from None
        raise from_oserror(error, f"{what} cannot grow to {size:,} bytes") from None


def open_backing(page: Control, what: object, by: os.stat_result) -> int:
    """The file behind a named section, by its path; or, renamed or deleted, from a process that has it open.

    `by` is the object file: its owner, and others who may write to it, can have written anything into its control page.
    """
    # The section's protection says what it may need; less is all right where the file allows no more.
    modes = (os.O_RDWR, os.O_RDONLY) if protection.TABLE[page.protection].writes else (os.O_RDONLY,)
    for path in _places(page):
        try:
            seen = reopening.look(path)
        except (OSError, ValueError) as error:  # ValueError: a NUL in a path that somebody forged
            require_ours(error)
            continue
        try:
            fd = _open_marked(seen, modes) if _is_backing(os.fstat(seen), page, what, by) else None
        finally:
            os.close(seen)
        if fd is not None:
            return fd
    raise KernelError(
        NTSTATUS.STATUS_ACCESS_DENIED,
        f"{what} is backed by the file {page.backing_path!r}, which was moved, deleted or is not yours to open, and no "
        "process that holds it can be reached through /proc",
    )


def _open_marked(seen: int, modes: tuple[int, ...]) -> int | None:
    """The file that was looked at, marked as mapped, in the first mode that it grants."""
    for mode in modes:
        try:
            fd = reopening.reopen(seen, mode)
        except OSError as error:
            require_ours(error)
            continue
        try:
            sharemodes.mark_mapped(fd, mode == os.O_RDWR)
        except BaseException:
            os.close(fd)
            raise
        return fd
    return None


def _is_backing(info: os.stat_result, page: Control, what: object, by: os.stat_result) -> bool:
    owner = by.st_uid
    if (info.st_dev, info.st_ino) != (page.backing_device, page.backing_inode):
        return False
    if owner not in (0, os.geteuid(), info.st_uid):
        raise KernelError(
            NTSTATUS.STATUS_ACCESS_DENIED,
            f"{what} belongs to user {owner}, but its file {page.backing_path!r} to user {info.st_uid}: "
            "it would make you read or write what its owner chose and perhaps may not",
        )
    if not _may_be_chosen(info, by):
        raise KernelError(
            NTSTATUS.STATUS_ACCESS_DENIED,
            f"{what} can be changed by others than its owner (mode {by.st_mode & 0o777:04o}), and its file "
            f"{page.backing_path!r} (mode {info.st_mode & 0o777:04o}) grants them less, so they may have put it there "
            "to have you open it: give the object and its file the same mode",
        )
    if stat.S_ISREG(info.st_mode) and info.st_size < page.size:
        raise KernelError(
            NTSTATUS.STATUS_FILE_INVALID,
            f"{what} has {page.size:,} bytes, but its file {page.backing_path!r} was cut to {info.st_size:,} by a "
            "program that does not know of the section; pages that are gone cannot be mapped",
        )
    return True


def _may_be_chosen(info: os.stat_result, by: os.stat_result) -> bool:
    """Whether everybody who may have written the path could open the file without our help."""
    trusted = by.st_uid in (0, os.geteuid()) and not by.st_mode & 0o022
    if not trusted and not stat.S_ISREG(info.st_mode):
        return False  # a device acts when it is opened, also one that is the object owner's
    granted = info.st_mode & 0o006
    if by.st_mode & 0o002 and not granted:
        return False
    same_group = info.st_mode & 0o060 and info.st_gid == by.st_gid
    return not by.st_mode & 0o020 or bool(granted or same_group)


def _places(page: Control) -> Iterator[str]:
    """Paths that may lead to the backing file, likeliest first."""
    yield page.backing_path
    for pid in (page.creator_pid, *procfs.processes()):
        for descriptor in procfs.descriptors(pid):
            path = f"/proc/{pid}/fd/{descriptor}"
            with ignored(OSError):
                info = os.stat(path)
                if (info.st_dev, info.st_ino) == (page.backing_device, page.backing_inode):
                    yield path
