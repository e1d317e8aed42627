"""How long objects and names live: with the last handle in any process, through every kind of end."""

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from namedmap import nt, win32
from support import (
    WATCHDOG,
    Child,
    Spawn,
    close,
    create,
    error_of_open,
    eventually,
    message,
    object_files,
    object_path,
    open_section,
    peek,
    poke,
    unmap,
    view,
)

NAME = "lifetime"


class Kind(NamedTuple):
    """How a kind of object is made and opened, here and in children (where it is text)."""

    name: str
    create: Callable[[str], int | None]
    open: Callable[[str], int | None]
    text: str


def _create_section(name: str) -> int | None:
    return win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, name)


KINDS = (
    Kind(
        "section",
        _create_section,
        lambda name: win32.OpenFileMapping(win32.FILE_MAP_READ, False, name),
        "create({!r})",
    ),
    Kind(
        "mutex",
        lambda name: win32.CreateMutex(None, False, name),
        lambda name: win32.OpenMutex(win32.SYNCHRONIZE, False, name),
        "win32.CreateMutex(None, True, {!r})",
    ),
    Kind(
        "event",
        lambda name: win32.CreateEvent(None, True, False, name),
        lambda name: win32.OpenEvent(win32.SYNCHRONIZE, False, name),
        "win32.CreateEvent(None, True, False, {!r})",
    ),
    Kind(
        "semaphore",
        lambda name: win32.CreateSemaphore(None, 1, 2, name),
        lambda name: win32.OpenSemaphore(win32.SYNCHRONIZE, False, name),
        "win32.CreateSemaphore(None, 1, 2, {!r})",
    ),
)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
each_scope = pytest.mark.parametrize("name", [NAME, f"Local\\{NAME}", f"Global\\{NAME}"])


def gone(kind: Kind, name: str = NAME) -> bool:
    return kind.open(name) is None and win32.GetLastError() == win32.ERROR_FILE_NOT_FOUND


def handle_count(handle: int) -> int:
    information = nt.OBJECT_BASIC_INFORMATION()
    status = nt.NtQueryObject(handle, 0, information, ctypes.sizeof(information), None)
    assert status == 0
    return information.HandleCount


class TestNames:
    @each_kind
    @each_scope
    def test_the_name_goes_with_the_last_handle(self, kind: Kind, name: str) -> None:
        """One handle keeps the name; the last one takes it, and the file, along."""
        first = kind.create(name)
        second = kind.create(name)
        assert first and second and win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
        close(first)
        third = kind.open(name)
        assert third
        close(second, third)
        assert gone(kind, name)
        assert object_files() == []

    def test_a_view_keeps_the_memory_but_not_the_name(self) -> None:
        """After the last handle the name leads to a new section, and the old view to the old memory."""
        old = create(NAME)
        old_view = view(old)
        poke(old_view, b"old")
        close(old)
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
        new = create(NAME)
        assert win32.GetLastError() == win32.ERROR_SUCCESS
        new_view = view(new)
        assert peek(new_view, 3) == b"\0\0\0"
        poke(new_view, b"new")
        assert peek(old_view, 3) == b"old"
        unmap(old_view, new_view)
        close(new)

    def test_handles_of_all_processes_count(self, spawn: Spawn) -> None:
        """The name stays while any process has a handle, and goes with the last one, views or not."""
        other = spawn()
        mine = create(NAME)
        poke(view(mine), b"here")
        other.run(f"m = open_({NAME!r}); v = view(m)")
        close(mine)
        again = open_section(NAME)
        close(again)
        other.run("win32.CloseHandle(m)")
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
        assert other.value("peek(v, 4)") == b"here"
        assert other.value(f"open_({NAME!r})") is None
        unmap(*views_here())

    @each_kind
    def test_sigkill_leaves_nothing_visible(self, spawn: Spawn, kind: Kind) -> None:
        """The name of a killed process is free: its dead file is not opened, and the next object is new."""
        other = spawn()
        assert other.value(kind.text.format(NAME))
        held = kind.open(NAME)
        assert held
        close(held)
        other.kill()
        assert gone(kind)
        new = kind.create(NAME)
        assert new and win32.GetLastError() == win32.ERROR_SUCCESS
        close(new)
        assert object_files() == []

    def test_another_kind_can_have_the_name_of_a_dead_object(self, spawn: Spawn) -> None:
        """What a dead file was does not matter."""
        other = spawn()
        other.run(f"m = create({NAME!r}, 1 << 20)")
        other.kill()
        event = win32.CreateEvent(None, True, True, NAME)
        assert event and win32.GetLastError() == win32.ERROR_SUCCESS
        close(event)

    def test_a_dead_section_is_not_seen_by_the_next(self, spawn: Spawn) -> None:
        """A new section is zeros, whatever the dead one of its name contained."""
        other = spawn()
        other.run(f"poke(view(create({NAME!r})), b'secret' * 100)")
        other.kill()
        section = create(NAME)
        found = view(section)
        assert peek(found, 4096) == bytes(4096)
        unmap(found)
        close(section)

    def test_a_dead_file_with_a_view_stays_as_it_is(self, spawn: Spawn) -> None:
        """The last handle dies by SIGKILL while we have a view: the next section of the name does not touch it."""
        other = spawn()
        mine = create(NAME, 1 << 16)
        mine_view = view(mine)
        poke(mine_view, b"old")
        other.run(f"m = open_({NAME!r})")
        close(mine)
        other.kill()
        new = create(NAME)
        assert win32.GetLastError() == win32.ERROR_SUCCESS
        new_view = view(new)
        poke(new_view, b"new")
        assert peek(mine_view, 3) == b"old"
        assert peek(mine_view + 0xF000, 1) == b"\0"
        unmap(mine_view, new_view)
        close(new)

    def test_the_first_use_of_the_names_sweeps(self, spawn: Spawn) -> None:
        """A process removes dead files, and only dead ones, when it first uses a name."""
        dying = spawn()
        dying.run(f"handles = [create(f'{NAME}{{n}}') for n in range(20)] + [create('Global\\\\{NAME}')]")
        living = create(f"{NAME}-alive")
        dying.kill()
        assert len(object_files()) == 22
        later = spawn()
        later.run("m = create('another')")
        assert len(object_files()) == 2
        later.end()
        close(living)

    @pytest.mark.parametrize("ending", ["sys.exit(3)", "raise SystemExit(3)", "sys.exit('no')", "1 / 0", "pass"])
    def test_a_normal_exit_closes_everything(self, spawn: Spawn, ending: str) -> None:
        """Handles that a program leaves open are closed when the interpreter ends."""
        child = spawn(f"""
            handles = [create("{NAME}"), win32.CreateMutex(None, True, "{NAME}-mutex"), create("Global\\\\{NAME}")]
            win32.GetCurrentProcessId()
            sys.stderr = open(os.devnull, "w")
            say(all(handles))
            hear()
            {ending}
            """)
        assert child.line() == "True"
        assert len(object_files()) == 4  # with the inbox
        child.end()
        assert object_files() == []

    @pytest.mark.leaves_dead_files
    def test_an_abrupt_exit_is_as_good_as_a_kill(self, spawn: Spawn) -> None:
        """os._exit runs no exit handlers: the kernel releases the object all the same."""
        child = spawn(f"handles = create('{NAME}'); os._exit(0)")
        assert child.wait() == 0
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND

    def test_handle_counts_are_those_of_all_processes(self, spawn: Spawn) -> None:
        """NtQueryObject counts the handles of every process, as they come and go."""
        mine = create(NAME)
        assert handle_count(mine) == 1
        other, third = spawn(), spawn()
        other.run(f"a, b, c = (open_({NAME!r}) for _ in range(3))")
        assert handle_count(mine) == 4
        third.run(f"a = open_({NAME!r})")
        assert handle_count(mine) == 5
        again = open_section(NAME)
        assert handle_count(mine) == handle_count(again) == 6
        other.run("win32.CloseHandle(b)")
        assert handle_count(mine) == 5
        third.kill()
        assert handle_count(mine) == 4
        other.end()
        assert handle_count(mine) == 2
        close(again)
        assert handle_count(mine) == 1
        close(mine)

    def test_a_removed_file_does_not_harm_its_holders(self) -> None:
        """Somebody deletes an object's file by hand: holders keep the memory, the name is free for a new object."""
        old = create(NAME)
        old_view = view(old)
        object_path(NAME).unlink()
        new = create(NAME)
        assert win32.GetLastError() == win32.ERROR_SUCCESS
        new_view = view(new)
        poke(old_view, b"old")
        assert peek(new_view, 3) == b"\0\0\0"
        close(old)
        again = open_section(NAME)
        assert win32.CompareObjectHandles(again, new)
        unmap(old_view, new_view)
        close(again, new)


def views_here() -> list[int]:
    """The bases of all views of this process."""
    from namedmap._kernel.space import space

    return [region.base for region in space]


class TestFork:
    """A child of os.fork has all handles; what it does with them is its own affair, and so for the parent."""

    @each_kind
    @pytest.mark.parametrize("ending", ["os._exit(0)", "os.kill(os.getpid(), 9)", "closing", "sys.exit(0)"])
    def test_the_end_of_a_child_takes_nothing_from_its_parent(self, spawn: Spawn, kind: Kind, ending: str) -> None:
        """Whether the child closes, exits or is killed: the parent's object and name stay."""
        what = "win32.CloseHandle(h); os._exit(0)" if ending == "closing" else ending
        parent = spawn(f"""
            h = {kind.text.format(NAME)}
            pid = os.fork()
            if not pid:
                {what}
            os.waitpid(pid, 0)
            say("over")
            hear()
            """)
        assert parent.line() == "over"
        held = kind.open(NAME)
        assert held, message()
        close(held)
        parent.end()
        assert gone(kind)
        assert object_files() == []

    @each_kind
    @pytest.mark.parametrize("ending", ["win32.CloseHandle(h)", "os._exit(0)", "os.kill(os.getpid(), 9)"])
    def test_the_parent_closing_right_after_the_fork_leaves_the_childs_object(
        self, spawn: Spawn, kind: Kind, ending: str
    ) -> None:
        """However fast the parent lets go: there is no instant at which the child's handles hang on the parent's."""
        parent = spawn(f"""
            h = {kind.text.format(NAME)}
            if os.fork():
                {ending}
            else:
                sys.stdin.close()
                say("child")
                flags = win32.DWORD()
                r, w = os.pipe()
                say(win32.GetHandleInformation(h, flags), os.getpid())
                signal.pause()
            sys.stdin.read()
            """)
        assert parent.line() == "child"
        known, pid = parent.line().split()
        assert known == "True"
        held = kind.open(NAME)
        assert held, message()
        close(held)
        parent.kill()
        held = kind.open(NAME)
        assert held, message()
        os.kill(int(pid), signal.SIGTERM)
        eventually(lambda: not os.path.exists(f"/proc/{pid}/fdinfo/0"), "the end of the child")
        close(held)
        assert gone(kind)

    def test_a_storm_of_forks_and_closes_loses_nothing(self, spawn: Spawn) -> None:
        """Parent and child let go in any order, many times; the object is there until the last has."""
        child = spawn(f"""
            import random
            keeper = create("{NAME}")
            for turn in range(200):
                h = create(f"{NAME}-{{turn % 3}}")
                pid = os.fork()
                if not pid:
                    if random.random() < 0.5:
                        ok = bool(win32.CloseHandle(h)) and bool(open_("{NAME}"))
                    else:
                        ok = bool(open_(f"{NAME}-{{turn % 3}}"))
                    os._exit(0 if ok else 1)
                if random.random() < 0.5:
                    win32.CloseHandle(h)
                    h = None
                _, status = os.waitpid(pid, 0)
                if status: say("failed", turn, status); break
                if h:
                    again = open_(f"{NAME}-{{turn % 3}}")
                    if not again: say("lost", turn); break
                    win32.CloseHandle(again); win32.CloseHandle(h)
            else:
                say("fine")
            win32.CloseHandle(keeper)
            namespace.current().sweep()
            """)
        assert child.line() == "fine"
        assert child.wait() == 0
        assert object_files() == []

    def test_views_are_shared_and_handles_counted(self, spawn: Spawn) -> None:
        """A forked child sees what the parent writes, and has a handle of its own."""
        mine = create(NAME)
        mine_view = view(mine)
        parent = spawn()
        parent.run(f"h = open_({NAME!r}); v = view(h)")
        assert handle_count(mine) == 2
        parent.run("""
            r, w = os.pipe(); r2, w2 = os.pipe()
            pid = os.fork()
            if not pid:
                os.read(r, 1); os.write(w2, peek(v, 5)); poke(v, b"child"); os.read(r, 1); os._exit(0)
            """)
        assert handle_count(mine) == 3
        poke(mine_view, b"hello")
        parent.run("os.write(w, b'x')")
        assert parent.value("os.read(r2, 5)") == b"hello"
        parent.run("os.write(w, b'x'); os.waitpid(pid, 0)")
        assert peek(mine_view, 5) == b"child"
        assert handle_count(mine) == 2
        parent.end()
        unmap(mine_view)
        close(mine)

    def test_a_forked_child_can_go_on_opening_and_creating(self, spawn: Spawn) -> None:
        """A child finds its inherited objects by name, as the same objects, and makes new ones."""
        parent = spawn(f"""
            h = create("{NAME}"); v = view(h); poke(v, b"data")
            pid = os.fork()
            if not pid:
                again = open_("{NAME}")
                same = win32.CompareObjectHandles(h, again)
                fresh = create("{NAME}-child")
                say(same, peek(view(again), 4), bool(fresh))
                hear()
                for handle in (h, again, fresh): win32.CloseHandle(handle)
                os._exit(0)
            sys.stdin.close()
            win32.CloseHandle(h)
            os.waitpid(pid, 0)
            """)
        assert parent.line() == "True b'data' True"
        close(open_section(NAME), open_section(f"{NAME}-child"))
        parent.send("end")
        assert parent.wait() == 0
        assert object_files() == []

    def test_a_fork_while_another_thread_opens_keeps_no_lock(self, spawn: Spawn) -> None:
        """Children forked at any moment of another thread's calls neither block nor keep alive what that thread uses."""
        child = spawn(f"""
            locks.GUARD_TIMEOUT = 1.0
            failures, stop = [], threading.Event()
            def work():
                turn = 0
                while not stop.is_set():
                    turn += 1
                    name = f"{NAME}-{{turn % 4}}"
                    a, b, c = create(name), open_(name), open_("missing")
                    if not (a and b): failures.append((name, a, b, message()))
                    for h in (a, b):
                        if h and not win32.CloseHandle(h): failures.append(message())
            thread = threading.Thread(target=work)
            thread.start()
            children = []
            r, w = os.pipe()
            for _ in range(150):
                pid = os.fork()
                if not pid:
                    os.close(w); os.read(r, 1); os._exit(0)
                children.append(pid)
            stop.set(); thread.join()
            say(failures[:3])
            hear()
            os.close(w)
            for pid in children: os.waitpid(pid, 0)
            """)
        assert child.line() == "[]"
        for number in range(4):
            # A child that was forked while the thread had a handle has that handle too; what it must not have is a lock.
            name = f"{NAME}-{number}"
            section = create(name)
            close(section)
        child.end()
        for number in range(4):
            assert error_of_open(f"{NAME}-{number}") == win32.ERROR_FILE_NOT_FOUND
        from support import sweep

        sweep()

    def test_a_fork_without_a_free_descriptor_still_works(self, spawn: Spawn) -> None:
        """The child shares its parent's locks then: its end takes nothing from the parent."""
        child = spawn(f"""
            import resource
            h = create("{NAME}"); poke(view(h), b"data")
            held = []
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
                while True: held.append(os.dup(0))
            except OSError: pass
            pid = os.fork()
            if not pid:
                seen = peek(win32.MapViewOfFile(h, win32.FILE_MAP_READ, 0, 0, 0), 4)
                closed = win32.CloseHandle(h)
                os._exit(0 if seen == b"data" and closed else 1)
            status = os.waitpid(pid, 0)[1]
            for fd in held: os.close(fd)
            say(status)
            hear()
            """)
        assert child.line() == "0"
        close(open_section(NAME))
        child.end()
        assert object_files() == []


METHODS = textwrap.dedent("""
    import ctypes, multiprocessing, os, signal, sys
    from namedmap import win32

    def work(ending, name):
        h = win32.OpenFileMapping(win32.FILE_MAP_ALL_ACCESS, False, name)
        v = win32.MapViewOfFile(h, win32.FILE_MAP_WRITE, 0, 0, 0)
        assert ctypes.string_at(v, 6) == b"parent"
        ctypes.memmove(v, b"worker", 6)
        if ending == "close": win32.CloseHandle(h)
        if ending == "kill": os.kill(os.getpid(), signal.SIGKILL)
        if ending == "_exit": os._exit(0)

    if __name__ == "__main__":
        method, ending, name = sys.argv[1:]
        context = multiprocessing.get_context(method)
        for _ in range(2):
            h = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, name)
            assert h and win32.GetLastError() == 0
            v = win32.MapViewOfFile(h, win32.FILE_MAP_WRITE, 0, 0, 0)
            ctypes.memmove(v, b"parent", 6)
            process = context.Process(target=work, args=(ending, name))
            process.start()
            process.join()
            assert process.exitcode == (-9 if ending == "kill" else 0), process.exitcode
            assert ctypes.string_at(v, 6) == b"worker"
            again = win32.OpenFileMapping(win32.FILE_MAP_READ, False, name)
            assert again, win32.GetLastError()
            win32.CloseHandle(again); win32.CloseHandle(h)
            assert win32.OpenFileMapping(win32.FILE_MAP_READ, False, name) is None
        print("fine")
    """)


class TestMultiprocessing:
    @pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
    @pytest.mark.parametrize("ending", ["close", "return", "_exit", "kill"])
    def test_workers_share_and_do_not_take(self, tmp_path: Path, method: str, ending: str) -> None:
        """A worker of any start method sees the section, and takes nothing away however it ends."""
        script = tmp_path / "script.py"
        script.write_text(METHODS)
        done = subprocess.run(
            [sys.executable, str(script), method, ending, NAME],
            capture_output=True,
            text=True,
            timeout=WATCHDOG,
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.stdout == "fine\n", done.stderr
        assert object_files() == []


class TestThreads:
    def test_handles_outlive_the_thread_that_made_them(self) -> None:
        """Handles belong to the process."""
        made: list[int] = []
        thread = threading.Thread(target=lambda: made.append(create(NAME)))
        thread.start()
        thread.join()
        close(open_section(NAME), *made)
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND

    @pytest.mark.parametrize("name", [NAME, f"Global\\{NAME}"])
    def test_threads_that_race_for_one_name_agree(self, name: str) -> None:
        """Threads create, open and close one name at the same time: nothing fails, and in the end it is gone."""
        failures: list[str] = []
        start = threading.Barrier(6)

        def work() -> None:
            start.wait()
            for turn in range(60):
                section = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, name)
                again = win32.OpenFileMapping(win32.FILE_MAP_ALL_ACCESS, False, name)
                if not section or not again or not win32.CompareObjectHandles(section, again):
                    failures.append(f"{turn}: {section} {again} {message()}")
                for handle in filter(None, (section, again)):
                    if not win32.CloseHandle(handle):
                        failures.append(f"{turn}: {message()}")

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WATCHDOG)
        assert failures == []
        assert error_of_open(name) == win32.ERROR_FILE_NOT_FOUND
        assert object_files() == []

    def test_a_fork_from_a_thread_keeps_the_handles(self, spawn: Spawn) -> None:
        """A thread forks; main thread and child both have the object."""
        child = spawn(f"""
            h = create("{NAME}"); results = []
            def work():
                pid = os.fork()
                if not pid:
                    os._exit(0 if open_("{NAME}") and win32.CloseHandle(h) else 1)
                results.append(os.waitpid(pid, 0)[1])
            thread = threading.Thread(target=work); thread.start(); thread.join()
            say(results); hear()
            """)
        assert child.line() == "[0]"
        close(open_section(NAME))
        child.end()


CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def container_works() -> bool:
    try:
        done = subprocess.run([*CONTAINER, "true"], capture_output=True, timeout=WATCHDOG, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


class TestContainers:
    """Two PID namespaces that share /dev/shm, as containers with --ipc=host or one volume do."""

    @pytest.fixture
    def container(self, spawn: Spawn) -> Child:
        if not container_works():
            pytest.skip("unshare --pid is not installed or not allowed here")
        return spawn(wrapper=CONTAINER)

    def test_objects_are_shared_and_counted(self, container: Child) -> None:
        """Names, memory and handle counts are the same on both sides."""
        assert container.value("os.getpid()") == 1
        mine = create(NAME)
        mine_view = view(mine)
        poke(mine_view, b"host")
        container.run(f"m = open_({NAME!r}); v = view(m)")
        assert container.value("peek(v, 4)") == b"host"
        assert handle_count(mine) == 2
        close(mine)
        container.run("poke(v, b'pod!')")
        again = open_section(NAME)
        assert peek(mine_view, 4) == b"pod!"
        unmap(mine_view)
        close(again)
        container.run("win32.CloseHandle(m)")
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND

    def test_the_end_of_a_container_frees_its_names(self, container: Child) -> None:
        """A killed container holds nothing."""
        container.run(f"m = create({NAME!r})")
        mine = open_section(NAME)
        container.kill()
        eventually(lambda: handle_count(mine) == 1, "the end of the container's processes")
        close(mine)
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
        assert object_files() == []

    def test_a_message_says_that_a_holder_cannot_be_seen(
        self, container: Child, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A guard held in another container: a clear error, though there is no pid to name on the inside."""
        mine = create(NAME)
        container.run("locks.GUARD_TIMEOUT = 0.2")
        path = str(object_path(NAME))
        with open(path, "rb+") as file:
            from namedmap._kernel import locks

            assert locks.try_lock(file.fileno(), locks.GUARD, exclusive=True)
            assert container.value(f"open_({NAME!r})") is None
            assert container.value("win32.GetLastError()") == win32.ERROR_LOCK_VIOLATION
            assert "cannot be seen from here" in container.value("message()")
        close(mine)
