"""Measure namedmap against what people use instead: python benchmarks/run.py [--quick] [--write FILE]

Creating and opening named blocks against multiprocessing.shared_memory, posix_ipc and the bare system calls; growth
with 10,000 live objects; large sections. Everything happens in a directory of its own in /dev/shm, which is removed.
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
    parser.add_argument("--quick", action="store_true", help="a glance, in less than 20 s; otherwise less than 3 min")
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
        return _run(root, arguments.quick, arguments.write)


def _run(root: Path, quick: bool, target: Path | None) -> int:
    import machine
    import report
    import tables

    started = time.monotonic()
    facts = machine.describe(_SHM)
    circumstances = f"Ran with {machine.raise_priority()}."
    for what, value in facts:
        print(f"{what}: {value}")
    print(circumstances + "\n")
    done = []
    for table in tables.all_tables(root, _root, quick):
        print(report.as_text(table), flush=True)
        done.append(table)
    print(f"{time.monotonic() - started:.0f} s")
    if target is not None:
        target.write_text(report.document(facts, circumstances, done), encoding="utf-8")
        print(f"written to {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
