"""Wide text as it lies in memory on Windows: in units of 16 bits, where a C wchar_t has 32 here.

Two things are here. `Structure` and `Union` stand in for those of ctypes, for everybody: a field that is declared as
`c_wchar`, or as arrays of them, has 16 bits a unit, so that it and all fields behind it are where Windows has them; it
reads and writes as str. A structure without such fields is what it would be otherwise.

`c_wchar`, `c_wchar_p`, `create_unicode_buffer`, `wstring_at` and `memmove` are for programs that are told that this is
Windows: text of 16 bits outside of structures, too. Others may pass theirs to libraries of Linux.
"""

import contextlib
import ctypes
import functools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from namedmap._platform import memory
from namedmap.compat import _memory
from namedmap.memory.longs import layouts_with_longs, warn_of_longs

if TYPE_CHECKING:
    # Facts about ctypes that mypy cannot know: its metaclasses, and that these classes may be derived from.
    _SimpleType = type
    _StructureType = type
    _UnionType = type
    _UInt16 = object
    _CharPointer = object
    _Pointer = object
    _Structure = object
    _Union = object
else:
    _UInt16, _CharPointer, _Pointer = ctypes.c_uint16, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int).__base__
    _Structure, _Union = ctypes.Structure, ctypes.Union
    _SimpleType, _StructureType, _UnionType = map(type, (_UInt16, _Structure, _Union))

_ArrayType: Any = type(ctypes.Array)
_real_wchar: Any = ctypes.c_wchar
_cast: Any = ctypes.cast
_addressof: Any = ctypes.addressof
_move: Any = ctypes.memmove


def encoded(text: object) -> bytes:
    """UTF-16; half a surrogate pair is a unit as any other, as on Windows. Raises TypeError."""
    if not isinstance(text, str):
        raise TypeError(f"unicode string expected instead of {type(text).__name__} instance")
    return text.encode("utf-16-le", "surrogatepass")


def decoded(data: bytes) -> str:
    """The text in whole units of UTF-16."""
    return data[: len(data) & ~1].decode("utf-16-le", "surrogatepass")


def text_of(data: bytes) -> str:
    """The text up to the first NUL."""
    return decoded(data).partition("\0")[0]


def text_at(where: int) -> str:
    """The text at an address, up to its NUL. Raises OSError if there is no memory."""
    return decoded(_memory.until_nul(where, 2))


# -- units, arrays and pointers ----------------------------------------------------------------------------------------


class _UnitType(_SimpleType):
    def __mul__(cls, length: int) -> Any:
        return _array_type(length)

    __rmul__ = __mul__


class c_wchar(_UInt16, metaclass=_UnitType):
    """A unit of text: a str of length 1."""

    def __init__(self, value: str = "\0") -> None:
        super().__init__()
        self.value = value

    def __repr__(self) -> str:
        return f"c_wchar({self.value!r})"

    @property
    def value(self) -> str:
        return decoded(ctypes.string_at(_addressof(self), 2))

    @value.setter
    def value(self, value: object) -> None:
        unit = encoded(value)
        if len(unit) != 2:
            raise TypeError("one character unicode string expected")
        _move(_addressof(self), unit, 2)

    @classmethod
    def from_param(cls, value: Any) -> Any:
        parent: Any = super()
        return cls(value) if isinstance(value, str) else parent.from_param(value)


class _Items:
    """The items of an array or pointer as str."""

    def __getitem__(self, index: Any) -> str:
        parent: Any = super()
        found = parent.__getitem__(index)
        return "".join(each.value for each in (found if isinstance(found, list) else [found]))

    def __setitem__(self, index: Any, value: Any) -> None:
        parent: Any = super()
        parent.__setitem__(index, [c_wchar(each) for each in value] if isinstance(index, slice) else c_wchar(value))


class _Array(_Items):
    """The common part of arrays, whatever their length."""

    def __len__(self) -> int:
        return ctypes.sizeof(_any(self)) // 2

    @property
    def value(self) -> str:
        return text_of(ctypes.string_at(_addressof(self), 2 * len(self)))

    @value.setter
    def value(self, value: object) -> None:
        data, room = encoded(value), 2 * len(self)
        if len(data) > room:
            raise ValueError(f"string too long ({len(data) // 2}, maximum length {len(self)})")
        _move(_addressof(self), data + b"\0\0", min(len(data) + 2, room))


@functools.cache
def _array_type(length: int) -> Any:
    return _ArrayType(f"c_wchar_Array_{length}", (_Array, ctypes.Array), {"_type_": c_wchar, "_length_": length})


class _UnitPointer(_Items, _Pointer):
    """POINTER(c_wchar)."""

    _type_ = c_wchar


_pointer_types: Any = vars(ctypes)["_pointer_type_cache"]
_pointer_types[c_wchar] = _UnitPointer


class c_wchar_p(_CharPointer):
    """A pointer to text that ends with a NUL."""

    def __init__(self, value: str | int | None = None) -> None:
        super().__init__()
        self.value = value

    def __repr__(self) -> str:
        return f"c_wchar_p({self.value!r})"

    @property
    def value(self) -> Any:
        where = ctypes.c_void_p.from_buffer(_any(self)).value
        return text_at(where) if where else None

    @value.setter
    def value(self, value: str | int | None) -> None:
        # As bytes, which ctypes keeps for as long as they are pointed to.
        content = value if value is None or isinstance(value, int) else encoded(value) + b"\0\0"
        _any(_CharPointer).value.__set__(self, content)

    @classmethod
    def from_param(cls, value: Any) -> Any:
        """A str is converted; None, and what is a wide text or a pointer to one, stays what it is."""
        if value is None or isinstance(value, cls | _Array | _UnitPointer):
            return value
        if not isinstance(value, str):
            raise TypeError(f"a str, or a wide text of ctypes is expected, not {type(value).__name__}")
        return cls(value)

    @staticmethod
    def _check_retval_(result: "c_wchar_p") -> Any:
        return result.value


def _any(value: object) -> Any:
    return value


# -- functions ---------------------------------------------------------------------------------------------------------


def create_unicode_buffer(init: int | str, size: int | None = None) -> Any:
    """An array of c_wchar of a size, or with a text. Source: ctypes."""
    if isinstance(init, str):
        made = (c_wchar * (len(encoded(init)) // 2 + 1 if size is None else size))()
        made.value = init
        return made
    if isinstance(init, int):
        return (c_wchar * init)()
    raise TypeError(init)


def wstring_at(ptr: Any, size: int = -1) -> str:
    """The text at an address, of so many units, or up to its NUL. Source: ctypes."""
    where = encoded(ptr) + b"\0\0" if isinstance(ptr, str) else ptr
    at = _cast(where, ctypes.c_void_p)
    if not at.value:
        raise ValueError("NULL pointer access")
    return text_at(at.value) if size < 0 else decoded(ctypes.string_at(at.value, 2 * size))


def memmove(dst: Any, src: Any, count: int) -> int:
    """ctypes.memmove, which takes a str for its UTF-16."""
    source = encoded(src).ljust(count, b"\0") if isinstance(src, str) else src
    moved: int = _move(dst, source, count)
    return moved


# -- structures --------------------------------------------------------------------------------------------------------


class _Field:
    """A field with text: str where the field that ctypes has made gives an instance."""

    def __init__(self, field: Any) -> None:
        self.field = field

    def __repr__(self) -> str:
        return repr(self.field)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.field, name)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else self.field.__get__(instance, owner).value

    def __set__(self, instance: Any, value: Any) -> None:
        if isinstance(value, c_wchar | c_wchar_p | _Array):
            self.field.__set__(instance, value)
        else:
            self.field.__get__(instance).value = value


def _of_16_bits(kind: Any) -> Any:
    """The type of a field, with our units for those of ctypes."""
    if kind is _real_wchar:
        return c_wchar
    if isinstance(kind, type) and issubclass(kind, ctypes.Array):
        items = _of_16_bits(kind._type_)
        return kind if items is kind._type_ else items * kind._length_
    return kind


def _is_text(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, c_wchar | c_wchar_p | _Array)


class _Layout:
    """Lays out structures as on Windows: ctypes sets `_fields_` for a new class, as programs do later.

    No type itself, since the metaclasses that mix it in would then make classes as `type` does.
    """

    def __setattr__(cls, name: str, value: Any) -> None:
        if name != "_fields_":
            super().__setattr__(name, value)
            return
        try:
            fields = [(field, _of_16_bits(kind), *rest) for field, kind, *rest in value]
        except (TypeError, ValueError):
            super().__setattr__(name, value)  # ctypes says what is wrong
            return
        with _bare(fields, getattr(cls, "_anonymous_", ())) as inherited:
            super().__setattr__(name, value if fields == list(value) else fields)
        for text in {*inherited, *(field for field, kind, *_ in fields if _is_text(kind))}:
            _put(cls, text, _Field(vars(cls)[text]))
        if any(layouts_with_longs(cls)):
            _watch(cls)

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, other: type) -> bool:
        # Also those that were made before these were here.
        parent: Any = super()
        own: Any = {Structure: _Structure, Union: _Union}.get(_any(cls))
        return issubclass(other, own) if own else parent.__subclasscheck__(other)


@contextlib.contextmanager
def _bare(fields: Iterable[Any], anonymous: Any) -> Iterator[set[str]]:
    """The fields of anonymous members as ctypes has made them, which it takes no others for; yields their names."""
    found = list(_texts_in(fields, anonymous))
    for kind, name, field in found:
        _put(kind, name, field.field)
    try:
        yield {name for _, name, _ in found}
    finally:
        for kind, name, field in found:
            _put(kind, name, field)


def _texts_in(fields: Iterable[Any], anonymous: Any) -> Iterator[tuple[Any, str, _Field]]:
    """The fields with text of anonymous members, and of theirs."""
    for kind in [kind for name, kind, *_ in fields if name in anonymous]:
        yield from [(kind, name, field) for name, field in vars(kind).items() if isinstance(field, _Field)]
        yield from _texts_in(kind._fields_, getattr(kind, "_anonymous_", ()))


def _put(kind: Any, name: str, field: object) -> None:
    setattr(kind, name, field)
    # For a union ctypes does not tell the interpreter, which remembers where it found attributes; this does.
    line = vars(kind).get("__firstlineno__")
    vars(type)["__module__"].__set__(kind, kind.__module__)
    if line is not None:  # which goes with the module, from Python 3.13 on
        kind.__firstlineno__ = line


_LAYING = ("from_address", "from_buffer", "from_buffer_copy")


def _watch(cls: Any) -> None:
    """Have a structure with longs warn when it is first laid over memory that others share."""
    for name in _LAYING:
        _put(cls, name, classmethod(_watched(name)))


def _watched(name: str) -> Any:
    def make(cls: Any, source: Any, *offset: int) -> Any:
        made = getattr(type(cls), name)(cls, source, *offset)
        where = source if name == "from_address" else _addressof(made)
        # A map with a tag name, or a memoryview of one.
        named = getattr(getattr(source, "obj", source), "_section", None) is not None
        # A copy is the program's own, whatever it was copied from.
        if named or (name != "from_buffer_copy" and memory.is_view(where)):
            warn_of_longs(cls)
            for laying in _LAYING if "from_address" in vars(cls) else ():
                delattr(cls, laying)
        return made

    return make


class _StructureLayout(_Layout, _StructureType):
    pass


class _UnionLayout(_Layout, _UnionType):
    pass


class Structure(_Structure, metaclass=_StructureLayout):
    """ctypes.Structure, with wide text of 16 bits."""


class Union(_Union, metaclass=_UnionLayout):
    """ctypes.Union, with wide text of 16 bits."""
