"""msvcrt.locking, and the byte-range locks of pywin32, on files that Python has opened."""

import errno
import os
import time
from pathlib import Path

import pytest

from child import Spawn, forked
from namedmap.compat.builtin import msvcrt
from namedmap.compat.pywin32 import pywintypes, win32con, win32file, winerror


class TestLocking:
    """msvcrt.locking."""

    def test_between_files(self, a_dat: Path) -> None:
        """Bytes from the position on; the same open file too is kept out, and closing it unlocks."""
        with open(a_dat, "r+b") as one, open(a_dat, "r+b") as two:
            one.seek(3)
            msvcrt.locking(one.fileno(), msvcrt.LK_NBLCK, 4)
            two.seek(6)
            for file, mode in ((two, msvcrt.LK_NBLCK), (one, msvcrt.LK_NBLCK), (two, msvcrt.LK_NBRLCK)):
                with pytest.raises(PermissionError, match="locked some"):
                    msvcrt.locking(file.fileno(), mode, 1)
            two.seek(7)
            msvcrt.locking(two.fileno(), msvcrt.LK_NBLCK, 1)
            one.seek(3)
            msvcrt.locking(one.fileno(), msvcrt.LK_UNLCK, 4)
            with pytest.raises(PermissionError, match="no lock"):
                msvcrt.locking(one.fileno(), msvcrt.LK_UNLCK, 4)
            msvcrt.locking(one.fileno(), msvcrt.LK_LOCK, 4)
        with open(a_dat, "r+b") as three:
            msvcrt.locking(three.fileno(), msvcrt.LK_RLCK, 10)

    def test_a_file_that_was_opened_again(self, a_dat: Path) -> None:
        """The same number for the same file, opened anew, has none of the locks."""
        for _ in range(3):
            with open(a_dat, "ab") as file:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 4)

    def test_ten_times(self, a_dat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """LK_LOCK and LK_RLCK try ten times, a second apart."""
        slept: list[float] = []
        monkeypatch.setattr(time, "sleep", slept.append)
        with open(a_dat, "r+b") as one, open(a_dat, "r+b") as two:
            msvcrt.locking(one.fileno(), msvcrt.LK_LOCK, 1)
            for mode in (msvcrt.LK_LOCK, msvcrt.LK_RLCK):
                with pytest.raises(OSError, match="deadlock") as caught:
                    msvcrt.locking(two.fileno(), mode, 1)
                assert caught.value.errno == errno.EDEADLOCK
                assert slept == [1] * 9
                slept.clear()

    def test_between_processes(self, a_dat: Path, spawn: Spawn) -> None:
        """A lock ends with its process, however that ends."""
        child = spawn()
        child.run(f"from namedmap.compat.builtin import msvcrt; f = open({str(a_dat)!r}, 'r+b')")
        child.run("msvcrt.locking(f.fileno(), msvcrt.LK_LOCK, 5)")
        with open(a_dat, "r+b") as file:
            with pytest.raises(PermissionError, match="cannot be locked"):
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 5)
            child.kill()
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 5)

    def test_what_cannot_be_locked(self, a_dat: Path) -> None:
        """Wrong arguments, a file that is not open for writing, descriptors of other kinds."""
        with open(a_dat, "rb") as reader, open(a_dat, "r+b") as file:
            with pytest.raises(OSError, match="Invalid argument"):
                msvcrt.locking(file.fileno(), 5, 1)
            with pytest.raises(OSError, match="Invalid argument"):
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, -1)
            with pytest.raises(PermissionError, match="for writing"):
                msvcrt.locking(reader.fileno(), msvcrt.LK_NBLCK, 1)
        begin, end = os.pipe()
        with pytest.raises(OSError, match="seek"):
            msvcrt.locking(end, msvcrt.LK_NBLCK, 1)
        os.close(begin)
        os.close(end)


class TestPywin32:
    """win32file.LockFileEx, as portalocker and its like call it."""

    def test_shared_and_alone(self, a_dat: Path) -> None:
        """All bytes of a file: many share them, or one has them alone."""
        with open(a_dat, "r+b") as one, open(a_dat, "r+b") as two:
            handles = [win32file._get_osfhandle(file.fileno()) for file in (one, two)]
            now, alone = win32con.LOCKFILE_FAIL_IMMEDIATELY, win32con.LOCKFILE_EXCLUSIVE_LOCK
            place = pywintypes.OVERLAPPED()
            for handle in handles:
                win32file.LockFileEx(handle, now, 0, -0x10000, place)
            for flags in (now | alone, now):
                if flags & alone:
                    with pytest.raises(pywintypes.error) as caught:
                        win32file.LockFileEx(handles[0], flags, 0, -0x10000, place)
                    assert caught.value.args[:2] == (winerror.ERROR_LOCK_VIOLATION, "LockFileEx")
            win32file.UnlockFileEx(handles[1], 0, -0x10000, place)
            with pytest.raises(pywintypes.error) as caught:
                win32file.UnlockFileEx(handles[1], 0, -0x10000, place)
            assert caught.value.winerror == winerror.ERROR_NOT_LOCKED
            win32file.UnlockFileEx(handles[0], 0, -0x10000, place)
            win32file.LockFileEx(handles[1], now | alone, 0, -0x10000, place)
            # A reader through the handle is kept out; a program that shares nothing with namedmap is not.
            with pytest.raises(pywintypes.error, match="cannot be read"):
                win32file.ReadFile(handles[0], 5)
            assert win32file.ReadFile(handles[1], 5)[1] == one.read(5) == b"01234"

    def test_the_file_is_closed(self, a_dat: Path) -> None:
        """The locks of its handle end, and with the number of another file nothing can be locked by mistake."""
        with open(a_dat, "r+b") as one:
            handle = win32file._get_osfhandle(one.fileno())
            win32file.LockFileEx(handle, win32con.LOCKFILE_EXCLUSIVE_LOCK, 10, 0, pywintypes.OVERLAPPED())
            number = one.fileno()
        (a_dat.parent / "b.dat").write_bytes(b"other")
        with open(a_dat.parent / "b.dat", "r+b") as other, open(a_dat, "r+b") as again:
            assert other.fileno() == number
            with pytest.raises(pywintypes.error, match="was closed"):
                win32file.LockFileEx(handle, win32con.LOCKFILE_EXCLUSIVE_LOCK, 10, 0, pywintypes.OVERLAPPED())
            msvcrt.locking(again.fileno(), msvcrt.LK_NBLCK, 10)

    def test_a_forked_child(self, a_dat: Path) -> None:
        """It has the parent's open file, so that closing it there ends nothing here."""
        with open(a_dat, "r+b") as one, open(a_dat, "r+b") as two:
            msvcrt.locking(one.fileno(), msvcrt.LK_NBLCK, 10)
            with forked(one.close):
                pass
            with pytest.raises(PermissionError):
                msvcrt.locking(two.fileno(), msvcrt.LK_NBLCK, 10)
