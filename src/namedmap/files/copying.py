"""Copying a file.

Which way is taken, the first that fits:

    reflink    the filesystem shares the blocks (btrfs, XFS, bcachefs; not with reflink=False)
    drain      the file does not know its size (/proc, /sys)
    checked    verify was asked for: written, read back, compared, hashed, in one pass
    sendfile   the file is small, has to grow from its beginning (resume), is not on a disk, or there is one processor
    threads    everything else

Holes are skipped in all of them, and stay holes. What a file needs is allocated before it is written, except for a copy
that is to be resumed: a disk that is too small is found at the beginning.
"""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from namedmap._failure import ignored, require_ours

from . import moving
from .checksums import new_hash
from .failures import Cancelled, ChangedError, VerifyError, bad
from .reading import AnyPath, Meter, Progress, Source, contents, pieces, system_calls
from .targets import Aside, InPlace, Part, Target

#: From this size on threads are worth their start.
_LARGE = 32 << 20
#: More do not help: each write has the target to itself.
_MOST_THREADS = 4


class Flag(Protocol):
    """Something like threading.Event."""

    def is_set(self) -> bool:
        """Whether it is."""
        ...


Cancel = Callable[[], bool] | Flag


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy came to. Numbers are bytes, but for `seconds`."""

    #: Of the file.
    size: int
    #: What was written: without holes, and without what an earlier, interrupted copy had written.
    written: int
    #: What is a hole in the source, and in the copy.
    holes: int
    #: The way: "reflink", "drain", "checked", "sendfile" or "threads".
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
              source's permissions less the umask, an old one keeps its own
    verify    the name of a hash ("sha256"): what was written is read back, compared, and hashed on the way
    resume    a copy that fails, is cancelled or killed leaves a part beside `dst`, which the next one with `resume`
              goes on with if the source has kept its size and time, and the part's end is the same
    sparse    holes stay holes; otherwise they are written as zeros
    reflink   share the blocks where the filesystem can
    window    bytes that are moved at a time (None: as measured to be fast); threads: how many (None: by size)
    progress  is called with (bytes done, bytes in all), in the calling thread
    cancel    a function or an Event: once it is true, Cancelled is raised

    Whatever is raised, no half file is left at `dst`; without `atomic` or `resume` an old one is gone then, too. Only a
    kill leaves half a file, and only without `atomic` or `resume`. Raises NotFoundError, AccessDeniedError (also: a
    directory), BadValueError (same file, special file), ChangedError (the source became shorter), VerifyError, Error
    (the disk is full).
    """
    started = time.perf_counter()
    if (window is not None and window < 1) or (threads is not None and threads < 1):
        raise bad(f"window {window} and threads {threads} must be at least 1")
    hashed = None if verify is None else new_hash(verify)
    with Source(src, sparse=sparse, keep=False) as source:
        report = _Report(source, progress, cancel)
        target = (Part if resume else Aside if atomic else InPlace)(
            dst, source, read=hashed is not None, preserve=preserve
        )
        work = _Work(source, target, hashed, window, threads, report)
        with _finished(source, target, preserve=preserve, durable=atomic):
            method, written = work.run(reflink)
        report.end()
        digest = None if hashed is None else str(hashed.hexdigest())
        return Copied(source.size or written, written, work.holes, method, digest, time.perf_counter() - started)


class _Report(Meter):
    """Progress, and whether somebody wants to stop."""

    def __init__(self, source: Source, progress: Progress | None, cancel: Cancel | None) -> None:
        super().__init__(source.size, progress)
        self._asked: Any = getattr(cancel, "is_set", cancel)
        self._what = source.path
        self(0)

    def __call__(self, done: int) -> None:
        if self._asked is not None and self._asked():
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
    report: _Report
    holes: int = 0

    def run(self, reflink: bool) -> tuple[str, int]:
        """Copy the bytes; returns the way, and how many were written."""
        source, target = self.source, self.target
        if not source.size:
            return "drain", moving.drain(source, target.fd, self.report, self.hashed)
        if reflink and source.sparse and not target.done and moving.share(source, target.fd):
            return "reflink", self._check(source.size) if self.hashed else 0
        with ignored(OSError):
            os.posix_fadvise(source.fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        if not isinstance(target, Part) and not source.has_holes:
            moving.allocate(target.fd, source.size)
        if self.hashed:
            return "checked", self._check(target.done)
        threads = self._threads()
        if threads > 1:
            moved = moving.spread(source, target.fd, self._ranges(), self.report, self.window, threads)
            return "threads", moved
        return "sendfile", moving.send(source, target.fd, self._ranges(), self.report, self.window)

    def _threads(self) -> int:
        if isinstance(self.target, Part):
            return 1
        if self.threads is not None:
            return min(self.threads, -(-self.source.size // (self.window or moving.SPREAD)))
        processors = len(os.sched_getaffinity(0))
        # In memory (tmpfs) and over a network the kernel's own copy is faster: threads are for filesystems on disks.
        on_disk = os.major(os.fstat(self.target.fd).st_dev) != 0
        # One more than processors: while one waits for the target, the others read.
        return min(processors + 1, _MOST_THREADS) if processors > 1 and on_disk and self.source.size >= _LARGE else 1

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


@contextlib.contextmanager
def _finished(source: Source, target: Target, *, preserve: bool, durable: bool) -> Iterator[None]:
    """The target is opened, and put into its place after the with-block; or abandoned if any of this fails."""
    try:
        with system_calls(target.asked):
            target.open()
            yield
            _complete(source, target)
            if preserve:
                _preserve(source, target.fd)
            else:
                target.dress()
            target.finish(durable=durable)
            target.close()
    except BaseException as error:
        target.abandon(useless=isinstance(error, ChangedError | VerifyError))
        raise
    finally:
        target.close()


def _complete(source: Source, target: Target) -> None:
    """The size of what ends with a hole; and whether what was read is one state of the source."""
    written = os.fstat(target.fd).st_size
    if source.size > written:
        if next(source.data(written, source.size), None) is not None:
            raise ChangedError(f"{target.asked}: another program cut the copy off at {written:,} bytes; do it again")
        os.ftruncate(target.fd, source.size)
    now = os.fstat(source.fd)
    if now.st_size < source.size:
        raise source.shorter(now.st_size)
    if target.done and (now.st_size, now.st_mtime_ns) != (source.size, source.info.st_mtime_ns):
        raise ChangedError(f"{source.path!r} was changed while its copy was gone on with: copy it anew")


def _preserve(source: Source, fd: int) -> None:
    """Owner, extended attributes, permissions and times, as far as this user may."""
    info = source.info
    mode = stat.S_IMODE(info.st_mode)
    try:
        os.fchown(fd, info.st_uid, info.st_gid)
    except PermissionError as error:
        require_ours(error)
        mode &= 0o1777  # set-user-id would be another user's now
    with ignored(OSError):  # a filesystem without attributes
        for name in os.listxattr(source.fd):
            with ignored(OSError):  # an attribute that only the system may set
                os.setxattr(fd, name, os.getxattr(source.fd, name))
    os.fchmod(fd, mode)
    os.utime(fd, ns=(info.st_atime_ns, info.st_mtime_ns))
