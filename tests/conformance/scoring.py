"""Recorded cases and waivers as files, and the rules by which a result counts as the recorded one."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import commands
import language
from language import ScriptError


class MalformedFile(Exception):
    """A file that is not in the format of LANGUAGE.md, or not a list of waivers."""


@dataclass(frozen=True)
class Case:
    """A script with what Windows printed; `hard` holds the indices of results that have a source."""

    id: str
    script: list[str]
    expect: list[str]
    hard: frozenset[int]


def load_cases(path: Path) -> list[Case]:
    """The cases or traces of one file."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise MalformedFile(f"{path}: {error}") from error
    cases = []
    for position, line in enumerate(lines, 1):
        if line.strip():
            try:
                cases.append(_case(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise MalformedFile(f"{path}:{position}: {type(error).__name__}: {error}") from error
    return cases


def _case(record: Any) -> Case:
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    script, expect = language.commands(_texts(record["script"])), _texts(record["expect"])
    if any("\n" in line for line in script):
        raise ValueError("a command of more than one line")
    if len(script) != len(expect):
        raise ValueError(f"{len(script)} commands but {len(expect)} results")
    # A trace was recorded as a whole and has no list of what is confirmed.
    hard = frozenset(record.get("confirmed", range(len(script))))
    if not all(isinstance(index, int) and 0 <= index < len(script) for index in hard):
        raise ValueError("'confirmed' holds something else than indices of commands")
    return Case(_texts([record["id"]])[0], script, expect, hard)


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError("a list of strings was expected")
    return value


Waivers = dict[tuple[str, int], str]


def load_waivers(path: Path) -> Waivers:
    """Case and index of each result that a fact of the kernel forbids, with that fact."""
    waivers: Waivers = {}
    for position, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != 3 or not fields[1].isdigit() or not fields[2].strip():
            raise MalformedFile(f"{path}:{position}: not 'id<TAB>index<TAB>kernel fact'")
        key = fields[0], int(fields[1])
        if key in waivers:
            raise MalformedFile(f"{path}:{position}: {fields[0]} {fields[1]} is waived twice")
        waivers[key] = fields[2].strip()
    return waivers


_FAILED = {"FAIL", "NULL", "INVALID", "FAILED", "NO"}
_ERROR_FIELD = re.compile(r" e=(?:-|\d+)")
_STATUS_FIELD = re.compile(r"^st=(0[xX][0-9a-fA-F]+|\d+)")
_SESSION = re.compile(r"(?<= name=)\\Sessions\\\d+\\BaseNamedObjects(?=\\)")


def matches(expected: str, got: str) -> bool:
    """Whether a result counts as the recorded one."""
    if expected.startswith("ERROR") and got.startswith("ERROR"):
        return True
    expected, got = _normal(expected), _normal(got)
    # A call that succeeds need not leave the last error alone.
    if " e=-" in expected and expected.split()[0] not in _FAILED:
        got = _ERROR_FIELD.sub(" e=-", got, count=1)
    return expected == got


def _normal(result: str) -> str:
    """A result without what differs from host to host: the session's number, and how a status is written."""
    result = _SESSION.sub(r"\\BaseNamedObjects", result)
    return _STATUS_FIELD.sub(lambda match: f"st={int(match[1], 0):#x}", result)


@dataclass(frozen=True)
class _Route:
    """A command, and the processes and threads that it is sent through."""

    through: tuple[str, ...]
    words: list[str]
    asynchronous: bool


def _route(line: str) -> _Route:
    words, through, asynchronous = line.split(), [], False
    while words[0] in ("p", "t", "tasync") and len(words) > 2:
        asynchronous = asynchronous or words[0] == "tasync"
        through.append(words[1])
        words = words[2:]
    return _Route(tuple(through), words, asynchronous)


def changes_state(line: str) -> bool:
    """Whether later results may depend on the result of this command."""
    word = _route(line).words[0]
    try:
        return word != "echo" and not commands.find(word).query
    except ScriptError:
        return True


def unsupported(script: Iterable[str], expect: Iterable[str]) -> set[int]:
    """Indices that cannot be compared: functions of the next version, and what the recorder itself could not do."""
    found: set[int] = set()
    started: dict[tuple[str, ...], bool] = {}
    for index, (line, expected) in enumerate(zip(script, expect, strict=True)):
        route = _route(line)
        missing = _is_missing(route.words[0])
        if route.asynchronous:
            started[route.through] = missing
        elif route.words[0] == "tjoin":
            missing = started.get((*route.through, *route.words[1:2]), False)
        if missing or expected == "UNSUPPORTED":
            found.add(index)
    return found


def _is_missing(word: str) -> bool:
    try:
        return commands.find(word).missing
    except ScriptError:
        return False
