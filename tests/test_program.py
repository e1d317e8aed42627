"""A whole program of a user's: its types, its warnings, its end; and the examples in the docstrings."""

import doctest
import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import namedmap

PROGRAM = Path(__file__).parent / "programs" / "typed_program.py"
PACKAGE = Path(namedmap.__file__).parent
#: The modules that users see, and those whose classes they see.
PUBLIC = sorted(
    ".".join(("namedmap", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if not any(part.startswith("_") and part != "__init__.py" for part in path.relative_to(PACKAGE).parts)
)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("seed", range(2))
def test_a_program_that_uses_everything(tmp_path: Path, method: str, seed: int) -> None:
    """No warning, no error and nothing left, in development mode, however it starts processes and closes things."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(PROGRAM), method, str(seed), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_the_types_of_an_installed_package(tmp_path: Path) -> None:
    """`mypy --strict` finds nothing in a user's program, with the package as pip installs it."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    places = {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}
    site = Path(sysconfig.get_path("purelib", "venv", vars=places))
    shutil.copytree(PACKAGE, site / "namedmap", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROGRAM, tmp_path / "program.py")
    command = ["mypy", "--strict", "--warn-unreachable", "--config-file=", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--python-executable", str(python), "program.py"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "MYPYPATH"},
    )
    assert done.stdout == "Success: no issues found in 1 source file\n", done.stdout + done.stderr
    assert (site / "namedmap" / "py.typed").exists()


WITH_EXAMPLES = ("namedmap.data.blocks", "namedmap.synchronization.primitives", "namedmap.synchronization.waits")


@pytest.mark.parametrize("module", PUBLIC)
def test_examples_in_docstrings(module: str) -> None:
    """The examples in docstrings happen as shown."""
    found = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0
    assert found.attempted or module not in WITH_EXAMPLES
