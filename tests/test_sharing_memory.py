"""Mappings and views in other processes: pickled by every way of starting them, named and unnamed."""

import importlib.util
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import namedmap
from namedmap.errors import NotFoundError

NAME = "sharing_memory"
METHODS = ["fork", "spawn", "forkserver"]

#: The functions that the children call: importable by spawned ones, which know nothing of the script that started them.
_WORK = """
import namedmap

def fill(view, byte):
    with view.mapping:
        view[:] = bytes((byte,)) * len(view)

def describe(mapping):
    with mapping, mapping.view() as view:
        return mapping.name, mapping.size, mapping.access, mapping.created, view[:5]

def describe_view(view):
    with view.mapping:
        return view.offset, view.size, view.access, view.buf.readonly, view[:5]

def from_queue(queue, answers):
    with queue.get() as mapping, mapping.view() as view:
        view[0] += 1
        answers.put(view[0])

def total(view):
    with view.mapping:
        return sum(view)
"""


def run(directory: Path, text: str) -> str:
    """A program that has the functions above in a module; what it prints. Every warning is an error."""
    (directory / "work.py").write_text(_WORK, encoding="utf-8")
    script = directory / "script.py"
    body = textwrap.indent(textwrap.dedent(text), "    ")
    script.write_text(
        "import concurrent.futures, gc, multiprocessing, os, sys, warnings, namedmap, work\n"
        "if __name__ == '__main__':\n"
        "    warnings.filterwarnings('ignore', 'This process', DeprecationWarning)  # a fork with threads\n" + body,
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=directory,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(directory), *sys.path])},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [NAME, None])
class TestWays:
    """Each way of starting processes gives the same memory, by name or by a descriptor."""

    def test_arguments_and_results(self, tmp_path: Path, method: str, name: str | None) -> None:
        """As arguments of a Process, of a Pool and of an executor, through queues; sizes and access stay."""
        out = run(
            tmp_path,
            f"""
            context = multiprocessing.get_context({method!r})
            with namedmap.create({name!r}, 70_101) as mapping, mapping.view(70_001) as view:
                process = context.Process(target=work.fill, args=(view, 7))
                process.start(); process.join()
                print(process.exitcode, view == b"\\7" * 100, mapping.view(0, 70_001).find(b"\\7"))
                mapping.view(0, 5)[:] = b"hello"
                with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
                    print(pool.submit(work.describe, mapping).result())
                    with mapping.view(1, 50, "read") as reader:
                        print(pool.submit(work.describe_view, reader).result())
                with context.Pool(2) as pool:
                    print(pool.map(work.total, [view] * 4))
                    pool.close(); pool.join()
                queue, answers = context.SimpleQueue(), context.SimpleQueue()
                process = context.Process(target=work.from_queue, args=(queue, answers))
                process.start()
                queue.put(mapping)
                print(answers.get(), chr(mapping.view()[0]))
                process.join()
                queue.close(); answers.close()
            """,
        )
        assert out.splitlines() == [
            "0 True -1",
            f"({name!r}, 70101, 'write', False, b'hello')",
            "(1, 50, 'read', True, b'ello\\x00')",
            "[700, 700, 700, 700]",
            "105 i",
        ]


class TestFiles:
    """Mappings of files are sent as others are."""

    @pytest.mark.parametrize("method", METHODS)
    def test_access_stays(self, tmp_path: Path, method: str) -> None:
        """The receiver may do what the sender might, and a copy is a copy of its own."""
        words = "read", "write", "copy"
        for access in words:
            (tmp_path / access).write_bytes(b"hello" + bytes(95))
        out = run(
            tmp_path,
            f"""
            context = multiprocessing.get_context({method!r})
            with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
                for access in {words}:
                    with namedmap.map_file(access, access=access) as mapping, mapping.view(0, 5) as view:
                        if access != "read":
                            view[0] = ord("J")
                        print(pool.submit(work.describe, mapping).result())
                        print(pool.submit(work.describe_view, view).result())
            """,
        )
        lines = iter(out.splitlines())
        for access in words:
            content = b"Jello" if access == "write" else b"hello"
            assert next(lines) == f"(None, 100, {access!r}, False, {content!r})"
            assert next(lines) == f"(0, 5, {access!r}, {access == 'read'}, {content!r})"
            assert (tmp_path / access).read_bytes()[:5] == content


class TestJoblib:
    """joblib's processes get the memory too."""

    @pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
    def test_parallel(self, tmp_path: Path, backend: str) -> None:
        """A named view is an argument like any other."""
        if importlib.util.find_spec("joblib") is None:
            pytest.skip("joblib is not installed")
        out = run(
            tmp_path,
            f"""
            warnings.simplefilter("ignore")
            import joblib
            with namedmap.create({NAME!r}, 1000) as mapping, mapping.view() as view:
                view[:] = b"\\1" * 1000
                print(joblib.Parallel(2, {backend!r})(joblib.delayed(work.total)(view) for _ in range(4)))
                if {backend!r} == "loky":
                    from joblib.externals.loky import get_reusable_executor
                    get_reusable_executor().shutdown()
            """,
        )
        assert out == "[1000, 1000, 1000, 1000]\n"


class TestPickles:
    """In one process, and what cannot be sent."""

    def test_named(self) -> None:
        """A pickle is a name: its receiver opens the memory, which must exist by then."""
        with namedmap.create(NAME, 1000) as mapping, mapping.view(5, 10) as view:
            pickled, pickled_view = pickle.dumps(mapping), pickle.dumps(view)
            assert len(pickled) < 300
            with pickle.loads(pickled) as again:
                again.view()[5] = 7
                assert (again.name, again.size, again.access, again.created) == (NAME, 1000, "write", False)
            seen = pickle.loads(pickled_view)
            with seen.mapping:
                assert (seen[0], seen.offset, seen.size) == (7, 5, 10)
            seen.close()
        for data in (pickled, pickled_view):
            with pytest.raises(NotFoundError, match=NAME):
                pickle.loads(data)

    def test_a_mapping_with_its_view(self) -> None:
        """Sent together they stay together; closing either leaves the other."""
        with namedmap.create(NAME, 1000) as mapping, mapping.view() as view:
            other, seen = pickle.loads(pickle.dumps((mapping, view)))
            with other:
                assert seen.mapping is other
                seen.close()
                assert other.size == 1000

    def test_a_closed_mapping(self) -> None:
        """Cannot be sent, and says that it is closed; nor can a view of it."""
        mapping = namedmap.create(NAME, 1000)
        view = mapping.view()
        mapping.close()
        for sent in (mapping, view):
            with pytest.raises(ValueError, match="closed"):
                pickle.dumps(sent)
        view.close()

    def test_nothing_remains_of_an_unnamed_one(self, tmp_path: Path) -> None:
        """Descriptors for the passage are closed on both sides."""
        out = run(
            tmp_path,
            """
            context = multiprocessing.get_context("spawn")
            def count():
                gc.collect()
                paths = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
                return len([path for path in paths if "namedmap" in path])
            before = count()
            with namedmap.create(None, 1000) as mapping, mapping.view() as view:
                for number in range(2):
                    process = context.Process(target=work.fill, args=(view, number))
                    process.start(); process.join(); process.close()
                process = None
            del view, mapping
            print(count() - before)
            """,
        )
        assert out == "0\n"
