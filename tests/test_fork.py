"""Fork: parent and child have handles of their own from the first instant; neither takes anything from the other."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

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
    sweep,
    unmap,
    view,
)
from calls.kernel import locks
from calls.kinds import Kind, each_kind, gone
from child import WATCHDOG, Spawn, eventually
from namedmap import win32

NAME = "fork"


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
        assert gone(kind, NAME)
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
        eventually(lambda: not os.path.exists(f"/proc/{pid}/fdinfo/1"), "the end of the child")
        close(held)
        assert gone(kind, NAME)

    def test_a_storm_of_forks_and_closes_loses_nothing(self, spawn: Spawn) -> None:
        """Parent and child let go in any order, many times; the object is there until the last has."""
        child = spawn(f"""
            import random
            keeper = create("{NAME}")
            for turn in range(100):
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

    @each_kind
    @pytest.mark.parametrize("when", ["before", "after_in_child", "after_in_parent"])
    def test_a_handle_closed_in_the_middle_of_a_fork(self, spawn: Spawn, tmp_path: Path, kind: Kind, when: str) -> None:
        """As a hook of somebody else may do, or the garbage collector. A handle that a child closes, its parent keeps;
        and other objects are each process's own as ever."""
        # Registered before ours, it runs in the middle of them: after the first, before the last.
        hook = f"import os, sys; os.register_at_fork({when}=lambda: sys.hook() if hasattr(sys, 'hook') else None)"
        (tmp_path / "sitecustomize.py").write_text(hook)
        parent = spawn(
            f"""
            descriptors = len(os.listdir("/proc/self/fd"))
            h, other = [{kind.text.format(NAME)}], create("{NAME}-other")
            def close():
                while h: win32.CloseHandle(h.pop())
            win32.ReleaseMutex(h[0])  # if it is one: its owner would keep it
            sys.hook = close
            pid = os.fork()
            if not pid:
                close()
                win32.CloseHandle(other)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            say(len(h))
            hear()
            close()
            win32.CloseHandle(other)
            say(len(os.listdir("/proc/self/fd")) - descriptors)
            """,
            environment={"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        )
        assert parent.line() == ("1" if when == "after_in_child" else "0")
        if when == "after_in_child":
            held = kind.open(NAME)
            assert held, message()
            close(held)
        else:
            assert gone(kind, NAME)
        close(open_section(f"{NAME}-other"))
        parent.send("")
        assert parent.line() == "0"
        assert parent.wait() == 0
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
        assert poke(mine_view, b"hello")
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
        """Children forked at any moment of another thread's calls neither block nor keep what that thread uses."""
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
            for _ in range(80):
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
            # A child that was forked while the thread had a handle has that handle too; it must not have a guard.
            close(create(f"{NAME}-{number}"))
        child.end()
        for number in range(4):
            assert error_of_open(f"{NAME}-{number}") == win32.ERROR_FILE_NOT_FOUND
        sweep()

    @pytest.mark.parametrize("access", ["win32.FILE_MAP_WRITE", "win32.FILE_MAP_READ", "win32.FILE_MAP_COPY"])
    def test_an_inherited_view_keeps_no_handle_of_a_dead_parent(self, spawn: Spawn, access: str) -> None:
        """A child keeps a view and no handle; when its parent is killed the name goes, and the view stays as it was."""
        parent = spawn(f"""
            h = create("{NAME}"); poke(view(h), b"shared")
            v = view(h, {access})
            if {access} == win32.FILE_MAP_COPY: poke(v, b"copied")
            if os.fork():
                say("ready"); signal.pause()
            win32.CloseHandle(h)
            say("ready")
            hear()
            say(peek(v, 6).decode())
            """)
        # Both, since in the middle of the fork itself the parent's lock is the child's as well.
        assert [parent.line(), parent.line()] == ["ready", "ready"]
        close(open_section(NAME))
        os.kill(parent.pid, signal.SIGKILL)
        os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)
        assert error_of_open(NAME) == win32.ERROR_FILE_NOT_FOUND
        close(create(NAME))
        parent.send("go on")
        assert parent.line() == ("copied" if "COPY" in access else "shared")

    @pytest.mark.leaves_dead_files
    def test_an_inherited_view_keeps_no_guard_of_a_dead_parent(
        self, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A parent is killed in the middle of an operation: its child's view does not keep the guard taken."""
        parent = spawn(f"""
            from calls.kernel import table
            h = create("{NAME}"); v = view(h)
            if not os.fork():
                say("ready"); hear(); os._exit(0)
            hear()
            """)
        assert parent.line() == "ready"
        # The start of an operation, through the description that it uses.
        holder = spawn(f"""
            from calls.kernel import table
            h = open_("{NAME}"); v = view(h)
            assert locks.try_lock(table.get(h).object.fd, locks.GUARD, exclusive=True)
            if not os.fork():
                say("ready"); hear(); os._exit(0)
            say("ready"); hear()
            """)
        # Both, since in the middle of the fork itself the guard is the child's as well.
        assert [holder.line(), holder.line()] == ["ready", "ready"]
        os.kill(holder.pid, signal.SIGKILL)
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        monkeypatch.setattr(locks, "GUARD_TIMEOUT", 0.3)
        close(open_section(NAME))
        parent.kill()
        holder.kill()
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
    @pytest.mark.parametrize(
        ("method", "ending"),
        [
            ("fork", "close"), ("fork", "return"), ("fork", "_exit"), ("fork", "kill"),
            ("forkserver", "return"), ("forkserver", "kill"), ("spawn", "close"), ("spawn", "kill"),
        ],
    )  # fmt: skip
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
