"""pywin32's `pywintypes`: the exception, and the types of handles, overlapped transfers and security attributes."""

import contextlib as _contextlib
import operator as _operator
from typing import Any as _Any
from typing import SupportsIndex as _SupportsIndex

from namedmap import constants as _c
from namedmap._finalizer import finalizer as _finalizer
from namedmap._platform import functions as _functions

TRUE, FALSE = True, False

_EVERYONE = "D:(A;;GA;;;WD)"


class error(Exception):
    """A call that failed. The arguments are the Win32 code, the function, and what went wrong."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        winerror, funcname, strerror, *_ = (*args, None, None, None)
        self.winerror: _Any = winerror
        self.funcname: _Any = funcname
        self.strerror: _Any = strerror

    @classmethod
    def last(cls, funcname: str) -> "error":
        """The error for the last call of this thread."""
        code = int(_functions.GetLastError())
        text = _functions.FormatMessage(_c.FORMAT_MESSAGE_FROM_SYSTEM, None, code)
        return cls(code, funcname, str(text).strip() if text else f"There is no text for error {code}.")


class PyHANDLE:
    """A handle that closes itself when it is dropped. `int(handle)` is its value, 0 once it is closed."""

    __slots__ = ("__weakref__", "_value")

    def __init__(self, value: "PyHANDLE | _SupportsIndex | None" = None, /) -> None:
        """Own a handle. Raises TypeError for what is none."""
        self._value = 0
        self._value = PyHANDLE.number(value)

    @staticmethod
    def number(value: "PyHANDLE | _SupportsIndex | None") -> int:
        """The value of a handle argument: None is 0, an int is taken as it is. Raises TypeError for anything else."""
        if type(value) is int and 0 <= value < 1 << 63:
            return value
        if isinstance(value, PyHANDLE):
            return value._value
        try:
            found = 0 if value is None else _operator.index(value)
        except TypeError:
            raise TypeError(f"a handle is a PyHANDLE, an int or None, not {type(value).__name__}") from None
        if not -(1 << 63) <= found < 1 << 64:
            raise TypeError(f"a handle has 64 bits, which {found} does not fit into")
        return found - (1 << 64) if found >= 1 << 63 else found

    @property
    def handle(self) -> int:
        """Its value."""
        return self._value

    def Close(self) -> None:
        """Close the handle; without effect the second time. Raises error if it was closed underneath."""
        value, self._value = self._value, 0
        if value and not _functions.CloseHandle(value):
            raise error.last("CloseHandle")

    close = Close

    def Detach(self) -> int:
        """Give the handle away, unclosed; returns its value."""
        value, self._value = self._value, 0
        return value

    @_finalizer
    def __del__(self) -> None:
        with _contextlib.suppress(error):  # closed underneath
            self.Close()

    def __int__(self) -> int:
        return self._value

    def __bool__(self) -> bool:
        return self._value != 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PyHANDLE):
            return self._value == other._value
        return self._value == other if isinstance(other, int) else NotImplemented

    # By identity: the value changes when it is closed, and an equal int has another hash in pywin32 as well.
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<PyHANDLE:{self._value}>"

    def __reduce__(self) -> _Any:
        raise TypeError("a PyHANDLE cannot be copied or sent: duplicate it with win32api.DuplicateHandle")


class PyOVERLAPPED:
    """The place in a file of one transfer, and the event that is set after it. Transfers are complete on return."""

    def __init__(self) -> None:
        self.Offset = 0
        self.OffsetHigh = 0
        self.Internal = 0
        self.InternalHigh = 0
        self.dword = 0
        self.object: _Any = None
        self._event: PyHANDLE | int = 0

    @property
    def hEvent(self) -> PyHANDLE | int:
        return self._event

    @hEvent.setter
    def hEvent(self, value: "PyHANDLE | _SupportsIndex | None") -> None:
        self._event = value if isinstance(value, PyHANDLE) else PyHANDLE.number(value)

    def __eq__(self, other: _Any) -> bool:
        return vars(self) == vars(other) if isinstance(other, PyOVERLAPPED) else NotImplemented

    # By identity: what it holds changes.
    __hash__ = object.__hash__


class PySECURITY_DESCRIPTOR:
    """Rights to an object: the owner's alone; with a discretionary list of None (NULL), everyone's; or a string."""

    def __init__(self, size: object = None, /) -> None:
        #: The descriptor as a string of the security descriptor definition language; None for the default.
        self.text: str | None = None

    @classmethod
    def of(cls, text: str) -> "PySECURITY_DESCRIPTOR":
        """A descriptor of a string."""
        made = cls()
        made.text = text
        return made

    def Initialize(self) -> None:
        self.text = None

    def SetSecurityDescriptorDacl(self, bPresent: int, dacl: None, bDefaulted: int, /) -> None:
        """Let everyone use the object. Raises TypeError for a list with entries: NULL is the one that is known here."""
        if dacl is not None:
            raise TypeError("the list can only be None here, which lets everyone in")
        self.text = _EVERYONE if bPresent else None

    def GetSecurityDescriptorDacl(self) -> None:
        return None

    def IsValid(self) -> bool:
        return True


class PySECURITY_ATTRIBUTES:
    """Those who may use a new object, and whether its handle is inheritable, which it is unless one says otherwise."""

    def __init__(self) -> None:
        self.bInheritHandle = 1
        self.SECURITY_DESCRIPTOR: PySECURITY_DESCRIPTOR | None = PySECURITY_DESCRIPTOR()

    def __getattr__(self, name: str) -> _Any:
        """The methods of its descriptor are its own as well."""
        return getattr(vars(self).get("SECURITY_DESCRIPTOR"), name)


HANDLE = HANDLEType = PyHANDLE
OVERLAPPED = OVERLAPPEDType = PyOVERLAPPED
SECURITY_ATTRIBUTES = PySECURITY_ATTRIBUTES
SECURITY_DESCRIPTOR = PySECURITY_DESCRIPTOR
