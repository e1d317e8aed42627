"""Foreign things in the place of an object or of the directory of names, and damaged object files: clear errors."""

import binascii
import os
import shutil
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from calls import (
    alive,
    close,
    create,
    error_of_create,
    error_of_open,
    message,
    object_path,
    peek,
    sweep,
    unmap,
    valid_file,
    view,
)
from child import NOBODY, Spawn
from child.users import needs_root
from namedmap import nt, win32

NAME = "hostile"
PAGE = 4096


@pytest.fixture
def place() -> Iterator[Path]:
    """Where the object's file belongs; whatever is there at the end is removed."""
    close(create(f"{NAME}-first"))  # makes the directory
    path = object_path(NAME)
    yield path
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


#: The header of the control page; a checksum of these 112 bytes follows.
HEADER = struct.Struct("<8sIIIIIIQQQQQIIQQIIQ")
FIELDS = (
    "magic", "version", "kind", "flags", "protection", "attributes", "uid", "size", "requested", "data", "bitmap",
    "text", "name_length", "path_length", "device", "inode", "pid", "reserved", "created",
)  # fmt: skip


def forged(content: bytearray, *, checksum: bool = True, **fields: int | bytes) -> bytearray:
    """A copy with other values in the header; with a checksum that is right for them, or the old one."""
    base = len(content) - PAGE
    values = dict(zip(FIELDS, HEADER.unpack_from(content, base), strict=True)) | fields
    copy = bytearray(content)
    HEADER.pack_into(copy, base, *values.values())
    if checksum:
        struct.pack_into("<I", copy, base + HEADER.size, binascii.crc32(copy[base : base + HEADER.size]))
    return copy


class TestInThePlaceOfAnObject:
    """Something else has the name of the object's file."""

    def put(self, what: str, path: Path, elsewhere: Path) -> None:
        if what == "symlink":
            elsewhere.write_bytes(b"precious")
            path.symlink_to(elsewhere)
        elif what == "dangling symlink":
            path.symlink_to(elsewhere)
        elif what == "symlink to itself":
            path.symlink_to(path)
        elif what == "directory":
            path.mkdir()
        elif what == "FIFO":
            os.mkfifo(path)
        elif what == "socket":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))

    @pytest.mark.parametrize(
        "what", ["symlink", "dangling symlink", "symlink to itself", "directory", "FIFO", "socket"]
    )
    def test_no_regular_file_is_an_error_that_names_it(self, place: Path, tmp_path: Path, what: str) -> None:
        """Neither followed, nor waited for, nor removed; and the error says where it is."""
        self.put(what, place, tmp_path / "elsewhere")
        for failure in (error_of_open, error_of_create):
            assert failure(NAME) == win32.ERROR_FILE_CORRUPT
            assert str(place) in message()
            assert "remove" in message()
        assert win32.OpenMutex(win32.SYNCHRONIZE, False, NAME) is None
        assert win32.CreateEvent(None, True, False, NAME) is None
        assert os.path.lexists(place)
        if what == "symlink":
            assert (tmp_path / "elsewhere").read_bytes() == b"precious"
        else:
            assert not (tmp_path / "elsewhere").exists()

    @pytest.mark.parametrize("what", ["symlink", "directory", "FIFO", "socket"])
    def test_a_sweep_leaves_it(self, place: Path, tmp_path: Path, what: str) -> None:
        """Only files that objects left are swept."""
        self.put(what, place, tmp_path / "elsewhere")
        assert sweep() == 0
        assert os.path.lexists(place)

    @pytest.mark.parametrize(
        "content",
        [b"", b"x", b"garbage" * 1000, bytes(PAGE), b"NAMEDMAP", b"NAMEDMAP".ljust(PAGE, b"\xff"), bytes(3 * PAGE)],
        ids=["empty", "one byte", "garbage", "zeros", "magic only", "magic and ones", "more zeros"],
    )
    class TestGarbage:
        def test_dead_it_is_no_object_and_in_nobodys_way(self, place: Path, content: bytes) -> None:
            """Nobody holds it: there is no object, and a new one can be made."""
            place.write_bytes(content)
            assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
            section = create(NAME)
            assert win32.GetLastError() == win32.ERROR_SUCCESS
            found = view(section)
            assert peek(found, PAGE) == bytes(PAGE)
            unmap(found)
            close(section)
            assert not place.exists()

        def test_alive_it_is_refused(self, place: Path, content: bytes) -> None:
            """Somebody holds life on it: an error that says what to do, for every kind."""
            place.write_bytes(content)
            with alive(place):
                for failure in (error_of_open, error_of_create):
                    assert failure(NAME) in (win32.ERROR_FILE_CORRUPT, win32.ERROR_REVISION_MISMATCH)
                    assert "valid object file" in message() or "version" in message()
                assert win32.CreateSemaphore(None, 1, 1, NAME) is None
                assert place.read_bytes() == content
            close(create(NAME))

    @needs_root
    @pytest.mark.parametrize("held", [False, True])
    def test_another_users_file(self, place: Path, held: bool) -> None:
        """Root is not taken in: dead it goes, alive it is looked at like any other."""
        place.write_bytes(b"foreign")
        os.chown(place, NOBODY, NOBODY)
        if held:
            with alive(place):
                assert error_of_open(NAME) == win32.ERROR_FILE_CORRUPT
        else:
            assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
            close(create(NAME))

    def test_another_users_dead_global_file(self, spawn: Spawn, second_user: int) -> None:
        """A user cannot remove another's dead file from the sticky root, but has the name (test_dead_global.py)."""
        mine = spawn()
        mine.run(f"h = create('Global\\\\{NAME}')")
        mine.kill()
        other = spawn(uid=second_user)
        assert other.value(f"bool(create('Global\\\\{NAME}'))")
        assert other.value("win32.GetLastError()") == 0
        other.end()
        close(create(f"Global\\{NAME}"))


class TestControlPage:
    """A held file that has a control page, but no sound one."""

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"version": 0}, win32.ERROR_REVISION_MISMATCH),
            ({"version": 1}, win32.ERROR_REVISION_MISMATCH),
            ({"version": 2**32 - 1}, win32.ERROR_REVISION_MISMATCH),
            ({"magic": b"NAMEDMAQ"}, win32.ERROR_FILE_CORRUPT),
            ({"kind": 0}, win32.ERROR_FILE_CORRUPT),
            ({"kind": 5}, win32.ERROR_FILE_CORRUPT),
            ({"kind": 2**32 - 1}, win32.ERROR_FILE_CORRUPT),
            ({"size": 2**63}, win32.ERROR_FILE_CORRUPT),
            ({"size": 2 * PAGE}, win32.ERROR_FILE_CORRUPT),
            ({"size": 2**64 - 1, "requested": 2**64 - 1, "data": 2**64 - 1}, win32.ERROR_FILE_CORRUPT),
            ({"data": 2**63}, win32.ERROR_FILE_CORRUPT),
            ({"bitmap": 2**63}, win32.ERROR_FILE_CORRUPT),
            ({"requested": 2**40}, win32.ERROR_FILE_CORRUPT),
            ({"text": 2**63}, win32.ERROR_FILE_CORRUPT),
            ({"name_length": 2**32 - 1}, win32.ERROR_FILE_CORRUPT),
            ({"path_length": 2**32 - 1}, win32.ERROR_FILE_CORRUPT),
            ({"protection": 0x99}, win32.ERROR_FILE_CORRUPT),
            ({"protection": 0}, win32.ERROR_FILE_CORRUPT),
            ({"flags": 2, "bitmap": 0}, win32.ERROR_FILE_CORRUPT),
            ({"flags": 1, "size": 2**40, "requested": 2**40}, None),
            ({"flags": 1, "data": 0}, None),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("checksum", [True, False])
    def test_a_forged_header_is_refused(
        self, place: Path, fields: dict[str, int | bytes], code: int | None, checksum: bool
    ) -> None:
        """Whether its checksum was made right for it or not."""
        content = valid_file(NAME)
        place.write_bytes(forged(content, checksum=checksum, **fields))
        with alive(place):
            for failure in (error_of_open, error_of_create):
                found = failure(NAME)
                if checksum and code is not None:
                    assert found == code
                assert found in (win32.ERROR_FILE_CORRUPT, win32.ERROR_REVISION_MISMATCH, win32.ERROR_ACCESS_DENIED)
                assert "hostile" in message()

    def test_a_truncated_object_is_refused_and_can_be_closed(self, spawn: Spawn) -> None:
        """Somebody cuts the file of an object that we hold: others get an error, we can still let go."""
        section = create(NAME, 4 * PAGE)
        os.truncate(object_path(NAME), 2 * PAGE)
        other = spawn()
        assert other.value(f"open_({NAME!r})") is None
        assert other.value("win32.GetLastError()") == win32.ERROR_FILE_CORRUPT
        close(section)
        close(create(NAME))

    def test_a_file_section_that_outgrows_its_file_is_refused(self, spawn: Spawn, tmp_path: Path) -> None:
        """A header that promises more than the backing file has would be SIGBUS at a touch."""
        path = tmp_path / "data"
        path.write_bytes(bytes(PAGE))
        file = win32.CreateFile(path, 0xC0000000, 7, None, win32.OPEN_EXISTING, 0, None)
        section = win32.CreateFileMapping(file, None, win32.PAGE_READWRITE, 0, 0, NAME)
        assert section
        content = bytearray(object_path(NAME).read_bytes())
        object_path(NAME).write_bytes(forged(content, size=1 << 30, requested=1 << 30))
        other = spawn()
        assert other.value(f"open_({NAME!r})") is None
        assert other.value("win32.GetLastError()") in (win32.ERROR_FILE_CORRUPT, win32.ERROR_FILE_INVALID)
        assert str(path) in other.value("message()")
        close(section, file)


INTERESTING = st.one_of(
    st.sampled_from([0, 1, 2, 3, 4, 5, 8, 64, 0x80, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2**31, 2**32 - 1]),
    st.sampled_from([2**32, 2**47, 2**62, 2**63 - 1, 2**63, 2**64 - PAGE, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
)
WIDTHS = dict(zip(FIELDS, (8, *(4,) * 6, *(8,) * 5, 4, 4, 8, 8, 4, 4, 8), strict=True))


class TestFuzz:
    """Random damage to the control page of a held file: an error, or an object that is what it says."""

    BASE: dict[bool, bytearray] = {}  # noqa: RUF012 -- a cache of the two models

    def base(self, reserve: bool) -> bytearray:
        if reserve not in self.BASE:
            flags = win32.PAGE_READWRITE | (win32.SEC_RESERVE if reserve else 0)
            section = create(NAME, 3 * PAGE, flags)
            self.BASE[reserve] = bytearray(object_path(NAME).read_bytes())
            close(section)
        return self.BASE[reserve]

    @settings(max_examples=300)
    @given(
        reserve=st.booleans(),
        fields=st.dictionaries(st.sampled_from([f for f in FIELDS if f != "magic"]), INTERESTING, max_size=4),
        checksum=st.sampled_from([True, True, True, False]),
        flips=st.lists(st.tuples(st.integers(0, PAGE - 1), st.integers(0, 255)), max_size=4),
        length=st.one_of(st.none(), st.integers(0, 6 * PAGE)),
    )
    def test_never_a_crash_and_never_a_wrong_success(
        self,
        place: Path,
        reserve: bool,
        fields: dict[str, int],
        checksum: bool,
        flips: list[tuple[int, int]],
        length: int | None,
    ) -> None:
        """An object that opens can be queried, mapped where it may be, and every committed page of it touched."""
        content = bytearray(self.base(reserve))
        for offset, value in flips:
            content[len(content) - PAGE + offset] = value
        limited = {name: value & (2 ** (8 * WIDTHS[name]) - 1) for name, value in fields.items()}
        content = forged(content, checksum=checksum, **limited)
        if length is not None:
            content = content[:length].ljust(length, b"\0")
        place.write_bytes(content)
        with alive(place):
            section = win32.OpenFileMapping(win32.FILE_MAP_ALL_ACCESS, False, NAME)
            event("opened" if section else "refused")
            if section is None:
                assert win32.GetLastError() not in (0, win32.ERROR_GEN_FAILURE), message()
            else:
                self.use(section, len(content))
                close(section)
            other = win32.CreateMutex(None, False, NAME)
            if other is not None:
                close(other)

    def use(self, section: int, file_size: int) -> None:
        information = nt.SECTION_BASIC_INFORMATION()
        assert nt.NtQuerySection(section, 0, information, 24, None) == 0
        assert information.Size <= file_size - PAGE
        for access in (win32.FILE_MAP_WRITE, win32.FILE_MAP_READ, win32.FILE_MAP_COPY):
            address = win32.MapViewOfFile(section, access, 0, 0, 0)
            if address is not None:
                self.touch(address, information.Size)
                win32.VirtualAlloc(address, PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE)
                self.touch(address, information.Size)
                unmap(address)

    def touch(self, address: int, size: int) -> None:
        """Read through /proc/self/mem, where what would be SIGBUS is an error."""
        found = win32.MEMORY_BASIC_INFORMATION()
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            for offset in range(0, size, PAGE):
                assert win32.VirtualQuery(address + offset, found, 48)
                if found.State == win32.MEM_COMMIT:
                    assert len(os.pread(memory.fileno(), 1, address + offset)) == 1


class TestDirectory:
    """The place for objects itself is not what it should be."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        root = tmp_path / "root"
        root.mkdir(0o1777)
        root.chmod(0o1777)
        return root

    def error(self, spawn: Spawn, root: Path) -> tuple[int, str]:
        child = spawn(environment={"NAMEDMAP_ROOT": str(root)})
        assert child.value(f"create({NAME!r})") is None
        code, text = child.value("win32.GetLastError()"), child.value("message()")
        assert child.value(f"open_({NAME!r})") is None
        assert child.value("win32.GetLastError()") == code
        return code, text

    @pytest.mark.parametrize("what", ["symlink", "file", "open to others", "FIFO"])
    def test_a_directory_that_somebody_else_may_have_made(self, spawn: Spawn, root: Path, what: str) -> None:
        """Not a directory of mode 0700 of our own: refused, with what to do; and nothing is written there."""
        local = root / f"namedmap-{os.geteuid()}"
        elsewhere = root / "elsewhere"
        elsewhere.mkdir(0o700)
        if what == "symlink":
            local.symlink_to(elsewhere)
        elif what == "file":
            local.touch(0o700)
        elif what == "FIFO":
            os.mkfifo(local, 0o700)
        else:
            local.mkdir()
            local.chmod(0o755)
        code, text = self.error(spawn, root)
        assert code == win32.ERROR_ACCESS_DENIED
        assert str(local) in text
        assert "NAMEDMAP_ROOT" in text
        assert list(elsewhere.iterdir()) == []

    @pytest.mark.parametrize("mode", [0o777, 0o770, 0o775])
    def test_a_root_that_others_can_rearrange(self, spawn: Spawn, root: Path, mode: int) -> None:
        """Writable for others and not sticky: anybody could replace anybody's objects."""
        root.chmod(mode)
        code, text = self.error(spawn, root)
        assert code == win32.ERROR_ACCESS_DENIED
        assert "sticky" in text

    @needs_root
    def test_a_root_of_another_user(self, spawn: Spawn, root: Path) -> None:
        """Its owner could replace anything: refused."""
        os.chown(root, NOBODY, NOBODY)
        assert self.error(spawn, root)[0] == win32.ERROR_ACCESS_DENIED

    def test_a_root_that_is_a_file(self, spawn: Spawn, tmp_path: Path) -> None:
        """Refused, and named."""
        (tmp_path / "file").touch()
        code, text = self.error(spawn, tmp_path / "file")
        assert code in (win32.ERROR_ACCESS_DENIED, win32.ERROR_PATH_NOT_FOUND)
        assert str(tmp_path / "file") in text

    def test_unnamed_objects_need_no_directory(self, spawn: Spawn, tmp_path: Path) -> None:
        """Only names need a place."""
        child = spawn(environment={"NAMEDMAP_ROOT": str(tmp_path / "missing")})
        assert child.value("peek(view(create(None)), 1)") == b"\0"

    def test_a_directory_that_was_removed_comes_back(self, spawn: Spawn, root: Path) -> None:
        """Somebody cleans up by hand: holders keep what they have, and names work again at once."""
        child = spawn(environment={"NAMEDMAP_ROOT": str(root)})
        child.run("a = create('a'); v = view(a); poke(v, b'kept')")
        shutil.rmtree(root / f"namedmap-{os.geteuid()}")
        assert child.value("open_('a')") is None
        assert child.value("win32.GetLastError()") == win32.ERROR_FILE_NOT_FOUND
        child.run("b = create('b')")
        assert child.value("(bool(b), peek(v, 4), win32.CloseHandle(a), bool(open_('b')))") == (
            True,
            b"kept",
            True,
            True,
        )
        child.end()
        assert [path for path in root.rglob("*") if path.is_file()] == []
