"""How far a regular expression can reach: how long its matches are, and over which bytes they can pass.

A search in windows has to know. An expression whose matches have a longest length is found in windows that overlap by
that much. Of another one, a match that begins in a window and does not end in what the window knows passes over all of
the bytes behind the window's end. Nearly all of them are taken by parts that repeat without a bound: where enough are
of values that these cannot take, there is no such match. `error \\d+` is not longer than a number, `<.*>` than a line;
only of `(?s)<.*>` nothing can be told.

The bounds are from above, and have what an expression looks at before and after itself.
"""

import functools
import importlib
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

_ALL = frozenset(range(256))
_NEWLINE = frozenset(b"\n")


class Reach(NamedTuple):
    """Bounds of what an expression looks at."""

    #: Of the parts that repeat not at all, or so many times at most: bytes.
    fixed: int
    #: The values of bytes that the parts can take which repeat without a bound; none if there is no such part.
    endless: frozenset[int]
    #: The values that any part can take.
    any: frozenset[int]


_NO_VALUES: frozenset[int] = frozenset()
_UNKNOWN = Reach(0, _ALL, _ALL)
_NOTHING = Reach(0, _NO_VALUES, _NO_VALUES)


@functools.lru_cache(maxsize=64)
def reach(pattern: re.Pattern[bytes]) -> Reach:
    """The reach of an expression; what cannot be told is without a bound."""
    try:
        # The parser of the standard library has no public name. Without it nothing is known, which is no error.
        parser: Any = importlib.import_module("re._parser")
        parsed = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    except (ImportError, AttributeError, re.error):
        return _UNKNOWN
    found = _in_turn(parsed, parsed.state.flags)
    if pattern.flags & re.LOCALE or _has(parsed, re.LOCALE):
        return found._replace(endless=_ALL if found.endless else _NO_VALUES)
    if pattern.flags & re.IGNORECASE or _has(parsed, re.IGNORECASE):
        return found._replace(endless=found.endless | frozenset(bytes(found.endless).swapcase()))
    return found


def _has(items: Iterable[Any], flags: int) -> bool:
    """Whether a part of an expression has flags of its own."""
    return any(
        (op.name == "SUBPATTERN" and part[1] & flags) or any(_has(inner, flags) for inner in _parts(op.name, part))
        for op, part in items
    )


def _parts(name: str, part: Any) -> list[Any]:
    """The expressions inside of an operation."""
    if name == "BRANCH":
        return list(part[1])
    if name == "GROUPREF_EXISTS":
        return [each for each in part[1:] if each is not None]
    if name in ("SUBPATTERN", "ASSERT", "ASSERT_NOT") or name.endswith("_REPEAT"):
        return [part[-1]]
    return [part] if name == "ATOMIC_GROUP" else []


def _in_turn(items: Iterable[Any], flags: int) -> Reach:
    """One after the other."""
    found = [_one(op.name, part, flags) for op, part in items]
    return _joined(found, sum(each.fixed for each in found))


def _joined(parts: list[Reach], fixed: int) -> Reach:
    return Reach(
        fixed,
        _NO_VALUES.union(*(each.endless for each in parts)),
        _NO_VALUES.union(*(each.any for each in parts)),
    )


def _one(name: str, part: Any, flags: int) -> Reach:
    if name in _BYTES:
        return Reach(1, _NO_VALUES, _BYTES[name](part))
    if name == "ANY":
        return Reach(1, _NO_VALUES, _ALL if flags & re.DOTALL else _ALL - _NEWLINE)
    if name == "AT":  # it looks at the byte before, and at the one after
        return Reach(1, _NO_VALUES, _NO_VALUES)
    if name == "FAILURE":
        return _NOTHING
    if name == "SUBPATTERN":
        flags = (flags | part[1]) & ~part[2]
    inner = [_in_turn(each, flags) for each in _parts(name, part)]
    if not inner:
        return _UNKNOWN  # a reference to a group, or what later versions of Python have
    found = _joined(inner, max(each.fixed for each in inner))
    if not name.endswith("_REPEAT"):
        return found
    if part[1] >= _no_bound():
        return found._replace(fixed=0 if found.any else found.fixed, endless=found.any)
    return found._replace(fixed=found.fixed * part[1])


@functools.cache
def _no_bound() -> int:
    return int(importlib.import_module("re._constants").MAXREPEAT)


def _class(items: list[Any]) -> frozenset[int]:
    """The values that a class in brackets is for."""
    found: set[int] = set()
    for op, part in items:
        if op.name == "LITERAL":
            found.add(part)
        elif op.name == "RANGE":
            found.update(range(part[0], part[1] + 1))
        elif op.name != "NEGATE":
            found |= _CATEGORIES.get(part.name, _ALL) if op.name == "CATEGORY" else _ALL
    return _ALL - found if items and items[0][0].name == "NEGATE" else frozenset(found)


def _of(expression: bytes) -> frozenset[int]:
    return frozenset(ord(each) for each in re.findall(expression, bytes(range(256))))


#: The sets that \\d and the others stand for.
_CATEGORIES = {
    "CATEGORY_DIGIT": _of(rb"\d"),
    "CATEGORY_NOT_DIGIT": _of(rb"\D"),
    "CATEGORY_SPACE": _of(rb"\s"),
    "CATEGORY_NOT_SPACE": _of(rb"\S"),
    "CATEGORY_WORD": _of(rb"\w"),
    "CATEGORY_NOT_WORD": _of(rb"\W"),
}
#: Operations that take one byte.
_BYTES: dict[str, Callable[[Any], frozenset[int]]] = {
    "LITERAL": lambda part: frozenset((part,)),
    "NOT_LITERAL": lambda part: _ALL,
    "IN": _class,
}
