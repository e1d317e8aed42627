"""Files: what opens, what is created, what is refused, and what a handle is good for."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calls import close, failed, message
from calls.files import ALL, BOTH, READ, WRITE, has_open_handles, opened, read, refused, run, seek, size, start, write
from namedmap import win32

pytestmark = pytest.mark.usefixtures("directory")


class TestDispositions:
    def test_open_existing_and_truncate_existing_need_the_file(self) -> None:
        assert refused("a.dat") == win32.ERROR_FILE_NOT_FOUND
        assert refused("a.dat", disposition=win32.TRUNCATE_EXISTING) == win32.ERROR_FILE_NOT_FOUND

    def test_create_new_makes_the_file_once(self) -> None:
        close(opened("a.dat", disposition=win32.CREATE_NEW))
        assert win32.GetLastError() == 0
        assert refused("a.dat", disposition=win32.CREATE_NEW) == win32.ERROR_FILE_EXISTS

    @pytest.mark.parametrize("disposition", [win32.CREATE_ALWAYS, win32.OPEN_ALWAYS])
    def test_always_tells_by_the_last_error_whether_the_file_was_there(self, disposition: int) -> None:
        close(opened("a.dat", disposition=disposition))
        assert win32.GetLastError() == 0
        close(opened("a.dat", disposition=disposition))
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS

    @pytest.mark.parametrize("access", [0, READ, WRITE, BOTH])
    def test_create_always_empties_the_file_whatever_the_access(self, a_dat: Path, access: int) -> None:
        close(opened("a.dat", access, disposition=win32.CREATE_ALWAYS))
        assert a_dat.read_bytes() == b""

    def test_a_handle_keeps_to_its_access_though_the_open_had_to_write(self, a_dat: Path) -> None:
        handle = opened("a.dat", READ, disposition=win32.CREATE_ALWAYS)
        assert failed(win32.WriteFile(handle, b"x", 1, win32.DWORD())) == win32.ERROR_ACCESS_DENIED
        close(handle)

    def test_truncate_existing_needs_generic_write(self, a_dat: Path) -> None:
        assert refused("a.dat", READ, disposition=win32.TRUNCATE_EXISTING) == win32.ERROR_INVALID_PARAMETER
        close(opened("a.dat", WRITE, disposition=win32.TRUNCATE_EXISTING))
        assert win32.GetLastError() == 0
        assert a_dat.read_bytes() == b""

    @pytest.mark.parametrize("disposition", [0, 6, 99, -1])
    def test_others_are_invalid(self, disposition: int) -> None:
        assert refused("a.dat", disposition=disposition) == win32.ERROR_INVALID_PARAMETER

    def test_a_share_mode_beyond_the_three_bits_is_invalid(self, a_dat: Path) -> None:
        assert refused("a.dat", share=8) == win32.ERROR_INVALID_PARAMETER

    def test_a_new_file_follows_the_umask_and_a_descriptor_overrides_it(self) -> None:
        before = os.umask(0o027)
        try:
            close(opened("a.dat", disposition=win32.CREATE_NEW))
            attributes = win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor="D:(A;;GR;;;WD)(A;;GA;;;OW)")
            handle = win32.CreateFile("b.dat", BOTH, ALL, attributes, win32.CREATE_NEW, 0, None)
        finally:
            os.umask(before)
        close(handle)
        assert stat.S_IMODE(os.stat("a.dat").st_mode) == 0o640
        assert stat.S_IMODE(os.stat("b.dat").st_mode) == 0o644

    def test_a_bad_descriptor_creates_nothing(self) -> None:
        attributes = win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor="D:(X;;GR;;;WD)")
        assert win32.CreateFile("a.dat", BOTH, ALL, attributes, win32.CREATE_NEW, 0, None) == win32.INVALID_HANDLE_VALUE
        assert win32.GetLastError() == win32.ERROR_INVALID_SECURITY_DESCR
        assert not os.path.exists("a.dat")

    def test_a_template_gives_a_new_file_its_extended_attributes(self, a_dat: Path) -> None:
        os.setxattr(a_dat, "user.colour", b"green")
        template = opened("a.dat", READ)
        close(win32.CreateFile("b.dat", BOTH, ALL, None, win32.CREATE_NEW, 0, template), template)
        assert os.getxattr("b.dat", "user.colour") == b"green"

    def test_maximum_allowed_is_everything_but_what_the_file_forbids(self, a_dat: Path) -> None:
        handle = opened("a.dat", win32.MAXIMUM_ALLOWED)
        write(handle, b"x")
        close(handle)
        a_dat.chmod(0o444)
        handle = opened("a.dat", win32.MAXIMUM_ALLOWED)
        assert read(handle, 2) == b"x1"
        assert failed(win32.WriteFile(handle, b"x", 1, win32.DWORD())) == win32.ERROR_ACCESS_DENIED
        close(handle)


class TestPaths:
    def test_both_slashes_separate(self, directory: Path) -> None:
        (directory / "sub").mkdir()
        close(opened("sub\\a.dat", disposition=win32.CREATE_NEW), opened("sub/b.dat", disposition=win32.CREATE_NEW))
        assert sorted(os.listdir("sub")) == ["a.dat", "b.dat"]

    def test_a_missing_directory_is_another_error_than_a_missing_file(self, a_dat: Path) -> None:
        for path in ("nodir\\a.dat", "nodir/a.dat", "a.dat\\x"):
            for disposition in (win32.OPEN_EXISTING, win32.CREATE_ALWAYS, win32.CREATE_NEW):
                assert refused(path, disposition=disposition) == win32.ERROR_PATH_NOT_FOUND

    @pytest.mark.parametrize(
        "path",
        ["", None, "C:\\a.dat", "c:/a", "\\\\.\\NUL", "\\\\server\\share\\a", "\\\\?\\C:\\a", "\\\\?\\UNC\\s\\a"],
    )
    def test_what_is_on_no_path_here(self, path: str | None) -> None:
        assert refused(path, disposition=win32.CREATE_ALWAYS) == win32.ERROR_PATH_NOT_FOUND

    @pytest.mark.parametrize("path", ["a\0b", "\ud800", "x" * 256, "a*", "a?", "a|b", "a<b", "a>b", 'a"b'])
    def test_what_is_no_name(self, path: str) -> None:
        assert refused(path, disposition=win32.CREATE_ALWAYS) == win32.ERROR_INVALID_NAME

    def test_a_path_that_is_too_long_as_a_whole(self) -> None:
        assert refused("x/" * 3000, disposition=win32.CREATE_ALWAYS) == win32.ERROR_FILENAME_EXCED_RANGE

    def test_the_verbatim_prefix_is_dropped(self, a_dat: Path) -> None:
        close(opened(f"\\\\?\\{a_dat}"))

    def test_a_path_object_is_taken_literally(self) -> None:
        for name in ("back\\slash", "star*?", "trailing."):
            close(opened(Path(name), disposition=win32.CREATE_NEW))
            assert os.path.exists(name)
            assert win32.DeleteFile(Path(name))

    def test_names_that_are_no_text_survive(self) -> None:
        Path(os.fsdecode(b"caf\xe9")).write_bytes(b"x")
        name = os.listdir(".")[0]
        close(opened(name))
        assert win32.MoveFile(name, name + "2")
        assert os.listdir(b".") == [b"caf\xe92"]

    @pytest.mark.parametrize("path", [b"a.dat", 5, ["a.dat"]])
    def test_other_types_are_a_mistake_of_the_program(self, path: Any) -> None:
        with pytest.raises(TypeError, match="path must be"):
            win32.DeleteFile(path)

    def test_a_separator_at_the_end_means_a_directory(self, a_dat: Path) -> None:
        os.mkdir("sub")
        assert refused("a.dat\\") == win32.ERROR_INVALID_NAME
        assert refused("none\\") == win32.ERROR_FILE_NOT_FOUND
        assert refused("none\\", disposition=win32.CREATE_ALWAYS) == win32.ERROR_INVALID_NAME
        assert refused("sub\\") == win32.ERROR_PATH_NOT_FOUND
        close(opened("sub\\", READ, flags=win32.FILE_FLAG_BACKUP_SEMANTICS))


class TestWhatIsNoFile:
    def test_a_directory_needs_backup_semantics(self) -> None:
        os.mkdir("sub")
        for disposition in (win32.OPEN_EXISTING, win32.OPEN_ALWAYS, win32.CREATE_ALWAYS, win32.CREATE_NEW):
            assert refused("sub", disposition=disposition) in (win32.ERROR_ACCESS_DENIED, win32.ERROR_FILE_EXISTS)
        assert refused("sub") == win32.ERROR_ACCESS_DENIED

    def test_a_directory_with_backup_semantics(self) -> None:
        os.mkdir("sub")
        backup = win32.FILE_FLAG_BACKUP_SEMANTICS
        assert refused("sub", disposition=win32.CREATE_ALWAYS, flags=backup) == win32.ERROR_FILE_EXISTS
        handle = opened("sub", disposition=win32.OPEN_ALWAYS, flags=backup)
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
        assert failed(win32.ReadFile(handle, bytearray(1), 1, win32.DWORD())) == win32.ERROR_INVALID_FUNCTION
        assert size(handle) == 0
        close(handle)

    def test_a_fifo_is_refused_at_once(self) -> None:
        os.mkfifo("fifo")
        script = "print([refused('fifo', access) for access in (READ, WRITE, BOTH, 0)])"
        assert run(script) == f"{[50] * 4}\n"

    def test_a_socket_is_refused(self) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("sock")
            assert refused("sock") == win32.ERROR_NOT_SUPPORTED
            assert "socket" in message()

    def test_devices_read_and_write(self) -> None:
        zero, null, full = opened("/dev/zero", READ), opened("/dev/null", WRITE), opened("/dev/full", WRITE)
        assert read(zero, 5) == bytes(5)
        assert write(null, b"gone") == 4
        count = win32.DWORD(0x55)
        assert failed(win32.WriteFile(full, b"x", 1, count)) == win32.ERROR_DISK_FULL
        assert count.value == 0
        close(zero, null, full)

    def test_a_symbolic_link_is_followed(self, a_dat: Path) -> None:
        os.symlink("a.dat", "link")
        handle = opened("link")
        assert read(handle, 2) == b"01"
        close(handle)

    def test_a_symbolic_link_to_nothing_is_created_through_but_not_opened(self, directory: Path) -> None:
        os.symlink("target", "link")
        assert refused("link") == win32.ERROR_FILE_NOT_FOUND
        close(opened("link", disposition=win32.CREATE_ALWAYS))
        assert (directory / "target").is_file()

    def test_a_loop_of_links_fails(self) -> None:
        os.symlink("b", "a")
        os.symlink("a", "b")
        assert refused("a") == win32.ERROR_ACCESS_DENIED
        assert refused("a", disposition=win32.CREATE_ALWAYS) == win32.ERROR_ACCESS_DENIED

    def test_the_link_itself_can_be_opened_and_deleted_on_close(self, a_dat: Path) -> None:
        os.symlink("a.dat", "link")
        flags = win32.FILE_FLAG_OPEN_REPARSE_POINT | win32.FILE_FLAG_DELETE_ON_CLOSE
        close(opened("link", 0, flags=flags))
        assert os.listdir(".") == ["a.dat"]


class TestHandles:
    CALLS: tuple[Callable[[int], bool], ...] = (
        lambda h: win32.ReadFile(h, bytearray(1), 1, win32.DWORD()),
        lambda h: win32.WriteFile(h, b"x", 1, win32.DWORD()),
        lambda h: win32.SetFilePointerEx(h, 0, None, 0),
        lambda h: win32.SetEndOfFile(h),
        lambda h: win32.GetFileSizeEx(h, win32.LARGE_INTEGER()),
        lambda h: win32.FlushFileBuffers(h),
        lambda h: win32.SetFilePointer(h, 0, None, 0) != win32.INVALID_SET_FILE_POINTER,
        lambda h: win32.GetFileSize(h, None) != win32.INVALID_FILE_SIZE,
    )

    @pytest.mark.parametrize("number", range(len(CALLS)))
    def test_a_handle_to_anything_else_is_invalid(self, a_dat: Path, number: int) -> None:
        event = win32.CreateEvent(None, False, False, None)
        assert event
        closed = opened("a.dat")
        close(closed)
        for handle in (event, closed + 0x1000, 0, win32.INVALID_HANDLE_VALUE):
            assert failed(self.CALLS[number](handle)) == win32.ERROR_INVALID_HANDLE
        close(event)
        assert failed(self.CALLS[number](closed)) == win32.ERROR_INVALID_HANDLE

    def test_the_count_is_zero_when_the_call_fails(self, a_dat: Path) -> None:
        handle = opened("a.dat", READ)
        count = win32.DWORD(0x55)
        assert not win32.WriteFile(handle, b"x", 1, count)
        assert count.value == 0
        count.value = 0x55
        assert not win32.ReadFile(0, bytearray(1), 1, count)
        assert count.value == 0
        close(handle)

    def test_each_call_needs_its_right(self, a_dat: Path) -> None:
        accesses = (READ, WRITE, win32.FILE_APPEND_DATA, 0)
        reader, writer, appender, bare = (opened("a.dat", access) for access in accesses)
        denied = win32.ERROR_ACCESS_DENIED
        for handle in (writer, appender, bare):
            assert failed(win32.ReadFile(handle, bytearray(1), 1, win32.DWORD())) == denied
        for handle in (reader, bare):
            assert failed(win32.WriteFile(handle, b"x", 1, win32.DWORD())) == denied
            assert failed(win32.WriteFile(handle, b"", 0, win32.DWORD())) == denied
            assert failed(win32.FlushFileBuffers(handle)) == denied
        for handle in (reader, appender, bare):
            assert failed(win32.SetEndOfFile(handle)) == denied
        for handle in (reader, writer, appender, bare):
            assert size(handle) == 10
        close(reader, writer, appender, bare)

    def test_a_duplicate_shares_the_file_pointer(self, a_dat: Path) -> None:
        handle, twin = opened("a.dat"), win32.HANDLE()
        me = win32.GetCurrentProcess()
        assert win32.DuplicateHandle(me, handle, me, twin, 0, False, win32.DUPLICATE_SAME_ACCESS)
        assert twin.value
        seek(handle, 4)
        assert read(twin.value, 2) == b"45"
        assert seek(handle, 0, win32.FILE_CURRENT) == 6
        close(handle, twin.value)

    def test_a_child_inherits_the_file_object_with_its_pointer(self, a_dat: Path) -> None:
        attributes = win32.SECURITY_ATTRIBUTES(bInheritHandle=True)
        handle = win32.CreateFile("a.dat", BOTH, 0, attributes, win32.OPEN_EXISTING, 0, None)
        seek(handle, 3)
        child = start("h = int(sys.argv[1]); print(read(h, 2)); write(h, b'XY')", str(handle), inherit=True)
        assert child.communicate(timeout=60)[0] == "b'34'\n"
        assert read(handle, 2) == b"78"
        close(handle)

    def test_closing_the_last_handle_closes_the_descriptor(self, a_dat: Path) -> None:
        handle = opened("a.dat")
        assert has_open_handles(a_dat)
        close(handle)
        assert not has_open_handles(a_dat)

    def test_an_open_that_fails_leaves_no_descriptor(self, a_dat: Path) -> None:
        holder = opened("a.dat", share=0)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            assert refused("a.dat") == win32.ERROR_SHARING_VIOLATION
        assert len(os.listdir("/proc/self/fd")) == before
        close(holder)
