"""Call the entry points of the compiled core with arguments that make no sense; none may end the interpreter.

    PYTHONPATH=tests python -m programs.core_fuzz [--seed N] [--processes N] [--seconds N]

They are private, and what they do with wrong arguments is nobody's business, except for this. A call may raise what it
likes. Each process has a place for objects of its own and is judged by its end alone; its seed repeats it.
"""

import argparse
import contextlib
import faulthandler
import gc
import importlib
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import types
import warnings
from typing import Any

#: Calls of one process: after them its state may be any.
CALLS = 3000


class Number:
    """It has an index, and something happens when it is asked for."""

    def __init__(self, value: int, action: Any) -> None:
        self.value, self.action = value, action

    def __index__(self) -> int:
        with contextlib.suppress(Exception):
            self.action()
        return self.value


class Rude:
    """It raises, whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __index__(self) -> int:
        raise RuntimeError("index")

    __hash__ = __eq__ = __index__  # type: ignore[assignment]


class Acting:
    """A section, a handle or memory that does something when it is asked for what it has."""

    def __init__(self, action: Any) -> None:
        self._action = action

    @property
    def value(self) -> int:
        with contextlib.suppress(Exception):
            self._action()
        return 8

    def buffer(self) -> Any:
        with contextlib.suppress(Exception):
            self._action()
        return memoryview(bytearray(10))


class Fuzzer:
    """Things of the core, and arguments for them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.native = importlib.import_module("namedmap._native")
        self.things: list[Any] = []
        self.root = os.environ["NAMEDMAP_ROOT"]

    def unconfigured(self) -> None:
        """Before anybody has told it what it works with."""
        for _ in range(200):
            with contextlib.suppress(Exception):
                self._keep(self._function())
        for _ in range(200):  # as many as it takes, some of them right
            given = [self._value() for _ in range(11)]
            for at, right in enumerate((bytearray(1), set(), {}, set(), {}, {})):
                if self.random.random() < 0.9:
                    given[at] = right
            given[9:] = self._number(), self._number()
            with contextlib.suppress(Exception):
                self.native.configure(*given)
        for _ in range(400):
            with contextlib.suppress(Exception):
                self._keep(self._function())

    def configured(self) -> None:
        """In a package that uses it."""
        package: Any = importlib.import_module("namedmap")
        package.create("place", 1).close()
        quick: Any = importlib.import_module("calls.kernel").compiled
        for _ in range(CALLS):
            self._replenish(package)
            with contextlib.suppress(Exception):
                self._call()
            if self.random.random() < 0.02:
                gc.collect()
            with contextlib.suppress(Exception):
                quick.resume()

    def _replenish(self, package: Any) -> None:
        while len(self.things) < 12:
            with contextlib.suppress(Exception):
                mapping = package.create(f"n{self.random.randrange(10**9)}", self.random.choice((1, 5000, 70_000)))
                mapping.came_with_view = True
                view = mapping.view()
                self.things += [mapping._section, view._memory, view, self.native.Window()]
                continue
            self.things.append(self.native.Window())
        if self.random.random() < 0.1:
            kind = self.random.choice((package.Mutex, package.Semaphore, package.Event))
            self.things.append(kind(f"n{self.random.randrange(10**9)}"))
        while len(self.things) > 40:
            self.things.pop(self.random.randrange(len(self.things)))

    def _keep(self, found: Any) -> None:
        kinds = (self.native.Hold, self.native.Mapped, self.native.Window, self.native.Latch, memoryview)
        self.things += [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, kinds)]

    def _function(self) -> Any:
        """A function of the core with arguments, most of them as many as it takes."""
        names = "configure resume pause create create open open holds views know_thread know_threads quicken"
        name = self.random.choice(names.split())
        given = self._arguments(_ARITIES[name])
        path = f"{self.root}/namedmap-{os.getuid()}/{self.random.randrange(5)}".encode()
        for at, right in enumerate((path, "name", b"text", 0xF001F, 5000, 4) if name in ("create", "open") else ()):
            if at < len(given) and self.random.random() < 0.8:
                given[at] = right
        return getattr(self.native, name)(*given)

    def _call(self) -> None:
        thing, choice = self.random.choice(self.things), self.random.randrange(20)
        if choice < 4:
            self._keep(self._function())
        elif choice < 12:
            methods = [name for name in dir(type(thing)) if name in _ARITIES]
            if methods:
                self._keep(self._method(thing, self.random.choice(methods)))
        elif choice < 14:
            self._keep(memoryview(thing))
        elif choice < 15:
            thing.acquire(timeout=self.random.choice((0, 0.0, -1, "x", Number(0, self._action()))))
        elif choice < 17:
            _ = thing[self._key()]
        elif choice < 19:
            thing[self._key()] = self.random.choice((b"x", b"12345", 7, self._value()))
        elif self.random.random() < 0.3:
            name = self.random.choice(("x", "fd", "section", "__class__", "_held", "abandoned"))
            setattr(thing, name, self._value())
        else:
            _ = getattr(thing, self.random.choice(("value", "object", "constant_size", "may_vanish", "address", "buf")))

    def _method(self, thing: Any, name: str) -> Any:
        given = self._arguments(_ARITIES[name])
        if name == "become" and self.random.random() < 0.8:
            state = thing.state()
            given[2:] = (state[0], state[-1]) if state else (-1, 1)
            if self.random.random() < 0.5:
                given[:2] = types.SimpleNamespace(), self.random.choice(self.things)
        if name == "map" and self.random.random() < 0.8:
            given = [
                (2, self._number(), 0) if self.random.random() < 0.3 else (2, 4, 0),
                self._number(),
                self._number(),
            ]
        return getattr(thing, name)(*given)

    def _arguments(self, arity: int) -> list[Any]:
        return [self._value() for _ in range(arity if self.random.random() < 0.9 else self.random.randrange(12))]

    def _number(self) -> Any:
        exact = self.random.choice(
            (0, 1, 2, 4, 5, 8, 4096, 65536, -1, -(2**31), 2**31, 2**32 + 4, 2**62, 2**63, -(2**64))
        )
        if self.random.random() < 0.8 or not self.things:
            return exact
        return Number(exact, self._action())

    def _action(self) -> Any:
        thing = self.random.choice(self.things)
        return self.random.choice(
            (
                getattr(thing, "close", gc.collect),
                lambda: thing.value,
                lambda: thing._look_at(None),
                lambda: thing._look_at(Acting(gc.collect)),
                self.things.clear,
            )
        )

    def _key(self) -> Any:
        if self.random.random() < 0.5:
            return slice(self._number(), self._number(), self.random.choice((None, 1, self._number())))
        return self._number()

    def _value(self) -> Any:
        choice = self.random.randrange(16)
        if choice < 4:
            return self._number()
        if choice < 6 and self.things:
            return self.random.choice(self.things)
        if choice == 6:
            return types.SimpleNamespace(handle_count=0, _references=0, value=self._number(), map=print)
        if choice == 7 and self.things:
            return Acting(self._action())
        return self.random.choice(
            (
                None,
                "text",
                b"/" + b"x" * 300,
                f"{self.root}/file".encode(),
                bytearray(b"1"),
                bytearray(),
                b"nul\0l",
                (),
                (1, 4),
                (None, self._number(), 3),
                {},
                set(),
                [],
                1.5,
                True,
                Rude(),
                memoryview(b"123456")[::2],
                print,
                self.native.Window(),
                slice(1, 2),
                object,
            )
        )


#: How many arguments the functions and methods of the core take.
_ARITIES = {"configure": 11, "resume": 2, "pause": 0, "create": 6, "open": 4, "holds": 0, "views": 0}
_ARITIES |= {
    "map": 3,
    "close": 0,
    "state": 0,
    "become": 4,
    "descriptor_lost": 0,
    "buffer": 0,
    "region": 0,
    "hand_over": 0,
}
_ARITIES |= {"_look_at": 1, "know_thread": 1, "know_threads": 2, "quicken": 3, "release": 0, "set": 0}
_ARITIES |= {"__exit__": 3, "owned": 0, "is_set": 0}


def child(seed: int) -> None:
    faulthandler.enable()
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda *_: None
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 22, 1 << 22))
    fuzzer = Fuzzer(seed)
    if seed % 4 == 0:
        fuzzer.unconfigured()
    else:
        fuzzer.configured()
    fuzzer.things.clear()
    gc.collect()
    os._exit(0)  # what the objects are by now, the end of the interpreter need not bear


def main() -> int:
    parser = argparse.ArgumentParser(description="Call the entry points of the core with senseless arguments.")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30), metavar="N")
    parser.add_argument("--processes", type=int, default=8, metavar="N")
    parser.add_argument("--seconds", type=float, default=0.0, metavar="N", help="go on for so long")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(options.child)
    end, faults, seed = time.monotonic() + options.seconds, 0, options.seed
    while seed < options.seed + options.processes or time.monotonic() < end:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as root:
            os.chmod(root, 0o1777)
            done = subprocess.run(
                [sys.executable, "-m", "programs.core_fuzz", "--child", str(seed)],
                env=os.environ | {"NAMEDMAP_ROOT": root},
                capture_output=True,
                check=False,
                timeout=300,
            )
        if done.returncode:
            faults += 1
            print(
                f"seed {seed} ends with {done.returncode}: {done.stderr.decode(errors='replace')[-3000:]}", flush=True
            )
        seed += 1
    print(f"core_fuzz: {seed - options.seed} processes, {faults} faults, seed {options.seed}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
