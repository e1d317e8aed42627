"""The operating system, and all that is asked of it.

    libc          foreign declarations
    natives       locks and sleep as they were before a program put others in their place
    lineage       whether this process is a forked child that uses its parent's descriptors
    compiled      the compiled core, and what the others ask of it
    descriptors   kept descriptors, and programs that close what is not theirs
    procfs        the one reader of /proc
    reopening     opening what others have named
    pagemap       which pages of a private mapping have been copied
    locks         byte-range locks that the operating system counts: guard, liveness
    protection    what page protections mean to sections, views and mmap
    limits        memory that is promised
    userfault     faults on reserved pages
    futex         sleeping on words of shared memory

Each module imports only from those above it.
"""
