"""Where views go: addresses that are multiples of 64 KiB, in a stretch of the address space that is ours alone.

mmap aligns to pages; Windows promises 64 KiB, and programs rely on it. The kernel hands out addresses downward from the
stack, so a stretch far below is free, and one mmap with MAP_FIXED_NOREPLACE per view is enough; a stray pointer past
the end of a view then meets unmapped memory and not Python's heap. Where the stretch is not to be had (39-bit address
spaces, address sanitizers) a larger piece is mapped and trimmed.
"""

import ctypes
import errno
import random

from namedmap._convention.status import NTSTATUS, KernelError
from namedmap._kernel.linux import libc

GRANULARITY = 0x10000
HUGE = 1 << 21  # the size of a large page
LOWEST, HIGHEST = 0x10000, 0x7FFF_FFFE_FFFF

_RESERVED = libc.MAP_PRIVATE | libc.MAP_ANONYMOUS | libc.MAP_NORESERVE

#: Below is what the compiled core maps.
START, _END = 0x2000_0000_0000, 0x5000_0000_0000


def round_up(size: int) -> int:
    return -(-size // GRANULARITY) * GRANULARITY


class Arena:
    """Hands out addresses. Not safe between threads by itself: `space` has the lock."""

    def __init__(self) -> None:
        # A random start keeps the addresses as hard to guess as the kernel's own.
        self._fresh = START + random.SystemRandom().randrange(1 << 28) * GRANULARITY
        self._freed: tuple[int, int] | None = None
        # With a neighbour that stays, the kernel keeps the page tables when a view that stands alone is unmapped.
        if map_at(self._fresh, GRANULARITY, libc.PROT_NONE, _RESERVED, -1, 0):
            self._fresh += GRANULARITY

    def map(self, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        """mmap at an address of the arena's choice."""
        if length >= HUGE:
            return self._map_huge(length, prot, flags, fd, offset)
        freed = self._freed
        if freed is not None and length <= freed[1]:
            self._freed, base = None, freed[0]
            found = libc.mmap(base, length, prot, flags | libc.MAP_FIXED_NOREPLACE, fd, offset)
            if found == base or _refused(found, base, length):
                return base
        slot = round_up(length)
        for _ in range(8):
            base, self._fresh = self._fresh, self._fresh + slot
            if self._fresh > _END:
                self._fresh = START
                continue
            if map_at(base, length, prot, flags, fd, offset):
                return base
        return _map_trimmed(length, prot, flags, fd, offset)

    def _map_huge(self, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        """mmap where address and offset agree modulo 2 MiB: large pages of the page cache then map as such."""
        for _ in range(8):
            base = -(-self._fresh // HUGE) * HUGE + offset % HUGE
            self._fresh = round_up(base + length)
            if self._fresh > _END:
                self._fresh = START
            elif map_at(base, length, prot, flags, fd, offset):
                return base
        return _map_trimmed(length, prot, flags, fd, offset)

    def map_below(self, limit: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        """mmap at the highest free address that ends below a limit; looks at 4096 places at most."""
        base = (limit - length) // GRANULARITY * GRANULARITY
        for candidate in range(base, max(base - 4096 * GRANULARITY, LOWEST), -GRANULARITY):
            if map_at(candidate, length, prot, flags, fd, offset):
                return candidate
        raise KernelError(NTSTATUS.STATUS_NO_MEMORY, f"no {length:,} bytes are free below {limit:#x}")

    def unmap(self, base: int, length: int) -> None:
        libc.munmap(base, length)
        # A low address, which somebody has asked for, is left to those who ask for one.
        if base >= START:
            self._freed = base, -(-length // GRANULARITY) * GRANULARITY


def map_at(base: int, length: int, prot: int, flags: int, fd: int, offset: int) -> bool:
    """mmap at exactly this address; False if something is there, or nothing may be."""
    found = libc.mmap(base, length, prot, flags | libc.MAP_FIXED_NOREPLACE, fd, offset)
    return found == base or _refused(found, base, length)


def _refused(found: int, base: int, length: int) -> bool:
    """False where mmap has not mapped at a base because something is there, or nothing may be; else its error."""
    if found != libc.MAP_FAILED:  # a kernel before 4.17 takes the address for a hint
        libc.munmap(found, length)
        return False
    if ctypes.get_errno() in (errno.EEXIST, errno.EINVAL) or (ctypes.get_errno() == errno.EPERM and base < 0x100000):
        return False
    raise failed(length)


def _map_trimmed(length: int, prot: int, flags: int, fd: int, offset: int) -> int:
    span = length + GRANULARITY
    found = libc.mmap(None, span, libc.PROT_NONE, _RESERVED, -1, 0)
    if found == libc.MAP_FAILED:
        raise failed(length)
    base = round_up(found)
    if libc.mmap(base, length, prot, flags | libc.MAP_FIXED, fd, offset) == libc.MAP_FAILED:
        code = ctypes.get_errno()
        libc.munmap(found, span)
        ctypes.set_errno(code)
        raise failed(length)
    if base > found:
        libc.munmap(found, base - found)
    if found + span > base + length:
        libc.munmap(base + length, found + span - base - length)
    return base


def failed(length: int) -> KernelError:
    """The error for the mmap that has just failed in this thread."""
    code = ctypes.get_errno()
    if code == errno.ENOMEM:
        return KernelError(
            NTSTATUS.STATUS_NO_MEMORY,
            f"cannot map {length:,} bytes: no address space is left, or too many views are mapped (vm.max_map_count)",
        )
    if code in (errno.EPERM, errno.EACCES):
        return KernelError(
            NTSTATUS.STATUS_ACCESS_DENIED,
            "the file's filesystem or permissions do not allow such a mapping (for execution: mounted noexec)",
        )
    if code == errno.ENODEV:
        return KernelError(
            NTSTATUS.STATUS_INVALID_FILE_FOR_SECTION,
            "what the file lies on cannot map files: copy the file elsewhere, or read it",
        )
    return KernelError(NTSTATUS.STATUS_INVALID_PARAMETER, f"mmap refused {length:,} bytes (errno {code})")
