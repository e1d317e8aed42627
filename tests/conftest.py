"""Rules for every test: a private place for objects, and nothing left behind: no object, process or file."""

import contextlib
import ctypes
import gc
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

import child
from calls import own_descriptors, sweep
from calls.kernel import View, named, owners, space, table
from calls.sync import Helper, Helpers
from child import WATCHDOG, forking
from child.fixtures import second_user as second_user
from child.fixtures import spawn as spawn
from namedmap import win32

_DEAD_FILES = "leaves_dead_files"
_PR_SET_CHILD_SUBREAPER = 36


# How fast the machine is fails no test. Examples share the fixtures of their test, which has to bear that.
hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{_DEAD_FILES}: the test kills processes; their dead files are swept after it")
    _let_children_hear_signals()


def pytest_collection_finish() -> None:
    """No search for garbage looks through what was imported and collected: it would take a fifth of a second each."""
    gc.collect()
    gc.freeze()


def _let_children_hear_signals() -> None:
    """Catch, and drop, what this process was told to ignore, as background jobs (SIGINT) and nohup (SIGHUP) are.

    A new program inherits that a signal is ignored, but not that it is caught: there, Ctrl-C then means what it means.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def private_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh NAMEDMAP_ROOT and TMPDIR, which children inherit. pytest's own directories stay where they are."""
    tmp_path_factory.getbasetemp()
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    root = Path(tempfile.mkdtemp(prefix="namedmap-tests-", dir=shared))
    scratch = Path(tempfile.mkdtemp(prefix="namedmap-tests-"))
    for directory in (root, scratch):
        directory.chmod(0o1777)
    os.environ["NAMEDMAP_ROOT"] = str(root)
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    # Orphans of killed children become ours, so that no test can lose a process.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child.template = forking.Template()
    yield root
    child.template.close()
    for directory in (root, scratch):
        shutil.rmtree(directory)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest, private_root: Path) -> Iterator[None]:
    """Every test leaves no process, no object file and no temporary file; dead object files only if it says so."""
    yield
    processes = _surviving_children()
    if request.node.get_closest_marker(_DEAD_FILES) is not None:
        sweep()
    objects, scratch = _object_files(private_root), _entries(Path(tempfile.gettempdir()))
    if processes or objects or scratch:
        _clean_up(private_root)
        pytest.fail(f"left behind: processes {processes}, object files {objects}, temporary files {scratch}")


def _surviving_children() -> list[str]:
    """Children that do not end by themselves in good time; they are killed."""
    deadline = time.monotonic() + WATCHDOG
    while _reap() and time.monotonic() < deadline:
        time.sleep(0.002)
    found = [f"{pid} ({_command(pid)})" for pid in _children()]
    while _reap():
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
    return found


def _reap() -> bool:
    """Collect children that have ended; whether there are others."""
    while os.waitpid(-1, os.WNOHANG)[0]:
        pass
    return bool(_children())


def _children() -> list[int]:
    """All of them, but for the one that forks others."""
    found = []
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/children", encoding="ascii") as file:
            found += [int(word) for word in file.read().split()]
    assert child.template is not None
    return [pid for pid in found if pid != child.template.process.pid]


def _command(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode(errors="replace")[:300]
    return "?"


def _object_files(root: Path) -> list[str]:
    return [os.path.join(path, name) for path, _, files in os.walk(root) for name in files]


def _entries(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def _clean_up(root: Path) -> None:
    """One test's litter must not fail the next."""
    for handle in table.entries():
        handle.close()
    for path in _object_files(root):
        os.unlink(path)
    for entry in Path(tempfile.gettempdir()).iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@pytest.fixture
def tidy() -> Iterator[None]:
    """Close what a test leaves open; then nothing of it may be left in this process."""
    yield
    for value in [entry.value for entry in table.entries()]:
        win32.SetHandleInformation(value, win32.HANDLE_FLAG_PROTECT_FROM_CLOSE, 0)
        win32.CloseHandle(value)
    for region in list(space):
        if isinstance(region, View):
            win32.UnmapViewOfFile(region.base)
        else:
            win32.VirtualFree(region.base, 0, win32.MEM_RELEASE)
    # Mutexes that were closed unreleased while others had them stay until their owner ends.
    owners.ended(owners.thread.owner)
    assert not list(space)
    assert not named.holders
    assert not named.registry
    assert own_descriptors() == []


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let threads take turns as often as they can: more interleavings, and no waiting for a turn after each call."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def helpers() -> Iterator[Helpers]:
    """Makes threads; they have to be idle at the end of the test."""
    made: list[Helper] = []

    def make(number: int) -> list[Helper]:
        new = [Helper() for _ in range(number)]
        made.extend(new)
        return new

    yield make
    for each in made:
        each.end()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the test's own, which it works in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def a_dat(directory: Path) -> Path:
    """A file of ten bytes in it."""
    path = directory / "a.dat"
    path.write_bytes(b"0123456789")
    return path
