"""The contract: small, used to the last operation, and asked only through its front."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import namedmap
from classes import checking
from classes.capabilities import Capability
from classes.conftest import Second
from classes.implementations import Implementation

PACKAGE = Path(namedmap.__file__).parent
#: Where the thread's last error is a result: the functions of Windows, and what imitates or shows them.
LAST_ERROR_BELONGS = {"win32.py", "nt.py", "_convention", "_kernel", "_windows", "compat", "cli"}

#: Operations of the drop-in modules alone, where memory has descriptors; elsewhere these stand on the standard library.
OF_DESCRIPTORS = {"SectionHandle.open_data", "Files.of_descriptor", "Memory.is_view"}

#: A program that uses all of the classes, and of the drop-in modules what stands on the same contract.
TOUR = """
import asyncio, contextlib, ctypes, os, pickle, tempfile, warnings
#: Operations that some platform cannot do: each is asked for all the same.
perhaps = contextlib.suppress(namedmap.Error)
from namedmap.compat import mmap
from namedmap.compat.windll import windll

def memory():
    with namedmap.create("tour", 100_000) as made, namedmap.open("tour") as found, made.view() as view:
        view[:] = bytes(100_000)
        with perhaps: view.advise("willneed")
        with perhaps: view.residency()
        view.lock(); view.unlock(); view.flush(durable=True)
        found.size, found.handle
        with found.view(access="read") as shown: shown.overlay(ctypes.c_int)
    with namedmap.create(None, 1 << 16, reserve=True) as made, made.view() as view:
        view.commit(); view.write(0, b"x"); view.read(0, 1)
        view.protect("read")

def files(path):
    with namedmap.map_file(path, 1 << 17, "write", create=True, sparse=True) as mapping, mapping.view() as view:
        view.read(0, 1)
        with perhaps: mapping.extend(1 << 18)
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0, "tour") as map: map[0]

def handed_over():
    with namedmap.create(None, 4096) as mapping:
        for _ in range(2):
            with pickle.loads(pickle.dumps(mapping)) as received: received.size

def synchronization():
    mutex, semaphore, event = Mutex("m"), Semaphore("s"), Event("e", manual=False)
    for other in (Mutex.open("m"), Semaphore.open("s"), Event.open("e")): other.handle, other.close()
    with mutex: mutex.locked(), mutex.owned()
    semaphore.acquire(), semaphore.release(), semaphore.value, semaphore.maximum
    event.set(), event.clear(), event.pulse(), event.is_set(), event.manual
    event.wait(0.001)
    wait_any([semaphore, event]), wait_all([mutex], 1), mutex.release()
    async def wait():
        asyncio.get_running_loop().call_soon(event.set)  # not before somebody waits
        await event.wait_async(60)
        await mutex.acquire_async()
        mutex.release()
    asyncio.run(wait())
    for each in (mutex, semaphore, event): each.close()

def blocks():
    with publish("block", bytes(1 << 21)): pass

def a_program_for_windows():
    kernel32 = windll.kernel32
    kernel32.MapViewOfFile.restype = ctypes.POINTER(ctypes.c_int)
    with namedmap.create("tour", 4096) as mapping:
        kernel32.UnmapViewOfFile(kernel32.MapViewOfFile(mapping.handle, 4, 0, 0, 0))

path = os.path.join(tempfile.mkdtemp(), "file")
memory(), files(path), handed_over(), synchronization(), blocks(), a_program_for_windows()
os.unlink(path), os.rmdir(os.path.dirname(path))
"""


def test_it_is_small() -> None:
    """A platform owes little: less than 40 operations by name, and the handles and objects that they give."""
    given = {each for each in checking.operations() if not each.startswith(tuple(owed()))}
    assert 30 <= len(checking.operations() - given) <= 40
    assert 20 <= len(given) <= 34


def owed() -> Iterator[str]:
    return (protocol.__name__ + "." for protocol in checking.groups().values())


def test_every_operation_is_used(implementation: Implementation, second: Second) -> None:
    """A program that takes a tour of the classes reaches every operation: none is dead."""
    if not implementation.checked:
        pytest.skip("only the border of a checked implementation sees what is used")
    child = second()
    child.run(TOUR)
    lacked = set() if Capability.DESCRIPTORS in implementation.has else OF_DESCRIPTORS
    assert checking.operations() - set(child.value("sorted(checking.used)")) - lacked == set()


def test_created_comes_with_the_handle() -> None:
    """No class asks the thread's last error, which a signal handler may change, whether it has made an object."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] not in LAST_ERROR_BELONGS:
            tree = ast.parse(path.read_text("utf-8"))
            names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            if names & {"GetLastError", "SetLastError", "last_error"}:
                found.append(path.name)
    assert not found
