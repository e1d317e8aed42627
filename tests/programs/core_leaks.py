"""Do the same many times over, and look what stays: memory, references, descriptors, mappings, names.

    PYTHONPATH=tests python -m programs.core_leaks [CYCLES]

A cycle uses each way through the compiled core (or the Python code, with NAMEDMAP_NATIVE=0) once. The end of a round is
compared with that of the round before; a cycle may leave nothing, so a million of them leave no more than a thousand.
"""

import gc
import itertools
import os
import sys
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import namedmap
from calls import object_files
from calls.core import held, mapped
from calls.kernel import named, space, table


def plain() -> None:
    """Created, seen, sliced, closed."""
    with namedmap.create("leak", 5000) as mapping, mapping.view() as view:
        view[0] = view[1]
        view[10:14] = view[4096:4100]


def opened() -> None:
    """The same of an object that is there, by a process that has it already."""
    with namedmap.open("kept") as mapping, mapping.view(access="read") as view:
        assert view[0] == 1
        assert not view[1:3].strip(b"\0")


def hatched() -> None:
    """Asked for its number."""
    with namedmap.create("leak", 5000) as mapping, mapping.view(4097) as view:
        assert mapping.handle
        assert list(space)
        view[0] = 1


def outlived() -> None:
    """A memoryview has it last."""
    with namedmap.create("leak", 5000) as mapping:
        view = mapping.view()
    seen = memoryview(view.buf)
    view.close()
    del mapping, view
    seen[0] = 1


_numbers = itertools.count()


def collected() -> None:
    """A cycle that nobody has."""
    number = next(_numbers) % 100
    if number % 50 == 0:
        gc.collect()
    mapping: Any = namedmap.create(f"leak {number}", 5000)
    mapping.itself = mapping
    mapping.seen = mapping.view()


def refused() -> None:
    """Errors of many kinds."""
    with namedmap.create("leak", 5000) as mapping, mapping.view(access="read") as view:
        calls: tuple[Callable[[], object], ...] = (
            lambda: namedmap.create("leak", 1),
            lambda: namedmap.open("nobody's"),
            lambda: namedmap.create("\udc80", 1),
            lambda: mapping.view(6000),
            lambda: view[5000],
            lambda: view["x"],  # type: ignore[index]
            lambda: view.__setitem__(0, 1),
            lambda: view[0 : 2 : 10**30],
        )
        for call in calls:
            try:
                call()
            except (namedmap.Error, ValueError, TypeError, IndexError, UnicodeError):
                continue


WAYS = plain, opened, hatched, outlived, collected, refused


def state() -> dict[str, float]:
    """Everything that could have grown."""
    gc.collect()
    with open("/proc/self/maps", encoding="utf-8") as lines:
        maps = sum(1 for _ in lines)
    with open("/proc/self/statm", encoding="utf-8") as file:
        resident = int(file.read().split()[1]) * 4096
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "mappings of memory": maps,
        "resident bytes": resident,
        "bytes of Python": tracemalloc.get_traced_memory()[0],
        "references to None": sys.getrefcount(None),
        "references to True": sys.getrefcount(True),
        "references to View": sys.getrefcount(namedmap.View),
        "references to ()": sys.getrefcount(()),
        "objects of the collector": len(gc.get_objects()),
        "handles": len(table.entries()),
        "holders": len(named.holders) + len(named.registry) + len(held()) + len(mapped()),
        "files": len(object_files()),
    }


#: How far a state may be from the one before, whatever the number of cycles. Allocators and caches keep some memory.
TOLERANCE = {"resident bytes": 4 << 20, "bytes of Python": 600_000, "mappings of memory": 8}


def main() -> int:
    warnings.simplefilter("ignore")
    cycles = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
    with tempfile.TemporaryDirectory(dir="/dev/shm") as root:
        os.chmod(root, 0o1777)
        os.environ["NAMEDMAP_ROOT"] = root
        faults = look(cycles)
    print("grown:", faults)
    return 1 if faults else 0


def look(cycles: int) -> list[str]:
    """Do each as often; what has grown by that."""
    faults: list[str] = []
    with namedmap.create("kept", 10) as kept, kept.view() as view:
        view[0] = 1
        for way in WAYS:
            for _ in range(500):
                way()
            tracemalloc.start()
            way()
            before = state()
            for _ in range(cycles // len(WAYS)):
                way()
            after = state()
            tracemalloc.stop()
            grown = {each: after[each] - before[each] for each in before}
            print(way.__name__, {each: by for each, by in grown.items() if by}, flush=True)
            faults += [f"{way.__name__}: {each}" for each, by in grown.items() if by > TOLERANCE.get(each, 30)]
    return faults


if __name__ == "__main__":
    sys.exit(main())
