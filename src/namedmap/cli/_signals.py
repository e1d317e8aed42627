"""Other programs on Linux: started with the signals that a shell would leave them, and told of those meant for them."""

import contextlib
import os
import shlex
import signal
import sys
from signal import pthread_sigmask, sigwaitinfo
from typing import NoReturn

from namedmap.cli import _app

#: Sent to us by `kill`, they are passed on.
_FORWARDED = {
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
}
#: si_code of a signal that the kernel sends, as the terminal's do to the whole foreground group: the program has it.
_BY_KERNEL = 0x80


def run(words: list[str]) -> int:
    """Run a program to its end; returns its status as a shell has it: 128 + n if signal n ended it."""
    watched = _FORWARDED | {signal.SIGCHLD}
    # Blocked and fetched one by one, a signal says who sent it, and cannot come between the start and the wait.
    before = pthread_sigmask(signal.SIG_BLOCK, watched)
    # Ignored, as some parents leave it, it would take the status of the program with it.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        pid = _start(words, before)
        while True:
            info = sigwaitinfo(watched)
            if info.si_signo == signal.SIGCHLD:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    return _as_shell(os.waitstatus_to_exitcode(status))
            elif info.si_code != _BY_KERNEL and info.si_pid != pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, info.si_signo)
    finally:
        pthread_sigmask(signal.SIG_SETMASK, before)


def _start(words: list[str], mask: set[int | signal.Signals]) -> int:
    if sys.stdout is not None:
        sys.stdout.flush()
    try:
        # Python ignores SIGPIPE, and the program must not inherit that.
        return os.posix_spawnp(words[0], words, os.environ, setsigmask=mask, setsigdef=[signal.SIGPIPE])
    except OSError as error:
        _app.refuse_to_run(words[0], error)


def _as_shell(status: int) -> int:
    return status if status >= 0 else 128 - status


def hold() -> NoReturn:
    """Sleep until a signal ends the program."""
    while True:
        signal.pause()


def quoted(words: list[str]) -> str:
    """Words as a command line of a shell."""
    return shlex.join(words)
