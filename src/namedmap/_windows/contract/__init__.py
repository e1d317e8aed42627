"""The things that `namedmap._contract` asks of a platform: the operations for the Python classes, which raise.

    naming           names and permissions, as the functions of Windows take them
    sections         sections and their handles
    files            files that are to be mapped
    memory           the pages of views
    agents           threads that wait, and own mutexes, for asyncio tasks
    synchronization  mutexes, semaphores, events
    waits            waiting

Each module imports only from those above it.
"""
