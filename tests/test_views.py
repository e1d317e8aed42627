"""MapViewOfFile(Ex), UnmapViewOfFile(Ex) and FlushViewOfFile."""

import ctypes
import itertools
import mmap
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from calls import PAGE, close, duplicate, failed, loose, message, open_section, peek, poke, section, unmap, view
from calls.memory import ALL, COPY, EXECUTE, GRANULARITY, READ, WRITE, query
from namedmap import win32

pytestmark = pytest.mark.usefixtures("tidy")



class TestPlace:
    def test_views_lie_at_multiples_of_the_granularity(self) -> None:
        """Each address is a multiple of 64 KiB, however short the view, and views do not overlap."""
        handle = section(3 * PAGE)
        places = [view(handle, READ, 0, length) for length in (0, 1, PAGE, PAGE + 1, 3 * PAGE) * 5]
        assert all(place % GRANULARITY == 0 for place in places)
        ranges = sorted((place, query(place).size) for place in places)
        assert all(a + size <= b for (a, size), (b, _) in itertools.pairwise(ranges))

    def test_memory_behind_a_view_faults(self) -> None:
        """A view ends with its last page: what follows up to the next 64 KiB belongs to nobody."""
        address = view(section(2 * PAGE), WRITE, 0, PAGE + 1)
        assert peek(address + 2 * PAGE - 1) == b"\0"
        assert peek(address + 2 * PAGE) is None
        assert query(address + 2 * PAGE).state == win32.MEM_FREE

    def test_a_base_can_be_used_again(self) -> None:
        """After unmapping, the same base works; while a view is there it is ERROR_INVALID_ADDRESS."""
        handle = section(2 * GRANULARITY)
        base = view(handle)
        assert failed(win32.MapViewOfFileEx(handle, WRITE, 0, 0, 0, base)) == 487
        assert failed(win32.MapViewOfFileEx(handle, WRITE, 0, 0, 0, base + GRANULARITY)) == 487
        for _ in range(5):
            unmap(base)
            assert view(handle, WRITE, base=base) == base

    def test_foreign_memory_is_never_replaced(self) -> None:
        """A base in Python's own mappings is ERROR_INVALID_ADDRESS, and the memory there stays."""
        with mmap.mmap(-1, 4 * GRANULARITY) as foreign:
            foreign[:] = b"f" * len(foreign)
            start = ctypes.addressof(ctypes.c_char.from_buffer(foreign))
            base = -(-start // GRANULARITY) * GRANULARITY
            assert failed(win32.MapViewOfFileEx(section(), WRITE, 0, 0, 0, base)) == 487
            assert foreign[:] == b"f" * len(foreign)

    @pytest.mark.parametrize("base", [1, 0x10, PAGE, GRANULARITY + 42, GRANULARITY // 2])
    def test_a_base_off_the_granularity(self, base: int) -> None:
        """ERROR_MAPPED_ALIGNMENT."""
        assert failed(win32.MapViewOfFileEx(section(), WRITE, 0, 0, 0, base)) == 1132

    @pytest.mark.parametrize("base", [0xFFFF800000000000, 0xFFFFFFFFFFFF0000, 0x7FFFFFFF0000, -GRANULARITY])
    def test_a_base_above_user_space(self, base: int) -> None:
        """ERROR_INVALID_PARAMETER."""
        assert failed(win32.MapViewOfFileEx(section(), WRITE, 0, 0, 0, base)) == 87

    def test_views_overlap_in_the_section_as_they_like(self) -> None:
        """Views of overlapping parts of a section show the same memory."""
        handle = section(4 * GRANULARITY)
        whole, part = view(handle), view(handle, WRITE, 2 * GRANULARITY, GRANULARITY)
        assert poke(part + 100, b"overlap")
        assert peek(whole + 2 * GRANULARITY + 100, 7) == b"overlap"


class TestRange:
    @pytest.mark.parametrize("offset", [1, PAGE, GRANULARITY - 1, GRANULARITY + PAGE])
    def test_an_offset_off_the_granularity(self, offset: int) -> None:
        """ERROR_MAPPED_ALIGNMENT, also beyond the end."""
        assert failed(win32.MapViewOfFile(section(GRANULARITY), READ, 0, offset, 0)) == 1132

    @pytest.mark.parametrize(
        ("offset", "length"),
        [
            (0, 2 * GRANULARITY + 1),
            (GRANULARITY, GRANULARITY + 1),
            (2 * GRANULARITY, 0),
            (2 * GRANULARITY, 1),
            (1 << 32, 0),
            (0xFFFFFFFFFFFF0000, 0),
            (0, 1 << 40),
        ],
    )
    def test_beyond_the_section(self, offset: int, length: int) -> None:
        """ERROR_ACCESS_DENIED."""
        handle = section(2 * GRANULARITY)
        assert failed(win32.MapViewOfFile(handle, READ, offset >> 32, offset & 0xFFFFFFFF, length)) == 5

    @pytest.mark.parametrize("length", [-1, 2**64 - 1, 2**63, 2**70])
    def test_lengths_beyond_the_address_space(self, length: int) -> None:
        """ERROR_INVALID_PARAMETER; nothing raises."""
        assert failed(win32.MapViewOfFile(section(), READ, 0, 0, length)) == 87

    def test_length_zero_is_the_rest(self) -> None:
        """The rest of the section from the offset on."""
        handle = section(2 * GRANULARITY + 3 * PAGE)
        for offset in (0, GRANULARITY, 2 * GRANULARITY):
            assert query(view(handle, READ, offset)).size == 2 * GRANULARITY + 3 * PAGE - offset

    def test_a_large_offset(self, tmp_path: Path) -> None:
        """dwFileOffsetHigh counts 4 GiB: the view shows that part of the file."""
        path = tmp_path / "sparse"
        with path.open("wb") as file:
            file.seek((5 << 32) + 3 * GRANULARITY)
            file.write(b"far away")
        handle = win32.CreateFile(path, win32.GENERIC_READ, 7, None, win32.OPEN_EXISTING, 0, None)
        address = view(section(0, win32.PAGE_READONLY, file=handle), READ, (5 << 32) + 3 * GRANULARITY)
        assert peek(address, 8) == b"far away"


class TestAccess:
    @pytest.mark.parametrize(
        ("access", "protect"),
        [(0, 1), (COPY, 8), (READ, 2), (WRITE, 4), (ALL, 4), (EXECUTE, 1), (EXECUTE | READ, 0x20),
         (EXECUTE | COPY, 0x80), (EXECUTE | WRITE, 0x40), (READ | COPY, 2), (WRITE | COPY, 4),
         (win32.SECTION_EXTEND_SIZE, 1)],
    )  # fmt: skip
    def test_the_protection_of_a_view(self, access: int, protect: int) -> None:
        """FILE_MAP_* decide the protection; FILE_MAP_COPY only when it stands alone."""
        pages = query(view(section(PAGE, win32.PAGE_EXECUTE_READWRITE), access))
        assert (pages.allocation_protect, pages.protect, pages.type) == (protect, protect, win32.MEM_MAPPED)

    def test_the_processor_enforces_it(self) -> None:
        """Loads and stores fault as the protection says."""
        handle = section()
        none, read, copy, write = (view(handle, access) for access in (0, READ, COPY, WRITE))
        assert [peek(address) for address in (none, read, copy, write)] == [None, b"\0", b"\0", b"\0"]
        assert [poke(address, b"x") for address in (none, read, copy, write)] == [False, False, True, True]

    def test_the_handle_is_asked_before_the_section(self) -> None:
        """Too little access is ERROR_ACCESS_DENIED, too much for the section ERROR_INVALID_PARAMETER."""
        handle = section(PAGE, win32.PAGE_READONLY)
        assert failed(win32.MapViewOfFile(handle, WRITE, 0, 0, 0)) == 5
        raised = duplicate(handle, win32.SECTION_ALL_ACCESS, 0)
        assert failed(win32.MapViewOfFile(raised, WRITE, 0, 0, 0)) == 87

    def test_a_write_only_handle(self) -> None:
        """A handle with FILE_MAP_WRITE alone maps read/write views, and no others."""
        section(name="views.writeonly")
        handle = open_section("views.writeonly", WRITE)
        assert poke(view(handle, WRITE), b"w")
        for access in (0, READ, COPY):
            assert failed(win32.MapViewOfFile(handle, access, 0, 0, 0)) == 5

    @pytest.mark.parametrize("value", [None, 0, -1, -2, 0xDEADBEE0, 2**64 - 1, 2**70])
    def test_what_is_no_section(self, value: int | None) -> None:
        """ERROR_INVALID_HANDLE (a number that fits no handle: ERROR_INVALID_PARAMETER)."""
        assert failed(loose.MapViewOfFile(value, READ, 0, 0, 0)) in ((87,) if value == 2**70 else (6,))

    def test_an_event_is_no_section(self) -> None:
        """A handle of another type is ERROR_INVALID_HANDLE."""
        assert failed(loose.MapViewOfFile(loose.CreateEvent(None, True, True, None), READ, 0, 0, 0)) == 6


class TestUnmap:
    @pytest.mark.parametrize("inside", [0, 1, PAGE, 3 * PAGE - 1])
    def test_any_address_inside(self, inside: int) -> None:
        """Any byte of a view unmaps it, all of it."""
        address = view(section(3 * PAGE))
        unmap(address + inside)
        assert [peek(address + page * PAGE) for page in range(3)] == [None] * 3

    def test_not_a_view(self) -> None:
        """Twice, NULL, past the end, other memory: ERROR_INVALID_ADDRESS."""
        address = view(section())
        own = win32.VirtualAlloc(None, PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE)
        heap = ctypes.create_string_buffer(10)
        for wrong in (None, 0, address - 1, address + PAGE, own, ctypes.addressof(heap), 2**64 - 1, 1 << 47):
            assert failed(loose.UnmapViewOfFile(wrong)) == 487, wrong
        unmap(address)
        assert failed(win32.UnmapViewOfFile(address)) == 487

    @pytest.mark.parametrize(("flags", "works"), [(0, True), (1, True), (4, False), (0x80000000, False)])
    def test_flags(self, flags: int, works: bool) -> None:
        """UnmapViewOfFileEx refuses unknown flags, and leaves the view."""
        address = view(section())
        assert win32.UnmapViewOfFileEx(address, flags) == works
        assert (peek(address) is None) == works

    def test_a_view_outlives_the_handles(self) -> None:
        """Memory stays until the last view goes, the name goes with the last handle."""
        handle = section(name="views.outlives")
        one, two = view(handle), view(handle)
        assert poke(one, b"still")
        close(handle)
        assert failed(win32.OpenFileMapping(READ, False, "views.outlives")) == 2
        fresh = view(section(name="views.outlives"))
        assert peek(fresh, 5) == bytes(5)
        unmap(one)
        assert peek(two, 5) == b"still"
        assert poke(fresh, b"fresh")
        assert peek(two, 5) == b"still"

    def test_a_pointer_argument(self) -> None:
        """An address may be a ctypes pointer."""
        address = view(section())
        assert loose.UnmapViewOfFile(win32.LPVOID(address))


class TestFlush:
    def test_ranges_inside(self) -> None:
        """Any range within a view, also to its end and from the middle of a page."""
        address = view(section(3 * PAGE))
        for start, length in ((0, 0), (0, 1), (5, 3), (PAGE, 0), (0, 3 * PAGE), (3 * PAGE - 1, 1)):
            assert win32.FlushViewOfFile(address + start, length)

    def test_ranges_outside(self) -> None:
        """ERROR_INVALID_ADDRESS outside of a view, and where the range leaves it."""
        address = view(section(3 * PAGE))
        for start, length in ((0, 3 * PAGE + 1), (3 * PAGE, 0), (-1, 0), (PAGE, 3 * PAGE), (0, 1 << 40)):
            assert failed(win32.FlushViewOfFile(address + start, length)) == 487
        assert failed(loose.FlushViewOfFile(None, 0)) == 487

    @pytest.mark.parametrize("access", [0, READ, COPY, WRITE])
    def test_every_kind_of_view(self, access: int) -> None:
        """Read-only, copy-on-write and inaccessible views flush with nothing to do."""
        assert win32.FlushViewOfFile(view(section(), access), 0)

    def test_private_memory_has_nothing_to_flush(self) -> None:
        """Memory of VirtualAlloc: success, as on Windows."""
        own = win32.VirtualAlloc(None, PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE)
        assert own
        assert win32.FlushViewOfFile(own, 0)

    def test_huge_lengths(self) -> None:
        """A length that leaves the address space fails, and nothing raises."""
        address = view(section())
        for length in (-1, 2**63, 2**64 - PAGE, 2**70):
            assert failed(win32.FlushViewOfFile(address, length)) in (87, 487)


def token(index: int) -> bytes:
    return b"token %04d" % index


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.usefixtures("eager_threads")
def test_closing_while_another_thread_maps(tmp_path: Path, named: bool) -> None:
    """A handle closed in the middle of MapViewOfFile: the call fails or maps that handle's section, never another file.

    The third thread makes descriptor numbers change hands as fast as it can.
    """
    decoy = tmp_path / "decoy"
    decoy.write_bytes(b"WRONG FILE" * 1000)
    stop, seen = threading.Event(), set()
    errors: list[object] = []
    current = [0]

    def mapper() -> None:
        while not stop.is_set():
            address = win32.MapViewOfFile(current[0], READ, 0, 0, 0)
            if address is None:
                if win32.GetLastError() != win32.ERROR_INVALID_HANDLE:
                    errors.append(win32.GetLastError())
                continue
            found = peek(address, 10)
            if found is None or not found.startswith(b"token "):
                # Between creation and the first store a section is zero.
                if found != bytes(10):
                    errors.append(found)
            else:
                seen.add(found)
            if not win32.UnmapViewOfFile(address):
                errors.append("unmap")

    def descriptors() -> None:
        while not stop.is_set():
            with decoy.open("rb"), decoy.open("rb"):
                pass

    threads = [threading.Thread(target=target) for target in (mapper, mapper, descriptors)]
    for thread in threads:
        thread.start()
    try:
        for index in range(600):
            handle = section(PAGE, name=f"views.race{index % 3}" if named else None)
            current[0] = handle
            address = view(handle)
            ctypes.memmove(address, token(index), 10)
            unmap(address)
            close(handle)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []


@pytest.mark.usefixtures("eager_threads")
def test_threads_map_and_unmap_everywhere() -> None:
    """Threads that map, check and unmap their own sections do not disturb each other."""
    errors: list[object] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        mark = bytes([seed]) * PAGE
        handle = section(2 * GRANULARITY)
        views: list[int] = []
        for _ in range(300):
            if len(views) < 6 and chance.random() < 0.6:
                offset = chance.choice((0, GRANULARITY))
                views.append(view(handle, WRITE, offset, chance.choice((0, PAGE, GRANULARITY))))
                ctypes.memmove(views[-1], mark, PAGE)
            elif views:
                address = views.pop(chance.randrange(len(views)))
                if ctypes.string_at(address, PAGE) != mark or query(address).allocation_base != address:
                    errors.append(seed)
                unmap(address)
        unmap(*views)
        close(handle)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.usefixtures("eager_threads")
def test_threads_open_map_and_close_one_name() -> None:
    """Threads that create, open and close one name at once: whoever holds it sees the others' memory, nobody fails."""
    errors: list[object] = []
    keeper = section(name="views.threads")
    ctypes.memmove(view(keeper), b"kept", 4)

    def work() -> None:
        for turn in range(150):
            handle = section(name="views.threads") if turn % 2 else open_section("views.threads", READ)
            address = view(handle, READ)
            close(handle)
            if peek(address, 4) != b"kept":
                errors.append(peek(address, 4))
            unmap(address)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.usefixtures("eager_threads")
def test_threads_create_and_lose_one_name() -> None:
    """Threads that create and close one name with no keeper: a section is new exactly when it is zero."""
    errors: list[object] = []

    def work(index: int) -> None:
        for _ in range(150):
            handle = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, PAGE, "views.lost")
            created = win32.GetLastError() == 0
            if handle is None:
                errors.append(win32.GetLastError())
                continue
            address = view(handle)
            if created and peek(address + 8 * index, 8) != bytes(8):
                errors.append("old bytes")
            ctypes.memmove(address + 8 * index, b"dirty!!!", 8)
            close(handle)
            unmap(address)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert failed(win32.OpenFileMapping(READ, False, "views.lost")) == 2


@pytest.mark.usefixtures("eager_threads")
def test_threads_unmap_the_same_view() -> None:
    """Of several threads that unmap one address exactly one succeeds, and no other view goes."""
    handle = section()
    for _ in range(100):
        address, neighbour = view(handle), view(handle)
        results: list[bool] = []
        barrier = threading.Barrier(4)

        def work(address: int = address, results: list[bool] = results, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            results.append(win32.UnmapViewOfFile(address))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [False, False, False, True]
        assert peek(address) is None
        assert peek(neighbour) == b"\0"
        unmap(neighbour)


@pytest.mark.usefixtures("eager_threads")
def test_unmapping_while_others_look() -> None:
    """Query, protect, flush or commit of a view that another thread unmaps and maps again is done or refused."""
    handle = section(4 * PAGE, win32.PAGE_READWRITE | win32.SEC_RESERVE)
    address = view(handle)
    base, stop = address, threading.Event()
    errors: list[object] = []

    def look(call: Callable[[], object], allowed: set[int]) -> None:
        while not stop.is_set():
            if not call() and win32.GetLastError() not in allowed:
                errors.append(message())

    old, info = win32.DWORD(), win32.MEMORY_BASIC_INFORMATION()
    calls: list[tuple[Callable[[], object], set[int]]] = [
        (lambda: win32.VirtualQuery(base, info, 48), set()),
        (lambda: win32.VirtualProtect(base, PAGE, win32.PAGE_READONLY, old), {487}),
        (lambda: win32.FlushViewOfFile(base, 0), {487}),
        (lambda: win32.VirtualAlloc(base, PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE), {487}),
        (lambda: win32.VirtualLock(base, PAGE), {487, 998, 1453}),
    ]
    threads = [threading.Thread(target=look, args=call) for call in calls]
    for thread in threads:
        thread.start()
    try:
        for _ in range(400):
            unmap(address)
            address = view(handle, base=base)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
