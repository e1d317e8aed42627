"""Names of files: delete, move and copy them; and the permissions of other users."""

import os
import stat
from pathlib import Path

import pytest

from calls import close, failed
from calls.files import ALL, BOTH, READ, WRITE, opened, read, refused, run, section_of
from child import NOBODY
from child.users import mounted, needs_root, public_directory
from namedmap import win32

pytestmark = pytest.mark.usefixtures("directory")


class TestDeleteOnClose:
    FLAG = win32.FILE_FLAG_DELETE_ON_CLOSE

    def test_the_file_goes_with_the_last_handle(self) -> None:
        handle, twin, me = opened("a.dat", disposition=win32.CREATE_NEW, flags=self.FLAG), win32.HANDLE(), -1
        assert win32.DuplicateHandle(me, handle, me, twin, 0, False, win32.DUPLICATE_SAME_ACCESS)
        close(handle)
        assert os.path.exists("a.dat")
        assert twin.value
        close(twin.value)
        assert not os.path.exists("a.dat")

    def test_it_is_found_where_it_was_moved_to_and_nothing_else_is_deleted(self) -> None:
        handle = opened("a.dat", disposition=win32.CREATE_NEW, flags=self.FLAG)
        os.rename("a.dat", "b.dat")
        Path("a.dat").touch()
        close(handle)
        assert os.listdir(".") == ["a.dat"]

    def test_others_must_share_deleting(self) -> None:
        handle = opened("a.dat", disposition=win32.CREATE_NEW, flags=self.FLAG)
        assert refused("a.dat", READ, win32.FILE_SHARE_READ | win32.FILE_SHARE_WRITE) == win32.ERROR_SHARING_VIOLATION
        close(opened("a.dat", READ), handle)

    def test_a_readonly_file_is_refused(self, a_dat: Path) -> None:
        a_dat.chmod(0o444)
        assert refused("a.dat", READ, flags=self.FLAG) == win32.ERROR_ACCESS_DENIED

    @needs_root
    def test_a_file_that_cannot_be_deleted_is_refused_at_once(self) -> None:
        with public_directory() as place:
            (place / "a.dat").touch()
            (place / "a.dat").chmod(0o666)
            place.chmod(0o755)
            script = f"print(refused(sys.argv[1], READ, flags={self.FLAG:#x}), message())"
            output = run(script, str(place / "a.dat"), uid=NOBODY)
        assert output.startswith(f"{win32.ERROR_ACCESS_DENIED} ")
        assert "not writable" in output

    def test_an_empty_directory_goes_too(self) -> None:
        os.mkdir("sub")
        close(opened("sub", READ, flags=self.FLAG | win32.FILE_FLAG_BACKUP_SEMANTICS))
        assert not os.path.exists("sub")

    def test_a_forked_child_does_not_delete_under_its_parent(self) -> None:
        script = """
            h = opened('a.dat', disposition=win32.CREATE_NEW, flags=win32.FILE_FLAG_DELETE_ON_CLOSE)
            child = os.fork()
            if not child:
                win32.CloseHandle(h)
                os._exit(0)
            os.waitpid(child, 0)
            print(os.path.exists('a.dat'))
        """
        assert run(script) == "True\n"
        assert not os.path.exists("a.dat")  # the parent's end closed its handle


class TestDelete:
    def test_errors(self) -> None:
        """A file that cannot be deleted is refused with the error that Windows documents."""
        os.mkdir("sub")
        assert failed(win32.DeleteFile("none")) == win32.ERROR_FILE_NOT_FOUND
        assert failed(win32.DeleteFile("nodir\\none")) == win32.ERROR_PATH_NOT_FOUND
        assert failed(win32.DeleteFile("")) == win32.ERROR_PATH_NOT_FOUND
        assert failed(win32.DeleteFile(None)) == win32.ERROR_PATH_NOT_FOUND
        assert failed(win32.DeleteFile("sub")) == win32.ERROR_ACCESS_DENIED

    def test_a_readonly_file_stays(self, a_dat: Path) -> None:
        a_dat.chmod(0o444)
        assert failed(win32.DeleteFile("a.dat")) == win32.ERROR_ACCESS_DENIED

    def test_an_open_file_loses_its_name_at_once_if_deleting_is_shared(self, a_dat: Path) -> None:
        handle = opened("a.dat", share=win32.FILE_SHARE_READ | win32.FILE_SHARE_WRITE)
        assert failed(win32.DeleteFile("a.dat")) == win32.ERROR_SHARING_VIOLATION
        close(handle)
        handle = opened("a.dat")
        assert win32.DeleteFile("a.dat")
        assert win32.GetFileAttributes("a.dat") == win32.INVALID_FILE_ATTRIBUTES
        assert read(handle, 4) == b"0123"
        close(opened("a.dat", disposition=win32.CREATE_NEW), handle)

    def test_what_nobody_opens_as_a_file_is_deleted_itself(self, a_dat: Path) -> None:
        os.symlink("a.dat", "link")
        os.mkfifo("fifo")
        assert win32.DeleteFile("link")
        assert win32.DeleteFile("fifo")
        assert os.listdir(".") == ["a.dat"]


class TestMove:
    def test_errors(self, a_dat: Path) -> None:
        """A file that cannot be moved is refused with the error that Windows documents, and stays."""
        Path("b.dat").touch()
        os.mkdir("sub")
        replace = win32.MOVEFILE_REPLACE_EXISTING
        assert failed(win32.MoveFileEx("none", "x", 0)) == win32.ERROR_FILE_NOT_FOUND
        assert failed(win32.MoveFileEx("a.dat", "nodir\\x", replace)) == win32.ERROR_PATH_NOT_FOUND
        assert failed(win32.MoveFileEx("a.dat", "b.dat", 0)) == win32.ERROR_ALREADY_EXISTS
        assert failed(win32.MoveFile("a.dat", "b.dat")) == win32.ERROR_ALREADY_EXISTS
        assert failed(win32.MoveFileEx("a.dat", "sub", 0)) == win32.ERROR_ALREADY_EXISTS
        assert failed(win32.MoveFileEx("a.dat", "sub", replace)) == win32.ERROR_ACCESS_DENIED
        assert failed(win32.MoveFileEx("a.dat", None, replace)) == win32.ERROR_PATH_NOT_FOUND
        assert failed(win32.MoveFileEx(None, "x", replace)) == win32.ERROR_PATH_NOT_FOUND
        assert failed(win32.MoveFileEx("a.dat", "x", 64)) == win32.ERROR_INVALID_PARAMETER
        assert failed(win32.MoveFileEx("a.dat", "x", win32.MOVEFILE_DELAY_UNTIL_REBOOT)) == win32.ERROR_NOT_SUPPORTED
        assert a_dat.read_bytes() == b"0123456789"

    def test_renaming_replacing_and_moving_onto_itself(self, a_dat: Path, directory: Path) -> None:
        Path("b.dat").touch()
        assert win32.MoveFile("a.dat", "a.dat")
        assert win32.MoveFile("a.dat", str(directory / "a.dat"))
        assert win32.MoveFileEx("a.dat", "b.dat", win32.MOVEFILE_REPLACE_EXISTING | win32.MOVEFILE_WRITE_THROUGH)
        os.mkdir("sub")
        assert win32.MoveFile("sub", "sub2")
        assert win32.MoveFile("b.dat", "sub2\\c.dat")
        assert os.listdir(".") == ["sub2"]

    def test_two_names_of_one_file(self, a_dat: Path) -> None:
        os.link("a.dat", "b.dat")
        assert failed(win32.MoveFile("a.dat", "b.dat")) == win32.ERROR_ALREADY_EXISTS
        assert win32.MoveFileEx("a.dat", "b.dat", win32.MOVEFILE_REPLACE_EXISTING)
        assert os.listdir(".") == ["b.dat"]

    def test_an_open_source_must_share_deleting(self, a_dat: Path) -> None:
        handle = opened("a.dat", share=win32.FILE_SHARE_READ | win32.FILE_SHARE_WRITE)
        assert failed(win32.MoveFile("a.dat", "b.dat")) == win32.ERROR_SHARING_VIOLATION
        close(handle)
        handle = opened("a.dat")
        mapping = section_of(handle)
        assert win32.MoveFile("a.dat", "b.dat")
        close(mapping, handle)

    def test_an_open_mapped_or_readonly_target_is_not_replaced(self, a_dat: Path) -> None:
        target = Path("b.dat")
        target.write_bytes(b"target")
        handle = opened("b.dat", READ)
        assert failed(win32.MoveFileEx("a.dat", "b.dat", 1)) == win32.ERROR_ACCESS_DENIED
        mapping = section_of(handle)
        close(handle)
        assert failed(win32.MoveFileEx("a.dat", "b.dat", 1)) == win32.ERROR_ACCESS_DENIED
        close(mapping)
        target.chmod(0o444)
        assert failed(win32.MoveFileEx("a.dat", "b.dat", 1)) == win32.ERROR_ACCESS_DENIED
        target.chmod(0o644)
        assert win32.MoveFileEx("a.dat", "b.dat", 1)

    @needs_root
    def test_to_another_filesystem_by_copying_if_allowed(self, a_dat: Path, directory: Path) -> None:
        os.mkdir("sub")
        with mounted("tmpfs", directory / "other"):
            assert failed(win32.MoveFileEx("a.dat", "other\\a.dat", 0)) == win32.ERROR_NOT_SAME_DEVICE
            assert failed(win32.MoveFileEx("sub", "other\\sub", 2)) == win32.ERROR_ACCESS_DENIED
            assert win32.MoveFileEx("a.dat", "other\\a.dat", win32.MOVEFILE_COPY_ALLOWED | win32.MOVEFILE_WRITE_THROUGH)
            assert not a_dat.exists()
            assert Path("other/a.dat").read_bytes() == b"0123456789"
            a_dat.touch()
            assert failed(win32.MoveFile("other\\a.dat", "a.dat")) == win32.ERROR_ALREADY_EXISTS
            assert win32.MoveFileEx("other\\a.dat", "a.dat", 3)
            assert os.listdir("other") == []


class TestCopy:
    def test_contents_time_mode_and_extended_attributes(self, a_dat: Path) -> None:
        os.setxattr(a_dat, "user.colour", b"green")
        os.utime(a_dat, (1000, 2000))
        a_dat.chmod(0o750)
        win32.SetLastError(5)
        assert win32.CopyFile("a.dat", "b.dat", True)
        assert win32.GetLastError() == 0
        copy = Path("b.dat")
        assert copy.read_bytes() == b"0123456789"
        assert copy.stat().st_mtime == 2000
        assert stat.S_IMODE(copy.stat().st_mode) == 0o750
        assert os.getxattr(copy, "user.colour") == b"green"

    def test_a_private_file_stays_private(self, a_dat: Path) -> None:
        a_dat.chmod(0o600)
        assert win32.CopyFile("a.dat", "b.dat", False)
        assert stat.S_IMODE(os.stat("b.dat").st_mode) == 0o600

    def test_errors(self, a_dat: Path) -> None:
        """A file that cannot be copied is refused with the error that Windows documents."""
        Path("b.dat").touch()
        os.mkdir("sub")
        os.link("a.dat", "c.dat")
        assert failed(win32.CopyFile("none", "b.dat", False)) == win32.ERROR_FILE_NOT_FOUND
        assert failed(win32.CopyFile("a.dat", "nodir\\x", False)) == win32.ERROR_PATH_NOT_FOUND
        assert failed(win32.CopyFile("a.dat", "b.dat", True)) == win32.ERROR_FILE_EXISTS
        assert failed(win32.CopyFile("a.dat", "a.dat", False)) == win32.ERROR_SHARING_VIOLATION
        assert failed(win32.CopyFile("a.dat", "c.dat", False)) == win32.ERROR_SHARING_VIOLATION
        assert failed(win32.CopyFile("a.dat", "sub", False)) == win32.ERROR_ACCESS_DENIED
        assert failed(win32.CopyFile("sub", "x", False)) == win32.ERROR_ACCESS_DENIED
        assert failed(win32.CopyFile(None, "x", False)) == win32.ERROR_PATH_NOT_FOUND
        assert failed(win32.CopyFile("a.dat", None, False)) == win32.ERROR_PATH_NOT_FOUND
        os.chmod("b.dat", 0o444)
        assert failed(win32.CopyFile("a.dat", "b.dat", False)) == win32.ERROR_ACCESS_DENIED
        assert a_dat.read_bytes() == b"0123456789"

    def test_share_modes_of_both_files(self, a_dat: Path) -> None:
        Path("b.dat").write_bytes(b"old")
        shared = win32.FILE_SHARE_READ | win32.FILE_SHARE_WRITE
        for name, access, share, error in (
            ("a.dat", READ, win32.FILE_SHARE_WRITE, 32),
            ("a.dat", BOTH, win32.FILE_SHARE_READ, 0),
            ("a.dat", win32.DELETE, win32.FILE_SHARE_READ, 0),
            ("b.dat", WRITE, win32.FILE_SHARE_READ, 32),
            ("b.dat", BOTH, win32.FILE_SHARE_WRITE, 0),
            ("b.dat", win32.DELETE, ALL, 32),
            ("b.dat", READ, shared, 0),
        ):
            handle = opened(name, access, share)
            win32.SetLastError(0)
            assert win32.CopyFile("a.dat", "b.dat", False) == (not error)
            assert win32.GetLastError() == error
            close(handle)

    def test_sharing_beats_mapping(self, a_dat: Path) -> None:
        Path("b.dat").write_bytes(b"old")
        for share, error in ((win32.FILE_SHARE_READ, 32), (ALL, win32.ERROR_USER_MAPPED_FILE)):
            handle = opened("b.dat", READ, share)
            mapping = section_of(handle)
            assert failed(win32.CopyFile("a.dat", "b.dat", False)) == error
            close(mapping, handle)
        assert Path("b.dat").read_bytes() == b"old"

    def test_files_without_a_size_are_copied_too(self) -> None:
        assert win32.CopyFile("/proc/self/status", "b.dat", False)
        assert Path("b.dat").read_bytes().startswith(b"Name:")

    @needs_root
    def test_a_copy_that_fails_is_removed(self, a_dat: Path, directory: Path) -> None:
        a_dat.write_bytes(os.urandom(1 << 20))
        with mounted("tmpfs", directory / "small", "size=64k"):
            Path("small/old.dat").write_bytes(b"old")
            for target in ("small\\new.dat", "small\\old.dat"):
                assert failed(win32.CopyFile("a.dat", target, False)) == win32.ERROR_DISK_FULL
            assert os.listdir("small") == []


@needs_root
class TestPermissions:
    def test_another_user_meets_the_modes_of_files_and_directories(self) -> None:
        script = """
            os.chdir(sys.argv[1])
            print(refused('private'), refused('public', BOTH), refused('closed/x', READ))
            handle = opened('public', READ)
            print(read(handle, 3), failed(win32.DeleteFile('public')), failed(win32.MoveFile('public', 'p')))
            print(failed(win32.SetFileAttributes('public', 1)), win32.GetFileAttributes('private'))
            print(refused('new', BOTH, disposition=win32.CREATE_NEW), failed(win32.CopyFile('private', '/tmp/x', 1)))
        """
        with public_directory() as place:
            for name, mode in (("private", 0o600), ("public", 0o644)):
                (place / name).write_bytes(b"abc")
                (place / name).chmod(mode)
            (place / "closed").mkdir(0o700)
            place.chmod(0o755)
            output = run(script, str(place), uid=NOBODY)
        assert output == "5 5 5\nb'abc' 5 5\n5 32\n5 5\n"

    def test_a_file_that_may_be_written_but_not_read_opens_for_writing(self) -> None:
        with public_directory() as place:
            (place / "drop").touch()
            (place / "drop").chmod(0o622)
            (place / "drop").chmod(0o602)
            run("h = opened(sys.argv[1], WRITE); write(h, b'hello'); close(h)", str(place / "drop"), uid=NOBODY)
            assert (place / "drop").read_bytes() == b"hello"
            assert run("print(refused(sys.argv[1], READ))", str(place / "drop"), uid=NOBODY) == "5\n"

    def test_a_handle_outlives_a_change_of_mode(self, a_dat: Path) -> None:
        handle = opened("a.dat")
        a_dat.chmod(0o000)
        assert read(handle, 2) == b"01"
        close(handle)
