"""The build hook: the core is compiled where that is possible, and the package does without it where it is not."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(not (ROOT / "hatch_build.py").exists(), reason="this is no source tree")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The hook's module, which compiles into a directory of the test's own, in an environment that says nothing."""
    for name in ("CC", "NAMEDMAP_CC", "NAMEDMAP_NATIVE", "NAMEDMAP_PLATFORM", "NAMEDMAP_INCLUDE"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    made: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    made.BUILT = tmp_path / made.BUILT.name
    return made


def hook(module: Any, target: str = "wheel") -> Any:
    """The hook as hatchling has it, with what it has said."""
    said: list[str] = []

    class Hook(module.CoreHook):  # type: ignore[misc]
        target_name = target
        app = SimpleNamespace(display_warning=said.append)
        warnings = said

    made: Any = Hook.__new__(Hook)
    return made


def data() -> dict[str, Any]:
    return {"pure_python": True, "force_include": {}}


def without_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


class TestHook:
    def test_a_wheel_of_this_platform(self, module: Any) -> None:
        """With a compiler the wheel has the core, and fits every Python from 3.11 on."""
        if not module.own_compiler() or not module.is_possible() or not _has_headers():
            pytest.skip("there is no compiler, or no Python.h, here")
        made, built = hook(module), data()
        made.initialize("standard", built)
        assert (made.warnings, built["pure_python"]) == ([], False)
        assert built["tag"].startswith("cp311-abi3-linux_")
        assert built["force_include"] == {str(module.BUILT): "namedmap/_native.abi3.so"}
        assert [each.name for each in module.BUILT.parent.glob("*.so")] == ["_native.abi3.so"]
        assert module.BUILT.read_bytes()[:4] == b"\x7fELF"

    def test_a_compiler_that_fails(self, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """The package is built without the core, and says so; not where the core is demanded."""
        for command in ("false", "/nowhere/cc", f"{sys.executable} -c 1/0"):
            monkeypatch.setenv("NAMEDMAP_CC", command)
            made, built = hook(module), data()
            made.initialize("standard", built)
            assert built == data()
            assert "without its compiled core" in made.warnings[0]
            assert list(module.BUILT.parent.iterdir()) == []
            monkeypatch.setenv("NAMEDMAP_NATIVE", "1")
            with pytest.raises((OSError, subprocess.CalledProcessError)):
                made.initialize("standard", built)
            monkeypatch.delenv("NAMEDMAP_NATIVE")

    @pytest.mark.parametrize(("target", "native"), [("sdist", None), ("sdist", "1"), ("wheel", "0")])
    def test_where_nothing_is_compiled(
        self, module: Any, monkeypatch: pytest.MonkeyPatch, target: str, native: str | None
    ) -> None:
        """An sdist has the source alone; NAMEDMAP_NATIVE=0 makes a pure wheel, and no compiler is asked for."""
        monkeypatch.setenv("NAMEDMAP_CC", "/nowhere/cc")
        if native is not None:
            monkeypatch.setenv("NAMEDMAP_NATIVE", native)
        made, built = hook(module, target), data()
        made.initialize("standard", built)
        assert (built, made.warnings, made.dependencies()) == (data(), [], [])

    def test_what_it_builds_with(self, module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Without a compiler the one of `ziglang` is asked for, for wheels alone, unless the core is not wanted."""
        if not module.is_possible():
            pytest.skip("there is no core for this Python")
        monkeypatch.setenv("NAMEDMAP_CC", "my cc -x")
        assert (hook(module).dependencies(), module.own_compiler()) == ([], ["my", "cc", "-x"])
        monkeypatch.delenv("NAMEDMAP_CC")
        without_compiler(monkeypatch, tmp_path)
        assert hook(module, "sdist").dependencies() == []
        [asked] = hook(module).dependencies()
        assert asked.startswith("ziglang")
        monkeypatch.setenv("NAMEDMAP_NATIVE", "0")
        assert hook(module).dependencies() == []

    def test_free_threaded_builds(self, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Python without an interpreter lock takes the package without the core."""
        plain = sysconfig.get_config_var
        monkeypatch.setattr(sysconfig, "get_config_var", lambda name: name == "Py_GIL_DISABLED" or plain(name))
        made, built = hook(module), data()
        made.initialize("standard", built)
        assert (built, made.dependencies()) == (data(), [])


def _has_headers() -> bool:
    return os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
