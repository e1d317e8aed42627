"""SEC_RESERVE: pages that fault until some process commits them."""

import ctypes
import os
import threading

import pytest

from calls import PAGE, close, duplicate, failed, message, peek, poke, section, unmap, view
from calls.kernel import userfault
from calls.memory import ALL, COPY, GRANULARITY, READ, WRITE, query, run, section_basic
from child import plain
from namedmap import nt, win32

pytestmark = pytest.mark.usefixtures("tidy")

COMMITTED, RESERVED = win32.MEM_COMMIT, win32.MEM_RESERVE


def faults_are_possible() -> bool:
    if userfault.guard._fd is None and not userfault.guard._forbidden:
        userfault.guard._open()
    return userfault.guard._fd is not None


needs_faults = pytest.mark.skipif(not faults_are_possible(), reason="userfaultfd is missing or forbidden here")


def reserved(size: int = 16 * PAGE, protect: int = win32.PAGE_READWRITE, name: str | None = None) -> int:
    return section(size, protect | win32.SEC_RESERVE, name)


def commit(address: int, length: int, protect: int = win32.PAGE_READWRITE) -> int:
    found = win32.VirtualAlloc(address, length, COMMITTED, protect)
    assert found, message()
    return found


def runs(address: int, pages: int) -> list[tuple[int, int]]:
    """(state, pages) of the stretches of a view."""
    found, page = [], 0
    while page < pages:
        info = query(address + page * PAGE)
        found.append((info.state, info.size // PAGE))
        page += info.size // PAGE
    return found


@pytest.mark.parametrize(("access", "protect"), [(0, 1), (COPY, 8), (READ, 2), (WRITE, 4)])
def test_a_view_is_reserved(access: int, protect: int) -> None:
    """VirtualQuery reports MEM_RESERVE, no protection, and the view's own as AllocationProtect."""
    address = view(reserved(), access)
    assert query(address) == (address, address, protect, 16 * PAGE, RESERVED, 0, win32.MEM_MAPPED)


@needs_faults
def test_reserved_pages_fault() -> None:
    """Load and store fault on reserved pages and work on committed ones."""
    address = view(reserved())
    assert peek(address) is None
    assert not poke(address, b"x")
    assert commit(address + PAGE, 1) == address + PAGE
    assert peek(address + PAGE, PAGE) == bytes(PAGE)
    assert poke(address + PAGE, b"x")
    assert peek(address) is None
    assert peek(address + 2 * PAGE) is None


def test_a_commit_is_for_all_views() -> None:
    """A commit in one view shows in every other, present and future, with that view's own protection."""
    handle = reserved()
    first, reader, copy = view(handle), view(handle, READ), view(handle, COPY)
    commit(first + 2 * PAGE, 3 * PAGE, win32.PAGE_READONLY)
    later = view(handle)
    assert [query(address + 2 * PAGE)[3:6] for address in (first, reader, copy, later)] == [
        (3 * PAGE, COMMITTED, 2),
        (3 * PAGE, COMMITTED, 2),
        (3 * PAGE, COMMITTED, 8),
        (3 * PAGE, COMMITTED, 4),
    ]
    assert poke(later + 2 * PAGE, b"later")
    assert [peek(address + 2 * PAGE, 5) for address in (first, reader, copy)] == [b"later"] * 3
    assert runs(later, 16) == [(RESERVED, 2), (COMMITTED, 3), (RESERVED, 11)]


def test_commits_merge() -> None:
    """Stretches that touch or overlap become one; committing again keeps contents."""
    address = view(reserved())
    commit(address + PAGE, PAGE)
    assert poke(address + PAGE, b"kept")
    commit(address + 2 * PAGE, PAGE)
    commit(address, 3 * PAGE)
    assert runs(address, 16) == [(COMMITTED, 3), (RESERVED, 13)]
    assert peek(address + PAGE, 4) == b"kept"


@pytest.mark.parametrize("bit", [0, 1, 6, 7, 8, 9, 63, 64])
def test_every_place_in_the_bitmap(bit: int) -> None:
    """One page, and nine, at any place: exactly these are committed."""
    address = view(reserved(80 * PAGE))
    commit(address + bit * PAGE, PAGE)
    expected = [(RESERVED, bit)] * (bit > 0) + [(COMMITTED, 1), (RESERVED, 79 - bit)]
    assert runs(address, 80) == expected
    commit(address + bit * PAGE, 9 * PAGE)
    assert runs(address, 80) == [(RESERVED, bit)] * (bit > 0) + [(COMMITTED, 9), (RESERVED, 71 - bit)]


def test_views_at_offsets() -> None:
    """Pages are the section's: a view at an offset commits and reports the right ones."""
    handle = reserved(3 * GRANULARITY)
    whole, part = view(handle), view(handle, WRITE, GRANULARITY, GRANULARITY)
    commit(part + PAGE, PAGE)
    assert runs(whole, 48) == [(RESERVED, 17), (COMMITTED, 1), (RESERVED, 30)]
    assert poke(part + PAGE, b"part")
    assert peek(whole + GRANULARITY + PAGE, 4) == b"part"


@pytest.mark.parametrize(("access", "protect"), [(READ, 4), (COPY, 4), (0, 4), (0, 2), (READ, 0x20), (WRITE, 0x40)])
def test_more_than_the_view_has(access: int, protect: int) -> None:
    """A protection beyond the view's is ERROR_INVALID_PARAMETER, and nothing is committed."""
    address = view(reserved(), access)
    assert failed(win32.VirtualAlloc(address, PAGE, COMMITTED, protect)) == 87
    assert query(address).state == RESERVED


def test_a_reader_may_commit() -> None:
    """A read-only view of a writable section commits for everybody."""
    handle = reserved()
    reader, writer = view(handle, READ), view(handle)
    commit(reader, PAGE, win32.PAGE_READONLY)
    assert poke(writer, b"w")
    assert peek(reader) == b"w"


def test_ranges_that_leave_the_view() -> None:
    """ERROR_INVALID_ADDRESS and nothing committed; size 0 is ERROR_INVALID_PARAMETER."""
    address = view(reserved(4 * PAGE))
    assert failed(win32.VirtualAlloc(address + 3 * PAGE, PAGE + 1, COMMITTED, 4)) == 487
    assert failed(win32.VirtualAlloc(address, 0, COMMITTED, 4)) == 87
    assert failed(win32.VirtualAlloc(address, PAGE, RESERVED, 4)) == 487
    assert failed(win32.VirtualAlloc(address, PAGE, RESERVED | COMMITTED, 4)) == 487
    assert query(address).state == RESERVED


def test_nothing_is_decommitted() -> None:
    """VirtualFree on a view is ERROR_INVALID_PARAMETER, committed or not."""
    address = view(reserved())
    commit(address, PAGE)
    for where in (address, address + PAGE):
        for size in (0, PAGE):
            assert failed(win32.VirtualFree(where, size, win32.MEM_DECOMMIT)) == 87
    assert query(address).state == COMMITTED


def test_protect_needs_committed_pages() -> None:
    """VirtualProtect over a reserved page is ERROR_INVALID_ADDRESS and changes nothing."""
    address = view(reserved())
    commit(address, PAGE)
    old = win32.DWORD()
    assert failed(win32.VirtualProtect(address, PAGE + 1, win32.PAGE_READONLY, old)) == 487
    assert win32.VirtualProtect(address, PAGE, win32.PAGE_READONLY, old)
    assert query(address)[3:6] == (PAGE, COMMITTED, 2)


def test_commits_belong_to_the_section() -> None:
    """They stay while a handle stays, with no view; and go with the section."""
    handle = reserved(name="userfault.keeps")
    address = view(handle)
    commit(address, 2 * PAGE)
    assert poke(address, b"kept")
    unmap(address)
    address = view(handle)
    assert runs(address, 16) == [(COMMITTED, 2), (RESERVED, 14)]
    assert peek(address, 4) == b"kept"
    unmap(address)
    close(handle)
    assert runs(view(reserved(name="userfault.keeps")), 16) == [(RESERVED, 16)]


def test_space_is_taken_only_by_commits() -> None:
    """A reserved section costs no memory beside its control page and bitmap."""
    before = os.statvfs(os.environ.get("NAMEDMAP_ROOT") or "/dev/shm").f_bfree
    handle = reserved(1 << 30, name="userfault.sparse")
    after = os.statvfs(os.environ.get("NAMEDMAP_ROOT") or "/dev/shm").f_bfree
    assert before - after < 1000
    assert section_basic(handle) == (win32.SEC_RESERVE, 1 << 30)


def test_copy_on_write_of_committed_pages() -> None:
    """A copy-on-write view of a reserved section copies committed pages, and faults on the others."""
    handle = reserved()
    copy, writer = view(handle, COPY), view(handle)
    commit(writer, 2 * PAGE)
    assert poke(writer, b"shared")
    assert poke(copy, b"copied")
    assert poke(writer + PAGE, b"second")
    assert peek(writer, 6) == b"shared"
    assert peek(copy + PAGE, 6) == b"second"
    assert [query(copy + page * PAGE)[4:6] for page in range(3)] == [(COMMITTED, 4), (COMMITTED, 8), (RESERVED, 0)]


@needs_faults
def test_remapped_pages_still_fault() -> None:
    """Pages that VirtualProtect made copy-on-write and back, beside reserved ones, leave those reserved."""
    handle = reserved(4 * PAGE)
    address = view(handle)
    commit(address, PAGE)
    old = win32.DWORD()
    assert win32.VirtualProtect(address, PAGE, win32.PAGE_WRITECOPY, old)
    assert win32.VirtualProtect(address, PAGE, win32.PAGE_READWRITE, old)
    assert peek(address) == b"\0"
    assert peek(address + PAGE) is None
    commit(address, 4 * PAGE, win32.PAGE_WRITECOPY)
    assert poke(address + 3 * PAGE, b"private")
    assert peek(view(handle, READ) + 3 * PAGE, 7) == bytes(7)


@needs_faults
def test_another_process_commits() -> None:
    """A page that a child commits works here, and one committed here works there."""
    handle = reserved(name="userfault.processes")
    address = view(handle)
    commit(address, PAGE)
    output = run(
        """
        v = view(open_section("userfault.processes"))
        print(peek(v), peek(v + PAGE), query(v + PAGE).state == win32.MEM_RESERVE)
        assert win32.VirtualAlloc(v + PAGE, PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE)
        assert poke(v + PAGE, b"child")
        """
    )
    assert output == f"{bytes(1)!r} None True\n"
    assert peek(address + PAGE, 5) == b"child"
    assert runs(address, 16) == [(COMMITTED, 2), (RESERVED, 14)]


@needs_faults
def test_a_real_touch_ends_the_process() -> None:
    """Touching a reserved page for real is a fault of that process alone; the page stays reserved."""
    handle = reserved(name="userfault.touch")
    address = view(handle)
    plain(
        """
        import ctypes, faulthandler, resource
        from calls import *
        from calls.memory import *
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        ctypes.memset(view(open_section("userfault.touch")), 1, 1)
        """,
        status=-7,
    )
    assert query(address).state == RESERVED
    assert peek(address) is None
    close(handle)


@needs_faults
def test_a_forked_child() -> None:
    """In a child of os.fork reserved pages fault as well, and commits go both ways."""
    address = view(reserved())
    commit(address, PAGE)
    child = os.fork()
    if not child:
        right = peek(address) == b"\0" and peek(address + PAGE) is None
        right = right and win32.VirtualAlloc(address + PAGE, PAGE, COMMITTED, 4) is not None
        right = right and poke(address + PAGE, b"child") and peek(address + 2 * PAGE) is None
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert peek(address + PAGE, 5) == b"child"
    assert peek(address + 2 * PAGE) is None


@pytest.mark.usefixtures("eager_threads")
def test_threads_commit_at_once() -> None:
    """Pages that threads commit in different views at the same time are all committed."""
    handle = reserved(64 * PAGE)
    views = [view(handle) for _ in range(4)]

    def work(index: int) -> None:
        for page in range(index, 64, 4):
            commit(views[index] + page * PAGE, PAGE)
            ctypes.memset(views[index] + page * PAGE, index + 1, PAGE)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs(views[0], 64) == [(COMMITTED, 64)]
    assert peek(views[3], 64 * PAGE) == b"".join(bytes([page % 4 + 1]) * PAGE for page in range(64))


@needs_faults
def test_file_calls_on_reserved_memory(tmp_path: os.PathLike[str]) -> None:
    """ReadFile into reserved pages is ERROR_NOACCESS, WriteFile from them ERROR_INVALID_USER_BUFFER; nothing moves."""
    path = os.path.join(tmp_path, "data")
    with open(path, "wb") as made:
        made.write(b"contents")
    file = win32.CreateFile(path, 0xC0000000, 7, None, win32.OPEN_EXISTING, 0, None)
    address, count = view(reserved()), win32.DWORD(77)
    assert failed(win32.ReadFile(file, address, 8, count)) == 998
    assert count.value == 0
    assert failed(win32.WriteFile(file, address, 8, count)) == 1784
    commit(address, PAGE)
    assert win32.ReadFile(file, address, 8, count)
    assert peek(address, 8) == b"contents"
    close(file)


class TestNative:
    def map(self, handle: int, commit_size: int, size: int = 0) -> tuple[int, int]:
        base, length = nt.LPVOID(), nt.SIZE_T(size)
        status = nt.NtMapViewOfSection(handle, -1, base, 0, commit_size, None, length, 2, 0, win32.PAGE_READWRITE)
        return status, base.value or 0

    def test_commit_size(self) -> None:
        """CommitSize of NtMapViewOfSection commits the first pages of the view."""
        status, address = self.map(reserved(), PAGE + 1)
        assert status == 0
        assert runs(address, 16) == [(COMMITTED, 2), (RESERVED, 14)]

    def test_commit_size_beyond_the_view(self) -> None:
        """More than the view has is STATUS_INVALID_PARAMETER_5, and nothing is committed."""
        handle = reserved()
        assert self.map(handle, 16 * PAGE + 1)[0] == 0xC00000F3
        assert self.map(handle, PAGE + 1, PAGE)[0] == 0xC00000F3
        assert runs(view(handle), 16) == [(RESERVED, 16)]


def test_a_duplicate_shares_commits() -> None:
    """Handles of one section are one section, also for commits."""
    handle = reserved()
    commit(view(handle), PAGE)
    other = duplicate(handle, ALL, 0)
    close(handle)
    assert runs(view(other), 16) == [(COMMITTED, 1), (RESERVED, 15)]
