r"""Object names: `Local\`, `Global\`, what is a directory, what is a name, and the files behind them."""

import contextlib
import os
import random
import re
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from calls import close, failed, loose, object_text, open_section, section
from calls.kernel import KernelError, ObjectName, namespace, parse, parse_native
from calls.memory import READ, exists, run
from child import Spawn
from namedmap import win32

pytestmark = pytest.mark.usefixtures("tidy")

#: Names and the error that each function reports for them.
WRONG = [
    ("a\0b", 123),
    ("Global\\\0", 123),
    ("\\Foo", 161),
    ("\\", 161),
    ("\\\\", 161),
    ("\\BaseNamedObjects\\X", 161),
    ("\\??\\x", 161),
    ("Foo\\Bar", 3),
    ("Foo\\", 3),
    ("Local\\a\\b", 3),
    ("Global\\a\\b", 3),
    ("Local\\X\\", 3),
    ("BaseNamedObjects\\X", 3),
    ("local\\q", 3),
    ("LOCAL\\q", 3),
    ("GLOBAL\\q", 3),
    ("Local\\", 123),
    ("Global\\", 123),
    ("Local\\\\x", 123),
    ("Local", 6),
    ("Global", 6),
    ("Session", 6),
]
#: Names that are nothing special.
PLAIN = ["x", ".", "..", " ", "\n", "a/b", "../../x", "/etc/passwd", "x*?:|<>\"", "Global/x", "%41", "%", "%h",
         "\u00e9", "\U0001f600", "\ud800", "a" * 300, "a." * 200, "name ", "name.", ".hidden", "-rf",
         "con", "tab\t", "\x01", "\x7f"]  # fmt: skip
#: Ways to write a name, and another way to write the same.
SAME = [
    ("Local\\names.x", "names.x"),
    ("Local\\Local\\names.x", "names.x"),
    ("Session\\1\\names.x", "names.x"),
    ("Local\\Global\\names.x", "Global\\names.x"),
    ("Global\\Local\\names.x", "Global\\names.x"),
    ("Global\\Global\\names.x", "Global\\names.x"),
    ("Session\\0\\names.x", "Global\\names.x"),
]


@pytest.mark.parametrize(("name", "error"), WRONG)
def test_names_that_are_none(name: str, error: int) -> None:
    """Each function that takes a name refuses it, with the same error, and makes nothing."""
    assert failed(win32.CreateFileMapping(-1, None, 4, 0, 1, name)) == error
    assert failed(win32.OpenFileMapping(READ, False, name)) == error
    assert failed(win32.CreateMutex(None, False, name)) == error
    assert failed(win32.OpenMutex(win32.SYNCHRONIZE, False, name)) == error
    assert failed(win32.CreateEvent(None, False, False, name)) == error
    assert failed(win32.OpenEvent(win32.SYNCHRONIZE, False, name)) == error
    assert failed(win32.CreateSemaphore(None, 0, 1, name)) == error
    assert failed(win32.OpenSemaphore(win32.SYNCHRONIZE, False, name)) == error


@pytest.mark.parametrize("scope", ["", "Local\\", "Global\\"])
@pytest.mark.parametrize("name", PLAIN)
def test_names_that_are_plain(scope: str, name: str) -> None:
    """Everything but a backslash may stand in a name; it is reported as given, and never leaves the directory."""
    handle = section(name=scope + name)
    assert win32.GetLastError() == 0
    prefix = "\\BaseNamedObjects\\" if scope == "Global\\" else "\\Sessions\\1\\BaseNamedObjects\\"
    assert object_text(handle, 1) == prefix + name
    other = open_section(scope + name)
    assert win32.CompareObjectHandles(handle, other)
    root = Path(namespace.current().root)
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].parent == (root if scope == "Global\\" else root / f"namedmap-{os.getuid()}")


@pytest.mark.parametrize(("one", "other"), SAME)
def test_names_that_are_the_same(one: str, other: str) -> None:
    """Prefixes may be repeated and written through the session."""
    handle = section(name=one)
    assert win32.CompareObjectHandles(handle, open_section(other))


def test_names_that_are_different() -> None:
    """Case, blanks, dots, normal forms and scopes all make a difference."""
    names = [
        "names",
        "Names",
        "NAMES",
        "names ",
        " names",
        "names.",
        "names/",
        "n\u00e9",
        "ne\u0301",
        "Global\\names",
        "%6Eames",
    ]
    handles = [section(name=name) for name in names]
    assert not any(win32.CompareObjectHandles(a, b) for a in handles for b in handles if a != b)
    for name, handle in zip(names, handles, strict=True):
        assert win32.CompareObjectHandles(handle, open_section(name))


@pytest.mark.parametrize("length", [199, 200, 201, 255, 256, 4096, 32766])
def test_long_names(length: int) -> None:
    """Names may be far longer than a file name; long ones that differ in one place are different."""
    handle = section(name="n" * length)
    if length < 32000:  # a UNICODE_STRING cannot hold more: see test_nt
        assert object_text(handle, 1).endswith("\\" + "n" * length)
    assert not exists("n" * (length - 1) + "m")
    assert not exists("m" + "n" * (length - 1))
    assert win32.CompareObjectHandles(handle, open_section("n" * length))


def test_names_are_cut_at_32766_units() -> None:
    """Windows cuts what a UNICODE_STRING cannot hold; so the longer name is the same."""
    handle = section(name="c" * 32766)
    for name in ("c" * 32767, "c" * 32768, "c" * 40000):
        assert win32.CompareObjectHandles(handle, section(name=name))
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS


KINDS: dict[str, tuple[Callable[[str], int | None], Callable[[int, bool, str], int | None]]] = {
    "section": (lambda name: win32.CreateFileMapping(-1, None, 4, 0, 1, name), win32.OpenFileMapping),
    "mutex": (lambda name: win32.CreateMutex(None, False, name), win32.OpenMutex),
    "semaphore": (lambda name: win32.CreateSemaphore(None, 0, 1, name), win32.OpenSemaphore),
    "event": (lambda name: win32.CreateEvent(None, False, False, name), win32.OpenEvent),
}


@pytest.mark.parametrize("scope", ["", "Global\\"])
@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_all_kinds_share_the_names(first: str, second: str, scope: str) -> None:
    """A name that another kind of object has is ERROR_INVALID_HANDLE, for creating and for opening."""
    name = scope + "names.kinds"
    handle = KINDS[first][0](name)
    create, open_ = KINDS[second]
    if first == second:
        again = create(name)
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
        assert loose.CompareObjectHandles(handle, again)
    else:
        assert failed(create(name)) == 6
        assert failed(open_(0x1F0001 if second != "section" else READ, False, name)) == 6


def test_local_and_global_in_another_process() -> None:
    r"""Another process of the user finds both `Local\` and `Global\` names."""
    section(name="names.shared")
    section(name="Global\\names.shared")
    assert run(r'print(exists("Local\\names.shared"), exists("Global\\names.shared"), exists("names.other"))') == (
        "True True False\n"
    )


def test_long_names_fill_no_memory(spawn: Spawn) -> None:
    """A failure to open by a name of megabytes leaves nothing of it behind, in any function that takes a name."""
    child = spawn()
    child.run(
        r"""
        import resource
        import namedmap

        def attempts(number):
            name = str(number) + "n" * 4_000_000
            win32.OpenMutex(1, False, name)
            win32.OpenFileMapping(4, False, "Global\\" + name)
            nt.NtOpenSection(win32.HANDLE(), 4, nt.OBJECT_ATTRIBUTES("\\BaseNamedObjects\\" + name))
            nt.NtOpenSection(win32.HANDLE(), 4, nt.OBJECT_ATTRIBUTES(name + "\\x"))
            for open_ in (namedmap.open, namedmap.Event.open, namedmap.attach):
                try:
                    open_(name)
                except OSError:
                    pass

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        attempts(0)  # takes what one name takes for a moment
        before = peak()
        for number in range(1, 25):
            attempts(number)
        """
    )
    assert child.value("peak()") < child.value("before") + 30_000


def test_the_empty_name() -> None:
    """The empty name is no name for Create, and the directory of names for Open."""
    close(section(name=""))
    assert failed(win32.OpenFileMapping(READ, False, "")) == 6


class TestFileNames:
    """Names as they are on disk."""

    @settings(max_examples=300)
    @example("a", "A")
    @example("%h" + "0" * 64, "a" * 201)
    @example("a" * 200, "a" * 201)
    @example("\u00e9" * 100, "\u00e9" * 101)
    @given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
    def test_different_names_have_different_files(self, one: str, other: str) -> None:
        """The file name is a function of the name that no two names share, and is a safe file name."""
        names = [ObjectName(False, text).file_name() for text in (one, other)]
        assert (names[0] == names[1]) == (one == other)
        for name in names:
            assert re.fullmatch(r"[A-Za-z0-9_.%-]{1,255}", name)
            assert name not in (".", "..")
            assert len(namespace.GLOBAL_PREFIX + name) <= 255

    @settings(max_examples=200)
    @given(st.text(st.characters(exclude_characters="\\\0"), min_size=1, max_size=400), st.booleans())
    def test_a_parsed_name_is_its_native_name(self, leaf: str, is_global: bool) -> None:
        """A name, and the native path that it reports, lead to the same object."""
        if leaf in ("Local", "Global", "Session"):
            return
        name = parse(("Global\\" if is_global else "") + leaf)
        assert name == (is_global, leaf)
        assert parse_native(name.native) == name
        assert parse(str(name)) == name

    @settings(max_examples=300)
    @given(st.text(alphabet="\\LocalGbS01x", max_size=40))
    def test_no_name_crashes_the_parser(self, name: str) -> None:
        """Any text is a name or a status, and a name has no backslash."""
        for parser in (parse, parse_native):
            with contextlib.suppress(KernelError):
                found = parser(name)
                assert "\\" not in found.leaf
                assert found.leaf or not name

    def test_readable_names_stay_readable(self) -> None:
        """Letters, digits, `_`, `-` and inner dots are kept."""
        leaf = string.ascii_letters + string.digits + "_-."
        assert ObjectName(False, leaf).file_name() == leaf
        assert ObjectName(False, "a b/c").file_name() == "a%20b%2Fc"

    def test_many_names(self) -> None:
        """A thousand random names at once are a thousand objects."""
        chance = random.Random(7)
        names = {"".join(chance.choices("aA/%. é\u4e2d", k=chance.randrange(1, 60))) for _ in range(300)}
        handles = {name: section(name=name) for name in names}
        assert len(set(handles.values())) == len(names)
        for name, handle in handles.items():
            assert object_text(handle, 1).endswith("\\" + name)
