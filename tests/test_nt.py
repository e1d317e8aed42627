"""The native calls: statuses, out-arguments, and what they have that Win32 has not."""

import ctypes
import os
from pathlib import Path

import pytest

from calls import PAGE, basic, close, duplicate, loose, loose_nt, object_text, peek, poke, section, unmap, view
from calls.memory import GRANULARITY, OBJECT_NAME_EXISTS, READ, SUCCESS, WRITE, exists, query, run, section_basic
from namedmap import nt, win32

pytestmark = pytest.mark.usefixtures("tidy")

S = nt.NTSTATUS
COMMIT = win32.SEC_COMMIT
READWRITE = win32.PAGE_READWRITE
EVERYTHING = win32.SECTION_ALL_ACCESS
OPENIF, CASELESS, INHERIT, PERMANENT = 0x80, 0x40, 0x2, 0x10


def create(
    name: str | None = None,
    flags: int = 0,
    size: int | None = PAGE,
    protect: int = READWRITE,
    attributes: int = COMMIT,
    file: int | None = None,
    access: int = EVERYTHING,
) -> tuple[int, int]:
    """(status, handle) of NtCreateSection."""
    out = nt.HANDLE()
    given = None if name is None and not flags else nt.OBJECT_ATTRIBUTES(name, flags)
    status = nt.NtCreateSection(out, access, given, size, protect, attributes, file)
    return status, out.value or 0


def opened(name: str | None, flags: int = 0, access: int = EVERYTHING) -> tuple[int, int]:
    out = nt.HANDLE()
    status = nt.NtOpenSection(out, access, nt.OBJECT_ATTRIBUTES(name, flags))
    return status, out.value or 0


def mapped(
    handle: int,
    protect: int = READWRITE,
    *,
    base: int = 0,
    zero_bits: int = 0,
    offset: int = 0,
    size: int = 0,
    inherit: int = 2,
    kind: int = 0,
    process: int = -1,
) -> tuple[int, int, int]:
    """(status, base, size) of NtMapViewOfSection."""
    where, length, start = nt.LPVOID(base), nt.SIZE_T(size), nt.LARGE_INTEGER(offset)
    status = nt.NtMapViewOfSection(handle, process, where, zero_bits, 0, start, length, inherit, kind, protect)
    return status, where.value or 0, length.value


@pytest.fixture
def file(tmp_path: Path) -> int:
    """A file of 10,000 bytes, open for everything."""
    (tmp_path / "data").write_bytes(b"0123456789" * 1000)
    return win32.CreateFile(tmp_path / "data", win32.GENERIC_ALL, 7, None, win32.OPEN_EXISTING, 0, None)


class TestCreate:
    def test_sizes(self) -> None:
        """MaximumSize may be an int or a LARGE_INTEGER, also by reference."""
        large = nt.LARGE_INTEGER(PAGE + 1)
        for size in (PAGE + 1, large, ctypes.byref(large), ctypes.pointer(large)):
            out = nt.HANDLE()
            assert nt.NtCreateSection(out, EVERYTHING, None, size, READWRITE, COMMIT, None) == SUCCESS
            assert section_basic(out.value or 0) == (COMMIT, 2 * PAGE)

    @pytest.mark.parametrize(
        ("arguments", "status"),
        [
            ({"size": None}, S.STATUS_INVALID_PARAMETER_4),
            ({"size": 0}, S.STATUS_INVALID_PARAMETER_4),
            ({"protect": 0}, S.STATUS_INVALID_PAGE_PROTECTION),
            ({"protect": 0x01}, S.STATUS_INVALID_PAGE_PROTECTION),
            ({"protect": 0x06}, S.STATUS_INVALID_PAGE_PROTECTION),
            ({"protect": 0x104}, S.STATUS_INVALID_PAGE_PROTECTION),
            ({"protect": 0x204}, S.STATUS_INVALID_PAGE_PROTECTION),
            ({"attributes": 0}, S.STATUS_INVALID_PARAMETER_6),
            ({"attributes": 0x0C000000}, S.STATUS_INVALID_PARAMETER_6),
            ({"attributes": COMMIT | 1}, S.STATUS_INVALID_PARAMETER_6),
            ({"attributes": COMMIT | win32.SEC_FILE}, S.STATUS_INVALID_PARAMETER_6),
            ({"file": 0xDEADBEE0}, S.STATUS_INVALID_HANDLE),
            ({"size": 1 << 62}, S.STATUS_SECTION_TOO_BIG),
            ({"size": 1 << 39}, S.STATUS_COMMITMENT_LIMIT),
            ({"name": "\\"}, None),
            ({"name": "a\\b"}, S.STATUS_OBJECT_PATH_NOT_FOUND),
            ({"name": "x", "flags": PERMANENT}, S.STATUS_PRIVILEGE_NOT_HELD),
        ],
    )
    def test_refusals(self, arguments: dict[str, int], status: int | None) -> None:
        """Each wrong argument has its own status, and no handle is stored."""
        found, handle = create(**arguments)  # type: ignore[arg-type]
        assert handle == 0
        assert found >= 0xC0000000
        assert status in (None, found), f"{found:#x}"

    def test_files(self, file: int, tmp_path: Path) -> None:
        """Over a file: its size, growth, and the statuses of what cannot be."""
        assert section_basic(create(size=None, file=file)[1]) == (win32.SEC_FILE, 10_000)
        assert create(size=10_001, protect=win32.PAGE_READONLY, file=file)[0] == S.STATUS_SECTION_TOO_BIG
        assert (
            create(attributes=win32.SEC_IMAGE, protect=win32.PAGE_READONLY, file=file)[0]
            == S.STATUS_INVALID_IMAGE_NOT_MZ
        )
        assert section_basic(create(size=20_000, file=file)[1])[1] == 20_000
        event = win32.CreateEvent(None, False, False, None)
        assert create(file=event)[0] == S.STATUS_OBJECT_TYPE_MISMATCH
        reader = win32.CreateFile(tmp_path / "data", win32.GENERIC_READ, 7, None, win32.OPEN_EXISTING, 0, None)
        assert create(file=reader)[0] == S.STATUS_ACCESS_DENIED
        empty = win32.CreateFile(tmp_path / "empty", win32.GENERIC_ALL, 7, None, win32.CREATE_NEW, 0, None)
        assert create(size=None, file=empty)[0] == S.STATUS_MAPPED_FILE_SIZE_ZERO

    @pytest.mark.parametrize(
        ("asked", "granted"),
        [(0, 0), (win32.GENERIC_READ, 0x20005), (win32.GENERIC_WRITE, 0x20002), (win32.GENERIC_EXECUTE, 0x20008),
         (win32.GENERIC_ALL, 0xF001F), (win32.MAXIMUM_ALLOWED, 0xF001F), (4, 4)],
    )  # fmt: skip
    def test_access(self, asked: int, granted: int) -> None:
        """The handle has the access that was asked for, whatever the protection."""
        assert basic(create(access=asked)[1]).access == granted

    def test_existing_names(self) -> None:
        """A collision without OBJ_OPENIF; with it the old section, and a status that says so."""
        first = create("nt.same")[1]
        status, handle = create("nt.same")
        assert (status, handle) == (S.STATUS_OBJECT_NAME_COLLISION, 0)
        status, handle = create("nt.same", OPENIF, size=10 * PAGE, access=4)
        assert status == OBJECT_NAME_EXISTS
        assert win32.CompareObjectHandles(first, handle)
        assert basic(handle) == (4, 2)
        assert section_basic(first)[1] == PAGE

    def test_another_kind(self) -> None:
        """A mutex of the name: a type mismatch; for a plain creation Windows versions also call it a collision."""
        win32.CreateMutex(None, False, "nt.mutex")
        assert create("nt.mutex", OPENIF) == (S.STATUS_OBJECT_TYPE_MISMATCH, 0)
        assert create("nt.mutex")[0] in (S.STATUS_OBJECT_TYPE_MISMATCH, S.STATUS_OBJECT_NAME_COLLISION)
        assert opened("nt.mutex") == (S.STATUS_OBJECT_TYPE_MISMATCH, 0)

    def test_inheritance(self) -> None:
        """OBJ_INHERIT makes the handle inheritable."""
        flags = win32.DWORD()
        for wanted in (0, INHERIT):
            _, handle = create("nt.inherit", wanted | OPENIF)
            assert win32.GetHandleInformation(handle, flags)
            assert flags.value == bool(wanted)


class TestNames:
    def test_absolute_names(self) -> None:
        r"""`\BaseNamedObjects\X` is `Global\X`, `\Sessions\1\BaseNamedObjects\X` is `X`."""
        create("\\BaseNamedObjects\\nt.name")
        create("\\Sessions\\1\\BaseNamedObjects\\nt.local")
        assert exists("Global\\nt.name")
        assert exists("nt.local")
        assert opened("Global\\nt.name")[0] == SUCCESS
        assert opened("\\Sessions\\1\\BaseNamedObjects\\Global\\nt.name")[0] == SUCCESS

    def test_a_section_of_win32_has_a_native_name(self) -> None:
        """The name that NtQueryObject reports opens the object."""
        for name in ("nt.round", "Global\\nt.round"):
            handle = section(name=name)
            status, other = opened(object_text(handle, 1))
            assert status == SUCCESS
            assert win32.CompareObjectHandles(handle, other)

    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("nt.missing", S.STATUS_OBJECT_NAME_NOT_FOUND),
            ("\\BaseNamedObjects\\nt.missing", S.STATUS_OBJECT_NAME_NOT_FOUND),
            ("\\basenamedobjects\\nt.missing", S.STATUS_OBJECT_PATH_NOT_FOUND),
            ("\\Nowhere\\x", S.STATUS_OBJECT_PATH_NOT_FOUND),
            ("\\Sessions\\9\\BaseNamedObjects\\x", S.STATUS_OBJECT_PATH_NOT_FOUND),
            ("nt\\missing", S.STATUS_OBJECT_PATH_NOT_FOUND),
            ("", S.STATUS_OBJECT_TYPE_MISMATCH),
            (None, S.STATUS_OBJECT_PATH_SYNTAX_BAD),
        ],
    )
    def test_opening_what_is_not_there(self, name: str | None, status: int) -> None:
        """Missing objects and missing directories have different statuses."""
        found, handle = opened(name)
        assert (hex(found), handle) == (hex(status), 0)
        out = nt.HANDLE()
        assert nt.NtOpenMutant(out, 0x1F0001, nt.OBJECT_ATTRIBUTES(name)) == status

    def test_no_attributes(self) -> None:
        """Opening needs OBJECT_ATTRIBUTES; creating makes an unnamed section without."""
        assert loose_nt.NtOpenSection(nt.HANDLE(), 4, None) == S.STATUS_INVALID_PARAMETER
        assert object_text(create()[1], 1) == ""
        assert object_text(create("")[1], 1) == ""

    def test_access_zero(self) -> None:
        """Opening with no access at all is STATUS_ACCESS_DENIED."""
        create("nt.zero")
        assert opened("nt.zero", access=0)[0] == S.STATUS_ACCESS_DENIED

    def test_case(self) -> None:
        """Names differ in case, unless OBJ_CASE_INSENSITIVE is given, which then finds the one there is."""
        handle = create("nt.Case")[1]
        assert opened("NT.CASE")[0] == S.STATUS_OBJECT_NAME_NOT_FOUND
        status, other = opened("NT.CASE", CASELESS)
        assert status == SUCCESS
        assert win32.CompareObjectHandles(handle, other)
        assert create("nt.CASE", CASELESS)[0] == S.STATUS_OBJECT_NAME_COLLISION
        assert opened("\\sessions\\1\\basenamedobjects\\nt.case", CASELESS)[0] == SUCCESS
        assert opened("nt.none", CASELESS)[0] == S.STATUS_OBJECT_NAME_NOT_FOUND
        lower = create("nt.case")
        assert lower[0] == SUCCESS
        assert not win32.CompareObjectHandles(handle, lower[1])

    def test_root_directories(self) -> None:
        """There are no directory handles: refused, not ignored."""
        out = nt.HANDLE()
        attributes = nt.OBJECT_ATTRIBUTES("x", 0, 4)
        assert nt.NtCreateSection(out, 4, attributes, PAGE, READWRITE, COMMIT, None) >= 0xC0000000
        assert not exists("x")

    def test_mutants(self) -> None:
        """NtOpenMutant opens a mutex of CreateMutex."""
        mutex = win32.CreateMutex(None, False, "nt.mutant")
        out = nt.HANDLE()
        assert nt.NtOpenMutant(out, 0x1F0001, nt.OBJECT_ATTRIBUTES("nt.mutant", INHERIT)) == SUCCESS
        assert loose.CompareObjectHandles(mutex or 0, out)
        assert object_text(out.value or 0, 2) == "Mutant"


class TestMap:
    def test_in_and_out(self) -> None:
        """Base and size come back rounded, the offset as given."""
        handle = section(3 * GRANULARITY)
        status, base, size = mapped(handle, size=1)
        assert (status, size) == (SUCCESS, PAGE)
        assert base % GRANULARITY == 0
        status, base, size = mapped(handle, offset=GRANULARITY, base=base + GRANULARITY)
        assert (status, size) == (SUCCESS, 2 * GRANULARITY)
        start, where, length = nt.LARGE_INTEGER(GRANULARITY), nt.LPVOID(), nt.SIZE_T(PAGE)
        out = (ctypes.byref(where), 0, 0, ctypes.byref(start), ctypes.pointer(length), 1, 0, READWRITE)
        assert nt.NtMapViewOfSection(handle, -1, *out) == SUCCESS
        assert (start.value, length.value) == (GRANULARITY, PAGE)
        assert nt.NtMapViewOfSection(handle, -1, nt.LPVOID(), 0, 0, None, nt.SIZE_T(), 1, 0, READWRITE) == SUCCESS

    @pytest.mark.parametrize(
        ("arguments", "status"),
        [
            ({"inherit": 0}, S.STATUS_INVALID_PARAMETER_8),
            ({"inherit": 3}, S.STATUS_INVALID_PARAMETER_8),
            ({"kind": win32.MEM_COMMIT}, S.STATUS_INVALID_PARAMETER_9),
            ({"kind": win32.MEM_RESERVE}, S.STATUS_INVALID_PARAMETER_9),
            ({"protect": 0}, S.STATUS_INVALID_PAGE_PROTECTION),
            ({"protect": 6}, S.STATUS_INVALID_PAGE_PROTECTION),
            ({"protect": win32.PAGE_EXECUTE_READWRITE}, S.STATUS_SECTION_PROTECTION),
            ({"zero_bits": 22}, S.STATUS_INVALID_PARAMETER_4),
            ({"base": 0x1000}, S.STATUS_MAPPED_ALIGNMENT),
            ({"offset": 1}, S.STATUS_MAPPED_ALIGNMENT),
            ({"offset": GRANULARITY}, S.STATUS_INVALID_VIEW_SIZE),
            ({"size": PAGE + 1}, S.STATUS_INVALID_VIEW_SIZE),
            ({"base": 0xFFFF800000000000}, S.STATUS_INVALID_PARAMETER_3),
            ({"process": 0}, S.STATUS_INVALID_HANDLE),
        ],
    )
    def test_refusals(self, arguments: dict[str, int], status: int) -> None:
        """Each wrong argument has its own status, and base and size stay as they were."""
        found, base, size = mapped(duplicate(section(), EVERYTHING, 0), **arguments)
        assert (hex(found), base, size) == (hex(status), arguments.get("base", 0), arguments.get("size", 0))

    def test_used_addresses(self) -> None:
        """A base in use: STATUS_CONFLICTING_ADDRESSES."""
        handle = section()
        assert mapped(handle, base=view(handle))[0] == S.STATUS_CONFLICTING_ADDRESSES

    @pytest.mark.parametrize("value", [0, 0xDEADBEE0, -1])
    def test_handles(self, value: int) -> None:
        """A handle that is none, or no section."""
        assert mapped(value)[0] in (S.STATUS_INVALID_HANDLE, S.STATUS_OBJECT_TYPE_MISMATCH)
        assert mapped(win32.CreateEvent(None, False, False, None) or 0)[0] == S.STATUS_OBJECT_TYPE_MISMATCH

    @pytest.mark.parametrize(
        ("protect", "needs"),
        [(0x01, 4), (0x02, 4), (0x08, 4), (0x04, 2), (0x10, 8), (0x20, 12), (0x80, 12), (0x40, 10)],
    )
    def test_access(self, protect: int, needs: int) -> None:
        """Each protection needs its SECTION_MAP_* rights of the handle, all of them and no others."""
        handle = section(PAGE, win32.PAGE_EXECUTE_READWRITE)
        assert mapped(duplicate(handle, needs, 0), protect)[0] == SUCCESS
        for right in (2, 4, 8):
            if needs & right:
                assert mapped(duplicate(handle, 14 & ~right, 0), protect)[0] == S.STATUS_ACCESS_DENIED

    def test_unmap(self) -> None:
        """Any address of the view; other addresses are STATUS_NOT_MAPPED_VIEW."""
        address = view(section(3 * PAGE))
        assert nt.NtUnmapViewOfSection(-1, address + 2 * PAGE + 5) == SUCCESS
        assert peek(address) is None
        own = win32.VirtualAlloc(None, PAGE, win32.MEM_COMMIT, READWRITE)
        for wrong in (address, None, 0, own, 1 << 47):
            assert loose_nt.NtUnmapViewOfSection(-1, wrong) == S.STATUS_NOT_MAPPED_VIEW


class TestExtend:
    def test_a_file(self, file: int, tmp_path: Path) -> None:
        """The section and the file grow, with zeros; views that exist keep their length, later ones see it all."""
        handle = create(size=None, file=file)[1]
        address, size = view(handle), nt.LARGE_INTEGER(5 * PAGE)
        assert nt.NtExtendSection(handle, size) == SUCCESS
        assert section_basic(handle)[1] == size.value == 5 * PAGE
        assert (tmp_path / "data").read_bytes() == b"0123456789" * 1000 + bytes(5 * PAGE - 10_000)
        assert query(address).size == 3 * PAGE
        larger = view(handle, WRITE, 0, 5 * PAGE)
        assert poke(larger, b"both")
        assert peek(address, 4) == b"both"

    def test_never_smaller(self, file: int) -> None:
        """A smaller size changes nothing, and the present size comes back."""
        handle, size = create(size=None, file=file)[1], nt.LARGE_INTEGER(5)
        assert nt.NtExtendSection(handle, ctypes.byref(size)) == SUCCESS
        assert size.value == section_basic(handle)[1] == 10_000

    def test_refusals(self, file: int) -> None:
        """The paging file does not grow, and SECTION_EXTEND_SIZE is needed."""
        size = nt.LARGE_INTEGER(1 << 20)
        assert nt.NtExtendSection(create()[1], size) == S.STATUS_SECTION_NOT_EXTENDED
        handle = section(0, file=file)
        assert basic(handle).access & win32.SECTION_EXTEND_SIZE == 0
        assert nt.NtExtendSection(handle, size) == S.STATUS_ACCESS_DENIED
        assert section_basic(handle)[1] == 10_000

    def test_a_size_that_another_process_has_outgrown(self, file: int) -> None:
        """An extension that would be a reduction by now changes nothing; nameless sections learn it too."""
        handle = create(size=None, file=file)[1]
        pid = os.fork()
        if not pid:
            os._exit(nt.NtExtendSection(handle, nt.LARGE_INTEGER(1 << 20)))
        assert os.waitpid(pid, 0)[1] == 0
        size = nt.LARGE_INTEGER(20_000)
        assert nt.NtExtendSection(handle, size) == SUCCESS
        assert size.value == section_basic(handle)[1] == 1 << 20

    def test_other_processes_learn_the_size(self, file: int) -> None:
        """A process that has the section open, by name, sees the new size and can map it."""
        handle = create("nt.extend", size=None, file=file)[1]
        output = run(
            """
            h = open_section("nt.extend")
            size = nt.LARGE_INTEGER(40960)
            print(section_basic(h)[1], nt.NtExtendSection(h, size), section_basic(h)[1])
            assert poke(view(h, WRITE, 0, 40960) + 40959, b"!")
            """
        )
        assert output == "10000 0 40960\n"
        assert section_basic(handle)[1] == 40_960
        assert peek(view(handle, READ, 0, 40_960) + 40_959) == b"!"
        close(handle)


class TestQuery:
    def test_section_information(self) -> None:
        """Class 0 fills 24 bytes; the length that was stored comes back; longer buffers are fine."""
        handle, length = section(5), nt.SIZE_T(7)
        buffer = (ctypes.c_ubyte * 100)()
        assert nt.NtQuerySection(handle, 0, buffer, 100, ctypes.byref(length)) == SUCCESS
        info = nt.SECTION_BASIC_INFORMATION.from_buffer(buffer)
        assert (info.BaseAddress, info.Attributes, info.Size, length.value) == (None, COMMIT, PAGE, 24)
        assert bytes(buffer)[24:] == bytes(76)

    def test_section_refusals(self) -> None:
        """Unknown classes, then lengths, then handles; images do not exist; QUERY is needed."""
        handle, info = section(), nt.SECTION_BASIC_INFORMATION()
        assert nt.NtQuerySection(0xDEADBEE0, 7, info, 5) == S.STATUS_INVALID_INFO_CLASS
        assert nt.NtQuerySection(0xDEADBEE0, 0, info, 23) == S.STATUS_INFO_LENGTH_MISMATCH
        assert nt.NtQuerySection(0xDEADBEE0, 0, info, 24) == S.STATUS_INVALID_HANDLE
        assert nt.NtQuerySection(handle, 1, (ctypes.c_ubyte * 64)(), 64) == S.STATUS_SECTION_NOT_IMAGE
        assert nt.NtQuerySection(handle, 1, (ctypes.c_ubyte * 64)(), 63) == S.STATUS_INFO_LENGTH_MISMATCH
        assert nt.NtQuerySection(duplicate(handle, 4, 0), 0, info, 24) == S.STATUS_ACCESS_DENIED

    def test_a_buffer_smaller_than_its_length(self) -> None:
        """A length that the buffer does not have is an error, not a store past its end."""
        handle = section()
        assert nt.NtQuerySection(handle, 0, (ctypes.c_ubyte * 8)(), 24) == S.STATUS_ACCESS_VIOLATION
        assert nt.NtQueryObject(handle, 0, (ctypes.c_ubyte * 8)(), 56) == S.STATUS_ACCESS_VIOLATION

    def test_object_information(self) -> None:
        """Class 0: access, handles, references; a view is a reference and no handle."""
        handle, info, length = section(), nt.OBJECT_BASIC_INFORMATION(), nt.DWORD()
        assert nt.NtQueryObject(handle, 0, info, 56, length) == SUCCESS
        before = info.PointerCount
        address = view(handle)
        assert nt.NtQueryObject(handle, 0, info, 57, length) == SUCCESS
        assert (info.GrantedAccess, info.HandleCount, length.value) == (0xF0007, 1, 56)
        assert info.PointerCount == before + 1
        unmap(address)

    def test_names_and_lengths(self) -> None:
        """A short buffer: the length that is needed comes back, and is enough."""
        handle, length = section(name="nt.length"), nt.DWORD()
        expected = "\\Sessions\\1\\BaseNamedObjects\\nt.length"
        needed = 16 + 2 * (len(expected) + 1)
        for short in (0, 15, 16, needed - 1):
            buffer = (ctypes.c_ubyte * max(short, 1))()
            assert nt.NtQueryObject(handle, 1, buffer, short, length) == S.STATUS_INFO_LENGTH_MISMATCH
            assert length.value == needed
        buffer = (ctypes.c_ubyte * needed)()
        assert nt.NtQueryObject(handle, 1, buffer, needed, length) == SUCCESS
        text = nt.UNICODE_STRING.from_buffer(buffer)
        assert (text.Length, text.MaximumLength) == (2 * len(expected), 2 * len(expected) + 2)
        assert text.Buffer == ctypes.addressof(buffer) + 16
        assert bytes(buffer)[16:].decode("utf-16-le") == expected + "\0"

    def test_types(self) -> None:
        """Class 2 names the type of every kind of handle."""
        handles = {
            "Section": section(),
            "Mutant": win32.CreateMutex(None, False, None),
            "Semaphore": win32.CreateSemaphore(None, 0, 1, None),
            "Event": win32.CreateEvent(None, False, False, None),
            "File": win32.CreateFile("/dev/null", win32.GENERIC_READ, 7, None, win32.OPEN_EXISTING, 0, None),
        }
        assert {name: object_text(handle or 0, 2) for name, handle in handles.items()} == {
            name: name for name in handles
        }

    def test_object_refusals(self) -> None:
        """Handles that are none, classes that are none, short buffers."""
        info = nt.OBJECT_BASIC_INFORMATION()
        assert nt.NtQueryObject(0, 0, info, 56) == S.STATUS_INVALID_HANDLE
        assert nt.NtQueryObject(section(), 99, info, 56) == S.STATUS_INVALID_INFO_CLASS
        assert nt.NtQueryObject(section(), 0, info, 55) == S.STATUS_INFO_LENGTH_MISMATCH


def test_the_longest_name() -> None:
    """A path that a UNICODE_STRING cannot hold is refused or cut, and its length does not wrap around."""
    name = "n" * 32766
    handle = section(name=name)
    buffer = (ctypes.c_ubyte * 0x20000)()
    if nt.NtQueryObject(handle, 1, buffer, ctypes.sizeof(buffer), None) == SUCCESS:
        text = nt.UNICODE_STRING.from_buffer(buffer)
        assert text.Length > 65_000
        assert text.MaximumLength >= text.Length


class TestFlush:
    def flush(self, address: int, size: int) -> tuple[int, int, int]:
        base, length = nt.LPVOID(address), nt.SIZE_T(size)
        return nt.NtFlushVirtualMemory(-1, base, length, None), base.value or 0, length.value

    def test_ranges(self) -> None:
        """The base comes back at its page."""
        address = view(section(3 * PAGE))
        for at, size in ((0, 0), (5, 10), (PAGE + 1, PAGE)):
            status, base, length = self.flush(address + at, size)
            assert (status, base) == (SUCCESS, (address + at) // PAGE * PAGE)
            assert length >= size

    def test_refusals(self) -> None:
        """Outside of views: STATUS_NOT_MAPPED_VIEW, arguments unchanged."""
        address = view(section())
        assert self.flush(address, PAGE + 1) == (S.STATUS_NOT_MAPPED_VIEW, address, PAGE + 1)
        assert self.flush(0, 0) == (S.STATUS_NOT_MAPPED_VIEW, 0, 0)


class TestOthers:
    def test_close(self) -> None:
        """NtClose closes; what is none and what is protected have their statuses; pseudo handles close."""
        handle = section()
        win32.SetHandleInformation(handle, 2, 2)
        assert nt.NtClose(handle) == S.STATUS_HANDLE_NOT_CLOSABLE
        win32.SetHandleInformation(handle, 2, 0)
        assert nt.NtClose(handle) == SUCCESS
        assert nt.NtClose(handle) == S.STATUS_INVALID_HANDLE
        assert loose_nt.NtClose(None) == S.STATUS_INVALID_HANDLE
        assert (nt.NtClose(-1), nt.NtClose(-2)) == (SUCCESS, SUCCESS)

    def test_make_temporary(self) -> None:
        """NtMakeTemporaryObject succeeds for any object: all are temporary."""
        handle = section(name="nt.temporary")
        assert nt.NtMakeTemporaryObject(handle) == SUCCESS
        assert exists("nt.temporary")
        assert nt.NtMakeTemporaryObject(0) == S.STATUS_INVALID_HANDLE

    def test_mapped_files(self, file: int) -> None:
        """NtAreMappedFilesTheSame: one view is the same as itself, and not as others or other memory."""
        address, other = view(section(0, file=file)), view(section(0, file=file))
        assert nt.NtAreMappedFilesTheSame(address, address + PAGE) == SUCCESS
        assert nt.NtAreMappedFilesTheSame(address, other) == S.STATUS_NOT_SAME_DEVICE
        assert nt.NtAreMappedFilesTheSame(address, 0) == S.STATUS_INVALID_ADDRESS
        own = win32.VirtualAlloc(None, PAGE, win32.MEM_COMMIT, READWRITE)
        assert loose_nt.NtAreMappedFilesTheSame(own, address) == S.STATUS_CONFLICTING_ADDRESSES

    def test_native_calls_leave_the_last_error(self) -> None:
        """Statuses are return values only: the last error stays."""
        win32.SetLastError(1234)
        create(protect=0)
        create()
        nt.NtClose(0)
        assert win32.GetLastError() == 1234

    def test_wrong_types_raise(self) -> None:
        """An out-argument of another type is a TypeError; NULL is STATUS_ACCESS_VIOLATION."""
        with pytest.raises(TypeError):
            nt.NtCreateSection(nt.DWORD(), 4, None, PAGE, READWRITE, COMMIT, None)
        with pytest.raises(TypeError):
            nt.NtQuerySection(section(), 0, bytearray(24), 24)
        assert nt.NtCreateSection(None, 4, None, PAGE, READWRITE, COMMIT, None) == S.STATUS_ACCESS_VIOLATION

    def test_statuses_are_unsigned_ints(self) -> None:
        """A status is an NTSTATUS, an unsigned int."""
        for status in (nt.NtClose(0), create()[0], create("x", PERMANENT)[0]):
            assert isinstance(status, nt.NTSTATUS)
            assert 0 <= status < 2**32
