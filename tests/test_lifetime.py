"""How long objects and names live: with the last handle in any process, through every kind of end."""

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

import namedmap
from calls import (
    close,
    create,
    error_of_open,
    handle_count,
    message,
    object_files,
    object_path,
    open_section,
    peek,
    poke,
    unmap,
    view,
)
from calls.kernel import locks
from calls.kinds import Kind, each_kind, gone
from child import WATCHDOG, Child, Spawn, eventually
from child.users import unshared
from namedmap import win32
from namedmap.compat import mmap

NAME = "lifetime"


each_scope = pytest.mark.parametrize("name", [NAME, f"Local\\{NAME}", f"Global\\{NAME}"])


class TestNames:
    @each_kind
    @each_scope
    def test_the_name_goes_with_the_last_handle(self, kind: Kind, name: str) -> None:
        """One handle keeps the name; the last one takes it, and the file, along."""
        first = kind.create(name)
        second = kind.create(name)
        assert first
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
        assert second
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
        assert poke(old_view, b"old")
        close(old)
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
        new = create(NAME)
        assert win32.GetLastError() == win32.ERROR_SUCCESS
        new_view = view(new)
        assert peek(new_view, 3) == b"\0\0\0"
        assert poke(new_view, b"new")
        assert peek(old_view, 3) == b"old"
        unmap(old_view, new_view)
        close(new)

    def test_handles_of_all_processes_count(self, spawn: Spawn) -> None:
        """The name stays while any process has a handle, and goes with the last one, views or not."""
        other = spawn()
        mine = create(NAME)
        assert poke(view(mine), b"here")
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
        assert gone(kind, NAME)
        new = kind.create(NAME)
        assert win32.GetLastError() == win32.ERROR_SUCCESS
        assert new
        close(new)
        assert object_files() == []

    def test_another_kind_can_have_the_name_of_a_dead_object(self, spawn: Spawn) -> None:
        """The kind of the dead file does not matter."""
        other = spawn()
        other.run(f"m = create({NAME!r}, 1 << 20)")
        other.kill()
        event = win32.CreateEvent(None, True, True, NAME)
        assert win32.GetLastError() == win32.ERROR_SUCCESS
        assert event
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
        assert poke(mine_view, b"old")
        other.run(f"m = open_({NAME!r})")
        close(mine)
        other.kill()
        new = create(NAME)
        assert win32.GetLastError() == win32.ERROR_SUCCESS
        new_view = view(new)
        assert poke(new_view, b"new")
        assert peek(mine_view, 3) == b"old"
        assert peek(mine_view + 0xF000, 1) == b"\0"
        unmap(mine_view, new_view)
        close(new)

    def test_the_first_use_of_the_names_sweeps(self, spawn: Spawn) -> None:
        """A process removes dead files, and only dead ones, when it first uses a name; in bounded time."""
        dying = spawn()
        dying.run(f"handles = [create(f'{NAME}{{n}}') for n in range(20)] + [create('Global\\\\{NAME}')]")
        living = create(f"{NAME}-alive")
        dying.kill()
        assert len(object_files()) == 22
        later = spawn()
        later.run("namespace.SWEEP_SECONDS = 60; m = create('another')")
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
        assert poke(old_view, b"old")
        assert peek(new_view, 3) == b"\0\0\0"
        close(old)
        again = open_section(NAME)
        assert win32.CompareObjectHandles(again, new)
        unmap(old_view, new_view)
        close(again, new)


def views_here() -> list[int]:
    """The bases of all views of this process."""
    from calls.kernel import space

    return [region.base for region in space]


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


class SharedMemory(mmap.mmap):
    """One that can refer to itself."""


class TestGarbage:
    """Handles that the garbage collector closes in the middle of a call, whichever call that is."""

    @pytest.mark.parametrize("make", [lambda: namedmap.Mutex("garbage"), lambda: SharedMemory(-1, 100, "garbage")])
    def test_the_same_name_again(self, make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """Opening a name while the collector drops its last handle waits for nobody, and is no error."""
        monkeypatch.setattr(locks, "wait_for", None)  # there is nobody to wait for but this thread itself
        before = gc.get_threshold()
        for count in range(2000):
            gc.set_threshold(1 + count % 40)  # the collector comes at another moment of the call each time
            made = make()
            made.itself = made
            del made
        gc.set_threshold(*before)
        gc.collect()
        assert object_files() == []


class TestContainers:
    """Two PID namespaces that share /dev/shm, as containers with --ipc=host or one volume do."""

    @pytest.fixture
    def container(self, spawn: Spawn) -> Child:
        return spawn(wrapper=unshared("--pid", "--fork", "--mount-proc", "--kill-child"))

    def test_objects_are_shared_and_counted(self, container: Child) -> None:
        """Names, memory and handle counts are the same on both sides."""
        assert container.value("os.getpid()") == 1
        mine = create(NAME)
        mine_view = view(mine)
        assert poke(mine_view, b"host")
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
            from calls.kernel import locks

            assert locks.try_lock(file.fileno(), locks.GUARD, exclusive=True)
            assert container.value(f"open_({NAME!r})") is None
            assert container.value("win32.GetLastError()") == win32.ERROR_LOCK_VIOLATION
            assert "cannot be seen from here" in container.value("message()")
        close(mine)
