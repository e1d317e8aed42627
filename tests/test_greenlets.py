"""Programs that gevent or eventlet have patched, and gunicorn's and Celery's workers: real ones, from PyPI."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import namedmap
from child import WATCHDOG, Spawn, eventually, pypi
from namedmap import Mutex

WORKERS, CLIENTS, REQUESTS = 3, 6, 20

#: Before each program: `spawn` starts a greenlet, `join` waits for greenlets.
PROLOGUES = {
    "gevent": """
        import gevent.monkey; gevent.monkey.patch_all()
        import gevent, time
        spawn = gevent.spawn
        def join(*each): gevent.joinall(each, raise_error=True)
        """,
    "eventlet": """
        import eventlet; eventlet.monkey_patch()
        import time
        spawn = eventlet.spawn
        def join(*each): [one.wait() for one in each]
        """,
}
#: Before that, in programs that are patched late.
EARLY = "import namedmap; namedmap.Mutex('early').acquire(0)\n"
#: Behind it: names of the package, and what carries results.
COMMON = """
import json, sys, warnings
import namedmap
from namedmap import *
warnings.simplefilter("ignore")
def say(text): print(text, flush=True)
"""

#: Runs a script, and gives its `result`.
Run = Callable[[str], object]


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of this test's own with what is installed for it."""
    place = tmp_path_factory.mktemp("libraries")
    wanted = ("gevent", "eventlet", "gunicorn", "celery")
    return pypi.install(place, "--only-binary", ":all:", *wanted, or_skip="pip cannot install them for this Python")


def environment(libraries: Path, *more: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(libraries), *map(str, more), *sys.path])}


def a_mutex_keeps_greenlets_apart(run: Run) -> None:
    """One at a time, in order of arrival, though all are in one thread."""
    order = run("""
        mutex, inside, order = Mutex(), [], []
        def work(number):
            with mutex:
                inside.append(number)
                time.sleep(0.001)
                assert inside == [number]
                inside.remove(number)
                order.append(number)
        join(*[spawn(work, number) for number in range(30)])
        result = order
        """)
    assert order == list(range(30))


def the_others_run_while_one_waits(run: Run) -> None:
    """In every sort of wait: by method, for any, for all, by Win32 functions, of a process."""
    ticks = run("""
        import os
        from namedmap import win32
        event, semaphore, mutex, over = Event(), Semaphore(None, 0), Mutex(), []
        def hold():
            mutex.acquire()
            while not over: time.sleep(0.01)
        def count(ticks):
            while True:
                time.sleep(0.001)
                ticks.append(1)
        holder = spawn(hold)
        time.sleep(0)
        handle, other = event.handle, semaphore.handle
        process = win32.OpenProcess(win32.SYNCHRONIZE, False, os.getppid())
        seen = []
        for wait in (
            lambda: event.wait(0.1), lambda: semaphore.acquire(0.1), lambda: mutex.acquire(0.1),
            lambda: wait_any([event, semaphore], 0.1), lambda: wait_all([event, semaphore], 0.1),
            lambda: win32.WaitForSingleObject(handle, 100) != win32.WAIT_TIMEOUT,
            lambda: win32.WaitForSingleObject(process, 100) != win32.WAIT_TIMEOUT,
            lambda: win32.WaitForMultipleObjects(2, [handle, other], True, 100) != win32.WAIT_TIMEOUT,
            lambda: win32.SignalObjectAndWait(other, handle, 100, False) != win32.WAIT_TIMEOUT,
        ):
            ticks = []
            counter = spawn(count, ticks)
            while len(ticks) < 2:  # a busy machine may take all the time of a wait
                assert not wait()
            counter.kill()
            seen.append(len(ticks))
            semaphore.acquire(0)
        over.append(True)
        join(holder)
        result = seen
        """)
    assert isinstance(ticks, list)
    assert all(each > 1 for each in ticks), ticks


def owners_are_greenlets(run: Run) -> None:
    """Recursive for its owner; nobody else may release; the end of the owner abandons."""
    seen = run("""
        mutex, seen = Mutex(), []
        def leave():
            mutex.acquire()
            mutex.acquire()
            time.sleep(0.05)
        owner = spawn(leave)
        time.sleep(0)
        try:
            mutex.release()
        except namedmap.NotOwnerError:
            seen.append("refused")
        seen += [mutex.owned(), mutex.acquire(timeout=0), mutex.acquire(), mutex.abandoned]
        join(owner)
        mutex.release()
        seen.append(mutex.locked())
        result = seen
        """)
    assert seen == ["refused", False, False, True, True, False]


def a_plain_greenlet(run: Run) -> None:
    """It cannot tell of its end; a waiter in its process finds out."""
    seen = run("""
        import greenlet
        mutex = Mutex()
        plain = greenlet.greenlet(mutex.acquire)
        plain.switch()
        result = [mutex.acquire(), mutex.abandoned]
        """)
    assert seen == [True, True]


def each_signal_releases_one(run: Run) -> None:
    """An automatic event that is set twice releases two greenlets, a semaphore as many as are added."""
    seen = run("""
        event, semaphore, got = Event(manual=False), Semaphore(None, 0), []
        waits = [spawn(lambda: got.append(wait_any([event, semaphore]))) for _ in range(5)]
        time.sleep(0.01)
        event.set(); event.set(); semaphore.release(3)
        join(*waits)
        result = [sorted(got), event.is_set(), semaphore.value]
        """)
    assert seen == [[0, 0, 1, 1, 1], False, 0]


def a_wait_that_is_killed(run: Run) -> None:
    """It takes nothing, and what had been given to it goes to the next."""
    seen = run("""
        event, got = Event(manual=False), []
        first, second = [spawn(lambda: got.append(event.wait())) for _ in range(2)]
        time.sleep(0.01)
        event.set()
        first.kill()  # it may have gone on before
        while not got:
            time.sleep(0.001)
        second.kill()
        result = [got, event.is_set()]
        """)
    assert seen == [[True], False]


def with_another_process(run: Run) -> None:
    """A release by another process wakes, and so does its death."""
    seen = run("""
        import os, signal, subprocess, sys
        mutex, go, back = Mutex("mutex"), Event("go", manual=False), Event("back", manual=False)
        code = '''if True:
            from namedmap import Event, Mutex
            mutex, go, back = Mutex("mutex"), Event("go", manual=False), Event("back", manual=False)
            mutex.acquire(); back.set(); go.wait()
            mutex.release(); go.wait()
            mutex.acquire(); back.set(); go.wait()
            '''
        child = subprocess.Popen([sys.executable, "-c", code])
        back.wait()
        seen = [mutex.acquire(timeout=0)]
        waiter = spawn(lambda: (seen.append(mutex.acquire()), mutex.release()))
        time.sleep(0.01); go.set(); join(waiter)
        go.set(); back.wait()
        waiter = spawn(lambda: (seen.append(mutex.acquire()), seen.append(mutex.abandoned), mutex.release()))
        time.sleep(0.01); child.kill(); child.wait(); join(waiter)
        result = seen
        """)
    assert seen == [False, True, True, True]


def nobody_waits_for_the_helper(run: Run) -> None:
    """A program that has waited is done when its own greenlets are."""
    seen = run("""
        event = Event()
        waiter = spawn(event.wait)
        time.sleep(0.01)
        event.set()
        join(waiter)
        if "gevent" in globals():
            assert gevent.wait(timeout=30)
        result = "done"
        """)
    assert seen == "done"


#: In this order: the first waits until its process has nothing more to do, which others leave behind.
RULES = (
    nobody_waits_for_the_helper,
    a_mutex_keeps_greenlets_apart,
    the_others_run_while_one_waits,
    owners_are_greenlets,
    a_plain_greenlet,
    each_signal_releases_one,
    a_wait_that_is_killed,
    with_another_process,
)


@pytest.mark.parametrize("library", PROLOGUES)
@pytest.mark.parametrize("when", ["patched first", "patched late"])
def test_patched_programs(libraries: Path, spawn: Spawn, library: str, when: str) -> None:
    """Each of the rules above holds in a process that is patched, before or after it has imported namedmap."""
    prologue = EARLY * (when == "patched late") + textwrap.dedent(PROLOGUES[library]) + COMMON
    patched = spawn(prologue=prologue, environment=environment(libraries))

    def run(script: str) -> object:
        patched.run(script)
        return patched.value("result")

    for rule in RULES:
        rule(run)
    assert patched.end() == 0


APPLICATION = """
import os, sys, time
import namedmap

def add():
    # Not atomic, and others run in the middle.
    with namedmap.Mutex("counter.lock"), namedmap.open("counter", access="write") as counter:
        with counter.view() as view:
            value = int.from_bytes(view[:8], "little")
            time.sleep(0.001)
            view[:8] = (value + 1).to_bytes(8, "little")

def app(environ, start_response):
    add()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.fixture
def counter() -> Iterator[namedmap.FileMapping]:
    """A number in shared memory, and the lock that guards it, for as long as the test lasts."""
    with namedmap.create("counter", 8) as mapping, contextlib.closing(Mutex("counter.lock")):
        yield mapping


def value_of(counter: namedmap.FileMapping) -> int:
    with counter.view() as view:
        return int.from_bytes(view[:8], "little")


@pytest.mark.parametrize(
    "options",
    ["-k gevent", "-k gevent --preload", "-k sync", "-k gthread --threads 4"],
    ids=["gevent", "gevent-preload", "sync", "gthread"],
)
def test_gunicorn(options: str, libraries: Path, tmp_path: Path, counter: namedmap.FileMapping) -> None:
    """A counter behind a lock counts every request, over several workers."""
    (tmp_path / "application.py").write_text(APPLICATION)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        port, fd = listening.getsockname()[1], listening.fileno()
        command = [sys.executable, "-m", "gunicorn", *options.split(), "-w", str(WORKERS), "-b", f"fd://{fd}"]
        server = subprocess.Popen(
            [*command, "application:app"], cwd=tmp_path, env=environment(libraries, tmp_path), pass_fds=[fd],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            answers = _ask(port)
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                _, log = server.communicate(timeout=WATCHDOG)
            except subprocess.TimeoutExpired:
                server.kill()
                _, log = server.communicate()
    assert answers == CLIENTS * REQUESTS, log
    assert value_of(counter) == CLIENTS * REQUESTS


def _ask(port: int) -> int:
    """So many clients ask so many times each; how many answers were good."""
    good: list[int] = []

    def ask() -> None:
        for _ in range(REQUESTS):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WATCHDOG)
            with contextlib.closing(connection), contextlib.suppress(OSError):
                connection.request("GET", "/")
                good.append(connection.getresponse().status == 200)

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(2 * WATCHDOG)
    return sum(good)


TASKS = """
import os
from celery import Celery
import application

place = os.environ["QUEUE"]
app = Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={"data_folder_in": place, "data_folder_out": place, "control_folder": place},
    worker_hijack_root_logger=False,
    task_ignore_result=True,
)

@app.task
def add():
    application.add()
"""


def test_celery(libraries: Path, tmp_path: Path, counter: namedmap.FileMapping) -> None:
    """Its forked workers count every task."""
    (tmp_path / "application.py").write_text(APPLICATION)
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "queue").mkdir()
    settings = environment(libraries, tmp_path) | {"QUEUE": str(tmp_path / "queue")}
    send = f"import tasks; [tasks.add.delay() for _ in range({CLIENTS * REQUESTS})]"
    subprocess.run([sys.executable, "-c", send], cwd=tmp_path, env=settings, timeout=WATCHDOG, check=True)
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "prefork", "-c", str(WORKERS)]
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with open(tmp_path / "log", "w+", encoding="utf-8") as log:
        worker = subprocess.Popen([*command, *options], cwd=tmp_path, env=settings, stdout=log, stderr=log)
        try:
            eventually(lambda: value_of(counter) == CLIENTS * REQUESTS, "that all tasks are counted")
        finally:
            worker.send_signal(signal.SIGTERM)
            try:
                worker.wait(WATCHDOG)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
    assert value_of(counter) == CLIENTS * REQUESTS, (tmp_path / "log").read_text()
