"""create, read, write: named objects and what is in them."""

import contextlib
from typing import Any

import click

import namedmap
from namedmap import inspection
from namedmap.cli import _app, _output, _running, _values
from namedmap.cli._values import Structure, name_argument

_form = click.option(
    "--as",
    "form",
    type=click.Choice(_values.FORMS),
    help="The form of the content; else text, which ends at a NUL.",
)
_fields = click.option(
    "--fields", metavar="STRUCT", help="Fields of a structure, as for Python's struct: '<IfHH:count,temp,a,b'."
)
_DEFAULT_SIZE = 4096


def structure(form: str | None, fields: str | None) -> tuple[str, Structure | None]:
    """The form that is meant, and the structure of its fields."""
    if form == "fields" and fields is None:
        raise click.UsageError("say which fields: --fields '<IfHH:count,temp,a,b'")
    if fields is not None and form not in (None, "fields"):
        raise click.UsageError(f"--fields and --as {form} exclude each other")
    return form or "text", None if fields is None else Structure(fields)


# -- create ------------------------------------------------------------------------------------------------------------


@_app.command(
    cls=_app.WithProgram,
    example="namedmap create telemetry --size 1M\n"
    "namedmap create greeting 'hello, world'\n"
    "namedmap create sensor --fields '<If:count,temperature' count=0 temperature=21.5\n"
    "namedmap create slots --kind semaphore --value 2 --maximum 2 -- make -j4 check",
)
@name_argument
@click.argument("content", nargs=-1)
@click.option(
    "--kind", type=click.Choice(["memory", "mutex", "semaphore", "event"]), default="memory", help="The object to make."
)
@click.option("--size", type=_values.size, help="Of the memory; else what the content needs, or 4096 bytes.")
@_form
@_fields
@click.option("--mode", metavar="OCTAL", help="Permissions of the memory, as for chmod; else the user alone (600).")
@click.option("--value", type=click.IntRange(min=0), help="Of the semaphore at first; 1 if not said.")
@click.option("--maximum", type=click.IntRange(min=1), help="Of the semaphore.")
@click.option("--auto", is_flag=True, help="The event lets one pass each time it is set; else all.")
@click.option("--set", "signaled", is_flag=True, help="The event is set at first.")
@click.option("--or-open", is_flag=True, help="Hold the object also if it exists already.")
@click.option("--hold", is_flag=True, help="Hold the object until Ctrl-C also after the command has ended.")
@_app.as_json
@click.pass_context
def create(ctx: click.Context, /, name: str, hold: bool, as_json: bool, program: list[str], **given: Any) -> int:
    """Make an object, and hold it until Ctrl-C, or while COMMAND (behind --) runs.

    Without a holder there is no object: it ends with the last program that has it. CONTENT is what the memory begins
    with; - reads it from stdin.
    """
    if ctx.meta["program"] and not program:
        raise click.UsageError("there is no command behind --")
    with contextlib.closing(_made(name, given)) as made:
        if as_json:
            _output.emit_line(inspection.info(name).as_dict())
        elif not program or hold:
            verb = "created" if made.created else "opened"
            click.echo(f"{verb} {given['kind']} {_output.safe(name)}; it is held until Ctrl-C")
            _output.flush()
        status = _running.run(program) if program else 0
        if hold or not program:
            _running.hold()
    return status


def _made(name: str, given: dict[str, Any]) -> Any:
    kind = given["kind"]
    _refuse_strangers(kind, given)
    if kind == "mutex":
        return (namedmap.Mutex if given["or_open"] else namedmap.Mutex.create)(name)
    if kind == "semaphore":
        value = 1 if given["value"] is None else given["value"]
        return (namedmap.Semaphore if given["or_open"] else namedmap.Semaphore.create)(name, value, given["maximum"])
    if kind == "event":
        make = namedmap.Event if given["or_open"] else namedmap.Event.create
        return make(name, manual=not given["auto"], signaled=given["signaled"])
    return _memory(name, given)


_BELONGING = {
    "memory": ("content", "size", "form", "fields", "mode"),
    "semaphore": ("value", "maximum"),
    "event": ("auto", "signaled"),
}


def _refuse_strangers(kind: str, given: dict[str, Any]) -> None:
    """No option of another kind of object is passed over in silence."""
    for other, names in _BELONGING.items():
        for each in names:
            if other != kind and given[each] not in (None, False, ()):
                option = {"content": "CONTENT", "form": "--as", "signaled": "--set"}.get(each, f"--{each}")
                raise click.UsageError(f"{option} is for --kind {other}, not for {kind}")


def _memory(name: str, given: dict[str, Any]) -> namedmap.FileMapping:
    form, layout = structure(given["form"], given["fields"])
    pieces = _values.encoded(form, layout, given["content"], None) if given["content"] else []
    needed = max((offset + len(data) for offset, data in pieces), default=_DEFAULT_SIZE)
    size = given["size"] or (max(needed, layout.size) if layout and pieces else layout.size if layout else needed)
    make = namedmap.open_or_create if given["or_open"] else namedmap.create
    mapping = make(name, size, mode=_mode(given["mode"]))
    try:
        _store(mapping, 0, pieces)
    except BaseException:
        mapping.close()
        raise
    return mapping


def _mode(text: str | None) -> int | None:
    try:
        return None if text is None else int(text, 8)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no mode: three octal digits, as for chmod") from None


def _store(mapping: namedmap.FileMapping, start: int, pieces: list[tuple[int, bytes]]) -> int:
    # The furthest first: if that does not fit, nothing has been written.
    pieces = sorted(pieces, key=lambda piece: piece[0] + len(piece[1]), reverse=True)
    with mapping.view() as view:
        return sum(view.write(start + offset, data) for offset, data in pieces)


# -- write, read -------------------------------------------------------------------------------------------------------


@_app.command(
    example="namedmap write greeting 'hello again'\n"
    "namedmap write sensor --fields '<If:count,temperature' count=7\n"
    "namedmap write picture --as bytes - < picture.raw\n"
    "namedmap write picture --as hex --offset 0x10 'de ad be ef'"
)
@name_argument
@click.argument("content", nargs=-1)
@_form
@_fields
@click.option("--offset", type=_values.size, default=0, help="Where to begin.")
@_app.as_json
def write(
    name: str, content: tuple[str, ...], form: str | None, fields: str | None, offset: int, as_json: bool
) -> None:
    """Put CONTENT, or stdin, into the shared memory NAME, which somebody must hold.

    Text is followed by a NUL if it fits. Of --fields, those are written that are given as FIELD=VALUE.
    """
    kind, layout = structure(form, fields)
    with namedmap.open(name) as mapping:
        pieces = _values.encoded(kind, layout, content, mapping.size - offset)
        written = _store(mapping, offset, pieces)
    if as_json:
        _output.emit({"name": name, "offset": offset, "written": written})


@_app.command(
    example="namedmap read greeting\n"
    "namedmap read sensor --fields '<If:count,temperature' --json\n"
    "namedmap read picture --as bytes > picture.raw"
)
@name_argument
@_form
@_fields
@click.option("--offset", type=_values.size, default=0, help="Where to begin.")
@click.option("--size", type=_values.size, help="How much to read; else the rest.")
@_app.as_json
def read(name: str, form: str | None, fields: str | None, offset: int, size: int | None, as_json: bool) -> None:
    """Show what is in the shared memory NAME."""
    kind, layout = structure(form, fields)
    with namedmap.open(name, "read") as mapping, mapping.view(access="read") as view:
        data = view.read(offset, size)
    content = _values.decoded(kind, layout, data)
    if as_json:
        _output.emit({"name": name, "offset": offset, "size": len(data), "content": content})
    elif kind == "bytes":
        _output.raw(data)
    elif kind == "text" and layout is None and not _output.is_terminal():
        _output.raw(data.partition(b"\0")[0])
    elif layout is not None:
        _output.table(("field", "value"), [(name, _plain(value)) for name, value in content.items()])
    elif kind == "json":
        _output.emit(content)
    else:
        click.echo(_output.safe(content, keep="\n\t"))


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
