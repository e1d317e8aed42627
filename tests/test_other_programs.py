"""Other people's programs for Windows, from PyPI, unmodified; the games that they read are programs/telemetry.py.

Each is started with `python -m namedmap run`, in a process of its own. The tests add what the programs' own
documentation shows: a few lines that print what they have read.
"""

import contextlib
import ctypes
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from child import Child, Spawn, pypi
from namedmap import win32
from programs import telemetry

PROGRAMS = ("pyirsdk==1.3.7", "PyAccSharedMemory==1.0.0", "truck_telemetry==0.0.3", "RaceTelemetry==6.11.12.post2")
#: Without what they depend on: pywin32, which is for Windows only, or more than is used here.
ALONE = (
    "r3e-api==0.1.2",
    "setuptools==80.9.0",  # which r3e-api imports
    "jaraco.windows==5.10.0",
    "semaphore-win-ctypes==0.1.2",
    "winmutex==1.0.1",
    "pywin-mutex==1.0.0",
    "portalocker==2.10.1",
    "plumbum==1.9.0",
)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory with the programs installed in it."""
    place = tmp_path_factory.mktemp("programs")
    for wanted in (PROGRAMS, ("--no-deps", *ALONE)):
        pypi.install(place, *wanted)
    return str(place)


class Players:
    """Starts games and programs, each a process."""

    def __init__(self, spawn: Spawn, programs: str, directory: Path) -> None:
        self._spawn, self._programs, self._directory = spawn, programs, directory

    def game(self, name: str) -> Child:
        """A game that has written its first data."""
        script = "import os; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        child: Child = self._spawn(script, str(Path(telemetry.__file__)), name)
        assert child.line() == "ready"
        return child

    def program(self, text: str, *options: str) -> Child:
        """A program that uses an installed one."""
        path = self._directory / "program.py"
        path.write_text(text, encoding="utf-8")
        return pypi.run(self._spawn, self._programs, *options, str(path))


@pytest.fixture
def players(spawn: Spawn, programs: str, tmp_path: Path) -> Players:
    return Players(spawn, programs, tmp_path)


@contextlib.contextmanager
def win32_mutex(name: str) -> Iterator[int | None]:
    """A handle of ours to the mutex of this name."""
    handle = win32.CreateMutex(None, False, name)
    yield handle
    assert win32.CloseHandle(handle)


def end(child: Child) -> None:
    """Close its input; it must end well."""
    assert child.end() == 0


class TestCompetizione:
    """PyAccSharedMemory: a subclass of mmap.mmap, with tagname as a keyword."""

    READER = """if True:
        import sys
        from pyaccsharedmemory import accSharedMemory
        reader = accSharedMemory()
        print("open", reader.read_shared_memory() is None, flush=True)
        for line in sys.stdin:
            while (found := reader.read_shared_memory()) is None:
                pass
            physics, graphics, static = found.Physics, found.Graphics, found.Static
            print(physics.rpm, physics.speed_kmh, graphics.status.name, graphics.current_time_str.rstrip("\\0"),
                  static.track.rstrip("\\0"), static.player_name.rstrip("\\0"), static.max_rpm, flush=True)
        reader.close()
        """
    DATA = "7400 231.5 ACC_LIVE 1:47:250 monza Åsa 9250"

    @pytest.mark.parametrize("options", [(), ("--windows",)])
    def test_the_game_first(self, players: Players, options: tuple[str, ...]) -> None:
        """It joins the game's memory."""
        game = players.game("competizione")
        reader = players.program(self.READER, *options)
        assert reader.line() == "open False"
        reader.send("")
        assert reader.line() == self.DATA
        end(game)
        end(reader)

    def test_the_reader_first(self, players: Players) -> None:
        """It makes the memory, which the game joins; a game that is killed and started again goes on in it."""
        reader = players.program(self.READER)
        assert reader.line() == "open True"
        for _ in range(2):
            game = players.game("competizione")
            reader.send("")
            assert reader.line() == self.DATA
            assert game.kill() == -signal.SIGKILL
        end(reader)

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="the program needs ctypes.c_time_t, of Python 3.12")
    def test_structures_with_wide_text(self, players: Players) -> None:
        """RaceTelemetry: structures with arrays of c_wchar, of an installed package that nobody is told of Windows."""
        text = """if True:
            from RaceTelemetry import TelemetryManager
            from RaceTelemetry.DataStructures import ACC_MetaData
            manager = TelemetryManager()
            manager.updateMeta(ACC_MetaData)
            manager.isMultiThreaded(False)
            manager.useSharedMemory(True)
            for snapshot in manager.GetTelemetry():
                pages = snapshot["latestData"]
                if None not in pages.values():
                    break
            graphic, static = pages["SPageFileGraphicData"], pages["SPageFileStaticData"]
            print(pages["SPageFilePhysicsData"].rpm, graphic.currentTime, graphic.completedLaps, graphic.iBestTime,
                  static.carModel, static.track, static.playerName)
            """
        game = players.game("competizione")
        reader = players.program(text)
        assert reader.line() == "7400 1:47:250 4 107125 ferrari_296_gt3 monza Åsa"
        assert reader.wait() == 0
        end(game)


class TestRaceRoom:
    r"""r3e-api: mmap with a tag name as the third argument, read-only, of the name Local\$R3E."""

    def test_values(self, players: Players) -> None:
        """Numbers and texts are the game's, whoever is first."""
        text = """if True:
            import sys
            from r3e_api import R3ESharedMemory
            memory = R3ESharedMemory()
            for line in sys.stdin:
                memory.update_buffer()
                print(*map(memory.get_value, ("VersionMajor", "Player.Velocity.Z", "TrackName")), flush=True)
            """
        reader = players.program(text)
        reader.send("")
        assert reader.line() == "0 0.0 "
        game = players.game("raceroom")
        reader.send("")
        assert reader.line() == "2 54.0 Nürburgring"
        end(game)
        end(reader)


class TestIRacing:
    """pyirsdk: a tag name as the third positional argument, OpenEventW and WaitForSingleObject, and user32."""

    READER = """if True:
        import sys, time
        import irsdk
        ir = irsdk.IRSDK(parse_yaml_async="async" in sys.argv)
        print("started", ir.startup(), flush=True)
        while not ir.startup():
            time.sleep(0.02)
        print("connected", bool(ir.is_connected), flush=True)
        for line in sys.stdin:
            ir.freeze_var_buffer_latest()
            print(ir["Speed"], ir["Gear"], ir["CarIdxLap"], ir["WeekendInfo"]["TrackName"],
                  ir["DriverInfo"]["Drivers"][0]["UserName"], bool(ir.pit_command(irsdk.PitCommandMode.fuel, 20)),
                  bool(ir.is_connected), flush=True)
            ir.unfreeze_var_buffer_latest()
        ir.shutdown()
        """
    DATA = "55.25 4 [7, 7, 6, -1] spa José True True"

    @pytest.fixture(autouse=True)
    def _port(self) -> None:
        """The port on which the program asks whether the game runs is its own choice."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", 32034))
            except OSError:
                pytest.skip("another program has port 32034, which iRacing answers on")

    def test_the_game_first(self, players: Players) -> None:
        """It finds event and memory, reads variables and session, sends a command; the game may die meanwhile."""
        game = players.game("iracing")
        reader = players.program(self.READER)
        assert reader.line() in ("started True", "started False")  # it waits 32 ms for a new line, and tries again
        assert reader.line() == "connected True"
        reader.send("")
        assert reader.line() == self.DATA
        assert game.kill() == -signal.SIGKILL
        reader.send("")
        assert reader.line() == self.DATA
        end(reader)

    def test_the_reader_first(self, players: Players) -> None:
        """Without a game it waits, and connects when there is one."""
        reader = players.program(self.READER)
        assert reader.line().startswith("Failed to connect to sim")
        assert reader.line() == "started False"
        game = players.game("iracing")
        while (line := reader.line()).startswith("Failed"):
            pass
        assert line == "connected True"
        reader.send("")
        assert reader.line() == self.DATA
        end(game)
        end(reader)


class TestTrucks:
    """Programs that read a truck simulator, one through multiprocessing.shared_memory, one through mmap."""

    def test_shared_memory(self, players: Players) -> None:
        r"""truck_telemetry: SharedMemory of the name Local\..., which is not there before the game is."""
        text = """if True:
            import sys
            import truck_telemetry
            try:
                truck_telemetry.init()
            except FileNotFoundError:
                print("no game", flush=True)
            sys.stdin.readline()
            truck_telemetry.init()
            data = truck_telemetry.get_data()
            print(truck_telemetry.get_version_number(), *map(data.get, ("speed", "engineRpm", "gear", "truckBrand")))
            truck_telemetry.deinit()
            """
        reader = players.program(text)
        assert reader.line() == "no game"
        game = players.game("trucks")
        reader.send("")
        assert reader.line() == "12 22.5 1350.0 11 Škoda"
        assert reader.wait() == 0
        end(game)

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="the program needs ctypes.c_time_t, of Python 3.12")
    def test_mmap(self, players: Players) -> None:
        """RaceTelemetry: structures of ctypes over a mmap with tagname, read-only, in threads."""
        text = """if True:
            from RaceTelemetry import TelemetryManager
            from RaceTelemetry.DataStructures import ETS2_MetaData
            manager = TelemetryManager()
            manager.updateMeta(ETS2_MetaData)
            manager.isMultiThreaded(False)
            for snapshot in manager.GetTelemetry():
                data = snapshot["latestCommonData"]
                print(data.speed, data.engineRPM, data.gear)
                break
            """
        game = players.game("trucks")
        reader = players.program(text)
        assert reader.line() == "22.5 1350.0 11"
        assert reader.wait() == 0
        end(game)


class TestLocks:
    """Packages that keep one program, or one of its parts, from running twice."""

    HOLDER = """if True:
        import sys
        from {module} import {name} as Lock
        with Lock("{object}"):
            print("has it", flush=True)
            sys.stdin.readline()
        print("gave it back", flush=True)
        """

    @pytest.mark.parametrize(("module", "name"), [("winmutex", "WindowsMutex"), ("mutex", "Mutex")])
    def test_mutexes(self, players: Players, module: str, name: str) -> None:
        """winmutex, pywin-mutex: pywin32's win32event, win32api, winerror and win32con; the next gets it in turn."""
        text = self.HOLDER.format(module=module, name=name, object="program/lock")
        first = players.program(text)
        assert first.line() == "has it"
        second = players.program(text)
        with win32_mutex("program/lock") as handle:
            assert win32.WaitForSingleObject(handle, 50) == win32.WAIT_TIMEOUT
            first.send("")
            assert [first.line(), second.line()] == ["gave it back", "has it"]
            end(first)
            second.send("")
            assert second.line() == "gave it back"
            end(second)
            assert win32.WaitForSingleObject(handle, 0) == win32.WAIT_OBJECT_0
            assert win32.ReleaseMutex(handle)

    def test_semaphores(self, players: Players) -> None:
        """semaphore-win-ctypes: argtypes of wintypes, arguments made as such, c_long passed for a pointer to one."""
        text = """if True:
            import sys
            from semaphore_win_ctypes import Semaphore
            slots = Semaphore("program-slots").open()
            print(slots.getvalue(), flush=True)
            slots.acquire(timeout_ms=1000)
            print(slots.getvalue(), flush=True)
            sys.stdin.readline()
            slots.release()
            print(slots.release(2), slots.getvalue(), flush=True)
            slots.close()
            try:
                Semaphore("no-such-semaphore").open()
            except OSError as error:
                print(error.winerror)
            """
        handle = win32.CreateSemaphore(None, 2, 8, "program-slots")
        program = players.program(text)
        assert [program.line(), program.line()] == ["2", "1"]
        assert win32.WaitForSingleObject(handle, 0) == win32.WAIT_OBJECT_0
        program.send("")
        assert [program.line(), program.line()] == ["1 3", "2"]
        end(program)
        assert win32.CloseHandle(handle)


class TestLibraries:
    """jaraco.windows, whose parts paramiko has taken over to talk to Pageant."""

    def test_memory_with_security_attributes(self, players: Players) -> None:
        """Memory for this process's user, by SID, filled with RtlMoveMemory; an event, and WaitForMultiple."""
        text = """if True:
            import sys
            from jaraco.windows import mmap, security
            from jaraco.windows.api import event
            attributes = security.get_security_attributes_for_user()
            with mmap.MemoryMap("PageantRequest00001234", 8192, attributes) as memory:
                memory.write(b"request")
                made = event.CreateEvent(None, True, False, "program-answered")
                print("asked", flush=True)
                assert event.WaitForMultipleObjects([made], timeout=event.INFINITE) == event.WAIT_OBJECT_0
                memory.seek(0)
                print(memory.read(6).decode(), flush=True)
            """
        program = players.program(text)
        assert program.line() == "asked"
        section = win32.OpenFileMapping(win32.FILE_MAP_ALL_ACCESS, False, "PageantRequest00001234")
        view = win32.MapViewOfFile(section, win32.FILE_MAP_WRITE, 0, 0, 0)
        assert view
        assert ctypes.string_at(view) == b"request"
        ctypes.memmove(view, b"answer", 6)
        event = win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, "program-answered")
        assert win32.SetEvent(event)
        assert program.line() == "answer"
        end(program)
        assert win32.UnmapViewOfFile(view)
        assert all(map(win32.CloseHandle, (section, event)))


class TestSingleInstance:
    """The recipe of ActiveState (474070) for pywin32: a mutex, kept in a global, whose `__del__` closes it."""

    RECIPE = """if True:
        import sys
        from win32event import CreateMutex
        from win32api import CloseHandle, GetLastError
        from winerror import ERROR_ALREADY_EXISTS

        class singleinstance:
            def __init__(self):
                self.mutexname = "testmutex_{D0E858DF-985E-4907-B7FB-8D732C3FC3B9}"
                self.mutex = CreateMutex(None, False, self.mutexname)
                self.lasterror = GetLastError()

            def aleradyrunning(self):
                return (self.lasterror == ERROR_ALREADY_EXISTS)

            def __del__(self):
                if self.mutex:
                    CloseHandle(self.mutex)

        sys.stderr = sys.stdout
        myapp = singleinstance()
        print("another" if myapp.aleradyrunning() else "alone", flush=True)
        sys.stdin.read()
        """

    @pytest.mark.parametrize("options", [(), ("--windows",)])
    def test_one_after_the_other(self, players: Players, options: tuple[str, ...]) -> None:
        """The second is told; once the first has ended, however it ended, the next is alone; none complains."""
        first = players.program(self.RECIPE, *options)
        assert first.line() == "alone"
        second = players.program(self.RECIPE, *options)
        assert second.line() == "another"
        end(second)
        assert not second._buffer
        first.kill()
        third = players.program(self.RECIPE, *options)
        assert third.line() == "alone"
        end(third)


class TestPortalocker:
    """portalocker: its backend for Windows, on LockFileEx of pywin32 and handles of msvcrt."""

    HOLDER = """if True:
        import sys
        import portalocker
        print(portalocker.portalocker.LOCKER, sys.platform, flush=True)
        for line in sys.stdin:
            mode, flags = line.split()
            try:
                with open("data.lock", mode) as file:
                    portalocker.lock(file, eval(flags, vars(portalocker)))
                    print("locked", flush=True)
                    sys.stdin.readline()
                    portalocker.unlock(file)
                print("unlocked", flush=True)
            except portalocker.AlreadyLocked as error:
                print(type(error).__name__, flush=True)
        """

    def holder(self, players: Players) -> Child:
        child = players.program(self.HOLDER, "--own", "portalocker")
        assert child.line() == "None win32"
        return child

    def ask(self, child: Child, text: str) -> str:
        child.send(text)
        return child.line()

    def test_between_processes(self, players: Players, directory: Path) -> None:
        """One has the file alone, or many share it; a killed one lets go."""
        one, two = self.holder(players), self.holder(players)
        assert self.ask(one, "a+ LOCK_EX") == "locked"
        for flags in ("LOCK_EX|LOCK_NB", "LOCK_SH|LOCK_NB"):
            assert self.ask(two, f"a+ {flags}") == "AlreadyLocked"
        assert self.ask(one, "") == "unlocked"
        assert self.ask(two, "a+ LOCK_SH|LOCK_NB") == "locked"
        assert self.ask(one, "a+ LOCK_SH|LOCK_NB") == "locked"
        assert self.ask(one, "") == "unlocked"
        assert self.ask(one, "a+ LOCK_EX|LOCK_NB") == "AlreadyLocked"
        two.kill()
        assert self.ask(one, "a+ LOCK_EX|LOCK_NB") == "locked"
        assert self.ask(one, "") == "unlocked"
        end(one)

    def test_its_classes(self, players: Players, directory: Path) -> None:
        """Lock, RLock and TemporaryFileLock."""
        text = """if True:
            import portalocker
            with portalocker.Lock("a.lock", timeout=1) as file:
                try:
                    portalocker.Lock("a.lock", timeout=0.1, fail_when_locked=True).acquire()
                except portalocker.LockException as error:
                    print(type(error).__name__, flush=True)
                file.write("text")
            lock = portalocker.RLock("b.lock")
            with lock, lock:
                print("twice", flush=True)
            with portalocker.TemporaryFileLock("c.lock"):
                print("temporary", flush=True)
            """
        child = players.program(text, "--own", "portalocker")
        assert [child.line() for _ in range(3)] == ["AlreadyLocked", "twice", "temporary"]
        assert child.wait() == 0


class TestPlumbum:
    """plumbum: commands as functions, which on Windows are started in its own way."""

    def test_commands(self, players: Players) -> None:
        """It is told of Windows, starts programs and pipes, and a Python that it starts is told as well."""
        text = """if True:
            import sys
            from plumbum import local
            from plumbum.lib import IS_WIN32
            print(IS_WIN32, local["echo"]("hello").strip(), (local["echo"]["a b"] | local["cat"])().strip(), flush=True)
            print(local[sys.executable]("-c", "import os; print(os.name)").strip(), flush=True)
            """
        child = players.program(text, "--windows", "--own", "plumbum")
        assert child.line() == "True hello a b"
        assert child.line() == "nt"
        assert child.wait() == 0
