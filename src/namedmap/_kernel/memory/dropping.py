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
from namedmap._kernel.memory.section import Section
from namedmap._kernel.memory.space import space
from namedmap._kernel.memory.views import map_section
from namedmap._mapped import MappedMemory

_dropped: collections.deque[int] = collections.deque()


def map_memory(section: Section, granted: int, offset: int, size: int, protect: int) -> MappedMemory:
    """Map bytes at any offset through a handle of so much access; takes over the caller's reference."""
    if _dropped:
        _unmap_dropped()
    start = offset % GRANULARITY
    view = map_section(section, granted, offset - start, size + start, protect)
    wanted = protection.TABLE[protect]
    return MappedMemory(view.base, start, size, drop, writable=wanted.writes or wanted.copies)


def copy_memory(address: int, size: int) -> MappedMemory:
    """A copy-on-write view of what a view shows at an address."""
    if _dropped:
        _unmap_dropped()
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


def drop(address: int) -> None:
    """Unmap a view that nobody has any more: now, or with the next one if this is the middle of something."""
    _dropped.append(address)
    _unmap_dropped()


def _unmap_dropped() -> None:
    """Unmap what could not be unmapped when it was dropped."""
    if not ours[0]:
        look()
    # Not `space.lock`: the views of the compiled core, which it asks for, would take a lock while this thread may have
    # another one.
    lock: Any = space.own_lock
    while _dropped and not lock._is_owned() and lock.acquire(blocking=False):
        try:
            space.unmap_view(_dropped.popleft())
        except (IndexError, KernelError):
            continue
        finally:
            lock.release()
