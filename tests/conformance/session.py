"""One script's state in one process: its slots, its helper threads and its child processes."""

import time
from collections.abc import Callable
from typing import TypeVar

import commands
import host
import language
from channel import Driver, DriverGone
from helper import Helper
from language import ScriptError
from slots import Slots

from namedmap import win32

Known = TypeVar("Known")

#: How long `tasync` gives its command to start at least and at most, and `tjoin` and `reset` to end, in seconds.
_START, _START_AT_MOST = 0.03, 10.0
_JOIN = 15.0
_END = 1.0


class Session:
    """Runs commands and gives their result lines."""

    def __init__(self) -> None:
        self._slots = Slots()
        self._threads: dict[str, Helper] = {}
        self._children: dict[str, Driver] = {}
        self._control: dict[str, Callable[[list[str], str], str]] = {
            "t": self._on_thread,
            "tasync": self._start_on_thread,
            "tjoin": self._join_thread,
            "tend": self._end_thread,
            "proc": self._start_child,
            "p": self._on_child,
            "pgive": self._give_to_child,
            "pdup": self._duplicate_to_child,
            "pend": self._end_child,
            "pkill": self._kill_child,
            "echo": lambda arguments, rest: rest,
            "sleep": self._sleep,
            "reset": self._reset,
            "setslot": self._set_slot,
        }

    def run(self, line: str) -> str:
        """The result line of one command."""
        try:
            return self._run(line)
        except ScriptError as error:
            return f"ERROR {error}"
        except DriverGone as gone:
            return str(gone)
        except Exception as error:
            # Nothing may raise for a call that fails, so what does is a result to report, not the end of the driver.
            return f"ERROR {type(error).__name__}: {' '.join(str(error).split())}"

    def _run(self, line: str) -> str:
        word, *arguments = line.split()
        if word in self._control:
            rest = line.strip()[len(word) :].strip()
            return self._control[word](arguments, rest)
        command = commands.find(word)
        values = command.arguments(self._slots, arguments)
        return "UNSUPPORTED" if command.missing else command.run(self._slots, *values)

    def _helper(self, arguments: list[str]) -> Helper:
        if len(arguments) < 2:
            raise ScriptError("too few arguments, needs a thread and a command")
        name = arguments[0]
        if name not in self._threads:
            self._threads[name] = Helper(name, self.run)
        return self._threads[name]

    def _on_thread(self, arguments: list[str], rest: str) -> str:
        return self._helper(arguments).ask(_after_name(rest))

    def _start_on_thread(self, arguments: list[str], rest: str) -> str:
        helper = self._helper(arguments)
        helper.start(_after_name(rest))
        deadline = time.monotonic() + _START_AT_MOST
        time.sleep(_START)
        # On a busy machine the command that comes next must not overtake this one.
        while not helper.has_begun() and time.monotonic() < deadline:
            time.sleep(_START / 10)
        return "STARTED"

    def _join_thread(self, arguments: list[str], rest: str) -> str:
        helper = _known(self._threads, arguments, "thread")
        seconds = language.number(arguments[1]) / 1000 if len(arguments) > 1 else _JOIN
        try:
            result = helper.join(seconds)
        except TimeoutError:
            return "PENDING"
        if result is None:
            raise ScriptError(f"thread {arguments[0]} has no command to join")
        return result

    def _end_thread(self, arguments: list[str], rest: str) -> str:
        _known(self._threads, arguments, "thread").end()
        del self._threads[arguments[0]]
        return "OK"

    def _start_child(self, arguments: list[str], rest: str) -> str:
        if not arguments:
            raise ScriptError("too few arguments, needs a name")
        name, inherit = arguments[0], arguments[1:2] == ["inherit"]
        if name in self._children:
            raise ScriptError(f"process {name} runs already")
        self._children[name] = Driver(inherit=inherit)
        # The first answer shows that the child is ready to be given handles.
        return self._children[name].ask("echo OK")

    def _on_child(self, arguments: list[str], rest: str) -> str:
        if len(arguments) < 2:
            raise ScriptError("too few arguments, needs a process and a command")
        return _known(self._children, arguments, "process").ask(_after_name(rest))

    def _give_to_child(self, arguments: list[str], rest: str) -> str:
        child = _known(self._children, arguments, "process")
        if len(arguments) < 3:
            raise ScriptError("too few arguments, needs a process, a handle and a slot")
        return child.ask(f"setslot {arguments[2]} {self._slots.handle(arguments[1])}")

    def _duplicate_to_child(self, arguments: list[str], rest: str) -> str:
        child = _known(self._children, arguments, "process")
        if len(arguments) < 6:
            raise ScriptError("too few arguments, needs a process, a slot, a handle, access, inherit, options")
        slot, source = arguments[1], self._slots.handle(arguments[2])
        access, inherit, options = (language.dword(language.number(token)) for token in arguments[3:6])
        process = win32.OpenProcess(win32.PROCESS_DUP_HANDLE, False, child.pid)
        if not process:
            return f"ERROR OpenProcess failed with {win32.GetLastError()}"
        value, result = commands.handles.duplicate(source, process, access, bool(inherit), options)
        win32.CloseHandle(process)
        child.ask(f"setslot {slot} {value}")
        return result

    def _end_child(self, arguments: list[str], rest: str) -> str:
        child = _known(self._children, arguments, "process")
        del self._children[arguments[0]]
        return f"exit={child.end()}"

    def _kill_child(self, arguments: list[str], rest: str) -> str:
        child = _known(self._children, arguments, "process")
        del self._children[arguments[0]]
        status = child.kill()
        # The recorder ended the child with TerminateProcess(77), for which the system's own way to kill stands here.
        return f"exit={77 if status == host.KILLED else status}"

    def _sleep(self, arguments: list[str], rest: str) -> str:
        if not arguments:
            raise ScriptError("too few arguments, needs milliseconds")
        time.sleep(language.number(arguments[0]) / 1000)
        return "OK"

    def end_children(self) -> None:
        """Close the channels of the child processes and wait for them."""
        for child in self._children.values():
            child.end()
        self._children.clear()

    def _reset(self, arguments: list[str], rest: str) -> str:
        for helper in self._threads.values():
            helper.end(_END)
        self._threads.clear()
        self.end_children()
        self._slots.release()
        return "OK"

    def _set_slot(self, arguments: list[str], rest: str) -> str:
        """The command of `pgive` and `pdup` to a child; not part of the language."""
        self._slots.handles[arguments[0]] = int(arguments[1])
        return "OK"


def _after_name(rest: str) -> str:
    return rest.split(maxsplit=1)[1]


def _known(table: dict[str, Known], arguments: list[str], what: str) -> Known:
    if not arguments or arguments[0] not in table:
        raise ScriptError(f"unknown {what} {' '.join(arguments[:1])!r}")
    return table[arguments[0]]
