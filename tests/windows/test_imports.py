"""Every module of the package can be imported on Windows; what cannot be there says what it lacks."""

import json
import subprocess
import sys

import pytest

from child import WATCHDOG

pytest.importorskip("msvcrt", reason="for Windows Python: tests/windows/python")

#: Modules that belong to Linux outside of the object manager, and the module that each fails for.
LINUX = {
    "namedmap.cli._signals": "cannot import name 'pthread_sigmask' from 'signal'",
    "namedmap.compat.builtin.msvcrt": "No module named 'fcntl'",
    "namedmap.files._linux": "No module named 'fcntl'",
}

PROGRAM = """
import importlib, json, pkgutil, sys
import namedmap
failed, todo, done = {}, [namedmap], []
while todo:
    package = todo.pop()
    for _, name, is_package in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if name == "namedmap._kernel" or name.endswith("__main__"):
            continue
        done.append(name)
        try:
            module = importlib.import_module(name)
        except Exception as error:
            failed[name] = [type(error).__name__, str(error)]
        else:
            todo += [module] if is_package else []
sys.stdout.write(json.dumps([done, failed]))
"""


def test_every_module_outside_the_object_manager_of_linux() -> None:
    """It imports, or it is one that belongs to Linux and says so as an ImportError."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, timeout=WATCHDOG, check=False)
    assert ran.returncode == 0, ran.stderr
    done, failed = json.loads(ran.stdout)
    assert {"namedmap.files.copying", "namedmap.cli.files", "namedmap.compat.pywin32.win32file"} <= set(done)
    assert failed.keys() == LINUX.keys(), failed
    for name, (kind, text) in failed.items():
        assert kind in ("ImportError", "ModuleNotFoundError")
        assert LINUX[name] in text


def test_the_object_manager_of_linux() -> None:
    """It is not imported by any public module, and cannot be."""
    code = (
        "import sys, namedmap, namedmap.win32, namedmap.nt, namedmap.inspection, namedmap.compat.run; namedmap.open\n"
        "sys.stdout.write(str([name for name in sys.modules if name.startswith('namedmap._kernel')]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=WATCHDOG, check=False)
    assert (ran.stdout, ran.stderr) == (b"[]", b"")
