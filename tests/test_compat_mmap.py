"""namedmap.compat.mmap: the standard library's own tests of mmap, those for Windows included; and tag names."""

import importlib.util
import types
import unittest
from mmap import ACCESS_COPY, ACCESS_READ, ACCESS_WRITE, MAP_SHARED, PROT_READ, PROT_WRITE
from pathlib import Path
from typing import Any

import pytest

import namedmap
from namedmap.compat import mmap
from support import Spawn

NAME = "compat-mmap"
_SOURCE = importlib.util.find_spec("test.test_mmap")

_UNIX = "on Unix, shared memory without a file cannot be resized; Windows and this class can"
#: What does not apply, with the reason. (Not every Python has them all.)
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
    text = text.replace("import_module('mmap')", "ours").replace("os.name == 'nt', 'requires Windows'", "True, ''")
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
    result = unittest.TestResult()
    case(method).run(result)
    assert not result.errors + result.failures, "\n".join(text for _, text in result.errors + result.failures)
    if result.skipped:
        pytest.skip(reason=result.skipped[0][1])


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

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ((-1, 0), FileNotFoundError),
            ((-1, -1), OverflowError),
            ((999999, 10), OSError),
            ((-1, 10, ACCESS_READ, -5), OverflowError),
            ((-1, 10, 77), ValueError),
        ],
    )
    def test_bad_arguments(self, arguments: tuple[int, ...], error: type[Exception]) -> None:
        """They are refused, and leave nothing behind."""
        with pytest.raises(error):
            mmap.mmap(arguments[0], arguments[1], NAME, *arguments[2:])

    def test_everything_else_is_there(self) -> None:
        """The module has all names of the standard library's, and no other meaning for them."""
        import mmap as standard

        for name in (name for name in dir(standard) if not name.startswith("_") and name != "mmap"):
            assert getattr(mmap, name) is getattr(standard, name)
        assert issubclass(mmap.mmap, standard.mmap)
