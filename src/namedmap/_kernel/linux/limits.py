"""Commitment: refusing at creation what could not be touched later.

`SEC_COMMIT` promises memory. Space in the filesystem is taken with posix_fallocate, which fails cleanly where a page
fault would end in SIGBUS. Memory limits are another matter: an allocation above a cgroup's limit, or above what the
machine has, ends in an OOM kill and not in an error. They are looked at beforehand; as that takes longer than making a
small section, small ones are added up and looked at together: as many as are a small part of what was free.
"""

import errno
import os
from collections.abc import Iterator

from namedmap._convention.status import NTSTATUS, KernelError, from_oserror, ignored

#: How many bytes a process commits between two looks at the memory limits: this part of what was free, and not more
#: than so much. In a container with little memory that comes to a look at each section.
CREDIT_PART, MOST_CREDIT = 256, 64 << 20
#: Of this size and more, a section is looked at in any case.
LARGE = 4 << 20
#: Memory left to the process itself, which needs some to go on: this part of a limit, and not more than so much.
SPARE_PART, MOST_SPARE = 64, 1 << 20

_UNLIMITED = 1 << 60


_committed, _credit = 0, 0


def require(size: int, what: object) -> None:
    """Raise KernelError if `size` bytes of memory are more than this process can get."""
    global _committed, _credit
    if within_credit(size):
        return
    _committed, _credit, credit = 0, 0, MOST_CREDIT
    for limit, available, remedy in limits():
        if size > available - min(limit // SPARE_PART, MOST_SPARE):
            raise KernelError(
                NTSTATUS.STATUS_COMMITMENT_LIMIT,
                f"{what} needs {size:,} bytes, but only {max(available, 0):,} of {limit:,} bytes of memory are free: "
                f"{remedy}",
            )
        credit = min(credit, available // CREDIT_PART)
    _credit = credit


def within_credit(size: int) -> bool:
    """Whether `size` bytes need no look at the limits; then they are counted."""
    global _committed
    if _committed + size >= _credit or size >= LARGE:
        return False
    _committed += size
    return True


def failed(error: OSError, fd: int, size: int, what: object) -> KernelError:
    """The error for a failed allocation of a section's space."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        space = os.statvfs(fd)
        return KernelError(
            NTSTATUS.STATUS_COMMITMENT_LIMIT,
            f"{what} needs {size:,} bytes, but the filesystem of its object file has "
            f"{space.f_bavail * space.f_frsize:,} free: enlarge it (mount -o remount,size=… /dev/shm; "
            "docker run --shm-size=…), or set NAMEDMAP_ROOT to a directory elsewhere",
        )
    failure = from_oserror(error, f"{what}: cannot allocate {size:,} bytes")
    if error.errno in (errno.EFBIG, errno.ENOMEM):
        return KernelError(NTSTATUS.STATUS_COMMITMENT_LIMIT, failure.detail)
    return failure


def not_made(error: OSError, path: str, what: object) -> KernelError:
    """The error for an object file that could not be made."""
    failure = from_oserror(error, f"cannot create {what} ({path})")
    if error.errno != errno.ENOSPC:
        return failure
    directory = os.path.dirname(path)
    space = os.statvfs(directory)
    lack, option = ("inode", "nr_inodes") if space.f_files and not space.f_favail else ("space", "size")
    remedy = f"{directory} has no {lack} left: remove files there, enlarge it (mount -o remount,{option}=…), or set "
    return KernelError(failure.status, f"{failure.detail}; {remedy}NAMEDMAP_ROOT to a directory elsewhere")


def limits() -> Iterator[tuple[int, int, str]]:
    """(limit, bytes available below it, remedy) for the machine and for each cgroup this process is in."""
    with ignored(OSError, KeyError, ValueError, IndexError):
        with open("/proc/meminfo", encoding="utf-8") as file:
            memory = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in file}
        yield (
            memory["MemTotal"] + memory["SwapTotal"],
            memory["MemAvailable"] + memory["SwapFree"],
            "the machine has no more",
        )
    with ignored(OSError):
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            entries = [line.rstrip("\n").split(":", 2) for line in file]
        for _, controllers, path in entries:
            if controllers == "":
                yield from _walk(("/sys/fs/cgroup", "/sys/fs/cgroup/unified"), path, "memory.max", "memory.current", "")
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
                yield from _walk(("/sys/fs/cgroup/memory",), path, *names)


def _walk(mounts: tuple[str, ...], path: str, limit: str, usage: str, stat: str) -> Iterator[tuple[int, int, str]]:
    for mount in mounts:
        # A container without its own cgroup namespace sees the host's path, which does not exist under its mount.
        directory = mount + path.rstrip("/") if os.path.isdir(mount + path) else mount
        while directory.startswith(mount):
            with ignored(OSError, ValueError):
                bound = _read(f"{directory}/{limit}")
                if bound < _UNLIMITED:
                    free = bound - _read(f"{directory}/{usage}") + _reclaimable(f"{directory}/memory.stat", stat)
                    yield bound, free, f"raise the memory limit of this cgroup or container ({directory})"
            directory = os.path.dirname(directory)


def _read(path: str) -> int:
    with open(path, encoding="utf-8") as file:
        text = file.read().strip()
    return _UNLIMITED if text == "max" else int(text)


def _reclaimable(path: str, prefix: str) -> int:
    """Page cache of files on disk, which the kernel drops before it kills."""
    wanted = (f"{prefix}active_file", f"{prefix}inactive_file")
    with open(path, encoding="utf-8") as file:
        return sum(int(line.split()[1]) for line in file if line.split()[0] in wanted)
