"""The object file as an ABI: another process's file read by the documented offsets, with struct alone."""

import binascii
import fcntl
import mmap
import os
import struct
import time
from pathlib import Path
from typing import NamedTuple

import pytest

import namedmap
from calls import PAGE, close, duplicate, failed, open_section, peek, poke, section, view
from calls.kernel import controlpage, locks
from child import Child, Spawn
from namedmap import nt, win32

LIVENESS = 2**62 + 3
#: In the flags of a state: changed by compare-and-swap too.
LOCK_FREE = 2


class Header(NamedTuple):
    """The fields of the control page, read one by one at their offsets."""

    magic: bytes
    version: int
    kind: int
    flags: int
    protection: int
    attributes: int
    uid: int
    size: int
    requested: int
    data_length: int
    bitmap_length: int
    text_offset: int
    name_length: int
    path_length: int
    backing_device: int
    backing_inode: int
    creator_pid: int
    created: int
    checksum: int
    state: tuple[int, int, int]
    name: bytes
    path: bytes


def read(path: Path) -> Header:
    """The control page is the last 4096 bytes of an object file."""
    content = path.read_bytes()
    page = content[-4096:]

    def u32(offset: int) -> int:
        return int.from_bytes(page[offset : offset + 4], "little")

    def u64(offset: int) -> int:
        return int.from_bytes(page[offset : offset + 8], "little")

    assert binascii.crc32(page[:112]) == u32(112)
    text, name, length = u64(64), u32(72), u32(76)
    return Header(
        page[:8], u32(8), u32(12), u32(16), u32(20), u32(24), u32(28), u64(32), u64(40), u64(48), u64(56), text, name,
        length, u64(80), u64(88), u32(96), u64(104), u32(112), struct.unpack_from("<i4xii", page, 128),
        content[text : text + name], content[text + name : text + name + length],
    )  # fmt: skip


def file_of(name: str, *, is_global: bool = False) -> Path:
    """Where the file of an object with a plain name lies."""
    root = Path(os.environ["NAMEDMAP_ROOT"])
    return root / f"namedmap.global.{name}" if is_global else root / f"namedmap-{os.geteuid()}" / name


def held(spawn: Spawn, statement: str) -> Child:
    """A child that has made something by `statement` and holds it until the test ends."""
    child = spawn()
    child.run(f"from calls import *; from calls.memory import *\n{statement}")
    return child


def locked(fd: int, first: int, last: int) -> list[int]:
    """The lengths of others' OFD locks within a range of bytes, as fcntl(2) alone tells them."""
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, first, last - first + 1 if last < 2**63 - 1 else 0, 0)
    kind, _, start, length, _ = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))
    if kind == fcntl.F_UNLCK:
        return []
    found = [length]
    if start > first:
        found += locked(fd, first, start - 1)
    if start + length <= last:
        found += locked(fd, start + length, last)
    return found


pytestmark = [pytest.mark.usefixtures("tidy"), pytest.mark.leaves_dead_files]


class TestSection:
    def test_header(self, spawn: Spawn) -> None:
        """Every field of a section over the paging file."""
        before = time.time_ns()
        child = held(spawn, 'h = section(5000, win32.PAGE_READWRITE, "controlpage.header")')
        header = read(file_of("controlpage.header"))
        assert (header.magic, header.version, header.kind, header.flags) == (b"NAMEDMAP", 3, 1, 0)
        assert (header.protection, header.attributes) == (win32.PAGE_READWRITE, win32.SEC_COMMIT)
        assert (header.size, header.requested) == (8192, 5000)
        assert (header.data_length, header.bitmap_length, header.text_offset) == (8192, 0, 8192 + 256)
        assert (header.name, header.path) == (b"controlpage.header", b"")
        assert (header.backing_device, header.backing_inode) == (0, 0)
        assert (header.uid, header.creator_pid) == (os.geteuid(), child.pid)
        assert before <= header.created <= time.time_ns()
        assert header.state == (0, 0, 0)
        assert file_of("controlpage.header").stat().st_size == 8192 + 4096

    def test_data_begins_at_offset_zero(self, spawn: Spawn) -> None:
        """A program without this package maps the very file and shares the memory, both ways."""
        held(spawn, 'h = section(10000, name="controlpage.data"); poke(view(h) + 9000, b"from the holder")')
        with file_of("controlpage.data").open("r+b") as file, mmap.mmap(file.fileno(), 10_000) as memory:
            assert memory[9000:9015] == b"from the holder"
            memory[0:10] = b"plain mmap"
            address = view(open_section("controlpage.data"))
            assert peek(address, 10) == b"plain mmap"
            assert poke(address + 5000, b"back")
            assert memory[5000:5004] == b"back"
            file.seek(9000)
            assert file.read(15) == b"from the holder"

    def test_reserve(self, spawn: Spawn) -> None:
        """A SEC_RESERVE section has flag 2 and, behind the data, one bit per page, lowest first."""
        held(
            spawn,
            'h = section(20 * PAGE, win32.PAGE_READWRITE | win32.SEC_RESERVE, "controlpage.reserve"); v = view(h);'
            " win32.VirtualAlloc(v + PAGE, PAGE, win32.MEM_COMMIT, 4);"
            " win32.VirtualAlloc(v + 9 * PAGE, 2 * PAGE, win32.MEM_COMMIT, 4)",
        )
        header = read(file_of("controlpage.reserve"))
        assert (header.flags, header.attributes) == (2, win32.SEC_RESERVE)
        assert (header.data_length, header.bitmap_length) == (20 * PAGE, PAGE)
        content = file_of("controlpage.reserve").read_bytes()
        assert content[20 * PAGE : 20 * PAGE + 4] == bytes([0b10, 0b110, 0, 0])
        assert file_of("controlpage.reserve").stat().st_blocks * 512 <= 3 * PAGE + 2 * PAGE

    def test_over_a_file(self, spawn: Spawn, tmp_path: Path) -> None:
        """A section over a file has flag 1, no data of its own, and the file's path, device and inode."""
        data = tmp_path / "backing file"
        data.write_bytes(bytes(10_000))
        held(
            spawn,
            f"f = win32.CreateFile({str(data)!r}, 0x80000000, 7, None, 3, 0, None);"
            ' h = section(0, win32.PAGE_READONLY, "controlpage.file", file=f)',
        )
        header, info = read(file_of("controlpage.file")), data.stat()
        assert (header.flags, header.attributes, header.protection) == (1, win32.SEC_FILE, win32.PAGE_READONLY)
        assert (header.size, header.data_length, header.bitmap_length) == (10_000, 0, 0)
        assert (header.backing_device, header.backing_inode) == (info.st_dev, info.st_ino)
        assert header.path == os.fsencode(data)
        assert file_of("controlpage.file").stat().st_size == 4096

    def test_extending_keeps_the_page_valid(self, tmp_path: Path) -> None:
        """NtExtendSection writes the new size under a right checksum."""
        path = tmp_path / "data"
        path.write_bytes(bytes(PAGE))
        file = win32.CreateFile(path, 0xC0000000, 7, None, 3, 0, None)
        handle = duplicate(section(0, name="controlpage.extend", file=file), win32.SECTION_ALL_ACCESS, 0)
        before = read(file_of("controlpage.extend"))
        assert nt.NtExtendSection(handle, nt.LARGE_INTEGER(3 * PAGE)) == 0
        after = read(file_of("controlpage.extend"))
        assert (before.size, after.size) == (PAGE, 3 * PAGE)
        assert after.name == before.name

    @pytest.mark.parametrize("extra", [0, 1, 1000, 5000, 28_000])
    def test_long_names(self, extra: int, tmp_path: Path) -> None:
        """Text that does not fit behind the header stands before the control page; the file is whole pages."""
        name = "L" * (4096 - 256 + extra)
        handle = section(PAGE, name=name)
        files = [
            entry for entry in file_of("x").parent.iterdir() if entry.is_file() and not entry.name.startswith("%inbox")
        ]
        assert len(files) == 1
        assert files[0].name.startswith("%h")
        header = read(files[0])
        assert header.name == name.encode()
        assert header.data_length == PAGE
        assert files[0].stat().st_size % 4096 == 0
        assert header.text_offset + header.name_length <= files[0].stat().st_size
        close(handle)

    def test_names_are_utf8(self) -> None:
        """The name is UTF-8; a lone surrogate, which Windows allows, is kept as such."""
        for name in ("n\u00e9", "\U0001f600", "\ud800x"):
            handle = section(name=name)
            files = [entry for entry in file_of("x").parent.iterdir() if not entry.name.startswith("%inbox")]
            assert read(files[0]).name == name.encode("utf-8", "surrogatepass")
            close(handle)

    def test_global_names(self, spawn: Spawn) -> None:
        r"""A `Global\` object is a file with a prefix in the root; its control page has the name without the prefix."""
        held(spawn, r'h = section(name="Global\\controlpage.global")')
        assert read(file_of("controlpage.global", is_global=True)).name == b"controlpage.global"

    def test_private_by_default(self) -> None:
        """Nobody but the owner may open an object file, nor look into the directory of names."""
        section(name="controlpage.mode")
        section(name="Global\\controlpage.mode")
        assert file_of("controlpage.mode").stat().st_mode & 0o777 == 0o600
        assert file_of("controlpage.mode", is_global=True).stat().st_mode & 0o777 == 0o600
        assert file_of("controlpage.mode").parent.stat().st_mode & 0o777 == 0o700


class TestSync:
    @pytest.mark.parametrize(
        ("statement", "kind", "state"),
        [
            ("win32.CreateMutex(None, False, NAME)", 2, (1, 1, 0)),
            ("win32.CreateMutex(None, True, NAME)", 2, (0, 1, 0)),
            ("win32.CreateSemaphore(None, 3, 7, NAME)", 3, (3, 7, 0)),
            ("win32.CreateSemaphore(None, 0, 2**31 - 1, NAME)", 3, (0, 2**31 - 1, 0)),
            ("win32.CreateEvent(None, True, False, NAME)", 4, (0, 1, 1)),
            ("win32.CreateEvent(None, False, True, NAME)", 4, (1, 1, 0)),
        ],
    )
    def test_state_words(self, spawn: Spawn, statement: str, kind: int, state: tuple[int, ...]) -> None:
        """Mutex, semaphore and event: count, no permits, maximum and flags at byte 128 of a file of one page."""
        held(spawn, "h = " + statement.replace("NAME", '"controlpage.sync"'))
        header = read(file_of("controlpage.sync"))
        count, maximum, flags = state
        assert (header.kind, header.state) == (kind, (count, maximum, flags | (LOCK_FREE if namedmap.native else 0)))
        assert (header.size, header.data_length) == (0, 0)
        assert file_of("controlpage.sync").stat().st_size == 4096


class TestLocks:
    def test_life_is_a_lock_that_others_can_see(self, spawn: Spawn) -> None:
        """Each holder has shared OFD locks from LIVENESS on, a byte for each of its handles; nothing on the guard."""
        assert (locks.GUARD, locks.OWNER, locks.LIVENESS) == (2**62, 2**62 + 1, LIVENESS)
        for handles in (2, 3):
            held(spawn, f'h = [section(name="controlpage.life") for _ in range({handles})]')
        with file_of("controlpage.life").open("r+b") as file:
            assert sum(locked(file.fileno(), LIVENESS, 2**63 - 1)) == 5
            assert locked(file.fileno(), 2**62, LIVENESS - 1) == []

    def test_a_file_without_life_is_no_object(self, spawn: Spawn) -> None:
        """A file that a killed process leaves cannot be opened, and is made anew by the next creator."""
        child = held(spawn, 'h = section(name="controlpage.dead"); poke(view(h), b"old")')
        child.kill()
        assert file_of("controlpage.dead").exists()
        assert failed(win32.OpenFileMapping(4, False, "controlpage.dead")) == 2
        handle = section(name="controlpage.dead")
        assert win32.GetLastError() == 0
        assert peek(view(handle), 3) == bytes(3)
        assert read(file_of("controlpage.dead")).creator_pid == os.getpid()


class TestRoundTrip:
    def test_build_and_parse(self, tmp_path: Path) -> None:
        """A page that `build` lays out `parse` reads back, wherever the text stands."""
        for name, path in (
            ("n", ""),
            ("n" * 3000, "/p" * 300),
            ("é" * 4000, "/x"),
            ("n" * 32766, "/p" * 2000),
            ("", ""),
        ):
            page = controlpage.Control(
                controlpage.Kind.SECTION,
                name,
                controlpage.FLAG_FILE_BACKED,
                4,
                0x800000,
                12345,
                12345,
                0,
                0,
                backing_path=path,
                backing_device=7,
                backing_inode=2**63,
                creator_uid=1,
                creator_pid=2,
                created=3,
                state=(0, 0, 0),
            )
            offset, content, total = page.build()
            file = tmp_path / "page"
            with file.open("wb") as out:
                out.truncate(total)
                out.seek(offset)
                out.write(content)
            with file.open("rb") as back:
                assert vars(controlpage.parse(back.fileno(), total, "the page")) == vars(page)

    def test_little_endian(self) -> None:
        """The layout does not depend on the machine."""
        _, content, _ = controlpage.Control(controlpage.Kind.EVENT, state=(1, 2, -3)).build()
        assert content[8:16] == bytes([3, 0, 0, 0, 4, 0, 0, 0])
        assert content[128:144] == struct.pack("<i4xii", 1, 2, -3)
        assert len(content) == 4096 or len(content) == 256


def test_memory_of_a_large_section_is_taken_at_once(spawn: Spawn) -> None:
    """SEC_COMMIT allocates all space when the section is created."""
    held(spawn, 'h = section(8 << 20, name="controlpage.committed")')
    assert file_of("controlpage.committed").stat().st_blocks * 512 >= (8 << 20) + 4096
