"""The operations that `namedmap._contract` asks of a platform: those for the Python classes, which raise.

    memory           the pages of views
    sectionhandle    handles to sections
    quick            memory by name through the compiled core
    sections         sections by name
    files            files that are to be mapped
    synchronization  mutexes, semaphores, events
    waits            waiting

Each module imports only from those above it.
"""
