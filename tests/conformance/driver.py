"""The driver: commands of LANGUAGE.md from standard input, one result line each to standard output."""

import os
import sys

from session import Session

from namedmap import win32


def main() -> None:
    # A process takes part in duplication of handles from its first call on.
    win32.GetCurrentProcessId()
    session = Session()
    for line in sys.stdin.buffer:
        command = line.decode("utf-8", "surrogateescape").rstrip("\n")
        if command.strip() and not command.lstrip().startswith("#"):
            os.write(1, session.run(command).encode("utf-8", "surrogateescape") + b"\n")


if __name__ == "__main__":
    main()
