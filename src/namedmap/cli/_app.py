"""The table of commands, what all of them have, and how they end.

Only click is loaded here, and a command's module when the command is called: `namedmap --version` starts quickly, and
so does every command that does not draw.
"""

import codecs
import contextlib
import difflib
import errno
import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TextIO, TypeVar

import click

from namedmap import __version__

FAILED, USAGE, TIME_OVER, INTERRUPTED, BROKEN_PIPE = 1, 2, 124, 130, 141
_NOT_STARTED, _NOT_FOUND = 126, 127

#: By subject: the module, then its commands and what they do.
_COMMANDS = {
    "Named objects": {
        "create": ("naming", "make shared memory, a mutex, a semaphore or an event, and hold it"),
        "read": ("naming", "show what is in shared memory"),
        "write": ("naming", "put something into shared memory"),
        "watch": ("watching", "show an object whenever it changes"),
        "ls": ("listing", "list the objects that are there, and who holds them"),
        "info": ("listing", "show everything about one object, with the views of it"),
        "gc": ("listing", "remove what killed processes have left"),
        "doctor": ("listing", "look at what named objects depend on"),
    },
    "Waiting": {
        "wait": ("waiting", "wait for mutexes, semaphores and events"),
        "signal": ("waiting", "set an event, release a semaphore"),
        "lock": ("waiting", "run a command while holding a mutex"),
    },
    "Files": {
        "copy": ("files", "copy a file"),
        "dump": ("files", "show the bytes of a file or of shared memory"),
        "search": ("files", "find bytes or a regular expression in a file"),
        "checksum": ("files", "compute the hash of files"),
        "compare": ("files", "find where two files differ"),
        "patch": ("files", "change bytes of a file in place"),
        "residency": ("paging", "draw which pages of a file are in memory"),
    },
    "Programs": {
        "run": ("trying", "run a Python program that was written for Windows"),
        "bench": ("trying", "measure how fast it is here"),
        "demo": ("trying", "show what it does"),
    },
}
_MODULES = {name: module for commands in _COMMANDS.values() for name, (module, _) in commands.items()}

_EPILOG = """\b
Examples:
  namedmap create telemetry --size 4K          hold shared memory until Ctrl-C
  namedmap write telemetry hello               from another terminal
  namedmap lock backup.mutex -- ./backup.sh    one at a time
  namedmap copy big.iso /mnt/usb/ --verify sha256
  namedmap ls --json

Exit status: 0 done; 1 failed; 2 wrong arguments; 124 the time was over; 130 interrupted; 141 the reader of the output
has gone. lock and create end with the status of their command (128 + n if signal n ended it; 126 and 127 if it could
not be started); search and compare with 1 if there is no match, or a difference.

NAME is X, Local\\X or Global\\X. Shell completion: eval "$(_NAMEDMAP_COMPLETE=bash_source namedmap)"
(zsh_source, fish_source)."""


@contextlib.contextmanager
def _pipe() -> Iterator[None]:
    """The status of a broken pipe; click would end with 1."""
    try:
        yield
    except OSError as error:
        if not _is_broken_pipe(error):
            raise
        _drop_output()
        raise click.exceptions.Exit(BROKEN_PIPE) from None


def _is_broken_pipe(error: BaseException) -> bool:
    """Whether the reader of the output has gone, for which the C library of Windows has EINVAL (cpython#79935)."""
    if isinstance(error, BrokenPipeError):
        return True
    if type(error) is not OSError or error.errno != errno.EINVAL or error.filename is not None:
        return False
    from namedmap._platform import native

    return native


class Commands(click.Group):
    """Commands that are loaded when they are called; `--help` lists them without loading any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(f"namedmap.cli.{_MODULES[cmd_name]}")
        found: click.Command = getattr(module, cmd_name)
        return found

    def make_context(self, *given: Any, **named: Any) -> click.Context:
        with _pipe():  # which --help and --version write to
            return super().make_context(*given, **named)

    def invoke(self, ctx: click.Context) -> Any:
        with _pipe():
            return super().invoke(ctx)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in _MODULES and not ctx.resilient_parsing and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], _MODULES, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for subject, commands in _COMMANDS.items():
            with formatter.section(subject):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


# It is looked for before the words are parsed, which may fail as well.
debugging = click.option("--debug", is_flag=True, expose_value=False, help="Show where in the program an error arose.")


@click.group(
    cls=Commands,
    epilog=_EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(__version__, message="namedmap %(version)s")
@debugging
@click.pass_context
def app(ctx: click.Context) -> None:
    """Windows named shared memory, mutexes, semaphores and events, and big files, on the command line."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


# -- what the commands are made with -----------------------------------------------------------------------------------

Function = TypeVar("Function", bound=Callable[..., Any])


def command(*, cls: type[click.Command] = click.Command, example: str, **settings: Any) -> Callable[[Function], Any]:
    """A command with `--debug`, and examples at the end of its help."""

    def decorate(function: Function) -> click.Command:
        epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in example.splitlines())
        made: click.Command = click.command(cls=cls, epilog=epilog, **settings)(debugging(function))
        return made

    return decorate


class WithProgram(click.Command):
    """A command line whose words behind `--` are another program's; they are passed as `program`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.params["program"] = args[at + 1 :]
        ctx.meta["program"] = at < len(args)
        return super().parse_args(ctx, args[:at])


class Passing(click.Command):
    """A command that passes on words which it does not know, options as well."""

    ignore_unknown_options = True
    allow_interspersed_args = False


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def warn(text: str) -> None:
    """A line for people, beside the output; where nobody can have it, the exit status has to do."""
    try:
        click.echo(f"namedmap: {' '.join(text.split())}", err=True)
    except OSError:
        _drop(sys.stderr)


def refuse_to_run(word: str, error: OSError) -> NoReturn:
    """End with the status that a shell has for a program that could not be started."""
    warn(f"cannot run {word!r}: {error.strerror}")
    raise click.exceptions.Exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_STARTED)


# -- how it ends -------------------------------------------------------------------------------------------------------


def main(words: list[str]) -> int:
    """Run a command line; returns its exit status."""
    _unwind_at_end()
    _escape_what_cannot_be_said()
    debug = "--debug" in words[: words.index("--") if "--" in words else None]
    try:
        result = app.main(words, "namedmap", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException as error:
        status, text = _ending(error)
        if debug and text:
            traceback.print_exc()
        elif text:
            warn(text)
        _settle_output()
        return status
    return result if isinstance(result, int) else 0


def _unwind_at_end() -> None:
    """Let `kill` and a closed terminal end the program as an exception does: it closes and removes what it should."""
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):  # the last is Windows' for Ctrl-Break and a closed console
        number = signal.Signals.__members__.get(name)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP, which stays so
            signal.signal(number, _end)


def _escape_what_cannot_be_said() -> None:
    """Where the output has an encoding without some characters, as on Windows in a pipe, they come as escapes."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not codecs.lookup(sys.stdout.encoding).name.startswith("utf"):
        sys.stdout.reconfigure(errors="backslashreplace")


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


def _ending(error: BaseException) -> tuple[int, str]:
    """The exit status for an exception, and what to say about it."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0, ""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code, ""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return INTERRUPTED, ""
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "namedmap"
        return USAGE, f"{error.format_message().rstrip('.')} (see {path} --help)"
    if isinstance(error, click.ClickException):
        return error.exit_code, error.format_message()
    if _is_broken_pipe(error):
        _drop_output()
        return BROKEN_PIPE, ""
    return FAILED, _text(error)


def _text(error: BaseException) -> str:
    from namedmap.errors import Error

    if isinstance(error, Error):
        return error.message
    if isinstance(error, OSError) and error.strerror:
        where = [f"{name!r}" for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([", ".join(where), error.strerror] if where else [error.strerror])
    if isinstance(error, ValueError | ImportError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error} (--debug shows where)"


def _settle_output() -> None:
    """Buffered output goes out now or never: a failure at the interpreter's exit would be a traceback."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        _drop_output()


def _drop_output() -> None:
    """Nobody reads the output any more, or there is no room for it: what is buffered goes nowhere."""
    _drop(sys.stdout)


def _drop(stream: TextIO | None) -> None:
    with contextlib.suppress(OSError, ValueError):
        if stream is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
