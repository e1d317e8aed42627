"""The output of the commands: JSON, tables, lines; on a terminal nothing that could drive it."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click

Progress = Callable[[int, int], None]

#: Columns that the last one of a table has at least.
_NARROW = 16
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def emit(value: Any) -> None:
    """A JSON document: indented on a terminal, a line otherwise."""
    indent = 2 if is_terminal() else None
    click.echo(json.dumps(value, indent=indent, default=_as_text))


def line(value: Any) -> str:
    """One JSON document of several, in a line."""
    return json.dumps(value, default=_as_text)


def emit_line(value: Any) -> None:
    """One of them, which the reader gets at once."""
    click.echo(line(value))
    flush()


def raw(data: bytes) -> None:
    """Bytes as they are."""
    flush()
    if sys.stdout is not None:
        sys.stdout.buffer.write(data)


def flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _as_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def terminal_width() -> int:
    return shutil.get_terminal_size().columns


def safe(text: str, keep: str = "") -> str:
    """Text of others, without characters that a terminal would obey; `keep`: such as "\\n\\t"."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else each.encode("unicode_escape").decode() for each in text
    )


def size(number: int | None) -> str:
    """Bytes for people."""
    if number is None:
        return "-"
    value, unit = float(number), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{number:,} bytes" if not unit else f"{value:.1f} {_UNITS[unit]}"


def span(seconds: float | None) -> str:
    """A length of time for people."""
    if seconds is None:
        return "-"
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def styled(text: str, **style: Any) -> str:
    """Text in colour, on a terminal whose user has nothing against it. Source: no-color.org."""
    return click.style(text, **style) if is_terminal() and not os.environ.get("NO_COLOR") else text


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns; on a terminal the last one is folded to its width, in a pipe every row is one line."""
    lines = [[safe(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    # Where the last column has no room, the terminal may fold the line: nothing of a row is left out.
    if is_terminal() and sum(widths[:-1]) + 2 * len(widths) + min(widths[-1], _NARROW) <= terminal_width():
        _draw(columns, lines)
        return
    for row in (columns, *lines):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _draw(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        drawn.add_column(column, overflow="fold", no_wrap=index + 1 < len(columns))
    for row in lines:
        drawn.add_row(*map(Text, row))
    draw = Console().print
    draw(drawn)


@contextlib.contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """A bar with rate and remaining time on stderr, if that is a terminal; None where there is nobody to look."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(TextColumn("{task.description}"), *columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(safe(what)), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def hex_dump(lines: Iterable[Any], *, every: bool = False) -> None:
    """Lines of `files.dump`; those that repeat the one before are folded into one `*`, unless `every`."""
    before, folded = b"", False
    last: Any = None
    for last in lines:
        if last.data == before and not every:
            if not folded:
                click.echo("*")
            folded = True
            continue
        before, folded = last.data, False
        click.echo(str(last))
    if folded:
        click.echo(str(last))
