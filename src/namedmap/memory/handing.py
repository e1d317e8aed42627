"""A handle to a section that other processes may be given without a name."""

import sys

from namedmap import errors
from namedmap._contract import Offer, Passage, SectionHandle
from namedmap._platform import sections


class Offered:
    """A descriptor of the process that has pickled this, which a process that unpickles it finds by itself.

    multiprocessing's own way (DupFd) needs a thread in the sender, and a key that only its own children know.
    """

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def detach(self) -> int:
        """The descriptor; the caller closes it. Raises NotFoundError if the sender has closed it or ended."""
        with errors.translated():
            return sections.accept(self._offer)


def sendable(descriptor: int) -> object:
    """An object to pickle for a descriptor. Its `detach` gives the receiver one."""
    context = sys.modules.get("multiprocessing.context")
    if context is not None and context.get_spawning_popen() is not None:
        from multiprocessing.reduction import DupFd  # the child inherits it

        duplicate: object = DupFd(descriptor)
        return duplicate
    with errors.translated():
        return Offered(sections.offer(descriptor))


class Passable:
    """Has a handle, and the descriptor by which others get the section: it stays open as long as the handle."""

    _section: SectionHandle | None = None
    _passage: Passage | None = None

    def opened_section(self) -> SectionHandle:
        """The handle, as the platform knows it. Raises ValueError once it is closed."""
        if self._section is None:
            raise ValueError(f"this {type(self).__name__} is closed")
        return self._section

    def _open_passage(self) -> int:
        """A descriptor that keeps the section alive, to be sent."""
        section = self.opened_section()
        if self._passage is None or not self._passage.intact():
            with errors.translated():
                self._passage = section.hand_over()
        return self._passage.fileno()

    def _let_go(self) -> None:
        """Close both; without effect the second time."""
        section, self._section = self._section, None
        passage, self._passage = self._passage, None
        if passage is not None:
            passage.close()
        if section is not None:
            section.close()
