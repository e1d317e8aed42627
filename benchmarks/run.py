"""Measure namedmap against what people use instead: python benchmarks/run.py [--quick] [--write FILE]

Creating and opening named blocks against multiprocessing.shared_memory, posix_ipc and the bare system calls; growth
with 10,000 live objects; large sections. Locks, semaphores and events against multiprocessing, posix_ipc, filelock and
portalocker: alone, between processes, idle, and when their owner dies. Everything happens in a directory of its own in
/dev/shm, which is removed.
"""

import argparse
import contextlib
import itertools
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
    parser.add_argument("--quick", action="store_true", help="a glance, about 45 s; otherwise about 5 min")
    parser.add_argument("--only", choices=["sections", "waiting", "library"], help="only the tables of these")
    parser.add_argument(
        "--array", type=int, metavar="MIB", help="the array that is handed to processes (1024; with --quick 64)"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the tables there, as Markdown")
    parser.add_argument("--check-floor", action="store_true", help="only compare the floor with namedmap by strace")
    return parser.parse_args()


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

            return floorcheck.check()
        return _run(root, arguments)


def _run(root: Path, arguments: argparse.Namespace) -> int:
    import library
    import machine
    import report
    import tables
    import waittables

    started = time.monotonic()
    facts = machine.describe(_SHM)
    circumstances = f"Ran with {machine.raise_priority()}."
    for what, value in facts:
        print(f"{what}: {value}")
    print(circumstances + "\n")
    done = []
    parts = []
    if arguments.only in (None, "sections"):
        parts.append(tables.all_tables(root, _root, arguments.quick))
    if arguments.only in (None, "library"):
        parts.append(library.all_tables(root, arguments.quick, arguments.array or (64 if arguments.quick else 1024)))
    if arguments.only in (None, "waiting"):
        parts.append(waittables.all_tables(root, arguments.quick))
    for table in itertools.chain.from_iterable(parts):
        print(report.as_text(table), flush=True)
        done.append(table)
    print(f"{time.monotonic() - started:.0f} s")
    target: Path | None = arguments.write
    if target is not None:
        target.write_text(report.document(facts, circumstances, done), encoding="utf-8")
        print(f"written to {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
