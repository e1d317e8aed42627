"""bench, demo: those of the source tree if it is there, else something small; and run, for its help."""

import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

import click

import namedmap
from namedmap._platform import native
from namedmap.cli import _app, _output

_TREE = pathlib.Path(__file__).parents[3]
_READER = "import namedmap, sys; sys.stdout.write(namedmap.open({name!r}, 'read').view()[:5].decode())"


def _from_tree(script: str, words: tuple[str, ...]) -> int | None:
    """Run a program of the source tree; None if there is no such tree."""
    path = _TREE / script
    if not path.is_file() or not (_TREE / "pyproject.toml").is_file():
        return None
    from namedmap.cli import _running

    return _running.run([sys.executable, str(path), *words])


@_app.command(cls=_app.Passing, example="namedmap run --windows program.py")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS] PROGRAM [ARGUMENTS]...")
def run(words: tuple[str, ...]) -> None:
    """Run a Python program that was written for Windows, unchanged; namedmap run --help says more."""
    from namedmap.compat import run as program

    program.main(list(words), "namedmap run")


@_app.command(cls=_app.Passing, example="namedmap bench\nnamedmap bench --quick     # of the source tree's programs")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS]")
@_app.as_json
def bench(words: tuple[str, ...], as_json: bool) -> int:
    """Measure how fast it is here: benchmarks/run.py of the source tree, else a few figures."""
    status = None if as_json or native else _from_tree("benchmarks/run.py", words)
    if status is not None:
        return status
    if words:
        reason = "run on Linux only" if native else "are not here"
        raise click.UsageError(f"{words[0]!r} is for the benchmarks of the source tree, which {reason}")
    found = [(what, _median(function)) for what, function in _measured().items()]
    if as_json:
        _output.emit([{"what": what, "microseconds": microseconds} for what, microseconds in found])
    else:
        _output.table(("WHAT", "MICROSECONDS"), [(what, f"{microseconds:.1f}") for what, microseconds in found])
    return 0


def _measured() -> dict[str, Callable[[], object]]:
    name = f"namedmap-bench-{time.time_ns()}"
    mutex, event = namedmap.Mutex(), namedmap.Event(manual=False)

    def create() -> None:
        with namedmap.create(name, 4096) as mapping, mapping.view() as view:
            view[0] = 1

    def take() -> None:
        with mutex:
            pass

    def post() -> None:
        event.set()
        event.wait()

    return {
        "create, map, touch and close 4 KiB of named memory": create,
        "take and release a mutex": take,
        "set an event and pass it": post,
    }


def _median(function: Callable[[], object], rounds: int = 15, calls: int = 200) -> float:
    """Microseconds a call."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            function()
        times.append((time.perf_counter() - start) / calls * 1e6)
    return sorted(times)[rounds // 2]


@_app.command(cls=_app.Passing, example="namedmap demo")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS]")
def demo(words: tuple[str, ...]) -> int:
    """Show what it does: examples/demo.py of the source tree, else two processes that share memory."""
    status = _from_tree("examples/demo.py", words)
    if status is not None:
        return status
    if words:
        raise click.UsageError(f"{words[0]!r} is for the demonstration of the source tree, which is not here")
    return _small_demo()


def _small_demo() -> int:
    name = f"namedmap-demo-{time.time_ns()}"
    with namedmap.create(name, 4096) as mapping, mapping.view() as view:
        view[:5] = b"hello"
        click.echo(f"This process has created {name!r} and written 'hello' into it.")
        done = subprocess.run([sys.executable, "-c", _READER.format(name=name)], capture_output=True, check=False)
        found = done.stdout.decode()
    click.echo(f"Another process has opened it by its name, and read {found!r}.")
    try:
        namedmap.open(name).close()
    except namedmap.NotFoundError:
        click.echo("Nobody holds it any more, so there is no such object: nothing has to be cleaned up.")
        return int(done.returncode != 0 or found != "hello")
    return 1
