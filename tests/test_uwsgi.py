"""uWSGI, from PyPI: its master loads the program and forks the workers in C, without Python's hooks."""

import concurrent.futures
import contextlib
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import namedmap
from calls import object_files, sweep
from child import WATCHDOG, eventually, pypi

UWSGI = "uwsgi==2.0.31"
#: Its master and its Python, without what else it has, and not optimized: a third of the build.
SMALL = {
    "UWSGI_PROFILE": "core",
    "UWSGI_PROFILE_OVERRIDE": ";".join(
        ["embedded_plugins=python", *(f"{each}=false" for each in ("ssl", "xml", "yaml", "json", "pcre", "routing"))]
    ),
    "CFLAGS": "-O0 -g0",
}
WORKERS, CLIENTS, REQUESTS = 4, 6, 250

#: Each request counts, in shared memory under a mutex, and notes its worker at the place of its number.
PROGRAM = """
import os, time, warnings
import namedmap

warnings.simplefilter("ignore", namedmap.AbandonedMutexWarning)  # workers are killed on purpose
mutex = namedmap.Mutex("uwsgi")
memory = namedmap.open_or_create("uwsgi memory", 8 + 8 * 100_000)
view = memory.view()

def load(index):
    return int.from_bytes(view[8 * index : 8 * index + 8], "little")

def store(index, value):
    view[8 * index : 8 * index + 8] = value.to_bytes(8, "little")

def application(environ, start_response):
    with mutex:
        number = load(0) + 1
        time.sleep(0.0005)  # others come meanwhile
        store(0, number)
        store(number, os.getpid())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{number} {os.getpid()}".encode()]
"""


@pytest.fixture(scope="session")
def uwsgi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """uWSGI's program, built for this Python."""
    if shutil.which("cc") is None:
        pytest.skip("uWSGI is built from its source, and there is no C compiler (cc)")
    place = tmp_path_factory.mktemp("uwsgi")
    return pypi.install(place, UWSGI, seconds=900, or_skip="uWSGI cannot be built here", **SMALL) / "bin" / "uwsgi"


class Server:
    """uWSGI with the program, and what asks it."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process, self.port = process, port

    def ask(self) -> tuple[int, int] | None:
        """Number and worker of one request; None if its worker was killed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WATCHDOG)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/")
                words = connection.getresponse().read().split()
            except (OSError, http.client.HTTPException):
                return None
        return (int(words[0]), int(words[1])) if len(words) == 2 else None

    def workers(self) -> list[int]:
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(word) for word in Path(path).read_text(encoding="utf-8").split()]


@pytest.fixture
def serve(uwsgi: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start uWSGI on a port of its own; it is ended, with its workers."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> Server:
        (tmp_path / "counting.py").write_text(PROGRAM, encoding="utf-8")
        listening = socket.create_server(("127.0.0.1", 0))
        with listening:
            port = listening.getsockname()[1]
            command = [
                str(uwsgi), "--http-socket", f"fd://{listening.fileno()}", "--master", "--processes", str(WORKERS),
                "--module", "counting", "--need-app", "--die-on-term", "--worker-reload-mercy", "5",
                "--disable-logging", *options,
            ]  # fmt: skip
            search = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
            log = (tmp_path / "log").open("wb")
            with log:
                process = subprocess.Popen(
                    command,
                    env=os.environ | {"PYTHONPATH": search, "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}"},
                    pass_fds=[listening.fileno()],
                    stdout=log,
                    stderr=log,
                )
        started.append(process)
        server = Server(process, port)

        def answers() -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()
            return server.ask() is not None

        eventually(answers, "uWSGI's first answer")
        return server

    yield start
    for process in started:
        process.terminate()
        try:
            process.wait(WATCHDOG)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    sweep()


WAYS = {
    "as it comes": (),
    "threads": ("--enable-threads", "--threads", "2"),
    "telling Python": ("--py-call-osafterfork",),
    "loading in each worker": ("--lazy-apps",),
}
fatal = pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="uWSGI 2.0.31 ends in a fatal error of Python 3.13 so, whatever the program"
)


@pytest.mark.leaves_dead_files
@pytest.mark.parametrize(
    "options",
    [pytest.param(way, id=name, marks=[fatal] if name == "telling Python" else ()) for name, way in WAYS.items()],
)
class TestCounting:
    """Every number is given once, whoever of the workers is killed."""

    def test_workers_do_not_share_a_lock(self, serve: Callable[..., Server], options: tuple[str, ...]) -> None:
        """Requests at the same time, to four workers."""
        server = serve(*options)
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
            answers = list(clients.map(lambda _: server.ask(), range(REQUESTS)))
        numbers = [answer[0] for answer in answers if answer is not None]
        assert len(numbers) == REQUESTS
        assert sorted(numbers) == list(range(2, REQUESTS + 2))  # the first was asked at the start

    def test_workers_killed_at_random(self, serve: Callable[..., Server], options: tuple[str, ...]) -> None:
        """A request that was answered was counted once; a worker that was killed has counted its request or has not."""
        # Where each worker loads the program, all of them can be dead at once, and the numbers would end with them.
        memory = namedmap.create("uwsgi memory", 8 + 8 * 100_000)
        server = serve(*options)
        killed = 0
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
            asked = [clients.submit(server.ask) for _ in range(REQUESTS)]
            while not all(each.done() for each in asked):
                time.sleep(random.uniform(0.02, 0.2))
                with contextlib.suppress(ProcessLookupError, IndexError):
                    os.kill(random.choice(server.workers()), signal.SIGKILL)
                    killed += 1
        numbers = [answer[0] for each in asked if (answer := each.result()) is not None]
        assert killed
        assert numbers
        assert len(set(numbers)) == len(numbers)
        last = eventually(server.ask, "an answer after the kills")
        assert 1 + len(numbers) < last[0] <= REQUESTS + 2 + 60
        memory.close()
        assert any("uwsgi" in path for path in object_files())
