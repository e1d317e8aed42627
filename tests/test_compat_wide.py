"""Wide text as on Windows: structures with c_wchar fields, and what ctypes has of it for programs for Windows."""

import copy
import ctypes
import gc
import pickle
import struct
from ctypes import POINTER, c_char, c_float, c_int32, c_uint8, c_uint16, c_uint64, c_wchar, cast, sizeof
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namedmap.compat import _wide, windll

pytestmark = pytest.mark.usefixtures("tidy")

if TYPE_CHECKING:
    from ctypes import Structure, Union
else:
    Structure, Union = _wide.Structure, _wide.Union
wide: Any = _wide

TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=12)


class Page(Structure):
    """As games have it."""

    _pack_ = 4
    _fields_ = (
        ("packet", c_int32),
        ("version", c_wchar * 15),
        ("count", c_int32),
        ("letter", c_wchar),
        ("names", c_wchar * 5 * 2),
        ("speed", c_float),
    )


def new_class(name: str, base: Any, names: dict[str, Any]) -> Any:
    return type(base)(name, (base,), names)


def array_of(kind: Any, length: int) -> Any:
    return kind * length


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


class TestLayout:
    """Where the fields are."""

    def test_offsets(self) -> None:
        """A unit has two bytes, so that all fields are where Windows has them."""
        assert sizeof(Page) == 68
        found = [getattr(Page, name).offset for name, *_ in Page._fields_]
        assert found == [0, 4, 36, 40, 42, 64]
        assert Page.version.size == 30

    def test_bytes(self) -> None:
        """The text in it is UTF-16, read and written as str."""
        data = struct.pack("<i30s2xi2s20s2xf", 7, "Österreich €".encode("utf-16-le"), 9, b"x\0", b"a\0" * 5, 2.5)
        page = Page.from_buffer_copy(data)
        assert (page.packet, page.version, page.count, page.letter, page.speed) == (7, "Österreich €", 9, "x", 2.5)
        assert [name.value for name in page.names] == ["aaaaa", ""]
        page.names[1].value = "bb"
        page.names[0][4] = "z"
        assert bytes(page)[42:62].decode("utf-16-le") == "aaaazbb\0\0\0"

    KINDS = st.sampled_from([c_uint8, c_uint16, c_int32, c_uint64, c_float, c_char, c_char * 3, POINTER(c_wchar)])
    WIDE = st.integers(1, 9).map(lambda length: (c_wchar * length, c_uint16 * length))

    @given(st.lists(st.one_of(KINDS.map(lambda kind: (kind, kind)), WIDE), max_size=8), st.sampled_from([0, 1, 2, 4]))
    def test_any_structure(self, kinds: list[Any], pack: int) -> None:
        """Every structure lies as one with arrays of 16-bit integers in the place of text; without text, as it was."""
        rest = {"_pack_": pack} if pack else {}
        ours, theirs = (
            new_class("Any", base, {**rest, "_fields_": [(f"f{at}", kind[side]) for at, kind in enumerate(kinds)]})
            for side, base in enumerate((Structure, ctypes.Structure))
        )
        assert sizeof(ours) == sizeof(theirs)
        assert ctypes.alignment(ours) == ctypes.alignment(theirs)
        assert memoryview(ours()).format == memoryview(theirs()).format
        for name, *_ in ours._fields_:
            assert getattr(ours, name).offset == getattr(theirs, name).offset

    def test_unions_and_anonymous_members(self) -> None:
        """A member of a union, also of an anonymous one, is text where it is."""

        class Key(Union):
            _fields_ = (("wide", c_wchar), ("code", c_uint16))

        class Event(Structure):
            _anonymous_ = ("key",)
            _fields_ = (("down", c_int32), ("key", Key), ("page", Page))

        class Outer(Structure):
            _anonymous_ = ("event",)
            _fields_ = (("event", Event), ("last", c_wchar * 2))

        outer = Outer()
        outer.wide = "é"
        outer.page.version = "nested"
        assert (outer.event.key.wide, outer.code, outer.wide, Key("q").wide) == ("é", 0xE9, "é", "q")
        assert (outer.event.page.version, sizeof(Outer)) == ("nested", 80)

    def test_fields_set_later(self) -> None:
        """A class may get its fields after it was made, and be derived from."""

        class Later(Structure):
            pass

        Later._fields_ = [("text", c_wchar * 3), ("next", POINTER(Later))]

        class Derived(Later):
            _fields_ = (("more", c_wchar * 2),)

        assert (sizeof(Later), sizeof(Derived)) == (16, 24)
        made = Derived("abc", None, "de")
        assert (made.text, made.more) == ("abc", "de")

    @pytest.mark.parametrize("fields", [5, [3], [("a",)], [("a", int)], [("a", c_int32, 99)], [("a", c_float, 1)]])
    def test_what_is_no_field(self, fields: Any) -> None:
        """Wrong fields are refused with the words of ctypes."""
        said = []
        for base in (ctypes.Structure, Structure):
            with pytest.raises((TypeError, ValueError)) as raised:
                new_class("Wrong", base, {"_fields_": fields})
            said.append((raised.type, str(raised.value)))
        assert said[0] == said[1]


class TestFields:
    """Text in fields."""

    @given(TEXTS, TEXTS)
    def test_round_trips(self, first: str, second: str) -> None:
        """A text that fits comes back; a shorter one ends with a NUL; a longer one is refused, and changes nothing."""
        page = Page(version=first if units(first) <= 15 else "")
        for text in (first, second):
            before = bytes(page)
            if units(text) <= 15:
                page.version = text
                assert page.version == text
            else:
                with pytest.raises(ValueError, match="too long"):
                    page.version = text
                assert bytes(page) == before
        assert page.count == 0

    def test_the_rest_stays(self) -> None:
        """Behind the NUL the memory stays what it was, as on Windows."""
        page = Page(version="abcdefgh")
        page.version = "xy"
        assert bytes(page)[4:20].decode("utf-16-le") == "xy\0defgh"

    def test_halves_of_pairs(self) -> None:
        """Half a surrogate pair is a unit as any other."""
        page = Page(version="\ud83d", letter="\udc00")
        assert (page.version, page.letter) == ("\ud83d", "\udc00")
        page.version = "x" * 13 + "\U0001f600"
        assert page.version[-1] == "\U0001f600"

    @pytest.mark.parametrize(("name", "value"), [("version", b"abc"), ("version", 5), ("letter", "ab"), ("letter", 5)])
    def test_what_is_no_text(self, name: str, value: Any) -> None:
        """Other values are TypeErrors."""
        with pytest.raises(TypeError):
            setattr(Page(), name, value)

    def test_values_of_ctypes(self) -> None:
        """A field takes an array of its own type, and copies it."""
        text = (wide.c_wchar * 15)(*"array")
        page = Page(3, text, letter=wide.c_wchar("c"))
        text.value = "other"
        assert (page.version, page.letter) == ("array", "c")

    def test_over_memory(self) -> None:
        """A structure over memory that others have sees their changes; a copy does not."""
        memory = bytearray(sizeof(Page))
        page, other = Page.from_buffer(memory), Page.from_buffer_copy(memory)
        memory[4:8] = b"h\0i\0"
        assert (page.version, other.version) == ("hi", "")
        page.version = "there"
        assert memory[4:16] == "there\0".encode("utf-16-le")

    def test_copies(self) -> None:
        """Structures with text can be copied and pickled."""
        page = Page(1, "text", 2)
        assert [each.version for each in (copy.copy(page), copy.deepcopy(page), pickle.loads(pickle.dumps(page)))] == [
            "text"
        ] * 3

    def test_pointers_to_text(self) -> None:
        """A field that points to text keeps it for as long as it points there, also in a part of something else."""

        class Named(Structure):
            _fields_ = (("text", wide.c_wchar_p), ("number", c_int32))

        class Outer(Structure):
            _fields_ = (("named", array_of(Named, 2)),)

        outer = Outer()
        outer.named[1].text = "kept " + str(sizeof(Outer))
        gc.collect()
        assert (outer.named[0].text, outer.named[1].text, sizeof(Outer)) == (None, "kept 32", 32)
        outer.named[1].text = None
        assert outer.named[1].text is None


class TestOthers:
    """Classes of ctypes as they were before."""

    def test_relations(self) -> None:
        """A structure that was made before is a Structure as well; nothing else is."""

        class Before(ctypes.Structure):
            _fields_ = (("text", c_wchar * 3),)

        assert isinstance(Before(), Structure)
        assert issubclass(Before, Structure)
        assert isinstance(Page(), ctypes.Structure)
        assert not isinstance(Before(), Page)
        assert not isinstance(Before(), Union)
        assert not isinstance(3, Structure)
        assert (sizeof(Before), Before("abc").text) == (12, "abc")

    def test_c_wchar_elsewhere(self) -> None:
        """Outside of structures c_wchar is the C library's."""
        assert ctypes.create_unicode_buffer("abc").value == "abc"
        assert sizeof(c_wchar * 3) == 12


class TestTypes:
    """c_wchar and the like, for programs that are told that this is Windows."""

    def test_arrays(self) -> None:
        """Items and slices are str; a length is in units."""
        text = (wide.c_wchar * 5)(*"abc")
        assert (text.value, text[:], text[1], text[-1], len(text), sizeof(text)) == ("abc", "abc\0\0", "b", "\0", 5, 10)
        text[1:3] = "XY"
        text[0] = "é"
        assert list(text) == ["é", "X", "Y", "\0", "\0"]
        with pytest.raises(IndexError):
            text[5]
        with pytest.raises(TypeError):
            text[0] = "ab"
        assert (3 * wide.c_wchar) is (wide.c_wchar * 3)

    @given(TEXTS)
    def test_buffers(self, text: str) -> None:
        """create_unicode_buffer makes room for the text and a NUL, or as asked."""
        made = wide.create_unicode_buffer(text)
        assert (made.value, len(made)) == (text, units(text) + 1)
        assert sizeof(wide.create_unicode_buffer(7)) == 14
        assert wide.wstring_at(made) == wide.wstring_at(ctypes.addressof(made), units(text)) == text
        with pytest.raises(ValueError, match="too long"):
            wide.create_unicode_buffer(text + "!", units(text))

    def test_pointers(self) -> None:
        """Pointers lead to text in memory, with items that are str."""
        made = wide.create_unicode_buffer("text")
        pointer = cast(made, POINTER(wide.c_wchar))
        pointer[0] = "n"
        assert (pointer[:4], pointer[1], pointer.contents.value) == ("next", "e", "n")
        assert cast(made, wide.c_wchar_p).value == wide.c_wchar_p(ctypes.addressof(made)).value == "next"
        text = wide.c_wchar_p("own")
        text.value = "new"
        assert (text.value, bool(text), bool(wide.c_wchar_p())) == ("new", True, False)

    def test_what_cannot_be(self) -> None:
        """NULL and addresses without memory are errors, values of other types too."""
        with pytest.raises(ValueError, match="NULL"):
            wide.wstring_at(0)
        with pytest.raises(OSError, match="access violation"):
            _ = wide.c_wchar_p(8).value
        for call in (wide.c_wchar_p, wide.create_unicode_buffer, wide.c_wchar_p.from_param):
            with pytest.raises(TypeError):
                call(b"bytes")

    def test_memmove(self) -> None:
        """A str is moved as UTF-16, padded with NULs."""
        target = ctypes.create_string_buffer(b"........", 8)
        wide.memmove(target, "ab", 6)
        assert target.raw == b"a\0b\0\0\0.."

    def test_arguments(self) -> None:
        """The functions of Windows take all of it for names, and store text of its width."""
        kernel32: Any = windll.WinDLL("kernel32")
        kernel32.CreateEventW.argtypes = [ctypes.c_void_p, c_int32, c_int32, wide.c_wchar_p]
        made = kernel32.CreateEventW(None, True, False, "wide-event")
        loose: Any = windll.WinDLL("kernel32")
        full = (wide.c_wchar * 10)(*"wide-event")  # without a NUL
        for name in ("wide-event", wide.create_unicode_buffer("wide-event"), wide.c_wchar_p("wide-event"), full):
            for library in (kernel32, loose):
                opened = library.CreateEventW(None, True, False, name)
                assert library.CompareObjectHandles(opened, made)
        buffer, pointer = wide.create_unicode_buffer(100), wide.c_wchar_p()
        length = kernel32.FormatMessageW(0x1200, None, 2, 0, buffer, 100, None)
        assert (
            kernel32.FormatMessageW(0x1300, None, 2, 0, ctypes.byref(pointer), 0, None) == length == len(buffer.value)
        )
        assert pointer.value == buffer.value
        assert kernel32.LocalFree(pointer) == 0
