"""Whether the floor still makes the system calls that namedmap makes: both are run under strace and compared.

That is done with the compiled core, where there is one, and without it. This file is also the program that runs under
strace. The calls' names and the kinds of lock are compared, with the addresses, inode numbers and names left out.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import modes

_OPERATIONS = ("win32 create", "win32 open", "create", "open", "mutex", "semaphore", "event")
_SIDES = ("namedmap", "floor")
#: Each is done so often: the core asks a question once in a tick of the clock, which is then not in all of them.
_TIMES = 5
#: The status of the program if it should have the core, and there is none.
_NO_CORE = 3
_MARK = b"floorcheck "
_CALL = re.compile(r"(\w+)\((.*)\)\s+= ")
_DETAIL = re.compile(r"F_OFD_\w+|F_\w+LCK|\bO_\w+|MAP_\w+|l_start=-?\d+|l_len=\d+")
#: The guard and the two bytes behind it; what lies further up is at a slot of the process's own. Locks count from the
#: file position, which is at the end of all files.
_GUARD = (1 << 62) - (1 << 63) + 1
_NAMED = {str(_GUARD + at): name for at, name in enumerate(("GUARD", "OWNER", "HANDOVER"))}
#: The guard with the bytes below it, of a number that is the process's own.
_RANGE = re.compile(r"l_start=(-\d+), l_len=(\d+)")


def check(root: Path) -> int:
    """Print the sequences of both modes; 1 if a floor differs, 2 if there is no strace."""
    if shutil.which("strace") is None:
        print("strace is not installed")
        return 2
    differ = False
    for mode in modes.modes(root):
        with mode.chosen():
            found = _traced(mode.name)
        for operation in _OPERATIONS if found else ():
            differ |= _compare(f"{mode.name}, {operation}", *(found[f"{side} {operation}"] for side in _SIDES))
    return int(differ)


def _traced(mode: str) -> dict[str, list[str]]:
    """The calls of a process of a mode; none if there is no core to be with."""
    with tempfile.NamedTemporaryFile(prefix="namedmap-floor-") as output:
        command = ["strace", "-s", "64", "-o", output.name, sys.executable, __file__, mode]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode == _NO_CORE:
            print(f"{mode}: not checked, there is none")
            return {}
        if done.returncode:
            raise SystemExit(f"the program under strace has failed: {done.stderr}")
        return _sections(Path(output.name).read_text(encoding="utf-8", errors="replace"))


def _compare(what: str, ours: list[str], floor: list[str]) -> bool:
    """Print both; whether they differ."""
    print(f"{what}: {'the same' if ours == floor else 'DIFFERENT'}, {len(ours)} and {len(floor)} calls")
    for at in range(max(len(ours), len(floor))):
        mine, its = (calls[at] if at < len(calls) else "" for calls in (ours, floor))
        print(f"  {' ' if mine == its else '!'} {mine:70} {its if mine != its else ''}".rstrip())
    return ours != floor


def _sections(trace: str) -> dict[str, list[str]]:
    """The calls between the marks: of the times that a thing was done, those of the shortest."""
    found: dict[str, list[str]] = {}
    name, calls = "", list[str]()
    for line in trace.splitlines():
        mark = re.search(r'write\(2, "floorcheck ([\w ]+)\\n"', line)
        call = _CALL.match(line)
        if mark and mark[1] == "end":
            found[name] = min(found.get(name, calls), calls, key=len)
        elif mark:
            name, calls = mark[1], []
        elif call:
            calls.append(_summary(call[1], call[2]))
    return found


def _summary(call: str, arguments: str) -> str:
    if "F_OFD_GETLK" in arguments:  # strace shows what it found, not what it was asked for
        return f"{call} F_OFD_GETLK"
    details = []
    if found := _RANGE.search(arguments):
        start, length = int(found[1]), int(found[2])
        if start < _GUARD and (not length or start + length == _GUARD + 1):  # to the end of all, or of the guard
            arguments = arguments.replace(found[0], f"l_start={_GUARD}, l_len={min(length, 1)}")
    for detail in _DETAIL.findall(arguments):
        name, _, value = detail.partition("=")
        details.append(f"{name}={_NAMED.get(value, 'LIVENESS')}" if name == "l_start" else detail)
    return " ".join([call, *details])


def _pairs(root: Path, stack: contextlib.ExitStack, mode: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Taking and giving back what nobody else wants: with namedmap, and the floor of it."""
    import lockpeers

    owner, guard = lockpeers.lock_floor(root), lockpeers.guard_floor(root)
    for operation, ours, floor in (
        ("mutex", lockpeers.our_locks("check")[0], owner),
        ("semaphore", lockpeers.our_semaphores("check", 1)[0], guard),
        ("event", lockpeers.our_events("check")[0], guard),
    ):
        for side, peer in zip(_SIDES, (ours, floor), strict=True):
            (pair,) = stack.enter_context(lockpeers.opened([peer])).values()

            def once(pair: lockpeers.Pair = pair, give_first: bool = operation == "event") -> None:
                for step in (pair.give, pair.take) if give_first else (pair.take, pair.give):
                    step()

            # The core compares and swaps: there is no call.
            yield f"{side} {operation}", _nothing if side == "floor" and mode == modes.WITH else once


def _nothing() -> None:
    """The core asks nothing of the kernel to change an object that nobody waits for."""


def _program(mode: str) -> int:
    import crowd
    import library
    import namedmap
    import peers
    from floor import CLASSES, CORE, SIZE, Floor

    if mode == modes.WITH and not namedmap.native:
        return _NO_CORE
    root = Path(os.environ["NAMEDMAP_ROOT"])
    with contextlib.ExitStack() as stack:
        crowd.answer(stack.enter_context(crowd.child(root, "hold", "held", 1)))
        win32 = Floor(root, "floor", "held0")
        classes = Floor(root, "floor", "held0", CORE if mode == modes.WITH else CLASSES)
        for name, once in (
            ("namedmap win32 create", peers.namedmap_create("new", SIZE)),
            ("floor win32 create", win32.create),
            ("namedmap win32 open", peers.namedmap_open("held0")),
            ("floor win32 open", win32.open),
            ("namedmap create", library.created("new", SIZE)),
            ("floor create", classes.create),
            ("namedmap open", library.opened("held0")),
            ("floor open", classes.open),
            *_pairs(root, stack, mode),
        ):
            once()
            for _ in range(_TIMES):
                os.write(2, _MARK + name.encode() + b"\n")
                once()
                os.write(2, _MARK + b"end\n")
    return 0


if __name__ == "__main__":
    sys.exit(_program(*sys.argv[1:]))
