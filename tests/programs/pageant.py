"""Pageant, the agent for SSH keys on Windows, as test_remote_programs needs it: the agent, and the window to reach it.

A client writes its request into named memory, and the name of that memory into a message (WM_COPYDATA) to the window of
Pageant, which answers in the same memory. The named memory is what is tested. There are no window messages on Linux;
those here are one named block and two events, and stand where a program finds FindWindow and SendMessage: in
ctypes.windll.user32 (`take_windows_place`), or in the module win32ui of pywin32, whose names this module has.
"""

import contextlib
import ctypes
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Any, Protocol

import namedmap
from namedmap import win32

WM_COPYDATA, COPYDATA_ID, ROOM = 0x4A, 0x804E50BA, 8192
#: COPYDATASTRUCT: dwData, cbData, lpData.
_COPYDATA = struct.Struct("<QI4xQ")
_REQUEST_IDENTITIES, _IDENTITIES_ANSWER, _SIGN_REQUEST, _SIGN_RESPONSE, _FAILURE = 11, 12, 13, 14, 5


class error(Exception):
    """The exception that win32ui raises where there is no such window."""


class _Mailbox(contextlib.ExitStack):
    """A connection that carries messages to the window of this title; closed at the end of a with-block."""

    def __init__(self, title: str, alive: namedmap.Mutex) -> None:
        super().__init__()
        #: Owned by the process of the window. All who wait for it see that process die.
        self.alive = self.enter_context(contextlib.closing(alive))
        events = (namedmap.Event(f"{title} {what}", manual=False) for what in ("sent", "answered"))
        self.sent, self.answered = (self.enter_context(contextlib.closing(event)) for event in events)
        self.senders = self.enter_context(contextlib.closing(namedmap.Mutex(f"{title} senders")))
        memory = self.enter_context(namedmap.open_or_create(f"{title} message", 4096))
        self.view = self.enter_context(memory.view())

    def send(self, kind: int, data: bytes) -> int:
        """The answer; 0 where the process of the window ends meanwhile."""
        with self.senders:
            self.view.pack("<QI", 0, kind, len(data))
            self.view.write(16, data)
            self.sent.set()
            if namedmap.wait_any([self.answered, self.alive]) == 0:
                (answer,) = self.view.unpack("<I", 12)
                return int(answer)
            self.alive.release()
            return 0

    def receive(self) -> tuple[int, bytes]:
        self.sent.wait()
        kind, size = self.view.unpack("<QI")
        return kind, self.view.read(16, size)

    def answer(self, result: int) -> None:
        self.view.pack("<I", 12, result)
        self.answered.set()


# -- for clients -------------------------------------------------------------------------------------------------------


class Window:
    """A window of another process, as pywin32 has it."""

    def __init__(self, title: str) -> None:
        self._title = title

    def SendMessage(self, message: int, wide: int, long: Any) -> int:
        """Send a COPYDATASTRUCT, and wait for the answer."""
        assert message == WM_COPYDATA
        kind, size, where = _COPYDATA.unpack(bytes(long))
        with _Mailbox(self._title, namedmap.Mutex.open(f"{self._title} lives")) as mailbox:
            return mailbox.send(kind, ctypes.string_at(where, size))


def FindWindow(window_class: str, title: str) -> Window:
    """The window of a process that lives."""
    try:
        namedmap.Mutex.open(f"{title} lives").close()
    except namedmap.NotFoundError:
        raise error(f"no window {window_class}") from None
    return Window(title)


def take_windows_place() -> None:
    """Give user32, as ctypes has it for the program, windows to find and to send to."""
    found: list[Window] = []

    def find(window_class: bytes, title: bytes) -> int:
        with contextlib.suppress(error):
            found.append(FindWindow(window_class.decode(), title.decode()))
            return len(found)
        return 0

    def send(window: int, message: int, wide: int, long: Any) -> int:
        where = ctypes.cast(long, ctypes.c_void_p).value
        assert where is not None
        return found[window - 1].SendMessage(message, wide, ctypes.string_at(where, wide))

    windows: Any = ctypes
    windows.windll.user32.FindWindowA, windows.windll.user32.SendMessageA = find, send


# -- the agent ---------------------------------------------------------------------------------------------------------


class Key(Protocol):
    """A private key of asyncssh."""

    public_data: bytes
    algorithm: bytes

    def sign(self, data: bytes, sig_algorithm: bytes) -> bytes: ...

    def get_comment_bytes(self) -> bytes: ...


def _string(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def _strings(content: bytes) -> list[bytes]:
    """The first two strings of a message."""
    found, at = [], 0
    for _ in range(2):
        (size,) = struct.unpack_from(">I", content, at)
        found.append(content[at + 4 : at + 4 + size])
        at += 4 + size
    return found


class Agent:
    """Answers what clients ask in memory that they name. Source: draft-ietf-sshm-ssh-agent."""

    def __init__(self, *keys: Key) -> None:
        self.keys = {key.public_data: key for key in keys}

    def reply(self, request: bytes) -> bytes:
        kind, content = request[0], request[1:]
        if kind == _REQUEST_IDENTITIES:
            listed = (_string(blob) + _string(key.get_comment_bytes()) for blob, key in self.keys.items())
            return struct.pack(">BI", _IDENTITIES_ANSWER, len(self.keys)) + b"".join(listed)
        if kind == _SIGN_REQUEST:
            blob, data = _strings(content)
            if blob in self.keys:
                key = self.keys[blob]
                return bytes([_SIGN_RESPONSE]) + _string(key.sign(data, key.algorithm))
        return bytes([_FAILURE])

    def answer(self, name: str) -> bool:
        """Answer the request in the memory of this name."""
        with _memory(name) as address:
            (size,) = struct.unpack(">I", ctypes.string_at(address, 4))
            if not 0 < size <= ROOM - 4:
                return False
            reply = _string(self.reply(ctypes.string_at(address + 4, size)))
            ctypes.memmove(address, reply, len(reply))
            return True

    def run(self, *, silent: bool = False) -> None:
        """Serve until the input ends; a silent one prints the name of the memory instead."""
        mailbox = _Mailbox("Pageant", namedmap.Mutex.create("Pageant lives", owned=True))

        def serve() -> None:
            while True:
                kind, data = mailbox.receive()
                name = data.rstrip(b"\0").decode()
                if silent:
                    print(name, flush=True)
                else:
                    mailbox.answer(int(kind == COPYDATA_ID and self.answer(name)))

        threading.Thread(target=serve, daemon=True).start()
        print("ready", flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def _memory(name: str) -> Iterator[int]:
    """The address of a client's memory."""
    section = win32.OpenFileMapping(win32.FILE_MAP_ALL_ACCESS, False, name)
    address = win32.MapViewOfFile(section, win32.FILE_MAP_WRITE, 0, 0, 0) if section else None
    if not section or not address:
        raise SystemExit(f"{name}: error {win32.GetLastError()}")
    yield address
    assert win32.UnmapViewOfFile(address)
    assert win32.CloseHandle(section)
