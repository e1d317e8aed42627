"""Things that only root can do: become another user, mount filesystems; and directories that other users can use."""

import contextlib
import ctypes
import functools
import os
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from child import WATCHDOG, is_root

needs_root = pytest.mark.skipif(not is_root, reason="only root can become another user, mount, or set cgroup limits")


@contextlib.contextmanager
def public_directory() -> Iterator[Path]:
    """A directory that every user can use, unlike pytest's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o777)
        yield Path(name)


@contextlib.contextmanager
def memory_limit(size: int) -> Iterator[Callable[[int], object]]:
    """A memory cgroup with this limit, which processes are put into by their ids; skips where none can be made."""
    for mount, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        directory = Path(mount, f"namedmap-test-{uuid.uuid4().hex[:8]}")
        with contextlib.suppress(OSError):
            directory.mkdir()
            if (directory / limit).exists() and os.access(directory / limit, os.W_OK):
                break
            directory.rmdir()
    else:
        pytest.skip("no memory cgroup can be made here (not mounted, not root, or not delegated)")
    try:
        (directory / limit).write_text(str(size))
        yield lambda pid: (directory / "cgroup.procs").write_text(str(pid))
    finally:
        directory.rmdir()


@functools.cache
def _works(wrapper: tuple[str, ...]) -> bool:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run([*wrapper, "true"], capture_output=True, timeout=WATCHDOG, check=False).returncode == 0
    return False


def unshared(*words: str) -> tuple[str, ...]:
    """`unshare` with these words, to wrap a child in; skips where that is not allowed."""
    wrapper = ("unshare", *words)
    if not _works(wrapper):
        pytest.skip(f"{' '.join(wrapper)} is not allowed here")
    return wrapper


@contextlib.contextmanager
def mounted(kind: str, where: Path, options: str = "") -> Iterator[Path]:
    """A filesystem of this kind for the length of the block; skips where mounting is forbidden (most containers)."""
    where.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", os.fsencode(where), kind.encode(), 0, options.encode()) != 0:
        pytest.skip(f"cannot mount a {kind} here: {os.strerror(ctypes.get_errno())}")
    try:
        yield where
    finally:
        libc.umount2(os.fsencode(where), 2)
