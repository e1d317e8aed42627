"""Arguments that make no sense: the fuzzer, and what it has found."""

import ctypes
import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import namedmap
from calls import had, loose, loose_nt, message
from child import program
from child.command import environment
from namedmap import Event, nt, win32
from namedmap.compat.pywin32 import win32event
from namedmap.compat.shared_memory import ShareableList
from programs.fuzz_targets import EXCLUDED, targets


def released() -> memoryview:
    view = memoryview(bytearray(8))
    view.release()
    return view


#: Arguments without a hash, and one that has gone.
MEMORY: list[Callable[[], Any]] = [released, lambda: memoryview(bytearray(8)), lambda: memoryview(bytearray(8))[::2]]
each_memory = pytest.mark.parametrize("make", MEMORY, ids=["released", "writable", "with steps"])


class TestFuzzer:
    def test_a_short_run_finds_nothing(self) -> None:
        """Every public callable survives a few senseless calls; `make soak` makes more."""
        said = program("fuzz", "--rounds", "4", "--seed", "0")
        found = re.search(r"fuzz: (\d+) callables, (\d+) calls, 0 faults", said)
        assert found is not None, said
        assert int(found[1]) == len(targets())
        assert int(found[2]) == 4 * int(found[1])

    def test_it_calls_everything(self) -> None:
        """Every public callable of the modules that the documentation names; one that is left out has a reason."""
        labels = {target.label for target in targets()}
        for name in (
            "create",
            "map_file",
            "wait_any_async",
            "publish",
            "win32.CreateFileMapping",
            "nt.NtCreateSection",
        ):
            assert f"namedmap.{name}" in labels
        for name in ("files.copy", "inspection.info", "permissions.permissions", "compat.windll.WinError"):
            assert f"namedmap.{name}" in labels
        for name in ("memory.view.View.overlay", "memory.view.View.size", "synchronization.primitives.Mutex.release"):
            assert f"namedmap.{name}" in labels
        assert all(EXCLUDED.values())
        assert not labels & set(EXCLUDED)

    def test_a_fault_is_found(self, tmp_path: Path) -> None:
        """A callable that crashes, hangs its descriptor or raises what it may not is reported, and the rest goes on."""
        script = """
            import ctypes, os, sys
            import namedmap
            from programs import fuzz, fuzz_targets
            def crash(size: int): ctypes.string_at(0)
            def leak(size: int): os.dup(2)
            def mask(size: int): os.umask(0o700)
            def foreign(size: int): raise KeyError("x")
            for each in (crash, leak, mask, foreign):
                each.__module__ = "namedmap.inspection"
                setattr(namedmap.inspection, each.__name__, each)
            fuzz.WATCHDOG = 60
            sys.exit(fuzz.main())
        """
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                _with_children(script),
                "--only",
                "namedmap.inspection.",
                "--rounds",
                "2",
                "--seed",
                "0",
            ],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=600,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        for expected in (
            r"inspection\.crash \d ends the interpreter with status -11",
            r"inspection\.leak \d leaves behind",
            r"inspection\.mask \d leaves umask 0o700",
            r"inspection\.foreign \d raises KeyError",
        ):
            assert re.search(expected, done.stdout), done.stdout
        assert "inspection.info" not in done.stdout


def _with_children(script: str) -> str:
    """The script, for the children of the fuzzer too, which run this same text."""
    import textwrap

    text = textwrap.dedent(script)
    run_again = f"""
import subprocess
real = subprocess.Popen
class Again(real):
    def __init__(self, words, **options):
        if words[1:3] == ["-m", "programs.fuzz"]: words = [words[0], "-c", {text!r}, *words[3:]]
        super().__init__(words, **options)
subprocess.Popen = Again
"""
    return run_again + text


class TestMemoryviews:
    """Of a wrong type they are a TypeError, whatever their state; as a buffer a released one is a failed call."""

    @each_memory
    def test_as_numbers(self, make: Callable[[], Any]) -> None:
        """Flags, sizes, handles, codes."""
        view = win32.LPVOID(), 0, 0, None, win32.SIZE_T()
        for call, *arguments in (
            (loose.CreateFileMapping, -1, None, make(), 0, 4096, None),
            (loose.CreateFileMapping, -1, None, 4, 0, make(), None),
            (loose.CreateEvent, None, make(), False, None),
            (loose.OpenProcess, make(), False, 1),
            (loose.VirtualAlloc, None, make(), 0x3000, 4),
            (loose.SetLastError, make()),
            (loose.CloseHandle, make()),
            (loose_nt.NtClose, make()),
            (loose_nt.NtMapViewOfSection, 4, -1, *view, 1, 0, make()),
        ):
            with pytest.raises(TypeError, match="memoryview"):
                call(*arguments)

    @each_memory
    def test_as_names(self, make: Callable[[], Any]) -> None:
        """Of the functions and of the classes."""
        calls: list[Any] = [
            (loose.CreateFileMapping, -1, None, 4, 0, 4096, make()),
            (loose.OpenFileMapping, 4, False, make()),
            (loose.CreateMutex, None, False, make()),
            (namedmap.open, make()),
            (Event, make()),
            (namedmap.attach, make()),
        ]
        for call, *arguments in calls:
            with pytest.raises(TypeError, match="memoryview"):
                call(*arguments)

    @pytest.mark.parametrize("access", [win32.GENERIC_READ, win32.GENERIC_WRITE])
    def test_a_released_one_as_a_buffer(self, access: int, a_dat: Path) -> None:
        """ERROR_NOACCESS, as of memory that is not there; the message says why."""
        handle = had(win32.CreateFile(a_dat, access, 7, None, win32.OPEN_EXISTING, 0, None))
        transfer = win32.ReadFile if access == win32.GENERIC_READ else win32.WriteFile
        assert not transfer(handle, released(), 5, win32.DWORD(), None)
        assert win32.GetLastError() == win32.ERROR_NOACCESS
        assert "released" in message()
        assert win32.CloseHandle(handle)

    @each_memory
    def test_as_arguments_of_the_classes(self, make: Callable[[], Any]) -> None:
        """TypeError or ValueError."""
        with namedmap.create(None, 100) as mapping, mapping.view() as view:
            for call, *arguments in (
                (mapping.view, make()),
                (mapping.view, 0, 10, make()),
                (view.read, make()),
                (view.overlay, make()),
                (view.__getitem__, make()),
                (view.advise, make()),
            ):
                with pytest.raises((TypeError, ValueError)):
                    call(*arguments)


class Pair(ctypes.Structure):
    _fields_ = (("a", ctypes.c_int), ("b", ctypes.c_int))


class Both(ctypes.Union):
    _fields_ = (("pair", Pair), ("bytes", ctypes.c_char * 8))


class TestViews:
    @pytest.mark.parametrize(
        "layout",
        [Pair(), ctypes.c_int(5), (ctypes.c_char * 3)(), ctypes.pointer(Pair()), int, "i", None, object()],
        ids=lambda layout: type(layout).__name__,
    )
    def test_an_overlay_is_of_a_type(self, layout: Any) -> None:
        """An instance is no layout, nor is a type that is not of ctypes."""
        with (
            namedmap.create(None, 100) as mapping,
            mapping.view() as view,
            pytest.raises(TypeError, match="type of ctypes"),
        ):
            view.overlay(layout)

    @pytest.mark.parametrize("layout", [Pair, Both, ctypes.c_int, ctypes.c_char * 3])
    def test_an_overlay_of_any_type_of_ctypes(self, layout: Any) -> None:
        """Structures, unions, arrays, numbers."""
        with namedmap.create(None, 100) as mapping, mapping.view() as view:
            assert isinstance(view.overlay(layout), layout)

    @pytest.mark.parametrize("key", [(), (1, 2), "a", None, 1.5, ...])
    def test_what_is_no_index(self, key: Any) -> None:
        """A TypeError, in a load and in a store."""
        with namedmap.create(None, 100) as mapping, mapping.view() as view:
            with pytest.raises(TypeError):
                view[key]
            with pytest.raises(TypeError):
                view[key] = 1


class TestWaits:
    @pytest.mark.parametrize("wait", [namedmap.wait_any, namedmap.wait_all])
    def test_a_pointer_is_no_collection(self, wait: Callable[..., Any]) -> None:
        """It has items as far as memory goes, and farther."""
        with pytest.raises(TypeError, match="LP_c_int"):
            wait(ctypes.pointer(ctypes.c_int(3)), 0)

    def test_nor_is_it_for_the_drop_in_modules(self) -> None:
        pointer: Any = ctypes.pointer(ctypes.c_int(3))
        with pytest.raises(TypeError, match="LP_c_int"):
            ShareableList(pointer)
        with pytest.raises(TypeError, match="list of PyHANDLEs"):
            win32event.WaitForMultipleObjects(pointer, False, 0)

    @pytest.mark.parametrize("handles", [released(), memoryview(bytes(8)).cast("B", (2, 4))])
    def test_memory_that_is_no_list_of_handles(self, handles: Any) -> None:
        """A failed call, which says why; a memoryview of numbers is a list of handles."""
        assert win32.WaitForMultipleObjects(1, handles, False, 0) == win32.WAIT_FAILED
        assert win32.GetLastError() == win32.ERROR_NOACCESS
        assert "lpHandles" in message()
        with Event(signaled=True) as event:
            numbers: Any = memoryview(event.handle.to_bytes(8, "little")).cast("Q")
            assert win32.WaitForMultipleObjects(1, numbers, False, 0) == win32.WAIT_OBJECT_0

    @pytest.mark.parametrize("wait", [namedmap.wait_any, namedmap.wait_all])
    def test_a_collection_without_an_end(self, wait: Callable[..., Any]) -> None:
        with pytest.raises(ValueError, match="1 to 64"):
            wait(itertools.repeat(Event()), 0)


class TestRun:
    """A program that fails under `namedmap run` shows its own frames, as under Python, and none of ours."""

    def _said(self, directory: Path, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=directory,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stderr

    @pytest.mark.parametrize(
        "source",
        [
            "x = 1\ndef f(:\n",
            "def f():\n    1 / 0\nf()\n",
            "import missing_module_of_nobody\n",
            "raise KeyboardInterrupt\n",
            "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError(5) from error\n",
            "import sys\nsys.exit('in words')\n",
            "import sys\nsys.excepthook = lambda k, v, t: print(k.__name__, t.tb_lineno, file=sys.stderr)\n1 / 0\n",
            "import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start(); t.join()\n",
            "x = '\0'\n",
        ],
    )
    def test_a_script(self, source: str, tmp_path: Path) -> None:
        """The same status and the same text as without us, but for the script's path, which Python completes."""
        (tmp_path / "script.py").write_text(source)
        path = str(tmp_path / "script.py")
        status, said = self._said(tmp_path, path)
        ours = self._said(tmp_path, "-m", "namedmap", "run", path)
        if "\0" in source and "frozen" not in said:  # 3.11 says it without a place
            assert ours[0] == status == 1
            assert "run.py" not in ours[1]
            return
        assert ours == (status, said)

    def test_a_module(self, tmp_path: Path) -> None:
        """Nor are the frames of what looks for it shown."""
        (tmp_path / "package").mkdir()
        (tmp_path / "package" / "__init__.py").write_text("raise ValueError(5)\n")
        (tmp_path / "package" / "__main__.py").touch()
        (tmp_path / "broken.py").write_text("def f(:\n")
        for name, expected in (("package", "ValueError: 5"), ("broken", "SyntaxError")):
            status, said = self._said(tmp_path, "-m", "namedmap", "run", "-m", name)
            assert status == 1
            assert expected in said
            assert "namedmap" not in said
            assert "importlib" not in said


def test_names_are_judged_before_they_are_hashed() -> None:
    """An argument of a wrong type is asked for nothing."""

    class Rude:
        def __hash__(self) -> int:
            raise RuntimeError

    for call, *arguments in (
        (loose.OpenFileMapping, 4, False, Rude()),
        (loose.CreateEvent, None, Rude(), False, None),
        (loose.SetLastError, Rude()),
        (loose_nt.NtClose, Rude()),
    ):
        with pytest.raises(TypeError, match="Rude"):
            call(*arguments)
    assert nt.NtClose(12344)
