"""The recorded behaviour holds, and the replayer would notice if it did not."""

import ctypes
import json
import mmap
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import language
import memory
import pytest
import scoring

HERE = Path(__file__).parent
TOTALS = re.compile(r"hard (\d+)/(\d+) soft (\d+)/(\d+) cases (\d+)/(\d+)")

#: A script of setup, a query, a change and another change, with right results.
SCRIPT = {
    "event e 0 0 -": "OK e=0",
    "gethi e": "OK e=- flags=0",
    "sethi e HANDLE_FLAG_INHERIT HANDLE_FLAG_INHERIT": "OK e=-",
    "close e": "OK e=-",
}


@dataclass
class Replay:
    """Runs the replayer as a user does, on scripts written for one test."""

    directory: Path

    def __call__(self, *cases: dict[str, Any], options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        file = self.directory / "cases.jsonl"
        file.write_text("".join(json.dumps(case) + "\n" for case in cases))
        return replay(str(file), "--waivers", str(self.waivers()), *options, home=self.directory)

    def waivers(self, *lines: str) -> Path:
        path = self.directory / "waivers.txt"
        if lines or not path.exists():
            path.write_text("".join(line + "\n" for line in lines))
        return path


def replay(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    temporary = home / "tmp"
    temporary.mkdir()
    # Reserved pages fault in tmpfs only, and the test's own directory may be elsewhere.
    with tempfile.TemporaryDirectory(prefix="namedmap-test-", dir="/dev/shm") as root:
        result = subprocess.run(
            [sys.executable, str(HERE / "replay.py"), *arguments],
            capture_output=True,
            text=True,
            timeout=1200,
            env=os.environ | {"NAMEDMAP_ROOT": root, "TMPDIR": str(temporary)},
        )
        assert [*Path(root).iterdir(), *temporary.iterdir()] == []
    return result


@pytest.fixture
def run(tmp_path: Path) -> Replay:
    return Replay(tmp_path)


def case(*, script: dict[str, str] | None = None, name: str = "X", **more: Any) -> dict[str, Any]:
    lines = SCRIPT if script is None else script
    return {"id": name, "script": list(lines), "expect": list(lines.values()), **more}


def last(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout.splitlines()[-1]


@pytest.mark.parametrize("name", ["cases.jsonl", "cases_multiproc.jsonl", "traces.jsonl"])
def test_recorded_results_hold(name: str, tmp_path: Path) -> None:
    result = replay(str(HERE / name), home=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    match = TOTALS.fullmatch(last(result))
    assert match
    hard, all_hard, soft, all_soft, clean, all_cases = map(int, match.groups())
    assert hard == all_hard > 0
    assert soft == all_soft
    assert clean == all_cases == len((HERE / name).read_text().splitlines())


def test_right_results_pass(run: Replay) -> None:
    result = run(case(), case(name="Y", confirmed=[1]))
    assert (result.returncode, last(result)) == (0, "hard 5/5 soft 3/3 cases 2/2")


def test_wrong_soft_result_is_printed_and_fails(run: Replay) -> None:
    result = run(case(script=SCRIPT | {"close e": "FAIL e=6"}, confirmed=[0]))
    assert result.returncode == 1
    assert "X 3 soft: close e\n    expected FAIL e=6\n    got      OK e=-\n" in result.stdout
    assert last(result) == "hard 1/1 soft 2/3 cases 0/1"


def test_wrong_query_does_not_end_its_script(run: Replay) -> None:
    result = run(case(script=SCRIPT | {"gethi e": "OK e=- flags=1"}))
    assert (result.returncode, last(result)) == (1, "hard 3/4 soft 0/0 cases 0/1")


def test_wrong_change_ends_its_script(run: Replay) -> None:
    result = run(case(script=SCRIPT | {"event e 0 0 -": "OK e=183"}), case(name="Y"))
    assert "X 1 to 3: not reached, counted as failed: 3" in result.stdout
    assert (result.returncode, last(result)) == (1, "hard 4/8 soft 0/0 cases 1/2")


def test_quiet_prints_totals_only(run: Replay) -> None:
    result = run(case(script=SCRIPT | {"close e": "FAIL e=6"}), options=("--quiet",))
    assert result.returncode == 1
    assert result.stdout == "unsupported 0\nwaived 0\nhard 3/4 soft 0/0 cases 0/1\n"


def test_only_the_named_case_is_replayed(run: Replay) -> None:
    result = run(case(script={"echo a": "b"}), case(name="Y"), options=("--only", "Y"))
    assert (result.returncode, last(result)) == (0, "hard 4/4 soft 0/0 cases 1/1")


def test_waived_difference_is_in_no_count(run: Replay) -> None:
    run.waivers("# why", "X\t1\tno such flag")
    result = run(case(script=SCRIPT | {"gethi e": "OK e=- flags=4"}))
    assert "X 1 waived: gethi e\n" in result.stdout
    assert "because  no such flag\n" in result.stdout
    assert result.stdout.endswith("\nwaived 1\nhard 3/3 soft 0/0 cases 1/1\n")
    assert result.returncode == 0


def test_needless_waiver_fails(run: Replay) -> None:
    run.waivers("X\t1\tnot so")
    result = run(case())
    assert "needless waiver: X 1\n" in result.stdout
    assert result.returncode == 1


def test_waiver_of_a_case_that_is_not_replayed_is_left_alone(run: Replay) -> None:
    run.waivers("Elsewhere\t1\tfact")
    assert run(case()).returncode == 0


def test_every_waiver_belongs_to_a_recorded_result() -> None:
    sizes = {}
    for name in ("cases.jsonl", "cases_multiproc.jsonl", "traces.jsonl"):
        for line in (HERE / name).read_text().splitlines():
            record = json.loads(line)
            sizes[record["id"]] = len(record["expect"])
    for line in (HERE / "waivers.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, index, _ = line.split("\t")
            assert int(index) < sizes[name]


def test_wine_is_excused_only_for_what_it_is_known_to_answer() -> None:
    """The record of each line in waivers-wine.txt has an answer of Wine's own, and it is another than Windows'."""
    records = {}
    for name in ("cases.jsonl", "cases_multiproc.jsonl"):
        for line in (HERE / name).read_text().splitlines():
            record = json.loads(line)
            records[record["id"]] = record
    for name, index in scoring.load_waivers(HERE / "waivers-wine.txt"):
        assert not scoring.matches(records[name]["expect"][index], records[name]["wine"][index])


@pytest.mark.parametrize(
    "command",
    [
        "bogus",
        "close nothing",
        "unmap nothing",
        "cfm m INVALID PAGE_ODD 0 1 -",
        "cfm m INVALID",
        "write e hex:0g",
        "t t1",
        "tjoin t1",
        "p p1 echo a",
    ],
)
def test_malformed_command_is_an_error(run: Replay, command: str) -> None:
    result = run(case(script={command: "OK e=0"}))
    assert result.returncode == 1
    assert re.search(r"^    got      ERROR .*", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"id": "X", "script": ["echo a"]}',
        '{"id": "X", "script": ["echo a"], "expect": []}',
        '{"id": "X", "script": ["echo a"], "expect": ["a"], "confirmed": [1]}',
        '{"id": 1, "script": ["echo a"], "expect": ["a"]}',
        '{"id": "X", "script": ["echo a\\necho b"], "expect": ["a"]}',
    ],
)
def test_malformed_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"id": "Good", "script": ["echo a"], "expect": ["a"]}\n' + text + "\n")
    result = replay(str(file), home=tmp_path)
    assert result.returncode == 2
    assert f"{file}:2: " in result.stderr


@pytest.mark.parametrize("line", ["X", "X\t1", "X\tone\tfact", "X\t1\t ", "X\t1\tfact\nX\t1\tagain"])
def test_malformed_waivers_are_refused(run: Replay, line: str) -> None:
    run.waivers(line)
    assert run(case()).returncode == 2


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert replay(str(tmp_path / "none.jsonl"), home=tmp_path).returncode == 2


def test_command_without_an_answer_ends_its_script(run: Replay) -> None:
    # The first command hangs: none has to be done in time, however slow the machine is.
    result = run(case(script={"sleep 60000": "OK", "echo a": "a"}), options=("--timeout", "1"))
    assert "got      HUNG: no answer in time\n" in result.stdout
    assert (result.returncode, last(result)) == (1, "hard 0/2 soft 0/0 cases 0/1")


def test_untouched_last_error_is_not_demanded_of_a_success(run: Replay) -> None:
    lines = {"event e 0 0 -": "OK e=-", "close e": "OK e=-", "close NULL": "FAIL e=-"}
    assert last(run(case(script=lines))) == "hard 2/3 soft 0/0 cases 0/1"


def test_session_number_of_a_name_is_not_demanded(run: Replay) -> None:
    name = r"st=0x00000000 name=\Sessions\77\BaseNamedObjects\Foo"
    lines = {"event e 0 0 Foo": "OK e=0", "ntqname e": name, "ntqname  e": name.replace("Foo", "Bar")}
    assert last(run(case(script=lines))) == "hard 2/3 soft 0/0 cases 0/1"


def test_scripts_start_afresh(run: Replay) -> None:
    lines = {"event e 0 0 Foo": "OK e=0", "createfile f a.dat GENERIC_WRITE 0 CREATE_NEW": "OK e=0"}
    result = run(case(script=lines), case(script=lines, name="Y"), options=("--jobs", "1"))
    assert result.returncode == 0, result.stdout


def test_reset_starts_afresh_within_a_script(run: Replay) -> None:
    lines = {
        "event e 0 0 Foo": "OK e=0",
        "sethi e HANDLE_FLAG_PROTECT_FROM_CLOSE HANDLE_FLAG_PROTECT_FROM_CLOSE": "OK e=-",
        "createfile f a.dat GENERIC_WRITE 0 CREATE_NEW": "OK e=0",
        "proc p": "OK",
        "reset": "OK",
        "close e": "ERROR unknown slot",
        "event  e 0 0 Foo": "OK e=0",
        "exists a.dat": "NO e=2",
        "p p echo a": "ERROR unknown process",
    }
    result = run(case(script=lines))
    assert result.returncode == 0, result.stdout


def test_threads_and_processes_take_commands(run: Replay) -> None:
    lines = {
        "t t1 event e 0 0 Foo": "OK e=0",
        "tasync t1 sleep 200": "STARTED",
        "tjoin t1 1": "PENDING",
        "tjoin t1": "OK",
        "tend t1": "OK",
        "proc p": "OK",
        "p p event e 0 0 Foo": "OK e=183",
        "p p t t1 close e": "OK e=-",
        "pkill p": "exit=77",
        "proc q": "OK",
        "pend q": "exit=0",
    }
    result = run(case(script=lines))
    assert result.returncode == 0, result.stdout


def test_fault_is_found_to_the_byte(run: Replay) -> None:
    lines = {
        "valloc v NULL 0x3000 MEM_RESERVE|MEM_COMMIT PAGE_READWRITE": "OK e=-",
        "vp v+0x1000 0x1000 PAGE_READONLY": "OK e=- old=0x4",
        "vp v+0x2000 0x1000 PAGE_NOACCESS": "OK e=- old=0x4",
        "poke v+0xffe str:abcd": "FAULT AV write at=+0x2",
        "peek v+0xffe 4": "OK hex:61620000",
        "peek v+0x1ffd 8192": "FAULT AV read at=+0x3",
        "peek v+0x2008 1": "FAULT AV read at=+0x0",
        "peek NULL 1": "FAULT AV read at=+0x0",
        "poke 0xffff800000000000 str:a": "FAULT AV write at=+0x0",
    }
    result = run(case(script=lines))
    assert result.returncode == 0, result.stdout


def test_page_beyond_the_end_of_its_file_faults_though_its_protection_allows(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file:
        file.truncate(2 * memory.PAGE)
        with mmap.mmap(file.fileno(), 2 * memory.PAGE) as view:
            anchor = ctypes.c_char.from_buffer(view)
            address = ctypes.addressof(anchor)
            file.truncate(memory.PAGE)
            with pytest.raises(memory.Fault) as stored:
                memory.write(address + memory.PAGE - 2, b"abcd")
            with pytest.raises(memory.Fault) as loaded:
                memory.read(address + memory.PAGE - 2, 4)
            assert memory.read(address + memory.PAGE - 2, 2) == b"ab"
            with pytest.raises(memory.Fault) as nowhere:
                memory.read(0, 1)
            del anchor
    for fault, index in ((stored, 2), (loaded, 2), (nowhere, 0)):
        assert fault.value.index == index
    # Whether it is INPAGE, only the kernel's own table of mappings tells here, which knows no section.
    assert nowhere.value.kind == "AV"


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"", "empty"),
        (b"\0" * 4, "hex:00000000"),
        (b"\xab" * 5, "fill:ab*5"),
        (bytes(range(64)), "hex:" + bytes(range(64)).hex()),
        (bytes(range(65)), "crc:40c06fd8*65"),
    ],
)
def test_data_is_shown_in_its_shortest_form(content: bytes, shown: str) -> None:
    assert language.show_data(content) == shown


@pytest.mark.parametrize(
    ("token", "content"),
    [
        ("str:", b""),
        ("str:a%20%u0142{x*3}", b"a \x42xxx"),
        ("hex:0aFF", b"\x0a\xff"),
        ("fill:5a*3", b"ZZZ"),
        ("seq:3", b"\x00\x07\x0e"),
        ("u32:-1", b"\xff" * 4),
    ],
)
def test_data_tokens(token: str, content: bytes) -> None:
    """A token of data means these bytes."""
    assert language.data(token) == content


def test_sequence_steps_every_251_bytes() -> None:
    assert language.data("seq:600")[500:504] == bytes((i * 7 + i // 251) % 256 for i in range(500, 504))


@pytest.mark.parametrize(
    ("token", "value"),
    [("-", None), ('""', ""), (r"Local\a%2Fb", r"Local\a/b"), ("%ud83d%ude00", "😀"), ("%ud83d", "\ud83d")],
)
def test_text_tokens(token: str, value: str | None) -> None:
    """A token of text means this string, or none."""
    assert language.text(token) == value


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ("0x10", 16),
        ("-2", -2),
        ("010", 10),
        ("GENERIC_READ|GENERIC_WRITE", 0xC0000000),
        ("PAGE_READWRITE|0x100", 0x104),
    ],
)
def test_number_tokens(token: str, value: int) -> None:
    """A token of a number means this value."""
    assert language.number(token) == value
