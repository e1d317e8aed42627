r"""Dead files of other users in the place of `Global\` objects: the name is free at once, for all."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

import namedmap
from calls import as_system_call, forgery, object_path, raw_lock
from calls.kernel import Control, Kind, locks, namespace, procfs, succession
from child import Child, Spawn
from child.users import needs_root
from namedmap import inspection, win32

pytestmark = [needs_root, pytest.mark.leaves_dead_files]

NAME = "Global\\contested"
ALL = "D:(A;;GA;;;WD)"
ANN, BOB, CY = 65534, 65533, 65532


@pytest.fixture
def user(spawn: Spawn) -> Any:
    """Starts processes of users, by their ids."""

    def start(uid: int) -> Child:
        child = spawn(uid=uid)
        child.run(f"""
            from calls.kernel import succession
            def make(security=None):
                global it
                it = create({NAME!r}, security=security)
                return [bool(it), win32.GetLastError()]
            def join():
                global it
                win32.SetLastError(0)
                it = open_({NAME!r}, win32.FILE_MAP_READ)
                return [bool(it), win32.GetLastError()]
            def attempt(security):
                return [*make(security), message()]
            def write(data): poke(view(it), data)
            def read(): return peek(view(it, win32.FILE_MAP_READ), 4)
        """)
        return child

    return start


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """Dead files of several users, which only root can sweep in one go."""
    yield
    for path in files():
        path.unlink()


def files() -> list[Path]:
    base = object_path(NAME)
    return sorted(base.parent.glob(f"{base.name}*"))


def killed(child: Child, security: str | None) -> None:
    assert child.value(f"make({security!r})") == [True, 0]
    child.kill()


both = pytest.mark.parametrize("security", [None, ALL], ids=["0600", "0666"])


class TestFree:
    @both
    def test_the_next_creator_has_the_name(self, user: Any, security: str | None) -> None:
        """Killed, and its file is another user's: a new object at once, which its user's processes find."""
        killed(user(ANN), security)
        bob, other = user(BOB), user(BOB)
        assert other.value("join()") == [False, win32.ERROR_FILE_NOT_FOUND]
        assert bob.value("make()") == [True, 0]
        bob.run("write(b'bobs')")
        assert other.value("join()") == [True, 0]
        assert other.value("read()") == b"bobs"
        assert other.value("make()") == [True, win32.ERROR_ALREADY_EXISTS]

    def test_everybody_finds_the_same(self, user: Any) -> None:
        """The dead one's user, a third one and root too."""
        killed(user(ANN), None)
        bob = user(BOB)
        assert bob.value(f"make({ALL!r})") == [True, 0]
        bob.run("write(b'bobs')")
        for uid in (ANN, CY, 0):
            child = user(uid)
            assert child.value("join()") == [True, 0]
            assert child.value("read()") == b"bobs"
            assert child.value("make()") == [True, win32.ERROR_ALREADY_EXISTS]
            assert child.end() == 0

    @both
    def test_a_living_one_that_grants_nothing_stays(self, user: Any, security: str | None) -> None:
        """No successor is made beside it: access denied, as on Windows."""
        del security
        ann, bob = user(ANN), user(BOB)
        assert ann.value("make()") == [True, 0]
        assert bob.value("make()") == [False, win32.ERROR_ACCESS_DENIED]
        assert bob.value("join()") == [False, win32.ERROR_ACCESS_DENIED]
        assert len(files()) == 1

    def test_its_end(self, user: Any) -> None:
        """A successor that ends leaves nothing, and the name is missing again; the dead file goes with a sweep."""
        ann, bob = user(ANN), user(BOB)
        killed(user(ANN), None)
        assert bob.value("make()") == [True, 0]
        bob.run("win32.CloseHandle(it)")
        assert bob.value("join()") == [False, win32.ERROR_FILE_NOT_FOUND]
        assert files() == [object_path(NAME)]
        ann.run("namespace.current().sweep()")
        assert files() == []

    def test_killed_again_and_again(self, user: Any) -> None:
        """Each user has one place at most: the chain does not grow."""
        for _ in range(3):
            for uid in (ANN, BOB, CY):
                killed(user(uid), None)
        assert len(files()) <= 3

    def test_other_kinds(self, user: Any) -> None:
        """A dead section, and an event in its place."""
        killed(user(ANN), None)
        bob, other = user(BOB), user(BOB)
        bob.run(f"it = win32.CreateEvent(None, True, True, {NAME!r})")
        other.run(f"it = win32.OpenEvent(win32.SYNCHRONIZE, False, {NAME!r})")
        assert other.value("win32.WaitForSingleObject(it, 0)") == 0
        assert other.value("make()") == [False, win32.ERROR_INVALID_HANDLE]

    def test_listings(self, user: Any) -> None:
        """Both are listed under the name, one dead and one living; a question about the name is answered by that."""
        killed(user(ANN), None)
        bob = user(BOB)
        assert bob.value(f"make({ALL!r})") == [True, 0]
        assert sorted((each.name, each.status) for each in inspection.objects()) == [(NAME, "dead"), (NAME, "live")]
        assert (inspection.info(NAME).owner, inspection.info(NAME).status) == (BOB, "live")

    def test_nothing_lists_the_directory(self, user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither creating nor opening nor missing, however many files there are."""
        killed(user(ANN), None)
        bob = user(BOB)
        bob.run("namespace.current(); os.listdir = os.scandir = None")
        assert bob.value("join()") == [False, win32.ERROR_FILE_NOT_FOUND]
        assert bob.value("make()") == [True, 0]
        assert bob.value("make()") == [True, win32.ERROR_ALREADY_EXISTS]
        monkeypatch.undo()


class TestRemovers:
    def test_a_sweep_beside_a_living_successor(self, user: Any) -> None:
        """The dead file stays, since the successor is found through it, but keeps no memory."""
        ann, bob = user(ANN), user(BOB)
        killed(user(ANN), None)
        assert bob.value(f"make({ALL!r})") == [True, 0]
        ann.run("namespace.current().sweep(); namespace.current().sweep()")
        assert object_path(NAME).stat().st_size == 0
        assert ann.value("join()") == [True, 0]
        bob.run("win32.CloseHandle(it)")
        ann.run("win32.CloseHandle(it); namespace.current().sweep()")
        namespace.current().sweep()
        assert [path for path in files() if path.stat().st_uid == ANN] == []

    def test_the_dead_ones_user_comes_back(self, user: Any) -> None:
        """It could remove its own file, but the name has an object by now."""
        killed(user(ANN), None)
        bob = user(BOB)
        assert bob.value("make()") == [True, 0]
        assert user(ANN).value("make()") == [False, win32.ERROR_ACCESS_DENIED]
        bob.run("win32.CloseHandle(it)")
        assert user(ANN).value("make()") == [True, 0]

    def test_root_comes(self, user: Any) -> None:
        """Root could remove everything; with a living successor it joins that."""
        killed(user(ANN), None)
        bob = user(BOB)
        assert bob.value("make()") == [True, 0]
        with pytest.raises(namedmap.ExistsError):
            namedmap.create(NAME, 100)
        bob.run("win32.CloseHandle(it)")
        namedmap.create(NAME, 100).close()
        assert files() == []


@pytest.mark.parametrize("security", [None, ALL], ids=["0600", "0666"])
def test_creators_that_meet(user: Any, security: str | None) -> None:
    """Several users create over a dead file at the same time: one makes the object, and no second one lives."""
    killed(user(ANN), security)
    children = [user(uid) for uid in (ANN, BOB, CY, 65531)]
    for _ in range(15):
        for child in children:
            child.start("value", f"attempt({security!r})")
        found = [child.finish() for child in children]
        alive = [path for path in files() if succession.state(str(path)) == succession.ALIVE]
        assert len(alive) == 1, (found, alive)
        made = [each for each in found if each[1] == 0]
        assert len(made) == 1, found
        refused = win32.ERROR_ACCESS_DENIED if security is None else win32.ERROR_ALREADY_EXISTS
        assert all(each[1] == refused for each in found if each not in made), found
        for child in children:
            child.run("win32.CloseHandle(it) if it else None")
    for child in children:
        child.run("namespace.current().sweep()")


class TestHostile:
    def test_a_successor_of_nothing(self) -> None:
        """A stranger's file in the second place, none in the first: the stranger's name, as if it were the first."""
        with self.strangers(), pytest.raises(namedmap.NotFoundError):
            namedmap.Event.open(NAME)
        with self.strangers(), namedmap.Event(NAME) as event, namedmap.Event.open(NAME):
            assert not event.created

    def test_a_successor_beside_a_living_object(self, spawn: Spawn) -> None:
        """A stranger's file behind it changes nothing, and is nothing when it ends."""
        look = f"win32.WaitForSingleObject(win32.OpenEvent(0x100002, False, {NAME!r}), 0)"
        with namedmap.Event(NAME, mode=0o666) as event, self.strangers():
            for uid in (None, BOB):
                child = spawn(uid=uid)
                assert child.value(look) == win32.WAIT_TIMEOUT
                child.end()
            event.close()
            with pytest.raises(namedmap.NotFoundError):
                namedmap.Event.open(NAME)

    @staticmethod
    def strangers() -> AbstractContextManager[Path]:
        page = Control(Kind.EVENT, "contested", state=(1, 1, 1))
        return forgery.alive(Path(f"{object_path(NAME)}~1"), page, owner=ANN)

    def test_a_dead_file_that_lives_again(self, user: Any) -> None:
        """Its owner locks it when another user has an object behind it: that user goes on with its own."""
        killed(user(ANN), ALL)
        bob, other = user(BOB), user(BOB)
        assert bob.value("make()") == [True, 0]
        bob.run("write(b'bobs')")
        with raw_lock(object_path(NAME), locks.LIVENESS, exclusive=False):
            assert other.value("join()") == [True, 0]
            assert other.value("read()") == b"bobs"
            assert other.value("make()") == [True, win32.ERROR_ALREADY_EXISTS]

    def test_links_in_the_next_place(self, user: Any, tmp_path: Path) -> None:
        """A symbolic link is not followed, a hard link is not taken for the object."""
        killed(user(ANN), None)
        bob, successor = user(BOB), Path(f"{object_path(NAME)}~1")
        successor.symlink_to(tmp_path / "elsewhere")
        assert bob.value("make()") == [False, win32.ERROR_FILE_CORRUPT]
        assert list(tmp_path.iterdir()) == []
        successor.unlink()
        with namedmap.create("Global\\other", 100, mode=0o666):
            os.link(object_path("Global\\other"), successor)
            assert bob.value("make()") == [False, win32.ERROR_FILE_CORRUPT]
            successor.unlink()

    def test_a_long_chain(self, user: Any) -> None:
        """It ends: an error that names the user, and not an endless walk."""
        base = object_path(NAME)
        for path in (base, *(Path(f"{base}~{number}") for number in range(1, succession.LONGEST + 1))):
            forgery.write(path, Control(Kind.EVENT, "contested"))
            os.chown(path, ANN, ANN)
        bob = user(BOB)
        assert bob.value("make()") == [False, win32.ERROR_ACCESS_DENIED]
        assert str(ANN) in bob.value("message()")


class TestFromOutside:
    """A file that may not be read: whether it lives is in /proc/locks, which is believed only if it shows our lock."""

    @pytest.mark.parametrize("shown", [[], OSError(2, "no /proc")])
    def test_a_list_that_shows_nothing(self, monkeypatch: pytest.MonkeyPatch, shown: Any) -> None:
        def locked(_: Any) -> list[Any]:
            if isinstance(shown, OSError):
                raise shown
            return []

        monkeypatch.setattr(procfs, "locked", as_system_call(locked))
        assert succession._from_outside(self.dead()) == succession.ALIVE

    def test_a_dead_one(self) -> None:
        assert succession._from_outside(self.dead()) == succession.DEAD

    def test_a_living_one_and_one_in_the_making(self) -> None:
        path = self.dead()
        for byte, found in ((locks.LIVENESS + 5, succession.ALIVE), (locks.GUARD, succession.BUSY)):
            with raw_lock(Path(path), byte):
                assert succession._from_outside(path) == found

    @staticmethod
    def dead() -> str:
        path = object_path(NAME)
        forgery.write(path, Control(Kind.EVENT, "contested"))
        return str(path)
