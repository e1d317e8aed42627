"""Structures with c_long and c_ulong over shared memory: 8 bytes on Linux, 4 on Windows, which is said once."""

import ctypes
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from ctypes import wintypes
from pathlib import Path
from typing import Any

import pytest

import namedmap
from child import WATCHDOG

pytestmark = [
    pytest.mark.usefixtures("tidy"),
    pytest.mark.skipif(ctypes.sizeof(ctypes.c_long) == 4, reason="a long has four bytes here"),
]


@pytest.fixture
def view() -> Iterator[namedmap.View]:
    with namedmap.create("longs", 4096) as mapping, mapping.view() as view:
        yield view


class Plain(ctypes.Structure):
    _fields_ = [("first", ctypes.c_long)]


class Unsigned(ctypes.Structure):
    _fields_ = [("first", ctypes.c_uint16), ("second", ctypes.c_ulong)]


class Array(ctypes.Structure):
    _fields_ = [("first", ctypes.c_long * 3 * 2)]


class Inner(ctypes.Structure):
    _fields_ = [("first", ctypes.c_int32), ("second", ctypes.c_ulong)]


class Outer(ctypes.Structure):
    _fields_ = [("inner", Inner)]


class Many(ctypes.Structure):
    _fields_ = [("first", ctypes.c_int32), ("inner", Inner * 2)]


class Either(ctypes.Union):
    _fields_ = [("one", ctypes.c_long), ("other", ctypes.c_char)]


class Derived(Inner):
    _fields_ = [("own", ctypes.c_int32)]


class Windows(ctypes.Structure):
    _fields_ = [("count", wintypes.DWORD), ("flag", wintypes.BOOL)]


class Fixed(ctypes.Structure):
    _fields_ = [
        ("first", ctypes.c_int32),
        ("second", ctypes.c_int64),
        ("third", ctypes.c_uint64),
        ("fourth", ctypes.c_size_t),
        ("fifth", ctypes.c_longlong),
    ]


class Messages(ctypes.Structure):
    _fields_ = [("first", wintypes.WPARAM), ("second", wintypes.LPARAM), ("third", wintypes.LARGE_INTEGER)]


class Address(ctypes.Structure):
    _fields_ = [("first", ctypes.c_void_p), ("second", ctypes.c_char * 8)]


WITH = {Plain: "c_long", Unsigned: "c_ulong", Array: "c_long", Outer: "c_ulong", Many: "c_ulong", Either: "c_long"}
WITH |= {Derived: "c_ulong", Inner * 2: "c_ulong"}
if ctypes.sizeof(wintypes.DWORD) == 8:  # not where this process has been given the types of Windows
    WITH[Windows] = "DWORD and BOOL"
WITHOUT: list[Any] = [Fixed, Messages, Address, ctypes.c_int32 * 4, ctypes.c_long, ctypes.c_int64 * 2]


class TestOverlay:
    @pytest.mark.parametrize("kind", list(WITH))
    def test_with_longs(self, view: namedmap.View, kind: Any) -> None:
        """A warning for each structure, at its first use only; it names the types and says what to do."""
        with pytest.warns(RuntimeWarning, match=f"of {WITH[kind]}: 8 bytes here, 4 on Windows.*--windows") as told:
            view.overlay(kind)
        assert told[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            view.overlay(kind)

    @pytest.mark.parametrize("kind", WITHOUT)
    def test_without(self, view: namedmap.View, kind: Any) -> None:
        """Nothing is said of other types, though c_int64 and c_size_t are the same types here as c_long and c_ulong."""
        view.overlay(kind)

    def test_without_a_source(self, view: namedmap.View) -> None:
        """Nothing is said where nobody can tell which type was meant."""
        view.overlay(type("Made", (ctypes.Structure,), {"_fields_": [("first", ctypes.c_long)]}))


def run(text: str, *words: str, directory: Path) -> list[str]:
    """The lines that a program writes to both streams."""
    (directory / "program.py").write_text(textwrap.dedent(text), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "namedmap", "run", *words, str(directory / "program.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WATCHDOG,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([path for path in sys.path if path]), "HOME": str(directory)},
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


class TestPrograms:
    """Programs for Windows that were not told of it."""

    TEXT = """
        import ctypes, mmap, sys, warnings
        from ctypes import wintypes
        from multiprocessing.shared_memory import SharedMemory
        kernel32 = ctypes.WinDLL("kernel32")
        def structure(base=ctypes.Structure):
            class Data(base):
                _fields_ = [("first", ctypes.c_ulong), ("second", ctypes.c_long), ("third", ctypes.c_int64)]
            return Data
        def says(use):
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                use()
            return [str(each.message)[:23] for each in told]
        section = kernel32.CreateFileMappingW(-1, None, 4, 0, 4096, "longs-program")
        kernel32.MapViewOfFile.restype = ctypes.c_void_p
        view = kernel32.MapViewOfFile(section, 6, 0, 0, 0)
        Data, Other = structure(), structure(ctypes.Union)
        print(says(lambda: Data.from_address(view)), says(lambda: Data.from_address(view)))
        print(says(lambda: Other.from_address(view + 8)))
        tagged = mmap.mmap(-1, 4096, tagname="longs-tag")
        Data = structure()
        print(says(lambda: Data.from_buffer_copy(tagged)), structure().from_buffer_copy(bytes(24)).second)
        Data = structure()
        print(says(lambda: Data.from_buffer(tagged, 16)))
        block = SharedMemory(create=True, size=100)
        Data = structure()
        print(says(lambda: Data.from_buffer_copy(block.buf)))
        Data = structure()
        kernel32.MapViewOfFile.restype = ctypes.POINTER(Data)
        print(says(lambda: kernel32.MapViewOfFile(section, 6, 0, 0, 0)))
        Data = structure()
        own = Data()
        print(says(lambda: Data.from_address(ctypes.addressof(own))), says(lambda: Data.from_buffer(own)))
        class Fixed(ctypes.Structure):
            _fields_ = [("first", wintypes.DWORD), ("second", wintypes.LONG)]
        class Wide(ctypes.Structure):
            _fields_ = [("first", ctypes.c_int64)]
        print(says(lambda: Wide.from_address(view)), "from_address" in vars(Wide))
        print(says(lambda: Fixed.from_address(view)), ctypes.sizeof(Fixed), "from_address" in vars(Fixed))
        """

    def test_not_told(self, tmp_path: Path) -> None:
        """Such a structure over a view, a map with a tag name, a block: a warning; over other memory none."""
        said = "['Data has fields of c_ul']"
        assert run(self.TEXT, directory=tmp_path) == [
            f"{said} []",
            said,
            f"{said} 0",
            said,
            said,
            said,
            "[] []",
            "[] False",
            "[] 8 False",
        ]

    def test_told(self, tmp_path: Path) -> None:
        """With --windows a long has four bytes, and there is nothing to say."""
        assert run(self.TEXT, "--windows", directory=tmp_path) == [
            "[] []",
            "[]",
            "[] 0",
            "[]",
            "[]",
            "[]",
            "[] []",
            "[] False",
            "[] 8 False",
        ]
