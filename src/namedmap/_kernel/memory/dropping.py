"""Views that Python objects have, and that are unmapped when nobody has them any more.

The last reference may go anywhere, by the garbage collector or in a signal handler: while this thread looks for a
region, or while another one waits for a lock that this one holds. Then the view is unmapped a little later.
"""

import collections
from typing import Any

from namedmap._convention.status import KernelError
from namedmap._kernel.linux import protection
from namedmap._kernel.linux.lineage import look, ours
from namedmap._kernel.memory.arena import GRANULARITY
from namedmap._kernel.memory.space import space
from namedmap._mapped import MappedMemory

#: Addresses of views that could not be unmapped when they were dropped.
dropped: collections.deque[int] = collections.deque()


def copy_memory(address: int, size: int) -> MappedMemory:
    """A copy-on-write view of what a view shows at an address."""
    if dropped:
        drop()
    with space.lock:
        view = space.view(address)
        offset = view.offset + address - view.base
        start = offset % GRANULARITY
        section = view.section.retain()
        try:
            base = space.map_view(section, offset - start, size + start, protection.WRITECOPY).base
        except BaseException:
            section.release()
            raise
    return MappedMemory(base, start, size, drop, writable=True)


def drop(*addresses: int) -> None:
    """Unmap views that nobody has any more, now, or with the next one if this is the middle of something.

    Without an address: unmap what could not be unmapped when it was dropped.
    """
    dropped.extend(addresses)
    if not ours[0]:
        look()
    # Not `space.lock`: the views of the compiled core, which it asks for, would take a lock while this thread may have
    # another one.
    lock: Any = space.own_lock
    while dropped and not lock._is_owned() and lock.acquire(False):
        try:
            section = space.take_out(dropped.popleft())
        except (IndexError, KernelError):
            continue
        finally:
            lock.release()
        section.release()
