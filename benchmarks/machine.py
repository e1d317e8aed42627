"""The machine and the circumstances of a run, so that its numbers can be read."""

import contextlib
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from namedmap import __version__

PRIORITY = -20


def raise_priority() -> str:
    """Ask for the highest nice value, so that other programs disturb less; what came of it."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    except PermissionError:
        return "normal priority (raising it was not allowed)"
    return f"raised priority (nice {PRIORITY}), child processes too"


def _read(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace")
    return ""


def _field(text: str, name: str) -> str:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _commit() -> str:
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        here = Path(__file__).parent
        run = ["git", "describe", "--always", "--dirty"]
        text = subprocess.run(run, cwd=here, capture_output=True, text=True, check=True).stdout
        return f", commit {text.strip()}"
    return ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def available() -> int:
    """Memory that programs can have, the page cache included, in bytes."""
    return int(_field(_read("/proc/meminfo"), "MemAvailable").split()[0]) * 1024


def load() -> str:
    """How many processes want to run."""
    return ", ".join(f"{value:.1f}" for value in os.getloadavg()) + " (1, 5, 15 minutes)"


def _filesystem(directory: Path) -> str:
    """Its kind, and its room."""
    space = os.statvfs(directory)
    free, total = space.f_bavail * space.f_frsize >> 20, space.f_blocks * space.f_frsize >> 20
    mounted = [line.split() for line in _read("/proc/mounts").splitlines()]
    # The last of those that are mounted on one another is the one that is seen.
    kinds = {Path(fields[1]): fields[2] for fields in mounted if len(fields) > 2}
    place = directory.resolve()
    kind = next((kinds[each] for each in (place, *place.parents) if each in kinds), "unknown")
    return f"{kind}, {free:,} MiB free of {total:,}"


def _tool(name: str) -> str:
    """The first line of what a program says of its version."""
    try:
        run = subprocess.run([name, "--version"], capture_output=True, text=True, check=True, timeout=10)
    except FileNotFoundError:
        return "not installed"
    except (OSError, subprocess.SubprocessError):
        return "unknown version"
    return run.stdout.partition("\n")[0].strip()


def describe(shm: Path, directory: Path, tools: Sequence[str]) -> list[tuple[str, str]]:
    """(what, value) pairs. `directory` is that of the files, `tools` are the programs that are compared."""
    memory = _read("/proc/meminfo")
    usable = len(os.sched_getaffinity(0))
    return [
        ("processor", f"{_field(_read('/proc/cpuinfo'), 'model name')}, {usable} of {os.cpu_count()} cores usable"),
        ("memory", f"{int(_field(memory, 'MemTotal').split()[0]) // 1024:,} MiB, {available() >> 20:,} available"),
        ("kernel", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("huge pages in tmpfs", _read("/sys/kernel/mm/transparent_hugepage/shmem_enabled").strip() or "unknown"),
        (str(shm), _filesystem(shm)),
        (f"{directory}, where the files are", _filesystem(directory)),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("namedmap", f"{__version__}{_commit()}"),
        *((package, _version(package)) for package in ("posix_ipc", "filelock", "portalocker", "joblib", "numpy")),
        *((tool, _tool(tool)) for tool in tools),
        ("load at the start", load()),
    ]
