"""The command line in a pseudo-terminal: live pictures, bars, Ctrl-C, and nothing that drives the terminal."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

import namedmap
from child import eventually
from child.command import COMMAND, call, ended, held, run, terminal
from namedmap import inspection

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def plain(text: str) -> str:
    """Without colours and movements of the cursor."""
    return _CODES.sub("", text)


class TestInterrupts:
    def test_ctrl_c_ends_a_hold(self) -> None:
        """Ctrl-C ends `create` with status 130, without a traceback; the object is gone."""
        with terminal("create", "mine") as child:
            child.expect("held until Ctrl-C")
            child.sendintr()
            status, text = ended(child)
        assert status == 130
        assert "Traceback" not in text
        assert inspection.objects() == []

    def test_ctrl_c_ends_a_wait(self) -> None:
        """Ctrl-C ends a wait that sleeps."""
        with held("e", "--kind", "event", "--auto"), terminal("wait", "e") as child:
            eventually(lambda: inspection.info("e").waiters == 1, "the wait")
            child.sendintr()
            status, text = ended(child)
        assert (status, "Traceback" in text) == (130, False)

    def test_ctrl_c_goes_to_the_command(self) -> None:
        """Under `lock`, Ctrl-C is for the command, once; what it makes of it is the status."""
        code = (
            "import signal, sys, time\n"
            "got = []\n"
            "signal.signal(signal.SIGINT, lambda *_: got.append(1))\n"
            "print('ready', flush=True)\n"
            "while not got: time.sleep(0.01)\n"
            "time.sleep(0.3)\n"
            "print('got', len(got), flush=True); sys.exit(9)"
        )
        with terminal("lock", "m", "--", sys.executable, "-c", code) as child:
            child.expect("ready")
            child.sendintr()
            child.expect("got 1\r\n")
            assert ended(child)[0] == 9
        assert inspection.objects() == []

    def test_a_terminal_that_is_closed(self) -> None:
        """When the terminal goes, so does the object."""
        with terminal("create", "mine") as child:
            child.expect("held until Ctrl-C")
            child.kill(signal.SIGHUP)
            assert ended(child)[0] == 129
        assert inspection.objects() == []

    def test_in_a_shell(self, directory: Path) -> None:
        """As people use it: in the background of a shell, by its name, ended by the shell."""
        command = " ".join(COMMAND)
        script = (
            f"{command} create note --size 1K hello & holder=$!; "
            f"until {command} read note 2>/dev/null; do sleep 0.05; done; "
            f"{command} ls | wc -l; kill $holder; wait $holder; echo status $?"
        )
        with terminal(program=["bash", "-c", script]) as child:
            text = plain(ended(child)[1])
        assert "hello\r\n2\r\n" in text
        assert "status 143" in text


class TestPictures:
    def test_watch_draws_anew(self) -> None:
        """On a terminal `watch` shows bytes and counts changes, until Ctrl-C."""
        with held("w", "--size", "64", "one"), terminal("watch", "w", "--interval", "0.01") as child:
            child.expect("6f 6e 65|one")
            child.expect("0 changes|one")
            call("write", "w", "two")
            child.expect("1 changes")
            child.expect(r"t\S{0,12}w\S{0,12}o")  # each in its colour
            child.sendintr()
            status, text = ended(child)
        assert (status, "Traceback" in text) == (130, False)

    def test_watch_fields(self) -> None:
        """Fields are shown with their names; it ends with the object, and says so."""
        words = ("watch", "w", "--fields", "<If:count,temp", "--interval", "0.01")
        with held("w", "--fields", "<If:count,temp", "count=5") as holder, terminal(*words) as child:
            child.expect("count  5")
            holder.terminate()
            child.expect("has ended")
            assert ended(child)[0] == 0

    def test_ls_is_a_table(self) -> None:
        """`ls` draws a table as wide as the terminal; names with escape sequences do not drive it."""
        with namedmap.create("evil \x1b]0;title\x07 name", 5000), terminal("ls") as child:
            status, text = ended(child)
        assert status == 0
        assert "HOLDERS" in plain(text)
        assert "\\x1b]0;title\\x07" in text
        assert "\x1b]0;" not in text
        assert str(os.getpid()) in plain(text)

    def test_text_does_not_drive_the_terminal(self) -> None:
        """`read` on a terminal shows what would drive it; in a pipe it gives the bytes as they are."""
        with namedmap.create("note", 64) as mapping, mapping.view() as view:
            view[:9] = b"a\x1b[2Jb\ncd"[:9]
            with terminal("read", "note") as child:
                text = ended(child)[1]
            assert call("read", "note").status == 0
            assert run("read", "note").out == b"a\x1b[2Jb\ncd"
        assert text == "a\\x1b[2Jb\r\ncd\r\n"

    def test_doctor_in_colours(self) -> None:
        """`doctor` is coloured on a terminal, and not in a pipe."""
        with terminal("doctor") as child:
            assert "\x1b[32mok" in ended(child)[1]
        assert b"\x1b" not in call("doctor").out

    def test_residency_is_drawn(self) -> None:
        """`residency --term` draws a cell for each part of the file."""
        with namedmap.create("pages", 64 * 4096) as mapping, mapping.view() as view:
            view[: 32 * 4096] = b"x" * (32 * 4096)
            with terminal("residency", "pages", "--term") as child:
                text = plain(ended(child)[1])
        assert "32 of 64 pages in memory (50.0 % of 256.0 KiB)" in text
        assert "█" * 32 + " " * 32 + "│" in text


class TestResidency:
    def test_plot(self, directory: Path) -> None:
        """--plot makes a picture; --prefetch has two, before and after."""
        pytest.importorskip("matplotlib")
        (directory / "file").write_bytes(b"x" * 1_000_000)
        call("residency", "file", "--plot", "one.png")
        done = call("residency", "file", "--prefetch", "--plot", "two.svg")
        assert [line.split(":")[0] for line in done.lines] == ["before", "after --prefetch"]
        assert (directory / "one.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (directory / "two.svg").read_text()
        assert "cannot draw" in call("residency", "file", "--plot", "three.nonsense", status=1).complaint

    def test_as_json(self, directory: Path) -> None:
        """--json has a record for each look."""
        (directory / "file").write_bytes(b"x" * 10_000)
        [found] = call("residency", "file", "--json").json()
        assert (found["when"], found["pages"], found["runs"]) == ("now", 3, [[0, 10_000]])
        both = call("residency", "./file", "--prefetch", "--json").json()
        assert [each["when"] for each in both] == ["before", "after --prefetch"]

    def test_what_is_not_there(self, directory: Path) -> None:
        """A path and a name that are not there are told apart."""
        assert "'./x'" in call("residency", "./x", status=1).complaint
        assert "neither a file nor an object" in call("residency", "x", status=1).complaint


class TestTrying:
    def test_bench(self) -> None:
        """Without its source tree it measures a few things itself."""
        found = call("bench", "--json").json()
        assert {tuple(each) for each in found} == {("what", "microseconds")}

    def test_demo(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        """Without its source tree it shows two processes that share memory."""
        from namedmap.cli import trying

        monkeypatch.setattr(trying, "_TREE", directory)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        text = call("demo").text
        assert "read 'hello'" in text
        assert "nothing has to be cleaned up" in text
        assert "source tree" in call("demo", "--size", "3", status=2).complaint
        assert "MICROSECONDS" in call("bench").text
