"""Arguments: sizes, names, and content as text, bytes, hex digits, JSON or the fields of a structure.

A structure is described in the format of Python's `struct`, a colon, and the names of its fields:
"<IfHH:count,temp,a,b". A field with a count has a list of values ("3d"), except s and p, which are bytes.
"""

import contextlib
import json
import re
import struct
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import click
from click.shell_completion import CompletionItem

FORMS = ("text", "bytes", "hex", "json", "fields")

_FACTORS = {"": 1, **{unit: 1024**power for power, unit in enumerate("KMGTPE", 1)}}
_CODES = re.compile(r"\s*(\d*)([xcbB?hHiIlLqQnNefdspP])")
_FLOATS = "efd"


def size(value: str | int) -> int:
    """A number of bytes: 4096, 4K, 1.5M, 1GiB, 0x1000. Raises click.BadParameter."""
    if isinstance(value, int):
        return value
    text = value.replace("_", "").replace(",", "")
    if re.fullmatch(r"0[xX][0-9a-fA-F]+", text):
        return int(text, 16)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGTPE]?)(?:i?B)?", text, re.IGNORECASE)
    if match is None:
        raise click.BadParameter(f"{value!r} is no size: 4096, 4K, 1.5M, 1GiB or 0x1000")
    number, factor = match[1], _FACTORS[match[2].upper()]
    return int(number) * factor if number.isdigit() else int(float(number) * factor)


def octets(value: str) -> bytes:
    """Bytes as hexadecimal digits: "de ad BEEF". Raises click.BadParameter."""
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not made of pairs of hexadecimal digits") from None


def live_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names of live objects, for completion."""
    from namedmap import Error, inspection

    try:
        return [each for each in inspection.names() if each.startswith(incomplete)]
    except Error:
        return []


def paths_and_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The paths of files and the names of live objects, for completion."""
    names = map(CompletionItem, live_names(ctx, parameter, incomplete))
    return [CompletionItem(incomplete, type="file"), *names]


def seconds(value: str | float) -> float:
    """A length of time from 0 on. Raises click.BadParameter."""
    with contextlib.suppress(ValueError):
        if float(value) >= 0:
            return float(value)
    raise click.BadParameter(f"{value!r} is no number of seconds from 0 on")


@contextlib.contextmanager
def path_or_name(source: str) -> Iterator[None]:
    """In a with-block that takes the path of a file or the name of an object: an error of one that is neither."""
    from namedmap import NotFoundError, inspection

    try:
        yield
    except NotFoundError:
        if inspection.is_path(source):
            raise
        raise click.ClickException(f"there is neither a file nor an object {source!r}") from None


def _named(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """Without a name an object is nobody else's: a lock that locks nothing, and memory that nobody finds."""
    if not value:
        raise click.BadParameter("the name is empty", ctx, parameter)
    return value


name_argument = click.argument("name", shell_complete=live_names, callback=_named)


# -- structures --------------------------------------------------------------------------------------------------------


class Field(NamedTuple):
    """A field of a structure; its place in bytes."""

    name: str
    code: str  # of struct, with the byte order: "<3d"
    offset: int

    @property
    def is_list(self) -> bool:
        return self.code[1:-1].isdigit() and self.code[-1] not in "sp"


class Structure:
    """The fields of a description."""

    def __init__(self, description: str) -> None:
        """Raises click.BadParameter."""
        layout, _, names = description.partition(":")
        order, codes = (layout[0], layout[1:]) if layout[:1] in "@=<>!" and layout else ("@", layout)
        if not codes.strip():
            raise click.BadParameter(f"{description!r} has no fields: write them like '<IfHH:count,temp,a,b'")
        self.fields = list(_fields(order, codes, [each.strip() for each in names.split(",") if each.strip()]))
        self.size = max((each.offset + struct.calcsize(each.code) for each in self.fields), default=0)

    def unpack(self, data: bytes) -> dict[str, Any]:
        """The values by their names; bytes as text up to the first NUL if they are text, else as hex digits."""
        found = {}
        for each in self.fields:
            values = struct.unpack_from(each.code, data, each.offset)
            found[each.name] = [_shown(value) for value in values] if each.is_list else _shown(values[0])
        return found

    def pack(self, values: dict[str, Any]) -> list[tuple[int, bytes]]:
        """(offset, bytes) for each value that is given; the other fields stay as they are."""
        known = {each.name: each for each in self.fields}
        for name in values.keys() - known.keys():
            raise click.BadParameter(f"there is no field {name!r}: the fields are {', '.join(known)}")
        return [(known[name].offset, _packed(known[name], value)) for name, value in values.items()]


def _fields(order: str, codes: str, names: list[str]) -> Iterator[Field]:
    at, prefix, index = 0, order, 0
    while at < len(codes):
        match = _CODES.match(codes, at)
        if match is None:
            raise click.BadParameter(f"{codes[at:]!r} is no format of Python's struct module")
        at, code = match.end(), match[2]
        try:
            if code != "x":
                offset = struct.calcsize(f"{prefix}0{code}")
                name = names[index] if index < len(names) else f"field{index}"
                index += 1
                struct.calcsize(order + match[1] + code)
                yield Field(name, order + match[1] + code, offset)
            prefix += match[1] + code
            struct.calcsize(prefix)
        except struct.error as error:
            raise click.BadParameter(f"{order + codes!r}: {error}") from None
    if index < len(names):
        raise click.BadParameter(f"there are {len(names)} names for {index} fields")


def _shown(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    head = value.partition(b"\0")[0]
    try:
        text = head.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() and not value[len(head) :].strip(b"\0") else value.hex()


def _packed(field: Field, value: Any) -> bytes:
    values = value if isinstance(value, list) else str(value).split(",") if field.is_list else [value]
    try:
        return struct.pack(field.code, *(_value(field.code[-1], each) for each in values))
    except (struct.error, ValueError, TypeError, OverflowError) as error:
        raise click.BadParameter(f"{value!r} cannot be the value of {field.name} ({field.code}): {error}") from None


def _value(code: str, value: Any) -> Any:
    if code in "spc":
        return value.encode() if isinstance(value, str) else value
    if code == "?":
        return value if isinstance(value, bool) else {"true": True, "false": False, "1": True, "0": False}[str(value)]
    if isinstance(value, str):
        return float(value) if code in _FLOATS else int(value, 0)
    return value


# -- content -----------------------------------------------------------------------------------------------------------


def encoded(
    form: str, structure: Structure | None, words: tuple[str, ...], room: int | None
) -> list[tuple[int, bytes]]:
    """(offset, bytes) for what the words say, or stdin if there are none or it is `-`; text gets a NUL if it fits."""
    piped = not words or words == ("-",)
    if structure is not None:
        return structure.pack(_assignments(_input().decode() if piped else None, words))
    raw = _input() if piped else " ".join(words).encode("utf-8", "surrogateescape")
    if form == "bytes":
        return [(0, raw)]
    if form == "hex":
        return [(0, octets(raw.decode("ascii", "replace")))]
    if form == "json":
        raw = json.dumps(_parsed(raw.decode("utf-8", "replace"))).encode()
    return [(0, raw + b"\0" if room is None or len(raw) < room else raw)]


def stdin() -> BinaryIO:
    """The standard input. Raises click.ClickException if it is closed."""
    if sys.stdin is None:
        raise click.ClickException("stdin is closed: nothing can be read from it")
    return sys.stdin.buffer


def _input() -> bytes:
    return stdin().read()


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"that is no JSON: {error}") from None


def _assignments(text: str | None, words: tuple[str, ...]) -> dict[str, Any]:
    if text is not None:
        found = _parsed(text)
        if not isinstance(found, dict):
            raise click.BadParameter("the fields come as a JSON object")
        return found
    for word in words:
        if "=" not in word:
            raise click.BadParameter(f"{word!r} sets no field: write NAME=VALUE")
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def decoded(form: str, structure: Structure | None, data: bytes) -> Any:
    """The content for JSON: a str, hex digits, what the JSON in it says, or the fields."""
    if structure is not None:
        if len(data) < structure.size:
            raise click.ClickException(f"the structure has {structure.size:,} bytes, there are {len(data):,}")
        return structure.unpack(data)
    if form in ("hex", "bytes"):
        return data.hex()
    text = data.partition(b"\0")[0]
    if form == "json":
        return _parsed(text.decode("utf-8", "replace"))
    return text.decode("utf-8", "backslashreplace")
