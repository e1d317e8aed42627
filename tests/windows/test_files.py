"""namedmap.files on Windows: copies in every way, and what a file that is open, or read-only, means there."""

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from child import Spawn
from namedmap import errors, files
from namedmap.files._system import system

pytest.importorskip("msvcrt", reason="for Windows Python: tests/windows/python")

MIB = 1 << 20
#: Bytes that no end of line, and no end of text, passes through unchanged.
CONTENT = bytes(range(256)) * 40 + b"\r\n\x1a\n\r" + os.urandom(3 * MIB)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a"
    path.write_bytes(CONTENT)
    return path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


class TestCopy:
    @pytest.mark.parametrize(
        ("way", "method"),
        [
            ({}, "plain"),
            ({"atomic": True}, "plain"),
            ({"resume": True}, "plain"),
            ({"threads": 3}, "threads"),
            ({"verify": "sha256"}, "checked"),
            ({"preserve": True, "atomic": True, "verify": "sha256"}, "checked"),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("old", [None, b"what was there before"], ids=["new", "old"])
    def test_ways(self, source: Path, tmp_path: Path, way: dict[str, Any], method: str, old: bytes | None) -> None:
        """Each way brings the very bytes, over an old file and where there is none, and leaves nothing beside them."""
        target = tmp_path / "b"
        if old is not None:
            target.write_bytes(old)
        done = files.copy(source, target, **way)
        assert (done.method, done.size, done.written, done.holes) == (method, len(CONTENT), len(CONTENT), 0)
        assert done.digest == (hashlib.sha256(CONTENT).hexdigest() if "verify" in way else None)
        assert target.read_bytes() == CONTENT
        assert names(tmp_path) == ["a", "b"]

    def test_long_names_that_are_not_ascii(self, source: Path, tmp_path: Path) -> None:
        """The file beside the target while it is made has a part of its name, cut between two characters."""
        target = tmp_path / ("x" + "ü" * 100)
        seen: list[str] = []
        files.copy(source, target, atomic=True, progress=lambda done, total: seen.extend(names(tmp_path)))
        assert any(name.startswith(".xüü") for name in seen)
        assert names(tmp_path) == ["a", target.name]

    def test_of_nothing(self, tmp_path: Path) -> None:
        """An empty file has an empty copy."""
        (tmp_path / "a").touch()
        assert files.copy(tmp_path / "a", tmp_path / "b", atomic=True).size == 0
        assert (tmp_path / "b").read_bytes() == b""

    @pytest.mark.parametrize("atomic", [False, True])
    def test_what_is_preserved(self, source: Path, tmp_path: Path, atomic: bool) -> None:
        """Times, to 100 ns, and the attribute "read-only"; they are still those when the file has been closed."""
        os.utime(source, ns=(1_000_000_000_123_456_700, 1_111_111_111_987_654_300))
        source.chmod(stat.S_IREAD)
        files.copy(source, tmp_path / "b", preserve=True, atomic=atomic)
        found = (tmp_path / "b").stat()
        assert found.st_mtime_ns == 1_111_111_111_987_654_300
        assert not found.st_mode & stat.S_IWRITE

    @pytest.mark.parametrize("way", [{}, {"atomic": True}, {"resume": True}], ids=str)
    def test_read_only_files(self, source: Path, tmp_path: Path, way: dict[str, Any]) -> None:
        """A copy of a read-only file is one; it cannot be copied over, and stays what it is."""
        source.chmod(stat.S_IREAD)
        files.copy(source, tmp_path / "b", **way)
        assert not (tmp_path / "b").stat().st_mode & stat.S_IWRITE
        (tmp_path / "c").write_bytes(b"new")
        with pytest.raises(errors.AccessDeniedError, match="the target is read-only"):
            files.copy(tmp_path / "c", tmp_path / "b", **way)
        assert (tmp_path / "b").read_bytes() == CONTENT
        assert names(tmp_path) == ["a", "b", "c"]

    @pytest.mark.parametrize("read_only", [False, True])
    @pytest.mark.parametrize("way", [{}, {"atomic": True}], ids=str)
    def test_interrupted(self, source: Path, tmp_path: Path, way: dict[str, Any], read_only: bool) -> None:
        """Ctrl-C in the middle leaves nothing of a copy, also where it would have been read-only."""
        if read_only:
            source.chmod(stat.S_IREAD)
        with pytest.raises(KeyboardInterrupt):
            files.copy(source, tmp_path / "b", window=MIB, progress=_interrupt, **way)
        assert names(tmp_path) == ["a"]
        assert files.leftovers(tmp_path) == []

    def test_resumed(self, source: Path, tmp_path: Path) -> None:
        """A copy goes on where the one before was interrupted; until then its part is a leftover, and then gone."""
        with pytest.raises(KeyboardInterrupt):
            files.copy(source, tmp_path / "b", resume=True, window=MIB, progress=_interrupt)
        [part] = files.leftovers(tmp_path)
        assert re.fullmatch(r"\.b\.[0-9a-f]+\.[0-9a-f]+\.namedmap-part", part.name)
        size = part.stat().st_size
        assert 0 < size < len(CONTENT)
        assert files.copy(source, tmp_path / "b", resume=True).written == len(CONTENT) - size
        assert (tmp_path / "b").read_bytes() == CONTENT
        assert names(tmp_path) == ["a", "b"]

    def test_two_at_once(self, source: Path, tmp_path: Path, spawn: Spawn) -> None:
        """While a process works on a part, no other takes it up or for a leftover; when it is killed, one may."""
        child = spawn(
            f"""
            from namedmap import files
            def wait(done, total):
                if done:
                    print("ready", flush=True)
                    sys.stdin.readline()
            files.copy({str(source)!r}, {str(tmp_path / "b")!r}, resume=True, window={MIB}, progress=wait)
            """,
            prologue="import sys\n",
        )
        assert child.line() == "ready\r"
        assert files.leftovers(tmp_path) == []
        with pytest.raises(errors.Error, match="another copy of it is under way"):
            files.copy(source, tmp_path / "b", resume=True)
        child.kill()
        assert len(files.leftovers(tmp_path)) == 1
        assert files.copy(source, tmp_path / "b", resume=True).written < len(CONTENT)
        assert (tmp_path / "b").read_bytes() == CONTENT
        assert names(tmp_path) == ["a", "b"]

    def test_a_target_that_is_open(self, source: Path, tmp_path: Path) -> None:
        """A file that somebody has open cannot be replaced: an error says so, it stays, and nothing is left."""
        (tmp_path / "b").write_bytes(b"old")
        with open(tmp_path / "b", "rb") as held, pytest.raises(errors.AccessDeniedError, match="cannot copy"):
            files.copy(source, tmp_path / "b", atomic=True)
        assert held.closed
        assert (tmp_path / "b").read_bytes() == b"old"
        assert names(tmp_path) == ["a", "b"]

    def test_what_cannot_be_copied(self, source: Path, tmp_path: Path) -> None:
        """A missing file, a directory, a device, a file onto itself: each error says which, and nothing is made."""
        for what, kind, text in (
            (tmp_path / "none", errors.NotFoundError, "cannot open"),
            (tmp_path, errors.IsDirectoryError, "is a directory"),
            ("NUL", errors.BadValueError, "is a device"),
        ):
            with pytest.raises(kind, match=text):
                files.copy(what, tmp_path / "b")
        with pytest.raises(errors.BadValueError, match="same file"):
            files.copy(source, tmp_path / "A")
        for end in ("/", "\\"):
            with pytest.raises(errors.BadValueError, match="names a directory"):
                files.copy(source, str(tmp_path / "b") + end)
        assert names(tmp_path) == ["a"]


def _interrupt(done: int, total: int) -> None:
    if done:
        raise KeyboardInterrupt


class TestReading:
    def test_checksum(self, source: Path) -> None:
        """The hash is of the very bytes."""
        assert files.checksum(source).digest == hashlib.sha256(CONTENT).hexdigest()

    def test_search(self, source: Path) -> None:
        """Bytes are found where they are, also across the border of two windows; expressions as `re` finds them."""
        for at in (0, MIB - 4, 2 * MIB - 1, len(CONTENT) - 16):
            sought = CONTENT[at : at + 16]
            assert [match.offset for match in files.search(source, sought)] == [
                match.start() for match in re.finditer(re.escape(sought), CONTENT)
            ]
        pattern = re.compile(rb"\r\n\x1a.")
        assert files.count(source, pattern) == len(pattern.findall(CONTENT))

    def test_compare(self, source: Path, tmp_path: Path) -> None:
        """Two files differ where they do."""
        changed = bytearray(CONTENT)
        changed[MIB : MIB + 3] = bytes(each ^ 1 for each in changed[MIB : MIB + 3])
        (tmp_path / "b").write_bytes(changed)
        assert files.compare(source, tmp_path / "b").ranges == [(MIB, 3)]
        assert files.compare(source, source).equal

    def test_windows_and_dump(self, source: Path) -> None:
        """Windows cover the file, and a dump shows its bytes."""
        assert b"".join(bytes(window.buf) for window in files.windows(source, MIB)) == CONTENT
        assert b"".join(line.data for line in files.dump(source, offset=10_000, size=100)) == CONTENT[10_000:10_100]

    def test_many_threads_of_one_descriptor(self, source: Path, tmp_path: Path) -> None:
        """A descriptor has one position on Windows; threads that share it get their own bytes all the same."""
        assert files.copy(source, tmp_path / "b", threads=4, window=4096).method == "threads"
        assert (tmp_path / "b").read_bytes() == CONTENT

    def test_what_stands_for_a_file_that_does_not_know_its_size(self) -> None:
        """It is read and written as any other, and goes when it is closed. (No file of Windows is of this kind.)"""
        fd = system.scratch()
        system.write_all(fd, b"content", 3)
        buffer = bytearray(20)
        assert system.read_into(fd, memoryview(buffer), 0) == 10
        assert buffer[:10] == b"\0\0\0content"
        os.close(fd)

    @pytest.mark.parametrize(
        "call",
        [
            files.checksum,
            files.windows,
            files.dump,
            lambda path: files.count(path, b"a"),
            lambda path: files.compare(path, path),
            lambda path: files.patch(path, 0, b"a"),
        ],
        ids=["checksum", "windows", "dump", "count", "compare", "patch"],
    )
    def test_missing_files(self, tmp_path: Path, call: Any) -> None:
        """Every function says that a file is not there."""
        with pytest.raises(errors.NotFoundError, match=r"cannot open .*none"):
            list(call(tmp_path / "none"))


class TestPatch:
    def test_undone(self, source: Path) -> None:
        """Bytes are replaced in place, no others, and put back."""
        done = files.patch(source, 5, b"\r\n\n", expect=CONTENT[5:8])
        assert source.read_bytes() == CONTENT[:5] + b"\r\n\n" + CONTENT[8:]
        done.undo()
        assert source.read_bytes() == CONTENT

    def test_refused(self, source: Path) -> None:
        """Bytes that are not as expected, or beyond the end, are not changed."""
        with pytest.raises(files.ChangedError):
            files.patch(source, 0, b"new", expect=b"old")
        with pytest.raises(errors.BadValueError):
            files.patch(source, len(CONTENT), b"x")
        assert source.read_bytes() == CONTENT
