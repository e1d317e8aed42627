"""A control page leads to a file: what lies at its path is looked at before it is opened."""

import binascii
import os
import stat
import subprocess
from pathlib import Path

import pytest

import namedmap
from calls import forgery, object_path, raw_lock
from calls.kernel import FLAG_FILE_BACKED, Control, Kind, locks
from child import NOBODY, Spawn, eventually
from child.users import needs_root
from namedmap import inspection

NAME = "Global\\forged"
PAGE = 4096


def over(path: Path | str, size: int = PAGE) -> Control:
    """The page of a section over what lies at a path, with its true device and inode."""
    info = os.stat(path)
    page = Control(Kind.SECTION, "forged", FLAG_FILE_BACKED, 4, 0x800000, size, size)
    page.backing_path, page.backing_device, page.backing_inode = str(path), info.st_dev, info.st_ino
    return page


@needs_root
def test_a_terminal(spawn: Spawn) -> None:
    """Another user's terminal, in another's section: a daemon that opens it gets no controlling terminal."""
    master, slave = os.openpty()
    try:
        name = os.ttyname(slave)
        os.fchown(slave, NOBODY, -1)
        for page in (over(name), Control(Kind.SECTION, "forged", 1, 4, 0, PAGE, PAGE, backing_path=name)):
            with forgery.alive(object_path(NAME), page, owner=NOBODY):
                daemon = spawn(prepare=os.setsid)
                assert not daemon.value(f"open_({NAME!r})")
                assert daemon.value("open('/proc/self/stat').read().rpartition(')')[2].split()[4]") == "0"
                daemon.run(f"""
                    from namedmap import inspection
                    try: inspection.residency({NAME!r})
                    except OSError: pass
                """)
                assert daemon.value("open('/proc/self/stat').read().rpartition(')')[2].split()[4]") == "0"
    finally:
        os.close(master)
        os.close(slave)


def test_a_fifo(tmp_path: Path) -> None:
    """It is not opened: a writer that waits for a reader goes on waiting."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o666)
    writer = subprocess.Popen(["/bin/sh", "-c", 'exec 3>"$1"', "-", str(fifo)])
    try:
        eventually(lambda: "fifo" in Path(f"/proc/{writer.pid}/wchan").read_text() or blocked(writer.pid), "an open")
        with forgery.alive(object_path(NAME), over(fifo)):
            with pytest.raises(namedmap.AccessDeniedError):
                namedmap.open(NAME, "read")
            with pytest.raises(namedmap.Error):
                inspection.residency(NAME)
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()


def blocked(pid: int) -> bool:
    """Whether a process sleeps in open or openat."""
    words = Path(f"/proc/{pid}/syscall").read_text().split()
    return words[0] in ("2", "257", "56")


@needs_root
@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK])
def test_a_device_of_its_owner(tmp_path: Path, kind: int) -> None:
    """Device and inode are right, and the owner's own: still not opened, since opening a device may do something."""
    device = tmp_path / "device"
    os.mknod(device, kind | 0o666, os.makedev(1, 5) if kind == stat.S_IFCHR else os.makedev(7, 200))
    os.chown(device, NOBODY, NOBODY)
    with forgery.alive(object_path(NAME), over(device), owner=NOBODY), pytest.raises(namedmap.AccessDeniedError):
        namedmap.open(NAME, "read")


def test_another_file_than_the_page_says(tmp_path: Path) -> None:
    """The path leads elsewhere by now: refused."""
    path = tmp_path / "data"
    path.write_bytes(bytes(PAGE))
    page = over(path)
    path.rename(tmp_path / "old")
    (tmp_path / "old").unlink()
    path.write_bytes(bytes(PAGE))
    page.backing_inode += 1 << 40
    with forgery.alive(object_path(NAME), page, 0o600), pytest.raises(namedmap.AccessDeniedError):
        namedmap.open(NAME, "read")


def test_a_page_that_others_can_write(tmp_path: Path) -> None:
    """Everybody may have put this path there: opened if everybody could open the file themselves, else refused."""
    path = tmp_path / "secret"
    path.write_bytes(b"secret".ljust(PAGE, b"\0"))
    path.chmod(0o600)
    with forgery.alive(object_path(NAME), over(path)):
        with pytest.raises(namedmap.AccessDeniedError, match="same mode"):
            namedmap.open(NAME, "read")
        path.chmod(0o666)
        with namedmap.open(NAME) as section, section.view() as view:
            assert bytes(view[:6]) == b"secret"


@pytest.mark.parametrize("length", [98_299, 1 << 30, 0xFFFFFFFF])
@pytest.mark.parametrize("what", ["name", "path"])
def test_a_text_that_fills_memory(length: int, what: str, spawn: Spawn) -> None:
    """A sparse file with a text that no name or path can be: refused unread, by whoever opens, creates or lists."""
    path = object_path(NAME)
    page = Control(Kind.EVENT, "x" * 5000)
    forgery.write(path, page)
    os.truncate(path, 0)
    lengthen(path, page, length, what)
    with raw_lock(path, locks.LIVENESS, exclusive=False):
        child = spawn()
        child.run("import resource; from namedmap import inspection")
        before = child.value("resource.getrusage(resource.RUSAGE_SELF).ru_maxrss")
        assert child.value(f"[win32.OpenEvent(1, False, {NAME!r}), win32.GetLastError()]") == [None, 1392]
        assert child.value(f"[create({NAME!r}), win32.GetLastError()]") == [None, 1392]
        assert child.value("[each.status for each in inspection.objects()]") == ["damaged"]
        assert child.value("resource.getrusage(resource.RUSAGE_SELF).ru_maxrss") < before + 50_000
    path.unlink()


def lengthen(path: Path, page: Control, length: int, what: str) -> None:
    """Write a page whose text lies in a hole before it."""
    page.name, page.backing_path = "", ""
    _, content, _ = page.build()
    head = bytearray(content[:112])
    head[64:72] = (0).to_bytes(8, "little")
    at = 72 if what == "name" else 76
    head[at : at + 4] = length.to_bytes(4, "little")
    content = bytes(head) + binascii.crc32(head).to_bytes(4, "little") + content[116:]
    with open(path, "r+b") as file:
        file.truncate(length + 4096)
        file.seek(length)
        file.write(content[:4096])
