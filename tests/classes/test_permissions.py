"""Permissions: who else may use an object, by mode, group or security descriptor; nobody, unless it is said."""

import os
from pathlib import Path
from typing import Any

import pytest

import namedmap
from child import NOBODY
from classes.capabilities import Capability, needs
from classes.conftest import Keep, Second
from classes.each import each_kind
from classes.kinds import Kind

NAME = "Global\\classes.permissions"
CLOSED = "D:(A;;GA;;;OW)"
READERS = "D:(A;;GA;;;OW)(A;;GR;;;WD)"
EVERYONE = "D:(A;;GA;;;WD)"


def asked(kind: Kind, child: Any) -> tuple[str | None, str | None]:
    """The answers to another user who opens the object: to look at it, and to use it as its owner does."""
    if kind.name == "mapping":
        read, write = (f"raised(namedmap.open, {NAME!r}, {access!r})" for access in ("read", "write"))
        return child.value(read), child.value(write)
    found = child.value(f"raised(kind({kind.name!r}).open, {NAME!r})")
    return found, found


class TestAnotherUser:
    """Of a mapping each may be granted; a mutex, a semaphore and an event are used by changing them."""

    @needs(Capability.USERS)
    @each_kind
    def test_is_let_in_by_nothing(self, kind: Kind, second: Second, second_user: int, keep: Keep) -> None:
        """An object is its user's alone."""
        keep(kind.create(NAME))
        assert asked(kind, second(uid=second_user)) == ("AccessDeniedError", "AccessDeniedError")

    @needs(Capability.USERS, Capability.MODES)
    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o660, 0o644, 0o666])
    @each_kind
    def test_is_let_in_by_the_mode(self, kind: Kind, mode: int, second: Second, second_user: int, keep: Keep) -> None:
        """As far as the bits of others go."""
        keep(kind.create(NAME, mode=mode))
        denied = "AccessDeniedError"
        reads, writes = (None if mode & bit else denied for bit in (4, 2))
        expected = (reads, writes) if kind.name == "mapping" else (writes, writes)
        assert asked(kind, second(uid=second_user)) == expected

    @needs(Capability.USERS)
    @pytest.mark.parametrize("sddl", [CLOSED, READERS, EVERYONE])
    @each_kind
    def test_is_let_in_by_a_descriptor(
        self, kind: Kind, sddl: str, second: Second, second_user: int, keep: Keep
    ) -> None:
        keep(kind.create(NAME, security=sddl))
        denied = "AccessDeniedError"
        reads, writes = None if sddl != CLOSED else denied, None if sddl == EVERYONE else denied
        expected = (reads, writes) if kind.name == "mapping" else (writes, writes)
        assert asked(kind, second(uid=second_user)) == expected

    @needs(Capability.USERS, Capability.MODES)
    @pytest.mark.parametrize("by_name", [True, False], ids=["by name", "by number"])
    @each_kind
    def test_is_let_in_by_a_group(
        self, kind: Kind, by_name: bool, second: Second, second_user: int, keep: Keep
    ) -> None:
        """Its members are, others are not."""
        import grp

        group = grp.getgrgid(os.getegid())
        keep(kind.create(NAME, group=group.gr_name if by_name else group.gr_gid))
        assert asked(kind, second(uid=second_user, gid=group.gr_gid)) == (None, None)
        assert asked(kind, second(uid=second_user, gid=NOBODY)) == ("AccessDeniedError", "AccessDeniedError")

    @needs(Capability.USERS)
    @each_kind
    def test_cannot_take_a_name(self, kind: Kind, second: Second, second_user: int, keep: Keep) -> None:
        """An object that is closed to it cannot be replaced either; its own object is its own."""
        keep(kind.create(NAME))
        child = second(uid=second_user)
        assert child.value(f"raised(kind({kind.name!r}).create, {NAME!r})") in ("AccessDeniedError", "ExistsError")
        child.run(f"held = kind({kind.name!r}).create({NAME + '.own'!r})")
        child.run("held.close()")

    @needs(Capability.USERS)
    @each_kind
    def test_does_not_see_local_names(self, kind: Kind, second: Second, second_user: int, keep: Keep) -> None:
        """Only Global\\ is common to users, whatever the permissions."""
        keep(kind.create("classes.local"))
        child = second(uid=second_user)
        assert child.value(f"raised(kind({kind.name!r}).open, 'classes.local')") == "NotFoundError"

    @needs(Capability.USERS)
    def test_uses_what_it_was_let_into(self, second: Second, second_user: int, keep: Keep) -> None:
        """Memory, a lock and a wait work between users."""
        who: dict[str, Any] = {"security": EVERYONE}
        view = keep(keep(namedmap.create(f"{NAME}.m", 100, **who)).view())
        event, mutex = keep(namedmap.Event(f"{NAME}.e", **who)), keep(namedmap.Mutex(f"{NAME}.x", **who))
        child = second(uid=second_user)
        child.run(f"m, e, x = namedmap.open({NAME + '.m'!r}), Event.open({NAME + '.e'!r}), Mutex.open({NAME + '.x'!r})")
        child.run("x.acquire(); m.view()[0] = 7; e.set()")
        assert (event.wait(60), view[0], mutex.acquire(0)) == (True, 7, False)
        child.run("x.release()")
        assert mutex.acquire(60)
        mutex.release()
        child.run("for each in (m, e, x): each.close()")


class TestValues:
    @needs(Capability.MODES)
    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o660, 0o664, 0o666, 0o444, 0o700])
    @each_kind
    def test_modes(self, kind: Kind, mode: int, keep: Keep) -> None:
        """Every mode that lets whoever writes read too."""
        assert keep(kind.create(NAME, mode=mode)).created

    @pytest.mark.parametrize("mode", [0o066, 0o222, 0o620, 0o602, 0o601, -1, 0o1000, 1 << 70])
    @each_kind
    def test_modes_that_cannot_be(self, kind: Kind, mode: int) -> None:
        """BadValueError, which shows the mode."""
        for verb in (kind.create, kind.open_or_create):
            with pytest.raises(namedmap.BadValueError, match=r"mode -?0o"):
                verb(NAME, mode=mode)

    @pytest.mark.parametrize("mode", ["rw", 6.0, b"", (6, 6, 0)])
    @each_kind
    def test_what_is_no_mode(self, kind: Kind, mode: object) -> None:
        with pytest.raises(TypeError, match="mode"):
            kind.create(NAME, mode=mode)

    @pytest.mark.parametrize(
        "sddl",
        [
            "garbage",
            pytest.param("D:(A;;GA;;;", marks=needs(Capability.STRICT_SDDL)),
            "D:(X;;GA;;;WD)",
            pytest.param("O:nobody", marks=needs(Capability.STRICT_SDDL)),
            "D:(A;;ZZ;;;WD)",
        ],
    )
    @each_kind
    def test_descriptors_that_cannot_be(self, kind: Kind, sddl: str) -> None:
        for verb in (kind.create, kind.open_or_create):
            with pytest.raises(namedmap.Error):
                verb(NAME, security=sddl)

    @needs(Capability.MODES)
    @each_kind
    def test_groups_that_cannot_be(self, kind: Kind) -> None:
        """One that there is not, or that its user does not belong to."""
        for group in ("no such group", "a\0b", "\ud800", -1, (1 << 32) - 1, 1 << 40):
            with pytest.raises(namedmap.BadValueError, match="no group"):
                kind.create(NAME, group=group)
        for wrong in (1.5, b"root", [0]):
            with pytest.raises(TypeError):
                kind.create(NAME, group=wrong)

    @each_kind
    def test_both(self, kind: Kind) -> None:
        """A descriptor stands in the place of mode and group."""
        for more in ({"mode": 0o600}, {"group": 0}):
            with pytest.raises(TypeError, match="not by both"):
                kind.create(NAME, security=EVERYONE, **more)

    @needs(Capability.MODES)
    def test_the_mode_of_a_new_file(self, tmp_path: Path) -> None:
        """A file that is made by mapping it has the mode that was asked for, whatever the umask."""
        before = os.umask(0o077)
        try:
            namedmap.map_file(tmp_path / "new", 10, "write", create=True, mode=0o640).close()
            namedmap.map_file(tmp_path / "other", 10, "write", create=True).close()
        finally:
            os.umask(before)
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
        assert (tmp_path / "other").stat().st_mode & 0o777 == 0o600

    def test_who_comes_later_changes_nothing(self, keep: Keep) -> None:
        """Permissions are the creator's: an opener may ask for others, which have no effect."""
        keep(namedmap.create(NAME, 100, security=EVERYONE))
        with namedmap.open_or_create(NAME, 100, security=CLOSED) as found:
            assert not found.created
