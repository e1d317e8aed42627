"""Holds and views of the compiled core: what makes sections and views of the Python code of them, and how they end."""

import contextlib
import ctypes
import functools
import gc
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import namedmap
from calls import duplicate, failed, handle_count, message, object_files, own_descriptors
from calls.core import NONE_HERE, held, mapped
from calls.kernel import space
from child import Spawn, eventually, forked, plain
from namedmap import win32

pytestmark = [pytest.mark.skipif(not namedmap.native, reason=NONE_HERE), pytest.mark.usefixtures("tidy")]

NAME = "core"


@pytest.fixture(autouse=True)
def place() -> None:
    """The first object of all makes the directory of objects, which the core leaves to the Python code."""
    namedmap.create("place", 1).close()
    assert held() == []


@pytest.fixture
def mapping() -> Iterator[namedmap.FileMapping]:
    with namedmap.create(NAME, 10_000) as made:
        assert held() == [made._section]
        yield made


def address(view: namedmap.View) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view.buf))


def is_gone(name: str = NAME) -> bool:
    """Whether nobody has a name, which nobody opens by that."""
    with contextlib.suppress(namedmap.NotFoundError):
        namedmap.open(name).close()
        return False
    return True


class TestHatching:
    """A hold becomes a section when more is asked of it than it can do, and nothing is lost by that."""

    def test_by_its_handle(self, mapping: namedmap.FileMapping) -> None:
        """The number of the handle, asked for twice, is one number, and the lowest that is free."""
        lowest = win32.CreateEvent(None, True, False, None)
        assert lowest
        assert win32.CloseHandle(lowest)
        assert mapping.handle == lowest == mapping.handle
        assert held() == []
        assert handle_count(mapping.handle) == 1

    def test_a_handle_that_is_closed_by_its_number(self, mapping: namedmap.FileMapping) -> None:
        """Nobody has the object then, and the mapping says so."""
        assert win32.CloseHandle(mapping.handle)
        assert is_gone()
        with pytest.raises(namedmap.ClosedError):
            mapping.view()

    @pytest.mark.parametrize("opener_first", [True, False])
    def test_by_a_second_open(self, opener_first: bool, mapping: namedmap.FileMapping) -> None:
        """The second mapping of a process is a second handle to the same object; the name goes with the last."""
        with mapping.view() as view:
            second = namedmap.open(NAME)
            assert held() == []
            assert handle_count(second.handle) == 2
            first, last = (second, mapping) if opener_first else (mapping, second)
            first.close()
            with last.view() as other:
                other[9999] = 7
            assert view[9999] == 7
            assert not is_gone()
            last.close()
            assert is_gone()

    def test_by_a_second_creation(self, mapping: namedmap.FileMapping) -> None:
        """Nobody creates it twice, and who opens or creates gets what is there."""
        with pytest.raises(namedmap.ExistsError):
            namedmap.create(NAME, 1)
        with namedmap.open_or_create(NAME, 1) as second:
            assert (second.created, second.size) == (False, 10_000)
            assert handle_count(second.handle) == 2

    @pytest.mark.parametrize("offset", [0, 4096, 5000, 8192])
    def test_by_a_query(self, offset: int, mapping: namedmap.FileMapping) -> None:
        """VirtualQuery knows the views, whatever their offsets, as those of the Python code."""
        with mapping.view(offset, access="read") as view:
            assert mapped()
            with mapping.view(offset, access="write") as writer:
                place = address(writer)
            info = win32.MEMORY_BASIC_INFORMATION()
            assert win32.VirtualQuery(view._address, info, ctypes.sizeof(info))
            assert (info.State, info.Protect, info.Type) == (win32.MEM_COMMIT, win32.PAGE_READONLY, win32.MEM_MAPPED)
            assert info.AllocationBase == view._address - offset
            assert mapped() == []
            assert view[0] == 0
            assert win32.VirtualQuery(place, info, ctypes.sizeof(info))
        assert win32.VirtualQuery(view._address, info, ctypes.sizeof(info))
        assert info.State == win32.MEM_FREE

    def test_by_calls_with_addresses(self, mapping: namedmap.FileMapping) -> None:
        """A view can be flushed, protected and unmapped by its address; its end is then nobody's."""
        with mapping.view() as view:
            place = view._address
            view[0] = 9
            assert win32.FlushViewOfFile(place, 0), message()
            old = win32.DWORD()
            assert win32.VirtualProtect(place, 4096, win32.PAGE_READONLY, old), message()
            assert old.value == win32.PAGE_READWRITE
            view.protect("write")
            view[0] = 10
            assert win32.UnmapViewOfFile(place), message()
        assert failed(win32.UnmapViewOfFile(place)) == win32.ERROR_INVALID_ADDRESS
        with mapping.view() as view:
            assert view[0] == 10

    def test_by_a_duplicate(self, mapping: namedmap.FileMapping) -> None:
        """A duplicate of the handle keeps the name when the mapping is closed."""
        other = duplicate(mapping.handle)
        mapping.close()
        assert not is_gone()
        assert win32.CloseHandle(other)
        assert is_gone()

    def test_by_sending_it(self, mapping: namedmap.FileMapping, spawn: Spawn) -> None:
        """A duplicate in another process is one too."""
        child = spawn()
        assert child.value("win32.GetCurrentProcessId()") == child.pid
        target = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, child.pid)
        sent, this = win32.HANDLE(), win32.GetCurrentProcess()
        assert win32.DuplicateHandle(this, mapping.handle, target, sent, 0, False, win32.DUPLICATE_SAME_ACCESS)
        mapping.close()
        assert not is_gone()
        child.run(f"assert win32.CloseHandle({sent.value})")
        assert is_gone()
        assert win32.CloseHandle(target)

    def test_by_what_it_lacks(self, mapping: namedmap.FileMapping) -> None:
        """An attribute that only the section has is the section's; one that nobody has is an error."""
        assert mapping._section is not None
        with pytest.raises(AttributeError):
            _ = mapping._section.nothing  # type: ignore[attr-defined]
        assert held() == []
        assert mapping.size == 10_000

    @pytest.mark.parametrize("closed", [True, False])
    def test_by_a_fork(self, closed: bool, mapping: namedmap.FileMapping) -> None:
        """A forked child is a holder of its own, and sees what the parent sees; also if it has but a view."""
        view = mapping.view()
        if closed:
            mapping.close()

        def in_child() -> None:
            view[1] += 1
            assert is_gone() == closed
            if not closed:
                assert handle_count(mapping.handle) == 2
            mapping.close()
            view.close()
            assert own_descriptors() == []

        with forked(in_child):
            pass
        assert view[1] == 1
        assert is_gone() == closed
        view.close()
        with namedmap.create("later", 1) as later:
            assert held() == [later._section]

    def test_by_threads(self, mapping: namedmap.FileMapping, eager_threads: None) -> None:
        """Many threads that hatch one hold at once get one handle."""
        for _ in range(50):
            with namedmap.create("hatched", 1) as made:
                barrier, found = threading.Barrier(4), list[int]()

                def hatch(made: namedmap.FileMapping = made, barrier: Any = barrier, found: Any = found) -> None:
                    barrier.wait()
                    found.append(made.handle)

                threads = [threading.Thread(target=hatch) for _ in range(4)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert found == [made.handle] * 4
                assert handle_count(made.handle) == 1

    def test_in_place_of_a_closed_one(self, mapping: namedmap.FileMapping) -> None:
        """A hold that is closed and keeps views hatches without a handle, and its number goes to nobody."""
        hold, view = mapping._section, mapping.view()
        assert hold is not None
        lowest = duplicate(win32.GetCurrentProcess())
        assert win32.CloseHandle(lowest)
        mapping.close()
        assert hold.value == 0
        assert list(space)
        with namedmap.create("next", 1) as other, namedmap.create("next but one", 1) as third:
            assert (other.handle, third.handle) == (lowest, lowest + 4)
        view[0] = 3
        view.close()
        assert own_descriptors() == []


def permutations() -> list[tuple[str, ...]]:
    return list(itertools.permutations(("mapping", "view", "memoryview", "array")))


class TestOrder:
    """Mapping, view, memoryview and array end in any order: the memory with the last, the name with the mapping."""

    @pytest.mark.parametrize("hatched_at", [None, 0, 1, 2, 3])
    @pytest.mark.parametrize("order", permutations(), ids="-".join)
    def test_any(self, order: tuple[str, ...], hatched_at: int | None) -> None:
        """Each of those that are left sees the memory, whenever the hold hatches."""
        mapping = namedmap.create(NAME, 100_000)
        hold: Any = mapping._section
        view = mapping.view(70_001)
        place = view._address
        things: dict[str, Any] = {"mapping": mapping, "view": view}
        things |= {"memoryview": memoryview(view.buf), "array": view.array("u1")}
        del mapping, view
        for step, each in enumerate(order):
            if step == hatched_at:
                assert hold.value >= 0
            if step == hatched_at and step % 2 and things.keys() > {"mapping"}:
                assert place - 70_001 + 65_536 in [region.base for region in space]
            if each in ("mapping", "view"):
                things[each].close()
            del things[each]
            for number, name in enumerate(sorted(things.keys() - {"mapping"})):
                things[name][number] = step + 1
                assert things[name][number] == step + 1
            assert is_gone() == ("mapping" not in things)
        del hold
        assert (held(), mapped(), own_descriptors()) == ([], [], [])

    def test_a_view_that_is_alone(self) -> None:
        """The mapping of a view that is alone ends with it, and its name has ended before."""
        mapping = namedmap.create(NAME, 1)
        view, gone = mapping.view(), weakref.ref(mapping)
        mapping.close()
        del mapping
        view[0] = 1
        assert is_gone()
        view.close()
        del view
        gc.collect()
        assert gone() is None

    def test_with_an_exception_on_its_way(self) -> None:
        """A view that ends while an exception leaves a function takes the exception with it in no case."""

        def nothing(*_: object) -> None: ...

        def alone(hatch: bool) -> namedmap.View:
            with namedmap.create(NAME, 1) as mapping:
                if hatch:
                    assert mapping.handle
                return mapping.view()

        for hatch in (False, True):
            with pytest.raises(ZeroDivisionError):
                nothing(alone(hatch), 1 / 0)
            assert own_descriptors() == []

    def test_by_the_garbage_collector(self) -> None:
        """A cycle ends as a whole, in whatever order, with the warning that a mapping deserves."""
        for hatch in (False, True):
            mapping = namedmap.create(NAME, 1)
            if hatch:
                assert mapping.handle
            view = mapping.view()
            cycle: list[Any] = [mapping, view, memoryview(view.buf), view.array("u1")]
            cycle.append(cycle)
            del mapping, view, cycle
            with pytest.warns(ResourceWarning, match="unclosed"):
                gc.collect()
            assert (held(), mapped(), own_descriptors()) == ([], [], [])

    def test_finalizers_that_use_the_core(self) -> None:
        """A finalizer makes, hatches and closes objects, and disturbs nothing that is going on."""

        class Late:
            def __del__(self) -> None:
                with namedmap.create("late", 1) as made, made.view() as view:
                    view[0] = 1
                    assert made.handle

        for _ in range(200):
            with namedmap.create(NAME, 1) as mapping:
                cycle: list[Any] = [Late(), mapping.view()]
                cycle.append(cycle)
                del cycle
                gc.collect()
        assert (held(), mapped(), own_descriptors()) == ([], [], [])


class TestLast:
    def test_of_two_processes(self, spawn: Spawn) -> None:
        """The last closer removes the name, whichever it is, with the core or without."""
        for native in "01":
            child = spawn(environment={"NAMEDMAP_NATIVE": native})
            for child_creates, child_last in itertools.product((True, False), (True, False)):
                verbs = ("create('core', 10)", "open('core')")
                theirs, ours = verbs if child_creates else verbs[::-1]
                if child_creates:
                    child.run(f"m = namedmap.{theirs}")
                mapping = eval(f"namedmap.{ours}")
                if not child_creates:
                    child.run(f"m = namedmap.{theirs}")
                with mapping.view() as view:
                    view[3] = 5
                    assert child.value("m.view()[3]") == 5
                for ends_here in (child_last, not child_last):
                    assert len(object_files()) == 1
                    if ends_here:
                        mapping.close()
                    else:
                        child.run("m.close()")
                assert object_files() == []

    @pytest.mark.parametrize("ending", ["pass", "sys.exit(3)", "raise SystemExit", "os.kill(os.getpid(), 15)", "m = 1"])
    @pytest.mark.parametrize("hatched", [True, False])
    def test_at_the_end_of_a_process(self, ending: str, hatched: bool, spawn: Spawn) -> None:
        """Objects that were not closed go at the end, also if a thread is in the middle of the same."""
        child = spawn(f"""
            signal.signal(15, lambda *_: sys.exit(0))
            m = namedmap.create("{NAME}", 10); view = m.view(); kept = namedmap.create("kept", 10); seen = kept.view()
            if {hatched}: m.handle
            def busy():
                while True:
                    with namedmap.create("busy", 1) as made, made.view() as view: view[0] = 1; made.handle
            threading.Thread(target=busy, daemon=True).start()
            say("ready"); hear()
            {ending}
            """)
        assert child.line() == "ready"
        assert not is_gone()
        child.send("")
        child.wait()
        assert [path for path in object_files() if not path.endswith("busy")] == []
        eventually(lambda: is_gone("busy"), "the end of the last object")
        namedmap.create("busy", 1).close()

    @pytest.mark.leaves_dead_files
    def test_a_killed_one_leaves_what_anybody_may_take(self, spawn: Spawn) -> None:
        """The name of a killed holder is free for the core at once, and the memory new."""
        child = spawn(f"m = namedmap.create('{NAME}', 10); m.view()[0] = 1; say(''); hear()")
        child.line()
        child.kill()
        assert is_gone()
        with namedmap.create(NAME, 10) as mapping, mapping.view() as view:
            assert view[0] == 0


_FORK = "fork = ctypes.{}(None).fork\n"


class TestForksInC:
    """A fork that calls no hook of Python: whatever the child does first, it finds that it has forked."""

    @pytest.mark.parametrize("library", ["PyDLL", "CDLL"])
    def test_the_first_use_may_be_any(self, library: str, spawn: Spawn) -> None:
        """The parent keeps name and memory, and the child's end takes neither."""
        uses = "m.view()", "m.handle", "m.close()", "v.close()", "del v", "v[0]", "n.close()", "del w", "list(space)"
        child = spawn(f"""
            from calls.kernel import space
            fork = ctypes.{library}(None).fork
            for hatched in (False, True):
                for use in {uses}:
                    m = namedmap.create("{NAME}", 10); v = m.view(); n = namedmap.create("more", 10); w = n.view()
                    n.close()
                    if hatched: m.handle
                    pid = fork()
                    if not pid:
                        exec(use)
                        w = None
                        sys.exit(0)
                    status = os.waitpid(pid, 0)[1]
                    assert not status, (use, hatched, status)
                    with namedmap.open("{NAME}") as again: assert again.view()[0] == v[0]
                    m.close()
                    assert v[0] == 0 and w[0] == 0
            say("well")
            """)
        assert child.line() == "well"
        assert child.wait() == 0
        assert object_files() == []

    def test_a_lock_that_a_thread_had(self, spawn: Spawn) -> None:
        """A lock of the object manager that another thread of the parent had does not stop the child."""
        child = spawn("""
            from calls.kernel import table
            fork = ctypes.PyDLL(None).fork
            taken, done = threading.Event(), threading.Event()
            def hold():
                with table.lock: taken.set(); done.wait()
            for use in ("m.handle", "m.view(); m.handle", "m.close()", "del v, w", "namedmap.create('x', 1).close()"):
                m, o = namedmap.create("core", 10), namedmap.create("other", 10)
                v, w = m.view(), o.view()
                m.handle
                o.close()
                k = namedmap.create("kept", 10)
                taken.clear(); done.clear()
                thread = threading.Thread(target=hold); thread.start(); taken.wait()
                pid = fork()
                if not pid:
                    exec(use.replace("m.handle", "k.handle")); os._exit(0)
                status = os.waitpid(pid, 0)[1]
                done.set(); thread.join()
                assert not status, (use, status)
                m.close(); k.close(); v = w = None
            say("well")
            """)
        assert child.line() == "well"
        assert child.wait() == 0
        assert object_files() == []


def _last_byte(mapping: namedmap.FileMapping) -> None:
    with mapping.view() as view:
        assert view[4999] == 0


class TestThreads:
    """The core is as safe between threads as the Python code."""

    def test_closing_while_others_hatch_and_map(self, eager_threads: None) -> None:
        """Each thread that comes too late is told that it is closed, and no other error."""

        def attempt(use: Callable[[], object], barrier: threading.Barrier, faults: list[BaseException]) -> None:
            barrier.wait()
            try:
                use()
            except (namedmap.ClosedError, ValueError):  # the latter of one that this program has closed
                pass
            except BaseException as error:
                faults.append(error)

        faults: list[BaseException] = []
        for number in range(150):
            mapping = namedmap.create(NAME, 5000)
            uses: list[Callable[[], object]] = [
                mapping.close,
                functools.partial(getattr, mapping, "handle"),
                functools.partial(_last_byte, mapping),
                functools.partial(list, space),
            ]
            barrier = threading.Barrier(len(uses))
            threads = [threading.Thread(target=attempt, args=(each, barrier, faults)) for each in uses]
            for thread in threads[number % 4 :] + threads[: number % 4]:
                thread.start()
            for thread in threads:
                thread.join()
            assert faults == []
            mapping.close()
        assert (held(), mapped(), own_descriptors()) == ([], [], [])

    def test_one_name(self, eager_threads: None) -> None:
        """Threads create, open, hatch and close one name: it is there, or not, and is never two."""
        faults: list[BaseException] = []

        def busy(number: int) -> None:
            try:
                for step in range(150):
                    with namedmap.open_or_create(NAME, 64) as mapping, mapping.view() as view:
                        if (step + number) % 3 == 0:
                            assert mapping.handle
                        view[number] = step
                        assert view[number] == step
            except BaseException as error:
                faults.append(error)

        threads = [threading.Thread(target=busy, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        assert object_files() == []


class TestSignals:
    def test_a_handler_that_creates_and_closes(self, spawn: Spawn) -> None:
        """A handler may create, hatch and close in the middle of all of these, and close others of the same name."""
        child = spawn("""
            count = 0
            def handler(*_):
                global count
                count += 1
                with namedmap.create(f"other {count}", 100) as m, m.view() as v:
                    v[count % 100] = 1
                    if count % 3 == 0: m.handle
                if kept: kept.pop().close()
                signal.setitimer(signal.ITIMER_REAL, 0.0002)
            kept = []
            with namedmap.create("place", 1) as m, m.view(): m.handle
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.0002)
            step = 0
            while count < 300:
                step += 1
                m = namedmap.open_or_create("same", 100)
                v = m.view()
                v[step % 100] = 1
                if step % 5 == 0: m.handle
                if step % 7 == 0: kept.append(m)
                else: m.close()
                v.close()
            signal.setitimer(signal.ITIMER_REAL, 0)
            while kept: kept.pop().close()
            say("well")
            """)
        assert child.line() == "well"
        assert child.wait() == 0
        assert object_files() == []


class TestClosedDescriptors:
    def test_the_numbers_of_the_lost_go_to_others_of_the_core(self, spawn: Spawn) -> None:
        """An object that os.closerange took harms nobody who got its number, and says what has happened."""
        child = spawn()
        child.run("a, b = namedmap.create('a', 10), namedmap.create('b', 10); view = a.view(); view[0] = 1")
        child.run("os.closerange(3, 256); c, d = namedmap.create('c', 10), namedmap.create('d', 10)")
        child.run("e = namedmap.create('e', 10); f = e.view(); f[0] = 2")
        child.run("try: a.view()\nexcept namedmap.ClosedError as error: text = str(error)")
        assert "os.closerange" in child.value("text")
        child.run("a.close(); view[0] += 1; view.close(); b.close(); del b")
        assert child.value("[namedmap.open(each).size for each in 'cde'], f[0]") == ([10, 10, 10], 2)
        child.run("c.close(); d.close(); e.close(); f.close(); import gc; gc.collect()")
        assert child.end() == 0
        assert object_files() == []

    def test_one_that_is_closed_while_it_is_alone(self, mapping: namedmap.FileMapping) -> None:
        """A hold that has lost its descriptor hatches, closes and ends."""
        fds = [int(entry) for entry in os.listdir("/proc/self/fd") if _link(entry).endswith(f"/{NAME}")]
        view = mapping.view()
        os.close(*fds)
        with pytest.raises(namedmap.ClosedError, match="closed"):
            mapping.view()
        view[0] = 1
        mapping.close()
        view.close()


def _link(entry: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{entry}")
    return ""


class TestInterpreters:
    def test_a_second_interpreter(self) -> None:
        """The core serves one interpreter of a process; another one does without, and neither disturbs the other."""
        output = plain(
            """
            import sys
            try: import _interpreters as interpreters
            except ImportError: import _xxsubinterpreters as interpreters
            import namedmap
            with namedmap.create("place", 1): pass
            mapping = namedmap.create("core", 10)
            view = mapping.view()
            try: second = interpreters.create("legacy")
            except TypeError: second = interpreters.create(isolated=False)
            code = '''
            import sys
            sys.path[:] = {path!r}
            import namedmap
            assert not namedmap.native
            with namedmap.open("core") as mapping, mapping.view() as view: view[1] = 8
            with namedmap.create("second", 10) as mapping: mapping.handle
            '''.format(path=sys.path)
            import textwrap
            failed = interpreters.run_string(second, textwrap.dedent(code))
            assert failed is None, failed
            interpreters.destroy(second)
            assert namedmap.native
            assert view[1] == 8
            mapping.handle
            mapping.close(); view.close()
            print("well")
            """,
            flags=("-W", "ignore"),
        )
        assert output == "well\n"
        assert object_files() == []

    def test_a_second_import(self) -> None:
        """A package that is imported anew does without the core, whose first one goes on."""
        output = plain(
            """
            import sys, namedmap
            assert namedmap.native
            with namedmap.create("place", 1): pass
            first = namedmap.create("core", 10); view = first.view()
            kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("namedmap")}
            import namedmap as second
            print(kept["namedmap"].native, second.native)
            with second.create("other", 10) as other, other.view() as v: v[0] = 1
            first.handle
            first.close(); view.close()
            """
        )
        assert output == "True False\n"
        assert object_files() == []
