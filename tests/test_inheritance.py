"""Handles that children inherit through subprocess and exec; and named sections over files, between processes."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from calls import (
    close,
    create,
    error_of_open,
    handle_count,
    message,
    object_files,
    open_section,
    peek,
    poke,
    unmap,
    view,
)
from calls.files import opened, read
from calls.kinds import Kind, each_kind, gone
from child import WATCHDOG, Child, Spawn, eventually, known_in
from namedmap import win32

NAME = "inheritance"
INHERITABLE = win32.SECURITY_ATTRIBUTES(bInheritHandle=True)
READ_WRITE = win32.GENERIC_READ | win32.GENERIC_WRITE


def inherit(handle: int, on: bool = True) -> None:
    flag = win32.HANDLE_FLAG_INHERIT
    assert win32.SetHandleInformation(handle, flag, flag if on else 0)


class TestSubprocess:
    """subprocess.Popen(close_fds=False) is what bInheritHandles=TRUE is on Windows."""

    def test_inheritable_handles_are_valid_under_the_same_value(self, spawn: Spawn) -> None:
        """Those with HANDLE_FLAG_INHERIT, and no others."""
        plain, marked, later = create(None), create(f"{NAME}-1"), create(f"{NAME}-2")
        made = win32.CreateFileMapping(-1, INHERITABLE, win32.PAGE_READWRITE, 0, 4096, None)
        assert made
        for handle in (marked, later):
            inherit(handle)
        inherit(later, on=False)
        child = spawn(inherit=True)
        assert [known_in(child, handle) for handle in (plain, marked, later, made)] == [False, True, False, True]
        close(plain, marked, later, made)

    def test_without_inheritance_there_are_none(self, spawn: Spawn) -> None:
        """close_fds=True, the default of subprocess, is bInheritHandles=FALSE."""
        handle = create(NAME)
        inherit(handle)
        assert not known_in(spawn(inherit=False), handle)
        close(handle)
        assert object_files() == []

    @each_kind
    @pytest.mark.parametrize("name", [NAME, None])
    def test_an_inherited_handle_keeps_the_object(self, spawn: Spawn, kind: Kind, name: str | None) -> None:
        """The parent closes; the child has the object, of whatever kind, until it closes too."""
        handle = kind.create(name or "")
        assert handle
        inherit(handle)
        child = spawn(inherit=True)
        child.run("pass")
        close(handle)
        assert known_in(child, handle)
        if name:
            held = kind.open(name)
            assert held, message()
            close(held)
        assert child.value(f"win32.CloseHandle({handle})")
        assert not known_in(child, handle)
        if name:
            assert gone(kind, name)

    def test_an_inherited_section_is_the_same_memory(self, spawn: Spawn) -> None:
        """Unnamed sections too; that is what they are for."""
        handle = create(None)
        inherit(handle)
        mine = view(handle)
        assert poke(mine, b"parent")
        child = spawn(inherit=True)
        child.run(f"v = view({handle})")
        assert child.value("peek(v, 6)") == b"parent"
        child.run("poke(v, b'child!')")
        assert peek(mine, 6) == b"child!"
        assert handle_count(handle) == 2
        child.kill()
        assert handle_count(handle) == 1
        unmap(mine)
        close(handle)

    def test_several_handles_of_one_object_are_inherited_each(self, spawn: Spawn) -> None:
        """Handle by handle, with the access that each was granted."""
        first = create(NAME)
        second = open_section(NAME, win32.FILE_MAP_READ)
        third = open_section(NAME)
        for handle in (first, second):
            inherit(handle)
        child = spawn(inherit=True)
        assert [known_in(child, handle) for handle in (first, second, third)] == [True, True, False]
        assert handle_count(first) == 5
        assert child.value(f"win32.CompareObjectHandles({first}, {second})")
        assert child.value(f"win32.MapViewOfFile({second}, win32.FILE_MAP_WRITE, 0, 0, 0)") is None
        close(first, second, third)
        child.run(f"win32.CloseHandle({first})")
        close(open_section(NAME))
        child.run(f"win32.CloseHandle({second})")
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND

    def test_grandchildren_inherit(self, spawn: Spawn) -> None:
        """The flag is inherited with the handle."""
        handle = create(NAME)
        inherit(handle)
        child = spawn(inherit=True)
        child.run("pass")
        close(handle)
        child.run(f"""
            import subprocess
            code = ("from namedmap import win32; import sys;"
                    "print(win32.GetHandleInformation({handle}, win32.DWORD()), flush=True); sys.stdin.read()")
            grandchild = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, close_fds=False)
            answer = grandchild.stdout.readline()
            win32.CloseHandle({handle})
            """)
        assert child.value("answer") == b"True\n"
        close(open_section(NAME))
        child.run("grandchild.communicate()")
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND

    def test_the_parent_may_die_first(self, spawn: Spawn) -> None:
        """A killed parent leaves the child what it has inherited, whether the child has looked at it yet or not."""
        parent = spawn(f"""
            import subprocess
            h = create("{NAME}", inherit=True); poke(view(h), b"heritage")
            code = '''if 1:
                import ctypes, sys
                print("started", flush=True); sys.stdin.readline()
                from namedmap import win32
                v = win32.MapViewOfFile({{h}}, win32.FILE_MAP_READ, 0, 0, 0)
                print(v and ctypes.string_at(v, 8), flush=True); sys.stdin.readline()
                '''.replace("{{h}}", str(h))
            subprocess.Popen([sys.executable, "-c", code], close_fds=False)
            signal.pause()
            """)
        assert parent.line() == "started"
        parent.process.kill()
        os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)
        close(open_section(NAME))
        parent.send("go on")
        assert parent.line() == "b'heritage'"
        close(open_section(NAME))
        parent.send("end")
        eventually(lambda: object_files() == [], "the end of the child")
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
        parent.kill()
        assert object_files() == []

    @pytest.mark.leaves_dead_files
    def test_another_program_holds_what_it_inherits(self) -> None:
        """As on Windows: a child that knows nothing of its handles holds them until it ends."""
        handle = create(NAME)
        inherit(handle)
        other = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
        try:
            close(handle)
            close(open_section(NAME))
        finally:
            other.communicate(timeout=WATCHDOG)
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND

    def test_file_handles_share_the_pointer(self, spawn: Spawn, tmp_path: Path) -> None:
        """An inherited file handle is the same file object: a reader moves the pointer of both."""
        (tmp_path / "data").write_bytes(b"0123456789")
        file = opened(tmp_path / "data", disposition=win32.OPEN_ALWAYS)
        inherit(file)
        child = spawn(inherit=True)
        child.run(f"""
            data, n = bytearray(4), win32.DWORD()
            ok = win32.ReadFile({file}, data, 4, n)
            """)
        assert child.value("(ok, bytes(data))") == (True, b"0123")
        assert read(file, 3) == b"456"
        close(file)
        child.run(f"ok = win32.ReadFile({file}, data, 3, n)")
        assert child.value("(ok, bytes(data[:3]))") == (True, b"789")

    def test_a_section_over_a_file_is_inherited_with_it(self, spawn: Spawn, tmp_path: Path) -> None:
        """Also when the file has no name any more."""
        path = tmp_path / "data"
        path.write_bytes(b"file contents")
        file = opened(path, disposition=win32.OPEN_ALWAYS)
        section = win32.CreateFileMapping(file, INHERITABLE, win32.PAGE_READWRITE, 0, 0, None)
        assert section
        path.unlink()
        close(file)
        child = spawn(inherit=True)
        child.run("pass")
        close(section)
        assert child.value(f"peek(view({section}), 13)") == b"file contents"

    def test_a_process_without_handles_starts_clean(self, spawn: Spawn, tmp_path: Path) -> None:
        """close_fds=False by itself hands nothing over: no descriptor of an object is in the child."""
        handle, file = create(NAME), opened(tmp_path / "data", disposition=win32.OPEN_ALWAYS)
        child = spawn(inherit=True)
        child.run("""
            links = set()
            for fd in os.listdir("/proc/self/fd"):
                if os.path.exists(f"/proc/self/fd/{fd}"): links.add(os.readlink(f"/proc/self/fd/{fd}"))
            """)
        links = child.value("links")
        assert links
        assert [link for link in links if "namedmap" in link or str(tmp_path) in link] == []
        close(handle, file)


class TestExec:
    """os.execv replaces the program: it keeps what it would have inherited."""

    SECOND = """if 1:
        import sys
        from namedmap import win32
        for handle in map(int, sys.argv[1:]):
            print(win32.GetHandleInformation(handle, win32.DWORD()), end=" ")
        print(flush=True); sys.stdin.readline()
        """

    def test_inheritable_handles_survive_an_exec_and_others_do_not(self, spawn: Spawn) -> None:
        """The name of the one stays, that of the other is free."""
        child = spawn(
            f"""
            a, b = create("{NAME}-a", inherit=True), create("{NAME}-b")
            view(a); view(b)
            hear()
            os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], str(a), str(b)])
            """,
            self.SECOND,
        )
        child.send("go on")
        assert child.line() == "True False "
        close(open_section(f"{NAME}-a"))
        assert error_of_open(f"{NAME}-b") == win32.ERROR_FILE_NOT_FOUND
        child.send("end")
        assert child.wait() == 0
        assert error_of_open(f"{NAME}-a") == win32.ERROR_FILE_NOT_FOUND
        close(create(f"{NAME}-b"))
        assert object_files() == []

    def test_an_exec_after_a_fork_inherits_too(self, spawn: Spawn) -> None:
        """Fork and exec by hand; the parent lets go in between."""
        parent = spawn(
            f"""
            a = create("{NAME}", inherit=True)
            if not os.fork():
                os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], str(a)])
            sys.stdin.close()
            win32.CloseHandle(a)
            os.wait()
            """,
            self.SECOND,
        )
        assert parent.line() == "True "
        close(open_section(NAME))
        parent.send("end")
        assert parent.wait() == 0
        assert object_files() == []


class TestSectionsOverFiles:
    """Named sections over real files, between processes."""

    @pytest.fixture
    def holder(self, spawn: Spawn, tmp_path: Path) -> Child:
        """A process that has a named section over a file of 20,000 bytes."""
        (tmp_path / "data").write_bytes(b"original".ljust(20000, b"."))
        child = spawn()
        child.run(f"""
            f = win32.CreateFile({str(tmp_path / "data")!r}, {READ_WRITE:#x}, 7, None, win32.OPEN_EXISTING, 0, None)
            m = win32.CreateFileMapping(f, None, win32.PAGE_READWRITE, 0, 0, "{NAME}")
            v = view(m)
            win32.CloseHandle(f)
            """)
        assert child.value("v")
        return child

    def check_shared(self, holder: Child) -> None:
        section = open_section(NAME)
        mine = view(section)
        assert poke(mine, b"from us")
        assert holder.value("peek(v, 7)") == b"from us"
        holder.run("poke(v + 19990, b'from them')")
        assert peek(mine + 19990, 9) == b"from them"
        assert win32.MapViewOfFile(section, win32.FILE_MAP_READ, 0, 0, 20001) is None
        unmap(mine)
        close(section)

    def test_by_name(self, holder: Child, tmp_path: Path) -> None:
        """An opener maps the same file, and needs no path."""
        self.check_shared(holder)
        assert (tmp_path / "data").read_bytes()[:7] == b"from us"

    def test_after_the_file_was_renamed(self, holder: Child, tmp_path: Path) -> None:
        """The section is over the file, not over its name."""
        (tmp_path / "data").rename(tmp_path / "elsewhere")
        self.check_shared(holder)
        assert (tmp_path / "elsewhere").read_bytes()[:7] == b"from us"

    def test_after_the_file_was_deleted(self, holder: Child, tmp_path: Path) -> None:
        """A holder's descriptor leads to it."""
        (tmp_path / "data").unlink()
        self.check_shared(holder)

    def test_after_another_file_took_its_place(self, holder: Child, tmp_path: Path) -> None:
        """The other file is not mapped by mistake."""
        (tmp_path / "data").rename(tmp_path / "elsewhere")
        (tmp_path / "data").write_bytes(b"impostor".ljust(20000, b"!"))
        self.check_shared(holder)
        assert (tmp_path / "data").read_bytes()[:8] == b"impostor"

    def test_the_opener_holds_it_further(self, holder: Child, tmp_path: Path) -> None:
        """The creator dies; an opener who came after the file was deleted passes it on to the next."""
        (tmp_path / "data").unlink()
        section = open_section(NAME)
        holder.kill()
        again = open_section(NAME)
        mine = view(again)
        assert peek(mine, 8) == b"original"
        unmap(mine)
        close(section, again)
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND

    def test_the_contents_stay_when_the_section_goes(self, holder: Child, tmp_path: Path) -> None:
        """A new section of the name over another file has nothing of the old one."""
        holder.run("poke(v, b'persist')")
        holder.kill()
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
        assert (tmp_path / "data").read_bytes()[:7] == b"persist"
        section = create(NAME)
        assert win32.GetLastError() == win32.ERROR_SUCCESS
        mine = view(section)
        assert peek(mine, 7) == bytes(7)
        unmap(mine)
        close(section)

    def test_a_file_that_cannot_be_reached_is_a_clear_error(
        self, spawn: Spawn, second_user: int, tmp_path: Path
    ) -> None:
        """Another user may open the section, but not the file behind it: access denied, and why."""
        path = tmp_path / "data"
        path.write_bytes(b"private".ljust(4096))
        file = opened(path, disposition=win32.OPEN_ALWAYS)
        security: Any = win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor="D:(A;;GA;;;WD)")
        section = win32.CreateFileMapping(file, security, win32.PAGE_READWRITE, 0, 0, f"Global\\{NAME}")
        assert section, message()
        path.chmod(0o600)
        other = spawn(uid=second_user)
        assert other.value(f"open_('Global\\\\{NAME}', win32.FILE_MAP_READ)") is None
        assert other.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED
        assert str(path) in other.value("message()")
        close(section, file)

    def test_a_mapped_file_does_not_shrink_for_others(self, holder: Child, tmp_path: Path) -> None:
        """The holder's section and view keep other processes from truncating or deleting the file."""
        path = tmp_path / "data"
        file = opened(path, disposition=win32.OPEN_ALWAYS)
        assert win32.SetFilePointer(file, 10, None, win32.FILE_BEGIN) == 10
        assert not win32.SetEndOfFile(file)
        assert win32.GetLastError() == win32.ERROR_USER_MAPPED_FILE
        assert str(holder.pid) in message()
        assert not win32.DeleteFile(path)
        holder.run("win32.CloseHandle(m)")
        assert not win32.SetEndOfFile(file)
        holder.run("win32.UnmapViewOfFile(v)")
        assert win32.SetEndOfFile(file), message()
        close(file)
        assert path.stat().st_size == 10
