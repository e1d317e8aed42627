"""A second name for the file of an object (a hard link): nobody who asks for one object gets another."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import namedmap
from calls import forgery, object_path
from calls.kernel import Control, Kind
from child import Spawn
from namedmap import inspection, win32


@pytest.fixture
def shared() -> Iterator[namedmap.FileMapping]:
    """A section that everybody may write to, held by this process."""
    with namedmap.create("Global\\A", 100, mode=0o666) as section:
        yield section


@pytest.fixture
def second_name(shared: namedmap.FileMapping) -> Iterator[Path]:
    """The same file, as Global\\B."""
    path = object_path("Global\\B")
    os.link(object_path("Global\\A"), path)
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.usefixtures("second_name")
class TestOfAHeldObject:
    def test_the_second_name_is_no_object(self) -> None:
        """A holder of A gets an error for B, and not A."""
        for ask in (namedmap.open_or_create, namedmap.create):
            with pytest.raises(namedmap.Error, match="hard link") as caught:
                ask("Global\\B", 100)
            assert caught.value.winerror == win32.ERROR_FILE_CORRUPT
        with pytest.raises(namedmap.Error, match="hard link"):
            namedmap.open("Global\\B")

    def test_of_another_kind(self) -> None:
        """Other kinds of objects do not take it either."""
        with pytest.raises(namedmap.Error, match="hard link"):
            namedmap.Event("Global\\B")

    def test_the_first_name_goes_on(self, shared: namedmap.FileMapping) -> None:
        """The holder opens A as before."""
        with namedmap.open("Global\\A") as again, shared.view() as one, again.view() as other:
            one[:5] = b"hello"
            assert bytes(other[:5]) == b"hello"

    def test_a_stranger_to_it(self, spawn: Spawn) -> None:
        """A process that does not hold A does not get it as B."""
        child = spawn()
        assert child.value("[create('Global\\\\B'), 'hard link' in message()]") == [None, True]

    def test_a_listing_says_so(self) -> None:
        """The second name is shown as damaged."""
        found = {each.path: each.status for each in inspection.objects()}
        assert found[str(object_path("Global\\B"))] == "damaged"

    def test_the_name_of_an_ended_object_is_free(self, shared: namedmap.FileMapping) -> None:
        """After the end of A both names are free: the link is a dead file, and A's is gone."""
        shared.close()
        with namedmap.create("Global\\A", 100), namedmap.create("Global\\B", 100):
            pass


def test_a_rewritten_page(spawn: Spawn) -> None:
    """The page of a file with two names says that it is B: still refused, since others may have written it."""
    a, b = object_path("Global\\A"), object_path("Global\\B")
    with forgery.alive(a, Control(Kind.EVENT, "B", state=(0, 1, 1))):
        os.link(a, b)
        try:
            with pytest.raises(namedmap.Error, match="hard link"):
                namedmap.Event("Global\\B")
        finally:
            b.unlink()


def test_a_private_file_with_two_names() -> None:
    """Where links are not restricted, a stranger can link what only its owner may write: its own name still holds."""
    a, b = object_path("Global\\A"), object_path("Global\\B")
    with forgery.alive(a, Control(Kind.EVENT, "A", state=(0, 1, 1)), 0o600):
        os.link(a, b)
        try:
            namedmap.Event.open("Global\\A").close()
            with pytest.raises(namedmap.Error, match="'A'"):
                namedmap.Event.open("Global\\B")
        finally:
            b.unlink()
