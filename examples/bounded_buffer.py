"""The bounded buffer of the textbooks: two producers and two consumers, processes all, at a ring in shared memory.

usage: python examples/bounded_buffer.py [ITEMS]          (that each producer makes; default 500)

One semaphore counts the free slots, one the used ones; a mutex guards the ring itself. Every process creates the
objects: the first to come makes them, the others open them. The first process waits for the other four by their
handles.
"""

import contextlib
import ctypes
import subprocess
import sys
from dataclasses import dataclass

from console import failed
from namedmap.win32 import (
    DWORD,
    FILE_MAP_WRITE,
    INFINITE,
    INVALID_HANDLE_VALUE,
    PAGE_READWRITE,
    SYNCHRONIZE,
    WAIT_OBJECT_0,
    CloseHandle,
    CreateFileMapping,
    CreateMutex,
    CreateSemaphore,
    MapViewOfFile,
    OpenProcess,
    ReleaseMutex,
    ReleaseSemaphore,
    UnmapViewOfFile,
    WaitForMultipleObjects,
    WaitForSingleObject,
)

SLOTS = 8
END = 0  # an item that tells one consumer to stop


class RING(ctypes.Structure):
    _fields_ = [
        ("iIn", DWORD),
        ("iOut", DWORD),
        ("nConsumed", DWORD),
        ("ullSum", ctypes.c_uint64),
        ("items", DWORD * SLOTS),
    ]


@dataclass
class Shared:
    hMap: int
    pRing: int
    hFree: int
    hUsed: int
    hMutex: int


def open_shared() -> Shared | None:
    """The ring and what guards it, made or found; None if a call has failed. (The process then ends.)"""
    hMap = CreateFileMapping(INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, ctypes.sizeof(RING), "Ring")
    if hMap is None:
        return None
    pRing = MapViewOfFile(hMap, FILE_MAP_WRITE, 0, 0, 0)
    if pRing is None:
        return None
    hFree = CreateSemaphore(None, SLOTS, SLOTS, "Ring.free")
    if hFree is None:
        return None
    hUsed = CreateSemaphore(None, 0, SLOTS, "Ring.used")
    if hUsed is None:
        return None
    hMutex = CreateMutex(None, False, "Ring.mutex")
    if hMutex is None:
        return None
    return Shared(hMap, pRing, hFree, hUsed, hMutex)


def close_shared(shared: Shared) -> None:
    UnmapViewOfFile(shared.pRing)
    for handle in (shared.hMutex, shared.hUsed, shared.hFree, shared.hMap):
        CloseHandle(handle)


def produce(shared: Shared, items: int) -> int:
    ring = RING.from_address(shared.pRing)
    for item in (*range(1, items + 1), END):
        if WaitForSingleObject(shared.hFree, INFINITE) != WAIT_OBJECT_0:
            return failed("WaitForSingleObject (free)")
        if WaitForSingleObject(shared.hMutex, INFINITE) != WAIT_OBJECT_0:
            return failed("WaitForSingleObject (mutex)")
        ring.items[ring.iIn] = item
        ring.iIn = (ring.iIn + 1) % SLOTS
        ReleaseMutex(shared.hMutex)
        ReleaseSemaphore(shared.hUsed, 1, None)
    return 0


def consume(shared: Shared) -> int:
    ring = RING.from_address(shared.pRing)
    item = None
    while item != END:
        if WaitForSingleObject(shared.hUsed, INFINITE) != WAIT_OBJECT_0:
            return failed("WaitForSingleObject (used)")
        if WaitForSingleObject(shared.hMutex, INFINITE) != WAIT_OBJECT_0:
            return failed("WaitForSingleObject (mutex)")
        item = ring.items[ring.iOut]
        ring.iOut = (ring.iOut + 1) % SLOTS
        ring.nConsumed += item != END
        ring.ullSum += item
        ReleaseMutex(shared.hMutex)
        ReleaseSemaphore(shared.hFree, 1, None)
    return 0


def direct(shared: Shared, items: int) -> int:
    """Start the four, wait until all of them have ended, and say what they did."""
    with contextlib.ExitStack() as done:
        hProcesses = []
        for role in ("produce", "produce", "consume", "consume"):
            process = done.enter_context(subprocess.Popen([sys.executable, __file__, str(items), role]))
            done.callback(process.kill)
            hProcess = OpenProcess(SYNCHRONIZE, False, process.pid)
            if hProcess is None:
                return failed("OpenProcess")
            done.callback(CloseHandle, hProcess)
            hProcesses.append(hProcess)
        if WaitForMultipleObjects(len(hProcesses), hProcesses, True, INFINITE) != WAIT_OBJECT_0:
            return failed("WaitForMultipleObjects")
    ring = RING.from_address(shared.pRing)
    print(f"{ring.nConsumed} of {2 * items} items came through {SLOTS} slots; their sum is {ring.ullSum}")
    return 0 if ring.ullSum == items * (items + 1) else 1


def main(items: int, role: str) -> int:
    shared = open_shared()
    if shared is None:
        return failed("Opening the ring")
    if role == "produce":
        status = produce(shared, items)
    elif role == "consume":
        status = consume(shared)
    else:
        status = direct(shared, items)
    close_shared(shared)
    return status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 500, sys.argv[2] if len(sys.argv) > 2 else "direct"))
