"""The NT object manager in Python, on what Linux offers. A map of its wings:

    linux/        what the operating system is asked for: calls, locks, sleeping, memory limits, /proc
    names/        from a name to the file of an object, and what stands in that file
    objects/      what keeps an object alive: handles, references, owners; creating, opening, closing
    files/        files, as CreateFile and the functions beside it have them
    dispatch/     mutexes, semaphores and events, and waiting for them
    memory/       sections, views, and the address space
    processes/    what crosses a process border: fork, inheritance, handles for other processes
    diagnostics/  looking at objects, at the system, at files in memory, without holding anything
    contract/     the operations for the Python classes, which raise
    win32/        the functions for programs, which set the last error or return an NTSTATUS

Each wing imports only from those above it, and the two faces, `contract` and `win32`, not from each other. The map of a
wing stands in its own `__init__`, in the order in which its modules import from each other.
"""

import atexit

from namedmap._kernel.contract import quick
from namedmap._kernel.linux import lineage
from namedmap._kernel.objects.table import table
from namedmap._kernel.processes import fork

fork.install()
quick.install()
atexit.register(lineage.expect_the_end)  # after what is registered later, and so at the very end
# A normal exit leaves nothing behind. (After any other the kernel has released the locks, and the file is swept.)
atexit.register(table.retire_all)
