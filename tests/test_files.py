"""Files: opening, reading, writing, positions, sizes, and the names of files."""

import ctypes
import errno
import mmap
import os
import socket
import stat
from pathlib import Path

import pytest
from file_support import (
    ALL,
    BOTH,
    NOBODY,
    READ,
    WRITE,
    close,
    failed,
    has_open_handles,
    message,
    mounted,
    needs_root,
    opened,
    public_directory,
    read,
    refused,
    run,
    section,
    seek,
    size,
    start,
    write,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namedmap import win32


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def a_dat(directory: Path) -> Path:
    path = directory / "a.dat"
    path.write_bytes(b"0123456789")
    return path


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
            attributes = win32.SECURITY_ATTRIBUTES("D:(A;;GR;;;WD)(A;;GA;;;OW)")
            handle = win32.CreateFile("b.dat", BOTH, ALL, attributes, win32.CREATE_NEW, 0, None)
        finally:
            os.umask(before)
        close(handle)
        assert stat.S_IMODE(os.stat("a.dat").st_mode) == 0o640
        assert stat.S_IMODE(os.stat("b.dat").st_mode) == 0o644

    def test_a_bad_descriptor_creates_nothing(self) -> None:
        attributes = win32.SECURITY_ATTRIBUTES("D:(X;;GR;;;WD)")
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

    @pytest.mark.parametrize("path", ["", None, "C:\\a.dat", "c:/a", "\\\\.\\NUL", "\\\\server\\share\\a", "\\\\?\\C:\\a", "\\\\?\\UNC\\s\\a"])
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
    def test_other_types_are_a_mistake_of_the_program(self, path: object) -> None:
        with pytest.raises(TypeError, match="path must be"):
            win32.DeleteFile(path)  # type: ignore[arg-type]

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
        assert run(script, timeout=20) == f"{[50] * 4}\n"

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
    CALLS = (
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
            assert failed(TestHandles.CALLS[number](handle)) == win32.ERROR_INVALID_HANDLE
        close(event)
        assert failed(TestHandles.CALLS[number](closed)) == win32.ERROR_INVALID_HANDLE

    def test_the_count_is_zero_when_the_call_fails(self, a_dat: Path) -> None:
        handle = opened("a.dat", READ)
        for bad in (lambda n: win32.WriteFile(handle, b"x", 1, n), lambda n: win32.ReadFile(0, bytearray(1), 1, n)):
            count = win32.DWORD(0x55)
            assert not bad(count)
            assert count.value == 0
        close(handle)

    def test_each_call_needs_its_right(self, a_dat: Path) -> None:
        reader, writer, appender, bare = (opened("a.dat", access) for access in (READ, WRITE, win32.FILE_APPEND_DATA, 0))
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
        attributes = win32.SECURITY_ATTRIBUTES(None, True)
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


class TestBuffers:
    def test_any_buffer_will_do(self, a_dat: Path) -> None:
        handle, count = opened("a.dat"), win32.DWORD()
        array = (ctypes.c_char * 4)()
        text = bytearray(4)
        for buffer in (array, ctypes.byref(array), text, memoryview(text), ctypes.addressof(array)):
            seek(handle, 2)
            assert win32.ReadFile(handle, buffer, 4, ctypes.byref(count))
            assert count.value == 4
        assert array.raw == bytes(text) == b"2345"
        for data in (b"ab", bytearray(b"ab"), memoryview(b"ab"), (ctypes.c_char * 2)(b"a", b"b"), memoryview(b"a_b_")[::2]):
            seek(handle, 0)
            assert win32.WriteFile(handle, data, 2, ctypes.pointer(count))
        assert a_dat.read_bytes() == b"ab23456789"
        close(handle)

    def test_a_buffer_that_is_too_small_is_never_overrun(self, a_dat: Path) -> None:
        handle = opened("a.dat")
        assert failed(win32.ReadFile(handle, bytearray(4), 5, win32.DWORD())) == win32.ERROR_INSUFFICIENT_BUFFER
        assert failed(win32.WriteFile(handle, b"1234", 5, win32.DWORD())) == win32.ERROR_INSUFFICIENT_BUFFER
        close(handle)

    @pytest.mark.parametrize("buffer", ["text", 1.5, b"read-only"])
    def test_what_is_no_writable_buffer_is_a_mistake_of_the_program(self, a_dat: Path, buffer: object) -> None:
        handle = opened("a.dat")
        with pytest.raises(TypeError, match="lpBuffer"):
            win32.ReadFile(handle, buffer, 1, win32.DWORD())
        close(handle)

    @pytest.mark.parametrize("address", [0, 0x10, None])
    def test_a_bad_address_is_an_error_and_moves_nothing(self, a_dat: Path, address: int | None) -> None:
        handle, count = opened("a.dat"), win32.DWORD(0x55)
        assert failed(win32.ReadFile(handle, address, 3, count)) == win32.ERROR_NOACCESS
        assert failed(win32.WriteFile(handle, address, 3, count)) == win32.ERROR_INVALID_USER_BUFFER
        assert count.value == 0
        assert seek(handle, 0, win32.FILE_CURRENT) == 0
        assert win32.ReadFile(handle, address, 0, count)
        assert win32.WriteFile(handle, address, 0, count)
        close(handle)

    def test_memory_that_is_bad_half_way_moves_nothing(self, a_dat: Path) -> None:
        a_dat.write_bytes(bytes(3 * mmap.PAGESIZE))
        handle, count = opened("a.dat"), win32.DWORD()
        page = win32.VirtualAlloc(None, mmap.PAGESIZE, win32.MEM_COMMIT, win32.PAGE_READWRITE)
        assert page
        assert failed(win32.ReadFile(handle, page, 2 * mmap.PAGESIZE, count)) == win32.ERROR_NOACCESS
        assert (count.value, seek(handle, 0, win32.FILE_CURRENT)) == (0, 0)
        assert win32.VirtualFree(page, 0, win32.MEM_RELEASE)
        close(handle)

    def test_memory_that_cannot_be_stored_into_is_refused_even_at_the_end_of_the_file(self, a_dat: Path) -> None:
        handle, count = opened("a.dat"), win32.DWORD()
        mapping = section(handle)
        view = win32.MapViewOfFile(mapping, win32.FILE_MAP_READ, 0, 0, 0)
        assert view
        seek(handle, 0, win32.FILE_END)
        assert failed(win32.ReadFile(handle, view, 3, count)) == win32.ERROR_NOACCESS
        assert win32.ReadFile(handle, bytearray(3), 3, count)
        assert win32.UnmapViewOfFile(view)
        close(mapping, handle)

    def test_a_null_count_needs_an_overlapped(self, a_dat: Path) -> None:
        handle = opened("a.dat")
        assert failed(win32.ReadFile(handle, bytearray(1), 1, None)) == win32.ERROR_NOACCESS
        assert win32.ReadFile(handle, bytearray(1), 1, None, win32.OVERLAPPED())
        close(handle)


class TestPositions:
    def test_moving_from_start_here_and_end(self, a_dat: Path) -> None:
        handle = opened("a.dat")
        assert seek(handle, 3) == 3
        assert read(handle, 4) == b"3456"
        assert seek(handle, -2, win32.FILE_END) == 8
        assert read(handle, 10) == b"89"
        assert read(handle, 10) == b""
        assert seek(handle, -5, win32.FILE_CURRENT) == 5
        assert failed(win32.SetFilePointerEx(handle, -1, None, win32.FILE_BEGIN)) == win32.ERROR_NEGATIVE_SEEK
        assert failed(win32.SetFilePointerEx(handle, 0, None, 7)) == win32.ERROR_INVALID_PARAMETER
        assert failed(win32.SetFilePointerEx(handle, 2**63 - 1, None, win32.FILE_CURRENT)) == win32.ERROR_NEGATIVE_SEEK
        assert seek(handle, 0, win32.FILE_CURRENT) == 5
        close(handle)

    def test_writing_past_the_end_leaves_zeros_between(self, a_dat: Path) -> None:
        handle = opened("a.dat")
        seek(handle, 100)
        assert size(handle) == 10
        write(handle, b"")
        assert size(handle) == 10
        write(handle, b"X")
        close(handle)
        assert a_dat.read_bytes() == b"0123456789" + bytes(90) + b"X"

    def test_the_32_bit_form(self, a_dat: Path) -> None:
        handle, high = opened("a.dat"), win32.LONG(0)
        bad = win32.INVALID_SET_FILE_POINTER
        assert win32.SetFilePointer(handle, 4, None, win32.FILE_BEGIN) == 4
        assert win32.SetFilePointer(handle, -1, None, win32.FILE_CURRENT) == 3
        assert (win32.SetFilePointer(handle, -5, None, win32.FILE_CURRENT), win32.GetLastError()) == (bad, 131)
        high.value = 1
        assert (win32.SetFilePointer(handle, 5, ctypes.byref(high), win32.FILE_BEGIN), high.value) == (5, 1)
        assert seek(handle, 0, win32.FILE_CURRENT) == 2**32 + 5
        assert (win32.SetFilePointer(handle, 0, None, win32.FILE_CURRENT), win32.GetLastError()) == (bad, 87)
        high.value = 0
        assert (win32.SetFilePointer(handle, -1, high, win32.FILE_BEGIN), win32.GetLastError()) == (bad, 0)
        assert (high.value, seek(handle, 0, win32.FILE_CURRENT)) == (0, 2**32 - 1)
        high.value = -1
        assert (win32.SetFilePointer(handle, 0, high, win32.FILE_BEGIN), win32.GetLastError(), high.value) == (bad, 131, -1)
        close(handle)

    def test_an_overlapped_says_where_and_moves_the_pointer(self, a_dat: Path) -> None:
        handle, count, place = opened("a.dat"), win32.DWORD(), win32.OVERLAPPED()
        buffer = bytearray(4)
        place.Offset = 7
        assert win32.ReadFile(handle, buffer, 4, count, place)
        assert (bytes(buffer[: count.value]), place.InternalHigh) == (b"789", 3)
        assert seek(handle, 0, win32.FILE_CURRENT) == 10
        place.Offset = 10
        assert failed(win32.ReadFile(handle, buffer, 4, count, place)) == win32.ERROR_HANDLE_EOF
        assert count.value == 0
        place.Offset = 1
        assert win32.WriteFile(handle, b"ab", 2, None, ctypes.byref(place))
        assert seek(handle, 0, win32.FILE_CURRENT) == 3
        place.Offset = place.OffsetHigh = 0xFFFFFFFF
        assert win32.WriteFile(handle, b"end", 3, count, place)
        place.Offset = 0xFFFFFFF0
        assert failed(win32.WriteFile(handle, b"x", 1, count, place)) == win32.ERROR_INVALID_PARAMETER
        close(handle)
        assert a_dat.read_bytes() == b"0ab3456789end"

    def test_an_append_only_handle_appends(self, a_dat: Path) -> None:
        handle, other = opened("a.dat", win32.FILE_APPEND_DATA), opened("a.dat")
        write(handle, b"AB")
        write(other, b"..")
        seek(handle, 0)
        write(handle, b"CD")
        place = win32.OVERLAPPED()
        assert win32.WriteFile(handle, b"EF", 2, None, place)
        close(handle, other)
        assert a_dat.read_bytes() == b"..23456789ABCDEF"

    def test_a_duplicate_with_append_access_only_appends(self, a_dat: Path) -> None:
        handle, twin, me = opened("a.dat"), win32.HANDLE(), win32.GetCurrentProcess()
        assert win32.DuplicateHandle(me, handle, me, twin, win32.FILE_APPEND_DATA, False, 0)
        assert twin.value
        write(twin.value, b"AB")
        close(handle, twin.value)
        assert a_dat.read_bytes() == b"0123456789AB"


class TestSizes:
    def test_above_4_gigabytes(self, a_dat: Path) -> None:
        os.truncate(a_dat, 2**32 + 5)
        handle, high = opened("a.dat", READ), win32.DWORD()
        assert (win32.GetFileSize(handle, high), high.value, size(handle)) == (5, 1, 2**32 + 5)
        os.truncate(a_dat, 2**32 - 1)
        win32.SetLastError(5)
        assert (win32.GetFileSize(handle, None), win32.GetLastError()) == (win32.INVALID_FILE_SIZE, 0)
        close(handle)

    def test_set_end_shrinks_and_grows_with_zeros(self, a_dat: Path) -> None:
        handle = opened("a.dat")
        seek(handle, 4)
        assert win32.SetEndOfFile(handle)
        assert size(handle) == 4
        seek(handle, 8)
        assert win32.SetEndOfFile(handle)
        close(handle)
        assert a_dat.read_bytes() == b"0123\0\0\0\0"

    def test_a_mapped_file_does_not_shrink_but_grows(self, a_dat: Path) -> None:
        a_dat.write_bytes(bytes(10000))
        handle = opened("a.dat")
        mapping = section(handle, length=10)
        for position, error in ((9999, 1224), (10000, 0), (10001, 0), (10000, 1224)):
            seek(handle, position)
            done = win32.SetEndOfFile(handle)
            assert (done, error) == (True, 0) if done else failed(done) == error == win32.ERROR_USER_MAPPED_FILE
        view = win32.MapViewOfFile(mapping, win32.FILE_MAP_READ, 0, 0, 0)
        close(mapping)
        seek(handle, 0)
        assert failed(win32.SetEndOfFile(handle)) == win32.ERROR_USER_MAPPED_FILE
        assert "mapped by this process" in message()
        assert refused("a.dat", disposition=win32.CREATE_ALWAYS) == win32.ERROR_USER_MAPPED_FILE
        assert refused("a.dat", disposition=win32.TRUNCATE_EXISTING) == win32.ERROR_USER_MAPPED_FILE
        assert failed(win32.DeleteFile("a.dat")) == win32.ERROR_ACCESS_DENIED
        assert view
        assert win32.UnmapViewOfFile(view)
        assert win32.SetEndOfFile(handle)
        close(handle)

    @needs_root
    def test_a_full_disk_is_an_error_and_what_fitted_is_counted(self, directory: Path) -> None:
        with mounted("tmpfs", directory / "small", "size=64k"):
            handle, count = opened("small/a.dat", disposition=win32.CREATE_NEW), win32.DWORD()
            assert failed(win32.WriteFile(handle, bytes(100_000), 100_000, count)) == win32.ERROR_DISK_FULL
            assert 0 < count.value == size(handle) <= 65536
            assert seek(handle, 0, win32.FILE_CURRENT) == count.value
            before = size(handle)
            seek(handle, 1 << 20)
            assert failed(win32.SetEndOfFile(handle)) == win32.ERROR_DISK_FULL
            assert size(handle) == before
            close(handle)


class TestFlags:
    def test_flush_writes_to_the_disk(self, a_dat: Path) -> None:
        handle = opened("a.dat", win32.FILE_APPEND_DATA)
        write(handle, b"x")
        assert win32.FlushFileBuffers(handle)
        close(handle)

    def test_write_through_and_hints_are_passed_on(self, a_dat: Path) -> None:
        for flag in (win32.FILE_FLAG_WRITE_THROUGH, win32.FILE_FLAG_SEQUENTIAL_SCAN, win32.FILE_FLAG_RANDOM_ACCESS):
            handle = opened("a.dat", flags=flag)
            assert bool(_flags_of(a_dat) & os.O_DSYNC) == (flag == win32.FILE_FLAG_WRITE_THROUGH)
            assert not _flags_of(a_dat) & os.O_NONBLOCK
            close(handle)

    def test_no_buffering_transfers_whole_blocks(self, a_dat: Path) -> None:
        handle = opened("a.dat", flags=win32.FILE_FLAG_NO_BUFFERING, disposition=win32.CREATE_ALWAYS)
        memory = win32.VirtualAlloc(None, 8192, win32.MEM_COMMIT, win32.PAGE_READWRITE)
        assert memory
        ctypes.memset(memory, 65, 8192)
        count = win32.DWORD()
        assert win32.WriteFile(handle, memory, 8192, count)
        seek(handle, 4096)
        assert win32.ReadFile(handle, memory, 4096, count)
        assert count.value == 4096
        if _flags_of(a_dat) & os.O_DIRECT and os.statvfs(a_dat).f_bsize > 1:
            seek(handle, 1)
            done = win32.ReadFile(handle, memory + 1, 3, count)
            assert done or "block size" in message()
        close(handle)
        assert win32.VirtualFree(memory, 0, win32.MEM_RELEASE)
        assert a_dat.read_bytes() == b"A" * 8192

    def test_no_buffering_excludes_appending(self, a_dat: Path) -> None:
        flags = win32.FILE_FLAG_NO_BUFFERING
        assert refused("a.dat", win32.FILE_APPEND_DATA, flags=flags) == win32.ERROR_INVALID_PARAMETER

    def test_overlapped_files_are_not_offered(self, a_dat: Path) -> None:
        assert refused("a.dat", flags=win32.FILE_FLAG_OVERLAPPED) == win32.ERROR_NOT_SUPPORTED
        assert "FILE_FLAG_OVERLAPPED" in message()


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
        mapping = section(handle)
        assert win32.MoveFile("a.dat", "b.dat")
        close(mapping, handle)

    def test_an_open_mapped_or_readonly_target_is_not_replaced(self, a_dat: Path) -> None:
        target = Path("b.dat")
        target.write_bytes(b"target")
        handle = opened("b.dat", READ)
        assert failed(win32.MoveFileEx("a.dat", "b.dat", 1)) == win32.ERROR_ACCESS_DENIED
        mapping = section(handle)
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
            mapping = section(handle)
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


class Model:
    """A file as bytes and a position: what the Win32 calls are documented to do."""

    def __init__(self) -> None:
        self.data = b""
        self.position = 0

    def write(self, data: bytes) -> None:
        if data:
            head = self.data[: self.position].ljust(self.position, b"\0")
            self.data = head + data + self.data[self.position + len(data) :]
            self.position += len(data)

    def read(self, length: int) -> bytes:
        found = self.data[self.position : self.position + length]
        self.position += len(found)
        return found

    def seek(self, distance: int, method: int) -> int | None:
        target = (0, self.position, len(self.data))[method] + distance
        if target < 0:
            return None
        self.position = target
        return target

    def set_end(self) -> None:
        self.data = self.data[: self.position].ljust(self.position, b"\0")


_STEPS = st.one_of(
    st.tuples(st.just("write"), st.binary(max_size=3000)),
    st.tuples(st.just("read"), st.integers(0, 5000)),
    st.tuples(st.just("seek"), st.tuples(st.integers(-6000, 6000), st.sampled_from((0, 1, 2)))),
    st.tuples(st.just("set_end"), st.none()),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_STEPS, max_size=25))
def test_reading_writing_seeking_and_resizing_follow_the_model(directory: Path, steps: list[tuple[str, object]]) -> None:
    handle, model = opened("model.dat", disposition=win32.CREATE_ALWAYS), Model()
    try:
        for verb, argument in steps:
            if verb == "write":
                assert isinstance(argument, bytes)
                assert write(handle, argument) == len(argument)
                model.write(argument)
            elif verb == "read":
                assert isinstance(argument, int)
                assert read(handle, argument) == model.read(argument)
            elif verb == "seek":
                assert isinstance(argument, tuple)
                _seek_like(model, handle, *argument)
            else:
                assert win32.SetEndOfFile(handle)
                model.set_end()
            assert size(handle) == len(model.data)
    finally:
        close(handle)
    assert (directory / "model.dat").read_bytes() == model.data


def _seek_like(model: Model, handle: int, distance: int, method: int) -> None:
    expected = model.seek(distance, method)
    if expected is None:
        assert failed(win32.SetFilePointerEx(handle, distance, None, method)) == win32.ERROR_NEGATIVE_SEEK
    else:
        assert seek(handle, distance, method) == expected


def _flags_of(path: Path) -> int:
    """The open flags of this process's descriptor of a file."""
    for entry in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{entry}") == str(path):
                lines = Path(f"/proc/self/fdinfo/{entry}").read_text().splitlines()
                return int(next(line for line in lines if line.startswith("flags:")).split()[1], 8)
        except OSError as error:
            assert error.errno == errno.ENOENT
    raise AssertionError(f"{path} is not open")
