"""Texts of others end in messages, listings and logs: nothing of it drives a terminal or makes a line."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import namedmap
from calls import forgery, message, object_path, raw_lock
from calls.kernel import FLAG_FILE_BACKED, Control, Kind, locks, procfs, sharemodes
from child import Spawn
from child.command import call
from namedmap import errors, files, inspection, win32
from namedmap._failure import Failure

EVIL = "\x1b]0;PWNED\x07\x1b[2J\nline\x9b"


def harmless(text: str) -> bool:
    return "PWNED" in text and text.replace("\n", "").isprintable() and "\nline" not in text


def test_every_failure_is_printable() -> None:
    """At the two doors that all messages go through."""
    assert harmless(Failure(5, f"file {EVIL}").detail)
    assert harmless(str(errors.of(5, f"file {EVIL}")))
    assert harmless(errors.of(5, EVIL).message)
    assert str(errors.of(5, "\udcff")).isprintable()
    assert errors.of(5, "plain, ünïcode").message == "plain, ünïcode"


HOLDER = """
import fcntl, os, struct, sys, time
fd = os.open(sys.argv[2], os.O_RDONLY)
fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", 0, 0, int(sys.argv[3]), 1, 0))
print("x", flush=True)
time.sleep(1000)
"""


class TestCommandLines:
    @pytest.fixture
    def guarded(self) -> Iterator[namedmap.Event]:
        """An event whose guard is held by a process with an evil command line."""
        with namedmap.Event("Global\\texts", mode=0o644) as event:
            words = [EVIL, "-c", HOLDER, EVIL, str(object_path("Global\\texts")), str(locks.GUARD)]
            with subprocess.Popen(words, executable=sys.executable, stdout=subprocess.PIPE) as holder:
                assert holder.stdout is not None
                holder.stdout.readline()
                yield event
                holder.kill()

    def test_in_an_error(self, guarded: namedmap.Event, monkeypatch: pytest.MonkeyPatch) -> None:
        """The message of an exception, and that of FormatMessage."""
        monkeypatch.setattr(locks, "GUARD_TIMEOUT", 0.1)
        with pytest.raises(namedmap.Error) as caught:
            guarded.set()
        assert harmless(str(caught.value))

    def test_in_the_command(self, guarded: namedmap.Event) -> None:
        del guarded
        assert harmless(call("signal", "Global\\texts", status=1).complaint)


class TestNamesAndPaths:
    def test_a_name_in_listings_and_errors(self) -> None:
        """The name of an object; the data keeps it, texts escape it."""
        with namedmap.Event(EVIL):
            assert EVIL in [each.name for each in inspection.objects()]
            assert harmless(call("ls").text)
            with pytest.raises(namedmap.Error) as caught:
                namedmap.open(EVIL)
            assert harmless(str(caught.value))
            assert not win32.OpenFileMapping(4, False, EVIL)
            assert harmless(message())

    def test_a_name_in_a_page(self) -> None:
        """A page that says another name than its file has."""
        with forgery.alive(object_path("Global\\texts"), Control(Kind.EVENT, EVIL)):
            with pytest.raises(namedmap.Error) as caught:
                namedmap.Event.open("Global\\texts")
            assert harmless(str(caught.value))
            assert harmless(call("ls", "--json").text.replace("\\u001b", ""))
            [found] = inspection.objects()
            assert harmless(found.problem or "")

    def test_a_backing_path(self) -> None:
        """The path of the file that a section is over."""
        page = Control(Kind.SECTION, "texts", FLAG_FILE_BACKED, 4, 0, 4096, 4096, backing_path=f"/tmp/{EVIL}")
        with forgery.alive(object_path("Global\\texts"), page, 0o600):
            for ask in (lambda: namedmap.open("Global\\texts"), lambda: inspection.residency("Global\\texts")):
                with pytest.raises(namedmap.Error) as caught:
                    ask()
                assert harmless(str(caught.value))
            assert harmless(call("info", "Global\\texts").text)

    def test_the_name_of_a_file(self, directory: Path) -> None:
        (directory / "PWNED\x1b[2J\nline").write_bytes(b"x")
        for ask in (namedmap.map_file, lambda path: files.copy(path, directory / "no" / "where")):
            with pytest.raises(namedmap.Error) as caught:
                ask(directory / "PWNED\x1b[2J\nline" / "none")
            assert harmless(str(caught.value))


class TestReadersLocks:
    """A user who may only read a file can hold its share bytes; the errors name the holder every time."""

    @pytest.mark.parametrize("byte", [sharemodes.MAPPED, sharemodes.DENY + 2])
    def test_each_error_names_the_holder(self, a_dat: Path, spawn: Spawn, byte: int) -> None:
        child = spawn()
        child.run(f"fd = os.open({str(a_dat)!r}, os.O_RDONLY); locks.try_lock(fd, {byte})")
        for _ in range(3):
            assert not win32.DeleteFile(str(a_dat))
            assert f"process {child.pid} (" in message()

    def test_one_that_cannot_be_seen(self, a_dat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error says what the owner can do."""
        monkeypatch.setattr(procfs, "processes", list)
        a_dat.chmod(0o644)
        with raw_lock(a_dat, sharemodes.MAPPED, exclusive=False):
            monkeypatch.setattr(procfs, "holds", lambda *_: False)
            assert not win32.DeleteFile(str(a_dat))
            assert "chmod" in message()
        os.replace(a_dat, a_dat.with_name("other"))
