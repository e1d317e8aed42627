"""The words of a child, as they come, with a limit to the listener's patience."""

import os
import queue
import selectors
import threading
from collections.abc import Callable
from typing import IO

#: Gives what has come, b"" at the end; None if nothing has come within so many seconds.
Read = Callable[[float], bytes | None]

_MOST = 1 << 16


def selecting(stream: IO[bytes]) -> Read:
    """By a look at the pipe, and no thread: a process that forks should have none."""

    def read(seconds: float) -> bytes | None:
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            return os.read(stream.fileno(), _MOST) if selector.select(seconds) else None

    return read


def listening(stream: IO[bytes]) -> Read:
    """By a thread, where nobody can wait for a pipe for a limited time."""
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        chunk = b"more"
        while chunk:
            try:
                chunk = os.read(stream.fileno(), _MOST)
            except (OSError, ValueError):  # closed underneath
                chunk = b""
            heard.put(chunk)

    threading.Thread(target=listen, daemon=True).start()

    def read(seconds: float) -> bytes | None:
        try:
            return heard.get(timeout=seconds)
        except queue.Empty:
            return None

    return read


#: Pipes can be selected where processes can be forked.
reading = selecting if hasattr(os, "fork") else listening
