"""Waits that Ctrl-C ends.

Windows ends no wait for Ctrl-C. At Ctrl-C the interpreter notes that a signal handler is to run, and then sets an event
of its own. So the main thread, which alone runs signal handlers, waits for that event beside the objects: at the first
index, so that a wait that sees both takes nothing. Where there is no room for it (64 objects, a wait for all, a pseudo
handle), the wait goes in slices, and misses a PulseEvent between two of them, as any wait may on Windows.

An object that a wait has taken when the exception of a handler ends it is given back. (The next waiter for an
abandoned mutex does not learn that it was; and what the handle does not allow cannot be given back.) After the return
of these functions nothing can be done: an exception between that and the caller's next step loses what was taken, as
with any lock of Python's.
"""

import ctypes
import math
import threading
import time
from collections.abc import Sequence

from namedmap._windows import calling, dll
from namedmap.constants import INFINITE, MAXIMUM_WAIT_OBJECTS, WAIT_ABANDONED_0, WAIT_OBJECT_0, WAIT_TIMEOUT
from namedmap.types import EVENT_BASIC_INFORMATION

_FOREVER, _TIMEOUT, _MOST = int(INFINITE), int(WAIT_TIMEOUT), int(MAXIMUM_WAIT_OBJECTS)
_TAKEN, _ABANDONED = int(WAIT_OBJECT_0), int(WAIT_ABANDONED_0)
_AUTO_RESET = 1
#: Milliseconds after which Python looks for Ctrl-C in a wait that cannot wait for it.
_SLICE = 100
_SIGINT: int = dll._PyOS_SigintEvent()

#: The result of a wait (WAIT_*), and the last error.
Answer = tuple[int, int]


def wait(handles: Sequence[int], milliseconds: int, *, every: bool = False, alertable: bool = False) -> Answer:
    """WaitForMultipleObjectsEx; for one handle, which may then be a pseudo handle, WaitForSingleObjectEx."""
    if not milliseconds or not runs_handlers():
        return _wait_once(handles, milliseconds, every, alertable)
    answer = _TIMEOUT, 0
    try:
        if len(handles) == 1:
            answer = _wait_once(handles, 0, every, alertable)
        if answer[0] == _TIMEOUT:
            answer = _wait_on(handles, milliseconds, every, alertable)
        _let_handlers_run()
    except BaseException:
        give_back(answer[0], handles, every)
        raise
    return answer


def signal_and_wait(first: int, second: int, milliseconds: int, *, alertable: bool = False) -> Answer:
    """SignalObjectAndWait."""
    if not runs_handlers():
        return calling.ask(dll.SignalObjectAndWait, first, second, milliseconds, alertable)
    answer = _TIMEOUT, 0
    try:
        answer = calling.ask(dll.SignalObjectAndWait, first, second, min(milliseconds, _SLICE), alertable)
        _let_handlers_run()
    except BaseException:
        give_back(answer[0], [second], False)
        raise
    if answer[0] != _TIMEOUT or milliseconds <= _SLICE:
        return answer
    left = _FOREVER if milliseconds == _FOREVER else milliseconds - _SLICE
    return wait([second], left, alertable=alertable)


def runs_handlers() -> bool:
    """Whether the calling thread is the one that runs signal handlers."""
    return threading.get_ident() == threading.main_thread().ident


def _let_handlers_run() -> None:
    """Python runs signal handlers at the start of a function, if not before."""


# From the foreign call to the variable `answer` of `wait` no function of Python begins and no loop jumps back: there
# handlers run, and what their exceptions end would take along the knowledge of what was taken.


def _wait_once(handles: Sequence[int], milliseconds: int, every: bool, alertable: bool) -> Answer:
    if len(handles) == 1:
        return calling.ask(dll.WaitForSingleObjectEx, handles[0], milliseconds, alertable)
    array = (dll.HANDLE * len(handles))(*handles)
    return calling.ask(dll.WaitForMultipleObjectsEx, len(handles), array, every, milliseconds, alertable)


def _wait_on(handles: Sequence[int], milliseconds: int, every: bool, alertable: bool) -> Answer:
    every = every and len(handles) > 1
    deadline = math.inf if milliseconds == _FOREVER else time.monotonic() + milliseconds / 1000
    if every or len(handles) >= _MOST or (len(handles) == 1 and handles[0] < 0):
        return _wait_in_slices(handles, deadline, every, alertable)
    array = (dll.HANDLE * (len(handles) + 1))(_SIGINT, *handles)
    while True:
        # A signal that came before this has been noted, so that its handler runs before the wait.
        dll.ResetEvent(_SIGINT)
        left = _left(deadline)
        answer = calling.ask(dll.WaitForMultipleObjectsEx, len(array), array, False, left, alertable)
        if answer[0] == _TAKEN:
            continue  # the handler runs now; if it does not raise, the wait goes on
        if _TAKEN < answer[0] <= _TAKEN + _MOST or _ABANDONED < answer[0] <= _ABANDONED + _MOST:
            return answer[0] - 1, answer[1]
        return answer


def _wait_in_slices(handles: Sequence[int], deadline: float, every: bool, alertable: bool) -> Answer:
    while True:
        left = _left(deadline)
        answer = _wait_once(handles, min(left, _SLICE), every, alertable)
        if answer[0] != _TIMEOUT or left <= _SLICE:
            return answer


def _left(deadline: float) -> int:
    """Milliseconds until a deadline, in which INFINITE is one that never comes."""
    return _FOREVER if deadline == math.inf else max(math.ceil((deadline - time.monotonic()) * 1000), 0)


def give_back(result: int, handles: Sequence[int], every: bool) -> None:
    """Give back what a wait with this result has taken."""
    index = result - _ABANDONED if result >= _ABANDONED else result - _TAKEN
    if not 0 <= index < len(handles):
        return
    for handle in handles if every else [handles[index]]:
        event = EVENT_BASIC_INFORMATION()
        if dll.NtQueryEvent(handle, 0, ctypes.byref(event), ctypes.sizeof(event), None) == 0:
            if event.EventType == _AUTO_RESET:
                dll.SetEvent(handle)
        elif not dll.ReleaseMutex(handle):
            dll.ReleaseSemaphore(handle, 1, None)  # neither: a process, which nobody takes
