"""The page docs/benchmarks.md: what was measured where, which targets were reached, and then the tables by parts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from modes import WITH, WITHOUT
from report import Table, Target, as_markdown, filled


@dataclass(frozen=True)
class Picture:
    """A picture that was drawn: its file, relative to the page, and what is to be seen in it."""

    file: str
    text: str


@dataclass
class Part:
    """Tables that belong together, and what is to be said before them."""

    key: str
    title: str
    text: list[str]
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    @property
    def judged(self) -> list[tuple[Table, Target]]:
        return [(table, target) for table in self.tables for target in table.targets]


_INTRODUCTION = """\
# Benchmarks

One run of `make bench`, which writes this page, its tables and its pictures. Numbers of another machine will be others;
the ratios are what to look at, and to compare on one's own machine.

- All rows of a table are measured in the same run, in interleaved rounds; a sample is the mean of one round. Medians,
  minima and maxima are over the rounds; a ratio (×) is the median of the ratios within each round.
- In parentheses: processor time, user and system, of all threads of all processes that take part, peers' trackers
  included. On a machine that others use it lies less than the clock.
- namedmap has rows *with the core* and *without the core* (`NAMEDMAP_NATIVE=0`), from processes of their own, whose
  rounds are interleaved with those of the peers. Where a row says neither, the compiled core has little part in it.
- Everything is called from Python, as its users call it, namedmap and its peers alike; tools are run as processes.
- A *target* is what namedmap is meant to reach. The lines below a table say whether this run did; what it missed
  stands [at the end](#what-is-missed-and-why), with the reasons.
"""
#: The headings of what is missed: for targets of a mode, and for the others.
_HEADINGS = {"": "Where the core has little part", WITH: "With the core", WITHOUT: "Without the core"}


def document(
    machine: Sequence[tuple[str, str]], circumstances: str, omitted: Sequence[str], parts: Sequence[Part]
) -> str:
    """The whole page, as Markdown."""
    facts = "\n".join(f"| {what} | {value} |" for what, value in machine)
    pieces = [_INTRODUCTION, f"## The machine\n\n| | |\n|---|---|\n{facts}\n\n{filled(circumstances)}\n"]
    if omitted:
        pieces.append("Left out of this run:\n\n" + "\n".join(filled(f"- {each}", "  ") for each in omitted) + "\n")
    pieces.append(_summary(parts))
    pieces += map(_part, parts)
    pieces.append(_missed(parts))
    return "\n".join(pieces)


def _summary(parts: Sequence[Part]) -> str:
    """How many targets each part has reached."""
    lines = ["## Targets", "", "| | reached | missed |", "|---|---:|---:|"]
    for part in parts:
        wrong = sum(not target.good for _, target in part.judged)
        lines.append(f"| {part.title} | {len(part.judged) - wrong} | {wrong} |")
    return "\n".join(lines) + "\n"


def _missed(parts: Sequence[Part]) -> str:
    """All that was missed, by modes, and a line why."""
    lines = ["## What is missed, and why", ""]
    wrong = [(table, target) for part in parts for table, target in part.judged if not target.good]
    if not wrong:
        lines += ["This run has missed nothing.", ""]
    for mode, heading in _HEADINGS.items():
        mine = [(table, target) for table, target in wrong if target.mode == mode]
        if not mine:
            continue
        lines += [f"### {heading}", ""]
        for why in dict.fromkeys(target.why for _, target in mine):
            lines += [filled(why or "The reason is not known."), ""]
            for table, target in mine:
                if target.why == why:
                    lines.append(f"- *{table.title}*; {target.text}: {target.value}")
            lines.append("")
    return "\n".join(lines)


def _part(part: Part) -> str:
    pieces = [f"## {part.title}\n", *(f"{each}\n" for each in part.text)]
    pieces += (f"![{picture.text}]({picture.file})\n\n{filled(picture.text)}\n" for picture in part.pictures)
    return "\n".join([*pieces, *map(as_markdown, part.tables)])
