"""Build hook: compiles the core of the package, which the package does without where it cannot be compiled.

The compiler is that of the variable NAMEDMAP_CC, else of CC, else `cc`; where there is none and a wheel is built, that
of `ziglang` from PyPI. NAMEDMAP_NATIVE=0 leaves the core out; NAMEDMAP_NATIVE=1 makes it an error if it cannot be
compiled. NAMEDMAP_PLATFORM is the platform tag of the wheel if the compiler makes code for another one.

`python hatch_build.py [option of the compiler ...]` compiles it into the source tree.
"""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import sysconfig
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a program
    BuildHookInterface = object

ROOT = pathlib.Path(__file__).resolve().parent
SOURCE = ROOT / "src/namedmap/_native.c"
BUILT = SOURCE.with_name("_native.abi3.so")
OPTIONS = ("-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter")
OPTIONS += ("-Wno-missing-field-initializers", "-Wno-cast-function-type")


def is_possible() -> bool:
    """Whether the core is for this system and interpreter at all."""
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    usual = sys.implementation.name == "cpython" and sys.byteorder == "little" and sys.maxsize > 2**32
    return sys.platform == "linux" and usual and not free_threaded


def own_compiler() -> list[str]:
    """The compiler that was named, or the system's; [] without one."""
    named = os.environ.get("NAMEDMAP_CC") or os.environ.get("CC")
    if named:
        return shlex.split(named)
    return ["cc"] if shutil.which("cc") else []


def compile_core(*options: str) -> None:
    """Compile into the source tree. Raises OSError or CalledProcessError."""
    compiler = own_compiler() or [sys.executable, "-m", "ziglang", "cc"]
    include = f"-I{os.environ.get('NAMEDMAP_INCLUDE') or sysconfig.get_path('include')}"
    fresh = BUILT.with_suffix(f".{os.getpid()}")
    try:
        subprocess.run([*compiler, *OPTIONS, include, str(SOURCE), "-o", str(fresh), *options], check=True)
        fresh.replace(BUILT)  # processes that have the old one mapped keep it
    finally:
        fresh.unlink(missing_ok=True)


class CoreHook(BuildHookInterface):  # type: ignore[misc,valid-type]
    """The hook that hatchling calls."""

    def dependencies(self) -> list[str]:
        """Packages for an isolated build."""
        wanted = self.target_name == "wheel" and is_possible() and os.environ.get("NAMEDMAP_NATIVE") != "0"
        return ["ziglang>=0.13"] if wanted and not own_compiler() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the files are collected."""
        wanted = os.environ.get("NAMEDMAP_NATIVE")
        if self.target_name != "wheel" or wanted == "0" or not is_possible():
            return
        try:
            compile_core()
        except (OSError, subprocess.CalledProcessError) as error:
            if wanted == "1":
                raise
            self.app.display_warning(f"namedmap is built without its compiled core: {error}")
            return
        if version == "editable":  # which finds it in the source tree
            return
        platform = os.environ.get("NAMEDMAP_PLATFORM") or sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"
        build_data["force_include"][str(BUILT)] = f"namedmap/{BUILT.name}"


if __name__ == "__main__":
    compile_core(*sys.argv[1:])
