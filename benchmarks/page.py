"""The page docs/benchmarks.md: what was measured where, which targets were reached, and then the tables by parts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

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
- Everything is called from Python, as its users call it, namedmap and its peers alike; tools are run as processes.
- A *target* is what namedmap is meant to reach, an *aim* what it would like to. The lines below a table say whether
  this run did.
"""


def document(
    machine: Sequence[tuple[str, str]], circumstances: str, omitted: Sequence[str], parts: Sequence[Part]
) -> str:
    """The whole page, as Markdown."""
    facts = "\n".join(f"| {what} | {value} |" for what, value in machine)
    pieces = [_INTRODUCTION, f"## The machine\n\n| | |\n|---|---|\n{facts}\n\n{filled(circumstances)}\n"]
    if omitted:
        pieces.append("Left out of this run:\n\n" + "\n".join(f"- {each}" for each in omitted) + "\n")
    pieces.append(_summary(parts))
    pieces += map(_part, parts)
    return "\n".join(pieces)


def _summary(parts: Sequence[Part]) -> str:
    """How many targets each part has reached, and all that were missed."""
    lines = ["## Targets and aims", "", "| | reached | missed |", "|---|---:|---:|"]
    missed = []
    for part in parts:
        wrong = [(table, target) for table, target in part.judged if not target.good]
        lines.append(f"| {part.title} | {len(part.judged) - len(wrong)} | {len(wrong)} |")
        missed += wrong
    if missed:
        lines += ["", "Missed in this run, with the reasons below the tables:", ""]
        lines += [f"- *{table.title}*; {target.text}: {target.value}" for table, target in missed]
    else:
        lines += ["", "This run has missed none."]
    return "\n".join(lines) + "\n"


def _part(part: Part) -> str:
    pieces = [f"## {part.title}\n", *(f"{each}\n" for each in part.text)]
    pieces += (f"![{picture.text}]({picture.file})\n\n{filled(picture.text)}\n" for picture in part.pictures)
    return "\n".join([*pieces, *map(as_markdown, part.tables)])
