"""File attributes: the mode for READONLY, Samba's extended attribute for the others."""

import os
import stat
import struct
from pathlib import Path

import pytest

from calls import close, failed, message
from calls.files import ALL, BOTH, READ, opened, refused, run, write
from child import NOBODY
from child.users import mounted, needs_root, public_directory
from namedmap import win32

READONLY, HIDDEN, SYSTEM = 0x1, 0x2, 0x4
DIRECTORY, ARCHIVE, NORMAL, TEMPORARY, REPARSE_POINT = 0x10, 0x20, 0x80, 0x100, 0x400
XATTR = "user.DOSATTRIB"


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a.dat"
    file.write_bytes(b"abc")
    return file


def blob(version: int, attributes: int, valid: int = 0x11) -> bytes:
    """Samba's NDR form: no text, version, union arm, padding, flags, attributes, and what else the version has."""
    rest = {3: struct.pack("<IQQQQ", 0, 7, 8, 9, 10), 4: struct.pack("<QQ", 7, 8), 5: struct.pack("<Q", 7)}[version]
    return struct.pack("<xxHHxxII", version, version, valid, attributes) + rest


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("given", "reported"),
    [
        (NORMAL, NORMAL),
        (0, NORMAL),
        (ARCHIVE, ARCHIVE),
        (HIDDEN, HIDDEN),
        (HIDDEN | SYSTEM | ARCHIVE | NORMAL, HIDDEN | SYSTEM | ARCHIVE),
        (READONLY, READONLY),
        (READONLY | ARCHIVE, READONLY | ARCHIVE),
        (READONLY | HIDDEN, READONLY | HIDDEN),
        (TEMPORARY, TEMPORARY),
        (DIRECTORY | ARCHIVE, ARCHIVE),
        (0x80000000, NORMAL),
    ],
)
def test_what_is_set_is_reported(given: int, reported: int) -> None:
    for _ in range(2):  # once fresh, once over itself
        assert win32.SetFileAttributes("a.dat", given)
        assert win32.GetFileAttributes("a.dat") == reported
    assert win32.SetFileAttributes("a.dat", ARCHIVE)
    assert win32.GetFileAttributes("a.dat") == ARCHIVE


def test_a_file_made_elsewhere_has_archive_and_a_directory_only_that_it_is_one(path: Path) -> None:
    os.mkdir("sub")
    assert win32.GetFileAttributes("a.dat") == ARCHIVE
    assert win32.GetFileAttributes("sub") == win32.GetFileAttributes("sub\\") == DIRECTORY
    assert XATTR not in os.listxattr(path)


def test_the_errors_of_paths() -> None:
    for path, error in (
        ("none", win32.ERROR_FILE_NOT_FOUND),
        ("nodir\\none", win32.ERROR_PATH_NOT_FOUND),
        ("a.dat\\x", win32.ERROR_PATH_NOT_FOUND),
        ("a.dat\\", win32.ERROR_INVALID_NAME),
        ("", win32.ERROR_PATH_NOT_FOUND),
        (None, win32.ERROR_PATH_NOT_FOUND),
    ):
        assert failed(win32.SetFileAttributes(path, 0)) == error
        assert win32.GetFileAttributes(path) == win32.INVALID_FILE_ATTRIBUTES
        assert win32.GetLastError() == error


class TestReadonly:
    def test_it_takes_writing_from_everyone_root_included(self, path: Path) -> None:
        path.chmod(0o664)
        assert win32.SetFileAttributes("a.dat", READONLY)
        assert mode(path) == 0o444
        writing: tuple[int, ...] = (BOTH, win32.GENERIC_WRITE, win32.FILE_APPEND_DATA, win32.GENERIC_ALL)
        for access in writing:
            for disposition in (win32.OPEN_EXISTING, win32.OPEN_ALWAYS):
                assert refused("a.dat", access, disposition=disposition) == win32.ERROR_ACCESS_DENIED
        for access in (0, READ, BOTH):
            assert refused("a.dat", access, disposition=win32.CREATE_ALWAYS) == win32.ERROR_ACCESS_DENIED
        assert "READONLY" in message()
        close(opened("a.dat", READ), opened("a.dat", win32.DELETE), opened("a.dat", 0))

    @pytest.mark.parametrize(
        ("umask", "before", "after"), [(0o022, 0o444, 0o644), (0o002, 0o444, 0o664), (0o277, 0o400, 0o600)]
    )
    def test_clearing_gives_writing_back_within_the_umask(
        self, path: Path, umask: int, before: int, after: int
    ) -> None:
        path.chmod(before)
        old = os.umask(umask)
        try:
            assert win32.SetFileAttributes("a.dat", ARCHIVE)
        finally:
            os.umask(old)
        assert mode(path) == after

    def test_changing_other_attributes_of_a_writable_file_leaves_the_mode(self, path: Path) -> None:
        path.chmod(0o640)
        assert win32.SetFileAttributes("a.dat", HIDDEN)
        assert mode(path) == 0o640

    def test_the_handle_that_creates_a_readonly_file_writes_to_it(self, path: Path) -> None:
        handle = opened("b.dat", disposition=win32.CREATE_NEW, flags=READONLY)
        assert write(handle, b"once") == 4
        close(handle)
        assert win32.GetFileAttributes("b.dat") == READONLY | ARCHIVE
        assert refused("b.dat") == win32.ERROR_ACCESS_DENIED


class TestCreateFile:
    def test_new_and_overwritten_files_get_the_attributes_and_archive(self) -> None:
        close(opened("b.dat", disposition=win32.CREATE_NEW, flags=HIDDEN))
        assert win32.GetFileAttributes("b.dat") == HIDDEN | ARCHIVE
        close(opened("b.dat", disposition=win32.CREATE_ALWAYS, flags=HIDDEN | SYSTEM))
        assert win32.GetFileAttributes("b.dat") == HIDDEN | SYSTEM | ARCHIVE
        close(opened("b.dat", disposition=win32.OPEN_ALWAYS, flags=NORMAL))
        assert win32.GetFileAttributes("b.dat") == HIDDEN | SYSTEM | ARCHIVE

    @pytest.mark.parametrize("attribute", [HIDDEN, SYSTEM])
    def test_a_hidden_or_system_file_is_overwritten_only_as_such(self, path: Path, attribute: int) -> None:
        assert win32.SetFileAttributes("a.dat", attribute)
        assert refused("a.dat", disposition=win32.CREATE_ALWAYS, flags=NORMAL) == win32.ERROR_ACCESS_DENIED
        assert path.read_bytes() == b"abc"
        close(opened("a.dat", disposition=win32.OPEN_EXISTING), opened("a.dat", disposition=win32.TRUNCATE_EXISTING))
        assert win32.GetFileAttributes("a.dat") == attribute
        close(opened("a.dat", disposition=win32.CREATE_ALWAYS, flags=attribute))
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
        assert path.read_bytes() == b""

    def test_copying_takes_the_attributes_along_and_respects_those_of_the_target(self) -> None:
        assert win32.SetFileAttributes("a.dat", HIDDEN | READONLY)
        assert win32.CopyFile("a.dat", "b.dat", True)
        assert win32.GetFileAttributes("b.dat") == HIDDEN | READONLY | ARCHIVE
        assert win32.SetFileAttributes("a.dat", NORMAL)
        assert win32.SetFileAttributes("b.dat", HIDDEN)
        assert failed(win32.CopyFile("a.dat", "b.dat", False)) == win32.ERROR_ACCESS_DENIED


class TestSambasForms:
    @pytest.mark.parametrize("version", [3, 4, 5])
    def test_a_blob_is_read_and_only_its_attributes_are_changed(self, path: Path, version: int) -> None:
        os.setxattr(path, XATTR, blob(version, HIDDEN | ARCHIVE))
        assert win32.GetFileAttributes("a.dat") == HIDDEN | ARCHIVE
        assert win32.SetFileAttributes("a.dat", SYSTEM | READONLY)
        assert os.getxattr(path, XATTR) == blob(version, SYSTEM | READONLY)
        assert win32.GetFileAttributes("a.dat") == SYSTEM | READONLY
        assert win32.SetFileAttributes("a.dat", SYSTEM)
        assert os.getxattr(path, XATTR) == blob(version, SYSTEM)

    def test_a_blob_as_samba_writes_it(self, path: Path) -> None:
        made_by_samba = bytes.fromhex("000004000400000051000000230000000000000000000000005a6f1c2d9ad701")
        os.setxattr(path, XATTR, made_by_samba)
        assert win32.GetFileAttributes("a.dat") == HIDDEN | ARCHIVE  # READONLY is the mode's to say

    def test_a_blob_with_text_before_it(self, path: Path) -> None:
        os.setxattr(path, XATTR, b"0x22\0\0" + struct.pack("<HHxxII", 3, 3, 1, SYSTEM) + bytes(36))
        assert win32.GetFileAttributes("a.dat") == SYSTEM

    @pytest.mark.parametrize(
        ("text", "attributes"), [(b"0x22", HIDDEN | ARCHIVE), (b"0x0", NORMAL), (b"0x6\0", HIDDEN | SYSTEM)]
    )
    def test_text_is_read(self, path: Path, text: bytes, attributes: int) -> None:
        os.setxattr(path, XATTR, text)
        assert win32.GetFileAttributes("a.dat") == attributes

    def test_text_is_written_where_nothing_was(self, path: Path) -> None:
        assert win32.SetFileAttributes("a.dat", HIDDEN | SYSTEM)
        assert os.getxattr(path, XATTR) == b"0x6"

    @pytest.mark.parametrize(
        "value",
        [b"", b"\0", b"what", b"\0\0\x09\0\x09\0" + bytes(20), blob(5, HIDDEN)[:12], blob(5, HIDDEN, valid=0)],
    )
    def test_what_is_neither_counts_as_nothing_and_is_replaced(self, path: Path, value: bytes) -> None:
        os.setxattr(path, XATTR, value)
        assert win32.GetFileAttributes("a.dat") == ARCHIVE
        assert win32.SetFileAttributes("a.dat", SYSTEM)
        assert win32.GetFileAttributes("a.dat") == SYSTEM


class TestWhatIsNoPlainFile:
    def test_directories(self) -> None:
        """A directory has attributes too; READONLY does not make it unwritable."""
        os.mkdir("sub", 0o755)
        assert win32.SetFileAttributes("sub", HIDDEN | READONLY)
        assert win32.GetFileAttributes("sub") == DIRECTORY | HIDDEN | READONLY
        assert mode(Path("sub")) == 0o755
        assert os.getxattr("sub", XATTR) == b"0x13"
        assert win32.SetFileAttributes("sub", NORMAL)
        assert win32.GetFileAttributes("sub") == DIRECTORY

    def test_symbolic_links_have_the_attributes_of_their_target(self) -> None:
        os.mkdir("sub")
        for target, attributes in (("a.dat", ARCHIVE), ("sub", DIRECTORY), ("none", ARCHIVE)):
            os.symlink(target, f"link-{target}")
            assert win32.GetFileAttributes(f"link-{target}") == attributes | REPARSE_POINT
        assert win32.SetFileAttributes("link-a.dat", HIDDEN)
        assert win32.GetFileAttributes("a.dat") == HIDDEN

    def test_devices_are_normal_and_cannot_be_hidden(self) -> None:
        assert win32.GetFileAttributes("/dev/null") == NORMAL
        os.mkfifo("fifo")
        assert failed(win32.SetFileAttributes("fifo", HIDDEN)) == win32.ERROR_NOT_SUPPORTED


@needs_root
class TestFilesystemsWithoutExtendedAttributes:
    def test_hidden_and_system_are_refused_never_dropped(self, tmp_path: Path) -> None:
        with mounted("ramfs", tmp_path / "bare"):
            (tmp_path / "bare/a.dat").touch()
            if _keeps_attributes(tmp_path / "bare/a.dat"):
                pytest.skip("this kernel's ramfs keeps user extended attributes")
            for attributes in (HIDDEN, SYSTEM | ARCHIVE):
                assert failed(win32.SetFileAttributes("bare\\a.dat", attributes)) == win32.ERROR_NOT_SUPPORTED
            assert "user.DOSATTRIB" in message()
            assert refused("bare\\b.dat", BOTH, ALL, win32.CREATE_NEW, HIDDEN) == win32.ERROR_NOT_SUPPORTED
            assert os.listdir("bare") == ["a.dat"]

    def test_the_others_need_none(self, tmp_path: Path) -> None:
        with mounted("ramfs", tmp_path / "bare"):
            close(opened("bare\\a.dat", disposition=win32.CREATE_NEW, flags=NORMAL | TEMPORARY))
            for attributes in (NORMAL, ARCHIVE, READONLY, READONLY | ARCHIVE, NORMAL):
                assert win32.SetFileAttributes("bare\\a.dat", attributes)
                assert win32.GetFileAttributes("bare\\a.dat") & READONLY == attributes & READONLY


def _keeps_attributes(path: Path) -> bool:
    try:
        os.setxattr(path, "user.probe", b"")
    except OSError:
        return False
    return True


@needs_root
def test_only_the_owner_changes_the_mode_and_a_readonly_file_can_be_hidden_by_him() -> None:
    with public_directory() as place:
        (place / "a.dat").touch()
        (place / "a.dat").chmod(0o666)
        script = f"print(failed(win32.SetFileAttributes(sys.argv[1], {READONLY})))"
        assert run(script, str(place / "a.dat"), uid=NOBODY) == "5\n"
        script = f"""
            os.chdir(sys.argv[1])
            close(opened('mine', disposition=win32.CREATE_NEW, flags={READONLY}))
            print(win32.SetFileAttributes('mine', {READONLY | HIDDEN}), win32.GetFileAttributes('mine'))
        """
        assert run(script, str(place), uid=NOBODY) == f"True {READONLY | HIDDEN}\n"
        assert mode(place / "mine") == 0o444
