"""Access to memory, in words: "read", "write", "copy", "execute", and what combines.

"read"            read only
"write"           read and write
"copy"            read and write; what is written stays in this process, and never reaches the file or others
"execute"         read and execute; with "write" or "copy" these too: "write+execute"
"""

from typing import NamedTuple

from namedmap import constants as c
from namedmap.errors import BadValueError


class Access(NamedTuple):
    """The meaning of a word for files, sections and views."""

    word: str
    protection: int  # PAGE_* of a section, and of a view's pages
    handle: int  # FILE_MAP_* of a section handle that such views can be mapped through: copies need to read
    file: int  # GENERIC_* of a file handle
    writable: bool  # whether stores are allowed


def _access(word: str, protection: int, view: int, file: int) -> Access:
    handle = view & ~int(c.FILE_MAP_COPY) | int(c.FILE_MAP_READ)
    # Plain ints: the bits of an IntFlag take microseconds to combine.
    return Access(word, int(protection), int(handle), int(file), not word.startswith(("read", "execute")))


_FILE_READ, _FILE_WRITE = int(c.GENERIC_READ), int(c.GENERIC_READ | c.GENERIC_WRITE)
_ALL = (
    _access("read", c.PAGE_READONLY, c.FILE_MAP_READ, _FILE_READ),
    _access("write", c.PAGE_READWRITE, c.FILE_MAP_READ | c.FILE_MAP_WRITE, _FILE_WRITE),
    _access("copy", c.PAGE_WRITECOPY, c.FILE_MAP_COPY, _FILE_READ),
    _access("execute", c.PAGE_EXECUTE_READ, c.FILE_MAP_READ | c.FILE_MAP_EXECUTE, _FILE_READ | int(c.GENERIC_EXECUTE)),
    _access(
        "write+execute",
        c.PAGE_EXECUTE_READWRITE,
        c.FILE_MAP_READ | c.FILE_MAP_WRITE | c.FILE_MAP_EXECUTE,
        _FILE_WRITE | int(c.GENERIC_EXECUTE),
    ),
    _access(
        "copy+execute",
        c.PAGE_EXECUTE_WRITECOPY,
        c.FILE_MAP_COPY | c.FILE_MAP_EXECUTE,
        _FILE_READ | int(c.GENERIC_EXECUTE),
    ),
)
_BY_WORDS = {frozenset(each.word.split("+")): each for each in _ALL}
#: The usual spellings.
known = {each.word: each for each in _ALL}


def parse(words: str) -> Access:
    """The access that words stand for. Raises BadValueError."""
    found = known.get(words)
    if found is None and isinstance(words, str):
        parts = {part.strip() for part in words.lower().split("+")}
        # A program that writes, copies or executes may read as well.
        found = _BY_WORDS.get(frozenset(parts - {"read"} or parts))
    if found is None:
        raise BadValueError(
            int(c.ERROR_INVALID_PARAMETER),
            f'{words!r} is no access: use "read", "write", "copy" or "execute", or the last with one of the two before '
            'it ("write+execute")',
        )
    return found
