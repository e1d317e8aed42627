"""namedmap.files when things go wrong: full disks, sources cut off in mid-copy, kills, other users."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import namedmap
from calls import as_system_call
from calls.bigfiles import build, names, sparse
from child import WATCHDOG, Spawn
from child.users import mounted, needs_root, public_directory
from namedmap import files

MIB = 1 << 20
#: Each in pieces of 256 KiB, so that there is a middle to be disturbed in.
WAYS: list[dict[str, Any]] = [
    {"threads": 1},
    {"threads": 3},
    {"atomic": True, "threads": 1},
    {"atomic": True, "threads": 3},
    {"verify": "md5"},
    {"resume": True},
    {"resume": True, "verify": "md5"},
]
KEPT = (".namedmap-part", ".namedmap-copy")

#: Copies argv[1] to argv[2], says how far it is, and stops there at 4 MiB, until somebody kills it.
COPIER = """
import sys, time
from namedmap import files
def progress(done, total):
    if done >= 4 << 20:
        print("half", flush=True)
        while True: time.sleep(0.05)  # one long sleep can begin just after Ctrl-C, and is not ended by it
files.copy(sys.argv[1], sys.argv[2], window=1 << 18, progress=progress, reflink=False, **eval(sys.argv[3]))
"""

#: Another user may not be able to read the directory that Python is in: imports come first.
BECOME = """
import concurrent.futures.thread, namedmap
from namedmap import files
os.setgroups([]); os.setgid({0}); os.setuid({0})
"""


def killed_copy(source: Path, target: Path, way: dict[str, Any], number: int = signal.SIGKILL) -> int:
    """A process that copies and is killed in the middle; its exit status."""
    with subprocess.Popen(
        [sys.executable, "-c", COPIER, source, target, repr(way)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"half\n"
        child.send_signal(number)
        return child.wait(WATCHDOG)


class TestKills:
    @pytest.mark.parametrize("old", [b"old", None])
    def test_atomic(self, tmp_path: Path, old: bytes | None) -> None:
        """After SIGKILL in mid-copy the target is what it was, or absent; nothing is left that has no telling name."""
        content = build(tmp_path / "a", [(10 * MIB, False)])
        if old is not None:
            (tmp_path / "b").write_bytes(old)
        for way in ({"atomic": True, "threads": 1}, {"atomic": True, "threads": 3}, {"atomic": True, "verify": "md5"}):
            assert killed_copy(tmp_path / "a", tmp_path / "b", way) == -signal.SIGKILL
            assert ((tmp_path / "b").read_bytes() if old is not None else old) == old
            assert all(name.endswith(KEPT) for name in names(tmp_path) if name not in "ab")
            assert [path.name for path in files.leftovers(tmp_path)] == [n for n in names(tmp_path) if n not in "ab"]
        files.copy(tmp_path / "a", tmp_path / "b", atomic=True)
        assert (tmp_path / "b").read_bytes() == content

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
    @pytest.mark.parametrize("verify", [None, "sha256"])
    def test_resume(self, tmp_path: Path, verify: str | None, number: int) -> None:
        """A copy that was killed, or interrupted, is gone on with: the rest is written, and the whole is right."""
        content = build(tmp_path / "a", [(6 * MIB, False), (MIB, True), (5 * MIB + 77, False)])
        (tmp_path / "b").write_bytes(b"old")
        way = {"resume": True, "verify": verify}
        assert killed_copy(tmp_path / "a", tmp_path / "b", way, number) != 0
        assert (tmp_path / "b").read_bytes() == b"old"
        (part,) = files.leftovers(tmp_path)
        assert part.stat().st_size >= 4 * MIB
        done = files.copy(tmp_path / "a", tmp_path / "b", resume=True, verify=verify)
        assert (tmp_path / "b").read_bytes() == content
        assert 0 < done.written <= 8 * MIB
        assert names(tmp_path) == ["a", "b"]

    def test_an_interrupted_copy_leaves_nothing(self, tmp_path: Path) -> None:
        """Ctrl-C ends threads and all, and removes what there is."""
        build(tmp_path / "a", [(40 * MIB, False)])
        for way in WAYS[:5]:
            assert killed_copy(tmp_path / "a", tmp_path / "b", way, signal.SIGINT) != 0
            assert names(tmp_path) == ["a"], way


class TestResume:
    def part(self, directory: Path) -> Path:
        """The part of a copy of a to b that was cancelled after 4 MiB."""
        with pytest.raises(files.Cancelled):
            files.copy(
                directory / "a",
                directory / "b",
                resume=True,
                window=MIB,
                progress=self._stop,
                reflink=False,
                cancel=lambda: bool(self.stopped),
            )
        self.stopped = 0
        (part,) = files.leftovers(directory)
        return part

    def _stop(self, done: int, total: int) -> None:
        self.stopped = done >= 4 * MIB

    stopped: int = 0

    def test_a_changed_source_is_copied_anew(self, tmp_path: Path) -> None:
        """A source with another time or size has another part; the old one goes."""
        build(tmp_path / "a", [(10 * MIB, False)])
        part = self.part(tmp_path)
        content = build(tmp_path / "a", [(10 * MIB, False)], seed=1)
        os.utime(tmp_path / "a", ns=(1, 1))
        done = files.copy(tmp_path / "a", tmp_path / "b", resume=True, reflink=False)
        assert (done.written, (tmp_path / "b").read_bytes()) == (10 * MIB, content)
        assert not part.exists()

    def test_an_end_that_is_not_the_sources_is_not_believed(self, tmp_path: Path) -> None:
        """With zeros at its end, as a power failure leaves them, or too long, the part is copied anew."""
        content = build(tmp_path / "a", [(10 * MIB, False)])
        for size, place in ((4 * MIB, 4 * MIB - 5), (11 * MIB, 0)):
            part = self.part(tmp_path)
            with part.open("r+b") as file:
                file.truncate(size)
                file.seek(place)
                file.write(b"\0\0\0\0\0")
            done = files.copy(tmp_path / "a", tmp_path / "b", resume=True, reflink=False)
            assert (done.written, (tmp_path / "b").read_bytes()) == (10 * MIB, content)

    def test_damage_before_the_end_is_found_by_verify(self, tmp_path: Path) -> None:
        """An error further up in the part is found when it is verified: a VerifyError, and the part goes."""
        build(tmp_path / "a", [(30 * MIB, False)])
        part = self.part(tmp_path)
        with (tmp_path / "a").open("rb") as source, part.open("r+b") as file:
            file.write(b"damage")
            source.seek(file.seek(0, 2))
            file.write(source.read(20 * MIB))
        with pytest.raises(files.VerifyError, match="between bytes 0 and"):
            files.copy(tmp_path / "a", tmp_path / "b", resume=True, verify="md5", reflink=False)
        assert names(tmp_path) == ["a"]

    def test_two_copies_to_one_target(self, tmp_path: Path, spawn: Spawn) -> None:
        """While one copy works on a part, another one is refused."""
        build(tmp_path / "a", [(10 * MIB, False)])
        part = self.part(tmp_path)
        child = spawn()
        child.run(f"import fcntl; file = open({str(part)!r}); fcntl.flock(file, fcntl.LOCK_EX)")
        with pytest.raises(namedmap.AccessDeniedError, match="under way"):
            files.copy(tmp_path / "a", tmp_path / "b", resume=True)
        assert files.leftovers(tmp_path) == []
        child.run("file.close()")
        files.copy(tmp_path / "a", tmp_path / "b", resume=True)
        assert names(tmp_path) == ["a", "b"]


class TestPoorFilesystems:
    def test_without_files_that_have_no_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where O_TMPFILE is not supported an atomic copy has a telling name while it is made, and leaves none."""
        content = build(tmp_path / "a", [(10 * MIB, False)])
        really, seen = os.open, list[str]()

        def refusing(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            return really(path, flags, mode, **more)

        def progress(done: int, total: int) -> None:
            seen.extend(name for name in names(tmp_path) if name != "a")
            assert files.leftovers(tmp_path) == []
            if len(seen) == 3:
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "open", as_system_call(refusing))
        with pytest.raises(KeyboardInterrupt):
            files.copy(tmp_path / "a", tmp_path / "b", atomic=True, window=MIB, threads=1, progress=progress)
        assert all(name.startswith(".b.") and name.endswith(".namedmap-copy") for name in seen)
        assert names(tmp_path) == ["a"]
        files.copy(tmp_path / "a", tmp_path / "b", atomic=True, preserve=True)
        assert (tmp_path / "b").read_bytes() == content
        assert names(tmp_path) == ["a", "b"]

    def test_litter_of_kills_is_told_from_other_files(self, tmp_path: Path) -> None:
        """leftovers() gives unfinished files that nobody works on, and nothing else."""
        for name in (".b.0123.namedmap-copy", "b.namedmap-copy", ".b.c.d.namedmap-part", ".namedmap"):
            (tmp_path / name).touch()
        assert [path.name for path in files.leftovers(tmp_path)] == [".b.0123.namedmap-copy", ".b.c.d.namedmap-part"]
        with pytest.raises(namedmap.NotFoundError):
            files.leftovers(tmp_path / "none")

    @needs_root
    def test_a_filesystem_that_cannot_allocate(self, tmp_path: Path) -> None:
        """ramfs knows neither fallocate nor holes; every way works there."""
        content = build(tmp_path / "a", [(300_000, False), (400_000, True)])
        with mounted("ramfs", tmp_path / "mount") as mount:
            for way in WAYS:
                files.copy(tmp_path / "a", mount / "b", **way)
                files.copy(mount / "b", tmp_path / "c", **way)
                assert (tmp_path / "c").read_bytes() == content, way
            assert files.compare(tmp_path / "a", mount / "b").equal


class TestSourcesThatChange:
    @pytest.mark.parametrize("way", WAYS)
    def test_a_source_cut_off_in_mid_copy(self, tmp_path: Path, way: dict[str, Any]) -> None:
        """Another process truncates the source: ChangedError says where, nothing is left, nobody dies of SIGBUS."""
        build(tmp_path / "a", [(40 * MIB, False)])
        cut: list[int] = []

        def progress(done: int, total: int) -> None:
            if done >= 3 * MIB and not cut:
                cut.append(subprocess.call(["truncate", "-s", str(35 * MIB), tmp_path / "a"]))

        with pytest.raises(files.ChangedError, match="was cut off by another program"):
            files.copy(tmp_path / "a", tmp_path / "b", window=1 << 18, progress=progress, reflink=False, **way)
        assert cut == [0]
        assert names(tmp_path) == ["a"]

    def test_a_source_cut_off_to_a_hole(self, tmp_path: Path) -> None:
        """Where only holes are missing, they are missed all the same."""
        sparse(tmp_path / "a", 1 << 30, (0, b"x" * (8 * MIB)))
        with pytest.raises(files.ChangedError):
            files.copy(
                tmp_path / "a", tmp_path / "b", window=1 << 18, reflink=False,
                progress=lambda done, _: os.truncate(tmp_path / "a", 9 * MIB) if done >= 4 * MIB else None,
            )  # fmt: skip
        assert names(tmp_path) == ["a"]

    def test_search_checksum_and_comparison_of_a_file_that_is_cut_off(self, tmp_path: Path) -> None:
        """They end with ChangedError."""
        build(tmp_path / "b", [(40 * MIB, False)])

        def cut(done: int, total: int) -> None:
            os.truncate(tmp_path / "a", MIB)

        def searched() -> None:
            for _ in files.search(tmp_path / "a", build(tmp_path / "c", [(64, False)])):
                cut(0, 0)

        def windowed() -> None:
            for _ in files.windows(tmp_path / "a", MIB):
                cut(0, 0)

        for work in (
            lambda: files.checksum(tmp_path / "a", "md5", progress=cut),
            lambda: files.compare(tmp_path / "a", tmp_path / "b", progress=cut),
            searched,
            windowed,
        ):
            build(tmp_path / "a", [(40 * MIB, False)])
            with pytest.raises(files.ChangedError, match="cut off"):
                work()


@needs_root
class TestFullDisks:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("hole", [0, MIB])
    def test_a_copy_that_does_not_fit(self, tmp_path: Path, way: dict[str, Any], hole: int) -> None:
        """A clear error, whether it shows at the beginning (without holes) or in the middle; no half file is left."""
        build(tmp_path / "a", [(hole, True), (10 * MIB, False)])
        with mounted("tmpfs", tmp_path / "mount", "size=4m") as mount:
            with pytest.raises(namedmap.Error, match=r"cannot copy .*No space left") as caught:
                files.copy(tmp_path / "a", mount / "b", window=1 << 18, **way)
            assert caught.value.winerror == namedmap.constants.ERROR_DISK_FULL
            assert len(names(mount)) == way.get("resume", False)
            if not way.get("resume"):
                assert os.statvfs(mount).f_bfree == os.statvfs(mount).f_blocks

    def test_a_larger_disk_later(self, tmp_path: Path) -> None:
        """With resume the part is gone on with when there is room."""
        content = build(tmp_path / "a", [(10 * MIB, False)])
        with mounted("tmpfs", tmp_path / "mount", "size=4m") as mount:
            with pytest.raises(namedmap.Error, match="No space left"):
                files.copy(tmp_path / "a", mount / "b", resume=True)
            subprocess.run(["mount", "-o", "remount,size=20m", mount], check=True)
            done = files.copy(tmp_path / "a", mount / "b", resume=True)
            assert done.written < 10 * MIB
            assert (mount / "b").read_bytes() == content

    def test_a_patch_that_does_not_fit(self, tmp_path: Path) -> None:
        """A patch of a hole needs space; if there is none, the bytes are what they were."""
        with mounted("tmpfs", tmp_path / "mount", "size=1m") as mount:
            path = sparse(mount / "a", 8 * MIB, (0, b"data"))
            with pytest.raises(namedmap.Error, match="No space left"):
                files.patch(path, 1, bytes(range(1, 255)) * (2 * MIB // 254))
            assert files.count(path, b"\1\2\3") == 0
            with path.open("rb") as file:
                assert file.read(8) == b"data\0\0\0\0"

    def test_a_read_only_filesystem(self, tmp_path: Path) -> None:
        """It is said that it is read-only."""
        (tmp_path / "a").write_bytes(b"data")
        with mounted("tmpfs", tmp_path / "mount", "size=1m") as mount:
            (mount / "b").write_bytes(b"old")
            subprocess.run(["mount", "-o", "remount,ro", mount], check=True)
            for way in WAYS:
                for name in "bc":
                    with pytest.raises(PermissionError, match="read-only"):
                        files.copy(tmp_path / "a", mount / name, **way)
            with pytest.raises(PermissionError, match="read-only"):
                files.patch(mount / "b", 0, b"x")


def test_file_size_limits(tmp_path: Path, spawn: Spawn) -> None:
    """A limit of the process (ulimit -f) is an error like a full disk, and no signal."""
    build(tmp_path / "a", [(10 * MIB, False)])
    child = spawn()
    child.run(f"""
        import resource
        from namedmap import files
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        said = []
        for way in {WAYS!r}:
            try:
                files.copy({str(tmp_path / "a")!r}, {str(tmp_path / "b")!r}, reflink=False, **way)
            except files.failures.errors.Error as error:
                said.append("file-size limit" in str(error))
    """)
    assert child.value("said") == [True] * len(WAYS)
    assert [name for name in names(tmp_path) if not name.endswith(KEPT)] == ["a"]


class TestOtherUsers:
    def test_no_permission(self, second_user: int, spawn: Spawn) -> None:
        """A file that another user may not read, write or make is AccessDeniedError, and stays as it is."""
        with public_directory() as directory:
            (directory / "secret").write_bytes(b"mine")
            (directory / "secret").chmod(0o600)
            (directory / "open").write_bytes(b"yours")
            (directory / "closed").mkdir(0o755)
            child = spawn()
            child.run(BECOME.format(second_user))
            child.run(
                textwrap.dedent(f"""
                    said = []
                    for source, target in (("secret", "new"), ("open", "secret"), ("open", "closed/new")):
                        for way in {WAYS!r}:
                            try:
                                files.copy({str(directory)!r} + "/" + source, {str(directory)!r} + "/" + target, **way)
                            except namedmap.AccessDeniedError as error:
                                said.append("ermission denied" in str(error))
                            except BaseException as error:
                                said.append(repr(error))
                    for call in (files.checksum, files.windows, lambda path: files.patch(path, 0, b"x")):
                        try:
                            list(call({str(directory / "secret")!r}))
                        except PermissionError as error:
                            said.append(True)
                """)
            )
            found = child.value("said")
            assert found.count(True) == len(found), found
            assert (directory / "secret").read_bytes() == b"mine"
            assert names(directory) == ["closed", "open", "secret"]

    def test_a_file_that_may_only_be_written(self, second_user: int, spawn: Spawn) -> None:
        """A target without permission to read is written to; verification says that it cannot read."""
        with public_directory() as directory:
            (directory / "a").write_bytes(b"data")
            (directory / "b").touch()
            (directory / "b").chmod(0o602)
            child = spawn()
            child.run(BECOME.format(second_user))
            child.run(f"files.copy({str(directory / 'a')!r}, {str(directory / 'b')!r})")
            assert (directory / "b").read_bytes() == b"data"
