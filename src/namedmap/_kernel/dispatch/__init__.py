"""Objects that can be waited for.

    line          those who wait without a thread, in order
    dispatcher    state words and waiters of mutexes, semaphores and events
    mutant        mutexes
    counted       semaphores and events
    notifier      one thread sleeps for many lines
    waiting       waits: for one, for any, for all

Each module imports only from those above it.
"""
