"""Do the same things, chosen at random, with the compiled core and without: the outcomes have to be the same.

    PYTHONPATH=tests python -m programs.modes SEED STEPS

prints a line for each step, to be compared with those of another mode (NAMEDMAP_NATIVE=0). Whatever differs between
processes on purpose (addresses, process ids) is not printed.
"""

import contextlib
import gc
import os
import random
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

import namedmap
from calls import object_files, own_descriptors
from namedmap import win32

NAMES = (
    "a",
    "A",
    "Local\\b",
    "Global\\c",
    "with space",
    "50%",
    "ünï",
    "x" * 199,
    "y" * 240,
    "",
    "back\\slash",
    "s/l",
    "\udc80",
)
SIZES = (1, 100, 4096, 4097, 65536, 70_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (1 << 21) + 5, 0, -1)
ACCESS = ("write", "read", "copy", "nonsense")


class Player:
    """A process that has mappings, views and what was made of them, and does something to one of them."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.mappings: list[namedmap.FileMapping] = []
        self.views: list[namedmap.View] = []
        self.others: list[Any] = []

    def step(self) -> str:
        """Do one thing; what came of it."""
        action: Callable[[], object] = self.random.choice(
            (
                *(self.create, self.create, self.open, self.open, self.open_or_create, self.view, self.view, self.view),
                *(self.item, self.part, self.store, self.store_part, self.derive, self.derived, self.look, self.number),
                *(self.close, self.close_view, self.drop),
            )
        )
        try:
            found: object = action()
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        return re.sub(r"0x[0-9a-f]+|process \d+|/\S+", "…", f"{action.__name__} {found}")

    def create(self) -> object:
        name, size, access = self._name(), self._size(), self._access()
        return self._keep(namedmap.create(name, size, access))

    def open(self) -> object:
        return self._keep(namedmap.open(self._name(), self._access()))

    def open_or_create(self) -> object:
        return self._keep(namedmap.open_or_create(self._name(), self._size(), self._access()))

    def view(self) -> object:
        mapping = self.random.choice(self.mappings)
        offset = self.random.choice((0, 0, 0, 1, 4096, 5000, 65536, 65537, 10**9))
        size = self.random.choice((None, None, 1, 4096, 60_000, 1 << 20))
        access = self.random.choice((None, None, *ACCESS))
        self.views.append(mapping.view(offset, size, access))
        return self.views[-1]

    def item(self) -> object:
        return self._view()[self._index()]

    def part(self) -> object:
        return self._view()[self._slice()][:50]

    def store(self) -> None:
        self._view()[self._index()] = self.random.randrange(300)

    def store_part(self) -> None:
        view, key = self._view(), self._slice()
        view[key] = bytes(self.random.choice((len(range(len(view))[key]), 3)))

    def derive(self) -> object:
        view = self._view()
        make: Callable[[namedmap.View], Any] = self.random.choice(
            (lambda view: view.array(), lambda view: memoryview(view.buf))
        )
        self.others.append(make(view))
        return len(self.others[-1])

    def derived(self) -> object:
        other = self.random.choice(self.others)
        other[0] = (int(other[0]) + 1) % 256
        return int(other[0])

    def look(self) -> object:
        mapping = self.random.choice(self.mappings)
        return mapping, mapping.size, mapping.created, mapping.access, mapping.closed

    def number(self) -> object:
        """Handles are numbered as they hatch, which they all do without the core; so they are not printed."""
        handle = self.random.choice(self.mappings).handle
        return win32.GetHandleInformation(handle, win32.DWORD())

    def close(self) -> object:
        mapping = self.random.choice(self.mappings)
        mapping.close()
        return mapping

    def close_view(self) -> object:
        view = self._view()
        view.close()
        return view

    def drop(self) -> None:
        things: list[Any] = self.random.choice([self.mappings, self.views, self.others])
        thing = things.pop(self.random.randrange(len(things)))
        del thing

    def _keep(self, mapping: namedmap.FileMapping) -> object:
        self.mappings.append(mapping)
        return mapping

    def _name(self) -> str:
        return self.random.choice(NAMES)

    def _size(self) -> int:
        return self.random.choice(SIZES)

    def _access(self) -> str:
        return self.random.choice((*["write"] * 8, *ACCESS))

    def _view(self) -> namedmap.View:
        return self.random.choice(self.views)

    def _index(self) -> int:
        return self.random.choice((0, 1, -1, 99, 4095, 4096, 69_999, 10**6, 2**70))

    def _slice(self) -> slice:
        numbers = (None, None, 0, 1, -1, 10, 4095, 4096, 10**7, 2**70)
        return slice(
            self.random.choice(numbers), self.random.choice(numbers), self.random.choice((None, None, 1, 2, -1))
        )


def main() -> None:
    warnings.simplefilter("ignore")
    seed, steps = sys.argv[1:]
    namedmap.create("place", 1).close()
    player = Player(seed)
    for number in range(int(steps)):
        print(number, player.step(), len(object_files()))
    player.mappings.clear()
    player.views.clear()
    print(len(object_files()), end=" ")
    player.others.clear()
    gc.collect()
    print(object_files(), own_descriptors())
    with contextlib.suppress(namedmap.NotFoundError):
        print(namedmap.open("a"), os.listdir("/proc/self/fd"))


if __name__ == "__main__":
    main()
