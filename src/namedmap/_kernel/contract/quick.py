"""Memory by name through the compiled core: the common cases, and how a hold of the core becomes a section.

`create` and `open` return None where the Python code has to do it: there is no core, or something is in the way.
"""

import os
import random

from namedmap._convention.status import KernelError
from namedmap._kernel.contract.sectionhandle import SectionHandle
from namedmap._kernel.linux import compiled, descriptors, limits, lineage, locks
from namedmap._kernel.linux.compiled import Hold
from namedmap._kernel.memory import arena, dropping
from namedmap._kernel.memory.section import Section
from namedmap._kernel.memory.space import View, space
from namedmap._kernel.names import controlpage, names, namespace, objectfile
from namedmap._kernel.names.names import SHORT, ObjectName
from namedmap._kernel.names.objectfile import ObjectFile
from namedmap._kernel.objects import description, kernelobject, named
from namedmap._kernel.objects.table import table

_core = compiled.core
#: Whether there is a core.
there = _core is not None

#: Path, name, and the name as the control page has it.
_Way = tuple[bytes, ObjectName, bytes]
#: The ways to objects, by their names as callers write them. None: the core knows no way.
_ways: dict[str, _Way | None] = {}
_MOST_WAYS = 10_000


def create(name: str, size: int, protect: int, granted: int) -> Hold | None:
    """New memory of this name, private to the user."""
    if _core is None or name.__class__ is not str or not limits.within_credit(size):
        return None
    way = _ways[name] if name in _ways else _find_way(name)
    return None if way is None else _core.create(*way, granted, size, protect)


def open(name: str, granted: int) -> Hold | None:
    """The memory of this name, unless this process has it."""
    if _core is None or name.__class__ is not str:
        return None
    way = _ways[name] if name in _ways else _find_way(name)
    return None if way is None else _core.open(*way, granted)


def _find_way(name: str) -> _Way | None:
    if len(name) > SHORT:
        return None
    way = None
    try:
        parsed = names.of_existing(name)
        if not parsed.is_global:
            way = os.fsencode(namespace.current().path(parsed)), parsed, parsed.leaf.encode()
    except (KernelError, UnicodeEncodeError):  # the Python code finds out what is wrong
        return None
    if len(_ways) >= _MOST_WAYS:
        _ways.clear()
    _ways[name] = way
    return way


# -- hatching ----------------------------------------------------------------------------------------------------------


def _hatch(hold: Hold) -> None:
    """Make a section and a handle of the Python code of a hold, which leads to them from now on."""
    if not lineage.ours[0]:
        lineage.look()
    with kernelobject.lock:
        # A handler, or a thread, may close the hold meanwhile, or hatch it.
        while (state := hold.state()) is not None:
            fd, path, name, made, key, head, text, file_size, granted, uid, mode, handles = state
            info = os.stat_result((mode, key[1], key[0], 1, uid, -1, 0, 0, 0, 0))
            file = ObjectFile.held(Section, name, fd, os.fsdecode(path), info, made=bool(made))
            section = Section(file, controlpage.decode(head, text, file_size))
            handle = SectionHandle(section, granted, 0, table.reserve() if handles else 0)
            if not hold.become(section, handle, fd, handles) and handles:
                table.give_back(handle.value)


def _hatch_holds() -> None:
    for hold in [] if _core is None else _core.holds():
        _hatch(hold)


def _hatch_views() -> None:
    with space.own_lock:
        for mapped in [] if _core is None else _core.views():
            base, length, protect, handle, offset = mapped.region()
            space.adopt(View(base, length, protect, handle.object, offset))
            mapped.hand_over()


def _resume() -> None:
    if _core is not None:
        _ways.clear()
        _core.resume(description.slot, locks.number())


def install() -> None:
    """Called once, when the object manager is imported."""
    if _core is None:
        return
    first = arena.START // 2 + random.SystemRandom().randrange(1 << 27) * arena.GRANULARITY
    _core.configure(
        lineage.ours,
        objectfile.in_flight,
        named.registry,
        named.holders,
        descriptors.kept,
        table.by_value,
        _hatch,
        dropping.drop,
        lineage.look,
        first,
        arena.START,
    )
    compiled.hatch_holds, compiled.hatch_views = _hatch_holds, _hatch_views
    compiled.pause, compiled.resume = _core.pause, _resume
    _resume()
