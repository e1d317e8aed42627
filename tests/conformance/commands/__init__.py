"""The commands that call one function each, in the groups of LANGUAGE.md."""

from language import ScriptError
from registry import COMMANDS, Command

from commands import files, handles, native, sections, sync

__all__ = ["files", "find", "handles", "native", "sections", "sync"]


def find(name: str) -> Command:
    """The command of that name, which importing its group has entered."""
    if name not in COMMANDS:
        raise ScriptError(f"unknown command {name!r}")
    return COMMANDS[name]
