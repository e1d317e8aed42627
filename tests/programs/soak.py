"""Kill processes at random while they create, open, use and close objects of a few names; look for what goes wrong.

    PYTHONPATH=tests python -m programs.soak [--seconds N] [--kills N] [--names N] [--workers N]

Workers live for milliseconds and end by SIGKILL, wherever they are, or now and then by themselves. The rules:

- a name that somebody holds can be opened again, by the holder and by others, and leads to the same object;
- all who hold a name at the same time hold the same object: the first to see a fresh section writes a random token into
  it, and every holder publishes the token that it sees on a board that all look at;
- a fresh section is all zeros, a view stays what it was, whoever ends or comes after it;
- nobody waits for the dead, and no call fails that should not;
- when all holders have gone the name is free, and one sweep leaves no file.

The last line sums up. Exit status 1 if anything was violated.
"""

import argparse
import contextlib
import ctypes
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from calls.kernel import namespace
from crews.names import KINDS, Board, Worker, demand, make_names

#: A round ends with all workers dead, and a look at what they left; in seconds.
ROUND = 1.5
WATCHDOG = 60.0
_PR_SET_CHILD_SUBREAPER = 36


class Soak:
    """The parent of all."""

    def __init__(self, seconds: float, enough: float, names: int, workers: int, scratch: Path) -> None:
        self.seconds, self.enough, self.workers = seconds, enough, workers
        self.report = scratch / "violations"
        self.report.touch()
        self.names = make_names(names, scratch)
        self.board = Board(workers, names)
        self.kills = self.ends = self.rounds = 0
        self._running: dict[int, tuple[int, float, bool]] = {}  # pid: slot, when its life is over, whether to kill then

    def run(self) -> int:
        """Returns the exit status."""
        begin = reported = time.monotonic()
        while time.monotonic() - begin < self.seconds and self.kills < self.enough and not self.violations():
            self._round(min(ROUND, self.seconds))
            if time.monotonic() - reported > 10:
                reported = time.monotonic()
                print(f"{reported - begin:6.0f} s  {self._summary()}", flush=True)
        violations = self.violations()
        if violations:
            print(violations, file=sys.stderr)
        verdict = "VIOLATED" if violations else "no violation"
        print(f"soak: {verdict}; {time.monotonic() - begin:.1f} s, {self._summary()}", flush=True)
        return 1 if violations else 0

    def _summary(self) -> str:
        return (
            f"{self.kills} kills, {self.ends} normal ends, {self.board.counted(2)} forks, {self.board.counted(0)} "
            f"operations, {self.board.counted(1)} fresh sections, {self.rounds} rounds"
        )

    def violations(self) -> str:
        return self.report.read_text("utf-8")

    def _complain(self, text: str) -> None:
        with open(self.report, "a", encoding="utf-8") as file:
            file.write(text + "\n")

    def _round(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for slot in range(self.workers):
            self._start(slot)
        while time.monotonic() < end:
            time.sleep(max(0.0, min(min(over for _, over, _ in self._running.values()), end) - time.monotonic()))
            self._kill(time.monotonic())
            for slot in self._reap():
                self._start(slot)
        self._kill(float("inf"))
        self._reap_all()
        self._look_back()
        self.rounds += 1

    def _start(self, slot: int) -> None:
        """Most live for milliseconds, some for longer; every tenth ends by itself, and must."""
        by_itself = random.random() < 0.1
        lifetime = random.expovariate(1 / 0.02) if random.random() < 0.9 else random.uniform(0.1, 0.5)
        self.board.clear(slot)
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            Worker(slot, self.board, self.names, self.report).run(random.randrange(1, 20) if by_itself else 1 << 60)
        self._running[pid] = (slot, time.monotonic() + (0.02 if by_itself else lifetime), not by_itself)

    def _kill(self, now: float) -> None:
        for pid, (slot, over, doomed) in list(self._running.items()):
            if over > now:
                continue
            if doomed or now == float("inf"):
                os.kill(pid, signal.SIGKILL)
                self.kills += 1
                self._running[pid] = (slot, float("inf"), doomed)
            else:
                self._running[pid] = (slot, now + 0.02, doomed)

    def _reap(self) -> list[int]:
        """Collect whoever has ended: the slots that are free again."""
        free: list[int] = []
        deadline = time.monotonic() + WATCHDOG
        while True:
            dying = any(over == float("inf") for _, over, _ in self._running.values())
            try:
                pid, status = os.waitpid(-1, 0 if dying else os.WNOHANG)
            except ChildProcessError:
                return free
            if not pid:
                return free
            if time.monotonic() > deadline:
                self._complain("killed processes do not end")
                return free
            self._judge(pid, status)
            slot, _, _ = self._running.pop(pid, (-1, 0, False))
            if slot >= 0:
                free.append(slot)
                self.board.clear(slot)

    def _reap_all(self) -> None:
        """Also the children of workers, whose orphans are ours."""
        deadline = time.monotonic() + WATCHDOG
        with contextlib.suppress(ChildProcessError):
            while time.monotonic() < deadline:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid:
                    self._judge(pid, status)
                    self._running.pop(pid, None)
                else:
                    time.sleep(0.001)
            self._complain(f"processes hang: {sorted(self._running)} or their children")
            os.killpg(0, signal.SIGKILL)

    def _judge(self, pid: int, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            self.ends += 1
        elif code not in (1, -signal.SIGKILL):  # 1 has complained itself
            self._complain(
                f"process {pid} died with {code}: {signal.Signals(-code).name if code < 0 else 'exit status'}"
            )

    def _look_back(self) -> None:
        """All are dead, so all names are free, and a sweep leaves nothing. In a process that has seen nothing yet."""
        pid = os.fork()
        if not pid:
            status = 1
            try:
                for name in self.names:
                    name.check_free()
                namespace.current().sweep()
                demand(not namespace.current().files(), f"a sweep leaves {namespace.current().files()}")
                status = 0
            except BaseException:
                self._complain(traceback.format_exc())
            os._exit(status)
        self._judge(*os.waitpid(pid, 0))
        self.ends -= 1


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill processes at random, and look for what that leaves.")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N", help="how long (60)")
    parser.add_argument("--kills", type=float, default=math.inf, metavar="N", help="stop after so many (never)")
    parser.add_argument(
        "--names", type=int, default=len(KINDS), metavar="N", help=f"names to compete for ({len(KINDS)})"
    )
    parser.add_argument("--workers", type=int, default=8, metavar="N", help="processes at a time (8)")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    scratch = Path(tempfile.mkdtemp(prefix="namedmap-soak-"))
    root = tempfile.mkdtemp(prefix="namedmap-soak-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    os.chmod(root, 0o1777)
    os.environ["NAMEDMAP_ROOT"] = root
    try:
        return Soak(options.seconds, options.kills, options.names, options.workers, scratch).run()
    finally:
        shutil.rmtree(scratch)
        shutil.rmtree(root)


if __name__ == "__main__":
    sys.exit(main())
