"""Whether the floor still makes the system calls that namedmap makes: both are run once under strace and compared.

This file is also the program that runs under strace. It compares the calls' names and the kinds of lock, with
the addresses, inode numbers and names left out.
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

_MARK = b"floorcheck "
_CALL = re.compile(r"(\w+)\((.*)\)\s+= ")
_DETAIL = re.compile(r"F_OFD_\w+|F_\w+LCK|\bO_\w+|MAP_\w+|l_start=-?\d+|l_len=\d+")
#: The guard and the two bytes behind it; what lies further up is at a slot of the process's own. Locks count from the
#: file position, which is at the end of all files.
_GUARD = (1 << 62) - (1 << 63) + 1
_NAMED = {str(_GUARD + at): name for at, name in enumerate(("GUARD", "OWNER", "HANDOVER"))}
#: The guard with the bytes below it, of a number that is the process's own.
_RANGE = re.compile(r"l_start=(-\d+), l_len=(\d+)")


def check() -> int:
    """Print both sequences; 1 if they differ, 2 if there is no strace."""
    if shutil.which("strace") is None:
        print("strace is not installed")
        return 2
    with tempfile.NamedTemporaryFile(prefix="namedmap-floor-") as output:
        subprocess.run(["strace", "-o", output.name, sys.executable, __file__], check=True)
        found = _sections(Path(output.name).read_text(encoding="utf-8", errors="replace"))
    differ = False
    for operation in ("create", "open", "mutex", "semaphore", "event"):
        ours, floor = found[f"namedmap {operation}"], found[f"floor {operation}"]
        differ |= ours != floor
        differ |= not ours
        print(f"{operation}: {'the same' if ours == floor else 'DIFFERENT'}, {len(ours)} and {len(floor)} calls")
        for at in range(max(len(ours), len(floor))):
            mine, its = (calls[at] if at < len(calls) else "" for calls in (ours, floor))
            print(f"  {' ' if mine == its else '!'} {mine:70} {its if mine != its else ''}".rstrip())
    return int(differ)


def _sections(trace: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in trace.splitlines():
        mark = re.search(r'write\(2, "floorcheck ([\w ]+)\\n"', line)
        call = _CALL.match(line)
        if mark:
            current = found.setdefault(mark[1], [])
        elif call and current is not None:
            current.append(_summary(call[1], call[2]))
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


def _pairs(root: Path, stack: contextlib.ExitStack) -> Iterator[tuple[str, Callable[[], None]]]:
    """Taking and giving back what nobody else wants: with namedmap, and the floor of it."""
    import lockpeers

    owner, guard = lockpeers.lock_floor(root), lockpeers.guard_floor(root)
    for operation, ours, floor in (
        ("mutex", lockpeers.locks(root, stack, "check")[0], owner),
        ("semaphore", lockpeers.semaphores(stack, "check", 1)[0], guard),
        ("event", lockpeers.events(stack, "check")[0], guard),
    ):
        for side, peer in (("namedmap", ours), ("floor", floor)):
            (pair,) = stack.enter_context(lockpeers.opened([peer])).values()

            def cycle(pair: lockpeers.Pair = pair, give_first: bool = operation == "event") -> None:
                for step in (pair.give, pair.take) if give_first else (pair.take, pair.give):
                    step()

            yield f"{side} {operation}", cycle


def _traced() -> None:
    import crowd
    import peers
    from floor import SIZE, Floor

    root = Path(os.environ["NAMEDMAP_ROOT"])
    with contextlib.ExitStack() as stack:
        crowd.answer(stack.enter_context(crowd.child(root, "hold", "held", 1)))
        floor = Floor(root, "floor", "held0")
        for name, cycle in (
            ("namedmap create", peers.namedmap_create("new", SIZE)),
            ("floor create", floor.create),
            ("namedmap open", peers.namedmap_open("held0")),
            ("floor open", floor.open),
            *_pairs(root, stack),
        ):
            cycle()
            os.write(2, _MARK + name.encode() + b"\n")
            cycle()
            os.write(2, _MARK + b"end\n")


if __name__ == "__main__":
    _traced()
