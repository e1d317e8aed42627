"""The rules that the source keeps: one place knows the platform, layers import downwards only, modules stay small."""

import ast
import functools
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import namedmap
from child import plain

PACKAGE = Path(namedmap.__file__).parent
KERNEL = PACKAGE / "_kernel"
ROOT = Path(__file__).parent.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted(Path(__file__).parent.rglob("*.py"))
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


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def nodes(paths: Sequence[Path]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of these modules, and where it is."""
    for path in paths:
        where = label(path)
        yield from ((where, node) for node in _walked(path))


@functools.cache
def _walked(path: Path) -> list[ast.AST]:
    return list(ast.walk(tree(path)))


def imports(path: Path) -> Iterator[str]:
    """The modules that a module imports, by their full names; relative ones made absolute."""
    package = [*path.relative_to(PACKAGE.parent).parts[:-1]]
    for node in _walked(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from . import x` and `from package import module` name modules.
                whole = f"{module}.{alias.name}"
                yield whole if _is_module(whole) else module


def _undocumented(path: Path, kind: type[ast.ClassDef] | type[ast.FunctionDef]) -> list[str]:
    """Public classes or functions of a module that have no docstring."""
    found = [node for node in ast.iter_child_nodes(tree(path)) if isinstance(node, kind)]
    return [node.name for node in found if not node.name.startswith("_") and not ast.get_docstring(node)]


def _is_module(name: str) -> bool:
    place = PACKAGE.parent.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def rooms() -> list[str]:
    """The modules and wings of the package in the order of the layout at its door."""
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    lines = re.findall(r"^#     (\S.*?)(?:   .*)?$", text, re.MULTILINE)
    return [name.rstrip("/") for line in lines for name in line.split()]


def listed(wing: Path) -> list[str]:
    """The modules of a wing of the object manager, or its wings, in the order of the map in its docstring."""
    text = (wing / "__init__.py").read_text(encoding="utf-8").split('"""')[1]
    return re.findall(r"^    (\w+)/?  +\S", text, re.MULTILINE)


def present(directory: Path) -> list[str]:
    """The modules and packages that lie in a directory."""
    modules = {path.stem for path in directory.glob("*.py")}
    return sorted(modules | {path.parent.name for path in directory.glob("*/__init__.py")} - {"__init__", "__main__"})


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
        outside = [path for path in MODULES if not path.is_relative_to(KERNEL)]
        found = [path for path in outside if any(name.startswith("namedmap._kernel") for name in imports(path))]
        assert [label(path) for path in found] == ["src/namedmap/_platform.py"]


class TestLayers:
    def test_the_layout_is_complete(self) -> None:
        """The layout in the package's `__init__` names every module and wing once, and none that is not there."""
        assert sorted(rooms()) == [name for name in present(PACKAGE) if name not in ("__init__", "__main__")]

    def test_rooms_import_from_above_only(self) -> None:
        """Each module imports only from its own wing and from those that the layout has above it."""
        order, found = rooms(), []
        for path in MODULES:
            room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
            if room not in ("__init__", "__main__"):
                used = {name.split(".")[1] for name in imports(path) if name.startswith("namedmap.")} - {room}
                lower = set(order[: order.index(room)])
                found += [f"{label(path)} imports {name}" for name in sorted(used - lower)]
        assert not found, "\n".join(found)

    def test_the_ground_imports_no_platform(self) -> None:
        """What stands above `_kernel` in the layout, errors and files among it, can be imported without a platform."""
        ground = rooms()[: rooms().index("_kernel")]
        assert {"errors", "files", "constants", "types", "_contract"} <= set(ground)
        output = plain(
            f"""
            import sys
            import importlib
            for name in {ground}:
                importlib.import_module(f"namedmap.{{name}}")
            print([name for name in sys.modules if name.startswith(("namedmap._kernel", "namedmap._platform"))])
            """
        )
        assert output == "[]\n"

    def test_the_maps_of_the_object_manager_are_complete(self) -> None:
        """The map in the `__init__` of each wing names every module once, and none that is not there."""
        assert sorted(listed(KERNEL)) == [name for name in present(KERNEL) if name != "__init__"]
        for wing in KERNEL.glob("*/__init__.py"):
            assert sorted(listed(wing.parent)) == [name for name in present(wing.parent) if name != "__init__"], wing

    def test_wings_import_from_above_only(self) -> None:
        """Modules import from wings above, and in their wing from modules above; the two faces not from each other."""
        wings, found = listed(KERNEL), []
        for path in KERNEL.glob("*/*.py"):
            wing, order = path.parent.name, listed(path.parent)
            for name in imports(path) if path.stem != "__init__" else ():
                parts = name.split(".")[2:]
                if not name.startswith("namedmap._kernel."):
                    continue
                if parts[0] == wing:
                    allowed = order.index(parts[1]) < order.index(path.stem)
                else:
                    allowed = wings.index(parts[0]) < wings.index(wing) and {wing, parts[0]} != {"contract", "win32"}
                if not allowed:
                    found.append(f"{label(path)} imports {name}")
        assert not found, "\n".join(found)

    def test_public_data_imports_nothing(self) -> None:
        """Constants, statuses and types stand below everything."""
        for name in ("winerror", "constants", "ntstatus", "types"):
            found = {module for module in imports(PACKAGE / f"{name}.py") if module.startswith("namedmap")}
            assert found <= ({"namedmap.winerror"} if name == "constants" else set())


class TestStandardLibrary:
    def test_imports(self) -> None:
        """The package imports the standard library and itself; what is optional only where it is used."""
        here = sys.stdlib_module_names | {"namedmap"} | OPTIONAL
        found = [
            f"{label(path)}: {name}"
            for path in MODULES
            for name in imports(path)
            if name.split(".")[0] not in here | (COMMAND_LINE if path.is_relative_to(PACKAGE / "cli") else set())
        ]
        assert not found, "\n".join(found)

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
    def test_size(self) -> None:
        """A module has at most 500 lines; a test module may have more."""
        lines = {path: path.read_text(encoding="utf-8").count("\n") for path in CODE}
        most = {path: 1000 if path.name.startswith("test_") else 500 for path in CODE}
        found = [f"{label(path)}: {lines[path]} lines" for path in CODE if lines[path] > most[path]]
        assert not found, "\n".join(found)

    def test_functions_fit_a_screen(self) -> None:
        """A function has at most 60 lines, docstring included."""
        found = [
            f"{where}: {node.name}"
            for where, node in nodes(MODULES)
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
        ]
        assert not found, "\n".join(found)

    def test_nothing_left_undone(self) -> None:
        """No TODO, FIXME or XXX, no `type: ignore`, no bare except, no print, no assert, no commented-out code."""
        undone = re.compile(
            r"\b(?:TODO|FIXME|XXX|HACK)\b|type: ignore|\bprint\(|breakpoint\(|\bpdb\b"
            r"|^\s*#\s*(?:import \w|from \w+ import|def \w|return\b|if .*:$|for .*:$)",
            re.MULTILINE,
        )
        texts = {label(path): path.read_text(encoding="utf-8") for path in MODULES}
        found = [f"{name}: {match[0].strip()}" for name, text in texts.items() for match in undone.finditer(text)]
        for where, node in nodes(MODULES):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                found.append(f"{where}: a bare except")
            if isinstance(node, ast.Assert):
                found.append(f"{where}: an assert")
        assert not found, "\n".join(found)

    def test_docstrings(self) -> None:
        """Each module says what it is; each public class, too, structures of the C headers aside."""
        found = [label(path) for path in MODULES if tree(path).body and not ast.get_docstring(tree(path))]
        for path in MODULES:
            if path.stem not in ("types", "libc"):
                found += [f"{label(path)}: {name}" for name in _undocumented(path, ast.ClassDef)]
        assert not found, "\n".join(found)

    def test_public_functions_are_documented(self) -> None:
        """Each public function of the contract has a docstring."""
        contract = [*sorted((KERNEL / "win32").glob("*.py")), PACKAGE / "win32.py", PACKAGE / "nt.py"]
        found = [(label(path), name) for path in contract for name in _undocumented(path, ast.FunctionDef)]
        assert [each for each in found if each[1][0].isupper()] == []

    def test_foreign_functions_are_declared(self) -> None:
        """Each function of the C library has its result type, and its argument types unless it is variadic."""
        text = (KERNEL / "linux" / "libc.py").read_text(encoding="utf-8")
        for name in re.findall(r"^(\w+) = _libc\.\w+$", text, re.MULTILINE):
            assert re.search(rf"\b{name}\.restype\b", text), name
            assert name == "syscall" or re.search(rf"\b{name}\.argtypes\b", text), name

    def test_foreign_functions_are_declared_in_one_place(self) -> None:
        """Only `libc` loads a C library; `files`, which stands on no platform, has two functions of its own, and
        `_abroad` asks the interpreter for one."""
        found = [
            label(path)
            for path in MODULES
            if re.search(r"CDLL|PyDLL|cdll\b|pythonapi", path.read_text(encoding="utf-8"))
        ]
        assert found == [
            "src/namedmap/_kernel/linux/libc.py",
            "src/namedmap/compat/_abroad.py",
            "src/namedmap/files/_libc.py",
        ]

    def test_every_test_states_its_rule(self) -> None:
        """Each test of this suite says what holds: in its docstring, or in a name that is a sentence."""
        found = [
            f"{where}: {node.name}"
            for where, node in nodes(TESTS)
            if isinstance(node, ast.FunctionDef)
            if node.name.startswith("test_") and node.name.count("_") < 3 and not ast.get_docstring(node)
        ]
        assert not found, "\n".join(found)

    def test_the_insides_are_named_in_one_place(self) -> None:
        """Tests reach what is private to the package through `calls.kernel`, scripts for other processes included."""
        inside = re.compile(r"namedmap\._kernel\b")
        found = [label(path) for path in TESTS if inside.search(path.read_text(encoding="utf-8"))]
        assert found == ["tests/calls/kernel.py", "tests/test_house_rules.py"]

    def test_speed_is_never_measured(self) -> None:
        """No test asks for processor time or the fine clock: that is the benchmark's. Peaks of memory are no time."""
        clocks = re.compile(r"\b(?:process_time|thread_time|perf_counter)(?:_ns)?\(|\bgetrusage\([^)]*\)(?!\.ru_max)")
        assert [label(path) for path in TESTS if clocks.search(path.read_text(encoding="utf-8"))] == []

    def test_nobody_swallows_what_signal_handlers_raise(self) -> None:
        """Where the kernel and `files` catch an OSError and go on, they look whose it is: `require_ours`, `ignored`."""
        kinds = r"(?:OSError|File\w+Error|PermissionError)"
        swallows = re.compile(rf"suppress\([^)]*{kinds}|except \(?{kinds}\)?:")
        paths = [path for path in MODULES if path.is_relative_to(KERNEL) or path.is_relative_to(PACKAGE / "files")]
        texts = {label(path): path.read_text(encoding="utf-8") for path in paths}
        assert [f"{name}: {match[0]}" for name, text in texts.items() for match in swallows.finditer(text)] == []

    def test_skips_give_their_reason(self) -> None:
        """No test is skipped without a reason."""
        found = [
            f"{where}:{node.lineno}"
            for where, node in nodes(TESTS)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if node.func.attr in ("skip", "skipif", "xfail") and ast.unparse(node.func.value).endswith("mark")
            if all(keyword.arg != "reason" for keyword in node.keywords)
        ]
        assert not found, "\n".join(found)
