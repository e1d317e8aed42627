"""Arguments for the fuzzer: what a parameter may be, by its name, and what it should not be."""

import ctypes
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import namedmap
from namedmap import win32
from namedmap.compat import mmap
from namedmap.compat.pywin32 import mmapfile, pywintypes
from namedmap.compat.shared_memory import ShareableList, SharedMemory
from namedmap.compat.windll import WinDLL
from programs import bad_input

SIZE = 0x30000


class Rudeness(Exception):
    """Raised by an argument, not by the package."""


def _rude(*_: object, **__: object) -> Any:
    raise Rudeness("an argument's own")


class Rude:
    """It raises, whatever is asked of it."""

    __index__ = __int__ = __float__ = __bool__ = __len__ = __iter__ = __fspath__ = __enter__ = _rude
    __getitem__ = __call__ = __lt__ = __gt__ = __le__ = __ge__ = __add__ = __radd__ = __buffer__ = _rude


class RudeToHash:
    """It can be neither compared nor hashed."""

    __eq__ = __hash__ = __repr__ = _rude


class RudeToAsk:
    """It has no attributes that could be asked for."""

    def __getattr__(self, name: str) -> Any:
        raise Rudeness(name)


class World(bad_input.World):
    """Handles, memory and a file, and an instance of every class."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        (directory / "other").write_bytes(b"other" * 1000)
        self.instances: dict[type, Any] = {}

    def instance(self, cls: type) -> Any:
        """The instance of a class, made when it is first asked for."""
        if cls not in self.instances:
            self.instances[cls] = MAKERS[cls](self)
        return self.instances[cls]

    def close(self) -> None:
        for each in self.instances.values():
            close = getattr(each, "close", None) or getattr(each, "Close", None)
            try:
                if close is not None and not isinstance(each, ShareableList):
                    close()
            except (BufferError, pywintypes.error):
                continue
        self.instances.clear()
        super().close()


def _mapping(world: World) -> Any:
    return namedmap.create("fuzz.mapping", SIZE)


#: How an instance of a class is made.
MAKERS: dict[type, Callable[[World], Any]] = {
    namedmap.FileMapping: _mapping,
    namedmap.View: lambda world: world.instance(namedmap.FileMapping).view(5, 100_000),
    namedmap.Mutex: lambda world: namedmap.Mutex("fuzz.mutex"),
    namedmap.Semaphore: lambda world: namedmap.Semaphore("fuzz.semaphore", 5),
    namedmap.Event: lambda world: namedmap.Event("fuzz.event", signaled=True),
    namedmap.Block: lambda world: namedmap.publish("fuzz.block", b"0123456789"),
    mmap.mmap: lambda world: mmap.mmap(-1, 5000, "fuzz.mmap"),
    SharedMemory: lambda world: SharedMemory("fuzz.shared", create=True, size=5000),
    ShareableList: lambda world: ShareableList([1, 2.5, "text", b"bytes", None, True]),
    mmapfile.mmapfile: lambda world: mmapfile.mmapfile(None, "fuzz.mmapfile", 5000),
    pywintypes.PyHANDLE: lambda world: pywintypes.PyHANDLE(world.event),
    pywintypes.PyOVERLAPPED: lambda world: pywintypes.PyOVERLAPPED(),
    pywintypes.PySECURITY_DESCRIPTOR: lambda world: pywintypes.PySECURITY_DESCRIPTOR(),
    pywintypes.PySECURITY_ATTRIBUTES: lambda world: pywintypes.PySECURITY_ATTRIBUTES(),
    WinDLL: lambda world: WinDLL("kernel32", use_last_error=True),
}

#: Numbers at which something ends.
NUMBERS = (
    *(-2, -1, 0, 1, 2, 3, 7, 8, 255, 256, 4095, 4096, 4097, 65535, 65536, SIZE - 1, SIZE, SIZE + 1),
    *(
        2**31 - 1,
        2**31,
        -(2**31),
        2**32 - 1,
        2**32,
        2**63 - 1,
        2**63,
        -(2**63),
        2**64 - 1,
        2**64,
        2**70,
        -(2**70),
        10**30,
    ),
)
TEXTS = (
    *("", "x", "\0", "a\0b", "\ud800", "\udcff", "\n", "a\\b", "Global\\", "Local\\x", "Global\\x", "%s", "{}", "0"),
    *("x" * 300, "x" * 40_000, "\U0001f600" * 100, "read", "write", "copy", "é", "fuzz.mapping", "fuzz.mutex", "."),
)


def _released() -> memoryview:
    view = memoryview(bytearray(8))
    view.release()
    return view


class _Structure(ctypes.Structure):
    _fields_ = (("a", ctypes.c_int), ("b", ctypes.c_char * 5))


#: Makers of values that hardly any parameter is for.
ODD: tuple[Callable[[], Any], ...] = (
    lambda: None, lambda: True, lambda: 1.5, lambda: float("nan"), lambda: float("inf"), lambda: -1.0, lambda: 2j,
    lambda: b"", lambda: b"bytes", lambda: b"\0", lambda: b"\xff\xfe", lambda: bytearray(b"array"),
    lambda: memoryview(b"readonly"), lambda: memoryview(bytearray(8)), _released, lambda: memoryview(bytes(8))[::2],
    lambda: memoryview(bytearray(8)).cast("I"), lambda: memoryview(bytearray(8)).cast("B", (2, 4)),
    list, lambda: [1], lambda: [None], lambda: (), lambda: (1, 2), dict, lambda: {"a": 1}, lambda: {1},
    lambda: range(3), lambda: iter([1]), lambda: slice(1, 2), lambda: slice("a", None, 0), lambda: ...,
    object, lambda: int, lambda: ctypes.c_int, lambda: print, lambda: lambda: 1, lambda: _rude, lambda: ValueError(),
    Rude, RudeToHash, RudeToAsk, lambda: ctypes.c_int(5), lambda: ctypes.c_void_p(16), lambda: ctypes.c_double(1),
    lambda: ctypes.byref(ctypes.c_int(3)), lambda: ctypes.pointer(ctypes.c_int(3)),
    lambda: ctypes.POINTER(ctypes.c_int)(),
    _Structure, lambda: _Structure, lambda: (ctypes.c_char * 10)(), lambda: ctypes.c_wchar_p("text"),
    lambda: ctypes.py_object, lambda: ctypes.c_char * 8, lambda: ctypes.Structure, lambda: ctypes.c_char_p(b"x"),
    win32.DWORD, win32.HANDLE, win32.OVERLAPPED, win32.SECURITY_ATTRIBUTES, lambda: Path("data"), lambda: Path("other"),
    lambda: win32.PAGE_READWRITE, lambda: type("Text", (str,), {})("x"), lambda: type("Number", (int,), {})(5),
)  # fmt: skip


def odd(random_: random.Random, world: World) -> Any:
    """Anything."""
    kind = random_.random()
    if kind < 0.2:
        return random_.choice(NUMBERS)
    if kind < 0.3:
        return random_.randrange(-(1 << random_.randrange(1, 80)), 1 << random_.randrange(1, 80))
    if kind < 0.45:
        return random_.choice(TEXTS)
    if kind < 0.55 and world.instances:
        return random_.choice(list(world.instances.values()))
    return random_.choice(ODD)()


_PATHS = ("data", "other", "new", Path("data"), b"data")
_CONTENTS = (b"x", b"content", 5, "x", bytearray(9))
#: The right values for a parameter, by words in its name; the first that fits.
_RIGHT: tuple[tuple[tuple[str, ...], Callable[[random.Random, World], Any]], ...] = (
    (("timeout", "seconds", "milliseconds", "lpdue"), lambda r, w: r.choice((0, 0, 1, 0.001, True))),
    (("progress", "cancel"), lambda r, w: r.choice((None, lambda *_: False))),
    (("objects",), lambda r, w: [w.instance(namedmap.Event), w.instance(namedmap.Semaphore)]),
    (("name", "tagname"), lambda r, w: r.choice(("fuzz.a", "fuzz.b", "Global\\fuzz.c", None, "fuzz.mapping"))),
    (("path", "src", "dst", "file", "what", "a", "b"), lambda r, w: r.choice(_PATHS)),
    (("pattern", "expect"), lambda r, w: r.choice((b"x", b"other", bytes(5)))),
    (("data", "content", "needle", "wanted", "value", "buffer", "char"), lambda r, w: r.choice(_CONTENTS)),
    (("access", "words"), lambda r, w: r.choice(("read", "write", "copy", "execute", 1, 3, 0))),
    (("layout",), lambda r, w: r.choice((ctypes.c_int, _Structure, "<I", "5s"))),
    (("mode",), lambda r, w: r.choice((0o600, 0o660, None))),
    (("algorithm", "verify"), lambda r, w: r.choice(("sha256", "crc32", None))),
    (("group", "security"), lambda r, w: None),
    (("handle", "hobject"), lambda r, w: r.choice((w.section, w.file, w.mutex, w.event, w.semaphore, w.closed))),
    (("fd", "fileno"), lambda r, w: -1),
)  # fmt: skip


def right(name: str, random_: random.Random, world: World) -> Any:
    """The values that a parameter of this name may have."""
    lowered = name.lower().strip("_")
    for words, make in _RIGHT:
        if lowered in words or any(len(word) > 3 and lowered.endswith(word) for word in words):
            return make(random_, world)
    return random_.choice((0, 1, 2, 5, 100, 4096, None, True, False))
