"""When something runs out: the documented error with the remedy in its text, no SIGBUS later, and nothing left behind.

Filesystems are mounted and limits set for children only: mounts in a mount namespace of their own, limits by setrlimit,
memory by a cgroup.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from calls import close, create, handle_count, message, object_files, view
from child import WATCHDOG, Child, Spawn
from child.users import memory_limit, needs_root
from namedmap import win32

PAGE = 4096
MEBIBYTE = 1 << 20

ERRORS = {
    "descriptors": win32.ERROR_TOO_MANY_OPEN_FILES,
    "address space": win32.ERROR_NOT_ENOUGH_MEMORY,
    "commitment": win32.ERROR_COMMITMENT_LIMIT,
    "disk": win32.ERROR_DISK_FULL,
    "missing": win32.ERROR_PATH_NOT_FOUND,
    "read-only": win32.ERROR_WRITE_PROTECT,
}


def refused(child: Child, expression: str, what: str, *words: str) -> None:
    """The expression fails with the error for `what`, and its text has the words."""
    value = child.value(expression)
    assert not value or value == win32.INVALID_HANDLE_VALUE, f"{expression} gave {value}"
    code, text = child.value("win32.GetLastError()"), child.value("message()")
    assert code == ERRORS[what], text
    for word in words:
        assert word in text, text


def touch(child: Child, handle: str) -> None:
    """Write to every page of a section: what was promised must be there."""
    child.run(f"""
        v = view({handle}); info = win32.MEMORY_BASIC_INFORMATION()
        assert win32.VirtualQuery(v, info, 48) == 48
        for offset in range(0, info.RegionSize, 4096): poke(v + offset, b"x")
        assert all(peek(v + offset, 1) == b"x" for offset in range(0, info.RegionSize, 4096))
        win32.UnmapViewOfFile(v)
        """)


def mount_works() -> bool:
    done = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, timeout=WATCHDOG, check=False
    )
    return done.returncode == 0


@pytest.fixture
def mounted(spawn: Spawn, tmp_path: Path) -> Iterator["MountedChild"]:
    """Start children that have a filesystem of their own at the root for objects."""
    if os.geteuid() != 0 or not mount_works():
        pytest.skip("only root, where it may mount, can make a small or read-only filesystem")
    where = tmp_path / "mounted"
    where.mkdir()
    yield MountedChild(spawn, where)
    assert list(where.iterdir()) == []


class MountedChild:
    def __init__(self, spawn: Spawn, where: Path) -> None:
        self.spawn, self.where = spawn, where

    def __call__(self, options: str = "size=1m", then: str = "true") -> Child:
        command = f'mount -t tmpfs -o {options},mode=1777 none "$0" && cd "$0" && {then} && exec "$@"'
        wrapper = ("unshare", "-m", "sh", "-c", command, str(self.where))
        return self.spawn(wrapper=wrapper, environment={"NAMEDMAP_ROOT": str(self.where)})


FILES = "[n for path, _, names in os.walk(os.environ['NAMEDMAP_ROOT']) for n in names]"


class TestSmallRoot:
    """/dev/shm of 1 MiB; a default container has 64."""

    def test_what_does_not_fit_is_refused_and_leaves_nothing(self, mounted: MountedChild) -> None:
        """ERROR_COMMITMENT_LIMIT with the bytes asked and free, and how to get more; the name stays free."""
        child = mounted()
        refused(
            child, "create('big', 2 << 20)", "commitment", "2,1", "free", "remount,size=", "--shm-size", "NAMEDMAP_ROOT"
        )
        assert child.value(FILES) == []
        assert child.value("open_('big')") is None
        assert child.value("win32.GetLastError()") == win32.ERROR_FILE_NOT_FOUND
        child.run("h = create('small', 512 << 10)")
        touch(child, "h")
        child.run("win32.CloseHandle(h)")
        assert child.value(FILES) == []

    def test_commitments_add_up(self, mounted: MountedChild) -> None:
        """Memory that others have is not there any more; once it is closed, it is."""
        child = mounted()
        child.run("held = [create(f'part{n}', 256 << 10) for n in range(3)]")
        assert child.value("all(held)")
        refused(child, "create('one too many', 256 << 10)", "commitment")
        child.run("win32.CloseHandle(held.pop())")
        child.run("held.append(create('fits now', 256 << 10))")
        assert child.value("all(held)")
        for number in range(3):
            touch(child, f"held[{number}]")

    def test_the_fullest_root_still_answers(self, mounted: MountedChild) -> None:
        """Not a byte is free: creations are refused, what exists can be used and closed."""
        child = mounted()
        child.run("""
            h = create('first', 64 << 10)
            with open(os.path.join(os.environ['NAMEDMAP_ROOT'], 'filler'), 'wb', buffering=0) as filler:
                try:
                    while filler.write(bytes(4096)): pass
                except OSError: pass
            """)
        touch(child, "h")
        refused(child, "create('second', 4096)", "commitment", "free")
        for kind in ("CreateMutex(None, False, 'm')", "CreateEvent(None, True, True, 'e')"):
            assert child.value(f"win32.{kind}") is None
            assert child.value("win32.GetLastError()") in (win32.ERROR_COMMITMENT_LIMIT, win32.ERROR_DISK_FULL)
        child.run("again = open_('first'); ok = win32.CloseHandle(again) and win32.CloseHandle(h)")
        assert child.value("ok")
        assert child.value(FILES) == ["filler"]

    def test_no_inode_is_free(self, mounted: MountedChild) -> None:
        """A root that takes no further file."""
        child = mounted("size=1m,nr_inodes=4")
        child.run("made = [create(f'n{n}') for n in range(6)]")
        assert child.value("made[-1]") is None
        assert child.value("win32.GetLastError()") in (win32.ERROR_COMMITMENT_LIMIT, win32.ERROR_DISK_FULL)
        assert child.value("any(made)")

    def test_reserving_needs_no_space_and_committing_does(self, mounted: MountedChild) -> None:
        """SEC_RESERVE above the size of the root; then commits are refused where it ends, and leave what there was."""
        child = mounted()
        child.run("""
            flags = win32.PAGE_READWRITE | win32.SEC_RESERVE
            h = win32.CreateFileMapping(-1, None, flags, 0, 16 << 20, 'reserved')
            v = view(h)
            """)
        assert child.value("v"), child.value("message()")
        assert child.value("win32.VirtualAlloc(v, 256 << 10, win32.MEM_COMMIT, win32.PAGE_READWRITE) == v")
        refused(
            child,
            "win32.VirtualAlloc(v + (1 << 20), 4 << 20, win32.MEM_COMMIT, win32.PAGE_READWRITE)",
            "commitment",
            "remount,size=",
        )
        child.run("for offset in range(0, 256 << 10, 4096): poke(v + offset, b'x')")
        assert child.value("win32.VirtualAlloc(v + (1 << 20), 65536, win32.MEM_COMMIT, win32.PAGE_READWRITE)")

    def test_unnamed_sections_do_not_need_the_root(self, mounted: MountedChild) -> None:
        """They are memory of their own."""
        child = mounted()
        child.run("h = create(None, 4 << 20)")
        touch(child, "h")

    def test_a_disk_that_fills_up(self, mounted: MountedChild) -> None:
        """Growing a file: ERROR_DISK_FULL, and the file is what it was."""
        child = mounted()
        child.run("""
            f = win32.CreateFile("data", 0xC0000000, 7, None, win32.CREATE_ALWAYS, 0, None)
            n = win32.DWORD(); win32.WriteFile(f, b"kept", 4, n)
            """)
        refused(child, "win32.CreateFileMapping(f, None, win32.PAGE_READWRITE, 0, 4 << 20, None)", "disk", "4,194,304")
        refused(child, "win32.CreateFileMapping(f, None, win32.PAGE_READWRITE, 0, 4 << 20, 'named')", "disk")
        assert child.value("os.path.getsize('data')") == 4
        child.run("position = win32.SetFilePointer(f, 4 << 20, None, 0); data = bytearray(2 << 20)")
        child.run("win32.SetFilePointer(f, 4, None, 0)")
        refused(child, "win32.WriteFile(f, data, len(data), n)", "disk")
        child.run("""
            m = win32.CreateFileMapping(f, None, win32.PAGE_READWRITE, 0, 0, None)
            ok = bool(m) and win32.CloseHandle(m) and win32.CloseHandle(f) and win32.DeleteFile("data")
            """)
        assert child.value("ok")
        assert child.value("open_('named')") is None
        assert child.value(FILES) == []


class TestNoRoot:
    def test_a_missing_root(self, spawn: Spawn, tmp_path: Path) -> None:
        """ERROR_PATH_NOT_FOUND, with both remedies; it works as soon as there is one."""
        root = tmp_path / "missing"
        child = spawn(environment={"NAMEDMAP_ROOT": str(root)})
        for call in ("create('x')", "open_('x')", "win32.CreateMutex(None, False, 'x')"):
            refused(child, call, "missing", str(root), "mount a tmpfs", "NAMEDMAP_ROOT")
        assert not root.exists()
        root.mkdir(0o700)
        assert child.value("create('x')")

    def test_a_read_only_root(self, mounted: MountedChild) -> None:
        """ERROR_WRITE_PROTECT, with what to do."""
        child = mounted("ro")
        for call in ("create('x')", "create('Global\\\\x')"):
            refused(child, call, "read-only", "NAMEDMAP_ROOT")

    def test_a_root_that_became_read_only(self, mounted: MountedChild) -> None:
        """With objects in it: new ones are refused; those that exist can be closed."""
        child = mounted()
        child.run("h = create('there'); v = view(h)")
        # Mappings keep a filesystem writable; here we have those of our own only.
        child.run("""
            win32.UnmapViewOfFile(v); win32.CloseHandle(h)
            import subprocess
            done = subprocess.run(["mount", "-o", "remount,ro", os.environ["NAMEDMAP_ROOT"]], cwd="/")
            """)
        assert child.value("done.returncode") == 0
        refused(child, "create('x')", "read-only")
        assert child.value("open_('x')") is None
        assert child.value("win32.GetLastError()") == win32.ERROR_FILE_NOT_FOUND


def in_a_child(spawn: Spawn, limit: str, value: int) -> Child:
    """A child with a resource limit, which it has from now on."""
    child = spawn()
    child.run(f"""
        import resource
        create("warm-up")
        resource.setrlimit(resource.{limit}, ({value}, {value}))
        """)
    return child


class TestResourceLimits:
    def test_file_size(self, spawn: Spawn) -> None:
        """RLIMIT_FSIZE: no signal, but an error that names the limit; smaller sections are made."""
        child = in_a_child(spawn, "RLIMIT_FSIZE", MEBIBYTE)
        for name in ("'big'", "None"):
            refused(child, f"create({name}, 2 << 20)", "commitment", "RLIMIT_FSIZE")
        assert child.value("open_('big')") is None
        child.run("h = create('fits', 512 << 10)")
        touch(child, "h")

    def test_file_size_of_a_growing_file(self, spawn: Spawn, tmp_path: Path) -> None:
        """The same for a file on disk, which stays as it was."""
        path = tmp_path / "data"
        path.write_bytes(b"1234")
        child = in_a_child(spawn, "RLIMIT_FSIZE", MEBIBYTE)
        child.run(f"f = win32.CreateFile({str(path)!r}, 0xC0000000, 7, None, win32.OPEN_EXISTING, 0, None)")
        assert child.value("win32.CreateFileMapping(f, None, win32.PAGE_READWRITE, 0, 2 << 20, None)") is None
        assert child.value("win32.GetLastError()") in (win32.ERROR_DISK_FULL, win32.ERROR_NOT_ENOUGH_MEMORY)
        assert "RLIMIT_FSIZE" in child.value("message()")
        assert path.stat().st_size == 4

    def test_no_descriptor_is_free(self, spawn: Spawn, tmp_path: Path) -> None:
        """RLIMIT_NOFILE used up: ERROR_TOO_MANY_OPEN_FILES everywhere, and closing still works."""
        (tmp_path / "data").write_bytes(b"1234")
        elsewhere = create("elsewhere")
        child = in_a_child(spawn, "RLIMIT_NOFILE", 40)
        child.run("""
            h = create("mine"); v = view(h); taken = []
            try:
                while True: taken.append(os.dup(0))
            except OSError: pass
            """)
        for call in (
            "create('more')",
            "create('warm-up')",
            "create(None)",
            "open_('elsewhere')",
            "win32.CreateMutex(None, False, 'mutex')",
            f"win32.CreateFile({str(tmp_path / 'data')!r}, win32.GENERIC_READ, 7, None, win32.OPEN_EXISTING, 0, None)",
            "win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, os.getppid())",
        ):
            refused(child, call, "descriptors", "RLIMIT_NOFILE")
        assert child.value("win32.GetCurrentProcessId()") == child.pid
        # Nothing that was refused stays behind, and what needs no descriptor works.
        assert [path for path in object_files() if "more" in path or "mutex" in path] == []
        child.run("w = view(h); poke(w, b'x')")
        assert child.value("(peek(v, 1), win32.CloseHandle(h))") == (b"x", True)
        assert child.value("open_('mine')") is None
        child.run("os.close(taken.pop()); os.close(taken.pop())")
        assert child.value("open_('elsewhere')")
        assert handle_count(elsewhere) == 2
        child.end()
        close(elsewhere)

    def test_handles_need_no_descriptor_each(self, spawn: Spawn) -> None:
        """Thousands of handles to one object, under a small limit."""
        child = in_a_child(spawn, "RLIMIT_NOFILE", 40)
        child.run("first = create('shared'); handles = [open_('shared') for _ in range(2000)]")
        assert child.value("all(handles)")
        assert child.value("all(win32.CloseHandle(h) for h in handles)")

    def test_no_address_space_is_left(self, spawn: Spawn) -> None:
        """RLIMIT_AS: mapping fails with ERROR_NOT_ENOUGH_MEMORY; the section is there, and smaller views fit."""
        child = spawn()
        child.run("""
            import resource
            h = create("large", 64 << 20)
            pages = int(open("/proc/self/statm").read().split()[0])
            limit = pages * 4096 + (32 << 20)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            """)
        refused(child, "win32.MapViewOfFile(h, win32.FILE_MAP_WRITE, 0, 0, 0)", "address space", "address space")
        refused(child, "win32.VirtualAlloc(None, 64 << 20, 0x3000, win32.PAGE_READWRITE)", "address space")
        assert child.value("win32.MapViewOfFile(h, win32.FILE_MAP_WRITE, 0, 0, 1 << 20)")

    def test_more_address_space_than_there_is(self) -> None:
        """Sizes that no machine has: errors, and at once."""
        for size in (1 << 46, 1 << 50, 1 << 62, (1 << 63) - 1, (1 << 64) - 1):
            for flags in (0, win32.SEC_RESERVE):
                high, low = size >> 32, size & 0xFFFFFFFF
                made = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE | flags, high, low, "huge")
                if made:  # 64 TiB may be reserved
                    assert flags
                    close(made)
                else:
                    assert win32.GetLastError() in (*ERRORS.values(), win32.ERROR_NO_SYSTEM_RESOURCES), message()
                    assert "bytes" in message()
        assert object_files() == []


class TestMemoryLimit:
    """A container with a memory limit, where an allocation above it is not an error but an OOM kill."""

    LIMIT = 128 * MEBIBYTE

    @pytest.fixture
    def confined(self, spawn: Spawn) -> Iterator[Child]:
        with memory_limit(self.LIMIT) as confine:
            child = spawn(forked=False)
            confine(child.pid)
            yield child
            child.end()

    @needs_root
    @pytest.mark.parametrize("name", ["'big'", "None"])
    def test_a_section_above_the_limit_is_refused(self, confined: Child, name: str) -> None:
        """ERROR_COMMITMENT_LIMIT with limit and remedy; the process lives, and what fits can be touched."""
        refused(confined, f"create({name}, 256 << 20)", "commitment", "268,4", "cgroup", "limit")
        confined.run(f"h = create({name}, 64 << 20)")
        touch(confined, "h")

    @needs_root
    @pytest.mark.parametrize("size", [20, 31])
    def test_small_sections_count_as_well(self, confined: Child, size: int) -> None:
        """Many sections, each far below the limit, until no more fit: the last is an error, and not an OOM kill."""
        confined.run(f"""
            held = []
            while len(held) < 20 and (h := create(None, {size} << 20)): held.append(h)
            """)
        code, text, count = confined.value("(win32.GetLastError(), message(), len(held))")
        assert code == win32.ERROR_COMMITMENT_LIMIT, text
        assert 1 < count < 10
        for number in range(count):
            touch(confined, f"held[{number}]")

    @needs_root
    def test_what_is_used_counts(self, confined: Child) -> None:
        """A second section that fits by itself, but not beside the first."""
        confined.run("h = create('first', 80 << 20)")
        touch(confined, "h")
        refused(confined, "create('second', 80 << 20)", "commitment", "free")
        confined.run("win32.CloseHandle(h); h = create('second', 80 << 20)")
        touch(confined, "h")

    @needs_root
    def test_committing_above_the_limit_is_refused(self, confined: Child) -> None:
        """Reserving costs nothing; committing is judged like creating."""
        confined.run("""
            h = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE | win32.SEC_RESERVE, 0, 1 << 30, None)
            v = view(h)
            """)
        assert confined.value("v"), confined.value("message()")
        commit = "win32.VirtualAlloc(v, {} << 20, win32.MEM_COMMIT, win32.PAGE_READWRITE)"
        refused(confined, commit.format(256), "commitment", "cgroup")
        assert confined.value(commit.format(32))
        confined.run("for offset in range(0, 32 << 20, 4096): poke(v + offset, b'x')")


class TestMachine:
    def test_more_memory_than_the_machine_has(self) -> None:
        """ERROR_COMMITMENT_LIMIT, with what there is."""
        with open("/proc/meminfo", encoding="ascii") as file:
            memory = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in file}
        size = memory["MemTotal"] + memory["SwapTotal"] + (1 << 30)
        assert win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, size >> 32, size & 0xFFFFFFFF, None) is None
        assert win32.GetLastError() == win32.ERROR_COMMITMENT_LIMIT
        assert f"{size:,}"[:6] in message()
        assert object_files() == []


class TestReservedPages:
    """Touching a page that is reserved and not committed faults, wherever the system offers userfaultfd."""

    TOUCH = """
        h = win32.OpenFileMapping(win32.FILE_MAP_ALL_ACCESS, False, "reserve")
        v = view(h)
        """

    @pytest.fixture
    def section(self) -> Iterator[int]:
        made = create("reserve", MEBIBYTE, win32.PAGE_READWRITE | win32.SEC_RESERVE)
        address = view(made)
        yield address
        assert win32.UnmapViewOfFile(address)
        close(made)

    @pytest.fixture
    def faults(self, spawn: Spawn) -> None:
        child = spawn("from calls.kernel import userfault; userfault.guard._open(); say(userfault.guard._forbidden)")
        if child.line() == "True":
            pytest.skip("userfaultfd is missing or forbidden here: touching a reserved page commits it")

    @pytest.mark.leaves_dead_files
    @pytest.mark.usefixtures("faults")
    @pytest.mark.parametrize("touching", ["poke(v + {}, b'x')", "peek(v + {}, 1)"])
    def test_a_reserved_page_faults(self, spawn: Spawn, section: int, touching: str) -> None:
        """SIGBUS, for reading and writing, beside pages that are committed."""
        assert win32.VirtualAlloc(section, 2 * PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE)
        for page, alive in ((1, True), (2, False), (255, False)):
            child = spawn()
            child.run(self.TOUCH)
            child.start("run", touching.format(page * PAGE))
            if alive:
                child.finish()
            else:
                assert child.wait() == -7

    @pytest.mark.usefixtures("faults")
    def test_a_commit_in_another_process_is_seen_in_every_view(self, spawn: Spawn, section: int) -> None:
        """Pages that one process commits work at once in views that others have had before."""
        child = spawn()
        child.run(self.TOUCH)
        assert win32.VirtualAlloc(section + 8 * PAGE, PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE)
        child.run("poke(v + 8 * 4096, b'from the child')")
        assert ctypes.string_at(section + 8 * PAGE, 14) == b"from the child"

    @pytest.mark.leaves_dead_files
    @pytest.mark.usefixtures("faults", "section")
    def test_a_forked_child_faults_too(self, spawn: Spawn) -> None:
        """The child's view does what the parent's does."""
        child = spawn()
        child.run(self.TOUCH)
        child.run("""
            win32.VirtualAlloc(v, 4096, win32.MEM_COMMIT, win32.PAGE_READWRITE)
            pid = os.fork()
            if not pid:
                poke(v, b"fine")
                poke(v + 4096, b"x")
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            """)
        assert child.value("status") == -7
        assert child.value("peek(v, 4)") == b"fine"

    @pytest.mark.usefixtures("faults")
    def test_a_system_call_fails_on_a_reserved_page(self, section: int) -> None:
        """ReadFile and WriteFile into reserved memory are errors, not commits."""
        file = win32.CreateFile("/dev/zero", win32.GENERIC_READ, 7, None, win32.OPEN_EXISTING, 0, None)
        assert file != win32.INVALID_HANDLE_VALUE
        assert not win32.ReadFile(file, section + 64 * PAGE, 16, win32.DWORD())
        assert win32.GetLastError() in (win32.ERROR_NOACCESS, win32.ERROR_INVALID_USER_BUFFER)
        information = win32.MEMORY_BASIC_INFORMATION()
        assert win32.VirtualQuery(section + 64 * PAGE, information, 48)
        assert information.State == win32.MEM_RESERVE
        close(file)

    def test_the_state_is_told_truly_in_any_case(self, section: int) -> None:
        """VirtualQuery knows what is committed, with and without faults."""
        information = win32.MEMORY_BASIC_INFORMATION()
        assert win32.VirtualAlloc(section + 4 * PAGE, PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE)
        states = []
        for page in (0, 4, 5):
            assert win32.VirtualQuery(section + page * PAGE, information, 48)
            states.append((information.State, information.RegionSize))
        reserved, committed = win32.MEM_RESERVE, win32.MEM_COMMIT
        assert states == [(reserved, 4 * PAGE), (committed, PAGE), (reserved, 251 * PAGE)]
