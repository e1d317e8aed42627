"""The face of an object to a wait; here, of one without a state of its own: NT lets every wait on such a one pass."""

from collections.abc import Callable
from typing import TypeVar

from namedmap._kernel.objects.owners import Owner

Result = TypeVar("Result")

#: Results of taking an object; both mean that it was taken. None: it is not there to take.
TAKEN, ABANDONED = 0, 0x80


class Entry:
    """One object in one wait."""

    __slots__ = (
        "__weakref__",
        "call",
        "counted",
        "generation",
        "held",
        "joined",
        "last",
        "looked",
        "patient",
        "pulsed",
        "queued",
        "sequence",
    )

    def __init__(self, held: "Waitable") -> None:
        self.held = held
        self.counted = self.queued = self.patient = self.last = self.pulsed = False
        self.sequence = self.generation = 0
        # In a line: who is called when it may go on, since when, and in which round it has looked.
        self.call: Callable[[], object] | None = None
        self.joined = 0.0
        self.looked = 0


class Waitable:
    """The part of a kernel object that waits use. All methods may be called from any thread."""

    def signaled(self) -> bool:
        """Whether a wait would pass, for objects that a wait does not change."""
        return True

    def seems_free(self) -> bool:
        """Whether it is worth trying to take it: a glance, without any lock."""
        return False

    def take(self, owner: Owner) -> int | None:
        """Take the object for somebody who has not waited: TAKEN, ABANDONED or None."""
        return TAKEN if self.signaled() else None

    # -- waiting for any ----------------------------------------------------------------------------------------------

    def queue(self, entry: Entry, owner: Owner) -> None:
        """Begin to wait: what is posted from now on may go to this entry."""

    def attempt(self, entry: Entry, owner: Owner) -> int | None:
        """Take the object for a queued entry, whose wait ends with it; else prepare the entry to sleep."""
        return self.take(owner)

    def may_try(self, entry: Entry, owner: Owner) -> bool:
        """Whether an entry that stands in a line, or is going to, may attempt."""
        return True

    def leave(self, entry: Entry) -> None:
        """End a wait in which this object was not taken."""

    # -- waiting for all: in functions that `run_guarded` of all objects runs ------------------------------------------

    def run_guarded(self, function: Callable[[], Result], patience: float = 0) -> Result:
        """Call a function while nobody else can take the object; wait so many seconds at most until that is so."""
        return function()

    def claim(self, entry: Entry, owner: Owner) -> bool:
        """Whether the object could be taken; if so `accept` or `revert` follows."""
        return self.signaled()

    def accept(self, entry: Entry, owner: Owner) -> int:
        """Take what was claimed: TAKEN or ABANDONED."""
        return TAKEN

    def revert(self) -> None:
        """Give back what was claimed and not accepted."""

    def watch(self, entry: Entry, owner: Owner) -> bool:
        """Prepare to sleep on an object that could not be claimed; True if it can be claimed now."""
        return False

    def descriptor(self) -> int | None:
        """A descriptor that becomes readable when the object is signaled, for an object without a word to sleep on."""
        return None

    # -- sleeping -----------------------------------------------------------------------------------------------------

    def place(self, entry: Entry, *, every: bool) -> tuple[int, int] | None:
        """The word to sleep on and the value it had (see `futex`); None if there is none, and one has to look often."""
        return None
