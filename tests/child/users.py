"""What only root can do: become another user, mount filesystems; and directories that other users can use."""

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from child import is_root

needs_root = pytest.mark.skipif(not is_root, reason="only root can become another user, mount, or set cgroup limits")


@contextlib.contextmanager
def public_directory() -> Iterator[Path]:
    """A directory that every user can use, unlike pytest's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o777)
        yield Path(name)


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
