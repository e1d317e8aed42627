"""DuplicateHandle into other processes, which look at it later, die first, or know nothing of it."""

import socket
import subprocess
from pathlib import Path

import pytest

from calls import close, create, error_of_open, handle_count, message, object_files, open_section, poke, unmap, view
from calls.files import opened, read
from calls.kinds import Kind, each_kind, gone
from child import WATCHDOG, Child, Spawn, known_in
from namedmap import win32

NAME = "duplicate"


class TestDuplicateHandle:
    """Into another process: the target process has a handle at once, whatever it is doing."""

    @pytest.fixture
    def target(self, spawn: Spawn) -> Child:
        child = spawn()
        assert child.value("win32.GetCurrentProcessId()") == child.pid
        return child

    @staticmethod
    def give(handle: int, pid: int, options: int = 2) -> int:
        """DuplicateHandle with the same access; the value in the target process."""
        process = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, pid)
        assert process, message()
        out = win32.HANDLE()
        assert win32.DuplicateHandle(-1, handle, process, out, 0, False, options), message()
        close(process)
        assert out.value is not None
        return out.value

    @pytest.mark.parametrize("name", [NAME, None])
    def test_it_is_the_same_object(self, target: Child, name: str | None) -> None:
        """Memory, handle count and name are one."""
        mine = create(name)
        mine_view = view(mine)
        assert poke(mine_view, b"sender")
        value = self.give(mine, target.pid)
        assert handle_count(mine) == 2
        assert target.value(f"peek(view({value}), 6)") == b"sender"
        assert handle_count(mine) == 2
        target.run(f"win32.CloseHandle({value})")
        assert handle_count(mine) == 1
        unmap(mine_view)
        close(mine)

    @each_kind
    def test_it_is_held_while_in_flight(self, target: Child, kind: Kind) -> None:
        """The sender has closed, the receiver has not looked: the object lives."""
        mine = kind.create(NAME)
        assert mine
        value = self.give(mine, target.pid)
        close(mine)
        held = kind.open(NAME)
        assert held, message()
        close(held)
        assert known_in(target, value)
        target.run(f"win32.CloseHandle({value})")
        assert gone(kind, NAME)

    def test_the_source_can_be_closed_in_the_same_step(self, target: Child) -> None:
        """DUPLICATE_CLOSE_SOURCE moves the handle."""
        mine = create(NAME)
        value = self.give(mine, target.pid, options=3)
        assert not win32.CloseHandle(mine)
        close(open_section(NAME))
        assert known_in(target, value)

    @pytest.mark.leaves_dead_files
    def test_the_sender_dies_before_it_is_used(self, target: Child, spawn: Spawn) -> None:
        """A killed sender takes nothing back."""
        sender = spawn()
        sender.run(f"""
            h = create("{NAME}"); poke(view(h), b"legacy")
            process, out = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, {target.pid}), win32.HANDLE()
            ok = win32.DuplicateHandle(-1, h, process, out, 0, False, 2)
            """)
        assert sender.value("ok")
        value = sender.value("out.value")
        sender.kill()
        close(open_section(NAME))
        assert target.value(f"peek(view({value}), 6)") == b"legacy"
        target.run(f"win32.CloseHandle({value})")
        # The views of this process are no handles.
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND

    @pytest.mark.leaves_dead_files
    @pytest.mark.parametrize("used", [False, True])
    def test_the_receiver_dies(self, target: Child, used: bool) -> None:
        """Handles that a killed process was given, looked at or not, go with it."""
        mine = create(NAME)
        value = self.give(mine, target.pid)
        if used:
            assert known_in(target, value)
        close(mine)
        close(open_section(NAME))
        target.kill()
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND

    @pytest.mark.leaves_dead_files
    def test_many_can_be_in_flight(self, target: Child) -> None:
        """A receiver that does not look for a while loses nothing."""
        mine = create(NAME)
        values = [self.give(mine, target.pid) for _ in range(100)]
        assert handle_count(mine) == 101
        assert target.value(f"all(win32.GetHandleInformation(v, win32.DWORD()) for v in {values})")
        assert len(set(values)) == 100
        target.kill()
        assert handle_count(mine) == 1
        close(mine)

    def test_file_handles_share_the_pointer(self, target: Child, tmp_path: Path) -> None:
        """A duplicated file handle is the same file object."""
        (tmp_path / "data").write_bytes(b"0123456789")
        file = opened(tmp_path / "data", disposition=win32.OPEN_ALWAYS)
        assert read(file, 2) == b"01"
        value = self.give(file, target.pid)
        close(file)
        target.run(f"data, n = bytearray(3), win32.DWORD(); ok = win32.ReadFile({value}, data, 3, n)")
        assert target.value("(ok, bytes(data))") == (True, b"234")

    def test_sections_over_files_go_too(self, target: Child, tmp_path: Path) -> None:
        """With their file, which may have lost its name."""
        path = tmp_path / "data"
        path.write_bytes(b"contents")
        file = opened(path, disposition=win32.OPEN_ALWAYS)
        section = win32.CreateFileMapping(file, None, win32.PAGE_READWRITE, 0, 0, NAME)
        assert section
        path.unlink()
        value = self.give(section, target.pid)
        close(section, file)
        assert target.value(f"peek(view({value}), 8)") == b"contents"

    def test_a_process_that_does_not_know_of_it_takes_none(self) -> None:
        """Access denied, with what the process would have to do; nothing is kept alive."""
        other = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        try:
            mine = create(NAME)
            process = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, other.pid)
            assert process
            assert not win32.DuplicateHandle(-1, mine, process, win32.HANDLE(), 0, False, 2)
            assert win32.GetLastError() == win32.ERROR_ACCESS_DENIED
            assert "GetCurrentProcessId" in message()
            assert str(other.pid) in message()
            assert handle_count(mine) == 1
            close(process, mine)
        finally:
            other.communicate(timeout=WATCHDOG)

    def test_a_process_that_has_ended_takes_none(self, spawn: Spawn) -> None:
        """Also when it had announced itself."""
        child = spawn()
        pid = child.value("win32.GetCurrentProcessId()")
        process = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, pid)
        assert process
        child.end()
        mine = create(NAME)
        assert not win32.DuplicateHandle(-1, mine, process, win32.HANDLE(), 0, False, 2)
        assert handle_count(mine) == 1
        close(process, mine)
        assert win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, pid) is None
        assert win32.GetLastError() == win32.ERROR_INVALID_PARAMETER

    @pytest.mark.leaves_dead_files  # os._exit
    def test_a_forked_child_is_a_process_of_its_own(self, target: Child) -> None:
        """A handle that is sent to the parent does not land in the child, nor the other way round."""
        target.run("""
            r, w = os.pipe(); r2, w2 = os.pipe()
            pid = os.fork()
            if not pid:
                os.write(w, str(win32.GetCurrentProcessId()).encode())
                value = int(os.read(r2, 20))
                os.write(w, str(win32.GetHandleInformation(value, win32.DWORD())).encode())
                os._exit(0)
            child = int(os.read(r, 20))
            """)
        mine = create(NAME)
        value = self.give(mine, target.value("child"))
        assert not known_in(target, value)
        target.run(f"os.write(w2, b'{value}')")
        assert target.value("os.read(r, 20)") == b"True"
        target.run("os.waitpid(pid, 0)")
        own = self.give(mine, target.pid)
        assert known_in(target, own)
        close(mine)

    def test_garbage_in_the_inbox_does_no_harm(self, target: Child) -> None:
        """Messages of a process that does not keep to the rules are dropped, and those after them are read."""
        [inbox] = [path for path in object_files() if "inbox" in path]
        for message_ in (b"", b"{}", b"[1]", b'"x"', b"\xff\xff", b'{"type": "Section", "handle": 1073741824}',
                         b'{"type": "Process", "handle": "x", "pid": "y"}', b'{"type": "File", "handle": {}, "fd": 0}',
                         b'{"type": "Section", "handle": 4, "writable": 1, "name": 5, "path": null}'):  # fmt: skip
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as out:
                out.connect(inbox)
                out.send(message_)
        mine = create(NAME)
        value = self.give(mine, target.pid)
        assert known_in(target, value)
        close(mine)

    def test_another_user_cannot_reach_a_process(self, target: Child, spawn: Spawn, second_user: int) -> None:
        """The other user gets an error, the target no handle."""
        other = spawn(uid=second_user)
        other.run(f"""
            h = create("{NAME}")
            process, out = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, {target.pid}), win32.HANDLE()
            ok = win32.DuplicateHandle(-1, h, process, out, 0, False, 2) if process else None
            """)
        assert not other.value("ok")
        assert other.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED
        other.run("win32.CloseHandle(h)")
