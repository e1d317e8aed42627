"""A handle to a section that other processes may be given without a name."""

from namedmap import errors
from namedmap._contract import Passage, SectionHandle


class Passable:
    """Has a handle, and the passage by which others get the section: it stays open as long as the handle."""

    _section: SectionHandle | None = None
    _passage: Passage | None = None

    def opened_section(self) -> SectionHandle:
        """The handle, as the platform knows it. Raises ValueError once it is closed."""
        if self._section is None:
            raise ValueError(f"this {type(self).__name__} is closed")
        return self._section

    def _sendable(self) -> object:
        """An object to pickle for another process, which has `_platform.sections.receive` make a handle of it.

        It is good as long as this is open. Raises ValueError once it is closed.
        """
        section = self.opened_section()
        with errors.translated():
            if self._passage is None or not self._passage.intact():
                self._passage = section.hand_over()
            return self._passage.sendable()

    def _let_go(self) -> None:
        """Close both; without effect the second time."""
        section, self._section = self._section, None
        passage, self._passage = self._passage, None
        if passage is not None:
            passage.close()
        if section is not None:
            section.close()
