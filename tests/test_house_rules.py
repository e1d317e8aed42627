"""The rules that the source keeps: one place knows the platform, layers import downwards only, modules stay small."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import namedmap
from section_support import plain

PACKAGE = Path(namedmap.__file__).parent
KERNEL = PACKAGE / "_kernel"
ROOT = Path(__file__).parent.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
CODE = sorted(
    path
    for folder in ("src", "tests", "examples", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if ".venv" not in path.parts
)


#: Packages that are used if they are there; see `test_in_a_bare_interpreter`.
OPTIONAL = {"numpy", "polars", "pyarrow"}
#: What only the command line may import.
COMMAND_LINE = {"click", "matplotlib", "rich"}


def label(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """The modules that a module imports, by their full names; relative ones made absolute."""
    package = [*path.relative_to(PACKAGE.parent).parts[:-1]]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from . import x` and `from package import module` name modules.
                whole = f"{module}.{alias.name}"
                yield whole if _is_module(whole) else module


def _is_module(name: str) -> bool:
    place = PACKAGE.parent.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def layers() -> list[str]:
    """The modules of the object manager in the order of the map in its docstring."""
    text = (KERNEL / "__init__.py").read_text(encoding="utf-8").split('"""')[1]
    listed: list[str] = []
    for line in text.splitlines():
        match = re.match(r"    (\w+)  +(.*)", line)
        if match:
            listed.append(match[1])
            # "files; with sharing (share modes) and attributes": those come with it, and lie below it.
            with_it = re.findall(r"\b(\w+)(?= \(|,| and |$)", match[2].partition("; with ")[2])
            listed += [name for name in with_it if (KERNEL / f"{name}.py").exists()]
    return listed


class TestPlatform:
    def test_one_place_asks(self) -> None:
        """Only `_platform` asks which platform this is."""
        asking = re.compile(
            r"sys\.platform|os\.name\b|platform\.system|platform\.platform|sysconfig\.get_platform|hasattr\(os,"
        )
        found = [label(path) for path in MODULES if asking.search(path.read_text(encoding="utf-8"))]
        assert found == ["src/namedmap/_platform.py"]

    def test_only_the_public_modules_ask_it(self) -> None:
        """`win32` and `nt` get their functions from `_platform`, which alone imports the implementation."""
        for path in MODULES:
            if path.is_relative_to(KERNEL):
                continue
            reaches = any(name.startswith("namedmap._kernel") for name in imports(path))
            assert reaches == (path.name == "_platform.py"), label(path)


class TestLayers:
    def test_the_map_is_complete(self) -> None:
        """The map in `_kernel/__init__` names every module once, and none that is not there."""
        listed = layers()
        modules = {path.stem for path in KERNEL.glob("*.py")} - {"__init__"} | {"api"}
        assert sorted(listed) == sorted(set(listed))
        assert set(listed) == modules

    @pytest.mark.parametrize("path", sorted(KERNEL.glob("*.py")), ids=label)
    def test_modules_import_from_above_only(self, path: Path) -> None:
        """Each module of the object manager imports only from those that the map has above it, and never from `api`."""
        if path.stem == "__init__":
            return
        listed = layers()
        groups = {name: index for index, name in enumerate(listed)}
        used = {name.split(".")[2] for name in imports(path) if name.startswith("namedmap._kernel.")}
        assert "api" not in used
        for name in used:
            # A module that comes "with" another lies below it, though it stands behind it in the line.
            assert groups[name] < groups[path.stem] or _come_together(name, path.stem), f"{path.stem} imports {name}"

    def test_there_are_no_cycles(self) -> None:
        """No module reaches itself through its imports."""
        graph = {
            path.stem: {name.split(".")[2] for name in imports(path) if name.startswith("namedmap._kernel.")}
            for path in KERNEL.glob("*.py")
            if path.stem != "__init__"
        }

        def reached(start: str) -> set[str]:
            found: set[str] = set()
            waiting = list(graph.get(start, ()))
            while waiting:
                name = waiting.pop()
                if name not in found:
                    found.add(name)
                    waiting += graph.get(name, ())
            return found

        assert [name for name in graph if name in reached(name)] == []

    def test_public_data_imports_nothing(self) -> None:
        """Constants, statuses and types stand below everything."""
        for name in ("winerror", "constants", "ntstatus", "types"):
            found = {module for module in imports(PACKAGE / f"{name}.py") if module.startswith("namedmap")}
            assert found <= ({"namedmap.winerror"} if name == "constants" else set())


def _come_together(name: str, other: str) -> bool:
    text = (KERNEL / "__init__.py").read_text(encoding="utf-8").split('"""')[1]
    return any(re.search(rf"\b{name}\b", line) and re.match(rf"    {other}  ", line) for line in text.splitlines())


class TestStandardLibrary:
    @pytest.mark.parametrize("path", MODULES, ids=label)
    def test_imports(self, path: Path) -> None:
        """The package imports the standard library and itself; what is optional only where it is used."""
        optional = OPTIONAL | (COMMAND_LINE if path.is_relative_to(PACKAGE / "cli") else set())
        for name in imports(path):
            assert name.split(".")[0] in sys.stdlib_module_names | {"namedmap"} | optional, name

    def test_in_a_bare_interpreter(self) -> None:
        """An isolated interpreter without site-packages runs it; nothing from elsewhere is loaded."""
        output = plain(
            f"""
            import sys
            before = set(sys.modules)
            sys.path.insert(0, {str(PACKAGE.parent)!r})
            from namedmap import nt, win32
            from namedmap.compat import mmap, shared_memory
            handle = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, None)
            assert win32.MapViewOfFile(handle, win32.FILE_MAP_WRITE, 0, 0, 0)
            loaded = set(sys.modules) - before
            print(sorted(n for n in loaded if n.split(".")[0] not in sys.stdlib_module_names | {{"namedmap"}}))
            """,
            flags=("-I", "-S"),
        )
        assert output == "[]\n"


class TestText:
    @pytest.mark.parametrize("path", CODE, ids=label)
    def test_size(self, path: Path) -> None:
        """A module has at most 500 lines; a test module may have more."""
        lines = path.read_text(encoding="utf-8").count("\n")
        assert lines <= (1000 if path.is_relative_to(ROOT / "tests") else 500)

    @pytest.mark.parametrize("path", MODULES, ids=label)
    def test_functions_fit_a_screen(self, path: Path) -> None:
        """A function has at most 60 lines, docstring included."""
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, node.name

    @pytest.mark.parametrize("path", MODULES, ids=label)
    def test_nothing_left_undone(self, path: Path) -> None:
        """No TODO, FIXME or XXX, no `type: ignore`, no bare except, no print, no commented-out code."""
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b|type: ignore|\bprint\(|breakpoint\(|\bpdb\b", text)
        assert not re.search(
            r"^\s*#\s*(import \w|from \w+ import|def \w|return\b|if .*:$|for .*:$)", text, re.MULTILINE
        )
        for node in ast.walk(tree(path)):
            assert not (isinstance(node, ast.ExceptHandler) and node.type is None)
            assert not isinstance(node, ast.Assert)

    @pytest.mark.parametrize("path", MODULES, ids=label)
    def test_docstrings(self, path: Path) -> None:
        """Each module says what it is; each public class, too, structures of the C headers aside."""
        assert ast.get_docstring(tree(path)) or not tree(path).body
        for node in ast.iter_child_nodes(tree(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and path.stem not in ("types", "libc"):
                assert ast.get_docstring(node), node.name

    @pytest.mark.parametrize(
        "path", [*sorted((KERNEL / "api").glob("*.py")), PACKAGE / "win32.py", PACKAGE / "nt.py"], ids=label
    )
    def test_public_functions_are_documented(self, path: Path) -> None:
        """Each public function of the contract has a docstring."""
        for node in ast.iter_child_nodes(tree(path)):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.name[0].isupper():
                assert ast.get_docstring(node), node.name

    def test_foreign_functions_are_declared(self) -> None:
        """Each function of the C library has its result type, and its argument types unless it is variadic."""
        text = (KERNEL / "libc.py").read_text(encoding="utf-8")
        for name in re.findall(r"^(\w+) = _libc\.\w+$", text, re.MULTILINE):
            assert re.search(rf"\b{name}\.restype\b", text), name
            assert name == "syscall" or re.search(rf"\b{name}\.argtypes\b", text), name

    def test_foreign_functions_are_declared_in_one_place(self) -> None:
        """Only `libc` loads a C library; `files`, which stands on no platform, has two functions of its own."""
        found = [
            label(path)
            for path in MODULES
            if re.search(r"CDLL|PyDLL|cdll\b|pythonapi", path.read_text(encoding="utf-8"))
        ]
        assert found == ["src/namedmap/_kernel/libc.py", "src/namedmap/files/_libc.py"]

    def test_every_test_states_its_rule(self) -> None:
        """Each test of this suite says what holds: in its docstring, or in a name that is a sentence."""
        for path in sorted(Path(__file__).parent.glob("test_*.py")):
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    assert ast.get_docstring(node) or node.name.count("_") >= 3, f"{path.name}: {node.name}"

    def test_skips_give_their_reason(self) -> None:
        """No test is skipped without a reason."""
        for path in sorted(Path(__file__).parent.rglob("*.py")):
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                    ("mark.skip", "mark.skipif", "mark.xfail")
                ):
                    assert any(keyword.arg == "reason" for keyword in node.keywords), f"{path.name}:{node.lineno}"
