"""Mutexes, semaphores and events as objects: names, handles, rights, failures, queries, inheritance, other users."""

import ctypes
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calls import alive, basic, close, create, failed, had, loose, loose_nt, message, object_files, object_path
from calls.files import opened
from calls.kinds import KINDS, Kind, each_kind
from calls.sync import (
    ABANDONED,
    EVENT,
    EVERYONE,
    INHERITABLE,
    LONG,
    MUTEX,
    SEMAPHORE,
    SYNC_KINDS,
    TAKEN,
    TIMEOUT,
    Helpers,
    SyncKind,
    asleep,
    auto,
    each_sync_kind,
    event,
    in_child,
    manual,
    mutex,
    query_event,
    query_mutex,
    query_semaphore,
    semaphore,
    wait,
    wait_all,
    wait_any,
)
from child import Child, Spawn, forked
from namedmap import nt, win32

pytestmark = pytest.mark.usefixtures("tidy")

NAME = "sync"
GLOBAL = f"Global\\{NAME}"
GARBAGE = 0xDEADBEE0
SYNCHRONIZE = int(win32.SYNCHRONIZE)
QUERY = 1


class TestCreate:
    """New objects, and those that exist already."""

    @each_sync_kind
    @pytest.mark.parametrize("name", [NAME, None, ""])
    def test_a_new_object_has_no_error(self, kind: SyncKind, name: str | None) -> None:
        win32.SetLastError(7)
        kind.make(name)
        assert win32.GetLastError() == win32.ERROR_SUCCESS

    @each_sync_kind
    def test_an_existing_one_is_opened(self, kind: SyncKind) -> None:
        """ERROR_ALREADY_EXISTS, and a handle with full access to the same object."""
        first = kind.make(NAME)
        second = kind.make(NAME)
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
        assert first != second
        assert win32.CompareObjectHandles(first, second)
        assert basic(second).access == kind.everything

    @each_sync_kind
    @pytest.mark.parametrize("name", [None, ""])
    def test_unnamed_objects_are_distinct(self, kind: SyncKind, name: str | None) -> None:
        assert not win32.CompareObjectHandles(kind.make(name), kind.make(name))

    @each_sync_kind
    def test_a_name_goes_with_its_last_handle(self, kind: SyncKind) -> None:
        first = kind.make(NAME)
        second = had(kind.open(SYNCHRONIZE, False, NAME))
        close(first)
        close(had(kind.open(SYNCHRONIZE, False, NAME)), second)
        assert failed(kind.open(SYNCHRONIZE, False, NAME)) == win32.ERROR_FILE_NOT_FOUND
        assert object_files() == []

    def test_the_creator_may_own_a_new_mutex(self) -> None:
        made = mutex(owned=True)
        assert query_mutex(made) == (0, 1, 0)
        assert win32.ReleaseMutex(made)

    def test_nobody_owns_a_mutex_by_finding_it(self, helpers: Helpers) -> None:
        """CreateMutex with bInitialOwner takes only a mutex that it makes."""
        mutex(name=NAME)
        second = mutex(owned=True, name=NAME)
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
        assert failed(win32.ReleaseMutex(second)) == win32.ERROR_NOT_OWNER
        (thread,) = helpers(1)
        assert thread.do(wait, second) == TAKEN
        assert thread.do(win32.ReleaseMutex, second)

    def test_an_existing_semaphore_keeps_its_counts(self) -> None:
        semaphore(1, 2, NAME)
        assert query_semaphore(semaphore(0, 9, NAME)) == (1, 2)

    def test_an_existing_event_keeps_type_and_state(self) -> None:
        manual(True, NAME)
        assert query_event(auto(False, NAME)) == (0, 1)

    @pytest.mark.parametrize("existing", [False, True])
    @pytest.mark.parametrize(
        ("initial", "maximum"), [(-1, 1), (0, 0), (0, -1), (2, 1), (1, 0), (-(2**31), 2**31 - 1), (0, 2**31), (-1, -1)]
    )
    def test_impossible_counts(self, initial: int, maximum: int, existing: bool) -> None:
        """They are judged even if the name exists."""
        if existing:
            semaphore(1, 2, NAME)
        calls: tuple[Callable[[], int | None], ...] = (
            lambda: win32.CreateSemaphore(None, initial, maximum, NAME),
            lambda: win32.CreateSemaphoreEx(None, initial, maximum, NAME, 0, win32.SEMAPHORE_ALL_ACCESS),
        )
        assert [failed(call()) for call in calls] == [win32.ERROR_INVALID_PARAMETER] * 2

    @pytest.mark.parametrize(("initial", "maximum"), [(0, 1), (1, 1), (0, 2**31 - 1), (2**31 - 1, 2**31 - 1)])
    def test_possible_counts(self, initial: int, maximum: int) -> None:
        """0 <= initial <= maximum, and the maximum above 0."""
        assert query_semaphore(semaphore(initial, maximum)) == (initial, maximum)

    @each_sync_kind
    def test_arguments_of_the_wrong_type(self, kind: SyncKind) -> None:
        """Only these raise."""
        with pytest.raises(TypeError):
            loose.OpenMutex("x", False, NAME)
        with pytest.raises(TypeError):
            kind.create(None, 5)
        with pytest.raises(TypeError):
            kind.create("attributes", NAME)

    def test_the_wide_names_are_the_same(self) -> None:
        for kind in ("Mutex", "Semaphore", "Event"):
            for name in (f"Create{kind}", f"Create{kind}Ex", f"Open{kind}"):
                assert getattr(win32, name + "W") is getattr(win32, name)


class TestCreateEx:
    """The functions with flags and access."""

    @pytest.mark.parametrize(("flags", "state"), [(0, (1, 0, 0)), (win32.CREATE_MUTEX_INITIAL_OWNER, (0, 1, 0))])
    def test_mutex_flags(self, flags: int, state: tuple[int, int, int]) -> None:
        """The initial owner is the only flag."""
        assert query_mutex(had(MUTEX.create_ex(None, flags, MUTEX.everything))) == state

    @pytest.mark.parametrize(
        ("flags", "state"),
        [
            (0, (1, 0)),
            (win32.CREATE_EVENT_MANUAL_RESET, (0, 0)),
            (win32.CREATE_EVENT_INITIAL_SET, (1, 1)),
            (win32.CREATE_EVENT_MANUAL_RESET | win32.CREATE_EVENT_INITIAL_SET, (0, 1)),
        ],
    )
    def test_event_flags(self, flags: int, state: tuple[int, int]) -> None:
        """Manual reset and the initial state are flags."""
        assert query_event(had(EVENT.create_ex(None, flags, EVENT.everything))) == state

    @pytest.mark.parametrize(
        ("kind", "flags"),
        [(MUTEX, 2), (MUTEX, 3), (MUTEX, 0x80000000), (EVENT, 4), (EVENT, 7), (SEMAPHORE, 1), (SEMAPHORE, 0xFFFFFFFF)],
    )
    def test_unknown_flags(self, kind: SyncKind, flags: int) -> None:
        """Other flags are refused, and nothing is made."""
        assert failed(kind.create_ex(NAME, flags, kind.everything)) == win32.ERROR_INVALID_PARAMETER
        assert failed(kind.open(SYNCHRONIZE, False, NAME)) == win32.ERROR_FILE_NOT_FOUND

    def test_flags_do_not_change_what_exists(self) -> None:
        mutex(name=NAME)
        found = had(MUTEX.create_ex(NAME, win32.CREATE_MUTEX_INITIAL_OWNER, MUTEX.everything))
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
        assert query_mutex(found) == (1, 0, 0)

    @each_sync_kind
    @pytest.mark.parametrize("existing", [False, True])
    def test_the_handle_has_the_access_asked_for(self, kind: SyncKind, existing: bool) -> None:
        """Whether the object is new or not; generic rights mean those of the kind."""
        if existing:
            kind.make(NAME)
        table = {
            0: 0,
            SYNCHRONIZE: SYNCHRONIZE,
            SYNCHRONIZE | QUERY: SYNCHRONIZE | QUERY,
            kind.everything: kind.everything,
            win32.MAXIMUM_ALLOWED: kind.everything,
            win32.GENERIC_READ: 0x20001,
            win32.GENERIC_WRITE: 0x20000 | kind.modify,
            win32.GENERIC_EXECUTE: 0x120000,
            win32.GENERIC_ALL: kind.everything,
        }
        got = {access: basic(had(kind.create_ex(NAME, 0, access))).access for access in table}
        assert got == table

    def test_an_owner_needs_no_rights(self) -> None:
        """A handle without any access releases: ReleaseMutex asks for none. It cannot wait, though."""
        handle = had(MUTEX.create_ex(None, win32.CREATE_MUTEX_INITIAL_OWNER, 0))
        assert wait(handle) == "FAILED 5"
        assert win32.ReleaseMutex(handle)


class TestOpen:
    """OpenMutex, OpenSemaphore, OpenEvent."""

    @each_sync_kind
    @pytest.mark.parametrize(
        ("name", "error"),
        [
            (None, win32.ERROR_INVALID_PARAMETER),
            ("", win32.ERROR_INVALID_HANDLE),
            ("missing", win32.ERROR_FILE_NOT_FOUND),
            ("Global\\missing", win32.ERROR_FILE_NOT_FOUND),
            (NAME.upper(), win32.ERROR_FILE_NOT_FOUND),
        ],
    )
    def test_failures(self, kind: SyncKind, name: str | None, error: int) -> None:
        """Names are case-sensitive."""
        kind.make(NAME)
        assert failed(kind.open(SYNCHRONIZE, False, name)) == error

    @each_sync_kind
    @pytest.mark.parametrize(
        ("name", "error"),
        [
            ("\\Foo", win32.ERROR_BAD_PATHNAME),
            ("Foo\\Bar", win32.ERROR_PATH_NOT_FOUND),
            ("Local\\a\\b", win32.ERROR_PATH_NOT_FOUND),
            ("Local\\", win32.ERROR_INVALID_NAME),
            ("Local", win32.ERROR_INVALID_HANDLE),
            ("Global", win32.ERROR_INVALID_HANDLE),
        ],
    )
    def test_bad_names(self, kind: SyncKind, name: str, error: int) -> None:
        """For Create and Open alike."""
        assert failed(kind.create(None, name)) == error
        assert failed(kind.open(SYNCHRONIZE, False, name)) == error

    @each_sync_kind
    @pytest.mark.parametrize(("created", "opened"), [(NAME, f"Local\\{NAME}"), (f"Local\\{NAME}", NAME)])
    def test_local_is_the_default(self, kind: SyncKind, created: str, opened: str) -> None:
        made = kind.make(created)
        assert win32.CompareObjectHandles(made, had(kind.open(SYNCHRONIZE, False, opened)))
        assert failed(kind.open(SYNCHRONIZE, False, GLOBAL)) == win32.ERROR_FILE_NOT_FOUND

    @each_sync_kind
    def test_success_leaves_the_last_error_alone(self, kind: SyncKind) -> None:
        kind.make(NAME)
        win32.SetLastError(7)
        had(kind.open(SYNCHRONIZE, False, NAME))
        assert win32.GetLastError() == 7

    @each_sync_kind
    def test_the_handle_has_the_access_asked_for(self, kind: SyncKind) -> None:
        kind.make(NAME)
        for access in (SYNCHRONIZE, QUERY, kind.everything, SYNCHRONIZE | kind.modify | QUERY):
            assert basic(had(kind.open(access, False, NAME))).access == access

    @each_sync_kind
    def test_no_access_is_refused(self, kind: SyncKind) -> None:
        kind.make(NAME)
        assert failed(kind.open(0, False, NAME)) == win32.ERROR_ACCESS_DENIED

    @each_sync_kind
    def test_unknown_bits_give_nothing(self, kind: SyncKind) -> None:
        """A right that the kind does not have may open, but allows nothing; with others it does no harm."""
        kind.make(NAME)
        handle = kind.open(0x40, False, NAME)
        if handle:
            assert wait(handle) == "FAILED 5"
            if kind is not MUTEX:
                assert not kind.signal(handle)
        assert wait(had(kind.open(SYNCHRONIZE | 0x40, False, NAME))) in (TAKEN, TIMEOUT)

    @each_sync_kind
    @pytest.mark.parametrize("inherit", [False, True])
    def test_inheritance_is_asked_for(self, kind: SyncKind, inherit: bool) -> None:
        kind.make(NAME)
        flags = win32.DWORD(9)
        assert win32.GetHandleInformation(had(kind.open(SYNCHRONIZE, inherit, NAME)), flags)
        assert flags.value == (win32.HANDLE_FLAG_INHERIT if inherit else 0)


class TestNamesOfAnotherKind:
    """Sections, mutexes, semaphores and events share one namespace."""

    @each_kind
    @pytest.mark.parametrize("other", KINDS, ids=lambda kind: kind.name)
    def test_a_name_means_one_kind(self, kind: Kind, other: Kind) -> None:
        """Both ways, for Create and for Open: ERROR_INVALID_HANDLE. Afterwards the name is free."""
        held = had(kind.create(NAME))
        if kind is other:
            close(had(other.create(NAME)), had(other.open(NAME)))
        else:
            assert failed(other.create(NAME)) == win32.ERROR_INVALID_HANDLE
            assert failed(other.open(NAME)) == win32.ERROR_INVALID_HANDLE
        close(had(kind.open(NAME)), held)
        fresh = had(other.create(NAME))
        assert win32.GetLastError() == win32.ERROR_SUCCESS
        close(fresh)

    @each_kind
    def test_also_if_another_process_has_it(self, spawn: Spawn, kind: Kind) -> None:
        child = spawn()
        assert child.value(kind.text.format(NAME))
        for other in KINDS:
            if other is not kind:
                assert failed(other.create(NAME)) == win32.ERROR_INVALID_HANDLE
                assert failed(other.open(NAME)) == win32.ERROR_INVALID_HANDLE

    @each_sync_kind
    def test_the_functions_with_flags_too(self, kind: SyncKind) -> None:
        create(NAME)
        assert failed(kind.create_ex(NAME, 0, kind.everything)) == win32.ERROR_INVALID_HANDLE

    def test_the_native_open_too(self) -> None:
        auto(name=NAME)
        out = win32.HANDLE()
        assert nt.NtOpenMutant(out, SYNCHRONIZE, nt.OBJECT_ATTRIBUTES(NAME)) == 0xC0000024
        mutex(name=f"{NAME}-2")
        assert nt.NtOpenMutant(out, SYNCHRONIZE, nt.OBJECT_ATTRIBUTES(f"{NAME}-2")) == 0
        assert wait(out.value) == TAKEN


#: Calls of one handle that change an object.
CHANGES: dict[str, Callable[[Any], bool]] = {
    "ReleaseMutex": lambda handle: loose.ReleaseMutex(handle),
    "ReleaseSemaphore": lambda handle: loose.ReleaseSemaphore(handle, 1, None),
    "SetEvent": lambda handle: loose.SetEvent(handle),
    "ResetEvent": lambda handle: loose.ResetEvent(handle),
    "PulseEvent": lambda handle: loose.PulseEvent(handle),
}
KIND_OF_CHANGE = {
    "ReleaseMutex": MUTEX,
    "ReleaseSemaphore": SEMAPHORE,
    "SetEvent": EVENT,
    "ResetEvent": EVENT,
    "PulseEvent": EVENT,
}
WAITS: dict[str, Callable[[int | None], str]] = {
    "WaitForSingleObject": wait,
    "wait for any": lambda handle: wait_any([handle]),
    "wait for all": lambda handle: wait_all([handle]),
}


def stale() -> int:
    """A handle that has been closed."""
    handle = auto()
    close(handle)
    return handle


class TestWrongHandles:
    """NULL, garbage, what has been closed, and objects of other kinds."""

    @pytest.mark.parametrize("change", CHANGES)
    def test_no_object(self, change: str) -> None:
        """A value that is no handle cannot be changed."""
        for handle in (None, 0, GARBAGE, stale()):
            assert failed(CHANGES[change](handle)) == win32.ERROR_INVALID_HANDLE

    @pytest.mark.parametrize("change", CHANGES)
    def test_another_object(self, change: str, tmp_path: Path) -> None:
        """A handle to another kind of object is no handle for these calls."""
        file = opened(tmp_path / "a", disposition=win32.OPEN_ALWAYS)
        others = [create(None), file, win32.GetCurrentProcess(), win32.GetCurrentThread()]
        others += [kind.make() for kind in SYNC_KINDS if kind is not KIND_OF_CHANGE[change]]
        for handle in others:
            assert failed(CHANGES[change](handle)) == win32.ERROR_INVALID_HANDLE

    @pytest.mark.parametrize("function", WAITS)
    def test_waits_for_no_object(self, function: str) -> None:
        for handle in (None, 0, GARBAGE, stale()):
            assert WAITS[function](handle) == "FAILED 6"

    @pytest.mark.parametrize("function", WAITS)
    def test_waits_for_a_section(self, function: str) -> None:
        """Its handles never have SYNCHRONIZE."""
        assert WAITS[function](create(None)) == "FAILED 5"

    def test_the_two_low_bits_do_not_count(self) -> None:
        """Windows keeps them for programs' own marks."""
        handle = manual(True)
        assert [wait(handle + bits) for bits in range(4)] == [TAKEN] * 4
        assert win32.ResetEvent(handle + 3)

    def test_arguments_of_the_wrong_type(self) -> None:
        for call in CHANGES.values():
            with pytest.raises(TypeError):
                call("handle")
        with pytest.raises(TypeError):
            loose.WaitForSingleObject(1.5, 0)
        with pytest.raises(TypeError):
            loose.WaitForSingleObject(auto(), None)


class TestRights:
    """Each operation needs its right, on the handle that it is given."""

    @pytest.mark.parametrize("function", WAITS)
    @each_sync_kind
    def test_waiting_needs_synchronize(self, kind: SyncKind, function: str) -> None:
        kind.make(NAME)
        rest = kind.everything & ~SYNCHRONIZE
        assert WAITS[function](had(kind.open(rest, False, NAME))) == "FAILED 5"
        assert WAITS[function](had(kind.open(SYNCHRONIZE, False, NAME))) in (TAKEN, TIMEOUT)

    @pytest.mark.parametrize("change", ["ReleaseSemaphore", "SetEvent", "ResetEvent", "PulseEvent"])
    def test_changing_needs_modify_state(self, change: str) -> None:
        kind = KIND_OF_CHANGE[change]
        kind.make(NAME)
        rest = kind.everything & ~kind.modify
        assert failed(CHANGES[change](had(kind.open(rest, False, NAME)))) == win32.ERROR_ACCESS_DENIED
        assert CHANGES[change](had(kind.open(kind.modify, False, NAME)))

    def test_releasing_a_mutex_needs_none(self) -> None:
        """A handle with SYNCHRONIZE alone waits and releases; one that can only be queried releases too."""
        mutex(name=NAME)
        narrow = had(MUTEX.open(SYNCHRONIZE, False, NAME))
        other = had(MUTEX.open(QUERY, False, NAME))
        assert [wait(narrow), wait(narrow)] == [TAKEN] * 2
        assert win32.ReleaseMutex(narrow)
        assert win32.ReleaseMutex(other)
        assert failed(win32.ReleaseMutex(other)) == win32.ERROR_NOT_OWNER

    def test_signal_and_wait_needs_both(self) -> None:
        """Modify on the one, SYNCHRONIZE on the other; without either nothing happens."""
        signal, there = auto(name=NAME), manual(True, f"{NAME}-2")
        deaf = had(win32.OpenEvent(win32.EVENT_MODIFY_STATE, False, f"{NAME}-2"))
        mute = had(win32.OpenEvent(SYNCHRONIZE, False, NAME))
        for first, second in ((mute, there), (signal, deaf)):
            assert win32.SignalObjectAndWait(first, second, 0, False) == win32.WAIT_FAILED
            assert win32.GetLastError() == win32.ERROR_ACCESS_DENIED
            assert query_event(signal) == (1, 0)

    @each_sync_kind
    def test_duplicates_have_the_access_asked_for(self, kind: SyncKind) -> None:
        """Less or more than the source; bits that the kind does not know are dropped."""
        kind.make(NAME)
        narrow = had(kind.open(SYNCHRONIZE, False, NAME))
        this = win32.GetCurrentProcess()
        table = {
            0: 0,
            QUERY: QUERY,
            kind.everything: kind.everything,
            win32.GENERIC_READ: 0x20001,
            SYNCHRONIZE | 0x40: SYNCHRONIZE,
        }
        for access, expected in table.items():
            made = win32.HANDLE()
            assert win32.DuplicateHandle(this, narrow, this, made, access, False, 0)
            assert basic(had(made.value)).access == expected
            assert win32.CompareObjectHandles(narrow, had(made.value))


class TestQuery:
    """NtQueryMutant, NtQuerySemaphore, NtQueryEvent."""

    QUERIES = (
        (MUTEX, nt.NtQueryMutant, nt.MUTANT_BASIC_INFORMATION),
        (SEMAPHORE, nt.NtQuerySemaphore, nt.SEMAPHORE_BASIC_INFORMATION),
        (EVENT, nt.NtQueryEvent, nt.EVENT_BASIC_INFORMATION),
    )
    each_query = pytest.mark.parametrize(("kind", "query", "structure"), QUERIES, ids=("mutex", "semaphore", "event"))
    Query = Callable[..., int]

    def test_a_mutex(self, helpers: Helpers) -> None:
        """1 free, 0 owned once, and so on down; owned by the caller; abandoned until somebody takes it."""
        made = mutex()
        (thread,) = helpers(1)
        states = [query_mutex(made)]
        for _ in range(3):
            assert wait(made) == TAKEN
            states.append(query_mutex(made))
        assert states == [(1, 0, 0), (0, 1, 0), (-1, 1, 0), (-2, 1, 0)]
        assert thread.do(query_mutex, made) == (-2, 0, 0)
        for _ in range(3):
            assert win32.ReleaseMutex(made)
        assert query_mutex(made) == (1, 0, 0)

    def test_an_abandoned_mutex(self, helpers: Helpers) -> None:
        made = mutex()
        (thread,) = helpers(1)
        assert thread.do(wait, made) == TAKEN
        thread.end()
        assert query_mutex(made) == (1, 0, 1)
        assert failed(win32.ReleaseMutex(made)) == win32.ERROR_NOT_OWNER
        assert query_mutex(made) == (1, 0, 1)
        assert wait(made) == ABANDONED
        assert query_mutex(made) == (0, 1, 0)
        assert win32.ReleaseMutex(made)
        assert query_mutex(made) == (1, 0, 0)

    def test_a_mutex_of_another_process(self, spawn: Spawn) -> None:
        """How often another process owns it can be seen; and that nobody does, once it has been killed."""
        made = mutex(name=NAME)
        child = spawn()
        child.run(f"m = win32.CreateMutex(None, False, {NAME!r})")
        child.run("win32.WaitForSingleObject(m, 0); win32.WaitForSingleObject(m, 0)")
        assert query_mutex(made)[1:] == (0, 0)
        assert query_mutex(made)[0] == -1
        child.kill()
        assert query_mutex(made) == (1, 0, 1)

    @pytest.mark.parametrize("type_", [0, 1])
    @pytest.mark.parametrize("state", [0, 1])
    def test_an_event(self, type_: int, state: int) -> None:
        """EventType is 0 for manual reset, 1 for auto reset."""
        assert query_event(event(not type_, bool(state))) == (type_, state)

    def test_looking_changes_nothing(self) -> None:
        made = [auto(True), semaphore(1, 1), mutex()]
        query_event(made[0])
        query_semaphore(made[1])
        query_mutex(made[2])
        assert [wait(handle) for handle in made] == [TAKEN] * 3

    @each_query
    def test_rights_and_handles(self, kind: SyncKind, query: Query, structure: type[ctypes.Structure]) -> None:
        """*_QUERY_STATE is needed; statuses tell a wrong handle from one of another kind."""
        kind.make(NAME)
        info, size = structure(), ctypes.sizeof(structure)
        assert query(had(kind.open(QUERY, False, NAME)), 0, info, size, None) == 0
        assert query(had(kind.open(kind.everything & ~QUERY, False, NAME)), 0, info, size, None) == 0xC0000022
        for handle in (None, GARBAGE, stale()):
            assert query(handle, 0, info, size, None) == 0xC0000008
        others = [create(None), *(other.make() for other in SYNC_KINDS if other is not kind)]
        assert {query(handle, 0, info, size, None) for handle in others} == {0xC0000024}

    @each_query
    def test_class_and_length(self, kind: SyncKind, query: Query, structure: type[ctypes.Structure]) -> None:
        """Only class 0, only the exact length; the length is returned where it is asked for."""
        made, info, size = kind.make(), structure(), ctypes.sizeof(structure)
        assert size == 8
        assert query(made, 1, info, size, None) == 0xC0000003
        for length in (0, size - 1, size + 1):
            assert query(made, 0, info, length, None) == 0xC0000004
        length_out = win32.DWORD(99)
        assert query(made, 0, info, size, ctypes.byref(length_out)) == 0
        assert length_out.value == size

    def test_the_zw_names_are_the_same(self) -> None:
        for kind in ("Mutant", "Semaphore", "Event"):
            assert getattr(loose_nt, f"ZwQuery{kind}") is getattr(loose_nt, f"NtQuery{kind}")

    @each_sync_kind
    def test_type_and_name(self, kind: SyncKind) -> None:
        """NtQueryObject knows these kinds too."""
        handle = kind.make(NAME)
        texts = []
        for what in (2, 1):
            buffer = (ctypes.c_ubyte * 0x1000)()
            assert nt.NtQueryObject(handle, what, buffer, ctypes.sizeof(buffer), None) == 0
            text = nt.UNICODE_STRING.from_buffer(buffer)
            texts.append(ctypes.string_at(text.Buffer, text.Length).decode("utf-16-le"))
        assert texts[0] == kind.name
        assert texts[1].endswith(f"\\BaseNamedObjects\\{NAME}")


class TestSemaphoreCounts:
    """ReleaseSemaphore."""

    def test_the_count_before_is_returned(self) -> None:
        made, previous = semaphore(1, 10), win32.LONG(99)
        for number, expected in ((1, 1), (3, 2), (5, 5)):
            assert win32.ReleaseSemaphore(made, number, ctypes.byref(previous))
            assert previous.value == expected
        assert query_semaphore(made) == (10, 10)

    @pytest.mark.parametrize(("initial", "number"), [(10, 1), (7, 4), (0, 11), (1, 2**31 - 1)])
    def test_overflow_leaves_the_count_alone(self, initial: int, number: int) -> None:
        made, previous = semaphore(initial, 10), win32.LONG(99)
        assert failed(win32.ReleaseSemaphore(made, number, previous)) == win32.ERROR_TOO_MANY_POSTS
        assert query_semaphore(made) == (initial, 10)
        assert previous.value == 99

    def test_the_largest_maximum(self) -> None:
        """No arithmetic of 32 bits overflows."""
        made = semaphore(2**31 - 2, 2**31 - 1)
        assert win32.ReleaseSemaphore(made, 1, None)
        assert failed(win32.ReleaseSemaphore(made, 1, None)) == win32.ERROR_TOO_MANY_POSTS
        assert failed(win32.ReleaseSemaphore(made, 2**31 - 1, None)) == win32.ERROR_TOO_MANY_POSTS
        assert wait(made) == TAKEN

    @pytest.mark.parametrize("number", [0, -1, -(2**31)])
    def test_less_than_one(self, number: int) -> None:
        made = semaphore(1, 10)
        assert failed(win32.ReleaseSemaphore(made, number, None)) == win32.ERROR_INVALID_PARAMETER
        assert query_semaphore(made) == (1, 10)


class TestSecurity:
    """SECURITY_ATTRIBUTES: descriptor and inheritance."""

    @each_sync_kind
    @pytest.mark.parametrize(
        ("sddl", "mode"),
        [(None, 0o600), (EVERYONE, 0o666), ("D:(A;;GR;;;WD)(A;;GA;;;OW)", 0o644), ("D:", 0o000)],
    )
    def test_the_descriptor_becomes_the_mode(self, kind: SyncKind, sddl: str | None, mode: int) -> None:
        """Of the object's file; whoever finds the object changes nothing."""
        made = had(kind.create(win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=sddl), GLOBAL))
        assert object_path(GLOBAL).stat().st_mode & 0o777 == mode
        assert kind is MUTEX or kind.signal(made)
        assert wait(made) == TAKEN

    @each_sync_kind
    def test_a_bad_descriptor(self, kind: SyncKind) -> None:
        """An error, and no object."""
        assert failed(kind.create(win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor="D:(A;;nonsense"), NAME))
        assert object_files() == []

    @each_sync_kind
    @pytest.mark.parametrize("inherit", [False, True])
    def test_inheritance(self, kind: SyncKind, inherit: bool) -> None:
        """bInheritHandle makes the handle inheritable."""
        flags = win32.DWORD(9)
        made = had(kind.create(win32.SECURITY_ATTRIBUTES(bInheritHandle=inherit), NAME))
        assert win32.GetHandleInformation(made, flags)
        assert flags.value == int(inherit)


class TestInheritance:
    """Handles that child processes inherit, or are given."""

    @each_sync_kind
    @pytest.mark.parametrize("name", [NAME, None])
    def test_a_child_inherits_what_is_inheritable(self, spawn: Spawn, kind: SyncKind, name: str | None) -> None:
        """Under the same value, with the same access, named or not; and only that."""
        inherited, kept = had(kind.create(INHERITABLE, name)), kind.make()
        child = spawn(inherit=True)
        known = [child.value(f"win32.GetHandleInformation({each}, win32.DWORD())") for each in (inherited, kept)]
        assert known == [True, False]
        if kind is MUTEX:
            assert child.value(f"win32.WaitForSingleObject({inherited}, 0)") == 0
            assert wait(inherited) == TIMEOUT
            assert child.value(f"win32.ReleaseMutex({inherited})")
        elif kind is SEMAPHORE:
            assert child.value(f"win32.ReleaseSemaphore({inherited}, 1, None)")
        else:
            assert child.value(f"win32.SetEvent({inherited})")
        assert wait(inherited) == TAKEN

    def test_access_is_inherited_as_it_is(self, spawn: Spawn) -> None:
        made = auto(name=NAME)
        narrow = had(win32.OpenEvent(win32.SYNCHRONIZE, True, NAME))
        child = spawn(inherit=True)
        assert child.value(f"win32.SetEvent({narrow})") is False
        assert child.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED
        assert child.value(f"win32.WaitForSingleObject({narrow}, 0)") == win32.WAIT_TIMEOUT
        assert win32.SetEvent(made)
        assert child.value(f"win32.WaitForSingleObject({narrow}, 0)") == win32.WAIT_OBJECT_0

    def test_ownership_is_not_inherited(self, spawn: Spawn) -> None:
        """The owner is a thread of the parent; the child neither releases the mutex nor enters it."""
        made = had(win32.CreateMutex(INHERITABLE, True, None))
        child = spawn(inherit=True)
        assert child.value(f"win32.ReleaseMutex({made})") is False
        assert child.value("win32.GetLastError()") == win32.ERROR_NOT_OWNER
        assert child.value(f"win32.WaitForSingleObject({made}, 0)") == win32.WAIT_TIMEOUT
        assert child.end() == 0
        assert query_mutex(made) == (0, 1, 0)
        assert win32.ReleaseMutex(made)

    def test_a_child_waits_for_its_parent(self, spawn: Spawn) -> None:
        """An unnamed event wakes a process that inherited it."""
        made = had(win32.CreateEvent(INHERITABLE, False, False, None))
        child = spawn(inherit=True)
        child.start("value", f"win32.WaitForSingleObject({made}, {LONG})")
        asleep(child)
        assert win32.SetEvent(made)
        assert child.finish() == win32.WAIT_OBJECT_0


class TestDuplicate:
    """DuplicateHandle of a mutex, semaphore or event."""

    @staticmethod
    def give(handle: int, child: Child, access: int = 0, options: int = 2) -> int:
        assert child.value("win32.GetCurrentProcessId()") == child.pid
        process = had(win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, child.pid))
        made = win32.HANDLE()
        assert win32.DuplicateHandle(-1, handle, process, made, access, False, options), message()
        close(process)
        return had(made.value)

    @each_sync_kind
    def test_two_handles_are_one_object(self, kind: SyncKind) -> None:
        """The duplicate lives on when the source is closed, named or not."""
        source, made, this = kind.make(NAME), win32.HANDLE(), win32.GetCurrentProcess()
        assert win32.DuplicateHandle(this, source, this, made, 0, False, win32.DUPLICATE_SAME_ACCESS)
        close(source)
        duplicate = had(made.value)
        if kind is MUTEX:
            assert wait(duplicate) == TAKEN
        assert kind.signal(duplicate)
        assert win32.CompareObjectHandles(duplicate, had(kind.open(SYNCHRONIZE, False, NAME)))

    def test_closing_the_source_keeps_ownership(self) -> None:
        made = win32.HANDLE()
        source, this = mutex(owned=True), win32.GetCurrentProcess()
        assert win32.DuplicateHandle(this, source, this, made, 0, False, 3)
        assert query_mutex(had(made.value)) == (0, 1, 0)
        assert win32.ReleaseMutex(had(made.value))

    @pytest.mark.parametrize("name", [NAME, None])
    def test_into_another_process(self, spawn: Spawn, name: str | None) -> None:
        """Which waits for it, named or not."""
        child, made = spawn(), auto(name=name)
        theirs = self.give(made, child)
        child.start("value", f"win32.WaitForSingleObject({theirs}, {LONG})")
        asleep(child)
        assert win32.SetEvent(made)
        assert child.finish() == win32.WAIT_OBJECT_0

    def test_with_less_access(self, spawn: Spawn) -> None:
        child, made = spawn(), auto()
        theirs = self.give(made, child, SYNCHRONIZE, 0)
        assert child.value(f"win32.SetEvent({theirs})") is False
        assert child.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED

    @pytest.mark.leaves_dead_files  # the inbox of the killed process
    def test_a_mutex_stays_its_owners(self, spawn: Spawn) -> None:
        """Giving a handle away gives no ownership."""
        child, made = spawn(), mutex(owned=True)
        theirs = self.give(made, child)
        assert child.value(f"win32.WaitForSingleObject({theirs}, 0)") == win32.WAIT_TIMEOUT
        assert win32.ReleaseMutex(made)
        assert child.value(f"win32.WaitForSingleObject({theirs}, 0)") == win32.WAIT_OBJECT_0
        assert wait(made) == TIMEOUT
        child.kill()
        assert wait(made, LONG) == ABANDONED


class TestFork:
    """A forked child shares the objects, unnamed ones too, but owns nothing."""

    @each_sync_kind
    def test_objects_are_shared(self, kind: SyncKind) -> None:
        made = kind.make()

        def body() -> None:
            if kind is MUTEX:
                assert wait(made) == TAKEN
            assert kind.signal(made)

        with forked(body):
            pass
        assert wait(made) == TAKEN

    def test_ownership_stays_with_the_parent(self) -> None:
        """The child has the same thread by name, but is another."""
        made = mutex(owned=True)

        def body() -> None:
            assert failed(win32.ReleaseMutex(made)) == win32.ERROR_NOT_OWNER
            assert wait(made) == TIMEOUT
            assert query_mutex(made)[1:] == (0, 0)

        with forked(body):
            pass
        assert query_mutex(made) == (0, 1, 0)
        assert win32.ReleaseMutex(made)

    def test_what_the_child_takes_it_abandons(self) -> None:
        """And the parent is told."""
        made = mutex()

        def body() -> None:
            assert wait(made) == TAKEN

        with forked(body):
            pass
        assert wait(made) == ABANDONED
        assert win32.ReleaseMutex(made)

    @pytest.mark.parametrize("in_parent", [False, True])
    def test_each_side_wakes_the_other(self, in_parent: bool) -> None:
        """An unnamed event that one of them waits for."""
        made, ready = auto(), auto()

        def waits() -> None:
            assert win32.SignalObjectAndWait(ready, made, LONG, False) == win32.WAIT_OBJECT_0

        def sets() -> None:
            assert wait(ready, LONG) == TAKEN
            assert win32.SetEvent(made)

        with forked(sets if in_parent else waits):
            (waits if in_parent else sets)()


@pytest.mark.leaves_dead_files  # another user closes last, who may not delete in the sticky root
class TestAnotherUser:
    """Global objects between users, as far as their security goes."""

    @pytest.fixture
    def other(self, spawn: Spawn, second_user: int) -> Child:
        return spawn(uid=second_user)

    @each_sync_kind
    def test_nobody_else_may_open_by_default(self, other: Child, kind: SyncKind) -> None:
        kind.make(GLOBAL)
        call = f"Open{kind.noun.title()}(win32.SYNCHRONIZE, False, {GLOBAL!r})"
        assert other.value(f"win32.{call}") is None
        assert other.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED

    @each_sync_kind
    def test_rights_for_everyone(self, other: Child, kind: SyncKind) -> None:
        """Then the other user creates, finds it and uses it."""
        made = had(kind.create(win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=EVERYONE), GLOBAL))
        other.run(f"h = {kind.text.format(GLOBAL)}")
        assert other.value("win32.GetLastError()") == win32.ERROR_ALREADY_EXISTS
        assert other.value("bool(h)")
        if kind is MUTEX:
            assert other.value("win32.WaitForSingleObject(h, 0)") == 0
            assert wait(made) == TIMEOUT
            other.kill()
            assert wait(made, LONG) == ABANDONED
        else:
            call = "ReleaseSemaphore(h, 1, None)" if kind is SEMAPHORE else "SetEvent(h)"
            assert other.value(f"win32.{call}")
            assert wait(made) == TAKEN

    @each_sync_kind
    def test_each_wakes_the_other(self, other: Child, kind: SyncKind) -> None:
        """One waits without looking, whoever made the object."""
        made = had(kind.create(win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor=EVERYONE), GLOBAL))
        if kind is MUTEX:
            assert wait(made) == TAKEN
        in_child(other, GLOBAL, kind)
        asleep(other)
        assert kind.signal(made)
        assert other.finish() == win32.WAIT_OBJECT_0

    @each_sync_kind
    def test_the_other_way_round(self, other: Child, kind: SyncKind, helpers: Helpers) -> None:
        """The object is the other user's, and this process cannot trust its file."""
        text = kind.text.replace("None", f"win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor={EVERYONE!r})").format(GLOBAL)
        other.run(f"h = {text}; ok = win32.WaitForSingleObject(h, 0)")
        made = had(kind.open(kind.everything, False, GLOBAL))
        (thread,) = helpers(1)
        thread.start(wait, made, LONG)
        asleep(thread)
        call = {"mutex": "ReleaseMutex(h)", "semaphore": "ReleaseSemaphore(h, 1, None)", "event": "SetEvent(h)"}
        assert other.value(f"win32.{call[kind.noun]}")
        assert thread.result() == TAKEN
        close(made)

    def test_reading_is_not_enough(self, other: Child) -> None:
        """Taking an object changes it: a user who may only read the file cannot open it, and is told so."""
        event(True, True, GLOBAL, "D:(A;;GR;;;WD)(A;;GA;;;OW)")
        assert other.value(f"win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, {GLOBAL!r})") is None
        assert other.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED

    @each_sync_kind
    def test_a_file_cut_off_under_our_hands(self, other: Child, kind: SyncKind, helpers: Helpers) -> None:
        """The owner of the file truncates it: every call fails and says why, nothing crashes, a waiter comes back."""
        text = kind.text.replace("None", f"win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor={EVERYONE!r})").format(GLOBAL)
        other.run(f"h = {text}; ok = win32.WaitForSingleObject(h, 0)")
        made = had(kind.open(kind.everything, False, GLOBAL))
        (thread,) = helpers(1)
        thread.start(wait, made, LONG)
        asleep(thread)
        other.run(f"os.truncate({str(object_path(GLOBAL))!r}, 0)")
        assert thread.result().startswith("FAILED")
        assert wait(made).startswith("FAILED") or kind is MUTEX
        assert not kind.signal(made)
        wait_any([made])
        wait_all([made])
        query_any(kind, made)
        assert win32.CloseHandle(made)

    @each_sync_kind
    def test_a_file_full_of_nonsense(self, other: Child, kind: SyncKind) -> None:
        """State words of any value: no crash, no hang, whatever the results."""
        text = kind.text.replace("None", f"win32.SECURITY_ATTRIBUTES(lpSecurityDescriptor={EVERYONE!r})").format(GLOBAL)
        other.run(f"h = {text}; path = {str(object_path(GLOBAL))!r}; at = os.path.getsize(path) - 4096 + 128")
        made = had(kind.open(kind.everything, False, GLOBAL))
        for word in (-1, 2**31 - 1, -(2**31), 0x5A5A5A5A):
            other.run(f"f = os.open(path, os.O_RDWR); os.pwrite(f, {struct.pack('<i', word) * 16!r}, at); os.close(f)")
            wait(made, 1)
            kind.signal(made)
            wait_any([made, made], 1)
            wait_all([made], 1)
            query_any(kind, made)
        close(made)


def query_any(kind: SyncKind, handle: int) -> int:
    """The status of a query that may fail."""
    return int(getattr(loose_nt, f"NtQuery{kind.name}")(handle, 0, ctypes.create_string_buffer(8), 8, None))


class TestDamagedFiles:
    """An object file that is no valid one, and looks alive: errors, never a crash."""

    @each_sync_kind
    @pytest.mark.parametrize("length", [0, 1, 100, 4095])
    def test_truncated(self, kind: SyncKind, length: int) -> None:
        """A cut-off object file is a failed call, not a crash."""
        made = kind.make(NAME)
        path, content = object_path(NAME), object_path(NAME).read_bytes()
        close(made)
        path.write_bytes(content[:length])
        with alive(path):
            assert failed(kind.open(SYNCHRONIZE, False, NAME)) == win32.ERROR_FILE_CORRUPT
            assert NAME in message()
            assert failed(kind.create(None, NAME)) == win32.ERROR_FILE_CORRUPT
            assert NAME in message()
        path.unlink()

    @each_sync_kind
    def test_garbled(self, kind: SyncKind) -> None:
        """The checksum of the control page is wrong."""
        made = kind.make(NAME)
        path, content = object_path(NAME), bytearray(object_path(NAME).read_bytes())
        close(made)
        content[-4096 + 16] ^= 0xFF
        path.write_bytes(content)
        with alive(path):
            assert failed(kind.open(SYNCHRONIZE, False, NAME)) == win32.ERROR_FILE_CORRUPT
        path.unlink()


class TestDeath:
    """Holders that die leave the others what they had."""

    @each_sync_kind
    def test_the_creator_is_killed(self, spawn: Spawn, kind: SyncKind) -> None:
        """The object lives on with its other handles, and its state with it."""
        creator = spawn()
        creator.run(f"h = {kind.text.format(NAME)}")
        made = had(kind.open(kind.everything, False, NAME))
        if kind is not MUTEX:
            assert kind.signal(made)
        creator.kill()
        assert wait(made) == TAKEN
        close(made)
        assert failed(kind.open(SYNCHRONIZE, False, NAME)) == win32.ERROR_FILE_NOT_FOUND

    @each_sync_kind
    def test_a_dead_object_is_new_again(self, spawn: Spawn, kind: SyncKind) -> None:
        """Its file stays until somebody comes: the state in it is nobody's."""
        holder = spawn()
        holder.run(f"h = {kind.text.format(NAME)}; win32.WaitForSingleObject(h, 0)")
        if kind is not MUTEX:
            holder.run("(win32.SetEvent(h), win32.ReleaseSemaphore(h, 3, None))")
        holder.kill()
        made = kind.make(NAME)
        assert win32.GetLastError() == win32.ERROR_SUCCESS
        assert wait(made) == (TAKEN if kind is MUTEX else TIMEOUT)
        close(made)
