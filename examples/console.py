"""The console that every C example has at hand: a line for a call that failed, and getchar() to wait."""

import contextlib
import sys

from namedmap.win32 import FORMAT_MESSAGE_FROM_SYSTEM, FormatMessage, GetLastError


def failed(call: str) -> int:
    """Print why the call that has just failed did so; return 1, the exit status of a program that gives up."""
    error = GetLastError()
    reason = FormatMessage(FORMAT_MESSAGE_FROM_SYSTEM, None, error, 0)
    print(f"{call} failed with {error}: {reason}".rstrip(), file=sys.stderr)
    return 1


def wait_for_enter(prompt: str) -> None:
    """Print the prompt and wait for Enter; the end of the input and Ctrl-C count as Enter too."""
    with contextlib.suppress(KeyboardInterrupt):
        print(prompt, flush=True)
        sys.stdin.readline()
