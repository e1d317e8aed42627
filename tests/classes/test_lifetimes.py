"""Lifetimes: an object lives as long as anybody has it, in whatever process, and goes with the last holder."""

import gc
import os
import pickle
import threading
from typing import Any

import pytest

import namedmap
from child import forked
from classes.capabilities import Capability, needs
from classes.conftest import Keep, Second
from classes.each import each_kind
from classes.kinds import Kind, free
from namedmap import Event, Mutex, Semaphore

NAME = "classes.lifetimes"


class TestLast:
    @each_kind
    def test_the_name_goes_with_the_last_holder(self, kind: Kind, keep: Keep) -> None:
        """Its maker does not count for more than its openers."""
        first = keep(kind.create(NAME))
        others = [keep(kind.open(NAME)), keep(kind.open_or_create(NAME))]
        for each in (first, *others):
            assert not free(NAME)
            each.close()
        assert free(NAME)

    @each_kind
    def test_in_whatever_process(self, kind: Kind, second: Second, keep: Keep) -> None:
        """A second process keeps it when the first has closed it, and the other way round."""
        child = second()
        made = keep(kind.create(NAME))
        child.run(f"held = kind({kind.name!r}).open({NAME!r})")
        made.close()
        assert not free(NAME)
        again = keep(kind.open(NAME))
        child.run("held.close()")
        assert not free(NAME)
        again.close()
        assert free(NAME)

    @each_kind
    def test_with_its_last_reference(self, kind: Kind) -> None:
        """An object that nobody refers to any more is closed. (A mapping says so in development mode.)"""
        made = kind.create(NAME)
        made.came_with_view = True  # which nobody is bound to close
        del made
        gc.collect()
        assert free(NAME)

    @pytest.mark.parametrize("ending", ["pass", "sys.exit(3)", "raise SystemExit"])
    @each_kind
    def test_a_process_that_ends(self, kind: Kind, ending: str, second: Second) -> None:
        """It closes everything."""
        child = second(
            script=f"held = kind({kind.name!r}).create({NAME!r})\nsay('there')\nsys.stdin.readline()\n{ending}"
        )
        assert child.line() == "there"
        assert not free(NAME)
        child.send("")
        child.wait()
        assert free(NAME)

    @pytest.mark.leaves_dead_files
    @each_kind
    def test_a_process_that_is_killed(self, kind: Kind, second: Second, keep: Keep) -> None:
        """The name is free for a new object, of any kind, which has nothing of the old one."""
        child = second()
        child.run(f"held = kind({kind.name!r}).create({NAME!r})")
        assert not free(NAME)
        child.kill()
        assert free(NAME)
        assert keep(kind.create(NAME)).created

    @pytest.mark.leaves_dead_files
    @each_kind
    def test_a_holder_that_is_killed_takes_it_from_nobody(self, kind: Kind, second: Second, keep: Keep) -> None:
        """Others who have it keep it."""
        child = second()
        child.run(f"held = kind({kind.name!r}).create({NAME!r})")
        found = keep(kind.open(NAME))
        child.kill()
        assert not keep(kind.open_or_create(NAME)).created
        assert not found.closed


class TestMemory:
    def test_is_zero_when_it_is_new(self, keep: Keep) -> None:
        """All bytes are zero, whatever was in the last one of this name."""
        for _ in range(2):
            with namedmap.create(NAME, 100_000) as mapping, mapping.view() as view:
                assert not any(view.buf)
                view[:] = bytes([255]) * 100_000

    @pytest.mark.leaves_dead_files
    def test_is_zero_after_a_kill(self, second: Second, keep: Keep) -> None:
        child = second()
        child.run(f"held = namedmap.create({NAME!r}, 5000); view = held.view(); view[:] = b'x' * 5000")
        child.kill()
        assert not any(keep(namedmap.create(NAME, 5000)).view().buf)

    def test_is_shared(self, second: Second, keep: Keep) -> None:
        """Bytes that one process stores the other reads."""
        child = second()
        view = keep(keep(namedmap.create(NAME, 5000)).view())
        child.run(f"held = namedmap.open({NAME!r}); view = held.view()")
        view[10:13] = b"abc"
        assert child.value("view[10:13]") == b"abc"
        child.run("view[4999] = 77")
        assert view[4999] == 77
        child.run("view.close(), held.close()")

    def test_outlives_its_name(self, second: Second, keep: Keep) -> None:
        """A view keeps the memory, but not the name, which is free for another object."""
        child = second()
        child.run(f"held = namedmap.create({NAME!r}, 10); view = held.view(); view[:] = b'0123456789'; held.close()")
        assert free(NAME)
        with namedmap.create(NAME, 10) as other, other.view() as view:
            view[:] = b"abcdefghij"
        assert child.value("view[:]") == b"0123456789"

    def test_outlives_its_view(self) -> None:
        """A memoryview or a structure keeps it, when mapping and view are closed."""
        import ctypes

        with namedmap.create(None, 16) as mapping, mapping.view() as view:
            view[:] = bytes(range(16))
            bytes_, number = view.buf, view.overlay(ctypes.c_uint16, 4)
        del view
        gc.collect()
        assert bytes(bytes_) == bytes(range(16))
        assert number.value == 0x0504

    @needs(Capability.EXACT_SIZES)
    @pytest.mark.parametrize("size", [1, 4095, 4097, 100_001])
    def test_has_the_size_that_was_asked_for(self, size: int, second: Second, keep: Keep) -> None:
        """To the byte, in every process."""
        made = keep(namedmap.create(NAME, size))
        child = second()
        child.run(f"held = namedmap.open({NAME!r}); found = held.size, len(held.view()); held.close()")
        assert (made.size, len(made), child.value("found")) == (size, size, (size, size))

    @pytest.mark.parametrize("size", [1, 4096, 4097, 100_001])
    def test_is_opened_with_its_size(self, size: int, second: Second, keep: Keep) -> None:
        """An opener that says the size has it everywhere, also where the system tells openers a rounded one."""
        keep(namedmap.create(NAME, size))
        child = second()
        child.run(f"held = namedmap.open({NAME!r}, size={size}); found = held.size, len(held.view()); held.close()")
        assert child.value("found") == (size, size)

    @pytest.mark.parametrize("wrong", [0, -1, 100_000 + 4096, 1, 1 << 64])
    def test_is_not_opened_with_another_size(self, wrong: int, keep: Keep) -> None:
        """BadValueError, which says the one that it has; nothing is held then."""
        made = keep(namedmap.create(NAME, 100_000))
        with pytest.raises(namedmap.BadValueError, match=r"10\d,\d{3} bytes"):
            namedmap.open(NAME, size=wrong)
        made.close()
        assert free(NAME)

    def test_keeps_its_size_in_a_pickle(self, second: Second, keep: Keep) -> None:
        """It goes along with the name; if another object has the name by now, that is opened."""
        made = keep(namedmap.create(NAME, 5001))
        data = pickle.dumps(made)
        child = second()
        child.run(f"import pickle; held = pickle.loads({data!r}); found = held.size; held.close()")
        assert child.value("found") == 5001
        made.close()
        keep(namedmap.create(NAME, 65536))
        assert keep(pickle.loads(data)).size == 65536


class TestSent:
    def test_by_a_pickle(self, second: Second, keep: Keep) -> None:
        """An unnamed mapping goes to any process of the user, with its size; it outlives its sender there."""
        sender, receiver = second(), second()
        sender.run("import pickle; held = namedmap.create(None, 5001); held.view()[:3] = b'abc'")
        receiver.run(f"import pickle; held = pickle.loads({sender.value('pickle.dumps(held)')!r})")
        sender.kill()
        assert receiver.value("held.size, held.view()[:3]") == (5001, b"abc")
        receiver.run("held.close()")

    @pytest.mark.parametrize("late", ["closed", "killed"])
    def test_too_late(self, late: str, second: Second, keep: Keep) -> None:
        """NotFoundError, which says what to do, when the sender has closed it or ended; nothing else is received."""
        sender = second()
        sender.run("import pickle; held = namedmap.create(None, 100); data = pickle.dumps(held)")
        data = sender.value("data")
        if late == "killed":
            sender.kill()
        else:
            sender.run("held.close(); others = [namedmap.create(None, 100) for _ in range(20)]")
        with pytest.raises(namedmap.NotFoundError, match="give it a name"):
            pickle.loads(data)
        if late == "closed":
            sender.run("for each in others: each.close()")

    def test_an_unnamed_mapping_to_a_new_process(self, second: Second) -> None:
        """It goes along with the arguments of a process that is started."""
        child = second()
        child.run("from classes import sent; held = namedmap.create(None, 100)")
        assert child.value("sent.started('spawn', 'store', held, 7)") == 0
        assert child.value("held.view()[7]") == 42
        child.run("held.close()")

    @pytest.mark.parametrize(
        "method",
        [
            "spawn",
            pytest.param("fork", marks=needs(Capability.FORK)),
            pytest.param("forkserver", marks=needs(Capability.FORK)),
        ],
    )
    def test_named_ones_to_a_new_process(self, method: str, second: Second) -> None:
        """However it is started."""
        child = second()
        child.run("from classes import sent")
        child.run("m, s, e = Mutex('m'), Semaphore('s'), Event('e'); held = namedmap.create('f', 100)")
        assert child.value(f"sent.started({method!r}, 'use', held, m, s, e)") == 0
        assert child.value("held.view()[0], s.value, e.is_set(), m.locked()") == (1, 0, True, False)
        child.run("held.close()")

    @pytest.mark.parametrize("cls", [Mutex, Semaphore, Event])
    def test_what_has_no_name_cannot_go(self, cls: Any, keep: Keep) -> None:
        with pytest.raises(TypeError, match="name"):
            pickle.dumps(keep(cls()))


class TestForked:
    @needs(Capability.FORK)
    @each_kind
    def test_a_fork_is_a_holder(self, kind: Kind, keep: Keep) -> None:
        """The child has what the parent had, and keeps it when the parent closes it."""
        made, (told, tell) = keep(kind.create(NAME)), os.pipe()

        def body() -> None:
            os.close(tell)
            os.read(told, 1)
            assert not made.closed
            made.close()

        with forked(body):
            made.close()
            assert not free(NAME)
            os.close(tell)
        os.close(told)
        assert free(NAME)

    @needs(Capability.FORK)
    def test_a_fork_shares_the_memory(self, keep: Keep) -> None:
        """Views stay views of the same memory; a copy stays the process's own."""
        mapping = keep(namedmap.create(None, 100))
        shared, private = mapping.view(), mapping.view(access="copy")

        def body() -> None:
            shared[0], private[1] = 5, 6

        with forked(body):
            pass
        assert (shared[0], private[1]) == (5, 0)

    @needs(Capability.FORK)
    def test_a_fork_owns_nothing(self, keep: Keep) -> None:
        """A mutex stays its owner's: the child has to wait for it like anybody."""
        mutex = keep(Mutex(NAME))

        def body() -> None:
            assert not mutex.owned()
            assert not mutex.acquire(0)

        with mutex, forked(body):
            assert mutex.owned()


class TestInherited:
    @pytest.mark.leaves_dead_files
    @pytest.mark.parametrize("inheritable", [True, False])
    def test_by_children_that_inherit(self, inheritable: bool, second: Second, keep: Keep) -> None:
        """A child that is started with close_fds=False has what was made inheritable, under the same number."""
        made = keep(namedmap.create(NAME, 10, inheritable=inheritable))
        child = second(inherit=True)
        child.run("import namedmap.win32; namedmap.win32.GetCurrentProcessId()")
        made.close()
        assert free(NAME) == (not inheritable)
        child.kill()
        assert free(NAME)


class TestThreads:
    @each_kind
    def test_the_verbs_in_a_race(self, kind: Kind, keep: Keep) -> None:
        """Of many that create one name at the same time one succeeds, and all others find its object."""
        barrier, made, refused = threading.Barrier(8), [], []

        def race() -> None:
            barrier.wait()
            try:
                made.append(kind.create(NAME))
            except FileExistsError:
                refused.append(1)

        threads = [threading.Thread(target=race) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert (len(made), len(refused)) == (1, 7)
        keep(made[0])

    @each_kind
    def test_an_object_outlives_its_thread(self, kind: Kind, keep: Keep) -> None:
        """Handles belong to the process."""
        made: list[Any] = []
        thread = threading.Thread(target=lambda: made.append(kind.create(NAME)))
        thread.start()
        thread.join()
        keep(made[0])
        assert not free(NAME)
