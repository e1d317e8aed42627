"""Operations that Windows does not have are refused: by an error that says so, and never by a missing attribute."""

import ctypes
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import namedmap
from namedmap import inspection

NOT_SUPPORTED = 50
NAME = "refusals"


@pytest.mark.parametrize("who", [{"mode": 0o660}, {"mode": 0o666}, {"group": "users"}, {"group": 5}], ids=repr)
@pytest.mark.parametrize("make", [namedmap.Mutex, namedmap.Event, namedmap.Semaphore, namedmap.publish])
def test_modes_and_groups(make: Callable[..., Any], who: dict[str, Any]) -> None:
    """They say what to use instead, and nothing is made."""
    arguments = (NAME, b"abc") if make is namedmap.publish else (NAME,)
    with pytest.raises(namedmap.Error, match=r"on Windows .*security=") as caught:
        make(*arguments, **who)
    assert caught.value.winerror == NOT_SUPPORTED
    assert NAME not in inspection.names()


def test_the_mode_that_can_be_had() -> None:
    """0o600, the user alone, is what Windows grants by itself."""
    with namedmap.create(NAME, 100, mode=0o600) as mapping:
        assert mapping.created


def test_residency(tmp_path: Path) -> None:
    """Which pages are in memory is told of no view, no file and no name."""
    (tmp_path / "file").write_bytes(b"content")
    with namedmap.create(NAME, 100) as mapping, mapping.view() as view:
        for use in (
            view.residency,
            lambda: inspection.residency(tmp_path / "file"),
            lambda: inspection.residency(NAME),
        ):
            with pytest.raises(namedmap.Error, match="on Windows") as caught:
                use()
            assert caught.value.winerror == NOT_SUPPORTED


def test_eviction(tmp_path: Path) -> None:
    """No pages are dropped; reading ahead works."""
    (tmp_path / "file").write_bytes(bytes(3 << 20))
    done: list[int] = []
    inspection.prefetch(tmp_path / "file", lambda at, size: done.append(at))
    assert done[-1] == 3 << 20
    with pytest.raises(namedmap.Error, match="on Windows"):
        inspection.evict(tmp_path / "file")


def test_advice() -> None:
    """The words that Windows does not know are no advice there."""
    with namedmap.create(None, 100) as mapping, mapping.view() as view:
        view.advise("willneed")
        for word in ("normal", "random", "sequential", "dontneed"):
            with pytest.raises(namedmap.BadValueError, match="willneed"):
                view.advise(word)


def test_an_overlay_without_its_mapping() -> None:
    """One of a read-only view needs its mapping open; one that was made before goes on."""
    with namedmap.create(None, 100) as mapping:
        view = mapping.view(access="read")
        before = view.overlay(ctypes.c_uint32)
    with pytest.raises(namedmap.Error, match="keep the mapping open"):
        view.overlay(ctypes.c_uint32)
    before.value = 7
    assert (before.value, view[0]) == (7, 0)


def test_pickles_of_linux() -> None:
    """Anything that a process of Linux has sent for memory without a name is an error."""
    with namedmap.create(None, 100) as mapping:
        reduced: Any = mapping.__reduce__()
        call, (_, access, path) = reduced
        for sent in ((1, "2", 3, 4, 5), None, "text"):
            with pytest.raises(namedmap.BadValueError, match="Windows"):
                call(sent, access, path)
        with pickle.loads(pickle.dumps(mapping)) as received:
            assert received.size == 100


def test_what_inspection_knows() -> None:
    """Names, kinds, states, sizes and the number of handles; all else is None or empty, and the look holds nothing."""
    with (
        namedmap.create(f"{NAME}.map", 5000) as mapping,
        namedmap.Mutex.create(f"{NAME}.mutex", owned=True) as mutex,
        namedmap.Event(f"{NAME}.event", manual=False, signaled=True),
    ):
        mutex.release()  # of the two ownerships
        semaphore = namedmap.Semaphore(f"{NAME}.semaphore", 2, 3)
        found = {each.name: each for each in inspection.objects() if each.name.startswith(NAME)}
        assert {name: (each.kind, each.size, each.state, each.handles) for name, each in found.items()} == {
            f"{NAME}.map": ("section", 8192, {}, 1),
            f"{NAME}.mutex": ("mutex", None, {"owned": True, "abandoned": False}, 1),
            f"{NAME}.event": ("event", None, {"set": True, "manual": False}, 1),
            f"{NAME}.semaphore": ("semaphore", None, {"value": 2, "maximum": 3}, 1),
        }
        told = inspection.info(f"{NAME}.map")
        assert (told.creator, told.created, told.owner, told.mode, told.used, told.path, told.views) == (None,) * 7
        assert (told.holders, told.unseen) == ((), 1)
        watched = inspection.Watched(f"{NAME}.map")
        assert watched.alive()
        mapping.close()
        assert not watched.alive()
        semaphore.close()
    mutex.close()
    with pytest.raises(namedmap.NotFoundError):
        inspection.info(f"{NAME}.map")
    assert inspection.collect() == []
    assert {each.level for each in inspection.doctor()} <= {"ok", "note"}
