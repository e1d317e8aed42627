"""Reading regular files: opened with care, their holes known, the next piece read while the last one is worked on."""

import collections
import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from namedmap import errors
from namedmap._failure import is_ours, require_ours
from namedmap.winerror import WinError

from ._system import system
from .failures import ChangedError, bad, failure

AnyPath = str | os.PathLike[str]
Progress = Callable[[int, int], object]
Task = TypeVar("Task")
Result = TypeVar("Result")
#: Offset, bytes, whether they are data or a hole.
Piece = tuple[int, memoryview, bool]
#: Bytes that are read at a time: large enough that the calls do not count, small enough for a processor's cache.
PIECE = 1 << 20
#: A file that the kernel makes up as it is read tells no size, or this one at most.
_MADE_UP = 1 << 16
#: Bytes of such a file that are kept at most; a copy keeps nothing of it.
_KEPT = 64 << 20
#: Less than this is shown to nobody's progress function.
_TELLING = 1 << 20

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Source:
    """A regular file that is open for reading; not `sparse`: its holes count as data.

    Of one that does not know its size (in /proc, /sys), what it has now is read and kept. Not with `keep` False: then
    `endless` says that it has to be read to its end, and `size` is 0.

    Raises NotFoundError, AccessDeniedError, BadValueError (no regular file).
    """

    def __init__(self, path: AnyPath, flags: int = os.O_RDONLY, *, sparse: bool = True, keep: bool = True) -> None:
        self.path, self.sparse = os.fspath(path), sparse
        with system_calls(f"cannot open {self.path!r}"):
            # Opening a device can do things, and opening a FIFO waits: look first, and again at what was opened.
            refuse_special(os.stat(self.path), self.path)
            self.fd = os.open(self.path, flags | system.OPEN)
        self.info = os.fstat(self.fd)
        self.size = self.info.st_size
        try:
            refuse_special(self.info, self.path)
            self.endless = flags == os.O_RDONLY and self._is_made_up()
            if self.endless:
                self.size = self._keep() if keep else 0
        except BaseException:
            os.close(self.fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        os.close(self.fd)

    def _is_made_up(self) -> bool:
        """Whether it has other bytes than its size says, though it takes no space."""
        if system.allocated(self.info) or self.size > _MADE_UP:
            return False
        with system_calls(f"cannot read {self.path!r}"):
            return system.read_into(self.fd, memoryview(bytearray(self.size + 1)), 0) != self.size

    def _keep(self) -> int:
        """Put the content into memory that stands for the file; returns its size."""
        kept, size = system.scratch(), 0
        try:
            with system_calls(f"cannot read {self.path!r}"):
                while data := os.read(self.fd, _MADE_UP):
                    system.write_all(kept, data, size)
                    size += len(data)
                    if size > _KEPT:
                        raise bad(f"{self.path!r} does not say how long it is, and goes on beyond {_KEPT:,} bytes")
            os.dup2(kept, self.fd, inheritable=False)
        finally:
            os.close(kept)
        return size

    def fill(self, buffer: memoryview, offset: int) -> None:
        """Read bytes from an offset on until the buffer is full. Raises ChangedError if the file has become shorter."""
        done = 0
        while done < len(buffer):
            try:
                count = system.read_into(self.fd, buffer[done:], offset + done)
            except OSError as error:
                require_ours(error)
                raise failure(error, f"cannot read {self.path!r} at {offset + done:,}") from None
            if not count:
                raise self.shorter(offset + done)
            done += count

    def shorter(self, end: int) -> ChangedError:
        """The error for a file that ends earlier than it did when it was opened."""
        return ChangedError(
            f"{self.path!r} was cut off by another program while it was read: it had {self.size:,} bytes, "
            f"and now ends at or before {end:,}; do it again when it is at rest"
        )

    def extent(self, offset: int, size: int | None, *, whole: bool = False) -> tuple[int, int]:
        """[start, stop) of a range; one that goes on beyond the end stops there, or with `whole` is an error."""
        if offset < 0 or (size is not None and size < 0):
            raise bad(f"offset {offset:,} and size {size!r} must not be negative")
        if offset > self.size:
            raise bad(f"offset {offset:,} lies beyond the end of {self.path!r}, which has {self.size:,} bytes")
        if size is None:
            return offset, self.size
        if whole and size > self.size - offset:
            raise bad(f"{self.path!r} has {self.size:,} bytes, not {size:,} from offset {offset:,} on")
        return offset, min(self.size, offset + size)

    def data(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """[begin, end) of each range in [start, stop) that is no hole."""
        if self.sparse:
            return system.data(self.fd, start, stop)
        return iter([(start, stop)] if start < stop else [])

    @property
    def has_holes(self) -> bool:
        """Whether it takes less space than it has bytes (or is compressed)."""
        return self.sparse and system.allocated(self.info) < self.size


def refuse_special(info: os.stat_result, path: str) -> None:
    """Raises AccessDeniedError for a directory, BadValueError for what else is no regular file."""
    kind = stat.S_IFMT(info.st_mode)
    if kind == stat.S_IFDIR:
        message = f"{path!r} is a directory: give the path of a file"
        raise errors.of(WinError.ERROR_ACCESS_DENIED, message, errno.EISDIR)
    if kind != stat.S_IFREG:
        what = _KINDS.get(kind, "something special")
        raise bad(f"{path!r} is {what}, which has neither size nor offsets: give the path of a regular file")


def pieces(source: Source, start: int, stop: int, size: int = PIECE) -> Iterator[tuple[int, int, bool]]:
    """(offset, length, whether it is data or a hole) of pieces of at most `size` bytes, which cover [start, stop)."""
    at = start
    for begin, end in source.data(start, stop):
        for hole in range(at, begin, size):
            yield hole, min(size, begin - hole), False
        for offset in range(begin, end, size):
            yield offset, min(size, end - offset), True
        at = end
    for hole in range(at, stop, size):
        yield hole, min(size, stop - hole), False


def contents(source: Source, plan: Iterable[tuple[int, int, bool]]) -> Iterator[Piece]:
    """The bytes of pieces; a thread reads the next one while the caller works on this one.

    The bytes are valid until the next piece is asked for. Holes are not read: their zeros are always the same memory.
    """
    buffers = [bytearray(PIECE), bytearray(PIECE)]
    zeros = memoryview(bytes(PIECE))

    def load(piece: tuple[int, int, bool], turn: int) -> Piece:
        offset, length, is_data = piece
        if not is_data:
            return offset, zeros[:length], False
        view = memoryview(buffers[turn % 2])[:length]
        source.fill(view, offset)
        return offset, view, True

    return ahead(load, plan, 1)


def ahead(work: Callable[[Task, int], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    """The results of work(task, number), in order; threads do the next ones while the caller looks at one.

    At most `workers` + 1 are in use at a time, so that as many buffers are enough. A single task needs no thread.
    """
    waiting = iter(tasks)
    first = list(itertools.islice(waiting, 2))
    if len(first) < 2:
        yield from (work(task, 0) for task in first)
        return
    with ThreadPoolExecutor(workers, "namedmap-files") as pool:
        running: collections.deque[Future[Result]] = collections.deque()
        for number, task in enumerate(itertools.chain(first, waiting)):
            running.append(pool.submit(work, task, number))
            if len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


class Meter:
    """Tells a progress function how far the work is, not more often than anybody could look."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self._progress, self._told = total, progress, 0
        self._step = max(_TELLING, total // 500)

    def __call__(self, done: int) -> None:
        if self._progress is not None and done - self._told >= self._step:
            self._told = done
            self._progress(done, self.total)

    def end(self) -> None:
        """All is done: told once, also for nothing."""
        if self._progress is not None:
            self._progress(self.total, self.total)


class system_calls:
    """Turns what system calls raise in a with-block into errors of this package."""

    def __init__(self, asked: str) -> None:
        self.asked = asked

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, raised: BaseException | None, traceback: object) -> None:
        if raised is None or isinstance(raised, errors.Error) or not is_ours(raised):
            return
        # Without their traceback, as in `errors.translated`.
        if isinstance(raised, OSError):
            raise failure(raised.with_traceback(None), self.asked) from None
        if isinstance(raised, ValueError):  # a NUL in a path
            raise bad(f"{self.asked}: {raised.with_traceback(None)}") from None
