"""A handle to a section that other processes may be given without a name."""

from namedmap import errors
from namedmap._contract import Passage, SectionHandle


class Passable:
    """Has a handle, and the descriptor by which others get the section: it stays open as long as the handle."""

    _section: SectionHandle | None = None
    _passage: Passage | None = None

    def _open_passage(self) -> int:
        """A descriptor that keeps the section alive, to be sent."""
        if self._section is None:
            raise ValueError(f"this {type(self).__name__} is closed")
        if self._passage is None or not self._passage.intact():
            with errors.translated():
                self._passage = self._section.hand_over()
        return int(self._passage)

    def _let_go(self) -> None:
        """Close both; without effect the second time."""
        section, self._section = self._section, None
        passage, self._passage = self._passage, None
        if passage is not None:
            passage.close()
        if section is not None:
            section.close()
