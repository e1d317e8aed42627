"""Files of any size with holes: made, and as strategies."""

import os
import random
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

#: (bytes, whether they are a hole): what a file is made of.
Segments = Sequence[tuple[int, bool]]

#: Files of up to about 3 MB: holes and data, short and long, at page borders and beside them.
segments: st.SearchStrategy[list[tuple[int, bool]]] = st.lists(
    st.tuples(st.sampled_from([1, 100, 4095, 4096, 4097, 65536, 300_001, 1 << 20]), st.booleans()), max_size=6
)


def build(path: Path, parts: Segments, seed: int = 0) -> bytes:
    """Write a file of data and holes; its content."""
    chance = random.Random(seed)
    content = bytearray()
    with path.open("wb") as file:
        for size, hole in parts:
            data = bytes(size) if hole else chance.randbytes(size)
            content += data
            if hole:
                file.seek(size, os.SEEK_CUR)
            else:
                file.write(data)
        file.truncate(len(content))
    return bytes(content)


def sparse(path: Path, size: int, *places: tuple[int, bytes]) -> Path:
    """A file of any size that is a hole but for some bytes at some places."""
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in places:
            file.seek(offset)
            file.write(data)
    return path


def space(path: Path) -> int:
    """The space on the disk that a file takes, in bytes."""
    return os.stat(path).st_blocks * 512


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))
