"""namedmap.compat.shared_memory: the standard library's own tests of it, and what is better here."""

import contextlib
import gc
import multiprocessing
import multiprocessing.managers
import multiprocessing.resource_tracker
import multiprocessing.shared_memory
import os
import pickle
import struct
import subprocess
import sys
import textwrap
import types
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import namedmap
from child import WATCHDOG, Spawn
from child.stdlib import passes
from namedmap.compat import shared_memory
from namedmap.compat.shared_memory import ShareableList, SharedMemory

mixins = pytest.importorskip("test._test_multiprocessing", reason="this Python has no test package")
script_helper = pytest.importorskip("test.support.script_helper")

_TRACKER = "wants the resource tracker of the standard library to do its work; there is none here"
#: Tests that do not apply, with the reason. (Not every Python has them all.)
EXCLUDED = {
    "test_shared_memory_SharedMemoryManager_reuses_resource_tracker": _TRACKER,
    "test_shared_memory_tracking": _TRACKER,
}
NAME = "compat-shm"
_forking = multiprocessing.get_context("fork")
_ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(sys.path)}


def _case() -> Any:
    members = {"TYPE": "processes", "Process": staticmethod(_forking.Process)}
    return type("Case", (mixins._TestSharedMemory, unittest.TestCase), members)


def _with_ours(script: str) -> str:
    """A script of the standard library's tests, for a process that is kept from reading PYTHONPATH."""
    script = script.replace("from multiprocessing.shared_memory", "from namedmap.compat.shared_memory")
    script = script.replace("from multiprocessing import shared_memory", "from namedmap.compat import shared_memory")
    return f"import sys; sys.path[:] = {sys.path!r}\n{script}"


class _Popen(subprocess.Popen[bytes]):
    """A process that runs such a script."""

    def __init__(self, command: list[str], **options: Any) -> None:
        super().__init__([*command[:-1], _with_ours(command[-1])], **options)


def _replaced(module: types.ModuleType, **changes: object) -> types.SimpleNamespace:
    return types.SimpleNamespace(**vars(module) | changes)


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Our module in the place of the standard library's, and the platform whose lifetimes it has."""
    monkeypatch.setitem(sys.modules, "multiprocessing.shared_memory", shared_memory)
    for owner in (multiprocessing, multiprocessing.managers, mixins):
        monkeypatch.setattr(owner, "shared_memory", shared_memory)
    monkeypatch.setattr(mixins, "sys", _replaced(sys, platform="win32"))
    monkeypatch.setattr(mixins, "os", _replaced(os, name="nt"))
    monkeypatch.setattr(mixins, "subprocess", _replaced(subprocess, Popen=_Popen))
    run = script_helper.assert_python_ok
    monkeypatch.setattr(
        script_helper, "assert_python_ok", lambda option, script, *rest: run(option, _with_ours(script), *rest)
    )
    monkeypatch.setattr(multiprocessing.resource_tracker, "ensure_running", lambda: None)
    yield
    gc.collect()  # what a test has not closed ends with the last who knows it


@pytest.mark.leaves_dead_files
@pytest.mark.parametrize("method", unittest.defaultTestLoader.getTestCaseNames(_case()))
def test_of_the_standard_library(method: str, instead: None) -> None:
    """Passes as it does with the standard library's module on Windows."""
    if method in EXCLUDED:
        pytest.skip(reason=EXCLUDED[method])
    passes(_case()(method))


def _run(script: str, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", textwrap.dedent(script), *arguments]
    return subprocess.run(
        command, env=os.environ | _ENVIRONMENT, capture_output=True, text=True, check=False, timeout=WATCHDOG
    )


def _memory(block: SharedMemory) -> memoryview:
    assert block.buf is not None
    return block.buf


class TestLifetime:
    """A block lives as long as anybody has it, and no longer."""

    #: A block is made, and readers come that know its name only, one after the other.
    READERS = """
        import importlib, subprocess, sys
        reader = '''if 1:
            import importlib, sys
            block = importlib.import_module(sys.argv[1]).SharedMemory(sys.argv[2])
            print(bytes(block.buf[:5]).decode())
            block.close()
            '''
        block = importlib.import_module(sys.argv[1]).SharedMemory(create=True, size=100)
        block.buf[:5] = b"hello"
        for _ in range(3):
            # A process that a reader starts to clean up after it has its stderr as well: this waits for that.
            command = [sys.executable, "-c", reader, sys.argv[1], block.name]
            done = subprocess.run(command, capture_output=True, text=True)
            print(done.stdout.strip() or "nothing")
        block.close()
        try:
            block.unlink()
        except FileNotFoundError:
            pass
        """

    def test_a_reader_that_ends_destroys_nothing(self) -> None:
        """cpython#82300, which is that the end of any reader destroys the block for all, is not here."""
        done = _run(self.READERS, "namedmap.compat.shared_memory")
        assert (done.stdout.split(), done.stderr) == (["hello"] * 3, "")

    @pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="the standard library's module needs /dev/shm")
    @pytest.mark.skipif(sys.version_info >= (3, 15), reason="nobody knows yet whether this version has the bug")
    def test_the_standard_library_does_destroy_it(self) -> None:
        """The same script with its module: the second reader finds nothing."""
        done = _run(self.READERS, "multiprocessing.shared_memory")
        assert done.stdout.split() == ["hello", "nothing", "nothing"]

    @pytest.mark.leaves_dead_files
    @pytest.mark.parametrize("first", ["creator", "reader"])
    def test_kills(self, spawn: Spawn, first: str) -> None:
        """A killed holder takes nothing from the others; the name goes with the last one, which is killed too."""
        script = f"""
            from namedmap.compat.shared_memory import SharedMemory
            block = SharedMemory({NAME!r}, **eval(sys.argv[1]))
            block.buf[:5] = b"hello"
            say(block.size)
            hear()
            """
        creator = spawn(script, "{'create': True, 'size': 5001}")
        assert creator.line() == "5001"
        reader = spawn(script, "{}")
        assert reader.line() == "5001"
        (creator if first == "creator" else reader).kill()
        block = SharedMemory(NAME)
        assert bytes(_memory(block)[:6]) == b"hello\0"
        block.close()
        (reader if first == "creator" else creator).kill()
        with pytest.raises(FileNotFoundError):
            SharedMemory(NAME)

    def test_a_hundred_processes(self, spawn: Spawn) -> None:
        """All have it at the same time, and the name goes when the last of them does."""
        parent = spawn(f"""
            import multiprocessing
            from namedmap.compat.shared_memory import SharedMemory
            context = multiprocessing.get_context("fork")
            here, leave = context.Semaphore(0), context.Event()
            def work(place):
                block = SharedMemory({NAME!r})
                block.buf[place] = 1
                here.release()
                leave.wait({WATCHDOG})
                if place % 2: os._exit(0)
            block = SharedMemory({NAME!r}, create=True, size=100)
            workers = [context.Process(target=work, args=(place,)) for place in range(100)]
            for worker in workers: worker.start()
            for worker in workers: here.acquire(timeout={WATCHDOG})
            say(sum(block.buf))
            block.close()
            hear()
            leave.set()
            for worker in workers: worker.join()
            say({{worker.exitcode for worker in workers}})
            """)
        assert parent.line() == "100"
        block = SharedMemory(NAME)
        parent.send("go")
        assert parent.line() == "{0}"
        assert sum(_memory(block)) == 100
        block.close()
        with pytest.raises(FileNotFoundError):
            SharedMemory(NAME)

    PROGRAM = """
        import multiprocessing, operator, sys, time
        from namedmap.compat.shared_memory import ShareableList, SharedMemory

        def work(block, items, late, answers):
            block.buf[0] += 1
            items[0] += 1
            answers.put((block.name, block.buf[0], list(items)))

        class Late:
            "Takes its time to arrive."
            def __reduce__(self):
                return time.sleep, (0.3,)

        if __name__ == "__main__":
            context = multiprocessing.get_context(sys.argv[1])
            answers = context.Queue()
            block, items = SharedMemory(create=True, size=10), ShareableList([1, "a", None])
            for _ in range(2):
                process = context.Process(target=work, args=(block, items, Late(), answers))
                process.start()
                assert answers.get(timeout=60) == (block.name, block.buf[0], list(items))
                process.join()
            process = context.Process(target=work, args=(block, items, Late(), answers))
            process.start()
            name = block.name
            block.close(), items.shm.close()
            assert answers.get(timeout=60) == (name, 3, [4, "a", None])
            process.join()
            try:
                SharedMemory(name)
            except FileNotFoundError:
                pass
            else:
                raise AssertionError
            items = ShareableList(range(10))
            with context.Pool(2) as pool:
                assert pool.map(operator.itemgetter(7), [items] * 9) == [7] * 9
                pool.close()
                pool.join()
            print("done")
        """

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_as_an_argument(self, method: str, tmp_path: Path) -> None:
        """Blocks and lists reach processes of every start method, also of a parent that closes its own at once."""
        program = tmp_path / "program.py"
        program.write_text(textwrap.dedent(self.PROGRAM))
        done = subprocess.run(
            [sys.executable, program, method],
            env=os.environ | _ENVIRONMENT, capture_output=True, text=True, check=False, timeout=2 * WATCHDOG,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("done\n", "")

    def test_no_process_watches(self) -> None:
        """Nothing is started for it, and not even imported; what is left open at the end makes no noise."""
        done = _run(
            """
            import os, pickle, sys
            from namedmap.compat.shared_memory import ShareableList, SharedMemory
            block, items = SharedMemory(create=True, size=10, track=True), ShareableList(["a"])
            other, view, kept = pickle.loads(pickle.dumps(items)), block.buf[2:], SharedMemory(block.name).buf
            block.unlink()
            with open(f"/proc/self/task/{os.getpid()}/children") as file:
                print([file.read(), *(name for name in sys.modules if name.startswith("multiprocessing"))])
            """,
            options=("-X", "dev", "-W", "error"),
        )
        assert (done.stdout, done.stderr, done.returncode) == ("['']\n", "", 0)

    def test_unlink_does_nothing(self) -> None:
        """However often, before and after it is closed, and whoever else has it."""
        block = SharedMemory(NAME, create=True, size=10)
        block.unlink()
        other = SharedMemory(NAME)
        other.unlink()
        other.close()
        other.unlink()
        with pytest.raises(FileExistsError):
            SharedMemory(NAME, create=True, size=10)
        block.close()
        block.unlink()
        SharedMemory(NAME, create=True, size=10).close()


class TestBlock:
    """The uses of a block."""

    @pytest.mark.parametrize("size", [1, 10, 4095, 4096, 4097, 1_000_001])
    def test_sizes_are_exact(self, size: int) -> None:
        """For its creator and for those who attach, whatever size they give (cpython#145954)."""
        block = SharedMemory(create=True, size=size)
        other, again = SharedMemory(block.name, size=7), pickle.loads(pickle.dumps(block))
        for each in (block, other, again):
            assert each.size == len(_memory(each)) == size
            assert repr(each) == f"SharedMemory({block.name!r}, size={size})"
            each.close()
            assert (each.buf, each.size) == (None, size)

    def test_names(self) -> None:
        """As the standard library has them: a slash in front is for show, and a new block has a short name."""
        block = SharedMemory("/" + NAME, create=True, size=10)
        assert block.name == "/" + NAME
        for name in (NAME, "/" + NAME, "//" + NAME, "Local\\" + NAME):
            SharedMemory(name).close()
        block.close()
        block = SharedMemory(create=True, size=10)
        assert block.name.startswith("psm_")
        assert len(block.name) < 14
        block.close()

    @pytest.mark.parametrize("name", ["", "/", "a\0b", "\\a", "Nowhere\\a"])
    @pytest.mark.parametrize("create", [True, False])
    def test_what_is_no_name(self, name: str, create: bool) -> None:
        """It is refused, and nothing is left of it."""
        with pytest.raises((ValueError, OSError)) as caught:
            SharedMemory(name, create=create, size=10)
        assert isinstance(caught.value, namedmap.Error)

    def test_other_kinds(self) -> None:
        """The name of a mutex is no block; shared memory of any other origin is one."""
        with namedmap.Mutex.create(NAME), pytest.raises(ValueError, match=NAME):
            SharedMemory(NAME)
        gc.collect()
        with namedmap.create(NAME, 123) as mapping:
            block = SharedMemory(NAME)
            _memory(block)[:3] = b"abc"
            with mapping.view() as view:
                assert (block.size, bytes(view[:3])) == (123, b"abc")
            block.close()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [({"size": -1}, "positive"), ({"size": 0, "create": True}, "zero"), ({}, "name")],
    )
    def test_bad_arguments(self, arguments: dict[str, Any], message: str) -> None:
        """As the standard library refuses them."""
        with pytest.raises(ValueError, match=message):
            SharedMemory(**arguments)
        with pytest.raises(TypeError):
            SharedMemory(create=True, size=cast(Any, 10.0))

    @pytest.mark.parametrize("of", [lambda buf: buf[2:], lambda buf: buf.cast("B"), lambda buf: memoryview(buf)])
    def test_close_with_views(self, of: Any) -> None:
        """It is refused, and changes nothing, until the views are gone."""
        block = SharedMemory(NAME, create=True, size=10)
        view = of(_memory(block))
        with pytest.raises(BufferError, match="exported pointers exist"):
            block.close()
        _memory(block)[:] = b"0123456789"
        assert view[7] in b"79"
        SharedMemory(NAME).close()
        view.release()
        block.close()
        block.close()
        with pytest.raises(FileNotFoundError):
            SharedMemory(NAME)

    def test_dropped(self) -> None:
        """Name and memory go with the last that uses it: the object, its memory, a view of that."""
        view = _memory(SharedMemory(NAME, create=True, size=10))[2:]
        view[0] = 7
        other = SharedMemory(NAME)
        assert _memory(other)[2] == 7
        del other
        SharedMemory(NAME).close()
        del view
        with pytest.raises(FileNotFoundError):
            SharedMemory(NAME)

    def test_subclasses(self) -> None:
        """They may end as those of the standard library's class do, and are pickled as what they are."""
        block = _Quiet(create=True, size=10)
        other = pickle.loads(pickle.dumps(block))
        assert type(other) is _Quiet
        other.__del__()
        other.close()
        block.close()

    def test_arrays(self) -> None:
        """Of numpy, over the memory: seen by others, and never left with an address that is not mapped any more."""
        numpy = pytest.importorskip("numpy")
        block = SharedMemory(NAME, create=True, size=80)
        array = numpy.ndarray((10,), dtype="f8", buffer=block.buf)
        array[:] = range(10)
        other = SharedMemory(NAME)
        view = numpy.frombuffer(other.buf)
        assert list(view) == list(array) == list(range(10))
        with pytest.raises(BufferError):  # numpy keeps a buffer here
            other.close()
        view[3] = 77
        del view
        other.close()
        block.close()  # and none here
        with pytest.raises(FileNotFoundError):
            SharedMemory(NAME)
        array[4] = 5
        assert list(array) == [0, 1, 2, 77, 5, 5, 6, 7, 8, 9]

    def test_nothing_leaks(self) -> None:
        """No descriptor is left of many blocks, of refused ones either."""
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        held = SharedMemory(NAME, create=True, size=10)
        for _ in range(200):
            SharedMemory(create=True, size=10).close()
            SharedMemory(NAME).close()
            with pytest.raises(FileExistsError):
                SharedMemory(NAME, create=True, size=10)
            with pytest.raises(OSError, match=r"space|room|memory"):
                SharedMemory(create=True, size=1 << 50)
        held.close()
        assert len(os.listdir("/proc/self/fd")) == before


class _Quiet(SharedMemory):
    """A class as users write it to silence the standard library's."""

    def __del__(self) -> None:
        with contextlib.suppress(BufferError):
            super().__del__()


_ITEMS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.booleans(), st.none(), st.text(), st.binary()
)


def _encoded(item: object) -> bytes:
    return item.encode() if isinstance(item, str) else item if isinstance(item, bytes) else b""


def _types(items: Any) -> list[type]:
    return [type(each) for each in items]


class TestList:
    """The items that are put in come out."""

    @given(st.lists(_ITEMS, max_size=20))
    def test_round_trip(self, values: list[Any]) -> None:
        """Every item keeps its type and value: NULs at the end (cpython#106939), all of Unicode (cpython#145261)."""
        items = ShareableList(iter(values))
        other = ShareableList(name=items.shm.name)
        assert list(other) == values
        assert _types(other) == _types(values)
        assert repr(other) == f"ShareableList({values!r}, name={items.shm.name!r})"
        other.shm.close()
        items.shm.close()

    @given(st.lists(_ITEMS, min_size=1, max_size=5), st.data())
    def test_as_a_list(self, values: list[Any], data: st.DataObject) -> None:
        """A list does the same, but for items that have no room: they are refused, and all stays as it was."""
        items = ShareableList(values)
        other = ShareableList(name=items.shm.name)
        # A str or bytes has at least the room that it needs, and what fits once fits again.
        rooms = [max(8, len(_encoded(each))) for each in values]
        for _ in range(5):
            position, value = data.draw(st.integers(-len(values) - 2, len(values) + 1)), data.draw(_ITEMS)
            if not -len(values) <= position < len(values):
                for use in (lambda p=position: items[p], lambda p=position, v=value: items.__setitem__(p, v)):
                    with pytest.raises(IndexError, match="out of range"):
                        use()
                continue
            refused = False
            try:
                items[position] = value
            except ValueError:
                refused = True
            if refused:
                assert len(_encoded(value)) > rooms[position]
            else:
                values[position] = value
                rooms[position] = max(rooms[position], len(_encoded(value)))
            assert list(other) == values
            assert _types(other) == _types(values)
            assert (len(items), items.count(value)) == (len(values), values.count(value))
            if value in values:
                assert items.index(value) == values.index(value)
        other.shm.close()
        items.shm.close()

    def test_the_layout_is_the_standard_librarys(self) -> None:
        """Up to the lengths at its end."""
        values: list[Any] = ["howdy", b"HoWdY", -273.154, 100, None, True, "a" * 8, "\u00e9\u00e9"]
        ours, theirs = ShareableList(values), multiprocessing.shared_memory.ShareableList(values)
        try:
            assert ours.format == theirs.format
            size = ours.shm.size - 8 * len(values)
            assert theirs.shm.buf is not None
            assert bytes(_memory(ours.shm)[:size]) == bytes(theirs.shm.buf[:size])
        finally:
            theirs.shm.close()
            theirs.shm.unlink()
            cast(Any, multiprocessing.resource_tracker)._resource_tracker._stop()
            ours.shm.close()

    def test_what_does_not_fit_is_refused(self) -> None:
        """An int of more than 64 bits, what is no item at all, and too long ones; nothing is changed."""
        items = ShareableList([1, "a"])
        for value in (2**63, object(), 1j, -(2**63) - 1):
            with pytest.raises((KeyError, struct.error)):
                items[0] = cast(Any, value)
        with pytest.raises(TypeError, match="complex"):
            items[0] = cast(Any, 1j)
        assert list(items) == [1, "a"]
        items.shm.close()
        with pytest.raises(ValueError, match="closed"):
            items[0]
        assert "closed" in repr(items)
        with pytest.raises(ValueError, match="10,000,000"):
            ShareableList([bytes(10**7)])
        with pytest.raises(struct.error):
            ShareableList([2**63])

    @pytest.mark.parametrize(
        "content", [b"\xff" * 100, b"\0\0\0\0\0\1" + bytes(94), bytes(8), struct.pack("4q", 2, 0, 9, 8)]
    )
    def test_what_is_no_list(self, content: bytes) -> None:
        """A block that holds something else is refused."""
        block = SharedMemory(NAME, create=True, size=len(content))
        _memory(block)[:] = content
        with pytest.raises(ValueError, match="no ShareableList"):
            ShareableList(name=NAME)
        block.close()
        gc.collect()
