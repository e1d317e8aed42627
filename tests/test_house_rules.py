"""The rules that the source keeps: one place knows the platform, layers import downwards only, modules stay small."""

import ast
import functools
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import namedmap
from child import plain

PACKAGE = Path(namedmap.__file__).parent
KERNEL, WINDOWS = PACKAGE / "_kernel", PACKAGE / "_windows"
#: The packages that `_platform` chooses from.
PLATFORMS = (KERNEL, WINDOWS)
ROOT = Path(__file__).parent.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted(Path(__file__).parent.rglob("*.py"))
CODE = sorted(
    path
    for folder in ("src", "tests", "examples", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if ".venv" not in path.parts
)
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

#: Packages that are used if they are there; see `test_in_a_bare_interpreter`.
OPTIONAL = {"numpy", "polars", "pyarrow"}
#: Packages that only the command line may import.
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


def functions(wing: Path) -> dict[str, str]:
    """The public functions that a platform offers to programs, with their arguments."""
    # FormatMessage is the convention's own, where a platform adds no texts to it.
    paths = [PACKAGE / "_convention" / "messages.py", *sorted(wing.glob("*.py"))]
    found = [node for path in paths for node in tree(path).body if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.unparse(node.args) for node in found if node.name[0].isupper()}


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


#: A Who or What without a noun that begins a sentence, up to its end. "Whatever happens, it ends" has a subject.
_HEADLESS = re.compile(
    r"""(?:^|[.!?:]["')\]*_`]*\s)["'(\[*_`]*"""
    r"""(?=((?:Who|What|Whoever|Whose|Whom|Whatever(?!.*?,))\b.*?(?:[.!?](?=["')\]*_`]*(?:\s|$))|$)))"""
)
#: Lines of a document, or of a docstring, that are no prose: headings, cells, fences, directives, sessions.
_NO_PROSE = re.compile(r"#|\||```|:::|>>>|\.\.\. ")
_ITEM = re.compile(r"(?:[-*]|\d+\.|:[\w ]+:) +")


def headless(text: str) -> list[str]:
    """The sentences of a text that begin with a Who or What without a noun; questions may."""
    found = (match[1] for paragraph in _paragraphs(text) for match in _HEADLESS.finditer(paragraph))
    return [sentence for sentence in found if not sentence.endswith("?")]


def _paragraphs(text: str) -> Iterator[str]:
    """Each paragraph, and each item of a list, as one line."""
    lines: list[str] = []
    for line in [*map(str.strip, re.sub(r"(?ms)^ *```.*?^ *```", "", text).splitlines()), ""]:
        item = _ITEM.match(line)
        if not line or item or _NO_PROSE.match(line):
            yield " ".join(lines)
            lines.clear()
        if item or (line and not _NO_PROSE.match(line)):
            lines.append(line[item.end() :] if item else line)


def prose(path: Path) -> Iterator[str]:
    """The docstrings of a module, and its comments; those that stand below each other as one."""
    for node in _walked(path):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    below, comment = (0, 0), ""
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                if token.start != below:
                    yield comment
                    comment = ""
                below, comment = (token.start[0] + 1, token.start[1]), f"{comment}\n{token.string.lstrip('#:')}"
    yield comment


class TestPlatform:
    def test_one_place_asks(self) -> None:
        """Only `_platform` asks which platform this is."""
        asking = re.compile(
            r"sys\.platform|os\.name\b|platform\.system|platform\.platform|sysconfig\.get_platform|hasattr\(os,"
        )
        found = [label(path) for path in MODULES if asking.search(path.read_text(encoding="utf-8"))]
        assert found == ["src/namedmap/_platform.py"]

    def test_what_one_system_has_is_asked_for_in_one_place(self) -> None:
        """Above the platforms only two modules import what Python has on one system alone: `files._linux`, whose import
        `files._system` tries, since files stand on no platform; and the stand-in for Windows' msvcrt on Linux."""
        alone = {"_winapi", "fcntl", "grp", "msvcrt", "posix", "pwd", "resource", "termios", "tty", "winreg"}
        above = [path for path in MODULES if not any(path.is_relative_to(each) for each in PLATFORMS)]
        found = [label(path) for path in above if alone & {name.split(".")[0] for name in imports(path)}]
        assert found == ["src/namedmap/compat/builtin/msvcrt.py", "src/namedmap/files/_linux.py"]

    def test_only_the_public_modules_ask_it(self) -> None:
        """`win32` and `nt` get their functions from `_platform`, which alone imports the implementation."""
        for platform in PLATFORMS:
            outside, name = [path for path in MODULES if not path.is_relative_to(platform)], f"namedmap.{platform.name}"
            found = [path for path in outside if any(each.startswith(name) for each in imports(path))]
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
        """Modules above `_kernel` in the layout, errors and files among them, can be imported without a platform."""
        ground = rooms()[: rooms().index("_kernel")]
        assert {"errors", "files", "constants", "types", "_contract"} <= set(ground)
        output = plain(
            f"""
            import sys
            import importlib
            for name in {ground}:
                importlib.import_module(f"namedmap.{{name}}")
            platforms = "namedmap._kernel", "namedmap._windows", "namedmap._platform"
            print([name for name in sys.modules if name.startswith(platforms)])
            """
        )
        assert output == "[]\n"

    @pytest.mark.parametrize("platform", PLATFORMS, ids=lambda each: each.name)
    def test_the_maps_of_a_platform_are_complete(self, platform: Path) -> None:
        """The map in the `__init__` of each wing names every module once, and none that is not there."""
        assert sorted(listed(platform)) == [name for name in present(platform) if name != "__init__"]
        for wing in platform.glob("*/__init__.py"):
            assert sorted(listed(wing.parent)) == [name for name in present(wing.parent) if name != "__init__"], wing

    @pytest.mark.parametrize("platform", PLATFORMS, ids=lambda each: each.name)
    def test_wings_import_from_above_only(self, platform: Path) -> None:
        """Modules import from wings above, and in their wing from modules above; the two faces not from each other."""
        wings, found = listed(platform), []
        for path in platform.glob("*/*.py"):
            wing, order = path.parent.name, listed(path.parent)
            for name in imports(path) if path.stem != "__init__" else ():
                parts = name.split(".")[2:]
                if not name.startswith(f"namedmap.{platform.name}."):
                    continue
                if parts[0] == wing:
                    allowed = order.index(parts[1]) < order.index(path.stem)
                else:
                    allowed = wings.index(parts[0]) < wings.index(wing) and {wing, parts[0]} != {"contract", "win32"}
                if not allowed:
                    found.append(f"{label(path)} imports {name}")
        assert not found, "\n".join(found)

    def test_the_functions_are_alike(self) -> None:
        """Every platform has the same functions of Win32 and of the native calls, with the same arguments."""
        first, *others = [functions(platform / "win32") for platform in PLATFORMS]
        assert others
        for other in others:
            assert first == other

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
        platforms = [path for platform in PLATFORMS for path in sorted((platform / "win32").glob("*.py"))]
        contract = [*platforms, PACKAGE / "win32.py", PACKAGE / "nt.py"]
        found = [(label(path), name) for path in contract for name in _undocumented(path, ast.FunctionDef)]
        assert [each for each in found if each[1][0].isupper()] == []

    def test_sentences_name_their_subject(self) -> None:
        """No sentence of a document, or of a docstring or comment of any code, begins with a headless Who, What."""
        texts = [(path, text) for path in CODE for text in prose(path)]
        texts += [(path, path.read_text(encoding="utf-8")) for path in DOCUMENTS]
        found = [f"{label(path)}: {sentence}" for path, text in texts for sentence in headless(text)]
        assert not found, "\n".join(found)

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("Who waits\nsleeps. Nobody else does.", ["Who waits sleeps."]),
            ("One.\n\nWhat stays stays", ["What stays stays"]),
            ("It ends. (Whoever uses a.b has it.)", ["Whoever uses a.b has it."]),
            ("- *What is lost* stays so. What else?\n- Whatever comes, it stays.", ["What is lost* stays so."]),
            ("Whose is it? *1.* Who knows?", []),
            ("## What is tested\n\n| Who waits |\n|---|\n\n```\nWhat.\n```\n\nSomebody who waits sleeps.", []),
        ],
    )
    def test_headless_sentences_are_found(self, text: str, found: list[str]) -> None:
        assert headless(text) == found

    def test_foreign_functions_are_declared(self) -> None:
        """Each function of the C library has its result type, and its argument types unless it is variadic."""
        text = (KERNEL / "linux" / "libc.py").read_text(encoding="utf-8")
        for name in re.findall(r"^(\w+) = _libc\.\w+$", text, re.MULTILINE):
            assert re.search(rf"\b{name}\.restype\b", text), name
            assert name == "syscall" or re.search(rf"\b{name}\.argtypes\b", text), name

    def test_foreign_functions_are_declared_in_one_place(self) -> None:
        """Only `libc` and `dll` load libraries; `files`, which stands on no platform, has a few functions of its own,
        and `_abroad` asks the interpreter for one."""
        found = [
            label(path)
            for path in MODULES
            if re.search(r'CDLL|PyDLL|\["WinDLL"\]|cdll\b|pythonapi', path.read_text(encoding="utf-8"))
        ]
        assert found == [
            "src/namedmap/_kernel/linux/libc.py",
            "src/namedmap/_windows/dll.py",
            "src/namedmap/compat/_abroad.py",
            "src/namedmap/files/_kernel32.py",
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
        """Tests reach what is private to a platform through `calls.kernel` and `windows.insides`, scripts for other
        processes included; one asks of every module whether it can be imported."""
        inside = re.compile(r"namedmap\._(?:kernel|windows)\b")
        found = [label(path) for path in TESTS if inside.search(path.read_text(encoding="utf-8"))]
        assert found == [
            "tests/calls/kernel.py",
            "tests/test_house_rules.py",
            "tests/windows/insides.py",
            "tests/windows/test_imports.py",
        ]

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
