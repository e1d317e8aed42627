"""The command `namedmap`. Each module has a few commands and is loaded when one of them is called.

_app        the table of commands; options that all have; errors as one line and an exit status
_output     JSON, tables, progress bars, text that is safe on a terminal
_values     sizes and other arguments; content as text, bytes, hex, JSON, fields of a structure
_running    other programs: started, waited for, told of signals; by _signals on Linux, _console on Windows
naming      create, read, write
watching    watch
waiting     wait, signal, lock
listing     ls, info, gc, doctor
paging      residency, and its pictures
files       copy, dump, search, checksum, compare, patch
trying      bench, demo; run
"""

import sys

_MISSING = "namedmap: the command line needs {name}, which is not installed: pip install 'namedmap[cli]'\n"


def main(words: list[str] | None = None) -> None:
    """The command line; ends with the exit status that `namedmap --help` lists."""
    arguments = sys.argv[1:] if words is None else words
    if arguments[:1] == ["run"]:  # which needs neither click nor rich
        from namedmap.compat import run

        run.main(arguments[1:], "namedmap run")
        return
    try:
        from namedmap.cli import _app
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        sys.stderr.write(_MISSING.format(name=error.name))
        sys.exit(2)
    sys.exit(_app.main(arguments))
