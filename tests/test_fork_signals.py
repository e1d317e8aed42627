"""Signals in the middle of os.fork, and parents that are killed there: nothing is lost, and nothing stays half done."""

import pytest

from calls import object_files
from child import Spawn

#: Signals that the kernel gives to a thread which is not the one that forks come in the middle of its hooks.
EACH_PROGRAM = pytest.mark.parametrize("threads", [0, 2], ids=["one thread", "three threads"])

SETTING = """
import random, warnings
warnings.simplefilter("ignore")  # CPython 3.12 warns of the fork by Python code, within which exceptions are lost
class Boom(Exception): pass
printed = []
sys.unraisablehook = lambda found: printed.append(repr(found.exc_value))
stop = threading.Event()
for _ in range({threads}): threading.Thread(target=stop.wait, daemon=True).start()
def reap():
    try:
        while True: os.waitpid(-1, 0)
    except ChildProcessError: pass
objects = [namedmap.Event(f"o{{n}}") for n in range({objects})]
def wait():
    for _ in range(50000): time.sleep(0.001)  # a signal just before a longer sleep would not end it
def descriptors(): return len(os.listdir("/proc/self/fd"))
"""


class TestHandlersThatRaise:
    """An exception of a handler reaches the program, and the hooks are done."""

    @EACH_PROGRAM
    @pytest.mark.parametrize("objects", [0, 1, 20])
    def test_no_exception_is_swallowed(self, spawn: Spawn, threads: int, objects: int) -> None:
        """As many exceptions as signals, wherever in os.fork they come."""
        child = spawn(f"""{SETTING.format(threads=threads, objects=objects)}
def handler(*_): raise Boom("from the handler")
signal.signal(signal.SIGALRM, handler)
sent = got = 0
before = descriptors()
for _ in range(60):
    sent += 1
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00005, 0.004))
        pid = os.fork()
        if not pid: os._exit(0)
        wait()
    except Boom as error:
        assert error.args == ("from the handler",)
        got += 1
    reap()
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
for each in objects: each.set(); each.close()
say(sent - got, printed, len(blocked), before - descriptors() - len(objects))
""")
        assert child.line() == "0 [] 0 0"
        child.end()
        assert object_files() == []

    @EACH_PROGRAM
    def test_ctrl_c(self, spawn: Spawn, threads: int) -> None:
        """KeyboardInterrupt is raised where os.fork was called."""
        child = spawn(f"""{SETTING.format(threads=threads, objects=5)}
got = 0
for _ in range(40):
    try:
        threading.Timer(random.uniform(0.0001, 0.003), os.kill, (os.getpid(), signal.SIGINT)).start()
        if not os.fork(): os._exit(0)
        wait()
    except KeyboardInterrupt: got += 1
    reap()
say(got, printed)
""")
        assert child.line() == "40 []"
        child.end()

    def test_a_signal_that_waits_as_the_hooks_begin(self, spawn: Spawn) -> None:
        """The first thing that each hook meets is a pending signal: it does its work, and the exception comes later."""
        child = spawn(f"""{SETTING.format(threads=0, objects=3)}
import functools
def handler(*_): raise Boom("pending")
signal.signal(signal.SIGUSR1, handler)
trip = functools.partial(ctypes.PyDLL(None)["raise"], int(signal.SIGUSR1))  # no look for signals follows
os.register_at_fork(before=trip)
outcomes = []
for _ in range(5):
    try:
        if not os.fork(): os._exit(0)
        outcomes.append("nothing")
    except Boom: outcomes.append("raised")
    reap()
say(outcomes, printed)
""")
        assert child.line() == f"{['raised'] * 5} []"
        child.end()

    def test_a_child_is_spared_what_was_raised_in_its_parent(self, spawn: Spawn) -> None:
        """The signal was the parent's."""
        child = spawn(f"""{SETTING.format(threads=0, objects=3)}
import functools
def handler(*_): raise Boom
signal.signal(signal.SIGUSR1, handler)
os.register_at_fork(before=functools.partial(ctypes.PyDLL(None)["raise"], int(signal.SIGUSR1)))
r, w = os.pipe()
try:
    if not os.fork():
        os.write(w, b"quiet"); os._exit(0)
except Boom:
    pass
os.close(w)
say(os.read(r, 10).decode())
reap()
""")
        assert child.line() == "quiet"
        child.end()


class TestHandlersThatUseObjects:
    @EACH_PROGRAM
    def test_what_a_handler_creates_in_the_middle_is_each_processs_own(self, spawn: Spawn, threads: int) -> None:
        """The child closes it; the parent's stays, with its name."""
        child = spawn(f"""{SETTING.format(threads=threads, objects=10)}
made, armed = [], False
def handler(*_):
    if armed: made.append(namedmap.Mutex(f"h{{len(made)}}"))
signal.signal(signal.SIGALRM, handler)
lost = []
for turn in range(50):
    known, armed = len(made), True
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.01))
    pid = os.fork()
    if not pid:
        armed = False
        for each in objects + made: each.close()
        os._exit(0)
    armed = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    os.waitpid(pid, 0)
    for each in made[known:]:
        try: namedmap.Mutex.open(each.name).close()
        except FileNotFoundError: lost.append(each.name)
say(lost, printed)
for each in objects + made: each.close()
""")
        assert child.line() == "[] []"
        child.end()
        assert object_files() == []


class TestParentsThatAreKilled:
    @pytest.mark.leaves_dead_files
    @pytest.mark.parametrize("access", ["write", "copy"])
    def test_before_its_fork_has_returned(self, spawn: Spawn, access: str) -> None:
        """The child's views keep no handle of it, however early it dies."""
        program = spawn(f"""
            from namedmap import inspection
            victim = 0
            late = []
            for turn in range(10):
                r, w = os.pipe()
                parent = os.fork()
                if not parent:
                    keep = [namedmap.create(f"y{{n}}", 4096) for n in range(30)]
                    views = [each.view(access={access!r}) for each in keep]
                    me = os.getpid()
                    if not os.fork():
                        os.kill(me, signal.SIGKILL)
                        for each in keep: each.close()
                        os.write(w, b"x"); hear()
                        os._exit(0)
                    time.sleep(60)
                os.read(r, 1); os.waitpid(parent, 0)
                late += [each.name for each in inspection.objects() if each.name[0] == "y" and each.status == "live"]
            say(late)
            """)
        assert program.line() == "[]"
        for _ in range(10):
            program.send("")
        assert program.wait() == 0


class TestTheEndOfTheInterpreter:
    def test_daemon_threads_in_the_middle_of_calls(self, spawn: Spawn) -> None:
        """The interpreter stops them where they are, with what they have locked; the program ends all the same."""
        for _ in range(6):
            program = spawn("""
                namedmap.Event().wait(0)  # the main thread is known as an owner
                class Late:
                    def __init__(self):
                        self.held = [namedmap.create(None, 100), namedmap.Mutex()]
                        self.view = self.held[0].view()
                late = Late()
                def busy():
                    x = namedmap.Mutex("x")
                    while True:
                        try:
                            with x: pass
                            with namedmap.create(None, 5000) as m: m.view().close()
                        except Exception: pass
                for _ in range(3): threading.Thread(target=busy, daemon=True).start()
                time.sleep(0.1)
                """)
            assert program.wait() == 0

    def test_a_wait_of_asyncio_that_nobody_ends(self, spawn: Spawn) -> None:
        """Its watch goes with the interpreter, whose notifier's thread has been stopped."""
        program = spawn("""
            import asyncio
            e = namedmap.Event()
            loop = asyncio.new_event_loop()
            task = loop.create_task(e.wait_async())
            loop.call_later(0.05, loop.stop)
            loop.run_forever()
            """)
        assert program.wait() == 0
