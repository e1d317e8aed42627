"""The examples, the demo and README's sessions, run as a visitor runs them."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
WATCHDOG = 120


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        check=False,
    )


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return python(EXAMPLES / program, *arguments)


@contextmanager
def started(program: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A program that goes on, and the first line that it printed."""
    # No `-W error`: a signal between open() and its `with` leaves the file to the collector, which would warn of it.
    with subprocess.Popen(
        [sys.executable, EXAMPLES / program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


@contextmanager
def holding(program: str, *arguments: str) -> Iterator[str]:
    """A writer that holds what it made; gives its first line, and its Enter at the end."""
    with started(program, *arguments) as (process, line):
        yield line
        assert process.communicate("\n", timeout=WATCHDOG) == ("", "")
        assert process.returncode == 0


# That each of them leaves nothing behind, no object, process or file, is asserted for every test by conftest.py.

# dump.py


def test_dump_prints_the_first_sixteen_bytes() -> None:
    done = run("dump.py")
    assert (done.stdout, done.stderr) == (Path(sys.executable).read_bytes()[:16].hex(" ") + "\n", "")


def test_dump_of_a_shorter_file_prints_what_there_is(tmp_path: Path) -> None:
    short = tmp_path / "short file"
    short.write_bytes(b"abc")
    done = run("dump.py", short)
    assert (done.stdout, done.stderr, done.returncode) == ("61 62 63\n", "", 0)


def test_dump_of_an_empty_file_says_which_call_failed(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    done = run("dump.py", empty)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("CreateFileMapping failed with 1006: ")


def test_dump_of_a_missing_file_says_which_call_failed(tmp_path: Path) -> None:
    done = run("dump.py", tmp_path / "missing")
    assert done.returncode == 1
    assert done.stderr.startswith("CreateFile failed with 2: ")


# common_data_writer.py, common_data_reader.py


def test_the_reader_finds_the_common_data_while_it_is_held() -> None:
    with holding("common_data_writer.py") as line:
        assert line == "ShareMemory is filled; press Enter to close it\n"
        for _ in range(2):
            done = run("common_data_reader.py")
            assert (done.stdout, done.stderr, done.returncode) == ("This is common data!\n", "", 0)
    done = run("common_data_reader.py")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.startswith("OpenFileMapping failed with 2: ")


def test_a_second_writer_gives_way() -> None:
    with holding("common_data_writer.py"):
        done = run("common_data_writer.py")
        assert (done.stdout, done.returncode) == ("", 1)
        assert done.stderr == "ShareMemory exists already: another writer is running\n"


def test_ctrl_c_ends_the_writer_as_enter_does() -> None:
    with started("common_data_writer.py") as (writer, _):
        writer.send_signal(signal.SIGINT)
        assert writer.communicate(timeout=WATCHDOG) == ("", "")
        assert writer.returncode == 0


# header_writer.py, header_reader.py


def test_the_block_tells_its_size_and_name() -> None:
    with holding("header_writer.py", "Some block", "grüße") as line:
        assert line == "Some block is filled, 71 bytes; press Enter to close it\n"
        done = run("header_reader.py", "Some block")
        assert (done.stdout, done.stderr, done.returncode) == ("name  Some block\nsize  71 bytes\ndata  grüße\n", "", 0)
    assert run("header_reader.py", "Some block").returncode == 1


def test_what_is_not_a_block_is_refused() -> None:
    with holding("common_data_writer.py"):
        done = run("header_reader.py", "ShareMemory")
        claim = int.from_bytes(b"This", "little")
        assert (done.stdout, done.returncode) == ("", 1)
        assert done.stderr == f"not a block: it claims {claim} bytes, 4096 are mapped\n"


def test_a_name_that_the_header_cannot_hold_is_refused() -> None:
    done = run("header_writer.py", "N" * 60)
    assert (done.stdout, done.stderr, done.returncode) == ("", "the header has room for a name of 59 bytes\n", 1)


# copy_file.py


@pytest.mark.parametrize("through", [[], ["--write-through"]], ids=["plain", "write-through"])
def test_copy_of_several_windows_is_identical(through: list[str]) -> None:
    done = run("copy_file.py", "--size", "5", "--window", "2", *through)
    assert (done.stderr, done.returncode) == ("", 0)
    what, mapped, cp, copyfile, contents = done.stdout.splitlines()
    assert what.endswith(", repeated: 5 MiB in windows of 2 MiB")
    assert mapped.startswith("mapped windows ")
    suffix = " + fsync " if through else " "
    assert cp.startswith("cp" + suffix)
    assert copyfile.startswith("shutil.copyfile" + suffix)
    assert contents.startswith("contents identical, sha256 ")


def test_copy_takes_a_file_of_any_length(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom((3 << 20) + 12345))
    done = run("copy_file.py", source, "--window", "1")
    assert (done.stderr, done.returncode) == ("", 0)
    assert "contents identical" in done.stdout


def test_copy_without_enough_room_says_so() -> None:
    done = run("copy_file.py", "--size", str(1 << 30))
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.startswith(f"not enough disk space: {1 << 31} MiB are needed in {tempfile.gettempdir()}, ")


def test_copy_of_a_missing_file_says_so(tmp_path: Path) -> None:
    done = run("copy_file.py", tmp_path / "missing")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.startswith("copy_file: [Errno 2]")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_copy_removes_its_files(number: signal.Signals, status: int) -> None:
    # Its first line says that the source is made; hashing and copying follow.
    with started("copy_file.py", "--size", "256", "--window", "1") as (copy, _):
        copy.send_signal(number)
        _, errors = copy.communicate(timeout=WATCHDOG)
    assert copy.returncode == status
    assert "Traceback" not in errors


# bounded_buffer.py


@pytest.mark.parametrize("items", [0, 1, 200])
def test_the_buffer_passes_every_item_on(items: int) -> None:
    done = run("bounded_buffer.py", str(items))
    expected = f"{2 * items} of {2 * items} items came through 8 slots; their sum is {items * (items + 1)}\n"
    assert (done.stdout, done.stderr, done.returncode) == (expected, "", 0)


def test_the_buffer_says_when_its_name_is_taken() -> None:
    with holding("header_writer.py", "Ring.mutex"):
        done = run("bounded_buffer.py")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.startswith("Opening the ring failed with 6: ")


# guarded_block.py


def test_the_accounts_survive_a_killed_process() -> None:
    done = run("guarded_block.py")
    assert (done.stderr, done.returncode) == ("", 0)
    told, summary = done.stdout.splitlines()
    assert told == "a process died in a transfer: 10 were on their way"
    assert summary.endswith(" = 1000")


# async_tasks.py


@pytest.mark.parametrize("tasks", [2, 20])
def test_tasks_take_turns(tasks: int) -> None:
    done = run("async_tasks.py", str(tasks))
    assert (done.stderr, done.returncode) == ("", 0)
    *lines, summary = done.stdout.splitlines()
    # No thread more than the notifier; and not even that where nobody had to wait.
    assert [re.sub("[12] threads", "n threads", line) for line in lines] == [
        f"{tasks} tasks took their turns, in n threads"
    ] * 2
    assert summary == f"{2 * tasks} of {2 * tasks} turns were counted"


# The demo, and README's sessions


def test_the_demo_holds() -> None:
    done = run("demo.py", "--size", "3")
    assert (done.stderr, done.returncode) == ("", 0), done.stdout
    assert "FAILED" not in done.stdout
    assert done.stdout.splitlines()[-2].startswith("  All 15 checks hold (")


def test_the_demo_reports_a_check_that_fails() -> None:
    # One of its steps: that all of them are taken, the test above sees.
    others = "dump", "common_data", "copy", "bounded_buffer", "guarded_block", "async_tasks"
    program = f"""if True:
        import sys
        sys.path.insert(0, {str(EXAMPLES)!r})
        import demo
        for step in {others}: setattr(demo, step, lambda *_: None)
        sys.exit(demo.main())
        """
    with holding("header_writer.py", "Block", "somebody else's"):
        done = python("-c", program)
    assert done.returncode == 1
    assert "FAILED name, size and text came through" in done.stdout
    assert done.stdout.splitlines()[-2].startswith("  2 of 2 checks FAILED")


def test_the_sessions_in_the_readme_are_true() -> None:
    done = python("-m", "doctest", ROOT / "README.md")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
