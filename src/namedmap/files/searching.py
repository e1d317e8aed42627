"""Searching a file for bytes or a regular expression.

The file is read in windows, by threads that read the next ones meanwhile. From a window the matches are taken that
begin in it; it knows the `reach` bytes behind its end as well, and for an expression those before it (for `^`, `\\b`
and what looks behind). `reach` is the length of the bytes, or of the longest match that the expression can have, at
least `overlap`. So every match of at most `reach` bytes is found, once, as if the file had been one string. Where an
expression without a longest match could have a longer one, by what `expressions` knows of it, the result says so.

For bytes the threads already look whether a window has any, with the C library, which lets other threads run. An
expression is matched by the thread of the caller alone: `re` keeps the interpreter to itself.

Holes are zeros. If the pattern is nowhere in zeros, what can match is within `reach` of data: the rest is not read.
"""

import ctypes
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import expressions
from ._libc import memmem
from ._system import system
from .failures import bad
from .reading import AnyPath, Source, ahead

Octets = bytes
Pattern = bytes | re.Pattern[bytes]

#: Bytes of a window at least.
_WINDOW = 1 << 20
#: Windows overlap by no more than this on account of a long expression alone.
_WIDEST = 1 << 24
_MOST_THREADS = 4
#: How much of the file tells which of the bytes sought is rare in it: a window without that one has no match.
_SAMPLE = 1 << 14


@dataclass(frozen=True, slots=True)
class Match:
    """One place where the pattern is."""

    #: Where it begins in the file, in bytes.
    offset: int
    #: The match.
    bytes: Octets
    #: The bytes before and after it, at most as many as `context` asked for.
    before: Octets = b""
    after: Octets = b""

    def as_dict(self) -> dict[str, Any]:
        """{"offset", "size", "bytes", "before", "after"}, bytes as hexadecimal digits"""
        return {
            "offset": self.offset,
            "size": len(self.bytes),
            "bytes": self.bytes.hex(),
            "before": self.before.hex(),
            "after": self.after.hex(),
        }


class Matches(Iterator[Match]):
    """The matches of a search, one after the other, and whether they are all."""

    def __init__(self, found: Iterator[Match], scan: "_Scan") -> None:
        """Use search."""
        self._found, self._scan = found, scan

    def __next__(self) -> Match:
        return next(self._found)

    @property
    def uncertain_from(self) -> int | None:
        """Where a match may begin, up to this offset, that is longer than `overlap` and was missed, at the first place
        so far; None if there is no such place."""
        return self._scan.uncertain_from

    @property
    def complete(self) -> bool:
        """Whether no match can have been missed so far."""
        return self._scan.uncertain_from is None


class Count(int):
    """How many matches there are, and whether they are all."""

    #: As of Matches.
    uncertain_from: int | None = None

    @property
    def complete(self) -> bool:
        """Whether no match can have been missed."""
        return self.uncertain_from is None


def search(
    path: AnyPath,
    pattern: Pattern,
    *,
    ignore_case: bool = False,
    offset: int = 0,
    size: int | None = None,
    limit: int | None = None,
    context: int = 0,
    overlap: int = 1 << 16,
) -> Matches:
    """Where the pattern is in a file, or in `size` bytes from `offset` on; matches do not overlap.

    pattern      bytes, or a compiled expression: the matches are those of `pattern.finditer(content, offset, end)`
    ignore_case  of ASCII letters
    limit        at most so many matches
    context      bytes that are given along before and after each match
    overlap      how long a match of an expression can be, with what it looks at before and after itself. It matters for
                 expressions without a longest match (`x+`) only: one that turns out to be longer is an error
                 (BadValueError); where one may have been missed, `complete` of the result is false from then on

    Raises NotFoundError, AccessDeniedError, BadValueError, and ChangedError if the file becomes shorter meanwhile.
    """
    scan = _Scan(pattern, ignore_case, overlap)
    if context < 0 or (limit is not None and limit < 0):
        raise bad(f"context {context} and limit {limit} must not be negative")
    return Matches(itertools.islice(_search(path, scan, offset, size, context), limit), scan)


def count(
    path: AnyPath,
    pattern: Pattern,
    *,
    ignore_case: bool = False,
    offset: int = 0,
    size: int | None = None,
    overlap: int = 1 << 16,
) -> Count:
    """How many matches `search` would find, without making them; `complete` as of its result."""
    scan = _Scan(pattern, ignore_case, overlap)
    with Source(path) as source:
        found = Count(scan.count(source, *source.extent(offset, size)))
    found.uncertain_from = scan.uncertain_from
    return found


def _search(path: AnyPath, scan: "_Scan", offset: int, size: int | None, context: int) -> Iterator[Match]:
    with Source(path) as source:
        start, stop = source.extent(offset, size)
        for at, found in scan.matches(source, start, stop):
            if not context:
                yield Match(at, found)
                continue
            end = at + len(found)
            before = _bytes(source, max(0, at - context), at)
            yield Match(at, found, before, _bytes(source, end, min(source.size, end + context)))


def _bytes(source: Source, start: int, stop: int) -> bytes:
    buffer = bytearray(stop - start)
    source.fill(memoryview(buffer), start)
    return bytes(buffer)


@dataclass(frozen=True, slots=True)
class _Window:
    """Where matches may begin: [begin, end) in the file; and what is read for it: [base, stop)."""

    begin: int
    end: int
    base: int
    stop: int


#: A window, its bytes, the bytes to search (they are in small letters if case does not matter), where to begin in them.
_Loaded = tuple[_Window, bytearray, bytearray, int]


class _Scan:
    """A pattern, and how it is looked for."""

    def __init__(self, pattern: Pattern, ignore_case: bool, overlap: int) -> None:
        self.pattern: re.Pattern[bytes] | None = None
        self.folded = False
        self.sought = self.rare = b""
        #: The reach of matches that may be longer than `reach`; None if there is none.
        self.unbounded: expressions.Reach | None = None
        #: The first place up to which a match may begin that was missed.
        self.uncertain_from: int | None = None
        if isinstance(pattern, re.Pattern):
            if not isinstance(pattern.pattern, bytes):
                raise TypeError("the expression is one for text: compile it from bytes, re.compile(rb'...')")
            if overlap < 1:
                raise bad(f"a match has to have room: overlap is at least 1, not {overlap}")
            self.pattern = re.compile(pattern.pattern, pattern.flags | re.IGNORECASE) if ignore_case else pattern
            self.reach = self.behind = self._reach_of(self.pattern, overlap)
            return
        self.sought = bytes(memoryview(pattern))  # of a number bytes() would make so many zeros
        if not self.sought:
            raise bad("there is nothing to search for: the pattern is empty")
        self.reach, self.behind = len(self.sought), 0
        self.folded = ignore_case and self.sought.lower() != self.sought.upper()
        if self.folded:
            self.sought = self.sought.lower()

    def _reach_of(self, pattern: re.Pattern[bytes], overlap: int) -> int:
        known = expressions.reach(pattern)
        if not known.endless and known.fixed <= max(overlap, _WIDEST):
            return max(overlap, known.fixed)
        self.unbounded = known
        return overlap

    def matches(self, source: Source, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) of each match."""
        at = start
        for window, memory, place, first in self._windows(source, start, stop):
            for begin, end in self._spans(window, place, max(first, at - window.base)):
                if window.base + begin >= window.end:
                    break
                if end - begin > self.reach and window.stop < stop:
                    raise self._too_long(window.base + begin)
                at = window.base + end
                yield window.base + begin, bytes(memory[begin:end])
            self._doubt(window, memory, stop)

    def _doubt(self, window: _Window, memory: bytearray, stop: int) -> None:
        """Note if a match may begin in a window that does not end in what the window knows."""
        known = self.unbounded
        if known is None or self.uncertain_from is not None or window.stop == stop:
            return
        behind = memory[window.end - window.base : window.stop - window.base]
        if len(behind.translate(None, bytes(known.endless))) <= known.fixed:
            self.uncertain_from = window.end

    def count(self, source: Source, start: int, stop: int) -> int:
        """How many matches there are."""
        if self.folded or not self.sought or _can_overlap(self.sought):
            return sum(1 for _ in self.matches(source, start, stop))
        found = 0
        for window, memory, _, first in self._windows(source, start, stop):
            end = min(window.end - window.base + len(self.sought) - 1, window.stop - window.base)
            found += memory.count(self.sought, first, end)
        return found

    def _windows(self, source: Source, start: int, stop: int) -> Iterator[_Loaded]:
        """The windows that can have a match."""
        workers = min(system.processors(), _MOST_THREADS)
        memories: list[bytearray] = []
        if self.sought:
            sample = bytearray(min(_SAMPLE, stop - start))
            source.fill(memoryview(sample), start)
            self.rare = bytes([min(set(self.sought), key=sample.count)])

        def load(window: _Window, number: int) -> _Loaded:
            memory, length = memories[number % len(memories)], window.stop - window.base
            with memoryview(memory) as whole:
                source.fill(whole[:length], window.base)
            place = memory.lower() if self.folded else memory
            return window, memory, place, self._first(place, window.begin - window.base, length)

        step = max(_WINDOW, self.reach)
        size = min(min(step + self.reach, stop - start) + self.behind, stop)
        memories += [bytearray(size) for _ in range(workers + 1 if stop - start > step else 1)]
        yield from (found for found in ahead(load, self._plan(source, start, stop, step), workers) if found[3] >= 0)

    def _first(self, memory: bytearray, start: int, end: int) -> int:
        """Where a match may begin at the earliest; -1 if there is none."""
        if not self.sought:
            return start
        return _find(memory, self.sought, start, end) if memory.find(self.rare, start, end) >= 0 else -1

    def _spans(self, window: _Window, memory: bytearray, first: int) -> Iterator[tuple[int, int]]:
        """(begin, end) of each match in the memory of a window."""
        length = window.stop - window.base
        if self.pattern is not None:
            yield from (match.span() for match in self.pattern.finditer(memory, first, length))
            return
        at = memory.find(self.sought, first, length)
        while at >= 0:
            yield at, at + len(self.sought)
            at = memory.find(self.sought, at + len(self.sought), length)

    def _plan(self, source: Source, start: int, stop: int, step: int) -> Iterator[_Window]:
        for low, high in self._regions(source, start, stop):
            # At the very end an expression can match nothing: the last window has that place, too.
            for begin in range(low, max(high, low + 1), step):
                end = min(begin + step, high)
                beyond = stop + 1 if end == stop else end
                yield _Window(begin, beyond, max(0, begin - self.behind), min(end + self.reach, stop))

    def _regions(self, source: Source, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """[begin, end) of the places where a match can begin."""
        if not source.has_holes or 2 * self.reach >= stop - start or self._matches_zeros():
            yield start, stop
            return
        # The beginning and the end are looked at even where they are holes, for what matches only there.
        begin, end = start, min(start + self.reach, stop)
        last = max(start, stop - self.reach)
        for low, high in itertools.chain(source.data(start, stop), [(last, stop)]):
            if low - self.reach > end:
                yield begin, end
                begin = low - self.reach
            end = max(end, min(high + self.reach, stop))
        yield begin, end

    def _matches_zeros(self) -> bool:
        if self.pattern is None:
            return not any(self.sought)
        zeros = bytes(4 * self.reach)
        return self.pattern.search(zeros, self.reach, 3 * self.reach) is not None

    def _too_long(self, at: int) -> Exception:
        return bad(
            f"a match at {at:,} is longer than the {self.reach:,} bytes by which windows overlap: "
            "search with a larger overlap, or with an expression that matches less"
        )


def _can_overlap(sought: bytes) -> bool:
    """Whether a match can begin within another one, so that it matters where one begins to look."""
    return len(sought) > 1000 or any(sought.endswith(sought[:size]) for size in range(1, len(sought)))


def _find(buffer: bytearray, sought: bytes, start: int, end: int) -> int:
    """As buffer.find, but other threads run meanwhile, and it is faster. Source: memmem(3)."""
    if memmem is None:
        return buffer.find(sought, start, end)
    if end - start < len(sought):
        return -1
    first: Any = ctypes.c_char.from_buffer(buffer)
    address = ctypes.addressof(first)
    found = memmem(address + start, end - start, sought, len(sought))
    return -1 if found is None else int(found) - address
