"""Handles that the Python classes own. Win32 closes a handle by its number, whoever waits for it or has it by then.

So a call borrows the handle, which is closed when the last borrower has given it back; and whoever closes it by its
number, through `namedmap.win32`, tells its owner, which would close what has the number next.
"""

import contextlib
import ctypes
import threading
import weakref
from collections.abc import Hashable, Iterator, Sequence

from namedmap import types as t
from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._windows import calling, dll

_OBJECT_NAME_INFORMATION, _LONGEST_NAME = 1, 0x11000

# Reentrant: a finalizer that runs in the middle of this may close another handle.
_lock = threading.RLock()
_by_number: "weakref.WeakValueDictionary[int, Handle]" = weakref.WeakValueDictionary()


class Handle:
    """An open handle. Its owner closes it, or the end of the process does."""

    __slots__ = ("__weakref__", "_borrowers", "_identity", "_open", "value")

    def __init__(self, value: int) -> None:
        """Take over a handle by its number."""
        self.value, self._open, self._borrowers = value, True, 0
        self._identity: Hashable | None = None
        _by_number[value] = self

    @property
    def identity(self) -> Hashable:
        """A value that stands for the object, whichever handle it is seen through: its full name; without one, this."""
        if self._identity is None:
            number = self.borrow()
            try:
                self._identity = full_name(number) or self
            finally:
                self.give_back()
        return self._identity

    def borrow(self) -> int:
        """Its number, which stays this object's until it is given back. Fails once the handle is closed."""
        with _lock:
            if not self._open:
                text = f"the handle {self.value:#x} was closed, by another thread or by its number"
                raise KernelError(NTSTATUS.STATUS_INVALID_HANDLE, text)
            self._borrowers += 1
        return self.value

    def give_back(self) -> None:
        """End a borrowing."""
        with _lock:
            self._borrowers -= 1
            last = not self._open and not self._borrowers
        if last:
            _close(self)

    def was_closed(self) -> None:
        """Its number was closed by somebody else, and is another handle's or nobody's."""
        with _lock:
            self._open = False
            if _by_number.get(self.value) is self:
                del _by_number[self.value]

    def close(self) -> None:
        """Close it, now or when the last borrower has given it back; without effect the second time."""
        with _lock:
            last = self._open and not self._borrowers
            self._open = False
        if last:
            _close(self)


def full_name(number: int) -> str:
    r"""The name of an object, such as \Sessions\1\BaseNamedObjects\X; empty if it has none."""
    room = (ctypes.c_ubyte * _LONGEST_NAME)()
    arguments = number, _OBJECT_NAME_INFORMATION, ctypes.byref(room), ctypes.sizeof(room), None
    calling.must_succeed("the object does not tell its name", dll.NtQueryObject, *arguments)
    text = t.UNICODE_STRING.from_buffer(room)
    return ctypes.string_at(text.Buffer, text.Length).decode("utf-16-le", "surrogatepass") if text.Buffer else ""


def _close(handle: Handle) -> None:
    with _lock:
        own = _by_number.get(handle.value) is handle
        if own:
            del _by_number[handle.value]
    if own:
        dll.CloseHandle(handle.value)  # fails only for one that is protected from closing, which stays open then


def owner_of(number: int) -> Handle | None:
    """The owner of a handle, which has to be told by `was_closed` that the handle was closed by its number."""
    return _by_number.get(number)


@contextlib.contextmanager
def borrowed(handles: Sequence[Handle]) -> Iterator[list[int]]:
    """The numbers of handles for the length of a with-block."""
    with contextlib.ExitStack() as stack:
        numbers = []
        for each in handles:
            numbers.append(each.borrow())
            stack.callback(each.give_back)
        yield numbers
