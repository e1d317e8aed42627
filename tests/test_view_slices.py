"""Every slice and index of a small view, in every access mode, against a bytearray that keeps its size."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

import namedmap
from namedmap.errors import AccessDeniedError

SIZE = 5
#: Not at a multiple of the granularity.
OFFSET = 65_537
_ENDS = [None, *range(-SIZE - 2, SIZE + 3)]
_STEPS = [None, *(step for step in range(-SIZE - 2, SIZE + 3) if step)]
SLICES = [slice(*each) for each in itertools.product(_ENDS, _ENDS, _STEPS)]
WORDS = ["read", "write", "copy", "execute", "write+execute", "copy+execute"]


@pytest.fixture(params=["memory", "file"])
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[namedmap.FileMapping]:
    """A mapping of memory, whose views touch it, or of a file, whose views copy with care; with every right."""
    if request.param == "memory":
        made = namedmap.create(None, OFFSET + SIZE, "write+execute")
    else:
        try:
            made = namedmap.map_file(tmp_path / "file", OFFSET + SIZE, "write+execute", create=True)
        except AccessDeniedError:
            pytest.skip("temporary files cannot be executed here")
    with made:
        yield made


@pytest.mark.parametrize("word", WORDS)
class TestEverySlice:
    """Thousands of slices, and every index."""

    def test_reading(self, writer: namedmap.FileMapping, word: str) -> None:
        """Gives what the bytearray gives."""
        model = bytearray(b"abcde")
        with writer.view(OFFSET) as source, writer.view(OFFSET, SIZE, word) as view:
            source[:] = model
            assert [view[where] for where in SLICES] == [model[where] for where in SLICES]
            assert [view[at] for at in range(-SIZE, SIZE)] == [model[at] for at in range(-SIZE, SIZE)]
            for at in (-SIZE - 1, SIZE, 1 << 70):
                with pytest.raises(IndexError):
                    view[at]

    def test_storing(self, writer: namedmap.FileMapping, word: str) -> None:
        """Stores what the bytearray stores, if the access allows it; a copy's stores reach nobody else."""
        model = bytearray(SIZE)
        values = itertools.cycle(range(1, 256))
        with writer.view(OFFSET) as source, writer.view(OFFSET, SIZE, word) as view:
            if word in ("read", "execute"):
                self._refused(view)
                return
            for where in [*SLICES, *range(-SIZE, SIZE)]:
                if isinstance(where, slice):
                    data = bytes(itertools.islice(values, len(model[where])))
                    view[where], model[where] = data, data
                else:
                    view[where] = model[where] = next(values)
                assert view.read() == model, where
            assert source[:] == (bytes(SIZE) if word.startswith("copy") else model)

    def _refused(self, view: namedmap.View) -> None:
        for where in SLICES:
            if len(range(*where.indices(SIZE))):
                with pytest.raises(AccessDeniedError):
                    view[where] = bytes(len(range(*where.indices(SIZE))))
        for at in range(-SIZE, SIZE):
            with pytest.raises(AccessDeniedError):
                view[at] = 1
        assert view[:] == bytes(SIZE)

    def test_lengths_that_do_not_fit(self, writer: namedmap.FileMapping, word: str) -> None:
        """Are an error in every slice, and change nothing."""
        with writer.view(OFFSET, SIZE, word) as view:
            for where in SLICES[::7]:
                length = len(range(*where.indices(SIZE)))
                for wrong in {length + 1, max(length - 1, 0)} - {length}:
                    with pytest.raises((ValueError, AccessDeniedError)):
                        view[where] = bytes(wrong)
            assert view[:] == bytes(SIZE)
