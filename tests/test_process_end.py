"""The end of the interpreter: handles stay usable to the last finalizer, and names go all the same."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from child import WATCHDOG, Spawn
from namedmap import Mutex, open_or_create, win32

RUN = ("-m", "namedmap", "run")


@pytest.fixture(autouse=True)
def _here(directory: Path) -> None:
    """Each test works in a directory of its own."""


def ended(text: str, *words: str, **modules: str) -> str:
    """The output of a program on both streams; it must end well."""
    for name, content in {"program": text, **modules}.items():
        Path(f"{name}.py").write_text(textwrap.dedent(content), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([path for path in sys.path if path])}
    done = subprocess.run(
        [sys.executable, *words, "program.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WATCHDOG,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


#: One of everything that has a finalizer.
ALL = """
    import asyncio, mmap, multiprocessing.shared_memory, threading
    import namedmap, win32event, mmapfile
    from namedmap.compat import mmap as tagged

    def make(prefix):
        mapping = namedmap.open_or_create(f"{prefix}-section", 100)
        mutex, event = namedmap.Mutex(f"{prefix}-mutex"), namedmap.Event(f"{prefix}-event")
        semaphore = namedmap.Semaphore(f"{prefix}-semaphore", 1)
        mutex.acquire()
        return [
            mapping, mapping.view(), mapping.view().buf, mutex, event, semaphore,
            win32event.CreateMutex(None, True, f"{prefix}-handle"),
            mmapfile.mmapfile(None, f"{prefix}-file", 100),
            tagged.mmap(-1, 100, tagname=f"{prefix}-tag"),
            multiprocessing.shared_memory.SharedMemory(f"{prefix}-block", create=True, size=100),
        ]
    """


class TestFinalizers:
    """Objects that are dropped when the interpreter takes itself down."""

    def test_a_handle_in_a_global(self) -> None:
        """The single-instance recipe: `__del__` of a global closes its handle after exit handlers have run."""
        text = """
            from win32api import CloseHandle, GetLastError
            from win32event import CreateMutex
            from winerror import ERROR_ALREADY_EXISTS

            class singleinstance:
                def __init__(self):
                    self.mutexname = "testmutex_{D0E858DF-985E-4907-B7FB-8D732C3FC3B9}"
                    self.mutex = int(CreateMutex(None, False, self.mutexname).Detach())
                    self.lasterror = GetLastError()
                def alreadyrunning(self):
                    return self.lasterror == ERROR_ALREADY_EXISTS
                def __del__(self):
                    if self.mutex:
                        CloseHandle(self.mutex)
                        print("closed")
            myapp = singleinstance()
            again = singleinstance()
            print(myapp.alreadyrunning(), again.alreadyrunning())
            """
        assert ended(text, *RUN).splitlines() == ["False True", "closed", "closed"]

    def test_every_use_in_a_finalizer(self) -> None:
        """A finalizer can use its handles as before: waits, views, sizes, duplicates, new objects."""
        text = """
            import ctypes
            import namedmap
            from namedmap import win32

            class Held:
                def __init__(self):
                    self.mapping = namedmap.create("end-section", 100)
                    self.view = self.mapping.view()
                    self.mutex, self.event = namedmap.Mutex("end-mutex"), namedmap.Event("end-event")
                    self.mutex.acquire()
                    self.raw = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 100, "end-raw")
                def __del__(self):
                    self.view[:2] = b"ab"
                    print(self.view[:2], self.mapping.size, self.mapping.view()[:2])
                    print(self.mutex.acquire(timeout=0), self.mutex.release(), self.mutex.release())
                    self.event.set()
                    print(self.event.wait(timeout=0), self.event.wait(timeout=0))
                    address = win32.MapViewOfFile(self.raw, win32.FILE_MAP_WRITE, 0, 0, 0)
                    print(ctypes.string_at(address, 2), win32.UnmapViewOfFile(address))
                    copy = win32.HANDLE()
                    this = win32.GetCurrentProcess()
                    print(win32.DuplicateHandle(this, self.raw, this, copy, 0, False, win32.DUPLICATE_SAME_ACCESS))
                    print(win32.CloseHandle(copy.value), win32.CloseHandle(self.raw), win32.CloseHandle(self.raw))
                    with namedmap.create("end-section", 10) as new:
                        print(new.size)
                    self.mapping.close(), self.mutex.close(), self.event.close()
            held = Held()
            """
        assert ended(text).splitlines() == [
            "b'ab' 100 b'ab'",
            "True None None",
            "True True",
            r"b'\x00\x00' True",
            "True",
            "True True False",
            "10",
        ]

    @pytest.mark.parametrize("flags", [(), ("--windows",)])
    @pytest.mark.parametrize(
        "keep",
        [
            "kept = make('g')",
            "cycle = [make('c')]; cycle.append(cycle)",
            "import other; other.kept = make('o')",
            "import builtins; builtins.kept = make('b')",
            "import sys; sys.kept = make('s')",
            "import contextvars; contextvars.ContextVar('v').set(make('v'))",
            "import codecs; codecs.register(lambda name, kept=make('d'): None)",
            "local = threading.local(); local.kept = make('l')",
            "import atexit; atexit.register(print, end='', file=None, sep='', *[make('a')][:0])",
            """
kept = make('t')
made = threading.Event()
def forever(lock=threading.Lock()):
    mine = make('u')
    made.set()
    lock.acquire(); lock.acquire()
threading.Thread(target=forever, daemon=True).start()
made.wait()
            """,
            """
class Late:
    def __init__(self): self.kept = make('x')
    def __del__(self): self.kept.append(make('y'))
late = Late()
            """,
        ],
    )
    def test_wherever_they_are(self, keep: str, flags: tuple[str, ...]) -> None:
        """In globals, cycles, other modules, what the interpreter keeps, threads: nothing is said, no name is left."""
        assert ended(textwrap.dedent(ALL) + keep, *RUN, *flags, other="") == ""


class TestNames:
    """Names of a process that ended with its handles open."""

    def test_a_name_goes_before_finalizers(self, spawn: Spawn) -> None:
        """Nobody finds the objects of a process that is ending; those that others hold go on, and end with them."""
        with open_or_create("shared", 10) as mine:
            text = """
                import namedmap, os
                class Held:
                    def __init__(self):
                        self.ours, self.theirs = namedmap.create("own", 10), namedmap.open("shared")
                    def __del__(self):
                        self.theirs.view()[0:1] = b"x"
                        os.write(1, b"in\\n")
                        os.read(0, 1)
                held = Held()
                """
            child = spawn(text)
            assert child.line() == "in"
            assert not win32.OpenFileMapping(win32.FILE_MAP_READ, False, "own")
            assert mine.view()[0:1] == b"x"
            child.send("")
            assert child.wait() == 0
        assert not win32.OpenFileMapping(win32.FILE_MAP_READ, False, "shared")

    def test_an_owned_mutex_is_abandoned_by_the_end(self, spawn: Spawn) -> None:
        """A finalizer still owns what its process owned; then others find it abandoned."""
        with Mutex("owned") as mutex:
            child = spawn(
                """
                import os
                class Held:
                    def __init__(self):
                        self.mutex = namedmap.Mutex("owned")
                        say("there")
                        self.mutex.acquire()
                    def __del__(self):
                        os.write(1, b"in\\n")
                        os.read(0, 1)
                held = Held()
                """
            )
            assert child.line() == "there"
            mutex.release()
            assert child.line() == "in"
            assert not mutex.acquire(timeout=0)
            child.send("")
            assert child.wait() == 0
            with pytest.warns(match="abandoned"):
                assert mutex.acquire(timeout=0)

    def test_delete_on_close(self, spawn: Spawn) -> None:
        """A file that is to be deleted with its handle goes at the end of the process."""
        path = Path("gone").absolute()
        flags = "win32.CREATE_NEW, win32.FILE_FLAG_DELETE_ON_CLOSE"
        child = spawn(f"win32.CreateFile({str(path)!r}, win32.GENERIC_WRITE, 0, None, {flags}, None)")
        assert child.wait() == 0
        assert not path.exists()
