"""The driver: commands of LANGUAGE.md from standard input, one result line each to standard output.

With `--keep` it runs script after script, each in a process forked for it: importing is slower than most scripts. The
keeper itself never calls namedmap, so that each script finds a process that has just started. It reads
`script<TAB>directory<TAB>root` and then nothing until the script's process, which reads the same channel up to a line
`end`, has exited; how it exited is then the keeper's answer, marked so that no result looks like it. Where no process
can fork, the keeper runs its first script itself, and ends with it.
"""

import gc
import os
import sys
from collections.abc import Iterable

import checkout  # noqa: F401 -- before the modules that import namedmap
import host
from channel import END, GONE, SCRIPT
from session import Session

from namedmap import win32


def _answer(result: str) -> None:
    os.write(1, result.encode("utf-8", "surrogatepass") + b"\n")


def _run_script(channel: Iterable[str]) -> None:
    # A process takes part in duplication of handles from its first call on.
    win32.GetCurrentProcessId()
    session = Session()
    for line in channel:
        if line.rstrip("\n") == END:
            session.end_children()
            return
        _answer(session.run(line))


def _keep(channel: Iterable[str]) -> None:
    gc.freeze()  # the end of no script looks through what was imported for what is garbage
    for line in channel:
        word, *places = line.rstrip("\n").split("\t")
        if word != SCRIPT:
            continue
        child = os.fork() if host.LASTS else 0
        if not child:
            directory, root = places
            os.chdir(directory)
            os.environ["NAMEDMAP_ROOT"] = root
            _run_script(channel)
            return
        _, status = os.waitpid(child, 0)
        _answer(f"{GONE}exit={os.waitstatus_to_exitcode(status)}")


def main() -> None:
    with open(0, encoding="utf-8", errors="surrogatepass", newline="\n", closefd=False) as channel:
        if sys.argv[1:] == ["--keep"]:
            _keep(channel)
        else:
            _run_script(channel)


if __name__ == "__main__":
    main()
