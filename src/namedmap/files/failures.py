"""The errors of this package, and what becomes of an OSError.

Error                of namedmap.errors
  Cancelled          the caller's `cancel` said so
  ChangedError       the file is not what it was: shorter while it was read, other bytes than expected
  VerifyError        what was read back is not what was written
"""

import os

from namedmap import errors
from namedmap.winerror import WinError

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class Cancelled(errors.Error):
    """The work was stopped because the caller asked for it."""

    def __init__(self, message: str, winerror: int = WinError.ERROR_REQUEST_ABORTED) -> None:
        super().__init__(winerror, message)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message,)


class ChangedError(errors.Error):
    """The file is not what it was a moment ago, or not what the caller expects."""

    def __init__(self, message: str) -> None:
        super().__init__(WinError.ERROR_FILE_INVALID, message)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message,)


class VerifyError(errors.Error):
    """The bytes that were read back from the copy are not those that were written to it."""

    def __init__(self, message: str) -> None:
        super().__init__(WinError.ERROR_FILE_CORRUPT, message)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message,)


failure = errors.of_system_call


def bad(message: str) -> errors.Error:
    """The error for an argument that cannot be."""
    return errors.of(WinError.ERROR_INVALID_PARAMETER, message)
