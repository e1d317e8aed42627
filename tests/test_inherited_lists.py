"""The list of inherited handles: of another release, damaged, or with numbers that mean other files by now.

It is believed as a whole or not at all: no import fails, and no descriptor is closed that is not ours.
"""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from calls import close, create
from namedmap import win32

VERSION = 2
#: Says whether a descriptor is open, and which handles there are.
PROGRAM = """
import os, sys
from namedmap import win32
try: os.fstat(int(sys.argv[1])); is_open = True
except OSError: is_open = False
print(is_open, [value for value in range(4, 64, 4) if win32.GetHandleInformation(value, win32.DWORD())])
"""


def section(descriptor: int, **changes: Any) -> dict[str, Any]:
    """A record as this release writes it, of a section in the file of a descriptor."""
    info = os.fstat(descriptor)
    return {
        "handle": 4, "access": 0xF001F, "flags": 1, "type": "Section", "path": None, "writable": True, "name": None,
        "fd": descriptor, "backing": -1, "files": [[info.st_dev, info.st_ino], None],
    } | changes  # fmt: skip


def started_with(text: bytes, descriptor: int) -> "subprocess.CompletedProcess[str]":
    """The run of a program that inherits a list with this content, and a descriptor."""
    fd = os.memfd_create("namedmap-handles", 0)
    try:
        os.write(fd, text)
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, str(descriptor)],
            close_fds=False,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(fd)


def listed(*records: object, version: object = VERSION) -> bytes:
    return json.dumps({"version": version, "handles": records}).encode()


THREAD = {"handle": 8, "access": 1, "flags": 1, "type": "Thread"}


class TestRefused:
    """A warning says that the list is not believed; nothing else happens."""

    @pytest.mark.parametrize(
        "text",
        [
            b"", b"{", b"null", b"1", b'"text"', b"\xff\xfe", b"[1]", b"[]", b"[" * 100_000, b"{}",
            b'{"version": 2}', b'{"version": 2, "handles": 1}', b'{"version": 2, "handles": [1]}',
            b'{"version": 2, "handles": {"a": 1}}', b'[{"type":"Section"}]',
            listed(THREAD, version=1), listed(THREAD, version=3), listed(THREAD, version=None),
            listed(THREAD | {"handle": "a"}), listed(THREAD | {"handle": 5}), listed(THREAD | {"handle": 0}),
            listed(THREAD | {"handle": 2**40}), listed(THREAD | {"handle": True}), listed(THREAD | {"access": None}),
            listed(THREAD | {"type": "Desktop"}), listed(THREAD | {"type": []}), listed(THREAD, THREAD),
            listed(THREAD)[:-3], listed(THREAD | {"type": "Process"}), listed(THREAD | {"type": "Process", "pid": "1"}),
        ],
        ids=lambda text: repr(text[:60]),
    )  # fmt: skip
    def test_what_is_no_list_of_this_release(self, text: bytes) -> None:
        done = started_with(text, 0)
        assert (done.returncode, done.stdout) == (0, "True []\n")
        assert "RuntimeWarning: the handles that a parent meant" in done.stderr

    @pytest.mark.parametrize(
        "change",
        [
            {"files": [[1, 2], None]}, {"files": [None, None]}, {"files": []}, {"files": None},
            {"files": [["a", "b"], None]},
            {"fd": 1}, {"fd": -1}, {"fd": 10_000}, {"fd": 2**70}, {"fd": "3"}, {"backing": 0}, {"writable": 1},
            {"name": "x"}, {"name": ["x", True]}, {"name": []}, {"path": 1}, {"type": "Mutant", "writable": None},
        ],
        ids=repr,
    )  # fmt: skip
    def test_descriptors_of_others(self, change: dict[str, Any]) -> None:
        """A number that is of another file, or a record that is not whole, closes nothing, nor takes others over."""
        r, w = os.pipe()
        os.set_inheritable(w, True)
        done = started_with(listed(section(w, handle=12), section(w, **change), THREAD), w)
        os.close(r)
        os.close(w)
        assert (done.returncode, done.stdout) == (0, "True []\n")
        assert "RuntimeWarning: the handles that a parent meant" in done.stderr

    def test_a_list_of_an_earlier_release(self) -> None:
        """It has no version."""
        r, w = os.pipe()
        os.set_inheritable(w, True)
        record = {each: value for each, value in section(w).items() if each != "files"}
        done = started_with(json.dumps([record]).encode(), w)
        os.close(r)
        os.close(w)
        assert (done.returncode, done.stdout) == (0, "True []\n")


def inheriting(program: str) -> "subprocess.CompletedProcess[str]":
    """A program that inherits all that this process lets children have."""
    return subprocess.run(
        [sys.executable, "-c", program, "0"],
        close_fds=False,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class TestTaken:
    def test_what_this_release_writes(self) -> None:
        """Of a live section, with the handle value of the parent."""
        handle = create("listed")
        assert win32.SetHandleInformation(handle, win32.HANDLE_FLAG_INHERIT, win32.HANDLE_FLAG_INHERIT)
        done = inheriting(PROGRAM)
        assert (done.stdout, done.stderr) == (f"True [{handle}]\n", "")
        close(handle)

    def test_a_descriptor_that_the_parent_s_program_has_closed(self) -> None:
        """The numbers of the list are of other files when the child comes to them."""
        handle = create("listed")
        assert win32.SetHandleInformation(handle, win32.HANDLE_FLAG_INHERIT, win32.HANDLE_FLAG_INHERIT)
        program = (
            "import os, subprocess, sys\n"
            "lists = [each for each in range(3, 64) if os.path.exists(f'/proc/self/fd/{each}')"
            " and 'namedmap-handles' not in os.readlink(f'/proc/self/fd/{each}')]\n"
            "for fd in lists:\n"
            "    try: os.close(fd)\n"
            "    except OSError: pass\n"
            "files = [os.dup(os.open(sys.executable, os.O_RDONLY)) for _ in lists]\n"
            "for fd in files: os.set_inheritable(fd, True)\n"
            f"sys.argv[1] = str(files[0])\nexec({PROGRAM!r})\n"
        )
        done = inheriting(program)
        assert done.stdout == "True []\n", done.stderr
        assert "RuntimeWarning" in done.stderr
        close(handle)
