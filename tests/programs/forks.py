"""A server that starts processes cheaply: it has imported what they need, and never opens an object itself.

A process that it forks is as unrelated to other holders of an object as a new program is, and there a hundred times
sooner. Each line on stdin is a function of this module with its arguments; the answer is the pid, the process says the
rest. They end with the server.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import traceback

import numpy

import namedmap

_PR_SET_PDEATHSIG = 1


def say(**what: object) -> None:
    """A line in one piece, also among those of others."""
    os.write(1, json.dumps(what).encode() + b"\n")


def read(name: str) -> None:
    """Attach, look at every page, say so, and stay."""
    block = namedmap.attach(name)
    say(total=int(block.value.view("u1")[:: os.sysconf("SC_PAGESIZE")].sum()))
    signal.pause()


def publish_forever(name: str, size: str) -> None:
    """Publish arrays of one value each, and close them, until killed."""
    value = 0
    while True:
        value = (value + 1) % 256
        array = numpy.full(int(size), value, "u1")
        with contextlib.suppress(namedmap.ExistsError), namedmap.publish(name, array):
            pass


def read_forever(name: str) -> None:
    """Attach, look and close, until killed."""
    while True:
        with contextlib.suppress(namedmap.NotFoundError, namedmap.BlockError), namedmap.attach(name) as block:
            block.value.sum()


def _start(function: str, *arguments: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        globals()[function](*arguments)
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    for line in sys.stdin:
        say(pid=_start(*line.split()))


if __name__ == "__main__":
    main()
