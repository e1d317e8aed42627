"""The commands for files: what they print, how they end, what they leave."""

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

import namedmap
from child import WATCHDOG, eventually
from child.command import COMMAND, background, call, ended, environment, run, terminal

pytest.importorskip("namedmap.files", reason="the commands stand on it")

DATA = bytes(range(256)) * 40


@pytest.fixture
def file(directory: Path) -> Path:
    """A file of 10,240 bytes in the directory that the test works in."""
    path = directory / "file"
    path.write_bytes(DATA)
    return path


class TestCopy:
    def test_to_a_file_and_into_a_directory(self, file: Path, directory: Path) -> None:
        """A copy is whole; a directory as target takes the name; nothing is said in a pipe."""
        assert run("copy", "file", "copy").out == b""
        (directory / "in").mkdir()
        call("copy", "file", "in", "--atomic", "--preserve", "--verify", "sha256")
        assert (directory / "copy").read_bytes() == (directory / "in" / "file").read_bytes() == DATA

    def test_as_json(self, file: Path) -> None:
        """--json tells how it was done."""
        found = call("copy", "file", "copy", "--verify", "sha256", "--json").json()
        assert {"source", "target", "size", "written", "holes", "method", "digest", "seconds"} <= set(found)
        assert (found["size"], found["digest"]) == (len(DATA), hashlib.sha256(DATA).hexdigest())

    def test_on_a_terminal(self, file: Path) -> None:
        """On a terminal a line tells size, time and rate; --quiet does not."""
        with terminal("copy", "file", "copy") as child:
            status, text = ended(child)
        assert (status, "10.0 KiB in " in text) == (0, True)
        with terminal("copy", "file", "copy", "--quiet") as child:
            assert ended(child) == (0, "")

    @pytest.mark.parametrize(
        ("words", "text"),
        [("nothing copy", "nothing"), ("file file", "same file"), ("file nowhere/copy", "nowhere"),
         ("/dev copy", "/dev"), ("file copy --verify nonsense", "nonsense")],
    )  # fmt: skip
    def test_what_cannot_be_copied(self, file: Path, directory: Path, words: str, text: str) -> None:
        """A source that cannot be copied is one line, and leaves nothing."""
        assert text in call("copy", *words.split(), status=1).complaint
        assert [each.name for each in directory.iterdir()] == ["file"]

    def test_interrupted(self, directory: Path) -> None:
        """Ctrl-C ends a copy with status 130 and leaves no half copy; a bar has shown how far it was."""
        with open(directory / "big", "wb") as big:
            big.writelines([os.urandom(1 << 20)] * 512)
        with terminal("copy", "big", "copy", "--no-reflink", "--threads", "1") as child:
            child.expect("big")
            child.sendintr()
            status, text = ended(child)
        names = {each.name for each in directory.iterdir()}
        # A fast machine may have been done by then.
        assert (status, names) in [(130, {"big"}), (0, {"big", "copy"})]
        assert "Traceback" not in text


class TestDump:
    def test_of_a_file(self, file: Path) -> None:
        """Lines are those of the library; a range has its offsets."""
        assert call("dump", "file", "--offset", "0x10", "--size", "20").lines == [
            "00000010  10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f  |................|",
            '00000020  20 21 22 23                                      | !"#|',
        ]

    def test_repeated_lines_are_folded(self, directory: Path) -> None:
        """Lines that repeat the one before are one *, unless all are asked for; the last one is shown."""
        (directory / "zeros").write_bytes(bytes(160))
        lines = call("dump", "zeros").lines
        assert [line.split()[0] for line in lines] == ["00000000", "*", "00000090"]
        assert len(call("dump", "zeros", "--every").lines) == 10

    def test_of_an_object_and_of_stdin(self) -> None:
        """Shared memory is dumped by its name, stdin by -; what is neither is said to be neither."""
        with namedmap.create("memory", 5) as mapping, mapping.view() as view:
            view[:] = b"hello"
            by_name = call("dump", "memory").text
        assert by_name.endswith("|hello|\n")
        assert run("dump", "-", given=b"hello").text == by_name
        assert run("dump", "-", "--offset", "1", "--size", "2", given=b"hello").text.endswith("|el|\n")
        assert "neither a file nor an object" in call("dump", "memory", status=1).complaint

    def test_as_json(self, file: Path) -> None:
        """--json is an object a line."""
        lines = [json.loads(line) for line in call("dump", "file", "--size", "32", "--json").lines]
        assert lines[1] == {"offset": 16, "hex": DATA[16:32].hex(), "text": "................"}

    def test_a_reader_that_goes(self, directory: Path) -> None:
        """As with `head`: it ends quietly, with status 141."""
        (directory / "random").write_bytes(os.urandom(1 << 20))
        process = subprocess.Popen(
            [*COMMAND, "dump", "random"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"00000000  ")
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(WATCHDOG) == 141


class TestSearch:
    def test_text_bytes_and_expressions(self, directory: Path) -> None:
        """Offsets and matches are printed; status 1 says that there is none."""
        (directory / "log").write_bytes(b"first error 17, then ERROR 18\0\x1b[31m")
        assert call("search", "log", "error").lines == ["           6  error"]
        assert call("search", "log", "-e", r"error \d+", "-i").lines == [
            "           6  error 17",
            "          21  ERROR 18",
        ]
        assert call("search", "log", "--hex", "001b", "--context", "2").lines == [r"          29  18\x00\x1b[3"]
        assert call("search", "log", "nothing", status=1).out == b""
        assert call("search", "log", "error", "-i", "--count").lines == ["2"]
        assert call("search", "log", "error", "-i", "-n", "1", "--count", "--json").json() == {
            "path": "log",
            "count": 1,
            "complete": True,
        }

    def test_as_json(self, directory: Path) -> None:
        """--json is an object a line, with bytes as hex digits."""
        (directory / "log").write_bytes(b"abcabc")
        lines = [json.loads(line) for line in call("search", "log", "b", "--context", "1", "--json").lines]
        assert lines == [
            {"offset": at, "size": 1, "bytes": "62", "before": "61", "after": "63"} for at in (1, 4)
        ]  # fmt: skip

    def test_bad_patterns(self, file: Path) -> None:
        """No pattern, two of them, or none that can be compiled, are one line and status 2."""
        assert "one of them" in call("search", "file", status=2).complaint
        assert "one of them" in call("search", "file", "a", "--regex", "b", status=2).complaint
        assert "no regular expression" in call("search", "file", "-e", "(", status=2).complaint


class TestChecksum:
    def test_as_sha256sum(self, file: Path) -> None:
        """The sums are those of sha256sum, which can check them, and are checked here; - is stdin."""
        done = run("checksum", "file", "-", given=b"abc")
        sums = [hashlib.sha256(each).hexdigest() for each in (DATA, b"abc")]
        assert done.lines == [f"{sums[0]}  file", f"{sums[1]}  -"]
        Path("SUMS").write_text(done.lines[0] + "\n")
        assert subprocess.run(["sha256sum", "--check", "--quiet", "SUMS"], check=False).returncode == 0
        assert call("checksum", "--check", "SUMS").lines == ["file: ok"]
        file.write_bytes(b"changed")
        assert call("checksum", "--check", "SUMS", status=1).lines == ["file: differs"]
        file.unlink()
        assert "file: " in call("checksum", "--check", "SUMS", status=1).lines[0]

    def test_as_json(self, file: Path) -> None:
        """--json has a record for each file; a range has a sum of its own."""
        [found] = call("checksum", "file", "-a", "blake2b", "--offset", "10", "--size", "20", "--json").json()
        assert found == {
            "path": "file", "algorithm": "blake2b", "digest": hashlib.blake2b(DATA[10:30]).hexdigest(), "size": 20,
        }  # fmt: skip

    def test_algorithms_that_are_not(self, file: Path) -> None:
        """An unknown hash is told by its name."""
        assert "nonsense" in call("checksum", "file", "-a", "nonsense", status=1).complaint
        assert "nonsense" in call("checksum", "-", "-a", "nonsense", status=1).complaint


class TestCompare:
    def test_where_files_differ(self, file: Path, directory: Path) -> None:
        """Status 0 for equal files, 1 for others; each range that differs is listed."""
        other = bytearray(DATA)
        other[100:103] = b"xyz"
        (directory / "other").write_bytes(other + b"more")
        assert call("compare", "file", "file").lines == ["equal, 10.0 KiB"]
        lines = call("compare", "file", "other", status=1).lines
        assert lines[0] == "they differ from byte 100 on; they have 10,240 and 10,244 bytes"
        assert [line.split() for line in lines[1:]] == [["OFFSET", "SIZE"], ["100", "3"], ["10,240", "4"]]
        assert call("compare", "file", "other", "-q", status=1).out == b""
        assert len(call("compare", "file", "other", "--first", status=1).lines) == 1
        found = call("compare", "file", "other", "--json", status=1).json()
        assert (found["equal"], found["first"]) == (False, 100)
        assert found["ranges"] == [{"offset": 100, "size": 3}, {"offset": 10_240, "size": 4}]


class TestPatch:
    def test_can_be_undone(self, file: Path) -> None:
        """It says what was there, and the command line that puts it back."""
        lines = call("patch", "file", "0x10", "new").lines
        assert file.read_bytes()[16:19] == b"new"
        assert lines[0] == "3 bytes at 16 were 10 11 12, are 6e 65 77"
        words = lines[1].removeprefix("to undo it: namedmap ").split()
        call(*words)
        assert file.read_bytes() == DATA

    def test_expected_bytes(self, file: Path) -> None:
        """Bytes that are not as expected are left alone."""
        call("patch", "file", "0", "--hex", "ff fe", "--expect-hex", "0102", status=1)
        assert file.read_bytes() == DATA
        found = run("patch", "file", "0", "-", "--expect-hex", "00 01", "--json", given=b"AB").json()
        assert (found["before"], found["after"]) == ("0001", "4142")
        assert "one of them" in call("patch", "file", "0", status=2).complaint


class TestBigFiles:
    def test_sparse(self, directory: Path) -> None:
        """8 TiB of holes are copied, searched and compared as holes: as bytes they would take hours."""
        with open(directory / "sparse", "wb") as file:
            os.truncate(file.fileno(), 8 << 40)
            os.pwrite(file.fileno(), b"needle", 5 << 40)
        call("copy", "sparse", "copy")
        assert call("search", "copy", "needle").lines == [f"{5 << 40:>12,}  needle"]
        assert call("compare", "sparse", "copy").lines == ["equal, 8.0 TiB"]

    def test_terminated(self, directory: Path) -> None:
        """A copy that is ended by SIGTERM leaves no half copy."""
        with open(directory / "big", "wb") as big:
            big.writelines([os.urandom(1 << 20)] * 256)
        with background("copy", "big", "copy", "--no-reflink", "--threads", "1") as process:
            eventually(lambda: (directory / "copy").exists() or process.poll() is not None, "the beginning of a copy")
            process.send_signal(signal.SIGTERM)
            status = process.wait(WATCHDOG)
        names = {each.name for each in directory.iterdir()}
        assert (status, names) in [(143, {"big"}), (0, {"big", "copy"})]
