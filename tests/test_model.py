"""Random programs over names, handles, views and pages, against a model written from the documented rules.

The model knows nothing of locks, files or mmap. It keeps, per object, its handles, its contents in bytes and which of
its pages are committed; per view, the protection of each page and the private copies that copy-on-write has made.
After each step the real memory, VirtualQuery and NtQueryObject must agree with it.
"""

import ctypes
import os
import tempfile
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from calls import PAGE, basic, object_text, peek, poke
from calls.memory import ALL, COPY, EXECUTE, GRANULARITY, READ, WRITE, query, section_basic
from namedmap import win32

pytestmark = pytest.mark.usefixtures("tidy")

NOACCESS, READONLY, READWRITE, WRITECOPY = 0x01, 0x02, 0x04, 0x08
X, XR, XRW, XWC = 0x10, 0x20, 0x40, 0x80
QUERY, MAP_WRITE, MAP_READ, MAP_EXECUTE = 1, 2, 4, 8

#: The uses of a page that its protection allows: load, store.
LOADS = {READONLY, READWRITE, WRITECOPY, X, XR, XRW, XWC}
STORES = {READWRITE, WRITECOPY, XRW, XWC}
COPIES = {WRITECOPY: READWRITE, XWC: XRW}

#: Which protections may lie within which (FACTS.md, matrix B; ANSWERS of VirtualProtect).
_PLAIN = {NOACCESS, READONLY, WRITECOPY}
_RUNNING = _PLAIN | {X, XR, XWC}
WITHIN = {
    NOACCESS: {NOACCESS},
    READONLY: _PLAIN,
    WRITECOPY: _PLAIN,
    READWRITE: _PLAIN | {READWRITE},
    XR: _RUNNING,
    XWC: _RUNNING,
    XRW: _RUNNING | {READWRITE, XRW},
}
SECTION_ACCESS = {READONLY: 0xF0005, READWRITE: 0xF0007, WRITECOPY: 0xF0005, XR: 0xF000D, XRW: 0xF000F, XWC: 0xF000D}
VIEW_NEEDS = {
    NOACCESS: MAP_READ,
    READONLY: MAP_READ,
    WRITECOPY: MAP_READ,
    READWRITE: MAP_WRITE,
    XR: MAP_READ | MAP_EXECUTE,
    XWC: MAP_READ | MAP_EXECUTE,
    XRW: MAP_WRITE | MAP_EXECUTE,
}
#: FILE_MAP_* to the protection of the view.
VIEW_PROTECTION = {
    0: NOACCESS,
    READ: READONLY,
    WRITE: READWRITE,
    READ | WRITE: READWRITE,
    COPY: WRITECOPY,
    READ | COPY: READONLY,
    ALL: READWRITE,
    EXECUTE: NOACCESS,
    EXECUTE | READ: XR,
    EXECUTE | WRITE: XRW,
    EXECUTE | COPY: XWC,
}
OPENED = {
    READ: MAP_READ,
    WRITE: MAP_WRITE,
    READ | WRITE: MAP_READ | MAP_WRITE,
    COPY: MAP_READ,
    QUERY | MAP_READ: QUERY | MAP_READ,
    EXECUTE | READ: MAP_EXECUTE | MAP_READ,
    ALL: 0xF001F,
    0x80000000: 0x20005,
    0x02000000: 0xF001F,
}
PICK = st.integers(0, 7)
NAMES = ("model.a", "model.b", "Global\\model.a")
SIZES = (1, PAGE, PAGE + 904, 3 * PAGE, GRANULARITY + 2 * PAGE, 2 * GRANULARITY)


@dataclass(eq=False)
class Thing:
    """An object: a section, or something of another kind that takes a name away."""

    kind: str
    name: str | None
    handles: int = 1
    size: int = 0
    protect: int = 0
    reserve: bool = False
    of_file: bool = False
    contents: bytearray = field(default_factory=bytearray)
    committed: set[int] = field(default_factory=set)

    def is_committed(self, page: int) -> bool:
        return not self.reserve or page in self.committed


@dataclass(eq=False)
class Window:
    """A view: protection and private copy of each page."""

    base: int
    thing: Thing
    offset: int
    length: int
    protect: int
    pages: list[int]
    copies: dict[int, bytearray] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.base + self.length

    def state(self, page: int) -> tuple[int, int]:
        """(state, protection) as VirtualQuery reports a page."""
        if not self.thing.is_committed(self.offset // PAGE + page):
            return 0x2000, 0
        protect = self.pages[page]
        return 0x1000, COPIES.get(protect, protect) if page in self.copies else protect

    def memory(self, page: int) -> bytes | bytearray:
        start = self.offset + page * PAGE
        return self.copies.get(page) or self.thing.contents[start : start + PAGE]

    def store(self, page: int, at: int, content: bytes) -> bool:
        state, protect = self.state(page)
        if state != 0x1000 or protect not in STORES:
            return False
        if page not in self.copies and protect in COPIES:
            self.copies[page] = bytearray(self.memory(page))
        if page in self.copies:
            self.copies[page][at : at + len(content)] = content
        else:
            start = self.offset + page * PAGE + at
            self.thing.contents[start : start + len(content)] = content
        return True


class Model(RuleBasedStateMachine):
    handles = Bundle("handles")
    windows = Bundle("windows")

    @initialize()
    def begin(self) -> None:
        self.names: dict[str, Thing] = {}
        self.entries: dict[int, tuple[Thing, int]] = {}
        self.views: dict[int, Window] = {}
        self.directory = tempfile.TemporaryDirectory(prefix="namedmap-model-")
        self.path = os.path.join(self.directory.name, "data")
        self.file_contents = bytearray(b"file" * (GRANULARITY // 2))
        with open(self.path, "wb") as file:
            file.write(self.file_contents)
        self.file = win32.CreateFile(self.path, 0xE0000000, 7, None, win32.OPEN_EXISTING, 0, None)
        assert self.file != win32.INVALID_HANDLE_VALUE
        # Something to begin with: two sections, two views of each.
        for name, attributes in (("model.a", 0), (None, win32.SEC_RESERVE)):
            value = self._create(name, 3 * PAGE, XRW, attributes, False)
            for access in (WRITE, EXECUTE | WRITE):
                self._map(value or 0, access, 0, 0, None)

    def teardown(self) -> None:
        if not hasattr(self, "views"):
            return
        for value in self.entries:
            win32.CloseHandle(value)
        for base in self.views:
            win32.UnmapViewOfFile(base)
        win32.CloseHandle(self.file)
        self.directory.cleanup()

    def _held(self, pick: int) -> int:
        """Some handle that is open, or one that never was."""
        return sorted(self.entries)[pick % len(self.entries)] if self.entries else 0x7FF0

    def _live(self, pick: int) -> int:
        """The base of some view that is mapped."""
        return sorted(self.views)[pick % len(self.views)]

    # -- names and handles -------------------------------------------------------------------------------------------

    def _entered(self, value: int | None, thing: Thing, access: int) -> int:
        assert value is not None
        assert value not in self.entries
        self.entries[value] = (thing, access)
        return value

    @rule(
        target=handles,
        name=st.none() | st.sampled_from(NAMES),
        size=st.sampled_from(SIZES),
        protect=st.sampled_from((*SECTION_ACCESS, READWRITE, READWRITE, READWRITE, XRW)),
        attributes=st.sampled_from((0, win32.SEC_COMMIT, win32.SEC_RESERVE, win32.SEC_RESERVE)),
        of_file=st.integers(0, 4).map(lambda n: n == 0),
    )
    def create(self, name: str | None, size: int, protect: int, attributes: int, of_file: bool) -> object:
        value = self._create(name, size, protect, attributes, of_file)
        return multiple() if value is None else value

    def _create(self, name: str | None, size: int, protect: int, attributes: int, of_file: bool) -> int | None:
        if of_file:
            size = min(size, len(self.file_contents))
        file = self.file if of_file else win32.INVALID_HANDLE_VALUE
        value = win32.CreateFileMapping(file, None, protect | attributes, 0, size, name)
        error = win32.GetLastError()
        known = self.names.get(name) if name else None
        if known is not None and known.kind != "section":
            assert (value, error) == (None, win32.ERROR_INVALID_HANDLE)
            return None
        if known is not None:
            assert error == win32.ERROR_ALREADY_EXISTS
            known.handles += 1
            return self._entered(value, known, SECTION_ACCESS[protect])
        assert error == 0
        length = size if of_file else -(-size // PAGE) * PAGE
        thing = Thing("section", name, 1, length, protect, attributes == win32.SEC_RESERVE and not of_file, of_file)
        thing.contents = self.file_contents if of_file else bytearray(length)
        if name:
            self.names[name] = thing
        return self._entered(value, thing, SECTION_ACCESS[protect])

    @rule(target=handles, name=st.sampled_from(NAMES))
    def create_mutex(self, name: str) -> object:
        value = win32.CreateMutex(None, False, name)
        error = win32.GetLastError()
        known = self.names.get(name)
        if known is not None and known.kind != "mutex":
            assert (value, error) == (None, win32.ERROR_INVALID_HANDLE)
            return multiple()
        assert error == (win32.ERROR_ALREADY_EXISTS if known else 0)
        if known is None:
            known = self.names[name] = Thing("mutex", name, 0)
        known.handles += 1
        return self._entered(value, known, 0x1F0001)

    @rule(target=handles, name=st.sampled_from(NAMES), asked=st.sampled_from(sorted(OPENED)))
    def open(self, name: str, asked: int) -> object:
        win32.SetLastError(0xDEAD)
        value = win32.OpenFileMapping(asked, False, name)
        error = win32.GetLastError()
        known = self.names.get(name)
        if known is None or known.kind != "section":
            assert value is None
            assert error == (win32.ERROR_INVALID_HANDLE if known else win32.ERROR_FILE_NOT_FOUND)
            return multiple()
        assert error == 0xDEAD
        known.handles += 1
        return self._entered(value, known, OPENED[asked])

    @rule(
        target=handles,
        stale=st.none() | handles,
        pick=PICK,
        access=st.none() | st.sampled_from((0, MAP_READ, MAP_WRITE, MAP_READ | MAP_WRITE, 0xF001F)),
        close_source=st.booleans(),
    )
    def duplicate(self, stale: int | None, pick: int, access: int | None, close_source: bool) -> object:
        value = self._held(pick) if stale is None else stale
        entry = self.entries.get(value)
        if access and entry is not None and entry[0].kind == "mutex":
            access = 0x1F0001
        options = (0 if access is not None else win32.DUPLICATE_SAME_ACCESS) | close_source
        out, this = win32.HANDLE(), win32.GetCurrentProcess()
        done = win32.DuplicateHandle(this, value, this, out, access or 0, False, options)
        if entry is None:
            assert not done
            assert win32.GetLastError() == win32.ERROR_INVALID_HANDLE
            return multiple()
        assert done
        thing, granted = entry
        thing.handles += 1
        if access is not None:
            granted = access
        if close_source:
            del self.entries[value]
            thing.handles -= 1
        return self._entered(out.value, thing, granted)

    @rule(stale=st.none() | handles, pick=PICK)
    def close(self, stale: int | None, pick: int) -> None:
        value = self._held(pick) if stale is None else stale
        done = win32.CloseHandle(value)
        entry = self.entries.pop(value, None)
        assert done == (entry is not None)
        if entry is None:
            assert win32.GetLastError() == win32.ERROR_INVALID_HANDLE
            return
        thing = entry[0]
        thing.handles -= 1
        if not thing.handles and thing.name:
            del self.names[thing.name]

    # -- views -------------------------------------------------------------------------------------------------------

    @rule(
        target=windows,
        stale=st.none() | st.none() | handles,
        pick=PICK,
        access=st.sampled_from((*VIEW_PROTECTION, WRITE, WRITE, WRITE, COPY, READ)),
        offset=st.sampled_from((0, 0, 0, 0, 0, 1, PAGE, GRANULARITY, GRANULARITY, 2 * GRANULARITY)),
        length=st.sampled_from((0, 0, 0, 1, PAGE, PAGE + 1, 2 * PAGE, GRANULARITY, 3 * GRANULARITY)),
        near=st.none() | st.none() | windows,
    )
    def map(self, stale: int | None, pick: int, access: int, offset: int, length: int, near: int | None) -> object:
        found = self._map(self._held(pick) if stale is None else stale, access, offset, length, near)
        return multiple() if found is None else found

    def _map(self, value: int, access: int, offset: int, length: int, base: int | None) -> int | None:
        win32.SetLastError(0xDEAD)
        found = win32.MapViewOfFileEx(value, access, 0, offset, length, base)
        error = win32.GetLastError()
        wrong = self._wrong_map(value, access, offset, length, base)
        if wrong:
            assert found is None
            assert error in wrong
            return None
        assert found is not None, error
        assert error == 0xDEAD
        assert found % GRANULARITY == 0
        assert base in (None, found)
        thing = self.entries[value][0]
        size = -(-(length or thing.size - offset) // PAGE) * PAGE
        protect = VIEW_PROTECTION[access]
        assert found not in self.views
        self.views[found] = Window(found, thing, offset, size, protect, [protect] * (size // PAGE))
        return found

    def _wrong_map(self, value: int, access: int, offset: int, length: int, base: int | None) -> set[int]:
        """The errors that a call may report; none if it must succeed."""
        entry = self.entries.get(value)
        if entry is None or entry[0].kind != "section":
            return {win32.ERROR_INVALID_HANDLE}
        thing, granted = entry
        protect = VIEW_PROTECTION[access]
        # Whether the access or the alignment of a call is judged first is nowhere written down.
        early: set[int] = {win32.ERROR_MAPPED_ALIGNMENT} if offset % GRANULARITY else set()
        if VIEW_NEEDS[protect] & ~granted:
            return early | {win32.ERROR_ACCESS_DENIED}
        if early:
            return early
        if protect not in WITHIN[thing.protect]:
            return {win32.ERROR_INVALID_PARAMETER}
        if offset >= thing.size or length > thing.size - offset:
            return {win32.ERROR_ACCESS_DENIED}
        size = -(-(length or thing.size - offset) // GRANULARITY) * GRANULARITY
        if base is not None and any(base < v.end and v.base < base + size for v in self.views.values()):
            return {win32.ERROR_INVALID_ADDRESS}
        return set()

    @precondition(lambda self: self.views)
    @rule(stale=st.none() | windows, pick=PICK, inside=st.sampled_from((0, 1, PAGE - 1, PAGE)))
    def unmap(self, stale: int | None, pick: int, inside: int) -> None:
        base = self._live(pick) if stale is None else stale
        done = win32.UnmapViewOfFile(base + inside)
        window = self._window(base + inside)
        assert done == (window is not None)
        if window is None:
            assert win32.GetLastError() == win32.ERROR_INVALID_ADDRESS
        else:
            del self.views[window.base]

    def _window(self, address: int) -> Window | None:
        return next((window for window in self.views.values() if window.base <= address < window.end), None)

    @precondition(lambda self: self.views)
    @rule(
        pick=PICK,
        page=st.integers(0, 3),
        at=st.sampled_from((0, 100, PAGE - 8)),
        content=st.binary(min_size=1, max_size=8),
    )
    def store(self, pick: int, page: int, at: int, content: bytes) -> None:
        base = self._live(pick)
        window = self.views[base]
        page %= len(window.pages)
        possible = window.store(page, at, content)
        assert poke(base + page * PAGE + at, content) == possible

    @rule(at=st.integers(0, 2 * PAGE), content=st.binary(min_size=1, max_size=PAGE))
    def write_file(self, at: int, content: bytes) -> None:
        count = win32.DWORD()
        assert win32.SetFilePointerEx(self.file, at, None, win32.FILE_BEGIN)
        assert win32.WriteFile(self.file, content, len(content), count)
        self.file_contents[at : at + len(content)] = content

    @precondition(lambda self: self.views)
    @rule(
        pick=PICK,
        first=st.sampled_from((0, 0, 1, 2, 3)),
        count=st.sampled_from((1, 1, 2, 3, 4)),
        protect=st.sampled_from((NOACCESS, READONLY, READWRITE, WRITECOPY, WRITECOPY, READWRITE, X, XR, XRW, XWC)),
    )
    def protect(self, pick: int, first: int, count: int, protect: int) -> None:
        base = self._live(pick)
        old = win32.DWORD(0)
        start, end = base + first * PAGE, base + (first + count) * PAGE
        window = self._window(start)
        done = win32.VirtualProtect(start, count * PAGE - 1, protect, old)
        if window is None or end > window.end:
            assert not done
            assert win32.GetLastError() == win32.ERROR_INVALID_ADDRESS
            return
        pages = range((start - window.base) // PAGE, (end - window.base) // PAGE)
        errors = set()
        if any(window.state(page)[0] != 0x1000 for page in pages):
            errors.add(win32.ERROR_INVALID_ADDRESS)
        if protect not in WITHIN[window.protect]:
            errors.add(win32.ERROR_INVALID_PARAMETER)
        assert done == (not errors)
        if errors:
            assert win32.GetLastError() in errors
            return
        assert old.value == window.state(pages[0])[1]
        for page in pages:
            window.pages[page] = protect

    @precondition(lambda self: self.views)
    @rule(
        pick=PICK,
        first=st.sampled_from((0, 0, 1, 2, 3)),
        count=st.sampled_from((1, 1, 2, 3, 4)),
        protect=st.sampled_from((READWRITE, READONLY, READWRITE, WRITECOPY, NOACCESS, XRW)),
    )
    def commit(self, pick: int, first: int, count: int, protect: int) -> None:
        base = self._live(pick)
        start, end = base + first * PAGE, base + (first + count) * PAGE
        window = self._window(start)
        found = win32.VirtualAlloc(start + 5, count * PAGE - 5, win32.MEM_COMMIT, protect)
        if window is None or end > window.end:
            assert found is None
            assert win32.GetLastError() == win32.ERROR_INVALID_ADDRESS
            return
        if window.thing.of_file:
            assert found is None
            assert win32.GetLastError() == win32.ERROR_ACCESS_DENIED
            return
        if protect not in WITHIN[window.protect]:
            assert found is None
            assert win32.GetLastError() == win32.ERROR_INVALID_PARAMETER
            return
        assert found == start
        for page in range((start - window.base) // PAGE, (end - window.base) // PAGE):
            window.thing.committed.add(window.offset // PAGE + page)
            window.pages[page] = protect

    @rule(base=windows, kind=st.sampled_from((win32.MEM_DECOMMIT, win32.MEM_RELEASE)), size=st.sampled_from((0, PAGE)))
    def free(self, base: int, kind: int, size: int) -> None:
        window = self.views.get(base)
        if window is not None and not win32.VirtualFree(base, size, kind):
            assert win32.GetLastError() == win32.ERROR_INVALID_PARAMETER
        else:
            assert window is None

    @rule(base=windows, length=st.sampled_from((0, 1, PAGE)))
    def flush(self, base: int, length: int) -> None:
        assert win32.FlushViewOfFile(base, length) == (base in self.views)

    # -- what must hold after each step ------------------------------------------------------------------------------

    @invariant()
    @precondition(lambda self: hasattr(self, "views"))
    def handles_agree(self) -> None:
        for value, (thing, access) in self.entries.items():
            assert basic(value) == (access, thing.handles)
            assert object_text(value, 2) == ("Section" if thing.kind == "section" else "Mutant")
            leaf = (thing.name or "").removeprefix("Global\\")
            assert object_text(value, 1).endswith(f"\\{leaf}" if leaf else "")
            if thing.kind == "section" and access & QUERY:
                kind = win32.SEC_FILE if thing.of_file else win32.SEC_RESERVE if thing.reserve else win32.SEC_COMMIT
                assert section_basic(value) == (kind, thing.size)

    @invariant()
    @precondition(lambda self: hasattr(self, "views"))
    def names_agree(self) -> None:
        for name in NAMES:
            known = self.names.get(name)
            value = win32.OpenMutex(win32.SYNCHRONIZE, False, name)
            if known is None:
                assert (value, win32.GetLastError()) == (None, win32.ERROR_FILE_NOT_FOUND)
            elif known.kind == "section":
                assert (value, win32.GetLastError()) == (None, win32.ERROR_INVALID_HANDLE)
            else:
                assert value is not None
                assert value not in self.entries
                assert win32.CloseHandle(value)

    @invariant()
    @precondition(lambda self: hasattr(self, "views"))
    def pages_agree(self) -> None:
        for window in self.views.values():
            page, count = 0, len(window.pages)
            while page < count:
                state = window.state(page)
                following = page + 1
                while following < count and window.state(following) == state:
                    following += 1
                assert query(window.base + page * PAGE + 7) == (
                    window.base + page * PAGE,
                    window.base,
                    window.protect,
                    (following - page) * PAGE,
                    *state,
                    win32.MEM_MAPPED,
                )
                page = following

    @invariant()
    @precondition(lambda self: hasattr(self, "views"))
    def memory_agrees(self) -> None:
        for window in self.views.values():
            # The first pages, which the rules change, and the last.
            for page in sorted({*range(min(8, len(window.pages))), len(window.pages) - 1}):
                address, expected = window.base + page * PAGE, bytes(window.memory(page))
                state, protect = window.state(page)
                found = peek(address, PAGE)
                if state == 0x1000 and protect in LOADS:
                    assert found is not None
                    assert found[: len(expected)] == expected
                    assert ctypes.string_at(address, len(expected)) == expected
                else:
                    assert found is None

    @invariant()
    @precondition(lambda self: hasattr(self, "views"))
    def file_agrees(self) -> None:
        with open(self.path, "rb") as file:
            assert file.read() == self.file_contents


TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


def test_the_model_is_exercised() -> None:
    """The tables of the model cover each protection that a section can have."""
    assert set(WITHIN) - {NOACCESS} == set(SECTION_ACCESS)
    with pytest.raises(KeyError):
        WITHIN[0]
