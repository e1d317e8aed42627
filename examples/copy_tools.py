"""Tools around copy_file.py: a file to copy, the other two ways to copy it, the times and the comparison."""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

MIB = 1 << 20

# copy(source, destination, window in bytes, write through): 0, or the exit status of a failure it has reported
MappedCopy = Callable[[Path, Path, int, bool], int]


def run(copy_mapped: MappedCopy) -> int:
    """The program: read the command line, copy in a scratch directory that always goes away; the exit status."""
    options = command_line()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that the scratch directory goes
    try:
        with tempfile.TemporaryDirectory(prefix="namedmap-copy-") as scratch:
            return copy_in(Path(scratch), copy_mapped, options)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"copy_file: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Copy a large file through two mappings, and beside it with cp.")
    parser.add_argument("source", type=Path, nargs="?", help="the file to copy (default: one made for the purpose)")
    parser.add_argument("--write-through", action="store_true", help="a copy counts when the disk has it")
    parser.add_argument("--size", type=mebibytes, default=256 * MIB, metavar="MIB", help="of the made file (256)")
    # Whole MiB are multiples of the allocation granularity (64 KiB), as the offset of a view has to be.
    parser.add_argument("--window", type=mebibytes, default=64 * MIB, metavar="MIB", help="mapped at a time (64)")
    return parser.parse_args()


def mebibytes(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text) * MIB


def copy_in(scratch: Path, copy_mapped: MappedCopy, options: argparse.Namespace) -> int:
    source: Path | None = options.source
    size: int = options.size if source is None else source.stat().st_size
    needed = size if source else 2 * size  # one copy at a time, and the made source
    free = shutil.disk_usage(scratch).free
    if free < needed:
        print(
            f"not enough disk space: {needed // MIB} MiB are needed in {scratch.parent}, {free // MIB} MiB are free;\n"
            "TMPDIR=DIRECTORY chooses another place, --size a smaller file",
            file=sys.stderr,
        )
        return 1
    if source is None:
        seed = largest_file()
        source = scratch / "source"
        repeat_file(seed, source, size)
        sync(source)  # or writing it back would fall into the time of the first copy
        print(f"{seed.name}, repeated: ", end="")
    else:
        print(f"{source.name}: ", end="")
    print(f"{size / MIB:,.0f} MiB in windows of {options.window // MIB} MiB", flush=True)
    return compare(source, scratch / "copy", copy_mapped, options)


def largest_file() -> Path:
    """The largest file among the interpreter, its shared library and the standard library."""
    places = [Path(sys.executable).resolve(), *Path(sysconfig.get_path("stdlib")).rglob("*")]
    library = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDLIBRARY")
    if all(library):
        places.append(Path(*library))
    return max((place for place in places if place.is_file()), key=lambda place: place.stat().st_size)


def repeat_file(seed: Path, target: Path, size: int) -> None:
    """Write the seed's bytes to the target again and again until it holds this many."""
    content = seed.read_bytes()
    with target.open("wb") as file:
        while (missing := size - file.tell()) > 0:
            file.write(content[:missing])


def compare(source: Path, copy: Path, copy_mapped: MappedCopy, options: argparse.Namespace) -> int:
    """Copy in the three ways, print the times, compare the mapped copy with the source; the exit status."""
    expected = digest(source)  # reads it whole: each of the three finds it in the page cache

    start = time.perf_counter()
    status = copy_mapped(source, copy, options.window, options.write_through)
    if status != 0:
        return status
    show("mapped windows", copy, time.perf_counter() - start)
    found = digest(copy)

    others: dict[str, Callable[[Path, Path], object]] = {"cp": run_cp, "shutil.copyfile": shutil.copyfile}
    if shutil.which("cp") is None:  # Windows has none
        del others["cp"]
    for label, other in others.items():
        copy.unlink()
        start = time.perf_counter()
        other(source, copy)
        if options.write_through:
            sync(copy)
            label += " + fsync"
        show(label, copy, time.perf_counter() - start)

    if found != expected:
        print(f"contents differ: sha256 {expected} came out as {found}", file=sys.stderr)
        return 1
    print(f"contents identical, sha256 {expected[:16]}…")
    return 0


def show(label: str, copy: Path, seconds: float) -> None:
    rate = copy.stat().st_size / MIB / seconds
    print(f"{label:<24} {seconds:6.3f} s {rate:7,.0f} MiB/s", flush=True)


def run_cp(source: Path, copy: Path) -> None:
    subprocess.run(["cp", "--", source, copy], check=True)


def sync(path: Path) -> None:
    with path.open("r+b") as file:  # Windows writes back only what may be written
        os.fsync(file.fileno())


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
