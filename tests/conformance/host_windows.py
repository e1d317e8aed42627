"""The replayer's host where each script needs a new process: Windows.

The ctypes of Windows calls foreign functions behind a handler of exceptions, and makes an OSError of a fault.
"""

import contextlib
import ctypes
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

from faults import Fault

LASTS = False
#: Names are known in the whole session.
JOBS = 1
#: The exit code that Popen.kill() passes to TerminateProcess.
KILLED = 1
ROOT: Path | None = None

#: STATUS_GUARD_PAGE_VIOLATION and STATUS_IN_PAGE_ERROR, as ctypes puts the code of an exception into `winerror`.
_KINDS = {0x80000001: "GUARD", 0xC0000006: "INPAGE"}


def popen(*, leader: bool) -> dict[str, Any]:
    return {}


def wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def kill(process: subprocess.Popen[bytes], *, leader: bool) -> None:
    process.kill()


def remove(directory: str) -> None:
    for path, _, names in os.walk(directory):
        for name in names:
            # A file that may only be read may not be deleted either.
            os.chmod(os.path.join(path, name), stat.S_IWRITE)
    shutil.rmtree(directory)


def sleeps(thread: int) -> bool | None:
    return None


def move(local: int, remote: int, count: int, *, store: bool) -> None:
    target, source = (remote, local) if store else (local, remote)
    try:
        ctypes.memmove(target, source, count)
    except OSError as error:
        raise Fault(_kind(error)) from None


def _kind(error: OSError) -> str:
    code: int | None = getattr(error, "winerror", None)
    if code is not None:
        return _KINDS.get(code & 0xFFFFFFFF, "AV")
    # Wine knows a page beyond the end of its file from SIGBUS, and calls it that. Bytes have no alignment to miss.
    return "INPAGE" if "misalignment" in str(error) else "AV"
