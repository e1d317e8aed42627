"""Large blocks, which are stored through their file: what comes back is what a copy would have given."""

import os
from typing import Any

import numpy
import pytest

import namedmap

NAME = "large"
#: Above and below what is stored in one or the other way, and not whole pages.
SIZES = [(1 << 20) - 8, 1 << 20, (1 << 20) + 8, (5 << 20) + 24]


class Odd(numpy.ndarray[Any, Any]):
    """A subclass with shapes of its own, as numpy.matrix is one."""

    def ravel(self, order: Any = "C") -> Any:
        return self.reshape(1, -1)


def arrays(size: int) -> list[Any]:
    """Arrays of about that many bytes, of all types and orders that are stored in another way."""
    plain = numpy.frombuffer(os.urandom(size), "u1")
    numbers = plain[: size // 16 * 16].view("i8")
    pairs = plain[: size // 16 * 16].view([("a", "<u4"), ("b", "<u8"), ("c", "S4")])
    grid = numbers.reshape(2, -1)
    strings = plain.astype("<u4") % 0x7F
    return [
        plain,
        plain[::2],
        plain[::-1],
        numbers.astype(">i4"),
        numbers.view("M8[s]"),
        pairs,
        grid,
        grid.T,
        numpy.asfortranarray(grid),
        grid[:, ::3],
        strings.view("U1"),
        plain.view(Odd),
        numpy.broadcast_to(plain[:1], (size,)),
    ]


@pytest.mark.parametrize("size", SIZES)
def test_arrays(size: int) -> None:
    """Of every type and order."""
    for array in arrays(size):
        with namedmap.publish(NAME, array) as block, namedmap.attach(NAME) as other:
            for found in (block.value, other.value):
                assert (found.dtype, found.shape) == (array.dtype, array.shape)
                assert found.tobytes() == array.tobytes()
                assert found.flags.f_contiguous >= array.flags.f_contiguous
            assert block.value.flags.writeable


@pytest.mark.parametrize("size", SIZES)
def test_bytes(size: int) -> None:
    """From every kind of buffer."""
    content = os.urandom(size)
    for value in (content, bytearray(content), memoryview(content)[::-1], memoryview(content).cast("d")):
        with namedmap.publish(NAME, value) as block, namedmap.attach(NAME) as other:
            assert bytes(block.value) == bytes(other.value) == memoryview(value).tobytes()


def test_unnamed_ones() -> None:
    """As those that have a name; the memory is one and the same for view and file."""
    array = numpy.arange(1 << 18)
    with namedmap.publish(None, array) as block:
        assert (block.value == array).all()
        block.value[5] = -1
        assert block.value.sum() == array.sum() - 6


def test_a_full_disk_is_an_error() -> None:
    """A block without room is refused before anything is stored, and leaves no name."""
    room = os.statvfs(os.environ["NAMEDMAP_ROOT"])
    huge = numpy.broadcast_to(numpy.uint8(1), room.f_bavail * room.f_frsize + (1 << 30))
    with pytest.raises(OSError, match="bytes"):
        namedmap.publish(NAME, huge)
    with pytest.raises(namedmap.NotFoundError):
        namedmap.open(NAME)
