"""Locks and signals between processes.

    waits         waiting for several of them
    primitives    Mutex, Semaphore, Event

Each module imports only from those above it.
"""
