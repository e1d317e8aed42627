"""Names: the three verbs of every kind, what a name is, and what belongs to whom."""

import pickle
from pathlib import Path
from typing import Any

import pytest

import namedmap
from classes.conftest import Keep, Second
from classes.each import each_kind
from classes.kinds import KINDS, Kind, free, take
from namedmap import win32

NAME = "classes.naming"


class TestVerbs:
    @each_kind
    def test_create(self, kind: Kind, keep: Keep) -> None:
        """A new object; ExistsError if there is one, which says what to do."""
        made = keep(kind.create(NAME))
        assert (type(made), made.name, made.created, made.closed) == (kind.type, NAME, True, False)
        with pytest.raises(namedmap.ExistsError, match=r"open_or_create") as caught:
            kind.create(NAME)
        assert isinstance(caught.value, FileExistsError)
        assert caught.value.winerror == 183

    @each_kind
    def test_open(self, kind: Kind, keep: Keep) -> None:
        """One that is there; NotFoundError if none is."""
        with pytest.raises(namedmap.NotFoundError) as caught:
            kind.open(NAME)
        assert isinstance(caught.value, FileNotFoundError)
        assert caught.value.winerror == 2
        keep(kind.create(NAME))
        found = keep(kind.open(NAME))
        assert (type(found), found.name, found.created) == (kind.type, NAME, False)

    @each_kind
    def test_open_or_create(self, kind: Kind, keep: Keep) -> None:
        """Either, and `created` says which it was."""
        assert [keep(kind.open_or_create(NAME)).created for _ in range(3)] == [True, False, False]

    @each_kind
    def test_in_another_process(self, kind: Kind, second: Second, keep: Keep) -> None:
        """An object that one process has made another one opens, and cannot create."""
        child = second()
        keep(kind.create(NAME))
        assert child.value(f"raised(kind({kind.name!r}).create, {NAME!r})") == "ExistsError"
        for verb in ("open", "open_or_create"):
            child.run(f"held = kind({kind.name!r}).{verb}({NAME!r})")
            assert child.value("held.created, held.name") == (False, NAME)
            child.run("held.close()")

    @each_kind
    def test_made_by_another_process(self, kind: Kind, second: Second, keep: Keep) -> None:
        """And this one opens what that has made."""
        child = second()
        child.run(f"held = kind({kind.name!r}).create({NAME!r})")
        assert not keep(kind.open(NAME)).created
        assert not keep(kind.open_or_create(NAME)).created

    def test_a_file_by_a_name(self, tmp_path: Path, second: Second, keep: Keep) -> None:
        """The mapping of a file has a name if it is given one, and is opened by it as memory is."""
        (tmp_path / "file").write_bytes(b"content")
        made = keep(namedmap.map_file(tmp_path / "file", name=NAME))
        assert (made.created, made.name, made.path) == (False, NAME, str(tmp_path / "file"))
        child = second()
        child.run(f"held = namedmap.open({NAME!r}, 'read')")
        assert child.value("held.view()[:]") == b"content"
        child.run("held.close()")


class TestKinds:
    @each_kind
    def test_a_name_belongs_to_one_kind(self, kind: Kind, keep: Keep) -> None:
        """Every verb of another kind is refused by WrongKindError, and changes nothing."""
        keep(kind.create(NAME))
        for other in KINDS:
            if other is not kind:
                for verb in other.verbs:
                    with pytest.raises(namedmap.WrongKindError) as caught:
                        verb(NAME)
                    assert caught.value.winerror == 6
        assert not keep(kind.open(NAME)).created

    @each_kind
    def test_which_is_free_for_another(self, kind: Kind, keep: Keep) -> None:
        """Once the object has gone."""
        for other in KINDS:
            kind.create(NAME).close()
            keep(other.create(NAME)).close()


class TestFirst:
    def test_the_first_decides_the_size(self, keep: Keep) -> None:
        """A later opener has what the first asked for, whatever it asks for itself."""
        first = keep(namedmap.create(NAME, 65536))
        for size in (1, 65536, 1 << 20):
            assert keep(namedmap.open_or_create(NAME, size)).size == first.size == 65536

    def test_the_first_decides_the_values(self, keep: Keep) -> None:
        """Of a semaphore and an event."""
        keep(namedmap.Semaphore(f"{NAME}.s", 1, 2))
        keep(namedmap.Event(f"{NAME}.e", manual=False, signaled=True))
        semaphore, event = keep(namedmap.Semaphore(f"{NAME}.s", 5, 9)), keep(namedmap.Event(f"{NAME}.e"))
        assert (semaphore.value, semaphore.maximum) == (1, 2)
        assert (event.manual, event.is_set()) == (False, True)


class TestText:
    @each_kind
    def test_without_a_name(self, kind: Kind, keep: Keep) -> None:
        """None makes an object of one's own."""
        made = [keep(kind.create(None)) for _ in range(2)]
        assert all((each.name, each.created) == (None, True) for each in made)
        assert made[0].handle != made[1].handle

    @each_kind
    def test_the_empty_one(self, kind: Kind) -> None:
        """A name that is missing by mistake is an error."""
        for verb in kind.verbs:
            with pytest.raises(namedmap.BadValueError, match="empty"):
                verb("")

    @pytest.mark.parametrize("name", ["a\0b", "back\\slash", "Local\\", "Global\\"])
    @each_kind
    def test_what_is_no_name(self, kind: Kind, name: str) -> None:
        """It is refused, never cut or changed in silence: a ValueError, or not to be found."""
        for verb in kind.verbs:
            with pytest.raises((ValueError, namedmap.Error)):
                verb(name).close()

    @pytest.mark.parametrize("name", [5, b"name", 1.5, ["name"], {}], ids=repr)
    @each_kind
    def test_another_type(self, kind: Kind, name: object) -> None:
        """A name is text, or None where one may be missing."""
        for verb in kind.verbs:
            with pytest.raises(TypeError):
                verb(name)

    @pytest.mark.parametrize(
        "name", ["with space", "dots.and-more_1", "ünïcødé", "名前", "\U0001f600", "a/b", "n" * 200], ids=ascii
    )
    @each_kind
    def test_any_other_text(self, kind: Kind, name: str, second: Second, keep: Keep) -> None:
        """It comes back as it was, and leads other processes to the object."""
        assert keep(kind.create(name)).name == name
        assert keep(kind.open(name)).name == name

    def test_in_a_second_process(self, second: Second, keep: Keep) -> None:
        """A name means the same there, whatever language it is written in."""
        child = second()
        for name in ("ünïcødé", "名前", "\U0001f600", "a b/c"):
            keep(namedmap.Event(name))
            assert child.value(f"raised(Event.create, {name!r})") == "ExistsError"

    @each_kind
    def test_case_counts(self, kind: Kind, keep: Keep) -> None:
        """Names that differ in case are different names."""
        keep(kind.create(NAME))
        assert keep(kind.create(NAME.upper())).created

    @each_kind
    def test_prefixes(self, kind: Kind, keep: Keep) -> None:
        """Local\\ is where names without a prefix are; Global\\ is another place."""
        keep(kind.create(NAME))
        assert not keep(kind.open(f"Local\\{NAME}")).created
        assert keep(kind.create(f"Global\\{NAME}")).created


class TestClosed:
    @each_kind
    def test_twice(self, kind: Kind) -> None:
        """Closing again has no effect; what needs the handle raises ValueError."""
        made = kind.create(NAME)
        assert not made.closed
        made.close()
        made.close()
        assert made.closed
        with pytest.raises(ValueError, match="closed"):
            assert made.handle
        assert (made.name, made.created) == (NAME, True)

    @each_kind
    def test_by_its_number(self, kind: Kind, keep: Keep) -> None:
        """ClosedError for who goes on with it; another object that has the number by then is left alone."""
        made = kind.create(NAME)
        assert win32.CloseHandle(made.handle)
        others = [keep(kind.create(None)) for _ in range(5)]
        with pytest.raises(namedmap.ClosedError):
            made.view() if kind.name == "mapping" else take(made)
        made.close()
        for each in others:
            assert win32.GetHandleInformation(each.handle, win32.DWORD())

    @each_kind
    def test_repr(self, kind: Kind) -> None:
        """It tells its kind, its name, and that it is closed."""
        made = kind.create(NAME)
        shown = repr(made)
        assert kind.type.__name__ in shown
        assert NAME in shown
        assert "closed" not in shown
        made.close()
        assert "closed" in repr(made)


class TestPickled:
    @each_kind
    def test_by_name(self, kind: Kind, keep: Keep) -> None:
        """A pickle is the name: its receiver opens the object, which has to be there."""
        made = kind.create(NAME)
        data = pickle.dumps(made)
        again = keep(pickle.loads(data))
        assert (type(again), again.name, again.created) == (kind.type, NAME, False)
        made.close()
        again.close()
        with pytest.raises(FileNotFoundError):
            pickle.loads(data)

    @each_kind
    def test_in_a_second_process(self, kind: Kind, second: Second, keep: Keep) -> None:
        made = keep(kind.create(NAME))
        child = second()
        child.run(f"import pickle; held = pickle.loads({pickle.dumps(made)!r})")
        assert child.value("held.name, held.created") == (NAME, False)
        made.close()
        assert not free(NAME)
        child.run("held.close()")
        assert free(NAME)


@pytest.mark.parametrize("verb", ["publish", "attach"])
def test_blocks_take_the_names_of_mappings(verb: str, keep: Keep) -> None:
    """A block is a mapping with a header: the same names, the same errors."""
    use: Any = (lambda name: namedmap.publish(name, b"abc")) if verb == "publish" else namedmap.attach
    with pytest.raises(namedmap.BadValueError, match="empty"):
        use("")
    with pytest.raises(TypeError):
        use(5)
    keep(namedmap.publish(NAME, b"abc"))
    with pytest.raises(namedmap.ExistsError):
        namedmap.publish(NAME, b"def")
    with pytest.raises(namedmap.NotFoundError):
        namedmap.attach(f"{NAME}.missing")
