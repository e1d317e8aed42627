"""Tables: as text for the terminal, as Markdown for docs/benchmarks.md."""

import textwrap
from dataclasses import dataclass, field

from rounds import Series


@dataclass(frozen=True)
class Target:
    """A ratio, or another number, to be reached, and what it is: at most the limit, or at `least`.

    `mode` is the one of namedmap's that it is of, if there are two; `why` says in a line what stands in the way of it,
    for a run that misses it.
    """

    text: str
    limit: float
    reached: float
    unit: str = "x"
    least: bool = False
    why: str = ""
    mode: str = ""

    @property
    def good(self) -> bool:
        return self.reached >= self.limit if self.least else self.reached <= self.limit

    def __str__(self) -> str:
        return f"{self.text}; this run: {self.value}, {'reached' if self.good else 'MISSED'}"

    @property
    def value(self) -> str:
        return f"{self.reached:.2f}{self.unit}"


@dataclass
class Table:
    """One comparison: rows of series, with the ratio of each to one or two of them.

    `more` gives further columns: for each of their names, what stands in it for each row. `picture` names the picture
    that shows it, if one does; `size` is what one time handles, in bytes, where rates are of interest.
    """

    title: str
    text: str
    rows: list[Series]
    bases: list[tuple[str, Series]]
    targets: list[Target] = field(default_factory=list)
    unit: str = "µs"
    more: dict[str, dict[str, str]] = field(default_factory=dict)
    picture: str = ""
    size: int = 0

    def row(self, name: str) -> Series | None:
        """The row of a name, if there is one."""
        return next((row for row in self.rows if row.name == name), None)

    @property
    def by_processor(self) -> bool:
        """Whether the processor time of all rows is known."""
        return all(row.processor for row in self.rows)

    def judge(
        self,
        name: str,
        base: str,
        limit: float,
        *,
        clock: bool = False,
        faster: bool = False,
        why: str = "",
        mode: str = "",
    ) -> None:
        """A target of a row against a peer, if both are there: in processor time or by the clock.

        It is to take at most `limit` times as long, or to be so many times `faster`; rates are to be so many times
        the peer's at least.
        """
        row, other = self.row(name), self.row(base)
        if row is None or other is None:
            return
        rate = self.unit.startswith("/")
        clock = clock or rate or not self.by_processor
        one, two = (other, row) if faster else (row, other)
        reached = one.ratio(two) if clock else one.processor_ratio(two)
        how = "at least" if faster or rate else "at most"
        what = f"{limit:g}x {'faster than ' if faster else ''}{base}"
        ending = "" if rate else ", by the clock" if clock else ", in processor time"
        text = f"target: {name}: {how} {what}{ending}"
        self.targets.append(Target(text, limit, reached, least=faster or rate, why=why, mode=mode))

    def cells(self) -> list[list[str]]:
        known = " (processor)" if self.by_processor else ""
        ratios = [f"× {label}{known}" for label, _ in self.bases]
        head = ["", f"median {self.unit}{known}", f"min – max {self.unit}", *ratios, *self.more]
        return [head, *(self._row(row) for row in self.rows)]

    def _row(self, row: Series) -> list[str]:
        median = number(row.median)
        ratios = [f"{row.ratio(base):.2f}" for _, base in self.bases]
        if self.by_processor:
            median += f" ({number(row.processor_median)})"
            ratios = [
                f"{ratio} ({row.processor_ratio(base):.2f})"
                for ratio, (_, base) in zip(ratios, self.bases, strict=True)
            ]
        more = [column.get(row.name, "") for column in self.more.values()]
        return [row.name, median, f"{number(row.low)} – {number(row.high)}", *ratios, *more]


def number(value: float) -> str:
    """With as many digits as are worth reading."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def as_text(table: Table) -> str:
    cells = table.cells()
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [table.title]
    for row in cells:
        first, *others = (cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in
                          enumerate(zip(row, widths, strict=True)))  # fmt: skip
        lines.append("  " + "  ".join([first, *others]).rstrip())
    lines += [f"  {target}" for target in table.targets]
    return "\n".join(lines) + "\n"


def as_markdown(table: Table) -> str:
    head, *rows = table.cells()
    lines = [f"### {table.title}", "", filled(table.text), ""]
    lines += ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    if table.targets:
        lines += ["", *(f"- {target}" for target in table.targets)]
    return "\n".join(lines) + "\n"


def filled(text: str, following: str = "") -> str:
    """A paragraph in lines; those after the first begin with `following`."""
    return textwrap.fill(text, 120, subsequent_indent=following, break_on_hyphens=False, break_long_words=False)


#: Ways that this run could not measure, and why.
omitted: list[str] = []


def omit(text: str) -> None:
    """Note something that is left out: on the terminal now, on the page later."""
    print(f"Left out: {text}\n")
    omitted.append(text)
