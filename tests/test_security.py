"""Security descriptors and users: who may open what, which mode and owner the file of an object has, and bad SDDL."""

import os
import stat
from collections.abc import Callable, Iterator

import pytest

from calls import (
    close,
    create,
    error_of_open,
    message,
    object_files,
    object_path,
    open_section,
    peek,
    poke,
    unmap,
    view,
)
from calls.kernel import locks, table
from child import NOBODY, Child, Spawn
from child.users import needs_root
from namedmap import nt, win32

NAME = "security"
GLOBAL = f"Global\\{NAME}"
GROUP = 12345


def attributes(sddl: str) -> win32.SECURITY_ATTRIBUTES:
    return win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=sddl)


def status(name: str = NAME) -> os.stat_result:
    return object_path(name).stat()


class TestModes:
    """A descriptor string as it is applied: mode, owner and group of the object's file."""

    @pytest.mark.parametrize(
        ("sddl", "mode"),
        [
            (None, 0o600),
            ("", 0o600),
            ("O:S-1-22-1-{uid}", 0o600),
            ("D:", 0o000),
            ("D:P", 0o000),
            ("D:NO_ACCESS_CONTROL", 0o666),
            ("D:(A;;GA;;;OW)", 0o600),
            ("D:(A;;GA;;;CO)", 0o600),
            ("D:(A;;GR;;;OW)", 0o400),
            ("D:(A;;GA;;;WD)", 0o666),
            ("D:(A;;GA;;;S-1-1-0)", 0o666),
            ("D:(A;;GA;;;AU)", 0o666),
            ("D:(A;;GR;;;WD)", 0o444),
            ("D:(A;;GR;;;WD)(A;;GA;;;OW)", 0o644),
            ("D:(A;;GRGW;;;WD)", 0o666),
            ("D:(A;;FR;;;BU)(A;;FA;;;OW)", 0o644),
            ("D:(A;;KR;;;WD)(A;;KA;;;OW)", 0o644),
            ("D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)", 0o600),
            ("D:AI(A;ID;GA;;;OW)", 0o600),
            ("D:(A;;0x4;;;WD)", 0o444),
            ("D:(A;;0x6;;;WD)", 0o666),
            ("D:(A;;0xF0007;;;OW)", 0o600),
            ("D:(A;;0x10000000;;;OW)", 0o600),
            ("D:(A;;GA;;;OW)S:(ML;;NW;;;LW)", 0o600),
            ("O:S-1-22-1-{uid}D:(A;;GA;;;S-1-22-1-{uid})", 0o600),
            (" D:(A;;GA;;;OW) ", 0o600),
        ],
    )
    def test_the_mode(self, sddl: str | None, mode: int) -> None:
        """Everyone includes owner and group; rights are reading and writing."""
        text = (
            sddl
            if sddl is None
            else sddl.format(uid=os.geteuid()).replace("O:S-1-22-1-0", f"O:S-1-22-1-{os.geteuid()}")
        )
        section = create(NAME, security=text)
        assert oct(stat.S_IMODE(status().st_mode)) == oct(mode)
        assert status().st_uid == os.geteuid()
        close(section)
        assert object_files() == []

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
    def test_the_umask_takes_nothing_away(self, umask: int) -> None:
        """A descriptor says what is granted; the umask is for files."""
        before = os.umask(umask)
        try:
            section = create(GLOBAL, security="D:(A;;GA;;;WD)")
        finally:
            os.umask(before)
        assert stat.S_IMODE(status(GLOBAL).st_mode) == 0o666
        close(section)

    @needs_root
    def test_a_group(self) -> None:
        """S-1-22-2-<gid> is a group, as with Samba: the file's group, and its rights."""
        section = create(NAME, security=f"D:(A;;GR;;;S-1-22-2-{GROUP})(A;;GA;;;OW)")
        assert (status().st_gid, stat.S_IMODE(status().st_mode)) == (GROUP, 0o640)
        close(section)

    @needs_root
    def test_owner_and_group(self) -> None:
        """O: and G: are the file's owner and group."""
        section = create(GLOBAL, security=f"O:S-1-22-1-{NOBODY}G:S-1-22-2-{GROUP}D:(A;;GA;;;OW)")
        assert (status(GLOBAL).st_uid, status(GLOBAL).st_gid) == (NOBODY, GROUP)
        close(section)
        assert object_files() == []

    def test_the_other_kinds_take_descriptors_too(self) -> None:
        """Mutexes, events and semaphores, and the native call."""
        everyone = attributes("D:(A;;GA;;;WD)")
        handles = [
            win32.CreateMutex(everyone, False, f"{NAME}-m"),
            win32.CreateEvent(everyone, False, False, f"{NAME}-e"),
            win32.CreateSemaphore(everyone, 1, 1, f"{NAME}-s"),
        ]
        out = win32.HANDLE()
        name = nt.OBJECT_ATTRIBUTES(f"{NAME}-n", 0, None, "D:(A;;GA;;;WD)")
        assert nt.NtCreateSection(out, 0xF001F, name, 4096, win32.PAGE_READWRITE, win32.SEC_COMMIT, None) == 0
        assert all(stat.S_IMODE(status(f"{NAME}-{letter}").st_mode) == 0o666 for letter in "mesn")
        close(*filter(None, handles), out.value or 0)

    def test_a_descriptor_counts_only_for_a_new_object(self) -> None:
        """An opener of an existing object does not change its rights."""
        first = create(NAME)
        second = create(NAME, security="D:(A;;GA;;;WD)")
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
        assert stat.S_IMODE(status().st_mode) == 0o600
        close(first, second)

    def test_unnamed_objects_take_any(self) -> None:
        """There is nobody to refuse."""
        close(create(None, security="D:(A;;GR;;;WD)"))


class TestBadDescriptors:
    """Refused with ERROR_INVALID_SECURITY_DESCR and the reason; never granted more, or less, in silence."""

    @pytest.mark.parametrize(
        ("sddl", "reason"),
        [
            ("garbage", "form"),
            ("D", "form"),
            ("X:(A;;GA;;;WD)", "form"),
            ("D:(A;;GA;;;WD", "list of access entries"),
            ("D:A;;GA;;;WD)", ""),
            ("D:(A;;GA;;WD)", "list of access entries"),
            ("D:()", "list of access entries"),
            ("D:(A;;GA;;;WD)x", "list of access entries"),
            ("D:Q(A;;GA;;;WD)", "list of access entries"),
            ("D:(D;;GA;;;WD)", "allow-entries"),
            ("D:(OA;;GA;;;WD)", "allow-entries"),
            ("D:(AU;;GA;;;WD)", "allow-entries"),
            ("D:(A;;GZ;;;WD)", "rights"),
            ("D:(A;;GRG;;;WD)", "rights"),
            ("D:(A;;0xZZ;;;WD)", "rights"),
            ("D:(A;;GA;;;XX)", "not known"),
            ("D:(A;;GA;;;S-1-5-21-1-2-3-500)", "not known"),
            ("D:(A;;GA;;;S-1-22-1-1)", "not known"),
            ("D:(A;;GA;;;)", "not known"),
            ("D:(A;;GR;;;S-1-22-2-7)(A;;GR;;;S-1-22-2-8)", "more than one group"),
            ("G:S-1-22-2-7D:(A;;GR;;;S-1-22-2-8)", "more than one group"),
            ("O:XX", "own an object"),
            ("O:S-1-22-1-x", ""),
            ("O:S-1-22-1-4294967295", "own an object"),
            ("O:S-1-22-1-99999999999999999999", "own an object"),
            ("O:S-1-22-2-5", "own an object"),
            ("G:S-1-22-1-5", "own an object"),
            ("O:S-1-22-1-²", ""),
            ("D:(A;;GA;;;WD)\0", ""),
            ("D:(A;;GA;;;S-1-22-2-²)", ""),
        ],
    )
    def test_it_is_refused_and_says_why(self, sddl: str, reason: str) -> None:
        """Nothing is created, by any function that takes one."""
        bad = attributes(sddl)
        calls: tuple[Callable[[], object], ...] = (
            lambda: win32.CreateFileMapping(-1, bad, win32.PAGE_READWRITE, 0, 4096, NAME),
            lambda: win32.CreateFileMapping(-1, bad, win32.PAGE_READWRITE, 0, 4096, None),
            lambda: win32.CreateMutex(bad, False, NAME),
            lambda: win32.CreateEvent(bad, False, False, NAME),
            lambda: win32.CreateSemaphore(bad, 1, 1, NAME),
        )
        for call in calls:
            assert call() is None
            assert win32.GetLastError() == win32.ERROR_INVALID_SECURITY_DESCR
            assert reason in message()
            assert repr(sddl)[1:-1] in message()
        assert object_files() == []

    def test_what_may_not_be_given_away_is_an_error(self, spawn: Spawn, second_user: int) -> None:
        """Only root can make an object another user's: access denied, and no object is left."""
        other = spawn(uid=second_user)
        assert other.value("create('x', security='O:S-1-22-1-0D:(A;;GA;;;OW)')") is None
        assert other.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED
        assert "owner" in other.value("message()")
        assert other.value("open_('x')") is None
        assert object_files() == []


class TestUsers:
    """A second user, with processes of their own."""

    @pytest.fixture
    def other(self, spawn: Spawn, second_user: int) -> Child:
        return spawn(uid=second_user)

    def test_local_names_are_the_users_own(self, other: Child) -> None:
        """The same name is another object for another user, whatever was granted."""
        mine = create(NAME, security="D:(A;;GA;;;WD)")
        mine_view = view(mine)
        assert poke(mine_view, b"mine")
        assert other.value(f"open_({NAME!r})") is None
        assert other.value("win32.GetLastError()") == win32.ERROR_FILE_NOT_FOUND
        other.run(f"h = create({NAME!r}); fresh = win32.GetLastError() == 0; poke(view(h), b'his')")
        assert other.value("fresh")
        assert peek(mine_view, 4) == b"mine"
        unmap(mine_view)
        close(mine)
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
        assert other.value("bool(open_('security'))")
        other.end()
        assert object_files() == []

    @pytest.mark.leaves_dead_files  # another user closes last, who may not delete in the sticky root
    def test_global_names_are_everybodys(self, other: Child) -> None:
        """With rights for everyone, both share memory, and both keep it."""
        mine = create(GLOBAL, security="D:(A;;GA;;;WD)")
        mine_view = view(mine)
        other.run(f"h = create({GLOBAL!r}); existed = win32.GetLastError() == 183; v = view(h); poke(v, b'his')")
        assert other.value("existed")
        assert peek(mine_view, 3) == b"his"
        close(mine)
        again = open_section(GLOBAL)
        close(again)
        unmap(mine_view)
        other.run("win32.UnmapViewOfFile(v)")
        assert other.value("win32.CloseHandle(h)")
        assert error_of_open(GLOBAL) == win32.ERROR_FILE_NOT_FOUND

    @pytest.mark.leaves_dead_files
    def test_the_last_closer_need_not_be_the_owner(self, other: Child) -> None:
        """Another user closes last: the name goes; its file may stay, dead, until its owner sweeps."""
        mine = create(GLOBAL, security="D:(A;;GA;;;WD)")
        other.run(f"h = open_({GLOBAL!r})")
        close(mine)
        other.run("win32.CloseHandle(h)")
        assert error_of_open(GLOBAL) == win32.ERROR_FILE_NOT_FOUND
        close(create(GLOBAL))
        assert object_files() == []

    @pytest.mark.parametrize("security", [None, "D:(A;;GA;;;OW)", "D:", f"D:(A;;GA;;;S-1-22-2-{GROUP})(A;;GA;;;OW)"])
    @pytest.mark.parametrize("kind", ["section", "mutex", "event"])
    def test_without_rights_access_is_denied(self, other: Child, security: str | None, kind: str) -> None:
        """To open, and to create what exists; and the error says which object."""
        given = None if security is None else attributes(security)
        if kind == "section":
            mine = win32.CreateFileMapping(-1, given, win32.PAGE_READWRITE, 0, 4096, GLOBAL)
            calls = [f"open_({GLOBAL!r})", f"open_({GLOBAL!r}, win32.FILE_MAP_READ)", f"create({GLOBAL!r})"]
        elif kind == "mutex":
            mine = win32.CreateMutex(given, False, GLOBAL)
            calls = [
                f"win32.OpenMutex(win32.SYNCHRONIZE, False, {GLOBAL!r})",
                f"win32.CreateMutex(None, False, {GLOBAL!r})",
            ]
        else:
            mine = win32.CreateEvent(given, False, False, GLOBAL)
            calls = [f"win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, {GLOBAL!r})"]
        assert mine, message()
        for call in calls:
            assert other.value(call) is None
            assert other.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED
            assert "security" in other.value("message()")
        close(mine)

    @pytest.mark.leaves_dead_files  # another user closes last, who may not delete in the sticky root
    def test_a_reader_maps_for_reading_only(self, other: Child) -> None:
        """Read rights for everyone: views to read and copy, none to write, by no way around."""
        mine = create(GLOBAL, security="D:(A;;GR;;;WD)(A;;GA;;;OW)")
        mine_view = view(mine)
        assert poke(mine_view, b"broadcast")
        other.run(f"h = open_({GLOBAL!r}, win32.FILE_MAP_READ)")
        assert other.value("peek(view(h, win32.FILE_MAP_READ), 9)") == b"broadcast"
        assert other.value("view(h, win32.FILE_MAP_WRITE)") is None
        assert other.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED
        other.run("c = view(h, win32.FILE_MAP_COPY); poke(c, b'private')")
        assert peek(mine_view, 9) == b"broadcast"
        for access in (
            "win32.FILE_MAP_WRITE",
            "win32.FILE_MAP_ALL_ACCESS",
            "win32.FILE_MAP_READ | win32.FILE_MAP_WRITE",
        ):
            assert other.value(f"open_({GLOBAL!r}, {access})") is None
            assert other.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED
        # A duplicate with more rights than the file grants: refused, or of no use for writing.
        other.run("d = win32.HANDLE(); win32.DuplicateHandle(-1, h, -1, d, win32.FILE_MAP_WRITE, False, 0)")
        assert other.value("d.value and view(d.value, win32.FILE_MAP_WRITE)") is None
        old = "win32.DWORD()"
        assert not other.value(f"win32.VirtualProtect(view(h, win32.FILE_MAP_READ), 4096, win32.PAGE_READWRITE, {old})")
        assert poke(mine_view, b"BROADCAST")
        assert other.value("peek(view(h, win32.FILE_MAP_READ), 9)") == b"BROADCAST"
        unmap(mine_view)
        close(mine)

    def test_a_reader_keeps_the_object(self, other: Child) -> None:
        """A handle that may only read is a handle: the name stays, the creator may come back."""
        mine = create(GLOBAL, security="D:(A;;GR;;;WD)(A;;GA;;;OW)")
        other.run(f"h = open_({GLOBAL!r}, win32.FILE_MAP_READ)")
        close(mine)
        again = open_section(GLOBAL)
        close(again)
        other.run("win32.CloseHandle(h)")
        assert error_of_open(GLOBAL) == win32.ERROR_FILE_NOT_FOUND
        close(create(GLOBAL))
        assert object_files() == []

    def test_a_reader_by_group(self, spawn: Spawn, second_user: int) -> None:
        """Rights of a group are those of its members."""
        mine = create(GLOBAL, security=f"D:(A;;GR;;;S-1-22-2-{GROUP})(A;;GA;;;OW)")
        member, stranger = spawn(uid=second_user, groups=(GROUP,)), spawn(uid=second_user)
        assert member.value(f"bool(open_({GLOBAL!r}, win32.FILE_MAP_READ))")
        assert member.value(f"open_({GLOBAL!r}, win32.FILE_MAP_WRITE)") is None
        assert stranger.value(f"open_({GLOBAL!r}, win32.FILE_MAP_READ)") is None
        assert stranger.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED
        member.end()
        close(mine)

    @pytest.mark.leaves_dead_files  # another user closes last, who may not delete in the sticky root
    def test_a_group_that_writes(self, spawn: Spawn, second_user: int) -> None:
        """And so on for writing."""
        mine = create(GLOBAL, security=f"D:(A;;GA;;;S-1-22-2-{GROUP})(A;;GA;;;OW)")
        mine_view = view(mine)
        member = spawn(uid=second_user, gid=GROUP)
        member.run(f"poke(view(open_({GLOBAL!r})), b'team')")
        assert peek(mine_view, 4) == b"team"
        unmap(mine_view)
        close(mine)

    def test_an_owner_without_write_access(self, other: Child) -> None:
        """D:(A;;GR;;;OW): the creator's own handle may write; those that are opened later may not; nothing is left."""
        other.run(f"h = create({NAME!r}, security='D:(A;;GR;;;OW)'); poke(view(h), b'once')")
        assert other.value(f"bool(open_({NAME!r}, win32.FILE_MAP_READ))")
        other.end()
        assert object_files() == []

    def test_a_read_only_object_of_a_dead_owner_is_swept(self, other: Child, spawn: Spawn, second_user: int) -> None:
        """Removing a file takes no right to write to it."""
        other.run(f"h = create({NAME!r}, security='D:(A;;GR;;;OW)')")
        other.kill()
        later = spawn(uid=second_user)
        later.run("namespace.current().sweep()")
        assert object_files() == []

    def test_a_reader_that_closes_last_leaves_nothing_of_his_own(
        self, other: Child, spawn: Spawn, second_user: int
    ) -> None:
        """The same user's second process could only read; it closes last."""
        other.run(f"h = create({NAME!r}, security='D:(A;;GR;;;OW)')")
        reader = spawn(uid=second_user)
        reader.run(f"h = open_({NAME!r}, win32.FILE_MAP_READ)")
        assert reader.value("bool(h)")
        other.run("win32.CloseHandle(h)")
        reader.run("again = open_('security', win32.FILE_MAP_READ); win32.CloseHandle(again); win32.CloseHandle(h)")
        assert reader.value("open_('security', win32.FILE_MAP_READ)") is None
        reader.run("namespace.current().sweep()")
        assert object_files() == []

    def test_root_of_the_objects_is_shared_but_not_rearranged(self, other: Child) -> None:
        """The other user cannot delete or replace a Global object's file: the root is sticky."""
        mine = create(GLOBAL, security="D:(A;;GA;;;WD)")
        path = object_path(GLOBAL)
        other.run(f"""
            try: os.unlink({str(path)!r}); gone = True
            except PermissionError: gone = False
            """)
        assert other.value("gone") is False
        close(open_section(GLOBAL), mine)

    def test_a_user_cannot_take_a_name_away_by_its_locks(self, other: Child, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reader holds the guard for good: creators are told who it is; openers and closers go on."""
        monkeypatch.setattr(locks, "GUARD_TIMEOUT", 0.25)
        mine = create(GLOBAL, security="D:(A;;GR;;;WD)(A;;GA;;;OW)")
        path = str(object_path(GLOBAL))
        other.run(f"fd = os.open({path!r}, os.O_RDONLY); assert locks.try_lock(fd, locks.GUARD)")
        close(open_section(GLOBAL))
        assert win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, GLOBAL) is None
        assert win32.GetLastError() == win32.ERROR_LOCK_VIOLATION
        assert f"process {other.pid}" in message()
        close(mine)
        assert error_of_open(GLOBAL) == win32.ERROR_FILE_NOT_FOUND
        other.run("os.close(fd)")
        close(create(GLOBAL))


@pytest.fixture(autouse=True)
def handles_are_closed() -> Iterator[None]:
    """No test here leaves a handle open in this process."""
    yield
    assert table.entries() == []
