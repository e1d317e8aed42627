"""The machine and the circumstances of a run, so that its numbers can be read."""

import contextlib
import os
import platform
import subprocess
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


def describe(root: Path) -> list[tuple[str, str]]:
    """(what, value) pairs."""
    memory = _read("/proc/meminfo")
    space = os.statvfs(root)
    free, total = space.f_bavail * space.f_frsize >> 20, space.f_blocks * space.f_frsize >> 20
    mounted = [line.split() for line in _read("/proc/mounts").splitlines()]
    kinds = {fields[1]: fields[2] for fields in mounted if len(fields) > 2}
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return [
        ("processor", f"{_field(_read('/proc/cpuinfo'), 'model name')}, {os.cpu_count()} cores"),
        ("memory", f"{int(_field(memory, 'MemTotal').split()[0]) // 1024:,} MiB"),
        ("kernel", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("huge pages in tmpfs", _read("/sys/kernel/mm/transparent_hugepage/shmem_enabled").strip() or "unknown"),
        ("/dev/shm", f"{kinds.get('/dev/shm', 'unknown')}, {free:,} MiB free of {total:,}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("namedmap", f"{__version__}{_commit()}"),
        *((package, _version(package)) for package in ("posix_ipc", "filelock", "portalocker")),
        ("load at the start", f"{load} (1, 5, 15 minutes)"),
    ]
