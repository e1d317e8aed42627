"""The pictures of docs/benchmarks/, drawn from tables.

The colours are those of Okabe and Ito, which the colour-blind can tell apart; shapes say the same once more. The ground
is white also where the page is dark, so that one picture serves both.
"""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modes import WITHOUT
from page import Part, Picture
from report import Table, Target, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _VERMILION, _GREEN, _PURPLE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#009E73", "#AA4499", "#E69F00", "#666666"
#: For each way of copying in turn, namedmap first.
_LINES = [(_BLUE, "o"), (_GREEN, "s"), (_PURPLE, "D"), (_VERMILION, "^"), (_ORANGE, "v"), ("#000000", "P")]
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "figure.facecolor": "white",
    # Letters, not their outlines, which take some times the room. Readers who lack matplotlib's own font have a
    # narrower one, which fits into its place. And the same numbers give the same file.
    "svg.fonttype": "none",
    "svg.hashsalt": "namedmap",
}
_WIDTH = 9.0
#: From this ratio of the largest to the smallest on, an axis is logarithmic.
_WIDE = 12.0
_WRAP = 56

#: The names of the pictures, and what is to be seen in them.
_TEXTS = {
    "copying": "How fast files are copied, by size and way: higher is better. The files are in the page cache. Points "
    "are medians, the lines through them reach from the slowest to the fastest round.",
    "elsewhere": "How long copying takes from the disk, with holes, and in memory: further left is better.",
    "reading": "How long searching and hashing take: further left is better.",
    "naming": "How long creating and opening take: further left is better.",
    "library": "How long the Python classes take: further left is better.",
    "handing": "How long it takes until four processes have an array: further left is better.",
    "waiting": "How long locks take, alone and between processes: further left is better.",
    "fighting": "How often processes that contend for a lock get it: further right is better.",
}
#: All that may be drawn.
NAMES = (*_TEXTS, *(f"targets-{part}" for part in ("files", "sections", "library", "waiting")))


def draw(part: Part, directory: Path, page: Path) -> Iterator[Picture]:
    """Draw the pictures of a part into a directory; yields them as the page, a file, is to name them.

    Raises ModuleNotFoundError without matplotlib.
    """
    for name in dict.fromkeys(table.picture for table in part.tables if table.picture):
        shown = [table for table in part.tables if table.picture == name]
        paint: Callable[[Sequence[Table]], Figure] = _rates if name == "copying" else _panels
        yield _saved(partial(paint, shown), directory / f"{name}.svg", page, _TEXTS[name])
    if part.judged:
        text = f"Targets, {part.title[0].lower()}{part.title[1:]}: left of the line they were reached."
        yield _saved(partial(_targets, part.judged), directory / f"targets-{part.key}.svg", page, text)


def _saved(paint: "Callable[[], Figure]", path: Path, page: Path, text: str) -> Picture:
    import matplotlib

    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(_STYLE):
        paint().savefig(path, metadata={"Date": None})
    return Picture(path.relative_to(page.parent).as_posix(), text)


def _figure(height: float, rows: int = 1, heights: Sequence[float] = (1,)) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    grid = figure.subplots(rows, 1, squeeze=False, height_ratios=heights)
    return figure, list(grid[:, 0])


# -- rates by size -----------------------------------------------------------------------------------------------------


def _rates(tables: Sequence[Table]) -> "Figure":
    """A line for each row: how many bytes in a second at each size."""
    figure, (axes,) = _figure(4.6)
    names = list(dict.fromkeys(row.name for table in tables for row in table.rows))
    for at, name in enumerate(names):
        colour, marker = _LINES[at % len(_LINES)]
        # A little beside one another, so that their ranges can be told apart.
        sizes, rates, below, above = [], [], [], []
        for table in tables:
            for row in (row for row in table.rows if row.name == name):
                middle, low, high = (table.size / time / 1e6 for time in (row.median, row.high, row.low))
                sizes.append(table.size * 1.06 ** (at - len(names) / 2))
                rates.append(middle)
                below.append(middle - low)
                above.append(high - middle)
        axes.errorbar(
            sizes,
            rates,
            yerr=[below, above],
            label=name,
            color=colour,
            marker=marker,
            markersize=7,
            linewidth=2.4 if at == 0 else 1.2,
            elinewidth=1,
            zorder=10 - at,
        )
    sized = {table.size: table.title.split(",")[0].removeprefix("Copying ") for table in tables}
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(sized), list(sized.values()))
    axes.minorticks_off()
    axes.set_xlim(min(sized) / 1.6, max(sized) * 1.6)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("size of the file")
    axes.set_ylabel("GB/s")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


# -- rows of tables ----------------------------------------------------------------------------------------------------


def _panels(tables: Sequence[Table]) -> "Figure":
    """The tables one below the other, with a line for each row."""
    rows = [len(table.rows) for table in tables]
    figure, panels = _figure(
        sum(0.27 * count + 1.05 for count in rows) + 0.35, len(tables), [each + 2.2 for each in rows]
    )
    for axes, table in zip(panels, tables, strict=True):
        _panel(axes, table)
    names = [row.name for table in tables for row in table.rows]
    keys = [_key(*_looks("namedmap"), "namedmap"), _key(*_looks(""), "others")]
    if any(WITHOUT in name for name in names):
        keys.append(_key(*_looks("namedmap"), WITHOUT))
        keys[-1].set_markerfacecolor("white")
    if any(map(_is_floor, names)):
        keys.append(_key(*_looks("floor"), "floor"))
    figure.legend(handles=keys, loc="outside upper right", ncols=4, frameon=False)
    return figure


def _panel(axes: "Axes", table: Table) -> None:
    places = range(len(table.rows))
    lows, highs = [row.low for row in table.rows], [row.high for row in table.rows]
    medians = [row.median for row in table.rows]
    for at, row in enumerate(table.rows):
        colour, marker = _looks(row.name)
        axes.plot([row.low, row.high], [at, at], color=colour, linewidth=2, alpha=0.5, solid_capstyle="butt")
        filling = "white" if WITHOUT in row.name else colour
        axes.plot([row.median], [at], color=colour, marker=marker, markersize=8, markerfacecolor=filling)
        axes.text(1.02, at, number(row.median), transform=axes.get_yaxis_transform(), va="center", ha="left")
    unit = table.unit
    if min(lows) > 0 and max(medians) / min(medians) > _WIDE:
        axes.set_xscale("log")
        unit += " (logarithmic)"
        _whole_decades(axes, min(lows), max(highs))
    else:
        axes.set_xlim(0, max(highs) * 1.05 or 1)
        axes.xaxis.set_major_formatter("{x:,.10g}")
    axes.set_yticks(list(places), [textwrap.fill(row.name, 48) for row in table.rows])
    axes.set_ylim(len(table.rows) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_title(table.title)
    axes.set_xlabel(unit, loc="right", fontsize=9)


def _whole_decades(axes: "Axes", low: float, high: float) -> None:
    """Limits and ticks of a logarithmic axis, with numbers as people write them."""
    axes.set_xlim(low / 1.3, high * 1.3)
    # As many as have room for their digits.
    steps = (1, 2, 5) if high / low < 1000 and high < 10_000 else (1,)
    ticks = [step * 10.0**power for power in range(-4, 10) for step in steps]
    ticks = [tick for tick in ticks if low / 1.3 <= tick <= high * 1.3]
    axes.set_xticks(ticks, [f"{tick:,.12g}" for tick in ticks])
    axes.minorticks_off()


def _is_floor(name: str) -> bool:
    return name.startswith("floor")


def _looks(name: str) -> tuple[str, str]:
    """The colour and the shape of a row."""
    if _is_floor(name):
        return _GREY, "D"
    return (_BLUE, "o") if "namedmap" in name or "View" in name or "live" in name else (_VERMILION, "s")


def _key(colour: str, marker: str, label: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=marker, linestyle="", markersize=8, label=label)


# -- targets -----------------------------------------------------------------------------------------------------------


def _targets(judged: Sequence[tuple[Table, Target]]) -> "Figure":
    """For each target how far it was reached: 1 is just so, 2 is missed by a factor of two."""
    lines = list(_lines(judged))
    tall = sum(text.count("\n") + 1 for text, _ in lines)
    figure, (axes,) = _figure(0.19 * tall + 1.3)
    at, places, labels = 0.0, [], []
    shares = []
    for text, target in lines:
        height = text.count("\n") + 1
        place = at + (height - 1) / 2
        places.append(place)
        labels.append(text)
        at += height
        if target is None:
            continue
        share = _share(target)
        shares.append(share)
        colour, marker = (_BLUE, "o") if target.good else (_VERMILION, "X")
        axes.plot([1, share], [place, place], color=colour, linewidth=1.5, alpha=0.6)
        axes.plot([share], [place], color=colour, marker=marker, markersize=8)
        axes.text(1.02, place, target.value, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    axes.set_xscale("log")
    low, high = min([*shares, 0.5]) / 1.4, max([*shares, 2]) * 1.4
    axes.set_xlim(low, high)
    ticks = [share for share in (0.01, 0.03, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 100) if low <= share <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.axvline(1, color="black", linewidth=1.2)
    axes.axvspan(low, 1, color=_BLUE, alpha=0.07, linewidth=0)
    axes.set_yticks(places, labels, fontsize=9)
    for label, (_, target) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if target is None else "normal")
    axes.set_ylim(at - 0.2, -0.8)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of the limit: 1 is just reached, 2 misses it by a factor of two (logarithmic)")
    handles = [_key(_BLUE, "o", "reached"), _key(_VERMILION, "X", "missed")]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False)
    return figure


def _lines(judged: Sequence[tuple[Table, Target]]) -> Iterator[tuple[str, Target | None]]:
    """The tables as headings, below each its targets."""
    before: Table | None = None
    for table, target in judged:
        if table is not before:
            yield textwrap.fill(table.title, _WRAP), None
            before = table
        what = target.text.removeprefix("target: ")
        yield textwrap.fill(what, _WRAP), target


def _share(target: Target) -> float:
    """The result as a share of the limit; above 1 it is missed. Nothing at all is as good as a thousandth."""
    reached, limit = max(target.reached, target.limit / 1000), target.limit
    return limit / reached if target.least else reached / limit
