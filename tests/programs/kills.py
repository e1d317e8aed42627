"""Kill processes that wait for mutexes, semaphores and events, or own them; look for what goes wrong.

    PYTHONPATH=tests python -m programs.kills SCENARIO MODE [--scale X] [--seed N]

Scenarios and modes:

    mutex  none | holding | random    threads of 8 processes increment a plain counter under one mutex
    ring   none | waiting | random    producers and consumers, two semaphores, a ring
    all    none | holding | random    8 processes wait for all of five objects
    tokens none                       the same without mutexes
    event  none | waiting             an auto-reset event wakes as often as it is set

MODE says who is killed: nobody, one that says that it owns something, one that waits, or anybody at any time. The last
line sums up. Exit status 1 if anything was violated.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from calls.kernel import namespace
from crews import Crew, Violation
from crews.owners import Counter
from crews.ring import Ring
from crews.scenario import Scenario
from crews.several import All, Tokens
from crews.wakes import Wakes

SCENARIOS: dict[str, type[Scenario]] = {kind.name: kind for kind in (Counter, Ring, All, Tokens, Wakes)}


def attempt(scenario: str, mode: str, scale: float, seed: int, scratch: Path) -> str:
    """An account of the run; raises if anything was violated."""
    crew = Crew(scratch / "complaints", seed)
    try:
        done = SCENARIOS[scenario](crew, scale, mode).run()
        crew.run("sweeper", sweep)
        return f"{done}; {crew.started} processes, {crew.kills} killed"
    except Violation as violation:
        complaints = (scratch / "complaints").read_text("utf-8")
        raise Violation(f"{violation}\n{complaints}".rstrip()) from None
    finally:
        crew.dismiss()


def sweep() -> None:
    """Nobody has a handle any more: nothing is left but the files of the dead, which one sweep removes."""
    namespace.current().sweep()
    left = namespace.current().files()
    if left:
        raise Violation(f"a sweep leaves {left}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill processes that wait for objects, or own them.")
    parser.add_argument("scenario", choices=sorted(SCENARIOS))
    parser.add_argument("mode", choices=sorted({mode for kind in SCENARIOS.values() for mode in kind.modes}))
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="do X times as much (1)")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="of the parent's choices (random)")
    options = parser.parse_args()
    if options.mode not in SCENARIOS[options.scenario].modes:
        parser.error(f"{options.scenario} has the modes {', '.join(SCENARIOS[options.scenario].modes)}")
    seed = time.time_ns() % 2**32 if options.seed is None else options.seed
    scratch = Path(tempfile.mkdtemp(prefix="namedmap-kills-"))
    root = tempfile.mkdtemp(prefix="namedmap-kills-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    os.environ["NAMEDMAP_ROOT"] = root
    begin = time.monotonic()
    try:
        done = attempt(options.scenario, options.mode, options.scale, seed, scratch)
    except Violation as violation:
        print(f"kills: VIOLATED (seed {seed}): {violation}", file=sys.stderr, flush=True)
        return 1
    finally:
        shutil.rmtree(scratch)
        shutil.rmtree(root)
    print(f"kills: no violation; {time.monotonic() - begin:.1f} s, {done}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
