"""namedmap.compat on Windows: what Python has there stays, what it lacks is there."""

import ctypes
import importlib.util
import mmap
import multiprocessing
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from child import WATCHDOG
from namedmap.compat import builtin, windll
from namedmap.compat import mmap as our_mmap
from namedmap.compat.shared_memory import ShareableList, SharedMemory

pytest.importorskip("msvcrt", reason="for Windows Python: tests/windows/python")

PYWIN32 = ("win32event", "win32file", "win32api", "win32con", "win32process", "win32security", "pywintypes", "mmapfile")


def program(path: Path, text: str) -> str:
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return str(path)


def said(*words: str, status: int = 0) -> list[str]:
    """The lines that `namedmap run` prints, with its exit status."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "namedmap", "run", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=WATCHDOG,
        text=True,
        check=False,
    )
    assert ran.returncode == status, ran.stdout
    return ran.stdout.splitlines()


class TestInstall:
    def test_real_modules_stay(self) -> None:
        """install leaves alone what Python has on Windows, windows=True included; what imports them later gets them."""
        code = """
            import builtins, ctypes, ctypes.wintypes, mmap, msvcrt, os, sys, _winapi
            from multiprocessing import shared_memory
            def state():
                import multiprocessing.shared_memory as again
                import ctypes, mmap, msvcrt, _winapi
                return [ctypes.windll, ctypes.WinDLL, ctypes.Structure, ctypes.wintypes.DWORD, ctypes.WinError,
                        mmap.mmap, mmap, msvcrt, _winapi, again, again.SharedMemory, os.name, sys.platform,
                        builtins.__import__, sys.modules["mmap"], sys.modules["msvcrt"], builtins.WindowsError]
            before = state()
            from namedmap import compat
            compat.install(windows=True)
            compat.install(windows=True)
            after = state()
            print([index for index, pair in enumerate(zip(before, after)) if pair[0] is not pair[1]], len(before))
            """
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, timeout=WATCHDOG, check=False, text=True
        )
        assert (ran.stdout, ran.stderr) == ("[] 17\n", "")

    def test_names_of_ctypes(self) -> None:
        """The names of `compat.windll` are those of ctypes."""
        for name in windll.__all__:
            if name != "install":
                assert getattr(windll, name) is getattr(ctypes, name)

    def test_modules_of_windows(self) -> None:
        """msvcrt and _winapi are Python's own."""
        for name in builtin.NAMES:
            assert builtin.module(name) is sys.modules[name]

    def test_pywin32(self, tmp_path: Path) -> None:
        """Without pywin32 its modules are ours, over the real functions."""
        assert importlib.util.find_spec("win32event") is None, "pywin32 is installed here: this test is for one without"
        text = f"""
            import pywintypes, win32api, win32con, win32event, win32file, mmapfile
            print(win32event.__name__)
            mutex = win32event.CreateMutex(None, True, "compat-mutex")
            again = win32event.CreateMutex(None, False, "compat-mutex")
            print(win32api.GetLastError(), win32event.WaitForSingleObject(again, 0))
            event = win32event.CreateEvent(None, False, True, None)
            print(win32event.WaitForSingleObject(event, 0), win32event.WaitForSingleObject(event, 0))
            try:
                win32event.OpenMutex(win32con.SYNCHRONIZE, False, "compat-none")
            except pywintypes.error as error:
                print(error.winerror, error.funcname)
            memory = mmapfile.mmapfile(None, "compat-memory", 4096)
            memory.write(b"shared")
            other = mmapfile.mmapfile(None, "compat-memory", 4096)
            print(other.read(6))
            access = win32con.GENERIC_READ | win32con.GENERIC_WRITE
            path = {str(tmp_path / "file")!r}
            file = win32file.CreateFile(path, access, 0, None, win32con.CREATE_NEW, 0, None)
            print(win32file.WriteFile(file, b"bytes"), win32file.GetFileSize(file))
            """
        assert said(program(tmp_path / "program.py", text)) == [
            "namedmap.compat.pywin32.win32event",
            "183 0",
            "0 258",
            "2 OpenMutex",
            "b'shared'",
            "(0, 5) 5",
        ]


class TestRun:
    def test_a_program(self, tmp_path: Path) -> None:
        """It runs as by Python itself: arguments, exit status, its own directory, Windows' own ctypes."""
        text = """
            import ctypes, os, sys
            print(__name__, sys.argv[1:], os.name, ctypes.windll.kernel32.GetCurrentProcessId() == os.getpid())
            sys.exit(7)
            """
        path = program(tmp_path / "program.py", text)
        assert said(path, "--x", "y", status=7) == ["__main__ ['--x', 'y'] nt True"]
        assert said("--windows", path, status=7) == ["__main__ [] nt True"]

    def test_what_it_starts(self, tmp_path: Path) -> None:
        """Programs and processes that it starts have the stand-ins, too."""
        if importlib.util.find_spec("win32event") is not None:
            pytest.skip("pywin32 is installed, and stays: there is nothing to pass on")
        text = """
            import multiprocessing, subprocess, sys
            def show():
                import win32event
                print(win32event.__name__, flush=True)
            if __name__ == "__main__":
                child = multiprocessing.Process(target=show)
                child.start()
                child.join()
                code = "import win32event; print(win32event.__name__, flush=True)"
                subprocess.run([sys.executable, "-c", code], check=True)
                subprocess.run(iter([sys.executable, "-c", code]), check=True)
            """
        assert said(program(tmp_path / "program.py", text)) == ["namedmap.compat.pywin32.win32event"] * 3

    def test_a_program_that_is_not_there(self) -> None:
        """The error names it, with the status for wrong arguments."""
        [*_, line] = said("none.py", status=2)
        assert "none.py" in line


class TestMmap:
    def test_it_is_the_standard_class(self) -> None:
        """compat.mmap passes the standard library's class through, tag names included."""
        assert our_mmap.mmap is mmap.mmap
        make: Any = our_mmap.mmap
        with make(-1, 1000, tagname="compat-tag") as one, make(-1, 1000, "compat-tag") as other:
            one[:5] = b"hello"
            assert other[:5] == b"hello"


def _tell(answers: Any, block: SharedMemory, items: ShareableList) -> None:
    answers.put((block.size, bytes(block.buf[:5]) if block.buf else b"", list(items)))
    block.close()
    items.shm.close()


class TestSharedMemory:
    def test_lifetime_and_track(self) -> None:
        """A block takes `track`, has the size that was asked for, and ends with the last who has it."""
        block = SharedMemory(create=True, size=1000, track=False)
        assert block.size == 1000
        other = SharedMemory(block.name, track=True)
        assert other.size == mmap.PAGESIZE  # NT knows whole pages
        assert other.buf is not None
        other.buf[999] = 7
        block.close()
        assert other.buf[999] == 7
        other.close()
        with pytest.raises(FileNotFoundError):
            SharedMemory(block.name)

    def test_exact_sizes(self) -> None:
        """A pickle tells the size; who names one gets that much, but never more than there is."""
        block = SharedMemory("compat-block", create=True, size=1000)
        sent: Callable[[], SharedMemory] = lambda: pickle.loads(pickle.dumps(block))  # noqa: E731
        for other, size in (
            (sent(), 1000),
            (SharedMemory("compat-block", size=10), 10),
            (SharedMemory("compat-block", size=10**6), mmap.PAGESIZE),
        ):
            assert (other.size, len(other.buf or b"")) == (size, size)
            other.close()
        with pytest.raises(FileExistsError):
            SharedMemory("compat-block", create=True, size=1000)
        block.close()

    def test_passed_to_a_process(self) -> None:
        """A block and a list that go to a new process are kept open on the way, though the sender closes them."""
        context = multiprocessing.get_context("spawn")
        block, items = SharedMemory(create=True, size=1000), ShareableList([1, "a\0", b"b\0", None, 2.5])
        assert block.buf is not None
        block.buf[:5] = b"hello"
        answers = context.Queue()
        child = context.Process(target=_tell, args=(answers, block, items))
        child.start()
        block.close()
        items.shm.close()
        assert answers.get(timeout=WATCHDOG) == (1000, b"hello", [1, "a\0", b"b\0", None, 2.5])
        child.join(WATCHDOG)
        assert child.exitcode == 0
        answers.close()
        answers.join_thread()
        for name in (block.name, items.shm.name):
            with pytest.raises(FileNotFoundError):
                SharedMemory(name)
