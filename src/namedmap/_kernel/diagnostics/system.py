"""The parts of this system that named objects depend on, and what of it is amiss: each finding with its remedy.

A finding is (level, what, remedy): level "ok", "note" (worth knowing), "warning" (will fail some day, or in some calls)
or "problem" (named objects do not work). Nothing is changed.
"""

import contextlib
import ctypes
import errno
import glob
import os
import re
import resource
import stat
from collections.abc import Iterator
from typing import NamedTuple

from namedmap._convention.status import KernelError, ignored, require_ours
from namedmap._kernel.linux import compiled, libc, limits, locks, userfault
from namedmap._kernel.names import namespace

OK, NOTE, WARNING, PROBLEM = "ok", "note", "warning", "problem"

Finding = tuple[str, str, str]

_FEW_FILES, _LITTLE_SPACE = 1024, 64 << 20
#: Users below this are of the system, and logind leaves their objects alone.
_FIRST_USER = 1000


class Mount(NamedTuple):
    """A line of /proc/self/mounts."""

    where: str
    kind: str
    options: str


def findings() -> Iterator[Finding]:
    """All that can be told about the place of objects, limits, the login manager and the kernel."""
    space = namespace.fresh_one()
    yield from _place(space)
    yield from _space(space.root)
    yield from _limits()
    yield from _login(space)
    yield from _kernel()
    yield from _core()
    yield from _processes()


def mount_of(path: str) -> Mount | None:
    """The mount that a path lies on."""
    found: Mount | None = None
    with ignored(OSError), open("/proc/self/mounts", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            _, where, kind, options, *_ = line.split(" ")
            where = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), where)
            inside = path == where or path.startswith(where.rstrip("/") + "/")
            if inside and (found is None or len(where) >= len(found.where)):
                found = Mount(where, kind, options)
    return found


def memory_filesystem(fd: int) -> str | None:
    """The kind of the filesystem of a file if it lives in memory, and has no other place."""
    mount = mount_of(os.path.realpath(f"/proc/self/fd/{fd}"))
    return mount.kind if mount is not None and mount.kind in ("tmpfs", "ramfs", "devtmpfs") else None


# -- where objects live ------------------------------------------------------------------------------------------------


def _place(space: namespace.Namespace) -> Iterator[Finding]:
    if os.environ.get("NAMEDMAP_ROOT"):
        yield (
            NOTE,
            f"NAMEDMAP_ROOT puts objects into {space.root}",
            "programs without it do not see them: set it for all",
        )
    try:
        space.prepare()
        space.require_local()
    except KernelError as error:
        yield PROBLEM, error.detail, "see there"
        return
    yield OK, f"objects live in {space.local}, global ones in {space.root}", ""
    info = os.stat(space.root)
    if stat.S_IMODE(info.st_mode) & 0o1002 != 0o1002:
        yield (
            NOTE,
            f"{space.root} is not open to every user",
            "other users cannot have objects there; fine for one user",
        )
    mount = mount_of(os.path.realpath(space.root))
    if mount is None:
        return
    if mount.kind != "tmpfs":
        what = f"{space.root} is on {mount.kind}, not tmpfs: it is written to the disk, and reserved pages do not fault"
        yield WARNING, what, "use /dev/shm, or mount a tmpfs there"
    if "noexec" in mount.options.split(","):
        yield NOTE, f"{mount.where} is mounted noexec: views with execute access fail", "mount -o remount,exec"


def _space(root: str) -> Iterator[Finding]:
    try:
        space = os.statvfs(root)
    except OSError as error:
        require_ours(error)
        return
    whole, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
    remedy = f"enlarge it (mount -o remount,size=… {root}; docker run --shm-size=…), or set NAMEDMAP_ROOT"
    text = f"{root} has {free:,} of {whole:,} bytes free"
    if free < whole // 10:
        yield WARNING, text, f"{remedy}; namedmap gc removes what the dead have left"
    elif whole <= _LITTLE_SPACE:
        yield WARNING, f"{text}, which is little (the default of containers)", remedy
    else:
        yield OK, text, ""
    if space.f_files and space.f_favail < space.f_files // 20:
        yield WARNING, f"{root} has {space.f_favail:,} of {space.f_files:,} inodes free", "mount -o remount,nr_inodes=…"


# -- limits ------------------------------------------------------------------------------------------------------------


def _limits() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"a process may have {soft:,} descriptors, one for each object that it holds"
    if soft != resource.RLIM_INFINITY and soft <= _FEW_FILES:
        yield NOTE, text, f"ulimit -n {hard if hard > soft else 65536}, or LimitNOFILE= of its unit, if it holds many"
    else:
        yield OK, text, ""
    for limit, name, option, consequence in (
        (resource.RLIMIT_FSIZE, "RLIMIT_FSIZE", "ulimit -f unlimited", "a larger object is refused"),
        (resource.RLIMIT_AS, "RLIMIT_AS", "ulimit -v unlimited", "a view beyond it cannot be mapped"),
    ):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY:
            yield WARNING, f"{name} is {most:,} bytes: {consequence}", option
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if locked != resource.RLIM_INFINITY:
        yield NOTE, f"{locked:,} bytes of memory may be locked (View.lock)", "ulimit -l, or LimitMEMLOCK= of its unit"
    for most, available, remedy in limits.limits():
        if available < most // 20:
            yield WARNING, f"{max(available, 0):,} of {most:,} bytes of memory are free", remedy
    if _setting("/proc/sys/vm/overcommit_memory") == 2:
        yield NOTE, "the machine does not overcommit memory: large private views are refused", "vm.overcommit_memory=0"


def _setting(path: str) -> int | None:
    with ignored(OSError, ValueError), open(path, encoding="utf-8") as file:
        return int(file.read())
    return None


# -- the login manager -------------------------------------------------------------------------------------------------


def _login(space: namespace.Namespace) -> Iterator[Finding]:
    if not os.path.isdir("/run/systemd/system"):
        yield OK, "no systemd runs here, which could remove objects when their user logs out", ""
        return
    if not space.root.startswith(namespace.DEFAULT_ROOT):
        return
    if space.uid < _FIRST_USER:
        yield OK, "logind leaves the objects of system users alone", ""
    elif not _removes_ipc():
        yield OK, "logind does not remove objects (RemoveIPC=no)", ""
    elif _lingers(space.uid):
        yield OK, "logind removes the objects of users who have logged out, but this one lingers", ""
    else:
        what = "logind removes objects when their user has logged out, also those in use (RemoveIPC=yes)"
        yield WARNING, what, "loginctl enable-linger, or RemoveIPC=no in /etc/systemd/logind.conf"


def _removes_ipc() -> bool:
    """By the configuration of logind, whose later files overrule the earlier ones; the default is yes."""
    value = "yes"
    drop_ins = [
        path for place in ("/usr/lib", "/run", "/etc") for path in glob.glob(f"{place}/systemd/logind.conf.d/*.conf")
    ]
    for path in ("/usr/lib/systemd/logind.conf", "/etc/systemd/logind.conf", *sorted(drop_ins, key=os.path.basename)):
        with ignored(OSError), open(path, encoding="utf-8", errors="replace") as file:
            value = (re.findall(r"^\s*RemoveIPC\s*=\s*(\w+)", file.read(), re.MULTILINE) or [value])[-1]
    return value.lower() in ("yes", "true", "on", "1")


def _lingers(uid: int) -> bool:
    import pwd

    with contextlib.suppress(KeyError):
        return os.path.exists(f"/var/lib/systemd/linger/{pwd.getpwuid(uid).pw_name}")
    return False


# -- the kernel --------------------------------------------------------------------------------------------------------


def _kernel() -> Iterator[Finding]:
    system = os.uname()
    yield OK, f"{system.sysname} {system.release}", ""
    for level, works, what, lost in (
        (PROBLEM, _has_locks, "locks of open files (OFD, Linux 3.15)", "nothing counts the holders of an object"),
        (
            NOTE,
            _has_unnamed_memory,
            "memfd_create (Linux 3.17)",
            "no inherited handles, no anonymous maps",
        ),
        (NOTE, _can_wait_for_several, "futex_waitv (Linux 5.16)", "waits for several objects look every 5 ms"),
        (NOTE, _can_reserve, "userfaultfd for user mode (Linux 5.11)", "reserved pages do not fault when touched"),
        (NOTE, _can_copy, "process_vm_readv", "a file that is cut off during a read can end the reader by SIGBUS"),
        (NOTE, _has_pidfd, "pidfd_open (Linux 5.3)", "OpenProcess fails"),
        (NOTE, _can_count_pages, "cachestat (Linux 6.5)", "dirty pages cannot be told"),
    ):
        if works():
            yield OK, what, ""
        else:
            yield level, f"{what} is missing or forbidden: {lost}", "a newer kernel, or a container that allows it"


@contextlib.contextmanager
def _memory() -> Iterator[int]:
    fd = namespace.unnamed_file()
    try:
        os.truncate(fd, libc.PAGE)
        yield fd
    finally:
        os.close(fd)


def _has_unnamed_memory() -> bool:
    try:
        os.close(os.memfd_create("namedmap", os.MFD_CLOEXEC))
    except OSError as error:
        require_ours(error)
        return False
    return True


def _has_locks() -> bool:
    with ignored(OSError, KernelError), _memory() as fd:
        return locks.try_lock(fd, locks.GUARD, exclusive=True)
    return False


def _can_wait_for_several() -> bool:
    word = ctypes.c_uint32(1)
    waiter = libc.futex_waiter(0, ctypes.addressof(word), libc.FUTEX2_SIZE_U32, 0)
    limit = libc.timespec(0, 0)
    libc.futex_waitv(libc.SYS_FUTEX_WAITV, ctypes.byref(waiter), 1, 0, ctypes.byref(limit), 1)
    return ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS)


def _can_reserve() -> bool:
    probe = userfault.FaultGuard()
    with ignored(OSError, KernelError), _memory() as fd:
        address = libc.mmap(None, libc.PAGE, libc.PROT_READ, libc.MAP_SHARED, fd, 0)
        try:
            return probe.register(address, libc.PAGE)
        finally:
            libc.munmap(address, libc.PAGE)
            probe.after_fork()
    return False


def _can_copy() -> bool:
    source, target = ctypes.create_string_buffer(b"x"), ctypes.create_string_buffer(1)
    here, there = (libc.iovec(ctypes.addressof(each), 1) for each in (target, source))
    return bool(libc.process_vm_readv(os.getpid(), here, 1, there, 1, 0) == 1)


def _has_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        require_ours(error)
        return False
    return True


def _can_count_pages() -> bool:
    with ignored(OSError, KernelError), _memory() as fd:
        span, found = libc.cachestat_range(0, libc.PAGE), libc.cachestat()
        return bool(libc.cachestat_(libc.SYS_CACHESTAT, fd, ctypes.byref(span), ctypes.byref(found), 0) == 0)
    return False


def _core() -> Iterator[Finding]:
    if compiled.absence is None:
        yield OK, "the compiled core is in use", ""
    else:
        reason, remedy = compiled.absence
        yield NOTE, f"the Python code does everything, slower than the compiled core would: {reason}", remedy


def _processes() -> Iterator[Finding]:
    if not os.path.exists("/proc/self/fdinfo"):
        yield (
            WARNING,
            "/proc is not mounted: holders cannot be named; no file can be mapped; forked children borrow locks",
            "mount -t proc proc /proc",
        )
        return
    mount = mount_of("/proc")
    if mount and re.search(r"hidepid=(?!0|off)", mount.options) and os.geteuid():
        yield NOTE, "/proc hides the processes of other users (hidepid)", "ask as root who holds a global object"


__all__ = ["NOTE", "OK", "PROBLEM", "WARNING", "findings", "memory_filesystem", "mount_of"]
