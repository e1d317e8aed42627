"""watch: an object, whenever it changes. The watcher does not hold it, so it ends when the others let it go."""

import contextlib
import datetime
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import click

import namedmap
from namedmap import inspection
from namedmap.cli import _app, _output, _values
from namedmap.cli._values import name_argument, seconds
from namedmap.cli.listing import state
from namedmap.cli.naming import structure

#: Bytes that are watched if not said otherwise: what fits on a screen.
_SCREEN = 256
_ROW = 16


class Sight(NamedTuple):
    """The sight of a moment: content for JSON, and the bytes of it, if it has any."""

    content: Any
    data: bytes | None


@_app.command(
    example="namedmap watch sensor --fields '<If:count,temperature'\n"
    "namedmap watch picture --as hex --offset 4K --size 64\n"
    "namedmap watch backup.mutex\n"
    "namedmap watch greeting --json --count 10 | jq .content"
)
@name_argument
@click.option(
    "--as",
    "form",
    type=click.Choice(_values.FORMS),
    help="The form of the content; else hex on a terminal, or text.",
)
@click.option("--fields", metavar="STRUCT", help="Fields of a structure, as for read.")
@click.option("--offset", type=_values.size, default=0, help="Where to begin.")
@click.option("--size", type=_values.size, help="How much to watch; else what a screen holds, 256 bytes.")
@click.option("--interval", type=seconds, default=0.1, show_default=True, help="Seconds between looks.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many changes; the first sight is the first.")
@click.option("--timeout", type=seconds, help="End after so many seconds.")
@_app.as_json
def watch(name: str, interval: float, count: int | None, timeout: float | None, as_json: bool, **given: Any) -> None:
    """Show the object NAME whenever it changes: live on a terminal, a line for each change in a pipe.

    It does not keep the object alive, and ends when nobody holds it any more, or by Ctrl-C.
    """
    watched = inspection.Watched(name)
    with contextlib.ExitStack() as stack:
        look = _looker(name, given, stack)
        sights = _changes(watched, look, max(interval, 0.001), count, timeout)
        if _output.is_terminal() and not as_json:
            _live(name, sights, given)
        else:
            for sight in sights:
                _line(name, sight, as_json)
    if not watched.alive():
        _app.warn(f"{name!r} has ended: nobody holds it any more")


def _looker(name: str, given: dict[str, Any], stack: contextlib.ExitStack) -> Callable[[], Sight]:
    """A function that looks at the object."""
    form, fields = given["form"], given["fields"]
    kind = inspection.info(name).kind
    if kind != "section":
        if form or fields:
            raise click.UsageError(f"{name!r} is a {kind} and has no content: --as and --fields are for memory")
        return lambda: _state(name)
    form = form or (None if fields else "hex" if _output.is_terminal() else "text")
    kind, layout = structure(form, fields)
    # The view stays when the handle is closed, which would keep the name.
    with namedmap.open(name, "read") as mapping:
        room = mapping.size - given["offset"]
        length = given["size"] or (layout.size if layout else min(_SCREEN, room))
        view = stack.enter_context(mapping.view(given["offset"], length))

    def look() -> Sight:
        data = view.read()
        return Sight(_values.decoded(kind, layout, data), data)

    return look


def _state(name: str) -> Sight:
    try:
        found = inspection.info(name)
    except namedmap.NotFoundError:
        return Sight({"state": "ended", "waiters": 0, "holders": []}, None)
    return Sight(
        {"state": state(found), "waiters": found.waiters, "holders": [each.pid for each in found.holders]}, None
    )


def _changes(
    watched: inspection.Watched, look: Callable[[], Sight], interval: float, count: int | None, timeout: float | None
) -> Iterator[Sight]:
    """The sight at first, and then each time that it is another."""
    deadline = None if timeout is None else time.monotonic() + timeout
    before: Sight | None = None
    left = count
    while watched.alive():
        sight = look()
        if sight != before:
            yield sight
            before, left = sight, None if left is None else left - 1
            if left == 0:
                return
        rest = interval if deadline is None else min(interval, deadline - time.monotonic())
        if rest <= 0:
            return
        time.sleep(rest)


def _line(name: str, sight: Sight, as_json: bool) -> None:
    now = time.time()
    if as_json:
        _output.emit_line({"time": now, "name": name, "content": sight.content})
        return
    content = sight.content
    if isinstance(content, dict):
        content = " ".join(f"{key}={_flat(value)}" for key, value in content.items())
    elif not isinstance(content, str):
        content = str(content)
    when = datetime.datetime.fromtimestamp(now)
    click.echo(f"{when:%H:%M:%S.%f}  {_output.safe(content)}")
    _output.flush()


def _flat(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


# -- on a terminal -----------------------------------------------------------------------------------------------------


def _live(name: str, sights: Iterator[Sight], given: dict[str, Any]) -> None:
    """One picture that is drawn anew; what has changed since the one before stands out."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    before: Sight | None = None
    changes = 0
    with Live(auto_refresh=False) as live:
        for sight in sights:
            title = Text(f"{_output.safe(name)}  {datetime.datetime.now():%H:%M:%S}  {changes} changes", style="bold")
            live.update(Group(title, _picture(sight, before, given["offset"])), refresh=True)
            before, changes = sight, changes + 1


def _picture(sight: Sight, before: Sight | None, offset: int) -> Any:
    from rich.text import Text

    if isinstance(sight.content, dict):
        old = before.content if before and isinstance(before.content, dict) else sight.content
        text = Text()
        for key, value in sight.content.items():
            text.append(f"{_output.safe(str(key))}  ")
            text.append(f"{_output.safe(_flat(value))}\n", style="reverse" if old.get(key) != value else "")
        return text
    if sight.data is not None and sight.content == sight.data.hex():
        return _hex(sight.data, before.data if before and before.data else sight.data, offset)
    return Text(_output.safe(sight.content if isinstance(sight.content, str) else str(sight.content), keep="\n\t"))


def _hex(data: bytes, old: bytes, offset: int) -> Any:
    from rich.text import Text

    from namedmap.files import DumpLine

    text = Text()
    for start in range(0, len(data), _ROW):
        line = DumpLine(offset + start, data[start : start + _ROW], _ROW)
        shown = Text(f"{line}\n")
        shown.stylize("dim", 0, line.columns(0)[0][0])
        for index, byte in enumerate(line.data):
            for begin, end in line.columns(index) if byte != old[start + index] else ():
                shown.stylize("reverse", begin, end)
        text.append_text(shown)
    return text
