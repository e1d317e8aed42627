"""CreateFileMapping and OpenFileMapping: what they accept, what they make, and what they say when they refuse."""

import ctypes
from pathlib import Path

import pytest

from calls import PAGE, basic, close, failed, loose, message, open_section, peek, poke, section, unmap, view
from calls.memory import ALL, COPY, EXECUTE, GRANULARITY, READ, WRITE, exists, run, section_basic
from namedmap import win32

pytestmark = pytest.mark.usefixtures("tidy")

ANONYMOUS = win32.INVALID_HANDLE_VALUE
PROTECTIONS = (0x02, 0x04, 0x08, 0x20, 0x40, 0x80)


@pytest.fixture
def file(tmp_path: Path) -> int:
    """A file of 10,000 bytes, open for everything."""
    path = tmp_path / "data"
    path.write_bytes(b"0123456789" * 1000)
    handle = win32.CreateFile(path, win32.GENERIC_ALL, 7, None, win32.OPEN_EXISTING, 0, None)
    assert handle != ANONYMOUS
    return handle


def file_size(handle: int) -> int:
    found = win32.LARGE_INTEGER()
    assert win32.GetFileSizeEx(handle, found)
    return found.value


class TestProtection:
    @pytest.mark.parametrize("protect", PROTECTIONS)
    def test_each_section_protection_is_accepted(self, protect: int) -> None:
        """A section over the paging file may have each of the six protections."""
        assert section(PAGE, protect)

    @pytest.mark.parametrize(
        "protect", [0, 0x01, 0x10, 0x06, 0x0C, 0x84, 0x104, 0x204, 0x404, 0x800, 0x1004, 0x200000 | 4, 0x400000 | 4]
    )
    def test_others_are_refused(self, protect: int) -> None:
        """No protection, NOACCESS, EXECUTE, two at once, modifiers and unknown bits are ERROR_INVALID_PARAMETER."""
        assert failed(win32.CreateFileMapping(ANONYMOUS, None, protect, 0, PAGE, None)) == 87

    def test_protection_is_judged_before_the_rest(self) -> None:
        """A wrong protection is reported even with a wrong handle and a wrong name."""
        assert failed(win32.CreateFileMapping(0xDEADBEE0, None, 0, 0, 0, "\\x")) == 87


class TestSize:
    @pytest.mark.parametrize("high", [0, 1])
    @pytest.mark.parametrize("low", [1, PAGE - 1, PAGE, PAGE + 1, GRANULARITY])
    def test_reserved_sizes_are_rounded_to_pages(self, high: int, low: int) -> None:
        """The size is dwMaximumSizeHigh << 32 | dwMaximumSizeLow, rounded up to whole pages."""
        handle = win32.CreateFileMapping(ANONYMOUS, None, win32.PAGE_READWRITE | win32.SEC_RESERVE, high, low, None)
        assert handle, message()
        assert section_basic(handle) == (win32.SEC_RESERVE, (high << 32) + -(-low // PAGE) * PAGE)

    def test_more_than_the_address_space_is_refused(self) -> None:
        """No section is larger than user space: ERROR_NOT_ENOUGH_MEMORY."""
        for high in (0x8000, 0x7FFFFFFF, 0xFFFFFFFF):
            protect = win32.PAGE_READWRITE | win32.SEC_RESERVE
            assert failed(win32.CreateFileMapping(ANONYMOUS, None, protect, high, 0, None)) == 8

    def test_more_than_memory_is_a_commitment_failure(self) -> None:
        """A committed section of 512 GB is ERROR_COMMITMENT_LIMIT, at once, and leaves no name."""
        assert failed(win32.CreateFileMapping(ANONYMOUS, None, win32.PAGE_READWRITE, 128, 0, "sections.huge")) == 1455
        assert not exists("sections.huge")

    @pytest.mark.parametrize(("high", "low"), [(-1, 0), (2**32, 0), (0, 2**70), (0, -(2**40))])
    def test_a_size_out_of_range_is_an_invalid_parameter_or_too_big(self, high: int, low: int) -> None:
        """Integers that do not fit a DWORD never raise."""
        assert failed(win32.CreateFileMapping(ANONYMOUS, None, win32.PAGE_READWRITE, high, low, None)) in (8, 87)

    def test_null_is_the_paging_file(self) -> None:
        """hFile NULL, as None or 0, means the paging file."""
        for null in (None, 0):
            handle = loose.CreateFileMapping(null, None, win32.PAGE_READWRITE, 0, PAGE, None)
            assert section_basic(handle or 0) == (win32.SEC_COMMIT, PAGE)

    def test_new_memory_is_zero(self) -> None:
        """A section starts as zeros, also one of the name and the memory of another before it."""
        for _ in range(3):
            handle = section(8 * PAGE, name="sections.zero")
            address = view(handle)
            assert ctypes.string_at(address, 8 * PAGE) == bytes(8 * PAGE)
            ctypes.memset(address, 0xAA, 8 * PAGE)
            unmap(address)
            close(handle)


class TestAttributes:
    @pytest.mark.parametrize(
        ("flags", "anonymous", "of_file"),
        [
            (0, 0x8000000, 0x800000),
            (0x8000000, 0x8000000, 0x800000),
            (0x4000000, 0x4000000, 0x800000),
            (0x18000000, 0x18000000, 0x10800000),
            (0x14000000, 0x14000000, 0x10800000),
            (0x48000000, 0x48000000, 0x40800000),
            (0x44000000, 0x44000000, 0x40800000),
        ],
    )
    def test_attributes_are_reported(self, flags: int, anonymous: int, of_file: int, file: int) -> None:
        """SEC_COMMIT is the default and SEC_FILE takes its place over a file; modifiers stay."""
        for handle, expected in ((ANONYMOUS, anonymous), (file, of_file)):
            made = win32.CreateFileMapping(handle, None, win32.PAGE_READWRITE | flags, 0, PAGE, None)
            assert section_basic(made or 0)[0] == expected

    @pytest.mark.parametrize(
        "flags", [0xC000000, 0x10000000, 0x40000000, 0x80000000, 0x84000000, 0x800000, 0x8800000, 0x9000000, 0x5000000]
    )
    def test_combinations_that_do_not_exist(self, flags: int, file: int) -> None:
        """Exactly one of SEC_COMMIT, SEC_RESERVE and SEC_IMAGE, and never SEC_FILE."""
        for handle in (ANONYMOUS, file):
            assert failed(win32.CreateFileMapping(handle, None, win32.PAGE_READWRITE | flags, 0, PAGE, None)) == 87

    def test_images_are_refused(self, file: int) -> None:
        """SEC_IMAGE needs an executable: ERROR_BAD_EXE_FORMAT for data and for the paging file."""
        for handle in (ANONYMOUS, file):
            protect = win32.PAGE_READONLY | win32.SEC_IMAGE
            assert failed(win32.CreateFileMapping(handle, None, protect, 0, PAGE, None)) == 193

    def test_large_pages_need_a_privilege(self) -> None:
        """SEC_LARGE_PAGES is refused and not silently dropped."""
        protect = win32.PAGE_READWRITE | win32.SEC_COMMIT | win32.SEC_LARGE_PAGES
        assert failed(win32.CreateFileMapping(ANONYMOUS, None, protect, 0, 2 << 20, None)) == 1314


class TestNames:
    @pytest.mark.parametrize("protect", PROTECTIONS)
    def test_an_existing_name_is_opened_with_the_access_of_the_protection(self, protect: int) -> None:
        """The second creator gets the first section, ERROR_ALREADY_EXISTS, and rights for its own protection."""
        first = section(3 * PAGE, win32.PAGE_EXECUTE_READWRITE, "sections.same")
        assert win32.GetLastError() == 0
        second = section(1, protect, "sections.same")
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
        assert win32.CompareObjectHandles(first, second)
        expected = {0x02: 5, 0x04: 7, 0x08: 5, 0x20: 0xD, 0x40: 0xF, 0x80: 0xD}[protect]
        assert basic(second) == (0xF0000 | expected, 2)
        assert section_basic(second) == (win32.SEC_COMMIT, 3 * PAGE)

    def test_a_larger_size_does_not_change_an_existing_section(self) -> None:
        """Size and attributes of an existing name stay its own, even when more is asked for than there is memory."""
        section(PAGE, name="sections.larger")
        again = win32.CreateFileMapping(ANONYMOUS, None, win32.PAGE_READWRITE, 0, 1 << 24, "sections.larger")
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
        assert section_basic(again or 0) == (win32.SEC_COMMIT, PAGE)

    def test_unnamed_sections_are_different(self) -> None:
        """NULL and the empty string make a new section each time."""
        handles = [section(name=name) for name in (None, None, "", "")]
        assert not any(win32.CompareObjectHandles(a, b) for a in handles for b in handles if a != b)

    def test_the_size_is_judged_even_when_the_name_exists(self) -> None:
        """Size 0 over the paging file is ERROR_INVALID_PARAMETER also for an existing name."""
        section(name="sections.judged")
        assert failed(win32.CreateFileMapping(ANONYMOUS, None, win32.PAGE_READWRITE, 0, 0, "sections.judged")) == 87

    def test_a_success_says_whether_the_section_is_new(self) -> None:
        """The last error of a creation is 0 for a new section, whatever it was before."""
        for name in (None, "sections.new"):
            win32.SetLastError(1234)
            section(name=name)
            assert win32.GetLastError() == 0


class TestOpen:
    @pytest.mark.parametrize(
        ("asked", "granted"),
        [
            (READ, 4),
            (WRITE, 2),
            (COPY, 4),
            (COPY | READ, 5),
            (EXECUTE, 8),
            (EXECUTE | READ, 0xC),
            (ALL, 0xF001F),
            (win32.GENERIC_READ, 0x20005),
            (win32.GENERIC_WRITE, 0x20002),
            (win32.GENERIC_EXECUTE, 0x20008),
            (win32.GENERIC_ALL, 0xF001F),
            (win32.MAXIMUM_ALLOWED, 0xF001F),
            (win32.SECTION_EXTEND_SIZE, 0x10),
        ],
    )
    def test_granted_access(self, asked: int, granted: int) -> None:
        """The handle has the rights that were asked for, generic ones translated; the last error stays."""
        section(name="sections.access")
        win32.SetLastError(1234)
        assert basic(open_section("sections.access", asked)) == (granted, 2)
        assert win32.GetLastError() == 1234

    def test_refusals(self) -> None:
        """No name 87, the empty name 6, an unknown one 2, access 0 5."""
        section(name="sections.refused")
        assert failed(win32.OpenFileMapping(READ, False, None)) == 87
        assert failed(win32.OpenFileMapping(READ, False, "")) == 6
        assert failed(win32.OpenFileMapping(READ, False, "sections.unknown")) == 2
        assert failed(win32.OpenFileMapping(0, False, "sections.refused")) == 5

    def test_inheritance_is_the_handles_own(self) -> None:
        """bInheritHandle sets HANDLE_FLAG_INHERIT on this handle only."""
        section(name="sections.inherit")
        flags = win32.DWORD()
        for inherit in (True, False):
            handle = win32.OpenFileMapping(READ, inherit, "sections.inherit")
            assert handle
            assert win32.GetHandleInformation(handle, flags)
            assert flags.value == inherit


class TestFiles:
    @pytest.mark.parametrize("protect", [0x02, 0x04, 0x08])
    def test_size_zero_is_the_files(self, protect: int, file: int) -> None:
        """A section over a file has its exact size in bytes."""
        assert section_basic(section(0, protect, file=file)) == (win32.SEC_FILE, 10_000)

    def test_growing(self, file: int) -> None:
        """PAGE_READWRITE of a larger size makes the file grow with zeros; smaller never shrinks."""
        section(20_001, file=file)
        assert file_size(file) == 20_001
        address = view(section(0, file=file), READ)
        assert ctypes.string_at(address + 9_999, 10_002) == b"9" + bytes(10_001)
        section(5, file=file)
        assert file_size(file) == 20_001

    @pytest.mark.parametrize("protect", [0x02, 0x08])
    def test_read_only_sections_do_not_grow_the_file(self, protect: int, file: int) -> None:
        """Larger than the file and not writable: ERROR_NOT_ENOUGH_MEMORY."""
        assert failed(win32.CreateFileMapping(file, None, protect, 0, 10_001, None)) == 8
        assert file_size(file) == 10_000

    def test_an_empty_file(self, tmp_path: Path) -> None:
        """An empty file without a size is ERROR_FILE_INVALID."""
        handle = win32.CreateFile(tmp_path / "empty", win32.GENERIC_ALL, 7, None, win32.CREATE_NEW, 0, None)
        assert failed(win32.CreateFileMapping(handle, None, win32.PAGE_READWRITE, 0, 0, "sections.empty")) == 1006
        assert not exists("sections.empty")
        assert section_basic(section(1, file=handle))[1] == 1

    def test_what_is_no_file(self) -> None:
        """Handles that do not exist or are no files: ERROR_INVALID_HANDLE."""
        event = win32.CreateEvent(None, True, False, None)
        for handle in (event, section(), 0xDEADBEE0, win32.GetCurrentThread()):
            assert failed(loose.CreateFileMapping(handle, None, win32.PAGE_READWRITE, 0, PAGE, None)) == 6

    def test_a_section_outlives_its_file_handle(self, file: int, tmp_path: Path) -> None:
        """The file handle may be closed: the section and its views keep the file."""
        handle = section(0, file=file)
        close(file)
        address = view(handle)
        close(handle)
        assert poke(address, b"late")
        unmap(address)
        assert (tmp_path / "data").read_bytes()[:6] == b"late45"

    def test_two_sections_over_one_file_share_contents(self, file: int) -> None:
        """Sections over the same file are different objects with the same bytes; so are named ones."""
        one, two = section(0, name="sections.one", file=file), section(0, name="sections.two", file=file)
        assert not win32.CompareObjectHandles(one, two)
        first, second = view(one), view(two, READ)
        assert poke(first + 9_000, b"shared")
        assert peek(second + 9_000, 6) == b"shared"

    def test_a_named_section_over_a_file_in_another_process(self, file: int, tmp_path: Path) -> None:
        """Another process opens it by name alone, sees the same bytes, and may be the last to hold it."""
        handle = section(0, name="sections.file", file=file)
        output = run(
            """
            h = open_section("sections.file")
            v = view(h)
            print(section_basic(h)[1], ctypes.string_at(v, 10).decode())
            assert poke(v + 5000, b"child")
            """
        )
        assert output == "10000 0123456789\n"
        assert peek(view(handle, READ) + 5000, 5) == b"child"
        assert (tmp_path / "data").read_bytes()[5000:5005] == b"child"


class TestArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("x", None, 4, 0, PAGE, None),
            (ANONYMOUS, None, "4", 0, PAGE, None),
            (ANONYMOUS, None, 4, 0.0, PAGE, None),
            (ANONYMOUS, None, 4, 0, None, None),
            (ANONYMOUS, None, 4, 0, PAGE, b"name"),
            (ANONYMOUS, None, 4, 0, PAGE, 7),
        ],
    )
    def test_wrong_types_raise(self, arguments: tuple[object, ...]) -> None:
        """A wrong Python type is a TypeError, and nothing is made."""
        with pytest.raises(TypeError):
            loose.CreateFileMapping(*arguments)

    def test_flags_may_be_enumeration_members_and_booleans(self) -> None:
        """Constants are ints; so are members of their enumerations."""
        handle = win32.CreateFileMapping(
            win32.INVALID_HANDLE_VALUE, None, win32.PAGE_READWRITE | win32.SEC_COMMIT, False, PAGE, None
        )
        assert section_basic(handle or 0) == (win32.SEC_COMMIT, PAGE)

    def test_keyword_arguments(self) -> None:
        """Arguments may be given by their Win32 names."""
        assert win32.CreateFileMapping(
            hFile=-1, lpFileMappingAttributes=None, flProtect=4, dwMaximumSizeHigh=0, dwMaximumSizeLow=1, lpName=None
        )
