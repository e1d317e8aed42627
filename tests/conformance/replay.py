"""Replay recorded behaviour against namedmap: python tests/conformance/replay.py FILE…

Each script runs in a process, a directory and a root for object files of its own. The root is in $NAMEDMAP_ROOT, else
in /dev/shm; one that is not in tmpfs changes results, since reserved pages fault in tmpfs only.

Every result that differs from the recorded one is printed. A difference in a command that changes state ends its
script, since what follows would only repeat it; the rest counts as failed, "not reached".

Hard results are those with a source, and all of a trace; the others are soft. Neither counts the results of functions
that this version lacks (`unsupported N`), nor those that differ but stand in waivers.txt with the fact of the kernel
that forbids them (`waived N`). The last line is `hard H/HT soft S/ST cases C/CT`; a case is in C when none of its
results differs. Exit status: 0 nothing differs, 1 something differs or a waiver is needless, 2 a file is malformed.
"""

import argparse
import contextlib
import signal
import sys
from collections import Counter
from pathlib import Path

import checkout  # noqa: F401 -- before the modules that import namedmap
import host
from runner import NOT_REACHED, Outcome, Runner, Verdict
from scoring import Case, MalformedFile, Waivers, load_cases, load_waivers

_WAIVERS = Path(__file__).with_name("waivers.txt")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Replay recorded results of Win32 calls against namedmap.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="cases or traces (see LANGUAGE.md)")
    parser.add_argument("--only", action="append", metavar="ID", help="replay only this case (may be repeated)")
    parser.add_argument("--quiet", action="store_true", help="print the totals and needless waivers only")
    parser.add_argument("--waivers", type=Path, default=_WAIVERS, metavar="PATH", help="instead of waivers.txt")
    parser.add_argument("--jobs", type=int, default=host.JOBS, help="cases that run at a time")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="for the result of one command")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    try:
        cases, waivers = _load(arguments)
    except MalformedFile as error:
        print(error, file=sys.stderr)
        return 2
    # Both then unwind, and end the processes and remove the directories.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    totals: Counter[str] = Counter()
    with contextlib.closing(Runner(waivers, arguments.timeout).run(cases, max(arguments.jobs, 1))) as outcomes:
        for outcome in outcomes:
            if not arguments.quiet:
                _print_differences(outcome)
            for index in outcome.needless:
                print(f"needless waiver: {outcome.case.id} {index}")
            totals += _count(outcome)
    return _conclude(totals)


def _load(arguments: argparse.Namespace) -> tuple[list[Case], Waivers]:
    cases = [case for file in arguments.files for case in load_cases(file)]
    if arguments.only:
        unknown = set(arguments.only) - {case.id for case in cases}
        if unknown:
            raise MalformedFile(f"no such case: {', '.join(sorted(unknown))}")
        cases = [case for case in cases if case.id in arguments.only]
    return cases, load_waivers(arguments.waivers)


def _print_differences(outcome: Outcome) -> None:
    case = outcome.case
    unreached = []
    for index, got in enumerate(outcome.got):
        verdict = outcome.verdict(index)
        if verdict not in (Verdict.FAILED, Verdict.WAIVED):
            continue
        if verdict is Verdict.FAILED and got == NOT_REACHED:
            unreached.append(index)
            continue
        what = "waived" if verdict is Verdict.WAIVED else "hard" if index in case.hard else "soft"
        print(f"{case.id} {index} {what}: {case.script[index]}\n    expected {case.expect[index]}\n    got      {got}")
        if verdict is Verdict.WAIVED:
            print(f"    because  {outcome.waivers[index]}")
    if unreached:
        print(f"{case.id} {unreached[0]} to {unreached[-1]}: {NOT_REACHED}, counted as failed: {len(unreached)}")
    if outcome.ending is not None:
        print(f"{case.id} end: its process\n    expected exit=0\n    got      {outcome.ending}")


def _count(outcome: Outcome) -> Counter[str]:
    counts = Counter(cases=1, clean=int(outcome.clean), needless=len(outcome.needless))
    for index in range(len(outcome.got)):
        verdict = outcome.verdict(index)
        if verdict in (Verdict.PASSED, Verdict.FAILED):
            kind = "hard" if index in outcome.case.hard else "soft"
            counts[f"{kind} {verdict.value}"] += 1
        else:
            counts[verdict.value] += 1
    return counts


def _conclude(totals: Counter[str]) -> int:
    print(f"unsupported {totals['unsupported']}")
    print(f"waived {totals['waived']}")
    hard, soft = (f"{kind} {totals[f'{kind} passed']}/{_all(totals, kind)}" for kind in ("hard", "soft"))
    print(f"{hard} {soft} cases {totals['clean']}/{totals['cases']}")
    return 1 if totals["clean"] < totals["cases"] or totals["needless"] else 0


def _all(totals: Counter[str], kind: str) -> int:
    return totals[f"{kind} passed"] + totals[f"{kind} failed"]


if __name__ == "__main__":
    sys.exit(main())
