"""Things that programs for Windows meet first: python -m namedmap run --windows, and the programs that these start."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from child import WATCHDOG
from namedmap.compat import _children

RUN = [sys.executable, "-X", "dev", "-W", "error", "-m", "namedmap", "run"]


@pytest.fixture(autouse=True)
def _here(directory: Path) -> None:
    """Each test works in a directory of its own, which is the user's home to programs."""


def run(text: str, *words: str, **environment: str) -> list[str]:
    """The lines that a program writes to both streams."""
    Path("program.py").write_text(textwrap.dedent(text), encoding="utf-8")
    own = {"PYTHONPATH": os.pathsep.join([path for path in sys.path if path]), "HOME": os.getcwd(), **environment}
    done = subprocess.run(
        [*RUN, *words, "program.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WATCHDOG,
        env={name: value for name, value in os.environ.items() if not name.startswith("XDG_")} | own,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


class TestModules:
    def test_asyncio(self) -> None:
        """The policies of Windows can be set, and run loops; the default is what a proactor is asked of."""
        text = """
            import asyncio, sys, warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            async def main():
                done = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(5)", stdout=-1)
                return (await done.communicate())[0]
            for policy in (asyncio.WindowsSelectorEventLoopPolicy, asyncio.WindowsProactorEventLoopPolicy):
                asyncio.set_event_loop_policy(policy())
                print(policy.__name__, asyncio.run(main()))
                print(isinstance(asyncio.get_event_loop_policy(), policy))
            loop = asyncio.ProactorEventLoop()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            from asyncio import WindowsSelectorEventLoopPolicy as imported
            print(imported is asyncio.WindowsSelectorEventLoopPolicy, asyncio.sleep.__module__)
            """
        first, true, second, also, imported = run(text, "--windows")
        assert (first, true, also, imported) == (
            "WindowsSelectorEventLoopPolicy b'5\\n'",
            "True",
            "True",
            "True asyncio.tasks",
        )
        assert second.endswith("b'5\\n'")

    def test_subprocess(self) -> None:
        """Windows that are hidden, consoles and groups: Popen and what stands on it take them, without effect."""
        text = """
            import subprocess, sys
            from subprocess import CREATE_NEW_CONSOLE, DETACHED_PROCESS, Popen
            info = subprocess.STARTUPINFO()
            info.dwFlags |= subprocess.STARTF_USESHOWWINDOW
            info.wShowWindow = subprocess.SW_HIDE
            flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP | CREATE_NEW_CONSOLE
            hidden = {"startupinfo": info, "creationflags": flags}
            print(subprocess.run(["echo", "a"], capture_output=True, text=True, **hidden).stdout.strip())
            print(subprocess.check_output("echo b", shell=True, creationflags=flags).decode().strip())
            print(subprocess.call(["true"], **hidden), subprocess.check_call(["true"], startupinfo=info))
            with Popen(["echo", "c"], stdout=-1, creationflags=DETACHED_PROCESS) as child:
                print(child.communicate()[0].decode().strip(), child.returncode)
            print(isinstance(child, subprocess.Popen), info.copy().wShowWindow, hex(flags))
            print(subprocess.getoutput("echo d"))
            """
        assert run(text, "--windows") == ["a", "b", "0 0", "c 0", "True 0 0x8000210", "d"]

    def test_without_being_told(self) -> None:
        """A program that is not told has the standard library's own."""
        text = """
            import asyncio, os, signal, subprocess
            print(hasattr(subprocess, "STARTUPINFO"), hasattr(signal, "CTRL_C_EVENT"), hasattr(os, "startfile"))
            print(hasattr(asyncio, "WindowsSelectorEventLoopPolicy"), hasattr(OSError(), "winerror"))
            try:
                subprocess.Popen(["true"], creationflags=1)
            except ValueError as error:
                print(error)
            """
        assert run(text) == [
            "False False False",
            "False False",
            "creationflags is only supported on Windows platforms",
        ]

    def test_signals(self) -> None:
        """The events of the console interrupt and end a child, in its own process group or not."""
        text = """
            import os, signal, subprocess, sys
            code = "import signal, sys, time\\nsignal.signal(signal.SIGBREAK, lambda *_: sys.exit(3))\\ntry:\\n" \\
                   "    print('up', flush=True)\\n    while True: time.sleep(.05)\\n" \\
                   "except KeyboardInterrupt:\\n    sys.exit(4)"
            for event in (signal.CTRL_C_EVENT, signal.CTRL_BREAK_EVENT):
                child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE,
                                         creationflags=subprocess.CREATE_NEW_PROCESS_GROUP)
                child.stdout.readline()
                os.kill(child.pid, event) if event == signal.CTRL_C_EVENT else child.send_signal(event)
                child.stdout.close()
                print(child.wait())
            """
        assert run(text, "--windows") == ["4", "3"]

    def test_os(self) -> None:
        """Names that os has on Windows only."""
        text = """
            import os, platform, sys
            print(os.name, os.sep, os.O_BINARY | os.O_TEXT | os.O_NOINHERIT, bool(os.getlogin()))
            with os.add_dll_directory(os.getcwd()) as added:
                print(added.path == os.getcwd())
            print(platform.win32_ver()[0], sys.winver == ".".join(map(str, sys.version_info[:2])))
            print(sys.getwindowsversion().major)
            """
        assert run(text, "--windows") == ["nt / 0 True", "True", "10 True", "10"]

    def test_startfile(self) -> None:
        """A file is opened by what the desktop has; one that is not there, and no desktop, are errors."""
        Path("bin").mkdir()
        opener = Path("bin/xdg-open")
        opener.write_text('#!/bin/sh\necho "$1" > opened.tmp; mv opened.tmp opened\n')
        opener.chmod(0o755)
        Path("page.html").touch()
        text = """
            import os, time
            os.startfile("page.html")
            while not os.path.exists("opened"):
                time.sleep(0.01)
            with open("opened", encoding="utf-8") as file:
                print(file.read().strip())
            try:
                os.startfile("none.html")
            except FileNotFoundError as error:
                print(error.winerror)
            os.environ["PATH"] = "/nowhere"
            try:
                os.startfile("page.html", "open")
            except OSError as error:
                print(error.winerror)
            """
        assert run(text, "--windows", PATH=f"{os.getcwd()}/bin:{os.environ['PATH']}") == ["page.html", "2", "1155"]

    def test_encodings(self) -> None:
        """mbcs and oem are those of Western Windows."""
        text = """
            print("ä".encode("mbcs"), "ä".encode("oem"), b"\\xe4".decode("mbcs"), b"\\x84".decode("oem"))
            """
        assert run(text, "--windows") == [r"b'\xe4' b'\x84' ä ä"]


class TestEnvironment:
    def test_variables(self) -> None:
        """Every user of Windows has them: places that exist, in any case; what is set already stays."""
        text = """
            import os, tempfile
            from os import environ, getenv
            home = os.path.expanduser("~")
            print(environ["USERPROFILE"] == home == environ["HOMEDRIVE"] + environ["HOMEPATH"])
            print(os.path.relpath(environ["APPDATA"], home), os.path.relpath(environ["LOCALAPPDATA"], home))
            print([os.path.isdir(environ[name]) for name in ("APPDATA", "LOCALAPPDATA", "TEMP", "TMP")])
            print(environ["TEMP"], bool(environ["COMPUTERNAME"]), bool(environ["USERNAME"]))
            print(environ["AppData"] == environ.get("appdata") == os.getenv("Appdata") == getenv("APPDATA"))
            print("appdata" in environ, environ.get("nothing"), os.getenv("nothing", "else"))
            environ["NEW"] = "1"
            os.environ["Other"] = "2"
            print(os.environ["new"], environ["Other"], "OTHER" in environ, "NEW" in dict(environ))
            os.system("echo $NEW $Other $APPDATA")
            """
        home = os.getcwd()
        assert run(text, "--windows", TEMP="/tmp", COMPUTERNAME="mine") == [
            "True",
            ".config .local/share",
            "[True, True, True, True]",
            "/tmp True True",
            "True",
            "True None else",
            "1 2 False True",
            f"1 2 {home}/.config",
        ]

    def test_a_set_variable_stays(self) -> None:
        """A variable that the user has set is not touched."""
        text = "import os; print(os.environ['APPDATA'], os.environ['USERNAME'])"
        Path("data").mkdir()
        assert run(text, "--windows", APPDATA="data", USERNAME="me") == ["data me"]


class TestErrors:
    def test_winerror(self) -> None:
        """Errors of the system have the code that Windows has for them; those of namedmap their own."""
        text = """
            import os, socket
            import namedmap
            def code(call, *arguments):
                try:
                    call(*arguments)
                except OSError as error:
                    return error.winerror, getattr(error, "winerror", "none"), error.errno is not None
            os.mkdir("there")
            open("there/file", "w", encoding="utf-8").close()
            print(code(open, "none"), code(os.mkdir, "there"), code(os.rmdir, "there"), code(os.listdir, "there/file"))
            print(code(os.close, 999), code(socket.create_connection, ("127.0.0.1", 1)))
            print(code(namedmap.open, "none"), OSError("text").winerror, OSError(4242, "?").winerror)
            error = OSError(2, "text")
            error.winerror = 77
            print(error.winerror, FileNotFoundError.winerror is OSError.winerror, WindowsError is OSError)
            class Own(OSError):
                winerror = 5
            print(Own(2, "x").winerror)
            """
        assert run(text, "--windows") == [
            "(2, 2, True) (183, 183, True) (145, 145, True) (267, 267, True)",
            "(6, 6, True) (10061, 10061, True)",
            "(2, 2, True) None 31",
            "77 True True",
            "5",
        ]


SHOW = "import os, sys, mmap; print(os.name, sys.argv[1:], mmap.mmap.__module__, __name__, *sys.path[:1])"


class TestChildren:
    """Programs that a program starts with sys.executable."""

    def test_scripts_modules_and_code(self) -> None:
        """Each has the stand-ins, its own arguments, and its own place in front of the path."""
        Path("sub").mkdir()
        for name in ("sub/child.py", "module.py"):
            Path(name).write_text(SHOW, encoding="utf-8")
        text = f"""
            import subprocess, sys
            from pathlib import Path
            def show(*words, **options):
                print(subprocess.run([*words], capture_output=True, text=True, check=True, **options).stdout.strip())
            show(sys.executable, "sub/child.py", "-c", "x")
            show(sys.executable, Path("sub/child.py").absolute(), b"y")
            show(sys.executable, "-u", "-W", "ignore", "-X", "utf8", "-m", "module", "--windows", "-m")
            show(sys.executable, "-um", "module")
            show(sys.executable, "-c", {SHOW!r}, "-m", "z")
            show(sys.executable, "-Bc{SHOW}")
            show(sys.executable, "sub/child.py", env={{"HOME": "."}})
            show(sys.executable, "-I", "sub/child.py")
            """
        place = os.getcwd()
        told = "nt {} namedmap.compat.mmap __main__ {}"
        assert run(text, "--windows") == [
            told.format("['-c', 'x']", f"{place}/sub"),
            told.format("['y']", f"{place}/sub"),
            told.format("['--windows', '-m']", place),
            told.format("[]", place),
            told.format("['-m', 'z']", "").rstrip(),
            told.format("[]", "").rstrip(),
            told.format("[]", f"{place}/sub"),
            told.format("[]", _safe_path()),
        ]

    def test_of_a_program_that_is_not_told(self) -> None:
        """Its children have the stand-ins, and are not told either."""
        Path("child.py").write_text(SHOW, encoding="utf-8")
        text = "import subprocess, sys; subprocess.run([sys.executable, 'child.py'], check=True)"
        assert run(text) == [f"posix [] namedmap.compat.mmap __main__ {os.getcwd()}"]

    def test_other_commands(self) -> None:
        """A command that is no program of this interpreter is left alone: other commands, its version, its input."""
        text = """
            import subprocess, sys
            print(subprocess.check_output(["echo", sys.executable == sys.executable and "-c", "x"], text=True).strip())
            print(subprocess.check_output([sys.executable, "--version"], text=True).startswith("Python"))
            print(subprocess.check_output([sys.executable, "-V"], text=True).startswith("Python"))
            def said(command, text):
                return subprocess.run(command, input=text, text=True, stdout=-1).stdout.strip()
            print(said([sys.executable], "import os; print(os.name)"))
            print(said([sys.executable, "-"], "print(1)"), said(sys.executable, "print(2)"))
            print(subprocess.check_output([sys.executable, "-m", "json.tool", "--help"], text=True)[:5])
            print(subprocess.run([sys.executable, "none.py"], capture_output=True).returncode)
            """
        assert run(text, "--windows") == ["-c x", "True", "True", "posix", "1 2", "usage", "2"]

    def test_an_installed_module_is_not_told(self) -> None:
        """pip and its like, started with -m, see Linux; the program's own package sees Windows."""
        Path("site-packages/installed").mkdir(parents=True)
        Path("site-packages/installed/__main__.py").write_text(SHOW, encoding="utf-8")
        Path("own").mkdir()
        Path("own/__main__.py").write_text(SHOW, encoding="utf-8")
        text = """
            import os, subprocess, sys
            os.environ["PYTHONPATH"] += ":" + os.path.abspath("site-packages")
            for module in ("installed", "own"):
                subprocess.run([sys.executable, "-m", module], check=True)
            """
        shown = run(text, "--windows")
        assert [line.split()[0] for line in shown] == ["posix", "nt"]

    def test_words_that_come_one_by_one(self) -> None:
        """An iterator given to Popen is read once: a program of this interpreter and any other get all of the words."""
        Path("child.py").write_text(SHOW, encoding="utf-8")
        text = """
            import subprocess, sys
            subprocess.run(iter([sys.executable, "child.py", "a"]), check=True)
            subprocess.run((word for word in ("echo", "b", "c")), check=True)
            subprocess.run(("echo", "d"), check=True)
            """
        assert run(text, "--windows") == [f"nt ['a'] namedmap.compat.mmap __main__ {os.getcwd()}", "b c", "d"]

    @pytest.mark.parametrize("method", ["spawn", "forkserver"])
    def test_processes_of_an_installed_module(self, method: str) -> None:
        """A process that multiprocessing starts for a module that is not the program's own sees Linux as that one does,
        and its own children have the stand-ins."""
        Path("site-packages/installed").mkdir(parents=True)
        Path("site-packages/installed/tool.py").write_text(
            textwrap.dedent(
                f"""
                import multiprocessing, os, subprocess, sys
                def show():
                    print(os.name, __name__, flush=True)
                    code = "import mmap; print(mmap.mmap.__module__, flush=True)"
                    subprocess.run([sys.executable, "-c", code], check=True)
                if __name__ == "__main__":
                    show()
                    child = multiprocessing.get_context({method!r}).Process(target=show)
                    child.start()
                    child.join()
                """
            ),
            encoding="utf-8",
        )
        text = """
            import os, subprocess, sys
            os.environ["PYTHONPATH"] += ":" + os.path.abspath("site-packages")
            subprocess.run([sys.executable, "-m", "installed.tool"], check=True)
            """
        stand_in = "namedmap.compat.mmap"
        assert run(text, "--windows") == ["posix __main__", stand_in, "posix __mp_main__", stand_in]

    def test_processes_of_a_program_that_is_not_told(self) -> None:
        """A process that multiprocessing starts passes the stand-ins on to the programs that it starts itself."""
        text = """
            import multiprocessing, subprocess, sys
            def show():
                subprocess.run([sys.executable, "-c", "import mmap; print(mmap.mmap.__module__)"], check=True)
            if __name__ == "__main__":
                child = multiprocessing.get_context("spawn").Process(target=show)
                child.start()
                child.join()
            """
        assert run(text) == ["namedmap.compat.mmap"]

    def test_grandchildren_and_status(self) -> None:
        """They pass it on; exit statuses, input and output are the child's own."""
        Path("child.py").write_text(
            "import os, subprocess, sys\n"
            "depth = int(sys.argv[1])\n"
            "if depth:\n"
            "    sys.exit(subprocess.call([sys.executable, __file__, str(depth - 1)]) + 1)\n"
            "print(os.name, sys.stdin.read(), flush=True)\n"
            "sys.exit(40)\n",
            encoding="utf-8",
        )
        text = """
            import subprocess, sys
            print(subprocess.run([sys.executable, "child.py", "2"], input="in", text=True).returncode)
            """
        assert run(text, "--windows") == ["nt in", "42"]


def _safe_path() -> str:
    """The first entry on the path of an isolated Python."""
    code = "import sys; print(sys.path[0])"
    return subprocess.check_output([sys.executable, "-I", "-c", code], text=True).strip()


class TestCommands:
    """How a command line of Python is read."""

    @pytest.mark.parametrize(
        ("words", "flags", "program"),
        [
            ("a.py -c x", "", "a.py -c x"),
            ("-u a.py", "-u", "a.py"),
            ("-Wignore -X dev a.py", "-Wignore -X dev", "a.py"),
            ("-X dev -m a.b -c", "-X dev", "-m a.b -c"),
            ("-ma", "", "-m a"),
            ("-OOBm a", "-OOB", "-m a"),
            ("-uW ignore -c pass", "-uW ignore", "-c pass"),
            ("--check-hash-based-pycs always a.py", "--check-hash-based-pycs always", "a.py"),
        ],
    )
    def test_a_program(self, words: str, flags: str, program: str) -> None:
        """Python's own options stay before the program; the program's stay behind it."""
        made = _children.launched([sys.executable, *words.split()])
        assert made[: 1 + len(flags.split())] == [sys.executable, *flags.split()]
        assert made[len(made) - len(program.split()) :] == program.split()
        assert made[1 + len(flags.split())].endswith("launch.py")

    @pytest.mark.parametrize("words", ["", "-", "-V", "--version", "-h", "-i", "-u -", "-W ignore", "-?"])
    def test_no_program(self, words: str) -> None:
        """Without a program the command stays what it is; so does that of another one."""
        for first in (sys.executable, "/bin/echo"):
            command = [first, *words.split()]
            assert _children.launched(command) is command
        assert _children.launched(["/bin/echo", "a.py"]) == ["/bin/echo", "a.py"]
