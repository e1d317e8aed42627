"""Tables: as text for the terminal, as Markdown for docs/benchmarks.md."""

import textwrap
from dataclasses import dataclass, field

from rounds import Series


@dataclass(frozen=True)
class Target:
    """A ratio, or another number, to be reached, and what it is: at most the limit, or at `least`."""

    text: str
    limit: float
    reached: float
    unit: str = "x"
    least: bool = False

    def __str__(self) -> str:
        good = self.reached >= self.limit if self.least else self.reached <= self.limit
        return f"{self.text}; this run: {self.reached:.2f}{self.unit}, {'reached' if good else 'MISSED'}"


@dataclass
class Table:
    """One comparison: rows of series, with the ratio of each to one or two of them.

    `more` gives further columns: for each of their names, what stands in it for each row.
    """

    title: str
    text: str
    rows: list[Series]
    bases: list[tuple[str, Series]]
    targets: list[Target] = field(default_factory=list)
    unit: str = "µs"
    more: dict[str, dict[str, str]] = field(default_factory=dict)

    def cells(self) -> list[list[str]]:
        ratios = [f"× {label}" for label, _ in self.bases]
        head = ["", f"median {self.unit}", f"min – max {self.unit}", *ratios, *self.more]
        return [head, *(self._row(row) for row in self.rows)]

    def _row(self, row: Series) -> list[str]:
        ratios = [f"{row.ratio(base):.2f}" for _, base in self.bases]
        more = [column.get(row.name, "") for column in self.more.values()]
        return [row.name, number(row.median), f"{number(row.low)} – {number(row.high)}", *ratios, *more]


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
    lines = [f"## {table.title}", "", textwrap.fill(table.text, 120, break_on_hyphens=False), ""]
    lines += ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    if table.targets:
        lines += ["", *(f"- {target}" for target in table.targets)]
    return "\n".join(lines) + "\n"


_INTRODUCTION = """\
# Benchmarks

One run of `make bench`, written by `benchmarks/run.py --write docs/benchmarks.md`. Numbers of another machine will be
others; the ratios are what to look at, and to compare on one's own machine.

- All rows of a table are measured in the same run, in interleaved rounds; a sample is the mean of one round. Medians,
  minima and maxima are over the rounds; a ratio is the median of the ratios within each round.
- Everything is called from Python, as its users call it: namedmap and the peers alike.
- "touch" stores one byte. Sizes are 64 KiB unless said otherwise. The garbage collector runs as usual.
- The *floor* is the sequence of system calls that namedmap makes for the same thing, written out straight-line in
  Python with all arguments prepared (`benchmarks/floor.py`; of locks, semaphores and events
  `benchmarks/lockpeers.py`). It is what namedmap's rules cost in the kernel; the rest of its time is its Python code.
  `benchmarks/run.py --check-floor` compares the two with strace.
- namedmap allocates the memory of a section when it is created (`posix_fallocate`), so that a store into it cannot end
  in SIGBUS. The peers allocate at the first touch of each page. The rows "+ fallocate" make them do the same; the rows
  `SEC_RESERVE` make namedmap do without.
- Locks and semaphores are used with the defaults of their packages. filelock and portalocker look again every 50 and
  250 ms while they wait (portalocker with a limit of 60 s, not 5); the others sleep until they are woken, namedmap
  after it has looked again for 0.1 ms.
"""


def document(machine: list[tuple[str, str]], circumstances: str, tables: list[Table]) -> str:
    facts = "\n".join(f"| {what} | {value} |" for what, value in machine)
    parts = [_INTRODUCTION, f"## The machine\n\n| | |\n|---|---|\n{facts}\n\n{circumstances}\n"]
    return "\n".join([*parts, *map(as_markdown, tables)])
