"""ls, info, gc, doctor: what there is, and how it does."""

import datetime

import click

from namedmap import inspection
from namedmap._platform import objects
from namedmap.cli import _app, _output
from namedmap.cli._values import name_argument
from namedmap.inspection import Holder, ObjectInfo

_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "red"}


@_app.command(
    example="namedmap ls\nnamedmap ls --kind mutex\nnamedmap ls --json | jq -r '.[] | select(.handles > 1).name'"
)
@click.option("--kind", type=click.Choice(["section", "mutex", "semaphore", "event"]), help="Only these.")
@click.option("--everyone", is_flag=True, help="Also those of other users, as far as they may be seen.")
@_app.as_json
def ls(kind: str | None, everyone: bool, as_json: bool) -> None:
    """List the objects that are there: size, memory in use, age, creator, holders; and the files of dead ones."""
    found = [each for each in inspection.objects(everyone=everyone) if kind in (None, each.kind)]
    if as_json:
        _output.emit([each.as_dict() for each in found])
    elif found:
        columns = ("NAME", "KIND", "STATE", "SIZE", "IN USE", "AGE", "CREATOR", "HOLDERS")
        _output.table(columns, [_row(each) for each in found])


def _row(each: ObjectInfo) -> tuple[str, ...]:
    foreign = "" if each.owner == objects.user() else f" (user {each.owner})"
    return (
        each.name,
        each.kind,
        state(each) + foreign,
        _output.size(each.size),
        _output.size(each.used),
        _output.span(each.age),
        "-" if each.creator is None else str(each.creator),
        _holders(each),
    )


def state(each: ObjectInfo) -> str:
    """The state of an object in a few words."""
    if each.status != "live":
        return each.status
    words = [name for name in ("owned", "abandoned", "set") if each.state.get(name)]
    if each.kind == "semaphore":
        words.append(f"{each.state['value']} of {each.state['maximum']}")
    if each.kind == "mutex" and not words:
        words.append("free")
    if each.kind == "event" and not words:
        words.append("not set")
    if each.waiters:
        words.append(f"{each.waiters} waiting")
    return ", ".join(words) or "live"


def _holders(each: ObjectInfo) -> str:
    words = [_holder(holder) for holder in each.holders]
    if each.unseen:
        words.append(f"{each.unseen} handles of processes that cannot be seen")
    return ", ".join(words) or "-"


def _holder(holder: Holder) -> str:
    several = f" ×{holder.handles}" if holder.handles > 1 else ""
    owner = ", owner" if holder.owner else ""
    return f"{holder.pid} ({holder.command[:60] or '?'}{owner}){several}"


@_app.command(example="namedmap info telemetry\nnamedmap info 'Global\\backup.mutex' --json")
@name_argument
@_app.as_json
def info(name: str, as_json: bool) -> None:
    """Show everything about the object NAME, also the views that processes have of it."""
    found = inspection.info(name)
    if as_json:
        _output.emit(found.as_dict())
        return
    width = max(len(label) for label, _ in _lines(found))
    for label, text in _lines(found):
        click.echo(f"{label:<{width}}  {_output.safe(text)}")


def _lines(found: ObjectInfo) -> list[tuple[str, str]]:
    lines = [("name", found.name), ("kind", found.kind), ("state", state(found))]
    if found.problem:
        lines.append(("problem", found.problem))
    if found.size is not None:
        lines.append(("size", f"{found.size:,} bytes"))
    if found.used is not None:
        lines.append(("in use", f"{found.used:,} bytes of memory"))
    if found.created is not None:
        when = datetime.datetime.fromtimestamp(found.created).astimezone()
        lines.append(
            ("created", f"{when:%Y-%m-%d %H:%M:%S %z}, {_output.span(found.age)} ago, by process {found.creator}")
        )
    if found.owner is not None:
        lines.append(("owner", f"user {found.owner}, mode {found.mode}"))
    if found.protection:
        lines.append(("protection", found.protection + (", reserved" if found.reserved else "")))
    if found.file:
        lines.append(("file", found.file))
    if found.path:
        lines.append(("path", found.path))
    lines.append(("handles", f"{found.handles}, of them {found.unseen} of processes that cannot be seen"))
    lines += [("holder", _holder(each)) for each in found.holders]
    for view in found.views or ():
        place = f"{view.size:,} bytes from {view.offset:,} on, at {view.address:#x}, {view.access}"
        lines.append(("view", f"{view.pid} ({view.command[:60] or '?'}): {place}"))
    return lines


@_app.command(example="namedmap gc --dry-run\nnamedmap gc")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@_app.as_json
def gc(dry_run: bool, as_json: bool) -> None:
    """Remove the files that killed processes have left. An object that anybody holds is never removed."""
    left = inspection.collect(dry_run=dry_run)
    if as_json:
        _output.emit([each.as_dict() for each in left])
        return
    own = objects.user()
    for each in left:
        verb = "removed" if each.removed else "dead" if dry_run and each.owner == own else "cannot be removed:"
        owner = "" if each.owner == own else f", user {each.owner}'s, who must remove it"
        click.echo(f"{verb} {each.kind} {_output.safe(each.name)} ({_output.size(each.used)}{owner})")
    freed = sum(each.used for each in left if each.removed)
    count = sum(each.removed for each in left)
    click.echo(f"{count} removed, {_output.size(freed)} freed" if not dry_run else f"{len(left)} dead")


@_app.command(example="namedmap doctor\nnamedmap doctor --json | jq '.[] | select(.level != \"ok\")'")
@click.option("--quiet", "-q", is_flag=True, help="Only what is not ok.")
@_app.as_json
def doctor(quiet: bool, as_json: bool) -> int:
    """Look at /dev/shm, limits, the login manager, the kernel, and leftovers; each finding with its remedy.

    Ends with 1 if there is a problem, so that named objects do not work.
    """
    found = [each for each in inspection.doctor() if not quiet or each.level != "ok"]
    if as_json:
        _output.emit([each.as_dict() for each in found])
    else:
        for each in found:
            click.echo(f"{_output.styled(f'{each.level:<7}', fg=_COLOURS[each.level])}  {_output.safe(each.what)}")
            if each.remedy:
                click.echo(f"         → {_output.safe(each.remedy)}")
    return int(any(each.level == "problem" for each in found))
