"""The ways to copy, search and sum a file that are compared: namedmap.files, Python's own, and the tools of the system.

Python's ways are functions, the tools are what they are, processes. This file is also the program that does one of the
functions once, in a process of its own, so that the memory which that takes can be told: WAY SOURCE TARGET.
"""

import hashlib
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from namedmap import files

NAMEDMAP = "namedmap"
CP, COPYFILE, TEXTBOOK = "cp --reflink=never", "shutil.copyfile", "textbook: b[:] = a[:]"
NEEDLE = b"needle in the haystack"
_PEAK_OF = """
import os, sys
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
print("", os.wait4(pid, 0)[2].ru_maxrss)
"""


@dataclass(frozen=True)
class Way:
    """One way to do it: a function, or a command, of a source and a target (that searches do without)."""

    name: str
    function: Callable[[str, str], object] | None = None
    command: Sequence[str] = ()

    def once(self, source: str, target: str) -> None:
        """Do it."""
        if self.function is not None:
            self.function(source, target)
        else:
            command = [part.format(source=source, target=target) for part in self.command]
            # Not to /dev/null: grep sees that, and stops at the first match.
            subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)

    def peak(self, source: str, target: str) -> int:
        """The most memory that a process took to do it once, in bytes."""
        command = [part.format(source=source, target=target) for part in self.command]
        if self.function is not None:
            command = [sys.executable, __file__, self.name, source, target]
        # A process begins with the peak of the one that started it: a small one stands in between.
        measured = [sys.executable, "-I", "-S", "-c", _PEAK_OF, *command]
        found = subprocess.run(measured, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        return int(found.split()[-1]) * 1024

    @property
    def present(self) -> bool:
        """Whether this machine has it."""
        return self.function is not None or shutil.which(self.command[0]) is not None


def textbook(source: str, target: str) -> None:
    """The showcase of mapped files: both files whole, one assignment."""
    with open(source, "rb") as one, open(target, "w+b") as other:
        other.truncate(os.path.getsize(source))
        with (
            mmap.mmap(one.fileno(), 0, access=mmap.ACCESS_READ) as a,
            mmap.mmap(other.fileno(), 0) as b,
        ):
            b[:] = a[:]


def searched_by_textbook(source: str, target: str) -> None:
    """mmap.find from one match to the next."""
    with open(source, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        at = memory.find(NEEDLE)
        while at >= 0:
            at = memory.find(NEEDLE, at + 1)


def summed_by_hashlib(source: str, algorithm: str) -> None:
    """hashlib.file_digest."""
    with open(source, "rb") as file:
        hashlib.file_digest(file, algorithm)


COPIES = [
    Way(NAMEDMAP, lambda source, target: files.copy(source, target, reflink=False)),
    Way(COPYFILE, shutil.copyfile),
    Way(TEXTBOOK, textbook),
    Way(CP, command=("cp", "--reflink=never", "{source}", "{target}")),
    Way("dd bs=1M", command=("dd", "bs=1M", "if={source}", "of={target}")),
    Way("rsync -W", command=("rsync", "-W", "--inplace", "{source}", "{target}")),
]
SEARCHES = [
    Way(f"{NAMEDMAP}: count", lambda source, target: files.count(source, NEEDLE)),
    Way("textbook: mmap.find", searched_by_textbook),
    Way("grep -c", command=("grep", "-c", NEEDLE.decode(), "{source}")),
    Way("rg -c", command=("rg", "-c", NEEDLE.decode(), "{source}")),
]
#: By their hashes; the GNU tool is the last.
SUMS = {
    "sha256": [
        Way(f"{NAMEDMAP}: sha256", lambda source, target: files.checksum(source)),
        Way("hashlib.file_digest: sha256", lambda source, target: summed_by_hashlib(source, "sha256")),
        Way("sha256sum", command=("sha256sum", "{source}")),
    ],
    "blake2b": [
        Way(f"{NAMEDMAP}: blake2b", lambda source, target: files.checksum(source, "blake2b")),
        Way("hashlib.file_digest: blake2b", lambda source, target: summed_by_hashlib(source, "blake2b")),
        Way("b2sum", command=("b2sum", "{source}")),
    ],
}
_ALL = [*COPIES, *SEARCHES, *(way for ways in SUMS.values() for way in ways)]
#: The programs among them.
TOOLS = tuple(dict.fromkeys(way.command[0] for way in _ALL if way.command))


def absent() -> list[str]:
    """The programs that this machine does not have."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


if __name__ == "__main__":
    name, source, target = sys.argv[1:]
    next(way for way in _ALL if way.name == name).once(source, target)
