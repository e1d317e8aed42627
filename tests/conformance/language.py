"""Tokens of the command language (LANGUAGE.md): numbers, strings, data, and how data read back is shown."""

import re
import zlib

from constants import CONSTANTS


class ScriptError(Exception):
    """The script itself is wrong: an unknown command, constant or slot, or too few arguments."""


_ESCAPE = re.compile(r"%u([0-9a-fA-F]{4})|%([0-9a-fA-F]{2})|\{(%u[0-9a-fA-F]{4}|%[0-9a-fA-F]{2}|.)\*(\d+)\}", re.DOTALL)


def commands(script: list[str]) -> list[str]:
    """The lines of a script that print a result."""
    return [line for line in script if line.strip() and not line.lstrip().startswith("#")]


def number(token: str) -> int:
    """A number, a symbolic constant, or several of them joined with `|`."""
    value = 0
    for part in token.split("|"):
        value = value | _single(part) if "|" in token else _single(part)
    return value


def _single(part: str) -> int:
    if part in CONSTANTS:
        return CONSTANTS[part]
    try:
        return int(part, 16) if part.lstrip("-").lower().startswith("0x") else int(part, 10)
    except ValueError:
        raise ScriptError(f"unknown constant or number {part!r}") from None


def _expand(token: str) -> str:
    def replace(match: re.Match[str]) -> str:
        unit, char, repeated, count = match.groups()
        if repeated is not None:
            return _expand(repeated) * int(count)
        return chr(int(unit or char, 16))

    return _ESCAPE.sub(replace, token)


def text(token: str) -> str | None:
    """A path or an object name; `-` is NULL."""
    if token == "-":
        return None
    if token == '""':
        return ""
    # Two %uXXXX may be the halves of one character; a lone half stays what it is, as in a Windows string.
    units = _expand(token).encode("utf-16-le", "surrogatepass")
    return units.decode("utf-16-le", "surrogatepass")


def data(token: str) -> bytes:
    """The bytes that a data token stands for."""
    kind, _, rest = token.partition(":")
    try:
        match kind:
            case "str":
                return bytes(ord(char) & 0xFF for char in _expand(rest))
            case "hex":
                return bytes.fromhex(rest)
            case "fill":
                byte, _, count = rest.partition("*")
                return bytes.fromhex(byte) * int(count, 0)
            case "seq":
                return bytes((i * 7 + i // 251) & 0xFF for i in range(int(rest, 0)))
            case "u32":
                return (number(rest) & 0xFFFFFFFF).to_bytes(4, "little")
    except ValueError:
        pass
    raise ScriptError(f"malformed data {token!r}")


def show_data(content: bytes) -> str:
    """Data read back, in the notation of the results."""
    size = len(content)
    if not size:
        return "empty"
    if size > 4 and content.count(content[0]) == size:
        return f"fill:{content[0]:02x}*{size}"
    if size <= 64:
        return f"hex:{content.hex()}"
    return f"crc:{zlib.crc32(content):08x}*{size}"


def show_text(value: str) -> str:
    """A name on one line of ASCII, with the escapes of the language."""
    units = memoryview(value.encode("utf-16-le", "surrogatepass")).cast("H")
    return "".join(chr(unit) if 0x20 <= unit < 0x7F else f"%u{unit:04x}" for unit in units)


def dword(value: int) -> int:
    """The value that C passes for a DWORD parameter."""
    return value & 0xFFFFFFFF


def long(value: int) -> int:
    """The value that C passes for a LONG parameter."""
    return ((value + 2**31) & 0xFFFFFFFF) - 2**31


def size(value: int) -> int:
    """The value that C passes for a SIZE_T or pointer parameter."""
    return value & 0xFFFFFFFFFFFFFFFF


def longlong(value: int) -> int:
    """The value that C passes for a LARGE_INTEGER; handles are sign-extended in the same way."""
    return ((value + 2**63) & 0xFFFFFFFFFFFFFFFF) - 2**63
