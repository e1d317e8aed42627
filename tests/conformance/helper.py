"""A helper thread of a script: runs commands in turn, each result to be fetched later."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

import host


class Helper:
    def __init__(self, name: str, run: Callable[[str], str]) -> None:
        self._run = run
        self._jobs: queue.SimpleQueue[tuple[str, Future[str]] | None] = queue.SimpleQueue()
        self._started: Future[str] | None = None
        # A daemon, since a call that never returns must not keep the driver from ending.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            command, result = job
            result.set_running_or_notify_cancel()
            result.set_result(self._run(command))

    def _submit(self, command: str) -> Future[str]:
        result: Future[str] = Future()
        self._jobs.put((command, result))
        return result

    def ask(self, command: str) -> str:
        """Run a command and wait for its result."""
        return self._submit(command).result()

    def start(self, command: str) -> None:
        """Let a command run; `join` fetches its result."""
        self._started = self._submit(command)

    def has_begun(self) -> bool:
        """Whether the command that `start` began has ended, or sleeps in a call, as far as that shows."""
        if self._started is None or self._started.done():
            return True
        return self._started.running() and host.sleeps(self._thread.native_id or 0) is not False

    def join(self, seconds: float) -> str | None:
        """The result of the command that `start` began; None when there is none, TimeoutError when it is not done."""
        return None if self._started is None else self._started.result(seconds)

    def end(self, seconds: float | None = None) -> None:
        """Let the thread exit once it has done its commands."""
        self._jobs.put(None)
        self._thread.join(seconds)
