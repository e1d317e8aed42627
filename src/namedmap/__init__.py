"""Windows file mappings, named shared memory and their handles, with the same meaning on Linux.

create, open, open_or_create shared memory, by name: a FileMapping
map_file                     a file as memory: a FileMapping
publish, attach              an array, a table or bytes that say what they are: a Block
FileMapping, View            a mapping, and a range of it: bytes, arrays, structures, a stream
Mutex, Semaphore, Event      locks and signals between processes, by name
wait_any, wait_all           waiting for several of them; wait_any_async, wait_all_async in asyncio
Error and what it leads to   see errors
mode=, group=, security=     who else may use an object: see permissions
native                       whether the compiled core is in use, which does the common cases quicker

files       big files: copy, search, checksum, compare, dump, patch (imported apart)
win32       the functions by their Win32 names: CreateFileMapping, MapViewOfFile, ...
nt          the native calls: NtCreateSection, ...
constants   PAGE_READWRITE and the others
types       DWORD, SYSTEM_INFO and the others
"""

# General layout. Each line imports only from those above it.
#
#     winerror constants ntstatus types        data: codes, constants, structures
#     _failure _finalizer _writing errors access   the ground, which stands on no platform
#     _contract _facts                         what a platform owes the classes, and tells of named objects
#     _mapped                                  mapped memory with an owner in Python
#     files/                                   files of any size, by read and write
#     _convention/                             arguments, return values, last error, NTSTATUS and texts of the functions
#     _kernel/                                 the object manager on Linux; its map stands in its __init__
#     _windows/                                Windows itself, called by ctypes; its map stands in its __init__
#     _platform                                chooses the platform
#     win32 nt                                 its functions by their Windows names
#     permissions memory/ synchronization/     the classes: mappings and views; mutexes, semaphores, events, waits
#     data/ inspection                         blocks that describe themselves; looking at objects
#     compat/                                  drop-in modules: mmap, shared_memory, ctypes.windll, pywin32
#     cli/                                     the command

__version__ = "0.1.0"

__all__ = [
    "AbandonedMutexWarning",
    "AccessDeniedError",
    "BadValueError",
    "Block",
    "BlockError",
    "ClosedError",
    "Error",
    "Event",
    "ExistsError",
    "FileMapping",
    "IsDirectoryError",
    "LimitError",
    "Mutex",
    "NotDirectoryError",
    "NotFoundError",
    "NotOwnerError",
    "PageError",
    "ReadOnlyError",
    "Semaphore",
    "View",
    "WrongKindError",
    "__version__",
    "attach",
    "create",
    "map_file",
    "native",
    "open_or_create",
    "publish",
    "wait_all",
    "wait_all_async",
    "wait_any",
    "wait_any_async",
]

# The objects behind the names are loaded when the first of them is asked for, since that takes longer than the start of
# Python, and a command line that only says its version needs none of it. Type checkers see ordinary imports. (A program
# that gives up the right to read its Python installation has to ask for a name before.)
TYPE_CHECKING = False
if TYPE_CHECKING:
    from namedmap._platform import has_core as native
    from namedmap.data.blocks import Block, attach, publish
    from namedmap.memory.mapping import FileMapping, create, map_file, open_or_create
    from namedmap.memory.mapping import open as open
    from namedmap.memory.view import View
    from namedmap.synchronization.primitives import AbandonedMutexWarning, Event, Mutex, Semaphore
    from namedmap.synchronization.waits import wait_all, wait_all_async, wait_any, wait_any_async

    from .errors import (
        AccessDeniedError,
        BadValueError,
        BlockError,
        ClosedError,
        Error,
        ExistsError,
        IsDirectoryError,
        LimitError,
        NotDirectoryError,
        NotFoundError,
        NotOwnerError,
        PageError,
        ReadOnlyError,
        WrongKindError,
    )
else:
    _HOMES = (
        "errors",
        "memory.view",
        "memory.mapping",
        "data.blocks",
        "synchronization.primitives",
        "synchronization.waits",
    )
    _MODULES = (
        "access",
        "constants",
        "data",
        "errors",
        "files",
        "inspection",
        "memory",
        "nt",
        "ntstatus",
        "permissions",
        "synchronization",
        "types",
        "win32",
        "winerror",
    )

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name == "native":
            globals()[name] = found = import_module(f"{__name__}._platform").has_core
            return found
        if name in __all__ or name == "open":
            # All at once: one of them without the others would be a package that is half there.
            for module in [import_module(f"{__name__}.{home}") for home in _HOMES]:
                globals().update((each, vars(module)[each]) for each in (*__all__, "open") if each in vars(module))
            return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, *_MODULES, "open"})
