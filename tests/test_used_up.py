"""A process that has no file descriptor left: every public call says so, and what to do."""

import pytest

from child import Spawn
from namedmap import win32

#: Each use is the first of its process: forks of one that has imported everything and used nothing.
FORKS = """
import asyncio, multiprocessing.reduction, multiprocessing.resource_sharer, pickle, resource
import namedmap.files
from namedmap import inspection
from namedmap.compat import shared_memory
namedmap.Error
for use in {uses}:
    if not os.fork(): break
    assert os.wait()[1] == 0, use
else: os._exit(0)
"""

SETTING = """
loop = asyncio.new_event_loop()
x, u, s = namedmap.Mutex("x"), namedmap.Mutex(), namedmap.Semaphore("s", 1, 5)
e, a = namedmap.Event("e"), namedmap.Event("a", manual=False)
m, un, r = namedmap.create("m", 10000), namedmap.create(None, 100), namedmap.create("r", 1 << 20, reserve=True)
b = namedmap.publish("b", b"hello")
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
taken = []
try:
    while True: taken.append(os.dup(0))
except OSError: pass
def free():
    while taken: os.close(taken.pop())
"""

NEEDING = [
    "x.acquire(timeout=0)", "x.acquire()", "x.locked()", "u.acquire(timeout=0)", "x.__enter__()",
    "s.acquire()", "s.acquire(timeout=0)", "s.release()",
    "e.set()", "e.clear()", "e.pulse()", "e.is_set()", "e.wait(0)", "a.set()", "a.wait(0.01)",
    "namedmap.wait_any([x, s, e], timeout=0)", "namedmap.wait_all([x, s], timeout=0)",
    "loop.run_until_complete(x.acquire_async(timeout=0.01))",
    "loop.run_until_complete(namedmap.wait_any_async([e], timeout=0.01))",
    "namedmap.Mutex('x')", "namedmap.Mutex.open('x')", "namedmap.Mutex('new')", "namedmap.Mutex()",
    "namedmap.Semaphore('new')", "namedmap.Semaphore.open('s')", "namedmap.Event('new')", "namedmap.Event()",
    "namedmap.create('new', 10)", "namedmap.create(None, 10)", "namedmap.open('m')", "namedmap.open_or_create('m', 10)",
    "namedmap.map_file(sys.executable)", "m.view(access='copy')",
    "namedmap.publish('new', b'abc')", "namedmap.attach('b')", "pickle.dumps(un)",
    "inspection.objects()", "inspection.info('m')", "namedmap.files.checksum(sys.executable)",
]  # fmt: skip


@pytest.mark.leaves_dead_files
def test_the_package_s_own_error(spawn: Spawn) -> None:
    """The first use fails with the remedy in its text; once there is a descriptor, the object is as it was."""
    child = spawn(f"""{FORKS.format(uses=NEEDING)}{SETTING}
try: say("worked", eval(use))
except namedmap.Error as error: say(error.winerror, error.errno, "RLIMIT_NOFILE" in str(error))
except BaseException as error: say("bare", repr(error))
free()
say(x.acquire(timeout=0), s.acquire(timeout=0), e.is_set(), e.set(), bytes(m.view()[:1]))
""")
    for use in NEEDING:
        assert (use, child.line()) == (use, f"{win32.ERROR_TOO_MANY_OPEN_FILES:d} 24 True")
        assert (use, child.line()) == (use, "True True False None b'\\x00'")
    assert child.wait() == 0


FAILING = {
    "win32.WaitForSingleObject(x.handle, 0)": "4294967295",
    "win32.WaitForMultipleObjects(1, [e.handle], False, 0)": "4294967295",
    "win32.CreateMutex(None, False, 'new')": "None",
    "win32.SetEvent(e.handle)": "False",
    "win32.ReleaseSemaphore(s.handle, 1, None)": "False",
    "win32.OpenProcess(0x1FFFFF, False, os.getpid())": "None",
    "win32.MapViewOfFile(m.handle, win32.FILE_MAP_COPY, 0, 0, 0)": "None",
    "win32.CreateFile(sys.executable, 0x80000000, 7, None, 3, 0, None)": "-1",
    "win32.SetHandleInformation(m.handle, 1, 1)": "False",
}


@pytest.mark.leaves_dead_files
def test_the_last_error(spawn: Spawn) -> None:
    """The functions fail with ERROR_TOO_MANY_OPEN_FILES, and FormatMessage has the remedy."""
    child = spawn(f"""{FORKS.format(uses=list(FAILING))}{SETTING}
result = eval(use)
say(int(result) if isinstance(result, int) and not isinstance(result, bool) else result, win32.GetLastError())
say("RLIMIT_NOFILE" in message())
""")
    for use, failure in FAILING.items():
        assert (use, child.line()) == (use, f"{failure} {win32.ERROR_TOO_MANY_OPEN_FILES:d}")
        assert (use, child.line()) == (use, "True")
    assert child.wait() == 0
