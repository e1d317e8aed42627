"""The command line among closed streams, odd names, and lists that are not what they should be."""

import hashlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cli_support import COMMAND, call, environment
from support import WATCHDOG

ODD = ["with\nnewline", "with\rreturn", "back\\slash", "\\n", "-dash", " space ", os.fsdecode(b"\xff\xfe"), "übergröße"]


def started(*words: str, out: int | None = None, err: int | None = None) -> int:
    """The status of a command whose streams are given by descriptors."""
    return subprocess.call([*COMMAND, *words], stdout=out, stderr=err, env=environment(), timeout=WATCHDOG)


class TestSums:
    @pytest.mark.parametrize("name", ODD)
    def test_lists_are_those_of_sha256sum_whatever_the_name(self, directory: Path, name: str) -> None:
        """Either program reads the list of the other, also with names that are no text."""
        (directory / name).write_bytes(b"content")
        ours = call("checksum", "--", name).out
        theirs = subprocess.run(["sha256sum", "--", name], capture_output=True, check=True).stdout
        assert ours == theirs
        (directory / "SUMS").write_bytes(ours)
        assert subprocess.run(["sha256sum", "--check", "--status", "SUMS"], check=False).returncode == 0
        assert call("checksum", "--check", "SUMS", "--json").json() == [{"path": name, "result": "ok"}]
        (directory / name).write_bytes(b"other content")
        assert call("checksum", "--check", "SUMS", "--json", status=1).json() == [{"path": name, "result": "differs"}]

    def test_lines_that_are_no_sums_are_told(self, directory: Path) -> None:
        """A damaged line of a list is not passed over in silence; comments and empty lines are."""
        (directory / "a").write_bytes(b"a")
        digest = hashlib.sha256(b"a").hexdigest()
        (directory / "SUMS").write_text(
            f"# comment\n\n{digest}  a\n{digest} a\nSHA256 (a) = {digest}\n", encoding="utf-8"
        )
        done = call("checksum", "--check", "SUMS")
        assert done.lines == ["a: ok"]
        assert "2 lines" in done.complaint

    def test_one_file_that_cannot_be_read_does_not_hide_the_others(self, directory: Path) -> None:
        """The rest is summed, a line tells of the one, and the status is 1."""
        for name in "ac":
            (directory / name).write_bytes(name.encode())
        done = call("checksum", "a", "b", "c", status=1)
        assert [line.split()[1] for line in done.lines] == ["a", "c"]
        assert "'b'" in done.complaint
        found = call("checksum", "a", "b", "c", "--json", status=1).json()
        assert ["digest" in each for each in found] == [True, False, True]
        assert "'b'" in found[1]["error"]


class TestStreams:
    @pytest.mark.parametrize(
        "words", ["dump -", "checksum -", "checksum --check -", "patch file 0 -", "create memory -"], ids=str
    )
    def test_stdin_can_be_closed(self, directory: Path, words: str) -> None:
        """One line says so."""
        (directory / "file").write_bytes(b"x")
        command = f"exec {shlex.join([*COMMAND, *words.split()])} <&-"
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, env=environment(), timeout=WATCHDOG, check=False
        )
        assert done.returncode == 1
        assert done.stderr == b"namedmap: stdin is closed: nothing can be read from it\n"

    @pytest.mark.parametrize("words", ["--version", "dump --help", "doctor"], ids=str)
    def test_the_reader_has_gone(self, words: str) -> None:
        """The status is 141, also while nothing but the help is written."""
        reader, writer = os.pipe()
        os.close(reader)
        try:
            assert started(*words.split(), out=writer) == 141
        finally:
            os.close(writer)

    @pytest.mark.parametrize(("words", "status"), [("nonsense", 2), ("dump no/file", 1)], ids=str)
    def test_nobody_reads_the_errors(self, words: str, status: int) -> None:
        """The exit status is what it is with a reader, with stderr broken, full or closed."""
        reader, writer = os.pipe()
        os.close(reader)
        full = os.open("/dev/full", os.O_WRONLY)
        try:
            assert started(*words.split(), err=writer) == status
            assert started(*words.split(), err=full) == status
        finally:
            os.close(writer)
            os.close(full)
        command = f"exec {shlex.join([*COMMAND, *words.split()])} >&- 2>&-"
        assert subprocess.run(["sh", "-c", command], env=environment(), check=False).returncode == status


class TestNames:
    @pytest.mark.parametrize("words", ["lock", "create", "read", "write", "watch", "info", "signal"], ids=str)
    def test_an_empty_name_is_refused(self, words: str) -> None:
        """A script whose variable is not set must not run without its mutex."""
        program = ["--", sys.executable, "-c", "print('ran')"] if words in ("lock", "create") else []
        done = call(words, "", *program, status=2)
        assert "the name is empty" in done.complaint
        assert done.out == b""

    def test_a_patch_is_undone_by_its_line_whatever_the_name(self, directory: Path) -> None:
        """Also a name that looks like an option."""
        (directory / "-x").write_bytes(b"before")
        undo = call("patch", "--", "-x", "0", "after!").lines[1].partition(": ")[2]
        assert (directory / "-x").read_bytes() == b"after!"
        call(*shlex.split(undo)[1:])
        assert (directory / "-x").read_bytes() == b"before"
