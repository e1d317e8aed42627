"""The command line among closed streams, odd names, and lists that are not what they should be."""

import hashlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

import namedmap
from child import WATCHDOG, Spawn
from child.command import COMMAND, call, environment
from namedmap import inspection

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


class TestTerminals:
    def screen(self, columns: int, *words: str, **more: str) -> str:
        """The output of a command on a terminal of so many columns."""
        variables = environment(**more)
        del variables["COLUMNS"]
        child = pexpect.spawn(
            COMMAND[0], [*COMMAND[1:], *words], env=variables, timeout=WATCHDOG, dimensions=(24, columns)
        )
        try:
            child.expect(pexpect.EOF)
            return bytes(child.before).decode()
        finally:
            child.close(force=True)

    @pytest.mark.parametrize("columns", [20, 80])
    def test_nothing_is_cut_out_of_a_table(self, columns: int) -> None:
        """Where a terminal has no room for a table, its lines go on in the next one."""
        name = "a-rather-long-name-of-an-object-indeed"
        with namedmap.create(name, 5000):
            text = self.screen(columns, "ls")
        for word in (name, "section", "live", "4.9 KiB", "HOLDERS", f"{os.getpid()} ("):
            assert word in text

    def test_no_color(self) -> None:
        """NO_COLOR is obeyed; without it there are colours."""
        assert "\x1b" in self.screen(80, "doctor")
        assert "\x1b" not in self.screen(80, "doctor", NO_COLOR="1")

    def test_pictures_of_very_many_runs(self) -> None:
        """The shares of a picture are right however scattered the pages are, and soon there."""
        runs = tuple((index * 8192, 4096) for index in range(200_000))
        found = inspection.Residency("x", 200_000 * 8192, 4096, 400_000, 200_000, None, None, runs)
        cells = found.cells(64 * 256)
        assert sum(cells) / len(cells) == pytest.approx(0.5)
        assert found.cells(200_000) == [0.5] * 200_000
        assert found.cells(1) == [0.5]


class TestOthers:
    def test_pages_of_what_may_not_be_read(self, spawn: Spawn, second_user: int) -> None:
        """Of another user's memory it is said that it is that user's, not that it is no memory."""
        with namedmap.create("Global\\mine", 4096):
            child = spawn()
            child.run(f"""
                from namedmap import inspection
                os.setgroups([]); os.setgid({second_user}); os.setuid({second_user})
                try:
                    inspection.residency("Global\\\\mine")
                except namedmap.AccessDeniedError as error:
                    said = str(error)
            """)
            assert "it is user 0's" in child.value("said")


class TestCompletion:
    @pytest.mark.parametrize("words", ["dump", "residency", "checksum"], ids=str)
    def test_of_paths(self, words: str) -> None:
        """Where the path of a file can stand, the shell completes paths; where a name can, names as well."""
        variables = environment(_NAMEDMAP_COMPLETE="bash_complete", COMP_WORDS=f"namedmap {words} t", COMP_CWORD="2")
        with namedmap.create("telemetry", 10):
            found = subprocess.run(COMMAND, env=variables, capture_output=True, timeout=WATCHDOG, check=False).stdout
        assert b"file,t\n" in found
        assert (b"plain,telemetry\n" in found) == (words != "checksum")
