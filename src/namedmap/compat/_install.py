"""The stand-ins in the place of the real modules, for the whole process."""

import codecs
import importlib.util
import mmap
import multiprocessing.resource_tracker
import multiprocessing.spawn
import sys
from collections.abc import Callable
from typing import Any

from namedmap._platform import native
from namedmap.compat import _children, _disguise, pywin32, shared_memory, windll
from namedmap.compat import mmap as our_mmap

_installed = False


def install(*, windows: bool = False, package: str | None = None) -> None:
    """See `namedmap.compat.install`. `package` is the program's own, wherever it is installed."""
    global _installed
    if not _installed:
        _installed = True
        if not native:
            _replace()
        _offer_pywin32()
        _reach_children()
    if windows:
        if not native:
            _disguise.install(package)
        _children.follow()


def _replace() -> None:
    """The modules that Python has otherwise on Windows, or there only."""
    vars(mmap)["mmap"] = our_mmap.mmap
    _replace_shared_memory()
    windll.install()
    codecs.register(_find_codec)


def _replace_shared_memory() -> None:
    if "multiprocessing.shared_memory" not in sys.modules:
        _spare_tracker()
    sys.modules["multiprocessing.shared_memory"] = shared_memory
    for name in ("multiprocessing", "multiprocessing.managers"):
        if name in sys.modules:
            vars(sys.modules[name])["shared_memory"] = shared_memory


def _spare_tracker() -> None:
    """Tell the resource tracker nothing of blocks: programs have it forget what it was never told (cpython#82300)."""
    tracker: Any = multiprocessing.resource_tracker
    for name in ("register", "unregister"):
        tell = _but_blocks(getattr(tracker, name))
        vars(tracker)[name] = tell
        setattr(tracker._resource_tracker, name, tell)


def _but_blocks(tell: Callable[[str, str], None]) -> Callable[[str, str], None]:
    def tell_others(name: str, rtype: str) -> None:
        if rtype != "shared_memory":
            tell(name, rtype)

    return tell_others


def _offer_pywin32() -> None:
    for name, module in pywin32.modules().items():
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            sys.modules[name] = module


def _find_codec(name: str) -> codecs.CodecInfo | None:
    """The encodings of narrow text by their names on Windows; those of Western Windows, as for our functions."""
    known = {"mbcs": "cp1252", "ansi": "cp1252", "dbcs": "cp1252", "oem": "cp437"}.get(name)
    return codecs.lookup(known) if known else None


# -- children of multiprocessing ---------------------------------------------------------------------------------------


class _Install:
    """An object that a child that is not forked unpickles before anything else, and is installed by."""

    def __reduce__(self) -> tuple[object, ...]:
        told = (_disguise.installed, sorted(_disguise.own_packages), _disguise.main_may_be_foreign)
        return _install_as_parent, (*told, _children.followed)


def _install_as_parent(windows: bool, packages: list[str], main_may_be_foreign: bool, followed: bool) -> None:
    _disguise.main_may_be_foreign = main_may_be_foreign
    install_all(windows, packages)
    if followed:
        _children.follow()


def install_all(windows: bool, packages: list[str]) -> None:
    """Install for the main module, and for packages that are the program's own."""
    install(windows=windows)
    for package in packages:
        install(windows=windows, package=package)


def _reach_children() -> None:
    spawn: Any = multiprocessing.spawn
    prepare = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        # A child makes no use of an entry that it does not know; but it unpickles it, before it imports the program.
        return {**prepare(name), "namedmap": _Install()}

    spawn.get_preparation_data = get_preparation_data
