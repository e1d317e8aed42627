"""The work of the processes of multiprocessing on objects that were sent to them."""

import multiprocessing
from typing import Any

import namedmap
from classes import checking
from namedmap import Event, Mutex, Semaphore

checking.install_if_asked()


def started(method: str, target: str, *arguments: Any) -> int | None:
    """Run one of the functions below in a process that is started in this way; its exit status."""
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=globals()[target], args=arguments)
    process.start()
    process.join()
    status: int | None = process.exitcode
    return status


def store(mapping: namedmap.FileMapping, at: int) -> None:
    """One byte into shared memory."""
    with mapping, mapping.view() as view:
        view[at] = 42


def use(mapping: namedmap.FileMapping, mutex: Mutex, semaphore: Semaphore, event: Event) -> None:
    """One of each kind."""
    with mapping, mapping.view() as view, mutex:
        view[0] += 1
    semaphore.acquire()
    event.set()
