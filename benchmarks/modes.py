"""namedmap with the compiled core and without it: a process for each of the two, which measures what it is told to.

A process has the core, or has it not, from its first import on. So the rows of both come from workers, whose rounds are
interleaved with those of the peers in this process. Each has a NAMEDMAP_ROOT of its own, and with it objects of its
own: a process without the core would else slow down the other one's.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import report
from partners import Partner
from rounds import Subject, Took, subject

WITH, WITHOUT = "with the core", "without the core"

#: Makes a subject of a name in the worker; the stack is closed when the subject is no longer needed.
Maker = Callable[..., Subject]


@dataclass(frozen=True)
class Mode:
    """One of the two: its name, and the environment of its processes."""

    name: str
    environment: dict[str, str]

    def row(self, what: str) -> str:
        """The name of a row of it."""
        return f"{what}, {self.name}"

    @contextlib.contextmanager
    def chosen(self) -> Iterator[None]:
        """Processes that are started meanwhile are of this mode."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


class Worker:
    """A process of a mode."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self._keys = itertools.count()
        with mode.chosen():
            self._process = Partner(_work, daemon=False)
        self.has_core: bool = self._process.answer()

    def subject(self, stack: contextlib.ExitStack, name: str, maker: Maker, *arguments: object) -> Subject:
        """A subject that `maker(stack, name, *arguments)` makes there."""
        key, row = next(self._keys), self.mode.row(name)
        self._ask("make", key, row, maker, arguments)
        stack.callback(self._ask, "drop", key)

        def timed(repeat: int) -> Took:
            took: Took = self._ask("time", key, repeat)
            return took

        return Subject(row, timed)

    def _ask(self, *request: object) -> Any:
        self._process.send(request)
        return self._process.answer()

    def end(self) -> None:
        self._process.end()


class Modes(tuple[Worker, ...]):
    """The workers: one or two."""

    __slots__ = ()

    def subjects(self, stack: contextlib.ExitStack, name: str, maker: Maker, *arguments: object) -> list[Subject]:
        """One for each mode."""
        return [worker.subject(stack, name, maker, *arguments) for worker in self]


def cycle(stack: contextlib.ExitStack, name: str, make: Callable[[], Callable[[], object]]) -> Subject:
    """The maker of a subject that is one function."""
    return subject(name, make())


def modes(root: Path) -> Sequence[Mode]:
    """Both, with directories for them in `root`; without the core alone, where NAMEDMAP_NATIVE=0 turns it off."""
    found = []
    for name, native in ((WITH, "1"), (WITHOUT, "0")):
        if name == WITH and os.environ.get("NAMEDMAP_NATIVE") == "0":
            report.omit("the rows with the compiled core, which NAMEDMAP_NATIVE=0 turns off.")
            continue
        directory = root / name.split()[0]
        directory.mkdir(0o700, exist_ok=True)
        found.append(Mode(name, {"NAMEDMAP_NATIVE": native, "NAMEDMAP_ROOT": str(directory)}))
    return found


@contextlib.contextmanager
def opened(root: Path) -> Iterator[Modes]:
    """The workers of both; without the one of the core, where there is none."""
    with contextlib.ExitStack() as stack:
        workers = []
        for mode in modes(root):
            worker = Worker(mode)
            stack.callback(worker.end)
            if mode.name == WITH and not worker.has_core:
                report.omit("the rows with the compiled core, which is not there: `namedmap doctor` tells why.")
            else:
                workers.append(worker)
        yield Modes(workers)


def _work(connection: Connection) -> None:
    """The worker: make subjects, time them, drop them."""
    import namedmap

    connection.send(namedmap.native)
    made: dict[int, tuple[Subject, contextlib.ExitStack]] = {}
    try:
        while True:
            request, key, *arguments = connection.recv()
            if request == "make":
                name, maker, more = arguments
                stack = contextlib.ExitStack()
                made[key] = maker(stack, name, *more), stack
                connection.send(None)
            elif request == "time":
                connection.send(made[key][0].timed(*arguments))
            else:
                made.pop(key)[1].close()
                connection.send(None)
    finally:
        for _, stack in made.values():
            stack.close()
