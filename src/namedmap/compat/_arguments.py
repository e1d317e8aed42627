"""The arguments of a foreign function, turned into what the functions of `namedmap.win32` take.

Each kind of parameter is a function from the Python value to ours. Programs pass ints, None, bytes, str and every shape
that ctypes has: simple instances, arrays, pointers, `byref`, structures of their own making. Two traps are met here.
`c_long` and `c_ulong` have 8 bytes on Linux and 4 on Windows: a program's `byref(c_ulong())` is stored to as a DWORD,
then extended to what the program will read. `c_wchar` has 4 bytes and not 2: wide text in memory is UTF-32, unless the
type says otherwise (see `_wide`).
"""

import ctypes
import operator
import struct
from collections.abc import Callable
from typing import Any

from namedmap import types as t
from namedmap.compat import _descriptors, _wide
from namedmap.compat._memory import Place

_MASK = 2**64 - 1
#: The type of the results of `byref`. It has no name in ctypes.
_ByRef: Any = type(ctypes.byref(ctypes.c_int()))
#: The base of c_int and its like.
Simple: Any = ctypes.c_int.__base__
_Pointer: Any = ctypes.POINTER(ctypes.c_int).__base__
_cast: Any = ctypes.cast
_STRINGS = (ctypes.c_char_p, ctypes.c_wchar_p)
_WIDE_STRINGS = (ctypes.c_wchar_p, _wide.c_wchar_p)
#: Elements that hold UTF-16, where a wide text is wanted.
_UTF16 = (_wide.c_wchar, _wide.c_wchar_p, ctypes.c_char, ctypes.c_ubyte, ctypes.c_byte, ctypes.c_uint16, ctypes.c_int16)


class Call:
    """One call: what has to live until it ends, and what is to be done then."""

    def __init__(self) -> None:
        self.kept: list[object] = []
        self.after: list[Callable[[], None]] = []

    def end(self) -> None:
        for step in self.after:
            step()


Kind = Callable[[Any, Call], Any]


# -- numbers and addresses ---------------------------------------------------------------------------------------------


def address(value: Any, call: Call) -> int:
    """The bits of an argument: a number as it is; of everything else where it is. A str is there as UTF-16."""
    value = _in_memory(value, call)
    if isinstance(value, int):
        return value & _MASK
    if isinstance(value, ctypes.Structure | ctypes.Union):
        return ctypes.addressof(value)
    if value is None or isinstance(value, (bytes, ctypes.Array, _Pointer, _ByRef, *_STRINGS)):
        held: ctypes.c_void_p = _cast(value, ctypes.c_void_p)
        call.kept.append(held)
        return held.value or 0
    try:
        return int(_cast(value, ctypes.c_void_p).value or 0)  # a function pointer
    except ctypes.ArgumentError:
        raise TypeError(f"Don't know how to convert a {type(value).__name__}") from None


def _in_memory(value: Any, call: Call) -> Any:
    value = _plain(value)
    if not isinstance(value, str):
        return value
    content = _wide.encoded(value) + b"\0\0"
    call.kept.append(content)
    return content


def _plain(value: Any) -> Any:
    """The number in a c_int, c_void_p and the like, or in what stands for one; else the value itself."""
    while hasattr(value, "_as_parameter_"):
        value = value._as_parameter_
    if isinstance(value, Simple) and not isinstance(value, _STRINGS):
        value = value.value
        return ord(value) if isinstance(value, bytes | str) else 0 if value is None else value
    return operator.index(value) if hasattr(value, "__index__") else value


def dword(value: Any, call: Call) -> int:
    return address(value, call) & 0xFFFFFFFF


def boolean(value: Any, call: Call) -> bool:
    return bool(dword(value, call))


def int64(value: Any, call: Call) -> int:
    """A LARGE_INTEGER by value; some programs pass the structure."""
    if isinstance(value, ctypes.Structure | ctypes.Union):
        return ctypes.c_int64.from_buffer(value).value
    return ctypes.c_int64(address(value, call)).value


def handle(value: Any, call: Call) -> int:
    """A handle; as on Windows only its lower 32 bits count, sign-extended."""
    return ctypes.c_int32(address(value, call) & 0xFFFFFFFF).value


# -- memory ------------------------------------------------------------------------------------------------------------


def place(value: Any, call: Call) -> Place:
    """Where memory is that is read or stored to."""
    value = _in_memory(value, call)
    found = Place(address(value, call))
    found.room, found.unit = _room(value, found), _unit(value)
    return found


def _target(value: Any, call: Call, kind: Any) -> int:
    """Where a value of this type is; 0 for NULL. Raises TypeError if the argument has no room for it."""
    where = place(value, call)
    size = ctypes.sizeof(kind)
    if where.room is not None and where.room < size:
        raise TypeError(f"{where.room} bytes are too small for a {kind.__name__}, which has {size}")
    if where:
        where.check(size)
    return int(where)


def _room(value: Any, where: int) -> int | None:
    """How many bytes there are from an address in this argument on; None if it does not say."""
    if isinstance(value, bytes):
        return len(value) + 1
    holder = value._obj if isinstance(value, _ByRef) else value
    if isinstance(holder, Simple) and holder is value:
        return None  # an address
    if not isinstance(holder, ctypes.Array | ctypes.Structure | ctypes.Union | Simple):
        return None
    return max(ctypes.addressof(holder) + ctypes.sizeof(holder) - where, 0)


def _unit(value: Any) -> int:
    return 2 if isinstance(value, bytes | ctypes.c_char_p) or _element(value) in _UTF16 else 4


# -- text --------------------------------------------------------------------------------------------------------------


def wide(value: Any, call: Call) -> str | None:
    """The text of an LPCWSTR."""
    value = _plain(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return _wide.text_of(value)
    if not (where := place(value, call)):
        return None
    content = where.text(where.unit)
    return _wide.decoded(content) if where.unit == 2 else content.decode("utf-32-le", "surrogatepass")


def narrow(value: Any, call: Call) -> str | None:
    """The text of an LPCSTR."""
    value = _plain(value)
    if isinstance(value, _WIDE_STRINGS) or _element(value) in (ctypes.c_wchar, _wide.c_wchar):
        return wide(value, call)
    found = narrow_bytes(value, call)
    return from_ansi(found) if isinstance(found, bytes) else found


def narrow_bytes(value: Any, call: Call) -> bytes | str | None:
    """The bytes of an LPCSTR, as they are; a str as it is."""
    value = _plain(value)
    if value is None or isinstance(value, str):
        return value
    where = place(value, call)
    return where.text(1) if where else None


def text(value: Any, call: Call) -> str | None:
    """The text of an argument of a function that is called without A or W: bytes are narrow, the rest is wide."""
    value = _plain(value)
    is_narrow = isinstance(value, bytes | ctypes.c_char_p) or _element(value) is ctypes.c_char
    return narrow(value, call) if is_narrow else wide(value, call)


def from_ansi(data: bytes) -> str:
    """Narrow text has no encoding of its own: UTF-8 as everywhere on Linux, else that of Western Windows."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _element(value: Any) -> Any:
    """The type of what a pointer, array or `byref` leads to; None if it does not say."""
    kind = type(value._obj) if isinstance(value, _ByRef) else getattr(value, "_type_", None)
    while isinstance(kind, type) and issubclass(kind, ctypes.Array):
        kind = kind._type_
    return kind


# -- where a call stores something -------------------------------------------------------------------------------------


def out(kind: Any) -> Kind:
    """A pointer to one value of this type; None for NULL."""

    def take(value: Any, call: Call) -> Any:
        if not (where := _target(value, call, kind)):
            return None
        target = kind.from_address(where)
        theirs = _element(value)
        if theirs in (ctypes.c_long, ctypes.c_ulong) and ctypes.sizeof(theirs) > ctypes.sizeof(kind):
            call.after.append(lambda: _extend(where, theirs))
        return target

    return take


def _extend(where: int, kind: Any) -> None:
    short = ctypes.c_int32 if kind is ctypes.c_long else ctypes.c_uint32
    kind.from_address(where).value = short.from_address(where).value


def structure(kind: Any) -> Kind:
    """A pointer to a structure, of whatever making; fields go by their names where the program's has another size."""
    names = [name for name, _ in kind._fields_]

    def take(value: Any, call: Call) -> Any:
        theirs = _structure_behind(value)
        if theirs is None or ctypes.sizeof(theirs) == ctypes.sizeof(kind):
            where = _target(value, call, kind)
            return kind.from_address(where) if where else None
        if not all(hasattr(theirs, name) for name in names if not name.startswith("wReserved")):
            raise TypeError(f"{type(theirs).__name__} is not a {kind.__name__}: it has {ctypes.sizeof(theirs)} bytes")
        ours = kind()
        _copy(theirs, ours, names)
        call.after.append(lambda: _copy(ours, theirs, names))
        return ours

    return take


def _structure_behind(value: Any) -> Any:
    if isinstance(value, _ByRef):
        value = value._obj
    elif isinstance(value, _Pointer) and value:
        value = value.contents
    return value if isinstance(value, ctypes.Structure) else None


def _copy(source: Any, target: Any, names: list[str]) -> None:
    for name in names:
        if hasattr(source, name) and hasattr(target, name):
            value = getattr(source, name)
            setattr(target, name, 0 if value is None else value)


def security(value: Any, call: Call) -> t.SECURITY_ATTRIBUTES | None:
    """A pointer to SECURITY_ATTRIBUTES; nLength, descriptor and inheritance are 8 bytes apart with either DWORD."""
    if isinstance(value, t.SECURITY_ATTRIBUTES):
        return value
    where = place(value, call)
    if not where:
        return None
    descriptor, inherits = struct.unpack("8xQi", where.load(20))
    return t.SECURITY_ATTRIBUTES(lpSecurityDescriptor=_descriptors.text_of(descriptor), bInheritHandle=bool(inherits))
