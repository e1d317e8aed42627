"""A platform behind a border: what crosses it is held against the contract; what that does not name cannot be had.

The border is derived from the protocols of `namedmap._contract`. Each operation of the platform, and each attribute of
the handles and objects that it gives, is wrapped: the arguments must be of the kinds that the protocol declares, unless
the operation refuses them by TypeError; the result must be of the declared kind, and what has a protocol itself comes
back behind a border of its own; nothing is raised but Failure, TypeError for a wrong kind, and what a signal handler
has raised. Everything else is a violation. It is raised as a BaseException, which no `suppress(Exception)` hides, and
written to a file, since it may happen where nobody catches it: in a finalizer, a thread, a second process.

`checked` puts the border in place of what the modules of the package have imported from `_platform`, and
`install_if_asked` does so for good in a second process.
"""

import collections.abc
import contextlib
import functools
import inspect
import os
import signal
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from namedmap import _contract, _platform
from namedmap._failure import Failure

#: The file to which violations are written; that it is set asks second processes to check as well.
REPORT = "NAMEDMAP_SUITE_VIOLATIONS"

#: The operations that have been used so far, as "Sections.create".
used: set[str] = set()


class Violation(BaseException):
    """The contract does not say this."""


class _Mismatch(Exception):
    """A value is not of the declared kind."""


def _violation(text: str) -> Violation:
    report = os.environ.get(REPORT)
    if report:
        # Not created: another user's process may write to the file, and nobody may make one.
        descriptor = os.open(report, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, f"{text}\n".encode())
        os.close(descriptor)
    return Violation(text)


# -- what the protocols say --------------------------------------------------------------------------------------------


class Member(NamedTuple):
    """An operation, or a property, of a protocol."""

    label: str  # by the protocol that names it first
    signature: inspect.Signature | None  # None of a property
    kinds: Mapping[str, Any]  # of the arguments and, as "return", of the result


def is_protocol(kind: object) -> bool:
    return isinstance(kind, type) and bool(getattr(kind, "_is_protocol", False))


def protocols() -> list[type]:
    """The protocols of the contract."""
    return [each for each in vars(_contract).values() if is_protocol(each) and each.__module__ == _contract.__name__]


@functools.cache
def members(protocol: type) -> dict[str, Member]:
    """The names of a protocol, with those that it has from others."""
    found: dict[str, Member] = {}
    for base in reversed(protocol.__mro__):
        for name, value in vars(base).items() if is_protocol(base) else ():
            if name.startswith("_") or not isinstance(value, types.FunctionType | property):
                continue
            label = found[name].label if name in found else f"{base.__name__}.{name}"
            function: Any = value.fget if isinstance(value, property) else value
            signature = None if isinstance(value, property) else inspect.signature(function)
            found[name] = Member(label, signature, typing.get_type_hints(function))
    return found


def operations() -> set[str]:
    """Everything that the contract names, each once."""
    return {member.label for protocol in protocols() for member in members(protocol).values()}


def groups() -> dict[str, type]:
    """The groups that `_platform` has for the classes, by name, and the protocol of each."""
    return {name: kind for name, kind in typing.get_type_hints(_platform).items() if is_protocol(kind)}


# -- values that cross -------------------------------------------------------------------------------------------------


def _crossed(value: Any, kind: Any, inward: bool) -> Any:
    """The value on the other side of the border. Raises _Mismatch."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is object or (kind is None and value is None):
        return value
    if origin in (typing.Union, types.UnionType):
        return _as_one_of(value, parts, inward)
    if is_protocol(kind):
        return _without_border(value, kind) if inward else _with_border(value, kind)
    if origin is collections.abc.Callable:
        _demand(callable(value), value, kind)
        return _crossing(value, parts[0], parts[1], inward)
    if origin is contextlib.AbstractContextManager:
        _demand(hasattr(value, "__enter__") and hasattr(value, "__exit__"), value, kind)
        return _crossing_context(value, parts[0], inward)
    if origin is tuple:
        _demand(type(value) is tuple and len(value) == len(parts), value, kind)
        return tuple(_crossed(each, part, inward) for each, part in zip(value, parts, strict=True))
    if origin is collections.abc.Sequence:
        _demand(isinstance(value, collections.abc.Sequence) and not isinstance(value, str | bytes), value, kind)
        return [_crossed(each, parts[0], inward) for each in value]
    _demand(_is_plain(value, kind if origin is None else origin), value, kind)
    return value


def _is_plain(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind that crosses as it is."""
    if kind in (int, float):
        return isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
    if hasattr(kind, "_fields"):
        _demand(type(value) is kind, value, kind)
        for name, hint in typing.get_type_hints(kind).items():
            _crossed(getattr(value, name), hint, True)
        return True
    return isinstance(value, kind or types.NoneType)


def _demand(condition: bool, value: Any, kind: Any) -> None:
    if not condition:
        raise _Mismatch(f"{value!r:.60}, which is no {_label(kind)}")


def _label(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _as_one_of(value: Any, kinds: tuple[Any, ...], inward: bool) -> Any:
    for kind in kinds:
        with contextlib.suppress(_Mismatch):
            return _crossed(value, kind, inward)
    raise _Mismatch(f"{value!r:.60}, which is none of {', '.join(map(_label, kinds))}")


def _with_border(value: Any, protocol: type) -> Any:
    missing = [name for name in members(protocol) if not hasattr(type(value), name) and not hasattr(value, name)]
    if missing:
        raise _Mismatch(f"{value!r:.60}, which is no {protocol.__name__}: it lacks {', '.join(missing)}")
    return Border(value, protocol)


def _without_border(value: Any, protocol: type) -> Any:
    if not isinstance(value, Border) or protocol not in object.__getattribute__(value, "_protocol").__mro__:
        raise _Mismatch(f"{value!r:.60}, which is no {protocol.__name__} that the platform gave")
    return object.__getattribute__(value, "_real")


def _crossing(function: Callable[..., Any], kinds: list[Any], result: Any, inward: bool) -> Callable[..., Any]:
    """A function that was handed across: its caller is on the other side."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            given = [_crossed(each, kind, not inward) for each, kind in zip(arguments, kinds, strict=True)]
        except (ValueError, _Mismatch) as error:
            raise _violation(f"{function!r} is called with {arguments!r:.60}: {error}") from None
        with _judged(f"{function!r}", None) if not inward else contextlib.nullcontext():
            found = function(*given)
        return _returned(f"{function!r}", found, result, inward)

    return call


@contextlib.contextmanager
def _crossing_context(manager: Any, kind: Any, inward: bool) -> Iterator[Any]:
    label = f"the with-block of {type(manager).__name__}"
    with contextlib.ExitStack() as stack:
        with _judged(label, None):
            entered = stack.enter_context(manager)
        yield _returned(label, entered, kind, inward)


def _returned(label: str, value: Any, kind: Any, inward: bool) -> Any:
    try:
        return _crossed(value, kind, inward)
    except _Mismatch as error:
        raise _violation(f"{label} returns {error}") from None


# -- calls -------------------------------------------------------------------------------------------------------------


class Border:
    """An object of the platform, of which only what its protocol names can be had."""

    __slots__ = ("__weakref__", "_protocol", "_real")

    def __init__(self, real: Any, protocol: type) -> None:
        object.__setattr__(self, "_real", real)
        object.__setattr__(self, "_protocol", protocol)

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        real, protocol = object.__getattribute__(self, "_real"), object.__getattribute__(self, "_protocol")
        member = members(protocol).get(name)
        if member is None:
            raise _violation(f"{protocol.__name__} names no {name!r}")
        used.add(member.label)
        if member.signature is not None:
            return functools.partial(_call, real, name, member)
        with _judged(member.label, None):
            value = getattr(real, name)
        return _returned(member.label, value, member.kinds["return"], False)

    def __setattr__(self, name: str, value: object) -> None:
        protocol = object.__getattribute__(self, "_protocol")
        raise _violation(f"{name!r} is stored into a {protocol.__name__}, which is the platform's")


def _call(real: Any, name: str, member: Member, *arguments: Any, **named: Any) -> Any:
    assert member.signature is not None
    try:
        bound = member.signature.bind(real, *arguments, **named)
    except TypeError as error:
        raise _violation(f"{member.label} is called with what it does not take: {error}") from None
    given, wrong = dict(bound.arguments), None
    del given["self"]
    for each, value in given.items():
        try:
            given[each] = _crossed(value, member.kinds[each], True)
        except _Mismatch as error:
            wrong = f"{each}={error}"
    bound.arguments.update(given)
    with _judged(member.label, wrong):
        result = getattr(real, name)(*bound.args[1:], **bound.kwargs)
    if wrong:
        raise _violation(f"{member.label} accepts {wrong}")
    return _returned(member.label, result, member.kinds["return"], False)


@contextlib.contextmanager
def _judged(label: str, wrong: str | None) -> Iterator[None]:
    """Demand that nothing is raised but what may be: Failure, or TypeError for an argument of a wrong kind."""
    try:
        yield
    except (Failure, Violation, KeyboardInterrupt):
        raise
    except BaseException as error:
        if (isinstance(error, TypeError) and wrong) or _of_a_signal_handler(error):
            raise
        raise _violation(f"{label} raises {error!r}" + (f" for {wrong}" if wrong else "")) from error


def _of_a_signal_handler(error: BaseException) -> bool:
    """Whether an exception has come out of a handler, which is the program's and passes."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = {getattr(getattr(each, "__func__", each), "__code__", None) for each in handlers} - {None}
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            return True
        traceback = traceback.tb_next
    return False


# -- putting it in place -----------------------------------------------------------------------------------------------


def _replace(pairs: list[tuple[object, object]]) -> None:
    """Put the second of each pair where modules of the package have the first, the implementation's own aside."""
    own = {_room(each.__name__) for pair in pairs for each in pair if isinstance(each, types.ModuleType)}
    for label, module in list(sys.modules.items()):
        if not label.startswith("namedmap") or _room(label) in own:
            continue
        for name, value in list(vars(module).items()):
            for old, new in pairs:
                if value is old:
                    setattr(module, name, new)


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _install() -> list[tuple[object, object]]:
    pairs: list[tuple[object, object]] = []
    for name, protocol in groups().items():
        real = getattr(_platform, name)
        pairs.append((real, _with_border(real, protocol)))
    _replace(pairs)
    return pairs


@contextlib.contextmanager
def checked() -> Iterator[None]:
    """The platform behind the border, for the length of a with-block."""
    pairs = _install()
    try:
        yield
    finally:
        _replace([(new, old) for old, new in pairs])


def install_if_asked() -> None:
    """In a second process: check all that it does, if the one that has started it is checked."""
    if REPORT in os.environ:
        _install()
