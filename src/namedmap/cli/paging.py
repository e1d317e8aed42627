"""residency: which pages are in memory, as numbers, in the terminal, or as a picture."""

from typing import Any

import click

from namedmap import inspection
from namedmap.cli import _app, _output
from namedmap.cli._values import path_or_name, paths_and_names
from namedmap.inspection import Residency

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_ROWS = 8
_PICTURE_ROWS = 64


@_app.command(
    example="namedmap residency big.db\n"
    "namedmap residency big.db --term --prefetch\n"
    "namedmap residency big.db --plot big.png --evict\n"
    "namedmap residency telemetry --json"
)
@click.argument("source", metavar="PATH|NAME", shell_complete=paths_and_names)
@click.option("--term", is_flag=True, help="Draw it here.")
@click.option("--plot", type=click.Path(dir_okay=False), metavar="FILE", help="Draw it into a .png, .svg or .pdf file.")
@click.option("--prefetch", is_flag=True, help="Read all of it into memory; before and after are shown.")
@click.option("--evict", is_flag=True, help="Drop it from memory, as far as nobody has it mapped; before and after.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
@_app.as_json
def residency(
    source: str, term: bool, plot: str | None, prefetch: bool, evict: bool, quiet: bool, as_json: bool
) -> None:
    """Show which pages of a file, or of the shared memory NAME, are in memory.

    A word that has a slash in it, or is the path of a file, is a path; else a name. Pages that the disk does not have
    yet (dirty) are counted where the kernel tells (Linux 6.5).
    """
    if prefetch and evict:
        raise click.UsageError("--prefetch and --evict exclude each other")
    if plot:
        _require_matplotlib()
    with path_or_name(source):
        found = [("now", inspection.residency(source))]
    if prefetch or evict:
        with _output.progress(f"reading {source}", quiet=quiet or evict) as progress:
            inspection.evict(source) if evict else inspection.prefetch(source, progress)
        after = "after --evict" if evict else "after --prefetch"
        found = [("before", found[0][1]), (after, inspection.residency(source))]
    if plot:
        draw(plot, source, found)
    if as_json:
        _output.emit([{"when": when, **each.as_dict()} for when, each in found])
        return
    for when, each in found:
        click.echo(("" if len(found) == 1 else f"{when}: ") + _summary(each))
        if term:
            _draw_here(each)


def _summary(found: Residency) -> str:
    share = 100 * found.resident / found.pages if found.pages else 100.0
    least = "" if found.complete else "at least "
    text = f"{least}{found.resident:,} of {found.pages:,} pages in memory ({share:.1f} % of {_output.size(found.size)})"
    if found.dirty:
        text += f", {found.dirty:,} dirty"
    if found.writeback:
        text += f", {found.writeback:,} being written"
    return text


# -- in the terminal ---------------------------------------------------------------------------------------------------


def _draw_here(found: Residency) -> None:
    """A line or some of cells; each is as high as the share of its pages that is there."""
    width = max(_output.terminal_width() - 14, 10)
    cells = found.cells(min(width * _ROWS, max(found.pages, 1)))
    for start in range(0, len(cells), width):
        offset = found.size * start // len(cells)
        row = "".join(_cell(share) for share in cells[start : start + width])
        click.echo(f"{_short(offset):>10} │{row}│")


def _cell(share: float) -> str:
    # A page among many is not nothing, and all but one are not all.
    level = int(share * 8)
    return _EIGHTHS[1 if share > 0 and not level else level]


def _short(offset: int) -> str:
    return _output.size(offset).replace(" bytes", " B")


# -- as a picture ------------------------------------------------------------------------------------------------------


def _require_matplotlib() -> None:
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise click.ClickException("pictures need matplotlib: pip install 'namedmap[plot]'") from None
    matplotlib.use("Agg")


def draw(path: str, source: str, found: list[tuple[str, Residency]]) -> None:
    """A picture of the file, row by row from its beginning; dark is in memory. Raises click.ClickException."""
    import numpy
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.2 + 3.2 * len(found)), layout="constrained")
    axes = figure.subplots(len(found), 1, squeeze=False)[:, 0]
    for axis, (when, each) in zip(axes, found, strict=True):
        rows = max(min(_PICTURE_ROWS, each.pages // 8), 1)
        columns = max(min(256, -(-each.pages // rows)), 1)
        shares = numpy.array(each.cells(rows * columns)).reshape(rows, columns)
        image = axis.imshow(shares, aspect="auto", interpolation="nearest", cmap="Blues", vmin=0, vmax=1)
        axis.set_title(f"{'' if when == 'now' else when + ': '}{_summary(each)}", fontsize=11, loc="left")
        ticks = sorted({0, rows // 4, rows // 2, 3 * rows // 4})
        axis.set_yticks(ticks, [_short(each.size * tick // rows) for tick in ticks])
        axis.set_ylabel("offset of the row")
        axis.set_xlabel(f"a row is {_output.size(each.size // rows)}", fontsize=9)
        axis.set_xticks([])
    bar: Any = figure.colorbar(image, ax=list(axes), label="share of the pages that is in memory")
    bar.ax.yaxis.set_major_formatter("{x:.0%}")
    figure.suptitle(_output.safe(source), fontsize=13)
    try:
        figure.savefig(path, dpi=120)
    except ValueError as error:
        raise click.ClickException(f"cannot draw {path!r}: {error}") from None
