"""Systems where something is missing, forbidden or used up: what can work does, and the rest says what is missing."""

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import namedmap
from calls import as_system_call, close, message, unmap, view
from calls.kernel import libc, pagemap
from child import Spawn
from child.users import mounted, needs_root, unshared
from namedmap import inspection, win32

WITHOUT_PROC = ("--mount", "sh", "-c", 'umount -l /proc && exec "$@"', "-")


@needs_root
class TestWithoutProc:
    """In a mount namespace of its own, /proc is unmounted."""

    @pytest.mark.parametrize(
        "code",
        [
            "m = namedmap.Mutex({}); m.acquire(); m.release()",
            "e = namedmap.Event({}); e.set(); assert e.wait(60)",
            "s = namedmap.Semaphore({}, 1); s.acquire(); s.release()",
            "m = namedmap.create({}, 100); v = m.view(); v[:2] = b'ab'",
            "m = namedmap.create({}, 1 << 20, reserve=True); v = m.view()",
            "v = namedmap.create({}, 8192).view(access='copy'); v[:1] = b'x'",
        ],
        ids=["mutex", "event", "semaphore", "section", "reserved", "copy"],
    )
    @pytest.mark.parametrize("name", ["None", "'x'", "'Global\\\\x'"])
    def test_objects_work(self, spawn: Spawn, code: str, name: str) -> None:
        """All kinds, unnamed and named."""
        spawn(wrapper=unshared(*WITHOUT_PROC)).run(code.format(name))

    def test_between_threads_tasks_and_processes(self, spawn: Spawn) -> None:
        """Waits are ended by another thread and by another process; a forked child has its own objects."""
        one, two = spawn(wrapper=unshared(*WITHOUT_PROC)), spawn(wrapper=unshared(*WITHOUT_PROC))
        one.run("""
            import asyncio
            async def locked():
                async with namedmap.Mutex("task"): return True
            assert asyncio.run(locked())
            e = namedmap.Event("e")
            threading.Timer(0.1, e.set).start()
            assert e.wait(60)
            e.clear()
        """)
        one.start("value", "e.wait(60)")
        two.run("namedmap.Event.open('e').set()")
        assert one.finish() is True

    def test_a_file_that_cannot_be_mapped(self, spawn: Spawn, a_dat: Path) -> None:
        """It is not said to be missing."""
        child = spawn(wrapper=unshared(*WITHOUT_PROC))
        child.run(f"""
            try: namedmap.map_file({str(a_dat)!r}); found = None
            except OSError as error: found = [isinstance(error, FileNotFoundError), str(error)]
        """)
        missing, text = child.value("found")
        assert not missing
        assert "/proc is not mounted" in text

    def test_handles(self, spawn: Spawn) -> None:
        """An id is an id, and what cannot be duplicated says why."""
        child = spawn(wrapper=unshared(*WITHOUT_PROC))
        assert child.value("win32.GetCurrentProcessId() == os.getpid()")
        child.run("p, out = win32.OpenProcess(0x40, False, os.getppid()), win32.HANDLE()")
        assert not child.value("win32.DuplicateHandle(-1, create(None), p, out, 0, False, 2)")
        assert child.value("message()")


class TestWithoutMemfd:
    @pytest.fixture(autouse=True)
    def forbidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> int:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "memfd_create", as_system_call(refuse))

    def test_unnamed_objects(self) -> None:
        """Files of the root that have never had a name do as well."""
        with namedmap.create(None, 100) as section, section.view() as view, namedmap.Mutex() as mutex:
            view[:2] = b"ab"
            mutex.acquire()
            mutex.release()

    def test_the_doctor_blames_the_right_thing(self) -> None:
        """memfd_create is missing, and not the locks."""
        found = {each.what.partition(" ")[0]: each.level for each in inspection.doctor() if each.level != "ok"}
        assert "memfd_create" in found
        assert "locks" not in found


@needs_root
class TestInodes:
    """A root whose inodes are used up."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Iterator[Path]:
        with mounted("tmpfs", tmp_path / "root", "nr_inodes=12,mode=1777") as root:
            yield root

    @pytest.mark.parametrize("name", ["'new'", "'Global\\\\new'"])
    def test_the_dead_make_room(self, spawn: Spawn, root: Path, name: str) -> None:
        """A creation removes what a killed process has left, for files as for space."""
        environment = {"NAMEDMAP_ROOT": str(root)}
        one, two = spawn(environment=environment), spawn(environment=environment)
        one.run("keep = create('keep')")
        two.run("held = []\nwhile h := create(f'dead{len(held)}'): held.append(h)")
        two.kill()
        assert one.value(f"bool(create({name}))"), one.value("message()")

    def test_the_error_says_what_is_lacking(self, spawn: Spawn, root: Path) -> None:
        """Inodes, not space; and what to do."""
        child = spawn(environment={"NAMEDMAP_ROOT": str(root)})
        child.run("held = []\nwhile h := create(f'live{len(held)}'): held.append(h)")
        text = child.value("message()")
        assert "no inode left" in text
        assert "nr_inodes" in text
        assert "NAMEDMAP_ROOT" in text


def test_a_missing_root(spawn: Spawn, tmp_path: Path) -> None:
    """It is no ValueError: a directory is missing."""
    child = spawn(environment={"NAMEDMAP_ROOT": str(tmp_path / "none")})
    child.run("""
        found = []
        for ask in (lambda: namedmap.create("a", 1), lambda: namedmap.open("a"), lambda: namedmap.Event("Global\\\\a")):
            try: ask()
            except namedmap.Error as error:
                kinds = [isinstance(error, each) for each in (ValueError, FileNotFoundError)]
                found.append([*kinds, "mount" in str(error)])
    """)
    assert child.value("found") == [[False, True, True]] * 3


@pytest.mark.parametrize("size", [2**63, 2**64, 2**70])
def test_sizes_beyond_all_machines(size: int) -> None:
    """The error is in bytes, and does not speak of arguments that nobody has passed."""
    with pytest.raises(namedmap.Error, match=f"no address space holds {size:,} bytes"):
        namedmap.create(None, size)


class TestLargeViews:
    """Facts about the pages of large views cost no look at each of them."""

    SIZE = 8 << 30
    PAGE = libc.PAGE

    @pytest.fixture(params=["ioctl", "reading"])
    def base(self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
        """A private mapping of 8 GiB; pages 0, 1 and those at 4 GiB have been copied."""

        def refuse(*_: object) -> tuple[bool, int]:
            raise OSError(errno.ENOTTY, "no such ioctl")

        if request.param == "reading":
            monkeypatch.setattr(pagemap, "_scanned", as_system_call(refuse))
        path = tmp_path / "large"
        with open(path, "wb") as file:
            file.truncate(self.SIZE)
        with open(path, "rb") as data:
            base = libc.mmap(None, self.SIZE, libc.PROT_READ | libc.PROT_WRITE, libc.MAP_PRIVATE, data.fileno(), 0)
        for offset in (0, self.PAGE, self.SIZE // 2):
            ctypes.memset(base + offset, 1, 1)
        yield base
        libc.munmap(base, self.SIZE)

    def test_copied_pages(self, base: int) -> None:
        """Runs are found whole, whichever way the kernel is asked."""
        page, half = self.PAGE, self.SIZE // 2
        assert pagemap.copied_run(base, self.SIZE) == (True, 2 * page)
        assert pagemap.copied_run(base + 2 * page, self.SIZE - 2 * page) == (False, half - 2 * page)
        assert pagemap.copied_run(base + half, half) == (True, page)
        assert pagemap.copied_run(base + half + page, half - page) == (False, half - page)
        assert pagemap.copied_run(base, page) == (True, page)

    def test_committed_pages(self) -> None:
        """A reserved section of 1 TiB: the runs of its bitmap, over many pieces."""
        half, piece = 1 << 39, 65536
        section = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE | win32.SEC_RESERVE, 1 << 8, 0, None)
        assert section, message()
        base = view(section)
        assert win32.VirtualAlloc(base + half + piece, piece, win32.MEM_COMMIT, win32.PAGE_READWRITE)
        assert self.query(base) == (win32.MEM_RESERVE, half + piece)
        assert self.query(base + half + self.PAGE) == (win32.MEM_RESERVE, piece - self.PAGE)
        assert self.query(base + half + piece) == (win32.MEM_COMMIT, piece)
        assert self.query(base + half + piece + self.PAGE) == (win32.MEM_COMMIT, piece - self.PAGE)
        assert self.query(base + half + 2 * piece) == (win32.MEM_RESERVE, half - 2 * piece)
        unmap(base)
        close(section)

    @staticmethod
    def query(address: int) -> tuple[int, int]:
        found = win32.MEMORY_BASIC_INFORMATION()
        assert win32.VirtualQuery(address, found, ctypes.sizeof(found)), message()
        return found.State, found.RegionSize
