"""The command line for named objects, in pipes: what it prints, how it ends, what it leaves."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import pytest

import namedmap
from child import WATCHDOG, Spawn, eventually
from child.command import COMMAND, background, call, environment, heard, held, run
from namedmap import inspection
from namedmap.cli import _app, _values

STRUCT = "<If3dH4s:count,temp,v,u,tag"


class TestItself:
    def test_version(self) -> None:
        """--version says the version, as a command and as a module."""
        assert run("--version").text == f"namedmap {namedmap.__version__}\n"

    def test_version_loads_little(self) -> None:
        """To say its version it loads click and nothing of what the commands need."""
        code = (
            "import sys; from namedmap.cli import main\n"
            "try: main(['--version'])\n"
            "finally: sys.stderr.write(' '.join(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), check=True)
        loaded = set(done.stderr.decode().split())
        assert "click" in loaded
        assert not loaded & {"rich", "numpy", "matplotlib", "asyncio", "multiprocessing", "namedmap._platform"}

    def test_characters_that_the_output_does_not_have(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """They come as escapes, as on stderr; what the encoding has stays what it is."""
        file = directory / "file"
        file.write_text("grün → weiß", encoding="utf-8")
        monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
        assert run("search", str(file), "grün → weiß").out == b"           0  gr\xfcn \\u2192 wei\xdf\n"

    def test_help_lists_all_commands(self) -> None:
        """--help, and no words at all, list every command with what it does, examples and exit statuses."""
        text = call("--help").text
        assert call().text == text
        for name in _app._MODULES:
            assert f"  {name} " in text
        assert "Exit status: 0 done" in text
        assert "_NAMEDMAP_COMPLETE=bash_source" in text

    @pytest.mark.parametrize("name", [name for name in _app._MODULES if name != "run"])
    def test_help_of_commands(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Every command explains itself with examples."""
        pytest.importorskip("namedmap.files" if _app._MODULES[name] == "files" else "namedmap")
        assert _app.main([name, "--help"]) == 0
        text = capsys.readouterr().out
        assert "Examples:\n  " in text
        assert f"namedmap {name}" in text

    def test_without_click(self, tmp_path: Path) -> None:
        """Without click one line says what to install, and the status is 2; `run` needs none."""
        code = "import sys; sys.modules['click'] = None\nfrom namedmap.cli import main\nmain(sys.argv[1:])"
        command = [sys.executable, "-c", code]
        done = subprocess.run([*command, "ls"], capture_output=True, env=environment(), check=False)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr == (
            b"namedmap: the command line needs click, which is not installed: pip install 'namedmap[cli]'\n"
        )

    def test_run_hands_over(self) -> None:
        """`run` gives all that follows the program to it, and needs no click."""
        program = Path(tempfile.gettempdir(), "program.py")
        program.write_text("import sys; print(sys.argv[1:])", encoding="utf-8")
        words = ["run", "--windows", str(program), "--help", "--", "-q"]
        code = f"import sys; sys.modules['click'] = None; from namedmap.cli import main; main({words})"
        try:
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), check=True)
        finally:
            program.unlink()
        assert done.stdout.decode() == "['--help', '--', '-q']\n"

    def test_script(self) -> None:
        """The script that is installed is this command."""
        import tomllib

        project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))[
            "project"
        ]
        assert project["scripts"] == {"namedmap": "namedmap.cli:main"}

    def test_completion(self) -> None:
        """The shell is told the commands, and the names of live objects."""
        asked = {"_NAMEDMAP_COMPLETE": "bash_complete", "COMP_CWORD": "1"}

        def complete(words: str, number: str) -> list[str]:
            done = subprocess.run(
                COMMAND,
                capture_output=True,
                env=environment(**asked, COMP_WORDS=words) | {"COMP_CWORD": number},
                check=True,
            )
            return done.stdout.decode().splitlines()

        assert complete("namedmap wr", "1") == ["plain,write"]
        with namedmap.create("telemetry", 1), namedmap.create("other", 1):
            assert complete("namedmap read te", "2") == ["plain,telemetry"]


class TestReference:
    TEXT = (Path(__file__).parent.parent / "docs" / "cli.md").read_text(encoding="utf-8")

    def test_every_command_is_in_it(self) -> None:
        """docs/cli.md has a section for each command."""
        sections = [name for line in re.findall(r"^### (.*)$", self.TEXT, re.MULTILINE) for name in line.split(", ")]
        assert sorted(sections) == sorted(_app._MODULES)

    def test_examples_can_be_parsed(self) -> None:
        """Each example, there and in the help of the commands, is a command line that is understood."""
        pytest.importorskip("namedmap.files")
        group = _app.app
        parent = click.Context(group, info_name="namedmap")
        helps = [str(command.epilog) for name in _app._MODULES if (command := group.get_command(parent, name))]
        lines = re.findall(r"(?:^    |\| )(namedmap [a-z].*)$", "\n".join([self.TEXT, *helps]), re.MULTILINE)
        assert len(lines) > 40
        for line in lines:
            words = shlex.split(line, comments=True)[1:]
            for operator in ("|", "||", "<", ">", "&&"):
                words = words[: words.index(operator)] if operator in words else words
            name, *rest = words
            command = group.get_command(parent, name)
            assert command is not None, line
            if name != "run":
                command.make_context(name, rest, parent=parent)


class TestBadArguments:
    @pytest.mark.parametrize(
        ("words", "text"),
        [
            ("reed x", "there is no command 'reed'; did you mean read? (see namedmap --help)"),
            ("zzz", "there is no command 'zzz' (see namedmap --help)"),
            ("--nonsense", "No such option"),
            ("read", "Missing argument 'NAME'"),
            ("read a b", "unexpected extra argument"),
            ("read a --size 1x", "'1x' is no size"),
            ("read a --as poem", "'poem' is not one of"),
            ("read a --as fields", "say which fields"),
            ("read a --as text --fields <I:a", "exclude each other"),
            ("read a --fields <y:a", "no format of Python's struct module"),
            ("read a --fields <I:a,b", "2 names for 1 fields"),
            ("read a --fields <:a", "has no fields"),
            ("write a --as hex xyz", "pairs of hexadecimal digits"),
            ("create a --kind mutex --size 4K", "--size is for --kind memory, not for mutex"),
            ("create a --kind event text", "CONTENT is for --kind memory"),
            ("create a --value 3", "--value is for --kind semaphore"),
            ("create a --auto", "--auto is for --kind event"),
            ("create a --mode 999", "is no mode"),
            ("create a --", "no command behind --"),
            ("wait", "Missing argument 'NAME...'"),
            ("wait a --timeout -1", "-1"),
            ("wait a --timeout nan", "nan"),
            ("signal a --clear --pulse", "exclude each other"),
            ("lock a", "there is no command: namedmap lock NAME -- COMMAND"),
            ("lock a --timeout soon -- true", "soon"),
            ("residency a --prefetch --evict", "exclude each other"),
        ],
    )  # fmt: skip
    def test_one_line(self, words: str, text: str, capfd: pytest.CaptureFixture[str]) -> None:
        """A bad argument is one line on stderr, and status 2."""
        with namedmap.create("a", 100):
            status = _app.main(words.split())
        found = capfd.readouterr()
        assert status == 2, found
        assert found.out == ""
        assert len(found.err.splitlines()) == 1
        assert text in found.err

    def test_what_fails(self) -> None:
        """A command that cannot be done is one line too, and status 1; --debug shows the place."""
        assert "'nothing'" in call("read", "nothing", status=1).complaint
        assert "no object 'nothing' exists" in call("wait", "nothing", status=1).complaint
        assert "no object 'nothing' exists" in call("info", "nothing", status=1).complaint
        debugged = call("read", "nothing", "--debug", status=1).err.decode()
        assert debugged.startswith("Traceback")
        assert "namedmap.errors.NotFoundError" in debugged
        assert call("--debug", "read", "nothing", status=1).err.decode().startswith("Traceback")


class TestContent:
    def test_text(self) -> None:
        """Text is written with a NUL behind it, and read up to it."""
        with held("note", "--size", "20", "hello", "world"):
            assert call("read", "note").out == b"hello world"
            call("write", "note", "hi")
            assert call("read", "note").out == b"hi"
            assert call("read", "note", "--as", "hex").text.strip() == (b"hi\0lo world".ljust(20, b"\0")).hex()
            call("write", "note", "x" * 20)
            assert call("read", "note").out == b"x" * 20
            assert "do not lie in" in call("write", "note", "x" * 21, status=1).complaint

    def test_stdin_and_stdout(self) -> None:
        """Bytes go through pipes unchanged."""
        data = bytes(range(256)) * 16
        with held("raw", "--size", "4K"):
            call("write", "raw", "--as", "bytes", "-", given=data)
            assert call("read", "raw", "--as", "bytes").out == data
            call("write", "raw", "--as", "hex", "--offset", "0x10", given=b"DE ad be ef\n")
            assert call("read", "raw", "--as", "hex", "--offset", "16", "--size", "4").text == "deadbeef\n"

    def test_json_content(self) -> None:
        """JSON is checked when it is written and when it is read."""
        with held("state", "--size", "1K"):
            call("write", "state", "--as", "json", '{"a": [1, 2]}')
            assert call("read", "state", "--as", "json").json() == {"a": [1, 2]}
            assert "that is no JSON" in call("write", "state", "--as", "json", "{", status=2).complaint

    def test_fields(self) -> None:
        """Fields of a structure are written one by one, and read by their names."""
        with held("sensor", "--fields", STRUCT, "count=0x10", "v=1,2,3", "tag=ab"):
            assert call("read", "sensor", "--fields", STRUCT, "--json").json() == {
                "name": "sensor", "offset": 0, "size": 38,
                "content": {"count": 16, "temp": 0.0, "v": [1.0, 2.0, 3.0], "u": 0, "tag": "ab"},
            }  # fmt: skip
            call("write", "sensor", "--fields", STRUCT, "temp=1.5")
            call("write", "sensor", "--fields", STRUCT, "-", given=b'{"u": 7}')
            assert call("read", "sensor", "--fields", STRUCT).lines == [
                "field  value", "count  16", "temp   1.5", "v      1.0 2.0 3.0", "u      7", "tag    ab",
            ]  # fmt: skip
            assert "no field 'x'" in call("write", "sensor", "--fields", STRUCT, "x=1", status=2).complaint
            assert (
                "cannot be the value of u" in call("write", "sensor", "--fields", STRUCT, "u=70000", status=2).complaint
            )

    def test_native_alignment(self) -> None:
        """Fields without a byte order lie where the C compiler puts them."""
        assert [(each.name, each.offset) for each in _values.Structure("cxhQ:a,b,c").fields] == [
            ("a", 0), ("b", 2), ("c", 8),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "number"),
        [("4096", 4096), ("4K", 4096), ("4k", 4096), ("1.5M", 1572864), ("1GiB", 1 << 30), ("2TB", 2 << 40),
         ("0x1000", 4096), ("1_000", 1000), ("8 KiB", 8192)],
    )  # fmt: skip
    def test_sizes(self, text: str, number: int) -> None:
        """Sizes are written as people write them."""
        assert _values.size(text) == number


class TestCreate:
    def test_holds_until_interrupted(self) -> None:
        """The object is there while `create` runs, and gone when it was interrupted, with status 130."""
        with held("mine", "--size", "1M") as process:
            assert inspection.info("mine").size == 1 << 20
            process.send_signal(signal.SIGINT)
            assert process.wait(WATCHDOG) == 130
        assert inspection.objects() == []

    def test_ends_cleanly_by_sigterm(self) -> None:
        """kill ends it, with status 143; nothing is left."""
        with held("mine") as process:
            process.terminate()
            assert process.wait(WATCHDOG) == 143
        assert inspection.objects() == []

    @pytest.mark.parametrize(
        ("words", "kind", "state"),
        [
            (["--kind", "mutex"], "mutex", {"owned": False, "abandoned": False}),
            (["--kind", "semaphore", "--value", "2", "--maximum", "3"], "semaphore", {"value": 2, "maximum": 3}),
            (["--kind", "event", "--auto", "--set"], "event", {"set": True, "manual": False}),
        ],
    )
    def test_kinds(self, words: list[str], kind: str, state: dict[str, Any]) -> None:
        """Everything that has a name can be made."""
        with held("it", *words):
            found = inspection.info("it")
            assert (found.kind, found.state) == (kind, state)

    def test_for_a_command(self) -> None:
        """With a command the object lives as long as it runs, and its status is passed on."""
        code = "import namedmap, sys; sys.exit(namedmap.open('given').size)"
        run("create", "given", "--size", "42", "--", sys.executable, "-c", code, status=42)
        assert inspection.objects() == []

    def test_must_be_new(self) -> None:
        """A name that is taken is an error, unless --or-open says that it may be."""
        with held("one"):
            assert "exists" in run("create", "one", "--", "true", status=1).complaint
            run("create", "one", "--or-open", "--", "true")
            assert inspection.info("one").handles == 1

    def test_as_json(self) -> None:
        """--json tells what was made, in the shape of `info`."""
        with background("create", "Global\\one", "--mode", "640", "--json") as process:
            found = json.loads(heard(process))
            assert (found["name"], found["mode"], found["creator"]) == ("Global\\one", "0640", process.pid)


class TestListing:
    def test_ls(self) -> None:
        """`ls` has a line for each object, with state and holders; nothing if there is none."""
        assert call("ls").out == b""
        with held("b \x1b[31mred") as process, namedmap.create("a", 5000):
            lines = call("ls").lines
        assert lines[0].split() == ["NAME", "KIND", "STATE", "SIZE", "IN", "USE", "AGE", "CREATOR", "HOLDERS"]
        assert lines[1].startswith("a ")
        assert "4.9 KiB" in lines[1]
        assert f"{os.getpid()} (" in lines[1]
        assert lines[2].startswith("b \\x1b[31mred")
        assert f" {process.pid} " in lines[2]

    def test_ls_as_json(self) -> None:
        """--json gives the records of namedmap.inspection."""
        with namedmap.create("x", 5000):
            [found] = call("ls", "--json", "--kind", "section").json()
            assert set(found) == set(inspection.info("x").as_dict())
            assert call("ls", "--json", "--kind", "event").json() == []

    def test_info(self) -> None:
        """`info` tells everything, views of other processes as well."""
        with namedmap.create("x", 5000) as mapping, mapping.view():
            text = call("info", "x").text
            found = call("info", "x", "--json").json()
        for each in ("PAGE_READWRITE", "5,000 bytes", "mode 0600", str(os.getpid()), "8,192 bytes from 0 on"):
            assert each in text
        assert found["views"][0]["access"] == "write"

    @pytest.mark.leaves_dead_files
    def test_gc(self, spawn: Spawn) -> None:
        """The file that a killed holder leaves is told by ls and doctor, and removed by gc."""
        with background("create", "corpse", "--size", "1M") as process:
            heard(process)
            process.kill()
            process.wait(WATCHDOG)
        assert "dead" in call("ls").lines[1]
        assert "dead objects" in call("doctor", "-q").text
        assert call("gc", "--dry-run").lines == ["dead section corpse (1.0 MiB)", "1 dead"]
        [found] = call("gc", "--json").json()
        assert (found["name"], found["removed"]) == ("corpse", True)
        assert call("gc").lines == ["0 removed, 0 bytes freed"]
        assert inspection.objects() == []

    def test_doctor(self) -> None:
        """`doctor` gives its findings line by line, or as JSON."""
        assert "ok       Linux" in call("doctor").text
        assert ("ok       the compiled core is in use" in call("doctor").text) == namedmap.native
        found = call("doctor", "--json").json()
        assert {tuple(each) for each in found} == {("level", "what", "remedy")}

    def test_as_another_user(self, second_user: int) -> None:
        """Another user has no list of ours, and may not read what is closed to others."""
        with namedmap.create("ours", 1), namedmap.create("Global\\closed", 1):
            code = "from namedmap.cli import main; main()"

            def call(*words: str) -> subprocess.CompletedProcess[bytes]:
                # Modules that the other user cannot read are imported before.
                prologue = (
                    "import os, sys, namedmap.cli.listing, namedmap.cli.naming, namedmap.cli._app, encodings.idna\n"
                    "import namedmap; namedmap.Mutex\n"
                    f"os.setgroups([]); os.setgid({second_user}); os.setuid({second_user})\n"
                )
                command = [sys.executable, "-c", prologue + code, *words]
                return subprocess.run(command, capture_output=True, env=environment(), check=False)

            listed = call("ls")
            assert listed.returncode == 0, listed.stderr
            assert [line.split()[:3] for line in listed.stdout.decode().splitlines()[1:]] == [
                ["Global\\closed", "unknown", "unreadable"]
            ]
            refused = call("read", "Global\\closed")
            assert refused.returncode == 1
            assert len(refused.stderr.decode().splitlines()) == 1


class TestWaiting:
    def test_wait_and_signal(self) -> None:
        """`signal` sets an event and releases a semaphore; `wait` takes from them and says which it was."""
        event, semaphore = namedmap.Event("e", manual=False), namedmap.Semaphore("s", 0, 5)
        assert run("wait", "e", "s", "--timeout", "0", status=124).out == b""
        call("signal", "s", "--count", "2")
        assert call("wait", "e", "s", "--timeout", "60").lines == ["s"]
        call("signal", "e")
        found = run("wait", "e", "s", "--all", "--json").json()
        assert (found["taken"], set(found)) == (["e", "s"], {"taken", "seconds"})
        assert (event.is_set(), semaphore.value) == (False, 0)
        event.close()
        semaphore.close()

    def test_a_wait_is_ended(self) -> None:
        """A wait that sleeps ends by the signal of another process, or by Ctrl-C with status 130."""
        with held("e", "--kind", "event", "--auto"):
            with background("wait", "e") as process:
                eventually(lambda: inspection.info("e").waiters == 1, "the wait")
                process.send_signal(signal.SIGINT)
                assert process.wait(WATCHDOG) == 130
            with background("wait", "e") as process:
                eventually(lambda: inspection.info("e").waiters == 1, "the wait")
                call("signal", "e")
                assert heard(process) == "e"
                assert process.wait(WATCHDOG) == 0
            call("signal", "e")
            call("signal", "e", "--clear")
            assert inspection.info("e").state["set"] is False

    def test_what_cannot_be_signaled(self) -> None:
        """Mutexes and memory are not signaled, and say why."""
        with namedmap.create("memory", 1), held("mutex", "--kind", "mutex"):
            assert "only its owner" in call("signal", "mutex", status=1).complaint
            assert "shared memory" in call("signal", "memory", status=1).complaint
            assert "shared memory" in call("wait", "memory", status=1).complaint
            assert call("wait", "mutex").lines == ["mutex"]
            assert inspection.info("mutex").state == {"owned": False, "abandoned": False}

    def test_lock(self, directory: Path) -> None:
        """Two scripts under one mutex come one after the other; the status of the command is passed on."""
        script = "echo in >> log; sleep 0.2; echo out >> log; exit 3"
        with (
            background("lock", "m", "--", "sh", "-c", script),
            background("lock", "m", "--", "sh", "-c", script) as other,
        ):
            other.wait(WATCHDOG)
            eventually(lambda: (directory / "log").read_text().count("out") == 2, "two lines of the log")
        assert (directory / "log").read_text().split() == ["in", "out", "in", "out"]
        run("lock", "m", "--", "sh", "-c", "exit 3", status=3)
        run("lock", "m", "--", "sh", "-c", "kill -9 $$", status=137)
        assert inspection.objects() == []

    def test_lock_in_vain(self) -> None:
        """A mutex that is not free in time is status 124; a command that is not there 127, one that cannot run 126."""
        mutex = namedmap.Mutex.create("m", owned=True)
        assert "was not free within 0.1 s" in run("lock", "m", "-t", "0.1", "--", "true", status=124).complaint
        mutex.release()
        mutex.close()
        assert "No such file" in run("lock", "m", "--", "/nonexistent/program", status=127).complaint
        assert "Permission denied" in run("lock", "m", "--", "/etc/passwd", status=126).complaint

    def test_lock_passes_signals_on(self) -> None:
        """A signal that is sent to `lock` goes to its command, whose status it takes; the mutex is free then."""
        code = (
            "import signal, sys, time\n"
            "def end(number, frame): sys.exit(40 + number)\n"
            "for each in (2, 15, 10): signal.signal(each, end)\n"
            "print('ready', flush=True)\nwhile True: time.sleep(0.05)"
        )
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            with background("lock", "m", "--", sys.executable, "-c", code) as process:
                assert heard(process) == "ready"
                assert inspection.info("m").state["owned"]
                process.send_signal(number)
                assert process.wait(WATCHDOG) == 40 + number
        assert inspection.objects() == []

    @pytest.mark.leaves_dead_files
    def test_lock_after_a_killed_owner(self) -> None:
        """A waiter that gets a mutex whose owner was killed is told, and runs its command."""
        with held("m", "--kind", "mutex") as holder:
            with background("lock", "m", "--", "sleep", "60") as process:
                eventually(lambda: inspection.info("m").state["owned"], "the ownership")
                [sleeper] = _children(process.pid)
                process.kill()
                process.wait(WATCHDOG)
                os.kill(sleeper, signal.SIGKILL)
            done = run("lock", "m", "--", "echo", "done")
            assert done.text == "done\n"
            assert "was abandoned" in done.complaint
            assert holder.poll() is None


class TestWatch:
    def test_a_line_for_each_change(self) -> None:
        """In a pipe each change is a line; it ends when the object does, without having kept it."""
        with held("w", "--size", "64", "one") as holder, background("watch", "w", "--interval", "0.01") as process:
            assert heard(process).endswith("  one")
            call("write", "w", "two")
            assert heard(process).endswith("  two")
            holder.terminate()
            assert process.wait(WATCHDOG) == 0
            assert process.stderr is not None
            assert "has ended" in process.stderr.read()

    def test_as_json(self) -> None:
        """--json gives an object a line; --count ends it."""
        with (
            held("w", "--fields", "<IH:a,b"),
            background("watch", "w", "--fields", "<IH:a,b", "--json", "--count", "2") as process,
        ):
            assert json.loads(heard(process))["content"] == {"a": 0, "b": 0}
            call("write", "w", "--fields", "<IH:a,b", "b=3")
            found = json.loads(heard(process))
            assert (set(found), found["content"]) == ({"time", "name", "content"}, {"a": 0, "b": 3})
            assert process.wait(WATCHDOG) == 0

    def test_states(self) -> None:
        """A mutex, semaphore or event is watched by its state; --timeout ends it."""
        with held("e", "--kind", "event"), background("watch", "e", "--interval", "0.01", "--count", "2") as process:
            assert "state=not set" in heard(process)
            call("signal", "e")
            assert "state=set" in heard(process)
        with held("e", "--kind", "event"):
            assert len(call("watch", "e", "--timeout", "0.1").lines) == 1
            assert "has no content" in call("watch", "e", "--as", "hex", status=2).complaint


class TestPipes:
    def test_a_reader_that_goes(self) -> None:
        """A broken pipe ends it quietly, with status 141."""
        with held("big", "--size", "4M"):
            process = subprocess.Popen(
                [*COMMAND, "read", "big", "--as", "hex"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
            )
            assert process.stdout is not None
            process.stdout.read(10)
            process.stdout.close()
            assert process.stderr is not None
            assert process.stderr.read() == b""
            process.stderr.close()
            assert process.wait(WATCHDOG) == 141

    def test_no_room_for_output(self) -> None:
        """Output that cannot be written is an error in one line."""
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [*COMMAND, "doctor"], stdout=full, stderr=subprocess.PIPE, env=environment(), check=False
            )
        assert done.returncode == 1
        assert done.stderr == b"namedmap: No space left on device\n"

    def test_without_stdout(self) -> None:
        """A closed stdout is no traceback."""
        command = " ".join(f"'{each}'" for each in COMMAND)
        done = subprocess.run(["sh", "-c", f"{command} ls >&-"], capture_output=True, env=environment(), check=False)
        assert b"Traceback" not in done.stderr


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(each) for each in text.split()]
