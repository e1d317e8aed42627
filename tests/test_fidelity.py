"""Details of Windows that programs seldom meet: paths through objects, pseudo handles in waits, guard pages."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import pytest

import namedmap
from child import Spawn
from namedmap import nt, ntstatus, win32

pytestmark = pytest.mark.usefixtures("tidy")

PAGE = 4096
S = ntstatus.NTSTATUS


class TestPathsThroughObjects:
    r"""Foo\Bar, where Foo is an object and no directory."""

    @pytest.mark.parametrize("name", ["Foo\\Bar", "Local\\Foo\\Bar", "Foo\\Bar\\Baz", "Foo\\", "Session\\1\\Foo\\Bar"])
    def test_every_kind_of_call(self, name: str) -> None:
        """6, as for another kind of object; 3 before it exists, and when it has gone."""
        calls: list[Callable[[], object]] = [
            lambda: win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, PAGE, name),
            lambda: win32.OpenFileMapping(win32.FILE_MAP_READ, False, name),
            lambda: win32.CreateMutex(None, False, name),
            lambda: win32.OpenMutex(win32.SYNCHRONIZE, False, name),
            lambda: win32.CreateSemaphore(None, 1, 1, name),
            lambda: win32.OpenEvent(win32.SYNCHRONIZE, False, name),
        ]
        for exists in (False, True, False):
            held = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, PAGE, "Foo") if exists else None
            for call in calls:
                assert not call()
                expected = win32.ERROR_INVALID_HANDLE if exists else win32.ERROR_PATH_NOT_FOUND
                assert win32.GetLastError() == expected, name
            if held:
                assert win32.CloseHandle(held)

    def test_the_object_of_another_process(self, spawn: Spawn) -> None:
        """It counts, of whatever kind, while somebody holds it, and in its own directory only."""
        child = spawn()
        child.run("h = win32.CreateMutex(None, False, 'Foo')")
        assert not win32.OpenEvent(win32.SYNCHRONIZE, False, "Foo\\Bar")
        assert win32.GetLastError() == win32.ERROR_INVALID_HANDLE
        assert not win32.OpenEvent(win32.SYNCHRONIZE, False, "Global\\Foo\\Bar")
        assert win32.GetLastError() == win32.ERROR_PATH_NOT_FOUND
        child.run("win32.CloseHandle(h)")
        assert not win32.OpenEvent(win32.SYNCHRONIZE, False, "Foo\\Bar")
        assert win32.GetLastError() == win32.ERROR_PATH_NOT_FOUND

    def test_native(self) -> None:
        """STATUS_OBJECT_TYPE_MISMATCH, relative and absolute."""
        with namedmap.Event("Foo"):
            for name in ("Foo\\Bar", "\\Sessions\\1\\BaseNamedObjects\\Foo\\Bar"):
                status = nt.NtOpenSection(nt.HANDLE(), 4, nt.OBJECT_ATTRIBUTES(name))
                assert status == S.STATUS_OBJECT_TYPE_MISMATCH
        assert nt.NtOpenSection(nt.HANDLE(), 4, nt.OBJECT_ATTRIBUTES("Foo\\Bar")) == S.STATUS_OBJECT_PATH_NOT_FOUND


class TestPseudoHandles:
    @pytest.mark.parametrize("every", [False, True])
    @pytest.mark.parametrize("pseudo", [-1, -2])
    def test_in_a_wait_for_several(self, pseudo: int, every: bool) -> None:
        """6, at any place and alone; a wait for one takes them."""
        event = win32.CreateEvent(None, True, True, None)
        for handles in ([pseudo], [event, pseudo], [pseudo, event]):
            assert win32.WaitForMultipleObjects(len(handles), handles, every, 0) == win32.WAIT_FAILED
            assert win32.GetLastError() == win32.ERROR_INVALID_HANDLE
        assert win32.WaitForSingleObject(pseudo, 0) == win32.WAIT_TIMEOUT
        assert win32.CloseHandle(event)


class TestOpenIf:
    """NtCreateSection with OBJ_OPENIF of a section that exists: the access asked for decides, not the protection."""

    OPENIF = 0x80

    def create(self, access: int, protect: int = 4) -> int:
        handle, size = nt.HANDLE(), nt.LARGE_INTEGER(PAGE)
        attributes = nt.OBJECT_ATTRIBUTES("openif", self.OPENIF)
        status = nt.NtCreateSection(handle, access, attributes, size, protect, 0x8000000, None)
        if handle.value:
            assert win32.CloseHandle(handle.value)
        return status

    def test_of_ones_own(self) -> None:
        """Access 0 is refused, as in every open; with a new name it makes a section."""
        assert self.create(0) == 0
        with namedmap.create("openif", PAGE):
            assert self.create(0) == S.STATUS_ACCESS_DENIED
            assert self.create(4) == self.create(0xF001F) == self.create(0x02000000) == S.STATUS_OBJECT_NAME_EXISTS

    def test_of_another_user(self, spawn: Spawn, second_user: int) -> None:
        """More than the owner grants is refused, with whatever protection; reading is not."""
        security = "D:(A;;GR;;;WD)(A;;GA;;;OW)"
        with namedmap.create(r"Global\openif", PAGE, security=security):
            child = spawn(uid=second_user)
            child.run("""
                def create(access, protect):
                    handle, size = nt.HANDLE(), nt.LARGE_INTEGER(4096)
                    attributes = nt.OBJECT_ATTRIBUTES(r"\\BaseNamedObjects\\openif", 0x80)
                    status = nt.NtCreateSection(handle, access, attributes, size, protect, 0x8000000, None)
                    rights = nt.OBJECT_BASIC_INFORMATION()
                    if handle.value:
                        nt.NtQueryObject(handle.value, 0, rights, 56)
                        win32.CloseHandle(handle.value)
                    return int(status), rights.GrantedAccess
                """)
            for protect in (2, 4):
                assert child.value(f"create(4, {protect})") == (S.STATUS_OBJECT_NAME_EXISTS, 4)
                for access in (2, 6, 0x10, 0xF001F, 0x40000000, 0x10000000):
                    assert child.value(f"create({access}, {protect})") == (S.STATUS_ACCESS_DENIED, 0)
                status, granted = child.value(f"create(0x02000000, {protect})")
                assert status == S.STATUS_OBJECT_NAME_EXISTS
                assert granted & 0x16 == 4


class TestExtend:
    def test_the_size_after_a_failure(self, a_dat: Path) -> None:
        """It is what was asked for; only a success says how long the section is."""
        share = win32.FILE_SHARE_READ | win32.FILE_SHARE_WRITE
        file = win32.CreateFile(str(a_dat), 0xC0000000, share, None, win32.OPEN_EXISTING, 0, None)
        memory = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, PAGE, None)
        section, reader = nt.HANDLE(), nt.HANDLE()
        assert nt.NtCreateSection(section, 0xF001F, None, None, 4, 0x8000000, file) == 0
        assert nt.NtCreateSection(reader, 0xF000F, None, None, 4, 0x8000000, file) == 0
        for handle, status in (
            (memory, S.STATUS_ACCESS_DENIED),
            (reader.value, S.STATUS_ACCESS_DENIED),
            (file, S.STATUS_OBJECT_TYPE_MISMATCH),
            (0x123450, S.STATUS_INVALID_HANDLE),
            (section.value, S.STATUS_SECTION_TOO_BIG),
        ):
            wanted = 2**63 - 1 if handle == section.value else 12345
            size = nt.LARGE_INTEGER(wanted)
            assert nt.NtExtendSection(handle, size) == status
            assert size.value == wanted
        size = nt.LARGE_INTEGER(5)
        assert nt.NtExtendSection(section.value, size) == 0
        assert size.value == 10
        for each in (file, memory, section.value, reader.value):
            assert win32.CloseHandle(each)


def guarded(pages: int = 3, first: int = 1, count: int = 1) -> int:
    """Pages of which some are guard pages."""
    base = win32.VirtualAlloc(None, pages * PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE)
    assert base
    guard = win32.PAGE_READWRITE | win32.PAGE_GUARD
    assert win32.VirtualProtect(base + first * PAGE, count * PAGE, guard, win32.DWORD())
    return base


def protection(address: int) -> int:
    info = win32.MEMORY_BASIC_INFORMATION()
    assert win32.VirtualQuery(address, info, 48)
    return int(info.Protect)


class TestGuardPages:
    """PAGE_GUARD is an alarm that comes once: what meets the page fails, and the page is as it was before."""

    @pytest.fixture
    def file(self, a_dat: Path) -> int:
        a_dat.write_bytes(b"x" * 4 * PAGE)
        access = win32.GENERIC_READ | win32.GENERIC_WRITE
        return win32.CreateFile(str(a_dat), access, 0, None, win32.OPEN_EXISTING, 0, None)

    @pytest.mark.parametrize("owned", [False, True])
    def test_read(self, file: int, owned: bool) -> None:
        """ReadFile fails with 998 and moves nothing; then it succeeds. An address, or an object that lies there."""
        base = guarded()
        buffer = (ctypes.c_char * (3 * PAGE)).from_address(base) if owned else base
        done = win32.DWORD()
        assert not win32.ReadFile(file, buffer, 3 * PAGE, done, None)
        assert (win32.GetLastError(), done.value) == (win32.ERROR_NOACCESS, 0)
        assert protection(base + PAGE) == win32.PAGE_READWRITE
        assert win32.ReadFile(file, buffer, 3 * PAGE, done, None)
        assert ctypes.string_at(base, 3 * PAGE) == b"x" * 3 * PAGE
        assert win32.SetFilePointer(file, 0, None, win32.FILE_CURRENT) == 3 * PAGE

    def test_write(self, file: int, a_dat: Path) -> None:
        """WriteFile fails with 1784, once for each page."""
        base = guarded(4, 1, 2)
        done = win32.DWORD()
        for page in (1, 2):
            assert not win32.WriteFile(file, base, 4 * PAGE, done, None)
            assert win32.GetLastError() == win32.ERROR_INVALID_USER_BUFFER
            assert protection(base + page * PAGE) == win32.PAGE_READWRITE
            assert a_dat.read_bytes() == b"x" * 4 * PAGE
        assert win32.WriteFile(file, base, 4 * PAGE, done, None)
        assert a_dat.read_bytes() == bytes(4 * PAGE)

    def test_beside(self, file: int) -> None:
        """A transfer that does not meet the page leaves it on guard; so does a query."""
        base = guarded()
        done = win32.DWORD()
        assert win32.ReadFile(file, base, PAGE, done, None)
        assert win32.ReadFile(file, base + 2 * PAGE, PAGE, done, None)
        assert win32.ReadFile(file, base + PAGE, 0, done, None)
        assert protection(base + PAGE) == win32.PAGE_READWRITE | win32.PAGE_GUARD
        old = win32.DWORD()
        assert win32.VirtualProtect(base + PAGE, PAGE, win32.PAGE_READONLY, old)
        assert old.value == win32.PAGE_READWRITE | win32.PAGE_GUARD

    def test_guard_pages_of_an_allocation(self, file: int) -> None:
        """Those that were committed as such, and those of views."""
        base = win32.VirtualAlloc(None, 2 * PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE | win32.PAGE_GUARD)
        assert base
        section = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 2 * PAGE, None)
        view = win32.MapViewOfFile(section, win32.FILE_MAP_WRITE, 0, 0, 0)
        assert view
        assert win32.VirtualProtect(view, 2 * PAGE, win32.PAGE_READWRITE | win32.PAGE_GUARD, win32.DWORD())
        done = win32.DWORD()
        for place in (base, view):
            outcomes = [win32.ReadFile(file, place, 2 * PAGE, done, None) for _ in range(3)]
            assert outcomes == [False, False, True]
        assert win32.CloseHandle(section)
        assert win32.UnmapViewOfFile(view)

    def test_methods_of_views(self, a_dat: Path) -> None:
        """A careful access of a view raises PageError once."""
        a_dat.write_bytes(b"x" * 2 * PAGE)
        with namedmap.map_file(a_dat, access="write") as mapping, mapping.view() as view:
            guard = win32.PAGE_READWRITE | win32.PAGE_GUARD
            for _ in range(2):
                assert win32.VirtualProtect(view.address, 2 * PAGE, guard, win32.DWORD())
                with pytest.raises(namedmap.PageError, match="guard page"):
                    view.write(PAGE, b"yy")
                view.write(PAGE, b"yy")
                assert protection(view.address) == guard

    def test_through_ctypes(self) -> None:
        """RtlMoveMemory raises the OSError that ctypes raises on Windows, once."""
        from namedmap.compat.windll import windll

        base = guarded()
        target = ctypes.create_string_buffer(10)
        with pytest.raises(OSError, match="access violation"):
            windll.kernel32.RtlMoveMemory(target, ctypes.c_void_p(base + PAGE), 10)
        windll.kernel32.RtlMoveMemory(target, ctypes.c_void_p(base + PAGE), 10)
