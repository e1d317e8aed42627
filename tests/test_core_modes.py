"""With the compiled core and without: the same outcomes in one process, and one object for processes of both sorts."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import namedmap
from calls import object_files
from calls.core import NONE_HERE
from child import Child, Spawn, is_root, plain, program

needs_core = pytest.mark.skipif(not namedmap.native, reason=NONE_HERE)
compiler = shutil.which("cc")

Outcome = Callable[[str], str]


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Run a script without the core, then with it; what it has printed both times, which has to be the same."""

    def both(script: str) -> str:
        found = []
        for native in "01":
            with (
                monkeypatch.context() as patch,
                tempfile.TemporaryDirectory(dir=os.environ["NAMEDMAP_ROOT"]) as root,
            ):
                os.chmod(root, 0o1777)
                patch.setenv("NAMEDMAP_NATIVE", native)
                patch.setenv("NAMEDMAP_ROOT", root)
                found.append(plain(_PROLOGUE + textwrap.dedent(script)).replace(root, "ROOT"))
        assert found[0] == found[1]
        return found[0]

    return both


_PROLOGUE = f"""\
import ctypes, os, re, resource, signal, subprocess, sys
import namedmap
from calls import object_files, own_descriptors
from calls.kernel import locks
assert namedmap.native == (os.environ["NAMEDMAP_NATIVE"] == "1" and {namedmap.native})
place = namedmap.create("place", 1)
root = os.environ["NAMEDMAP_ROOT"]
path = os.path.dirname(object_files()[0]) + "/core"
place.close()
def told(use):
    try: print(use())
    except Exception as error:
        text = re.sub(r"process [0-9]+|0x[0-9a-f]{{8,}}| has [0-9,]+ .* free", "...", str(error))
        print(type(error).__name__, text.encode(errors="backslashreplace").decode())
"""


@needs_core
class TestOutcomes:
    @pytest.mark.parametrize("seed", range(3))
    def test_of_anything(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Things that are done at random, right ones and wrong ones, have the same outcome, word by word."""
        found = []
        for native in "01":
            monkeypatch.setenv("NAMEDMAP_NATIVE", native)
            monkeypatch.setenv("PYTHONIOENCODING", "utf-8:backslashreplace")
            found.append(program("modes", str(seed), "600").splitlines())
        assert len(found[0]) > 600
        assert found[0] == found[1]

    def test_of_names(self, outcome: Outcome) -> None:
        """Unusual names are created, found by whoever writes them otherwise, and gone; or refused alike."""
        outcome(r"""
            names = "percent %41", "a/b", "x" * 200, "x" * 255, "ü" * 120, "ü" * 127, "ü" * 128, "\ud800", "a\udfffb"
            names += "\0", "Ä", "Local\\", "Local\\x", "Global\\x", "Session\\1\\x", "..", ".", "x\ny", "CON", "x "
            names += "🙂" * 63, "x" * 240
            def use():
                with namedmap.create(name, 10) as made:
                    files = len(object_files())
                    with namedmap.open(name.upper()) as other: other.view()[0] = 1
                    return made.view()[0], files
            for name in names:
                print(ascii(name))
                told(use); told(use)
                told(lambda: namedmap.open(name))
                print(len(object_files()), own_descriptors())
            """)

    @pytest.mark.parametrize(
        "squatter",
        {
            "directory": "os.mkdir(path)",
            "symlink": "os.symlink('/etc/passwd', path)",
            "fifo": "os.mkfifo(path)",
            "empty file": "open(path, 'w').close()",
            "other bytes": "open(path, 'wb').write(bytes(8192))",
            "dead object": """
                pid = os.fork()
                if not pid: m = namedmap.create("core", 1); os._exit(0)
                os.waitpid(pid, 0)
                """,
            "object of another kind": "keep = namedmap.Mutex('core')",
            "object with another mode": "keep = namedmap.create('core', 10); os.chmod(path, 0o666)",
            "object that is cut off": "keep = child(); os.truncate(path, 4096)",
            "object that has grown": "keep = child(); os.truncate(path, 12288)",
            "object that is damaged": "keep = child(); os.pwrite(os.open(path, os.O_RDWR), b'x', 4096 + 40)",
            "object with two names": "keep = child(); os.link(path, path + '2')",
            "object that is read-only": "keep = child(access='read')",
            "object of two pages": "keep = child(size=4097)",
            "object that is reserved": "keep = child(more=', reserve=True')",
        }.items(),
        ids=lambda each: each[0],
    )
    def test_of_what_is_there(self, squatter: tuple[str, str], outcome: Outcome) -> None:
        """A file in the place of an object is taken for the same, whatever it is."""
        outcome(f"""
            def child(size=1, access="write", more=""):
                code = f"import namedmap\\nm = namedmap.create('core', {{size}}, {{access!r}}{{more}})"
                made = subprocess.Popen([sys.executable, "-uc", code + "\\nprint(); input()"], stdin=-1, stdout=-1)
                made.stdout.readline()
                return made
            def use(verb, *arguments):
                with getattr(namedmap, verb)("core", *arguments) as m, m.view() as v: return m, v, v[:3]
            exec({textwrap.dedent(squatter[1])!r})
            told(lambda: use("open")); told(lambda: use("open", "read")); told(lambda: use("create", 10))
            told(lambda: use("open_or_create", 10))
            print(os.path.lexists(path), len(own_descriptors()))
            if isinstance(globals().get("keep"), subprocess.Popen):
                keep.communicate(b"\\n")
            elif "keep" in globals(): keep.close()
            print(sorted(os.listdir(os.path.dirname(path))))
            """)

    @pytest.mark.parametrize(
        "trouble",
        {
            "no descriptor": "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 256))",
            "one descriptor": """
                used = len(os.listdir("/proc/self/fd")) - 1
                resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), 256))
                """,
            "small files": "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))",
            "umask": "os.umask(0o777)",
            "no directory": "os.rmdir(os.path.dirname(path))",
            "another directory": "os.chdir('/'); os.environ['NAMEDMAP_ROOT'] = '/nowhere'",
            "a closed directory": "os.chmod(os.path.dirname(path), 0)",
            "a directory of anybody": "os.chmod(os.path.dirname(path), 0o777)",
            "nobody's address space": "resource.setrlimit(resource.RLIMIT_AS, (1 << 20, -1))",
            "closed descriptors": "os.closerange(3, 256)",
            "a guard that is held": """
                locks.GUARD_TIMEOUT = 0.1
                if not os.path.exists(path): holder = namedmap.create("core", 10)
                file = os.open(path, os.O_RDWR | os.O_CREAT)
                import fcntl, struct
                fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 1 << 62, 1, 0))
                """,
        }.items(),
        ids=lambda each: each[0],
    )
    def test_in_trouble(self, trouble: tuple[str, str], outcome: Outcome) -> None:
        """Where a system call fails, the same is told, and what was held goes on."""
        outcome(f"""
            m, n = namedmap.create("kept", 10), namedmap.create("alone", 10)
            v, w = m.view(), n.view()
            n.close()
            try: exec({textwrap.dedent(trouble[1])!r})
            except Exception as error: print(error)
            def use(verb, *arguments):
                with getattr(namedmap, verb)("core", *arguments) as m, m.view() as v: return m, v[:3]
            for _ in range(2):
                told(lambda: use("open")); told(lambda: use("create", 10)); told(lambda: use("open_or_create", 9000))
                told(lambda: m.view()[0])
            v[0] = w[0] = 7
            told(lambda: (v[0], w[0], m.view()[0]))
            del w
            told(m.close); told(v.close)
            told(lambda: namedmap.open("kept"))
            """)

    @pytest.mark.skipif(not is_root, reason="only root becomes another user")
    def test_of_another_user(self, second_user: int, outcome: Outcome) -> None:
        """After setuid an object that is held is held, and what the new user may not is refused."""
        said = outcome(f"""
            b"".decode("ascii"), namedmap.Error, namedmap.inspection, "".encode("idna")
            m, n = namedmap.create("core", 10), namedmap.create("more", 10)
            v = m.view(); v[0] = 1
            os.setegid({second_user}); os.seteuid({second_user})
            told(lambda: m.view()[0]); told(lambda: namedmap.open("core"))
            told(lambda: namedmap.create("core", 1).created)
            told(lambda: (v[0], m.size)); told(n.close)
            os.seteuid(0)
            told(lambda: m.view()[0]); told(lambda: namedmap.open("more").size)
            os.setuid({second_user})
            told(m.close); told(v.close); told(lambda: namedmap.create("mine", 10).view()[0])
            print(sorted(map(os.path.basename, object_files())))
            """)
        assert said

    @pytest.mark.skipif(not is_root, reason="only root mounts a small filesystem")
    def test_in_a_full_place(self, outcome: Outcome) -> None:
        """Where there is no space for an object none is left, and what is there can be used."""
        outcome("""
            mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", root]
            if ctypes.CDLL(None).unshare(0x20000) or subprocess.run(mount).returncode:
                print("no tmpfs can be mounted here"); sys.exit()
            os.chmod(root, 0o1777)
            made = []
            def more():
                made.append(namedmap.create(f"m{len(made)}", 8192)); return made[-1], made[-1].view()[8191]
            for _ in range(8): told(more)
            made.pop().close()
            told(more); told(more)
            for each in made: each.close()
            print(object_files())
            """)


class TestCrowds:
    """Processes of both sorts create, open and close one name: it is one object, and gone when nobody has it."""

    def test_come_and_go(self, spawn: Spawn) -> None:
        """A process that has the object finds that the name leads to it, and nothing is left at the end."""
        script = """
            import random
            random.seed(sys.argv[1])
            place = os.environ["NAMEDMAP_ROOT"]
            def mine():
                links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if lives(fd)]
                return [each for each in links if each.startswith(place) and each.endswith("/crowd")]
            def lives(fd): return os.path.lexists(f"/proc/self/fd/{fd}")
            say("ready"); hear()
            for step in range(250):
                m = namedmap.open_or_create("crowd", 5000)
                assert len(mine()) == 1, os.listdir("/proc/self/fd")
                choice = random.randrange(6)
                if choice == 0: assert m.handle
                if choice == 1:
                    with namedmap.open("crowd") as n: n.view()[0] = 1
                if choice > 2:
                    v = m.view(); v[step] = 1; assert v[step] == 1
                if choice == 5: m.close()
                assert choice == 5 or len(mine()) == 1
                m.close()
                v = None
            say("well")
            """
        children = [spawn(script, str(n), environment={"NAMEDMAP_NATIVE": str(n % 2)}) for n in range(6)]
        for child in children:
            assert child.line() == "ready"
        for child in children:
            child.send("")
        for child in children:
            assert child.line() == "well"
            assert child.wait() == 0
        assert object_files() == []

    @pytest.mark.leaves_dead_files
    def test_are_killed(self, spawn: Spawn) -> None:
        """Holders of both sorts that are killed take the object from nobody, and leave a name that anybody may take."""
        script = "\nwhile True:\n    with namedmap.open_or_create('crowd', 10) as m: m.view()[0] = 1; say('')\n"
        with namedmap.open_or_create("crowd", 10) as mapping, mapping.view() as view:
            for round_ in range(8):
                child = spawn(script, environment={"NAMEDMAP_NATIVE": str(round_ % 2)})
                for _ in range(round_ + 1):
                    child.line()
                child.kill()
                assert view[0] == 1
                view[0] = 0
                assert spawn("say(namedmap.open('crowd').view()[0])").line() == "0"
        with namedmap.create("crowd", 10):
            assert len(object_files()) == 1


_STOPPING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
#define STOPPING(name) \\
    off_t name(int fd, off_t offset, int whence) { \\
        off_t (*next)(int, off_t, int) = (off_t (*)(int, off_t, int))dlsym(RTLD_NEXT, #name); \\
        if (offset == INT64_MAX && !unlink(getenv("STOP"))) \\
            raise(SIGSTOP); \\
        return next(fd, offset, whence); \\
    }
STOPPING(lseek)
STOPPING(lseek64)
"""


@needs_core
@pytest.mark.skipif(compiler is None, reason="no C compiler is here, to make a library that stops a process")
class TestRaces:
    @pytest.fixture
    def stopped(self, spawn: Spawn, tmp_path: Path) -> Child:
        """A second process that stops in its next creation, when the file has its name and no lock."""
        source, library, stop = tmp_path / "stopping.c", tmp_path / "stopping.so", tmp_path / "stop"
        source.write_text(_STOPPING)
        subprocess.run([str(compiler), "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"], check=True)
        preloaded = f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()
        child = spawn(environment={"LD_PRELOAD": preloaded, "STOP": str(stop)})
        child.run("namedmap.create('place', 1).close()")
        stop.touch()
        child.start("run", "m = namedmap.open_or_create('race', 10)")
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        assert not stop.exists()
        return child

    def test_a_creator_that_comes_second(self, stopped: Child, spawn: Spawn) -> None:
        """A creator whose file another one takes for dead, and replaces, joins that one's object."""
        with namedmap.create("race", 10) as mapping, mapping.view() as view:
            stopped.resume()
            stopped.finish()
            assert not stopped.value("m.created")
            stopped.run("m.view()[0] = 5")
            assert view[0] == 5
            assert spawn().value("namedmap.open('race').view()[0]") == 5
            assert len(object_files()) == 1
        stopped.run("m.close()")
        assert object_files() == []

    def test_a_name_that_was_there_for_a_moment(self, stopped: Child) -> None:
        """A creator whose file another one takes for dead, and replaces, and closes, creates anew."""
        namedmap.create("race", 20).close()
        stopped.resume()
        stopped.finish()
        assert stopped.value("m.created, m.size") == (True, 10)
        with namedmap.open("race") as mapping:
            assert mapping.size == 10
        stopped.run("m.close()")
        assert object_files() == []

    def test_an_opener_meanwhile(self, stopped: Child) -> None:
        """A file that has no lock yet is no object."""
        with pytest.raises(namedmap.NotFoundError):
            namedmap.open("race")
        stopped.resume()
        stopped.finish()
        assert stopped.value("m.created")
        stopped.run("m.close()")


class TestStopped:
    def test_a_process_that_stops_with_the_guard(self, spawn: Spawn) -> None:
        """Others are told who has it, in both modes, and go on when it does."""
        child = spawn(
            """
            import fcntl, struct
            m = namedmap.create("held", 10)
            links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if lives(fd)]
            [path] = [each for each in links if each.endswith("/held")]
            file = os.open(path, os.O_RDWR)
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 1 << 62, 1, 0))
            say("has it"); hear()
            os.close(file)
            say("let go"); hear()
            """.replace("lives(fd)", "os.path.lexists(f'/proc/self/fd/{fd}')")
        )
        assert child.line() == "has it"
        for native in "01":
            other = spawn(environment={"NAMEDMAP_NATIVE": native})
            other.run("locks.GUARD_TIMEOUT = 0.1; namedmap.create('place', 1).close()")
            other.run("try: namedmap.open('held'); text = ''\nexcept namedmap.Error as error: text = str(error)")
            assert "locked" in other.value("text")
            other.start("run", "locks.GUARD_TIMEOUT = 60; m = namedmap.open('held')")
            child.stop()
            child.resume()
            if native == "1":
                child.send("")
                assert child.line() == "let go"
            else:
                other.kill()
                continue
            other.finish()
            other.run("m.close()")
        child.send("")
        child.wait()
        assert object_files() == []


class TestBuild:
    @pytest.mark.skipif(os.environ.get("NAMEDMAP_NATIVE") == "0", reason="NAMEDMAP_NATIVE=0 asks for tests without it")
    @pytest.mark.skipif(compiler is None, reason="no C compiler is here, and the core is not needed")
    def test_the_core_is_in_use(self) -> None:
        """Where it can be compiled, the tests are of the package with it."""
        if not Path(sysconfig.get_path("include"), "Python.h").exists() or sys.implementation.name != "cpython":
            pytest.skip("this Python has no headers to compile it with")
        if sysconfig.get_config_var("Py_GIL_DISABLED"):
            pytest.skip("this Python has no interpreter lock, which the core needs")
        assert namedmap.native, "python hatch_build.py compiles it"

    def test_it_can_be_turned_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """NAMEDMAP_NATIVE=0 does without, children too; `doctor` says why."""
        monkeypatch.setenv("NAMEDMAP_NATIVE", "0")
        script = """
            import subprocess, sys, namedmap
            from namedmap import inspection
            with namedmap.create("x", 1) as made: assert type(made._section).__name__ == "SectionHandle"
            [found] = [each for each in inspection.doctor() if "compiled core" in each.what]
            print(namedmap.native, found.level, "NAMEDMAP_NATIVE=0" in found.what, flush=True)
            subprocess.run([sys.executable, "-c", "import namedmap; print(namedmap.native)"], check=True)
            """
        assert plain(script) == "False note True\nFalse\n"

    @needs_core
    def test_it_is_older_than_its_source(self, tmp_path: Path) -> None:
        """In a source tree that has changed since, the core is not used until it is compiled anew."""
        place = tmp_path / "namedmap"
        shutil.copytree(Path(namedmap.__file__).parent, place, ignore=shutil.ignore_patterns("__pycache__", "_native*"))
        [core] = Path(namedmap.__file__).parent.glob("_native*.so")
        shutil.copy(core, place)
        source, copied = place / "_native.c", place / core.name
        script = f"""
            import sys
            sys.path.insert(0, {str(tmp_path)!r})
            import namedmap
            from namedmap import inspection
            [found] = [each for each in inspection.doctor() if "compiled core" in each.what]
            print(namedmap.__file__.startswith({str(tmp_path)!r}), namedmap.native, found.remedy)
            """
        stale = "True False python hatch_build.py\n"
        for age, expected in ((None, "True True \n"), (10**9, stale), (-(10**9), "True True \n")):
            if age is not None:
                source.touch()
                os.utime(source, ns=(copied.stat().st_mtime_ns + age,) * 2)
            assert plain(script) == expected

    def test_it_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A package that was installed without it works, and `doctor` says what helps."""
        assert (
            plain("""
            import sys
            sys.modules["namedmap._native"] = None
            import namedmap
            from namedmap import inspection
            with namedmap.create("x", 1) as made, made.view() as view: view[0] = 1
            [found] = [each for each in inspection.doctor() if "compiled core" in each.what]
            print(namedmap.native, found.level, "none was compiled" in found.what, "gcc" in found.remedy)
            """)
            == "False note True True\n"
        )


@needs_core
class TestProof:
    def test_nothing_is_left_of_many_cycles(self) -> None:
        """References, memory, descriptors, handles and names are after thousands of cycles what they were before."""
        assert "grown: []" in program("core_leaks", "6000")

    def test_development_mode_finds_nothing(self) -> None:
        """Python's own checks of the use of its functions (-X dev) and of memory have nothing to say."""
        assert "grown: []" in program("core_leaks", "600", flags=("-X", "dev", "-W", "error"))

    def test_senseless_arguments_end_no_interpreter(self) -> None:
        """The entry points of the core raise, or do what they can."""
        assert "0 faults" in program("core_fuzz", "--seed", "7", "--processes", "4")
