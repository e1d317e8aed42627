"""Raise what a signal handler raises at each place of a call where the interpreter may run a handler:

    NAMEDMAP_ROOT=… PYTHONPATH=tests python -m programs.handlers [CALL…]

prints where it did not arrive as it is, and what came instead, or left the guard of an object locked; at the end, how
many places it was raised at. CPython runs handlers when a Python function begins, and when one of C has returned. A
profiler hears of the same moments, and what it raises goes the same way. Finalizers are left out: nobody sees an
exception that comes there. NAMEDMAP_ROOT is a directory for objects of its own.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import namedmap
from calls import object_files
from calls.kernel import locks
from namedmap import files, inspection, win32

NAME = "handlers"
MOST = 300
_PACKAGE = str(Path(namedmap.__file__).parent)


class Stop(TimeoutError):
    """As many programs have it, an OSError."""


class Handler:
    """Raises at the place of this number."""

    def __init__(self, number: int) -> None:
        self._left, self.where = number, ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if self.where or event not in ("call", "c_return") or not code.co_filename.startswith(_PACKAGE):
            return
        if _in_finalizer(frame):
            return
        self._left -= 1
        if not self._left:
            self.where = f"{code.co_filename.removeprefix(_PACKAGE)}:{frame.f_lineno} {code.co_name}, {event}"
            sys.setprofile(None)
            raise Stop("of the handler")


def _in_finalizer(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name in ("__del__", "finalize"):
            return True
        frame = frame.f_back
    return False


def attempt(call: Callable[[], object], handler: Handler) -> object:
    """The result of the call, or its exception."""
    sys.setprofile(handler)
    try:
        return call()
    except Exception as error:
        return error
    finally:
        sys.setprofile(None)


# -- the calls ---------------------------------------------------------------------------------------------------------


class World:
    """The things that the calls are about: two objects and a file, in a directory of its own."""

    def __init__(self, directory: str) -> None:
        os.chdir(directory)
        write("a", bytes(100_000))
        self.event = namedmap.Event(NAME)
        self.count = namedmap.Semaphore(f"{NAME}.count", 0, maximum=1_000_000)
        self.file = opened()


def opened() -> int:
    access = win32.GENERIC_READ | win32.GENERIC_WRITE
    return win32.CreateFile("a", access, 7, None, win32.OPEN_EXISTING, 0, None) or 0


def write(name: str, content: bytes) -> str:
    Path(name).write_bytes(content)
    return name


def first_wait(cls: Callable[[], namedmap.Event | namedmap.Mutex | namedmap.Semaphore]) -> None:
    """The state of a new object is mapped when it is waited for."""
    made = cls()
    win32.WaitForSingleObject(made.handle, 1)
    made.close()


def set_and_clear(event: namedmap.Event) -> None:
    event.set()
    event.wait()
    event.clear()


def lock(file: int) -> None:
    win32.LockFileEx(file, win32.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, win32.OVERLAPPED())


def section_of(file: int) -> None:
    win32.CloseHandle(win32.CreateFileMapping(file, None, win32.PAGE_READWRITE, 0, 0, f"{NAME}.file"))


CALLS: dict[str, Callable[[World], object]] = {
    "wait": lambda world: world.event.wait(0.002),
    "WaitForSingleObject": lambda world: win32.WaitForSingleObject(world.event.handle, 2),
    "wait_any": lambda world: namedmap.wait_any([world.event, world.count], 0.002),
    "wait_all": lambda world: namedmap.wait_all([world.event, world.count], 0.002),
    "SignalObjectAndWait": lambda world: win32.SignalObjectAndWait(world.count.handle, world.event.handle, 2, False),
    "set, wait and clear": lambda world: set_and_clear(world.event),
    "release and acquire": lambda world: (world.count.release(), world.count.acquire(0)),
    "first wait for an event": lambda world: first_wait(namedmap.Event),
    "first wait for a mutex": lambda world: first_wait(namedmap.Mutex),
    "first wait for a semaphore": lambda world: first_wait(namedmap.Semaphore),
    "create": lambda world: namedmap.create(f"{NAME}.section", 100).close(),
    "create global": lambda world: namedmap.create(rf"Global\{NAME}", 100, mode=0o660).close(),
    "create unnamed": lambda world: namedmap.create(None, 100).close(),
    "open": lambda world: namedmap.Event.open(NAME).close(),
    "open missing": lambda world: win32.OpenFileMapping(win32.FILE_MAP_READ, False, "missing"),
    "OpenProcess": lambda world: win32.CloseHandle(win32.OpenProcess(win32.SYNCHRONIZE, False, os.getppid())),
    "info": lambda world: inspection.info(NAME),
    "objects": lambda world: inspection.objects(),
    "CreateFile": lambda world: win32.CloseHandle(opened()),
    "WriteFile": lambda world: win32.WriteFile(world.file, b"abc", 3, win32.DWORD(), None),
    "SetEndOfFile": lambda world: win32.SetEndOfFile(world.file),
    "LockFileEx": lambda world: lock(world.file),
    "section of a file": lambda world: section_of(world.file),
    "MoveFileEx": lambda world: win32.MoveFileEx(write("b", b""), "c", win32.MOVEFILE_REPLACE_EXISTING),
    "DeleteFile": lambda world: win32.DeleteFile(write("b", b"")),
    "copy": lambda world: files.copy("a", "d", reflink=False, threads=1),
    "copy aside": lambda world: files.copy("a", "d", atomic=True, reflink=False, threads=1),
    "checksum": lambda world: files.checksum("a"),
    "search": lambda world: list(files.search("a", b"x")),
    "patch": lambda world: files.patch("a", 10, b"abc"),
}


def explore(name: str) -> int:
    """How many places there were; those that the exception did not arrive from are printed."""
    call = CALLS[name]
    with tempfile.TemporaryDirectory() as directory:
        world = World(directory)
        call(world)  # what is loaded at the first call is there
        for number in range(1, MOST):
            handler = Handler(number)
            result = attempt(lambda: call(world), handler)
            if not handler.where:
                break
            if not isinstance(result, Stop):
                print(f"{name}: {handler.where}: {result!r}")
            for path in object_files():
                if _is_guarded(path):
                    print(f"{name}: {handler.where}: the guard of {path} stays locked")
        os.chdir("/")
    return number - 1


def _is_guarded(path: str) -> bool:
    file = os.open(path, os.O_RDWR)
    try:
        return locks.held_elsewhere(file, locks.GUARD)
    finally:
        os.close(file)


def main() -> None:
    warnings.simplefilter("ignore")  # an object that is made in a call that ends in the middle is closed by nobody
    for name in sys.argv[1:] or CALLS:
        print(f"{name}: {explore(name)} places")


if __name__ == "__main__":
    main()
