"""The one reader of /proc: processes, what they hold locks on, what they have mapped. Source: proc(5).

Everything here is a look at others: it sees what the kernel shows to this user, and what was there a moment ago.
"""

import os
import time
from collections.abc import Collection, Iterator
from typing import NamedTuple

from namedmap._convention.status import ignored
from namedmap._failure import printable

_END = (1 << 63) - 1
#: Of a command line, for people.
_LONGEST_COMMAND = 4096
UNSEEN = "a process that cannot be seen from here (another user's, or in another container)"


class Lock(NamedTuple):
    """A lock that a descriptor carries, on the bytes from first to last of a file."""

    inode: int
    first: int
    last: int

    def covers(self, byte: int) -> bool:
        return self.first <= byte <= self.last


class Mapping(NamedTuple):
    """Memory of a process, [start, end)."""

    start: int
    end: int
    permissions: str  # "rw-s", "r--p"
    offset: int
    device: int
    inode: int


def processes() -> list[int]:
    """The ids of the processes that can be seen from here."""
    with ignored(OSError):
        return sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return []


def started(pid: int) -> str:
    """When a process was started, in ticks since the boot: it tells the process from an earlier one with its id.

    Raises OSError if there is none.
    """
    return _stat(pid)[19]


def _stat(pid: int) -> list[str]:
    """The fields of a process behind its name: the state, and so on. Raises OSError if there is no such process."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def processor_time(pid: int) -> tuple[int, int]:
    """The ticks that a process has run in the kernel and outside. Raises OSError if there is no such process."""
    fields = _stat(pid)
    return int(fields[12]), int(fields[11])


def wait_status(pid: int) -> int:
    """How a process that nobody has waited for has ended. Raises ValueError for one that runs."""
    fields = _stat(pid)
    if fields[0] not in "ZX":
        raise ValueError(f"process {pid} runs")
    return int(fields[49])


def boot_time() -> int:
    """When the system was started, in nanoseconds since 1970."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def command(pid: int) -> str:
    """The command line of a process, for people; "" if it cannot be had."""
    with ignored(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read(_LONGEST_COMMAND).rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        return printable(words).strip()
    return ""


def descriptors(pid: int) -> list[str]:
    """The numbers of a process's descriptors."""
    with ignored(OSError):
        return os.listdir(f"/proc/{pid}/fd")
    return []


def locks(pid: int | str, descriptor: str) -> Iterator[Lock]:
    """The locks that a descriptor of a process carries. (/proc/locks gives no process for such locks.)"""
    with ignored(OSError), open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="utf-8") as lines:
        for line in lines:
            fields = line.split()
            if fields[0] == "lock:":
                yield _lock(fields)


def _lock(fields: list[str]) -> Lock:
    """A line of /proc/locks, with whatever stands before it: ..., device and inode, first byte, last one."""
    return Lock(
        int(fields[-3].rpartition(":")[2]), int(fields[-2]), _END if fields[-1] == "EOF" else int(fields[-1])
    )


def locked(files: Collection[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], Lock]]:
    """The locks of all processes, of whatever user, on these files (device and inode). Raises OSError without /proc.

    The list is not read in one step: one that was there all the time can be missing.
    """
    wanted = {f"{os.major(device):02x}:{os.minor(device):02x}:{inode}": (device, inode) for device, inode in files}
    with open("/proc/locks", encoding="utf-8") as lines:
        for line in lines:
            fields = line.split()
            key = wanted.get(fields[-3])
            if key is not None and fields[1] != "->":  # which waits
                yield key, _lock(fields)


def mappings(pid: int | str) -> Iterator[Mapping]:
    """The memory of a process, by ascending address. Raises OSError where it may not be seen."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            span, permissions, offset, device, inode = line.split(maxsplit=5)[:5]
            start, end = (int(number, 16) for number in span.split("-"))
            major, minor = (int(number, 16) for number in device.split(":"))
            yield Mapping(start, end, permissions, int(offset, 16), os.makedev(major, minor), int(inode))


def holds(pid: int | str, inode: int, byte: int) -> bool:
    """Whether a process carries a lock on a byte of the file of this inode."""
    with ignored(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fdinfo"):
            if any(each.inode == inode and each.covers(byte) for each in locks(pid, descriptor)):
                return True
    return False


def describe_holders(fd: int, byte: int) -> str:
    """The holders of a lock on a byte of a file: "process 12 (python3 x.py)" where /proc tells, for error messages."""
    inode = os.fstat(fd).st_ino
    found = [_described(pid) for pid in processes() if pid != os.getpid() and holds(pid, inode, byte)]
    return " and ".join(found) or UNSEEN


def _described(pid: int) -> str:
    words = command(pid)
    return f"process {pid} ({words[:80]})" if words else f"process {pid}"
