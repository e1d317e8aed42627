"""Many readers, many cycles, many deaths: what the library promises, counted."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest

import namedmap
from child import WATCHDOG, eventually
from namedmap.errors import BlockError

NAME = "proof"
#: Readers of one array, and its size in bytes. NAMEDMAP_READERS=200 is the full run.
READERS, SIZE = int(os.environ.get("NAMEDMAP_READERS", "50")), 32 << 20
#: Create and close cycles: as many as the suite has time for. NAMEDMAP_CYCLES=100000 is the full run.
CYCLES = int(os.environ.get("NAMEDMAP_CYCLES", "5000"))
#: How often something is killed.
KILLS = int(os.environ.get("NAMEDMAP_KILLS", "60"))


class Server:
    """`programs.forks`, which starts processes that know nothing of this one."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "programs.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self._early: list[Any] = []

    def hear(self) -> Any:
        """The next line of any of the processes."""
        return self._early.pop(0) if self._early else self._next()

    def _next(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the server has ended"
        return json.loads(line)

    def start(self, *words: object) -> int:
        """The pid of a process that does what the words say."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        while "pid" not in (said := self._next()):
            self._early.append(said)  # by a process that was started before
        pid: int = said["pid"]
        return pid

    def end(self) -> None:
        self.process.communicate(timeout=WATCHDOG)


@pytest.fixture
def server() -> Iterator[Server]:
    """Ended after the test, with what it has started."""
    made = Server()
    yield made
    made.end()


def kill(*pids: int) -> None:
    """SIGKILL processes that are not our children, and wait until they have gone."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        eventually(partial(gone, pid), "the end of a killed process")


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def share(pid: int, inode: list[str]) -> int:
    """The memory of one file that the kernel puts down to a process: its PSS, in bytes."""
    found, here = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text("utf-8").splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            here = line.split()[3:5] == inode
        elif here and line.startswith("Pss:"):
            found += int(line.split()[1]) << 10
    return found


def inode_of(array: Any) -> list[str]:
    """The device and the number of the file below an array, as /proc writes them."""
    for line in Path("/proc/self/maps").read_text("utf-8").splitlines():
        words = line.split()
        start, end = (int(each, 16) for each in words[0].split("-"))
        if start <= array.ctypes.data < end:
            return words[3:5]
    raise LookupError("the array is not mapped")


class TestManyReaders:
    """Unrelated processes that attach to one array."""

    @pytest.mark.leaves_dead_files
    def test_memory_is_counted_once(self, server: Server) -> None:
        """The shares of all readers and the publisher add up to one array."""
        room = os.statvfs(os.environ["NAMEDMAP_ROOT"])
        if room.f_bavail * room.f_frsize < 2 * SIZE:
            pytest.skip(f"less than {2 * SIZE >> 20} MiB are free where the objects are")
        with namedmap.publish(NAME, numpy.ones(SIZE // 8)) as block:
            inode = inode_of(block.value)
            readers = [server.start("read", NAME) for _ in range(READERS)]
            totals = {server.hear()["total"] for _ in readers}
            shares = [share(pid, inode) for pid in (*readers, os.getpid())]
            kill(*readers)
            with namedmap.attach(NAME) as again:
                assert again.value.sum() == SIZE // 8, "as it was, after all readers have been killed"
        print(f"{READERS} readers of {SIZE >> 20} MiB: the array counts {sum(shares) / SIZE:.3f} times")
        assert len(totals) == 1
        # The kernel rounds each share down to 1 KiB; the header adds a page.
        assert 0.98 * SIZE - (len(shares) << 10) < sum(shares) < 1.02 * SIZE + (1 << 16)
        assert max(shares) < 1.1 * SIZE / READERS + (1 << 16)


def resident() -> int:
    """This process's own memory, in bytes: what is not shared."""
    return int(re.findall(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))[0]) << 10


class TestCycles:
    """Objects that are opened and closed for ever leave nothing."""

    @pytest.mark.parametrize("kind", ["mapping", "block", "open", "primitives"])
    def test_nothing_leaks(self, kind: str, private_root: Path) -> None:
        """No descriptor, no memory, no file."""
        cycle = getattr(self, f"_{kind}")
        with namedmap.create(f"{NAME}-held", 4096):
            for _ in range(500):
                cycle()
            descriptors, memory = sorted(os.listdir("/proc/self/fd")), resident()
            maps = Path("/proc/self/maps").read_text("utf-8").count("\n")
            for _ in range(CYCLES // (4 if kind != "mapping" else 1)):
                cycle()
            grown = resident() - memory
            assert sorted(os.listdir("/proc/self/fd")) == descriptors
            assert Path("/proc/self/maps").read_text("utf-8").count("\n") <= maps + 4
            assert [path.name for path in private_root.rglob("*") if path.is_file()] == [f"{NAME}-held"]
        # A leak of one small object in each cycle would be above it in the full run, one of ten in the short one.
        assert grown < (2 << 20), f"{grown:,} bytes"

    def _mapping(self) -> None:
        with namedmap.create(NAME, 4096) as mapping, mapping.view() as view:
            view[0] = 1

    def _open(self) -> None:
        with namedmap.open(f"{NAME}-held", "read") as mapping, mapping.view() as view:
            memoryview(view.buf)[5:].cast("B")

    def _block(self) -> None:
        with namedmap.publish(NAME, numpy.arange(10)), namedmap.attach(NAME) as block:
            block.value.sum()

    def _primitives(self) -> None:
        with (
            namedmap.Mutex(NAME) as mutex,
            contextlib.closing(namedmap.Event(f"{NAME}-event")) as event,
            contextlib.closing(namedmap.Semaphore(f"{NAME}-slots", 1, 1)) as slots,
        ):
            event.set()
            namedmap.wait_all([event, slots])
        mutex.close()


class TestDeath:
    """SIGKILL at any moment."""

    @pytest.mark.leaves_dead_files
    @pytest.mark.parametrize("size", [100, 3 << 20], ids=["100 bytes", "3 MiB"])
    def test_publishers(self, server: Server, size: int) -> None:
        """The name is free at once, and nobody ever sees a part of a block: it is whole, or an error says why not."""
        seen = {"whole": 0, "yet": 0, "none": 0}
        for _ in range(KILLS):
            pid = server.start("publish_forever", NAME, size)
            end = time.monotonic() + random.uniform(0, 0.02)
            while time.monotonic() < end:
                seen[self._look()] += 1
            os.kill(pid, signal.SIGKILL)
            seen[self._look()] += 1
            eventually(partial(gone, pid), "the end of a killed process")
            with pytest.raises(FileNotFoundError):
                namedmap.attach(NAME)
            with namedmap.publish(NAME, numpy.arange(3)) as block, namedmap.attach(NAME) as other:
                assert block.created
                assert list(other.value) == [0, 1, 2]
        print(f"{KILLS} publishers of {size:,} bytes killed; attached: {seen}")
        assert seen["none"]

    def _look(self) -> str:
        try:
            with namedmap.attach(NAME) as block:
                array = block.value
                assert array.min() == array.max(), "a block that is half one, half another"
                return "whole"
        except FileNotFoundError:
            return "none"
        except BlockError as error:
            # Its memory is made before its header is written, which comes last.
            if "not published to the end yet" not in str(error):
                raise
            return "yet"

    @pytest.mark.leaves_dead_files
    def test_readers(self, server: Server) -> None:
        """Take nothing from anybody, and leave nothing: the publisher's last close frees the name."""
        before = sorted(os.listdir("/proc/self/fd"))
        block = namedmap.publish(NAME, numpy.arange(1000))
        for _ in range(KILLS):
            pids = [server.start("read_forever", NAME) for _ in range(2)]
            time.sleep(random.uniform(0, 0.01))
            kill(*pids)
            with namedmap.attach(NAME) as other:
                assert other.value.sum() == block.value.sum() == 499_500
        block.close()
        del block, other
        with pytest.raises(FileNotFoundError):
            namedmap.attach(NAME)
        assert sorted(os.listdir("/proc/self/fd")) == before
