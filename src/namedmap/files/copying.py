"""Copying a file.

Which way is taken, the first that fits:

    reflink    the filesystem shares the blocks (btrfs, XFS, bcachefs; not with reflink=False)
    drain      the file does not know its size (/proc, /sys)
    checked    verify was asked for: written, read back, compared, hashed, in one pass
    threads    threads were asked for, more than one has work, and the file need not grow from its beginning (resume)
    sendfile   everything else; "plain" on Windows, which has no such call

Holes are skipped in all of them, and stay holes (on Windows they are data).

A small copy takes as long as the calls that it makes, so its way is short: the target is made before anybody looks for
it. A large copy on a disk has its space allocated before it is written: on ext4 that saves a tenth of the time, and a
disk that is too small is found at the beginning. A small one would take a quarter longer by that; there a full disk is
found when it is full, as with holes, in memory, and in a copy that is to be resumed.

Why threads only for who asks: the kernel lets one thread at a time write to a file. Two took 10 to 50 % more processor
time than one, and on a busy machine more time as well; an idle one was not measured.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from . import moving
from ._system import system
from .checksums import new_hash
from .failures import Cancelled, ChangedError, VerifyError, bad
from .reading import AnyPath, Meter, Progress, Source, contents, pieces, system_calls
from .targets import Aside, InPlace, Part, Target

#: From this size on it pays to prepare source and target.
_LARGE = 16 << 20


class Flag(Protocol):
    """Something like threading.Event."""

    def is_set(self) -> bool:
        """Whether it is."""
        ...


Cancel = Callable[[], bool] | Flag


@dataclass(frozen=True, slots=True)
class Copied:
    """The result of a copy. Numbers are bytes, but for `seconds`."""

    #: Of the file.
    size: int
    #: The bytes that were written: without holes, and without what an earlier, interrupted copy had written.
    written: int
    #: The holes in the source, and in the copy.
    holes: int
    #: The way: "reflink" (the filesystem shares the blocks), "drain" (read to the end of a file that tells no size),
    #: "checked" (written and read back, for `verify`), "threads" (of which several were asked for), "sendfile" (the
    #: kernel copies, in one thread), "plain" (the same on Windows, by reads and writes).
    method: str
    #: The hash that `verify` asked for, as hexadecimal digits.
    digest: str | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """{"size", "written", "holes", "method", "digest", "seconds"}"""
        return asdict(self)


def copy(
    src: AnyPath,
    dst: AnyPath,
    *,
    atomic: bool = False,
    preserve: bool = False,
    verify: str | None = None,
    resume: bool = False,
    sparse: bool = True,
    reflink: bool = True,
    window: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Copied:
    """Copy the file `src` to the path `dst`, replacing what is there. Memory stays below a few MiB.

    atomic    other programs see the old file or the complete new one, also after a power failure
    preserve  owner (if allowed), permissions, times and extended attributes, as `cp -p`; otherwise a new file has the
              source's permissions less the umask, an old one keeps its own. On Windows it is the times, and whether the
              file is read-only, hidden, of the system, to be archived
    verify    the name of a hash ("sha256"): what was written is read back, compared, and hashed on the way
    resume    a copy that fails, is cancelled or killed leaves a part beside `dst`, which the next one with `resume`
              goes on with if the source has kept its size and time, and the part's end is the same
    sparse    holes stay holes; otherwise they are written as zeros
    reflink   share the blocks where the filesystem can
    window    bytes that are moved at a time (None: as measured to be fast)
    threads   how many copy, but none without work, and one if it can be resumed (None: one)
    progress  is called with (bytes done, bytes in all), in the calling thread
    cancel    a function or an Event: once it is true, Cancelled is raised

    No error leaves half a file at `dst`; without `atomic` or `resume` an old one is gone then, too. Only a
    kill leaves half a file, and only without `atomic` or `resume`. Raises NotFoundError, AccessDeniedError (also: a
    directory), BadValueError (same file, special file), ChangedError (the source became shorter), VerifyError, Error
    (the disk is full).
    """
    started = time.perf_counter()
    if (window is not None and window < 1) or (threads is not None and threads < 1):
        raise bad(f"window {window} and threads {threads} must be at least 1")
    hashed = None if verify is None else new_hash(verify)
    with Source(src, sparse=sparse, keep=False) as source:
        report = Meter(source.size, progress) if cancel is None else _Cancellable(source, progress, cancel)
        target = (Part if resume else Aside if atomic else InPlace)(
            dst, source, read=hashed is not None, preserve=preserve
        )
        work = _Work(source, target, hashed, window, threads, report)
        method, written = work.done(reflink=reflink, preserve=preserve, durable=atomic)
        report.end()
        digest = None if hashed is None else str(hashed.hexdigest())
        return Copied(source.size or written, written, work.holes, method, digest, time.perf_counter() - started)


class _Cancellable(Meter):
    """Progress, and whether somebody wants to stop."""

    def __init__(self, source: Source, progress: Progress | None, cancel: Cancel) -> None:
        super().__init__(source.size, progress)
        self._asked: Any = getattr(cancel, "is_set", cancel)
        self._what = source.path
        self(0)

    def __call__(self, done: int) -> None:
        if self._asked():
            raise Cancelled(f"the copy of {self._what!r} was cancelled after {done:,} of {self.total:,} bytes")
        super().__call__(done)


@dataclass
class _Work:
    """One copy: from a source to a target, in whichever way."""

    source: Source
    target: Target
    hashed: Any
    window: int | None
    threads: int | None
    report: Meter
    holes: int = 0

    def done(self, *, reflink: bool, preserve: bool, durable: bool) -> tuple[str, int]:
        """Open the target, copy, and put the target into its place; or abandon it if any of this fails.

        Returns the way, and how many bytes were written.
        """
        source, target = self.source, self.target
        try:
            with system_calls(target.asked):
                target.open()
                found = self._run(reflink)
                _complete(source, target)
                if preserve:
                    system.preserve(source.fd, source.info, target.fd)
                else:
                    target.dress()
                target.finish(durable=durable)
                target.close()
        except BaseException as error:
            try:
                target.abandon(useless=isinstance(error, ChangedError | VerifyError))
            finally:
                target.close()
            raise
        return found

    def _run(self, reflink: bool) -> tuple[str, int]:
        """Copy the bytes."""
        source, target = self.source, self.target
        if not source.size:
            return "drain", moving.drain(source, target.fd, self.report, self.hashed)
        if reflink and source.sparse and not target.done and system.share(source.fd, target.fd):
            return "reflink", self._check(source.size) if self.hashed else 0
        if source.size >= _LARGE:
            system.expect_sequential(source.fd)
            if not isinstance(target, Part) and not source.has_holes:
                system.allocate(target.fd, source.size)
        if self.hashed:
            return "checked", self._check(target.done)
        if self.threads is not None and not isinstance(target, Part):
            threads = min(self.threads, -(-source.size // (self.window or moving.SPREAD)))
            if threads > 1:
                moved = moving.spread(source, target.fd, self._ranges(), self.report, self.window, threads)
                return "threads", moved
        return system.SEND, moving.send(source, target.fd, self._ranges(), self.report, self.window)

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """(offset, length) of what has to be written; the rest are holes."""
        at = self.target.done
        for begin, end in self.source.data(at, self.source.size):
            self.holes += begin - at
            yield begin, end - begin
            at = end
        self.holes += self.source.size - at

    def _check(self, done: int) -> int:
        source = self.source
        plan = contents(source, self._counted(pieces(source, 0, source.size)))
        return moving.check(source, self.target.fd, plan, self.report, self.hashed, done)

    def _counted(self, plan: Iterator[tuple[int, int, bool]]) -> Iterator[tuple[int, int, bool]]:
        for offset, length, is_data in plan:
            self.holes += 0 if is_data else length
            yield offset, length, is_data


def _complete(source: Source, target: Target) -> None:
    """The size of what ends with a hole; and whether what was read is one state of the source."""
    written = target.written()
    if source.size > written:
        if next(source.data(written, source.size), None) is not None:
            raise ChangedError(f"{target.asked}: another program cut the copy off at {written:,} bytes; do it again")
        os.ftruncate(target.fd, source.size)
    now = os.fstat(source.fd)
    if now.st_size < source.size:
        raise source.shorter(now.st_size)
    if target.done and (now.st_size, now.st_mtime_ns) != (source.size, source.info.st_mtime_ns):
        raise ChangedError(f"{source.path!r} was changed while its copy was gone on with: copy it anew")
