"""Byte-range locks: LockFile, LockFileEx, and what they keep others from, in this process and in others."""

import ctypes
import os
import tempfile
import threading
from pathlib import Path

import pytest

from child import WATCHDOG, Spawn, forked
from namedmap import win32

pytestmark = pytest.mark.usefixtures("tidy")

SHARED, AT_ONCE, ALONE = 0, win32.LOCKFILE_FAIL_IMMEDIATELY, win32.LOCKFILE_EXCLUSIVE_LOCK
OK, VIOLATION, NOT_LOCKED = 0, win32.ERROR_LOCK_VIOLATION, win32.ERROR_NOT_LOCKED
BOTH = win32.GENERIC_READ | win32.GENERIC_WRITE


def opened(path: Path, access: int = BOTH) -> int:
    share = win32.FILE_SHARE_READ | win32.FILE_SHARE_WRITE
    handle = win32.CreateFile(str(path), access, share, None, win32.OPEN_EXISTING, 0, None)
    assert handle != win32.INVALID_HANDLE_VALUE
    return handle


@pytest.fixture
def file(a_dat: Path) -> int:
    return opened(a_dat)


@pytest.fixture
def other(a_dat: Path) -> int:
    """A second handle to the same file."""
    return opened(a_dat)


def parts(number: int) -> tuple[int, int]:
    return number & 0xFFFFFFFF, number >> 32


def code(succeeded: bool) -> int:
    return OK if succeeded else win32.GetLastError()


def lock(handle: int, start: int, length: int, flags: int = ALONE | AT_ONCE) -> int:
    """The last error of LockFileEx, 0 if it succeeds."""
    place = win32.OVERLAPPED(0, 0, *parts(start))
    return code(win32.LockFileEx(handle, flags, 0, *parts(length), place))


def unlock(handle: int, start: int, length: int) -> int:
    return code(win32.UnlockFileEx(handle, 0, *parts(length), win32.OVERLAPPED(0, 0, *parts(start))))


def read(handle: int, start: int, length: int) -> int:
    done = win32.DWORD()
    place = win32.OVERLAPPED(0, 0, *parts(start))
    return code(win32.ReadFile(handle, bytearray(length), length, done, place))


def write(handle: int, start: int, length: int) -> int:
    done = win32.DWORD()
    place = win32.OVERLAPPED(0, 0, *parts(start))
    return code(win32.WriteFile(handle, bytes(length), length, done, place))


class TestOneHandle:
    """The rules for the locks of one handle; those of Wine's tests, which pass on Windows."""

    def test_exclusive_locks_do_not_overlap(self, file: int) -> None:
        """Neither with each other; neighbours are no overlap, and only whole ranges are unlocked."""
        assert win32.LockFile(file, 10, 0, 20, 0)
        assert code(win32.LockFile(file, 12, 0, 10, 0)) == VIOLATION
        assert code(win32.LockFile(file, 5, 0, 6, 0)) == VIOLATION
        assert win32.LockFile(file, 5, 0, 5, 0)
        assert code(win32.UnlockFile(file, 10, 0, 10, 0)) == NOT_LOCKED
        assert win32.UnlockFile(file, 10, 0, 20, 0)
        assert code(win32.UnlockFile(file, 10, 0, 20, 0)) == NOT_LOCKED
        assert win32.UnlockFile(file, 5, 0, 5, 0)

    def test_shared_locks_overlap(self, file: int, other: int) -> None:
        """Each is unlocked on its own, and as long as one is left nobody has the bytes alone."""
        assert lock(file, 100, 100, SHARED) == lock(file, 100, 100, SHARED) == lock(file, 150, 100, SHARED) == OK
        assert lock(file, 150, 50) == VIOLATION
        assert unlock(file, 100, 100) == OK
        assert [lock(other, start, 1) for start in (99, 100, 249, 250)] == [OK, VIOLATION, VIOLATION, OK]
        assert unlock(file, 100, 100) == OK
        assert unlock(file, 100, 100) == NOT_LOCKED
        assert [lock(other, start, 1) for start in (100, 149, 150)] == [OK, OK, VIOLATION]

    def test_a_shared_lock_over_an_exclusive_one(self, file: int, other: int) -> None:
        """It may lie over one of the same handle, which goes first; then others share the bytes."""
        assert lock(file, 300, 100) == OK
        assert lock(file, 300, 100, SHARED | AT_ONCE) == OK
        assert lock(file, 300, 100) == VIOLATION
        assert lock(other, 300, 100, SHARED | AT_ONCE) == VIOLATION
        assert unlock(file, 300, 100) == OK
        assert lock(other, 300, 100, SHARED | AT_ONCE) == OK
        assert lock(other, 300, 100) == VIOLATION
        assert unlock(file, 300, 100) == OK
        assert unlock(file, 300, 100) == NOT_LOCKED

    def test_an_exclusive_one_within_shared_ones(self, file: int, other: int) -> None:
        """The rest of a stretch is locked as its strongest lock says."""
        assert lock(file, 20, 10) == OK
        assert lock(file, 10, 30, SHARED | AT_ONCE) == OK
        assert [lock(other, start, 1, SHARED | AT_ONCE) for start in (19, 20, 29, 30)] == [OK, VIOLATION, VIOLATION, OK]
        assert unlock(file, 10, 30) == OK
        assert [lock(other, start, 1, SHARED | AT_ONCE) for start in (20, 29)] == [VIOLATION, VIOLATION]
        assert [lock(other, start, 1) for start in (18, 31)] == [OK, OK]

    def test_no_bytes(self, file: int) -> None:
        """A lock of no bytes lies between two, is in the way of one that has both, and of no other."""
        assert lock(file, 100, 0) == OK
        assert lock(file, 98, 4) == VIOLATION
        assert lock(file, 90, 10) == OK
        assert lock(file, 100, 10) == OK
        assert unlock(file, 100, 0) == OK
        assert unlock(file, 100, 0) == NOT_LOCKED

    def test_far_offsets(self, file: int, other: int) -> None:
        """Offsets have 64 bits: programs lock bytes past any file as tokens."""
        assert win32.LockFile(file, 0, 0x10000000, 0, 0xF0000000)
        assert code(win32.LockFile(file, 0xFFFFFFFF, 0xFFFFFFFF, 1, 0)) == VIOLATION
        assert code(win32.LockFile(other, 0, 0x20000000, 20, 0xE0000000 - 1)) == VIOLATION
        assert win32.UnlockFile(file, 0, 0x10000000, 0, 0xF0000000)
        assert lock(file, 2**64 - 1, 1) == OK
        assert lock(other, 2**64 - 1, 1) == VIOLATION
        assert lock(other, 2**63, 2**62) == OK
        assert lock(file, 0, 2**63) == OK
        assert lock(file, 2**64 - 1, 2) == win32.ERROR_INVALID_LOCK_RANGE

    def test_the_same_handle_object(self, file: int, other: int) -> None:
        """A duplicate has the same locks; they end with the last of them."""
        duplicate, this = win32.HANDLE(), win32.GetCurrentProcess()
        same = win32.DUPLICATE_SAME_ACCESS
        assert win32.DuplicateHandle(this, file, this, duplicate, 0, False, same)
        assert lock(file, 0, 5) == OK
        assert lock(duplicate.value or 0, 0, 5) == VIOLATION
        assert win32.CloseHandle(file)
        assert lock(other, 0, 5) == VIOLATION
        assert unlock(duplicate.value or 0, 0, 5) == OK
        assert lock(duplicate.value or 0, 1, 5) == OK
        assert win32.CloseHandle(duplicate.value)
        assert lock(other, 0, 5) == OK


class TestTransfers:
    """Locks let some callers use ReadFile and WriteFile, and keep the others out."""

    def test_exclusive(self, file: int, other: int) -> None:
        """Its holder reads and writes; others do neither, but beside it."""
        assert lock(file, 2, 3) == OK
        assert read(file, 0, 10) == write(file, 2, 3) == OK
        assert [read(other, *each) for each in ((0, 2), (1, 2), (4, 1), (5, 5))] == [OK, VIOLATION, VIOLATION, OK]
        assert [write(other, *each) for each in ((0, 2), (1, 2), (4, 1), (5, 5))] == [OK, VIOLATION, VIOLATION, OK]
        assert unlock(file, 2, 3) == OK
        assert read(other, 0, 10) == write(other, 0, 10) == OK

    def test_shared(self, file: int, other: int) -> None:
        """Everybody reads, and nobody writes, its holder included."""
        assert lock(file, 2, 3, SHARED) == OK
        assert read(file, 0, 10) == read(other, 0, 10) == OK
        assert write(file, 4, 1) == write(other, 4, 1) == VIOLATION
        assert write(file, 5, 1) == write(other, 5, 1) == OK

    def test_at_the_file_pointer(self, file: int, other: int, a_dat: Path) -> None:
        """The bytes are those that the transfer would move, at the pointer and at the end of the file too."""
        assert lock(file, 8, 100) == OK
        done = win32.DWORD()
        assert win32.WriteFile(other, b"12345678", 8, done, None)
        assert code(win32.WriteFile(other, b"9", 1, done, None)) == VIOLATION
        assert code(win32.ReadFile(other, bytearray(1), 1, done, None)) == VIOLATION
        appends = opened(a_dat, win32.FILE_APPEND_DATA)
        assert code(win32.WriteFile(appends, b"9", 1, done, None)) == VIOLATION
        assert a_dat.read_bytes() == b"1234567889"
        assert win32.CloseHandle(file)
        assert win32.WriteFile(appends, b"9", 1, done, None)

    def test_the_error_says_who(self, file: int, other: int) -> None:
        """Its text names the file, the bytes and the holder."""
        assert lock(file, 0, 5) == OK
        assert write(other, 0, 3) == VIOLATION
        text = win32.FormatMessage(win32.FORMAT_MESSAGE_FROM_SYSTEM, None, VIOLATION)
        assert isinstance(text, str)
        assert "a.dat" in text
        assert "this process" in text


class TestArguments:
    def test_what_cannot_be_locked(self, file: int, directory: Path) -> None:
        """Handles of other kinds, without access, of a directory; reserved arguments; no OVERLAPPED."""
        event = win32.CreateEvent(None, True, False, None)
        assert code(win32.LockFile(event, 0, 0, 1, 0)) == win32.ERROR_INVALID_HANDLE
        assert code(win32.LockFile(0x123450, 0, 0, 1, 0)) == win32.ERROR_INVALID_HANDLE
        asks = opened(directory / "a.dat", 0)
        assert code(win32.LockFile(asks, 0, 0, 1, 0)) == win32.ERROR_ACCESS_DENIED
        flags = win32.FILE_FLAG_BACKUP_SEMANTICS
        place = win32.CreateFile(str(directory), win32.GENERIC_READ, 0, None, win32.OPEN_EXISTING, flags, None)
        assert code(win32.LockFile(place, 0, 0, 1, 0)) == win32.ERROR_INVALID_PARAMETER
        overlapped = win32.OVERLAPPED()
        assert code(win32.LockFileEx(file, 0, 1, 1, 0, overlapped)) == win32.ERROR_INVALID_PARAMETER
        assert code(win32.UnlockFileEx(file, 1, 1, 0, overlapped)) == win32.ERROR_INVALID_PARAMETER
        assert code(win32.LockFileEx(file, 0, 0, 1, 0, None)) == win32.ERROR_NOACCESS

    def test_a_handle_that_only_reads(self, a_dat: Path, other: int) -> None:
        """It may lock exclusively if its user may write to the file."""
        handle = opened(a_dat, win32.GENERIC_READ)
        assert lock(handle, 0, 1) == OK
        assert lock(other, 0, 1, SHARED | AT_ONCE) == VIOLATION

    def test_a_file_that_may_only_be_read(self, spawn: Spawn, second_user: int) -> None:
        """Its user can lock it shared; an exclusive lock is refused with the reason."""
        child = spawn(uid=second_user)
        with tempfile.NamedTemporaryFile() as file:
            os.fchmod(file.fileno(), 0o644)
            child.run(f"h = win32.CreateFile({file.name!r}, win32.GENERIC_READ, 7, None, win32.OPEN_EXISTING, 0, None)")
            assert child.value("win32.LockFileEx(h, 1, 0, 1, 0, win32.OVERLAPPED())")
            assert not child.value("win32.LockFileEx(h, 3, 0, 1, 0, win32.OVERLAPPED(0, 0, 100, 0))")
            assert child.value("win32.GetLastError()") == win32.ERROR_ACCESS_DENIED
            assert "only who may write" in child.value("message()")


class TestWaiting:
    def test_until_it_is_unlocked(self, file: int, other: int) -> None:
        """Without LOCKFILE_FAIL_IMMEDIATELY the call waits, for another handle and for its own."""
        for waiter in (other, file):
            assert lock(file, 0, 5) == OK
            took: list[int] = []
            thread = threading.Thread(target=lambda: took.append(lock(waiter, 4, 5, ALONE)))  # noqa: B023 - joined below
            thread.start()
            assert unlock(file, 0, 5) == OK
            thread.join(WATCHDOG)
            assert took == [OK]
            assert unlock(waiter, 4, 5) == OK


class TestProcesses:
    OPEN = "h = win32.CreateFile({!r}, win32.GENERIC_READ | win32.GENERIC_WRITE, 3, None, win32.OPEN_EXISTING, 0, None)"

    def test_other_processes(self, a_dat: Path, file: int, spawn: Spawn) -> None:
        """Locks hold between processes, and end with theirs, also when it is killed."""
        child = spawn()
        child.run(self.OPEN.format(str(a_dat)))
        assert child.value("win32.LockFile(h, 0, 0, 4, 0)")
        assert lock(file, 3, 1) == read(file, 3, 1) == write(file, 3, 1) == VIOLATION
        text = win32.FormatMessage(win32.FORMAT_MESSAGE_FROM_SYSTEM, None, VIOLATION)
        assert isinstance(text, str)
        assert lock(file, 4, 1) == OK
        assert not child.value("win32.LockFile(h, 4, 0, 1, 0)")
        assert child.value("win32.GetLastError()") == VIOLATION
        child.kill()
        assert lock(file, 3, 1) == OK

    def test_waiting_for_a_process(self, a_dat: Path, file: int, spawn: Spawn) -> None:
        """A wait for a lock ends when its holder is killed."""
        child = spawn()
        child.run(self.OPEN.format(str(a_dat)))
        assert child.value("win32.LockFile(h, 0, 0, 4, 0)")
        took: list[int] = []
        thread = threading.Thread(target=lambda: took.append(lock(file, 0, 1, SHARED)))
        thread.start()
        child.kill()
        thread.join(WATCHDOG)
        assert took == [OK]

    def test_a_forked_child_has_none(self, a_dat: Path, file: int) -> None:
        """The locks are the parent's: the child is kept out, and leaves them alone when it closes its handle."""
        assert lock(file, 0, 4) == OK

        def body() -> None:
            assert read(file, 0, 1) == lock(file, 0, 1) == VIOLATION
            assert unlock(file, 0, 4) == NOT_LOCKED
            assert lock(file, 5, 1) == OK
            assert win32.CloseHandle(file)

        with forked(body):
            pass
        assert unlock(file, 0, 4) == OK
        assert lock(file, 5, 1) == OK

    def test_the_end_while_a_child_goes_on(self, a_dat: Path, file: int, other: int) -> None:
        """A handle that is closed has no locks, though a forked child has its descriptors."""
        begin, end = os.pipe()
        assert lock(file, 0, 4) == OK
        with forked(lambda: os.read(begin, 1)):
            assert win32.CloseHandle(file)
            assert lock(other, 0, 4) == OK
            os.write(end, b"x")
        os.close(begin)
        os.close(end)

    def test_a_duplicate_in_another_process(self, a_dat: Path, file: int, spawn: Spawn) -> None:
        """Each process has locks of its own, through handles to one file object too."""
        child = spawn()
        pid = child.value("win32.GetCurrentProcessId()")
        process, made = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, pid), win32.HANDLE()
        this = win32.GetCurrentProcess()
        assert lock(file, 0, 4) == OK
        assert win32.DuplicateHandle(this, file, process, made, 0, False, win32.DUPLICATE_SAME_ACCESS)
        assert not child.value(f"win32.LockFile({made.value}, 0, 0, 1, 0)")
        assert child.value(f"win32.LockFile({made.value}, 4, 0, 1, 0)")
        assert lock(file, 4, 1) == VIOLATION
        assert child.end() == 0
        assert lock(file, 4, 1) == OK
        assert win32.CloseHandle(process)


def test_foreign_locks_are_not_seen(a_dat: Path, file: int) -> None:
    """fcntl.lockf of another program on the same bytes, and ours, leave each other alone."""
    import fcntl

    with open(a_dat, "r+b") as plain:
        fcntl.lockf(plain, fcntl.LOCK_EX | fcntl.LOCK_NB, 10)
        assert lock(file, 0, 10) == write(file, 0, 10) == OK


def test_through_ctypes(a_dat: Path) -> None:
    """kernel32.LockFileEx and its like, with a structure of the program's own."""
    from ctypes import wintypes

    from namedmap.compat.windll import WinDLL

    class Overlapped(ctypes.Structure):
        _fields_ = [
            ("Internal", ctypes.c_size_t),
            ("InternalHigh", ctypes.c_size_t),
            ("Offset", ctypes.c_uint32),
            ("OffsetHigh", ctypes.c_uint32),
            ("hEvent", ctypes.c_void_p),
        ]

    kernel32 = WinDLL("kernel32", use_last_error=True)
    one, two = opened(a_dat), opened(a_dat)
    kernel32.LockFileEx.argtypes = [wintypes.HANDLE, *[ctypes.c_uint32] * 4, ctypes.POINTER(Overlapped)]
    place = Overlapped(Offset=3)
    assert kernel32.LockFileEx(one, 3, 0, 5, 0, ctypes.byref(place))
    assert not kernel32.LockFile(two, 4, 0, 1, 0)
    assert kernel32.UnlockFileEx(one, 0, 5, 0, ctypes.byref(place))
    assert kernel32.LockFile(two, 4, 0, 1, 0)
    assert kernel32.UnlockFile(two, 4, 0, 1, 0)
