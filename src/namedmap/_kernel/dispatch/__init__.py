"""Objects that can be waited for.

    line          those who wait without a thread, in order
    state         the part of a state that the compiled core changes
    dispatcher    state words and waiters of mutexes, semaphores and events
    mutant        mutexes
    counted       semaphores and events
    notifier      one thread sleeps for many lines
    waiting       waits: for one, for any, for all

Each module imports only from those above it.
"""
