"""VirtualQuery, VirtualProtect, VirtualAlloc, VirtualFree, VirtualLock, PrefetchVirtualMemory, GetSystemInfo."""

import ctypes
import gc
import os
import resource
import signal
from pathlib import Path

import pytest

from calls import PAGE, close, failed, message, peek, poke, section, view
from calls.memory import COPY, EXECUTE, GRANULARITY, READ, WRITE, protect, query, run
from child import plain
from namedmap import win32

pytestmark = pytest.mark.usefixtures("tidy")

COMMIT, RESERVE, DECOMMIT, RELEASE = win32.MEM_COMMIT, win32.MEM_RESERVE, win32.MEM_DECOMMIT, win32.MEM_RELEASE
NOACCESS, READONLY, READWRITE, WRITECOPY = 1, 2, 4, 8
KERNEL = 0xFFFF800000000000


def allocate(size: int = PAGE, kind: int = COMMIT, protection: int = READWRITE, base: int | None = None) -> int:
    found = win32.VirtualAlloc(base, size, kind, protection)
    assert found, message()
    return found


def entry(address: int, length: int) -> win32.WIN32_MEMORY_RANGE_ENTRY:
    return win32.WIN32_MEMORY_RANGE_ENTRY(address, length)


def state(address: int) -> tuple[int, int, int]:
    """(state, protection, size) of the pages from an address on."""
    pages = query(address)
    return pages.state, pages.protect, pages.size


class TestAlloc:
    @pytest.mark.parametrize("size", [1, PAGE, PAGE + 1, GRANULARITY, GRANULARITY + 1])
    def test_reserve_then_commit(self, size: int) -> None:
        """Reserved memory faults; committed it is zero, and may be stored into."""
        base, length = allocate(size, RESERVE), -(-size // PAGE) * PAGE
        assert base % GRANULARITY == 0
        assert state(base) == (RESERVE, 0, length)
        assert peek(base) is None
        assert allocate(size, COMMIT, READWRITE, base) == base
        assert state(base) == (COMMIT, READWRITE, length)
        assert peek(base, length) == bytes(length)
        assert poke(base + length - 1, b"x")

    def test_commit_rounds_outwards(self) -> None:
        """A commit takes every page that the range touches, and returns the first page's address."""
        base = allocate(8 * PAGE, RESERVE)
        assert allocate(2, COMMIT, READWRITE, base + 2 * PAGE - 1) == base + PAGE
        assert [state(base + page * PAGE)[0] for page in range(4)] == [RESERVE, COMMIT, COMMIT, RESERVE]

    def test_reserve_at_a_base(self) -> None:
        """A base is rounded down to 64 KiB; what is used is ERROR_INVALID_ADDRESS."""
        base = allocate(4 * GRANULARITY, RESERVE)
        assert win32.VirtualFree(base, 0, RELEASE)
        assert allocate(PAGE, RESERVE, READWRITE, base + GRANULARITY + 0x1234) == base + GRANULARITY
        assert query(base + GRANULARITY).size == 3 * PAGE
        assert failed(win32.VirtualAlloc(base + GRANULARITY, PAGE, RESERVE, READWRITE)) == 487
        assert failed(win32.VirtualAlloc(base, GRANULARITY + 1, RESERVE, READWRITE)) == 487
        assert allocate(GRANULARITY, RESERVE, READWRITE, base) == base

    def test_commit_again_keeps_contents(self) -> None:
        """Committing committed pages changes their protection only."""
        base = allocate(2 * PAGE)
        assert poke(base, b"kept")
        allocate(PAGE, COMMIT, READONLY, base)
        assert peek(base, 4) == b"kept"
        assert not poke(base, b"x")
        assert poke(base + PAGE, b"x")

    @pytest.mark.parametrize(
        ("kind", "protection"),
        [
            (0, READWRITE),
            (win32.MEM_TOP_DOWN, READWRITE),
            (win32.MEM_FREE, READWRITE),
            (RELEASE, READWRITE),
            (COMMIT | DECOMMIT, READWRITE),
            (COMMIT | 0x40000, READWRITE),
            (COMMIT, 0),
            (COMMIT, READONLY | READWRITE),
            (COMMIT, WRITECOPY),
            (RESERVE, win32.PAGE_EXECUTE_WRITECOPY),
            (COMMIT, win32.PAGE_GUARD),
            (COMMIT, NOACCESS | win32.PAGE_GUARD),
            (COMMIT, READWRITE | win32.PAGE_GUARD | win32.PAGE_NOCACHE),
            (COMMIT, 0x1000),
            (COMMIT | win32.MEM_RESET, READWRITE),
        ],
    )
    def test_types_and_protections_that_do_not_exist(self, kind: int, protection: int) -> None:
        """ERROR_INVALID_PARAMETER."""
        assert failed(win32.VirtualAlloc(None, PAGE, kind, protection)) == 87

    @pytest.mark.parametrize(
        ("base", "size", "errors"),
        [
            (None, 0, (87,)),
            (None, -1, (87,)),
            (None, 2**63, (87,)),
            (None, 2**70, (87,)),
            (None, 0x7FFFFFF00000, (8,)),
            (KERNEL, PAGE, (87,)),
            (0x10, PAGE, (87, 487)),
            (GRANULARITY, PAGE, (487,)),
        ],
    )
    def test_sizes_and_bases_that_cannot_be(self, base: int | None, size: int, errors: tuple[int, ...]) -> None:
        """Nothing, too much, or outside of user space."""
        if base == GRANULARITY and int(Path("/proc/sys/vm/mmap_min_addr").read_text()) <= base:
            base = allocate(PAGE)
        assert failed(win32.VirtualAlloc(base, size, RESERVE, READWRITE)) in errors

    def test_more_than_memory(self) -> None:
        """A terabyte can be reserved but not committed: ERROR_COMMITMENT_LIMIT, and the reservation stays as it is."""
        assert failed(win32.VirtualAlloc(None, 1 << 40, COMMIT, READWRITE)) == 1455
        base = allocate(1 << 40, RESERVE)
        assert failed(win32.VirtualAlloc(base, 1 << 40, COMMIT, READWRITE)) == 1455
        assert state(base) == (RESERVE, 0, 1 << 40)

    def test_commit_of_what_is_not_reserved(self) -> None:
        """ERROR_INVALID_ADDRESS, also where the range leaves the reservation."""
        base = allocate(2 * PAGE, RESERVE)
        assert failed(win32.VirtualAlloc(base, 2 * PAGE + 1, COMMIT, READWRITE)) == 487
        assert state(base) == (RESERVE, 0, 2 * PAGE)
        assert win32.VirtualFree(base, 0, RELEASE)
        assert failed(win32.VirtualAlloc(base, PAGE, COMMIT, READWRITE)) == 487

    def test_reset_keeps_the_range(self) -> None:
        """MEM_RESET changes neither state nor protection, and must lie within an allocation."""
        base = allocate(2 * PAGE)
        assert win32.VirtualAlloc(base, PAGE, win32.MEM_RESET, READWRITE) == base
        assert state(base) == (COMMIT, READWRITE, 2 * PAGE)
        assert failed(win32.VirtualAlloc(base, 2 * PAGE + 1, win32.MEM_RESET, READWRITE)) == 487

    def test_executable_memory(self) -> None:
        """Code can be put into PAGE_EXECUTE_READWRITE memory and run (x86-64)."""
        if os.uname().machine != "x86_64":
            pytest.skip("the machine code is that of x86-64")
        base = allocate(PAGE, COMMIT, win32.PAGE_EXECUTE_READWRITE)
        ctypes.memmove(base, b"\xb8\x2a\x00\x00\x00\xc3", 6)  # mov eax, 42; ret
        assert ctypes.CFUNCTYPE(ctypes.c_int)(base)() == 42

    def test_nocache_is_the_allocations(self) -> None:
        """PAGE_NOCACHE is reported for an allocation made with it, and never added later."""
        base = allocate(PAGE, COMMIT, READWRITE | win32.PAGE_NOCACHE)
        assert query(base)[2:6] == (0x204, PAGE, COMMIT, 0x204)
        assert protect(base, PAGE, READONLY) == 0x204
        assert query(base).protect == 0x202
        other = allocate(PAGE)
        protect(other, PAGE, READWRITE | win32.PAGE_NOCACHE)
        assert query(other).protect == READWRITE

    @pytest.mark.parametrize(("access", "expected"), [(READ, 0x202), (WRITE, 0x204), (COPY, 0x208)])
    def test_views_of_uncached_sections(self, access: int, expected: int) -> None:
        """Views of a SEC_NOCACHE section report PAGE_NOCACHE, whatever their pages become."""
        handle = section(PAGE, READWRITE | win32.SEC_COMMIT | win32.SEC_NOCACHE)
        address = view(handle, access)
        pages = query(address)
        assert pages.protect == pages.allocation_protect == expected
        protect(address, PAGE, READONLY)
        assert query(address).protect == 0x202

    def test_commit_on_a_view(self) -> None:
        """MEM_COMMIT on a committed view changes protections, guard included, and keeps the contents."""
        address = view(section(3 * PAGE))
        assert poke(address, b"kept")
        allocate(PAGE, COMMIT, READONLY, address)
        allocate(PAGE, COMMIT, READWRITE | win32.PAGE_GUARD, address + PAGE)
        allocate(PAGE, COMMIT, WRITECOPY | win32.PAGE_NOCACHE, address + 2 * PAGE)
        assert [query(address + page * PAGE).protect for page in range(3)] == [2, 0x104, 8]
        assert peek(address, 4) == b"kept"
        assert failed(win32.VirtualAlloc(address, PAGE, COMMIT, win32.PAGE_EXECUTE_READ)) == 87
        assert failed(win32.VirtualAlloc(address, PAGE, RESERVE | COMMIT, READWRITE)) == 487


class TestFree:
    def test_release(self) -> None:
        """MEM_RELEASE with size 0 frees the whole allocation, given any address of its first page."""
        for inside in (0, 1, PAGE - 1):
            base = allocate(3 * PAGE)
            assert win32.VirtualFree(base + inside, 0, RELEASE)
            assert query(base).state == win32.MEM_FREE
            assert peek(base) is None

    def test_decommit(self) -> None:
        """Decommitted pages fault, and are zero when committed again; the others keep their bytes."""
        base = allocate(3 * PAGE)
        assert poke(base, b"a" * 3 * PAGE)
        assert win32.VirtualFree(base + PAGE + 5, 1, DECOMMIT)
        assert [state(base + page * PAGE)[0] for page in range(3)] == [COMMIT, RESERVE, COMMIT]
        assert peek(base + PAGE) is None
        allocate(PAGE, COMMIT, READWRITE, base + PAGE)
        assert peek(base, 3 * PAGE) == b"a" * PAGE + bytes(PAGE) + b"a" * PAGE

    def test_decommit_everything(self) -> None:
        """Size 0 at the base is the whole allocation; elsewhere ERROR_INVALID_ADDRESS."""
        base = allocate(3 * PAGE)
        assert failed(win32.VirtualFree(base + PAGE, 0, DECOMMIT)) == 487
        assert win32.VirtualFree(base + 1, 0, DECOMMIT)
        assert state(base) == (RESERVE, 0, 3 * PAGE)
        assert win32.VirtualFree(base, 3 * PAGE, DECOMMIT)

    @pytest.mark.parametrize(
        ("at", "size", "kind", "error"),
        [
            (0, 0, 0, 87),
            (0, 0, win32.MEM_FREE, 87),
            (0, 0, RELEASE | DECOMMIT, 87),
            (0, PAGE, RELEASE, 87),
            (0, 4 * PAGE, DECOMMIT, 87),
            (PAGE, 0, RELEASE, 487),
            (3 * PAGE, 0, RELEASE, 487),
            (-1, PAGE, DECOMMIT, 487),
            (KERNEL, 0, RELEASE, 87),
        ],
    )
    def test_refusals(self, at: int, size: int, kind: int, error: int) -> None:
        """A wrong type, a part of an allocation, or no allocation at all is refused; nothing is freed."""
        base = allocate(3 * PAGE)
        assert failed(win32.VirtualFree(at if at == KERNEL else base + at, size, kind)) == error
        assert state(base) == (COMMIT, READWRITE, 3 * PAGE)

    @pytest.mark.parametrize("kind", [DECOMMIT, RELEASE])
    @pytest.mark.parametrize("size", [0, PAGE])
    def test_views_are_not_freed(self, kind: int, size: int) -> None:
        """A view ends with UnmapViewOfFile only: ERROR_INVALID_PARAMETER."""
        address = view(section())
        assert failed(win32.VirtualFree(address, size, kind)) == 87
        assert peek(address) == b"\0"

    def test_memory_goes_back_to_the_system(self) -> None:
        """Released and decommitted memory is no longer resident."""

        def resident() -> int:
            return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE

        size = 32 << 20
        before = resident()
        base = allocate(size)
        ctypes.memset(base, 1, size)
        assert resident() > before + size // 2
        assert win32.VirtualFree(base, 0, DECOMMIT)
        assert resident() < before + size // 2


class TestProtect:
    @pytest.mark.parametrize(
        ("access", "protection", "allowed"),
        [
            (0, NOACCESS, {0x01}),
            (READ, READONLY, {0x01, 0x02, 0x08}),
            (COPY, WRITECOPY, {0x01, 0x02, 0x08}),
            (WRITE, READWRITE, {0x01, 0x02, 0x04, 0x08}),
            (EXECUTE | READ, 0x20, {0x01, 0x02, 0x08, 0x10, 0x20, 0x80}),
            (EXECUTE | COPY, 0x80, {0x01, 0x02, 0x08, 0x10, 0x20, 0x80}),
            (EXECUTE | WRITE, 0x40, {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80}),
        ],
    )
    def test_what_a_view_may_become(self, access: int, protection: int, allowed: set[int]) -> None:
        """Pages of a view can have no more than the view was mapped with: else ERROR_INVALID_PARAMETER."""
        handle = section(PAGE, win32.PAGE_EXECUTE_READWRITE)
        old = win32.DWORD()
        for wanted in (0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80):
            address = view(handle, access)
            assert query(address).protect == protection
            if wanted in allowed:
                assert protect(address, PAGE, wanted) == protection
                assert query(address).protect == wanted
            else:
                assert failed(win32.VirtualProtect(address, PAGE, wanted, old)) == 87
                assert query(address).protect == protection

    def test_ranges_round_outwards(self) -> None:
        """Every page that the range touches changes; the old protection is that of the first."""
        address = view(section(4 * PAGE))
        assert protect(address + 2 * PAGE - 1, 2, READONLY) == READWRITE
        assert [query(address + page * PAGE).protect for page in range(4)] == [4, 2, 2, 4]
        assert protect(address, 4 * PAGE, NOACCESS) == READWRITE
        assert protect(address + 1, 1, READWRITE) == NOACCESS
        assert [peek(address), peek(address + PAGE)] == [b"\0", None]
        assert query(address) == (address, address, READWRITE, PAGE, COMMIT, READWRITE, win32.MEM_MAPPED)

    def test_views_change_apart(self) -> None:
        """The protection of one view says nothing about another view of the section."""
        handle = section()
        one, two = view(handle), view(handle)
        protect(one, PAGE, NOACCESS)
        assert poke(two, b"x")
        assert peek(one) is None

    @pytest.mark.parametrize(("at", "size"), [(0, 3 * PAGE), (-1, 2), (2 * PAGE, 1), (-GRANULARITY, PAGE)])
    def test_ranges_outside(self, at: int, size: int) -> None:
        """ERROR_INVALID_ADDRESS where the range is not within one view or allocation."""
        address = view(section(2 * PAGE))
        assert failed(win32.VirtualProtect(address + at, size, READONLY, win32.DWORD())) == 487
        assert query(address).protect == READWRITE

    @pytest.mark.parametrize(
        ("size", "protection"),
        [(0, READONLY), (PAGE, 0), (PAGE, 6), (PAGE, 0x800), (PAGE, NOACCESS | 0x100), (2**70, 2), (PAGE, 2**40)],
    )
    def test_refusals(self, size: int, protection: int) -> None:
        """An empty range and what is no protection: ERROR_INVALID_PARAMETER."""
        address = view(section())
        assert failed(win32.VirtualProtect(address, size, protection, win32.DWORD())) == 87

    def test_old_protection_is_required(self) -> None:
        """Without a place for the old protection the call fails and changes nothing: ERROR_NOACCESS."""
        address = view(section())
        assert failed(win32.VirtualProtect(address, PAGE, READONLY, None)) == 998
        assert query(address).protect == READWRITE

    def test_private_memory(self) -> None:
        """Memory of VirtualAlloc takes every protection but copy-on-write; uncommitted pages take none."""
        base = allocate(2 * PAGE, RESERVE)
        allocate(PAGE, COMMIT, READWRITE, base)
        for wanted in (0x01, 0x02, 0x10, 0x20, 0x40, 0x04):
            protect(base, PAGE, wanted)
            assert query(base).protect == wanted
        for wanted in (WRITECOPY, win32.PAGE_EXECUTE_WRITECOPY):
            assert failed(win32.VirtualProtect(base, PAGE, wanted, win32.DWORD())) == 87
        assert failed(win32.VirtualProtect(base, PAGE + 1, READONLY, win32.DWORD())) == 487
        assert query(base).protect == READWRITE

    def test_guard_pages_cannot_be_touched(self) -> None:
        """PAGE_GUARD is reported and faults until it is taken away."""
        base = allocate(2 * PAGE)
        protect(base, PAGE, READWRITE | win32.PAGE_GUARD)
        assert query(base).protect == 0x104
        assert peek(base) is None
        assert protect(base, PAGE, READWRITE) == 0x104
        assert peek(base) == b"\0"


class TestCopyOnWrite:
    def test_per_page(self) -> None:
        """A store copies one page: it is then PAGE_READWRITE and private, the others still follow the section."""
        handle = section(3 * PAGE)
        shared, copy = view(handle), view(handle, COPY)
        assert poke(copy + PAGE + 5, b"mine")
        assert poke(shared, b"0" * 3 * PAGE)
        assert [query(copy + page * PAGE)[3:6] for page in range(3)] == [
            (PAGE, COMMIT, WRITECOPY),
            (PAGE, COMMIT, READWRITE),
            (PAGE, COMMIT, WRITECOPY),
        ]
        assert peek(copy, PAGE) == b"0" * PAGE
        assert peek(copy + PAGE, 9) == bytes(5) + b"mine"
        assert peek(copy + 2 * PAGE, PAGE) == b"0" * PAGE

    def test_a_load_copies_nothing(self) -> None:
        """Reading a copy-on-write page leaves it shared."""
        handle = section()
        shared, copy = view(handle), view(handle, COPY)
        assert peek(copy) == b"\0"
        assert query(copy).protect == WRITECOPY
        assert poke(shared, b"s")
        assert peek(copy) == b"s"

    def test_a_shared_page_becomes_private_and_shared_again(self) -> None:
        """VirtualProtect to PAGE_WRITECOPY and back: an unwritten page is the section's again, a written one stays."""
        handle = section(2 * PAGE)
        one, two = view(handle), view(handle)
        protect(one, 2 * PAGE, WRITECOPY)
        assert poke(one, b"private")
        assert peek(two, 7) == bytes(7)
        protect(one, 2 * PAGE, READWRITE)
        assert poke(one + PAGE, b"shared")
        assert peek(two + PAGE, 6) == b"shared"
        assert poke(two, b"section")
        assert peek(one, 7) == b"private"

    def test_copy_on_write_again_after_sharing(self) -> None:
        """A page that went back to the section beside a copied one can be made copy-on-write again."""
        handle = section(2 * PAGE)
        one, two = view(handle), view(handle)
        protect(one, 2 * PAGE, WRITECOPY)
        assert poke(one, b"private")
        protect(one, 2 * PAGE, READWRITE)
        assert poke(one + PAGE, b"shared")
        protect(one, 2 * PAGE, WRITECOPY)
        assert poke(one + PAGE, b"LEAKED")
        assert peek(two + PAGE, 6) == b"shared"
        assert query(one + PAGE).protect == READWRITE

    def test_a_copy_survives_every_protection(self) -> None:
        """A private page keeps its bytes through NOACCESS, READONLY and back."""
        handle = section()
        one, two = view(handle), view(handle)
        protect(one, PAGE, WRITECOPY)
        assert poke(one, b"private")
        assert protect(one, PAGE, NOACCESS) == READWRITE
        assert peek(one) is None
        assert protect(one, PAGE, READONLY) == NOACCESS
        assert peek(one, 7) == b"private"
        assert protect(one, PAGE, READWRITE) == READONLY
        assert poke(one, b"PRIVATE")
        assert peek(two, 7) == bytes(7)

    @pytest.mark.parametrize("access", [READ, COPY])
    def test_writecopy_in_a_view_that_cannot_write(self, access: int) -> None:
        """A read-only view can have copy-on-write pages; its stores stay its own."""
        handle = section()
        own, shared = view(handle, access), view(handle)
        protect(own, PAGE, WRITECOPY)
        assert poke(own, b"own")
        assert peek(shared, 3) == bytes(3)

    def test_a_file_is_not_changed(self, tmp_path: Path) -> None:
        """Stores into copy-on-write pages never reach the file, not even by a flush."""
        path = tmp_path / "data"
        path.write_bytes(b"original")
        file = win32.CreateFile(path, win32.GENERIC_READ, 7, None, win32.OPEN_EXISTING, 0, None)
        address = view(section(0, win32.PAGE_WRITECOPY, file=file), COPY)
        assert poke(address, b"changed!")
        assert win32.FlushViewOfFile(address, 0)
        assert path.read_bytes() == b"original"

    def test_each_view_has_its_own_copy(self) -> None:
        """Two copy-on-write views do not see each other's stores."""
        handle = section()
        one, two = view(handle, COPY), view(handle, COPY)
        assert poke(one, b"1")
        assert poke(two, b"2")
        assert (peek(one), peek(two)) == (b"1", b"2")
        assert peek(view(handle, READ)) == b"\0"

    def test_a_copy_in_a_forked_child(self) -> None:
        """A child of os.fork has the parent's private pages, and changes to them stay its own."""
        handle = section()
        copy = view(handle, COPY)
        assert poke(copy, b"parent")
        child = os.fork()
        if not child:
            right = peek(copy, 6) == b"parent" and poke(copy, b"child!") and query(copy).protect == READWRITE
            os._exit(0 if right else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert peek(copy, 6) == b"parent"


class TestQuery:
    def test_addresses_round_down(self) -> None:
        """The answer begins at the page of the address, and counts to where something changes."""
        address = view(section(4 * PAGE))
        protect(address + 2 * PAGE, PAGE, READONLY)
        assert query(address + PAGE + 100) == (
            address + PAGE, address, READWRITE, PAGE, COMMIT, READWRITE, win32.MEM_MAPPED,
        )  # fmt: skip
        assert query(address + 3 * PAGE + 4095).base == address + 3 * PAGE

    def test_free_memory(self) -> None:
        """Free memory: no allocation, PAGE_NOACCESS, up to whatever comes next."""
        base = allocate(GRANULARITY)
        assert win32.VirtualFree(base, 0, RELEASE)
        pages = query(base)
        assert (pages.base, pages.allocation_base, pages.allocation_protect) == (base, 0, 0)
        assert (pages.state, pages.protect, pages.type) == (win32.MEM_FREE, NOACCESS, 0)
        assert pages.size >= GRANULARITY

    def test_the_whole_address_space_can_be_walked(self) -> None:
        """From 0 on, each answer leads to the next, up to the end of user space; own views are met on the way."""
        mine = {view(section(PAGE)), allocate(3 * PAGE, RESERVE)}
        address, met = 0, set()
        info = win32.MEMORY_BASIC_INFORMATION()
        gc.disable()
        while win32.VirtualQuery(address, info, 48):
            assert info.RegionSize % PAGE == 0
            assert info.RegionSize
            met.add(info.AllocationBase)
            address = (info.BaseAddress or 0) + info.RegionSize
        gc.enable()
        assert win32.GetLastError() == 87
        assert address == 0x7FFFFFFF0000
        assert mine <= met

    def test_foreign_memory(self) -> None:
        """Memory of Python itself is committed memory of some protection."""
        buffer = ctypes.create_string_buffer(100)
        pages = query(ctypes.addressof(buffer))
        assert (pages.state, pages.protect) == (COMMIT, READWRITE)
        code = ctypes.cast(ctypes.pythonapi.Py_IncRef, ctypes.c_void_p).value
        assert code
        assert query(code).protect == win32.PAGE_EXECUTE_READ

    def test_refusals(self) -> None:
        """A short buffer 24, an address of the kernel 87, no buffer 998; a wrong type raises."""
        info = win32.MEMORY_BASIC_INFORMATION()
        assert failed(win32.VirtualQuery(0, info, 47)) == 24
        assert failed(win32.VirtualQuery(KERNEL, info, 48)) == 87
        assert failed(win32.VirtualQuery(0, None, 48)) == 998
        with pytest.raises(TypeError):
            win32.VirtualQuery(0, win32.DWORD(), 48)
        assert win32.VirtualQuery(0, ctypes.byref(info), 1000) == 48
        assert win32.VirtualQuery(0, ctypes.pointer(info), 48) == 48


class TestLock:
    def test_lock_and_unlock(self) -> None:
        """Committed pages can be locked; VmLck of the process tells."""

        def locked() -> int:
            status = Path("/proc/self/status").read_text()
            return int(status.split("VmLck:")[1].split()[0]) * 1024

        before = locked()
        for address in (view(section(4 * PAGE)), allocate(4 * PAGE)):
            assert win32.VirtualLock(address + 1, PAGE), message()
            assert locked() == before + 2 * PAGE
            assert win32.VirtualUnlock(address, 2 * PAGE), message()
            assert locked() == before

    def test_refusals(self) -> None:
        """Size 0 is 87, a range that is not within one allocation 487, pages that cannot be touched 998."""
        base = allocate(2 * PAGE, RESERVE)
        allocate(PAGE, COMMIT, NOACCESS, base)
        for call in (win32.VirtualLock, win32.VirtualUnlock):
            assert failed(call(base, 0)) == 87
            assert failed(call(base, 3 * PAGE)) == 487
            assert failed(call(0, PAGE)) == 487
            assert failed(call(base, PAGE)) == 998
            assert failed(call(base + PAGE, PAGE)) == 998

    def test_the_limit_is_a_working_set_quota(self) -> None:
        """Above RLIMIT_MEMLOCK: ERROR_WORKING_SET_QUOTA, and the message names the limit."""
        output = run(
            """
            import resource
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
            if os.getuid() == 0:
                os.setuid(65534)
            base = win32.VirtualAlloc(None, 1 << 20, win32.MEM_COMMIT, 4)
            print(win32.VirtualLock(base, 1 << 20), win32.GetLastError(), "RLIMIT_MEMLOCK" in message())
            print(win32.VirtualLock(base, 4096))
            """
        )
        assert output == "False 1453 True\nTrue\n"


class TestPrefetch:
    def test_ranges(self) -> None:
        """One or several ranges, by array, byref or single entry; what cannot be fetched is no failure."""
        address = view(section(4 * PAGE))
        entries = (win32.WIN32_MEMORY_RANGE_ENTRY * 2)(entry(address, PAGE), entry(address + 2 * PAGE, 1))
        this = win32.GetCurrentProcess()
        assert win32.PrefetchVirtualMemory(this, 2, entries, 0)
        assert win32.PrefetchVirtualMemory(this, 1, entries[0], 0)
        assert win32.PrefetchVirtualMemory(this, 1, ctypes.byref(entries[0]), 0)
        nowhere = (win32.WIN32_MEMORY_RANGE_ENTRY * 1)(entry(GRANULARITY, PAGE))
        assert win32.PrefetchVirtualMemory(this, 1, nowhere, 0)

    def test_refusals(self) -> None:
        """No entries and flags are ERROR_INVALID_PARAMETER, a handle that is none ERROR_INVALID_HANDLE."""
        entries = (win32.WIN32_MEMORY_RANGE_ENTRY * 1)()
        assert failed(win32.PrefetchVirtualMemory(-1, 0, entries, 0)) == 87
        assert failed(win32.PrefetchVirtualMemory(-1, 1, entries, 1)) == 87
        assert failed(win32.PrefetchVirtualMemory(0, 1, entries, 0)) == 6
        assert failed(win32.PrefetchVirtualMemory(-1, 1, None, 0)) in (87, 998)
        with pytest.raises(TypeError):
            win32.PrefetchVirtualMemory(-1, 1, (win32.DWORD * 1)(), 0)

    def test_more_entries_than_the_array_has(self) -> None:
        """A count above the array's length fails, or does what there is: nothing is read past it."""
        entries = (win32.WIN32_MEMORY_RANGE_ENTRY * 1)(entry(view(section()), PAGE))
        if not win32.PrefetchVirtualMemory(-1, 1000, entries, 0):
            assert win32.GetLastError() in (87, 998)
        if not win32.PrefetchVirtualMemory(-1, 2, ctypes.pointer(entries[0]), 0):
            assert win32.GetLastError() in (87, 998)


def test_system_info() -> None:
    """GetSystemInfo gives pages of 4 KiB, a granularity of 64 KiB, and this machine's processors."""
    info = win32.SYSTEM_INFO()
    assert win32.GetSystemInfo(ctypes.byref(info)) is None
    assert (info.dwPageSize, info.dwAllocationGranularity) == (resource.getpagesize(), GRANULARITY)
    assert info.dwNumberOfProcessors == os.cpu_count()
    assert bin(info.dwActiveProcessorMask).count("1") == min(info.dwNumberOfProcessors, 64)
    assert (info.lpMinimumApplicationAddress, info.lpMaximumApplicationAddress) == (GRANULARITY, 0x7FFFFFFEFFFF)


def test_a_bad_store_ends_the_process_and_not_the_object() -> None:
    """A real store into a read-only view is SIGSEGV, and the section is as it was."""
    handle = section(name="virtual.segv")
    plain(
        """
        import ctypes
        from calls import *
        from calls.memory import *
        ctypes.memset(view(open_section("virtual.segv"), READ), 1, 1)
        """,
        status=-signal.SIGSEGV,
    )
    assert peek(view(handle, READ)) == b"\0"
    close(handle)
