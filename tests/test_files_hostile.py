"""namedmap.files among hostile files, names and arguments."""

import contextlib
import hashlib
import os
import re
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import namedmap
from calls.bigfiles import build, names, sparse
from child import Spawn
from child.users import needs_root, public_directory
from namedmap import files

#: Says that it has 4096 bytes, and has fewer.
SYSFS = Path("/sys/kernel/mm/transparent_hugepage/enabled")
needs_sysfs = pytest.mark.skipif(not SYSFS.exists(), reason="needs a file of /sys whose size is a page")


class TestFilesOfTheKernel:
    """Files whose size is not what stat says."""

    @pytest.mark.parametrize("path", ["/proc/version", pytest.param(str(SYSFS), marks=needs_sysfs)])
    def test_they_are_read_to_their_end(self, path: str) -> None:
        """Each function sees what a plain read gives, and not the size that stat tells."""
        content = Path(path).read_bytes()
        found = files.checksum(path)
        assert (found.digest, found.size) == (hashlib.sha256(content).hexdigest(), len(content))
        assert b"".join(line.data for line in files.dump(path)) == content
        assert b"".join(bytes(window.buf) for window in files.windows(path, 10)) == content
        assert [match.offset for match in files.search(path, content[-5:])] == [content.rindex(content[-5:])]
        assert files.count(path, b"\n") == content.count(b"\n")

    def test_they_are_compared_by_content(self, tmp_path: Path) -> None:
        """Two files that both say 0 bytes are not equal for that."""
        assert not files.compare("/proc/version", "/proc/self/limits").equal
        (tmp_path / "version").write_bytes(Path("/proc/version").read_bytes())
        assert files.compare("/proc/version", tmp_path / "version").equal

    @needs_sysfs
    @pytest.mark.parametrize("atomic", [False, True])
    def test_a_file_of_sysfs_can_be_copied(self, tmp_path: Path, atomic: bool) -> None:
        """The copy has what there is, not a page."""
        done = files.copy(SYSFS, tmp_path / "b", atomic=atomic, verify="md5")
        content = SYSFS.read_bytes()
        assert (tmp_path / "b").read_bytes() == content
        assert (done.size, done.digest) == (len(content), hashlib.md5(content).hexdigest())

    @needs_root
    def test_memory_of_a_process_is_no_empty_file(self) -> None:
        """A file that cannot be read from its beginning is an error, and not nothing."""
        with pytest.raises(namedmap.Error, match="cannot read '/proc/self/mem'"):
            files.checksum("/proc/self/mem")

    def test_reading_one_that_goes_on_can_be_cancelled(self, tmp_path: Path) -> None:
        """The caller is asked also while a file without a size is copied."""
        answers = iter([False, True])
        with pytest.raises(files.Cancelled):
            files.copy("/proc/self/limits", tmp_path / "b", cancel=lambda: next(answers))
        assert names(tmp_path) == []


class TestNames:
    """Names that no file can have."""

    @pytest.mark.parametrize("name", ["a\0b", "\ud800"])
    def test_they_are_bad_values(self, tmp_path: Path, name: str) -> None:
        """An error of this package, and nothing made, wherever the name stands."""
        (tmp_path / "a").write_bytes(b"x")
        ways: list[dict[str, Any]] = [{}, {"atomic": True}, {"resume": True}]
        for way in ways:
            with pytest.raises(namedmap.BadValueError):
                files.copy(tmp_path / "a", f"{tmp_path}/{name}", **way)
            with pytest.raises(namedmap.BadValueError):
                files.copy(f"{tmp_path}/{name}", tmp_path / "b", **way)
        with pytest.raises(namedmap.BadValueError):
            files.leftovers(f"{tmp_path}/{name}")
        assert names(tmp_path) == ["a"]


class TestArguments:
    """Arguments that are of the wrong kind or size."""

    def test_a_number_is_no_bytes(self, tmp_path: Path) -> None:
        """bytes(5) would be five zeros: a number is refused."""
        (tmp_path / "a").write_bytes(b"content")
        number: Any = 5
        with pytest.raises(TypeError):
            files.patch(tmp_path / "a", 0, number)
        with pytest.raises(TypeError):
            list(files.search(tmp_path / "a", number))
        assert (tmp_path / "a").read_bytes() == b"content"

    def test_memory_goes_by_the_file_not_by_what_is_asked(self, tmp_path: Path) -> None:
        """Windows, overlaps and threads beyond all measure take no more than the file needs."""
        sparse(tmp_path / "a", 300_000, (200_000, b"x"))
        assert [each.offset for each in files.search(tmp_path / "a", re.compile(b"x"), overlap=1 << 50)] == [200_000]
        assert files.copy(tmp_path / "a", tmp_path / "b", window=1 << 50, threads=1 << 20).size == 300_000
        assert files.copy(tmp_path / "a", tmp_path / "b", threads=1 << 30).size == 300_000
        assert files.compare(tmp_path / "a", tmp_path / "b").equal

    def test_a_copy_needs_no_second_thread(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no thread can be started, the caller's does all of it."""

        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        content = build(tmp_path / "a", [(5_000_000, False)])
        monkeypatch.setattr(threading.Thread, "start", refuse)
        assert files.copy(tmp_path / "a", tmp_path / "b", threads=4).method == "threads"
        assert (tmp_path / "b").read_bytes() == content


def access_list(user: str, group: str, named: str) -> bytes:
    """An access control list: the owner, user 65534, the group, a mask of rw. Source: acl(5), its layout in xattrs."""
    rights = {"---": 0, "r--": 4, "rw-": 6}
    entries = [(1, user, -1), (2, named, 65534), (4, group, -1), (16, "rw-", -1), (32, "---", -1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", tag, rights[word], who) for tag, word, who in entries)


class TestAccessLists:
    """A file that replaces another is open to those to whom the old one was, and to nobody else."""

    @pytest.mark.parametrize("way", [{}, {"atomic": True}, {"resume": True}], ids=str)
    def test_the_list_of_the_old_file_stays(self, tmp_path: Path, way: dict[str, Any]) -> None:
        """Without its list, the mask in the mode would be the group's rights."""
        (tmp_path / "a").write_bytes(b"new")
        (tmp_path / "b").write_bytes(b"old")
        set_list(tmp_path / "b", "system.posix_acl_access", access_list("rw-", "---", "rw-"))
        files.copy(tmp_path / "a", tmp_path / "b", **way)
        assert os.getxattr(tmp_path / "b", "system.posix_acl_access") == access_list("rw-", "---", "rw-")
        assert (tmp_path / "b").read_bytes() == b"new"

    @pytest.mark.parametrize("way", [{}, {"atomic": True}, {"resume": True}], ids=str)
    def test_the_list_of_the_directory_is_not_for_a_file_that_was_there(
        self, tmp_path: Path, way: dict[str, Any]
    ) -> None:
        """A file without a list gets none though new files in the directory do."""
        (tmp_path / "a").write_bytes(b"new")
        (tmp_path / "b").write_bytes(b"old")
        set_list(tmp_path, "system.posix_acl_default", access_list("rw-", "---", "rw-"))
        files.copy(tmp_path / "a", tmp_path / "b", **way)
        assert "system.posix_acl_access" not in os.listxattr(tmp_path / "b")


def set_list(path: Path, name: str, rights: bytes) -> None:
    try:
        os.setxattr(path, name, rights)
    except OSError as error:
        pytest.skip(f"the filesystem has no access control lists: {error}")


class TestWhatCannotBe:
    """A copy that is known to fail fails before anything is written, and says what to do."""

    def test_metadata_of_a_file_of_another_user(self, spawn: Spawn, second_user: int) -> None:
        """Only the owner may set times: a copy that is to keep them leaves the other's file as it is."""
        with public_directory() as directory:
            (directory / "a").write_bytes(b"new")
            (directory / "b").write_bytes(b"old")
            (directory / "b").chmod(0o666)
            child = spawn()
            child.run(f"""
                import concurrent.futures.thread
                from namedmap import files
                os.setgroups([]); os.setgid({second_user}); os.setuid({second_user})
            """)
            call = f"files.copy({str(directory / 'a')!r}, {str(directory / 'b')!r}, preserve=True)"
            child.run(f"""
                try:
                    {call}
                except namedmap.AccessDeniedError as error:
                    said = str(error)
            """)
            assert "copy without preserve" in child.value("said")
            assert (directory / "b").read_bytes() == b"old"
            child.run(call.replace(", preserve=True", ""))
            assert (directory / "b").read_bytes() == b"new"

    @needs_root
    @pytest.mark.parametrize("way", [{"atomic": True}, {"resume": True}], ids=str)
    def test_a_mount_point_cannot_be_replaced(self, tmp_path: Path, way: dict[str, Any]) -> None:
        """A file with another bound over it, as in containers: the error says so; a plain copy is written."""
        for name in "abc":
            (tmp_path / name).write_bytes(name.encode())
        if subprocess.run(["mount", "--bind", tmp_path / "c", tmp_path / "b"], check=False).returncode:
            pytest.skip("cannot mount here")
        try:
            with pytest.raises(namedmap.AccessDeniedError, match="is a mount point"):
                files.copy(tmp_path / "a", tmp_path / "b", **way)
            files.copy(tmp_path / "a", tmp_path / "b")
        finally:
            subprocess.run(["umount", tmp_path / "b"], check=True)
        assert (tmp_path / "c").read_bytes() == b"a"
        for left in files.leftovers(tmp_path):
            left.unlink()

    def test_a_part_that_is_another_name_of_a_file(self, tmp_path: Path) -> None:
        """A part is truncated if it is not believed: a link to a file of the caller's own is left alone."""
        (tmp_path / "a").write_bytes(b"a" * 100)
        answers = iter([False, True, True])
        with pytest.raises(files.Cancelled):
            files.copy(tmp_path / "a", tmp_path / "b", resume=True, reflink=False, cancel=lambda: next(answers))
        (part,) = files.leftovers(tmp_path)
        (tmp_path / "precious").write_bytes(b"precious" * 100)
        part.unlink()
        part.hardlink_to(tmp_path / "precious")
        with pytest.raises(namedmap.AccessDeniedError, match="remove it"):
            files.copy(tmp_path / "a", tmp_path / "b", resume=True)
        assert (tmp_path / "precious").read_bytes() == b"precious" * 100


class TestOtherWriters:
    @pytest.mark.parametrize("way", [{}, {"verify": "md5"}, {"sparse": False}], ids=str)
    def test_a_copy_that_is_cut_off_is_not_filled_with_zeros(self, tmp_path: Path, way: dict[str, Any]) -> None:
        """A target that another program made shorter is no copy; holes at the end are no reason to think so."""
        content = build(tmp_path / "a", [(3 << 20, False), (1 << 20, True)])
        assert files.copy(tmp_path / "a", tmp_path / "b", reflink=False, **way).size == len(content)

        def cut(done: int, total: int) -> None:
            if done >= 3 << 20:
                os.truncate(tmp_path / "b", 1000)

        with pytest.raises(files.ChangedError, match="cut the copy off"):
            files.copy(tmp_path / "a", tmp_path / "b", reflink=False, threads=1, window=1 << 20, progress=cut, **way)
        assert names(tmp_path) == ["a"]


class TestInterrupts:
    """Ctrl-C at the moments at which something has just been made."""

    @pytest.mark.parametrize(
        ("call", "way"),
        [("ftruncate", {}), ("fstat", {}), ("close", {}), ("link", {"atomic": True}), ("replace", {"atomic": True})],
        ids=str,
    )
    @pytest.mark.parametrize("old", [b"old", None])
    def test_nothing_half_is_left(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, way: dict[str, Any], old: bytes | None
    ) -> None:
        """Interrupted right after a system call, the target is whole, old or absent, and nothing else is there."""
        (tmp_path / "a").write_bytes(b"new")
        if old is not None:
            (tmp_path / "b").write_bytes(old)
        plain: Callable[..., Any] = getattr(os, call)
        left = [1]

        def interrupted(*given: Any, **named: Any) -> Any:
            found = plain(*given, **named)
            if (call != "fstat" or given[0] == newest()) and left:
                left.pop()
                raise KeyboardInterrupt
            return found

        def newest() -> int:
            here = {int(name): target for name, target in links().items()}
            return max((fd for fd, target in here.items() if target == str(tmp_path / "b")), default=-1)

        monkeypatch.setattr(os, call, interrupted)
        with contextlib.suppress(KeyboardInterrupt):
            files.copy(tmp_path / "a", tmp_path / "b", reflink=False, **way)
        monkeypatch.undo()
        there = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
        assert there.pop("a") == b"new"
        assert there in ({}, {"b": b"new"}, {"b": b"old"})


def links() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return found
