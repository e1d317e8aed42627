"""Call everything that is public with arguments that make no sense, in processes of their own; print what goes wrong.

    PYTHONPATH=tests python -m programs.fuzz [--seed N] [--rounds N] [--seconds N] [--only TEXT] [--call N]

A call may fail by an error of the package, TypeError or ValueError, and what the drop-in modules stand for may raise
what it raises there. It may not end the interpreter, hang, raise anything else, or leave anything behind: objects,
views, descriptors, processes, threads that keep the process, blocked signals, another umask or directory.

Each call depends on the seed, the name of what is called, and its number alone, so that `--only NAME --call N` repeats
it. Sizes stay below what tmpfs would take, paths inside of a directory of the fuzzer's own.
"""

import argparse
import asyncio
import contextlib
import faulthandler
import gc
import inspect
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calls import own_descriptors
from calls.kernel import named, space
from programs.bad_input import descriptors, warm_up
from programs.fuzz_targets import Target, targets
from programs.fuzz_values import World, odd, right

#: Calls of one target at a time, in one world; then it is looked at what they have left.
BATCH = 40
#: A child that says nothing for so long has hung, in seconds.
WATCHDOG = 120.0
#: A call that waits for what never comes is interrupted after this time, and may then leave something.
PATIENCE = 1.0


class Interrupted(BaseException):
    """A call has waited for long enough."""


def interrupt(*_: object) -> None:
    raise Interrupted


# -- in a child --------------------------------------------------------------------------------------------------------


class Examiner:
    """Calls, and judges what comes back. Its findings go to the standard output, which the parent reads."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.seed, self.directory = seed, directory
        self.interrupted = False

    def batch(self, target: Target, numbers: range) -> None:
        """Some calls of one target, and a look at what they leave."""
        before = descriptors()
        world = World(self.directory)
        self.interrupted = False
        for number in numbers:
            say(f"call {target.label} {number}")
            self._call(target, world, random.Random(f"{self.seed}:{target.label}:{number}"), number)
            for fault in _changed(self.directory):
                say(f"fault {target.label} {number} leaves {fault}")
        world.close()
        gc.collect()
        if self.interrupted:
            return
        left = [link for fd, link in descriptors().items() if fd not in before and "anon_inode" not in link]
        kept = [*named.holders, *space, *own_descriptors(), *left]
        threads = [
            each.name for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()
        ]
        if kept or threads:
            say(f"fault {target.label} {numbers.start} leaves behind {kept!r:.300} {threads}")

    def _call(self, target: Target, world: World, random_: random.Random, number: int) -> None:
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        given: tuple[list[Any], dict[str, Any]] = [], {}
        try:
            given = arguments(target, world, random_)
            used(target.find(world)(*given[0], **given[1]), random_)
        except Interrupted:
            self.interrupted = True
        except target.allowed:
            pass
        except BaseException as error:
            signal.setitimer(signal.ITIMER_REAL, 0)
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(where.filename)}:{where.lineno}"
            what = f"raises {type(error).__name__} at {place}: {error!s:.150}"
            say(f"fault {target.label} {number} {what} for {shown(given)}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def arguments(target: Target, world: World, random_: random.Random) -> tuple[list[Any], dict[str, Any]]:
    """Most are right, so that some calls come far; at times there are too many."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    rightness = random_.choice((0.0, 0.5, 0.8, 0.95))
    for at, parameter in enumerate(target.parameters):
        wrong = random_.random() >= rightness
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += [odd(random_, world) for _ in range(random_.randrange(3))]
            continue
        if parameter.kind is parameter.VAR_KEYWORD or (
            parameter.default is not parameter.empty and random_.random() < 0.4
        ):
            if parameter.kind is parameter.POSITIONAL_ONLY:
                break
            continue
        if wrong:
            value = odd(random_, world)
        elif target.native is not None:
            value = target.native[at].right(world)
        else:
            value = right(parameter.name, random_, world)
        if parameter.kind is parameter.POSITIONAL_ONLY or (
            len(positional) == at and parameter.kind is not parameter.KEYWORD_ONLY
        ):
            positional.append(value)
        else:
            named[parameter.name] = value
    if not target.parameters and random_.random() < 0.3:
        positional.append(odd(random_, world))
    return positional, named


def used(result: Any, random_: random.Random) -> None:
    """Do with a result what programs do."""
    if inspect.iscoroutine(result):
        if random_.random() < 0.3:
            result.close()
        else:
            with contextlib.suppress(TimeoutError):
                asyncio.run(asyncio.wait_for(result, PATIENCE / 2))
        return
    if isinstance(result, types.GeneratorType) or hasattr(result, "__next__"):
        for _, each in zip(range(50), result, strict=False):
            repr(each)
        return
    if type(result).__module__.startswith("namedmap"):
        repr(result), str(result)
        for name in ("as_dict", "close", "Close"):
            if callable(getattr(result, name, None)):
                getattr(result, name)()


def _changed(directory: Path) -> Iterator[str]:
    """Complaints of state that a call has changed and may not change; it is put back."""
    mask = os.umask(0o022)
    if mask != 0o022:
        yield f"umask {mask:#o}"
    if os.getcwd() != str(directory):
        os.chdir(directory)
        yield "another working directory"
    blocked = signal.pthread_sigmask(signal.SIG_SETMASK, set())
    if blocked:
        yield f"blocked signals {blocked}"
    if signal.getsignal(signal.SIGALRM) is not interrupt:
        signal.signal(signal.SIGALRM, interrupt)
        yield "another signal handler"
    with contextlib.suppress(ChildProcessError):
        yield f"a process, {os.waitpid(-1, os.WNOHANG)}"


def shown(given: tuple[list[Any], dict[str, Any]]) -> str:
    texts = []
    for label, value in [*(("", each) for each in given[0]), *((f"{name}=", each) for name, each in given[1].items())]:
        try:
            texts.append(f"{label}{value!r:.60}")
        except Exception:
            texts.append(f"{label}<{type(value).__name__}>")
    return f"({', '.join(texts)})"


def say(text: str) -> None:
    """In one piece, and past whatever a call has done to sys.stdout."""
    os.write(_REPORT, text.encode("utf-8", "backslashreplace").replace(b"\n", b" ") + b"\n")


#: The standard output, out of the reach of numbers that are taken for descriptors.
_REPORT = 900


def examine(labels: list[str], seed: int, rounds: int, call: int | None, first: int) -> None:
    """The work of a child: batches of its targets, from a call of the first on."""
    os.dup2(1, _REPORT)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)
    os.close(null)
    # Sizes of gigabytes are asked for: they shall fail at once.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24, 1 << 24))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    warnings.simplefilter("ignore")
    directory = Path(tempfile.mkdtemp(prefix="fuzz-"), "inner").resolve()
    directory.mkdir()
    os.chdir(directory)
    os.umask(0o022)
    signal.signal(signal.SIGALRM, interrupt)
    warm_up(directory)
    examiner, known = Examiner(seed, directory), {target.label: target for target in targets()}
    for label in labels:
        numbers = range(first, rounds) if call is None else range(call, call + 1)
        first = 0
        for start in range(numbers.start, numbers.stop, BATCH):
            examiner.batch(known[label], range(start, min(start + BATCH, numbers.stop)))
    os.chdir("/")
    shutil.rmtree(directory.parent)


# -- in the parent -----------------------------------------------------------------------------------------------------


class Fuzz:
    """Starts children, each for some targets, and goes on behind a call that has ended one."""

    def __init__(self, seed: int, rounds: int, seconds: float) -> None:
        self.seed, self.rounds = seed, rounds
        self.end = time.monotonic() + (seconds or math.inf)
        self.calls = 0
        self.faults: dict[str, str] = {}

    def run(self, labels: list[str], call: int | None) -> None:
        at = first = 0
        while at < len(labels) and time.monotonic() < self.end:
            chunk = labels[at : at + 60]
            last, number, status = self._child(chunk, call, first)
            at, first = at + len(chunk), 0
            if status:
                self._complain(last, f"{last} {number} ends the interpreter with {status}")
                at, first = labels.index(last) + (call is not None), number + 1

    def _child(self, labels: list[str], call: int | None, first: int) -> tuple[str, int, str]:
        """Run one; returns the call that it was at, and how it ended: "" if well."""
        words = ["--child", *labels, "--seed", str(self.seed), "--rounds", str(self.rounds), "--first", str(first)]
        words += [] if call is None else ["--call", str(call)]
        with tempfile.TemporaryFile() as errors:
            child = subprocess.Popen(
                [sys.executable, "-m", "programs.fuzz", *words], stdout=subprocess.PIPE, stderr=errors, text=True
            )
            assert child.stdout is not None
            last, number = labels[0], first
            watchdog = threading.Timer(WATCHDOG, child.kill)
            watchdog.start()
            for line in child.stdout:
                kind, label, count, *rest = line.split(maxsplit=3)
                if kind == "call":
                    last, number = label, int(count)
                    self.calls += 1
                    if not number % BATCH:
                        watchdog.cancel()
                        watchdog = threading.Timer(WATCHDOG, child.kill)
                        watchdog.start()
                else:
                    self._complain(f"{label} {rest[0].split(': ')[0]}", f"{label} {count} {rest[0].strip()}")
            status = child.wait()
            child.stdout.close()
            hung = not watchdog.is_alive()
            watchdog.cancel()
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
        if said:
            self._complain(f"{last} says", f"{last} {number} says on stderr: {said[-1500:]}")
        return last, number, f"a hang of {WATCHDOG:g} s" if status and hung else f"status {status}" if status else ""

    def _complain(self, key: str, text: str) -> None:
        """Each fault once, however often it comes."""
        if key not in self.faults:
            self.faults[key] = text
            print(f"seed {self.seed}: {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Call everything that is public with arguments that make no sense.")
    parser.add_argument("--seed", type=int, metavar="N", help="the same one gives the same arguments (any)")
    parser.add_argument("--rounds", type=int, default=BATCH, metavar="N", help=f"calls of each callable ({BATCH})")
    parser.add_argument("--seconds", type=float, default=0.0, metavar="N", help="go on with other seeds for so long")
    parser.add_argument("--only", default="", metavar="TEXT", help="only callables with this in their name")
    parser.add_argument("--call", type=int, metavar="N", help="only this call of each")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.randrange(1 << 32)
    if options.child:
        examine(options.child, options.seed, options.rounds, options.call, options.first)
        return 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as root:
        os.chmod(root, 0o1777)
        os.environ["NAMEDMAP_ROOT"] = os.environ["TMPDIR"] = tempfile.tempdir = root
        labels = [target.label for target in targets() if options.only in target.label]
        fuzz = Fuzz(options.seed, options.rounds, options.seconds)
        fuzz.run(labels, options.call)
        while options.seconds and time.monotonic() < fuzz.end:
            fuzz.seed += 1
            fuzz.run(labels, options.call)
    print(f"fuzz: {len(labels)} callables, {fuzz.calls} calls, {len(fuzz.faults)} faults, seed {options.seed}")
    return 1 if fuzz.faults else 0


if __name__ == "__main__":
    sys.exit(main())
