"""The slots of a script: names for the handles and addresses that its calls returned."""

import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from language import ScriptError, longlong, number, size

from namedmap import win32

#: The driver's own names for handles that are not in a slot.
_HANDLES = {"NULL": 0, "INVALID": -1, "CURPROC": -1, "CURTHREAD": -2}
_OPERAND = re.compile(r"(?P<slot>.*?)(?P<offset>[+-](?:0[xX][0-9a-fA-F]+|\d+))?")


@dataclass(frozen=True)
class Address:
    """An address operand, with the address of the slot that it is relative to."""

    value: int
    slot: int | None

    def relative(self, other: int | None) -> str:
        """`other` as the results show it: relative to the slot, since a bare address differs from run to run."""
        if other is None:
            return "NULL"
        if self.slot is None:
            return "?"
        distance = other - self.slot
        return f"{'-' if distance < 0 else '+'}{abs(distance):#x}"


@dataclass
class Slots:
    """Objects that one script has made in one process, shared by its threads."""

    handles: dict[str, int] = field(default_factory=dict)
    views: dict[str, int] = field(default_factory=dict)
    opened: set[int] = field(default_factory=set)
    mapped: set[int] = field(default_factory=set)
    files: set[str] = field(default_factory=set)

    def handle(self, token: str) -> int:
        """The value of a handle operand."""
        if token in _HANDLES:
            return _HANDLES[token]
        if token.startswith("#"):
            return longlong(number(token[1:]))
        name, offset = _split(token, self.handles)
        if name not in self.handles:
            raise ScriptError(f"unknown handle slot {token!r}")
        return self.handles[name] + offset

    def address(self, token: str) -> Address:
        """The value of an address operand."""
        if token == "NULL":
            return Address(0, None)
        name, offset = _split(token, self.views)
        if name in self.views:
            return Address(size(self.views[name] + offset), self.views[name])
        try:
            return Address(size(number(token)), None)
        except ScriptError:
            raise ScriptError(f"unknown view slot {token!r}") from None

    def keep_handle(self, slot: str, value: int | None) -> int:
        """Store what a call returned, and remember a real handle so that `reset` can close it."""
        self.handles[slot] = value = longlong(value or 0)
        if value not in (0, -1):
            self.opened.add(value)
        return value

    def keep_view(self, slot: str, address: int | None) -> int:
        """Store an address that a call returned, and remember it for `reset`."""
        self.views[slot] = address = address or 0
        if address:
            self.mapped.add(address)
        return address

    def keep_file(self, path: str | None) -> None:
        """Remember a file that `reset` deletes; only plain names in the script's own directory."""
        if path and not set(path) & set("/\\:*?") and path not in (".", ".."):
            self.files.add(path)

    def release(self) -> None:
        """Unmap, close and delete what the script made, and forget it."""
        for address in self.mapped:
            if not win32.UnmapViewOfFile(address):
                win32.VirtualFree(address, 0, win32.MEM_RELEASE)
        for value in self.opened:
            win32.SetHandleInformation(value, win32.HANDLE_FLAG_PROTECT_FROM_CLOSE, 0)
            win32.CloseHandle(value)
        for name in self.files:
            with contextlib.suppress(OSError):
                Path(name).unlink()
        for forgotten in (self.handles, self.views, self.opened, self.mapped, self.files):
            forgotten.clear()


def _split(token: str, known: dict[str, int]) -> tuple[str, int]:
    """`slot+n` as name and n; slot names are free, so one may itself look like that."""
    match = _OPERAND.fullmatch(token)
    if token in known or match is None or match["offset"] is None:
        return token, 0
    return match["slot"], int(match["offset"], 16 if "x" in match["offset"].lower() else 10)
