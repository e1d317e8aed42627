"""The one place that asks which platform this is: it chooses who implements the contract, and checks that it does.

`sections`, `files`, `memory`, `synchronization` and `waits` are what the Python classes stand on (`_contract`);
`functions` is a module with the functions of `namedmap.win32` and `namedmap.nt` by their names. `objects`, `system` and
`pagecache` look at named objects, at the system and at files without holding anything. `native` is whether the
functions are those of Windows itself, where Python has its own `msvcrt`, `ctypes.windll` and the like. `core` is the
compiled core, where there is one; `has_core` is the package's `native`.
"""

import sys

from namedmap import _contract

if sys.platform == "linux":
    from namedmap._kernel.contract import files as _files
    from namedmap._kernel.contract import memory as _memory
    from namedmap._kernel.contract import sections as _sections
    from namedmap._kernel.contract import synchronization as _synchronization
    from namedmap._kernel.contract import waits as _waits
    from namedmap._kernel.diagnostics import objects, pagecache, system
    from namedmap._kernel.linux.compiled import core
    from namedmap._kernel.win32 import functions
elif sys.platform == "win32":
    from namedmap._windows.contract import files as _files
    from namedmap._windows.contract import memory as _memory
    from namedmap._windows.contract import sections as _sections
    from namedmap._windows.contract import synchronization as _synchronization
    from namedmap._windows.contract import waits as _waits
    from namedmap._windows.diagnostics import objects, pagecache, system
    from namedmap._windows.win32 import functions

    core = None
else:
    raise ImportError(f"namedmap runs on Linux and on Windows, not on {sys.platform!r}")

native = sys.platform == "win32"
has_core = core is not None
"""Whether the compiled core is in use, which does the common cases quicker. `namedmap doctor` tells why not.

On Windows there is none: its functions are Windows' own.
"""
sections: _contract.Sections = _sections
files: _contract.Files = _files
memory: _contract.Memory = _memory
synchronization: _contract.Synchronization = _synchronization
waits: _contract.Waits = _waits

__all__ = [
    "core",
    "files",
    "functions",
    "has_core",
    "memory",
    "native",
    "objects",
    "pagecache",
    "sections",
    "synchronization",
    "system",
    "waits",
]
