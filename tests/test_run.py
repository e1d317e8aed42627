"""python -m namedmap run, and namedmap.compat.install: programs for Windows, in processes of their own."""

import os
import signal
import subprocess
import sys
import textwrap
import zipapp
from pathlib import Path

import pytest

from child import WATCHDOG, Spawn, eventually
from namedmap import win32

RUN = [sys.executable, "-X", "dev", "-W", "error", "-m", "namedmap", "run"]


@pytest.fixture(autouse=True)
def _here(directory: Path) -> None:
    """Each test works in a directory of its own."""


def write(path: str, text: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def run(*words: str, status: int = 0, python: tuple[str, ...] = tuple(RUN)) -> str:
    """The output of a program; it ends with `status` and, if that is 0, complains about nothing."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([path for path in sys.path if path])}
    done = subprocess.run(
        [*python, *words], capture_output=True, text=True, timeout=WATCHDOG, env=environment, check=False
    )
    assert done.returncode == status, done.stderr
    assert status or not done.stderr, done.stderr
    return done.stdout if not status else done.stdout + done.stderr


def run_text(text: str, *words: str) -> str:
    return run(*words, write("program.py", text))


class TestCommandLine:
    """The program that is run, its arguments, and how it ends."""

    SHOW = "import sys\nprint(__name__, __file__, sys.argv, sys.path[0], __spec__ and __spec__.name)\n"

    def test_a_script(self) -> None:
        """A script is __main__, has its own arguments, and finds the modules beside it."""
        write("sub/beside.py", "NAME = 'beside'")
        write("sub/program.py", self.SHOW + "import beside, __main__; print(beside.NAME, __main__.__file__)")
        shown, beside = run("sub/program.py", "--windows", "-m", "x").splitlines()
        place = Path("sub").resolve()
        assert shown == f"__main__ sub/program.py ['sub/program.py', '--windows', '-m', 'x'] {place} None"
        assert beside == "beside sub/program.py"

    def test_a_module(self) -> None:
        """-m runs a module, or the __main__ of a package; what follows is its."""
        write("pack/__init__.py", "")
        main = write("pack/__main__.py", self.SHOW + "from . import other; print(other.__name__)")
        write("pack/other.py", "")
        here = os.getcwd()
        shown, other = run("-m", "pack", "-m", "--windows").splitlines()
        assert shown == f"__main__ {here}/{main} ['{here}/{main}', '-m', '--windows'] {here} pack.__main__"
        assert other == "pack.other"
        assert "'--sort-keys'" not in run("-m", "json.tool", "--help")

    def test_a_directory_and_an_archive(self) -> None:
        """A directory or zip archive with a __main__.py is run, as Python does."""
        write("app/__main__.py", self.SHOW + "import inside; print(inside.__name__)")
        write("app/inside.py", "")
        zipapp.create_archive("app", "app.pyz")
        for path in ("app", "app.pyz"):
            shown, inside = run(path, "x").splitlines()
            place = Path(path).absolute()
            assert shown == f"__main__ {place}/__main__.py ['{path}', 'x'] {place} __main__"
            assert inside == "inside"

    def test_status(self) -> None:
        """The exit status is the program's, also that of an exception, whose traceback is shown."""
        run(write("exits.py", "import sys; sys.exit(7)"), status=7)
        shown = run(write("raises.py", "def f():\n    raise KeyError('what')\nf()"), status=1)
        assert "KeyError: 'what'" in shown
        assert 'raises.py", line 2, in f' in shown

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ((), "which program"),
            (("none.py",), "none.py"),
            (("-m", "no.such.module"), "no"),
            (("-m", "email"), "email"),
            (("--unknown", "x.py"), "--unknown"),
            (("-m",), "-m"),
        ],
    )
    def test_what_cannot_be_run(self, words: tuple[str, ...], expected: str) -> None:
        """Nothing to run, or nothing of this name: a usage error that says so."""
        shown = run(*words, status=2)
        assert expected in shown
        assert "Traceback" not in shown

    def test_without_a_command(self) -> None:
        """python -m namedmap alone says what there is."""
        assert "run" in run(python=(sys.executable, "-m", "namedmap"))

    def test_after_its_end(self) -> None:
        """Threads and exit handlers of a program that has come to its end find it as they left it."""
        text = """
            import atexit, pickle, threading, time
            class Own: pass
            def later():
                threading.main_thread().join()
                print(type(pickle.loads(pickle.dumps(Own()))).__name__, name)
            name = "still there"
            atexit.register(lambda: print("bye", name))
            threading.Thread(target=later).start()
            """
        assert sorted(run_text(text).splitlines()) == ["Own still there", "bye still there"]


class TestInstalled:
    """The modules that a program finds."""

    def test_ctypes(self) -> None:
        """from ctypes import windll works, and so do the other names that Windows has; the sizes are those there."""
        text = """
            import ctypes
            from ctypes import *
            from ctypes import wintypes, WinDLL, windll, WinError, get_last_error, WINFUNCTYPE
            from ctypes.wintypes import DWORD, FILETIME, MSG
            print(sizeof(DWORD), sizeof(wintypes.LONG), sizeof(FILETIME), sizeof(MSG), sizeof(wintypes.HANDLE))
            print(sizeof(c_long), ctypes.sizeof(wintypes.WPARAM))
            kernel32 = WinDLL("kernel32", use_last_error=True)
            kernel32.OpenMutexW.restype = wintypes.HANDLE
            print(kernel32.OpenMutexW(1, False, "none"), get_last_error(), WinError(get_last_error()).winerror)
            try:
                raise WinError(5)
            except WindowsError as error:
                print(type(error).__mro__[-4].__name__, error.winerror)
            import warnings
            warnings.simplefilter("ignore")
            try:
                ctypes.oledll.shcore.SetProcessDpiAwareness(1)
            except OSError as error:
                print(error.winerror == ctypes.HRESULT(0x80004001).value)
            """
        assert run_text(text).splitlines() == [
            "4 4 8 48 8",
            "8 8",
            "None 2 2",
            "OSError 5",
            "True",
        ]

    def test_loaders(self) -> None:
        """Other loaders know the libraries of Windows as well, and load all others as before."""
        text = """
            import ctypes, os
            libc = ctypes.CDLL("libc.so.6")
            print(libc.getpid() == os.getpid(), isinstance(libc, ctypes.CDLL), type(libc).__name__)
            print(ctypes.cdll.LoadLibrary("libc.so.6").getpid() == os.getpid(), ctypes.pythonapi.Py_IsInitialized())
            print(ctypes.cdll.msvcrt.strlen(b"four"), ctypes.cdll.kernel32.CloseHandle(0))
            print(ctypes.CDLL("msvcrt").abs(-3), ctypes.CDLL("kernel32.dll").GetLastError())
            class Own(ctypes.CDLL):
                pass
            print(Own(None).getpid() == os.getpid(), type(Own(None)).__name__)
            """
        assert run_text(text).splitlines() == ["True True CDLL", "True 1", "4 0", "3 6", "True Own"]

    def test_other_modules(self) -> None:
        """mmap takes tag names, shared_memory is ours, pywin32's modules can be imported, mbcs is an encoding."""
        text = """
            import mmap, multiprocessing
            from mmap import mmap as imported
            from multiprocessing import shared_memory
            from multiprocessing.shared_memory import SharedMemory
            import multiprocessing.managers, multiprocessing.shared_memory
            import mmapfile, pywintypes, win32api, win32con, win32event, win32file
            with imported(-1, 100, "run-tag") as one, mmap.mmap(0, 100, tagname="run-tag") as other:
                one[0] = 65
                print(other[:1])
            block = SharedMemory("run-block", create=True, size=100)
            block.unlink()
            print(SharedMemory("run-block").size, multiprocessing.shared_memory.SharedMemory is SharedMemory)
            print(multiprocessing.managers.shared_memory is shared_memory)
            event = win32event.CreateEvent(None, True, True, None)
            print(win32event.WaitForSingleObject(event, 0) == win32event.WAIT_OBJECT_0)
            print("ä".encode("mbcs"), b"\\xe4".decode("ansi"))
            """
        assert run_text(text).splitlines() == ["b'A'", "100 True", "True", "True", r"b'\xe4' ä"]

    def test_the_resource_tracker(self) -> None:
        """The tricks of programs against the standard library's tracker of blocks (cpython#82300) are no error."""
        text = """
            from multiprocessing import resource_tracker, shared_memory
            from multiprocessing.resource_tracker import unregister
            block = shared_memory.SharedMemory(create=True, size=10)
            other = shared_memory.SharedMemory(block.name)
            resource_tracker.unregister(other._name, "shared_memory")
            unregister("/" + block.name, "shared_memory")
            resource_tracker._resource_tracker.unregister(block._name, "shared_memory")
            other.close()
            block.close()
            block.unlink()
            print(resource_tracker._resource_tracker._pid)
            """
        assert run_text(text) == "None\n"

    def test_blocks_of_before(self) -> None:
        """A block of the standard library that was there before is looked after as before."""
        text = """
            from multiprocessing import shared_memory
            block = shared_memory.SharedMemory(create=True, size=10)
            import namedmap.compat
            namedmap.compat.install()
            block.close()
            block.unlink()
            """
        assert run(write("program.py", text), python=(sys.executable,)) == ""

    def test_twice(self) -> None:
        """install has no effect the second time, and can disguise later."""
        text = """
            import ctypes, mmap
            import namedmap.compat
            namedmap.compat.install()
            before = ctypes.windll, mmap.mmap, ctypes.CDLL, __import__
            namedmap.compat.install()
            assert before == (ctypes.windll, mmap.mmap, ctypes.CDLL, __import__)
            import os
            assert os.name == "posix"
            namedmap.compat.install(windows=True)
            import os
            print(os.name)
            """
        assert run(write("program.py", text), python=(sys.executable, "-W", "error")) == "nt\n"

    def test_imports_stay_light(self) -> None:
        """Nothing is installed, nor imported, by an import of namedmap.compat."""
        text = """
            import sys
            import namedmap.compat
            print(sorted({"mmap", "multiprocessing", "asyncio", "ctypes.wintypes"} & set(sys.modules)))
            """
        assert "multiprocessing" not in run(write("program.py", text), python=(sys.executable,))


class TestChildren:
    """Processes that a program starts with multiprocessing."""

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    @pytest.mark.parametrize("windows", [False, True])
    def test_are_installed(self, method: str, windows: bool) -> None:
        """A child has what its parent has, however it is started, before it imports the program again."""
        text = f"""
            import ctypes, mmap, multiprocessing, sys
            kernel32 = ctypes.windll.kernel32       # at import: a child of spawn comes here again
            def child(queue):
                with mmap.mmap(-1, 10, "run-child") as shared:
                    queue.put((shared[:5], kernel32.CloseHandle(0), sys.platform))
            if __name__ == "__main__":
                context = multiprocessing.get_context({method!r})
                with mmap.mmap(-1, 10, "run-child") as shared:
                    shared[:5] = b"hello"
                    queue = context.Queue()
                    process = context.Process(target=child, args=(queue,))
                    process.start()
                    print(queue.get())
                    process.join()
            """
        # (Python itself warns of forks in its own threads, which queues have.)
        python = (sys.executable, "-m", "namedmap", "run", *(("--windows",) if windows else ()))
        shown = run(write("program.py", text), python=python)
        assert shown == f"(b'hello', 0, '{'win32' if windows else sys.platform}')\n"

    def test_of_a_package(self) -> None:
        """A child of a program that was run with -m belongs to it as well."""
        write("site-packages/pack/__init__.py", "")
        write(
            "site-packages/pack/__main__.py",
            """
            import multiprocessing
            from pack import other
            if __name__ == "__main__":
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    print(pool.apply(other.seen))
            """,
        )
        write(
            "site-packages/pack/other.py", "import os\ndef seen():\n    import sys\n    return os.name, sys.platform\n"
        )
        python = ("env", "PYTHONPATH=" + os.pathsep.join(["site-packages", *filter(None, sys.path)]), *RUN)
        assert run("--windows", "-m", "pack", python=python) == "('nt', 'win32')\n"


class TestDisguise:
    """--windows: who is told that this is Windows."""

    PROGRAM = """
        import os, sys, platform, subprocess, importlib, os.path
        import os as system
        from os import name
        from sys import platform as which
        import beside, installed
        print(os.name, name, system.name, sys.platform, which, platform.system(), os.path.sep)
        print(beside.seen(), installed.seen(), importlib.import_module("os").name)
        print(subprocess._mswindows, subprocess.run([sys.executable, "-c", "1"]).returncode)
        """
    MODULE = "def seen():\n    import os, sys\n    return os.name, sys.platform\n"

    @pytest.fixture(autouse=True)
    def _program(self) -> None:
        write("beside.py", self.MODULE)
        write("site-packages/installed.py", self.MODULE)
        write("program.py", "import sys; sys.path.append('site-packages')\n" + textwrap.dedent(self.PROGRAM))

    def test_nobody_unless_asked(self) -> None:
        """Without it everybody sees Linux."""
        first, second, third = run("program.py").splitlines()
        assert first == "posix posix posix linux linux Linux /"
        assert second == "('posix', 'linux') ('posix', 'linux') posix"
        assert third == "False 0"

    def test_the_program(self) -> None:
        """With it the script and what is beside it; not installed packages, nor the standard library."""
        first, second, third = run("--windows", "program.py").splitlines()
        assert first == "nt nt nt win32 win32 Windows /"
        assert second == "('nt', 'win32') ('posix', 'linux') posix"
        assert third == "False 0"

    def test_installed_packages_by_name(self) -> None:
        """--own tells an installed package as well, as if it were the program's."""
        for options in (("--own", "installed"), ("--windows", "--own=none", "--own", "installed")):
            _, second, _ = run(*options, "program.py", "--own").splitlines()
            assert second == "('nt', 'win32') ('nt', 'win32') posix"
        run("--own", status=2)

    def test_the_modules_are_the_real_ones_otherwise(self) -> None:
        """A name that a program sets in them, it sets for all; a name that it asks for is there."""
        text = """
            import os, sys, inspect
            real = sys.modules["sys"]
            sys.stdout = sys.stderr
            assert real.stdout is real.stderr
            sys.stdout = sys.__stdout__
            os.environ["SET"] = "1"
            os.unheard_of = 1
            assert sys.modules["os"].unheard_of == 1
            del os.unheard_of
            assert not hasattr(sys.modules["os"], "unheard_of") and not hasattr(os, "unheard_of")
            assert "path" in dir(os) and inspect.ismodule(os) and os.__name__ == "os"
            from os import *
            from sys import *
            print(getpid() == os.getpid(), sys.getwindowsversion().major, platform, argv[1:])
            """
        assert run("--windows", write("program.py", text), "x") == "True 10 win32 ['x']\n"

    def test_a_long_has_32_bits(self) -> None:
        """Structures of the program's own are as long as on Windows, also of c_long; others see the C library's."""
        text = """
            import ctypes, importlib
            from ctypes import *
            from ctypes import wintypes
            class Header(Structure):
                _fields_ = [("signature", c_ulong), ("version", ctypes.c_long), ("size", wintypes.DWORD)]
            windll.kernel32.GetCurrentThreadId.restype = c_ulong
            others = importlib.import_module("ctypes")
            print(sizeof(Header), sizeof(others.c_long), windll.kernel32.GetCurrentThreadId() > 0)
            """
        assert run("--windows", write("program.py", text)) == "12 8 True\n"

    def test_wide_text_has_16_bits(self) -> None:
        """c_wchar, and all that ctypes and wintypes have of it, in every way of importing; nobody else sees it."""
        text = """
            import ctypes, importlib, ctypes.wintypes, ctypes.wintypes as types
            from ctypes import *
            from ctypes import wintypes
            from ctypes.wintypes import WCHAR, LPWSTR, WIN32_FIND_DATAW
            class Page(Structure):
                _fields_ = [("name", c_wchar * 15), ("more", WCHAR * 3), ("number", c_long), ("text", LPWSTR)]
            print(WCHAR is types.WCHAR is ctypes.wintypes.WCHAR, sizeof(wintypes.WCHAR), sizeof(WIN32_FIND_DATAW))
            page = Page("name", "abc", 7, "kept")
            print(sizeof(Page), page.name, page.more, page.number, page.text, Page.number.offset)
            print(sizeof(create_unicode_buffer(4)), wstring_at(create_unicode_buffer("text")), c_wchar_p("x").value)
            real, theirs = importlib.import_module("ctypes"), importlib.import_module("ctypes.wintypes")
            print(sizeof(real.c_wchar), sizeof(theirs.WCHAR), theirs.POINT is wintypes.POINT)
            """
        shown = run("--windows", write("program.py", text)).splitlines()
        assert shown == ["True 2 592", "48 name abc 7 kept 36", "8 text x", "4 4 True"]

    def test_struct(self) -> None:
        """The native formats of struct have a long of 32 bits; all others are what they are."""
        text = """
            import importlib, struct
            from struct import Struct, calcsize, unpack
            class Own(Struct):
                def __init__(self):
                    super().__init__("bl")
            print(unpack("L", b"\\1\\0\\0\\0"), calcsize(b"@2lq"), calcsize("=l"), Struct("lL").size, Own().size)
            print(struct.pack("l", -1), struct.unpack_from(format="<l", buffer=b"\\2\\0\\0\\0"))
            print(importlib.import_module("struct").calcsize("l"))
            try:
                struct.unpack("L", b"")
            except struct.error as error:
                print(error)
            """
        shown = run("--windows", write("program.py", text)).splitlines()
        assert shown[:3] == ["(1,) 16 4 8 8", r"b'\xff\xff\xff\xff' (2,)", "8"]
        assert shown[3] == "unpack requires a buffer of 4 bytes"

    def test_other_ways_to_ask(self) -> None:
        """platform says Windows in all its ways; os has the flags of files that are there only."""
        text = """
            import os, platform
            print(platform.uname().system, platform.uname()[0], platform.platform()[:7], platform.machine())
            print(os.close(os.open(__file__, os.O_RDONLY | os.O_BINARY)))
            """
        assert run("--windows", write("program.py", text)).splitlines() == ["Windows Windows Windows AMD64", "None"]


class TestProcesses:
    """Programs that share, as they would on Windows."""

    READER = """
        import ctypes, sys
        from ctypes import wintypes
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel32.OpenFileMappingW.restype = kernel32.OpenEventW.restype = wintypes.HANDLE
        kernel32.MapViewOfFile.restype = wintypes.LPVOID
        section = kernel32.OpenFileMappingW(4, False, "Local\\\\run-shared")
        if not section:
            sys.exit(f"error {ctypes.get_last_error()}")
        event = kernel32.OpenEventW(0x100000, False, "Local\\\\run-event")
        view = kernel32.MapViewOfFile(section, 4, 0, 0, 0)
        print("ready", flush=True)
        assert kernel32.WaitForSingleObject(event, -1) == 0
        print(ctypes.string_at(view).decode(), flush=True)
        sys.stdin.readline()
        print(ctypes.string_at(view).decode(), flush=True)
        """
    WRITER = """
        view = win32.MapViewOfFile(create("Local\\\\run-shared"), win32.FILE_MAP_WRITE, 0, 0, 0)
        event = win32.CreateEvent(None, True, False, "Local\\\\run-event")
        say("made"); hear()
        poke(view, b"written\\0"); win32.SetEvent(event)
        say("set"); hear()
        """

    def test_a_reader_and_a_writer(self, spawn: Spawn) -> None:
        """A program for Windows reads what another process writes; it keeps the memory when that is killed."""
        write("reader.py", self.READER)
        assert "error 2" in run("reader.py", status=1)
        writer = spawn(self.WRITER)
        assert writer.line() == "made"
        reader = spawn("import os; os.execv(sys.argv[1], sys.argv[1:])", *RUN, "reader.py")
        assert reader.line() == "ready"
        writer.send("")
        assert writer.line() == "set"
        assert reader.line() == "written"
        assert writer.kill() == -signal.SIGKILL
        reader.send("")
        assert reader.line() == "written"
        assert reader.wait() == 0
        eventually(lambda: not win32.OpenFileMapping(4, False, "Local\\run-shared"), "the end of the section")
