"""Running a program as Python would, with the stand-ins of `install` in place: `python -m namedmap run`."""

import argparse
import importlib.machinery
import importlib.util
import io
import os
import sys
import types
import zipfile
from importlib.machinery import ModuleSpec
from typing import Any

from namedmap.compat import _children, _disguise, _install

_PURPOSE = "run a Python program that was written for Windows, unchanged, with named maps, mutexes and events"


def main(words: list[str], prog: str = "python -m namedmap run") -> None:
    """Run the words that follow `run` on the command line; ends with the program's exit status."""
    own, rest = _split(words)
    parser = argparse.ArgumentParser(
        prog=prog,
        description=_PURPOSE,
        usage="%(prog)s [-h] [--windows] [--own PACKAGE] (SCRIPT | -m MODULE | -c CODE) [ARGUMENTS ...]",
    )
    parser.add_argument("--windows", action="store_true", help="tell the program's own modules that this is Windows")
    parser.add_argument(
        "--own",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="tell an installed package so as well, as if it were the program's own; may be repeated",
    )
    parser.add_argument(
        "-m", dest="module", help="a module, as for python -m; without it SCRIPT is a file, directory or zip archive"
    )
    parser.add_argument("-c", dest="code", help="the text of a program, as for python -c")
    # Of a program that another one has started: the module is that program's own if it is not an installed one.
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(own)
    if not given.module and given.code is None and not rest:
        parser.error("which program? SCRIPT, -m MODULE or -c CODE")
    named = [given.module] if given.module and not given.child else []
    _disguise.main_may_be_foreign = given.child
    _install_all(given.windows or bool(given.own), [*given.own, *named])
    try:
        _run(given, rest, parser)
    except BaseException as error:
        _show_from_the_program_on(error)
        raise


def _run(given: argparse.Namespace, rest: list[str], parser: argparse.ArgumentParser) -> None:
    if given.code is not None:
        _put_first("")
        sys.argv[:] = ["-c", *rest]
        _execute(None, compile(given.code, "<string>", "exec", dont_inherit=True), file=None)
        return
    if given.module:
        _put_first(os.getcwd())
    try:
        spec, code = _find_module(given.module) if given.module else _find_script(rest[0])
    except (OSError, ImportError) as error:
        parser.error(str(error))
    sys.argv[:] = [str(spec.origin), *rest] if given.module and spec else rest
    _execute(spec, code, file=sys.argv[0])


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Our words, and the program's: from the script on, or behind -m MODULE or -c CODE."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        word = words[at]
        at += 2 if word in ("-m", "-c", "--own") else 1
        if word.startswith(("-m", "-c")):
            break
    return words[:at], words[at:]


def _install_all(windows: bool, own: list[str]) -> None:
    _children.follow()
    _install.install_all(windows, [name.partition(".")[0] for name in own])


# -- what to run -------------------------------------------------------------------------------------------------------


def _find_module(name: str) -> tuple[ModuleSpec, Any]:
    """The module that `python -m` would run, and its code."""
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{name}.__main__")
    return _code_of(spec, f"there is no module {name} that can be run")


def _code_of(spec: ModuleSpec | None, otherwise: str) -> tuple[ModuleSpec, Any]:
    code = None if spec is None else getattr(spec.loader, "get_code", lambda _: None)(spec.name)
    if spec is None or code is None:
        raise ImportError(otherwise)
    return spec, code


def _find_script(path: str) -> tuple[ModuleSpec | None, Any]:
    """The code of a file; that of a directory or archive, with its spec. Modules are found beside it, or in it."""
    if os.path.isdir(path) or zipfile.is_zipfile(path):
        place = os.path.abspath(path)
        _put_first(place)
        spec = importlib.machinery.PathFinder.find_spec("__main__", [place])
        return _code_of(spec, f"there is no __main__.py in {path}")
    with io.open_code(path) as file:
        source = file.read()
    if not sys.flags.safe_path:
        _put_first(os.path.dirname(os.path.realpath(path)))
    return None, compile(source, path, "exec", dont_inherit=True)


def _put_first(directory: str) -> None:
    """In the place of what python -m has put in front."""
    sys.path[:1] = [directory] if not sys.flags.safe_path else [directory, *sys.path[:1]]


# -- running it --------------------------------------------------------------------------------------------------------


def _execute(spec: ModuleSpec | None, code: Any, file: str | None) -> None:
    """Run it as __main__, which it stays until the process ends: threads and exit handlers look for it there."""
    main = types.ModuleType("__main__")
    names = vars(main)
    names.update({"__file__": file} if file is not None else {}, __cached__=None, __builtins__=__builtins__)
    if spec is not None:
        names.update(__file__=spec.origin, __cached__=spec.cached, __loader__=spec.loader, __spec__=spec)
        names["__package__"] = spec.parent
    sys.modules["__main__"] = main
    exec(code, names)


def _show_from_the_program_on(error: BaseException) -> None:
    """Leave our frames, through which a program's exception has come, out of the traceback that Python prints of it.

    Only printing comes when no frame is added any more, so it is told where to begin. A program's own `excepthook` is
    given what it would get without us.
    """
    first, show = error.__traceback__, sys.excepthook
    while first is not None and first.tb_frame.f_globals.get("__name__", "").startswith(("namedmap.", "importlib.")):
        first = first.tb_next

    def hook(kind: type[BaseException], value: BaseException, traceback: types.TracebackType | None) -> None:
        show(kind, value.with_traceback(first), first) if value is error else show(kind, value, traceback)

    sys.excepthook = hook
