"""joblib: its workers, processes (loky) or threads, work in the same memory."""

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("joblib") is None, reason="joblib is not installed")

#: The function that the workers call: importable, as loky's processes know nothing of the script that started them.
_WORK = """
import os

def through_mapping(mapping, at):
    with mapping.view() as view:
        view[at] += 1
    return os.getpid()

def through_view(view, at):
    view[at] += 1
    return os.getpid()

def through_block(block, at):
    block.value[at] += 1
    return os.getpid()
"""

_SCRIPT = """
import os, sys, warnings
import joblib, numpy, namedmap, work
from joblib.externals.loky import get_reusable_executor

if __name__ == "__main__":
    backend, name = sys.argv[1], sys.argv[2] or None
    # Objects that joblib itself leaves to the collector are not the matter here.
    warnings.filterwarnings("ignore", module="(?!namedmap)")
    run = joblib.Parallel(2, backend)
    with (
        namedmap.create(name, 1000) as mapping,
        mapping.view() as view,
        namedmap.publish(name and name + "-block", numpy.zeros(1 << 20, "u1")) as block,
    ):
        for function, what in ((work.through_mapping, mapping), (work.through_view, view), (work.through_block, block)):
            pids = run(joblib.delayed(function)(what, at) for at in range(16))
            print((os.getpid() in pids) == (backend == "threading"))
        print(view[:17] == b"\\2" * 16 + b"\\0", block.value[:17].tolist() == [1] * 16 + [0])
        if backend == "loky":
            get_reusable_executor().shutdown()
    if name:
        try:
            namedmap.open(name)
        except namedmap.NotFoundError:
            print("the name is free")
"""


@pytest.mark.parametrize("backend", ["loky", "threading"])
@pytest.mark.parametrize("name", ["joblib", ""])
def test_the_same_memory(tmp_path: Path, backend: str, name: str) -> None:
    """A mapping, a view and a published array are sent as such, not as copies of what is in them."""
    (tmp_path / "work.py").write_text(textwrap.dedent(_WORK), encoding="utf-8")
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-X", "dev", str(script), backend, name],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )
    words = ["True"] * 3 + ["True True"] + ["the name is free"] * bool(name)
    assert done.stdout.splitlines() == words, done.stderr
    assert "namedmap" not in done.stderr
