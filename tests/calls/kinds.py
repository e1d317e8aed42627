"""The kinds of objects that have names, for tests of what holds for each of them."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from namedmap import win32


class Kind(NamedTuple):
    """How a kind of object is made and opened, here and in children (where it is text)."""

    name: str
    create: Callable[[str], int | None]
    open: Callable[[str], int | None]
    text: str


def _create_section(name: str) -> int | None:
    return win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, name)


KINDS = (
    Kind(
        "section",
        _create_section,
        lambda name: win32.OpenFileMapping(win32.FILE_MAP_READ, False, name),
        "create({!r})",
    ),
    Kind(
        "mutex",
        lambda name: win32.CreateMutex(None, False, name),
        lambda name: win32.OpenMutex(win32.SYNCHRONIZE, False, name),
        "win32.CreateMutex(None, True, {!r})",
    ),
    Kind(
        "event",
        lambda name: win32.CreateEvent(None, True, False, name),
        lambda name: win32.OpenEvent(win32.SYNCHRONIZE, False, name),
        "win32.CreateEvent(None, True, False, {!r})",
    ),
    Kind(
        "semaphore",
        lambda name: win32.CreateSemaphore(None, 1, 2, name),
        lambda name: win32.OpenSemaphore(win32.SYNCHRONIZE, False, name),
        "win32.CreateSemaphore(None, 1, 2, {!r})",
    ),
)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def gone(kind: Kind, name: str) -> bool:
    return kind.open(name) is None and win32.GetLastError() == win32.ERROR_FILE_NOT_FOUND
