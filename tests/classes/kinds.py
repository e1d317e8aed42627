"""The kinds of named objects under one interface, for rules that hold for all of them, here and in second processes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import namedmap
from namedmap import Event, FileMapping, Mutex, Semaphore

SIZE = 4096


class Kind(NamedTuple):
    """The three verbs of a kind; `who` is mode, group or security."""

    name: str
    type: type
    create: Callable[..., Any]  # name, **who
    open: Callable[[str], Any]
    open_or_create: Callable[..., Any]  # name, **who

    @property
    def verbs(self) -> tuple[Callable[..., Any], ...]:
        return self.create, self.open, self.open_or_create


def _create_mapping(name: str | None, **who: Any) -> FileMapping:
    return namedmap.create(name, SIZE, **who)


def _open_or_create_mapping(name: str, **who: Any) -> FileMapping:
    return namedmap.open_or_create(name, SIZE, **who)


KINDS = (
    Kind("mapping", FileMapping, _create_mapping, namedmap.open, _open_or_create_mapping),
    Kind("mutex", Mutex, Mutex.create, Mutex.open, Mutex.open_or_create),
    Kind("semaphore", Semaphore, Semaphore.create, Semaphore.open, Semaphore.open_or_create),
    Kind("event", Event, Event.create, Event.open, Event.open_or_create),
)
#: Those that can be waited for.
WAITABLE = KINDS[1:]


def kind(name: str) -> Kind:
    """By its name: what second processes are told."""
    return next(each for each in KINDS if each.name == name)


def free(name: str) -> bool:
    """Whether no object of any kind has this name."""
    for each in KINDS:
        try:
            each.open(name).close()
        except FileNotFoundError:
            continue
        except namedmap.WrongKindError:
            return False
        return False
    return True


def ready(kind: Kind) -> Any:
    """An unnamed object that can be taken at once, and once only."""
    return Event(manual=False, signaled=True) if kind.type is Event else kind.type()


def take(held: Any, timeout: float | None = 0) -> bool:
    """Take an object that can be waited for."""
    return bool(held.wait(timeout) if isinstance(held, Event) else held.acquire(timeout))


def give(held: Any) -> None:
    """Make it available again."""
    if isinstance(held, Event):
        held.set()
    else:
        held.release()
