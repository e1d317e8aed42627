"""Unnamed memory, pickled to processes that multiprocessing does not know: it arrives, or an error says what to do."""

import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import namedmap
from child import WATCHDOG, Spawn

READ = (
    "import pickle, sys; m = pickle.load(sys.stdin.buffer); v = m.view(); print(bytes(v[:3]).decode()); v[:3] = b'xyz'"
)


def received(data: bytes, code: str = READ) -> subprocess.CompletedProcess[bytes]:
    """The run of an unrelated process on a pickle."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], input=data, capture_output=True, timeout=WATCHDOG, check=False
    )


class TestPlainPickle:
    def test_memory(self) -> None:
        """One memory, and the handle is counted; no thread is started here."""
        with namedmap.create(None, 100) as mapping, mapping.view() as view:
            view[:3] = b"abc"
            done = received(pickle.dumps(mapping))
            assert (done.stdout, done.returncode) == (b"abc\n", 0), done.stderr
            assert bytes(view[:3]) == b"xyz"

    @pytest.mark.parametrize("access", ["write", "read"])
    def test_a_file(self, a_dat: Path, access: str) -> None:
        """The mapping of a file, with the access that it has."""
        with namedmap.map_file(a_dat, access=access) as mapping:
            done = received(pickle.dumps(mapping))
            assert done.stdout == b"012\n"
            assert (done.returncode == 0) == (access == "write"), done.stderr
            assert bytes(mapping.view()[:3]) == (b"xyz" if access == "write" else b"012")

    def test_a_view(self) -> None:
        """A part of it."""
        with namedmap.create(None, 100_000) as mapping, mapping.view(70_000) as view:
            view[:3] = b"abc"
            done = received(pickle.dumps(view), "import pickle, sys; print(pickle.load(sys.stdin.buffer)[:3])")
            assert b"abc" in done.stdout, done.stderr

    def test_it_lives_on_in_the_receiver(self, spawn: Spawn) -> None:
        """Also when the sender has gone after the arrival."""
        sender, receiver = spawn(), spawn()
        sender.run("import pickle; m = namedmap.create(None, 100); v = m.view(); v[:3] = b'abc'")
        data = sender.value("pickle.dumps(m)")
        receiver.run(f"import pickle; m = pickle.loads({data!r})")
        sender.kill()
        assert receiver.value("bytes(m.view()[:3])") == b"abc"
        receiver.run("m.close()")

    @pytest.mark.parametrize("end", ["m.close()", "os._exit(0)"])
    def test_too_late(self, spawn: Spawn, end: str) -> None:
        """The sender has closed it or ended: an error that says to keep it open or to give it a name."""
        sender = spawn()
        sender.run("import pickle; m = namedmap.create(None, 100)")
        data = sender.value("pickle.dumps(m)")
        sender.start("run", f"{end}; others = [os.open('/dev/null', 0) for _ in range(9)]")
        sender.finish() if "close" in end else sender.wait()
        with pytest.raises(namedmap.NotFoundError, match="give it a name"):
            pickle.loads(data)

    def test_another_user(self, spawn: Spawn, second_user: int) -> None:
        """It is not another user's to open."""
        with namedmap.create(None, 100) as mapping:
            offer = mapping._sendable()
            stranger = spawn(uid=second_user)
            stranger.run(f"""
                from calls.kernel import handover
                try: found = handover.accept({offer!r})
                except namedmap._failure.Failure as failure: found = failure.detail
            """)
            assert "give it a name" in stranger.value("found")

    def test_other_objects_refuse(self) -> None:
        """Locks and events without a name say the same."""
        for made in (namedmap.Mutex(), namedmap.Event(), namedmap.Semaphore(None, 1)):
            with made, pytest.raises(TypeError, match="give it a name"):
                pickle.dumps(made)


PROGRAM = """
import sys, operator, warnings
import namedmap, {package} as multiprocessing
warnings.simplefilter("ignore")
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    with namedmap.create(None, 100) as mapping, mapping.view() as view:
        process = context.Process(target=operator.setitem, args=(view, 1, 18))
        process.start(); process.join()
        with context.Pool(1) as pool:
            pool.apply(operator.setitem, (view, 2, 19))
        print(bytes(view[:3]))
"""


@pytest.mark.parametrize("package", ["multiprocessing", "multiprocess", "billiard"])
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_other_process_packages(tmp_path: Path, package: str, method: str) -> None:
    """To new processes and to those of a pool."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(package=package, method=method))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)], capture_output=True, text=True, timeout=WATCHDOG, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "b'\\x00\\x12\\x13'\n", done.stderr
