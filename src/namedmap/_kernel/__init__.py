"""The NT object manager in Python, on what Linux offers. A map:

    status       errors: NTSTATUS, KernelError, the tables between errno, NTSTATUS and Win32
    libc         foreign declarations
    locks        byte-range locks that the operating system counts: guard, life
    names        from a name to a scope and a file name
    namespace    the directories of names; the sweep
    protection   what page protections mean
    control      the control page of an object file
    security     security descriptor strings to owner, group and mode
    objectfile   the file of an object: open, make, lock, look at
    owners       threads and tasks as owners of mutexes; their end
    waitable     what waits ask of an object
    counts       references and handles
    objects      named objects: create, open, close
    handles      the handle table

    paths        file paths as Win32 takes them
    attributes   file attributes
    sharing      share modes, and the mark of a mapped file
    files        file objects
    opening      CreateFile
    entries      files by path: delete, move, copy, attributes

    commitment   memory that is promised
    section      sections
    arena        addresses for views
    reserve      faults on reserved pages
    space        the address space: views and their pages
    mappings     memory that is not ours
    views        mapping and flushing views
    private      VirtualAlloc and VirtualFree
    futex        sleeping on words of shared memory
    dispatcher   state words and waiters of mutexes, semaphores and events
    mutant       mutexes
    sync         semaphores and events
    waiting      waits: for one, for any, for all
    notifier     waits of asyncio: one thread sleeps for many
    processes    fork, inheritance, handles given to other processes

    api          the functions of the contract, which translate arguments and failures

Each module imports only from those that this list has above it; `api` from all.
"""

import atexit

from namedmap._kernel.objects.table import table
from namedmap._kernel.processes import fork

fork.install()
# A normal exit leaves nothing behind. (After any other the kernel has released the locks, and the file is swept.)
atexit.register(table.close_all)
