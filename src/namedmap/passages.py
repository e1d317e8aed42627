"""A handle to a section that other processes may be given without a name."""

import os

from namedmap import errors
from namedmap._platform import data as platform
from namedmap._platform import functions


class Passable:
    """Has a handle, and the descriptor by which others get the section: it stays open as long as the handle."""

    _handle: int | None = None
    _passage: int | None = None

    def _open_passage(self) -> int:
        """A descriptor that keeps the section alive, to be sent."""
        if self._passage is None:
            with errors.translated():
                self._passage = platform.hand_over(self._handle or 0)
        return self._passage

    def _let_go(self) -> None:
        """Close both; without effect the second time."""
        handle, self._handle = self._handle, None
        passage, self._passage = self._passage, None
        if passage is not None:
            os.close(passage)
        if handle is not None:
            functions.CloseHandle(handle)
