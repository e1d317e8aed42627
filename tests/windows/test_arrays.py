"""NumPy arrays in blocks on Windows: published by one process, used in place by another."""

from typing import Any

import numpy
import pytest

import namedmap
from child import Spawn


@pytest.mark.parametrize(
    "array",
    [
        numpy.arange(12, dtype="<i8").reshape(3, 4),
        numpy.linspace(0, 1, 100_000),
        numpy.array([(1, 2.5), (3, 4.5)], dtype=[("number", "<i4"), ("value", "<f8")]),
        numpy.asfortranarray(numpy.arange(12.0).reshape(3, 4)),
        numpy.zeros((0, 3), "<f4"),
    ],
    ids=["integers", "many", "records", "fortran", "empty"],
)
def test_another_process_sees_it(array: Any, second: Spawn) -> None:
    """Type, shape and values arrive, whatever NT has rounded the block's section to."""
    with namedmap.publish("array", array):
        child = second("""
            with namedmap.attach("array") as block:
                found = block.value
                say(found.dtype.descr, found.shape, found.tolist() if found.size < 100 else float(found.sum()))
                del found
        """)
        values = array.tolist() if array.size < 100 else float(array.sum())
        assert child.line() == f"{array.dtype.descr} {array.shape} {values}"
        assert child.wait() == 0


def test_it_is_the_same_memory(second: Spawn) -> None:
    """A value that one process writes into it, the other sees, and nothing is copied."""
    with namedmap.publish("array", numpy.zeros(1000)) as block:
        child = second("""
            with namedmap.attach("array", access="write") as block:
                found = block.value
                found[:] = 2.5
                del found
            say("written")
        """)
        assert child.line() == "written"
        assert float(block.value.sum()) == 2500.0
        assert child.wait() == 0


def test_it_lives_as_long_as_somebody_has_it(second: Spawn) -> None:
    """The publisher's end takes nothing from who has attached."""
    child = second("""
        import numpy
        block = namedmap.publish("array", numpy.arange(5))
        say("published")
        hear()
    """)
    assert child.line() == "published"
    with namedmap.attach("array") as block:
        child.kill()
        assert block.value.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(namedmap.NotFoundError):
        namedmap.attach("array")
