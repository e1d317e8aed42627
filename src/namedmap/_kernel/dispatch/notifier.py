"""Sleeping for others: a thread that sleeps on the words of many waits and calls whoever has to look again.

An event loop cannot sleep on a futex. It registers the words with a call, which is made once, from the notifier's
thread. One thread serves as many words as `futex.sleep` can take; it is started with the first word, and then stays.
Words that are registered while it sleeps reach it because it sleeps on a word of its own too, the bell.
"""

import contextlib
import ctypes
import itertools
import threading
from collections.abc import Callable, Sequence

from namedmap._kernel.dispatch.waiting import SHORT_SLICE, SLICE
from namedmap._kernel.linux import futex
from namedmap._kernel.linux.lineage import look, ours

#: The longest sleep, in seconds: longer than that of a thread, because more happens after it.
LONG_SLICE = 2 * SLICE

Place = futex.Word | None
_FOREVER = 3600.0


class Notifier:
    """One thread and the words that it sleeps on."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector may end a wait, and so its watch, in the middle of a call of its thread.
        self._lock = threading.RLock()
        self._watches: dict[int, tuple[Sequence[Place], Callable[[], object]]] = {}
        self._keys = itertools.count()
        self._bell = ctypes.c_uint32()
        self._thread: threading.Thread | None = None
        #: Words that are watched.
        self.load = 0

    def watch(self, places: Sequence[Place], call: Callable[[], object]) -> Callable[[], None]:
        """Call once when a wait that prepared to sleep on these has to look again. Returns what ends the watch."""
        with self._lock:
            key = next(self._keys)
            self._watches[key] = (places, call)
            self.load += len(places)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="namedmap-notifier", daemon=True)
                try:
                    thread.start()
                except BaseException:
                    self._remove(key)
                    raise
                self._thread = thread
            else:
                self._ring()

        def end() -> None:
            if self._remove(key) is not None:
                # Else the thread would sleep on, and could be woken in the place of somebody who waits.
                self._ring()

        return end

    def _ring(self) -> None:
        futex.change(ctypes.addressof(self._bell), 1)

    def forked(self) -> None:
        """In a forked child, where the thread is not: waits of the parent may still end their watches."""
        self._lock = threading.RLock()

    def _remove(self, key: int) -> Callable[[], object] | None:
        if not ours[0]:
            look()
        with self._lock:
            places, call = self._watches.pop(key, ((), None))
            self.load -= len(places)
        return call

    def _run(self) -> None:
        while True:
            for key in self._sleep():
                self._notify(key)

    def _sleep(self) -> list[int]:
        """Sleep once; the keys of the watches whose waits have to look again."""
        with self._lock:
            rung = self._bell.value
            # Only the words: what the calls refer to must not be kept alive by a thread that sleeps.
            watched = {key: places for key, (places, _) in self._watches.copy().items()}
        places = [place for each in watched.values() for place in each]
        words = [place for place in places if place is not None]
        longest = _FOREVER if not places else LONG_SLICE if len(words) == len(places) else SHORT_SLICE
        try:
            early = futex.sleep([(ctypes.addressof(self._bell), rung), *words], longest)
        except OSError:
            early = False  # one of the files was truncated; whoever looks finds that out
        return [
            key
            for key, each in watched.items()
            if not early or any(place is None or futex.has_changed(place) for place in each)
        ]

    def _notify(self, key: int) -> None:
        call = self._remove(key)
        if call is not None:
            with contextlib.suppress(Exception):  # a loop that cannot be told must not silence the others
                call()


_notifiers: list[Notifier] = []
_choosing = threading.Lock()


def watch(places: Sequence[Place], call: Callable[[], object]) -> Callable[[], None]:
    """Notifier.watch of a notifier that has room."""
    with _choosing:
        for notifier in _notifiers:
            if notifier.load + len(places) < futex.MOST:
                break
        else:
            notifier = Notifier()
            _notifiers.append(notifier)
        return notifier.watch(places, call)


def forked() -> None:
    """In a forked child: the threads stayed in the parent."""
    global _choosing
    _choosing = threading.Lock()
    for each in _notifiers:
        each.forked()
    _notifiers.clear()
