"""namedmap.compat.shared_memory: the standard library's own tests of it, and what is better here."""

import gc
import multiprocessing
import multiprocessing.managers
import multiprocessing.resource_tracker
import multiprocessing.shared_memory
import os
import struct
import subprocess
import sys
import textwrap
import types
import unittest
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namedmap.compat import shared_memory
from namedmap.compat.shared_memory import ShareableList, SharedMemory
from support import Spawn

mixins = pytest.importorskip("test._test_multiprocessing", reason="this Python has no test package")

_TRACKER = "starts a process that uses the standard library's module, and looks for its resource tracker"
#: What does not apply, with the reason. (Not every Python has them all.)
EXCLUDED = {
    "test_shared_memory_cleaned_after_process_termination": _TRACKER,
    "test_shared_memory_SharedMemoryManager_reuses_resource_tracker": _TRACKER,
    "test_shared_memory_untracking": _TRACKER,
    "test_shared_memory_tracking": _TRACKER,
}
NAME = "compat-shm"
_forking = multiprocessing.get_context("fork")


def _case() -> Any:
    members = {"TYPE": "processes", "Process": staticmethod(_forking.Process)}
    return type("Case", (mixins._TestSharedMemory, unittest.TestCase), members)


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Our module in the place of the standard library's, and the platform whose lifetimes it has."""
    monkeypatch.setitem(sys.modules, "multiprocessing.shared_memory", shared_memory)
    for owner in (multiprocessing, multiprocessing.managers, mixins):
        monkeypatch.setattr(owner, "shared_memory", shared_memory)
    windows = types.SimpleNamespace(**vars(sys))
    windows.platform = "win32"
    monkeypatch.setattr(mixins, "sys", windows)
    monkeypatch.setattr(multiprocessing.resource_tracker, "ensure_running", lambda: None)
    yield
    gc.collect()  # what a test has not closed ends with the last who knows it


@pytest.mark.parametrize("method", unittest.defaultTestLoader.getTestCaseNames(_case()))
def test_of_the_standard_library(method: str, instead: None) -> None:
    """Passes as it does with the standard library's module on Windows."""
    if method in EXCLUDED:
        pytest.skip(reason=EXCLUDED[method])
    result = unittest.TestResult()
    _case()(method).run(result)
    assert not result.errors + result.failures, "\n".join(text for _, text in result.errors + result.failures)
    if result.skipped:
        pytest.skip(reason=result.skipped[0][1])


class TestLifetime:
    """A block lives as long as anybody has it, and no longer."""

    #: Attaches to a block as an unrelated process, and ends.
    READER = """
        import sys
        from {package} import shared_memory
        block = shared_memory.SharedMemory(sys.argv[1])
        print(bytes(block.buf[:5]).decode())
        block.close()
        """

    def _read(self, package: str, name: str) -> str:
        script = textwrap.dedent(self.READER.format(package=package))
        command = [sys.executable, "-W", "ignore", "-c", script, name]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def test_a_reader_that_ends_destroys_nothing(self) -> None:
        """cpython#82300: with the standard library, the end of any reader destroys the block for all."""
        block = SharedMemory(create=True, size=100)
        assert block.buf is not None
        block.buf[:5] = b"hello"
        for _ in range(3):
            assert self._read("namedmap.compat", block.name) == "hello\n"
        block.close()

    @pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="looks for the block in /dev/shm")
    def test_what_the_standard_library_does(self) -> None:
        """The same with its own module: the second reader finds nothing."""
        script = f"""
            from multiprocessing import resource_tracker, shared_memory
            import os, subprocess, sys
            resource_tracker.ensure_running = lambda: None
            resource_tracker.register = resource_tracker.unregister = lambda *_: None
            block = shared_memory.SharedMemory(create=True, size=100)
            block.buf[:5] = b"hello"
            reader = {textwrap.dedent(self.READER.format(package="multiprocessing"))!r}
            command = [sys.executable, "-W", "ignore", "-c", reader, block.name]
            for _ in range(2):
                print(subprocess.run(command, capture_output=True, text=True).stdout.strip() or "nothing")
            if os.path.exists("/dev/shm/" + block.name):
                block.unlink()
            """
        command = [sys.executable, "-c", textwrap.dedent(script)]
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
        assert found == ["hello", "nothing"]

    def test_a_killed_creator(self, spawn: Spawn) -> None:
        """Who is killed lets go of his blocks: readers keep them, and the last one takes the name away."""
        child = spawn(f"""
            from namedmap.compat.shared_memory import SharedMemory
            block = SharedMemory({NAME!r}, create=True, size=5001)
            block.buf[:5] = b"hello"
            say("made")
            hear()
            """)
        assert child.line() == "made"
        block = SharedMemory(NAME)
        child.kill()
        block.unlink()
        again = SharedMemory(NAME)
        assert block.size == again.size == 5001
        assert again.buf is not None
        assert bytes(again.buf[:5]) == b"hello"
        again.close()
        block.close()
        with pytest.raises(FileNotFoundError):
            SharedMemory(NAME)

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_as_an_argument(self, method: str) -> None:
        """Blocks and lists reach the processes of every start method."""
        script = f"""
            import multiprocessing, operator
            from namedmap.compat.shared_memory import ShareableList
            items = ShareableList(["a", 17, None])
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                print(pool.map(operator.itemgetter(1), [items] * 3))
                pool.close()
                pool.join()
            """
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert (done.stdout, done.stderr) == ("[17, 17, 17]\n", "")


_ITEMS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.booleans(), st.none(), st.text(), st.binary()
)


class TestList:
    """What is put in comes out."""

    @given(st.lists(_ITEMS, max_size=20))
    def test_round_trip(self, values: list[Any]) -> None:
        """Every item keeps its type and value: NULs at the end (cpython#106939), all of Unicode (cpython#145261)."""
        items = ShareableList(values)
        other = ShareableList(name=items.shm.name)
        assert list(other) == values
        assert [type(each) for each in other] == [type(each) for each in values]
        other.shm.close()
        items.shm.close()

    @given(st.lists(_ITEMS, min_size=1, max_size=5), st.data())
    def test_assignment(self, values: list[Any], data: st.DataObject) -> None:
        """An item is replaced, or refused and left as it was."""
        items = ShareableList(values)
        for _ in range(5):
            position, value = data.draw(st.integers(0, len(values) - 1)), data.draw(_ITEMS)
            try:
                items[position] = value
            except ValueError:
                assert isinstance(value, str | bytes)
            else:
                values[position] = value
            assert list(items) == values
        items.shm.close()

    def test_what_does_not_fit_is_refused(self) -> None:
        """An int of more than 64 bits, and what is no item at all; nothing is changed."""
        items = ShareableList([1, "a"])
        for value in (2**63, object(), 1j):
            with pytest.raises((KeyError, struct.error)):
                items[0] = cast(Any, value)
        assert list(items) == [1, "a"]
        items.shm.close()
        with pytest.raises(ValueError, match="closed"):
            items[0]
