"""Other people's programs for Windows, from PyPI, unmodified; the games that they read are telemetry.py.

Each is started with `python -m namedmap run`, in a process of its own. What the tests add is what the programs' own
documentation shows: a few lines that print what they have read.
"""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support import Child, Spawn

PROGRAMS = ("pyirsdk==1.3.7", "PyAccSharedMemory==1.0.0", "truck_telemetry==0.0.3", "RaceTelemetry==6.11.12.post2")
_UNREACHABLE = re.compile(r"NewConnectionError|ConnectTimeout|ConnectionError|ProxyError|Read timed out|SSLError")


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory with the programs installed in it."""
    place = tmp_path_factory.mktemp("programs")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    options = ["--retries", "1", "--timeout", "20", "--no-compile", "--target", str(place)]
    done = subprocess.run([*pip, *options, *PROGRAMS], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode and _UNREACHABLE.search(done.stderr):
        pytest.skip(f"PyPI cannot be reached: {done.stderr.strip().splitlines()[-1]}")
    assert not done.returncode, done.stderr
    return str(place)


class Players:
    """Starts games and programs, each a process."""

    def __init__(self, spawn: Spawn, programs: str, directory: Path) -> None:
        self._spawn, self._programs, self._directory = spawn, programs, directory

    def game(self, name: str) -> Child:
        """A game that has written its first data."""
        script = "import os; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        child: Child = self._spawn(script, str(Path(__file__).with_name("telemetry.py")), name)
        assert child.line() == "ready"
        return child

    def program(self, text: str, *options: str) -> Child:
        """A program that uses an installed one."""
        path = self._directory / "program.py"
        path.write_text(text, encoding="utf-8")
        script = "import os; os.execv(sys.executable, [sys.executable, '-m', 'namedmap', 'run', *sys.argv[1:]])"
        search = os.pathsep.join([self._programs, *filter(None, sys.path)])
        # `Child` sets PYTHONPATH first, so that this one holds.
        child: Child = self._spawn(script, *options, str(path), environment={"PYTHONPATH": search})
        return child


@pytest.fixture
def players(spawn: Spawn, programs: str, tmp_path: Path) -> Players:
    return Players(spawn, programs, tmp_path)


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
