"""What can be waited for.

    dispatcher    state words and waiters of mutexes, semaphores and events
    mutant        mutexes
    counted       semaphores and events
    waiting       waits: for one, for any, for all
    notifier      waits of asyncio: one thread sleeps for many

Each module imports only from those above it.
"""
