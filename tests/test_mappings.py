"""FileMapping and View: names, sizes, access, files, lifetimes, and what is told of errors."""

import contextlib
import ctypes
import grp
import itertools
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import namedmap
from calls.kernel import space
from child import Spawn
from namedmap import win32
from namedmap.errors import AccessDeniedError, BadValueError, ExistsError, NotFoundError, WrongKindError
from namedmap.permissions import Sharing

NAME = "mappings"
PAGE = os.sysconf("SC_PAGESIZE")


def script(text: str, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *options, "-c", textwrap.dedent(text)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


class TestNames:
    """Three verbs; the name lives as long as anybody has a mapping open."""

    def test_create(self) -> None:
        """It must be new, is all zeros, and says that it was created."""
        with namedmap.create(NAME, 100) as made:
            assert (made.name, made.size, len(made), made.created, made.access, made.closed) == (
                NAME,
                100,
                100,
                True,
                "write",
                False,
            )
            with pytest.raises(ExistsError, match="open or open_or_create"):
                namedmap.create(NAME, 100)
            with made.view() as view:
                assert view == bytes(100)
        assert made.closed
        with pytest.raises(NotFoundError, match=NAME):
            namedmap.open(NAME)

    def test_open(self) -> None:
        """It must exist."""
        with namedmap.create(NAME, 100) as made, namedmap.open(NAME) as other, made.view() as one, other.view() as two:
            assert (other.size, other.created) == (100, False)
            one[:5] = b"hello"
            assert two[:5] == b"hello"

    def test_open_or_create(self) -> None:
        """`created` says which it was; what is there keeps its size."""
        with namedmap.open_or_create(NAME, 100) as first, namedmap.open_or_create(NAME, 7) as second:
            assert (first.created, second.created, second.size) == (True, False, 100)

    def test_another_kind(self) -> None:
        """A name belongs to one kind of object."""
        with namedmap.Event(NAME):
            with pytest.raises(WrongKindError):
                namedmap.open(NAME)
            with pytest.raises(WrongKindError):
                namedmap.create(NAME, 5)

    @pytest.mark.parametrize("size", [1, 100, PAGE - 1, PAGE, PAGE + 1, 70_000])
    def test_exact_size(self, spawn: Spawn, size: int) -> None:
        """Everybody sees the size that was asked for, not whole pages."""
        with namedmap.create(NAME, size):
            child = spawn(f"""
                import namedmap
                with namedmap.open({NAME!r}, "read") as mapping, mapping.view() as view:
                    say(mapping.size, len(view), len(view.buf))
                """)
            assert child.line() == f"{size} {size} {size}"
            assert child.wait() == 0

    def test_a_killed_creator(self, spawn: Spawn) -> None:
        """The others keep memory and name."""
        child = spawn(f"""
            import namedmap
            mapping = namedmap.create({NAME!r}, 100)
            mapping.view()[:5] = b"hello"
            say("made")
            hear()
            """)
        assert child.line() == "made"
        with namedmap.open(NAME) as mapping:
            child.kill()
            with namedmap.open(NAME) as again, again.view() as view:
                assert view[:5] == b"hello"
            assert mapping.size == 100

    def test_unnamed(self) -> None:
        """Without a name it is this process's, and its children's."""
        with namedmap.create(None, 10) as first, namedmap.create(None, 10) as second:
            assert first.name is second.name is None
            first.view()[0] = 1
            assert second.view()[0] == 0

    def test_modes(self) -> None:
        """A mode says who may use a global object; what leaves the owner nothing is refused."""
        with namedmap.create(rf"Global\{NAME}", 10, mode=0o644):
            found = [path for path in Path(os.environ["NAMEDMAP_ROOT"]).iterdir() if "global" in path.name]
            assert [path.stat().st_mode & 0o777 for path in found] == [0o644]
        with pytest.raises(BadValueError):
            namedmap.create(None, 10, mode=0o1644)
        with pytest.raises(TypeError):
            namedmap.create(None, 10, mode=0o600, security="D:(A;;GA;;;OW)")

    @pytest.mark.parametrize("bad", ["a\\b", "a\0b", "Global\\", 5])
    def test_bad_names(self, bad: Any) -> None:
        """Are told, by every verb, with the name."""
        verbs: list[Callable[[], object]] = [
            lambda: namedmap.create(bad, 10),
            lambda: namedmap.open_or_create(bad, 10),
            lambda: namedmap.open(bad),
        ]
        for verb in verbs:
            with pytest.raises((ValueError, TypeError)):
                verb()

    def test_too_much(self) -> None:
        """A size that no memory or address space holds is refused when it is asked for, and leaves no name."""
        for size in (1 << 45, 1 << 60, 1 << 70):
            with pytest.raises(namedmap.Error):
                namedmap.create(NAME, size)
        with pytest.raises(NotFoundError):
            namedmap.open(NAME)

    @pytest.mark.parametrize("size", [0, -1, 2.5, "9"])
    def test_bad_sizes(self, size: Any) -> None:
        """Memory has a whole number of bytes, 1 at least."""
        with pytest.raises((ValueError, TypeError)):
            namedmap.create(NAME, size)


class TestSecurity:
    """Rights to it: by mode, by SDDL, by inheritance."""

    _TRY = """
        import namedmap
        for access in ("read", "write"):
            try:
                with namedmap.open({name!r}, access) as mapping, mapping.view() as view:
                    say(access, view[0], mapping.size)
            except namedmap.AccessDeniedError as error:
                say("denied", "mappings" in str(error))
        """

    @pytest.mark.parametrize(
        ("how", "outcome"),
        [
            ({}, ["denied True", "denied True"]),
            ({"mode": 0o600}, ["denied True", "denied True"]),
            ({"mode": 0o644}, ["read 7 100", "denied True"]),
            ({"mode": 0o666}, ["read 7 100", "write 7 100"]),
            ({"security": "D:(A;;GA;;;OW)(A;;GR;;;WD)"}, ["read 7 100", "denied True"]),
        ],
        ids=str,
    )
    def test_another_user(self, spawn: Spawn, second_user: int, how: dict[str, Any], outcome: list[str]) -> None:
        """May do what the mode, or the descriptor, says, and nothing by default."""
        name = rf"Global\{NAME}"
        with namedmap.create(name, 100, **how) as mapping, mapping.view() as view:
            view[0] = 7
            child = spawn(self._TRY.format(name=name), uid=second_user)
            assert [child.line(), child.line()] == outcome
            assert child.wait() == 0

    def test_the_group(self, spawn: Spawn, second_user: int) -> None:
        """A mode has bits for the creator's group."""
        name = rf"Global\{NAME}"
        with namedmap.create(name, 100, mode=0o640):
            child = spawn(self._TRY.format(name=name), uid=second_user, groups=(os.getegid(),))
            assert [child.line(), child.line()] == ["read 0 100", "denied True"]
            assert child.wait() == 0

    def test_a_group_by_name(self, spawn: Spawn, second_user: int) -> None:
        """Alone it lets its members in, to memory, blocks and what guards them; by its name as by its number."""
        other = grp.getgrnam("daemon")
        for group in ("daemon", other.gr_gid):
            who: Sharing = {"group": group}
            with (
                namedmap.publish(r"Global\block", b"shared", **who),
                contextlib.closing(namedmap.Mutex(r"Global\mutex", **who)),
                contextlib.closing(namedmap.Semaphore(r"Global\semaphore", 1, **who)),
                contextlib.closing(namedmap.Event(r"Global\event", **who)),
            ):
                for members, expected in (((other.gr_gid,), "shared True True True"), ((), "denied")):
                    child = spawn(self._USE, uid=second_user, groups=members)
                    assert child.line() == expected
                    assert child.wait() == 0

    _USE = r"""
        import namedmap
        try:
            block = namedmap.attach(r"Global\block", "write")
            with namedmap.Mutex.open(r"Global\mutex") as mutex:
                semaphore, event = namedmap.Semaphore.open(r"Global\semaphore"), namedmap.Event.open(r"Global\event")
                event.set()
                say(bytes(block.value).decode(), mutex.owned(), semaphore.acquire(timeout=0), event.is_set())
                semaphore.release()
        except namedmap.AccessDeniedError:
            say("denied")
        """

    @pytest.mark.parametrize("inheritable", [True, False])
    def test_inheritance(self, spawn: Spawn, inheritable: bool) -> None:
        """An inheritable handle is the child's too, by its number, if the child gets descriptors at all."""
        with namedmap.create(None, 100, inheritable=inheritable) as mapping, mapping.view() as view:
            view[0] = 7
            child = spawn(inherit=True)
            got = child.value(f"bool(view({mapping.handle}))")
            assert got == inheritable
            if inheritable:
                assert child.value(f"peek(view({mapping.handle}), 1)") == b"\7"

    def test_bad_modes_and_descriptors(self) -> None:
        """Are refused before anything is made."""
        for how in (
            {"mode": 0o1777},
            {"mode": 0},
            {"mode": 0o066},
            {"mode": -1},
            {"security": "garbage"},
            {"group": "no such"},
        ):
            arguments: Any = how
            with pytest.raises(OSError, match=r"mode|descriptor|SDDL|security|group"):
                namedmap.create(NAME, 10, **arguments)
        with pytest.raises(NotFoundError):
            namedmap.open(NAME)

    def test_modes_of_files(self, tmp_path: Path) -> None:
        """`mode` of map_file is that of a file that it makes, and of no other."""
        path = tmp_path / "file"
        for _ in range(2):
            with namedmap.map_file(path, 10, "write", create=True, mode=0o640):
                assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o600)
        with namedmap.map_file(path, 10, "write", create=True, mode=0o644):
            assert path.stat().st_mode & 0o777 == 0o600


class TestAccess:
    """Access, in words."""

    @pytest.mark.parametrize(
        "word", ["read", "write", "copy", "execute", "write+execute", "copy + EXECUTE", "read+write"]
    )
    def test_words(self, word: str) -> None:
        """Each gives views that allow it, and buffers that know it."""
        with namedmap.create(NAME, 100, "write+execute"), namedmap.open(NAME, word) as mapping, mapping.view() as view:
            assert view.buf.readonly == (word in ("read", "execute"))
            if not view.buf.readonly:
                view[0] = 1

    @pytest.mark.parametrize("word", ["", "rw", "write+copy", "r", None, 3])
    def test_other_words(self, word: Any) -> None:
        """Are refused, with those that there are."""
        with pytest.raises(BadValueError, match='"read", "write"'):
            namedmap.create(NAME, 100, word)


class TestFiles:
    """The bytes of a file."""

    def test_growing(self, tmp_path: Path) -> None:
        """A file is made, and grows to the size that is asked for; its space is allocated unless it is sparse."""
        path = tmp_path / "file"
        with pytest.raises(NotFoundError, match="file"):
            namedmap.map_file(path)
        with namedmap.map_file(path, 1 << 20, "write", create=True) as mapping, mapping.view() as view:
            assert (mapping.created, mapping.path, mapping.size) == (True, str(path), 1 << 20)
            view[-5:] = b"hello"
            view.flush(durable=True)
        assert path.stat().st_blocks * 512 >= 1 << 20
        assert path.read_bytes()[-5:] == b"hello"
        with namedmap.map_file(path, 1 << 40, "write", sparse=True) as mapping, mapping.view((1 << 40) - 5) as view:
            view[:] = b"world"
        assert path.stat().st_size == 1 << 40
        assert path.stat().st_blocks * 512 < 1 << 24
        with namedmap.map_file(path, 100) as mapping:
            assert (mapping.created, mapping.size) == (False, 100)

    def test_extending(self, tmp_path: Path) -> None:
        """Views that exist stay valid; memory refuses, and says what to do instead."""
        path = tmp_path / "file"
        path.write_bytes(b"a" * 10)
        with namedmap.map_file(path, access="write") as mapping, mapping.view() as view:
            assert mapping.extend(100_000) == mapping.size == path.stat().st_size == 100_000
            assert view == b"a" * 10
            assert mapping.extend(5) == 100_000
            mapping.view(99_990)[:] = b"b" * 10
        assert path.read_bytes()[-10:] == b"b" * 10
        with namedmap.create(NAME, 10) as mapping, pytest.raises(namedmap.Error, match="reserve the largest size"):
            mapping.extend(100)

    def test_windows(self, tmp_path: Path) -> None:
        """They cover the file, and overlap as asked; each is closed when the next one comes."""
        path = tmp_path / "file"
        content = os.urandom(1_000_003)
        path.write_bytes(content)
        with namedmap.map_file(path) as mapping:
            assert b"".join(window[:] for window in mapping.windows(70_001)) == content
            found = list(mapping.windows(300_000, overlap=100_000))
            assert [(each.offset, each.size) for each in found][-2:] == [(600_000, 300_000), (800_000, 200_003)]
            assert all(each.closed for each in found)
            with pytest.raises(BadValueError):
                next(mapping.windows(10, overlap=10))

    @pytest.mark.parametrize("kind", ["empty", "directory", "fifo", "missing"])
    def test_what_cannot_be_mapped(self, tmp_path: Path, kind: str) -> None:
        """Is refused with an error that names it; nothing hangs, nothing is left."""
        path = tmp_path / kind
        if kind == "directory":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind != "missing":
            path.write_bytes(b"")
        with pytest.raises(OSError, match=kind):
            namedmap.map_file(path)

    def test_a_device(self) -> None:
        """A device is mapped with a size."""
        with namedmap.map_file("/dev/zero", 10_000) as mapping, mapping.view() as view:
            assert view == bytes(10_000)

    @pytest.mark.parametrize("device", ["/dev/null", "/proc/self/status", "/dev/random"])
    def test_devices_without_memory(self, device: str) -> None:
        """A file without a size needs one; a device that cannot be mapped says so at the first view."""
        with pytest.raises(BadValueError, match="empty"):
            namedmap.map_file(device)
        message = r"cannot map|only access"
        with pytest.raises(namedmap.Error, match=message), namedmap.map_file(device, 4096) as mapping:
            mapping.view()

    def test_another_users_file(self, tmp_path: Path, spawn: Spawn, second_user: int) -> None:
        """A file that may only be read is mapped for reading and copying, and refused for writing."""
        path = Path(os.environ["TMPDIR"]) / "read-only"
        path.write_bytes(b"hello")
        path.chmod(0o444)
        try:
            child = spawn(
                f"""
                import namedmap
                for access in ("read", "copy", "write"):
                    try:
                        with namedmap.map_file({str(path)!r}, access=access) as mapping, mapping.view() as view:
                            say(access, view[:].decode())
                    except namedmap.AccessDeniedError as error:
                        say(access, "denied", {str(path)!r} in str(error))
                """,
                uid=second_user,
            )
            assert [child.line() for _ in range(3)] == ["read hello", "copy hello", "write denied True"]
        finally:
            path.unlink()

    @pytest.mark.parametrize("access", ["read", "copy"])
    def test_only_writers_grow_a_file(self, tmp_path: Path, access: str) -> None:
        """Others are refused, and the file keeps its length; so it does if the size is impossible."""
        path = tmp_path / "file"
        path.write_bytes(b"hello")
        with pytest.raises(namedmap.Error, match="file"):
            namedmap.map_file(path, 6, access)
        with pytest.raises(namedmap.Error, match="file"):
            namedmap.map_file(path, 1 << 62, "write")
        assert path.read_bytes() == b"hello"

    @pytest.mark.parametrize("offset", [0, 1, 4095, 4096, 65_535, 65_536, 65_537, 99_999])
    def test_offsets(self, tmp_path: Path, offset: int) -> None:
        """A view begins at any byte, and at an address that has it."""
        path = tmp_path / "file"
        content = os.urandom(100_000)
        path.write_bytes(content)
        with namedmap.map_file(path) as mapping, mapping.view(offset) as view, mapping.view(offset, 1) as one:
            assert view == content[offset:]
            assert ctypes.string_at(view.address, view.size) == content[offset:]
            assert one == content[offset : offset + 1]

    @pytest.mark.parametrize(("size", "overlap"), [(1, 0), (7, 3), (7, 6), (99, 0), (100, 0), (100, 99), (5000, 1)])
    def test_windows_cover_everything(self, size: int, overlap: int) -> None:
        """Whatever their size: each begins `overlap` bytes before the last one's end, and only the last is shorter."""
        with namedmap.create(None, 100) as mapping:
            found = [(each.offset, each.size, each[:]) for each in mapping.windows(size, overlap)]
            assert found[0][0] == 0
            assert all(two[0] == one[0] + one[1] - overlap for one, two in itertools.pairwise(found))
            assert all(each[1] == size for each in found[:-1])
            assert found[-1][0] + found[-1][1] == 100
            for bad in (0, -1):
                with pytest.raises(BadValueError):
                    next(mapping.windows(bad))
            with pytest.raises(BadValueError):
                next(mapping.windows(5, -1))
            for window in mapping.windows(10, access="write"):
                window[0] = 1
            assert mapping.view()[:] == (b"\1" + bytes(9)) * 10

    def test_extending_elsewhere(self, tmp_path: Path, spawn: Spawn) -> None:
        """Another opener of the name sees the new size, its views stay, and a reader cannot extend."""
        path = tmp_path / "file"
        path.write_bytes(b"a" * 10)
        with namedmap.map_file(path, access="write", name=NAME) as mapping:
            child = spawn(f"""
                import namedmap
                with namedmap.open({NAME!r}) as other, other.view() as view:
                    say(other.size)
                    hear()
                    say(other.size, len(view), view[:1], other.view(50_000)[:3])
                """)
            assert child.line() == "10"
            mapping.extend(50_003)
            mapping.view(50_000)[:] = b"end"
            child.send("")
            assert child.line() == "50003 10 b'a' b'end'"
            assert child.wait() == 0
        with namedmap.map_file(path) as reader, pytest.raises(AccessDeniedError):
            reader.extend(60_000)
        assert path.stat().st_size == 50_003

    def test_a_name_for_a_file(self, tmp_path: Path) -> None:
        """Others open the mapping of the file by its name."""
        path = tmp_path / "file"
        path.write_bytes(b"hello")
        with namedmap.map_file(path, access="write", name=NAME), namedmap.open(NAME) as other:
            other.view()[0] = ord("H")
        assert path.read_bytes() == b"Hello"


class TestLifetimes:
    """A view never dangles."""

    def test_memory_goes_with_the_last(self) -> None:
        """It is unmapped when nobody sees it any more."""
        with namedmap.create(NAME, 100) as mapping:
            view = mapping.view()
            address, part = view.address, view.buf[3:]
            view.close()
            info = win32.MEMORY_BASIC_INFORMATION()
            assert win32.VirtualQuery(address, info, ctypes.sizeof(info))
            assert info.State == win32.MEM_COMMIT
            del part
            assert win32.VirtualQuery(address, info, ctypes.sizeof(info))
            assert info.State == win32.MEM_FREE

    def test_dropped_in_the_middle(self) -> None:
        """A view that is dropped while this thread works on the address space is unmapped later."""
        with namedmap.create(NAME, 100) as mapping:
            view = mapping.view()
            address, info = view.address, win32.MEMORY_BASIC_INFORMATION()
            with space.lock:
                view.close()
                assert win32.VirtualQuery(address, info, ctypes.sizeof(info))
                assert info.State == win32.MEM_COMMIT
            mapping.view().close()
            assert space.find(address) is None

    def test_unclosed(self) -> None:
        """A mapping that is dropped unclosed is told in development mode, as a file is."""
        text = f"import namedmap; namedmap.create({NAME!r}, 100)"
        assert "ResourceWarning: unclosed namedmap.FileMapping 'mappings'" in script(text, "-X", "dev").stderr
        assert script(text).stderr == ""

    def test_closed_is_silent(self) -> None:
        """A program that closes hears nothing, nor does one that drops views only."""
        done = script(
            f"""
            import namedmap
            with namedmap.create({NAME!r}, 100) as mapping:
                mapping.view()
                kept = mapping.view()
            other = namedmap.open_or_create({NAME!r}, 100)
            other.close()
            """,
            "-X",
            "dev",
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_repr(self, tmp_path: Path) -> None:
        """Says which, how large and what may be done; also of closed ones."""
        (tmp_path / "file").write_bytes(b"x")
        with namedmap.create(NAME, 12_345) as named, namedmap.create(None, 5, "copy") as unnamed:
            assert repr(named) == "<namedmap.FileMapping 'mappings', 12,345 bytes, write>"
            assert repr(unnamed) == "<namedmap.FileMapping unnamed, 5 bytes, copy>"
        with namedmap.map_file(tmp_path / "file") as file:
            assert repr(file) == f"<namedmap.FileMapping of '{tmp_path}/file', 1 bytes, read>"
        assert repr(named) == "<namedmap.FileMapping 'mappings', closed>"

    def test_closed_objects(self) -> None:
        """Say that they are."""
        mapping = namedmap.create(NAME, 100)
        view = mapping.view()
        for _ in range(2):
            mapping.close()
        assert view[0] == 0
        for _ in range(2):
            view.close()
        for action in (
            lambda: mapping.size,
            lambda: mapping.view(),
            lambda: mapping.handle,
            lambda: pickle.dumps(mapping),
        ):
            with pytest.raises((ValueError, OSError), match="closed"):
                action()
        for other in (
            lambda: view[0],
            lambda: view.buf,
            lambda: view.address,
            lambda: view.read(),
            lambda: view.flush(),
            lambda: view.overlay(ctypes.c_int),
        ):
            with pytest.raises(ValueError, match="closed"):
                other()
        assert "closed" in repr(mapping)
        assert "closed" in repr(view)


class TestOtherProcesses:
    """Mappings and views are pickled to other processes of this machine."""

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    @pytest.mark.parametrize("name", [NAME, None])
    def test_pools_and_processes(self, method: str, name: str | None) -> None:
        """By name; without one by a descriptor."""
        done = script(f"""
            import multiprocessing, operator, warnings, namedmap
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads
            from concurrent.futures import ProcessPoolExecutor
            context = multiprocessing.get_context({method!r})
            with namedmap.create({name!r}, 100_000) as mapping, mapping.view(70_000) as view:
                view[0] = 17
                with ProcessPoolExecutor(1, context) as pool:
                    print(pool.submit(operator.getitem, view, 0).result(), end=" ")
                process = context.Process(target=operator.setitem, args=(view, 1, 18))
                process.start()
                process.join()
                print(view[1])
            """)
        assert (done.stdout, done.stderr) == ("17 18\n", "")

    def test_in_one_process(self) -> None:
        """Named ones are found again."""
        with namedmap.create(NAME, 100) as mapping, pickle.loads(pickle.dumps(mapping)) as again:
            assert (again.name, again.size, again.created) == (NAME, 100, False)
