"""Reading, writing, positions and sizes of files."""

import ctypes
import mmap
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls import close, failed, message
from calls.files import READ, flags_of, opened, read, refused, section_of, seek, size, write
from child.users import mounted, needs_root
from namedmap import win32

pytestmark = pytest.mark.usefixtures("directory")


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
        array2 = (ctypes.c_char * 2)(b"a", b"b")
        for data in (b"ab", bytearray(b"ab"), memoryview(b"ab"), array2, memoryview(b"a_b_")[::2]):
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
        assert failed(win32.WriteFile(handle, page, 2 * mmap.PAGESIZE, count)) == win32.ERROR_INVALID_USER_BUFFER
        assert (count.value, seek(handle, 0, win32.FILE_CURRENT)) == (0, 0)
        assert win32.VirtualFree(page, 0, win32.MEM_RELEASE)
        close(handle)

    def test_memory_that_cannot_be_stored_into_is_refused_even_at_the_end_of_the_file(self, a_dat: Path) -> None:
        handle, count = opened("a.dat"), win32.DWORD()
        mapping = section_of(handle)
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
        assert (win32.SetFilePointer(handle, 0, high, win32.FILE_BEGIN), win32.GetLastError()) == (bad, 131)
        assert high.value == -1
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
        mapping = section_of(handle, length=10)
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
            assert bool(flags_of(a_dat) & os.O_DSYNC) == (flag == win32.FILE_FLAG_WRITE_THROUGH)
            assert not flags_of(a_dat) & os.O_NONBLOCK
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
        if flags_of(a_dat) & os.O_DIRECT and os.statvfs(a_dat).f_bsize > 1:
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


@settings(max_examples=150)
@given(steps=st.lists(_STEPS, max_size=25))
def test_reading_writing_seeking_and_resizing_follow_a_model(directory: Path, steps: list[tuple[str, object]]) -> None:
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
