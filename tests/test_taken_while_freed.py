"""A thread takes a mutex at the moment at which another closes the last handle to it."""

import contextlib

from calls.kernel import KernelError, named, table, thread
from namedmap import Mutex


class TestTakenWhileFreed:
    def test_leaves_nothing_in_the_registry(self) -> None:
        """A call that comes after the last reference has gone is refused; nothing of the object stays."""
        x = Mutex("freed")
        held = table.get(x.handle).object
        outcomes = []
        free = held._free

        def take_then_free() -> None:
            # Where a thread that has just called `acquire` comes in between.
            try:
                outcomes.append(held.take(thread.owner))
            except KernelError as error:
                outcomes.append("closed by another thread" in error.detail)
            free()

        held._free = take_then_free
        x.close()
        del held._free
        assert outcomes == [True]
        assert held not in named.holders
        assert held not in named.registry.values()
        with contextlib.closing(Mutex("freed")) as again:
            assert again.created
            assert again.acquire(timeout=0)
            again.release()
