"""The command line on Windows: each command on what is there and on what is not, with the exit status of Linux."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import namedmap
from child import WATCHDOG, Spawn
from namedmap.cli import _app

pytest.importorskip("msvcrt", reason="for Windows Python: tests/windows/python")

COMMAND = [sys.executable, "-W", "error", "-m", "namedmap"]
CONTENT = bytes(range(256)) * 16 + b"a needle in it\r\n"


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The command line takes the signals that end a program; here it is not the program."""
    numbers = [signal.SIGTERM, signal.Signals["SIGBREAK"]]
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


class Calls:
    """Command lines within this process, and what they print."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    def __call__(self, *words: object, status: int = 0) -> str:
        ended = _app.main([str(word) for word in words])
        out, err = self._captured.readouterr()
        assert ended == status, (ended, out, err)
        assert not err or err.startswith("namedmap: ")
        return out or err

    def json(self, *words: object, status: int = 0) -> Any:
        return json.loads(self(*words, "--json", status=status))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Calls:
    return Calls(capsys)


def run(*words: object, status: int = 0, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A command line as a process of its own, in pipes."""
    command = [*COMMAND, *map(str, words)]
    ran = subprocess.run(command, input=given, capture_output=True, timeout=WATCHDOG, check=False)
    assert ran.returncode == status, (ran.returncode, ran.stdout, ran.stderr)
    return ran


class Told:
    """Command lines in processes that give themselves a signal when they are told to, as a console does."""

    _CODE = """
import signal, sys, threading, namedmap
from namedmap.cli import main
tell, heard = namedmap.Event.open("cli-tell"), namedmap.Event.open("cli-heard")
def listen():
    tell.wait()
    signal.raise_signal(signal.Signals[sys.argv[1]])
    heard.set()
threading.Thread(target=listen, daemon=True).start()
main(sys.argv[2:])
"""

    def __init__(self, tell: namedmap.Event, heard: namedmap.Event) -> None:
        self._tell, self._heard = tell, heard

    @contextlib.contextmanager
    def __call__(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", self._CODE, *words], stdin=pipe, stdout=pipe) as ran:
            try:
                yield ran
            finally:
                ran.kill()

    def tell(self) -> None:
        self._tell.set()

    def heard(self) -> bool:
        """Whether the signal has been given."""
        return self._heard.wait(WATCHDOG)


@pytest.fixture
def told() -> Iterator[Told]:
    with (
        contextlib.closing(namedmap.Event.create("cli-tell")) as tell,
        contextlib.closing(namedmap.Event.create("cli-heard")) as heard,
    ):
        yield Told(tell, heard)


class TestFiles:
    def test_copy(self, call: Calls, file: Path, tmp_path: Path) -> None:
        """To a file and into a directory."""
        (tmp_path / "into").mkdir()
        assert call.json("copy", file, tmp_path / "into", "--atomic")["size"] == len(CONTENT)
        assert call("copy", file, tmp_path / "b", "--quiet", "--verify", "sha256") == ""
        assert (tmp_path / "into" / "file").read_bytes() == (tmp_path / "b").read_bytes() == CONTENT

    def test_search(self, call: Calls, file: Path) -> None:
        """Where it is; status 1 without a match."""
        assert call("search", file, "needle") == "       4,098  needle\n"
        assert call("search", file, "--hex", "0d 0a", "--count") == "1\n"
        assert call("search", file, "none", status=1) == ""

    def test_checksum(self, call: Calls, file: Path, tmp_path: Path) -> None:
        """A list of sums can be checked, also when an editor has given it lines of Windows."""
        sums = run("checksum", file).stdout
        for lines in (sums, sums.replace(b"\n", b"\r\n")):
            (tmp_path / "sums").write_bytes(lines)
            assert call("checksum", "--check", tmp_path / "sums") == f"{file}: ok\n"
        file.write_bytes(b"another")
        assert call("checksum", "--check", tmp_path / "sums", status=1) == f"{file}: differs\n"

    def test_compare(self, call: Calls, file: Path, tmp_path: Path) -> None:
        """Status 0 for the same, 1 for a difference."""
        (tmp_path / "other").write_bytes(CONTENT[:-1] + b"\r")
        assert call.json("compare", file, file)["equal"]
        assert call.json("compare", file, tmp_path / "other", status=1)["first"] == len(CONTENT) - 1

    def test_dump(self, call: Calls, file: Path) -> None:
        """Of a file, of shared memory, of what is piped in."""
        line = "00000000  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  |................|\n"
        assert call("dump", file, "--size", 16) == line
        with namedmap.create("cli-dump", 4096) as memory, memory.view() as view:
            view[:16] = CONTENT[:16]
            assert call("dump", "cli-dump", "--size", 16) == line
        assert run("dump", "-", given=CONTENT[:16]).stdout.decode().replace("\r\n", "\n") == line

    def test_patch(self, call: Calls, file: Path) -> None:
        """Bytes are changed in place; the command that is printed undoes it."""
        out = call("patch", file, 4098, "NEEDLE", "--expect", "needle")
        assert file.read_bytes() == CONTENT.replace(b"needle", b"NEEDLE")
        undo = out.splitlines()[1].removeprefix("to undo it: namedmap ")
        assert undo.startswith("patch ")
        ran = subprocess.run(f"{subprocess.list2cmdline(COMMAND)} {undo}", timeout=WATCHDOG, capture_output=True)
        assert ran.returncode == 0, ran.stderr
        assert file.read_bytes() == CONTENT

    @pytest.mark.parametrize("command", ["copy", "search", "checksum", "compare", "dump", "patch", "residency"])
    def test_missing_files(self, call: Calls, command: str, file: Path, tmp_path: Path) -> None:
        """Each says that the file is not there, with status 1."""
        more: dict[str, list[object]] = {
            "copy": [tmp_path / "b"],
            "search": ["x"],
            "compare": [file],
            "patch": ["0", "x"],
        }
        text = call(command, tmp_path / "none", *more.get(command, []), status=1)
        assert text.startswith("namedmap: cannot open")
        assert "none'" in text
        assert not (tmp_path / "b").exists()

    def test_residency(self, call: Calls, file: Path) -> None:
        """A fact that Windows does not tell is said not to be had, with status 1."""
        assert "on Windows no process is told" in call("residency", file, status=1)


class TestObjects:
    def test_read_and_write(self, call: Calls) -> None:
        """Text and fields of a structure go into shared memory and out again."""
        with namedmap.create("cli-memory", 4096):
            call("write", "cli-memory", "hello")
            assert call.json("read", "cli-memory")["content"] == "hello"
            call("write", "cli-memory", "--fields", "<If:count,temp", "count=7", "temp=1.5")
            assert call.json("read", "cli-memory", "--fields", "<If:count,temp")["content"] == {"count": 7, "temp": 1.5}

    def test_ls_and_info(self, call: Calls) -> None:
        """Name, kind, state, size and handles are there; what Windows does not tell is left out."""
        with (
            namedmap.create("cli-section", 4096),
            contextlib.closing(namedmap.Semaphore("cli-semaphore", 2, 5)),
            contextlib.closing(namedmap.Mutex("cli-mutex")),
        ):
            found = {each["name"]: each for each in call.json("ls")}
            assert found["cli-section"]["size"] == 4096
            assert found["cli-semaphore"]["state"] == {"value": 2, "maximum": 5}
            assert found["cli-mutex"]["kind"] == "mutex"
            assert {each["handles"] for name, each in found.items() if name.startswith("cli-")} == {1}
            text = call("info", "cli-semaphore")
            assert "2 of 5" in text
            assert "None" not in text + call("ls") + call("info", "cli-section")
        assert not [each for each in call.json("ls") if each["name"].startswith("cli-")]

    def test_wait_and_signal(self, call: Calls) -> None:
        """An event that is set is waited for; status 124 when the time is over."""
        with contextlib.closing(namedmap.Event("cli-event", manual=False)):
            assert call("wait", "cli-event", "--timeout", 0, status=124) == ""
            call("signal", "cli-event")
            assert call.json("wait", "cli-event", "--timeout", WATCHDOG)["taken"] == ["cli-event"]
            assert call("wait", "cli-event", "--timeout", 0, status=124) == ""

    @pytest.mark.parametrize("words", ["read", "write", "info", "wait", "signal", "watch"])
    def test_missing_objects(self, call: Calls, words: str) -> None:
        """Each says that there is none of this name, with status 1."""
        text = call(words, "cli-none", *(["x"] if words == "write" else []), status=1)
        assert text.startswith("namedmap: ")
        assert "'cli-none'" in text

    def test_watch(self, call: Calls) -> None:
        """The present state is shown, and a change of it."""
        with contextlib.closing(namedmap.Event("cli-watched")):
            found = json.loads(call("watch", "cli-watched", "--json", "--count", 1))
            assert found["content"]["state"] == "not set"

    def test_gc_and_doctor(self, call: Calls) -> None:
        """Nothing is left behind on Windows; doctor says what keeps the objects; no core is compiled for it."""
        assert not namedmap.native
        assert call.json("gc") == []
        assert {each["level"] for each in call.json("doctor")} <= {"ok", "note"}
        assert run("doctor").stdout.startswith(b"ok       Windows ")

    def test_wrong_words(self, call: Calls) -> None:
        """Status 2."""
        for words in (["none"], ["ls", "--none"], ["create", "x", "--kind", "mutex", "--size", "4"], ["lock", "x"]):
            assert call(*words, status=2).startswith("namedmap: ")


class TestPrograms:
    @pytest.mark.parametrize(("code", "status"), [("0", 0), ("7", 7), ("0xC000013A - 2**32", 0xC000013A)])
    def test_status(self, code: str, status: int) -> None:
        """lock ends with the status of its command, whatever 32 bits it has."""
        run("lock", "cli-lock", "--", sys.executable, "-c", f"import os; os._exit({code})", status=status)

    def test_what_cannot_be_run(self, tmp_path: Path) -> None:
        """Status 127 for a command that is not there, 126 for one that is no program."""
        (tmp_path / "text").write_text("no program")
        assert b"cannot run 'none.exe'" in run("lock", "cli-lock", "--", "none.exe", status=127).stderr
        assert b"cannot run " in run("create", "cli-made", "--", tmp_path / "text", status=126).stderr

    def test_the_object_is_held_meanwhile(self) -> None:
        """The command that create runs finds the memory, its words and its input; afterwards there is none."""
        code = (
            "import namedmap, sys\n"
            "print(namedmap.open('cli-held', 'read').view().read(0, 5), sys.argv[1:], sys.stdin.read())"
        )
        ran = run(
            "create", "cli-held", "hello", "--", sys.executable, "-W", "ignore", "-c", code, "a b", 'c"d', given=b"in"
        )
        assert ran.stdout.decode().strip() == "b'hello' ['a b', 'c\"d'] in"
        with pytest.raises(namedmap.NotFoundError):
            namedmap.open("cli-held")

    def test_hold(self) -> None:
        """create holds the object until its process ends."""
        command = [*COMMAND, "create", "cli-holder", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as holder:
            assert holder.stdout is not None
            try:
                assert json.loads(holder.stdout.readline())["name"] == "cli-holder"
                namedmap.open("cli-holder").close()
            finally:
                holder.kill()
        with pytest.raises(namedmap.NotFoundError):
            namedmap.open("cli-holder")

    def test_a_mutex_whose_holder_was_killed(self, spawn: Spawn) -> None:
        """lock takes it, and says that it was abandoned."""
        script = "import sys, namedmap; m = namedmap.Mutex('cli-abandoned'); m.acquire(); print(1, flush=True); input()"
        with contextlib.closing(namedmap.Mutex.create("cli-abandoned")):
            child = spawn(script, prologue="")
            assert child.line() == "1\r"
            child.kill()
            ran = run("lock", "cli-abandoned", "--timeout", WATCHDOG, "--", sys.executable, "-c", "")
            assert b"abandoned" in ran.stderr

    @pytest.mark.parametrize(("number", "status"), [("SIGINT", 130), ("SIGBREAK", 128 + 21)])
    def test_a_holder_that_is_told_to_end(self, told: Told, number: str, status: int) -> None:
        """Ctrl-C and Ctrl-Break end create, which lets the object go."""
        with told(number, "create", "cli-told", "--json") as ran:
            assert ran.stdout is not None
            assert json.loads(ran.stdout.readline())["name"] == "cli-told"
            told.tell()
            assert ran.wait(WATCHDOG) == status
        with pytest.raises(namedmap.NotFoundError):
            namedmap.open("cli-told")

    @pytest.mark.parametrize("number", ["SIGINT", "SIGBREAK"])
    def test_a_command_that_is_told_to_end(self, told: Told, number: str) -> None:
        """lock leaves the answer to Ctrl-C and Ctrl-Break to its command, whose status it ends with."""
        code = "import sys; print('up', flush=True); sys.stdin.readline(); sys.exit(5)"
        with told(number, "lock", "cli-told", "--", sys.executable, "-c", code) as ran:
            assert ran.stdout is not None
            assert ran.stdout.readline() == b"up\r\n"
            told.tell()
            assert told.heard()
            with contextlib.closing(namedmap.Mutex("cli-told")) as mutex:
                assert not mutex.acquire(0)
            ran.communicate(b"end\n", WATCHDOG)
            assert ran.returncode == 5

    def test_run(self, tmp_path: Path) -> None:
        """run runs a program, with its words and its status."""
        (tmp_path / "program.py").write_text("import sys; print(sys.argv[1:]); sys.exit(5)", encoding="utf-8")
        assert run("run", tmp_path / "program.py", "x", status=5).stdout.split() == [b"['x']"]

    def test_the_reader_of_the_output_goes(self, file: Path) -> None:
        """Status 141, and no traceback."""
        file.write_bytes(os.urandom(1 << 20))
        with subprocess.Popen([*COMMAND, "dump", file], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stderr is not None
            writer.stdout.readline()
            writer.stdout.close()
            assert writer.stderr.read() == b""
            assert writer.wait(WATCHDOG) == 141
