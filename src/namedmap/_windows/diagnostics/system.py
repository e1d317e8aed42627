"""The things that a program depends on here: Windows itself, and what this one lacks."""

import platform
from collections.abc import Iterator

from namedmap._windows import dll


def findings() -> Iterator[tuple[str, str, str]]:
    """(level, what, remedy) of what was looked at."""
    yield "ok", f"Windows {platform.version()} keeps the objects: each goes with its last handle", ""
    if isinstance(dll.NtExtendSection, dll.Absent):
        yield (
            "note",
            "this Windows has no NtExtendSection: the mapping of a file cannot be extended",
            "map the file again, after it has become longer",
        )


def memory_filesystem(fd: int) -> str | None:
    """The kind of the filesystem of a file if it lives in memory: Windows has none."""
    return None
