"""CloseHandle, DuplicateHandle, Get/SetHandleInformation, CompareObjectHandles: one handle table for all objects."""

import ctypes
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from calls import (
    PAGE,
    basic,
    close,
    duplicate,
    failed,
    loose,
    message,
    object_text,
    open_section,
    peek,
    section,
    unmap,
    view,
)
from calls.memory import ALL, READ, WRITE, exists, run
from namedmap import win32

pytestmark = pytest.mark.usefixtures("tidy")

GARBAGE = (None, 0, 4 * 12345, 0xDEADBEE0, 2**31 - 4, 2**40, 2**63, 2**64 - 12, -3, -1000)
KINDS = ("section", "mutex", "semaphore", "event", "file", "process")


def make(kind: str) -> int:
    """A handle to a fresh object of a kind."""
    made: int | None
    match kind:
        case "section":
            made = section()
        case "mutex":
            made = win32.CreateMutex(None, False, None)
        case "semaphore":
            made = win32.CreateSemaphore(None, 0, 1, None)
        case "event":
            made = win32.CreateEvent(None, True, False, None)
        case "file":
            made = win32.CreateFile(os.devnull, 0xC0000000, 7, None, win32.OPEN_EXISTING, 0, None)
        case _:
            made = win32.OpenProcess(win32.PROCESS_ALL_ACCESS, False, os.getpid())
    assert made not in (None, win32.INVALID_HANDLE_VALUE)
    return made or 0


def flags(handle: int) -> int:
    found = win32.DWORD(99)
    assert win32.GetHandleInformation(handle, found), message()
    return found.value


class TestValues:
    def test_values_are_multiples_of_four(self) -> None:
        """Handle values are positive multiples of 4, distinct among all kinds of object."""
        values = [make(kind) for kind in KINDS for _ in range(3)]
        assert all(value > 0 and value % 4 == 0 for value in values)
        assert len(set(values)) == len(values)

    def test_the_lowest_free_value_is_used_again(self) -> None:
        """A closed value is the next one to be given out, the lowest first."""
        values = [section() for _ in range(6)]
        close(values[4], values[1], values[2])
        assert [section() for _ in range(3)] == [values[1], values[2], values[4]]

    @pytest.mark.parametrize("low", [1, 2, 3])
    def test_the_two_low_bits_are_ignored(self, low: int) -> None:
        """h+1, h+2 and h+3 are h."""
        handle = section()
        unmap(view(handle + low))
        assert flags(handle + low) == 0
        assert win32.CompareObjectHandles(handle, handle + low)
        close(handle + low)
        assert failed(win32.CloseHandle(handle)) == 6

    def test_ctypes_handles(self) -> None:
        """A handle may be a HANDLE instance, as an out-argument leaves it."""
        handle = win32.HANDLE(section())
        unmap(loose.MapViewOfFile(handle, READ, 0, 0, 0))
        assert loose.CloseHandle(handle)


class TestClose:
    @pytest.mark.parametrize("kind", KINDS)
    def test_twice(self, kind: str) -> None:
        """The second close of any kind is ERROR_INVALID_HANDLE."""
        handle = make(kind)
        close(handle)
        assert failed(win32.CloseHandle(handle)) == 6

    @pytest.mark.parametrize("value", GARBAGE)
    def test_garbage(self, value: int | None) -> None:
        """A value that is no handle is ERROR_INVALID_HANDLE for each function that takes one."""
        assert failed(loose.CloseHandle(value)) == 6
        assert failed(loose.GetHandleInformation(value, win32.DWORD())) == 6
        assert failed(loose.SetHandleInformation(value, 1, 1)) == 6
        assert failed(loose.DuplicateHandle(-1, value, -1, win32.HANDLE(), 0, False, 2)) == 6
        assert not loose.CompareObjectHandles(value, section())

    def test_pseudo_handles(self) -> None:
        """-1 and -2 close without effect, and have no flags."""
        for value in (win32.GetCurrentProcess(), win32.GetCurrentThread(), 2**64 - 1, 2**32 - 2):
            assert win32.CloseHandle(value)
            assert flags(value) == 0
            assert failed(win32.SetHandleInformation(value, 1, 1)) == 5

    def test_a_protected_handle(self) -> None:
        """HANDLE_FLAG_PROTECT_FROM_CLOSE: closing is ERROR_INVALID_HANDLE and does nothing."""
        handle = section(name="handles.protected")
        assert win32.SetHandleInformation(handle, 2, 2)
        assert failed(win32.CloseHandle(handle)) == 6
        assert exists("handles.protected")
        assert win32.SetHandleInformation(handle, 2, 0)
        close(handle)
        assert not exists("handles.protected")

    def test_the_name_goes_with_the_last_handle(self) -> None:
        """However the handles were made, the name is there until the last is closed, and not after."""
        first = section(name="handles.name")
        others = [
            duplicate(first),
            open_section("handles.name", READ),
            section(name="handles.name"),
            open_section("handles.name"),
        ]
        handles = [first, *others]
        random.Random(1).shuffle(handles)
        for left in range(len(handles), 0, -1):
            assert basic(handles[0]).handles == left
            assert exists("handles.name")
            close(handles.pop(0))
        assert not exists("handles.name")

    @pytest.mark.parametrize("kind", ["mutex", "semaphore", "event"])
    def test_names_of_the_other_kinds_go_too(self, kind: str) -> None:
        """Mutexes, semaphores and events lose their names with their last handles."""
        create: Any
        open_: Any
        create, open_, arguments = {
            "mutex": (win32.CreateMutex, win32.OpenMutex, (False,)),
            "semaphore": (win32.CreateSemaphore, win32.OpenSemaphore, (0, 1)),
            "event": (win32.CreateEvent, win32.OpenEvent, (False, False)),
        }[kind]
        handle = create(None, *arguments, "handles.kind")
        assert win32.GetLastError() == 0
        second = create(None, *arguments, "handles.kind")
        assert win32.GetLastError() == win32.ERROR_ALREADY_EXISTS
        third = open_(win32.SYNCHRONIZE, False, "handles.kind")
        close(handle, second)
        close(open_(win32.SYNCHRONIZE, False, "handles.kind"), third)
        assert failed(open_(win32.SYNCHRONIZE, False, "handles.kind")) == 2


class TestFlags:
    def test_only_the_mask_changes(self) -> None:
        """SetHandleInformation changes the bits of the mask; unknown bits are ignored."""
        handle = section()
        for mask, value, expected in ((1, 1, 1), (2, 3, 3), (1, 0, 2), (0, 3, 2), (0xF0, 0xF0, 2), (3, 0, 0)):
            assert win32.SetHandleInformation(handle, mask, value)
            assert flags(handle) == expected

    @pytest.mark.parametrize("inherit", [True, False])
    def test_security_attributes(self, inherit: bool) -> None:
        """bInheritHandle of SECURITY_ATTRIBUTES sets the flag."""
        attributes = win32.SECURITY_ATTRIBUTES(bInheritHandle=inherit)
        for handle in (
            win32.CreateFileMapping(-1, attributes, 4, 0, 1, None),
            win32.CreateMutex(attributes, False, None),
            win32.CreateEvent(attributes, False, False, None),
            win32.CreateSemaphore(attributes, 0, 1, None),
            win32.CreateFile(os.devnull, win32.GENERIC_READ, 7, attributes, win32.OPEN_EXISTING, 0, None),
        ):
            assert flags(handle or 0) == inherit

    def test_duplicates_have_their_own(self) -> None:
        """A duplicate is inheritable if asked for, and never protected."""
        handle = section()
        assert win32.SetHandleInformation(handle, 3, 3)
        assert flags(duplicate(handle)) == 0
        assert flags(duplicate(handle, inherit=True)) == 1


class TestDuplicate:
    @pytest.mark.parametrize("access", [0, READ, WRITE, READ | WRITE, ALL])
    def test_access(self, access: int) -> None:
        """A duplicate has the access asked for, also more than the source; or with SAME_ACCESS the source's."""
        handle = section(PAGE, win32.PAGE_READONLY)
        assert basic(duplicate(handle, access, 0)).access == access
        assert basic(duplicate(handle, access)).access == 0xF0005

    @pytest.mark.parametrize(
        ("asked", "granted"),
        [(win32.GENERIC_READ, 0x20005), (win32.GENERIC_ALL, 0xF001F), (win32.MAXIMUM_ALLOWED, 0xF001F)],
    )
    def test_generic_access(self, asked: int, granted: int) -> None:
        """Generic rights become those of the type."""
        assert basic(duplicate(section(), asked, 0)).access == granted

    def test_file_access_cannot_be_raised(self) -> None:
        """A duplicate of a file handle has no more access than it: ERROR_ACCESS_DENIED."""
        file = win32.CreateFile(os.devnull, win32.GENERIC_READ, 7, None, win32.OPEN_EXISTING, 0, None)
        out = win32.HANDLE(1)
        assert failed(win32.DuplicateHandle(-1, file, -1, out, win32.GENERIC_WRITE, False, 0)) == 5
        assert win32.DuplicateHandle(-1, file, -1, out, win32.FILE_READ_DATA, False, 0)

    def test_close_source(self) -> None:
        """DUPLICATE_CLOSE_SOURCE moves the handle: the count stays, the name stays."""
        handle = section(name="handles.moved")
        moved = duplicate(handle, READ, win32.DUPLICATE_CLOSE_SOURCE)
        assert basic(moved) == (READ, 1)
        assert exists("handles.moved")
        close(moved)
        assert not exists("handles.moved")

    def test_close_source_when_it_fails(self) -> None:
        """The source is closed even if the duplication fails."""
        file = win32.CreateFile(os.devnull, win32.GENERIC_READ, 7, None, win32.OPEN_EXISTING, 0, None)
        assert failed(win32.DuplicateHandle(-1, file, -1, win32.HANDLE(), win32.GENERIC_WRITE, False, 1)) == 5
        assert failed(win32.CloseHandle(file)) == 6

    def test_close_source_without_a_target(self) -> None:
        """A NULL target handle is allowed, to close only; it is no leak of the duplicate's count."""
        handle = section(name="handles.null")
        assert win32.DuplicateHandle(-1, handle, 0, None, 0, False, win32.DUPLICATE_CLOSE_SOURCE) in (True, False)
        assert not exists("handles.null")

    def test_a_protected_source_stays(self) -> None:
        """DUPLICATE_CLOSE_SOURCE of a protected handle duplicates, and leaves the source."""
        handle = section()
        assert win32.SetHandleInformation(handle, 2, 2)
        moved = duplicate(handle, 0, 3)
        assert basic(moved).handles == 2
        assert flags(handle) == 2

    @pytest.mark.parametrize(("pseudo", "kind"), [(-1, "Process"), (-2, "Thread")])
    def test_pseudo_handles_become_real(self, pseudo: int, kind: str) -> None:
        """A duplicate of a pseudo handle is a handle to the process or thread."""
        real = duplicate(pseudo)
        assert real > 0
        assert object_text(real, 2) == kind
        close(real)

    def test_bad_processes(self) -> None:
        """A process handle that is none is ERROR_INVALID_HANDLE, and makes nothing."""
        handle = section()
        for source, target in ((0, -1), (-1, 0), (handle, -1), (-1, handle), (0xDEADBEE0, -1)):
            assert failed(win32.DuplicateHandle(source, handle, target, win32.HANDLE(), 0, False, 2)) == 6
        assert basic(handle).handles == 1

    def test_through_a_real_process_handle(self) -> None:
        """A handle of OpenProcess to oneself does as well as the pseudo handle."""
        process = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, os.getpid())
        handle, out = section(), win32.HANDLE()
        assert loose.DuplicateHandle(process, handle, process, out, 0, False, 2), message()
        assert loose.CompareObjectHandles(handle, out)

    def test_out_pointers(self) -> None:
        """The target may be an instance, byref or pointer of one; another type raises and leaks nothing."""
        handle = section()
        out = win32.HANDLE()
        for target in (out, ctypes.byref(out), ctypes.pointer(out)):
            assert win32.DuplicateHandle(-1, handle, -1, target, 0, False, 2)
            close(out.value or 0)
        with pytest.raises(TypeError):
            win32.DuplicateHandle(-1, handle, -1, win32.DWORD(), 0, False, 2)
        assert basic(handle).handles == 1


class TestCompare:
    def test_one_object(self) -> None:
        """Handles to one object compare equal, whatever their access."""
        handle = section(name="handles.compare")
        for other in (duplicate(handle, 0, 0), open_section("handles.compare", READ), section(name="handles.compare")):
            assert win32.CompareObjectHandles(handle, other)

    @pytest.mark.parametrize("kind", KINDS[:-1])
    def test_two_objects(self, kind: str) -> None:
        """Objects made apart are different; for files each open makes one."""
        assert not win32.CompareObjectHandles(make(kind), make(kind))

    def test_processes_and_threads(self) -> None:
        """A process is one object however often it is opened, also through its pseudo handle."""
        assert win32.CompareObjectHandles(make("process"), make("process"))
        assert win32.CompareObjectHandles(-1, -1)
        assert win32.CompareObjectHandles(-2, -2)
        assert not win32.CompareObjectHandles(-1, -2)
        assert not loose.CompareObjectHandles(None, None)


class TestProcesses:
    def test_identity(self) -> None:
        """GetCurrentProcessId is the id of this process."""
        assert run("print(win32.GetCurrentProcessId() == os.getpid())") == "True\n"
        assert (win32.GetCurrentProcess(), win32.GetCurrentThread()) == (-1, -2)

    @pytest.mark.parametrize("pid", [0, 2**22 + 1, 2**31, 2**32 - 1, 2**40])
    def test_no_such_process(self, pid: int) -> None:
        """ERROR_INVALID_PARAMETER."""
        assert failed(win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, pid)) == 87


@pytest.mark.usefixtures("eager_threads")
def test_threads_duplicate_and_close(tmp_path: Path) -> None:
    """Threads that duplicate, compare and close handles of the same objects: the counts are right at the end."""
    handles = [section(name=f"handles.thread{index}") for index in range(3)]
    errors: list[object] = []

    def work(seed: int) -> None:
        chance, own = random.Random(seed), []
        for _ in range(300):
            source = chance.randrange(3)
            if chance.random() < 0.55:
                own.append((duplicate(handles[source]), source))
            elif own:
                value, of = own.pop(chance.randrange(len(own)))
                if not win32.CompareObjectHandles(value, handles[of]):
                    errors.append("other object")
                close(value)
        for value, _ in own:
            close(value)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [basic(handle).handles for handle in handles] == [1, 1, 1]


@pytest.mark.usefixtures("eager_threads")
def test_threads_close_the_same_handle() -> None:
    """Of several threads that close one handle exactly one succeeds; an object of another handle is never closed."""
    keeper = section(name="handles.keeper")
    for _ in range(100):
        handle = duplicate(keeper)
        results: list[bool] = []
        barrier = threading.Barrier(4)

        def work(value: int = handle, results: list[bool] = results, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            results.append(win32.CloseHandle(value))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [False, False, False, True]
        assert basic(keeper).handles == 1


@pytest.mark.usefixtures("eager_threads")
def test_duplicating_while_another_thread_closes() -> None:
    """DuplicateHandle of a handle that another thread closes fails, or the duplicate is good and keeps the object."""
    for turn in range(200):
        handle = section(name="handles.race")
        address = view(handle)
        ctypes.memmove(address, b"turn%04d" % turn, 8)
        unmap(address)
        out = win32.HANDLE()
        done: list[bool] = []
        barrier = threading.Barrier(2)

        def work(
            value: int = handle,
            out: ctypes.c_void_p = out,
            done: list[bool] = done,
            barrier: threading.Barrier = barrier,
        ) -> None:
            barrier.wait()
            done.append(win32.DuplicateHandle(-1, value, -1, out, 0, False, 2))

        thread = threading.Thread(target=work)
        thread.start()
        barrier.wait()
        close(handle)
        thread.join()
        if done[0]:
            address = view(out.value or 0, READ)
            assert peek(address, 8) == b"turn%04d" % turn
            unmap(address)
            assert exists("handles.race")
            close(out.value or 0)
        assert not exists("handles.race")


def test_many_handles() -> None:
    """Thousands of handles to one object cost no descriptors."""
    handle = section(name="handles.many")
    before = len(os.listdir("/proc/self/fd"))
    duplicates = [duplicate(handle) for _ in range(5000)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert basic(handle).handles == 5001
    close(*duplicates)
    assert basic(handle).handles == 1
