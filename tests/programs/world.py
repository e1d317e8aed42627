"""A world for holodeck, as the tests need it: balls on a plain, which roll as far as they are told in each step.

A program and its world take turns by two semaphores of the world. The program makes the blocks of shared memory, the
world opens them when a command tells of what is in them. Source: holodeck 0.3.1.
"""

import ctypes
import json
import struct
import sys

from namedmap import win32

_HUNDRED_SECONDS = 100_000


def _checked(handle: int | None, what: str) -> int:
    if not handle:
        raise SystemExit(f"{what}: error {win32.GetLastError()}")
    return handle


class Ball:
    """A robot, and the sensors that the program has given it."""

    def __init__(self, world: "World", name: str, place: list[float]) -> None:
        self._world, self._name, self.place = world, name, place
        self._action = world.memory(name)
        self._sensors: list[tuple[str, int]] = []

    def add(self, sensor: str, kind: str) -> None:
        self._sensors.append((kind, self._world.memory(f"{self._name}_{sensor}_sensor_data")))

    def step(self) -> None:
        forward, _ = struct.unpack("<2f", ctypes.string_at(self._action, 8))
        self.place[0] += forward
        for kind, where in self._sensors:
            seen = self.place if kind == "LocationSensor" else [self.place[0], self.place[0] >= 4]
            ctypes.memmove(where, struct.pack(f"<{len(seen)}f", *seen), 4 * len(seen))


class World:
    """The turns of a program, which is known by its number."""

    def __init__(self, uuid: str) -> None:
        self._uuid = uuid
        self._balls: dict[str, Ball] = {}
        self._turn, self._done = (
            _checked(win32.CreateSemaphore(None, 0, 1, rf"Global\HOLODECK_SEMAPHORE_{side}{uuid}"), side)
            for side in ("SERVER", "CLIENT")
        )

    def memory(self, name: str) -> int:
        """The address of a block that the program has made."""
        name = f"/HOLODECK_MEM{self._uuid}_{name}"
        section = _checked(win32.OpenFileMapping(win32.FILE_MAP_ALL_ACCESS, False, name), name)
        return _checked(win32.MapViewOfFile(section, win32.FILE_MAP_WRITE, 0, 0, 0), name)

    def run(self) -> None:
        """Tell the program that all is there, give it the first turn, and take every other, until it kills us."""
        loading = rf"Global\HOLODECK_LOADING_SEM{self._uuid}"
        loaded = _checked(win32.OpenSemaphore(win32.SEMAPHORE_ALL_ACCESS, False, loading), loading)
        assert win32.ReleaseSemaphore(loaded, 1, None)
        self._give_turn()
        pending, commands, reset = (self.memory(name) for name in ("command_bool", "command_buffer", "RESET"))
        while True:
            if ctypes.string_at(reset, 1) != b"\0":
                self._balls.clear()
                ctypes.memset(reset, 0, 1)
            if ctypes.string_at(pending, 1) != b"\0":
                ctypes.memset(pending, 0, 1)
                # The text ends with a digit that the parser of the real world wants.
                for command in json.loads(ctypes.string_at(commands).decode().rpartition("}")[0] + "}")["commands"]:
                    self._obey(command["type"], [each["value"] for each in command["params"]])
            for ball in self._balls.values():
                ball.step()
            self._give_turn()

    def _give_turn(self) -> None:
        assert win32.ReleaseSemaphore(self._done, 1, None)
        result = win32.WaitForSingleObject(self._turn, _HUNDRED_SECONDS)
        if result != win32.WAIT_OBJECT_0:
            raise SystemExit(f"the program did nothing: {result}")

    def _obey(self, kind: str, values: list[object]) -> None:
        numbers = [float(each) for each in values if isinstance(each, int | float)]
        texts = [each for each in values if isinstance(each, str)]
        if kind == "SpawnAgent":
            self._balls[texts[1]] = Ball(self, texts[1], numbers[:3])
        elif kind == "AddSensor":
            self._balls[texts[0]].add(texts[1], texts[2])


def main() -> None:
    """The world of the program that has started this process with its number."""
    given = next(word for word in sys.argv if word.startswith("--HolodeckUUID="))
    World(given.partition("=")[2]).run()
