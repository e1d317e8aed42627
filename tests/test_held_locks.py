"""Locks that are held for too long, by stopped or hostile processes, and files that people delete or rename by hand."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from calls import (
    close,
    create,
    error_of_create,
    error_of_open,
    message,
    object_files,
    object_path,
    open_section,
    poke,
    raw_lock,
    sweep,
    unmap,
    valid_file,
    view,
)
from calls.kernel import locks, namespace
from child import Spawn
from namedmap import win32

NAME = "held"
PAGE = 4096


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up on a guard after a quarter of a second."""
    monkeypatch.setattr(locks, "GUARD_TIMEOUT", 0.25)


@pytest.mark.usefixtures("impatient")
class TestHeldLocks:
    """Somebody holds a lock for longer than anybody should: stopped in an operation, or on purpose."""

    def check_refused(self, pid: int) -> None:
        """Opening and creating fail instead of waiting for ever, with the holder's pid."""
        for failure in (error_of_open, error_of_create):
            assert failure(NAME) == win32.ERROR_LOCK_VIOLATION
            assert f"process {pid}" in message()
            assert re.search(r"continue or end it", message())

    @pytest.mark.parametrize("moment", ["os.posix_fallocate", "os.pwrite", "os.fstat"])
    def test_a_creator_that_is_stopped(self, spawn: Spawn, moment: str) -> None:
        """SIGSTOP in the middle of a creation: the others are told who it is, and go on when it does."""
        child = spawn()
        child.run(f"""
            create("warm-up")
            real = {moment}
            def stopping(*arguments):
                {moment} = real
                os.kill(os.getpid(), signal.SIGSTOP)
                return real(*arguments)
            {moment} = stopping
            """)
        child.start("run", f"h = create({NAME!r})")
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        self.check_refused(child.pid)
        child.resume()
        child.finish()
        assert child.value("h")
        close(open_section(NAME))

    def test_a_creator_that_is_killed(self, spawn: Spawn) -> None:
        """SIGKILL at the same place: the name is free at once."""
        child = spawn()
        child.run("""
            create("warm-up")
            os.posix_fallocate = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
            """)
        child.start("run", f"h = create({NAME!r})")
        assert child.wait() == -signal.SIGKILL
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
        close(create(NAME))
        sweep()
        assert object_files() == []

    def test_a_closer_that_is_stopped(self, spawn: Spawn) -> None:
        """SIGSTOP between taking the guard and removing the name."""
        child = spawn()
        child.run(f"""
            h = create({NAME!r})
            real = os.unlink
            def stopping(*arguments):
                os.kill(os.getpid(), signal.SIGSTOP)
                return real(*arguments)
            os.unlink = stopping
            """)
        child.start("run", "win32.CloseHandle(h)")
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        self.check_refused(child.pid)
        child.resume()
        child.finish()
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND

    @pytest.mark.parametrize("ending", ["resume", "kill"])
    def test_a_guard_held_on_purpose(self, spawn: Spawn, ending: str) -> None:
        """By a process that has a handle and stops: we are told; CloseHandle succeeds; later all is well again."""
        section = create(NAME)
        child = spawn()
        child.run(f"""
            h = open_({NAME!r})
            fd = os.open({str(object_path(NAME))!r}, os.O_RDWR)
            assert locks.try_lock(fd, locks.GUARD, exclusive=True)
            """)
        child.stop()
        self.check_refused(child.pid)
        assert win32.CloseHandle(section)
        assert not win32.CloseHandle(section)
        if ending == "kill":
            child.kill()
            assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
            sweep()
            return
        child.resume()
        child.run("os.close(fd)")
        close(open_section(NAME))

    def test_closing_while_a_guard_is_held_leaves_a_dead_file_only(self) -> None:
        """The last handle goes although the guard cannot be had: nothing can be opened, and a sweep does the rest."""
        section = create(NAME)
        with raw_lock(object_path(NAME), locks.GUARD):
            assert win32.CloseHandle(section)
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
        sweep()
        assert object_files() == []

    def test_a_shared_guard_held_on_purpose(self, spawn: Spawn) -> None:
        """It keeps creators out, not openers; and closing succeeds."""
        section = create(NAME)
        child = spawn()
        child.run(f"""
            fd = os.open({str(object_path(NAME))!r}, os.O_RDONLY)
            assert locks.try_lock(fd, locks.GUARD)
            """)
        close(open_section(NAME))
        assert error_of_create(NAME) == win32.ERROR_LOCK_VIOLATION
        assert f"process {child.pid}" in message()
        close(section)
        child.run("os.close(fd)")
        sweep()

    def test_life_locked_against_new_holders(self, spawn: Spawn) -> None:
        """An exclusive lock where holders are counted: nobody can join, and the error names who does that."""
        content = valid_file(NAME)
        place = object_path(NAME)
        place.write_bytes(content)
        child = spawn()
        child.run(f"""
            fd = os.open({str(place)!r}, os.O_RDWR)
            assert locks.try_lock(fd, locks.HANDOVER, 0, exclusive=True)
            """)
        for failure in (error_of_open, error_of_create):
            assert failure(NAME) == win32.ERROR_LOCK_VIOLATION
            assert f"process {child.pid}" in message()
        child.run("os.close(fd)")
        close(create(NAME))

    def test_a_waiter_that_was_stopped_itself_is_not_out_of_patience(self, spawn: Spawn) -> None:
        """Time in which we could not run is not time that we have waited: one busy moment afterwards is no failure."""
        section = create(NAME)
        child = spawn()
        child.run("locks.GUARD_TIMEOUT = 1.0")
        with raw_lock(object_path(NAME), locks.GUARD):
            child.start("run", f"h = open_({NAME!r})")
            child.stop()
            time.sleep(1.2)
            child.resume()
            time.sleep(0.02)
        child.finish()
        assert child.value("h")
        close(section)

    def test_an_operation_on_an_object_whose_guard_is_held(self, spawn: Spawn) -> None:
        """Committing pages needs the guard: a clear error, and it works later."""
        section = create(NAME, 1 << 20, win32.PAGE_READWRITE | win32.SEC_RESERVE)
        address = view(section)
        child = spawn()
        child.run(f"""
            fd = os.open({str(object_path(NAME))!r}, os.O_RDWR)
            assert locks.try_lock(fd, locks.GUARD, exclusive=True)
            """)
        assert win32.VirtualAlloc(address, PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE) is None
        assert win32.GetLastError() == win32.ERROR_LOCK_VIOLATION
        assert f"process {child.pid}" in message()
        child.run("os.close(fd)")
        assert win32.VirtualAlloc(address, PAGE, win32.MEM_COMMIT, win32.PAGE_READWRITE) == address
        unmap(address)
        close(section)


class TestByHand:
    """Files of objects that are in use, and people who remove, rename and change them."""

    def test_a_deleted_file_under_a_holder(self, spawn: Spawn) -> None:
        """Both old holders go on sharing; the name is free; closing them does not take the new object's file."""
        other = spawn()
        mine = create(NAME)
        mine_view = view(mine)
        other.run(f"m = open_({NAME!r}); v = view(m)")
        object_path(NAME).unlink()
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
        assert poke(mine_view, b"still")
        assert other.value("peek(v, 5)") == b"still"
        fresh = create(NAME)
        assert win32.GetLastError() == win32.ERROR_SUCCESS
        close(mine)
        other.run("win32.CloseHandle(m)")
        close(open_section(NAME))
        assert object_path(NAME).exists()
        unmap(mine_view)
        close(fresh)

    def test_a_renamed_file_under_a_holder(self) -> None:
        """It is refused under a name that is not its own, and its first is free; its holder removes neither's file."""
        section = create(NAME)
        object_path(NAME).rename(object_path(f"{NAME}-renamed"))
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
        assert error_of_open(f"{NAME}-renamed") == win32.ERROR_FILE_CORRUPT
        fresh = create(NAME)
        close(section)
        close(open_section(NAME), fresh)
        sweep()
        assert object_files() == []

    def test_a_copied_file_is_no_object(self) -> None:
        """The bytes do not make an object: holders do."""
        section = create(NAME)
        copy = object_path(f"{NAME}-copy")
        shutil.copy(object_path(NAME), copy)
        assert error_of_open(f"{NAME}-copy") == win32.ERROR_FILE_NOT_FOUND
        close(section)
        assert sweep() == 1

    def test_a_hard_link_is_no_other_name(self) -> None:
        """A second name of its file does not lead to an object, and the end of that leaves at most a dead file."""
        section = create(NAME)
        os.link(object_path(NAME), object_path(f"{NAME}-link"))
        assert error_of_open(f"{NAME}-link") == win32.ERROR_FILE_CORRUPT
        again = open_section(NAME)
        assert win32.CompareObjectHandles(section, again)
        close(section, again)
        assert error_of_open(NAME) == error_of_open(f"{NAME}-link") == win32.ERROR_FILE_NOT_FOUND
        sweep()
        assert object_files() == []

    def test_foreign_files_in_the_directory_are_not_swept(self) -> None:
        """Where names are looked up nothing is opened for writing that is not the user's own file."""
        close(create(NAME))
        directory = Path(namespace.current().local)
        (directory / "subdirectory").mkdir()
        (directory / "link").symlink_to("/etc/passwd")
        try:
            assert sweep() == 0
            assert os.path.lexists(directory / "link")
        finally:
            (directory / "subdirectory").rmdir()
            (directory / "link").unlink()
