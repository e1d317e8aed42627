"""Games for the programs of test_other_programs: they fill named memory and set events.

As a script with the name of a game it says "ready", changes its data sixty times a second, and ends with its input.
The layouts are those of the games' public headers; numbers are offsets in bytes.
"""

import ctypes
import http.server
import struct
import sys
import threading
from collections.abc import Callable
from typing import Protocol

from namedmap import win32

FRAME = 1 / 60


class Block:
    """Named memory of a game, which it creates or finds."""

    def __init__(self, name: str, size: int) -> None:
        handle = win32.CreateFileMapping(win32.INVALID_HANDLE_VALUE, None, win32.PAGE_READWRITE, 0, size, name)
        address = win32.MapViewOfFile(handle, win32.FILE_MAP_WRITE, 0, 0, 0)
        if not address:
            raise SystemExit(f"{name}: error {win32.GetLastError()}")
        self.handle, self.address = handle, address

    def put(self, offset: int, form: str, *values: object) -> None:
        data = struct.pack("<" + form, *values)
        ctypes.memmove(self.address + offset, data, len(data))

    def text(self, offset: int, value: str, encoding: str = "utf-16-le") -> None:
        data = (value + "\0").encode(encoding)
        ctypes.memmove(self.address + offset, data, len(data))


class Competizione:
    """Assetto Corsa Competizione: three blocks, text in UTF-16."""

    def __init__(self) -> None:
        self.physics = Block(r"Local\acpmf_physics", 800)
        self.graphics = Block(r"Local\acpmf_graphics", 1588)
        self.static = Block(r"Local\acpmf_static", 784)
        self.static.text(0, "1.9")
        self.static.put(60, "ii", 3, 24)
        self.static.text(68, "ferrari_296_gt3")
        self.static.text(134, "monza")
        self.static.text(200, "Åsa")
        self.static.put(412, "if", 9250, 110.0)

    def frame(self, number: int) -> None:
        self.physics.put(0, "ifffiiff", number, 0.75, 0.0, 62.5, 5, 7400, -0.125, 231.5)
        self.physics.put(184, "4f", *[0.01 * (number % 10)] * 4)  # suspensions never rest
        self.graphics.put(0, "iii", number, 2, 2)
        self.graphics.text(12, "1:47:250")
        self.graphics.put(132, "iiiii", 4, 2, 107250, 108500, 107125)


class Trucks:
    """Euro Truck Simulator 2 with the telemetry plug-in: one block, version 12 of its layout."""

    def __init__(self) -> None:
        self.block = Block(r"Local\SCSTelemetry", 32 * 1024)
        self.block.put(40, "IIII", 12, 1, 53, 1)
        self.block.text(2364, "Škoda", "utf-8")

    def frame(self, number: int) -> None:
        self.block.put(8, "Q", number)
        self.block.put(504, "i", 11)
        self.block.put(948, "ff", 22.5, 1350.0)
        self.block.put(0, "B", 1)


class RaceRoom:
    """RaceRoom: one block, packed, text in bytes."""

    def __init__(self) -> None:
        self.block = Block(r"Local\$R3E", 40960)
        self.block.put(0, "ii", 2, 11)
        self.block.text(576, "Nürburgring", "latin-1")

    def frame(self, number: int) -> None:
        self.block.put(36, "i", number)
        self.block.put(72, "ddd", 10.5, -0.25, 54.0)


class IRacing:
    """iRacing: a header, descriptions of variables, three lines of their values; an event for each new line."""

    VARIABLES = (("Speed", 4, 1, "m/s"), ("Gear", 2, 1, ""), ("CarIdxLap", 2, 4, ""), ("SessionNum", 2, 1, ""))
    SIZES = (1, 1, 4, 4, 4, 8)
    DRIVERS, HEADERS, LINES = 1024, 512, 8192
    SESSION = "---\nWeekendInfo:\n TrackName: spa\n\nDriverInfo:\n Drivers:\n - CarIdx: 0\n   UserName: José\n\n...\n"

    def __init__(self) -> None:
        self.serve_status()
        self.event = win32.CreateEvent(None, False, False, r"Local\IRSDKDataValidEvent")
        self.block = Block(r"Local\IRSDKMemMapFileName", 1164 * 1024)
        offset = 0
        for index, (name, kind, count, unit) in enumerate(self.VARIABLES):
            at = self.HEADERS + 144 * index
            self.block.put(at, "iiib3x32s64s32s", kind, offset, count, 0, name.encode(), b"a variable", unit.encode())
            offset += self.SIZES[kind] * count
        session = self.SESSION.encode("cp1252")
        self.block.put(2048, f"{len(session)}s", session)
        for index in range(3):
            self.block.put(48 + 16 * index, "ii", 0, self.LINES + 1024 * index)
        header = (2, 1, 60, 1, len(session), 2048, len(self.VARIABLES), self.HEADERS, 3, offset)
        self.block.put(0, "10i", *header)

    def frame(self, number: int) -> None:
        index = number % 3
        self.block.put(self.LINES + 1024 * index, "fi4ii", 55.25, 4, 7, 7, 6, -1, 0)
        self.block.put(48 + 16 * index, "i", number)
        win32.SetEvent(self.event)

    @staticmethod
    def serve_status() -> None:
        """The game answers over HTTP whether it runs."""

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"running:1\n")

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 32034), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()


class Game(Protocol):
    """The abilities of a game."""

    def frame(self, number: int) -> None:
        """Write the data of a moment."""


GAMES: dict[str, Callable[[], Game]] = {
    "competizione": Competizione,
    "trucks": Trucks,
    "raceroom": RaceRoom,
    "iracing": IRacing,
}


def main() -> None:
    game = GAMES[sys.argv[1]]()
    ended = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    number = 1
    game.frame(number)
    print("ready", flush=True)
    while not ended.wait(FRAME):
        number += 1
        game.frame(number)


if __name__ == "__main__":
    main()
