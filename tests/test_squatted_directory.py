"""Another user has made `namedmap-<uid>` before its user came."""

import os
from pathlib import Path

import pytest

from child import NOBODY, Spawn
from child.users import needs_root

pytestmark = needs_root
OURS = os.geteuid()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(0o1777)
    return root


def squat(path: Path, what: str) -> None:
    """Something of another user's in the place of a directory."""
    if what == "directory":
        path.mkdir(0o700)
    elif what == "symlink":
        path.symlink_to("/tmp")
    else:
        path.touch()
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def objects(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.stat().st_size)


class TestStandIn:
    @pytest.mark.parametrize("what", ["directory", "symlink", "file"])
    def test_all_processes_find_the_same(self, spawn: Spawn, root: Path, what: str) -> None:
        """Local and global names work, in a directory of the user's own."""
        squat(root / f"namedmap-{OURS}", what)
        environment = {"NAMEDMAP_ROOT": str(root)}
        one, two = spawn(environment=environment), spawn(environment=environment)
        one.run("a, b = create('a'), create('Global\\\\b'); poke(view(a), b'mine')")
        assert objects(root) == [f"namedmap-{OURS}.1/a", "namedmap.global.b"]
        assert two.value("peek(view(open_('a')), 4)") == b"mine"
        assert two.value("bool(open_('Global\\\\b'))")
        assert (root / f"namedmap-{OURS}.1").stat().st_mode & 0o777 == 0o700
        one.end()
        two.end()
        assert objects(root) == []

    def test_squatted_too(self, spawn: Spawn, root: Path) -> None:
        """The stand-ins of a squatter are passed over."""
        for name in (f"namedmap-{OURS}", f"namedmap-{OURS}.1", f"namedmap-{OURS}.2"):
            squat(root / name, "directory")
        child = spawn(environment={"NAMEDMAP_ROOT": str(root)})
        assert child.value("bool(create('a'))")
        assert objects(root) == [f"namedmap-{OURS}.3/a"]

    def test_the_squatter_goes(self, spawn: Spawn, root: Path) -> None:
        """Later processes still find the stand-in, whose objects live."""
        environment = {"NAMEDMAP_ROOT": str(root)}
        for name in (f"namedmap-{OURS}", f"namedmap-{OURS}.1"):
            squat(root / name, "directory")
        one = spawn(environment=environment)
        one.run("a = create('a')")
        for name in (f"namedmap-{OURS}", f"namedmap-{OURS}.1"):
            (root / name).rmdir()
        assert spawn(environment=environment).value("bool(open_('a'))")
        assert not (root / f"namedmap-{OURS}").exists()

    def test_processes_that_start_at_once(self, spawn: Spawn, root: Path) -> None:
        """They agree on one."""
        squat(root / f"namedmap-{OURS}", "directory")
        children = [spawn(environment={"NAMEDMAP_ROOT": str(root)}) for _ in range(6)]
        for child in children:
            child.start("value", "bool(create('a'))")
        assert [child.finish() for child in children] == [True] * 6
        assert objects(root) == [f"namedmap-{OURS}.1/a"]

    def test_handles_are_duplicated(self, spawn: Spawn, root: Path) -> None:
        """The inbox is there as well."""
        squat(root / f"namedmap-{OURS}", "directory")
        environment = {"NAMEDMAP_ROOT": str(root)}
        one, two = spawn(environment=environment), spawn(environment=environment)
        pid = two.value("win32.GetCurrentProcessId()")
        one.run(f"""
            process, out = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, {pid}), win32.HANDLE()
            done = win32.DuplicateHandle(-1, create('a'), process, out, 0, False, 2)
        """)
        assert one.value("bool(done)")
        assert two.value(f"bool(win32.CloseHandle({one.value('out.value')}))")


def test_no_directory_can_be_had(spawn: Spawn, root: Path) -> None:
    """The user's own is not fit: local names say what to do, global ones work."""
    local = root / f"namedmap-{OURS}"
    local.mkdir()
    local.chmod(0o755)
    child = spawn(environment={"NAMEDMAP_ROOT": str(root)})
    assert child.value("create('a')") is None
    assert str(local) in child.value("message()")
    assert child.value("bool(create('Global\\\\a'))")
