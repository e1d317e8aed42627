"""Items and slices of the compiled core: what it takes itself, and what it leaves to the methods of the view."""

import ctypes
import gc
import operator
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import namedmap
from calls.core import NONE_HERE
from calls.kernel import compiled

pytestmark = [pytest.mark.skipif(not namedmap.native, reason=NONE_HERE), pytest.mark.usefixtures("tidy")]

CONTENT = bytes(range(100))


@pytest.fixture
def mapping() -> Iterator[namedmap.FileMapping]:
    namedmap.create("place", 1).close()
    with namedmap.create("window", len(CONTENT)) as made:
        yield made


@pytest.fixture
def view(mapping: namedmap.FileMapping) -> Iterator[namedmap.View]:
    with mapping.view() as made:
        made[:] = CONTENT
        yield made


class Number:
    """A number that does something when it is asked for."""

    action: Callable[[], object]

    def __init__(self, value: int, action: Callable[[], object]) -> None:
        self.value, self.action = value, action

    def __index__(self) -> int:
        self.action()
        return self.value


HUGE = (2**31, 2**32 + 1, 2**62, 2**63 - 1, 2**63, 2**64, 2**64 + 3, 10**30)


class TestItems:
    @pytest.mark.parametrize("index", [*range(-101, 102), *HUGE, *(-each for each in HUGE), True, False])
    def test_reading(self, index: int, view: namedmap.View) -> None:
        """Every number is the byte that it is of bytes, or IndexError."""
        if -100 <= index < 100:
            assert view[index] == CONTENT[index]
        else:
            with pytest.raises(IndexError):
                _ = view[index]

    @pytest.mark.parametrize("index", [-101, -100, -1, 0, 99, 100, *HUGE])
    @pytest.mark.parametrize("value", [-1, 0, 255, 256, *HUGE])
    def test_storing(self, index: int, value: int, view: namedmap.View) -> None:
        """A byte is stored at its place, or nothing anywhere."""
        model = bytearray(CONTENT)
        if -100 <= index < 100 and 0 <= value < 256:
            view[index] = model[index] = value
        else:
            with pytest.raises((IndexError, ValueError)):
                view[index] = value
        assert view[:] == model

    @pytest.mark.parametrize("key", [None, 1.0, "1", b"1", (), (1, 2), [], ..., object()])
    def test_keys_that_are_none(self, key: Any, view: namedmap.View) -> None:
        """A key of another type is TypeError, in reading and storing."""
        with pytest.raises(TypeError):
            _ = view[key]
        with pytest.raises(TypeError):
            view[key] = 1
        assert view[:] == CONTENT

    def test_numbers_of_another_class(self, view: namedmap.View) -> None:
        """A subclass of int, and what has an index, is a number."""

        class Mine(int):
            pass

        assert view[Mine(3)] == 3 == view[Number(3, gc.collect)]
        view[Mine(3)] = Mine(9)
        view[Number(4, gc.collect)] = Number(8, gc.collect)
        assert view[3:5] == bytes((9, 8))


#: Numbers of slices that are odd in some way.
NUMBERS = (None, 0, 1, -1, 50, 99, 100, 101, -100, -101, 2**62, -(2**62), 2**64, -(2**64))


class TestSlices:
    @pytest.mark.parametrize("step", [None, 1, -1, 2, -7, 2**64, -(2**64)])
    def test_numbers(self, step: int | None, view: namedmap.View) -> None:
        """Every slice is the one that bytes have; storing what it has changes nothing."""
        for start in NUMBERS:
            for stop in NUMBERS:
                key = slice(start, stop, step)
                assert view[key] == CONTENT[key], key
                view[key] = CONTENT[key]
                view[key] = bytearray(CONTENT[key])
        assert view[:] == CONTENT

    @pytest.mark.parametrize("key", [slice("a", 1), slice(None, 1.5), slice(0, 5, 0), slice(0, 1, None, *())])
    def test_that_cannot_be(self, key: slice, view: namedmap.View) -> None:
        """A slice of no numbers, or without a step forward, is the error that it is of bytes."""
        try:
            expected: Any = CONTENT[key]
        except (TypeError, ValueError) as error:
            with pytest.raises(type(error)):
                _ = view[key]
            with pytest.raises(type(error)):
                view[key] = b"1"
        else:
            assert view[key] == expected
        assert view[:] == CONTENT

    @pytest.mark.parametrize("length", [0, 1, 9, 11, 100, 101])
    def test_lengths(self, length: int, view: namedmap.View) -> None:
        """Bytes of another length than the slice's are ValueError, and nothing is stored."""
        for value in (b"x" * length, bytearray(length), memoryview(bytes(length))):
            with pytest.raises(ValueError, match="different"):
                view[10:20] = value
        assert view[:] == CONTENT

    def test_that_are_read_are_copies(self, view: namedmap.View) -> None:
        """The bytes of a slice stay as they are."""
        before = view[0:10]
        view[0:10] = b"y" * 10
        assert (before, type(before)) == (CONTENT[:10], bytes)

    def test_of_itself(self, view: namedmap.View) -> None:
        """A part that is stored into an overlapping part arrives whole."""
        view[10:60] = view[0:50]
        assert view[10:60] == CONTENT[:50]
        view[0:50] = memoryview(view.buf)[5:55]
        assert view[0:50] == (CONTENT[:10] + CONTENT[:50])[5:55]


class TestClosing:
    """The numbers of a key may close the view: then it is closed, and memory that is gone is not touched."""

    @pytest.fixture
    def alone(self) -> namedmap.View:
        """A view that nothing else keeps."""
        with namedmap.create("alone", 100) as mapping:
            return mapping.view()

    @pytest.mark.parametrize(
        "make", [lambda n: n, lambda n: slice(0, n), lambda n: slice(n, 2), lambda n: slice(0, 2, n)], ids=range(4)
    )
    def test_while_it_reads(self, make: Callable[[Number], Any], alone: namedmap.View) -> None:
        """Item, both ends of a slice and its step: what comes too late is told that the view is closed."""
        with pytest.raises(ValueError, match="closed"):
            operator.getitem(alone, make(Number(1, alone.close)))

    def test_while_it_reads_what_is_protected(self, alone: namedmap.View) -> None:
        """A view that is protected in the middle is read with care."""
        assert alone[0 : Number(1, lambda: alone.protect("read"))] == b"\0"
        alone.close()

    @pytest.mark.parametrize("way", ["close", "protect"])
    def test_while_it_stores(self, way: str, alone: namedmap.View) -> None:
        """A store that comes too late is stored nowhere."""
        closing = Number(1, alone.close if way == "close" else lambda: alone.protect("read"))
        with pytest.raises((ValueError, namedmap.Error)):
            alone[0:closing] = b"x"
        if way == "protect":
            assert alone[0] == 0
            alone.close()
        with pytest.raises(ValueError, match="closed"):
            alone[0] = 1

    def test_a_closed_one(self, alone: namedmap.View) -> None:
        """A closed view says so for every key."""
        alone.close()
        for use in (lambda: alone[0], lambda: alone[0:1], lambda: alone[-1], lambda: bytes(memoryview(alone))):
            with pytest.raises(ValueError, match="closed"):
                use()
        with pytest.raises(ValueError, match="closed"):
            alone[:] = b""


class TestDeleting:
    @pytest.mark.parametrize("key", [0, 1000, slice(0, 1), slice(None), "x", None])
    def test_nothing_can_be(self, key: Any, view: namedmap.View) -> None:
        """A view keeps its size."""
        deleted: Any = view
        with pytest.raises(TypeError):
            del deleted[key]
        assert view[:] == CONTENT


class TestReaders:
    def test_store_nothing(self, mapping: namedmap.FileMapping, view: namedmap.View) -> None:
        """Every store into a view for reading is ReadOnlyError, also one that would not fit."""
        with mapping.view(access="read") as reader:
            for key, value in ((0, 1), (slice(0, 1), b"x"), (slice(0, 2, 2), b"x"), (1000, 1), (slice(0, 1), b"xyz")):
                with pytest.raises((namedmap.ReadOnlyError, IndexError, ValueError)):
                    reader[key] = value
            with pytest.raises(namedmap.ReadOnlyError):
                reader[0] = 1
            assert reader[:] == CONTENT
            assert memoryview(reader).readonly
            with pytest.raises(TypeError):
                memoryview(reader)[0] = 1

    def test_see_what_writers_store(self, mapping: namedmap.FileMapping, view: namedmap.View) -> None:
        """Memory is shared, not copied."""
        with mapping.view(access="read") as reader, memoryview(reader) as seen:
            view[5] = 200
            assert reader[5] == seen[5] == 200


class TestBuffers:
    def test_memoryview(self, view: namedmap.View) -> None:
        """memoryview(view) is the memory, in each version of Python, and keeps it."""
        seen = memoryview(view)
        assert (seen.format, seen.nbytes, seen.readonly, seen.c_contiguous) == ("B", 100, False, True)
        seen[7] = 77
        assert view[7] == 77
        view.close()
        assert seen[7] == 77
        seen.release()

    def test_functions_that_take_buffers(self, view: namedmap.View) -> None:
        """A function that takes bytes-like objects takes a view."""
        assert bytes(view) == CONTENT == bytearray(view)
        assert b"".join((view, b"x")) == CONTENT + b"x"
        assert int.from_bytes(view[1:3], "big") == 0x102
        assert ctypes.c_char.from_buffer(view).value == b"\0"

    def test_sequences(self, view: namedmap.View) -> None:
        """Functions that take sequences take a view."""
        assert list(reversed(view)) == list(reversed(CONTENT))
        assert list(view) == list(CONTENT)
        assert len(view) == 100
        assert 99 in view


class TestSubclasses:
    def test_methods_that_are_overridden(self, mapping: namedmap.FileMapping) -> None:
        """A subclass of View has its own items where it says so, and the memory's where it asks for them."""

        class Doubled(namedmap.View):
            def __getitem__(self, key: Any) -> Any:
                found = super().__getitem__(key)
                return 2 * found if isinstance(key, int) else found

        made = mapping.view()
        made[:] = CONTENT
        made.__class__ = Doubled
        assert (made[3], made[3:4], list(map(made.__getitem__, range(3)))) == (6, b"\3", [0, 2, 4])
        made.own = 1  # type: ignore[attr-defined]
        made.close()

    def test_the_bare_class(self) -> None:
        """A window without memory asks its own methods, which the bare class does not have."""
        assert compiled.core is not None
        window: Any = compiled.core.Window()
        for use in (lambda: window[0], lambda: window[0:1], lambda: memoryview(window)):
            with pytest.raises(AttributeError):
                use()
        with pytest.raises(TypeError):
            del window[0]
        with pytest.raises((AttributeError, TypeError)):
            window._look_at(3)
        window._look_at(None)

    def test_a_window_over_other_memory(self) -> None:
        """Whatever has a method `buffer` is memory; it is let go with the window, in cycles too."""
        assert compiled.core is not None

        class Memory:
            def __init__(self, content: bytearray) -> None:
                self.content = content

            def buffer(self) -> memoryview:
                return memoryview(self.content)

        class Window(compiled.core.Window):  # type: ignore[misc,name-defined]
            def _get(self, key: object) -> object:
                return "get", key

            def _set(self, key: object, value: object) -> None:
                raise KeyError(key)

        content = bytearray(b"0123456789")
        window: Any = Window()
        assert window[0] == ("get", 0)
        window._look_at(Memory(content))
        window[0], window[1:3] = 65, b"BC"
        assert (window[0], window[:4], window[10], bytes(content[:3])) == (65, b"ABC3", ("get", 10), b"ABC")
        with pytest.raises(BufferError):
            content.append(1)
        window._look_at(Memory(bytearray(3)))
        content.append(1)
        window._look_at(Memory(content))
        window.itself = window
        del window
        gc.collect()
        content.append(1)
