"""The operations that `namedmap._contract` asks of a platform: those for the Python classes, which raise.

    memory           the pages of views
    sections         sections and their handles
    files            files that are to be mapped
    synchronization  mutexes, semaphores, events
    waits            waiting

Each module imports only from those above it.
"""
