"""namedmap.compat.mmap: the standard library's own tests of mmap, those for Windows included; and tag names."""

import copy
import fcntl
import gc
import importlib.util
import os
import pickle
import resource
import sys
import threading
import types
import unittest
from mmap import ACCESS_COPY, ACCESS_READ, ACCESS_WRITE, MAP_SHARED, PROT_READ, PROT_WRITE
from pathlib import Path
from typing import Any

import pytest

import namedmap
from child import Spawn
from child.stdlib import passes
from namedmap.compat import mmap

NAME = "compat-mmap"
# Some distributions leave out this module, some all of the package.
_SOURCE = importlib.util.find_spec("test.test_mmap") if importlib.util.find_spec("test") else None

_UNIX = "on Unix, shared memory without a file cannot be resized; Windows and this class can"
#: Tests that do not apply, with the reason. (Not every Python has them all.)
EXCLUDED = {
    "MmapTests.test_sizeof": "counts the bytes of a C structure that is Windows' own",
    "MmapTests.test_resize_down_anonymous_mapping": _UNIX,
    "MmapTests.test_resize_up_anonymous_mapping": _UNIX,
}


def _standard_tests() -> types.ModuleType:
    """The standard library's tests, with our module in the place of its own, and those for Windows switched on."""
    assert _SOURCE is not None
    assert _SOURCE.origin is not None
    text = Path(_SOURCE.origin).read_text(encoding="utf-8")
    for theirs, here in (("import_module('mmap')", "ours"), ("os.name == 'nt', 'requires Windows'", "True, ''")):
        assert theirs in text, f"{_SOURCE.origin} is written differently: find out what replaces {theirs!r}"
        text = text.replace(theirs, here)
    module = types.ModuleType("standard_tests")
    vars(module)["ours"] = mmap
    exec(compile(text, _SOURCE.origin, "exec"), vars(module))
    return module


def _cases() -> list[Any]:
    if _SOURCE is None:
        return [pytest.param(None, "", marks=pytest.mark.skip(reason="this Python has no test package"))]
    module, found = _standard_tests(), []
    for name in ("MmapTests", "LargeMmapTests"):
        case = getattr(module, name)
        for method in unittest.defaultTestLoader.getTestCaseNames(case):
            found.append(pytest.param(case, method, id=f"{name}.{method}"))
    return found


@pytest.mark.parametrize(("case", "method"), _cases())
def test_of_the_standard_library(case: Any, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes as it does with the standard library's class, on Linux and on Windows."""
    if f"{case.__name__}.{method}" in EXCLUDED:
        pytest.skip(reason=EXCLUDED[f"{case.__name__}.{method}"])
    monkeypatch.chdir(tmp_path)
    passes(case(method), never_skipped_for="requires Windows")


class TestSignatures:
    """Which of the two is meant, and what each refuses."""

    def test_nothing_but_memory(self) -> None:
        """Without a tag name -1 is memory, which can be resized; in Windows' order 0 is memory as well."""
        for made in (
            mmap.mmap(-1, 100),
            mmap.mmap(-1, 100, access=ACCESS_WRITE),
            mmap.mmap(-1, 100, None),
            mmap.mmap(0, 100, None, ACCESS_WRITE),
            mmap.mmap(0, 100, tagname=None),
            mmap.mmap(fileno=-1, length=100, tagname=""),
        ):
            with made:
                made[:3] = b"abc"
                made.resize(10000)
                assert (made.size(), made[:4]) == (10000, b"abc\0")
        with mmap.mmap(-1, 100, None, ACCESS_READ) as readonly, pytest.raises(TypeError):
            readonly.resize(200)

    def test_memory_is_taken_when_it_is_used(self) -> None:
        """A program may map more than the machine has, as with the standard library's class."""
        with mmap.mmap(-1, 1 << 36) as large:
            large[1 << 35] = 1
            assert os.sysconf("SC_PAGE_SIZE") * int(Path("/proc/self/statm").read_text().split()[1]) < 1 << 32

    def test_memory_without_descriptors(self) -> None:
        """When no descriptor is left there is memory all the same, as there is with the standard library's class."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 2, before[1]))
        try:
            made = [mmap.mmap(-1, 100) for _ in range(10)]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for each in made:
            each[:3] = b"abc"
            each.close()

    def test_numbers_of_other_types(self) -> None:
        """An object with an index is a number."""

        class Number:
            def __init__(self, value: int) -> None:
                self.value = value

            def __index__(self) -> int:
                return self.value

        make: Any = mmap.mmap
        for arguments in ((Number(-1), Number(10), NAME), (Number(0), 10, NAME)):
            with make(*arguments) as made:
                assert len(made) == 10

    def test_iteration(self) -> None:
        """Iteration, `in` and `reversed` see bytes objects, as with the standard library's class itself."""
        made: Any
        with mmap.mmap(-1, 3) as made:
            made[:] = b"abc"
            assert (list(made), list(reversed(made))) == ([b"a", b"b", b"c"], [b"c", b"b", b"a"])
            assert (b"b" in made, b"x" in made, 97 in made, made[0]) == (True, False, False, 97)
        with pytest.raises(ValueError, match="closed"):
            list(made)

    @pytest.mark.parametrize(
        ("arguments", "options"),
        [
            ((-1, 10, NAME, ACCESS_READ, 0, 1), {}),
            ((-1, 10, NAME), {"flags": MAP_SHARED}),
            ((-1, 10, NAME), {"tagname": NAME}),
            ((-1, 10, MAP_SHARED), {"tagname": NAME}),
            ((-1, 10, NAME.encode()), {}),
            ((-1, 10), {"tagname": 1}),
            ((-1, 10.0, NAME), {}),
            ((-1, 10), {"tagname": NAME, "offset": "0"}),
            ((-1,), {"tagname": NAME}),
        ],
    )
    def test_type_errors(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        """A call of neither signature is a TypeError."""
        with pytest.raises(TypeError):
            mmap.mmap(*arguments, **options)


class TestTagNames:
    """Shared memory by name, with the lifetime of Windows."""

    def test_both_signatures(self) -> None:
        """The name may be the third argument or a keyword, the file -1 or 0."""
        with mmap.mmap(-1, 100, NAME) as first, mmap.mmap(0, 100, tagname=NAME, access=ACCESS_READ) as second:
            first[:5] = b"hello"
            assert second[:5] == b"hello"
            with pytest.raises(TypeError, match="readonly"):
                second[0] = 1
        with mmap.mmap(-1, 100, MAP_SHARED, PROT_READ | PROT_WRITE) as unix:
            unix[0] = 1

    def test_exact_sizes(self) -> None:
        """Everybody sees the size that was asked for; 0 is all of it, less is less, more is refused."""
        with mmap.mmap(-1, 5000, NAME) as held:
            assert len(held) == held.size() == 5000
            with mmap.mmap(-1, 0, NAME) as whole, mmap.mmap(-1, 10, NAME) as part:
                assert (len(whole), len(part)) == (5000, 10)
            with pytest.raises(namedmap.AccessDeniedError, match="5,000 bytes") as caught:
                mmap.mmap(-1, 5001, NAME)
            assert isinstance(caught.value, PermissionError)
            assert caught.value.winerror == 5
            with pytest.raises(OSError, match="tag name"):
                held.resize(100)

    def test_the_name_ends_with_the_last(self, spawn: Spawn) -> None:
        """However they end: closed, dropped, or killed."""
        child = spawn(f"""
            from namedmap.compat import mmap
            m = mmap.mmap(-1, 100, {NAME!r})
            m[:3] = b"abc"
            say("made")
            hear()
            """)
        assert child.line() == "made"
        held = mmap.mmap(-1, 100, NAME)
        child.kill()
        with mmap.mmap(-1, 100, NAME) as other:
            assert other[:3] == held[:3] == b"abc"
        del held
        with mmap.mmap(-1, 100, NAME) as fresh:
            assert fresh[:3] == bytes(3)
        with pytest.raises(FileNotFoundError):
            namedmap.open(NAME)

    def test_buffers_keep_it(self) -> None:
        """As with the standard library's class, which refuses to close; nothing is lost then."""
        held = mmap.mmap(-1, 100, NAME)
        with memoryview(held), pytest.raises(BufferError):
            held.close()
        with mmap.mmap(-1, 100, NAME) as other:
            held[0] = 7
            assert other[0] == 7
        held.close()
        held.close()
        with pytest.raises(ValueError, match="closed"):
            held[0]

    def test_subclasses(self) -> None:
        """__new__ takes every argument; the subclass may have more of its own."""

        class Telemetry(mmap.mmap):
            def __new__(cls, name: str, length: int) -> "Telemetry":
                return super().__new__(cls, -1, length, tagname=name, access=ACCESS_WRITE)

            def __init__(self, name: str, length: int) -> None:
                self.label = name

        with Telemetry(NAME, 50) as held:
            assert held.label == NAME
            assert isinstance(held, mmap.mmap)
            assert repr(held).startswith("<test_compat_mmap.TestTagNames")

    def test_files(self, tmp_path: Path) -> None:
        """A tag name over a file: those who know the name need not know the file. A copy does not reach it."""
        path = tmp_path / "file"
        path.write_bytes(b"a" * 100)
        with (
            path.open("r+b") as file,
            mmap.mmap(file.fileno(), 0, NAME) as held,
            mmap.mmap(-1, 100, NAME) as other,
            mmap.mmap(-1, 100, NAME, ACCESS_COPY) as own,
        ):
            other[0], own[1] = ord("b"), ord("c")
            assert held[:3] == b"baa"
        assert path.read_bytes()[:3] == b"baa"

    def test_sections_that_may_only_be_read(self) -> None:
        """The creator decides what may be written, as on Windows: 87 is its answer to the others."""
        with mmap.mmap(-1, 100, NAME, ACCESS_READ), pytest.raises(namedmap.Error, match="protection") as caught:
            mmap.mmap(-1, 100, NAME)
        assert caught.value.winerror == 87

    def test_copies_stay_here(self) -> None:
        """Bytes that are written to a map with ACCESS_COPY, nobody else sees."""
        with mmap.mmap(-1, 100, NAME) as held, mmap.mmap(-1, 100, NAME, ACCESS_COPY) as own:
            own[0] = 7
            assert (held[0], own[0]) == (0, 7)

    def test_offsets(self) -> None:
        """A map may begin at a page of the memory; what is asked for in all counts from its beginning."""
        page = mmap.PAGESIZE
        with mmap.mmap(-1, 100, NAME, offset=page) as held, mmap.mmap(-1, 0, NAME) as whole:
            held[0] = 7
            assert (len(held), len(whole), whole[page]) == (100, page + 100, 7)
            with mmap.mmap(-1, 0, NAME, ACCESS_READ, page) as rest:
                assert (len(rest), rest[0]) == (100, 7)
            with pytest.raises(PermissionError):
                mmap.mmap(-1, 101, NAME, offset=page)

    def test_the_name_is_of_namedmap(self) -> None:
        """The library and Windows' functions find the map, and the map finds what they made."""
        with mmap.mmap(-1, 100, NAME) as held, namedmap.open(NAME) as mapping, mapping.view() as view:
            view[:3] = b"abc"
            assert (held[:3], mapping.size) == (b"abc", 100)
        with namedmap.Mutex(NAME), pytest.raises(namedmap.WrongKindError):
            mmap.mmap(-1, 100, NAME)

    def test_a_forked_child_holds_it(self) -> None:
        """As a handle that was inherited: the name goes when both have closed it."""
        held = mmap.mmap(-1, 100, NAME)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(writer)
            os.read(reader, 1)
            held[1] = held[0] + 1
            os._exit(0)
        os.close(reader)
        held[0] = 7
        held.close()
        with mmap.mmap(-1, 0, NAME) as other:
            os.close(writer)
            assert os.waitpid(child, 0)[1] == 0
            assert other[:2] == bytes((7, 8))
        with pytest.raises(FileNotFoundError):
            mmap.mmap(-1, 0, NAME)

    def test_it_is_not_pickled_nor_copied(self) -> None:
        """As the standard library's class: the receiver makes its own, of the same name."""
        with mmap.mmap(-1, 100, NAME) as held:
            for operation in (pickle.dumps, copy.copy):
                with pytest.raises(TypeError, match="mmap"):
                    operation(held)

    def test_failed_subclass(self) -> None:
        """If __init__ raises nothing stays open, nor in a reference cycle that is collected."""

        class Failing(mmap.mmap):
            def __init__(self, *_: object) -> None:
                self.own = self
                raise LookupError

        with pytest.raises(LookupError):
            Failing(-1, 100, NAME)
        gc.collect()
        with pytest.raises(FileNotFoundError):
            namedmap.open(NAME)

    def test_many_maps(self) -> None:
        """Maps that are dropped, or closed by several threads at once, leave no descriptor."""
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(200):
            mmap.mmap(-1, 100, NAME)
        for _ in range(50):
            held = mmap.mmap(-1, 100, NAME)
            threads = [threading.Thread(target=held.close) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(os.listdir("/proc/self/fd")) == before

    def test_the_end_of_the_interpreter(self, spawn: Spawn) -> None:
        """A program that closes nothing ends without a word, and takes the name with it."""
        child = spawn(
            f"""
            from namedmap.compat import mmap
            held = mmap.mmap(-1, 100, {NAME!r})
            buffer = memoryview(held)
            class Own(mmap.mmap): pass
            own = Own(-1, 100, {NAME!r})
            own.cycle = own
            sys.stderr = sys.stdout
            """,
            environment={"PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1"},
        )
        assert child.process.stdout is not None
        assert child.process.stdout.read() == b""
        assert child.wait() == 0
        with pytest.raises(FileNotFoundError):
            namedmap.open(NAME)

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ((-1, 0), FileNotFoundError),
            ((-1, -1), OverflowError),
            ((999999, 10), OSError),
            ((-1, 10, ACCESS_READ, -5), OverflowError),
            ((-1, 10, 77), ValueError),
            ((-5, 10), OSError),
            ((-1, 10, ACCESS_WRITE, 100), OSError),
            ((-1, 1 << 62), OSError),
            ((-1, 1 << 70), OSError),
        ],
    )
    def test_bad_arguments(self, arguments: tuple[int, ...], error: type[Exception]) -> None:
        """They are refused, and leave nothing behind."""
        with pytest.raises(error):
            mmap.mmap(arguments[0], arguments[1], NAME, *arguments[2:])

    @pytest.mark.parametrize("tagname", ["a\0b", "Session\\a", "\\"])
    def test_bad_names(self, tagname: str) -> None:
        """A text that Windows refuses as a name is refused, as a ValueError."""
        with pytest.raises(ValueError, match="name"):
            mmap.mmap(-1, 10, tagname)


class TestFiles:
    """Maps of files, with and without a name."""

    def test_length_beyond_the_end(self, tmp_path: Path) -> None:
        """With a tag name the file becomes longer, as on Windows; `size` is the file's."""
        path = tmp_path / "file"
        path.write_bytes(b"abc")
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 5000, NAME) as held:
            assert (len(held), held.size(), held[:4]) == (5000, 5000, b"abc\0")
            with mmap.mmap(file.fileno(), 3, NAME) as part:
                assert (len(part), part.size()) == (3, 5000)
        assert path.stat().st_size == 5000

    def test_locks_of_the_program(self, tmp_path: Path) -> None:
        """A program may lock a file that it has mapped, and map a file that is locked."""
        path = tmp_path / "file"
        path.write_bytes(bytes(100))
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 0):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with mmap.mmap(file.fileno(), 0) as second:
                assert len(second) == 100

    def test_shrinking(self, tmp_path: Path) -> None:
        """Not while another map of this process stands on the file, with a name or without; growing is no harm."""
        path = tmp_path / "file"
        path.write_bytes(bytes(20000))
        with path.open("r+b") as file:
            held = mmap.mmap(file.fileno(), 0)
            for other in (mmap.mmap(file.fileno(), 0), mmap.mmap(file.fileno(), 10, NAME, ACCESS_READ)):
                with other:
                    with pytest.raises(namedmap.Error, match="other maps") as caught:
                        held.resize(10)
                    assert caught.value.winerror == 1224
                    held.resize(30000)
            held.resize(10)
            assert held.size() == path.stat().st_size == 10
            with pytest.raises(OSError, match="empty"):
                held.resize(0)
            held.close()
            with pytest.raises(ValueError, match="closed"):
                held.resize(0)


class TestModule:
    """The module in the place of the standard library's."""

    def test_everything_else_is_there(self) -> None:
        """The module has all names of the standard library's, and no other meaning for them."""
        import mmap as standard

        for name in (name for name in dir(standard) if not name.startswith("_") and name != "mmap"):
            assert getattr(mmap, name) is getattr(standard, name)
        assert issubclass(mmap.mmap, standard.mmap)
        assert set(dir(standard)) <= set(dir(mmap))

    def test_a_program_that_imports_everything(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`from mmap import *` brings our class and the constants."""
        monkeypatch.setitem(sys.modules, "mmap", mmap)
        names: dict[str, Any] = {}
        exec("from mmap import *", names)
        assert names["mmap"] is mmap.mmap
        assert (names["error"], names["PAGESIZE"]) == (OSError, mmap.PAGESIZE)
