"""namedmap.files among hostile files, names and arguments."""

import hashlib
import os
import re
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

import namedmap
from bigfile_support import build, names, sparse
from file_support import needs_root
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
        """What cannot be read from its beginning is an error, and not nothing."""
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
        for way in ({}, {"atomic": True}, {"resume": True}):
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
    """What replaces a file is open to those to whom the old one was, and to nobody else."""

    @pytest.mark.parametrize("way", [{}, {"atomic": True}, {"resume": True}], ids=str)
    def test_the_list_of_the_old_file_stays(self, tmp_path: Path, way: dict[str, bool]) -> None:
        """Without its list, the mask in the mode would be the group's rights."""
        (tmp_path / "a").write_bytes(b"new")
        (tmp_path / "b").write_bytes(b"old")
        set_list(tmp_path / "b", "system.posix_acl_access", access_list("rw-", "---", "rw-"))
        files.copy(tmp_path / "a", tmp_path / "b", **way)
        assert os.getxattr(tmp_path / "b", "system.posix_acl_access") == access_list("rw-", "---", "rw-")
        assert (tmp_path / "b").read_bytes() == b"new"

    @pytest.mark.parametrize("way", [{}, {"atomic": True}, {"resume": True}], ids=str)
    def test_the_list_of_the_directory_is_not_for_a_file_that_was_there(
        self, tmp_path: Path, way: dict[str, bool]
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
