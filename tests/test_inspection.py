"""Looking at objects, at the system and at pages: what is told is so, and looking changes nothing."""

import contextlib
import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

import namedmap
from calls.kernel import locks, namespace, system
from child import Spawn, eventually
from child.users import needs_root
from namedmap import inspection

OBJECT = {
    "name", "kind", "status", "problem", "size", "used", "owner", "mode", "creator", "created", "age", "handles",
    "unseen", "waiters", "holders", "state", "protection", "reserved", "file", "path", "views",
}  # fmt: skip
HOLDER = {"pid", "command", "handles", "owner"}
VIEW = {"pid", "command", "address", "size", "offset", "access"}
PAGE = 4096


def only(name: str) -> inspection.ObjectInfo:
    [found] = [each for each in inspection.objects() if each.name == name]
    return found


class TestObjects:
    def test_nothing_is_there_at_first(self) -> None:
        """Without objects the list is empty."""
        assert inspection.objects() == []

    def test_a_section_is_described(self) -> None:
        """Kind, sizes, creator, age, protection and holder of a section are told."""
        with namedmap.create("a section", 10_000):
            found = only("a section")
        assert (found.kind, found.status, found.size, found.problem) == ("section", "live", 10_000, None)
        assert (found.used or 0) >= 12_288
        assert (found.creator, found.owner, found.mode) == (os.getpid(), os.geteuid(), "0600")
        assert found.created is not None
        assert found.age is not None
        assert abs(time.time() - found.created - found.age) < 60
        assert (found.protection, found.reserved, found.file) == ("PAGE_READWRITE", False, None)
        assert [(each.pid, each.handles, each.owner) for each in found.holders] == [(os.getpid(), 1, False)]
        assert (found.handles, found.unseen, found.views) == (1, 0, None)
        assert Path(found.path or "").name == "a%20section"

    def test_states_of_what_can_be_waited_for(self) -> None:
        """Mutex, semaphore and event tell their state."""
        mutex, semaphore = namedmap.Mutex("m"), namedmap.Semaphore("Global\\s", 2, 5)
        auto, manual = namedmap.Event("auto", manual=False), namedmap.Event("manual", signaled=True)
        with contextlib.closing(mutex), contextlib.closing(semaphore), contextlib.closing(auto):
            assert only("m").state == {"owned": False, "abandoned": False}
            with mutex:
                assert only("m").state == {"owned": True, "abandoned": False}
                assert only("m").holders[0].owner
            semaphore.acquire()
            assert only("Global\\s").state == {"value": 1, "maximum": 5}
            assert only("auto").state == {"set": False, "manual": False}
            assert only("manual").state == {"set": True, "manual": True}
        manual.close()

    def test_all_processes_are_counted(self, spawn: Spawn) -> None:
        """Handles and holders are those of all processes."""
        child = spawn()
        child.run('h = [create("shared"), open_("shared")]')
        found = only("shared")
        assert [(each.pid, each.handles) for each in found.holders] == [(child.pid, 2)]
        assert "-c" in found.holders[0].command
        with namedmap.open("shared"):
            found = only("shared")
            assert found.handles == 3
            assert {each.pid: each.handles for each in found.holders} == {child.pid: 2, os.getpid(): 1}

    def test_a_waiter_is_counted(self, spawn: Spawn) -> None:
        """Threads that wait are told."""
        event = namedmap.Event("e", manual=False)
        child = spawn()
        child.run('import namedmap; e = namedmap.Event.open("e")')
        child.start("run", "e.wait()")
        eventually(lambda: only("e").waiters == 1, "the wait of a child")
        event.set()
        child.finish()
        event.close()

    def test_looking_holds_nothing(self, spawn: Spawn) -> None:
        """An object that was looked at ends with its last holder."""
        child = spawn()
        child.run('h = create("gone")')
        watched = inspection.Watched("gone")
        assert watched.alive()
        assert inspection.info("gone").handles == 1
        child.end()
        assert not watched.alive()
        assert inspection.objects() == []

    def test_another_object_of_the_name_is_another(self) -> None:
        """A watcher of an object is not misled by a new one with its name."""
        first = namedmap.create("again", 100)
        watched = inspection.Watched("again")
        first.close()
        with namedmap.create("again", 100):
            assert not watched.alive()

    @pytest.mark.leaves_dead_files
    def test_the_dead_are_listed(self, spawn: Spawn) -> None:
        """A file that a killed process leaves is dead: without holders, and neither swept nor revived by looking."""
        child = spawn()
        child.run('h = create("corpse", 1 << 20)')
        child.kill()
        for _ in range(2):
            found = only("corpse")
            assert (found.status, found.handles, found.holders) == ("dead", 0, ())
            assert found.size == 1 << 20
        assert inspection.info("corpse").status == "dead"

    @pytest.mark.leaves_dead_files
    def test_an_abandoned_mutex(self, spawn: Spawn) -> None:
        """A mutex whose owner was killed is abandoned, and owned by nobody."""
        child = spawn()
        child.run('h = win32.CreateMutex(None, True, "m")')
        mutex = namedmap.Mutex.open("m")
        assert only("m").state == {"owned": True, "abandoned": False}
        child.kill()
        assert only("m").state == {"owned": False, "abandoned": True}
        mutex.close()

    def test_a_damaged_file(self, private_root: Path) -> None:
        """A file that is in use but no object is told as damaged, with the reason."""
        place = private_root / f"namedmap-{os.geteuid()}"
        with namedmap.create("other", 1):
            path = place / "broken"
            path.write_bytes(b"no object")
            fd = os.open(path, os.O_RDWR)
            locks.try_lock(fd, locks.LIVENESS)
            found = only("broken")
            os.close(fd)
            assert (found.status, found.kind, found.name) == ("damaged", "unknown", "broken")
            assert found.problem
            path.unlink()
            path.symlink_to("/etc/passwd")
            assert only("broken").status == "damaged"
            path.unlink()

    def test_names_that_are_hashed(self) -> None:
        """A name that does not fit into a file name is told whole, and found."""
        name = "ü" * 300
        with namedmap.create(name, 1):
            assert [each.name for each in inspection.objects()] == [name]
            assert inspection.info(name).name == name
            assert inspection.names() == [name]

    @pytest.mark.parametrize("name", ["nothing", "Global\\nothing", ""])
    def test_no_such_object(self, name: str) -> None:
        """An object that is not there is a NotFoundError."""
        with pytest.raises(namedmap.NotFoundError, match="nobody holds"):
            inspection.info(name)

    def test_a_name_that_cannot_be(self) -> None:
        """A bad name is told as everywhere."""
        with pytest.raises(namedmap.BadValueError):
            inspection.info("a\\b")


class TestViews:
    def test_views_of_all_processes(self, spawn: Spawn) -> None:
        """`info` lists who has pages of a section, also without a handle, with access and offset."""
        with namedmap.create("seen", 300_000) as mapping, mapping.view(65536 * 2, 4096), mapping.view(access="read"):
            child = spawn()
            child.run('h = open_("seen"); v = view(h); win32.CloseHandle(h)')
            found = inspection.info("seen").views
            assert found is not None
            own = sorted((each.offset, each.access) for each in found if each.pid == os.getpid())
            assert own == [(0, "read"), (131072, "write")]
            [other] = [each for each in found if each.pid == child.pid]
            assert (other.offset, other.access, other.size) == (0, "write", 303_104)
            assert [each.pid for each in inspection.info("seen").holders] == [os.getpid()]

    def test_views_of_a_file(self, a_dat: Path) -> None:
        """The views of a section over a file are those of the file."""
        with namedmap.map_file(a_dat, name="over file") as mapping, mapping.view(access="copy"):
            found = inspection.info("over file")
            assert (found.file, found.protection, found.size) == (str(a_dat), "PAGE_READONLY", 10)
            assert found.views is not None
            assert [each.access for each in found.views] == ["copy"]

    def test_reserved_memory_is_told(self) -> None:
        """A section whose pages are committed one by one says so."""
        with namedmap.create("reserved", 1 << 20, reserve=True):
            assert only("reserved").reserved


class TestShape:
    def test_of_objects(self) -> None:
        """The JSON of an object has the documented fields, and those of holders and views."""
        with namedmap.create("shape", 1) as mapping, mapping.view():
            found = json.loads(json.dumps(inspection.info("shape").as_dict()))
        assert set(found) == OBJECT
        assert set(found["holders"][0]) == HOLDER
        assert set(found["views"][0]) == VIEW

    def test_of_the_rest(self, a_dat: Path) -> None:
        """The JSON of findings, leftovers and pages has the documented fields."""
        assert {each for found in inspection.doctor() for each in found.as_dict()} == {"level", "what", "remedy"}
        assert set(inspection.residency(a_dat).as_dict()) == {
            "source", "size", "page", "pages", "resident", "dirty", "writeback", "runs", "complete",
        }  # fmt: skip
        names = [each.name for each in dataclasses.fields(inspection.Leftover)]
        assert names == ["name", "kind", "used", "owner", "path", "removed"]


class TestCollect:
    @pytest.mark.leaves_dead_files
    def test_removes_the_dead_only(self, spawn: Spawn) -> None:
        """Files of the dead go, those of the living stay; a dry run removes nothing."""
        child = spawn()
        child.run('h = create("dead"), create("Global\\\\dead"), win32.CreateMutex(None, True, "dead mutex")')
        child.kill()
        with namedmap.create("alive", 1):
            told = inspection.collect(dry_run=True)
            assert [(each.name, each.removed) for each in told] == [
                ("dead", False), ("dead mutex", False), ("Global\\dead", False),
            ]  # fmt: skip
            assert all(each.path and os.path.exists(each.path) for each in told)
            removed = inspection.collect()
            assert [(each.name, each.kind, each.removed) for each in removed] == [
                ("dead", "section", True), ("dead mutex", "mutex", True), ("Global\\dead", "section", True),
            ]  # fmt: skip
            assert not any(each.path and os.path.exists(each.path) for each in removed)
            assert [each.name for each in inspection.objects()] == ["alive"]
            namedmap.open("alive").close()
        assert inspection.collect() == []

    def test_never_removes_a_live_object(self, spawn: Spawn, tmp_path: Path) -> None:
        """While others create, open and close without end, the collector never takes a name from them."""
        children = [spawn() for _ in range(2)]
        for number, child in enumerate(children):
            child.run(
                f"""
                import namedmap
                def work():
                    rounds = 0
                    while not os.path.exists({str(tmp_path / "over")!r}):
                        with namedmap.create("race{number}", 4096) as mapping, mapping.view() as view:
                            view[:4] = rounds.to_bytes(4, "little")
                            with namedmap.open("race{number}", "read") as other, other.view() as reader:
                                assert reader.unpack("<I", 0) == (rounds,)
                        mutex = namedmap.Mutex("shared race")
                        namedmap.Mutex.open("shared race").close()
                        mutex.close()
                        rounds += 1
                    return rounds
                """
            )
            child.start("value", "work()")
        eventually(lambda: bool(inspection.objects()), "the first object of a child")
        try:
            for _ in range(100):
                # Nobody was killed. But of two that close the mutex at once, each has dropped its lock before it looks
                # for the other's: until the later one has removed the file, nobody holds it, and the collector may.
                assert {each.name for each in inspection.collect()} <= {"shared race"}
                odd = [each for each in inspection.objects() if each.status in ("dead", "damaged")]
                assert {(each.name, each.status) for each in odd} <= {("shared race", "dead")}
        finally:
            (tmp_path / "over").touch()
        assert all(child.finish() > 0 for child in children)

    @needs_root
    @pytest.mark.leaves_dead_files
    def test_what_others_have_left(self, spawn: Spawn, second_user: int) -> None:
        """The dead files of another user are told with their owner, and stay."""
        child = spawn(uid=second_user)
        child.run('h = create("Global\\\\theirs", 4096, "D:(A;;GA;;;WD)")')
        path = inspection.info("Global\\theirs").path or ""
        assert only("Global\\theirs").owner == second_user
        child.kill()
        [told] = inspection.collect()
        assert (told.name, told.owner, told.removed) == ("Global\\theirs", second_user, False)
        assert any(each.level == "warning" and path in each.what for each in inspection.doctor())
        os.unlink(path)

    def test_a_directory_of_somebody_else_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_dat: Path
    ) -> None:
        """Files that a planted link leads to are no leftovers."""
        root = tmp_path / "root"
        root.mkdir()
        (root / f"namedmap-{os.geteuid()}").symlink_to(a_dat.parent)
        monkeypatch.setenv("NAMEDMAP_ROOT", str(root))
        with pytest.raises(namedmap.AccessDeniedError):
            inspection.collect()
        assert a_dat.exists()


class TestSecondUser:
    def test_others_objects_are_theirs(self, spawn: Spawn, second_user: int) -> None:
        """Another user sees a global object, whose file is closed to others, and none of the local ones."""
        with namedmap.create("Global\\closed", 1), namedmap.create("private", 1):
            child = spawn(uid=second_user)
            child.run("from namedmap import inspection")
            seen: list[dict[str, Any]] = child.value("[each.as_dict() for each in inspection.objects(everyone=True)]")
        assert [(each["name"], each["status"], each["owner"]) for each in seen] == [("Global\\closed", "unreadable", 0)]

    def test_holders_that_cannot_be_seen(self, spawn: Spawn, second_user: int) -> None:
        """Handles of processes that /proc hides are counted as unseen."""
        with namedmap.create("Global\\open", 1, mode=0o666):
            child = spawn(uid=second_user)
            child.run("from namedmap import inspection")
            seen: dict[str, Any] = child.value('inspection.info("Global\\\\open").as_dict()')
        assert (seen["handles"], seen["unseen"], seen["holders"]) == (1, 1, [])

    def test_everyone_is_for_root(self, spawn: Spawn, second_user: int) -> None:
        """Root sees the local objects of others when it asks for everyone's."""
        child = spawn(uid=second_user)
        child.run('h = create("local of theirs")')
        assert inspection.objects() == []
        [found] = inspection.objects(everyone=True)
        assert (found.name, found.owner, found.holders[0].pid) == ("local of theirs", second_user, child.pid)

    def test_pages_are_not_told_to_strangers(self, spawn: Spawn, second_user: int, a_dat: Path) -> None:
        """A user who neither owns nor may write to a file is refused rather than misled."""
        for place in (a_dat, *a_dat.parents):
            if place.stat().st_uid == os.geteuid() and len(place.parts) > 2:
                place.chmod(place.stat().st_mode | 0o055)
        child = spawn(uid=second_user)
        child.run("import namedmap; from namedmap import inspection")
        child.run(
            f"""
            try:
                inspection.residency({str(a_dat)!r})
            except namedmap.AccessDeniedError as error:
                text = str(error)
            """
        )
        assert "only its owner" in child.value("text")


class TestDoctor:
    def test_levels(self) -> None:
        """Every finding has a level; what is not ok has a remedy, what is ok has none."""
        found = inspection.doctor()
        assert {each.level for each in found} <= {"ok", "note", "warning", "problem"}
        assert all(bool(each.remedy) == (each.level != "ok") for each in found)
        assert not [each for each in found if each.level == "problem"]

    @pytest.mark.leaves_dead_files
    def test_leftovers(self, spawn: Spawn) -> None:
        """Files that the dead have left are found."""
        child = spawn()
        child.run('h = create("dead", 1 << 20)')
        child.kill()
        [found] = [each for each in inspection.doctor() if "dead objects" in each.what]
        assert (found.level, found.remedy) == ("note", "namedmap gc")

    def test_a_place_that_cannot_be_used(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A root that others could change is a problem, told in full."""
        tmp_path.chmod(0o777)
        monkeypatch.setenv("NAMEDMAP_ROOT", str(tmp_path))
        [found] = [each for each in inspection.doctor() if each.level == "problem"]
        assert "sticky" in found.what

    def test_a_place_on_a_disk(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A root that is not in memory is worth a warning, if it is on a disk."""
        monkeypatch.setenv("NAMEDMAP_ROOT", str(tmp_path))
        mount = system.mount_of(str(tmp_path))
        assert mount is not None
        found = [each for each in inspection.doctor() if "not tmpfs" in each.what]
        assert bool(found) == (mount.kind != "tmpfs")

    @pytest.mark.parametrize(
        ("configured", "lingers", "level"), [("yes", False, "warning"), ("yes", True, "ok"), ("no", False, "ok")]
    )
    def test_the_login_manager(
        self, monkeypatch: pytest.MonkeyPatch, configured: str, lingers: bool, level: str
    ) -> None:
        """logind's RemoveIPC is a hazard for users who do not linger."""
        isdir = os.path.isdir
        monkeypatch.setattr(os.path, "isdir", lambda path: path == "/run/systemd/system" or isdir(path))
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.delenv("NAMEDMAP_ROOT")
        monkeypatch.setattr(system, "_removes_ipc", lambda: configured == "yes")
        monkeypatch.setattr(system, "_lingers", lambda uid: lingers)
        [found] = system._login(namespace.fresh_one())
        assert found[0] == level


class TestResidency:
    def test_of_shared_memory(self) -> None:
        """Pages of a section that were touched are in memory."""
        with namedmap.create("pages", 16 * PAGE) as mapping, mapping.view() as view:
            view[3 * PAGE] = view[4 * PAGE] = view[9 * PAGE] = 1
            found = inspection.residency("pages")
        assert found.runs == ((3 * PAGE, 2 * PAGE), (9 * PAGE, PAGE))
        assert (found.pages, found.resident) == (16, 3)
        assert [index for index, share in enumerate(found.cells(16)) if share] == [3, 4, 9]
        assert found.cells(1) == [3 / 16]
        assert found.cells(4) == [0.25, 0.25, 0.25, 0.0]

    def test_of_a_file(self, directory: Path) -> None:
        """A file that was just written is in memory and dirty; a part of a page counts as one."""
        path = directory / "file"
        path.write_bytes(b"x" * (5 * PAGE + 1))
        found = inspection.residency(path)
        assert (found.pages, found.resident, found.runs) == (6, 6, ((0, 5 * PAGE + 1),))
        assert found.dirty in (None, 6) or system.mount_of(str(directory)) is not None
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        assert inspection.residency(path).dirty in (None, 0)

    def test_evict_and_prefetch(self, directory: Path) -> None:
        """Pages that are dropped are gone, pages that are read ahead are there; progress goes up to the size."""
        mount = system.mount_of(str(directory))
        if mount is None or mount.kind == "tmpfs":
            pytest.skip("temporary files are in memory here")
        path = directory / "file"
        path.write_bytes(os.urandom(3 * 1048576 + 7))
        inspection.evict(path)
        assert inspection.residency(path).resident == 0
        calls: list[tuple[int, int]] = []
        inspection.prefetch(path, lambda done, total: calls.append((done, total)))
        assert inspection.residency(path).resident == inspection.residency(path).pages
        assert calls[-1] == (3 * 1048576 + 7, 3 * 1048576 + 7)

    def test_memory_cannot_be_dropped(self) -> None:
        """A section that lives in memory has no other place, and that is said."""
        with namedmap.create("pages", 1), pytest.raises(namedmap.Error, match="no other place"):
            inspection.evict("pages")

    def test_empty_and_sparse_files(self, directory: Path) -> None:
        """An empty file has no pages; one of 8 TiB with a byte in it is looked at in bounded time."""
        path = directory / "file"
        path.touch()
        assert (inspection.residency(path).pages, inspection.residency(path).runs) == (0, ())
        with open(path, "r+b") as file:
            os.truncate(file.fileno(), 8 << 40)
            os.pwrite(file.fileno(), b"x", 5 << 40)
        found = inspection.residency(path)
        assert found.runs[0][0] <= 5 << 40 < sum(found.runs[-1])
        assert found.resident < 10_000

    def test_paths_and_names(self, a_dat: Path) -> None:
        """A str is a path if it has a slash or such a file exists; a name otherwise."""
        assert inspection.residency("a.dat").size == 10
        assert inspection.is_path("./nothing")
        assert not inspection.is_path("nothing")
        with namedmap.create("a.dat", 2 * PAGE):
            assert inspection.residency("a.dat").size == 10
            assert inspection.residency("Local\\a.dat").size == 2 * PAGE

    @pytest.mark.parametrize(
        ("what", "error"),
        [("nothing", namedmap.NotFoundError), ("./nothing", namedmap.NotFoundError), ("/dev", namedmap.Error),
         ("/dev/null", namedmap.BadValueError), ("mutex", namedmap.Error)],
    )  # fmt: skip
    def test_what_has_no_pages(self, what: str, error: type[namedmap.Error]) -> None:
        """An object that is not there, or no memory, is a clear error."""
        with contextlib.closing(namedmap.Mutex("mutex")), pytest.raises(error):
            inspection.residency(what)


class TestLoading:
    def test_the_package_is_loaded_at_first_use(self, spawn: Spawn) -> None:
        """`import namedmap` loads nothing else; the first name loads them all, and `dir` has them."""
        child = spawn()
        child.run(
            """
            import subprocess
            code = "import sys, namedmap; sys.stdout.write(str([n for n in sys.modules if n.startswith('namedmap.')]))"
            loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
            code = '''if True:
                import sys, namedmap
                namedmap.Mutex, namedmap.errors.Error, namedmap.win32.CreateMutex, namedmap.open
                try: namedmap.nothing
                except AttributeError as error: text = str(error)
                sys.stdout.write(repr((text, set(namedmap.__all__) <= set(dir(namedmap)))))'''
            found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
            """
        )
        assert child.value("loaded") == "[]"
        assert child.value("found") == repr(("module 'namedmap' has no attribute 'nothing'", True))
