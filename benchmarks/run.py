"""Measure namedmap against what people use instead: python benchmarks/run.py [--quick] [--only PART] [--write FILE]

Big files, copied, searched and summed, against the tools of the system. Creating and opening named blocks against
multiprocessing.shared_memory, posix_ipc and the bare system calls; growth with 10,000 live objects; large sections; the
Python library. Locks, semaphores and events against multiprocessing, posix_ipc, filelock and portalocker: alone,
between processes, idle, and when their owner dies. All of it with the compiled core and without it, by the clock and in
processor time. Everything happens in directories of its own in /dev/shm and, for files, /var/tmp, which are removed.
"""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_SHM = Path("/dev/shm")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure namedmap against what people use instead.")
    parser.add_argument("--quick", action="store_true", help="a glance, about a minute; otherwise some 10 minutes")
    parser.add_argument("--rounds", type=int, metavar="N", help="no more rounds than that, for a look at the tables")
    parser.add_argument("--only", choices=["files", "sections", "library", "waiting"], help="only the tables of these")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="where the files are put (/var/tmp)")
    parser.add_argument("--largest", type=int, metavar="MIB", help="the largest file (4096; with --quick 64)")
    parser.add_argument(
        "--array", type=int, metavar="MIB", help="the array that is handed to processes (1024; with --quick 64)"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="also write a page, and pictures into a directory of its name"
    )
    parser.add_argument("--check-floor", action="store_true", help="only compare the floor with namedmap by strace")
    found = parser.parse_args()
    if found.rounds is not None and found.rounds < 1:
        parser.error("--rounds: 1 or more")
    return found


@contextlib.contextmanager
def _root(name: str) -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix=f"namedmap-bench-{name}-", dir=_SHM))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def main() -> int:
    arguments = _arguments()
    # A plain kill then unwinds, and removes processes and directories, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with _root("own") as root:
        # Before namedmap first uses a name, which the imports below lead to.
        os.environ["NAMEDMAP_ROOT"] = str(root)
        if arguments.check_floor:
            import floorcheck

            return floorcheck.check(root)
        return _run(root, arguments)


def _run(root: Path, arguments: argparse.Namespace) -> int:
    import files
    import machine
    import parts
    import report
    import ways

    started = time.monotonic()
    facts = machine.describe(_SHM, arguments.directory or files.place(), ways.TOOLS)
    priority = machine.raise_priority()
    for what, value in facts:
        print(f"{what}: {value}")
    print(f"with {priority}\n")
    done = []
    with contextlib.closing(parts.all_parts(root, _root, arguments)) as found:
        for part, tables in found:
            for table in tables:
                print(report.as_text(table), flush=True)
                part.tables.append(table)
            done.append(part)
    took = f"{time.monotonic() - started:.0f} s"
    print(took)
    if arguments.write is not None:
        glance = " This is a glance (`--quick`): few rounds, small files." if arguments.quick else ""
        text = f"Ran for {took} with {priority}.{glance} Load at the end: {machine.load()}."
        parts.write(arguments.write, facts, text, done)
        print(f"written to {arguments.write}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
