"""The table of commands: which arguments each takes, and what the scoring has to know about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import language
from language import ScriptError
from slots import Slots

from namedmap import nt, win32

Handler = TypeVar("Handler", bound=Callable[..., str])

#: No call sets this last error, so that a call which leaves it alone can be told from one which sets 0.
_UNTOUCHED = 0xDEADBEEF

_PARSERS: dict[str, Callable[[Slots, str], Any]] = {
    "slot": lambda slots, token: token,
    "word": lambda slots, token: token,
    "handle": Slots.handle,
    "address": Slots.address,
    "text": lambda slots, token: language.text(token),
    "data": lambda slots, token: language.data(token),
    "number": lambda slots, token: language.number(token),
    "dword": lambda slots, token: language.dword(language.number(token)),
    "long": lambda slots, token: language.long(language.number(token)),
    "size": lambda slots, token: language.size(language.number(token)),
    "longlong": lambda slots, token: language.longlong(language.number(token)),
    "bool": lambda slots, token: bool(language.number(token)),
}


@dataclass(frozen=True)
class Command:
    """One command: its argument kinds, `[kind]` when optional and `kind...` for all that remain, and its function."""

    kinds: tuple[str, ...]
    run: Callable[..., str]
    query: bool
    needs: str | None

    @property
    def missing(self) -> bool:
        """Whether the function that it calls is still to come in a later version."""
        return self.needs is not None and not (hasattr(win32, self.needs) or hasattr(nt, self.needs))

    def arguments(self, slots: Slots, tokens: list[str]) -> list[Any]:
        values: list[Any] = []
        for position, kind in enumerate(self.kinds):
            if kind.endswith("..."):
                return values + [_PARSERS[kind[:-3]](slots, token) for token in tokens[position:]]
            if position < len(tokens):
                values.append(_PARSERS[kind.strip("[]")](slots, tokens[position]))
            elif not kind.startswith("["):
                raise ScriptError(f"too few arguments, needs {' '.join(self.kinds)}")
        return values


COMMANDS: dict[str, Command] = {}


def command(usage: str, *, query: bool = False, needs: str | None = None) -> Callable[[Handler], Handler]:
    """Enter a function under the name and with the arguments of `usage`.

    `query`: a wrong result says nothing about the results after it. `needs`: a function of the next version.
    """
    name, *kinds = usage.split()

    def enter(function: Handler) -> Handler:
        COMMANDS[name] = Command(tuple(kinds), function, query, needs)
        return function

    return enter


def call(function: Callable[..., Any], *args: Any) -> tuple[Any, str]:
    """Call a Win32 function; its result, and the last error as results show it."""
    win32.SetLastError(_UNTOUCHED)
    result = function(*args)
    error = win32.GetLastError()
    return result, "e=-" if error == _UNTOUCHED else f"e={error}"


def done(function: Callable[..., Any], *args: Any) -> str:
    """Call a Win32 function that returns a BOOL."""
    result, error = call(function, *args)
    return f"{'OK' if result else 'FAIL'} {error}"
