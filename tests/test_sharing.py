"""Share modes, and what a mapping demands of later opens: the rules, between handles and between processes."""

import itertools
import os
import threading
import time
from pathlib import Path

import pytest

from calls import as_system_call, close, failed, message
from calls.files import ALL, BOTH, READ, WRITE, open_file, opened, read, refused, run, running, section_of, start, write
from calls.kernel import locks, sharemodes
from child import NOBODY, WATCHDOG
from child.users import needs_root, public_directory
from namedmap import win32

ACCESSES = (
    0,
    READ,
    WRITE,
    win32.DELETE,
    READ | WRITE | win32.DELETE,
    win32.GENERIC_EXECUTE,
    win32.FILE_APPEND_DATA,
    win32.FILE_READ_EA,
    win32.FILE_WRITE_ATTRIBUTES,
)
SHARES = range(8)
PROTECTIONS = (win32.PAGE_READONLY, win32.PAGE_WRITECOPY, win32.PAGE_READWRITE)


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a.dat"
    file.write_bytes(bytes(5000))
    return file


def needed(access: int) -> int:
    """The FILE_SHARE_* bits that others must grant for an access."""
    reads = access & (READ | win32.GENERIC_EXECUTE)
    writes = access & (WRITE | win32.FILE_APPEND_DATA)
    return (
        (win32.FILE_SHARE_READ if reads else 0)
        | (win32.FILE_SHARE_WRITE if writes else 0)
        | (win32.FILE_SHARE_DELETE if access & win32.DELETE else 0)
    )


def compatible(first: int, first_share: int, second: int, second_share: int) -> bool:
    """Whether two opens go together: each shares what the other needs, and who needs nothing restricts nobody."""
    wants, others_want = needed(first), needed(second)
    granted = first_share if wants else ALL
    others_grant = second_share if others_want else ALL
    return not wants & ~others_grant and not others_want & ~granted


@pytest.mark.parametrize("access", ACCESSES)
def test_two_opens_go_together_if_each_shares_what_the_other_does(access: int) -> None:
    for share, other, other_share in itertools.product(SHARES, ACCESSES, SHARES):
        first = opened("a.dat", access, share)
        second = open_file("a.dat", other, other_share)
        case = f"{access:#x}/{share} then {other:#x}/{other_share}"
        if compatible(access, share, other, other_share):
            assert second != win32.INVALID_HANDLE_VALUE, case
            close(second)
        else:
            assert second == win32.INVALID_HANDLE_VALUE, case
            assert win32.GetLastError() == win32.ERROR_SHARING_VIOLATION
        close(first)


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_a_writable_mapping_demands_that_writing_is_shared_also_after_the_file_is_closed(protection: int) -> None:
    file = opened("a.dat", share=0)
    mapping = section_of(file, protection)
    close(file)
    for access, share in itertools.product(ACCESSES, SHARES):
        handle = open_file("a.dat", access, share)
        if protection == win32.PAGE_READWRITE and not share & win32.FILE_SHARE_WRITE:
            assert handle == win32.INVALID_HANDLE_VALUE, f"{access:#x}/{share}"
            assert win32.GetLastError() == win32.ERROR_SHARING_VIOLATION
        else:
            assert handle != win32.INVALID_HANDLE_VALUE, f"{access:#x}/{share}"
            close(handle)
    assert refused("a.dat", WRITE, disposition=win32.CREATE_ALWAYS) == win32.ERROR_USER_MAPPED_FILE
    close(opened("a.dat", READ, flags=win32.FILE_FLAG_DELETE_ON_CLOSE))
    close(mapping)


def test_a_file_shared_with_nobody_can_be_mapped_by_its_own_handle() -> None:
    file = opened("a.dat", share=0)
    mappings = section_of(file, win32.PAGE_READWRITE), section_of(file)
    assert refused("a.dat", READ) == win32.ERROR_SHARING_VIOLATION
    close(file, *mappings)


def test_a_view_alone_keeps_the_mapping_alive() -> None:
    file = opened("a.dat")
    mapping = section_of(file, win32.PAGE_READWRITE)
    view = win32.MapViewOfFile(mapping, win32.FILE_MAP_READ, 0, 0, 0)
    close(file, mapping)
    assert refused("a.dat", READ, win32.FILE_SHARE_READ) == win32.ERROR_SHARING_VIOLATION
    assert view
    assert win32.UnmapViewOfFile(view)
    close(opened("a.dat", READ, win32.FILE_SHARE_READ))


@pytest.mark.parametrize("access", [0, READ, WRITE, BOTH])
def test_overwriting_counts_as_writing(access: int) -> None:
    holder = opened("a.dat", READ, win32.FILE_SHARE_READ)
    assert refused("a.dat", access, disposition=win32.CREATE_ALWAYS) == win32.ERROR_SHARING_VIOLATION
    assert os.path.getsize("a.dat") == 5000
    close(holder)
    handle = opened("a.dat", access, disposition=win32.CREATE_ALWAYS)
    assert os.path.getsize("a.dat") == 0
    if not access & WRITE:
        # Only for that moment: the handle itself does not write.
        close(opened("a.dat", READ, win32.FILE_SHARE_READ))
    close(handle)


def test_a_refused_open_leaves_no_trace() -> None:
    holder = opened("a.dat", READ, ALL & ~int(win32.FILE_SHARE_WRITE))
    assert refused("a.dat", BOTH, 0) == win32.ERROR_SHARING_VIOLATION
    close(opened("a.dat", READ | win32.DELETE), holder)


def test_a_duplicate_keeps_the_share_mode() -> None:
    handle, twin, me = opened("a.dat", share=0), win32.HANDLE(), win32.GetCurrentProcess()
    assert win32.DuplicateHandle(me, handle, me, twin, 0, False, win32.DUPLICATE_SAME_ACCESS)
    close(handle)
    assert refused("a.dat") == win32.ERROR_SHARING_VIOLATION
    assert twin.value
    close(twin.value)
    close(opened("a.dat", share=0))


def test_other_names_of_the_file_are_the_same_file() -> None:
    os.link("a.dat", "b.dat")
    os.symlink("a.dat", "c.dat")
    handle = opened("a.dat", share=0)
    assert refused("b.dat") == refused("c.dat") == win32.ERROR_SHARING_VIOLATION
    close(handle)


class TestBetweenProcesses:
    @pytest.mark.parametrize(
        ("access", "share"), [(READ, 0), (BOTH, 1), (WRITE, 2), (win32.DELETE, 5), (0, 0), (BOTH, 7)]
    )
    def test_the_same_rules(self, access: int, share: int) -> None:
        with running(f"opened('a.dat', {access}, {share})"):
            for other, other_share in itertools.product(ACCESSES, SHARES):
                handle = open_file("a.dat", other, other_share)
                assert (handle != win32.INVALID_HANDLE_VALUE) == compatible(access, share, other, other_share)
                if handle != win32.INVALID_HANDLE_VALUE:
                    close(handle)

    def test_the_message_names_the_process_that_stands_in_the_way(self) -> None:
        with running("opened('a.dat', READ, win32.FILE_SHARE_READ)") as child:
            time.sleep(1.1)  # a search for the holder is made once a second at most
            assert refused("a.dat", WRITE) == win32.ERROR_SHARING_VIOLATION
            assert f"process {child.pid} " in message()
            assert "writing is not shared" in message()
        handle = opened("a.dat", READ, win32.FILE_SHARE_READ)
        assert refused("a.dat", WRITE) == win32.ERROR_SHARING_VIOLATION
        assert "by this process" in message()
        close(handle)

    @pytest.mark.parametrize("mapped", [False, True])
    def test_a_killed_process_holds_nothing(self, mapped: bool) -> None:
        script = "h = opened('a.dat', share=0)\n" + ("m = section_of(h, win32.PAGE_READWRITE)\n" if mapped else "")
        with running(script) as child:
            assert refused("a.dat", READ, 0) == win32.ERROR_SHARING_VIOLATION
            child.kill()
            child.wait()
            close(opened("a.dat", disposition=win32.CREATE_ALWAYS, share=0))

    def test_a_mapping_of_another_process_keeps_the_file_from_shrinking(self) -> None:
        with running("h = opened('a.dat'); m = section_of(h); close(h)") as child:
            file = opened("a.dat")
            assert failed(win32.SetEndOfFile(file)) == win32.ERROR_USER_MAPPED_FILE
            assert failed(win32.DeleteFile("a.dat")) == win32.ERROR_ACCESS_DENIED
            child.kill()
            child.wait()
            assert win32.SetEndOfFile(file)
            close(file)
        assert win32.DeleteFile("a.dat")

    def test_a_stopped_process_under_the_guard_is_an_error_that_names_it_not_a_hang(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locks, "GUARD_TIMEOUT", 0.2)
        script = f"""
            from calls.kernel import locks
            fd = os.open('a.dat', os.O_RDWR)
            locks.take_guard(fd, 'x', {sharemodes.SHARE_GUARD})
        """
        with running(script) as child:
            assert refused("a.dat") == win32.ERROR_LOCK_VIOLATION
            assert f"process {child.pid} " in message()
        close(opened("a.dat"))


class TestRacingReaders:
    """Openers that may only read cannot lock the guard exclusively; still one of two that exclude each other wins."""

    def test_one_of_two_wins(self, path: Path) -> None:
        outcomes: list[list[bool]] = []
        begin, decided, over = (threading.Barrier(2, timeout=WATCHDOG) for _ in range(3))

        def contend(wins: list[bool]) -> None:
            for _ in range(200):
                begin.wait()
                handle = open_file("a.dat", READ, 0)
                wins.append(handle != win32.INVALID_HANDLE_VALUE)
                decided.wait()
                if wins[-1]:
                    close(handle)
                over.wait()

        outcomes = [[], []]
        threads = [threading.Thread(target=contend, args=(wins,)) for wins in outcomes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [first + second for first, second in zip(*outcomes, strict=True)] == [1] * 200

    def test_processes_never_hold_together_what_excludes(self, path: Path) -> None:
        script = """
            won = 0
            for _ in range(300):
                handle = open_file('a.dat', READ, 0)
                if handle != -1:
                    won += 1
                    os.mkdir('inside')
                    os.rmdir('inside')
                    win32.CloseHandle(handle)
            print(won)
        """
        children = [start(script) for _ in range(4)]
        wins = [int(child.communicate(timeout=60)[0]) for child in children]
        assert all(child.returncode == 0 for child in children)
        assert sum(wins) > 0  # which of them is up to the scheduler


@needs_root
class TestOtherUsers:
    def test_a_reader_holds_share_modes_against_root(self) -> None:
        with public_directory() as place:
            file = place / "a.dat"
            file.write_bytes(b"x")
            with running("opened(sys.argv[1], READ, 0)", str(file), uid=NOBODY):
                assert refused(file, BOTH) == win32.ERROR_SHARING_VIOLATION

    def test_a_writer_that_may_not_read_respects_share_modes_but_has_none(self) -> None:
        with public_directory() as place:
            file = place / "drop"
            file.touch()
            file.chmod(0o602)
            holder = opened(file, READ, win32.FILE_SHARE_READ)
            assert run("print(refused(sys.argv[1], WRITE))", str(file), uid=NOBODY) == "32\n"
            close(holder)
            with running("opened(sys.argv[1], WRITE, 0)", str(file), uid=NOBODY):
                close(opened(file, READ))


def test_a_filesystem_without_locks_has_no_share_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks, "_fcntl", as_system_call(refuse))
    first = opened("a.dat", share=0)
    second = opened("a.dat", share=0, disposition=win32.CREATE_ALWAYS)
    assert write(second, b"abc") == 3
    assert read(first, 3) == b"abc"
    assert win32.DeleteFile("a.dat")
    close(first, second)
