"""wait, signal, lock: mutexes, semaphores and events for shell scripts."""

import contextlib
import time
import warnings
from collections.abc import Iterator
from typing import TypeAlias

import click

import namedmap
from namedmap.cli import _app, _output, _running
from namedmap.cli._values import live_names, name_argument, seconds

Primitive: TypeAlias = namedmap.Mutex | namedmap.Semaphore | namedmap.Event

_timeout = click.option("--timeout", "-t", type=seconds, help="Seconds to wait at most; 0 only tries. Else for ever.")


def opened(name: str) -> Primitive:
    """The object of this name, whatever can be waited for it is. Raises click.ClickException."""
    kinds: tuple[type[Primitive], ...] = (namedmap.Mutex, namedmap.Semaphore, namedmap.Event)
    for kind in kinds:
        try:
            return kind.open(name)
        except namedmap.WrongKindError:
            continue
        except namedmap.NotFoundError:  # says that there is no mutex
            raise click.ClickException(f"no object {name!r} exists: nobody holds a handle to it") from None
    raise click.ClickException(f"{name!r} is shared memory, which cannot be waited for or signaled")


@contextlib.contextmanager
def _told_of_abandoned() -> Iterator[None]:
    """A mutex whose owner was killed is worth a line for people."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", namedmap.AbandonedMutexWarning)
        yield
    for each in caught:
        _app.warn(str(each.message))


@_app.command(
    example="namedmap wait ready\n"
    "namedmap wait ready stop --timeout 2.5       # the first of them; prints its name\n"
    "namedmap wait slots backup.mutex --all"
)
@click.argument("names", shell_complete=live_names, nargs=-1, required=True, metavar="NAME...")
@click.option("--all", "every", is_flag=True, help="Until all are there at the same time.")
@_timeout
@_app.as_json
@click.pass_context
def wait(ctx: click.Context, /, names: tuple[str, ...], every: bool, timeout: float | None, as_json: bool) -> None:
    """Wait until one of the objects is there, and print its name.

    As for a thread that waits, an auto-reset event is reset and a semaphore is 1 less then. A mutex is released again.
    """
    start = time.monotonic()
    with contextlib.ExitStack() as stack, _told_of_abandoned():
        objects = [stack.enter_context(contextlib.closing(opened(name))) for name in names]
        if every:
            taken = list(range(len(names))) if namedmap.wait_all(objects, timeout) else []
        else:
            index = namedmap.wait_any(objects, timeout)
            taken = [] if index is None else [index]
        for each in taken:
            held = objects[each]
            if isinstance(held, namedmap.Mutex):
                held.release()
    if as_json:
        _output.emit({"taken": [names[each] for each in taken], "seconds": time.monotonic() - start})
    else:
        for each in taken:
            click.echo(_output.safe(names[each]))
    if not taken:
        ctx.exit(_app.TIME_OVER)


@_app.command(example="namedmap signal ready\nnamedmap signal slots --count 2\nnamedmap signal ready --clear")
@name_argument
@click.option("--count", type=click.IntRange(min=1), help="How much to add to the semaphore; 1 if not said.")
@click.option("--clear", is_flag=True, help="Clear the event instead.")
@click.option("--pulse", is_flag=True, help="Set the event for those who wait now, and clear it.")
def signal(name: str, count: int | None, clear: bool, pulse: bool) -> None:
    """Set the event NAME, or release the semaphore NAME; somebody must hold it."""
    if clear and pulse:
        raise click.UsageError("--clear and --pulse exclude each other")
    with contextlib.closing(opened(name)) as held:
        if isinstance(held, namedmap.Event):
            if count is not None:
                raise click.UsageError(f"{name!r} is an event: --count is for semaphores")
            (held.clear if clear else held.pulse if pulse else held.set)()
        elif clear or pulse:
            raise click.UsageError(f"{name!r} is no event: --clear and --pulse are for events")
        elif isinstance(held, namedmap.Semaphore):
            held.release(count or 1)
        else:
            raise click.ClickException(f"{name!r} is a mutex: only its owner can release it")


@_app.command(
    cls=_app.WithProgram,
    example="namedmap lock backup.mutex -- ./backup.sh\n"
    "namedmap lock 'Global\\printer' --timeout 10 -- lp report.pdf || echo 'busy, or failed'",
)
@name_argument
@_timeout
def lock(name: str, timeout: float | None, program: list[str]) -> int:
    """Run COMMAND (behind --) while holding the mutex NAME, which is made if there is none.

    Ends with the status of COMMAND, or with 124 if the mutex could not be had in time. Signals are passed on. If this
    program is killed by SIGKILL, the mutex is abandoned and the next one gets it, though COMMAND still runs.
    """
    if not program:
        raise click.UsageError("there is no command: namedmap lock NAME -- COMMAND")
    with contextlib.closing(namedmap.Mutex(name)) as mutex:
        with _told_of_abandoned():
            taken = mutex.acquire(timeout)
        if not taken:
            _app.warn(f"mutex {name!r} was not free within {timeout:g} s")
            return _app.TIME_OVER
        try:
            return _running.run(program)
        finally:
            mutex.release()
