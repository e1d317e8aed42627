"""namedmap.files.copy: what arrives, what is kept, what a call says."""

import contextlib
import hashlib
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import namedmap
from calls.bigfiles import Segments, build, names, segments, space, sparse
from child import plain
from child.users import mounted, needs_root
from namedmap import files

TIB = 1 << 40
#: From this size on space is allocated before it is written.
LARGE = 16 << 20
WAYS: list[dict[str, Any]] = [
    {},
    {"atomic": True},
    {"resume": True},
    {"verify": "sha256"},
    {"resume": True, "verify": "md5"},
    {"threads": 3, "window": 10_000},
    {"threads": 1, "window": 10_000},
    {"sparse": False},
    {"reflink": False, "preserve": True},
]


def on_disk(directory: Path) -> bool:
    return os.major(directory.stat().st_dev) != 0


def written_to(directory: Path) -> os.stat_result:
    """The file in this directory that this process writes to, which may have no name yet."""
    for number in os.listdir("/proc/self/fd"):
        link = f"/proc/self/fd/{number}"
        if os.path.lexists(link) and os.readlink(link).startswith(f"{directory}/"):
            flags = int(Path(f"/proc/self/fdinfo/{number}").read_text().split("flags:")[1].split()[0], 8)
            if flags & os.O_ACCMODE != os.O_RDONLY:
                return os.stat(link)
    raise FileNotFoundError(directory)


class TestContent:
    @given(
        parts=segments, seed=st.integers(0, 9), way=st.sampled_from(WAYS), window=st.sampled_from([None, 4096, 77_777])
    )
    @settings(max_examples=60)
    def test_a_copy_is_the_same(
        self, tmp_path: Path, parts: Segments, seed: int, way: dict[str, Any], window: int | None
    ) -> None:
        """Whatever the size, the holes, the way and the window: the same bytes, and numbers that add up."""
        content = build(tmp_path / "a", parts, seed)
        done = files.copy(tmp_path / "a", tmp_path / "b", **{"window": window} | way)
        assert (tmp_path / "b").read_bytes() == content
        assert (done.size, done.written + done.holes) == (len(content), len(content))
        assert done.digest == (hashlib.new(way["verify"], content).hexdigest() if "verify" in way else None)
        assert names(tmp_path) == ["a", "b"]

    @pytest.mark.parametrize(("threads", "method"), [(None, "sendfile"), (1, "sendfile"), (3, "threads")])
    def test_threads_copy_only_for_who_asks(self, tmp_path: Path, threads: int | None, method: str) -> None:
        """A file of 70 MB arrives, in whatever order its pieces were written; by one thread unless more are wanted."""
        path = tmp_path / "a"
        with path.open("wb") as file:
            for number in range(70):
                file.write(number.to_bytes(4, "big") * 250_000)
        done = files.copy(path, tmp_path / "b", threads=threads, reflink=False)
        assert files.checksum(tmp_path / "b", "md5").digest == files.checksum(path, "md5").digest
        assert done.method == method

    @pytest.mark.parametrize(("way", "method"), [({}, "sendfile"), ({"resume": True}, "sendfile")])
    def test_threads_without_work(self, tmp_path: Path, way: dict[str, Any], method: str) -> None:
        """A single piece, and a copy that grows from its beginning so that it can be resumed, have one thread."""
        build(tmp_path / "a", [(1 << 20 if way else 1 << 18, False)])
        assert files.copy(tmp_path / "a", tmp_path / "b", threads=3, reflink=False, **way).method == method

    @pytest.mark.parametrize(
        ("size", "way", "ahead"),
        [
            (LARGE, {}, True),
            (LARGE, {"threads": 2}, True),
            (LARGE, {"verify": "md5"}, True),
            (LARGE, {"atomic": True}, True),
            (LARGE, {"resume": True}, False),
            (LARGE, {"sparse": True}, False),
            (LARGE - 1, {}, False),
        ],
        ids=str,
    )
    def test_the_space_of_large_files_is_allocated_first(
        self, tmp_path: Path, size: int, way: dict[str, Any], ahead: bool
    ) -> None:
        """From 16 MiB on all of the space is there at once, but for holes and what can be resumed; not below."""
        if not on_disk(tmp_path):
            pytest.skip("in memory and over networks nothing is allocated first")
        found: list[int] = []

        def progress(done: int, total: int) -> None:
            if not found:
                found.append(written_to(tmp_path).st_blocks * 512)

        path = sparse(tmp_path / "a", size, (0, b"x" * (4 << 20)))
        way = {"sparse": False, "reflink": False, "window": 1 << 20} | way
        files.copy(path, tmp_path / "b", progress=progress, **way)
        assert (found[0] >= size) == ahead

    @needs_root
    def test_nothing_is_allocated_first_in_memory(self, tmp_path: Path) -> None:
        """On a tmpfs pages come as they are written."""
        found: list[int] = []
        path = sparse(tmp_path / "a", LARGE)
        with mounted("tmpfs", tmp_path / "mount") as mount:
            files.copy(
                path, mount / "b", sparse=False, reflink=False,
                progress=lambda done, _: found.append((mount / "b").stat().st_blocks * 512),
            )  # fmt: skip
        assert found[0] < LARGE

    @pytest.mark.parametrize("way", WAYS[:3] + WAYS[5:6])
    def test_terabytes_of_holes_are_nothing(self, tmp_path: Path, way: dict[str, Any]) -> None:
        """A sparse file of 8 TiB is copied at once, and stays as small."""
        path = sparse(tmp_path / "a", 8 * TIB, (5 * TIB, b"middle"), (8 * TIB - 3, b"end"))
        done = files.copy(path, tmp_path / "b", **way)
        assert (done.size, done.written) == (8 * TIB, space(path)) or done.method == "reflink"
        assert space(tmp_path / "b") == space(path)
        with (tmp_path / "b").open("rb") as file:
            assert os.pread(file.fileno(), 6, 5 * TIB) == b"middle"
            assert os.pread(file.fileno(), 3, 8 * TIB - 3) == b"end"

    def test_without_sparse_holes_are_written(self, tmp_path: Path) -> None:
        """With sparse=False the copy takes all of its space."""
        done = files.copy(sparse(tmp_path / "a", 1 << 20), tmp_path / "b", sparse=False)
        assert space(tmp_path / "b") >= 1 << 20
        assert (done.written, done.holes) == (1 << 20, 0)

    def test_files_without_a_size_are_read_to_their_end(self, tmp_path: Path) -> None:
        """A file of /proc says 0 bytes, and has more."""
        done = files.copy("/proc/self/limits", tmp_path / "b", verify="sha1")
        content = (tmp_path / "b").read_bytes()
        assert b"Max open files" in content
        assert (done.size, done.method, done.digest) == (len(content), "drain", hashlib.sha1(content).hexdigest())

    @needs_root
    def test_between_filesystems(self, tmp_path: Path) -> None:
        """From a disk to a tmpfs and back, in every way."""
        content = build(tmp_path / "a", [(300_000, False), (500_000, True), (70_000, False)])
        with mounted("tmpfs", tmp_path / "mount", "size=8m") as mount:
            for way in WAYS:
                files.copy(tmp_path / "a", mount / "b", **way)
                files.copy(mount / "b", tmp_path / "c", **way)
                assert (tmp_path / "c").read_bytes() == content, way
            assert names(mount) == ["b"]


class TestTarget:
    def test_a_longer_file_is_replaced(self, tmp_path: Path) -> None:
        """Nothing of an old file shows, in any way."""
        content = build(tmp_path / "a", [(5000, False)])
        for way in WAYS:
            (tmp_path / "b").write_bytes(b"old" * 100_000)
            files.copy(tmp_path / "a", tmp_path / "b", **way)
            assert (tmp_path / "b").read_bytes() == content, way

    @pytest.mark.parametrize("way", WAYS[:3])
    def test_links_are_followed(self, tmp_path: Path, way: dict[str, Any]) -> None:
        """A symbolic link to a file, or to none yet, stays one: what it points to is written."""
        (tmp_path / "a").write_bytes(b"new")
        (tmp_path / "real").write_bytes(b"old")
        for name in ("real", "none"):
            (tmp_path / f"to-{name}").symlink_to(name)
            files.copy(tmp_path / "a", tmp_path / f"to-{name}", **way)
            assert (tmp_path / f"to-{name}").is_symlink()
            assert (tmp_path / name).read_bytes() == b"new"

    @pytest.mark.parametrize("way", WAYS[:3])
    def test_a_path_means_what_it_meant_at_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: dict[str, Any]
    ) -> None:
        """A copy to a relative path whose progress function changes the directory arrives, or leaves nothing."""
        content = build(tmp_path / "a", [(3 << 20, False)])
        (tmp_path / "elsewhere").mkdir()
        for name, error in (("b", None), ("c", KeyboardInterrupt)):
            monkeypatch.chdir(tmp_path)

            def progress(done: int, total: int, error: type[BaseException] | None = error) -> None:
                os.chdir(tmp_path / "elsewhere")
                if error is not None:
                    raise error

            with contextlib.nullcontext() if error is None else pytest.raises(error):
                files.copy("a", name, progress=progress, window=1 << 20, reflink=False, **way)
        left = [name for name in names(tmp_path) if not name.endswith(".namedmap-part")]
        assert (left, names(tmp_path / "elsewhere")) == (["a", "b", "elsewhere"], [])
        assert (tmp_path / "b").read_bytes() == content

    @pytest.mark.parametrize("way", WAYS[:3])
    def test_permissions(self, tmp_path: Path, way: dict[str, Any]) -> None:
        """A new file has the source's less the umask; an old one keeps its own."""
        (tmp_path / "a").write_bytes(b"data")
        (tmp_path / "a").chmod(0o4777)
        (tmp_path / "old").touch()
        (tmp_path / "old").chmod(0o606)
        old = os.umask(0o027)
        try:
            for name in ("new", "old"):
                files.copy(tmp_path / "a", tmp_path / name, **way)
        finally:
            os.umask(old)
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o750
        assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o606

    @pytest.mark.parametrize("way", WAYS[:4])
    def test_preserve(self, tmp_path: Path, way: dict[str, Any]) -> None:
        """Permissions, times to the nanosecond and extended attributes are the source's."""
        path = tmp_path / "a"
        path.write_bytes(b"data")
        path.chmod(0o4701)
        os.utime(path, ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321))
        try:
            os.setxattr(path, "user.colour", b"blue")
        except OSError:
            pytest.skip("this filesystem keeps no extended attributes")
        files.copy(path, tmp_path / "b", preserve=True, **way)
        found = (tmp_path / "b").stat()
        assert stat.S_IMODE(found.st_mode) == 0o4701
        assert (found.st_atime_ns, found.st_mtime_ns) == (1_000_000_000_123_456_789, 1_100_000_000_987_654_321)
        assert os.getxattr(tmp_path / "b", "user.colour") == b"blue"

    def test_the_old_file_can_be_read_on_after_an_atomic_copy(self, tmp_path: Path) -> None:
        """A reader that has the old file open goes on reading it; an opener of the path gets the new one."""
        (tmp_path / "a").write_bytes(b"new")
        (tmp_path / "b").write_bytes(b"old")
        with (tmp_path / "b").open("rb") as reader:
            files.copy(tmp_path / "a", tmp_path / "b", atomic=True)
            assert (reader.read(), (tmp_path / "b").read_bytes()) == (b"old", b"new")

    @pytest.mark.parametrize("way", WAYS[:3])
    def test_long_names(self, tmp_path: Path, way: dict[str, Any]) -> None:
        """A name of 255 bytes leaves no room for an ending, and needs none."""
        (tmp_path / "a").write_bytes(b"data")
        target = tmp_path / ("ä" * 127 + "x")
        files.copy(tmp_path / "a", target, **way)
        assert target.read_bytes() == b"data"


class TestRefusals:
    @pytest.mark.parametrize("way", WAYS[:3])
    def test_the_same_file(self, tmp_path: Path, way: dict[str, Any]) -> None:
        """A file is not copied onto itself, under whatever name."""
        (tmp_path / "a").write_bytes(b"data")
        (tmp_path / "hard").hardlink_to(tmp_path / "a")
        (tmp_path / "soft").symlink_to("a")
        for name in ("a", "hard", "soft"):
            with pytest.raises(namedmap.BadValueError, match="same file"):
                files.copy(tmp_path / "a", tmp_path / name, **way)
        assert (tmp_path / "a").read_bytes() == b"data"
        assert names(tmp_path) == ["a", "hard", "soft"]

    @pytest.mark.parametrize("way", WAYS[:3])
    def test_what_is_no_file(self, tmp_path: Path, way: dict[str, Any]) -> None:
        """Directories, FIFOs and devices are refused on either side, without waiting for anybody."""
        (tmp_path / "a").write_bytes(b"data")
        os.mkfifo(tmp_path / "fifo")
        for other, kind in ((tmp_path, namedmap.AccessDeniedError), (tmp_path / "fifo", namedmap.BadValueError)):
            for pair in ((other, tmp_path / "b"), (tmp_path / "a", other)):
                with pytest.raises(kind, match=r"directory|FIFO"):
                    files.copy(*pair, **way)
        with pytest.raises(namedmap.BadValueError, match="device"):
            files.copy("/dev/zero", tmp_path / "b", **way)
        with pytest.raises(namedmap.BadValueError, match="directory"):
            files.copy(tmp_path / "a", f"{tmp_path}/b/", **way)
        assert names(tmp_path) == ["a", "fifo"]

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        """No source, or no directory for the target, is a NotFoundError that names both."""
        (tmp_path / "a").write_bytes(b"data")
        with pytest.raises(FileNotFoundError, match="none"):
            files.copy(tmp_path / "none", tmp_path / "b")
        with pytest.raises(namedmap.NotFoundError, match="none/b"):
            files.copy(tmp_path / "a", tmp_path / "none/b")
        assert names(tmp_path) == ["a"]

    def test_bad_arguments(self, tmp_path: Path) -> None:
        """Hashes, windows and numbers of threads that cannot be, and a NUL in a path, are BadValueErrors."""
        (tmp_path / "a").write_bytes(b"data")
        for bad in ({"verify": "sha257"}, {"verify": "shake_128"}, {"window": 0}, {"threads": 0}):
            wrong: dict[str, Any] = bad
            with pytest.raises(namedmap.BadValueError):
                files.copy(tmp_path / "a", tmp_path / "b", **wrong)
        with pytest.raises(namedmap.BadValueError):
            files.copy("a\0b", tmp_path / "b")
        assert names(tmp_path) == ["a"]


class TestProgress:
    @pytest.mark.parametrize("way", WAYS)
    def test_it_comes_in_order_and_to_the_end(self, tmp_path: Path, way: dict[str, Any]) -> None:
        """The number of bytes done only grows, ends with everything, and is told in the thread of the caller."""
        build(tmp_path / "a", [(9 << 20, False), (1 << 20, True), (1 << 20, False)])
        told: list[tuple[int, int]] = []
        threads = set()

        def progress(done: int, total: int) -> None:
            told.append((done, total))
            threads.add(threading.current_thread())

        files.copy(tmp_path / "a", tmp_path / "b", progress=progress, **{"window": 1 << 19} | way)
        assert [total for _, total in told] == [11 << 20] * len(told)
        assert [done for done, _ in told] == sorted(done for done, _ in told)
        assert told[-1][0] == 11 << 20
        assert threads == {threading.current_thread()}

    @pytest.mark.parametrize("way", WAYS)
    def test_cancel(self, tmp_path: Path, way: dict[str, Any]) -> None:
        """Once the event is set the copy ends with Cancelled; nothing is left but what can be resumed."""
        build(tmp_path / "a", [(20 << 20, False)])
        event = threading.Event()
        with pytest.raises(files.Cancelled, match="of 20,971,520 bytes"):
            files.copy(
                tmp_path / "a",
                tmp_path / "b",
                progress=lambda done, _: event.set() if done > 5 << 20 else None,
                cancel=event,
                **{"window": 1 << 18} | way,
            )
        left = [name for name in names(tmp_path) if name != "a"]
        assert len(left) == way.get("resume", False)
        assert all(name.endswith(".namedmap-part") for name in left)

    def test_cancel_before_anything_is_done(self, tmp_path: Path) -> None:
        """A copy that is cancelled before it begins leaves an old target as it is."""
        (tmp_path / "a").write_bytes(b"data")
        (tmp_path / "b").write_bytes(b"old")
        with pytest.raises(files.Cancelled):
            files.copy(tmp_path / "a", tmp_path / "b", cancel=lambda: True)
        assert (tmp_path / "b").read_bytes() == b"old"

    def test_an_error_of_the_callback_is_raised(self, tmp_path: Path) -> None:
        """An exception of progress, as Ctrl-C would be, ends the copy, and leaves nothing."""
        build(tmp_path / "a", [(20 << 20, False)])

        def progress(done: int, total: int) -> None:
            raise KeyboardInterrupt

        for way in WAYS[:1] + WAYS[5:6]:
            with pytest.raises(KeyboardInterrupt):
                files.copy(tmp_path / "a", tmp_path / "b", progress=progress, **way)
            assert names(tmp_path) == ["a"]


def test_shape_in_json(tmp_path: Path) -> None:
    """as_dict() has the documented keys, and can be JSON."""
    (tmp_path / "a").write_bytes(b"data")
    found = json.loads(json.dumps(files.copy(tmp_path / "a", tmp_path / "b", verify="md5", reflink=False).as_dict()))
    assert list(found) == ["size", "written", "holes", "method", "digest", "seconds"]
    assert (found["size"], found["written"], found["holes"], found["method"]) == (4, 4, 0, "checked")
    assert found["digest"] == hashlib.md5(b"data").hexdigest()


def test_the_package_is_loaded_only_when_it_is_used() -> None:
    """`import namedmap` does not load namedmap.files."""
    assert plain("import sys, namedmap; print('namedmap.files' in sys.modules)") == "False\n"
